import numpy as np
import pytest
from scipy.signal import lfilter

from brainalign.align.shifts import LagScan, far_shifts, lag_scan, shift_control
from brainalign.encode.metrics import pearson
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.splits import blocks
from brainalign.errors import BrainalignError, Misaligned


def first_feature(X, Y, run):
    """Correlate the first feature with every target."""
    return pearson(Y, np.repeat(X[:, :1], Y.shape[1], axis=1))


def held_out(X, Y, run):
    folds = blocks(len(X), n=4, gap=10, run=run)
    return cross_validate(RidgeCV(), X, Y, folds=folds, run=run, metrics=("pearson",)).mean("pearson")


@pytest.fixture
def planted():
    """Two runs whose three targets follow the features by 3, 0 and -4 samples."""
    rng = np.random.default_rng(0)
    run = np.repeat(["a", "b"], [260, 190])
    X = rng.standard_normal((450, 2))
    Y = np.column_stack([np.roll(X @ [2, 1], lag) for lag in (3, 0, -4)])
    return X, Y + 0.7 * rng.standard_normal(Y.shape), run


def test_peak_is_at_the_planted_delay(planted):
    X, Y, run = planted
    scan = lag_scan(held_out, X, Y, shifts=np.arange(-8, 9), run=run)
    assert scan.scores.shape == (17, 3)
    assert scan.peak.tolist() == [3, 0, -4]
    assert not scan.at_edge.any()
    chance = np.abs(scan.shifts[:, None] - scan.peak) > 1
    assert np.abs(scan.scores[chance]).max() < 4 / np.sqrt(scan.n_samples)


@pytest.mark.parametrize("shift", [-3, 2, 5])
def test_fault_81_shifted_responses_move_the_peak_by_as_much(planted, shift):
    X, Y, run = planted
    before, after = (
        lag_scan(first_feature, X, y, shifts=np.arange(-10, 11), run=run).peak for y in (Y, np.roll(Y, shift, axis=0))
    )
    np.testing.assert_array_equal(after - before, shift)


def test_every_shift_is_scored_on_the_same_samples_of_the_same_run(planted):
    run = planted[2]
    time = np.column_stack([np.arange(450.0), run == "b"])
    seen = []

    def look(X, Y, run):
        seen.append((X.copy(), Y.copy(), run.copy()))
        return np.zeros(2)

    scan = lag_scan(look, time, time, shifts=[-2, 0, 5], run=run)
    assert scan.n_samples == 450 - 2 * 7
    for shift, (x, y, labels) in zip([-2, 0, 5], seen, strict=True):
        np.testing.assert_array_equal(x[:, 0], y[:, 0] - shift)
        np.testing.assert_array_equal(x[:, 1], y[:, 1])  # nothing crosses from one run to the other
        np.testing.assert_array_equal(y, seen[0][1])
        np.testing.assert_array_equal(labels == "b", y[:, 1])
    np.testing.assert_array_equal(seen[0][1][[0, 252, 253], 0], [5, 257, 265])


def test_peaks_of_scores_with_gaps():
    scores = np.array([[0.5, np.nan, np.nan, 0.1], [0.2, 0.3, np.nan, 0.2], [0.5, 0.1, np.nan, 0.9]])
    scan = LagScan(np.array([-2, 0, 1]), scores, 10)
    np.testing.assert_array_equal(scan.peak, [1, 0, np.nan, 1])  # of two equal ones the nearest to 0
    np.testing.assert_array_equal(scan.at_edge, [True, False, False, True])
    assert scan.peak_of_mean == 1
    assert np.isnan(LagScan(np.array([0, 1]), np.full((2, 1), np.nan), 10).peak_of_mean)


def test_what_cannot_be_scanned_is_refused(planted):
    X, Y, run = planted
    with pytest.raises(Misaligned, match="run 'b' has 190 samples: shifts from -100 to 100"):
        lag_scan(first_feature, X, Y, shifts=[-100, 100], run=run)
    with pytest.raises(BrainalignError, match="whole numbers"):
        lag_scan(first_feature, X, Y, shifts=[0.5], run=run)
    with pytest.raises(BrainalignError, match="twice"):
        lag_scan(first_feature, X, Y, shifts=[1, 1], run=run)
    with pytest.raises(Misaligned, match=r"\(450, 2\), \(449, 3\)"):
        lag_scan(first_feature, X, Y[1:], shifts=[1], run=run)


def test_control_takes_away_what_is_about_the_stimulus(planted):
    X, Y, run = planted
    shifts = far_shifts(39, smallest=20, run=run, seed=0)
    control = shift_control(held_out, X, Y[:, [1]], shifts=shifts, run=run)
    assert control.score[0] > 0.6
    assert np.abs(control.shifted).max() < 0.3
    np.testing.assert_array_equal(control.p, [1 / 40])


def test_control_rolls_each_run_for_itself(planted):
    X, Y, run = planted
    control = shift_control(first_feature, X, Y, shifts=[7, 100], run=run)
    for shift, scores in zip([7, 100], control.shifted, strict=True):
        rolled = np.concatenate([np.roll(X[run == label], shift, axis=0) for label in "ab"])
        np.testing.assert_allclose(scores, first_feature(rolled, Y, run), rtol=1e-12)


def test_p_of_the_control_is_uniform_for_unrelated_slow_series():
    p = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        x, y = lfilter([1], [1, -0.95], rng.standard_normal((2, 500)))[:, 100:]
        shifts = far_shifts(19, smallest=20, run=np.zeros(400), seed=seed)
        p.extend(shift_control(first_feature, x[:, None], y[:, None], shifts=shifts, run=np.zeros(400)).p)
    assert abs(np.mean(np.array(p) <= 0.1) - 0.1) < 2.5 * np.sqrt(0.09 / 150)
    assert abs(np.mean(p) - 0.525) < 2.5 * np.sqrt(1 / 12 / 150)


def test_a_target_without_a_score_has_no_p(planted):
    X, Y, run = planted
    control = shift_control(first_feature, X, np.column_stack([Y[:, 1], np.ones(450)]), shifts=[30, 60], run=run)
    assert np.isnan(control.p[1])
    assert control.p[0] == 1 / 3


def test_shifts_that_move_nothing_are_refused(planted):
    X, Y, run = planted
    with pytest.raises(BrainalignError, match="a shift by 190 moves nothing in run 'b' of 190"):
        shift_control(first_feature, X, Y, shifts=[190], run=run)


def test_far_shifts_are_far_both_ways_round():
    run = np.repeat(["a", "b"], [70, 50])
    shifts = far_shifts(11, smallest=20, run=run, seed=3)
    np.testing.assert_array_equal(shifts, np.arange(20, 31))
    np.testing.assert_array_equal(
        far_shifts(5, smallest=20, run=run, seed=3), far_shifts(5, smallest=20, run=run, seed=3)
    )
    with pytest.raises(BrainalignError, match="11 shifts move it by 20 or more"):
        far_shifts(12, smallest=20, run=run, seed=3)
    with pytest.raises(BrainalignError, match="1 sample or more"):
        far_shifts(1, smallest=0, run=run, seed=3)
