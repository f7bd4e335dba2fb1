import logging

import numpy as np
import pandas as pd
import pytest

from brainalign.pipeline.against_ceilings import FLOOR, against_ceilings, counted, warn_of_ceilings


def scores(score, ceiling, *, space="gpt2", kind="leave_one_subject_out", **more):
    n = len(score)
    table = {"subject": "s", "feature_space": space, "weights": "trained", "layer": "", "metric": "pearson"}
    table |= {"target": [f"t{i}" for i in range(n)], "score": score, "noise_ceiling": ceiling, "ceiling_kind": kind}
    return pd.DataFrame(table | more, index=range(n))


def test_scores_above_their_ceiling_are_counted():
    table = scores([0.3, 0.2, 0.05, 0.4, np.nan], [0.2, 0.4, 0.02, np.nan, 0.5])
    (found,) = against_ceilings(table).itertuples()
    assert (found.n_scores, found.n_above, found.n_usable, found.n_above_usable) == (4, 2, 2, 1)
    assert found.mean_score == pytest.approx(0.95 / 4)
    assert found.mean_ceiling == pytest.approx(0.62 / 4)  # no reliability counts as 0
    assert found.median_normalised == pytest.approx((0.3 / 0.2 + 0.2 / 0.4) / 2)  # never clipped, never below the floor


def test_the_floor_is_stated_and_inclusive():
    (found,) = against_ceilings(scores([0.2, 0.2], [FLOOR, FLOOR - 1e-9])).itertuples()
    assert found.n_usable == 1
    assert found.median_normalised == pytest.approx(2)


def test_fault_80_a_ceiling_that_is_not_positive_divides_nothing():
    (found,) = against_ceilings(scores([0.2, 0.3], [-0.2, 0.0])).itertuples()
    assert (found.n_above, found.n_usable) == (2, 0)
    assert np.isnan(found.median_normalised)


def test_feature_spaces_kinds_and_more_are_told_apart():
    table = pd.concat([
        scores([0.3], [0.2]), scores([0.1], [0.2], space="words"),
        scores([0.3], [0.9], kind="split_half", subject="mean"), scores([0.3], [np.nan], kind=np.nan, metric="r2"),
    ])  # fmt: skip
    found = against_ceilings(table).set_index(["feature_space", "ceiling_kind"])["n_above"]
    assert found.to_dict() == {
        ("gpt2", "leave_one_subject_out"): 1, ("words", "leave_one_subject_out"): 0, ("gpt2", "split_half"): 0
    }  # fmt: skip
    assert len(against_ceilings(table, ("subject",))) == 3


def test_an_average_ceiling_counts_what_has_no_reliability_as_0_and_nothing_else():
    table = scores([0.3, 0.2, np.nan, 0.1], [0.2, np.nan, np.nan, np.nan]).assign(
        ceiling_kind=["split_half"] * 3 + [np.nan]
    )
    np.testing.assert_array_equal(counted(table), [0.2, 0, np.nan, np.nan])


def test_the_log_says_how_many_scores_of_which_feature_space_exceed_their_ceiling(caplog):
    """Caucheteux & King 2022: MEG scores .041, shared-response ceiling .020 (papers.md, section 5)."""
    low = scores([0.041, 0.03, 0.05], [0.02, 0.04, 0.01], subject=["a", "b", "c"])
    fine = scores([0.1, 0.21], [0.4, 0.2], space="words")
    with caplog.at_level(logging.WARNING):
        warn_of_ceilings(pd.concat([low, fine, scores([0.1], [0.5], space="rate")]))
    first, second = caplog.messages
    assert "gpt2 trained: 2 of 3 scores (subject x target) exceed their noise ceiling (leave_one_subject_out)" in first
    assert "mean score 0.040, mean ceiling 0.023: this ceiling is too low, do not normalise by it" in first
    assert "words trained: 1 of 2 scores" in second
    assert "1 of 2 where it is at least 0.1" in second
    assert "too low" not in second


def test_the_best_layer_of_a_profile_is_no_score_to_warn_of(caplog):
    layers = pd.concat([scores([s], [0.5]).assign(layer=name) for name, s in (("0", 0.6), ("1", 0.9), ("nested", 0.4))])
    warn_of_ceilings(layers)
    assert not caplog.messages
