"""CIFTI dense time series as samples by grayordinates: cortical vertices and subcortical voxels in one file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd

from brainalign.data._content import reading
from brainalign.data._volumes import Image
from brainalign.errors import Misaligned

EXTENSIONS = (".dtseries.nii",)
HEMISPHERES = ("",)
SECONDS_PER = {"SECOND": 1.0, "MILLISECOND": 1e-3}


@dataclass(frozen=True, eq=False)
class GrayordinateGrid:
    """The brain models of a CIFTI file.

    Parameters
    ----------
    axis : nibabel.cifti2.BrainModelAxis
    """

    axis: nibabel.cifti2.BrainModelAxis

    @property
    def size(self) -> int:
        """Number of grayordinates."""
        return len(self.axis)

    def describe(self, index: np.ndarray) -> pd.DataFrame:
        """Name grayordinates: `target` ("CORTEX_LEFT-17", "THALAMUS_LEFT-3-4-5"), `structure`, `vertex` (-1: voxel)."""
        structure = np.array([name.removeprefix("CIFTI_STRUCTURE_") for name in self.axis.name])[index]
        vertex, voxel = self.axis.vertex[index], self.axis.voxel[index]
        place = [str(v) if v >= 0 else "-".join(map(str, ijk)) for v, ijk in zip(vertex, voxel, strict=True)]
        target = [f"{name}-{where}" for name, where in zip(structure, place, strict=True)]
        return pd.DataFrame({"target": target, "structure": structure, "vertex": vertex})

    def difference(self, other: "GrayordinateGrid") -> str | None:
        """Say in what another grid differs; None where it is the same."""
        if self.axis == other.axis:
            return None
        return f"{other.size} grayordinates of other brain models, not these {self.size}"

    def to_json(self) -> dict[str, Any]:
        """Give the number of grayordinates of each structure."""
        return {name: int(np.sum(self.axis.name == name)) for name in dict.fromkeys(self.axis.name.tolist())}


def open_run(paths: tuple[Path, ...]) -> Image:
    """Open the file of one run.

    Raises
    ------
    MissingData
        The file is a stub or cannot be read.
    Misaligned
        It is no dense time series.
    """
    [path] = paths
    with reading(path):
        cifti = nibabel.load(path)
        if not isinstance(cifti, nibabel.Cifti2Image):
            raise Misaligned(f"{path}: {type(cifti).__name__}, expected a CIFTI-2 file")
        axes = [cifti.header.get_axis(i) for i in range(2)]
    kinds = [type(axis).__name__ for axis in axes]
    if kinds != ["SeriesAxis", "BrainModelAxis"]:
        raise Misaligned(f"{path}: axes {kinds}, expected a dense time series (SeriesAxis, BrainModelAxis)")
    series, models = axes

    def load(index: np.ndarray, smoothing_fwhm: float | None) -> np.ndarray:
        if smoothing_fwhm is not None:
            raise Misaligned(f"{path}: only volumes are smoothed here; smooth grayordinates when they are made")
        with reading(path):
            chosen = cifti.get_fdata(dtype=np.float32, caching="unchanged")[:, index]
        unusable = ~np.isfinite(chosen).all(axis=0) | (np.ptp(chosen, axis=0) == 0)
        return np.where(unusable, np.float32(np.nan), chosen)

    unit = str(series.unit).upper()
    tr = (round(float(series.step) * SECONDS_PER[unit], 6), f"{series.step:g} {unit.lower()}")
    return Image(GrayordinateGrid(models), series.size, tr if unit in SECONDS_PER else None, load)


def read_labels(path: Path, grid: GrayordinateGrid, *, resample: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Read a mask or a parcellation (.dlabel.nii, .dscalar.nii) of the same grayordinates.

    Returns
    -------
    labels : int array of shape (n_grayordinates,)
        0 is outside.
    names : dict
        Label to name, of a .dlabel.nii.

    Raises
    ------
    MissingData
        The file is a stub or cannot be read.
    Misaligned
        It has other grayordinates; grayordinates are to be resampled.
    """
    if resample:
        raise Misaligned(f"{path}: grayordinates are not resampled here; give labels of the same brain models")
    with reading(path):
        cifti = nibabel.load(path)
        maps, models = (cifti.header.get_axis(i) for i in range(2))
        differs = grid.difference(GrayordinateGrid(models))
        if differs:
            raise Misaligned(f"{path} does not lie on the grid of the recording: {differs}")
        values = np.asarray(cifti.dataobj)[0].astype(np.int64)
    table = maps.label[0] if hasattr(maps, "label") else {}
    return values, {int(key): str(name) for key, (name, _) in table.items()}
