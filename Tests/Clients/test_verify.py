"""`lariat verify`: the same bits on any number of workers, over real sockets."""

import json
import pathlib

from cluster import refused

# 1,500 tokens or so.
TEXT = (pathlib.Path(__file__).parent.parent.parent / "README.md").read_text()[:5000]


def verified(cluster, *options):
    result = cluster.command("verify", "--json", *options, input=TEXT)
    return result, json.loads(result.stdout)


def test_any_number_of_workers_gives_the_same_bits(make_cluster):
    names = ("alpha", "beta", "gamma", "delta", "epsilon")
    for precision in ("f32", "bf16"):
        cluster = make_cluster(workers=names, extra=f"precision: {precision}\n").start().wait_ready()
        result, found = verified(cluster)
        assert result.returncode == 0 and found["agrees"] is True, result.stdout
        assert [run["workers"] for run in found["runs"]] == [1, 2, 3, 4, 5]
        assert len({run["digest"] for run in found["runs"]}) == 1
        assert {run["tokens"] for run in found["runs"]} == {found["runs"][0]["tokens"]} != {0}
        cluster.close()


def test_short_memory_moves_shares_and_no_bit(make_cluster):
    cluster = make_cluster(workers=("alpha", "beta", "gamma"))
    cluster.workers["beta"].memory = "6MiB"
    cluster.write()
    cluster.start().wait_ready()
    result, found = verified(cluster)
    assert result.returncode == 0 and found["agrees"] and len(found["runs"]) >= 2, result.stdout
    scored = json.loads(cluster.command("score", "--json", "--workers", 3, input=TEXT).stdout)
    shares = {share["worker"]: share["tokens"] for share in scored["shares"]}
    assert 0 < int(shares["beta"]) < 0.75 * int(shares["alpha"]), shares


def test_what_verify_is_told(cluster):
    refused(cluster.command("verify", input=" "), "white space", code=66)
    alone = cluster.command("verify", "--workers", 1, input=TEXT)
    assert alone.returncode == 0 and "only one number of workers" in alone.stdout
