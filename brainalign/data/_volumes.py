"""Volumes: four-dimensional NIfTI images as samples by voxels, masks and atlases on the same grid."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from nilearn.image import resample_to_img, smooth_img

from brainalign.data._content import reading
from brainalign.data._repetition_time import stated_in_header
from brainalign.errors import Misaligned

log = logging.getLogger(__name__)

EXTENSIONS = (".nii", ".nii.gz")
HEMISPHERES = ("",)
SAME_PLACE = 1e-3  # mm by which two affines may differ


@dataclass(frozen=True, eq=False)
class VolumeGrid:
    """The voxels of an image, in the order of a flattened array.

    Parameters
    ----------
    shape : tuple of three int
    affine : array of shape (4, 4)
        Voxel to mm.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    def describe(self, index: np.ndarray) -> pd.DataFrame:
        """Name voxels: `target` ("12-30-8"), and `i, j, k`."""
        i, j, k = np.unravel_index(index, self.shape)
        target = [f"{a}-{b}-{c}" for a, b, c in zip(i, j, k, strict=True)]
        return pd.DataFrame({"target": target, "i": i, "j": j, "k": k})

    def difference(self, other: "VolumeGrid") -> str | None:
        """Say in what another grid differs; None where it is the same."""
        if self.shape != other.shape:
            return f"shape {other.shape}, not {self.shape}"
        if not np.allclose(self.affine, other.affine, rtol=0, atol=SAME_PLACE):
            return f"affine {other.affine[:3].round(4).tolist()}, not {self.affine[:3].round(4).tolist()}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Give what is needed to put values back into an image."""
        return {"shape": list(self.shape), "affine": self.affine.round(6).tolist()}


@dataclass(frozen=True, eq=False)
class Image:
    """A recording of one run that is not loaded yet.

    Parameters
    ----------
    grid : VolumeGrid, SurfaceGrid or GrayordinateGrid
        Where its points are.
    n_samples : int
    header_tr : tuple of float and str, optional
        As `_repetition_time.stated_in_header` gives it.
    load : callable
        `load(index, smoothing_fwhm)` gives the points `index`, (n_samples, n_points), float32. Points that are not
        finite, or constant before smoothing, are NaN.
    """

    grid: Any
    n_samples: int
    header_tr: tuple[float, str] | None
    load: Callable[[np.ndarray, float | None], np.ndarray]


def open_run(paths: tuple[Path, ...]) -> Image:
    """Open the image of one run.

    Raises
    ------
    MissingData
        The file is a stub or cannot be read.
    Misaligned
        It is not four-dimensional.
    """
    [path] = paths
    with reading(path):
        image = nibabel.load(path)
        opened = open_image(image, str(path))

    def load(index: np.ndarray, smoothing_fwhm: float | None) -> np.ndarray:
        with reading(path):
            return opened.load(index, smoothing_fwhm)

    return Image(opened.grid, opened.n_samples, opened.header_tr, load)


def open_image(image: nibabel.Nifti1Image, source: str) -> Image:
    """Take a four-dimensional image; see `open_run`."""
    if len(image.shape) != 4:
        raise Misaligned(f"{source}: expected an image of four dimensions (x, y, z, time), got shape {image.shape}")
    grid = VolumeGrid(tuple(int(n) for n in image.shape[:3]), np.asarray(image.affine, dtype=float))

    def load(index: np.ndarray, smoothing_fwhm: float | None) -> np.ndarray:
        values = _take(image, index)
        unusable = ~np.isfinite(values).all(axis=0) | (np.ptp(values, axis=0) == 0)
        if smoothing_fwhm is not None:
            values = _take(smooth_img(image, smoothing_fwhm), index)  # what is not finite enters as 0
        values[:, unusable] = np.nan
        return values

    return Image(grid, int(image.shape[3]), stated_in_header(image.header), load)


def _take(image: nibabel.Nifti1Image, index: np.ndarray) -> np.ndarray:
    """Load some voxels of an image, (n_samples, n_points), volume by volume: NIfTI stores one after the other."""
    volumes = np.moveaxis(image.get_fdata(dtype=np.float32, caching="unchanged"), 3, 0)  # (n_samples, x, y, z)
    shape = volumes.shape[1:]
    stored = np.ravel_multi_index(np.unravel_index(index, shape), shape, order="F")
    return np.stack([volume.reshape(-1, order="F")[stored] for volume in volumes])


def read_labels(path: Path, grid: VolumeGrid, *, resample: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Read a mask or an atlas on the grid of a recording.

    Parameters
    ----------
    path : Path
    grid : VolumeGrid
    resample : bool
        Bring an image with another grid onto this one, each voxel taking the nearest label.

    Returns
    -------
    labels : int array of shape (n_voxels,)
        0 is outside.
    names : dict
        Empty: NIfTI has no names of labels.

    Raises
    ------
    MissingData
        The file is a stub or cannot be read.
    Misaligned
        It is on another grid and is not to be resampled, or holds something else than whole numbers.
    """
    with reading(path):
        image = nibabel.load(path)
        return labels_of_image(image, grid, resample=resample, source=str(path)), {}


def labels_of_image(image: nibabel.Nifti1Image, grid: VolumeGrid, *, resample: bool, source: str) -> np.ndarray:
    """Take a mask or an atlas; see `read_labels`."""
    own = VolumeGrid(tuple(int(n) for n in image.shape[:3]), np.asarray(image.affine, dtype=float))
    differs = grid.difference(own) if len(image.shape) == 3 else f"{len(image.shape)} dimensions, not 3"
    if differs and (len(image.shape) != 3 or not resample):
        raise Misaligned(f"{source} does not lie on the grid of the recording: {differs}; `resample` brings it there")
    values = np.asanyarray(image.dataobj)
    if not np.isfinite(values).all() or (values != np.round(values)).any():
        raise Misaligned(f"{source}: labels must be whole numbers, 0 for what is outside")
    if differs:
        log.warning("%s: resampled to the grid of the recording (%s)", source, differs)
        target = nibabel.Nifti1Image(np.zeros(grid.shape, np.uint8), grid.affine)
        labels = nibabel.Nifti1Image(values.astype(np.int32), own.affine)
        resampled = resample_to_img(labels, target, interpolation="nearest", force_resample=True, copy_header=True)
        values = np.asanyarray(resampled.dataobj)
    return values.astype(np.int64).reshape(grid.size)
