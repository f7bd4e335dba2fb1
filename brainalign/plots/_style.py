"""Axes and colours that all figures share."""

from matplotlib.figure import Figure

TRAINED, UNTRAINED, JOINT, CONTROLS, NEUTRAL = "#1f5a94", "#d98324", "#3a7d44", "#333333", "#888888"
SHADE = "#ececec"


def panels(n, *, width=2.9, height=2.5, n_columns=3, **options):
    """Give a figure with `n` panels in a grid and the array of their axes, (n,)."""
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    figure = Figure(figsize=(width * n_columns + 0.6, height * n_rows + 0.9), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False, **options).ravel()
    for ax in axes[n:]:
        ax.remove()
    for ax in axes[:n]:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes[:n]


def note(text):
    """Give a figure that only says why there is nothing to draw."""
    figure = Figure(figsize=(5, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def shade_above(ax, ceiling):
    """Shade what lies above the noise ceiling and mark it; a ceiling that is not positive is not drawn."""
    if ceiling > 0:
        top = max(ax.get_ylim()[1], ceiling * 1.08)
        ax.axhspan(ceiling, top, color=SHADE, zorder=0, linewidth=0)
        ax.axhline(ceiling, color=NEUTRAL, linewidth=0.8, linestyle=":")
        ax.set_ylim(top=top)
