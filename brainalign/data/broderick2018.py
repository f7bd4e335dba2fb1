"""EEG of 19 people who listened to 20 parts of The Old Man and the Sea (OpenNeuro ds004408).

There are no events.tsv: the words and their times are those of a TextGrid per part, and each recording begins where its
sound begins and goes on for some time after it (README of the data set). The recordings have neither a reference nor a
filter. A1, A2, ... are positions of the 128-channel cap of BioSemi, not the ear lobes of the 10-20 system; there is no
mastoid channel.

References
----------
Broderick, Anderson, Di Liberto, Crosse & Lalor (2018). Electrophysiological correlates of semantic dissimilarity
reflect the comprehension of natural, narrative speech. Current Biology 28:803-809. doi:10.1016/j.cub.2018.01.080
Di Liberto, O'Sullivan & Lalor (2015). Low-frequency cortical entrainment to speech reflects phoneme-level processing.
Current Biology 25:2457-2465. doi:10.1016/j.cub.2015.08.030
"""

from functools import partial
from pathlib import Path
from typing import Literal

import mne
import pandas as pd
from pydantic import Field, field_validator

from brainalign.arrays import Recording, Responses
from brainalign.data._bids_meeg import read_raw
from brainalign.data._bids_people import Recorded, Shown, load_person
from brainalign.data._bids_query import BidsFile, parse_name, sidecars
from brainalign.data._content import sha256_of_inputs
from brainalign.data._events import check_events
from brainalign.data._manifest import (
    Manifest,
    check_files,
    chosen_subjects,
    distinct_subjects,
    load_manifest,
    require_folder,
    verified_files,
)
from brainalign.data._phones import spoken_words
from brainalign.data._preparation import Preparation
from brainalign.data._side_by_side import STIMULI, side_by_side
from brainalign.data._textgrid import read_textgrid
from brainalign.errors import BrainalignError, MissingData, UnknownName

NAME = "broderick2018"
TASK = "listening"
RUNS = tuple(str(run) for run in range(1, 21))
MONTAGE = "biosemi128"  # a template of mne: a sphere
SMALL_FILES = "https://github.com/OpenNeuroDatasets/ds004408"


class Config(Recorded):
    """Settings of the data set."""

    subjects: tuple[str, ...] | Literal["all"] = Field("all", description="listeners, e.g. '001'; all: the 19 of them")
    runs: tuple[str, ...] | Literal["all"] = Field("all", description="parts of the story, '1' to '20'; all: these 20")
    reference: Literal["average", "none"] = Field(
        "average",
        description="average: subtract the mean of a run's usable channels; none: as it was recorded, without any",
    )
    bad_channels: Literal["leave_out", "interpolate", "ignore"] = Field(
        "leave_out",
        description="channels that channels.tsv marks as bad: left out, replaced by spherical splines, or taken as "
        "good (then channels.tsv is not needed)",
    )
    word_tier: str = Field("words", min_length=1, description="tier of the TextGrids that has the words")
    phone_tier: str = Field("phones", min_length=1, description="tier that has the phones")
    pauses: tuple[str, ...] = Field(("", "sp", "sil"), description="labels of these tiers that are silences")
    phones: bool = Field(False, description="give each word its phones in a column `phones`")
    tail: float = Field(1.0, ge=0, description="s after the end of the last word that are kept")

    _distinct = field_validator("subjects")(distinct_subjects)

    @field_validator("runs")
    @classmethod
    def _are_runs(cls, runs):
        """Refuse what is no part, and parts named twice."""
        if runs == "all":
            return runs
        if not runs or not set(runs) <= set(RUNS) or len(set(runs)) != len(runs):
            raise ValueError(f"runs are '1' to '20', each once; got {list(runs)}")
        return tuple(sorted(runs, key=int))


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work."""
    try:
        data_dir = require_folder(data_dir)
        subjects = _listeners(config, load_manifest(NAME))
    except BrainalignError as error:
        return [str(error)]
    recordings = [path for subject in subjects for path in paths_of_person(config, subject)]
    problems = check_files(NAME, data_dir, [*recordings, *paths_of_story(config)])
    root = data_dir / NAME
    for subject in subjects if config.bad_channels != "ignore" else ():
        try:
            _require_channels(root, _files(config, root, subject).values())
        except MissingData as error:
            problems.append(str(error))
    return problems


def load(config: Config, data_dir: Path) -> Recording:
    """Load the words of the story and the EEG of some or all listeners, side by side.

    Returns
    -------
    recording : Recording
        `events`: a row per word: `run` ("task-listening_run-01"), `onset`, `duration` (s from the begin of the sound),
        `word` (as aligned: without punctuation), `audio` (the sound file), `audio_start` (s in it), and `phones` if
        asked for. `responses`, float32, in volt: rows `run`, `time`, `duration` (s) from the begin of the sound to
        `tail` after the last word; columns `subject`, `target` (position in the cap, "A1"), `channel_type`, `x, y, z`
        (m, head's frame: where mne's template biosemi128, a sphere, has the position). Provenance: counts by person
        and run.

    Raises
    ------
    UnknownName
        A listener is not there.
    MissingData
        A file is absent or is not the published one.
    Misaligned
        A recording is shorter than its story, or listeners do not fit together.
    """
    data_dir = require_folder(data_dir)
    root = (data_dir / NAME).resolve()
    subjects = _listeners(config, load_manifest(NAME))
    paths = [path for subject in subjects for path in paths_of_person(config, subject)]
    verified_files(NAME, data_dir, [*paths, *paths_of_story(config)])
    recordings, inputs = [], set()
    for subject in subjects:
        files = _files(config, root, subject)
        if config.bad_channels != "ignore":
            _require_channels(root, files.values())
        recording, of_person = load_person(
            root,
            subject,
            files,
            datatype="eeg",
            preparation=_preparation(config),
            unusable=config.unusable,
            shown_in=partial(_shown, config, root),
            read=partial(_read, config),
        )
        recordings.append(recording)
        inputs |= of_person
    joined = side_by_side(recordings, unusable=config.unusable, stimuli=(*STIMULI, "phones"))
    done = {
        "leave_out": "bad channels left out",
        "interpolate": "bad channels replaced by spherical splines, before filtering",
        "ignore": "marks of bad channels ignored",
    }
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": sha256_of_inputs(inputs, root=root),
        "processing": [
            done[config.bad_channels],
            *_preparation(config).steps,
            f"kept from the begin of the sound to {config.tail:g} s after the last word",
        ],
        "positions": f"template {MONTAGE}, by the position's name",
        "subjects": {
            subject: recording.responses.provenance for subject, recording in zip(subjects, recordings, strict=True)
        },
    }
    responses = Responses(joined.responses.values, joined.responses.rows, joined.responses.columns, provenance)
    return Recording(joined.events, responses, pd.DataFrame({"subject": subjects}))


def _preparation(config: Config) -> Preparation:
    return config.preparation(reference="average" if config.reference == "average" else ())


def paths_of_person(config: Config, subject: str) -> list[str]:
    """Give the paths of a listener's recordings, as in the manifest."""
    stems = [f"sub-{subject}/eeg/sub-{subject}_task-{TASK}_run-{int(run):02d}_eeg" for run in _runs(config)]
    return [f"{stem}{extension}" for stem in stems for extension in (".vhdr", ".vmrk", ".eeg")]


def paths_of_story(config: Config) -> list[str]:
    """Give the paths of the sounds and their TextGrids, as in the manifest."""
    return [f"{_stem_of_sound(int(run))}{extension}" for run in _runs(config) for extension in (".TextGrid", ".wav")]


def _stem_of_sound(run: int) -> str:
    return f"stimuli/audio{run:02d}"


def _runs(config: Config) -> tuple[str, ...]:
    return RUNS if config.runs == "all" else config.runs


def _listeners(config: Config, manifest: Manifest) -> list[str]:
    present = {path.split("/")[0].removeprefix("sub-") for path in manifest.by_path if path.startswith("sub-")}
    return chosen_subjects(manifest, config.subjects, present=present)[0]


def _files(config: Config, root: Path, subject: str) -> dict[str, BidsFile]:
    files = [parse_name(root / path) for path in paths_of_person(config, subject) if path.endswith(".vhdr")]
    return {file.run: file for file in files}


def _require_channels(root: Path, files) -> None:
    """Refuse recordings without the table that says which channels are bad."""
    without = [str(file.path) for file in files if not sidecars(root, file, "channels", ".tsv")]
    if without:
        raise MissingData(
            f"{len(without)} recordings have no channels.tsv, which says which channels are bad: get it from "
            f"{SMALL_FILES}, or set bad_channels = 'ignore'; the first is {without[0]}"
        )


def _read(config: Config, root: Path, file: BidsFile) -> mne.io.BaseRaw:
    """Read a run, its channels placed where the template has them, and see to the bad ones."""
    raw = read_raw(root, file)
    raw.set_montage(MONTAGE, on_missing="ignore", verbose="WARNING")
    if config.bad_channels == "ignore":
        raw.info["bads"] = []
    if config.bad_channels == "interpolate" and raw.info["bads"]:
        raw.load_data(verbose="WARNING").interpolate_bads(reset_bads=True, verbose="WARNING")
    return raw


def _shown(config: Config, root: Path, run: str, file: BidsFile) -> Shown:
    """Read the words of a part; sound and recording begin together."""
    stem = root / _stem_of_sound(int(file.entities["run"]))
    path = stem.with_suffix(".TextGrid")
    tiers = read_textgrid(path)
    words = _tier(tiers, config.word_tier, path)
    heard = words[~words["label"].isin(config.pauses)].reset_index(drop=True)
    events = pd.DataFrame(
        {
            "run": run,
            "onset": heard["start"],
            "duration": heard["end"] - heard["start"],
            "word": heard["label"],
            "audio": str(stem.with_suffix(".wav")),
            "audio_start": heard["start"],
        }
    )
    if config.phones:
        spoken = spoken_words(words, _tier(tiers, config.phone_tier, path), pauses=config.pauses)
        events["phones"] = [phones for _, phones in spoken]
    if not len(events):
        raise MissingData(f"{path}: tier {config.word_tier!r} has no word")
    end = float(heard["end"].max())
    events = check_events(events, str(path))
    counts = {"n_words": len(events), "n_pauses": len(words) - len(heard)}
    return Shown(events, (path, stem.with_suffix(".wav")), 0.0, end + config.tail, counts)


def _tier(tiers: dict[str, pd.DataFrame], name: str, path: Path) -> pd.DataFrame:
    if name not in tiers:
        raise UnknownName(f"tier of {path}", name, tiers)
    return tiers[name]
