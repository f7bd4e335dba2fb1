import numpy as np
import pandas as pd
import pytest

from brainalign.plots.learning import counts_against_bound, learning_curves

CURVES = pd.DataFrame(
    [(panel, line, sweep, level * (3 - sweep), 0.1) for panel in ("left", "right")
     for line, level in (("slow", 2.0), ("fast", 1.0)) for sweep in (2, 0, 1)],
    columns=["panel", "line", "sweep", "value", "sd"],
)  # fmt: skip


def test_lines_follow_the_sweeps_in_order():
    figure = learning_curves(CURVES, ylabel="error")
    assert [ax.get_title() for ax in figure.axes] == ["left", "right"]
    slow, fast = figure.axes[1].get_lines()
    assert (slow.get_label(), slow.get_xdata().tolist(), slow.get_ydata().tolist()) == ("slow", [0, 1, 2], [6, 4, 2])
    assert fast.get_ydata().tolist() == [3, 2, 1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["slow", "fast"]
    assert len(figure.axes[0].collections) == 2  # the spread


def test_panels_and_spread_may_be_left_out():
    figure = learning_curves(CURVES[CURVES["panel"] == "left"].drop(columns=["panel", "sd"]), ylabel="", log=True)
    (ax,) = figure.axes
    assert ax.get_yscale() == "log"
    assert not ax.collections
    figure.canvas.draw()
    assert "no finite values" in learning_curves(CURVES.assign(value=np.nan), ylabel="").texts[0].get_text()


def test_a_dot_per_network_and_the_line_of_the_bound():
    table = pd.DataFrame({"group": [0.1, 0.1, 0.2, 0.2], "bound": [100, 50, 20, np.inf], "n_updates": [10, 5, 4, 9]})
    (ax,) = counts_against_bound(table, group_label="margin").axes
    assert [dots.get_offsets().tolist() for dots in ax.collections] == [[[100, 10], [50, 5]], [[20, 4]]]
    assert ax.lines[0].get_xdata() == pytest.approx(ax.lines[0].get_ydata())
    assert "no finite bounds" in counts_against_bound(table[3:], group_label="").texts[0].get_text()
