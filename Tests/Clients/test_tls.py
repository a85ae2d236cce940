"""Mutual TLS: everything works with the cluster's certificates and nothing without."""

import http.client
import ssl
import subprocess
import urllib.error
import urllib.request

import grpc
import lariat_pb2_grpc as rpc
import pytest

from cluster import Cluster, command, free_ports, pb, refused, spawn, until


class Authority:
    """A certificate authority made with openssl."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.ca = folder / "ca.pem"
        self._openssl("req", "-x509", *self._key("ca"), "-out", self.ca, "-days", "2", "-subj", "/CN=Lariat test CA",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    def issue(self, name, subject="IP:127.0.0.1,DNS:localhost", days=2):
        """Files of a new certificate, as a specification's `tls:` wants them; with negative days one that has expired."""
        request, certificate = self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        extensions = self.folder / f"{name}.ext"
        names = f"subjectAltName={subject}\n" if subject else ""
        extensions.write_text(f"{names}extendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("req", "-new", *self._key(name), "-out", request, "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key",
                      "-CAcreateserial", "-out", certificate, "-days", days, "-extfile", extensions)
        return {"ca": self.ca, "certificate": certificate, "key": self.folder / f"{name}.key"}

    def _key(self, name):
        file = self.folder / f"{name}.key"
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file]

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=20)


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(folder / "ours"), Authority(folder / "others")


@pytest.fixture(scope="module")
def secured(tmp_path_factory, authorities):
    with Cluster(tmp_path_factory.mktemp("secured"), tls=authorities[0].issue("process")) as cluster:
        yield cluster.start().wait_ready()


def test_a_job_through_grpcio(secured):
    job = secured.run("The capital of France is", max_tokens=8)
    assert {share.worker for share in job.shares} == {"alpha", "beta"}
    assert b"".join(event.text for event in secured.attach(job)) == job.text


def test_a_job_through_the_command_line(secured):
    submitted = secured.command("submit", "--raw", "The capital of France is", "--max-tokens", 8)
    assert submitted.returncode == 0, submitted.stderr
    assert "Paris" in submitted.stdout
    for arguments in (["jobs"], ["show"], ["doctor"]):
        result = secured.command(*arguments)
        assert result.returncode == 0, result.stderr
    checked = command("doctor", "--spec", secured.specification)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def unreachable(channel):
    with channel, pytest.raises(grpc.RpcError) as failure:
        rpc.CoordinatorStub(channel).GetCluster(pb.ClusterRequest(), timeout=10)
    assert failure.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED), failure.value


def addresses(cluster):
    return [cluster.address] + [a for worker in cluster.workers.values() for a in (worker.listen, worker.ring)]


def test_without_a_certificate(secured):
    ca = secured.tls["ca"].read_bytes()
    before = secured.metric("lariat_rpc_refused_total", reason="tls")
    for address in addresses(secured):
        unreachable(grpc.secure_channel(address, grpc.ssl_channel_credentials(ca)))
    assert secured.metric("lariat_rpc_refused_total", reason="tls") > before
    secured.run()


def test_with_an_expired_certificate(secured, authorities):
    expired = authorities[0].issue("expired", days=-1)
    before = secured.metric("lariat_rpc_refused_total", reason="tls")
    for address in addresses(secured):
        unreachable(grpc.secure_channel(address, grpc.ssl_channel_credentials(
            *(expired[key].read_bytes() for key in ("ca", "key", "certificate")))))
    assert secured.metric("lariat_rpc_refused_total", reason="tls") > before
    secured.run()


def test_the_web_port_has_the_same_certificate(secured, authorities):
    trusting = ssl.create_default_context(cafile=str(secured.tls["ca"]))
    with urllib.request.urlopen(f"{secured.web}/v1/models", context=trusting, timeout=10) as reply:
        assert reply.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{secured.web}/v1/models", context=ssl.create_default_context(
            cafile=str(authorities[1].ca)), timeout=10)
    # No plain HTTP there.
    with pytest.raises((urllib.error.URLError, ConnectionError, http.client.HTTPException)):
        urllib.request.urlopen(f"http://{secured.web_address}/v1/models", timeout=10)


def test_with_a_certificate_of_another_authority(secured, authorities):
    foreign = authorities[1].issue("stranger")
    ca = secured.tls["ca"].read_bytes()
    for address in addresses(secured):
        unreachable(grpc.secure_channel(address, grpc.ssl_channel_credentials(
            ca, foreign["key"].read_bytes(), foreign["certificate"].read_bytes())))
    # Our own client does not trust a stranger's authority either.
    options = [part for key, value in foreign.items() for part in (f"--tls-{key}", value)]
    refused(command("jobs", "--coordinator", secured.address, *options), secured.address, code=69)
    secured.run()


def test_in_plain_text(secured):
    for address in addresses(secured):
        unreachable(grpc.insecure_channel(address))
    # D13: who asks without certificates is told what is missing, not that nobody is there.
    said = refused(command("jobs", "--coordinator", secured.address), secured.address,
                   "it may want TLS: --tls-ca, --tls-certificate and --tls-key, all three", code=69)
    assert "start one" not in said
    secured.run()


def test_tls_client_on_a_plain_port(cluster, authorities):
    options = [part for key, value in authorities[0].issue("client").items() for part in (f"--tls-{key}", value)]
    refused(command("jobs", "--coordinator", cluster.address, *options), cluster.address, "it may be without TLS",
            "leave --tls-ca, --tls-certificate and --tls-key out", code=69)
    cluster.run()


def test_a_worker_of_another_authority(tmp_path, secured, authorities):
    """Neither does a worker with foreign certificates join, nor does a plain one."""
    foreign = authorities[1].issue("worker")
    ours = secured.tls
    cases = {
        "foreign": [part for key, value in foreign.items() for part in (f"--tls-{key}", value)],
        "mixed": ["--tls-ca", ours["ca"], "--tls-certificate", foreign["certificate"], "--tls-key", foreign["key"]],
        "plain": [],
    }
    for name, options in cases.items():
        control, ring = (f"127.0.0.1:{port}" for port in free_ports(2))
        log = tmp_path / f"{name}.log"
        process = spawn(["worker", "--name", name, "--listen", control, "--ring", ring, "--memory", "1GiB",
                         "--threads", "1", "--coordinator", secured.address, "--model", secured.model, *options], log)
        try:
            until(lambda: "not in the cluster" in log.read_text(), f"the {name} worker says so: {log.read_text()}")
            assert {member.name for member in secured.state().members} == {"alpha", "beta"}
        finally:
            process.kill()
            process.wait(timeout=10)


def test_up_with_tls(make_cluster, authorities):
    cluster = make_cluster(tls=authorities[0].issue("up"))
    cluster.processes["up"] = spawn(["up", cluster.specification], cluster.log("up"))
    until(lambda: "ready:" in cluster.log("up").read_text(), "the cluster is ready")
    cluster.run()


def test_a_certificate_for_another_address(make_cluster, authorities):
    cluster = make_cluster(workers=("alpha",), tls=authorities[0].issue("elsewhere", "IP:127.9.9.9"))
    cluster.start("coordinator")
    until(lambda: "serves" in cluster.log("coordinator").read_text(), "the coordinator serves")
    said = refused(cluster.command("jobs"), cluster.address, code=69)
    assert "certificate" in said.lower(), said


def test_wrong_files(make_cluster, authorities, tmp_path):
    good = authorities[0].issue("good")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("this is no certificate\n")
    for key in good:
        for path in (nonsense, tmp_path / "absent.pem"):
            cluster = make_cluster(workers=("alpha",), tls={**good, key: path})
            refused(command("coordinator", "--spec", cluster.specification), path)
            refused(command("worker", "--spec", cluster.specification, "--name", "alpha"), path)
    # A key that belongs to another certificate.
    other = authorities[0].issue("other")
    cluster = make_cluster(workers=("alpha",), tls={**good, "key": other["key"]})
    refused(command("coordinator", "--spec", cluster.specification), "key")


def status_of(call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


def channel_with(files, address):
    read = lambda key: files[key].read_bytes()
    return grpc.secure_channel(
        address, grpc.ssl_channel_credentials(read("ca"), read("key"), read("certificate")),
        [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)])


def test_a_certificate_for_people_is_no_worker(secured, authorities):
    """It opens what clients use, and nothing that a process of the cluster is trusted with."""
    person = authorities[0].issue("person", subject=None)
    with channel_with(person, secured.address) as channel:
        state = rpc.CoordinatorStub(channel).GetCluster(pb.ClusterRequest(), timeout=10)
        known = state.members[0]
        member = pb.Member(name="gamma", address="127.0.0.1:1", ring_address="127.0.0.1:2", threads=1,
                           memory_bytes=1 << 30, isa=known.isa, precision=known.precision,
                           fingerprint=state.fingerprint, protocol=state.protocol)
        membership = rpc.MembershipStub(channel)
        register = pb.RegisterRequest(member=member, instance="x")
        code, details = status_of(lambda: membership.Register(register, timeout=10))
        assert code == grpc.StatusCode.PERMISSION_DENIED and "it is one for people" in details
        beat = pb.HeartbeatRequest(name="alpha", instance="x")
        for call in (membership.Heartbeat, membership.Leave):
            assert status_of(lambda: call(beat, timeout=10))[0] == grpc.StatusCode.PERMISSION_DENIED
    assert [m.name for m in secured.state().members] == ["alpha", "beta"]
    worker = secured.workers["alpha"]
    with channel_with(person, worker.listen) as channel:
        stub = rpc.WorkerStub(channel)
        code, details = status_of(lambda: stub.Calibrate(pb.CalibrateRequest(), timeout=10))
        assert code == grpc.StatusCode.PERMISSION_DENIED and "it is one for people" in details
        plan = pb.RunCommand(plan=pb.RunPlan(job="j1"))
        assert status_of(lambda: list(stub.Run(iter([plan]), timeout=10)))[0] == grpc.StatusCode.PERMISSION_DENIED
    with channel_with(person, worker.ring) as channel:
        ring = rpc.RingStub(channel)
        for call in (ring.Exchange, ring.Probe):
            code, _ = status_of(lambda: call(iter([pb.RingMessage()]), timeout=10))
            assert code == grpc.StatusCode.PERMISSION_DENIED


def test_a_worker_is_where_its_certificate_says(secured, authorities):
    elsewhere = authorities[0].issue("elsewhere", subject="DNS:elsewhere.lab")
    with channel_with(elsewhere, secured.address) as channel:
        member = pb.Member(name="gamma", address="127.0.0.1:1", ring_address="127.0.0.1:2", threads=1)
        stub = rpc.MembershipStub(channel)
        request = pb.RegisterRequest(member=member, instance="x")
        code, details = status_of(lambda: stub.Register(request, timeout=10))
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert details.startswith("this certificate is for elsewhere.lab, not for 127.0.0.1")
    with channel_with(elsewhere, secured.workers["alpha"].listen) as channel:
        code, _ = status_of(lambda: rpc.WorkerStub(channel).Calibrate(pb.CalibrateRequest(), timeout=10))
        assert code == grpc.StatusCode.PERMISSION_DENIED
