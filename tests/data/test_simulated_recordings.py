"""Simulated MEG and fMRI as data sets: written once into the cache, read by the BIDS loader."""

import numpy as np
import pytest

from brainalign.data import _simulated_folder, simulated_fmri, simulated_meg
from brainalign.errors import BrainalignError

SHORT = {"n_runs": 2, "run_duration": 40.0}
FMRI = simulated_fmri.Config(n_runs=2, run_duration=75.0, n_subjects=2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def meg(cache):
    return simulated_meg.load(simulated_meg.Config(**SHORT, picks=("mag",), h_freq=20.0))


@pytest.fixture(scope="module")
def fmri(cache):
    return simulated_fmri.load(FMRI)


def test_meg_is_a_recording_in_time_with_words_and_the_envelope(meg):
    assert meg.responses.shape == (2 * 40 * 100, 102)
    assert set(meg.responses.columns["channel_type"]) == {"mag"}
    assert meg.responses.columns[["x", "y", "z"]].notna().all(axis=None)
    assert 1e-15 < np.abs(meg.responses.values).mean() < 1e-11  # tesla
    for name in ("length_z", "log_frequency_z"):
        assert meg.events[name].mean() == pytest.approx(0, abs=1e-9)
        assert meg.events[name].std(ddof=0) == pytest.approx(1)
    assert len(meg.series) == len(meg.responses.rows)
    np.testing.assert_allclose(meg.series["onset"], meg.responses.rows["time"], atol=1e-9)
    assert (meg.series["run"] == meg.responses.rows["run"]).all()


def test_the_envelope_is_loud_during_words_and_silent_before_them(meg):
    first = meg.series[meg.series["run"] == meg.series["run"][0]]
    onset = meg.events["onset"].iloc[0]
    assert first.loc[first["onset"] < onset - 0.1, "envelope"].max() < 1e-3
    during = (first["onset"] > onset) & (first["onset"] < onset + 5)
    assert first.loc[during, "envelope"].mean() > 0.05


def test_fmri_has_people_side_by_side_and_regions_among_its_voxels(fmri):
    assert set(fmri.responses.columns["subject"]) == {"01", "02"}
    places = fmri.responses.columns.query("subject == '01'")[["i", "j", "k"]]
    regions = simulated_fmri.planted_regions(FMRI)
    found = places.merge(regions, on=["i", "j", "k"])
    assert len(found) == len(regions)
    assert regions["region"].nunique() == 5
    grid = fmri.responses.provenance["subjects"]["01"]["grid"]
    x = np.asarray(grid["affine"])[0] @ np.c_[regions[["i", "j", "k"]], np.ones(len(regions))].T
    left = regions["region"].str.endswith("left").to_numpy()
    assert (x[left] < 0).all()
    assert (x[~left] > 0).all()


def test_regions_of_vertices_are_refused():
    with pytest.raises(BrainalignError, match="geometry = 'volume', not 'surface'"):
        simulated_fmri.planted_regions(simulated_fmri.Config(geometry="surface"))


def test_a_folder_is_written_once_and_other_settings_have_another(meg, cache, monkeypatch):
    config = simulated_meg.Config(**SHORT)
    written = _simulated_folder.simulated_folder(config.settings)

    def write(*_):
        raise AssertionError("written again")

    monkeypatch.setattr(_simulated_folder, "write_simulated_bids", write)
    assert _simulated_folder.simulated_folder(config.settings) == written
    assert _simulated_folder.simulated_folder(simulated_meg.Config(**SHORT, h_freq=None).settings) == written
    with pytest.raises(AssertionError, match="written again"):
        _simulated_folder.simulated_folder(simulated_meg.Config(**SHORT, seed=1).settings)


def test_a_folder_that_another_process_finished_first_is_taken(cache, monkeypatch):
    settings = simulated_meg.Config(**SHORT, seed=7).settings

    def outrun(folder, _):
        folder.mkdir(parents=True)
        raise OSError("Directory not empty")

    monkeypatch.setattr(_simulated_folder, "write_simulated_bids", outrun)
    assert _simulated_folder.simulated_folder(settings).is_dir()


def test_the_truth_names_sources_and_latencies(meg):
    truth = simulated_meg.truth(simulated_meg.Config(**SHORT)).set_index("source")
    assert truth["latency"].to_dict() == {
        "auditory-left": 0.1, "auditory-right": 0.1, "parietal-left": 0.17, "frontal-left": 0.25, "temporal-left": 0.4,
    }  # fmt: skip
