"""The analysis of number units, with a network of few units in the place of AlexNet."""

import numpy as np
import pytest
import torch
from torch import nn

from brainalign.errors import BrainalignError
from brainalign.simulations import published_beside_obtained


class Few(nn.Module):
    """Units that see the area of a picture, its blobs, and noise that is the same for every seed."""

    def __init__(self, *, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.kernels = torch.randn(60, 1, 9, 9, generator=generator)

    def forward(self, x):
        shrunk = nn.functional.avg_pool2d(x.mean(dim=1, keepdim=True) + 115, 5) / 255
        return nn.functional.conv2d(shrunk, self.kernels, stride=9).relu().mean(dim=(2, 3))


@pytest.fixture(scope="module")
def analysis(load_analysis):
    module = load_analysis("nasr2019_numbers")
    module.AlexNet = Few
    return module


@pytest.fixture(scope="module")
def tables(analysis):
    return analysis.run(analysis.Config(n_images=5, n_read=4, n_networks=2))


def test_every_published_quantity_has_its_row_and_what_was_not_measured_is_nan(analysis, tables):
    beside = published_beside_obtained(analysis.PUBLISHED, tables["obtained"]).set_index("quantity")
    assert np.isnan(beside.loc[analysis.TRAINED, "obtained"])
    assert beside.loc["selective units at 5 pictures (%)", "n"] == 2
    assert set(tables["share"]["n_images"]) == {5}


def test_networks_are_those_of_their_seeds(analysis, tables):
    alone = analysis.of_network(analysis.Config(n_images=5, n_read=4), 1)
    for name in ("share", "preferred", "matching"):
        of_second = tables[name][tables[name]["network"] == 1].reset_index(drop=True)
        assert of_second.equals(alone[name].reset_index(drop=True))


def test_every_figure_is_drawn_from_the_tables(analysis, tables):
    drawings = analysis.draw(tables, analysis.Config(n_images=5, n_read=4, n_networks=2))
    assert [drawing.title for drawing in drawings][:2] == ["Share over pictures", "Pictures"]


def test_the_hull_of_kims_third_set_grows_and_that_of_nasrs_does_not(analysis):
    kim, nasr = (
        analysis.measures(analysis.draw_pictures(5, display=analysis.DISPLAYS[name])).query("set == 'hull'")
        for name in ("kim2021", "nasr2019")
    )
    growth = [t["hull_area"].iloc[-1] / t.loc[t["numerosity"] == 6, "hull_area"].item() for t in (kim, nasr)]
    assert growth[0] > 1.8
    assert growth[1] == pytest.approx(1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(analysis):
    with pytest.raises(BrainalignError, match="sees no GPU"):
        analysis.run(analysis.Config(n_images=5, n_read=4, device="cuda"))


def test_the_caption_says_what_the_widths_do(analysis, tables):
    drawings = analysis.draw(tables, analysis.Config(n_images=5, n_read=4, n_networks=2))
    captions = {drawing.title: drawing.caption for drawing in drawings}
    assert "equally wide" not in captions["Tuning curves"]
    assert "not the same" in captions["Width and fit"]


def test_without_selective_units_there_is_still_a_report(analysis, monkeypatch):
    monkeypatch.setattr(analysis, "number_selective", lambda tested: np.zeros(tested.p.shape[1], dtype=bool))
    config = analysis.Config(n_images=5, n_read=4)
    tables = analysis.run(config)
    published_beside_obtained(analysis.PUBLISHED, tables["obtained"])
    assert analysis.draw(tables, config)
