"""The scripts for those who work on Lariat: what they say and where they stop when something fails; no pipe decides by chance."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


def program(folder, name, text):
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def setup(folder, apt_get):
    """Ops/setup where no package is installed and apt-get is this script."""
    program(folder, "dpkg-query", "exit 1\n")
    program(folder, "sudo", 'exec "$@"\n')
    program(folder, "apt-get", f'echo "$@" >>{folder}/asked\n{apt_get}')
    program(folder, "swift", "echo Swift version 6.3\n")
    return subprocess.run(["bash", ROOT / "Ops/setup"], capture_output=True, text=True, timeout=60,
                          env={"PATH": f"{folder}:/usr/bin:/bin"})


def test_setup_stops_without_new_lists(tmp_path):
    done = setup(tmp_path, 'case $1 in update) echo "E: Could not resolve deb.debian.org" >&2; exit 100;; esac\n')
    assert done.returncode == 1
    assert "Could not resolve" in done.stderr and "cannot be brought up to date" in done.stderr
    assert "install" not in (tmp_path / "asked").read_text()


def test_setup_goes_on_with_new_lists(tmp_path):
    done = setup(tmp_path, "exit 0\n")
    assert done.returncode == 0, done.stderr
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update.startswith("update ") and install.startswith("install ")


def test_apt_counts_a_list_that_is_old_as_an_error(tmp_path):
    """Without the option that setup gives, apt-get uses old lists and ends with 0."""
    option = re.search(r"apt-get update \S+ (-o \S+)", (ROOT / "Ops/setup").read_text()).group(1).split()
    (tmp_path / "sources.list").write_text("deb [trusted=yes] http://127.0.0.1:1/debian bookworm main\n")
    folders = [f"-oDir::State={tmp_path}", f"-oDir::Cache={tmp_path}", f"-oDir::Etc::sourcelist={tmp_path}/sources.list",
               "-oDir::Etc::sourceparts=-", "-oAPT::Sandbox::User=root", "-oAcquire::Retries=0"]
    codes = [subprocess.run(["apt-get", "update", "-qq", *folders, *more], capture_output=True, timeout=60).returncode
             for more in ([], option)]
    assert codes[0] == 0 and codes[1] != 0


SCRIPTS = [path for folder in ("Ops", "Tests", ".ci") for path in sorted((ROOT / folder).rglob("*"))
           if path.is_file() and path.suffix in ("", ".sbatch") and path.read_bytes()[:2] == b"#!"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_pipe_into_what_closes_early(script):
    """`a | grep -q b` and `a | head` end a with SIGPIPE now and then, which pipefail makes the answer."""
    text = script.read_text()
    if "pipefail" not in text:
        return
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in lines if re.search(r"\|\s*(grep\s+-\w*[qm]|head\b)", line)]


def test_the_runtime_is_seen_every_time(tmp_path):
    """Ops/package's question, 100 times, on a program whose libraries are listed slowly and whose pipe would close early."""
    function = re.search(r"^needs_swift\(\) .*$", (ROOT / "Ops/package").read_text(), re.M).group(0)
    program(tmp_path, "ldd", 'echo "libswiftCore.so => x"; for i in 1 2 3 4 5 6 7 8; do echo "library $i"; done\n')
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail; {function}\nfor i in $(seq 100); do needs_swift x; done; echo all"],
        capture_output=True, text=True, timeout=60, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.stdout == "all\n", done.stderr
