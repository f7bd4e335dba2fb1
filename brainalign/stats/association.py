"""Does a measure of people go with another: correlations over subjects, their nulls and their intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from brainalign.encode.metrics import check_finite, is_constant
from brainalign.errors import BrainalignError, Misaligned, UnknownName

METHODS = ("pearson", "spearman")


@dataclass(frozen=True, eq=False)
class Association:
    """Correlations of several measures with one, over subjects.

    Parameters
    ----------
    r : array of shape (n_measures,)
        nan for a constant measure, as are its p.
    p : array of shape (n_measures,)
        Two-sided, each measure for itself.
    p_corrected : array of shape (n_measures,)
        Two-sided, family-wise over all measures.
    n_subjects : int
    n_permutations : int
        The smallest p there can be is 1 / (n_permutations + 1).
    """

    r: np.ndarray
    p: np.ndarray
    p_corrected: np.ndarray
    n_subjects: int
    n_permutations: int


@dataclass(frozen=True, eq=False)
class Interval:
    """Bounds of a confidence interval, (n_measures,) each; nan for a constant measure."""

    low: np.ndarray
    high: np.ndarray
    confidence: float


def permutation_correlation(x, y, *, n_permutations=10_000, seed, method="pearson"):
    """Correlate measures with a score over subjects, with p from permuting the score among subjects.

    `p = (b + 1) / (n_permutations + 1)` where b counts the permutations with `|r*| >= |r|`. For `p_corrected`, |r*| is
    the largest over measures in the same permutation (max statistic), which controls the family-wise error whatever the
    correlations between measures.

    Parameters
    ----------
    x : array of shape (n_subjects, n_measures)
    y : array of shape (n_subjects,)
        Subjects are exchangeable under the null: one row per person, never several of the same person.
    n_permutations : int
    seed : int
    method : {"pearson", "spearman"}
        Spearman: ranks with ties averaged.

    Returns
    -------
    association : Association

    Raises
    ------
    Misaligned
        Shapes do not fit, or there are less than 3 subjects.
    BrainalignError
        NaN or infinity, or `y` is constant.
    UnknownName
        Another method.

    References
    ----------
    Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39. Nichols & Holmes (2002), Hum Brain Mapp 15:1. Oracles:
    `scipy.stats.pearsonr`, `spearmanr`, `permutation_test`.
    """
    x, y = _measures(x, y)
    z, z_y = _unit_columns(_values(x, method=method)), _unit_columns(_values(y[:, None], method=method))[:, 0]
    r = z_y @ z  # (n_measures,)
    defined = ~np.isnan(r)
    size = np.abs(r) * (1 - 1e-12)  # equal but for rounding is as large
    generator = np.random.default_rng(seed)
    larger, larger_max = np.zeros(len(r), dtype=int), np.zeros(len(r), dtype=int)
    for n in _chunks(n_permutations):
        shuffled = generator.permuted(np.broadcast_to(z_y, (n, len(z_y))), axis=1)  # (n, n_subjects)
        null = np.abs(shuffled @ z)  # (n, n_measures)
        larger += (null >= size).sum(axis=0)
        larger_max += (null[:, defined].max(axis=1, initial=0)[:, None] >= size).sum(axis=0)
    p, p_corrected = (np.where(defined, (count + 1) / (n_permutations + 1), np.nan) for count in (larger, larger_max))
    return Association(r, p, p_corrected, n_subjects=len(y), n_permutations=n_permutations)


def bootstrap_interval(x, y, *, n_bootstrap=10_000, seed, confidence=0.95, method="pearson"):
    """Confidence interval of the correlation of each measure with a score, by resampling subjects (BCa).

    Bias-corrected and accelerated: the quantiles of the bootstrap distribution are moved by its median bias z0 and by
    the acceleration a from leaving out one subject at a time, Efron's equations 3.7 and 6.6.

    Parameters
    ----------
    x : array of shape (n_subjects, n_measures)
    y : array of shape (n_subjects,)
    n_bootstrap : int
    seed : int
    confidence : float
        Between 0 and 1.
    method : {"pearson", "spearman"}

    Returns
    -------
    interval : Interval
        Resamples in which a measure or the score is constant say nothing and are left out.

    Raises
    ------
    Misaligned
        Shapes do not fit, or there are less than 3 subjects.
    BrainalignError
        NaN or infinity, `y` is constant, or `confidence` is not between 0 and 1.
    UnknownName
        Another method.

    References
    ----------
    Efron (1987), J Am Stat Assoc 82:171. Oracle: `scipy.stats.bootstrap(method="BCa")`.
    """
    x, y = _measures(x, y)
    if not 0 < confidence < 1:
        raise BrainalignError(f"confidence must be between 0 and 1, got {confidence}")
    n_subjects = len(y)
    r = _correlate(x[None], y[None], method=method)[0]
    generator = np.random.default_rng(seed)
    draws = np.concatenate(
        [
            _correlate(x[drawn], y[drawn], method=method)
            for drawn in (generator.integers(n_subjects, size=(n, n_subjects)) for n in _chunks(n_bootstrap))
        ]
    )  # (n_bootstrap, n_measures)
    others = np.array([np.delete(np.arange(n_subjects), i) for i in range(n_subjects)])
    left_out = _correlate(x[others], y[others], method=method)  # (n_subjects, n_measures)
    bounds = [_bca(draws[:, j], left_out[:, j], r=r[j], confidence=confidence) for j in range(x.shape[1])]
    low, high = np.array(bounds).T
    return Interval(low, high, confidence)


def _bca(draws, left_out, *, r, confidence):
    draws = draws[np.isfinite(draws)]
    left_out = left_out[np.isfinite(left_out)]
    if np.isnan(r) or len(draws) == 0:
        return np.nan, np.nan
    below = (np.mean(draws < r) + np.mean(draws <= r)) / 2
    z0 = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    influence = left_out.mean() - left_out
    spread = np.square(influence).sum()
    acceleration = np.sum(influence**3) / (6 * spread**1.5) if spread > 0 else 0.0
    z = z0 + ndtri(np.array([(1 - confidence) / 2, (1 + confidence) / 2]))
    return np.quantile(draws, ndtr(z0 + z / (1 - acceleration * z)))


def _correlate(x, y, *, method):
    """Correlate within each resample: x (n, n_subjects, n_measures), y (n, n_subjects), gives (n, n_measures)."""
    x, y = _values(x, method=method, axis=1), _values(y[..., None], method=method, axis=1)
    constant = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(x).sum(axis=1) * np.square(y).sum(axis=1))
    return np.where(constant, np.nan, (x * y).sum(axis=1) / np.where(constant, 1, length))


def _values(values, *, method, axis=0):
    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    return values if method == "pearson" else rankdata(values, axis=axis)


def _measures(x, y):
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or y.shape != (len(x),) or len(x) < 3 or x.shape[1] == 0:
        raise Misaligned(
            f"x must be (n_subjects, n_measures) and y (n_subjects,) with at least 3 subjects, "
            f"got {x.shape} and {y.shape}"
        )
    check_finite(x, name="x", column="measure")
    check_finite(y[:, None], name="y", column="score")
    if is_constant(y[:, None])[0]:
        raise BrainalignError(f"y is {y[0]} for all {len(y)} subjects: nothing can correlate with it")
    return x, y


def _unit_columns(values):
    """Centre and give length 1; nan where constant."""
    centred = values - values.mean(axis=0)
    length = np.sqrt(np.square(centred).sum(axis=0))
    constant = is_constant(values)
    return centred / np.where(constant, np.nan, np.where(length == 0, 1, length))


def _chunks(n, size=5_000):
    return [min(size, n - start) for start in range(0, n, size)]
