"""Scores of voxels, regions and vertices as images of nibabel and nilearn."""

from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd

from brainalign.errors import Misaligned, MissingData
from brainalign.export.choice import of_one_model, places_of
from brainalign.pipeline.subjects import MEAN
from brainalign.results import read_provenance

FSAVERAGE5 = 10242  # vertices per hemisphere of the average surface that comes with nilearn, without a network


def score_image(
    folder, *, feature_space=None, weights=None, layer=None, metric=None, subject=None, atlas=None, names=None
):
    """Give the scores of one model as a volume.

    Parameters
    ----------
    folder : path
        Results of an encoding experiment on volumes.
    feature_space, weights, layer, metric, subject : str, optional
        As in `evoked_scores`.
    atlas : Nifti1Image or path, optional
        Whole numbers, 0 outside: where targets are regions, each is painted where the atlas has its label.
    names : dict of int to str, optional
        Label of the atlas to the name of the region; a label without one is the region of that number.

    Returns
    -------
    image : Nifti1Image
        float64, on the grid of the recording or of the atlas; NaN where nothing was scored.

    Raises
    ------
    MissingData
        The run is not finished; targets are no voxels and there is no atlas, or a region is not in the atlas.
    UnknownName, BrainalignError
        As `evoked_scores`.
    Misaligned
        Subjects have other grids, or a voxel has two scores.
    """
    folder = Path(folder)
    rows = of_one_model(
        folder, feature_space=feature_space, weights=weights, layer=layer, metric=metric, subject=subject
    )
    if atlas is not None:
        return _painted(rows, atlas, names or {}, folder)
    placed = _placed(folder, rows, ("i", "j", "k"), "voxels; of regions give the `atlas`")
    grid = _grid(folder, rows["subject"].iloc[0], "shape")
    volume = _fill(tuple(grid["shape"]), tuple(placed[axis].to_numpy(int) for axis in "ijk"), placed, folder)
    return _image(volume, np.array(grid["affine"]))


def score_surface(folder, *, feature_space=None, weights=None, layer=None, metric=None, subject=None, mesh=None):
    """Give the scores of one model on the surface of the cortex.

    Parameters
    ----------
    folder : path
        Results of an encoding experiment on surfaces.
    feature_space, weights, layer, metric, subject : str, optional
        As in `evoked_scores`.
    mesh : nilearn.surface.PolyMesh, optional
        With as many vertices as the recording has; without it, the pial surface of fsaverage5.

    Returns
    -------
    image : nilearn.surface.SurfaceImage
        float64, both hemispheres; NaN where nothing was scored.

    Raises
    ------
    MissingData
        The run is not finished, its targets are no vertices, or there is no mesh of as many vertices.
    UnknownName, BrainalignError
        As `evoked_scores`.
    Misaligned
        Subjects have other surfaces, `mesh` has another number of vertices, or a vertex has two scores.
    """
    from nilearn.surface import SurfaceImage

    folder = Path(folder)
    rows = of_one_model(
        folder, feature_space=feature_space, weights=weights, layer=layer, metric=metric, subject=subject
    )
    placed = _placed(folder, rows, ("hemisphere", "vertex"), "vertices of two hemispheres")
    grid = _grid(folder, rows["subject"].iloc[0], "n_left")
    n_vertices = {"left": grid["n_left"], "right": grid["n_right"]}
    mesh = _mesh(n_vertices, mesh, folder)
    parts = {}
    for side, n in n_vertices.items():
        of_side = placed[placed["hemisphere"] == side]
        parts[side] = _fill((n,), (of_side["vertex"].to_numpy(int),), of_side, folder)
    return SurfaceImage(mesh, parts)


def _placed(folder: Path, rows: pd.DataFrame, columns: tuple[str, ...], expected: str) -> pd.DataFrame:
    """Add the places of targets, all of which must have one."""
    places = places_of(folder)
    if places is None or not set(columns) <= set(places):
        raise MissingData(f"{folder}: its targets are no {expected}")
    placed = rows.merge(places, on="target", how="left", validate="one_to_one")
    if placed[list(columns)].isna().any(axis=None):
        raise MissingData(f"{folder}: places.tsv has no place of some of its targets; they are no {expected}")
    return placed


def _grid(folder: Path, subject: str, key: str) -> dict:
    """Give the grid that a subject was recorded on; of the group mean, the one that all were recorded on."""
    data = read_provenance(folder)["data"]
    grids = {name: described.get("grid") for name, described in data.get("subjects", {}).items()}
    if subject != MEAN and subject in grids:
        grids = {subject: grids[subject]}
    found = [grid for grid in (data.get("grid"), *grids.values()) if grid and key in grid]
    if not found:
        raise MissingData(f"{folder}: provenance.json does not say on which grid the responses of {subject} are")
    if any(grid != found[0] for grid in found):
        raise Misaligned(f"{folder}: subjects {list(grids)} were recorded on different grids; name one subject")
    return found[0]


def _fill(shape: tuple[int, ...], index: tuple[np.ndarray, ...], placed: pd.DataFrame, folder: Path) -> np.ndarray:
    """Put scores at their places in an array of NaN; a place in two regions has one score."""
    values, scores = np.full(shape, np.nan), placed["score"].to_numpy(float)
    values[index] = scores
    differs = ~np.isclose(values[index], scores, rtol=0, atol=1e-9, equal_nan=True)
    if differs.any():
        raise Misaligned(f"{folder}: {placed['target'][differs].iloc[0]} has another score at the same place")
    return values


def _image(values: np.ndarray, affine: np.ndarray) -> nibabel.Nifti1Image:
    """Give a volume whose header says that places are in mm."""
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    return image


def _painted(rows: pd.DataFrame, atlas, names: Mapping[int, str], folder: Path) -> nibabel.Nifti1Image:
    """Give an atlas with the score of each region in place of its label."""
    atlas = nibabel.load(atlas) if isinstance(atlas, str | Path) else atlas
    labels = np.asanyarray(atlas.dataobj)
    scores, values = rows.set_index("target")["score"].astype(float), np.full(labels.shape, np.nan)
    regions = {names.get(int(label), str(int(label))): label for label in np.unique(labels) if label != 0}
    if absent := [region for region in scores.index if region not in regions]:
        raise MissingData(
            f"{folder}: {len(absent)} of {len(scores)} regions are not in the atlas, the first is {absent[0]!r}; the "
            f"atlas has {list(regions)[:4]} ...; `names` says how a label is called"
        )
    for region, score in scores.items():
        values[labels == regions[region]] = score
    return _image(values, atlas.affine)


def _mesh(n_vertices: dict[str, int], mesh, folder: Path):
    """Give the mesh on which there are so many vertices on each side."""
    from nilearn.datasets import load_fsaverage

    if mesh is None and n_vertices != {"left": FSAVERAGE5, "right": FSAVERAGE5}:
        raise MissingData(f"{folder}: no surface of {n_vertices} vertices comes with nilearn; give its `mesh`")
    mesh = load_fsaverage("fsaverage5")["pial"] if mesh is None else mesh
    found = {side: mesh.parts[side].n_vertices for side in n_vertices}
    if found != n_vertices:
        raise Misaligned(f"{folder}: the recording has {n_vertices} vertices, the mesh {found}")
    return mesh
