import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, PathPatch, Polygon

from brainalign.plots._style import NEUTRAL, TRAINED, UNTRAINED
from brainalign.plots.rasters import net_drawings, rasters

FIRES = {("one", "in", 0), ("two", "in", 0), ("two", "out", 1), ("two", "out", 3)}
ACTIVITY = pd.DataFrame(
    [(stimulus, unit, step, int((stimulus, unit, step) in FIRES))
     for stimulus in ("one", "two") for unit in ("in", "out") for step in range(4)],
    columns=["stimulus", "unit", "step", "active"],
)  # fmt: skip
SYNAPSES = pd.DataFrame(
    [("x", "N1", "Na", "excites", 2), ("x", "Na", "N3", "excites", 2), ("x", "N2", "Na", "inhibits", 1),
     ("x", "N1", "N3", "excites", 1), ("x", "N2", "N3", "raises", 1), ("x", "Na", "Na", "excites", 3),
     ("y", "N1", "N2", "excites", 2)],
    columns=["net", "source", "target", "kind", "feet"],
)  # fmt: skip


def test_marks_stand_at_the_steps_at_which_units_fire():
    figure = rasters(ACTIVITY, inputs=("in",))
    assert [ax.get_title() for ax in figure.axes] == ["one", "two"]
    for ax, expected in zip(figure.axes, ([[0], []], [[0], [1, 3]]), strict=True):
        assert [marks.get_positions() for marks in ax.collections] == expected
        assert [text.get_text() for text in ax.get_yticklabels()] == ["in", "out"]
    told, fires = figure.axes[1].collections
    assert to_rgb(told.get_color()) == to_rgb(NEUTRAL)
    assert to_rgb(fires.get_color()) == to_rgb(TRAINED)
    figure.canvas.draw()
    assert "no activity" in rasters(ACTIVITY[:0]).texts[0].get_text()


def test_a_unit_that_is_not_in_a_stimulus_has_no_row_there():
    figure = rasters(ACTIVITY[(ACTIVITY["stimulus"] == "two") | (ACTIVITY["unit"] == "in")])
    assert [len(ax.get_yticks()) for ax in figure.axes] == [1, 2]


def test_cells_axons_and_end_feet_are_those_of_the_net():
    figure = net_drawings(SYNAPSES, {"x": "N3(t) = ...", "y": "N2(t) = N1(t-1)"})
    ax = figure.axes[0]
    figure.canvas.draw()
    kinds = [type(patch) for patch in ax.patches]
    assert kinds.count(Polygon) == 4
    assert kinds.count(PathPatch) == 6
    assert kinds.count(Circle) == 2 + 2 + 1 + 3 + 2  # end-feet that excite, two rings
    dashed = [patch for patch in ax.patches if isinstance(patch, PathPatch) and patch.get_linestyle() == "--"]
    assert len(dashed) == 1
    assert dashed[0].get_edgecolor()[:3] == pytest.approx(to_rgb(UNTRAINED))
    assert ax.get_title(loc="left") == "(x)\nN3(t) = ..."
    assert [text.get_text() for text in figure.axes[1].texts] == ["N1", "N2"]


def test_cells_stand_after_those_that_excite_them_and_do_not_overlap():
    ax = net_drawings(SYNAPSES, {"x": ""}).axes[0]
    places = {text.get_text(): np.array(text.xyann) for text in ax.texts}
    assert places["N1"][0] == places["N2"][0] < places["Na"][0] < places["N3"][0]
    corners = list(places.values())
    assert min(np.linalg.norm(a - b) for i, a in enumerate(corners) for b in corners[:i]) >= 0.99
