"""Associative memories: curves over what was varied, and what each question brings back."""

import numpy as np

from brainalign.plots._style import CONTROLS, JOINT, NEUTRAL, TRAINED, UNTRAINED, note, panels

COLOURS = (TRAINED, UNTRAINED, JOINT, CONTROLS, "#8e4585", "#b03a2e", "#5dade2")


def curves(table, *, xlabel, ylabel, logy=False, mark=None, marked=""):
    """Draw measured points over a quantity that was varied, what theory expects as lines.

    Parameters
    ----------
    table : DataFrame
        Columns `panel curve x y`, optionally `sd` (drawn as bars) and `expected` (drawn as a line, nan for none).
        Panels and curves stand in the order of the table. Where nothing is expected of a curve its points are joined.
    xlabel, ylabel : str
    logy : bool
    mark : float, optional
        Place on the x axis of a vertical line.
    marked : str
        What that line is.

    Returns
    -------
    figure : Figure
    """
    if not len(table):
        return note("nothing to draw")
    names = list(dict.fromkeys(table["panel"]))
    colours = dict(zip(dict.fromkeys(table["curve"]), COLOURS * len(table), strict=False))
    figure, axes = panels(len(names), width=3.9, height=3.0)
    for ax, name in zip(axes, names, strict=True):
        for curve, rows in table[table["panel"] == name].groupby("curve", sort=False):
            _draw_curve(ax, rows, curve, colours[curve])
        if mark is not None:
            ax.axvline(mark, color=NEUTRAL, linewidth=0.9, linestyle=":", label=marked)
        if logy:
            ax.set_yscale("log")
        ax.set_title(name, fontsize=10)
        ax.legend(fontsize=7, frameon=False)
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    return figure


def _draw_curve(ax, rows, curve, colour):
    expects = "expected" in rows and bool(np.isfinite(rows["expected"]).any())
    ax.errorbar(
        rows["x"],
        rows["y"],
        yerr=rows.get("sd"),
        fmt="o" if expects else ".-",
        markersize=3.5,
        linewidth=1.1,
        elinewidth=0.7,
        color=colour,
        label=curve,
    )
    if expects:
        ax.plot(rows["x"], rows["expected"], color=colour, linewidth=1.1, label=f"{curve}: theory")


def recall_matrices(table):
    """Draw how near each recalled answer is to each stored one: one matrix per memory.

    Parameters
    ----------
    table : DataFrame
        Columns `memory asked answer cosine`, one row per cell; all in the order of the table.

    Returns
    -------
    figure : Figure
    """
    names = list(dict.fromkeys(table["memory"]))
    figure, axes = panels(len(names), width=4.2, height=3.4)
    for ax, name in zip(axes, names, strict=True):
        cells = table[table["memory"] == name]
        rows, columns = list(dict.fromkeys(cells["asked"])), list(dict.fromkeys(cells["answer"]))
        values = cells.pivot_table(index="asked", columns="answer", values="cosine", sort=False)
        values = values.loc[rows, columns].to_numpy()
        image = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set_xticks(range(len(columns)), columns, fontsize=8)
        ax.set_yticks(range(len(rows)), rows, fontsize=8)
        ax.set_xlabel("stored answer", fontsize=9)
        ax.set_title(name, fontsize=10)
        for (i, j), value in np.ndenumerate(values):
            dark = abs(value) > 0.6
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if dark else "black")
    figure.supylabel("asked", fontsize=9)
    figure.colorbar(image, ax=list(axes), label="cosine of recalled and stored", shrink=0.8)
    return figure
