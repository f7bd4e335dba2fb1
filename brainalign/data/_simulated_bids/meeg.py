"""MEG and EEG of the simulated people: planted dipoles, ongoing activity, blinks, heartbeats, sensor noise."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from brainalign.data._simulated_bids import sensors
from brainalign.data._simulated_bids.settings import (
    EEG,
    HEAD,
    MEG,
    PLACES,
    PLANTED,
    Settings,
    gains,
    subjects_of,
)
from brainalign.data._simulated_bids.stimuli import Run, loudness
from brainalign.simulate import meeg

STREAM = {"meg": MEG, "eeg": EEG}
PLACE_SD = 3.0  # mm, over people
N_ONGOING, N_ALPHA = 100, 12  # dipoles
ONGOING_DEPTH = (0.03, 0.075)  # m from the centre of the head
ALPHA_PLACE = ((0.0, -80.0, 10.0), 10.0)  # mm, MNI: centre and standard deviation
ONGOING_SD = {"meg": 2e-13, "eeg": 8e-6}  # T or V, median over magnetometers or electrodes
ALPHA_SD = {"meg": 3e-13, "eeg": 8e-6}  # T or V, largest over them
BLINK_HEIGHT = {"meg": 1.5e-12, "eeg": 120e-6}  # T or V, largest over them
BEAT_HEIGHT = {"meg": 0.8e-12, "eeg": 4e-6}  # T or V, largest over them
EYES = ((-0.4, 0.9, -0.2), (0.4, 0.9, -0.2))  # directions from the centre of the head
HEART = (-0.6, -0.2, -0.75)
ARTEFACT_DEPTH = 0.079  # m from the centre of the head, just within the inner skull
BAD_SD = {"meg": 5e-11, "eeg": 1e-4}  # T/m or V, of the bad channel, a gradiometer or electrode


class Noise(NamedTuple):
    """What the channels measure of all that is not planted, the same in every head.

    Parameters
    ----------
    channels : list of str, of length n_channels
        In the units T (magnetometers), T/m (gradiometers), V (electrodes).
    ongoing, alpha : array of shape (n_channels, n_dipoles)
        Per standard deviation of each dipole's activity.
    blink, beat : array of shape (n_channels,)
        Topographies of the artefacts, at height 1 of their course.
    white : array of shape (n_channels,)
        Standard deviation of the sensor noise.
    """

    channels: list[str]
    ongoing: np.ndarray
    alpha: np.ndarray
    blink: np.ndarray
    beat: np.ndarray
    white: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Expected variance without artefacts, (n_channels,)."""
        return (self.ongoing**2).sum(axis=1) + (self.alpha**2).sum(axis=1) + self.white**2


class Person(NamedTuple):
    """A person under the sensors.

    Parameters
    ----------
    modality : {"meg", "eeg"}
    subject : str
    noise : Noise
    positions, directions : array of shape (n_sources, 3)
        Of the planted dipoles; head coordinates, m.
    gain : float
        Size of this person's signal.
    amplitudes : array of shape (n_sources,)
        Standard deviations of the dipoles, A m.
    planted : array of shape (n_channels, n_sources)
        What the channels measure of them, per standard deviation of their courses.
    """

    modality: str
    subject: str
    noise: Noise
    positions: np.ndarray
    directions: np.ndarray
    gain: float
    amplitudes: np.ndarray
    planted: np.ndarray


class Recording(NamedTuple):
    """One run of one person: what is written is `signal + noise + artefacts`.

    Parameters
    ----------
    signal, noise, artefacts : array of shape (n_samples, n_channels)
    blink, beat : array of shape (n_samples,)
        Courses of the artefacts, of a height of about 1.
    """

    signal: np.ndarray
    noise: np.ndarray
    artefacts: np.ndarray
    blink: np.ndarray
    beat: np.ndarray


def planted_courses(story: list[Run], settings: Settings) -> list[np.ndarray]:
    """Give the courses of the planted sources, one array of shape (n_samples, n_sources) per run.

    Each source has variance 1 over all runs; nothing is subtracted, so that it is 0 in silence.
    """
    n_samples = round(settings.run_duration * settings.sfreq)
    courses = []
    for run in story:
        loud = loudness(run, step=1 / settings.sfreq, n_samples=n_samples)
        onsets = run.words["onset"].to_numpy()
        of_run = []
        for source in PLANTED:
            answer = {"latency": source.latency, "width": source.width, "sfreq": settings.sfreq}
            if source.feature == "envelope":
                of_run.append(meeg.series_course(loud, **answer))
            else:
                of_run.append(meeg.event_course(onsets, run.values[source.feature], n_samples=n_samples, **answer))
        courses.append(np.stack(of_run, axis=1))
    size = np.concatenate(courses).std(axis=0)
    return [course / size for course in courses]


def person(modality: str, subject: str, settings: Settings) -> Person:
    """Put a person under the sensors.

    Each planted source has the size at which, in a person of gain 1, the best channel's correlation with that source
    alone is `settings.noise_ceiling`, before artefacts. Sizes then take the person's gain.
    """
    rng = np.random.default_rng([settings.seed, PLACES, int(subject)])
    places = np.array([source.place for source in PLANTED])
    positions = sensors.head_positions(places + PLACE_SD * rng.standard_normal(places.shape))
    directions = sensors.tangential([source.direction for source in PLANTED], positions)
    noise = noise_of(modality)
    field = sensors.lead_field(modality, positions, directions)
    field[noise.channels.index(sensors.BAD[modality])] = 0
    sizes = [meeg.amplitude_of(settings.noise_ceiling, column**2, noise.variance) for column in field.T]
    gain = gains(settings)[subjects_of(settings).index(subject)]
    amplitudes = gain * np.array(sizes)
    return Person(modality, subject, noise, positions, directions, gain, amplitudes, field * amplitudes)


def noise_of(modality: str) -> Noise:
    """Give the fields of ongoing activity and artefacts, and the sensor noise; the bad channel has noise alone."""
    info = sensors.meg_info(1000.0) if modality == "meg" else sensors.eeg_info(1000.0)
    white = sensors.sensor_noise(modality)
    channels = info["ch_names"][: len(white)]
    scaling = np.array(info.get_channel_types())[: len(white)] == ("mag" if modality == "meg" else "eeg")
    rng = np.random.default_rng([HEAD])
    ongoing = _field(modality, sensors.random_positions(N_ONGOING, depth=ONGOING_DEPTH, rng=rng), rng)
    centre, sd = ALPHA_PLACE
    alpha = _field(modality, sensors.head_positions(np.array(centre) + sd * rng.standard_normal((N_ALPHA, 3))), rng)
    blink = _artefact(modality, EYES, (0, 1, 0.3))
    beat = _artefact(modality, (HEART,), (1, 0, 0))
    noise = Noise(
        channels,
        ongoing=ongoing * ONGOING_SD[modality] / np.median(np.sqrt((ongoing[scaling] ** 2).sum(axis=1))),
        alpha=alpha * ALPHA_SD[modality] / np.sqrt((alpha[scaling] ** 2).sum(axis=1).max()),
        blink=blink * BLINK_HEIGHT[modality] / np.abs(blink[scaling]).max(),
        beat=beat * BEAT_HEIGHT[modality] / np.abs(beat[scaling]).max(),
        white=white,
    )
    bad = channels.index(sensors.BAD[modality])
    for field in (noise.ongoing, noise.alpha, noise.blink, noise.beat):
        field[bad] = 0
    noise.white[bad] = BAD_SD[modality]
    return noise


def _field(modality: str, positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give the field of dipoles with random tangential directions, (n_channels, n_dipoles)."""
    directions = sensors.tangential(rng.standard_normal(positions.shape), positions)
    return sensors.lead_field(modality, positions, directions)


def _artefact(modality: str, places: tuple, direction: tuple) -> np.ndarray:
    """Give the field of dipoles near the inner skull that act together, (n_channels,)."""
    outward = np.array(places) / np.linalg.norm(places, axis=1, keepdims=True)
    directions = np.tile(np.array(direction) / np.linalg.norm(direction), (len(places), 1))
    return sensors.lead_field(modality, sensors.CENTRE + ARTEFACT_DEPTH * outward, directions).sum(axis=1)


def record(who: Person, courses: np.ndarray, *, run: str, settings: Settings) -> Recording:
    """Record one run.

    Parameters
    ----------
    who : Person
    courses : array of shape (n_samples, n_sources)
        Of the planted sources in this run.
    run : str
        Its label; with `settings.seed` and the person it decides noise and artefacts.
    settings : Settings
    """
    n_samples, sfreq, noise = len(courses), settings.sfreq, who.noise
    rng = np.random.default_rng([settings.seed, STREAM[who.modality], int(who.subject), int(run)])
    blink, beat = meeg.blinks(n_samples, sfreq=sfreq, rng=rng), meeg.heartbeats(n_samples, sfreq=sfreq, rng=rng)
    recorded = rng.standard_normal((n_samples, len(noise.white))) * noise.white
    for field, power in ((noise.ongoing, meeg.falling_power), (noise.alpha, meeg.alpha_power)):
        recorded += meeg.spectral_noise(n_samples, field.shape[1], power=power, sfreq=sfreq, rng=rng) @ field.T
    artefacts = np.outer(blink, noise.blink) + np.outer(beat, noise.beat)
    return Recording(courses @ who.planted.T, recorded, artefacts, blink, beat)


def planted_in(who: Person) -> pd.DataFrame:
    """Give the right answer: one row per planted source.

    Returns
    -------
    sources : DataFrame
        `modality`, `subject`, `source`, `feature`, `waveform`, `latency`, `width` (s), `x`, `y`, `z` (head
        coordinates, m), `direction_x`, `direction_y`, `direction_z`, `gain`, `amplitude` and its `unit` (standard
        deviation, A m), `target` (the channel that shows it best) and `noise_ceiling` there, of this source alone and
        before artefacts (r).
    """
    variance = who.noise.variance
    best = (who.planted**2 / variance[:, None]).argmax(axis=0)  # (n_sources,)
    return pd.DataFrame(
        {
            "modality": who.modality,
            "subject": who.subject,
            "source": [source.name for source in PLANTED],
            "feature": [source.feature for source in PLANTED],
            "waveform": "bump",
            "latency": [source.latency for source in PLANTED],
            "width": [source.width for source in PLANTED],
            **dict(zip("xyz", who.positions.T, strict=True)),
            **{f"direction_{axis}": column for axis, column in zip("xyz", who.directions.T, strict=True)},
            "gain": who.gain,
            "amplitude": who.amplitudes,
            "unit": "A m",
            "target": [who.noise.channels[i] for i in best],
            "noise_ceiling": meeg.ceiling(np.diag(who.planted[best]) ** 2, variance[best]),
        }
    )


def ceilings_of(who: Person, courses: np.ndarray, artefacts: np.ndarray) -> pd.DataFrame:
    """Give the best score that each channel allows.

    Parameters
    ----------
    who : Person
    courses : array of shape (n_samples, n_sources)
        Of the planted sources in all runs.
    artefacts : array of shape (n_samples, 2)
        Courses of blinks and heartbeats in all runs.

    Returns
    -------
    ceilings : DataFrame
        `modality`, `subject`, `target` (the channel), `noise_ceiling` (of the recording as it is written, r) and
        `noise_ceiling_clean` (without blinks and heartbeats).
    """
    signal = _variance(who.planted, courses)
    disturbance = _variance(np.stack([who.noise.blink, who.noise.beat], axis=1), artefacts)
    return pd.DataFrame(
        {
            "modality": who.modality,
            "subject": who.subject,
            "target": who.noise.channels,
            "noise_ceiling": meeg.ceiling(signal, who.noise.variance + disturbance),
            "noise_ceiling_clean": meeg.ceiling(signal, who.noise.variance),
        }
    )


def _variance(field: np.ndarray, courses: np.ndarray) -> np.ndarray:
    """Give the variance of `courses @ field.T`, (n_channels,)."""
    return np.einsum("ci,ij,cj->c", field, np.cov(courses, rowvar=False, bias=True), field)
