"""The commands of a document, in order: indented blocks and fenced ones that are shell.

A block is shell if its first line begins with a program, a path or an assignment; another block is a listing. Python is run,
too. What cannot run in a test is marked in the text, in a way that serves its readers:

    sbatch --nodes 8 job.sh            # needs Slurm
    # needs root
    systemctl restart lariat-worker

A comment that begins with "needs" marks its line, or, on a line of its own, all that follow in the block up to the next such
comment or a blank line.
"""

import dataclasses
import pathlib
import re
import shlex
import shutil

SHELLS = {"sh", "bash", "console", "shell"}
# Programs of other hosts, which need not be here for a line to be a command.
FOREIGN = {"lariat", "apt", "kubectl", "sbatch", "systemctl", "journalctl", "podman", "promtool", "sqlite3", "swift", "ollama",
           "nginx"}


@dataclasses.dataclass
class Block:
    document: str
    line: int
    language: str
    lines: list


@dataclasses.dataclass
class Command:
    document: str
    line: int
    text: str
    # What it needs that a test does not have; None: it runs.
    needs: str | None = None

    def __str__(self):
        return f"{self.document}:{self.line}: {self.text}"


def blocks(path, root):
    """All code blocks of a document."""
    lines = path.read_text().splitlines()
    name = path.relative_to(root).as_posix()
    found, at = [], 0
    while at < len(lines):
        fence = re.match(r"^( *)(`{3,}|~{3,})(\w*)", lines[at])
        if fence:
            end = at + 1
            while end < len(lines) and not lines[end].strip().startswith(fence.group(2)):
                end += 1
            found.append(Block(name, at + 2, fence.group(3), [line[len(fence.group(1)):] for line in lines[at + 1:end]]))
            at = end + 1
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            indent = min(len(line) - len(line.lstrip()) for line in lines[at:end] if line.strip())
            found.append(Block(name, at + 1, "", [line[indent:] for line in lines[at:end]]))
            at = end
        else:
            at += 1
    return found


def language(block):
    """`sh`, `python`, or `text` for a listing."""
    if block.language:
        return "sh" if block.language in SHELLS else block.language
    first = next((line for line in block.lines if line.strip() and not line.startswith("#")), "")
    if any(ord(character) >= 0x2500 and ord(character) < 0x2600 for line in block.lines for character in line):
        return "text"
    if re.match(r"(from \w+ )?import \w", first):
        return "python"
    word = first.split(" ")[0]
    is_program = word in FOREIGN or "/" in word and ":" not in word or re.match(r"\w+=", word) or shutil.which(word) \
        or word in ("export", "cd", "exec")
    return "sh" if is_program and first else "text"


def commands(block):
    """The commands of a shell block, lines that go on joined."""
    found, needs, at = [], None, 0
    while at < len(block.lines):
        start, text = at, block.lines[at]
        while text.endswith("\\") and at + 1 < len(block.lines):
            at += 1
            text = text[:-1].rstrip() + " " + block.lines[at].strip()
        at += 1
        comment = re.match(r"#\s*(.*)", text)
        if comment:
            needs = comment.group(1) if comment.group(1).startswith("needs ") else None
        elif not text.strip():
            needs = None
        else:
            own = re.search(r"\s#\s*(needs .*)$", text)
            found.append(Command(block.document, block.line + start, text.strip(), own.group(1) if own else needs))
    return found


def lariat_calls(text):
    """The words of each `lariat ...` in a shell line."""
    words = shlex.split(text.replace("$(", " ").replace("`", " "), comments=True)
    found, current = [], None
    for before, word in zip(["", *words], words):
        if word in ("|", "&&", "||", ";"):
            current = None
        elif word == "lariat" and before in ("", "|", "&&", "||", ";", "--", "exec"):
            current = []
            found.append(current)
        elif current is not None:
            current.append(word)
    return found


def inline(path, root):
    """`lariat ...` in running text, with the line."""
    name = path.relative_to(root).as_posix()
    prose = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        prose.append((number, "" if line.startswith("    ") else line))
    text = "\n".join(line for _, line in prose)
    found = []
    for match in re.finditer(r"`(lariat [^`]+)`", text):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Command(name, line, " ".join(match.group(1).split())))
    return found
