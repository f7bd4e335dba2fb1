"""The phones of words, from alignments that list other words than the events do."""

import difflib
from collections import Counter, defaultdict

import pandas as pd


def spoken_words(words: pd.DataFrame, phones: pd.DataFrame, *, pauses: tuple[str, ...]) -> list[tuple[str, str]]:
    """Give the words of a TextGrid with the phones whose middle lies within them.

    Parameters
    ----------
    words, phones : DataFrame
        Tiers: `start`, `end` (s), `label`.
    pauses : tuple of str
        Labels that are no word.

    Returns
    -------
    spoken : list of (word, phones)
        Phones with spaces between them, silences left out.
    """
    middle = (phones["start"] + phones["end"]) / 2
    heard = ~phones["label"].isin(pauses)
    return [
        (word.label, " ".join(phones["label"][heard & (middle > word.start) & (middle < word.end)]))
        for word in words[~words["label"].isin(pauses)].itertuples()
    ]


def phones_of_words(words: list[str], spoken: list[tuple[str, str]]) -> tuple[list[str], Counter]:
    """Give every word its phones: those of the same word in the same place of the alignment.

    A word that the alignment left out has its most frequent pronunciation there, or none if it never occurs.

    Parameters
    ----------
    words : list of str
    spoken : list of (word, phones)
        From `spoken_words`, in order.

    Returns
    -------
    phones : list of str
        Of each word; empty where nothing is known.
    counts : Counter
        How many were `aligned`, `from_elsewhere` and `unknown`.
    """
    wanted, listed = [_key(word) for word in words], [_key(word) for word, _ in spoken]
    pronunciations: dict[str, Counter] = defaultdict(Counter)
    for key, (_, phones) in zip(listed, spoken, strict=True):
        if phones:
            pronunciations[key][phones] += 1
    found, counts = [""] * len(words), Counter()
    for block in difflib.SequenceMatcher(None, wanted, listed, autojunk=False).get_matching_blocks():
        for i in range(block.size):
            found[block.a + i] = spoken[block.b + i][1]
    for i, key in enumerate(wanted):
        if found[i]:
            counts["aligned"] += 1
        elif key in pronunciations:
            found[i] = pronunciations[key].most_common(1)[0][0]
            counts["from_elsewhere"] += 1
        else:
            counts["unknown"] += 1
    return found, counts


def _key(word: str) -> str:
    return "".join(character for character in word.lower() if character.isalnum())
