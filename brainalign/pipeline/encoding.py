"""Encoding models: what a feature space predicts of a recording, on held-out folds.

data -> events, responses; events -> activations (one cell per feature space and weights); activations -> the
recording's clock -> delays -> ridge, scored on held-out folds (one cell per feature space, weights and layer, and per
joint model). People who were shown the same events share X, so all subjects and their mean are fitted side by side in
one cell.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.align.delays import delay
from brainalign.align.epochs import sampling_rate, to_epochs
from brainalign.align.filters import high_pass
from brainalign.align.samples import sample_of_each_event, to_events, to_samples
from brainalign.arrays import Activations, Recording
from brainalign.config import Experiment
from brainalign.data import DATASETS
from brainalign.encode.metrics import METRICS
from brainalign.encode.score import cross_validate
from brainalign.encode.spaces import columns_of
from brainalign.encode.splits import Fold
from brainalign.encode.trf import delays_between
from brainalign.errors import BrainalignError, Misaligned
from brainalign.jobs.cells import Cell
from brainalign.pipeline.against_ceilings import warn_of_ceilings
from brainalign.pipeline.ceilings import Ceilings
from brainalign.pipeline.clock import ClockCheck
from brainalign.pipeline.features import (
    CellPlan,
    Features,
    load_activations,
    problems_of,
    problems_of_layers,
    sha256_of_parts,
)
from brainalign.pipeline.fits import (
    encoding_model,
    fit_settings,
    n_ridges,
    plan_of_fit,
    responses_to_fit,
    warn_of_edges,
)
from brainalign.pipeline.folds import (
    check_inner_folds,
    inner_groups,
    is_story,
    make_folds,
    overlapping_epochs,
    stimuli_of_samples,
    warn_of_narrow_gaps,
)
from brainalign.pipeline.functions import Functions
from brainalign.pipeline.generalisation import Generalisation
from brainalign.pipeline.scores import edge_table, gather_scores, unique_contributions, write_fold_scores
from brainalign.pipeline.subjects import PLACE, with_group_mean
from brainalign.pipeline.usable import usable_samples

LOADED_BY = "load"
STEPS = (Functions, Generalisation, ClockCheck, Ceilings)
"""What an experiment may ask for besides scores. A step is made of what is prepared, and has `TABLES`, `cells` (none
where it is not asked for), `problems()`, `plan(cell)`, `compute(cell, folder, computer)` and `tabulate(path_of)`."""

TABLES = (
    "scores", "diagnostics", "layer_choices", "unique_contributions", "events_per_sample", "places",
    *(table for step in STEPS for table in step.TABLES),
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """One layer of one feature space, or several feature spaces side by side: what a score cell scores.

    Parameters
    ----------
    feature_space : str
        Its name in tables: "gpt2", or "words+gpt2" for a joint model.
    weights : str
        "trained", "untrained" or "" for families without weights.
    layer : str
    parts : tuple of (str, Cell, str)
        Names, extraction cells and layers of the features that stand side by side.
    """

    feature_space: str
    weights: str
    layer: str
    parts: tuple[tuple[str, Cell, str], ...]

    @property
    def spaces(self) -> tuple[str, ...]:
        """Names of the feature spaces."""
        return tuple(name for name, _, _ in self.parts)


@dataclass(frozen=True, eq=False)
class Prepared:
    """An experiment with its data in memory and its work laid out.

    Parameters
    ----------
    experiment : Experiment
    recording : Recording
        With the group mean as a subject of its own where there are several.
    stimulus : array of shape (n_samples,)
        What was presented, see `folds.stimuli_of_samples`.
    folds : list of Fold
        Outer folds, shared by every cell.
    delays : tuple of int
        In samples.
    clock : DataFrame
        Rows of all samples that were recorded; `recording` has those that are usable.
    usable : bool array of shape (n_samples_recorded,)
    """

    experiment: Experiment
    recording: Recording
    stimulus: np.ndarray
    folds: list[Fold]
    delays: tuple[int, ...]
    clock: pd.DataFrame
    usable: np.ndarray

    @cached_property
    def features(self) -> Features:
        """Feature spaces over the events, with their extraction cells."""
        return Features(self.experiment.features, self.recording.events, self.recording.series)

    @cached_property
    def candidates(self) -> dict[Cell, Candidate]:
        """Score cells and what each scores, in the order of the experiment file."""
        return {_score_cell(c, self): c for c in self._candidates()}

    @cached_property
    def responses_described(self) -> str:
        """Hash of the responses and of what their rows and columns are."""
        responses = self.recording.responses
        tables = (responses.rows.to_csv(index=False), responses.columns.to_csv(index=False))
        return sha256_of_parts(np.ascontiguousarray(responses.values).tobytes(), responses.values.dtype, *tables)

    @cached_property
    def steps(self) -> list:
        """What may be asked for besides scores, one of each of `STEPS`."""
        return [step(self) for step in STEPS]

    @property
    def cells(self) -> list[Cell]:
        """All cells, each after those it reads."""
        of_steps = (cell for step in self.steps for cell in step.cells)
        return [*self.features.cells.values(), *self.candidates, *of_steps]

    @property
    def provenance(self) -> dict:
        """What the responses came from."""
        return self.recording.responses.provenance

    @property
    def high_passed(self) -> float | None:
        """Lower edge (Hz) of the band that M/EEG was filtered to, and its features are: with lags in seconds."""
        lags, l_freq = self.experiment.align.lags, getattr(self.experiment.data.config, "l_freq", None)
        return l_freq if lags is not None and l_freq else None

    @property
    def Y(self) -> np.ndarray:
        """Responses as they are fitted, (n_samples, n_targets)."""
        return responses_to_fit(self.experiment, self.recording.responses.values)

    @property
    def inner_groups(self) -> np.ndarray | None:
        """What inner splits leave out as a whole, per sample; None where they need not."""
        return inner_groups(self.experiment.encode.inner, self.recording, self.stimulus)

    @property
    def series(self) -> np.ndarray | None:
        """Run of every sample where samples follow each other in time, else None."""
        return self.recording.responses.rows["run"].to_numpy(str) if is_story(self.recording) else None

    def alone(self, name: str) -> Candidate:
        """Give the candidate that is a feature space of one matrix alone."""
        part = (name, *self.features.only(name))
        return next(candidate for candidate in self.candidates.values() if candidate.parts == (part,))

    def n_columns(self, candidate: Candidate) -> int:
        """Count the columns of X of a candidate."""
        return len(self.delays) * sum(self.features.width(cell) for _, cell, _ in candidate.parts)

    def _candidates(self) -> Iterator[Candidate]:
        controls, features = self.experiment.encode.controls, self.features
        for (name, weights), cell in features.cells.items():
            for layer in features.layers(name):
                yield Candidate(name, weights, layer, ((name, cell, layer),))
        for (name, weights), cell in features.cells.items() if controls else ():
            for layer in features.layers(name) if weights and name != controls else ():
                parts = ((controls, *features.only(controls)), (name, cell, layer))
                yield Candidate(f"{controls}+{name}", weights, layer, parts)
        for union in self.experiment.encode.unions:
            yield Candidate("+".join(union), "", "", tuple((name, *features.only(name)) for name in union))


def prepare(experiment: Experiment, data_dir: Path | None) -> Prepared:
    """Load the data of an experiment and lay out its work.

    Raises
    ------
    MissingData, Misaligned
        The data are absent or do not fit together; a stimulus would be in training and test.
    """
    recording = DATASETS[experiment.data.set].load(experiment.data.config, data_dir)
    window = experiment.align.epochs
    if window is not None:
        epochs = to_epochs(recording.responses, recording.events, **window.model_dump())
        recording = replace(recording, responses=epochs.responses)
    clock, stimulus, delays = recording.responses.rows, stimuli_of_samples(recording), _delays(experiment, recording)
    usable = usable_samples(clock)
    recording = replace(recording, responses=with_group_mean(recording.responses.take_rows(usable)))
    stimulus = stimulus[usable]
    folds = make_folds(experiment.encode.outer, recording, stimulus)
    if experiment.align.to == "samples":
        warn_of_narrow_gaps(experiment, reach=max(map(abs, delays)), what="the longest delay")
    elif window is not None:
        reach = overlapping_epochs(recording.responses.rows, seconds=window.tmax - window.tmin)
        warn_of_narrow_gaps(experiment, reach=reach, what="epochs overlap with as many as")
    return Prepared(experiment, recording, stimulus, folds, delays, clock, usable)


def _delays(experiment: Experiment, recording: Recording) -> tuple[int, ...]:
    """Give delays in samples, as they are set or from lags in seconds."""
    lags = experiment.align.lags
    if lags is None:
        return experiment.align.delays
    sfreq = sampling_rate(recording.responses.rows)
    return tuple(delays_between(lags.tmin, lags.tmax, sfreq=sfreq).tolist())


def _score_cell(candidate: Candidate, prepared: Prepared) -> Cell:
    features = [[cell.folder, layer] for _, cell, layer in candidate.parts]
    settings = fit_settings(prepared, "score", features, without=("controls", "together", "metric"))
    parts = ("score", candidate.feature_space, candidate.weights, candidate.layer.strip("-"))
    return Cell("-".join(filter(None, parts)), settings, needs=tuple(cell.folder for _, cell, _ in candidate.parts))


class Computer:
    """Computes the cells of a prepared experiment.

    Parameters
    ----------
    prepared : Prepared
    store : jobs.store.Store
        Where the cells that a cell reads are, and what it has half done.

    Raises
    ------
    BrainalignError
        Inner folds that cannot be made, or that train and test on the same stimulus.
    """

    def __init__(self, prepared: Prepared, store):
        self.prepared = prepared
        self.store = store
        for fold in prepared.folds:
            check_inner_folds(prepared.experiment.encode.inner, prepared.recording, prepared.stimulus, fold.train)

    def __call__(self, cell: Cell, folder: Path) -> None:
        """Compute a cell and write its files into an empty folder."""
        if cell in self.prepared.candidates:
            self.score(self.prepared.candidates[cell], folder)
        elif step := next((step for step in self.prepared.steps if cell in step.cells), None):
            step.compute(cell, folder, self)
        else:
            self.prepared.features.extract(cell, folder, self.store)

    def spaces(self, candidate: Candidate) -> dict[str, np.ndarray]:
        """Feature spaces of a candidate on the recording's clock, each (n_samples, n_delays * n_features), by name."""
        prepared, spaces = self.prepared, {}
        for name, cell, layer in candidate.parts:
            if prepared.experiment.align.to == "samples":
                run = prepared.clock["run"].to_numpy(str)
                spaces[name] = delay(self.binned(cell, layer), prepared.delays, run=run)[prepared.usable]
            else:
                activations = load_activations(self.store.path, cell, layer)
                _same_events(activations, prepared.recording.events)
                spaces[name] = to_events(activations, prepared.recording.responses.rows).astype(np.float64)
        return spaces

    def matrix(self, candidate: Candidate) -> tuple[np.ndarray, dict[str, slice]]:
        """Feature spaces of a candidate side by side, (n_samples, n_columns), and where each lies."""
        spaces = self.spaces(candidate)
        return np.hstack(list(spaces.values())), columns_of(spaces)

    def binned(self, cell: Cell, layer: str) -> np.ndarray:
        """Activations on all samples that were recorded, without delays, (n_samples_recorded, n_features)."""
        prepared, activations = self.prepared, load_activations(self.store.path, cell, layer)
        clock = prepared.clock
        X = to_samples(activations, clock, bin=prepared.experiment.align.bin).astype(np.float64)
        if prepared.high_passed is None:
            return X
        run = clock["run"].to_numpy(str)
        return high_pass(X, run=run, sfreq=sampling_rate(clock), l_freq=prepared.high_passed)

    def score(self, candidate: Candidate, folder: Path) -> None:
        """Write what `cross_validate` gives for all subjects and targets, each array (n_folds, n_targets)."""
        prepared, (X, columns) = self.prepared, self.matrix(candidate)
        result = cross_validate(
            encoding_model(prepared.experiment, columns),
            X,
            prepared.Y,
            folds=prepared.folds,
            groups=prepared.inner_groups,
            run=prepared.series,
            metrics=tuple(METRICS),
        )
        write_fold_scores(result, folder)


def _same_events(activations: Activations, events: pd.DataFrame) -> None:
    for name in ("run", "onset"):
        if not np.array_equal(activations.rows[name].to_numpy(), events[name].to_numpy()):
            raise Misaligned(f"stored activations have other {name}s than the events; remove the cell and run again")


def tabulate(prepared: Prepared, path_of) -> dict[str, pd.DataFrame]:
    """Gather the finished cells of an experiment: the tables of `TABLES` by name.

    Parameters
    ----------
    prepared : Prepared
    path_of : callable
        Cell -> folder of the finished cell.
    """
    of_steps = {}
    for step in prepared.steps:
        of_steps |= step.tabulate(path_of)
    scores, diagnostics, choices = gather_scores(
        prepared.candidates, prepared.recording.responses, path_of, ceilings=of_steps["noise_ceilings"]
    )
    warn_of_edges(edge_table(diagnostics))
    warn_of_ceilings(scores)
    unique = unique_contributions(scores, prepared.experiment.encode.together)
    tables = (scores, diagnostics, choices, unique, events_per_sample(prepared), places(prepared))
    return {name: table for name, table in zip(TABLES, tables, strict=False) if table is not None} | of_steps


def events_per_sample(prepared: Prepared) -> pd.DataFrame:
    """Count the events that begin in every sample: columns `run, time` (s) `n_events`."""
    rows = prepared.clock
    if "event" in rows:
        return pd.DataFrame({"run": rows["run"], "time": rows["time"], "n_events": 1})
    counts = np.bincount(sample_of_each_event(prepared.recording.events, rows), minlength=len(rows))
    return pd.DataFrame({"run": rows["run"], "time": rows["time"], "n_events": counts})


def places(prepared: Prepared) -> pd.DataFrame | None:
    """Give `target` and what is known of its place, see `subjects.PLACE`; None where nothing is."""
    columns = prepared.recording.responses.columns
    known = [name for name in PLACE if name in columns]
    return columns[["target", *known]].drop_duplicates("target", ignore_index=True) if known else None


def problems_of_settings(experiment: Experiment) -> list[str]:
    """Name what is wrong whatever the data: layers that are not there, a machine that is not the one asked for."""
    problems = problems_of_layers(experiment.features)
    if (experiment.encode.device, experiment.encode.precision) != ("cpu", "float64"):
        problems += [f"encode: {line}" for line in problems_of(lambda: _check_machine(experiment))]
    return problems


def problems_of_prepared(prepared: Prepared, known: list[str]) -> list[str]:
    """Name what does not fit the data, or would be stumbled over; `known`: problems that were found before."""
    return [*prepared.features.problems(known=known), *_problems_of_encoding(prepared)]


def _check_machine(experiment: Experiment) -> None:
    """Refuse a device or a precision that this machine does not have: a result must be what its methods text says."""
    from brainalign.encode.engine.compute import bfloat16_is_faster, choose_device

    device = choose_device(experiment.encode.device)
    if experiment.encode.precision == "mixed" and not bfloat16_is_faster(device):
        raise BrainalignError(f"precision 'mixed' is no faster here, {device} has no quick bfloat16: take 'float32'")


def _problems_of_encoding(prepared: Prepared) -> list[str]:
    experiment, recording = prepared.experiment, prepared.recording
    problems = _problems_of_clock(prepared)
    problems += [line for step in prepared.steps for line in step.problems()]
    of_report = {"clock": experiment.report.clock, "generalisation": experiment.report.generalisation}
    of_one_matrix = {
        "encode.controls": [experiment.encode.controls] if experiment.encode.controls else [],
        "encode.together": experiment.encode.together,
        **{f"report.{key}.features": [asked.features] for key, asked in of_report.items() if asked},
    }
    for key, name in ((key, name) for key, names in of_one_matrix.items() for name in names):
        problems += [f"{key}: {line}" for line in problems_of(lambda name=name: prepared.features.only(name))]
    for fold in prepared.folds:
        problems += problems_of(
            lambda train=fold.train: check_inner_folds(experiment.encode.inner, recording, prepared.stimulus, train)
        )
    return sorted(set(problems))


def _problems_of_clock(prepared: Prepared) -> list[str]:
    align, data_set = prepared.experiment.align, prepared.experiment.data.set
    rows, problems = prepared.recording.responses.rows, []
    if (align.to == "samples") != ("event" not in rows):
        kind = "one event per sample" if "event" in rows else "a series in time"
        problems.append(f"align.to: {align.to!r} does not fit {data_set}, which is {kind}")
    if align.to == "samples":
        longest = max(map(abs, prepared.delays))
        shortest = int(prepared.clock.groupby("run", sort=False).size().min())
        if longest >= shortest:
            problems.append(f"align.delays: a delay of {longest} samples is longer than a run of {shortest} samples")
        return problems
    if align.delays != (0,):
        problems.append("align.delays: samples that are responses to single events have no delays; leave the key out")
    return problems + [
        f"features.{name}: its rows have a clock of their own, but every sample is the response to one event"
        for name in prepared.experiment.features
        if prepared.features.have_own_clock(name)
    ]


def plan_cells(prepared: Prepared) -> list[CellPlan]:
    """Say what every cell needs, before anything is computed."""
    n_samples, n_targets = prepared.recording.responses.shape
    plans = prepared.features.plan_cells()
    for cell, candidate in prepared.candidates.items():
        n_columns = prepared.n_columns(candidate)
        size = f"{n_samples} samples x {n_columns} features, {n_targets} targets"
        fit, n_fits = plan_of_fit(prepared, n_columns), len(prepared.folds) * n_ridges(prepared, candidate)
        memory = 8 * n_samples * (n_columns + n_targets) + fit.bytes
        disk = 8 * (2 + len(METRICS)) * len(prepared.folds) * n_targets
        plans.append(CellPlan(cell, size, memory, disk, lambda fit=fit, n_fits=n_fits: n_fits * fit.seconds))
    return plans + [step.plan(cell) for step in prepared.steps for cell in step.cells]
