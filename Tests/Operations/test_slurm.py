"""The batch script on a real Slurm of three nodes."""

import os

import pytest

import waiting
from slurm import Slurm, until


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest.fixture
def submit(slurm, repository, binary, model):
    def submit(*arguments, **environment):
        # Ports in a row: one for the coordinator and two for each worker.
        first, *_ = waiting.free_ports(7)
        settings = {"LARIAT": str(binary), "LARIAT_MODEL": model, "LARIAT_MEMORY": "1GiB", "LARIAT_PORT": str(first),
                    **environment}
        job = slurm.run("sbatch", "--parsable", "--export=ALL", repository / "Ops/slurm/lariat.sbatch", *arguments,
                        **settings).stdout.strip()
        return job, slurm.folder / f"lariat-{job}.out", slurm.folder / f"lariat-{job}"
    return submit


def nothing_left(folder):
    assert not list(folder.glob("*.key")), "no private key is left behind"
    running = lambda: [entry for entry in os.listdir("/proc") if entry.isdigit() and str(folder) in command(entry)]
    until(lambda: not running(), "no process is left behind")


def command(pid):
    try:
        return open(f"/proc/{pid}/cmdline").read()
    except OSError:
        return ""


@pytest.mark.parametrize("tls", ["1", "0"])
def test_an_answer(slurm, submit, tls):
    job, output, folder = submit("--raw", "--max-tokens", "8", "The capital of France is", LARIAT_TLS=tls)
    state = slurm.finished(job)
    said = output.read_text()
    assert (state["JobState"], state["ExitCode"]) == ("COMPLETED", "0:0"), said
    assert "Paris" in said
    log = (folder / "coordinator.log").read_text()
    assert {f"worker={name}" for name in slurm.names} <= set(log.split()), log
    assert log.count("worker left") == 3, "workers leave in order"
    assert (len(list(folder.glob("*.pem"))) == 6) == (tls == "1")
    nothing_left(folder)


def test_a_cluster_that_stays(slurm, submit):
    job, output, folder = submit()
    until(lambda: output.exists() and "is ready" in output.read_text(), "the cluster is ready")
    assert slurm.state(job)["JobState"] == "RUNNING"
    # The line that it says works, on another node.
    line = next(line for line in output.read_text().splitlines() if " submit " in line)
    answer = slurm.run("bash", "-c", line + " --max-tokens 4").stdout
    assert "Paris" in answer
    slurm.run("scancel", "--signal=TERM", "--batch", job)
    slurm.finished(job)
    nothing_left(folder)


def test_what_cannot_work_says_why(slurm, submit):
    job, output, folder = submit("x", LARIAT_MODEL="/nowhere/model.gguf")
    assert slurm.finished(job)["JobState"] == "FAILED"
    assert "did not become ready" in output.read_text() and "/nowhere/model.gguf" in output.read_text()
    nothing_left(folder)
    job, output, _ = submit("x", LARIAT="no-such-program")
    assert slurm.finished(job)["JobState"] == "FAILED"
    assert "set LARIAT to the program's path" in output.read_text()
