"""Where things are, for all tests of this folder."""

import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def repository():
    return pathlib.Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def binary():
    return pathlib.Path(os.environ["LARIAT"])


@pytest.fixture(scope="session")
def model():
    return os.environ["LARIAT_TEST_MODEL"]
