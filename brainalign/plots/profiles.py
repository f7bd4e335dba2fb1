"""Scores over the layers of a model, with controls and noise ceilings."""

import numpy as np

from brainalign.plots._style import CONTROLS, JOINT, TRAINED, UNTRAINED, note, panels, shade_above

COLOURS = {"trained": TRAINED, "untrained": UNTRAINED, "": CONTROLS}
MARKERS = ("o", "s", "^", "D", "v")


def layer_profile(table, *, ylabel="score (r)", max_targets=12):
    """Draw one panel per target: a line per feature space and weights over layers, controls as horizontal lines.

    Parameters
    ----------
    table : DataFrame
        Columns `feature_space weights layer target score`, optionally `score_sem` and `noise_ceiling`; one row per
        point. A feature space of one layer has the layer "" and is drawn as a horizontal line, "nested" rows as a star.
        Where no feature space has layers, bars take the place of lines. Layers with names stand in the table's order.
    ylabel : str
    max_targets : int
        Panels at most, in the order of the table; the title says how many there are.

    Returns
    -------
    figure : Figure
    """
    targets = list(dict.fromkeys(table["target"]))
    if not targets or not np.isfinite(table["score"]).any():
        return note("no finite scores to draw")
    figure, axes = panels(min(len(targets), max_targets), sharey=True)
    places = places_of(table["layer"])
    for ax, target in zip(axes, targets, strict=False):
        of_target = table[table["target"] == target]
        if places:
            _draw_target(ax, of_target, places)
        else:
            _draw_bars(ax, of_target)
        if list(places.values()) != [float(name) for name in places if name.isdecimal()]:
            ax.set_xticks(list(places.values()), list(places), rotation=60, ha="right", fontsize=7)
        ax.set_title(target, fontsize=10)
        ax.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    for ax in axes:  # after all panels are drawn: they share their limits
        ceiling = (
            table.loc[table["target"] == ax.get_title(), "noise_ceiling"].max() if "noise_ceiling" in table else np.nan
        )
        shade_above(ax, ceiling)
    if places:
        figure.supxlabel("layer (0: embeddings; star: layer chosen by nested cross-validation)", fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    if len(targets) > max_targets:
        figure.suptitle(f"the first {max_targets} of {len(targets)} targets", fontsize=9)
    return figure


def places_of(layers):
    """Give where layers stand on an axis: at their numbers, or one after the other where any has a name."""
    names = list(dict.fromkeys(name for name in layers if name not in ("", "nested")))
    if all(name.isdecimal() for name in names):
        return {name: float(name) for name in sorted(names, key=float)}
    return {name: float(i) for i, name in enumerate(names)}


def _label(space, weights):
    return f"{space}, {weights}" if weights else space


def _colour(space, weights):
    return JOINT if "+" in space and weights == "trained" else COLOURS.get(weights, CONTROLS)


def _draw_bars(ax, table):
    names = [_label(space, weights) for space, weights in zip(table["feature_space"], table["weights"], strict=True)]
    colours = [_colour(space, weights) for space, weights in zip(table["feature_space"], table["weights"], strict=True)]
    ax.bar(range(len(names)), table["score"], yerr=table.get("score_sem"), color=colours, width=0.7)
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)


def _draw_target(ax, table, places):
    for i, ((space, weights), rows) in enumerate(table.groupby(["feature_space", "weights"], sort=False)):
        label = _label(space, weights)
        joint = "+" in space
        style = {"color": _colour(space, weights)}
        fixed, nested = rows[rows["layer"] == ""], rows[rows["layer"] == "nested"]
        layers = rows[~rows["layer"].isin(("", "nested"))]
        if len(fixed):
            dashes = ("--", "-.", (0, (1, 1)))[i % 3]
            ax.axhline(fixed["score"].iloc[0], linestyle=dashes, linewidth=1.2, label=label, **style)
        if len(layers):
            x = layers["layer"].map(places).to_numpy()
            marker = MARKERS[1 if joint else 0]
            line = {"marker": marker, "markersize": 3.5, "linewidth": 1.4, "linestyle": ":" if joint else "-", **style}
            ax.plot(x, layers["score"], label=label, **line)
            if "score_sem" in layers:
                low, high = layers["score"] - layers["score_sem"], layers["score"] + layers["score_sem"]
                ax.fill_between(x, low, high, alpha=0.18, linewidth=0, color=style["color"])
            if len(nested):
                ax.plot(x.max() + 0.8, nested["score"].iloc[0], "*", markersize=9, **style)


def layer_choices(table):
    """Draw how often nested cross-validation chose each layer, one row per target.

    Parameters
    ----------
    table : DataFrame
        Columns `target layer n_folds`.

    Returns
    -------
    figure : Figure
    """
    if not len(table):
        return note("one layer only: nothing was chosen")
    counts = table.pivot_table(
        index="target", columns="layer", values="n_folds", aggfunc="sum", sort=False, fill_value=0
    )
    counts = counts[list(places_of(counts.columns))]
    share = counts.to_numpy() / counts.to_numpy().sum(axis=1, keepdims=True)
    figure, (ax,) = panels(1, width=4.5, height=0.3 * len(counts) + 0.9)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(counts.columns)), counts.columns)
    ax.set_yticks(range(len(counts)), counts.index)
    ax.set_xlabel("layer")
    figure.colorbar(image, ax=ax, label="share of folds and subjects")
    return figure
