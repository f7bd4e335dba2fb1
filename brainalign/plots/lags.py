"""Scores over the time from an event, mean over sensors."""

import numpy as np

from brainalign.plots._style import CONTROLS, TRAINED, UNTRAINED, note, panels
from brainalign.plots.contributions import PALETTE

FIXED = {"trained": TRAINED, "untrained": UNTRAINED}


def scores_over_lags(table, *, ylabel="score (r)"):
    """Draw one panel per kind of sensor: the mean score of its sensors over lags, a line per feature space and weights.

    Parameters
    ----------
    table : DataFrame
        Columns `feature_space weights channel_type lag` (s) `score`, optionally `score_sem` over subjects and
        `noise_ceiling`; one row per point.
    ylabel : str

    Returns
    -------
    figure : Figure
    """
    if not len(table) or not np.isfinite(table["score"]).any():
        return note("no finite scores to draw")
    kinds = list(dict.fromkeys(table["channel_type"]))
    figure, axes = panels(len(kinds), width=4.6, height=2.8, n_columns=2)
    for ax, kind in zip(axes, kinds, strict=True):
        of_kind = table[table["channel_type"] == kind]
        for i, ((space, weights), rows) in enumerate(of_kind.groupby(["feature_space", "weights"], sort=False)):
            rows = rows.sort_values("lag")
            colour = FIXED.get(weights, PALETTE[i % len(PALETTE)])
            ax.plot(rows["lag"], rows["score"], color=colour, linewidth=1.4, label=f"{space} {weights}".strip())
            if "score_sem" in rows:
                low, high = rows["score"] - rows["score_sem"], rows["score"] + rows["score_sem"]
                ax.fill_between(rows["lag"], low, high, color=colour, alpha=0.18, linewidth=0)
        if "noise_ceiling" in of_kind and of_kind["noise_ceiling"].notna().any():
            ceiling = of_kind.groupby("lag")["noise_ceiling"].max()
            ax.plot(ceiling.index, ceiling, color=CONTROLS, linewidth=0.9, linestyle=":", label="noise ceiling")
        ax.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
        ax.axvline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
        ax.set_title(kind, fontsize=10)
        ax.set_xlabel("time from the event (s)")
    figure.supylabel(ylabel, fontsize=9)
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure
