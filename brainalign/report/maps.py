"""Sections of an encoding experiment with very many targets: maps of the brain, and how scores are distributed."""

import html

import numpy as np
import pandas as pd

from brainalign.pipeline.scores import headline
from brainalign.pipeline.subjects import main_subject
from brainalign.plots import brains
from brainalign.report.page import add_figure, add_table, label

MANY = 40
"""Targets above which they are not told one by one."""


def add_sections(page, experiment, scores: pd.DataFrame, unique: pd.DataFrame, places, grid) -> None:
    """Add maps and distributions.

    Parameters
    ----------
    page, experiment
    scores, unique : DataFrame
        Tables of a run.
    places : DataFrame or None
        Table of a run: where the targets are.
    grid : dict or None
        Of a volume, `shape` and `affine`.
    """
    metric = experiment.encode.metric
    caption = f"{metric} on held-out folds over all targets; spaces of several layers by nested cross-validation."
    add_table(page, distribution_table(scores, metric=metric), "Scores over targets", caption)
    rows = headline(scores[scores["metric"] == metric])
    rows = rows[rows["subject"] == main_subject(rows)]
    limit = brains.colour_limit(rows["score"])
    for (space, weights), of_space in rows.groupby(["feature_space", "weights"], sort=False):
        add_map(page, of_space, label(space, weights), metric, places, grid, limit)
    for space, of_space in unique[unique["metric"] == metric].groupby("feature_space", sort=False):
        of_subject = of_space[of_space["subject"].isin(rows["subject"])].rename(columns={"unique": "score"})
        add_map(page, of_subject, f"unique contribution of {space}", metric, places, grid, None)


def grid_of(data: dict) -> dict | None:
    """Give `shape` and `affine` of the volume from the provenance of the data; None where there is none."""
    of_subjects = [described.get("grid") for described in data.get("subjects", {}).values()]
    return next((grid for grid in of_subjects if grid), None)


def distribution_table(scores: pd.DataFrame, *, metric: str) -> pd.DataFrame:
    """One row per subject and feature space: mean, median, 95th percentile and maximum over targets, share above 0."""
    rows = headline(scores[scores["metric"] == metric])
    groups = rows.groupby(["subject", "feature_space", "weights"], sort=False)["score"]
    return groups.agg(
        n_targets="count",
        mean="mean",
        median="median",
        percentile_95=lambda values: np.nanpercentile(values, 95) if values.notna().any() else np.nan,
        highest="max",
        share_above_0=lambda values: (values.dropna() > 0).mean(),
    ).reset_index()


def add_map(page, rows: pd.DataFrame, name: str, metric: str, places, grid, limit) -> None:
    """Add the map of `rows` (columns `target score`) on a volume or a surface, where the targets have such a place."""
    if places is None:
        return
    placed = rows[["target", "score"]].merge(places, on="target", validate="one_to_one")
    limit = brains.colour_limit(placed["score"]) if limit is None else limit
    if "i" in placed and grid is not None:
        figure = brains.glass_brain(placed, shape=grid["shape"], affine=grid["affine"], label=metric, limit=limit)
        level = brains.noise_level(placed["score"])
        caption = (
            f"{metric} above {level:.3f} (all but one in a thousand scores are above minus this), the strongest along "
            "the line of sight. Neurological convention."
        )
        add_figure(page, figure, name, caption, "Maps")
    if "vertex" in placed and placed["vertex"].max() < max(brains.MESHES):
        caption = f"{metric} on the inflated cortex."
        add_figure(page, brains.surface(placed, label=metric, limit=limit), name, caption, "Maps")
        turned = html.escape(brains.interactive_surface(placed, title=name, limit=limit))
        frame = f'<iframe srcdoc="{turned}" style="width: 100%; height: 520px; border: 0"></iframe>'
        page.add_html(frame, title=f"{name}, to be turned", section="Maps")
