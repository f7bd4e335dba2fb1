import pickle
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from brainalign.encode.banded import BandedRidgeCV
from brainalign.encode.engine import compute
from brainalign.encode.engine.compute import PrecisionWarning, bfloat16_is_faster
from brainalign.encode.engine.sources import WIDTH
from brainalign.encode.ridge import ALPHAS, EdgeWarning, RidgeCV, default_inner
from brainalign.encode.ridge import Ridge as Penalised
from brainalign.encode.splits import Blocks, Groups, blocks, by_group
from brainalign.errors import BrainalignError, Misaligned, UnknownName

SHAPES = [(60, 12, 9), (60, 150, 9), (60, 60, 1)]


def planted(n_samples, n_features, n_targets, *, seed=0, noise=1.0, dtype=np.float64):
    """Features of unequal size and responses of unequal noise, so that targets choose different penalties."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features)) * np.logspace(-1, 1, n_features) + 5
    weights = rng.standard_normal((n_features, n_targets)) / np.sqrt(n_features)
    Y = X @ weights + noise * rng.standard_normal((n_samples, n_targets)) * np.logspace(-1, 1.5, n_targets) + 100
    return X.astype(dtype), Y.astype(dtype)


def closed_form(X, Y, X_new, *, alpha, scale):
    """Predict by the normal equations in float64, one target."""
    X, Y, X_new = (a.astype(np.float64) for a in (X, Y, X_new))
    mean, deviation = X.mean(axis=0), X.std(axis=0) if scale else 1.0
    z, z_new = (X - mean) / deviation, (X_new - mean) / deviation
    w = scipy.linalg.solve(z.T @ z + alpha * np.eye(z.shape[1]), z.T @ (Y - Y.mean(axis=0)), assume_a="pos")
    return z_new @ w + Y.mean(axis=0)


def brute_force(X, Y, folds, *, alphas, scale):
    """Sum squared errors over folds, (n_alphas, n_targets), and those of the training mean."""
    sse = [
        sum(
            np.square(Y[test] - closed_form(X[train], Y[train], X[test], alpha=a, scale=scale)).sum(axis=0)
            for train, test in folds
        )
        for a in alphas
    ]
    sst = sum(np.square(Y[test] - Y[train].mean(axis=0)).sum(axis=0) for train, test in folds)
    return np.array(sse), sst


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [True, False])
def test_equals_the_closed_form(shape, scale):
    X, Y = planted(*shape)
    X_new, _ = planted(*shape, seed=1)
    folds = blocks(len(X), n=4, gap=2)
    alphas = np.logspace(-1, 6, 8)
    model = RidgeCV(alphas, inner=folds, scale=scale).fit(X, Y)
    sse, sst = brute_force(X, Y, folds, alphas=alphas, scale=scale)
    np.testing.assert_array_equal(model.alpha_, alphas[sse.argmin(axis=0)])
    np.testing.assert_allclose(model.inner_score_, 1 - sse.min(axis=0) / sst, rtol=1e-8)
    for j, alpha in enumerate(model.alpha_):
        expected = closed_form(X, Y[:, [j]], X_new, alpha=alpha, scale=scale)[:, 0]
        np.testing.assert_allclose(model.predict(X_new)[:, j], expected, rtol=1e-9)
    np.testing.assert_allclose(X_new @ model.coef_.T + model.intercept_, model.predict(X_new), rtol=1e-9)
    whole = model.inner_solver_ == "left out of the whole"
    assert model.solver_ == ("primal" if shape[0] >= shape[1] and not whole else "dual")
    assert len(np.unique(model.alpha_)) > 1 or shape[2] == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_sklearn_with_the_same_splits(shape):
    X, Y = planted(*shape)
    folds = blocks(len(X), n=4)  # of equal size: the mean over folds is the pooled error
    alphas = np.logspace(-1, 6, 8)
    model = RidgeCV(alphas, inner=folds).fit(X, Y)
    for j in range(Y.shape[1]):
        search = GridSearchCV(
            make_pipeline(StandardScaler(), Ridge()),
            {"ridge__alpha": alphas},
            cv=folds,
            scoring="neg_mean_squared_error",
        ).fit(X, Y[:, j])
        assert model.alpha_[j] == search.best_params_["ridge__alpha"]
        np.testing.assert_allclose(model.predict(X)[:, j], search.predict(X), rtol=1e-9)
        np.testing.assert_allclose(
            model.coef_[j] * X.std(axis=0), search.best_estimator_[-1].coef_, rtol=1e-5, atol=1e-9
        )


@pytest.mark.parametrize("shape", [(80, 20, 30), (80, 120, 30)])
def test_equals_himalaya_with_the_same_splits(shape):
    X, Y = planted(*shape)
    folds = blocks(len(X), n=4)
    alphas = np.logspace(-1, 6, 15)
    ours = RidgeCV(alphas, inner=folds, scale=False).fit(X, Y)
    theirs = HimalayaRidgeCV(alphas=alphas, fit_intercept=True, cv=folds, solver_params={"warn": False}).fit(X, Y)
    np.testing.assert_allclose(ours.alpha_, np.asarray(theirs.best_alphas_), rtol=1e-12)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_is_computed_as_float32_and_chooses_as_float64(shape):
    X, Y = planted(*shape, dtype=np.float32)
    alphas = np.logspace(0, 5, 6)
    single, double = RidgeCV(alphas).fit(X, Y), RidgeCV(alphas).fit(X.astype(np.float64), Y.astype(np.float64))
    assert single.predict(X).dtype == np.float32
    assert double.predict(X.astype(np.float64)).dtype == np.float64
    np.testing.assert_array_equal(single.alpha_, double.alpha_)
    np.testing.assert_allclose(single.predict(X), double.predict(X.astype(np.float64)), rtol=1e-4)
    np.testing.assert_allclose(single.inner_score_, double.inner_score_, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-13, 1e-6, 1e6])
def test_unit_of_the_responses_decides_nothing(dtype, unit):
    X, Y = planted(90, 30, 12, dtype=dtype)
    plain, scaled = RidgeCV().fit(X, Y), RidgeCV().fit(X, Y * dtype(unit))
    np.testing.assert_array_equal(scaled.alpha_, plain.alpha_)
    assert len(np.unique(plain.alpha_)) > 2
    tolerance = 1e-9 if dtype is np.float64 else 1e-3
    np.testing.assert_allclose(scaled.inner_score_, plain.inner_score_, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(scaled.predict(X) / dtype(unit), plain.predict(X), rtol=tolerance)


def test_adding_a_constant_or_permuting_targets_changes_nothing():
    X, Y = planted(90, 30, 12)
    model = RidgeCV().fit(X, Y)
    order = np.random.default_rng(0).permutation(12)
    moved = RidgeCV().fit(X + 3, Y[:, order] - 1000)
    np.testing.assert_array_equal(moved.alpha_, model.alpha_[order])
    np.testing.assert_allclose(moved.inner_score_, model.inner_score_[order], rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(moved.predict(X + 3) + 1000, model.predict(X)[:, order], rtol=1e-8)


def test_targets_side_by_side_equal_targets_alone():
    X, Y = planted(70, 100, 5)
    together = RidgeCV().fit(X, Y)
    for j in range(5):
        alone = RidgeCV().fit(X, Y[:, j])
        assert alone.alpha_.tolist() == [together.alpha_[j]]
        assert alone.predict(X).shape == (70,)
        np.testing.assert_allclose(alone.predict(X), together.predict(X)[:, j], rtol=1e-9)


@pytest.mark.parametrize("n_features", [10, 100])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-13])
def test_constant_target_is_nan_and_harms_nobody(n_features, value):
    X, Y = planted(60, n_features, 4)
    before = RidgeCV().fit(X, Y)
    with_constant = np.insert(Y, 2, value, axis=1)
    after = RidgeCV().fit(X, with_constant)
    assert np.isnan(after.alpha_[2])
    assert np.isnan(after.inner_score_[2])
    np.testing.assert_allclose(after.predict(X)[:, 2], value, rtol=1e-12)
    np.testing.assert_array_equal(np.delete(after.alpha_, 2), before.alpha_)
    np.testing.assert_allclose(np.delete(after.predict(X), 2, axis=1), before.predict(X), rtol=1e-12)
    assert after.alpha_at_edge_ == before.alpha_at_edge_


@pytest.mark.parametrize("n_features", [10, 100])
@pytest.mark.parametrize("scale", [True, False])
def test_constant_features_are_harmless_even_if_they_vary_later(n_features, scale):
    X, Y = planted(60, n_features, 4)
    X_new, _ = planted(20, n_features, 4, seed=1)
    plain = RidgeCV(scale=scale).fit(X, Y)
    padded = RidgeCV(scale=scale).fit(np.c_[X, np.zeros(60), np.full(60, 0.1)], Y)
    np.testing.assert_array_equal(padded.alpha_, plain.alpha_)
    later = np.c_[X_new, np.random.default_rng(0).standard_normal((20, 2)) * 1e6]
    np.testing.assert_allclose(padded.predict(later), plain.predict(X_new), rtol=1e-7)
    np.testing.assert_array_equal(padded.coef_[:, -2:], 0)


def test_features_that_are_all_constant_predict_the_mean():
    _, Y = planted(60, 3, 4)
    model = RidgeCV().fit(np.zeros((60, 3)), Y)
    np.testing.assert_allclose(model.predict(np.ones((5, 3))), np.tile(Y.mean(axis=0), (5, 1)))
    np.testing.assert_allclose(model.inner_score_, 0, atol=1e-12)
    assert (model.alpha_ == ALPHAS[-1]).all()  # all penalties tie, the largest is taken


def test_duplicate_columns_and_huge_spread_stay_finite_and_right():
    X, Y = planted(60, 8, 3)
    X = np.c_[X, X[:, :3], X[:, :3] * 1e8, X[:, 3:] * 1e-8]
    model = RidgeCV(np.logspace(-2, 4, 7)).fit(X, Y)
    for j, alpha in enumerate(model.alpha_):
        np.testing.assert_allclose(
            model.predict(X)[:, j], closed_form(X, Y[:, [j]], X, alpha=alpha, scale=True)[:, 0], rtol=1e-7
        )


def test_more_weights_than_samples_agree_between_primal_and_dual():
    X, Y = planted(50, 50, 6)
    padded = np.c_[X, np.zeros((50, 1))]  # one more column makes it dual, and says nothing
    primal, dual = RidgeCV().fit(X, Y), RidgeCV().fit(padded, Y)
    assert (primal.solver_, dual.solver_) == ("primal", "dual")
    np.testing.assert_array_equal(primal.alpha_, dual.alpha_)
    np.testing.assert_allclose(primal.predict(X), dual.predict(padded), rtol=1e-8)


def test_inner_splits_by_group_where_there_are_groups():
    X, Y = planted(90, 20, 6)
    run = np.repeat([0, 1, 2], [30, 20, 40])
    by_default, explicit = RidgeCV().fit(X, Y, groups=run), RidgeCV(inner=by_group(run)).fit(X, Y)
    np.testing.assert_array_equal(by_default.inner_score_, explicit.inner_score_)
    assert by_default.n_inner_folds_ == 3
    np.testing.assert_array_equal(RidgeCV().fit(X, Y, run=run).inner_score_, explicit.inner_score_)
    np.testing.assert_array_equal(RidgeCV(inner=Groups()).fit(X, Y, run=run).inner_score_, explicit.inner_score_)


def test_default_inner_splits():
    assert default_inner(300) == Blocks(5, gap=5)
    assert default_inner(300, groups=np.zeros(300)) == Blocks(5, gap=5)
    assert default_inner(40) == Blocks(5, gap=2)
    assert default_inner(300, run=np.repeat([0, 1], 150)) == Groups()
    assert default_inner(300, groups=np.repeat(np.arange(100), 3), run=np.zeros(300)) == Groups(10)


def test_blocks_as_inner_splits_use_the_original_positions():
    X, Y = planted(100, 20, 6)
    kept = np.r_[0:40, 60:100]
    folds = blocks(80, n=4, gap=6, position=kept)
    given = RidgeCV(inner=Blocks(4, gap=6)).fit(X[kept], Y[kept], position=kept)
    np.testing.assert_array_equal(given.inner_score_, RidgeCV(inner=folds).fit(X[kept], Y[kept]).inner_score_)
    ignored = RidgeCV(inner=Blocks(4, gap=6)).fit(X[kept], Y[kept])
    assert (given.inner_score_ != ignored.inner_score_).any()


def test_alpha_of_slow_noise_is_chosen_across_runs_not_between_neighbours():
    rng = np.random.default_rng(0)
    X, Y = (rng.standard_normal((4, 100, k)).cumsum(axis=1).reshape(400, k) for k in (20, 15))
    run = np.repeat(np.arange(4), 100)
    order = rng.permutation(400)
    scattered = [(np.sort(np.delete(order, part)), np.sort(order[part])) for part in np.array_split(np.arange(400), 5)]
    leaky, honest = RidgeCV(inner=scattered).fit(X, Y), RidgeCV().fit(X, Y, groups=run)
    assert np.median(np.log10(honest.alpha_)) - np.median(np.log10(leaky.alpha_)) > 2


def test_edges_of_the_grid_are_counted():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    Y = np.c_[X @ rng.standard_normal((5, 15)), rng.standard_normal((200, 25))]
    model = RidgeCV([1e-6, 1, 1e9]).fit(X, Y)
    assert (model.alpha_[:15] == 1e-6).all()
    assert model.alpha_at_edge_ == (np.mean(model.alpha_ == 1e-6), np.mean(model.alpha_ == 1e9))
    assert min(model.alpha_at_edge_) > 0.2
    assert np.isnan(RidgeCV([1.0]).fit(X, Y).alpha_at_edge_.low)


def test_sklearn_conventions():
    model = RidgeCV([1.0, 10.0], inner=Blocks(3, gap=1), scale=False)
    twin = clone(model)
    assert twin.get_params() == {
        "alphas": [1.0, 10.0],
        "inner": Blocks(3, gap=1),
        "scale": False,
        "precision": None,
        "device": "cpu",
    }
    with pytest.raises(NotFittedError):
        twin.predict(np.zeros((3, 2)))
    X, Y = planted(40, 5, 2)
    before = X.copy(), Y.copy()
    assert twin.fit(X, Y) is twin
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])
    assert twin.n_features_in_ == 5
    assert twin.score(X, Y) > 0
    assert not hasattr(model, "alpha_")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(bad):
    X, Y = planted(40, 5, 3)
    broken = Y.copy()
    broken[7, 2] = bad
    with pytest.raises(BrainalignError, match="sample 7, target 2"):
        RidgeCV().fit(X, broken)
    broken = X.copy()
    broken[3, 1] = bad
    with pytest.raises(BrainalignError, match=r"X is .* at sample 3, feature 1"):
        RidgeCV().fit(broken, Y)
    with pytest.raises(BrainalignError, match="feature 1"):
        RidgeCV().fit(X, Y).predict(broken)


def test_what_does_not_fit_together_is_refused():
    X, Y = planted(40, 5, 3)
    with pytest.raises(Misaligned, match="X has 40 samples but Y has 38"):
        RidgeCV().fit(X, Y[:-2])
    with pytest.raises(Misaligned, match="n_features"):
        RidgeCV().fit(X[:, 0], Y)
    with pytest.raises(BrainalignError, match="complex128"):
        RidgeCV().fit(X, Y + 1j)
    with pytest.raises(Misaligned, match="nothing to fit"):
        RidgeCV().fit(X[:, :0], Y)
    with pytest.raises(Misaligned, match="as in fit"):
        RidgeCV().fit(X, Y).predict(X[:, 1:])
    for alphas in ([0.0, 1.0], [-1.0], [np.nan], []):
        with pytest.raises(BrainalignError, match="positive"):
            RidgeCV(alphas).fit(X, Y)


@pytest.mark.parametrize("estimator", [Penalised(), RidgeCV(), BandedRidgeCV(n_iter=3)], ids=lambda e: type(e).__name__)
def test_check_estimator(estimator):
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    others = {result["check_name"]: result["status"] for result in results if result["status"] != "passed"}
    # checked only where SCIPY_ARRAY_API is set before scipy is imported; torch goes in and comes out in the tests here
    assert others in ({}, {"check_array_api_input": "skipped"})
    assert len(results) > 40


def test_pickle_pipeline_and_grid_search():
    X, Y = planted(60, 10, 3)
    model = RidgeCV().fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.coef_, model.coef_)
    pipeline = make_pipeline(StandardScaler(), RidgeCV(scale=False)).fit(X, Y)
    assert pipeline.score(X, Y) > 0.3
    search = GridSearchCV(Penalised(), {"alpha": [1.0, 1e8]}, cv=blocks(60, n=3)).fit(X, Y)
    assert search.best_params_ == {"alpha": 1.0}


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("n_features", [20, 700])
@pytest.mark.parametrize("make", [Penalised, RidgeCV])
def test_fits_keep_no_samples(make, n_features, kind):
    """What is kept and pickled must not grow with the samples where it need not."""
    X, Y = planted(600, n_features, 3)
    model = make().fit(kind(X), kind(Y))
    needed = 8 * (n_features * 24 + 3 * 600) if n_features < 600 else 8 * (2 * 600 * n_features + 3 * 600)
    assert len(pickle.dumps(model)) < 1.1 * needed + 20_000


@pytest.mark.parametrize("precision", ["float32", "float64", "mixed"])
@pytest.mark.parametrize("n_features", [12, 150])
def test_torch_in_torch_out(n_features, precision):
    X, Y = planted(60, n_features, 9)
    tensors = torch.as_tensor(X), torch.as_tensor(Y)
    ours, theirs = RidgeCV(precision=precision).fit(X, Y), RidgeCV(precision=precision).fit(*tensors)
    for name, value in (
        ("predict", theirs.predict(tensors[0])),
        ("coef_", theirs.coef_),
        ("intercept_", theirs.intercept_),
    ):
        assert isinstance(value, torch.Tensor), name
        assert value.device == tensors[0].device
        expected = ours.predict(X) if name == "predict" else getattr(ours, name)
        assert isinstance(expected, np.ndarray), name
        np.testing.assert_array_equal(value.numpy(), expected)
    np.testing.assert_array_equal(ours.alpha_, theirs.alpha_)
    assert isinstance(theirs.predict(X), np.ndarray)
    assert ours.precision_ == precision or not bfloat16_is_faster(torch.device("cpu"))
    assert ours.device_ == "cpu"


@pytest.mark.parametrize(
    "convert", [np.asfortranarray, lambda a: a[::-1].copy()[::-1], lambda a: a.astype(">f8"), torch.as_tensor]
)
def test_layout_of_the_data_changes_nothing(convert):
    X, Y = planted(60, 12, 5)
    plain, other = RidgeCV().fit(X, Y), RidgeCV().fit(convert(X), convert(Y))
    np.testing.assert_array_equal(other.alpha_, plain.alpha_)
    np.testing.assert_allclose(other.inner_score_, plain.inner_score_, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.asarray(other.predict(convert(X))), plain.predict(X), rtol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "precision"), [("f2", "float32"), ("i4", "float64"), ("?", "float64"), (">f4", "float32")]
)
def test_numbers_of_other_types(dtype, precision):
    X, Y = (
        (np.round(a - a.mean(axis=0)) > 0 if dtype == "?" else np.round(a)).astype(dtype) for a in planted(60, 12, 5)
    )
    alphas = [0.1, 100.0, 1e5]  # far apart: what is nearly the same in float32 is taken for a tie
    model, exact = RidgeCV(alphas).fit(X, Y), RidgeCV(alphas).fit(X.astype(float), Y.astype(float))
    assert model.precision_ == precision
    np.testing.assert_array_equal(model.alpha_, exact.alpha_)
    np.testing.assert_allclose(model.predict(X), exact.predict(X.astype(float)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "float64", "mixed"])
@pytest.mark.parametrize("n_features", [12, 150])
@pytest.mark.parametrize("scale", [True, False])
def test_memory_maps_and_runs_equal_arrays_in_memory(n_features, scale, precision, tmp_path):
    X, Y = planted(60, n_features, 9, dtype=np.float32)
    run = np.repeat([0, 1, 2], [15, 20, 25])
    expected = RidgeCV(scale=scale, precision=precision).fit(X, Y, run=run)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "Y.npy", Y)
    on_disk = [np.load(tmp_path / name, mmap_mode="r") for name in ("X.npy", "Y.npy")]

    def runs(values):
        return [values[run == i] for i in range(3)]

    for name, given in {
        "maps": (*on_disk, run),
        "runs of Y": (X, runs(Y), None),
        "runs of X": (runs(X), Y, None),
        "runs of both, on disk": (
            [on_disk[0][:15], on_disk[0][15:]],
            [on_disk[1][:15], on_disk[1][15:35], on_disk[1][35:]],
            run,
        ),
        "iterators": (iter(runs(X)), iter(runs(Y)), None),
        "generator of X": ((part for part in runs(X)), Y, None),
    }.items():
        model = RidgeCV(scale=scale, precision=precision).fit(given[0], given[1], run=given[2])
        assert model.n_inner_folds_ == 3, name
        np.testing.assert_array_equal(model.alpha_, expected.alpha_, err_msg=name)
        np.testing.assert_array_equal(model.inner_score_, expected.inner_score_, err_msg=name)
        np.testing.assert_array_equal(model.predict(X), expected.predict(X), err_msg=name)
    np.testing.assert_array_equal(on_disk[1], Y)


def test_runs_of_features_and_responses_that_differ_are_refused():
    X, Y = planted(60, 5, 3)
    with pytest.raises(BrainalignError, match="run"):
        RidgeCV().fit([X[:20], X[20:]], [Y[:30], Y[30:]])


@pytest.mark.parametrize("make", [Penalised, RidgeCV])
def test_a_value_that_is_not_finite_in_a_later_block_is_named(make, tmp_path):
    X = planted(30, 4, 1)[0]
    Y = np.random.default_rng(0).standard_normal((30, WIDTH + 900)).astype(np.float32)
    Y[17, WIDTH + 321] = np.nan
    np.save(tmp_path / "Y.npy", Y)
    for given in (Y, np.load(tmp_path / "Y.npy", mmap_mode="r"), [Y[:10], Y[10:]], iter([Y[:20], Y[20:]])):
        with pytest.raises(BrainalignError, match=f"Y is nan at sample 17, target {WIDTH + 321} "):
            make().fit(X, given)


@pytest.mark.parametrize("precision", ["float32", "mixed"])
@pytest.mark.parametrize("shape", [(300, 40, 200), (120, 200, 200)])
@pytest.mark.parametrize("scale", [True, False])
def test_coefficients_at_equal_penalty_are_those_in_float64(shape, scale, precision):
    rng = np.random.default_rng(0)
    X = rng.standard_normal(shape[:2]).astype(np.float32)
    Y = (X @ rng.standard_normal((shape[1], shape[2])) + 5 * rng.standard_normal((shape[0], shape[2]))).astype(
        np.float32
    )
    single = RidgeCV(scale=scale, precision=precision).fit(X, Y)
    exact = Penalised(single.alpha_, scale=scale).fit(X.astype(float), Y.astype(float))
    size = np.linalg.norm(exact.coef_, axis=1)
    assert (np.linalg.norm(single.coef_ - exact.coef_, axis=1) < 1e-4 * size).all()
    np.testing.assert_allclose(single.predict(X), exact.predict(X.astype(float)), atol=1e-4 * np.abs(Y).max())
    np.testing.assert_array_equal(RidgeCV(scale=scale).fit(X.astype(float), Y.astype(float)).alpha_, single.alpha_)


def test_ridge_with_a_penalty_per_target_equals_the_closed_form():
    for shape in SHAPES:
        X, Y = planted(*shape)
        alpha = np.logspace(-1, 5, shape[2])
        model = Penalised(alpha).fit(X, Y)
        for j in range(shape[2]):
            expected = closed_form(X, Y[:, [j]], X, alpha=alpha[j], scale=True)[:, 0]
            np.testing.assert_allclose(model.predict(X)[:, j], expected, rtol=1e-9)
    with pytest.raises(BrainalignError, match=r"3 .*9|9 .*3"):
        Penalised([1.0, 2.0, 3.0]).fit(*planted(60, 12, 9))


@pytest.mark.parametrize("faster", [True, False])
def test_ridge_refuses_mixed_everywhere(faster, monkeypatch):
    monkeypatch.setattr(compute, "bfloat16_is_faster", lambda device: faster)
    with pytest.raises(BrainalignError, match="nothing to scan"):
        Penalised(precision="mixed").fit(*planted(60, 12, 9))


def test_mixed_falls_back_loudly_and_is_recorded(monkeypatch):
    X, Y = planted(60, 12, 9)
    monkeypatch.setattr(compute, "bfloat16_is_faster", lambda device: False)
    with pytest.warns(PrecisionWarning, match="float32 is used"):
        model = RidgeCV(precision="mixed").fit(X, Y)
    assert model.precision_ == "float32"
    np.testing.assert_array_equal(model.alpha_, RidgeCV(precision="float32").fit(X, Y).alpha_)


@pytest.mark.parametrize("precision", ["float32", "float64", "mixed"])
def test_features_constant_in_a_training_set(precision):
    X, Y = planted(60, 1, 4)
    X[:40] = 1.0
    model = RidgeCV(inner=[(np.arange(40), np.arange(40, 60))], precision=precision).fit(X, Y)
    assert (model.alpha_ == ALPHAS[-1]).all()
    np.testing.assert_allclose(model.inner_score_, 0, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64", "mixed"])
@pytest.mark.parametrize("unit", [1e-13, 1e-6, 1e6, 1e13])
def test_no_unit_of_the_responses_matters_in_any_precision(precision, unit):
    for shape in ((90, 30, 40), (60, 150, 40)):
        X, Y = planted(*shape)
        power = 2.0 ** np.round(np.log2(unit))  # exact, so that results are the same to the last bit
        plain, scaled = (RidgeCV(precision=precision).fit(X, Y * u) for u in (1.0, power))
        np.testing.assert_array_equal(scaled.alpha_, plain.alpha_)
        np.testing.assert_array_equal(scaled.inner_score_, plain.inner_score_)
        np.testing.assert_allclose(scaled.predict(X), plain.predict(X) * power, rtol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_large_offset_of_the_responses(precision):
    X, Y = planted(90, 30, 12)
    moved = RidgeCV(precision=precision).fit(X, (Y + 1e6).astype(precision))
    plain = RidgeCV(precision="float64").fit(X, ((Y + 1e6).astype(precision)).astype(float) - 1e6)
    np.testing.assert_array_equal(moved.alpha_, plain.alpha_)
    np.testing.assert_allclose(moved.inner_score_, plain.inner_score_, atol=1e-4 if precision == "float32" else 1e-9)


def test_edges_are_warned_of_above_half_and_not_at_half():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 60))
    strong = X @ rng.standard_normal((60, 10))
    noise = rng.permuted(strong, axis=0)
    alphas = [1e-6, 1e9]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = RidgeCV(alphas).fit(X, np.c_[strong, np.ones((200, 3)), noise])
        assert model.alpha_at_edge_ == (0.5, 0.5)
        assert caught == []
        RidgeCV(alphas).fit(X, np.c_[strong, noise[:, 1:]])
    assert [w.category for w in caught] == [EdgeWarning]
    assert "lowest" in str(caught[0].message)
    with pytest.warns(EdgeWarning, match="highest"):
        RidgeCV(alphas).fit(X, np.c_[strong[:, 1:], noise])
    assert RidgeCV(alphas).fit(X, np.ones((200, 2))).n_constant_ == 2


def test_devices():
    X, Y = planted(60, 12, 3)
    model = RidgeCV(device="auto").fit(X, Y)
    assert model.device_ == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UnknownName, match="did you mean 'cuda'"):
        RidgeCV(device="cud").fit(X, Y)
    if not torch.cuda.is_available():
        with pytest.raises(BrainalignError, match="no GPU"):
            RidgeCV(device="cuda").fit(X, Y)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["float32", "float64", "mixed"])
@pytest.mark.parametrize("shape", [(400, 50, 3000), (300, 500, 3000)])
@pytest.mark.parametrize("scale", [True, False])
def test_gpu_equals_cpu(shape, scale, precision):
    X, Y = planted(*shape, dtype=np.float32)
    ours, theirs = (RidgeCV(precision=precision, scale=scale, device=d).fit(X, Y) for d in ("cuda", "cpu"))
    assert (ours.alpha_ == theirs.alpha_).mean() >= 0.999
    same = ours.alpha_ == theirs.alpha_
    size = np.abs(theirs.predict(X)).max(axis=0)
    np.testing.assert_allclose((ours.predict(X) / size)[:, same], (theirs.predict(X) / size)[:, same], atol=1e-4)
    if precision != "mixed":
        np.testing.assert_allclose(ours.inner_score_, theirs.inner_score_, atol=1e-4)
    assert isinstance(ours.predict(X), np.ndarray)
    assert ours.predict(torch.as_tensor(X, device="cuda")).device.type == "cuda"


def test_a_target_that_is_still_in_all_test_sets_is_nan_and_harms_nobody():
    X, Y = planted(80, 10, 5)
    folds = [(np.arange(0, 20), np.arange(20, 30)), (np.arange(10, 30), np.arange(10))]
    Y[:30, 2] = 3.3
    for precision in ("float64", "float32", "mixed"):
        model = RidgeCV(inner=folds, precision=precision).fit(X, Y)
        assert np.isnan(model.inner_score_[2])
        assert np.isnan(model.alpha_[2])
        others = np.delete(np.arange(5), 2)
        alone = RidgeCV(inner=folds, precision=precision).fit(X, Y[:, others])
        np.testing.assert_array_equal(model.alpha_[others], alone.alpha_)
        np.testing.assert_allclose(model.predict(X)[:, 2], Y[:, 2].mean(), rtol=1e-5)
        assert model.spot_check_.score_error < 0.01


@pytest.mark.parametrize("inner", [5, "blocks", KFold(3)])
def test_other_splitters_are_refused_with_the_way_out(inner):
    X, Y = planted(60, 5, 2)
    with pytest.raises(BrainalignError, match="inner must be None, Blocks, Groups, or a list"):
        RidgeCV(inner=inner).fit(X, Y)
    RidgeCV(inner=list(KFold(3).split(X))).fit(X, Y)


@pytest.mark.parametrize("precision", ["float32", "mixed"])
@pytest.mark.parametrize("unit", [1e-4, 1e-2, 1.0])
def test_penalties_far_above_all_eigenvalues_are_told_apart_as_in_float64(precision, unit):
    rng = np.random.default_rng(0)
    X = unit * rng.standard_normal((200, 300))
    Y = X @ rng.standard_normal((300, 150)) + 5 * unit * rng.standard_normal((200, 150))
    exact = RidgeCV(scale=False).fit(X, Y)
    model = RidgeCV(scale=False, precision=precision).fit(X.astype(np.float32), Y.astype(np.float32))
    assert model.inner_solver_ == "left out of the whole"
    assert np.mean(model.alpha_ == exact.alpha_) > 0.99
    np.testing.assert_allclose(model.inner_score_, exact.inner_score_, atol=2e-5 if precision == "float32" else 0.02)


def of_two_sizes(factor):
    """A large feature that says nothing, and a small one that says all."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    Y = X[:, 1:] + 0.3 * rng.standard_normal((300, 1))
    return X * [factor, 1.0], Y


@pytest.mark.parametrize("model", [RidgeCV(np.logspace(-3, 3, 7), scale=False), Penalised(1e-3, scale=False)])
@pytest.mark.parametrize("factor", [1e6, 1e7, 1e9])
def test_features_that_are_lost_in_the_rounding_of_others_are_refused(model, factor):
    X, Y = of_two_sizes(factor)
    with pytest.raises(BrainalignError, match=r"1 features are too small .* feature 1 .* scale=True"):
        clone(model).fit(X, Y)


@pytest.mark.parametrize(("factor", "lowest", "scale"), [(1e4, 1e-3, False), (1e9, 1e-3, True), (1e7, 1e9, False)])
def test_features_of_different_size_are_fitted_where_nothing_is_lost(factor, lowest, scale):
    X, Y = of_two_sizes(factor)
    ours = RidgeCV([lowest, 10 * lowest], scale=scale).fit(X, Y)
    standard = (X - X.mean(axis=0)) / (X.std(axis=0) if scale else 1)
    theirs = Ridge(ours.alpha_[0], solver="svd").fit(standard, Y)
    np.testing.assert_allclose(ours.predict(X).ravel(), theirs.predict(standard).ravel(), atol=1e-6)
