import tracemalloc

import mne
import numpy as np
import pandas as pd
import pytest

from brainalign.align.epochs import BAD, LEAVES, by_channel_and_lag, sampling_rate, to_epochs
from brainalign.align.samples import to_events
from brainalign.arrays import Activations, Responses
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.splits import group_blocks
from brainalign.errors import BrainalignError, Misaligned


def recording(values, *, sfreq=100.0, starts=(0.0,), bad=None, dtype=np.float64):
    """Runs of equal length, one after the other, each on a clock of its own."""
    values = np.asarray(values, dtype)
    n = len(values) // len(starts)
    rows = pd.DataFrame({"run": np.repeat([str(i + 1) for i in range(len(starts))], n)})
    rows["time"] = np.concatenate([start + np.arange(n) / sfreq for start in starts])
    rows["duration"] = 1 / sfreq
    if bad is not None:
        rows["bad"] = bad
    columns = pd.DataFrame({"subject": "s1", "target": [f"MEG{i}" for i in range(values.shape[1])]})
    return Responses(values, rows, columns.assign(channel_type="mag"), {"source": "made up"})


def events_at(onsets, *, runs="1", duration=0.3):
    events = pd.DataFrame({"run": runs, "onset": np.asarray(onsets, float), "duration": duration})
    return events.assign(word=[f"w{i}" for i in range(len(events))])


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal((1000, 3))


@pytest.mark.parametrize("baseline", [None, (-20, 0), (-9, -5), (0, 30)])
@pytest.mark.parametrize(("sfreq", "decimate"), [(100.0, 1), (100.0, 4), (128.0, 1), (300.30749, 2)])
def test_equals_mne(noise, baseline, sfreq, decimate):
    samples = np.array([60, 101, 333, 640, 800])
    info = mne.create_info(3, sfreq, "mag")
    with info._unlock():
        info["lowpass"] = 5.0
    raw = mne.io.RawArray(noise.T, info, verbose="error")
    tmin = -20 / sfreq  # a multiple of decimate, from which mne counts
    settings = {"tmin": tmin, "tmax": 0.4, "baseline": baseline and tuple(sample / sfreq for sample in baseline)}
    table = np.c_[samples, np.zeros_like(samples), np.arange(1, 6)]
    expected = mne.Epochs(raw, table, decim=decimate, preload=True, verbose="error", **settings)
    found = to_epochs(
        recording(noise, sfreq=sfreq), events_at(samples / sfreq), decimate=decimate, lowpass=5.0, **settings
    )
    n_lags = len(expected.times)
    np.testing.assert_allclose(found.responses.values.reshape(5, 3, n_lags), expected.get_data(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.responses.columns["lag"][:n_lags], expected.times, atol=1e-12)
    assert len(found.dropped) == 0
    assert found.dropped_share == 0


def test_columns_are_all_lags_of_a_channel_and_then_the_next(noise):
    found = to_epochs(recording(noise, dtype=np.float32), events_at([3.0, 5.0]), tmin=-0.01, tmax=0.02).responses
    assert found.values.dtype == np.float32
    assert found.columns["target"].tolist() == ["MEG0"] * 4 + ["MEG1"] * 4 + ["MEG2"] * 4
    np.testing.assert_allclose(found.columns["lag"], np.tile([-0.01, 0, 0.01, 0.02], 3))
    assert set(found.columns) == {"subject", "target", "channel_type", "lag"}
    np.testing.assert_array_equal(found.values[0], noise[299:303].T.ravel().astype(np.float32))
    assert found.rows.to_dict("list") == {
        "run": ["1", "1"],
        "time": [3.0, 5.0],
        "duration": [0.3, 0.3],
        "event": [0, 1],
    }
    assert found.provenance["source"] == "made up"


def test_onsets_between_samples_go_to_the_nearest_and_the_largest_error_is_kept(noise):
    onsets = [3.0, 3.1004, 3.2046, 3.3951]
    found = to_epochs(recording(noise), events_at(onsets), tmin=0, tmax=0)
    np.testing.assert_array_equal(found.responses.values, noise[[300, 310, 320, 340]])
    assert found.responses.provenance["epochs"]["max_rounding_error"] == pytest.approx(0.0049)
    halves = to_epochs(recording(noise, sfreq=128.0), events_at(np.array([10.5, 11.5]) / 128), tmin=0, tmax=0)
    np.testing.assert_array_equal(halves.responses.values, noise[[10, 12]])
    assert halves.responses.provenance["epochs"]["max_rounding_error"] == 0.5 / 128


def test_every_lag_of_a_decimated_window_is_within_it_and_zero_is_one(noise):
    found = to_epochs(recording(noise), events_at([3.0]), tmin=-0.05, tmax=0.06, decimate=4, lowpass=8.0)
    np.testing.assert_allclose(found.responses.columns["lag"][:3], [-0.04, 0, 0.04])
    np.testing.assert_array_equal(found.responses.values[0, :3], noise[[296, 300, 304], 0])


def test_baseline_is_of_all_samples_also_where_lags_are_decimated(noise):
    settings = {"tmin": -0.2, "tmax": 0.2, "baseline": (-0.2, 0)}
    every = to_epochs(recording(noise), events_at([3.0]), **settings).responses
    fewer = to_epochs(recording(noise), events_at([3.0]), decimate=5, lowpass=1.0, **settings).responses
    np.testing.assert_array_equal(fewer.values.reshape(3, -1), every.values.reshape(3, -1)[:, ::5])
    np.testing.assert_allclose(every.values.reshape(3, -1)[:, :21].mean(axis=1), 0, atol=1e-15)


def test_runs_have_their_own_clocks_and_no_window_crosses(noise):
    runs = recording(noise, starts=(0.0, 100.0))
    events = events_at([4.9, 0.0, 104.0, 100.0], runs=["1", "1", "2", "2"])
    found = to_epochs(runs, events, tmin=-0.05, tmax=0.2)
    assert found.responses.rows["event"].tolist() == [2]
    np.testing.assert_array_equal(found.responses.values.reshape(3, -1), noise[895:921].T)
    assert found.dropped["event"].tolist() == [0, 1, 3]
    assert set(found.dropped["reason"]) == {LEAVES}
    assert found.dropped_share == 0.75
    assert found.responses.provenance["epochs"]["dropped"] == {LEAVES: 3}
    whole = to_epochs(runs, events, tmin=0, tmax=0.09)  # up to the last sample of run 1, from the first of both
    assert whole.responses.rows["event"].tolist() == [1, 0, 3, 2]


def test_fault_57_bad_samples_drop_the_event_and_its_features(noise):
    bad = np.zeros(1000, bool)
    bad[[250, 519]] = True  # the last of the window of event 3, and just before that of event 4
    events = events_at([2.0, 2.4, 2.51, 5.0, 5.21, 9.95])
    found = to_epochs(recording(noise, bad=bad), events, tmin=-0.01, tmax=0.19)
    assert found.dropped.to_dict("list") == {
        "event": [1, 2, 3, 5],
        "run": ["1"] * 4,
        "onset": [2.4, 2.51, 5.0, 9.95],
        "reason": [BAD, BAD, BAD, LEAVES],
    }
    assert found.responses.provenance["epochs"]["dropped"] == {LEAVES: 1, BAD: 3}
    assert found.responses.provenance["epochs"]["n_events"] == 6
    X = Activations(np.arange(12.0).reshape(6, 2), events, pd.DataFrame({"layer": "0", "unit": [0, 1]}))
    np.testing.assert_array_equal(to_events(X, found.responses.rows), X.values[[0, 4]])


def test_fault_61_events_out_of_order_keep_their_place_among_the_events(noise):
    onsets = np.array([5.0, 2.0, 7.0, 1.0])
    found = to_epochs(recording(noise), events_at(onsets), tmin=0, tmax=0.1).responses
    assert found.rows["event"].tolist() == [3, 1, 0, 2]
    np.testing.assert_array_equal(found.rows["time"], onsets[[3, 1, 0, 2]])
    np.testing.assert_array_equal(found.values[:, 0], noise[[100, 200, 500, 700], 0])


@pytest.mark.parametrize(("onset", "covers"), [(10.0, "0 to 10"), (-0.01, "0 to 10"), (3000.0, "0 to 10")])
def test_fault_63_an_onset_beyond_the_recording_is_an_error_that_names_the_event(noise, onset, covers):
    with pytest.raises(Misaligned, match=rf"event 1 'w1' at {onset} s of run '1' is outside.*covers {covers} s"):
        to_epochs(recording(noise), events_at([3.0, onset]), tmin=0, tmax=0.1)


def test_an_onset_within_the_last_half_sample_is_dropped_but_is_no_error(noise):
    found = to_epochs(recording(noise), events_at([3.0, 9.996]), tmin=0, tmax=0)
    assert found.dropped["event"].tolist() == [1]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (events_at([3.0, np.nan]), "event 1 'w1' at nan"),  # fault 64
        (events_at([3.0, 4.0], duration=[0.1, -0.1]), r"event 1.*lasts -0\.1 s"),
        (events_at([3.0, 4.0, 3.0]), "event 2 'w2'.*onset of another"),  # fault 62
        (events_at([3.0], runs="9"), r"run \['9'\].*\['1'\]"),
        (events_at([3.0]).drop(columns="duration"), "duration"),
        (events_at([]), "there are none"),
        (events_at([9.95, 9.99]), f"of 2.*{LEAVES}': 2"),
    ],
)
def test_events_that_cannot_be_cut_are_refused(noise, events, message):
    with pytest.raises(Misaligned, match=message):
        to_epochs(recording(noise), events, tmin=0, tmax=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tmin": 0.2, "tmax": 0.1}, "tmin 0.2"),
        ({"tmin": np.nan}, "finite"),
        ({"baseline": (-0.2, 0)}, "within tmin"),
        ({"baseline": (0.1, 0.0)}, "within tmin"),
        ({"decimate": 0}, "decimate"),
        ({"decimate": 2.0}, "decimate"),
        ({"decimate": 8, "tmin": 0.01, "tmax": 0.07, "lowpass": 1.0}, "every 8"),
    ],
)
def test_windows_that_are_none_are_refused(noise, settings, message):
    with pytest.raises(BrainalignError, match=message):
        to_epochs(recording(noise), events_at([3.0]), **{"tmin": 0, "tmax": 0.1, **settings})


@pytest.mark.parametrize("lowpass", [None, 8.4, 40.0, np.nan])
def test_decimation_without_a_sufficient_low_pass_is_refused(noise, lowpass):
    with pytest.raises(BrainalignError, match=r"below 8\.33333 Hz"):
        to_epochs(recording(noise), events_at([3.0]), tmin=0, tmax=0.1, decimate=4, lowpass=lowpass)
    allowed = to_epochs(recording(noise), events_at([3.0]), tmin=0, tmax=0.1, decimate=4, lowpass=8.3)
    assert allowed.responses.provenance["epochs"]["lowpass"] == 8.3


def test_fault_55_runs_of_different_rates_are_refused(noise):
    two = recording(noise, starts=(0.0, 0.0))
    rows = two.rows.copy()
    rows.loc[500:, "duration"] = 1 / 128
    with pytest.raises(Misaligned, match=r"sample 500 of run '2'.*resample"):
        sampling_rate(rows)


def test_missing_samples_are_refused(noise):
    assert sampling_rate(recording(noise, sfreq=300.30749, starts=(0.0, 7.0)).rows) == pytest.approx(300.30749)
    hole = recording(noise).take_rows(np.r_[:400, 401:1000])
    with pytest.raises(Misaligned, match="run '1': sample 400"):
        to_epochs(hole, events_at([3.0]), tmin=0, tmax=0.1)


def test_fault_44_a_missing_value_is_named_but_only_where_it_is_used(noise):
    noise[305, 1] = np.nan
    with pytest.raises(BrainalignError, match=r"channel 'MEG1' of subject 's1'.*run '1' near 3\.05 s"):
        to_epochs(recording(noise), events_at([3.0, 5.0]), tmin=0, tmax=0.1)
    bad = np.arange(1000) == 305
    found = to_epochs(recording(noise, bad=bad), events_at([3.0, 5.0]), tmin=0, tmax=0.1)
    assert np.isfinite(found.responses.values).all()
    assert found.dropped["event"].tolist() == [0]


def test_memory_is_that_of_the_result(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "values.npy", rng.standard_normal((20_000, 40)).astype(np.float32))
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    whole = recording(np.zeros((20_000, 40)))
    events = events_at(np.arange(300) * 0.3 + 1)
    tracemalloc.start()
    found = to_epochs(
        Responses(mapped, whole.rows, whole.columns), events, tmin=-0.5, tmax=2.0, baseline=(-0.5, 0)
    ).responses
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.values.nbytes == 300 * 40 * 251 * 4
    assert peak < found.values.nbytes + 8e6


@pytest.mark.parametrize("unit", [1e-6, 1e-13, 1e6])
def test_fault_43_units_and_mixed_sensors_change_no_score(unit):
    rng = np.random.default_rng(1)
    n_events, n_channels = 200, 6
    X, onsets = rng.standard_normal((n_events, 4)), 1 + np.arange(n_events) * 0.4
    values = rng.standard_normal((10_000, n_channels)) + 3
    samples = np.rint(onsets * 100).astype(int)
    values[samples + 12] += X @ rng.standard_normal((4, n_channels))
    values[:, 5] = values[:, 0] - values[:, 1]  # one dimension less than channels, as after SSS
    units = np.array([unit, 1, 1e-13, 1e-6, unit, 1e-12])
    scores = []
    for scaled in (values, values * units):
        Y = to_epochs(recording(scaled), events_at(onsets), tmin=-0.1, tmax=0.2, baseline=(-0.1, 0)).responses
        found = cross_validate(RidgeCV(), X, Y.values, folds=group_blocks(np.arange(n_events) // 5, n=5))
        scores.append(by_channel_and_lag(found.mean("pearson"), Y.columns).to_numpy())
    assert np.isfinite(scores[0]).all()
    assert scores[0].max() > 0.5
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-7)


def test_planted_latencies_come_back_and_nothing_before_the_onset():
    """Acceptance test C1 of Caucheteux & King (2022): A drives 100 ms, B 400 ms after the word."""
    rng = np.random.default_rng(2)
    n_events = 900
    onsets = 1 + np.cumsum(rng.uniform(0.3, 0.5, n_events))
    early, late = rng.standard_normal((2, n_events, 3))
    values = rng.standard_normal((int(onsets[-1] * 100) + 200, 4))
    samples = np.rint(onsets * 100).astype(int)
    values[samples + 10] += early @ rng.standard_normal((3, 4))
    values[samples + 40] += late @ rng.standard_normal((3, 4))
    epochs = to_epochs(recording(values), events_at(onsets), tmin=-0.2, tmax=0.6).responses
    sentence = np.arange(n_events) // 10
    for X, latency in ((early, 0.1), (late, 0.4)):
        folds = group_blocks(sentence, n=5)
        found = cross_validate(RidgeCV(), X, epochs.values, folds=folds, groups=sentence)
        table = by_channel_and_lag(found.mean("pearson"), epochs.columns)
        peaks = table.columns[table.to_numpy().argmax(axis=1)]
        assert np.abs(peaks - latency).max() <= 0.01
        before = table.loc[:, :-0.05].to_numpy()
        assert np.abs(before).max() < 4.5 / np.sqrt(n_events)  # 64 values
        assert abs(before.mean()) < 3 / np.sqrt(n_events * 4)


def test_scores_come_back_as_a_table_of_channels_by_lags(noise):
    columns = to_epochs(recording(noise), events_at([3.0]), tmin=-0.01, tmax=0.02).responses.columns
    values = np.arange(12.0)
    values[7] = np.nan
    table = by_channel_and_lag(values, columns)
    assert table.index.tolist() == [("s1", "MEG0"), ("s1", "MEG1"), ("s1", "MEG2")]
    np.testing.assert_array_equal(table, values.reshape(3, 4))
    np.testing.assert_allclose(table.columns, [-0.01, 0, 0.01, 0.02])
    two = columns["target"] != "MEG1"
    np.testing.assert_array_equal(by_channel_and_lag(values[two], columns[two]), values.reshape(3, 4)[[0, 2]])


@pytest.mark.parametrize("keep", [slice(0, 11), slice(1, 12), [0, 4, 8, 1, 5, 9], slice(None, None, 3)])
def test_a_table_of_parts_of_channels_is_refused(noise, keep):
    columns = to_epochs(recording(noise), events_at([3.0]), tmin=-0.01, tmax=0.02).responses.columns.iloc[keep]
    with pytest.raises(Misaligned, match="whole channels"):
        by_channel_and_lag(np.zeros(len(columns)), columns)
    with pytest.raises(Misaligned, match="one for each"):
        by_channel_and_lag(np.zeros(len(columns) + 1), columns)


def test_a_table_with_a_channel_twice_is_refused(noise):
    columns = to_epochs(recording(noise), events_at([3.0]), tmin=-0.01, tmax=0.02).responses.columns
    with pytest.raises(Misaligned, match="whole channels"):
        by_channel_and_lag(np.zeros(24), pd.concat([columns, columns], ignore_index=True))
