import numpy as np
import pandas as pd
import pytest

from brainalign.plots import alignments


def maps():
    rows = [
        {"panel": panel, "i_row": i, "row": "abc"[i], "i_column": j, "column": "xy"[j], "weight": scale * (i + j) / 10}
        for panel, scale in (("copy", 1), ("reversal", 2))
        for i in range(3)
        for j in range(2)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0).sort_values("panel", kind="stable")


def test_a_map_has_its_weights_and_words_in_place():
    figure = alignments.alignment_maps(maps())
    copy, reversal = figure.axes[:2]
    assert [copy.get_title(), reversal.get_title()] == ["copy", "reversal"]
    assert np.allclose(reversal.images[0].get_array(), [[0, 0.2], [0.2, 0.4], [0.4, 0.6]])
    assert [label.get_text() for label in copy.get_yticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in copy.get_xticklabels()] == ["x", "y"]
    assert copy.images[0].get_clim() == (0, 1)


def lines():
    rows = [
        {"task": task, "network": name, "update": update, "loss": level / (1 + update), "sd": 0.01}
        for task in ("copy", "recall")
        for name, level in (("LSTM", 1.0), ("simple", 2.0))
        for update in (2, 0, 1)
    ]
    return pd.DataFrame(rows)


def test_a_line_per_network_and_a_panel_per_task():
    figure = alignments.lines_by_network(
        lines(), x="update", y="loss", labels=("update", "loss"), level=(0.7, "chance")
    )
    assert [ax.get_title() for ax in figure.axes] == ["copy", "recall"]
    line = next(line for line in figure.axes[1].get_lines() if line.get_label() == "simple")
    assert line.get_xdata().tolist() == [0, 1, 2]
    assert line.get_ydata() == pytest.approx([2, 1, 2 / 3])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["LSTM", "simple", "chance"]


def test_a_log_axis_has_no_bands():
    figure = alignments.lines_by_network(lines(), x="update", y="loss", labels=("", ""), log_y=True)
    assert figure.axes[0].get_yscale() == "log"
    assert not figure.axes[0].collections


def test_nothing_to_draw_is_said():
    assert "no weights" in alignments.alignment_maps(maps().iloc[:0]).texts[0].get_text()
    empty = lines().assign(loss=np.nan)
    assert "nothing" in alignments.lines_by_network(empty, x="update", y="loss", labels=("", "")).texts[0].get_text()
