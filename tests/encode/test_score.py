import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import FoldScores, cross_validate, nested_choice
from brainalign.encode.splits import Blocks, Fold, blocks, by_group
from brainalign.errors import BrainalignError, Misaligned, UnknownName


@pytest.fixture
def planted():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 10))
    return X, X @ rng.standard_normal((10, 4)) + rng.standard_normal((120, 4)) * [0.1, 1, 3, 30]


class Recorder(BaseEstimator):
    """Least squares that writes down what it was given."""

    log: list = []  # noqa: RUF012

    def fit(self, X, Y, groups=None, *, run=None, position=None):
        Recorder.log.append((len(X), groups, run, position))
        self.model_ = LinearRegression().fit(X, Y)
        return self

    def predict(self, X):
        return self.model_.predict(X)


def test_scores_are_those_of_a_loop(planted):
    X, Y = planted
    folds = blocks(120, n=4, gap=3)
    found = cross_validate(RidgeCV(inner=Blocks(3, gap=2)), X, Y, folds=folds)
    for i, (train, test) in enumerate(folds):
        model = RidgeCV(inner=Blocks(3, gap=2)).fit(X[train], Y[train], position=train)
        expected = [pearsonr(a, b)[0] for a, b in zip(Y[test].T, model.predict(X[test]).T, strict=True)]
        np.testing.assert_allclose(found.scores["pearson"][i], expected, rtol=1e-10)
        np.testing.assert_array_equal(found.alpha[i], model.alpha_)
        np.testing.assert_array_equal(found.inner_score[i], model.inner_score_)
        np.testing.assert_array_equal(found.alpha_at_edge[i], model.alpha_at_edge_)
    assert set(found.scores) == {"pearson", "r2"}
    assert (np.diff(found.mean("pearson")) < 0).all()


def test_estimator_sees_only_training_samples_and_where_they_were(planted):
    X, Y = planted
    Recorder.log.clear()
    run = np.repeat([0, 1, 2], 40)
    found = cross_validate(Recorder(), X, Y, folds=by_group(run), groups=run, run=run)
    for (n, groups, runs, position), left_out in zip(Recorder.log, (0, 1, 2), strict=True):
        assert n == 80
        np.testing.assert_array_equal(position, np.flatnonzero(run != left_out))
        np.testing.assert_array_equal(groups, run[run != left_out])
        np.testing.assert_array_equal(runs, groups)
    assert np.isnan(found.alpha).all()
    assert found.alpha.shape == (3, 4)


def test_nothing_of_the_test_samples_reaches_the_fit(planted):
    X, Y = planted
    folds = blocks(120, n=4, gap=3)
    before = cross_validate(RidgeCV(), X, Y, folds=folds)
    broken_X, broken_Y = X.copy(), Y.copy()
    broken_X[folds[0].test] *= 1e6
    broken_Y[folds[0].test] += 1e6
    after = cross_validate(RidgeCV(), broken_X, broken_Y, folds=folds)
    np.testing.assert_array_equal(after.alpha[0], before.alpha[0])
    np.testing.assert_array_equal(after.inner_score[0], before.inner_score[0])
    assert (after.alpha[1:] != before.alpha[1:]).any()  # elsewhere they are training samples


@pytest.mark.parametrize("unit", [1e-13, 1e6])
def test_unit_of_the_responses_changes_no_score(planted, unit):
    X, Y = planted
    folds = blocks(120, n=4, gap=3)
    plain, scaled = (cross_validate(RidgeCV(), X, y, folds=folds) for y in (Y, Y * unit))
    np.testing.assert_array_equal(scaled.alpha, plain.alpha)
    for metric in ("pearson", "r2"):
        np.testing.assert_allclose(scaled.scores[metric], plain.scores[metric], rtol=1e-9, atol=1e-12)


def test_constant_target_has_no_score_and_lowers_no_mean(planted):
    X, Y = planted
    folds = blocks(120, n=4)
    Y = np.insert(Y, 1, 7.0, axis=1)
    Y[folds[2].test, 4] = 3.0  # constant in one test set only
    found = cross_validate(RidgeCV(), X, Y, folds=folds)
    assert found.n_scored("pearson").tolist() == [4, 0, 4, 4, 3]
    assert np.isnan(found.mean("pearson")[1])
    assert np.isnan(found.alpha[:, 1]).all()
    scores = found.scores["pearson"][:, 4]
    np.testing.assert_allclose(found.mean("pearson")[4], scores[[0, 1, 3]].mean())
    np.testing.assert_allclose(found.sd("pearson")[4], scores[[0, 1, 3]].std(ddof=1))


def test_mean_and_sd_without_scores():
    empty = FoldScores({"r2": np.array([[np.nan, 1.0], [np.nan, np.nan]])}, *[np.zeros((2, 2))] * 3)
    np.testing.assert_array_equal(empty.mean("r2"), [np.nan, 1.0])
    np.testing.assert_array_equal(empty.sd("r2"), [np.nan, np.nan])


def test_folds_that_leak_are_refused(planted):
    X, Y = planted
    stimulus = np.tile(np.arange(60), 2)
    with pytest.raises(BrainalignError, match="stimulus '0' is in the training"):
        cross_validate(RidgeCV(), X, Y, folds=blocks(120, n=4), groups=stimulus)
    every_fourth = [Fold(np.flatnonzero(np.arange(120) % 4 != k), np.arange(k, 120, 4)) for k in range(4)]
    with pytest.raises(BrainalignError, match="neighbour in time"):
        cross_validate(RidgeCV(), X, Y, folds=every_fourth, run=np.zeros(120))


def test_what_does_not_fit_is_refused(planted):
    X, Y = planted
    folds = blocks(120, n=4)
    with pytest.raises(Misaligned, match="X has 120 samples but Y has 119"):
        cross_validate(RidgeCV(), X, Y[1:], folds=folds)
    with pytest.raises(Misaligned, match="run has 3"):
        cross_validate(RidgeCV(), X, Y, folds=folds, run=[1, 2, 3])
    with pytest.raises(Misaligned, match="n_targets"):
        cross_validate(RidgeCV(), X, Y[:, 0], folds=folds)
    with pytest.raises(UnknownName, match="pearson"):
        cross_validate(RidgeCV(), X, Y, folds=folds, metrics=("pearsn",))


def test_nested_choice_goes_by_the_inner_score():
    inner = np.array([[[0.1, 0.5, np.nan]], [[0.3, 0.5, np.nan]], [[np.nan, 0.2, np.nan]]])
    outer = np.array([[[0.9, 0.1, 0.7]], [[0.2, 0.8, 0.7]], [[0.99, 0.9, 0.7]]])
    chosen, scores = nested_choice(inner, outer)
    assert chosen.tolist() == [[1, 0, -1]]
    np.testing.assert_array_equal(scores, [[0.2, 0.1, np.nan]])
    with pytest.raises(Misaligned, match="n_candidates"):
        nested_choice(inner, outer[:2])


def test_nested_choice_of_noise_is_at_chance_where_the_best_on_the_test_data_is_not():
    rng = np.random.default_rng(0)
    inner, outer = rng.standard_normal((2, 12, 5, 400)) * 0.1
    _, scores = nested_choice(inner, outer)
    assert abs(scores.mean()) < 2 * 0.1 / np.sqrt(5 * 400)
    assert outer.max(axis=0).mean() > 0.1


def test_nested_choice_finds_the_planted_layer():
    rng = np.random.default_rng(3)
    layers = rng.standard_normal((3, 200, 8))
    Y = layers[1] @ rng.standard_normal((8, 6)) + 2 * rng.standard_normal((200, 6))
    found = [cross_validate(RidgeCV(), X, Y, folds=blocks(200, n=5, gap=2)) for X in layers]
    chosen, scores = nested_choice([f.inner_score for f in found], [f.scores["pearson"] for f in found])
    assert (chosen == 1).all()
    np.testing.assert_array_equal(scores, found[1].scores["pearson"])
