"""Praat TextGrids: who or what is heard from when to when."""

import re
from pathlib import Path

import pandas as pd

from brainalign.errors import MissingData

_FIELD = re.compile(
    r'^[ \t]*(class|name|xmin|xmax|text|intervals: size)[ \t]*=[ \t]*("(?:[^"]|"")*"|[^"\s]+)', re.MULTILINE
)
_N_TIERS = re.compile(r"^[ \t]*size[ \t]*=[ \t]*(\d+)", re.MULTILINE)


def read_textgrid(path: Path) -> dict[str, pd.DataFrame]:
    """Read the interval tiers of a TextGrid in Praat's long text format.

    Parameters
    ----------
    path : Path
        UTF-8, or UTF-16 with a byte-order mark, as Praat writes it.

    Returns
    -------
    tiers : dict of str to DataFrame
        Name of the tier to its intervals in order: `start`, `end` (s), `label` (spaces around it removed; empty where
        nothing was written). Point tiers are not read.

    Raises
    ------
    MissingData
        The file is absent, is not a long TextGrid, is cut, or its intervals overlap, run backwards or lack a time.

    References
    ----------
    Praat manual, "TextGrid file formats".
    """
    path = Path(path)
    text = _decoded(path)
    if 'Object class = "TextGrid"' not in text[:200] or "item []:" not in text:
        raise MissingData(f"{path}: not a TextGrid in long text format; in Praat: Save as text file...")
    tiers, found, announced = {}, _tiers(text), _N_TIERS.search(text)
    for kind, name, size, intervals in found:
        if kind != "IntervalTier":
            continue
        if name in tiers:
            raise MissingData(f"{path}: two tiers are called {name!r}")
        tiers[name] = _checked(intervals, size, f"{path}, tier {name!r}")
    if announced is None or int(announced[1]) != len(found):
        raise MissingData(
            f"{path}: {announced[1] if announced else 'no'} tiers announced, {len(found)} found; the file is cut"
        )
    return tiers


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise MissingData(f"{path}: no such file") from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise MissingData(f"{path}: not {encoding.upper()} at byte {error.start}") from None


def _tiers(text: str) -> list[tuple[str, str, int, list[tuple[str, ...]]]]:
    """Cut the fields of a file into tiers: class, name, number of intervals promised, and their raw fields."""
    tiers = []
    for key, value in _FIELD.findall(text):
        if key == "class":
            tiers.append([_unquoted(value), "", 0, []])
        elif key == "name" and tiers:
            tiers[-1][1] = _unquoted(value)
        elif key == "intervals: size" and tiers:
            tiers[-1][2] = int(value)
            tiers[-1][3] = []  # the tier's own xmin and xmax stand before
        elif tiers:
            tiers[-1][3].append((key, value))
    return [tuple(tier) for tier in tiers]


def _unquoted(value: str) -> str:
    return value[1:-1].replace('""', '"')


def _checked(fields: list[tuple[str, str]], size: int, where: str) -> pd.DataFrame:
    """Make the table of one tier from its fields in threes: xmin, xmax, text."""
    keys = [key for key, _ in fields]
    if len(fields) != 3 * size or keys != ["xmin", "xmax", "text"] * size:
        raise MissingData(
            f"{where}: {size} intervals announced, {keys.count('text')} complete ones found; the file is cut"
        )
    values = [value for _, value in fields]
    tier = pd.DataFrame(
        {
            "start": pd.to_numeric(pd.Series(values[0::3], dtype=str), errors="coerce").astype(float),
            "end": pd.to_numeric(pd.Series(values[1::3], dtype=str), errors="coerce").astype(float),
            "label": pd.Series([_unquoted(value).strip() for value in values[2::3]], dtype=str),
        }
    )
    wrong = ~(tier["end"] > tier["start"]) | (tier["start"] < tier["end"].shift(fill_value=float("-inf")))
    if wrong.any():
        i_interval = int(wrong.to_numpy().argmax())
        xmin, xmax, _ = values[3 * i_interval : 3 * i_interval + 3]
        raise MissingData(
            f"{where}: interval {i_interval + 1} from {xmin} to {xmax} overlaps, has no length, or its times are no"
            " numbers"
        )
    return tier
