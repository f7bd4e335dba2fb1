"""A small folder of simulated people, written once."""

import pytest

from brainalign.data._simulated_bids import Settings, write_simulated_bids
from brainalign.data._simulated_bids.stimuli import tell_story


@pytest.fixture(scope="session")
def settings():
    return Settings(n_subjects=2, n_runs=2, run_duration=60.0, sfreq=100.0, seed=3)


@pytest.fixture(scope="session")
def written(settings, tmp_path_factory):
    return write_simulated_bids(tmp_path_factory.mktemp("people") / "bids", settings)


@pytest.fixture(scope="session")
def story(settings):
    return tell_story(settings)
