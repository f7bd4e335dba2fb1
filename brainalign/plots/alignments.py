"""What a word looked at while it was said, and how well networks do over lengths and updates."""

import numpy as np

from brainalign.plots._style import CONTROLS, JOINT, NEUTRAL, TRAINED, UNTRAINED, note, panels

COLOURS = (TRAINED, UNTRAINED, JOINT, "#8c5a9e", CONTROLS, NEUTRAL)
MARKS = ("o", "s", "^", "D", "v", "x")


def alignment_maps(table, *, rows="said", columns="source", n_columns=3, size=2.6):
    """Draw one map of weights per panel: rows are words said, columns words read; dark is much.

    Parameters
    ----------
    table : DataFrame
        Columns `panel i_row row i_column column weight`, one row per cell of a map; `row` and `column` are the words
        at the places `i_row` and `i_column`. Weights lie in [0, 1].
    rows, columns : str
        Names of the axes.
    n_columns : int
        Panels beside each other.
    size : float
        Of a panel, inches.

    Returns
    -------
    figure : Figure
    """
    if not len(table):
        return note("no weights to draw")
    names = list(dict.fromkeys(table["panel"]))
    figure, axes = panels(len(names), width=size, height=size, n_columns=n_columns)
    for ax, name in zip(axes, names, strict=True):
        cells = table[table["panel"] == name]
        weights = cells.pivot_table(index="i_row", columns="i_column", values="weight", aggfunc="first")
        image = ax.imshow(weights.to_numpy(), vmin=0, vmax=1, cmap="Greys", aspect="auto")
        down = cells.drop_duplicates("i_row").sort_values("i_row")
        along = cells.drop_duplicates("i_column").sort_values("i_column")
        ax.set_yticks(range(len(down)), down["row"], fontsize=7)
        ax.set_xticks(range(len(along)), along["column"], fontsize=7)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.spines[["top", "right"]].set_visible(True)
        ax.set_title(name, fontsize=9)
    figure.supxlabel(columns, fontsize=9)
    figure.supylabel(rows, fontsize=9)
    figure.colorbar(image, ax=list(axes), shrink=0.6, label="weight")
    return figure


def lines_by_network(table, *, x, y, labels, log_y=False, level=None):
    """Draw one panel per task and a line per kind of network, with the spread over networks.

    Parameters
    ----------
    table : DataFrame
        Columns `task network`, x and y, optionally `sd`.
    x, y : str
        Columns.
    labels : tuple of str
        Of the axes.
    log_y : bool
    level : tuple (float, str), optional
        A dotted line across and what it is.

    Returns
    -------
    figure : Figure
    """
    if not len(table) or not np.isfinite(table[y]).any():
        return note("nothing finite to draw")
    tasks, kinds = (list(dict.fromkeys(table[name])) for name in ("task", "network"))
    figure, axes = panels(len(tasks), width=4.4, height=2.9, n_columns=2)
    for ax, task in zip(axes, tasks, strict=True):
        for i, kind in enumerate(kinds):
            of_kind = table[(table["task"] == task) & (table["network"] == kind)].sort_values(x)
            mark = MARKS[i % len(MARKS)] if len(of_kind) < 20 else None
            style = {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.5, "marker": mark, "markersize": 4}
            ax.plot(of_kind[x], of_kind[y], label=kind, **style)
            if "sd" in of_kind and not log_y:
                low, high = of_kind[y] - of_kind["sd"], of_kind[y] + of_kind["sd"]
                ax.fill_between(of_kind[x], low, high, color=style["color"], alpha=0.15, linewidth=0)
        if level is not None:
            ax.axhline(level[0], color=NEUTRAL, linewidth=0.9, linestyle=":", label=level[1])
        if log_y:
            ax.set_yscale("log")
        ax.set_title(task, fontsize=10)
        ax.set_xlabel(labels[0])
    axes[0].set_ylabel(labels[1])
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure
