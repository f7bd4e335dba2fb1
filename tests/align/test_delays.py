import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.align.delays import delay, lags_to_delays, run_slices
from brainalign.errors import BrainalignError, Misaligned


@pytest.fixture
def two_runs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 3)), np.repeat(["a", "b"], [7, 5])


def test_order_is_delay_major_and_positive_looks_back(two_runs):
    X, run = two_runs
    out = delay(X, [0, 2], run=run)
    np.testing.assert_array_equal(out[:, :3], X)
    np.testing.assert_array_equal(out[4, 3:], X[2])
    assert out.shape == (12, 6)


def test_negative_delay_looks_ahead(two_runs):
    X, run = two_runs
    out = delay(X, [-1], run=run)
    np.testing.assert_array_equal(out[3], X[4])
    np.testing.assert_array_equal(out[6], 0)  # the last sample of run a


def test_no_sample_crosses_from_one_run_to_the_next(two_runs):
    X, run = two_runs
    whole = delay(X, [1, 2, -1], run=run)
    apart = [delay(X[run == label], [1, 2, -1], run=run[run == label]) for label in "ab"]
    np.testing.assert_array_equal(whole, np.concatenate(apart))
    np.testing.assert_array_equal(whole[7, :6], 0)  # the first sample of run b has no past
    rolled = np.concatenate([np.roll(X, d, axis=0) for d in (1, 2, -1)], axis=1)
    assert (rolled[7, :6] != 0).all()  # delays made on the stacked runs leak the end of run a


def test_wrap_is_roll_within_each_run(two_runs):
    X, run = two_runs
    out = delay(X, [1, 3], run=run, wrap=True)
    for label in "ab":
        expected = np.concatenate([np.roll(X[run == label], d, axis=0) for d in (1, 3)], axis=1)
        np.testing.assert_array_equal(out[run == label], expected)


@given(shift=st.integers(-9, 9), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_equals_the_definition(shift, lengths):
    run = np.repeat(np.arange(len(lengths)), lengths)
    X = np.arange(1.0, 1 + 2 * len(run)).reshape(-1, 2)
    out = delay(X, [shift], run=run)
    for i in range(len(run)):
        source = i - shift
        inside = 0 <= source < len(run) and run[source] == run[i]
        np.testing.assert_array_equal(out[i], X[source] if inside else 0)


def test_dtype_is_kept(two_runs):
    X, run = two_runs
    assert delay(X.astype(np.float32), [1], run=run).dtype == np.float32


def test_run_that_comes_back_is_refused(two_runs):
    X, _ = two_runs
    with pytest.raises(Misaligned, match="'a' comes back at sample 8"):
        delay(X, [1], run=["a"] * 4 + ["b"] * 4 + ["a"] * 4)


def test_slices_of_runs():
    assert run_slices(["x", "x", "y"]) == [slice(0, 2), slice(2, 3)]


@pytest.mark.parametrize("delays", [[1, 1], [0.5], [], [[1, 2]]])
def test_bad_delays_are_refused(two_runs, delays):
    X, run = two_runs
    with pytest.raises(BrainalignError, match="delay"):
        delay(X, delays, run=run)


def test_length_of_run_is_checked(two_runs):
    X, run = two_runs
    with pytest.raises(Misaligned, match="11 labels"):
        delay(X, [1], run=run[:-1])


def test_lags_are_rounded_to_samples():
    np.testing.assert_array_equal(lags_to_delays([-0.1, 0, 0.285, 1.9], 100), [-10, 0, 28, 190])
    np.testing.assert_array_equal(lags_to_delays([2, 4, 6], 1 / 2), [1, 2, 3])
    assert lags_to_delays([0.3], 10).dtype.kind == "i"
    with pytest.raises(BrainalignError, match="sfreq"):
        lags_to_delays([1], 0)
