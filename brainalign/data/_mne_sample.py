"""MEG and EEG that tones and checkerboards evoke in one person: averages of MNE's sample subject, and 1 s as recorded.

Averages of three to six trials are no recording for encoding models, so this is no data set of an experiment. It is
where units, kinds of sensors, places and deficient rank can be looked at in real MEG. The second of raw data went
through signal-space separation: 306 sensors with 69 degrees of freedom.

References
----------
Gramfort, Luessi, Larson, Engemann, Strohmeier, Brodbeck, Goj, Jas, Brooks, Parkkonen & Hamalainen (2013). MEG and EEG
data analysis with MNE-Python. Frontiers in Neuroscience 7:267. doi:10.3389/fnins.2013.00267
Taulu & Kajola (2005). Presentation of electromagnetic multichannel data: the signal space separation method. Journal of
Applied Physics 97:124905. doi:10.1063/1.1935742
"""

import gzip
import tempfile
from pathlib import Path
from typing import Literal

import mne
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Responses
from brainalign.data._content import reading
from brainalign.data._manifest import check_files, provenance_of, require_folder, verified
from brainalign.data._meeg import describe_channels
from brainalign.errors import MissingData, UnknownName

NAME = "mne_sample"
EVOKED = "sample_audvis-ave.fif.gz"
RAW = "sample_audvis_trunc_raw_sss.fif"
CONDITIONS = ("Left Auditory", "Right Auditory", "Left visual", "Right visual")
SUBJECT = "sample"
UNITS = {"mag": "T", "grad": "T/m", "eeg": "V"}
"""Unit of a channel type, the one that mne keeps."""

NOISY = ("MEG 2443",)
"""Its deviation before the stimulus is 27 to 31 times the median one of the gradiometers, in all four averages."""


class Config(BaseModel):
    """Settings of the averages."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    picks: tuple[Literal["mag", "grad", "eeg"], ...] = Field(
        ("mag", "grad", "eeg"), min_length=1, description="channel types"
    )
    baseline: bool = Field(True, description="subtract each channel's mean before the stimulus; the file has offsets")
    bad_channels: tuple[str, ...] = Field(NOISY, description="channels that are left out")

    @field_validator("picks")
    @classmethod
    def _each_once(cls, picks):
        if len(set(picks)) != len(picks):
            raise ValueError(f"a type is named twice: {list(picks)}")
        return picks


def check(config: Config, data_dir: Path) -> list[str]:  # noqa: ARG001 - every setting needs the same files
    """List what stands in the way of reading."""
    try:
        return check_files(NAME, require_folder(data_dir), (EVOKED, RAW))
    except MissingData as error:
        return [str(error)]


def read_evoked(config: Config, data_dir: Path) -> dict[str, mne.Evoked]:
    """Read the averages as mne has them: condition to average, the chosen channels.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    UnknownName
        A bad channel is not there.
    """
    path = verified(NAME, require_folder(data_dir), EVOKED)
    with reading(path), tempfile.TemporaryDirectory() as folder:  # mne goes back and forth in a file: slow in gzip
        plain = Path(folder) / EVOKED.removesuffix(".gz")
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        evoked = mne.read_evokeds(plain, baseline=(None, 0) if config.baseline else None, verbose="WARNING")
    found = tuple(one.comment for one in evoked)
    if found != CONDITIONS:
        raise MissingData(f"{path}: conditions {list(found)}, expected {list(CONDITIONS)}")
    for name in config.bad_channels:
        if name not in evoked[0].ch_names:
            raise UnknownName(f"channel of {path}", name, evoked[0].ch_names)
    averages = {}
    for one in evoked:
        one.info["bads"] = list(config.bad_channels)
        averages[one.comment] = one.pick(list(config.picks), exclude="bads", verbose="WARNING")
    return averages


def load_evoked(config: Config, data_dir: Path) -> Responses:
    """Give the averages as samples by channels.

    Returns
    -------
    responses : Responses of shape (4 * 421, n_channels), float64
        Rows `run` (the condition, "Left Auditory"), `time` (s from the stimulus, from -0.2), `duration` (s); columns
        `subject`, `target` ("MEG 0113"), `channel_type`, `unit` ("T", "T/m", "V"), `x, y, z` (m, head coordinates).
        Provenance: `n_averaged` by condition.

    Raises
    ------
    MissingData, UnknownName
        As `read_evoked`.
    """
    averages = read_evoked(config, data_dir)
    first = next(iter(averages.values()))
    clocks = [
        pd.DataFrame({"run": condition, "time": one.times, "duration": 1 / one.info["sfreq"]})
        for condition, one in averages.items()
    ]
    columns = describe_channels(first.info)
    columns.insert(0, "subject", SUBJECT)
    columns.insert(3, "unit", columns["channel_type"].map(UNITS))
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": provenance_of(NAME, [EVOKED]),
        "n_averaged": {condition: int(one.nave) for condition, one in averages.items()},
        "sfreq": float(first.info["sfreq"]),
    }
    values = np.concatenate([one.data.T for one in averages.values()])  # (4 * n_times, n_channels)
    return Responses(values, pd.concat(clocks, ignore_index=True), columns, provenance)


def read_raw(data_dir: Path) -> mne.io.BaseRaw:
    """Read the second of raw data, after signal-space separation; nothing is left out.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    path = verified(NAME, require_folder(data_dir), RAW)
    with reading(path):
        return mne.io.read_raw_fif(path, preload=True, verbose="ERROR")  # its name does not end as mne likes names to
