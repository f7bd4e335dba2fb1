import numpy as np
import pandas as pd
import pytest

from brainalign.plots import memories


def table(**more):
    rows = [
        (panel, curve, x, x + (curve == "b")) for panel in ("one", "two") for curve in "ab" for x in (0.0, 1.0, 2.0)
    ]
    return pd.DataFrame(rows, columns=["panel", "curve", "x", "y"]).assign(**more)


def lines_of(ax):
    return {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()}


def test_points_and_theory_are_those_of_the_table():
    figure = memories.curves(
        table(sd=0.1, expected=[7.0, 8.0, 9.0, np.nan, np.nan, np.nan] * 2), xlabel="x", ylabel="y"
    )
    assert [ax.get_title() for ax in figure.axes] == ["one", "two"]
    lines = lines_of(figure.axes[0])
    assert lines["a: theory"] == [7, 8, 9]
    assert "b: theory" not in lines
    points = {container.get_label(): container[0] for container in figure.axes[0].containers}
    assert points["a"].get_ydata().tolist() == [0, 1, 2]
    assert points["b"].get_ydata().tolist() == [1, 2, 3]
    assert points["a"].get_linestyle() == "None"  # theory is the line
    assert points["b"].get_linestyle() == "-"


def test_a_curve_keeps_its_colour_and_a_place_can_be_marked():
    figure = memories.curves(table(), xlabel="x", ylabel="y", logy=True, mark=1.0, marked="bound")
    colours = [{c.get_label(): c[0].get_color() for c in ax.containers} for ax in figure.axes]
    assert colours[0] == colours[1]
    assert colours[0]["a"] != colours[0]["b"]
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "log"]
    assert "bound" in lines_of(figure.axes[1])


def test_an_empty_table_says_so():
    assert "nothing" in memories.curves(table().iloc[:0], xlabel="x", ylabel="y").texts[0].get_text()


def test_recall_matrices_stand_in_the_order_of_the_table(tmp_path):
    cells = [(m, asked, answer, value + (m == "second") * 0.1)
             for m in ("first", "second") for (asked, answer), value in
             {("B", "y"): 0.1, ("B", "x"): 0.2, ("A", "y"): 0.3, ("A", "x"): 0.4}.items()]  # fmt: skip
    figure = memories.recall_matrices(pd.DataFrame(cells, columns=["memory", "asked", "answer", "cosine"]))
    figure.savefig(tmp_path / "x.png")
    drawn = np.asarray(figure.axes[1].get_images()[0].get_array())
    assert drawn == pytest.approx(np.array([[0.2, 0.3], [0.4, 0.5]]))
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["B", "A"]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["y", "x"]
