"""Units that fire or do not, over time, and drawings of nets of such units."""

import textwrap

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch, Polygon
from matplotlib.path import Path

from brainalign.plots._style import CONTROLS, NEUTRAL, TRAINED, UNTRAINED, note, panels

DEEP = 1.6  # from a layer of a net to the next, in heights of a row
CELL = 0.3  # half the height of a cell


def rasters(table, *, inputs=(), n_columns=2):
    """Draw one panel per stimulus: a row per unit, a mark at every step at which it fires.

    Parameters
    ----------
    table : DataFrame
        Columns `stimulus unit step active`; units and stimuli in the order of the table. Steps are counted from 0.
    inputs : sequence of str
        Units that are drawn in another colour, as they only fire as they are told.
    n_columns : int

    Returns
    -------
    figure : Figure
    """
    if not len(table):
        return note("no activity to draw")
    stimuli, units = (list(dict.fromkeys(table[name])) for name in ("stimulus", "unit"))
    figure, axes = panels(len(stimuli), width=4.2, height=0.9 + 0.24 * len(units), n_columns=n_columns, sharex=True)
    for ax, stimulus in zip(axes, stimuli, strict=True):
        of_stimulus = table[table["stimulus"] == stimulus]
        shown = [name for name in units if name in set(of_stimulus["unit"])]
        for row, name in enumerate(shown):
            steps = of_stimulus.loc[(of_stimulus["unit"] == name) & of_stimulus["active"].astype(bool), "step"]
            ax.eventplot(steps, lineoffsets=row, linelengths=0.7, linewidths=3.5,
                         colors=NEUTRAL if name in inputs else TRAINED)  # fmt: skip
        ax.set_yticks(range(len(shown)), shown, fontsize=8)
        ax.set(ylim=(len(shown) - 0.4, -0.6), xlim=(-0.6, table["step"].max() + 0.6))
        ax.set_title(stimulus, fontsize=9)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(axis="x", color="#eeeeee", linewidth=0.6)
        ax.set_axisbelow(True)
    figure.supxlabel("step (one synaptic delay)", fontsize=9)
    return figure


def net_drawings(synapses, formulas, *, n_columns=3):
    """Draw nets as in figure 1 of McCulloch & Pitts: cells, end-feet that excite as dots, those that inhibit as rings.

    Parameters
    ----------
    synapses : DataFrame
        Columns `net source target kind feet`, kind "excites", "inhibits" or "raises" (the threshold: relative
        inhibition, drawn dashed).
    formulas : mapping of str to str
        What stands below each net; nets are drawn in its order.
    n_columns : int

    Returns
    -------
    figure : Figure
    """
    n_rows = -(-len(formulas) // n_columns)
    places = {net: _places(synapses[synapses["net"] == net]) for net in formulas}
    right = max((x for of_net in places.values() for x, _ in of_net.values()), default=0)
    tall = max((np.ptp([y for _, y in of_net.values()]) / 2 for of_net in places.values()), default=0) + 0.6
    figure = Figure(figsize=(4.2 * n_columns, 2.7 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (net, formula) in zip(axes, formulas.items(), strict=False):
        _draw_net(ax, synapses[synapses["net"] == net], places[net])
        rows = [y for _, y in places[net].values()]
        middle = (min(rows) + max(rows)) / 2
        ax.set(xlim=(-0.6, right + 0.6), ylim=(middle - tall, middle + tall), aspect="equal")
        lines = [f"({net})", *formula.split("\n")]
        ax.set_title("\n".join(textwrap.fill(line, 52) for line in lines), fontsize=8, loc="left")
    return figure


def _draw_net(ax, synapses, places):
    for name, (x, y) in places.items():
        corners = [(x - CELL, y - CELL), (x - CELL, y + CELL), (x + CELL, y)]
        ax.add_patch(Polygon(corners, facecolor="white", edgecolor=CONTROLS, linewidth=1.2, zorder=3))
        ax.annotate(name, (x - 0.08, y), ha="center", va="center", fontsize=7, zorder=4)
    middle = np.mean([y for _, y in places.values()])
    for target, rows in synapses.groupby("target", sort=False):
        excites = rows[rows["kind"] == "excites"].sort_values("source", key=lambda of: of.map(lambda n: -places[n][1]))
        heights = np.linspace(0.6, -0.6, len(excites)) * CELL if len(excites) > 1 else [0.0]
        for (source, feet), height in zip(excites[["source", "feet"]].itertuples(index=False), heights, strict=False):
            _draw_excitation(ax, places[source], places[target], feet=feet, height=height, middle=middle)
        for source, kind in rows.loc[rows["kind"] != "excites", ["source", "kind"]].itertuples(index=False):
            _draw_inhibition(ax, places[source], places[target], dashed=kind == "raises")


def _draw_excitation(ax, source, target, *, feet, height, middle):
    """Draw an axon from the tip of a cell to the base of another, with its end-feet at a height of that base."""
    (x, y), (to_x, to_y) = source, target
    end = (to_x - CELL - 0.07, to_y + height)
    if source == target:
        around = [(x + 0.9, y + 0.8), (to_x - 1.1, to_y + 0.8)]
    elif to_x - x > 1.5 * DEEP:  # round the cells between
        around = [((x + to_x) / 2, (y + to_y) / 2 + (1.0 if (y + to_y) / 2 >= middle else -1.0))]
    else:
        around = []
    _draw_axon(ax, [(x + CELL, y), *around, end], color=TRAINED)
    for i in range(feet):
        ax.add_patch(Circle((end[0], end[1] + 0.11 * (i - (feet - 1) / 2)), 0.055, color=TRAINED, zorder=5))


def _draw_inhibition(ax, source, target, *, dashed):
    """Draw an axon from the tip of a cell to the side of another, with a ring at its end."""
    (x, y), (to_x, to_y) = source, target
    end = (to_x - 0.2 * CELL, to_y + (0.75 if y >= to_y else -0.75) * CELL)
    around = [((x + to_x) / 2, max(y, to_y) + 1.1)] if to_x - x > 1.5 * DEEP else []
    _draw_axon(ax, [(x + CELL, y), *around, end], color=UNTRAINED, linestyle="--" if dashed else "-")
    ax.add_patch(Circle(end, 0.09, facecolor="white", edgecolor=UNTRAINED, linewidth=1.2, zorder=5))


def _draw_axon(ax, points, **style):
    """Draw a line through 2 points, or a Bezier curve over 3 or 4."""
    code = {2: Path.LINETO, 3: Path.CURVE3, 4: Path.CURVE4}[len(points)]
    path = Path(points, [Path.MOVETO, *[code] * (len(points) - 1)])
    ax.add_patch(PathPatch(path, facecolor="none", edgecolor=style.pop("color"), linewidth=0.9, zorder=2, **style))


def _places(synapses):
    """Give where each unit stands: as far right as its longest path, what no other listens to at the right end."""
    edges = [edge for edge in synapses[["source", "target"]].itertuples(index=False) if edge.source != edge.target]
    names = sorted({*synapses["source"], *synapses["target"]})
    depth = dict.fromkeys(names, 0)
    for _ in names:  # often enough for the longest path
        for source, target in edges:
            depth[target] = max(depth[target], min(depth[source] + 1, len(names)))
    last = max(depth.values(), default=0)
    depth |= dict.fromkeys(set(names) - {source for source, _ in edges}, last)
    places = {}
    for layer in sorted(set(depth.values())):
        free = np.inf  # the next cell stands below
        for i, name in enumerate(name for name in names if depth[name] == layer):
            before = [places[source][1] for source, target in edges if target == name and source in places]
            row = min(float(np.mean(before)) if before else -float(i), free)
            places[name], free = (DEEP * layer, row), row - 1.0
    return places
