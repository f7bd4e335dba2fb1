"""The page of a decoding experiment: accuracies against chance and permuted labels, confusions, methods."""

from pathlib import Path

import pandas as pd

from brainalign.pipeline.subjects import MEAN
from brainalign.plots import decoding
from brainalign.report.page import add_figure, add_table, citations_text, settings_text, versions_text
from brainalign.results import read_table

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


def add_sections(page, experiment, folder: Path, provenance: dict) -> None:  # noqa: ARG001
    """Add, for the mean of the subjects or the only one, accuracies and confusions, and all accuracies as a table."""
    accuracies = read_table(folder, "accuracies")
    tables = (accuracies, *(read_table(folder, name) for name in ("fold_accuracies", "null_accuracies", "confusions")))
    table, folds, nulls, confusions = (_of_first(table, accuracies) for table in tables)
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


def methods(experiment, folder: Path, provenance: dict) -> str:
    """Write a methods section, with what to cite."""
    settings, accuracies = experiment.decode, read_table(folder, "accuracies")
    n_subjects = accuracies.loc[accuracies["subject"] != MEAN, "subject"].nunique() or 1
    sizes = accuracies.drop_duplicates("roi")
    regions = ", ".join(f"{row.roi} ({row.n_targets} targets)" for row in sizes.itertuples())
    n_samples, n_classes = accuracies[["n_samples", "n_classes"]].iloc[0]
    chosen = (
        f"the {settings.n_features} features of the highest F between classes and "
        if settings.n_features is not None
        else ""
    )
    text = [
        f"Data: {experiment.data.set}, {n_subjects} subject{'s' if n_subjects != 1 else ''} "
        f"({provenance['citation']}); {settings_text(experiment.data.config)}.",
        f"Which of {n_classes} classes ({settings.column}) was presented was decoded from {n_samples} samples: the "
        f"mean of the responses that were recorded while an event lasted, {settings.shift:g} s later. Regions: "
        f"{regions}.",
        f"Decoder: {CLASSIFIERS[settings.decoder].format(penalty=settings.penalty)}, tested on each run in turn. "
        f"Scaling to deviation 1, {chosen}the classifier were fitted on the other runs only. Accuracy: share of all "
        "held-out samples whose class was told; chance: share of the most frequent class.",
        _p_text(experiment),
        versions_text(provenance),
        citations_text(experiment, provenance, list(CITATIONS)),
    ]
    return "\n\n".join(filter(None, text))


def _p_text(experiment) -> str:
    n_permutations = experiment.decode.n_permutations
    if not n_permutations:
        return ""
    return (
        f"p-values: one-sided, from {n_permutations} permutations of the labels within runs (seed {experiment.seed}), "
        "everything fitted anew for each; corrected by the highest accuracy of all regions of the subject under the "
        "same permutation. null_mean is the accuracy that permuted labels have on average, null_95 its 95th percentile."
    )


def summary(experiment, folder: Path) -> str:
    """Give the result as a short text table."""
    accuracies = read_table(folder, "accuracies")
    n_classes, chance = int(accuracies["n_classes"].iloc[0]), accuracies["chance"].iloc[0]
    shown = accuracies.drop(columns=["n_classes", "chance"]).dropna(axis="columns", how="all")
    text = shown.to_string(index=False, float_format="{:.3f}".format, na_rep="")
    return (
        f"accuracy of {experiment.decode.decoder} telling {n_classes} classes ({experiment.decode.column}) on runs "
        f"left out; chance {chance:.3f}:\n{text}"
    )
