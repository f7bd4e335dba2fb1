"""Real EEG: what the file holds, where its joints are, and that its channels are where they are said to be."""

import mne
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from brainalign.data import eeglab_sample
from brainalign.data._manifest import load_manifest
from brainalign.data.eeglab_sample import Config
from brainalign.errors import Misaligned, MissingData

UNFILTERED = Config(l_freq=0.0, h_freq=64.0)


@pytest.fixture(scope="module")
def folder(data_dir):
    if not (data_dir / "eeglab_sample").is_dir():
        pytest.skip(f"{data_dir / 'eeglab_sample'} is absent")
    return data_dir


@pytest.fixture(scope="module")
def recording(folder):
    return eeglab_sample.load(Config(), folder)


@pytest.fixture(scope="module")
def unfiltered(folder):
    return eeglab_sample.load(UNFILTERED, folder)


def raw_of(folder):
    return mne.io.read_raw_eeglab(folder / "eeglab_sample/test_raw.set", preload=True, verbose="WARNING")


def test_facts(recording):
    facts = load_manifest("eeglab_sample").facts
    assert recording.responses.shape == (facts["n_samples"], facts["n_channels"])
    rows, columns = recording.responses.rows, recording.responses.columns
    assert set(rows["run"]) == {"1"}
    np.testing.assert_allclose(rows["time"], np.arange(facts["n_samples"]) / facts["sfreq"])
    assert set(rows["duration"]) == {1 / facts["sfreq"]}
    assert "bad" not in rows
    assert recording.events["trial_type"].value_counts().to_dict() == {
        "square": facts["n_squares"],
        "rt": facts["n_rts"],
    }
    assert list(recording.events) == ["run", "onset", "duration", "trial_type"]
    assert recording.events["onset"].is_monotonic_increasing
    assert rows["stretch"].tolist() == sorted(rows["stretch"])
    assert set(rows["stretch"]) == set(range(1, facts["n_stretches"] + 1))
    assert columns["target"].is_unique
    assert columns["channel"].tolist() == [f"EEG {i:03d}" for i in range(32)]
    assert columns[["x", "y", "z"]].notna().all(axis=1).sum() == facts["n_electrodes_with_position"]
    assert columns.loc[columns["x"].isna(), "target"].tolist() == ["EOG1", "EOG2"]


def test_the_values_are_those_of_mne_in_volt(folder, recording, unfiltered):
    raw = raw_of(folder)
    np.testing.assert_array_equal(unfiltered.responses.values, raw.get_data().T.astype(np.float32))
    filtered = raw.filter(0.5, 15.0, verbose="WARNING").get_data().T
    np.testing.assert_allclose(recording.responses.values, filtered, rtol=0, atol=1e-6 * np.abs(filtered).max())
    assert 1e-6 < recording.responses.values.std() < 1e-4


def test_the_band_is_passed_and_the_rest_is_not(recording, unfiltered):
    power = [np.abs(np.fft.rfft(r.responses.values, axis=0)) ** 2 for r in (recording, unfiltered)]
    hertz = np.fft.rfftfreq(30504, 1 / 128)
    kept = power[0].sum(axis=1) / power[1].sum(axis=1)
    assert np.median(kept[(hertz > 1) & (hertz < 14)]) == pytest.approx(1, abs=0.02)
    assert np.median(kept[hertz > 20]) < 1e-4
    assert kept[1:10].max() < 0.01  # up to 0.04 Hz


def test_provenance_says_what_was_done(recording, unfiltered):
    said = recording.responses.provenance
    assert said["band"] == {"l_freq": 0.5, "h_freq": 15.0, "filter": f"mne {mne.__version__}, FIR, firwin, zero phase"}
    assert said["files"]["eeglab_sample/test_raw.fdt"].startswith("3ec388b9")
    assert said["config"] == Config().model_dump()
    assert unfiltered.responses.provenance["band"]["l_freq"] is None
    assert unfiltered.responses.provenance["band"]["h_freq"] is None


def test_resampling_keeps_times_and_stretches(folder, recording):
    coarse = eeglab_sample.load(Config(sfreq=32.0), folder)
    assert coarse.responses.shape == (30504 // 4, 32)
    np.testing.assert_allclose(coarse.responses.rows["time"], recording.responses.rows["time"][::4])
    np.testing.assert_array_equal(coarse.responses.rows["stretch"], recording.responses.rows["stretch"][::4])
    assert coarse.events.equals(recording.events)
    fine = recording.responses.values[::4]
    assert np.corrcoef(coarse.responses.values.ravel(), fine.ravel())[0, 1] > 0.99


def test_the_signal_jumps_where_stretches_meet(unfiltered):
    """The joints are found from the events alone; the signal, which was not looked at, agrees."""
    jump = np.abs(np.diff(unfiltered.responses.values, axis=0)).mean(axis=1)
    joints = np.flatnonzero(np.diff(unfiltered.responses.rows["stretch"]))
    assert len(joints) == 78
    assert jump[joints].mean() > 3 * np.delete(jump, joints).mean()
    for shift in (-20, -5, 5, 20):
        assert jump[joints + shift].mean() < 1.3 * np.delete(jump, joints).mean()


def test_every_square_has_a_second_before_and_two_after_it_in_its_stretch(recording):
    rows = recording.responses.rows
    onsets = recording.events.loc[recording.events["trial_type"] == "square", "onset"]
    samples = np.round(onsets * 128).astype(int).to_numpy()
    stretch = rows["stretch"].to_numpy()
    assert (stretch[samples - 128] <= stretch[samples]).all()
    assert (stretch[samples + 256] == stretch[samples]).all()
    assert set(stretch) == set(stretch[samples])


def test_channels_are_where_the_electrodes_names_place_them(recording):
    """Scalp EEG of near electrodes is alike: no exchange of two names may explain the correlations better."""
    columns = recording.responses.columns
    placed = columns["x"].notna().to_numpy()
    alike = np.corrcoef(recording.responses.values[:, placed].T)  # (30, 30)
    distance = pdist(columns.loc[placed, ["x", "y", "z"]].to_numpy())
    pairs = np.triu_indices(len(alike), 1)
    np.testing.assert_array_equal(squareform(distance)[pairs], distance)

    def fall_off(order):
        return spearmanr(alike[np.ix_(order, order)][pairs], distance).statistic

    in_order = fall_off(np.arange(len(alike)))
    assert in_order < -0.85
    for i, j in zip(*pairs, strict=True):
        order = np.arange(len(alike))
        order[[i, j]] = j, i
        assert fall_off(order) > in_order


def test_positions_are_those_of_a_head_in_metres(recording):
    place = recording.responses.columns.set_index("target")[["x", "y", "z"]]
    assert place.loc["FPz", "y"] > 0.08
    assert place.loc["Oz", "y"] < -0.04
    assert place.loc["T7", "x"] == pytest.approx(-place.loc["T8", "x"], abs=1e-3)
    assert place["z"].idxmax() == "Cz"


def test_a_linear_response_function_predicts_held_out_eeg_as_well_as_was_measured(recording):
    published = load_manifest("eeglab_sample").published["trf_r"].value
    Y = recording.responses.values.astype(float)
    n, lags = len(Y), range(103)  # 0 to 0.8 s
    pulses = np.zeros((n, 2))
    for i_kind, kind in enumerate(("square", "rt")):
        onsets = recording.events.loc[recording.events["trial_type"] == kind, "onset"]
        pulses[np.round(onsets * 128).astype(int), i_kind] = 1
    X = np.hstack([np.vstack([np.zeros((lag, 2)), pulses[: n - lag]]) for lag in lags])  # (n_samples, 206)
    scores = []
    for test in np.array_split(np.arange(n), 5):
        train = np.r_[0 : max(test[0] - 128, 0), min(test[-1] + 129, n) : n]
        X_train, Y_train = X[train] - X[train].mean(axis=0), Y[train] - Y[train].mean(axis=0)
        gram = X_train.T @ X_train + 10 * np.eye(X.shape[1])
        predicted = X[test] @ np.linalg.solve(gram, X_train.T @ Y_train)
        scores.append([np.corrcoef(predicted[:, c], Y[test, c])[0, 1] for c in range(Y.shape[1])])
    r = np.mean(scores, axis=0)
    assert r.max() == pytest.approx(published["best_channel"], abs=0.01)
    assert r.mean() == pytest.approx(published["mean_over_channels"], abs=0.01)


def test_spans_marked_as_bad_are_in_the_rows(folder, monkeypatch):
    read = eeglab_sample.read_recording

    def with_a_bad_span(path):
        raw = read(path)
        raw.annotations.append(10.0, 2.0, "BAD_blink")
        return raw

    monkeypatch.setattr(eeglab_sample, "read_recording", with_a_bad_span)
    recording = eeglab_sample.load(UNFILTERED, folder)
    bad = recording.responses.rows.loc[recording.responses.rows["bad"], "time"]
    assert bad.min() == 10.0
    assert bad.max() == pytest.approx(12.0, abs=1.5 / 128)
    assert len(recording.events) == 154


def test_another_recording_is_refused(folder, monkeypatch):
    info = mne.create_info(["EEG 000", "EEG 001"], 128.0, "eeg")
    other = mne.io.RawArray(np.zeros((2, 10)), info, verbose="WARNING")
    monkeypatch.setattr(mne.io, "read_raw_eeglab", lambda path, **more: other)
    with pytest.raises(MissingData, match=r"2 channels .* expected 32"):
        eeglab_sample.load(Config(), folder)


def test_what_is_missing_is_named_before_any_work(tmp_path):
    (tmp_path / "eeglab_sample").mkdir()
    problems = eeglab_sample.check(Config(), tmp_path)
    assert len(problems) == 2
    assert all("brainalign fetch eeglab_sample" in problem for problem in problems)
    assert "--data-dir" in eeglab_sample.check(Config(), tmp_path / "absent")[0]


def test_the_published_files_leave_nothing_to_say(folder):
    assert eeglab_sample.check(Config(), folder) == []


@pytest.mark.parametrize(
    "settings",
    [{"l_freq": 15.0}, {"l_freq": -1.0}, {"h_freq": 65.0}, {"h_freq": 0.0}, {"sfreq": 256.0}, {"sfreq": 0.0}],
)
def test_bands_and_rates_that_cannot_be_are_refused(settings):
    with pytest.raises(ValidationError):
        Config(**settings)


def test_stretches_of_made_up_targets():
    onsets = np.array([128, 128 + 100, 128 + 100 + 385]) / 128
    np.testing.assert_allclose(eeglab_sample.stretch_starts(onsets, 485 + 385) * 128, [0, 485])


@pytest.mark.parametrize(("samples", "n_samples"), [([128, 514], 771), ([129], 386), ([128], 386), ([128, 513], 771)])
def test_targets_that_leave_gaps_are_refused(samples, n_samples):
    with pytest.raises(Misaligned, match=f"gaps in a recording of {n_samples} samples"):
        eeglab_sample.stretch_starts(np.array(samples) / 128, n_samples)
