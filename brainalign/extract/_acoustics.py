"""Time courses of a sound, step by step: envelopes of bands, mel spectrum, power.

A signal holds rows and a margin on both sides; row i covers samples [margin + i * hop, margin + (i + 1) * hop), and
what is computed for it is centred on the middle of these.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import rfft
from scipy.signal import lfilter, oaconvolve
from scipy.signal.windows import kaiser

from brainalign.errors import BrainalignError

REACH = 0.0125  # s, half the length of the Hilbert transformer
KAISER = 8.0  # of its window
ORDER = 4
MEL_SECONDS = 0.025
MEL_FLOOR = 1e-10


class Rows(NamedTuple):
    """Which samples of a signal are its rows.

    Parameters
    ----------
    n, hop, margin : int
        Rows, samples per row, and samples before the first and after the last; `hop` is even.
    """

    n: int
    hop: int
    margin: int

    def around(self, signal: np.ndarray, length: int) -> np.ndarray:
        """Give the `length` samples (an even number) around the middle of every row, a view (n, length)."""
        first = self.margin + (self.hop - length) // 2
        windows = np.lib.stride_tricks.sliding_window_view(signal, length)
        return windows[first : first + (self.n - 1) * self.hop + 1 : self.hop]

    def smooth(self, signal: np.ndarray) -> np.ndarray:
        """Give the mean around every row, weighted by a Hann window of four rows, (n,).

        Its gain at f Hz is sinc(u) / (1 - u^2) with u = 4 step f and sinc(u) = sin(pi u) / (pi u): .98 at .04 / step,
        half at .25 / step, nothing at .5 / step (half the rate of the rows), and at most .027 above.
        """
        weights = hann(4 * self.hop)
        return self.around(signal, 4 * self.hop) @ (weights / weights.sum())


def hann(length: int) -> np.ndarray:
    """Give sin^2(pi (k + 1/2) / length), symmetric about the middle of `length` samples."""
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2


def hilbert_envelope(sound: np.ndarray, *, sfreq: int) -> np.ndarray:
    """Give sqrt(x^2 + H(x)^2), the magnitude of the analytic signal: A for a tone A sin(2 pi f t).

    H is the Hilbert transform, h_k = 2 / (pi k) at odd k, cut at 12.5 ms by a Kaiser window so that nothing is felt
    further away; it is right above 100 Hz and weaker below, where the envelope then ripples.

    Parameters
    ----------
    sound : array of shape (n_samples,)
        Without offset.
    sfreq : int
        Hz.

    Returns
    -------
    envelope : array of shape (n_samples,)
        Beyond its ends the sound is silent.

    References
    ----------
    Oppenheim & Schafer (2010), Discrete-time signal processing, section 12.4. The tests compare with
    `scipy.signal.hilbert`.
    """
    reach = round(REACH * sfreq)
    k = np.arange(-reach, reach + 1)
    transformer = np.divide(2 / np.pi, k, out=np.zeros(len(k)), where=k % 2 == 1) * kaiser(len(k), KAISER)
    return np.hypot(sound, oaconvolve(sound, transformer, mode="same"))


def root_mean_square(sound: np.ndarray, rows: Rows) -> np.ndarray:
    """Give sqrt(mean x^2) over the samples of every row, (n_rows,)."""
    return np.sqrt(np.mean(rows.around(sound, rows.hop) ** 2, axis=1))


def equivalent_bandwidth(frequency: float) -> float:
    """Give the equivalent rectangular bandwidth of human hearing, ERB = 24.7 (4.37 f / 1000 + 1) Hz.

    References
    ----------
    Glasberg & Moore (1990), Hearing Research 47:103-138, eq. 3.
    """
    return 24.7 * (4.37e-3 * frequency + 1)


def centre_frequencies(f_min: float, f_max: float, n_bands: int) -> np.ndarray:
    """Give frequencies (Hz) from `f_min` to `f_max` that are evenly spaced in E = 21.4 log10(4.37 f / 1000 + 1).

    References
    ----------
    Glasberg & Moore (1990), eq. 4.
    """
    lowest, highest = np.log10(4.37e-3 * np.array([f_min, f_max]) + 1)
    return (10 ** np.linspace(lowest, highest, n_bands) - 1) / 4.37e-3


def gammatone_envelope(sound: np.ndarray, frequency: float, *, sfreq: int) -> np.ndarray:
    """Give the envelope of a band of a gammatone filter bank, without the filter's delay.

    |y|, with y the sound through h(t) ~ t^3 exp(-2 pi b t) exp(2 pi i f t) and b = 1.019 ERB(f): four complex
    one-pole filters in a row. The gain is 1 at f and (1 + ((f' - f) / b)^2)^-2 at f'; the envelope is moved forward by
    3 / (2 pi b) s, where h has its maximum.

    Parameters
    ----------
    sound : array of shape (n_samples,)
    frequency : float
        f, Hz.
    sfreq : int
        Hz.

    Returns
    -------
    envelope : array of shape (n_samples,)
        The last 3 / (2 pi b) s are zero.

    References
    ----------
    Hohmann (2002), Acta Acustica 88:433-442; Slaney (1993), Apple technical report 35, for b. The tests compare with
    `scipy.signal.gammatone`.
    """
    bandwidth = 2 * np.pi * 1.019 * equivalent_bandwidth(frequency)  # rad / s
    decay = np.exp(-bandwidth / sfreq)
    band = sound * (2 * (1 - decay) ** ORDER)
    for _ in range(ORDER):
        band = lfilter([1.0], [1.0, -decay * np.exp(2j * np.pi * frequency / sfreq)], band)
    delay = round((ORDER - 1) / bandwidth * sfreq - ORDER / 2)  # of samples, the maximum of C(n + 3, 3) decay^n
    return np.concatenate([np.abs(band[delay:]), np.zeros(delay)])


def mel_filters(f_min: float, f_max: float, n_bands: int, *, n_bins: int, sfreq: int) -> np.ndarray:
    """Give triangular filters that are evenly spaced in mel, each of area 1 over Hz.

    mel(f) = 3 f / 200 below 1000 Hz, and 15 + 27 ln(f / 1000) / ln 6.4 above.

    Returns
    -------
    filters : array of shape (n_bins, n_bands)
        For power at `n_bins` frequencies from 0 to sfreq / 2.

    Raises
    ------
    BrainalignError
        A band lies between two of these frequencies.

    References
    ----------
    Slaney (1998), Auditory Toolbox. The tests compare with `transformers.audio_utils.mel_filter_bank`.
    """
    edges = mel_edges(f_min, f_max, n_bands)
    bins = np.linspace(0, sfreq / 2, n_bins)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    filters = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    empty = np.flatnonzero(filters.sum(axis=0) == 0)
    if len(empty):
        raise BrainalignError(
            f"{n_bands} mel bands from {f_min:g} to {f_max:g} Hz: {len(empty)} are narrower than the resolution of"
            f" {sfreq / 2 / (n_bins - 1):.1f} Hz, the first at {centre[empty[0]]:.1f} Hz; take fewer bands"
        )
    return filters * 2 / (high - low)


def mel_edges(f_min: float, f_max: float, n_bands: int) -> np.ndarray:
    """Give the n_bands + 2 frequencies (Hz) at which mel filters begin, peak and end."""
    ends = [3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4) for f in (f_min, f_max)]
    mel = np.linspace(*ends, n_bands + 2)
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp((np.maximum(mel, 15) - 15) * np.log(6.4) / 27))


def mel_length(sfreq: int) -> int:
    """Give the samples of a frame of the mel spectrum: 25 ms, an even number."""
    return 2 * round(MEL_SECONDS / 2 * sfreq)


def n_fft(length: int) -> int:
    """Give the smallest power of two that is twice a frame or more: frames are padded with zeros."""
    return 2 ** int(np.ceil(np.log2(2 * length)))


def log_mel_spectrum(
    sound: np.ndarray, rows: Rows, *, f_min: float, f_max: float, n_bands: int, sfreq: int
) -> np.ndarray:
    """Give ln(max(1e-10, M^T |F|^2)), F the spectrum of 25 ms around every row in a Hann window, M `mel_filters`.

    Returns
    -------
    spectrum : array of shape (n_rows, n_bands)

    References
    ----------
    The tests compare with `transformers.audio_utils.spectrogram`.
    """
    length = mel_length(sfreq)
    spectrum = rfft(rows.around(sound, length) * hann(length), n_fft(length), axis=1)  # (n_rows, n_bins)
    filters = mel_filters(f_min, f_max, n_bands, n_bins=spectrum.shape[1], sfreq=sfreq)
    return np.log(np.maximum(MEL_FLOOR, (spectrum.real**2 + spectrum.imag**2) @ filters))
