"""What a model reads before a word: the texts that are made of events, and the event of every word in them.

A text is read from its beginning by the model alone; nothing that stands in another text is known. Contexts:

- `run`: the words of a run are one text.
- `sentence`: every sentence is a text.
- `last_k_words`: every word is the end of a text of its own, with the k words before it in its run, or all there are.
  Words are events: a clitic that stands alone counts. The words before it belong to no event there.
- `shuffled_in_sentence`, `shuffled_in_run`: as `run`, but the words of a sentence or of the run are put in random order
  first. A word keeps its event: its activation is that of the place where it is read. A clitic moves with its word.

Events with a column `sentence` and no `word` are a text each, which only `shuffled_in_sentence` changes.
"""

import numpy as np
import pandas as pd

from brainalign.errors import BrainalignError
from brainalign.extract._tokens import Text, is_attached, stimulus_column, texts_of
from brainalign.extract.words import sentence_numbers

NO_EVENT = -1  # of words that are read, but whose activations are not kept


def texts_in_context(
    events: pd.DataFrame,
    *,
    context: str = "run",
    k_words: int | None = None,
    seed: int = 0,
    attach_clitics: bool = True,
) -> list[Text]:
    """Give the texts that a model reads for events.

    Parameters
    ----------
    events : DataFrame of n_events rows
    context : {"run", "sentence", "last_k_words", "shuffled_in_sentence", "shuffled_in_run"}
    k_words : int, optional
        Of `last_k_words`.
    seed : int
        Of the order of shuffled words, which depends on nothing else but the words' run (its name and its words), and
        for events that are sentences on the sentence.
    attach_clitics : bool
        Clitics are attached to the word before them, so that the two are shuffled as one.

    Returns
    -------
    texts : list of Text
        Every event is in one text, once; `Text.events` is -1 (`NO_EVENT`) for words that are only context.

    Raises
    ------
    BrainalignError
        An event without text (all are named), a context that these events cannot have.
    Misaligned
        Where sentences begin is not known, or a sentence is in pieces.
    """
    texts = texts_of(events)
    if stimulus_column(events) == "sentence":
        return _texts_of_sentences(texts, context, seed)
    if context == "run":
        return texts
    if context == "last_k_words":
        return [each for text in texts for each in _last_k_words(text, k_words)]
    if context == "shuffled_in_run":
        return [_shuffled(text, [np.arange(len(text.units))], seed, attach_clitics) for text in texts]
    sentence = sentence_numbers(events)
    if context == "shuffled_in_sentence":
        return [_shuffled(text, _sentences(text, sentence), seed, attach_clitics) for text in texts]
    return [_part(text, where) for text in texts for where in _sentences(text, sentence)]


def _sentences(text: Text, sentence: np.ndarray) -> list[np.ndarray]:
    """Give the places of every sentence's words in the text of a run."""
    starts = np.flatnonzero(np.diff(sentence[text.events], prepend=-1))
    return np.split(np.arange(len(text.events)), starts[1:])


def _part(text: Text, places: np.ndarray) -> Text:
    return Text(text.run, text.events[places], tuple(text.units[i] for i in places))


def _last_k_words(text: Text, k_words: int) -> list[Text]:
    texts = []
    for i, event in enumerate(text.events):
        first = max(i - k_words, 0)
        texts.append(Text(text.run, np.array([NO_EVENT] * (i - first) + [event]), text.units[first : i + 1]))
    return texts


def _shuffled(text: Text, pieces: list[np.ndarray], seed: int, attach_clitics: bool) -> Text:
    """Shuffle the words within each piece of a text."""
    rng = np.random.default_rng([seed, *text.run.encode("utf-8")])
    order = []
    for places in pieces:
        words = _words(text, places, attach_clitics)
        order += [words[i] for i in rng.permutation(len(words))]
    return _part(text, np.concatenate(order))


def _words(text: Text, places: np.ndarray, attach_clitics: bool) -> list[np.ndarray]:
    """Split places into words, a clitic in one with the word that it will be attached to."""
    units = [text.units[i] for i in places]
    begins = [i for i in range(1, len(units)) if not (attach_clitics and is_attached(units[i], units[i - 1]))]
    return np.split(places, begins)


def _texts_of_sentences(texts: list[Text], context: str, seed: int) -> list[Text]:
    if context in ("run", "sentence"):
        return texts
    if context != "shuffled_in_sentence":
        raise BrainalignError(f"context {context!r} is for events with a column word; these are whole sentences")
    shuffled = []
    for text in texts:
        words = text.units[0].split()
        order = np.random.default_rng([seed, *text.units[0].encode("utf-8")]).permutation(len(words))
        shuffled.append(Text(text.run, text.events, (" ".join(words[i] for i in order),)))
    return shuffled
