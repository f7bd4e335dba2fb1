"""What a fit will cost, before it starts: operations, memory and time."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from brainalign.encode.engine.compute import choose_device, choose_precision, product_rate
from brainalign.encode.engine.factors import is_primal
from brainalign.encode.engine.sources import WIDTH

EIGEN = 13  # an eigendecomposition of n x n takes as long as a product of EIGEN n^3 operations
SPEED = {"float64": 1.0, "float32": 2.0, "mixed": 12.0}  # of the scan's products, relative to float64
REACHED = 0.8  # of the measured rate of products
MADE = 13  # penalties from which those of a grid over nine decades, however dense, are combined


class Operations(NamedTuple):
    """Floating-point operations, by the precision they are done in."""

    double: float
    scan: float
    fit: float

    def relative_time(self, precision):
        """Give the time in units of operations in float64; fixed numbers, so that a choice is the same everywhere."""
        fit = SPEED["float64" if precision == "float64" else "float32"]
        return self.double + self.scan / SPEED[precision] + self.fit / fit


class Memory(NamedTuple):
    """Bytes of the arrays of a fit, by what they are for."""

    stored: float  # what predicts the test samples of all folds
    factors: float  # decomposition of all samples
    eigen: float  # workspace of an eigendecomposition
    making: float  # one fold in float64
    block: float  # targets that are computed side by side, and their predictions
    weights: float  # the result


HELD = Memory(stored=0.9, factors=0.4, eigen=0.5, making=0.3, block=0.9, weights=1.0)
"""Share of each that counts at the peak, by least squares on 18 fits of 150 to 1,000 MB (they are not all held at a
time, and what is freed is only partly given back)."""
HELD_MIXED = HELD._replace(eigen=1.0, block=1.2)
HELD_SUMS = Memory(stored=0.5, factors=0.9, eigen=1.2, making=0.95, block=1.05, weights=1.0)
"""The same where folds are made from sums, on 10 fits of 90 to 670 MB."""


@dataclass(frozen=True)
class Plan:
    """What a fit of `RidgeCV` will take.

    Parameters
    ----------
    inner_solver, solver : str
        As in `RidgeCV`.
    operations : Operations
    bytes : int
        Peak memory besides X, Y and what the libraries take when they are loaded. What the allocator keeps of
        freed arrays comes on top: at a few hundred megabytes up to a third, differing from run to run.
    seconds : float
        By the rates of products measured on this device.
    """

    inner_solver: str
    solver: str
    operations: Operations
    bytes: int
    seconds: float


def plan_ridge(
    n_samples, n_features, n_targets, *, n_alphas=19, n_folds=5, scale=True, precision="float32", device="cpu"
):
    """State what `RidgeCV.fit` will take, for folds of equal size without a gap.

    Parameters
    ----------
    n_samples, n_features, n_targets, n_alphas, n_folds : int
    scale : bool
    precision : {"float32", "float64", "mixed"}
    device : {"cpu", "cuda", "auto"}

    Returns
    -------
    plan : Plan
    """
    device = choose_device(device)
    precision = choose_precision(precision, dtypes=(), device=device)
    n_trains = fold_sizes(n_samples, n_folds)
    shape = (n_samples, n_features, n_targets)
    inner_solver = choose_inner_solver(
        *shape, n_trains=n_trains, n_alphas=n_alphas, scale=scale, precision=precision.name
    )
    operations = count_operations(inner_solver, *shape, n_trains=n_trains, n_alphas=n_alphas)
    memory = count_bytes(inner_solver, *shape, n_trains=n_trains, n_alphas=n_alphas, precision=precision)
    rates = [product_rate(dtype, device) for dtype in (torch.float64, precision.scan, precision.fit)]
    seconds = sum(n / rate for n, rate in zip(operations, rates, strict=True)) / REACHED
    return Plan(
        inner_solver,
        "primal" if inner_solver != "left out of the whole" and is_primal(n_samples, n_features) else "dual",
        operations,
        _peak(memory, inner_solver, precision),
        seconds,
    )


def fold_sizes(n_samples, n_folds):
    """Give the sizes of the training sets of folds of equal size."""
    return [n_samples - (n_samples + i) // n_folds for i in range(n_folds)]


def solver_by_fold(n_trains, n_features):
    """Give the form, primal or dual, in which folds are decomposed one by one."""
    return "primal" if is_primal(min(n_trains), n_features) else "dual"


def choose_inner_solver(n_samples, n_features, n_targets, *, n_trains, n_alphas, scale, precision):
    """Choose how the folds are computed: by the operations they need.

    Returns
    -------
    inner_solver : {"primal", "from sums", "dual", "left out of the whole"}
    """
    by_fold = solver_by_fold(n_trains, n_features)
    ways = [by_fold]
    if by_fold == "primal":
        ways.append("from sums")
    if not scale:
        ways.append("left out of the whole")
    costs = {
        name: count_operations(
            name, n_samples, n_features, n_targets, n_trains=n_trains, n_alphas=n_alphas
        ).relative_time(precision)
        for name in ways
    }
    return min(costs, key=costs.get)


def count_operations(inner_solver, n_samples, n_features, n_targets, *, n_trains, n_alphas):
    """Count what a way of computing the folds needs, the fit on all samples included.

    Returns
    -------
    operations : Operations
        Multiplications and additions; those that combining penalties saves are not taken off.
    """
    n, p, t = n_samples, n_features, n_targets
    rank = min(n, p)
    tests = [n - n_train for n_train in n_trains]
    if inner_solver == "left out of the whole":
        whole = EIGEN * rank**3 + (2 * n * n * p if p > n else 4 * n * p * p + (n - p) * (8 * n * p + 2 * n * (n - p)))
        double = whole + n_alphas * sum(4 * out**2 * n for out in tests)
        return Operations(double, 2 * n_alphas * sum(tests) * n * t, 2 * n * n * t)
    if inner_solver == "from sums":
        double = 6 * n * p * p + EIGEN * p**3 + sum((EIGEN + 4) * p**3 + 6 * out * p * p for out in tests)
        fit = 2 * n * p + sum(2 * out * p + 2 * (2 + n_alphas) * p * p for out in tests)
        return Operations(double, 0, fit * t)
    ranks = [min(n_train, p) for n_train in n_trains]
    double = 2 * n * p * rank + sum(EIGEN * r**3 + 2 * n * p * r for r in ranks) + EIGEN * rank**3
    scan = sum(2 * (m + n_alphas * out) * r for m, out, r in zip(n_trains, tests, ranks, strict=True))
    return Operations(double, scan * t, 2 * n * rank * t)


def count_bytes(inner_solver, n_samples, n_features, n_targets, *, n_trains, n_alphas, precision):
    """Count the memory that a way of computing the folds needs.

    Returns
    -------
    memory : Memory
    """
    n, p, rank, size = n_samples, n_features, min(n_samples, n_features), precision.fit.itemsize
    whole, mixed = inner_solver == "left out of the whole", precision.name == "mixed"
    n_test = n - min(n_trains)
    made = n - 1 if whole else min(*n_trains, p)  # components
    n_made = n_alphas if precision.name == "float64" else min(MADE, n_alphas)
    decomposed = n if whole else made
    kept = (8 + size) * n * n if whole else 8 * n * rank
    width = min(WIDTH, n_targets)
    if inner_solver == "from sums":
        return Memory(
            stored=size * (n * p + len(n_trains) * (n_made + 2) * p * p),
            factors=8 * 2 * n * p,
            eigen=8 * 5 * p**2,
            making=8 * (4 * n_test * p + 2 * n_made * p * p),
            block=size * width * (n + n_test + (3 + n_made) * p),
            weights=size * n_targets * p,
        )
    return Memory(
        stored=size * (n * made * n_made + (0 if whole else sum(n_trains) * made)),
        factors=8 * ((n + p) * rank + (n * n if whole or not is_primal(n, p) else 0)) + kept,
        eigen=8 * 5 * decomposed**2,
        making=(4 if mixed and whole else 8) * n_test * made * n_made * 2 + 8 * (n * n if whole else 2 * n * made),
        block=size * width * (3 * n + rank + n_made * n_test) + (2 * width * (n + n_made * n_test) if mixed else 0),
        weights=size * n_targets * rank,
    )


def _peak(memory, inner_solver, precision):
    mixed = HELD_MIXED if precision.name == "mixed" else HELD
    held = HELD_SUMS if inner_solver == "from sums" else mixed
    return int(sum(share * size for share, size in zip(held, memory, strict=True)))
