import numpy as np
import pytest
import torch

from brainalign.encode.banded import BandedRidgeCV
from brainalign.encode.engine import problem, sums
from brainalign.encode.engine.factors import factorise, standardisation
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.splits import blocks

ALPHAS = np.logspace(-1, 6, 8)


def tall(*, seed=0, decades=0.0):
    """600 samples of 12 features whose sizes along their principal axes span some decades."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    X = rng.standard_normal((600, 12)) * np.logspace(0, -decades, 12) @ axes
    Y = X @ rng.standard_normal((12, 40)) + rng.standard_normal((600, 40)) * np.logspace(-1, 1, 40)
    return X, Y


def made_from_sums(X, folds, *, scale=False):
    X = torch.as_tensor(X)
    folds = [tuple(torch.as_tensor(samples) for samples in fold) for fold in folds]
    standardise = standardisation(X, scale=scale)
    factors = factorise(X, standardise)
    how = {"vectors": sums.with_constant(factors.U), "scale": scale}
    return list(sums.from_sums(X, factors, standardise, folds, torch.as_tensor(ALPHAS), **how)), how["vectors"]


def test_u_plus_is_orthonormal():
    X, _ = tall()
    _, vectors = made_from_sums(X, blocks(600, n=5))
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(13), atol=1e-12)


@pytest.mark.parametrize("scale", [False, True])
def test_combinations_of_u_plus_are_what_the_docstring_says(scale):
    X, _ = tall()
    folds = blocks(600, n=4, gap=5)
    made, vectors = made_from_sums(X, folds, scale=scale)
    vectors = vectors.numpy()
    for fold, (train, test) in zip(made, folds, strict=True):
        deviation = X[train].std(axis=0) if scale else 1.0
        standard = (X - X[train].mean(axis=0)) / deviation
        _, sigma, V = np.linalg.svd(standard[train], full_matrices=False)
        components = np.abs(standard[train] @ V[::-1].T / sigma[::-1])
        np.testing.assert_allclose(np.abs(vectors[train] @ fold.into.numpy()), components, atol=1e-9)
        products = np.abs(standard[test] @ V[::-1].T * sigma[::-1])
        np.testing.assert_allclose(
            np.abs(vectors[test] @ fold.onto.numpy()), products, rtol=1e-7, atol=1e-7 * products.max()
        )
        np.testing.assert_array_equal(np.sort(np.r_[fold.train, fold.test, fold.gap]), np.arange(600))


@pytest.mark.parametrize("decades", [0.0, 3.0, 6.0])
def test_float32_chooses_as_float64(decades):
    X, Y = tall(decades=decades)
    single = RidgeCV(ALPHAS, inner=blocks(600, n=5, gap=3), scale=False, precision="float32").fit(X, Y)
    double = RidgeCV(ALPHAS, inner=blocks(600, n=5, gap=3), scale=False, precision="float64").fit(X, Y)
    assert single.inner_solver_ == double.inner_solver_ == "from sums"
    np.testing.assert_array_equal(single.alpha_, double.alpha_)
    np.testing.assert_allclose(single.inner_score_, double.inner_score_, atol=1e-6)
    np.testing.assert_allclose(single.predict(X), double.predict(X), atol=1e-4 * np.abs(Y).max())


def test_a_direction_that_hardly_varies_in_the_training_set_keeps_its_precision():
    """What differs by 1e5 between the training and the left-out samples is not found by subtraction."""
    X, Y = tall()
    X[:120, 3] *= 1e5
    made, _ = made_from_sums(X, blocks(600, n=5))
    assert [len(fold.into) == 480 for fold in made] == [True, False, False, False, False]
    settings = {"inner": blocks(600, n=5), "scale": False}
    single, double = (RidgeCV(ALPHAS, **settings, precision=name).fit(X, Y) for name in ("float32", "float64"))
    assert single.inner_solver_ == "from sums"
    np.testing.assert_allclose(single.inner_score_, double.inner_score_, rtol=1e-3)


@pytest.mark.parametrize("scale", [False, True])
def test_banded_models_are_the_same_by_either_way(scale, monkeypatch):
    X, Y = tall()
    spaces = {"a": X[:, :5], "b": X[:, 5:]}
    settings = {"alphas": ALPHAS, "inner": blocks(600, n=4), "scale": scale, "n_iter": 8}
    ours = BandedRidgeCV(**settings).fit(spaces, Y)
    monkeypatch.setattr(problem, "choose_inner_solver", lambda *_, **__: "primal")
    other = BandedRidgeCV(**settings).fit(spaces, Y)
    np.testing.assert_array_equal(ours.alpha_, other.alpha_)
    np.testing.assert_array_equal(ours.gamma_, other.gamma_)
    np.testing.assert_allclose(ours.inner_score_, other.inner_score_, rtol=1e-8)
