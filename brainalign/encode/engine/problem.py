"""The folds of one set of features, made in the way that takes the fewest operations."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import torch

from brainalign.encode.engine.compute import Precision
from brainalign.encode.engine.factors import Factors, dual_factors, factorise, standardisation
from brainalign.encode.engine.plan import choose_inner_solver, solver_by_fold
from brainalign.encode.engine.scan import WORST_CONDITION, Fold, fold_by_fold, left_out_of_the_whole, whole_components
from brainalign.encode.engine.search import TOLERANCE
from brainalign.encode.engine.sums import SummedFold, from_sums, with_constant


class Problem(NamedTuple):
    """Folds to search over, and what the fit on all samples can take over from them.

    Parameters
    ----------
    inner_solver : {"primal", "from sums", "dual", "left out of the whole"}
    folds : iterable of scan.Fold or sums.SummedFold
    precision : compute.Precision
        To scan them in.
    eigenvalues : tensor, or None
        Of all samples, where the folds are left out of the whole.
    vectors : tensor, or None
        Where the folds share components of all samples, what makes them.
    shared : factors.Factors, or None
        Of all samples, without U, where they are known.
    """

    inner_solver: str
    folds: Iterable[Fold | SummedFold]
    precision: Precision
    eigenvalues: torch.Tensor | None = None
    vectors: torch.Tensor | None = None
    shared: Factors | None = None

    def factors(self, X, standardise):
        """Give the factors of all samples, and which of `vectors` their U is (None where the factors have it)."""
        if self.shared is not None:
            return self.shared, slice(0, len(self.shared.sigma))
        if self.vectors is None:
            return factorise(X, standardise), None
        lost = self.eigenvalues[-1] * max(X.shape) * torch.finfo(torch.float64).eps
        kept = slice(int((self.eigenvalues <= lost).sum()), None)
        factors = dual_factors(X, standardise, self.eigenvalues[kept].sqrt(), self.vectors[:, kept])
        return factors._replace(U=factors.U[:0].clone()), kept


def pose(X, folds, alphas, *, n_targets, scale, precision, weight=None):
    """Choose how to compute the folds and start to.

    Samples are left out of the whole only where the smallest penalty keeps that well conditioned.

    Parameters
    ----------
    X : tensor of shape (n_samples, n_features)
    folds : list of (train, test)
        Int tensors.
    alphas : float64 tensor of shape (n_alphas,)
        Ascending.
    n_targets : int
    scale : bool
        Divide features by their standard deviation in the training set of each fold.
    precision : compute.Precision
    weight : float64 tensor of shape (n_features,), optional
        Multiplies the features after they are scaled.

    Returns
    -------
    problem : Problem
    """
    tolerance = TOLERANCE[precision.name]
    n_trains = [len(train) for train, _ in folds]
    inner_solver = choose_inner_solver(
        *X.shape, n_targets, n_trains=n_trains, n_alphas=len(alphas), scale=scale, precision=precision.name
    )
    if inner_solver == "left out of the whole":
        eigenvalues, vectors = whole_components(X, standardisation(X, scale=False, weight=weight))
        if eigenvalues[-1] < WORST_CONDITION * alphas[0]:
            quick = precision.name == "mixed"
            made = left_out_of_the_whole(eigenvalues, vectors, folds, alphas, tolerance=tolerance, quick=quick)
            return Problem(inner_solver, made, precision, eigenvalues, vectors)
    how = {"scale": scale, "weight": weight, "tolerance": tolerance}
    if inner_solver == "from sums":
        standardise = standardisation(X, scale=scale, weight=weight)
        factors = factorise(X, standardise)
        vectors, shared = with_constant(factors.U), factors._replace(U=factors.U[:0].clone())
        made = from_sums(X, shared, standardise, folds, alphas, vectors=vectors, **how)
        return Problem(inner_solver, made, replace(precision, scan=precision.fit), None, vectors, shared)
    return Problem(solver_by_fold(n_trains, X.shape[1]), fold_by_fold(X, folds, alphas, **how), precision)
