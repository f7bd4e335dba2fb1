"""Several feature spaces in one model: given by name, or as columns of one matrix."""

from collections.abc import Mapping

import numpy as np

from brainalign.encode.metrics import as_float, check_finite
from brainalign.errors import BrainalignError, Misaligned


def named_spaces(X, columns=None):
    """Give feature spaces by name.

    Parameters
    ----------
    X : dict of str to array or tensor of shape (n_samples, n_features), or matrix with `columns`
    columns : dict of str to slice, optional
        Where each feature space lies in an `X` that is a matrix, as `score.cross_validate` gives it.

    Returns
    -------
    spaces : dict of str to float array of shape (n_samples, n_features)

    Raises
    ------
    Misaligned
        A feature space is not 2-D, or they differ in their number of samples.
    BrainalignError
        NaN or infinity (names feature space, sample and feature), no feature space, a matrix without `columns`.
    """
    if not isinstance(X, Mapping):
        if columns is None:
            raise BrainalignError("X must be a dict of feature spaces, or columns must say where each lies in X")
        X = _on_cpu(X)
        if X.ndim != 2:
            raise Misaligned(f"X must be (n_samples, n_features), got {X.shape}")
        X = {name: X[:, own] for name, own in columns.items()}
    spaces = {name: as_float(_on_cpu(values)) for name, values in X.items()}
    if not spaces:
        raise BrainalignError("no feature space: give each by its name")
    for name, values in spaces.items():
        if values.ndim != 2 or values.shape[1] == 0:
            raise Misaligned(f"feature space {name!r} must be (n_samples, n_features), got {values.shape}")
        check_finite(values, name=f"feature space {name!r}", column="feature")
    n_samples = {name: len(values) for name, values in spaces.items()}
    if len(set(n_samples.values())) > 1:
        raise Misaligned(f"feature spaces differ in their number of samples: {n_samples}")
    return spaces


def _on_cpu(values):
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def columns_of(spaces):
    """Give the columns of each feature space in the matrix of all, in order: dict of str to slice."""
    ends = np.cumsum([X.shape[1] for X in spaces.values()]).tolist()
    return {name: slice(end - X.shape[1], end) for (name, X), end in zip(spaces.items(), ends, strict=True)}
