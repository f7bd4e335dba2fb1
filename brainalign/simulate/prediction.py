"""What the best guess of the next word would be, and how far a network's guess is from it.

A stream of words w_0 ... w_{n-1} is read in a circle: the word after the last is the first. A guess after word t is a
vector with one value per unit; three guesses that need no network, each counted in the stream itself:

    unigram      u_k       = share of word k in the stream
    bigram       q_t,k     = share of word k among the successors of all words equal to w_t
    likelihood   p_t,k     = share of word k among the successors of all beginnings of sentences equal to the one
                             that ends in w_t (Elman 1990, p. 198)

The error of a guess o_t against a target d_t is summed over units, not averaged: E_t = sum_k (o_tk - d_tk)^2. Against
the word that came, the guess p_t has the expected error 1 - sum_k p_tk^2, which no network that sees one sentence at a
time can undercut: the irreducible error.

References
----------
Elman (1990), Finding structure in time, Cognitive Science 14:179-211, pp. 197-199. Its errors after training, .88 and
.053, are called root mean squares; they have the size of the sum E_t (or, .88, of its root).
"""

import numpy as np

from brainalign.errors import Misaligned


def one_hot(words, n_units):
    """Give the localist code of words (n_steps,): 1 at the unit of the word, (n_steps, n_units) float32."""
    return np.eye(n_units, dtype=np.float32)[words]


def empirical_likelihoods(words, position, *, n_units):
    """Count which words follow the same beginning of a sentence.

    Parameters
    ----------
    words : array of int, shape (n_steps,)
    position : array of int, shape (n_steps,)
        Of the word in its sentence, 0 for the first.
    n_units : int

    Returns
    -------
    likelihoods : array of shape (n_steps, n_units), float64
        Rows sum to 1.

    Raises
    ------
    Misaligned
        `words` and `position` differ in length, or the stream begins within a sentence.
    """
    words, position = np.asarray(words), np.asarray(position)
    if words.shape != position.shape or position[0] != 0:
        raise Misaligned(
            f"words {words.shape} and positions {position.shape} must have the same shape and begin with a sentence,"
            f" position 0; got {position[0]}"
        )
    return _shares(_beginnings(words, position), words, n_units)


def bigram_likelihoods(words, *, n_units):
    """Count which words follow the same word: (n_steps, n_units), rows sum to 1."""
    return _shares(np.asarray(words), words, n_units)


def unigram_likelihoods(words, *, n_units):
    """Count words: (n_steps, n_units), all rows the same."""
    return _shares(np.zeros(len(words), np.int64), words, n_units)


def irreducible_error(likelihoods):
    """Give the mean over steps of 1 - sum_k p_tk^2."""
    return float(np.mean(1 - (likelihoods**2).sum(axis=-1)))


def squared_error(outputs, targets):
    """Give the squared difference summed over units.

    Parameters
    ----------
    outputs, targets : arrays of shape (..., n_steps, n_units), broadcast against each other

    Returns
    -------
    errors : array of shape (..., n_steps)
    """
    difference = outputs - targets
    return np.einsum("...k,...k->...", difference, difference)


def cosine(outputs, targets):
    """Give the cosine of the angle between two vectors, (..., n_steps); nan for a vector of zeros."""
    inner = np.einsum("...k,...k->...", outputs, targets)
    lengths = np.linalg.norm(outputs, axis=-1) * np.linalg.norm(targets, axis=-1)
    return np.divide(inner, lengths, out=np.full(np.shape(inner), np.nan), where=lengths > 0)


def _beginnings(words, position):
    """Give numbers to the distinct beginnings of sentences, (n_steps,)."""
    numbers, known, beginning = np.empty(len(words), np.int64), {}, ()
    for step, (word, at) in enumerate(zip(words.tolist(), position.tolist(), strict=True)):
        beginning = (*(beginning if at else ()), word)
        numbers[step] = known.setdefault(beginning, len(known))
    return numbers


def _shares(groups, words, n_units):
    """Give, for every step, the share of each word among the successors within its group of steps."""
    counts = np.zeros((groups.max() + 1, n_units))
    np.add.at(counts, (groups, np.roll(words, -1)), 1)
    return (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))[groups]
