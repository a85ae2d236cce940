"""The page's stream of events beside a long queue: small, and in nobody's way."""

import contextlib
import json
import urllib.request

from cluster import QUEUED, parts, pb, until

JOBS = 55  # more than the coordinator tells of at once
SYSTEM = "word " * 2000


@contextlib.contextmanager
def page(cluster):
    """An open page: reads its events, `(name, data)`, as they come."""
    with urllib.request.urlopen(f"{cluster.web}/api/v1/events", timeout=60) as reply:
        def events():
            name = None
            for line in reply:
                line = line.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    yield name, line[6:]
        yield events()


def test_a_long_queue_is_told_in_small_pieces(make_cluster):
    # Nobody computes: all of them wait.
    cluster = make_cluster()
    cluster.start("coordinator")
    until(cluster.state, "the coordinator answers")
    stub = cluster.stub()
    ids = [stub.Submit(parts("x", chat=True, system=SYSTEM, beyond_window=True, max_tokens=1), timeout=60).id
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
    # Pages that come and go keep nobody from an answer.
    for _ in range(20):
        with page(cluster) as events:
            next(events)
        with urllib.request.urlopen(f"{cluster.web}/v1/models", timeout=20) as reply:
            assert reply.status == 200
    # The system message is in the prompt alone.
    waiting = cluster.job(ids[1])
    assert waiting.state == QUEUED and waiting.options.system == ""
