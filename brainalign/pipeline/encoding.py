"""Encoding models: what a feature space predicts of a recording, on held-out folds.

data -> events, responses; events -> activations (one cell per feature space and weights); activations -> the
recording's clock -> delays -> ridge, scored on held-out folds (one cell per feature space, weights and layer, and per
joint model). People who were shown the same events share X, so all subjects and their mean are fitted side by side in
one cell.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.align.delays import delay
from brainalign.align.epochs import sampling_rate, to_epochs
from brainalign.align.samples import sample_of_each_event, to_events, to_samples
from brainalign.arrays import Activations, Recording
from brainalign.config import Clock, Experiment
from brainalign.data import DATASETS
from brainalign.encode import ESTIMATORS
from brainalign.encode.metrics import METRICS
from brainalign.encode.score import cross_validate
from brainalign.encode.spaces import columns_of
from brainalign.encode.splits import Fold
from brainalign.encode.trf import delays_between, response_functions
from brainalign.errors import BrainalignError, Misaligned
from brainalign.jobs.cells import Cell
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.clock import check_clock, tabulate_clock
from brainalign.pipeline.features import (
    CellPlan,
    Features,
    load_activations,
    problems_of,
    problems_of_data,
    problems_of_layers,
    sha256_of_parts,
)
from brainalign.pipeline.folds import (
    check_inner_folds,
    inner_groups,
    is_story,
    make_folds,
    overlapping_epochs,
    splitter,
    stimuli_of_samples,
    warn_of_narrow_gaps,
)
from brainalign.pipeline.scores import edge_table, gather_scores, unique_contributions, write_fold_scores
from brainalign.pipeline.subjects import MEAN, PLACE, with_group_mean

log = logging.getLogger(__name__)

EDGE_WARNING = 0.5  # share of targets at an edge of the penalty grid above which a run warns
TABLES = (
    "scores", "diagnostics", "layer_choices", "unique_contributions", "events_per_sample", "places", "clock",
    "clock_control", "response_functions",
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
        return {_score_cell(c, self.experiment, self._responses_described): c for c in self._candidates()}

    @cached_property
    def _responses_described(self) -> str:
        """Hash of the responses and of what their rows and columns are."""
        responses = self.recording.responses
        tables = (responses.rows.to_csv(index=False), responses.columns.to_csv(index=False))
        return sha256_of_parts(np.ascontiguousarray(responses.values).tobytes(), responses.values.dtype, *tables)

    @cached_property
    def clock_check(self) -> Cell | None:
        """Cell that checks the clock, where that is asked for."""
        settings = self.experiment.report.clock
        return None if settings is None else _clock_cell(self, settings, self._responses_described)

    @property
    def cells(self) -> list[Cell]:
        """All cells, each after those it reads."""
        return [*self.features.cells.values(), *self.candidates, *filter(None, [self.clock_check])]

    @property
    def provenance(self) -> dict:
        """What the responses came from."""
        return self.recording.responses.provenance

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
    usable = _usable(clock)
    recording = replace(recording, responses=with_group_mean(recording.responses.take_rows(usable)))
    stimulus = stimulus[usable]
    folds = make_folds(experiment.encode.outer, recording, stimulus)
    if experiment.align.to == "samples":
        warn_of_narrow_gaps(experiment, reach=max(map(abs, delays)), what="the longest delay")
    elif window is not None:
        reach = overlapping_epochs(recording.responses.rows, seconds=window.tmax - window.tmin)
        warn_of_narrow_gaps(experiment, reach=reach, what="epochs overlap with as many as")
    return Prepared(experiment, recording, stimulus, folds, delays, clock, usable)


def _usable(rows: pd.DataFrame) -> np.ndarray:
    """Tell which samples are not marked as bad, (n_samples,); epochs that hold such samples were dropped before."""
    if "bad" not in rows:
        return np.ones(len(rows), dtype=bool)
    bad = rows["bad"].to_numpy(bool)
    if bad.any():
        log.info("%d of %d samples are marked as bad and left out", bad.sum(), len(bad))
    return ~bad


def _delays(experiment: Experiment, recording: Recording) -> tuple[int, ...]:
    """Give delays in samples, as they are set or from lags in seconds."""
    lags = experiment.align.lags
    if lags is None:
        return experiment.align.delays
    sfreq = sampling_rate(recording.responses.rows)
    return tuple(delays_between(lags.tmin, lags.tmax, sfreq=sfreq).tolist())


def _score_cell(candidate: Candidate, experiment: Experiment, responses: str) -> Cell:
    settings = {
        "does": "score",
        "version": __version__,
        "features": [[cell.folder, layer] for _, cell, layer in candidate.parts],
        "responses": responses,
        "align": experiment.align.model_dump(mode="json", exclude_none=True),
        "encode": experiment.encode.model_dump(mode="json", exclude={"controls", "together", "metric"}),
    }
    if "seed" in _estimator(experiment, {}).get_params():
        settings["seed"] = experiment.seed
    parts = ("score", candidate.feature_space, candidate.weights, candidate.layer.strip("-"))
    return Cell("-".join(filter(None, parts)), settings, needs=tuple(cell.folder for _, cell, _ in candidate.parts))


def _clock_cell(prepared: Prepared, settings: Clock, responses: str) -> Cell:
    experiment, (cell, layer) = prepared.experiment, prepared.features.only(settings.features)
    table = {
        "does": "check the clock",
        "version": __version__,
        "features": [cell.folder, layer],
        "responses": responses,
        "align": experiment.align.model_dump(mode="json", exclude_none=True),
        "encode": experiment.encode.model_dump(mode="json", exclude={"controls", "together"}),
        "clock": settings.model_dump(mode="json"),
        "seed": experiment.seed,
    }
    return Cell(f"clock-{settings.features}", table, needs=(cell.folder,))


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
        elif cell == self.prepared.clock_check:
            self.check_clock(folder)
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

    def binned(self, cell: Cell, layer: str) -> np.ndarray:
        """Activations on all samples that were recorded, without delays, (n_samples_recorded, n_features)."""
        activations = load_activations(self.store.path, cell, layer)
        return to_samples(activations, self.prepared.clock, bin=self.prepared.experiment.align.bin).astype(np.float64)

    def check_clock(self, folder: Path) -> None:
        """Write the scores of features that are shifted against the responses."""
        experiment = self.prepared.experiment
        X = self.binned(*self.prepared.features.only(experiment.report.clock.features))
        check_clock(self.prepared, X, _estimator(experiment, None), folder)

    def score(self, candidate: Candidate, folder: Path) -> None:
        """Write what `cross_validate` gives for all subjects and targets, each array (n_folds, n_targets)."""
        prepared, spaces = self.prepared, self.spaces(candidate)
        recording, encode = prepared.recording, prepared.experiment.encode
        columns, X = columns_of(spaces), np.hstack(list(spaces.values()))
        Y = np.asarray(recording.responses.values, np.float64)
        result = cross_validate(
            _estimator(prepared.experiment, columns),
            X,
            Y,
            folds=prepared.folds,
            groups=inner_groups(encode.inner, recording, prepared.stimulus),
            run=recording.responses.rows["run"].to_numpy(str) if is_story(recording) else None,
            metrics=tuple(METRICS),
        )
        write_fold_scores(result, folder)
        if prepared.experiment.align.lags is not None:
            self.fit_response_functions(X, Y, columns, folder)

    def fit_response_functions(self, X: np.ndarray, Y: np.ndarray, columns: dict[str, slice], folder: Path) -> None:
        """Write the weights of a model of all samples, (n_targets, n_features, n_lags), in a folder `functions`."""
        prepared = self.prepared
        model = _estimator(prepared.experiment, columns).fit(
            X,
            Y,
            groups=inner_groups(prepared.experiment.encode.inner, prepared.recording, prepared.stimulus),
            run=prepared.recording.responses.rows["run"].to_numpy(str),
            position=np.flatnonzero(prepared.usable),
        )
        found = response_functions(model, prepared.delays, sfreq=sampling_rate(prepared.clock), columns=columns)
        (folder / "functions").mkdir()
        write_arrays(folder / "functions", {"weights": found.weights.astype(np.float32)})


def _estimator(experiment: Experiment, columns: dict[str, slice] | None):
    """Give the encoding model; one that knows feature spaces is told where each lies in X."""
    encode = experiment.encode
    model = ESTIMATORS[encode.estimator](
        alphas=encode.alphas.values(),
        inner=splitter(encode.inner),
        scale=encode.scale,
        precision=encode.precision,
        device=encode.device,
    )
    return model.set_params(columns=columns, seed=experiment.seed) if "columns" in model.get_params() else model


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
    scores, diagnostics, choices = gather_scores(
        prepared.candidates,
        prepared.recording.responses,
        path_of,
        ceilings=prepared.experiment.report.ceilings,
        seed=prepared.experiment.seed,
    )
    _warn_of_edges(diagnostics)
    unique = unique_contributions(scores, prepared.experiment.encode.together)
    check = prepared.clock_check
    checked = (None, None) if check is None else tabulate_clock(prepared, path_of(check))
    functions = response_function_table(prepared, path_of)
    tables = (scores, diagnostics, choices, unique, events_per_sample(prepared), places(prepared), *checked, functions)
    return {name: table for name, table in zip(TABLES, tables, strict=True) if table is not None}


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
    rows = prepared.clock
    if "event" in rows:
        return pd.DataFrame({"run": rows["run"], "time": rows["time"], "n_events": 1})
    counts = np.bincount(sample_of_each_event(prepared.recording.events, rows), minlength=len(rows))
    return pd.DataFrame({"run": rows["run"], "time": rows["time"], "n_events": counts})


def response_function_table(prepared: Prepared, path_of) -> pd.DataFrame | None:
    """Give the response functions of the joint model, or of every feature space alone where there is none.

    Returns
    -------
    table : DataFrame or None
        One row per subject x target x unit x lag: `subject target feature_space weights layer unit lag` (s) `weight`
        (of the response per unit of the feature). None without lags.
    """
    if prepared.experiment.align.lags is None:
        return None
    columns, lags = prepared.recording.responses.columns, np.array(prepared.delays) / sampling_rate(prepared.clock)
    union, tables = "+".join(prepared.experiment.encode.together), []
    for cell, candidate in prepared.candidates.items():
        if len(candidate.parts) > 1 if not union else candidate.feature_space != union:
            continue
        weights = read_arrays(path_of(cell) / "functions")["weights"]
        units = [
            (name, layer.strip("-"), unit)
            for name, extraction, layer in candidate.parts
            for unit in load_activations(path_of, extraction, layer).columns["unit"]
        ]
        for (name, layer, unit), of_unit in zip(units, np.moveaxis(weights, 1, 0), strict=True):  # (n_targets, n_lags)
            described = {"feature_space": name, "weights": candidate.weights, "layer": layer, "unit": unit}
            rows = columns[["subject", "target"]].iloc[np.repeat(np.arange(len(columns)), len(lags))]
            tables.append(rows.assign(**described, lag=np.tile(lags, len(columns)), weight=of_unit.ravel()))
    return pd.concat(tables, ignore_index=True)


def places(prepared: Prepared) -> pd.DataFrame | None:
    """Give `target` and what is known of its place, see `subjects.PLACE`; None where nothing is."""
    columns = prepared.recording.responses.columns
    known = [name for name in PLACE if name in columns]
    return columns[["target", *known]].drop_duplicates("target", ignore_index=True) if known else None


def find_problems(experiment: Experiment, data_dir: Path | None) -> list[str]:
    """Find every bad input before any work: one line per problem, an empty list when all is well."""
    problems = problems_of_layers(experiment.features)
    if (experiment.encode.device, experiment.encode.precision) != ("cpu", "float64"):
        problems += [f"encode: {line}" for line in problems_of(lambda: _check_machine(experiment))]
    if of_data := problems_of_data(experiment.data, data_dir, verb="load"):
        return [*problems, *of_data]
    try:
        prepared = prepare(experiment, data_dir)
    except BrainalignError as error:
        return [*problems, f"data.{experiment.data.set}: {error}"]
    problems += prepared.features.problems(known=problems)
    return [*problems, *_problems_of_encoding(prepared)]


def _check_machine(experiment: Experiment) -> None:
    """Refuse a device or a precision that this machine does not have: a result must be what its methods text says."""
    from brainalign.encode.engine.compute import bfloat16_is_faster, choose_device

    device = choose_device(experiment.encode.device)
    if experiment.encode.precision == "mixed" and not bfloat16_is_faster(device):
        raise BrainalignError(f"precision 'mixed' is no faster here, {device} has no quick bfloat16: take 'float32'")


def _problems_of_encoding(prepared: Prepared) -> list[str]:
    experiment, recording = prepared.experiment, prepared.recording
    problems = _problems_of_clock(prepared)
    clock = experiment.report.clock
    if clock is not None and experiment.align.to != "samples":
        problems.append(f"report.clock: there is no clock to check with align.to = {experiment.align.to!r}")
    of_one_matrix = {
        "encode.controls": [experiment.encode.controls] if experiment.encode.controls else [],
        "encode.together": experiment.encode.together,
        "report.clock.features": [clock.features] if clock else [],
    }
    for key, name in ((key, name) for key, names in of_one_matrix.items() for name in names):
        problems += [f"{key}: {line}" for line in problems_of(lambda name=name: prepared.features.only(name))]
    problems += _problems_of_ceilings(experiment, recording.responses.columns)
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


def _problems_of_ceilings(experiment: Experiment, columns: pd.DataFrame) -> list[str]:
    """List the kinds of noise ceiling that this data set cannot give, or would give twice."""
    kinds, n_subjects = experiment.report.ceilings, len(set(columns["subject"]) - {MEAN})
    problems = [
        f"report.ceilings: {kind!r} needs at least 3 subjects, {experiment.data.set} has {n_subjects}"
        for kind in ("split_half", "leave_one_subject_out")
        if kind in kinds and n_subjects < 3
    ]
    if "published" in kinds and "noise_ceiling" not in columns:
        problems.append(f"report.ceilings: {experiment.data.set} publishes no noise ceiling")
    if "published" in kinds and len(kinds) > 1:
        problems.append("report.ceilings: 'published' stands alone, so that a score has one ceiling")
    return problems


def plan_cells(prepared: Prepared) -> list[CellPlan]:
    """Say what every cell needs, before anything is computed."""
    n_samples, n_targets = prepared.recording.responses.shape
    n_delays, plans = len(prepared.delays), prepared.features.plan_cells()
    for cell, candidate in prepared.candidates.items():
        n_columns = n_delays * sum(prepared.features.width(part) for _, part, _ in candidate.parts)
        size = f"{n_samples} samples x {n_columns} features, {n_targets} targets"
        fit, n_fits = _plan_of_fit(prepared, n_columns), len(prepared.folds) * _n_candidates(prepared, candidate)
        memory = 8 * n_samples * (n_columns + n_targets) + fit.bytes
        disk = 8 * (2 + len(METRICS)) * len(prepared.folds) * n_targets
        plans.append(CellPlan(cell, size, memory, disk, lambda fit=fit, n_fits=n_fits: n_fits * fit.seconds))
    if prepared.clock_check is not None:
        plans.append(_plan_of_clock_check(prepared))
    return plans


def _plan_of_clock_check(prepared: Prepared) -> CellPlan:
    settings, (n_samples, n_targets) = prepared.experiment.report.clock, prepared.recording.responses.shape
    cell, _ = prepared.features.only(settings.features)
    n_columns = len(prepared.delays) * prepared.features.width(cell)
    n_shifts = 2 * settings.reach + 1 + settings.n_controls
    fit, n_fits = _plan_of_fit(prepared, n_columns), len(prepared.folds) * n_shifts
    size = f"{n_samples} samples x {n_columns} features, {n_shifts} shifts"
    memory = 16 * n_samples * (n_columns + n_targets) + fit.bytes
    return CellPlan(prepared.clock_check, size, memory, 8 * n_shifts * n_targets, lambda: n_fits * fit.seconds)


def _plan_of_fit(prepared: Prepared, n_columns: int):
    from brainalign.encode.engine.plan import plan_ridge

    encode, (n_samples, n_targets) = prepared.experiment.encode, prepared.recording.responses.shape
    settings = {name: getattr(encode, name) for name in ("scale", "precision", "device")}
    n_inner = encode.inner.n or 5
    return plan_ridge(n_samples, n_columns, n_targets, n_folds=n_inner, n_alphas=encode.alphas.n, **settings)


def _n_candidates(prepared: Prepared, candidate: Candidate) -> int:
    """Count the ridge regressions that a fit tries: those of a banded model by its random search."""
    model = _estimator(prepared.experiment, {})
    return model.n_iter if hasattr(model, "n_iter") and len(candidate.parts) > 1 else 1
