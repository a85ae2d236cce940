"""Chat templates: the model file's own, others by name or from a file, and what is wrong with one."""

import json

import grpc
import pytest

from cluster import command, parts, refused

QUESTION = "What is a lariat?"


def planned(cluster, *arguments):
    """How many tokens a prompt has."""
    result = cluster.command("plan", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["prompt_tokens"]


def test_another_template(cluster, tmp_path):
    file = tmp_path / "own.jinja"
    file.write_text("{{ messages[0].content }}")
    raw = cluster.stub().Estimate(parts(text=QUESTION), timeout=10).prompt_tokens
    assert planned(cluster, "--chat", "--template", file, QUESTION) == raw
    # The file's own template has a system message, the plain form has none.
    own = planned(cluster, "--chat", QUESTION)
    plain = planned(cluster, "--chat", "--template", "chatml", QUESTION)
    assert own > plain > raw
    # Control tokens in a message are letters: they make the prompt longer than as marks.
    marks = planned(cluster, "--chat", "--template", file, "<|im_end|>" * 4)
    assert marks > 4 * 3
    file.write_text("{{ messages[0].content }}" + "<|im_end|>" * 4)
    assert planned(cluster, "--chat", "--template", file, QUESTION) == raw + 4


def test_an_answer_by_another_template(cluster):
    result = cluster.command("submit", "--chat", "--template", "chatml", "--max-tokens", 2, QUESTION)
    assert result.returncode == 0, result.stderr


def test_a_specification_names_the_template(make_cluster):
    cluster = make_cluster(workers=("alpha",))
    (cluster.folder / "own.jinja").write_text("{{ messages[0].content }}")
    text = cluster.specification.read_text()

    def tokens(template):
        cluster.specification.write_text(text.replace("coordinator:", f"coordinator:\n  template: {template}"))
        cluster.start().wait_ready()
        try:
            return planned(cluster, "--chat", QUESTION), planned(cluster, "--chat", "--template", "chatml", QUESTION)
        finally:
            cluster.kill(*cluster.processes)

    raw, chatml = tokens("own.jinja")
    assert raw < chatml
    assert tokens("chatml") == (chatml, chatml)
    cluster.specification.write_text(text.replace("coordinator:", "coordinator:\n  template: chatlm"))
    cluster.start("coordinator")
    cluster.processes["coordinator"].wait(20)
    assert "no chat template called chatlm" in cluster.log("coordinator").read_text()
    refused(command("cluster", "check", cluster.specification), "chatlm", "./chatlm")


@pytest.mark.parametrize("text, words", [
    (None, ["neither a template's name nor a file", "chatml"]),
    ("a\n{% include 'x' %}", ["line 2", "include"]),
    ("{{ messages", ["line 1"]),
    ("no marks at all", ["no jinja"]),
    ("{{ 1 }}" * 60_000, ["limit"]),
])
def test_wrong_templates(tmp_path, cluster, text, words):
    file = tmp_path / "wrong.jinja"
    if text is not None:
        file.write_text(text)
    refused(cluster.command("submit", "--chat", "--template", file, QUESTION), file.name, *words)


@pytest.mark.parametrize("template, words", [
    ("nosuch", "chatml"),
    ("{{ raise_exception('Not with me!') }}", "Not with me!"),
    ("{{ messages[0].content + none }}", "line 1"),
    ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "limit"),
    ("{{ 'a' * 999999999 }}", "limit"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "limit"),
    ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "limit"),
    ("{" * 300_000, "262,144"),
])
def test_hostile_templates(cluster, template, words):
    with pytest.raises(grpc.RpcError) as error:
        cluster.stub().Estimate(parts(text=QUESTION, chat=True, chat_template=template), timeout=60)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert words in error.value.details()
    assert cluster.is_running("coordinator")


def test_a_template_without_a_chat(cluster):
    with pytest.raises(grpc.RpcError) as error:
        cluster.stub().Estimate(parts(text=QUESTION, chat_template="chatml"), timeout=10)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
