"""What the benchmarks share: their common options, running a program under a time limit and reading the JSON it prints,
`lariat bench`, the state of the machine, tables."""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL_BYTES = 97_700_000  # the model of Ops/model, on which the time limits were measured


def fail(message):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {message}")


# --- options ----------------------------------------------------------------------------------------------------------

def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def numbers(least):
    """Reads '512,2048' or 'none', each number `least` or more."""
    def read(text):
        if text == "none":
            return []
        try:
            found = [int(part) for part in text.split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is neither whole numbers with commas between them nor 'none'")
        if min(found) < least:
            raise argparse.ArgumentTypeError(f"{min(found)} is not {least} or more")
        return found
    return read


def options(description, lengths):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", metavar="FILE", help="GGUF file; without it, the one Ops/model fetches")
    parser.add_argument("--lariat", metavar="PATH", help="a built lariat; without it, one is built from this repository")
    parser.add_argument("--threads", type=positive, default=2, metavar="N", help="threads of each program (2)")
    parser.add_argument("--lengths", type=numbers(1), default=numbers(1)(lengths), metavar="N,N",
                        help=f"prefill lengths in tokens, or none ({lengths})")
    parser.add_argument("--json", metavar="FILE", help="write every run and figure to this file, too")
    return parser


def executable(path):
    found = pathlib.Path(path).resolve()
    if not (found.is_file() and os.access(found, os.X_OK)):
        fail(f"{path} is not a program that can be run: check the path, or leave the option out to have it built")
    return str(found)


def prepared(*command):
    """The last line that one of this repository's scripts prints."""
    outcome = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if outcome.returncode != 0:
        fail(f"`{' '.join(command)}` failed: what it said is above")
    return outcome.stdout.splitlines()[-1] if outcome.stdout else ""


def model_file(given):
    path = pathlib.Path(given or prepared("Ops/model")).resolve()
    if not path.is_file():
        fail(f"{given} does not exist: give a GGUF file, or leave --model out to fetch a small one")
    return str(path)


# --- running ----------------------------------------------------------------------------------------------------------

def time_limit(tokens, model):
    """Seconds after which a run of so many tokens is given up: five times what llama.cpp needs on two quiet cores."""
    size = max(1, os.path.getsize(model) / MODEL_BYTES)
    return 60 + 5 * size * tokens * (0.0021 + 4.3e-7 * tokens)


def run_json(command, limit):
    """Runs a program and reads what it prints as JSON. It and its own children are ended when it takes too long, and
    when this script is stopped."""
    shown = " ".join(command)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        fail(f"`{shown}` was not done after {limit:.0f} s and was stopped.\n"
             "Try again when less else runs on this machine, or with smaller --lengths and --depths.")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        said = errors.strip().splitlines()[-15:] or ["(nothing)"]
        fail("\n  ".join([f"`{shown}` failed with status {process.returncode} and said:", *said]))
    try:
        return json.loads(output)
    except ValueError:
        fail(f"`{shown}` did not print JSON but:\n  {output.strip()[:400] or '(nothing)'}")


class Lariat:
    """`lariat bench`, one figure a call."""

    name = "Lariat"

    def __init__(self, given, model, threads):
        if given is None:
            prepared("Ops/setup")
            print("Building Lariat ...", file=sys.stderr)
            build = ["swift", "build", "-c", "release", "--product", "lariat"]
            if subprocess.run(build + ["--quiet"], cwd=ROOT, stdout=sys.stderr).returncode != 0:
                fail("Lariat does not build: the compiler's messages are above")
            given = prepared(*build, "--show-bin-path") + "/lariat"
        self.program, self.model, self.threads = executable(given), model, threads

    def prefill(self, tokens):
        return self._run("prefill", "tokens", tokens, "--workers", "1")

    def decode(self, depth, generated):
        return self._run("decode", "context", depth, "--generate", str(generated))

    def _run(self, kind, measure, tokens, *more):
        command = [self.program, "bench", kind, "--model", self.model, f"--{measure}", str(tokens), *more,
                   "--threads", str(self.threads), "--repeat", "1", "--json"]
        printed = run_json(command, time_limit(tokens, self.model))
        for run in printed.get("runs", []) if isinstance(printed, dict) else []:
            if run.get(measure) == tokens and "tokens_per_second" in run:
                return run
        fail(f"`{' '.join(command)}` printed no run of {tokens} tokens.\n"
             "Is that binary from another version of this repository? Build it again, or leave --lariat out.")


# --- the machine ------------------------------------------------------------------------------------------------------

class Machine:
    """Which processor this is, and how busy others kept it from here until `finish`."""

    QUIET = 0.05

    def __init__(self):
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        self.facts = {
            "processor": f"{names[0] if names else os.uname().machine}, {os.cpu_count()} logical cores",
            "load_before": round(os.getloadavg()[0], 2),
        }
        self._began = self._clocks()

    @staticmethod
    def _clocks():
        """Seconds that have passed on all cores, and seconds of them in which work was done that is not ours."""
        with open("/proc/stat") as lines:
            user, nice, system, idle, waiting, *interrupts_and_stolen = map(int, lines.readline().split()[1:9])
        busy = (user + nice + system + sum(interrupts_and_stolen)) / os.sysconf("SC_CLK_TCK")
        return busy + (idle + waiting) / os.sysconf("SC_CLK_TCK"), busy - sum(os.times()[:4])

    def finish(self):
        passed, others = (after - before for after, before in zip(self._clocks(), self._began))
        self.facts["load_after"] = round(os.getloadavg()[0], 2)
        self.facts["other_work"] = round(max(0, others / passed), 3) if passed > 0 else 0

    def print(self):
        print(f"Processor: {self.facts['processor']}")
        print(f"Load average: {self.facts['load_before']:.2f} before, {self.facts['load_after']:.2f} after "
              "(these runs included)")
        print(f"Other work took {self.facts['other_work']:.0%} of the processors' time meanwhile.")
        if self.facts["other_work"] > self.QUIET:
            print("That is too much for figures to quote: run this again when the machine is quiet.")


# --- output -----------------------------------------------------------------------------------------------------------

def progress(line):
    print(line, file=sys.stderr, flush=True)


def print_table(header, rows):
    """Columns as wide as they need to be; numbers stand on the right, words on the left."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    number = [all(re.fullmatch(r"[-+]?[0-9.,]+%?", cell) for cell in column) for column in zip(*rows)]
    for row in [header, *rows]:
        cells = [cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(row, widths, number)]
        print("  ".join(cells).rstrip())


def write_json(options, machine, model, results):
    if options.json is None:
        return
    value = {**machine.facts, "model": model, "threads": options.threads, "results": results}
    try:
        pathlib.Path(options.json).write_text(json.dumps(value, indent=2) + "\n")
    except OSError as error:
        fail(f"cannot write {options.json}: {error.strerror}")


def start(main):
    """Runs a benchmark so that Ctrl-C and termination end its children, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
