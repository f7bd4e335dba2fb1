import numpy as np
import pandas as pd
import pytest

from brainalign.plots.hinton import FULL, activity_layers, hinton, receptive_fields
from brainalign.simulate.family_trees import PEOPLE, RELATIONS


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


def test_no_name_stands_on_a_square_or_on_another_name():
    layers = [(0, "person", PEOPLE, 12), (0, "relation", RELATIONS, 6), (1, "answer", PEOPLE, 12)]
    rows = [
        (level, layer, i // width, i % width, 1.0, name, False)
        for level, layer, names, width in layers
        for i, name in enumerate(names)
    ]
    figure = activity_layers(pd.DataFrame(rows, columns=["level", "layer", "row", "column", "value", "name", "wanted"]))
    figure.canvas.draw()
    for ax in figure.axes:
        (patches,) = ax.collections
        squares = [path.get_extents(ax.transData) for path in patches.get_paths()]
        squares = [square for square in squares if square.width > 0]
        written = [text.get_window_extent() for text in ax.texts]
        assert len(squares) == len(written) >= 12
        assert all(text.get_fontsize() >= 8 for text in ax.texts)
        assert not any(name.overlaps(square) for name in written for square in squares)
        assert not any(a.overlaps(b) for i, a in enumerate(written) for b in written[:i])
