import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainalign.encode.engine import compute, scan
from brainalign.encode.engine.factors import Factors, eigen, gram, standardisation
from brainalign.encode.engine.sums import from_sums, with_constant
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.splits import blocks, by_group, group_blocks

KINDS = ["primal", "dual", "from sums", "left out of the whole"]
SAMPLEWISE = [kind for kind in KINDS if kind != "from sums"]  # whose folds predict sample by sample
SHAPES = [(60, 7, 5), (60, 110, 5), (60, 55, 5), (60, 1, 5)]
ALPHAS = np.logspace(-3, 6, 10)


def planted(n_samples, n_features, n_targets, *, seed=0, spread=1.0):
    """Features whose sizes span `10 ** (2 * spread)`, and targets from nearly all signal to nearly all noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features)) * np.logspace(-spread, spread, n_features) + 3
    signal = X @ (rng.standard_normal((n_features, n_targets)) / X.std(axis=0)[:, None] / np.sqrt(n_features))
    return X, signal + rng.standard_normal((n_samples, n_targets)) * np.logspace(-1, 1.5, n_targets) + 20


def standardised(X, train, *, scale):
    """Centre by the training set and leave out the features that are constant in it."""
    varies = np.ptp(X[train], axis=0) > 1e-13 * np.abs(X[train]).max(axis=0)
    mean = X[train].mean(axis=0)
    deviation = np.where(varies, X[train].std(axis=0), 1.0) if scale else 1.0
    return (X - mean) / deviation * varies


def by_normal_equations(X, Y, folds, *, alphas, scale):
    """Sum squared errors over folds in float64, (n_alphas, n_targets), and those of the training mean."""
    sse, sst = np.zeros((len(alphas), Y.shape[1])), np.zeros(Y.shape[1])
    for train, test in folds:
        z, mean = standardised(X, train, scale=scale), Y[train].mean(axis=0)
        for i, alpha in enumerate(alphas):
            gram = z[train].T @ z[train] + alpha * np.eye(X.shape[1])
            w = scipy.linalg.solve(gram, z[train].T @ (Y[train] - mean), assume_a="pos")
            sse[i] += np.square(Y[test] - mean - z[test] @ w).sum(axis=0)
        sst += np.square(Y[test] - mean).sum(axis=0)
    return sse, sst


def by_least_squares(X, Y, folds, *, alphas, scale):
    """Do the same from X with sqrt(alpha) I below it: never squares the condition number."""
    sse = np.zeros((len(alphas), Y.shape[1]))
    for train, test in folds:
        z, mean = standardised(X, train, scale=scale), Y[train].mean(axis=0)
        for i, alpha in enumerate(alphas):
            below = np.r_[z[train], np.sqrt(alpha) * np.eye(X.shape[1])]
            w = scipy.linalg.lstsq(below, np.r_[Y[train] - mean, np.zeros((X.shape[1], Y.shape[1]))])[0]
            sse[i] += np.square(Y[test] - mean - z[test] @ w).sum(axis=0)
    return sse


def factorise_primal(X, standardise):
    """Decompose X'X, also where it is the larger one."""
    sigma, vectors = eigen(gram(X, standardise), size=max(X.shape))
    return Factors(standardise(X) @ (vectors / sigma), sigma, vectors, None)


def make(kind, X, folds, alphas, monkeypatch, *, scale=False, tolerance=0.0, quick=False):
    """Make the folds in a given way, and the vectors that turn responses to their source (None: the responses)."""
    X, alphas = torch.as_tensor(X), torch.as_tensor(alphas)
    folds = [tuple(torch.as_tensor(samples) for samples in fold) for fold in folds]
    if kind == "left out of the whole":
        assert not scale
        eigenvalues, vectors = scan.whole_components(X, standardisation(X, scale=False))
        made = scan.left_out_of_the_whole(eigenvalues, vectors, folds, alphas, tolerance=tolerance, quick=quick)
        return list(made), vectors
    if kind == "from sums":
        standardise = standardisation(X, scale=scale)
        factors = factorise_primal(X, standardise)
        vectors, how = with_constant(factors.U), {"scale": scale, "tolerance": tolerance}
        return list(from_sums(X, factors, standardise, folds, alphas, vectors=vectors, **how)), vectors
    with monkeypatch.context() as patched:
        patched.setattr(scan, "is_primal", lambda *_: kind == "primal")
        return list(scan.fold_by_fold(X, folds, alphas, scale=scale, tolerance=tolerance)), None


def errors_of(made, vectors, Y, *, dtype=torch.float64):
    """Sum the errors of folds, (n_alphas, n_targets) and (n_targets,), as a search does."""
    exact = torch.as_tensor(Y).T.contiguous()
    exact = exact - exact.mean(dim=1, keepdim=True)
    Y = exact.to(dtype)
    source = Y if vectors is None else (exact @ vectors).to(dtype)
    sse, sst = zip(*(fold.to(dtype).errors(Y, source) for fold in made), strict=True)
    return sum(sse).T.numpy(), sum(sst).numpy()


def kinds_of_folds(n):
    rng = np.random.default_rng(1)
    order = rng.permutation(n)
    run = np.repeat([3, 0, 7, 1], [n // 2, n // 4, n // 8, n - n // 2 - n // 4 - n // 8])
    half = np.arange(n) % 3
    return {
        "blocks with a gap": blocks(n, n=4, gap=4),
        "runs of unequal length": by_group(run),
        "groups that are scattered": by_group(half),
        "several groups in a fold": group_blocks(np.arange(n) // 7, n=3, seed=0),
        "scattered samples": [(np.sort(np.delete(order, p)), np.sort(order[p])) for p in np.array_split(range(n), 3)],
        "not all are tested": [(np.arange(20, n), np.arange(0, 9, 2)), (np.r_[0:5, 30:n], np.arange(10, 25))],
        "most are left out": [(np.arange(0, n, 5), np.delete(np.arange(n), np.s_[::5]))],
        "two to train on": [(np.arange(2), np.arange(2, n))],
    }


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_those_of_the_normal_equations(kind, shape, scale, monkeypatch):
    if scale and kind == "left out of the whole":
        scale = False
    X, Y = planted(*shape)
    for name, folds in kinds_of_folds(len(X)).items():
        sse, sst = by_normal_equations(X, Y, folds, alphas=ALPHAS, scale=scale)
        ours, ours_sst = errors_of(*make(kind, X, folds, ALPHAS, monkeypatch, scale=scale), Y)
        np.testing.assert_allclose(ours_sst, sst, rtol=1e-10, err_msg=name)
        np.testing.assert_allclose(ours, sse, rtol=1e-7, err_msg=name)
        np.testing.assert_array_equal(ours.argmin(axis=0), sse.argmin(axis=0), err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["shuffled", "reversed", "first and last in place"])
def test_the_order_of_samples_within_a_fold_does_not_matter(kind, order, monkeypatch):
    X, Y = planted(40, 6, 4)
    folds = blocks(40, n=4, gap=2)

    def moved(samples, seed):
        if order == "reversed":
            return samples[::-1].copy()
        inner = np.random.default_rng(seed).permutation(samples if order == "shuffled" else samples[1:-1])
        return inner if order == "shuffled" else np.r_[samples[0], inner, samples[-1]]

    shuffled = [(moved(train, i), moved(test, 10 + i)) for i, (train, test) in enumerate(folds)]
    expected, _ = by_normal_equations(X, Y, folds, alphas=ALPHAS, scale=False)
    ours, _ = errors_of(*make(kind, X, shuffled, ALPHAS, monkeypatch), Y)
    np.testing.assert_allclose(ours, expected, rtol=1e-7)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("kind", KINDS[:3])
def test_centring_and_scaling_never_see_the_test_set(kind, scale, monkeypatch):
    """The test samples' features are of another mean and size; the oracle knows only the training set's."""
    X, Y = planted(40, 6, 4)
    train, test = np.arange(30), np.arange(30, 40)
    moved = X.copy()
    moved[test] = moved[test] * 7 + 50
    (other,), vectors = make(kind, moved, [(train, test)], ALPHAS, monkeypatch, scale=scale)
    ours, _ = errors_of([other], vectors, Y)
    np.testing.assert_allclose(
        ours, by_normal_equations(moved, Y, [(train, test)], alphas=ALPHAS, scale=scale)[0], rtol=1e-6
    )


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_feature_that_is_constant_in_one_training_set_but_not_in_its_test_set(kind, scale, monkeypatch):
    scale = scale and kind != "left out of the whole"
    X, Y = planted(60, 8, 5)
    X[15:, 2], X[:45, 5], X[:, 7] = 0.1, -100.0, 3.0
    folds = blocks(60, n=4)
    assert (np.ptp(X[folds[0].train], axis=0) == 0).sum() == 2
    sse, _ = by_normal_equations(X, Y, folds, alphas=ALPHAS, scale=scale)
    ours, _ = errors_of(*make(kind, X, folds, ALPHAS, monkeypatch, scale=scale), Y)
    np.testing.assert_allclose(ours, sse, rtol=1e-6)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [30.0, 900.0, 1e5])
def test_feature_that_is_much_smaller_in_a_training_set_than_in_its_test_set(kind, scale, size, monkeypatch):
    """Subtracting the left-out samples from X'X must not leave their rounding."""
    scale = scale and kind != "left out of the whole"
    X, Y = planted(60, 8, 5)
    X[:15, 2] *= size
    X[45:, 5] = X[45:, 4] * size
    folds = blocks(60, n=4)
    alphas = ALPHAS if scale else ALPHAS[np.square(X).sum() * 1e-10 < ALPHAS]
    expected = by_least_squares(X, Y, folds, alphas=alphas, scale=scale)
    ours, _ = errors_of(*make(kind, X, folds, alphas, monkeypatch, scale=scale), Y)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
    np.testing.assert_array_equal(ours.argmin(axis=0), expected.argmin(axis=0))


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_low_rank(kind, monkeypatch):
    rng = np.random.default_rng(0)
    X, Y = planted(60, 4, 5)
    X = np.c_[X, X @ rng.standard_normal((4, 70)), X]
    folds = blocks(60, n=4, gap=2)
    expected = by_least_squares(X, Y, folds, alphas=ALPHAS, scale=False)
    ours, _ = errors_of(*make(kind, X, folds, ALPHAS, monkeypatch), Y)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_are_all_constant_predict_the_training_mean(kind, monkeypatch):
    _, Y = planted(60, 3, 5)
    ours, sst = errors_of(*make(kind, np.full((60, 3), 0.1), blocks(60, n=3), ALPHAS, monkeypatch), Y)
    np.testing.assert_allclose(ours, np.tile(sst, (len(ALPHAS), 1)), rtol=1e-10)


GRIDS = {
    "one": np.array([3.0]),
    "two": np.array([1e-2, 1e5]),
    "fifty": np.logspace(-3, 9, 50),
    "fifty within a decade": np.linspace(1, 10, 50),
    "tiny and huge": np.logspace(-12, 15, 28),
    "two that are nearly equal": np.array([1.0, 1.0 + 1e-9, 1e3]),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("shape", "spread"), [((60, 7, 5), 0.1), ((60, 7, 5), 4.0), ((60, 110, 5), 4.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_combined_penalties_keep_the_errors_within_tolerance(kind, shape, spread, grid, monkeypatch):
    """Of a condition up to 1e8; the oracle is a least-squares solution that does not square it."""
    X, Y = planted(*shape, spread=spread)
    folds, alphas = blocks(60, n=4, gap=3), GRIDS[grid]
    expected = by_least_squares(X, Y, folds, alphas=alphas, scale=False)
    _, sst = by_normal_equations(X, Y, folds, alphas=[1.0], scale=False)
    largest = np.square(X - X.mean(axis=0)).sum()
    kept = (alphas > largest * 1e-10) | (spread < 1) & (kind != "left out of the whole")
    for tolerance in (0.0, 1e-7, 1e-6):
        made, vectors = make(kind, X, folds, alphas[kept], monkeypatch, tolerance=tolerance)
        ours, _ = errors_of(made, vectors, Y)
        worst = np.abs(ours - expected[kept]) / np.maximum(sst, expected[kept])
        assert worst.max(initial=0) < max(3e3 * tolerance, 1e-6), (tolerance, worst.max())
    if grid.startswith("fifty"):
        assert all(len(fold.maker) < (12 if "decade" in grid else 40) for fold in made)


@pytest.mark.parametrize("kind", SAMPLEWISE)
def test_orthogonal_matrices_say_the_same_and_are_orthogonal(kind, monkeypatch):
    X, Y = planted(60, 20, 5)
    made, vectors = make(kind, X, blocks(60, n=4, gap=3), np.logspace(-1, 6, 15), monkeypatch, tolerance=1e-6)
    expected, sst = errors_of(made, vectors, Y)
    for tolerance, within in ((1e-6, 1e-5), (1e-4, 1e-3)):
        orthogonal = [fold.orthogonal(tolerance) for fold in made]
        for before, after in zip(made, orthogonal, strict=True):
            flat = after.maker.flatten(1)
            products = flat @ flat.T
            off = products - torch.diag(products.diagonal())
            assert off.abs().max() < 1e-6 * products.diagonal().max()
            assert len(after.maker) <= len(before.maker)
        ours, _ = errors_of(orthogonal, vectors, Y)
        np.testing.assert_allclose(ours / sst, expected / sst, atol=within)
    assert len(orthogonal[0].maker) < len(made[0].maker)


@pytest.mark.parametrize("kind", SAMPLEWISE)
def test_orthogonal_matrices_of_features_that_are_constant(kind, monkeypatch):
    _, Y = planted(60, 3, 5)
    made, vectors = make(kind, np.full((60, 3), 0.1), blocks(60, n=3), ALPHAS, monkeypatch)
    ours, sst = errors_of([fold.orthogonal(1e-4) for fold in made], vectors, Y)
    np.testing.assert_allclose(ours, np.tile(sst, (len(ALPHAS), 1)), rtol=1e-10)


@pytest.mark.parametrize("kind", SAMPLEWISE)
def test_parts_of_a_fold_sum_to_the_fold(kind, monkeypatch):
    X, Y = planted(300, 9, 4)
    made, vectors = make(kind, X, blocks(300, n=2), ALPHAS, monkeypatch)
    whole, whole_sst = errors_of(made, vectors, Y)
    parts = [part for fold in made for part in fold.parts()]
    assert max(len(part.test) for part in parts) <= scan.PART < 150
    ours, sst = errors_of(parts, vectors, Y)
    np.testing.assert_allclose(ours, whole, rtol=1e-10)
    np.testing.assert_allclose(sst, whole_sst, rtol=1e-12)


@pytest.mark.parametrize("kind", SAMPLEWISE)
def test_a_split_fold_has_the_precision_of_sixteen_bits(kind, monkeypatch):
    X, _ = planted(60, 20, 5)
    made, _ = make(kind, X, blocks(60, n=3), ALPHAS, monkeypatch)
    for fold in made:
        single = fold.to(torch.float32)
        split = scan.SplitFold.of(single)
        assert split.to(torch.bfloat16).maker.dtype == torch.bfloat16
        size = single.maker.abs()
        assert ((split.to(torch.float32).maker - single.maker).abs() <= 2.0**-16 * size).all()
        high = split.to(torch.bfloat16).maker.float()
        n_components = single.maker.shape[2]
        assert ((high[:, :, :n_components] - single.maker).abs() <= 2.0**-8 * size).all()
        assert high.shape[2] == n_components + fold.n_large
        torch.testing.assert_close(high[:, :, n_components:], high[:, :, n_components - fold.n_large : n_components])


def test_rounding_of_large_components_is_made_good():
    components = torch.randn(7, 30, generator=torch.Generator().manual_seed(0))
    both = scan.with_rounding(components, 4).float()
    assert both.shape == (7, 34)
    assert ((both[:, 26:30] + both[:, 30:] - components[:, 26:]).abs() <= 2.0**-16 * components[:, 26:].abs()).all()
    assert scan.count_large(torch.ones(30)) == 0
    assert scan.count_large(torch.tensor([1.0] * 30 + [100.0] * 2)) == 2


def test_the_spot_check_of_mixed_precision_is_better_with_large_components_made_good(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 60)) * np.logspace(-1, 2, 60)
    Y = X @ rng.standard_normal((60, 200)) / 100 + rng.standard_normal((300, 200))
    monkeypatch.setattr(compute, "bfloat16_is_faster", lambda _: True)

    def error():
        penalties = np.logspace(5, 8, 4)  # where few components matter
        return RidgeCV(penalties, scale=False, precision="mixed").fit(X, Y).spot_check_.score_error

    made_good = error()
    monkeypatch.setattr(scan, "DOUBLED", 0)
    assert made_good < 0.8 * error()


def test_quick_folds_are_those_in_float64(monkeypatch):
    X, Y = planted(80, 100, 20)
    folds, alphas = blocks(80, n=4, gap=2), np.logspace(-1, 7, 9)
    exact, vectors = make("left out of the whole", X, folds, alphas, monkeypatch)
    quick, _ = make("left out of the whole", X, folds, alphas, monkeypatch, quick=True)
    assert quick[0].maker.dtype == torch.float32
    sse, sst = errors_of(exact, vectors, Y)
    ours, _ = errors_of(quick, vectors, Y, dtype=torch.float32)
    np.testing.assert_allclose(ours / sst, sse / sst, rtol=1e-3, atol=1e-4)


def test_room_keeps_its_memory_only_while_the_shape_stays():
    room, like = scan.Room(), torch.empty(0)
    first = room.take((3, 4), like=like)
    assert room.take((3, 4), like=like).data_ptr() == first.data_ptr()
    assert room.take((3, 5), like=like).shape == (3, 5)
    assert room.take((3, 4), like=like.double()).dtype == torch.float64


@given(st.lists(st.integers(0, 30), min_size=1, max_size=31, unique=True))
@settings(max_examples=200, deadline=None)
def test_select_gives_the_columns_in_the_order_asked_for(samples):
    values = torch.arange(62.0).view(2, 31)
    torch.testing.assert_close(scan.select(values, torch.tensor(samples)), values[:, samples])
    ordered = sorted(samples)
    torch.testing.assert_close(scan.select(values, torch.tensor(ordered)), values[:, ordered])


@given(st.sets(st.integers(0, 20)))
@settings(max_examples=50, deadline=None)
def test_complement_is_all_others_ascending(samples):
    others = scan.complement(torch.tensor(sorted(samples), dtype=torch.long), 21)
    assert others.tolist() == sorted(set(range(21)) - samples)


@given(
    st.lists(st.floats(-12, 15), min_size=1, max_size=50, unique=True),
    st.floats(-8, 8),
    st.floats(0, 16),
    st.sampled_from([1e-7, 1e-6, 1e-4]),
)
@settings(max_examples=100, deadline=None)
def test_combinations_give_the_shrinkage_of_every_penalty(exponents, lowest, decades, tolerance):
    alphas = 10 ** np.sort(np.array(exponents))
    low, high = 10**lowest, 10 ** (lowest + decades)
    chosen, mixing = scan.combinations(torch.as_tensor(alphas), low, high, tolerance=tolerance)
    eigenvalues = np.geomspace(low, high, 777)[:, None]  # not those it was fitted on
    shrinkage = eigenvalues / (eigenvalues + alphas)
    combined = shrinkage[:, chosen.numpy()] @ mixing.numpy().T
    error = np.abs(combined - shrinkage) / shrinkage[-1]
    assert len(chosen) <= len(alphas)
    assert error.max() <= 20 * tolerance


def test_combinations_of_a_dense_grid_are_few_and_of_no_tolerance_are_all():
    alphas = torch.logspace(-1, 8, 50, dtype=torch.float64)
    chosen, mixing = scan.combinations(alphas, 1.0, 1e6, tolerance=1e-7)
    assert len(chosen) < 35
    assert mixing.shape == (50, len(chosen))
    for lowest, tolerance in ((1.0, 0.0), (0.0, 1e-7)):
        chosen, mixing = scan.combinations(alphas, lowest, 1e6, tolerance=tolerance)
        assert chosen.tolist() == list(range(50))
        torch.testing.assert_close(mixing, torch.eye(50, dtype=torch.float64))


@given(
    n_samples=st.integers(8, 30),
    n_features=st.integers(1, 40),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1000),
    log_alpha=st.integers(-2, 6),
)
@settings(max_examples=60, deadline=None)
def test_any_folds_of_any_shape(n_samples, n_features, kind, seed, log_alpha):
    rng = np.random.default_rng(seed)
    X, Y = planted(n_samples, n_features, 3, seed=seed)
    folds = []
    for _ in range(2):
        used = rng.permutation(n_samples)[: rng.integers(4, n_samples + 1)]
        cut = rng.integers(2, len(used) - 1)
        folds.append((np.sort(used[:cut]), np.sort(used[cut:])))
    alphas = 10.0 ** np.array([log_alpha, log_alpha + 1])
    expected = by_least_squares(X, Y, folds, alphas=alphas, scale=False)
    with pytest.MonkeyPatch.context() as patched:
        ours, _ = errors_of(*make(kind, X, folds, alphas, patched), Y)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
