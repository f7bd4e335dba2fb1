"""Number units: pictures, shares of selective units, tuning curves, and what is read from them."""

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.patches import Ellipse, Polygon, Rectangle

from brainalign.plots._style import NEUTRAL, TRAINED, UNTRAINED, note, panels

SHAPES = ("disc", "square", "ellipse", "triangle")
COLOURS = {"standard": "#333333", "area": "#d98324", "hull": "#1f5a94"}


def pictures(items, *, size, square=1.0):
    """Draw pictures of dots, a row per set and a column per numerosity.

    Parameters
    ----------
    items : DataFrame
        Columns `set numerosity x y radius shape angle` (px, rad; shape one of `SHAPES`), a row per item.
    size : int
        Height and width of a picture (px).
    square : float
        Half the side of a square, over its radius.

    Returns
    -------
    figure : Figure
    """
    sets, numbers = list(dict.fromkeys(items["set"])), sorted(items["numerosity"].unique())
    figure, axes = panels(len(sets) * len(numbers), width=1.35, height=1.25, n_columns=len(numbers))
    for ax, (name, number) in zip(axes, [(s, n) for s in sets for n in numbers], strict=True):
        ax.set(xlim=(0, size), ylim=(size, 0), xticks=[], yticks=[], aspect="equal", facecolor="black")
        ax.spines[:].set_visible(False)
        for item in items[(items["set"] == name) & (items["numerosity"] == number)].itertuples():
            ax.add_patch(_patch(item, square))
        if name == sets[0]:
            ax.set_title(number, fontsize=9)
        if number == numbers[0]:
            ax.set_ylabel(name, fontsize=9)
    return figure


def _patch(item, square):
    x, y, r, white = item.x, item.y, item.radius, {"color": "white", "linewidth": 0}
    if item.shape == "square":
        return Rectangle((x - square * r, y - square * r), 2 * square * r, 2 * square * r, **white)
    if item.shape == "triangle":
        corners = item.angle + np.array([0, 2, 4]) * np.pi / 3
        return Polygon(np.column_stack([x + r * np.cos(corners), y + r * np.sin(corners)]), **white)
    return Ellipse((x, y), 2 * r, r if item.shape == "ellipse" else 2 * r, **white)


def picture_measures(table):
    """Draw what goes along with number, a line per set: what a control holds constant is flat.

    Parameters
    ----------
    table : DataFrame
        Columns `set numerosity total_area hull_area mean_distance`, a row per condition.

    Returns
    -------
    figure : Figure
    """
    named = {"total_area": "area of all items (px²)", "hull_area": "area of their hull (px²)"}
    named |= {"mean_distance": "mean distance (px)"}
    figure, axes = panels(3)
    for ax, (column, label) in zip(axes, named.items(), strict=True):
        for name, rows in table.groupby("set", sort=False):
            ax.plot(rows["numerosity"], rows[column], marker="o", markersize=2.5, color=COLOURS.get(name), label=name)
        ax.set(xlabel="number of items", title=label, ylim=(0, None))
        ax.title.set_fontsize(9)
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def share_over_pictures(table, *, lines=(), chance=None):
    """Draw the share of selective units over the number of pictures per condition.

    Parameters
    ----------
    table : DataFrame
        Columns `network n_images percent`.
    lines : iterable of (str, float)
        Shares that papers print (%), with their names.
    chance : float, optional
        Share among units of noise (%).

    Returns
    -------
    figure : Figure
    """
    figure, (ax,) = panels(1, width=5.2, height=3.4)
    for _, rows in table.groupby("network"):
        ax.plot(rows["n_images"], rows["percent"], marker="o", markersize=4, color=UNTRAINED, linewidth=1.3)
    for i, (name, value) in enumerate(lines):
        ax.axhline(value, color=TRAINED, linewidth=1, linestyle=("-", "--", "-.")[i % 3], label=f"{name}: {value:g} %")
    if chance is not None:
        ax.axhline(chance, color=NEUTRAL, linewidth=1, linestyle=":", label=f"units of noise: {chance:.2f} %")
    ax.set(xscale="log", xlabel="pictures per condition", ylabel="number-selective units (%)", ylim=(0, None))
    ticks = sorted(table["n_images"].unique())
    ax.set_xticks(ticks, ticks)
    ax.minorticks_off()
    ax.legend(fontsize=8, frameon=False)
    return figure


def preferred_numbers(table):
    """Draw how many selective units prefer each numerosity.

    Parameters
    ----------
    table : DataFrame
        Columns `numerosity percent`, and optionally `sd`, in percent of the selective units.

    Returns
    -------
    figure : Figure
    """
    figure, (ax,) = panels(1, width=5.2, height=2.8)
    ax.bar(table["numerosity"], table["percent"], yerr=table.get("sd"), width=1.0, color=UNTRAINED)
    ax.set(xlabel="preferred numerosity", ylabel="selective units (%)", xticks=table["numerosity"])
    return figure


def tuning(table):
    """Draw the mean tuning curves of the units of each preferred numerosity, on a linear and a logarithmic axis.

    Parameters
    ----------
    table : DataFrame
        Columns `preferred numerosity response`, responses from 0 to 1; nan where no unit has that preference.

    Returns
    -------
    figure : Figure
    """
    if not np.isfinite(table["response"]).any():
        return note("no units to draw")
    figure, axes = panels(2, width=4.4, height=3.0)
    numbers = sorted(table["preferred"].unique())
    for ax, scale in zip(axes, ("linear", "log"), strict=True):
        for colour, (number, rows) in zip(_colours(len(numbers)), table.groupby("preferred"), strict=True):
            ax.plot(rows["numerosity"], rows["response"], color=colour, linewidth=1.2, label=number)
        ax.set(xlabel=f"numerosity ({scale} axis)", xscale=scale)
        ticks = numbers if scale == "linear" else [n for n in numbers if n in (1, 2, 4, 8, 16, 30)]
        ax.set_xticks(ticks, ticks, fontsize=7)
        ax.minorticks_off()
    axes[0].set_ylabel("mean response, from 0 to 1")
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, title="preferred", fontsize=7, title_fontsize=8, frameon=False, loc="outside right")
    return figure


def widths(table):
    """Draw the width of fitted Gaussians over the preferred numerosity, and how well they fit, a panel per quantity.

    Parameters
    ----------
    table : DataFrame
        Columns `scale preferred width r_squared line`, the last the width on a straight line through the widths.

    Returns
    -------
    figure : Figure
    """
    scales = list(dict.fromkeys(table["scale"]))
    figure, axes = panels(3, width=3.1, height=2.8)
    for ax, scale in zip(axes, ("linear", "log"), strict=False):
        rows = table[(table["scale"] == scale) & np.isfinite(table["width"])]
        ax.plot(rows["preferred"], rows["width"], "o", markersize=4, color=UNTRAINED)
        ax.plot(rows["preferred"], rows["line"], color=NEUTRAL, linewidth=1)
        ax.set(xlabel="preferred numerosity", ylim=(0, None), title=f"width on the {scale} scale")
    groups = [table.loc[(table["scale"] == scale) & np.isfinite(table["r_squared"]), "r_squared"] for scale in scales]
    axes[2].boxplot(groups, tick_labels=scales, widths=0.5, medianprops={"color": UNTRAINED})
    axes[2].tick_params(axis="x", rotation=25, labelsize=8)
    axes[2].set_title("R² of the fits")
    for ax in axes:
        ax.title.set_fontsize(9)
    return figure


def example_units(table):
    """Draw the tuning of single units, a panel per unit and a line per set.

    Parameters
    ----------
    table : DataFrame
        Columns `unit preferred set numerosity response`.

    Returns
    -------
    figure : Figure
    """
    units = list(dict.fromkeys(table["unit"]))
    figure, axes = panels(len(units), width=2.6, height=2.1)
    for ax, unit in zip(axes, units, strict=True):
        of_unit = table[table["unit"] == unit]
        for name, rows in of_unit.groupby("set", sort=False):
            ax.plot(rows["numerosity"], rows["response"], color=COLOURS.get(name), linewidth=1.2, label=name)
        ax.set_title(f"unit {unit}, prefers {of_unit['preferred'].iloc[0]}", fontsize=8)
    axes[0].legend(fontsize=7, frameon=False)
    figure.supxlabel("numerosity", fontsize=9)
    figure.supylabel("mean response", fontsize=9)
    return figure


def matching(table):
    """Draw how often same and different numbers are told apart, over their distance.

    Parameters
    ----------
    table : DataFrame
        Columns `units distance correct n`: kind of units, distance in octaves (0: a match), share correct, trials.

    Returns
    -------
    figure : Figure
    """
    figure, (ax,) = panels(1, width=5.0, height=3.0)
    for (name, rows), colour in zip(table.groupby("units", sort=False), (UNTRAINED, NEUTRAL, TRAINED), strict=False):
        different = rows[rows["distance"] > 0]
        ax.plot(different["distance"], different["correct"], marker="o", markersize=4, color=colour, label=name)
        same = rows[rows["distance"] == 0]
        ax.plot(same["distance"], same["correct"], marker="D", markersize=6, color=colour, linestyle="none")
    ax.axhline(0.5, color=NEUTRAL, linewidth=0.8, linestyle=":")
    ax.set(xlabel="|log2 sample - log2 test| (diamond: matches)", ylabel="share correct", ylim=(0, 1.02))
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def _colours(n):
    return [to_hex(c) for c in matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, n))]
