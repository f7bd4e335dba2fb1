"""fMRI of a BIDS folder, raw or as fMRIPrep left it: images, brain masks, confounds and TR of each run."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from nilearn.interfaces.fmriprep import load_confounds

from brainalign.data import _grayordinates, _surfaces, _volumes
from brainalign.data._bids_query import BidsFile, Query, find_runs, metadata_of, parse_name
from brainalign.data._content import reading, require_content
from brainalign.data._fmri import Run
from brainalign.data._regions import Points, points_of_mask, points_of_regions, regions_of_labels
from brainalign.data._repetition_time import agreed_tr
from brainalign.data._volumes import Image, VolumeGrid
from brainalign.errors import BrainalignError, Misaligned, MissingData

GEOMETRIES: dict[str, ModuleType] = {"volume": _volumes, "surface": _surfaces, "cifti": _grayordinates}
"""Modules that open a run (`open_run`) and read what lies on the same grid (`read_labels`)."""

CONFOUNDS = ("timeseries", "regressors")  # the second is what the file was called before fMRIPrep 20.2


def find_images(root: Path, subject: str, query: Query, geometry: ModuleType) -> dict[str, tuple[BidsFile, ...]]:
    """Find the images of a person: one file per run, or one per hemisphere.

    Raises
    ------
    MissingData
        Nothing is found, two files match one run, or a run has one hemisphere only.
    """
    sides = [
        find_runs(root, subject, Query(query.datatype, query.suffix, geometry.EXTENSIONS, query.among, of_side))
        for of_side in ({**query.fixed, "hemi": hemisphere} for hemisphere in geometry.HEMISPHERES)
    ]
    if one_sided := set(sides[0]) ^ set(sides[-1]):
        raise MissingData(f"subject {subject}: one hemisphere only in {sorted(one_sided)}")
    return {run: tuple(side[run] for side in sides) for run in sides[0]}


def open_run(
    root: Path,
    files: tuple[BidsFile, ...],
    geometry: ModuleType,
    *,
    tr: float | None,
    confounds: tuple[str, ...],
    options: Mapping[str, Any],
) -> tuple[Run, list[Path]]:
    """Open one run with its TR and its confounds, and say which other files were read.

    Parameters
    ----------
    root : Path
        Top of the folder in which the images lie.
    files : tuple of BidsFile
    geometry : module of GEOMETRIES
    tr : float, optional
        As the settings have it, s.
    confounds : tuple of str
        Strategies of `nilearn.interfaces.fmriprep.load_confounds`.
    options : dict
        Its other arguments.

    Raises
    ------
    MissingData
        A file is a stub, cut, or cannot be read; there are no such confounds.
    Misaligned
        Header, sidecar and settings state different TRs; the confounds have another number of rows than the image.
    """
    image = geometry.open_run(tuple(file.path for file in files))
    source = str(files[0].path)
    metadata, sidecars = metadata_of(root, files[0])
    stated = metadata.get("RepetitionTime")
    if stated is not None and not isinstance(stated, int | float):
        raise Misaligned(f"{source}: RepetitionTime of its sidecar is {stated!r}, expected seconds")
    agreed = agreed_tr(source, header=image.header_tr, sidecar=stated, setting=tr)
    if not confounds:
        return Run(image, agreed, source), sidecars
    values, kept = read_confounds(files, image.n_samples, strategies=confounds, options=options)
    return Run(image, agreed, source, values, kept), sidecars + confounds_files(files[0])


def read_confounds(
    files: tuple[BidsFile, ...], n_samples: int, *, strategies: tuple[str, ...], options: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Read the confounds of one run through nilearn, which fills the first row of derivatives with the second.

    Returns
    -------
    confounds : array of shape (n_samples, n_confounds)
    kept : bool array of shape (n_samples,)
        False for volumes before the steady state and, with the strategy "scrub", volumes of motion.

    Raises
    ------
    MissingData
        There is no table of confounds, it is cut, or lacks what the strategies need.
    Misaligned
        It has another number of rows than the image has volumes, or a value is not finite.
    """
    path = files[0].path
    for table in confounds_files(files[0]):
        require_content(table)
    images = [str(file.path) for file in files]
    with reading(path):
        try:
            table, good = load_confounds(images if len(images) > 1 else images[0], strategy=strategies, **options)
        except (ValueError, TypeError, KeyError) as error:
            raise MissingData(f"{path}: no confounds {list(strategies)}: {' '.join(str(error).split())}") from None
    if len(table) != n_samples:
        raise Misaligned(f"{path}: {n_samples} volumes, but {len(table)} rows of confounds")
    values = table.to_numpy(dtype=float)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise Misaligned(f"{path}: confound {table.columns[bad[0][1]]} is not finite in volume {bad[0][0]}")
    kept = np.ones(n_samples, dtype=bool)
    if good is not None:
        kept[:] = False
        kept[good] = True
    return values, kept


def confounds_files(file: BidsFile) -> list[Path]:
    """Give the tables of confounds, and their sidecars, that lie beside an image of fMRIPrep's."""
    found = []
    for path in sorted(file.path.parent.glob("*desc-confounds_*")):
        table = parse_name(path)
        if table and table.suffix in CONFOUNDS and table.entities.pop("desc") == "confounds":
            applies = all(file.entities.get(name) == label for name, label in table.entities.items())
            found += [path] * applies
    return found


def choose_points(
    image: Image,
    geometry: ModuleType,
    *,
    whole: np.ndarray | None,
    mask: Path | None,
    parcels: Path | None,
    names: Mapping[int, str],
    rois: Mapping[str, Path],
    resample: bool,
) -> Points:
    """Choose the points of a person's images: of a mask, of the parcels of an atlas, or of regions.

    Parameters
    ----------
    image : Image
        The first of the person.
    geometry : module of GEOMETRIES
    whole : bool array of shape (n_grid,), optional
        The brain, for when there are no paths; None: every point of the grid.
    mask, parcels : Path, optional
    names : dict
        Label to name, instead of those of the parcels' file.
    rois : dict
        Name to the path of a mask.
    resample : bool
        Bring masks and atlases onto the grid of the images.

    Raises
    ------
    MissingData, Misaligned
        A file cannot be read or lies on another grid; a region is empty.
    """
    grid = image.grid
    if rois:
        read = {name: geometry.read_labels(path, grid, resample=resample)[0] != 0 for name, path in rois.items()}
        return _named("rois", lambda: points_of_regions(read, grid))
    if parcels is not None:
        labels, own = geometry.read_labels(parcels, grid, resample=resample)
        return _named(str(parcels), lambda: points_of_regions(regions_of_labels(labels, {**own, **names}), grid))
    if mask is not None:
        labels, _ = geometry.read_labels(mask, grid, resample=resample)
        return _named(str(mask), lambda: points_of_mask(labels != 0, grid))
    inside = np.ones(grid.size, dtype=bool) if whole is None else whole
    return _named("the brain", lambda: points_of_mask(inside, grid))


def brain_mask(
    root: Path, files: Mapping[str, tuple[BidsFile, ...]], grid: VolumeGrid
) -> tuple[np.ndarray, list[Path]]:
    """Intersect fMRIPrep's brain masks of a person's runs, (n_voxels,), and say which files they are.

    Raises
    ------
    MissingData
        A run has no brain mask, or more than one.
    Misaligned
        A mask is not on the grid of the images.
    """
    inside, paths = np.ones(grid.size, dtype=bool), []
    for run, (file,) in files.items():
        wanted = {name: file.entities.get(name, "") for name in ("space", "res")} | {"desc": "brain"}
        among = {name: (file.entities[name],) for name in ("ses", "task", "run") if name in file.entities}
        query = Query(file.path.parent.name, "mask", _volumes.EXTENSIONS, among, wanted)
        try:
            [found] = find_runs(root, file.entities["sub"], query).values()
        except MissingData as error:
            raise MissingData(f"no brain mask of {run}, give one by `mask`: {error}") from None
        labels, _ = _volumes.read_labels(found.path, grid, resample=False)
        inside &= labels != 0
        paths.append(found.path)
    return inside, paths


def _named(source: str, make) -> Points:
    try:
        return make()
    except BrainalignError as error:
        raise type(error)(f"{source}: {error}") from None
