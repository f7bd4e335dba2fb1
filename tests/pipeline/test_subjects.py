import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Responses
from brainalign.errors import Misaligned
from brainalign.pipeline.subjects import with_group_mean


def responses(values, run, subjects=("a",), **rows):
    n_samples, n_columns = values.shape
    targets = [f"t{i}" for i in range(n_columns // len(subjects))]
    columns = pd.DataFrame({"subject": np.repeat(subjects, len(targets)), "target": targets * len(subjects)})
    table = pd.DataFrame({"run": run, "time": np.arange(n_samples) * 2.0, "duration": 2.0, **rows})
    return Responses(values, table, columns)


def test_the_group_mean_weighs_subjects_equally_whatever_their_units():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((50, 1))
    values = np.hstack([shared * 1e-12, shared * 1e3 + 7, shared])
    with_mean = with_group_mean(responses(values, "1", ("a", "b", "c")))
    assert with_mean.columns["subject"].tolist() == ["a", "b", "c", "mean"]
    assert np.allclose(with_mean.values[:, 3], (shared[:, 0] - shared.mean()) / shared.std())


def test_the_group_mean_knows_regions_and_places():
    one = responses(np.random.default_rng(0).standard_normal((9, 4)), "1", ("a", "b"))
    columns = one.columns.assign(roi=["STG", "IFG"] * 2, hemisphere=["left", "right"] * 2)
    of_mean = with_group_mean(Responses(one.values, one.rows, columns)).columns.iloc[4:]
    assert of_mean[["roi", "hemisphere"]].to_numpy().tolist() == [["STG", "left"], ["IFG", "right"]]


def test_one_subject_has_no_group_mean():
    alone = responses(np.random.default_rng(0).standard_normal((5, 2)), "1")
    assert with_group_mean(alone) is alone


def test_a_constant_target_cannot_hide_in_the_group_mean():
    values = np.random.default_rng(0).standard_normal((9, 4))
    values[:, 3] = 5
    with pytest.raises(Misaligned, match="subject b, target t1 is constant"):
        with_group_mean(responses(values, "1", ("a", "b")))


def test_subjects_are_found_whatever_the_order_of_the_columns():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((30, 6))
    columns = pd.DataFrame({"subject": ["a", "b", "c"] * 2, "target": ["X"] * 3 + ["Y"] * 3})
    rows = pd.DataFrame({"run": "1", "time": np.arange(30) * 2.0, "duration": 2.0})
    mixed = with_group_mean(Responses(values, rows, columns))
    assert mixed.columns.iloc[6:].to_numpy().tolist() == [["mean", "X"], ["mean", "Y"]]
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    assert np.allclose(mixed.values[:, 6], z[:, :3].mean(axis=1))
    assert np.allclose(mixed.values[:, 7], z[:, 3:].mean(axis=1))


def test_subjects_with_different_targets_are_refused():
    columns = pd.DataFrame({"subject": ["a", "a", "b"], "target": ["X", "Y", "X"]})
    rows = pd.DataFrame({"run": "1", "time": np.arange(9) * 2.0, "duration": 2.0})
    values = np.random.default_rng(0).standard_normal((9, 3))
    with pytest.raises(Misaligned, match="subject b has no target Y"):
        with_group_mean(Responses(values, rows, columns))


def test_a_subject_called_mean_is_refused():
    values = np.random.default_rng(0).standard_normal((9, 2))
    with pytest.raises(Misaligned, match="called 'mean'"):
        with_group_mean(responses(values, "1", ("mean", "b")))
