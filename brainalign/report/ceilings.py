"""Sections of an encoding experiment on what limits its scores: noise ceilings, and what people share."""

import numpy as np
import pandas as pd

from brainalign.encode.inter_subject import KIND as INTER_SUBJECT_RIDGE
from brainalign.pipeline.against_ceilings import FLOOR, against_ceilings, warning_text
from brainalign.pipeline.ceilings import METRIC
from brainalign.pipeline.scores import headline
from brainalign.pipeline.subjects import MEAN
from brainalign.plots import inter_subject
from brainalign.report import maps
from brainalign.report.page import add_figure, add_table
from brainalign.report.tables import Tables

MEANINGS = {
    "split_half": "for the group mean, the square root of its split-half reliability (Spearman-Brown), in r",
    "leave_one_subject_out": "for a single subject, its correlation with the mean of the others, in r",
    "split-half of repetitions (single trial, r)": "of scores on single presentations, the square root of the "
    "reliability of one presentation, from random halves of the presentations of each stimulus (Spearman-Brown), in r",
    INTER_SUBJECT_RIDGE: "for a single subject, the held-out score of a ridge regression from the mean of the others' "
    "responses (at all targets; of epochs at the same time), with the folds and penalties of the models, in r",
}


def add_sections(page, tables: Tables, scores: pd.DataFrame, places, grid) -> None:
    """Add scores against their ceilings, and the inter-subject correlation of every region.

    Parameters
    ----------
    page
    tables : Tables
        Of the results.
    scores : DataFrame
        As in scores.tsv.
    places, grid
        As of `maps.add_sections`.
    """
    _add_against_ceilings(page, scores, places)
    if "inter_subject_regions" in tables:
        _add_inter_subject(page, tables, places, grid)


def ceilings_text(kinds: pd.Series) -> str:
    """Explain the ceilings that the scores have; a published one by its own name."""
    present = [kind for kind in dict.fromkeys(kinds) if kind]
    listed = "; ".join(MEANINGS.get(kind, f"as published with the data ({kind}), in r") for kind in present)
    if not listed:
        return ""
    return f"Noise ceilings: {listed}. Scores are divided by ceilings of at least {FLOOR} only, and never clipped."


def _add_against_ceilings(page, scores: pd.DataFrame, places) -> None:
    rows = headline(scores[scores["metric"] == METRIC])
    rows = rows.assign(scores_of=np.where(rows["subject"] == MEAN, "group mean", "single subjects"))
    if places is not None and "channel_type" in places:
        rows = rows.merge(places[["target", "channel_type"]], on="target", how="left", validate="many_to_one")
    by = [name for name in ("scores_of", "channel_type") if name in rows]
    table = against_ceilings(rows, by)
    if not len(table):
        return
    caption = (
        f"{METRIC} of every subject, target and time against its own noise ceiling, none clipped. n_above: scores "
        "above their ceiling, many by chance where there is no signal. mean_ceiling: 0 where responses have no "
        f"reliability. n_usable: ceilings of at least {FLOOR}, by which alone scores are divided; normalised: score / "
        "ceiling."
    )
    for found in table[table["mean_score"] > table["mean_ceiling"]].itertuples():
        caption += f" Warning: {' '.join(getattr(found, name) for name in by)}: {warning_text(found)}."
    add_table(page, table, "Scores against noise ceilings", caption)


def inter_subject_table(of_regions: pd.DataFrame, halves: pd.DataFrame | None = None) -> pd.DataFrame:
    """Give one row per region: mean and standard deviation over people of their inter-subject correlation.

    Parameters
    ----------
    of_regions : DataFrame
        Table "inter_subject_regions" of a run. Of epochs, the time is told at which the mean is highest.
    halves : DataFrame, optional
        Columns `region raw`: correlations of the means of random halves of the people, per target.

    Returns
    -------
    table : DataFrame
        `region` (`peak_ms`) `n_targets n_subjects isc isc_sd`, the latter nan for two people, who have one correlation;
        `split_half`, mean over targets, where it is known.
    """
    by = ["region", "lag"] if "lag" in of_regions else ["region"]
    groups = of_regions.groupby(by, sort=False)
    table = groups.agg(
        n_targets=("n_targets", "first"), n_subjects=("subject", "nunique"), isc=("isc", "mean"), isc_sd=("isc", "std")
    ).reset_index()
    table["isc_sd"] = table["isc_sd"].where(table["n_subjects"] > 2)
    if "lag" in table:
        highest = table.dropna(subset=["isc"]).groupby("region", sort=False)["isc"].idxmax()
        table = table.loc[highest].reset_index(drop=True)
        table.insert(1, "peak_ms", 1000 * table.pop("lag"))
    elif halves is not None:
        table["split_half"] = table["region"].map(halves.groupby("region")["raw"].mean())
    return table


def _add_inter_subject(page, tables: Tables, places, grid) -> None:
    of_regions, of_targets = (
        tables[f"inter_subject_{name}"].astype({"region": str}) for name in ("regions", "correlations")
    )
    ceilings = tables["noise_ceilings"]
    halves = ceilings[ceilings["ceiling_kind"] == "split_half"].merge(of_targets, on="target")
    table = inter_subject_table(of_regions, halves if len(halves) and "lag" not in of_targets else None)
    caption = (
        "Correlation of each person's responses with the mean of the others', each standardised; mean over the targets "
        "of a region, then mean and standard deviation over people."
    )
    if "split_half" in table:
        caption += " split_half: correlation of the means of random halves of the people, not corrected."
    add_table(page, table, "Inter-subject correlation", caption)
    if "lag" in of_regions:
        figure, bars = inter_subject.over_lags(of_regions), "bands: standard error over people"
    else:
        figure, bars = inter_subject.by_region(of_regions), "dashes: people; bars: their mean; lines: SD over people"
    add_figure(page, figure, "Inter-subject correlation", f"What people share, by region; {bars}.", "Noise ceilings")
    if "lag" not in of_targets and of_targets["target"].nunique() > maps.MANY:
        rows = of_targets.rename(columns={"isc": "score"})
        maps.add_map(page, rows, "Inter-subject correlation", "ISC (r)", places, grid, None)
