"""Ask whether what was planted in simulated brains is found again, over seeds.

    python analyses/simulated_recovery.py --seeds 10 --out results/simulated_recovery

For every seed it runs `simulated_meg.toml` and `simulated_fmri.toml` and prints

- latencies: the lag at which the response function of each planted feature is strongest over magnetometers. An event
  counts for the sample of 10 ms that it falls into, so that what is found is 5 ms late on average.
- before the onset, from -100 to -40 ms: how far the strength lies above that of the same model fitted to responses
  moved round their run by 10 s and more (`encode.trf.moved_strengths`), in standard deviations over 39 such moves: root
  mean square over those lags, and highest of them, beside the strength at the planted lag. Nothing is planted before
  the onset; the 40 ms next to it are left out because a filter at 20 Hz spreads by 25 ms and samples are 10 ms wide.
  The penalty is the lowest of the grid, as a high one carries weight from lag to lag. The verdict is of the mean over
  seeds, as over the people of a study: it is the sharper test, and strengths of a single recording are skewed, so that
  some that were moved also lie beyond 3 standard deviations; how many is printed.
- regions: the area under the ROC curve that tells a region's voxels from those without an answer by the score of its
  feature space, mean of the group.
- lag scan: the delay at which the sound predicts the auditory regions best, by the parabola through the highest score
  and its neighbours. Glover's response, which was planted, is highest 5 s after; sound and volumes both stand for the
  middle of 1.5 s.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from brainalign.align.shifts import far_shifts
from brainalign.arrays import write_tsv
from brainalign.config import read_experiment
from brainalign.data import simulated_fmri
from brainalign.encode.trf import moved_strengths
from brainalign.jobs.store import Store
from brainalign.pipeline import encoding
from brainalign.report.functions import peaks, strengths
from brainalign.results import read_table, run_experiment

HERE = Path(__file__).parent
PLANTED = {"envelope": 100, "rate": 170, "length_z": 250, "log_frequency_z": 400}  # ms
DRIVES = {"auditory-left": "sound", "auditory-right": "sound", "parietal-left": "words", "frontal-left": "words"}
DRIVES["temporal-left"] = "words"
DELAY = 5.0  # s
TOLERANCE = 10  # ms
AUC = 0.95
BEFORE = (-0.1, -0.04)  # s
N_MOVES, FAR = 39, 10.0  # how often, and how far at least (s), responses are moved


class Strengths(NamedTuple):
    """Response functions of one recording beside those of the recording moved round its runs.

    Parameters
    ----------
    features : list of str
    lags : array of shape (n_lags,)
        Seconds.
    in_place : array of shape (n_features, n_lags)
    moved : array of shape (n_moves, n_features, n_lags)
    """

    features: list
    lags: np.ndarray
    in_place: np.ndarray
    moved: np.ndarray


def latencies(folder):
    """Give planted and found latency (ms) per feature."""
    functions, places = read_table(folder, "response_functions"), read_table(folder, "places")
    found = peaks(strengths(functions, places)).set_index("unit")["peak_ms"]
    table = pd.DataFrame({"planted_ms": pd.Series(PLANTED), "found_ms": found})
    return table.rename_axis("feature").reset_index()


def strengths_beside_moved(experiment, folder):
    """Fit the joint model of a finished run anew, to responses in place and moved."""
    prepared = encoding.prepare(experiment, None)
    computer = encoding.Computer(prepared, Store(folder / "cells"))
    parts = [prepared.alone(name).parts[0] for name in experiment.encode.together]
    X = np.hstack([computer.binned(cell, layer) for _, cell, layer in parts])
    run, sfreq = prepared.clock["run"].to_numpy(str), experiment.data.config.sfreq
    shifts = far_shifts(N_MOVES, smallest=round(FAR * sfreq), run=run, seed=experiment.data.config.seed)
    penalty, delays = experiment.encode.alphas.low, np.array(prepared.delays)
    found = moved_strengths(X, prepared.Y, delays=delays, run=run, shifts=shifts, alpha=penalty)
    return Strengths(list(PLANTED), delays / sfreq, *found)


def mean_of(recordings):
    """Give the mean strength over recordings; the i-th moves of all stand for one recording without a relation."""
    first = recordings[0]
    in_place, moved = (np.mean([getattr(of, name) for of in recordings], axis=0) for name in ("in_place", "moved"))
    return Strengths(first.features, first.lags, in_place, moved)


def beside_chance(of):
    """Give, per feature, how far the strength lies above that of moved responses, in standard deviations of those.

    Returns
    -------
    table : DataFrame
        `feature before` (root mean square over lags before the onset) `before_highest` (of these lags) `planted` (at
        the planted lag) `moved_beyond_3` (share of moved responses whose `before`, against the others, is beyond 3).
    """
    before = (of.lags >= BEFORE[0] - 1e-6) & (of.lags <= BEFORE[1] + 1e-6)
    rows = []
    for i, feature in enumerate(of.features):
        at = np.abs(of.lags - PLANTED[feature] / 1000).argmin()
        strength = np.vstack([of.in_place[i], of.moved[:, i]])  # (1 + n_moves, n_lags), the first in place
        measures = {
            "before": np.sqrt((strength[:, before] ** 2).mean(axis=1)),
            "before_highest": strength[:, before].max(axis=1),
            "planted": strength[:, at],
        }
        row = {name: deviations(value[0], value[1:]) for name, value in measures.items()}
        moved = measures["before"][1:]
        others = [deviations(value, np.delete(moved, k)) for k, value in enumerate(moved)]
        rows.append({"feature": feature, **row, "moved_beyond_3": np.mean(np.array(others) > 3)})
    return pd.DataFrame(rows)


def deviations(value, chance):
    """Give how many standard deviations a value lies above the mean of those without a relation."""
    return (value - np.mean(chance)) / np.std(chance, ddof=1)


def region_aucs(folder, config):
    """Give, per planted region, the area under the ROC curve of the score of its feature space, group mean."""
    scores, voxels = read_table(folder, "scores"), _voxels(folder, config)
    of_mean = scores[(scores["subject"] == "mean") & (scores["metric"] == "pearson")]
    rows = []
    for region, space in DRIVES.items():
        score = of_mean[of_mean["feature_space"] == space].set_index("target")["score"]
        own, none = (voxels["region"] == region), voxels["region"].isna()
        labels, of_voxels = own[own | none], score.reindex(voxels.loc[own | none, "target"])
        rows.append({"region": region, "feature_space": space, "n_voxels": int(own.sum()),
                     "auc": roc_auc_score(labels, of_voxels)})  # fmt: skip
    return pd.DataFrame(rows)


def lag_scan(folder, config):
    """Give the score of the sound over its shift (s), mean over the voxels of both auditory regions."""
    voxels = _voxels(folder, config)
    heard = voxels.loc[voxels["region"].isin([name for name, space in DRIVES.items() if space == "sound"]), "target"]
    scan = read_table(folder, "clock")
    return scan[scan["target"].isin(heard)].groupby("seconds")["score"].mean()


def peak_of(scan):
    """Give the delay (s) of the top of the parabola through the highest score and its neighbours; nan at an edge."""
    i, seconds = int(scan.argmax()), scan.index.to_numpy()
    if i in (0, len(scan) - 1):
        return np.nan
    before, top, after = scan.iloc[i - 1 : i + 2]
    return seconds[i] + (seconds[i + 1] - seconds[i]) * (before - after) / (before - 2 * top + after) / 2


def _voxels(folder, config):
    return read_table(folder, "places").merge(simulated_fmri.planted_regions(config), on=["i", "j", "k"], how="left")


def run(seeds, folder):
    """Run both experiments for every seed and gather what was found."""
    meg, beside, fmri, scans = [], [], [], []
    for seed in seeds:
        experiment, out = read_experiment(HERE / "simulated_meg.toml", (f"data.seed={seed}",)), folder / f"meg_{seed}"
        run_experiment(experiment, out)
        meg.append(latencies(out).assign(seed=seed))
        beside.append(strengths_beside_moved(experiment, out))
        experiment, out = read_experiment(HERE / "simulated_fmri.toml", (f"data.seed={seed}",)), folder / f"fmri_{seed}"
        run_experiment(experiment, out)
        fmri.append(region_aucs(out, experiment.data.config).assign(seed=seed))
        scans.append(lag_scan(out, experiment.data.config).rename(seed))
    chance = pd.concat(
        [beside_chance(of).assign(seed=str(seed)) for seed, of in zip(seeds, beside, strict=True)]
        + [beside_chance(mean_of(beside)).assign(seed="mean")],
        ignore_index=True,
    )
    scan = pd.concat(scans, axis=1).rename_axis(columns="seed").stack().rename("score").reset_index()
    tables = {"latencies": pd.concat(meg, ignore_index=True), "beside_chance": chance,
              "regions": pd.concat(fmri, ignore_index=True), "lag_scan": scan}  # fmt: skip
    for name, table in tables.items():
        write_tsv(table, folder / f"{name}.tsv")
    return tables


def told(latencies, beside_chance, regions, lag_scan):
    """Give what was found as text."""
    off = (latencies["found_ms"] - latencies["planted_ms"]).abs()
    found = latencies.pivot(index="feature", columns="seed", values="found_ms").assign(planted=pd.Series(PLANTED))
    single, mean = beside_chance[beside_chance["seed"] != "mean"], beside_chance[beside_chance["seed"] == "mean"]
    scans = lag_scan.pivot(index="seconds", columns="seed", values="score")
    tops, within = [peak_of(scans[seed]) for seed in scans], np.mean(off <= TOLERANCE + 1e-6)
    highest, beyond = mean[["before", "before_highest"]].max().max(), np.mean(single["before"] > 3)
    return "\n".join([
        found.round().astype(int).to_string(),
        f"within {TOLERANCE} ms: {within:.1%} of {len(off)}; largest error {off.max():.0f} ms",
        "",
        "before the onset, standard deviations above moved responses, mean over seeds:",
        mean.drop(columns=["seed", "moved_beyond_3"]).round(1).to_string(index=False),
        f"highest {highest:.1f}; single seeds: highest {single['before'].max():.1f}, beyond 3: {beyond:.1%} of"
        f" {len(single)}, of moved responses {single['moved_beyond_3'].mean():.1%}",
        "",
        regions.pivot(index="region", columns="seed", values="auc").round(3).to_string(),
        f"AUC of at least {AUC}: {np.mean(regions['auc'] >= AUC):.1%} of {len(regions)}; smallest"
        f" {regions['auc'].min():.3f}",
        "",
        f"lag scan, planted at {DELAY} s: highest at {peak_of(scans.mean(axis=1)):.1f} s, mean over seeds; of single"
        f" seeds at {' '.join(f'{top:.1f}' for top in tops)}",
    ])  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("results/simulated_recovery"))
    arguments = parser.parse_args()
    print(told(**run(range(arguments.seeds), arguments.out)))


if __name__ == "__main__":
    main()
