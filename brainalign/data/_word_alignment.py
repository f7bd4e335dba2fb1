"""Words and when they are heard: forced alignments by gentle, words without times, words outside of a recording.

References
----------
Gentle, a robust yet lenient forced aligner built on Kaldi: github.com/lowerquality/gentle (`align.json`, `align.csv`).
"""

import csv
import json
import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.data._content import require_content
from brainalign.data._events import check_events
from brainalign.errors import Misaligned, MissingData

log = logging.getLogger(__name__)

FOUND = "success"
NOT_FOUND = "not-found-in-audio"
ONLY_HEARD = "not-found-in-transcript"  # disfluencies; gentle's CSV does not have them either
N_SHOWN = 8
MOST_IMPOSSIBLE = 0.01  # share of the words whose times may run backwards: more is no slip but another order


def read_gentle(path: Path) -> pd.DataFrame:
    """Read an alignment that gentle wrote.

    Parameters
    ----------
    path : Path
        `align.json`, or `align.csv`: word, aligned word, start, end, without a header.

    Returns
    -------
    words : DataFrame
        `word`, `start`, `end` (s in the sound; NaN where gentle did not find the word). Of the JSON, words have the
        punctuation that follows them in the transcript; the CSV has none.

    Raises
    ------
    MissingData
        The file is absent, is a stub, is cut or is no such alignment.
    """
    path = Path(path)
    require_content(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MissingData(f"{path}: not UTF-8 at byte {error.start}") from None
    rows = _of_json(text, path) if path.suffix == ".json" else _of_csv(text, path)
    if not rows:
        raise MissingData(f"{path}: no words")
    words = pd.DataFrame(rows, columns=["word", "start", "end"])
    return words.astype({"word": str, "start": float, "end": float})


def _of_csv(text: str, path: Path) -> list[tuple]:
    rows = []
    for i_line, cells in enumerate(csv.reader(text.splitlines()), start=1):
        try:
            word, _, start, end = cells
            rows.append((word, float(start or "nan"), float(end or "nan")))
        except ValueError:
            raise MissingData(f"{path}, line {i_line}: expected word, aligned word, start, end; got {cells}") from None
    return rows


def _of_json(text: str, path: Path) -> list[tuple]:
    try:
        alignment = json.loads(text)
        transcript, entries = alignment["transcript"], alignment["words"]
        rows = []
        for entry in entries:
            if entry["case"] == ONLY_HEARD:
                continue
            found = {FOUND: True, NOT_FOUND: False}[entry["case"]]
            stop = entry["endOffset"]
            if transcript[entry["startOffset"] : stop] != entry["word"]:
                raise MissingData(f"{path}: {entry['word']!r} is not in the transcript at {entry['startOffset']}")
            times = (float(entry["start"]), float(entry["end"])) if found else (np.nan, np.nan)
            rows.append((entry["word"] + _punctuation(transcript, stop), *times))
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, MissingData):
            raise
        said = f"{type(error).__name__}: {error}"
        raise MissingData(f"{path}: not an alignment by gentle, or cut ({said})") from None
    return rows


def _punctuation(transcript: str, position: int) -> str:
    """Give what follows a word before the next space or letter."""
    return re.match(r"[^\w\s]*", transcript[position:])[0]


def timed_words(words: pd.DataFrame, source: str, *, untimed: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give every word a time, or leave out those without.

    A word that does not end after it starts, while the next one does start after it, ends where the next one starts.
    A word has no usable time where it has none, does not end after it starts, or does not start after the word before.
    Its start and its end are then interpolated, linearly by position, between those of its timed neighbours.

    Parameters
    ----------
    words : DataFrame
        `word`, `start`, `end` (s), in the order of the text, and further columns.
    source : str
        For the errors.
    untimed : {"interpolate", "leave_out"}

    Returns
    -------
    words : DataFrame
        `word`, `start`, `end`, `interpolated` (bool), the further columns. Words before the first and after the last
        timed one are left out.
    counts : dict
        `n_words` (given), `n_ends_mended`, `n_without_time`, `n_impossible_times` (of those that had one),
        `n_interpolated`, `n_untimed_left_out`.

    Raises
    ------
    Misaligned
        Fewer than two words have a time, or more than 1 % of them (and more than 3) have an impossible one.
    """
    start, end = words["start"].to_numpy(float), words["end"].to_numpy(float)
    following = np.append(start[1:], np.nan)
    mended = (end <= start) & (following > start)  # NaN compares false
    end = np.where(mended, following, end)
    timed = np.zeros(len(words), dtype=bool)
    latest = -np.inf
    for i in range(len(words)):
        timed[i] = end[i] > start[i] > latest
        latest = start[i] if timed[i] else latest
    position = np.flatnonzero(timed)
    if len(position) < 2:
        raise Misaligned(f"{source}: {len(position)} of {len(words)} words have a time that is possible")
    impossible = ~timed & np.isfinite(start)
    if impossible.sum() > max(3, MOST_IMPOSSIBLE * len(words)):
        i_word = int(np.flatnonzero(impossible)[0])
        raise Misaligned(
            f"{source}: {impossible.sum()} of {len(words)} words do not end after they start or do not start after the "
            f"word before; the first is word {i_word + 1}, {words['word'].iloc[i_word]!r}, {start[i_word]:g} to "
            f"{end[i_word]:g} s"
        )
    everywhere = np.arange(len(words))
    inside = (everywhere >= position[0]) & (everywhere <= position[-1])
    kept = inside if untimed == "interpolate" else timed
    given = words.assign(
        start=np.interp(everywhere, position, start[timed]),
        end=np.interp(everywhere, position, end[timed]),
        interpolated=~timed,
    )[kept].reset_index(drop=True)
    if not timed.all():
        shown = ", ".join(words["word"][~timed].astype(str).head(N_SHOWN))
        log.warning("%s: %d of %d words have no usable time: %s", source, (~timed).sum(), len(words), shown)
    return given, {
        "n_words": len(words),
        "n_ends_mended": int(mended.sum()),
        "n_without_time": int((~timed).sum()),
        "n_impossible_times": int(impossible.sum()),
        "n_interpolated": int(given["interpolated"].sum()),
        "n_untimed_left_out": int((~kept).sum()),
    }


def words_in_recording(
    words: pd.DataFrame, source: str, *, run: str, shift: float, seconds: float, late_tolerance: float
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Put words on the clock of a recording and leave out those that begin outside of it.

    onset = start + shift

    Parameters
    ----------
    words : DataFrame
        `word`, `start`, `end` (s in the sound), and further columns, from `timed_words`.
    source : str
        For the errors.
    run : str
    shift : float
        When the sound begins, s from volume 0; negative where the recording begins later.
    seconds : float
        Length of the recording.
    late_tolerance : float
        s after the end of the recording at which words may begin and are left out; later ones are an error.

    Returns
    -------
    events : DataFrame
        `run`, `onset`, `duration` (s), `word`, the further columns.
    counts : dict
        `n_before_recording`, `n_after_recording`, `n_events`.

    Raises
    ------
    Misaligned
        Words begin more than `late_tolerance` after the end, or none is in the recording: another story, or a recording
        that is cut.
    """
    onset = words["start"].to_numpy() + shift
    before, after = onset < 0, onset >= seconds
    late = onset.max() - seconds
    if late > late_tolerance or (before | after).all():
        raise Misaligned(
            f"{source}: the last of {len(words)} words begins at {onset.max():.2f} s, the recording of {run} is "
            f"{seconds:g} s long ({after.sum()} words begin after its end): the words of another sound, or a recording "
            "that is cut"
        )
    inside = ~(before | after)
    events = words.assign(run=run, onset=onset, duration=words["end"] - words["start"])[inside]
    events = check_events(events.drop(columns=["start", "end"]), source, recorded=seconds)
    counts = {"n_before_recording": before.sum(), "n_after_recording": after.sum(), "n_events": inside.sum()}
    return events, {name: int(n) for name, n in counts.items()}
