"""Sections of an encoding model with lags in seconds: response functions, when they peak and where."""

import numpy as np
import pandas as pd

from brainalign.pipeline.subjects import main_subject, single_subjects
from brainalign.plots import lags as over_lags
from brainalign.plots.sensors import topographies
from brainalign.report.over_time import with_sensors
from brainalign.report.page import add_figure, add_table

UNIT = ["feature_space", "weights", "layer", "unit"]


def add_sections(page, functions: pd.DataFrame, places: pd.DataFrame | None) -> None:
    """Add the strength of every response function over lags, its peak, and the head at the peak."""
    strength = strengths(functions, places)
    found = peaks(strength)
    caption = (
        "Root mean square over targets of the weights of each feature at each lag, scaled to a highest value of 1, of "
        "a model of all samples. A weight at a lag is the response to a unit of the feature, that much later."
    )
    drawn = strength.assign(
        score=strength["strength"] / strength.groupby([*UNIT, "channel_type"])["strength"].transform("max")
    )
    drawn = drawn.assign(feature_space=[_name(row) for row in drawn[UNIT].to_dict("records")], weights="")
    figure = over_lags.scores_over_lags(drawn, ylabel="strength (relative)")
    add_figure(page, figure, "Response functions", caption, "Response functions")
    caption = "The lag at which the weights of a feature are strongest over all targets of a kind; no test."
    add_table(page, found, "Peaks of response functions", caption)
    if places is not None and "x" in places:
        _add_heads(page, functions, places, found)


def strengths(functions: pd.DataFrame, places: pd.DataFrame | None) -> pd.DataFrame:
    """Give the root mean square of weights over the targets of a kind, averaged over single subjects.

    Returns
    -------
    table : DataFrame
        `feature_space weights layer unit channel_type lag` (s) `strength` (in the unit of the responses).
    """
    rows = with_sensors(functions, places)
    singles = single_subjects(rows)
    by = [*UNIT, "channel_type", "lag"]
    squared = singles.assign(strength=np.square(singles["weight"].to_numpy(float)))
    of_subjects = squared.groupby(["subject", *by], sort=False)["strength"].mean().pow(0.5)
    return of_subjects.groupby(by, sort=False).mean().reset_index()


def peaks(strength: pd.DataFrame) -> pd.DataFrame:
    """Give the lag of the greatest strength: `feature_space ... channel_type peak_ms strength`."""
    rows = strength.loc[strength.groupby([*UNIT, "channel_type"], sort=False)["strength"].idxmax()]
    table = rows.assign(peak_ms=1000 * rows["lag"])
    return table[[*UNIT, "channel_type", "peak_ms", "strength"]].reset_index(drop=True)


def _name(row: dict) -> str:
    return " ".join(filter(None, (row["feature_space"], row["weights"], row["layer"], row["unit"])))


def _add_heads(page, functions: pd.DataFrame, places: pd.DataFrame, found: pd.DataFrame) -> None:
    rows = with_sensors(functions, places)
    rows = rows[rows["subject"] == main_subject(rows)]
    for peak in found.to_dict("records"):
        chosen = np.logical_and.reduce([rows[key] == peak[key] for key in (*UNIT, "channel_type")])
        at_peak = rows[chosen].rename(columns={"weight": "score"})
        figure = topographies(at_peak, lags=(peak["peak_ms"] / 1000,), label="weight")
        title = f"{_name(peak)}: {peak['channel_type']}"
        add_figure(page, figure, title, "Weights at the lag of the greatest strength.", "Response functions")
