"""What the simulation prints, at its smallest size."""

import numpy as np
import pytest

from brainalign.simulations import published_beside_obtained


@pytest.fixture(scope="module")
def analysis(load_analysis):
    module = load_analysis("perceptron1958")
    module.MAX_INPUTS = 3  # the 65,536 functions of four inputs take 8 s
    return module


@pytest.fixture(scope="module")
def config(analysis):
    return analysis.Config(n_networks=2, n_problems=2, margins=[0.05, 0.2], adaline_sweeps=20, decays=[0.0, 0.5])


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


def test_it_is_drawn_from_its_tables(analysis, tables, config):
    drawings = analysis.draw(tables, config)
    assert len(drawings) == 7
    for drawing in drawings:
        drawing.figure.canvas.draw()
