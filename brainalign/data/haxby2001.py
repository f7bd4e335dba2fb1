"""fMRI of one person looking at eight categories of objects, in 12 runs: small versions that PyMVPA distributes.

Two versions of the same recording, and no third at full resolution:

- `bold_1slice`: (40, 20, 1) voxels of 3.1 x 3.75 x 3.75 mm; 530 vary, the other 270 are 0 throughout. Which slice of
  the brain it is, the files do not say, and there is no mask of it.
- `bold_25mm`: (6, 10, 10) voxels of 25 mm, with masks. The ventral temporal mask has a single one.

Every run has one block of each category. In OpenNeuro ds000105, which has the same blocks in the same order, they begin
at 12, 48, 84, ... s, with 12 pictures 2 s apart. Here they begin 1 to 4.5 s later, at a volume, and last nine volumes:
part of the haemodynamic delay is in them already. The pictures are not among the files.

References
----------
Haxby, Gobbini, Furey, Ishai, Schouten & Pietrini (2001). Distributed and overlapping representations of faces and
objects in ventral temporal cortex. Science 293:2425-2430. doi:10.1126/science.1063736
"""

from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Recording, Responses
from brainalign.data._events import check_events, read_events
from brainalign.data._manifest import check_files, provenance_of, require_folder, verified_files
from brainalign.data.brennan2016 import residuals
from brainalign.errors import Misaligned, MissingData

NAME = "haxby2001"
SUBJECT = "sub001"
RUNS = tuple(str(i) for i in range(1, 13))
TR = 2.5  # s
N_VOLUMES = 121
SLICE = "slice"
CONDITIONS = "models/model001/condition_key.txt"
N_CATEGORIES = 8

Roi = Literal["vt", "slice", "brain", "gray", "white", "hoc"]


class Config(BaseModel):
    """Settings of the data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rois: tuple[Roi, ...] = Field(
        ("vt", "slice"),
        description="slice: 530 voxels of 3 mm; masks of 25 mm voxels: vt (ventral temporal, 1 voxel), brain (129), "
        "gray (28), white (34), hoc (labelled in the Harvard-Oxford atlas, 45)",
    )
    drift_order: int = Field(3, ge=-1, le=20, description="degree of the polynomial removed per run; -1: none")
    remove_motion: bool = Field(True, description="regress out the six motion parameters, together with the drift")

    @field_validator("rois")
    @classmethod
    def _distinct(cls, rois):
        if not rois or len(set(rois)) != len(rois):
            raise ValueError(f"needs at least one region, and none twice; got {list(rois)}")
        return rois


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work."""
    try:
        return check_files(NAME, require_folder(data_dir), _paths(config))
    except MissingData as error:
        return [str(error)]


def load(config: Config, data_dir: Path) -> Recording:
    """Load the blocks of the 12 runs, and the time courses of the voxels of some regions.

    Returns
    -------
    recording : Recording
        `events`: 96 blocks, 8 in each of the runs "1" to "12", `onset`, `duration` 22.5 s, `category`. `responses`
        (1452, n_voxels): volume i of a run covers [2.5 i, 2.5 i + 2.5) s; columns `subject` "sub001", `target`
        ("vt-4-3-4"), `roi`, and the voxel's indices `i, j, k` in its version of the recording. A voxel that is in two
        of the regions is there twice. Values are in the scanner's unit, less drift and motion of each run by itself.

    Raises
    ------
    MissingData
        A file is absent, is not the published one, or has another shape or TR.
    Misaligned
        The two tables of onsets of a run differ, or a mask lies elsewhere than the volumes.
    """
    data_dir = require_folder(data_dir)
    files = verified_files(NAME, data_dir, _paths(config))
    names = read_conditions(files[CONDITIONS])
    events = pd.concat([_blocks(run, names, files) for run in RUNS], ignore_index=True)
    motion = {run: _read_motion(files[_bold(run, "moest.txt")]) for run in RUNS if config.remove_motion}
    voxels = {roi: _voxels(roi, files) for roi in config.rois}
    values = [
        residuals(_time_courses(run, voxels, files), motion.get(run), drift_order=config.drift_order) for run in RUNS
    ]  # n_runs x (121, n_voxels)
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": provenance_of(NAME, files),
    }
    responses = Responses(np.vstack(values), _volumes(), _columns(voxels), provenance)
    return Recording(check_events(events, NAME, recorded=N_VOLUMES * TR), responses)


def read_conditions(path: Path) -> dict[str, str]:
    """Read which category a condition is: "cond001" to "house".

    Raises
    ------
    MissingData
        The file does not name eight of them.
    """
    cells = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line]
    names = {line[1]: line[2] for line in cells if len(line) == 3}
    if len(names) != N_CATEGORIES or len(cells) != N_CATEGORIES or len(set(names.values())) != N_CATEGORIES:
        raise MissingData(f"{path}: expected {N_CATEGORIES} lines 'task001 cond001 house', got {cells}")
    return names


def read_onsets(paths: dict[str, Path]) -> pd.DataFrame:
    """Read the onsets of conditions in FSL's three columns: onset (s), duration (s), weight.

    Parameters
    ----------
    paths : dict of str to Path
        By category.

    Returns
    -------
    blocks : DataFrame
        `onset, duration` (s), `category`, by onset.

    Raises
    ------
    MissingData
        A line is not three numbers, or its weight is not 1.
    """
    rows = []
    for category, path in paths.items():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                onset, duration, weight = map(float, line.split())
            except ValueError:
                raise MissingData(f"{path}: expected onset, duration and weight, got {line!r}") from None
            if weight != 1:
                raise MissingData(f"{path}: a block of weight {weight:g}; blocks are there as a whole")
            rows.append({"onset": onset, "duration": duration, "category": category})
    return pd.DataFrame(rows).sort_values("onset", ignore_index=True)


def read_volumes(path: Path) -> nibabel.Nifti1Image:
    """Read the volumes of a run.

    Raises
    ------
    MissingData
        They are not 121, or the header's TR is not 2.5 s.
    """
    image = nibabel.load(path)
    zooms, units = image.header.get_zooms(), image.header.get_xyzt_units()
    if image.ndim != 4 or image.shape[3] != N_VOLUMES:
        raise MissingData(f"{path}: shape {image.shape}, expected {N_VOLUMES} volumes")
    if units[1] != "sec" or not np.isclose(zooms[3], TR):
        raise MissingData(f"{path}: the header says TR {zooms[3]:g} {units[1]}, the study {TR} s")
    return image


def _paths(config: Config) -> list[str]:
    masks = [f"{SUBJECT}/masks/25mm/{roi}.nii.gz" for roi in config.rois if roi != SLICE]
    per_run = [_bold(run, part) for run in RUNS for part in ("events.tsv", "moest.txt", *_versions(config.rois))]
    onsets = [_onsets(run, f"cond{i:03d}") for run in RUNS for i in range(1, N_CATEGORIES + 1)]
    return [CONDITIONS, *masks, *per_run, *onsets]


def _versions(rois: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(_version(roi) for roi in rois))


def _version(roi: str) -> str:
    return "1slice.nii.gz" if roi == SLICE else "25mm.nii.gz"


def _bold(run: str, part: str) -> str:
    return f"{SUBJECT}/BOLD/task001_run{int(run):03d}/bold_{part}"


def _onsets(run: str, condition: str) -> str:
    return f"{SUBJECT}/model/model001/onsets/task001_run{int(run):03d}/{condition}.txt"


def _blocks(run: str, names: dict[str, str], files: dict[str, Path]) -> pd.DataFrame:
    """Read the blocks of a run from its table, and refuse onsets that differ from those of its conditions."""
    path = files[_bold(run, "events.tsv")]
    table = read_events(
        path, required=("trial_type",), run=run, recorded=N_VOLUMES * TR, n_expected=N_CATEGORIES
    ).rename(columns={"trial_type": "category"})
    onsets = read_onsets({name: files[_onsets(run, condition)] for condition, name in names.items()})
    if not table[list(onsets)].equals(onsets):
        raise Misaligned(f"{path} and the onsets of its conditions differ:\n{table.compare(table.assign(**onsets))}")
    return table


def _read_motion(path: Path) -> np.ndarray:
    """Read MCFLIRT's motion parameters, (121, 6): three rotations (rad), three translations (mm)."""
    motion = np.loadtxt(path, ndmin=2)
    if motion.shape != (N_VOLUMES, 6) or not np.isfinite(motion).all() or (np.ptp(motion, axis=0) == 0).any():
        raise MissingData(f"{path}: expected {N_VOLUMES} rows of 6 numbers that vary, got shape {motion.shape}")
    return motion


def _voxels(roi: str, files: dict[str, Path]) -> np.ndarray:
    """Give the indices of the voxels of a region, (n_voxels, 3): of a mask, or those of the slice that vary."""
    volumes = {run: read_volumes(files[_bold(run, _version(roi))]) for run in RUNS}
    if roi == SLICE:
        varies = [np.ptp(np.asanyarray(image.dataobj), axis=-1) > 0 for image in volumes.values()]
        return np.argwhere(np.all(varies, axis=0))
    path = files[f"{SUBJECT}/masks/25mm/{roi}.nii.gz"]
    mask = nibabel.load(path)
    for run, image in volumes.items():
        if mask.shape != image.shape[:3] or not np.allclose(mask.affine, image.affine):
            raise Misaligned(f"{path} has another shape or affine than the volumes of run {run}")
    return np.argwhere(np.asanyarray(mask.dataobj) > 0)


def _time_courses(run: str, voxels: dict[str, np.ndarray], files: dict[str, Path]) -> np.ndarray:
    """Give the time courses of the voxels of all regions side by side, (121, n_voxels)."""
    versions = {
        version: np.asanyarray(read_volumes(files[_bold(run, version)]).dataobj).astype(float)
        for version in _versions(tuple(voxels))
    }
    return np.vstack([versions[_version(roi)][tuple(indices.T)] for roi, indices in voxels.items()]).T


def _volumes() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": np.repeat(RUNS, N_VOLUMES),
            "time": np.tile(TR * np.arange(N_VOLUMES), len(RUNS)),
            "duration": TR,
        }
    )


def _columns(voxels: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = [
        {"subject": SUBJECT, "target": f"{roi}-{i}-{j}-{k}", "roi": roi, "i": i, "j": j, "k": k}
        for roi, indices in voxels.items()
        for i, j, k in indices.tolist()
    ]
    return pd.DataFrame(rows)
