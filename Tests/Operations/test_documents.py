"""The commands of README.md, Ops/README.md and Cluster/README.md run as they stand, in their order.

They run on a host of their own (a network namespace with the documents' addresses), in a new home folder that looks like a
checkout. `documents.py` says how a command that cannot run here is marked in the text. What stands in these tables is all that
is changed.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

import documents
from hosts import obstacle, run

ROOT = pathlib.Path(__file__).parent.parent.parent
DOCUMENTS = ["README.md", "Ops/README.md", "Cluster/README.md"]

# A pattern of a command, what runs in its place, and why.
CHANGED = [
    (r"^swift build -c release --product lariat\b.*", 'test -x "$(command -v lariat)"', "the program under test is built"),
    (r"--threads \d+", "--threads 1", "this machine has few cores"),
    (r"--memory \S+", "--memory 256MiB", "and little memory"),
    (r"/var/lib/lariat/coordinator", "data", "the journal goes with the test"),
    (r"/var/lib/lariat\b", "data-by-hand", "the same"),
    (r"/backup/", "./", "the same"),
    (r"--lengths [\d,]+", "--lengths 256,320", "the model is tiny"),
    (r"--to \d+", "--to 128", "the same"),
    (r"--budget \S+", "--budget 4s", "hours are too long"),
    (r"^lariat bench prefill\b", "lariat bench prefill --tokens 64 --repeat 1", "so are minutes"),
    (r"^lariat submit ", "lariat submit --max-tokens 8 ", "answers are long, and the machine may be busy"),
    (r"^lariat ask ", "lariat ask --max-tokens 8 ", "the same"),
    # `q` after a moment, in a terminal.
    (r"^lariat top\b", "(sleep 4; printf q) | script --quiet --return --command 'lariat top' /dev/null #", "it wants a person"),
    # What systemd would start.
    (r"^systemctl enable --now lariat-coordinator\b.*", "lariat coordinator --spec cluster.yaml", "no systemd runs here"),
    (r"^systemctl enable --now lariat-worker@(\w+).*", r"lariat worker --spec cluster.yaml --name \1", "the same"),
]

# Programs that go on until they are stopped: what they say when they are ready.
SERVERS = [(r"^lariat up ", "ready:"), (r"^lariat coordinator ", "serv|listen"), (r"^lariat worker ", "joined the cluster")]

WORDS = ["the", "ring", "of", "a", "rope", "is", "long", "and", "its", "blocks", "turn", "round"]


def texts():
    """Files that the commands name: of a few hundred words, so that the tiny model takes them."""
    yield "book.txt", "The butler did it. " * 12
    for number, name in enumerate("abc"):
        yield f"{name}.txt", " ".join(WORDS[(i * i + 3 * i * number) % len(WORDS)] for i in range(600))


SPECIFICATION = """\
model: model.gguf
coordinator: { listen: 127.0.0.1:7500, data: data, tls: { certificate: coordinator.pem, key: coordinator.key } }
workers:
  - { name: beta, listen: 127.0.0.1:7511, ring: 127.0.0.1:7512, memory: 256MiB, threads: 1,
      tls: { certificate: beta.pem, key: beta.key } }
tls: { ca: ca.pem }
"""


def changed(command):
    for pattern, instead, _ in CHANGED:
        command = re.sub(pattern, instead, command)
    return command


class Home:
    """A folder that looks like a checkout to the commands, on a host with the documents' addresses."""

    def __init__(self, folder, binary, model):
        self.folder = folder
        self.space = f"lariat-documents-{os.getpid()}"
        tiny = ROOT / "Tests/Golden/tiny-phi3-longrope.gguf"
        (folder / "bin").mkdir()
        (folder / "bin/lariat").symlink_to(binary)
        shutil.copytree(ROOT / "Cluster", folder / "Cluster")
        (folder / "Ops").symlink_to(ROOT / "Ops")
        (folder / "model.gguf").symlink_to(tiny)
        (folder / ".cache/lariat/models").mkdir(parents=True)
        (folder / ".cache/lariat/models/SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(model)
        for name, text in texts():
            (folder / name).write_text(text)
        (folder / "cluster.yaml").write_text(SPECIFICATION)
        self.sessions = []

    def __enter__(self):
        run("ip", "netns", "add", self.space)
        run("ip", "-n", self.space, "link", "set", "lo", "up")
        for address in ("10.0.0.1", "10.0.0.2"):
            run("ip", "-n", self.space, "addr", "add", f"{address}/32", "dev", "lo")
        return self

    def __exit__(self, *_):
        self.stop()
        run("ip", "netns", "delete", self.space, check=False)

    def stop(self):
        """Ends what still runs of a document."""
        for session in self.sessions:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(session, number)
                except ProcessLookupError:
                    break
                deadline = time.monotonic() + 15
                while time.monotonic() < deadline and _lives(session):
                    time.sleep(0.1)
        self.sessions = []

    def run(self, block, script, timeout=500):
        """Runs the lines of a block in one shell. Returns for each the exit code and what it said."""
        work = self.folder / "said" / f"{block.document.replace('/', '-')}-{block.line}"
        work.mkdir(parents=True)
        lines = []
        for number, text in enumerate(script):
            server = next((said for pattern, said in SERVERS if re.match(pattern, text)), None)
            out = f"'{work}/{number}'"
            if server:
                lines += [f"{{ {text}\n}} >{out} 2>&1 & pid=$!",
                          f"for _ in $(seq 300); do grep -Eiq '{server}' {out} && break; kill -0 $pid || break; sleep 0.2; done",
                          f"grep -Eiq '{server}' {out}; echo $? >{out}.rc"]
            else:
                lines.append(f"{{ {text}\n}} >{out} 2>&1 </dev/null; echo $? >{out}.rc")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LARIAT")}
        environment |= {"HOME": str(self.folder), "PATH": f"{self.folder}/bin:{environment['PATH']}", "TERM": "xterm"}
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.space, "bash", "-c", "\n".join(lines)], cwd=self.folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.sessions.append(process.pid)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
        results = []
        for number in range(len(script)):
            code = work / f"{number}.rc"
            said = (work / str(number)).read_text(errors="replace") if (work / str(number)).exists() else ""
            results.append((int(code.read_text()) if code.exists() else None, said))
        return results


def _lives(session):
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in "ZX":
                return True
    return False


@pytest.mark.skipif(obstacle() is not None, reason=f"no host of their own can be made: {obstacle()}")
@pytest.mark.timeout(1200)
def test_they_run(tmp_path, binary, model, capsys):
    failed, ran, marked, listings = [], 0, 0, 0
    folder = tmp_path / "home"
    folder.mkdir()
    with Home(folder, binary, model) as home:
        for document in DOCUMENTS:
            for block in documents.blocks(ROOT / document, ROOT):
                kind = documents.language(block)
                if kind == "python":
                    program = folder / f"block-{block.line}.py"
                    program.write_text("\n".join(block.lines))
                    commands = [documents.Command(document, block.line, f"{sys.executable} {program}")]
                elif kind == "sh":
                    commands = documents.commands(block)
                else:
                    listings += 1
                    continue
                marked += sum(command.needs is not None for command in commands)
                commands = [command for command in commands if command.needs is None]
                for command, (code, said) in zip(commands, home.run(block, [changed(c.text) for c in commands])):
                    ran += 1
                    if code != 0:
                        failed.append(f"{command}\n  exit code {code}: {said[-1500:]}")
            home.stop()
    with capsys.disabled():
        print(f"\ncommands of {', '.join(DOCUMENTS)}: {ran} ran, {marked} are marked as what cannot run here; "
              f"{listings} listings")
    assert not failed, "\n".join(failed)
    assert ran > marked


def understood(binary, words):
    """Why the program would not take this command line; None: it would. Values are not looked at."""
    names = [word for word in words if not word.startswith("-")]
    listed = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=60).stdout
    if not names or names[0] in ("help", "COMMAND") or words[0].startswith("-"):
        return None
    if not re.search(rf"^  {re.escape(names[0])} ", listed, re.M):
        return f"there is no command {names[0]}"
    path = names[:1]
    help = subprocess.run([binary, "help", *path], capture_output=True, text=True, timeout=60).stdout
    if len(names) > 1 and "SUBCOMMANDS:" in help:
        if not re.search(rf"^  {re.escape(names[1])} ", help, re.M):
            return f"there is no command {names[0]} {names[1]}"
        path = names[:2]
        help = subprocess.run([binary, "help", *path], capture_output=True, text=True, timeout=60).stdout
    for word in words:
        option = word.split("=")[0]
        if re.match(r"--?[a-z]", option) and not re.search(rf"(^|[\s,/]){re.escape(option)}(?![\w-])", help, re.M):
            return f"{' '.join(path)} has no option {option}"
    return None


def test_they_are_understood(binary):
    """Marked commands too, and those in running text."""
    wrong, seen = [], 0
    for document in DOCUMENTS:
        path = ROOT / document
        found = documents.inline(path, ROOT)
        for block in documents.blocks(path, ROOT):
            if documents.language(block) == "sh":
                found += documents.commands(block)
        for command in found:
            for words in documents.lariat_calls(command.text):
                seen += 1
                problem = understood(binary, words)
                if problem:
                    wrong.append(f"{command}: {problem}")
    assert not wrong, "\n".join(wrong)
    assert seen > 40


def test_marks_and_blocks_are_found(tmp_path):
    (tmp_path / "a.md").write_text("""# A
text `lariat jobs
--all` and

    # needs root
    systemctl a
    systemctl b     # needs two
    # a remark
    lariat show

    lariat a \\
        --b c       # needs more

1. One

       kubectl d

   more

    ann submit 00

```python
import os
```
    """)
    blocks = documents.blocks(tmp_path / "a.md", tmp_path)
    assert [documents.language(block) for block in blocks] == ["sh", "sh", "text", "python"]
    found = [command for block in blocks[:2] for command in documents.commands(block)]
    assert [(c.line, c.text.split("#")[0].strip(), c.needs) for c in found] == [
        (6, "systemctl a", "needs root"), (7, "systemctl b", "needs two"), (9, "lariat show", None),
        (11, "lariat a --b c", "needs more"), (16, "kubectl d", None)]
    assert [c.text for c in documents.inline(tmp_path / "a.md", tmp_path)] == ["lariat jobs --all"]
    assert documents.lariat_calls("exec lariat up x --y | lariat jobs # lariat z") == [["up", "x", "--y"], ["jobs"]]
