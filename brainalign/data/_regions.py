"""Which points of an image are targets: a mask, the parcels of an atlas, or regions of interest; and their means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from brainalign.errors import MissingData


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a grid that are recorded from.

    Parameters
    ----------
    index : int array of shape (n_points,)
        Positions in the flattened grid; a point that is in two regions is there twice.
    table : DataFrame of n_points rows
        `target`, what the grid says of a point, and `roi` where there are regions.
    """

    index: np.ndarray
    table: pd.DataFrame

    def take(self, keep: np.ndarray) -> "Points":
        """Give the points that a boolean mask selects."""
        return Points(self.index[keep], self.table[keep].reset_index(drop=True))


def points_of_mask(inside: np.ndarray, grid: Any) -> Points:
    """Give the points of a mask.

    Parameters
    ----------
    inside : bool array of shape (n_grid,)
    grid : VolumeGrid, SurfaceGrid or GrayordinateGrid

    Raises
    ------
    MissingData
        The mask is empty.
    """
    index = np.flatnonzero(inside)
    if not len(index):
        raise MissingData("the mask is empty")
    return Points(index, grid.describe(index))


def points_of_regions(regions: Mapping[str, np.ndarray], grid: Any) -> Points:
    """Give the points of regions, region by region; targets are called "region/point".

    Parameters
    ----------
    regions : dict
        Name to a bool array of shape (n_grid,).
    grid : VolumeGrid, SurfaceGrid or GrayordinateGrid

    Raises
    ------
    MissingData
        A region is empty, or there is none.
    """
    if empty := [name for name, inside in regions.items() if not inside.any()]:
        raise MissingData(f"{len(empty)} of {len(regions)} regions hold no point of the recording's grid: {empty[:12]}")
    if not regions:
        raise MissingData("the atlas holds no label but 0")
    index = np.concatenate([np.flatnonzero(inside) for inside in regions.values()])
    table = grid.describe(index)
    roi = np.repeat(list(regions), [int(inside.sum()) for inside in regions.values()])
    table.insert(1, "roi", roi)
    table["target"] = [f"{name}/{target}" for name, target in zip(roi, table["target"], strict=True)]
    return Points(index, table)


def regions_of_labels(labels: np.ndarray, names: Mapping[int, str]) -> dict[str, np.ndarray]:
    """Split an atlas into its parcels; a label without a name is called by its number, 0 is outside."""
    return {names.get(int(label), str(int(label))): labels == label for label in np.unique(labels) if label != 0}


def region_means(values: np.ndarray, points: Points) -> tuple[np.ndarray, pd.DataFrame]:
    """Average the points of each region.

    Parameters
    ----------
    values : array of shape (n_samples, n_points)
    points : Points
        With `roi`.

    Returns
    -------
    means : array of shape (n_samples, n_regions)
    table : DataFrame of n_regions rows
        `target` (the region), `n_points`.
    """
    roi = points.table["roi"].to_numpy()
    names: Sequence[str] = list(dict.fromkeys(roi.tolist()))
    means = np.empty((len(values), len(names)), dtype=values.dtype)
    for i_region, name in enumerate(names):
        means[:, i_region] = values[:, roi == name].mean(axis=1, dtype=np.float64)
    return means, pd.DataFrame({"target": names, "n_points": [int((roi == name).sum()) for name in names]})
