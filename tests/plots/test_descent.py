import numpy as np
import pandas as pd
import pytest

from brainalign.plots import descent


def line(ax, label):
    return next(line for line in ax.get_lines() if line.get_label() == label)


def test_a_landscape_names_its_points_and_colours_starts_by_where_they_end(tmp_path):
    x = np.linspace(-2, 2, 50)
    table = pd.DataFrame({"x": x, "f": x**4 - 2 * x**2})
    points = pd.DataFrame({"x": [-1.0, 0.0], "f": [-1.0, 0.0], "kind": ["minimum", "maximum"], "name": ["left", "top"]})
    starts = pd.DataFrame({"start": [-2.0, -1.5, 1.0], "end": ["left", "left", "top"]})
    figure = descent.landscape(table, points, starts)
    figure.savefig(tmp_path / "x.png")
    (ax,) = figure.axes
    assert [text.get_text().partition("\n")[0] for text in ax.texts[:2]] == ["left", "top"]
    _, left, starts_left, top, starts_top = ax.get_lines()
    assert starts_left.get_xdata().tolist() == [-2, -1.5]
    assert starts_top.get_xdata().tolist() == [1]
    assert left.get_color() == starts_left.get_color() != top.get_color()


def test_walks_are_those_of_the_table():
    table = pd.DataFrame({"walk": ["one"] * 3 + ["two"] * 2, "step": [0, 1, 2, 0, 1], "x": [1.0, 2, 3, 4, 5], "f": 0.5})
    function = pd.DataFrame({"x": [0.0, 6.0], "f": [0.0, 1.0]})
    figure = descent.walks(table, function, minimum=2.0)
    assert [ax.get_title() for ax in figure.axes] == ["one", "two"]
    assert figure.axes[0].get_lines()[1].get_xdata().tolist() == [1, 2, 3]
    assert [text.get_text() for text in figure.axes[1].texts] == ["0", "1"]


def test_iterates_stand_against_the_print():
    table = pd.DataFrame({"description": ["d", "d", "e", "e"], "step": [1, 2, 1, 2], "x": [1.1, 2.0, 1.0, 2.5],
                          "printed": [1.0, 2.0] * 2, "rounding": 0.05})  # fmt: skip
    (ax,) = descent.against_print(table).axes
    assert line(ax, "d").get_ydata() == pytest.approx([0.1, 0])
    assert line(ax, "e").get_ydata() == pytest.approx([0, 0.5])


def test_orbits_mark_the_bound_and_other_rates():
    table = pd.DataFrame({"rate": [0.1, 0.1, 0.2], "x": [1.0, 2.0, 3.0]})
    (ax,) = descent.orbits(table, bound=0.0913, minimum=1.2, marked={"the sheet": 0.1}).axes
    assert ax.get_lines()[0].get_ydata().tolist() == [1, 2, 3]
    assert line(ax, "bound 0.0913").get_xdata() == pytest.approx([0.0913] * 2)
    assert line(ax, "the sheet").get_xdata() == pytest.approx([0.1] * 2)


def test_races_draw_ways_and_distances(tmp_path):
    table = pd.DataFrame({"optimiser": ["a", "a", "b", "b"], "step": [0, 1] * 2, "x": [1.0, 0.5, 1.0, 0.2], "y": 0.1,
                          "distance": [1.0, 0.5, 1.0, 0.2], "expected": [1.0, 0.4, np.nan, np.nan]})  # fmt: skip
    figure = descent.races(table, (1.0, 50.0))
    figure.savefig(tmp_path / "x.png")
    _, over_steps = figure.axes
    assert line(over_steps, "b").get_ydata().tolist() == [1, 0.2]
    assert over_steps.get_yscale() == "log"
