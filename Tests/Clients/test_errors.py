"""What goes wrong at start and at submission: clear words, an exit code that is not 0, nothing left running."""

import signal
import socket

import grpc
import pytest

from cluster import (CANCELLED, FAILED, GOLDEN, MODEL, SUCCEEDED, command, free_ports, golden_tokens, parts, pb,
                     processes_naming, refused, spawn, until)

OTHER_MODEL = GOLDEN / "tiny-phi3-longrope.gguf"
PROMPT = "Once upon a time there was a small house at the edge of the wood, and in it lived"


@pytest.fixture
def taken():
    """An address of this machine at which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_ports(1)[0]))
        other.listen()
        yield "127.0.0.1:%d" % other.getsockname()[1]


def test_port_in_use_coordinator(make_cluster, taken):
    cluster = make_cluster()
    cluster.address = taken
    cluster.write()
    refused(command("coordinator", "--spec", cluster.specification), taken, "in use")
    assert not processes_naming(cluster.specification)


@pytest.mark.parametrize("which", ["listen", "ring"])
def test_port_in_use_worker(make_cluster, taken, which):
    cluster = make_cluster()
    setattr(cluster.workers["alpha"], which, taken)
    cluster.write()
    refused(command("worker", "--spec", cluster.specification, "--name", "alpha"), taken, "in use")
    assert not processes_naming(cluster.specification)


def test_port_in_use_up(make_cluster, taken):
    cluster = make_cluster()
    cluster.workers["beta"].ring = taken
    cluster.write()
    refused(command("up", cluster.specification), taken, "in use", "beta")
    assert not processes_naming(cluster.specification)


def test_data_folder_in_use(make_cluster):
    cluster = make_cluster(workers=("alpha",)).start("coordinator")
    until(cluster.state, "the coordinator answers")
    address = "127.0.0.1:%d" % free_ports(1)[0]
    refused(command("coordinator", "--spec", cluster.specification, "--listen", address), cluster.data)
    assert cluster.is_running("coordinator")


def test_no_coordinator(make_cluster):
    cluster = make_cluster()
    for arguments in (["submit", "Hello"], ["jobs"], ["show", "j1"], ["doctor"]):
        refused(cluster.command(*arguments), cluster.address, code=69)


def test_no_workers(make_cluster):
    cluster = make_cluster(workers=("alpha",)).start("coordinator")
    until(cluster.state, "the coordinator answers")
    submitted = cluster.command("submit", "--detach", "--max-tokens", 3, "Hello")
    assert submitted.returncode == 0, submitted.stderr
    id = submitted.stdout.strip()
    job = cluster.job(id)
    assert job.state == pb.QUEUED and "no workers" in job.reason and "lariat worker" in job.reason
    shown = cluster.command("show", id)
    assert shown.returncode == 0 and "no workers" in shown.stdout
    planned = cluster.command("plan", "Hello")
    assert planned.returncode == 1 and "no workers" in planned.stdout + planned.stderr
    checked = cluster.command("doctor")
    assert checked.returncode not in (0, -signal.SIGTRAP) and "no workers" in (checked.stdout + checked.stderr).lower()
    checked = cluster.command("doctor", "--spec", cluster.specification)
    assert checked.returncode > 0 and "alpha" in checked.stdout + checked.stderr
    assert cluster.command("wait", id, "--timeout", 1).returncode == 75
    # It waits until somebody comes.
    cluster.start("alpha")
    assert cluster.finished(pb.Job(id=id)).state == SUCCEEDED
    assert cluster.command("wait", id).returncode == 0


def test_another_model_file(make_cluster):
    cluster = make_cluster(models={"beta": OTHER_MODEL}).start().wait_ready(["alpha"])
    beta = until(lambda: next((m for m in cluster.state().members if m.name == "beta"), None), "beta is seen")
    assert beta.state == pb.Member.REFUSED and "another model file" in beta.reason and OTHER_MODEL.name in beta.reason
    checked = cluster.command("doctor", "--spec", cluster.specification)
    assert checked.returncode > 0 and "another model file" in checked.stdout + checked.stderr
    assert "another model file" in cluster.log("beta").read_text()
    # The others work.
    assert {share.worker for share in cluster.run().shares} == {"alpha"}


def test_remarks_about_a_model_file(make_cluster):
    """A file that names no pre-tokenizer runs; each log says so once, and doctor does."""
    cluster = make_cluster(workers=("alpha",), model=GOLDEN / "llama3-nopre.gguf").start().wait_ready()
    for name in ("coordinator", "alpha"):
        assert cluster.log(name).read_text().count("tokenizer.ggml.pre is missing") == 1, name
    checked = cluster.command("doctor", "--spec", cluster.specification)
    assert checked.returncode == 0 and "tokenizer.ggml.pre is missing" in checked.stdout


def test_up_with_another_model_file(make_cluster):
    cluster = make_cluster(models={"beta": OTHER_MODEL})
    refused(command("up", cluster.specification, timeout=100), "beta", "another model file")
    assert not processes_naming(cluster.specification)


def test_another_precision(make_cluster):
    cluster = make_cluster(workers=("alpha",)).start("coordinator")
    until(cluster.state, "the coordinator answers")
    cluster.processes["alpha"] = spawn(
        ["worker", "--spec", cluster.specification, "--name", "alpha", "--precision", "f32"], cluster.log("alpha"))
    alpha = until(lambda: next(iter(cluster.state().members), None), "alpha is seen")
    assert alpha.state == pb.Member.REFUSED and "f32" in alpha.reason and "bf16" in alpha.reason


def test_prompt_longer_than_the_window(cluster, tmp_path):
    ids = tmp_path / "ids"
    ids.write_text(" ".join(["5"] * 8200))
    said = refused(cluster.command("submit", "--tokens", ids, "--max-tokens", 10), "8,200", "18 more", "8,192",
                   "--beyond-window", code=64)
    assert "shorten" in said
    refused(cluster.command("score", "--tokens", ids), "8 more", "--beyond-window", code=64)
    planned = cluster.command("plan", "--tokens", ids)
    assert planned.returncode == 1 and "--beyond-window" in planned.stdout + planned.stderr
    # The answer counts too; here a smaller one helps, and the message says how small.
    refused(cluster.command("submit", "--raw", "Hello", "--max-tokens", 9000), "--max-tokens", "8191", code=64)
    allowed = cluster.command("submit", "--raw", "Hello", "--max-tokens", 8200, "--stop", "e", "--beyond-window")
    assert allowed.returncode == 0, allowed.stderr


def test_cache_larger_than_the_memory(make_cluster, tmp_path):
    cluster = make_cluster(memory="1MiB").start().wait_ready()
    # 2 x 1 MiB hold 90 tokens of 23,040 bytes.
    refused(cluster.command("submit", PROMPT, "--max-tokens", 300), "MiB", "2 workers", "90 tokens", "more memory")
    planned = cluster.command("plan", PROMPT, "--max-tokens", 300)
    assert planned.returncode == 1 and "90 tokens" in planned.stdout + planned.stderr
    with pytest.raises(grpc.RpcError) as failure:
        cluster.submit(PROMPT, max_tokens=300)
    assert failure.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert cluster.run(PROMPT, max_tokens=30, ignore_end=True).generated_tokens == 30
    # With one worker less a job that fitted is refused: its figures are those of now.
    cluster.signal("beta", signal.SIGTERM)
    cluster.wait_ready(["alpha"])
    refused(cluster.command("submit", PROMPT, "--max-tokens", 30), "1 worker;", "45 tokens")


def test_a_waiting_job_larger_than_the_memory_that_came(make_cluster):
    cluster = make_cluster(workers=("alpha",), memory="1MiB").start("coordinator")
    large = until(lambda: cluster.submit(PROMPT, max_tokens=300), "the coordinator takes a job")
    small = cluster.submit(PROMPT, max_tokens=3)
    cluster.start("alpha").wait_ready()
    # The one that does not fit says why it waits, and lets the other pass.
    assert cluster.finished(small).state == SUCCEEDED
    waiting = cluster.job(large)
    assert waiting.state == pb.QUEUED and "1 worker;" in waiting.reason and "45 tokens" in waiting.reason


def test_full_queue(make_cluster):
    cluster = make_cluster(workers=("alpha",)).start("coordinator")
    until(cluster.state, "the coordinator answers")
    limit = 1000
    for _ in range(limit // 100):
        calls = [cluster.stub().Submit.future(parts(tokens=[1], max_tokens=1), timeout=60) for _ in range(100)]
        assert all(call.result(timeout=60).state == pb.QUEUED for call in calls)
    assert cluster.state().queued == limit
    with pytest.raises(grpc.RpcError) as failure:
        cluster.submit(tokens=[1], max_tokens=1)
    assert failure.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and f"{limit:,}" in failure.value.details()
    refused(cluster.command("submit", "Hello"), f"{limit:,}", code=75)


def test_unreadable_prompt(cluster, tmp_path):
    absent = tmp_path / "absent.txt"
    for option in ("--file", "--tokens"):
        refused(cluster.command("submit", option, absent), absent, code=66)
        refused(cluster.command("submit", option, tmp_path), tmp_path, code=66)
    binary = tmp_path / "binary"
    binary.write_bytes(b"abc\xff\xfedef")
    refused(cluster.command("submit", "--file", binary), "utf-8")
    numbers = tmp_path / "numbers"
    numbers.write_text("1 2 three")
    refused(cluster.command("submit", "--tokens", numbers), numbers, "line 1", "token ids")
    empty = tmp_path / "empty"
    empty.write_text("")
    refused(cluster.command("submit", "--file", empty), "empty")


def test_truncated_model(make_cluster, tmp_path):
    short = tmp_path / "short.gguf"
    with open(MODEL, "rb") as whole:
        short.write_bytes(whole.read(20_000_000))
    cluster = make_cluster(model=short)
    for arguments in (["coordinator"], ["worker", "--name", "alpha"], ["up"]):
        where = [cluster.specification] if arguments == ["up"] else ["--spec", cluster.specification]
        refused(command(*arguments, *where), short)
        assert not processes_naming(cluster.specification)
    short.write_bytes(b"GGUF" + bytes(100))
    refused(command("coordinator", "--spec", cluster.specification), short)
    short.write_bytes(b"")
    refused(command("worker", "--spec", cluster.specification, "--name", "alpha"), short)
    short.unlink()
    refused(command("coordinator", "--spec", cluster.specification), short)


@pytest.mark.parametrize("old, new, key", [
    ("memory: 1GiB", "memory: 1 Gigs", "memory"),
    ("threads: 1", "threds: 1", "threds"),
    ("threads: 1", "threads: many", "threads"),
    ("name: beta", "name: alpha", "name"),
    ("coordinator:", "coordinator: [", ""),
])
def test_bad_specification(make_cluster, old, new, key):
    cluster = make_cluster()
    text = cluster.specification.read_text()
    begin = text.rindex(old)
    cluster.specification.write_text(text[:begin] + new + text[begin + len(old):])
    line = text[:begin].count("\n") + 1
    for arguments in (["up", cluster.specification], ["coordinator", "--spec", cluster.specification],
                      ["worker", "--name", "beta", "--spec", cluster.specification],
                      ["doctor", "--spec", cluster.specification]):
        said = refused(command(*arguments), cluster.specification.name, key)
        # Where brackets never close, only the end of the file shows it.
        assert f":{line}:" in said or new.endswith("["), said
    assert not processes_naming(cluster.specification)


def test_absent_specification(tmp_path):
    refused(command("up", tmp_path / "none.yaml"), "none.yaml")


def test_a_worker_that_is_not_in_the_specification(make_cluster):
    cluster = make_cluster()
    refused(command("worker", "--spec", cluster.specification, "--name", "nobody"), "nobody")


def test_token_id_out_of_range(cluster, tmp_path):
    ids = tmp_path / "ids"
    ids.write_text("1 2 49152 3")
    refused(cluster.command("submit", "--tokens", ids), "49152", "index 2", "49151", code=64)
    with pytest.raises(grpc.RpcError) as failure:
        cluster.submit(tokens=[1, 4294967295])
    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "4294967295" in failure.value.details()


@pytest.mark.parametrize("options, words", [
    ({"sampling": pb.Sampling(temperature=-1)}, "temperature"),
    ({"sampling": pb.Sampling(temperature=float("nan"))}, "temperature"),
    ({"sampling": pb.Sampling(temperature=1, top_p=1.5)}, "top"),
    ({"stop": [""]}, "stop"),
    ({"stop": ["x"] * 1000}, "stop"),
    ({"name": "n" * 1000}, "name"),
    ({"max_tokens": 4294967295}, "limit"),
    ({"kind": 77}, "kind"),
])
def test_wrong_options(cluster, options, words):
    with pytest.raises(grpc.RpcError) as failure:
        cluster.submit("Hello", **options)
    assert failure.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert words in failure.value.details().lower()


def test_text_and_tokens_or_neither(cluster):
    for prompt in ({}, {"text": ""}, {"text": "Hello", "tokens": [1]}):
        with pytest.raises(grpc.RpcError) as failure:
            cluster.submit(**prompt)
        assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT, prompt
    with pytest.raises(grpc.RpcError) as failure:
        cluster.submit(b"abc\xff\xfe")
    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "utf-8" in failure.value.details().lower()


def test_no_such_job(cluster):
    for arguments in (["show"], ["wait"], ["attach"], ["cancel"], ["logs"]):
        refused(cluster.command(*arguments, "j987654"), "j987654", code=64)
        refused(cluster.command(*arguments, "no job's name"), "no job's name", code=64)


def test_cancel_and_wait(cluster):
    running = cluster.submit(PROMPT, max_tokens=4000, ignore_end=True)
    waiting = cluster.submit(PROMPT, max_tokens=4000, ignore_end=True)
    cluster.when(running, lambda job: job.state == pb.DECODE and job.generated_tokens > 5, "decode")
    assert cluster.job(waiting).queue_position == 1
    assert cluster.command("wait", running.id, "--timeout", 1).returncode == 75
    for job in (waiting, running):
        assert cluster.command("cancel", job.id).returncode == 0
        ended = cluster.finished(job)
        assert ended.state == CANCELLED and ended.finish == pb.FINISH_CANCELLED
        assert cluster.command("wait", job.id).returncode == 2
        assert cluster.attach(job)[-1].job.state == CANCELLED
    assert cluster.job(running).text, "what was there is kept"
    assert not cluster.job(waiting).text
    # Cancelling what is over changes nothing.
    assert cluster.stub().Cancel(pb.JobRequest(id=running.id), timeout=10).state == CANCELLED
    done = cluster.run()
    assert cluster.stub().Cancel(pb.JobRequest(id=done.id), timeout=10).state == SUCCEEDED
    assert cluster.command("wait", done.id).returncode == 0


def test_cancel_in_prefill(cluster):
    job = cluster.submit(tokens=golden_tokens(8192), kind=pb.SCORE)
    cluster.when(job, lambda now: now.prefilled_tokens > 0, "prefill")
    assert cluster.stub().Cancel(pb.JobRequest(id=job.id), timeout=20).state == CANCELLED
    # The workers let go of it: the next job does not wait for the rest of the prefill.
    cluster.run()


def test_two_workers_of_one_name(cluster):
    first, second = free_ports(2)
    twin = ["worker", "--spec", cluster.specification, "--name", "alpha",
            "--listen", f"127.0.0.1:{first}", "--ring", f"127.0.0.1:{second}"]
    log = cluster.folder / "twin.log"
    process = spawn(twin, log)
    try:
        until(lambda: "in the cluster already" in log.read_text(), "the second alpha is refused")
    finally:
        process.kill()
        process.wait(timeout=10)
    assert {share.worker for share in cluster.run().shares} == {"alpha", "beta"}


def test_full_disk(make_cluster, small_disk):
    cluster = make_cluster(workers=("alpha",), data=small_disk / "data").start().wait_ready()
    cluster.run()
    running = cluster.submit(PROMPT, max_tokens=3000, ignore_end=True)
    cluster.when(running, lambda job: job.generated_tokens > 5, "decode")
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    # A job that could not be kept is not acknowledged.
    with pytest.raises(grpc.RpcError) as failure:
        cluster.submit("A long text that needs room. " * 4000, max_tokens=1, beyond_window=True)
    assert "full" in failure.value.details(), failure.value.details()
    refused(cluster.command("submit", "A long text that needs room. " * 4000, "--beyond-window"), "full")
    ended = cluster.finished(running)
    assert ended.state == FAILED and "written" in ended.reason, ended.reason
    assert cluster.is_running("coordinator")
    filler.unlink()
    assert cluster.run().state == SUCCEEDED


def test_data_folder_cannot_be_made(make_cluster, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    cluster = make_cluster(data=file / "data")
    refused(command("coordinator", "--spec", cluster.specification), file)


def test_damaged_journal(make_cluster):
    cluster = make_cluster(workers=("alpha",))
    cluster.data.mkdir(parents=True)
    cluster.start("coordinator")
    until(cluster.state, "the coordinator answers")
    cluster.kill("coordinator")
    for file in cluster.data.iterdir():
        file.write_bytes(b"this is no database" * 1000)
    refused(command("coordinator", "--spec", cluster.specification), cluster.data)
