"""`lariat bench` measures real processes, and leaves none of them behind."""

import json
import os
import signal
import subprocess

import pytest

from cluster import BINARY, MODEL, command, environment, lives, processes_naming, refused, until


def bench(folder, *arguments):
    """A running `lariat bench` whose temporary files are in `folder`, and with them the names of its processes."""
    return subprocess.Popen([BINARY, "bench", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env={**environment(), "TMPDIR": str(folder)})


def measured(folder, *arguments):
    process = bench(folder, *arguments, "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err == "", "no progress without a terminal"
    assert not list(folder.iterdir()) and not processes_naming(folder)
    return json.loads(out)


def test_prefill(tmp_path):
    result = measured(tmp_path, "prefill", "--model", MODEL, "--tokens", "200,64", "--workers", 2, "--threads", 1,
                      "--repeat", 2)
    assert result["bench"] == "prefill" and result["machine"]["threads"] == 2
    assert [run["tokens"] for run in result["runs"]] == [64, 200]
    for run in result["runs"]:
        assert len(run["all_seconds"]) == 2 and all(seconds > 0 for seconds in run["all_seconds"])
        assert run["peak_share"] > 0 and 0 <= run["wait_share"] < 1
        assert run["model_bytes"] == os.path.getsize(MODEL)
        assert run["kv_bytes"] > 0 and run["peak_memory_bytes"] > 0


def test_decode(tmp_path):
    result = measured(tmp_path, "decode", "--model", MODEL, "--context", 0, "--generate", 4, "--threads", 1,
                      "--repeat", 1)
    run, = result["runs"]
    assert run["context"] == 0 and run["generated"] == 4
    assert run["all_tokens_per_second"] == [run["tokens_per_second"]] and run["memory_share"] > 0


def test_ring(tmp_path):
    alone, ring = measured(tmp_path, "ring", "--model", MODEL, "--tokens", 300, "--threads-in-all", 2)["runs"]
    assert (alone["workers"], alone["threads"]) == (1, 2) and (ring["workers"], ring["threads"]) == (2, 1)
    assert ring["ratio"] > 0
    assert [share["worker"] for share in ring["shares"][0]] == ["worker-1", "worker-2"]
    assert all(share["ring_bytes_sent"] > 0 for share in ring["shares"][0])


def test_wire(tmp_path):
    run, = measured(tmp_path, "wire", "--megabytes", 8, "--repeat", 2)["runs"]
    assert run["bytes"] == 8 << 20 and run["ratio"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, number):
    process = bench(tmp_path, "prefill", "--model", MODEL, "--tokens", 60000, "--workers", 2, "--threads", 1)
    children = []

    def running():
        children[:] = processes_naming(tmp_path)
        return len(children) == 3

    until(running, "a coordinator and two workers run")
    process.send_signal(number)
    assert process.wait(timeout=30) == 130
    until(lambda: not any(lives(pid) for pid in children), f"all of {children} are gone")
    assert not list(tmp_path.iterdir())


def test_killed(tmp_path):
    process = bench(tmp_path, "prefill", "--model", MODEL, "--tokens", 60000)
    until(lambda: len(processes_naming(tmp_path)) == 2, "a coordinator and a worker run")
    process.kill()
    process.wait(timeout=10)
    until(lambda: not processes_naming(tmp_path), "its processes are gone too")


@pytest.mark.parametrize("arguments, code, word", [
    (["prefill", "--model", "/no/such.gguf"], 66, "no such model file"),
    (["prefill", "--model", MODEL, "--tokens", "1,,2"], 64, "--tokens"),
    (["prefill", "--model", MODEL, "--tokens", "16777217"], 64, "--tokens"),
    (["prefill", "--model", MODEL, "--repeat", "101"], 64, "--repeat"),
    (["ring", "--model", MODEL, "--workers", "2", "--threads-in-all", "3"], 64, "evenly"),
    (["wire", "--megabytes", "16385"], 64, "--megabytes"),
    (["kernels", "--only", "attention,nothing"], 64, "--only"),
    (["kernels", "--isa", "sse2"], 64, "--isa"),
])
def test_refused(arguments, code, word):
    refused(command("bench", *arguments), word, code=code)
