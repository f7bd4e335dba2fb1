"""Squares of times: what is drawn where."""

import numpy as np
import pandas as pd

from brainalign.plots import generalisation


def table(kinds=("mag", "grad"), scores=None):
    times = np.arange(-2, 4) * 0.1
    trained, tested = np.meshgrid(times, times, indexing="ij")
    square = 0.1 * trained.ravel() + tested.ravel() if scores is None else scores
    rows = {"trained": trained.ravel(), "tested": tested.ravel(), "score": square}
    return pd.concat([pd.DataFrame({"kind": kind, **rows}) for kind in kinds], ignore_index=True)


def test_rows_are_times_of_fitting_and_the_scale_is_about_the_centre():
    figure = generalisation.matrices(table().sample(frac=1, random_state=0), by="kind", label="r", centre=0.1)
    axes = [ax for ax in figure.axes if ax.images]
    assert sorted(ax.get_title() for ax in axes) == ["grad", "mag"]
    image = axes[0].images[0]
    values, times = image.get_array(), np.arange(-2, 4) * 0.1
    assert values[0, 5] == 0.1 * times[0] + times[5]  # fitted first, tested last
    assert np.allclose(image.get_extent(), (-0.25, 0.35, -0.25, 0.35))  # pixels are centred on their times
    assert np.isclose(sum(image.get_clim()) / 2, 0.1)
    assert image.origin == "lower"


def test_many_panels_are_cut_and_nothing_is_told():
    figure = generalisation.matrices(table(kinds=[f"r{i}" for i in range(9)]), by="kind", label="r")
    assert figure.get_suptitle() == "the first 6 of 9"
    assert sum(bool(ax.images) for ax in figure.axes) == 6
    nothing = generalisation.matrices(table(scores=np.nan), by="kind", label="r")
    assert "no finite scores" in nothing.texts[0].get_text()
    figure.canvas.draw()
