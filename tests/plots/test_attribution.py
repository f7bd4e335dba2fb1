"""Figures of convolution and attribution show what the tables hold."""

import numpy as np
import pandas as pd

from brainalign.plots import attribution


def grid(values, **labels):
    values = np.asarray(values, dtype=float)
    row, column = np.indices(values.shape)
    return pd.DataFrame({"row": row.ravel(), "column": column.ravel(), "value": values.ravel()}).assign(**labels)


def shown(ax):
    return np.asarray(ax.images[0].get_array())


def test_arrays_show_their_numbers_in_place():
    table = pd.concat([grid([[1, 2], [3, 4.5]], array="a"), grid([[0]], array="b")])
    first, second = attribution.arrays(table).axes
    assert [text.get_text() for text in first.texts] == ["1", "2", "3", "4.5"]
    assert [first.get_title(), second.get_title()] == ["a", "b"]
    assert shown(first).tolist() == [[1, 2], [3, 4.5]]


def test_kernels_share_their_colours():
    table = pd.concat([grid([[1, -2]], map=1), grid([[0.5, 0]], map=2)])
    axes = attribution.kernels(table).axes
    assert {ax.images[0].get_clim() for ax in axes} == {(-2, 2)}


def test_maps_have_a_row_per_image_and_signed_ones_are_centred():
    parts = [("image", [[0, 1]]), ("Grad-CAM, first", [[0, 3]]), ("gradient", [[-1, 2]])]
    table = pd.concat([grid(v, image=i, method=m) for i in ("a", "b") for m, v in parts])
    axes = attribution.maps(table).axes
    assert len(axes) == 6
    assert [ax.images[0].get_clim() for ax in axes[:3]] == [(0, 1), (0, 3), (-2, 2)]
    assert [ax.get_ylabel() for ax in axes] == ["a", "", "", "b", "", ""]
    empty = grid([[0, 0]], image="a", method="image")
    assert shown(attribution.maps(empty).axes[0]).tolist() == [[0, 0]]


def test_the_cascade_is_a_line_per_method():
    table = pd.DataFrame({"method": ["m", "m", "n", "n"], "part": ["(intact)", "conv1"] * 2,
                          "correlation": [1, 0.1, 1, 0.9], "sd": [0, 0.1, 0, 0]})  # fmt: skip
    (ax,) = attribution.cascade(table, limit=0.3).axes
    assert [c.lines[0].get_ydata().tolist() for c in ax.containers] == [[1, 0.1], [1, 0.9]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["(intact)", "conv1"]


def test_learning_is_a_line_per_network():
    table = pd.DataFrame({"network": [0, 0, 1, 1], "update": [0, 10] * 2, "loss": [2, 1, 2.1, 0.9]})
    accuracies = pd.DataFrame({"network": [0, 1], "accuracy": [0.9, 0.8]})
    left, right = attribution.learning(table, accuracies=accuracies).axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[2, 1], [2.1, 0.9]]
    assert [bar.get_height() for bar in right.patches] == [0.9, 0.8]
