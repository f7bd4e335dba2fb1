"""Gradient descent: the function it goes down, where it steps, where it goes round, and how fast it is."""

import numpy as np

from brainalign.plots._style import CONTROLS, JOINT, NEUTRAL, TRAINED, UNTRAINED, panels

COLOURS = (TRAINED, UNTRAINED, JOINT, "#8e4585", CONTROLS, "#5dade2")
MARKERS = {"minimum": "v", "maximum": "^"}


def landscape(table, points, starts):
    """Draw a function, its minima and maxima, and at its foot where walks from each start end.

    Parameters
    ----------
    table : DataFrame
        Columns `x f`, rising in x.
    points : DataFrame
        Columns `x f kind name`; `kind` is "minimum" or "maximum".
    starts : DataFrame
        Columns `start end`; `end` is the name of one of the points, or another word.

    Returns
    -------
    figure : Figure
    """
    figure, (ax,) = panels(1, width=7, height=3.6)
    ax.plot(table["x"], table["f"], color=CONTROLS, linewidth=1.4)
    low = float(table["f"].min())
    height = float(table["f"].max()) - low
    for row, colour in zip(points.itertuples(), COLOURS, strict=False):
        ax.plot(row.x, row.f, MARKERS[row.kind], color=colour, markersize=8)
        text = f"{row.name}\nx = {row.x:.5g}, f = {row.f:.5g}"
        above = 8 if row.kind == "maximum" else -32
        ax.annotate(text, (row.x, row.f), xytext=(0, above), textcoords="offset points", ha="center", fontsize=8)
        ended = starts[starts["end"] == row.name]
        ax.plot(ended["start"], np.full(len(ended), low - 0.28 * height), "|", color=colour, markersize=9)
    ax.text(table["x"].min(), low - 0.37 * height, "walks that start here end at the point of this colour", fontsize=7)
    ax.set_ylim(low - 0.42 * height, low + 1.2 * height)
    ax.set_xlabel("x")
    ax.set_ylabel("f(x)")
    return figure


def walks(table, function, *, minimum):
    """Draw walks on a function, one panel each, steps as a line from place to place.

    Parameters
    ----------
    table : DataFrame
        Columns `walk step x f`.
    function : DataFrame
        Columns `x f`, rising in x, where the walks are.
    minimum : float
        Its place.

    Returns
    -------
    figure : Figure
    """
    names = list(dict.fromkeys(table["walk"]))
    figure, axes = panels(len(names), width=3.6, height=2.8, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        rows = table[table["walk"] == name]
        ax.plot(function["x"], function["f"], color=NEUTRAL, linewidth=1)
        ax.plot(rows["x"], rows["f"], ".-", color=TRAINED, linewidth=0.8, markersize=5)
        ax.axvline(minimum, color=NEUTRAL, linewidth=0.7, linestyle=":")
        for row in rows.head(4).itertuples():
            ax.annotate(row.step, (row.x, row.f), xytext=(4, 4), textcoords="offset points", fontsize=7)
        ax.set_title(name, fontsize=9)
    figure.supxlabel("x", fontsize=9)
    figure.supylabel("f(x)", fontsize=9)
    return figure


def against_print(table):
    """Draw how far iterates are from those printed, one line per description; the band is the rounding of the print.

    Parameters
    ----------
    table : DataFrame
        Columns `description step x printed rounding`; `rounding` is half a unit of the last printed digit.

    Returns
    -------
    figure : Figure
    """
    figure, (ax,) = panels(1, width=6.5, height=3.2)
    band = table.drop_duplicates("step")
    ax.fill_between(band["step"], -band["rounding"], band["rounding"], step="mid", color="#dddddd", label="rounding")
    for (name, rows), colour in zip(table.groupby("description", sort=False), COLOURS * len(table), strict=False):
        ax.plot(rows["step"], rows["x"] - rows["printed"], ".-", color=colour, linewidth=1.1, label=name)
    ax.axhline(0, color=CONTROLS, linewidth=0.6)
    ax.set_xlabel("step")
    ax.set_ylabel("x obtained - x printed")
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=2)
    return figure


def orbits(table, *, bound, minimum, marked):
    """Draw where walks are after a long time, over the learning rate.

    Parameters
    ----------
    table : DataFrame
        Columns `rate x`, a row for every place a walk still goes to.
    bound : float
        The rate up to which the minimum holds a walk.
    minimum : float
        Its place.
    marked : dict of str to float
        Rates to mark, by their names.

    Returns
    -------
    figure : Figure
    """
    figure, (ax,) = panels(1, width=7, height=3.6)
    ax.plot(table["rate"], table["x"], ",", color=TRAINED)
    ax.axhline(minimum, color=NEUTRAL, linewidth=0.7, linestyle=":")
    for (name, rate), colour in zip({f"bound {bound:.4f}": bound, **marked}.items(), COLOURS[1:], strict=False):
        ax.axvline(rate, color=colour, linewidth=0.9, linestyle="--", label=name)
    ax.set_xlabel("learning rate")
    ax.set_ylabel("x, late steps")
    ax.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def races(table, curvatures):
    """Draw the ways of optimisers over a bowl with two curvatures, and their distance to its foot over steps.

    Parameters
    ----------
    table : DataFrame
        Columns `optimiser step x y distance expected`; `expected` (nan for none) is drawn as a dashed line.
    curvatures : (float, float)
        Along x and along y.

    Returns
    -------
    figure : Figure
    """
    figure, (ax, over_steps) = panels(2, width=4.2, height=3.4)
    reach = 1.15 * max(float(table["x"].abs().max()), 0.1), 1.15 * max(float(table["y"].abs().max()), 0.1)
    x, y = (np.linspace(-side, side, 101) for side in reach)
    bowl = 0.5 * (curvatures[0] * x[None] ** 2 + curvatures[1] * y[:, None] ** 2)
    ax.contour(x, y, np.sqrt(bowl), levels=10, colors="#cccccc", linewidths=0.7)
    for (name, rows), colour in zip(table.groupby("optimiser", sort=False), COLOURS * len(table), strict=False):
        ax.plot(rows["x"], rows["y"], ".-", color=colour, linewidth=0.9, markersize=3)
        over_steps.semilogy(rows["step"], rows["distance"], color=colour, linewidth=1.2, label=name)
        over_steps.semilogy(rows["step"], rows["expected"], color=colour, linewidth=0.8, linestyle="--")
    ax.plot(0, 0, "*", color=CONTROLS, markersize=9)
    ax.set_xlabel("x (flat)")
    ax.set_ylabel("y (steep)")
    over_steps.set_xlabel("step")
    over_steps.set_ylabel("distance to the minimum")
    over_steps.legend(fontsize=7, frameon=False)
    return figure
