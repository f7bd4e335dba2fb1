"""Ask whether a listener's brain score goes with how well they understood the story.

Caucheteux, Gramfort & King (2022, Sci Rep 12:16327) correlated the brain score of a person and story with the score
of that person's comprehension quiz: R = .50 (p < 1e-15) in the angular gyrus, over pairs of 101 people and seven
stories. Here there is one story and one pair per person (Brennan et al. 2016; quizzes from Bhattasali et al. 2020),
so pairs are independent.

    python analyses/brennan2016_comprehension.py --data-dir ../shared/data --out results/brennan2016_comprehension

First it runs the encoding experiment `brennan2016_layers.toml` with word frequency and surprisal of the published
annotations among the controls. Then it correlates over listeners: the nested score of the language model and its gain
over the controls, and what could fake a relation: the score of word rate and length, inter-subject correlation, head
motion, age. The permuted quiz is a control that must be flat.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from brainalign.arrays import write_tsv
from brainalign.config import read_experiment
from brainalign.data import brennan2016
from brainalign.pipeline.scores import headline
from brainalign.plots.association import scatter
from brainalign.results import read_table, run_experiment
from brainalign.stats.association import bootstrap_interval, permutation_correlation

PUBLISHED = "Caucheteux et al. 2022: R = .50, angular gyrus, 101 people, seven other stories"
MEAN_OF_ROIS = "mean of ROIs"
EXPERIMENT = Path(__file__).with_name("brennan2016_layers.toml")


class Config(BaseModel):
    """What decides the numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    settings: tuple[str, ...] = (
        "name=brennan2016_comprehension",
        "data.annotations=true",
        'features.words.quantities=["rate", "length", "position_in_run"]',
        'features.words.columns=["log_frequency", "surprisal_3gram", "surprisal_cfg"]',
    )
    n_permutations: int = 10_000
    n_bootstrap: int = 10_000
    seed: int = 0
    permute_quiz: bool = False


def listeners(config, scores, participants):
    """Give a table of measures per listener, index subject: (measure, ROI) columns, and the quiz scores."""
    scores = headline(scores[(scores["metric"] == "pearson") & (scores["subject"] != "mean")])

    def measure(space, weights="", value="score"):
        chosen = (scores["feature_space"] == space) & (scores["weights"] == weights)
        table = scores[chosen].pivot_table(index="subject", columns="target", values=value, sort=False)
        return table.assign(**{MEAN_OF_ROIS: table.mean(axis=1)})

    model = measure("gpt2", "trained")
    measures = {
        "brain score": model,
        "gain over controls": measure("words+gpt2", "trained") - measure("words"),
        "untrained model": measure("gpt2", "untrained"),
        "word rate + length": measure("rate_length"),
        "inter-subject correlation": measure("gpt2", "trained", "noise_ceiling"),
    }
    people = participants.set_index("subject").loc[model.index]
    measures["head motion"] = people[["motion_fd"]].rename(columns={"motion_fd": "mean displacement"})
    measures["age"] = people[["age"]].rename(columns={"age": "years"})
    quiz = people["quiz_score"]
    known = quiz.notna() & people["age"].notna()
    if config.permute_quiz:
        shuffled = np.random.default_rng(config.seed).permutation(quiz[known].to_numpy())
        quiz = pd.Series(shuffled, index=quiz.index[known])
    return {name: table[known] for name, table in measures.items()}, quiz[known]


def associate(config, measures, quiz):
    """Correlate every measure with the quiz: one row per measure and ROI, family-wise p over the ROIs of a measure."""
    rows = []
    for name, table in measures.items():
        x, y = table.to_numpy(), quiz.to_numpy()
        pearson, spearman = (
            permutation_correlation(x, y, n_permutations=config.n_permutations, seed=config.seed, method=method)
            for method in ("pearson", "spearman")
        )
        interval = bootstrap_interval(x, y, n_bootstrap=config.n_bootstrap, seed=config.seed)
        for i, target in enumerate(table.columns):
            rows.append(
                {
                    "measure": name,
                    "target": target,
                    "n": len(y),
                    "pearson": pearson.r[i],
                    "low": interval.low[i],
                    "high": interval.high[i],
                    "p": pearson.p[i],
                    "p_corrected": pearson.p_corrected[i],
                    "spearman": spearman.r[i],
                    "spearman_p_corrected": spearman.p_corrected[i],
                }
            )
    return pd.DataFrame(rows)


def plot(measures, quiz, table):
    """Draw brain score against quiz score, one panel per ROI."""
    points = []
    rows = table[table["measure"] == "brain score"].set_index("target")
    for target, values in measures["brain score"].items():
        slope, intercept = np.polyfit(quiz, values, 1)
        title = f"{target}: R = {rows.pearson[target]:.2f}, p = {rows.p_corrected[target]:.3f} (corrected)"
        points.append(
            pd.DataFrame(
                {"x": quiz, "y": values, "target": target, "title": title, "slope": slope, "intercept": intercept}
            )
        )
    return scatter(pd.concat(points), xlabel="quiz score (of 12)", ylabel="brain score (r)")


def run(config, data_dir, folder):
    """Run the encoding experiment where it is not stored, then correlate; return the table of correlations."""
    experiment = read_experiment(EXPERIMENT, config.settings)
    outcome = run_experiment(experiment, folder, data_dir=data_dir, overwrite=True)
    if not outcome.complete:
        raise SystemExit(f"{len(outcome.failed)} cells failed; see above")
    participants = brennan2016.load(experiment.data.config, data_dir).participants
    measures, quiz = listeners(config, read_table(folder, "scores"), participants)
    table = associate(config, measures, quiz)
    suffix = "_permuted" if config.permute_quiz else ""
    write_tsv(table, folder / f"comprehension{suffix}.tsv")
    plot(measures, quiz, table).savefig(folder / f"comprehension{suffix}.png", dpi=120)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="the folder that holds brennan2016/ and bhattasali2020/"
    )
    parser.add_argument("--out", type=Path, default=Path("results/brennan2016_comprehension"))
    parser.add_argument(
        "--permute-quiz", action="store_true", help="the control: quiz scores given to the wrong people"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    table = run(Config(permute_quiz=arguments.permute_quiz), arguments.data_dir, arguments.out)
    print(table.to_string(index=False, float_format="{:.3f}".format))
    print(f"published: {PUBLISHED}")


if __name__ == "__main__":
    main()
