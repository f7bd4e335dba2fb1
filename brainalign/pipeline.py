"""One cell of an experiment, from data to scores: the only place that knows the whole flow.

data -> events, responses; events -> activations (one cell per feature space and weights); activations -> the
recording's clock -> delays -> ridge, scored on held-out folds (one cell per feature space, weights and layer). People
who were shown the same events share X, so all subjects and their mean are fitted side by side in one cell.
"""

import hashlib
import importlib.resources
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.align.delays import delay
from brainalign.align.samples import to_events, to_samples
from brainalign.arrays import Activations, Recording, Responses
from brainalign.config import Experiment, FeatureSpace, Splits
from brainalign.data import DATASETS
from brainalign.encode import ESTIMATORS
from brainalign.encode.metrics import METRICS
from brainalign.encode.score import FoldScores, cross_validate
from brainalign.encode.splits import Blocks, Fold, Groups, check_stimuli
from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.extract import EXTRACTORS
from brainalign.files import sha256_of
from brainalign.jobs.cells import Cell

log = logging.getLogger(__name__)

MEAN = "mean"  # the subject name of the group mean
STIMULUS_COLUMNS = ("word", "sentence", "image", "video", "audio", "audio_start")


@dataclass(frozen=True)
class Candidate:
    """One layer of one feature space, alone or together with the controls: what a score cell scores.

    Parameters
    ----------
    feature_space : str
        Its name in tables: "gpt2", or "words+gpt2" for the joint model.
    weights : str
        "trained", "untrained" or "" for families without weights.
    layer : str
    parts : tuple of (Cell, str)
        The extraction cells and layers whose features stand side by side.
    """

    feature_space: str
    weights: str
    layer: str
    parts: tuple[tuple[Cell, str], ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """An experiment with its data in memory and its work laid out.

    Parameters
    ----------
    experiment : Experiment
    recording : Recording
        With the group mean as a subject of its own where there are several.
    stimulus : array of shape (n_samples,)
        What was presented, see `stimuli_of_samples`.
    folds : list of Fold
        Outer folds, shared by every cell.
    """

    experiment: Experiment
    recording: Recording
    stimulus: np.ndarray
    folds: list[Fold]

    @cached_property
    def extractions(self) -> dict[tuple[str, str], Cell]:
        """Extraction cell of every (feature space, weights)."""
        return {
            (name, weights): _extraction_cell(name, space, weights, table_of(self.recording, space))
            for name, space in self.experiment.features.items()
            for weights in space.variants
        }

    @cached_property
    def candidates(self) -> dict[Cell, Candidate]:
        """Score cells and what each scores, in the order of the experiment file."""
        described = _describe_responses(self.recording.responses)
        return {_score_cell(c, self.experiment, described): c for c in self._candidates()}

    @property
    def is_series(self) -> bool:
        """Whether samples follow each other in time, rather than each being the response to one event."""
        return self.experiment.align.to == "samples"

    @property
    def cells(self) -> list[Cell]:
        """All cells, each after those it reads."""
        return [*self.extractions.values(), *self.candidates]

    def _candidates(self) -> Iterator[Candidate]:
        controls = self.experiment.encode.controls
        for (name, weights), cell in self.extractions.items():
            for layer in _layers(self.experiment.features[name]):
                yield Candidate(name, weights, layer, ((cell, layer),))
        if not controls:
            return
        control_space = self.experiment.features[controls]
        control = (self.extractions[controls, control_space.variants[0]], _layers(control_space)[0])
        for (name, weights), cell in self.extractions.items():
            for layer in _layers(self.experiment.features[name]) if weights and name != controls else ():
                yield Candidate(f"{controls}+{name}", weights, layer, (control, (cell, layer)))


def packaged_analysis(name: str) -> Path:
    """Path of an experiment file that ships with the package.

    Raises
    ------
    UnknownName
        There is no such analysis.
    """
    known = {path.stem: path for path in analysis_files()}
    if name not in known:
        raise UnknownName("packaged analysis", name, known)
    return known[name]


def analysis_files() -> list[Path]:
    """Experiment files that ship: `analyses/` of a checkout, or its copy inside an installed package."""
    package = Path(str(importlib.resources.files("brainalign")))
    installed, checkout = package / "analyses", package.parent / "analyses"
    return sorted((installed if installed.is_dir() else checkout).glob("*.toml"))


def prepare(experiment: Experiment, data_dir: Path | None) -> Prepared:
    """Load the data of an experiment and lay out its work.

    Raises
    ------
    MissingData, Misaligned
        The data are absent or do not fit together; a stimulus would be in training and test.
    """
    recording = DATASETS[experiment.data.set].load(experiment.data.config, data_dir)
    recording = replace(recording, responses=with_group_mean(recording.responses))
    stimulus = stimuli_of_samples(recording)
    folds = make_folds(experiment.encode.outer, recording.responses.rows, stimulus)
    _warn_of_narrow_gaps(experiment)
    return Prepared(experiment, recording, stimulus, folds)


def _warn_of_narrow_gaps(experiment: Experiment) -> None:
    """Log blocks whose gap is shorter than the longest delay: their training and test samples share stimuli."""
    longest = max(abs(delay) for delay in experiment.align.delays)
    for name in ("outer", "inner"):
        splits = getattr(experiment.encode, name)
        if experiment.align.to == "samples" and splits.kind == "blocks" and splits.gap < longest:
            log.warning("encode.%s.gap is %d samples, the longest delay %d: widen the gap", name, splits.gap, longest)


def with_group_mean(responses: Responses) -> Responses:
    """Append the mean of the subjects, each standardised per target, as the subject "mean".

    Where there is one subject only, the responses are given back as they are.
    """
    if responses.columns["subject"].nunique() < 2:
        return responses
    subjects, targets, z = standardised_subjects(responses)
    if MEAN in subjects:
        raise Misaligned(f"a subject is called {MEAN!r}, the name of the group mean; give it another name")
    columns = pd.concat([responses.columns, pd.DataFrame({"subject": MEAN, "target": targets})], ignore_index=True)
    values = np.hstack([responses.values, z.mean(axis=0).astype(responses.values.dtype)])
    return Responses(values, responses.rows, columns, responses.provenance)


def standardised_subjects(responses: Responses) -> tuple[list[str], list[str], np.ndarray]:
    """Give the responses of the subjects, each target of mean 0 and deviation 1.

    Returns
    -------
    subjects : list of str, of length n_subjects
    targets : list of str, of length n_targets
    z : float64 array of shape (n_subjects, n_samples, n_targets)

    Raises
    ------
    Misaligned
        The subjects do not have the same targets in the same order, or a target is constant or not finite.
    """
    columns = responses.columns
    subjects, targets = list(columns["subject"].unique()), list(columns["target"].unique())
    position = columns.reset_index().pivot(index="subject", columns="target", values="index").loc[subjects, targets]
    if position.isna().any(axis=None):
        subject, target = position.isna().stack().idxmax()
        raise Misaligned(
            f"subject {subject} has no target {target}, others have; choose targets that all subjects have"
        )
    stacked = np.asarray(responses.values, np.float64)[:, position.to_numpy(int)]  # (n_samples, n_subjects, n_targets)
    stacked = stacked.transpose(1, 0, 2)
    deviation = stacked.std(axis=1, keepdims=True)
    if not (deviation > 0).all():
        i_subject, _, i_target = np.argwhere(~(deviation > 0))[0]
        raise Misaligned(
            f"subject {subjects[i_subject]}, target {targets[i_target]} is constant or not finite and cannot enter the "
            "group mean; leave the subject out"
        )
    return subjects, targets, (stacked - stacked.mean(axis=1, keepdims=True)) / deviation


def stimuli_of_samples(recording: Recording) -> np.ndarray:
    """Name what was presented at every sample, so that a repetition has the same name; shape (n_samples,).

    One event per sample: its content. A series: the content of its run and the position in it, so two runs that present
    the same story share names sample by sample.
    """
    events, rows = recording.events, recording.responses.rows
    content = events[[name for name in STIMULUS_COLUMNS if name in events]].astype(str).agg("\t".join, axis=1)
    if "event" in rows:
        return content.to_numpy()[rows["event"].to_numpy()]
    runs = {
        run: hashlib.sha256("\n".join(content[events["run"] == run]).encode()).hexdigest()
        for run in rows["run"].unique()
    }
    position = rows.groupby("run", sort=False).cumcount()
    return (rows["run"].map(runs) + ":" + position.astype(str)).to_numpy(str)


def splitter(splits: Splits) -> Blocks | Groups:
    """Splitter of the encoding core for a table of settings."""
    return Blocks(splits.n, splits.gap) if splits.kind == "blocks" else Groups(splits.n, splits.seed)


def stimulus_groups(rows: pd.DataFrame, stimulus: np.ndarray) -> np.ndarray:
    """Name what must not be split when whole stimuli are left out: an event's content, or that of a whole run."""
    return stimulus if "event" in rows else np.array([name.split(":")[0] for name in stimulus])


def _groups(splits: Splits, rows: pd.DataFrame, stimulus: np.ndarray) -> np.ndarray | None:
    """Label per sample that a split by groups leaves out as a whole; None where contiguous blocks are left out."""
    if splits.kind == "blocks":
        return None
    return rows["run"].to_numpy(str) if splits.by == "run" else stimulus_groups(rows, stimulus)


def make_folds(splits: Splits, rows: pd.DataFrame, stimulus: np.ndarray) -> list[Fold]:
    """Outer folds over the samples of a recording, none of which trains and tests on the same stimulus.

    Raises
    ------
    BrainalignError
        Folds that cannot be made, or would share a stimulus.
    """
    groups = _groups(splits, rows, stimulus)
    folds = splitter(splits).split(len(rows), groups=groups, run=rows["run"].to_numpy(str))
    check_stimuli(folds, stimulus)
    return folds


def _layers(space: FeatureSpace) -> tuple[str, ...]:
    return EXTRACTORS[space.extractor].layer_names(space.config)


def _sha256(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def has_own_clock(space: FeatureSpace, events: pd.DataFrame) -> bool:
    """Tell whether the rows of a feature space are not those of the events."""
    own_clock = getattr(EXTRACTORS[space.extractor], "own_clock", None)
    return own_clock is not None and own_clock(events, space.config)


def table_of(recording: Recording, space: FeatureSpace) -> pd.DataFrame:
    """Give what a feature space is made from: the events, or the series that the data set brings along.

    Raises
    ------
    Misaligned
        It brings none.
    """
    if space.extractor != "series":
        return recording.events
    if recording.series is None:
        raise Misaligned("the data set brings no series along, or its settings leave them out")
    return recording.series


def _extraction_cell(name: str, space: FeatureSpace, weights: str, events: pd.DataFrame) -> Cell:
    module = EXTRACTORS[space.extractor]
    settings = {
        "does": "extract",
        "version": __version__,
        "extractor": space.extractor,
        "settings": module.settings(space.config),
        "weights": weights,
        "fingerprint": module.fingerprint(space.config, weights=weights),
        "stimulus": _describe_events(events, module.stimulus_files(events)),
    }
    return Cell("-".join(filter(None, ("extract", name, weights))), settings)


def _describe_events(events: pd.DataFrame, files: list[Path]) -> str:
    """Describe events and the bytes of the files that they name, wherever those lie."""
    places = {str(path): path.name for path in files}
    named = events.replace(places) if places else events
    return _sha256(named.to_csv(index=False), *(sha256_of(path) for path in files))


def _describe_responses(responses: Responses) -> str:
    tables = (responses.rows.to_csv(index=False), responses.columns.to_csv(index=False))
    return _sha256(np.ascontiguousarray(responses.values).tobytes(), responses.values.dtype, *tables)


def _score_cell(candidate: Candidate, experiment: Experiment, responses: str) -> Cell:
    settings = {
        "does": "score",
        "version": __version__,
        "features": [[cell.folder, layer] for cell, layer in candidate.parts],
        "responses": responses,
        "align": experiment.align.model_dump(mode="json"),
        "encode": experiment.encode.model_dump(mode="json", exclude={"controls", "metric"}),
    }
    parts = ("score", candidate.feature_space, candidate.weights, candidate.layer.strip("-"))
    return Cell("-".join(filter(None, parts)), settings, needs=tuple(cell.folder for cell, _ in candidate.parts))


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
        self._extractions = {cell: key for key, cell in prepared.extractions.items()}
        for fold in prepared.folds:
            inner_folds(prepared, fold.train)

    def __call__(self, cell: Cell, folder: Path) -> None:
        """Compute a cell and write its files into an empty folder."""
        if cell in self._extractions:
            self.extract(*self._extractions[cell], folder)
        else:
            self.score(self.prepared.candidates[cell], folder)

    def extract(self, name: str, weights: str, folder: Path) -> None:
        """Write the activations of a feature space, one folder per layer."""
        space = self.prepared.experiment.features[name]
        module = EXTRACTORS[space.extractor]
        cell = self.prepared.extractions[name, weights]
        with self.store.half_done(cell) as scratch:
            table = table_of(self.prepared.recording, space)
            layers = module.extract(table, space.config, weights=weights, scratch=scratch)
            for layer, activations in layers.items():
                activations.save(folder / f"layer{layer}")

    def features(self, candidate: Candidate) -> np.ndarray:
        """X of a candidate on the recording's clock with its delays, (n_samples, n_delays * n_features)."""
        align, rows = self.prepared.experiment.align, self.prepared.recording.responses.rows
        spaces = []
        for cell, layer in candidate.parts:
            activations = Activations.load(self.store.path(cell) / f"layer{layer}")
            if align.to == "events":
                _same_events(activations, self.prepared.recording.events)
                spaces.append(to_events(activations, rows))
            else:
                spaces.append(to_samples(activations, rows, bin=align.bin))
        X = np.hstack(spaces).astype(np.float64)
        return X if align.to == "events" else delay(X, align.delays, run=rows["run"].to_numpy(str))

    def score(self, candidate: Candidate, folder: Path) -> None:
        """Write what `cross_validate` gives for all subjects and targets, each array (n_folds, n_targets)."""
        encode, responses = self.prepared.experiment.encode, self.prepared.recording.responses
        result = cross_validate(
            ESTIMATORS[encode.estimator](
                alphas=encode.alphas.values(),
                inner=splitter(encode.inner),
                scale=encode.scale,
                precision=encode.precision,
                device=encode.device,
            ),
            self.features(candidate),
            np.asarray(responses.values, np.float64),
            folds=self.prepared.folds,
            groups=_groups_for_inner(self.prepared),
            run=responses.rows["run"].to_numpy(str) if self.prepared.is_series else None,
            metrics=tuple(METRICS),
        )
        write_fold_scores(result, folder)


def write_fold_scores(result: FoldScores, folder: Path) -> None:
    """Write the arrays of a score cell, one `.npy` each."""
    arrays = {"alpha": result.alpha, "inner_score": result.inner_score, "alpha_at_edge": result.alpha_at_edge}
    for name, values in (*arrays.items(), *((f"score_{metric}", values) for metric, values in result.scores.items())):
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def read_fold_scores(folder: Path) -> FoldScores:
    """Read what `write_fold_scores` wrote."""
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
    scores = {metric: arrays.pop(f"score_{metric}") for metric in METRICS}
    return FoldScores(scores, **arrays)


def _same_events(activations: Activations, events: pd.DataFrame) -> None:
    for name in ("run", "onset"):
        if not np.array_equal(activations.rows[name].to_numpy(), events[name].to_numpy()):
            raise Misaligned(f"stored activations have other {name}s than the events; remove the cell and run again")


def find_problems(experiment: Experiment, data_dir: Path | None) -> list[str]:
    """Find every bad input before any work: one line per problem, an empty list when all is well."""
    problems: list[str] = []
    for name, space in experiment.features.items():
        problems += [f"features.{name}: {line}" for line in _problems_of(lambda space=space: _layers(space))]
    if (experiment.encode.device, experiment.encode.precision) != ("cpu", "float64"):
        problems += [f"encode: {line}" for line in _problems_of(lambda: _check_machine(experiment))]
    if of_data := _problems_of_data(experiment, data_dir):
        return [*problems, *of_data]
    try:
        prepared = prepare(experiment, data_dir)
    except BrainalignError as error:
        return [*problems, f"data.{experiment.data.set}: {error}"]
    rows = prepared.recording.responses.rows
    for name, space in experiment.features.items():
        if not any(line.startswith(f"features.{name}:") for line in problems):
            problems += [f"features.{name}: {line}" for line in _problems_of_features(space, prepared.recording)]
    problems += _problems_of_encoding(experiment, prepared, rows)
    return problems


def _problems_of_features(space: FeatureSpace, recording: Recording) -> list[str]:
    try:
        return EXTRACTORS[space.extractor].check(table_of(recording, space), space.config)
    except BrainalignError as error:
        return [str(error)]


def _check_machine(experiment: Experiment) -> None:
    """Refuse a device or a precision that this machine does not have: a result must be what its methods text says."""
    from brainalign.encode.engine.compute import bfloat16_is_faster, choose_device

    device = choose_device(experiment.encode.device)
    if experiment.encode.precision == "mixed" and not bfloat16_is_faster(device):
        raise BrainalignError(f"precision 'mixed' is no faster here, {device} has no quick bfloat16: take 'float32'")


def _problems_of_data(experiment: Experiment, data_dir: Path | None) -> list[str]:
    """List the files that are missing or are not those that were published, for data sets that have files."""
    check = getattr(DATASETS[experiment.data.set], "check", None)
    if check is None:
        return []
    found: list[str] = []
    raised = _problems_of(lambda: found.extend(check(experiment.data.config, data_dir)))
    return [f"data.{experiment.data.set}: {line}" for line in (*raised, *found)]


def _problems_of(step) -> list[str]:
    try:
        step()
    except BrainalignError as error:
        return [str(error)]
    return []


def _problems_of_encoding(experiment: Experiment, prepared: Prepared, rows: pd.DataFrame) -> list[str]:
    problems = []
    shortest = int(rows.groupby("run", sort=False).size().min())
    longest_delay = max(abs(d) for d in experiment.align.delays)
    if experiment.align.to == "samples" and longest_delay >= shortest:
        problems.append(f"align.delays: a delay of {longest_delay} samples is longer than a run of {shortest} samples")
    if experiment.align.to == "events" and experiment.align.delays != (0,):
        problems.append("align.delays: samples that are responses to single events have no delays; leave the key out")
    if experiment.align.to == "events":
        problems += [
            f"features.{name}: its rows have a clock of their own, but every sample is the response to one event"
            for name, space in experiment.features.items()
            if has_own_clock(space, prepared.recording.events)
        ]
    if (experiment.align.to == "events") != ("event" in rows):
        kind = "one event per sample" if "event" in rows else "a series in time"
        problems.append(f"align.to: {experiment.align.to!r} does not fit {experiment.data.set}, which is {kind}")
    controls = experiment.encode.controls
    if controls and len(_layers(experiment.features[controls])) * len(experiment.features[controls].variants) > 1:
        problems.append(f"encode.controls: {controls!r} has several layers or weights; controls are one matrix")
    problems += _problems_of_ceilings(experiment, prepared.recording.responses.columns)
    for fold in prepared.folds:
        problems += _problems_of(lambda fold=fold: inner_folds(prepared, fold.train))
    return sorted(set(problems))


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


def _groups_for_inner(prepared: Prepared) -> np.ndarray | None:
    """Label per sample that inner splits leave out as a whole; None for blocks, and for the runs of a series."""
    inner, rows = prepared.experiment.encode.inner, prepared.recording.responses.rows
    if inner.kind == "groups" and inner.by == "run" and prepared.is_series:
        return None
    return _groups(inner, rows, prepared.stimulus)


def inner_folds(prepared: Prepared, train: np.ndarray) -> list[Fold]:
    """Inner folds of one training set, as the estimator makes them.

    Raises
    ------
    BrainalignError
        Folds that cannot be made, or that train and test on the same stimulus.
    """
    inner, run = prepared.experiment.encode.inner, prepared.recording.responses.rows["run"].to_numpy(str)[train]
    groups = _groups_for_inner(prepared)
    groups = None if groups is None else groups[train]
    try:
        folds = splitter(inner).split(len(train), groups=groups, run=run, position=train)
        check_stimuli(folds, prepared.stimulus[train])
    except BrainalignError as error:
        raise BrainalignError(f"encode.inner: {error}") from None
    return folds


def _memory_of_fit(experiment: Experiment, n_samples: int, n_features: int, n_targets: int) -> int:
    from brainalign.encode.engine.plan import plan_ridge

    encode = experiment.encode
    settings = {name: getattr(encode, name) for name in ("scale", "precision", "device")} | {
        "n_alphas": encode.alphas.n
    }
    return plan_ridge(n_samples, n_features, n_targets, n_folds=encode.inner.n or 5, **settings).bytes


def describe_plan(prepared: Prepared, is_stored) -> pd.DataFrame:
    """Say what every cell needs, before anything is computed.

    Parameters
    ----------
    prepared : Prepared
    is_stored : callable
        Cell -> whether it is finished.

    Returns
    -------
    plan : DataFrame
        Columns `cell, size, memory_mb` (arrays in memory at a time), `disk_mb, stored`.
    """
    responses, experiment = prepared.recording.responses, prepared.experiment
    n_samples, n_targets = responses.shape
    width, rows = {}, []
    for (name, _), cell in prepared.extractions.items():
        space = experiment.features[name]
        counts = EXTRACTORS[space.extractor].plan(table_of(prepared.recording, space), space.config)
        width[name] = counts["width"]
        size = f"{counts['n_events']} events x {counts['n_layers']} layers x {counts['width']} units"
        result = counts["bytes_result"]
        rows.append((cell, size, result + counts.get("bytes_weights", 0), result))
    names = {cell: name for (name, _), cell in prepared.extractions.items()}
    for cell, candidate in prepared.candidates.items():
        n_columns = len(experiment.align.delays) * sum(width[names[part]] for part, _ in candidate.parts)
        size = f"{n_samples} samples x {n_columns} features, {n_targets} targets"
        memory = 8 * n_samples * (n_columns + n_targets) + _memory_of_fit(experiment, n_samples, n_columns, n_targets)
        rows.append((cell, size, memory, 8 * (2 + len(METRICS)) * len(prepared.folds) * n_targets))
    return pd.DataFrame(
        [
            (c.name, size, round(m / 1e6, 1), round(d / 1e6, 3), "yes" if is_stored(c) else "no")
            for c, size, m, d in rows
        ],
        columns=["cell", "size", "memory_mb", "disk_mb", "stored"],
    )
