"""Section of an encoding experiment on epochs: what the model of one lag tells of all others."""

import pandas as pd

from brainalign.plots import generalisation
from brainalign.report.page import add_figure

CITATION = "King & Dehaene (2014), Trends Cogn Sci 18:203-210, temporal generalisation"


def add_sections(page, table: pd.DataFrame) -> None:
    """Add a square of lags per kind of sensor; `table` is `generalisation` of a run."""
    (space,) = table["feature_space"].unique()
    caption = (
        f"Pearson's r on held-out folds of the predictions of {space} at one lag with the responses of the same "
        "sensor at another, mean over the sensors of a kind. On the diagonal: the scores over time. What spreads from "
        "it lasts; red off it: the response comes back; blue: with the opposite sign. It describes, it is no test."
    )
    figure = generalisation.matrices(table, by="channel_type", label="r")
    add_figure(page, figure, f"Temporal generalisation: {space}", caption, "Time")
