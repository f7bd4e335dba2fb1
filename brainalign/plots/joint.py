"""Every sensor over time, and the head when they say most: what `mne.viz.plot_evoked_joint` shows, of a table."""

import numpy as np
from matplotlib.figure import Figure

from brainalign.plots._style import note
from brainalign.plots.sensors import FEWEST, draw_head, flat_positions

N_HEADS = 4
APART = 0.1  # share of the time shown by which two heads are apart at least


def joint(table, *, label="score", scale=1.0):
    """Draw a line per sensor over time, coloured by its place, and heads where they differ most.

    Parameters
    ----------
    table : DataFrame
        Columns `target`, `x, y, z` (m, head coordinates), `lag` (s) and `score`; sensors of one kind.
    label : str
        Of what is drawn, with its unit.
    scale : float
        That scores are multiplied by: 1e6 for volt told in microvolt.

    Returns
    -------
    figure : Figure
        Sensors without a place are grey lines and on no head.
    """
    values = table.pivot(index="lag", columns="target", values="score") * scale  # (n_lags, n_sensors)
    positions = table.drop_duplicates("target").set_index("target").loc[values.columns, ["x", "y", "z"]]
    placed = positions.notna().all(axis=1).to_numpy()
    if placed.sum() < FEWEST or not np.isfinite(values.to_numpy()[:, placed]).any():
        return note("no topography: fewer than four sensors have a place and a score")
    lags, colours = values.index.to_numpy(float), place_colours(positions.to_numpy(float))
    peaks = strongest_times(lags, values.to_numpy(float)[:, placed])
    figure = Figure(figsize=(7.2, 4.4))
    ax = figure.add_axes((0.1, 0.13, 0.86, 0.46))
    for name, colour in zip(values.columns, colours, strict=True):
        ax.plot(lags, values[name], color=colour, linewidth=0.8)
    ax.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    ax.axvline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0)
    ax.set(xlabel="time from the event (s)", ylabel=label)
    _add_legend_of_places(figure, positions.to_numpy(float)[placed], colours[placed])
    _add_heads(figure, ax, table, peaks, scale=scale)
    return figure


def strongest_times(lags, values):
    """Give up to `N_HEADS` times, in order, where the standard deviation over sensors has its highest peaks.

    That is the global field power, whose maxima are the components of evoked responses.

    Parameters
    ----------
    lags : array of shape (n_lags,)
        s, ascending.
    values : array of shape (n_lags, n_sensors)
        NaN is left out.

    Returns
    -------
    times : list of float
        Of `lags`, `APART` of their range or more from each other. The ends, where the weights of a response function
        take up what lies beyond, count only where there is no maximum between them.

    References
    ----------
    Lehmann & Skrandies (1980), Electroencephalogr Clin Neurophysiol 48:609.
    """
    scored = np.isfinite(values).any(axis=1)
    strength = np.full(len(lags), -np.inf)
    strength[scored] = np.nanstd(values[scored], axis=1)
    is_peak = np.zeros(len(lags), dtype=bool)
    is_peak[1:-1] = (strength[1:-1] >= strength[:-2]) & (strength[1:-1] > strength[2:])
    if not is_peak.any():
        is_peak[strength.argmax()] = True
    least, times = APART * (lags[-1] - lags[0]), []
    for i in np.flatnonzero(is_peak)[np.argsort(-strength[is_peak], kind="stable")]:
        if len(times) < N_HEADS and all(abs(lags[i] - other) >= least for other in times):
            times.append(float(lags[i]))
    return sorted(times)


def place_colours(positions):
    """Give a colour per place, (n_sensors, 3): right is red, front is green, up is blue; grey without a place."""
    low, high = np.nanmin(positions, axis=0), np.nanmax(positions, axis=0)
    colours = (positions - low) / np.where(high > low, high - low, 1.0)
    return np.where(np.isfinite(colours), 0.85 * colours, 0.7)


def _add_legend_of_places(figure, positions, colours) -> None:
    ax = figure.add_axes((0.005, 0.72, 0.1, 0.15))
    flat = flat_positions(positions)
    ax.scatter(flat[:, 0], flat[:, 1], s=5, c=colours, linewidths=0)
    ax.set_aspect("equal")
    ax.axis("off")


def _add_heads(figure, lines, table, times, *, scale) -> None:
    placed = table.dropna(subset=["x", "y", "z"])
    at_times = [placed[placed["lag"] == time] for time in times]
    limit = max(scale * np.nanmax(np.abs(sensors["score"])) for sensors in at_times)
    width = min(0.22, 0.76 / len(times))
    for i, (time, sensors) in enumerate(zip(times, at_times, strict=True)):
        centre = 0.11 + 0.76 * (i + 0.5) / len(times)
        ax = figure.add_axes((centre - width / 2, 0.66, width, 0.27))
        image = draw_head(ax, sensors, limit=limit, scale=scale)
        ax.set_title(f"{1000 * time:.0f} ms", fontsize=9)
        lines.axvline(time, color="#999999", linewidth=0.8, zorder=0)
        lines.annotate(
            "", (centre, 0.66), (time, lines.get_ylim()[1]), xycoords=figure.transFigure, textcoords="data",
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.8},
        )  # fmt: skip
    figure.colorbar(image, cax=figure.add_axes((0.9, 0.68, 0.015, 0.23)))
