"""Processes that die or hang in the middle of a job, and what is left afterwards."""

import contextlib
import signal
import subprocess
import time

import frozen
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cluster import CANCELLED, FAILED, OVER, SUCCEEDED, Cluster, golden_tokens, lives, pb, until

PROMPT = "Once upon a time there was a small house at the edge of the wood, and in it lived"
# From the kill to the failed job, which takes 10 s at most when nothing else runs (issue 2 asks for that; it is printed).
NOTICED = 30


def long_prefill(cluster):
    """A score job of a real text that takes many seconds, seen in the middle of its prefill."""
    job = cluster.submit(tokens=golden_tokens(8192), kind=pb.SCORE)
    cluster.when(job, lambda now: now.state == pb.PREFILL and now.prefilled_tokens > 0, "prefill")
    return job


def long_decode(cluster):
    """A job with a long answer, seen in the middle of it."""
    job = cluster.submit(PROMPT, max_tokens=4000, ignore_end=True)
    cluster.when(job, lambda now: now.state == pb.DECODE and now.generated_tokens > 20, "decode")
    return job


def long_job(cluster, phase):
    return {"prefill": long_prefill, "decode": long_decode}[phase](cluster)


def assert_failed_because_of(cluster, job, worker, limit):
    begin = time.monotonic()
    ended = cluster.finished(job, timeout=limit)
    print(f"noticed after {time.monotonic() - begin:.1f} s: {ended.reason}")
    assert ended.state == FAILED and ended.finish == pb.FINISH_ERROR
    assert f"worker {worker}" in ended.reason, "the message names the worker"
    others = set(cluster.workers) - {worker}
    assert not any(f"worker {other} was lost" in ended.reason for other in others)
    assert "start it again" in ended.reason.lower() and "submit the job again" in ended.reason.lower()
    return ended


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("victim", ["alpha", "beta"])
def test_worker_killed(cluster, phase, victim):
    survivor = next(name for name in cluster.workers if name != victim)
    job = long_job(cluster, phase)
    pids = {name: process.pid for name, process in cluster.processes.items()}
    cluster.kill(victim)
    ended = assert_failed_because_of(cluster, job, victim, NOTICED)
    assert phase in ended.reason
    for name in ("coordinator", survivor):
        assert cluster.processes[name].pid == pids[name] and cluster.is_running(name)
    # The command line says the same, with an exit code for scripts.
    waited = cluster.command("wait", job.id)
    assert waited.returncode == 1 and victim in waited.stderr
    cluster.start(victim).wait_ready()
    assert {share.worker for share in cluster.run().shares} == {"alpha", "beta"}


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_worker_hangs(cluster, phase):
    job = long_job(cluster, phase)
    cluster.signal("beta", signal.SIGSTOP)
    # A hang shows only by silence: two seconds more than for a broken connection.
    assert_failed_because_of(cluster, job, "beta", NOTICED + 2)
    until(lambda: [m.state for m in cluster.state().members if m.name == "beta"] == [pb.Member.LOST], "beta is lost")
    assert cluster.is_running("coordinator") and cluster.is_running("alpha")
    # The survivor serves alone.
    assert {share.worker for share in cluster.run().shares} == {"alpha"}
    cluster.signal("beta", signal.SIGCONT)
    cluster.wait_ready()
    assert {share.worker for share in cluster.run().shares} == {"alpha", "beta"}


def stopped(cluster, name, what):
    """A worker's whole process stands still, or its compute thread alone, which leaves the heartbeats."""
    if what == "thread":
        return frozen.frozen(cluster.processes[name].pid, "lariat engine")
    return stopped_process(cluster, name)


@contextlib.contextmanager
def stopped_process(cluster, name):
    cluster.signal(name, signal.SIGSTOP)
    try:
        yield
    finally:
        cluster.signal(name, signal.SIGCONT)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("three"), workers=("alpha", "beta", "gamma"),
                 extra="stall_seconds: 2\nlost_after_seconds: 3\n") as cluster:
        yield cluster.start().wait_ready()


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("what", ["process", pytest.param(
    "thread", marks=pytest.mark.skipif(frozen.obstacle() is not None, reason=f"{frozen.obstacle()}"))])
def test_of_three_the_one_that_stands_still_is_named(three, what, phase):
    """F3: ten times in a row, each worker in its turn. A new process is not held to what the old one did."""
    for trial in range(10):
        victim = list(three.workers)[trial % 3]
        job = long_job(three, phase)
        with stopped(three, victim, what):
            ended = assert_failed_because_of(three, job, victim, NOTICED)
            assert ended.reason.startswith(f"worker {victim} was lost in {phase}"), ended.reason
        three.signal(victim, signal.SIGTERM)
        three.processes.pop(victim).wait(timeout=NOTICED)
        three.start(victim).wait_ready()


def test_a_short_pause_is_no_failure(cluster):
    expected = cluster.run(PROMPT, max_tokens=100, ignore_end=True)
    job = cluster.submit(PROMPT, max_tokens=100, ignore_end=True)
    cluster.when(job, lambda now: now.generated_tokens > 5, "decode")
    for name in ("beta", "coordinator", "alpha"):
        cluster.signal(name, signal.SIGSTOP)
        time.sleep(0.5)
        cluster.signal(name, signal.SIGCONT)
    ended = cluster.finished(job)
    assert ended.state == SUCCEEDED, ended.reason
    assert ended.text == expected.text


def test_coordinator_paused(cluster):
    """A coordinator that could not listen for longer than `lost_after_seconds` must not take workers for lost."""
    job = cluster.submit(PROMPT, max_tokens=60, ignore_end=True)
    cluster.when(job, lambda now: now.generated_tokens > 5, "decode")
    cluster.signal("coordinator", signal.SIGSTOP)
    time.sleep(7)
    cluster.signal("coordinator", signal.SIGCONT)
    ended = cluster.finished(job)
    assert ended.state == SUCCEEDED, ended.reason


def test_a_waiting_job_outlives_a_worker(cluster):
    running = long_decode(cluster)
    waiting = cluster.submit(PROMPT, max_tokens=4)
    cluster.kill("alpha")
    assert cluster.finished(running, timeout=NOTICED).state == FAILED
    # It runs on who is left: one death must not take the queue with it. So does a job that comes just after.
    for job in (waiting, cluster.submit(PROMPT, max_tokens=4)):
        ended = cluster.finished(job)
        assert ended.state == SUCCEEDED, ended.reason
        assert {share.worker for share in ended.shares} == {"beta"}


def test_worker_interrupted(cluster):
    job = long_decode(cluster)
    cluster.signal("beta", signal.SIGINT)
    assert_failed_because_of(cluster, job, "beta", NOTICED)
    assert cluster.processes.pop("beta").wait(timeout=20) == 0
    cluster.wait_ready(["alpha"])


def job_of(follower):
    """The id that `lariat submit` prints first."""
    line = follower.stderr.readline().decode()
    assert line.startswith("lariat: job "), line
    return line.split()[2]


@pytest.fixture
def follower(cluster):
    """`lariat submit` at work: it has printed some of its answer."""
    process = cluster.open_command("submit", PROMPT, "--max-tokens", 300, "--ignore-end",
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        process.job = job_of(process)
        assert process.stdout.read(1)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def assert_whole_answer(cluster, id):
    attached = cluster.command("attach", id)
    job = cluster.job(id)
    assert attached.returncode == 0, attached.stderr
    assert job.state == SUCCEEDED and job.generated_tokens == 300
    assert attached.stdout.rstrip("\n") == job.text.decode().rstrip("\n")
    # And once more, when all is over.
    assert cluster.command("attach", id).stdout == attached.stdout


def test_client_killed(cluster, follower):
    follower.kill()
    assert follower.wait(timeout=10) == -signal.SIGKILL
    assert cluster.job(follower.job).state not in OVER, "too fast for this test"
    assert_whole_answer(cluster, follower.job)


def test_interrupt_detaches(cluster, follower):
    follower.send_signal(signal.SIGINT)
    assert follower.wait(timeout=10) == 130
    said = follower.stderr.read().decode()
    assert follower.job in said and "attach" in said, said
    assert cluster.job(follower.job).state not in OVER, "too fast for this test"
    assert_whole_answer(cluster, follower.job)


def test_coordinator_killed_and_restarted(make_cluster):
    cluster = make_cluster().start().wait_ready()
    done = cluster.run(max_tokens=12, name="done")
    cancelled = cluster.submit(PROMPT, max_tokens=3000, ignore_end=True, name="cancelled")
    cluster.stub().Cancel(pb.JobRequest(id=cancelled.id), timeout=20)
    running = cluster.submit(PROMPT, max_tokens=3000, ignore_end=True, name="running")
    waiting = cluster.submit(PROMPT, max_tokens=6, name="waiting")
    seen = cluster.when(running, lambda now: now.generated_tokens > 20, "decode")
    assert cluster.job(waiting).state == pb.QUEUED
    cluster.kill("coordinator")
    assert all(cluster.is_running(name) for name in cluster.workers)
    # Nobody to run anything: what waited still waits when the coordinator is back.
    for name in cluster.workers:
        cluster.signal(name, signal.SIGSTOP)
    cluster.start("coordinator")
    until(cluster.state, "the coordinator answers")
    jobs = {job.options.name: job for job in cluster.stub().ListJobs(pb.ListJobsRequest(), timeout=10).jobs}
    assert set(jobs) == {"done", "cancelled", "running", "waiting"}
    assert jobs["done"].state == SUCCEEDED and jobs["cancelled"].state == CANCELLED
    assert jobs["running"].state == FAILED and "coordinator" in jobs["running"].reason
    assert "again" in jobs["running"].reason, "what to do"
    assert jobs["waiting"].state == pb.QUEUED
    assert cluster.job(done) == done, "a finished job's record is what it was"
    kept = cluster.job(running).text
    assert kept and seen.text.startswith(kept[:10]), "the part of the answer that was there is kept"
    events = cluster.attach(running)
    assert events[-1].kind == pb.JobEvent.END and events[-1].job.state == FAILED
    assert b"".join(event.text for event in events) == kept
    # Workers come back by themselves and the waiting job runs.
    pids = {name: cluster.processes[name].pid for name in cluster.workers}
    for name in cluster.workers:
        cluster.signal(name, signal.SIGCONT)
    finished = cluster.finished(waiting)
    assert finished.state == SUCCEEDED, finished.reason
    cluster.wait_ready()
    assert pids == {name: cluster.processes[name].pid for name in cluster.workers}
    assert all(lives(pid) for pid in pids.values())
    # Names of jobs go on where they were.
    assert cluster.run().id not in {job.id for job in jobs.values()}


def test_coordinator_interrupted(make_cluster):
    cluster = make_cluster().start().wait_ready()
    running = long_decode(cluster)
    waiting = cluster.submit(PROMPT, max_tokens=4)
    watch = health_pb2_grpc.HealthStub(cluster.channel()).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    cluster.signal("coordinator", signal.SIGINT)
    # Told before the end, so that a balancer can look elsewhere.
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert cluster.processes.pop("coordinator").wait(timeout=30) == 0
    cluster.start("coordinator")
    until(cluster.state, "the coordinator answers")
    ended = cluster.job(running)
    assert ended.state == FAILED and ended.text and "coordinator" in ended.reason, ended.reason
    assert cluster.finished(waiting).state == SUCCEEDED


def test_follower_learns_that_the_coordinator_died(make_cluster):
    cluster = make_cluster(workers=("alpha",)).start().wait_ready()
    process = cluster.open_command("submit", PROMPT, "--max-tokens", 3000, "--ignore-end",
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        id = job_of(process)
        assert process.stdout.read(1)
        cluster.kill("coordinator")
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait(timeout=10)
    assert process.returncode == 69, said.decode()
    assert id in said.decode() and "attach" in said.decode(), said.decode()
