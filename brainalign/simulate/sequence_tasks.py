"""Tasks that ask for something seen earlier in a sequence: sum, recall, copy, reversal, sorting.

Every function draws fresh sequences from a torch generator; `for_networks` draws a lesson for each of several networks
from generators of their own.

References
----------
Hochreiter & Schmidhuber (1997), Long short-term memory, Neural Computation 9:1735-1780, section 5.4 (the adding
problem), 5.2 (recall of the first symbol, in another dress). Karpathy, minGPT, demo of sorting.
"""

import itertools

import torch

from brainalign.errors import BrainalignError

TOLERANCE = 0.04
"""Of the adding problem: a sequence is processed correctly if the error at its end is smaller."""


def for_networks(generators, task, **options) -> tuple[torch.Tensor, ...]:
    """Draw `task(generator, **options)` for each generator and put the results side by side, (n_networks, ...)."""
    drawn = [task(generator, **options) for generator in generators]
    return tuple(torch.stack(parts) for parts in zip(*drawn, strict=True))


def generators_of(seed: int, n_networks: int) -> list[torch.Generator]:
    """Give a generator of lessons per network; that of network i is that of a network alone with seed `seed + i`."""
    return [torch.Generator().manual_seed(2**31 + seed + i) for i in range(n_networks)]


def adding(generator, *, n_sequences: int, n_steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the adding problem: remember two marked numbers to the end and give their sum.

    Every step is a pair, a number uniform in [-1, 1] and a mark: 1 at two steps, -1 at the first and last step, 0
    elsewhere. One of the first ten steps is marked, then another of the first n_steps / 2 - 1; a number marked at the
    first step counts 0 (its mark stays -1). Wanted at the end:

        1/2 + (X_1 + X_2) / 4

    The paper's sequences have n_steps to 1.1 n_steps steps; here all have n_steps.

    Parameters
    ----------
    generator : torch.Generator
    n_sequences : int
    n_steps : int
        At least 8.

    Returns
    -------
    inputs : float32 (n_sequences, n_steps, 2)
    targets : float32 (n_sequences,)

    Raises
    ------
    BrainalignError
        The sequences are too short to mark two steps.
    """
    if n_steps < 8:
        raise BrainalignError(f"the adding problem needs at least 8 steps, got n_steps = {n_steps}")
    values = 2 * torch.rand(n_sequences, n_steps, generator=generator) - 1
    rows = torch.arange(n_sequences)
    half = n_steps // 2 - 1
    first = torch.randint(min(10, half), (n_sequences,), generator=generator)
    second = torch.randint(half - 1, (n_sequences,), generator=generator)
    second = second + (second >= first)  # one of the others
    marks = torch.zeros(n_sequences, n_steps)
    marks[rows, first] = 1
    marks[rows, second] = 1
    marks[:, 0] = -1
    marks[:, -1] = -1
    targets = 0.5 + (values * (marks == 1)).sum(dim=1) / 4
    return torch.stack([values, marks], dim=2), targets


def recall(generator, *, n_sequences: int, n_steps: int, n_distractors: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw sequences whose first symbol is to be named at the end, random other symbols in between.

    Symbols 0 and 1 come first with probability 1/2 each and nowhere else; 2 ... n_distractors + 1 fill the rest.

    Returns
    -------
    words : int64 (n_sequences, n_steps)
    targets : int64 (n_sequences,)
        0 or 1.
    """
    first = torch.randint(2, (n_sequences, 1), generator=generator)
    rest = 2 + torch.randint(n_distractors, (n_sequences, n_steps - 1), generator=generator)
    return torch.cat([first, rest], dim=1), first[:, 0]


def copying(generator, *, n_sequences: int, n_steps: int, n_symbols: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw sequences of symbols 0 ... n_symbols - 1 to be said again: (words, words), int64 (n_sequences, n_steps)."""
    words = torch.randint(n_symbols, (n_sequences, n_steps), generator=generator)
    return words, words


def reversal(generator, *, n_sequences: int, n_steps: int, n_symbols: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw sequences of symbols to be said backwards: (words, words from the last to the first)."""
    words, _ = copying(generator, n_sequences=n_sequences, n_steps=n_steps, n_symbols=n_symbols)
    return words, words.flip(1)


def shuffled(generator, *, n_sequences: int, n_steps: int, n_symbols: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw sequences beside those of others: nothing but the length tells the second from the first."""
    options = {"n_sequences": n_sequences, "n_steps": n_steps, "n_symbols": n_symbols}
    return copying(generator, **options)[0], copying(generator, **options)[0]


def all_sequences(n_symbols: int, n_steps: int) -> torch.Tensor:
    """Give every sequence of `n_steps` of `n_symbols` symbols, in the order of counting, (n_symbols**n_steps, n_steps).

    729 of six letters A, B, C.
    """
    return torch.tensor(list(itertools.product(range(n_symbols), repeat=n_steps)))
