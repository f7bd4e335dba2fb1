"""Ask whether what was planted in simulated brains is found again, over seeds.

    python analyses/simulated_recovery.py --seeds 10 --out results/simulated_recovery

For every seed it runs `simulated_meg.toml` and `simulated_fmri.toml` and prints: the lag at which the response function
of each planted feature is strongest over magnetometers, beside the planted latency; how far the strength before the
onset lies above that of recordings in which nothing is planted (first seed), in standard deviations over lags; and, per
planted region, the area under the ROC curve that tells its voxels from those without an answer by the score of its
feature space.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from brainalign.arrays import write_tsv
from brainalign.config import read_experiment
from brainalign.data import simulated_fmri
from brainalign.report.functions import peaks, strengths
from brainalign.results import read_table, run_experiment

HERE = Path(__file__).parent
PLANTED = {"envelope": 100, "rate": 170, "length_z": 250, "log_frequency_z": 400}  # ms
DRIVES = {"auditory-left": "sound", "auditory-right": "sound", "parietal-left": "words", "frontal-left": "words"}
DRIVES["temporal-left"] = "words"
TOLERANCE = 10  # ms
AUC = 0.95
BEFORE = -0.04  # s: the kernel of a feature, 20 ms wide, has begun at its onset, and the filter reaches back


def strength_of(folder):
    """Give the strength of every response function over lags."""
    return strengths(read_table(folder, "response_functions"), read_table(folder, "places"))


def latencies(folder):
    """Give planted and found latency (ms) per feature."""
    found = peaks(strength_of(folder)).set_index("unit")["peak_ms"]
    table = pd.DataFrame({"planted_ms": pd.Series(PLANTED), "found_ms": found})
    return table.rename_axis("feature").reset_index()


def before_onset(folder, null_folder):
    """Give, per feature, the highest strength before its onset, in deviations of the strength where nothing is."""
    strength, null = strength_of(folder), strength_of(null_folder).groupby("unit")["strength"]
    highest = strength[strength["lag"] <= BEFORE].groupby("unit")["strength"].max()
    return (highest - null.mean()) / null.std()


def region_aucs(folder, config):
    """Give, per planted region, the area under the ROC curve of the score of its feature space, group mean."""
    scores, places = read_table(folder, "scores"), read_table(folder, "places")
    regions = simulated_fmri.planted_regions(config)
    voxels = places.merge(regions, on=["i", "j", "k"], how="left")
    of_mean = scores[(scores["subject"] == "mean") & (scores["metric"] == "pearson")]
    rows = []
    for region, space in DRIVES.items():
        score = of_mean[of_mean["feature_space"] == space].set_index("target")["score"]
        own, none = (voxels["region"] == region), voxels["region"].isna()
        labels, of_voxels = own[own | none], score.reindex(voxels.loc[own | none, "target"])
        rows.append({"region": region, "feature_space": space, "n_voxels": int(own.sum()),
                     "auc": roc_auc_score(labels, of_voxels)})  # fmt: skip
    return pd.DataFrame(rows)


def run(seeds, folder):
    """Run both experiments for every seed and gather what was found."""
    meg, fmri = [], []
    for seed in seeds:
        for name in ("simulated_meg", "simulated_fmri"):
            experiment = read_experiment(HERE / f"{name}.toml", (f"data.seed={seed}",))
            out = folder / f"{name}_{seed}"
            run_experiment(experiment, out)
            if name == "simulated_meg":
                meg.append(latencies(out).assign(seed=seed))
            else:
                fmri.append(region_aucs(out, experiment.data.config).assign(seed=seed))
    null = read_experiment(HERE / "simulated_meg.toml", (f"data.seed={seeds[0]}", "data.noise_ceiling=0.0"))
    run_experiment(null, folder / "nothing_planted")
    deviations = before_onset(folder / f"simulated_meg_{seeds[0]}", folder / "nothing_planted")
    tables = pd.concat(meg, ignore_index=True), pd.concat(fmri, ignore_index=True)
    for name, table in zip(("latencies", "regions"), tables, strict=True):
        write_tsv(table, folder / f"{name}.tsv")
    return *tables, deviations


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("results/simulated_recovery"))
    arguments = parser.parse_args()
    meg, fmri, deviations = run(range(arguments.seeds), arguments.out)
    off = (meg["found_ms"] - meg["planted_ms"]).abs()
    print(meg.pivot(index="feature", columns="seed", values="found_ms").assign(planted=pd.Series(PLANTED)).to_string())
    within = np.mean(off <= TOLERANCE + 1e-6)
    print(f"within {TOLERANCE} ms: {within:.1%} of {len(off)}; largest error {off.max():.0f} ms")
    print(f"before the onset: at most {deviations.max():.1f} standard deviations above recordings with nothing planted")
    print(fmri.pivot(index="region", columns="seed", values="auc").round(3).to_string())
    print(f"AUC of at least {AUC}: {np.mean(fmri['auc'] >= AUC):.1%} of {len(fmri)}; smallest {fmri['auc'].min():.3f}")


if __name__ == "__main__":
    main()
