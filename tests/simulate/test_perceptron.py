from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import Perceptron
from sklearn.svm import SVC

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate.perceptron import (
    adaline,
    adaline_limit,
    adaline_step_bound,
    best_linear,
    best_margin,
    novikoff_bound,
    perceptron,
    train,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CORNERS = np.array(list(product((0, 1), repeat=2)))
AND, OR, XOR = np.array([-1, -1, -1, 1]), np.array([-1, 1, 1, 1]), np.array([-1, 1, 1, -1])


def with_one(X):
    return np.c_[X, np.ones(len(X))]


def separable(seed, *, n_inputs=3, n_points=30, margin=0.05):
    """Points on both sides of a random plane, none nearer than `margin` to it in the space of (x, 1)."""
    rng = np.random.default_rng(seed)
    plane = rng.standard_normal(n_inputs + 1)
    plane /= np.linalg.norm(plane)
    X = rng.uniform(-1, 1, (50 * n_points, n_inputs))
    side = with_one(X) @ plane
    kept = np.abs(side) >= margin
    return X[kept][:n_points], np.where(side[kept][:n_points] > 0, 1, -1)


def noisy(n_points=40, n_inputs=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_points, n_inputs))
    return X, np.where(X[:, 0] + 0.8 * rng.standard_normal(n_points) > 0, 1, -1)


@pytest.mark.parametrize("rule", ["perceptron", "adaline"])
@pytest.mark.parametrize("batch_size", [1, 7, None])
def test_weights_are_the_equations_step_by_step(rule, batch_size):
    X, y = noisy()
    trained = train(X, y, {"perceptron": perceptron, "adaline": adaline}[rule], n_sweeps=4, batch_size=batch_size,
                    learning_rate=0.05, decay=0.5, shuffle=False, dtype="float64")  # fmt: skip
    w, path, updates, count, longest = np.zeros(4), [np.zeros(4)], [0], 0, 0.0
    for sweep in range(4):
        for start in range(0, 40, batch_size or 40):
            x, wanted = with_one(X)[start : start + (batch_size or 40)], y[start : start + (batch_size or 40)]
            out = x @ w
            error = np.where(wanted * out <= 0, wanted, 0) if rule == "perceptron" else wanted - out
            w = w + 0.05 / (1 + 0.5 * sweep) * (error @ x) / len(x)
            count += np.count_nonzero(error)
            longest = max(longest, np.linalg.norm(w))
        path.append(w)
        updates.append(count)
    assert trained.weights[0].numpy() == pytest.approx(np.array(path), abs=1e-12)
    assert trained.n_updates[0].tolist() == updates
    assert trained.largest_norm[0].item() == pytest.approx(longest)
    outputs = with_one(X) @ np.array(path).T  # (n_points, n_sweeps + 1)
    assert trained.n_wrong[0].tolist() == (y[:, None] * outputs <= 0).sum(axis=0).tolist()
    assert trained.squared_error[0].numpy() == pytest.approx(((y[:, None] - outputs) ** 2).mean(axis=0))


@pytest.mark.parametrize("n_sweeps", [1, 3, 20])
def test_online_perceptron_is_that_of_scikit_learn(n_sweeps):
    X, y = noisy()
    theirs = Perceptron(shuffle=False, tol=None, max_iter=n_sweeps, eta0=1.0).fit(X, y)
    ours = train(X, y, n_sweeps=n_sweeps, shuffle=False, dtype="float64").weights[0, -1].numpy()
    assert ours == pytest.approx(np.append(theirs.coef_, theirs.intercept_), abs=1e-10)


@pytest.mark.parametrize("seed", range(25))
def test_novikoffs_bound_holds_on_separable_problems_of_known_margin(seed):
    margin = (0.02, 0.05, 0.1)[seed % 3]
    X, y = separable(seed, n_inputs=2 + seed % 4, margin=margin)
    bound = novikoff_bound(X, y)
    longest = np.linalg.norm(with_one(X), axis=1).max()
    assert bound <= (longest / margin) ** 2 * (1 + 1e-9)  # the best margin is at least the planted one
    trained = train(X, y, n_networks=5, n_sweeps=600, seed=seed, dtype="float64")
    assert trained.n_wrong[:, -1].tolist() == [0] * 5
    assert (trained.n_updates[:, -1] >= 1).all()
    assert (trained.n_updates[:, -1] <= bound * (1 + 1e-9)).all()


def test_the_learning_rate_does_not_change_updates_from_zero():
    X, y = separable(3)
    counts = [train(X, y, learning_rate=rate, n_sweeps=200).n_updates[0, -1].item() for rate in (0.25, 1.0, 8.0)]
    assert len(set(counts)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_best_margin_is_that_of_a_support_vector_machine(seed):
    """SVC does not count its intercept as a weight, so it is compared on (x, 1) y, mirrored, which needs none."""
    X, y = separable(seed, n_points=10, margin=0.1)
    signed = y[:, None] * with_one(X)
    both = np.vstack([signed, -signed])
    machine = SVC(kernel="linear", C=1e5, tol=1e-6).fit(both, np.repeat([1, -1], len(signed)))
    found = best_margin(X, y)
    assert found.gamma == pytest.approx(1 / np.linalg.norm(machine.coef_), rel=1e-4)
    assert np.linalg.norm(found.weights) == pytest.approx(1)
    assert (signed @ found.weights).min() == pytest.approx(found.gamma)


def test_margins_that_are_known():
    assert best_margin(CORNERS, OR).gamma == pytest.approx(1 / 3)
    assert best_margin(CORNERS, AND).gamma == pytest.approx(1 / np.sqrt(17))
    assert best_margin(1e6 * CORNERS, AND).gamma > 0.3
    assert best_margin([[0.0], [1.0]], [-1, 1]).gamma == pytest.approx(1 / np.sqrt(5))
    assert best_margin([[1.0]], [1]).gamma == pytest.approx(np.sqrt(2))
    none = best_margin(CORNERS, XOR)
    assert (none.gamma, none.weights.tolist()) == (0.0, [0, 0, 0])
    assert novikoff_bound(CORNERS, XOR) == np.inf
    assert novikoff_bound(CORNERS, AND) == pytest.approx(51)


def test_of_the_functions_of_two_and_three_inputs_14_and_104_are_learned():
    """Threshold functions: 4, 14, 104, 1882 of n = 1 to 4 inputs (OEIS A000609)."""
    for n_inputs, expected in ((1, 4), (2, 14), (3, 104)):
        X = np.array(list(product((0, 1), repeat=n_inputs)))
        y = np.array(list(product((-1, 1), repeat=len(X))))
        trained = train(X, y, n_networks=len(y), n_sweeps=60, shuffle=False)
        learned = (trained.n_wrong[:, -1] == 0).numpy()
        assert learned.sum() == expected
        assert learned.tolist() == [best_margin(X, of).gamma > 0 for of in y]


def test_xor_never_separates_and_its_weights_stay_bounded():
    short, long = (train(CORNERS, XOR, n_networks=6, n_sweeps=n) for n in (50, 700))
    assert (long.n_wrong > 0).all()
    assert long.n_updates[:, -1].min() > 700
    assert long.largest_norm.max() < 6
    assert torch.equal(short.weights, long.weights[:, :51])
    in_order = train(CORNERS, XOR, n_sweeps=60, shuffle=False).weights[0]
    assert len(in_order.unique(dim=0)) < 20  # it goes round
    limit = train(CORNERS, XOR, adaline, batch_size=None, learning_rate=0.5, n_sweeps=2000).weights[0, -1]
    assert limit.tolist() == pytest.approx([0, 0, 0], abs=1e-5)  # undecided at every corner


def test_the_best_line_for_xor_answers_three_of_four():
    share, weights = best_linear(CORNERS, XOR)
    assert share == 0.75
    assert (XOR * (with_one(CORNERS) @ weights) > 1e-9).sum() == 3
    assert best_linear(CORNERS, AND).share == best_linear(CORNERS, OR).share == 1
    assert best_linear(np.zeros((3, 2)), [1, -1, 1]).share == pytest.approx(2 / 3)
    with pytest.raises(BrainalignError, match="13 points"):
        best_linear(np.zeros((13, 2)), np.ones(13))


def test_batch_adaline_goes_to_least_squares_up_to_its_step_bound():
    X, y = noisy()
    bound = adaline_step_bound(X)
    assert bound == pytest.approx(2 / np.linalg.norm(with_one(X), 2) ** 2 * len(X))
    below = train(X, y, adaline, batch_size=None, learning_rate=0.98 * bound, n_sweeps=2000, dtype="float64")
    assert below.weights[0, -1].numpy() == pytest.approx(adaline_limit(X, y), abs=1e-10)
    above = train(X, y, adaline, batch_size=None, learning_rate=1.02 * bound, n_sweeps=2000, dtype="float64")
    assert above.squared_error[0, -1] > 1e6


def test_the_limit_of_adaline_is_least_squares():
    X, y = noisy()
    assert adaline_limit(X, y) == pytest.approx(np.linalg.solve(with_one(X).T @ with_one(X), with_one(X).T @ y))
    wide = np.random.default_rng(1).standard_normal((5, 8))
    limit = train(wide, y[:5], adaline, batch_size=None, learning_rate=0.2, n_sweeps=5000, dtype="float64")
    assert limit.weights[0, -1].numpy() == pytest.approx(np.linalg.pinv(with_one(wide)) @ y[:5], abs=1e-8)


def test_decay_takes_online_adaline_nearer_to_least_squares():
    X, y = noisy(100)
    limit = adaline_limit(X, y)
    far = {}
    for decay in (0.0, 0.5):
        weights = train(X, y, adaline, n_networks=8, n_sweeps=100, learning_rate=0.05, decay=decay).weights[:, -1]
        far[decay] = np.linalg.norm(weights.numpy() - limit, axis=1).mean()
    assert far[0.5] < 0.02
    assert far[0.5] < far[0.0] / 8


def test_minibatches_lie_between():
    X, y = separable(1, margin=0.1)
    for batch_size in (1, 5, None):
        trained = train(X, y, n_networks=3, batch_size=batch_size, n_sweeps=1500)
        assert trained.n_wrong[:, -1].tolist() == [0] * 3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", [perceptron, adaline])
def test_a_unit_in_a_batch_is_the_unit_alone(device, dtype, rule):
    X, y = noisy()
    options = {"n_sweeps": 5, "batch_size": 3, "learning_rate": 0.1, "init": 0.3, "dtype": dtype}
    together = train(X, y, rule, n_networks=4, seed=10, device=device, **options)
    alone = train(X, y, rule, seed=12, **options)
    assert together.weights.dtype == getattr(torch, dtype)
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours[2].cpu(), theirs[0], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(together.weights[0], together.weights[1])
    assert together.weights[:, 0].abs().max() <= 0.3


def test_points_and_answers_of_each_network_are_its_own():
    X = np.stack([separable(seed)[0] for seed in range(3)])
    y = np.stack([separable(seed)[1] for seed in range(3)])
    together = train(X, y, n_networks=3, n_sweeps=30, seed=5)
    for i in range(3):
        assert torch.equal(together.weights[i], train(X[i], y[i], n_sweeps=30, seed=5 + i).weights[0])


def test_seeds_are_all_that_is_random():
    X, y = noisy()
    torch.manual_seed(0)
    first = train(X, y, n_sweeps=3, init=0.1, seed=4)
    torch.manual_seed(1)
    assert torch.equal(first.weights, train(X, y, n_sweeps=3, init=0.1, seed=4).weights)
    assert not torch.equal(first.weights, train(X, y, n_sweeps=3, init=0.1, seed=5).weights)


def test_what_has_stopped_stays_as_it_is():
    trained = train(CORNERS, AND, n_sweeps=100)
    assert trained.weights.shape == (1, 101, 3)
    assert torch.equal(trained.weights[0, -1], trained.weights[0, 60])
    assert train(CORNERS, AND, n_sweeps=0).weights.tolist() == [[[0, 0, 0]]]


def test_a_unit_that_has_overflowed_answers_nothing_right():
    """Batch Adaline on AND at three times its step bound of about 0.7: nan after some 100 sweeps in float32."""
    trained = train(CORNERS, AND, adaline, batch_size=None, learning_rate=3.0, n_sweeps=100)
    assert trained.weights[0, -1].isnan().all()
    assert trained.n_wrong[0, -1] == 4
    assert trained.n_wrong[0, -1] == trained.n_wrong[0, 0]  # as before the first sweep, when nothing was known
    nowhere = torch.tensor([[torch.nan, 1.0]])
    assert perceptron(nowhere, torch.ones(1, 2)).tolist() == [[1, 0]]


@pytest.mark.parametrize("name", ["learning_rate", "decay", "init"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_settings_that_are_no_numbers_are_refused(name, value):
    with pytest.raises(BrainalignError, match=rf"{name} \({value}\) must be finite"):
        train(CORNERS, AND, **{name: value})


def test_first_weights_do_not_depend_on_the_dtype():
    first, second = (train(CORNERS, AND, init=0.3, seed=4, n_sweeps=0, dtype=dtype) for dtype in ("float32", "float64"))
    assert torch.equal(first.weights.double(), second.weights)
    assert first.weights.abs().min() > 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(Misaligned, match=r"\(4, 2\) and y \(3,\)"):
        train(CORNERS, AND[:3])
    with pytest.raises(Misaligned, match="y is for 2 networks, n_networks is 3"):
        train(CORNERS, np.stack([AND, OR]), n_networks=3)
    with pytest.raises(BrainalignError, match=r"-1 or \+1; got \[0\.0, 1\.0\]"):
        train(CORNERS, [0, 0, 0, 1])
    with pytest.raises(BrainalignError, match="must be finite"):
        train(np.where(CORNERS == 1, np.nan, 0), AND)
    with pytest.raises(BrainalignError, match=r"learning_rate \(0\)"):
        train(CORNERS, AND, learning_rate=0)
    with pytest.raises(Misaligned, match=r"expected \(n_points, n_inputs\) and \(n_points,\)"):
        best_margin(CORNERS[None], AND)
    with pytest.raises(Misaligned, match="at least one point"):
        train(np.zeros((0, 2)), [])
