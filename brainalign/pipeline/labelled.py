"""What is decoded: responses to events, each with the class of its event and its run."""

import logging
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from brainalign.align.epochs import to_epochs
from brainalign.arrays import Recording, Responses
from brainalign.config import Window
from brainalign.errors import Misaligned, UnknownName
from brainalign.pipeline.usable import usable_samples

log = logging.getLogger(__name__)

EDGE = 1e-6  # share of a volume's duration within which its beginning counts as that of the window
UNUSABLE = "no usable sample"


@dataclass(frozen=True, eq=False)
class Samples:
    """Responses to events.

    Parameters
    ----------
    X : array of shape (n_samples, n_targets)
    labels, run : arrays of shape (n_samples,)
        Class and run of every sample.
    left_out : dict of str to int
        Events that are no sample, by reason.
    """

    X: np.ndarray
    labels: np.ndarray
    run: np.ndarray
    left_out: dict[str, int] = field(default_factory=dict)


def classes_of_events(events: pd.DataFrame, *, column: str, threshold: float | None = None) -> np.ndarray:
    """Give the class of every event, as text.

    Parameters
    ----------
    events : DataFrame
    column : str
        Of the events: the class or, with a threshold, a number.
    threshold : float, optional
        The classes are then "<column> > <threshold>" and "<column> <= <threshold>".

    Raises
    ------
    UnknownName
        The events have no such column.
    Misaligned
        An event has no class, or no number.
    """
    if column not in events:
        raise UnknownName("column of the events", column, set(events) - {"onset", "duration"})
    given = events[column]
    if threshold is None:
        if (unnamed := given.isna() | (given.astype(str).str.strip() == "")).any():
            raise Misaligned(f"{unnamed.sum()} events have no {column}; leave out what is of no class")
        return given.to_numpy(str)
    numbers = pd.to_numeric(given, errors="coerce").to_numpy(float)
    if (unnamed := ~np.isfinite(numbers)).any():
        raise Misaligned(f"decode.threshold: {unnamed.sum()} events have no number in {column}; leave them out")
    return np.where(numbers > threshold, f"{column} > {threshold:g}", f"{column} <= {threshold:g}")


def samples_of_events(recording: Recording, *, column: str, shift: float, threshold: float | None = None) -> Samples:
    """Average, for every event, the usable samples that begin from `onset + shift` to `onset + duration + shift`.

    Parameters
    ----------
    recording : Recording
        A series in time, or responses to single events, which are taken as they are.
    column, threshold
        See `classes_of_events`.
    shift : float
        s.

    Returns
    -------
    samples : Samples
        In the order of the events, or of the responses to them. An event all of whose samples are marked as bad is left
        out and counted.

    Raises
    ------
    UnknownName
        The events have no such column.
    Misaligned
        An event has no class, its response would end after its run or no sample begins while it lasts, or responses to
        single events are shifted; all events of a class are left out.
    """
    events, rows = recording.events, recording.responses.rows
    labels, run = classes_of_events(events, column=column, threshold=threshold), events["run"].to_numpy(str)
    values, usable = np.asarray(recording.responses.values, np.float64), usable_samples(rows)
    if "event" in rows:
        if shift:
            raise Misaligned(f"decode.shift: samples are responses to single events; nothing is {shift:g} s later")
        i_event = rows["event"].to_numpy()[usable]
        return _without_the_rest(values[usable], labels, run, i_event, len(rows) - len(i_event))
    windows = [_window(event, rows, shift) for event in events.itertuples()]
    windows = [window[usable[window]] for window in windows]
    kept = np.flatnonzero([len(window) > 0 for window in windows])
    X = np.array([values[windows[i]].mean(axis=0) for i in kept]).reshape(len(kept), values.shape[1])
    return _without_the_rest(X, labels, run, kept, len(events) - len(kept))


def _without_the_rest(X, labels, run, kept, n_left_out) -> Samples:
    """Give the samples of the events that are kept, and how many are not."""
    left_out = {UNUSABLE: n_left_out} if n_left_out else {}
    if left_out:
        log.info("%d of %d events are left out: %s", n_left_out, n_left_out + len(kept), UNUSABLE)
    _check_lost(labels, labels[kept], left_out)
    return Samples(X, labels[kept], run[kept], left_out)


def _check_lost(labels, kept, left_out) -> None:
    """Refuse to go on without a class."""
    if lost := sorted(set(labels.tolist()) - set(kept.tolist())):
        reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
        raise Misaligned(f"all events of class {lost[0]!r} are left out ({reasons}); mark fewer samples as bad")


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


def epochs_of_events(
    recording: Recording, *, column: str, window: Window, threshold: float | None = None
) -> tuple[Responses, Samples]:
    """Cut a continuous recording into windows around events.

    Parameters
    ----------
    recording : Recording
        A continuous recording.
    column, threshold
        See `classes_of_events`.
    window : Window

    Returns
    -------
    responses : Responses of shape (n_epochs, n_channels * n_times)
        As `align.epochs.to_epochs` gives them: all times of the first channel, then all of the second.
    samples : Samples
        The same values with classes; epochs that leave their run, or hold bad samples, are left out and counted.

    Raises
    ------
    UnknownName, Misaligned
        As `samples_of_events` and `to_epochs`; every sample is the response to one event already.
    """
    if "event" in recording.responses.rows:
        raise Misaligned("decode.epochs: every sample is the response to one event, there is no time to cut from")
    labels = classes_of_events(recording.events, column=column, threshold=threshold)
    responses = to_epochs(recording.responses, recording.events, **window.model_dump()).responses
    i_event = responses.rows["event"].to_numpy()
    left_out = responses.provenance["epochs"]["dropped"]
    _check_lost(labels, labels[i_event], left_out)
    return responses, Samples(responses.values, labels[i_event], responses.rows["run"].to_numpy(str), left_out)
