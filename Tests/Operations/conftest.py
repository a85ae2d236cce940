"""Where things are, for all tests of this folder."""

import json
import os
import pathlib

import pytest

from debian import Debian, run


@pytest.fixture(scope="session")
def repository():
    return pathlib.Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def binary():
    return pathlib.Path(os.environ["LARIAT"])


@pytest.fixture(scope="session")
def model():
    return os.environ["LARIAT_TEST_MODEL"]


@pytest.fixture(scope="session")
def prompt(tmp_path_factory, repository):
    """A file of 1,500 token ids of a real text: long enough for blocks to go round."""
    tokens = json.loads((repository / "Tests/Golden/smollm2-nll.json").read_text())[-1]["tokens"][:1500]
    path = tmp_path_factory.mktemp("prompt") / "tokens"
    path.write_text(" ".join(map(str, tokens)))
    return path


@pytest.fixture(scope="session")
def packed(tmp_path_factory, repository, binary):
    folder = tmp_path_factory.mktemp("packed")
    run(repository / "Ops/package", "--binary", binary, "--output", folder)
    return folder


@pytest.fixture(scope="session")
def package(packed):
    return next(packed.glob("lariat_*.deb"))


@pytest.fixture(scope="session")
def bare_debian(tmp_path_factory):
    """For copies: nothing is installed in it. LARIAT_TEST_DEBIAN names one that is made already."""
    if made := os.environ.get("LARIAT_TEST_DEBIAN"):
        return Debian(made)
    return Debian(tmp_path_factory.mktemp("debian") / "root").make()
