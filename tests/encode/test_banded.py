import numpy as np
import pytest
import torch
from himalaya.ridge import GroupRidgeCV
from sklearn.base import clone

from brainalign.encode.banded import BandedRidgeCV, candidates
from brainalign.encode.engine.problem import pose
from brainalign.encode.partition import partition_variance, product_measure
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.spaces import columns_of
from brainalign.encode.splits import blocks
from brainalign.errors import BrainalignError, Misaligned

ALPHAS = np.logspace(-1, 5, 7)


def planted(n_samples=400, *, sizes=(10, 30), strengths=(1.0, 0.5), n_targets=20, seed=0, noise=1.0):
    """Feature spaces whose share of the responses' variance is known: strength squared, over the sum and noise."""
    rng = np.random.default_rng(seed)
    names = "abcd"
    spaces, Y = {}, noise * rng.standard_normal((n_samples, n_targets))
    for name, size, strength in zip(names, sizes, strengths, strict=False):
        X = rng.standard_normal((n_samples, size))
        weights = rng.standard_normal((size, n_targets))
        Y += strength * X @ (weights / np.linalg.norm(weights, axis=0))
        spaces[name] = X
    return spaces, Y


def scaled(spaces, gamma):
    """Join feature spaces, each times the root of its gamma."""
    return np.concatenate([np.sqrt(g) * X for g, X in zip(gamma, spaces.values(), strict=True)], axis=1)


@pytest.mark.parametrize("sizes", [(10, 30), (60, 90)])
@pytest.mark.parametrize("scale", [False, True])
def test_best_of_plain_ridge_on_scaled_features(sizes, scale):
    spaces, Y = planted(120, sizes=sizes)
    folds = blocks(120, n=4)
    model = BandedRidgeCV(ALPHAS, n_iter=8, inner=folds, scale=scale, seed=3).fit(spaces, Y)
    if scale:  # the standard deviations of whole and training set differ: compare the scores of the same candidates
        assert (
            model.inner_score_ >= RidgeCV(ALPHAS, inner=folds).fit(scaled(spaces, (1, 1)), Y).inner_score_ - 0.1
        ).all()
        return
    plain = [RidgeCV(ALPHAS, inner=folds, scale=False).fit(scaled(spaces, g), Y) for g in candidates(2, 8, seed=3)]
    scores = np.array([m.inner_score_ for m in plain])
    np.testing.assert_allclose(model.inner_score_, scores.max(axis=0), rtol=1e-8)
    best = scores.argmax(axis=0)
    np.testing.assert_array_equal(model.gamma_, candidates(2, 8, seed=3)[best].T)
    np.testing.assert_array_equal(model.alpha_, [plain[b].alpha_[j] for j, b in enumerate(best)])
    new, _ = planted(50, sizes=sizes, seed=9)
    expected = np.stack(
        [plain[b].predict(scaled(new, candidates(2, 8, seed=3)[b]))[:, j] for j, b in enumerate(best)], axis=1
    )
    np.testing.assert_allclose(model.predict(new), expected, rtol=1e-7, atol=1e-9)
    X_new = np.concatenate(list(new.values()), axis=1)
    np.testing.assert_allclose(X_new @ model.coef_.T + model.intercept_, model.predict(new), rtol=1e-8, atol=1e-10)


def test_equals_himalaya_with_the_same_candidates(monkeypatch):
    spaces, Y = planted(200)
    folds = blocks(200, n=5)
    gammas = np.random.default_rng(1).dirichlet([1, 1], size=12)  # himalaya divides by gamma: none may be 0
    monkeypatch.setattr("brainalign.encode.banded.candidates", lambda *_, **__: gammas)
    ours = BandedRidgeCV(ALPHAS, n_iter=12, inner=folds, scale=False, seed=1).fit(spaces, Y)
    theirs = GroupRidgeCV(
        groups=[0] * 10 + [1] * 30,
        cv=folds,
        fit_intercept=True,
        random_state=0,
        solver_params={"n_iter": gammas, "alphas": ALPHAS, "progress_bar": False, "warn": False},
    ).fit(np.concatenate(list(spaces.values()), axis=1), Y)
    equal = np.isclose(np.exp(theirs.deltas_), ours.gamma_ / ours.alpha_, rtol=1e-6, atol=1e-300).all(axis=0)
    assert equal.mean() > 0.8  # himalaya averages scores over folds, we pool their errors
    np.testing.assert_allclose(ours.coef_.T[:, equal], theirs.coef_[:, equal], rtol=1e-6, atol=1e-8)


def test_a_space_without_signal_gets_little_and_the_others_more():
    spaces, Y = planted(400, sizes=(10, 100), strengths=(1.0, 0.0))
    banded = BandedRidgeCV(ALPHAS, n_iter=20).fit(spaces, Y)
    assert np.median(banded.gamma_[0]) > 0.9
    folds = blocks(400, n=4)
    X = np.concatenate(list(spaces.values()), axis=1)
    plain = cross_validate(RidgeCV(ALPHAS), X, Y, folds=folds).mean("r2")
    own = cross_validate(BandedRidgeCV(ALPHAS, n_iter=20, columns=columns_of(spaces)), X, Y, folds=folds).mean("r2")
    assert (own > plain).mean() > 0.9


def test_unique_variance_is_recovered():
    spaces, Y = planted(3000, sizes=(8, 24), strengths=(1.0, 0.7), n_targets=30)
    total = 1 + 0.49 + 1
    found = partition_variance(
        lambda columns: BandedRidgeCV(ALPHAS, n_iter=6, columns=columns), spaces, Y, folds=blocks(3000, n=4)
    )
    assert abs(found["a"].mean() - 1 / total) < 0.02
    assert abs(found["b"].mean() - 0.49 / total) < 0.02
    assert abs(found["a", "b"].mean()) < 0.02


def test_shares_of_the_product_measure_sum_to_the_r2_of_the_prediction():
    spaces, Y = planted()
    model = BandedRidgeCV(ALPHAS, n_iter=5).fit(spaces, Y)
    added = model.predict_by_space(spaces)
    np.testing.assert_allclose(sum(added.values()) + Y.mean(axis=0), model.predict(spaces), rtol=1e-10)
    shares = product_measure(Y, added)
    residual = np.square(Y - model.predict(spaces)).sum(axis=0)
    np.testing.assert_allclose(
        sum(shares.values()), 1 - residual / np.square(Y - Y.mean(axis=0)).sum(axis=0), rtol=1e-9
    )


def test_candidates_are_continued_from_the_seed():
    np.testing.assert_array_equal(candidates(3, 40, seed=2)[:15], candidates(3, 15, seed=2))
    assert not np.array_equal(candidates(3, 40, seed=2)[10:], candidates(3, 40, seed=3)[10:])
    np.testing.assert_allclose(candidates(3, 40).sum(axis=1), 1)
    spaces, Y = planted()
    whole = BandedRidgeCV(ALPHAS, n_iter=12).fit(spaces, Y)
    parts = BandedRidgeCV(ALPHAS, n_iter=5, warm_start=True).fit(spaces, Y)
    assert parts.n_candidates_ == 5
    parts.set_params(n_iter=12).fit(spaces, Y)
    np.testing.assert_array_equal(parts.coef_, whole.coef_)
    with pytest.raises(BrainalignError, match="warm_start"):
        parts.fit(spaces, Y + np.arange(len(Y))[:, None])


@pytest.mark.parametrize(
    "changed",
    [{"alphas": [1.0, 2.0]}, {"seed": 1}, {"concentration": (1.0,)}, {"scale": False}, {"inner": blocks(400, n=3)}],
)
def test_a_warm_start_refuses_other_settings(changed):
    spaces, Y = planted()
    model = BandedRidgeCV(ALPHAS, n_iter=3, warm_start=True).fit(spaces, Y)
    with pytest.raises(BrainalignError, match="warm_start"):
        model.set_params(n_iter=5, **changed).fit(spaces, Y)


def test_a_warm_start_refuses_data_that_differ_in_one_value():
    spaces, Y = planted()
    model = BandedRidgeCV(ALPHAS, n_iter=2, warm_start=True).fit(spaces, Y)
    other = Y.copy()
    other[200, 5] += 1e-9
    with pytest.raises(BrainalignError, match="warm_start"):
        model.fit(spaces, other)
    swapped = {"a": spaces["a"][:, ::-1], "b": spaces["b"]}
    with pytest.raises(BrainalignError, match="warm_start"):
        model.fit(swapped, Y)


def test_a_warm_start_goes_on_after_an_interruption(monkeypatch):
    spaces, Y = planted()
    whole = BandedRidgeCV(ALPHAS, n_iter=9).fit(spaces, Y)
    model = BandedRidgeCV(ALPHAS, n_iter=9, warm_start=True)
    tried = []

    def pose_until_stopped(*given, **settings):
        tried.append(1)
        if len(tried) == 5:
            raise KeyboardInterrupt
        return pose(*given, **settings)

    monkeypatch.setattr("brainalign.encode.banded.pose", pose_until_stopped)
    with pytest.raises(KeyboardInterrupt):
        model.fit(spaces, Y)
    assert model.n_candidates_ == 4
    model.fit(spaces, Y)
    assert len(tried) == 10
    np.testing.assert_array_equal(model.gamma_, whole.gamma_)
    np.testing.assert_array_equal(model.coef_, whole.coef_)


def test_constant_targets_are_left_alone_where_no_other_takes_the_first_candidate():
    spaces, Y = planted(100, sizes=(5, 8), strengths=(3.0, 0.0), n_targets=3)
    Y[:, 2] = 1
    model = BandedRidgeCV(ALPHAS, n_iter=3).fit(spaces, Y)
    np.testing.assert_array_equal(model.predict(spaces)[:, 2], 1)
    nothing = BandedRidgeCV(ALPHAS, n_iter=3).fit(spaces, np.ones((100, 2)))
    np.testing.assert_array_equal(nothing.predict(spaces), 1)
    assert np.isfinite(model.score(spaces, Y))


def test_runs_and_tensors_as_for_ridge():
    spaces, Y = planted(200)
    by_run = BandedRidgeCV(ALPHAS, n_iter=3).fit(spaces, [Y[:120], Y[120:]])
    assert by_run.n_inner_folds_ == 2
    tensors = {name: torch.as_tensor(X) for name, X in spaces.items()}
    model = BandedRidgeCV(ALPHAS, n_iter=3).fit(tensors, torch.as_tensor(Y))
    Y_hat = model.predict(tensors)
    assert isinstance(Y_hat, torch.Tensor)
    np.testing.assert_array_equal(Y_hat.numpy(), BandedRidgeCV(ALPHAS, n_iter=3).fit(spaces, Y).predict(spaces))


@pytest.mark.parametrize("unit", [1e-13, 1e6])
def test_unit_of_the_responses_decides_nothing(unit):
    spaces, Y = planted()
    plain, other = BandedRidgeCV(ALPHAS, n_iter=6).fit(spaces, Y), BandedRidgeCV(ALPHAS, n_iter=6).fit(spaces, Y * unit)
    np.testing.assert_array_equal(other.gamma_, plain.gamma_)
    np.testing.assert_array_equal(other.alpha_, plain.alpha_)
    np.testing.assert_allclose(other.inner_score_, plain.inner_score_, rtol=1e-9)


def test_constant_target_is_nan_and_predicted_as_it_was():
    spaces, Y = planted()
    Y[:, 3] = 7.5
    model = BandedRidgeCV(ALPHAS, n_iter=5).fit(spaces, Y)
    assert np.isnan(model.gamma_[:, 3]).all()
    assert np.isnan(model.inner_score_[3])
    assert model.n_constant_ == 1
    np.testing.assert_array_equal(model.predict(spaces)[:, 3], 7.5)


def test_one_target_and_a_matrix_with_columns():
    spaces, Y = planted()
    X = np.concatenate(list(spaces.values()), axis=1)
    by_name = BandedRidgeCV(ALPHAS, n_iter=5).fit(spaces, Y[:, 0])
    by_column = clone(BandedRidgeCV(ALPHAS, n_iter=5, columns=columns_of(spaces))).fit(X, Y[:, 0])
    assert by_name.predict(spaces).shape == (400,)
    np.testing.assert_array_equal(by_name.predict(spaces), by_column.predict(X))


def test_a_matrix_is_one_feature_space():
    spaces, Y = planted()
    banded, plain = BandedRidgeCV(ALPHAS, n_iter=5).fit(spaces["a"], Y), RidgeCV(ALPHAS).fit(spaces["a"], Y)
    assert banded.spaces_ == ["X"]
    np.testing.assert_array_equal(banded.alpha_, plain.alpha_)
    np.testing.assert_allclose(banded.predict(spaces["a"]), plain.predict(spaces["a"]), rtol=1e-6, atol=1e-9)
    with pytest.raises(Misaligned, match="X has 3 features"):
        banded.predict(spaces["a"][:, :3])


def test_what_does_not_fit_together_is_refused():
    spaces, Y = planted()
    model = BandedRidgeCV(ALPHAS, n_iter=3).fit(spaces, Y)
    with pytest.raises(Misaligned, match="feature spaces"):
        model.predict({"a": spaces["a"]})
    with pytest.raises(Misaligned, match="'b' has 29 features"):
        model.predict({"a": spaces["a"], "b": spaces["b"][:, 1:]})
    with pytest.raises(Misaligned, match="399"):
        BandedRidgeCV(ALPHAS).fit(spaces, Y[1:])
    with pytest.raises(BrainalignError, match="n_iter"):
        BandedRidgeCV(ALPHAS, n_iter=0).fit(spaces, Y)
    broken = {"a": spaces["a"].copy(), "b": spaces["b"]}
    broken["a"][5, 2] = np.nan
    with pytest.raises(BrainalignError, match="'a' is nan at sample 5, feature 2"):
        BandedRidgeCV(ALPHAS).fit(broken, Y)
    with pytest.raises(BrainalignError, match="Y is nan at sample 4, target 1"):
        BandedRidgeCV(ALPHAS, n_iter=2).fit(spaces, np.where(np.arange(Y.size).reshape(Y.shape) == 81, np.nan, Y))
