"""The recording's clock."""

from brainalign.plots._style import TRAINED, note, panels


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
