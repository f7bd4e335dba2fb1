"""Figures of number units show what the tables hold."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Ellipse, Polygon, Rectangle

from brainalign.plots import numbers
from brainalign.simulate.numerosity import DISC, ELLIPSE, SQUARE, TRIANGLE, Display, Pictures, render


def test_pictures_show_every_item_in_its_panel():
    rows = [
        ("standard", 1, 10.0, 20.0, 5.0, "disc", 0.0),
        ("standard", 2, 10.0, 20.0, 5.0, "square", 0.0),
        ("standard", 2, 40.0, 40.0, 5.0, "triangle", 1.0),
        ("hull", 1, 30.0, 30.0, 4.0, "ellipse", 0.0),
        ("hull", 2, 10.0, 10.0, 4.0, "disc", 0.0),
        ("hull", 2, 20.0, 20.0, 4.0, "disc", 0.0),
    ]
    table = pd.DataFrame(rows, columns=["set", "numerosity", "x", "y", "radius", "shape", "angle"])
    figure = numbers.pictures(table, size=50)
    kinds = [[type(p) for p in ax.patches] for ax in figure.axes]
    assert kinds == [[Ellipse], [Rectangle, Polygon], [Ellipse], [Ellipse, Ellipse]]
    assert [ax.get_title() for ax in figure.axes[:2]] == ["1", "2"]


@pytest.mark.parametrize("shape", [DISC, SQUARE, ELLIPSE, TRIANGLE])
def test_a_drawn_item_covers_what_the_network_sees(shape):
    display = Display(size=60)
    one = {name: np.array([[value]]) for name, value in {"x": 31.0, "y": 27.0, "radius": 15.0, "angle": 0.7}.items()}
    fields = dict.fromkeys(("numerosity", "stimulus_set", "total_area", "hull_area", "mean_distance"), np.array([1]))
    seen = render(Pictures(**fields, **one, shape=np.array([[shape]]), display=display))[0] > 0.5
    place = {name: value.item() for name, value in one.items()}
    table = pd.DataFrame([{"set": "hull", "numerosity": 1, "shape": numbers.SHAPES[shape]} | place])
    (patch,) = numbers.pictures(table, size=60).axes[0].patches
    path = patch.get_patch_transform().transform_path(patch.get_path())
    i, j = np.indices(seen.shape)
    shown = path.contains_points(np.column_stack([j.ravel() + 0.5, i.ravel() + 0.5])).reshape(seen.shape)
    assert (shown == seen).mean() > 0.99
    assert seen.sum() > 200


def test_shares_stand_over_pictures_with_the_published_lines():
    table = pd.DataFrame({"network": [0, 0, 1, 1], "n_images": [5, 50, 5, 50], "percent": [20.0, 9, 19, 8]})
    (ax,) = numbers.share_over_pictures(table, lines=[("paper", 9.6)], chance=0.98).axes
    assert [line.get_ydata().tolist() for line in ax.lines[:2]] == [[20, 9], [19, 8]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["paper: 9.6 %", "units of noise: 0.98 %"]


def test_tuning_has_a_line_per_preferred_number_on_both_axes():
    table = pd.DataFrame({"preferred": [1, 1, 2, 2], "numerosity": [1, 2, 1, 2], "response": [1, 0, np.nan, np.nan]})
    figure = numbers.tuning(table)
    assert [len(ax.lines) for ax in figure.axes] == [2, 2]
    assert [ax.get_xscale() for ax in figure.axes] == ["linear", "log"]
    nothing = numbers.tuning(table.assign(response=np.nan))
    assert "no units" in nothing.texts[0].get_text()


def test_the_other_figures_have_their_rows():
    measures = pd.DataFrame({"set": ["standard"] * 2 + ["area"] * 2, "numerosity": [1, 2] * 2, "total_area": 1.0,
                             "hull_area": 2.0, "mean_distance": [np.nan, 1] * 2})  # fmt: skip
    assert [len(ax.lines) for ax in numbers.picture_measures(measures).axes] == [2, 2, 2]
    bars = numbers.preferred_numbers(pd.DataFrame({"numerosity": [1, 2], "percent": [60.0, 40], "sd": [1.0, 1]}))
    assert [bar.get_height() for bar in bars.axes[0].patches] == [60, 40]
    fits = pd.DataFrame({"scale": ["linear"] * 2 + ["log"] * 2, "preferred": [1, 2] * 2, "width": [1, 2, 1, np.nan],
                         "r_squared": [0.9, 0.8, 0.95, np.nan], "line": 1.0})  # fmt: skip
    axes = numbers.widths(fits).axes
    assert [len(ax.lines[0].get_xdata()) for ax in axes[:2]] == [2, 1]
    units = pd.DataFrame({"unit": [7, 7, 9], "preferred": [1, 1, 2], "set": ["area", "area", "hull"],
                          "numerosity": [1, 2, 1], "response": [1.0, 0, 2]})  # fmt: skip
    assert [ax.get_title() for ax in numbers.example_units(units).axes] == ["unit 7, prefers 1", "unit 9, prefers 2"]
    matched = pd.DataFrame({"units": ["a"] * 3, "distance": [0, 0.5, 1], "correct": [0.6, 0.7, 0.9], "n": 5})
    first, same, _ = numbers.matching(matched).axes[0].lines
    assert [first.get_ydata().tolist(), same.get_ydata().tolist()] == [[0.7, 0.9], [0.6]]
