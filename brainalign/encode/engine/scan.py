"""Errors of every penalty on every fold, as a few matrix products that serve all targets.

What a fold predicts is linear in the responses it was trained on, so the residuals of its test samples for all
penalties are one matrix, made once in float64, times the responses. There are two ways to make it:

fold by fold
    With the decomposition `X_train = U diag(sigma) V'` of each fold,

        Y_hat_test(alpha) = X_test V diag(sigma / (sigma^2 + alpha)) U' Y_train

left out of the whole
    With the eigenvectors of all samples `XX' = U diag(sigma^2) U'`, the constant vector taken out, z = U'Y and
    w = alpha / (sigma^2 + alpha), the residuals of the samples o that a fold leaves out are

        Y_o - Y_hat_o(alpha) = M(w) z,    M(w) = (U_o diag(w) U_o')^-1 U_o diag(w)

    and those of the mean of its training set M(1) z, so one decomposition serves all folds: Y_hat_o(alpha) less that
    mean is (M(1) - M(w)) z. It needs features that are standardised alike in all folds: not scaled.

Penalties that are near each other predict nearly the same: the matrix `sigma^2 / (sigma^2 + alpha)` of a dense grid is
of low rank. The matrices of all penalties of a fold are combinations of those of fewer (`combinations`), and errors
follow from the products of these with each other and with the responses.

References
----------
Hoerl & Kennard (1970), Technometrics 12:55. Saunders, Gammerman & Vovk (1998), ICML, for the dual form. Allen (1974),
Technometrics 16:125, for leaving one sample out of the whole; whole blocks follow from the inverse of a partitioned
matrix. Oracle: normal equations, fold by fold.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch

from brainalign.encode.engine.factors import eigen, factorise, gram, is_primal, kernel, standardisation

DOUBLED = 64  # components, at most, whose rounding to bfloat16 is made good
LARGE = 4  # times the mean eigenvalue: one of those
ENTRIES = 2**18  # of each matrix of a fold that are turned to float64 at once
PART = 64  # test samples of which errors are taken in float64 at once
FEW = 8  # ranges of samples that are copied one by one
LOST = 1e-6  # share of a feature's sum of squares that may remain when the left-out samples are subtracted
WELL_CONDITIONED = 1e2  # norm of the inverse up to which float32 has five digits to spare
STEPS = 8
SMALLEST = 1e-5  # singular value, relative to the largest, from which X'X gives XX' as exactly as XX' itself
NEARLY_ONE = 0.9  # of all w: above it M(1) - M(w) is a difference of near numbers, which takes float64
WORST_CONDITION = 1e10  # of XX' + alpha, up to which samples are left out of the whole


class Fold(NamedTuple):
    """What one fold predicts for its test samples, less the mean of its training set, as matrix products.

    `Y_hat(alpha) = sum_m mixing[alpha, m] maker[m] @ source`

    Parameters
    ----------
    train, test : int tensors
    basis : tensor of shape (n_components, n_train), or None
        `source = basis @ Y[train]`; None where it is `z`, the components of all samples.
    maker : tensor of shape (n_made, n_test, n_components)
    mixing : float64 tensor of shape (n_alphas, n_made)
    n_large : int
        Components, the last ones, that are much larger than most.
    largest : float32 tensor of shape (n_large, n_train), or None
        Their rows of the basis of a fold in bfloat16, see `SplitFold`.
    """

    train: torch.Tensor
    test: torch.Tensor
    basis: torch.Tensor | None
    maker: torch.Tensor
    mixing: torch.Tensor
    n_large: int = 0
    largest: torch.Tensor | None = None

    def to(self, dtype):
        """Give the fold in another type."""
        return self._replace(basis=None if self.basis is None else self.basis.to(dtype), maker=self.maker.to(dtype))

    def orthogonal(self, tolerance):
        """Combine the matrices to ones that are orthogonal to each other, on which rounding does least harm.

        Parameters
        ----------
        tolerance : float
            Those without which the matrix of every penalty stays the same but for this share of its size are left out.

        Returns
        -------
        fold : Fold
        """
        blocks = (block.double() for block in self.maker.flatten(1).split(ENTRIES, dim=1))
        products = self.mixing @ sum(block @ block.T for block in blocks) @ self.mixing.T  # (n_alphas, n_alphas)
        size = products.diagonal().sqrt()
        size = torch.where(size > 0, size, 1.0)
        squares, vectors = torch.linalg.eigh(products / torch.outer(size, size))
        vectors = vectors[:, squares > tolerance**2]
        combining = (vectors.T / size @ self.mixing).to(self.maker.dtype)  # (n_kept, n_made)
        maker = (combining @ self.maker.flatten(1)).unflatten(1, self.maker.shape[1:])
        return self._replace(maker=maker, mixing=size[:, None] * vectors)

    def parts(self):
        """Give the fold in parts of its test samples, in float64."""
        for rows in torch.arange(len(self.test), device=self.test.device).split(PART):
            yield self._replace(test=self.test[rows], maker=self.maker[:, rows]).to(torch.float64)

    def errors(self, Y, source, *, room=None):
        """Sum the squared errors of the test samples, for every penalty and target.

        Parameters
        ----------
        Y : tensor of shape (n_targets, n_samples)
        source : tensor of shape (n_targets, n_samples) or (n_targets, n_components), of the type of the fold
            `Y` once more where the fold has a basis, else `z` (in bfloat16, `with_rounding`).
        room : Room, optional
            Keeps the memory of large intermediate results for the next call.

        Returns
        -------
        sse : float64 tensor of shape (n_targets, n_alphas)
            Of ridge regression.
        sst : float64 tensor of shape (n_targets,)
            Of the mean of the training set.
        """
        room = Room() if room is None else room
        n_made, n_test, _ = self.maker.shape
        if self.basis is not None:
            source = select(source, self.train) @ self.basis.T
        if self.largest is not None:
            largest = with_rounding(select(Y, self.train) @ self.largest.T, self.n_large)
            source = torch.cat([source[:, : -len(self.largest)], largest], dim=1)
        rows = room.take((len(Y), n_made + 1, n_test), like=Y)
        made = rows[:, :n_made].view(len(Y), -1)
        if source.dtype == Y.dtype:
            torch.mm(source, self.maker.flatten(0, 1).T, out=made)
        else:
            made.copy_(torch.mm(source, self.maker.flatten(0, 1).T, out=room.take(made.shape, like=source)))
        averaging = Y.new_zeros(Y.shape[1]).index_fill_(0, self.train, 1 / len(self.train))
        rows[:, n_made] = select(Y, self.test) - (Y @ averaging)[:, None]
        products = torch.bmm(rows, rows.transpose(1, 2)).double()  # (n_targets, n_made + 1, n_made + 1)
        with_responses, with_each_other = products[:, n_made, :n_made], products[:, :n_made, :n_made]
        sst = products[:, n_made, n_made].clone()
        explained = explained_by(with_responses, with_each_other, self.mixing)
        return (sst[:, None] - explained).clamp_(min=0), sst


class SplitFold(NamedTuple):
    """A fold as the sum of two in bfloat16: the first alone for speed, both for 16 bits of precision.

    The rounding of a component is the same for all test samples, so it does not average out. The largest components are
    therefore doubled: their rounding errors are components of their own, see `with_rounding`.
    """

    high: Fold
    low: Fold

    @classmethod
    def of(cls, fold):
        """Split a fold in float32 whose components ascend."""
        high = fold.to(torch.bfloat16)
        basis = None if fold.basis is None else (fold.basis - high.basis).to(torch.bfloat16)
        lost = torch.empty_like(high.maker)
        for rest, made, rounded in zip(lost, fold.maker, high.maker, strict=True):
            rest.copy_(made - rounded)
        low = fold._replace(basis=basis, maker=lost)
        if not fold.n_large:
            return cls(high, low)
        doubled = torch.cat([high.maker, high.maker[:, :, -fold.n_large :]], dim=2)
        largest = None if fold.basis is None else fold.basis[-fold.n_large :].clone()
        return cls(high._replace(maker=doubled, largest=largest), low)

    def to(self, dtype):
        """Give the fold in bfloat16, or the sum of both parts."""
        if dtype == torch.bfloat16:
            return self.high
        basis = None if self.low.basis is None else self.high.basis.to(dtype) + self.low.basis
        maker = self.high.maker[:, :, : self.low.maker.shape[2]].to(dtype)
        maker += self.low.maker
        return self.high._replace(basis=basis, maker=maker, largest=None)


def with_rounding(components, n_large):
    """Give components in bfloat16, and after them what its rounding took from the last `n_large`."""
    rounded = components.to(torch.bfloat16)
    if not n_large:
        return rounded
    lost = (components[:, -n_large:] - rounded[:, -n_large:]).to(torch.bfloat16)
    return torch.cat([rounded, lost], dim=1)


def count_large(eigenvalues):
    """Count the eigenvalues that are more than `LARGE` times their mean, up to `DOUBLED`."""
    return min(DOUBLED, int((eigenvalues > LARGE * eigenvalues.mean()).sum())) if len(eigenvalues) else 0


def explained_by(with_responses, with_each_other, mixing):
    """Give by how much predictions reduce the squared errors.

    Parameters
    ----------
    with_responses : float64 tensor of shape (n_targets, n_made)
        Products of the predictions of a few penalties with the responses, summed over samples.
    with_each_other : float64 tensor of shape (n_targets, n_made, n_made)
    mixing : float64 tensor of shape (n_alphas, n_made)
        The predictions of all penalties are combinations of those.

    Returns
    -------
    explained : float64 tensor of shape (n_targets, n_alphas)
    """
    return 2 * with_responses @ mixing.T - ((mixing @ with_each_other) * mixing).sum(dim=2)


def select(values, samples):
    """Give the columns of some samples; much faster where those are few ranges."""
    ranges = _ranges(samples)
    if len(ranges) > FEW:
        return values[:, samples]
    return torch.cat([values[:, a:b] for a, b in ranges], dim=1) if len(ranges) > 1 else values[:, slice(*ranges[0])]


def _ranges(samples):
    breaks = torch.nonzero(samples[1:] - samples[:-1] != 1)[:, 0].tolist()
    borders = [0, *(i + 1 for i in breaks), len(samples)]
    return [(samples[a].item(), samples[b - 1].item() + 1) for a, b in pairwise(borders)]


class Room:
    """Memory for large intermediate results: a fresh page costs as much as several products on it."""

    def __init__(self):
        self._kept = {}

    def take(self, shape, *, like):
        """Give an uninitialised tensor of a shape, of the type and device of another."""
        size = math.prod(shape)
        kept = self._kept.get(like.dtype)
        if kept is None or kept.numel() < size:
            self._kept[like.dtype] = kept = torch.empty(size, dtype=like.dtype, device=like.device)
        return kept[:size].view(shape)


def combinations(alphas, lowest, highest, *, tolerance):
    """Choose penalties from which the predictions of all others can be combined.

    Parameters
    ----------
    alphas : float64 tensor of shape (n_alphas,)
    lowest, highest : float
        Between them lie the eigenvalues of XX' that are not 0.
    tolerance : float
        Error of the shrinkage `eigenvalue / (eigenvalue + alpha)`, relative to that of the highest; 0 to take all.

    Returns
    -------
    chosen : int tensor of shape (n_made,)
    mixing : float64 tensor of shape (n_alphas, n_made)
        `shrinkage(alpha) = sum_m mixing[alpha, m] shrinkage(alphas[chosen[m]])` for every eigenvalue between.
    """
    every = (
        torch.arange(len(alphas), device=alphas.device),
        torch.eye(len(alphas), dtype=alphas.dtype, device=alphas.device),
    )
    if tolerance == 0 or not 0 < lowest <= highest:
        return every
    penalties = alphas.cpu().numpy()
    eigenvalues = np.geomspace(lowest, highest, 400)[:, None]
    shrinkage = eigenvalues / (eigenvalues + penalties)
    size = shrinkage[-1]
    _, R, order = scipy.linalg.qr(shrinkage / size, mode="economic", pivoting=True)
    n_made = int((np.abs(np.diag(R)) > tolerance * np.abs(R[0, 0])).sum())
    chosen = np.sort(order[:n_made])
    mixing = scipy.linalg.lstsq(shrinkage[:, chosen] / size[chosen], shrinkage / size)[0].T
    error = np.abs(shrinkage[:, chosen] / size[chosen] @ mixing.T - shrinkage / size).max()
    if error > 10 * tolerance:
        return every
    mixing *= size[:, None] / size[chosen]
    return torch.as_tensor(chosen, device=alphas.device), torch.as_tensor(mixing, device=alphas.device)


def fold_by_fold(X, folds, alphas, *, scale, weight=None, tolerance=0.0):
    """Decompose the training set of each fold, by the smaller of X'X and XX'.

    Parameters
    ----------
    X : tensor of shape (n_samples, n_features)
    folds : list of (train, test)
        Int tensors.
    alphas : float64 tensor of shape (n_alphas,)
    scale : bool
        Divide features by their standard deviation in the training set of each fold.
    weight : float64 tensor of shape (n_features,), optional
        Multiplies the features afterwards.
    tolerance : float
        See `combinations`.

    Yields
    ------
    fold : Fold
        In float64.
    """
    fewest = min(len(train) for train, _ in folds)
    make = _primal if is_primal(fewest, X.shape[1]) else _dual
    return make(X, folds, alphas, scale=scale, weight=weight, tolerance=tolerance)


def _primal(X, folds, alphas, *, scale, weight, tolerance):
    centre = standardisation(X, scale=False)
    whole = gram(X, centre)
    for train, test in folds:
        standardise = standardisation(X[train], scale=scale, weight=weight)
        sigma, vectors = eigen(downdated(X, train, whole, centre, standardise), size=max(X.shape))
        U = standardise(X[train]) @ (vectors / sigma)  # (n_train, r)
        yield _of_components(train, test, U, sigma, standardise(X[test]) @ (vectors * sigma), alphas, tolerance)


def _of_components(train, test, U, sigma, projected, alphas, tolerance):
    """Give the fold that predicts `projected diag(1 / (sigma^2 + alpha)) U' Y_train`."""
    chosen, mixing = combinations(alphas, *eigenvalue_range(sigma**2), tolerance=tolerance)
    maker = projected * (1 / (sigma**2 + alphas[chosen, None]))[:, None]
    return Fold(train, test, U.T, maker, mixing, count_large(sigma**2))


def eigenvalue_range(eigenvalues):
    """Give the smallest and the largest of ascending eigenvalues; 0 and 0 where there are none."""
    return (eigenvalues[0].item(), eigenvalues[-1].item()) if len(eigenvalues) else (0.0, 0.0)


def downdated(X, train, whole, centre, standardise):
    """Give X'X of the standardised training samples: that of all samples, less those left out."""
    left_out = centre(X[complement(train, len(X))])
    shift = (standardise.mean - centre.mean) * (standardise.inverse_scale > 0)
    rest = whole - left_out.T @ left_out - len(train) * torch.outer(shift, shift)
    varies = standardise.inverse_scale > 0
    if (rest.diagonal() < LOST * whole.diagonal())[varies].any():
        return gram(X[train], standardise)
    return rest * torch.outer(standardise.inverse_scale, standardise.inverse_scale)


def _dual(X, folds, alphas, *, scale, weight, tolerance):
    K = None if scale else kernel(X, standardisation(X, scale=False, weight=weight))
    for train, test in folds:
        if scale:
            K = kernel(X, standardisation(X[train], scale=True, weight=weight))
        yield dual_fold(K, train, test, alphas, size=max(X.shape), tolerance=tolerance)


def dual_fold(K, train, test, alphas, *, size, tolerance=0.0):
    """Make one fold from the products of all samples with each other.

    Parameters
    ----------
    K : float64 tensor of shape (n_samples, n_samples)
        XX', centred anyhow.
    train, test : int tensors
    alphas : float64 tensor of shape (n_alphas,)
    size : int
        The larger side of X.
    tolerance : float
        See `combinations`.

    Returns
    -------
    fold : Fold
    """
    among, across = K[train][:, train], K[test][:, train]
    column = among.mean(dim=0)
    among = among - column - column[:, None] + column.mean()
    across = across - column - across.mean(dim=1, keepdim=True) + column.mean()
    sigma, vectors = eigen(among, size=size)
    return _of_components(train, test, vectors, sigma, across @ vectors, alphas, tolerance)


def whole_components(X, standardise):
    """Decompose the products of all samples, but for the constant vector, by the smaller of X'X and XX'.

    Parameters
    ----------
    X : tensor of shape (n_samples, n_features)
    standardise : Standardisation
        The features are centred by it.

    Returns
    -------
    eigenvalues : tensor of shape (n_samples - 1,)
        Of XX', ascending, not negative.
    vectors : tensor of shape (n_samples, n_samples - 1)
        Orthogonal to the constant vector.
    """
    if is_primal(*X.shape):
        U, sigma, *_ = factorise(X, standardise)
        if len(sigma) and sigma[0] > SMALLEST * sigma[-1]:
            none = sigma.new_zeros(len(U) - 1 - len(sigma))
            return torch.cat([none, sigma**2]), _completed(U)
    K = kernel(X, standardise)
    above = 2 * K.abs().sum(dim=1).max() / len(K)
    values, vectors = torch.linalg.eigh(K + torch.where(above > 0, above, 1.0))
    return values[:-1].clamp(min=0), vectors[:, :-1]


def _completed(U):
    """Put before orthonormal columns of mean 0 others that are orthogonal to them and of mean 0 as well, to n - 1."""
    n, r = U.shape
    others = torch.randn(n, n - 1 - r, dtype=U.dtype, generator=torch.Generator().manual_seed(0)).to(U.device)
    for _ in range(2):  # once leaves what rounding takes from nearly parallel vectors
        others -= others.mean(dim=0)
        others -= U @ (U.T @ others)
    return torch.cat([torch.linalg.qr(others)[0], U], dim=1)


def left_out_of_the_whole(eigenvalues, vectors, folds, alphas, *, tolerance=0.0, quick=False):
    """Make the folds from the decomposition of all samples.

    Parameters
    ----------
    eigenvalues, vectors : tensors of shape (n_samples - 1,) and (n_samples, n_samples - 1)
        From `whole_components`.
    folds : list of (train, test)
    alphas : float64 tensor of shape (n_alphas,)
    tolerance : float
        See `combinations`.
    quick : bool
        Give the folds in float32, and compute in it where the matrix that is inverted is well conditioned.

    Yields
    ------
    fold : Fold
        In float64, or in float32 if `quick`; without a basis.
    """
    highest = eigenvalues[-1].item()
    full = eigenvalues[0].item() > highest * len(vectors) * torch.finfo(torch.float64).eps
    lowest = eigenvalues[0].item() if full else 1e-3 * alphas[0].item()  # those of a fold lie between
    chosen, mixing = combinations(alphas, min(lowest, highest), highest, tolerance=tolerance)
    shares = alphas[chosen, None] / (eigenvalues + alphas[chosen, None])  # (n_made, n_samples - 1)
    for train, test in folds:
        out = complement(train, len(vectors))
        tested, U = torch.searchsorted(out, test), vectors[out]
        of_mean = (torch.cholesky_inverse(torch.linalg.cholesky(U @ U.T)) @ U)[tested]
        single = (U.float(), of_mean.float()) if quick else ()
        dtype = torch.float32 if quick else torch.float64
        maker = torch.empty(len(chosen), *of_mean.shape, dtype=dtype, device=U.device)
        for made, w in zip(maker, shares, strict=True):
            rough = quick and w[-1] < NEARLY_ONE
            if not (rough and _left_out(*single, w.float(), tested, out=made, largest=WELL_CONDITIONED)):
                _left_out(U, of_mean, w, tested, out=made)
        yield Fold(train, test, None, maker, mixing, count_large(eigenvalues))


def _left_out(U, of_mean, w, tested, *, out, largest=math.inf):
    """Write the rows that are tested of `M(1) - M(w)`; False where the norm of what M(w) inverts is above `largest`."""
    weighted = U * w
    factor, failed = torch.linalg.cholesky_ex(weighted @ U.T, check_errors=math.isinf(largest))
    inverse = torch.cholesky_inverse(factor)
    if failed or _norm(inverse) > largest:
        return False
    out.copy_(torch.addmm(of_mean, inverse[tested], weighted, alpha=-1))
    return True


def _norm(matrix):
    """Estimate the largest eigenvalue of a positive definite matrix, by `STEPS` steps of the power method."""
    vector = matrix[matrix.diagonal().argmax()]
    for _ in range(STEPS):
        vector = matrix @ (vector / vector.norm())
    return vector.norm().item()


def complement(samples, n_samples):
    """Give the other samples, ascending."""
    others = torch.ones(n_samples, dtype=torch.bool, device=samples.device)
    others[samples] = False
    return torch.nonzero(others)[:, 0]
