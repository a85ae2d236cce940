"""Contexts from the command line: a text is ingested once and asked about often, alone, in a chat, and after a loss."""

import json
import urllib.error
import urllib.request

import pytest

import lariat_pb2 as pb
from cluster import SUCCEEDED, command, refused, until
from terminal import Terminal

TILE = 128
# Some 1,100 tokens: more than eight tiles, and with what is reserved within the window.
TEXT = "".join(f"In year {1800 + year} the mill by the river ground {7 * year} sacks of corn. " for year in range(60))


@pytest.fixture
def contexts(cluster):
    """The cluster, without contexts before and after."""
    def clear():
        for context in cluster.stub().ListContexts(pb.ListContextsRequest(), timeout=20).contexts:
            cluster.stub().RemoveContext(pb.ContextRequest(name=context.name), timeout=20)

    clear()
    yield cluster
    clear()


def add(cluster, name="mill", *options, text=TEXT):
    done = cluster.command("context", "add", name, "--file", "-", "--reserve", 512, *options, input=text)
    assert done.returncode == 0, done.stderr
    return cluster.stub().GetContext(pb.ContextRequest(name=name), timeout=20)


def ask(cluster, question, *options, name="mill"):
    """The answer, and the job."""
    done = cluster.command("ask", name, question, "--max-tokens", 12, "--json", *options)
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout.splitlines()[-1])
    assert job["state"] == "SUCCEEDED"
    return job["text"], job


@pytest.mark.parametrize("workers", [1, 2])
def test_a_text_is_computed_once_and_asked_about_often(contexts, workers):
    context = add(contexts, "mill", "--workers", workers)
    assert context.state == pb.Context.READY and len(context.shares) == workers
    assert context.kept_tokens % TILE == 0 and context.tokens - TILE <= context.kept_tokens <= context.tokens
    assert context.kv_bytes == sum(share.kv_bytes for share in context.shares) > 0
    ingested = contexts.job(context.job)
    assert ingested.options.kind == pb.INGEST and ingested.prompt_tokens == context.tokens
    first, job = ask(contexts, "How many sacks in 1850?")
    assert job["cached_tokens"] == context.kept_tokens
    assert job["prompt_tokens"] > context.tokens and job["options"]["context"] == "mill"
    # The same answer again, and when everything is computed.
    assert ask(contexts, "How many sacks in 1850?")[0] == first
    everything, job = ask(contexts, "How many sacks in 1850?", "--no-reuse")
    assert everything == first and job["cached_tokens"] == 0
    other, job = ask(contexts, "What stands by the river?")
    assert job["cached_tokens"] >= context.kept_tokens
    now = contexts.stub().GetContext(pb.ContextRequest(name="mill"), timeout=20)
    assert now.questions == 4 and now.used_us > context.used_us and now.state == pb.Context.READY


def test_a_person_reads_what_was_in_memory(contexts):
    done = contexts.command("context", "add", "mill", "--reserve", 512, input=TEXT)
    assert done.returncode == 0 and done.stdout == "" and 'context "mill" is ready: ' in done.stderr
    asked = contexts.command("ask", "mill", "What stands by the river?", "--max-tokens", 5)
    assert asked.returncode == 0 and asked.stdout.strip()
    assert "of them in memory" in asked.stderr and "first token after" in asked.stderr
    # The question may come from anywhere that a prompt may.
    piped = contexts.command("ask", "mill", "--max-tokens", 5, input="What stands by the river?")
    assert piped.stdout == asked.stdout
    assert "were in memory and not computed" in contexts.command("show").stdout
    titles, line = contexts.command("contexts").stdout.splitlines()
    assert titles.split()[:4] == ["context", "state", "tokens", "memory"] and line.split()[:2] == ["mill", "ready"]
    shown = contexts.command("context", "show", "mill").stdout
    assert "in memory" in shown and "512 tokens for a question" in shown and "alpha" in shown + "beta"
    ingesting = contexts.command("show", "mill").stdout
    assert "ingest" in ingesting and "decode" not in ingesting


def test_names(contexts):
    assert "lariat context add" in contexts.command("contexts").stderr
    refused(contexts.command("ask", "nobody", "Who?"), "nobody", "lariat contexts", code=64)
    for arguments in (["show"], ["rm"], ["pin"]):
        refused(contexts.command("context", *arguments, "nobody"), "nobody", code=64)
    refused(contexts.command("chat", "--context", "nobody", input="Who?\n"), "nobody", code=64)
    first = add(contexts)
    refused(contexts.command("context", "add", "mill", "Another text."), "mill", "already")
    assert contexts.stub().GetContext(pb.ContextRequest(name="mill"), timeout=20).job == first.job
    refused(contexts.command("context", "add", "a mill", "A text."), "name", code=64)
    refused(contexts.command("context", "add", "", "A text."), "name", code=64)
    refused(contexts.command("context", "add", "empty", input=""), "empty", code=66)
    refused(contexts.command("context", "add", "short", "A text."), "128", code=64)
    refused(contexts.command("context", "add", "other", "--reserve", 0, "A text."), "--reserve", code=64)
    removed = json.loads(contexts.command("context", "rm", "mill", "--json").stdout)
    assert removed["name"] == "mill"
    refused(contexts.command("ask", "mill", "Who?"), "mill", code=64)
    assert contexts.command("contexts", "--json").stdout == ""
    # The name is free again.
    assert add(contexts).job != first.job


def test_a_context_is_pinned_and_let_go(contexts):
    add(contexts)
    assert "is pinned" in contexts.command("context", "pin", "mill").stdout
    assert contexts.command("contexts").stdout.splitlines()[1].endswith("yes")
    assert json.loads(contexts.command("contexts", "--json").stdout)["pinned"] is True
    assert "is not pinned" in contexts.command("context", "pin", "mill", "--undo").stdout
    assert not contexts.stub().GetContext(pb.ContextRequest(name="mill"), timeout=20).pinned


def test_ingesting_goes_on_without_the_command(contexts):
    id = contexts.command("context", "add", "mill", "--detach", "--reserve", 512, input=TEXT).stdout.strip()
    assert contexts.finished(contexts.job(id)).state == SUCCEEDED
    context = json.loads(contexts.command("context", "show", "mill", "--json").stdout)
    assert context["state"] == "ready" and context["job"] == id


def test_a_text_without_the_chat_template(contexts):
    context = add(contexts, "mill", "--raw")
    assert not context.chat
    _, job = ask(contexts, " In year 1860 the mill")
    assert job["cached_tokens"] == context.kept_tokens
    refused(contexts.command("chat", "--context", "mill", input="Who?\n"), "lariat ask", code=64)


def test_a_question_is_no_longer_than_what_is_reserved(contexts):
    add(contexts)
    refused(contexts.command("ask", "mill", "Why? " * 1000), "512", "--max-tokens")
    refused(contexts.command("ask", "mill", "Why?", "--max-tokens", 2000), "512", "--max-tokens")


def test_a_conversation_about_a_context(contexts):
    context = add(contexts)
    newest = lambda: contexts.stub().ListJobs(pb.ListJobsRequest(page_size=1), timeout=20).jobs[0]
    for option in (["--system", "Be brief."], ["--workers", 1], ["--rope", "ntk"]):
        refused(contexts.command("chat", "--context", "mill", *option, input="Who?\n"), option[0], code=64)
    with Terminal("chat", "--coordinator", contexts.address, "--context", "mill", "--max-tokens", 8) as terminal:
        def asked(line):
            before = terminal.said.count("of them in memory")
            terminal.press(line + "\r")
            terminal.until(lambda t: t.said.count("of them in memory") > before and t.lines[-1] == ">", line)
            return newest()

        terminal.until(lambda t: 'context "mill" is ready' in t.said and t.lines[-1:] == [">"], "the prompt")
        first = asked("How many sacks in 1850?")
        second = asked("And in the year after?")
        assert first.cached_tokens == context.kept_tokens and second.cached_tokens >= first.cached_tokens
        assert second.prompt_tokens > first.prompt_tokens and second.options.context == "mill"
        terminal.press("\x04")
        assert terminal.wait() == 0
    with Terminal("chat", "--coordinator", contexts.address, "--context", "mill", "--ignore-end", "--max-tokens",
                  400) as terminal:
        terminal.until(lambda t: t.lines[-1:] == [">"], "the prompt")
        terminal.press("Tell me about every year.\r")
        contexts.when(until(lambda: newest() if newest().id != second.id else None, "the job"),
                      lambda job: job.generated_tokens > 2, "it answers")
        terminal.press("\x03")
        terminal.until(lambda t: "stopped" in t.text and t.lines[-1] == ">", "the prompt is back")
        terminal.press("/exit\r")
        assert terminal.wait() == 0


def test_without_a_name_the_beginning_of_a_prompt_is_in_memory(cluster):
    def submit(question):
        done = cluster.command("submit", "--max-tokens", 8, "--workers", 2, "--json", question,
                               input=TEXT.replace("mill", "wheel"))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    first = submit("How many sacks in 1850?")
    again = submit("How many sacks in 1850?")
    other = submit("What stands by the river?")
    assert first["cached_tokens"] < 2 * TILE
    for job in (again, other):
        assert job["cached_tokens"] % TILE == 0
        assert first["prompt_tokens"] - 2 * TILE < job["cached_tokens"] < job["prompt_tokens"]
    assert again["text"] == first["text"]


def test_a_lost_worker_costs_the_memory_and_not_the_context(contexts):
    context = add(contexts, "mill", "--workers", 2)
    answer, _ = ask(contexts, "How many sacks in 1850?")
    contexts.kill("beta")
    contexts.start("beta").wait_ready()
    until(lambda: contexts.stub().GetContext(pb.ContextRequest(name="mill"), timeout=20).state == pb.Context.GONE,
          "the context is gone from memory")
    assert "gone" in contexts.command("contexts").stdout
    again, job = ask(contexts, "How many sacks in 1850?")
    assert again == answer and job["cached_tokens"] == 0
    until(lambda: contexts.stub().GetContext(pb.ContextRequest(name="mill"), timeout=20).state == pb.Context.READY,
          "the context is in memory again")
    assert ask(contexts, "What stands by the river?")[1]["cached_tokens"] >= context.kept_tokens


def test_contexts_outlive_the_coordinator(contexts):
    context = add(contexts)
    contexts.kill("coordinator")
    contexts.start("coordinator").wait_ready()
    again = contexts.stub().GetContext(pb.ContextRequest(name="mill"), timeout=20)
    assert (again.tokens, again.job) == (context.tokens, context.job)
    ask(contexts, "How many sacks in 1850?")


def test_a_caller_sees_its_own(guarded, tmp_path):
    """Each role has a token of its own."""
    def run(role, *arguments, **options):
        file = tmp_path / role
        file.write_text(guarded.tokens[role])
        return command(*arguments, "--coordinator", guarded.address, "--token-file", file, **options)

    added = run("submit", "context", "add", "mine", "--reserve", 128, input=TEXT)
    assert added.returncode == 0, added.stderr
    assert "mine" in run("submit", "contexts").stdout
    assert "mine" not in run("admin", "contexts").stdout
    for arguments in (["ask", "mine", "Who?"], ["context", "rm", "mine"], ["context", "show", "mine"]):
        refused(run("admin", *arguments), "mine", code=64)
    refused(run("read", "context", "add", "yours", "A text."), code=77)
    assert run("submit", "context", "rm", "mine").returncode == 0


def test_the_page_the_screen_and_the_shell_know_them(contexts, complete):
    context = add(contexts)
    with urllib.request.urlopen(f"{contexts.web}/api/v1/contexts", timeout=20) as reply:
        listed, = json.load(reply)["contexts"]
    assert listed["name"] == "mill" and listed["tokens"] == context.tokens and listed["state"] == "ready"
    frame = contexts.command("top", "--once", "--interval", 0.2).stdout
    assert any(line.startswith("mill ") and "ready" in line for line in frame.splitlines())
    seen = json.loads(contexts.command("top", "--once", "--interval", 0.2, "--json").stdout)
    assert [one["name"] for one in seen["contexts"]] == ["mill"]
    for line in ("lariat ask mi", "lariat context rm mi", "lariat chat --context mi"):
        assert complete(line, LARIAT_COORDINATOR=contexts.address) == {"mill"}
    planned = json.loads(contexts.command("plan", "--json", "--workers", len(context.shares), input=TEXT).stdout)
    assert planned["cached_tokens"] % TILE == 0 and planned["cached_tokens"] <= context.kept_tokens
