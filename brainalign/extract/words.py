"""Word rate, length, frequency and position: what a language model's activations must beat to count.

One layer, "-", with one unit per quantity. For a word:

- `rate`: 1, so that the sum over a TR is the number of words in it.
- `length`: letters and digits in the word.
- `log_frequency`: ln(10^6 (count + 1) / (n_tokens + n_types)), natural logarithm of the smoothed frequency per million
  words; a word that is not in the table has count 0. Words are looked up by `word_key`: lower case, no punctuation.
- `position_in_sentence`: number of words before it in its sentence (see `sentence_numbers`).
- `position_in_run`: number of words before it in its run.

For a sentence (events with `sentence` and no `word`): number of words, mean of the words' lengths and log frequencies,
number of sentences before it in its run. Columns of the events that are named in `columns` are taken as they are.

A row lies at the onset of its event, or with `timing = "offset"` at its end, onset + duration: when a word is known.

With `frequency_table = "wordfreq:en"` (or another of its languages) `log_frequency` is ln(10^6 f), f the frequency that
the package wordfreq gives, and 1e-8, once per 100 million words, for words that are rarer or that it does not list.
"""

import csv
import gzip
import importlib.metadata
import math
import unicodedata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from brainalign.arrays import Activations, sha256_of
from brainalign.errors import BrainalignError, Misaligned, MissingData, UnknownName
from brainalign.extract._tokens import CLITICS, event_problems, is_clitic, stimulus_column

SHIPPED_COUNTS = Path(__file__).parent / "word_counts.tsv.gz"
LAYER = "-"
SENTENCE_ENDS = (".", "!", "?", "…")
CLOSING = "\"'”’»)]}"
ABBREVIATIONS = {"mr", "mrs", "ms", "dr", "st"}
WORDFREQ = "wordfreq:"
RAREST = 1e-8  # once per 100 million words: the rarest that wordfreq's large lists hold

Quantity = Literal["rate", "length", "log_frequency", "position_in_sentence", "position_in_run"]


class Config(BaseModel):
    """Which quantities, and where word counts come from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    quantities: tuple[Quantity, ...] = Field(
        default=("rate", "length", "log_frequency", "position_in_run"), description="computed from the words"
    )
    columns: tuple[str, ...] = Field(
        default=(), description="numeric columns of the events taken as they are, e.g. surprisal"
    )
    frequency_table: str = Field(
        default="shipped",
        description="the packaged counts, a TSV (or .tsv.gz) with columns word and count, or wordfreq:en",
    )
    timing: Literal["onset", "offset"] = Field(
        default="onset", description="where the rows lie: at the onsets of the events, or at onset + duration"
    )


def word_key(word: str) -> str:
    """Give the form in which a word is counted and looked up: lower case, no punctuation at its ends.

    Accents are composed (NFC), and marks that cannot be (the vowel signs of Devanagari) stay with their letter.
    Apostrophes are straight. Clitics that stand alone ('s, n't) keep theirs; those inside a word stay, as hyphens do. A
    word of punctuation alone, or an emoji, stays as it is.
    """
    plain = unicodedata.normalize("NFC", word.strip().lower()).replace("’", "'")
    inside = [i for i, character in enumerate(plain) if character.isalnum()]
    if is_clitic(plain) or not inside:
        return plain
    stop = inside[-1] + 1
    while unicodedata.category(plain[stop : stop + 1] or " ").startswith("M"):
        stop += 1
    return plain[inside[0] : stop]


def read_counts(path: Path) -> dict[str, int]:
    """Read a table of word counts.

    Parameters
    ----------
    path : Path
        A TSV, or gzipped TSV, whose header names `word` and `count`; `null`, `nan` and a lone quote are words.

    Returns
    -------
    counts : dict of str to int
        By `word_key`; spellings that share a key are added. The count of a clitic ("n't") includes the words that end
        with it, which a table may list whole.

    Raises
    ------
    MissingData
        The file is absent, cut, not a TSV of UTF-8, lacks a column, or has a count that is not a whole number above 0.
    """
    path = Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        raise MissingData(f"{path}: no such file; it holds the word counts for log_frequency") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MissingData(f"{path}: not a whole (gzipped) TSV in UTF-8 ({error})") from error
    if not lines or not {"word", "count"} <= set(lines[0]):
        raise MissingData(f"{path}: the header must name word and count, got {lines[0] if lines else 'nothing'}")
    i_word, i_count = lines[0].index("word"), lines[0].index("count")
    counts: dict[str, int] = {}
    for i_line, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]) or not line[i_count].isdecimal() or int(line[i_count]) < 1:
            raise MissingData(f"{path}, line {i_line}: expected a word and a whole count above 0, got {line}")
        key = word_key(line[i_word])
        counts[key] = counts.get(key, 0) + int(line[i_count])
    clitics = {clitic: sum(n for word, n in counts.items() if word.endswith(clitic)) for clitic in CLITICS}
    return counts | {clitic: n for clitic, n in clitics.items() if n}


def log_frequency(words: list[str], counts: dict[str, int]) -> np.ndarray:
    """Give ln(10^6 (count + 1) / (n_tokens + n_types)) for every word, shape (n_words,).

    References
    ----------
    Van Heuven et al. (2014), SUBTLEX-UK, whose Zipf value is 3 + log10 of the same ratio.
    """
    per_million = 1e6 / (sum(counts.values()) + len(counts))
    return np.array([math.log(per_million * (counts.get(word_key(word), 0) + 1)) for word in words])


def wordfreq_log_frequency(words: list[str], language: str) -> np.ndarray:
    """Give ln(10^6 max(f, 1e-8)) for every word, with f from the package wordfreq, shape (n_words,).

    Raises
    ------
    MissingData
        wordfreq is not installed.
    UnknownName
        It has no such language.

    References
    ----------
    Speer (2022), rspeer/wordfreq: v3.0, doi:10.5281/zenodo.7199437.
    """
    try:
        import wordfreq
    except ModuleNotFoundError:
        raise MissingData(_no_wordfreq(language)) from None
    languages = wordfreq.available_languages()
    if language not in languages:
        raise UnknownName("language of wordfreq", language, languages)
    frequencies = [wordfreq.word_frequency(word_key(word), language) for word in words]
    return np.log(1e6 * np.maximum(frequencies, RAREST))


def _no_wordfreq(language: str) -> str:
    return (
        f"frequency_table {WORDFREQ}{language} needs the package wordfreq, which is not installed: pip install"
        " wordfreq, or give a table of word counts"
    )


def layer_names(config: Config) -> tuple[str, ...]:  # noqa: ARG001
    """Give the only layer there is, "-"."""
    return (LAYER,)


def settings(config: Config) -> dict[str, Any]:
    """Give the settings that decide the values: a table of counts by its name, its bytes are in `fingerprint`."""
    return config.model_dump(mode="json") | {"frequency_table": Path(config.frequency_table).name}


def stimulus_files(events: pd.DataFrame) -> list[Path]:  # noqa: ARG001
    """List the files that events name: none, words are in the table itself."""
    return []


def own_clock(events: pd.DataFrame, config: Config) -> bool:  # noqa: ARG001
    """Tell whether rows are not those of the events: at the offset of words they are not."""
    return config.timing == "offset"


def fingerprint(config: Config, *, weights: str = "trained") -> dict[str, str]:  # noqa: ARG001
    """Give the sha256 of the table of counts, or the version of wordfreq, if it is used.

    Raises
    ------
    MissingData
        It is absent.
    """
    if "log_frequency" not in config.quantities:
        return {}
    if config.frequency_table.startswith(WORDFREQ):
        return {"wordfreq": _wordfreq_version(config)}
    path = _table(config)
    if not path.is_file():
        raise MissingData(f"{path}: no such file; it holds the word counts for log_frequency")
    return {path.name: sha256_of(path)}


def _wordfreq_version(config: Config) -> str:
    try:
        return importlib.metadata.version("wordfreq")
    except importlib.metadata.PackageNotFoundError:
        raise MissingData(_no_wordfreq(config.frequency_table.removeprefix(WORDFREQ))) from None


def _table(config: Config) -> Path:
    return SHIPPED_COUNTS if config.frequency_table == "shipped" else Path(config.frequency_table).expanduser()


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`; empty when nothing would."""
    problems = event_problems(events)
    if problems:
        return problems
    for quantity in (*config.quantities, *config.columns):
        try:
            _quantity(quantity, events, config)
        except BrainalignError as error:
            problems.append(str(error))
    return problems + _repeated(config) + _untimed(events, config)


def _untimed(events: pd.DataFrame, config: Config) -> list[str]:
    duration = events["duration"].to_numpy(float)
    wrong = np.flatnonzero(~(np.isfinite(duration) & (duration >= 0)))
    if config.timing == "onset" or not len(wrong):
        return []
    event = events.iloc[wrong[0]]
    return [
        f"timing = 'offset' needs durations: {len(wrong)} events have none, the first is event {wrong[0]}"
        f" ({stimulus_column(events)} {event[stimulus_column(events)]!r}, run {event['run']!r})"
    ]


def _repeated(config: Config) -> list[str]:
    names = [*config.quantities, *config.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        return [f"{repeated} named more than once among quantities and columns"]
    return [] if names else ["quantities and columns are both empty: there is nothing to extract"]


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will give: `n_events, n_layers, width, bytes_result`."""
    width = len(config.quantities) + len(config.columns)
    return {"n_events": len(events), "n_layers": 1, "width": width, "bytes_result": 4 * len(events) * width}


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: str = "trained",  # noqa: ARG001
    scratch: Path | None = None,  # noqa: ARG001
) -> dict[str, Activations]:
    """Give the quantities of every event.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s), `word` or `sentence`, and the columns that `config.columns` names. Events of a
        run are in the order of their onsets.
    config : Config
    weights, scratch
        Have no meaning here: words have no weights, and there is nothing that could be resumed.

    Returns
    -------
    activations : dict of str to Activations
        {"-": (n_events, n_quantities)}, float32, all finite; `columns.unit` names the quantities. Rows are in the order
        of the events; with `timing = "offset"` their `onset` is onset + duration.

    Raises
    ------
    MissingData
        The table of counts is absent or broken, or wordfreq is not installed.
    BrainalignError
        An event without text, no way to tell where sentences begin, a column that is missing or not all finite numbers,
        with `timing = "offset"` an event without a duration.
    """
    problems = event_problems(events) or [*_repeated(config), *_untimed(events, config)]
    if problems:
        raise BrainalignError("; ".join(problems))
    names = [*config.quantities, *config.columns]
    values = np.column_stack([_quantity(name, events, config) for name in names]).astype(np.float32)
    column = stimulus_column(events)
    rows = events[["run", "onset", "duration", column]].reset_index(drop=True)
    if config.timing == "offset":
        rows["onset"] += rows["duration"]
    provenance = {"extractor": "words", "settings": settings(config), "files": fingerprint(config)}
    return {LAYER: Activations(values, rows, pd.DataFrame({"layer": LAYER, "unit": names}), provenance)}


def _quantity(name: str, events: pd.DataFrame, config: Config) -> np.ndarray:
    if name in config.columns:
        return _column(name, events)
    return QUANTITIES[name](events, config)  # (n_events,)


def _column(name: str, events: pd.DataFrame) -> np.ndarray:
    if name not in events:
        raise Misaligned(f"events have no column {name!r}; they have {list(events.columns)}")
    if not pd.api.types.is_numeric_dtype(events[name]):
        raise Misaligned(f"column {name!r} of the events is not numeric ({events[name].dtype})")
    values = events[name].to_numpy(float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        column = stimulus_column(events)
        raise Misaligned(
            f"column {name!r} of the events has {len(bad)} values that are not finite, the first for event {bad[0]}"
            f" ({column} {events[column].iloc[bad[0]]!r}, run {events['run'].iloc[bad[0]]!r})"
        )
    return values


def _words_of_events(events: pd.DataFrame) -> list[list[str]]:
    """Split sentences at spaces, parts of punctuation alone left out; an event `word` is one word, whatever it is."""
    if stimulus_column(events) == "word":
        return [[word] for word in events["word"]]
    return [
        [word for word in sentence.split() if any(map(str.isalnum, word))] or [sentence]
        for sentence in events["sentence"]
    ]


def _mean_over_words(value_of_words, events: pd.DataFrame) -> np.ndarray:
    return np.array([np.mean(value_of_words(words)) for words in _words_of_events(events)])


def _rate(events: pd.DataFrame, _: Config) -> np.ndarray:
    return np.array([float(len(words)) for words in _words_of_events(events)])


def _length(events: pd.DataFrame, _: Config) -> np.ndarray:
    return _mean_over_words(lambda words: [sum(map(str.isalnum, word)) for word in words], events)


def _log_frequency(events: pd.DataFrame, config: Config) -> np.ndarray:
    if config.frequency_table.startswith(WORDFREQ):
        language = config.frequency_table.removeprefix(WORDFREQ)
        return _mean_over_words(lambda words: wordfreq_log_frequency(words, language), events)
    counts = read_counts(_table(config))
    return _mean_over_words(lambda words: log_frequency(words, counts), events)


def _position_in_run(events: pd.DataFrame, _: Config) -> np.ndarray:
    return events.groupby("run", sort=False).cumcount().to_numpy(float)


def _position_in_sentence(events: pd.DataFrame, _: Config) -> np.ndarray:
    if stimulus_column(events) == "sentence":
        raise Misaligned("position_in_sentence is for events with a column word; these are whole sentences")
    number = sentence_numbers(events)
    return pd.Series(number).groupby(number).cumcount().to_numpy(float)


def sentence_numbers(events: pd.DataFrame) -> np.ndarray:
    """Give the number of the sentence that each word is in, over all runs, shape (n_events,).

    By the column `sentence_id` where there is one, else a sentence ends with a word that ends with . ! ? or …, before
    closing quotes and brackets; "Mr." and the like do not end one.

    Raises
    ------
    Misaligned
        No such column and no such word, a word without `sentence_id`, or a sentence in pieces.
    """
    run = events["run"].to_numpy()
    if "sentence_id" in events:
        without = np.flatnonzero(events["sentence_id"].isna())
        if len(without):
            raise Misaligned(f"{len(without)} events have no sentence_id, the first is event {without[0]}")
        number = events.groupby(["run", "sentence_id"], sort=False).ngroup().to_numpy()
        _require_whole(number, events)
        return number
    ends = np.array([_ends_sentence(word) for word in events["word"]])
    if not ends.any():
        raise Misaligned(
            "events have no column sentence_id and no word ends with . ! or ?, so where sentences begin is not known;"
            " add sentence_id to the events, or do without position_in_sentence and contexts of sentences"
        )
    ended = pd.Series(ends).groupby(run, sort=False).cumsum().to_numpy()
    frame = pd.DataFrame({"run": run, "sentence": ended - ends})  # the word that ends a sentence belongs to it
    return frame.groupby(["run", "sentence"], sort=False).ngroup().to_numpy()


def _require_whole(number: np.ndarray, events: pd.DataFrame) -> None:
    """Refuse a sentence that goes on after another sentence of its run."""
    before = pd.Series(number).groupby(events["run"].to_numpy()).shift().to_numpy()  # nan at the beginning of a run
    starts = np.flatnonzero(number != before)
    again = starts[pd.Series(number[starts]).duplicated().to_numpy()]
    if len(again):
        event = events.iloc[again[0]]
        raise Misaligned(
            f"run {event['run']!r}: the sentence_id of event {again[0]} ({event['word']!r}) was that of earlier words,"
            " with another sentence in between; a sentence's words must follow each other"
        )


def _ends_sentence(word: str) -> bool:
    stripped = word.strip().rstrip(CLOSING)
    return stripped.endswith(SENTENCE_ENDS) and word_key(stripped) not in ABBREVIATIONS


QUANTITIES = {
    "rate": _rate,
    "length": _length,
    "log_frequency": _log_frequency,
    "position_in_sentence": _position_in_sentence,
    "position_in_run": _position_in_run,
}
