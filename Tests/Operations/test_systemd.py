"""The units, as systemd itself reads them, and against the program that they start."""

import os
import re
import signal
import socket
import subprocess

import pytest

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
