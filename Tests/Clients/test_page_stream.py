"""The page's stream of events beside a long queue: small, and in nobody's way."""

import concurrent.futures
import contextlib
import json
import shutil
import urllib.request

import pytest

from cluster import PATIENCE, QUEUED, Cluster, parts, pb, until

JOBS = 300  # more than the coordinator tells of at once
SYSTEM = ("word " * (1 << 18))[:1 << 20]  # the longest that is taken


@contextlib.contextmanager
def page(cluster):
    """An open page: reads its events, `(name, data)`, as they come."""
    with urllib.request.urlopen(f"{cluster.web}/api/v1/events", timeout=PATIENCE) as reply:
        def events():
            name = None
            for line in reply:
                line = line.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    yield name, line[6:]
        yield events()


@pytest.fixture
def cluster(tmp_path):
    """A coordinator without workers: all jobs wait. What it keeps of them is hundreds of megabytes, which go at once."""
    with Cluster(tmp_path / "cluster") as cluster:
        yield cluster.start("coordinator")
    shutil.rmtree(cluster.data)


def test_a_long_queue_is_told_in_small_pieces(cluster):
    """F9: 300 jobs with a system message of 1 MiB each wait, and pages come and go."""
    until(cluster.state, "the coordinator answers")
    stub = cluster.stub()
    ids = [stub.Submit(parts("x", chat=True, system=SYSTEM, beyond_window=True, max_tokens=1), timeout=PATIENCE).id
           for _ in range(JOBS)]
    with page(cluster) as events:
        told, order = set(), None
        for name, data in events:
            assert len(data) < 8 << 10, f"an event {name} of {len(data)} bytes"
            if name == "job":
                job = json.loads(data)
                assert job["options"]["system"] == "" and job["state"] == "QUEUED"
                told.add(job["id"])
            if name == "queue":
                order = json.loads(data)["jobs"]
            if len(told) == JOBS and order == ids:
                break
        # The first one goes: all move on, and no job is told of again but the one that went.
        stub.Cancel(pb.JobRequest(id=ids[0]), timeout=20)
        again, order = set(), None
        for name, data in events:
            if name == "job":
                again.add(json.loads(data)["id"])
            if name == "queue":
                order = json.loads(data)["jobs"]
            if again and order == ids[1:]:
                break
        assert again == {ids[0]}
    # Pages that come and go keep nobody from an answer, and no page from its first event.
    def visit(number):
        with page(cluster) as events:
            return next(events)[0] if number % 2 else None

    with concurrent.futures.ThreadPoolExecutor() as pool:
        visits = [pool.submit(visit, number) for number in range(20)]
        while True:
            with page(cluster) as events:
                assert next(events)[0] == "cluster"
            with urllib.request.urlopen(f"{cluster.web}/v1/models", timeout=PATIENCE) as reply:
                assert reply.status == 200
            if all(one.done() for one in visits):
                break
        assert [one.result() for one in visits] == [None, "cluster"] * 10
    # The system message is in the prompt alone.
    waiting = cluster.job(ids[1])
    assert waiting.state == QUEUED and waiting.options.system == ""
