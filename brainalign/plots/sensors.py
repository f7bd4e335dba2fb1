"""Scores on the head: topographies of sensors at several times, or of several models."""

import numpy as np
import pandas as pd

from brainalign.plots._style import note, panels

FEWEST = 4  # sensors that make a topography
HEAD = 0.095  # m, radius of the drawn head
SAME_PLACE = 1e-3  # m: planar gradiometers stand in pairs, and a pair is one place


def topographies(table, *, lags, label="score"):
    """Draw a row of heads, one per lag, in one colour scale.

    Parameters
    ----------
    table : DataFrame
        Columns `target`, `x, y, z` (m, head coordinates), `lag` (s) and `score`; sensors of one kind.
    lags : sequence of float
        Of which the nearest in the table are drawn.
    label : str
        Of the colour scale.

    Returns
    -------
    figure : Figure
        Sensors without a place are left out; sensors at one place are averaged.
    """
    placed = table.dropna(subset=["x", "y", "z"])
    at_hand = np.unique(placed["lag"])
    if placed["target"].nunique() < FEWEST or not np.isfinite(placed["score"]).any():
        return note("no topography: fewer than four sensors have a place and a score")
    shown = list(dict.fromkeys(at_hand[np.abs(at_hand - lag).argmin()] for lag in lags))
    panels_of = {f"{1000 * lag:.0f} ms": placed[placed["lag"] == lag] for lag in shown}
    return _figure_of_heads(panels_of, label=label)


def model_topographies(table, *, label="score"):
    """Draw a row of heads, one per model, in one colour scale.

    Parameters
    ----------
    table : DataFrame
        Columns `model`, `target`, `x, y, z` (m, head coordinates) and `score`; sensors of one kind.
    label : str
        Of the colour scale.

    Returns
    -------
    figure : Figure
        As that of `topographies`.
    """
    placed = table.dropna(subset=["x", "y", "z"])
    if placed["target"].nunique() < FEWEST or not np.isfinite(placed["score"]).any():
        return note("no topography: fewer than four sensors have a place and a score")
    return _figure_of_heads(dict(list(placed.groupby("model", sort=False))), label=label)


def draw_head(ax, sensors, *, limit, scale=1.0):
    """Draw one head, sensors that have no score left out, those at one place averaged; give the image.

    Parameters
    ----------
    ax : Axes
    sensors : DataFrame
        Columns `x, y, z` (m, head coordinates) and `score`.
    limit : float
        Both ends of the colour scale.
    scale : float
        That scores are multiplied by.
    """
    import mne

    places = _one_per_place(sensors.dropna(subset=["x", "y", "z", "score"]))
    image, _ = mne.viz.plot_topomap(
        scale * places["score"].to_numpy(),
        flat_positions(places[["x", "y", "z"]].to_numpy()),
        axes=ax,
        show=False,
        cmap="RdBu_r",
        vlim=(-limit, limit),
        sphere=(0.0, 0.0, 0.0, HEAD),
        extrapolate="head",
    )
    return image


def _figure_of_heads(panels_of: dict[str, pd.DataFrame], *, label):
    limit = max(np.nanmax(np.abs(sensors["score"])) for sensors in panels_of.values())
    figure, axes = panels(len(panels_of), width=1.7, height=1.7, n_columns=6)
    for ax, (title, sensors) in zip(axes, panels_of.items(), strict=True):
        image = draw_head(ax, sensors, limit=limit)
        ax.set_title(title, fontsize=9)
    figure.colorbar(image, ax=list(axes), label=label, shrink=0.7)
    return figure


def flat_positions(positions):
    """Lay places on a head out on a plane, (n_sensors, 2) in m: azimuthal equidistant projection from above.

    The distance from the centre is the angle from the top of the head; at a right angle, it is `HEAD`.
    """
    x, y, z = positions.T
    angle = np.arctan2(np.hypot(x, y), z)
    azimuth = np.arctan2(y, x)
    return HEAD * (angle / (np.pi / 2))[:, None] * np.column_stack([np.cos(azimuth), np.sin(azimuth)])


def _one_per_place(sensors: pd.DataFrame) -> pd.DataFrame:
    place = [np.round(sensors[axis] / SAME_PLACE) for axis in "xyz"]
    return sensors.groupby(place, sort=False)[["x", "y", "z", "score"]].mean()
