"""Anchors A20 to A22 of the reproduction plan: a planted ceiling, a kernel of six taps, six delays, five folds."""

import numpy as np
import pytest
from scipy.signal import lfilter

from brainalign.align.delays import delay
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.splits import Blocks, Fold, blocks

N_SAMPLES, N_FEATURES, N_TARGETS = 1000, 50, 200
KERNEL = np.array([0.05, 0.4, 1.0, 0.9, 0.5, 0.2])
RUN = np.zeros(N_SAMPLES, dtype=int)
ALPHAS = np.logspace(-1, 8, 10)


def series(rng, n_columns, *, memory):
    values = lfilter([1], [1, -memory], rng.standard_normal((N_SAMPLES + 200, n_columns)), axis=0)[200:]
    return values / values.std(axis=0)


def recording(ceiling, *, noise_memory, seed=0):
    """Features with memory .8, and responses whose correlation with their own signal is the ceiling."""
    rng = np.random.default_rng(seed)
    X = delay(series(rng, N_FEATURES, memory=0.8), np.arange(6), run=RUN)
    driven = np.einsum("idf,d->if", X.reshape(N_SAMPLES, 6, N_FEATURES), KERNEL)
    signal = driven @ rng.standard_normal((N_FEATURES, N_TARGETS))
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    noise = series(rng, N_TARGETS, memory=noise_memory)
    return X.astype(np.float32), (ceiling * signal + np.sqrt(1 - ceiling**2) * noise).astype(np.float32)


def brain_score(X, Y, *, folds, run=RUN, inner=None):
    found = cross_validate(RidgeCV(ALPHAS, inner=inner), X, Y, folds=folds, run=run, metrics=("pearson",))
    return found.mean("pearson").mean()


@pytest.mark.parametrize(("ceiling", "published"), [(0.3, 0.192), (0.6, 0.510)])
def test_a20_planted_ceiling(ceiling, published):
    score = brain_score(*recording(ceiling, noise_memory=0.0), folds=blocks(N_SAMPLES, n=5))
    assert abs(score - published) <= 0.02


@pytest.mark.parametrize("noise_memory", [0.0, 0.5])
def test_a21_null_with_contiguous_folds(noise_memory):
    score = brain_score(
        *recording(0.0, noise_memory=noise_memory), folds=blocks(N_SAMPLES, n=5, gap=6), inner=Blocks(4, gap=6)
    )
    assert abs(score) <= 0.01


def test_a22_null_with_shuffled_folds_leaks():
    rng = np.random.default_rng(1)
    shuffled = [
        [Fold(np.setdiff1d(np.arange(n), part), np.sort(part)) for part in np.array_split(rng.permutation(n), 5)]
        for n in (1000, 800)
    ]
    score = brain_score(*recording(0.0, noise_memory=0.5), folds=shuffled[0], run=None, inner=shuffled[1])
    assert abs(score - 0.243) <= 0.05


def test_delays_rolled_over_stacked_runs_carry_one_run_into_the_next():
    """A target that is the last stimuli of the run before: only delays that cross runs can know it."""
    rng = np.random.default_rng(0)
    length, n_runs = 12, 60
    run = np.repeat(np.arange(n_runs), length)
    x = rng.standard_normal((len(run), 1))
    y = np.zeros_like(x)
    starts = np.arange(length, len(run), length)
    for k in (0, 1, 2):
        y[starts + k] = x[starts + k - 3]
    y += 0.1 * rng.standard_normal(y.shape)
    rolled = np.concatenate([np.roll(x, d, axis=0) for d in (1, 2, 3)], axis=1)
    ours = delay(x, [1, 2, 3], run=run)
    folds = blocks(len(run), n=5, groups=run)
    leaked, honest = (
        cross_validate(RidgeCV(ALPHAS), X, y, folds=folds, groups=run, metrics=("pearson",)).mean("pearson")[0]
        for X in (rolled, ours)
    )
    assert leaked > 0.2
    assert honest < 0.05
