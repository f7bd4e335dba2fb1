"""Activations of events onto the samples of a recording: TR bins, or one event per sample."""

import numpy as np
from pandas import DataFrame

from brainalign.arrays import Activations
from brainalign.errors import Misaligned, UnknownName

BINS = ("sum", "mean")

EDGE = 1e-6
"""Share of a sample's duration within which an onset counts as lying on the edge: `3 * 0.1` and `0.3` are one time."""


def to_samples(activations: Activations, rows: DataFrame, *, bin: str = "sum") -> np.ndarray:  # noqa: A002
    """Gather the activations of the events that begin within each sample.

    `X[i] = sum over events e of the run of sample i with time[i] <= onset[e] < time[i] + duration[i] of
    activations[e]`, divided by the number of those events where `bin="mean"`.

    Parameters
    ----------
    activations : Activations of shape (n_events, n_features)
        Rows `run, onset` (s).
    rows : DataFrame of n_samples rows
        `run, time, duration` (s), by time within each run, without overlap.
    bin : {"sum", "mean"}

    Returns
    -------
    X : array of shape (n_samples, n_features)
        Of the dtype of the activations. Samples in which no event begins are zero.

    Raises
    ------
    Misaligned
        An event belongs to no sample: its run was not recorded, it begins before the first sample or at or after the
        end of the last, or between two samples. Samples of a run are out of order or overlap.
    UnknownName
        Another `bin`.

    Notes
    -----
    Onsets nearer than `EDGE` of a sample's duration to its beginning count as lying on it.
    """
    if bin not in BINS:
        raise UnknownName("bin", bin, BINS)
    i_sample = sample_of_each_event(activations.rows, rows)  # (n_events,)
    order = np.argsort(i_sample, kind="stable")
    filled, starts, counts = np.unique(i_sample[order], return_index=True, return_counts=True)
    X = np.zeros((len(rows), activations.shape[1]), dtype=activations.values.dtype)
    if len(filled):
        X[filled] = np.add.reduceat(np.asarray(activations.values)[order], starts, axis=0)
    if bin == "mean":
        X[filled] /= counts[:, None]
    return X


def sample_of_each_event(events: DataFrame, rows: DataFrame) -> np.ndarray:
    """Give the position in `rows` of the sample within which each event begins.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run, onset` (s).
    rows : DataFrame of n_samples rows
        `run, time, duration` (s).

    Returns
    -------
    i_sample : int array of shape (n_events,)

    Raises
    ------
    Misaligned
        As `to_samples`.
    """
    i_sample = np.full(len(events), -1)
    event_run, sample_run = events["run"].to_numpy(), rows["run"].to_numpy()
    onset = _finite(events["onset"], "onset of an event")
    time, duration = _finite(rows["time"], "time of a sample"), _finite(rows["duration"], "duration of a sample")
    for run in dict.fromkeys(event_run.tolist()):
        of_run = np.flatnonzero(event_run == run)
        samples = np.flatnonzero(sample_run == run)
        if len(samples) == 0:
            raise Misaligned(
                f"events of run {run!r} have no samples; runs recorded: {sorted(set(sample_run.tolist()))}"
            )
        place = _place(onset[of_run], time[samples], duration[samples], run=run)
        if (place < 0).any():
            lost = of_run[place < 0]
            raise Misaligned(_lost_events(events, lost, time[samples[0]], time[samples[-1]] + duration[samples[-1]]))
        i_sample[of_run] = samples[place]
    return i_sample


def to_events(activations: Activations, rows: DataFrame) -> np.ndarray:
    """Give the activations of the event that each sample is the response to.

    Parameters
    ----------
    activations : Activations of shape (n_events, n_features)
    rows : DataFrame of n_samples rows
        `run`, and `event`: positions in the rows of `activations`.

    Returns
    -------
    X : array of shape (n_samples, n_features)

    Raises
    ------
    Misaligned
        There is no column `event`, it holds something else than positions of events, or an event's run is not the
        sample's.
    """
    if "event" not in rows:
        raise Misaligned(f"responses have no column 'event', only {list(rows.columns)}; align them to samples instead")
    event = rows["event"].to_numpy()
    if not np.issubdtype(event.dtype, np.integer):
        raise Misaligned(f"column 'event' must hold whole numbers, got {event.dtype}")
    outside = np.flatnonzero((event < 0) | (event >= len(activations.values)))
    if len(outside):
        raise Misaligned(
            f"sample {outside[0]} is the response to event {event[outside[0]]}, but the activations have events "
            f"0 to {len(activations.values) - 1}; were they extracted from other events?"
        )
    event_run, sample_run = activations.rows["run"].to_numpy()[event], rows["run"].to_numpy()
    foreign = np.flatnonzero(event_run != sample_run)
    if len(foreign):
        i = foreign[0]
        raise Misaligned(
            f"sample {i} of run {sample_run[i]!r} is the response to event {event[i]}, which is of run {event_run[i]!r}"
        )
    return np.asarray(activations.values[event])


def _place(onset, time, duration, *, run):
    """Give the index of the sample that holds each onset, -1 where none does."""
    tolerance = EDGE * duration  # (n_samples,)
    if (duration <= 0).any() or (time[1:] < (time + duration - tolerance)[:-1]).any():
        i = int(np.flatnonzero((duration <= 0) | np.r_[False, time[1:] < (time + duration - tolerance)[:-1]])[0])
        raise Misaligned(
            f"run {run!r}: sample {i} at {time[i]} s (duration {duration[i]} s) begins before the one before it "
            "has ended, or has no duration; sort the samples by time"
        )
    place = np.searchsorted(time - tolerance, onset, side="right") - 1
    beyond = onset >= (time + duration - tolerance)[place]
    return np.where((place < 0) | beyond, -1, place)


def _finite(column, name):
    values = column.to_numpy(dtype=float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise Misaligned(f"{name}: row {bad[0]} is {values[bad[0]]}; times are in seconds and finite")
    return values


def _lost_events(events, lost, first, last):
    """Say which events belong to no sample, the first by name."""
    event = events.iloc[lost[0]]
    name = next((f" {event[column]!r}" for column in ("word", "sentence") if column in events), "")
    more = f" (and {len(lost) - 1} more events of this run)" if len(lost) > 1 else ""
    return (
        f"event {lost[0]}{name} at {event['onset']} s of run {event['run']!r} belongs to no sample: the samples cover "
        f"{first} to {last} s{more}; leave out what was not recorded, or correct the clock"
    )
