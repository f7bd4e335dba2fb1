"""Noise ceiling of responses to stimuli that one person was presented several times."""

import numpy as np
from scipy.sparse import csr_array

from brainalign.encode.ceiling import Ceiling
from brainalign.encode.metrics import BLOCK, Unit, as_float, check_finite, is_constant, pearson
from brainalign.errors import BrainalignError, Misaligned

FEWEST = 3
"""Repeated stimuli that a correlation over stimuli needs at least: over two it is 1 or -1."""


def split_half_of_repetitions(Y, stimulus, *, groups=None, n_averaged=1, n_splits=100, seed):
    """Ceiling in r from repeated stimuli: the best correlation with responses to single presentations, or their means.

    The n_i presentations of stimulus i are split at random into halves of h_i = n_i // 2 (of an odd number one sits out
    in turn). With r the mean over splits of the correlation, over stimuli, between the means of the halves, h the
    harmonic mean of the h_i, signal variance S (between stimuli) and noise variance N (of one presentation),

        r       = S / (S + N / h)
        ceiling = sqrt(S / (S + N / m)) = sqrt(r / (r + (1 - r) h / m))

    where m is the number of presentations in each response that the score is computed against. m = 1, of scores on
    single trials, gives the square root of the reliability of one presentation; m = 2 h is the split-half reliability
    with the Spearman-Brown correction.

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)
        In any unit.
    stimulus : array of shape (n_samples,)
        What each sample is a response to. Stimuli presented once are left out.
    groups : array of shape (n_samples,), optional
        What goes into a half as a whole: of continuous recordings the run, in which neighbouring samples share noise.
    n_averaged : float
        m, at least 1; where it differs between samples, its harmonic mean.
    n_splits : int
    seed : int

    Returns
    -------
    ceiling : Ceiling
        Unit r; `value` (n_targets,) is nan where r is not positive or a half is constant; `raw` is r.

    Raises
    ------
    Misaligned
        `Y` is not 2-D, or the labels are not one per sample.
    BrainalignError
        NaN or infinity in `Y`, less than 3 stimuli that were repeated, `n_averaged` below 1.

    Notes
    -----
    Noise that repetitions share (drift, of presentations that follow each other) counts as signal: the ceiling is then
    too high. What a person's brain does differently every time counts as noise.

    References
    ----------
    Spearman (1910), Br J Psychol 3:271; Brown (1910), 3:296; Schoppe et al. (2016), Front Comput Neurosci 10:10.
    Oracles: the analytic ceiling of planted signal and noise, `ceiling.noise_ceiling_snr`, and for two presentations of
    everything the correlation of both.
    """
    Y, stimulus, groups = _checked(Y, stimulus, groups)
    if not np.isfinite(n_averaged) or n_averaged < 1:
        raise BrainalignError(f"n_averaged must be at least 1 presentation, got {n_averaged}")
    n_of = np.bincount(stimulus)  # (n_stimuli,)
    if (n_repeated := int((n_of > 1).sum())) < FEWEST:
        raise BrainalignError(
            f"a ceiling from repetitions needs at least {FEWEST} stimuli that were presented at least twice, got "
            f"{n_repeated} of {len(n_of)}"
        )
    half = n_of[n_of > 1] // 2
    orders = _split_orders(stimulus, groups, n_of, n_splits=n_splits, generator=np.random.default_rng(seed))
    r = np.empty(Y.shape[1])
    step = max(1, BLOCK // len(Y))
    for start in range(0, Y.shape[1], step):
        block = Y[:, start : start + step]
        centred = block - block.mean(axis=0, dtype=np.float64)
        of_splits = [pearson(*_means_of_halves(centred, order, half)) for order in orders]
        r[start : start + step] = np.where(is_constant(block), np.nan, np.mean(of_splits, axis=0))
    h = 1 / np.mean(1 / half)
    reliable = np.nan_to_num(r, nan=-1.0) > 0
    of_response = r / np.where(reliable, r + (1 - r) * h / n_averaged, 1)
    response = "single trial" if n_averaged == 1 else f"mean of {n_averaged:g} trials"
    value = np.sqrt(np.where(reliable, of_response, np.nan))
    return Ceiling(value, kind=f"split-half of repetitions ({response}, r)", unit=Unit.R, raw=r)


def _checked(Y, stimulus, groups):
    """Give Y as floats, and the numbers of the stimulus and of the group of each sample."""
    Y, stimulus = as_float(Y), np.asarray(stimulus)
    groups = np.arange(len(Y)) if groups is None else np.asarray(groups)
    if Y.ndim != 2 or stimulus.shape != Y.shape[:1] or groups.shape != Y.shape[:1]:
        raise Misaligned(
            "Y must be (n_samples, n_targets) with one stimulus and one group for each sample, got "
            f"{Y.shape}, {stimulus.shape} and {groups.shape}"
        )
    check_finite(Y, name="Y", column="target")
    return Y, *(np.unique(labels, return_inverse=True)[1] for labels in (stimulus, groups))


def _split_orders(stimulus, groups, n_of, *, n_splits, generator):
    """Draw halves: for every split the samples, stimulus by stimulus, first those of one half, then of the other."""
    ordered = np.sort(stimulus)
    rank = np.arange(len(stimulus)) - (np.cumsum(n_of) - n_of)[ordered]  # of a sample among those of its stimulus
    kept = rank < 2 * (n_of[ordered] // 2)
    orders = []
    for _ in range(n_splits):
        turn = generator.permutation(groups.max() + 1)[groups]
        orders.append(np.lexsort((generator.permutation(len(stimulus)), turn, stimulus))[kept])
    return orders


def _means_of_halves(Y, order, half):
    """Average the samples of both halves of every stimulus, each (n_stimuli, n_targets)."""
    sizes = np.repeat(half, 2)
    weights, starts = np.repeat(1 / sizes, sizes), np.r_[0, np.cumsum(sizes)]
    means = csr_array((weights, order, starts), shape=(len(sizes), len(Y))) @ Y
    return means[0::2], means[1::2]
