"""How many parameters and connections networks have, counted from their settings.

A parameter is a number that learning may change. A connection is a place where one unit reaches another through a
weight: as many as there are weights (biases and norms left out) where every unit has weights of its own, more in a
convolution, whose weights serve at every position. A table of words holds connections from one unit per word. What
attention connects anew at every step is not counted.

    GPT with d units, L blocks, v words, n steps:
        v d + n d + L (12 d^2 + 13 d) + 2 d                       with one table of words at both ends
        12 L d^2 + (v + n) d                                      norms and biases left out

References
----------
Brown et al. (2020), Language models are few-shot learners, NeurIPS, table 2.1; Radford et al. (2019), table 2.
Krizhevsky et al. (2012), section 3. The counts are compared with networks that have been built.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from brainalign.errors import BrainalignError

GPT3_VOCABULARY, GPT3_CONTEXT = 50_257, 2_048


class PrintedModel(NamedTuple):
    """A row of the table of GPT-3's models, as printed.

    Parameters
    ----------
    name : str
    n_blocks, width, n_heads, head_width : int
    parameters : float
    batch : float
        Tokens.
    lr : float
    """

    name: str
    n_blocks: int
    width: int
    n_heads: int
    head_width: int
    parameters: float
    batch: float
    lr: float


GPT3_TABLE = (
    PrintedModel("Small", 12, 768, 12, 64, 125e6, 0.5e6, 6.0e-4),
    PrintedModel("Medium", 24, 1024, 16, 64, 350e6, 0.5e6, 3.0e-4),
    PrintedModel("Large", 24, 1536, 16, 96, 760e6, 0.5e6, 2.5e-4),
    PrintedModel("XL", 24, 2048, 24, 128, 1.3e9, 1e6, 2.0e-4),
    PrintedModel("2.7B", 32, 2560, 32, 80, 2.7e9, 1e6, 1.6e-4),
    PrintedModel("6.7B", 32, 4096, 32, 128, 6.7e9, 2e6, 1.2e-4),
    PrintedModel("13B", 40, 5140, 40, 128, 13.0e9, 2e6, 1.0e-4),
    PrintedModel("175B", 96, 12288, 96, 128, 175.0e9, 3.2e6, 0.6e-4),
)
"""Table 2.1 of Brown et al. (2020), from memory. All models were trained on 300 billion tokens."""


def misprint(model: PrintedModel) -> str:
    """Say what cannot be right in a row: the heads side by side must be as wide as the model; "" where they are."""
    heads = model.n_heads * model.head_width
    if heads == model.width:
        return ""
    return f"{model.n_heads} heads x {model.head_width} = {heads:,}, printed width {model.width:,}"


def matrices_of_gpt(n_blocks: int, width: int, *, n_words: int, n_context: int) -> int:
    """Count the parameters of a GPT without norms and biases, 12 L d^2 + (v + n) d."""
    return 12 * n_blocks * width**2 + (n_words + n_context) * width


def gpt(
    n_blocks: int,
    width: int,
    *,
    n_words: int,
    n_context: int,
    attention_biases: bool = True,
    separate_head: bool = False,
) -> dict[str, int]:
    """Count the parameters of a GPT by part.

    Returns
    -------
    parts : dict
        `words, positions, attention, feed_forward, norms`, and `head` if it is a matrix of its own; the sum is the
        number of parameters.
    """
    biases = 4 * width if attention_biases else 0
    parts = {
        "words": n_words * width,
        "positions": n_context * width,
        "attention": n_blocks * (4 * width**2 + biases),
        "feed_forward": n_blocks * (8 * width**2 + 5 * width),
        "norms": n_blocks * 4 * width + 2 * width,
    }
    return parts | ({"head": n_words * width} if separate_head else {})


def transformer(n_blocks: int, width: int, *, n_feed: int, n_words: int) -> dict[str, int]:
    """Count the parameters of a Transformer with one table of words, by part: `words, encoder, decoder`."""
    attention, norm = 4 * (width**2 + width), 2 * width
    feed = 2 * width * n_feed + n_feed + width
    return {
        "words": n_words * width,
        "encoder": n_blocks * (attention + feed + 2 * norm),
        "decoder": n_blocks * (2 * attention + feed + 3 * norm),
    }


def layers(*sizes: int) -> int:
    """Count weights and biases of fully connected layers of `sizes` units, input first."""
    return sum((n_from + 1) * n_to for n_from, n_to in pairwise(sizes))


def recurrent(n_inputs: int, n_hidden: int, *, n_outputs: int, n_gates: int = 1) -> int:
    """Count the parameters of a recurrent layer and its outputs.

    `n_gates` is 1 for a simple recurrent network, 3 for the LSTM of 1997, 4 with forget gates; a bias each.
    """
    return n_gates * n_hidden * (n_inputs + n_hidden + 1) + layers(n_hidden, n_outputs)


class Convolution(NamedTuple):
    """A layer of `n_out` maps of side x side units, each of which sees a patch of size x size in `n_in` maps."""

    n_in: int
    size: int
    n_out: int
    side: int


ALEXNET = (
    Convolution(3, 11, 96, 55),
    Convolution(48, 5, 256, 27),
    Convolution(256, 3, 384, 13),
    Convolution(192, 3, 384, 13),
    Convolution(192, 3, 256, 13),
)
"""The convolutions of AlexNet; behind them stand layers of 9,216, 4,096, 4,096 and 1,000 units."""


def convolutions(network: tuple[Convolution, ...]) -> tuple[int, int]:
    """Count parameters (with a bias per map) and connections (without) of convolutions."""
    patches = np.array([layer.n_in * layer.size**2 for layer in network], dtype=np.int64)
    maps, areas = np.array([(layer.n_out, layer.side**2) for layer in network], dtype=np.int64).T
    return int(((patches + 1) * maps).sum()), int((patches * maps * areas).sum())


def words_heard(years: float, *, hours_a_day: float = 14.0, words_a_second: float = 1.0) -> float:
    """Give how many words somebody has met after some years, all days of 365 alike.

    Raises
    ------
    BrainalignError
        A day has more than 24 hours, or something is negative.
    """
    if not (years >= 0 and 0 <= hours_a_day <= 24 and words_a_second >= 0):
        raise BrainalignError(
            f"years and words must not be negative and hours must lie in [0, 24], got {years} years, {hours_a_day} "
            f"hours, {words_a_second} words a second"
        )
    return years * 365 * hours_a_day * 3600 * words_a_second
