"""Centred kernel alignment (CKA): how alike two sets of features of the same samples are, up to rotation and scale.

No weights are fitted: every direction of both counts by its variance. With X and Y of centred columns, K = X X' and
L = Y Y', the plain form is a ratio of `<K, L> = sum(K * L) = |X' Y|^2`. It rises towards 1 with the number of features,
whatever they are; the debiased form does not.

References
----------
Kornblith, Norouzi, Lee & Hinton (2019), Similarity of neural network representations revisited, ICML, arXiv:1905.00414.
Nguyen, Raghu & Kornblith (2021), Do wide and deep networks learn the same things?, ICLR, arXiv:2010.15327. Song, Smola,
Gretton, Bedo & Borgwardt (2012), Feature selection via dependence maximization, JMLR 13:1393.
"""

import numpy as np

from brainalign.errors import BrainalignError, Misaligned

BLOCK = 2**22  # values of a product of matrices held at a time: 32 MB


def linear_cka(X, Y):
    """Linear CKA: `|X' Y|^2 / (|X' X| |Y' Y|)`, Frobenius norms, columns centred.

    Parameters
    ----------
    X : array of shape (n_samples, n_features_X)
    Y : array of shape (n_samples, n_features_Y)

    Returns
    -------
    cka : float
        From 0 to 1, of a single feature each r^2. nan where no feature of X, or of Y, varies.

    Raises
    ------
    Misaligned
        X or Y is not 2-D, they have other numbers of samples, or less than 2.
    BrainalignError
        NaN or infinity.

    Notes
    -----
    Biased: for independent X and Y of many more features than samples it is near 1. Use `debiased_cka` to compare
    layers of different widths, or where samples are few.

    References
    ----------
    Kornblith et al. (2019), section 3 and eq. 5. Oracles: the centred kernels written out, `numpy.corrcoef` squared.
    """
    X, Y = _features(X, Y, at_least=2)
    return _ratio(_inner(X, Y), _inner(X, X), _inner(Y, Y))


def debiased_cka(X, Y):
    """Debiased linear CKA: the same ratio of unbiased estimates of <K, L>, which is near 0 for independent features.

    The unbiased estimate leaves out the products of a sample with itself. With x_i the rows of X, centred over
    samples, and n samples, it is up to a factor

        <K, L> - n / (n - 2) sum_i(|x_i|^2 |y_i|^2) + sum_i |x_i|^2 sum_i |y_i|^2 / ((n - 1) (n - 2))

    Parameters
    ----------
    X : array of shape (n_samples, n_features_X)
    Y : array of shape (n_samples, n_features_Y)

    Returns
    -------
    cka : float
        At most 1; below 0 about as often as above where X and Y are independent, and not clipped. nan where no feature
        varies, or all samples are equally far from each other.

    Raises
    ------
    Misaligned
        X or Y is not 2-D, they have other numbers of samples, or less than 4.
    BrainalignError
        NaN or infinity.

    References
    ----------
    Song et al. (2012), eq. 5, the unbiased HSIC; Nguyen et al. (2021), eq. 3. Oracles: that equation with its matrices
    written out, and U-centred kernels (Szekely & Rizzo 2014, Ann Stat 42:2382).
    """
    X, Y = _features(X, Y, at_least=4)
    return _ratio(_unbiased_inner(X, Y), _unbiased_inner(X, X), _unbiased_inner(Y, Y))


def _features(X, Y, *, at_least):
    X, Y = _as_float(X, name="X"), _as_float(Y, name="Y")
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or len(X) < at_least or 0 in X.shape + Y.shape:
        raise Misaligned(
            f"X and Y must be (n_samples, n_features) of the same samples, at least {at_least}, "
            f"got {X.shape} and {Y.shape}"
        )
    return tuple(_centred(features, name=name) for name, features in (("X", X), ("Y", Y)))


def _as_float(values, *, name):
    """Give float32 and float64 as they are, other real numbers as float64."""
    values = np.asarray(values)
    if np.iscomplexobj(values):
        raise BrainalignError(f"{name} must be real, got {values.dtype}: take the real part or the magnitude before")
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _centred(features, *, name):
    """Centre columns, in float64 and of size 1 at most; columns that vary by rounding only become zeros."""
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        i, j = bad[0]
        raise BrainalignError(
            f"{name} is {features[i, j]} at sample {i}, feature {j} ({len(bad)} values in all are NaN or infinity): "
            "leave out the feature or the sample, or mend it before"
        )
    low, high = features.min(axis=0), features.max(axis=0)
    flat = high - low <= 4 * np.finfo(features.dtype).eps * np.maximum(np.abs(low), np.abs(high))
    centred = features.astype(np.float64)
    centred -= centred.mean(axis=0)
    centred[:, flat] = 0
    return centred / (np.abs(centred).max() or 1)


def _ratio(between, within_X, within_Y):
    if within_X <= 0 or within_Y <= 0:
        return float("nan")
    return float(between / np.sqrt(within_X) / np.sqrt(within_Y))


def _inner(X, Y):
    """Give <X X', Y Y'> over features or over samples, whichever takes fewer operations, in blocks."""
    n_samples, n_X, n_Y = len(X), X.shape[1], Y.shape[1]
    if n_X * n_Y <= n_samples * (n_X + n_Y):
        blocks = np.array_split(X, 1 + n_X * n_Y // BLOCK, axis=1)
        return sum(np.square(block.T @ Y).sum() for block in blocks)
    blocks = zip(*(np.array_split(values, 1 + n_samples**2 // BLOCK) for values in (X, Y)), strict=True)
    return sum(np.sum((x @ X.T) * (y @ Y.T)) for x, y in blocks)


def _unbiased_inner(X, Y):
    """Give n (n - 3) times the unbiased HSIC of centred features; 0 where nothing is left but rounding."""
    n = len(X)
    inner = _inner(X, Y)
    length_X, length_Y = (np.square(features).sum(axis=1) for features in (X, Y))  # squared, (n_samples,)
    own = n / (n - 2) * np.sum(length_X * length_Y)
    unbiased = inner - own + length_X.sum() * length_Y.sum() / ((n - 1) * (n - 2))
    return unbiased if abs(unbiased) > 1e-12 * (inner + own) else 0.0
