"""Real Lariat processes for the tests: start, wait, kill, restart and always clean up. Loopback only."""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
import urllib.request

import grpc
import lariat_pb2 as pb
import lariat_pb2_grpc as rpc
import waiting
from waiting import free_ports

BINARY = os.environ["LARIAT"]
MODEL = os.environ["LARIAT_TEST_MODEL"]
GOLDEN = pathlib.Path(__file__).parent.parent / "Golden"

# How long anything that should simply happen may take on a loaded machine.
PATIENCE = 180

QUEUED, PREFILL, DECODE = pb.QUEUED, pb.PREFILL, pb.DECODE
SUCCEEDED, FAILED, CANCELLED = pb.SUCCEEDED, pb.FAILED, pb.CANCELLED
OVER = (SUCCEEDED, FAILED, CANCELLED)


def golden_tokens(count):
    """The first tokens of a real text (the King James Bible), at most 8192."""
    return json.loads((GOLDEN / "smollm2-nll.json").read_text())[-1]["tokens"][:count]


def until(condition, what, timeout=PATIENCE):
    """The same for what asks a coordinator, which may not answer yet."""
    return waiting.until(condition, what, timeout, not_yet=grpc.RpcError)


def _arguments(arguments, open_files=None):
    # Whatever ends pytest, nothing stays behind. (Not by preexec_fn: that forks gRPC's threads half.)
    limit = ["prlimit", f"--nofile={open_files}:{open_files}"] if open_files else []
    return ["setpriv", "--pdeathsig", "KILL", *limit, BINARY, *map(str, arguments)]


def environment():
    """The test's own settings only: a user's LARIAT_* must not matter."""
    return {key: value for key, value in os.environ.items() if not key.startswith("LARIAT")}


def spawn(arguments, log, open_files=None):
    """Starts `lariat ARGUMENTS`, with a limit of open files, soft and hard, if one is given."""
    with open(log, "ab") as output:
        return subprocess.Popen(
            _arguments(arguments, open_files), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment())


def lives(pid):
    """Whether this process runs. A zombie does not."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def processes_naming(text):
    """Ids of the living processes whose command line holds this text."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if str(text).encode() in (entry / "cmdline").read_bytes() and lives(entry.name):
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


class Worker:
    def __init__(self, name, ports, memory="1GiB", model=None):
        self.name, self.memory, self.model = name, memory, model
        self.listen, self.ring = (f"127.0.0.1:{port}" for port in ports)


class Cluster:
    """One cluster specification in a folder and the processes that run it."""

    # Those that are not closed, for the report of a failed test.
    open_ones = []

    def __init__(self, folder, workers=("alpha", "beta"), memory="1GiB", model=MODEL, models=None, extra="",
                 data=None, tls=None, guarded=False, open_files=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.specification = self.folder / "cluster.yaml"
        self.data = pathlib.Path(data) if data else self.folder / "data"
        ports = free_ports(3 + 2 * len(workers))
        self.address, self.web_address, self.metrics = (f"127.0.0.1:{port}" for port in ports[:3])
        self.workers = {
            name: Worker(name, ports[3 + 2 * i:5 + 2 * i], memory, (models or {}).get(name))
            for i, name in enumerate(workers)
        }
        self.model, self.extra, self.tls = model, extra, tls
        self.web = f"{'https' if tls else 'http'}://{self.web_address}"
        # One token for each role; the tests' own calls are the administrator's.
        self.tokens = {role: "lariat-" + secrets.token_urlsafe(32) for role in ("read", "submit", "admin")}
        self.guarded, self.token = guarded, self.tokens["admin"]
        self.open_files = open_files
        self.processes = {}
        self._channels = []
        self.write()
        Cluster.open_ones.append(self)

    def write(self):
        lines = [
            f"model: {self.model}", "coordinator:", f"  listen: {self.address}", f"  data: {self.data}",
            f"  web: {self.web_address}", f"  metrics: {self.metrics}", "workers:",
        ]
        for worker in self.workers.values():
            lines += [
                f"  - name: {worker.name}", f"    listen: {worker.listen}", f"    ring: {worker.ring}",
                "    threads: 1", f"    memory: {worker.memory}",
            ]
            if worker.model:
                lines.append(f"    model: {worker.model}")
        if self.tls:
            lines += ["tls:"] + [f"  {key}: {value}" for key, value in self.tls.items()]
        if self.guarded:
            file = self.folder / "tokens"
            file.touch(0o600)
            file.write_text("".join(f"{role}s {role} {hashlib.sha256(token.encode()).hexdigest()}\n"
                                    for role, token in self.tokens.items()))
            lines.append(f"tokens: {file}")
        self.specification.write_text("\n".join(lines) + "\n" + self.extra)

    # Processes

    def log(self, name):
        return self.folder / f"{name}.log"

    def start(self, *names):
        """Starts these processes; all of them without names."""
        for name in names or ["coordinator", *self.workers]:
            assert not self.is_running(name), f"{name} runs already"
            arguments = ["coordinator"] if name == "coordinator" else ["worker", "--name", name]
            self.processes[name] = spawn(
                [*arguments, "--spec", self.specification], self.log(name), self.open_files)
        return self

    def is_running(self, name):
        return name in self.processes and self.processes[name].poll() is None and lives(self.processes[name].pid)

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def kill(self, *names):
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes.pop(name).wait(timeout=10)

    def wait_ready(self, names=None):
        """Waits until exactly these workers can take a job."""
        names = sorted(self.workers if names is None else names)

        def ready():
            for name in ["coordinator", *names]:
                process = self.processes.get(name)
                assert process is None or process.poll() is None, f"{name} ended: {self.log(name).read_text()}"
            return sorted(m.name for m in self.state().members if m.state == pb.Member.READY) == names

        until(ready, f"workers {names} are ready")
        return self

    def repair(self):
        """Whatever a test did: afterwards everything runs again and no job is left."""
        for name in ["coordinator", *self.workers]:
            if name in self.processes:
                with contextlib.suppress(ProcessLookupError):
                    self.signal(name, signal.SIGCONT)
            if not self.is_running(name):
                self.start(name)
        until(self.state, "the coordinator answers")
        for job in self.stub().ListJobs(pb.ListJobsRequest(active_only=True), timeout=10).jobs:
            self.stub().Cancel(pb.JobRequest(id=job.id), timeout=20)
        self.wait_ready()

    def close(self):
        if self in Cluster.open_ones:
            Cluster.open_ones.remove(self)
        for channel in self._channels:
            channel.close()
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.processes.values():
            process.wait(timeout=10)
        for pid in processes_naming(self.specification):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # gRPC

    def credentials(self):
        if not self.tls:
            return None
        read = lambda key: pathlib.Path(self.tls[key]).read_bytes()
        return grpc.ssl_channel_credentials(read("ca"), read("key"), read("certificate"))

    def channel(self, address=None):
        # A channel of its own each time: no connection state and no back-off of an earlier test.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200),
                   ("grpc.enable_http_proxy", 0)]
        address, credentials = address or self.address, self.credentials()
        channel = (grpc.secure_channel(address, credentials, options) if credentials
                   else grpc.insecure_channel(address, options))
        self._channels.append(channel)
        return grpc.intercept_channel(channel, _Shows(self.token)) if self.guarded else channel

    def stub(self):
        if not getattr(self, "_stub", None):
            self._stub = rpc.CoordinatorStub(self.channel())
        return self._stub

    def metric(self, name, **labels):
        """The value of a metric on the coordinator's page: the sum over all series with these labels."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [line for line in lines if line.split("{")[0].split(" ")[0] == name and all(w in line for w in wanted)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def state(self):
        return self.stub().GetCluster(pb.ClusterRequest(), timeout=20)

    def submit(self, text=None, tokens=None, **options):
        """On all workers, unless the options say otherwise: a short job would take one."""
        options.setdefault("workers", len(self.workers))
        return self.stub().Submit(parts(text, tokens, **options), timeout=20)

    def job(self, job):
        return self.stub().GetJob(pb.JobRequest(id=job.id if hasattr(job, "id") else job), timeout=10)

    def attach(self, job, from_event=1):
        return list(self.stub().Attach(pb.AttachRequest(id=job.id, from_event=from_event), timeout=100))

    def finished(self, job, timeout=PATIENCE):
        """Waits for the job's end and returns it."""
        def over():
            now = self.job(job)
            return now if now.state in OVER else None
        return until(over, f"job {getattr(job, 'id', job)} is over", timeout)

    def when(self, job, condition, what):
        """Waits until the job looks like this; fails at once if it ends before."""
        def look():
            now = self.job(job)
            if condition(now):
                return now
            assert now.state not in OVER, f"{job.id} ended before {what}: {now.reason or pb.JobState.Name(now.state)}"
            return None
        return until(look, what)

    def run(self, text="The capital of France is", **options):
        """A short job from submission to success: the proof that the cluster works."""
        options.setdefault("max_tokens", 5)
        job = self.finished(self.submit(text, **options))
        assert job.state == SUCCEEDED, job.reason
        return job

    # Command line

    def tls_options(self):
        return [part for key, value in (self.tls or {}).items() for part in (f"--tls-{key}", str(value))]

    def command(self, *arguments, **options):
        return command(*arguments, "--coordinator", self.address, *self.tls_options(), *self.token_options(),
                       **options)

    def token_options(self):
        if not self.guarded:
            return []
        file = self.folder / "token"
        file.write_text(self.token)
        return ["--token-file", str(file)]

    def open_command(self, *arguments, **options):
        """A command that goes on while the test looks at it. The caller ends it."""
        return subprocess.Popen(
            _arguments([*arguments, "--coordinator", self.address, *self.tls_options()]),
            stdin=subprocess.DEVNULL, env=environment(), **options)


class _Shows(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor,
             grpc.StreamStreamClientInterceptor):
    """Shows a token with every call."""

    def __init__(self, token):
        self.token = token

    def _call(self, go, details, request):
        details = collections.namedtuple("Details", "method timeout metadata credentials wait_for_ready compression")(
            details.method, details.timeout, [*(details.metadata or ()), ("authorization", f"Bearer {self.token}")],
            details.credentials, details.wait_for_ready, details.compression)
        return go(details, request)

    intercept_unary_unary = intercept_unary_stream = _call
    intercept_stream_unary = intercept_stream_stream = _call


def parts(text=None, tokens=None, part_size=1 << 19, **options):
    """The stream of a submission: options first, then the prompt in pieces."""
    options.setdefault("kind", pb.GENERATE)
    yield pb.SubmitPart(options=pb.JobOptions(**options))
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        for at in range(0, len(data), part_size):
            yield pb.SubmitPart(text=data[at:at + part_size])
    if tokens is not None:
        for at in range(0, len(tokens), 4096):
            yield pb.SubmitPart(tokens=tokens[at:at + 4096])


def command(*arguments, timeout=PATIENCE, input=""):
    """Runs `lariat ARGUMENTS` to its end."""
    return subprocess.run(
        _arguments(arguments), input=input, capture_output=True, text=True, timeout=timeout, env=environment())


def refused(result, *words, code=None):
    """Checks that a command failed in words that say why: no success, no crash, these words on standard error."""
    said = result.stderr + result.stdout
    assert result.returncode > 0, f"exit code {result.returncode}: {said}"
    if code is not None:
        assert result.returncode == code, f"exit code {result.returncode}: {said}"
    for word in words:
        assert str(word).lower() in result.stderr.lower(), f"{word!r} is not in: {said}"
    assert "Fatal error" not in said
    return result.stderr
