"""Pictures of dots: what is held constant is constant, nothing overlaps, all lies in the frame."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from brainalign.errors import BrainalignError
from brainalign.simulate.numerosity import (
    DISC,
    ELLIPSE,
    KIM_2021,
    NASR_2019,
    NUMEROSITIES,
    SETS,
    SQUARE,
    TRIANGLE,
    as_inputs,
    draw_pictures,
    render,
)

DISPLAYS = {"kim": KIM_2021, "nasr": NASR_2019}


@pytest.fixture(scope="module", params=DISPLAYS)
def shown(request):
    pictures = draw_pictures(6, display=DISPLAYS[request.param], seed=3)
    return pictures, render(pictures)


def of_set(pictures, name):
    return pictures.stimulus_set == SETS.index(name)


def covered(pictures, drawn):
    """Area of a picture as drawn (px^2)."""
    background = pictures.display.background
    return ((drawn - background) / (1 - background)).sum(axis=(1, 2))


def test_every_condition_has_its_pictures_and_every_picture_its_number(shown):
    pictures, drawn = shown
    assert NUMEROSITIES == (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
    assert drawn.shape == (6 * 16 * 3, pictures.display.size, pictures.display.size)
    assert pictures.numerosity.reshape(6, 16, 3)[2, :, 1].tolist() == list(NUMEROSITIES)
    assert pictures.stimulus_set.reshape(6, 16, 3)[4, 7].tolist() == [0, 1, 2]
    assert np.array_equal((~np.isnan(pictures.x)).sum(axis=1), pictures.numerosity)


def test_items_are_counted_in_the_drawn_picture(shown):
    from scipy.ndimage import label

    pictures, drawn = shown
    background = pictures.display.background
    thick = drawn > background + 0.4 * (1 - background)
    counts = np.array([label(image, structure=np.ones((3, 3)))[1] for image in thick])
    assert np.array_equal(counts, pictures.numerosity)


def test_nothing_overlaps_and_all_lies_in_the_frame(shown):
    pictures, drawn = shown
    display = pictures.display
    assert drawn.max() <= 1 + 1e-6
    reach = pictures.radius * np.select(
        [pictures.shape == SQUARE, pictures.shape >= DISC], [display.square * 2**0.5, 1.0]
    )
    for x, y, r in zip(pictures.x, pictures.y, reach, strict=True):
        here = ~np.isnan(x)
        x, y, r = x[here], y[here], r[here]
        assert (np.minimum(x, y) - r >= display.border - 1e-9).all()
        assert (np.maximum(x, y) + r <= display.size - display.border + 1e-9).all()
        if len(x) > 1:
            i, j = np.triu_indices(len(x), 1)
            assert (pdist(np.column_stack([x, y])) > r[i] + r[j] + display.gap).all()
    edges = [drawn[:, [0, -1]], drawn[:, :, [0, -1]]]
    assert display.border == 0 or all((edge == np.float32(display.background)).all() for edge in edges)


def test_the_area_set_has_one_area_and_one_density(shown):
    pictures, drawn = shown
    here = of_set(pictures, "area")
    np.testing.assert_allclose(pictures.total_area[here], 1_200)
    np.testing.assert_allclose(covered(pictures, drawn)[here], 1_200, rtol=0.02)
    several = here & (pictures.numerosity > 1)
    assert (pictures.mean_distance[several] >= 90).all()
    assert (pictures.mean_distance[several] <= 100).all()
    assert np.isnan(pictures.mean_distance[pictures.numerosity == 1]).all()


def test_the_hull_set_has_one_hull_where_five_items_are_its_corners(shown):
    pictures, _ = shown
    hulls = pictures.hull_area[of_set(pictures, "hull") & (pictures.numerosity > 4)]
    radius = pictures.display.hull_radius
    pentagon = 2.5 * radius**2 * np.sin(2 * np.pi / 5)
    if pictures.display.corners:
        np.testing.assert_allclose(hulls, pentagon)
    else:  # as in the code of Kim et al.: items anywhere in the pentagon, a hull that grows with their number
        means = hulls.reshape(6, -1).mean(axis=0)
        assert (hulls < pentagon).all()
        assert means[-1] > 1.8 * means[0]
    assert set(pictures.shape[of_set(pictures, "hull")].ravel()) == {DISC, SQUARE, ELLIPSE, TRIANGLE}
    assert (pictures.shape[~of_set(pictures, "hull")] == DISC).all()


def test_the_standard_set_has_one_radius_so_that_area_and_hull_grow(shown):
    pictures, _ = shown
    here = of_set(pictures, "standard")
    radii = pictures.radius[here]
    assert np.nanmean(radii) == pytest.approx(7, abs=0.1)
    assert np.nanstd(radii) == pytest.approx(0.7, abs=0.06)
    area = pictures.total_area[here].reshape(6, 16).mean(axis=0)
    np.testing.assert_allclose(area / NUMEROSITIES, np.pi * 49 * 1.01, rtol=0.15)
    hull = pictures.hull_area[here].reshape(6, 16).mean(axis=0)
    assert hull[-1] > 3 * hull[2]


def test_what_is_told_of_a_picture_is_so(shown):
    pictures, drawn = shown
    np.testing.assert_allclose(covered(pictures, drawn), pictures.total_area, rtol=0.05, atol=2)
    for i in range(0, len(drawn), 31):
        centres = np.column_stack([pictures.x[i], pictures.y[i]])[: pictures.numerosity[i]]
        if len(centres) > 2:
            assert pictures.hull_area[i] == pytest.approx(ConvexHull(centres).volume)
        if len(centres) > 1:
            assert pictures.mean_distance[i] == pytest.approx(pdist(centres).mean())


def test_some_of_the_pictures(shown):
    pictures, drawn = shown
    some = pictures.take(slice(48, 96))
    assert np.array_equal(render(some), drawn[48:96])
    assert some.display == pictures.display
    assert some.numerosity.tolist() == pictures.numerosity[48:96].tolist()


def test_the_seed_decides(shown):
    first, again, other = (draw_pictures(2, numerosities=(1, 5), seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.x, again.x)
    assert not np.array_equal(first.x, other.x)


def test_inputs_are_centred_as_those_of_alexnet_were():
    inputs = as_inputs(np.array([[[0.0, 1.0]]], dtype=np.float32))
    assert inputs.shape == (1, 3, 1, 2)
    np.testing.assert_allclose(inputs[0, :, 0, 0], [-123.68, -116.779, -103.939], rtol=1e-6)
    np.testing.assert_allclose(inputs[0, :, 0, 1] - inputs[0, :, 0, 0], 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: draw_pictures(0), "n_images"),
        (lambda: draw_pictures(2, numerosities=()), "numerosities"),
        (lambda: draw_pictures(2, numerosities=(0, 1)), "numerosities"),
        (lambda: draw_pictures(2, numerosities=(2.5,)), "whole numbers"),
        (lambda: draw_pictures(1, numerosities=(30,), display=NASR_2019._replace(radius=18)), "30 items of radius 18"),
        (lambda: draw_pictures(1, numerosities=(2,), display=KIM_2021._replace(radius=130)), "radius 130"),
        (lambda: draw_pictures(1, numerosities=(2,), display=KIM_2021._replace(distance=(300, 310))), "300"),
    ],
)
def test_what_finds_no_room_is_refused(call, said, monkeypatch):
    monkeypatch.setattr("brainalign.simulate.numerosity.N_ROUNDS", 5)
    with pytest.raises(BrainalignError, match=said):
        call()


def test_the_sizes_of_the_labs_later_code_show_up_to_four():
    pictures = draw_pictures(3, numerosities=(1, 2, 3, 4), display=NASR_2019._replace(radius=18))
    assert render(pictures).shape == (36, 224, 224)
