import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from brainalign.encode.metrics import METRICS, UNITS, pearson, r2
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
    with pytest.raises(UnknownName, match="did you mean 'pearson'"):
        METRICS["pearsn"]
