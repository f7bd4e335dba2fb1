"""Arrays that know what their rows and columns are, and refuse to be combined when they do not belong together."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from brainalign.errors import Misaligned, MissingData
from brainalign.files import sha256_of

TEXT_COLUMNS = (
    "word",
    "sentence",
    "subject",
    "target",
    "run",
    "roi",
    "image",
    "video",
    "audio",
    "phones",
    "layer",
    "unit",
)


def read_tsv(path: Path, *, dtype: dict[str, Any] | None = None, na_values: tuple[str, ...] = ("n/a",)) -> pd.DataFrame:
    """Read a TSV as it was written: the words `null`, `NA` and `nan` stay words, a lone quote swallows nothing.

    Parameters
    ----------
    path : Path
        A UTF-8 file with a header line; a byte-order mark and CRLF line ends are accepted.
    dtype : dict, optional
        Column name to dtype. The columns of `TEXT_COLUMNS` are text unless said otherwise.
    na_values : tuple of str
        What counts as missing in columns that are not text; BIDS writes `n/a`.

    Returns
    -------
    table : DataFrame

    Raises
    ------
    MissingData
        The file is absent, empty, not UTF-8, or a line has another number of cells than the header.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingData(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise MissingData(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines or not lines[0].strip():
        raise MissingData(f"{path}: no header line")
    header = lines[0].split("\t")
    for i_line, line in enumerate(lines[1:], start=2):
        if line and line.count("\t") != len(header) - 1:
            raise MissingData(
                f"{path}, line {i_line}: {line.count(chr(9)) + 1} cells, the header has {len(header)}"
                " (cells are separated by tabs; the file may be cut)"
            )
    texts = {name: str for name in header if name in TEXT_COLUMNS}
    return pd.read_csv(
        path,
        sep="\t",
        encoding="utf-8-sig",
        quoting=csv.QUOTE_NONE,
        keep_default_na=False,
        na_values={name: list(na_values) for name in header if name not in texts},
        dtype={**texts, **(dtype or {})},
    )


def write_tsv(table: pd.DataFrame, path: Path) -> None:
    """Write a table that `read_tsv` reads back unchanged; missing values are empty cells.

    Raises
    ------
    Misaligned
        A cell holds a tab or a line break, which a TSV cannot.
    """
    for name in table.columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            broken = table[name].astype(str).str.contains(r"[\t\r\n]", regex=True)
            if broken.any():
                i_row = int(np.flatnonzero(broken)[0])
                raise Misaligned(
                    f"{path}: column {name!r}, row {i_row} holds a tab or a line break: {table[name].iloc[i_row]!r}"
                )
    table.to_csv(path, sep="\t", index=False, quoting=csv.QUOTE_NONE, quotechar="\x00", na_rep="", lineterminator="\n")


def _dtypes(table: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) if pd.api.types.is_numeric_dtype(dtype) else "str" for name, dtype in table.dtypes.items()}


@dataclass(frozen=True, eq=False)
class LabelledArray:
    """A matrix with a table for its rows, a table for its columns, and where it came from.

    Parameters
    ----------
    values : array of shape (n_rows, n_columns)
    rows : DataFrame of n_rows rows
        What each row of `values` is.
    columns : DataFrame of n_columns rows
        What each column of `values` is.
    provenance : dict
        JSON-able: settings, inputs and their hashes.

    Raises
    ------
    Misaligned
        The tables do not fit the matrix, or a required column is missing.
    """

    values: np.ndarray
    rows: pd.DataFrame
    columns: pd.DataFrame
    provenance: dict[str, Any] = field(default_factory=dict)

    required_rows: ClassVar[tuple[str, ...]] = ()
    required_columns: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        kind = type(self).__name__
        if self.values.ndim != 2:
            raise Misaligned(f"{kind}: values must be 2-D, got shape {self.values.shape}")
        for axis, table, n in (("rows", self.rows, len(self.values)), ("columns", self.columns, self.values.shape[1])):
            if len(table) != n:
                raise Misaligned(f"{kind}: values have {n} {axis}, the table of {axis} has {len(table)}")
            missing = [name for name in getattr(self, f"required_{axis}") if name not in table]
            if missing:
                raise Misaligned(f"{kind}: the table of {axis} lacks {missing}; it has {list(table.columns)}")
        object.__setattr__(self, "rows", self.rows.reset_index(drop=True))
        object.__setattr__(self, "columns", self.columns.reset_index(drop=True))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.values.shape

    def take_columns(self, keep: np.ndarray) -> Self:
        """Give the array with the columns that a boolean mask or integer index selects."""
        return type(self)(
            self.values[:, keep], self.rows, self.columns.iloc[np.arange(self.shape[1])[keep]], self.provenance
        )

    def take_rows(self, keep: np.ndarray) -> Self:
        """Give the array with the rows that a boolean mask or integer index selects."""
        return type(self)(
            self.values[keep], self.rows.iloc[np.arange(len(self.values))[keep]], self.columns, self.provenance
        )

    def save(self, folder: Path) -> None:
        """Write `values.npy`, `rows.tsv`, `columns.tsv` and `provenance.json` (with their sha256) into a folder.

        Raises
        ------
        Misaligned
            A value is not finite: half-computed and overflowed arrays never reach the disk.
        """
        folder = Path(folder)
        bad = np.argwhere(~np.isfinite(self.values))
        if len(bad):
            i, j = bad[0]
            raise Misaligned(
                f"{folder}: {len(bad)} values are not finite, the first in row {self.rows.iloc[i].to_dict()}, "
                f"column {self.columns.iloc[j].to_dict()}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "values.npy", np.ascontiguousarray(self.values), allow_pickle=False)
        write_tsv(self.rows, folder / "rows.tsv")
        write_tsv(self.columns, folder / "columns.tsv")
        sidecar = {
            "type": type(self).__name__,
            "dtypes": {"rows": _dtypes(self.rows), "columns": _dtypes(self.columns)},
            "sha256": {name: sha256_of(folder / name) for name in ("values.npy", "rows.tsv", "columns.tsv")},
            "provenance": self.provenance,
        }
        (folder / "provenance.json").write_text(json.dumps(sidecar, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved array; `values` stay on disk (memory map) until they are used.

        Raises
        ------
        MissingData
            A file is absent or is not the one that was saved.
        Misaligned
            The folder holds another type.
        """
        folder = Path(folder)
        try:
            sidecar = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise MissingData(f"{folder}: no provenance.json; this is not a saved {cls.__name__}") from None
        if sidecar["type"] != cls.__name__:
            raise Misaligned(f"{folder} holds {sidecar['type']}, not {cls.__name__}")
        for name, expected in sidecar["sha256"].items():
            if not (folder / name).exists():
                raise MissingData(f"{folder / name}: missing")
            if (got := sha256_of(folder / name)) != expected:
                raise MissingData(f"{folder / name}: changed since it was saved (sha256 {got}, expected {expected})")
        tables = {
            axis: read_tsv(folder / f"{axis}.tsv", dtype=sidecar["dtypes"][axis], na_values=("",))
            for axis in ("rows", "columns")
        }
        values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
        return cls(values, tables["rows"], tables["columns"], sidecar["provenance"])

    def to_frame(self) -> pd.DataFrame:
        """Give a DataFrame of the values whose index and columns are the two tables as MultiIndex."""
        return pd.DataFrame(
            self.values, index=pd.MultiIndex.from_frame(self.rows), columns=pd.MultiIndex.from_frame(self.columns)
        )

    def to_xarray(self):
        """Give an `xarray.DataArray` (n_rows, n_columns) with the tables as coordinates; needs xarray installed."""
        import xarray

        coordinates = {name: ("row", self.rows[name].to_numpy()) for name in self.rows}
        coordinates |= {
            (f"column_{name}" if name in coordinates else name): ("column", self.columns[name].to_numpy())
            for name in self.columns
        }
        return xarray.DataArray(np.asarray(self.values), dims=("row", "column"), coords=coordinates)


class Activations(LabelledArray):
    """A model's values for events: rows `run, onset, duration` (s), columns `layer, unit`; float32."""

    required_rows: ClassVar[tuple[str, ...]] = ("run", "onset", "duration")
    required_columns: ClassVar[tuple[str, ...]] = ("layer", "unit")


class Responses(LabelledArray):
    """A recording: rows `run, time, duration` (s; a sample covers [time, time + duration)), columns `subject, target`.

    A column `noise_ceiling` (with `ceiling_kind`) may carry a published ceiling in r. Where every sample is the
    response to one event (a sentence, an image), `rows` has `event`, the position of that event among the events.
    """

    required_rows: ClassVar[tuple[str, ...]] = ("run", "time", "duration")
    required_columns: ClassVar[tuple[str, ...]] = ("subject", "target")


@dataclass(frozen=True, eq=False)
class Recording:
    """People who were shown the same events, and what was recorded from them.

    Parameters
    ----------
    events : DataFrame
        One row per stimulus presentation: `run`, `onset`, `duration` (s) and what it was (`word` or `sentence`, ...).
    responses : Responses
        All subjects side by side, on one clock.
    participants : DataFrame, optional
        One row per subject: `subject` and whatever is known of them.
    series : DataFrame, optional
        What the data set knows of the stimulus on a clock of its own, such as the power of its sound: `run`, `onset`,
        `duration` (s) and columns of numbers.
    """

    events: pd.DataFrame
    responses: Responses
    participants: pd.DataFrame | None = None
    series: pd.DataFrame | None = None

    def __post_init__(self):
        unknown = set(self.events["run"]) - set(self.responses.rows["run"])
        if unknown:
            raise Misaligned(
                f"events of run {sorted(unknown)} have no responses; runs recorded: "
                f"{sorted(set(self.responses.rows['run']))}"
            )


class Rdms(LabelledArray):
    """Representational dissimilarity matrices (RDMs), one per row.

    Rows say whose or what they are of; columns `first, second`: positions of the two stimuli among the events, in the
    order of `scipy.spatial.distance.squareform` and of `compare.rsa`.
    """

    required_columns: ClassVar[tuple[str, ...]] = ("first", "second")


@dataclass(frozen=True, eq=False)
class Dissimilarities:
    """How dissimilar stimuli are to brains, where the data are published as RDMs and there is no recording.

    Parameters
    ----------
    events : DataFrame
        One row per stimulus: `run`, `onset`, `duration` and what it was (`image`, ...).
    brains : Rdms
        Rows `target` (a brain area), `subject` and `session`.
    models : Rdms, optional
        Of models that were published with the data: rows `name`.
    """

    events: pd.DataFrame
    brains: Rdms
    models: Rdms | None = None

    def __post_init__(self):
        n_pairs = len(self.events) * (len(self.events) - 1) // 2
        for rdms in filter(None, (self.brains, self.models)):
            if rdms.shape[1] != n_pairs:
                raise Misaligned(f"{len(self.events)} stimuli have {n_pairs} pairs, the RDMs have {rdms.shape[1]}")
        missing = [name for name in ("target", "subject", "session") if name not in self.brains.rows]
        if missing:
            raise Misaligned(f"the RDMs of brains lack {missing}; their rows have {list(self.brains.rows)}")
