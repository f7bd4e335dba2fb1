import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from brainalign.encode.metrics import r2
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.splits import Blocks, Groups, blocks
from brainalign.encode.stacking import StackingCV, simplex_weights
from brainalign.errors import BrainalignError, Misaligned


def by_scipy(products):
    """Weights of one target by sequential quadratic programming."""
    n_spaces = len(products)
    size = np.trace(products)
    found = minimize(
        lambda w: w @ products @ w / size,
        np.full(n_spaces, 1 / n_spaces),
        jac=lambda w: 2 * products @ w / size,
        bounds=[(0, 1)] * n_spaces,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(n_spaces)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return found.x


def products_of(errors):
    return np.einsum("tij,tik->tjk", errors, errors)  # (n_targets, n_spaces, n_spaces)


@pytest.mark.parametrize("n_spaces", [1, 2, 3, 6, 10])
@pytest.mark.parametrize("common", [0.0, 3.0])
def test_weights_equal_scipy(n_spaces, common):
    rng = np.random.default_rng(n_spaces)
    errors = rng.standard_normal((12, 15, n_spaces)) * rng.uniform(0.5, 2, n_spaces)
    products = products_of(errors + common * rng.standard_normal((12, 15, 1)))
    weights = simplex_weights(products)
    assert weights.shape == (n_spaces, 12)
    np.testing.assert_allclose(weights, np.stack([by_scipy(one) for one in products], axis=1), atol=2e-5)
    if common and n_spaces > 2:
        assert (weights == 0).any()  # some bound is met


@pytest.mark.parametrize("n_spaces", [2, 4, 10, 25])
@pytest.mark.parametrize("kind", ["unlike", "alike", "twins", "sizes"])
def test_weights_meet_the_conditions_of_an_optimum(n_spaces, kind):
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((500, n_spaces + 5, n_spaces))
    if kind == "alike":
        errors = 0.3 * errors + rng.standard_normal((500, n_spaces + 5, 1))
    if kind == "twins":
        errors[:, :, n_spaces // 2 :] = errors[:, :, : n_spaces - n_spaces // 2]
    if kind == "sizes":
        errors *= 10.0 ** rng.uniform(-6, 6, (500, 1, n_spaces))
    products = products_of(errors)
    w = simplex_weights(products).T
    assert (w >= 0).all()
    np.testing.assert_allclose(w.sum(axis=1), 1, rtol=1e-12)
    gradient = np.einsum("tjk,tk->tj", products, w)
    error = np.einsum("tj,tj->t", w, gradient)
    size = np.sqrt(np.diagonal(products, axis1=1, axis2=2) * error[:, None])
    assert ((error[:, None] - gradient) / size).max() < 1e-6
    assert (np.abs(error[:, None] - gradient) / size)[w > 0].max() < 1e-6


def test_more_spaces_than_samples_are_no_worse_than_by_scipy():
    products = products_of(np.random.default_rng(0).standard_normal((20, 3, 6)))
    weights = simplex_weights(products)
    for w, one in zip(weights.T, products, strict=True):
        other = by_scipy(one)
        assert w @ one @ w <= other @ one @ other + 1e-7 * np.diag(one).max()


def test_spaces_that_tie_share_and_a_perfect_one_wins():
    errors = np.random.default_rng(0).standard_normal((1, 20, 3))
    twins = np.concatenate([errors[:, :, [0, 0]], errors[:, :, 1:] * 30], axis=2)
    np.testing.assert_allclose(
        simplex_weights(products_of(twins))[0], simplex_weights(products_of(twins))[1], rtol=1e-6
    )
    errors[:, :, 1] = 0
    np.testing.assert_allclose(simplex_weights(products_of(errors))[:, 0], [0, 1, 0], atol=1e-7)
    np.testing.assert_allclose(simplex_weights(np.zeros((2, 4, 4))), 0.25, rtol=1e-7)


def test_what_is_no_sum_of_products_is_refused():
    with pytest.raises(BrainalignError, match="no weights found for 1 targets, the first is 1"):
        simplex_weights(np.array([np.eye(2), [[1, np.nan], [np.nan, 1]]]))


@pytest.fixture
def planted():
    """Spaces a and b that each explain one target alone and one together; c explains nothing."""
    rng = np.random.default_rng(0)
    spaces = {name: rng.standard_normal((240, n)) for name, n in (("a", 6), ("b", 9), ("c", 12))}
    of_a = spaces["a"] @ rng.standard_normal((6, 3)) / np.sqrt(6)
    of_b = spaces["b"] @ rng.standard_normal((9, 3)) / np.sqrt(9)
    Y = of_a * [1, 0, 1] + of_b * [0, 1, 1] + 0.5 * rng.standard_normal((240, 3))
    return spaces, Y + 5


ESTIMATOR = RidgeCV([10.0], inner=Blocks(2))


def test_weights_are_those_of_scipy_on_held_out_predictions(planted):
    spaces, Y = planted
    folds = blocks(240, n=4, gap=3)
    model = StackingCV(ESTIMATOR, inner=Blocks(4, gap=3)).fit(spaces, Y)
    errors = [
        np.concatenate([Y[test] - ESTIMATOR.fit(X[train], Y[train]).predict(X[test]) for train, test in folds])
        for X in spaces.values()
    ]
    products = products_of(np.stack(errors, axis=-1).transpose(1, 0, 2))
    expected = np.stack([by_scipy(one) for one in products], axis=1)
    np.testing.assert_allclose(model.weights_, expected, atol=2e-5)
    mean = np.concatenate([np.broadcast_to(Y[train].mean(axis=0), (len(test), 3)) for train, test in folds])
    sse = np.einsum("kt,tkl,lt->t", expected, products, expected)
    np.testing.assert_allclose(model.inner_score_, 1 - sse / np.square(Y - mean).sum(axis=0), rtol=1e-6)
    assert (model.spaces_, model.n_inner_folds_) == (["a", "b", "c"], 4)


def test_planted_spaces_get_the_weight_and_beat_the_best_one(planted):
    spaces, Y = planted
    train, test = np.arange(180), np.arange(185, 240)
    model = StackingCV(ESTIMATOR).fit({name: X[train] for name, X in spaces.items()}, Y[train])
    a, b, c = model.weights_
    assert a[0] > 0.85
    assert b[1] > 0.85
    assert (np.minimum(a, b)[2] > 0.3).all()
    assert (c < 0.15).all()
    held_out = {name: X[test] for name, X in spaces.items()}
    by_space = model.predict_by_space(held_out)
    expected = sum(w * by_space[name] for name, w in zip("abc", model.weights_, strict=True))
    np.testing.assert_allclose(model.predict(held_out), expected, rtol=1e-12)
    alone = {name: ESTIMATOR.fit(X[train], Y[train]).predict(X[test]) for name, X in spaces.items()}
    for name, Y_hat in alone.items():
        np.testing.assert_allclose(by_space[name], Y_hat, rtol=1e-10)
    assert r2(Y[test], model.predict(held_out))[2] > max(r2(Y[test], Y_hat)[2] for Y_hat in alone.values()) + 0.1


def test_a_space_that_memorises_does_not_win():
    rng = np.random.default_rng(0)
    spaces = {"few": rng.standard_normal((150, 5)), "many": rng.standard_normal((150, 400))}
    Y = spaces["few"] @ rng.standard_normal((5, 8)) + 3 * rng.standard_normal((150, 8))
    model = StackingCV(RidgeCV([1e-6], inner=Blocks(2))).fit(spaces, Y)
    np.testing.assert_allclose(model.estimators_["many"].predict(spaces["many"]), Y, atol=1e-3)  # it does memorise
    assert (model.weights_[1] < 0.35).all()
    assert model.weights_[1].mean() < 0.2


class Recorder(BaseEstimator):
    """Least squares that writes down what it was given."""

    log: list = []  # noqa: RUF012

    def fit(self, X, Y, groups=None, *, run=None, position=None):
        self.seen_ = position
        Recorder.log.append((X, Y, groups, run, position))
        self.model_ = LinearRegression().fit(X, Y)
        return self

    def predict(self, X):
        Recorder.log[-1] += (X,)
        return self.model_.predict(X)


def test_estimators_see_their_training_samples_only_and_where_they_were(planted):
    spaces, Y = planted
    spaces = {name: spaces[name] for name in "ab"}
    run, position = np.repeat([0, 1, 2], 80), np.arange(240) * 2
    groups = np.arange(240) // 4
    Recorder.log.clear()
    StackingCV(Recorder(), inner=Blocks(3, gap=12)).fit(spaces, Y, groups, run=run, position=position)
    assert len(Recorder.log) == 3 * 2 + 2
    for i_fold in range(3):
        for i, X in enumerate(spaces.values()):
            seen, y, group, runs, where, held_out = Recorder.log[2 * i_fold + i]
            test = np.arange(80 * i_fold, 80 * i_fold + 80)
            np.testing.assert_array_equal(held_out, X[test])
            np.testing.assert_array_equal(where, position[np.setdiff1d(np.arange(240), test)])
            for got, whole in ((seen, X), (y, Y), (group, groups), (runs, run)):
                np.testing.assert_array_equal(got, whole[where // 2])
    for (seen, *_, where), X in zip(Recorder.log[6:], spaces.values(), strict=True):
        np.testing.assert_array_equal(seen, X)
        np.testing.assert_array_equal(where, position)


def test_inner_splits_are_those_of_ridge(planted):
    spaces, Y = planted
    run = np.repeat(np.arange(4), 60)
    for inner, labels, n_folds in (
        (None, {}, 5),
        (None, {"run": run}, 4),
        (Groups(2), {"groups": run}, 2),
        (blocks(240, n=3), {}, 3),
    ):
        model = StackingCV(ESTIMATOR, inner=inner).fit(spaces, Y, **labels)
        assert model.n_inner_folds_ == n_folds
    Recorder.log.clear()
    StackingCV(Recorder()).fit({"a": spaces["a"]}, Y)
    assert len(Recorder.log[1][4]) == 240 - 48 - 2 * 5  # the gap of default_inner


@pytest.mark.parametrize("unit", [1e-13, 1e6])
def test_unit_of_the_responses_decides_no_weight(planted, unit):
    spaces, Y = planted
    plain, scaled = (StackingCV(ESTIMATOR).fit(spaces, y) for y in (Y, Y * unit))
    np.testing.assert_allclose(scaled.weights_, plain.weights_, atol=1e-9)
    np.testing.assert_allclose(scaled.inner_score_, plain.inner_score_, rtol=1e-9)
    np.testing.assert_allclose(scaled.predict(spaces), plain.predict(spaces) * unit, rtol=1e-9)


def test_float32_stays_and_agrees(planted):
    spaces, Y = planted
    single = {name: X.astype(np.float32) for name, X in spaces.items()}
    model = StackingCV(ESTIMATOR).fit(single, Y.astype(np.float32))
    assert model.predict(single).dtype == np.float32
    plain = StackingCV(ESTIMATOR).fit(spaces, Y)
    np.testing.assert_allclose(model.weights_, plain.weights_, atol=1e-4)
    np.testing.assert_allclose(model.predict(single), plain.predict(spaces), atol=1e-3)


def test_permuted_targets_and_spaces_permute_the_weights(planted):
    spaces, Y = planted
    plain = StackingCV(ESTIMATOR).fit(spaces, Y)
    turned = StackingCV(ESTIMATOR).fit(dict(reversed(spaces.items())), Y[:, [2, 0, 1]])
    np.testing.assert_allclose(turned.weights_[::-1], plain.weights_[:, [2, 0, 1]], atol=1e-10)
    np.testing.assert_allclose(turned.predict(spaces), plain.predict(spaces)[:, [2, 0, 1]], rtol=1e-9)


@pytest.mark.parametrize("value", [0.1, -1e6])
def test_a_constant_target_has_no_weight_and_stays(planted, value):
    spaces, Y = planted
    Y = np.insert(Y, 1, value, axis=1)
    model = StackingCV(ESTIMATOR).fit(spaces, Y)
    assert np.isnan(model.weights_).all(axis=0).tolist() == [False, True, False, False]
    assert np.isnan(model.inner_score_).tolist() == [False, True, False, False]
    Y_hat = model.predict(spaces)
    np.testing.assert_allclose(Y_hat[:, 1], value, rtol=1e-12)
    np.testing.assert_allclose(
        np.delete(Y_hat, 1, axis=1), StackingCV(ESTIMATOR).fit(spaces, np.delete(Y, 1, axis=1)).predict(spaces)
    )


def test_one_target_may_be_a_vector(planted):
    spaces, Y = planted
    model = StackingCV(ESTIMATOR).fit(spaces, Y[:, 2])
    whole = StackingCV(ESTIMATOR).fit(spaces, Y)
    assert model.weights_.shape == (3, 1)
    np.testing.assert_allclose(model.weights_[:, 0], whole.weights_[:, 2], atol=1e-9)
    np.testing.assert_allclose(model.predict(spaces), whole.predict(spaces)[:, 2], rtol=1e-9)
    np.testing.assert_allclose(
        model.predict_by_space(spaces)["b"], whole.predict_by_space(spaces)["b"][:, 2], rtol=1e-9
    )


def test_cross_validation_of_a_matrix_with_columns(planted):
    spaces, Y = planted
    X = np.concatenate(list(spaces.values()), axis=1)
    columns = {"a": slice(0, 6), "b": slice(6, 15), "c": slice(15, 27)}
    folds = blocks(240, n=3, gap=2)
    found = cross_validate(StackingCV(ESTIMATOR, columns=columns), X, Y, folds=folds)
    for i, (train, test) in enumerate(folds):
        model = StackingCV(ESTIMATOR).fit({name: x[train] for name, x in spaces.items()}, Y[train], position=train)
        expected = r2(Y[test], model.predict({name: x[test] for name, x in spaces.items()}))
        np.testing.assert_allclose(found.scores["r2"][i], expected, rtol=1e-9)
        np.testing.assert_allclose(found.inner_score[i], model.inner_score_, rtol=1e-9)


def test_what_cannot_be_stacked_is_refused(planted):
    spaces, Y = planted
    model = StackingCV(ESTIMATOR)
    with pytest.raises(NotFittedError):
        model.predict(spaces)
    with pytest.raises(BrainalignError, match="dict of feature spaces"):
        model.fit(spaces["a"], Y)
    with pytest.raises(Misaligned, match=r"X must be \(n_samples, n_features\), got \(240,\)"):
        StackingCV(ESTIMATOR, columns={"a": slice(0, 1)}).fit(spaces["a"][:, 0], Y)
    with pytest.raises(BrainalignError, match="no feature space"):
        model.fit({}, Y)
    with pytest.raises(Misaligned, match="'a': 240, 'b': 239"):
        model.fit({"a": spaces["a"], "b": spaces["b"][1:]}, Y)
    with pytest.raises(Misaligned, match="240 samples but Y has 239"):
        model.fit(spaces, Y[1:])
    with pytest.raises(Misaligned, match="240 samples but run has 3"):
        model.fit(spaces, Y, run=[1, 2, 3])
    with pytest.raises(Misaligned, match=r"'a' must be \(n_samples, n_features\), got \(240,\)"):
        model.fit({"a": spaces["a"][:, 0]}, Y)
    with pytest.raises(Misaligned, match=r"\(n_samples, n_targets\), got \(240, 3, 1\)"):
        model.fit(spaces, Y[:, :, None])
    bad = {name: X.copy() for name, X in spaces.items()}
    bad["b"][7, 2] = np.nan
    with pytest.raises(BrainalignError, match="feature space 'b' is nan at sample 7, feature 2"):
        model.fit(bad, Y)
    with pytest.raises(BrainalignError, match="Y is nan at sample 7, target 1"):
        model.fit(spaces, np.where((np.arange(240)[:, None] == 7) & (np.arange(3) == 1), np.nan, Y))
    model.fit(spaces, Y)
    with pytest.raises(Misaligned, match=r"spaces \['a', 'b', 'c'\] as in fit, got \['a'\]"):
        model.predict({"a": spaces["a"]})


class Broken(Recorder):
    """An estimator whose predictions overflow."""

    def predict(self, X):
        return np.full((len(X), 3), np.inf)


def test_a_prediction_that_is_not_finite_is_named(planted):
    spaces, Y = planted
    with pytest.raises(BrainalignError, match="inner prediction of 'a' is inf at sample 0, target 0"):
        StackingCV(Broken()).fit(spaces, Y)
