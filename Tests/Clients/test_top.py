"""`lariat top` in a terminal and in a pipe, and what `lariat show` says of jobs that wait and run."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from cluster import PREFILL, SUCCEEDED, command, golden_tokens, refused, until
from terminal import Terminal


def top(cluster, *arguments, **options):
    return Terminal("top", "--interval", "0.3", "--coordinator", cluster.address, *arguments, **options)


def decoding(cluster, max_tokens=4000, **options):
    """A job that decodes until it is cancelled, or long enough."""
    job = cluster.submit(tokens=golden_tokens(200), max_tokens=max_tokens, ignore_end=True, **options)
    cluster.when(job, lambda now: now.generated_tokens > 0, "the first token")
    return job


def row(text, name):
    """The line of a table that begins with this word."""
    found = [line for line in text.splitlines() if line.split()[:1] == [name]]
    return found[0] if found else ""


# Plain frames


def test_once(cluster):
    job = decoding(cluster, name="a long one")
    waiting = cluster.submit("later", max_tokens=1)
    shown = cluster.command("top", "--once")
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout
    assert "1 running, 1 waiting" in shown.stdout and "2 workers: 2 busy" in shown.stdout
    assert float(re.search(r"generated +([\d.,]+) tokens/s", shown.stdout)[1].replace(",", "")) > 0
    for name in ("alpha", "beta"):
        assert "busy" in row(shown.stdout, name) and job.id in row(shown.stdout, name)
    assert "decode" in row(shown.stdout, job.id) and "a long one" in row(shown.stdout, job.id)
    assert "queued #1" in row(shown.stdout, waiting.id) and "waits for other jobs" in row(shown.stdout, waiting.id)


def test_once_as_json(cluster):
    cluster.run()
    lines = cluster.command("top", "--once", "--json").stdout.splitlines()
    assert len(lines) == 1
    shown = json.loads(lines[0])
    assert shown["prompt_tokens_per_second"] >= 0
    assert [member["name"] for member in shown["cluster"]["members"]] == ["alpha", "beta"]
    assert {worker["name"] for worker in shown["workers"]} == {"alpha", "beta"}
    assert shown["jobs"][0]["state"] == "SUCCEEDED"


def test_a_pipe_gets_a_frame_after_each_look(cluster):
    with cluster.open_command("top", "--interval", "0.2", stdout=subprocess.PIPE, text=True) as process:
        try:
            frames = 0
            for line in process.stdout:
                assert "\x1b" not in line
                frames += line.startswith("lariat top")
                if frames == 3:
                    break
            process.stdout.close()
            # Nobody reads any more: it ends.
            assert process.wait(timeout=10) != 0
        finally:
            process.kill()


def test_wrong_use(make_cluster):
    cluster = make_cluster()
    refused(cluster.command("top", "--once"), cluster.address, "lariat up", code=69)
    refused(cluster.command("top"), cluster.address, code=69)
    for interval in ("0", "-1", "nan", "often", "1e9"):
        refused(command("top", "--interval", interval), "interval", code=64)


# In a terminal


def test_a_running_job_in_a_terminal(cluster):
    with top(cluster) as terminal:
        terminal.until(lambda now: "2 ready" in now.text, "the first frame")
        assert terminal.modes == {"1049": True, "25": False, "7": False}
        job = cluster.submit(tokens=golden_tokens(4000), max_tokens=300, ignore_end=True, name="bible \x1b[2J")
        terminal.until(lambda now: re.search(r"\d+/30 +\d/2", row(now.text, "alpha")), "layer and step of alpha")
        terminal.until(lambda now: "B/s" in row(now.text, "alpha"), "the speed of alpha's link")
        terminal.until(lambda now: re.search(r"prompt +[1-9]", now.text), "prompt tokens a second")
        terminal.until(lambda now: "decode" in row(now.text, job.id), "decode")
        assert "bible ?[2J" in row(terminal.text, job.id)
        terminal.until(lambda now: re.search(r"generated +[1-9]", now.text), "generated tokens a second")
        assert cluster.finished(job).state == SUCCEEDED
        terminal.until(lambda now: "succeeded" in row(now.text, job.id), "the job's end")
        assert "took" in row(terminal.text, job.id)
        assert any(block in terminal.text for block in "▂▃▄▅▆▇█")
        assert len(terminal.lines) <= 24 and all(len(line) <= 80 for line in terminal.lines)
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.is_restored()


def test_a_new_size(cluster):
    with top(cluster) as terminal:
        terminal.until(lambda now: "q quits" in now.text, "the first frame")
        assert len(terminal.lines) == 24
        terminal.resize(40, 12)
        terminal.until(lambda now: len(now.lines) == 12 and all(len(line) <= 40 for line in now.lines), "12 rows of 40")
        assert row(terminal.text, "alpha").startswith("alpha   ready")
        terminal.resize(132, 50)
        terminal.until(lambda now: len(now.lines) == 50 and "last 3 min" in now.text, "50 rows of 132")
        terminal.resize(5, 2)
        terminal.until(lambda now: len(now.lines) <= 2 and all(len(line) <= 5 for line in now.lines), "a tiny one")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_give_the_terminal_back(cluster, number):
    with top(cluster) as terminal:
        terminal.until(lambda now: "q quits" in now.text, "the first frame")
        assert not terminal.is_restored()
        terminal.process.send_signal(number)
        assert terminal.wait() == 130
        assert terminal.is_restored()


def test_ctrl_c(cluster):
    with top(cluster) as terminal:
        terminal.until(lambda now: "q quits" in now.text, "the first frame")
        terminal.press("\x03")
        assert terminal.wait() == 130
        assert terminal.is_restored()


def test_ctrl_z_gives_the_terminal_back_for_a_while(cluster):
    with top(cluster) as terminal:
        terminal.until(lambda now: "q quits" in now.text, "the first frame")
        terminal.press("\x1a")
        until(lambda: os.waitpid(terminal.process.pid, os.WUNTRACED | os.WNOHANG)[1] & 0xff == 0x7f, "it stops")
        assert terminal.is_restored()
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until(lambda now: now.modes["1049"] and "q quits" in now.text, "it goes on")
        terminal.press("q")
        assert terminal.wait() == 0 and terminal.is_restored()


def test_a_terminal_that_takes_nothing_does_not_hold_it(cluster):
    with top(cluster) as terminal:
        terminal.until(lambda now: "q quits" in now.text, "the first frame")
        # Nobody reads: the terminal's buffer fills with the frames of a large screen.
        terminal.resize(500, 500)
        decoding(cluster)
        for _ in range(40):
            terminal.process.send_signal(signal.SIGWINCH)
            try:
                terminal.process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                pass
        terminal.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert terminal.process.wait(timeout=10) == 130
        # By force, after its patience: it was still writing.
        assert time.monotonic() - began > 1


def test_a_closed_terminal_ends_it(cluster):
    terminal = top(cluster)
    try:
        terminal.until(lambda now: "q quits" in now.text, "the first frame")
        os.close(terminal.main)
        os.close(terminal.other)
        assert terminal.process.wait(timeout=10) != 0
    finally:
        terminal.process.kill()
        terminal.process.wait(timeout=10)


def test_the_coordinator_goes_and_comes_back(make_cluster):
    cluster = make_cluster().start().wait_ready()
    with top(cluster) as terminal:
        terminal.until(lambda now: "2 ready" in now.text, "the first frame")
        cluster.kill("coordinator")
        terminal.until(lambda now: re.search(r"no answer from .* this is \d+ s old", now.text), "that it does not answer")
        # What was seen last stays, and it is said how old it is.
        assert "2 ready" in terminal.text and row(terminal.text, "alpha")
        terminal.until(lambda now: re.search(r"this is [3-9] s old", now.text), "that it gets older")
        cluster.start("coordinator")
        terminal.until(lambda now: "no answer" not in now.text and "2 ready" in now.text, "that it answers again")
        cluster.kill("coordinator")
        terminal.until(lambda now: "no answer" in now.text, "that it does not answer")
        terminal.press("q")
        assert terminal.wait() == 0 and terminal.is_restored()


def test_a_coordinator_that_hangs(make_cluster):
    cluster = make_cluster().start().wait_ready()
    with top(cluster) as terminal:
        terminal.until(lambda now: "2 ready" in now.text, "the first frame")
        cluster.signal("coordinator", signal.SIGSTOP)
        terminal.until(lambda now: "no answer from" in now.text, "that it does not answer")
        # Keys work while a call waits.
        terminal.press("q")
        assert terminal.wait() == 0 and terminal.is_restored()
        cluster.signal("coordinator", signal.SIGCONT)


@pytest.mark.parametrize("arguments, variables, colours, fills", [
    ((), {}, True, True),
    (("--no-color",), {}, False, True),
    ((), {"NO_COLOR": "1"}, False, True),
    ((), {"NO_COLOR": ""}, True, True),
    ((), {"TERM": "dumb"}, False, False),
])
def test_colours(cluster, arguments, variables, colours, fills):
    with top(cluster, *arguments, **variables) as terminal:
        terminal.until(lambda now: "2 ready" in now.said, "a frame")
        assert bool(re.search(r"\x1b\[[0-9;]+m", terminal.said)) == colours
        assert ("\x1b[?1049h" in terminal.said) == fills
        if not fills:
            assert "\x1b" not in terminal.said


def test_without_utf8_charts_are_ascii(cluster):
    with top(cluster, LANG="C", LC_ALL="C") as terminal:
        terminal.until(lambda now: "last 3 min" in now.text, "a frame")
        assert terminal.text.isascii()


# lariat show


def test_show_says_why_a_job_waits(cluster):
    first = decoding(cluster)
    second = cluster.submit("second", max_tokens=1)
    third = cluster.submit(tokens=golden_tokens(100), max_tokens=28)
    shown = cluster.command("show", third.id)
    assert shown.returncode == 0, shown.stderr
    assert "number 2 in the queue" in shown.stdout
    before = re.search(r"before it +(.*)", shown.stdout)[1]
    assert before.startswith(f"{first.id} (decode") and f"{second.id} (waits too)" in before
    assert "it takes all 2; alpha and beta are busy" in shown.stdout
    assert re.search(r"KV memory +about [\d.]+ MiB for 128 tokens; [\d.]+ \w+ of 2.00 GiB are free", shown.stdout)
    cluster.command("drain", "beta")
    assert "beta is draining" in cluster.command("show", third.id).stdout
    cluster.command("drain", "beta", "--undo")


def test_show_says_how_far_a_job_is(cluster):
    job = cluster.submit(tokens=golden_tokens(6000), max_tokens=400, ignore_end=True)
    cluster.when(job, lambda now: now.state == PREFILL and now.prefilled_tokens > 600, "some layers")

    def shown():
        text = cluster.command("show", job.id).stdout
        return text if re.search(r"layer [1-9]\d* of 30", text) else None

    text = until(shown, "the workers tell their layers")
    assert re.search(r"progress +\[#*-*\] +\d+%, layer \d+ of 30", text)
    assert re.search(r"time left +about \d", text)
    cluster.when(job, lambda now: now.generated_tokens > 5, "some tokens")
    text = cluster.command("show", job.id).stdout
    assert re.search(r"progress +\[.*of at most 400 tokens", text) and re.search(r"time left +at most \d", text)


def test_show_names_the_worker_that_the_others_wait_for(make_cluster):
    """One worker is held up, again and again, while a job runs: it is the one that is named."""
    cluster = make_cluster().start().wait_ready()
    job = cluster.submit(tokens=golden_tokens(6000), max_tokens=1)
    cluster.when(job, lambda now: now.state == PREFILL, "prefill")
    process = cluster.processes["beta"]
    while cluster.job(job).state == PREFILL:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
        process.send_signal(signal.SIGCONT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    done = cluster.finished(job)
    assert done.state == SUCCEEDED, done.reason
    shares = {share.worker: share for share in done.shares}
    assert shares["beta"].compute_seconds > 1.2 * shares["alpha"].compute_seconds
    last = cluster.command("show", job.id).stdout.splitlines()[-1]
    assert last.startswith("beta is the slowest: ") and "alpha waited for it" in last
