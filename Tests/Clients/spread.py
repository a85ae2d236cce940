"""A cluster with one worker on each of several hosts (network namespaces), driven by the command line on one of them."""

import json
import subprocess

import cluster as local
from cluster import BINARY, Cluster, environment, until


class SpreadCluster(Cluster):
    """The coordinator and the first worker live on the first host; every other worker has a host of its own."""

    def __init__(self, folder, hosts, precision="f32", threads=1, **options):
        self.hosts, self.precision, self.threads = hosts, precision, threads
        super().__init__(folder, workers=tuple(hosts.names), **options)

    def write(self):
        at = self.hosts.addresses
        self.home = self.hosts.names[0]
        self.address = f"{at[self.home]}:7400"
        lines = [f"model: {self.model}", f"precision: {self.precision}", "coordinator:", f"  listen: {self.address}",
                 f"  data: {self.data}", "workers:"]
        for worker in self.workers.values():
            worker.listen, worker.ring = f"{at[worker.name]}:7411", f"{at[worker.name]}:7412"
            lines += [f"  - name: {worker.name}", f"    listen: {worker.listen}", f"    ring: {worker.ring}",
                      f"    threads: {self.threads}", f"    memory: {worker.memory}"]
        lines.append(f"insecure: {'false' if self.tls else 'true'}")
        if self.tls:
            lines += ["tls:"] + [f"  {key}: {value}" for key, value in self.tls.items()]
        self.specification.write_text("\n".join(lines) + "\n" + self.extra)

    def host_of(self, name):
        return self.home if name == "coordinator" else name

    def start(self, *names):
        for name in names or ["coordinator", *self.workers]:
            arguments = ["coordinator"] if name == "coordinator" else ["worker", "--name", name]
            with open(self.log(name), "ab") as output:
                self.processes[name] = subprocess.Popen(
                    [*self.hosts.inside(self.host_of(name)), *local._arguments([*arguments, "--spec", self.specification])],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment())
        return self

    def command(self, *arguments, timeout=120, input=""):
        return subprocess.run(
            [*self.hosts.inside(self.home), BINARY, *map(str, arguments), "--coordinator", self.address,
             *self.tls_options()],
            input=input, capture_output=True, text=True, timeout=timeout, env=environment())

    def json(self, *arguments, **options):
        done = self.command(*arguments, "--json", **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def members(self):
        """Names and states, as `lariat doctor` tells them; empty while the coordinator does not answer."""
        done = self.command("doctor", "--json")
        try:
            found = json.loads(done.stdout)
        except json.JSONDecodeError:
            return {}
        cluster = found.get("cluster") or {}
        return {member["name"]: member["state"] for member in cluster.get("members", [])}

    def wait_ready(self, names=None):
        names = sorted(self.workers if names is None else names)

        def ready():
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended: {self.log(name).read_text()}"
            return sorted(name for name, state in self.members().items() if state == "ready") == names

        until(ready, f"workers {names} are ready")
        return self

    def answer(self, prompt, *options, **more):
        """Runs a job to its end and returns its record."""
        done = self.command("submit", *options, "--json", input=prompt, **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def repair(self):
        raise NotImplementedError("tests that break hosts make their own")
