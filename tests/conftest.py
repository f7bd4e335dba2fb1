"""Fixtures shared by all tests."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest

from brainalign.cli import SPIN_COUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # before torch is imported

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir():
    """Give the folder of real recordings, or skip naming the path that was looked at."""
    folder = Path(os.environ.get("BRAINALIGN_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "brennan2016").is_dir():
        pytest.skip(f"real recordings are not at {folder} (set BRAINALIGN_DATA)")
    return folder


@pytest.fixture(scope="session")
def load_analysis():
    """Give a function that imports `analyses/<name>.py`, which is no package."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, REPOSITORY / "analyses" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def interrupts_are_heard():
    """A shell has background jobs ignore interrupts, and what they start inherits it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
