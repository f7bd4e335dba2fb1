"""What is regressed out of one run, against nilearn."""

import numpy as np
import pytest
from nilearn.signal import clean

from brainalign.data import _nuisance
from brainalign.data._nuisance import nuisance_regressors, residuals, standardised
from brainalign.errors import Misaligned

ALL = np.ones(60, dtype=bool)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    time = np.arange(60)
    return 100 + rng.standard_normal((60, 7)) + 0.3 * time[:, None], rng.standard_normal((60, 4)).cumsum(axis=0)


@pytest.mark.parametrize("high_pass", [None, 0.01, 0.03])
@pytest.mark.parametrize("with_confounds", [False, True])
def test_one_fit_is_what_nilearn_does_step_by_step(data, high_pass, with_confounds):
    Y, confounds = data
    confounds = confounds if with_confounds else None
    N = nuisance_regressors(60, tr=2.0, drift_order=1, high_pass=high_pass, confounds=confounds)
    more = {"filter": "cosine", "high_pass": high_pass, "t_r": 2.0} if high_pass else {}
    direct = clean(Y, confounds=confounds, detrend=True, standardize=None, **more)
    np.testing.assert_allclose(residuals(Y, N, kept=ALL), direct, atol=1e-8)


def test_nothing_is_taken_where_nothing_is_asked_for(data):
    N = nuisance_regressors(60, tr=2.0)
    assert N.shape == (60, 0)
    assert residuals(data[0], N, kept=ALL) is data[0]


def test_samples_that_are_not_kept_are_corrected_but_do_not_count(data):
    Y, confounds = data
    kept = ALL.copy()
    kept[[3, 30]] = False
    N = nuisance_regressors(60, tr=2.0, drift_order=1, confounds=confounds)
    spoilt = Y.copy()
    spoilt[~kept] += 1000
    before, after = residuals(Y, N, kept=kept), residuals(spoilt, N, kept=kept)
    np.testing.assert_allclose(after[kept], before[kept], atol=1e-8)
    np.testing.assert_allclose(after[~kept], before[~kept] + 1000, atol=1e-8)
    np.testing.assert_allclose(N[kept].T @ before[kept], 0, atol=1e-8)


def test_many_targets_go_block_by_block(data, monkeypatch):
    Y, confounds = data
    N = nuisance_regressors(60, tr=2.0, drift_order=0, confounds=confounds)
    whole = residuals(Y, N, kept=ALL)
    monkeypatch.setattr(_nuisance, "AT_ONCE", 3)
    np.testing.assert_allclose(residuals(Y, N, kept=ALL), whole, atol=1e-12)


def test_confounds_that_do_not_fit_are_refused(data):
    confounds = data[1]
    with pytest.raises(Misaligned, match="59 rows of confounds, 60 volumes"):
        nuisance_regressors(60, tr=2.0, confounds=confounds[:-1])
    with pytest.raises(Misaligned, match="not finite in volume 7"):
        nuisance_regressors(60, tr=2.0, confounds=np.where(np.arange(60)[:, None] == 7, np.nan, confounds))
    with pytest.raises(Misaligned, match="regressors leave nothing of 6 volumes"):
        nuisance_regressors(6, tr=2.0, drift_order=1, confounds=confounds[:6])


def test_a_constant_confound_is_nothing_to_regress(data):
    confounds = np.column_stack([data[1], np.full(60, 3.0)])
    with_constant = nuisance_regressors(60, tr=2.0, confounds=confounds)
    np.testing.assert_array_equal(with_constant, nuisance_regressors(60, tr=2.0, confounds=data[1]))


def test_standardised_over_the_samples_that_are_kept(data):
    kept = ALL.copy()
    kept[:5] = False
    Y = data[0].astype(np.float32)
    Y[:, 2] = 4
    scaled = standardised(Y, kept=kept)
    assert scaled.dtype == np.float32
    assert np.isnan(scaled[:, 2]).all()
    others = [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(scaled[kept][:, others].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled[kept][:, others].std(axis=0), 1, rtol=1e-4)
