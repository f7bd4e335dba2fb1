"""MEG or EEG of simulated people who hear a story: five sources of known latency, in the true formats.

The recordings are written as a BIDS folder into the user's cache and read like any other, by `data.bids`. What drives
which source, and when, is `truth`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from brainalign.arrays import Recording
from brainalign.data import bids
from brainalign.data._simulated_bids import Settings, read_truth
from brainalign.data._simulated_folder import WORDS, loudness_series, simulated_folder, with_planted_values


class Config(BaseModel):
    """What is simulated, and how it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    recording: Literal["meg", "eeg"] = Field("meg", description="306 channels, or 31 electrodes")
    n_subjects: int = Field(1, ge=1, le=99, description="people, who all hear the same")
    n_runs: int = Field(4, ge=1, le=4, description="runs of the packaged story")
    run_duration: float = Field(150.0, ge=40, le=240, description="s")
    noise_ceiling: float = Field(0.4, ge=0, lt=1, description="r of a source at the channel that shows it best")
    seed: int = Field(0, ge=0, description="of voices, people, noise and artefacts")
    picks: tuple[Literal["mag", "grad", "eeg"], ...] = Field((), description="kinds of channels; none named: all")
    l_freq: float | None = Field(
        None, gt=0, description="lower edge of the band that is passed, Hz; none: features are not filtered either"
    )
    h_freq: float | None = Field(40.0, gt=0, description="upper edge of the band that is passed, Hz")
    sfreq: float = Field(100.0, gt=0, le=200, description="resampled to, Hz")

    @property
    def settings(self) -> Settings:
        """Those of the simulation."""
        names = ("n_subjects", "n_runs", "run_duration", "noise_ceiling", "seed")
        return Settings(modalities=(self.recording,), **{name: getattr(self, name) for name in names})


def load(config: Config, data_dir: Path | None = None) -> Recording:  # noqa: ARG001 - nothing is read from there
    """Load the recording; it is written where this is the first time.

    Returns
    -------
    recording : Recording
        As `bids.load` gives it; `events`: words, with `sentence_id` and `with_planted_values`; `series`: `envelope`,
        the compressed envelope of the sound, one value per sample.
    """
    reading = config.model_dump(include={"picks", "l_freq", "h_freq", "sfreq"})
    root = simulated_folder(config.settings)
    recording = bids.load(bids.Config(root=str(root), datatype=config.recording, keep=WORDS, **reading), None)
    rows = recording.responses.rows
    runs = list(dict.fromkeys(rows["run"]))
    series = loudness_series(config.settings, runs, step=1 / config.sfreq, seconds=config.run_duration)
    provenance = {"data_set": "simulated_meg", "config": config.model_dump(mode="json")}
    responses = replace(recording.responses, provenance=provenance)
    return Recording(with_planted_values(recording.events), responses, series=series)


def truth(config: Config) -> pd.DataFrame:
    """Give what was planted: see `_simulated_bids.read_truth`."""
    return read_truth(simulated_folder(config.settings))
