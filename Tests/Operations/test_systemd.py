"""The units, as systemd itself reads them, and against the program that they start."""

import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import waiting
from debian import Machine, NoMachine

UNITS = ["lariat-coordinator.service", "lariat-worker@.service"]


def settings(path):
    """`key: [values]` of a unit."""
    found = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_has_nothing_to_say(repository, binary, tmp_path, unit):
    # systemd-analyze exits with 0 on unknown keys, but it names them.
    text = (repository / "Ops/systemd" / unit).read_text()
    copy = tmp_path / unit.replace("@", "@alpha")
    copy.write_text(text.replace("/usr/bin/lariat", str(binary)))
    result = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    copy.write_text(copy.read_text() + "NoSuchKey=yes\n")
    assert "NoSuchKey" in subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60).stderr


@pytest.mark.parametrize("unit,most", list(zip(UNITS, (1.2, 1.4))))
def test_exposure(repository, unit, most):
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", repository / "Ops/systemd" / unit], capture_output=True,
        text=True, timeout=60)
    score = float(re.search(r"exposure level for .*: ([\d.]+)", result.stdout).group(1))
    assert score <= most, result.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_time_to_drain(repository, binary, unit):
    unit = settings(repository / "Ops/systemd" / unit)
    command = unit["ExecStart"][0].split()
    drain = int(command[command.index("--drain-seconds") + 1])
    assert int(unit["TimeoutStopSec"][0]) >= drain + 15
    # Every option exists.
    help = subprocess.run([binary, "help", command[1]], capture_output=True, text=True, timeout=60).stdout
    for option in command[2:]:
        if option.startswith("--"):
            assert f"  {option} " in help, f"{option} is not in: {help}"


def test_writable_and_executable_memory(repository):
    """oneDNN writes code at run time: the worker cannot do without, the coordinator can."""
    assert "MemoryDenyWriteExecute" not in settings(repository / "Ops/systemd/lariat-worker@.service")
    assert settings(repository / "Ops/systemd/lariat-coordinator.service")["MemoryDenyWriteExecute"] == ["yes"]


def test_the_manager_is_told(binary, model, tmp_path):
    """READY=1 when the port is open and not before, signs of life, and STOPPING=1 on SIGTERM."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        process = subprocess.Popen(
            [binary, "coordinator", "--listen", f"127.0.0.1:{port}", "--data", tmp_path / "data", "--model", model],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"})
        try:
            told = []
            while "READY=1" not in told:
                told.append(manager.recv(4096).decode())
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            while told.count("WATCHDOG=1") < 10:
                told.append(manager.recv(4096).decode())
            assert set(told) == {"READY=1", "WATCHDOG=1"} and told.count("READY=1") == 1
            process.send_signal(signal.SIGTERM)
            while manager.recv(4096).decode() != "STOPPING=1":
                pass
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            process.communicate()


# Under a systemd that runs


until = functools.partial(waiting.until, pause=0.2)


@pytest.fixture(scope="module")
def machine(tmp_path_factory, bare_debian, package, binary, model):
    """A Debian with the package installed as anybody would, its specification as it came, and short times."""
    debian = bare_debian.copy(tmp_path_factory.mktemp("machine") / "root")
    with debian.entered():
        debian.inside("apt-get", "install", "-y", "-qq", "--no-install-recommends", "systemd-sysv", timeout=300)
        debian.install(package, binary)
    shutil.copy(model, debian / "var/lib/lariat/models/model.gguf")
    for unit in UNITS:
        folder = debian / f"etc/systemd/system/{unit}.d"
        folder.mkdir(parents=True)
        (folder / "times.conf").write_text("[Service]\nWatchdogSec=10\nRestartSec=1\n")
    try:
        machine = Machine(debian, tmp_path_factory.mktemp("machine-log") / "console.log")
    except NoMachine as why:
        pytest.skip(f"no systemd runs in a container on this machine: {why}")
    with machine:
        machine.inside("systemctl", "enable", "--now", "lariat-coordinator", "lariat-worker@alpha")
        ready(machine)
        yield machine


def ready(machine):
    machine.inside("lariat", "doctor", "--coordinator", "127.0.0.1:7400", "--ready", "60", timeout=90)


def unit(machine, name, *keys):
    shown = machine.inside("systemctl", "show", name, *[f"--property={key}" for key in keys]).stdout
    found = dict(line.split("=", 1) for line in shown.splitlines())
    return tuple(found[key] for key in keys)


def log(machine, name):
    return machine.inside("journalctl", "--unit", name, "--output=cat", "--no-pager").stdout


def submit(machine, tokens):
    """A job that decodes as many tokens, running; its id."""
    id = machine.inside("lariat", "submit", "--coordinator", "127.0.0.1:7400", "--detach", "--ignore-end", "--max-tokens",
                        tokens, "Once upon a time").stdout.strip()
    until(lambda: shown(machine, id)["state"] == "DECODE", "the job answers")
    return id


def shown(machine, id):
    return json.loads(machine.inside("lariat", "show", "--coordinator", "127.0.0.1:7400", "--json", id).stdout)


def test_services_run_in_their_cage(machine):
    """Active means that they said so themselves. They run as their own user, and see what the unit lets them see."""
    for name in ("lariat-coordinator", "lariat-worker@alpha"):
        state, pid, restarts = unit(machine, name, "ActiveState", "MainPID", "NRestarts")
        assert (state, restarts) == ("active", "0")
        status = machine.inside("cat", f"/proc/{pid}/status").stdout
        assert re.search(r"^CapEff:\s0+$", status, re.M) and re.search(r"^NoNewPrivs:\s1$", status, re.M)
        assert re.search(r"^Seccomp:\s2$", status, re.M)
        assert machine.inside("stat", "-c", "%U", f"/proc/{pid}").stdout == "lariat\n"
    # A job's work is done there: matrices by code made at run time, threads bound to cores.
    answer = machine.inside("lariat", "submit", "--coordinator", "127.0.0.1:7400", "--max-tokens", "8", "Hello", timeout=60)
    assert answer.stdout.strip()


def test_stop_drains(machine):
    id = submit(machine, 300)
    machine.inside("systemctl", "stop", "lariat-worker@alpha", timeout=120)
    assert shown(machine, id)["state"] == "SUCCEEDED"
    assert unit(machine, "lariat-worker@alpha", "ActiveState", "Result", "ExecMainStatus") == ("inactive", "success", "0")
    machine.inside("systemctl", "start", "lariat-worker@alpha")
    ready(machine)
    # Both, in the order in which a host shuts down.
    id = submit(machine, 300)
    machine.inside("systemctl", "stop", "lariat-worker@alpha", "lariat-coordinator", timeout=120)
    assert unit(machine, "lariat-coordinator", "ActiveState", "Result") == ("inactive", "success")
    machine.inside("systemctl", "start", "lariat-coordinator", "lariat-worker@alpha")
    ready(machine)
    assert shown(machine, id)["state"] == "SUCCEEDED"


@pytest.mark.parametrize("name", ["lariat-coordinator", "lariat-worker@alpha"])
def test_a_process_that_hangs_is_started_again(machine, name):
    before, restarts = unit(machine, name, "MainPID", "NRestarts")
    machine.inside("systemctl", "kill", "--signal=STOP", "--kill-whom=main", name)
    until(lambda: unit(machine, name, "NRestarts") != (restarts,), "the watchdog has bitten")
    assert "watchdog" in log(machine, name)
    until(lambda: unit(machine, name, "ActiveState") == ("active",), "it runs again")
    assert unit(machine, name, "MainPID") != (before,)
    ready(machine)


def test_a_process_that_is_killed_is_started_again(machine):
    for name in ("lariat-worker@alpha", "lariat-coordinator"):
        (restarts,) = unit(machine, name, "NRestarts")
        machine.inside("systemctl", "kill", "--signal=KILL", "--kill-whom=main", name)
        until(lambda: unit(machine, name, "NRestarts", "ActiveState") == (str(int(restarts) + 1), "active"), "it is back")
    ready(machine)


def test_a_wrong_specification_is_not_tried_again(machine):
    path = machine.debian / "etc/lariat/cluster.yaml"
    right = path.read_text()
    # Starts of other tests count, too, where too many are refused.
    machine.inside("systemctl", "reset-failed", "lariat-worker@alpha")
    try:
        path.write_text(right.replace("memory: 4GiB", "memory: plenty"))
        assert machine.inside("systemctl", "restart", "lariat-worker@alpha", check=False).returncode != 0
        assert unit(machine, "lariat-worker@alpha", "ActiveState", "Result", "ExecMainStatus") == ("failed", "exit-code", "64")
        assert "cluster.yaml:" in log(machine, "lariat-worker@alpha") and "plenty" in log(machine, "lariat-worker@alpha")
    finally:
        path.write_text(right)
        machine.inside("systemctl", "reset-failed", "lariat-worker@alpha")
        machine.inside("systemctl", "start", "lariat-worker@alpha")
    ready(machine)
