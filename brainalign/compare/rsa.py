"""Representational dissimilarity matrices (RDMs): made of patterns, compared, and how well they could agree at best.

The RDM of n conditions is the vector of its n (n - 1) / 2 pairs, in the order of `scipy.spatial.distance.squareform`:
(0, 1), (0, 2), ... (0, n - 1), (1, 2), ... Distances and comparisons carry these names in rsatoolbox:

    correlation, crossnobis                   the same
    mean_squared                              method "euclidean", "squared euclidean" in its results
    cosine, euclidean (the distances)         none
    pearson, spearman, kendall_tau_a, cosine  "corr", "spearman", "tau-a", "cosine"

What has no direction or does not vary gives nan here, where rsatoolbox gives 0. Ranks tell apart what differs by
rounding only: round an RDM of few levels (of categories) before it is compared by ranks.

References
----------
Kriegeskorte, Mur & Bandettini (2008), Front Syst Neurosci 2:4. Nili, Wingfield, Walther, Su, Marslen-Wilson &
Kriegeskorte (2014), PLoS Comput Biol 10:e1003553.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, rankdata

from brainalign.errors import BrainalignError, Misaligned
from brainalign.registry import registry_of

NEAR = 1e-3  # share of |x_i|^2 + |x_j|^2 below which their squared distance is computed from the difference


def correlation_distances(patterns):
    """Correlation distances: `1 - r` of every two patterns, r Pearson's over units.

    Parameters
    ----------
    patterns : array of shape (n_conditions, n_units)

    Returns
    -------
    rdm : float64 array of shape (n_pairs,)
        From 0 to 2; nan for the pairs of a pattern that is constant over units.

    Raises
    ------
    Misaligned
        `patterns` is not 2-D, or has less than 2 conditions.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Oracle: `scipy.spatial.distance.pdist`.
    """
    return _angular_distances(_centred(_patterns(patterns, n_axes=2)))


def cosine_distances(patterns):
    """Cosine distances: `1 - x_i . x_j / (|x_i| |x_j|)` of every two patterns.

    Parameters
    ----------
    patterns : array of shape (n_conditions, n_units)

    Returns
    -------
    rdm : float64 array of shape (n_pairs,)
        From 0 to 2; nan for the pairs of a pattern of zeros.

    Raises
    ------
    Misaligned
        `patterns` is not 2-D, or has less than 2 conditions.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Oracle: `scipy.spatial.distance.pdist`.
    """
    return _angular_distances(_patterns(patterns, n_axes=2).astype(np.float64))


def euclidean_distances(patterns):
    """Euclidean distances: `|x_i - x_j|`, neither squared nor divided by the number of units.

    Parameters
    ----------
    patterns : array of shape (n_conditions, n_units)

    Returns
    -------
    rdm : float64 array of shape (n_pairs,)
        In the unit of the patterns.

    Raises
    ------
    Misaligned
        `patterns` is not 2-D, or has less than 2 conditions.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Oracle: `scipy.spatial.distance.pdist`.
    """
    return np.sqrt(_squared_distances(_patterns(patterns, n_axes=2).astype(np.float64)))


def mean_squared_distances(patterns):
    """Mean squared difference per unit: `|x_i - x_j|^2 / n_units`, which rsatoolbox calls "euclidean".

    Parameters
    ----------
    patterns : array of shape (n_conditions, n_units)

    Returns
    -------
    rdm : float64 array of shape (n_pairs,)
        In the square of the unit of the patterns.

    Raises
    ------
    Misaligned
        `patterns` is not 2-D, or has less than 2 conditions.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Oracles: `scipy.spatial.distance.pdist`, the formula of `rsatoolbox.rdm.calc_rdm(method="euclidean")`.
    """
    patterns = _patterns(patterns, n_axes=2)
    return _squared_distances(patterns.astype(np.float64)) / patterns.shape[1]


DISTANCES = registry_of(
    "distance",
    {
        "correlation": correlation_distances,
        "cosine": cosine_distances,
        "euclidean": euclidean_distances,
        "mean_squared": mean_squared_distances,
    },
)
"""Distances of one set of patterns; `crossnobis_distances` needs them repeated."""


def crossnobis_distances(patterns, *, precision=None):
    """Cross-validated Mahalanobis distances (crossnobis), squared and per unit.

    With d_k = x_ki - x_kj the difference of two patterns in fold k and P the precision of the noise,

        distance = mean over k != l of d_k' P d_l / n_units

    Noise that is independent between folds cancels: the distance of patterns that do not differ has mean 0, and single
    distances are negative as often as positive. They are not clipped. This is the same as the mean over folds of each
    fold against the mean of the others.

    Parameters
    ----------
    patterns : array of shape (n_folds, n_conditions, n_units)
        One pattern per condition and fold. Folds are runs or sessions with independent noise.
    precision : array of shape (n_units, n_units), optional
        Inverse covariance of the noise over units, estimated from residuals rather than from these patterns. By default
        the identity, which gives cross-validated squared Euclidean distances. For a diagonal one, divide the patterns
        by the standard deviation of the noise of each unit.

    Returns
    -------
    rdm : float64 array of shape (n_pairs,)

    Raises
    ------
    Misaligned
        `patterns` is not 3-D, has less than 2 folds or conditions, or `precision` is of another shape.
    BrainalignError
        NaN or infinity, or `precision` is not symmetric.

    References
    ----------
    Walther et al. (2016), NeuroImage 137:188; Diedrichsen, Provost & Zareamoghaddam (2016), arXiv:1607.01371.
    Oracles: the formula of `rsatoolbox.rdm.calc_rdm(method="crossnobis")` fold by fold, planted distances.
    """
    x = _patterns(patterns, n_axes=3).astype(np.float64)
    n_folds, n_conditions, n_units = x.shape
    if n_folds < 2:
        raise Misaligned("a cross-validated distance needs at least 2 folds, got 1")
    x -= x.mean(axis=1, keepdims=True)  # of each fold: differences of its conditions stay as they are
    weighted = x if precision is None else x @ _checked_precision(precision, n_units)
    same_fold = sum(own @ own_weighted.T for own, own_weighted in zip(x, weighted, strict=True))
    products = x.sum(axis=0) @ weighted.sum(axis=0).T - same_fold  # (n_conditions, n_conditions), over all k != l
    i, j = np.triu_indices(n_conditions, k=1)
    own = np.diag(products)
    total = own[i] + own[j] - products[i, j] - products[j, i]
    return total / (n_folds * (n_folds - 1) * n_units)


def pearson(rdms, others):
    """Pearson correlation of RDMs.

    Parameters
    ----------
    rdms : array of shape (n_rdms, n_pairs) or (n_pairs,)
    others : array of shape (n_others, n_pairs) or (n_pairs,)

    Returns
    -------
    similarity : array of shape (n_rdms, n_others)
        Without the axis of what was a single RDM. nan where an RDM is constant.

    Raises
    ------
    Misaligned
        The RDMs have other numbers of pairs, or less than 3.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Oracle: `scipy.stats.pearsonr`.
    """
    return _compared(rdms, others, lambda a, b: _cosines(_centred(a), _centred(b)))


def spearman(rdms, others):
    """Spearman correlation of RDMs: Pearson's of the ranks, ties averaged.

    Parameters
    ----------
    rdms : array of shape (n_rdms, n_pairs) or (n_pairs,)
    others : array of shape (n_others, n_pairs) or (n_pairs,)

    Returns
    -------
    similarity : array of shape (n_rdms, n_others)
        Without the axis of what was a single RDM. nan where an RDM is constant.

    Raises
    ------
    Misaligned
        The RDMs have other numbers of pairs, or less than 3.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Oracle: `scipy.stats.spearmanr`.
    """
    return _compared(rdms, others, lambda a, b: _cosines(_centred(_ranks(a)), _centred(_ranks(b))))


def kendall_tau_a(rdms, others):
    """Kendall's tau-a of RDMs: concordant less discordant pairs of pairs, over all pairs of pairs.

    Unlike tau-b and Spearman's correlation it does not favour RDMs with ties, so that those of categories do not win
    by predicting less. Takes n_pairs log(n_pairs) operations.

    Parameters
    ----------
    rdms : array of shape (n_rdms, n_pairs) or (n_pairs,)
    others : array of shape (n_others, n_pairs) or (n_pairs,)

    Returns
    -------
    similarity : array of shape (n_rdms, n_others)
        Without the axis of what was a single RDM. nan where an RDM is constant.

    Raises
    ------
    Misaligned
        The RDMs have other numbers of pairs, or less than 3.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Nili et al. (2014). Oracles: counting all pairs, `scipy.stats.kendalltau` (tau-b) where there are no ties.
    """
    return _compared(rdms, others, lambda a, b: np.array([[_tau_a(x, y) for y in b] for x in a]))


def cosine(rdms, others):
    """Cosine of RDMs, which keeps their zero: for distances with a meaningful one, as crossnobis.

    Parameters
    ----------
    rdms : array of shape (n_rdms, n_pairs) or (n_pairs,)
    others : array of shape (n_others, n_pairs) or (n_pairs,)

    Returns
    -------
    similarity : array of shape (n_rdms, n_others)
        Without the axis of what was a single RDM. nan where an RDM is zero.

    Raises
    ------
    Misaligned
        The RDMs have other numbers of pairs, or less than 3.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Oracle: `scipy.spatial.distance.cosine`.
    """
    return _compared(rdms, others, lambda a, b: _cosines(a.astype(np.float64), b.astype(np.float64)))


COMPARISONS = registry_of(
    "comparison of RDMs",
    {"pearson": pearson, "spearman": spearman, "kendall_tau_a": kendall_tau_a, "cosine": cosine},
)


@dataclass(frozen=True, eq=False)
class NoiseCeiling:
    """Between which similarities the best model of the subjects' RDMs lies.

    Parameters
    ----------
    lower, upper : float
        Means over subjects.
    lower_by_subject, upper_by_subject : arrays of shape (n_subjects,)
    comparison : str
        The similarity, a name in `COMPARISONS`.
    """

    lower: float
    upper: float
    lower_by_subject: np.ndarray
    upper_by_subject: np.ndarray
    comparison: str


def noise_ceiling(rdms, *, comparison="spearman"):
    """Lower and upper noise ceiling: subjects' RDMs against the mean RDM without and with the subject's own.

    Before the mean, RDMs are put on one scale: z-scores for "pearson", length 1 for "cosine", ranks for the others. The
    upper bound is then the highest mean similarity that any RDM can have with the subjects' ("pearson", "cosine"; for
    "spearman", any without ties). For "kendall_tau_a" mean ranks are near the best, and the bound can be exceeded.

    Parameters
    ----------
    rdms : array of shape (n_subjects, n_pairs)
        One RDM per subject: average sessions before.
    comparison : str
        A name in `COMPARISONS`.

    Returns
    -------
    ceiling : NoiseCeiling

    Raises
    ------
    Misaligned
        `rdms` is not 2-D, or of less than 2 subjects or 3 pairs.
    BrainalignError
        NaN or infinity, or a subject's RDM is constant (zero for "cosine").
    UnknownName
        Another comparison.

    References
    ----------
    Nili et al. (2014). Oracle: the formulas of `rsatoolbox.inference.boot_noise_ceiling` and `pool_rdm`.
    """
    compare = COMPARISONS[comparison]
    rdms = _vectors(rdms, name="rdms")
    if rdms.ndim != 2 or len(rdms) < 2:
        raise Misaligned(f"rdms must be (n_subjects, n_pairs) of at least 2 subjects, got {rdms.shape}")
    alike = ONE_SCALE[comparison](rdms)
    empty = np.flatnonzero(~alike.any(axis=1))
    if len(empty):
        raise BrainalignError(f"the RDM of subject {empty[0]} does not vary ({len(empty)} like it): leave it out")
    total = alike.sum(axis=0)
    upper = np.array([compare(own, total) for own in rdms])
    lower = np.array([compare(own, total - own_alike) for own, own_alike in zip(rdms, alike, strict=True)])
    return NoiseCeiling(float(lower.mean()), float(upper.mean()), lower, upper, comparison)


def _patterns(patterns, *, n_axes):
    shape = {2: "(n_conditions, n_units)", 3: "(n_folds, n_conditions, n_units)"}[n_axes]
    patterns = _as_float(patterns)
    if patterns.ndim != n_axes or patterns.shape[-2] < 2 or patterns.size == 0:
        raise Misaligned(f"patterns must be {shape} of at least 2 conditions, got shape {patterns.shape}")
    _check_finite(patterns, name="patterns", axes=("fold", "condition", "unit")[-n_axes:])
    return patterns


def _vectors(rdms, *, name):
    rdms = _as_float(rdms)
    if rdms.ndim not in (1, 2) or rdms.shape[-1] < 3 or rdms.size == 0:
        raise Misaligned(f"{name} must be (n_rdms, n_pairs) or (n_pairs,) of at least 3 pairs, got shape {rdms.shape}")
    _check_finite(rdms, name=name, axes=("RDM", "pair")[-rdms.ndim :])
    return rdms


def _as_float(values):
    """Give float32 and float64 as they are, other real numbers as float64."""
    values = np.asarray(values)
    if np.iscomplexobj(values):
        raise BrainalignError(f"values must be real, got {values.dtype}: take the real part or the magnitude before")
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _check_finite(values, *, name, axes):
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, bad[0], strict=True))
        raise BrainalignError(
            f"{name} is {values[tuple(bad[0])]} at {place} ({len(bad)} values in all are NaN or infinity): "
            f"leave out the condition or the unit, or mend it before"
        )


def _checked_precision(precision, n_units):
    precision = _as_float(precision)
    if precision.shape != (n_units, n_units):
        raise Misaligned(f"precision must be ({n_units}, {n_units}) for {n_units} units, got {precision.shape}")
    _check_finite(precision, name="precision", axes=("unit", "unit"))
    if not np.allclose(precision, precision.T, rtol=1e-5, atol=1e-8 * np.abs(precision).max()):
        raise BrainalignError("precision must be symmetric: it is the inverse of a covariance")
    return precision


def _compared(rdms, others, similarity):
    """Give the similarities of all `rdms` with all `others`, without the axis of what was a vector."""
    rdms, others = _vectors(rdms, name="rdms"), _vectors(others, name="others")
    if rdms.shape[-1] != others.shape[-1]:
        raise Misaligned(f"RDMs of {rdms.shape[-1]} pairs and of {others.shape[-1]} are not of the same conditions")
    table = similarity(np.atleast_2d(rdms), np.atleast_2d(others))  # (n_rdms, n_others)
    return table.reshape(rdms.shape[:-1] + others.shape[:-1])[()]


def _angular_distances(vectors):
    """Give 1 - cosine of every two rows, as half the squared distance of rows of length 1; nan for rows of zeros."""
    zero = ~vectors.any(axis=1)
    i, j = np.triu_indices(len(vectors), k=1)
    return np.where(zero[i] | zero[j], np.nan, _squared_distances(_unit_length(vectors)) / 2)


def _squared_distances(patterns):
    """Give |x_i - x_j|^2 of every two rows by one product of matrices; where that cancels, from the difference."""
    patterns = patterns - patterns.mean(axis=0)  # distances stay, the terms of their sum get smaller
    i, j = np.triu_indices(len(patterns), k=1)
    products = patterns @ patterns.T
    size = np.diag(products)[i] + np.diag(products)[j]
    squared = size - 2 * products[i, j]
    for pair in np.flatnonzero(squared <= NEAR * size):
        squared[pair] = np.square(patterns[i[pair]] - patterns[j[pair]]).sum()
    return squared


def _cosines(a, b):
    """Give the cosines of all rows of two matrices, (n_a, n_b); nan for rows of zeros."""
    cosines = np.clip(_unit_length(a) @ _unit_length(b).T, -1, 1)
    cosines[~a.any(axis=1)] = np.nan
    cosines[:, ~b.any(axis=1)] = np.nan
    return cosines


def _unit_length(vectors):
    """Give rows length 1, in steps that neither overflow nor underflow; rows of zeros stay."""
    size = np.abs(vectors).max(axis=1, keepdims=True)
    vectors = vectors / np.where(size == 0, 1, size)
    length = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    return vectors / np.where(length == 0, 1, length)


def _centred(vectors):
    """Give rows less their mean, in float64; rows that vary by rounding only become zeros."""
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    centred[_is_flat(vectors)] = 0
    return centred


def _ranks(vectors):
    """Rank each row, ties averaged; rows that vary by rounding only become zeros."""
    ranks = rankdata(vectors, axis=1)
    ranks[_is_flat(vectors)] = 0
    return ranks


def _is_flat(vectors):
    """Tell which rows vary by no more than the rounding of their dtype."""
    low, high = vectors.min(axis=1), vectors.max(axis=1)
    return high - low <= 4 * np.finfo(vectors.dtype).eps * np.maximum(np.abs(low), np.abs(high))


def _tau_a(x, y):
    """Give tau-a from scipy's tau-b, which is divided by the root of the untied pairs of each vector instead."""
    if _is_flat(np.stack([x, y])).any():
        return np.nan
    n_pairs = len(x) * (len(x) - 1) // 2
    root = np.sqrt(n_pairs - _n_tied(x)) * np.sqrt(n_pairs - _n_tied(y))
    difference = np.rint(kendalltau(x, y, method="asymptotic").statistic * root)  # a whole number
    return difference / n_pairs


def _n_tied(values):
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


ONE_SCALE = {
    "pearson": lambda rdms: _unit_length(_centred(rdms)),
    "spearman": _ranks,
    "kendall_tau_a": _ranks,
    "cosine": lambda rdms: _unit_length(rdms.astype(np.float64)),
}
"""What RDMs are put through before they are averaged, so that each counts the same."""
