"""What Lariat writes for OpenAI's API, read by OpenAI's own package: as its types, and by its client over HTTP."""

import http.server
import json
import pathlib
import threading

import openai
import pydantic
import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

BYTES = pathlib.Path(__file__).parent / "bytes"
TEXT = "Hé 😀"
# Members that OpenAI does not have: vLLM's names.
OURS = {"max_model_len", "token_ids"}


def read(name):
    return (BYTES / name).read_bytes()


def events(name):
    """The data of each event, by the rules of server-sent events that matter here."""
    body = read(name).decode()
    assert body.endswith("\n\n") and "\r" not in body
    lines = body.removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [line.removeprefix("data: ") for line in lines]


def strict(type, text):
    """Reads an object and makes sure that it has no member which OpenAI's type does not name."""
    value = type.model_validate_json(text, strict=True)

    def look(part):
        if isinstance(part, pydantic.BaseModel):
            assert set(part.model_extra or {}) <= OURS, f"{type.__name__} does not name {part.model_extra}"
            for name in part.model_fields_set:
                look(getattr(part, name))
        elif isinstance(part, list):
            for element in part:
                look(element)

    look(value)
    return value


# As types


@pytest.mark.parametrize("name", ["chat.json", "chat-logprobs.json", "chat-token-ids.json"])
def test_chat_completion(name):
    answer = strict(ChatCompletion, read(name))
    assert answer.object == "chat.completion" and answer.id == "chatcmpl-j7"
    assert answer.created == 1_700_000_000 and answer.model == "smol" and answer.system_fingerprint == "f00d"
    [choice] = answer.choices
    assert choice.message.role == "assistant" and choice.message.content == TEXT and choice.message.refusal is None
    assert choice.finish_reason == "length" and choice.index == 0
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (11, 4, 15)


def test_chat_logprobs():
    tokens = strict(ChatCompletion, read("chat-logprobs.json")).choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == TEXT
    assert [token.token for token in tokens] == ["H", "é", r" \xf0\x9f", r"\x98\x80"]
    assert [token.logprob for token in tokens] == [-0.25, -2, -0.1, -9999]
    assert [len(token.top_logprobs) for token in tokens] == [2, 2, 1, 1]
    assert tokens[0].top_logprobs[1].token == '"\n' and tokens[1].top_logprobs[0].bytes == [0xC3]
    assert strict(ChatCompletion, read("chat.json")).choices[0].logprobs is None


@pytest.mark.parametrize("name", ["text.json", "text-logprobs.json"])
def test_completion(name):
    answer = strict(Completion, read(name))
    assert answer.object == "text_completion" and answer.id == "cmpl-j7"
    assert answer.choices[0].text == TEXT and answer.choices[0].finish_reason == "length"
    assert answer.usage.total_tokens == 15


def test_completion_logprobs():
    logprobs = strict(Completion, read("text-logprobs.json")).choices[0].logprobs
    assert logprobs.tokens == ["H", "é", r"bytes: \xf0\x9f", r"bytes:\x98\x80"]
    assert logprobs.token_logprobs == [-0.25, -2, -0.1, -9999]
    # The chosen token is always among them.
    assert all(token in top for token, top in zip(logprobs.tokens, logprobs.top_logprobs))
    assert [TEXT[at] for at in logprobs.text_offset] == ["H", "é", " ", "😀"]


@pytest.mark.parametrize("name", ["chat.sse", "chat-usage.sse", "chat-logprobs.sse"])
def test_chat_chunks(name):
    *pieces, end = events(name)
    assert end == "[DONE]"
    chunks = [strict(ChatCompletionChunk, piece) for piece in pieces]
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {("chatcmpl-j7", 1_700_000_000, "smol")}
    first, *_ = chunks
    assert first.choices[0].delta.role == "assistant" and first.choices[0].delta.content == ""
    told = [chunk for chunk in chunks if chunk.choices]
    assert [chunk.choices[0].finish_reason for chunk in told] == [None] * (len(told) - 1) + ["length"]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == TEXT
    if name == "chat.sse":
        assert all("usage" not in json.loads(piece) for piece in pieces)
    else:
        assert all("usage" in json.loads(piece) for piece in pieces)
        assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 15
        assert all(chunk.usage is None for chunk in chunks[:-1])


def test_models():
    listed = json.loads(read("models.json"))
    assert listed["object"] == "list" and set(listed) == {"object", "data"}
    [entry] = listed["data"]
    assert entry == json.loads(read("model.json"))
    model = strict(Model, read("model.json"))
    assert model.id == "smol" and model.owned_by == "lariat" and model.model_extra == {"max_model_len": 8192}


# Over HTTP


@pytest.fixture
def serve():
    """A client whose every request is answered with these bytes."""
    servers = []

    def start(name, status=200):
        body = read(name)
        kind = "text/event-stream; charset=utf-8" if name.endswith(".sse") else "application/json"

        class Replay(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                # In pieces of a size that cuts events and characters in two.
                for at in range(0, len(body), 7):
                    piece = body[at:at + 7]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

            do_POST = do_GET

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = openai.OpenAI(
            base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", max_retries=0, timeout=10)
        servers.append((server, client))
        return client

    yield start
    for server, client in servers:
        client.close()
        server.shutdown()
        server.server_close()


MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


def test_client_reads_answers(serve):
    chat = serve("chat.json").chat.completions.create(model="smol", messages=MESSAGES)
    assert chat.choices[0].message.content == TEXT
    text = serve("text.json").completions.create(model="smol", prompt="hi")
    assert text.choices[0].text == TEXT
    assert [model.id for model in serve("models.json").models.list()] == ["smol"]
    assert serve("model.json").models.retrieve("smol").id == "smol"


@pytest.mark.parametrize("name", ["chat.sse", "chat-usage.sse", "chat-logprobs.sse"])
def test_client_reads_chat_streams(serve, name):
    chunks = list(serve(name).chat.completions.create(model="smol", messages=MESSAGES, stream=True))
    assert len(chunks) == len(events(name)) - 1
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT


def test_client_adds_a_stream_up(serve):
    """The package's own accumulator, which is stricter than the loop that most people write."""
    assert read("chat-pauses.sse").startswith(b": ")
    client = serve("chat-pauses.sse")
    with client.chat.completions.stream(
            model="smol", messages=MESSAGES, logprobs=True, stream_options={"include_usage": True}) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == TEXT and final.choices[0].finish_reason == "stop"
    assert final.usage.total_tokens == 15
    assert len(final.choices[0].logprobs.content) == 4


@pytest.mark.parametrize("name", ["text.sse", "text-logprobs.sse"])
def test_client_reads_text_streams(serve, name):
    chunks = list(serve(name).completions.create(model="smol", prompt="hi", stream=True))
    told = [chunk for chunk in chunks if chunk.choices]
    assert "".join(chunk.choices[0].text for chunk in told) == TEXT
    assert told[-1].choices[0].finish_reason == "length"
    if name == "text-logprobs.sse":
        assert chunks[-1].usage.total_tokens == 15
        assert sum((chunk.choices[0].token_ids for chunk in told), []) == [40, 41, 42, 43]


def test_client_raises_what_fails_in_mid_stream(serve):
    stream = serve("chat-failed.sse").chat.completions.create(model="smol", messages=MESSAGES, stream=True)
    read_before = []
    with pytest.raises(openai.APIError, match="worker beta was lost") as failure:
        for chunk in stream:
            read_before.append(chunk.choices[0].delta.content)
    assert read_before == ["", "Hé"]
    assert failure.value.type == "server_error" and failure.value.code == "internal_error"


@pytest.mark.parametrize("name, status, error, code, param", [
    ("error-400.json", 400, openai.BadRequestError, "unsupported_parameter", "n"),
    ("error-400-context.json", 400, openai.BadRequestError, "context_length_exceeded", "prompt"),
    ("error-401.json", 401, openai.AuthenticationError, "invalid_api_key", None),
    ("error-404.json", 404, openai.NotFoundError, "model_not_found", "model"),
    ("error-429.json", 429, openai.RateLimitError, "limit_reached", None),
    ("error-500.json", 500, openai.InternalServerError, "internal_error", None),
])
def test_client_raises_errors(serve, name, status, error, code, param):
    with pytest.raises(error) as failure:
        serve(name, status).completions.create(model="smol", prompt="hi")
    assert set(json.loads(read(name))["error"]) == {"message", "type", "param", "code"}
    assert failure.value.code == code and failure.value.param == param
    assert failure.value.body["message"] in str(failure.value)
