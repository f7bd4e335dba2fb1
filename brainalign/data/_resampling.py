"""Resampling that keeps the clock: sample i of the result is at i / sfreq seconds, wherever in the recording.

`mne.io.Raw.resample` gives a recording of n samples a length of round(n sfreq / recorded) and spreads the samples over
it, padding included: with 6,000 samples at 1,000 Hz brought to 100 Hz, all responses were 5 ms late. Here the ratio of
the rates is a fraction, so that no length has a part in it.
"""

from fractions import Fraction

import mne
from scipy.signal import resample_poly

from brainalign.errors import Misaligned

LARGEST = 20_000  # denominator of the ratio of two rates; an hour at 600.614990234375 Hz then drifts by less than 20 us


def resample(raw: mne.io.BaseRaw, sfreq: float) -> mne.io.BaseRaw:
    """Resample all channels of a run, in place.

    Parameters
    ----------
    raw : mne.io.Raw
        With its data loaded.
    sfreq : float
        Hz.

    Returns
    -------
    raw : mne.io.Raw
        The same, with round(n_samples * sfreq / recorded) samples from the same beginning on.

    Raises
    ------
    Misaligned
        The rates differ, by so little that their ratio is no fraction but 1.

    References
    ----------
    Oracle: sums of sines, sampled at the new times.
    """
    recorded = raw.info["sfreq"]
    ratio = Fraction(sfreq / recorded).limit_denominator(LARGEST)
    if ratio == 1:
        raise Misaligned(f"{sfreq} Hz is so near the {recorded} Hz of the recording that it cannot be had")
    values = resample_poly(raw.get_data(), ratio.numerator, ratio.denominator, axis=1, padtype="edge")
    raw.resample(sfreq, method="polyphase", verbose="WARNING")  # its clock, annotations and first sample
    return raw.apply_function(lambda _: values[:, : raw.n_times], picks="all", channel_wise=False, verbose="WARNING")
