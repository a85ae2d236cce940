"""The HTTP API as users of OpenAI's own package see it. `cluster.web` is its base URL, `cluster.token` a token for it."""

import json
import pathlib
import time

import httpx2
import openai
import pytest

from cluster import CANCELLED, GOLDEN, MODEL, OVER, SUCCEEDED, parts, pb, until

PROMPT = "Once upon a time there was a small house at the edge of the wood, and in it lived"
QUESTION = [{"role": "system", "content": "Answer in one word."},
            {"role": "user", "content": "What is the capital of France?"}]


def connect(cluster, **options):
    options.setdefault("api_key", cluster.token)
    # A test sees each refusal once, and talks to nobody but this host.
    return openai.OpenAI(base_url=f"{cluster.web}/v1", max_retries=0, timeout=60,
                         http_client=openai.DefaultHttpxClient(trust_env=False), **options)


@pytest.fixture
def cluster(guarded):
    """These tests' cluster is one whose clients need tokens."""
    return guarded


@pytest.fixture
def client(cluster):
    with connect(cluster) as client:
        yield client


@pytest.fixture
def model():
    """The API's name for the model: that of its file."""
    return pathlib.Path(MODEL).stem


def job_of(answer_id):
    return answer_id.partition("-")[2]


def joined(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# Models


def test_models(cluster, client, model):
    [listed] = client.models.list()
    assert listed == client.models.retrieve(model)
    assert listed.id == model and listed.object == "model" and listed.owned_by == "lariat"
    assert listed.max_model_len == cluster.state().window


# Answers


def test_completion_is_what_grpc_gives(cluster, client, model):
    answer = client.completions.create(
        model=model, prompt=PROMPT, max_tokens=16, temperature=0, extra_body={"return_token_ids": True})
    job = cluster.job(job_of(answer.id))
    assert job.state == SUCCEEDED and not job.options.chat
    events = cluster.attach(cluster.submit(PROMPT, max_tokens=16))
    assert answer.choices[0].text.encode() == b"".join(event.text for event in events) == job.text
    assert answer.choices[0].token_ids == [token for event in events for token in event.tokens]
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.prompt_tokens == job.prompt_tokens and answer.usage.completion_tokens == 16
    assert answer.usage.total_tokens == job.prompt_tokens + 16
    assert answer.model == model and answer.system_fingerprint.startswith("fp_")
    assert abs(answer.created - time.time()) < 60


def test_token_ids_as_prompt(client, model):
    case = json.loads((GOLDEN / "smollm2-greedy.json").read_text())[0]
    for prompt in (case["prompt_tokens"], [case["prompt_tokens"]]):
        answer = client.completions.create(
            model=model, prompt=prompt, max_tokens=len(case["greedy"]), temperature=0,
            extra_body={"return_token_ids": True, "ignore_eos": True})
        assert answer.usage.prompt_tokens == len(case["prompt_tokens"])
        # Parting is allowed only after a step whose golden margin is small.
        for step, (ours, golden, margin) in enumerate(
                zip(answer.choices[0].token_ids, case["greedy"], case["margin"], strict=True)):
            if margin < 0.1:
                break
            assert ours == golden, f"step {step}"


def test_chat(cluster, client, model):
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_completion_tokens=16, temperature=0)
    assert "Paris" in answer.choices[0].message.content and answer.choices[0].message.role == "assistant"
    job = cluster.job(job_of(answer.id))
    assert job.text.decode() == answer.choices[0].message.content
    assert answer.usage.prompt_tokens == job.prompt_tokens > 10


def test_conversation_is_remembered(client, model):
    def ask(*before):
        messages = [*before, {"role": "user", "content": "What is my name? Answer with the name only."}]
        return client.chat.completions.create(model=model, messages=messages, max_tokens=16, temperature=0)

    told = ask({"role": "user", "content": "My name is Barnaby."},
               {"role": "assistant", "content": "Nice to meet you, Barnaby."})
    assert "Barnaby" in told.choices[0].message.content
    assert told.usage.prompt_tokens > ask().usage.prompt_tokens


def test_message_in_text_parts(client, model):
    def ask(content):
        return client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": content}], max_tokens=8, temperature=0)

    one, two = ask("Count:\none, two,"), ask([{"type": "text", "text": "Count:"}, {"type": "text", "text": "one, two,"}])
    assert one.choices[0].message.content == two.choices[0].message.content
    assert one.usage == two.usage


def test_special_tokens_in_a_message_are_text(client, model):
    def length(content):
        return client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": content}], max_tokens=1).usage.prompt_tokens

    assert length("<|im_end|><|im_start|>") > length("") + 2


# Streams


def test_chat_stream_is_the_answer(client, model):
    options = dict(model=model, messages=QUESTION, max_tokens=24, temperature=0)
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert joined(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    *told, last = chunks
    assert last.choices == [] and last.usage == whole.usage
    assert [chunk.choices[0].finish_reason for chunk in told[:-1]] == [None] * (len(told) - 1)
    assert told[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert len({chunk.id for chunk in chunks}) == 1


def test_completion_stream_is_the_answer(client, model):
    options = dict(model=model, prompt=PROMPT, max_tokens=24, temperature=0)
    whole = client.completions.create(**options)
    chunks = list(client.completions.create(**options, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_arrives_while_it_is_made(cluster, client, model):
    stream = client.completions.create(
        model=model, prompt=PROMPT, max_tokens=400, stream=True, extra_body={"ignore_eos": True})
    first = next(chunk for chunk in stream if chunk.choices[0].text)
    assert cluster.job(job_of(first.id)).state not in OVER
    stream.close()


@pytest.mark.parametrize("stream", [False, True])
def test_stop(client, model, stream):
    options = dict(model=model, prompt="1, 2, 3, 4,", max_tokens=40, temperature=0)
    free = client.completions.create(**options).choices[0].text
    assert " 7," in free and " 9," in free
    answer = client.completions.create(**options, stop=[" 9", " 7"], stream=stream)
    chunks = list(answer) if stream else [answer]
    assert "".join(chunk.choices[0].text for chunk in chunks) == free.partition(" 7")[0]
    assert chunks[-1].choices[0].finish_reason == "stop"


# Sampling


def test_seed(client, model):
    def sampled(seed):
        return client.completions.create(
            model=model, prompt=PROMPT, max_tokens=24, temperature=1, top_p=0.95, seed=seed).choices[0].text

    first = sampled(0)
    assert first == sampled(0)
    assert any(first != sampled(seed) for seed in (1, 2, -3)), "the seed does not matter"
    assert sampled(-3) == sampled(-3)


def test_temperature_is_one_by_default(cluster, client, model):
    answer = client.completions.create(model=model, prompt=PROMPT, max_tokens=2)
    sampling = cluster.job(job_of(answer.id)).options.sampling
    assert sampling.temperature == 1 and sampling.seed != 0


def test_options_reach_the_job(cluster, client, model):
    answer = client.completions.create(
        model=model, prompt=PROMPT, max_tokens=3, user="ann", stop=["x", "y"], top_p=0.5,
        extra_body={"top_k": 5, "min_p": 0.25, "repetition_penalty": 1.5, "ignore_eos": True, "workers": 1,
                    "beyond_window": True, "rope": "none"})
    job = cluster.job(job_of(answer.id))
    options = job.options
    assert options.name == "ann" and list(options.stop) == ["x", "y"] and options.max_tokens == 3
    assert options.ignore_end and options.workers == 1 and options.beyond_window and options.rope.name == "none"
    assert (options.sampling.top_k, options.sampling.top_p, options.sampling.min_p) == (5, 0.5, 0.25)
    assert options.sampling.repetition_penalty == 1.5 and len(job.shares) == 1


# Log probabilities


def scored(cluster, tokens):
    """What a scoring job says of each token but the first."""
    events = list(cluster.stub().Attach(pb.AttachRequest(id=cluster.stub().Submit(
        parts(tokens=tokens, kind=pb.SCORE), timeout=20).id, from_event=1), timeout=60))
    found = {event.first_position + i: nll for event in events for i, nll in enumerate(event.nll)}
    return found


def test_chat_logprobs(client, model):
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=8, temperature=0, logprobs=True, top_logprobs=4)
    tokens = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode().startswith(answer.choices[0].message.content)
    for token in tokens:
        assert len(token.top_logprobs) == 4
        ranked = [other.logprob for other in token.top_logprobs]
        assert ranked == sorted(ranked, reverse=True) and all(logprob <= 0 for logprob in ranked)
        # Greedy: the chosen one is the likeliest.
        assert token.logprob == ranked[0]


def test_completion_logprobs_are_those_of_a_scoring_job(cluster, client, model):
    prompt = json.loads((GOLDEN / "smollm2-greedy.json").read_text())[0]["prompt_tokens"]
    answer = client.completions.create(
        model=model, prompt=prompt, max_tokens=8, temperature=0, logprobs=2,
        extra_body={"return_token_ids": True, "ignore_eos": True})
    logprobs = answer.choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == 8
    assert all(2 <= len(top) <= 3 and token in top for token, top in zip(logprobs.tokens, logprobs.top_logprobs))
    scores = scored(cluster, prompt + answer.choices[0].token_ids)
    for step, logprob in enumerate(logprobs.token_logprobs):
        # The same sums in another order and in bf16.
        assert logprob == pytest.approx(-scores[len(prompt) + step], abs=0.1), f"step {step}"


def test_streamed_logprobs_are_those_of_the_whole(client, model):
    options = dict(model=model, messages=QUESTION, max_tokens=8, temperature=0, logprobs=True, top_logprobs=2)
    whole = client.chat.completions.create(**options)
    chunks = client.chat.completions.create(**options, stream=True)
    streamed = [token for chunk in chunks if chunk.choices and chunk.choices[0].logprobs
                for token in chunk.choices[0].logprobs.content]
    assert [(token.token, token.bytes) for token in streamed] == [
        (token.token, token.bytes) for token in whole.choices[0].logprobs.content]


# The fingerprint


def test_another_split_has_another_fingerprint(client, model):
    def ask(stream=False, **extra):
        answer = client.completions.create(
            model=model, prompt=PROMPT, max_tokens=3, seed=5, stream=stream, extra_body=extra)
        found = {piece.system_fingerprint for piece in (answer if stream else [answer])}
        assert len(found) == 1
        return found.pop()

    both = ask()
    assert both == ask() == ask(stream=True)
    assert ask(workers=1) not in (both, None)


# Refusals


def test_wrong_model(client, model):
    with pytest.raises(openai.NotFoundError) as failure:
        client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert failure.value.code == "model_not_found" and model in failure.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_unknown_context(client, model):
    for ask in (lambda: client.chat.completions.create(
                    model=model, messages=QUESTION, extra_body={"context": "none"}),
                lambda: client.completions.create(model=model, prompt=PROMPT, extra_body={"context": "none"})):
        with pytest.raises(openai.NotFoundError) as failure:
            ask()
        assert "no context none" in failure.value.message


@pytest.mark.parametrize("stream", [False, True])
def test_prompt_beyond_the_window(cluster, client, model, stream):
    with pytest.raises(openai.BadRequestError) as failure:
        client.completions.create(model=model, prompt=[1] * (cluster.state().window + 1), stream=stream)
    assert failure.value.code == "context_length_exceeded"
    assert str(cluster.state().window) in failure.value.message


def test_errors_name_the_fields_of_the_api(cluster, client, model):
    window = cluster.state().window
    for call, param in ((lambda: client.completions.create(model=model, prompt=[1] * window), "prompt"),
                        (lambda: client.chat.completions.create(
                            model=model, messages=QUESTION, max_tokens=window), "messages")):
        with pytest.raises(openai.BadRequestError) as failure:
            call()
        assert failure.value.param == param and failure.value.code == "context_length_exceeded"
        assert "--" not in failure.value.message
        assert '"rope"' in failure.value.message and '"beyond_window"' in failure.value.message


@pytest.mark.parametrize("text", ["a", "\n", " "], ids=["letters", "line breaks", "blanks"])
def test_a_hopeless_prompt_is_not_counted(client, model, text):
    """Its length alone says that it is too long: nobody tokenises 16 MiB, which would take half a minute."""
    with pytest.raises(openai.BadRequestError) as failure:
        client.completions.create(model=model, prompt="x" + text * (16 << 20))
    assert failure.value.code == "context_length_exceeded" and "at least" in failure.value.message


@pytest.mark.parametrize("key", ["wrong", "x" * 10_000])
def test_wrong_token(cluster, key):
    with connect(cluster, api_key=key) as client:
        for call in (client.models.list,
                     lambda: client.completions.create(model="m", prompt="hi"),
                     lambda: client.chat.completions.create(model="m", messages=QUESTION, stream=True)):
            with pytest.raises(openai.AuthenticationError) as failure:
                call()
            assert cluster.token not in str(failure.value)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic bGFyaWF0OmxhcmlhdA=="}])
def test_no_token(cluster, header):
    reply = httpx2.get(f"{cluster.web}/v1/models", headers=header, timeout=20, trust_env=False)
    assert reply.status_code == 401 and reply.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("options, param", [
    ({"n": 2}, "n"), ({"temperature": 3}, "temperature"), ({"max_tokens": 0}, "max_tokens"),
    ({"presence_penalty": 1}, "presence_penalty"), ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"), ({"stop": [""]}, "stop"),
    ({"response_format": {"type": "json_object"}}, "response_format"), ({"top_logprobs": 2}, "top_logprobs"),
    ({"messages": []}, "messages"), ({"messages": [{"role": "king", "content": "hi"}]}, "messages[0].role"),
    ({"extra_body": {"max_token": 5}}, "max_token"), ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
     "messages[0].content[0].type"),
])
def test_refused_options(cluster, client, model, options, param):
    jobs = len(cluster.stub().ListJobs(pb.ListJobsRequest(page_size=100), timeout=10).jobs)
    with pytest.raises(openai.BadRequestError) as failure:
        client.chat.completions.create(**{"model": model, "messages": QUESTION, **options})
    assert failure.value.param == param and failure.value.type == "invalid_request_error"
    assert jobs == len(cluster.stub().ListJobs(pb.ListJobsRequest(page_size=100), timeout=10).jobs)


@pytest.mark.parametrize("body", [
    b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff" * 100, b"null", b'{"model":"m","prompt":"\\ud800"}',
    b'{"model":"m","prompt":"a","temperature":' + b"9" * 1_000_000 + b"}", '{"model":"m"}'.encode("utf-16"),
], ids=lambda body: repr(body[:12]))
def test_bodies_that_are_no_requests(cluster, body):
    for path in ("completions", "chat/completions"):
        reply = httpx2.post(f"{cluster.web}/v1/{path}", content=body, timeout=20, trust_env=False,
                           headers={"Authorization": f"Bearer {cluster.token}", "Content-Type": "application/json"})
        assert reply.status_code == 400, reply.text
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    cluster.run(max_tokens=2)


# Clients that leave


def begin(client, model, **options):
    """A stream in the middle of a long answer, and its job."""
    stream = client.completions.create(
        model=model, prompt=PROMPT, max_tokens=3000, stream=True, extra_body={"ignore_eos": True, **options})
    return stream, job_of(next(chunk for chunk in stream if chunk.choices[0].text).id)


def test_leaving_ends_the_job(cluster, client, model):
    stream, job = begin(client, model)
    stream.close()
    ended = cluster.finished(job)
    assert ended.state == CANCELLED and ended.generated_tokens < 3000


def test_leaving_a_whole_answer_ends_the_job(cluster, client, model):
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=2).completions.create(
            model=model, prompt=PROMPT, max_tokens=3000, user="leaver", extra_body={"ignore_eos": True})
    [job] = [job for job in cluster.stub().ListJobs(pb.ListJobsRequest(page_size=100), timeout=10).jobs
             if job.options.name == "leaver"]
    assert cluster.finished(job.id).state == CANCELLED


def test_a_stored_job_goes_on(cluster, client, model):
    stream, job = begin(client, model, store=True)
    stream.close()
    before = cluster.job(job).generated_tokens
    cluster.when(job, lambda now: now.generated_tokens > before + 20, "it goes on")
    cluster.stub().Cancel(pb.JobRequest(id=job), timeout=20)


def test_cancelled_elsewhere(cluster, client, model):
    stream, job = begin(client, model)
    cluster.stub().Cancel(pb.JobRequest(id=job), timeout=20)
    with pytest.raises(openai.APIError):
        for _ in stream:
            pass


def test_many_at_once(cluster, client, model):
    """More streams than run at the same time: each waits for its turn, and those that leave are forgotten."""
    streams = [client.completions.create(model=model, prompt=PROMPT, max_tokens=4, temperature=0, stream=True,
                                         extra_body={"ignore_eos": True}) for _ in range(6)]
    for stream in streams[:2]:
        stream.close()
    texts = {"".join(chunk.choices[0].text for chunk in stream) for stream in streams[2:]}
    assert len(texts) == 1
    until(lambda: not cluster.state().queued and not cluster.state().running, "nothing is left")
