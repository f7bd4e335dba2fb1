"""A results folder -> one self-contained HTML page."""

import html
import re
import tempfile
from pathlib import Path

import pandas as pd

from brainalign.config import render
from brainalign.encode.ceiling import Ceiling, normalise
from brainalign.errors import MissingData
from brainalign.files import write_file
from brainalign.plots import profiles, samples
from brainalign.results import read_config, read_provenance, read_table
from brainalign.scores import MEAN, edge_table, headline

PRECISIONS = {
    "float64": "Computation was in float64.",
    "float32": "Factorisations were computed in float64, products with responses in float32.",
    "mixed": "Factorisations were computed in float64 and fits in float32; penalties were compared in bfloat16, "
    "and once more in float32 where two of them were too near.",
}
CITATIONS = {
    "ridge": "Hoerl & Kennard (1970), Technometrics 12:55-67, ridge regression",
    "encoding": "Naselaris, Kay, Nishimoto & Gallant (2011), NeuroImage 56:400-410, encoding models",
    "split_half": "Spearman (1910) and Brown (1910), British Journal of Psychology 3, split-half reliability",
    "leave_one_subject_out": "Hasson et al. (2004), Science 303:1634-1640, inter-subject correlation",
    "text": "Radford et al. (2019), Language models are unsupervised multitask learners (GPT-2)",
    "report": "Gramfort et al. (2013), Frontiers in Neuroscience 7:267 (MNE-Python, this report)",
}


def write(folder: Path) -> Path:
    """Write `report.html` from the tables of a results folder.

    Parameters
    ----------
    folder : Path
        As `run_experiment` leaves it.

    Returns
    -------
    page : Path

    Raises
    ------
    MissingData
        The run is not finished.
    """
    import mne

    experiment = read_config(folder)
    scores, provenance = read_table(folder, "scores"), read_provenance(folder)
    if provenance["experiment"]["sha256"] != experiment.key:
        raise MissingData(f"{folder}: the tables are of another configuration than config.toml; run it again")
    with mne.utils.use_log_level("ERROR"):
        page = mne.Report(title=f"brainalign: {experiment.name}", image_format="png", verbose=False)
        _add_summary(page, experiment, scores)
        _add_profiles(page, scores, experiment.encode.metric)
        choices = read_table(folder, "layer_choices")
        for (space, weights), rows in choices.groupby(["feature_space", "weights"], sort=False):
            figure = profiles.layer_choices(rows)
            _add_figure(
                page,
                figure,
                f"Layers chosen: {_label(space, weights)}",
                "Layer chosen by nested cross-validation, over subjects and folds.",
                "Layer choice",
            )
        _add_table(
            page,
            edge_table(read_table(folder, "diagnostics")),
            "Penalties at the edge of the grid",
            "Share of targets whose penalty is the smallest or largest of the grid; where it is large, widen the grid.",
        )
        _add_figure(
            page,
            samples.events_per_sample(read_table(folder, "events_per_sample")),
            "Events per sample",
            "How many events begin in every sample: gaps and shifts of the clock show here.",
            "Clock",
        )
        _add_text(page, "Methods", methods(experiment, scores, provenance))
        _add_text(page, "Configuration", render(_without_places(experiment.table())), fixed=True)
        _add_text(page, "Provenance", (folder / "provenance.json").read_text(encoding="utf-8"), fixed=True)
        with tempfile.TemporaryDirectory() as scratch:
            saved = Path(scratch) / "report.html"
            page.save(saved, overwrite=True, open_browser=False)
            dated = saved.read_text(encoding="utf-8")
    write_file(folder / "report.html", re.sub(r"Created on [\d :-]+ via", "Created via", dated))
    return folder / "report.html"


def best_of(folder: Path) -> str:
    """Give the result as a short text table: nested scores of the group mean, controls, gain, ceiling."""
    experiment, scores = read_config(folder), read_table(folder, "scores")
    subject = main_subject(scores)
    table = summary_table(scores, subject=subject, metric=experiment.encode.metric, controls=experiment.encode.controls)
    who = "mean of the subjects" if subject == MEAN else f"subject {subject}"
    heading = (
        f"{experiment.encode.metric} on held-out folds, {who}; the layer of a model is chosen within training folds:"
    )
    return f"{heading}\n{table.to_string(index=False, float_format='{:.3f}'.format, na_rep='')}"


def main_subject(scores: pd.DataFrame) -> str:
    """Name the group mean where there is one, else the first subject."""
    return MEAN if MEAN in set(scores["subject"]) else scores["subject"].iloc[0]


def summary_table(scores: pd.DataFrame, *, subject: str, metric: str, controls: str) -> pd.DataFrame:
    """One row per target: the score of every feature space, gains over controls, ceiling, normalised score.

    Parameters
    ----------
    scores : DataFrame
        As in scores.tsv.
    subject, metric : str
    controls : str
        Feature space of the controls, or "".

    Returns
    -------
    table : DataFrame
        As `scores.headline` chooses them. `gain` is the score of the joint model less that of the controls; the
        normalised score is score / ceiling of the same unit, nan where the ceiling is below 0.1.
    """
    rows = headline(scores[(scores["subject"] == subject) & (scores["metric"] == metric)])
    spaces = {
        (space, weights): group.set_index("target")["score"]
        for (space, weights), group in rows.groupby(["feature_space", "weights"], sort=False)
    }
    table = pd.DataFrame({_label(*space): score for space, score in spaces.items() if "+" not in space[0]})
    for (space, weights), score in spaces.items():
        if space.startswith(f"{controls}+"):
            model = space.removeprefix(f"{controls}+")
            table[f"gain of {_label(model, weights)}"] = score - spaces[controls, ""]
    values = rows.groupby("target", sort=False)["noise_ceiling"].first()
    if values.notna().any():
        ceiling = Ceiling(values.to_numpy(), kind="stated in the scores", unit="r", raw=values.to_numpy())
        table["ceiling"] = values
        for (space, weights), score in spaces.items():
            if weights == "trained" and "+" not in space:
                table[f"{_label(space, weights)} / ceiling"] = normalise(score.to_numpy(), ceiling, metric=metric)
    return table.rename_axis(index="target").reset_index()


def profile_table(scores: pd.DataFrame, *, metric: str, subjects: str) -> pd.DataFrame:
    """Points of a layer profile: of the group mean, or the mean over single subjects with its standard error."""
    rows = scores[scores["metric"] == metric]
    if subjects == "one":
        return rows[rows["subject"] == main_subject(scores)]
    by = ["feature_space", "weights", "layer", "target"]
    groups = rows[rows["subject"] != MEAN].groupby(by, sort=False)
    return groups.agg(
        score=("score", "mean"), score_sem=("score", "sem"), noise_ceiling=("noise_ceiling", "mean")
    ).reset_index()


def methods(experiment, scores: pd.DataFrame, provenance: dict) -> str:
    """Write a methods section, with what to cite."""
    encode, align = experiment.encode, experiment.align
    n_subjects = scores.loc[scores["subject"] != MEAN, "subject"].nunique()
    clock = (
        f"Activations were brought to the recording's clock by taking the {align.bin} over the events that begin in a "
        f"sample and delayed by {', '.join(map(str, align.delays))} samples within runs"
        if align.to == "samples"
        else "Every sample is the response to one event and was paired with its activations"
    )
    split = {
        "blocks": lambda s: f"{s.n} contiguous blocks with a gap of {s.gap} samples",
        "groups": _groups_text,
    }
    text = [
        f"Data: {experiment.data.set}, {n_subjects} subject{'s' if n_subjects != 1 else ''} "
        f"({provenance['citation']}); {_settings_text(experiment.data.config)}.",
        f"Feature spaces: {'; '.join(_feature_text(n, s) for n, s in experiment.features.items())}.",
        f"{clock}.",
        "A ridge regression per target (penalty on the sum of squares, "
        f"{encode.alphas.n} values from {encode.alphas.low:g} to {encode.alphas.high:g}, one per target) was fitted "
        f"and scored by cross-validation: {split[encode.outer.kind](encode.outer)}; within each training set penalties "
        f"were chosen by {split[encode.inner.kind](encode.inner)}. Centring{' and scaling' if encode.scale else ''} of "
        f"the features was fitted on training samples only. {PRECISIONS[encode.precision]} Scores are means over folds "
        f"of Pearson's r and of R2 between prediction and response; shown here: {encode.metric}.",
        "Where a model has several layers, the layer of the nested score was chosen for every target and fold by the "
        "inner splits of the training set; the best layer of a profile is not a score.",
        "The group mean is the mean over subjects of their responses, each standardised per target.",
        _ceiling_text(scores["ceiling_kind"]),
        f"Computed with brainalign {provenance['brainalign']}, "
        + ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
        + ".",
        "To cite: "
        + "; ".join([provenance["citation"], *(text for key, text in CITATIONS.items() if _cited(key, experiment))]),
    ]
    return "\n\n".join(filter(None, text))


def _cited(key, experiment) -> bool:
    if key in {"split_half", "leave_one_subject_out"}:
        return key in experiment.report.ceilings
    return key != "text" or any(space.extractor == "text" for space in experiment.features.values())


def _without_places(value):
    """Give settings with every absolute path reduced to its last part: a report is shown to others."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _feature_text(name, space) -> str:
    return f"{name} ({space.extractor}: {_settings_text(space.config)})"


def _groups_text(splits) -> str:
    if splits.n is None:
        return f"leaving out one {splits.by} at a time"
    order = "in order of appearance" if splits.seed is None else f"drawn at random (seed {splits.seed})"
    return f"{splits.n} folds of whole {'runs' if splits.by == 'run' else 'stimuli'}, {order}"


def _settings_text(config) -> str:
    settings = _without_places(config.model_dump())
    given = {key: value for key, value in settings.items() if value not in (None, "", ())}
    plain = {key: ", ".join(map(str, value)) if isinstance(value, tuple) else value for key, value in given.items()}
    return ", ".join(f"{key} = {value}" for key, value in plain.items())


def _ceiling_text(kinds: pd.Series) -> str:
    """Explain the ceilings that the scores have; a published one by its own name."""
    meaning = {
        "split_half": "for the group mean, the square root of its split-half reliability (Spearman-Brown), in r",
        "leave_one_subject_out": "for a single subject, its correlation with the mean of the others, in r",
    }
    present = [kind for kind in dict.fromkeys(kinds) if kind]
    listed = "; ".join(meaning.get(kind, f"as published with the data ({kind}), in r") for kind in present)
    return f"Noise ceilings: {listed}. Scores are divided by ceilings of at least 0.1 only." if present else ""


def _label(space, weights) -> str:
    return f"{space} {weights}".strip()


def _add_summary(page, experiment, scores) -> None:
    subject, metric = main_subject(scores), experiment.encode.metric
    table = summary_table(scores, subject=subject, metric=metric, controls=experiment.encode.controls)
    who = "mean of the subjects" if subject == MEAN else f"subject {subject}"
    _add_table(
        page,
        table,
        f"Scores: {who}",
        f"{metric} on held-out folds; spaces of several layers by the layer that nested cross-validation chose.",
    )
    if subject == MEAN:
        singles = scores[scores["subject"] != MEAN]
        mean = singles.groupby(
            ["feature_space", "weights", "layer", "target", "metric"], sort=False, as_index=False
        ).agg(score=("score", "mean"), noise_ceiling=("noise_ceiling", "mean"))
        table = summary_table(
            mean.assign(subject="average"), subject="average", metric=metric, controls=experiment.encode.controls
        )
        _add_table(page, table, "Scores: average over single subjects", "Every subject fitted alone, scores averaged.")


def _add_profiles(page, scores, metric) -> None:
    who = "group mean" if main_subject(scores) == MEAN else "one subject"
    figure = profiles.layer_profile(profile_table(scores, metric=metric, subjects="one"), ylabel=f"{metric}, {who}")
    caption = (
        "Score of every layer; dashed: controls; stars: layer chosen by nested cross-validation; shaded: above the "
    )
    _add_figure(page, figure, f"Layer profile: {who}", caption + "noise ceiling of the group mean.", "Profile")
    if who == "group mean":
        table = profile_table(scores, metric=metric, subjects="all")
        figure = profiles.layer_profile(table, ylabel=f"{metric}, average over subjects")
        caption += "average correlation of a subject with the mean of the others; bands: standard error over subjects."
        _add_figure(page, figure, "Layer profile: single subjects", caption, "Profile")


def _add_figure(page, figure, title, caption, section) -> None:
    with tempfile.TemporaryDirectory() as folder:  # MNE shears figures whose size is not a whole number of pixels
        path = Path(folder) / "figure.png"
        figure.savefig(path, dpi=110, metadata={"Software": None})
        page.add_image(path, title=title, caption=caption, section=section)


def _add_table(page, table, title, caption) -> None:
    body = table.to_html(
        index=False,
        float_format="{:.3f}".format,
        na_rep="",
        border=0,
        escape=True,
        justify="left",
        classes="table table-sm table-striped",
    )
    page.add_html(
        f'<p>{html.escape(caption)}</p><div style="overflow-x: auto">{body}</div>', title=title, section="Tables"
    )


def _add_text(page, title, text, *, fixed=False) -> None:
    escaped = html.escape(text)
    body = f"<pre>{escaped}</pre>" if fixed else "".join(f"<p>{part}</p>" for part in escaped.split("\n\n"))
    page.add_html(body, title=title, section="What was run")
