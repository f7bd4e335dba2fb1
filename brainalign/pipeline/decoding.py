"""Decoding: what was presented, told from the responses of a region of every person, on runs left out.

data -> events, responses; responses -> one sample per event, the mean of the volumes that begin while the response to
it lasts; samples -> class, told by a decoder that was fitted on the other runs (one cell per subject and region).
There are no features: an experiment with `[decode]` has no `[features.<name>]`.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.arrays import Recording
from brainalign.compare.decoding import check_classes, decode, decoder, leave_one_run_out, permuted_accuracies
from brainalign.compare.relatedness import p_values
from brainalign.config import Experiment
from brainalign.data import DATASETS
from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.jobs.cells import Cell
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.features import CellPlan, Features, problems_of_data, sha256_of_parts
from brainalign.pipeline.subjects import MEAN

TABLES = ("accuracies", "fold_accuracies", "confusions", "null_accuracies")
COLUMNS = (
    "subject", "roi", "n_targets", "n_samples", "n_classes", "accuracy", "chance", "null_mean", "null_95", "p",
    "p_corrected",
)  # fmt: skip
WHOLE = "all"  # the region of responses that name none
EDGE = 1e-6  # share of a volume's duration within which its beginning counts as that of the window


@dataclass(frozen=True, eq=False)
class Samples:
    """One response per event.

    Parameters
    ----------
    X : array of shape (n_samples, n_targets)
    labels, run : arrays of shape (n_samples,)
        Class and run of every sample.
    """

    X: np.ndarray
    labels: np.ndarray
    run: np.ndarray


@dataclass(frozen=True, eq=False)
class Region:
    """The targets of a subject that are decoded from together.

    Parameters
    ----------
    subject, roi : str
    targets : int array of shape (n_targets,)
        Positions among the columns of the responses.
    """

    subject: str
    roi: str
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Prepared:
    """An experiment with its data in memory and its work laid out.

    Parameters
    ----------
    experiment : Experiment
    recording : Recording
    samples : Samples
        Of all subjects and targets side by side.
    """

    experiment: Experiment
    recording: Recording
    samples: Samples

    @cached_property
    def features(self) -> Features:
        """No feature spaces."""
        return Features({}, self.recording.events)

    @cached_property
    def regions(self) -> dict[Cell, Region]:
        """Decoding cells and what each decodes from, in the order of the responses."""
        columns = self.recording.responses.columns
        rois = columns["roi"] if "roi" in columns else pd.Series(WHOLE, index=columns.index)
        groups = columns.groupby(["subject", rois.rename("roi")], sort=False).indices
        return {self._cell(region): region for region in (Region(*names, where) for names, where in groups.items())}

    @property
    def cells(self) -> list[Cell]:
        """All cells."""
        return list(self.regions)

    @property
    def provenance(self) -> dict:
        """What the responses came from."""
        return self.recording.responses.provenance

    def _cell(self, region: Region) -> Cell:
        samples = self.samples
        settings = {
            "does": "decode",
            "version": __version__,
            "samples": sha256_of_parts(
                np.ascontiguousarray(samples.X[:, region.targets]).tobytes(),
                samples.X.dtype,
                samples.labels.tolist(),
                samples.run.tolist(),
            ),
            "decode": self.experiment.decode.model_dump(mode="json", exclude={"column", "shift"}),
            "seed": self.experiment.seed,
        }
        return Cell(f"decode-{region.subject}-{region.roi}", settings)


def prepare(experiment: Experiment, data_dir: Path | None) -> Prepared:
    """Load the data of an experiment and lay out its work.

    Raises
    ------
    MissingData, Misaligned, UnknownName
        The data are absent, do not fit together, or have no such column.
    BrainalignError
        There are fewer than two classes or runs, or a class is in one run only.
    """
    recording = DATASETS[experiment.data.set].load(experiment.data.config, data_dir)
    samples = samples_of_events(recording, column=experiment.decode.column, shift=experiment.decode.shift)
    check_classes(leave_one_run_out(samples.run), samples.labels, run=samples.run)
    return Prepared(experiment, recording, samples)


def samples_of_events(recording: Recording, *, column: str, shift: float) -> Samples:
    """Average, for every event, the samples that begin from `onset + shift` to `onset + duration + shift`.

    Parameters
    ----------
    recording : Recording
        A series in time, or responses to single events, which are taken as they are.
    column : str
        Of the events: the class.
    shift : float
        s.

    Returns
    -------
    samples : Samples
        In the order of the events, or of the responses to them.

    Raises
    ------
    UnknownName
        The events have no such column.
    Misaligned
        An event has no class, its response would end after its run or no sample begins while it lasts, or responses to
        single events are shifted.
    """
    events, rows = recording.events, recording.responses.rows
    if column not in events:
        raise UnknownName("column of the events", column, set(events) - {"onset", "duration"})
    if (unnamed := events[column].isna() | (events[column].astype(str).str.strip() == "")).any():
        raise Misaligned(f"{unnamed.sum()} events have no {column}; leave out what is of no class")
    values = np.asarray(recording.responses.values, np.float64)
    labels, run = events[column].to_numpy(str), events["run"].to_numpy(str)
    if "event" in rows:
        if shift:
            raise Misaligned(f"decode.shift: samples are responses to single events; nothing is {shift:g} s later")
        i_event = rows["event"].to_numpy()
        return Samples(values, labels[i_event], run[i_event])
    X = np.stack([values[_window(event, rows, shift)].mean(axis=0) for event in events.itertuples()])
    return Samples(X, labels, run)


def _window(event, rows: pd.DataFrame, shift: float) -> np.ndarray:
    """Give the positions of the samples that begin while the response to an event lasts."""
    of_run = rows[rows["run"] == event.run]
    start, stop = event.onset + shift, event.onset + event.duration + shift  # s
    tolerance = EDGE * of_run["duration"]
    end = (of_run["time"] + of_run["duration"]).max()
    chosen = of_run.index[(of_run["time"] >= start - tolerance) & (of_run["time"] < stop - tolerance)]
    if start < of_run["time"].min() - tolerance.max() or stop > end + tolerance.max() or not len(chosen):
        raise Misaligned(
            f"the event at {event.onset:g} s of run {event.run!r} is looked for from {start:g} to {stop:g} s: "
            f"{len(chosen)} samples begin there, the run lasts to {end:g} s; change decode.shift"
        )
    return chosen.to_numpy()


class Computer:
    """Computes the cells of a prepared experiment.

    Parameters
    ----------
    prepared : Prepared
    store : jobs.store.Store
        Has no use here: no cell reads another.
    """

    def __init__(self, prepared: Prepared, store):  # noqa: ARG002
        self.prepared = prepared

    def __call__(self, cell: Cell, folder: Path) -> None:
        """Write the accuracy per fold, the confusions and the accuracies of permuted labels of a region."""
        samples, settings = self.prepared.samples, self.prepared.experiment.decode
        X, labels = samples.X[:, self.prepared.regions[cell].targets], samples.labels
        how = {"run": samples.run, "estimator": _estimator(self.prepared.experiment)}
        decoding = decode(X, labels, **how)
        arrays = {"fold_accuracies": decoding.fold_accuracies, "confusion": decoding.confusion}
        if settings.n_permutations:
            arrays["null"] = permuted_accuracies(
                X, labels, **how, n_permutations=settings.n_permutations, seed=self.prepared.experiment.seed
            )
        write_arrays(folder, arrays)


def _estimator(experiment: Experiment):
    settings = experiment.decode
    return decoder(settings.decoder, penalty=settings.penalty, n_features=settings.n_features)


def tabulate(prepared: Prepared, path_of) -> dict[str, pd.DataFrame]:
    """Gather the finished cells of an experiment: the tables of `TABLES` by name.

    Parameters
    ----------
    prepared : Prepared
    path_of : callable
        Cell -> folder of the finished cell.

    Returns
    -------
    tables : dict of str to DataFrame
        "accuracies": one row per subject and region, columns `COLUMNS`; the subject "mean" is the average over several,
        `null_95` the 95th percentile of the null distribution. `p` is one-sided, `p_corrected` by the highest accuracy
        of all regions of the subject under the same permutation; nan without permutations. "fold_accuracies": per run
        left out. "confusions": counts by what was `shown` and what was `told`. "null_accuracies": of permuted labels.
    """
    found = {
        (region.subject, region.roi): read_arrays(path_of(cell)) | {"n_targets": len(region.targets)}
        for cell, region in prepared.regions.items()
    }
    found |= _means_of_subjects(found)
    labels = prepared.samples.labels
    classes, counts = np.unique(labels, return_counts=True)
    runs = list(dict.fromkeys(prepared.samples.run.tolist()))
    facts = {"n_samples": len(labels), "n_classes": len(classes), "chance": counts.max() / len(labels)}
    tables = {name: [] for name in TABLES}
    for (subject, roi), arrays in found.items():
        where, null = {"subject": subject, "roi": roi}, arrays.get("null", np.array([]))
        spread = {"null_mean": null.mean(), "null_95": np.quantile(null, 0.95)} if len(null) else {}
        accuracy = {"n_targets": arrays["n_targets"], "accuracy": _accuracy(arrays)}
        tables["accuracies"].append(where | facts | accuracy | spread)
        folds = zip(runs, arrays["fold_accuracies"], strict=True)
        tables["fold_accuracies"] += [where | {"run": run, "accuracy": value} for run, value in folds]
        tables["confusions"] += [
            where | {"shown": shown, "told": told, "n": arrays["confusion"][i, j]}
            for i, shown in enumerate(classes)
            for j, told in enumerate(classes)
        ]
        tables["null_accuracies"] += [where | {"permutation": i, "accuracy": value} for i, value in enumerate(null)]
    frames = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    frames["accuracies"] = _with_p_values(frames["accuracies"], found)
    if not tables["null_accuracies"]:
        frames["null_accuracies"] = pd.DataFrame(columns=["subject", "roi", "permutation", "accuracy"])
    return frames


def _accuracy(arrays: dict) -> float:
    return np.trace(arrays["confusion"]) / arrays["confusion"].sum()


def _means_of_subjects(found: dict) -> dict:
    """Average the regions that several subjects have, permutation by permutation: all were shown the same events."""
    subjects = list(dict.fromkeys(subject for subject, _ in found))
    if len(subjects) < 2:
        return {}
    if MEAN in subjects:
        raise Misaligned(f"a subject is called {MEAN!r}, the name of the group mean; give it another name")
    means = {}
    for roi in dict.fromkeys(roi for _, roi in found):
        of_roi = [arrays for (_, name), arrays in found.items() if name == roi]
        averaged = {name: np.mean([arrays[name] for arrays in of_roi], axis=0) for name in of_roi[0]}
        # sums in another order differ by rounding: equal accuracies must stay equal
        means[MEAN, roi] = {name: np.round(values, 12) for name, values in averaged.items()}
        means[MEAN, roi]["confusion"] = np.sum([arrays["confusion"] for arrays in of_roi], axis=0)
        means[MEAN, roi]["n_targets"] = round(float(averaged["n_targets"]))
    return means


def _with_p_values(accuracies: pd.DataFrame, found: dict) -> pd.DataFrame:
    """Add p-values against permuted labels, corrected over the regions of a subject."""
    accuracies = accuracies.reindex(columns=list(COLUMNS))
    for subject, rows in accuracies.groupby("subject", sort=False).groups.items():
        nulls = [found[subject, roi].get("null") for roi in accuracies.loc[rows, "roi"]]
        if nulls[0] is not None:
            p, corrected = p_values(np.round(accuracies.loc[rows, "accuracy"].to_numpy(), 12), np.round(nulls, 12))
            accuracies.loc[rows, ["p", "p_corrected"]] = np.column_stack([p, corrected])
    return accuracies


def find_problems(experiment: Experiment, data_dir: Path | None) -> list[str]:
    """Find every bad input before any work: one line per problem, an empty list when all is well."""
    if of_data := problems_of_data(experiment.data, data_dir, verb="load"):
        return of_data
    try:
        prepared = prepare(experiment, data_dir)
    except BrainalignError as error:
        return [f"data.{experiment.data.set}: {error}"]
    n_features = experiment.decode.n_features
    return [
        f"decode.n_features: {n_features} features cannot be chosen from {len(region.targets)} targets of region "
        f"{region.roi!r} of subject {region.subject}"
        for region in prepared.regions.values()
        if n_features is not None and n_features > len(region.targets)
    ]


def plan_cells(prepared: Prepared) -> list[CellPlan]:
    """Say what every cell needs, before anything is computed."""
    n_permutations, (n_samples, _) = prepared.experiment.decode.n_permutations, prepared.samples.X.shape
    n_classes, n_folds = len(set(prepared.samples.labels)), len(set(prepared.samples.run))
    plans = []
    for cell, region in prepared.regions.items():
        size = f"{n_samples} samples x {len(region.targets)} targets, {n_classes} classes, {n_folds} folds"
        disk = 8 * (n_classes**2 + n_folds + n_permutations)
        memory = 3 * 8 * n_samples * len(region.targets) + disk
        plans.append(
            CellPlan(cell, size, memory, disk, lambda region=region: _seconds_of_permutations(prepared, region))
        )
    return plans


def _seconds_of_permutations(prepared: Prepared, region: Region) -> float:
    """Measure one decoding of all folds, which is repeated for every permutation."""
    samples, n_permutations = prepared.samples, prepared.experiment.decode.n_permutations
    start = time.perf_counter()
    decode(samples.X[:, region.targets], samples.labels, run=samples.run, estimator=_estimator(prepared.experiment))
    return (n_permutations + 1) * (time.perf_counter() - start)
