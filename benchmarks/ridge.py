"""How fast and how exact is the ridge engine? Beside himalaya and scikit-learn, on the same data, folds and penalties.

    python benchmarks/ridge.py [--quick] [--json FILE] [--rows 1,2] [--repeats 3] [--device cpu|cuda|auto]
                               [--no-banded] [--limit 1800] [--data-dir ../shared/data] [--scratch /tmp]

Printed in one run, so that the ratios do not depend on the machine:

- time, against himalaya's `RidgeCV` and `KernelRidgeCV` at their best batch of targets (tried once on a share of the
  targets), and scikit-learn's leave-one-out on row 1; the operations needed and the share of the measured rate of
  matrix products that was reached. Targets: mixed 5 times faster than the faster himalaya on row 1, 3 on rows 2-3;
  float32 2 times on row 1, 1.3 on rows 2-3.
- peak memory, beside what `plan_ridge` predicted. Target: within 15 %, and under 3 GB on row 5.
- accuracy against the normal equations in float64 (scipy, nothing of the engine). Target: the same penalty for 99.9 %
  of the targets, r2 lost under 1e-3, coefficients within 1e-4.
- growth with the number of targets, which should be a line.
- on a GPU, predictions against those of the CPU. Target: within 1e-4.
- banded ridge: planted unique r2 recovered within 0.02, and time against himalaya's random search.

Every fit runs in a process of its own, which loads the data (row 5: maps them) and fits a tiny problem before the clock
starts. Half of the targets have a planted r2 of 0 to .6, the others are noise.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import signal
import statistics
import sys
import tempfile
import time
import warnings
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import himalaya
import numpy as np
import pandas as pd
import scipy.linalg
import sklearn
import torch
from himalaya.backend import set_backend
from himalaya.kernel_ridge import KernelRidgeCV as HimalayaKernelRidgeCV
from himalaya.ridge import GroupRidgeCV as HimalayaGroupRidgeCV
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from sklearn.linear_model import RidgeCV as SklearnRidgeCV

from brainalign.align.delays import delay
from brainalign.align.samples import to_samples
from brainalign.encode.banded import BandedRidgeCV
from brainalign.encode.engine.compute import choose_device, product_rate
from brainalign.encode.engine.plan import count_operations, fold_sizes, plan_ridge
from brainalign.encode.metrics import r2
from brainalign.encode.partition import partition_variance
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.splits import Blocks, blocks

REPOSITORY = Path(__file__).resolve().parent.parent
OURS = ("mixed", "float32")
HIMALAYA = {"himalaya RidgeCV": HimalayaRidgeCV, "himalaya KernelRidgeCV": HimalayaKernelRidgeCV}
SKLEARN = "scikit-learn RidgeCV"
TYPES = {"mixed": (torch.float64, torch.bfloat16, torch.float32), "float32": (torch.float64, *2 * (torch.float32,))}
BLOCK = 2000  # targets that are made at once
PATIENCE = 30  # s; a peer that takes longer is run once, and no other batch is tried
N_DELAYS = 5
WIDTH = 192  # of the shipped model
START = time.perf_counter()
CONTEXT = multiprocessing.get_context("forkserver")
FAILURES = (
    RuntimeError,
    MemoryError,
    ValueError,
    TypeError,
    AttributeError,
    ImportError,
    OSError,
    np.linalg.LinAlgError,
)


class Row(NamedTuple):
    """One size of the table."""

    number: int
    n_samples: int
    n_features: int
    n_targets: int
    n_alphas: int
    n_folds: int
    language: bool = False
    on_disk: bool = False

    @property
    def alphas(self):
        """Penalties on the sum of squares, (n_alphas,)."""
        return np.logspace(-1, 8, self.n_alphas)

    @property
    def folds(self):
        """Contiguous blocks without a gap."""
        return blocks(self.n_samples, n=self.n_folds)


ROWS = (
    Row(1, 2400, 768, 20_000, 10, 5),
    Row(2, 2400, 1920, 20_000, 10, 5, language=True),
    Row(3, 2400, 3840, 20_000, 10, 5),
    Row(4, 10_000, 768, 54_000, 10, 5),
    Row(5, 2400, 1920, 200_000, 20, 5, language=True, on_disk=True),
)
QUICK_ROWS = (
    Row(1, 400, 128, 2_000, 10, 5),
    Row(2, 400, 320, 2_000, 10, 5, language=True),
    Row(3, 400, 640, 2_000, 10, 5),
    Row(4, 800, 128, 3_000, 10, 5),
    Row(5, 400, 320, 8_000, 20, 5, language=True, on_disk=True),
)


class Banded(NamedTuple):
    """Size of the comparison of banded ridge."""

    n_samples: int
    n_features: int
    n_targets: int
    n_alphas: int
    n_iter: int

    @property
    def alphas(self):
        """Penalties on the sum of squares, (n_alphas,)."""
        return np.logspace(-1, 8, self.n_alphas)


class Size(NamedTuple):
    """All that `--quick` makes smaller."""

    rows: tuple
    n_checked: int
    n_tried: int
    batches: tuple
    growth: tuple
    products: tuple
    recovery: Banded
    banded: Banded


FULL = Size(
    ROWS,
    2000,
    4000,
    (500, 2000),
    (5_000, 10_000, 20_000, 40_000),
    (768, 2048, 4096),
    Banded(6000, 20, 400, 10, 30),
    Banded(2400, 384, 5000, 10, 20),
)
QUICK = Size(
    QUICK_ROWS,
    200,
    800,
    (800, 200),
    (500, 1_000, 2_000, 4_000),
    (768,),
    Banded(1200, 10, 100, 10, 5),
    Banded(400, 64, 500, 10, 5),
)


# --- processes ------------------------------------------------------------------------------------


def in_process(function, *arguments, limit=None):
    """Call a function in a process of its own; give what it returns, or a dict with the reason it failed."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=send, args=(sender, function, *arguments))
    process.start()
    sender.close()
    try:
        if receiver.poll(limit):
            return receiver.recv()
        process.kill()
        return {"failed": f"over {limit} s"}
    except EOFError:
        process.join()
        return {"failed": "killed, out of memory?" if process.exitcode == -signal.SIGKILL else f"{process.exitcode}"}
    finally:
        process.join()
        receiver.close()


def send(sender, function, *arguments):
    warnings.filterwarnings("ignore")
    try:
        sender.send(function(*arguments))
    except FAILURES as error:
        sender.send({"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"})


def memory(name):
    """Give VmRSS, or VmHWM: that of this process alone, where ru_maxrss also has that of the one that started it."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def forget_peak():
    """Let VmHWM begin anew, on Linux."""
    control = Path("/proc/self/clear_refs")
    if control.is_file():
        control.write_text("5", encoding="ascii")


def report(text):
    print(f"{time.perf_counter() - START:7.1f} s  {text}", file=sys.stderr, flush=True)


# --- data -----------------------------------------------------------------------------------------


class Data:
    """Features and targets as .npy files in a temporary folder, made when they are asked for."""

    def __init__(self, folder, data_dir):
        self.folder, self.data_dir, self.source = Path(folder), data_dir, None

    def of(self, row):
        """Give the paths of X and Y."""
        X = self.folder / f"X_{row.n_samples}_{row.n_features}_{row.language}.npy"
        Y = self.folder / f"Y_{row.n_samples}_{row.n_features}_{row.n_targets}.npy"
        if not X.exists() and row.language:
            self.source = checked(in_process(make_language_features, X, row.n_samples, row.n_features, self.data_dir))
        elif not X.exists():
            checked(in_process(make_normal_features, X, row.n_samples, row.n_features))
        if not Y.exists():
            checked(in_process(make_targets, Y, X, row.n_targets))
        return X, Y


def checked(answer):
    if isinstance(answer, dict) and "failed" in answer:
        raise RuntimeError(answer["failed"])
    return answer


def make_normal_features(path, n_samples, n_features):
    np.save(path, np.random.default_rng(n_features).standard_normal((n_samples, n_features), dtype=np.float32))


def make_language_features(path, n_samples, n_features, data_dir):
    """Write five delays of the states of the shipped model; give where the text is from."""
    from brainalign.extract import text

    n_base = n_features // N_DELAYS
    layers = tuple(range(3, 3 + -(-n_base // WIDTH)))  # from the middle
    words, source = words_of(data_dir, n_samples)
    n_words = min(5, len(words) // n_samples)
    words = words[: n_words * n_samples]
    onset = 0.4 * np.arange(len(words))
    events = pd.DataFrame({"run": "1", "onset": onset, "duration": 0.3, "word": words})
    states = text.extract(events, text.Config(model="shipped", layers=layers))
    rows = pd.DataFrame({"run": "1", "time": 0.4 * n_words * np.arange(n_samples), "duration": 0.4 * n_words})
    X = np.concatenate([to_samples(states[str(layer)], rows, bin="mean") for layer in layers], axis=1)[:, :n_base]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    np.save(path, delay(X.astype(np.float32), range(N_DELAYS), run=np.ones(n_samples, dtype=int)))
    return f"layers {layers} of the shipped model on {source}, {n_words} words per sample, standardised, delays 0 to 4"


def words_of(data_dir, n_words):
    """Give words to read, at least so many, and where they are from."""
    book = data_dir / "brennan2016" / "stimuli" / "alice-gutenberg.txt"
    if book.is_file():
        words, source = book.read_text(encoding="utf-8").split(), book.name
    else:
        story = REPOSITORY / "brainalign" / "data" / "story" / "story.txt"
        words, source = story.read_text(encoding="utf-8").split(), "the story of the demo"
    if len(words) >= n_words:
        return words, source
    return words * -(-n_words // len(words)), f"{source} (repeated: it has {len(words)} words only)"


def make_targets(path, X_path, n_targets):
    """Write targets block by block: the even ones with a planted r2 of 0 to .6, the odd ones noise."""
    X = np.load(X_path)
    random = np.random.default_rng(n_targets)
    Y = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(X), n_targets))
    for start in range(0, n_targets, BLOCK):
        width = min(BLOCK, n_targets - start)
        noise = random.standard_normal((len(X), width), dtype=np.float32)
        signal = X @ random.standard_normal((X.shape[1], -(-width // 2)), dtype=np.float32)
        share = random.uniform(0, 0.6, signal.shape[1]).astype(np.float32)
        noise[:, ::2] *= np.sqrt(1 - share)
        noise[:, ::2] += signal * (np.sqrt(share) / signal.std(axis=0))
        Y[:, start : start + width] = noise
    Y.flush()


def load(row, paths):
    mode = "r" if row.on_disk else None
    return [np.load(path, mmap_mode=mode) for path in paths]


# --- times and memory -----------------------------------------------------------------------------


def ours(precision, row, device):
    return RidgeCV(row.alphas, inner=row.folds, scale=False, precision=precision, device=device)


def peer(solver, row, options):
    """Give an estimator of another library."""
    if solver == SKLEARN:
        return SklearnRidgeCV(alphas=row.alphas, alpha_per_target=True)
    return HIMALAYA[solver](
        alphas=row.alphas.astype(np.float32),
        cv=[tuple(fold) for fold in row.folds],
        fit_intercept=options["intercept"],
        solver_params={"n_targets_batch": options["batch"]} | ({"warn": False} if "Kernel" not in solver else {}),
        **({"warn": False} if "Kernel" in solver else {}),
    )


def as_tensor(X, device):
    return torch.from_numpy(np.array(X)).to(device)


def inputs(solver, row, paths, device):
    """Load what a solver is given: on a GPU, tensors that lie there, but for our maps of files."""
    X, Y = load(row, paths)
    if solver in HIMALAYA:
        set_backend("torch_cuda" if device == "cuda" else "torch")
        return as_tensor(X, device), as_tensor(Y, device)
    if solver in OURS and device == "cuda" and not row.on_disk:
        return as_tensor(X, device), as_tensor(Y, device)
    return (X, Y) if solver in OURS else (np.array(X), np.array(Y))


def seconds_of(function):
    start = time.perf_counter()
    result = function()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def fitting(solver, row, device, options):
    """Give a function that fits, after it has fitted something tiny."""

    def fit(X, Y, of=row):
        model = ours(solver, of, device) if solver in OURS else peer(solver, of, options)
        return model.fit(X, Y)

    return fit


def warm_up(fit, X, Y, row):
    tiny = row._replace(n_samples=60, n_features=20, n_targets=30)
    fit(X[:60, :20], Y[:60, :30], tiny)


def measure(solver, row, paths, device, options):
    """Time fits; give the seconds of each, the peak memory and how much of it the first fit added."""
    X, Y = inputs(solver, row, paths, device)
    fit = fitting(solver, row, device, options)
    warm_up(fit, X, Y, row)
    before, seconds, growth, model = memory("VmRSS"), [], None, None
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        on_gpu = torch.cuda.memory_allocated()
    forget_peak()
    for _ in range(options["repeats"]):
        model = None
        taken, model = seconds_of(lambda: fit(X, Y))
        seconds.append(taken)
        if growth is None:
            growth = memory("VmHWM") - before
        if solver not in OURS and taken > PATIENCE:
            break
    found = {"seconds": seconds, "median": statistics.median(seconds), "peak": memory("VmHWM"), "growth": growth}
    if device == "cuda":
        found |= {"gpu_growth": torch.cuda.max_memory_allocated() - on_gpu}
    if solver in OURS:
        found |= {"inner_solver": model.inner_solver_, "solver": model.solver_, "precision": model.precision_}
        found |= {"spot_check": model.spot_check_._asdict(), "coef_seconds": coef_seconds(model, row)}
    return found | {"batch": options.get("batch"), "intercept": options.get("intercept", True)}


def coef_seconds(model, row):
    return None if row.on_disk else seconds_of(lambda: model.coef_)[0]


def tune(solver, row, paths, device, options):
    """Find the best batch on a share of the targets, and whether the intercept costs more than a tenth."""
    X, Y = inputs(solver, row, paths, device)
    Y = Y[:, : options["n_tried"]] + 0
    options = {"intercept": True, "batch": options["batches"][0], "batches": options["batches"]}
    warm_up(fitting(solver, row, device, options), X, Y, row)
    tried = {}
    for batch in options["batches"]:
        fit = fitting(solver, row, device, options | {"batch": batch})
        tried[batch], _ = seconds_of(lambda fit=fit: fit(X, Y))
        if tried[batch] > PATIENCE:
            return {"batch": min(tried, key=tried.get), "intercept": True, "tried": tried}
    best = min(tried, key=tried.get)
    fit = fitting(solver, row, device, {"batch": best, "intercept": False})
    without, _ = seconds_of(lambda: fit(X, Y))
    return {"batch": best, "intercept": without > 0.9 * tried[best], "tried": tried, "without_intercept": without}


def peers_of(row):
    """Give the solvers that himalaya's own warnings recommend for a shape: both where the two are near."""
    primal, dual = HIMALAYA
    if row.n_features > row.n_samples:
        return [dual]
    return [primal] if 2 * row.n_features < row.n_samples else [primal, dual]


def try_batches(solver, row, paths, run):
    """Tune a peer on a share of the targets."""
    report(f"row {row.number}: {solver}, trial")
    trial = {"n_tried": run.size.n_tried, "batches": run.size.batches}
    return in_process(tune, solver, row, paths, run.device, trial, limit=run.limit)


def measure_row(row, paths, run):
    """Measure all solvers on one row."""
    found, options = {}, {"repeats": run.repeats}
    for solver in OURS:
        report(f"row {row.number}: {solver}")
        found[solver] = in_process(measure, solver, row, paths, run.device, options, limit=run.limit)
    trials = {solver: try_batches(solver, row, paths, run) for solver in peers_of(row)}
    best = min(trials, key=lambda solver: min(trials[solver].get("tried", {0: float("inf")}).values()))
    for solver, trial in trials.items():
        if "failed" in trial:
            found[solver] = trial
        elif solver == best:
            report(f"row {row.number}: {solver}")
            found[solver] = in_process(measure, solver, row, paths, run.device, options | trial, limit=run.limit)
            found[solver]["tried"] = trial["tried"]
        else:
            found[solver] = {"failed": "slower in the trial"}
    if row.number == 1:
        report(f"row {row.number}: {SKLEARN}")
        found[SKLEARN] = in_process(measure, SKLEARN, row, paths, "cpu", {"repeats": 1}, limit=run.limit)
    return found


def operations_of(row, measured):
    shape = (row.n_samples, row.n_features, row.n_targets)
    n_trains = fold_sizes(row.n_samples, row.n_folds)
    return count_operations(measured["inner_solver"], *shape, n_trains=n_trains, n_alphas=row.n_alphas)


def share_reached(row, measured, rates):
    """Give the time that the products would take at the measured rates, over the time taken."""
    types = TYPES[measured["precision"]]
    least = sum(n / rates[str(dtype)] for n, dtype in zip(operations_of(row, measured), types, strict=True))
    return least / measured["median"]


def cell(measured, repeats):
    """Give seconds, and how many runs where not as many as asked for."""
    if measured is None:
        return "-"
    if "failed" in measured:
        return measured["failed"]
    n = len(measured["seconds"])
    return f"{measured['median']:.3g}" + ("" if n == repeats else f" ({n} run{'s' * (n > 1)})")


def row_of_times(row, found, run):
    medians = [found[solver]["median"] for solver in HIMALAYA if "median" in found.get(solver, ())]
    shape = f"{row.n_samples:,} x {row.n_features:,} x {row.n_targets:,}"
    line = {"row": row.number, "samples x features x targets": shape, "alphas": row.n_alphas, "folds": row.n_folds}
    line |= {f"{name} (s)": cell(found.get(name), run.repeats) for name in (*OURS, *HIMALAYA, SKLEARN)}
    for name in OURS:
        good = "median" in found[name]
        line[f"{name}: times faster"] = f"{min(medians) / found[name]['median']:.2f}" if good and medians else "-"
        line[f"{name}: rate reached"] = f"{share_reached(row, found[name], run.rates):.0%}" if good else "-"
    return line


def rows_of_memory(row, found, run):
    """Give lines of the engine's cost, as planned and as measured."""
    lines = []
    for name in OURS:
        measured = found[name]
        if "failed" in measured:
            continue
        operations = operations_of(row, measured)
        shape = (row.n_samples, row.n_features, row.n_targets)
        settings = {"n_alphas": row.n_alphas, "n_folds": row.n_folds, "scale": False}
        planned = plan_ridge(*shape, **settings, precision=name, device=run.device)
        growth = measured.get("gpu_growth", measured["growth"])
        coef = measured["coef_seconds"]
        lines.append(
            {
                "row": row.number,
                "asked": name,
                "used": measured["precision"],
                "folds by": measured["inner_solver"],
                "TFLOP float64": f"{operations.double / 1e12:.3g}",
                "scan": f"{operations.scan / 1e12:.3g}",
                "fit": f"{operations.fit / 1e12:.3g}",
                "planned (s)": f"{planned.seconds:.3g}",
                "measured (s)": f"{measured['median']:.3g}",
                "peak (GB)": f"{measured['peak'] / 1e9:.2f}",
                "planned (GB)": f"{planned.bytes / 1e9:.3f}",
                "measured growth (GB)": f"{growth / 1e9:.3f}",
                "measured / planned": f"{growth / planned.bytes:.2f}",
                "scanned again": f"{measured['spot_check']['looked_at_again']:.1%}",
                "coef_ (s)": "-" if coef is None else f"{coef:.2g}",
            }
        )
    return lines


def rows_of_peers(row, found, run):
    """Give lines of how the peers were run."""
    lines = []
    for name in (*HIMALAYA, SKLEARN):
        measured = found.get(name)
        if measured is None or "failed" in measured:
            continue
        tried = measured.get("tried", {})
        lines.append(
            {
                "row": row.number,
                "peer": name,
                "runs": len(measured["seconds"]),
                "batch": measured["batch"] or "-",
                f"tried on up to {run.size.n_tried} targets (batch: s)": ", ".join(
                    f"{b}: {s:.3g}" for b, s in tried.items()
                )
                or "-",
                "intercept": "yes" if measured["intercept"] else "no",
                "peak (GB)": f"{measured['peak'] / 1e9:.2f}",
                "growth (GB)": f"{measured['growth'] / 1e9:.2f}",
            }
        )
    return lines


# --- accuracy -------------------------------------------------------------------------------------


def ridge_by_normal_equations(X, Y, alphas):
    """Give the weights of every penalty, one after the other, by Cholesky in float64; X and Y are centred."""
    n, p = X.shape
    gram, right = (X.T @ X, X.T @ Y) if p <= n else (X @ X.T, Y)
    for alpha in alphas:
        solved = scipy.linalg.cho_solve(scipy.linalg.cho_factor(gram + alpha * np.eye(len(gram))), right)
        yield solved if p <= n else X.T @ solved


def cross_validated_r2(X, Y, row):
    """Give 1 - sum SSE / sum SST over the folds by brute force, (n_alphas, n_targets)."""
    sse, sst = np.zeros((row.n_alphas, Y.shape[1])), np.zeros(Y.shape[1])
    for train, test in row.folds:
        X_mean, Y_mean = X[train].mean(axis=0), Y[train].mean(axis=0)
        sst += np.square(Y[test] - Y_mean).sum(axis=0)
        fits = ridge_by_normal_equations(X[train] - X_mean, Y[train] - Y_mean, row.alphas)
        for i_alpha, weights in enumerate(fits):
            sse[i_alpha] += np.square(Y[test] - Y_mean - (X[test] - X_mean) @ weights).sum(axis=0)
    return 1 - sse / sst


def accuracy(row, paths, device, n_checked):
    """Fit all targets, and compare some of them with the brute force."""
    X, Y = load(row, paths)
    checked_targets = np.unique(np.linspace(0, row.n_targets - 1, min(n_checked, row.n_targets)).round().astype(int))
    X_64, Y_64 = X.astype(np.float64), Y[:, checked_targets].astype(np.float64)
    scores = cross_validated_r2(X_64, Y_64, row)
    best = row.n_alphas - 1 - np.argmax(scores[::-1], axis=0)
    chosen = {name: chosen_by(ours(name, row, device).fit(X, Y), checked_targets, row) for name in OURS}
    errors = {name: np.full(len(best), np.nan) for name in OURS}
    fits = ridge_by_normal_equations(X_64 - X_64.mean(axis=0), Y_64 - Y_64.mean(axis=0), row.alphas)
    for i_alpha, weights in enumerate(fits):
        for name, (i_chosen, coef) in chosen.items():
            same = (i_chosen == i_alpha) & (best == i_alpha)
            difference = np.linalg.norm(coef[same] - weights.T[same], axis=1)
            errors[name][same] = difference / np.linalg.norm(weights.T[same], axis=1)
    lines = []
    for name, (i_chosen, _) in chosen.items():
        lost = scores.max(axis=0) - scores[i_chosen, np.arange(len(best))]
        lines.append(
            {
                "row": row.number,
                "precision": name,
                "targets checked": len(best),
                "same alpha": f"{np.mean(best == i_chosen):.2%}",
                "largest r2 lost": f"{lost.max():.1e}",
                "coef_, largest relative error": f"{np.nanmax(errors[name]):.1e}",
                "median": f"{np.nanmedian(errors[name]):.1e}",
            }
        )
    return lines


def chosen_by(model, targets, row):
    """Give the index of the penalty and the weights of some targets."""
    coef = np.asarray(model.coef_[targets])
    return np.argmin(np.abs(row.alphas[:, None] - model.alpha_[targets]), axis=0), coef


def cuda_against_cpu(row, paths, n_checked):
    """Fit some targets on both devices and compare what they predict."""
    X, Y = load(row, paths)
    Y = np.ascontiguousarray(Y[:, :n_checked])
    lines = []
    for name in OURS:
        models = [ours(name, row, device).fit(X, Y) for device in ("cpu", "cuda")]
        Y_hats = [np.asarray(model.predict(X), dtype=np.float64) for model in models]
        error = np.abs(Y_hats[0] - Y_hats[1]).max(axis=0) / Y.std(axis=0)
        own = np.abs(Y_hats[0] - Y_hats[1]).max(axis=0) / Y_hats[0].std(axis=0)
        same = models[0].alpha_ == models[1].alpha_
        lines.append(
            {
                "row": row.number,
                "precision": name,
                "targets": len(same),
                "same alpha": f"{same.mean():.2%}",
                "largest difference / sd of Y": f"{error.max():.1e}",
                "of Y, at equal alpha": f"{error[same].max():.1e}",
                "/ sd of prediction, at equal alpha": f"{own[same].max():.1e}",
            }
        )
    return lines


# --- growth ---------------------------------------------------------------------------------------


def growth(row, paths, device, options):
    """Time fits of more and more targets; give a line per precision."""
    X, Y = load(row, paths)
    lines = []
    for name in OURS:
        fit = fitting(name, row, device, {})
        warm_up(fit, X, Y, row)
        seconds = {}
        for n_targets in options["growth"]:
            part = np.ascontiguousarray(Y[:, :n_targets])
            taken = [seconds_of(lambda fit=fit, part=part: fit(X, part))[0] for _ in range(options["repeats"])]
            seconds[n_targets] = statistics.median(taken)
        n, s = np.array(list(seconds)), np.array(list(seconds.values()))
        slope, intercept = np.polyfit(n, s, 1)
        rest = s - slope * n - intercept
        line = {"precision": name} | {f"{n:,} (s)": f"{value:.3g}" for n, value in seconds.items()}
        line |= {
            "slope (µs per target)": f"{1e6 * slope:.1f}",
            "at none (s)": f"{intercept:.2g}",
            "r2 of the line": f"{1 - np.square(rest).sum() / np.square(s - s.mean()).sum():.4f}",
        }
        lines.append(line)
    return lines


# --- banded ---------------------------------------------------------------------------------------


def planted_spaces(n_spaces, size, seed=0):
    """Make spaces that share features, and targets of which every set of spaces explains a known part.

    Features are independent standard normals, one group per set of spaces, which all spaces of the set have: what a
    group adds to a target has the variance of its weights' squared norm, 0.6 in all beside 0.4 of noise.
    """
    random = np.random.default_rng(seed)
    names = "abc"[:n_spaces]
    sets = [union for k in range(1, n_spaces + 1) for union in combinations(names, k)]
    features = {union: random.standard_normal((size.n_samples, size.n_features)) for union in sets}
    parts = 0.6 * random.dirichlet(np.ones(len(sets)), size.n_targets).T  # (n_sets, n_targets)
    Y = np.sqrt(0.4) * random.standard_normal((size.n_samples, size.n_targets))
    for union, part in zip(sets, parts, strict=True):
        weights = random.standard_normal((size.n_features, size.n_targets))
        Y += features[union] @ (weights * np.sqrt(part) / np.linalg.norm(weights, axis=0))
    spaces = {
        name: np.concatenate([features[union] for union in sets if name in union], axis=1).astype(np.float32)
        for name in names
    }
    return spaces, Y.astype(np.float32), dict(zip(sets, parts, strict=True))


def recovery(n_spaces, size, device):
    """Recover the unique r2 of planted spaces."""
    spaces, Y, truth = planted_spaces(n_spaces, size)

    def estimator(columns):
        if len(columns) == 1:
            return RidgeCV(size.alphas, inner=Blocks(5), device=device)
        return BandedRidgeCV(size.alphas, n_iter=size.n_iter, columns=columns, inner=Blocks(5), seed=0, device=device)

    found = partition_variance(estimator, spaces, Y, folds=blocks(size.n_samples, n=5))
    lines = []
    for part in ((name,) for name in spaces):
        error = found[part] - truth[part]
        lines.append(
            {
                "spaces": n_spaces,
                "unique to": part[0],
                "targets": len(error),
                "true r2": f"{truth[part].mean():.4f}",
                "recovered": f"{found[part].mean():.4f}",
                "bias": f"{error.mean():+.4f}",
                "median error": f"{np.median(np.abs(error)):.4f}",
                "within .02": f"{np.mean(np.abs(error) < 0.02):.0%}",
                "largest": f"{np.abs(error).max():.4f}",
            }
        )
    return lines


def banded_data(size, n_test):
    """Make two spaces of which the first explains more, and keep the last samples for a test."""
    random = np.random.default_rng(1)
    n = size.n_samples + n_test
    spaces = {name: random.standard_normal((n, size.n_features), dtype=np.float32) for name in "ab"}
    Y = random.standard_normal((n, size.n_targets), dtype=np.float32)
    for X, variances in zip(spaces.values(), (0.4, 0.1), strict=True):
        weights = random.standard_normal((size.n_features, size.n_targets), dtype=np.float32)
        Y += X @ weights * np.sqrt(random.uniform(0, variances, size.n_targets) / size.n_features).astype(np.float32)
    return spaces, Y


def time_banded(solver, size, device, options):
    """Time a random search over the penalties of two spaces; give the seconds and the r2 on samples left out."""
    n = size.n_samples
    spaces, Y = banded_data(size, options["n_test"])
    folds = [tuple(fold) for fold in blocks(n, n=5)]
    train = {name: np.ascontiguousarray(X[:n]) for name, X in spaces.items()}
    test = {name: X[n:] for name, X in spaces.items()}
    fit = himalaya_banded if solver == "himalaya" else our_banded
    make, given, asked, responses = fit(solver, size, device, (train, test, Y[:n], folds, options))
    seconds, model = [], None
    for _ in range(options["repeats"]):
        model = None
        taken, model = seconds_of(lambda: make().fit(given, responses))
        seconds.append(taken)
        if taken > PATIENCE:
            break
    Y_hat = torch.as_tensor(model.predict(asked)).cpu().numpy()
    score = float(np.mean(r2(Y[n:], np.asarray(Y_hat))))
    return {"seconds": seconds, "median": statistics.median(seconds), "r2": score}


def our_banded(precision, size, device, given):
    train, test, Y, folds, _ = given

    def make():
        settings = {"n_iter": size.n_iter, "inner": folds, "scale": False, "seed": 0, "precision": precision}
        return BandedRidgeCV(size.alphas, **settings, device=device)

    return make, train, test, Y


def himalaya_banded(_, size, device, given):
    set_backend("torch_cuda" if device == "cuda" else "torch")
    train, test, Y, folds, options = given

    def make():
        return HimalayaGroupRidgeCV(
            groups="input",
            solver="random_search",
            cv=folds,
            fit_intercept=True,
            random_state=0,
            solver_params={
                "n_iter": size.n_iter,
                "alphas": torch.as_tensor(size.alphas, dtype=torch.float32, device=device),
                "n_targets_batch": options["batch"],
                "progress_bar": False,
                "warn": False,
            },
        )

    tensors = [[as_tensor(X, device) for X in each.values()] for each in (train, test)]
    return make, *tensors, as_tensor(Y, device)


def rows_of_banded_times(run):
    """Time ours and himalaya's at its best batch, at the same number of candidates."""
    size, found = run.size.banded, {}
    options = {"repeats": run.repeats, "n_test": size.n_samples // 4}
    for solver in ("mixed", "float32"):
        report(f"banded: {solver}")
        found[solver] = in_process(time_banded, solver, size, run.device, options, limit=run.limit)
    for batch in (size.n_targets, max(1, size.n_targets // 10)):
        report(f"banded: himalaya, {batch} targets at once")
        settings = options | {"batch": batch, "repeats": 1}
        measured = in_process(time_banded, "himalaya", size, run.device, settings, limit=run.limit)
        found[f"himalaya, {batch} targets at once"] = measured
    theirs = [m["median"] for name, m in found.items() if name.startswith("himalaya") and "median" in m]
    lines = []
    for name, measured in found.items():
        good = "median" in measured
        lines.append(
            {
                "solver": name,
                "samples": size.n_samples,
                "features": f"2 x {size.n_features}",
                "targets": size.n_targets,
                "candidates": f"{size.n_iter} x {size.n_alphas}",
                "runs": len(measured["seconds"]) if good else "-",
                "seconds": f"{measured['median']:.3g}" if good else f"failed: {measured['failed']}",
                "times faster": f"{min(theirs) / measured['median']:.2f}" if good and theirs else "-",
                "held-out r2": f"{measured['r2']:.4f}" if good else "-",
            }
        )
    return lines


# --- the run --------------------------------------------------------------------------------------


class Run(NamedTuple):
    """What was asked for, and the rates of this machine."""

    size: Size
    rows: tuple
    repeats: int
    device: str
    limit: float
    rates: dict


def machine_of(device, rates):
    """Describe the machine."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(size / 1e9, 1),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "versions": {m.__name__: m.__version__ for m in (torch, himalaya, sklearn, np)} | {"scipy": scipy.__version__},
        "python": platform.python_version(),
    }
    return machine | {"gflop_per_s": {name.removeprefix("torch."): round(rate / 1e9) for name, rate in rates.items()}}


def measure_rates(device, sizes):
    """Give the best rate of matrix products over sizes, by type, in operations per second."""
    sizes = (*sizes, 8192) if device == "cuda" else sizes
    types = (torch.float64, torch.float32, torch.bfloat16)
    return {str(t): max(product_rate(t, torch.device(device), size) for size in sizes) for t in types}


def table(lines):
    """Give lines as an aligned table in markdown."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    cells = [names, *[[str(line.get(name, "-")) for name in names] for line in lines]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    printed = ["| " + " | ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    printed.insert(1, "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|")
    return "\n".join(printed)


def show(parts, name, title, lines):
    if isinstance(lines, dict):
        lines = [lines]
    if lines:
        parts[name] = lines
        print(f"{title}\n\n{table(lines)}\n", flush=True)


def many(function, *arguments, limit, row=None):
    """Call a function that gives lines, in a process; a failure is a line as well."""
    lines = in_process(function, *arguments, limit=limit)
    failed = isinstance(lines, dict)
    return [({} if row is None else {"row": row.number}) | lines] if failed else lines


def compare(run, data):
    """Measure the rows and the accuracy on them; give the tables' lines and all that was measured."""
    lines, measured = {name: [] for name in ("times", "memory", "peers", "accuracy", "cuda")}, {}
    for row in run.rows:
        report(f"row {row.number}: data")
        paths = data.of(row)
        found = measure_row(row, paths, run)
        measured[row.number] = found
        lines["times"].append(row_of_times(row, found, run))
        report(f"row {row.number}: {lines['times'][-1]}")
        lines["memory"] += rows_of_memory(row, found, run)
        lines["peers"] += rows_of_peers(row, found, run)
        if row.number <= 3:
            report(f"row {row.number}: accuracy")
            arguments = (row, paths, run.device, run.size.n_checked)
            lines["accuracy"] += many(accuracy, *arguments, limit=run.limit, row=row)
        if run.device == "cuda" and row.number <= 4:
            lines["cuda"] += many(cuda_against_cpu, row, paths, run.size.n_checked, limit=run.limit, row=row)
        paths[1].unlink()
    return lines, measured


def run_all(run, data, *, banded):
    """Print all tables; give their lines and all that was measured."""
    parts = {}
    lines, measured = compare(run, data)
    title = f"Seconds, median of {run.repeats} runs where no other number is given; peak memory is resident, all in all"
    show(parts, "times", title, lines["times"])
    print(notes(run, data))
    show(parts, "memory", "The engine: planned and measured", lines["memory"])
    show(parts, "peers", "The peers: how they were run", lines["peers"])
    show(parts, "accuracy", "Against the normal equations in float64", lines["accuracy"])
    show(parts, "cuda", "CUDA against CPU", lines["cuda"])
    if any(row.number == 1 for row in run.rows):
        report("growth")
        row = run.size.rows[0]._replace(n_targets=max(run.size.growth))
        options = {"growth": run.size.growth, "repeats": run.repeats}
        grown = many(growth, row, data.of(row), run.device, options, limit=run.limit)
        show(parts, "growth", f"Growth with the number of targets, {row.n_samples} x {row.n_features}", grown)
    if banded:
        report("banded: recovery")
        recovered = [
            line
            for n_spaces in (2, 3)
            for line in many(recovery, n_spaces, run.size.recovery, run.device, limit=run.limit)
        ]
        show(parts, "banded_recovery", "Banded ridge: planted unique r2, recovered out of sample", recovered)
        show(parts, "banded_times", "Banded ridge: random search of two spaces", rows_of_banded_times(run))
    return parts, measured


def notes(run, data):
    """Say what was compared with what."""
    lines = [
        "- Features of rows 1, 3 and 4: independent standard normals.",
        f"- Features of rows 2 and 5: {data.source or 'not made in this run'}.",
        "- Targets: the even ones have a planted r2 of 0 to .6, the odd ones are noise. Penalties from 0.1 to 1e8, "
        "contiguous folds, no scaling.",
        "- himalaya fits an intercept too, unless that costs it over 10 % (then it is spared); its coefficients are "
        "part of its time, ours are made on demand (`coef_` below).",
        "- himalaya's RidgeCV where features are fewer than half the samples, its KernelRidgeCV where they are more "
        "than the samples, as its own warnings advise; between, the one that is faster on a share of the targets.",
        "- scikit-learn leaves one sample out instead of five blocks.",
        "- On row 5 ours reads memory maps, whose pages count as its memory; himalaya has all in memory before the "
        "clock starts.",
        "- times faster: than the faster himalaya. TFLOP: what the method needs. rate reached: these operations at the "
        "rates below, over the time.",
    ]
    peers = f"- A peer that takes over {PATIENCE} s is run once; one that takes over {run.limit:g} s is stopped."
    return "\n".join([*lines, peers]) + "\n"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the tables and the machine here as well")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, for a smoke test")
    parser.add_argument("--rows", default="1,2,3,4,5", help="which rows of the table, such as 1,2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu")
    parser.add_argument("--banded", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a solver is given up on a row")
    data_dir = Path(os.environ.get("BRAINALIGN_DATA", REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data-dir", type=Path, default=data_dir)
    parser.add_argument("--scratch", type=Path, help="folder for the data that are made (7 GB); removed at the end")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    CONTEXT.set_forkserver_preload(["himalaya.kernel_ridge", "scipy.linalg", "brainalign.encode.ridge", "pandas"])
    size = QUICK if arguments.quick else FULL
    device = choose_device(arguments.device).type
    asked = [int(number) for number in arguments.rows.split(",")]
    report("rates of matrix products")
    rates = measure_rates(device, size.products)
    rows = tuple(row for row in size.rows if row.number in asked)
    run = Run(size, rows, arguments.repeats, device, arguments.limit, rates)
    machine = machine_of(device, rates)
    with tempfile.TemporaryDirectory(prefix="ridge_", dir=arguments.scratch) as folder:
        parts, measured = run_all(run, Data(folder, arguments.data_dir), banded=arguments.banded)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    on = "" if device == "cpu" else f", {machine['device']}"
    print(
        f"{machine['cpu']}, {machine['cores']} cores ({machine['threads']} threads), {machine['memory_gb']} GB{on}; "
        f"{versions}, Python {machine['python']}. Products in GFLOP/s: "
        + ", ".join(f"{name} {rate}" for name, rate in machine["gflop_per_s"].items())
        + "."
    )
    if arguments.json:
        everything = {"machine": machine, "quick": arguments.quick, "tables": parts, "measured": measured}
        arguments.json.write_text(json.dumps(everything, indent=1, default=float) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
