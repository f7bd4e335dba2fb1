"""Magneto- and electroencephalograms with a known answer: what drives a dipole, when, and the ceiling that follows.

The recording of n_channels in one run is

    Y = S (A G)' + N,    S (n_samples, n_sources),  G (n_channels, n_sources)

    S   courses of the planted sources, each the convolution of one feature x with a bump h,
        s(t) = integral x(t - u) h(u) du,   h(u) = exp(-(u - latency)^2 / (2 width^2))
    G   lead field: what a channel measures of a dipole of 1 A m; A the sizes of the dipoles (A m)
    N   noise: ongoing activity of other dipoles, whose spectrum falls as 1 / f and has a peak at 10 Hz, blinks,
        heartbeats, and the white noise of the sensors

so the best prediction of channel c correlates with it by r_c = sqrt(var(signal_c) / (var(signal_c) + var(noise_c))),
its noise ceiling. Everything here takes bare arrays and a `numpy.random.Generator`; nothing crosses a run.
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfftfreq
from scipy.signal import fftconvolve

REACH = 5.0  # widths on either side of a bump's peak beyond which it is 0 (its height there is 4e-6)
KNEE = 0.5  # Hz, below which the ongoing activity has equal power
ALPHA = (10.0, 1.0)  # Hz, centre and standard deviation of the alpha peak
BLINK = (0.3, 4.0)  # s: length, mean time from one to the next
BEAT = (0.85, 0.05)  # s: mean and standard deviation of the time from one heartbeat to the next


def bump(times, *, latency, width):
    """Give h(u) = exp(-(u - latency)^2 / (2 width^2)), cut at `REACH` widths.

    Parameters
    ----------
    times : array
        Seconds since the event.
    latency, width : float
        Seconds; time and standard deviation of the bump.

    Returns
    -------
    h : array of the shape of `times`, float64
        At most 1.

    Raises
    ------
    ValueError
        The width is not positive, or the bump begins before the event (latency below `REACH` widths).
    """
    if not 0 < REACH * width <= latency:
        raise ValueError(
            f"width must be positive and at most latency / {REACH:g}, so that nothing precedes its cause; got latency"
            f" {latency} s, width {width} s"
        )
    distance = (np.asarray(times, float) - latency) / width
    return np.where(np.abs(distance) <= REACH, np.exp(-(distance**2) / 2), 0.0)


def event_course(onsets, values, *, latency, width, sfreq, n_samples):
    """Give the course of a source that answers events, s[i] = sum_j values[j] h(i / sfreq - onsets[j]).

    Parameters
    ----------
    onsets, values : array of shape (n_events,)
        Onsets in s from the first sample; they are not rounded to samples.
    latency, width : float
        Of the answer, s; see `bump`.
    sfreq : float
        Hz.
    n_samples : int

    Returns
    -------
    course : array of shape (n_samples,), float64
        An answer that outlasts the run is cut at its end.

    Raises
    ------
    ValueError
        Onsets and values differ in length, an onset lies outside the run, or as `bump`.
    """
    onsets, values = np.asarray(onsets, float), np.asarray(values, float)
    if onsets.shape != values.shape or onsets.ndim != 1:
        raise ValueError(f"one value per onset expected, got onsets {onsets.shape} and values {values.shape}")
    outside = np.flatnonzero(~((onsets >= 0) & (onsets < n_samples / sfreq)))
    if len(outside):
        i = outside[0]
        raise ValueError(f"event {i} at {onsets[i]} s is outside the run (0 to {n_samples / sfreq} s)")
    n_around = int(np.ceil((latency + REACH * width) * sfreq)) + 1
    samples = np.ceil(onsets * sfreq).astype(int)[:, None] + np.arange(n_around)  # (n_events, n_around)
    heights = values[:, None] * bump(samples / sfreq - onsets[:, None], latency=latency, width=width)
    inside = samples < n_samples
    return np.bincount(samples[inside], heights[inside], minlength=n_samples)


def series_course(series, *, latency, width, sfreq):
    """Give the course of a source that follows a series, s[i] = sum_k series[i - k] h(k / sfreq) / sfreq.

    Parameters
    ----------
    series : array of shape (n_samples,)
        At the recording's clock; silent before its beginning.
    latency, width : float
        Of the answer, s; see `bump`.
    sfreq : float
        Hz.

    Returns
    -------
    course : array of shape (n_samples,), float64

    Raises
    ------
    ValueError
        As `bump`.
    """
    lags = np.arange(int(np.ceil((latency + REACH * width) * sfreq)) + 1) / sfreq
    h = bump(lags, latency=latency, width=width)
    return fftconvolve(series, h)[: len(series)] / sfreq


def falling_power(frequencies):
    """Give power that falls as 1 / f, 1 at 1 Hz; below `KNEE` it is that at `KNEE`."""
    return 1 / np.maximum(frequencies, KNEE)


def alpha_power(frequencies):
    """Give power with a Gaussian peak of height 1 at 10 Hz (`ALPHA`)."""
    centre, sd = ALPHA
    return np.exp(-((frequencies - centre) ** 2) / (2 * sd**2))


def spectral_noise(n_samples, n_series, *, power, sfreq, rng):
    """Give stationary Gaussian noise of mean 0, variance 1 and a given power spectrum.

    x[i] = sum_f sqrt(power(f)) (u_f cos(2 pi f i / sfreq) + v_f sin(2 pi f i / sfreq)), u and v normal, 0 < f < Nyquist

    Parameters
    ----------
    n_samples, n_series : int
    power : callable
        `power(frequencies)`, of any scale, at frequencies in Hz.
    sfreq : float
        Hz.
    rng : numpy.random.Generator

    Returns
    -------
    noise : array of shape (n_samples, n_series), float64
        The variance is that expected over recordings.
    """
    n = next_fast_len(n_samples, real=True)
    frequencies = rfftfreq(n, 1 / sfreq)
    density = np.zeros(len(frequencies))
    density[1:-1] = power(frequencies[1:-1])
    coefficients = rng.standard_normal((2, n_series, len(frequencies))) * np.sqrt(density / density.sum() / 2)
    return irfft(coefficients[0] + 1j * coefficients[1], n, axis=1)[:, :n_samples].T * n / np.sqrt(2)


def blinks(n_samples, *, sfreq, rng):
    """Give the course of the blinks of a run: every few seconds a wave of 0.3 s, sin^2, of a height of about 1.

    Parameters
    ----------
    n_samples : int
    sfreq : float
        Hz.
    rng : numpy.random.Generator
        Times between blinks are 1 s and an exponential more; heights are uniform from 0.7 to 1.

    Returns
    -------
    course : array of shape (n_samples,), float64
    """
    length, gap = BLINK
    times = _renewals(n_samples / sfreq, lambda n: 1 + rng.exponential(gap - 1, n), gap)
    wave = np.sin(np.pi * np.arange(1, round(length * sfreq)) / round(length * sfreq)) ** 2
    return _repeated(wave, times, rng.uniform(0.7, 1.0, len(times)), sfreq=sfreq, n_samples=n_samples)


def heartbeats(n_samples, *, sfreq, rng):
    """Give the course of the heart's field in a run: a QRS complex about 70 times a minute, of height 1, and a T wave.

    Parameters
    ----------
    n_samples : int
    sfreq : float
        Hz.
    rng : numpy.random.Generator
        Times between beats are normal, of mean 0.85 s and standard deviation 0.05 s.

    Returns
    -------
    course : array of shape (n_samples,), float64
    """
    times = _renewals(n_samples / sfreq, lambda n: rng.normal(*BEAT, n), BEAT[0])
    u = np.arange(0, 0.45, 1 / sfreq)
    waves = [(-0.15, 0.03, 0.010), (1.0, 0.05, 0.010), (-0.25, 0.08, 0.010), (0.2, 0.28, 0.040)]  # Q, R, S, T
    wave = sum(height * np.exp(-((u - time) ** 2) / (2 * width**2)) for height, time, width in waves)
    return _repeated(wave / wave.max(), times, np.ones(len(times)), sfreq=sfreq, n_samples=n_samples)


def _renewals(length, draw, mean):
    """Give times from 0 to `length` s whose differences are drawn by `draw(n)`."""
    times = np.cumsum(draw(int(2 * length / mean) + 10))
    return times[times < length]


def _repeated(wave, times, heights, *, sfreq, n_samples):
    impulses = np.zeros(n_samples)
    np.add.at(impulses, np.minimum((times * sfreq).astype(int), n_samples - 1), heights)
    return fftconvolve(impulses, wave)[:n_samples]


def ceiling(signal_variance, noise_variance):
    """Give the correlation of a recording with its noise-free signal, sqrt(S / (S + N)).

    Parameters
    ----------
    signal_variance, noise_variance : array of shape (n_targets,)
        S and N, in any unit, of signal and noise that do not correlate.

    Returns
    -------
    r : array of shape (n_targets,), float64
        The largest score that a prediction can expect, exact in the limit of long recordings; its square is the
        signal's share of the variance. 0 where the signal is 0, nan where both are.
    """
    signal_variance, noise_variance = np.asarray(signal_variance, float), np.asarray(noise_variance, float)
    whole = signal_variance + noise_variance
    return np.sqrt(np.divide(signal_variance, whole, out=np.full(whole.shape, np.nan), where=whole > 0))


def amplitude_of(r, signal_variance, noise_variance):
    """Give the size by which a signal must be multiplied so that the highest ceiling over targets is r.

    Parameters
    ----------
    r : float
        At least 0 and below 1.
    signal_variance, noise_variance : array of shape (n_targets,)
        Of the signal of size 1, and of the noise; noise above 0.

    Returns
    -------
    amplitude : float

    Raises
    ------
    ValueError
        `r` is no such correlation, or no target has a signal.
    """
    best = np.max(np.asarray(signal_variance, float) / np.asarray(noise_variance, float))
    if not 0 <= r < 1:
        raise ValueError(f"the ceiling must be at least 0 and below 1 (r), got {r}")
    if not best > 0:
        raise ValueError("no target has a signal")
    return float(r / np.sqrt((1 - r**2) * best))
