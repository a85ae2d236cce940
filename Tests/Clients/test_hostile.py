"""Bytes, clients and messages that do not belong on the ports: refused in words, and the process goes on."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import threading

import grpc
import lariat_pb2_grpc as rpc
import pytest

from cluster import Cluster, parts, pb

# The same noise each time.
NOISE = random.Random(7400)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PROMPT = "Once upon a time there was a small house at the edge of the wood, and in it lived"


@pytest.fixture(scope="module")
def _own(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("hostile")) as cluster:
        cluster.start().wait_ready()
        yield cluster


@pytest.fixture
def cluster(_own):
    """A cluster of these tests' own: it remembers strangers for a while."""
    yield _own
    _own.repair()


def frame(kind, flags, stream, payload, length=None):
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


GARBAGE = {
    "noise": NOISE.randbytes(100_000),
    "zeros": bytes(100_000),
    "half a preface": PREFACE[:10],
    "a TLS hello": bytes.fromhex("160301020001000001fc0303") + NOISE.randbytes(500),
    "no settings": PREFACE + NOISE.randbytes(2000),
    "a frame of 16 MiB": PREFACE + frame(4, 0, 0, b"") + frame(0, 0, 1, b"x" * 1000, length=0xFFFFFF),
    "bad header compression": PREFACE + frame(4, 0, 0, b"") + frame(1, 5, 1, b"\xff" * 64),
    "data without headers": PREFACE + frame(4, 0, 0, b"") + frame(0, 1, 1, b"hello"),
    "an even stream": PREFACE + frame(4, 0, 0, b"") + frame(1, 5, 2, b"\x82"),
    "a window update of zero": PREFACE + frame(4, 0, 0, b"") + frame(8, 0, 0, bytes(4)),
    "many settings": PREFACE + frame(4, 0, 0, b"\x00\x03\x00\x00\x00\x01" * 2000),
    "many pings": PREFACE + frame(4, 0, 0, b"") + frame(6, 0, 0, bytes(8)) * 20_000,
    "endless headers": PREFACE + frame(4, 0, 0, b"") + frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"") * 5000,
}


def addresses(cluster):
    """Every port of the cluster."""
    yield "coordinator", cluster.address
    for worker in cluster.workers.values():
        yield worker.name, worker.listen
        yield worker.name, worker.ring


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_bytes(cluster, garbage):
    pids = {name: process.pid for name, process in cluster.processes.items()}
    for name, address in addresses(cluster):
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=5) as peer:
            # The other side may close while we still send.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.sendall(GARBAGE[garbage])
                peer.shutdown(socket.SHUT_WR)
                for _ in range(1000):
                    if not peer.recv(65536):
                        break
        assert cluster.is_running(name)
    cluster.run(max_tokens=2)
    assert pids == {name: process.pid for name, process in cluster.processes.items()}


def test_many_silent_connections(cluster):
    with contextlib.ExitStack() as stack:
        for _, address in addresses(cluster):
            host, port = address.split(":")
            for _ in range(50):
                stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
        cluster.run(max_tokens=2)


def test_http_1_client(cluster):
    assert shutil.which("curl"), "curl is missing (Ops/setup --tests)"
    for name, address in addresses(cluster):
        for options in (["--http1.1"], ["--http1.1", "--data", "{}"], ["--http2"]):
            result = subprocess.run(
                ["curl", "--silent", "--show-error", "--max-time", "10", *options, "--noproxy", "*",
                 f"http://{address}/"],
                capture_output=True, text=True, timeout=20)
            # Not 28, a time-out: the client is told or cut off at once.
            assert result.returncode not in (0, 28) or "415" in result.stdout or "HTTP/2" in result.stdout, result
        assert cluster.is_running(name)
    cluster.run(max_tokens=2)


def test_http_2_that_is_not_grpc(cluster):
    # Without a body: an answer before the request's end is right, but curl 7.88 calls it an error.
    for options in (["--get"], ["--data", ""]):
        result = subprocess.run(
            ["curl", "--silent", "--max-time", "10", "--http2-prior-knowledge", "--noproxy", "*",
             "--output", os.devnull, "--write-out", "%{http_code}",
             *options, f"http://{cluster.address}/lariat.v1.Coordinator/GetCluster"],
            capture_output=True, text=True, timeout=20)
        assert result.stdout == "415", result
    cluster.run(max_tokens=2)


def status_of(call):
    with pytest.raises(grpc.RpcError) as failure:
        call()
    return failure.value.code(), failure.value.details()


def test_oversized_message(cluster):
    five = 5 << 20
    code, details = status_of(lambda: cluster.stub().Submit(parts("x" * five, part_size=five), timeout=20))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and f"{five:,}"[:5] in details, details
    code, details = status_of(lambda: cluster.stub().GetJob(pb.JobRequest(id="j" * five), timeout=20))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    for worker in cluster.workers.values():
        stub = rpc.WorkerStub(cluster.channel(worker.listen))
        command = pb.RunCommand(plan=pb.RunPlan(job="x" * five))
        code, _ = status_of(lambda: list(stub.Run(iter([command]), timeout=20)))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        ring = rpc.RingStub(cluster.channel(worker.ring))
        message = pb.RingMessage(job="j1", tensor=bytes(five))
        code, _ = status_of(lambda: ring.Exchange(iter([message]), timeout=20))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    cluster.run(max_tokens=2)


def raw_call(cluster, method, data, address=None):
    call = cluster.channel(address).stream_stream(
        method, request_serializer=lambda message: message, response_deserializer=lambda message: message)
    return status_of(lambda: list(call(iter([data]), timeout=20)))


def test_damaged_messages(cluster):
    bad = [b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x08" + b"\x80" * 20, b"\x0a\x05ab", NOISE.randbytes(3000)]
    for data in bad:
        for method in ("Submit", "GetJob", "Attach", "ListJobs"):
            code, details = raw_call(cluster, f"/lariat.v1.Coordinator/{method}", data)
            assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL), (method, data[:20], details)
        worker = cluster.workers["alpha"]
        code, details = raw_call(cluster, "/lariat.v1.Worker/Run", data, worker.listen)
        assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL), details
        code, details = raw_call(cluster, "/lariat.v1.Ring/Exchange", data, worker.ring)
        assert code not in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED), details
    code, details = raw_call(cluster, "/lariat.v1.Coordinator/NoSuchMethod", b"")
    assert code == grpc.StatusCode.UNIMPLEMENTED and "NoSuchMethod" in details
    cluster.run(max_tokens=2)


def plan_for(cluster, name, **changes):
    """A plan as the coordinator would send it for a job of two tokens on this worker alone."""
    forecast = cluster.stub().Estimate(parts(tokens=[5, 6], max_tokens=2), timeout=10)
    state = cluster.state()
    plan = pb.RunPlan(
        job="from-a-test", attempt=1, epoch=state.epoch, rank=0, kind=pb.GENERATE, prompt_tokens=2, max_tokens=2,
        members=[pb.RunMember(rank=0, name=name, ring_address=cluster.workers[name].ring, weight=1)],
        profile=forecast.profile, fingerprint=state.fingerprint, stripe_tokens=128, stall_seconds=5,
        token_count=2, run_key="0123456789abcdef", protocol=state.protocol)
    for key, value in changes.items():
        setattr(plan, key, value)
    return plan


def run_plan(cluster, name, plan, tokens=(5, 6), start=True):
    stub = rpc.WorkerStub(cluster.channel(cluster.workers[name].listen))
    commands = [pb.RunCommand(plan=plan), pb.RunCommand(tokens=pb.ShardTokens(tokens=tokens))]
    commands += [pb.RunCommand(start=True)] * start
    return list(stub.Run(iter(commands), timeout=20))


def test_worker_takes_a_plan(cluster):
    # The plan that the next tests spoil is good.
    events = run_plan(cluster, "alpha", plan_for(cluster, "alpha"))
    assert events[0].accepted and events[-1].HasField("finished")
    assert sum(event.HasField("token") for event in events) in (1, 2)


def test_stale_epoch_of_a_plan(cluster):
    epoch = cluster.state().epoch
    code, details = status_of(lambda: run_plan(cluster, "beta", plan_for(cluster, "beta", epoch=epoch - 1)))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert f"epoch {epoch - 1}" in details and f"epoch {epoch}" in details
    cluster.run(max_tokens=2)


@pytest.mark.parametrize("changes", [
    {"fingerprint": "0" * 64}, {"prompt_tokens": 1 << 62}, {"prompt_tokens": 3}, {"token_count": 3}, {"rank": 7},
    {"stripe_tokens": 0}, {"stripe_tokens": 4294967295}, {"stall_seconds": float("nan")}, {"job": ""}, {"kind": 0},
    {"max_tokens": 4294967295}, {"run_key": ""}, {"run_key": "x" * 100}, {"top_probabilities": 21},
], ids=lambda changes: next(iter(changes)))
def test_wrong_plans(cluster, changes):
    code, details = status_of(lambda: run_plan(cluster, "alpha", plan_for(cluster, "alpha", **changes)))
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION,
                    grpc.StatusCode.RESOURCE_EXHAUSTED), details
    assert details
    cluster.run(max_tokens=2)


def test_wrong_tokens_for_a_plan(cluster):
    for tokens in ((5, 4294967295), (5, 6, 7), (5,)):
        code, details = status_of(lambda: run_plan(cluster, "alpha", plan_for(cluster, "alpha"), tokens, start=False))
        assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.CANCELLED), details
    cluster.run(max_tokens=2)


def test_a_lost_plan_frees_the_worker(cluster):
    stub = rpc.WorkerStub(cluster.channel(cluster.workers["alpha"].listen))
    ended = threading.Event()

    def commands():
        yield pb.RunCommand(plan=plan_for(cluster, "alpha"))
        yield pb.RunCommand(tokens=pb.ShardTokens(tokens=[5, 6]))
        ended.wait(timeout=20)

    call = stub.Run(commands(), timeout=20)
    assert next(call).accepted
    call.cancel()
    ended.set()
    cluster.run(max_tokens=2)


def test_wrong_measurements(cluster):
    epoch = cluster.state().epoch
    stub = rpc.WorkerStub(cluster.channel(cluster.workers["alpha"].listen))
    code, details = status_of(lambda: stub.Calibrate(pb.CalibrateRequest(epoch=epoch - 1), timeout=20))
    assert code == grpc.StatusCode.FAILED_PRECONDITION and f"epoch {epoch - 1}" in details
    for address in ("nowhere", "a" * 5000, "host:70000"):
        code, details = status_of(
            lambda: stub.Calibrate(pb.CalibrateRequest(epoch=epoch, next_ring_address=address), timeout=20))
        assert code == grpc.StatusCode.INVALID_ARGUMENT, details
    # Nobody takes blocks there.
    code, details = status_of(lambda: stub.Calibrate(
        pb.CalibrateRequest(epoch=epoch, next_ring_address="127.0.0.1:1"), timeout=20))
    assert code == grpc.StatusCode.UNAVAILABLE and "127.0.0.1:1" in details
    job = cluster.submit(PROMPT, max_tokens=3000, ignore_end=True)
    cluster.when(job, lambda now: now.generated_tokens > 5, "decode")
    code, details = status_of(lambda: stub.Calibrate(pb.CalibrateRequest(epoch=epoch), timeout=20))
    assert code == grpc.StatusCode.FAILED_PRECONDITION and job.id in details
    cluster.stub().Cancel(pb.JobRequest(id=job.id), timeout=20)


def test_wrong_probes(cluster):
    stub = rpc.RingStub(cluster.channel(cluster.workers["beta"].ring))
    damaged = pb.RingMessage(checksum=1, tensor=b"some bytes")
    code, details = status_of(lambda: stub.Probe(iter([damaged]), timeout=20))
    assert code == grpc.StatusCode.DATA_LOSS and "checksum" in details
    code, details = status_of(lambda: stub.Probe(iter([pb.RingMessage(tensor=bytes(5 << 20))]), timeout=20))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    cluster.run(max_tokens=2)


def ring(cluster, name, *messages):
    stub = rpc.RingStub(cluster.channel(cluster.workers[name].ring))
    return status_of(lambda: stub.Exchange(iter(messages), timeout=20))


def test_blocks_of_an_unknown_job(cluster):
    code, details = ring(cluster, "beta", pb.RingMessage(
        kind=pb.RingMessage.KEY_VALUES, job="j999999", attempt=1, epoch=cluster.state().epoch, parts=1,
        tensor=bytes(1024)))
    assert code == grpc.StatusCode.FAILED_PRECONDITION and "j999999" in details
    cluster.run(max_tokens=2)


def test_blocks_of_a_stranger(cluster):
    job = cluster.submit(PROMPT, max_tokens=200, ignore_end=True)
    cluster.when(job, lambda now: now.generated_tokens > 5, "decode")
    epoch = cluster.state().epoch
    # Who was not told the run's key is no member of it, whatever else is right.
    for number, rank in ((epoch - 1, 0), (epoch, 0), (epoch, 1), (epoch, 9)):
        code, details = ring(cluster, "beta", pb.RingMessage(
            kind=pb.RingMessage.KEY_VALUES, job=job.id, attempt=1, epoch=number, from_rank=rank, parts=1,
            tensor=bytes(1024)))
        assert code == grpc.StatusCode.PERMISSION_DENIED, (rank, details)
    # None of it disturbed the job.
    ended = cluster.finished(job)
    assert ended.state == pb.SUCCEEDED, ended.reason
    assert ended.text == cluster.run(PROMPT, max_tokens=200, ignore_end=True).text


@pytest.mark.parametrize("changes", [
    {"name": ""}, {"name": "a b"}, {"address": "nowhere"}, {"threads": 0}, {"memory_bytes": 0},
    {"fingerprint": "0" * 64}, {"name": "alpha"},
], ids=lambda changes: next(iter(changes)))
def test_strangers_do_not_join(cluster, changes):
    state = cluster.state()
    known = state.members[0]
    member = pb.Member(name="stranger", address="127.0.0.1:1", ring_address="127.0.0.1:2", threads=1,
                       memory_bytes=1 << 30, isa=known.isa, precision=known.precision, fingerprint=state.fingerprint,
                       protocol=state.protocol)
    for key, value in changes.items():
        setattr(member, key, value)
    stub = rpc.MembershipStub(cluster.channel())
    code, details = status_of(lambda: stub.Register(pb.RegisterRequest(member=member, instance="x"), timeout=10))
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION) and details
    cluster.wait_ready()


def test_a_heartbeat_of_a_stranger(cluster):
    stub = rpc.MembershipStub(cluster.channel())
    code, details = status_of(lambda: stub.Heartbeat(pb.HeartbeatRequest(name="alpha", instance="another"), timeout=10))
    assert code == grpc.StatusCode.NOT_FOUND and "register" in details
    # Nor can a stranger make another leave.
    stub.Leave(pb.HeartbeatRequest(name="alpha", instance="another"), timeout=10)
    cluster.wait_ready()


def test_half_a_submission_is_no_job(cluster):
    before = cluster.stub().ListJobs(pb.ListJobsRequest(page_size=1), timeout=10).jobs
    ended = threading.Event()

    def half():
        yield pb.SubmitPart(options=pb.JobOptions(kind=pb.GENERATE))
        yield pb.SubmitPart(text=b"Once upon")
        ended.wait(timeout=20)

    for end in ("cancel", "deadline"):
        call = cluster.stub().Submit.future(half(), timeout=20 if end == "cancel" else 0.5)
        if end == "cancel":
            cluster.state()
            call.cancel()
        else:
            assert call.exception(timeout=20).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    ended.set()
    code, _ = status_of(lambda: cluster.stub().Submit(iter([]), timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    code, _ = status_of(lambda: cluster.stub().Submit(iter([pb.SubmitPart(text=b"no options")]), timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert cluster.stub().ListJobs(pb.ListJobsRequest(page_size=1), timeout=10).jobs[:1] == before[:1]
    cluster.run(max_tokens=2)


def test_followers_that_do_not_read(cluster):
    job = cluster.submit(PROMPT, max_tokens=200, ignore_end=True)
    asleep = [cluster.stub().Attach(pb.AttachRequest(id=job.id), timeout=60) for _ in range(20)]
    ended = cluster.finished(job)
    assert ended.state == pb.SUCCEEDED, ended.reason
    # Late, but nothing is lost to them.
    for call in asleep:
        assert b"".join(event.text for event in call) == ended.text


def attack(address, data, patience=10):
    """Sends bytes and reads until the other side has had enough."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=patience) as wire:
        wire.settimeout(patience)
        try:
            wire.sendall(data)
            while wire.recv(65536):
                pass
        except OSError:
            pass


def test_attacks_are_counted_and_jobs_go_on(cluster):
    job = cluster.submit(PROMPT, max_tokens=400, ignore_end=True)
    cluster.when(job, lambda now: now.generated_tokens > 5, "decode")
    hello = PREFACE + frame(4, 0, 0, b"")
    # A whole gRPC request in 6 header fields, and its reset: ten thousand times.
    block = b"\x83\x86\x01\x01x\x04" + bytes([33]) + b"/lariat.v1.Coordinator/GetCluster"
    fields = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    block += b"".join(b"\x00" + bytes([len(key)]) + key + bytes([len(value)]) + value for key, value in fields)
    resets = b"".join(frame(1, 4, stream, block) + frame(3, 0, stream, bytes([0, 0, 0, 8]))
                      for stream in range(1, 20_001, 2))
    # One message that says it has a gigabyte.
    gigabyte = frame(1, 4, 1, block) + frame(0, 0, 1, b"\x00" + (1 << 30).to_bytes(4, "big") + bytes(1000))
    continuations = frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"\x00\x01a\x01b" * 1000) * 2000
    for data, reason in ((resets, "protocol"), (continuations, "protocol"), (gigabyte, "message_size"),
                         (b"GET / HTTP/1.1\r\n\r\n", "not_http2")):
        before = cluster.metric("lariat_rpc_refused_total", reason=reason)
        attack(cluster.address, hello + data if reason != "not_http2" else data,
               patience=3 if reason == "message_size" else 10)
        assert cluster.metric("lariat_rpc_refused_total", reason=reason) > before, reason
    with pytest.raises(grpc.RpcError):
        cluster.stub().GetJob(pb.JobRequest(id="j999999"), timeout=10)
    assert cluster.metric("lariat_rpc_calls_total", code="NOT_FOUND") >= 1
    ended = cluster.finished(job)
    assert ended.state == pb.SUCCEEDED and ended.generated_tokens == 400, ended.reason
