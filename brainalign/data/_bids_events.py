"""The events of one BIDS run: which rows of events.tsv are stimuli, what their columns are called here, which files."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from brainalign.arrays import read_tsv
from brainalign.data._events import TIMES, check_events, lines_of, require_columns
from brainalign.errors import MissingData, did_you_mean

log = logging.getLogger(__name__)

STIMULUS_FILES = ("image", "audio", "video")
KIND = "trial_type"  # the column that says what a row is, in BIDS


def read_run_events(
    path: Path,
    *,
    run: str,
    rename: Mapping[str, str],
    keep: Mapping[str, tuple[str, ...]],
    stimuli: Path,
) -> pd.DataFrame:
    """Read the events of one run.

    Parameters
    ----------
    path : Path
        events.tsv.
    run : str
        The run's name.
    rename : dict
        Name here to the name in the file: {"word": "value", "image": "stim_file"}. What is renamed is text.
    keep : dict
        Column of the file to the cells that are kept: {"trial_type": ("word",)}.
    stimuli : Path
        Folder that the cells of `image`, `audio` and `video` are paths below.

    Returns
    -------
    events : DataFrame
        `run`, `onset`, `duration` (s from the first sample), then the other columns; files as absolute paths; in order
        of time. Rows that annotate a span as bad (`trial_type` begins with "BAD") are no events.

    Raises
    ------
    MissingData
        The file is absent or malformed, a column or a stimulus file is missing, or no row is kept.
    Misaligned
        A time is missing, negative, no number or double; a stimulus is n/a.
    """
    table = _read(path, run, rename, keep)
    for name in STIMULUS_FILES:
        if name in table:
            table[name] = _stimulus_files(table[name], stimuli, str(path))
    lines = table.pop("_line")
    return check_events(table, str(path), lines=list(lines))


def _read(path: Path, run: str, rename: Mapping[str, str], keep: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Read the rows that are stimuli, with `_line` of the file, and name their columns as here."""
    texts = dict.fromkeys((KIND, *rename.values(), *keep), str)
    times = tuple(rename.get(time, time) for time in TIMES)
    for time in times:
        texts.pop(time, None)
    table = read_tsv(path, dtype=texts)
    require_columns(table, times, path)
    table["_line"] = lines_of(path)
    _require(table, (*rename.values(), *keep), path)
    kept = pd.Series(True, index=table.index)
    if KIND in table:
        kept &= ~table[KIND].fillna("").str.lower().str.startswith("bad")
    for name, cells in keep.items():
        kept &= table[name].isin(cells)
        if not table[name].isin(cells).any():
            there = sorted(table[name].dropna().unique())[:12]
            raise MissingData(f"{path}: no row has {name} {' or '.join(map(repr, cells))}; there are {there}")
    if not kept.all():
        log.info("%s: %d of %d rows are events", path, kept.sum(), len(table))
    if not kept.any():
        raise MissingData(f"{path}: {len(table)} rows, none of them an event")
    table = table[kept].drop(columns="run", errors="ignore")
    if twice := [name for name, theirs in rename.items() if name in table and name != theirs]:
        raise MissingData(f"{path}: {twice} is already the name of a column; leave it out of `columns`")
    table = table.rename(columns={theirs: name for name, theirs in rename.items()})
    for name in rename:
        if table[name].isna().any():
            line = table["_line"][table[name].isna()].iloc[0]
            raise MissingData(f"{path}, line {line}: {name} is n/a; choose the rows that are stimuli with `keep`")
    table.insert(0, "run", run)
    return table


def _require(table: pd.DataFrame, names: tuple[str, ...], path: Path) -> None:
    known = [str(name) for name in table if name != "_line"]
    for name in names:
        if name not in known:
            raise MissingData(f"{path}: no column {name!r}{did_you_mean(name, known)}; the columns are {known}")


def _stimulus_files(cells: pd.Series, folder: Path, source: str) -> pd.Series:
    """Make the names of stimuli absolute paths, and list all that are missing at once."""
    names = {name: folder / name for name in cells.unique()}
    missing = [f"  {path}{_same_but_for_case(path)}" for path in names.values() if not path.is_file()]
    if missing:
        shown = "\n".join(missing[:20]) + (f"\n  and {len(missing) - 20} more" if len(missing) > 20 else "")
        raise MissingData(f"{source}: {len(missing)} of {len(names)} stimulus files are missing:\n{shown}")
    return cells.map({name: str(path.resolve()) for name, path in names.items()})


def _same_but_for_case(path: Path) -> str:
    """Say what is there instead."""
    if path.is_symlink():
        return f" (broken link to {path.readlink()})"
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    same = [name for name in siblings if name.lower() == path.name.lower()]
    return f" (there is {same[0]!r})" if same else ""
