"""The figures of decision boundaries, on few points and sweeps."""

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier

from brainalign.simulations import published_beside_obtained


@pytest.fixture(scope="module")
def analysis(load_analysis):
    module = load_analysis("decision_boundaries")
    module.KINDS = {
        name: module.KINDS[name] for name in ("no hidden units", "relu 10", "relu 1000", "relu 100, 50, 20, 5")
    }
    return module


@pytest.fixture(scope="module")
def config(analysis):
    return analysis.Config(n_networks=4, n_per_class=40, n_sweeps=80, patience=30)


@pytest.fixture(scope="module")
def tables(analysis, config):
    return analysis.run(config)


def test_untrained_networks_are_at_chance_and_hidden_units_part_what_lines_do_not(analysis, tables):
    beside = published_beside_obtained(analysis.PUBLISHED, tables["obtained"]).set_index("quantity")
    assert beside.loc["accuracy, untrained", "published"] == 0.333
    assert beside.loc["accuracy, untrained", "obtained"] == pytest.approx(0.333, abs=0.1)
    accuracy = beside["obtained"]
    assert accuracy["accuracy, no hidden units"] < 0.6
    assert accuracy["accuracy, relu 1000"] > 0.85
    assert accuracy["accuracy, relu 1000, not stopped early"] > 0.85
    assert accuracy["accuracy, relu 1000, scikit-learn"] > 0.85
    assert "accuracy, no hidden units, scikit-learn" not in accuracy
    assert beside.loc["accuracy, relu 10", "n"] == 4
    assert beside.loc["accuracy, relu 1000", "n"] == beside.loc["accuracy, relu 1000, scikit-learn", "n"] == 1


def test_accuracies_are_of_points_that_were_not_learnt(analysis, tables, config):
    points = tables["points"]
    assert points["of"].value_counts().to_dict() == {"train": 120, "validation": 60, "test": 240}
    assert not points[["x", "y"]].duplicated().any()
    row = tables["networks"].query("kind == 'relu 1000'").iloc[0]
    predict = analysis._predictor(tables["weights"].query("kind == 'relu 1000'"), analysis.KINDS["relu 1000"])
    for name in ("train", "validation", "test"):
        asked = points[points["of"] == name]
        right = predict(np.array(asked[["x", "y"]], dtype=np.float32)) == asked["label"]
        assert row[name] == pytest.approx(right.mean())
    curve = tables["sweeps"].query("panel == 'relu 1000' and line == 'validation points'")["value"].to_numpy()
    assert row["best_sweep"] == curve.argmin()
    assert row["n_sweeps"] == len(curve) <= config.n_sweeps


def test_weights_that_overflow_have_no_accuracy(analysis):
    config = analysis.Config(n_networks=1, n_per_class=10, n_sweeps=20, lr=1000.0)
    tables = analysis.run(config)
    others = tables["others"].set_index(["how", "kind"])["test"]
    assert np.isnan(others["scikit-learn", "relu 100, 50, 20, 5"])
    assert len(analysis.draw(tables, config)) == 2
    network = analysis._build(analysis.Config(n_networks=2), "relu 10")
    with torch.no_grad():
        network.W1[1] = torch.inf
    shares = analysis._accuracy(network, *analysis.spirals(10))
    assert np.isnan(shares).tolist() == [False, True]


def test_only_an_overflow_of_scikit_learn_is_forgiven(analysis):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        analysis._fitted_score(MLPClassifier((2,)), (np.zeros((4, 2)), np.arange(3)), None)


def test_it_is_drawn_from_its_tables(analysis, tables, config):
    drawings = analysis.draw(tables, config)
    assert len(drawings) == 2
    titles = [ax.get_title() for ax in drawings[0].figure.axes]
    assert [title.rpartition(":")[0] for title in titles] == list(analysis.KINDS)
