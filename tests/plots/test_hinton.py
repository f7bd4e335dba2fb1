import numpy as np
import pandas as pd
import pytest

from brainalign.plots.hinton import FULL, activity_layers, hinton, receptive_fields


def squares(ax):
    """Side and colour of every square, in the order of the cells."""
    (patches,) = ax.collections
    extents = [path.get_extents() for path in patches.get_paths()]
    return [extent.width for extent in extents], [tuple(colour[:3]) for colour in patches.get_facecolor()]


def test_area_is_magnitude_and_colour_is_sign():
    figure = hinton([[4.0, -1.0], [0.0, np.nan]])
    sides, colours = squares(figure.axes[0])
    assert sides == pytest.approx([FULL, FULL / 2, 0, 0])
    assert colours[:2] == [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)]


def test_a_scale_of_its_own_or_a_given_one():
    assert squares(hinton([[1.0]], largest=4.0).axes[0])[0] == pytest.approx([FULL / 2])
    assert squares(hinton([[9.0]], largest=4.0).axes[0])[0] == pytest.approx([FULL])
    assert squares(hinton([[0.0, 0.0]]).axes[0])[0] == [0, 0]


def test_fields_share_a_scale_and_name_their_places():
    table = pd.DataFrame({
        "panel": ["unit 1"] * 4 + ["unit 2"] * 4,
        "row": [0, 0, 1, 1] * 2,
        "column": [0, 1, 0, 1] * 2,
        "name": ["Colin", "Charlotte", "Alfonso", "Sophia"] * 2,
        "value": [4.0, 1, 1, 1, -1, -1, -1, -1],
    })  # fmt: skip
    figure = receptive_fields(table)
    first, second = figure.axes[:2]
    assert squares(first)[0][0] == pytest.approx(FULL)
    assert squares(second)[0] == pytest.approx([FULL / 2] * 4)
    assert [label.get_text() for label in first.get_xticklabels()] == ["Alfonso", "Sophia"]
    assert [label.get_text() for label in first.child_axes[0].get_xticklabels()] == ["Colin", "Charlotte"]
    assert "no weights" in receptive_fields(table[:0]).texts[0].get_text()


def test_layers_stand_above_each_other_with_dots_at_what_is_wanted():
    rows = [(0, "person", 0, 0, 1.0, "Colin", False), (0, "relation", 0, 0, 1.0, "aunt", False),
            (1, "answer", 0, 0, 0.9, "Jennifer", True), (1, "answer", 0, 1, 0.1, "Arthur", False)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["level", "layer", "row", "column", "value", "name", "wanted"])
    figure = activity_layers(table)
    titles = [ax.get_title() for ax in figure.axes]
    assert sorted(titles) == ["answer", "person", "relation"]
    answer = figure.axes[titles.index("answer")]
    assert answer.lines[0].get_xdata().tolist() == [0]
    assert {text.get_text() for text in answer.texts} == {"Jennifer", "Arthur"}
