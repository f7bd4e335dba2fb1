"""Ridge regression with one penalty per target, chosen by leaving out whole groups or contiguous blocks.

With features X and responses Y centred on the training samples, the weights of a target are

    w(alpha) = argmin_w sum((X w - y)^2) + alpha sum(w^2)            alpha: on the sum over samples, not the mean

and with X = U diag(sigma) V' the prediction of new samples is

    y_hat(alpha) = (X_new V) diag(sigma / (sigma^2 + alpha)) (U' y)

so one eigendecomposition of X'X (primal) or XX' (dual), whichever is smaller, serves every penalty and every target by
matrix products. It is done in float64; what grows with the number of targets is done in the precision that is chosen.

References
----------
Hoerl & Kennard (1970), Technometrics 12:55. Saunders, Gammerman & Vovk (1998), ICML, for the dual form. Oracles:
`scipy.linalg.solve` on the normal equations, scikit-learn's `Ridge` and `GridSearchCV`, himalaya's `RidgeCV`.
"""

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from brainalign.encode.engine.compute import choose_device, choose_precision, threads_for
from brainalign.encode.engine.factors import factorise, require_similar_sizes, standardisation
from brainalign.encode.engine.problem import pose
from brainalign.encode.engine.search import Search
from brainalign.encode.engine.sources import WIDTH, Samples, read_standard
from brainalign.encode.metrics import r2
from brainalign.encode.splits import Blocks, Groups, check_folds
from brainalign.errors import BrainalignError, Misaligned

ALPHAS = tuple(np.logspace(-1, 8, 19).tolist())
MANY = 0.5  # share of targets at one edge of the grid that is warned of


class EdgeWarning(UserWarning):
    """So many targets take the lowest or the highest penalty of the grid that the best may lie outside."""


class EdgeShare(NamedTuple):
    """Share of the targets whose penalty is the lowest, and the highest, of the grid; nan for a grid of one penalty."""

    low: float
    high: float


def mean_r2(y, y_hat):
    """Give the mean r2 of the targets that vary in `y`, a number; nan where none does.

    Parameters
    ----------
    y, y_hat : arrays or tensors of shape (n_samples, n_targets) or (n_samples,)
    """
    Y = Samples(y, name="Y", column="target").whole(dtype=torch.float64).cpu().numpy()
    Y_hat = torch.as_tensor(y_hat).cpu().numpy().reshape(Y.shape)
    scores = r2(Y, Y_hat)
    return float(scores[np.isfinite(scores)].mean()) if np.isfinite(scores).any() else float("nan")


class _LinearModel(RegressorMixin, BaseEstimator):
    """Predictions and weights of a fit that is kept as weights on the components of its features."""

    def predict(self, X):
        """Predict the responses to new samples.

        Parameters
        ----------
        X : array or tensor of shape (n_samples, n_features)

        Returns
        -------
        Y_hat : of the kind of `X`, of shape (n_samples, n_targets), or (n_samples,) if `Y` was so
            A constant target is predicted to stay what it was.

        Raises
        ------
        Misaligned
            Another number of features than in `fit`.
        BrainalignError
            NaN or infinity in `X`.
        """
        check_is_fitted(self)
        features = features_of(X)
        if features.shape[1] != self.n_features_in_:
            raise Misaligned(
                f"X has {features.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input, as in fit"
            )
        device = self._reduced.device
        with threads_for(*features.shape, len(self._reduced)):
            new = self._standardise(features.whole(device=device))
            Y_hat = self._factors.project(new).to(self._reduced.dtype) @ self._reduced.T
            Y_hat *= torch.as_tensor(self._unit, dtype=Y_hat.dtype, device=device)
            Y_hat += torch.as_tensor(self._mean, dtype=Y_hat.dtype, device=device)
        return _like(Y_hat[:, 0] if self._one_target else Y_hat, X)

    def score(self, X, y):
        """Give the mean r2 of the targets that vary in `y`; see `metrics.r2` for one value per target."""
        return mean_r2(y, self.predict(X))

    @property
    def coef_(self):
        """Weights in the units of X and Y, (n_targets, n_features), or (n_features,) for `Y` of one dimension."""
        self._check_fitted_for("coef_")
        weights = self._weights()
        return _like(weights[0] if self._one_target else weights, self._kind)

    @property
    def intercept_(self):
        """Prediction where all features are zero, (n_targets,), or a number for `Y` of one dimension."""
        self._check_fitted_for("intercept_")
        mean = torch.as_tensor(self._mean, device=self._reduced.device)
        intercept = mean - self._weights().double() @ self._standardise.mean
        return intercept[0].item() if self._one_target else _like(intercept, self._kind)

    @property
    def condition_number_(self):
        """Largest over smallest singular value of the standardised features, of those that are not lost in rounding."""
        self._check_fitted_for("condition_number_")
        sigma = self._factors.sigma
        return float(sigma[-1] / sigma[0]) if len(sigma) else np.nan

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_reduced")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_fitted_for(self, name):
        if not hasattr(self, "_reduced"):
            raise AttributeError(f"{type(self).__name__} has no {name} before it is fitted")

    def _weights(self):
        weights = self._factors.to_features(self._reduced.double())  # (n_targets, n_features)
        weights *= torch.as_tensor(self._unit, device=weights.device)[:, None]
        return weights * self._standardise.inverse_scale

    def _start(self, X, Y):
        """Read the data and decide where and in which precision to compute."""
        require_responses(self, Y)
        features, targets = features_of(X), Samples(Y, name="Y", column="target")
        if features.shape[0] != targets.shape[0]:
            raise Misaligned(f"X has {features.shape[0]} samples but Y has {targets.shape[0]}")
        self._runs = [values.run for values in (targets, features) if values.run is not None]
        for values in (features, targets):
            require_something(values)
        device = choose_device(self.device)
        precision = choose_precision(self.precision, dtypes=(features.dtype, targets.dtype), device=device)
        self.n_features_in_, self._one_target = features.shape[1], targets.one_column
        self._kind = X[:0].clone() if isinstance(X, torch.Tensor) else np.empty(0)
        self.device_, self.precision_ = str(device), precision.name
        return features.whole(device=device), targets, precision, device

    def _keep(self, factors, standardise, mean, unit):
        """Keep what predicts; the components of the samples that were fitted are not needed for it."""
        self._factors = factors._replace(U=factors.U[:0].clone())
        self._standardise, self._mean, self._unit = standardise, mean, unit
        self.solver_ = factors.solver


class Ridge(_LinearModel):
    """Ridge regression with intercept and given penalties.

    Parameters
    ----------
    alpha : float or array of shape (n_targets,)
        Penalty on the sum of squares, positive.
    scale : bool
        Divide features by their standard deviation.
    precision : {None, "float32", "float64"}
        None: that of the data.
    device : {"cpu", "cuda", "auto"}

    Attributes
    ----------
    coef_, intercept_ : arrays of shape (n_targets, n_features) and (n_targets,)
        In the units of `X` and `Y`; computed when asked for.
    solver_ : {"primal", "dual"}
    precision_, device_ : str
        Those used.
    condition_number_ : float
    """

    def __init__(self, alpha=1.0, *, scale=True, precision=None, device="cpu"):
        self.alpha = alpha
        self.scale = scale
        self.precision = precision
        self.device = device

    def fit(self, X, Y, groups=None):  # noqa: ARG002
        """Fit on all samples.

        Parameters
        ----------
        X, Y : as in `RidgeCV.fit`
        groups : ignored
            There is nothing to choose.

        Returns
        -------
        self : Ridge
        """
        if self.precision == "mixed":
            raise BrainalignError('Ridge has nothing to scan: precision is None, "float32" or "float64"')
        X, targets, precision, device = self._start(X, Y)
        alpha = positive(self.alpha, ordered=False)
        if len(alpha) not in (1, targets.shape[1]):
            raise Misaligned(f"alpha has {len(alpha)} penalties but Y has {targets.shape[1]} targets")
        alpha = np.tile(alpha, targets.shape[1] // len(alpha))
        with threads_for(*X.shape, targets.shape[1]):
            standardise = standardisation(X, scale=self.scale)
            if not self.scale:
                require_similar_sizes(X, standardise, alpha.min())
            factors = factorise(X, standardise)
            self._reduced, mean, unit = components(factors, targets, dtype=precision.fit, device=device)
            penalties, i_alpha = torch.as_tensor(alpha, device=device).unique(return_inverse=True)
            shrink(self._reduced, factors.sigma, penalties, i_alpha)
            self._keep(factors, standardise, mean, unit)
        return self


class RidgeCV(_LinearModel):
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
    precision : {None, "float32", "float64", "mixed"}
        None: float32 where X and Y are, else float64. "mixed": penalties are scanned in bfloat16, its error is measured
        against float64 on some targets, and targets whose best penalties lie within six of its standard deviations are
        scanned once more in float32, as is the fit; `inner_score_` then has the error that `spot_check_` tells.
    device : {"cpu", "cuda", "auto"}

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
    n_constant_ : int
        Targets that do not vary.
    n_inner_folds_ : int
    solver_ : {"primal", "dual"}
        Of the final fit.
    inner_solver_ : {"primal", "from sums", "dual", "left out of the whole"}
        How the folds were computed, see `engine.scan` and `engine.sums`.
    spot_check_ : SpotCheck
        The precision used against float64.
    precision_, device_ : str
        Those used.
    condition_number_ : float
        Of the standardised features.
    coef_ : array of shape (n_targets, n_features)
        In the units of `X` and `Y`, so that `Y_hat = X @ coef_.T + intercept_`; computed when asked for.
    intercept_ : array of shape (n_targets,)

    Notes
    -----
    Targets that share their features are best fitted side by side in one `Y`: they then share all factorisations.
    The unit of `Y` decides nothing: responses in tesla choose the same penalties as in femtotesla.
    """

    def __init__(self, alphas=ALPHAS, *, inner=None, scale=True, precision=None, device="cpu"):
        self.alphas = alphas
        self.inner = inner
        self.scale = scale
        self.precision = precision
        self.device = device

    def fit(self, X, Y, groups=None, *, run=None, position=None):
        """Choose a penalty per target and fit with it on all samples.

        Parameters
        ----------
        X : array, memory map or tensor of shape (n_samples, n_features)
        Y : array, memory map or tensor of shape (n_samples, n_targets) or (n_samples,)
            Read in blocks of targets, and never copied whole. Both may be given as lists or iterators of runs; an
            iterator of `Y` is written through to a temporary file.
        groups : array of shape (n_samples,), optional
            What no inner split may cut: runs, stories, stimuli.
        run : array of shape (n_samples,), optional
            Uninterrupted recordings, each contiguous: the gap of `Blocks` counts within them. Without `groups` they are
            what `Groups` and `inner=None` leave out. By default those that `X` or `Y` was given as.
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

        Warns
        -----
        EdgeWarning
            More than half of the targets take the lowest, or the highest, of several penalties.
        PrecisionWarning
            "mixed" is no faster here, and float32 is used.
        """
        X, targets, precision, device = self._start(X, Y)
        alphas = positive(self.alphas)
        run = self._common_run() if run is None else run
        folds = inner_folds(self.inner, len(X), groups=groups, run=run, position=position)
        self.n_inner_folds_ = len(folds)
        with threads_for(*X.shape, targets.shape[1]):
            if not self.scale:
                require_similar_sizes(X, standardisation(X, scale=False), alphas[0])
            choice = self._search(X, targets, folds, alphas, precision=precision, device=device)
        tell_choice(self, choice, alphas)
        return self

    def _common_run(self):
        if len(self._runs) == 2 and not np.array_equal(*self._runs):
            raise Misaligned(
                "the runs of X and of Y differ in length: give both alike, or say with run= which are right"
            )
        return self._runs[0] if self._runs else None

    def _search(self, X, targets, folds, alphas, *, precision, device):
        """Choose penalties and keep the weights on the components that belong to them."""
        folds = [tuple(torch.as_tensor(samples, device=device) for samples in fold) for fold in folds]
        penalties = torch.as_tensor(alphas, device=device)
        problem = pose(X, folds, penalties, n_targets=targets.shape[1], scale=self.scale, precision=precision)
        self.inner_solver_ = problem.inner_solver
        standardise = standardisation(X, scale=self.scale)
        factors, kept = problem.factors(X, standardise)
        U = factors.U.to(precision.fit)
        self._reduced = torch.empty(targets.shape[1], U.shape[1], dtype=precision.fit, device=device)

        def keep(columns, Y, source):
            self._reduced[columns] = Y @ U if kept is None else source[:, kept]

        how = {"precision": problem.precision, "device": device, "vectors": problem.vectors, "keep": keep}
        search = Search(problem.folds, targets, **how)
        choice, self.spot_check_ = search.choose()
        shrink(self._reduced, factors.sigma, penalties, torch.as_tensor(choice.i_alpha, device=device))
        self._reduced[torch.as_tensor(choice.constant, device=device)] = 0
        self._keep(factors, standardise, choice.mean, choice.unit)
        return choice


def inner_folds(inner, n_samples, *, groups=None, run=None, position=None):
    """Give the inner folds that an estimator's `inner` stands for.

    Parameters
    ----------
    inner : None, Blocks, Groups, or list of (train, test)
        None: see `default_inner`.
    n_samples : int
    groups, run, position : arrays of shape (n_samples,), optional

    Returns
    -------
    folds : list of Fold
    """
    inner = default_inner(n_samples, groups=groups, run=run) if inner is None else inner
    if isinstance(inner, Blocks | Groups):
        return inner.split(n_samples, groups=groups, run=run, position=position)
    if isinstance(inner, str) or hasattr(inner, "split") or not isinstance(inner, Iterable):
        raise BrainalignError(
            f"inner must be None, Blocks, Groups, or a list of (train, test), got {inner!r}; the folds of another "
            "splitter can be given as list(splitter.split(X))"
        )
    return check_folds(inner, n_samples)


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


def components(factors, targets, *, dtype, device):
    """Give the components of responses, block by block.

    Parameters
    ----------
    factors : Factors
    targets : Samples

    Returns
    -------
    components : tensor of shape (n_targets, r)
        `Y' U`, in units of the targets.
    mean, unit : float64 arrays of shape (n_targets,)
    """
    n_targets, U = targets.shape[1], factors.U.to(dtype)
    found = torch.empty(n_targets, U.shape[1], dtype=dtype, device=device)
    mean, unit = np.empty(n_targets), np.empty(n_targets)
    for columns in targets.blocks():
        Y, mean[columns], unit[columns], _ = read_standard(targets, columns, dtype=dtype, device=device)
        torch.mm(Y, U, out=found[columns])
    return found, mean, unit


def shrink(components, sigma, alphas, i_alpha):
    """Multiply by `sigma / (sigma^2 + alpha)`, in place: the components U'y become weights on the components.

    Parameters
    ----------
    components : tensor of shape (n_targets, r)
    sigma : float64 tensor of shape (r,)
    alphas : float64 tensor of shape (n_alphas,)
    i_alpha : int tensor of shape (n_targets,)
    """
    shrinkage = (sigma / (sigma**2 + alphas[:, None])).to(components.dtype)  # (n_alphas, r)
    for block, chosen in zip(components.split(WIDTH), i_alpha.split(WIDTH), strict=True):
        block *= shrinkage[chosen]


def require_responses(model, Y):
    """Refuse a fit without responses."""
    if Y is None:
        raise BrainalignError(f"{type(model).__name__} requires y to be passed, but the target y is None")


def require_something(values):
    """Refuse a fit to no columns, or to fewer than two samples."""
    if 0 in values.shape:
        raise Misaligned(
            f"nothing to fit: {values.name} has {values.shape[1]} {values.column}(s) (shape={values.shape}) "
            "while a minimum of 1 is required, and a minimum of 2 samples"
        )
    if values.shape[0] < 2:
        raise Misaligned("1 sample: a fit with intercept needs two or more")


def features_of(X):
    """Give features wherever they lie as samples by features; one dimension is refused."""
    features = Samples(X, name="X", column="feature")
    if features.one_column:
        raise Misaligned(
            f"X must be (n_samples, n_features), got ({features.shape[0]},). Reshape your data: "
            "one feature is X[:, None], one sample is X[None]"
        )
    return features


def _like(tensor, kind):
    """Give a tensor as an array, or on the device of `kind` if that is a tensor."""
    return tensor.to(kind.device) if isinstance(kind, torch.Tensor) else tensor.cpu().numpy()


def positive(alphas, *, ordered=True):
    """Give penalties as a float64 array, ascending and each once if `ordered`; refuse what is not positive."""
    alphas = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if alphas.ndim != 1 or len(alphas) == 0 or not np.isfinite(alphas).all() or alphas.min() <= 0:
        raise BrainalignError(f"alphas must be positive and finite, got {alphas.tolist()}")
    return np.unique(alphas) if ordered else alphas


def tell_choice(model, choice, alphas):
    """Give an estimator `alpha_`, `inner_score_`, `n_constant_` and `alpha_at_edge_`; warn where it is at the edge."""
    model.alpha_ = np.where(choice.constant, np.nan, alphas[choice.i_alpha])
    model.inner_score_ = choice.r2
    model.n_constant_ = int(choice.constant.sum())
    model.alpha_at_edge_ = edge_share(choice.i_alpha[~choice.constant], len(alphas))
    warn_of_edges(model.alpha_at_edge_)


def edge_share(i_alpha, n_alphas):
    """Count the targets at the edges of a grid, of those whose place on it is given."""
    if n_alphas == 1 or len(i_alpha) == 0:
        return EdgeShare(np.nan, np.nan)
    return EdgeShare(float(np.mean(i_alpha == 0)), float(np.mean(i_alpha == n_alphas - 1)))


def warn_of_edges(share):
    """Warn where more than half of the targets are at one edge of the grid."""
    for name, direction, value in (("lowest", "lower", share.low), ("highest", "higher", share.high)):
        if value > MANY:
            warnings.warn(
                f"{value:.0%} of the targets take the {name} penalty of the grid: the best may be {direction} "
                "(targets without signal take the highest)",
                EdgeWarning,
                stacklevel=4,
            )
