"""Scores of what was fitted at one time and tested at another."""

import numpy as np

from brainalign.plots._style import note, panels


def matrices(table, *, by, label, centre=0.0, max_panels=6):
    """Draw a square per group: time of fitting (rows, upwards) by time of testing (columns), the diagonal dashed.

    Parameters
    ----------
    table : DataFrame
        Columns `trained tested` (s) `score` and `by`; all pairs of times of every group.
    by : str
        Column of the groups.
    label : str
        What the score is.
    centre : float
        The score that means nothing, in white: 0 of a correlation, chance of an accuracy.
    max_panels : int
        Squares at most, in the order of the table; the title says how many there are.

    Returns
    -------
    figure : Figure
    """
    groups = list(dict.fromkeys(table[by]))
    if not groups or not np.isfinite(table["score"]).any():
        return note("no finite scores to draw")
    limit = np.nanmax(np.abs(table["score"] - centre)) or 1.0
    figure, axes = panels(min(len(groups), max_panels), width=3.6, height=3.2)
    for ax, group in zip(axes, groups, strict=False):
        square = table[table[by] == group].pivot(index="trained", columns="tested", values="score")
        times = square.index.to_numpy(float)
        half = (times[-1] - times[0]) / max(len(times) - 1, 1) / 2
        edges = times[0] - half, times[-1] + half
        image = ax.imshow(
            square.to_numpy(), origin="lower", extent=(*edges, *edges), cmap="RdBu_r",
            vmin=centre - limit, vmax=centre + limit, interpolation="nearest",
        )  # fmt: skip
        ax.plot(edges, edges, color="black", linewidth=0.8, linestyle="--")
        for line in (ax.axhline, ax.axvline):
            line(0, color="#888888", linewidth=0.6)
        ax.set(title=group, xlabel="tested at (s)", ylabel="fitted at (s)", xlim=edges, ylim=edges)
    figure.colorbar(image, ax=list(axes), label=label, shrink=0.8)
    if len(groups) > max_panels:
        figure.suptitle(f"the first {max_panels} of {len(groups)}", fontsize=9)
    return figure
