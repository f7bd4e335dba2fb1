"""Section of an encoding experiment on continuous M/EEG: the scores of every model on the head."""

from brainalign.pipeline.scores import headline
from brainalign.pipeline.subjects import single_subjects
from brainalign.plots.sensors import model_topographies
from brainalign.report.over_time import with_sensors
from brainalign.report.page import add_figure, label


def add_sections(page, experiment, scores, places) -> None:
    """Add a row of heads per kind of sensor, one per feature space and weights; without places nothing.

    Parameters
    ----------
    page, experiment
    scores : DataFrame
        Of a run, one row per subject x model x target x metric.
    places : DataFrame or None
        Table of a run: where the targets are.
    """
    if places is None or "x" not in places:
        return
    metric = experiment.encode.metric
    rows = with_sensors(single_subjects(headline(scores[scores["metric"] == metric])), places)
    rows["model"] = [label(*names) for names in zip(rows["feature_space"], rows["weights"], strict=True)]
    by = ["model", "target", "channel_type", "x", "y", "z"]
    means = rows.groupby(by, sort=False, dropna=False)["score"].mean().reset_index()
    for kind, of_kind in means.groupby("channel_type", sort=False):
        caption = f"{metric} on held-out folds, average over subjects; nose up; gradiometers in pairs."
        figure = model_topographies(of_kind, label=metric)
        add_figure(page, figure, f"Scores on the head: {kind}", caption, "Topographies")
