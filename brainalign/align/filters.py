"""The filter that a recording passed, for the features that are to explain it.

A high-pass spreads the response to a feature over seconds, also before its onset. Features that pass the same filter
leave the response function as it was: with `y = w * x`, also `h * y = w * (h * x)`.
"""

import mne
import numpy as np


def high_pass(X, *, run, sfreq, l_freq):
    """Take out what is slower than a frequency, as mne does of a recording: a zero-phase FIR filter, run by run.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    run : array of shape (n_samples,)
        Uninterrupted recordings, each contiguous; no filter crosses them.
    sfreq : float
        Hz.
    l_freq : float
        Lower edge of the band that is passed, Hz.

    Returns
    -------
    X : float64 array of shape (n_samples, n_features)

    References
    ----------
    Crosse et al. (2021), Front Neurosci 15:705621, on filters of stimulus and response. Oracle: `mne.io.Raw.filter`.
    """
    X, run = np.asarray(X, np.float64), np.asarray(run)
    filtered = np.empty_like(X)
    for name in dict.fromkeys(run.tolist()):
        own = run == name
        filtered[own] = mne.filter.filter_data(X[own].T.copy(), sfreq, l_freq, None, verbose="WARNING").T
    return filtered
