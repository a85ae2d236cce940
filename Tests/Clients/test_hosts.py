"""Several hosts for real: workers in network namespaces, over links that are slow, late and lossy. Results never differ."""

import json
import pathlib
import subprocess

import pytest

from cluster import Cluster, command, processes_naming, refused, until
from hosts import Hosts, confine, obstacle, throttle_obstacle
from spread import SpreadCluster

reason = obstacle()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"no hosts on this machine: {reason}")

NAMES = ("alpha", "beta", "gamma")
# 1,500 tokens or so; what follows them is the model's own affair.
TEXT = (pathlib.Path(__file__).parent.parent.parent / "README.md").read_text()[:5000]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What one worker on one host says."""
    with Cluster(tmp_path_factory.mktemp("single"), workers=("only",), extra="precision: f32\n") as single:
        single.start().wait_ready()
        score = single.command("score", "--json", input=TEXT)
        answer = single.command("submit", "--raw", "--max-tokens", 24, "--ignore-end", input=TEXT)
        assert score.returncode == answer.returncode == 0, score.stderr + answer.stderr
        yield json.loads(score.stdout.splitlines()[-1])["mean_nll"], answer.stdout


@pytest.fixture
def spread(tmp_path):
    """Makes a cluster over hosts whose links `shape` has changed."""
    made = []

    def make(shape=lambda hosts: None, names=NAMES, start=True, **options):
        hosts = Hosts(*names)
        hosts.__enter__()
        made.append(hosts)
        shape(hosts)
        cluster = SpreadCluster(tmp_path / f"spread{len(made)}", hosts, **options)
        made.append(cluster)
        return cluster.start().wait_ready() if start else cluster

    yield make
    for one in reversed(made):
        one.close() if isinstance(one, Cluster) else one.__exit__()


def slow_link(hosts):
    hosts.limit("100mbit", "beta")


def check(cluster, expected):
    nll, text = expected
    found = cluster.json("score", "--workers", 3, input=TEXT)["mean_nll"]
    # float32 throughout; only the order of sums differs from one worker's.
    assert abs(found - nll) < 2e-6 * nll
    answer = cluster.command("submit", "--raw", "--max-tokens", 24, "--ignore-end", input=TEXT)
    assert answer.stdout == text, answer.stderr


@pytest.mark.parametrize("shape", [
    pytest.param(lambda hosts: None, id="unshaped"),
    pytest.param(lambda hosts: hosts.limit("1gbit"), id="1 Gbit/s"),
    pytest.param(lambda hosts: hosts.delay(10), id="20 ms round trip"),
    pytest.param(lambda hosts: hosts.lose(1), id="1% loss"),
    pytest.param(slow_link, id="one slow link"),
])
def test_links_do_not_change_results(spread, expected, shape):
    check(spread(shape), expected)


def test_three_hosts_with_tls_give_the_answer_of_one(spread, expected, tmp_path):
    """Certificates by `lariat cluster certs`, every connection between hosts encrypted."""
    tls = {"ca": tmp_path / "ca.pem", "certificate": tmp_path / "cluster.pem", "key": tmp_path / "cluster.key"}
    cluster = spread(start=False, tls=tls)
    made = command("cluster", "certs", cluster.specification, "-o", tmp_path)
    assert made.returncode == 0, made.stderr
    assert tls["key"].stat().st_mode & 0o077 == 0
    checked = command("cluster", "check", cluster.specification)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    cluster.start().wait_ready()
    check(cluster, expected)


def test_hosts_without_tls_must_be_asked_for(spread):
    cluster = spread(start=False)
    cluster.specification.write_text(cluster.specification.read_text().replace("insecure: true", "insecure: false"))
    refused(command("coordinator", "--spec", cluster.specification), "insecure", "certs", code=64)
    refused(command("worker", "--name", "w", "--listen", "10.77.0.1:1", "--ring", "10.77.0.1:2", "--coordinator",
                    "10.77.0.1:3", "--model", cluster.model), "--listen", "--insecure", code=64)


def test_a_late_worker_joins_and_a_host_is_drained(spread, expected):
    cluster = spread(start=False)
    cluster.start("coordinator", "alpha", "beta")
    cluster.wait_ready(["alpha", "beta"])
    two = cluster.json("score", "--workers", 3, input=TEXT)
    assert [share["worker"] for share in two["shares"]] == ["alpha", "beta"]
    cluster.start("gamma").wait_ready()
    assert len(cluster.json("score", "--workers", 3, input=TEXT)["shares"]) == 3
    # By the host's address: that of its only worker.
    assert cluster.command("drain", cluster.hosts.addresses["beta"], "--wait", 30).returncode == 0
    until(lambda: cluster.processes["beta"].poll() is not None, "beta ends")
    assert cluster.processes.pop("beta").returncode == 0
    left = cluster.json("score", "--workers", 3, input=TEXT)
    assert [share["worker"] for share in left["shares"]] == ["alpha", "gamma"]
    check(cluster, expected)


def test_a_host_that_vanishes_is_named(spread):
    cluster = spread()
    job = cluster.command("submit", "--workers", 3, "--max-tokens", 4000, "--ignore-end", "--detach", input=TEXT[:400]).stdout.strip()
    until(lambda: cluster.json("show", job)["state"] == "DECODE", "the job decodes")
    # The cable is pulled: no end of a connection is ever seen.
    hosts = cluster.hosts
    subprocess.run(["ip", "-n", hosts.spaces["gamma"], "link", "set", "eth0", "down"], check=True)
    until(lambda: cluster.json("show", job)["state"] == "FAILED", "the job fails", timeout=30)
    assert "gamma" in cluster.json("show", job)["reason"]
    assert cluster.json("score", input=TEXT[:400])["state"] == "SUCCEEDED"
    # Back again, it joins by itself.
    subprocess.run(["ip", "-n", hosts.spaces["gamma"], "link", "set", "eth0", "up"], check=True)
    until(lambda: len(cluster.json("score", "--workers", 3, input=TEXT[:400])["shares"]) == 3,
          "jobs take the host that is back", timeout=60)


@pytest.mark.skipif(throttle_obstacle() is not None, reason=f"processors cannot be slowed: {throttle_obstacle()}")
def test_shares_follow_speed(spread, expected):
    cluster = spread(names=("alpha", "beta"), start=False)
    cluster.start().wait_ready()
    even = cluster.json("score", "--workers", 3, input=TEXT)["shares"]
    group = cluster.hosts.throttle(0.2)
    for pid in processes_naming(f"--name beta --spec {cluster.specification}".replace(" ", "\0")):
        confine(group, pid)
    # Every job teaches: a few later the slow worker has about a fifth of the other's share.
    def ratio():
        shares = {share["worker"]: share["tokens"] for share in cluster.json("score", "--workers", 3, input=TEXT)["shares"]}
        return shares["beta"] / shares["alpha"]
    until(lambda: ratio() < 0.62, "the slow worker gets less", timeout=120)
    assert even[1]["tokens"] > 0.62 * even[0]["tokens"]
    check(cluster, expected)
