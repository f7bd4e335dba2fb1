"""Banded ridge regression: every target has a penalty of its own for each feature space.

With feature spaces X_1 ... X_m, penalties alpha / gamma_i, and gamma on the simplex (gamma_i >= 0, sum 1),

    w = argmin_w |sum_i X_i w_i - y|^2 + alpha sum_i |w_i|^2 / gamma_i

which is ridge regression with penalty alpha on the features sqrt(gamma_i) X_i. Candidates for gamma are drawn at random
from Dirichlet distributions, and each target takes the gamma and alpha with the smallest inner held-out error.

References
----------
Nunez-Elizalde, Huth & Gallant (2019), NeuroImage 197:482. Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022),
NeuroImage 264:119728, section 2 (random search). Oracles: plain ridge on scaled features,
himalaya's `GroupRidgeCV(solver="random_search")`.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from brainalign.encode.engine.compute import choose_device, choose_precision, threads_for
from brainalign.encode.engine.factors import ROWS, factorise, require_similar_sizes, standardisation
from brainalign.encode.engine.problem import pose
from brainalign.encode.engine.search import Search
from brainalign.encode.engine.sources import Samples, read_standard
from brainalign.encode.ridge import (
    ALPHAS,
    features_of,
    inner_folds,
    mean_r2,
    positive,
    require_responses,
    require_something,
    shrink,
    tell_choice,
)
from brainalign.encode.spaces import columns_of, named_spaces
from brainalign.errors import BrainalignError, Misaligned


class BandedRidgeCV(RegressorMixin, BaseEstimator):
    """Ridge regression with one penalty per feature space and target, chosen by random search.

    Parameters
    ----------
    alphas : sequence of float
        Overall penalties, on the sum of squares.
    n_iter : int
        Candidates for gamma: equal shares first, then each space alone, then random ones. With fewer than there are
        spaces, only the first of these.
    concentration : sequence of float
        Of the Dirichlet distributions that random candidates come from, in turn: 1 is uniform over the simplex, .1
        prefers its corners.
    columns : dict of str to slice, optional
        Where each feature space lies in an `X` that is a matrix, as `score.cross_validate` gives it; without it the
        matrix is one feature space.
    inner : None, Blocks, Groups, or list of (train, test)
        As for `RidgeCV`.
    scale : bool
        Divide features by their standard deviation in the training part of each split.
    seed : int
        Candidate i is the same for every `n_iter`.
    warm_start : bool
        `fit` goes on from the candidates that a fit before tried, also one that was interrupted: on the same data,
        folds and settings, all but `n_iter`.
    precision : {None, "float32", "float64", "mixed"}
        As for `RidgeCV`. With "mixed", candidates that differ by less than bfloat16 resolves are not told apart.
    device : {"cpu", "cuda", "auto"}

    Attributes
    ----------
    spaces_ : list of str
    gamma_ : array of shape (n_spaces, n_targets)
        Sums to 1 over spaces; nan for a constant target.
    alpha_ : array of shape (n_targets,)
    band_penalties_ : array of shape (n_spaces, n_targets)
        `alpha_ / gamma_`, infinite for a space that is not used.
    inner_score_ : array of shape (n_targets,)
        As for `RidgeCV`, at the best candidate; nan for a constant target. The best of many tries: higher than what
        new samples will score.
    alpha_at_edge_ : EdgeShare
    n_candidates_ : int
        Tried so far.
    n_constant_, n_inner_folds_ : int
    coef_ : array of shape (n_targets, n_features)
        In the units of X and Y, features in the order of `spaces_`.
    intercept_ : array of shape (n_targets,)
    precision_, device_ : str
        Those used.
    """

    def __init__(
        self,
        alphas=ALPHAS,
        *,
        n_iter=100,
        concentration=(0.1, 1.0),
        columns=None,
        inner=None,
        scale=True,
        seed=0,
        warm_start=False,
        precision=None,
        device="cpu",
    ):
        self.alphas = alphas
        self.n_iter = n_iter
        self.concentration = concentration
        self.columns = columns
        self.inner = inner
        self.scale = scale
        self.seed = seed
        self.warm_start = warm_start
        self.precision = precision
        self.device = device

    def fit(self, X, Y, groups=None, *, run=None, position=None):
        """Choose gamma and alpha per target and fit with them on all samples.

        Parameters
        ----------
        X : dict of str to array of shape (n_samples, n_features), or matrix with `columns`
        Y : array, memory map or tensor of shape (n_samples, n_targets) or (n_samples,)
        groups, run, position : arrays of shape (n_samples,), optional
            As for `RidgeCV.fit`.

        Returns
        -------
        self : BandedRidgeCV

        Raises
        ------
        Misaligned
            Feature spaces or `Y` differ in length or have wrong dimensions.
        BrainalignError
            NaN or infinity, a penalty or concentration that is not positive, folds that cannot be made, `warm_start`
            on other data, folds or settings.
        """
        require_responses(self, Y)
        spaces, targets = self._named(X), Samples(Y, name="Y", column="target")
        n_samples = len(next(iter(spaces.values())))
        if n_samples != targets.shape[0]:
            raise Misaligned(f"the feature spaces have {n_samples} samples but Y has {targets.shape[0]}")
        require_something(targets)
        self.n_features_in_ = sum(values.shape[1] for values in spaces.values())
        device = choose_device(self.device)
        features = torch.as_tensor(np.concatenate(list(spaces.values()), axis=1), device=device)
        precision = choose_precision(self.precision, dtypes=(features.dtype, targets.dtype), device=device)
        alphas = positive(self.alphas)
        run = targets.run if run is None else run
        folds = inner_folds(self.inner, n_samples, groups=groups, run=run, position=position)
        self._start(features, targets, spaces, folds)
        with threads_for(*features.shape, targets.shape[1]):
            if not self.scale:
                require_similar_sizes(features, standardisation(features, scale=False), alphas[0])
            self._search(features, targets, folds, alphas, precision=precision)
            self._fit_best(features, targets, alphas, precision=precision)
        self._tell(alphas)
        self.n_inner_folds_, self.precision_, self.device_ = len(folds), precision.name, str(device)
        return self

    def predict(self, X):
        """Predict the responses to new samples, (n_samples, n_targets) or (n_samples,) if `Y` was so."""
        Y_hat = sum(self._added(X).values()) + self._offset
        return self._shaped(Y_hat, X)

    def score(self, X, y):
        """Give the mean r2 of the targets that vary in `y`."""
        return mean_r2(y, self.predict(X))

    def predict_by_space(self, X):
        """Give what each feature space adds to the prediction of new samples.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        added : dict of str to array of shape (n_samples, n_targets), or (n_samples,) if `Y` was so
            Without the intercept, of features that are centred as in `fit`: what `partition.product_measure` takes.
        """
        return {name: self._shaped(added, X) for name, added in self._added(X).items()}

    @property
    def coef_(self):
        """Weights in the units of X and Y, (n_targets, n_features), or (n_features,) for `Y` of one dimension."""
        check_is_fitted(self)
        weights = self._weights.cpu().numpy()
        return weights[0] if self._one_target else weights

    @property
    def intercept_(self):
        """Prediction where all features are zero, (n_targets,), or a number for `Y` of one dimension."""
        intercept = self._offset - np.atleast_2d(self.coef_).astype(np.float64) @ self._centre
        return float(intercept[0]) if self._one_target else intercept

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_weights")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _named(self, X):
        """Give feature spaces by name; a matrix without `columns` is one of them, "X"."""
        if isinstance(X, Mapping) and not issparse(X):
            return named_spaces(X)
        features = features_of(X)
        if 0 in features.shape:
            require_something(features)
        return named_spaces(features.whole().cpu().numpy(), self.columns or {"X": slice(None)})

    def _start(self, X, targets, spaces, folds):
        """Draw the candidates; forget what was tried before, unless a warm start goes on with it."""
        if self.n_iter < 1:
            raise BrainalignError(f"n_iter must be 1 or more, got {self.n_iter}")
        digest = self._digest_of(X, targets, folds) if self.warm_start else None
        warm = self.warm_start and getattr(self, "_digest", None) is not None
        if warm and digest != self._digest:
            raise BrainalignError(
                "warm_start goes on with the data, folds and settings of the fit before, of which only n_iter may "
                "grow: give the same, or fit a clone"
            )
        self._digest, self.spaces_, self._columns = digest, list(spaces), columns_of(spaces)
        self._one_target = targets.one_column
        self.n_candidates_ = self.n_candidates_ if warm else 0
        n_iter = max(self.n_iter, self.n_candidates_)
        self._candidates = candidates(len(spaces), n_iter, concentration=self.concentration, seed=self.seed)

    def _digest_of(self, X, targets, folds):
        """Tell apart all that decides what a candidate scores."""
        settings = {name: value for name, value in self.get_params().items() if name not in ("n_iter", "inner")}
        digest = hashlib.sha256(repr([settings, X.shape, targets.shape]).encode())
        for samples in (samples for fold in folds for samples in fold):
            digest.update(np.ascontiguousarray(samples).tobytes())
        for values in (X, *targets.runs):
            for rows in values.split(ROWS):
                digest.update(rows.cpu().contiguous().numpy().tobytes())
        targets.release()
        return digest.hexdigest()

    def _search(self, X, targets, folds, alphas, *, precision):
        """Try the candidates that were not tried yet on all targets."""
        folds = [tuple(torch.as_tensor(samples, device=X.device) for samples in fold) for fold in folds]
        penalties = torch.as_tensor(alphas, device=X.device)
        rounding = torch.finfo(precision.fit).eps
        for i_candidate in range(self.n_candidates_, len(self._candidates)):
            problem = pose(
                X,
                folds,
                penalties,
                n_targets=targets.shape[1],
                scale=self.scale,
                precision=precision,
                weight=self._weight(i_candidate, X),
            )
            how = {"precision": problem.precision, "device": X.device, "vectors": problem.vectors}
            search = Search(problem.folds, targets, **how)
            choice, _ = search.choose()
            if i_candidate == 0:
                self._best, self._candidate = choice, np.zeros(targets.shape[1], dtype=int)
            better = choice.sse < self._best.sse - rounding * choice.sst
            self._best.take_over(choice, better)
            self._candidate[better] = i_candidate
            self.n_candidates_ = i_candidate + 1

    def _fit_best(self, X, targets, alphas, *, precision):
        """Fit all samples, the targets of one candidate side by side."""
        penalties, best = torch.as_tensor(alphas, device=X.device), self._best
        self._weights = torch.zeros(targets.shape[1], X.shape[1], dtype=precision.fit, device=X.device)
        for i_candidate in np.unique(self._candidate[~best.constant]):
            standardise = standardisation(X, scale=self.scale, weight=self._weight(i_candidate, X))
            factors = factorise(X, standardise)
            U = factors.U.to(precision.fit)
            for columns in targets.blocks(np.flatnonzero((self._candidate == i_candidate) & ~best.constant)):
                Y, _, unit, _ = read_standard(targets, columns, dtype=precision.fit, device=X.device)
                reduced = Y @ U
                shrink(reduced, factors.sigma, penalties, torch.as_tensor(best.i_alpha[columns], device=X.device))
                weights = factors.to_features(reduced.double()) * standardise.inverse_scale
                weights *= torch.as_tensor(unit, device=X.device)[:, None]
                self._weights[torch.as_tensor(columns, device=X.device)] = weights.to(precision.fit)
        self._centre, self._offset = standardisation(X, scale=False).mean.cpu().numpy(), best.mean

    def _weight(self, i_candidate, X):
        """Give the root of gamma, feature by feature."""
        sizes = [columns.stop - columns.start for columns in self._columns.values()]
        return torch.as_tensor(np.repeat(np.sqrt(self._candidates[i_candidate]), sizes), device=X.device)

    def _tell(self, alphas):
        tell_choice(self, self._best, alphas)
        self.gamma_ = np.where(self._best.constant, np.nan, self._candidates[self._candidate].T)
        with np.errstate(divide="ignore"):
            self.band_penalties_ = self.alpha_ / self.gamma_

    def _added(self, X):
        check_is_fitted(self)
        spaces = self._named(X)
        if set(spaces) != set(self.spaces_):
            raise Misaligned(f"X must have the feature spaces {self.spaces_} as in fit, got {list(spaces)}")
        if list(spaces) == ["X"] and spaces["X"].shape[1] != self.n_features_in_:
            raise Misaligned(
                f"X has {spaces['X'].shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input, as in fit"
            )
        added = {}
        for name, columns in self._columns.items():
            if spaces[name].shape[1] != columns.stop - columns.start:
                raise Misaligned(
                    f"feature space {name!r} has {spaces[name].shape[1]} features, but it had "
                    f"{columns.stop - columns.start} in fit"
                )
            centred = torch.as_tensor(spaces[name] - self._centre[columns], device=self._weights.device)
            weights = self._weights[:, columns]
            added[name] = (centred.to(weights.dtype) @ weights.T).cpu().numpy()
        return added

    def _shaped(self, Y_hat, X):
        """Give predictions in the kind of X, in one dimension if `Y` was so."""
        Y_hat = torch.as_tensor(Y_hat, dtype=self._weights.dtype)
        Y_hat = Y_hat[:, 0] if self._one_target else Y_hat
        given = next(iter(X.values())) if isinstance(X, Mapping) else X
        return Y_hat.to(given.device) if isinstance(given, torch.Tensor) else Y_hat.numpy()


def candidates(n_spaces, n_iter, *, concentration=(0.1, 1.0), seed=0):
    """Give points on the simplex: equal shares, each space alone, then random ones.

    Parameters
    ----------
    n_spaces, n_iter : int
    concentration : sequence of float
        Of the Dirichlet distributions that are drawn from in turn.
    seed : int

    Returns
    -------
    gammas : array of shape (n_iter, n_spaces)
        The first k are the same for every `n_iter` of k or more. One feature space has one candidate.
    """
    concentration = positive(concentration, ordered=False)
    if n_spaces == 1:
        return np.ones((1, 1))
    fixed = np.vstack([np.full((1, n_spaces), 1 / n_spaces), np.eye(n_spaces)])
    generator = np.random.default_rng(seed)
    drawn = [
        generator.dirichlet(np.full(n_spaces, concentration[i % len(concentration)]))
        for i in range(max(0, n_iter - len(fixed)))
    ]
    return np.vstack([fixed, *drawn])[:n_iter]
