"""Errors of every penalty on every fold, from sums of products over samples: for many more samples than features.

With `X = U diag(sigma) V'` of all samples and a constant column beside U, every standardised feature of a fold is a
combination of the columns of U+ = [U, 1 / sqrt(n)], on its training and on its test samples:

    X_train V_f / sigma_f = U+_train M_f          X_test V_f = U+_test N_f

where `sigma_f, V_f` decompose the training samples. So the components of the training responses follow from those of
all samples less those left out, `z_f = M_f' (U+'Y - U+_out'Y_out)`, and with `d = 1 / (sigma_f^2 + alpha)` the squared
errors of the test samples are

    sum (y - mean)^2 - 2 (d z_f)' N_f' U+_test' (y - mean) + |R diag(d) z_f|^2,          R'R = N_f' U+_test' U+_test N_f

Responses are multiplied once with U+ for all folds, and once with the rows of their own fold; everything else is of the
size of the features.

References
----------
Hoerl & Kennard (1970), Technometrics 12:55. Oracle: normal equations, fold by fold.
"""

import math
from typing import NamedTuple

import torch

from brainalign.encode.engine.factors import ROWS, eigen, gram, standardisation
from brainalign.encode.engine.scan import (
    WELL_CONDITIONED,
    Room,
    combinations,
    complement,
    downdated,
    eigenvalue_range,
    explained_by,
    select,
)


class SummedFold(NamedTuple):
    """What one fold predicts, as far as its squared errors depend on it.

    Parameters
    ----------
    train, test, gap : int tensors
        A gap is neither trained on nor tested.
    tested, skipped : tensors of shape (n_test, r + 1) and (n_gap, r + 1)
        Their rows of U+.
    total : tensor of shape (r + 1,)
        Sum of `tested`.
    into : tensor of shape (r + 1, r_f), or (n_train, r_f)
        M_f; or, where it is badly conditioned, what it is to give, `U+_train M_f`.
    onto : tensor of shape (r + 1, r_f)
        N_f.
    shrinkage : tensor of shape (n_made, r_f)
        d of penalties from which the others are combined.
    maker : tensor of shape (n_made, r_f or n_test, r_f)
        R diag(d).
    mixing : float64 tensor of shape (n_alphas, n_made)
    """

    train: torch.Tensor
    test: torch.Tensor
    gap: torch.Tensor
    tested: torch.Tensor
    skipped: torch.Tensor
    total: torch.Tensor
    into: torch.Tensor
    onto: torch.Tensor
    shrinkage: torch.Tensor
    maker: torch.Tensor
    mixing: torch.Tensor

    def to(self, dtype):
        """Give the fold in another type."""
        names = ("tested", "skipped", "total", "into", "onto", "shrinkage", "maker")
        return self._replace(**{name: getattr(self, name).to(dtype) for name in names})

    def parts(self):
        """Give the fold in float64, in one part: it takes little memory."""
        yield self.to(torch.float64)

    def errors(self, Y, source, *, room=None):
        """Sum the squared errors of the test samples, for every penalty and target.

        Parameters
        ----------
        Y : tensor of shape (n_targets, n_samples)
            Of mean 0.
        source : tensor of shape (n_targets, r + 1)
            `Y` times U+.
        room : Room, optional

        Returns
        -------
        sse : float64 tensor of shape (n_targets, n_alphas)
            Of ridge regression.
        sst : float64 tensor of shape (n_targets,)
            Of the mean of the training set.
        """
        room = Room() if room is None else room
        n_made, n_rows, _ = self.maker.shape
        of_test = select(Y, self.test) @ self.tested  # (n_targets, r + 1)
        of_train = source - of_test
        if len(self.gap):
            of_train -= select(Y, self.gap) @ self.skipped
        mean = of_train[:, -1:] * (math.sqrt(Y.shape[1]) / len(self.train))
        z = of_train @ self.into if len(self.into) == source.shape[1] else select(Y, self.train) @ self.into
        rows = room.take((len(Y), n_made, n_rows), like=Y)
        torch.mm(z, self.maker.flatten(0, 1).T, out=rows.view(len(Y), -1))
        with_responses = ((of_test - mean * self.total) @ self.onto).mul_(z) @ self.shrinkage.T  # (n_targets, n_made)
        with_each_other = torch.bmm(rows, rows.transpose(1, 2)).double()
        sst = (select(Y, self.test) - mean).square_().sum(dim=1, dtype=torch.float64)
        explained = explained_by(with_responses.double(), with_each_other, self.mixing)
        return (sst[:, None] - explained).clamp_(min=0), sst


def with_constant(U):
    """Put a constant column of length 1 after orthonormal columns of mean 0."""
    return torch.cat([U, U.new_full((len(U), 1), 1 / math.sqrt(len(U)))], dim=1)


def from_sums(X, factors, standardise, folds, alphas, *, vectors, scale, weight=None, tolerance=0.0):
    """Make the folds from the decomposition of all samples.

    Parameters
    ----------
    X : tensor of shape (n_samples, n_features)
    factors : factors.Factors
        Of all samples, primal, standardised by `standardise`; U is not used.
    standardise : factors.Standardisation
    folds : list of (train, test)
        Int tensors.
    alphas : float64 tensor of shape (n_alphas,)
    vectors : tensor of shape (n_samples, r + 1)
        U+, see `with_constant`.
    scale : bool
        Divide features by their standard deviation in the training set of each fold.
    weight : float64 tensor of shape (n_features,), optional
        Multiplies the features afterwards.
    tolerance : float
        See `scan.combinations`.

    Yields
    ------
    fold : SummedFold
        In float64.
    """
    loadings = factors.sigma[:, None] * factors.basis.T  # (r, n_features)
    centre = standardisation(X, scale=False)
    whole = gram(X, centre)
    for train, test in folds:
        own = standardisation(X[train], scale=scale, weight=weight)
        ratio = torch.where(standardise.inverse_scale > 0, own.inverse_scale / standardise.inverse_scale, 0.0)
        shift = math.sqrt(len(X)) * (standardise.mean - own.mean) * own.inverse_scale
        combined = torch.cat([loadings * ratio, shift[None]])  # (r + 1, n_features): X in the fold is U+ times it
        sigma, V = eigen(downdated(X, train, whole, centre, own), size=max(X.shape))
        into, onto = combined @ (V / sigma), combined @ (V * sigma)
        if len(sigma) and torch.linalg.matrix_norm(into, 2) > WELL_CONDITIONED:
            into = torch.cat([own(rows) @ (V / sigma) for rows in X[train].split(ROWS)])
        chosen, mixing = combinations(alphas, *eigenvalue_range(sigma**2), tolerance=tolerance)
        shrinkage = 1 / (sigma**2 + alphas[chosen, None])
        tested = vectors[test]
        predicted = tested @ onto
        triangle = torch.linalg.qr(predicted, mode="r")[1] if len(test) > len(sigma) else predicted
        gap = complement(torch.cat([train, test]), len(X))
        yield SummedFold(
            train, test, gap, tested, vectors[gap], tested.sum(dim=0), into, onto, shrinkage,
            triangle * shrinkage[:, None], mixing,
        )  # fmt: skip
