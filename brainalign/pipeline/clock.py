"""Whether features and recording are on one clock: a lag scan, and features that belong to another part of the story.

The lag scan scores the undelayed features of one feature space, moved by some samples either way; the score peaks at
the delay of the brain's answer. The control scores the features as the experiment does, with its delays, moved round
their run by so much that they belong to another part of the stimulus.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.align.delays import delay
from brainalign.align.shifts import far_shifts, lag_scan, shift_control
from brainalign.config import Splits
from brainalign.encode.score import cross_validate
from brainalign.jobs.cells import Cell
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.features import CellPlan
from brainalign.pipeline.fits import encoding_model, fit_settings, plan_of_fit
from brainalign.pipeline.folds import splitter, stimulus_groups
from brainalign.pipeline.subjects import main_subject


class ClockCheck:
    """The step of an encoding experiment that checks its clock, see `encoding.STEPS`.

    Parameters
    ----------
    prepared : encoding.Prepared
    """

    TABLES = ("clock", "clock_control")

    def __init__(self, prepared):
        self.prepared, self.settings = prepared, prepared.experiment.report.clock

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The one cell, where the check is asked for."""
        if self.settings is None:
            return ()
        cell, layer = self.prepared.features.only(self.settings.features)
        table = fit_settings(
            self.prepared, "check the clock", [cell.folder, layer], without=("controls", "together")
        ) | {"clock": self.settings.model_dump(mode="json"), "seed": self.prepared.experiment.seed}
        return (Cell(f"clock-{self.settings.features}", table, needs=(cell.folder,)),)

    def problems(self) -> list[str]:
        """Say why there is no clock to check."""
        align = self.prepared.experiment.align
        if self.settings is None or align.to == "samples":
            return []
        return [f"report.clock: there is no clock to check with align.to = {align.to!r}"]

    def plan(self, cell: Cell) -> CellPlan:
        """Say what the check needs."""
        n_samples, n_targets = self.prepared.recording.responses.shape
        extraction, _ = self.prepared.features.only(self.settings.features)
        n_columns = len(self.prepared.delays) * self.prepared.features.width(extraction)
        n_shifts = 2 * self.settings.reach + 1 + self.settings.n_controls
        fit, n_fits = plan_of_fit(self.prepared, n_columns), len(self.prepared.folds) * n_shifts
        size = f"{n_samples} samples x {n_columns} features, {n_shifts} shifts"
        memory = 16 * n_samples * (n_columns + n_targets) + fit.bytes
        return CellPlan(cell, size, memory, 8 * n_shifts * n_targets, lambda: n_fits * fit.seconds)

    def compute(self, cell: Cell, folder: Path, computer) -> None:  # noqa: ARG002 - there is one
        """Write the scores of features that are shifted against the responses."""
        X = computer.binned(*self.prepared.features.only(self.settings.features))
        check_clock(self.prepared, X, encoding_model(self.prepared.experiment, None), folder)

    def tabulate(self, path_of: Callable[[Cell], Path]) -> dict[str, pd.DataFrame]:
        """Read the tables of the check, none where it is not asked for."""
        return {
            name: table
            for cell in self.cells
            for name, table in zip(self.TABLES, tabulate_clock(self.prepared, path_of(cell)), strict=True)
        }


def check_clock(prepared, X: np.ndarray, model, folder: Path) -> None:
    """Write the scores of shifted features for the targets of the main subject.

    Parameters
    ----------
    prepared : encoding.Prepared
    X : array of shape (n_samples, n_features)
        On the recording's clock, without delays.
    model : estimator
    folder : Path
        Of the cell: `shifts` (n_shifts,), `scan` (n_shifts, n_targets), `score` (n_targets,), `shifted` (n_controls,
        n_targets) and `p` (n_targets,), each an `.npy`.
    """
    clock, responses = prepared.experiment.report.clock, prepared.recording.responses
    own = (responses.columns["subject"] == main_subject(responses.columns)).to_numpy()
    run = prepared.clock["run"].to_numpy(str)
    Y = np.full((len(run), own.sum()), np.nan)  # samples that are not usable stay nan
    Y[prepared.usable] = responses.values[:, own]
    score = _scorer(prepared, model)
    scan = lag_scan(score, X, Y, shifts=np.arange(-clock.reach, clock.reach + 1), run=run)
    delayed = delay(X, prepared.delays, run=run)
    far = 2 * clock.reach + max(map(abs, prepared.delays)) + 1
    shifts = far_shifts(clock.n_controls, smallest=far, run=run, seed=prepared.experiment.seed)
    control = shift_control(score, delayed, Y, shifts=shifts, run=run)
    found = {"shifts": scan.shifts, "scan": scan.scores, "score": control.score, "shifted": control.shifted}
    write_arrays(folder, found | {"p": control.p})


def _scorer(prepared, model):
    """Give the whole analysis as a function of (X, Y, run): held-out scores of models fitted anew."""
    encode, recording = prepared.experiment.encode, prepared.recording
    of_run = dict(zip(recording.responses.rows["run"], stimulus_groups(recording, prepared.stimulus), strict=True))

    def groups(splits: Splits, run):
        if splits.kind == "blocks":
            return None
        return run if splits.by == "run" else np.array([of_run[name] for name in run])

    def score(X, Y, run):
        usable = np.isfinite(Y).all(axis=1)
        X, Y, run = X[usable], Y[usable], run[usable]
        folds = splitter(encode.outer).split(len(X), groups=groups(encode.outer, run), run=run)
        inner = None if encode.inner.by == "run" else groups(encode.inner, run)
        scores = cross_validate(model, X, Y, folds=folds, groups=inner, run=run, metrics=(encode.metric,))
        return scores.mean(encode.metric)

    return score


def tabulate_clock(prepared, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what `check_clock` wrote.

    Returns
    -------
    scan : DataFrame
        One row per target x shift: `target`, `shift` (samples; positive: features later, so that the past explains the
        present), `seconds`, `score`.
    control : DataFrame
        One row per target: `score` in place, `control_mean, control_sd, control_highest` of the shifted features, `p`.
    """
    columns = prepared.recording.responses.columns
    targets = columns.loc[columns["subject"] == main_subject(columns), "target"].to_numpy(object)
    found = read_arrays(folder)
    shifts, n_targets = found["shifts"], len(targets)
    scan = pd.DataFrame(
        {
            "target": np.repeat(targets, len(shifts)),
            "shift": np.tile(shifts, n_targets),
            "seconds": np.tile(shifts * prepared.clock["duration"].iloc[0], n_targets),
            "score": found["scan"].T.ravel(),
        }
    )
    shifted = found["shifted"]
    control = {"target": targets, "score": found["score"], "control_mean": shifted.mean(axis=0)}
    control |= {"control_sd": shifted.std(axis=0, ddof=1), "control_highest": shifted.max(axis=0), "p": found["p"]}
    return scan, pd.DataFrame(control)
