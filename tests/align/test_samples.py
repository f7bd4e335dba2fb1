import numpy as np
import pandas as pd
import pytest

from brainalign.align.samples import to_events, to_samples
from brainalign.arrays import Activations
from brainalign.errors import Misaligned, UnknownName


def activations(onsets, *, runs=None, n_features=2):
    n = len(onsets)
    rows = pd.DataFrame({"run": runs or ["1"] * n, "onset": np.asarray(onsets, float), "duration": 0.1})
    rows["word"] = [f"w{i}" for i in range(n)]
    columns = pd.DataFrame({"layer": "0", "unit": np.arange(n_features)})
    values = np.random.default_rng(0).standard_normal((n, n_features)).astype(np.float32)
    return Activations(values, rows, columns)


def samples(n, tr, *, run="1", start=0.0):
    return pd.DataFrame({"run": run, "time": start + np.arange(n) * tr, "duration": tr})


def test_sum_and_mean_equal_a_loop():
    rng = np.random.default_rng(1)
    events = activations(np.sort(rng.uniform(0, 20, 60)))
    rows = samples(10, 2.0)
    total, mean = to_samples(events, rows, bin="sum"), to_samples(events, rows, bin="mean")
    for i, time in enumerate(rows["time"]):
        inside = ((events.rows["onset"] >= time) & (events.rows["onset"] < time + 2)).to_numpy()
        np.testing.assert_allclose(total[i], events.values[inside].sum(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mean[i], events.values[inside].mean(axis=0), rtol=1e-5, atol=1e-6)
    assert total.dtype == np.float32


def test_order_of_events_and_runs_does_not_matter():
    onsets, runs = [0.5, 2.5, 1.0, 3.0], ["1", "1", "2", "2"]
    events = activations(onsets, runs=runs)
    rows = pd.concat([samples(2, 2.0, run="2"), samples(2, 2.0, run="1")])
    X = to_samples(events, rows)
    np.testing.assert_array_equal(X, events.values[[2, 3, 0, 1]])
    shuffled = events.take_rows(np.array([3, 0, 2, 1]))
    np.testing.assert_array_equal(to_samples(shuffled, rows), X)


def test_samples_without_events_are_zero():
    X = to_samples(activations([0.1, 4.1]), samples(4, 2.0), bin="mean")
    np.testing.assert_array_equal(X[[1, 3]], 0)
    assert (X[[0, 2]] != 0).all()


@pytest.mark.parametrize("tr", [0.1, 0.3, 0.72, 1.5, 2.0, 1 / 3])
def test_onset_on_an_edge_belongs_to_the_sample_that_begins_there(tr):
    n = 200
    onsets = np.round(np.arange(n) * tr, 6)  # as a file writes it, to the microsecond
    events = activations(onsets)
    np.testing.assert_array_equal(to_samples(events, samples(n, tr)), events.values)
    np.testing.assert_array_equal(
        to_samples(activations(np.cumsum(np.full(n, tr)) - tr), samples(n, tr)), events.values
    )


@pytest.mark.parametrize("onset", [-0.01, 19.99, 31.0])
def test_an_event_outside_the_recording_is_an_error_that_names_it(onset):
    rows = samples(5, 2.0, start=0 if onset < 0 or onset > 30 else 20.0)
    with pytest.raises(Misaligned, match=rf"event 1 'w1' at {onset} s of run '1'"):
        to_samples(activations([20.5 if onset == 19.99 else 0.5, onset]), rows)


def test_the_end_of_the_last_sample_is_outside():
    with pytest.raises(Misaligned, match="belongs to no sample"):
        to_samples(activations([10.0]), samples(5, 2.0))


def test_an_event_between_two_samples_is_an_error():
    rows = samples(3, 2.0).assign(duration=1.0)
    assert to_samples(activations([2.5]), rows)[1].any()
    with pytest.raises(Misaligned, match=r"at 3\.5 s"):
        to_samples(activations([3.5]), rows)


def test_a_run_that_was_not_recorded_is_an_error():
    with pytest.raises(Misaligned, match=r"run '9'.*\['1'\]"):
        to_samples(activations([1.0], runs=["9"]), samples(5, 2.0))


def test_samples_out_of_order_or_overlapping_are_refused():
    rows = samples(5, 2.0)
    with pytest.raises(Misaligned, match="sort the samples"):
        to_samples(activations([1.0]), rows.iloc[::-1])
    with pytest.raises(Misaligned, match="sort the samples"):
        to_samples(activations([1.0]), rows.assign(duration=2.5))


def test_missing_onset_is_an_error():
    with pytest.raises(Misaligned, match="row 1 is nan"):
        to_samples(activations([1.0, np.nan]), samples(5, 2.0))


def test_unknown_bin_suggests():
    with pytest.raises(UnknownName, match="did you mean 'mean'"):
        to_samples(activations([1.0]), samples(5, 2.0), bin="meen")


def test_events_are_taken_by_position():
    events = activations([0.0, 1.0, 2.0])
    rows = samples(4, 1.0).assign(event=[2, 0, 0, 1])
    np.testing.assert_array_equal(to_events(events, rows), events.values[[2, 0, 0, 1]])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([0, 3], "sample 1 is the response to event 3"),
        ([0, -1], "event -1"),
        ([0.0, 1.0], "whole numbers"),
        (None, "no column"),
    ],
)
def test_bad_positions_of_events_are_refused(event, message):
    rows = samples(2, 1.0) if event is None else samples(2, 1.0).assign(event=event)
    with pytest.raises(Misaligned, match=message):
        to_events(activations([0.0, 1.0, 2.0]), rows)


def test_event_of_another_run_is_refused():
    events = activations([0.0, 1.0], runs=["1", "2"])
    with pytest.raises(Misaligned, match="of run '2'"):
        to_events(events, samples(2, 1.0).assign(event=[0, 1]))
