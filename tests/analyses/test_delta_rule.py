"""The analysis of the delta rule on small settings: every published number is obtained, and its controls fail."""

import math

import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulations import Drawing, published_beside_obtained


@pytest.fixture(scope="module")
def analysis(load_analysis):
    return load_analysis("delta_rule")


@pytest.fixture(scope="module")
def config(analysis):
    return analysis.Config(n_networks=4, n_sweeps=1000)


@pytest.fixture(scope="module")
def tables(analysis, config):
    return analysis.run(config)


def test_what_theory_says_is_obtained(analysis, tables):
    beside = published_beside_obtained(analysis.PUBLISHED, tables["obtained"]).set_index("quantity")
    named = beside[beside["published"] != ""]
    assert len(named) == len(analysis.PUBLISHED)
    noisy = ["signal to noise of Hebb's rule", "cosine of pseudo-inverse recall at two pairs per input"]
    exact = named.drop(noisy)
    assert exact["obtained"].tolist() == pytest.approx(exact["published"].tolist(), abs=1e-10)
    assert named.loc[noisy[0], "obtained"] == pytest.approx(1.835, rel=0.15)
    assert named.loc[noisy[1], "obtained"] == pytest.approx(0.707, abs=0.01)


def test_the_error_changes_per_sweep_as_expected(tables):
    stable = tables["stability"]
    assert stable["factor"].tolist() == pytest.approx(stable["expected"].tolist(), rel=0.05)
    assert set(stable["diverging"]) == {0, 1}
    assert ((stable["diverging"] == 1) == (stable["share_of_bound"] > 1)).all()


def test_keys_alone_cannot_tell_contexts_apart(tables):
    context = tables["context"]
    right = context[context["asked"] == context["answer"]].groupby("memory")["cosine"].mean()
    assert right["keys in contexts"] == pytest.approx(1)
    assert right["keys alone"] < 0.9


def test_overloaded_learning_ends_where_expected(tables):
    over = tables["overload"]
    assert over["distance"].tolist() == pytest.approx(over["expected"].tolist(), abs=0.01)
    cyclic = over[over["order"] == "cyclic"].sort_values("step")
    assert cyclic["distance"].is_monotonic_increasing
    assert over[over["order"] == "batch"]["expected"].max() < 1e-10


def test_one_network_is_the_first_of_several(analysis, tables):
    alone = analysis.run(analysis.Config(n_networks=1, n_sweeps=100))
    several = tables["context"]["cosine"].tolist()
    assert alone["context"]["cosine"].tolist() == pytest.approx(several, abs=1e-12)
    assert alone["obtained"]["sd"].isna().all()


def test_a_network_without_crosstalk_makes_no_mean_infinite(analysis):
    config = analysis.Config(n_networks=30, n_inputs=16, n_pairs=2, n_sweeps=100)
    keys, answers = analysis.pairs(config)
    ratio = analysis.signal_to_noise(keys, answers)
    assert 0 < ratio.isinf().sum() < 10  # keys that happen to be orthogonal
    said, sd = analysis.over_networks(ratio)
    assert said == pytest.approx(math.sqrt(16), rel=0.25)  # sqrt(n / (K - 1))
    assert 0 < sd < math.inf


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_said(analysis):
    with pytest.raises(BrainalignError, match="sees no GPU here"):
        analysis.pairs(analysis.Config(device="cuda"))


def test_more_pairs_than_can_be_learnt_in_time_are_refused(analysis):
    with pytest.raises(ValueError, match=r"n_pairs \(40\) is more than half of n_inputs \(64\)"):
        analysis.Config(n_pairs=40)


def test_all_figures_are_drawn_from_the_tables(analysis, tables, config):
    drawings = analysis.draw(tables, config)
    assert len(drawings) == 10
    assert all(isinstance(drawing, Drawing) and drawing.caption for drawing in drawings)
