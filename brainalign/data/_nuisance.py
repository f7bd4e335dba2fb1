"""What is not the brain's response to a stimulus: drifts and confounds, regressed out inside one run."""

import numpy as np
from nilearn.signal import create_cosine_drift

from brainalign.errors import Misaligned

AT_ONCE = 20_000  # targets whose float64 copies are held at a time


def nuisance_regressors(
    n_samples: int,
    *,
    tr: float,
    drift_order: int = -1,
    high_pass: float | None = None,
    confounds: np.ndarray | None = None,
) -> np.ndarray:
    """Give what is regressed out of one run.

    Parameters
    ----------
    n_samples : int
    tr : float
        s.
    drift_order : int
        Degree of the polynomial (Legendre); -1: none.
    high_pass : float, optional
        Slow cosines up to this frequency (Hz), and a constant, as `nilearn.signal.create_cosine_drift` makes them.
    confounds : array of shape (n_samples, n_confounds), optional
        Enter with mean 0 and deviation 1; those that are constant leave nothing to regress and are dropped.

    Returns
    -------
    N : array of shape (n_samples, n_regressors)
        A constant is among them where anything else is.

    Raises
    ------
    Misaligned
        The confounds have another number of samples or are not finite, or there are as many regressors as samples.
    """
    time = np.linspace(-1, 1, n_samples)
    parts = [np.polynomial.legendre.legvander(time, drift_order)] if drift_order >= 0 else []
    if high_pass is not None:
        parts.append(create_cosine_drift(high_pass, tr * np.arange(n_samples)))
    if confounds is not None:
        if len(confounds) != n_samples:
            raise Misaligned(f"{len(confounds)} rows of confounds, {n_samples} volumes")
        if not np.isfinite(confounds).all():
            raise Misaligned(f"confounds are not finite in volume {int(np.argwhere(~np.isfinite(confounds))[0][0])}")
        varying = np.ptp(confounds, axis=0) > 0
        centred = confounds[:, varying] - confounds[:, varying].mean(axis=0)
        parts += [np.ones((n_samples, 1)), centred / centred.std(axis=0)]
    N = np.hstack(parts) if parts else np.empty((n_samples, 0))
    if N.shape[1] >= n_samples:
        raise Misaligned(f"{N.shape[1]} regressors leave nothing of {n_samples} volumes; choose fewer confounds")
    return N


def residuals(Y: np.ndarray, N: np.ndarray, *, kept: np.ndarray) -> np.ndarray:
    """Regress nuisance out of the responses of one run.

    E = Y - N W, with W = argmin sum over the samples i that are kept of ||Y_i - N_i W||^2

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)
    N : array of shape (n_samples, n_regressors)
    kept : bool array of shape (n_samples,)
        Samples that W is estimated from; the others are corrected by it, too.

    Returns
    -------
    E : array of shape (n_samples, n_targets)
        Of the dtype of Y; Y itself where there are no regressors.

    Notes
    -----
    Equal to `nilearn.signal.clean` with the same regressors, `detrend=True`, where every sample is kept.
    """
    if N.shape[1] == 0:
        return Y
    estimate = np.linalg.pinv(N[kept])  # (n_regressors, n_kept)
    cleaned = np.empty_like(Y)
    for start in range(0, Y.shape[1], AT_ONCE):
        some = slice(start, start + AT_ONCE)
        block = Y[:, some].astype(np.float64)
        cleaned[:, some] = block - N @ (estimate @ block[kept])
    return cleaned


def standardised(Y: np.ndarray, *, kept: np.ndarray) -> np.ndarray:
    """Give each target mean 0 and deviation 1 over the samples of one run that are kept.

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)
    kept : bool array of shape (n_samples,)

    Returns
    -------
    Z : array of shape (n_samples, n_targets)
        Of the dtype of Y; NaN where a target is constant.
    """
    mean, deviation = Y[kept].mean(axis=0, dtype=np.float64), Y[kept].std(axis=0, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return ((Y - mean) / deviation).astype(Y.dtype)
