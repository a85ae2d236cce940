"""What clients of other makes see of a cluster that works."""

import json
import shutil
import subprocess

import grpc
import lariat_pb2 as pb
import pytest
import reflection_pb2
import reflection_pb2_grpc
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as alpha_pb2
from grpc_reflection.v1alpha import reflection_pb2_grpc as alpha_pb2_grpc

from cluster import GOLDEN, SUCCEEDED, golden_tokens, parts

PROMPT = "Once upon a time there was a small house at the edge of the wood, and in it lived"


def services(stub, messages):
    replies = stub.ServerReflectionInfo(iter([messages.ServerReflectionRequest(list_services="")]), timeout=10)
    return {service.name for service in next(iter(replies)).list_services_response.service}


REFLECTIONS = {
    "v1": (reflection_pb2_grpc.ServerReflectionStub, reflection_pb2),
    "v1alpha": (alpha_pb2_grpc.ServerReflectionStub, alpha_pb2),
}


@pytest.mark.parametrize("version", REFLECTIONS)
def test_reflection_lists_the_services(cluster, version):
    make, messages = REFLECTIONS[version]
    health = "grpc.health.v1.Health"
    assert services(make(cluster.channel()), messages) >= {"lariat.v1.Coordinator", "lariat.v1.Membership", health}
    for worker in cluster.workers.values():
        assert services(make(cluster.channel(worker.listen)), messages) >= {"lariat.v1.Worker", health}


@pytest.mark.parametrize("version", REFLECTIONS)
def test_reflection_describes_a_service(cluster, version):
    make, messages = REFLECTIONS[version]
    stub = make(cluster.channel())
    ask = messages.ServerReflectionRequest
    known, unknown = list(stub.ServerReflectionInfo(
        iter([ask(file_containing_symbol="lariat.v1.Coordinator"), ask(file_containing_symbol="no.such.Thing")]),
        timeout=10))
    files = [descriptor_pb2.FileDescriptorProto.FromString(data)
             for data in known.file_descriptor_response.file_descriptor_proto]
    described = {service.name: {method.name for method in service.method} for file in files for service in file.service}
    methods = pb.DESCRIPTOR.services_by_name["Coordinator"].methods
    assert described["Coordinator"] == {method.name for method in methods}
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_health_is_serving(cluster):
    for address, service in [(cluster.address, "lariat.v1.Coordinator")] + [
            (worker.listen, "lariat.v1.Worker") for worker in cluster.workers.values()]:
        stub = health_pb2_grpc.HealthStub(cluster.channel(address))
        for name in ("", service):
            reply = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING, f"{address} {name}"
        with pytest.raises(grpc.RpcError) as failure:
            stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=10)
        assert failure.value.code() == grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


def test_the_token_stream_is_the_answer(cluster):
    submitted = cluster.submit(PROMPT, max_tokens=24, name="story")
    events = cluster.attach(submitted)
    job = cluster.job(submitted)
    assert job.state == SUCCEEDED and job.options.name == "story"
    assert events[0].kind == pb.JobEvent.STATE and events[-1].kind == pb.JobEvent.END
    assert events[-1].job.state == SUCCEEDED
    text = b"".join(event.text for event in events)
    tokens = [token for event in events for token in event.tokens]
    assert text == job.text and text.decode()
    assert len(tokens) == job.generated_tokens == 24 and job.finish == pb.FINISH_LENGTH
    assert sum(share.tokens for share in job.shares) == job.prompt_tokens == job.prefilled_tokens
    assert {share.worker for share in job.shares} == {"alpha", "beta"}
    # Numbered from 1 without gaps; progress repeats the last kept number.
    kept = [event.number for event in events if event.kind != pb.JobEvent.PROGRESS]
    assert kept == list(range(1, len(kept) + 1))
    # Attaching again, from the middle: the same events.
    middle = len(kept) // 2
    again = cluster.attach(submitted, from_event=middle)
    assert [event.number for event in again] == kept[middle - 1:]
    assert b"".join(e.text for e in events if e.number >= middle) == b"".join(e.text for e in again)


def answer(cluster, **options):
    events = cluster.attach(cluster.submit(**options))
    assert events[-1].job.state == SUCCEEDED, events[-1].job.reason
    return [token for event in events for token in event.tokens]


def test_greedy_golden(cluster):
    # Parting is allowed only after a step whose golden margin is small.
    for case in json.loads((GOLDEN / "smollm2-greedy.json").read_text())[:1]:
        continuation, margins = case["greedy"], case["margin"]
        tokens = answer(cluster, tokens=case["prompt_tokens"], max_tokens=len(continuation), ignore_end=True)
        for step, (ours, golden, margin) in enumerate(zip(tokens, continuation, margins)):
            if margin < 0.1:
                break
            assert ours == golden, f"step {step}"


def test_sampling_repeats_with_its_seed(cluster):
    def sampled(seed):
        return answer(cluster, text=PROMPT, max_tokens=24, ignore_end=True,
                      sampling=pb.Sampling(temperature=1.0, top_k=50, top_p=0.95, seed=seed))

    first = sampled(42)
    assert first == sampled(42)
    assert any(first != sampled(seed) for seed in (43, 44)), "the seed does not matter"


def test_a_chosen_seed_is_recorded_and_repeats(cluster):
    options = dict(text=PROMPT, max_tokens=16, ignore_end=True)
    job = cluster.submit(**options, sampling=pb.Sampling(temperature=1.0))
    assert job.options.sampling.seed != 0
    tokens = [token for event in cluster.attach(job) for token in event.tokens]
    assert tokens == answer(cluster, **options, sampling=job.options.sampling)


def test_score(cluster):
    golden = json.loads((GOLDEN / "smollm2-nll.json").read_text())[0]
    tokens, expected = golden["tokens"], golden["nll"]
    events = cluster.attach(cluster.submit(tokens=tokens, kind=pb.SCORE))
    job = events[-1].job
    assert job.state == SUCCEEDED, job.reason
    nll = {}
    for event in events:
        for index, value in enumerate(event.nll):
            assert event.first_position + index not in nll
            nll[event.first_position + index] = value
    # One for every token but the first, which has nothing before it.
    assert sorted(nll) == list(range(1, len(tokens))) and len(expected) == len(tokens) - 1
    mean = sum(nll.values()) / len(nll)
    assert job.mean_nll == pytest.approx(mean, rel=1e-5)
    assert job.perplexity == pytest.approx(2.718281828459045 ** job.mean_nll, rel=1e-9)
    assert mean == pytest.approx(sum(expected) / len(expected), abs=0.005)
    assert sum(abs(nll[i + 1] - value) for i, value in enumerate(expected)) / len(expected) <= 0.03


def test_stop_string(cluster):
    whole = cluster.run(PROMPT, max_tokens=24).text.decode()
    stop = whole[len(whole) // 2:][:6]
    expected = whole[:whole.index(stop)]
    submitted = cluster.submit(PROMPT, max_tokens=24, stop=["this never comes", stop])
    events = cluster.attach(submitted)
    job = cluster.job(submitted)
    assert job.state == SUCCEEDED and job.finish == pb.FINISH_STOP
    assert job.text.decode() == expected
    assert b"".join(event.text for event in events).decode() == expected, "text after the stop string was streamed"


def test_token_ids_are_as_good_as_text(cluster):
    for case in json.loads((GOLDEN / "smollm2-tokenizer.json").read_text()):
        text, tokens = case["text"], case["tokens"]
        if 4 < len(tokens) < 60 and "<|" not in text:
            break
    else:
        raise AssertionError("no golden text to use")
    by_text = cluster.run(text, max_tokens=8)
    by_tokens = cluster.finished(cluster.submit(tokens=tokens, max_tokens=8))
    assert by_text.prompt_tokens == by_tokens.prompt_tokens == len(tokens)
    assert by_text.text == by_tokens.text and by_text.state == by_tokens.state


def test_estimate_is_what_happens(cluster):
    tokens = golden_tokens(200)
    forecast = cluster.stub().Estimate(parts(tokens=tokens, max_tokens=4, workers=2), timeout=10)
    assert forecast.admissible and not forecast.reason
    assert forecast.prompt_tokens == 200 and forecast.reserved_tokens == 4
    job = cluster.finished(cluster.submit(tokens=tokens, max_tokens=4))
    assert forecast.profile == job.profile
    assert [(s.worker, s.tokens) for s in forecast.shares] == [(s.worker, s.tokens) for s in job.shares]


def test_a_plan_predicts_time(cluster):
    before = json.loads(cluster.command("plan", PROMPT, "--workers", 2, "--max-tokens", 4, "--json").stdout)
    assert before["prefill_seconds"] > 0 and not before["unmeasured_reason"]
    assert before["decode_seconds"] > 0
    assert before["total_seconds"] == pytest.approx(before["prefill_seconds"] + before["decode_seconds"])
    assert [cost["worker"] for cost in before["costs"]] == ["alpha", "beta"]
    for cost in before["costs"]:
        assert cost["compute_seconds"] > 0 and cost["wire_seconds"] > 0
        assert all(rate > 0 for name, rate in cost["rates"].items() if name != "piece_keys"), cost
    # While a job runs, what is known already is used.
    job = cluster.submit(PROMPT, max_tokens=3000, ignore_end=True)
    cluster.when(job, lambda now: now.generated_tokens > 5, "decode")
    assert cluster.stub().Estimate(parts(tokens=[5, 6]), timeout=10).prefill_seconds > 0
    cluster.stub().Cancel(pb.JobRequest(id=job.id), timeout=20)
    shown = cluster.command("plan", PROMPT, "--max-tokens", 4).stdout
    assert "GFLOP/s" in shown and "about" in shown
    assert {"prefill", "decode", "total"} <= {line.split()[0] for line in shown.splitlines() if line}


def test_no_time_is_predicted_during_a_first_job(make_cluster):
    with make_cluster().start().wait_ready() as cluster:
        job = cluster.submit(PROMPT, max_tokens=3000, ignore_end=True)
        cluster.when(job, lambda now: now.generated_tokens > 5, "decode")
        forecast = cluster.stub().Estimate(parts(tokens=[5, 6]), timeout=10)
        assert forecast.admissible and forecast.prefill_seconds == 0
        assert "a job is running" in forecast.unmeasured_reason
        cluster.stub().Cancel(pb.JobRequest(id=job.id), timeout=20)


def test_pages_of_jobs(cluster):
    submitted = [cluster.submit(tokens=[1, 2, 3], max_tokens=1).id for _ in range(3)]
    for job in submitted:
        cluster.finished(pb.Job(id=job))
    seen, token = [], ""
    for _ in range(100):
        reply = cluster.stub().ListJobs(pb.ListJobsRequest(page_size=2, page_token=token), timeout=10)
        assert len(reply.jobs) <= 2
        seen += [job.id for job in reply.jobs]
        token = reply.next_page_token
        if not token:
            break
    assert not token and seen[:3] == submitted[::-1] and len(seen) == len(set(seen))


def test_h2load_has_no_failed_request(cluster, tmp_path):
    assert shutil.which("h2load"), "h2load is missing: install nghttp2-client (Ops/setup --tests)"
    body = tmp_path / "body"
    body.write_bytes(b"\0" * 5)  # one empty gRPC message
    for path in ("grpc.health.v1.Health/Check", "lariat.v1.Coordinator/GetCluster"):
        result = subprocess.run(
            ["h2load", "--requests=2000", "--clients=10", "--max-concurrent-streams=10", f"--data={body}",
             "--header=content-type: application/grpc", "--header=te: trailers", "--connection-inactivity-timeout=20",
             f"http://{cluster.address}/{path}"],
            capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        line = next(line for line in result.stdout.splitlines() if line.startswith("requests:"))
        assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in line, result.stdout
        assert "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx" in result.stdout, result.stdout
    # h2load does not read trailers: what grpc-status these calls have is asked by grpcio.
    reply, call = cluster.stub().GetCluster.with_call(pb.ClusterRequest(), timeout=10)
    assert call.code() == grpc.StatusCode.OK and len(reply.members) == 2


def test_two_hundred_calls_at_once(cluster):
    calls = [cluster.stub().GetCluster.future(pb.ClusterRequest(), timeout=20) for _ in range(200)]
    assert {call.code() for call in calls} == {grpc.StatusCode.OK}


def test_a_deadline_ends_a_call(cluster):
    job = cluster.submit(PROMPT, max_tokens=2000, ignore_end=True)
    with pytest.raises(grpc.RpcError) as failure:
        list(cluster.stub().Attach(pb.AttachRequest(id=job.id), timeout=0.5))
    assert failure.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    # The client that went away cancelled nothing.
    assert cluster.job(job).state in (pb.PREFILL, pb.DECODE, pb.QUEUED)


def test_compressed_messages_are_refused_by_the_book(cluster):
    # The gRPC specification: UNIMPLEMENTED, so that the client can try again without.
    with pytest.raises(grpc.RpcError) as failure:
        cluster.stub().GetJob(pb.JobRequest(id="j" * 5000), timeout=10, compression=grpc.Compression.Gzip)
    assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED, failure.value.details()


def test_json_output_is_json(cluster):
    job = cluster.run()
    shown = json.loads(cluster.command("show", job.id, "--json").stdout)
    assert shown["state"] == "SUCCEEDED" and shown["text"] == job.text.decode()
    listed = [json.loads(line) for line in cluster.command("jobs", "--json").stdout.splitlines()]
    assert listed
    streamed = cluster.command("submit", "Hello", "--max-tokens", 3, "--json")
    events = [json.loads(line) for line in streamed.stdout.splitlines()]
    # What comes on the way is small; the last object is the job's record, answer included.
    assert max(len(json.dumps(event)) for event in events[:-1]) < 400
    last = events[-1]
    assert last["state"] == "SUCCEEDED" and last["finish"] in ("length", "end")
    assert last["text"] == "".join(event.get("text", "") for event in events[:-1]) != ""
    assert last == json.loads(cluster.command("show", last["id"], "--json").stdout)
    attached = cluster.command("attach", last["id"], "--json").stdout.splitlines()
    waited = cluster.command("wait", last["id"], "--json").stdout
    assert json.loads(attached[-1])["text"] == json.loads(waited)["text"] == last["text"]
    scored = json.loads(cluster.command("score", "A word or two.", "--json").stdout)
    assert scored["perplexity"] > 0
    planned = json.loads(cluster.command("plan", "Hello", "--json").stdout)
    assert planned["admissible"] is True
    checked = json.loads(cluster.command("doctor", "--json").stdout)
    assert checked


def test_many_jobs_at_once(cluster):
    first = cluster.submit(PROMPT, max_tokens=4000, ignore_end=True)
    cluster.when(first, lambda job: job.generated_tokens > 0, "decode")
    # On both workers, so that no two run at once.
    calls = [cluster.stub().Submit.future(
        parts(tokens=[5 + i, 6, 7], max_tokens=1, ignore_end=True, workers=2), timeout=30) for i in range(20)]
    waiting = sorted((call.result(timeout=30).id for call in calls), key=lambda id: int(id[1:]))
    assert [cluster.job(id).queue_position for id in waiting] == list(range(1, 21))
    assert cluster.state().queued == 20
    cluster.stub().Cancel(pb.JobRequest(id=first.id), timeout=20)
    jobs = [cluster.finished(cluster.job(id)) for id in waiting]
    assert {job.state for job in jobs} == {SUCCEEDED}
    # First come, first served.
    starts = [job.started_us for job in jobs]
    assert starts == sorted(starts)


def test_text_from_standard_input_and_a_file(cluster, tmp_path):
    expected = cluster.run(PROMPT, max_tokens=6).text.decode().rstrip("\n")
    file = tmp_path / "prompt"
    file.write_text(PROMPT)
    for result in (cluster.command("submit", "--raw", "--file", "-", "--max-tokens", 6, input=PROMPT),
                   cluster.command("submit", "--raw", "--file", file, "--max-tokens", 6)):
        assert result.returncode == 0, result.stderr
        assert result.stdout.rstrip("\n") == expected
    both = cluster.command("plan", "--file", file, "And a question?", "--json")
    joined = cluster.command("plan", PROMPT + "\n\nAnd a question?", "--json")
    assert json.loads(both.stdout)["prompt_tokens"] == json.loads(joined.stdout)["prompt_tokens"]
