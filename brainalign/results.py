"""A results folder: what a run writes into it, and what state it is in.

`config.toml` (as resolved), `provenance.json`, `cells/` (the store), `report.html`, and the tables of the method: of an
encoding experiment `scores.tsv`, of a comparison `similarities.tsv`, and beside them those that the report draws from.
"""

import json
import logging
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from brainalign import __version__
from brainalign.arrays import read_tsv, write_tsv
from brainalign.config import Experiment, read_experiment, render
from brainalign.data import DATASETS
from brainalign.data._manifest import load_manifest, manifest_names
from brainalign.errors import BrainalignError, MissingData
from brainalign.files import whole_file, write_file
from brainalign.jobs.run import Outcome, run_cells
from brainalign.jobs.signals import StopRequest
from brainalign.jobs.store import Store
from brainalign.pipeline import METHODS

log = logging.getLogger(__name__)

LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "transformers", "mne", "nilearn")
LEFT_OVER = "left over"
TABLE_FILES = ("provenance.json", "report.html")  # written after the tables
TEXT = (
    "subject", "family", "feature_space", "weights", "layer", "target", "metric", "comparison", "ceiling_kind", "run",
    "unit", "channel_type", "hemisphere", "roi", "shown", "told",
)  # fmt: skip


def run_experiment(
    experiment: Experiment,
    folder: Path,
    *,
    data_dir: Path | None = None,
    prepared: Any = None,
    overwrite: bool = False,
    stop: StopRequest | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Outcome:
    """Compute what is missing in a results folder and, when all cells are finished, write its tables.

    Parameters
    ----------
    experiment : Experiment
    folder : Path
        Made if absent.
    data_dir : Path, optional
        The folder that holds one folder per data set.
    prepared : optional
        The experiment as `pipeline.problems.check` has prepared it, whose data are then not loaded again.
    overwrite : bool
        Whether the folder may hold the results of another configuration; cells whose settings are the same are kept.
    stop, on_progress
        See `jobs.run.run_cells`.

    Raises
    ------
    BrainalignError
        The folder holds results of another configuration, or is the data folder.
    """
    _claim(folder, experiment, data_dir, overwrite)
    store = Store(folder / "cells")
    with store.in_use():
        method = METHODS[experiment.method]
        prepared = prepared or method.prepare(experiment, data_dir)
        compute = method.Computer(prepared, store)
        outcome = run_cells(compute, prepared.cells, store, stop=stop, on_progress=on_progress)
        log.info("%d cells computed, %d stored before", len(outcome.computed), len(outcome.stored))
        if outcome.complete:
            write_tables(prepared, store, folder)
    return outcome


def _claim(folder: Path, experiment: Experiment, data_dir: Path | None, overwrite: bool) -> None:
    """Write the resolved configuration into the folder unless it holds another one."""
    if data_dir is not None and folder.resolve().is_relative_to(Path(data_dir).resolve()):
        raise BrainalignError(f"--out {folder} lies in the data folder {data_dir}; results go elsewhere")
    config = folder / "config.toml"
    text = render(experiment.table())
    changed = config.exists() and config.read_text(encoding="utf-8") != text
    if changed and not overwrite:
        raise BrainalignError(
            f"{folder} holds the results of another configuration ({config}); give another --out, or --overwrite to "
            "replace its tables (finished cells whose settings are the same are kept)"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if changed:  # numbers of the other configuration go first, so that none is ever shown beside this one
            for name in (*TABLE_FILES, *(f"{table}.tsv" for method in METHODS.values() for table in method.TABLES)):
                (folder / name).unlink(missing_ok=True)
        write_file(config, text)
    except OSError as error:
        raise BrainalignError(f"cannot write into {folder}: {error}") from None


def write_tables(prepared, store: Store, folder: Path) -> None:
    """Write the tables and the provenance of a finished experiment."""
    tables = METHODS[prepared.experiment.method].tabulate(prepared, store.path)
    for name, table in tables.items():
        with whole_file(folder / f"{name}.tsv") as partial:
            write_tsv(table, partial)
    said = provenance(prepared) | {"tables": list(tables)}
    write_file(folder / "provenance.json", json.dumps(said, indent=1, sort_keys=True) + "\n")


def provenance(prepared) -> dict:
    """Say what the numbers came from: versions, hashes, seeds; the same for two equal runs."""
    return {
        "brainalign": __version__,
        "experiment": {
            "name": prepared.experiment.name,
            "sha256": prepared.experiment.key,
            "seed": prepared.experiment.seed,
        },
        "data": prepared.provenance,
        "citation": _citation(prepared.experiment.data.set),
        "extractions": {cell.name: cell.settings for cell in prepared.features.cells.values()},
        "cells": [cell.folder for cell in prepared.cells],
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _citation(data_set: str) -> str:
    if data_set in manifest_names():
        return load_manifest(data_set).citation
    return getattr(DATASETS[data_set], "CITATION", f"embedded data set {data_set!r} of brainalign")


def read_provenance(folder: Path) -> dict:
    """Read `provenance.json` of a results folder.

    Raises
    ------
    MissingData
        The run is not finished.
    """
    path = folder / "provenance.json"
    if not path.exists():
        raise MissingData(f"{path}: not there; did the run finish? See `brainalign status {folder}`")
    return json.loads(path.read_text(encoding="utf-8"))


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """Read one of the tables of a results folder.

    Raises
    ------
    MissingData
        The run is not finished.
    """
    path = folder / f"{name}.tsv"
    if not path.exists():
        raise MissingData(
            f"{path}: not there; is {folder} a results folder, and did the run finish? See `brainalign status`"
        )
    table = read_tsv(path, dtype=dict.fromkeys(TEXT, str), na_values=("",))
    return table.fillna({column: "" for column in TEXT if column in table})


def read_config(folder: Path) -> Experiment:
    """Read the experiment that a results folder holds.

    Raises
    ------
    MissingData
        It is no results folder.
    """
    if not (folder / "config.toml").exists():
        raise MissingData(f"{folder}: no config.toml; this is not a results folder")
    return read_experiment(folder / "config.toml")


def cell_states(folder: Path, *, data_dir: Path | None = None) -> pd.DataFrame:
    """State of every cell of a results folder.

    Returns
    -------
    states : DataFrame
        Columns `cell state why bytes`, the tables of results after the cells (`bytes` 0); a state is "finished",
        "missing", "damaged" (a file is missing or changed), "stale" (a table of other cells), or "left over": a cell
        of other data, models, settings or another version of brainalign, or half of one, which nothing here reads.
    """
    experiment = read_config(folder)
    prepared = METHODS[experiment.method].prepare(experiment, data_dir)
    store = Store(folder / "cells")
    rows = []
    for cell in prepared.cells:
        problem = store.problem(cell) if store.has(cell) else None
        state = "missing" if not store.has(cell) else "damaged" if problem else "finished"
        rows.append({"cell": cell.folder, "state": state, "why": problem or "", "bytes": store.bytes_of(cell.folder)})
    for name in store.others(prepared.cells):
        why = "of other data, models, settings or another version"
        rows.append({"cell": name, "state": LEFT_OVER, "why": why, "bytes": store.bytes_of(name)})
    rows += _table_states(folder, prepared)
    return pd.DataFrame(rows)


def remove_left_over(folder: Path, states: pd.DataFrame) -> None:
    """Remove the cells of a results folder that are left over from other settings, data or versions.

    Parameters
    ----------
    folder : Path
    states : DataFrame
        Of `cell_states`.

    Raises
    ------
    BrainalignError
        A cell or table of the present settings is not finished (with other data or another version of brainalign, what
        is left over may be all there is), or a run is going on in the folder, or went by since `states` were made.
    """
    unfinished = states[~states["state"].isin(["finished", LEFT_OVER])]
    if len(unfinished):
        raise BrainalignError(
            f"{folder}: {len(unfinished)} of what the present settings ask for is not finished, the first is "
            f"{unfinished['cell'].iloc[0]} ({unfinished['state'].iloc[0]}); run it to its end, then clean"
        )
    store, names = Store(folder / "cells"), states.loc[states["state"] == LEFT_OVER, "cell"]
    with store.alone():
        if set(names) & set(read_provenance(folder)["cells"]):
            raise BrainalignError(f"{folder}: another run went by since its cells were looked at; look again")
        for name in names:
            store.remove(name)


def _table_states(folder: Path, prepared) -> list[dict]:
    """State of every table: missing, or stale when it was written from other cells."""
    expected = {"cells": None, "tables": METHODS[prepared.experiment.method].TABLES}
    written = read_provenance(folder) if (folder / "provenance.json").exists() else expected
    states = []
    for name in (*(f"{table}.tsv" for table in written["tables"]), *TABLE_FILES):
        state = "missing" if not (folder / name).exists() else "finished"
        if state == "finished" and written["cells"] != [cell.folder for cell in prepared.cells]:
            state = "stale"
        why = "" if state == "finished" else "run again"
        states.append({"cell": name, "state": state, "why": why, "bytes": 0})
    return states
