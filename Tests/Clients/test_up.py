"""`lariat up` leaves nothing behind, however it ends."""

import os
import re
import signal
import socket
import urllib.request

import pytest

from cluster import MODEL, command, lives, processes_naming, refused, spawn, until


@pytest.fixture
def up(make_cluster):
    """A whole cluster that runs under one `lariat up`."""
    cluster = make_cluster()
    cluster.processes["up"] = spawn(["up", cluster.specification], cluster.log("up"))
    until(lambda: "ready:" in cluster.log("up").read_text(), "the cluster is ready")
    cluster.children = processes_naming(cluster.specification)
    assert len(cluster.children) == 4, "up, a coordinator and two workers"
    cluster.run()
    return cluster


def nothing_left(cluster):
    until(lambda: not any(lives(pid) for pid in cluster.children) and not processes_naming(cluster.specification),
          f"all of {cluster.children} are gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped(up, number):
    # A page is open, and follows what happens.
    with urllib.request.urlopen(f"{up.web}/api/v1/events", timeout=20) as events:
        assert events.readline().startswith(b"event:")
        started = up.log("up").read_text()
        up.signal("up", number)
        assert up.processes["up"].wait(timeout=30) in (0, 130, 143)
    nothing_left(up)
    # An end that was asked for is no error, and each listener is told once.
    said = up.log("up").read_text()[len(started):]
    assert not re.search("error|warning", said, re.IGNORECASE), said
    for address in (up.web_address, up.metrics):
        assert sum(address in line for line in started.splitlines() if " info " in line) == 1, started


def test_stopped_in_mid_job(up):
    job = up.submit("Once upon a time", max_tokens=3000, ignore_end=True)
    up.when(job, lambda now: now.generated_tokens > 5, "decode")
    up.signal("up", signal.SIGTERM)
    up.processes["up"].wait(timeout=30)
    nothing_left(up)


def test_killed(up):
    up.signal("up", signal.SIGKILL)
    up.processes["up"].wait(timeout=10)
    nothing_left(up)


def test_coordinator_dies(up):
    coordinator = next(pid for pid in up.children if b"\0coordinator\0" in open(f"/proc/{pid}/cmdline", "rb").read())
    os.kill(coordinator, signal.SIGKILL)
    assert up.processes["up"].wait(timeout=30) == 1
    assert "coordinator ended" in up.log("up").read_text()
    nothing_left(up)


def test_worker_dies(up):
    worker = next(pid for pid in up.children if b"\0beta\0" in open(f"/proc/{pid}/cmdline", "rb").read())
    os.kill(worker, signal.SIGKILL)
    until(lambda: "worker beta ended" in up.log("up").read_text(), "up says so")
    up.wait_ready(["alpha"])
    assert {share.worker for share in up.run().shares} == {"alpha"}
    # Started again by hand, as the message says.
    assert f"lariat worker --spec {up.specification} --name beta" in up.log("up").read_text()
    up.start("beta").wait_ready()
    up.run()


# From a model alone


@pytest.fixture
def up_model(tmp_path):
    """Starts `lariat up --model`; its log and its coordinator's address."""
    started = []

    def up(name, *options):
        log = tmp_path / f"{name}.log"
        process = spawn(["up", "--model", MODEL, "--data", tmp_path / name, "--memory", "256MiB", *options], log)
        started.append(process)
        until(lambda: "ready:" in log.read_text(), "the cluster is ready")
        return process, log, re.search(r"ready: coordinator (127\.0\.0\.1:\d+)", log.read_text())[1]

    yield up
    for process in started:
        process.kill()
        process.wait(timeout=10)
    for name in {str(tmp_path)}:
        until(lambda: not processes_naming(name), "nothing is left")


def test_a_healthy_life_has_no_warning_and_no_error(up_model, tmp_path):
    process, log, address = up_model("one", "--workers", 2, "--threads", 1)
    answer = command("submit", "What is the capital of France?", "--max-tokens", 16, "--coordinator", address)
    assert answer.returncode == 0 and "Paris" in answer.stdout, answer.stderr
    checked = command("doctor", "--coordinator", address, "--json")
    assert checked.returncode == 0, checked.stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    said = log.read_text()
    assert "warning" not in said.lower() and "error" not in said.lower(), said
    # The next command to type, once.
    assert said.count("lariat submit") == 1
    assert not processes_naming(tmp_path / "one")
    assert (tmp_path / "one").stat().st_mode & 0o077 == 0 and (tmp_path / "one" / "up.yaml").stat().st_mode & 0o077 == 0


def test_two_clusters_from_models_have_ports_of_their_own(up_model):
    _, log, first = up_model("one")
    _, _, second = up_model("two")
    assert first != second
    for address in (first, second):
        checked = command("doctor", "--coordinator", address)
        assert checked.returncode == 0 and "worker-1" in checked.stdout
    # What a person types next names the coordinator, unless it is the usual one.
    assert (f"--coordinator {first}" in log.read_text()) == (first != "127.0.0.1:7400")


def test_a_second_up_on_the_same_ports_is_not_ready(up):
    again = command("up", up.specification)
    said = refused(again, up.address, "in use by lariat (process ", code=1)
    assert "ready" not in again.stdout, again.stdout
    # The first is as it was.
    up.run()
    assert "warning" not in up.log("up").read_text(), said


def test_a_port_of_another_program(make_cluster):
    cluster = make_cluster()
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(cluster.web_address.rpartition(":")[2])))
        other.listen()
        refused(command("up", cluster.specification), cluster.web_address, "in use by", f"(process {os.getpid()})")
    assert not cluster.data.exists()


def test_what_up_is_told(tmp_path):
    refused(command("up"), "--model", code=64)
    refused(command("up", "--model", MODEL, "cluster.yaml"), "--model", code=64)
    refused(command("up", "cluster.yaml", "--workers", 2), "--workers", code=64)
    refused(command("up", "model.gguf"), "lariat up --model model.gguf", code=64)
    refused(command("up", "--model", tmp_path / "none.gguf"), "none.gguf", "model file", code=66)
    refused(command("up", "--model", tmp_path), "folder", code=66)
    refused(command("up", "--model", MODEL, "--workers", 0), "--workers", code=64)


def test_an_absent_model_of_a_specification(make_cluster, tmp_path):
    refused(command("up", make_cluster(model=tmp_path / "none.gguf").specification), "none.gguf", "model file", code=66)
