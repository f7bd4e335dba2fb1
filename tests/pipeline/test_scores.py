import numpy as np
import pandas as pd
import pytest

from brainalign.encode.score import FoldScores
from brainalign.pipeline.scores import nested_scores, unique_contributions


def layer(inner, score):
    inner, score = np.asarray(inner, float), np.asarray(score, float)
    return FoldScores({"pearson": score, "r2": score**2}, np.full(score.shape, 10.0), inner, np.zeros((len(score), 2)))


def test_the_layer_is_chosen_by_inner_scores_only():
    one = layer([[0.5, 0.1], [0.1, 0.1]], [[0.1, 0.2], [0.3, 0.4]])
    two = layer([[0.4, 0.2], [0.2, 0.0]], [[0.9, 0.9], [0.9, 0.9]])
    chosen, nested = nested_scores([one, two])
    assert chosen.tolist() == [[0, 1], [1, 0]]
    assert nested.scores["pearson"].tolist() == [[0.1, 0.9], [0.9, 0.4]]
    assert nested.scores["r2"][0, 0] == pytest.approx(0.01)


def test_the_best_layer_of_noise_is_no_better_than_chance():
    rng = np.random.default_rng(0)
    layers = [layer(rng.standard_normal((5, 400)), rng.standard_normal((5, 400)) * 0.1) for _ in range(12)]
    nested = nested_scores(layers)[1].mean("pearson")
    best = np.max([one.mean("pearson") for one in layers], axis=0)
    assert abs(nested.mean()) < 2 * nested.std() / np.sqrt(len(nested))
    assert best.mean() > 0.05  # what picking on the test data would have reported


def test_what_is_unique_is_all_less_all_without_it():
    score = {"a": 0.3, "b": 0.2, "c": 0.1, "a+b+c": 0.5, "b+c": 0.25, "a+c": 0.4, "a+b": 0.52}
    rows = [
        {"subject": "s", "feature_space": name, "weights": "trained" if name == "b" else "", "target": target,
         "metric": metric, "score": value * scale}
        for name, value in score.items()
        for target, scale in (("X", 1.0), ("Y", 2.0))
        for metric in ("pearson", "r2")
    ]  # fmt: skip
    scores = pd.DataFrame(rows).sample(frac=1, random_state=0)
    trap = {"feature_space": "a+b", "weights": "trained", "subject": "s", "target": "X", "metric": "r2", "score": 9.0}
    scores = pd.concat([scores, pd.DataFrame([trap])])  # a joint model with controls is another one
    table = unique_contributions(scores, ("a", "b", "c"))
    assert len(table) == 3 * 2 * 2
    found = table.set_index(["feature_space", "target", "metric"])
    assert found.loc[("a", "X", "r2"), "unique"] == pytest.approx(0.25)
    assert found.loc[("b", "Y", "pearson"), "unique"] == pytest.approx(0.2)
    assert found.loc[("c", "X", "r2"), "unique"] == pytest.approx(-0.02)
    assert found.loc[("b", "X", "r2"), ["alone", "together"]].tolist() == pytest.approx([0.2, 0.5])
    assert len(unique_contributions(scores, ())) == 0


def test_two_spaces_need_no_further_model():
    rows = [("a", 0.3), ("b", 0.2), ("a+b", 0.4)]
    scores = pd.DataFrame(rows, columns=["feature_space", "score"]).assign(
        subject="s", weights="", target="X", metric="r2"
    )
    table = unique_contributions(scores, ("a", "b")).set_index("feature_space")
    assert table["unique"].to_dict() == pytest.approx({"a": 0.2, "b": 0.1})
