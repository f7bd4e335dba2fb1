import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Responses
from brainalign.encode.score import FoldScores
from brainalign.pipeline.scores import nested_scores, noise_ceilings, unique_contributions
from brainalign.pipeline.subjects import with_group_mean


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


def subjects(n_subjects=6, n_samples=4000, noise=1.0):
    rng = np.random.default_rng(1)
    signal = rng.standard_normal((n_samples, 2))
    values = np.hstack([signal + noise * rng.standard_normal((n_samples, 2)) for _ in range(n_subjects)])
    names = [f"s{i}" for i in range(n_subjects)]
    columns = pd.DataFrame({"subject": np.repeat(names, 2), "target": ["a", "b"] * n_subjects})
    rows = pd.DataFrame({"run": "1", "time": np.arange(n_samples) * 2.0, "duration": 2.0})
    return Responses(values, rows, columns)


def test_ceilings_are_those_of_the_planted_signal():
    table = noise_ceilings(with_group_mean(subjects()), ("split_half", "leave_one_subject_out"), 0)
    table = table.set_index(["subject", "target"])
    assert set(table["metric"]) == {"pearson"}
    mean = table.loc["mean"]
    assert set(mean["ceiling_kind"]) == {"split_half"}
    assert mean["noise_ceiling"].to_numpy() == pytest.approx(np.sqrt(6 / 7), abs=0.02)  # signal 1, noise 1 / 6
    one = table.loc["s0"]
    assert set(one["ceiling_kind"]) == {"leave_one_subject_out"}
    assert one["noise_ceiling"].to_numpy() == pytest.approx(1 / np.sqrt(2 * 1.2), abs=0.04)


def test_ceilings_do_not_depend_on_units():
    scaled = subjects()
    values = scaled.values * np.repeat([1, 1e3, 1e-12, 1e6, 1, 1], 2)
    other = Responses(values, scaled.rows, scaled.columns)
    one, two = (
        noise_ceilings(with_group_mean(r), ("split_half", "leave_one_subject_out"), 0)["noise_ceiling"]
        for r in (scaled, other)
    )
    assert np.allclose(one, two)


def test_no_ceiling_without_several_subjects_or_without_asking():
    assert len(noise_ceilings(subjects(1), ("split_half", "leave_one_subject_out"), 0)) == 0
    assert len(noise_ceilings(subjects(), (), 0)) == 0


def test_a_published_ceiling_comes_with_the_data():
    one = subjects(1)
    columns = one.columns.assign(noise_ceiling=[0.5, np.nan], ceiling_kind="published ncsnr")
    table = noise_ceilings(Responses(one.values, one.rows, columns), ("published",), 0)
    assert table[["target", "noise_ceiling", "ceiling_kind"]].to_numpy().tolist() == [["a", 0.5, "published ncsnr"]]


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
