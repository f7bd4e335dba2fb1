"""M/EEG of published BIDS folders whose events need a reader of their own: run by run, then person beside person."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import mne
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from brainalign.arrays import Recording
from brainalign.data._bids_meeg import inputs_of, read_raw, sidecars_of, types_of
from brainalign.data._bids_query import BidsFile
from brainalign.data._events import check_events
from brainalign.data._meeg import Samples, join_runs, samples_of_raw
from brainalign.data._preparation import Preparation
from brainalign.errors import Misaligned

SAME = 1e-6  # samples by which two counts of samples may differ through rounding


class Recorded(BaseModel):
    """Settings of the recordings, the same for all of these data sets."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    picks: tuple[str, ...] = Field((), description="channel types, e.g. 'mag'; none named: all of the datatype")
    notch: tuple[float, ...] = Field((), description="frequencies that a notch filter takes out, Hz")
    l_freq: float | None = Field(None, gt=0, description="lower edge of the band that is passed, Hz")
    h_freq: float | None = Field(None, gt=0, description="upper edge of the band that is passed, Hz")
    sfreq: float | None = Field(None, gt=0, description="resample every run to this rate, Hz")
    unusable: Literal["refuse", "leave_out"] = Field(
        "leave_out", description="what becomes of channels that are bad or without a signal in some run or person"
    )

    def preparation(self, **more) -> Preparation:
        """Give what is done to each run, with what is not set here, e.g. `reference`."""
        settings = {name: getattr(self, name) for name in ("picks", "notch", "l_freq", "h_freq", "sfreq")}
        return Preparation(**settings | more)


@dataclass(frozen=True)
class Shown:
    """What was presented in one run.

    Parameters
    ----------
    events : DataFrame
        `onset`, `duration` (s from the first sample of the file) and what was presented.
    files : tuple of Path
        What they were read from.
    start, stop : float
        The part of the run that is kept, s from the first sample of the file. A `stop` of None is the end of the run.
    counts : dict
        For the provenance.
    """

    events: pd.DataFrame
    files: tuple[Path, ...]
    start: float = 0.0
    stop: float | None = None
    counts: dict = field(default_factory=dict)


def load_person(
    root: Path,
    subject: str,
    files: Mapping[str, BidsFile],
    *,
    datatype: Literal["meg", "eeg"],
    preparation: Preparation,
    unusable: str,
    shown_in: Callable[[str, BidsFile], Shown],
    read: Callable[[Path, BidsFile], mne.io.BaseRaw] = read_raw,
) -> tuple[Recording, set[Path]]:
    """Load one person: each run prepared as a whole, then cut; runs one below the other.

    Parameters
    ----------
    root : Path
        Top of the BIDS folder.
    subject : str
    files : dict
        Name of the run to its file.
    datatype : {"meg", "eeg"}
        Whose channel types are taken where none are picked.
    preparation : Preparation
    unusable : {"refuse", "leave_out"}
        What becomes of channels that are usable in some runs only.
    shown_in : callable
        (run, file) to what was presented in it.
    read : callable
        (root, file) to the recording, with its bad channels and bad spans marked.

    Returns
    -------
    recording : Recording
        Provenance by run, beside that of `join_runs`: `n_events`, `starts_at` (s, of the first sample that is kept, in
        the file) and the counts of `shown_in`.
    inputs : set of Path
        Every file that was read.

    Raises
    ------
    Misaligned
        Events lie outside the recording, or the recording does not cover the part that is to be kept.
    """
    samples, tables, notes, inputs = {}, [], {}, set()
    for run, file in files.items():
        shown = shown_in(run, file)
        raw = read(root, file)
        source = f"{file.path}, events of {shown.files[0]}"
        events = check_events(shown.events.assign(run=run), source, recorded=raw.n_times / raw.info["sfreq"])
        chosen = replace(preparation, picks=preparation.picks or types_of(raw, datatype))
        samples[run], starts_at = samples_between(
            raw, str(file.path), start=shown.start, stop=shown.stop, preparation=chosen
        )
        tables.append(events.assign(onset=events["onset"] - starts_at))
        notes[run] = {"n_events": len(events), "starts_at": starts_at} | shown.counts
        inputs |= {*inputs_of(file), *shown.files, *sidecars_of(root, file), *map(Path, filter(None, raw.filenames))}
    responses = join_runs(samples, subject=subject, unusable=unusable)
    for run, note in notes.items():
        responses.provenance["runs"][run].update(note)
    return Recording(pd.concat(tables, ignore_index=True), responses), inputs


def samples_between(
    raw: mne.io.BaseRaw, source: str, *, start: float, stop: float | None, preparation: Preparation
) -> tuple[Samples, float]:
    """Prepare a run as a whole, and give its part from `start` to `stop`, as if recorded from `start` on.

    The new samples lie where they would if the recording began at the last recorded sample not after `start`: people
    whose recordings began at other times before the same sound are sampled at the same times of the sound, to within
    one recorded sample and what the resampling of the run adds, which may be half a new sample.

    Parameters
    ----------
    raw : mne.io.Raw
        Is not changed.
    source : str
        For the errors.
    start, stop : float
        s from the first sample; a `stop` of None is the end.
    preparation : Preparation

    Returns
    -------
    samples : Samples
    starts_at : float
        Time of the first of them in the run (s), at most one recorded period before `start`.

    Raises
    ------
    Misaligned
        The part is not inside the recording.
    """
    recorded = raw.info["sfreq"]
    seconds = raw.n_times / recorded
    if start < 0 or (stop is not None and stop > seconds + SAME / recorded):
        raise Misaligned(
            f"{source}: lasts from 0 to {seconds:g} s, {start:g} to {stop if stop is not None else seconds:g} s of it "
            "are to be kept; take less time before the first and after the last event (lead, tail)"
        )
    per_sample = recorded / (preparation.sfreq or recorded)  # recorded samples
    first = int(start * recorded + SAME)
    n_before = int(first / per_sample)
    phase = int(first - n_before * per_sample + SAME)  # recorded samples, less than one new sample
    samples = samples_of_raw(
        raw.copy().crop(tmin=phase / recorded, verbose="WARNING") if phase else raw,
        source,
        preparation,
    )
    end = len(samples.values) if stop is None else n_before + int((stop - start) * samples.sfreq + SAME)
    if end > len(samples.values):
        raise Misaligned(f"{source}: {end} samples are to be kept, resampling leaves {len(samples.values)}")
    kept = slice(n_before, end)
    cut = replace(samples, values=samples.values[kept], bad=samples.bad[kept])
    return cut, float((phase + n_before * per_sample) / recorded)
