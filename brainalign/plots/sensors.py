"""Scores on the head: topographies of sensors at several times."""

import numpy as np
import pandas as pd

from brainalign.plots._style import note, panels

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
    import mne

    placed = table.dropna(subset=["x", "y", "z"])
    at_hand = np.unique(placed["lag"])
    if placed["target"].nunique() < 4 or not np.isfinite(placed["score"]).any():
        return note("no topography: fewer than four sensors have a place and a score")
    shown = list(dict.fromkeys(at_hand[np.abs(at_hand - lag).argmin()] for lag in lags))
    limit = np.nanmax(np.abs(placed.loc[placed["lag"].isin(shown), "score"]))
    figure, axes = panels(len(shown), width=1.7, height=1.7, n_columns=6)
    for ax, lag in zip(axes, shown, strict=True):
        places = _one_per_place(placed[placed["lag"] == lag].dropna(subset=["score"]))
        image, _ = mne.viz.plot_topomap(
            places["score"].to_numpy(),
            flat_positions(places[["x", "y", "z"]].to_numpy()),
            axes=ax,
            show=False,
            cmap="RdBu_r",
            vlim=(-limit, limit),
            sphere=(0.0, 0.0, 0.0, HEAD),
            extrapolate="head",
        )
        ax.set_title(f"{1000 * lag:.0f} ms", fontsize=9)
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
