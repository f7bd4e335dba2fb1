"""Gradient descent and its relatives, written out, and a function of one number to see them on.

With g = the gradient at the place named, eta the learning rate:

    gradient descent   w <- w - eta g(w)
    momentum           v <- mu v - eta g(w),          w <- w + v       Polyak's heavy ball, v = 0 at first
    Nesterov           v <- mu v - eta g(w + mu v),   w <- w + v
    Adam               m <- b1 m + (1 - b1) g(w),     s <- b2 s + (1 - b2) g(w)^2      m = s = 0 at first
                       w <- w - eta m' / (sqrt(s') + eps),   m' = m / (1 - b1^t),   s' = s / (1 - b2^t)

Places are (n_networks, n_parameters); networks go their ways side by side. A rate is one number, or anything that
broadcasts to (n_networks, n_steps): (n_steps,) is a schedule, (n_networks, 1) a rate for each network.

On a quadratic whose curvatures lie between l and L, kappa = L / l, the distance to the minimum shrinks per step at best
by (kappa - 1) / (kappa + 1) with gradient descent and by (sqrt(kappa) - 1) / (sqrt(kappa) + 1) with momentum.

The quartic is f(x) = x^4 / 9 + 9/5 x^3 + 7/2 x^2 - 17 x - 1 of a teaching sheet that starts at x = 1. One version of
the sheet prints 3/5 for 9/5; the numbers that go with it are those of 9/5. The minimum that the sheet finds,
x = 1.2025573, is a local one: f is lowest at x = -10.249.

References
----------
Polyak (1964), Some methods of speeding up the convergence of iteration methods; Nesterov (1983), in the form of
Sutskever, Martens, Dahl & Hinton (2013), equations 3 and 4; Kingma & Ba (2015), algorithm 1. The tests compare with
torch.optim, with autograd and with numpy.roots.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from brainalign.errors import BrainalignError

CUBIC = 9 / 5
MISPRINTED_CUBIC = 3 / 5
LONGEST_ORBIT = 8  # steps
ROUNDING = 1000  # times the precision of x: smaller steps are rounding, and say nothing of how fast a walk comes nearer


def gradient_descent(gradient, start: torch.Tensor, *, rate, n_steps: int) -> torch.Tensor:
    """Walk down the gradient.

    Parameters
    ----------
    gradient : callable
        (n_networks, n_parameters) -> the same shape.
    start : Tensor (n_networks, n_parameters)
    rate : float or array
        Broadcast to (n_networks, n_steps).
    n_steps : int

    Returns
    -------
    path : Tensor (n_networks, n_steps + 1, n_parameters)
        The start and the place after each step; inf or nan from where a network overflows.

    Raises
    ------
    BrainalignError
        The start is not (n_networks, n_parameters), or the rate does not broadcast.
    """
    w, path = start, [start]
    for eta in _rates(rate, start, n_steps):
        w = w - eta * gradient(w)
        path.append(w)
    return torch.stack(path, dim=1)


def momentum(gradient, start: torch.Tensor, *, rate, n_steps: int, mu: float = 0.9) -> torch.Tensor:
    """Walk with momentum: what was gathered on the way goes on, times `mu`.

    Parameters, Returns and Raises as for `gradient_descent`.

    References
    ----------
    Polyak (1964). For a constant rate torch.optim.SGD(momentum=mu) takes the same path.
    """
    w, v, path = start, torch.zeros_like(start), [start]
    for eta in _rates(rate, start, n_steps):
        v = mu * v - eta * gradient(w)
        w = w + v
        path.append(w)
    return torch.stack(path, dim=1)


def nesterov(gradient, start: torch.Tensor, *, rate, n_steps: int, mu: float = 0.9) -> torch.Tensor:
    """Walk with momentum, the gradient taken where the momentum leads.

    Parameters, Returns and Raises as for `gradient_descent`.

    References
    ----------
    Sutskever et al. (2013), equations 3 and 4. torch.optim.SGD(nesterov=True) keeps the place that the momentum leads
    to, w + mu v; the test compares with it there.
    """
    w, v, path = start, torch.zeros_like(start), [start]
    for eta in _rates(rate, start, n_steps):
        v = mu * v - eta * gradient(w + mu * v)
        w = w + v
        path.append(w)
    return torch.stack(path, dim=1)


def adam(
    gradient, start: torch.Tensor, *, rate=1e-3, n_steps: int, betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> torch.Tensor:  # fmt: skip
    """Walk by steps that do not depend on the scale of the gradient; the first is `rate` long in every parameter.

    Parameters, Returns and Raises as for `gradient_descent`; `betas` are b1 and b2.

    References
    ----------
    Kingma & Ba (2015), algorithm 1. The tests compare with torch.optim.Adam.
    """
    b1, b2 = betas
    w, m, s, path = start, torch.zeros_like(start), torch.zeros_like(start), [start]
    for t, eta in enumerate(_rates(rate, start, n_steps), start=1):
        g = gradient(w)
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * g.square()
        w = w - eta * (m / (1 - b1**t)) / ((s / (1 - b2**t)).sqrt() + epsilon)
        path.append(w)
    return torch.stack(path, dim=1)


class Tuned(NamedTuple):
    """The best constant settings on a quadratic, and the factor by which the distance shrinks per step with them."""

    rate: float
    mu: float
    factor: float


def tune_gradient_descent(smallest: float, largest: float) -> Tuned:
    """Give the best rate for curvatures between two bounds, 2 / (L + l); the factor is (kappa - 1) / (kappa + 1)."""
    _check_curvatures(smallest, largest)
    return Tuned(2 / (largest + smallest), 0.0, (largest - smallest) / (largest + smallest))


def tune_heavy_ball(smallest: float, largest: float) -> Tuned:
    """Give the best rate and momentum for curvatures between two bounds.

    rate = (2 / (sqrt(L) + sqrt(l)))^2, mu = factor^2, factor = (sqrt(kappa) - 1) / (sqrt(kappa) + 1).

    References
    ----------
    Polyak (1964), theorem 9.
    """
    _check_curvatures(smallest, largest)
    low, high = math.sqrt(smallest), math.sqrt(largest)
    factor = (high - low) / (high + low)
    return Tuned((2 / (high + low)) ** 2, factor**2, factor)


class Outcome(NamedTuple):
    """How a walk ended.

    Parameters
    ----------
    verdict : {"converged", "learning rate too large", "not settled"}
    period : int
        1 where it converged, the number of places it goes round where the rate is too large, 0 where it went off to
        infinity or has not settled: it is chaotic, or still under way.
    places : tuple of float
        That it goes round, rising; one where it converged.
    """

    verdict: str
    period: int
    places: tuple[float, ...]


def outcome(path: torch.Tensor, *, tolerance: float = 1e-6) -> Outcome:
    """Say whether a walk over one number converged, goes round in an orbit, or went off.

    Parameters
    ----------
    path : Tensor (n_steps + 1,)
        Of one network and its one parameter. The last 3 x `LONGEST_ORBIT` places are looked at: the shortest period
        p <= `LONGEST_ORBIT` by which all of them repeat, within the tolerance, is the orbit. They repeat if the
        changes from one round to the next, and all those to come if they go on shrinking as they do, are that small:
        a walk with a tiny rate has not converged, nor is one an orbit that goes to and fro on its way to a minimum.
    tolerance : float
        In units of x; it must be below the distance of neighbouring places of an orbit.

    Returns
    -------
    outcome : Outcome

    Raises
    ------
    BrainalignError
        The path is not that of one number, or too short.
    """
    n_last = 3 * LONGEST_ORBIT
    if path.ndim != 1 or len(path) <= n_last:
        raise BrainalignError(f"the path of one number over at least {n_last} steps is needed, got {tuple(path.shape)}")
    if not torch.isfinite(path).all():
        return Outcome("learning rate too large", 0, ())
    last = path[-n_last:]
    for period in range(1, LONGEST_ORBIT + 1):
        if _repeats(last, period, tolerance):
            verdict = "converged" if period == 1 else "learning rate too large"
            return Outcome(verdict, period, tuple(sorted(last[-period:].tolist())))
    return Outcome("not settled", 0, ())


def _repeats(places: torch.Tensor, period: int, tolerance: float) -> bool:
    """Say whether places come back after a period, for good.

    The changes e from one round to the next shrink by r per round; what is to come is then e r / (1 - r) in all.
    """
    change = (places[period:] - places[:-period]).abs()
    if not bool((change <= tolerance).all()):
        return False
    first, second = (float(part.max()) for part in (change[:LONGEST_ORBIT], change[-LONGEST_ORBIT:]))
    if second <= ROUNDING * torch.finfo(places.dtype).eps * float(places.abs().max()):
        return True
    n_rounds = (len(change) - LONGEST_ORBIT) / period  # from the first changes to the second
    r = (second / first) ** (1 / n_rounds) if first > 0 else math.inf
    return r < 1 and second * r / (1 - r) <= tolerance


def quartic(x: torch.Tensor, *, cubic: float = CUBIC) -> torch.Tensor:
    """Give f(x) = x^4 / 9 + cubic x^3 + 7/2 x^2 - 17 x - 1, element by element."""
    return x**4 / 9 + cubic * x**3 + 7 / 2 * x**2 - 17 * x - 1


def quartic_slope(x: torch.Tensor, *, cubic: float = CUBIC) -> torch.Tensor:
    """Give f'(x) = 4/9 x^3 + 3 cubic x^2 + 7 x - 17, by hand."""
    return 4 / 9 * x**3 + 3 * cubic * x**2 + 7 * x - 17


def quartic_curvature(x: torch.Tensor, *, cubic: float = CUBIC) -> torch.Tensor:
    """Give f''(x) = 4/3 x^2 + 6 cubic x + 7, by hand."""
    return 4 / 3 * x**2 + 6 * cubic * x + 7


def autograd_slope(function, x: torch.Tensor) -> torch.Tensor:
    """Give the slope of a function that works element by element, by back-propagation."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    return slope


def critical_points(*, cubic: float = CUBIC) -> torch.Tensor:
    """Give the places where the slope of the quartic is 0, rising, (n_points,) in float64.

    They are the real roots of the slope, with a step of Newton's method for the last digits.

    References
    ----------
    The tests compare with f'' and with a search on a grid.
    """
    roots = np.roots([4 / 9, 3 * cubic, 7, -17])
    x = torch.as_tensor(np.sort(roots[np.abs(roots.imag) < 1e-9].real))
    return newton(x, n_steps=1, cubic=cubic)[:, -1]


def newton(start: torch.Tensor, *, n_steps: int, cubic: float = CUBIC) -> torch.Tensor:
    """Walk over the quartic by x <- x - f'(x) / f''(x): (n_networks,) -> path (n_networks, n_steps + 1)."""
    path = [start]
    for _ in range(n_steps):
        x = path[-1]
        path.append(x - quartic_slope(x, cubic=cubic) / quartic_curvature(x, cubic=cubic))
    return torch.stack(path, dim=1)


def largest_rate(curvature: float) -> float:
    """Give the learning rate that gradient descent near a minimum must stay below, 2 / curvature.

    Raises
    ------
    BrainalignError
        The curvature is not positive: no minimum.
    """
    if not curvature > 0:
        raise BrainalignError(f"a minimum has a positive curvature, got {curvature:g}")
    return 2 / curvature


def _rates(rate, start: torch.Tensor, n_steps: int) -> torch.Tensor:
    """Give the rate of every step as (n_steps, n_networks, 1)."""
    if start.ndim != 2:
        raise BrainalignError(f"a start of (n_networks, n_parameters) is needed, got {tuple(start.shape)}")
    rates = torch.as_tensor(rate, dtype=start.dtype, device=start.device)
    try:
        return rates.broadcast_to(len(start), n_steps).T[:, :, None]
    except RuntimeError:
        raise BrainalignError(
            f"a rate that broadcasts to ({len(start)} networks, {n_steps} steps) is needed, got {tuple(rates.shape)}"
        ) from None


def _check_curvatures(smallest: float, largest: float) -> None:
    if not 0 < smallest <= largest < math.inf:
        raise BrainalignError(f"curvatures 0 < smallest <= largest are needed, got {smallest:g} and {largest:g}")
