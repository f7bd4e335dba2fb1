"""Decoding: what was presented, told from the responses of a region of every person, on runs left out.

data -> events, responses; responses -> one sample per event, the mean of the volumes that begin while the response to
it lasts, or an epoch; samples -> class, told by a decoder that was fitted on the other runs (one cell per subject and
region), of epochs at every time by itself. There are no features: an experiment with `[decode]` has no
`[features.<name>]`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.arrays import Recording
from brainalign.compare.decoding import check_classes, decode, decoder, leave_one_run_out, permuted_accuracies
from brainalign.compare.over_times import check_two_classes
from brainalign.compare.relatedness import p_values
from brainalign.config import Experiment
from brainalign.data import DATASETS
from brainalign.errors import Misaligned
from brainalign.jobs.cells import Cell
from brainalign.pipeline import decoding_over_time
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.decoding_over_time import (
    decode_epochs,
    of_several_subjects,
    seconds_of_epochs,
    tabulate_epochs,
)
from brainalign.pipeline.features import CellPlan, Features, sha256_of_parts
from brainalign.pipeline.labelled import Samples, epochs_of_events, samples_of_events
from brainalign.pipeline.subjects import MEAN

TABLES_OF_SAMPLES = ("accuracies", "fold_accuracies", "confusions", "null_accuracies")
TABLES = (*TABLES_OF_SAMPLES, *decoding_over_time.TABLES)
LOADED_BY = "load"
COLUMNS = (
    "subject", "roi", "n_targets", "n_samples", "n_classes", "accuracy", "chance", "null_mean", "null_95", "p",
    "p_corrected",
)  # fmt: skip
WHOLE = "all"  # the region of responses that name none


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
        With `[decode.epochs]`, its responses are epochs.
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

    @cached_property
    def times(self) -> np.ndarray | None:
        """Times of epochs from their event (s), each of which is decoded by itself; None without epochs."""
        epochs = self.experiment.decode.epochs
        return None if epochs is None else self.recording.responses.columns["lag"].unique()

    @property
    def cells(self) -> list[Cell]:
        """All cells."""
        return list(self.regions)

    @property
    def provenance(self) -> dict:
        """What the responses came from, and the events that are left out by reason."""
        return self.recording.responses.provenance | {"left_out": self.samples.left_out}

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
            "decode": self._decides(),
            "seed": self.experiment.seed,
        }
        return Cell(f"decode-{region.subject}-{region.roi}", settings)

    def _decides(self) -> dict:
        """Give the settings that decide what is found in the samples."""
        decode = self.experiment.decode
        of_epochs = {} if decode.epochs is None else {"score": decode.score, "generalise": decode.generalise}
        made_with = {"column", "shift", "threshold", "epochs", "score", "generalise"}
        return decode.model_dump(mode="json", exclude=made_with) | of_epochs


def prepare(experiment: Experiment, data_dir: Path | None) -> Prepared:
    """Load the data of an experiment and lay out its work.

    Raises
    ------
    MissingData, Misaligned, UnknownName
        The data are absent, do not fit together, or have no such column.
    BrainalignError
        There are fewer than two classes or runs, or a class is in one run only.
    """
    settings = experiment.decode
    recording = DATASETS[experiment.data.set].load(experiment.data.config, data_dir)
    how = {"column": settings.column, "threshold": settings.threshold}
    if settings.epochs is None:
        samples = samples_of_events(recording, **how, shift=settings.shift)
    else:
        responses, samples = epochs_of_events(recording, **how, window=settings.epochs)
        recording = replace(recording, responses=responses)
    folds = leave_one_run_out(samples.run)
    check_classes(folds, samples.labels, run=samples.run)
    if settings.score == "roc_auc":
        check_two_classes(folds, samples.labels)
    if MEAN in (subjects := list(recording.responses.columns["subject"].unique())) and len(subjects) > 1:
        raise Misaligned(f"a subject is called {MEAN!r}, the name of the group mean; give it another name")
    return Prepared(experiment, recording, samples)


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
        """Write what is found of a region, see `decode_samples` and `decoding_over_time.decode_epochs`."""
        find = decode_samples if self.prepared.times is None else decode_epochs
        region, estimator = self.prepared.regions[cell], _estimator(self.prepared.experiment)
        write_arrays(folder, find(self.prepared, region, estimator))


def decode_samples(prepared: Prepared, region: Region, estimator) -> dict[str, np.ndarray]:
    """Give the accuracy per fold, the confusions and the accuracies of permuted labels of a region."""
    samples, settings = prepared.samples, prepared.experiment.decode
    X, labels = samples.X[:, region.targets], samples.labels
    how = {"run": samples.run, "estimator": estimator}
    decoding = decode(X, labels, **how)
    arrays = {"fold_accuracies": decoding.fold_accuracies, "confusion": decoding.confusion}
    if settings.n_permutations:
        arrays["null"] = permuted_accuracies(
            X, labels, **how, n_permutations=settings.n_permutations, seed=prepared.experiment.seed
        )
    return arrays


def _estimator(experiment: Experiment):
    settings = experiment.decode
    return decoder(settings.decoder, penalty=settings.penalty, n_features=settings.n_features)


def tabulate(prepared: Prepared, path_of: Callable[[Cell], Path]) -> dict[str, pd.DataFrame]:
    """Gather the finished cells of an experiment: see `tabulate_samples` and `decoding_over_time.tabulate_epochs`."""
    return (tabulate_samples if prepared.times is None else tabulate_epochs)(prepared, path_of)


def tabulate_samples(prepared: Prepared, path_of: Callable[[Cell], Path]) -> dict[str, pd.DataFrame]:
    """Gather the finished cells: the tables of `TABLES_OF_SAMPLES` by name.

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
    tables = {name: [] for name in TABLES_OF_SAMPLES}
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
    """Average the regions of several subjects, permutation by permutation: all were shown the same events."""
    means = {}
    for roi, of_roi in of_several_subjects(found).items():
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


def problems_of_settings(experiment: Experiment) -> list[str]:  # noqa: ARG001 - a method answers for its settings
    """There is nothing to find out without the data: decoding has no features."""
    return []


def problems_of_prepared(prepared: Prepared, known: list[str]) -> list[str]:  # noqa: ARG001
    """Name regions that have fewer targets than are to be chosen."""
    n_features = prepared.experiment.decode.n_features
    sizes = [(region, n_features_of(prepared, region)) for region in prepared.regions.values()]
    return [
        f"decode.n_features: {n_features} features cannot be chosen from {size} targets of region "
        f"{region.roi!r} of subject {region.subject}"
        for region, size in sizes
        if n_features is not None and n_features > size
    ]


def n_features_of(prepared: Prepared, region: Region) -> int:
    """Count what a decoder of a region is fitted to: targets, or the channels of epochs."""
    return len(region.targets) // (1 if prepared.times is None else len(prepared.times))


def plan_cells(prepared: Prepared) -> list[CellPlan]:
    """Say what every cell needs, before anything is computed."""
    n_permutations, n_samples = prepared.experiment.decode.n_permutations, len(prepared.samples.X)
    n_classes, n_folds = len(set(prepared.samples.labels)), len(set(prepared.samples.run))
    seconds = _seconds_of_samples if prepared.times is None else seconds_of_epochs
    plans = []
    for cell, region in prepared.regions.items():
        n_features = n_features_of(prepared, region)
        what = "targets" if prepared.times is None else "channels"
        size = f"{n_samples} samples x {n_features} {what}, {n_classes} classes, {n_folds} folds"
        disk = 8 * (n_classes**2 + n_folds + n_permutations)
        if prepared.times is not None:
            n_times, generalise = len(prepared.times), prepared.experiment.decode.generalise
            size += f", {n_times}{f' x {n_times}' if generalise else ''} times"
            disk = 8 * n_times * (n_folds + n_permutations + generalise * n_times)
        memory = 3 * 8 * n_samples * len(region.targets) + disk
        measure = partial(seconds, prepared, region, _estimator(prepared.experiment))
        plans.append(CellPlan(cell, size, memory, disk, measure))
    return plans


def _seconds_of_samples(prepared: Prepared, region: Region, estimator) -> float:
    """Measure one decoding of all folds, which is repeated for every permutation."""
    samples, n_permutations = prepared.samples, prepared.experiment.decode.n_permutations
    start = time.perf_counter()
    decode(samples.X[:, region.targets], samples.labels, run=samples.run, estimator=estimator)
    return (n_permutations + 1) * (time.perf_counter() - start)
