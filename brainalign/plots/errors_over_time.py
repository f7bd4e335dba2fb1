"""Errors of a prediction at each step, with what was to be predicted written at the points."""

from brainalign.plots._style import CONTROLS, NEUTRAL, SHADE, TRAINED, panels


def labelled_steps(table, *, ylabel, marked="", reference=None):
    """Draw the error over steps, a panel per `panel` of the table, the label of each step at its point.

    Parameters
    ----------
    table : DataFrame
        Columns `step error label`, and where there are such `sd` (drawn as a band), `marked` (bool, drawn as filled
        points) and `panel`.
    ylabel : str
    marked : str
        What the marked steps are.
    reference : tuple of (float, str), optional
        An error to compare with, and its name.

    Returns
    -------
    figure : Figure
    """
    table = table if "panel" in table else table.assign(panel="")
    names = list(dict.fromkeys(table["panel"]))
    top = 1.12 * max(table["error"].max(), 0.0 if reference is None else reference[0])
    figure, axes = panels(len(names), width=8.5, height=2.6, n_columns=1, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        part = table[table["panel"] == name]
        ax.plot(part["step"], part["error"], color=TRAINED, linewidth=1, marker="o", markersize=3, markerfacecolor="w")
        if "sd" in part and part["sd"].notna().any():
            low, high = part["error"] - part["sd"], part["error"] + part["sd"]
            ax.fill_between(part["step"], low.clip(lower=0), high, color=SHADE, linewidth=0, zorder=0)
        if "marked" in part:
            at = part[part["marked"].astype(bool)]
            ax.plot(at["step"], at["error"], "o", color=TRAINED, markersize=4.5, label=marked)
        for step, error, label in zip(part["step"], part["error"], part["label"].astype(str), strict=True):
            ax.annotate(label, (step, error), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8)
        if reference is not None:
            ax.axhline(reference[0], color=NEUTRAL, linestyle=":", linewidth=0.9, label=reference[1])
        ax.set(title=name, ylabel=ylabel, ylim=(0, top))
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes[-1].set_xlabel("step")
    return figure


def over_sweeps(table, *, ylabel, references=()):
    """Draw an error over passes through the stream, a line per `condition` with a band over networks.

    Parameters
    ----------
    table : DataFrame
        Columns `condition sweep value sd`.
    ylabel : str
    references : sequence of (float, str)
        Values to compare with, and their names.

    Returns
    -------
    figure : Figure
    """
    figure, (ax,) = panels(1, width=5.2, height=3.2)
    for condition, part in table.groupby("condition", sort=False):
        (line,) = ax.plot(part["sweep"], part["value"], marker=".", label=condition)
        low, high = part["value"] - part["sd"], part["value"] + part["sd"]
        ax.fill_between(part["sweep"], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    for value, name in references:
        ax.axhline(value, color=CONTROLS, linestyle=":", linewidth=0.9)
        ax.annotate(name, (1.01, value), xycoords=("axes fraction", "data"), fontsize=8, va="center")
    ax.set(xlabel="pass through the corpus", ylabel=ylabel)
    ax.legend(frameon=False, fontsize=8)
    return figure
