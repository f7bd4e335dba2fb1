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

STIMULUS_COLUMNS = ("word", "sentence", "image", "video", "audio", "audio_start", "category")
FILE_COLUMNS = {"image", "video", "audio"}


def is_story(recording: Recording) -> bool:
    """Tell whether samples follow each other in time: a series, or epochs of the words of a text."""
    return "event" not in recording.responses.rows or "word" in recording.events


def stimuli_of_samples(recording: Recording) -> np.ndarray:
    """Name what was presented at every sample, so that a repetition has the same name; shape (n_samples,).

    One sentence or picture per sample: its content, that of a file being its bytes. A story: the content of its run and
    the position in it (of the sample, or of the word), so two runs that present the same story share names.
    """
    events, rows = recording.events, recording.responses.rows
    shown = events[[name for name in STIMULUS_COLUMNS if name in events]].astype(str)
    for name in FILE_COLUMNS & set(shown):
        shown[name] = shown[name].map({path: _content_of(Path(path)) for path in shown[name].unique()})
    content = shown.agg("\t".join, axis=1)
    if not is_story(recording):
        return content.to_numpy()[rows["event"].to_numpy()]
    runs = {
        run: hashlib.sha256("\n".join(content[events["run"] == run]).encode()).hexdigest()
        for run in rows["run"].unique()
    }
    position = rows.groupby("run", sort=False).cumcount()
    if "event" in rows:
        position = events.groupby("run", sort=False).cumcount().iloc[rows["event"]].reset_index(drop=True)
    return (rows["run"].map(runs) + ":" + position.astype(str)).to_numpy(str)


def _content_of(path: Path) -> str:
    return sha256_of(path) if path.is_file() else str(path)


def splitter(splits: Splits) -> Blocks | Groups:
    """Splitter of the encoding core for a table of settings."""
    return Blocks(splits.n, splits.gap) if splits.kind == "blocks" else Groups(splits.n, splits.seed)


def stimulus_groups(recording: Recording, stimulus: np.ndarray) -> np.ndarray:
    """Name what must not be split when whole stimuli are left out: an event's content, or that of a whole run."""
    return np.array([name.split(":")[0] for name in stimulus]) if is_story(recording) else stimulus


def _groups(splits: Splits, recording: Recording, stimulus: np.ndarray) -> np.ndarray | None:
    """Label per sample that a split by groups leaves out as a whole; None where contiguous blocks are left out."""
    if splits.kind == "blocks":
        return None
    of_run = recording.responses.rows["run"].to_numpy(str)
    return of_run if splits.by == "run" else stimulus_groups(recording, stimulus)


def make_folds(splits: Splits, recording: Recording, stimulus: np.ndarray) -> list[Fold]:
    """Outer folds over the samples of a recording, none of which trains and tests on the same stimulus.

    Raises
    ------
    BrainalignError
        Folds that cannot be made, or would share a stimulus.
    """
    groups, run = _groups(splits, recording, stimulus), recording.responses.rows["run"].to_numpy(str)
    folds = splitter(splits).split(len(run), groups=groups, run=run)
    check_stimuli(folds, stimulus)
    return folds


def inner_groups(splits: Splits, recording: Recording, stimulus: np.ndarray) -> np.ndarray | None:
    """Label per sample that inner splits leave out as a whole; None for blocks, and for the runs of a series."""
    if splits.kind == "groups" and splits.by == "run" and is_story(recording):
        return None
    return _groups(splits, recording, stimulus)


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


def warn_of_narrow_gaps(experiment: Experiment, *, reach: int, what: str) -> None:
    """Log blocks whose gap is shorter than the reach of a sample: their training and test samples share stimuli.

    Parameters
    ----------
    experiment : Experiment
    reach : int
        Samples.
    what : str
        That reaches so far, for the message.
    """
    for name in ("outer", "inner"):
        splits = getattr(experiment.encode, name)
        if splits.kind == "blocks" and splits.gap < reach:
            log.warning("encode.%s.gap is %d samples, %s %d: widen the gap", name, splits.gap, what, reach)


def overlapping_epochs(rows: pd.DataFrame, *, seconds: float) -> int:
    """Count the epochs that begin at most so long after another has begun, at most."""
    n_after = [
        np.searchsorted(onset, onset + seconds, side="right") - np.arange(len(onset)) - 1
        for _, of_run in rows.groupby("run", sort=False)
        for onset in [np.sort(of_run["time"].to_numpy(float))]
    ]
    return int(max(of_run.max() for of_run in n_after))
