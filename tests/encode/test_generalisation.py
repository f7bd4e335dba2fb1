import numpy as np
import pytest

from brainalign.encode.generalisation import correlate_lags, temporal_generalisation
from brainalign.encode.ridge import Ridge, RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.splits import Blocks, blocks, by_group
from brainalign.errors import BrainalignError, Misaligned


@pytest.fixture
def planted():
    """Two channels by six lags: the first codes the features in one way all along, the second anew at every lag."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((240, 4))
    same = np.tile(rng.standard_normal((4, 1)), 6)
    other = rng.standard_normal((4, 6))
    Y = X @ np.column_stack([same, other])
    return X, Y + rng.standard_normal(Y.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_a_fit_and_a_correlation_for_every_pair_of_lags(planted, dtype):
    X, Y = (values.astype(dtype) for values in planted)
    folds = blocks(240, n=3, gap=2)
    found = temporal_generalisation(RidgeCV([3.0], inner=Blocks(2)), X, Y, n_lags=6, folds=folds)
    expected = np.zeros((2, 6, 6))
    for channel in range(2):
        for fitted in range(6):
            for train, test in folds:
                y_hat = Ridge(3.0).fit(X[train], Y[train, channel * 6 + fitted]).predict(X[test])
                for scored in range(6):
                    r = np.corrcoef(y_hat, Y[test, channel * 6 + scored])[0, 1]
                    expected[channel, fitted, scored] += r / 3
    np.testing.assert_allclose(found, expected, atol=1e-5 if dtype == np.float32 else 1e-12)


def test_the_diagonal_is_the_held_out_score(planted):
    X, Y = planted
    folds = blocks(240, n=4, gap=2)
    found = temporal_generalisation(RidgeCV(), X, Y, n_lags=6, folds=folds)
    scores = cross_validate(RidgeCV(), X, Y, folds=folds).mean("pearson")
    np.testing.assert_allclose(np.diagonal(found, axis1=1, axis2=2).ravel(), scores, rtol=1e-10)


def test_a_code_that_lasts_generalises_and_a_chain_does_not(planted):
    X, Y = planted
    lasting, chain = temporal_generalisation(RidgeCV(), X, Y, n_lags=6, folds=blocks(240, n=4))
    apart = ~np.eye(6, dtype=bool)
    assert lasting.min() > 0.5
    assert np.diagonal(chain).min() > 0.3
    assert chain[apart].mean() < 0.3
    assert (lasting[apart].mean() - chain[apart].mean()) > 0.4


def test_a_constant_has_no_correlation_and_a_fold_without_one_does_not_count(planted):
    X, Y = planted
    folds = blocks(240, n=4)
    Y[:, 2] = 5.0
    Y[folds[1].test, 9] = 1.0
    found = temporal_generalisation(RidgeCV(), X, Y, n_lags=6, folds=folds)
    assert np.isnan(found[0, 2]).all()
    assert np.isnan(found[0, :, 2]).all()
    assert np.isfinite(np.delete(np.delete(found[0], 2, axis=0), 2, axis=1)).all()
    assert np.isfinite(found[1]).all()
    scores = cross_validate(RidgeCV(), X, Y, folds=folds).mean("pearson")
    np.testing.assert_allclose(found[1, 3, 3], scores[9], rtol=1e-10)


def test_what_varies_by_rounding_alone_is_constant(planted):
    Y = planted[1][:, :2].copy()
    Y[:, 1] = np.nextafter(0.1, 1.0)
    Y[::2, 1] = 0.1
    r = correlate_lags(Y, planted[1][:, 3:5], n_lags=2)
    assert np.isnan(r[0, :, 1]).all()
    assert np.isfinite(r[0, :, 0]).all()


@pytest.mark.parametrize("unit", [1e-13, 1e-6, 1e6])
def test_unit_of_the_responses_changes_nothing(planted, unit):
    X, Y = planted
    units = np.tile([1.0, unit], 6)
    plain, scaled = (temporal_generalisation(RidgeCV(), X, y, n_lags=6, folds=blocks(240, n=4)) for y in (Y, Y * units))
    np.testing.assert_allclose(scaled, plain, atol=1e-9)


def test_what_does_not_fit_is_refused(planted):
    X, Y = planted
    folds = blocks(240, n=4)
    with pytest.raises(Misaligned, match=r"n_channels \* 5 lags"):
        temporal_generalisation(RidgeCV(), X, Y, n_lags=5, folds=folds)
    with pytest.raises(Misaligned, match="X has 240 samples but Y has 239"):
        temporal_generalisation(RidgeCV(), X, Y[1:], n_lags=6, folds=folds)
    with pytest.raises(Misaligned, match=r"got \(240, 12\) and \(240, 6\)"):
        correlate_lags(Y, Y[:, :6], n_lags=6)
    with pytest.raises(BrainalignError, match="Y_hat is nan"):
        correlate_lags(Y, np.full_like(Y, np.nan), n_lags=6)
    with pytest.raises(BrainalignError, match="stimulus '0' is in the training"):
        temporal_generalisation(RidgeCV(), X, Y, n_lags=6, folds=folds, groups=np.tile(np.arange(120), 2))
    scattered = [(np.setdiff1d(np.arange(240), test), test) for test in (np.arange(0, 240, 2), np.arange(1, 240, 2))]
    with pytest.raises(BrainalignError, match="neighbour in time"):
        temporal_generalisation(RidgeCV(), X, Y, n_lags=6, folds=scattered, run=np.zeros(240))


def test_the_estimator_is_told_groups_and_runs(planted):
    X, Y = planted
    run = np.repeat([0, 1, 2], 80)
    folds = by_group(run)
    found = temporal_generalisation(RidgeCV(), X, Y, n_lags=6, folds=folds, groups=run, run=run)
    scores = cross_validate(RidgeCV(), X, Y, folds=folds, groups=run, run=run).mean("pearson")
    np.testing.assert_allclose(np.diagonal(found, axis1=1, axis2=2).ravel(), scores, rtol=1e-10)
