"""The encoding model of an experiment: how it is made, what decides its numbers, what a fit will take."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.config import Experiment
from brainalign.encode import ESTIMATORS
from brainalign.pipeline.folds import splitter

log = logging.getLogger(__name__)

EDGE_WARNING = 0.5  # share of targets at an edge of the penalty grid above which a run warns
SEEDED = ("banded",)  # encoding models that draw at random


def encoding_model(experiment: Experiment, columns: dict[str, slice] | None):
    """Give the encoding model; one that knows feature spaces is told where each lies in X."""
    encode = experiment.encode
    model = ESTIMATORS[encode.estimator](
        alphas=encode.alphas.values(),
        inner=splitter(encode.inner),
        scale=encode.scale,
        precision=encode.precision,
        device=encode.device,
    )
    return model.set_params(columns=columns, seed=experiment.seed) if "columns" in model.get_params() else model


def fit_settings(prepared, does: str, features: list, *, without: tuple[str, ...]) -> dict:
    """Give what decides the numbers of a cell that fits encoding models.

    Parameters
    ----------
    prepared : encoding.Prepared
    does : str
        What the cell does.
    features : list
        Folders of extraction cells, and layers.
    without : tuple of str
        Settings of `[encode]` that have no part in it.
    """
    experiment = prepared.experiment
    filtered = {} if prepared.high_passed is None else {"features_high_passed": prepared.high_passed}
    settings = {
        "does": does,
        "version": __version__,
        "features": features,
        "responses": prepared.responses_described,
        "align": experiment.align.model_dump(mode="json", exclude_none=True),
        "encode": experiment.encode.model_dump(mode="json", exclude=set(without)),
    }
    return settings | filtered | ({"seed": experiment.seed} if experiment.encode.estimator in SEEDED else {})


def responses_to_fit(experiment: Experiment, values: np.ndarray) -> np.ndarray:
    """Give responses in float64, or as they are stored where the model is to compute in less; never below float32."""
    exact = experiment.encode.precision == "float64"
    return np.asarray(values, np.float64 if exact else np.result_type(values.dtype, np.float32))


@contextmanager
def edges_are_counted() -> Iterator[None]:
    """Fit without the warning of penalties at the edge of their grid, whose share goes into a table."""
    from brainalign.encode.ridge import EdgeWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EdgeWarning)
        yield


def plan_of_fit(prepared, n_columns: int):
    """Say what one fit of all targets will take: an `encode.engine.plan.Plan`."""
    from brainalign.encode.engine.plan import plan_ridge

    encode, (n_samples, n_targets) = prepared.experiment.encode, prepared.recording.responses.shape
    settings = {name: getattr(encode, name) for name in ("scale", "precision", "device")}
    n_inner = encode.inner.n or 5
    return plan_ridge(n_samples, n_columns, n_targets, n_folds=n_inner, n_alphas=encode.alphas.n, **settings)


def n_ridges(prepared, candidate) -> int:
    """Count the ridge regressions that a fit tries: those of a banded model by its random search."""
    model = encoding_model(prepared.experiment, {})
    return model.n_iter if hasattr(model, "n_iter") and len(candidate.parts) > 1 else 1


def warn_of_edges(shares: pd.DataFrame, *, of: str = "") -> None:
    """Log which feature spaces have most penalties at an edge of the grid: a wider grid would change their numbers.

    Parameters
    ----------
    shares : DataFrame
        `feature_space weights at_lowest_alpha at_highest_alpha`.
    of : str
        What was fitted, for the message.
    """
    named = shares.set_index(["feature_space", "weights"])
    for edge, column in (("lowest", "at_lowest_alpha"), ("highest", "at_highest_alpha")):
        for (space, weights), share in named.loc[named[column] > EDGE_WARNING, column].items():
            what = f"{of}{space} {weights}".strip()
            log.warning("%s: %.0f %% of targets take the %s alpha of the grid", what, 100 * share, edge)
