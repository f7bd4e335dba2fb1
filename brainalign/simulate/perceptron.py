"""The perceptron and Adaline: one unit that learns from examples, point by point, in small batches or all at once.

    o = w.x + b                                       output before the threshold; the answer is its sign
    perceptron (Rosenblatt):   e = y  where y o <= 0, 0 elsewhere       it learns from mistakes only
    Adaline (Widrow & Hoff):   e = y - o                                it learns from every point
    w <- w + eta mean(e x),    b <- b + eta mean(e)                     mean over the points of a batch
    eta = learning_rate / (1 + decay * sweep)

y is -1 or +1; b is the weight of a further input that is always 1, and stands last in `weights`. A batch of one point
is the online form of both papers.

What is known about where this leads, and can be computed beforehand:

- perceptron, online, from 0, constant eta: no more than (R / gamma) ** 2 updates, with R the length of the longest
  (x, 1) and gamma the best margin, the distance of the convex hull of all y (x, 1) from the origin (Novikoff);
- perceptron, points that no line separates: it never stops, but its weights stay bounded (cycling theorem);
- Adaline, batch: least squares, when eta < 2 / (largest eigenvalue of mean((x, 1) (x, 1)^T)).

References
----------
Rosenblatt (1958), Psychological Review 65:386-408; Widrow & Hoff (1960), IRE WESCON Convention Record 4:96-104;
Novikoff (1962), Symposium on the Mathematical Theory of Automata 12:615-622; Minsky & Papert (1969), Perceptrons,
chapter 11. The tests compare with scikit-learn's Perceptron, numpy's least squares and a support vector machine.
"""

import math
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate.replicas import place, uniform

NO_MARGIN = 1e-9  # of R: a smaller margin is rounding
MAX_POINTS = 12  # of an exhaustive search over subsets


def perceptron(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Give Rosenblatt's error: y where the answer is wrong or undecided, 0 elsewhere."""
    return torch.where(y * outputs > 0, 0, y)


def adaline(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Give Widrow and Hoff's error: what is missing from the output before its threshold."""
    return y - outputs


class Trained(NamedTuple):
    """What training left behind.

    Parameters
    ----------
    weights : tensor of shape (n_networks, n_sweeps + 1, n_inputs + 1)
        Before training and after every sweep; b last.
    n_wrong : int64 tensor of shape (n_networks, n_sweeps + 1)
        Points with a wrong answer; an output of 0 is wrong, and so is nan, of weights that have overflowed.
    squared_error : tensor of shape (n_networks, n_sweeps + 1)
        Mean of (y - o) ** 2 over the points; inf or nan from where weights overflow.
    n_updates : int64 tensor of shape (n_networks, n_sweeps + 1)
        Points learned from so far: those whose error was not 0.
    largest_norm : tensor of shape (n_networks,)
        Greatest length of (w, b) on the way.
    """

    weights: torch.Tensor
    n_wrong: torch.Tensor
    squared_error: torch.Tensor
    n_updates: torch.Tensor
    largest_norm: torch.Tensor


def train(
    X,
    y,
    rule: Callable = perceptron,
    *,
    n_networks: int = 1,
    n_sweeps: int = 100,
    batch_size: int | None = 1,
    learning_rate: float = 1.0,
    decay: float = 0.0,
    shuffle: bool = True,
    init: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
) -> Trained:
    """Train units side by side; unit i is equal to one trained alone with `seed + i`.

    Parameters
    ----------
    X : array of shape (n_points, n_inputs) or (n_networks, n_points, n_inputs)
    y : array of shape (n_points,) or (n_networks, n_points)
        -1 or +1.
    rule : callable
        `perceptron`, `adaline`, or another function of outputs and y, (n_networks, n_points_of_batch) both, that gives
        errors of that shape.
    n_networks : int
    n_sweeps : int
        Times that all points are seen.
    batch_size : int or None
        1 is online; None is all points at once.
    learning_rate, decay : float
    shuffle : bool
        Whether the points come in a new order in every sweep, one of its own for each unit.
    init : float
        First weights are uniform in +-init; they are drawn in float32 whatever the dtype.
    seed : int
    device : {"cpu", "cuda", "auto"}
    dtype : {"float32", "float64"}

    Raises
    ------
    Misaligned
        X and y do not describe the same points or networks.
    BrainalignError
        y has other values than -1 and +1, X is not finite, a number of sweeps, points or a rate is not positive and
        finite, there is no such dtype, or no GPU.
    """
    where = place(dtype=dtype, device=device)
    X, y = (torch.as_tensor(np.asarray(values)).to(**where) for values in (X, y))
    _check(X, y, n_networks)
    n_points = y.shape[-1]
    batch_size = n_points if batch_size is None else batch_size
    _check_settings(
        above_0={"n_networks": n_networks, "batch_size": batch_size, "learning_rate": learning_rate},
        from_0={"n_sweeps": n_sweeps, "decay": decay, "init": init},
    )
    X = _with_one(X).expand(n_networks, -1, -1)  # (n_networks, n_points, n_inputs + 1)
    y = y.expand(n_networks, -1)
    generators = [torch.Generator().manual_seed(seed + i) for i in range(n_networks if shuffle or init else 0)]
    w = _first_weights(generators, X, init)

    which = torch.arange(n_networks, device=X.device)[:, None]
    order = torch.arange(n_points, device=X.device).expand(n_networks, -1)
    n_updates, longest = torch.zeros(n_networks, dtype=torch.int64, device=X.device), w.norm(dim=1)
    seen = [(w, n_updates)]
    for sweep in range(n_sweeps):
        if shuffle:
            order = torch.stack([torch.randperm(n_points, generator=of_one) for of_one in generators]).to(X.device)
        rate = learning_rate / (1 + decay * sweep)
        weights, errors = [], []  # after each batch, of each batch
        for x, wanted in zip(X[which, order].split(batch_size, 1), y[which, order].split(batch_size, 1), strict=True):
            error = rule((x * w[:, None]).sum(dim=2), wanted)  # (n_networks, n_points_of_batch)
            w = w + rate * (error[..., None] * x).mean(dim=1)
            weights.append(w)
            errors.append(error)
        n_errors = torch.cat(errors, dim=1).count_nonzero(dim=1)
        n_updates = n_updates + n_errors
        longest = torch.maximum(longest, torch.stack(weights).norm(dim=2).amax(dim=0))
        seen.append((w, n_updates))
        if not n_errors.any():  # no unit has anything left to learn
            seen.extend([seen[-1]] * (n_sweeps - sweep - 1))
            break
    weights, n_updates = (torch.stack(values, dim=1) for values in zip(*seen, strict=True))
    outputs = weights @ X.transpose(1, 2)  # (n_networks, n_sweeps + 1, n_points)
    wrong, missing = ~(y[:, None] * outputs > 0), y[:, None] - outputs
    return Trained(weights, wrong.sum(dim=2), missing.square().mean(dim=2), n_updates, longest)


class Margin(NamedTuple):
    """The best separation of points.

    Parameters
    ----------
    gamma : float
        Least y (w.x + b) of the best (w, b) of length 1; 0 where nothing separates.
    weights : array of shape (n_inputs + 1,)
        That (w, b); zeros where nothing separates.
    """

    gamma: float
    weights: np.ndarray


def best_margin(X, y) -> Margin:
    """Find the best margin of points, by Lawson and Hanson's least distance programming.

    It solves: shortest v with y (x, 1).v >= 1 for every point, from which gamma = 1 / |v|.

    Parameters
    ----------
    X : array of shape (n_points, n_inputs)
    y : array of shape (n_points,)
        -1 or +1.

    Raises
    ------
    Misaligned
        X and y do not describe the same points.
    BrainalignError
        y has other values than -1 and +1, or X is not finite.

    References
    ----------
    Lawson & Hanson (1974), Solving least squares problems, chapter 23, section 4.
    """
    signed = _signed_points(X, y)
    scale = np.linalg.norm(signed, axis=1).max()
    target = np.append(np.zeros(signed.shape[1]), 1.0)
    columns = np.vstack([signed.T / scale, np.ones(len(signed))])
    solution, _ = nnls(columns, target, maxiter=100 * len(signed))
    rest = columns @ solution - target
    length = np.linalg.norm(rest[:-1])
    if length > 0 and (gamma := (signed @ rest[:-1]).min() / length) > NO_MARGIN * scale:
        return Margin(float(gamma), rest[:-1] / length)
    return Margin(0.0, np.zeros(signed.shape[1]))


def novikoff_bound(X, y) -> float:
    """Give (R / gamma) ** 2: updates of an online perceptron from 0 at most; inf where nothing separates.

    Parameters
    ----------
    X : array of shape (n_points, n_inputs)
    y : array of shape (n_points,)
        -1 or +1.

    References
    ----------
    Novikoff (1962), theorem 1, with the threshold as one more weight.
    """
    gamma = best_margin(X, y).gamma
    longest = np.linalg.norm(_signed_points(X, y), axis=1).max()
    return float((longest / gamma) ** 2) if gamma else float("inf")


class BestLinear(NamedTuple):
    """The best that one line can do.

    Parameters
    ----------
    share : float
        Of the points that it answers rightly.
    weights : array of shape (n_inputs + 1,)
        (w, b) of length 1, with the best margin to those points.
    """

    share: float
    weights: np.ndarray


def best_linear(X, y) -> BestLinear:
    """Find the line that answers most points rightly, by trying all subsets: 3/4 for XOR.

    Parameters
    ----------
    X : array of shape (n_points, n_inputs)
    y : array of shape (n_points,)
        -1 or +1.

    Raises
    ------
    BrainalignError
        The points are more than 12, or `best_margin` refuses them.
    """
    signed = _signed_points(X, y)
    X, y, n_points = np.asarray(X, dtype=float), np.asarray(y), len(signed)
    if n_points > MAX_POINTS:
        raise BrainalignError(f"all subsets of {n_points} points; at most {MAX_POINTS}")
    subsets = (list(of) for n_right in range(n_points, 0, -1) for of in combinations(range(n_points), n_right))
    right, margin = next((of, margin) for of in subsets if (margin := best_margin(X[of], y[of])).gamma)
    return BestLinear(len(right) / n_points, margin.weights)


def adaline_limit(X, y) -> np.ndarray:
    """Give the weights of least squares, (n_inputs + 1,), b last: where Adaline from 0 goes.

    References
    ----------
    Widrow & Hoff (1960); the shortest where many are best.
    """
    signed = _signed_points(X, y)
    return np.linalg.lstsq(signed, np.ones(len(signed)), rcond=None)[0]  # y (x, 1).v = 1 is (x, 1).v = y


def adaline_step_bound(X) -> float:
    """Give the learning rate from which on Adaline diverges when it sees all points at once.

    2 / (largest eigenvalue of mean((x, 1) (x, 1)^T)).
    """
    signed = _with_one(torch.as_tensor(np.asarray(X, dtype=float))).numpy()
    return float(2 / np.linalg.eigvalsh(signed.T @ signed / len(signed)).max())


def _check(X: torch.Tensor, y: torch.Tensor, n_networks: int) -> None:
    if X.ndim not in (2, 3) or y.ndim not in (1, 2) or X.shape[-2] != y.shape[-1] or not y.shape[-1]:
        raise Misaligned(
            f"X {tuple(X.shape)} and y {tuple(y.shape)}; expected (n_points, n_inputs) and (n_points,), each with or"
            " without a leading axis of networks, and at least one point"
        )
    for name, values, n_dims in (("X", X, 3), ("y", y, 2)):
        if values.ndim == n_dims and len(values) not in (1, n_networks):
            raise Misaligned(f"{name} is for {len(values)} networks, n_networks is {n_networks}")
    if not bool(((y == 1) | (y == -1)).all()):
        raise BrainalignError(f"y must be -1 or +1; got {sorted(set(y.unique().tolist()))[:5]}")
    if not bool(torch.isfinite(X).all()):
        raise BrainalignError("X must be finite; it holds nan or inf")


def _check_settings(*, above_0: dict[str, float], from_0: dict[str, float]) -> None:
    for name, value in above_0.items():
        if not 0 < value < math.inf:
            raise BrainalignError(f"{name} ({value}) must be finite and above 0")
    for name, value in from_0.items():
        if not 0 <= value < math.inf:
            raise BrainalignError(f"{name} ({value}) must be finite and not below 0")


def _with_one(X: torch.Tensor) -> torch.Tensor:
    return torch.cat([X, torch.ones_like(X[..., :1])], dim=-1)


def _signed_points(X, y) -> np.ndarray:
    """Give y (x, 1) of every point, (n_points, n_inputs + 1)."""
    X, y = (torch.as_tensor(np.asarray(values, dtype=float)) for values in (X, y))
    if X.ndim != 2 or y.ndim != 1:
        raise Misaligned(f"X {tuple(X.shape)} and y {tuple(y.shape)}; expected (n_points, n_inputs) and (n_points,)")
    _check(X, y, 1)
    return (y[:, None] * _with_one(X)).numpy()


def _first_weights(generators: list, X: torch.Tensor, init: float) -> torch.Tensor:
    if not init:
        return X.new_zeros(len(X), X.shape[2])
    return torch.stack([uniform((X.shape[2],), init, of_network) for of_network in generators]).to(X)
