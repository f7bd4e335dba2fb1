import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from brainalign.plots.boundaries import decision_regions, linear_boundaries
from brainalign.plots.contributions import PALETTE

POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])


def thirds(points):
    return np.array(["a", "b", "c"])[np.digitize(points[:, 1], [0.5, 1.5])]


def test_regions_are_the_answers_of_the_classifier():
    figure = decision_regions(thirds, POINTS, ["a", "b", "c", "a"], title="three", resolution=50)
    (ax,) = figure.axes
    answers = ax.collections[0].get_array().reshape(50, 50)
    up = np.linspace(*ax.get_ylim(), 50)
    assert answers.T.tolist() == [np.digitize(up, [0.5, 1.5]).tolist()] * 50
    assert ax.get_xlim()[0] < 0 < 1 < ax.get_xlim()[1]
    assert ax.get_title() == "three"


def test_points_have_the_colour_of_their_class():
    labels = np.array([7, 3, 3, 5])
    (ax,) = decision_regions(lambda grid: np.full(len(grid), 3), POINTS, labels).axes
    shown = {of.get_label(): of for of in ax.collections[1:]}
    assert list(shown) == ["3", "5", "7"]
    for k, name in enumerate(shown):
        assert shown[name].get_facecolor()[0].tolist() == list(to_rgba(PALETTE[k]))
        assert shown[name].get_offsets().tolist() == POINTS[labels == int(name)].tolist()


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [-1, 1, 1, -1]])
def test_one_class_and_two(labels):
    decision_regions(lambda grid: np.full(len(grid), 1), POINTS, labels).canvas.draw()


def test_several_networks_share_a_figure():
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert all(decision_regions(thirds, POINTS, list("abca"), ax=ax) is figure for ax in axes)


def test_lines_lie_where_the_output_is_zero_and_margins_beside():
    weights = np.array([[3.0, 4.0, -5.0], [1.0, 0.0, -0.5], [0.0, 0.0, 1.0]])  # the last is no line
    (ax,) = linear_boundaries(weights, POINTS, [-1, -1, 1, 1], margin=0.2).axes
    outputs = [[weights[i] @ (*point, 1) for point in (line.get_xy1(), line.get_xy2())]
               for line, i in zip(ax.lines, (1, 0, 0, 0), strict=True)]  # fmt: skip
    assert np.array(outputs) == pytest.approx(np.array([[0, 0], [0, 0], [-1, -1], [1, 1]]))  # 0.2 * |w| = 1
    assert len(linear_boundaries(weights[:1], POINTS, [-1, -1, 1, 1]).axes[0].lines) == 1
