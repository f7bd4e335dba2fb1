"""The analysis of the worked example: what is printed, what is obtained, and which of it cannot be had."""

import re

import pandas as pd
import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulations import published_beside_obtained


@pytest.fixture(scope="module")
def analysis(load_analysis):
    return load_analysis("gradient_descent")


@pytest.fixture(scope="module")
def config(analysis):
    return analysis.Config(n_networks=60, n_steps=2000, n_rates=60)


@pytest.fixture(scope="module")
def tables(analysis, config):
    return analysis.run(config)


def test_published_and_obtained(analysis, tables):
    beside = published_beside_obtained(analysis.PUBLISHED, tables["obtained"]).set_index("quantity")
    named = beside[beside["published"] != ""]
    misprint = "coefficient of x^3 that puts a minimum at x = 1.202557"
    ball = "shrinking per step, heavy ball, condition number 50"
    others = named.drop([misprint, ball])
    assert others["obtained"].astype(float).tolist() == pytest.approx(others["published"].tolist(), abs=0.02)
    assert named.loc[misprint, "published"] == 0.6
    assert named.loc[misprint, "obtained"] == pytest.approx(9 / 5, abs=1e-5)
    assert named.loc[ball, "obtained"] == pytest.approx(named.loc[ball, "published"], abs=0.012)
    assert beside.loc["period of the orbit with rate .1", "obtained"] == 2
    assert beside.loc["largest difference of the slope by hand and by autograd", "obtained"] < 1e-12


def test_no_description_gives_every_printed_iterate(tables):
    agree = tables["iterates"].groupby("description")["agrees"].sum()
    assert agree[".1, then .02 x .94^k"] == 7
    assert agree[".1, then .02"] == 2
    assert agree.max() == 7


def test_the_orbit_is_reported_as_a_learning_rate_that_is_too_large(analysis, tables, config):
    ends = tables["verdicts"].set_index("rate")
    assert ends.loc[0.1, "verdict"] == "learning rate too large"
    assert ends.loc[0.1, "places"] == "0.36126; 1.73581"
    assert ends.loc[0.02, "verdict"] == "converged"
    shown = next(drawing.figure for drawing in analysis.draw(tables, config) if isinstance(drawing.figure, str))
    assert "learning rate too large" in shown


def test_cells_of_the_table_of_verdicts_do_not_run_together(analysis):
    verdicts = pd.DataFrame({"rate": [0.1, 0.15], "verdict": "learning rate too large", "period": [2, 0],
                             "places": ["0.36126; 1.73581", None]})  # fmt: skip
    shown = analysis.verdict_table(verdicts)
    assert 'class="dataframe table table-sm"' in shown  # the page gives such tables their spaces
    cells = re.findall(r"<td>(.*?)</td>", shown)
    assert cells[1:4] == ["learning rate too large", "2", "0.36126; 1.73581"]
    assert cells[5:] == ["learning rate too large", "", ""]


def test_devices_are_taken_as_everywhere(analysis):
    assert analysis.Config(device="auto").device == "auto"
    if not torch.cuda.is_available():
        assert analysis.places(1.0, device="auto").device.type == "cpu"
        with pytest.raises(BrainalignError, match="sees no GPU here"):
            analysis.basins(analysis.Config(device="cuda"))


def test_walks_end_on_their_side_of_the_maximum(tables):
    ends = tables["basins"]
    assert (ends[ends["start"] < -3.1034]["end"] == "global minimum").all()
    assert (ends[ends["start"] > -3.1034]["end"] == "local minimum").all()
