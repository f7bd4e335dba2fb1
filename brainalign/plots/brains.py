"""Scores on the cortex and in the volume of the brain."""

import warnings

import numpy as np

from brainalign.errors import MissingData

MESHES = {10242: "fsaverage5"}
"""Vertices per hemisphere to the average surface that comes with nilearn, without a network."""
VIEWS = (("left", "lateral"), ("left", "medial"), ("right", "lateral"), ("right", "medial"))


def surface(table, *, label="score", limit=None):
    """Draw scores on the inflated cortex, from outside and inside, both hemispheres.

    Parameters
    ----------
    table : DataFrame
        Columns `hemisphere` ("left", "right"), `vertex` and `score`; vertices that are not there are grey.
    label : str
        Of the colour scale.
    limit : float, optional
        Both ends of the colour scale; without it the 99.5th percentile of the absolute scores.

    Returns
    -------
    figure : Figure

    Raises
    ------
    MissingData
        The vertices are not those of a surface in `MESHES`.
    """
    from matplotlib.figure import Figure
    from nilearn import plotting

    image, depth = _surface_image(table)
    limit = colour_limit(table["score"]) if limit is None else limit
    figure = Figure(figsize=(8.6, 2.6))
    for i, (side, view) in enumerate(VIEWS):
        ax = figure.add_subplot(1, len(VIEWS), i + 1, projection="3d")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="All-NaN slice")  # a hemisphere without scores is grey
            plotting.plot_surf_stat_map(
                stat_map=image, hemi=side, view=view, bg_map=depth, axes=ax, figure=figure, engine="matplotlib",
                cmap="RdBu_r", vmin=-limit, vmax=limit, colorbar=False, bg_on_data=True,
            )  # fmt: skip
        ax.set_box_aspect(None, zoom=1.5)
        ax.set_title(f"{side}, {view}", fontsize=8)
    _add_scale(figure, label, limit)
    return figure


def interactive_surface(table, *, title="", limit=None):
    """Give an HTML page of scores on the inflated cortex that can be turned; it opens without a network.

    Parameters
    ----------
    table, limit
        As in `surface`.
    title : str

    Returns
    -------
    page : str

    Raises
    ------
    MissingData
        The vertices are not those of a surface in `MESHES`.
    """
    from nilearn import plotting

    image, depth = _surface_image(table)
    limit = colour_limit(table["score"]) if limit is None else limit
    return plotting.view_surf(
        image.mesh, surf_map=image, hemi="both", bg_map=depth, cmap="RdBu_r", vmax=limit, title=title or None,
        title_fontsize=14, colorbar_fontsize=14,
    ).html  # fmt: skip


def glass_brain(table, *, shape, affine, label="score", limit=None):
    """Draw scores of voxels seen through a transparent brain, the strongest along the line of sight.

    Scores up to `noise_level` are left out: through a brain, noise anywhere on the way would show.

    Parameters
    ----------
    table : DataFrame
        Columns `i j k` (voxel) and `score`.
    shape : sequence of three int
        Of the volume.
    affine : array of shape (4, 4)
        Voxel to mm, in MNI space.
    label : str
    limit : float, optional
        As in `surface`.

    Returns
    -------
    figure : Figure
    """
    import nibabel
    from matplotlib.figure import Figure
    from nilearn import plotting

    volume = np.zeros(tuple(shape), dtype=np.float32)
    volume[table["i"], table["j"], table["k"]] = table["score"].fillna(0)
    limit = colour_limit(table["score"]) if limit is None else limit
    figure = Figure(figsize=(8.6, 2.8))
    plotting.plot_glass_brain(
        nibabel.Nifti1Image(volume, np.asarray(affine)), display_mode="lyrz", figure=figure, cmap="RdBu_r",
        plot_abs=False, vmin=-limit, vmax=limit, threshold=noise_level(table["score"]), colorbar=False,
        symmetric_cbar=True,
    )  # fmt: skip
    _add_scale(figure, label, limit)
    return figure


def noise_level(scores):
    """Give how far chance goes, told by the negative scores: all but one in a thousand scores are above minus this."""
    finite = np.asarray(scores, dtype=float)
    finite = finite[np.isfinite(finite)]
    return max(-float(np.percentile(finite, 0.1)), 0.0) if len(finite) else 0.0


def colour_limit(scores):
    """Give the 99.5th percentile of absolute scores, at least the smallest positive number."""
    finite = np.abs(np.asarray(scores, dtype=float))
    finite = finite[np.isfinite(finite)]
    return max(float(np.percentile(finite, 99.5)), np.finfo(np.float32).tiny) if len(finite) else 1.0


def _surface_image(table):
    """Give the scores, and the depth of the folds behind them, on the surface that has these vertices."""
    from nilearn import datasets
    from nilearn.surface import SurfaceImage

    n_vertices = int(table["vertex"].max()) + 1
    mesh = next((mesh for n, mesh in MESHES.items() if n_vertices <= n < 4 * n_vertices), None)
    if mesh is None:
        raise MissingData(f"vertices up to {n_vertices - 1} are of none of the surfaces that are here: {MESHES}")
    n = next(n for n, name in MESHES.items() if name == mesh)
    parts = {}
    for side in ("left", "right"):
        of_side = table[table["hemisphere"] == side]
        parts[side] = np.full(n, np.nan, dtype=np.float32)
        parts[side][of_side["vertex"]] = of_side["score"]
    inflated = datasets.load_fsaverage(mesh)["inflated"]
    depth = datasets.load_fsaverage_data(mesh=mesh, data_type="sulcal").data.parts
    return SurfaceImage(inflated, parts), SurfaceImage(inflated, depth)


def _add_scale(figure, label, limit):
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(-limit, limit), cmap="RdBu_r")
    figure.colorbar(scale, ax=figure.axes, label=label, shrink=0.7, fraction=0.02)
