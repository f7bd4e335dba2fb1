"""What can be set about the simulated people, and what is planted in their brains."""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

Modality = Literal["meg", "eeg", "fmri"]


class Settings(BaseModel):
    """How many people, recorded how, and how well their brains can be predicted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    modalities: tuple[Modality, ...] = Field(
        ("meg", "eeg", "fmri"), min_length=1, description="recordings that each person gives"
    )
    n_subjects: int = Field(1, ge=1, le=99, description="people, sub-01 on")
    n_runs: int = Field(4, ge=1, le=4, description="runs of the packaged story")
    run_duration: float = Field(150.0, ge=40, le=240, description="s; the story is cut 12 s before the end of a run")
    sfreq: float = Field(200.0, ge=100, le=1000, description="sampling rate of MEG and EEG, Hz")
    tr: float = Field(1.5, ge=0.5, le=5, description="time between volumes, s")
    noise_ceiling: float = Field(
        0.4,
        ge=0,
        lt=1,
        description="correlation of a planted source's signal with the channel (voxel) that shows it best, in a person"
        " of gain 1, before artefacts, drift and confounds, r; 0: nothing is planted",
    )
    gain_sd: float = Field(0.15, ge=0, le=1, description="standard deviation over people of the log of their gain")
    seed: int = Field(0, ge=0, description="of voices, people, noise and artefacts")

    @field_validator("modalities")
    @classmethod
    def _each_once(cls, modalities):
        if len(set(modalities)) != len(modalities):
            raise ValueError(f"names a modality more than once: {modalities}")
        return modalities


class Planted(NamedTuple):
    """A place in the brain and what drives it.

    Parameters
    ----------
    name : str
    feature : str
        Column of the words' values, or "envelope".
    latency, width : float
        s, time and standard deviation of the answer's bump in MEG and EEG; in fMRI the answer is Glover's.
    place : tuple of float
        Of the dipole, and the centre of the region, MNI, mm.
    direction : tuple of float
        Of the dipole in head coordinates (right, front, up); what points away from the centre of the head is taken off.
    """

    name: str
    feature: str
    latency: float
    width: float
    place: tuple[float, float, float]
    direction: tuple[float, float, float]


PLANTED = (
    Planted("auditory-left", "envelope", 0.100, 0.020, (-52, -20, 6), (0, 0.3, 1)),
    Planted("auditory-right", "envelope", 0.100, 0.020, (52, -20, 6), (0, 0.3, 1)),
    Planted("parietal-left", "rate", 0.170, 0.030, (-44, -64, 34), (0.5, -1, 0)),
    Planted("frontal-left", "length", 0.250, 0.040, (-48, 26, 12), (0, 1, 1)),
    Planted("temporal-left", "log_frequency", 0.400, 0.050, (-58, -44, 0), (0, -1, 0.3)),
)
FEATURES = ("envelope", "rate", "length", "log_frequency")
REGION_RADIUS = 10.0  # mm, of the regions that answer in fMRI

TASK = "story"

# streams of random numbers, so that what one part draws does not depend on which other parts there are
VOICE, GAINS, PLACES, MEG, EEG, FMRI_VOLUME, FMRI_SURFACE, CONFOUNDS, HEAD = range(9)


def subjects_of(settings: Settings) -> list[str]:
    """Give the labels of the people, "01", "02", ..."""
    return [f"{i + 1:02d}" for i in range(settings.n_subjects)]


def runs_of(settings: Settings) -> list[str]:
    """Give the labels of the runs, "01", "02", ..."""
    return [f"{i + 1:02d}" for i in range(settings.n_runs)]


def gains(settings: Settings) -> np.ndarray:
    """Give the size of each person's signal, (n_subjects,), log-normal about 1."""
    streams = [np.random.default_rng([settings.seed, GAINS, int(subject)]) for subject in subjects_of(settings)]
    return np.exp(settings.gain_sd * np.array([rng.standard_normal() for rng in streams]))
