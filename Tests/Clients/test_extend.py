"""Rotary methods of jobs, `lariat eval` and `lariat extend`: on a tiny model, and what they print on wrong input."""

import json
import signal
import subprocess

import pytest

from cluster import BINARY, GOLDEN, SUCCEEDED, command, environment, processes_naming, refused, until

TINY = GOLDEN / "tiny-phi3-longrope.gguf"  # trained for 64 positions, 16 rotating pairs
WORDS = ["the", "ring", "of", "a", "rope", "is", "long", "and", "its", "blocks", "turn", "round"]


@pytest.fixture
def texts(tmp_path):
    """Three texts of more than 512 tokens for the tiny model."""
    files = []
    for number in range(3):
        file = tmp_path / f"text-{number}.txt"
        file.write_text(" ".join(WORDS[(i * i + 3 * i * number) % len(WORDS)] for i in range(600)))
        files.append(file)
    return files


def extend(*arguments, timeout=120):
    return command("extend", TINY, *arguments, timeout=timeout)


def factors_file(folder, **changes):
    scaling = {"rope_type": "longrope", "factor": 4, "original_max_position_embeddings": 64,
               "long_factor": [1 + 0.25 * i for i in range(16)], "short_factor": [1] * 16, **changes}
    file = folder / "factors.json"
    file.write_text(json.dumps({key: value for key, value in scaling.items() if value is not None}))
    return file


# ------------------------------------------------------------------------------------------------ jobs

@pytest.mark.parametrize("method,last,window", [("linear:4", 4, 32768), ("ntk:4", 4, 32768), ("yarn:4", 4, 32768),
                                                ("longrope2:4", 4, 32768), ("none", 1, 8192)])
def test_a_job_takes_the_method_it_is_given(cluster, method, last, window):
    result = cluster.command("score", "The quick brown fox jumps over the dog", "--rope", method, "--json")
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)
    assert job["profile"]["name"] == method and job["profile"]["window"] == window
    assert job["profile"]["factors"][31] == pytest.approx(last)
    shown = cluster.command("show", job["id"]).stdout
    assert f"{method}, window {window:,}" in shown and job["profile"]["identity"][:16] in shown


def test_a_method_extends_the_window(cluster):
    text = "word " * 9000
    refused(cluster.command("score", text), "more than the window", "--rope")
    refused(cluster.command("score", text, "--rope", "none"), "8,192")
    forecast = cluster.command("plan", "--score", text, "--rope", "yarn:2", "--json")
    assert forecast.returncode == 0, forecast.stdout + forecast.stderr
    assert json.loads(forecast.stdout)["profile"]["window"] == 16384


def test_wrong_methods_are_told_before_anybody_is_asked(cluster, tmp_path):
    for method, words in [("yarn:x", "no number"), ("yarn:0", "1,000,000"), ("nothing", "neither a method nor a file"),
                          ("longrope2:4:32", "32 pairs"),
                          (factors_file(tmp_path), "16 factors; rotary dimension 64 needs 32")]:
        refused(cluster.command("submit", "hi", "--rope", method), *words.split("; "))
    refused(cluster.command("submit", "hi", "--rope", factors_file(tmp_path, long_factor=[0] * 16)), "factor 0 is 0")
    refused(cluster.command("submit", "hi", "--rope", tmp_path), "cannot be read")


def test_a_job_that_reserves_more_than_a_table_holds_says_so(cluster, tmp_path):
    file = factors_file(tmp_path, factor=16384 / 64, long_factor=[2] * 32, short_factor=[1] * 32)
    crossing = cluster.command("submit", "--raw", "The capital of France is", "--rope", file, "--max-tokens", "100", "--ignore-end")
    assert crossing.returncode == 0, crossing.stderr
    assert 'would take the rotary table "short" (window 64)' in crossing.stderr, crossing.stderr
    assert "--max-tokens" in crossing.stderr
    within = cluster.command("submit", "--raw", "The capital of France is", "--rope", file, "--max-tokens", "3")
    assert within.returncode == 0 and "rotary table" not in within.stderr


def test_two_jobs_side_by_side_give_what_each_gives_alone(cluster):
    alone = cluster.run(max_tokens=12, ignore_end=True)
    jobs = [cluster.submit("The capital of France is", max_tokens=12, ignore_end=True, workers=1) for _ in range(2)]
    ended = [cluster.finished(job) for job in jobs]
    assert [job.state for job in ended] == [SUCCEEDED] * 2
    assert all(len(job.shares) == 1 for job in ended)
    assert [job.text for job in ended] == [alone.text] * 2


# ------------------------------------------------------------------------------------------------ eval

def test_perplexity_by_length(texts):
    result = command("eval", "perplexity", TINY, "--corpus", *texts[:2], "--lengths", "64,256", "--rope", "none", "--rope",
                     "linear", "--workers", 2, "--threads", 1, "--json", timeout=120)
    assert result.returncode == 0, result.stderr
    rows = {(row["rope"], row["length"]): row for row in json.loads(result.stdout)["results"]}
    assert set(rows) == {(rope, length) for rope in ["none", "linear"] for length in [64, 256]}
    # As needed: at the trained length nothing is stretched.
    assert rows["none", 64]["mean_nll"] == rows["linear", 64]["mean_nll"]
    assert rows["none", 256]["mean_nll"] != rows["linear", 256]["mean_nll"]
    assert all(row["documents"] == 2 and row["tokens"] == 2 * (row["length"] - 1) for row in rows.values())


def test_sliding_perplexity_and_its_picture(texts, tmp_path):
    picture = tmp_path / "p.svg"
    result = command("eval", "perplexity", TINY, "--corpus", texts[0], "--lengths", "64", "--stride", 32, "--limit", 4,
                     "--plot", picture, "--json", timeout=120)
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)["results"]
    assert row["tokens"] == 63 + 3 * 32
    assert picture.read_text().startswith("<svg")


def test_evaluations_run_on_a_named_cluster(cluster, make_cluster, texts):
    own = make_cluster(workers=("alpha",), model=str(TINY)).start().wait_ready()
    result = command("eval", "needle", TINY, "--corpus", texts[0], "--lengths", 400, "--depths", 1, "--coordinator",
                     own.address, "--json", timeout=120)
    assert result.returncode == 0 or "line end" in result.stderr, result.stderr
    result = command("eval", "passkey", TINY, "--lengths", 400, "--depths", 2, "--coordinator", own.address, "--json",
                     timeout=120)
    assert result.returncode == 0, result.stderr
    assert {row["depth"] for row in json.loads(result.stdout)["results"]} == {0, 1}
    refused(command("eval", "passkey", TINY, "--lengths", 400, "--coordinator", cluster.address), "runs another model")


def test_wrong_evaluations(texts, tmp_path):
    refused(command("eval", "perplexity", tmp_path / "no.gguf", "--corpus", texts[0], "--lengths", 64), "no such model")
    refused(command("eval", "perplexity", TINY, "--corpus", tmp_path / "no.txt", "--lengths", 64), "no such text")
    refused(command("eval", "perplexity", TINY, "--corpus", texts[0], "--lengths", 100000), "100,000")
    refused(command("eval", "passkey", TINY, "--lengths", 30), "30")
    assert command("eval", "passkey", TINY, "--lengths", 300, "--depths", 0).returncode == 64


# ------------------------------------------------------------------------------------------------ extend

def test_extend_resumes_to_the_same_result_and_writes_a_model(texts, tmp_path):
    whole = tmp_path / "whole"
    arguments = ["--to", 256, "--corpus", *texts, "--budget", "8s", "--workers", 2, "--threads", 1]
    result = extend(*arguments, "-o", whole)
    assert result.returncode == 0, result.stderr
    model = whole / "tiny-phi3-longrope-256.gguf"
    assert {file.name for file in whole.iterdir()} == {
        "search.jsonl", "factors.json", "report.md", "factors.svg", "search-128.svg", "search-256.svg", model.name}
    assert "No model fine-tuned with these factors was given" in result.stderr
    assert "saved" in (whole / "report.md").read_text()
    tables = json.loads((whole / "factors.json").read_text())["rope_scaling"]["lariat"]["tables"]
    assert [table["window"] for table in tables] == [64, 128, 256]
    assert tables[0]["factors"] == [1] * 16
    for table in tables[1:]:
        assert all(a <= b + 1e-9 for a, b in zip(table["factors"], table["factors"][1:])), table

    # The journal as a kill left it, in the middle of a line: the same result.
    journal = (whole / "search.jsonl").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    (again / "search.jsonl").write_bytes(journal[: len(journal) * 2 // 3])
    result = extend(*arguments, "-o", again)
    assert result.returncode == 0 and "goes on from" in result.stderr, result.stderr
    assert (again / "factors.json").read_bytes() == (whole / "factors.json").read_bytes()
    assert (again / model.name).read_bytes() == model.read_bytes()

    # The file runs, and takes the table of each length.
    lengths = command("eval", "perplexity", model, "--corpus", texts[0], "--lengths", "64,128,256", "--rope",
                      whole / "factors.json", "--json", timeout=120)
    own = command("eval", "perplexity", model, "--corpus", texts[0], "--lengths", "64,128,256", "--json", timeout=120)
    assert lengths.returncode == 0 and own.returncode == 0, lengths.stderr + own.stderr
    nlls = [[row["mean_nll"] for row in json.loads(run.stdout)["results"]] for run in (lengths, own)]
    assert nlls[0] == nlls[1]

    # Another search does not go on from this journal, and the model is not overwritten unasked.
    refused(extend(*arguments, "-o", whole), "--force")
    refused(extend(*arguments, "-o", whole, "--force", "--seed", 2), "another search", "--restart")


def test_an_interrupted_extend_leaves_nothing_running_and_goes_on(texts, tmp_path):
    folder = tmp_path / "out"
    arguments = [BINARY, "extend", TINY, "--to", 512, "--corpus", *texts, "--budget", "40s", "-o", folder]
    process = subprocess.Popen(list(map(str, arguments)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env={**environment(), "TMPDIR": str(tmp_path)})
    journal = folder / "search.jsonl"
    until(lambda: journal.exists() and journal.read_text().count("evaluation") > 5, "some evaluations")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert not processes_naming(tmp_path / "lariat-temporary")
    assert not list(tmp_path.glob("lariat-temporary-*"))


def test_factors_are_written_as_given(tmp_path):
    file = factors_file(tmp_path)
    result = extend("--to", 256, "--factors", file, "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "tiny-phi3-longrope-256.gguf").exists()
    refused(extend("--to", 512, "--factors", file, "-o", tmp_path / "other"), "reach 256")
    refused(extend("--to", 256, "--factors", factors_file(tmp_path, long_factor=[1] * 15, short_factor=None), "-o",
                   tmp_path / "third"), "15 factors")


def test_wrong_extensions(texts, tmp_path):
    out = tmp_path / "out"
    refused(extend("--to", 64, "--corpus", *texts, "-o", out), "trained for 64")
    refused(extend("--to", 100000, "--corpus", *texts, "-o", out), "100,000")
    refused(extend("--to", 128, "--corpus", *texts, "-o", out, "--budget", "1s", "--method", "longrope2"), "--budget")
    refused(extend("--to", 128, "--corpus", *texts, "-o", out, "--checkpoint", tmp_path / "no.gguf"), "no such model")
    assert extend("--to", 128, "-o", out).returncode == 64
    assert extend("--to", 128, "--corpus", *texts, "-o", out, "--budget", "soon").returncode == 64


def test_full_disk(texts, small_disk, tmp_path):
    file = factors_file(tmp_path)
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as handle:
        try:
            while True:
                handle.write(b"x" * 65536)
        except OSError:
            pass
    refused(extend("--to", 256, "--factors", file, "-o", small_disk))
    assert not list(small_disk.glob("*.gguf*"))
