"""Associative memories: a matrix of weights M that answers a key f with g = M f.

Keys are the columns of F (n_inputs, n_pairs), answers the columns of G (n_outputs, n_pairs). Three ways to store them:

    Hebb              M = G F^T                                  one outer product g f^T for each pair
    pseudo-inverse    M = G F^+                                  least squares, of least norm
    delta rule        Delta m_ij = eta (t_i - g_i) f_j           t: the right answer, g = M f: the one given

The delta rule is applied in sweeps over all pairs. The error E = G - M F before a sweep says what the sweep adds:

    M <- M + E S      batch: all pairs at once         S = eta F^T
                      cyclic: one pair after another   S = eta (I + eta U)^-1 F^T,  U_jk = f_j . f_k for j < k, else 0

(Pair k meets an error that the pairs before it have changed: r_k = e_k - eta sum_{j<k} r_j (f_j . f_k), hence
R (I + eta U) = E, and the sweep adds eta R F^T.) S is called the gain here. After a sweep E has become E (I - S F): it
shrinks where all |eigenvalues| of I - S F are below 1 and grows without bound where one is above. For batch learning
this asks for eta < 2 / lambda_max(F F^T); cyclic learning is safe for eta < 2 / max |f|^2, which is exact when all keys
have one length; else it may converge somewhat beyond. Where learning converges, it ends at

    M0 + (G - M0 F) S (F S)^+

which for batch, and for independent keys whatever the order, is G F^+ + M0 (I - F F^+): what M0 does to inputs outside
the span of the keys stays. With more pairs than inputs, cyclic learning goes in circles near least squares; where it
stands after each sweep depends on eta.

Every array has a leading axis of networks that learn side by side, and stays on its device and in its dtype.

References
----------
Widrow & Hoff (1960), Adaptive switching circuits (the delta rule); Kohonen (1972), Correlation matrix memories, and
Kohonen & Ruohonen (1973) (the pseudo-inverse); Anderson (1972) (sums of outer products). The tests compare with the
rule pair by pair, with numpy.linalg.pinv and with scipy.linalg.eigvalsh.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate.replicas import place

PATTERNS, NOISE, LESION = range(3)  # what a seed is for: the three draws of one seed are independent
NO_CHANGE = 10  # times precision, size and largest eigenvalue: smaller ones are 0, of directions that are never learnt


class Learned(NamedTuple):
    """A memory after the delta rule.

    Parameters
    ----------
    memory : Tensor (n_networks, n_outputs, n_inputs)
    errors : Tensor (n_networks, n_sweeps + 1)
        Root mean square of G - M F before the first sweep and after each; inf from where a network overflows.
    """

    memory: torch.Tensor
    errors: torch.Tensor


def random_patterns(
    sizes, n_patterns: int, *, correlation: float = 0.0, n_networks: int = 1, seed: int = 0,
    dtype: torch.dtype = torch.float64, device: str = "cpu",
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Draw sets of patterns of +-1, e.g. keys and answers.

    Parameters
    ----------
    sizes : sequence of int
        Units of each set.
    n_patterns : int
        Of every set.
    correlation : float
        Expected between any two patterns of the first set, 0 to 1: their units agree with a template of the network
        with probability (1 + sqrt(correlation)) / 2. The other sets are uncorrelated.
    n_networks : int
    seed : int
        Network i has the patterns of a single network with seed `seed + i`.
    dtype : torch.dtype
    device : {"cpu", "cuda", "auto"}
        auto: a GPU if there is any. The patterns are the same.

    Returns
    -------
    patterns : tuple of Tensor (n_networks, n_units, n_patterns)
        One per set.

    Raises
    ------
    BrainalignError
        The correlation is not within 0 and 1, the dtype is neither float32 nor float64, or there is no GPU.
    """
    if not 0 <= correlation <= 1:
        raise BrainalignError(f"a correlation between 0 and 1 is needed, got {correlation:g}")
    sets: list[list[np.ndarray]] = [[] for _ in sizes]
    for rng in _generators(seed, n_networks, PATTERNS):
        for i_set, n_units in enumerate(sizes):
            template = np.where(rng.random((n_units, 1)) < 0.5, 1.0, -1.0)
            agree = (1 + math.sqrt(correlation)) / 2 if i_set == 0 else 0.5
            sets[i_set].append(np.where(rng.random((n_units, n_patterns)) < agree, template, -template))
    where = place(dtype=str(dtype).removeprefix("torch."), device=device)
    return tuple(torch.as_tensor(np.stack(drawn), **where) for drawn in sets)


def hebb(keys: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Store pairs as the sum of their outer products, M = G F^T.

    It recalls without error when the keys are orthonormal; else every answer carries the crosstalk of the others.

    Parameters
    ----------
    keys : Tensor (n_networks, n_inputs, n_pairs)
    answers : Tensor (n_networks, n_outputs, n_pairs)

    Returns
    -------
    memory : Tensor (n_networks, n_outputs, n_inputs)

    Raises
    ------
    Misaligned
        Keys and answers are not those of the same pairs and networks.
    """
    _check(keys, answers)
    return answers @ keys.mT


def pseudo_inverse(keys: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Store pairs by least squares, M = G F^+; without error as long as the keys are independent.

    Arguments, Returns and Raises as for `hebb`.

    References
    ----------
    Kohonen & Ruohonen (1973). The tests compare with numpy.linalg.pinv.
    """
    _check(keys, answers)
    return answers @ torch.linalg.pinv(keys)


def batch_gain(keys: torch.Tensor, *, step) -> torch.Tensor:
    """Give the gain of the delta rule on all pairs at once, S = eta F^T.

    Parameters
    ----------
    keys : Tensor (n_networks, n_inputs, n_pairs)
    step : float or Tensor (n_networks,)
        eta.

    Returns
    -------
    gain : Tensor (n_networks, n_pairs, n_inputs)
    """
    return _per_network(step, keys) * keys.mT


def cyclic_gain(keys: torch.Tensor, *, step) -> torch.Tensor:
    """Give the gain of a sweep of the delta rule over the pairs in their order, S = eta (I + eta U)^-1 F^T.

    Arguments and Returns as for `batch_gain`. The tests compare with the rule pair by pair.
    """
    step = _per_network(step, keys)
    later = torch.triu(keys.mT @ keys, diagonal=1)  # U (n_networks, n_pairs, n_pairs)
    unit = step * later + torch.eye(keys.shape[-1], dtype=keys.dtype, device=keys.device)
    return torch.linalg.solve_triangular(unit, step * keys.mT, upper=True)


def learn(keys: torch.Tensor, answers: torch.Tensor, gain: torch.Tensor, *, n_sweeps: int, start=None) -> Learned:
    """Apply the delta rule.

    Parameters
    ----------
    keys : Tensor (n_networks, n_inputs, n_pairs)
    answers : Tensor (n_networks, n_outputs, n_pairs)
    gain : Tensor (n_networks, n_pairs, n_inputs)
        From `batch_gain` or `cyclic_gain`.
    n_sweeps : int
    start : Tensor (n_networks, n_outputs, n_inputs), optional
        M0; zeros if absent.

    Returns
    -------
    learned : Learned

    Raises
    ------
    Misaligned
        Keys and answers are not those of the same pairs and networks.

    References
    ----------
    Widrow & Hoff (1960).
    """
    _check(keys, answers)
    memory = _zeros(keys, answers) if start is None else start.clone()
    error = answers - memory @ keys  # (n_networks, n_outputs, n_pairs)
    rms = [_rms(error)]
    for _ in range(n_sweeps):
        memory = memory + error @ gain
        error = answers - memory @ keys
        rms.append(_rms(error))
    errors = torch.stack(rms, dim=1)
    return Learned(memory, torch.where(errors.isnan(), math.inf, errors))


def limit(keys: torch.Tensor, answers: torch.Tensor, gain: torch.Tensor, *, start=None) -> torch.Tensor:
    """Give the memory at which the delta rule ends where it converges, M0 + (G - M0 F) S (F S)^+.

    Arguments as for `learn`. For the gain of batch learning this is G F^+ + M0 (I - F F^+) (Kohonen).

    Returns
    -------
    memory : Tensor (n_networks, n_outputs, n_inputs)
    """
    _check(keys, answers)
    start = _zeros(keys, answers) if start is None else start
    return start + (answers - start @ keys) @ gain @ torch.linalg.pinv(keys @ gain)


def batch_bound(keys: torch.Tensor) -> torch.Tensor:
    """Give the step that batch learning must stay below, 2 / lambda_max(F F^T): (n_networks,); keys as in `hebb`."""
    return 2 / torch.linalg.matrix_norm(keys, ord=2).square()


def cyclic_bound(keys: torch.Tensor) -> torch.Tensor:
    """Give a step below which cyclic learning is sure to converge, 2 / max |f|^2: (n_networks,); keys as in `hebb`."""
    return 2 / keys.square().sum(dim=1).amax(dim=1)


def rate(keys: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """Give the factor by which the slowest part of the error changes per sweep; learning converges below 1.

    It is the largest |1 - eigenvalue of S F|, without the eigenvalues that are 0: those of dependent keys. Where all
    are 0, as with a step of 0, nothing is learnt, and it is 1.

    Parameters
    ----------
    keys : Tensor (n_networks, n_inputs, n_pairs)
    gain : Tensor (n_networks, n_pairs, n_inputs)

    Returns
    -------
    rate : Tensor (n_networks,)
    """
    _, n_inputs, n_pairs = keys.shape
    change = torch.linalg.eigvals(gain @ keys if n_pairs <= n_inputs else keys @ gain)  # the smaller of the two
    rounding = NO_CHANGE * max(n_inputs, n_pairs) * torch.finfo(keys.dtype).eps
    learnt = change.abs() > rounding * change.abs().amax(dim=1, keepdim=True)
    slowest = torch.where(learnt, (1 - change).abs(), 0).amax(dim=1)
    return torch.where(learnt.any(dim=1), slowest, 1)


def similarity(recalled: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Give the cosine of each recalled answer and the right one.

    Parameters
    ----------
    recalled, answers : Tensor (n_networks, n_outputs, n_pairs)

    Returns
    -------
    cosine : Tensor (n_networks, n_pairs)
        nan where either is all 0.
    """
    return (recalled * answers).sum(dim=1) / (recalled.norm(dim=1) * answers.norm(dim=1))


def identified(recalled: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Give the share of recalled answers that are nearest, by cosine, to the right one of all: (n_networks,).

    Arguments as for `similarity`.
    """
    near = torch.nn.functional.normalize(recalled, dim=1).mT @ torch.nn.functional.normalize(answers, dim=1)
    right = torch.arange(answers.shape[-1], device=answers.device)
    return (near.argmax(dim=2) == right).to(answers.dtype).mean(dim=1)


def signal_to_noise(keys: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Give the signal of a Hebbian memory over its crosstalk.

    Recalling key k gives g_k |f_k|^2, the signal, and sum_{j != k} g_j (f_j . f_k), the noise. Random patterns of +-1
    have sqrt(n_inputs / (n_pairs - 1)), about sqrt(n_inputs / n_pairs).

    Parameters
    ----------
    keys : Tensor (n_networks, n_inputs, n_pairs)
    answers : Tensor (n_networks, n_outputs, n_pairs)

    Returns
    -------
    ratio : Tensor (n_networks,)
        Of the root mean squares over outputs and pairs; inf where there is no crosstalk.
    """
    signal = answers * keys.square().sum(dim=1, keepdim=True)
    noise = hebb(keys, answers) @ keys - signal
    return signal.norm(dim=(1, 2)) / noise.norm(dim=(1, 2))


def hebb_similarity(n_inputs: int, n_pairs, *, kept=1.0, noise_sd=0.0):
    """Give the cosine that a Hebbian memory of random +-1 patterns is expected to recall with.

    1 / sqrt(1 + (K - 1 + K ((1 - q) + s^2) / q) / n): K - 1 from the crosstalk of K pairs, (1 - q) / q from weights
    that are lost, s^2 / q from noise in the key.

    Parameters
    ----------
    n_inputs : int
    n_pairs : int or array
    kept : float or array
        q, share of the weights that are left.
    noise_sd : float or array
        s, of the noise in every unit of the key.

    Returns
    -------
    cosine : float or array
        For many outputs.
    """
    variance = n_pairs - 1 + n_pairs * ((1 - kept) + noise_sd**2) / kept
    return 1 / np.sqrt(1 + variance / n_inputs)


def add_noise(keys: torch.Tensor, *, sd: float, seed: int = 0) -> torch.Tensor:
    """Give keys with normal noise of standard deviation `sd` in every unit; network i draws with seed `seed + i`.

    Parameters
    ----------
    keys : Tensor (n_networks, n_inputs, n_pairs)
    sd : float
    seed : int

    Returns
    -------
    noisy : Tensor (n_networks, n_inputs, n_pairs)
    """
    draws = [rng.standard_normal(keys.shape[1:]) for rng in _generators(seed, len(keys), NOISE)]
    return keys + sd * torch.as_tensor(np.stack(draws), dtype=keys.dtype, device=keys.device)


def lesion(memory: torch.Tensor, *, share: float, seed: int = 0) -> torch.Tensor:
    """Give a memory of which a share of the weights is 0.

    Parameters
    ----------
    memory : Tensor (n_networks, n_outputs, n_inputs)
    share : float
        Of the weights, 0 to 1, rounded to whole weights. A larger lesion of the same seed contains a smaller one.
    seed : int
        Network i is lesioned with seed `seed + i`.

    Returns
    -------
    lesioned : Tensor (n_networks, n_outputs, n_inputs)

    Raises
    ------
    BrainalignError
        The share is not within 0 and 1.
    """
    if not 0 <= share <= 1:
        raise BrainalignError(f"a share of the weights between 0 and 1 is needed, got {share:g}")
    n_weights = memory[0].numel()
    orders = [rng.permutation(n_weights) for rng in _generators(seed, len(memory), LESION)]
    rank = torch.as_tensor(np.stack(orders), device=memory.device).reshape(memory.shape)
    return torch.where(rank < round(share * n_weights), 0, memory)


def _generators(seed: int, n_networks: int, purpose: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed + i, purpose]) for i in range(n_networks)]


def _per_network(step, keys: torch.Tensor) -> torch.Tensor:
    """Give steps as (n_networks or 1, 1, 1)."""
    steps = torch.as_tensor(step, dtype=keys.dtype, device=keys.device).reshape(-1, 1, 1)
    if len(steps) not in (1, len(keys)):
        raise Misaligned(f"one step, or one for each of the {len(keys)} networks, is needed; got {len(steps)}")
    return steps


def _rms(error: torch.Tensor) -> torch.Tensor:
    return error.square().mean(dim=(1, 2)).sqrt()


def _zeros(keys: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    return keys.new_zeros(len(keys), answers.shape[1], keys.shape[1])


def _check(keys: torch.Tensor, answers: torch.Tensor) -> None:
    if keys.ndim != 3 or answers.ndim != 3:
        raise Misaligned(
            f"keys and answers are (n_networks, n_units, n_pairs); got {tuple(keys.shape)} and {tuple(answers.shape)}"
        )
    if keys.shape[0] != answers.shape[0] or keys.shape[2] != answers.shape[2]:
        raise Misaligned(
            f"keys are of {keys.shape[0]} networks and {keys.shape[2]} pairs, answers of {answers.shape[0]} networks "
            f"and {answers.shape[2]} pairs"
        )
    for name, values in (("keys", keys), ("answers", answers)):
        if not torch.isfinite(values).all():
            raise Misaligned(f"{name} hold values that are not finite, in network {_first_not_finite(values)}")


def _first_not_finite(values: torch.Tensor) -> int:
    return int((~torch.isfinite(values)).flatten(1).any(dim=1).nonzero()[0])
