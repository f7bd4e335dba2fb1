"""What networks get wrong while they learn."""

import numpy as np

from brainalign.plots._style import CONTROLS, note, panels
from brainalign.plots.contributions import PALETTE


def learning_curves(table, *, ylabel, log=False):
    """Draw one panel per `panel`: a value over sweeps, a line per `line`, with one standard deviation where given.

    Parameters
    ----------
    table : DataFrame
        Columns `line sweep value`, optionally `panel` and `sd`; one row per point.
    ylabel : str
    log : bool
        Whether the axis of values is logarithmic.

    Returns
    -------
    figure : Figure
    """
    if not len(table) or not np.isfinite(table["value"]).any():
        return note("no finite values to draw")
    table = table if "panel" in table else table.assign(panel="")
    names = list(dict.fromkeys(table["panel"]))
    figure, axes = panels(len(names), width=4.6, height=2.8, n_columns=2, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        of_panel = table[table["panel"] == name]
        for i, (line, rows) in enumerate(of_panel.groupby("line", sort=False)):
            rows = rows.sort_values("sweep")
            colour = PALETTE[i % len(PALETTE)]
            ax.plot(rows["sweep"], rows["value"], color=colour, linewidth=1.4, label=line)
            if "sd" in rows:
                low, high = rows["value"] - rows["sd"], rows["value"] + rows["sd"]
                ax.fill_between(rows["sweep"], low, high, color=colour, alpha=0.18, linewidth=0)
        ax.set_title(name, fontsize=10)
        ax.set_yscale("log" if log else "linear")
        ax.set_xlabel("sweep")
    figure.supylabel(ylabel, fontsize=9)
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure


def counts_against_bound(table, *, group_label):
    """Draw a dot per network: updates against their bound, on logarithmic axes, with the line where they are equal.

    Parameters
    ----------
    table : DataFrame
        Columns `group bound n_updates`; a colour per group.
    group_label : str
        What the groups are of.

    Returns
    -------
    figure : Figure
    """
    shown = table[np.isfinite(table["bound"]) & (table["n_updates"] > 0)]
    if not len(shown):
        return note("no finite bounds to draw")
    figure, (ax,) = panels(1, width=4.6, height=3.8)
    for i, (group, rows) in enumerate(shown.groupby("group", sort=False)):
        colour = PALETTE[i % len(PALETTE)]
        ax.scatter(rows["bound"], rows["n_updates"], s=12, alpha=0.6, color=colour, linewidths=0, label=group)
    ends = [shown["n_updates"].min(), max(shown["bound"].max(), shown["n_updates"].max())]
    ax.plot(ends, ends, color=CONTROLS, linewidth=0.9, linestyle=":")
    ax.set(xscale="log", yscale="log", xlabel="bound on updates", ylabel="updates")
    ax.legend(title=group_label, fontsize=8, title_fontsize=8, frameon=False)
    return figure
