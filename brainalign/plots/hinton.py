"""Hinton diagrams: weights as squares, white for excitation and black for inhibition, of an area that says how much."""

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from brainalign.plots._style import UNTRAINED, note, panels

GREY = "#9a9a9a"
FULL = 0.92  # side of the largest square, of its cell
NAMED = 2  # cells from a row of units with names to the next: the names stand between


def hinton(values, *, ax=None, largest=None, rows=(), columns=(), title=""):
    """Draw a matrix as squares on grey.

    Parameters
    ----------
    values : array of shape (n_rows, n_columns)
        nan is drawn as nothing.
    ax : Axes, optional
        To draw on; a figure of its own without it.
    largest : float, optional
        Magnitude that fills a cell, for several diagrams in one scale; the largest of these values if not given.
        Magnitudes above it are drawn as filled.
    rows, columns : sequence of str
        Their names, none if empty.
    title : str

    Returns
    -------
    figure : Figure
        That of `ax`.
    """
    values = np.asarray(values, dtype=float)
    n_rows, n_columns = values.shape
    if ax is None:
        size = (0.34 * n_columns + 1.4, 0.34 * n_rows + 1.2)
        ax = Figure(figsize=size, layout="constrained").subplots()
    shown = np.nan_to_num(np.abs(values))
    largest = shown.max() if largest is None else largest
    sides = FULL * np.sqrt(np.clip(shown / largest if largest > 0 else shown, 0, 1))
    squares = [
        Rectangle((column - side / 2, row - side / 2), side, side) for (row, column), side in np.ndenumerate(sides)
    ]
    colours = np.where(values.ravel() > 0, "white", "black")
    ax.add_collection(PatchCollection(squares, facecolors=colours, edgecolors="none"))
    ax.set(facecolor=GREY, aspect="equal", xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5))
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
    ax.set_yticks(range(len(rows)), rows, fontsize=7)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=9)
    return ax.figure


def receptive_fields(table, *, n_columns=2):
    """Draw a Hinton diagram per unit, all in one scale.

    Parameters
    ----------
    table : DataFrame
        Columns `panel row column name value`: weight `value` at a place of the diagram `panel`; rows and columns are
        counted from 0, `name` is what stands at the place. The names of the first and of the last row are written
        above and below each diagram.
    n_columns : int
        Of diagrams.

    Returns
    -------
    figure : Figure
    """
    if not len(table):
        return note("no weights to draw")
    names = list(dict.fromkeys(table["panel"]))
    shape = (table["row"].max() + 1, table["column"].max() + 1)
    width, height = 0.29 * shape[1] + 0.4, 0.29 * shape[0] + (1.5 if shape[0] > 1 else 0.5)
    figure, axes = panels(len(names), width=width, height=height, n_columns=n_columns)
    largest = table["value"].abs().max()
    for ax, name in zip(axes, names, strict=True):
        part = table[table["panel"] == name]
        values = np.full(shape, np.nan)
        values[part["row"], part["column"]] = part["value"]
        bottom, top = (part[part["row"] == row].sort_values("column") for row in (shape[0] - 1, 0))
        hinton(values, ax=ax, largest=largest, columns=bottom["name"], title=name)
        if shape[0] > 1:
            above = ax.secondary_xaxis("top")
            above.set_xticks(top["column"], top["name"], rotation=90, fontsize=7)
            above.tick_params(length=0)
            above.spines[:].set_visible(False)
    return figure


def activity_layers(table):
    """Draw the activity of every layer as squares, the input below, with a dot at the units that should be on.

    Parameters
    ----------
    table : DataFrame
        Columns `layer row column value name wanted`: activity `value` of a unit; layers in their order from below, side
        by side where they have the same `level`; `name` is what the unit stands for, "" for none; `wanted` is bool.
        Column `level` counts from the input, 0.

    Returns
    -------
    figure : Figure
    """
    levels = [list(dict.fromkeys(part["layer"])) for _, part in table.groupby("level", sort=True)]
    heights = [_n_rows(table[table["level"] == level]) for level in sorted(table["level"].unique())]
    figure = Figure(figsize=(14, 0.62 * sum(heights) + 0.45 * len(levels)), layout="constrained")
    of_levels = figure.subfigures(len(levels), 1, height_ratios=[height + 0.75 for height in heights[::-1]])
    largest = table["value"].abs().max()
    for subfigure, names in zip(np.atleast_1d(of_levels)[::-1], levels, strict=True):
        parts = [table[table["layer"] == name] for name in names]
        widths = [part["column"].max() + 1 for part in parts]
        for ax, name, part in zip(np.atleast_1d(subfigure.subplots(1, len(names), width_ratios=widths)), names, parts,
                                  strict=True):  # fmt: skip
            _draw_layer(ax, name, part, largest)
    return figure


def _named(part):
    return part["name"].notna() & (part["name"] != "")


def _n_rows(part):
    """Count the rows of cells of a layer, those with names counted in."""
    return int((part["row"].max() + 1) * (NAMED if _named(part).any() else 1))


def _draw_layer(ax, name, part, largest):
    named = part[_named(part)]
    apart = NAMED if len(named) else 1
    values = np.full((_n_rows(part), part["column"].max() + 1), np.nan)
    values[apart * part["row"], part["column"]] = part["value"]
    hinton(values, ax=ax, largest=largest, title=name)
    wanted = part[part["wanted"].astype(bool)]
    ax.plot(wanted["column"], apart * wanted["row"], "o", color=UNTRAINED, markersize=4)
    for row in named.itertuples():
        ax.annotate(row.name, (row.column, apart * row.row + 0.75), fontsize=8, ha="center", va="center")
