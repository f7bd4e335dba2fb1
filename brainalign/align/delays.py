"""Delayed copies of features, so that a linear model can learn the shape of the response in time."""

import numpy as np

from brainalign.errors import BrainalignError, Misaligned


def lags_to_delays(lags, sfreq):
    """Give the delays in samples, `round(lag * sfreq)`, of lags in seconds.

    Parameters
    ----------
    lags : array-like of shape (n_delays,)
        Seconds; positive = the past stimulus explains the present.
    sfreq : float
        Samples per second (1 / TR for fMRI).

    Returns
    -------
    delays : int array of shape (n_delays,)
        Halves go to the even neighbour, as in Python's `round`.

    Raises
    ------
    BrainalignError
        A lag or the sampling rate is not finite, or the rate is not positive.
    """
    lags = np.atleast_1d(np.asarray(lags, dtype=float))
    if not np.isfinite(lags).all() or not np.isfinite(sfreq) or sfreq <= 0:
        raise BrainalignError(
            f"lags must be finite and sfreq positive, got lags {lags.tolist()} s and sfreq {sfreq} Hz"
        )
    return np.rint(lags * sfreq).astype(int)


def run_slices(run):
    """Give each run's samples as a slice, in order of appearance.

    Parameters
    ----------
    run : array-like of shape (n_samples,)
        Labels; the samples of a run follow each other.

    Returns
    -------
    slices : list of slice

    Raises
    ------
    Misaligned
        The samples of a run are not one contiguous block.
    """
    run = np.asarray(run)
    if run.ndim != 1 or len(run) == 0:
        raise Misaligned(f"run must be one label per sample, got shape {run.shape}")
    starts = np.r_[0, np.flatnonzero(run[1:] != run[:-1]) + 1]
    labels = run[starts].tolist()
    returned = [
        (label, start) for i, (label, start) in enumerate(zip(labels, starts, strict=True)) if label in labels[:i]
    ]
    if returned:
        label, start = returned[0]
        raise Misaligned(
            f"run {label!r} comes back at sample {start}: the samples of a run must follow each other; sort them"
        )
    return [slice(start, stop) for start, stop in zip(starts, np.r_[starts[1:], len(run)], strict=True)]


def delay(X, delays, *, run, wrap=False):
    """Put delayed copies of the features side by side, each run for itself.

    `out[i, k * n_features + j] = X[i - delays[k], j]` where sample `i - delays[k]` exists in the run of sample i, else
    0: delay-major order, all features at the first delay, then all at the second. A positive delay lets the past
    stimulus explain the present.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    delays : sequence of int, of length n_delays
        In samples, each once.
    run : array of shape (n_samples,)
        Labels of uninterrupted recordings, each a contiguous block; nothing crosses from one to the next.
    wrap : bool
        Instead of zeros, take the samples that `np.roll` brings round from the other end of the same run. Published
        code of the Caucheteux family does so; it is here to reproduce it.

    Returns
    -------
    X_delayed : array of shape (n_samples, n_delays * n_features)
        Of the dtype of `X`.

    Raises
    ------
    Misaligned
        `X` is not 2-D, `run` has another length, or a run is not one contiguous block.
    BrainalignError
        A delay is not a whole number or is there twice.

    References
    ----------
    Huth et al. (2016), Nature 532:453, finite impulse response with zero padding. Oracle: `np.roll` of each run.
    """
    X = np.asarray(X)
    if X.ndim != 2 or len(np.asarray(run)) != len(X):
        raise Misaligned(
            f"X must be (n_samples, n_features) with one run label per sample, got X {X.shape}, "
            f"{len(np.asarray(run))} labels"
        )
    delays = _whole_numbers(delays)
    n_samples, n_features = X.shape
    delayed = np.zeros((n_samples, len(delays), n_features), dtype=X.dtype)
    for samples in run_slices(run):
        length = samples.stop - samples.start
        for i_delay, shift in enumerate(delays):
            source = np.arange(length) - shift
            inside = (source >= 0) & (source < length) | wrap
            delayed[samples, i_delay][inside] = X[samples][source[inside] % length]
    return delayed.reshape(n_samples, -1)  # (n_samples, n_delays * n_features)


def _whole_numbers(delays):
    given = np.atleast_1d(np.asarray(delays))
    if given.ndim != 1 or given.size == 0 or not np.issubdtype(given.dtype, np.integer):
        raise BrainalignError(
            f"delays must be whole numbers of samples, got {np.asarray(delays).tolist()}; "
            "lags_to_delays converts seconds"
        )
    values, counts = np.unique(given, return_counts=True)
    if (counts > 1).any():
        raise BrainalignError(f"delay {values[counts > 1][0]} is there more than once in {given.tolist()}")
    return given.astype(int)
