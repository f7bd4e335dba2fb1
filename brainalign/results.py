"""A results folder: what a run writes into it, and what state it is in.

`config.toml` (as resolved), `provenance.json`, `cells/` (the store), `report.html`, and the tables of the method: of an
encoding experiment `scores.tsv`, of a comparison `similarities.tsv`, and beside them those that the report draws from.
"""

import inspect
import json
import logging
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from brainalign import __version__
from brainalign.arrays import read_tsv, write_tsv
from brainalign.config import Experiment, read_experiment, render
from brainalign.data import DATASETS
from brainalign.data._manifest import Manifest, in_bytes, load_manifest, manifest_names
from brainalign.errors import BrainalignError, MissingData
from brainalign.extract import EXTRACTORS
from brainalign.files import whole_file, write_file
from brainalign.jobs.run import Outcome, run_cells
from brainalign.jobs.signals import StopRequest
from brainalign.jobs.store import Store, problem_of
from brainalign.pipeline import METHODS
from brainalign.pipeline.packaged import analysis_files

log = logging.getLogger(__name__)

LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "transformers", "mne", "nilearn")
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
    method = METHODS[experiment.method]
    prepared = method.prepare(experiment, data_dir)
    store = Store(folder / "cells")
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
        Columns `cell state why`, the tables of results after the cells; a state is "finished", "missing", "damaged" (a
        file is missing or changed), or "stale" (finished, but its data, model, settings or the version of brainalign
        have changed since).
    """
    experiment = read_config(folder)
    prepared = METHODS[experiment.method].prepare(experiment, data_dir)
    store = Store(folder / "cells")
    rows, wanted = [], set()
    for cell in prepared.cells:
        wanted.add(cell.folder)
        problem = store.problem(cell) if store.has(cell) else None
        state = "missing" if not store.has(cell) else "damaged" if problem else "finished"
        rows.append({"cell": cell.folder, "state": state, "why": problem or ""})
    for name in store.finished():
        if name not in wanted:
            why = problem_of(store.root / name) or "no cell of the present data, models, settings and version"
            rows.append({"cell": name, "state": "stale", "why": why})
    rows += _table_states(folder, prepared)
    return pd.DataFrame(rows)


def _table_states(folder: Path, prepared) -> list[dict]:
    """State of every table: missing, or stale when it was written from other cells."""
    expected = {"cells": None, "tables": METHODS[prepared.experiment.method].TABLES}
    written = read_provenance(folder) if (folder / "provenance.json").exists() else expected
    states = []
    for name in (*(f"{table}.tsv" for table in written["tables"]), *TABLE_FILES):
        state = "missing" if not (folder / name).exists() else "finished"
        if state == "finished" and written["cells"] != [cell.folder for cell in prepared.cells]:
            state = "stale"
        states.append({"cell": name, "state": state, "why": "" if state == "finished" else "run again"})
    return states


def describe_data_set(name: str) -> str:
    """Title, citation, licence, facts and files of a data set, as text.

    Raises
    ------
    UnknownName
        No data set and no manifest has this name.
    """
    if name in DATASETS and name not in manifest_names():
        return f"{name}: {inspect.getdoc(DATASETS[name])}"
    manifest = load_manifest(name)
    lines = [
        f"{manifest.name}: {manifest.title}",
        f"citation: {manifest.citation}",
        f"doi: {manifest.doi}",
        f"licence: {manifest.licence}",
        *(f"note: {note}" for note in manifest.notes),
        *(f"left out by default: {who}: {why}" for who, why in manifest.exclusions.items()),
        *(f"{fact} = {value}" for fact, value in manifest.facts.items()),
        *(f"{what} = {published.value} [{published.source}]" for what, published in manifest.published.items()),
        f"{len(manifest.files)} files, {in_bytes(sum(file.bytes for file in manifest.files))}",
        *_more_files(manifest),
        "loader: " + ("yes" if name in DATASETS else "not yet"),
    ]
    return "\n".join(lines)


def _more_files(manifest: Manifest) -> list[str]:
    """Say what `fetch` gets only when it is asked for, and where the files are that it cannot get."""
    lines = []
    if manifest.listed:
        size = in_bytes(sum(file.bytes for file in manifest.listed))
        lines.append(f"{len(manifest.listed)} more files with --include PATTERN, {size} ({manifest.listing.source})")
    if manifest.deposit:
        lines.append(f"deposited at {manifest.deposit.url}: {manifest.deposit.terms}")
    return lines


def list_everything() -> str:
    """Names of data sets, extractors and packaged analyses."""
    return "\n".join(
        [
            f"data sets:  {', '.join(sorted({*DATASETS, *manifest_names()}))}",
            f"extractors: {', '.join(EXTRACTORS)}",
            f"analyses:   {', '.join(path.stem for path in analysis_files())}",
            "`brainalign info NAME` describes a data set, `brainalign init FILE --like ANALYSIS` writes an experiment",
        ]
    )
