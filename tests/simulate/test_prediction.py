import numpy as np
import pytest
from scipy.spatial.distance import cosine as scipy_cosine

from brainalign.errors import Misaligned
from brainalign.simulate import prediction

WORDS = np.array([0, 1, 0, 2, 0, 1, 1, 0])
POSITION = np.array([0, 1, 0, 1, 0, 1, 2, 0])


def brute(key):
    """Shares of next words within steps of equal key, read in a circle."""
    following = np.roll(WORDS, -1)
    keys = [key(t) for t in range(len(WORDS))]
    return np.array([[np.mean([following[s] == k for s in range(8) if keys[s] == keys[t]]) for k in range(4)]
                     for t in range(8)])  # fmt: skip


def beginning(t):
    first = t - POSITION[t]
    return tuple(WORDS[first : t + 1])


def test_guesses_are_counts():
    found = prediction.empirical_likelihoods(WORDS, POSITION, n_units=4)
    assert found == pytest.approx(brute(beginning))
    assert prediction.bigram_likelihoods(WORDS, n_units=4) == pytest.approx(brute(lambda t: WORDS[t]))
    assert prediction.unigram_likelihoods(WORDS, n_units=4) == pytest.approx(brute(lambda t: 0))
    assert found.sum(axis=1) == pytest.approx(1)


def test_the_likelihoods_have_the_irreducible_error_and_no_other_guess_has_less():
    likelihoods = prediction.empirical_likelihoods(WORDS, POSITION, n_units=4)
    targets = prediction.one_hot(np.roll(WORDS, -1), 4)
    least = prediction.irreducible_error(likelihoods)
    assert prediction.squared_error(likelihoods, targets).mean() == pytest.approx(least)
    for other in (prediction.bigram_likelihoods, prediction.unigram_likelihoods):
        assert prediction.squared_error(other(WORDS, n_units=4), targets).mean() > least


def test_errors_and_cosines():
    rng = np.random.default_rng(0)
    outputs, targets = rng.random((3, 5, 4)), rng.random((5, 4))
    errors, cosines = prediction.squared_error(outputs, targets), prediction.cosine(outputs, targets)
    for i in range(3):
        for t in range(5):
            assert errors[i, t] == pytest.approx(sum((outputs[i, t] - targets[t]) ** 2))
            assert cosines[i, t] == pytest.approx(1 - scipy_cosine(outputs[i, t], targets[t]))
    assert np.isnan(prediction.cosine(np.zeros((1, 4)), targets[:1])).all()


def test_streams_begin_with_a_sentence():
    with pytest.raises(Misaligned, match="position 0; got 1"):
        prediction.empirical_likelihoods(WORDS[1:], POSITION[1:], n_units=4)
    with pytest.raises(Misaligned, match=r"words \(8,\) and positions \(7,\)"):
        prediction.empirical_likelihoods(WORDS, POSITION[:7], n_units=4)
