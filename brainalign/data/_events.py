"""Tables of events: the one reader, and the checks that every table of events goes through."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.arrays import read_tsv
from brainalign.errors import Misaligned, MissingData

log = logging.getLogger(__name__)

TIMES = ("onset", "duration")
STIMULI = ("word", "sentence")
LONGEST_WORD = 20.0  # s
LARGE_GAP = 20.0  # s
PLACE = "_place"  # of an event in its source; a column only while events are checked


def read_events(
    path: Path,
    *,
    required: tuple[str, ...] = ("word",),
    run: str | None = None,
    recorded: float | Mapping[str, float] | None = None,
    n_expected: int | None = None,
) -> pd.DataFrame:
    """Read a BIDS-like table of events and check it.

    Parameters
    ----------
    path : Path
        TSV with `onset`, `duration` (s), `run` and the required columns. Words `null`, `NA`, `nan` are words.
    required : tuple of str
        Columns needed beside `run`, `onset` and `duration`.
    run : str, optional
        The run's label for a file without a column `run`.
    recorded : float or mapping of run to float, optional
        Length of the recording (s), to find events beyond it.
    n_expected : int, optional
        Number of events the file must have: a file cut at the end of a line looks whole.

    Returns
    -------
    events : DataFrame
        `run` (str), `onset`, `duration` (float, s), then the other columns; in order of time within each run.

    Raises
    ------
    MissingData
        The file is absent or malformed, a column is missing, or it has another number of events.
    Misaligned
        A time is missing, negative, no number, double, beyond the recording, or not in seconds.
    """
    path = Path(path)
    events = read_tsv(path)
    if run is not None and "run" not in events:
        events.insert(0, "run", pd.Series([run] * len(events), dtype=str))
    require_columns(events, ("run", *TIMES, *required), path)
    if n_expected is not None and len(events) != n_expected:
        raise MissingData(f"{path}: {len(events)} events, {n_expected} expected; the file may be cut")
    return check_events(events, str(path), recorded=recorded, lines=lines_of(path))


def check_events(
    events: pd.DataFrame,
    source: str,
    *,
    recorded: float | Mapping[str, float] | None = None,
    lines: list[int] | None = None,
) -> pd.DataFrame:
    """Check the times and texts of events, and put each run in order of time, saying so.

    Parameters
    ----------
    events : DataFrame
        With `run`, `onset`, `duration` (s).
    source : str
        Where they come from, for the errors.
    recorded : float or mapping of run to float, optional
        Length of the recording (s).
    lines : list of int, optional
        Line of each event in its file, for the errors.

    Returns
    -------
    events : DataFrame
        `run, onset, duration` first; runs in order of appearance.

    Raises
    ------
    Misaligned
        A time is missing, negative, no number, double, beyond the recording, or not in seconds; a word is empty.
    """
    events = events.reset_index(drop=True).copy()
    events[PLACE] = [f"line {i}" for i in lines] if lines else [f"event {i}" for i in range(1, len(events) + 1)]
    require_columns(events, ("run", *TIMES), source)
    for name in TIMES:
        events[name] = _seconds(events, name, source)
    for name in ("run", *(stimulus for stimulus in STIMULI if stimulus in events)):
        _refuse(events, events[name].astype(str).str.strip() == "", f"{name} is empty", source)
    _refuse_other_units(events, recorded, source)
    _refuse_beyond(events, recorded, source)
    events = _in_order(events, source)
    again = events.duplicated(["run", "onset"], keep="first")
    _refuse(events, again, "a second event with the same onset in the same run; each event needs its own", source)
    first = ["run", *TIMES]
    return events[first + [name for name in events if name not in (*first, PLACE)]]


def lines_of(path: Path) -> list[int]:
    """Give the line of each row, the header being line 1; empty lines are no rows."""
    lines = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")
    return [i_line for i_line, line in enumerate(lines, start=1) if line][1:]


def require_columns(events: pd.DataFrame, required: tuple[str, ...], source: str | Path) -> None:
    missing = [name for name in required if name not in events]
    if not missing:
        return
    found = [str(name) for name in events]
    hint = ""
    if len(found) == 1 and any(mark in found[0] for mark in (",", ";", " ")):
        hint = "; the header is one cell: separate the cells by tabs"
    elif spaced := [name for name in found if name != name.strip() and name.strip() in missing]:
        hint = f"; there are extra spaces in {spaced}"
    elif near := [name for name in found if name.lower() in missing]:
        hint = f"; names are lower case, got {near}"
    raise MissingData(f"{source}: column {missing} missing, the columns are {found}{hint}")


def _refuse(events: pd.DataFrame, bad: pd.Series | np.ndarray, what: str, source: str) -> None:
    """Raise for the first bad event, with its line and how many there are."""
    bad = np.asarray(bad, dtype=bool)
    if not bad.any():
        return
    first = events[bad].iloc[0]
    shown = ", ".join(f"{name} {first[name]}" for name in ("run", *TIMES, *STIMULI) if name in events)
    others = f" ({bad.sum()} events like it)" if bad.sum() > 1 else ""
    raise Misaligned(f"{source}, {first[PLACE]}: {what}{others}: {shown}")


def _seconds(events: pd.DataFrame, name: str, source: str) -> pd.Series:
    """Turn a column of times into floats that are finite and not negative."""
    raw = events[name]
    seconds = pd.to_numeric(raw, errors="coerce").astype(float)
    stated = raw.astype(str).str.strip().str.lower()
    absent = raw.isna() | stated.isin(["", "nan", "n/a", "na", "null", "none"])
    _refuse(events, absent, f"{name} is missing", source)
    _refuse(events, seconds.isna(), f"{name} is not a number (the decimal mark is a point)", source)
    _refuse(events, ~np.isfinite(seconds), f"{name} is not finite", source)
    _refuse(events, seconds < 0, f"{name} is negative; times count from the first sample of the run", source)
    return seconds


def _lengths(events: pd.DataFrame, recorded: float | Mapping[str, float] | None, source: str) -> pd.Series:
    """Give the length of the recording for each event (s), infinite where it is not known."""
    if recorded is None:
        return pd.Series(np.inf, index=events.index)
    if not isinstance(recorded, Mapping):
        return pd.Series(float(recorded), index=events.index)
    lengths = events["run"].map(dict(recorded)).astype(float)
    _refuse(events, lengths.isna(), f"no recording of this run; recorded: {sorted(recorded)}", source)
    return lengths


def _refuse_beyond(events: pd.DataFrame, recorded: float | Mapping[str, float] | None, source: str) -> None:
    lengths = _lengths(events, recorded, source)
    beyond = events["onset"] >= lengths
    length = lengths[beyond].iloc[0] if beyond.any() else np.inf
    _refuse(events, beyond, f"onset beyond the recording, which is {length:g} s long", source)


def _refuse_other_units(events: pd.DataFrame, recorded: float | Mapping[str, float] | None, source: str) -> None:
    """Refuse milliseconds and samples: most onsets beyond the recording, or no way for a word to be that long."""
    if not len(events):
        return
    beyond = (events["onset"] >= _lengths(events, recorded, source)).mean()
    gap = events.groupby("run", sort=False)["onset"].apply(lambda onset: onset.sort_values().diff().median()).median()
    fraction = (events["onset"] % 1).round(6).value_counts(normalize=True).iloc[0]
    signs = {
        f"{beyond:.0%} of the onsets are beyond the recording": beyond > 0.5,
        f"the median duration of a word is {events['duration'].median():g} s": "word" in events
        and events["duration"].median() > LONGEST_WORD,
        f"{fraction:.0%} of the onsets have the same decimals and a word comes every {gap:g} s": "word" in events
        and fraction > 0.95
        and gap > LARGE_GAP,
    }
    found = [sign for sign, present in signs.items() if present]
    if found:
        raise Misaligned(
            f"{source}: the times look like milliseconds or samples, they must be seconds: {'; '.join(found)}"
        )


def _in_order(events: pd.DataFrame, source: str) -> pd.DataFrame:
    """Put runs in order of appearance and events in order of time, and log when that moves anything."""
    appearance = pd.factorize(events["run"])[0]
    order = np.lexsort((events["onset"].to_numpy(), appearance))
    moved = order != np.arange(len(order))
    if moved.any():
        place = events[PLACE].to_numpy()[moved][0]
        log.warning("%s: %d events were not in order of time (the first: %s); sorted", source, moved.sum(), place)
    return events.iloc[order].reset_index(drop=True)
