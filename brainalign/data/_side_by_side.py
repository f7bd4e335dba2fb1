"""Recordings of several people who were shown the same, put side by side on one clock."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainalign.arrays import Recording, Responses
from brainalign.errors import Misaligned

log = logging.getLogger(__name__)

STIMULI = ("word", "sentence", "image", "audio", "video")
CLOCK = ("run", "time", "duration")
SAME_TIME = 1e-6  # s by which the times of two samples may differ
N_SHOWN = 8


def side_by_side(
    recordings: Sequence[Recording],
    *,
    onset_tolerance: float = 0.0,
    unusable: str = "refuse",
    stimuli: tuple[str, ...] = STIMULI,
) -> Recording:
    """Put recordings side by side, one per person.

    Parameters
    ----------
    recordings : sequence of Recording
        Each of one or more people; nobody twice.
    onset_tolerance : float
        Seconds by which onsets and durations of the same event may differ between people; those of the first count.
    unusable : {"refuse", "leave_out"}
        What becomes of a target that some people do not have: an error, or it is left out of all, and counted.
    stimuli : tuple of str
        Columns of the events that must be equal, where they are. Other columns that differ are left out.

    Returns
    -------
    recording : Recording
        A sample is `bad` where it is bad for one person. Provenance: that of each person under `subjects`, and
        `largest_onset_difference` (s).

    Raises
    ------
    Misaligned
        People have other runs, other numbers of samples, another clock, other events, or other targets.
    """
    if len(recordings) == 1:
        return recordings[0]
    first, *others = recordings
    _distinct_people(recordings)
    differences = []
    for other in others:
        _same_clock(first, other)
        differences.append(_same_events(first, other, onset_tolerance, stimuli))
    events = _shared_columns([recording.events for recording in recordings])
    responses = [_with_targets(recording.responses, recordings, unusable) for recording in recordings]
    rows = first.responses.rows[list(CLOCK)].copy()
    bad = np.any([_bad(recording.responses.rows) for recording in recordings], axis=0)
    if bad.any():
        rows["bad"] = bad
    provenance = {
        "subjects": {
            subject: recording.responses.provenance for recording in recordings for subject in _people(recording)
        },
        "largest_onset_difference": max(differences),
    }
    values = np.hstack([part.values for part in responses])
    columns = pd.concat([part.columns for part in responses], ignore_index=True)
    people = [recording.participants for recording in recordings if recording.participants is not None]
    participants = pd.concat(people, ignore_index=True) if len(people) == len(recordings) else None
    return Recording(events, Responses(values, rows, columns, provenance), participants, first.series)


def _people(recording: Recording) -> list[str]:
    return list(recording.responses.columns["subject"].unique())


def _name(recording: Recording) -> str:
    return f"subject {', '.join(_people(recording))}"


def _distinct_people(recordings: Sequence[Recording]) -> None:
    people = [subject for recording in recordings for subject in _people(recording)]
    if twice := sorted({subject for subject in people if people.count(subject) > 1}):
        raise Misaligned(f"subject {', '.join(twice)} is there twice")


def _same_clock(first: Recording, other: Recording) -> None:
    """Refuse people whose samples are not those of the first."""
    rows, others = first.responses.rows, other.responses.rows
    cure = "load them one at a time, or choose `runs` that all have"
    counts, other_counts = (table.groupby("run", sort=False).size().to_dict() for table in (rows, others))
    if list(counts) != list(other_counts):
        only = sorted(set(counts) ^ set(other_counts))
        raise Misaligned(f"{_name(first)} and {_name(other)} have other runs ({only or 'another order'}); {cure}")
    for run, n_samples in counts.items():
        if other_counts[run] != n_samples:
            raise Misaligned(
                f"{_name(other)} has {other_counts[run]} samples in {run}, {_name(first)} has {n_samples}; {cure}"
            )
    apart = np.abs(rows[["time", "duration"]].to_numpy() - others[["time", "duration"]].to_numpy()).max()
    if apart > SAME_TIME:
        raise Misaligned(f"{_name(other)} and {_name(first)} have clocks that differ by up to {apart:g} s; {cure}")


def _same_events(first: Recording, other: Recording, tolerance: float, stimuli: tuple[str, ...]) -> float:
    """Refuse people who were shown something else, and give the largest difference of their times (s)."""
    events, others = first.events, other.events
    who = f"{_name(other)} and {_name(first)}"
    if len(events) != len(others) or (events["run"].to_numpy() != others["run"].to_numpy()).any():
        raise Misaligned(
            f"{who} were not shown the same events: {len(others)} and {len(events)}; load them one at a time"
        )
    for name in stimuli:
        differs = [] if name not in events else _unequal(events[name], others.get(name))
        if len(differs):
            raise Misaligned(
                f"{who} were not shown the same: {name} differs in {len(differs)} events, the first is event "
                f"{differs[0] + 1}; load them one at a time"
            )
    times = np.abs(events[["onset", "duration"]].to_numpy() - others[["onset", "duration"]].to_numpy())
    largest = float(times.max(initial=0.0))
    if largest > tolerance + SAME_TIME:
        i_event = int(times.max(axis=1).argmax())
        raise Misaligned(
            f"{who} have events at other times, by up to {largest:.6g} s (event {i_event + 1}); allow it by "
            "`onset_tolerance`, or load them one at a time"
        )
    return largest


def _unequal(column: pd.Series, other: pd.Series | None) -> np.ndarray:
    if other is None:
        return np.arange(len(column))
    same = (column.to_numpy() == other.to_numpy()) | (column.isna().to_numpy() & other.isna().to_numpy())
    return np.flatnonzero(~same)


def _shared_columns(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Give the first table without the columns that differ between people, such as reaction times."""
    first, *others = tables
    own = [
        name
        for name in first
        if name not in ("onset", "duration") and any(len(_unequal(first[name], table.get(name))) for table in others)
    ]
    if own:
        log.warning("columns of the events differ between people and are left out: %s", own)
    return first.drop(columns=own)


def _with_targets(responses: Responses, recordings: Sequence[Recording], unusable: str) -> Responses:
    """Give the targets that everybody has, in the order of the first."""
    of_all = [set(recording.responses.columns["target"]) for recording in recordings]
    common = set.intersection(*of_all)
    lost = set.union(*of_all) - common
    if lost and unusable == "refuse":
        raise Misaligned(
            f"{len(lost)} targets are not there for everybody: {', '.join(sorted(lost)[:N_SHOWN])}"
            f"{' ...' * (len(lost) > N_SHOWN)}; unusable = 'leave_out' leaves them out for all"
        )
    if not common:
        raise Misaligned("there is no target that everybody has")
    if lost:
        log.warning("subject %s: %d targets left out", responses.columns["subject"].iloc[0], len(lost))
    order = {target: i for i, target in enumerate(recordings[0].responses.columns["target"].unique())}
    columns = responses.columns
    keep = [i for i, target in enumerate(columns["target"]) if target in common]
    people = {subject: i for i, subject in enumerate(columns["subject"].unique())}
    keep.sort(key=lambda i: (people[columns["subject"][i]], order[columns["target"][i]]))
    return responses.take_columns(np.array(keep, dtype=int))


def _bad(rows: pd.DataFrame) -> np.ndarray:
    return rows["bad"].to_numpy(bool) if "bad" in rows else np.zeros(len(rows), dtype=bool)
