"""Hosts with a real sshd each, in network namespaces, and a specification for them."""

import contextlib
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess

import waiting
from hosts import Hosts, obstacle, run


def ssh_obstacle():
    """Why no hosts with sshd can be made here; None when they can."""
    if not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin"):
        return "sshd is not installed (Ops/setup --tests)"
    return obstacle()


until = functools.partial(waiting.until, pause=0.1)


class SSHHosts:
    """`desk` deploys; the other hosts have an sshd, a home folder of their own and one worker each. The coordinator is
    on the first of them."""

    def __init__(self, folder, binary, model, names=("alpha", "beta")):
        self.folder, self.binary, self.model, self.names = pathlib.Path(folder), binary, model, names
        self.hosts = Hosts("desk", *names)
        self.daemons = {}
        self.key, self.known = self.folder / "key", self.folder / "known"
        self.specification = self.folder / "deploy" / "cluster.yaml"
        self.tls = self.folder / "deploy" / "tls"

    def __enter__(self):
        self.hosts.__enter__()
        self.folder.mkdir(exist_ok=True)
        self.specification.parent.mkdir()
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        for name in self.names:
            home = self.home(name)
            home.mkdir()
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / f"{name}-key")
            (self.folder / f"{name}.conf").write_text("\n".join([
                f"ListenAddress {self.hosts.addresses[name]}", "Port 22", f"HostKey {self.folder}/{name}-key",
                f"AuthorizedKeysFile {self.key}.pub", "StrictModes no", "UsePAM no", "PermitRootLogin yes",
                "PasswordAuthentication no", f"PidFile {self.folder}/{name}.pid", f"SetEnv HOME={home}",
                "Subsystem sftp none", ""]))
            self.start(name)
        self.write()
        return self

    def __exit__(self, *_):
        for daemon in self.daemons.values():
            with contextlib.suppress(ProcessLookupError):
                daemon.send_signal(signal.SIGCONT)
            daemon.kill()
            daemon.wait(timeout=10)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.hosts.__exit__()

    def start(self, name):
        program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        with open(self.folder / f"{name}-sshd.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                [*self.hosts.inside(name), program, "-D", "-e", "-f", self.folder / f"{name}.conf"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: (self.folder / f"{name}.pid").exists(), f"sshd of {name} runs: "
              + (self.folder / f"{name}-sshd.log").read_text())

    def home(self, name):
        return self.folder / f"home-{name}"

    def directory(self, name):
        return self.home(name) / ".lariat"

    def write(self, key=None, model=None, extra="", login=None):
        """The specification; `login` puts other hosts in the place of a worker's."""
        at = self.hosts.addresses
        first = at[self.names[0]]
        lines = [
            f"model: {self.model}", "isa: avx2", "tokens: tokens", "tls: { ca: tls/ca.pem }", "coordinator:",
            f"  listen: {first}:7400", "  data: ~/journal",
            "  tls: { certificate: tls/coordinator.pem, key: tls/coordinator.key }", "workers:"]
        for name in self.names:
            lines += [
                f"  - name: {name}", f"    listen: {at[name]}:7411", f"    ring: {at[name]}:7412", "    threads: 1",
                "    memory: 1GiB", f"    tls: {{ certificate: tls/{name}.pem, key: tls/{name}.key }}"]
            if model and name in model:
                lines.append(f"    model: {model[name]}")
            if login and name in login:
                lines.append(f"    host: {login[name]}")
        lines += [
            "deploy:", f"  binary: {self.binary}",
            f"  ssh: [-i, {key or self.key}, -o, StrictHostKeyChecking=accept-new, -o, UserKnownHostsFile={self.known}, "
            "-o, IdentitiesOnly=yes, -F, none]"]
        self.specification.write_text("\n".join(lines) + "\n" + extra)

    def environment(self, token=None):
        kept = {key: value for key, value in os.environ.items()
                if not key.startswith("LARIAT") and key != "SSH_AUTH_SOCK"}
        return {**kept, **({"LARIAT_TOKEN": token} if token else {})}

    def popen(self, *arguments, token=None, **options):
        """`lariat ARGUMENTS` on the desk."""
        return subprocess.Popen(
            [*self.hosts.inside("desk"), str(self.binary), *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment(token), **options)

    def lariat(self, *arguments, token=None, timeout=180):
        process = self.popen(*arguments, token=token)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def status(self, token=None):
        """`{process: (state, what the coordinator says)}` and the exit code."""
        done = self.lariat("cluster", "status", self.specification, "--json", token=token)
        found = json.loads(done.stdout)
        return {row["name"]: (row["state"], row["cluster"]) for row in found["processes"]}, done

    def client(self):
        return ["--coordinator", f"{self.hosts.addresses[self.names[0]]}:7400", "--tls-ca", self.tls / "ca.pem",
                "--tls-certificate", self.tls / "client.pem", "--tls-key", self.tls / "client.key"]

    def processes(self, text=""):
        """Ids of living processes of this test that name this text."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if str(self.folder) in line and text in line:
                        found.append(int(entry.name))
        return found
