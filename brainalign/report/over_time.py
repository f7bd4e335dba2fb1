"""Sections of an encoding experiment on epochs: scores over the time from an event, on the head, their peaks."""

import numpy as np
import pandas as pd

from brainalign.pipeline.against_ceilings import counted
from brainalign.pipeline.scores import headline
from brainalign.pipeline.subjects import single_subjects
from brainalign.plots import lags as over_lags
from brainalign.plots.joint import joint
from brainalign.plots.sensors import topographies
from brainalign.report.page import add_figure, add_table, label

N_HEADS = 6


def add_sections(page, experiment, scores: pd.DataFrame, unique: pd.DataFrame, sensors: pd.DataFrame | None) -> None:
    """Add scores over time, topographies and peaks; `scores` and `unique` are tables of a run with the column `lag`."""
    metric = experiment.encode.metric
    rows = with_sensors(headline(scores[scores["metric"] == metric]), sensors)
    caption = (
        f"{metric} on held-out folds, mean over the sensors of a kind, of the layer that nested cross-validation chose "
        "where there are several; bands: standard error over subjects. Noise ceilings are averaged likewise, as 0 "
        "where responses have no reliability."
    )
    figure = over_lags.scores_over_lags(means_over_sensors(rows), ylabel=metric)
    add_figure(page, figure, "Scores over time", caption, "Time")
    caption = (
        "Where the mean over sensors is highest, and the sensor that scores best then. Both are the best of many: they "
        "describe, they are no test."
    )
    add_table(page, peaks(rows), "Peaks over time", caption)
    if len(unique):
        of_metric = with_sensors(unique[unique["metric"] == metric], sensors).rename(columns={"unique": "score"})
        table = means_over_sensors(of_metric.drop(columns=["score_sd"], errors="ignore").assign(weights=""))
        figure = over_lags.scores_over_lags(table, ylabel=f"unique {metric}")
        caption = "What each feature space explains that the others, all together, do not; mean over sensors."
        add_figure(page, figure, "Unique contributions over time", caption, "Time")
    if "x" in rows:
        _add_heads(page, rows, metric)


def with_sensors(rows: pd.DataFrame, sensors: pd.DataFrame | None) -> pd.DataFrame:
    """Add the kind and the place of every sensor; without them all are of the kind "sensor"."""
    if sensors is None:
        return rows.assign(channel_type="sensor")
    return rows.merge(sensors, on="target", how="left", validate="many_to_one")


def means_over_sensors(rows: pd.DataFrame) -> pd.DataFrame:
    """Give points of lines over time: the mean over the sensors of a kind, then over single subjects.

    Parameters
    ----------
    rows : DataFrame
        Columns `subject feature_space weights channel_type lag score`, optionally `noise_ceiling`.

    Returns
    -------
    table : DataFrame
        One row per feature space x weights x kind x lag: `score`, `score_sem` over subjects where there are several.
    """
    if "ceiling_kind" in rows:
        rows = rows.assign(noise_ceiling=counted)
    by = ["feature_space", "weights", "channel_type", "lag"]
    values = [name for name in ("score", "noise_ceiling") if name in rows]
    singles = single_subjects(rows)
    of_subjects = singles.groupby([*by, "subject"], sort=False)[values].mean()
    means = of_subjects.groupby(by, sort=False).mean()
    if singles["subject"].nunique() > 1:
        means["score_sem"] = of_subjects["score"].groupby(by, sort=False).sem()
    return means.reset_index()


def peaks(rows: pd.DataFrame) -> pd.DataFrame:
    """Give, per feature space and kind of sensor, the time at which the mean over sensors is highest.

    Returns
    -------
    table : DataFrame
        `feature_space weights channel_type peak_ms mean_score best_sensor best_score`, all at that time.
    """
    means = means_over_sensors(rows)
    by = ["feature_space", "weights", "channel_type"]
    found = []
    for names, of_space in means.groupby(by, sort=False):
        if of_space["score"].isna().all():
            continue
        peak = of_space.loc[of_space["score"].idxmax()]
        there = rows[np.logical_and.reduce([rows[key] == name for key, name in zip(by, names, strict=True)])]
        sensors = there[there["lag"] == peak["lag"]].groupby("target")["score"].mean()
        found.append([*names, 1000 * peak["lag"], peak["score"], sensors.idxmax(), sensors.max()])
    return pd.DataFrame(found, columns=[*by, "peak_ms", "mean_score", "best_sensor", "best_score"])


def _add_heads(page, rows: pd.DataFrame, metric: str) -> None:
    lags = np.unique(rows["lag"])
    shown = np.linspace(max(0.0, lags[0]), lags[-1], N_HEADS)
    for (space, weights, kind), of_kind in rows.groupby(["feature_space", "weights", "channel_type"], sort=False):
        sensors = single_subjects(of_kind).groupby(["target", "x", "y", "z", "lag"], sort=False, dropna=False)
        mean = sensors["score"].mean().reset_index()
        caption = f"{metric} of {label(space, weights)}, average over subjects; nose up; gradiometers in pairs."
        figure = topographies(mean, lags=shown, label=metric)
        add_figure(page, figure, f"{label(space, weights)}: {kind}", caption, "Topographies")
        caption = f"{metric} at every sensor, coloured by its place, and on the head when sensors differ most."
        figure = joint(mean, label=metric)
        add_figure(page, figure, f"{label(space, weights)}, all sensors: {kind}", caption, "Topographies")
