"""The page of a comparison: RDMs, similarities with the noise ceiling, methods."""

import pandas as pd

from brainalign.pipeline.subjects import MEAN, single_subjects
from brainalign.plots import rdms
from brainalign.report.page import add_figure, add_table, citations_text, features_text, settings_text, versions_text
from brainalign.report.tables import Tables

CITATIONS = (
    "Kriegeskorte, Mur & Bandettini (2008), Front Syst Neurosci 2:4, representational similarity analysis",
    "Nili et al. (2014), PLoS Comput Biol 10:e1003553, noise ceiling",
)
MEASURES = {
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "kendall_tau_a": "Kendall's tau-a",
    "cosine": "the cosine",
}


def add_sections(page, experiment, tables: Tables, provenance: dict) -> None:  # noqa: ARG001
    """Add the RDMs and, per target, the similarities of a finished run."""
    similarities, comparison = tables["similarities"], experiment.compare.comparison
    caption = "Dissimilarities of all pairs of stimuli, in ranks: brains first, then models."
    add_figure(page, rdms.matrices(tables["rdms"]), "RDMs", caption, "RDMs")
    for target in dict.fromkeys(similarities["target"]):
        of_target = similarities[(similarities["target"] == target) & (similarities["comparison"] == comparison)]
        what = (
            "Bars: average over subjects; dots: subjects; shaded: between the bounds of the noise ceiling."
            if has_subjects(of_target)
            else "There is one RDM of this area."
        )
        caption = f"{what} Blue: features; grey: published models; green: brain areas."
        figure = rdms.similarities(single_subjects(of_target), ylabel=f"{MEASURES[comparison]} with {target}")
        add_figure(page, figure, f"Similarity with {target}", caption, "Similarities")
    for target in dict.fromkeys(similarities["target"]):
        of_target = similarities[similarities["target"] == target]
        caption = f"{_who(of_target).capitalize()}. {_p_text(experiment)}"
        add_table(page, summary_table(of_target, comparison=comparison), f"Similarity with {target}", caption)
        wide = of_target[of_target["subject"] == MEAN].pivot(
            index=["family", "feature_space", "weights", "layer"], columns="comparison", values="similarity"
        )
        wide = wide.loc[list(dict.fromkeys(of_target[list(wide.index.names)].itertuples(index=False, name=None)))]
        caption = "The mean RDM of the subjects, by every comparison."
        add_table(page, wide.rename_axis(columns=None).reset_index(), f"Mean RDM of {target}", caption)


def has_subjects(similarities: pd.DataFrame) -> bool:
    """Tell whether a target has an RDM per subject, rather than one."""
    return bool((similarities["subject"] != MEAN).any())


def _who(similarities: pd.DataFrame) -> str:
    return "average over subjects" if has_subjects(similarities) else "its only RDM"


def summary_table(similarities: pd.DataFrame, *, comparison: str) -> pd.DataFrame:
    """One row per candidate: average similarity with the subjects of a target, p-values, bounds of the ceiling."""
    rows = similarities[similarities["comparison"] == comparison]
    by = ["family", "feature_space", "weights", "layer"]
    average = single_subjects(rows).groupby(by, sort=False)["similarity"].mean()
    p = rows[rows["subject"] == MEAN].set_index(by)[["p", "p_corrected", "ceiling_lower", "ceiling_upper"]]
    return average.to_frame().join(p).dropna(axis="columns", how="all").reset_index()


def methods(experiment, tables: Tables, provenance: dict) -> str:
    """Write a methods section, with what to cite."""
    compare, similarities = experiment.compare, tables["similarities"]
    n_subjects = similarities.loc[similarities["subject"] != MEAN].groupby("target", sort=False)["subject"].nunique()
    people = ", ".join(f"{n} subjects of {target}" for target, n in n_subjects.items())
    text = [
        f"Data: {experiment.data.set} ({provenance['citation']}); {settings_text(experiment.data.config)}"
        f"{f'; {people}' if people else ''}.",
        features_text(experiment),
        f"Dissimilarities between the features of two stimuli: {compare.distance} distance. RDMs were compared by "
        f"{MEASURES[compare.comparison]}, with the RDM of every subject (mean of sessions) and with their mean.",
        "Noise ceiling (Nili et al. 2014): average similarity of the subjects' RDMs with the mean RDM of the others "
        "(lower bound) and of all (upper bound)."
        if people
        else "",
        _p_text(experiment),
        versions_text(provenance),
        citations_text(experiment, provenance, list(CITATIONS)),
    ]
    return "\n\n".join(filter(None, text))


def _p_text(experiment) -> str:
    if not experiment.compare.n_permutations:
        return ""
    return (
        f"p-values: of the mean RDM, one-sided, from {experiment.compare.n_permutations} random orders of the stimuli "
        f"(seed {experiment.seed}), the same for all candidates; corrected by the highest similarity of all candidates "
        "in the same order."
    )


def summary(experiment, tables: Tables) -> str:
    """Give the result as a short text table per target."""
    similarities, comparison = tables["similarities"], experiment.compare.comparison
    parts = []
    for target, of_target in similarities.groupby("target", sort=False):
        table = summary_table(of_target, comparison=comparison)
        ceiling = table.filter(like="ceiling_").iloc[0]
        bounds = f"; noise ceiling {' to '.join(map('{:.3f}'.format, ceiling))}" if len(ceiling) else ""
        shown = table.drop(columns=ceiling.index)
        text = shown.to_string(index=False, float_format="{:.3f}".format, na_rep="")
        parts.append(f"{MEASURES[comparison]} with {target}, {_who(of_target)}{bounds}:\n{text}")
    means = similarities[(similarities["subject"] == MEAN) & (similarities["comparison"] == "pearson")]
    between = means[means["family"] == "brain"].drop_duplicates("similarity")
    parts += [
        f"Pearson's r of the mean RDMs of {row.feature_space} and {row.target}: {row.similarity:.4f}"
        for row in between.itertuples()
    ]
    return "\n\n".join(parts)
