"""Decoding of epochs: a class told at every time by itself, and at every time by what was trained at every other."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from brainalign.compare.over_times import decode_over_times, generalise_over_times, is_ridge, permuted_over_times
from brainalign.compare.relatedness import p_values
from brainalign.pipeline.cell_files import read_arrays
from brainalign.pipeline.subjects import MEAN

TABLES = ("scores_over_time", "generalisation")
COLUMNS = (
    "subject", "roi", "time", "n_channels", "n_samples", "n_classes", "score", "score_sem", "chance", "null_mean",
    "null_95", "p", "p_corrected",
)  # fmt: skip
DIGITS = 12  # means of folds and subjects in another order differ by rounding: equal scores must stay equal


def decode_epochs(prepared, region, estimator) -> dict[str, np.ndarray]:
    """Decode the epochs of a region.

    Parameters
    ----------
    prepared : decoding.Prepared
    region : decoding.Region
    estimator : estimator

    Returns
    -------
    arrays : dict of str to array
        "fold_scores" (n_folds, n_times); "null" (n_permutations, n_times) of labels permuted within runs and
        "generalisation" (n_times, n_times), mean over folds, where these are asked for.
    """
    settings, samples = prepared.experiment.decode, prepared.samples
    data = epochs_of_region(prepared, region), samples.labels
    how = {"run": samples.run, "estimator": estimator, "score": settings.score}
    arrays = {"fold_scores": decode_over_times(*data, **how)}
    if settings.n_permutations:
        draws = {"n_permutations": settings.n_permutations, "seed": prepared.experiment.seed}
        arrays["null"] = permuted_over_times(*data, **how, **draws)
    if settings.generalise:
        arrays["generalisation"] = generalise_over_times(*data, **how).mean(axis=0)
    return arrays


def epochs_of_region(prepared, region) -> np.ndarray:
    """Give the epochs of a region, (n_events, n_channels, n_times)."""
    X = np.asarray(prepared.samples.X[:, region.targets], np.float64)
    return X.reshape(len(X), -1, len(prepared.times))


def seconds_of_epochs(prepared, region, estimator) -> float:
    """Measure the decoding of one time, and of its permutations: all of a ridge classifier, one of the others."""
    settings, samples = prepared.experiment.decode, prepared.samples
    data = epochs_of_region(prepared, region)[:, :, :1], samples.labels
    how = {"run": samples.run, "estimator": estimator, "score": settings.score}
    start = time.perf_counter()
    decode_over_times(*data, **how)
    of_one = time.perf_counter() - start
    of_permutations = settings.n_permutations * of_one
    if settings.n_permutations and is_ridge(estimator):
        start = time.perf_counter()
        permuted_over_times(*data, **how, n_permutations=settings.n_permutations, seed=0)
        of_permutations = time.perf_counter() - start
    return len(prepared.times) * (of_one * (2 if settings.generalise else 1) + of_permutations)


def tabulate_epochs(prepared, path_of: Callable) -> dict[str, pd.DataFrame]:
    """Gather the finished cells: the tables of `TABLES` by name.

    Parameters
    ----------
    prepared : decoding.Prepared
    path_of : callable
        Cell -> folder of the finished cell.

    Returns
    -------
    tables : dict of str to DataFrame
        "scores_over_time": one row per subject x region x time, columns `COLUMNS`: `score` is the mean over folds, and
        over subjects for the subject "mean", with its standard error `score_sem`; `null_95` the 95th percentile of the
        null distribution. `p` is one-sided, `p_corrected` by the highest score over all times and regions of the
        subject under the same permutation; nan without permutations. "generalisation": one row per subject x region x
        pair of times, `subject roi trained tested` (s) `score`, where it is asked for.
    """
    found = {}
    for cell, region in prepared.regions.items():
        arrays = read_arrays(path_of(cell))
        arrays["score"] = arrays.pop("fold_scores").mean(axis=0)
        arrays["n_channels"] = len(region.targets) // len(prepared.times)
        found[region.subject, region.roi] = arrays
    found |= means_of_subjects(found)
    facts = _facts(prepared)
    scores = [_rows(prepared, where, arrays, facts) for where, arrays in found.items()]
    tables = {"scores_over_time": _with_p_values(pd.concat(scores, ignore_index=True), found)[list(COLUMNS)]}
    if prepared.experiment.decode.generalise:
        trained, tested = np.meshgrid(prepared.times, prepared.times, indexing="ij")
        pairs = {"trained": trained.ravel(), "tested": tested.ravel()}
        general = [
            pd.DataFrame({"subject": subject, "roi": roi, **pairs, "score": arrays["generalisation"].ravel()})
            for (subject, roi), arrays in found.items()
        ]
        tables["generalisation"] = pd.concat(general, ignore_index=True)
    return tables


def of_several_subjects(found: dict[tuple[str, str], dict]) -> dict[str, list[dict]]:
    """Give what was found of (subject, region) by region, a list over subjects; nothing where there is one subject."""
    if len({subject for subject, _ in found}) < 2:
        return {}
    regions = dict.fromkeys(roi for _, roi in found)
    return {roi: [arrays for (_, name), arrays in found.items() if name == roi] for roi in regions}


def means_of_subjects(found: dict) -> dict:
    """Average the regions of several subjects, permutation by permutation: all were shown the same events."""
    means = {}
    for roi, of_roi in of_several_subjects(found).items():
        means[MEAN, roi] = {name: np.mean([arrays[name] for arrays in of_roi], axis=0) for name in of_roi[0]}
        if len(of_roi) > 1:
            deviation = np.std([arrays["score"] for arrays in of_roi], axis=0, ddof=1)
            means[MEAN, roi]["score_sem"] = deviation / np.sqrt(len(of_roi))
    return means


def _facts(prepared) -> dict:
    counts = np.unique(prepared.samples.labels, return_counts=True)[1]
    of_accuracy = prepared.experiment.decode.score == "accuracy"
    chance = counts.max() / counts.sum() if of_accuracy else 0.5
    return {"n_samples": counts.sum(), "n_classes": len(counts), "chance": chance}


def _rows(prepared, where: tuple[str, str], arrays: dict, facts: dict) -> pd.DataFrame:
    spread = {"score_sem": arrays.get("score_sem", np.nan), "null_mean": np.nan, "null_95": np.nan}
    if "null" in arrays:
        spread |= {"null_mean": arrays["null"].mean(axis=0), "null_95": np.quantile(arrays["null"], 0.95, axis=0)}
    what = {"subject": where[0], "roi": where[1], "time": prepared.times, "n_channels": round(arrays["n_channels"])}
    return pd.DataFrame({**what, **facts, "score": arrays["score"], **spread})


def _with_p_values(scores: pd.DataFrame, found: dict) -> pd.DataFrame:
    """Add p-values against permuted labels, corrected over the times and regions of a subject."""
    scores = scores.assign(p=np.nan, p_corrected=np.nan)
    for subject, rows in scores.groupby("subject", sort=False).groups.items():
        nulls = [arrays["null"].T for (name, _), arrays in found.items() if name == subject and "null" in arrays]
        if nulls:
            p = p_values(scores.loc[rows, "score"].to_numpy().round(DIGITS), np.concatenate(nulls).round(DIGITS))
            scores.loc[rows, ["p", "p_corrected"]] = np.column_stack(p)
    return scores
