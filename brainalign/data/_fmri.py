"""The runs of one person's fMRI as samples by targets: every step inside one run, none across."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.data._nuisance import nuisance_regressors, residuals, standardised
from brainalign.data._regions import Points, region_means
from brainalign.data._volumes import Image
from brainalign.errors import Misaligned, MissingData

log = logging.getLogger(__name__)

N_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Run:
    """One run of one person.

    Parameters
    ----------
    image : Image
    tr : float
        s.
    source : str
        Where it comes from, for the errors.
    confounds : array of shape (n_samples, n_confounds), optional
    kept : bool array of shape (n_samples,), optional
        Volumes that are in order; the others are marked `bad`, and no fit sees them. None: all.
    """

    image: Image
    tr: float
    source: str
    confounds: np.ndarray | None = None
    kept: np.ndarray | None = None


@dataclass(frozen=True)
class Cleaning:
    """What is done to the time courses of every run, in this order.

    Parameters
    ----------
    smoothing_fwhm : float, optional
        Gaussian kernel (mm), volumes only.
    average : bool
        Average the points of each region before anything else is done; without regions nothing is averaged.
    drift_order : int
        Degree of the polynomial that is regressed out; -1: none.
    high_pass : float, optional
        Slow cosines up to this frequency (Hz) are regressed out together with the polynomial and the confounds.
    standardise : bool
        Mean 0 and deviation 1.
    """

    smoothing_fwhm: float | None = None
    average: bool = True
    drift_order: int = -1
    high_pass: float | None = None
    standardise: bool = False


def responses_of_runs(
    runs: Mapping[str, Run], points: Points, *, subject: str, cleaning: Cleaning, unusable: str = "refuse"
) -> Responses:
    """Load, average and clean the runs of one person.

    Parameters
    ----------
    runs : dict
        Name of the run to the run.
    points : Points
        The points of the grid that all runs share.
    subject : str
    cleaning : Cleaning
    unusable : {"refuse", "leave_out"}
        What becomes of a point that is NaN or constant in a run: an error, or it is left out of all runs, and counted.

    Returns
    -------
    responses : Responses of shape (n_samples, n_targets), float32
        Rows `run`, `time`, `duration` (s; volume i covers [i tr, (i + 1) tr)), and `bad` where a volume is; columns
        `subject`, `target` and what is known of it. Provenance: `tr`, `grid`, by run `n_samples`, `n_bad_samples` and
        `n_regressors`, and `left_out`.

    Raises
    ------
    Misaligned
        The runs differ in their grid or their TR; a point is unusable; there are too many regressors.
    MissingData
        No point of a run is usable.
    """
    _check_same(runs, subject)
    values = {run: part.image.load(points.index, cleaning.smoothing_fwhm) for run, part in runs.items()}
    usable = _usable_points(values, points, subject, unusable)
    kept_points = points.take(usable)
    left_out = {"n_points": int((~usable).sum()), "first": points.table["target"][~usable].head(N_SHOWN).tolist()}
    average = cleaning.average and "roi" in points.table
    if average:
        left_out["regions"] = sorted(set(points.table["roi"]) - set(kept_points.table["roi"]))
    cleaned, rows, facts = [], [], {}
    for run in list(values):
        Y, part = values.pop(run)[:, usable], runs[run]
        if average:
            Y, table = region_means(Y, kept_points)
        cleaned_run, facts[run] = _clean(Y, part, cleaning)
        cleaned.append(cleaned_run)
        rows.append(_clock(run, part))
    columns = table if average else kept_points.table
    columns.insert(0, "subject", subject)
    rows = pd.concat(rows, ignore_index=True)
    if not rows["bad"].any():
        rows = rows.drop(columns="bad")
    first = next(iter(runs.values()))
    provenance: dict[str, Any] = {
        "tr": first.tr,
        "grid": first.image.grid.to_json(),
        "targets": "means over the points of each region, before fitting" if average else "points",
        "runs": facts,
        "left_out": left_out,
    }
    return Responses(np.concatenate(cleaned), rows, columns, provenance)


def _check_same(runs: Mapping[str, Run], subject: str) -> None:
    name, first = next(iter(runs.items()))
    for run, part in runs.items():
        differs = first.image.grid.difference(part.image.grid)
        if differs:
            raise Misaligned(f"subject {subject}: {part.source} ({run}) is not on the grid of {name}: {differs}")
        if abs(part.tr - first.tr) > 1e-4 * first.tr:
            raise Misaligned(f"subject {subject}: TR {part.tr:g} s in {run}, {first.tr:g} s in {name}")


def _usable_points(values: Mapping[str, np.ndarray], points: Points, subject: str, unusable: str) -> np.ndarray:
    """Tell which points hold a signal in every run, (n_points,), or refuse."""
    usable = np.ones(len(points.index), dtype=bool)
    for run, Y in values.items():
        of_run = np.isfinite(Y).all(axis=0)
        if not of_run.any():
            raise MissingData(f"subject {subject}, {run}: all {len(of_run)} points are constant or not finite")
        n_lost = int((~of_run).sum())
        if unusable == "refuse" and n_lost:
            shown = ", ".join(points.table["target"][~of_run].head(N_SHOWN)) + " ..." * (n_lost > N_SHOWN)
            raise Misaligned(
                f"subject {subject}, {run}: {n_lost} of {len(of_run)} points are constant or not finite: {shown}; "
                "unusable = 'leave_out' leaves them out of all runs"
            )
        usable &= of_run
    if not usable.any():
        raise MissingData(f"subject {subject}: no point is usable in all of the runs {list(values)}")
    if not usable.all():
        n_lost = int((~usable).sum())
        log.warning("subject %s: %d of %d points left out, constant or not finite", subject, n_lost, len(usable))
    return usable


def _clean(Y: np.ndarray, run: Run, cleaning: Cleaning) -> tuple[np.ndarray, dict[str, int]]:
    """Regress out and standardise inside one run; Y is (n_samples, n_targets)."""
    kept = _kept(run)
    try:
        N = nuisance_regressors(
            len(Y), tr=run.tr, drift_order=cleaning.drift_order, high_pass=cleaning.high_pass, confounds=run.confounds
        )
    except Misaligned as error:
        raise Misaligned(f"{run.source}: {error}") from None
    cleaned = residuals(Y, N, kept=kept)
    if cleaning.standardise:
        cleaned = standardised(cleaned, kept=kept)
    return cleaned, {"n_samples": len(Y), "n_bad_samples": int((~kept).sum()), "n_regressors": N.shape[1]}


def _kept(run: Run) -> np.ndarray:
    return np.ones(run.image.n_samples, dtype=bool) if run.kept is None else run.kept


def _clock(name: str, run: Run) -> pd.DataFrame:
    time = run.tr * np.arange(run.image.n_samples)
    return pd.DataFrame({"run": name, "time": time, "duration": run.tr, "bad": ~_kept(run)})
