"""The examples that are shipped, on hosts made here: network namespaces with the names and ports of the examples.

What an example says about its hosts cannot be true here. This table is all that is changed in it; the rest, names, addresses,
ports, certificates, tokens and options, stands as it is shipped.
"""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess

import waiting
from hosts import Hosts, run

# In a specification: a pattern of a line, what takes its place, and why.
IN_SPECIFICATIONS = [
    (r"^(\s*model:) \S+", r"\1 {model}", "the model lies where the tests have it"),
    (r"^(\s*data:) \S+", r"\1 {data}", "the journal goes with the test"),
    (r"^(\s*threads:) \d+", r"\1 1", "all hosts of the example are one machine"),
    (r"^ *cores:.*\n", "", "its cores are few"),
    (r"^(\s*memory:) \S+", r"\1 256MiB", "and so is its memory"),
    (r"^(isa:) avx512\b", r"\1 {isa}", "its processor may have less"),
]

# In options of manifests and units: the same.
IN_OPTIONS = [
    (r"^--model=.*", "--model={model}"), (r"^--data=.*", "--data={data}"), (r"^--threads=.*", "--threads=1"),
    (r"^--memory=.*", "--memory=256MiB"), (r"/etc/lariat", "{etc}"), (r"^/usr/bin/lariat$", "{binary}"),
]

PATIENCE = 90


def best_isa(most="avx512"):
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    return most if "avx512bw" in flags else "avx2" if "avx2" in flags else "scalar"


def specification(text, **values):
    """An example with what the table changes."""
    for pattern, instead, _ in IN_SPECIFICATIONS:
        text = re.sub(pattern, instead.format(isa=best_isa(), **values), text, flags=re.M)
    return text


def option(text, **values):
    for pattern, instead in IN_OPTIONS:
        text = re.sub(pattern, instead.format(**values), text)
    return text


class Site:
    """Hosts of these names; every one knows all of them. `client` is one more, from which people ask."""

    def __init__(self, folder, names, binary):
        self.folder, self.binary = pathlib.Path(folder), binary
        self.names = list(names)
        # A host's place: names of namespaces are short.
        self.hosts = Hosts(*(f"h{number}" for number in range(len(self.names))), "client")
        self.processes = {}

    def __enter__(self):
        self.hosts.__enter__()
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        for number, name in enumerate(["client", *self.names]):
            place = self.place(name)
            # An address of an example is that host's own; the others get some of the same network.
            address = name if ":" in name else f"2001:db8::ffff:{number}"
            run("ip", "-n", self.hosts.spaces[place], "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
            if ":" not in name:
                lines.append(f"{self.hosts.addresses[place]} {name} {name.split('.')[0]}")
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
        self.hosts.__exit__()

    def place(self, name):
        return "client" if name == "client" else f"h{self.names.index(name)}"

    def inside(self, name):
        """What to put before a command to run it on that host, which looks names up in the file above."""
        enter = f'mount --bind {self.folder}/hosts /etc/hosts && exec "$@"'
        return [*self.hosts.inside(self.place(name)), "sh", "-c", enter, "-"]

    def environment(self, **more):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LARIAT")}
        return {**kept, "HOME": str(self.folder), **more}

    def start(self, process, host, *command, cwd=None):
        with open(self.log(process), "ab") as log:
            self.processes[process] = subprocess.Popen(
                [*self.inside(host), "setpriv", "--pdeathsig", "KILL", *map(str, command)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=cwd or self.folder, env=self.environment())

    def log(self, process):
        return self.folder / f"{process}.log"

    def logs(self):
        return "\n".join(f"{name}: {self.log(name).read_text()[-2000:]}" for name in self.processes)

    def run(self, *command, host="client", check=True, timeout=PATIENCE, **environment):
        done = subprocess.run(
            [*self.inside(host), *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, cwd=self.folder, env=self.environment(**environment))
        if check:
            said = done.stdout + done.stderr
            assert done.returncode == 0, f"{shlex.join(map(str, command))}: {said}\n{self.logs()}"
        return done

    # What every example must do

    def job(self, coordinator, workers, tls=None, token=None, host="client"):
        """A short job on that many workers. `tls`: the folder of ca.pem and client.pem."""
        options = ["--coordinator", coordinator]
        if tls:
            options += ["--tls-ca", f"{tls}/ca.pem", "--tls-certificate", f"{tls}/client.pem", "--tls-key", f"{tls}/client.key"]
        environment = {"LARIAT_TOKEN": token} if token else {}
        done = self.run(self.binary, "submit", *options, "--max-tokens", "2", "--workers", workers,
                        "The capital of France is", host=host, **environment)
        assert done.stdout.strip(), done.stderr
        shown = self.run(self.binary, "show", *options, "--json", host=host, **environment)
        return shown.stdout

    def page(self, url, ca=None, token=None, host="client"):
        """The status of a page, as curl sees it."""
        shows = ["--header", f"Authorization: Bearer {token}"] if token else []
        trusts = ["--cacert", ca] if ca else []
        return self.run("curl", "--silent", "--show-error", "--max-time", "20", *trusts, *shows, "--output", "/dev/null",
                        "--write-out", "%{http_code}", url, host=host).stdout

    def web(self, url, ca=None, token=None, host="client"):
        """The web port: with the token where there is one, and not without."""
        assert self.page(url + "/v1/models", ca, token, host) == "200", self.logs()
        if token:
            assert self.page(url + "/v1/models", ca, None, host) == "401"

    def serves(self, url, host="client"):
        waiting.until(lambda: self.page(url, host=host) == "200", url, PATIENCE, not_yet=AssertionError)
