"""The fundamental frequency of a sound and how periodic it is, by YIN."""

import numpy as np

from brainalign.extract._acoustics import Rows

DIP = 0.1  # the first dip of d' below this is the period
VOICED = 0.45  # Praat's threshold for the autocorrelation, of which voicing is an estimate
QUIET = 2**-16  # half a step of 16 bits: the rest of a filter's ringing is no voice
SECONDS = 0.025


def pitch(sound: np.ndarray, rows: Rows, *, f_min: float, f_max: float, sfreq: int) -> np.ndarray:
    """Give fundamental frequency and voicing of every row.

    d(T) = sum over W = 25 ms of (x_{j-T/2} - x_{j+T/2})^2, and d'(T) = T d(T) / sum over k = 1..T of d(k). The
    period is the first local minimum of d' below 0.1 among sfreq / f_max <= T <= sfreq / f_min, or without one the
    lowest local minimum, refined by a parabola through d. Voicing is 1 - d'(T), the share of the power that is
    periodic; below 0.45, and where the sound is quieter than half a step of 16 bits, the row is unvoiced.

    Parameters
    ----------
    sound : array of shape (n_samples,)
    rows : Rows
    f_min, f_max : float
        Hz, the fundamental is looked for between.
    sfreq : int
        Hz.

    Returns
    -------
    values : array of shape (n_rows, 2)
        Fundamental frequency (Hz) and voicing (0.45 to 1); both 0 where unvoiced.

    References
    ----------
    De Cheveigné & Kawahara (2002), J. Acoust. Soc. Am. 111:1917-1930, eq. 6-8, steps 1 to 5 (without step 6, the best
    local estimate); Boersma (1993) for the threshold of voicing. The tests compare d with its definition.
    """
    shortest, longest = int(sfreq / f_max), int(np.ceil(sfreq / f_min))  # lags
    length = 2 * round(SECONDS / 2 * sfreq)  # W
    frames = rows.around(sound, length + 2 * ((longest + 2) // 2))
    d = difference(frames, length, longest + 2)  # (n_rows, longest + 2), lags 0 to longest + 1
    normalised = cumulative_mean_normalised(d)
    inner = normalised[:, shortest : longest + 1]
    is_dip = (inner < normalised[:, shortest - 1 : longest]) & (inner <= normalised[:, shortest + 1 : longest + 2])
    is_deep = is_dip & (inner < DIP)
    lowest = np.where(is_dip, inner, np.inf).argmin(axis=1)
    i_lag = np.where(is_deep.any(axis=1), is_deep.argmax(axis=1), lowest)
    each = np.arange(rows.n)
    voicing = np.where(is_dip[each, i_lag], 1 - inner[each, i_lag], 0)
    lag = shortest + i_lag
    period = lag + vertex(d[each, lag - 1], d[each, lag], d[each, lag + 1])
    loud = np.sqrt(np.mean(frames**2, axis=1)) > QUIET
    voiced = (voicing >= VOICED) & loud
    return np.stack([np.where(voiced, sfreq / period, 0), np.where(voiced, voicing, 0)], axis=1)


def difference(frames: np.ndarray, length: int, n_lags: int) -> np.ndarray:
    """Give d(T) = sum over j < length of (x_{b+j} - x_{b+j+T})^2 for T = 0 to n_lags - 1, (n_frames, n_lags).

    The sum is centred on the middle of the frame, b = (n_samples - length - T) // 2, so that what is said of a low and
    of a high sound is said of the same time. Frames hold at least length + n_lags - 1 samples.
    """
    d = np.empty((len(frames), n_lags))
    for lag in range(n_lags):
        begin = (frames.shape[1] - length - lag) // 2
        change = frames[:, begin : begin + length] - frames[:, begin + lag : begin + lag + length]
        d[:, lag] = np.einsum("ij,ij->i", change, change)
    return d


def cumulative_mean_normalised(d: np.ndarray) -> np.ndarray:
    """Give d'(T) = T d(T) / sum over k = 1..T of d(k), and 1 at T = 0 and where nothing has differed so far."""
    total = np.cumsum(d[:, 1:], axis=1)
    normalised = np.ones_like(d)
    np.divide(np.arange(1, d.shape[1]) * d[:, 1:], total, out=normalised[:, 1:], where=total > 0)
    return normalised


def vertex(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Give where a parabola through three values one apart has its minimum, from the second, at most one away."""
    curvature = before - 2 * at + after
    shift = np.divide((before - after) / 2, curvature, out=np.zeros_like(at), where=curvature > 0)
    return np.clip(shift, -1, 1)
