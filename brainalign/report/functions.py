"""Sections of an encoding model with lags in seconds: response functions, when they peak and where."""

import numpy as np
import pandas as pd

from brainalign.pipeline.subjects import MEAN, main_subject, single_subjects
from brainalign.plots import lags as over_lags
from brainalign.plots.joint import joint
from brainalign.report.over_time import with_sensors
from brainalign.report.page import add_figure, add_table

UNIT = ["feature_space", "weights", "layer", "unit"]
SCALES = {"mag": (1e15, "fT"), "grad": (1e13, "fT/cm"), "eeg": (1e6, "µV")}
"""Kind of sensor to the factor and the name of the unit that its weights are drawn in."""
EDGE = 0.05  # s: a period of 20 Hz; neighbouring lags of responses that are slower cannot be told apart


def add_sections(page, functions: pd.DataFrame, places: pd.DataFrame | None) -> None:
    """Add the strength of every response function over lags, its peak, and all sensors with heads."""
    edge, strength = edge_of(functions["lag"]), strengths(functions, places)
    found = peaks(strength)
    caption = (
        "Root mean square over targets of the weights of each feature at each lag, scaled to a highest value of 1, of "
        "a model of all samples. A weight at a lag is the response to a unit of the feature, that much later. The "
        f"outermost {1000 * edge:.0f} ms of lags on either side are fitted but not shown: they take up what lies "
        "beyond the window."
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
        _add_heads(page, without_edges(functions), places, found)


def add_edges(page, edges: pd.DataFrame) -> None:
    """Add how many penalties of the models of all samples are at an edge of the grid."""
    caption = "Share of targets whose penalty, in the model of all samples, is the smallest or largest of the grid."
    add_table(page, edges, "Response functions: penalties at the edge of the grid", caption)


def edge_of(lags: pd.Series) -> float:
    """Give how much of the lags is not shown on either side (s): a tenth of the window, at most `EDGE`."""
    return float(min(EDGE, (lags.max() - lags.min()) / 10))


def without_edges(functions: pd.DataFrame) -> pd.DataFrame:
    """Leave out the outermost lags, whose weights take up what lies beyond the window."""
    lags, edge = functions["lag"], edge_of(functions["lag"])
    return functions[lags.between(lags.min() + edge - 1e-6, lags.max() - edge + 1e-6)]


def strengths(functions: pd.DataFrame, places: pd.DataFrame | None) -> pd.DataFrame:
    """Give the root mean square of weights over the targets of a kind, averaged over single subjects; `without_edges`.

    Returns
    -------
    table : DataFrame
        `feature_space weights layer unit channel_type lag` (s) `strength` (in the unit of the responses).
    """
    rows = with_sensors(without_edges(functions), places)
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
    subject = main_subject(rows)
    rows = rows[rows["subject"] == subject]
    for peak in found.to_dict("records"):
        chosen = np.logical_and.reduce([rows[key] == peak[key] for key in (*UNIT, "channel_type")])
        scale, unit = (1.0, "sd") if subject == MEAN else SCALES.get(peak["channel_type"], (1.0, "SI"))
        figure = joint(rows[chosen].rename(columns={"weight": "score"}), label=f"weight ({unit})", scale=scale)
        title = f"{_name(peak)}: {peak['channel_type']}"
        caption = "Weights at every sensor, coloured by its place, and on the head when sensors differ most."
        add_figure(page, figure, title, caption, "Response functions")
