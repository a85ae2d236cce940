"""A worker takes what its affinity and its control groups leave, and is refused when it asks for more than there is."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess

import pytest

import waiting

TINY = pathlib.Path(__file__).parent.parent / "Golden/tiny-phi3-longrope.gguf"
GROUPS = pathlib.Path("/sys/fs/cgroup")
CORES = sorted(os.sched_getaffinity(0))
MEMORY = 512 << 20


def environment(folder):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LARIAT")}
    return {**kept, "HOME": str(folder)}


def doctor(binary, folder, *before, address="127.0.0.1:1"):
    done = subprocess.run([*before, binary, "doctor", "--json", "--coordinator", address], capture_output=True, text=True,
                          timeout=60, env=environment(folder))
    return json.loads(done.stdout)


@contextlib.contextmanager
def running(binary, folder, *before, options=()):
    """A coordinator, and a worker behind the words `before`: the worker as the coordinator knows it."""
    at = [f"127.0.0.1:{port}" for port in waiting.free_ports(3)]
    commands = {
        "coordinator": ["coordinator", "--listen", at[0], "--data", folder / "data", "--model", TINY],
        "worker": ["worker", "--name", "a", "--listen", at[1], "--ring", at[2], "--coordinator", at[0], "--model", TINY,
                   *options]}
    processes = []
    try:
        for name, command in commands.items():
            with open(folder / f"{name}.log", "wb") as log:
                processes.append(subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *(before if name == "worker" else ()), binary, *map(str, command)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(folder)))

        def joined():
            assert processes[1].poll() is None, (folder / "worker.log").read_text()
            members = (doctor(binary, folder, address=at[0])["cluster"] or {}).get("members", [])
            return next((member for member in members if member["state"] == "ready"), None)

        yield waiting.until(joined, "the worker is in the cluster")
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)


def test_affinity(binary, tmp_path):
    first = ["taskset", "-c", str(CORES[0])]
    machine = doctor(binary, tmp_path, *first)["machine"]
    assert machine["cores"] == 1
    if machine["host_cores"] > 1:
        assert machine["cores_text"] == f"1 of {machine['host_cores']}, by affinity"
    with running(binary, tmp_path, *first) as member:
        assert (member["threads"], member["host_cores"]) == (1, 1)
    with running(binary, tmp_path) as member:
        assert member["threads"] == member["host_cores"] <= len(CORES)


class Group:
    """Control groups of half a processor and 512 MiB, in version 1 or 2."""

    def __init__(self, version):
        self.name = f"lariat-test-{os.getpid()}"
        if version == 1:
            self.files = {"cpu": {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": 50_000},
                          "memory": {"memory.limit_in_bytes": MEMORY}}
            self.folders = {controller: GROUPS / controller / self.name for controller in self.files}
        else:
            root = next((root for root in (GROUPS, GROUPS / "unified") if (root / "cgroup.controllers").exists()), None)
            if root is None:
                pytest.skip("control groups of version 2 are not mounted here")
            enabled = (root / "cgroup.subtree_control").read_text().split()
            if not {"cpu", "memory"} <= set(enabled):
                pytest.skip(f"version 2 has no controllers for cpu and memory here: {enabled or 'none'}")
            self.files = {"": {"cpu.max": "50000 100000", "memory.max": MEMORY}}
            self.folders = {"": root / self.name}

    def __enter__(self):
        made = []
        try:
            for key, folder in self.folders.items():
                folder.mkdir()
                made.append(folder)
                for file, value in self.files[key].items():
                    (folder / file).write_text(str(value))
        except OSError as error:
            for folder in made:
                folder.rmdir()
            pytest.skip(f"no control group can be made here: {error}")
        return self

    def __exit__(self, *_):
        for folder in self.folders.values():
            def leave():
                folder.rmdir()
                return True
            waiting.until(leave, f"{folder} is empty", not_yet=OSError)

    @property
    def enter(self):
        """What to put before a command to run it in the groups."""
        writes = " && ".join(f'echo $$ >"{folder}/cgroup.procs"' for folder in self.folders.values())
        return ["sh", "-c", f'{writes} && exec "$@"', "-"]


@pytest.mark.parametrize("version", [1, 2])
def test_control_groups(binary, tmp_path, version):
    with Group(version) as group:
        machine = doctor(binary, tmp_path, *group.enter)["machine"]
        assert machine["cores"] == 1 and machine["memory_bytes"] == MEMORY
        assert machine["cores_text"] == (
            f"1 of {machine['host_cores']}: control group /{group.name} gives the time of 0.50"), machine
        assert machine["memory_text"].startswith("512 MiB of ")
        assert machine["memory_text"].endswith(f", by control group /{group.name}")
        with running(binary, tmp_path, *group.enter) as member:
            assert (member["threads"], member["host_cores"]) == (1, 1)
            assert MEMORY // 4 < member["memory_bytes"] <= MEMORY // 2, member
        # More than the group has.
        for options, words in ((["--memory", "600MiB"], ["600 MiB", "512 MiB of"]), (["--threads", "2"], ["2 threads", "0.50"])):
            done = refusal(binary, tmp_path, *options, before=group.enter)
            assert done.returncode == 64 and all(word in done.stderr for word in words), done.stderr


def refusal(binary, folder, *options, before=()):
    ports = waiting.free_ports(2)
    return subprocess.run(
        [*before, binary, "worker", "--listen", f"127.0.0.1:{ports[0]}", "--ring", f"127.0.0.1:{ports[1]}", "--coordinator",
         "127.0.0.1:1", "--model", TINY, *options], capture_output=True, text=True, timeout=60, env=environment(folder))


def test_more_than_there_is(binary, tmp_path):
    machine = doctor(binary, tmp_path)["machine"]
    for options, words in (
        (["--threads", "1000"], ["1000 threads", f": {machine['host_cores']}"]),
        (["--memory", "4800TiB"], ["4.69 PiB for keys and values beside a model of", machine["memory_text"]]),
        (["--cores", "1000"], ["core 1000"]),
        (["--memory", f"{machine['host_memory_bytes']}B"], ["beside a model of 1.73 MiB"]),
    ):
        done = refusal(binary, tmp_path, *options)
        assert done.returncode == 64 and "--force" in done.stderr, done.stderr
        assert all(word in done.stderr for word in words), done.stderr
    with running(binary, tmp_path, options=["--threads", len(CORES) + 1, "--force"]) as member:
        assert member["threads"] == len(CORES) + 1
    assert "more than there is" in (tmp_path / "worker.log").read_text()
    # A specification: told by check where the worker runs, and forced by its own word.
    ports = waiting.free_ports(3)
    text = (f"model: {TINY}\ncoordinator: {{ listen: 127.0.0.1:{ports[0]} }}\nworkers:\n"
            f"  - {{ name: a, listen: 127.0.0.1:{ports[1]}, ring: 127.0.0.1:{ports[2]}, memory: 900TiB, threads: 1 }}\n")
    file = tmp_path / "cluster.yaml"

    def check(*here):
        return subprocess.run([binary, "cluster", "check", file, *here], capture_output=True, text=True, timeout=60)

    file.write_text(text)
    assert check().returncode == 0, "elsewhere there may be as much"
    done = check("--here", "a")
    assert done.returncode == 1 and "a: 900 TiB for keys and values" in done.stderr, done.stderr
    file.write_text(text.replace("threads: 1", "threads: 1, force: true"))
    assert check("--here", "a").returncode == 0
