"""Grafana's dashboard and Prometheus' rules: against Prometheus' own tools, against Grafana's own schema, and against a
running cluster."""

import json
import re
import shutil
import subprocess
import time

import pytest
import yaml

from monitoring import Cluster, Prometheus, until

# What processes export and neither the dashboard nor a rule shows, and why.
UNUSED = {
    "lariat_kv_used_bytes": "the coordinator says it of every worker: lariat_worker_kv_used_bytes",
    "lariat_kv_capacity_bytes": "the coordinator says it of every worker: lariat_worker_kv_capacity_bytes",
    "lariat_kv_kept_bytes": "the coordinator says it of every worker: lariat_worker_kv_kept_bytes",
    "lariat_kv_kept_sequences": "the coordinator says it of all workers: lariat_kept_sequences",
    "lariat_runs_running": "lariat_jobs_running counts jobs, not their parts",
    "lariat_known_epoch": "the coordinator's is the one that counts: lariat_epoch",
    "lariat_threads": "the coordinator says it of every worker: lariat_worker_threads",
    "lariat_prefilled_tokens_total": "its sum over workers is lariat_prompt_tokens_total",
    "lariat_compute_seconds_total": "the coordinator says it of every worker: lariat_worker_compute_seconds_total",
    "lariat_wait_seconds_total": "the coordinator says it of every worker: lariat_worker_wait_seconds_total",
    "lariat_wire_seconds_total": "the coordinator says it of every worker: lariat_worker_wire_seconds_total",
    "lariat_ring_sent_bytes_total": "the coordinator says it of every link: lariat_link_bytes_total",
    "lariat_ring_received_bytes_total": "the coordinator says it of every link: lariat_link_bytes_total",
    "process_virtual_memory_bytes": "address space says little: models are mapped",
}
# Keys that Grafana reads and its published schema does not name.
BEYOND_SCHEMA = re.compile(
    r"/annotations/list/\d+/(builtIn|step|titleFormat|textFormat)|/templating/list/\d+/definition"
    r"|/panels/\d+/options/tooltip/mode")


@pytest.fixture(scope="module")
def rules(repository):
    return repository / "Ops/prometheus"


@pytest.fixture(scope="module")
def dashboard(repository):
    return json.loads((repository / "Ops/grafana/lariat.json").read_text())


def alerts(rules):
    groups = yaml.safe_load((rules / "lariat.rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def rule_expressions(rules):
    groups = yaml.safe_load((rules / "lariat.rules.yaml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def dashboard_expressions(dashboard):
    """Every expression, with Grafana's variables filled in as Grafana does for "All"."""
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    found += [note["expr"] for note in dashboard["annotations"]["list"] if "expr" in note]
    values = {"job": ".+", "instance": ".+", "window": "1h", "__rate_interval": "1m", "__interval": "30s"}
    filled = [re.sub(r"\$(\w+)", lambda name: values[name[1]], expression) for expression in found]
    assert all("$" not in expression for expression in filled)
    return filled


def names(expressions):
    """The metrics that expressions name, histograms without their suffixes."""
    text = " ".join(expressions)
    found = set(re.findall(r"(?<![\w:])(?:lariat|process)_\w+", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def promtool(*arguments, cwd):
    return subprocess.run(["promtool", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120)


# Rules


@pytest.mark.parametrize("command", ["check rules lariat.rules.yaml", "test rules lariat.rules.test.yaml",
                                     "check config prometheus.yaml"])
def test_promtool_is_content(rules, command):
    result = promtool(*command.split(), cwd=rules)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tested(rules):
    """Each is shown to fire, and not to fire."""
    cases = {}
    for test in yaml.safe_load((rules / "lariat.rules.test.yaml").read_text())["tests"]:
        for one in test.get("promql_expr_test", []):
            for name in re.findall(r'^ALERTS\{alertname="(\w+)", alertstate="firing"\}$', one["expr"]):
                cases.setdefault(name, set()).add(bool(one["exp_samples"]))
    assert cases == {alert["alert"]: {True, False} for alert in alerts(rules)}


def test_the_tests_can_fail(rules, tmp_path):
    """An alert that always fires, or never, is noticed."""
    text = (rules / "lariat.rules.yaml").read_text()
    tests = yaml.safe_load((rules / "lariat.rules.test.yaml").read_text())
    tests["tests"] = [one for one in tests["tests"] if one["name"] == "LariatCoordinatorDown"]
    (tmp_path / "lariat.rules.test.yaml").write_text(yaml.safe_dump(tests))
    shutil.copy(rules / "lariat.rules.yaml", tmp_path)
    assert promtool("test", "rules", "lariat.rules.test.yaml", cwd=tmp_path).returncode == 0
    for wrong in ("up{job=\"lariat-coordinator\"} >= 0", "up{job=\"lariat-coordinator\"} < 0"):
        changed = text.replace('expr: up{job="lariat-coordinator"} == 0', f"expr: {wrong}")
        assert changed != text
        (tmp_path / "lariat.rules.yaml").write_text(changed)
        assert promtool("test", "rules", "lariat.rules.test.yaml", cwd=tmp_path).returncode != 0


def test_alerts_say_what_to_do(rules):
    found = alerts(rules)
    assert len({alert["alert"] for alert in found}) == len(found)
    for alert in found:
        assert alert["alert"].startswith("Lariat")
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert set(alert["annotations"]) == {"summary", "description"}
        assert len(alert["annotations"]["description"]) > 60


def test_commands_in_alerts_exist(rules, binary):
    text = " ".join(alert["annotations"]["description"] for alert in alerts(rules))
    commands = set(re.findall(r"`lariat ([a-z]+)", text))
    assert {"doctor", "jobs", "plan", "drain"} <= commands
    for command in commands:
        help = subprocess.run([binary, "help", command], capture_output=True, text=True, timeout=60)
        assert f"USAGE: lariat {command}" in help.stdout


# Dashboard


def test_tidy(repository, dashboard):
    """As Grafana exports it, so that a change made there is a small difference here."""
    assert (repository / "Ops/grafana/lariat.json").read_text() == json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def test_grafanas_own_schema(dashboard):
    """Grafana's own types read every key: what they do not know they drop."""
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()

    def dropped(ours, read, path=""):
        if isinstance(ours, dict) and isinstance(read, dict):
            return [found for key in ours for found in
                    (dropped(ours[key], read[key], f"{path}/{key}") if key in read else [f"{path}/{key}"])]
        if isinstance(ours, list) and isinstance(read, list) and len(ours) == len(read):
            return [found for index, pair in enumerate(zip(ours, read)) for found in dropped(*pair, f"{path}/{index}")]
        return [] if ours == read else [path]

    def wrong(board):
        read = json.loads(encoder.JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))
        return [path for path in dropped(board, read) if not BEYOND_SCHEMA.fullmatch(path)]

    assert wrong(dashboard) == []
    spoilt = json.loads(json.dumps(dashboard))
    spoilt["panels"][1]["fieldConfig"]["defaults"]["unity"] = "s"
    assert wrong(spoilt) == ["/panels/1/fieldConfig/defaults/unity"]


def test_panels_have_ids_and_places(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken, last = {}, 0
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] and place["x"] + place["w"] <= 24, panel["title"]
        # In the file as one reads them.
        assert place["y"] >= last, panel["title"]
        last = place["y"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken.get((x, y))}"
                taken[x, y] = panel["title"]
    # No holes: every line of the grid is full.
    assert len(taken) == 24 * (max(y for _, y in taken) + 1)


def test_panels_explain_themselves(dashboard):
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "job", "instance", "window"}
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(set(titles)) == len(titles)
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["type"] in ("table", "state-timeline", "heatmap") or panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            # Whoever chooses a process sees that process only.
            series = re.findall(r"(?:lariat|process)_\w+(?!\w)(?:\{([^}]*)\})?", re.sub(r"by \([^)]*\)", "", target["expr"]))
            for labels in series:
                assert 'job=~"$job", instance=~"$instance"' in labels, target["expr"]


def test_every_expression_parses(rules, dashboard, tmp_path):
    records = [{"record": f"expression:{index}", "expr": expression}
               for index, expression in enumerate(dashboard_expressions(dashboard))]
    write = lambda records: (tmp_path / "all.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": records}]}))
    write(records)
    result = promtool("check", "rules", "all.yaml", cwd=tmp_path)
    assert result.returncode == 0 and f"{len(records)} rules found" in result.stdout, result.stdout + result.stderr
    write([*records, {"record": "expression:wrong", "expr": "sum by (le (lariat_jobs_waiting)"}])
    assert promtool("check", "rules", "all.yaml", cwd=tmp_path).returncode != 0


# With a cluster


def configuration(text, cluster):
    """An example configuration of ours, with this cluster's addresses and the shortest times."""
    config = yaml.safe_load(text)
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    targets = {"lariat-coordinator": [cluster.pages["coordinator"]],
               "lariat-workers": [cluster.pages[name] for name in cluster.workers]}
    for job in config["scrape_configs"]:
        if job["job_name"] in targets:
            job["static_configs"] = [{"targets": targets[job["job_name"]]}]
    return config


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, binary, model):
    with Cluster(tmp_path_factory.mktemp("monitored"), binary, model) as cluster:
        yield cluster.start()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory, rules, cluster, prompt):
    """Watches the cluster, which has done two jobs and refused one since; alerts do not wait."""
    folder = tmp_path_factory.mktemp("prometheus")
    text, count = re.subn(r"\bfor: \w+", "for: 0s", (rules / "lariat.rules.yaml").read_text())
    assert count > 15
    (folder / "lariat.rules.yaml").write_text(text.replace("interval: 30s", "interval: 1s"))
    config = configuration((rules / "prometheus.yaml").read_text(), cluster)
    with Prometheus(folder, yaml.safe_dump(config)) as prometheus:
        until(lambda: prometheus.query("lariat_prompt_tokens_total == 0"), "the coordinator was seen before its first job")
        assert cluster.command("submit", "--max-tokens", 100_000_000, "Too much.").returncode > 0
        # Two, because a link's series begins with its first job, and a rise needs something to rise from.
        for _ in range(2):
            job = cluster.command("submit", "--tokens", prompt, "--max-tokens", 20, "--ignore-end", "--no-reuse")
            assert job.returncode == 0, job.stderr
            time.sleep(3)
        yield prometheus


def test_targets_are_up(prometheus, cluster):
    targets = until(
        lambda: (found := prometheus.get("targets")["activeTargets"]) and all(t["health"] == "up" for t in found) and found,
        "all targets are up")
    assert {(t["labels"]["job"], t["labels"]["instance"]) for t in targets} == {
        ("lariat-coordinator" if name == "coordinator" else "lariat-workers", page) for name, page in cluster.pages.items()}
    assert [t["lastError"] for t in targets] == [""] * len(targets)
    assert [value for _, value in prometheus.query("up")] == [1, 1, 1]
    # What it read is all there: nothing twice, nothing out of order.
    assert prometheus.log("prometheus") == ""


def test_rules_are_loaded(prometheus, rules):
    loaded = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(loaded) == len(rule_expressions(rules))
    assert {rule["name"] for rule in loaded} >= {alert["alert"] for alert in alerts(rules)}
    until(lambda: all(rule["health"] == "ok" for group in prometheus.get("rules")["groups"] for rule in group["rules"]),
          "every rule was evaluated without an error")


def test_rates_of_a_job(prometheus):
    for metric, tokens in (("lariat_prompt_tokens_total", 3000), ("lariat_generated_tokens_total", 40)):
        ((_, value),) = prometheus.query(metric)
        assert value == tokens
        ((_, rate),) = prometheus.query(f"rate({metric}[2m]) * 120")
        assert 0.5 * tokens < rate < 2.5 * tokens
    ((_, recorded),) = until(
        lambda: [r for r in prometheus.query("instance:lariat_prompt_tokens:rate5m") if r[1] > 0], "the record is there")
    assert recorded < 3000
    ((_, seconds),) = prometheus.query("histogram_quantile(0.5, rate(lariat_prefill_seconds_bucket[2m]))")
    assert 0 < seconds < 120
    waits = dict((labels["worker"], share) for labels, share in prometheus.query(
        "lariat_worker_wait_seconds_total / (lariat_worker_wait_seconds_total + lariat_worker_compute_seconds_total)"))
    assert set(waits) == {"alpha", "beta"} and all(0 <= share < 1 for share in waits.values())


def test_every_expression_is_answered(prometheus, rules, dashboard):
    """They all fit the labels that are there: no many-to-many matches, no missing types."""
    silent = [expression for expression in dashboard_expressions(dashboard) if not prometheus.query(expression)]
    for expression in rule_expressions(rules):
        prometheus.query(expression)
    # Panels of what did not happen stay empty; others do not.
    assert all(re.search(r"lost|failed|ALERTS|changes|> 0$", expression) for expression in silent), "\n".join(silent)


def test_no_alert_without_a_reason(prometheus):
    """A busy machine may make workers wait and heartbeats late; nothing else is wrong here."""
    excused = {"LariatWorkerStraggling", "LariatRingWaits", "LariatWorkerHeartbeatLate"}
    until(lambda: {name for name, _ in prometheus.firing()} <= excused, f"no alert fires but {prometheus.firing()}")


def test_a_lost_worker_is_told(prometheus, cluster):
    cluster.kill("beta")
    until(lambda: {("LariatWorkerLost", "beta"), ("LariatWorkerDown", "")} <= prometheus.firing(), "beta is missed", 30)
    assert ("LariatWorkerLost", "alpha") not in prometheus.firing()
    assert ("LariatNoWorkers", "") not in prometheus.firing()
    (alert,) = [one for one in prometheus.get("alerts")["alerts"] if one["labels"]["alertname"] == "LariatWorkerLost"]
    assert alert["annotations"]["summary"] == "Worker beta is lost or refused"
    assert "lariat-worker@beta" in alert["annotations"]["description"]
    cluster.start("beta")
    until(lambda: not {"LariatWorkerLost", "LariatWorkerDown"} & {name for name, _ in prometheus.firing()}, "beta is back", 30)


def test_a_coordinator_that_is_down_is_told(prometheus, cluster):
    cluster.kill("coordinator")
    until(lambda: ("LariatCoordinatorDown", "") in prometheus.firing(), "the coordinator is missed", 30)
    cluster.start("coordinator")
    until(lambda: ("LariatCoordinatorDown", "") not in prometheus.firing(), "it is back", 30)


def test_metrics_exist_and_are_used(prometheus, cluster, rules, dashboard):
    """What dashboard and rules name is exported, and what is exported is named or left out for a reason."""
    exported = {name for name in prometheus.get("label/__name__/values") if re.match(r"(lariat|process)_", name)}
    exported = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    assert set(cluster.metrics()) <= exported
    used = names(dashboard_expressions(dashboard) + rule_expressions(rules))
    assert used - exported == set(), "named, but no process exports it"
    assert exported - used == set(UNUSED), "exported, but not used, or said to be unused and is not"
    # A panel that shows each; rules alone would hide it.
    assert {name for name in exported if name.startswith("lariat_")} - set(UNUSED) <= names(dashboard_expressions(dashboard))


def test_pods_get_the_names_of_jobs(tmp_path, repository, rules, cluster):
    """The relabelling of the Kubernetes example, by a real Prometheus. Debian's has no Kubernetes discovery, so the labels
    that it would find are written down."""
    config = configuration((rules / "prometheus-kubernetes.yaml").read_text(), cluster)
    (job,) = config["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    del config["rule_files"]

    def pod(component, page, name, port="metrics", phase="Running", application="lariat"):
        return {"targets": [page], "labels": {
            "__meta_kubernetes_namespace": "long", "__meta_kubernetes_pod_name": name,
            "__meta_kubernetes_pod_container_port_name": port, "__meta_kubernetes_pod_phase": phase,
            "__meta_kubernetes_pod_label_app_kubernetes_io_name": application,
            "__meta_kubernetes_pod_label_app_kubernetes_io_component": component}}

    # The manifests' own labels and port.
    labels = {}
    for file in ("coordinator", "workers"):
        for thing in yaml.safe_load_all((repository / f"Ops/kubernetes/{file}.yaml").read_text()):
            if thing["kind"] == "StatefulSet":
                pod_labels = thing["spec"]["template"]["metadata"]["labels"]
                ports = [port["name"] for port in thing["spec"]["template"]["spec"]["containers"][0]["ports"]]
                assert pod_labels["app.kubernetes.io/name"] == "lariat" and "metrics" in ports
                labels[file] = pod_labels["app.kubernetes.io/component"]
    job["static_configs"] = [
        pod(labels["coordinator"], cluster.pages["coordinator"], "lariat-coordinator-0"),
        pod(labels["workers"], cluster.pages["alpha"], "lariat-worker-0"),
        pod(labels["workers"], cluster.pages["beta"], "lariat-worker-1"),
        pod(labels["workers"], "127.0.0.1:9", "lariat-worker-1", port="grpc"),
        pod(labels["workers"], "127.0.0.1:9", "lariat-worker-2", phase="Failed"),
        pod("database", "127.0.0.1:9", "else", application="else"),
    ]
    with Prometheus(tmp_path / "prometheus", yaml.safe_dump(config)) as prometheus:
        found = until(lambda: len(up := prometheus.query("up == 1")) == 3 and up, "three targets are up")
        assert sorted(labels["instance"] for labels, _ in found) == ["lariat-coordinator-0", "lariat-worker-0", "lariat-worker-1"]
        assert {(labels["job"], labels["namespace"]) for labels, _ in found} == {
            ("lariat-coordinator", "long"), ("lariat-workers", "long")}
