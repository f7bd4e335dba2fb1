"""Features that have nothing to do with the responses must score at chance with the default splits."""

import numpy as np
import pytest
from scipy.signal import lfilter

from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.splits import Blocks, Fold, blocks, by_group, group_blocks
from brainalign.errors import BrainalignError

ALPHAS = np.logspace(-3, 8, 12)


def slow(rng, shape, *, memory):
    """First-order autoregressive series, a random walk at memory 1."""
    return lfilter([1], [1, -memory], rng.standard_normal(shape), axis=0)


def scattered_folds(n_samples, *, n, rng):
    """Shuffled K-fold: what this package never makes."""
    parts = np.array_split(rng.permutation(n_samples), n)
    return [Fold(np.setdiff1d(np.arange(n_samples), part), np.sort(part)) for part in parts]


def scattered_inner(n_samples, *, rng):
    return RidgeCV(ALPHAS, inner=scattered_folds(n_samples, n=5, rng=rng))


def at_most(scores, bound):
    """Tell whether the mean over seeds is within two standard errors of not exceeding a bound."""
    return np.mean(scores) - 2 * np.std(scores, ddof=1) / np.sqrt(len(scores)) <= bound


def around(scores, expected):
    """Tell whether the mean over seeds is within two standard errors of a value."""
    return abs(np.mean(scores) - expected) <= 2 * np.std(scores, ddof=1) / np.sqrt(len(scores))


class TestStimuliShownTwice:
    """Features unrelated to the brain, but the same at both presentations of a stimulus, as the response is."""

    n_stimuli = 150

    def make(self, seed):
        rng = np.random.default_rng(seed)
        stimulus = rng.permutation(np.tile(np.arange(self.n_stimuli), 2))
        X = rng.standard_normal((self.n_stimuli, 200))[stimulus]
        response = rng.standard_normal((self.n_stimuli, 10))[stimulus]
        return X, response + 0.3 * rng.standard_normal(response.shape), stimulus, rng

    def test_grouped_folds_score_at_chance(self):
        r, r2 = [], []
        for seed in range(15):
            X, Y, stimulus, _ = self.make(seed)
            found = cross_validate(RidgeCV(ALPHAS), X, Y, folds=group_blocks(stimulus, n=5), groups=stimulus)
            r.append(found.mean("pearson").mean())
            r2.append(found.mean("r2").mean())
        assert around(r, 0)
        assert np.mean(r2) <= 0.05

    def test_the_guard_refuses_blocks_that_split_a_stimulus(self):
        X, Y, stimulus, _ = self.make(0)
        with pytest.raises(BrainalignError, match="split by groups = stimulus"):
            cross_validate(RidgeCV(ALPHAS), X, Y, folds=blocks(300, n=5), groups=stimulus)
        with pytest.raises(BrainalignError, match="split by groups"):
            blocks(300, n=5, groups=stimulus)

    def test_shuffled_folds_leak(self):
        X, Y, _, rng = self.make(0)
        folds = scattered_folds(300, n=10, rng=rng)
        found = cross_validate(RidgeCV(ALPHAS, inner=scattered_folds(270, n=10, rng=rng)), X, Y, folds=folds)
        assert found.mean("r2").mean() > 0.5


class TestRandomWalks:
    """Two independent slow series resemble each other by accident, and their neighbours by nature."""

    @staticmethod
    def scores(memory, *, n_features, n_seeds, gap, n_samples=400):
        r, r2 = [], []
        for seed in range(n_seeds):
            rng = np.random.default_rng(seed)
            X, Y = slow(rng, (n_samples, n_features), memory=memory), slow(rng, (n_samples, 1), memory=memory)
            folds = blocks(n_samples, n=5, gap=gap)
            found = cross_validate(RidgeCV(ALPHAS), X, Y, folds=folds, run=np.zeros(n_samples))
            r.append(found.mean("pearson")[0])
            r2.append(found.mean("r2")[0])
        return r, r2

    def test_two_walks_score_at_chance_with_contiguous_blocks_and_a_gap(self):
        r, r2 = self.scores(1.0, n_features=1, n_seeds=120, gap=6)
        assert at_most(r, 0.05)
        assert np.mean(r2) <= 0

    def test_slow_series_score_at_chance(self):
        r, r2 = self.scores(0.95, n_features=10, n_seeds=100, gap=6)
        assert at_most(r, 0.05)
        assert np.mean(r2) <= 0

    def test_many_walks_explain_no_variance_but_correlate_unless_whole_runs_are_left_out(self):
        """A walk has no end of memory: features on both sides of a block interpolate its trend, whatever the gap.

        So r2 stays below 0, but r does not fall to 0; it does once the walks of each run are their own. This is why
        drift has to be removed before a series is scored within one run.
        """
        r, r2 = self.scores(1.0, n_features=50, n_seeds=40, gap=6)
        assert np.mean(r2) <= 0
        assert np.mean(r) > 0.1
        across = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            X, Y = (np.concatenate([slow(rng, (80, k), memory=1.0) for _ in range(5)]) for k in (50, 1))
            run = np.repeat(np.arange(5), 80)
            across.append(cross_validate(RidgeCV(ALPHAS), X, Y, folds=by_group(run), run=run).mean("pearson")[0])
        assert around(across, 0)

    def test_shuffled_folds_leak_and_are_refused_for_a_series(self):
        rng = np.random.default_rng(0)
        X, Y = slow(rng, (400, 50), memory=1.0), slow(rng, (400, 10), memory=1.0)
        folds = scattered_folds(400, n=5, rng=rng)
        leaked = cross_validate(scattered_inner(320, rng=rng), X, Y, folds=folds)
        assert leaked.mean("r2").mean() > 0.85
        with pytest.raises(BrainalignError, match="neighbour in time"):
            cross_validate(RidgeCV(ALPHAS), X, Y, folds=folds, run=np.zeros(400))


def test_shuffled_responses_score_zero():
    """What is predicted well in order is not predicted at all when the order of the responses is lost."""
    r, kept = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = slow(rng, (300, 30), memory=0.8)
        Y = X @ rng.standard_normal((30, 5)) + 5 * rng.standard_normal((300, 5))
        options = {"folds": blocks(300, n=5, gap=5), "run": np.zeros(300), "metrics": ("pearson",)}
        model = RidgeCV(ALPHAS, inner=Blocks(4, gap=5))
        kept.append(cross_validate(model, X, Y, **options).mean("pearson").mean())
        r.append(cross_validate(model, X, rng.permutation(Y), **options).mean("pearson").mean())
    assert around(r, 0)
    assert np.mean(kept) > 0.5


def test_alpha_and_scaling_chosen_inside_the_folds_find_nothing_in_noise():
    """Pure noise, more features than samples, 100 seeds: any peek at the test set would show."""
    r = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        X, Y = rng.standard_normal((60, 100)), rng.standard_normal((60, 3))
        r.append(cross_validate(RidgeCV(ALPHAS), X, Y, folds=blocks(60, n=5)).mean("pearson").mean())
    assert around(r, 0)
