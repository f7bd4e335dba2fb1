"""fMRI of simulated people who hear a story: five regions that answer, as fMRIPrep would leave it.

The recordings are written as a BIDS folder into the user's cache and read like any other, by `data.bids`. What drives
which region is `truth`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from brainalign.arrays import Recording, read_tsv
from brainalign.data import bids
from brainalign.data._simulated_bids import TRUTH, Settings, read_truth
from brainalign.data._simulated_folder import WORDS, loudness_series, simulated_folder, with_planted_values
from brainalign.errors import BrainalignError

SPACES = {"volume": "MNI152NLin2009cAsym", "surface": "fsaverage5"}
STEP = 0.05  # s between values of the envelope


class Config(BaseModel):
    """What is simulated, and how it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    geometry: Literal["volume", "surface"] = Field("volume", description="voxels of 6 mm, or vertices of fsaverage5")
    n_subjects: int = Field(3, ge=1, le=99, description="people, who all hear the same")
    n_runs: int = Field(4, ge=1, le=4, description="runs of the packaged story")
    run_duration: float = Field(150.0, ge=40, le=240, description="s")
    tr: float = Field(1.5, ge=0.5, le=5, description="time between volumes, s")
    noise_ceiling: float = Field(0.4, ge=0, lt=1, description="r of a region's answer in the voxel that shows it best")
    seed: int = Field(0, ge=0, description="of voices, people and noise")

    @property
    def settings(self) -> Settings:
        """Those of the simulation."""
        names = ("n_subjects", "n_runs", "run_duration", "tr", "noise_ceiling", "seed")
        return Settings(modalities=("fmri",), **{name: getattr(self, name) for name in names})


def load(config: Config, data_dir: Path | None = None) -> Recording:  # noqa: ARG001 - nothing is read from there
    """Load the recording; it is written where this is the first time.

    Motion and slow drifts are regressed out of every run.

    Returns
    -------
    recording : Recording
        As `bids.load` gives it; `events`: words, with `sentence_id` and `with_planted_values`; `series`: `envelope`,
        the compressed envelope of the sound.
    """
    root = simulated_folder(config.settings)
    reading = bids.Config(
        root=str(root),
        datatype="func",
        derivatives="derivatives/fmriprep",
        geometry=config.geometry,
        space=SPACES[config.geometry],
        keep=WORDS,
        confounds=("motion", "high_pass", "wm_csf"),
    )
    recording = bids.load(reading, None)
    runs = list(dict.fromkeys(recording.responses.rows["run"]))
    recorded = config.run_duration // config.tr * config.tr
    series = loudness_series(config.settings, runs, step=STEP, seconds=recorded)
    grids = recording.responses.provenance["subjects"]
    provenance = {"data_set": "simulated_fmri", "config": config.model_dump(mode="json")}
    provenance["subjects"] = {who: {"grid": described.get("grid")} for who, described in grids.items()}
    responses = replace(recording.responses, provenance=provenance)
    return Recording(with_planted_values(recording.events), responses, series=series)


def truth(config: Config) -> pd.DataFrame:
    """Give what was planted: see `_simulated_bids.read_truth`."""
    return read_truth(simulated_folder(config.settings))


def planted_regions(config: Config) -> pd.DataFrame:
    """Give the planted region of every voxel that has one: columns `i, j, k, region`.

    Raises
    ------
    BrainalignError
        The geometry is not "volume".
    """
    if config.geometry != "volume":
        raise BrainalignError(f"regions of voxels are those of geometry = 'volume', not {config.geometry!r}")
    folder = simulated_folder(config.settings) / TRUTH
    labels = np.asarray(nibabel.load(folder / f"space-{SPACES['volume']}_desc-planted_dseg.nii.gz").dataobj)
    names = read_tsv(folder / "desc-planted_dseg.tsv").set_index("index")["name"]
    i, j, k = np.nonzero(labels)
    return pd.DataFrame({"i": i, "j": j, "k": k, "region": names[labels[i, j, k]].to_numpy()})
