import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def analysis(load_analysis):
    return load_analysis("brennan2016_comprehension")


@pytest.fixture
def planted():
    """Scores of 40 listeners and 3 regions: the model's score goes with the quiz in region A, nothing else does."""
    rng = np.random.default_rng(0)
    subjects = [f"s{i}" for i in range(40)]
    quiz = rng.standard_normal(40)
    spaces = [("gpt2", "trained", "nested"), ("gpt2", "untrained", "nested"), ("words+gpt2", "trained", "nested")]
    spaces += [("words", "", ""), ("rate_length", "", "")]
    rows = []
    for space, weights, layer in spaces:
        for target in "ABC":
            score = rng.standard_normal(40) * 0.3
            if (space, weights, target) == ("gpt2", "trained", "A"):
                score = score + quiz
            table = {"subject": subjects, "feature_space": space, "weights": weights, "layer": layer, "target": target}
            rows.append(pd.DataFrame({**table, "metric": "pearson", "score": score, "noise_ceiling": rng.random(40)}))
    people = pd.DataFrame({"subject": subjects, "motion_fd": rng.random(40), "age": 20.0, "quiz_score": quiz})
    people.loc[3, "quiz_score"] = np.nan
    people["age"] = people["age"] + rng.standard_normal(40)
    return pd.concat(rows), people


def test_a_planted_link_is_found_where_it_is(analysis, planted):
    config = analysis.Config(n_permutations=999, n_bootstrap=999)
    measures, quiz = analysis.listeners(config, *planted)
    assert len(quiz) == 39
    assert list(measures["brain score"]) == ["A", "B", "C", analysis.MEAN_OF_ROIS]
    table = analysis.associate(config, measures, quiz).set_index(["measure", "target"])
    assert table.loc[("brain score", "A"), "pearson"] > 0.9
    assert table.loc[("brain score", "A"), "p_corrected"] == pytest.approx(0.001)
    others = table.drop(index=[("brain score", "A"), ("brain score", analysis.MEAN_OF_ROIS)])
    assert (others["p_corrected"] > 0.01).all()
    inside = table["pearson"].between(table["low"], table["high"])
    assert inside.all()


def test_the_permuted_quiz_is_flat(analysis, planted):
    config = analysis.Config(n_permutations=999, n_bootstrap=999, permute_quiz=True)
    measures, quiz = analysis.listeners(config, *planted)
    table = analysis.associate(config, measures, quiz).set_index(["measure", "target"])
    assert table.loc[("brain score", "A"), "p_corrected"] > 0.05


def test_the_same_numbers_come_a_second_time(analysis, planted):
    config = analysis.Config(n_permutations=199, n_bootstrap=199)
    one, two = (analysis.associate(config, *analysis.listeners(config, *planted)) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_the_gain_is_joint_less_controls(analysis, planted):
    scores, people = planted
    measures, _ = analysis.listeners(analysis.Config(), scores, people)
    chosen = scores[(scores["target"] == "B") & (scores["subject"] == "s0")].set_index("feature_space")["score"]
    assert measures["gain over controls"].loc["s0", "B"] == pytest.approx(chosen["words+gpt2"] - chosen["words"])


def test_the_figure_has_a_panel_per_region(analysis, planted):
    config = analysis.Config(n_permutations=99, n_bootstrap=99)
    measures, quiz = analysis.listeners(config, *planted)
    figure = analysis.plot(measures, quiz, analysis.associate(config, measures, quiz))
    assert len(figure.axes) == 4
    assert "R = 0.9" in figure.axes[0].get_title()
