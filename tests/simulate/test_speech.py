import numpy as np
import pytest

from brainalign.simulate import speech
from brainalign.simulate.speech import FORMANTS, harmonic_amplitudes, speak, vowels_of

SFREQ = 16000
WORDS = ("the", "garden", "letters", "I", "remember", "you") * 4
ONSETS = 0.2 + 0.5 * np.arange(len(WORDS))
DURATIONS = np.tile([0.2, 0.35, 0.4, 0.15, 0.45, 0.25], 4)


def spoken(seed=0, **settings):
    sizes = {"n_samples": 13 * SFREQ, "sfreq": SFREQ} | settings
    return speak(WORDS, ONSETS, DURATIONS, rng=np.random.default_rng(seed), **sizes)


def moving_power(sound, seconds=0.02):
    window = np.hanning(round(seconds * SFREQ))
    return np.convolve(sound**2, window / window.sum(), "same")


def test_the_envelope_of_the_sound_is_the_planted_one():
    sound, envelope, _ = spoken()
    measured = np.sqrt(moving_power(sound))
    planted = np.sqrt(moving_power(envelope))
    assert np.corrcoef(measured, planted)[0, 1] > 0.999
    loud = planted > 0.03
    assert loud.sum() > SFREQ
    assert np.abs(measured[loud] / planted[loud] - 1).max() < 0.12
    assert np.mean(measured[loud] / planted[loud]) == pytest.approx(1, abs=0.01)


def test_the_pitch_of_the_sound_is_the_planted_one():
    sound, _, pitch = spoken()
    for onset, duration in zip(ONSETS, DURATIONS, strict=True):
        middle = round((onset + 0.3 * duration) * SFREQ)
        part = sound[middle - 400 : middle + 400]
        likeness = np.correlate(part, part, "full")[len(part) - 1 :] / np.arange(len(part), 0, -1)
        lags = np.arange(SFREQ // 250, SFREQ // 70)
        period = lags[likeness[lags].argmax()]
        assert SFREQ / period == pytest.approx(pitch[middle], rel=0.04)


def test_pitch_falls_by_a_tenth_within_a_word():
    _, _, pitch = spoken()
    first, last = round(ONSETS[4] * SFREQ), round((ONSETS[4] + DURATIONS[4]) * SFREQ) - 1
    assert pitch[last] / pitch[first] == pytest.approx(0.9, abs=0.001)


def test_there_is_silence_between_words():
    within = np.zeros(13 * SFREQ, bool)
    for onset, duration in zip(ONSETS, DURATIONS, strict=True):
        within[round(onset * SFREQ) : round((onset + duration) * SFREQ)] = True
    for part in spoken():
        assert not part[~within].any()
    assert (spoken().envelope[within] > 0).all()


def test_a_word_has_one_hump_per_syllable_and_the_first_is_stressed():
    envelope = spoken().envelope
    for i, n_syllables in ((0, 1), (1, 2), (4, 3)):
        word = envelope[round(ONSETS[i] * SFREQ) : round((ONSETS[i] + DURATIONS[i]) * SFREQ)]
        peaks = np.flatnonzero((word[1:-1] > word[:-2]) & (word[1:-1] >= word[2:])) + 1
        assert len(peaks) == n_syllables
        assert word[peaks[1:]] == pytest.approx(0.7 * word[peaks[0]], rel=0.01)


def test_words_differ_in_level_and_in_pitch():
    _, envelope, pitch = spoken()
    middles = [round((onset + duration / 2) * SFREQ) for onset, duration in zip(ONSETS, DURATIONS, strict=True)]
    peaks = [envelope[m - 4000 : m + 4000].max() for m in middles]
    assert 0.15 < np.std(np.log(peaks)) < 0.6
    assert 0.05 < np.std(np.log(pitch[middles])) < 0.2


def test_vowels_are_the_first_letters_of_their_groups():
    assert vowels_of("Remember") == ["e", "e", "e"]
    assert vowels_of("queue") == ["u"]
    assert vowels_of("hmm") == ["e"]


@pytest.mark.parametrize("vowel", FORMANTS)
def test_harmonics_have_power_one_and_peak_at_the_first_formant(vowel):
    amplitudes = harmonic_amplitudes(vowel, 100.0)
    assert (amplitudes**2).sum() / 2 == pytest.approx(1)
    assert 100 * (amplitudes.argmax() + 1) == pytest.approx(FORMANTS[vowel][0], abs=51)


def test_a_seed_gives_the_same_sound_and_another_gives_another():
    one, same, other = spoken(0), spoken(0), spoken(1)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.allclose(one.envelope, other.envelope)


def test_a_word_beyond_the_sound_is_refused():
    with pytest.raises(ValueError, match=r"word 23 \('you', 11.7 s"):
        spoken(n_samples=round(11.8 * SFREQ))


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="2 words, 1 onsets and 1 durations"):
        speak(["a", "b"], [0.1], [0.2], n_samples=SFREQ, sfreq=SFREQ, rng=np.random.default_rng(0))


def test_a_rate_that_folds_harmonics_is_refused():
    with pytest.raises(ValueError, match="at least 10000 Hz"):
        spoken(sfreq=8000)


def test_a_sound_beyond_full_scale_is_refused(monkeypatch):
    monkeypatch.setattr(speech, "LEVEL", 1.0)
    with pytest.raises(ValueError, match="times full scale"):
        spoken()
