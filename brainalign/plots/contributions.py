"""What each of several feature spaces explains that the others do not."""

import numpy as np

from brainalign.plots._style import note, panels

PALETTE = ("#1f5a94", "#d98324", "#3a7d44", "#8c4a8c", "#777777", "#b5424f")


def unique(table, *, ylabel="unique contribution", max_targets=24):
    """Draw a group of bars per target, one bar per feature space: the mean over subjects with its standard error.

    Parameters
    ----------
    table : DataFrame
        Columns `subject feature_space target unique`.
    ylabel : str
    max_targets : int
        Groups at most, in the order of the table; the title says how many there are.

    Returns
    -------
    figure : Figure
    """
    targets = list(dict.fromkeys(table["target"]))
    if not targets or not np.isfinite(table["unique"]).any():
        return note("no finite contributions to draw")
    shown, spaces = targets[:max_targets], list(dict.fromkeys(table["feature_space"]))
    statistics = table.groupby(["feature_space", "target"], sort=False)["unique"].agg(["mean", "sem"])
    figure, (ax,) = panels(1, width=max(4.5, 0.28 * len(shown) * (len(spaces) + 1)), height=2.9)
    width = 0.8 / len(spaces)
    for i, space in enumerate(spaces):
        of_space = statistics.loc[space].loc[shown]
        x = np.arange(len(shown)) + (i - (len(spaces) - 1) / 2) * width
        colour = PALETTE[i % len(PALETTE)]
        ax.bar(x, of_space["mean"], width, yerr=of_space["sem"].fillna(0), color=colour, label=space, ecolor="#555555")
    ax.axhline(0, color="#888888", linewidth=0.6)
    ax.set_xticks(range(len(shown)), shown, rotation=40 if len(shown) > 6 else 0, fontsize=8)
    ax.set_ylabel(ylabel)
    figure.legend(loc="outside upper center", ncols=min(len(spaces), 4), fontsize=8, frameon=False)
    if len(targets) > max_targets:
        figure.suptitle(f"the first {max_targets} of {len(targets)} targets", fontsize=9)
    return figure
