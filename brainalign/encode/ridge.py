"""Ridge regression with one penalty per target, chosen by leaving out whole groups or contiguous blocks.

With features X and responses Y centred on the training samples, the weights of a target are

    w(alpha) = argmin_w sum((X w - y)^2) + alpha sum(w^2)            alpha: on the sum over samples, not the mean

and with X = U diag(sigma) V' the prediction of new samples is

    y_hat(alpha) = (X_new V) diag(sigma / (sigma^2 + alpha)) (U' y)

so one eigendecomposition of X'X (primal) or XX' (dual), whichever is smaller, serves every penalty and every target by
matrix products. It is done in float64; what grows with the number of targets is done in the dtype of the input.

References
----------
Hoerl & Kennard (1970), Technometrics 12:55. Saunders, Gammerman & Vovk (1998), ICML, for the dual form. Oracles:
`scipy.linalg.solve` on the normal equations, scikit-learn's `Ridge` and `GridSearchCV`, himalaya's `RidgeCV`.
"""

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from brainalign.encode.metrics import as_float, check_finite, is_constant, power_of_two
from brainalign.encode.splits import Blocks, Groups, check_folds
from brainalign.errors import BrainalignError, Misaligned

ALPHAS = tuple(np.logspace(-1, 8, 19).tolist())


class EdgeShare(NamedTuple):
    """Share of the targets whose penalty is the lowest, and the highest, of the grid; nan for a grid of one penalty."""

    low: float
    high: float


class Standardisation(NamedTuple):
    """`(X - mean) * inverse_scale`; a constant feature has inverse scale 0 and stays 0 even if it varies later."""

    mean: np.ndarray  # (n_features,)
    inverse_scale: np.ndarray  # (n_features,)

    def __call__(self, X):
        """Give the standardised features in float64, (n_samples, n_features)."""
        standard = X.astype(np.float64)
        standard -= self.mean
        standard *= self.inverse_scale
        return standard


class Factors(NamedTuple):
    """`X = U diag(sigma) V'` of rank r, with `V = basis @ rotation` kept as a product in the dual form."""

    U: np.ndarray  # (n_samples, r)
    sigma: np.ndarray  # (r,)
    basis: np.ndarray  # (n_features, r) primal, (n_features, n_samples) dual
    rotation: np.ndarray | None  # None primal, (n_samples, r) dual

    @property
    def solver(self):
        """Which of the two forms this is."""
        return "primal" if self.rotation is None else "dual"

    def project(self, X):
        """Give `X V`, (n_samples, r)."""
        projected = X @ self.basis
        return projected if self.rotation is None else projected @ self.rotation

    def to_features(self, reduced):
        """Give `V reduced`, (n_features, n_targets), of weights on the components (r, n_targets)."""
        return self.basis @ (reduced if self.rotation is None else self.rotation @ reduced)


def standardisation(X, *, scale):
    """Fit the centring, and where `scale` the division by the standard deviation, of each feature.

    Parameters
    ----------
    X : float array of shape (n_samples, n_features)
    scale : bool

    Returns
    -------
    standardise : Standardisation
    """
    constant = is_constant(X)
    mean = X.mean(axis=0, dtype=np.float64)
    deviation = X.std(axis=0, dtype=np.float64) if scale else np.ones(X.shape[1])
    return Standardisation(mean, np.where(constant, 0, 1 / np.where(constant, 1, deviation)))


def factorise(X):
    """Decompose centred features by the eigenvectors of the smaller of X'X and XX'.

    Parameters
    ----------
    X : float64 array of shape (n_samples, n_features)

    Returns
    -------
    factors : Factors
        Components whose eigenvalue is lost in the rounding of the largest are left out.
    """
    n_samples, n_features = X.shape
    primal = n_features <= n_samples
    # numpy's eigh: scipy brings its own OpenBLAS, whose waiting threads slow the products that follow
    eigenvalues, vectors = np.linalg.eigh(X.T @ X if primal else X @ X.T)
    largest = eigenvalues[-1] if len(eigenvalues) else 0.0
    kept = eigenvalues > largest * max(X.shape) * np.finfo(np.float64).eps
    sigma, vectors = np.sqrt(eigenvalues[kept]), vectors[:, kept]
    if primal:
        return Factors((X @ vectors) / sigma, sigma, vectors, None)
    return Factors(vectors, sigma, X.T, vectors / sigma)


class RidgeCV(RegressorMixin, BaseEstimator):
    """Ridge regression with intercept; the penalty of each target is chosen by cross-validation in the training data.

    Parameters
    ----------
    alphas : sequence of float
        Penalties on the sum of squares, positive.
    inner : None, Blocks, Groups, or list of (train, test)
        How the training data are split to choose the penalty. None: leave one group out where there are 2 to 10 groups,
        ten folds of whole groups where there are more, and five contiguous blocks, with a gap of 5 samples (a twentieth
        of a series shorter than 100), where there is one.
    scale : bool
        Divide features by their standard deviation; like the centring, fitted on the training part of each split.

    Attributes
    ----------
    alpha_ : array of shape (n_targets,)
        The penalty with the smallest squared error over the inner test sets, the largest of those that tie; nan for a
        constant target.
    inner_score_ : array of shape (n_targets,)
        At that penalty, `1 - sum SSE / sum SST` over the inner folds, SST about the mean of the inner training set:
        what feature spaces may be compared by without looking at the outer test set. nan for a constant target.
    alpha_at_edge_ : EdgeShare
        Among targets that are not constant.
    n_inner_folds_ : int
    solver_ : {"primal", "dual"}
        Of the final fit.
    coef_ : array of shape (n_targets, n_features)
        In the units of `X` and `Y`, so that `Y_hat = X @ coef_.T + intercept_`; computed when asked for.
    intercept_ : array of shape (n_targets,)

    Notes
    -----
    Targets that share their features are best fitted side by side in one `Y`: they then share all factorisations.
    The unit of `Y` decides nothing: responses in tesla choose the same penalties as in femtotesla.
    """

    def __init__(self, alphas=ALPHAS, *, inner=None, scale=True):
        self.alphas = alphas
        self.inner = inner
        self.scale = scale

    def fit(self, X, Y, groups=None, *, run=None, position=None):
        """Choose a penalty per target and fit with it on all samples.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        Y : array of shape (n_samples, n_targets) or (n_samples,)
            float32 and float64 are computed in as they are, if both are float32; anything else in float64.
        groups : array of shape (n_samples,), optional
            What no inner split may cut: runs, stories, stimuli.
        run : array of shape (n_samples,), optional
            Uninterrupted recordings, each contiguous: the gap of `Blocks` counts within them. Without `groups` they are
            what `Groups` and `inner=None` leave out.
        position : int array of shape (n_samples,), optional
            Places of the samples in the series they were taken from, see `splits.blocks`.

        Returns
        -------
        self : RidgeCV

        Raises
        ------
        Misaligned
            `X` and `Y` differ in length or have wrong dimensions.
        BrainalignError
            NaN or infinity (names sample and target or feature), a penalty that is not positive, folds that cannot be
            made.
        """
        X, Y = _features_and_targets(X, Y)
        alphas = _positive(self.alphas)
        self.n_features_in_ = X.shape[1]
        self._one_target = Y.ndim == 1
        Y = Y.reshape(len(X), -1)
        constant = is_constant(Y)
        self._mean = Y.mean(axis=0, dtype=np.float64)
        centred = Y - self._mean
        self._unit = power_of_two(np.abs(centred).max(axis=0, initial=0))
        # (n_samples, n_targets), of size 1 in whatever unit Y was
        Y = (centred / self._unit).astype(np.result_type(X, Y))
        folds = self._inner_folds(len(X), groups=groups, run=run, position=position)
        self.n_inner_folds_ = len(folds)
        sse, sst = errors_of_folds(X, Y, folds, alphas=alphas, scale=self.scale)
        i_alpha = largest_of_the_best(sse, rounding=16 * np.finfo(Y.dtype).eps)  # (n_targets,)
        self.alpha_ = np.where(constant, np.nan, alphas[i_alpha])
        chosen = np.take_along_axis(sse, i_alpha[None], axis=0)[0]
        self.inner_score_ = np.where(constant, np.nan, 1 - chosen / np.where(constant, 1, sst))
        self.alpha_at_edge_ = _edge_share(i_alpha[~constant], len(alphas))
        self._standardise = standardisation(X, scale=self.scale)
        self._factors = factorise(self._standardise(X))
        self.solver_ = self._factors.solver
        self._reduced = self._reduced_weights(Y, constant=constant)
        return self

    def predict(self, X):
        """Predict the responses to new samples.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)

        Returns
        -------
        Y_hat : array of shape (n_samples, n_targets), or (n_samples,) if `Y` was so
            A constant target is predicted to stay what it was.

        Raises
        ------
        Misaligned
            Another number of features than in `fit`.
        BrainalignError
            NaN or infinity in `X`.
        """
        check_is_fitted(self)
        X = as_float(X)
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise Misaligned(f"X must be (n_samples, {self.n_features_in_}) as in fit, got {X.shape}")
        check_finite(X, name="X", column="feature")
        projected = self._factors.project(self._standardise(X)).astype(self._reduced.dtype)  # (n_samples, r)
        Y_hat = ((projected @ self._reduced) * self._unit + self._mean).astype(self._reduced.dtype)
        return Y_hat[:, 0] if self._one_target else Y_hat

    @property
    def coef_(self):
        """Weights in the units of X and Y, (n_targets, n_features)."""
        check_is_fitted(self)
        weights = self._factors.to_features(self._reduced) * self._unit  # (n_features, n_targets)
        return (weights * self._standardise.inverse_scale[:, None]).T

    @property
    def intercept_(self):
        """Prediction where all features are zero, (n_targets,)."""
        return self._mean - self.coef_ @ self._standardise.mean

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_reduced")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _inner_folds(self, n_samples, *, groups, run, position):
        inner = default_inner(n_samples, groups=groups, run=run) if self.inner is None else self.inner
        if hasattr(inner, "split"):
            return inner.split(n_samples, groups=groups, run=run, position=position)
        return check_folds(inner, n_samples)

    def _reduced_weights(self, Y, *, constant):
        """Give the weights on the components, (r, n_targets): `Y_hat = (X V) reduced`, 0 for constant targets."""
        sigma = self._factors.sigma[:, None]
        shrinkage = sigma / (sigma**2 + np.where(constant, np.inf, self.alpha_))  # (r, n_targets)
        return self._factors.U.T.astype(Y.dtype) @ Y * shrinkage.astype(Y.dtype)


def default_inner(n_samples, *, groups=None, run=None):
    """Give the splitter that `RidgeCV(inner=None)` uses.

    Parameters
    ----------
    n_samples : int
    groups, run : arrays of shape (n_samples,), optional
        The runs count as groups where there are no groups.

    Returns
    -------
    splitter : Groups or Blocks
        Groups in turn for 2 to 10 groups, ten folds of whole groups for more, else five blocks with a gap.
    """
    labels = run if groups is None else groups
    n_groups = 1 if labels is None else len(np.unique(labels))
    if n_groups > 1:
        return Groups(n=None if n_groups <= 10 else 10)
    return Blocks(n=5, gap=min(5, n_samples // 20))


def errors_of_folds(X, Y, folds, *, alphas, scale):
    """Sum squared errors over the test sets of folds, for every penalty and target.

    Parameters
    ----------
    X : float array of shape (n_samples, n_features)
    Y : float array of shape (n_samples, n_targets)
    folds : list of Fold
    alphas : array of shape (n_alphas,)
    scale : bool
        Divide features by their standard deviation in the training set of each fold.

    Returns
    -------
    sse : float64 array of shape (n_alphas, n_targets)
        Of ridge regression.
    sst : float64 array of shape (n_targets,)
        Of the mean of the training set.
    """
    sse = np.zeros((len(alphas), Y.shape[1]))
    sst = np.zeros(Y.shape[1])
    for train, test in folds:
        standardise = standardisation(X[train], scale=scale)
        factors = factorise(standardise(X[train]))
        mean = Y[train].mean(axis=0, dtype=np.float64).astype(Y.dtype)
        projected_Y = factors.U.T.astype(Y.dtype) @ (Y[train] - mean)  # (r, n_targets)
        projected_X = factors.project(standardise(X[test]))  # (n_test, r)
        deviation = Y[test] - mean  # (n_test, n_targets)
        sst += np.square(deviation).sum(axis=0, dtype=np.float64)
        for i_alpha, alpha in enumerate(alphas):
            shrunken = projected_X * (factors.sigma / (factors.sigma**2 + alpha))
            residual = deviation - shrunken.astype(Y.dtype) @ projected_Y
            sse[i_alpha] += np.square(residual, out=residual).sum(axis=0, dtype=np.float64)
    return sse, sst


def largest_of_the_best(sse, *, rounding):
    """Give the index of the largest penalty whose error is the smallest but for rounding.

    Parameters
    ----------
    sse : array of shape (n_alphas, n_targets)
        Penalties ascending.
    rounding : float
        Relative difference of errors that means nothing; relative, so that the unit of the responses does not matter.

    Returns
    -------
    i_alpha : int array of shape (n_targets,)
    """
    ties = sse <= sse.min(axis=0) * (1 + rounding)
    return len(sse) - 1 - np.argmax(ties[::-1], axis=0)


def _features_and_targets(X, Y):
    X, Y = as_float(X), as_float(Y)
    if X.ndim != 2 or Y.ndim not in (1, 2):
        raise Misaligned(f"X must be (n_samples, n_features) and Y (n_samples, n_targets), got {X.shape} and {Y.shape}")
    if len(X) != len(Y):
        raise Misaligned(f"X has {len(X)} samples but Y has {len(Y)}")
    if 0 in X.shape or Y.size == 0:
        raise Misaligned(f"nothing to fit: X is {X.shape}, Y is {Y.shape}")
    check_finite(X, name="X", column="feature")
    check_finite(Y.reshape(len(Y), -1), name="Y", column="target")
    return X, Y


def _positive(alphas):
    alphas = np.unique(np.atleast_1d(np.asarray(alphas, dtype=np.float64)))
    if alphas.ndim != 1 or len(alphas) == 0 or not np.isfinite(alphas).all() or alphas[0] <= 0:
        raise BrainalignError(f"alphas must be positive and finite, got {alphas.tolist()}")
    return alphas


def _edge_share(i_alpha, n_alphas):
    if n_alphas == 1 or len(i_alpha) == 0:
        return EdgeShare(np.nan, np.nan)
    return EdgeShare(float(np.mean(i_alpha == 0)), float(np.mean(i_alpha == n_alphas - 1)))
