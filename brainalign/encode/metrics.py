"""How near predictions come to responses: one number per target, or per block of targets."""

from enum import StrEnum

import numpy as np

from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.registry import registry_of

BLOCK = 2**20  # values looked at side by side: 8 MB in float64


class Unit(StrEnum):
    """What a score is a number of: a correlation, or a share of the variance."""

    R = "r"
    R2 = "r2"


def pearson(Y, Y_hat):
    """Pearson correlation of responses and predictions, per target.

    `r = sum((y - mean y) (y_hat - mean y_hat)) / (|y - mean y| |y_hat - mean y_hat|)`

    Parameters
    ----------
    Y, Y_hat : arrays of shape (n_samples, n_targets)

    Returns
    -------
    r : array of shape (n_targets,)
        nan where the response or the prediction is constant.

    Raises
    ------
    Misaligned
        The shapes differ or are not 2-D.
    BrainalignError
        A value is not finite.

    References
    ----------
    Oracle: `scipy.stats.pearsonr`.
    """
    return _by_columns(_pearson, *_pair(Y, Y_hat))


def r2(Y, Y_hat):
    """Coefficient of determination, per target.

    `r2 = 1 - sum((y - y_hat)^2) / sum((y - mean y)^2)`, the mean over the samples that are given.

    Parameters
    ----------
    Y, Y_hat : arrays of shape (n_samples, n_targets)

    Returns
    -------
    r2 : array of shape (n_targets,)
        At most 1, without lower bound; nan where the response is constant.

    Raises
    ------
    Misaligned
        The shapes differ or are not 2-D.
    BrainalignError
        A value is not finite.

    References
    ----------
    Oracle: `sklearn.metrics.r2_score`.
    """
    return _by_columns(_r2, *_pair(Y, Y_hat))


METRICS = registry_of("metric", {"pearson": pearson, "r2": r2})

UNITS = {"pearson": Unit.R, "r2": Unit.R2}
"""The unit of each metric: a score may only be divided by a ceiling of the same unit."""

DISTANCES = ("correlation", "cosine", "euclidean")


def pairwise(Y, Y_hat, *, blocks=None, distance="correlation"):
    """Accuracy of telling two samples apart by their predictions (2-vs-2), per block of targets.

    With d a distance between patterns over the targets of a block, a pair of samples (i, j) is right where

        d(y_i, y_hat_i) + d(y_j, y_hat_j) < d(y_i, y_hat_j) + d(y_j, y_hat_i)

    and half right where both sides are equal but for rounding. All pairs count.

    Parameters
    ----------
    Y, Y_hat : arrays of shape (n_samples, n_targets)
    blocks : int array of shape (n_targets,), optional
        Label of the block (the region) of each target. By default all are of one block.
    distance : {"correlation", "cosine", "euclidean"}
        1 - Pearson over the targets, 1 - cosine, or the squared Euclidean distance. The mean of a target over samples
        matters to the first two.

    Returns
    -------
    accuracy : array of shape (n_blocks,)
        In ascending order of labels, chance is 0.5. nan where no response of the block varies, and where a pattern has
        no distance: constant over the targets for the correlation (always so in a block of one), zero for the cosine.

    Raises
    ------
    Misaligned
        The shapes differ or are not 2-D, or `blocks` is not one label per target.
    BrainalignError
        A value is not finite, a label is not a whole number.
    UnknownName
        Another distance.

    Notes
    -----
    Not in `METRICS`: for one target only the Euclidean distance is left, which gives `(1 + Kendall's tau_a) / 2`.

    References
    ----------
    Mitchell et al. (2008), Science 320:1191, with the cosine. Oracles: a loop over pairs with `scipy.spatial.distance`,
    `scipy.stats.kendalltau`.
    """
    Y, Y_hat = _pair(Y, Y_hat)
    if distance not in DISTANCES:
        raise UnknownName("distance", distance, DISTANCES)
    labels = np.zeros(Y.shape[1], dtype=int) if blocks is None else _block_labels(blocks, Y.shape[1])
    members = (labels == label for label in np.unique(labels))
    return np.array([_two_versus_two(as_float(Y[:, m]), as_float(Y_hat[:, m]), distance=distance) for m in members])


def is_constant(values):
    """Tell which columns vary by no more than the rounding of their dtype.

    Parameters
    ----------
    values : float array of shape (n_samples, n_columns)

    Returns
    -------
    constant : bool array of shape (n_columns,)
        True where `max - min <= 4 eps max |value|`: relative, so that the unit of the values does not matter.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    return high - low <= 4 * np.finfo(values.dtype).eps * np.maximum(np.abs(low), np.abs(high))


def power_of_two(size):
    """Give the power of two above each positive number (1 for 0): dividing by it is exact and leaves sizes below 1."""
    exponent = np.frexp(np.asarray(size, dtype=np.float64))[1]
    return np.ldexp(1.0, np.clip(exponent, -1000, 1000))


def check_finite(values, *, name, column):
    """Refuse nan and infinity, naming the first sample and column.

    Parameters
    ----------
    values : array of shape (n_samples, n_columns)
    name : str
        Of the matrix, for the error: "Y".
    column : str
        What a column is, for the error: "target".

    Raises
    ------
    BrainalignError
    """
    if not all(np.isfinite(some).all() for some in np.array_split(values, 1 + values.size // BLOCK)):
        bad = np.argwhere(~np.isfinite(values))
        i, j = bad[0]
        raise BrainalignError(
            f"{name} is {values[i, j]} at sample {i}, {column} {j} ({len(bad)} values in all are NaN or infinity): "
            f"leave out the {column} or the sample, or mend it before"
        )


def _pair(Y, Y_hat):
    Y, Y_hat = _real(Y), _real(Y_hat)
    if Y.ndim != 2 or Y.shape != Y_hat.shape or len(Y) < 2:
        raise Misaligned(
            "responses and predictions must both be (n_samples, n_targets) with at least 2 samples, "
            f"got {Y.shape} and {Y_hat.shape}"
        )
    check_finite(Y, name="Y", column="target")
    check_finite(Y_hat, name="Y_hat", column="target")
    return Y, Y_hat


def _by_columns(measure, Y, Y_hat):
    """Measure the targets in blocks: what is held beside the input does not grow with their number."""
    n_targets = Y.shape[1]
    n_blocks = max(1, min(Y.size // BLOCK, n_targets // 2))  # numpy sums a single column in another order
    blocks = (np.array_split(values, n_blocks, axis=1) for values in (Y, Y_hat))
    return np.concatenate([measure(as_float(y), as_float(y_hat)) for y, y_hat in zip(*blocks, strict=True)])


def _pearson(Y, Y_hat):
    y, y_hat = _unit_norm(Y), _unit_norm(Y_hat)
    return np.clip(np.einsum("it,it->t", y, y_hat), -1, 1)


def _r2(Y, Y_hat):
    constant = is_constant(Y)
    centred = Y - Y.mean(axis=0, dtype=np.float64)
    unit = power_of_two(np.abs(centred).max(axis=0))
    residual = np.square((Y - Y_hat.astype(np.float64)) / unit).sum(axis=0)
    total = np.square(centred / unit).sum(axis=0)
    return np.where(constant, np.nan, 1 - residual / np.where(constant, 1, total))


def _block_labels(blocks, n_targets):
    labels = np.asarray(blocks)
    if labels.shape != (n_targets,):
        raise Misaligned(f"blocks must be one label for each of {n_targets} targets, got shape {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise BrainalignError(f"blocks must be whole numbers, got {labels.dtype}: number the regions before")
    return labels


def _two_versus_two(Y, Y_hat, *, distance):
    """Give the share of right pairs; the distances of a pair cancel but for `(y_i - y_j) (y_hat_i - y_hat_j)`."""
    y, y_hat = _patterns(Y, distance=distance), _patterns(Y_hat, distance=distance)
    if is_constant(Y).all() or np.isnan(y).any() or np.isnan(y_hat).any():
        return np.nan
    n_samples, n_targets = y.shape
    own = np.einsum("it,it->i", y, y_hat)
    length, length_hat = (np.sqrt(np.square(patterns).sum(axis=1)) for patterns in (y, y_hat))
    rounding = 4 * np.finfo(np.float64).eps * np.sqrt(n_targets)
    right = 0.0
    for i in np.array_split(np.arange(n_samples), 1 + n_samples**2 // BLOCK):
        gain = own[i, None] + own - y[i] @ y_hat.T - y_hat[i] @ y.T  # (some samples, n_samples)
        tie = np.abs(gain) <= rounding * (length[i, None] + length) * (length_hat[i, None] + length_hat)
        right += np.count_nonzero((gain > 0) & ~tie) + np.count_nonzero(tie) / 2
    # every pair was counted twice, and every sample once with itself, as a tie
    return (right - n_samples / 2) / (n_samples * (n_samples - 1))


def _patterns(values, *, distance):
    """Give patterns in float64 whose products are the similarities `distance` stands for; nan where it has none."""
    patterns = values.astype(np.float64)
    if distance == "euclidean":
        patterns -= patterns.mean(axis=0)
        return patterns / power_of_two(np.abs(patterns).max())
    if distance == "correlation":
        return _unit_norm(values.T).T
    patterns /= power_of_two(np.abs(patterns).max(axis=1, keepdims=True))
    length = np.sqrt(np.square(patterns).sum(axis=1, keepdims=True))
    return patterns / np.where(length == 0, np.nan, length)


def _unit_norm(values):
    """Centre columns and give them length 1, in float64; nan where they are constant."""
    constant = is_constant(values)
    centred = values.astype(np.float64)
    centred -= centred.mean(axis=0)
    centred /= power_of_two(np.abs(centred).max(axis=0))
    length = np.sqrt(np.square(centred).sum(axis=0))
    return centred / np.where(constant, np.nan, np.where(length == 0, 1, length))


def as_float(values):
    """Give float32 and float64 as they are, whole numbers and float16 as float64; complex numbers are refused."""
    values = _real(values)
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _real(values):
    values = np.asarray(values)
    if np.iscomplexobj(values):
        raise BrainalignError(f"values must be real, got {values.dtype}: take the real part or the magnitude before")
    return values if values.dtype.kind in "biuf" else values.astype(np.float64)
