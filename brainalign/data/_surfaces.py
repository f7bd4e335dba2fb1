"""Surfaces: GIFTI time series of both hemispheres as samples by vertices, left before right."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd

from brainalign.data._bids_query import parse_name
from brainalign.data._content import reading
from brainalign.data._volumes import Image
from brainalign.errors import Misaligned, MissingData

EXTENSIONS = (".func.gii",)
HEMISPHERES = ("L", "R")
SIDES = {"L": "left", "R": "right"}
STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}
STRUCTURE = "AnatomicalStructurePrimary"  # the metadata that says which hemisphere a GIFTI file is of

N_VERTICES = {
    "fsaverage3": 642,
    "fsaverage4": 2562,
    "fsaverage5": 10242,
    "fsaverage6": 40962,
    "fsaverage": 163842,
}
"""Vertices per hemisphere of FreeSurfer's average surfaces."""


@dataclass(frozen=True)
class SurfaceGrid:
    """The vertices of two hemispheres, left before right.

    Parameters
    ----------
    n_left, n_right : int
    """

    n_left: int
    n_right: int

    @property
    def size(self) -> int:
        """Number of vertices of both."""
        return self.n_left + self.n_right

    def describe(self, index: np.ndarray) -> pd.DataFrame:
        """Name vertices: `target` ("L-17"), `hemisphere` ("left"), `vertex`."""
        left = index < self.n_left
        vertex = np.where(left, index, index - self.n_left)
        side = np.where(left, "L", "R")
        target = [f"{hemisphere}-{number}" for hemisphere, number in zip(side, vertex, strict=True)]
        return pd.DataFrame({"target": target, "hemisphere": [SIDES[s] for s in side], "vertex": vertex})

    def difference(self, other: "SurfaceGrid") -> str | None:
        """Say in what another grid differs; None where it is the same."""
        if self == other:
            return None
        return f"{other.n_left} + {other.n_right} vertices, not {self.n_left} + {self.n_right}"

    def to_json(self) -> dict[str, Any]:
        """Give what is needed to put values back onto the surface."""
        return {"n_left": self.n_left, "n_right": self.n_right}


def open_run(paths: tuple[Path, ...]) -> Image:
    """Open the two files of one run, left and right.

    Raises
    ------
    MissingData
        A file is a stub or cannot be read.
    Misaligned
        A file is of the other hemisphere, the two have other numbers of samples, or it is a space of FreeSurfer's with
        another number of vertices.
    """
    values = []
    for path, hemisphere in zip(paths, HEMISPHERES, strict=True):
        with reading(path):
            gifti = nibabel.load(path)
            _check_hemisphere(gifti, hemisphere, path)
            values.append(np.stack([array.data for array in gifti.darrays]).astype(np.float32))  # (n_samples, n)
    for path, of_side in zip(paths, values, strict=True):
        _check_vertices(of_side.shape[1], path)
    return open_arrays(values[0], values[1], f"{paths[0]} and {paths[1].name}")


def open_arrays(left: np.ndarray, right: np.ndarray, source: str) -> Image:
    """Take the time series of two hemispheres, each (n_samples, n_vertices).

    Raises
    ------
    Misaligned
        They have other numbers of samples.
    """
    if len(left) != len(right):
        raise Misaligned(f"{source}: {len(left)} samples on the left, {len(right)} on the right")
    grid = SurfaceGrid(left.shape[1], right.shape[1])

    def load(index: np.ndarray, smoothing_fwhm: float | None) -> np.ndarray:
        if smoothing_fwhm is not None:
            raise Misaligned(f"{source}: only volumes are smoothed here; smooth surfaces when they are made")
        chosen = np.concatenate([left, right], axis=1)[:, index].astype(np.float32)
        unusable = ~np.isfinite(chosen).all(axis=0) | (np.ptp(chosen, axis=0) == 0)
        return np.where(unusable, np.float32(np.nan), chosen)

    return Image(grid, len(left), None, load)


def read_labels(path: Path, grid: SurfaceGrid, *, resample: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Read a mask or a parcellation of both hemispheres.

    Parameters
    ----------
    path : Path
        Holds "{hemi}", which stands for L and R (lh and rh for FreeSurfer's .annot). GIFTI or .annot.
    grid : SurfaceGrid
    resample : bool
        Surfaces are not resampled; must be False.

    Returns
    -------
    labels : int array of shape (n_vertices,)
        0 is outside. Regions that have one name on both sides are two: "left X" and "right X".
    names : dict
        Label to name.

    Raises
    ------
    MissingData
        The path has no "{hemi}", or a file is a stub or cannot be read.
    Misaligned
        A file has another number of vertices or is of the other hemisphere; surfaces are to be resampled.
    """
    if resample:
        raise Misaligned(f"{path}: surfaces are not resampled here; give labels on the surface of the recording")
    if "{hemi}" not in str(path):
        raise MissingData(f"{path}: give both hemispheres by '{{hemi}}' in the path, for L and R")
    labels, names, offset = [], {}, 0
    for hemisphere, n_vertices in zip(HEMISPHERES, (grid.n_left, grid.n_right), strict=True):
        of_side = Path(str(path).replace("{hemi}", _written(path, hemisphere)))
        values, named = _read_side(of_side, hemisphere)
        if len(values) != n_vertices:
            raise Misaligned(f"{of_side}: {len(values)} vertices, the recording has {n_vertices} on this side")
        inside = values != 0
        labels.append(np.where(inside, values + offset, 0))
        names |= {
            int(v) + offset: f"{SIDES[hemisphere]} {named.get(int(v), int(v))}" for v in np.unique(values[inside])
        }
        offset += int(values.max(initial=0)) + 1
    return np.concatenate(labels), names


def _written(path: Path, hemisphere: str) -> str:
    return {"L": "lh", "R": "rh"}[hemisphere] if path.suffix == ".annot" else hemisphere


def _read_side(path: Path, hemisphere: str) -> tuple[np.ndarray, dict[int, str]]:
    """Read labels of one hemisphere: a number per vertex, 0 outside, and the names of the numbers."""
    with reading(path):
        if path.suffix == ".annot":
            values, _, names = nibabel.freesurfer.read_annot(path)
            outside = {i for i, name in enumerate(names) if name in (b"unknown", b"Medial_wall", b"???")} | {-1}
            kept = np.where(np.isin(values, sorted(outside)), 0, values + 1)
            return kept.astype(np.int64), {i + 1: name.decode() for i, name in enumerate(names)}
        gifti = nibabel.load(path)
        _check_hemisphere(gifti, hemisphere, path)
        return gifti.darrays[0].data.astype(np.int64), dict(gifti.labeltable.get_labels_as_dict())


def _check_vertices(n_vertices: int, path: Path) -> None:
    """Refuse a file of one of FreeSurfer's average surfaces with another number of vertices."""
    file = parse_name(path)
    space = file.entities.get("space", "") if file and "den" not in file.entities else ""
    if n_vertices != N_VERTICES.get(space, n_vertices):
        raise Misaligned(f"{path}: {n_vertices} vertices, {space} has {N_VERTICES[space]} per hemisphere")


def _check_hemisphere(gifti: nibabel.GiftiImage, hemisphere: str, path: Path) -> None:
    """Refuse a file that says it is of the other hemisphere; what is said of no hemisphere is believed."""
    stated = {dict(meta).get(STRUCTURE) for meta in (gifti.meta, *(array.meta for array in gifti.darrays))} - {None}
    other = stated & (set(STRUCTURES.values()) - {STRUCTURES[hemisphere]})
    if other:
        raise Misaligned(f"{path}: says it is {sorted(other)[0]}, its name says hemi-{hemisphere}; are they swapped?")
