"""EEG of one person who presses a button when a square appears at the attended place: EEGLAB's tutorial recording.

Its comments say how it was made: epochs of three seconds around target squares, one after the other. So it is not one
uninterrupted recording but 79 stretches of 3 s or more, and the signal jumps where one ends and the next begins. They
lie in one run here, filtered as a whole, since no filter for slow waves fits into 3 s; the rows name the stretch of
each sample, and what a square evokes within 2 s stays inside its stretch.

References
----------
Makeig, Westerfield, Jung, Covington, Townsend, Sejnowski & Courchesne (1999). Functionally independent components of
the late positive event-related potential during visual spatial attention. Journal of Neuroscience 19:2665-2680.
Delorme & Makeig (2004). EEGLAB. Journal of Neuroscience Methods 134:9-21.
"""

from pathlib import Path

import mne
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from brainalign.arrays import Recording, Responses
from brainalign.data._events import check_events
from brainalign.data._manifest import check_files, provenance_of, require_folder, verified_files
from brainalign.data._meeg import join_runs, samples_of_raw
from brainalign.data._preparation import Preparation
from brainalign.errors import Misaligned, MissingData

NAME = "eeglab_sample"
HEADER = "test_raw.set"
FILES = (HEADER, "test_raw.fdt")
RUN = "1"
SUBJECT = "s1"
SFREQ = 128.0  # Hz
TARGET = "square"  # a target at the attended place; "rt" is the button press
EVENTS = (TARGET, "rt")
BEFORE, AFTER = 128, 257  # samples of a stretch before its target, and from it on
POSITIONS = "easycap-M1"  # a template of mne: a sphere of 95 mm
ELECTRODES = (
    "FPz", "EOG1", "F3", "Fz", "F4", "EOG2", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "C4", "Cz", "T8", "CP5", "CP1",
    "CP2", "CP6", "P7", "P3", "Pz", "P4", "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2",
)  # fmt: skip
"""Names of the file's channels EEG 000, EEG 001, ..., from EEGLAB's sample_data/eeglab_chan32.locs."""


class Config(BaseModel):
    """Settings of the data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    l_freq: float = Field(0.5, ge=0, description="lower edge of the band that is passed, Hz; 0: none")
    h_freq: float = Field(15.0, gt=0, le=SFREQ / 2, description="upper edge of the band that is passed, Hz; 64: none")
    sfreq: float = Field(SFREQ, gt=0, le=SFREQ, description="resample to this rate, Hz; 128: as recorded")

    @model_validator(mode="after")
    def _a_band(self):
        if self.l_freq >= self.h_freq:
            raise ValueError(f"l_freq {self.l_freq:g} Hz is not below h_freq {self.h_freq:g} Hz")
        return self


def check(config: Config, data_dir: Path) -> list[str]:  # noqa: ARG001 - every setting needs the same files
    """List what stands in the way of loading, before any work."""
    try:
        return check_files(NAME, require_folder(data_dir), FILES)
    except MissingData as error:
        return [str(error)]


def load(config: Config, data_dir: Path) -> Recording:
    """Load the squares and button presses, and 32 channels of EEG.

    Returns
    -------
    recording : Recording
        `events`: 154 rows `run` "1", `onset` (s), `duration` 0, `trial_type` "square" or "rt". `responses` (30504, 32)
        float32, in volt, at 128 Hz unless resampled: rows `run`, `time`, `duration` (s), `stretch` (1-79), and `bad`
        if a span of the file is marked as bad; columns `subject` "s1", `target` (electrode, "Pz"), `channel_type`,
        `x, y, z` (m, in the head's frame: where mne's template easycap-M1, a sphere, has the electrode; NaN for EOG1
        and EOG2), `channel` (its name in the file).

    Raises
    ------
    MissingData
        A file is absent or is not the published one.
    """
    data_dir = require_folder(data_dir)
    files = verified_files(NAME, data_dir, FILES)
    source = str(files[HEADER])
    raw = read_recording(files[HEADER])
    l_freq, h_freq = config.l_freq or None, None if config.h_freq == SFREQ / 2 else config.h_freq
    samples = samples_of_raw(raw, source, Preparation(l_freq=l_freq, h_freq=h_freq, sfreq=config.sfreq))
    channels = join_runs({RUN: samples}, subject=SUBJECT)
    events = read_targets_and_presses(raw)
    starts = stretch_starts(events.loc[events["trial_type"] == TARGET, "onset"], raw.n_times)
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": provenance_of(NAME, files),
        "band": {"l_freq": l_freq, "h_freq": h_freq, "filter": f"mne {mne.__version__}, FIR, firwin, zero phase"},
        "positions": f"template {POSITIONS}, by the electrode's name",
        **channels.provenance,
    }
    rows = channels.rows.assign(stretch=np.searchsorted(starts, channels.rows["time"], side="right"))
    columns = channels.columns.assign(channel=[raw_name(name) for name in channels.columns["target"]])
    recorded = raw.n_times / SFREQ
    return Recording(
        check_events(events, source, recorded=recorded), Responses(channels.values, rows, columns, provenance)
    )


def read_recording(path: Path) -> mne.io.BaseRaw:
    """Read the recording, its channels named by electrode and placed where a template has them.

    Raises
    ------
    MissingData
        It has other channels or another sampling rate.
    """
    raw = mne.io.read_raw_eeglab(path, preload=True, verbose="WARNING")
    expected = [raw_name(name) for name in ELECTRODES]
    if raw.ch_names != expected or raw.info["sfreq"] != SFREQ:
        raise MissingData(
            f"{path}: {len(raw.ch_names)} channels {raw.ch_names[:2]} ... at {raw.info['sfreq']:g} Hz, expected "
            f"{len(expected)} channels {expected[:2]} ... at {SFREQ:g} Hz"
        )
    raw.rename_channels(dict(zip(raw.ch_names, ELECTRODES, strict=True)), verbose="WARNING")
    return raw.set_montage(POSITIONS, match_case=False, on_missing="ignore", verbose="WARNING")


def raw_name(electrode: str) -> str:
    """Give the name that the file has for an electrode: "EEG 000" for FPz."""
    return f"EEG {ELECTRODES.index(electrode):03d}"


def read_targets_and_presses(raw: mne.io.BaseRaw) -> pd.DataFrame:
    """Give squares and button presses as events, in seconds from the first sample."""
    marked = raw.annotations
    kinds = [str(kind) for kind in marked.description]
    table = pd.DataFrame({"run": RUN, "onset": marked.onset, "duration": marked.duration, "trial_type": kinds})
    return table[table["trial_type"].isin(EVENTS)].reset_index(drop=True)


def stretch_starts(onsets: pd.Series, n_samples: int) -> np.ndarray:
    """Find where the stretches begin that the recording was put together from.

    A stretch begins 128 samples before a target and ends 257 after it; targets that follow each other sooner than that
    have one stretch in common.

    Parameters
    ----------
    onsets : Series of n_targets
        s from the first sample, at 128 Hz, in order.
    n_samples : int
        Of the recording, at 128 Hz.

    Returns
    -------
    starts : array of shape (n_stretches,)
        s from the first sample.

    Raises
    ------
    Misaligned
        The stretches do not cover the recording, one beginning where the other ends.
    """
    targets = np.round(np.asarray(onsets) * SFREQ).astype(int)
    first, stop = targets - BEFORE, targets + AFTER
    ends = np.concatenate([[0], stop[:-1]])  # of what comes before each target
    begins = first >= ends
    if not np.array_equal(first[begins], ends[begins]) or not begins[0] or stop[-1] != n_samples:
        raise Misaligned(f"targets at the samples {targets.tolist()} leave gaps in a recording of {n_samples} samples")
    return first[begins] / SFREQ
