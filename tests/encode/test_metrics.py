import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from scipy.spatial import distance as scipy_distance
from scipy.stats import kendalltau, pearsonr
from sklearn.metrics import r2_score

from brainalign.encode import metrics
from brainalign.encode.metrics import DISTANCES, METRICS, UNITS, Unit, check_finite, pairwise, pearson, r2
from brainalign.errors import BrainalignError, Misaligned, UnknownName


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((40, 7))
    return Y, 0.5 * Y + rng.standard_normal((40, 7)) + 3


def test_pearson_equals_scipy(pair):
    Y, Y_hat = pair
    np.testing.assert_allclose(
        pearson(Y, Y_hat), [pearsonr(a, b)[0] for a, b in zip(Y.T, Y_hat.T, strict=True)], rtol=1e-12
    )


def test_r2_equals_sklearn(pair):
    np.testing.assert_allclose(r2(*pair), r2_score(*pair, multioutput="raw_values"), rtol=1e-12)


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("unit", [1e-200, 1e-13, 1e-6, 1e6, 1e150])
def test_units_do_not_matter(pair, metric, unit):
    Y, Y_hat = pair
    np.testing.assert_allclose(METRICS[metric](Y * unit, Y_hat * unit), METRICS[metric](Y, Y_hat), rtol=1e-9)


@pytest.mark.parametrize("metric", list(METRICS))
def test_tiny_float32_keeps_its_score(pair, metric):
    Y, Y_hat = (a.astype(np.float32) for a in pair)
    tiny = METRICS[metric](Y * np.float32(1e-25), Y_hat * np.float32(1e-25))
    np.testing.assert_allclose(tiny, METRICS[metric](Y, Y_hat), rtol=1e-5)


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-13, -1e6])
def test_constant_response_is_nan_and_leaves_the_others_alone(pair, metric, value):
    Y, Y_hat = pair
    before = METRICS[metric](Y, Y_hat)
    Y = Y.copy()
    Y[:, 2] = value
    after = METRICS[metric](Y, Y_hat)
    assert np.isnan(after[2])
    np.testing.assert_array_equal(np.delete(after, 2), np.delete(before, 2))


def test_constant_prediction():
    Y = np.arange(6.0).reshape(3, 2)
    flat = np.full((3, 2), Y.mean(axis=0))
    assert np.isnan(pearson(Y, flat)).all()
    np.testing.assert_allclose(r2(Y, flat), 0, atol=1e-15)


def test_perfect_prediction_is_one_and_never_more():
    Y = np.random.default_rng(1).standard_normal((11, 500))
    r = pearson(Y, Y * 3 + 1)
    assert (r <= 1).all()
    np.testing.assert_allclose(r, 1)
    np.testing.assert_array_equal(r2(Y, Y), 1)


@pytest.mark.parametrize("metric", list(METRICS))
def test_bad_input_is_named(pair, metric):
    Y, Y_hat = pair
    with pytest.raises(Misaligned, match=r"\(40, 7\) and \(39, 7\)"):
        METRICS[metric](Y, Y_hat[:-1])
    Y = Y.copy()
    Y[5, 3] = np.nan
    with pytest.raises(BrainalignError, match="sample 5, target 3"):
        METRICS[metric](Y, Y_hat)


def test_registry_knows_units_and_suggests():
    assert set(METRICS) == set(UNITS)
    assert set(UNITS.values()) == set(Unit) == {"r", "r2"}
    with pytest.raises(UnknownName, match="did you mean 'pearson'"):
        METRICS["pearsn"]


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_of_targets_change_no_bit(monkeypatch, metric, dtype, order):
    rng = np.random.default_rng(0)
    Y = np.asarray(10 * rng.standard_normal((30, 101)), dtype=dtype, order=order)
    Y_hat = np.asarray(Y + 10 * rng.standard_normal(Y.shape), dtype=dtype, order=order)
    whole = METRICS[metric](Y, Y_hat)
    monkeypatch.setattr(metrics, "BLOCK", 30 * 7)
    np.testing.assert_array_equal(METRICS[metric](Y, Y_hat), whole)
    monkeypatch.setattr(metrics, "BLOCK", 1)
    np.testing.assert_array_equal(METRICS[metric](Y, Y_hat), whole)


@pytest.mark.parametrize("metric", list(METRICS))
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_memory_does_not_grow_with_the_targets_of_a_file(tmp_path, metric, dtype):
    shape = (100, 120_000)
    rng = np.random.default_rng(0)
    Y, Y_hat = (np.memmap(tmp_path / name, dtype=dtype, mode="w+", shape=shape) for name in ("Y", "Y_hat"))
    for values in (Y, Y_hat):
        values[:] = rng.standard_normal((100, 1000)).repeat(120, axis=1)
    tracemalloc.start()
    score = METRICS[metric](Y, Y_hat)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 8 * metrics.BLOCK < np.prod(shape) * 8  # eight blocks of float64, less than one copy
    np.testing.assert_allclose(score[::120], METRICS[metric](np.array(Y[:, ::120]), np.array(Y_hat[:, ::120])))


def test_the_first_of_several_bad_values_is_named_whatever_the_block(monkeypatch):
    values = np.zeros((50, 4))
    values[30, 2], values[40, 1] = np.inf, np.nan
    for block in (metrics.BLOCK, 8):
        monkeypatch.setattr(metrics, "BLOCK", block)
        with pytest.raises(BrainalignError, match=r"X is inf at sample 30, feature 2 \(2 values"):
            check_finite(values, name="X", column="feature")


BETWEEN = {
    "correlation": scipy_distance.correlation,
    "cosine": scipy_distance.cosine,
    "euclidean": scipy_distance.sqeuclidean,
}


def two_versus_two(Y, Y_hat, distance):
    d, n = BETWEEN[distance], len(Y)
    right = []
    for i, j in combinations(range(n), 2):
        own, crossed = d(Y[i], Y_hat[i]) + d(Y[j], Y_hat[j]), d(Y[i], Y_hat[j]) + d(Y[j], Y_hat[i])
        right.append(0.5 if np.isclose(own, crossed, rtol=1e-12, atol=1e-14) else float(own < crossed))
    return np.mean(right)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", [metrics.BLOCK, 50])
def test_pairwise_equals_a_loop_over_pairs(monkeypatch, pair, distance, dtype, block):
    monkeypatch.setattr(metrics, "BLOCK", block)
    Y, Y_hat = (a.astype(dtype) for a in pair)
    Y_hat[10:14] = Y_hat[9]  # samples that are predicted to be the same
    Y_hat[20:22] = 7 * Y_hat[19]
    labels = np.array([5, -2, 5, 5, -2, 5, -2])
    found = pairwise(Y, Y_hat, blocks=labels, distance=distance)
    expected = [
        two_versus_two(Y[:, labels == label].astype(float), Y_hat[:, labels == label].astype(float), distance)
        for label in (-2, 5)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert ((found > 0.5) & (found < 1)).all()
    whole = two_versus_two(Y.astype(float), Y_hat.astype(float), distance)
    np.testing.assert_allclose(pairwise(Y, Y_hat, distance=distance), [whole], rtol=1e-12)


def test_pairwise_of_one_target_is_kendalls_tau(pair):
    Y, Y_hat = pair
    found = pairwise(Y, Y_hat, blocks=np.arange(7), distance="euclidean")
    tau = [kendalltau(a, b).statistic for a, b in zip(Y.T, Y_hat.T, strict=True)]
    np.testing.assert_allclose(found, (1 + np.array(tau)) / 2, rtol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("unit", [1e-200, 1e-13, 1e150])
def test_unit_decides_no_pair(pair, distance, unit):
    Y, Y_hat = pair
    Y_hat = Y_hat.copy()
    Y_hat[10:14] = Y_hat[9]
    np.testing.assert_array_equal(
        pairwise(Y * unit, Y_hat * unit, distance=distance), pairwise(Y, Y_hat, distance=distance)
    )


@pytest.mark.parametrize("distance", DISTANCES)
def test_pairwise_is_half_without_and_one_with_the_truth(distance):
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((400, 20))
    assert pairwise(Y, Y, distance=distance) == 1
    assert pairwise(Y, -Y, distance=distance) == 0
    assert abs(pairwise(Y, rng.standard_normal(Y.shape), distance=distance)[0] - 0.5) < 3 * 0.5 / np.sqrt(400)
    assert pairwise(Y, np.tile(rng.standard_normal(20), (400, 1)), distance=distance) == 0.5


def test_pairwise_is_nan_where_there_is_no_distance(pair):
    Y, Y_hat = (a.copy() for a in pair)
    Y[:, :2] = [3.0, 0.1]  # no response of the first block varies
    Y_hat[4, 4:] = 0.1  # one predicted pattern of the last block is flat, but not zero
    labels = np.array([0, 0, 1, 1, 2, 2, 2])
    for distance, expected in (("correlation", [1, 0, 1]), ("cosine", [1, 0, 0]), ("euclidean", [1, 0, 0])):
        assert np.isnan(pairwise(Y, Y_hat, blocks=labels, distance=distance)).tolist() == expected
    Y_hat[4, 4:] = 0
    assert np.isnan(pairwise(Y, Y_hat, blocks=labels, distance="cosine")).tolist() == [1, 0, 1]
    assert np.isnan(pairwise(Y, Y_hat, blocks=np.arange(7))).all()


def test_what_pairwise_cannot_compare_is_refused(pair):
    Y, Y_hat = pair
    with pytest.raises(Misaligned, match=r"each of 7 targets, got shape \(6,\)"):
        pairwise(Y, Y_hat, blocks=np.zeros(6, dtype=int))
    with pytest.raises(BrainalignError, match="whole numbers, got float64"):
        pairwise(Y, Y_hat, blocks=np.zeros(7))
    with pytest.raises(UnknownName, match="did you mean 'cosine'"):
        pairwise(Y, Y_hat, distance="cosin")
    with pytest.raises(Misaligned, match=r"\(40, 7\) and \(39, 7\)"):
        pairwise(Y, Y_hat[1:])
    Y_hat = Y_hat.copy()
    Y_hat[5, 3] = np.nan
    with pytest.raises(BrainalignError, match="Y_hat is nan at sample 5, target 3"):
        pairwise(Y, Y_hat)
