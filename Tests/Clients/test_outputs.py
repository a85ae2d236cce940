"""Files that commands write: whole, in the place of what a link leads to, and never instead of a device or a pipe."""

import json
import os
import pathlib
import stat
import subprocess
import threading

import pytest

from cluster import BINARY, GOLDEN, command, environment, refused

TINY = GOLDEN / "tiny-phi3-longrope.gguf"


@pytest.fixture(scope="module")
def traced(_shared):
    """A cluster on which a job with a timeline has ended."""
    _shared.run(max_tokens=2)
    return _shared


@pytest.fixture
def null(tmp_path):
    """A null device of the test's own."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_bytes(b"x")
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")
    return path


def is_device(path):
    return stat.S_ISCHR(path.lstat().st_mode) and path.stat().st_rdev == os.makedev(1, 3)


def test_a_device_stays_one(traced, null):
    link = null.with_name("link")
    link.symlink_to(null)
    for path in (null, link):
        done = traced.command("trace", "-o", path)
        assert done.returncode == 0, done.stderr
    assert is_device(null) and link.is_symlink()
    assert sorted(path.name for path in null.parent.iterdir()) == ["link", "null"]


def test_a_pipe_gets_it_all(traced, tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    done = traced.command("trace", "-o", pipe)
    assert done.returncode == 0, done.stderr
    reader.join(30)
    assert json.loads(got[0])["traceEvents"] and stat.S_ISFIFO(pipe.lstat().st_mode)


def test_standard_output_by_name(traced, tmp_path):
    """What was written before it stays."""
    file = tmp_path / "out"
    words = [BINARY, "trace", "-o", "/dev/stdout", "--coordinator", traced.address]
    with open(file, "wb") as out:
        out.write(b"first\n")
        out.flush()
        subprocess.run(words, stdout=out, stderr=subprocess.PIPE, check=True, timeout=60, env=environment())
    first, rest = file.read_text().split("\n", 1)
    assert first == "first" and json.loads(rest)["traceEvents"]


def test_a_link_leads_to_a_file_that_keeps_its_mode(traced, tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1, 2)
    link.symlink_to("file")
    assert traced.command("trace", "-o", link).returncode == 0
    assert link.is_symlink() and json.loads(file.read_text())["traceEvents"]
    now = file.stat()
    assert stat.S_IMODE(now.st_mode) == 0o640
    if os.geteuid() == 0:
        assert (now.st_uid, now.st_gid) == (1, 2)


def test_what_cannot_be_written_is_told(traced, tmp_path):
    refused(traced.command("trace", "-o", tmp_path), "Is a directory", "Name a file in that folder")
    refused(traced.command("trace", "-o", tmp_path / "no/such"), "does not exist", code=1)
    refused(traced.command("trace", "-o", "/dev/full"), "No space left on device", code=1)
    assert list(tmp_path.iterdir()) == []


def test_pictures_models_and_tokens(null, tmp_path):
    """The other outputs: a picture of `eval`, the files of `extend`, certificates and tokens."""
    text = tmp_path / "text"
    text.write_text("the ring of a rope is long and its blocks turn round " * 60)
    done = command("eval", "perplexity", TINY, "--corpus", text, "--lengths", "64", "--plot", null, "--threads", 1)
    assert done.returncode == 0 and is_device(null), done.stderr
    # A model through a link to the device, and into a pipe's place nothing else.
    folder = tmp_path / "out"
    folder.mkdir()
    factors = tmp_path / "factors.json"
    factors.write_text(json.dumps({"rope_type": "longrope", "factor": 4, "original_max_position_embeddings": 64,
                                   "long_factor": [1 + 0.25 * i for i in range(16)], "short_factor": [1] * 16}))
    model = folder / "tiny-phi3-longrope-256.gguf"
    model.symlink_to(null)
    extend = ["extend", TINY, "--to", 256, "--factors", factors, "-o", folder]
    refused(command(*extend), "is there already", code=64)
    done = command(*extend, "--force")
    assert done.returncode == 0 and is_device(null) and model.is_symlink(), done.stderr
    # A new token needs the file's lines: a device has none, and stays.
    refused(command("cluster", "token", "ann", "--role", "read", "--file", null), "is no file")
    assert is_device(null)
    specification = tmp_path / "cluster.yaml"
    specification.write_text("model: m\ncoordinator: { listen: 127.0.0.1:7400 }\nworkers:\n"
                             "  - { name: a, listen: 127.0.0.1:1, ring: 127.0.0.1:2, memory: 1GiB }\n")
    tls = tmp_path / "tls"
    tls.mkdir()
    (tls / "a.pem").symlink_to(null)
    refused(command("cluster", "certs", specification, "-o", tls), "a.pem")
    assert is_device(null)
    assert command("cluster", "certs", specification, "-o", tls, "--force").returncode == 0
    assert is_device(null) and pathlib.Path(tls / "a.pem").is_symlink()
