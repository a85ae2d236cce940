"""A cluster with its metrics pages and a Prometheus that reads them, all on loopback."""

import functools
import json
import os
import pathlib
import re
import subprocess
import urllib.parse
import urllib.request

import waiting

# Whatever a proxy is for, it is not for loopback.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


# No connection counts as "not yet".
until = functools.partial(waiting.until, pause=0.2, not_yet=OSError)


class Processes:
    """Processes that end with the test, each with a log in a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._running = {}

    def start(self, name, arguments):
        assert name not in self._running, f"{name} runs already"
        # Settings of whoever runs the tests must not matter.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LARIAT")}
        with open(self.folder / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=environment, cwd=self.folder)

    def kill(self, name):
        process = self._running.pop(name)
        process.kill()
        process.wait(timeout=10)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self._running):
            self.kill(name)


class Cluster(Processes):
    """A coordinator and two workers with TLS. `pages` has the address of each one's metrics."""

    def __init__(self, folder, binary, model, workers=("alpha", "beta")):
        super().__init__(folder)
        self.binary, self.workers = binary, workers
        ports = iter(waiting.free_ports(2 + 3 * len(workers)))
        address = lambda: f"127.0.0.1:{next(ports)}"
        self.address = address()
        self.pages = {"coordinator": address()}
        certificate = lambda name: f"tls: {{ certificate: tls/{name}.pem, key: tls/{name}.key }}"
        lines = [f"model: {model}", "tls: { ca: tls/ca.pem }", "coordinator:", f"  listen: {self.address}",
                 f"  data: {self.folder}/data", f"  {certificate('coordinator')}", "workers:"]
        for name in workers:
            self.pages[name] = address()
            lines += [f"  - name: {name}", f"    listen: {address()}", f"    ring: {address()}", "    threads: 1",
                      "    memory: 1GiB", f"    {certificate(name)}"]
        self.specification = self.folder / "cluster.yaml"
        self.specification.write_text("\n".join([*lines, "lost_after_seconds: 2", ""]))
        subprocess.run([binary, "cluster", "certs", self.specification, "-o", self.folder / "tls"], check=True, timeout=60)

    def start(self, *names):
        for name in names or self.pages:
            role = ["coordinator"] if name == "coordinator" else ["worker", "--name", name]
            super().start(name, [self.binary, *role, "--spec", self.specification, "--metrics", self.pages[name]])
        ready = subprocess.run(
            [self.binary, "doctor", "--ready", "60", "--spec", self.specification], capture_output=True, text=True, timeout=90)
        assert ready.returncode == 0, ready.stdout + ready.stderr
        return self

    def command(self, name, *arguments):
        """Runs a command of lariat's as a client of this cluster."""
        return subprocess.run(
            [self.binary, name, "--coordinator", self.address, "--tls-ca", "tls/ca.pem", "--tls-certificate",
             "tls/client.pem", "--tls-key", "tls/client.key", *map(str, arguments)],
            cwd=self.folder, capture_output=True, text=True, timeout=120)

    def page(self, name):
        with _open(f"http://{self.pages[name]}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def metrics(self):
        """The names of all metrics of all pages, with their types."""
        return dict(found for name in self.pages for found in re.findall(r"^# TYPE (\S+) (\S+)$", self.page(name), re.M))


class Prometheus(Processes):
    """Debian's Prometheus with a data folder of its own."""

    def __init__(self, folder, configuration):
        super().__init__(folder)
        (port,) = waiting.free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.file = self.folder / "prometheus.yaml"
        self.file.write_text(configuration)
        self.start("prometheus", [
            "prometheus", f"--config.file={self.file}", f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=1h", "--log.level=warn"])
        until(self._ready, "Prometheus is ready")

    def _ready(self):
        with _open(f"{self.url}/-/ready", timeout=5) as answer:
            return answer.status == 200

    def get(self, path, **parameters):
        """The data of an answer of its API; an error says what it is."""
        request = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with _open(request, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression):
        """Labels and value of each series."""
        found = self.get("query", query=expression)
        assert found["resultType"] == "vector", expression
        return [(series["metric"], float(series["value"][1])) for series in found["result"]]

    def firing(self):
        """The alerts that fire, as (name, worker) with an empty worker where it has none."""
        return {
            (labels["alertname"], labels.get("worker", ""))
            for labels, _ in self.query('ALERTS{alertstate="firing"}')
        }
