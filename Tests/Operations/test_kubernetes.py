"""The manifests, against Kubernetes' own schemas, against each other and against the program."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from debian import Debian, run

# The oldest and the newest that are promised.
VERSIONS = ["1.27", "1.37"]


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "Ops/kubernetes"


@pytest.fixture(scope="module")
def objects(folder):
    """Every object of `kubectl apply -k`, by kind and name."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found = {}
    for name in kustomization["resources"]:
        for thing in yaml.safe_load_all((folder / name).read_text()):
            found[thing["kind"], thing["metadata"]["name"]] = thing
    return found


def pod(objects, component):
    return objects["StatefulSet", component]["spec"]["template"]


def container(objects, component):
    return pod(objects, component)["spec"]["containers"][0]


COMPONENTS = ["lariat-coordinator", "lariat-worker"]


@pytest.mark.parametrize("version", VERSIONS)
def test_schemas(folder, version):
    files = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    result = subprocess.run(
        [pathlib.Path(sys.executable).with_name("kubernetes-validate"), "--strict", "-k", version, *files],
        cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (result.stdout + result.stderr).count("passed") == 9


def test_every_file_is_used(folder):
    files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "servicemonitor.yaml"}
    assert files == set(yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"])


def test_no_namespace(objects):
    assert all("namespace" not in thing["metadata"] for thing in objects.values())


@pytest.mark.parametrize("component", COMPONENTS)
def test_options_exist(objects, binary, component):
    one = container(objects, component)
    help = subprocess.run([binary, "help", one["command"][1]], capture_output=True, text=True, timeout=60).stdout
    for argument in one["args"]:
        option = argument.split("=")[0]
        assert re.search(rf"^  {option}\b", help, re.M), f"{option} is not in: {help}"


@pytest.mark.parametrize("component", COMPONENTS)
def test_variables_are_defined(objects, component):
    one = container(objects, component)
    defined = set(objects["ConfigMap", "lariat"]["data"]) | {item["name"] for item in one.get("env", [])}
    assert set(re.findall(r"\$\((\w+)\)", " ".join(one["args"]))) <= defined


@pytest.mark.parametrize("component", COMPONENTS)
def test_ports_agree(objects, component):
    """What the program listens on, the container's ports, the service's and the probes' are the same."""
    one = container(objects, component)
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    listening = {int(argument.rsplit(":", 1)[1]) for argument in one["args"] if "=0.0.0.0:" in argument}
    assert listening == set(ports.values())
    service = objects["Service", objects["StatefulSet", component]["spec"]["serviceName"]]
    for port in service["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert one[probe]["httpGet"] == {"path": path, "port": "metrics"}
    # Egress rules name numbers: those of the other side.
    numbers = {port["containerPort"] for other in COMPONENTS for port in container(objects, other)["ports"]} | {53}
    policy = objects["NetworkPolicy", component]["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} <= numbers
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == set(ports)


@pytest.mark.parametrize("component", COMPONENTS)
def test_labels_agree(objects, component):
    labels = pod(objects, component)["metadata"]["labels"]
    for selector in (
        objects["StatefulSet", component]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy", component]["spec"]["podSelector"]["matchLabels"],
        objects["Service", objects["StatefulSet", component]["spec"]["serviceName"]]["spec"]["selector"],
    ):
        assert selector == labels
    assert objects["PodDisruptionBudget", "lariat-worker"]["spec"]["selector"]["matchLabels"] == pod(
        objects, "lariat-worker")["metadata"]["labels"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_hardened(objects, component):
    spec = pod(objects, component)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(objects, component)["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    mounted = {mount["name"] for mount in container(objects, component)["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in
              objects["StatefulSet", component]["spec"].get("volumeClaimTemplates", [])}
    assert mounted == {volume["name"] for volume in spec["volumes"]} | claims


@pytest.mark.parametrize("component", COMPONENTS)
def test_time_to_drain(objects, component):
    drain = next(int(a.split("=")[1]) for a in container(objects, component)["args"] if a.startswith("--drain-seconds="))
    assert pod(objects, component)["spec"]["terminationGracePeriodSeconds"] >= drain + 15


def test_certificates_fit(objects, repository):
    """Cluster/kubernetes.yaml, for which certificates are made, names the pods, the addresses and the files."""
    specification = yaml.safe_load((repository / "Cluster/kubernetes.yaml").read_text())
    workers = objects["StatefulSet", "lariat-worker"]["spec"]
    args = dict(a.split("=", 1) for a in container(objects, "lariat-worker")["args"])
    for index in range(workers["replicas"]):
        pod_name = f"lariat-worker-{index}"
        assert specification["workers"][index]["name"] == pod_name
        assert specification["workers"][index]["advertise"] == args["--advertise"].replace("$(POD_NAME)", pod_name)
    assert specification["coordinator"]["advertise"] == args["--coordinator"]
    assert args["--tls-certificate"].endswith("/" + specification["tls"]["certificate"])
    coordinator = dict(a.split("=", 1) for a in container(objects, "lariat-coordinator")["args"])
    assert coordinator["--tls-key"].endswith("/" + specification["coordinator"]["tls"]["key"])
    for option, key in (("--listen", "listen"), ("--web", "web"), ("--metrics", "metrics")):
        assert coordinator[option] == specification["coordinator"][key]


def test_service_monitor(folder, objects):
    """Its schema is the Prometheus operator's own, so its structure is checked here."""
    monitor = yaml.safe_load((folder / "servicemonitor.yaml").read_text())
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1" and monitor["kind"] == "ServiceMonitor"
    assert set(monitor["spec"]) == {"selector", "endpoints"}
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    for endpoint in monitor["spec"]["endpoints"]:
        assert set(endpoint) == {"port", "path", "interval"}
        for name in ("lariat-coordinator", "lariat-workers"):
            service = objects["Service", name]
            assert wanted <= service["metadata"]["labels"].items()
            assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_image(folder, objects, bare_debian, package, binary, tmp_path):
    """Built by buildah on a Debian of this machine's mirrors, in place of the one that its first line fetches."""
    shutil.copy(package, tmp_path)

    def buildah(*arguments):
        storage = ["--storage-driver", "vfs", "--root", tmp_path / "storage", "--runroot", tmp_path / "run"]
        return run("buildah", *storage, *arguments).stdout.strip()

    try:
        empty = buildah("from", "scratch")
        root = buildah("mount", empty)
    except AssertionError as why:
        pytest.skip(f"no image can be made on this machine: {why}")
    (base,) = re.findall(r"^FROM (\S+)$", (folder / "Containerfile").read_text(), re.M)
    run("cp", "-ax", f"{bare_debian.root}/.", root)
    buildah("commit", "--quiet", "--rm", empty, f"docker.io/library/{base}")
    buildah("build", "--isolation", "chroot", "--network", "host", "--pull=never", "--file", folder / "Containerfile",
            "--tag", "lariat", tmp_path)
    image = buildah("from", "--pull=never", "localhost/lariat")
    try:
        Debian(buildah("mount", image)).add_runtime(binary)
        inside = lambda *command: buildah("run", "--isolation", "chroot", image, "--", *command)
        assert inside("lariat", "version") == run(binary, "version").stdout.strip()
        # As whom the pods run it, too.
        user = pod(objects, "lariat-worker")["spec"]["securityContext"]["runAsUser"]
        assert inside("id", "-u") == str(user)
        assert inside("sh", "-c", "ls /tmp /var/lib/apt/lists") == "/tmp:\n\n/var/lib/apt/lists:"
    finally:
        buildah("rm", image)
