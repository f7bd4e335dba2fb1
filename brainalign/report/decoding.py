"""The page of a decoding experiment: accuracies against chance and permuted labels, confusions, methods."""

import pandas as pd

from brainalign.pipeline.subjects import MEAN
from brainalign.plots import decoding
from brainalign.report import decoding_over_time
from brainalign.report.page import add_figure, add_table, citations_text, settings_text, versions_text
from brainalign.report.tables import Tables

CLASSIFIERS = {
    "logistic": "multinomial logistic regression (C = 1 / {penalty:g})",
    "svm": "a linear support vector machine (one class against another, C = 1 / {penalty:g})",
    "ridge": "a ridge classifier (alpha = {penalty:g})",
}
CITATIONS = (
    "Pereira, Mitchell & Botvinick (2009), NeuroImage 45:S199-S209, decoding",
    "Etzel (2017), Pattern Recognition in Neuroimaging, permutation within runs",
    "Pedregosa et al. (2011), J Mach Learn Res 12:2825-2830, scikit-learn",
)


def add_sections(page, experiment, tables: Tables, provenance: dict) -> None:  # noqa: ARG001
    """Add, for the mean of the subjects or the only one, accuracies and confusions, and all accuracies as a table."""
    if experiment.decode.epochs is not None:
        decoding_over_time.add_sections(page, experiment, tables)
        return
    accuracies = tables["accuracies"]
    found = (accuracies, *(tables[name] for name in ("fold_accuracies", "null_accuracies", "confusions")))
    table, folds, nulls, confusions = (_of_first(table, accuracies) for table in found)
    caption = "Dots: runs left out; dashed: chance, the share of the most frequent class."
    if len(nulls):
        caption += " Grey: the middle 95 % of the accuracies of labels permuted within runs."
    add_figure(page, decoding.accuracies(table, folds, nulls), "Accuracy", caption, "Decoding")
    caption = "Rows: what was shown; columns: what was told; numbers: held-out samples."
    add_figure(page, decoding.confusions(confusions), "Confusions", caption, "Decoding")
    shown = accuracies.dropna(axis="columns", how="all")
    add_table(page, shown, "Accuracies", f"On runs left out. {_p_text(experiment)}")


def _of_first(table: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of the group mean, or of the first subject where there is none."""
    subjects = set(accuracies["subject"])
    return table[table["subject"] == (MEAN if MEAN in subjects else accuracies["subject"].iloc[0])]


def methods(experiment, tables: Tables, provenance: dict) -> str:
    """Write a methods section, with what to cite."""
    settings, over_time = experiment.decode, experiment.decode.epochs is not None
    table = tables["scores_over_time" if over_time else "accuracies"]
    n_subjects = table.loc[table["subject"] != MEAN, "subject"].nunique() or 1
    chosen = (
        f"the {settings.n_features} features of the highest F between classes and "
        if settings.n_features is not None
        else ""
    )
    text = [
        f"Data: {experiment.data.set}, {n_subjects} subject{'s' if n_subjects != 1 else ''} "
        f"({provenance['citation']}); {settings_text(experiment.data.config)}.",
        decoding_over_time.what_text(experiment, tables, provenance) if over_time else _what_text(settings, table),
        _left_out_text(provenance["data"]["left_out"]),
        f"Decoder: {CLASSIFIERS[settings.decoder].format(penalty=settings.penalty)}, tested on each run in turn. "
        f"Scaling to deviation 1, {chosen}the classifier were fitted on the other runs only.",
        decoding_over_time.p_text(experiment) if over_time else _p_text(experiment),
        versions_text(provenance),
        citations_text(experiment, provenance, [*CITATIONS, *([decoding_over_time.CITATION] if over_time else [])]),
    ]
    return "\n\n".join(filter(None, text))


def _what_text(settings, accuracies: pd.DataFrame) -> str:
    sizes = accuracies.drop_duplicates("roi")
    regions = ", ".join(f"{row.roi} ({row.n_targets} targets)" for row in sizes.itertuples())
    n_samples, n_classes = accuracies[["n_samples", "n_classes"]].iloc[0]
    return (
        f"Which of {n_classes} classes ({decoding_over_time.classes_text(settings)}) was presented was decoded from "
        f"{n_samples} samples: the mean of the responses that were recorded while an event lasted, "
        f"{settings.shift:g} s later. Regions: {regions}. Accuracy: share of all held-out samples whose class was "
        "told; chance: share of the most frequent class."
    )


def _left_out_text(left_out: dict) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
    return f"Events left out: {reasons}." if left_out else ""


def _p_text(experiment) -> str:
    n_permutations = experiment.decode.n_permutations
    if not n_permutations:
        return ""
    return (
        f"p-values: one-sided, from {n_permutations} permutations of the labels within runs (seed {experiment.seed}), "
        "everything fitted anew for each; corrected by the highest accuracy of all regions of the subject under the "
        "same permutation. null_mean is the accuracy that permuted labels have on average, null_95 its 95th percentile."
    )


def summary(experiment, tables: Tables) -> str:
    """Give the result as a short text table."""
    if experiment.decode.epochs is not None:
        return decoding_over_time.summary(experiment, tables)
    accuracies = tables["accuracies"]
    n_classes, chance = int(accuracies["n_classes"].iloc[0]), accuracies["chance"].iloc[0]
    shown = accuracies.drop(columns=["n_classes", "chance"]).dropna(axis="columns", how="all")
    text = shown.to_string(index=False, float_format="{:.3f}".format, na_rep="")
    return (
        f"accuracy of {experiment.decode.decoder} telling {n_classes} classes "
        f"({decoding_over_time.classes_text(experiment.decode)}) on runs "
        f"left out; chance {chance:.3f}:\n{text}"
    )
