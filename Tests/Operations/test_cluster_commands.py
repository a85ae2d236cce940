"""`lariat cluster`: certificates as openssl sees them, what check finds, tokens, and a cluster over real sshd."""

import concurrent.futures
import datetime
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import pytest

from ssh_hosts import SSHHosts, ssh_obstacle, until

SPECIFICATION = """\
model: model.gguf
coordinator:
  listen: 0.0.0.0:7400
  advertise: one.example.org:7400
  tls: { certificate: tls/coordinator.pem, key: tls/coordinator.key }
workers:
  - name: alpha
    listen: 10.1.2.3:7411
    ring: 10.1.2.3:7412
    memory: 4GiB
    tls: { certificate: tls/alpha.pem, key: tls/alpha.key }
  - name: beta
    listen: "[2001:db8::3]:7411"
    ring: "[2001:db8::3]:7412"
    memory: 500MiB
    tls: { certificate: tls/beta.pem, key: tls/beta.key }
tls:
  ca: tls/ca.pem
isa: avx2
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cluster.yaml").write_text(SPECIFICATION)
    return tmp_path


@pytest.fixture
def lariat(binary, folder):
    def call(*arguments, code=0, **options):
        done = subprocess.run(
            [binary, "cluster", *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=60,
            env={key: value for key, value in os.environ.items() if not key.startswith("LARIAT")}, **options)
        assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done
    return call


@pytest.fixture
def certs(lariat):
    return lambda *arguments, **options: lariat("certs", "cluster.yaml", "-o", "tls", *arguments, **options)


def openssl(*arguments, cwd=None):
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def public_key(folder, name):
    return openssl("x509", "-in", folder / "tls" / f"{name}.pem", "-noout", "-pubkey")


# Certificates


def test_certificates_as_openssl_sees_them(folder, certs):
    said = certs("--days", 90).stdout
    tls = folder / "tls"
    names = ["coordinator", "alpha", "beta", "client"]
    assert sorted(path.name for path in tls.iterdir()) == sorted(
        [f"{name}.{end}" for name in ["ca", *names] for end in ("pem", "key")])
    assert all(mode(tls / f"{name}.key") == 0o600 for name in ["ca", *names])
    end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=90)).date()
    for name in names:
        assert f"{name}.pem: OK" in openssl(
            "verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", "sslserver", f"{name}.pem", cwd=tls)
        openssl("verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", "sslclient", f"{name}.pem", cwd=tls)
        assert public_key(folder, name) == openssl("pkey", "-in", tls / f"{name}.key", "-pubout")
        written = re.search(rf"^{name}\.pem .* (\d{{4}}-\d\d-\d\d)", said, re.M).group(1)
        assert abs((datetime.date.fromisoformat(written) - end).days) <= 1
    for name, host in [("coordinator", "one.example.org"), ("coordinator", "localhost")]:
        assert "does match" in openssl("x509", "-in", tls / f"{name}.pem", "-noout", "-checkhost", host)
    for name, address in [("alpha", "10.1.2.3"), ("beta", "2001:db8::3")]:
        assert "does match" in openssl("x509", "-in", tls / f"{name}.pem", "-noout", "-checkip", address)


def test_renewal_keeps_keys_and_authority(folder, certs):
    certs("--days", 10)
    keys = {path: path.read_bytes() for path in (folder / "tls").glob("*.key")}
    authority, old = (folder / "tls/ca.pem").read_bytes(), (folder / "tls/alpha.pem").read_bytes()
    assert "(kept)" in certs().stdout
    assert {path: path.read_bytes() for path in (folder / "tls").glob("*.key")} == keys
    assert (folder / "tls/ca.pem").read_bytes() == authority and (folder / "tls/alpha.pem").read_bytes() != old
    openssl("verify", "-CAfile", "ca.pem", "alpha.pem", cwd=folder / "tls")
    # With --force the keys are new, and still not the authority's.
    certs("--force")
    assert (folder / "tls/alpha.key").read_bytes() != keys[folder / "tls/alpha.key"]
    assert (folder / "tls/ca.key").read_bytes() == keys[folder / "tls/ca.key"]
    assert public_key(folder, "alpha") == openssl("pkey", "-in", folder / "tls/alpha.key", "-pubout")


def test_an_authority_elsewhere(folder, lariat, certs):
    certs()
    lariat("certs", "cluster.yaml", "-o", "new", "--ca-dir", "tls")
    assert not (folder / "new/ca.key").exists()
    assert "alpha.pem: OK" in openssl("verify", "-CAfile", folder / "tls/ca.pem", "alpha.pem", cwd=folder / "new")
    refused = lariat("certs", "cluster.yaml", "-o", "x", "--ca-dir", "nowhere", code=66)
    assert "nowhere/ca.pem" in refused.stderr and not (folder / "x").exists()


def test_what_does_not_fit_is_refused_and_nothing_changes(folder, lariat, certs):
    certs()
    lariat("certs", "cluster.yaml", "-o", "other")
    before = {path: path.read_bytes() for path in (folder / "tls").iterdir()}
    (folder / "tls/ca.key").write_bytes((folder / "other/ca.key").read_bytes())
    assert "does not belong" in certs(code=1).stderr
    (folder / "tls/ca.key").write_text("no key")
    assert "tls/ca.key" in certs(code=1).stderr
    (folder / "tls/ca.key").unlink()
    assert "--ca-dir" in certs(code=66).stderr
    refused = certs("--ca-dir", "other", code=1).stderr
    assert "another authority" in refused and "--force" in refused
    (folder / "tls/ca.key").write_bytes(before[folder / "tls/ca.key"])
    (folder / "tls/alpha.pem").write_bytes((folder / "other/alpha.pem").read_bytes())
    assert "did not sign it" in certs(code=1).stderr
    (folder / "tls/alpha.pem").write_bytes(before[folder / "tls/alpha.pem"])
    assert {path: path.read_bytes() for path in (folder / "tls").iterdir()} == before


def test_a_key_that_cannot_be_read(lariat, binary):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "cluster.yaml").write_text(SPECIFICATION)
        lariat("certs", folder / "cluster.yaml", "-o", folder / "tls")
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary]
        if os.geteuid() != 0 or subprocess.run([*as_nobody, "version"], capture_output=True).returncode != 0:
            pytest.skip("the program cannot be run as somebody else")
        done = subprocess.run(
            [*as_nobody, "cluster", "certs", folder / "cluster.yaml", "-o", folder / "tls"], capture_output=True,
            text=True, timeout=60)
    assert done.returncode == 66 and "tls/ca.key: cannot be read: Permission denied" in done.stderr


# check


def test_check_says_ok_and_remarks_with_their_lines(folder, lariat, certs):
    certs()
    done = lariat("check", "cluster.yaml")
    assert done.stdout.endswith("\nok\n")
    for name in ("coordinator", "alpha", "beta"):
        assert re.search(rf"^{name} .* until \d{{4}}-", done.stdout, re.M)
    # beta's memory is less than a quarter of alpha's.
    line = SPECIFICATION.splitlines().index("    memory: 500MiB") + 1
    assert f"remark: cluster.yaml:{line}: workers[1].memory: " in done.stdout
    found = json.loads(lariat("check", "cluster.yaml", "--json").stdout)
    assert found["ok"] and found["errors"] == []
    assert [(remark["line"], remark["key"]) for remark in found["remarks"]] == [(line, "workers[1].memory")]


def test_a_wrong_specification_is_64_with_its_line(folder, lariat):
    (folder / "cluster.yaml").write_text(SPECIFICATION.replace("4GiB", "4 Gigs"))
    line = SPECIFICATION.splitlines().index("    memory: 4GiB") + 1
    for command in (["check"], ["certs", "-o", "x"], ["up"], ["status"], ["down"]):
        done = lariat(command[0], "cluster.yaml", *command[1:], code=64)
        assert f"cluster.yaml:{line}: workers[0].memory: " in done.stderr
    found = json.loads(lariat("check", "cluster.yaml", "--json", code=64).stdout)
    assert not found["ok"] and found["errors"][0]["line"] == line


def test_certificates_that_end(folder, lariat, certs):
    certs("--days", 20)
    done = lariat("check", "cluster.yaml")
    assert re.search(r"remark: .*tls/alpha\.pem: ends on .* in (19|20) days", done.stdout)
    # An expired one, made by openssl with the same authority.
    tls = folder / "tls"
    openssl("req", "-new", "-key", "alpha.key", "-subj", "/CN=alpha", "-out", "alpha.csr", cwd=tls)
    (tls / "ext").write_text("subjectAltName=IP:10.1.2.3\nextendedKeyUsage=serverAuth,clientAuth\n")
    for database in ("index", "index.attr"):
        (tls / database).write_text("")
    (tls / "ca.conf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
        "[p]\ncommonName=supplied\n")
    openssl("ca", "-batch", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "alpha.csr",
            "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-extfile", "ext", "-notext", "-out",
            "alpha.pem", cwd=tls)
    done = lariat("check", "cluster.yaml", code=1)
    assert "tls/alpha.pem: ended on 2020-02-01" in done.stderr and "1 error" in done.stderr


def test_certificates_that_do_not_fit(folder, lariat, certs):
    certs()
    text = SPECIFICATION.replace("10.1.2.3", "10.1.2.4")
    (folder / "cluster.yaml").write_text(text)
    assert "tls/alpha.pem: does not name 10.1.2.4" in lariat("check", "cluster.yaml", code=1).stderr
    (folder / "cluster.yaml").write_text(SPECIFICATION)
    shutil.copy(folder / "tls/beta.key", folder / "tls/alpha.key")
    assert "is not the key of alpha's certificate" in lariat("check", "cluster.yaml", code=1).stderr
    lariat("certs", "cluster.yaml", "-o", "other")
    shutil.copy(folder / "other/alpha.pem", folder / "tls/alpha.pem")
    assert "tls/ca.pem did not sign it" in lariat("check", "cluster.yaml", code=1).stderr
    found = json.loads(lariat("check", "cluster.yaml", "--json", code=1).stdout)
    assert not found["ok"] and all(error["file"].startswith(str(folder)) for error in found["errors"])


def test_only_here_must_files_be_there_and_ports_free(folder, lariat, model):
    assert "not on this host" in lariat("check", "cluster.yaml").stdout
    done = lariat("check", "cluster.yaml", "--here", "alpha", code=1)
    for file in ("tls/ca.pem", "tls/alpha.pem", "tls/alpha.key", "model.gguf"):
        assert f"{file}: is not there; alpha needs it" in done.stderr
    assert "10.1.2.3:7411 (listen): this host has no such address" in done.stderr
    assert "beta" in lariat("check", "cluster.yaml", "--here", "gamma", code=64).stderr
    with socket.socket() as taken, socket.socket() as free, socket.socket() as other:
        for one in (taken, free, other):
            one.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [one.getsockname()[1] for one in (taken, free, other)]
        free.close()
        other.close()
        (folder / "local.yaml").write_text(
            f"model: {model}\ncoordinator: {{ listen: 127.0.0.1:{ports[0]} }}\nworkers:\n"
            f"  - {{ name: a, listen: 127.0.0.1:{ports[1]}, ring: 127.0.0.1:{ports[2]}, memory: 1GiB }}\n")
        assert f"127.0.0.1:{ports[0]}" in lariat("check", "local.yaml", "--here", "coordinator", code=1).stderr
        lariat("check", "local.yaml", "--here", "a")


def test_a_model_that_is_none(folder, lariat):
    (folder / "model.gguf").write_text("<html>")
    said = lariat("check", "cluster.yaml", code=1).stderr
    assert "model.gguf: " in said and "GGUF" in said, said


def test_a_model_that_no_process_can_open(folder, lariat, model, binary):
    """Check and coordinator say the same of it."""
    content = pathlib.Path(model).read_bytes()
    for damaged in (content[:1 << 20], content[:4] + b"\x63" + content[5:1 << 20],
                    content[:1 << 20].replace(b"llama", b"rwkv7")):
        (folder / "model.gguf").write_bytes(damaged)
        said = lariat("check", "cluster.yaml", code=1).stderr.splitlines()[0]
        started = subprocess.run([binary, "coordinator", "--model", folder / "model.gguf", "--data", folder / "data"],
                                 capture_output=True, text=True, timeout=60)
        assert started.returncode != 0
        why = said.partition("model.gguf: ")[2]
        assert why and why in started.stderr, (said, started.stderr)
    shutil.copy(model, folder / "model.gguf")
    assert "window 8,192 tokens, 93.8 MiB" in lariat("check", "cluster.yaml").stdout


def test_what_up_will_miss_is_told_on_the_desk(folder, lariat):
    (folder / "cluster.yaml").write_text(SPECIFICATION + "tokens: tokens\n")
    said = lariat("check", "cluster.yaml").stdout
    assert re.search(r"remark: \S+/tls: ca.pem, coordinator.pem, .* are not here for `lariat cluster up` to send; "
                     r"`lariat cluster certs cluster.yaml -o \S+/tls` makes them", said), said
    assert re.search(r"remark: \S+/tokens: is not here for .*`lariat cluster token NAME --role ROLE --file", said), said
    done = lariat("up", "cluster.yaml", code=66)
    assert "tokens: is not here" in done.stderr and "nothing was sent" in done.stderr, done.stderr
    # Where a process runs, the others' files are not missed.
    assert "not here for" not in lariat("check", "cluster.yaml", "--here", "alpha", code=1).stdout


# Tokens


def test_a_token_is_shown_once_and_kept_as_a_hash(folder, lariat):
    token = lariat("token", "ann", "--role", "submit", "--file", "tokens").stdout.strip()
    assert re.fullmatch(r"lariat-[\w-]{43}", token)
    path = folder / "tokens"
    assert mode(path) == 0o600
    assert path.read_text() == f"ann submit {hashlib.sha256(token.encode()).hexdigest()}\n"
    again = lariat("token", "ann", "--role", "read", "--file", "tokens", code=64)
    assert "tokens:1: \"ann\" has a token already" in again.stderr and again.stdout == ""
    done = lariat("token", "bob", "--role", "read")
    assert done.stderr.splitlines()[-1] == f"bob read {hashlib.sha256(done.stdout.strip().encode()).hexdigest()}"
    assert path.read_text().count("\n") == 1


def test_revoking_keeps_everything_else(folder, lariat):
    path = folder / "tokens"
    lariat("token", "ann", "--role", "admin", "--file", "tokens")
    # Without a line end, as an editor may leave it.
    path.write_text("# people\n" + path.read_text() + "# more")
    path.chmod(0o640)
    lariat("token", "bob", "--role", "read", "--file", "tokens")
    lariat("token", "--revoke", "ann", "--file", "tokens")
    assert re.fullmatch(r"# people\n# more\nbob read [0-9a-f]{64}\n", path.read_text()) and mode(path) == 0o640
    assert "its names are bob" in lariat("token", "--revoke", "ann", "--file", "tokens", code=64).stderr
    for wrong in (["ann"], ["--role", "read"], ["ann", "--role", "king"], ["--revoke", "bob"]):
        lariat("token", *wrong, code=64)
    path.write_text("ann submit lariat-secret\n")
    assert "lariat-secret" not in lariat("token", "eve", "--role", "read", "--file", "tokens", code=64).stderr


def test_many_at_once_lose_no_line(folder, lariat):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: lariat("token", f"user{n}", "--role", "read", "--file", "tokens"), range(16)))
    names = [line.split()[0] for line in (folder / "tokens").read_text().splitlines()]
    assert sorted(names) == sorted(f"user{n}" for n in range(16))
    assert [path.name for path in folder.iterdir() if path.name.endswith(".new")] == []


# Over ssh

needs_ssh = pytest.mark.skipif(ssh_obstacle() is not None, reason=f"no hosts: {ssh_obstacle()}")


@pytest.fixture
def spread(tmp_path, binary, model):
    with SSHHosts(tmp_path / "hosts", binary, model) as hosts:
        assert hosts.lariat("cluster", "certs", hosts.specification, "-o", hosts.tls).returncode == 0
        done = hosts.lariat(
            "cluster", "token", "ann", "--role", "admin", "--file", hosts.specification.parent / "tokens")
        hosts.token = done.stdout.strip()
        yield hosts


@needs_ssh
def test_up_status_down(spread):
    states, done = spread.status(spread.token)
    assert done.returncode == 1 and {state for state, _ in states.values()} == {"stopped"}
    up = spread.lariat("cluster", "up", spread.specification, "--timeout", 120, token=spread.token)
    assert up.returncode == 0, up.stdout + up.stderr
    address = spread.hosts.addresses
    assert "ready: coordinator" in up.stdout and f"{address['beta']}: beta started" in up.stdout
    assert up.stdout.index("coordinator started") < up.stdout.index("alpha started")
    # Each host has its own files only, for their owner only, and nothing half-copied.
    files = {name: sorted(str(path.relative_to(spread.directory(name))) for path in
                          spread.directory(name).rglob("*") if path.is_file()) for name in spread.names}
    assert files["beta"] == ["beta.log", "beta.pid", "cluster.yaml", "tls/beta.key", "tls/beta.pem", "tls/ca.pem"]
    assert {"tokens", "tls/coordinator.key", "tls/alpha.key"} < set(files["alpha"])
    assert "tls/ca.key" not in files["alpha"] and "tls/beta.key" not in files["alpha"]
    assert all(mode(spread.directory(name) / file) == 0o600 for name in files for file in files[name])
    states, done = spread.status(spread.token)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states == {"coordinator": ("running", "answers: 0 running, 0 queued"), "alpha": ("running", "ready"),
                      "beta": ("running", "ready")}
    table = spread.lariat("cluster", "status", spread.specification, token=spread.token).stdout
    assert re.search(r"^beta +10\.77\.0\.3 +running +\d+\.\d+\.\d+ +ready$", table, re.M), table
    # It works, and once more changes nothing.
    answer = spread.lariat("submit", "--max-tokens", 8, "The capital of France is", *spread.client(), token=spread.token)
    assert answer.returncode == 0 and answer.stdout.strip(), answer.stderr
    again = spread.lariat("cluster", "up", spread.specification, token=spread.token)
    assert again.returncode == 0 and again.stdout.count("runs already") == 3
    # A worker that dies is noticed, and started again alone.
    pid = int((spread.directory("beta") / "beta.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    until(lambda: spread.status(spread.token)[0]["beta"][0] == "failed", "beta is seen to have failed")
    only = spread.lariat("cluster", "up", spread.specification, "--only", "beta", token=spread.token)
    assert only.returncode == 0 and "alpha" not in only.stdout, only.stdout + only.stderr
    # Down lets a running job end.
    job = spread.popen("submit", "--max-tokens", 200, "--ignore-end", "Once upon a time", *spread.client(),
                       token=spread.token)
    until(lambda: "1 running" in spread.status(spread.token)[0]["coordinator"][1], "the job runs")
    down = spread.lariat("cluster", "down", spread.specification, "--within", 120, token=spread.token)
    assert down.returncode == 0, down.stdout + down.stderr
    assert [line.split(": ")[1].split()[0] for line in down.stdout.splitlines()][0] == "coordinator"
    assert down.stdout.count(" stopped\n") == 3
    _, said = job.communicate(timeout=30)
    assert job.returncode == 0, said + (spread.directory("alpha") / "coordinator.log").read_text()
    states, done = spread.status(spread.token)
    assert done.returncode == 1 and {state for state, _ in states.values()} == {"stopped"}
    assert spread.lariat("cluster", "down", spread.specification).returncode == 0


@needs_ssh
def test_a_drained_worker_has_stopped_and_not_failed(spread):
    """D11: it ended in order, so the cluster is well without it, until somebody starts it again."""
    assert spread.lariat("cluster", "up", spread.specification, token=spread.token).returncode == 0
    drained = spread.lariat("drain", "beta", "--wait", 120, *spread.client(), token=spread.token)
    assert drained.returncode == 0, drained.stdout + drained.stderr
    until(lambda: spread.status(spread.token)[0]["beta"][0] != "running", "beta's process ended")
    states, done = spread.status(spread.token)
    assert states["beta"][0] == "stopped" and states["alpha"] == ("running", "ready"), states
    assert done.returncode == 0 and json.loads(done.stdout)["ok"], done.stdout + done.stderr
    again = spread.lariat("cluster", "up", spread.specification, "--only", "beta", token=spread.token)
    assert again.returncode == 0 and "beta started" in again.stdout, again.stdout + again.stderr
    states, done = spread.status(spread.token)
    assert done.returncode == 0 and states["beta"] == ("running", "ready"), states
    assert spread.lariat("cluster", "down", spread.specification, "--within", 30).returncode == 0


@needs_ssh
def test_down_kills_what_does_not_end(spread):
    assert spread.lariat("cluster", "up", spread.specification, token=spread.token).returncode == 0
    pid = int((spread.directory("beta") / "beta.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    done = spread.lariat("cluster", "down", spread.specification, "--only", "beta", "--within", 2)
    assert done.returncode == 1 and "beta did not end in 2 s and was killed" in done.stdout
    assert "killed: beta" in done.stderr
    assert spread.lariat("cluster", "down", spread.specification, "--within", 30).returncode == 0


@needs_ssh
def test_errors_name_the_host(spread, tmp_path):
    at = spread.hosts.addresses
    # A key that nobody knows.
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    spread.write(key=tmp_path / "other")
    done = spread.lariat("cluster", "up", spread.specification, token=spread.token)
    assert done.returncode == 69
    for name in spread.names:
        assert re.search(rf"{at[name]}: ssh cannot log in: .*Permission denied", done.stderr), done.stderr
    assert "2 of 2 failed" in done.stderr and spread.processes("--spec") == []
    # A host that is not there: the other is copied to, and nothing starts.
    spread.write(login={"beta": "10.77.0.99"})
    done = spread.lariat("cluster", "up", spread.specification, token=spread.token)
    assert done.returncode == 69 and "10.77.0.99: ssh cannot log in" in done.stderr
    assert spread.processes("--spec") == []
    states, done = spread.status(spread.token)
    assert done.returncode == 69 and states["beta"][0] == "unknown" and states["alpha"][0] == "stopped"
    # A worker that ends at once says why.
    spread.write(model={"beta": "/no/such/model.gguf"})
    done = spread.lariat("cluster", "up", spread.specification, "--timeout", 60, token=spread.token)
    assert done.returncode == 1
    assert re.search(rf"{at['beta']}: beta does not start .*/no/such/model\.gguf", done.stderr), done.stderr
    assert spread.lariat("cluster", "down", spread.specification, "--within", 30).returncode == 0
    # No token: the coordinator says so.
    spread.write()
    done = spread.lariat("cluster", "up", spread.specification, "--timeout", 30)
    assert done.returncode == 77 and "token" in done.stderr
    assert spread.lariat("cluster", "down", spread.specification, "--within", 30).returncode == 0


@needs_ssh
def test_nothing_is_sent_with_wrong_certificates(spread):
    shutil.copy(spread.tls / "beta.key", spread.tls / "alpha.key")
    done = spread.lariat("cluster", "up", spread.specification, token=spread.token)
    assert done.returncode == 1 and "alpha.key: is not the key of alpha's certificate" in done.stderr
    assert not spread.directory("alpha").exists()
    (spread.tls / "alpha.key").unlink()
    done = spread.lariat("cluster", "up", spread.specification, token=spread.token)
    assert done.returncode == 66 and "alpha.key is not here" in done.stderr
    assert not spread.directory("alpha").exists()


@needs_ssh
def test_an_interrupt_ends_it_and_leaves_nothing_half_done(spread):
    # A host that takes the connection and then says nothing.
    for pid in [spread.daemons["beta"].pid, *spread.processes("beta.conf")]:
        os.kill(pid, signal.SIGSTOP)
    up = spread.popen("cluster", "up", spread.specification, token=spread.token)
    until(lambda: spread.processes("root@") or spread.processes(spread.hosts.addresses["beta"]), "ssh to beta runs")
    time.sleep(1)
    up.send_signal(signal.SIGINT)
    _, said = up.communicate(timeout=60)
    assert up.returncode == 130 and "interrupted" in said
    for pid in [spread.daemons["beta"].pid, *spread.processes("beta.conf")]:
        os.kill(pid, signal.SIGCONT)
    until(lambda: spread.processes("-T") == [], "no ssh is left")
    assert spread.processes("--spec") == []
    assert [path for name in spread.names for path in spread.home(name).rglob("*.new")] == []
    assert spread.lariat("cluster", "up", spread.specification, token=spread.token).returncode == 0
    assert spread.lariat("cluster", "down", spread.specification, "--within", 30).returncode == 0
