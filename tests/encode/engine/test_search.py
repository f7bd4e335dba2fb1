import numpy as np
import pytest
import torch

from brainalign.encode.engine import search as module
from brainalign.encode.engine.compute import PRECISIONS
from brainalign.encode.engine.scan import fold_by_fold
from brainalign.encode.engine.search import TOLERANCE, Search, largest_of_the_best
from brainalign.encode.engine.sources import WIDTH, Samples
from brainalign.encode.splits import blocks

CPU = torch.device("cpu")
ALPHAS = torch.logspace(-1, 6, 15, dtype=torch.float64)
DENSE = torch.logspace(2, 5, 40, dtype=torch.float64)


def planted(n_samples=200, n_features=30, n_targets=3000, *, seed=0):
    """Give targets of which a third is noise; the r2 of the others goes from 0 to 0.8."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features)) * np.logspace(-0.5, 0.5, n_features)
    signal = X @ rng.standard_normal((n_features, n_targets))
    share = np.where(np.arange(n_targets) % 3 == 0, 0, rng.uniform(0, 0.8, n_targets))
    Y = np.sqrt(share) * signal / signal.std(axis=0) + np.sqrt(1 - share) * rng.standard_normal((n_samples, n_targets))
    return X, Y


def search(X, Y, precision, *, alphas=ALPHAS, keep=None, folds=None):
    folds = blocks(len(X), n=4, gap=3) if folds is None else folds
    folds = [tuple(torch.as_tensor(samples) for samples in fold) for fold in folds]
    made = fold_by_fold(torch.as_tensor(X), folds, alphas, scale=True, tolerance=TOLERANCE[precision])
    keep = keep or (lambda *_: None)
    return Search(made, Samples(Y, name="Y", column="target"), precision=PRECISIONS[precision], device=CPU, keep=keep)


def exact_errors(X, Y, *, alphas=ALPHAS):
    """By the normal equations in float64, without the engine."""
    sse, sst = np.zeros((len(alphas), Y.shape[1])), np.zeros(Y.shape[1])
    for train, test in blocks(len(X), n=4, gap=3):
        z = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
        mean = Y[train].mean(axis=0)
        covariance = z[train].T @ (Y[train] - mean)
        for i, alpha in enumerate(alphas.numpy()):
            w = np.linalg.solve(z[train].T @ z[train] + alpha * np.eye(z.shape[1]), covariance)
            sse[i] += np.square(Y[test] - mean - z[test] @ w).sum(axis=0)
        sst += np.square(Y[test] - mean).sum(axis=0)
    return sse, sst


@pytest.mark.parametrize("precision", PRECISIONS)
def test_chooses_as_float64_does_but_for_one_in_a_thousand(precision):
    X, Y = planted()
    choice, spot_check = search(X, Y, precision).choose()
    sse, sst = exact_errors(X, Y)
    best = sse.argmin(axis=0)
    lost = (np.take_along_axis(sse, choice.i_alpha[None], axis=0)[0] - sse.min(axis=0)) / sst
    same = choice.i_alpha == best
    assert len(np.unique(best)) > 8
    assert same.mean() >= 0.999 or (precision == "float64" and same.all())
    assert lost.max() < 1e-3
    unit = np.square(choice.unit)
    scores = {"float64": 1e-10, "float32": 1e-5, "mixed": 2e-2}[precision]
    np.testing.assert_allclose(choice.sse / choice.sst, sse.min(axis=0) / sst, atol=scores)
    np.testing.assert_allclose(choice.sst * unit, sst, rtol=1e-9 if precision == "float64" else 1e-4)
    np.testing.assert_allclose(choice.mean, Y.mean(axis=0), atol=1e-6)
    assert not choice.constant.any()
    assert spot_check.looked_at_again < 0.5
    assert (spot_check.looked_at_again > 0) == (precision == "mixed")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_dense_grid_of_near_ties_loses_nothing(precision):
    X, Y = planted(n_targets=1000)
    choice, spot_check = search(X, Y, precision, alphas=DENSE).choose()
    sse, sst = exact_errors(X, Y, alphas=DENSE)
    lost = (np.take_along_axis(sse, choice.i_alpha[None], axis=0)[0] - sse.min(axis=0)) / sst
    assert lost.max() < 1e-4
    if precision == "mixed":
        assert spot_check.looked_at_again > 0.05


def test_without_looking_again_mixed_would_choose_worse(monkeypatch):
    X, Y = planted(n_targets=1000)
    sse, _ = exact_errors(X, Y)
    same = []
    for doubt in (0.0, module.DOUBT):
        monkeypatch.setattr(module, "DOUBT", doubt)
        choice, spot_check = search(X, Y, "mixed").choose()
        same.append((choice.i_alpha == sse.argmin(axis=0)).mean())
        assert (spot_check.looked_at_again < 0.02) == (doubt == 0)
    assert same[0] < same[1]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_spot_check_says_what_it_says(precision):
    X, Y = planted(n_targets=WIDTH + 500)
    Y[:, 0] = 3.0  # the first target is in the spot check
    searched = search(X, Y, precision)
    choice, spot_check = searched.choose()
    spot = np.unique(np.linspace(0, Y.shape[1] - 1, module.SPOT).round().astype(int))[1:]
    sse, sst = exact_errors(X, Y[:, spot])
    assert spot_check.n_targets == len(spot) == module.SPOT - 1
    assert spot_check.same_alpha == np.mean(sse.argmin(axis=0) == choice.i_alpha[spot])
    lost = (np.take_along_axis(sse, choice.i_alpha[spot][None], axis=0)[0] - sse.min(axis=0)) / sst
    np.testing.assert_allclose(spot_check.score_lost, lost.max(), rtol=1e-3, atol=1e-9)
    unit = np.square(choice.unit[spot])
    scanned = sum(
        fold.to(searched.precision.scan).errors(*standard(Y[:, spot], searched.precision))[0]
        for fold in searched._folds
    )
    error = np.sqrt(np.square(scanned.T.numpy() * unit / sst - sse / sst).mean())
    np.testing.assert_allclose(spot_check.score_error, error, rtol=0.1, atol=1e-12)
    low, high = {"float64": (0, 1e-12), "float32": (1e-9, 1e-5), "mixed": (1e-5, 1e-2)}[precision]
    assert low <= spot_check.score_error <= high


def standard(Y, precision):
    Y = torch.as_tensor(Y.T)
    size = 2.0 ** np.frexp((Y - Y.mean(dim=1, keepdim=True)).abs().amax(dim=1).numpy())[1]
    Y = ((Y - Y.mean(dim=1, keepdim=True)) / torch.as_tensor(size)[:, None]).to(precision.fit)
    return Y, Y.to(precision.scan)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_constant_targets_are_marked_and_harm_nobody(precision):
    X, Y = planted(n_targets=100)
    plain, _ = search(X, Y, precision).choose()
    padded, _ = search(X, np.insert(Y, [0, 50, 100], [0.0, 0.1, -1e9], axis=1), precision).choose()
    assert np.flatnonzero(padded.constant).tolist() == [0, 51, 102]
    varies = ~padded.constant
    assert (padded.i_alpha[varies] == plain.i_alpha).mean() > 0.98
    np.testing.assert_allclose(padded.sse[varies], plain.sse, rtol=1e-9 if precision == "float64" else 0.05)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("n_targets", [1, 3])
def test_targets_that_are_all_constant(precision, n_targets):
    X, _ = planted(n_targets=1)
    choice, spot_check = search(X, np.full((200, n_targets), 0.1), precision).choose()
    assert choice.constant.all()
    assert spot_check.n_targets == 0
    assert np.isnan(spot_check[1:4]).all()
    assert spot_check.looked_at_again == 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_target_is_kept_once(precision):
    X, Y = planted(n_targets=2 * WIDTH + 7, n_samples=60, n_features=5)
    count, kept = np.zeros(Y.shape[1], dtype=int), np.zeros_like(Y.T)

    def keep(columns, block, source):
        count[columns] += 1
        kept[columns] = block.numpy()
        assert len(block) == len(source)

    choice, _ = search(X, Y, precision, keep=keep).choose()
    assert (count == 1).all()
    np.testing.assert_allclose(kept * choice.unit[:, None] + choice.mean[:, None], Y.T, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_features_that_are_constant_tie_all_penalties(precision):
    _, Y = planted(n_targets=20)
    choice, _ = search(np.ones((200, 3)), Y, precision).choose()
    assert (choice.i_alpha == len(ALPHAS) - 1).all()
    np.testing.assert_allclose(choice.sse, choice.sst, rtol=1e-6)


def test_the_largest_of_the_best_is_taken():
    sse = np.array([[3.0, 1.0, 2.0, 5.0], [1.0, 1.0, 2.0, 4.0], [2.0, 1.0, 2.1, 4.0], [1.0 + 1e-9, 1.5, 2.0, 4.5]])
    assert largest_of_the_best(sse, rounding=np.zeros(4)).tolist() == [1, 2, 3, 2]
    assert largest_of_the_best(sse, rounding=np.array([1e-8, 0, 0, 0.6])).tolist() == [3, 2, 3, 3]
    assert largest_of_the_best(sse[:1], rounding=np.zeros(4)).tolist() == [0] * 4
