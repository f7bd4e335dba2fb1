"""Standardised features and their decomposition, in float64 and in blocks."""

from typing import NamedTuple

import torch

from brainalign.errors import BrainalignError

ROWS = 512  # samples that are turned to float64 at once
LARGEST = 1e140
DIGITS = 100  # times the rounding of the largest sum of squares: what is smaller has lost too much of its precision


class Standardisation(NamedTuple):
    """`(X - mean) * inverse_scale`; a constant feature has inverse scale 0 and stays 0 even if it varies later."""

    mean: torch.Tensor  # float64 (n_features,)
    inverse_scale: torch.Tensor  # float64 (n_features,)

    def __call__(self, X):
        """Give the standardised features in float64, (n_samples, n_features)."""
        standard = X.to(torch.float64, copy=True)
        standard -= self.mean
        standard *= self.inverse_scale
        return standard


class Factors(NamedTuple):
    """`X = U diag(sigma) V'` of rank r, with `V = basis @ rotation` kept as a product in the dual form."""

    U: torch.Tensor  # (n_samples, r)
    sigma: torch.Tensor  # float64 (r,)
    basis: torch.Tensor  # (n_features, r) primal, (n_features, n_samples) dual
    rotation: torch.Tensor | None  # None primal, (n_samples, r) dual

    @property
    def solver(self):
        """Which of the two forms this is."""
        return "primal" if self.rotation is None else "dual"

    def project(self, X):
        """Give `X V`, (n_samples, r)."""
        projected = X @ self.basis
        return projected if self.rotation is None else projected @ self.rotation

    def to_features(self, reduced):
        """Give `reduced V'`, (n_targets, n_features), of weights on the components (n_targets, r)."""
        return (reduced if self.rotation is None else reduced @ self.rotation.T) @ self.basis.T


def standardisation(X, *, scale, weight=None):
    """Fit the centring, and where `scale` the division by the standard deviation, of each feature.

    Parameters
    ----------
    X : tensor of shape (n_samples, n_features)
    scale : bool
    weight : float64 tensor of shape (n_features,), optional
        Multiplies the features afterwards.

    Returns
    -------
    standardise : Standardisation
    """
    low, high = torch.aminmax(X, dim=0)
    eps = torch.finfo(X.dtype).eps
    constant = high - low <= 4 * eps * torch.maximum(low.abs(), high.abs())
    mean = sum(rows.sum(dim=0, dtype=torch.float64) for rows in X.split(ROWS)) / len(X)
    inverse_scale = torch.ones_like(mean)
    if scale:
        variance = sum(((rows.double() - mean) ** 2).sum(dim=0) for rows in X.split(ROWS)) / len(X)
        inverse_scale = torch.where(constant, 1.0, variance).rsqrt()
    largest = torch.maximum(low.abs(), high.abs()).max()
    if not torch.isfinite(inverse_scale).all() or largest > LARGEST:
        raise BrainalignError(
            f"X reaches {largest.item():.3g}, and its squares cannot be computed: give features in a unit that makes "
            "them neither so large nor so small"
        )
    inverse_scale = torch.where(constant, 0.0, inverse_scale)
    return Standardisation(mean, inverse_scale if weight is None else inverse_scale * weight)


def require_similar_sizes(X, standardise, smallest_alpha):
    """Refuse features that are lost in the rounding of much larger ones, though the smallest penalty would use them.

    Parameters
    ----------
    X : tensor of shape (n_samples, n_features)
    standardise : Standardisation
    smallest_alpha : float

    Raises
    ------
    BrainalignError
        The sum of squares of a feature, and the penalty, are within rounding of the sum over all features.
    """
    squares = sum(standardise(rows).square_().sum(dim=0) for rows in X.split(ROWS))  # (n_features,)
    lost = DIGITS * squares.sum().item() * max(X.shape) * torch.finfo(torch.float64).eps
    small = (squares > 0) & (squares < lost)
    if smallest_alpha < lost and small.any():
        first = int(torch.nonzero(small)[0, 0])
        raise BrainalignError(
            f"{int(small.sum())} features are too small to be told from the rounding of others: feature {first} has a "
            f"sum of squares of {squares[first].item():.3g}, all together {squares.sum().item():.3g}; take scale=True, "
            f"units that make features alike, or penalties of {lost:.1g} and more"
        )


def gram(X, standardise):
    """Accumulate X'X of standardised features over blocks of samples, float64 (n_features, n_features)."""
    total = torch.zeros(X.shape[1], X.shape[1], dtype=torch.float64, device=X.device)
    for rows in X.split(ROWS):
        standard = standardise(rows)
        total.addmm_(standard.T, standard)
    return total


def kernel(X, standardise):
    """Accumulate XX' of standardised features over blocks of features, float64 (n_samples, n_samples)."""
    total = torch.zeros(len(X), len(X), dtype=torch.float64, device=X.device)
    for start in range(0, X.shape[1], ROWS):
        block = slice(start, start + ROWS)
        standard = Standardisation(standardise.mean[block], standardise.inverse_scale[block])(X[:, block])
        total.addmm_(standard, standard.T)
    return total


def eigen(matrix, *, size):
    """Decompose a positive semi-definite matrix, leaving out what is lost in the rounding of its largest eigenvalue.

    Parameters
    ----------
    matrix : float64 tensor of shape (n, n)
    size : int
        The larger side of the matrix it is the square of.

    Returns
    -------
    sigma : tensor of shape (r,)
        Roots of the eigenvalues, ascending.
    vectors : tensor of shape (n, r)
    """
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > values[-1] * size * torch.finfo(torch.float64).eps
    return values[kept].sqrt(), vectors[:, kept]


def factorise(X, standardise):
    """Decompose standardised features by the eigenvectors of the smaller of X'X and XX'.

    Parameters
    ----------
    X : tensor of shape (n_samples, n_features)
    standardise : Standardisation

    Returns
    -------
    factors : Factors
        In float64.
    """
    if is_primal(*X.shape):
        sigma, vectors = eigen(gram(X, standardise), size=max(X.shape))
        U = torch.cat([standardise(rows) @ (vectors / sigma) for rows in X.split(ROWS)])
        return Factors(U, sigma, vectors, None)
    return dual_factors(X, standardise, *eigen(kernel(X, standardise), size=max(X.shape)))


def dual_factors(X, standardise, sigma, vectors):
    """Give the factors of standardised features from the eigenvectors of XX'."""
    return Factors(vectors, sigma, standardise(X).T, vectors / sigma)


def is_primal(n_samples, n_features):
    """Tell whether X'X is the smaller one."""
    return n_features <= n_samples
