"""Regions in which a classifier of two inputs gives the same answer, and lines with their margins."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from brainalign.plots._style import CONTROLS, NEUTRAL, UNTRAINED
from brainalign.plots.contributions import PALETTE

ROOM = 0.12  # around the points, as a share of their range
TICKS = {"labelsize": 8}


def decision_regions(predict, points, labels, *, ax=None, title="", resolution=200):
    """Colour the plane by the answer of a classifier, with the labelled points on it.

    Parameters
    ----------
    predict : callable
        Points (n_points, 2) -> class of each (n_points,), among the values of `labels`.
    points : array of shape (n_points, 2)
    labels : array of shape (n_points,)
        Two classes or more; the k-th in sorted order has the k-th colour.
    ax : Axes, optional
        To draw on, for several networks in one figure; a figure of its own without it.
    title : str
    resolution : int
        Points of the grid along each axis.

    Returns
    -------
    figure : Figure
        That of `ax`.
    """
    points, labels = np.asarray(points), np.asarray(labels)
    ax = _axes_over(points, ax, title)
    classes = np.unique(labels)
    across, up = (np.linspace(*limits, resolution) for limits in (ax.get_xlim(), ax.get_ylim()))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)  # (resolution ** 2, 2)
    answers = np.searchsorted(classes, np.asarray(predict(grid))).reshape(resolution, resolution)
    shown = {"cmap": ListedColormap([PALETTE[k % len(PALETTE)] for k in range(len(classes))]), "vmin": 0}
    ax.pcolormesh(across, up, answers, alpha=0.25, vmax=max(len(classes) - 1, 1), rasterized=True, **shown)
    _scatter(ax, points, labels)
    return ax.figure


def linear_boundaries(weights, points, labels, *, margin=0.0, ax=None, title=""):
    """Draw the lines w.x + b = 0 of units with two inputs; the first with its margin, the others thin.

    Parameters
    ----------
    weights : array of shape (n_lines, 3)
        w and, last, b.
    points : array of shape (n_points, 2)
    labels : array of shape (n_points,)
    margin : float
        Distance of the nearest point from the first line; without one no margin is drawn.
    ax : Axes, optional
        To draw on; a figure of its own without it.
    title : str

    Returns
    -------
    figure : Figure
        That of `ax`.
    """
    points = np.asarray(points)
    ax = _axes_over(points, ax, title)
    first, *others = np.asarray(weights, dtype=float)
    for line in others:
        _draw_line(ax, line, color=NEUTRAL, linewidth=0.6, alpha=0.6)
    _draw_line(ax, first, color=CONTROLS, linewidth=1.6)
    for side in (-1, 1) if margin else ():
        shifted = first - np.array([0, 0, side * margin * np.hypot(*first[:2])])
        _draw_line(ax, shifted, color=UNTRAINED, linewidth=1.0, linestyle="--")
    _scatter(ax, points, np.asarray(labels))
    return ax.figure


def _axes_over(points, ax, title):
    """Give axes that hold the points with room around them."""
    if ax is None:
        ax = Figure(figsize=(4, 3.8), layout="constrained").subplots()
    low, high = points.min(axis=0), points.max(axis=0)
    room = ROOM * np.where(high > low, high - low, 1.0)
    ax.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))
    ax.set_title(title, fontsize=10)
    ax.tick_params(**TICKS)
    return ax


def _scatter(ax, points, labels):
    for k, name in enumerate(np.unique(labels)):
        of_class = points[labels == name]
        style = {"color": PALETTE[k % len(PALETTE)], "edgecolors": "white", "linewidths": 0.6, "zorder": 3}
        ax.scatter(of_class[:, 0], of_class[:, 1], s=28, label=f"{name}", **style)


def _draw_line(ax, line, **style):
    """Draw w.x + b = 0 through the point nearest to the origin; nothing where w is 0."""
    w, b = line[:2], line[2]
    if w.any():
        foot = -b * w / (w @ w)
        ax.axline(foot, foot + np.array([-w[1], w[0]]) / np.hypot(*w), **style)
