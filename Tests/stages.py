"""Runs every test of Lariat, in stages, two side by side, and adds up what they say. Called by Ops/test.

A stage is a command. What it prints goes to .build/tests/STAGE.log, and is printed whole if it fails; the last line is
`N passed, N failed, N skipped` over all runners. A runner that counts its tests writes a JUnit report; C tests print
`passed: NAME`; any other stage is one check.
"""

import argparse
import collections
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build/tests"
# More would slow down tests that wait for each other's processes on a machine with two cores.
SIDE_BY_SIDE = 2
STAY_ALIVE = 60  # seconds between signs of life, for those who end what is silent


@dataclasses.dataclass
class Stage:
    name: str
    command: str  # for bash; {report} is the file for a JUnit report
    quick: bool = False
    after: tuple = ()  # the stages that must have passed
    alone: str = ""  # stages with the same word never run together

    def path(self, end):
        return LOGS / f"{self.name}{end}"


# Release, because C kernels are 15 times slower in debug. One test after the other: tests of one process share a thread a
# core, and those that wait for messages would wait for those that compute. SwiftPM uses a folder for one command at a time.
SWIFT_TEST = "swift test -c release --disable-testable-imports --skip-build --no-parallel --xunit-output {report}"
STAGES = [
    Stage("build", "swift build -c release --build-tests", quick=True, alone="swift"),
    Stage("format", "swift format lint --strict --recursive Package.swift Sources Tests", quick=True),
    Stage("protocol", "Ops/proto --check", quick=True),
    Stage("kernels", "Tests/CKernels/run", quick=True),
    Stage("fixtures", 'Tests/fixtures "$LARIAT_TEST_DEBIAN"'),
    Stage("arm64", "Tests/CKernels/arm64"),
    Stage("openai", "Tests/OpenAI/run --junitxml {report}"),
    Stage("pages", "Tests/Pages/run --junitxml {report}"),
    Stage("swift", SWIFT_TEST + " --skip TransformerTests", quick=True, after=("build",), alone="swift"),
    Stage("models", SWIFT_TEST + " --filter TransformerTests", after=("build",), alone="swift"),
    Stage("clients", "Tests/Clients/run --junitxml {report}", after=("build",)),
    Stage("operations", "Tests/Operations/run --junitxml {report}", after=("build", "fixtures")),
    Stage("documentation", "Ops/docs", after=("build",), alone="swift"),
]


class Running:
    def __init__(self, stage, environment):
        self.stage, self.began = stage, time.monotonic()
        with open(stage.path(".log"), "wb") as log:
            # A session of its own, so that it can be ended with all it started.
            self.process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", stage.command.format(report=stage.path(".xml"))], cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment)

    def end(self):
        for number, patience in ((signal.SIGINT, 20), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(timeout=patience)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass


@dataclasses.dataclass
class Result:
    passed: int = 0
    seconds: float = 0
    failed: list = dataclasses.field(default_factory=list)   # names
    skipped: list = dataclasses.field(default_factory=list)  # names and why
    slow: list = dataclasses.field(default_factory=list)     # (seconds, name)


def result_of(stage, code, seconds):
    """What a stage that has ended says of its tests."""
    result = Result(seconds=seconds)
    for report in LOGS.glob(f"{stage.name}*.xml"):
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{stage.name}: {case.get('classname')}.{case.get('name')}"
            result.slow.append((float(case.get("time") or 0), name))
            if case.find("failure") is not None or case.find("error") is not None:
                result.failed.append(name)
            elif (skipped := case.find("skipped")) is not None:
                result.skipped.append(f"{name}: {skipped.get('message') or 'no reason given'}")
            else:
                result.passed += 1
    if "{report}" not in stage.command:
        named = re.findall(r"^passed: .+$", stage.path(".log").read_text(errors="replace"), re.M)
        result.passed = len(named) or int(code == 0)
    elif code == 0 and not result.slow:
        result.failed.append(f"{stage.name}: it ran no test")
    if code != 0 and not result.failed:
        result.failed.append(f"{stage.name}: exit code {code}")
    return result


def say(*words):
    print(*words, flush=True)


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def run(stages, environment):
    """Runs stages as soon as they can; returns the result of each by name."""
    waiting, running, results = list(stages), [], {}
    chosen = {stage.name for stage in stages}
    said = time.monotonic()
    try:
        while waiting or running:
            for stage in list(waiting):
                if missing := [name for name in stage.after if name in results and results[name].failed]:
                    waiting.remove(stage)
                    results[stage.name] = Result(failed=[f"{stage.name}: not run, because {missing[0]} failed"])
                elif (len(running) < SIDE_BY_SIDE and all(name in results for name in stage.after if name in chosen)
                      and not (stage.alone and any(stage.alone == other.stage.alone for other in running))):
                    waiting.remove(stage)
                    running.append(Running(stage, environment))
            time.sleep(0.1)
            for one in list(running):
                if (code := one.process.poll()) is not None:
                    running.remove(one)
                    result = results[one.stage.name] = result_of(one.stage, code, time.monotonic() - one.began)
                    say(f"{one.stage.name}: {'FAILED' if result.failed else 'passed'} in {duration(result.seconds)}")
            if time.monotonic() - said > STAY_ALIVE:
                said = time.monotonic()
                for one in running:
                    lines = one.stage.path(".log").read_text(errors="replace").split("\n")
                    last = next((line for line in reversed(lines) if line.strip()), "")
                    say(f"  {one.stage.name}, {duration(said - one.began)}: {last[:100]}")
    finally:
        for one in running:
            one.end()
    return results


def main():
    parser = argparse.ArgumentParser(prog="Ops/test", description="Installs what is missing and runs every test.")
    parser.add_argument("--quick", action="store_true",
                        help="what daily work needs: no whole models, no processes, no browser, no packages")
    parser.add_argument("stage", nargs="*", help="only these, with what is built: " + ", ".join(s.name for s in STAGES))
    options = parser.parse_args()
    if unknown := set(options.stage) - {stage.name for stage in STAGES}:
        parser.error(f"no stage is called {', '.join(sorted(unknown))}")
    stages = [s for s in STAGES if (s.name in options.stage if options.stage else s.quick or not options.quick)]

    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.iterdir():
        old.unlink()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lariat-debian-", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "LARIAT": str(ROOT / ".build/release/lariat")}
        if "fixtures" in (stage.name for stage in stages):
            environment["LARIAT_TEST_DEBIAN"] = folder
        # What runs in it may need more than its owner's permissions.
        os.chmod(folder, 0o755)
        try:
            results = run(stages, environment)
        except KeyboardInterrupt:
            say("interrupted")
            return 130

    for name, result in results.items():
        if result.failed and (log := LOGS / f"{name}.log").exists():
            say(f"\n== {name} failed; this is what it said\n{log.read_text(errors='replace')}")
    say(f"\n== Stages ({duration(time.monotonic() - began)} together)")
    for name, result in results.items():
        say(f"{duration(result.seconds):>12}  {name}: {result.passed} passed, {len(result.failed)} failed, "
            f"{len(result.skipped)} skipped")
    say("\n== The ten slowest tests")
    for seconds, name in sorted((case for result in results.values() for case in result.slow), reverse=True)[:10]:
        say(f"{seconds:10.1f} s  {name}")
    total = collections.Counter()
    for result in results.values():
        for kind in ("failed", "skipped"):
            names = getattr(result, kind)
            total[kind] += len(names)
            for name in names:
                say(f"{kind}: {name}")
        total["passed"] += result.passed
    say(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
