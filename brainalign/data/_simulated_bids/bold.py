"""fMRI of the simulated people: regions that answer as `brainalign.simulate.brain` says, and what disturbs them.

A target (voxel or vertex) in one run is, in percent of its baseline,

    y = amplitude * gain * s + sigma * (e + b * n + d)

    s   signal of its region, of variance 1 over all runs; 0 outside the planted regions
    e   AR(1) noise of variance 1
    n   confounds: six movements and two physiological series, each of variance 1, mixed by weights of length 1
    d   drift: a random polynomial of order 1 and 2
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from brainalign.data._simulated_bids.settings import CONFOUNDS, PLANTED, REGION_RADIUS, Settings
from brainalign.data._simulated_bids.stimuli import FINE, Run, loudness
from brainalign.data.simulated import standardised
from brainalign.simulate.brain import ar1_noise, drift, sample_events
from brainalign.simulate.meeg import amplitude_of, ceiling

NOISE_SD = 1.5  # sigma, % of the baseline
AUTOCORRELATION = 0.4
CONFOUND_SIZE = 0.6  # b
DRIFT_SIZE, DRIFT_ORDER = 0.5, 2
MOVEMENTS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
MOVEMENT_STEP = (0.02,) * 3 + (0.0003,) * 3  # standard deviation from volume to volume, mm and rad
PHYSIOLOGY = ("csf", "white_matter")
PHYSIOLOGY_AUTOCORRELATION = 0.6


class Disturbance(NamedTuple):
    """What moved and pulsed in one run.

    Parameters
    ----------
    movements : DataFrame of shape (n_volumes, 6)
        `MOVEMENTS`, mm and rad; 0 in the first volume.
    physiology : DataFrame of shape (n_volumes, 2)
        `PHYSIOLOGY`, of variance about 1.
    """

    movements: pd.DataFrame
    physiology: pd.DataFrame

    @property
    def series(self) -> np.ndarray:
        """All of them, of mean 0 and variance 1, (n_volumes, 8)."""
        return standardised(np.hstack([self.movements, self.physiology]))


def n_volumes(settings: Settings) -> int:
    """Give the number of volumes of a run."""
    return int(settings.run_duration // settings.tr)


def planted_signals(story: list[Run], settings: Settings) -> list[np.ndarray]:
    """Give the signals of the planted regions at the middle of each volume, one array (n_volumes, n_regions) per run.

    Each has mean 0 and variance 1 over all runs.
    """
    n = n_volumes(settings)
    signals = []
    for run in story:
        onsets = run.words["onset"].to_numpy()
        times = np.arange(0, n * settings.tr - FINE / 2, FINE)
        loud = loudness(run, step=FINE, n_samples=len(times))
        of_run = []
        for source in PLANTED:
            if source.feature == "envelope":
                impulses = times, loud
            else:
                impulses = onsets, run.values[source.feature].to_numpy()
            of_run.append(sample_events(impulses[0], impulses[1][:, None], step=settings.tr, n_samples=n)[:, 0])
        signals.append(np.stack(of_run, axis=1))
    rows = np.cumsum([len(of_run) for of_run in signals])[:-1]
    return np.split(standardised(np.concatenate(signals)), rows)


def regions_of(coordinates: np.ndarray) -> np.ndarray:
    """Give the number of the planted region that each place lies in, from 1, and 0 for none.

    Parameters
    ----------
    coordinates : array of shape (n_targets, 3)
        MNI, mm.

    Returns
    -------
    region : int array of shape (n_targets,)
        k + 1 for `PLANTED[k]`.
    """
    distances = np.linalg.norm(coordinates[:, None] - np.array([source.place for source in PLANTED]), axis=2)
    nearest = distances.argmin(axis=1)
    return np.where(distances.min(axis=1) <= REGION_RADIUS, nearest + 1, 0)


def disturb(subject: str, run: str, settings: Settings) -> Disturbance:
    """Give what moved and pulsed in one run of a person."""
    rng = np.random.default_rng([settings.seed, CONFOUNDS, int(subject), int(run)])
    n = n_volumes(settings)
    steps = np.array(MOVEMENT_STEP) * rng.standard_normal((n, len(MOVEMENTS)))
    steps[0] = 0
    physiology = ar1_noise(n, len(PHYSIOLOGY), coefficient=PHYSIOLOGY_AUTOCORRELATION, rng=rng)
    return Disturbance(
        pd.DataFrame(np.cumsum(steps, axis=0), columns=MOVEMENTS), pd.DataFrame(physiology, columns=PHYSIOLOGY)
    )


def amplitude(settings: Settings) -> float:
    """Give the standard deviation of the signal of a planted region in a person of gain 1, % of the baseline."""
    return amplitude_of(settings.noise_ceiling, [1.0], [NOISE_SD**2])


def record(
    signals: np.ndarray,
    regions: np.ndarray,
    disturbance: Disturbance,
    *,
    gain: float,
    stream: list[int],
    run: str,
    settings: Settings,
) -> np.ndarray:
    """Record one run of one person at some targets.

    Parameters
    ----------
    signals : array of shape (n_volumes, n_regions)
    regions : int array of shape (n_targets,)
        As `regions_of` gives them.
    disturbance : Disturbance
    gain : float
        Size of this person's signal.
    stream : list of int
        Of the random numbers of this person at these targets.
    run : str
        Its label.
    settings : Settings

    Returns
    -------
    percent : array of shape (n_volumes, n_targets), float64
        Of the baseline of each target, about 0.
    """
    n, n_targets = len(signals), len(regions)
    series = disturbance.series
    mixing = np.random.default_rng(stream).standard_normal((series.shape[1], n_targets))
    rng = np.random.default_rng([*stream, int(run)])
    noise = ar1_noise(n, n_targets, coefficient=AUTOCORRELATION, rng=rng)
    noise += CONFOUND_SIZE * series @ (mixing / np.linalg.norm(mixing, axis=0))
    noise += DRIFT_SIZE * drift(n, n_targets, order=DRIFT_ORDER, rng=rng)
    percent = NOISE_SD * noise
    answers = regions > 0
    percent[:, answers] += amplitude(settings) * gain * signals[:, regions[answers] - 1]
    return percent


def planted_in(subject: str, gain: float, settings: Settings) -> pd.DataFrame:
    """Give the right answer: one row per planted region, with the columns of `meeg.planted_in`.

    `x`, `y`, `z` are those of its centre (MNI, mm), `amplitude` the standard deviation of its signal (% of the
    baseline), `noise_ceiling` that of each of its targets before drift and confounds (r).
    """
    size = gain * amplitude(settings)
    return pd.DataFrame(
        {
            "modality": "fmri",
            "subject": subject,
            "source": [source.name for source in PLANTED],
            "feature": [source.feature for source in PLANTED],
            "waveform": "glover",
            **dict(zip("xyz", np.array([source.place for source in PLANTED]).T, strict=True)),
            "gain": gain,
            "amplitude": size,
            "unit": "%",
            "target": [source.name for source in PLANTED],
            "noise_ceiling": ceiling(size**2, NOISE_SD**2).item(),
        }
    )


def ceilings_of(subject: str, gain: float, settings: Settings) -> pd.DataFrame:
    """Give the best score that each target of a planted region allows, with the columns of `meeg.ceilings_of`.

    `noise_ceiling_clean` is that without drift and confounds. Other targets can be predicted by nothing.
    """
    size = gain * amplitude(settings)
    disturbed = NOISE_SD**2 * (1 + CONFOUND_SIZE**2 + DRIFT_SIZE**2)
    return pd.DataFrame(
        {
            "modality": "fmri",
            "subject": subject,
            "target": [source.name for source in PLANTED],
            "noise_ceiling": ceiling(size**2, disturbed).item(),
            "noise_ceiling_clean": ceiling(size**2, NOISE_SD**2).item(),
        }
    )
