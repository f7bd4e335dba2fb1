"""One measure of people against another."""

from brainalign.plots._style import NEUTRAL, TRAINED, panels


def scatter(table, *, xlabel, ylabel):
    """Draw one panel per target: every subject a dot, with the least-squares line.

    Parameters
    ----------
    table : DataFrame
        Columns `target x y title slope intercept`; the line and the title come with the table.
    xlabel, ylabel : str

    Returns
    -------
    figure : Figure
    """
    targets = list(dict.fromkeys(table["target"]))
    figure, axes = panels(len(targets), sharex=True)
    for ax, target in zip(axes, targets, strict=True):
        rows = table[table["target"] == target]
        ends = rows["x"].agg(["min", "max"]).to_numpy()
        ax.plot(ends, rows["intercept"].iloc[0] + rows["slope"].iloc[0] * ends, color=NEUTRAL, linewidth=1)
        ax.plot(rows["x"], rows["y"], "o", markersize=4, alpha=0.75, color=TRAINED)
        ax.set_title(rows["title"].iloc[0], fontsize=9)
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    return figure
