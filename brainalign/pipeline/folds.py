"""How the samples of a recording are divided, so that no stimulus is in training and test."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.arrays import Recording
from brainalign.config import Experiment, Splits
from brainalign.encode.splits import Blocks, Fold, Groups, check_stimuli
from brainalign.errors import BrainalignError
from brainalign.files import sha256_of

log = logging.getLogger(__name__)

STIMULUS_COLUMNS = ("word", "sentence", "image", "video", "audio", "audio_start")
FILE_COLUMNS = {"image", "video", "audio"}


def stimuli_of_samples(recording: Recording) -> np.ndarray:
    """Name what was presented at every sample, so that a repetition has the same name; shape (n_samples,).

    One event per sample: its content, that of a file being its bytes. A series: the content of its run and the position
    in it, so two runs that present the same story share names sample by sample.
    """
    events, rows = recording.events, recording.responses.rows
    shown = events[[name for name in STIMULUS_COLUMNS if name in events]].astype(str)
    for name in FILE_COLUMNS & set(shown):
        shown[name] = shown[name].map({path: _content_of(Path(path)) for path in shown[name].unique()})
    content = shown.agg("\t".join, axis=1)
    if "event" in rows:
        return content.to_numpy()[rows["event"].to_numpy()]
    runs = {
        run: hashlib.sha256("\n".join(content[events["run"] == run]).encode()).hexdigest()
        for run in rows["run"].unique()
    }
    position = rows.groupby("run", sort=False).cumcount()
    return (rows["run"].map(runs) + ":" + position.astype(str)).to_numpy(str)


def _content_of(path: Path) -> str:
    return sha256_of(path) if path.is_file() else str(path)


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


def inner_groups(splits: Splits, recording: Recording, stimulus: np.ndarray) -> np.ndarray | None:
    """Label per sample that inner splits leave out as a whole; None for blocks, and for the runs of a series."""
    rows = recording.responses.rows
    if splits.kind == "groups" and splits.by == "run" and "event" not in rows:
        return None
    return _groups(splits, rows, stimulus)


def check_inner_folds(splits: Splits, recording: Recording, stimulus: np.ndarray, train: np.ndarray) -> None:
    """Make the inner folds of one training set as the estimator will, and refuse what leaks.

    Raises
    ------
    BrainalignError
        Folds that cannot be made, or that train and test on the same stimulus.
    """
    run, groups = recording.responses.rows["run"].to_numpy(str)[train], inner_groups(splits, recording, stimulus)
    try:
        folds = splitter(splits).split(
            len(train), groups=None if groups is None else groups[train], run=run, position=train
        )
        check_stimuli(folds, stimulus[train])
    except BrainalignError as error:
        raise BrainalignError(f"encode.inner: {error}") from None


def warn_of_narrow_gaps(experiment: Experiment) -> None:
    """Log blocks whose gap is shorter than the longest delay: their training and test samples share stimuli."""
    longest = max(abs(delay) for delay in experiment.align.delays)
    for name in ("outer", "inner"):
        splits = getattr(experiment.encode, name)
        if experiment.align.to == "samples" and splits.kind == "blocks" and splits.gap < longest:
            log.warning("encode.%s.gap is %d samples, the longest delay %d: widen the gap", name, splits.gap, longest)
