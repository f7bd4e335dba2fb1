import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainalign.errors import MissingData
from brainalign.plots import brains

N = 10242


def cortex():
    sides = [pd.DataFrame({"hemisphere": side, "vertex": np.arange(N)}) for side in ("left", "right")]
    table = pd.concat(sides, ignore_index=True)
    return table.assign(score=np.where(table["hemisphere"] == "left", table["vertex"] / N, np.nan))


def test_four_views_of_the_cortex_in_one_scale():
    figure = brains.surface(cortex(), label="r", limit=0.7)
    assert [ax.get_title() for ax in figure.axes[:4]] == [
        "left, lateral", "left, medial", "right, lateral", "right, medial",
    ]  # fmt: skip
    assert figure.axes[-1].get_ylim() == (-0.7, 0.7)
    colours = [np.asarray(ax.collections[0].get_facecolor()) for ax in figure.axes[:4]]
    saturated = [float((np.ptp(of_view[:, :3], axis=1) > 0.2).mean()) for of_view in colours]
    assert min(saturated[:2]) > 0.3  # the left hemisphere has scores
    assert max(saturated[2:]) < 0.01  # the right one has none


def test_vertices_that_were_left_out_leave_the_others_in_place():
    some = cortex().query("hemisphere == 'left' and vertex >= 5000")
    image, _ = brains._surface_image(some)
    assert np.isnan(image.data.parts["left"][:5000]).all()
    np.testing.assert_allclose(image.data.parts["left"][5000:], np.arange(5000, N) / N, rtol=1e-6)
    assert np.isnan(image.data.parts["right"]).all()


def test_the_page_that_can_be_turned_needs_no_network():
    page = brains.interactive_surface(cortex(), title="<gpt2>")
    assert len(page) > 1e6
    assert 'src="http' not in page


def test_an_unknown_surface_is_named():
    with pytest.raises(MissingData, match="vertices up to 40961 are of none"):
        brains.surface(pd.DataFrame({"hemisphere": "left", "vertex": [40961], "score": [1.0]}))


def test_a_voxel_is_drawn_on_its_side():
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = [-80, -115, -70]
    voxel = pd.DataFrame({"i": [3, 16, 10], "j": 12, "k": 9, "score": [0.5, 0.3, -0.4]})  # left at -56 mm, right at 48
    figure = brains.glass_brain(voxel, shape=(20, 24, 20), affine=affine, limit=0.8)
    drawn = io.BytesIO()
    figure.savefig(drawn)
    picture = np.asarray(Image.open(drawn).convert("RGB")).astype(int)
    red = (picture[..., 0] - picture[..., 2]) > 80
    columns = np.flatnonzero(red.any(axis=0))
    width = picture.shape[1]
    assert columns.min() < 0.3 * width  # seen from the left
    assert not red[:, int(0.52 * width) : int(0.72 * width)].any()  # not from the right


def test_the_level_of_noise_is_told_by_negative_scores():
    scores = np.r_[np.linspace(-0.2, 0.2, 1001), 0.9]
    assert brains.noise_level(scores) == pytest.approx(0.2, abs=1e-3)
    assert brains.noise_level([0.1, 0.2]) == 0.0
    assert brains.noise_level([np.nan]) == 0.0


def test_the_scale_is_robust_and_never_empty():
    assert brains.colour_limit(np.r_[np.full(999, 0.1), 50.0]) == pytest.approx(0.1)
    assert brains.colour_limit([np.nan]) == 1.0
    assert brains.colour_limit([0.0, 0.0]) > 0
