"""Texts longer than a model's context, as overlapping windows in which every token has enough context."""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

TOKENS_PER_BATCH = {"cpu": 4096, "cuda": 65536}


class Window(NamedTuple):
    """What a model reads at once: tokens [start, stop) of a text, of which [first, last) are kept."""

    i_text: int
    start: int
    stop: int
    first: int
    last: int


def windows_of(n_tokens: int, *, size: int, before: int, after: int = 0) -> list[tuple[int, int, int, int]]:
    """Cover a text with windows so that every token is kept once, with enough context, in as few windows as can be.

    A window of `size` tokens keeps all but its first `before` and its last `after` tokens, except at the ends of the
    text: stride = size - before - after. A kept token has `before` to size - 1 tokens to its left, or all there are.

    Parameters
    ----------
    n_tokens : int
        Length of the text.
    size : int
        Tokens per window, more than `before + after`.
    before, after : int
        Context that a token is given on the left and on the right where the text has it.

    Returns
    -------
    windows : list of (start, stop, first, last)
        The tokens [start, stop) are read, [first, last) are kept.
    """
    windows = []
    start = first = 0
    while first < n_tokens:
        stop = min(start + size, n_tokens)
        last = n_tokens if stop == n_tokens else stop - after
        windows.append((start, stop, first, last))
        start, first = max(last - before, 0), last
    return windows


def windows_of_texts(lengths: list[int], *, size: int, before: int, after: int = 0) -> list[Window]:
    """Cover every text; see `windows_of`."""
    return [
        Window(i_text, *window)
        for i_text, n_tokens in enumerate(lengths)
        for window in windows_of(n_tokens, size=size, before=before, after=after)
    ]


def batches_of(windows: list[Window], batch_size: int | str, *, device: str = "cpu") -> Iterator[list[Window]]:
    """Put windows of one length together, longest first.

    Nothing is padded: in some models (FNet, ConvBERT, MobileBERT) padding changes the tokens before it, mask or not.

    Parameters
    ----------
    windows : list of Window
    batch_size : int or "auto"
        Windows per batch, at most; "auto" fills 4,096 tokens on a CPU and 65,536 on a GPU.
    device : str
        "cpu" or "cuda", for "auto".

    Yields
    ------
    batch : list of Window
    """
    by_length = groupby(sorted(windows, key=_length, reverse=True), key=_length)
    for n_tokens, of_length in by_length:
        together = list(of_length)
        n = max(1, TOKENS_PER_BATCH[device] // n_tokens) if batch_size == "auto" else batch_size
        yield from (together[first : first + n] for first in range(0, len(together), n))


def _length(window: Window) -> int:
    return window.stop - window.start
