"""Who may do what: tokens and roles on every port of the coordinator, and what a browser is kept from doing."""

import json
import time
import urllib.error
import urllib.request

import grpc
import lariat_pb2_grpc as rpc
import pytest

from cluster import SUCCEEDED, _Shows, pb, refused, until


def stub_of(cluster, token):
    channel = grpc.insecure_channel(cluster.address, [("grpc.use_local_subchannel_pool", 1)])
    return rpc.CoordinatorStub(grpc.intercept_channel(channel, _Shows(token)) if token else channel)


def http(cluster, path, token=None, method=None, headers=None, body=None):
    """Status and body of a request."""
    headers = {"Content-Type": "application/json", **(headers or {})} if body else headers or {}
    request = urllib.request.Request(f"{cluster.web}{path}", method=method, data=body, headers=headers)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


CALLS = {
    "GetCluster": (lambda stub: stub.GetCluster(pb.ClusterRequest(), timeout=10), "read"),
    "ListJobs": (lambda stub: stub.ListJobs(pb.ListJobsRequest(), timeout=10), "read"),
    "ListContexts": (lambda stub: stub.ListContexts(pb.ListContextsRequest(), timeout=10), "read"),
    "GetContext": (lambda stub: stub.GetContext(pb.ContextRequest(name="none"), timeout=10), "read"),
    "RemoveContext": (lambda stub: stub.RemoveContext(pb.ContextRequest(name="none"), timeout=10), "submit"),
    "PinContext": (lambda stub: stub.PinContext(pb.PinContextRequest(name="none"), timeout=10), "submit"),
    "Cancel": (lambda stub: stub.Cancel(pb.JobRequest(id="j999"), timeout=10), "submit"),
    "Drain": (lambda stub: stub.Drain(pb.DrainRequest(target="nobody"), timeout=10), "admin"),
}
ROLES = ["read", "submit", "admin"]


@pytest.mark.parametrize("call", CALLS)
def test_roles_over_grpc(guarded, call):
    ask, needs = CALLS[call]
    for role in [None, "wrong", *ROLES]:
        token = guarded.tokens.get(role, role and "lariat-" + "A" * 43)
        try:
            ask(stub_of(guarded, token))
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
            assert not token or token not in error.details()
        if role not in ROLES:
            assert code == grpc.StatusCode.UNAUTHENTICATED
        elif ROLES.index(role) < ROLES.index(needs):
            assert code == grpc.StatusCode.PERMISSION_DENIED
        else:
            assert code in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND)


@pytest.mark.parametrize("path, method, needs", [
    ("/api/v1/cluster", "GET", "read"), ("/api/v1/jobs", "GET", "read"), ("/api/v1/throughput", "GET", "read"),
    ("/api/v1/jobs/j999", "GET", "read"), ("/api/v1/jobs/j999/log", "GET", "read"), ("/v1/models", "GET", "read"),
    ("/api/v1/contexts", "GET", "read"), ("/api/v1/contexts/none", "GET", "read"),
    ("/api/v1/jobs/j999/cancel", "POST", "submit"), ("/v1/completions", "POST", "submit"),
    ("/v1/chat/completions", "POST", "submit"),
])
def test_roles_over_http(guarded, path, method, needs):
    body = b"{}" if method == "POST" else None
    for role in [None, *ROLES]:
        status, reply = http(guarded, path, guarded.tokens.get(role), method, body=body)
        if role is None:
            assert status == 401
        elif ROLES.index(role) < ROLES.index(needs):
            assert status == 403 and needs in json.loads(reply)["error"]["message"]
        else:
            assert status in (200, 400, 404), reply


def test_the_page_needs_no_token_and_knows_nothing(guarded):
    status, page = http(guarded, "/")
    assert status == 200 and b"<script" in page and b"alpha" not in page


def test_commands_show_their_token(guarded, tmp_path):
    for command_line in (["jobs"], ["doctor"], ["top", "--once"]):
        done = guarded.command(*command_line)
        assert done.returncode == 0, done.stderr
    bare = [*("jobs", "--coordinator", guarded.address)]
    from cluster import command
    refused(command(*bare), "token", code=77)
    file = tmp_path / "token"
    file.write_text(guarded.tokens["read"] + "\n")
    assert command(*bare, "--token-file", file).returncode == 0
    refused(command("submit", "hi", "--coordinator", guarded.address, "--token-file", file), "submit", code=77)
    refused(command(*bare, "--token-file", tmp_path / "none"), "none", code=66)


def test_a_revoked_token_stops_working_without_a_restart(guarded):
    file = guarded.folder / "tokens"
    before = file.read_text()
    try:
        assert http(guarded, "/v1/models", guarded.tokens["read"])[0] == 200
        file.write_text("\n".join(line for line in before.splitlines() if not line.startswith("reads ")) + "\n")
        until(lambda: http(guarded, "/v1/models", guarded.tokens["read"])[0] == 401, "the token is refused")
        assert http(guarded, "/v1/models", guarded.tokens["submit"])[0] == 200
        # A slip of the pen locks nobody out.
        file.write_text("this is no file of tokens\n")
        time.sleep(1.5)
        assert http(guarded, "/v1/models", guarded.tokens["submit"])[0] == 200
        until(lambda: "tokens stay as they were" in guarded.log("coordinator").read_text(), "the log says so")
    finally:
        file.write_text(before)
    until(lambda: http(guarded, "/v1/models", guarded.tokens["read"])[0] == 200, "the token works again")


def test_secrets_are_in_no_log(guarded):
    assert guarded.run().state == SUCCEEDED
    http(guarded, "/v1/models", "lariat-" + "B" * 43)
    for log in guarded.folder.glob("*.log"):
        text = log.read_text()
        assert not any(token in text for token in [*guarded.tokens.values(), "lariat-" + "B" * 43])


@pytest.mark.parametrize("headers, status", [
    ({"Origin": "https://elsewhere.example"}, 403), ({"Host": "elsewhere.example"}, 403), ({"Origin": "null"}, 403), ({}, 200),
])
def test_other_sites_cannot_use_a_browser(cluster, headers, status):
    assert http(cluster, "/api/v1/cluster", headers=headers)[0] == status


def test_own_page_may_ask(cluster):
    assert http(cluster, "/api/v1/cluster", headers={"Origin": cluster.web})[0] == 200


def test_nobody_asks_without_end(cluster):
    seen = {http(cluster, "/v1/models")[0] for _ in range(600)}
    assert seen <= {200, 429}
    # Patience is rewarded.
    until(lambda: http(cluster, "/v1/models")[0] == 200, "requests are taken again", timeout=10)


def test_metrics_and_health(cluster):
    job = cluster.run(max_tokens=3)
    def read(path):
        with urllib.request.urlopen(f"http://{cluster.metrics}{path}", timeout=10) as reply:
            return reply.read().decode()
    assert read("/healthz") == "ok\n" and read("/readyz") == "ready\n"
    page = read("/metrics")
    value = lambda name: float(next(line for line in page.splitlines() if line.startswith(name)).split()[-1])
    assert value('lariat_jobs_finished_total{kind="generate",outcome="succeeded"}') >= 1
    assert value("lariat_generated_tokens_total") >= job.generated_tokens
    assert value("lariat_prompt_tokens_total") >= job.prompt_tokens
    assert value("lariat_time_to_first_token_seconds_count") >= 1


def test_a_bad_file_of_tokens_stops_the_start(make_cluster, tmp_path):
    cluster = make_cluster()
    bad = tmp_path / "tokens"
    bad.write_text("alice admin nothing\n")
    from cluster import command
    said = command("coordinator", "--spec", cluster.specification, "--tokens", bad)
    refused(said, "tokens", "1")
