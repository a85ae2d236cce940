"""Where things are, for all tests of this folder."""

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
def packed(tmp_path_factory, repository, binary):
    folder = tmp_path_factory.mktemp("packed")
    run(repository / "Ops/package", "--binary", binary, "--output", folder)
    return folder


@pytest.fixture(scope="session")
def package(packed):
    return next(packed.glob("lariat_*.deb"))


@pytest.fixture(scope="session")
def bare_debian(tmp_path_factory):
    """For copies: nothing is installed in it."""
    return Debian(tmp_path_factory.mktemp("debian") / "root").make()
