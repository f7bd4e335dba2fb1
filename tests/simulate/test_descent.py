"""Optimisers and the worked example. Oracles: torch.optim, autograd, numpy.roots, closed forms on quadratics."""

import math

import numpy as np
import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulate.descent import (
    MISPRINTED_CUBIC,
    adam,
    autograd_slope,
    critical_points,
    gradient_descent,
    largest_rate,
    momentum,
    nesterov,
    newton,
    outcome,
    quartic,
    quartic_curvature,
    quartic_slope,
    tune_gradient_descent,
    tune_heavy_ball,
)

OPTIMISERS = [gradient_descent, momentum, nesterov, adam]


def places(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def rosenbrock(w):
    return (1 - w[..., 0]) ** 2 + 5 * (w[..., 1] - w[..., 0] ** 2) ** 2 + 0.1 * w[..., 2] ** 4


def rosenbrock_slope(w):
    return autograd_slope(rosenbrock, w)


def path_of_torch(optimiser, start, n_steps):
    w = start.clone().requires_grad_()
    steps, path = optimiser([w]), [start]
    for _ in range(n_steps):
        steps.zero_grad()
        rosenbrock(w).sum().backward()
        steps.step()
        path.append(w.detach().clone())
    return torch.stack(path, dim=1)


@pytest.fixture
def start():
    return torch.as_tensor(np.random.default_rng(0).normal(0, 0.5, (4, 3)))


# against torch.optim


def test_gradient_descent_is_torchs(start):
    expected = path_of_torch(lambda w: torch.optim.SGD(w, lr=0.01), start, 200)
    found = gradient_descent(rosenbrock_slope, start, rate=0.01, n_steps=200)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert float((found[:, -1] - start).norm()) > 0.5


def test_momentum_is_torchs(start):
    expected = path_of_torch(lambda w: torch.optim.SGD(w, lr=0.005, momentum=0.8), start, 200)
    found = momentum(rosenbrock_slope, start, rate=0.005, mu=0.8, n_steps=200)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_nesterov_is_torchs_where_its_momentum_leads(start):
    expected = path_of_torch(lambda w: torch.optim.SGD(w, lr=0.005, momentum=0.8, nesterov=True), start, 200)
    found = nesterov(rosenbrock_slope, start, rate=0.005, mu=0.8, n_steps=200)
    leads = found[:, 1:] + 0.8 * (found[:, 1:] - found[:, :-1])  # w + mu v
    torch.testing.assert_close(leads, expected[:, 1:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"betas": (0.8, 0.99), "epsilon": 1e-3}])
def test_adam_is_torchs(start, settings):
    named = {"betas": settings.get("betas", (0.9, 0.999)), "eps": settings.get("epsilon", 1e-8)}
    expected = path_of_torch(lambda w: torch.optim.Adam(w, lr=0.005, **named), start, 200)
    found = adam(rosenbrock_slope, start, rate=0.005, n_steps=200, **settings)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_without_momentum_all_three_are_gradient_descent(start):
    plain = gradient_descent(rosenbrock_slope, start, rate=0.01, n_steps=20)
    for optimiser in (momentum, nesterov):
        assert torch.equal(optimiser(rosenbrock_slope, start, rate=0.01, mu=0.0, n_steps=20), plain)


# properties


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_first_step_of_adam_is_the_rate_whatever_the_gradient(scale):
    start = torch.tensor([[1.0, -2.0, 3.0]], dtype=torch.float64)
    path = adam(lambda w: scale * w, start, rate=0.01, n_steps=1)
    assert (path[0, 1] - path[0, 0]).numpy() == pytest.approx([-0.01, 0.01, -0.01], rel=1e-8 / scale * 1.1)


def test_adam_does_not_see_the_scale_of_the_gradient_but_gradient_descent_does(start):
    def steeper(w):
        return 1000 * rosenbrock_slope(w)

    one, other = (adam(slope, start, rate=0.01, n_steps=30, epsilon=1e-30) for slope in (rosenbrock_slope, steeper))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    one, other = (gradient_descent(slope, start, rate=1e-5, n_steps=30) for slope in (rosenbrock_slope, steeper))
    assert float((one - other).abs().max()) > 0.01


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_of_a_batch_is_the_network_alone(optimiser, dtype, start):
    start, rates = start.to(dtype), [[0.001], [0.002], [0.004], [0.008]]
    together = optimiser(rosenbrock_slope, start, rate=rates, n_steps=50)
    assert together.shape == (4, 51, 3)
    assert together.dtype == dtype
    for i in range(4):
        alone = optimiser(rosenbrock_slope, start[i : i + 1], rate=rates[i][0], n_steps=50)
        torch.testing.assert_close(
            together[i], alone[0], rtol=0, atol={torch.float32: 1e-6, torch.float64: 1e-13}[dtype]
        )


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_schedule_is_what_its_single_steps_are(optimiser, start):
    rates = np.array([0.1, 0.02, 0.01])
    whole = optimiser(rosenbrock_slope, start, rate=rates, n_steps=3)
    first = optimiser(rosenbrock_slope, start, rate=rates[:1], n_steps=1)
    torch.testing.assert_close(whole[:, 1], first[:, 1], rtol=0, atol=0)
    if optimiser is gradient_descent:
        by_hand = whole[:, 1] - 0.02 * rosenbrock_slope(whole[:, 1])
        torch.testing.assert_close(whole[:, 2], by_hand, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kappa", [4.0, 25.0, 400.0])
def test_on_a_quadratic_gradient_descent_shrinks_by_its_factor(kappa):
    curvature = torch.tensor([1.0, (1 + kappa) / 2, kappa], dtype=torch.float64)
    tuned = tune_gradient_descent(1.0, kappa)
    path = gradient_descent(
        lambda w: curvature * w, torch.ones(1, 3, dtype=torch.float64), rate=tuned.rate, n_steps=100
    )
    distance = path[0, :, [0, 2]].norm(dim=1)
    assert tuned.factor == pytest.approx((kappa - 1) / (kappa + 1))
    assert (distance[1:] / distance[:-1]).numpy() == pytest.approx(np.full(100, tuned.factor), rel=1e-9)


@pytest.mark.parametrize("kappa", [4.0, 25.0, 400.0])
def test_on_a_quadratic_the_heavy_ball_shrinks_by_its_factor_and_not_faster_with_other_settings(kappa):
    """Eigenvalues of the step (w, v) -> (w, v), all of size (sqrt(kappa) - 1) / (sqrt(kappa) + 1) (Polyak 1964)."""
    tuned = tune_heavy_ball(1.0, kappa)
    assert tuned.factor == pytest.approx((math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1))
    assert tuned.mu == pytest.approx(tuned.factor**2)

    def slowest(rate, mu):
        sizes = [
            np.abs(np.linalg.eigvals([[1 - rate * curvature, mu], [-rate * curvature, mu]])).max()
            for curvature in np.linspace(1, kappa, 50)
        ]
        return max(sizes)

    assert slowest(tuned.rate, tuned.mu) == pytest.approx(tuned.factor, abs=1e-6)
    for rate, mu in ((1.05, 1), (0.95, 1), (1, 1.03), (1, 0.97)):
        assert slowest(tuned.rate * rate, tuned.mu * mu) > tuned.factor
    curvature, n_steps = torch.tensor([1.0, kappa], dtype=torch.float64), int(18 / -math.log(tuned.factor))
    settings = {"rate": tuned.rate, "mu": tuned.mu, "n_steps": 2 * n_steps}
    distance = momentum(lambda w: curvature * w, torch.ones(1, 2, dtype=torch.float64), **settings)[0].norm(dim=1)
    measured = (float(distance[-1] / distance[n_steps]) / 2) ** (1 / n_steps)  # a double root: step x factor^step
    assert measured == pytest.approx(tuned.factor, rel=0.01)
    assert tune_gradient_descent(1.0, kappa).factor > tuned.factor


def test_gradient_descent_on_a_quadratic_diverges_past_two_over_the_curvature():
    rates = torch.tensor([[0.999], [1.001]], dtype=torch.float64) * largest_rate(7.0)
    path = gradient_descent(lambda w: 7 * w, places(1.0, 1.0), rate=rates, n_steps=3000)[:, -1, 0].abs()
    assert float(path[0]) < 0.01
    assert float(path[1]) > 100


# the worked example: A1-A3


def test_a1_the_minimum_of_the_example():
    points = critical_points()
    assert points.numpy() == pytest.approx([-10.24916, -3.10340, 1.2025573], abs=1e-5)
    assert float(points[2]) == pytest.approx(1.2025573, abs=1e-7)
    assert float(quartic(points[2])) == pytest.approx(-13.0192716, abs=1e-7)
    assert quartic(points).numpy() == pytest.approx([-170.98, 41.97, -13.02], abs=0.005)
    assert (quartic_curvature(points) > 0).tolist() == [True, False, True]
    assert float(quartic_curvature(points[2])) == pytest.approx(21.916, abs=5e-4)
    assert float(quartic_slope(points).abs().max()) < 1e-12
    found = gradient_descent(quartic_slope, places(1.0), rate=0.02, n_steps=200)[0, -1, 0]
    assert float(found) == pytest.approx(1.2025573, abs=1e-6)


def test_the_minimum_is_local_and_the_global_one_is_the_lowest_on_a_grid():
    x = torch.linspace(-12, 3, 150_001, dtype=torch.float64)
    lowest = float(x[quartic(x).argmin()])
    assert lowest == pytest.approx(float(critical_points()[0]), abs=1e-4)
    ends = gradient_descent(quartic_slope, places(-12.0, -3.2, -3.0, 3.0), rate=0.02, n_steps=500)[:, -1, 0]
    assert ends.numpy() == pytest.approx([-10.24916, -10.24916, 1.20256, 1.20256], abs=1e-5)


def test_the_misprint_has_its_minimum_elsewhere():
    (point,) = critical_points(cubic=MISPRINTED_CUBIC)
    assert float(point) == pytest.approx(1.56077, abs=1e-5)
    assert float(quartic(point, cubic=MISPRINTED_CUBIC)) == pytest.approx(-16.0665, abs=1e-4)
    one = torch.ones((), dtype=torch.float64)
    assert float(quartic(one, cubic=MISPRINTED_CUBIC)) == pytest.approx(-13.789, abs=5e-4)
    assert float(quartic(one)) == pytest.approx(-12.5889, abs=5e-5)


def test_slopes_by_hand_are_those_of_autograd():
    x = torch.linspace(-12, 3, 301, dtype=torch.float64)
    for cubic in (9 / 5, MISPRINTED_CUBIC):
        by_autograd = autograd_slope(lambda x, cubic=cubic: quartic(x, cubic=cubic), x)
        torch.testing.assert_close(quartic_slope(x, cubic=cubic), by_autograd, rtol=0, atol=1e-12)
        by_autograd = autograd_slope(lambda x, cubic=cubic: quartic_slope(x, cubic=cubic), x)
        torch.testing.assert_close(quartic_curvature(x, cubic=cubic), by_autograd, rtol=0, atol=1e-12)


def test_a2_a_rate_of_a_tenth_goes_round_in_an_orbit_of_two():
    path = gradient_descent(quartic_slope, places(1.0), rate=0.1, n_steps=400)[0, :, 0]
    found = outcome(path)
    assert found.verdict == "learning rate too large"
    assert found.period == 2
    assert found.places == pytest.approx((0.361, 1.736), abs=0.002)
    low, high = torch.tensor(found.places, dtype=torch.float64)
    assert float(low - 0.1 * quartic_slope(low)) == pytest.approx(float(high), abs=1e-6)
    assert float(high - 0.1 * quartic_slope(high)) == pytest.approx(float(low), abs=1e-6)


def test_a3_the_largest_rate_of_the_example():
    bound = largest_rate(float(quartic_curvature(critical_points()[2])))
    assert bound == pytest.approx(0.0913, abs=1e-4)
    rates = np.array([[0.99], [1.01]]) * bound
    paths = gradient_descent(quartic_slope, places(1.0, 1.0), rate=rates, n_steps=3000)[:, :, 0]
    assert [outcome(path).verdict for path in paths] == ["converged", "learning rate too large"]


@pytest.mark.parametrize(
    ("rate", "verdict", "period"),
    [
        (0.02, "converged", 1),
        (0.09, "converged", 1),
        (0.092, "learning rate too large", 2),
        (0.114, "learning rate too large", 4),
        (0.118, "learning rate too large", 8),
        (0.132, "learning rate too large", 3),
        (0.125, "not settled", 0),
        (0.15, "learning rate too large", 0),
    ],
)
def test_how_a_walk_ends(rate, verdict, period):
    path = gradient_descent(quartic_slope, places(1.0), rate=rate, n_steps=3000)[0, :, 0]
    found = outcome(path)
    assert (found.verdict, found.period, len(found.places)) == (verdict, period, period)


def test_a_walk_that_is_still_under_way_has_not_settled():
    path = gradient_descent(quartic_slope, places(1.0), rate=1e-4, n_steps=100)[0, :, 0]
    assert outcome(path).verdict == "not settled"


def test_a_walk_with_a_tiny_rate_has_not_converged():
    for start, rate in ((1.0001, 1e-8), (1.0, 1e-10)):
        path = gradient_descent(quartic_slope, places(start), rate=rate, n_steps=100)[0, :, 0]
        assert float((path[1:] - path[:-1]).abs().max()) < 1e-6  # in steps below the tolerance it creeps on
        assert outcome(path).verdict == "not settled"


def test_to_and_fro_on_the_way_to_a_minimum_is_no_orbit():
    """Just below the bound, 2 / f'' = .09126, the walk comes nearer by a thousandth a step, from both sides in turn."""
    minimum = float(critical_points()[2])
    for n_steps, verdict in ((3000, "not settled"), (20_000, "converged")):
        path = gradient_descent(quartic_slope, places(1.0), rate=0.0911, n_steps=n_steps)[0, :, 0]
        assert outcome(path).verdict == verdict
    assert float(path[-1]) == pytest.approx(minimum, abs=1e-9)
    for factor, expected in ((-0.9999, "not settled"), (0.9999, "not settled"), (-0.5, "converged")):
        coming = 1 + 1e-4 * torch.tensor(factor, dtype=torch.float64) ** torch.arange(100)
        assert outcome(coming).verdict == expected


def test_one_repetition_by_chance_is_no_orbit():
    path = torch.arange(40, dtype=torch.float64)
    for period in (1, 2, 5):
        chance = path.clone()
        chance[-1] = chance[-1 - period]
        assert outcome(chance).verdict == "not settled"


def test_the_printed_iterates_within_a_hundredth_and_the_figures_of_the_notes():
    printed = [1.42, 1.32, 1.27, 1.242, 1.227, 1.219, 1.214, 1.2114]
    rates = [0.1, *(0.02 * 0.94**k for k in range(7))]
    found = gradient_descent(quartic_slope, places(1.0), rate=rates, n_steps=8)[0, 1:, 0].tolist()
    assert found == pytest.approx(printed, abs=0.01)
    assert found[0] == pytest.approx(1.41556, abs=1e-5)
    agree = [
        abs(x - p) <= 0.5 * 10.0**-digits for x, p, digits in zip(found, printed, [2, 2, 2, 3, 3, 3, 3, 4], strict=True)
    ]
    assert agree == [True] * 7 + [False]
    constant = gradient_descent(quartic_slope, places(1.0), rate=[0.1] + [0.02] * 6, n_steps=7)[0, 2:, 0]
    assert constant.numpy() == pytest.approx([1.3158, 1.2643, 1.2367, 1.2216, 1.2132, 1.2085], abs=6e-5)
    assert quartic(torch.tensor([1.42, 1.32, 1.41556], dtype=torch.float64)).numpy() == pytest.approx(
        [-12.4769, -12.8643, -12.4993], abs=6e-5
    )


def test_newton_and_the_local_rate():
    path = newton(torch.ones(1, dtype=torch.float64), n_steps=3)[0]
    assert path[1:].numpy() == pytest.approx([1.21719, 1.202625, 1.2025573], abs=6e-6)
    walk = gradient_descent(quartic_slope, places(1.0), rate=0.02, n_steps=30)[0, :, 0] - critical_points()[2]
    assert float(walk[-1] / walk[-2]) == pytest.approx(0.5617, abs=1e-4)


# refusals


def test_what_makes_no_sense_is_refused():
    with pytest.raises(BrainalignError, match=r"\(n_networks, n_parameters\) is needed, got \(3,\)"):
        gradient_descent(quartic_slope, torch.ones(3), rate=0.1, n_steps=2)
    with pytest.raises(BrainalignError, match=r"broadcasts to \(2 networks, 5 steps\) is needed, got \(4,\)"):
        adam(quartic_slope, torch.ones(2, 1), rate=[0.1] * 4, n_steps=5)
    with pytest.raises(BrainalignError, match="at least 24 steps"):
        outcome(torch.ones(16))
    with pytest.raises(BrainalignError, match="positive curvature, got -1"):
        largest_rate(-1.0)
    with pytest.raises(BrainalignError, match="got 3 and 2"):
        tune_heavy_ball(3.0, 2.0)
