import time
import tracemalloc

import numpy as np
import pytest

from brainalign.compare import cka
from brainalign.compare.cka import debiased_cka, linear_cka
from brainalign.errors import BrainalignError, Misaligned

BOTH = pytest.mark.parametrize("measure", [linear_cka, debiased_cka])
SHAPES = pytest.mark.parametrize(
    ("n_samples", "n_X", "n_Y"), [(50, 4, 7), (12, 60, 90), (12, 3, 400), (4, 9, 9), (30, 1, 1)]
)


def features(n_samples, n_X, n_Y, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_X)) * rng.uniform(0.5, 2, n_X) + 3
    Y = X @ rng.standard_normal((n_X, n_Y)) / np.sqrt(n_X) + rng.standard_normal((n_samples, n_Y))
    return X, Y


def random_rotation(n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def plain_by_kernels(X, Y):
    """Kornblith et al. (2019), eq. 3 and 4: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of centred kernels."""
    n = len(X)
    centring = np.eye(n) - 1 / n
    K_X, K_Y = centring @ X @ X.T @ centring, centring @ Y @ Y.T @ centring
    return np.trace(K_X @ K_Y) / np.sqrt(np.trace(K_X @ K_X) * np.trace(K_Y @ K_Y))


def unbiased_hsic(K_X, K_Y):
    """Song et al. (2012), eq. 5, on kernels that are not centred, their diagonals set to zero."""
    n, one = len(K_X), np.ones(len(K_X))
    K_X, K_Y = K_X - np.diag(np.diag(K_X)), K_Y - np.diag(np.diag(K_Y))
    mixed = (one @ K_X @ one) * (one @ K_Y @ one) / ((n - 1) * (n - 2))
    return (np.trace(K_X @ K_Y) + mixed - 2 / (n - 2) * one @ K_X @ K_Y @ one) / (n * (n - 3))


def debiased_by_kernels(X, Y):
    K_X, K_Y = X @ X.T, Y @ Y.T
    return unbiased_hsic(K_X, K_Y) / np.sqrt(unbiased_hsic(K_X, K_X) * unbiased_hsic(K_Y, K_Y))


def u_centred(K):
    n, K = len(K), K - np.diag(np.diag(K))
    rows = K.sum(axis=0)
    centred = K - rows / (n - 2) - rows[:, None] / (n - 2) + K.sum() / ((n - 1) * (n - 2))
    return centred - np.diag(np.diag(centred))


@SHAPES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear_cka_equals_the_kernels_written_out(n_samples, n_X, n_Y, dtype):
    X, Y = (values.astype(dtype) for values in features(n_samples, n_X, n_Y))
    assert linear_cka(X, Y) == pytest.approx(plain_by_kernels(X.astype(float), Y.astype(float)), rel=1e-9)


@SHAPES
def test_debiased_cka_equals_song_and_u_centred_kernels(n_samples, n_X, n_Y):
    X, Y = features(n_samples, n_X, n_Y)
    got = debiased_cka(X, Y)
    assert got == pytest.approx(debiased_by_kernels(X, Y), rel=1e-7, abs=1e-9)
    U_X, U_Y = u_centred(X @ X.T), u_centred(Y @ Y.T)
    expected = np.sum(U_X * U_Y) / np.sqrt(np.sum(U_X**2) * np.sum(U_Y**2))
    assert got == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_linear_cka_of_single_features_is_r_squared():
    X, Y = features(40, 1, 1)
    assert linear_cka(X, Y) == pytest.approx(np.corrcoef(X[:, 0], Y[:, 0])[0, 1] ** 2, rel=1e-12)


@BOTH
@pytest.mark.parametrize("block", [1, 100, cka.BLOCK])
@pytest.mark.parametrize("shape", [(20, 5, 8), (20, 300, 200), (20, 3, 500)])
def test_features_and_samples_and_blocks_give_the_same(monkeypatch, measure, block, shape):
    X, Y = features(*shape)
    expected = (plain_by_kernels if measure is linear_cka else debiased_by_kernels)(X, Y)
    monkeypatch.setattr(cka, "BLOCK", block)
    assert measure(X, Y) == pytest.approx(expected, rel=1e-8)


@BOTH
def test_rotation_scale_and_offset_change_nothing(measure):
    for n_X, n_Y in ((5, 8), (60, 90)):
        X, Y = features(25, n_X, n_Y)
        before = measure(X, Y)
        assert measure(X @ random_rotation(n_X), Y @ random_rotation(n_Y, seed=1)) == pytest.approx(before, rel=1e-9)
        assert measure(1e-13 * X, 1e6 * Y) == pytest.approx(before, rel=1e-9)
        assert measure(1e-180 * X, 1e150 * Y) == pytest.approx(before, rel=1e-9)
        assert measure(X + 100, Y - np.arange(n_Y)) == pytest.approx(before, rel=1e-9)
        order = np.random.default_rng(0).permutation(25)
        assert measure(X[order], Y[order]) == pytest.approx(before, rel=1e-9)
        assert measure(Y, X) == pytest.approx(before, rel=1e-12)


@BOTH
def test_a_stretch_and_other_samples_do_change_it(measure):
    X, Y = features(25, 5, 8)
    before = measure(X, Y)
    assert abs(measure(X * [10, 1, 1, 1, 1], Y) - before) > 1e-3
    assert abs(measure(X[::-1], Y) - before) > 1e-2


@BOTH
@pytest.mark.parametrize("shape", [(25, 5), (25, 60)])
def test_the_same_features_give_one(measure, shape):
    X = np.random.default_rng(0).standard_normal(shape)
    assert measure(X, X) == pytest.approx(1, rel=1e-12)
    assert measure(X, X @ random_rotation(shape[1]) * 7) == pytest.approx(1, rel=1e-9)


def test_debiased_is_near_zero_for_wide_independent_features_where_plain_is_near_one():
    rng = np.random.default_rng(0)
    plain, debiased = [], []
    for _ in range(40):
        X, Y = rng.standard_normal((20, 400)), rng.standard_normal((20, 400))
        plain.append(linear_cka(X, Y))
        debiased.append(debiased_cka(X, Y))
    assert np.mean(plain) > 0.9
    assert abs(np.mean(debiased)) < 4 * np.std(debiased) / np.sqrt(40)
    assert np.std(debiased) < 0.15
    assert min(debiased) < 0  # not clipped


def test_debiased_finds_a_shared_signal_whatever_the_width():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((100, 3))
    for n_features in (50, 2000):
        X, Y = (signal @ rng.standard_normal((3, n_features)) + rng.standard_normal((100, n_features)) for _ in "XY")
        assert debiased_cka(X, Y) > 0.8
        assert abs(debiased_cka(X, rng.permutation(Y))) < 0.1


@BOTH
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_without_variance_it_is_nan(measure, value):
    X, Y = features(10, 3, 4)
    assert np.isnan(measure(np.full((10, 5), value), Y))
    assert np.isnan(measure(X, np.full((10, 5), value)))
    with_constant = np.hstack([X, np.full((10, 1), value)])
    assert measure(with_constant, Y) == pytest.approx(measure(X, Y), rel=1e-12)


def test_equal_distances_between_all_samples_leave_nothing_to_debias():
    for n in range(4, 30):
        Y = np.random.default_rng(0).standard_normal((n, 5))
        corners = random_rotation(n)
        assert np.isnan(debiased_cka(corners, Y))
        assert np.isnan(debiased_cka(Y, corners))
        assert np.isfinite(linear_cka(corners, Y))


@BOTH
def test_bad_input_is_named(measure):
    X, Y = features(10, 3, 4)
    with pytest.raises(Misaligned, match=r"\(10, 3\) and \(9, 4\)"):
        measure(X, Y[:-1])
    for wrong in (X[:, 0], X[:1], X[:, :0]):
        with pytest.raises(Misaligned, match="n_samples, n_features"):
            measure(wrong, Y[: len(wrong)])
    with pytest.raises(BrainalignError, match="Y must be real"):
        measure(X, Y * 1j)
    Y[4, 2] = np.inf
    with pytest.raises(BrainalignError, match="Y is inf at sample 4, feature 2"):
        measure(X, Y)


def test_debiased_needs_four_samples():
    X, Y = features(3, 3, 4)
    with pytest.raises(Misaligned, match="at least 4"):
        debiased_cka(X, Y)
    assert np.isfinite(linear_cka(X, Y))


def test_whole_numbers_and_read_only_input_are_taken(tmp_path):
    X = np.arange(40).reshape(10, 4) % 7
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert linear_cka(stored, X.astype(float)) == pytest.approx(1)
    np.testing.assert_array_equal(stored, np.arange(40).reshape(10, 4) % 7)


@pytest.mark.parametrize("shape", [(3000, 50), (60, 20_000)])
def test_memory_is_that_of_the_features(monkeypatch, shape):
    monkeypatch.setattr(cka, "BLOCK", 2**18)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal(shape), rng.standard_normal(shape)
    tracemalloc.start()
    linear_cka(X, Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * X.nbytes + 6 * 8 * cka.BLOCK  # n_samples^2 or n_features^2 values would be more
    assert peak < 8 * max(shape) ** 2 / 2


@pytest.mark.parametrize("shape", [(8000, 20), (20, 8000)])
def test_the_smaller_side_is_taken(shape):
    X, Y = np.random.default_rng(0).standard_normal((2, *shape))
    start = time.perf_counter()
    linear_cka(X, Y)
    assert time.perf_counter() - start < 1  # 0.03 s; over the other side 6 s
