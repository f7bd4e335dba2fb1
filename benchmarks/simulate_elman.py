"""How fast do Elman networks learn online? Beside a plain loop in NumPy and one in PyTorch, in the same run.

    python benchmarks/simulate_elman.py [--quick] [--json FILE] [--threads 2] [--device auto]

A network of 31-150-31 learns a corpus of 27,500 words in six passes, the weights moving after every word (Elman 1990,
simulation of lexical classes). Rows, in float32 and in float64:

- `numpy`: the rule as one would write it, one network, `np.outer` and a subtraction per matrix.
- `torch`: the same loop in PyTorch.
- `ours`: `simulate.online.train` for 1, 8 and 64 networks side by side, on a GPU, where there is one, 1,024.

Loops and ours take turns over the same 2,000 words and the best of the turns counts, so that the ratios do not depend
on the machine or on what else it does: `us` is microseconds per step and network, `ratio` is that of numpy in the same
dtype over it. `difference` is the largest difference between a weight of ours (the first network) and of numpy after
all passes over the whole corpus (for 64 networks on the CPU only with --quick, it takes minutes), `change` the largest
by which a weight of numpy's moves in the last pass.
Targets: one network at most 1.2 times numpy's time, 64 networks at least 4 times
faster per network, 1,024 on a GPU at least 100 times.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from brainalign.simulate.elman import Elman
from brainalign.simulate.online import train

N_UNITS, N_HIDDEN, N_WORDS, N_SWEEPS = 31, 150, 27_500, 6
LR, LIMIT = 0.1, 0.5
NAMES = ("W", "C", "b", "V", "c")
COLUMNS = ("what", "dtype", "networks", "us", "ratio", "difference", "change")


def corpus(n_words, seed):
    """Give words drawn so that each has 3 successors of its own, as few as in sentences of three words."""
    rng = np.random.default_rng(seed)
    successors = rng.integers(N_UNITS - 2, size=(N_UNITS, 3))
    words = [0]
    for choice in rng.integers(3, size=n_words - 1):
        words.append(int(successors[words[-1], choice]))
    return np.array(words)


def networks(n_networks, dtype, device="cpu", seed=0):
    return Elman(
        range(N_UNITS), n_hidden=N_HIDDEN, n_networks=n_networks, limit=LIMIT, dtype=dtype, device=device, seed=seed
    )


def weights_of(network):
    return [getattr(network, name).detach()[0].cpu() for name in NAMES]


def numpy_loop(weights, words, hidden=None):
    """Teach one network in place; give its last hidden units."""
    w, recurrent, b, v, c = weights
    one = np.eye(N_UNITS, dtype=recurrent.dtype)
    hidden = np.full(N_HIDDEN, 0.5, recurrent.dtype) if hidden is None else hidden
    for x, y in zip(words, np.roll(words, -1), strict=True):
        context = hidden
        hidden = 1 / (1 + np.exp(-(w[x] + context @ recurrent + b)))
        output = 1 / (1 + np.exp(-(hidden @ v + c)))
        d_output = (output - one[y]) * output * (1 - output)
        d_hidden = (v @ d_output) * hidden * (1 - hidden)
        v -= LR * np.outer(hidden, d_output)
        c -= LR * d_output
        recurrent -= LR * np.outer(context, d_hidden)
        w[x] -= LR * d_hidden
        b -= LR * d_hidden
    return hidden


def torch_loop(weights, words):
    """Teach one network in place."""
    w, recurrent, b, v, c = weights
    one = torch.eye(N_UNITS, dtype=recurrent.dtype)
    hidden = torch.full((N_HIDDEN,), 0.5, dtype=recurrent.dtype)
    with torch.no_grad():
        for x, y in zip(words, np.roll(words, -1), strict=True):
            context = hidden
            hidden = torch.sigmoid(w[x] + context @ recurrent + b)
            output = torch.sigmoid(hidden @ v + c)
            d_output = (output - one[y]) * output * (1 - output)
            d_hidden = (v @ d_output) * hidden * (1 - hidden)
            v -= LR * torch.outer(hidden, d_output)
            c -= LR * d_output
            recurrent -= LR * torch.outer(context, d_hidden)
            w[x] -= LR * d_hidden
            b -= LR * d_hidden


def seconds_of(function):
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def entrants(dtype, words, sizes):
    """Give (name, n_networks) -> a function that teaches fresh networks the words, and what it must build before."""

    def plain(loop, as_array):
        weights = [as_array(values.clone()) for values in weights_of(networks(1, dtype))]
        return lambda: loop(weights, words)

    def ours(n_networks, device):
        taught = networks(n_networks, dtype, device)
        return lambda: train(taught, words, lr=LR)

    found = {
        ("numpy", 1): plain(numpy_loop, torch.Tensor.numpy),
        ("torch", 1): plain(torch_loop, lambda values: values),
    }
    return found | {(f"ours, {device}", n): ours(n, device) for device, n in sizes}


def timed(dtype, words, sizes, n_repeats):
    """Give the best seconds per step and network of each, having taken turns."""
    functions = entrants(dtype, words, sizes)
    best = {}
    for i_repeat in range(n_repeats + 1):  # the first turn warms up
        for (name, n_networks), function in functions.items():
            seconds = seconds_of(function) / len(words) / n_networks
            if i_repeat:
                best[name, n_networks] = min(seconds, best.get((name, n_networks), seconds))
    return best


def compared(dtype, words, sizes, n_sweeps):
    """Give the largest difference of weights from numpy's after all passes, and numpy's change in the last pass."""
    weights = [values.clone().numpy() for values in weights_of(networks(1, dtype))]
    hidden = None
    for _ in range(n_sweeps):
        before = [values.copy() for values in weights]
        hidden = numpy_loop(weights, words, hidden)
    change = max(np.abs(a - b).max() for a, b in zip(weights, before, strict=True))
    differences = {}
    for device, n_networks in sizes:
        taught = networks(n_networks, dtype, device)
        train(taught, words, lr=LR, n_sweeps=n_sweeps)
        pairs = zip(weights_of(taught), weights, strict=True)
        differences[f"ours, {device}", n_networks] = max(np.abs(a.numpy() - b).max() for a, b in pairs)
    return differences, change


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer words and repeats, for a smoke test")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU too where there is one")
    parser.add_argument("--seed", type=int, default=0, help="of the corpus")
    parser.add_argument("--json", type=Path, help="write the results here as well")
    arguments = parser.parse_args()
    if arguments.json and (arguments.json.is_dir() or not os.access(arguments.json.parent, os.W_OK)):
        parser.error(f"cannot write {arguments.json}")
    torch.set_num_threads(arguments.threads)
    sizes = [("cpu", 1), ("cpu", 8), ("cpu", 64)]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} threads, torch {torch.__version__}"
    if arguments.device != "cpu" and torch.cuda.is_available():
        sizes += [("cuda", 64), ("cuda", 1024)]
        machine += f", {torch.cuda.get_device_name()}"
    n_words, n_sweeps, n_stretch, n_repeats = (600, 2, 300, 2) if arguments.quick else (N_WORDS, N_SWEEPS, 2000, 7)
    words, rows = corpus(n_words, arguments.seed), []
    for dtype in ("float32", "float64"):
        best = timed(dtype, words[:n_stretch], sizes, n_repeats)
        compare = sizes if arguments.quick else [size for size in sizes if size != ("cpu", 64)]
        differences, change = compared(dtype, words, compare, n_sweeps)
        for (what, n_networks), seconds in best.items():
            difference = differences.get((what, n_networks))
            values = (
                what,
                dtype,
                n_networks,
                round(1e6 * seconds, 3),
                round(best["numpy", 1] / seconds, 2),
                None if difference is None else float(f"{difference:.2g}"),
                float(f"{change:.2g}") if what == "numpy" else None,
            )
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    print(f"31-150-31, {n_sweeps} passes over {n_words:,} words; {machine}\n")
    print("".join(f"{name:>12}" for name in COLUMNS))
    for row in rows:
        print("".join(f"{'' if row[name] is None else row[name]:>12}" for name in COLUMNS))
    if arguments.json:
        results = {"machine": machine, "n_words": n_words, "n_sweeps": n_sweeps, "seed": arguments.seed, "rows": rows}
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
