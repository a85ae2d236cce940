"""What a person types: names of jobs, commands of other programs, completion, and errors in the terms of a command."""

import subprocess

import pytest

from cluster import BINARY, command, environment, refused


def test_commands_that_do_not_exist():
    for word, better in {"submti": "lariat submit", "ps": "lariat jobs", "list": "lariat jobs", "run": "lariat submit",
                         "serve": "lariat up", "status": "lariat doctor", "stop": "lariat cancel",
                         "pull": "Ops/model"}.items():
        refused(command(word, "hello"), word, better, code=64)
    refused(command("submit", "hello", "world"), "quotes", code=64)
    refused(command("cluster", "stat"), "lariat cluster --help", code=64)


def test_jobs_are_found_by_name(cluster):
    older, newer = (cluster.finished(cluster.submit("Hello", max_tokens=1, name="a book")) for _ in range(2))
    other = cluster.finished(cluster.submit("Hello", max_tokens=1, name=older.id))
    for arguments in (["show"], ["wait"], ["attach"], ["logs"], ["cancel"]):
        done = cluster.command(*arguments, "a book")
        assert done.returncode == 0, done.stderr
    assert cluster.command("show", "a book").stdout.splitlines()[0].split() == ["job", newer.id]
    # An id wins over a name; a number is an id.
    for text in (older.id, older.id[1:]):
        assert cluster.command("show", text).stdout.splitlines()[0].split() == ["job", older.id]
    listed = cluster.command("jobs", "--name", "a book", "--json").stdout.splitlines()
    assert len(listed) >= 2 and all('"name":"a book"' in line for line in listed)
    assert other.id not in cluster.command("jobs", "--name", "a book").stdout
    refused(cluster.command("show", "another book"), "another book", "name", code=64)


def test_a_file_gives_the_job_its_name(cluster, tmp_path):
    file = tmp_path / "a novel.txt"
    file.write_text("Once upon a time")
    id = cluster.command("submit", "--detach", "--max-tokens", 1, "--file", file).stdout.strip()
    assert cluster.finished(cluster.job(id)).options.name == "a novel.txt"
    assert cluster.command("wait", "a novel.txt").returncode == 0


def test_tokens_are_spoken_of_in_the_terms_of_a_command(guarded, tmp_path):
    said = refused(command("jobs", "--coordinator", guarded.address), "--token-file", "LARIAT_TOKEN", code=77)
    assert "bearer" not in said.lower()
    wrong = tmp_path / "wrong"
    wrong.write_text("lariat-" + "x" * 43)
    refused(command("jobs", "--coordinator", guarded.address, "--token-file", wrong), "does not know", code=77)
    # The coordinator's own list, taken for a token.
    said = refused(command("jobs", "--coordinator", guarded.address, "--token-file", guarded.folder / "tokens"),
                   guarded.folder / "tokens", "9 words in 3 lines", code=66)
    assert guarded.tokens["read"] not in said
    done = subprocess.run([BINARY, "jobs", "--coordinator", guarded.address], capture_output=True, text=True, timeout=60,
                          env={**environment(), "LARIAT_TOKEN": "two words"})
    assert done.returncode == 64 and "LARIAT_TOKEN" in done.stderr and "two words" not in done.stderr


def test_up_asks_for_the_token_before_it_starts_anything(make_cluster):
    cluster = make_cluster(guarded=True)
    refused(command("up", cluster.specification), "--token-file", "LARIAT_TOKEN", code=77)
    assert not cluster.data.exists()


# Completion


@pytest.mark.parametrize("line, offered", [
    ("lariat su", {"submit"}), ("lariat context a", {"add"}), ("lariat up Clus", {"Cluster"}), ("lariat up Cluster/lo", {"Cluster/local.yaml"}),
    ("lariat up --model LIC", {"LICENSE"}), ("lariat submit --file READ", {"README.md"}),
    ("lariat submit --file a -f READ", {"README.md"}), ("lariat score --tokens READ", {"README.md"}),
    ("lariat submit --rope READ", {"README.md"}), ("lariat jobs --token-file READ", {"README.md"}),
    ("lariat jobs --tls-ca READ", {"README.md"}), ("lariat up --data Sour", {"Sources"}),
    ("lariat coordinator --spec Cluster/lo", {"Cluster/local.yaml"}), ("lariat trace -o READ", {"README.md"}),
    ("lariat cluster status Cluster/lo", {"Cluster/local.yaml"}), ("lariat eval perplexity LIC", {"LICENSE"}),
    ("lariat worker --precision ", {"bf16", "f32"}), ("lariat jobs --log-level w", {"warning"}),
])
def test_completion(complete, line, offered):
    assert complete(line) == offered


def test_jobs_are_completed(complete, cluster):
    job = cluster.submit("Hello", max_tokens=1, name="novel")
    cluster.finished(job)
    assert {job.id, "novel"} <= complete("lariat show ", LARIAT_COORDINATOR=cluster.address)
    assert complete("lariat cancel nov", LARIAT_COORDINATOR=cluster.address) == {"novel"}
    # Nobody answers: nothing is offered, and nobody waits.
    assert not complete("lariat show ", LARIAT_COORDINATOR="127.0.0.1:1")
