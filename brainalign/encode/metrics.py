"""How near predictions come to responses: one number per target."""

import numpy as np

from brainalign.errors import BrainalignError, Misaligned
from brainalign.registry import registry_of


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
    Y, Y_hat = _pair(Y, Y_hat)
    y, y_hat = _unit_norm(Y), _unit_norm(Y_hat)
    return np.clip(np.einsum("it,it->t", y, y_hat), -1, 1)


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
    Y, Y_hat = _pair(Y, Y_hat)
    constant = is_constant(Y)
    centred = Y - Y.mean(axis=0, dtype=np.float64)
    unit = power_of_two(np.abs(centred).max(axis=0))
    residual = np.square((Y - Y_hat.astype(np.float64)) / unit).sum(axis=0)
    total = np.square(centred / unit).sum(axis=0)
    return np.where(constant, np.nan, 1 - residual / np.where(constant, 1, total))


METRICS = registry_of("metric", {"pearson": pearson, "r2": r2})

UNITS = {"pearson": "r", "r2": "r2"}
"""The unit of each metric: a score may only be divided by a ceiling of the same unit."""


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
    if not np.isfinite(values).all():
        bad = np.argwhere(~np.isfinite(values))
        i, j = bad[0]
        raise BrainalignError(
            f"{name} is {values[i, j]} at sample {i}, {column} {j} ({len(bad)} values in all are NaN or infinity): "
            f"leave out the {column} or the sample, or mend it before"
        )


def _pair(Y, Y_hat):
    Y, Y_hat = as_float(Y), as_float(Y_hat)
    if Y.ndim != 2 or Y.shape != Y_hat.shape or len(Y) < 2:
        raise Misaligned(
            "responses and predictions must both be (n_samples, n_targets) with at least 2 samples, "
            f"got {Y.shape} and {Y_hat.shape}"
        )
    check_finite(Y, name="Y", column="target")
    check_finite(Y_hat, name="Y_hat", column="target")
    return Y, Y_hat


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
    values = np.asarray(values)
    if np.iscomplexobj(values):
        raise BrainalignError(f"values must be real, got {values.dtype}: take the real part or the magnitude before")
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
