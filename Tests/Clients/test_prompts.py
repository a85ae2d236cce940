"""What becomes of the texts that a command is given: nothing is left out, nothing waits for ever, and what is no text is
told with its file, its byte and a way out."""

import json
import os
import subprocess
import time

import pytest

from cluster import _arguments, environment, refused
from terminal import Terminal

QUESTION = "Who is the murderer?"


@pytest.fixture
def count(cluster):
    """The tokens of a prompt that a command would submit, without a chat template."""
    def count(*arguments, **options):
        planned = cluster.command("plan", "--raw", "--json", *arguments, **options)
        assert planned.returncode == 0, planned.stderr
        return json.loads(planned.stdout)["prompt_tokens"]
    return count


@pytest.fixture
def files(tmp_path):
    for name, text in {"a": "The first text.", "b": "A second text, longer.\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_file_is_read(count, files):
    joined = count("The first text.\n\nA second text, longer.\n\n" + QUESTION)
    assert count("--file", files / "a", "-f", files / "b", QUESTION) == joined
    assert count("--file", files / "a", "--file", files / "b") == joined - count(QUESTION) - 1


def test_what_is_piped_in_comes_before_the_text(count, files):
    joined = count("The first text.\n\n" + QUESTION)
    assert count(QUESTION, input="The first text.") == joined
    assert count("--file", "-", QUESTION, input="The first text.") == joined
    assert count("--file", files / "b", QUESTION, input="The first text.") == count(
        "The first text.\n\nA second text, longer.\n\n" + QUESTION)
    assert count("-", input="The first text.") == count(input="The first text.") == count("The first text.")


def run(cluster, *arguments, stdin, **options):
    return subprocess.run(
        _arguments(["plan", "--raw", "--json", *arguments, "--coordinator", cluster.address]), stdin=stdin,
        capture_output=True, text=True, env=environment(), timeout=60, **options)


def test_a_redirected_file_is_read(cluster, count, files):
    with open(files / "a") as text:
        done = run(cluster, QUESTION, stdin=text)
    assert json.loads(done.stdout)["prompt_tokens"] == count("The first text.\n\n" + QUESTION)
    assert "15 bytes" in done.stderr


def test_a_list_that_a_loop_reads_is_left_alone(cluster, count, files):
    with open(files / "a") as text:
        os.lseek(text.fileno(), 4, os.SEEK_SET)
        done = run(cluster, QUESTION, stdin=text)
        assert os.lseek(text.fileno(), 0, os.SEEK_CUR) == 4
    assert json.loads(done.stdout)["prompt_tokens"] == count(QUESTION)


@pytest.mark.parametrize("kind", ["/dev/null", "closed", "an empty pipe"])
def test_no_standard_input_changes_nothing(cluster, count, kind):
    if kind == "closed":
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "-", *_arguments(
                ["plan", "--raw", "--json", QUESTION, "--coordinator", cluster.address])],
            capture_output=True, text=True, env=environment(), timeout=60)
    elif kind == "/dev/null":
        done = run(cluster, QUESTION, stdin=subprocess.DEVNULL)
    else:
        end, other = os.pipe()
        os.close(other)
        done = run(cluster, QUESTION, stdin=end)
        os.close(end)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert json.loads(done.stdout)["prompt_tokens"] == count(QUESTION)


def test_a_pipe_that_stays_open_is_not_waited_for(cluster, count):
    """As ssh leaves one, and services."""
    end, other = os.pipe()
    try:
        started = time.monotonic()
        done = run(cluster, QUESTION, stdin=end)
        assert 4 < time.monotonic() - started
    finally:
        os.close(end)
        os.close(other)
    assert json.loads(done.stdout)["prompt_tokens"] == count(QUESTION)
    assert "left out" in done.stderr and "--file -" in done.stderr and "/dev/null" in done.stderr


def test_a_terminal_is_not_read(cluster):
    with Terminal("plan", "--raw", QUESTION, "--coordinator", cluster.address, columns=120) as terminal:
        assert terminal.wait(timeout=60) == 0
        assert "admissible" in terminal.said
    with Terminal("submit", "--coordinator", cluster.address, columns=120) as terminal:
        assert terminal.wait() == 64
        assert "nothing to read" in terminal.said


@pytest.mark.parametrize("content, words", [
    (b"caf\xe9 au lait", ["at byte 3", "0xE9", "iconv -f LATIN1 -t UTF-8"]),
    (b"%PDF-1.4\n%\xe2\xe3", ["PDF", "pdftotext"]),
    ("Grüße".encode("utf-16"), ["UTF-16", "iconv"]),
    (b"abc\0def", ["binary", "at byte 3"]),
])
def test_what_is_no_text(cluster, tmp_path, content, words):
    file = tmp_path / "a file"
    file.write_bytes(content)
    for command in (["submit"], ["plan"], ["score"], ["submit", QUESTION]):
        refused(cluster.command(*command, "--file", file), file, *words, code=66)


def test_an_argument_that_is_no_text(cluster):
    done = subprocess.run(
        [*map(str.encode, _arguments(["submit", "--coordinator", cluster.address])), b"caf\xe9"],
        capture_output=True, env=environment(), timeout=60)
    assert done.returncode == 64 and b"UTF-8" in done.stderr, done.stderr


def test_white_space_is_no_prompt(cluster, tmp_path):
    blank = tmp_path / "blank"
    blank.write_text("\n \t\n")
    for arguments in ([" "], ["--file", blank], ["--file", blank, "\n"]):
        refused(cluster.command("submit", *arguments), "white space", code=66)
    refused(cluster.command("submit"), "empty", code=66)


def test_an_option_that_stands_twice_is_refused(cluster, tmp_path):
    ids = tmp_path / "ids"
    ids.write_text("1 2 3")
    for option, first, second in [
            ("--system", "Be brief.", "Be kind."), ("--tokens", ids, ids), ("--rope", "ntk:2", "yarn:2"),
            ("--name", "a", "b"), ("--max-tokens", 3, 4)]:
        refused(cluster.command("plan", option, first, option, second, *([] if option == "--tokens" else ["Hi"])), option,
                "twice", code=64)
    # Those that may be repeated.
    assert cluster.command("plan", "Hi", "--stop", "a", "--stop", "b").returncode == 0


def test_chat_is_what_an_instruct_model_is_for(cluster):
    chat = cluster.command("submit", QUESTION, "--max-tokens", 2, "--detach").stdout.strip()
    raw = cluster.command("submit", "--raw", QUESTION, "--max-tokens", 2, "--detach").stdout.strip()
    must = cluster.command("submit", "--chat", QUESTION, "--max-tokens", 2, "--detach").stdout.strip()
    chat, raw, must = (cluster.finished(cluster.job(id)) for id in (chat, raw, must))
    assert chat.options.chat and must.options.chat and not raw.options.chat
    assert chat.prompt_tokens == must.prompt_tokens > raw.prompt_tokens
    assert chat.text == must.text
    # A system message is a part of the template; token ids and scores know none.
    refused(cluster.command("submit", "--raw", "--system", "Be brief.", "Hi"), "--system", "--raw", code=64)
    refused(cluster.command("submit", "--raw", "--chat", "Hi"), "--raw", code=64)
    scored = json.loads(cluster.command("score", QUESTION, "--json").stdout)
    assert scored["prompt_tokens"] == raw.prompt_tokens and not scored["options"]["chat"]
