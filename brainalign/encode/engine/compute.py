"""Where the arithmetic runs, in which precision, and on how many threads."""

import re
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from threadpoolctl import threadpool_limits

from brainalign.errors import BrainalignError, UnknownName

DEVICES = ("cpu", "cuda", "auto")
SMALL_PROBLEM = 2e9  # multiplications of the Gram matrix and of the responses with its components


class PrecisionWarning(UserWarning):
    """The precision that was asked for is not the one that is used."""


@dataclass(frozen=True)
class Precision:
    """In which types the products that grow with the number of targets are computed; factorisations are float64.

    Parameters
    ----------
    name : {"float32", "float64", "mixed"}
    scan : torch.dtype
        Of the errors of all penalties.
    fit : torch.dtype
        Of the fit with the penalty that was chosen, and of penalties too near to be told apart by `scan`.
    """

    name: str
    scan: torch.dtype
    fit: torch.dtype


PRECISIONS = {
    "float32": Precision("float32", torch.float32, torch.float32),
    "float64": Precision("float64", torch.float64, torch.float64),
    "mixed": Precision("mixed", torch.bfloat16, torch.float32),
}


def choose_device(device):
    """Give the torch device named `cpu`, `cuda` or `auto` (a GPU where there is one).

    Parameters
    ----------
    device : str or torch.device

    Returns
    -------
    device : torch.device

    Raises
    ------
    UnknownName
        Another name.
    BrainalignError
        `cuda` where torch finds no GPU.
    """
    name = str(device)
    if name not in DEVICES and not re.fullmatch(r"cuda:\d+", name):
        raise UnknownName("device", name, DEVICES)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BrainalignError(
            'device="cuda" but torch finds no GPU: take "cpu", or "auto" to use a GPU where there is one'
        )
    return torch.device(name)


def choose_precision(precision, *, dtypes, device):
    """Give the precision by name, or that of the data.

    Parameters
    ----------
    precision : {None, "float32", "float64", "mixed"} or torch.dtype
        None: float32 where all data are of 32 bits or fewer, else float64.
    dtypes : sequence of torch.dtype
        Of the data.
    device : torch.device

    Returns
    -------
    precision : Precision
        float32, with a `PrecisionWarning`, for "mixed" where this device multiplies bfloat16 no faster.

    Raises
    ------
    UnknownName
        Another name.
    """
    if precision is None:
        small = all(dtype in (torch.float32, torch.bfloat16, torch.float16) for dtype in dtypes)
        precision = "float32" if small else "float64"
    precision = str(precision).removeprefix("torch.")
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, PRECISIONS)
    if precision == "mixed" and not bfloat16_is_faster(device):
        warnings.warn(
            f'precision="mixed", but {device} multiplies bfloat16 no faster than float32: float32 is used',
            PrecisionWarning,
            stacklevel=3,
        )
        precision = "float32"
    return PRECISIONS[precision]


def bfloat16_is_faster(device):
    """Tell by trial whether products of bfloat16 take less than two thirds of the time of float32."""
    return product_rate(torch.bfloat16, device) > 1.5 * product_rate(torch.float32, device)


@cache
def product_rate(dtype, device, size=768):
    """Measure the rate of matrix products of a given type, in floating-point operations per second (best of five)."""
    a = torch.ones(size, size, dtype=dtype, device=device)
    out = torch.empty_like(a)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, a, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


@contextmanager
def threads_for(n_samples, n_features, n_targets):
    """Keep small problems on one thread: a second brings them nothing, and waits for a busy core for ever.

    Decomposing 450 x 450 took 20 ms with one thread or two; beside another program on the same two cores 22 ms with one
    and up to 1,900 ms with two.
    """
    if n_samples * (n_features + n_targets) * min(n_samples, n_features) >= SMALL_PROBLEM:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)
