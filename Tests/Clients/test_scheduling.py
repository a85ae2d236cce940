"""Who gets which job: workers that are of no use cost none, the right one is named, short jobs do not wait for long ones."""

import contextlib
import time

import frozen
import grpc
import lariat_pb2_grpc as rpc
import pytest
from fake_worker import FakeWorker

from cluster import FAILED, PREFILL, QUEUED, SUCCEEDED, golden_tokens, pb, until

PROMPT = "Once upon a time there was a small house at the edge of the wood, and in it lived"


def member(cluster, name):
    return next((member for member in cluster.state().members if member.name == name), None)


def log_of(cluster, job):
    return [line.text for line in cluster.stub().GetLog(pb.JobRequest(id=job.id), timeout=10)]


def assert_none_is_lost(cluster, jobs, workers):
    for job in jobs:
        ended = cluster.finished(job)
        assert ended.state == SUCCEEDED, f"{job.id}: {ended.reason}"
        assert {share.worker for share in ended.shares} <= set(workers)


def test_a_worker_that_runs_an_ended_job_gets_none(cluster):
    with FakeWorker(cluster, "gamma", says="j1") as fake:
        until(lambda: member(cluster, "gamma").state == pb.Member.ASIDE, "gamma is set aside")
        assert member(cluster, "gamma").reason == "still runs j1, which ended; restart it if this lasts"
        jobs = [cluster.submit(PROMPT, max_tokens=2, workers=3) for _ in range(12)]
        assert_none_is_lost(cluster, jobs, ["alpha", "beta"])
        assert fake.plans == 0
        doctor = cluster.command("doctor")
        assert "still runs j1, which ended" in doctor.stdout
        # It has let go.
        fake.says = ""
        until(lambda: member(cluster, "gamma").state == pb.Member.READY, "gamma is ready")


def test_a_worker_that_takes_no_plan_costs_no_job(cluster):
    with FakeWorker(cluster, "gamma", accepts=False) as fake:
        jobs = [cluster.submit(PROMPT, max_tokens=2, workers=3) for _ in range(12)]
        first = cluster.finished(jobs[0], timeout=90)
        assert first.state == SUCCEEDED and first.attempt == 2, first.reason
        assert member(cluster, "gamma").state == pb.Member.ASIDE
        assert "no answer to the plan within 30 s" in member(cluster, "gamma").reason
        assert_none_is_lost(cluster, jobs, ["alpha", "beta"])
        # Each failure keeps it away for longer: a queue of any length loses little time to it.
        assert fake.plans <= 4
        assert any(line.startswith("attempt 1 of 5 ended before the job had begun") for line in log_of(cluster, first))


@pytest.mark.skipif(frozen.obstacle() is not None, reason=f"{frozen.obstacle()}")
def test_a_frozen_compute_thread_is_named_and_costs_no_other_job(make_cluster):
    """Of three workers the last one's compute thread stands still, while the process goes on to send heartbeats."""
    cluster = make_cluster(workers=("alpha", "beta", "gamma"), extra="stall_seconds: 6\n").start().wait_ready()
    job = cluster.submit(tokens=golden_tokens(8192), kind=pb.SCORE, workers=3)
    cluster.when(job, lambda now: now.state == PREFILL and now.prefilled_tokens > 0, "prefill")
    with frozen.frozen(cluster.processes["beta"].pid, "lariat engine"):
        jobs = [cluster.submit(PROMPT, max_tokens=2) for _ in range(12)]
        ended = cluster.finished(job)
        assert ended.state == FAILED
        assert ended.reason.startswith("worker beta was lost in prefill"), ended.reason
        assert_none_is_lost(cluster, jobs, ["alpha", "gamma"])
        assert member(cluster, "beta").state == pb.Member.ASIDE
        until(lambda: f"still runs {job.id}, which ended" in member(cluster, "beta").reason, "the reason is told")
    # It goes on, finds its job gone, and is as good as before.
    cluster.wait_ready()


def test_who_cannot_be_reached_for_blocks_is_named(make_cluster):
    """Names that begin alike, ten times: the one whose port for blocks is closed is named, and no job is lost."""
    cluster = make_cluster(workers=("node1", "node1-b")).start().wait_ready()
    for trial in range(10):
        with FakeWorker(cluster, f"node1.lab{trial}") as fake:
            job = cluster.finished(cluster.submit(PROMPT, max_tokens=2, workers=3))
            assert job.state == SUCCEEDED and job.attempt == 2, job.reason
            assert fake.plans == 1
            told = [line for line in log_of(cluster, job) if "back in its place" in line]
            assert len(told) == 1 and f"(worker node1.lab{trial}: cannot reach worker node1.lab{trial} at " in told[0]
            shown = member(cluster, fake.name)
            assert shown.state == pb.Member.ASIDE and "(says worker node1" in shown.reason
            assert pb.Member.ASIDE not in {member(cluster, name).state for name in cluster.workers}


def test_a_member_with_a_large_version_is_refused(cluster):
    stub = rpc.MembershipStub(cluster.channel())
    fake = FakeWorker(cluster, "gamma")
    for field in ("version", "isa", "precision", "fingerprint", "model", "reason"):
        large = fake.member()
        setattr(large, field, "x" * 3_900_000)
        for _ in range(2):
            with contextlib.suppress(grpc.RpcError):
                stub.Register(pb.RegisterRequest(member=large, instance=fake.instance), timeout=20)
    assert cluster.state().ByteSize() < 10_000
    assert cluster.command("doctor").returncode == 0
    stub.Leave(pb.HeartbeatRequest(name="gamma", instance=fake.instance), timeout=10)


@pytest.mark.parametrize("is_newer", [False, True])
def test_another_protocol_is_refused_and_jobs_wait(make_cluster, is_newer):
    cluster = make_cluster().start("coordinator")
    until(cluster.state, "the coordinator answers")
    number = cluster.state().protocol + 1 if is_newer else 0
    job = cluster.submit(PROMPT, max_tokens=2)
    stub = rpc.MembershipStub(cluster.channel())
    state = cluster.state()
    other = pb.Member(name="gamma", address="127.0.0.1:1", ring_address="127.0.0.1:2", threads=1, memory_bytes=1 << 30,
                      isa="avx2", precision="bf16", fingerprint=state.fingerprint, protocol=number, version="9.9.9")
    with pytest.raises(grpc.RpcError) as refused:
        stub.Register(pb.RegisterRequest(member=other, instance="x"), timeout=10)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert f"worker gamma protocol {number}: upgrade Lariat on" in refused.value.details()
    assert cluster.job(job).state == QUEUED
    doctor = cluster.command("doctor")
    assert "9.9.9" in doctor.stdout and "upgrade Lariat on" in doctor.stdout
    cluster.start(*cluster.workers).wait_ready()
    assert cluster.finished(job).state == SUCCEEDED


def test_the_ring_follows_the_specification(make_cluster):
    cluster = make_cluster(workers=("zeta", "w10", "w2")).start().wait_ready()
    assert [share.worker for share in cluster.run().shares] == ["zeta", "w10", "w2"]


def test_a_short_job_does_not_wait_for_a_long_one(make_cluster):
    """F11: a prefill of 16,000 tokens on two of three workers, a job for all three behind it, and a chat behind that, a
    second after the prefill began: the chat is over before the prefill."""
    cluster = make_cluster(workers=("alpha", "beta", "gamma")).start().wait_ready()
    long = cluster.submit(tokens=(2 * golden_tokens(8192))[:16_000], max_tokens=1, beyond_window=True, workers=2)
    cluster.when(long, lambda now: now.state == PREFILL, "prefill")
    time.sleep(1)
    all_three = cluster.submit(PROMPT, max_tokens=2, workers=3)
    chat = cluster.submit(PROMPT, max_tokens=4, workers=0)
    ended = cluster.finished(chat)
    assert ended.state == SUCCEEDED and [share.worker for share in ended.shares] == ["gamma"]
    waited = (ended.started_us - ended.submitted_us) / 1e6
    print(f"the chat waited {waited:.2f} s and took {(ended.finished_us - ended.started_us) / 1e6:.2f} s")
    assert cluster.job(long).state == PREFILL and cluster.job(all_three).state == QUEUED
    cluster.stub().Cancel(pb.JobRequest(id=long.id), timeout=20)
    assert cluster.finished(all_three).state == SUCCEEDED
