"""Recordings with a known answer: a response to given signals, drift, autocorrelated noise, and the ceiling they imply.

A target's response in one run of n samples is

    y = gain * s + sigma * (e + a * d)

    s   the signal, of variance 1 over all runs
    e   noise: a stationary AR(1) process of variance 1, e[t] = phi * e[t - 1] + sqrt(1 - phi^2) * w[t],  w[t] ~ N(0, 1)
    d   drift: sum_k c_k * P_k over Legendre polynomials of order 1..K,  c_k ~ N(0, 1 / K), so of expected variance 1
    sigma = sqrt(1 / r^2 - 1), so that without drift and with gain 1 the correlation of y with s is r, the noise ceiling

Everything here takes bare arrays and a `numpy.random.Generator`; nothing crosses a run.
"""

import numpy as np
from numpy.polynomial import legendre
from scipy.signal import fftconvolve, lfilter

from brainalign.align.hrf import glover


def runs_of(run):
    """Give the row numbers of each run, in the order of first appearance.

    Parameters
    ----------
    run : array of shape (n_samples,)

    Returns
    -------
    rows : list of arrays of int
    """
    run = np.asarray(run)
    names, first = np.unique(run, return_index=True)
    return [np.flatnonzero(run == name) for name in names[np.argsort(first)]]


def sample_events(onsets, values, *, step, n_samples, oversampling=16, kernel=glover):
    """Give the response to events at the middle of each sample, every event a brief impulse.

        s[i] = sum_j values[j] * h((i + 1/2) * step - onsets[j])

    with onsets rounded to `step / oversampling`.

    Parameters
    ----------
    onsets : array of shape (n_events,)
        Seconds from the beginning of the run.
    values : array of shape (n_events, n_features)
    step : float
        Time between samples (the TR), s.
    n_samples : int
    oversampling : int
        Steps of the inner clock per sample; even.
    kernel : callable
        `kernel(step)` gives the impulse response at 0, step, 2 step, ... s.

    Returns
    -------
    signals : array of shape (n_samples, n_features), float64
        Not standardised.

    Raises
    ------
    ValueError
        `oversampling` is odd, onsets and values differ in length, or an event lies outside the run.
    """
    onsets, values = np.asarray(onsets, float), np.asarray(values, float)
    if oversampling < 2 or oversampling % 2:
        raise ValueError(f"oversampling must be even and at least 2, got {oversampling}")
    if values.ndim != 2 or len(values) != len(onsets):
        raise ValueError(f"values must have shape ({len(onsets)}, n_features), one row per onset; got {values.shape}")
    outside = np.flatnonzero(~((onsets >= 0) & (onsets < n_samples * step)))
    if len(outside):
        i = outside[0]
        raise ValueError(f"event {i} at {onsets[i]} s is outside the run (0 to {n_samples * step} s)")
    fine = step / oversampling
    impulses = np.zeros((n_samples * oversampling, values.shape[1]))
    places = np.minimum(np.rint(onsets / fine).astype(int), len(impulses) - 1)
    np.add.at(impulses, places, values)
    response = fftconvolve(impulses, kernel(fine)[:, None], axes=0)[: len(impulses)]
    return response[oversampling // 2 :: oversampling]  # (n_samples, n_features)


def ar1_noise(n_samples, n_targets, *, coefficient, rng):
    """Give stationary first-order autoregressive noise of mean 0 and variance 1 from the first sample on.

    Parameters
    ----------
    n_samples, n_targets : int
    coefficient : float
        Correlation of neighbouring samples, above -1 and below 1.
    rng : numpy.random.Generator

    Returns
    -------
    noise : array of shape (n_samples, n_targets), float64

    Raises
    ------
    ValueError
        The process would not be stationary.
    """
    if not -1 < coefficient < 1:
        raise ValueError(f"coefficient must lie between -1 and 1, both excluded; got {coefficient}")
    white = rng.standard_normal((n_samples, n_targets))
    white[1:] *= np.sqrt(1 - coefficient**2)
    return lfilter([1.0], [1.0, -coefficient], white, axis=0)


def polynomials(n_samples, order):
    """Give orthonormal polynomials of order 0 to `order` over the samples of a run; none for order -1.

    Returns
    -------
    basis : array of shape (n_samples, order + 1), float64
        `basis.T @ basis` is the identity.

    Raises
    ------
    ValueError
        The run has too few samples for the order.
    """
    if n_samples <= order:
        raise ValueError(f"a polynomial of order {order} needs at least {order + 1} samples in a run, got {n_samples}")
    if order < 0:
        return np.zeros((n_samples, 0))
    return np.linalg.qr(legendre.legvander(np.linspace(-1, 1, n_samples), order))[0]


def drift(n_samples, n_targets, *, order, rng):
    """Give slow drifts: random polynomials of order 1 to `order`, of mean 0 and expected variance 1.

    Returns
    -------
    drifts : array of shape (n_samples, n_targets), float64
    """
    basis = polynomials(n_samples, order)[:, 1:] * np.sqrt(n_samples / order)  # (n_samples, order)
    return basis @ rng.standard_normal((order, n_targets))


def detrend(Y, *, order, run):
    """Remove polynomials of order 0 to `order` from each run, by least squares.

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)
    order : int
        -1 removes nothing.
    run : array of shape (n_samples,)

    Returns
    -------
    residual : array of shape (n_samples, n_targets), float64
    """
    residual = np.array(Y, float)
    for rows in runs_of(run):
        basis = polynomials(len(rows), order)
        residual[rows] -= basis @ (basis.T @ residual[rows])
    return residual


def noise_sd(noise_ceiling):
    """Give sigma of the module's equation: the noise that makes corr(y, s) the given ceiling in r.

    Raises
    ------
    ValueError
        The ceiling is not above 0 and at most 1.
    """
    if not 0 < noise_ceiling <= 1:
        raise ValueError(f"noise_ceiling must be above 0 and at most 1 (r), got {noise_ceiling}")
    return np.sqrt(1 / noise_ceiling**2 - 1)


def respond(signals, *, noise_ceiling, run, rng, gain=1.0, autocorrelation=0.0, drift_sd=0.0, drift_order=3):
    """Give one listener's recording, `y = gain * s + sigma * (e + drift_sd * d)` (the module's equation).

    Parameters
    ----------
    signals : array of shape (n_samples, n_targets)
        Of variance 1; a column of zeros is a target that responds to nothing.
    noise_ceiling : float
        Correlation of y and s at gain 1 without drift, r.
    run : array of shape (n_samples,)
    rng : numpy.random.Generator
    gain : float
        Size of this listener's signal.
    autocorrelation : float
        Of neighbouring noise samples.
    drift_sd : float
        Standard deviation of the drift, in those of the noise.
    drift_order : int
        Highest order of the drift's polynomials, per run.

    Returns
    -------
    Y : array of shape (n_samples, n_targets), float64
    """
    signals = np.asarray(signals, float)
    Y = gain * signals
    for rows in runs_of(run):
        shape = len(rows), signals.shape[1]
        noise = ar1_noise(*shape, coefficient=autocorrelation, rng=rng)
        if drift_sd:
            noise += drift_sd * drift(*shape, order=drift_order, rng=rng)
        Y[rows] += noise_sd(noise_ceiling) * noise
    return Y


def known_ceiling(
    signals, *, noise_ceiling, run, gains, autocorrelation=0.0, drift_sd=0.0, drift_order=3, detrend_order=-1
):
    """Give the correlation between the signal and the mean of standardised listeners, by calculation.

    With C the covariance of the AR(1) noise, D that of the drift, a its size, and M the removal of polynomials:

        S = ||M s||^2 / n,   N = sigma^2 * tr(M (C + a^2 D)) / n,   w_i = 1 / sqrt(gain_i^2 S + N)
        r = 1 / sqrt(1 + noise / signal),   signal = mean(w_i gain_i)^2 S,   noise = mean(w_i^2) N / n_listeners

    a ratio of expected variances, exact in the limit of long recordings.

    Parameters
    ----------
    signals, noise_ceiling, run, autocorrelation, drift_sd, drift_order
        As in `respond`.
    gains : array of shape (n_listeners,)
        One listener gives that listener's own ceiling, sqrt(gain^2 S / (gain^2 S + N)).
    detrend_order : int
        The order that was given to `detrend`; -1 if nothing was removed.

    Returns
    -------
    ceilings : array of shape (n_targets,), float64
        In r. 0 where the signal is 0: such a target can be predicted by nothing.
    """
    gains = np.asarray(gains, float)
    signals = detrend(signals, order=detrend_order, run=run)
    S = signals.var(axis=0)  # (n_targets,)
    remaining = sum(
        _remaining_noise(len(rows), autocorrelation, drift_sd, drift_order, detrend_order) for rows in runs_of(run)
    )
    N = noise_sd(noise_ceiling) ** 2 * remaining / len(signals)
    weights = 1 / np.sqrt(np.outer(gains**2, S) + N)  # (n_listeners, n_targets)
    signal = (weights * gains[:, None]).mean(axis=0) ** 2 * S  # (n_targets,)
    noise = (weights**2).mean(axis=0) * N / len(gains)
    return np.sqrt(signal / (signal + noise))


def _remaining_noise(n_samples, autocorrelation, drift_sd, drift_order, detrend_order):
    """Give tr(M (C + a^2 D)) for one run."""
    steps = np.abs(np.subtract.outer(np.arange(n_samples), np.arange(n_samples)))
    covariance = float(autocorrelation) ** steps  # C, (n_samples, n_samples)
    if drift_sd:
        basis = polynomials(n_samples, drift_order)[:, 1:]
        covariance = covariance + drift_sd**2 * n_samples / drift_order * basis @ basis.T  # + a^2 D
    removed = polynomials(n_samples, detrend_order)
    return np.trace(covariance) - np.trace(removed.T @ covariance @ removed)
