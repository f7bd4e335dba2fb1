import numpy as np
import pytest
import scipy.stats

from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.stats.association import bootstrap_interval, permutation_correlation


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    y = rng.integers(4, 12, 26).astype(float)  # a quiz, with ties
    x = rng.standard_normal((26, 4))
    x[:, 0] += 0.5 * y
    x[:, 1] -= 0.2 * y
    return x, y


@pytest.mark.parametrize(("method", "oracle"), [("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr)])
def test_r_equals_scipy_and_p_comes_near_it(people, method, oracle):
    x, y = people
    found = permutation_correlation(x, y, n_permutations=20_000, seed=0, method=method)
    for j in range(4):
        expected = oracle(x[:, j], y)
        np.testing.assert_allclose(found.r[j], expected.statistic, rtol=1e-10)
        assert abs(found.p[j] - expected.pvalue) < 0.012
    assert found.n_subjects == 26


def test_p_of_few_subjects_equals_all_permutations():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((6, 1)), rng.standard_normal(6)

    def statistic(shuffled):
        return scipy.stats.pearsonr(shuffled, x[:, 0]).statistic

    exact = scipy.stats.permutation_test(
        (y,), statistic, permutation_type="pairings", n_resamples=np.inf, alternative="two-sided"
    )
    expected = np.mean(np.abs(exact.null_distribution) >= abs(exact.statistic) * (1 - 1e-12))
    found = permutation_correlation(x, y, n_permutations=40_000, seed=0)
    assert abs(found.p[0] - expected) < 0.01


def test_p_is_never_zero_and_says_how_small_it_can_be():
    y = np.arange(20.0)
    found = permutation_correlation(np.c_[y, -y], y, n_permutations=99, seed=0)
    np.testing.assert_array_equal(found.p, 1 / 100)
    np.testing.assert_array_equal(found.p_corrected, 1 / 100)
    np.testing.assert_allclose(found.r, [1, -1])


def test_corrected_p_is_the_maximum_over_measures(people):
    x, y = people
    found = permutation_correlation(x, y, n_permutations=2_000, seed=0)
    assert (found.p_corrected >= found.p).all()
    copies = permutation_correlation(np.repeat(x[:, :1], 5, axis=1), y, n_permutations=2_000, seed=0)
    np.testing.assert_allclose(copies.p_corrected, copies.p)  # one measure five times is one test
    one = permutation_correlation(x[:, :1], y, n_permutations=2_000, seed=0)
    np.testing.assert_array_equal(one.p, one.p_corrected)


def null_p(n_data_sets, *, n_measures, seed):
    rng = np.random.default_rng(seed)
    for i in range(n_data_sets):
        shared = rng.standard_normal((26, 1))
        x = 0.7 * shared + 0.7 * rng.standard_normal((26, n_measures))
        yield permutation_correlation(x, rng.standard_normal(26), n_permutations=499, seed=i)


def test_p_is_uniform_and_the_familywise_error_is_held_under_the_null():
    found = list(null_p(400, n_measures=6, seed=1))
    assert scipy.stats.kstest([f.p[0] for f in found], "uniform").pvalue > 0.01
    smallest_corrected = np.array([f.p_corrected.min() for f in found])
    assert scipy.stats.kstest(smallest_corrected, "uniform").pvalue > 0.01
    error = np.mean(smallest_corrected <= 0.05)
    assert error <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    uncorrected = np.mean([f.p.min() <= 0.05 for f in found])
    assert uncorrected > 0.1  # what the correction is for


def test_a_planted_correlation_is_recovered():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(2000)
    x = 0.5 * y[:, None] + np.sqrt(0.75) * rng.standard_normal((2000, 2))
    found = permutation_correlation(x, y, n_permutations=500, seed=0)
    np.testing.assert_allclose(found.r, 0.5, atol=0.05)
    interval = bootstrap_interval(x, y, n_bootstrap=500, seed=0)
    assert ((interval.low < 0.5) & (interval.high > 0.5)).all()


def rank_correlation(a, b, axis):
    return scipy.stats.pearsonr(
        scipy.stats.rankdata(a, axis=axis), scipy.stats.rankdata(b, axis=axis), axis=axis
    ).statistic


def correlation(a, b, axis):
    return scipy.stats.pearsonr(a, b, axis=axis).statistic


@pytest.mark.parametrize(("method", "statistic"), [("pearson", correlation), ("spearman", rank_correlation)])
def test_interval_equals_scipy(people, method, statistic):
    x, y = people
    ours = bootstrap_interval(x[:, :2], y, n_bootstrap=4_000, seed=0, method=method)
    for j in range(2):
        theirs = scipy.stats.bootstrap(
            (x[:, j], y),
            statistic,
            n_resamples=4_000,
            paired=True,
            method="BCa",
            vectorized=True,
            rng=np.random.default_rng(1),
        )
        np.testing.assert_allclose([ours.low[j], ours.high[j]], theirs.confidence_interval, atol=0.03)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((150, 26))
    x = 0.5 * y + np.sqrt(0.75) * rng.standard_normal((150, 26))
    intervals = [bootstrap_interval(a[:, None], b, n_bootstrap=400, seed=0) for a, b in zip(x, y, strict=True)]
    coverage = np.mean([i.low[0] < 0.5 < i.high[0] for i in intervals])
    assert 0.87 <= coverage <= 0.99


def test_a_perfect_correlation_has_an_interval():
    y = np.arange(12.0)
    interval = bootstrap_interval(np.c_[y, -y], y, n_bootstrap=200, seed=0)
    np.testing.assert_allclose(interval.low, [1, -1])
    np.testing.assert_allclose(interval.high, [1, -1])


def test_constant_measure_is_nan_and_leaves_the_others_alone(people):
    x, y = people
    with_constant = np.insert(x, 1, 0.1, axis=1)
    before, after = (permutation_correlation(a, y, n_permutations=200, seed=0) for a in (x, with_constant))
    assert np.isnan([after.r[1], after.p[1], after.p_corrected[1]]).all()
    np.testing.assert_array_equal(np.delete(after.p_corrected, 1), before.p_corrected)
    low = bootstrap_interval(with_constant, y, n_bootstrap=100, seed=0).low
    assert np.flatnonzero(np.isnan(low)).tolist() == [1]


def test_results_are_seeded_and_unit_free(people):
    x, y = people
    one, same, other = (permutation_correlation(x, y, n_permutations=300, seed=s) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.p, same.p)
    assert (one.p != other.p).any()
    tiny = permutation_correlation(x * 1e-13, y * 1e6, n_permutations=300, seed=5)
    np.testing.assert_array_equal(tiny.p, one.p)
    np.testing.assert_array_equal(
        bootstrap_interval(x, y, n_bootstrap=200, seed=5).low, bootstrap_interval(x, y, n_bootstrap=200, seed=5).low
    )


@pytest.mark.parametrize("verb", [permutation_correlation, bootstrap_interval])
def test_bad_input_is_refused(people, verb):
    x, y = people
    broken = x.copy()
    broken[3, 2] = np.nan
    with pytest.raises(BrainalignError, match="sample 3, measure 2"):
        verb(broken, y, seed=0)
    with pytest.raises(BrainalignError, match="for all 26 subjects"):
        verb(x, np.full(26, 0.1), seed=0)
    with pytest.raises(Misaligned, match=r"\(26, 4\) and \(25,\)"):
        verb(x, y[1:], seed=0)
    with pytest.raises(UnknownName, match="did you mean 'spearman'"):
        verb(x, y, seed=0, method="spearmann")


def test_confidence_must_be_a_share(people):
    with pytest.raises(BrainalignError, match="between 0 and 1"):
        bootstrap_interval(*people, seed=0, confidence=95)
