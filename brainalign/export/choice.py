"""Which scores of a results folder are meant: one model, metric and subject."""

from pathlib import Path

import pandas as pd

from brainalign.errors import BrainalignError, MissingData, UnknownName
from brainalign.pipeline.scores import headline
from brainalign.pipeline.subjects import main_subject
from brainalign.results import read_config, read_table

ONE_MODEL = ("feature_space", "weights", "layer")


def scores_frame(folder, *, feature_space=None, weights=None, layer=None, metric=None, subject=None):
    """Give scores with the places of their targets.

    Parameters
    ----------
    folder : path
        Results of an encoding experiment.
    feature_space, weights, layer, metric, subject : str, optional
        Which scores; without one, those of all.

    Returns
    -------
    scores : DataFrame
        Rows and columns of `scores.tsv`, and what `places.tsv` knows of a target: `channel_type, x, y, z` (m, head
        coordinates), `hemisphere, vertex` or `i, j, k`. NaN where nothing could be scored.

    Raises
    ------
    MissingData
        The run is not finished, or scored nothing.
    UnknownName
        Nothing of this name was scored.
    """
    folder = Path(folder)
    rows = only(
        scores_of(folder), feature_space=feature_space, weights=weights, layer=layer, metric=metric, subject=subject
    )
    places = places_of(folder)
    if places is None:
        return rows.reset_index(drop=True)
    return rows.merge(places, on="target", how="left", validate="many_to_one")


def scores_of(folder: Path) -> pd.DataFrame:
    """Read `scores.tsv` of an encoding experiment."""
    method = read_config(folder).method
    if method != "encode":
        raise MissingData(f"{folder}: an experiment with [{method}] has no scores of encoding models")
    return read_table(folder, "scores")


def places_of(folder: Path) -> pd.DataFrame | None:
    """Read `places.tsv`; None where nothing is known of the places of targets."""
    return read_table(folder, "places") if (folder / "places.tsv").exists() else None


def only(table: pd.DataFrame, **choice) -> pd.DataFrame:
    """Give the rows that have the values asked for; None asks for nothing."""
    for column, value in choice.items():
        if value is not None:
            chosen = table[column] == value
            if not chosen.any():
                raise UnknownName(column.replace("_", " "), value, (name for name in set(table[column])))
            table = table[chosen]
    return table


def of_one_subject(table: pd.DataFrame, subject: str | None) -> pd.DataFrame:
    """Give the rows of a subject; of None, of the group mean, or of the first."""
    return only(table, subject=main_subject(table) if subject is None else subject)


def of_one_model(folder: Path, *, feature_space, weights, layer, metric, subject) -> pd.DataFrame:
    """Give one row per target (and lag): the scores of one model in one metric and one subject."""
    metric = read_config(folder).encode.metric if metric is None else metric
    table = only(scores_of(folder), metric=metric, feature_space=feature_space, weights=weights)
    table = headline(table) if layer is None else only(table, layer=layer)
    return of_one_subject(the_only(table, ONE_MODEL, folder), subject)


def the_only(table: pd.DataFrame, names: tuple[str, ...], folder: Path) -> pd.DataFrame:
    """Refuse a table in which several things differ by these names."""
    there = table[list(names)].drop_duplicates()
    if len(there) > 1:
        differing = [name for name in names if there[name].nunique() > 1]
        listed = "; ".join(" ".join(filter(None, map(str, row))) for row in there[differing].to_numpy())
        raise BrainalignError(f"{folder}: say which {', '.join(differing)}, there are {len(there)}: {listed}")
    return table
