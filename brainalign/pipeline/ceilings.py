"""Noise ceilings of an experiment, and how far people share their responses: what they are computed from."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.arrays import Recording, Responses
from brainalign.encode import ESTIMATORS
from brainalign.encode.ceiling import leave_one_subject_out, split_half
from brainalign.encode.inter_subject import KIND as INTER_SUBJECT_RIDGE
from brainalign.encode.inter_subject import inter_subject_ridge
from brainalign.encode.repetitions import FEWEST, split_half_of_repetitions
from brainalign.errors import Misaligned
from brainalign.jobs.cells import Cell
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.features import CellPlan
from brainalign.pipeline.fits import edges_are_counted, responses_to_fit
from brainalign.pipeline.folds import is_story, splitter, stimulus_groups
from brainalign.pipeline.inter_subject import inter_subject_correlations
from brainalign.pipeline.subjects import MEAN, positions_of_subjects, standardised_subjects, target_key

METRIC = "pearson"  # all ceilings are in r
FEWEST_SUBJECTS = {"split_half": 3, "leave_one_subject_out": 3, "inter_subject_ridge": 2}
OF_MEAN = ("split_half", "repetitions")
OF_SUBJECTS = ("leave_one_subject_out", "inter_subject_ridge", "repetitions")


class Ceilings:
    """The step of an experiment that gives noise ceilings and inter-subject correlations, see `encoding.STEPS`.

    Parameters
    ----------
    prepared : encoding.Prepared
    """

    TABLES = ("noise_ceilings", "inter_subject_correlations", "inter_subject_regions")

    def __init__(self, prepared):
        self.prepared = prepared

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those asked for."""
        return self.prepared.experiment.report.ceilings

    @cached_property
    def cells(self) -> dict[Cell, str]:
        """Cells that fit inter-subject ridges, where these are asked for, and the subject of each."""
        if "inter_subject_ridge" not in self.kinds:
            return {}
        names = self.prepared.recording.responses.columns["subject"].unique()
        fitted = {"alphas", "outer", "inner", "scale", "precision", "device"}
        settings = {
            "does": "inter-subject ridge",
            "version": __version__,
            "responses": self.prepared.responses_described,
            "encode": self.prepared.experiment.encode.model_dump(mode="json", include=fitted),
        }
        return {Cell(f"ceiling-{name}", settings | {"subject": name}): name for name in names if name != MEAN}

    def problems(self) -> list[str]:
        """List the kinds that this data set cannot give, or that would give a score two ceilings."""
        kinds, data_set = self.kinds, self.prepared.experiment.data.set
        columns = self.prepared.recording.responses.columns
        n_subjects = len(set(columns["subject"]) - {MEAN})
        problems = [
            f"report.ceilings: {kind!r} needs at least {fewest} subjects, {data_set} has {n_subjects}"
            for kind, fewest in FEWEST_SUBJECTS.items()
            if kind in kinds and n_subjects < fewest
        ]
        if "published" in kinds and "noise_ceiling" not in columns:
            problems.append(f"report.ceilings: {data_set} publishes no noise ceiling")
        if "published" in kinds and len(kinds) > 1:
            problems.append("report.ceilings: 'published' stands alone, so that a score has one ceiling")
        for whose, rivals in (("the group mean", OF_MEAN), ("single subjects", OF_SUBJECTS)):
            if len(asked := [kind for kind in rivals if kind in kinds]) > 1:
                both = " and ".join(map(repr, asked))
                problems.append(f"report.ceilings: {both} would both be the ceiling of {whose}; choose one")
        return [*problems, *(_problems_of_repetitions(self.prepared) if "repetitions" in kinds else [])]

    def plan(self, cell: Cell) -> CellPlan:
        """Say what an inter-subject ridge needs."""
        from brainalign.encode.engine.plan import plan_ridge

        encode, columns = self.prepared.experiment.encode, self.prepared.recording.responses.columns
        n_samples, n_targets = len(self.prepared.stimulus), len(columns) // columns["subject"].nunique()
        n_lags = columns["lag"].nunique() if "lag" in columns else 1
        width, n_others, n_fits = n_targets // n_lags, len(self.cells) - 1, len(self.prepared.folds) * n_lags
        settings = {name: getattr(encode, name) for name in ("scale", "precision", "device")}
        fit = plan_ridge(n_samples, width, width, n_folds=encode.inner.n or 5, n_alphas=encode.alphas.n, **settings)
        size = f"{n_samples} samples, {n_targets} targets from those of {n_others} others"
        memory = 8 * n_samples * n_targets * (n_others + 3) + fit.bytes
        return CellPlan(cell, size, memory, 8 * n_targets, lambda: n_fits * fit.seconds)

    def compute(self, cell: Cell, folder: Path, computer) -> None:  # noqa: ARG002 - no features are asked for
        """Write how well the other people's responses predict those of a subject, `value` (n_targets,).

        With the folds, groups, penalties and precision of the experiment's models. The features of a target are the
        mean of the others at all targets; of epochs, at all sensors at the same time.
        """
        prepared, encode, responses = self.prepared, self.prepared.experiment.encode, self.prepared.recording.responses
        singles = responses.columns[responses.columns["subject"] != MEAN]
        names, targets, positions = positions_of_subjects(singles)
        own = positions[names.index(self.cells[cell])]
        settings = {name: getattr(encode, name) for name in ("scale", "precision", "device")}
        with edges_are_counted():
            found = inter_subject_ridge(
                responses_to_fit(prepared.experiment, responses.values[:, own]),
                [responses.values[:, other] for other in positions if other is not own],
                estimator=ESTIMATORS["ridge"](encode.alphas.values(), inner=splitter(encode.inner), **settings),
                folds=prepared.folds,
                groups=prepared.inner_groups,
                run=prepared.series,
                blocks=targets["lag"].to_numpy() if "lag" in targets else None,
            )
        write_arrays(folder, {"value": found.value[np.argsort(own)]})  # in the order of the columns

    def tabulate(self, path_of: Callable[[Cell], Path]) -> dict[str, pd.DataFrame]:
        """Gather the ceilings, and correlate people with each other.

        Returns
        -------
        tables : dict of str to DataFrame
            "noise_ceilings": one row per subject and target that has one, `subject target` (`lag`) `metric
            noise_ceiling ceiling_kind raw`, in r; `raw` is what was measured, before a correction (nan for a published
            one). The group mean has the split-half ceiling, a single subject the correlation with the mean of the
            others or the inter-subject ridge, both that of repetitions, a published mean what its data set publishes.
            Of several people also the tables of `inter_subject.inter_subject_correlations`.
        """
        responses = self.prepared.recording.responses
        found = inter_subject_correlations(responses) or ()
        return dict(zip(self.TABLES, (self._noise_ceilings(path_of), *found), strict=False))

    def _noise_ceilings(self, path_of) -> pd.DataFrame:
        responses = self.prepared.recording.responses
        tables = [_published(responses.columns)] if "published" in self.kinds else []
        tables += _of_shared_responses(responses, self.kinds, self.prepared.experiment.seed)
        if "repetitions" in self.kinds:
            tables.append(_of_repetitions(self.prepared))
        for cell, subject in self.cells.items():
            own = responses.columns[responses.columns["subject"] == subject]
            value = read_arrays(path_of(cell))["value"]
            tables.append(_of_columns(own, value, value, INTER_SUBJECT_RIDGE))
        tables = tables or [_of_columns(responses.columns.iloc[:0], [], [], "")]
        return pd.concat(tables, ignore_index=True).assign(metric=METRIC)


def _problems_of_repetitions(prepared) -> list[str]:
    data_set, recording = prepared.experiment.data.set, prepared.recording
    counts = pd.Series(prepared.stimulus).value_counts()
    problems = _unequal_runs(prepared)
    if (n_repeated := int((counts > 1).sum())) < FEWEST:
        what = "samples of a story" if is_story(recording) else "stimuli"
        problems.append(
            f"report.ceilings: 'repetitions' needs at least {FEWEST} {what} that were presented twice or more to the "
            f"same person, {data_set} has {n_repeated} of {len(counts)}"
        )
    return problems


def _unequal_runs(prepared) -> list[str]:
    """Name the runs of a series in time that present the same, but are not equally long or not equally timed."""
    if not _is_series(prepared.recording):
        return []
    run = pd.Series(prepared.recording.responses.rows["run"].to_numpy(str))
    clocks, events = dict(list(prepared.clock.groupby("run"))), dict(list(prepared.recording.events.groupby("run")))
    problems = []
    for _, of_story in run.groupby(stimulus_groups(prepared.recording, prepared.stimulus), sort=False):
        first, *again = dict.fromkeys(of_story)
        for other in again:
            what = (
                f"report.ceilings: 'repetitions' compares runs {first} and {other}, which present the same, sample by"
            )
            lengths = len(clocks[first]), len(clocks[other])
            if lengths[0] != lengths[1]:
                problems.append(f"{what} sample; they have {lengths[0]} and {lengths[1]} samples: crop them alike")
            elif (apart := _time_apart(events, clocks, first, other)) > clocks[first]["duration"].iloc[0]:
                problems.append(f"{what} sample; their events are up to {apart:.3g} s apart: crop the runs alike")
    return problems


def _time_apart(events: dict, clocks: dict, first: str, other: str) -> float:
    """Give the longest time (s) by which an event of one run, from the run's beginning, is off that of the other."""
    if first not in events:
        return 0.0
    onsets = [events[run]["onset"].to_numpy() - clocks[run]["time"].iloc[0] for run in (first, other)]
    return float(np.abs(onsets[0] - onsets[1]).max())


def _is_series(recording: Recording) -> bool:
    return "event" not in recording.responses.rows


def _published(columns: pd.DataFrame) -> pd.DataFrame:
    known = columns[columns["noise_ceiling"].notna()]
    return known[["subject", *target_key(columns), "noise_ceiling", "ceiling_kind"]].assign(raw=np.nan)


def _of_shared_responses(responses: Responses, kinds: tuple[str, ...], seed: int) -> list[pd.DataFrame]:
    """Give the ceilings that tell signal from noise by what people share."""
    singles = responses.take_columns((responses.columns["subject"] != MEAN).to_numpy())
    if not {"split_half", "leave_one_subject_out"} & set(kinds):
        return []
    subjects, targets, z = standardised_subjects(singles)
    tables = []
    if "split_half" in kinds:
        found = split_half(z, seed=seed)
        tables.append(_of_columns(targets.assign(subject=MEAN), found.value, found.raw, found.kind))
    if "leave_one_subject_out" in kinds:
        found = leave_one_subject_out(z)
        for subject, value in zip(subjects, found.value, strict=True):
            tables.append(_of_columns(targets.assign(subject=subject), value, value, found.kind))
    return tables


def _of_repetitions(prepared) -> pd.DataFrame:
    """Give the ceiling of scores on single trials, of everybody and of the group mean.

    A word or a sample of a story that was heard again is the same stimulus; whole runs make up the halves then. Runs of
    a series are taken about their own means, as scores of left-out runs are.
    """
    if unequal := _unequal_runs(prepared):
        raise Misaligned(unequal[0])
    recording, Y = prepared.recording, np.asarray(prepared.recording.responses.values)
    run = recording.responses.rows["run"].to_numpy(str)
    if _is_series(recording):
        Y = Y.astype(np.float64)
        for name in np.unique(run):
            Y[run == name] -= Y[run == name].mean(axis=0)
    groups = run if is_story(recording) else None
    found = split_half_of_repetitions(Y, prepared.stimulus, groups=groups, seed=prepared.experiment.seed)
    return _of_columns(recording.responses.columns, found.value, found.raw, found.kind)


def _of_columns(columns: pd.DataFrame, value, raw, kind: str) -> pd.DataFrame:
    named = columns[["subject", *target_key(columns)]]
    return named.assign(noise_ceiling=np.asarray(value, float), raw=np.asarray(raw, float), ceiling_kind=kind)
