"""Stacking: predictions of several feature spaces joined by weights per target that held-out predictions chose.

With e_k = y - y_hat_k the error of feature space k on inner test samples, the weights of a target are

    w = argmin_w |sum_k w_k e_k|^2    such that w_k >= 0 and sum_k w_k = 1

where `|sum_k w_k e_k|^2 = |y - sum_k w_k y_hat_k|^2` since the weights sum to one: only the products of errors,
n_spaces by n_spaces per target, need be kept.

References
----------
Breiman (1996), Mach Learn 24:49. Lin, Naselaris, Kay & Wehbe (2024), NeuroImage 298:120772. Oracle: `scipy.optimize`.
"""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from brainalign.encode.metrics import as_float, check_finite, is_constant, power_of_two
from brainalign.encode.ridge import inner_folds, mean_r2
from brainalign.encode.spaces import named_spaces
from brainalign.errors import BrainalignError, Misaligned

TIE = 1e-8  # relative difference of squared errors that means nothing


class StackingCV(RegressorMixin, BaseEstimator):
    """Encoding models of single feature spaces, joined by non-negative weights per target that sum to one.

    Parameters
    ----------
    estimator : estimator with `fit(X, Y, groups=, run=, position=)` and `predict(X)`
        Cloned for every feature space and inner fold; whatever it chooses, it chooses in its own training samples.
    columns : dict of str to slice, optional
        Where each feature space lies in an `X` that is a matrix, as `score.cross_validate` gives it.
    inner : None, Blocks, Groups, or list of (train, test)
        The splits whose test samples choose the weights; None as for `ridge.RidgeCV`.

    Attributes
    ----------
    weights_ : array of shape (n_spaces, n_targets)
        In the order of `spaces_`. nan for a constant target. Spaces that predict alike share their weight equally.
    spaces_ : list of str
    estimators_ : dict of str to estimator
        Fitted on all training samples.
    inner_score_ : array of shape (n_targets,)
        `1 - sum SSE / sum SST` of the weighted inner predictions, SST about the mean of the inner training sets; nan
        for a constant target.
    n_inner_folds_ : int

    Notes
    -----
    The unit of `Y` decides no weight.
    """

    def __init__(self, estimator, *, columns=None, inner=None):
        self.estimator = estimator
        self.columns = columns
        self.inner = inner

    def fit(self, X, Y, groups=None, *, run=None, position=None):
        """Choose the weights by inner held-out predictions and fit every feature space on all samples.

        Parameters
        ----------
        X : dict of str to array of shape (n_samples, n_features), or matrix with `columns`
        Y : array of shape (n_samples, n_targets) or (n_samples,)
        groups, run, position : arrays of shape (n_samples,), optional
            As for `ridge.RidgeCV`; each estimator is given those of its samples.

        Returns
        -------
        self : StackingCV

        Raises
        ------
        Misaligned
            Feature spaces, `Y` or labels differ in length or have wrong dimensions.
        BrainalignError
            NaN or infinity (names feature space, sample and column), no feature space, folds that cannot be made.
        """
        spaces, Y = named_spaces(X, self.columns), as_float(Y)
        labels = {"groups": groups, "run": run, "position": np.arange(len(Y)) if position is None else position}
        labels = {name: None if given is None else np.asarray(given) for name, given in labels.items()}
        _check_lengths(spaces, Y, labels)
        self.spaces_ = list(spaces)
        self._one_target = Y.ndim == 1
        Y = Y.reshape(len(Y), -1)
        check_finite(Y, name="Y", column="target")
        folds = inner_folds(self.inner, len(Y), **labels)
        self.n_inner_folds_ = len(folds)
        products, sst = error_products(self.estimator, spaces, Y, folds, **labels)
        constant = is_constant(Y)
        weights = simplex_weights(products)
        sse = np.einsum("kt,tkl,lt->t", weights, products, weights)
        self.weights_ = np.where(constant, np.nan, weights)
        self.inner_score_ = np.where(constant, np.nan, 1 - sse / np.where(constant, 1, sst))
        self.estimators_ = {name: clone(self.estimator).fit(X, Y, **labels) for name, X in spaces.items()}
        self._constant = np.where(constant, Y.mean(axis=0, dtype=np.float64), np.nan)
        return self

    def predict(self, X):
        """Predict the responses to new samples by the weighted mean of the feature spaces.

        Parameters
        ----------
        X : dict of str to array of shape (n_samples, n_features), or matrix with `columns`

        Returns
        -------
        Y_hat : array of shape (n_samples, n_targets), or (n_samples,) if `Y` was so
            A constant target is predicted to stay what it was.

        Raises
        ------
        Misaligned
            Other feature spaces than in `fit`, or other numbers of features.
        BrainalignError
            NaN or infinity in a feature space.
        """
        by_space = self.predict_by_space(X)
        shares = np.nan_to_num(self.weights_)  # (n_spaces, n_targets)
        Y_hat = sum(
            share.astype(own.dtype) * own.reshape(len(own), -1)
            for share, own in zip(shares, by_space.values(), strict=True)
        )
        Y_hat = np.where(np.isnan(self._constant), Y_hat, self._constant.astype(Y_hat.dtype))
        return Y_hat[:, 0] if self._one_target else Y_hat

    def predict_by_space(self, X):
        """Predict the responses to new samples by each feature space alone.

        Parameters
        ----------
        X : dict of str to array of shape (n_samples, n_features), or matrix with `columns`

        Returns
        -------
        Y_hats : dict of str to array of shape (n_samples, n_targets), or (n_samples,) if `Y` was so
            In the order of `spaces_`, not weighted.

        Raises
        ------
        Misaligned, BrainalignError
            As for `predict`.
        """
        check_is_fitted(self)
        spaces = named_spaces(X, self.columns)
        if set(spaces) != set(self.spaces_):
            raise Misaligned(f"X must have the feature spaces {self.spaces_} as in fit, got {list(spaces)}")
        Y_hats = {name: self.estimators_[name].predict(spaces[name]) for name in self.spaces_}
        return {name: Y_hat[:, 0] for name, Y_hat in Y_hats.items()} if self._one_target else Y_hats

    def score(self, X, y):
        """Give the mean r2 of the targets that vary in `y`."""
        return mean_r2(y, self.predict(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def error_products(estimator, spaces, Y, folds, **labels):
    """Sum the products of the held-out errors of all pairs of feature spaces, per target.

    Parameters
    ----------
    estimator : estimator
        Cloned and fitted on the training samples of each fold and feature space.
    spaces : dict of str to float array of shape (n_samples, n_features)
    Y : float array of shape (n_samples, n_targets)
    folds : list of Fold
    **labels : arrays of shape (n_samples,) or None
        `groups`, `run` and `position`, given to `fit`.

    Returns
    -------
    products : float64 array of shape (n_targets, n_spaces, n_spaces)
        In a unit of each target's own, as `sst`.
    sst : float64 array of shape (n_targets,)
        Sum of the squared errors of the mean of the training samples.

    Raises
    ------
    BrainalignError
        A prediction is not finite.
    """
    products = np.zeros((Y.shape[1], len(spaces), len(spaces)))
    sst = np.zeros(Y.shape[1])
    mean = Y.mean(axis=0, dtype=np.float64)
    unit = power_of_two(np.maximum(np.abs(Y.max(axis=0) - mean), np.abs(Y.min(axis=0) - mean)))
    for train, test in folds:
        of_train = {name: None if given is None else given[train] for name, given in labels.items()}
        errors = []
        for name, X in spaces.items():
            Y_hat = clone(estimator).fit(X[train], Y[train], **of_train).predict(X[test])
            check_finite(Y_hat, name=f"the inner prediction of {name!r}", column="target")
            errors.append((Y[test] - Y_hat) / unit)  # (n_test, n_targets)
        for j, error in enumerate(errors):
            for k, other in enumerate(errors[: j + 1]):
                products[:, j, k] += np.einsum("it,it->t", error, other)
                products[:, k, j] = products[:, j, k]
        sst += np.square((Y[test] - Y[train].mean(axis=0, dtype=np.float64)) / unit).sum(axis=0)
    return products, sst


def simplex_weights(products):
    """Minimise `w' Q w` over non-negative weights that sum to one, for all targets side by side.

    With D the root of the diagonal of Q, the active-set method of non-negative least squares minimises

        v' (D^-1 Q D^-1) v / 2 - sum(D^-1 v)  such that v >= 0

    whose solution is a multiple of D w: at both, `Q w >= w' Q w`, with equality where the weight is positive.

    Parameters
    ----------
    products : array of shape (n_targets, n_spaces, n_spaces)
        Q, of each target: symmetric, positive semidefinite.

    Returns
    -------
    weights : array of shape (n_spaces, n_targets)
        Of those that tie, to 1e-8 of the squared errors of the spaces, the most equal.

    Raises
    ------
    BrainalignError
        The steps do not end: Q is no such matrix.

    References
    ----------
    Lawson & Hanson (1974), Solving Least Squares Problems, ch. 23; Bro & de Jong (1997), J Chemom 11:393. Oracle:
    `scipy.optimize.minimize` and the conditions above.
    """
    n_targets, n_spaces, _ = products.shape
    size = _size_of_errors(products)  # (n_targets, n_spaces)
    alike = products / (size[:, :, None] * size[:, None, :]) + TIE * np.eye(n_spaces)
    v, free = np.zeros((n_targets, n_spaces)), np.zeros((n_targets, n_spaces), dtype=bool)
    left = np.arange(n_targets)
    for _ in range(20 * (n_spaces + 1)):
        v[left], free[left], done = _step(alike[left], 1 / size[left], v[left], free[left])
        left = left[~done]
        if len(left) == 0:
            weights = v / size
            return (weights / weights.sum(axis=1, keepdims=True)).T
    raise BrainalignError(
        f"no weights found for {len(left)} targets, the first is {left[0]}: are these sums of products?"
    )


def _step(alike, pull, v, free):
    """Move to the optimum of the free spaces as far as they stay positive; drop those at 0, or else free one more."""
    optimum = _optimum_of_free(alike, pull, free)  # (n_targets, n_spaces)
    negative = free & (optimum <= 0)
    blocked = negative.any(axis=1)
    reach = np.where(negative, v / np.where(negative & (v > optimum), v - optimum, 1), 1)
    length = reach.min(axis=1, keepdims=True)
    free = free & ~(negative & (reach <= length))
    v = np.where(free, v + length * (optimum - v), 0)
    gain = np.where(free, -np.inf, pull - np.einsum("tjk,tk->tj", alike, v))
    best = gain.argmax(axis=1)
    # freeing a space lowers the error by about gain^2 / sum(w), and the error is 1 / sum(w)
    nothing = gain.max(axis=1) <= TIE / 100 * np.sqrt((pull * v).sum(axis=1))
    entering = np.flatnonzero(~blocked & ~nothing)
    free[entering, best[entering]] = True
    return v, free, ~blocked & nothing


def _optimum_of_free(alike, pull, free):
    """Solve `alike v = pull` on the free spaces of each target, 0 elsewhere."""
    both = free[:, :, None] & free[:, None, :]
    of_free = np.where(both, alike, np.eye(free.shape[1]))
    return np.linalg.solve(of_free, np.where(free, pull, 0)[:, :, None])[:, :, 0]


def _size_of_errors(products):
    """Give the root of the squared error of each space, (n_targets, n_spaces); a small one where there is no error."""
    errors = np.diagonal(products, axis1=1, axis2=2)
    smallest = np.where(errors > 0, errors, np.inf).min(axis=1, keepdims=True)
    return np.sqrt(np.where(errors > 0, errors, np.where(np.isfinite(smallest), TIE * smallest, 1)))


def _check_lengths(spaces, Y, labels):
    if Y.ndim not in (1, 2):
        raise Misaligned(f"Y must be (n_samples, n_targets), got {Y.shape}")
    n = len(next(iter(spaces.values())))
    for name, values in (("Y", Y), *labels.items()):
        if values is not None and len(values) != n:
            raise Misaligned(f"the feature spaces have {n} samples but {name} has {len(values)}")
