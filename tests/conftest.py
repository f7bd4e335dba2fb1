"""Fixtures shared by all tests."""

import os
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
