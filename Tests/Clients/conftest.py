"""Shared fixtures. A test that only uses a cluster shares one; a test that breaks things gets one that is repaired."""

import os
import pathlib
import shutil
import subprocess

import pytest

from cluster import BINARY, Cluster, command, environment

REPOSITORY = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def _shared(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("shared")) as cluster:
        cluster.start().wait_ready()
        yield cluster


@pytest.fixture
def cluster(_shared):
    """A running cluster of a coordinator and the workers alpha and beta. Tests leave it as it was."""
    yield _shared
    _shared.repair()


@pytest.fixture(scope="session")
def _guarded(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("guarded"), guarded=True) as cluster:
        cluster.start().wait_ready()
        yield cluster


@pytest.fixture
def guarded(_guarded):
    """A running cluster whose clients need tokens. Tests leave it as it was."""
    yield _guarded
    _guarded.repair()


@pytest.fixture
def make_cluster(tmp_path):
    """Makes clusters of this test's own, not started, and cleans up after them."""
    made = []

    def make(**options):
        made.append(Cluster(tmp_path / f"cluster{len(made)}", **options))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "lariat-test", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
def complete(tmp_path_factory):
    """What bash offers behind a line, in the repository's root."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "lariat").symlink_to(BINARY)
    script = folder / "lariat.bash"
    script.write_text(command("--generate-completion-script", "bash").stdout)

    def complete(line, **variables):
        done = subprocess.run(
            ["bash", "--norc", "-c", """
                . "$1"; COMP_LINE=$2; COMP_POINT=${#2}; read -ra COMP_WORDS <<<"$2"
                [[ $2 == *" " ]] && COMP_WORDS+=("")
                COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                _lariat lariat "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
                printf '%s\\n' "${COMPREPLY[@]}" """, "-", script, line],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=60,
            env={**environment(), "PATH": f"{folder}:{os.environ['PATH']}", **variables})
        return set(done.stdout.split("\n")) - {""}
    return complete


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the processes said last: their logs are gone afterwards."""
    report = yield
    if report.failed:
        for cluster in Cluster.open_ones:
            for log in sorted(cluster.folder.glob("*.log")):
                lines = log.read_text(errors="replace").splitlines()[-20:]
                report.sections.append((f"last lines of {log.name}", "\n".join(lines)))
    return report
