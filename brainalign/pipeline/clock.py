"""Whether features and recording are on one clock: a lag scan, and features that belong to another part of the story.

The lag scan scores the undelayed features of one feature space, moved by some samples either way; the score peaks at
the delay of the brain's answer. The control scores the features as the experiment does, with its delays, moved round
their run by so much that they belong to another part of the stimulus.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.align.delays import delay
from brainalign.align.shifts import far_shifts, lag_scan, shift_control
from brainalign.config import Splits
from brainalign.encode.score import cross_validate
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.folds import splitter, stimulus_groups
from brainalign.pipeline.subjects import main_subject


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
