"""Real MEG: units and kinds of sensors come through the readers, and deficient rank stays finite."""

import logging

import mne
import numpy as np
import pandas as pd
import pytest
from mne.io.constants import FIFF
from pydantic import ValidationError

from brainalign.data import DATASETS, from_raw, mne_sample
from brainalign.data._manifest import load_manifest
from brainalign.data._mne_sample import UNITS, Config
from brainalign.encode.ridge import RidgeCV
from brainalign.errors import MissingData, UnknownName

UNIT_CODES = {FIFF.FIFF_UNIT_T: "T", FIFF.FIFF_UNIT_T_M: "T/m", FIFF.FIFF_UNIT_V: "V"}


@pytest.fixture(scope="module")
def folder(data_dir):
    if not (data_dir / "mne_sample").is_dir():
        pytest.skip(f"{data_dir / 'mne_sample'} is absent")
    return data_dir


@pytest.fixture(scope="module")
def evoked(folder):
    return mne_sample.load_evoked(Config(), folder)


@pytest.fixture(scope="module")
def raw(folder):
    return mne_sample.read_raw(folder)


@pytest.fixture(scope="module")
def averages(folder):
    return mne.read_evokeds(folder / "mne_sample/sample_audvis-ave.fif.gz", verbose="ERROR")


def test_facts(evoked, raw):
    facts = load_manifest("mne_sample").facts
    clock = evoked.rows.groupby("run", sort=False)["time"]
    assert list(clock.groups) == facts["conditions"]
    assert evoked.provenance["n_averaged"] == dict(zip(facts["conditions"], facts["n_averaged"], strict=True))
    assert set(clock.size()) == {facts["n_times"]}
    assert set(clock.min()) == {facts["tmin"]}
    assert set(evoked.rows["duration"]) == {1 / facts["sfreq"]}
    expected = facts["n_channels"] | {"grad": facts["n_channels"]["grad"] - 1}  # without MEG 2443
    assert evoked.columns["channel_type"].value_counts().to_dict() == expected
    assert (len(raw.ch_names), raw.n_times) == (facts["raw_n_channels"], facts["raw_n_times"])
    assert raw.info["sfreq"] == facts["raw_sfreq"]


def test_averages_are_no_data_set_for_encoding_models():
    assert "mne_sample" not in DATASETS
    assert not hasattr(mne_sample, "load")


def test_values_and_units_are_those_of_the_file(folder, averages):
    responses = mne_sample.load_evoked(Config(baseline=False, bad_channels=()), folder)
    units = responses.columns.set_index("target")["unit"]
    for average in averages:
        of_run = (responses.rows["run"] == average.comment).to_numpy()
        assert of_run.sum() == len(average.times)
        expected = average.copy().pick(list(responses.columns["target"])).data
        np.testing.assert_array_equal(responses.values[of_run], expected.T)
        for channel in average.info["chs"]:
            if channel["ch_name"] in units:
                assert units[channel["ch_name"]] == UNIT_CODES[channel["unit"]]
    assert dict(zip(responses.columns["channel_type"], responses.columns["unit"], strict=True)) == UNITS


def test_sizes_are_those_of_each_kind_of_sensor(evoked):
    sizes = {kind: np.abs(evoked.values[:, columns.index]).max() for kind, columns in kinds_of(evoked)}
    assert 3e-13 < sizes["mag"] < 2e-12
    assert 1e-11 < sizes["grad"] < 1e-10
    assert 1e-5 < sizes["eeg"] < 1e-4


def kinds_of(responses):
    return responses.columns.groupby("channel_type", sort=False)


def test_places_are_those_of_sensors_around_the_head(evoked, averages):
    places = evoked.columns.set_index("target")[["x", "y", "z"]]
    assert places.notna().all(axis=None)
    radius = np.linalg.norm(places.to_numpy(), axis=1)
    of_eeg = (evoked.columns["channel_type"] == "eeg").to_numpy()
    assert ((radius[of_eeg] > 0.07) & (radius[of_eeg] < 0.16)).all()  # on the scalp
    assert ((radius[~of_eeg] > 0.08) & (radius[~of_eeg] < 0.2)).all()  # in the helmet
    left, right = places.loc["MEG 0111"], places.loc["MEG 1411"]
    assert left["x"] < -0.05 < 0.05 < right["x"]
    info = averages[0].info
    device = info["chs"][info["ch_names"].index("MEG 0111")]["loc"][:3]
    np.testing.assert_allclose(left, mne.transforms.apply_trans(info["dev_head_t"], device), atol=1e-12)


def test_the_baseline_is_the_mean_before_the_stimulus(evoked, folder):
    raw = mne_sample.load_evoked(Config(baseline=False), folder)
    for _, rows in evoked.rows.groupby("run"):
        before = rows.index[rows["time"] <= 0]
        expected = raw.values[rows.index] - raw.values[before].mean(axis=0)
        np.testing.assert_allclose(evoked.values[rows.index], expected, atol=1e-20)
    offset = np.abs(raw.values.mean(axis=0))[(raw.columns["target"] == "EEG 004").to_numpy()]
    assert offset[0] > 1e-4  # V


def test_the_channel_that_is_left_out_is_the_noisy_one(folder):
    responses = mne_sample.load_evoked(Config(picks=("grad",), bad_channels=()), folder)
    for _, rows in responses.rows.groupby("run"):
        deviation = pd.Series(
            responses.values[rows.index[rows["time"] < 0]].std(axis=0), index=responses.columns["target"]
        )
        ratio = deviation / deviation.median()
        assert 27 < ratio["MEG 2443"] < 31
        assert ratio.drop("MEG 2443").max() < 2


def test_types_are_chosen(folder):
    responses = mne_sample.load_evoked(Config(picks=("eeg",)), folder)
    assert set(responses.columns["channel_type"]) == {"eeg"}
    assert set(responses.columns["unit"]) == {"V"}
    with pytest.raises(ValidationError, match="picks"):
        Config(picks=("meg",))
    with pytest.raises(UnknownName, match=r"MEG 2444.*MEG 2443"):
        mne_sample.load_evoked(Config(bad_channels=("MEG 2444",)), folder)


def test_a_file_that_is_absent_is_named_with_the_command_that_gets_it(tmp_path):
    averages, raw = mne_sample.check(Config(), tmp_path)
    assert "see the notes in mne_sample.toml" in averages
    assert f"brainalign fetch mne_sample --data-dir {tmp_path}" in raw
    with pytest.raises(MissingData, match="no such file"):
        mne_sample.load_evoked(Config(), tmp_path)


EVENTS = pd.DataFrame({"onset": [0.2, 0.6], "duration": [0.1, 0.1], "trial_type": "tone"})


@pytest.mark.parametrize(("picks", "n_channels"), [(("mag",), 102), (("grad",), 204), (("eeg",), 60), ((), 366)])
def test_kinds_of_sensors_come_through_the_reader_of_raw_data(raw, picks, n_channels):
    recording = from_raw(raw, EVENTS, picks=picks)
    columns = recording.responses.columns
    assert len(columns) == n_channels
    assert set(columns["channel_type"]) == set(picks or UNITS)
    expected = raw.get_data(list(columns["target"]))
    np.testing.assert_allclose(recording.responses.values, expected.T, rtol=1e-6)
    assert columns[["x", "y", "z"]].notna().all(axis=None)


def test_signal_space_separation_leaves_69_degrees_of_freedom_and_everything_finite(raw):
    facts = load_manifest("mne_sample").facts
    meg = raw.copy().pick("meg")
    assert mne.compute_rank(meg, rank="info", verbose="ERROR")["meg"] == facts["raw_meg_rank"]
    responses = from_raw(raw, EVENTS, picks=("mag", "grad")).responses
    scale = responses.columns["channel_type"].map({"mag": 1e-13, "grad": 1e-11}).to_numpy()
    values = responses.values / scale
    singular = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    assert singular[facts["raw_meg_rank"] - 1] > 1
    assert singular[facts["raw_meg_rank"]] < 1e-4
    assert np.isfinite(responses.values).all()


@pytest.mark.parametrize("unit", [1.0, 1e6, 1e13])
def test_fault_43_and_56_scores_of_rank_deficient_sensors_are_finite_and_know_no_unit(raw, unit):
    """Gradiometers from magnetometers: 102 features of rank 69 at most, in tesla and in other units."""
    responses = from_raw(raw, EVENTS, picks=("mag", "grad")).responses
    kinds = responses.columns["channel_type"].to_numpy()
    X, Y = responses.values[:, kinds == "mag"].astype(float), responses.values[:, kinds == "grad"].astype(float)

    def scores(X, Y):
        model = RidgeCV(alphas=np.logspace(-3, 6, 10)).fit(X[:200], Y[:200])
        predicted = model.predict(X[200:])
        return np.array([np.corrcoef(y, p)[0, 1] for y, p in zip(Y[200:].T, predicted.T, strict=True)])

    plain, other = scores(X, Y), scores(X * unit, Y * unit)
    assert np.isfinite(plain).all()
    assert np.median(plain) > 0.5
    np.testing.assert_allclose(other, plain, atol=1e-6)


def test_nothing_is_said_about_the_name_of_the_raw_file(folder, caplog):
    with caplog.at_level(logging.WARNING):
        mne_sample.read_raw(folder)
    assert not caplog.records
