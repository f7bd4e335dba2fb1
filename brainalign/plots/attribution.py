"""Convolution and attribution: a worked example, kernels, and maps over images."""

import numpy as np

from brainalign.plots._style import NEUTRAL, TRAINED, UNTRAINED, panels

LINE = ("#1f5a94", "#d98324", "#3a7d44", "#333333")


def arrays(table):
    """Draw small arrays with their numbers, side by side.

    Parameters
    ----------
    table : DataFrame
        Columns `array row column value`, a row per number; arrays in the table's order.

    Returns
    -------
    figure : Figure
    """
    names = list(dict.fromkeys(table["array"]))
    figure, axes = panels(len(names), width=2.3, height=2.2, n_columns=4)
    for ax, name in zip(axes, names, strict=True):
        values = _grid(table[table["array"] == name])
        ax.imshow(values, cmap="Blues", vmin=min(0, values.min()), vmax=1.6 * max(values.max(), 1))
        for (i, j), value in np.ndenumerate(values):
            ax.text(j, i, f"{value:g}", ha="center", va="center", fontsize=10)
        _bare(ax, name)
    return figure


def kernels(table, *, n_columns=8):
    """Draw the kernels of a first layer; white is 0, red above, blue below.

    Parameters
    ----------
    table : DataFrame
        Columns `map row column value`.
    n_columns : int

    Returns
    -------
    figure : Figure
    """
    names = list(dict.fromkeys(table["map"]))
    figure, axes = panels(len(names), width=0.8, height=0.8, n_columns=n_columns)
    limit = table["value"].abs().max()
    for ax, name in zip(axes, names, strict=True):
        ax.imshow(_grid(table[table["map"] == name]), cmap="RdBu_r", vmin=-limit, vmax=limit)
        _bare(ax, str(name))
    return figure


def maps(table):
    """Draw images and maps over them: a row per image, a column per method.

    Parameters
    ----------
    table : DataFrame
        Columns `image method row column value`; methods and images in the table's order. The first method is the image
        itself; signed maps are drawn red above 0 and blue below.

    Returns
    -------
    figure : Figure
    """
    images, methods = list(dict.fromkeys(table["image"])), list(dict.fromkeys(table["method"]))
    figure, axes = panels(len(images) * len(methods), width=1.25, height=1.15, n_columns=len(methods))
    for ax, (image, method) in zip(axes, [(i, m) for i in images for m in methods], strict=True):
        values = _grid(table[(table["image"] == image) & (table["method"] == method)])
        limit = np.abs(values).max() or 1
        if method == methods[0]:
            ax.imshow(values, cmap="gray", vmin=0, vmax=limit)
        elif values.min() < 0:
            ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        else:
            ax.imshow(values, cmap="inferno", vmin=0, vmax=limit)
        _bare(ax, method.replace(", ", ",\n") if image == images[0] else "")
        if method == methods[0]:
            ax.set_ylabel(image, fontsize=8)
    return figure


def cascade(table, *, limit=None):
    """Draw how alike maps stay while the weights of a network are destroyed, from its last part to its first.

    Parameters
    ----------
    table : DataFrame
        Columns `method part correlation`, optionally `sd`; parts in the table's order.
    limit : float, optional
        Correlation that maps are to stay below.

    Returns
    -------
    figure : Figure
    """
    figure, (ax,) = panels(1, width=5.2, height=3.2)
    parts = list(dict.fromkeys(table["part"]))
    for (method, rows), colour in zip(table.groupby("method", sort=False), LINE, strict=False):
        x = [parts.index(part) for part in rows["part"]]
        ax.errorbar(x, rows["correlation"], yerr=rows.get("sd"), marker="o", markersize=4, color=colour, label=method,
                    capsize=2, linewidth=1.2)  # fmt: skip
    if limit is not None:
        ax.axhline(limit, color=NEUTRAL, linestyle=":", linewidth=1, label=f"{limit:g}")
    ax.axhline(0, color="#bbbbbb", linewidth=0.6)
    ax.set_xticks(range(len(parts)), parts)
    ax.set(xlabel="destroyed down to", ylabel="rank correlation with the true map", ylim=(-0.3, 1.05))
    ax.legend(fontsize=8, frameon=False, loc="upper right", bbox_to_anchor=(1, 0.94))
    return figure


def learning(table, *, accuracies):
    """Draw the loss of every network over updates, and the share of held-out images that it names rightly.

    Parameters
    ----------
    table : DataFrame
        Columns `network update loss`.
    accuracies : DataFrame
        Columns `network accuracy`.

    Returns
    -------
    figure : Figure
    """
    figure, axes = panels(2, width=3.6, height=2.6)
    for _, rows in table.groupby("network"):
        axes[0].plot(rows["update"], rows["loss"], color=TRAINED, linewidth=0.8, alpha=0.7)
    axes[0].set(xlabel="update", ylabel="cross-entropy", ylim=(0, None))
    axes[1].bar(accuracies["network"].astype(str), accuracies["accuracy"], color=TRAINED, width=0.6)
    axes[1].axhline(0.1, color=UNTRAINED, linewidth=1, linestyle=":")
    axes[1].set(xlabel="network", ylabel="held-out digits named (dots: chance)", ylim=(0, 1))
    return figure


def _grid(rows):
    values = np.full((rows["row"].max() + 1, rows["column"].max() + 1), np.nan)
    values[rows["row"], rows["column"]] = rows["value"]
    return values


def _bare(ax, title):
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=8)
