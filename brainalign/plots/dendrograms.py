"""Trees of hierarchical clustering, the root on the left, as in Elman (1990)."""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from brainalign.errors import Misaligned

NEUTRAL = "#555555"
LINE = 0.17  # inches per leaf
WIDTH = 100  # letters of a legend side by side


def dendrogram(merges, leaves, *, xlabel="distance", max_height=12.0):
    """Draw a tree; branches take the colour of a group where all their leaves belong to it.

    Parameters
    ----------
    merges : DataFrame
        Columns `first second distance`, a row per merge from the nearest to the last, clusters numbered as by scipy:
        below n_leaves a leaf, n_leaves + i what row i made.
    leaves : DataFrame
        Columns `name group`, a row per leaf; of two branches the one whose leaves come earlier here is drawn above.
    xlabel : str
    max_height : float
        Inches.

    Returns
    -------
    figure : Figure

    Raises
    ------
    Misaligned
        n leaves need n - 1 merges.
    """
    n = len(leaves)
    if len(merges) != n - 1:
        raise Misaligned(f"{n} leaves need {n - 1} merges, got {len(merges)}")
    groups = list(dict.fromkeys(leaves["group"]))
    colours = {group: colormaps["tab10"](i % 10) for i, group in enumerate(groups)}
    figure = Figure(figsize=(7.5, min(LINE * n + 1.2, max_height)), layout="constrained")
    ax = figure.subplots()
    places = dict(enumerate(np.argsort(_order(merges, n))))
    own = dict(enumerate(leaves["group"]))
    reach = dict.fromkeys(range(n), 0.0)
    for i, (first, second, distance) in enumerate(_rows(merges)):
        own[n + i] = own[first] if own[first] == own[second] else None
        for branch in (first, second):
            ax.plot([distance, reach[branch]], [places[branch]] * 2, **_style(colours.get(own[branch])))
        ax.plot([distance] * 2, [places[first], places[second]], **_style(colours.get(own[n + i])))
        places[n + i], reach[n + i] = (places[first] + places[second]) / 2, distance
    size = min(9.0, 72 * 0.75 * figure.get_figheight() / n)
    top = merges["distance"].max()
    for leaf, (name, group) in enumerate(zip(leaves["name"], leaves["group"], strict=True)):
        ax.text(-0.01 * top, places[leaf], name, color=colours[group], fontsize=size, va="center", clip_on=False)
    ax.set(xlim=(top * 1.03, 0), ylim=(n - 0.3, -0.7), yticks=[], xlabel=xlabel)
    ax.spines[["top", "right", "left"]].set_visible(False)
    handles = [ax.plot([], [], color=colours[group], label=group)[0] for group in groups]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=max(1, WIDTH // (max(map(len, groups)) + 9)),
        frameon=False,
        fontsize=8,
    )
    longest = leaves["name"].str.len().max() * size * 0.6 / 72
    figure.get_layout_engine().set(rect=(0, 0, 1 - longest / figure.get_figwidth(), 1))
    return figure


def _rows(merges):
    return zip(merges["first"].astype(int), merges["second"].astype(int), merges["distance"], strict=True)


def _order(merges, n):
    """Give the leaves from top to bottom: of two branches the one with the smaller mean number is above."""
    members = {leaf: [leaf] for leaf in range(n)}
    for i, (first, second, _) in enumerate(_rows(merges)):
        branches = sorted((members[first], members[second]), key=np.mean)
        members[n + i] = branches[0] + branches[1]
    return members[2 * n - 2]


def _style(colour):
    return {"color": NEUTRAL if colour is None else colour, "linewidth": 1.1, "solid_capstyle": "projecting"}
