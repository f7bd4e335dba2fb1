"""The symmetry problem and the family trees, with few networks and sweeps."""

import numpy as np
import pandas as pd
import pytest

from brainalign.simulate.symmetry import rows
from brainalign.simulations import published_beside_obtained


@pytest.fixture(scope="module")
def symmetry(load_analysis):
    return load_analysis("rumelhart1986_symmetry")


@pytest.fixture(scope="module")
def symmetry_config(symmetry):
    return symmetry.Config(n_networks=6, n_sweeps=1500)


@pytest.fixture(scope="module")
def symmetry_tables(symmetry, symmetry_config):
    return symmetry.run(symmetry_config)


@pytest.fixture(scope="module")
def trees(load_analysis):
    module = load_analysis("rumelhart1986_family_trees")
    module.PRINTED_SWEEPS = 100  # which learn as little as 1,500
    return module


@pytest.fixture(scope="module")
def trees_config(trees):
    return trees.Config(n_networks=2, n_sweeps=1000, n_test=3)


@pytest.fixture(scope="module")
def trees_tables(trees, trees_config):
    return trees.run(trees_config)


def obtained(module, tables):
    return published_beside_obtained(module.PUBLISHED, tables["obtained"]).set_index("quantity")["obtained"]


def test_symmetry_solutions_are_those_of_the_paper(symmetry, symmetry_tables):
    said = obtained(symmetry, symmetry_tables)
    assert said["second magnitude over the smallest"] == pytest.approx(2, rel=0.1)
    assert said["third magnitude over the smallest"] == pytest.approx(4, rel=0.1)
    assert said["largest |w_i + w_7-i| / |w_i|"] < 0.15
    assert said["correlation between the weights of the hidden units"] == pytest.approx(-1, abs=0.01)
    assert said["share of solutions with negative biases of hidden units"] == 1
    assert said["share of solutions with a positive bias of the output"] == 1
    assert said["share of networks without hidden units that solve it"] == 0
    assert said["share of untrained networks that solve it"] == 0
    assert said["share of networks that have solved it by the end, half the rate"] > 0.5


def test_the_weights_that_are_drawn_solve_it(symmetry_tables):
    inputs, targets = (values.numpy() for values in rows())
    weights = symmetry_tables["weights"]
    assert len(weights)
    for _, of_solution in weights.groupby("solution"):
        arrays = {
            name: part.pivot(index="below", columns="above", values="value").to_numpy()
            for name, part in of_solution.groupby("array")
        }
        hidden = 1 / (1 + np.exp(-(inputs @ arrays["W1"] + arrays["b1"])))
        assert ((hidden @ arrays["W2"] + arrays["b2"] > 0) == (targets > 0)).all()


def test_networks_that_have_not_solved_it_count_in_the_median(symmetry, symmetry_tables):
    networks = symmetry_tables["networks"]
    drawn = networks[networks["kind"] == symmetry.DRAWN]
    solved = drawn["solved_at"].notna()
    assert 0 < solved.sum() < len(drawn)
    assert (solved == (drawn["right"] == 1)).all()
    expected = np.median(drawn["solved_at"].fillna(np.inf))
    said = symmetry_tables["obtained"].set_index("quantity").loc["sweeps until all rows are right, median"]
    assert said["value"] == expected > drawn["solved_at"].median()
    assert said["n"] == len(drawn)
    share = f"share of networks that solve it in 1425 sweeps, {symmetry.DRAWN}"
    assert obtained(symmetry, symmetry_tables)[share] == (drawn["solved_at"] <= 1425).mean()


def test_no_share_is_given_of_sweeps_that_were_not_run(symmetry):
    said = obtained(symmetry, symmetry.run(symmetry.Config(n_networks=2, n_sweeps=100)))
    assert said["sweeps until all rows are right, median"] == np.inf
    assert not said.index.str.contains("1425").any()


def test_symmetry_is_drawn_with_what_the_unsolved_answer(symmetry, symmetry_tables, symmetry_config):
    drawings = symmetry.draw(symmetry_tables, symmetry_config)
    networks = symmetry_tables["networks"]
    unsolved = networks[(networks["right"] < 1) & (networks["kind"] != symmetry.NO_HIDDEN)]
    assert unsolved["error"].min() > 1
    said = f"the {len(unsolved)} with hidden units say yes to {unsolved['said_yes'].mean():.1f} and"
    assert said in drawings[-1].caption
    # to the row of 0s, for lack of anything against it
    assert "the 6 without any say yes to 1.0 of the 64 rows" in drawings[-1].caption
    for drawing in drawings:
        drawing.figure.canvas.draw()


def test_the_trees_are_learnt_but_not_as_printed(trees, trees_tables):
    said = obtained(trees, trees_tables)
    assert said["different questions"] == 104
    assert said["triples"] == 112
    assert said["share of learnt facts right, trained"] > 0.6
    assert said["share of learnt facts right, as printed"] == said["share of tested facts right, as printed"] == 0
    assert said["share of learnt facts right, untrained"] == 0
    assert said["share of tested facts right, answers shuffled"] < 0.4
    assert said["nation told by a linear probe, trained"] > 0.8
    assert said["nation told by a linear probe, untrained"] < 0.7


def test_other_numbers_of_tested_facts_are_shares_too(trees, trees_tables):
    answers = trees_tables["answers"]
    assert set(answers.loc[answers["asked"] == "tested", "n"]) == {3}
    of_own = answers.query("kind == 'trained' and asked == 'tested'")
    said = obtained(trees, trees_tables)
    assert said["share of tested facts right, trained"] == pytest.approx(of_own["right"].mean() / 3)
    assert said["share of networks with all tested facts right, trained"] == (of_own["right"] == 3).mean()


def test_only_what_is_named_differs_from_the_printed_settings(trees, monkeypatch):
    """The recipes are noted and nothing is learnt, so that the run ends where it asks for what was."""
    seen = []
    monkeypatch.setattr(trees, "_learn", lambda *_, **recipe: seen.append(recipe))
    with pytest.raises(TypeError, match="NoneType"):
        trees.run(trees.Config(n_networks=1, tolerance=0.4))
    printed, *others = seen[:4]
    assert printed["tolerance"] == 0.2
    for recipe in others:
        assert sum(recipe[name] != value for name, value in printed.items()) == 1
    assert seen[4]["tolerance"] == 0.4


def test_the_network_that_is_shown_is_said_to_be_the_best(trees, trees_tables, trees_config):
    drawings = trees.draw(trees_tables, trees_config)
    answers = trees_tables["answers"].query("kind == 'trained' and asked == 'tested'").set_index("network")["right"]
    shown = int(pd.unique(trees_tables["units"].query("shown")["network"])[0])
    assert answers[shown] == answers.max()
    said = f"the best of 2 on facts it has not seen: it answers {answers[shown]} of 3, all networks "
    assert f"{said}{answers.mean():.1f}" in drawings[0].caption
    assert len(drawings) == 5
    for drawing in drawings:
        drawing.figure.canvas.draw()
