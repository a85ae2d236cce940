"""Operating a cluster: draining, orderly ends, upgrades one after another, timelines."""

import concurrent.futures
import json
import pathlib
import re
import signal

import pytest

from cluster import CANCELLED, PATIENCE, PREFILL, SUCCEEDED, command, golden_tokens, pb, refused, until


def states(cluster):
    return {member.name: pb.Member.State.Name(member.state).lower() for member in cluster.state().members}


def long_job(cluster, max_tokens=200):
    """A job that decodes for some seconds, seen in decode."""
    job = cluster.submit(tokens=golden_tokens(600), max_tokens=max_tokens, ignore_end=True)
    cluster.when(job, lambda now: now.generated_tokens > 0, "the first token")
    return job


def ended(cluster, name):
    """Waits until this process has ended; its exit code."""
    return until(lambda: None if cluster.processes[name].poll() is None else (cluster.processes.pop(name).returncode,),
                 f"{name} ends")[0]


def test_a_drained_worker_finishes_its_job_and_leaves(make_cluster):
    cluster = make_cluster().start().wait_ready()
    job = long_job(cluster)
    assert "alpha: draining" in cluster.command("drain", "alpha").stdout
    assert states(cluster) == {"alpha": "draining", "beta": "busy"}
    # The job goes on with both; the next one takes what is left.
    second = cluster.submit(tokens=golden_tokens(50), max_tokens=2)
    assert cluster.finished(job).state == SUCCEEDED
    assert ended(cluster, "alpha") == 0
    done = cluster.finished(second)
    assert done.state == SUCCEEDED, done.reason
    assert [share.worker for share in done.shares] == ["beta"]
    # The last heartbeat may still name the job.
    until(lambda: states(cluster) == {"beta": "ready"}, "beta is ready")
    # It comes back as a new one.
    cluster.start("alpha").wait_ready()
    assert len(cluster.run().shares) == 2


def test_work_is_counted_while_a_job_runs(cluster):
    """A prefill of hours is not silent until it ends; what was counted of one that is cancelled stays."""
    def sums():
        return (cluster.metric("lariat_link_bytes_total", **{"from": "alpha", "to": "beta"}),
                cluster.metric("lariat_worker_compute_seconds_total", worker="alpha"))
    before = sums()
    job = cluster.submit(tokens=golden_tokens(8192) * 3, beyond_window=True, max_tokens=1)
    until(lambda: all(now > then for now, then in zip(sums(), before)), "bytes and seconds are counted")
    assert cluster.job(job).state == PREFILL
    seen = sums()
    cluster.stub().Cancel(pb.JobRequest(id=job.id), timeout=20)
    assert cluster.finished(job).state == CANCELLED
    assert all(now >= then for now, then in zip(sums(), seen))


def test_draining_can_be_undone_and_names_are_checked(cluster):
    job = long_job(cluster)
    assert cluster.command("drain", "127.0.0.1").returncode == 0
    assert set(states(cluster).values()) == {"draining"}
    waiting = cluster.submit(tokens=golden_tokens(20), max_tokens=1)
    assert "draining" in cluster.job(waiting).reason
    assert "taken again" in cluster.command("drain", "127.0.0.1", "--undo").stdout
    for this in (job, waiting):
        assert cluster.finished(this).state == SUCCEEDED
    until(lambda: set(states(cluster).values()) == {"ready"}, "both take jobs again")
    refused(cluster.command("drain", "nobody"), "nobody", "alpha on 127.0.0.1", "beta on 127.0.0.1")
    refused(cluster.command("drain", "alpha", "--wait", "-1"), "--wait", code=64)


def test_sigterm_drains_a_worker(make_cluster):
    cluster = make_cluster().start().wait_ready()
    job = long_job(cluster)
    cluster.signal("beta", signal.SIGTERM)
    until(lambda: states(cluster)["beta"] == "draining", "beta drains")
    assert cluster.finished(job).state == SUCCEEDED
    assert ended(cluster, "beta") == 0


def test_sigterm_drains_the_coordinator(make_cluster):
    cluster = make_cluster().start().wait_ready()
    job = long_job(cluster)
    waiting = cluster.submit(tokens=golden_tokens(30), max_tokens=2)
    cluster.signal("coordinator", signal.SIGTERM)
    until(lambda: "drains" in cluster.log("coordinator").read_text(), "the coordinator drains")
    refused(cluster.command("submit", "hello"), "shutting down", code=69)
    assert ended(cluster, "coordinator") == 0
    # Its successor knows how the job ended, and runs what waited.
    cluster.start("coordinator").wait_ready()
    assert cluster.job(job).state == SUCCEEDED
    assert cluster.finished(waiting).state == SUCCEEDED


def test_a_drain_has_its_limit(make_cluster, tmp_path):
    cluster = make_cluster(workers=("alpha",))
    cluster.start("coordinator")
    from cluster import spawn
    cluster.processes["alpha"] = spawn(
        ["worker", "--name", "alpha", "--spec", cluster.specification, "--drain-seconds", "1"], cluster.log("alpha"))
    cluster.wait_ready()
    job = cluster.submit(tokens=golden_tokens(600), max_tokens=5000, ignore_end=True)
    cluster.when(job, lambda now: now.generated_tokens > 0, "the first token")
    cluster.signal("alpha", signal.SIGTERM)
    assert ended(cluster, "alpha") == 0
    done = cluster.finished(job)
    assert done.state == pb.FAILED and "alpha" in done.reason


def test_an_upgrade_of_one_worker_after_another_loses_no_job(make_cluster):
    cluster = make_cluster(workers=("alpha", "beta", "gamma")).start().wait_ready()
    jobs = [cluster.submit(tokens=golden_tokens(300), max_tokens=60, ignore_end=True) for _ in range(6)]
    for name in ("alpha", "beta", "gamma"):
        assert cluster.command("drain", name, "--wait", str(PATIENCE), timeout=2 * PATIENCE).returncode == 0
        assert ended(cluster, name) == 0
        cluster.start(name)
        until(lambda: states(cluster).get(name) in ("ready", "busy"), f"{name} is back")
    for job in jobs:
        done = cluster.finished(job)
        assert done.state == SUCCEEDED and done.generated_tokens == 60, done.reason


def test_a_timeline_shows_what_every_worker_did(cluster, tmp_path):
    job = cluster.run(text=None, tokens=golden_tokens(2000), max_tokens=3, ignore_end=True)
    target = tmp_path / "trace.json"
    assert cluster.command("trace", job.id, "-o", str(target)).returncode == 0
    events = json.loads(target.read_text())["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    for rank in (1, 2):
        mine = [event for event in slices if event["pid"] == rank]
        layers = {event["args"]["layer"] for event in mine if event["name"] == "dense"}
        assert layers == set(range(30))
        for step in (0, 1):
            assert {event["args"]["layer"] for event in mine if event["name"] == f"attention, step {step}"} == layers
        blocks = [event for event in mine if event["name"].startswith("block")]
        received = job.shares[rank - 1].ring_bytes_received
        assert 0.9 * received <= sum(event["args"]["bytes"] for event in blocks) <= received
        for track in {event["tid"] for event in mine}:
            own = sorted((event["ts"], event["ts"] + event["dur"]) for event in mine if event["tid"] == track)
            assert all(before[1] <= after[0] for before, after in zip(own, own[1:]))
    tokens = [event for event in slices if event["name"].startswith("token")]
    assert len(tokens) == 2  # the first comes from the prompt
    assert json.loads(cluster.command("trace", job.id, "-o", "-").stdout)["traceEvents"]


def test_timelines_that_are_not_there(cluster, tmp_path):
    refused(cluster.command("trace", "j999999"), "no job")
    job = cluster.run()
    refused(cluster.command("trace", job.id, "-o", str(tmp_path / "none" / "t.json")), "cannot be written")


@pytest.mark.parametrize("value", ["-1", "many", "1e9"])
def test_a_drain_limit_must_make_sense(value):
    refused(command("worker", "--drain-seconds", value), "drain-seconds", code=64)


def footprint(cluster):
    """Resident memory in MiB and open files, by process."""
    found = {}
    for name, process in cluster.processes.items():
        proc = pathlib.Path(f"/proc/{process.pid}")
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", (proc / "status").read_text())[1]) / 1024
        found[name] = resident, len(list((proc / "fd").iterdir()))
    return found


def test_two_hundred_jobs_in_a_row_and_32_at_once_leave_nothing_behind(make_cluster):
    cluster = make_cluster().start().wait_ready()
    def one(number):
        return cluster.run(f"The number {number} is", max_tokens=2, ignore_end=True)
    # What is set up once, and caches: afterwards nothing may grow any more.
    for number in range(40):
        one(number)
    before = footprint(cluster)
    for number in range(200):
        assert one(number).generated_tokens == 2
    jobs = []
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        jobs = list(pool.map(lambda number: cluster.submit(f"Many at once, {number}", max_tokens=2, ignore_end=True),
                             range(32)))
    assert len({job.id for job in jobs}) == 32
    for job in jobs:
        assert cluster.finished(job).state == SUCCEEDED
    after = footprint(cluster)
    for name, (resident, files) in after.items():
        # 232 jobs: 64 MiB would be 280 KiB a job, far less than the keys and values of one.
        assert resident - before[name][0] < 64, (name, before, after)
        assert files - before[name][1] <= 4, (name, before, after)
    listed = cluster.stub().ListJobs(pb.ListJobsRequest(active_only=True), timeout=10).jobs
    assert not listed
