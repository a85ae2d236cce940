"""Every example that is shipped starts as it is shipped, runs a job, and answers on its web port.

`examples.py` says what is changed in it, which is only what it says about hosts that are not here. Slurm's script is run by a
Slurm in test_slurm.py.
"""

import json
import pathlib
import re

import pytest
import yaml

from examples import Site, option, specification
from hosts import obstacle

ROOT = pathlib.Path(__file__).parent.parent.parent
SPECIFICATIONS = sorted([*(ROOT / "Cluster").glob("*.yaml"), ROOT / "Ops/debian/cluster.yaml"])

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=f"no hosts can be made: {obstacle()}")


def host_of(address):
    return re.fullmatch(r"\[?(.*?)\]?:\d+", address).group(1)


class Example:
    """A specification, where its processes run and what they need."""

    def __init__(self, path, folder, binary, model):
        text = path.read_text()
        self.file = folder / path.name
        self.file.write_text(specification(text, model=model, data=folder / "data"))
        self.folder, self.binary = folder, binary
        self.content = yaml.safe_load(text)
        self.coordinator = self.content["coordinator"]
        self.address = self.coordinator.get("advertise", self.coordinator["listen"])
        self.workers = {w["name"]: host_of(w.get("advertise", w["listen"])) for w in self.content["workers"]}
        self.tls, self.token = None, None

    @property
    def is_local(self):
        return host_of(self.address) == "127.0.0.1"

    def host(self, name):
        return "client" if self.is_local else name

    def site(self):
        names = [] if self.is_local else dict.fromkeys([host_of(self.address), *self.workers.values()])
        return Site(self.folder, names, self.binary)

    def make_files(self, site):
        """Where the example has them."""
        if "tls" in self.content:
            self.tls = (self.folder / self.content["tls"]["ca"]).parent
            site.run(self.binary, "cluster", "certs", self.file, "-o", self.tls)
        if "tokens" in self.content:
            file = self.folder / self.content["tokens"]
            self.token = site.run(self.binary, "cluster", "token", "ann", "--role", "submit", "--file", file).stdout.strip()

    def proves_itself(self, site):
        """It is ready, runs a job on every worker, and its web port answers."""
        token = {"LARIAT_TOKEN": self.token} if self.token else {}
        site.run(self.binary, "doctor", "--ready", "60", "--spec", self.file, **token)
        job = json.loads(site.job(self.address, len(self.workers), self.tls, self.token))
        assert {share["worker"] for share in job["shares"]} == set(self.workers), job
        if "web" in self.coordinator:
            scheme = "https" if self.tls else "http"
            port = self.coordinator["web"].rpartition(":")[2]
            host = host_of(self.address)
            site.web(f"{scheme}://{host}:{port}", self.tls and f"{self.tls}/ca.pem", self.token)
        if "metrics" in self.coordinator:
            site.serves(f"http://{host_of(self.address)}:{self.coordinator['metrics'].rpartition(':')[2]}/readyz")


@pytest.fixture
def example(request, tmp_path, binary, model):
    return Example(request.param, tmp_path, binary, model)


@pytest.mark.parametrize("example", SPECIFICATIONS, ids=lambda path: f"{path.parent.name}-{path.stem}", indirect=True)
def test_a_specification(example):
    with example.site() as site:
        example.make_files(site)
        # It finds nothing wrong, and gives no advice that the program would not take.
        said = site.run(example.binary, "cluster", "check", example.file).stdout
        assert "insecure" not in said and "is not here" not in said, said
        if example.is_local:
            site.start("up", "client", example.binary, "up", example.file)
        else:
            site.start("coordinator", host_of(example.address), example.binary, "coordinator", "--spec", example.file)
            for name, host in example.workers.items():
                site.start(name, host, example.binary, "worker", "--spec", example.file, "--name", name)
        example.proves_itself(site)


def unit_command(path, **values):
    line, = re.findall(r"^ExecStart=(.*)$", path.read_text(), re.M)
    return [option(word, **values) for word in line.split()]


def test_the_units_with_the_packaged_specification(tmp_path, binary, model):
    """ExecStart of both units, and the file that the package puts into /etc/lariat."""
    example = Example(ROOT / "Ops/debian/cluster.yaml", tmp_path, binary, model)
    values = {"etc": tmp_path, "binary": binary, "model": model, "data": tmp_path / "data"}
    with example.site() as site:
        units = {path.name: path for path in (ROOT / "Ops/systemd").glob("*.service")}
        site.start("coordinator", "client", *unit_command(units.pop("lariat-coordinator.service"), **values))
        template = unit_command(units.pop("lariat-worker@.service"), **values)
        assert units == {}
        for name in example.workers:
            site.start(name, "client", *(word.replace("%i", name) for word in template))
        example.proves_itself(site)


def test_the_manifests_of_kubernetes(tmp_path, binary, model):
    """Each pod's command on a host of its own, with the files of the Secrets that Ops/README.md makes."""
    objects = {}
    for file in (ROOT / "Ops/kubernetes").glob("*.yaml"):
        for thing in yaml.safe_load_all(file.read_text()):
            objects[thing["kind"], thing.get("metadata", {}).get("name")] = thing
    (tmp_path / "all").mkdir()
    settings = objects["ConfigMap", "lariat"]["data"]
    workers = objects["StatefulSet", "lariat-worker"]["spec"]
    pods = [f"lariat-worker-{number}" for number in range(workers["replicas"])]
    with Site(tmp_path, ["lariat-coordinator", *(f"{pod}.lariat-workers" for pod in pods)], binary) as site:
        # The commands of Ops/README.md.
        site.run(binary, "cluster", "certs", ROOT / "Cluster/kubernetes.yaml", "-o", tmp_path / "all")
        token = site.run(
            binary, "cluster", "token", "ann", "--role", "submit", "--file", tmp_path / "all/tokens").stdout.strip()
        secrets = re.findall(r"kubectl create secret generic (\S+)((?:[\s\\]+--from-file=\S+)+)",
                             (ROOT / "Ops/README.md").read_text())
        for secret, files in secrets:
            (tmp_path / secret).mkdir()
            for file in re.findall(r"--from-file=(\S+)", files):
                name = pathlib.Path(file).name
                (tmp_path / secret / name).write_bytes((tmp_path / "all" / name).read_bytes())

        def start(pod, host, component):
            template = objects["StatefulSet", component]["spec"]["template"]["spec"]
            container, = template["containers"]
            mounted = {volume["name"]: volume["secret"]["secretName"] for volume in template["volumes"] if "secret" in volume}
            arguments = []
            for text in container["command"][1:] + container["args"]:
                for name, value in {**settings, "POD_NAME": pod}.items():
                    text = text.replace(f"$({name})", value)
                for mount in container["volumeMounts"]:
                    if mount["name"] in mounted:
                        text = text.replace(mount["mountPath"], str(tmp_path / mounted[mount["name"]]))
                arguments.append(option(text, etc="/none", binary=binary, model=model, data=tmp_path / "data"))
            assert not any("$(" in text or "/etc/" in text for text in arguments), arguments
            site.start(pod, host, binary, *arguments)

        start("lariat-coordinator-0", "lariat-coordinator", "lariat-coordinator")
        for pod in pods:
            start(pod, f"{pod}.lariat-workers", "lariat-worker")
        # As the pods' probes ask.
        for host, port in [("lariat-coordinator", 9400), *((f"{pod}.lariat-workers", 9411) for pod in pods)]:
            site.serves(f"http://{host}:{port}/readyz")
        job = json.loads(site.job("lariat-coordinator:7400", len(pods), tmp_path / "all", token))
        assert {share["worker"] for share in job["shares"]} == set(pods)
        site.web("https://lariat-coordinator:8443", tmp_path / "all/ca.pem", token)


def test_every_example_is_started():
    """A new file beside these needs a test of its own, or this one's knowledge."""
    known = {*(path.relative_to(ROOT).as_posix() for path in SPECIFICATIONS), "Ops/slurm/lariat.sbatch",
             "Ops/systemd/lariat-coordinator.service", "Ops/systemd/lariat-worker@.service"}
    shipped = {path.relative_to(ROOT).as_posix() for pattern in
               ("Cluster/*.yaml", "Ops/slurm/*", "Ops/systemd/*", "Ops/debian/*.yaml") for path in ROOT.glob(pattern)}
    assert shipped == known
