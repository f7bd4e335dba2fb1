"""Trained networks read a stream with their weights frozen, a slice at a time: all hidden states at once need not fit.

20 networks x 27,500 words x 150 units, float32: 330 MB; a slice of 2,000 words: 24 MB
"""

from typing import NamedTuple

import numpy as np
import torch

from brainalign.simulate.prediction import cosine, one_hot, squared_error

SLICE = 2000  # steps


class Slice(NamedTuple):
    """What networks did in some consecutive steps.

    Parameters
    ----------
    steps : slice
    hidden : array of shape (n_networks, n_slice, n_hidden)
    outputs : array of shape (n_networks, n_slice, n_outputs)
    """

    steps: slice
    hidden: np.ndarray
    outputs: np.ndarray


class Assessment(NamedTuple):
    """How near the outputs come to what can be known, and to what came.

    Parameters
    ----------
    likelihood_error : array of shape (n_networks, n_steps)
        Squared difference from the likelihoods, summed over units.
    cosine : array of shape (n_networks, n_steps)
        With the likelihoods.
    target_error : array of shape (n_networks, n_steps)
        Squared difference from the word that came, summed over units.
    """

    likelihood_error: np.ndarray
    cosine: np.ndarray
    target_error: np.ndarray


def read(network, inputs):
    """Read a stream from rest, slice by slice, the context carried over.

    Parameters
    ----------
    network : Elman
    inputs : array, int (n_steps,), or floating (n_steps, n_inputs)
        The same for all networks.

    Yields
    ------
    slice : Slice
    """
    inputs, context = torch.as_tensor(inputs), None
    for first in range(0, len(inputs), SLICE):
        steps = slice(first, min(first + SLICE, len(inputs)))
        with torch.no_grad():
            hidden = network.states(inputs[steps], context=context)["hidden"]
            outputs = network.outputs(hidden)
        context = hidden[:, -1]
        yield Slice(steps, hidden.cpu().numpy(), outputs.cpu().numpy())


def assess(network, words, likelihoods):
    """Compare what networks predict with the likelihoods of the next word and with the word that came.

    Parameters
    ----------
    network : Elman
    words : array of int, shape (n_steps,)
        Read in a circle: the word after the last is the first.
    likelihoods : array of shape (n_steps, n_outputs)

    Returns
    -------
    assessment : Assessment
    """
    targets = one_hot(np.roll(words, -1), likelihoods.shape[1])
    parts = [
        (
            squared_error(part.outputs, likelihoods[part.steps]),
            cosine(part.outputs, likelihoods[part.steps]),
            squared_error(part.outputs, targets[part.steps]),
        )
        for part in read(network, words)
    ]
    return Assessment(*(np.concatenate(values, axis=1) for values in zip(*parts, strict=True)))


def states_at(network, words, steps):
    """Give the hidden states at some steps of a stream, (n_networks, len(steps), n_hidden); `steps` ascend."""
    steps = np.asarray(steps)
    parts = []
    for part in read(network, words[: steps[-1] + 1]):
        within = (steps >= part.steps.start) & (steps < part.steps.stop)
        parts.append(part.hidden[:, steps[within] - part.steps.start])
    return np.concatenate(parts, axis=1)


def mean_states_of(network, words, *, n_words):
    """Give the mean state at each word of a stream, (n_networks, n_words, n_hidden); nan for words that do not occur.

    The same as `clusters.mean_states` of all states, without holding them.
    """
    words, sums = np.asarray(words), 0
    for part in read(network, words):
        sums = sums + np.einsum("tw,nth->nwh", one_hot(words[part.steps], n_words), part.hidden, dtype=float,
                                optimize=True)  # fmt: skip
    counts = np.bincount(words, minlength=n_words)[:, None]
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
