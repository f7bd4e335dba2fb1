"""A results folder: what a run writes into it, and what state it is in.

`scores.tsv`, `config.toml` (as resolved), `provenance.json`, `cells/` (the store), `report.html`; beside them the
tables that the report draws from: `diagnostics.tsv`, `layer_choices.tsv`, `events_per_sample.tsv`.
"""

import inspect
import json
import logging
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.align.samples import sample_of_each_event
from brainalign.arrays import read_tsv, write_tsv
from brainalign.config import Experiment, read_experiment, render
from brainalign.data import DATASETS
from brainalign.data._manifest import load_manifest, manifest_names
from brainalign.errors import BrainalignError, MissingData
from brainalign.extract import EXTRACTORS
from brainalign.files import whole_file, write_file
from brainalign.jobs.run import Outcome, run_cells
from brainalign.jobs.signals import StopRequest
from brainalign.jobs.store import Store, problem_of
from brainalign.pipeline import Computer, Prepared, analysis_files, prepare
from brainalign.scores import edge_table, tabulate

log = logging.getLogger(__name__)

LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "transformers", "mne", "nilearn")
EDGE_WARNING = 0.5  # share of targets at an edge of the penalty grid above which a run warns
TABLES = ("scores", "diagnostics", "layer_choices", "events_per_sample")


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
    prepared = prepare(experiment, data_dir)
    store = Store(folder / "cells")
    compute = Computer(prepared, store)
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
            for name in ("provenance.json", "report.html", *(f"{table}.tsv" for table in TABLES)):
                (folder / name).unlink(missing_ok=True)
        write_file(config, text)
    except OSError as error:
        raise BrainalignError(f"cannot write into {folder}: {error}") from None


def write_tables(prepared: Prepared, store: Store, folder: Path) -> None:
    """Write the tables and the provenance of a finished experiment."""
    scores, diagnostics, choices = tabulate(prepared, store.path)
    _warn_of_edges(diagnostics)
    tables = dict(zip(TABLES, (scores, diagnostics, choices, events_per_sample(prepared)), strict=True))
    for name, table in tables.items():
        with whole_file(folder / f"{name}.tsv") as partial:
            write_tsv(table, partial)
    write_file(folder / "provenance.json", json.dumps(provenance(prepared), indent=1, sort_keys=True) + "\n")


def _warn_of_edges(diagnostics: pd.DataFrame) -> None:
    """Log which feature spaces have most penalties at an edge of the grid: a wider grid would change their scores."""
    shares = edge_table(diagnostics).set_index(["feature_space", "weights"])
    for edge, column in (("lowest", "at_lowest_alpha"), ("highest", "at_highest_alpha")):
        for (space, weights), share in shares.loc[shares[column] > EDGE_WARNING, column].items():
            log.warning(
                "%s: %.0f %% of targets take the %s alpha of the grid", f"{space} {weights}".strip(), 100 * share, edge
            )


def events_per_sample(prepared: Prepared) -> pd.DataFrame:
    """Count the events that begin in every sample: columns `run, time` (s) `n_events`."""
    rows = prepared.recording.responses.rows
    i_sample = rows["event"] if not prepared.is_series else sample_of_each_event(prepared.recording.events, rows)
    counts = np.bincount(i_sample, minlength=len(rows))
    return pd.DataFrame({"run": rows["run"], "time": rows["time"], "n_events": counts})


def provenance(prepared: Prepared) -> dict:
    """Say what the numbers came from: versions, hashes, seeds; the same for two equal runs."""
    return {
        "brainalign": __version__,
        "experiment": {
            "name": prepared.experiment.name,
            "sha256": prepared.experiment.key,
            "seed": prepared.experiment.seed,
        },
        "data": prepared.recording.responses.provenance,
        "citation": _citation(prepared.experiment.data.set),
        "extractions": {cell.name: cell.settings for cell in prepared.extractions.values()},
        "cells": [cell.folder for cell in prepared.cells],
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _citation(data_set: str) -> str:
    return (
        load_manifest(data_set).citation
        if data_set in manifest_names()
        else f"embedded data set {data_set!r} of brainalign"
    )


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
    """Read one of `TABLES` of a results folder.

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
    text = ("subject", "feature_space", "weights", "layer", "target", "metric", "ceiling_kind", "run")
    table = read_tsv(path, dtype=dict.fromkeys(text, str), na_values=("",))
    return table.fillna({column: "" for column in text if column in table})


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
    prepared = prepare(read_config(folder), data_dir)
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


def _table_states(folder: Path, prepared: Prepared) -> list[dict]:
    """State of every table: missing, or stale when it was written from other cells."""
    written = read_provenance(folder)["cells"] if (folder / "provenance.json").exists() else None
    states = []
    for name in (*(f"{table}.tsv" for table in TABLES), "provenance.json", "report.html"):
        state = "missing" if not (folder / name).exists() else "finished"
        if state == "finished" and written != [cell.folder for cell in prepared.cells]:
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
        f"{len(manifest.files)} files, {sum(file.bytes for file in manifest.files) / 1e6:.1f} MB",
        "loader: " + ("yes" if name in DATASETS else "not yet"),
    ]
    return "\n".join(lines)


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
