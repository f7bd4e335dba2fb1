"""Trees: what is joined where, and in which colour."""

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import linkage

from brainalign.errors import Misaligned
from brainalign.plots import dendrograms

POINTS = np.array([[0.0], [5.0], [0.4], [5.5], [20.0]])
LEAVES = pd.DataFrame(
    {"name": ["see", "cat", "eat", "dog", "rock"], "group": ["verb", "noun", "verb", "noun", "thing"]}
)


def merges(points=POINTS):
    return pd.DataFrame(linkage(points, "average"), columns=["first", "second", "distance", "size"])


def test_leaves_stand_beside_what_they_are_joined_with_and_earlier_ones_above():
    figure = dendrograms.dendrogram(merges(), LEAVES)
    figure.canvas.draw()
    (ax,) = figure.axes
    places = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert sorted(places, key=places.get) == ["see", "eat", "cat", "dog", "rock"]
    assert ax.get_xlim()[0] > ax.get_xlim()[1] == 0  # the root on the left


def test_branches_reach_to_their_distance_and_have_the_colour_of_a_pure_group():
    figure = dendrograms.dendrogram(merges(), LEAVES)
    (ax,) = figure.axes
    upright = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]]
    reached = sorted(line.get_xdata()[0] for line in upright)
    assert reached == pytest.approx(sorted(merges()["distance"]))
    colours = {round(float(line.get_xdata()[0]), 3): line.get_color() for line in upright}
    texts = {text.get_text(): text.get_color() for text in ax.texts}
    assert colours[0.4] == texts["see"] == texts["eat"]
    assert colours[0.5] == texts["cat"] == texts["dog"]
    assert colours[max(colours)] == dendrograms.NEUTRAL


def test_leaves_and_merges_must_fit():
    with pytest.raises(Misaligned, match="4 leaves need 3 merges, got 4"):
        dendrograms.dendrogram(merges(), LEAVES[:4])
