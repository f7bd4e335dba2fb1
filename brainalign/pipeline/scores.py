"""Score cells on disk, and tidy tables made from them: nested layer choice, unique contributions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.encode.metrics import METRICS
from brainalign.encode.score import FoldScores, nested_choice
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.subjects import target_key

COLUMNS = (
    "subject", "feature_space", "weights", "layer", "target", "lag", "metric", "score", "score_sd", "n_folds",
    "log10_alpha", "noise_ceiling", "ceiling_kind",
)  # fmt: skip
NESTED = "nested"
UNIQUE_COLUMNS = ("subject", "feature_space", "target", "lag", "metric", "unique", "alone", "together")


def gather_scores(
    candidates: dict, responses: Responses, path_of: Callable, *, ceilings: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Gather the finished score cells of an experiment.

    Parameters
    ----------
    candidates : dict of Cell to Candidate
    responses : Responses
    path_of : callable
        Cell -> folder of the finished cell.
    ceilings : DataFrame
        As of `ceilings.noise_ceilings`.

    Returns
    -------
    scores : DataFrame
        One row per subject x feature space x weights x layer x target x metric, columns `COLUMNS` (`lag`, in s, only
        of epochs). A score is the mean over the `n_folds` in which the target is not constant, nan where there is none.
        `layer` is "nested" where it was chosen for every target and fold by the score of the inner splits.
    diagnostics : DataFrame
        Per feature space, weights and layer: share of targets at each edge of the penalty grid, mean over folds.
    choices : DataFrame
        Per subject, target and feature space: how many folds chose which layer.
    """
    columns = responses.columns
    blocks, diagnostics, choices = [], [], []
    for (feature_space, weights), group in _by_space(candidates).items():
        cells = [read_fold_scores(path_of(cell)) for cell, _ in group]
        layers = [candidate.layer for _, candidate in group]
        for layer, cell in zip(layers, cells, strict=True):
            what = {"feature_space": feature_space, "weights": weights, "layer": layer.strip("-")}
            blocks += [_block(columns, what, metric, cell) for metric in METRICS]
            low, high = cell.alpha_at_edge.mean(axis=0)
            diagnostics.append({**what, "at_lowest_alpha": low, "at_highest_alpha": high})
        if len(group) > 1:
            chosen, nested = nested_scores(cells)
            what = {"feature_space": feature_space, "weights": weights, "layer": NESTED}
            blocks += [_block(columns, what, metric, nested) for metric in METRICS]
            choices.append(_choice_counts(columns, feature_space, weights, layers, chosen))
    scores = pd.concat(blocks, ignore_index=True)
    by = ["subject", *target_key(columns), "metric"]
    of_targets = ceilings[[*by, "noise_ceiling", "ceiling_kind"]]
    scores = scores.merge(of_targets, how="left", on=by, validate="many_to_one")
    ordered = [name for name in COLUMNS if name in scores]
    empty = pd.DataFrame(columns=["feature_space", "weights", "subject", "target", "layer", "n_folds"])
    return scores[ordered], pd.DataFrame(diagnostics), pd.concat(choices, ignore_index=True) if choices else empty


def headline(scores: pd.DataFrame) -> pd.DataFrame:
    """Give the rows that may be reported as the score of a feature space.

    The nested choice where there are several layers, else the only layer: never the best layer of a profile.
    """
    n_layers = scores.groupby(["feature_space", "weights"])["layer"].transform("nunique")
    return scores[(scores["layer"] == NESTED) | (n_layers == 1)]


def unique_contributions(scores: pd.DataFrame, together: tuple[str, ...]) -> pd.DataFrame:
    """Say what each feature space explains that the others, all together, do not.

        unique(s) = score(all) - score(all without s)

    Parameters
    ----------
    scores : DataFrame
        As in scores.tsv: of all feature spaces together, of all but each in turn, and of each alone.
    together : tuple of str
        The feature spaces.

    Returns
    -------
    unique : DataFrame
        One row per subject x feature space x target x metric, columns `UNIQUE_COLUMNS`: the unique contribution, and
        the scores of the feature space alone and of all together. Negative values are kept: on held-out data a feature
        space can make a joint model worse. In r2 it is the unique variance explained; in r, a difference of scores.

    References
    ----------
    Lescroart, Stansbury & Gallant (2015), Front Comput Neurosci 9:135; de Heer et al. (2017), J Neurosci 37:6539.
    """
    if not together:
        return pd.DataFrame(columns=[name for name in UNIQUE_COLUMNS if name != "lag"])
    by = ["subject", *target_key(scores), "metric"]
    joint = scores[scores["weights"].eq("") | scores["feature_space"].isin(together)]

    def score_of(names):
        rows = joint[joint["feature_space"] == "+".join(names)]
        return rows.set_index(by)["score"]

    full = score_of(together)
    tables = []
    for name in together:
        rest = tuple(other for other in together if other != name)
        of_space = {"feature_space": name, "unique": full - score_of(rest), "alone": score_of([name]), "together": full}
        tables.append(pd.DataFrame(of_space).reset_index())
    table = pd.concat(tables, ignore_index=True)
    return table[[name for name in UNIQUE_COLUMNS if name in table]]


def edge_table(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """Shares at the edges of the penalty grid, the layers of a space summarised by their largest share."""
    spaces = diagnostics.groupby(["feature_space", "weights"], sort=False)
    return spaces[["at_lowest_alpha", "at_highest_alpha"]].max().reset_index()


def nested_scores(layers: list[FoldScores]) -> tuple[np.ndarray, FoldScores]:
    """Choose a layer per fold and target by the inner splits.

    Parameters
    ----------
    layers : list of FoldScores
        One per layer, all of the same folds and targets.

    Returns
    -------
    chosen : int array of shape (n_folds, n_targets)
        Position in `layers`; -1 where nothing could be chosen.
    nested : FoldScores
        What the chosen layers scored.
    """
    inner = np.stack([layer.inner_score for layer in layers])  # (n_layers, n_folds, n_targets)

    def of_chosen(values):
        return nested_choice(inner, np.stack(values))[1]

    chosen = nested_choice(inner, inner)[0]
    scores = {metric: of_chosen([layer.scores[metric] for layer in layers]) for metric in layers[0].scores}
    edges = np.stack([layer.alpha_at_edge for layer in layers]).mean(axis=0)
    return chosen, FoldScores(scores, of_chosen([layer.alpha for layer in layers]), inner.max(axis=0), edges)


def _by_space(candidates: dict) -> dict[tuple[str, str], list]:
    groups: dict[tuple[str, str], list] = {}
    for cell, candidate in candidates.items():
        groups.setdefault((candidate.feature_space, candidate.weights), []).append((cell, candidate))
    return groups


def _block(columns, what, metric, result) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject": columns["subject"],
            **what,
            **{name: columns[name] for name in target_key(columns)},
            "metric": metric,
            "score": result.mean(metric),
            "score_sd": result.sd(metric),
            "n_folds": result.n_scored(metric),
            "log10_alpha": np.log10(result.alpha).mean(axis=0),
        }
    )


def _choice_counts(columns, feature_space, weights, layers, chosen) -> pd.DataFrame:
    counts = np.stack([(chosen == i).sum(axis=0) for i in range(len(layers))], axis=1)  # (n_targets, n_layers)
    i_target, i_layer = np.nonzero(counts)
    return pd.DataFrame(
        {
            "feature_space": feature_space,
            "weights": weights,
            "subject": columns["subject"].to_numpy()[i_target],
            **{name: columns[name].to_numpy()[i_target] for name in target_key(columns)},
            "layer": np.asarray(layers, object)[i_layer],
            "n_folds": counts[i_target, i_layer],
        }
    )


def write_fold_scores(result: FoldScores, folder: Path) -> None:
    """Write the arrays of a score cell, one `.npy` each."""
    arrays = {"alpha": result.alpha, "inner_score": result.inner_score, "alpha_at_edge": result.alpha_at_edge}
    write_arrays(folder, arrays | {f"score_{metric}": values for metric, values in result.scores.items()})


def read_fold_scores(folder: Path) -> FoldScores:
    """Read what `write_fold_scores` wrote."""
    arrays = read_arrays(folder)
    scores = {metric: arrays.pop(f"score_{metric}") for metric in METRICS}
    return FoldScores(scores, **arrays)
