"""`lariat chat` without a context: a conversation in a terminal and from a pipe, stopped answers, what is saved."""

import signal

import grpc
import pytest

import lariat_pb2 as pb
from cluster import CANCELLED, SUCCEEDED, command, refused, until
from terminal import Terminal


@pytest.fixture
def chat(cluster):
    """Opens chats in terminals of their own, of which each has asked for its first line."""
    opened = []

    def chat(*arguments, **options):
        opened.append(Terminal("chat", "--coordinator", cluster.address, *arguments, **options))
        return opened[-1].until(lambda t: t.lines[-1:] == [">"], "the prompt")

    yield chat
    for terminal in opened:
        terminal.close()


def jobs(cluster):
    """Newest first."""
    return cluster.stub().ListJobs(pb.ListJobsRequest(), timeout=20).jobs


def asked(terminal, line):
    """Asks, and waits for the prompt behind the answer."""
    before = terminal.said.count("\x1b[2mlariat: j")
    terminal.press(line + "\r")
    return terminal.until(
        lambda t: t.said.count("\x1b[2mlariat: j") > before and t.lines[-1] == ">", f"the answer to {line!r}")


def test_a_conversation_knows_what_was_said_before(cluster, chat):
    terminal = chat("--max-tokens", 12)
    asked(terminal, "My name is Ruth.")
    asked(terminal, "What is my name?")
    second, first = jobs(cluster)[:2]
    assert first.options.chat and second.prompt_tokens > first.prompt_tokens + 20
    # The same as a submission that carries the turns.
    parts = [pb.SubmitPart(options=pb.JobOptions(kind=pb.GENERATE, chat=True, max_tokens=12), turns=[
        pb.ChatTurn(role=pb.ChatTurn.USER, content="My name is Ruth.".encode()),
        pb.ChatTurn(role=pb.ChatTurn.ASSISTANT, content=cluster.job(first.id).text[:3])]),
        pb.SubmitPart(turns=[pb.ChatTurn(content=cluster.job(first.id).text[3:])], text=b"What is my name?")]
    same = cluster.finished(cluster.stub().Submit(iter(parts), timeout=20))
    assert same.state == SUCCEEDED, same.reason
    assert same.prompt_tokens == second.prompt_tokens
    # What was said is forgotten: as long as the first.
    terminal.press("/clear\r")
    terminal.until(lambda t: "is forgotten" in t.text and t.lines[-1] == ">", "the chat is cleared")
    asked(terminal, "My name is Ruth.")
    assert jobs(cluster)[0].prompt_tokens == first.prompt_tokens
    terminal.press("/exit\r")
    assert terminal.wait() == 0 and terminal.is_restored({"2004": False})


def test_ctrl_c_stops_the_answer_and_not_the_chat(cluster, chat):
    terminal = chat("--max-tokens", 4000, "--ignore-end")
    terminal.press("Tell a long story.\r")
    job = cluster.when(newest(cluster), lambda job: job.generated_tokens > 3, "it answers")
    terminal.press("\x03")
    terminal.until(lambda t: "stopped" in t.text and t.lines[-1] == ">", "the prompt is back")
    assert cluster.finished(job).state == CANCELLED
    # What was seen of the answer is a part of the conversation, and keys work as before.
    before = len(jobs(cluster))
    terminal.press("half a line\x03")
    terminal.until(lambda t: "Ctrl-D" in t.lines[-2] and t.lines[-1] == ">", "the line is given up")
    assert len(jobs(cluster)) == before
    terminal.press("Go on.\r")
    second = cluster.when(newest(cluster, job.id), lambda job: job.generated_tokens > 0, "it answers")
    assert second.prompt_tokens > job.prompt_tokens + 3
    terminal.press("\x03")
    terminal.until(lambda t: t.said.count("stopped") == 2 and t.lines[-1] == ">", "the prompt is back")
    terminal.press("\x04")
    assert terminal.wait() == 0 and terminal.is_restored({"2004": False})


def newest(cluster, known=None):
    """The newest job, once it is another one than this and not over."""
    return until(lambda: next((job for job in jobs(cluster)[:1] if job.id != known
                               and job.state not in (SUCCEEDED, CANCELLED)), None), "a new job")


def test_a_line_is_edited(cluster, chat):
    terminal = chat("--max-tokens", 1)
    terminal.press("wor\x01Hello \x05ld")
    terminal.until(lambda t: t.lines[-1] == "> Hello world", "the line")
    terminal.press("\x17there\x1b[D\x1b[D\x7f\x7fo\x15")
    terminal.until(lambda t: t.lines[-1] == "> re", "the rest of the line")
    # Several lines are pasted as one question, however long it is.
    terminal.press("\x05\x15\x1b[200~first line\nsecond " + "x" * 100 + "\x1b[201~")
    terminal.until(lambda t: t.lines[-3:-1] == ["> first line", "  second " + "x" * 70], "what was pasted")
    asked(terminal, "")
    # Of bytes that could be commands to the terminal nothing gets there.
    asked(terminal, "\x1b[A")
    first, second = jobs(cluster)[1::-1]
    assert first.prompt_tokens < second.prompt_tokens


def test_a_signal_ends_the_chat_and_gives_the_terminal_back(cluster, chat):
    terminal = chat()
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait() == 130 and terminal.is_restored({"2004": False})


def test_errors_do_not_end_the_chat(cluster, chat, tmp_path):
    file = tmp_path / "saved.txt"
    terminal = chat("--max-tokens", 2)
    for line, words in {"/nothing": "/help", "/save": "name of a file", f"/save {file}": "nothing was said"}.items():
        terminal.press(line + "\r")
        terminal.until(lambda t: words in t.lines[-2] and t.lines[-1] == ">", words)
    asked(terminal, "Hello")
    terminal.press(f"/save {file}\r")
    terminal.until(lambda t: "saved in" in t.text and t.lines[-1] == ">", "it is saved")
    assert file.read_text().startswith("> Hello\n\n") and file.stat().st_mode & 0o777 == 0o600
    terminal.press(f"/save {file}\r")
    terminal.until(lambda t: "exists already" in t.text and t.lines[-1] == ">", "it is not overwritten")


def test_a_pipe_asks_line_by_line(cluster, tmp_path):
    file = tmp_path / "saved.txt"
    done = cluster.command("chat", "--max-tokens", 3, "--system", "Be brief.",
                           input=f"Hello\r\n\n  And now?\n/save {file}\n/exit\nnever asked")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2 and "> " not in done.stdout
    second, first = jobs(cluster)[:2]
    assert second.prompt_tokens > first.prompt_tokens
    same = cluster.finished(cluster.submit("Hello", chat=True, system="Be brief.", max_tokens=1))
    assert first.prompt_tokens == same.prompt_tokens
    assert file.read_text().count("> ") == 2
    # The first that fails ends it, with the reason.
    failed = cluster.command("chat", "--beyond-window", "--workers", 1, "--template", "chatml", "--max-tokens", 1 << 31,
                             input="Hello\nHello\n")
    refused(failed)
    refused(cluster.command("chat", input="/nothing\n"), "/help", code=64)
    refused(command("chat", "--coordinator", "127.0.0.1:1", input="Hello\n"), "lariat up", code=69)


def test_a_conversation_that_is_wrong_is_refused(cluster):
    def submit(turns, **options):
        options.setdefault("chat", True)
        part = pb.SubmitPart(options=pb.JobOptions(kind=pb.GENERATE, max_tokens=1, **options), text=b"Hello", turns=turns)
        with pytest.raises(grpc.RpcError) as caught:
            cluster.stub().Submit(iter([part]), timeout=20)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        return caught.value.details()
    user = pb.ChatTurn(role=pb.ChatTurn.USER, content=b"Hi")
    assert "no role" in submit([pb.ChatTurn(content=b"Hi")])
    assert "chat template" in submit([user], chat=False)
    assert "UTF-8" in submit([pb.ChatTurn(role=pb.ChatTurn.USER, content=b"\xff")])
    assert "unknown" in submit([pb.ChatTurn(role=7, content=b"Hi")])
