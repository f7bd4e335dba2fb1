"""Errors over steps and passes: what is drawn where."""

import numpy as np
import pandas as pd

from brainalign.plots import errors_over_time


def steps(panels=("one",)):
    rows = [{"panel": panel, "step": i, "error": 0.1 * i, "sd": 0.02, "label": "xyz"[i], "marked": i == 2}
            for panel in panels for i in range(3)]  # fmt: skip
    return pd.DataFrame(rows)


def test_each_step_bears_its_label_and_marked_ones_are_filled():
    figure = errors_over_time.labelled_steps(
        steps(("a", "b")), ylabel="error", marked="ends", reference=(0.15, "guess")
    )
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["x", "y", "z"]
    filled = next(line for line in ax.lines if line.get_label() == "ends")
    assert filled.get_xydata().tolist() == [[2, 0.2]]
    assert any(np.allclose(line.get_ydata(), 0.15) for line in ax.lines)
    assert ax.get_ylim()[0] == 0


def test_all_panels_show_their_errors_on_one_scale():
    table = steps(("low", "high"))
    table.loc[table["panel"] == "high", "error"] += 3
    figure = errors_over_time.labelled_steps(table, ylabel="error")
    figure.canvas.draw()
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.axes[0].get_ylim()[1] > 3.2


def test_panels_spread_and_marks_may_be_absent():
    figure = errors_over_time.labelled_steps(steps()[["step", "error", "label"]], ylabel="error")
    figure.canvas.draw()
    assert figure.axes[0].get_legend() is None


def test_a_line_per_condition_over_passes():
    table = pd.DataFrame({"condition": ["a", "a", "b", "b"], "sweep": [1, 2, 1, 2], "value": [3.0, 2.0, 5.0, 4.0],
                          "sd": [0.1, 0.1, np.nan, np.nan]})  # fmt: skip
    figure = errors_over_time.over_sweeps(table, ylabel="error", references=[(1.0, "least")])
    figure.canvas.draw()
    (ax,) = figure.axes
    assert [line.get_ydata().tolist() for line in ax.lines[:2]] == [[3, 2], [5, 4]]
    assert ax.texts[0].get_text() == "least"
