"""Where scores stand against their noise ceilings: how many exceed it, and of which feature spaces.

A ceiling that is below the score of a model says nothing of what remains to be explained: the mean of few other people,
or of single trials, predicts badly (Caucheteux & King 2022, Commun Biol 5:134: MEG scores .041, "ceiling" .020).
Scores are compared with their ceilings, never clipped.
"""

import logging

import pandas as pd

from brainalign.pipeline.scores import headline

log = logging.getLogger(__name__)

FLOOR = 0.1
"""In r: scores are not divided by ceilings below it."""


def counted(rows: pd.DataFrame) -> pd.Series:
    """Give the noise ceilings for an average over targets: 0 where responses have no reliability above 0.

    An average of those alone that have one would be too high.
    """
    unreliable = has_kind(rows) & rows["noise_ceiling"].isna() & rows["score"].notna()
    return rows["noise_ceiling"].mask(unreliable, 0.0)


def has_kind(rows: pd.DataFrame) -> pd.Series:
    """Tell which rows of a table of scores are of a kind of ceiling, whether or not there is a number."""
    return rows["ceiling_kind"].fillna("").ne("")


def against_ceilings(rows: pd.DataFrame, by: tuple[str, ...] = ()) -> pd.DataFrame:
    """Count the scores that exceed their noise ceiling.

    Parameters
    ----------
    rows : DataFrame
        Of a table of scores: those that may be reported, see `scores.headline`.
    by : tuple of str
        More columns to tell apart, besides feature space, weights and kind of ceiling.

    Returns
    -------
    table : DataFrame
        `n_scores` (one per subject, target and lag, constant targets left out), `mean_score, mean_ceiling` (without
        reliability: 0), `n_above` (scores above their ceiling), `n_usable` (ceilings of at least `FLOOR`),
        `n_above_usable` (scores above those) and `median_normalised` over them, nan without any.
    """
    rows = rows[has_kind(rows) & rows["score"].notna()]
    usable = rows["noise_ceiling"] >= FLOOR
    rows = rows.assign(
        mean_ceiling=counted(rows),
        is_above=rows["score"] > rows["noise_ceiling"],
        is_usable=usable,
        above_usable=usable & (rows["score"] > rows["noise_ceiling"]),
        normalised=(rows["score"] / rows["noise_ceiling"].where(usable)),
    )
    groups = rows.groupby(["feature_space", "weights", "ceiling_kind", *by], sort=False)
    return groups.agg(
        n_scores=("score", "size"),
        mean_score=("score", "mean"),
        mean_ceiling=("mean_ceiling", "mean"),
        n_above=("is_above", "sum"),
        n_usable=("is_usable", "sum"),
        n_above_usable=("above_usable", "sum"),
        median_normalised=("normalised", "median"),
    ).reset_index()


def warn_of_ceilings(scores: pd.DataFrame) -> None:
    """Log which feature spaces have scores above their noise ceiling; `scores` as in scores.tsv."""
    for found in against_ceilings(headline(scores)).itertuples():
        if found.n_above:
            log.warning("%s", warning_text(found))


def warning_text(found) -> str:
    """Tell how many scores of a row of `against_ceilings` are above their ceiling, and what that means."""
    space = f"{found.feature_space} {found.weights}".strip()
    count = f"{found.n_above} of {found.n_scores} scores (subject x target) exceed their noise ceiling"
    usable = f"{found.n_above_usable} of {found.n_usable} where it is at least {FLOOR}"
    text = f"{space}: {count} ({found.ceiling_kind}), {usable}"
    if found.mean_score > found.mean_ceiling:
        means = f"mean score {found.mean_score:.3f}, mean ceiling {found.mean_ceiling:.3f}"
        return f"{text}; {means}: this ceiling is too low, do not normalise by it"
    return text
