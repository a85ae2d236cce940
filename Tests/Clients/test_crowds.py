"""Many who connect and say little: they take no process away, and no port from those who have something to say."""

import contextlib
import http.client
import os
import pathlib
import resource
import socket
import subprocess
import threading

import grpc
import lariat_pb2_grpc as rpc
import pytest

from cluster import PATIENCE, Cluster, lives, pb, until
from test_hostile import PREFACE, frame, status_of
from test_tls import Authority

FILES = 1024
CROWD = 1100


@contextlib.contextmanager
def own_files(count):
    """This process may open so many."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("scarce"), open_files=FILES) as cluster:
        yield cluster.start().wait_ready()


@contextlib.contextmanager
def crowd(address, count=CROWD, source="127.0.0.1", say=b""):
    """So many connections, each without a word or with the same one."""
    host, port = address.split(":")
    with own_files(8192), contextlib.ExitStack() as stack:
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.settimeout(5)
            with contextlib.suppress(OSError):
                one.bind((source, 0))
                one.connect((host, int(port)))
                one.sendall(say)
        yield


@contextlib.contextmanager
def listing(cluster, count=16):
    """Clients that list jobs all the time; yields how often they were answered."""
    answered, stop = [0] * count, threading.Event()

    def client(number):
        stub = rpc.CoordinatorStub(cluster.channel())
        while not stop.is_set():
            with contextlib.suppress(grpc.RpcError):
                stub.ListJobs(pb.ListJobsRequest(), timeout=10)
                answered[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(answered), "every client is answered")
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def more_answers(answered):
    """Every client is answered again."""
    before = list(answered)
    until(lambda: all(now > then for now, then in zip(answered, before)), "every client is answered again")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


class TestSilentConnections:
    """F1: 1,100 silent connections at a limit of 1,024 open files, soft and hard, while 16 clients list jobs."""

    @pytest.mark.parametrize("port", ["grpc", "web", "metrics", "control", "ring"])
    def test_the_process_lives_and_answers(self, plain, port):
        alpha = plain.workers["alpha"]
        address = {"grpc": plain.address, "web": plain.web_address, "metrics": plain.metrics,
                   "control": alpha.listen, "ring": alpha.ring}[port]
        process = plain.processes["alpha" if port in ("control", "ring") else "coordinator"]
        limit = pathlib.Path(f"/proc/{process.pid}/limits").read_text()
        assert [line.split()[3:5] for line in limit.splitlines() if "open files" in line] == [["1024", "1024"]]
        with listing(plain) as answered, crowd(address):
            more_answers(answered)
            assert lives(process.pid) and descriptors(process) < FILES - 50
            # Newcomers of the same address are served as well.
            if port == "grpc":
                until(lambda: plain.command("jobs").returncode == 0, "a newcomer is answered")
            elif port in ("web", "metrics"):
                assert get(address, "/v1/models" if port == "web" else "/healthz")[0] == 200
            else:
                nothing = plain.channel(address).unary_unary("/lariat.v1.Nothing/Nothing")
                assert status_of(lambda: nothing(b"", timeout=20))[0] == grpc.StatusCode.UNIMPLEMENTED
            plain.run(max_tokens=2)
            assert lives(process.pid)

    def test_with_mutual_tls(self, tmp_path):
        with Cluster(tmp_path / "tls", workers=("alpha",), open_files=FILES,
                     tls=Authority(tmp_path / "ca").issue("process")) as cluster:
            cluster.start().wait_ready()
            process = cluster.processes["coordinator"]
            for address in (cluster.address, cluster.web_address):
                with listing(cluster) as answered, crowd(address, say=b"\x16\x03\x01\x02\x00\x01"):
                    more_answers(answered)
                    until(lambda: cluster.command("jobs").returncode == 0, "a newcomer is answered")
                    assert lives(process.pid) and descriptors(process) < FILES - 50

    def test_doctor_says_so(self, plain):
        result = subprocess.run(
            ["prlimit", f"--nofile={FILES}:{FILES}", os.environ["LARIAT"], "doctor", "--coordinator", plain.address],
            capture_output=True, text=True, timeout=30)
        assert "1,024 files may be open" in result.stdout and "LimitNOFILE" in result.stdout, result.stdout
        result = subprocess.run(
            ["prlimit", "--nofile=1024:8192", os.environ["LARIAT"], "doctor", "--coordinator", plain.address],
            capture_output=True, text=True, timeout=30)
        assert "files may be open" not in result.stdout and "8,192" in result.stdout, result.stdout


def get(address, path, source="127.0.0.1", headers=None, method="GET", body=None):
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20, source_address=(source, 0))
    try:
        connection.request(method, path, body=body, headers=headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


class TestSlowStrangers:
    """F8: people without a token and the web port."""

    HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    def test_slow_heads(self, guarded):
        stop = threading.Event()
        host, port = guarded.web_address.split(":")
        strangers = []
        with own_files(4096):
            for _ in range(300):
                one = socket.create_connection((host, int(port)), timeout=5)
                one.sendall(self.HEAD)
                strangers.append(one)

            def dribble():
                while not stop.wait(0.5):
                    for one in strangers:
                        with contextlib.suppress(OSError):
                            one.sendall(b"x")

            thread = threading.Thread(target=dribble)
            thread.start()
            try:
                shown = {"Authorization": f"Bearer {guarded.token}"}
                for source in ("127.0.0.2", "127.0.0.1") * 5:
                    assert get(guarded.web_address, "/v1/models", source, shown)[0] == 200, source
            finally:
                stop.set()
                thread.join()
                for one in strangers:
                    one.close()

    def test_a_body_without_a_token_is_not_read(self, guarded):
        host, port = guarded.web_address.split(":")
        refused = guarded.metric("lariat_http_requests_total", code="401")
        for announced in (b"Content-Length: 200000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
            with socket.create_connection((host, int(port)), timeout=20) as one:
                one.sendall(self.HEAD + announced)
                answer = b""
                # The server closes; it waits for no body.
                while part := one.recv(65536):
                    answer += part
            assert answer.startswith(b"HTTP/1.1 401 ") and b"Connection: close" in answer, answer
        # A page of another site, with a token or without.
        status, _ = get(guarded.web_address, "/v1/chat/completions", method="POST", body=b"{}",
                        headers={"Origin": "http://elsewhere.example", "Authorization": f"Bearer {guarded.token}"})
        assert status == 403
        assert guarded.metric("lariat_http_requests_total", code="401") == refused + 2
        assert guarded.metric("lariat_http_body_bytes") == 0


def resident(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS"))


def request_head(stream, path, length):
    """Headers of a gRPC call, its fields written out, and the prefix of a message."""
    def field(name, value):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
    block = b"\x83\x86" + field(b":path", path) + field(b":authority", b"localhost")
    block += field(b"content-type", b"application/grpc") + field(b"te", b"trailers")
    return frame(1, 4, stream, block) + frame(0, 0, stream, b"\x00" + length.to_bytes(4, "big"))


CALLS = 256  # as many as a connection may have at once


def test_incomplete_messages_are_bounded(make_cluster):
    """F7: three connections with 256 calls each, and each call with one message of 4 MiB less a byte: 3 GiB in all."""
    cluster = make_cluster(workers=("alpha",))
    cluster.start().wait_ready()
    process = cluster.processes["coordinator"]
    before = resident(process)
    refused = cluster.metric("lariat_rpc_refused_total", reason="request_memory")
    host, port = cluster.address.split(":")
    length, part = 4 << 20, bytes(16384)

    def drain(one):
        with contextlib.suppress(OSError):
            while one.recv(65536):
                pass

    def flood():
        with socket.create_connection((host, int(port)), timeout=10) as one:
            one.sendall(PREFACE + frame(4, 0, 0, b""))
            # The server's windows are what its settings say once these are acknowledged.
            assert one.recv(65536)
            one.sendall(frame(4, 1, 0, b""))
            reader = threading.Thread(target=drain, args=(one,))
            reader.start()
            with contextlib.suppress(OSError):
                for stream in range(1, 2 * CALLS, 2):
                    one.sendall(request_head(stream, b"/lariat.v1.Coordinator/Submit", length))
                    for left in range(length - 1, 0, -len(part)):
                        one.sendall(frame(0, 0, stream, part[:left]))
                # All is there, and nothing is complete.
                held.wait(timeout=PATIENCE)
                one.shutdown(socket.SHUT_RDWR)
            reader.join()

    held = threading.Event()
    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    most, stub = before, cluster.stub()

    def are_refused():
        """Looks at the memory, and sees that others are answered, while the messages come in."""
        nonlocal most
        stub.ListJobs(pb.ListJobsRequest(), timeout=PATIENCE)
        most = max(most, resident(process))
        # Of 256 calls on each connection 8 fit into 32 MiB.
        return cluster.metric("lariat_rpc_refused_total", reason="request_memory") >= refused + 3 * (CALLS - 8)

    until(are_refused, "calls are refused")
    cluster.run(max_tokens=2)
    most = max(most, resident(process))
    held.set()
    for thread in threads:
        thread.join()
    print(f"{(most - before) >> 20} MiB more than before")
    # What is incomplete: 32 MiB for each connection, in buffers that double as they grow.
    assert most - before < 2 * 3 * (32 << 20) + (64 << 20), f"{(most - before) >> 20} MiB"
    cluster.run(max_tokens=2)


def test_tokens_come_before_messages(guarded):
    """Who shows no token is refused though no part of the request ever comes."""
    ended = threading.Event()

    def nothing():
        ended.wait(timeout=60)
        yield from ()

    with grpc.insecure_channel(guarded.address) as channel:
        stub = rpc.CoordinatorStub(channel)
        for call in (stub.Submit, stub.Estimate):
            code, _ = status_of(lambda: call(nothing(), timeout=50))
            assert code == grpc.StatusCode.UNAUTHENTICATED
    ended.set()


def curl_grpc(cluster, *headers):
    """The status and the header fields of the answer to a call made by hand."""
    options = [part for header in headers for part in ("--header", header)]
    result = subprocess.run(
        ["curl", "--silent", "--max-time", "20", "--http2-prior-knowledge", "--noproxy", "*", *options,
         "--output", os.devnull, "--dump-header", "-", "--data", "",
         f"http://{cluster.address}/lariat.v1.Coordinator/GetCluster"],
        capture_output=True, text=True, timeout=30)
    lines = result.stdout.splitlines()
    assert lines, result
    return lines[0].split()[1], dict(line.split(": ", 1) for line in lines[1:] if ": " in line)


def test_compression_is_refused_with_what_is_accepted(cluster):
    """gRPC, "compression": UNIMPLEMENTED, and grpc-accept-encoding."""
    stub = rpc.CoordinatorStub(cluster.channel())
    code, details = status_of(
        lambda: stub.GetCluster(pb.ClusterRequest(), timeout=20, compression=grpc.Compression.Gzip))
    assert code == grpc.StatusCode.UNIMPLEMENTED and "identity" in details
    status, fields = curl_grpc(cluster, "content-type: application/grpc", "te: trailers", "grpc-encoding: gzip")
    assert (status, fields["grpc-status"], fields["grpc-accept-encoding"]) == ("200", "12", "identity")


@pytest.mark.parametrize("kind", ["application/grpc-web", "application/grpc+json", "application/json"])
def test_foreign_content_types_on_the_grpc_port(cluster, kind):
    assert curl_grpc(cluster, f"content-type: {kind}", "te: trailers")[0] == "415"


@pytest.mark.parametrize("kind,status", [
    ("application/json", 400), ("application/json; charset=utf-8", 400), ("text/plain", 415),
    ("application/x-www-form-urlencoded", 415), ("application/json; charset=latin1", 415), (None, 400),
])
def test_the_api_takes_json(cluster, kind, status):
    headers = {"Content-Type": kind} if kind else {}
    got, text = get(cluster.web_address, "/v1/completions", headers=headers, method="POST", body=b"{}")
    assert got == status, text
    assert status != 415 or b"application/json" in text
