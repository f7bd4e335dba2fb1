"""fMRI of single people listening to many stories: one HDF5 file per listener and story, words in TextGrids.

The responses are those of the authors: cleaned, standardised per story, and cut at both ends. Volume 0 of a file begins
10 s after the beginning of its sound: the scanner ran for 10 s before the sound, and the authors' code leaves out five
volumes for that and five more. Words of the first 10 s and those after the last volume are left out, and counted.

Every listener has voxels of their own, in no common space: a recording is of one listener. Reading HDF5 needs h5py.

References
----------
LeBel, Wagner, Jain, Adhikari-Desai, Gupta, Morgenthal, Tang, Xu & Huth (2023). A natural language fMRI dataset for
voxelwise encoding models. Scientific Data 10:555. doi:10.1038/s41597-023-02437-z. OpenNeuro ds003020.
Code of the authors: github.com/HuthLab/deep-fMRI-dataset (`load_simulated_trfiles`, `apply_zscore_and_hrf`).
"""

import logging
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Recording, Responses, read_tsv
from brainalign.data._content import reading
from brainalign.data._fmri import Cleaning, Run, responses_of_runs
from brainalign.data._manifest import (
    Manifest,
    check_files,
    chosen_subjects,
    load_manifest,
    provenance_of,
    require_folder,
    verified,
    verified_files,
)
from brainalign.data._regions import points_of_mask
from brainalign.data._textgrid import read_textgrid
from brainalign.data._volumes import Image
from brainalign.data._word_alignment import timed_words, words_in_recording
from brainalign.errors import BrainalignError, MissingData, UnknownName

log = logging.getLogger(__name__)

NAME = "lebel2023"
PARTICIPANTS = "participants.tsv"
RESPONSES = "data"
NO_WORDS = ("", "sentence_start", "sentence_end", "br", "lg", "ls", "ns", "sp")
"""What the tier of words has beside words, as in the authors' code: silence, breathing, laughter, noises."""

INSTALL = "pip install 'h5py>=3.11'"


class Config(BaseModel):
    """Settings of the data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    subject: str = Field(description="one listener, e.g. 'UTS03': the voxels of two cannot be compared")
    stories: tuple[str, ...] | Literal["all"] = Field(
        description="each is a run, e.g. 'wheretheressmoke'; all: the listener's, up to 84, about 200 MB each"
    )
    word_tier: str = Field("word", description="name of the tier of the TextGrids that has the words")
    lower_case: bool = Field(
        True, description="words in lower case, as in the authors' code; false: as in the TextGrids"
    )
    unusable: Literal["refuse", "leave_out"] = Field(
        "leave_out", description="what becomes of voxels that are constant or not finite in some story"
    )
    late_tolerance: float = Field(
        20.0, ge=0, description="s after the end of a run at which words may begin: left out and counted; later: error"
    )

    @field_validator("stories")
    @classmethod
    def _distinct(cls, stories):
        if stories != "all" and (not stories or len(set(stories)) != len(stories)):
            raise ValueError(f"needs at least one story, and none twice; got {list(stories)}")
        return stories


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work."""
    try:
        data_dir = require_folder(data_dir)
        stories = chosen_stories(config, load_manifest(NAME))
    except BrainalignError as error:
        return [str(error)]
    problems = check_files(NAME, data_dir, _paths(config, stories))
    try:
        _h5py()
    except MissingData as error:
        problems.append(str(error))
    return problems


def load(config: Config, data_dir: Path) -> Recording:
    """Load the words of some stories and the voxels of one listener.

    Returns
    -------
    recording : Recording
        `events`: `run` (the story), `onset`, `duration` (s from volume 0), `word`, `interpolated` (true where the
        TextGrid has an impossible time). `responses`, float32: volume i of a run covers [2 i, 2 i + 2) s; columns
        `subject` ("UTS03"), `target` ("17"), `voxel`; each voxel was standardised per story by the authors. Voxels that
        are constant or not finite in some story are left out. `participants`: `subject, age, sex`. Provenance: by story
        how many words were left out, the files' digests.

    Raises
    ------
    UnknownName
        The listener or a story is not there.
    MissingData
        A file is absent, is not the published one or holds no responses; h5py is not installed.
    Misaligned
        Two stories have different numbers of voxels; words do not fit the volumes.
    """
    data_dir = require_folder(data_dir)
    manifest = load_manifest(NAME)
    stories = chosen_stories(config, manifest)
    _h5py()
    files = verified_files(NAME, data_dir, _paths(config, stories))
    tr, start = (float(manifest.published[name].value) for name in ("tr", "first_volume_seconds"))
    runs, tables, counts = {}, [], {}
    for story in stories:
        path = files[response_path(config.subject, story)]
        runs[story] = Run(_open(read_responses(path)), tr, str(path))
        words, counted = read_words(files[textgrid_path(story)], tier=config.word_tier, lower_case=config.lower_case)
        events, inside = words_in_recording(
            words,
            f"{files[textgrid_path(story)]} and {path}",
            run=story,
            shift=-start,
            seconds=tr * runs[story].image.n_samples,
            late_tolerance=config.late_tolerance,
        )
        tables.append(events)
        counts[story] = counted | inside
    grid = next(iter(runs.values())).image.grid
    points = points_of_mask(np.ones(grid.size, dtype=bool), grid)
    loaded = responses_of_runs(
        runs, points, subject=config.subject, cleaning=Cleaning(average=False), unusable=config.unusable
    )
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": provenance_of(NAME, files),
        "words": counts,
        "first_volume_seconds": start,
        "subjects": {config.subject: loaded.provenance},
    }
    responses = Responses(loaded.values, loaded.rows, loaded.columns, provenance)
    return Recording(pd.concat(tables, ignore_index=True), responses, _participant(config, data_dir))


def chosen_stories(config: Config, manifest: Manifest) -> list[str]:
    """Give the stories, in the order of the settings; all: in alphabetical order.

    Raises
    ------
    UnknownName
        The listener is not in the data set, or did not hear a story.
    """
    paths = [PurePosixPath(path) for path in manifest.by_path if path.startswith("derivative/preprocessed_data/")]
    chosen_subjects(manifest, (config.subject,), present={path.parent.name for path in paths})
    heard = sorted(path.stem for path in paths if path.parent.name == config.subject)
    for story in config.stories if config.stories != "all" else ():
        if story not in heard:
            raise UnknownName(f"story of {config.subject}", story, heard)
    return heard if config.stories == "all" else list(config.stories)


def response_path(subject: str, story: str) -> str:
    """Give where the responses to a story are, below the data set's folder."""
    return f"derivative/preprocessed_data/{subject}/{story}.hf5"


def textgrid_path(story: str) -> str:
    """Give where the words of a story are, below the data set's folder."""
    return f"derivative/TextGrids/{story}.TextGrid"


def read_words(path: Path, *, tier: str = "word", lower_case: bool) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read the words of a story; see `_word_alignment.timed_words`.

    Raises
    ------
    MissingData
        The file is no TextGrid.
    UnknownName
        It has no such tier.
    """
    tiers = read_textgrid(path)
    if tier not in tiers:
        raise UnknownName(f"tier of {path.name}, set word_tier:", tier, tiers)
    intervals = tiers[tier].rename(columns={"label": "word"})
    spoken = ~intervals["word"].str.lower().str.strip("{} ").isin(NO_WORDS)
    words = intervals[spoken][["word", "start", "end"]].reset_index(drop=True)
    if lower_case:
        words["word"] = words["word"].str.lower()
    given, counts = timed_words(words, str(path), untimed="interpolate")
    return given, counts | {"n_not_words": int((~spoken).sum())}


def read_responses(path: Path) -> np.ndarray:
    """Read the responses to a story, (n_samples, n_voxels), float32.

    They are the dataset "data"; the file of wheretheressmoke has the single repetitions beside it, which are not read.

    Raises
    ------
    MissingData
        h5py is not installed; the file is damaged or has no such dataset of two dimensions.
    """
    h5py = _h5py()
    with reading(path), h5py.File(path, "r") as file:
        shapes = {name: tuple(getattr(file[name], "shape", ())) for name in file}
        if len(shapes.get(RESPONSES, ())) != 2:
            raise MissingData(f"{path}: expected a dataset {RESPONSES!r} of volumes by voxels, it has {shapes}")
        return np.asarray(file[RESPONSES][()], dtype=np.float32)


class VoxelList:
    """Voxels of which only the order is known.

    Parameters
    ----------
    size : int
        How many there are.
    """

    def __init__(self, size: int):
        self.size = size

    def describe(self, index: np.ndarray) -> pd.DataFrame:
        """Name voxels: `target` ("17"), `voxel`."""
        return pd.DataFrame({"target": [str(number) for number in index], "voxel": index})

    def difference(self, other: "VoxelList") -> str | None:
        """Say in what another list differs; None where it is the same."""
        return None if self.size == other.size else f"{other.size} voxels, not {self.size}"

    def to_json(self) -> dict[str, Any]:
        """Give the number of voxels."""
        return {"n_voxels": self.size}


def _open(values: np.ndarray) -> Image:
    def load(index: np.ndarray, smoothing_fwhm: float | None) -> np.ndarray:  # noqa: ARG001
        chosen = values[:, index]
        return np.where((np.ptp(chosen, axis=0) == 0) | ~np.isfinite(chosen).all(axis=0), np.float32(np.nan), chosen)

    return Image(VoxelList(values.shape[1]), len(values), None, load)


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingData(f"{NAME} is distributed as HDF5, and h5py is not installed: {INSTALL}") from None
    return h5py


def _paths(config: Config, stories: list[str]) -> list[str]:
    return [
        PARTICIPANTS,
        *(response_path(config.subject, story) for story in stories),
        *(textgrid_path(story) for story in stories),
    ]


def _participant(config: Config, data_dir: Path) -> pd.DataFrame:
    table = read_tsv(verified(NAME, data_dir, PARTICIPANTS), dtype={"participant_id": str, "sex": str})
    table.insert(0, "subject", table.pop("participant_id").str.removeprefix("sub-"))
    return table[table["subject"] == config.subject].reset_index(drop=True)
