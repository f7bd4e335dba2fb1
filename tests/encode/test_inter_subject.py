import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from brainalign.encode.ceiling import leave_one_subject_out
from brainalign.encode.inter_subject import inter_subject_ridge
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.splits import Blocks, blocks
from brainalign.errors import BrainalignError, Misaligned


def people(n_subjects=5, *, noise=1.0, n_samples=600, n_targets=4, seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n_samples, n_targets))
    return signal, signal + noise * rng.standard_normal((n_subjects, n_samples, n_targets))


def ridge(*alphas):
    return RidgeCV(alphas or (1.0, 10.0, 100.0), inner=Blocks(3, 2))


def test_it_is_a_ridge_from_the_mean_of_the_others_by_hand():
    _, Y = people()
    folds = blocks(600, n=4, gap=3)
    found = inter_subject_ridge(Y[0], Y[1:], estimator=ridge(20.0), folds=folds)
    expected = []
    for train, test in folds:
        z = (Y[1:] - Y[1:, train].mean(axis=1, keepdims=True)) / Y[1:, train].std(axis=1, keepdims=True)
        X = z.mean(axis=0)
        mean, sd = X[train].mean(axis=0), X[train].std(axis=0)
        model = SklearnRidge(alpha=20.0).fit((X[train] - mean) / sd, Y[0, train])
        predicted = model.predict((X[test] - mean) / sd)
        expected.append([np.corrcoef(predicted[:, j], Y[0, test, j])[0, 1] for j in range(4)])
    np.testing.assert_allclose(found.value, np.mean(expected, axis=0), rtol=1e-9)
    assert (found.unit, found.kind) == ("r", "inter-subject ridge (single trial, r)")


@pytest.mark.parametrize("n_subjects", [2, 5, 12])
def test_one_target_at_a_time_it_is_the_inter_subject_correlation(n_subjects):
    _, Y = people(n_subjects, noise=1.5, n_samples=4000, n_targets=3)
    found = inter_subject_ridge(Y[0], Y[1:], estimator=ridge(1e-6), folds=blocks(4000, n=4), blocks=np.arange(3))
    theory = 1 / np.sqrt((1 + 1.5**2) * (1 + 1.5**2 / (n_subjects - 1)))
    np.testing.assert_allclose(found.value, theory, atol=0.05)
    np.testing.assert_allclose(found.value, leave_one_subject_out(Y).value[0], atol=0.02)


def test_what_people_have_at_other_targets_is_found_unless_blocks_forbid():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((1000, 1))
    own = np.hstack([signal, rng.standard_normal((1000, 1))])
    others = [np.hstack([rng.standard_normal((1000, 1)), signal]) for _ in range(3)]
    free = inter_subject_ridge(own, others, estimator=ridge(), folds=blocks(1000, n=4)).value
    assert free[0] > 0.98
    assert abs(free[1]) < 0.1
    tied = inter_subject_ridge(own, others, estimator=ridge(), folds=blocks(1000, n=4), blocks=["a", "b"]).value
    assert np.abs(tied).max() < 0.1


def test_unrelated_people_give_chance():
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((4, 500, 30))
    found = inter_subject_ridge(Y[0], Y[1:], estimator=ridge(), folds=blocks(500, n=5))
    assert abs(found.value.mean()) < 3 * found.value.std() / np.sqrt(30)


def test_fault_74_nothing_is_fitted_on_the_test_samples():
    """Huge values in the test samples of one fold change its score, and no other prediction's scale or weights."""
    _, Y = people()
    folds = blocks(600, n=3, gap=3)
    train, test = folds[1]
    seen = []

    class Spy(RidgeCV):
        def fit(self, X, Y, groups=None, *, run=None, position=None):
            seen.append((np.array(X), np.array(Y), np.array(position)))
            return super().fit(X, Y, groups=groups, run=run, position=position)

    inter_subject_ridge(Y[0], Y[1:], estimator=Spy((1.0,), inner=Blocks(3)), folds=[folds[1]])
    changed = Y.copy()
    changed[:, test] = 1e3 * np.random.default_rng(1).standard_normal(changed[:, test].shape)
    inter_subject_ridge(changed[0], changed[1:], estimator=Spy((1.0,), inner=Blocks(3)), folds=[folds[1]])
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(seen[0][2], train)


def test_folds_that_share_a_stimulus_or_scatter_a_series_are_refused():
    _, Y = people(n_samples=40)
    folds = blocks(40, n=4)
    with pytest.raises(BrainalignError, match="stimulus"):
        inter_subject_ridge(Y[0], Y[1:], estimator=ridge(), folds=folds, groups=np.tile(np.arange(20), 2))
    shuffled = np.random.default_rng(0).permutation(40)
    scattered = [(shuffled[10:], shuffled[:10])]
    with pytest.raises(BrainalignError, match="neighbour in time"):
        inter_subject_ridge(Y[0], Y[1:], estimator=ridge(), folds=scattered, run=np.full(40, "1"))


@pytest.mark.parametrize("unit", [1e-13, 1e-6, 1e6])
def test_fault_43_units_of_the_person_and_of_the_others_decide_nothing(unit):
    _, Y = people()
    folds = blocks(600, n=3)
    one = inter_subject_ridge(Y[0], Y[1:], estimator=ridge(), folds=folds).value
    own = inter_subject_ridge(Y[0] * unit, Y[1:], estimator=ridge(), folds=folds).value
    others = inter_subject_ridge(Y[0], [Y[1] * unit, *Y[2:]], estimator=ridge(), folds=folds).value
    np.testing.assert_allclose(own, one, rtol=1e-7)
    np.testing.assert_allclose(others, one, rtol=1e-7)


def test_fault_45_a_constant_target_is_nan_and_one_of_the_others_is_left_out_of_the_mean():
    _, Y = people()
    folds = blocks(600, n=3)
    Y[0, :, 1] = 3.3
    flat = Y.copy()
    flat[2, :, 0] = 0.1
    value = inter_subject_ridge(flat[0], flat[1:], estimator=ridge(), folds=folds).value
    assert np.isnan(value).tolist() == [False, True, False, False]
    assert value[0] < inter_subject_ridge(Y[0], Y[1:], estimator=ridge(), folds=folds).value[0]


def test_others_of_another_shape_are_refused():
    _, Y = people(n_samples=40)
    for others in ([], [Y[1][:-1]], [Y[1][:, :2]]):
        with pytest.raises(Misaligned, match="all must be"):
            inter_subject_ridge(Y[0], others, estimator=ridge(), folds=blocks(40, n=2))
    with pytest.raises(Misaligned, match="blocks must be one label for each of 4 targets"):
        inter_subject_ridge(Y[0], Y[1:], estimator=ridge(), folds=blocks(40, n=2), blocks=[0, 1])
