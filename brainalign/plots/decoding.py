"""How well classes are told from regions of a brain, and which are taken for which."""

import numpy as np

from brainalign.plots._style import JOINT, NEUTRAL, SHADE, TRAINED, note, panels


def accuracies(table, folds, nulls, *, max_regions=24):
    """Draw a bar per region with a dot per fold, chance as a line, and behind it the accuracies of permuted labels.

    Parameters
    ----------
    table : DataFrame
        Columns `roi accuracy chance`: one subject.
    folds, nulls : DataFrame
        Columns `roi accuracy`, one row per fold and per permutation; `nulls` may be empty.
    max_regions : int
        Bars at most, in the order of the table; the title says how many there are.

    Returns
    -------
    figure : Figure
    """
    if not len(table):
        return note("no accuracies to draw")
    shown = table.iloc[:max_regions]
    figure, (ax,) = panels(1, width=max(3.2, 1.0 * len(shown)), height=3.2)
    for i, row in enumerate(shown.itertuples()):
        of_folds = folds.loc[folds["roi"] == row.roi, "accuracy"].to_numpy(float)
        ax.bar(i, row.accuracy, 0.55, color=TRAINED, zorder=1)
        offsets = np.linspace(-0.2, 0.2, len(of_folds))  # folds of equal accuracy must not hide each other
        ax.plot(i + offsets, of_folds, "o", markersize=3, color="white", markeredgecolor=NEUTRAL, zorder=3)
        null = nulls.loc[nulls["roi"] == row.roi, "accuracy"].to_numpy(float)
        if len(null):
            low, high = np.quantile(null, [0.025, 0.975])
            ax.fill_between([i - 0.42, i + 0.42], low, high, color=SHADE, edgecolor=NEUTRAL, alpha=0.8, zorder=2)
    ax.axhline(table["chance"].iloc[0], color="black", linewidth=0.9, linestyle="--", zorder=4, label="chance")
    ax.set_xticks(range(len(shown)), shown["roi"], rotation=40 if len(shown) > 6 else 0, fontsize=8)
    ax.set(ylim=(0, 1.02), ylabel="accuracy on runs left out")
    ax.legend(frameon=False, fontsize=8, loc="upper right")
    if len(table) > max_regions:
        figure.suptitle(f"the first {max_regions} of {len(table)} regions", fontsize=9)
    return figure


def confusions(table, *, max_regions=6):
    """Draw a square per region: the share of what was shown (rows) that was told as what (columns).

    Parameters
    ----------
    table : DataFrame
        Columns `roi shown told n`: one subject.
    max_regions : int
        Squares at most, in the order of the table; the title says how many there are.

    Returns
    -------
    figure : Figure
    """
    regions = list(dict.fromkeys(table["roi"]))
    if not regions:
        return note("no confusions to draw")
    classes = list(dict.fromkeys(table["shown"]))
    size = max(2.6, 0.32 * len(classes) + 1.0)
    figure, axes = panels(min(len(regions), max_regions), width=size, height=size)
    for ax, roi in zip(axes, regions, strict=False):
        counts = table[table["roi"] == roi].pivot(index="shown", columns="told", values="n").loc[classes, classes]
        shares = counts.div(counts.sum(axis=1), axis=0).to_numpy()  # (n_classes, n_classes)
        image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in np.argwhere(shares > 0):
            ax.text(j, i, counts.iloc[i, j], ha="center", va="center", fontsize=7, color="wk"[int(shares[i, j] < 0.5)])
        ax.set_xticks(range(len(classes)), classes, rotation=60, ha="right", fontsize=7)
        ax.set_yticks(range(len(classes)), classes, fontsize=7)
        ax.set_title(roi, fontsize=10)
    figure.supxlabel("told", fontsize=9)
    figure.supylabel("shown", fontsize=9)
    figure.colorbar(image, ax=list(axes), label="share of what was shown", shrink=0.7)
    if len(regions) > max_regions:
        figure.suptitle(f"the first {max_regions} of {len(regions)} regions", fontsize=9)
    return figure


def scores_over_time(table, *, ylabel, max_regions=6):
    """Draw one panel per region: the score at every time, chance, what is significant, permuted labels behind.

    Parameters
    ----------
    table : DataFrame
        Columns `roi time` (s) `score score_sem chance null_mean null_95 p_corrected`: one subject, in order of time.
    ylabel : str
    max_regions : int
        Panels at most, in the order of the table; the title says how many there are.

    Returns
    -------
    figure : Figure
    """
    regions = list(dict.fromkeys(table["roi"]))
    if not regions:
        return note("no scores to draw")
    figure, axes = panels(min(len(regions), max_regions), width=5.0, height=2.8, n_columns=2, sharey=True)
    lowest = table[["score", "null_mean", "chance"]].min().min()
    for ax, roi in zip(axes, regions, strict=False):
        rows = table[table["roi"] == roi]
        times, score = rows["time"].to_numpy(float), rows["score"].to_numpy(float)
        if rows["null_95"].notna().any():
            ax.fill_between(times, rows["null_mean"], rows["null_95"], color=SHADE, label="permuted, mean to 95 %")
        ax.plot(times, score, color=TRAINED, linewidth=1.4)
        if rows["score_sem"].notna().any():
            low, high = score - rows["score_sem"], score + rows["score_sem"]
            ax.fill_between(times, low, high, color=TRAINED, alpha=0.18, linewidth=0)
        significant = rows["p_corrected"].to_numpy(float) <= 0.05
        if significant.any():
            at = np.full(significant.sum(), lowest - 0.01)
            ax.plot(times[significant], at, "s", color=JOINT, markersize=3, label="p <= .05, corrected")
        ax.axhline(rows["chance"].iloc[0], color="black", linewidth=0.9, linestyle="--", label="chance")
        ax.axvline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
        ax.set(title=roi, xlabel="time from the event (s)")
        ax.set_ylabel(ylabel)
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    if len(regions) > max_regions:
        figure.suptitle(f"the first {max_regions} of {len(regions)} regions", fontsize=9)
    return figure
