import warnings

import numpy as np
import pytest
from himalaya.scoring import r2_score_split
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from brainalign.encode.metrics import r2
from brainalign.encode.partition import Partition, partition, partition_variance, product_measure
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.splits import Blocks, blocks
from brainalign.errors import BrainalignError, Misaligned, UnknownName


@pytest.fixture
def unions():
    rng = np.random.default_rng(0)
    names = [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    return {union: rng.uniform(-0.1, 0.6, 9) for union in names}


def test_two_spaces_are_the_set_differences(unions):
    a, b, ab = (unions[union] for union in (("a",), ("b",), ("a", "b")))
    found = partition({"a": a, ("b",): b, frozenset("ab"): ab})
    np.testing.assert_allclose(found["a"], ab - b, atol=1e-15)
    np.testing.assert_allclose(found["b"], ab - a, atol=1e-15)
    np.testing.assert_allclose(found["a", "b"], a + b - ab, atol=1e-15)
    assert list(found.parts) == [("a",), ("b",), ("a", "b")]
    np.testing.assert_array_equal(found.full, ab)


def test_three_spaces_are_the_set_differences(unions):
    a, b, c, ab, ac, bc, abc = unions.values()
    found = partition(unions)
    for part, expected in {
        ("a",): abc - bc,
        ("b",): abc - ac,
        ("c",): abc - ab,
        ("a", "b"): ac + bc - c - abc,
        ("a", "c"): ab + bc - b - abc,
        ("b", "c"): ab + ac - a - abc,
        ("a", "b", "c"): abc + a + b + c - ab - ac - bc,
    }.items():
        np.testing.assert_allclose(found[part], expected, atol=1e-15)
        np.testing.assert_array_equal(found[part[::-1]], found.parts[part])
    assert len(found.parts) == 7


def test_parts_sum_to_the_models_they_are_of_and_negative_ones_stay(unions):
    found = partition(unions)
    for union, share in unions.items():
        inside = [value for part, value in found.parts.items() if set(part) & set(union)]
        np.testing.assert_allclose(np.sum(inside, axis=0), share, atol=1e-15)
    np.testing.assert_allclose(np.sum(list(found.parts.values()), axis=0), found.full, atol=1e-15)
    assert min(value.min() for value in found.parts.values()) < -0.1


def test_order_of_the_unions_and_of_the_targets_decides_nothing(unions):
    plain = partition(unions)
    turned = partition({frozenset(union): unions[union][::-1] for union in reversed(unions)})
    for part, share in plain.parts.items():
        np.testing.assert_allclose(turned[part][::-1], share, atol=1e-15)


def test_a_target_without_one_r2_has_no_part(unions):
    unions["b",][4] = np.nan
    for share in partition(unions).parts.values():
        assert np.flatnonzero(np.isnan(share)).tolist() == [4]


def test_unions_that_make_no_partition_are_refused(unions):
    without = {union: share for union, share in unions.items() if union not in {("c",), ("a", "b")}}
    with pytest.raises(BrainalignError, match=r"missing: \['c', 'a\+b'\]"):
        partition(without)
    with pytest.raises(BrainalignError, match=r"got 1: \['a'\]"):
        partition({"a": np.zeros(3)})
    with pytest.raises(BrainalignError, match="got 4"):
        partition(unions | {"d": np.zeros(9)})
    with pytest.raises(BrainalignError, match="got 0"):
        partition({})
    with pytest.raises(BrainalignError, match="twice"):
        partition(unions | {("b", "a"): np.zeros(9)})
    with pytest.raises(BrainalignError, match="no name"):
        partition(unions | {(): np.zeros(9)})
    with pytest.raises(Misaligned, match=r"'a\+b': \(8,\)"):
        partition(unions | {("a", "b"): np.zeros(8)})
    with pytest.raises(Misaligned, match=r"\(n_targets,\)"):
        partition({union: share[None] for union, share in unions.items()})
    with pytest.raises(UnknownName, match="unknown part 'a\\+d'"):
        partition(unions)["a", "d"]


PARTS = [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_planted_shared_features_are_found(names):
    rng = np.random.default_rng(0)
    parts = [part for part in PARTS if set(part) <= set(names)]
    latent = rng.standard_normal((len(parts), 3000))
    share = rng.dirichlet(np.ones(len(parts) + 1), 4).T  # (n_parts + 1, n_targets), the last is noise
    Y = latent.T @ np.sqrt(share[:-1]) + rng.standard_normal((3000, 4)) * np.sqrt(share[-1])
    spaces = {
        name: latent[[name in part for part in parts]].T @ rng.standard_normal((len(parts) // 2 + 1, 6))
        for name in names
    }
    found = partition_variance(RidgeCV([1e-3]), spaces, Y * 1e-13, folds=blocks(3000, n=3))
    assert list(found.parts) == parts
    for part, expected in zip(parts, share[:-1], strict=True):
        np.testing.assert_allclose(found[part], expected, atol=0.06)  # 4 sd over seeds


def test_unions_are_scored_as_by_hand():
    rng = np.random.default_rng(0)
    spaces = {"a": rng.standard_normal((120, 3)), "b": rng.standard_normal((120, 5)).astype(np.float32)}
    Y = spaces["a"] @ rng.standard_normal((3, 4)) + rng.standard_normal((120, 4))
    run = np.repeat([0, 1, 2], 40)
    options = {"folds": blocks(120, n=3, run=run), "groups": run, "run": run}
    found = partition_variance(RidgeCV(), spaces, Y, **options)
    for union in (("a",), ("b",), ("a", "b")):
        X = np.concatenate([spaces[name] for name in union], axis=1)
        expected = cross_validate(RidgeCV(), X, Y, **options, metrics=("r2",)).mean("r2")
        np.testing.assert_array_equal(found.r2[union], expected)


class OfColumns(BaseEstimator):
    """Least squares on the first feature of each space."""

    def __init__(self, columns=None):
        self.columns = columns

    def fit(self, X, Y, groups=None, *, run=None, position=None):
        assert X.shape[1] == max(columns.stop for columns in self.columns.values())
        self.model_ = LinearRegression().fit(self._first(X), Y)
        return self

    def predict(self, X):
        return self.model_.predict(self._first(X))

    def _first(self, X):
        return np.stack([X[:, columns.start] for columns in self.columns.values()], axis=1)


def test_an_estimator_of_feature_spaces_is_told_their_columns():
    rng = np.random.default_rng(0)
    spaces = {name: rng.standard_normal((90, n)) for name, n in (("b", 4), ("a", 2), ("c", 3))}
    Y = rng.standard_normal((90, 2)) + sum(X[:, :1] for X in spaces.values())
    folds = blocks(90, n=3)
    found = partition_variance(OfColumns, spaces, Y, folds=folds)
    first = partition_variance(OfColumns, {name: X[:, :1] for name, X in spaces.items()}, Y, folds=folds)
    assert list(found.r2) == [("b",), ("a",), ("c",), ("b", "a"), ("b", "c"), ("a", "c"), ("b", "a", "c")]
    for part in found.parts:
        np.testing.assert_allclose(found[part], first[part], atol=1e-12)
    assert (found["a"] > 0.1).all()


def test_feature_spaces_that_do_not_fit_are_refused():
    X, Y, folds = np.random.default_rng(0).standard_normal((60, 3)), np.zeros((60, 2)), blocks(60, n=3)
    with pytest.raises(BrainalignError, match=r"2 or 3 feature spaces, got 1: \['a'\]"):
        partition_variance(RidgeCV(), {"a": X}, Y, folds=folds)
    with pytest.raises(BrainalignError, match="got 4"):
        partition_variance(RidgeCV(), dict.fromkeys("abcd", X), Y, folds=folds)
    with pytest.raises(Misaligned, match="'a': 60, 'b': 59"):
        partition_variance(RidgeCV(), {"a": X, "b": X[1:]}, Y, folds=folds)
    with pytest.raises(Misaligned, match=r"'b' must be \(n_samples, n_features\), got \(60,\)"):
        partition_variance(RidgeCV(), {"a": X, "b": X[:, 0]}, Y, folds=folds)
    with pytest.raises(Misaligned, match="X has 60 samples but Y has 59"):
        partition_variance(RidgeCV(), {"a": X, "b": X}, Y[1:], folds=folds)


def test_a_constant_target_has_no_part():
    rng = np.random.default_rng(0)
    spaces = {name: rng.standard_normal((60, 2)) for name in "ab"}
    Y = rng.standard_normal((60, 3))
    Y[:, 1] = 0.1
    found = partition_variance(RidgeCV(inner=Blocks(2)), spaces, Y, folds=blocks(60, n=3))
    assert isinstance(found, Partition)
    for share in (*found.parts.values(), found.full):
        assert np.isnan(share).tolist() == [False, True, False]


@pytest.fixture
def joint():
    rng = np.random.default_rng(0)
    Y_hats = {name: rng.standard_normal((80, 6)) + 0.1 for name in ("a", "b", "c")}
    Y_hats["c"] -= 0.5 * Y_hats["a"]  # correlated predictions
    return sum(Y_hats.values()) + 2 * rng.standard_normal((80, 6)) + 40, Y_hats


def test_product_measure_equals_himalaya(joint):
    Y, Y_hats = joint
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = r2_score_split(Y - Y.mean(axis=0), np.stack(list(Y_hats.values())))
    found = product_measure(Y, Y_hats)
    assert list(found) == ["a", "b", "c"]
    np.testing.assert_allclose(list(found.values()), np.asarray(expected), rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-13, 1.0, 1e6])
def test_product_measure_sums_to_the_r2_of_the_summed_prediction_in_any_unit(joint, dtype, unit):
    Y, Y_hats = joint
    Y, Y_hats = (Y * unit).astype(dtype), {name: (Y_hat * unit).astype(dtype) for name, Y_hat in Y_hats.items()}
    shares = product_measure(Y, Y_hats)
    whole = r2(Y - Y.mean(axis=0, dtype=float), sum(Y_hat.astype(float) for Y_hat in Y_hats.values()))
    np.testing.assert_allclose(sum(shares.values()), whole, rtol=1e-12)


def test_product_measure_of_what_is_constant_or_bad(joint):
    Y, Y_hats = joint
    Y = Y.copy()
    Y[:, 2] = 0.1
    for share in product_measure(Y, Y_hats).values():
        assert np.flatnonzero(np.isnan(share)).tolist() == [2]
    with pytest.raises(Misaligned, match=r"'b' adds must both be .*\(80, 6\), \(79, 6\)"):
        product_measure(Y, Y_hats | {"b": Y_hats["b"][1:]})
    with pytest.raises(BrainalignError, match="no prediction"):
        product_measure(Y, {})
    Y_hats["b"][5, 3] = np.inf
    with pytest.raises(BrainalignError, match="prediction of 'b' is inf at sample 5, target 3"):
        product_measure(Y, Y_hats)
    Y[6, 1] = np.nan
    with pytest.raises(BrainalignError, match="Y is nan at sample 6, target 1"):
        product_measure(Y, {"a": Y_hats["a"]})
