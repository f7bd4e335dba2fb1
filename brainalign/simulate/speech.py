"""A synthesiser of speech-like sound whose envelope and pitch are known, because they are what it is made from.

A word is a row of syllables, one per group of vowel letters, that share its duration evenly. Each is voiced:

    x(t) = e(t) * sum_k a_k sin(k p(t) - pi k (k - 1) / K),    k = 1..K,    sum_k a_k^2 = 2

    e   envelope: level * stress * sin^2(pi u), with u the share of the syllable that is over, so that e(t)^2 is the
        power of the sound, averaged over a period of the voice. Level is a word's, its logarithm normal; stress is 1
        in the first syllable and 0.7 in the others
    p   phase of the voice, 2 pi times the integral of its frequency f0(t), which falls by a tenth within each word
    a   amplitudes of the harmonics: three formants, those of the first vowel of the syllable

Schroeder's phases keep the peaks of the sum low. Everything is drawn from a `numpy.random.Generator`.

References
----------
Peterson & Barney (1952), J. Acoust. Soc. Am. 24:175, table II (men), the formants. Schroeder (1970), IEEE Trans.
Inf. Theory 16:85, the phases.
"""

import re
from typing import NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyval

FORMANTS = {  # Hz; the vowels of hod, head, heed, hawed, hood and hid
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (440, 1020, 2240),
    "y": (390, 1990, 2550),
}
FORMANT_GAINS = (1.0, 0.5, 0.25)
FORMANT_WIDTH = 120.0  # Hz, at half the height
N_HARMONICS = 30
VOICE = 120.0  # Hz, median pitch at the beginning of a word
PITCH_SD = 0.1  # over words, of the logarithm of their pitch
FALL = 0.1  # of the pitch within a word
LEVEL = 0.08  # median over words of the largest envelope; 1 is full scale
LEVEL_SD = 0.35  # over words, of the logarithm
STRESS = (1.0, 0.7)  # of the first and of the other syllables


class Speech(NamedTuple):
    """What is heard, and what it was made from.

    Parameters
    ----------
    sound : array of shape (n_samples,), float64
        1 is full scale.
    envelope : array of shape (n_samples,), float64
        Square root of the power of the sound; 0 between words.
    pitch : array of shape (n_samples,), float64
        Frequency of the voice, Hz; 0 between words.
    """

    sound: np.ndarray
    envelope: np.ndarray
    pitch: np.ndarray


def vowels_of(word):
    """Give the first letter of each group of vowel letters, in lower case; "e" for a word without."""
    return [group[0] for group in re.findall("[aeiouy]+", word.lower())] or ["e"]


def harmonic_amplitudes(vowel, pitch):
    """Give the amplitudes a_k of the harmonics of a voice, scaled so that the power of their sum is 1.

    Parameters
    ----------
    vowel : str
        One of `FORMANTS`.
    pitch : float
        Hz.

    Returns
    -------
    amplitudes : array of shape (N_HARMONICS,), float64
    """
    frequencies = pitch * np.arange(1, N_HARMONICS + 1)[:, None]
    distance = (frequencies - np.array(FORMANTS[vowel])) / (FORMANT_WIDTH / 2)  # (N_HARMONICS, 3)
    amplitudes = (np.array(FORMANT_GAINS) / (1 + distance**2)).sum(axis=1)
    return amplitudes * np.sqrt(2 / (amplitudes**2).sum())


def speak(words, onsets, durations, *, n_samples, sfreq, rng):
    """Speak words at given times.

    Parameters
    ----------
    words : sequence of str, of length n_words
    onsets, durations : array of shape (n_words,)
        Seconds.
    n_samples : int
    sfreq : int
        Hz; at least 10 kHz, so that no harmonic is folded back.
    rng : numpy.random.Generator
        Draws level and pitch of each word.

    Returns
    -------
    speech : Speech

    Raises
    ------
    ValueError
        A word lies outside the sound or has no duration, the lists differ in length, `sfreq` is too low, or a sample
        exceeds full scale.
    """
    onsets, durations = np.asarray(onsets, float), np.asarray(durations, float)
    if not len(words) == len(onsets) == len(durations):
        raise ValueError(
            f"{len(words)} words, {len(onsets)} onsets and {len(durations)} durations; one of each per word"
        )
    if sfreq < 10000:
        raise ValueError(f"sfreq must be at least 10000 Hz, got {sfreq}")
    wrong = np.flatnonzero(~((onsets >= 0) & (durations > 0) & (onsets + durations <= n_samples / sfreq)))
    if len(wrong):
        i = wrong[0]
        raise ValueError(
            f"word {i} ({words[i]!r}, {onsets[i]} s, lasting {durations[i]} s) must lie within the sound"
            f" (0 to {n_samples / sfreq} s) and have a duration"
        )
    speech = Speech(*np.zeros((3, n_samples)))
    levels = LEVEL * np.exp(LEVEL_SD * rng.standard_normal(len(words)))
    pitches = VOICE * np.exp(PITCH_SD * rng.standard_normal(len(words)))
    for word, onset, duration, level, pitch in zip(words, onsets, durations, levels, pitches, strict=True):
        first, stop = round(onset * sfreq), round((onset + duration) * sfreq)
        spoken = _word(vowels_of(word), stop - first, level=level, pitch=pitch, sfreq=sfreq)
        for whole, part in zip(speech, spoken, strict=True):
            whole[first:stop] = part
    loudest = np.abs(speech.sound).max()
    if loudest > 1:
        raise ValueError(f"the sound reaches {loudest:.2f} times full scale; speak it with another seed")
    return speech


def _word(vowels, n_samples, *, level, pitch, sfreq):
    """Give sound, envelope and pitch of one word, each (n_samples,)."""
    share = (np.arange(n_samples) + 0.5) / n_samples * len(vowels)  # syllables that are over
    syllable = share.astype(int)  # (n_samples,)
    stress = np.where(syllable == 0, *STRESS)
    envelope = level * stress * np.sin(np.pi * (share - syllable)) ** 2
    f0 = pitch * (1 - FALL * share / len(vowels))
    phase = 2 * np.pi * np.cumsum(f0) / sfreq
    k = np.arange(1, N_HARMONICS + 1)
    schroeder = np.exp(-1j * np.pi * k * (k - 1) / N_HARMONICS)
    carrier = np.empty(n_samples)
    for i, vowel in enumerate(vowels):
        heard = syllable == i
        series = np.concatenate([[0], harmonic_amplitudes(vowel, pitch) * schroeder])  # coefficients of exp(i p)^k
        carrier[heard] = polyval(np.exp(1j * phase[heard]), series).imag
    return envelope * carrier, envelope, f0
