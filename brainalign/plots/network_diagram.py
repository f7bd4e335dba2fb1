"""A small layered network as a drawing: units, weights on the lines between them, biases in the units."""

import numpy as np
from matplotlib.figure import Figure

from brainalign.plots._style import CONTROLS, TRAINED, UNTRAINED

APART = 1.6  # between layers
NUMBERS = (0.15, 0.65)  # where on its way up a line bears its number: the lines to one unit all at the same height


def network_diagram(weights, biases, *, ax=None, title=""):
    """Draw a network from its input, below, to its output.

    Parameters
    ----------
    weights : sequence of arrays (units below, units above)
    biases : sequence of arrays (units,)
        Of the layers above the input.
    ax : Axes, optional
        To draw on; a figure of its own without it.
    title : str

    Returns
    -------
    figure : Figure
        That of `ax`.
    """
    weights = [np.asarray(W, dtype=float) for W in weights]
    sizes = [len(weights[0]), *(W.shape[1] for W in weights)]
    if ax is None:
        ax = Figure(figsize=(1.05 * max(sizes) + 0.6, 2.1 * len(weights) + 0.6), layout="constrained").subplots()
    places = [_places(n, level * APART, max(sizes)) for level, n in enumerate(sizes)]
    for i_layer, values in enumerate(weights):
        below, above = places[i_layer : i_layer + 2]
        largest = np.abs(values).max()
        shares = NUMBERS[0] + (NUMBERS[1] - NUMBERS[0]) * (np.arange(values.shape[1]) + 0.5) / values.shape[1]
        for (i, j), value in np.ndenumerate(values):
            _connect(ax, below[i], above[j], value, share=shares[j], largest=largest)
    for level, of_layer in enumerate(places):
        for i, (x, y) in enumerate(of_layer):
            ax.scatter(x, y, s=560, facecolor="white", edgecolor=CONTROLS, linewidth=1.2, zorder=3)
            label = f"{biases[level - 1][i]:.1f}" if level else f"{i + 1}"
            ax.text(x, y, label, ha="center", va="center", fontsize=8, zorder=4)
    ax.set(xlim=(-0.6, max(sizes) - 0.4), ylim=(-0.4, places[-1][0][1] + 0.4))
    ax.set_axis_off()
    ax.set_title(title, fontsize=10)
    return ax.figure


def _places(n, y, widest):
    """Give the places of the units of a layer, spread over the width of the widest one."""
    step = widest / n
    return [((i + 0.5) * step - 0.5, y) for i in range(n)]


def _connect(ax, start, end, value, *, share, largest):
    colour = TRAINED if value > 0 else UNTRAINED
    width = 0.4 + 1.8 * abs(value) / largest if largest > 0 else 0.4
    ax.plot(*zip(start, end, strict=True), color=colour, linewidth=width, zorder=1)
    x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    ax.text(x, y, f"{value:.1f}", ha="center", va="center", fontsize=8, color=colour, bbox=box, zorder=2)
