"""Sections of decoding over the time of epochs: when a class is told, and how far what is told at one time lasts."""

import pandas as pd

from brainalign.pipeline.subjects import MEAN, main_subject
from brainalign.plots import decoding, generalisation
from brainalign.report.page import add_figure, add_table
from brainalign.report.tables import Tables

SCORES = {
    "accuracy": "accuracy, the share of held-out events whose class was told; chance: share of the most frequent class",
    "roc_auc": "area under the ROC curve, how often an event of one class is decided higher than one of the other; "
    "chance: 0.5, whatever the balance of the classes",
}
CITATION = "King & Dehaene (2014), Trends Cogn Sci 18:203-210, decoding over time and temporal generalisation"


def add_sections(page, experiment, tables: Tables) -> None:
    """Add, for the mean of the subjects or the only one, scores over time, their peaks, and the generalisation."""
    settings, table = experiment.decode, tables["scores_over_time"]
    of_first = table[table["subject"] == main_subject(table)]
    caption = f"Score: {SCORES[settings.score]}. Mean over runs left out"
    caption += " and subjects; band: standard error over subjects." if MEAN in set(table["subject"]) else "."
    figure = decoding.scores_over_time(of_first, ylabel=settings.score)
    add_figure(page, figure, "Scores over time", caption, "Decoding")
    caption = (
        "When a class is told best, and the first time with a corrected p of at most .05. Where epochs overlap and "
        "comes next depends on what came before, as in a text, the responses to neighbours tell the class too, also "
        "before the onset: a first time is then no latency. "
    )
    add_table(page, peaks(table), "Peaks over time", caption + p_text(experiment))
    if settings.generalise:
        pairs = tables["generalisation"]
        shown = pairs[pairs["subject"] == main_subject(pairs)]
        chance = of_first["chance"].iloc[0]
        figure = generalisation.matrices(shown, by="roi", label=settings.score, centre=chance)
        caption = (
            "A decoder of every time, tested at every time: what spreads from the diagonal lasts, a square comes back. "
            "It describes, it is no test."
        )
        add_figure(page, figure, "Temporal generalisation", caption, "Decoding")


def peaks(scores: pd.DataFrame) -> pd.DataFrame:
    """Give, per region of the group mean or the only subject, when it is told best.

    Returns
    -------
    table : DataFrame
        `roi n_channels peak_ms score null_95 p_corrected` at the peak, and `first_ms`, the earliest time with a
        corrected p of at most .05.
    """
    rows = scores[scores["subject"] == main_subject(scores)]
    highest = rows.loc[rows.groupby("roi", sort=False)["score"].idxmax()]
    first = rows[rows["p_corrected"] <= 0.05].groupby("roi")["time"].min()
    table = highest.assign(peak_ms=1000 * highest["time"], first_ms=1000 * highest["roi"].map(first))
    columns = ["roi", "n_channels", "peak_ms", "score", "null_95", "p_corrected", "first_ms"]
    return table[columns].reset_index(drop=True)


def classes_text(settings) -> str:
    """Say what the classes are."""
    return settings.column if settings.threshold is None else f"{settings.column} above {settings.threshold:g}, or not"


def what_text(experiment, tables: Tables, provenance: dict) -> str:
    """Say what was decoded from what."""
    settings, data = experiment.decode, provenance["data"]
    rows = tables["scores_over_time"].drop_duplicates("roi")
    regions = ", ".join(f"{row.roi} ({row.n_channels} channels)" for row in rows.itertuples())
    n_samples, n_classes = rows[["n_samples", "n_classes"]].iloc[0]
    window, made = settings.epochs, data["epochs"]
    baseline = "" if window.baseline is None else f", baseline {' to '.join(map(str, window.baseline))} s"
    return (
        f"Which of {n_classes} classes ({classes_text(settings)}) was presented was decoded from {n_samples} epochs, "
        f"from {window.tmin} to {window.tmax} s around events, at {made['sfreq'] / window.decimate:g} Hz{baseline}, at "
        f"every time by itself. Regions: {regions}. Score: {SCORES[settings.score]}; mean over the runs left out."
    )


def p_text(experiment) -> str:
    """Say where p-values come from."""
    n_permutations = experiment.decode.n_permutations
    if not n_permutations:
        return ""
    return (
        f"p-values: one-sided, from {n_permutations} permutations of the labels within runs (seed {experiment.seed}), "
        "the same at all times, everything fitted anew for each; corrected by the highest score over all times and "
        "regions of the subject under the same permutation. null_95 is the 95th percentile of the score of permuted "
        "labels."
    )


def summary(experiment, tables: Tables) -> str:
    """Give the result as a short text table."""
    table = tables["scores_over_time"]
    n_classes, chance = int(table["n_classes"].iloc[0]), table["chance"].iloc[0]
    text = (
        peaks(table).dropna(axis="columns", how="all").to_string(index=False, float_format="{:.3f}".format, na_rep="")
    )
    return (
        f"{experiment.decode.score} of {experiment.decode.decoder} telling {n_classes} classes "
        f"({classes_text(experiment.decode)}) on runs left out, when it is highest; chance {chance:.3f}:\n{text}"
    )
