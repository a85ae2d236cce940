"""A command in a pseudo terminal, and what a person would see there: enough of a terminal to follow `lariat top` and
`lariat chat`."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from cluster import PATIENCE, _arguments, environment

# Text, or one control function (ECMA-48): CSI parameters final.
_PIECES = re.compile(r"\x1b\[([?0-9;]*)([@-~])|\x1b(.)|([\r\n\x07\b])|([^\x1b\r\n\x07\b]+)")


class Terminal:
    """Runs `lariat ARGUMENTS` with all three streams on a terminal of this size."""

    def __init__(self, *arguments, columns=80, rows=24, **variables):
        self.main, self.other = pty.openpty()
        self.resize(columns, rows)
        self.settings = termios.tcgetattr(self.other)
        self.cells = {}
        self.row = self.column = 0
        self.modes = {}
        self.said = ""
        self._pending = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *_arguments(arguments)], stdin=self.other, stdout=self.other, stderr=self.other,
            env={**environment(), "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **variables})

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys):
        os.write(self.main, keys.encode())

    def read(self, seconds=0.1):
        """Takes what the command has written, if anything comes within this time."""
        if select.select([self.main], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                self._pending += os.read(self.main, 1 << 16)
        # A character or a control function may be cut in two.
        text = self._pending.decode(errors="ignore")
        kept = self._pending[len(text.encode()):]
        start = text.rfind("\x1b")
        if start >= 0 and not _PIECES.match(text, start):
            kept = text[start:].encode() + kept
            text = text[:start]
        self._pending = kept
        self.said += text
        for parameters, final, _, control, plain in _PIECES.findall(text):
            if plain:
                for character in plain:
                    self.cells[self.row, self.column] = character
                    self.column += 1
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self.row += 1
            elif final in "hl" and parameters.startswith("?"):
                self.modes[parameters[1:]] = final == "h"
                if parameters == "?1049":
                    self.cells, self.row, self.column = {}, 0, 0
            elif final == "A":
                self.row = max(0, self.row - int(parameters or 1))
            elif final == "C":
                self.column += int(parameters or 1)
            elif final == "H":
                self.row = self.column = 0
            elif final == "K":
                self._erase(lambda row, column: row == self.row and column >= self._place)
            elif final == "J":
                everything = parameters == "2"
                self._erase(lambda row, column: everything or (row, column) >= (self.row, self._place))

    @property
    def _place(self):
        """The cursor's column: behind a line that fills the terminal it stands on the last one."""
        return min(self.column, self.columns - 1)

    def _erase(self, chosen):
        self.cells = {place: cell for place, cell in self.cells.items() if not chosen(*place)}

    @property
    def lines(self):
        """What stands on the screen."""
        rows = 1 + max((row for row, _ in self.cells), default=-1)
        columns = 1 + max((column for _, column in self.cells), default=-1)
        return ["".join(self.cells.get((row, column), " ") for column in range(columns)).rstrip()
                for row in range(rows)]

    @property
    def text(self):
        return "\n".join(self.lines)

    def until(self, condition, what, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.read()
            if condition(self):
                return self
            assert self.process.poll() is None or not what, f"the command ended before {what}: {self.said[-2000:]!r}"
        raise AssertionError(f"not within {timeout} s: {what}\n{self.text}")

    def wait(self, timeout=10):
        """The exit code."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the command does not end\n{self.text}"
            self.read()
        self.read()
        return self.process.returncode

    def is_restored(self, modes=None):
        """The first screen, the cursor, wrapping, or these modes, and the line settings as they were."""
        while select.select([self.main], [], [], 0.1)[0]:
            self.read(0)
        return (self.modes == (modes or {"1049": False, "25": True, "7": True})
                and termios.tcgetattr(self.other) == self.settings)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(timeout=10)
        for descriptor in (self.main, self.other):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
