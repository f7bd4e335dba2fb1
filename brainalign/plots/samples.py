"""The recording's clock."""

from brainalign.plots._style import NEUTRAL, TRAINED, note, panels


def events_per_sample(table):
    """Draw how many events begin in every sample over time, one panel per run.

    Parameters
    ----------
    table : DataFrame
        Columns `run, time` (s) `n_events`.

    Returns
    -------
    figure : Figure
    """
    if not len(table):
        return note("no samples")
    runs = list(dict.fromkeys(table["run"]))[:8]
    figure, axes = panels(len(runs), width=7.5, height=1.1, n_columns=1, sharey=True)
    for ax, run in zip(axes, runs, strict=True):
        rows = table[table["run"] == run]
        ax.step(rows["time"], rows["n_events"], where="post", linewidth=0.8, color=TRAINED)
        ax.set_ylabel(f"run {run}", fontsize=8)
    axes[-1].set_xlabel("time (s)")
    figure.supylabel("events per sample", fontsize=9)
    return figure


def lag_scan(table, *, ylabel="score (r)", max_targets=40):
    """Draw scores of shifted features: a thin line per target, a thick one for their mean, its peak marked.

    Parameters
    ----------
    table : DataFrame
        Columns `target seconds score`.
    ylabel : str
    max_targets : int
        Thin lines at most.

    Returns
    -------
    figure : Figure
    """
    lines = table.pivot(index="seconds", columns="target", values="score")
    lines = lines.loc[:, lines.notna().all()]
    if lines.empty:
        return note("no target has a score at every shift")
    figure, (ax,) = panels(1, width=4.8, height=2.8)
    ax.plot(lines.index, lines.iloc[:, :max_targets], color=NEUTRAL, linewidth=0.6, alpha=0.7)
    mean = lines.mean(axis=1)
    ax.plot(mean.index, mean, color=TRAINED, linewidth=2)
    ax.plot(mean.idxmax(), mean.max(), "o", color=TRAINED)
    ax.annotate(f"{mean.idxmax():g} s", (mean.idxmax(), mean.max()), textcoords="offset points", xytext=(6, 4))
    ax.axvline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    ax.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    ax.set_xlabel("features moved later by (s)")
    ax.set_ylabel(ylabel)
    return figure
