"""Compare features of 92 object images with human and monkey inferior temporal cortex (IT) by their dissimilarities.

Kriegeskorte et al. (2008, Neuron 60:1126) found r = .49 between the RDMs of monkey and human IT. Here pixels, Gabor
energies, an untrained AlexNet and the published models are put on the same scale: the mean over four people of the
similarity with the person's RDM (mean of two sessions), between the bounds of the noise ceiling (Nili et al. 2014).

    python analyses/kriegeskorte2008_rdms.py --data-dir ../shared/data --out results/kriegeskorte2008_rdms

`--model` adds a vision model: a folder or a hub id of transformers, all its hidden states.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from brainalign.arrays import write_tsv
from brainalign.compare.rsa import COMPARISONS, DISTANCES, noise_ceiling, pearson
from brainalign.data._kriegeskorte2008 import load_rdms, write_images
from brainalign.extract import EXTRACTORS

PUBLISHED = "Kriegeskorte et al. 2008: r(monkey IT, human IT) = .49"
CONTROLS = ("pixels", "gabor")
EARLY_VISUAL_AREA = "EVA"  # human cortex, though published among the models
FAMILIES = ("features", "published", "brain")
ALEXNET = "module:brainalign.simulate.alexnet:AlexNet"
ALEXNET_LAYERS = tuple(f"relu{k}" for k in range(1, 6))


class Settings(BaseModel):
    """What decides the numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    distance: str = "correlation"
    comparison: str = "kendall_tau_a"  # RDMs of categories have ties
    seed: int = 0
    model: str = ""


def feature_rdms(settings, events):
    """Give the RDM of every layer of every family of features: name to (n_pairs,)."""
    pixels, vision = EXTRACTORS["pixels"], EXTRACTORS["vision"]
    alexnet = vision.Config(
        model=ALEXNET,
        preprocessing=vision.Preprocessing(size=227, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        layers=ALEXNET_LAYERS,
        pooling="none",
        weights=("untrained",),
        seed=settings.seed,
    )
    activations = pixels.extract(events, pixels.Config(layers=CONTROLS))
    for layer, values in vision.extract(events, alexnet, weights="untrained").items():
        activations[f"AlexNet untrained {layer}"] = values
    if settings.model:
        config = vision.Config(model=settings.model)
        for layer, values in vision.extract(events, config).items():
            activations[f"{Path(settings.model).name} {layer}"] = values
    return {name: DISTANCES[settings.distance](layer.values) for name, layer in activations.items()}


def brain_rdms(rdms):
    """Give the RDMs of people (4, n_pairs), each the mean of two sessions, of monkey IT, and of the human mean."""
    rows = rdms.rows
    people = rows[rows["source"] == "human_it"].groupby("subject").indices
    human = np.stack([rdms.values[rows["source"] == "human_it"][members].mean(axis=0) for members in people.values()])
    monkey, mean = (rdms.values[rows["source"] == source][0] for source in ("monkey_it", "human_it_mean"))
    return human, monkey, mean


def compare(settings, candidates, human):
    """Compare every RDM with those of the people: name, family, mean similarity and that of each person."""
    similar = COMPARISONS[settings.comparison]
    rows = []
    for (family, name), rdm in candidates.items():
        by_person = similar(human, rdm)
        people = {f"person_{i}": value for i, value in enumerate(by_person, start=1)}
        rows.append({"family": family, "name": name, "similarity": by_person.mean(), **people})
    return pd.DataFrame(rows).sort_values("family", key=lambda of: of.map(FAMILIES.index), kind="stable")


def plot(table, ceiling, squares):
    """Draw bars of similarities with the noise ceiling, above them some RDMs in ranks."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.4))
    for ax, (name, rdm) in zip(above.subplots(1, len(squares)), squares.items(), strict=True):
        ax.imshow(squareform(rankdata(rdm)), cmap="viridis")
        ax.set(title=name, xticks=[], yticks=[])
    ax = below.subplots()
    colours = table["family"].map(dict(zip(FAMILIES, ("#1f5a94", "#888888", "#3a7d44"), strict=True)))
    ax.bar(range(len(table)), table["similarity"], color=colours)
    people = table.filter(like="person_")
    for i, values in enumerate(people.to_numpy()):
        ax.plot([i] * len(values), values, ".", color="black", markersize=4)
    ax.axhspan(ceiling.lower, ceiling.upper, color="#dddddd", zorder=0, label="noise ceiling")
    ax.set_xticks(range(len(table)), table["name"], rotation=40, ha="right")
    ax.set_ylabel(f"{ceiling.comparison} with human IT")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return figure


def run(settings, data_dir, folder):
    """Make the RDMs of the features, compare all with human IT, write table and figure; return table and ceiling."""
    rdms = load_rdms(data_dir)
    human, monkey, mean = brain_rdms(rdms)
    features = feature_rdms(settings, write_images(data_dir, folder / "images"))
    published = rdms.take_rows(((rdms.rows["source"] == "model") & (rdms.rows["name"] != "monkeyIT")).to_numpy())
    candidates = {("features", name): rdm for name, rdm in features.items()}
    for name, rdm in zip(published.rows["name"], published.values, strict=True):
        candidates["brain" if name == EARLY_VISUAL_AREA else "published", name] = rdm
    candidates["brain", "monkey IT"] = monkey
    table = compare(settings, candidates, human)
    ceiling = noise_ceiling(human, comparison=settings.comparison)
    table = table.assign(ceiling_lower=ceiling.lower, ceiling_upper=ceiling.upper)
    table["monkey_human_r"] = float(pearson(monkey, mean))
    write_tsv(table, folder / "similarities.tsv")
    squares = {"human IT": mean, "monkey IT": monkey, **{name: features[name] for name in ("pixels", "gabor")}}
    squares[ALEXNET_LAYERS[-1]] = features[f"AlexNet untrained {ALEXNET_LAYERS[-1]}"]
    plot(table, ceiling, squares).savefig(folder / "similarities.png", dpi=120)
    (folder / "settings.json").write_text(settings.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return table, ceiling


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds kriegeskorte2008/")
    parser.add_argument("--out", type=Path, default=Path("results/kriegeskorte2008_rdms"))
    parser.add_argument("--comparison", choices=list(COMPARISONS), default="kendall_tau_a")
    parser.add_argument("--distance", choices=list(DISTANCES), default="correlation")
    parser.add_argument("--model", default="", help="one more vision model: a folder or a hub id of transformers")
    arguments = parser.parse_args()
    settings = Settings(comparison=arguments.comparison, distance=arguments.distance, model=arguments.model)
    table, ceiling = run(settings, arguments.data_dir, arguments.out)
    print(table[["family", "name", "similarity"]].to_string(index=False, float_format="{:.3f}".format))
    print(f"noise ceiling ({ceiling.comparison}): {ceiling.lower:.3f} to {ceiling.upper:.3f}")
    print(f"r(monkey IT, human IT) = {table['monkey_human_r'].iloc[0]:.4f}; {PUBLISHED}")


if __name__ == "__main__":
    main()
