"""How long do encoding models of M/EEG take? Beside a loop of scikit-learn over lags, and mne's ReceptiveField.

    python benchmarks/meg_epochs.py [--quick] [--json FILE] [--every 20] [--scratch /tmp]

Printed in one run, so that the ratios do not depend on the machine:

- epochs: R(channel, lag) of 10,000 words x 270 channels x 200 lags from 768 features, five outer folds, ten penalties
  chosen per target by five inner folds. Target: under 2 minutes and 8 GB, from the epochs in float32 to the scores.
- the same with a loop of `sklearn.linear_model.RidgeCV` over lags, which chooses the penalty of a channel by leaving
  out one word. It is timed on every n-th lag (--every) and multiplied; its scores on these lags stand beside ours.
- continuous: response functions of 10 minutes at 100 Hz, 306 channels, 3 features, lags of -0.1 to 0.6 s. One fit with
  a given penalty beside `mne.decoding.ReceptiveField`, with the largest difference of their weights (the stimulus is
  silent at both ends, where the two differ); and ten penalties over five folds, beside as many fits of mne.

Every row runs in a process of its own, which maps the data from disk; peak memory is its VmHWM.
"""

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

ALPHAS = np.logspace(-1, 8, 10)
N_FOLDS = 5
RANK = 20  # of the planted signal
LAGS = (-0.1, 0.6)  # s
SFREQ = 100.0  # Hz
PENALTY = 1e3
CONTEXT = multiprocessing.get_context("forkserver")


class Size(NamedTuple):
    """Epochs and continuous recording of a run."""

    n_words: int = 10_000
    n_channels: int = 270
    n_lags: int = 200
    n_features: int = 768
    n_samples: int = 60_000
    n_sensors: int = 306


QUICK = Size(1_000, 20, 20, 64, 6_000, 20)


def save_epochs(size, folder):
    """Features of decaying variance, and responses that carry a part of them at half of the targets."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((size.n_words, size.n_features)) * np.arange(1, size.n_features + 1) ** -0.5).astype("f4")
    n_targets = size.n_channels * size.n_lags
    sources = X @ rng.standard_normal((size.n_features, RANK)).astype("f4")
    mixing = rng.standard_normal((RANK, n_targets)).astype("f4")
    mixing[:, rng.random(n_targets) < 0.5] = 0
    np.save(folder / "X.npy", X)
    Y = np.lib.format.open_memmap(folder / "Y.npy", "w+", np.float32, (size.n_words, n_targets))
    for rows in np.array_split(np.arange(size.n_words), 20):
        noise = rng.standard_normal((len(rows), n_targets), dtype=np.float32)
        Y[rows] = 1e-13 * (sources[rows] @ mixing / sources.std() / RANK**0.5 + 3 * noise)  # tesla


def save_recording(size, folder):
    """Features that are autocorrelated and silent for a second at either end, and sensors that follow them."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((size.n_samples, 3)).astype("f8")
    x[:, 0] = np.convolve(x[:, 0], np.hanning(9), mode="same")
    x -= x[100:-100].mean(axis=0)
    x[:100], x[-100:] = 0, 0
    kernel = np.hanning(20)
    driven = np.stack([np.convolve(column, kernel)[: len(x)] for column in x.T], axis=1)
    y = driven @ rng.standard_normal((3, size.n_sensors)) + 10 * rng.standard_normal((len(x), size.n_sensors))
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)


def epochs_by_brainalign(size, folder, *, precision):
    """Score all targets side by side."""
    from brainalign.encode.ridge import RidgeCV
    from brainalign.encode.score import cross_validate
    from brainalign.encode.splits import Blocks, blocks

    X, Y = np.load(folder / "X.npy"), np.load(folder / "Y.npy", mmap_mode="r")
    start = time.perf_counter()
    model = RidgeCV(ALPHAS, inner=Blocks(n=N_FOLDS), precision=precision)
    result = cross_validate(model, X, Y, folds=blocks(len(X), n=N_FOLDS), metrics=("pearson",))
    seconds = time.perf_counter() - start
    np.save(folder / f"r_{precision}.npy", result.mean("pearson").reshape(size.n_channels, size.n_lags))
    return {"seconds": seconds}


def epochs_by_sklearn(size, folder, *, every):
    """Score lag by lag, with the features standardised in the training set."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from brainalign.encode.metrics import pearson
    from brainalign.encode.splits import blocks

    X, Y = np.load(folder / "X.npy"), np.load(folder / "Y.npy", mmap_mode="r")
    RidgeCV().fit(X[:10], Y[:10, 0])
    Y = Y.reshape(len(Y), size.n_channels, size.n_lags)
    lags = np.arange(every // 2, size.n_lags, every)
    r = np.zeros((N_FOLDS, size.n_channels, len(lags)))
    start = time.perf_counter()
    for i, lag in enumerate(lags):
        of_lag = np.asarray(Y[:, :, lag], np.float64) * 1e13
        for i_fold, (train, test) in enumerate(blocks(len(X), n=N_FOLDS)):
            model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS, alpha_per_target=True))
            model.fit(X[train].astype("f8"), of_lag[train])
            r[i_fold, :, i] = pearson(of_lag[test], model.predict(X[test].astype("f8")))
    seconds = time.perf_counter() - start
    ours = np.load(folder / "r_float32.npy")[:, lags]
    difference = float(np.abs(np.nan_to_num(r.mean(axis=0)) - np.nan_to_num(ours)).mean())
    return {"seconds": seconds * size.n_lags / len(lags), "timed_lags": len(lags), "difference_of_r": difference}


def delayed(folder):
    from brainalign.align.delays import delay
    from brainalign.encode.trf import delays_between

    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    delays = delays_between(*LAGS, sfreq=SFREQ)
    return delay(x, delays, run=np.zeros(len(x), int)), y, delays


def fit_by_brainalign(size, folder):  # noqa: ARG001
    """Fit response functions with a given penalty, delays included."""
    from brainalign.encode.ridge import Ridge
    from brainalign.encode.trf import response_functions

    start = time.perf_counter()
    X, y, delays = delayed(folder)
    model = Ridge(PENALTY, scale=False).fit(X, y)
    weights = response_functions(model, delays, sfreq=SFREQ).weights
    seconds = time.perf_counter() - start
    np.save(folder / "weights.npy", weights)
    return {"seconds": seconds}


def fit_by_mne(size, folder):  # noqa: ARG001
    """Do the same with the features and responses centred, which brainalign does itself."""
    from mne.decoding import ReceptiveField

    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    start = time.perf_counter()
    field = ReceptiveField(*LAGS, SFREQ, estimator=PENALTY, fit_intercept=True).fit(x, y)
    seconds = time.perf_counter() - start
    ours = np.load(folder / "weights.npy")
    difference = np.abs(field.coef_ - ours).max() / np.abs(ours).max()
    return {"seconds": seconds, "difference_of_weights": float(difference)}


def choose_by_brainalign(size, folder, *, precision):  # noqa: ARG001
    """Choose among ten penalties by five folds, and fit."""
    from brainalign.encode.ridge import RidgeCV
    from brainalign.encode.splits import Blocks

    start = time.perf_counter()
    X, y, _ = delayed(folder)
    if precision == "float32":
        X, y = X.astype("f4"), y.astype("f4")
    RidgeCV(ALPHAS, inner=Blocks(n=N_FOLDS, gap=70), scale=False).fit(X, y)
    return {"seconds": time.perf_counter() - start}


def choose_by_mne(size, folder):  # noqa: ARG001
    """Fit one penalty on five folds, times ten, and once on all samples."""
    from mne.decoding import ReceptiveField

    from brainalign.encode.splits import blocks

    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    start = time.perf_counter()
    for train, test in blocks(len(x), n=N_FOLDS, gap=70):
        field = ReceptiveField(*LAGS, SFREQ, estimator=PENALTY, fit_intercept=True)
        field.fit(x[train], y[train]).predict(x[test])
    of_folds = time.perf_counter() - start
    return {"seconds": (len(ALPHAS) + 1 / N_FOLDS) * of_folds, "timed_penalties": 1}


def in_process(work, size, folder, settings, n_threads, queue):
    """Do one row and tell its seconds and peak memory."""
    import mne

    mne.set_log_level("ERROR")
    torch.set_num_threads(n_threads)
    warnings.simplefilter("ignore")
    found = work(size, folder, **settings)
    high_water = Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]  # kB
    queue.put(found | {"peak_gb": 1024 * int(high_water) / 1e9})


def measure(work, size, folder, **settings):
    queue = CONTEXT.Queue()
    how = (work, size, folder, settings, torch.get_num_threads(), queue)
    process = CONTEXT.Process(target=in_process, args=how)
    process.start()
    while True:
        try:
            found = queue.get(timeout=1)
            break
        except multiprocessing.queues.Empty:
            if not process.is_alive():
                raise SystemExit(f"{work.__name__} ended with exit status {process.exitcode}") from None
    process.join()
    return found


def run(size, folder, *, every):
    """Measure all rows in turn."""
    save_epochs(size, folder)
    save_recording(size, folder)
    rows = (
        ("epochs", "brainalign float32", epochs_by_brainalign, {"precision": "float32"}),
        ("epochs", "brainalign mixed", epochs_by_brainalign, {"precision": "mixed"}),
        ("epochs", "scikit-learn, lag by lag", epochs_by_sklearn, {"every": every}),
        ("continuous, one fit", "brainalign float64", fit_by_brainalign, {}),
        ("continuous, one fit", "mne ReceptiveField", fit_by_mne, {}),
        ("continuous, choice", "brainalign float64", choose_by_brainalign, {"precision": "float64"}),
        ("continuous, choice", "brainalign float32", choose_by_brainalign, {"precision": "float32"}),
        ("continuous, choice", "mne ReceptiveField", choose_by_mne, {}),
    )
    found = []
    for what, program, work, settings in rows:
        found.append({"what": what, "program": program} | measure(work, size, folder, **settings))
        print(line(found[-1]), flush=True)
    return found


def line(row):
    """One row as printed."""
    rest = ", ".join(f"{name} {value:.3g}" for name, value in row.items() if name not in ("what", "program"))
    return f"{row['what']:21}{row['program']:26}{rest}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it runs")
    parser.add_argument("--every", type=int, default=20, help="lags of which scikit-learn is timed on one")
    parser.add_argument("--scratch", type=Path, help="where the data are written, 2.3 GB; default: the system's")
    parser.add_argument("--json", type=Path, help="write the rows and the machine here as well")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"{machine}; {size}")
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        rows = run(size, Path(folder), every=min(arguments.every, size.n_lags))
    if arguments.json:
        text = json.dumps({"machine": machine, "size": size._asdict(), "rows": rows}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
