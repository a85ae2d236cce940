"""`lariat up` leaves nothing behind, however it ends."""

import os
import signal

import pytest

from cluster import lives, processes_naming, spawn, until


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
    up.signal("up", number)
    assert up.processes["up"].wait(timeout=30) in (0, 130, 143)
    nothing_left(up)


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
