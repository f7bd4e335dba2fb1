"""Words to tokens by character offsets: every token has one word, in order, and every word has at least one token."""

import unicodedata
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainalign.errors import BrainalignError, Misaligned

CLITICS = ("'s", "'ll", "'ve", "'d", "'m", "'re", "'t", "n't")


@dataclass(frozen=True)
class Text:
    """Events that a model reads as one text: the words of a run, or one sentence.

    Parameters
    ----------
    run : str
    events : array of int of shape (n_units,)
        Positions in the table of events.
    units : tuple of str
        Words, or the one sentence.
    """

    run: str
    events: np.ndarray
    units: tuple[str, ...]


@dataclass(frozen=True)
class Tokens:
    """A text as tokens.

    Parameters
    ----------
    ids : array of int of shape (n_tokens,)
    event : array of int of shape (n_tokens,)
        The position in the table of events of the event that each token belongs to.
    """

    ids: np.ndarray
    event: np.ndarray


def stimulus_column(events: pd.DataFrame) -> str:
    """Tell what the events are: "word" where there is such a column, else "sentence".

    Raises
    ------
    Misaligned
        Neither is there.
    """
    for name in ("word", "sentence"):
        if name in events:
            return name
    raise Misaligned(f"events have neither a column 'word' nor 'sentence'; they have {list(events.columns)}")


def event_problems(events: pd.DataFrame) -> list[str]:
    """List what keeps events from being read as text; empty when nothing does."""
    missing = [name for name in ("run", "onset", "duration") if name not in events]
    if missing:
        return [f"events lack the columns {missing}; they have {list(events.columns)}"]
    try:
        column = stimulus_column(events)
    except Misaligned as error:
        return [str(error)]
    if not len(events):
        return ["there are no events"]
    empty = [not isinstance(unit, str) or not unit.strip() for unit in events[column].to_numpy(object)]
    unnamed = [not isinstance(run, str) for run in events["run"].to_numpy(object)]
    untimed = ~np.isfinite(events["onset"].to_numpy(float))
    problems = [
        f"{sum(wrong)} events {what}, the first is event {i}: {column} {events[column].iloc[i]!r}, run"
        f" {events['run'].iloc[i]!r}, onset {events['onset'].iloc[i]} s"
        for what, wrong in (
            ("hold no text", empty),
            ("have a run that is no text", unnamed),
            ("have no onset", untimed),
        )
        for i in np.flatnonzero(wrong)[:1]
    ]
    for run, onsets in events.groupby("run", sort=False)["onset"]:
        if (np.diff(onsets.to_numpy(float)) < 0).any():
            problems.append(f"run {run!r}: onsets go back in time; sort the events by onset within each run")
    return problems


def texts_of(events: pd.DataFrame) -> list[Text]:
    """Give one text per run for words, one per event for sentences, in the order of the events.

    Raises
    ------
    BrainalignError
        `event_problems` found some; all are named.
    """
    problems = event_problems(events)
    if problems:
        raise BrainalignError("; ".join(problems))
    column = stimulus_column(events)
    units = [unit.strip() for unit in events[column].to_numpy(object)]
    runs = events["run"].to_numpy(object)
    if column == "sentence":
        return [Text(runs[i], np.array([i]), (unit,)) for i, unit in enumerate(units)]
    positions = [np.flatnonzero(runs == run) for run in pd.unique(runs)]
    return [Text(runs[where[0]], where, tuple(units[i] for i in where)) for where in positions]


def is_clitic(word: str) -> bool:
    """Tell whether a forced alignment split this off the word before: one of `CLITICS`, in any case or apostrophe."""
    return word.lower().replace("’", "'") in CLITICS


def is_attached(unit: str, before: str) -> bool:
    """Tell whether a unit is a clitic after a unit that ends in a letter or digit, accents composed or not."""
    return is_clitic(unit) and unicodedata.normalize("NFC", before)[-1].isalnum()


def join_units(units: tuple[str, ...], *, attach_clitics: bool) -> tuple[str, np.ndarray]:
    """Write units with a space between them, and say for every character which unit it leads to.

    Parameters
    ----------
    units : tuple of str
        Without spaces at their ends.
    attach_clitics : bool
        "do", "n't" become "don't" where the first of the two ends in a letter.

    Returns
    -------
    text : str
    owner : array of int of shape (n_characters,)
        The unit that holds the character; a space between units leads to the unit after it.
    """
    pieces, lengths = [], []
    for i, unit in enumerate(units):
        attached = attach_clitics and i > 0 and is_attached(unit, units[i - 1])
        piece = unit if i == 0 or attached else f" {unit}"
        pieces.append(piece)
        lengths.append(len(piece))
    return "".join(pieces), np.repeat(np.arange(len(units)), lengths)


def tokenize(texts: list[Text], tokenizer, *, attach_clitics: bool = True) -> list[Tokens]:
    """Turn texts into tokens; a token belongs to the unit that holds its first character that is not a space.

    A token of spaces alone belongs to the unit after it, and at the end of a text to the last one. No special tokens.

    Parameters
    ----------
    texts : list of Text
    tokenizer : transformers.PreTrainedTokenizerFast
    attach_clitics : bool
        See `join_units`.

    Returns
    -------
    tokens : list of Tokens
        As many as texts.

    Raises
    ------
    BrainalignError
        A unit has no token: it is named with its run and position.
    """
    joined = [join_units(text.units, attach_clitics=attach_clitics) for text in texts]
    encoded = tokenizer(
        [written for written, _ in joined],
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    tokens = []
    for text, (_, owner), ids, offsets in zip(
        texts, joined, encoded["input_ids"], encoded["offset_mapping"], strict=True
    ):
        starts = np.array([start for start, _ in offsets], dtype=np.int64)
        unit = np.maximum.accumulate(owner[np.minimum(starts, len(owner) - 1)]) if len(starts) else starts
        _require_every_unit(text, unit)
        tokens.append(Tokens(np.array(ids, dtype=np.int64), text.events[unit]))
    return tokens


def _require_every_unit(text: Text, unit: np.ndarray) -> None:
    without = np.setdiff1d(np.arange(len(text.units)), unit)
    if len(without):
        i = int(without[0])
        raise BrainalignError(
            f"the tokenizer gives no token to {text.units[i]!r} (run {text.run!r}, event {text.events[i]})"
            f"{f' and to {len(without) - 1} more of this text' if len(without) > 1 else ''}: it drops these characters,"
            f" or reads them as one with the word before ({text.units[i - 1] if i else ''!r}; attach_clitics = false"
            " keeps words apart)"
        )
