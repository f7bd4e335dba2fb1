"""The page of an encoding experiment: scores, layers, unique contributions, methods."""

import pandas as pd

from brainalign.encode.ceiling import Ceiling, normalise
from brainalign.pipeline.against_ceilings import FLOOR, counted
from brainalign.pipeline.scores import edge_table, headline
from brainalign.pipeline.subjects import MEAN, main_subject, single_subjects
from brainalign.plots import contributions, profiles, samples
from brainalign.report import ceilings, functions, generalisation, maps, over_time, sensors
from brainalign.report.page import (
    add_figure,
    add_table,
    citations_text,
    features_text,
    label,
    number_text,
    settings_text,
    versions_text,
)
from brainalign.report.tables import Tables

TOGETHER = "all together"

PRECISIONS = {
    "float64": "Computation was in float64.",
    "float32": "Factorisations were computed in float64, products with responses in float32.",
    "mixed": "Factorisations were computed in float64 and fits in float32; penalties were compared in bfloat16, "
    "and once more in float32 where two of them were too near.",
}
ESTIMATORS = {
    "ridge": "A ridge regression per target (penalty on the sum of squares, {grid}, one per target)",
    "banded": "A banded ridge regression per target (penalty on the sum of squares, {grid}; how it is divided among "
    "feature spaces was chosen per target by random search)",
}
CITATIONS = {
    "banded": "Nunez-Elizalde, Huth & Gallant (2019), NeuroImage 197:482, banded ridge regression",
    "ridge": "Hoerl & Kennard (1970), Technometrics 12:55-67, ridge regression",
    "encoding": "Naselaris, Kay, Nishimoto & Gallant (2011), NeuroImage 56:400-410, encoding models",
    "split_half": "Spearman (1910) and Brown (1910), British Journal of Psychology 3, split-half reliability",
    "leave_one_subject_out": "Hasson et al. (2004), Science 303:1634-1640, inter-subject correlation",
    "inter_subject_ridge": "Caucheteux & King (2022), Commun Biol 5:134, ridge from the responses of others",
    "repetitions": "Spearman (1910) and Brown (1910), British Journal of Psychology 3, split-half reliability",
    "generalisation": generalisation.CITATION,
    "unique": "Lescroart, Stansbury & Gallant (2015), Front Comput Neurosci 9:135, unique contributions",
}


def add_sections(page, experiment, tables: Tables, provenance: dict) -> None:
    """Add the scores, layers, unique contributions, penalties and clock of a finished run."""
    scores, unique = shown_scores(tables, experiment), tables["unique_contributions"]
    if experiment.align.to == "epochs":
        over_time.add_sections(page, experiment, scores, unique, _places(tables))
    elif scores["target"].nunique() > maps.MANY:
        maps.add_sections(page, experiment, scores, unique, _places(tables), maps.grid_of(provenance["data"]))
    else:
        _add_per_target(page, experiment, tables, scores, unique)
    ceilings.add_sections(page, tables, scores, _places(tables), maps.grid_of(provenance["data"]))
    if experiment.align.to != "epochs":
        sensors.add_sections(page, experiment, scores, _places(tables))
    if experiment.align.lags is not None:
        functions.add_sections(page, tables["response_functions"], _places(tables))
        functions.add_edges(page, tables["function_edges"])
    if experiment.report.generalisation is not None:
        generalisation.add_sections(page, tables["generalisation"])
    if experiment.align.to == "samples":
        _add_clock(page, experiment, tables)
    add_table(
        page,
        edge_table(tables["diagnostics"]),
        "Penalties at the edge of the grid",
        "Share of targets whose penalty is the smallest or largest of the grid; where it is large, widen the grid.",
    )


def _add_clock(page, experiment, tables: Tables) -> None:
    """Add how events fall on samples, and the scores of shifted features where these were asked for."""
    add_figure(
        page,
        samples.events_per_sample(tables["events_per_sample"]),
        "Events per sample",
        "How many events begin in every sample: gaps and shifts of the clock show here.",
        "Clock",
    )
    clock = experiment.report.clock
    if clock is None:
        return
    caption = (
        f"Score of {clock.features} without delays, moved against the responses: it peaks at the delay of the answer. "
        "Positive: the past stimulus explains the present. Thin: targets; thick: their mean, its peak marked."
    )
    figure = samples.lag_scan(tables["clock"], ylabel=experiment.encode.metric)
    add_figure(page, figure, "Lag scan", caption, "Clock")
    caption = (
        f"Score of {clock.features} as in the experiment, and of the same features moved round their run to another "
        f"part of the stimulus ({clock.n_controls} shifts): what is left then is not about the stimulus."
    )
    control = tables["clock_control"]
    if len(control) > maps.MANY:
        caption += f" Mean over {len(control)} targets, and the share with p of at most .05."
        means = control.drop(columns=["target", "p"]).mean().to_frame().T
        control = means.assign(share_p_below_05=(control["p"].dropna() <= 0.05).mean())
    add_table(page, control, "Onset-shift control", caption)


def _add_per_target(page, experiment, tables: Tables, scores: pd.DataFrame, unique: pd.DataFrame) -> None:
    _add_summary(page, experiment, scores)
    _add_profiles(page, experiment, scores)
    _add_unique(page, experiment, unique)
    for (space, weights), rows in tables["layer_choices"].groupby(["feature_space", "weights"], sort=False):
        add_figure(
            page,
            profiles.layer_choices(rows),
            f"Layers chosen: {label(space, weights)}",
            "Layer chosen by nested cross-validation, over subjects and folds.",
            "Layer choice",
        )


def _places(tables: Tables) -> pd.DataFrame | None:
    return tables.get("places")


def summary(experiment, tables: Tables) -> str:
    """Give the result as a short text table: scores per target, or over many targets, or peaks over time."""
    scores, metric = shown_scores(tables, experiment), experiment.encode.metric
    if experiment.align.to == "epochs":
        of_metric = over_time.with_sensors(headline(scores[scores["metric"] == metric]), _places(tables))
        return f"{metric} on held-out folds, highest mean over sensors:\n{_as_text(over_time.peaks(of_metric))}"
    if scores["target"].nunique() > maps.MANY:
        table = maps.distribution_table(scores, metric=metric)
        text = f"{metric} on held-out folds, over targets:\n{_as_text(table)}"
    else:
        subject = main_subject(scores)
        table = summary_table(scores, subject=subject, metric=metric, controls=experiment.encode.controls)
        who = "mean of the subjects" if subject == MEAN else f"subject {subject}"
        heading = f"{metric} on held-out folds, {who}; the layer of a model is chosen within training folds:"
        text = f"{heading}\n{_as_text(table)}"
    if experiment.align.lags is None:
        return text
    found = functions.peaks(functions.strengths(tables["response_functions"], _places(tables)))
    return f"{text}\n\nresponse functions, when they are strongest over targets:\n{_as_text(found)}"


def _as_text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format=number_text, na_rep="")


def shown_scores(tables: Tables, experiment) -> pd.DataFrame:
    """Give the scores without the models of all feature spaces but one, which the unique contributions sum up."""
    scores, unions = tables["scores"], ["+".join(names) for names in experiment.encode.unions]
    is_union = scores["weights"].eq("") & scores["feature_space"].isin(unions)
    is_full = is_union & scores["feature_space"].isin(unions[:1])
    scores.loc[is_full, "feature_space"] = TOGETHER
    return scores[~is_union | is_full]


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
        normalised score is score / ceiling of the same unit, never clipped, nan where the ceiling is below `FLOOR`.
    """
    rows = headline(scores[(scores["subject"] == subject) & (scores["metric"] == metric)])
    spaces = {
        (space, weights): group.set_index("target")["score"]
        for (space, weights), group in rows.groupby(["feature_space", "weights"], sort=False)
    }
    table = pd.DataFrame({label(*space): score for space, score in spaces.items() if "+" not in space[0]})
    of_controls = next((score for (space, _), score in spaces.items() if space == controls), None)
    for (space, weights), score in spaces.items():
        if controls and space.startswith(f"{controls}+"):
            model = space.removeprefix(f"{controls}+")
            table[f"gain of {label(model, weights)}"] = score - of_controls
    values = rows.groupby("target", sort=False)["noise_ceiling"].first()
    if values.notna().any():
        ceiling = Ceiling(values.to_numpy(), kind="stated in the scores", unit="r", raw=values.to_numpy())
        table["ceiling"] = values
        for (space, weights), score in spaces.items():
            if space == TOGETHER or (weights == "trained" and "+" not in space):
                table[f"{label(space, weights)} / ceiling"] = normalise(
                    score.to_numpy(), ceiling, metric=metric, floor=FLOOR
                )
    return table.rename_axis(index="target").reset_index()


def profile_table(scores: pd.DataFrame, *, metric: str, subjects: str) -> pd.DataFrame:
    """Points of a layer profile: of the group mean, or the mean over single subjects with its standard error."""
    rows = scores[scores["metric"] == metric].assign(noise_ceiling=counted)
    if subjects == "one":
        return rows[rows["subject"] == main_subject(scores)]
    by = ["feature_space", "weights", "layer", "target"]
    groups = rows[rows["subject"] != MEAN].groupby(by, sort=False)
    return groups.agg(
        score=("score", "mean"), score_sem=("score", "sem"), noise_ceiling=("noise_ceiling", "mean")
    ).reset_index()


def methods(experiment, tables: Tables, provenance: dict) -> str:
    """Write a methods section, with what to cite."""
    scores = tables["scores"]
    n_subjects = scores.loc[scores["subject"] != MEAN, "subject"].nunique()
    text = [
        f"Data: {experiment.data.set}, {n_subjects} subject{'s' if n_subjects != 1 else ''} "
        f"({provenance['citation']}); {settings_text(experiment.data.config)}.",
        features_text(experiment),
        _clock_text(experiment, provenance),
        _fit_text(experiment.encode),
        "Where a model has several layers, the layer of the nested score was chosen for every target and fold by the "
        "inner splits of the training set; the best layer of a profile is not a score.",
        _together_text(experiment.encode.together),
        "The group mean is the mean over subjects of their responses, each standardised per target."
        if n_subjects > 1
        else "",
        ceilings.ceilings_text(scores["ceiling_kind"]),
        versions_text(provenance),
        citations_text(experiment, provenance, [CITATIONS[key] for key in CITATIONS if _is_used(key, experiment)]),
    ]
    return "\n\n".join(filter(None, text))


def _clock_text(experiment, provenance: dict) -> str:
    align = experiment.align
    if align.to == "events":
        return "Every sample is the response to one event and was paired with its activations."
    if align.to == "epochs":
        window, made = align.epochs, provenance["data"]["epochs"]
        dropped = ", ".join(f"{n} {reason}" for reason, n in made["dropped"].items())
        baseline = "" if window.baseline is None else f", baseline {' to '.join(map(str, window.baseline))} s"
        return (
            f"The recording was cut into epochs from {window.tmin} to {window.tmax} s around {made['n_events']} "
            f"events, at {made['sfreq'] / window.decimate:g} Hz{baseline}; dropped: {dropped or 'none'}. One model per "
            "sensor and lag was fitted to the activations of the events."
        )
    delayed = (
        f"{', '.join(map(str, align.delays))} samples"
        if align.lags is None
        else f"every sample from {align.lags.tmin} to {align.lags.tmax} s"
    )
    l_freq = getattr(experiment.data.config, "l_freq", None) if align.lags else None
    filtered = f", high-passed at {l_freq:g} Hz as the recording was" if l_freq else ""
    return (
        f"Activations were brought to the recording's clock by taking the {align.bin} over the events that begin in a "
        f"sample{filtered}, and delayed by {delayed} within runs."
    )


def _is_used(key, experiment) -> bool:
    used = {"ridge", "encoding", experiment.encode.estimator, *experiment.report.ceilings}
    asked = {"unique": experiment.encode.together, "generalisation": experiment.report.generalisation}
    return key in used | {name for name, settings in asked.items() if settings}


def _fit_text(encode) -> str:
    split = {
        "blocks": lambda s: f"{s.n} contiguous blocks with a gap of {s.gap} samples",
        "groups": _groups_text,
    }
    grid = f"{encode.alphas.n} values from {encode.alphas.low:g} to {encode.alphas.high:g}"
    return (
        f"{ESTIMATORS[encode.estimator].format(grid=grid)} was fitted "
        f"and scored by cross-validation: {split[encode.outer.kind](encode.outer)}; within each training set penalties "
        f"were chosen by {split[encode.inner.kind](encode.inner)}. Centring{' and scaling' if encode.scale else ''} of "
        f"the features was fitted on training samples only. {PRECISIONS[encode.precision]} Scores are means over folds "
        f"of Pearson's r and of R2 between prediction and response; shown here: {encode.metric}."
    )


def _together_text(together) -> str:
    if not together:
        return ""
    return (
        f"{', '.join(together)} were also fitted as one model, and all but each in turn. The unique contribution of a "
        "feature space is the score of all less that of all without it; it can be negative on held-out data."
    )


def _groups_text(splits) -> str:
    if splits.n is None:
        return f"leaving out one {splits.by} at a time"
    order = "in order of appearance" if splits.seed is None else f"drawn at random (seed {splits.seed})"
    return f"{splits.n} folds of whole {'runs' if splits.by == 'run' else 'stimuli'}, {order}"


def _add_summary(page, experiment, scores) -> None:
    subject, metric = main_subject(scores), experiment.encode.metric
    table = summary_table(scores, subject=subject, metric=metric, controls=experiment.encode.controls)
    who = "mean of the subjects" if subject == MEAN else f"subject {subject}"
    add_table(
        page,
        table,
        f"Scores: {who}",
        f"{metric} on held-out folds; spaces of several layers by the layer that nested cross-validation chose.",
    )
    if subject == MEAN:
        singles = scores[scores["subject"] != MEAN].assign(noise_ceiling=counted)
        mean = singles.groupby(
            ["feature_space", "weights", "layer", "target", "metric"], sort=False, as_index=False
        ).agg(score=("score", "mean"), noise_ceiling=("noise_ceiling", "mean"))
        table = summary_table(
            mean.assign(subject="average"), subject="average", metric=metric, controls=experiment.encode.controls
        )
        add_table(page, table, "Scores: average over single subjects", "Every subject fitted alone, scores averaged.")


def _add_profiles(page, experiment, scores) -> None:
    metric, who = experiment.encode.metric, "group mean" if main_subject(scores) == MEAN else "one subject"
    has_layers = scores["layer"].ne("").any()
    title, what = (
        ("Layer profile", "Score of every layer; dashed: controls; stars: layer chosen by nested cross-validation; ")
        if has_layers
        else ("Feature spaces", "Score of every feature space; ")
    )
    table = profile_table(scores, metric=metric, subjects="one")
    caption = f"{what}shaded: above the noise ceiling."
    add_figure(
        page, profiles.layer_profile(table, ylabel=f"{metric}, {who}"), f"{title}: {who}", caption, "Feature spaces"
    )
    if who == "group mean":
        table = profile_table(scores, metric=metric, subjects="all")
        figure = profiles.layer_profile(table, ylabel=f"{metric}, average over subjects")
        caption = (
            f"{what}shaded: above the average correlation of a subject with the mean of the others; "
            f"{'bands' if has_layers else 'error bars'}: standard error over subjects."
        )
        add_figure(page, figure, f"{title}: single subjects", caption, "Feature spaces")


def _add_unique(page, experiment, unique: pd.DataFrame) -> None:
    """Add what each feature space contributes that the others do not, in r2 and in the metric of the experiment."""
    if not len(unique):
        return
    for metric in dict.fromkeys((experiment.encode.metric, "r2")):
        of_metric = unique[unique["metric"] == metric]
        of_one = of_metric[of_metric["subject"] == main_subject(unique)]
        table = of_one.pivot(index="target", columns="feature_space", values="unique")
        table = table.loc[list(dict.fromkeys(unique["target"])), list(experiment.encode.together)]
        table[TOGETHER] = of_one.groupby("target")["together"].first()
        who = "mean of the subjects" if main_subject(unique) == MEAN else "one subject"
        caption = f"{metric} of all feature spaces together less {metric} of all without this one; {who}."
        add_table(page, table.rename_axis(columns=None).reset_index(), f"Unique contributions ({metric})", caption)
        figure = contributions.unique(single_subjects(of_metric), ylabel=f"unique {metric}")
        caption = (
            "What each feature space explains that the others, all together, do not; "
            "bars: average over single subjects, lines: standard error over subjects."
        )
        add_figure(page, figure, f"Unique contributions ({metric})", caption, "Feature spaces")
