"""fMRI of people listening to the first chapter of Alice in Wonderland: six regions of interest.

References
----------
Brennan, Stabler, Van Wagenen, Luh & Hale (2016). Abstract linguistic structure correlates with temporal activity during
naturalistic comprehension. Brain & Language 157-158:81-94. doi:10.1016/j.bandl.2016.04.008
"""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Recording, Responses
from brainalign.data import bhattasali2020
from brainalign.data._events import check_events
from brainalign.data._manifest import (
    Manifest,
    check_files,
    chosen_subjects,
    distinct_subjects,
    load_manifest,
    provenance_of,
    require_folder,
    verified_files,
)
from brainalign.data._phones import phones_of_words, spoken_words
from brainalign.data._textgrid import read_textgrid
from brainalign.errors import Misaligned, MissingData, UnknownName

log = logging.getLogger(__name__)

NAME = "brennan2016"
TEXTGRID = "stimuli/DownTheRabbitHoleFinal_exp120_pad_1.TextGrid"
TARGETS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
TR = 2.0  # s
N_VOLUMES = 362
N_DUMMIES = 10  # volumes that were recorded and discarded before the time courses were made
START = N_DUMMIES * TR  # s in the sound file at which volume 0 begins
PAUSES = ("", "sp", "sil", "spn")
PHONE_TEXTGRIDS = tuple(f"phonemes/DownTheRabbitHoleFinal_SoundFile{i}.TextGrid" for i in range(1, 13))
ONE_SOUND = 0.999  # correlation of the listeners' predictors of sound power (above .9999 but for s33, who is left out)
HEAD_RADIUS = 50.0  # mm, Power et al. 2012


class Config(BaseModel):
    """Settings of the data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    subjects: tuple[str, ...] | Literal["all"] = Field(
        "all", description="listeners, e.g. 's18'; all: the 27 that are not excluded in the manifest"
    )
    roi_radius_mm: Literal[6, 10] = Field(6, description="radius of the spheres the time courses are means of")
    drift_order: int = Field(3, ge=-1, le=20, description="degree of the polynomial removed per listener; -1: none")
    remove_motion: bool = Field(True, description="regress out the six motion parameters, together with the drift")
    annotations: bool = Field(
        False, description="give the words the frequencies and surprisals of data set bhattasali2020"
    )

    phones: bool = Field(False, description="give the words their phones, from the TextGrids below phonemes/")
    sound_power: bool = Field(
        False, description="give the series sound_power: the authors' predictor, convolved with a haemodynamic response"
    )

    _distinct = field_validator("subjects")(distinct_subjects)


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work: unknown listeners, files absent or different."""
    try:
        data_dir = require_folder(data_dir)
        manifest = load_manifest(NAME)
        listeners, _ = _listeners(config, manifest)
    except (UnknownName, MissingData) as error:
        return [str(error)]
    problems = check_files(NAME, data_dir, _paths(config, listeners, manifest) + _more_paths(config, listeners))
    others = [bhattasali2020.ANNOTATIONS] * config.annotations + [bhattasali2020.PARTICIPANTS] * _has_quiz(data_dir)
    return problems + check_files(bhattasali2020.NAME, data_dir, others)


def load(config: Config, data_dir: Path) -> Recording:
    """Load the words of the story and the time courses of six regions per listener.

    Returns
    -------
    recording : Recording
        `events`: the 2,127 words, run "1", in seconds from volume 0; with `annotations` also the columns
        `bhattasali2020.QUANTITIES`, with `phones` also `phones` (ARPAbet). `series`: with `sound_power` a row per
        volume. `responses` (362, n_listeners * 6): volume i covers [2 i, 2 i + 2) s; columns
        `subject` ("s18"), `target` ("LATL", ...), residuals in the scanner's unit, which differs between listeners:
        scale each before averaging over them. `participants`: `subject`, `motion_fd` (mm, mean framewise displacement),
        and from bhattasali2020, where its participants.tsv is present, `age, sex, quiz_score, final_dB` (NaN for s40).

    Raises
    ------
    UnknownName
        A listener is not in the data set.
    MissingData
        A file is absent, is not the published one, or holds no recording.
    Misaligned
        With `annotations`: a word has no annotation. With `sound_power`: the listeners' predictors differ.
    """
    data_dir = require_folder(data_dir)
    manifest = load_manifest(NAME)
    listeners, warnings = _listeners(config, manifest)
    for warning in warnings:
        log.warning("%s: %s", NAME, warning)
    files = verified_files(NAME, data_dir, _paths(config, listeners, manifest))
    hashes = provenance_of(NAME, files)
    events = _words(files[TEXTGRID])
    motion = {s: read_motion(files[_motion_path(s, manifest)]) for s in listeners}
    values = [
        residuals(
            read_timecourses(files[_timecourse_path(s, config)]),
            motion[s] if config.remove_motion else None,
            drift_order=config.drift_order,
        )
        for s in listeners
    ]  # n_listeners x (362, 6)
    provenance = {"data_set": NAME, "config": config.model_dump(mode="json"), "files": hashes}
    if config.annotations:
        events, provenance["annotation_mismatches"] = _with_annotations(events, data_dir)
        hashes |= provenance_of(bhattasali2020.NAME, [bhattasali2020.ANNOTATIONS])
    more = verified_files(NAME, data_dir, _more_paths(config, listeners))
    hashes |= provenance_of(NAME, more)
    if config.phones:
        events["phones"], provenance["phones"] = _phones(events, [more[path] for path in PHONE_TEXTGRIDS])
    series = _sound_power([more[_power_path(s)] for s in listeners]) if config.sound_power else None
    participants = pd.DataFrame(
        {"subject": listeners, "motion_fd": [framewise_displacement(motion[s]).mean() for s in listeners]}
    )
    if _has_quiz(data_dir):
        participants = participants.merge(bhattasali2020.read_participants(data_dir), on="subject", how="left")
        hashes |= provenance_of(bhattasali2020.NAME, [bhattasali2020.PARTICIPANTS])
    responses = Responses(np.hstack(values), _volumes(), _columns(listeners), provenance)
    return Recording(events, responses, participants, series)


def read_timecourses(path: Path) -> np.ndarray:
    """Read the time courses of one listener: (362, 6), columns as `TARGETS`.

    Raises
    ------
    MissingData
        The file has another shape, values that are not finite, or a region that is constant.
    """
    values = _read_matrix(path, N_VOLUMES)
    constant = [target for target, spread in zip(TARGETS, np.ptp(values, axis=0), strict=True) if spread == 0]
    if constant:
        raise MissingData(f"{path}: {', '.join(constant)} constant ({values[0].tolist()}): there is no recording in it")
    return values


def read_motion(path: Path) -> np.ndarray:
    """Read SPM's motion parameters of the volumes that were kept: (362, 6), x y z (mm), pitch roll yaw (rad).

    The file has a row for the ten discarded volumes, too.

    Raises
    ------
    MissingData
        The file has not 372 rows of 6 finite numbers, or a parameter never changes.
    """
    motion = _read_matrix(path, N_DUMMIES + N_VOLUMES)[N_DUMMIES:]
    if (np.ptp(motion, axis=0) == 0).any():
        raise MissingData(f"{path}: a motion parameter never changes; these are not estimates of a head")
    return motion


def _read_matrix(path: Path, n_rows: int, *, n_columns: int = len(TARGETS)) -> np.ndarray:
    lines = [line.split() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    shape = (len(lines), sorted({len(line) for line in lines}))
    if shape != (n_rows, [n_columns]):
        raise MissingData(f"{path}: {shape[0]} rows of {shape[1]} numbers, expected {n_rows} rows of [{n_columns}]")
    try:
        values = np.array(lines, dtype=float)
    except ValueError as error:
        raise MissingData(f"{path}: {error}") from None
    if not np.isfinite(values).all():
        raise MissingData(f"{path}: row {int(np.argwhere(~np.isfinite(values))[0][0]) + 1} is not finite")
    return values


def residuals(timecourses: np.ndarray, motion: np.ndarray | None, *, drift_order: int) -> np.ndarray:
    """Remove slow drift and head motion, both in one least-squares fit.

    E = Y - N (N^T N)^-1 N^T Y, with N = [Legendre polynomials of degree 0 to drift_order, motion]

    Parameters
    ----------
    timecourses : array of shape (n_samples, n_targets)
    motion : array of shape (n_samples, 6), optional
        Without it only the drift is removed.
    drift_order : int
        Degree of the polynomial; -1 removes none, and leaves the mean.

    Returns
    -------
    E : array of shape (n_samples, n_targets)
    """
    parts = []
    if drift_order >= 0:
        time = np.linspace(-1, 1, len(timecourses))
        parts.append(np.polynomial.legendre.legvander(time, drift_order))  # (n_samples, drift_order + 1)
    if motion is not None:
        parts.append((motion - motion.mean(axis=0)) / motion.std(axis=0))  # (n_samples, 6)
    if not parts:
        return timecourses
    N = np.hstack(parts)
    return timecourses - N @ np.linalg.lstsq(N, timecourses)[0]


def framewise_displacement(motion: np.ndarray) -> np.ndarray:
    """How far the head moved from each volume to the next.

    FD_t = sum over x, y, z of |d_t| + 50 mm * sum over pitch, roll, yaw of |d_t|, with d_t the change from t - 1 to t

    Parameters
    ----------
    motion : array of shape (n_samples, 6)
        x y z (mm), pitch roll yaw (rad).

    Returns
    -------
    fd : array of shape (n_samples - 1,)
        mm.

    References
    ----------
    Power, Barnes, Snyder, Schlaggar & Petersen (2012), NeuroImage 59:2142-2154.
    """
    change = np.abs(np.diff(motion, axis=0))
    return change[:, :3].sum(axis=1) + HEAD_RADIUS * change[:, 3:].sum(axis=1)


def _listeners(config: Config, manifest: Manifest) -> tuple[list[str], list[str]]:
    present = {path.split("/")[1].split("-")[0] for path in manifest.by_path if path.startswith("6mm/")}
    return chosen_subjects(manifest, config.subjects, present=present)


def _timecourse_path(subject: str, config: Config) -> str:
    return f"{config.roi_radius_mm}mm/{subject}-timecourses.txt"


def _motion_path(subject: str, manifest: Manifest) -> str:
    [path] = [path for path in manifest.by_path if path.startswith(f"{subject}-rp_")]
    return path


def _paths(config: Config, listeners: list[str], manifest: Manifest) -> list[str]:
    timecourses = [_timecourse_path(subject, config) for subject in listeners]
    return [TEXTGRID, *timecourses, *(_motion_path(subject, manifest) for subject in listeners)]


def _more_paths(config: Config, listeners: list[str]) -> list[str]:
    powers = [_power_path(subject) for subject in listeners]
    return [*(PHONE_TEXTGRIDS if config.phones else ()), *(powers if config.sound_power else ())]


def _power_path(subject: str) -> str:
    return f"{subject}-sndpwr.txt"


def _phones(events: pd.DataFrame, paths: list[Path]) -> tuple[list[str], dict[str, int]]:
    """Give the words the phones of the twelve parts of the sound; says how many words those left out."""
    tiers = [read_textgrid(path) for path in paths]
    spoken = [word for tier in tiers for word in spoken_words(tier["words"], tier["phones"], pauses=PAUSES)]
    phones, counts = phones_of_words(list(events["word"]), spoken)
    log.info("phones of the words of %s: %s", NAME, dict(counts))
    return phones, dict(counts)


def _sound_power(paths: list[Path]) -> pd.DataFrame:
    """Give the predictor of the first listener; it is the same for all but for the scanner's exact start."""
    values = np.stack([_read_matrix(path, N_VOLUMES, n_columns=1)[:, 0] for path in paths])  # (n_listeners, 362)
    agreement = np.corrcoef(values)[0] if len(values) > 1 else np.ones(1)
    if agreement.min() < ONE_SOUND:
        raise Misaligned(
            f"{paths[agreement.argmin()]}: correlates {agreement.min():.3f} with {paths[0]}: another sound"
        )
    return _volumes().rename(columns={"time": "onset"}).assign(sound_power=values[0])


def _has_quiz(data_dir: Path) -> bool:
    return (data_dir / bhattasali2020.NAME / bhattasali2020.PARTICIPANTS).is_file()


def _words(path: Path) -> pd.DataFrame:
    """Give the words in the recording's time: volume 0 begins 20 s into the sound."""
    intervals = read_textgrid(path)["word"]
    spoken = intervals[~intervals["label"].isin(PAUSES)]
    events = pd.DataFrame(
        {
            "run": "1",
            "onset": spoken["start"] - START,
            "duration": spoken["end"] - spoken["start"],
            "word": spoken["label"],
        }
    )
    return check_events(events, str(path), recorded=N_VOLUMES * TR)


def _with_annotations(events: pd.DataFrame, data_dir: Path) -> tuple[pd.DataFrame, list[dict]]:
    values, mismatches = bhattasali2020.annotate(events["word"], bhattasali2020.read_annotations(data_dir))
    log.info(
        "words of %s and annotations of %s, where they differ:\n%s", NAME, bhattasali2020.NAME, mismatches.to_string()
    )
    return pd.concat([events, values], axis=1), mismatches.to_dict("records")


def _volumes() -> pd.DataFrame:
    return pd.DataFrame({"run": "1", "time": TR * np.arange(N_VOLUMES), "duration": TR})


def _columns(listeners: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(subject, target) for subject in listeners for target in TARGETS], columns=["subject", "target"]
    )
