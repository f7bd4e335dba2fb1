"""Networks beside a brain: parameters, connections and words on logarithmic axes."""

import numpy as np
from matplotlib.figure import Figure

from brainalign.plots._style import CONTROLS, NEUTRAL, SHADE, TRAINED, UNTRAINED, note

BESIDE = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}


def sizes_and_words(table):
    """Draw how large networks are and how many words they have read, a row each, the brain and the child among them.

    Parameters
    ----------
    table : DataFrame
        Columns `name parameters connections words unit low high`; `unit` says what `words` counts; `low` and `high`
        bound the synapses of a brain. Missing numbers are not drawn. Rows are drawn from top to bottom.

    Returns
    -------
    figure : Figure
    """
    if not len(table):
        return note("no networks to draw")
    figure = Figure(figsize=(11.5, 0.42 * len(table) + 1.9), layout="constrained")
    large, read = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    place = np.arange(len(table))[::-1]
    for ax in (large, read):
        ax.set_xscale("log")
        ax.set_ylim(-0.6, len(table) - 0.4)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)
        for y in place[1::2]:
            ax.axhspan(y - 0.5, y + 0.5, color=SHADE, alpha=0.5, zorder=0, linewidth=0)
    _draw_sizes(large, table, place)
    read.scatter(table["words"], place, s=22, color=TRAINED, zorder=3)
    for y, words, unit in zip(place, table["words"], table["unit"], strict=True):
        if np.isfinite(words):
            read.annotate(f"{_short(words)} {unit}", (words, y), **BESIDE)
    for ax in (large, read):
        ax.set_xlim(right=ax.get_xlim()[1] * 1e3)
    large.set_yticks(place, table["name"], fontsize=9)
    large.set_xlabel("parameters and connections")
    read.set_xlabel("read while learning")
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def _draw_sizes(ax, table, place):
    """Draw parameters, connections and synapses, and write their numbers beside."""
    both = table[["parameters", "connections"]].to_numpy(float)
    ax.scatter(both[:, 1], place, s=75, facecolor="white", edgecolor=UNTRAINED, label="connections", zorder=3)
    ax.scatter(both[:, 0], place, s=22, color=TRAINED, label="parameters", zorder=4)
    for y, low, high in zip(place, table["low"], table["high"], strict=True):
        if np.isfinite(low + high):
            ax.plot([low, high], [y, y], color=CONTROLS, linewidth=9, solid_capstyle="butt", label="synapses")
            ax.annotate(f"{low:.0e} - {high:.0e}".replace("e+", "e"), (high, y), **BESIDE)
    for y, (parameters, connections) in zip(place, both, strict=True):
        if np.isfinite(parameters):
            text = _short(parameters)
            if connections > 1.5 * parameters:
                ax.plot([parameters, connections], [y, y], color=NEUTRAL, linewidth=1, zorder=2)
                text = f"{text}; {_short(connections)}"
            ax.annotate(text, (np.fmax(parameters, connections), y), **BESIDE)


def printed_beside_counted(table):
    """Draw how far a formula is from printed numbers of parameters, in per cent, misprinted rows marked.

    Parameters
    ----------
    table : DataFrame
        Columns `name printed formula misprint`; `misprint` is text, "" where there is none.

    Returns
    -------
    figure : Figure
    """
    figure = Figure(figsize=(8.5, 3.4), layout="constrained")
    ax = figure.subplots()
    off = 100 * (table["formula"] / table["printed"] - 1).to_numpy(float)
    place, wrong = np.arange(len(table)), table["misprint"].fillna("").to_numpy(str) != ""
    ax.bar(place, off, color=np.where(wrong, UNTRAINED, TRAINED), width=0.6)
    for x, value, text in zip(place, off, table["misprint"].fillna(""), strict=True):
        if text:
            ax.annotate(
                text.replace(", ", "\n"),
                (x, max(value, 0)),
                (0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=UNTRAINED,
            )
    for at in (-2, 2):
        ax.axhline(at, color=NEUTRAL, linestyle=":", linewidth=0.9)
    ax.axhline(0, color=CONTROLS, linewidth=0.8)
    ax.set_ylim(-2.6, 2.6)
    ax.set_xticks(place, table["name"])
    ax.set_ylabel("formula against print (%)")
    ax.set_title("orange: heads x width of a head is not the printed width", fontsize=9, color=UNTRAINED)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def _short(value):
    for size, letter in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"
