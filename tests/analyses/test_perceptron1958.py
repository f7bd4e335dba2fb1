"""What the simulation prints, at its smallest size."""

import numpy as np
import pytest

from brainalign.config import parse_settings
from brainalign.errors import BadConfig
from brainalign.simulations import published_beside_obtained


@pytest.fixture(scope="module")
def analysis(load_analysis):
    module = load_analysis("perceptron1958")
    module.MAX_INPUTS = 3  # the 65,536 functions of four inputs take 8 s
    return module


@pytest.fixture(scope="module")
def config(analysis):
    return analysis.Config(n_networks=2, n_problems=2, margins=(0.05, 0.2), adaline_sweeps=20, decays=(0.0, 0.5))


@pytest.fixture(scope="module")
def tables(analysis, config):
    return analysis.run(config)


def test_what_is_printed_is_obtained(analysis, tables):
    published = tuple(of for of in analysis.PUBLISHED if "4 inputs" not in of.quantity)
    beside = published_beside_obtained(published, tables["obtained"])
    printed = beside[beside["published"] != ""]
    assert len(printed) == len(published) == 10
    assert printed["obtained"].tolist() == pytest.approx(printed["published"].tolist(), abs=0.25)
    exact = printed[~printed["quantity"].str.contains("longest")]
    assert exact["obtained"].tolist() == pytest.approx(exact["published"].tolist(), abs=1e-12)
    said = beside.set_index("quantity")["obtained"]
    assert said["AND: updates"] <= said["AND: Novikoff's bound"] == pytest.approx(51)
    assert said["Adaline, batch: distance to least squares at 1.01 of the step bound"] > 1


def test_problems_have_the_margin_that_was_planted(analysis):
    for margin in (0.02, 0.2):
        X, y = analysis.separable(np.random.default_rng(0), margin=margin, n_points=40)
        assert len(X) == 40
        assert margin <= analysis.best_margin(X, y).gamma < margin + 0.2


def test_decay_ends_nearer_to_least_squares(tables):
    last = tables["adaline"].query("sweep == 20").set_index("decay")["value"]
    assert last[0.5] < last[0.0] / 3


def test_lists_can_be_set_and_hold_sensible_numbers(analysis):
    config = parse_settings(analysis.Config, ("decays=[0.5, 0]", "margins=[0.1]"), source="perceptron1958")
    assert (config.decays, config.margins) == ((0.5, 0.0), (0.1,))
    for wrong in ("margins=[0.0]", "margins=[inf]", "decays=[-0.1]", "decays=[nan]", "decays=[]"):
        with pytest.raises(BadConfig, match=wrong.partition("=")[0]):
            parse_settings(analysis.Config, (wrong,), source="perceptron1958")


def test_the_key_of_the_logic_figure_says_which_colour_is_true(analysis, tables):
    figure = analysis.draw_logic(tables["logic"], tables["best_lines"])
    (key,) = figure.legends
    colours = {text.get_text(): handle.get_facecolor()[0, :3].tolist()
               for text, handle in zip(key.texts, key.legend_handles, strict=True)}  # fmt: skip
    assert set(colours) == {"false", "true"}
    dots = figure.axes[0].collections[-1]  # AND is true of one of the four
    assert dots.get_offsets().tolist() == [[1, 1]]
    assert dots.get_facecolor()[0, :3].tolist() == colours["true"]


def test_it_is_drawn_from_its_tables(analysis, tables, config):
    drawings = analysis.draw(tables, config)
    assert len(drawings) == 7
    for drawing in drawings:
        drawing.figure.canvas.draw()
