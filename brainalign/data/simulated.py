"""The data set that ships with brainalign: a story, and simulated fMRI of listeners who hear it.

The story is about 2,100 words in four runs, `story/story.txt`, with the word times of `story/words.tsv`. What drives
the response of each region is in `REGIONS`: the number and the length of the words, two directions of one layer of
the shipped GPT-2, or nothing. Every word is a brief event whose values pass through Glover's haemodynamic response;
noise and drift are added as `brainalign.simulate.brain` says. `truth` gives the right answer: driver and noise
ceiling of each target.

The directions are those of `story/drivers.npy`, which `analyses/make_story.py` made so that on this story their layer
predicts them from run to run and the other layers do not, or less. A seed decides how a region mixes the two.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Recording, Responses, read_tsv, sha256_of
from brainalign.data._events import check_events
from brainalign.data._manifest import distinct_subjects
from brainalign.errors import MissingData, UnknownName
from brainalign.simulate.brain import detrend, known_ceiling, respond, runs_of, sample_events

STORY = Path(__file__).parent / "story"
REGIONS = {"auditory": "words", "temporal": "layer 0", "parietal": "layer 2", "frontal": "layer 4", "silent": "none"}
SILENCE_AFTER = 12.0  # s recorded after the last word of a run
DRIFT_ORDER = 1  # linear: a run is 3.5 minutes; curved drift could not be told from the silence at its ends
REMAKE = "make it again with `python analyses/make_story.py`"

# streams of random numbers, so that a listener's noise depends on the seed and the listener alone
MIXING, SHIFTS, GAINS, NOISE = range(4)


class Config(BaseModel):
    """Settings of the simulated recording."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    subjects: tuple[str, ...] | Literal["all"] = Field("all", description="listeners, e.g. 's01'; all: all n_subjects")
    n_subjects: int = Field(8, ge=1, le=99, description="listeners there are")
    seed: int = Field(0, ge=0, description="of the listeners: gains, noise, drift, and how a region mixes directions")
    tr: float = Field(1.5, ge=0.5, le=5, description="time between volumes, s")
    noise_ceiling: float = Field(
        0.4, gt=0, le=1, description="correlation of a listener of gain 1 with the signal, before drift, r"
    )
    gain_sd: float = Field(0.15, ge=0, le=1, description="standard deviation over listeners of the log of their gain")
    autocorrelation: float = Field(0.4, gt=-1, lt=1, description="of the noise in neighbouring volumes")
    drift_sd: float = Field(1.0, ge=0, description="standard deviation of the drift, in those of the noise")
    drift_order: int = Field(1, ge=-1, le=20, description="degree of the polynomial removed from each run; -1: none")
    shuffled: bool = Field(
        False,
        description="null data: shift each run's responses in a circle by a random quarter to three quarters of it",
    )

    _distinct = field_validator("subjects")(distinct_subjects)


def load(config: Config, data_dir: Path | None = None) -> Recording:  # noqa: ARG001
    """Simulate the listeners; everything needed is packaged, `data_dir` is not read.

    Parameters
    ----------
    config : Config
    data_dir : Path, optional
        Taken so that this data set is called as any other.

    Returns
    -------
    recording : Recording
        `events`: `run` ("1" to "4"), `onset`, `duration` (s), `word` (as a forced alignment lists it), `printed` (with
        its marks), `sentence_id`. `responses` (n_samples, n_listeners * 5), float32: volume i of a run covers
        [i tr, (i + 1) tr) s; columns `subject` ("s01"), `target` (`REGIONS`). `participants`: `subject`, `gain` (size
        of the listener's signal).

    Raises
    ------
    UnknownName
        A listener there is not.
    MissingData
        A packaged file is absent, or the drivers were made for another story.
    """
    listeners = _listeners(config)
    words = read_words()
    rows = volumes(words, config.tr)
    run = rows["run"].to_numpy(str)
    signals = _signals(words, rows, config)  # (n_samples, n_targets)
    gains = _gains(config)
    recorded = [
        respond(
            signals,
            noise_ceiling=config.noise_ceiling,
            run=run,
            rng=np.random.default_rng([config.seed, NOISE, i_listener]),
            gain=gains[i_listener],
            autocorrelation=config.autocorrelation,
            drift_sd=config.drift_sd,
            drift_order=DRIFT_ORDER,
        )
        for i_listener in listeners.values()
    ]
    Y = detrend(np.hstack(recorded), order=config.drift_order, run=run)
    if config.shuffled:
        Y = _shifted(Y, run, np.random.default_rng([config.seed, SHIFTS]))
    columns = pd.DataFrame([(s, target) for s in listeners for target in REGIONS], columns=["subject", "target"])
    hashes = {f"story/{name}": sha256_of(STORY / name) for name in ("story.txt", "words.tsv", "drivers.npy")}
    provenance = {"data_set": "simulated", "config": config.model_dump(mode="json"), "files": hashes}
    participants = pd.DataFrame({"subject": list(listeners), "gain": gains[list(listeners.values())]})
    return Recording(words, Responses(Y.astype(np.float32), rows, columns, provenance), participants)


def truth(config: Config) -> pd.DataFrame:
    """Give the right answer: what drives each target, and the best score that the data allow.

    Returns
    -------
    answer : DataFrame
        One row per subject and target, the group mean as subject "mean": `subject`, `target`, `driver` ("words",
        "layer 2", "none", as in `REGIONS`), `noise_ceiling` (r, by calculation, see
        `brainalign.simulate.brain.known_ceiling`; 0 for what can be predicted by nothing). The mean is that of
        listeners who were standardised target by target.

    Raises
    ------
    UnknownName, MissingData
        As `load`.
    """
    listeners = _listeners(config)
    words = read_words()
    rows = volumes(words, config.tr)
    signals = _signals(words, rows, config)
    if config.shuffled:
        signals = np.zeros_like(signals)
    gains = _gains(config)[list(listeners.values())]
    groups = {subject: gains[[i]] for i, subject in enumerate(listeners)} | {"mean": gains}
    answer = []
    for subject, of_group in groups.items():
        ceilings = known_ceiling(
            signals,
            noise_ceiling=config.noise_ceiling,
            run=rows["run"].to_numpy(str),
            gains=of_group,
            autocorrelation=config.autocorrelation,
            drift_sd=config.drift_sd,
            drift_order=DRIFT_ORDER,
            detrend_order=config.drift_order,
        )
        for (target, driver), ceiling in zip(REGIONS.items(), ceilings, strict=True):
            answer.append((subject, target, "none" if config.shuffled else driver, ceiling))
    return pd.DataFrame(answer, columns=["subject", "target", "driver", "noise_ceiling"])


def planted_layers() -> tuple[int, ...]:
    """Give the numbers of the layers that drive a region, as `REGIONS` names them."""
    return tuple(int(driver.split()[1]) for driver in REGIONS.values() if driver.startswith("layer "))


def read_words(folder: Path = STORY) -> pd.DataFrame:
    """Read the words of the story and their times, `words.tsv` of a folder.

    Raises
    ------
    MissingData
        The table is absent or damaged.
    """
    path = folder / "words.tsv"
    return check_events(read_tsv(path, dtype={"printed": str}), str(path))


def volumes(words: pd.DataFrame, tr: float) -> pd.DataFrame:
    """Give the volumes of a recording that ends `SILENCE_AFTER` seconds after the last word of each run.

    Returns
    -------
    rows : DataFrame
        `run`, `time`, `duration` (s).
    """
    ends = (words["onset"] + words["duration"]).groupby(words["run"], sort=False).max() + SILENCE_AFTER
    rows = [
        pd.DataFrame({"run": run, "time": tr * np.arange(np.ceil(end / tr)), "duration": tr})
        for run, end in ends.items()
    ]
    return pd.concat(rows, ignore_index=True)


def word_responses(words: pd.DataFrame, values: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Pass values of words through the haemodynamic response, run by run.

    Parameters
    ----------
    words : DataFrame of n_words rows
        `run`, `onset` (s).
    values : array of shape (n_words, n_features)
    rows : DataFrame of n_samples rows
        As `volumes` gives them.

    Returns
    -------
    signals : array of shape (n_samples, n_features), float64
        At the middle of each volume; not standardised.
    """
    signals = np.empty((len(rows), values.shape[1]))
    run = rows["run"].to_numpy(str)
    for samples in runs_of(run):
        heard = (words["run"] == run[samples[0]]).to_numpy()
        signals[samples] = sample_events(
            words["onset"].to_numpy()[heard], values[heard], step=rows["duration"].iloc[0], n_samples=len(samples)
        )
    return signals


def low_level(words: pd.DataFrame) -> np.ndarray:
    """Give what the auditory region hears of a word: that there is one, and its length; (n_words, 2).

    Length is the number of letters, of mean 0 and variance 1 over words.
    """
    return np.column_stack([np.ones(len(words)), standardised(words["word"].str.len().to_numpy(float))])


def _signals(words: pd.DataFrame, rows: pd.DataFrame, config: Config) -> np.ndarray:
    """Give the signal of each target, of mean 0 and variance 1, zeros for the silent one; (n_samples, n_targets)."""
    rng = np.random.default_rng([config.seed, MIXING])
    drivers = iter(_read_drivers(len(words)))
    signals = np.zeros((len(rows), len(REGIONS)))
    for i_target, driver in enumerate(REGIONS.values()):
        if driver == "none":
            continue
        if driver == "words":
            parts = standardised(word_responses(words, low_level(words), rows))
            signals[:, i_target] = parts.sum(axis=1)
        else:
            parts = standardised(word_responses(words, next(drivers), rows))
            signals[:, i_target] = parts @ rng.standard_normal(parts.shape[1])
    heard = np.array(list(REGIONS.values())) != "none"
    signals[:, heard] = standardised(signals[:, heard])
    return signals


def standardised(X: np.ndarray) -> np.ndarray:
    """Give columns of mean 0 and variance 1."""
    return (X - X.mean(axis=0)) / X.std(axis=0)


def _read_drivers(n_words: int) -> np.ndarray:
    """Read the planted directions, (n_planted_layers, n_words, n_directions), and check whose they are."""
    try:
        drivers = np.load(STORY / "drivers.npy", allow_pickle=False)
        made = json.loads((STORY / "drivers.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingData(f"{error.filename}: no such file; {REMAKE}") from None
    expected = {"words_sha256": sha256_of(STORY / "words.tsv"), "drivers_sha256": sha256_of(STORY / "drivers.npy")}
    for name, sha256 in expected.items():
        if made[name] != sha256:
            raise MissingData(f"{STORY / 'drivers.json'}: {name} is {made[name]}, the file's is {sha256}; {REMAKE}")
    if made["layers"] != list(planted_layers()) or drivers.shape[:2] != (len(made["layers"]), n_words):
        raise MissingData(f"{STORY / 'drivers.npy'}: layers {made['layers']}, shape {drivers.shape}; {REMAKE}")
    return drivers.astype(np.float64)


def _listeners(config: Config) -> dict[str, int]:
    known = {f"s{i + 1:02d}": i for i in range(config.n_subjects)}
    chosen = known if config.subjects == "all" else config.subjects
    for subject in chosen:
        if subject not in known:
            raise UnknownName("listener of simulated", subject, known)
    return {subject: known[subject] for subject in chosen}


def _gains(config: Config) -> np.ndarray:
    """Give the gain of every listener there is, (n_subjects,)."""
    streams = [np.random.default_rng([config.seed, GAINS, i]) for i in range(config.n_subjects)]
    return np.exp(config.gain_sd * np.array([rng.standard_normal() for rng in streams]))


def _shifted(Y: np.ndarray, run: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift each run in a circle, all listeners and targets alike: their own structure stays, the story's goes."""
    shifted = Y.copy()
    for samples in runs_of(run):
        n = len(samples)
        shifted[samples] = np.roll(Y[samples], rng.integers(n // 4, n - n // 4), axis=0)
    return shifted
