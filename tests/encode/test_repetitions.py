import numpy as np
import pytest

from brainalign.encode.ceiling import noise_ceiling_snr
from brainalign.encode.repetitions import split_half_of_repetitions
from brainalign.errors import BrainalignError, Misaligned


def presented(n_of, *, noise, n_targets=40, seed=0):
    """Responses to stimuli that were presented n_of times each, in random order, and their signal (variance 1)."""
    rng = np.random.default_rng(seed)
    stimulus = rng.permutation(np.repeat(np.arange(len(n_of)), n_of))
    signal = rng.standard_normal((len(n_of), n_targets))[stimulus]
    return signal, signal + noise * rng.standard_normal(signal.shape), stimulus


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n_repetitions", [2, 3, 4, 7])
def test_the_ceiling_of_single_trials_is_that_of_the_planted_noise(noise, n_repetitions):
    signal, Y, stimulus = presented(np.full(300, n_repetitions), noise=noise)
    ceiling = split_half_of_repetitions(Y, stimulus, n_splits=20, seed=0)
    analytic = 1 / np.sqrt(1 + noise**2)
    assert ceiling.value.mean() == pytest.approx(analytic, abs=0.015)
    reached = [np.corrcoef(signal[:, j], Y[:, j])[0, 1] for j in range(Y.shape[1])]
    assert ceiling.value.mean() == pytest.approx(np.mean(reached), abs=0.015)
    assert ceiling.raw.mean() == pytest.approx(1 / (1 + noise**2 / (n_repetitions // 2)), abs=0.015)
    assert (ceiling.unit, ceiling.kind) == ("r", "split-half of repetitions (single trial, r)")


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_unequal_numbers_of_repetitions_need_no_other_ceiling(noise):
    n_of = np.r_[np.full(150, 2), np.full(100, 3), np.full(60, 9), np.ones(80, int)]
    _, Y, stimulus = presented(n_of, noise=noise, n_targets=60)
    ceiling = split_half_of_repetitions(Y, stimulus, n_splits=20, seed=0)
    assert ceiling.value.mean() == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.015)


def test_the_ceiling_of_an_average_is_spearman_brown():
    noise, n = 2.0, 6
    signal, Y, stimulus = presented(np.full(500, n), noise=noise)
    ceiling = split_half_of_repetitions(Y, stimulus, n_averaged=n, n_splits=20, seed=0)
    r = ceiling.raw
    np.testing.assert_allclose(ceiling.value, np.sqrt(2 * r / (1 + r)), rtol=1e-12)  # two halves make the whole
    means = np.stack([Y[stimulus == i].mean(axis=0) for i in range(500)])
    truth = np.stack([signal[stimulus == i][0] for i in range(500)])
    reached = [np.corrcoef(truth[:, j], means[:, j])[0, 1] for j in range(Y.shape[1])]
    assert ceiling.value.mean() == pytest.approx(np.mean(reached), abs=0.01)
    assert ceiling.value.mean() > split_half_of_repetitions(Y, stimulus, n_splits=20, seed=0).value.mean() + 0.2
    assert ceiling.kind == "split-half of repetitions (mean of 6 trials, r)"


def test_two_presentations_of_everything_in_two_runs_are_their_correlation():
    rng = np.random.default_rng(0)
    first = rng.standard_normal((200, 5))
    Y = np.vstack([first, first + rng.standard_normal((200, 5))])
    stimulus, run = np.tile(np.arange(200), 2), np.repeat(["1", "2"], 200)
    ceiling = split_half_of_repetitions(Y, stimulus, groups=run, n_splits=4, seed=0)
    r = np.array([np.corrcoef(Y[:200, j], Y[200:, j])[0, 1] for j in range(5)])
    np.testing.assert_allclose(ceiling.raw, r, rtol=1e-12)
    np.testing.assert_allclose(ceiling.value, np.sqrt(r), rtol=1e-12)


def test_whole_runs_make_up_the_halves():
    """Four runs of which two pairs are equal: halves of whole runs agree wholly or not at all, in 2 of 3 and 1 of 3."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 400, 3))
    Y = np.vstack([a, a, b, b])
    stimulus, run = np.tile(np.arange(400), 4), np.repeat(["1", "2", "3", "4"], 400)
    ceiling = split_half_of_repetitions(Y, stimulus, groups=run, n_splits=300, seed=0)
    opposed = [np.corrcoef(a[:, j], b[:, j])[0, 1] for j in range(3)]
    np.testing.assert_allclose(ceiling.raw, 2 / 3 + np.array(opposed) / 3, atol=0.09)


def test_it_agrees_with_the_analysis_of_variance():
    _, Y, stimulus = presented(np.r_[np.full(200, 4), np.full(200, 2)], noise=1.5)
    halves = split_half_of_repetitions(Y, stimulus, n_splits=50, seed=0).value
    variances = np.sqrt(noise_ceiling_snr(Y, n_averaged=1, stimulus=stimulus).value)
    np.testing.assert_allclose(halves, variances, atol=0.06)
    assert np.mean(halves - variances) == pytest.approx(0, abs=0.005)


def test_noise_has_no_ceiling_or_a_small_one():
    _, Y, stimulus = presented(np.full(100, 4), noise=1.0, n_targets=400)
    Y = np.random.default_rng(1).standard_normal(Y.shape)
    ceiling = split_half_of_repetitions(Y, stimulus, n_splits=20, seed=0)
    assert abs(ceiling.raw.mean()) < 0.01
    np.testing.assert_array_equal(np.isnan(ceiling.value), ceiling.raw <= 0)
    assert 0.3 < np.isnan(ceiling.value).mean() < 0.7


@pytest.mark.parametrize("unit", [1e-13, 1e-6, 1e6])
def test_fault_43_the_unit_of_the_responses_decides_nothing(unit):
    _, Y, stimulus = presented(np.full(30, 3), noise=1.0)
    one = split_half_of_repetitions(Y, stimulus, n_splits=5, seed=0)
    other = split_half_of_repetitions(Y * unit + unit, stimulus, n_splits=5, seed=0)
    np.testing.assert_allclose(other.value, one.value, rtol=1e-9)


def test_fault_44_nan_is_refused_by_name():
    _, Y, stimulus = presented(np.full(30, 3), noise=1.0)
    Y[4, 7] = np.nan
    with pytest.raises(BrainalignError, match="Y is nan at sample 4, target 7"):
        split_half_of_repetitions(Y, stimulus, seed=0)


def test_fault_45_constant_targets_are_nan_whatever_their_rounding():
    _, Y, stimulus = presented(np.r_[np.full(30, 3), np.full(30, 50)], noise=1.0)
    Y[:, 0] = 0.1
    Y[:, 3] = np.where(stimulus % 2, 0.1, np.nextafter(0.1, 1))
    value = split_half_of_repetitions(Y, stimulus, n_splits=5, seed=0).value
    assert np.flatnonzero(np.isnan(value)).tolist() == [0, 3]


def test_many_targets_are_computed_block_by_block(monkeypatch):
    _, Y, stimulus = presented(np.full(30, 3), noise=1.0)
    whole = split_half_of_repetitions(Y, stimulus, n_splits=5, seed=0).value
    monkeypatch.setattr("brainalign.encode.repetitions.BLOCK", 7 * len(Y))
    np.testing.assert_allclose(split_half_of_repetitions(Y, stimulus, n_splits=5, seed=0).value, whole, rtol=1e-12)
    single = split_half_of_repetitions(Y.astype(np.float32), stimulus, n_splits=5, seed=0).value
    np.testing.assert_allclose(single, whole, rtol=1e-4)


def test_the_order_of_samples_and_names_of_stimuli_do_not_matter_beyond_the_draws():
    _, Y, stimulus = presented(np.full(100, 4), noise=1.0)
    order = np.random.default_rng(0).permutation(len(Y))
    names = np.array([f"image {i}" for i in range(100)])
    one = split_half_of_repetitions(Y, stimulus, n_splits=100, seed=0).value
    other = split_half_of_repetitions(Y[order], names[stimulus[order]], n_splits=100, seed=0).value
    np.testing.assert_allclose(one, other, atol=0.03)
    same = split_half_of_repetitions(Y, stimulus, n_splits=100, seed=0).value
    np.testing.assert_array_equal(one, same)
    assert (one != split_half_of_repetitions(Y, stimulus, n_splits=100, seed=1).value).any()


def test_what_cannot_give_a_ceiling_is_refused():
    _, Y, stimulus = presented(np.r_[2, 2, np.ones(20, int)], noise=1.0)
    with pytest.raises(BrainalignError, match="at least 3 stimuli that were presented at least twice, got 2 of 22"):
        split_half_of_repetitions(Y, stimulus, seed=0)
    with pytest.raises(Misaligned, match="one stimulus and one group for each sample"):
        split_half_of_repetitions(Y, stimulus[:-1], seed=0)
    with pytest.raises(BrainalignError, match=r"n_averaged must be at least 1 presentation, got 0\.5"):
        split_half_of_repetitions(Y, stimulus, n_averaged=0.5, seed=0)
