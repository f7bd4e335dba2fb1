"""Inter-subject correlation (ISC): how far people who saw or heard the same share their responses, by region."""

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.encode.ceiling import leave_one_subject_out
from brainalign.pipeline.subjects import MEAN, standardised_subjects, target_key

FEW = 40
"""Targets up to which each is a region of its own."""
REGIONS = ("roi", "channel_type", "hemisphere")


def inter_subject_correlations(responses: Responses) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Correlate every person's responses with the mean of the others', per target.

    Parameters
    ----------
    responses : Responses
        Of several people, and optionally of their mean, which is left out.

    Returns
    -------
    of_targets : DataFrame
        One row per target (and lag): `target` (`lag`) `region n_subjects isc isc_sd`, mean and standard deviation over
        people (nan for two, who have one correlation).
    of_regions : DataFrame
        One row per subject x region (and lag): `subject region` (`lag`) `n_targets isc`, mean over the targets.
        None in place of both where there is one person.

    References
    ----------
    Hasson et al. (2004), Science 303:1634; Nastase et al. (2019), Soc Cogn Affect Neurosci 14:667, leave-one-out ISC.
    Oracle: `numpy.corrcoef`.
    """
    singles = responses.take_columns((responses.columns["subject"] != MEAN).to_numpy())
    if singles.columns["subject"].nunique() < 2:
        return None
    subjects, targets, z = standardised_subjects(singles)
    r = leave_one_subject_out(z).value  # (n_subjects, n_targets)
    key = target_key(targets)
    targets = targets.assign(region=regions_of(singles.columns).loc[targets.index]).reset_index(drop=True)
    sd = r.std(axis=0, ddof=1) if len(subjects) > 2 else np.nan
    of_targets = targets.assign(n_subjects=len(subjects), isc=r.mean(axis=0), isc_sd=sd)
    by = ["region", "lag"] if "lag" in key else ["region"]
    tables = []
    for subject, own in zip(subjects, r, strict=True):
        means = targets.assign(isc=own).groupby(by, sort=False)["isc"]
        tables.append(means.agg(n_targets="count", isc="mean").reset_index().assign(subject=subject))
    of_regions = pd.concat(tables, ignore_index=True)
    return of_targets, of_regions[["subject", *by, "n_targets", "isc"]]


def regions_of(columns: pd.DataFrame) -> pd.Series:
    """Name the region of every target: its `roi`, each of few targets, its kind of sensor, its hemisphere, or "all".

    Few are at most `FEW` targets that are no points of a region and no sensors.
    """
    for name in REGIONS:
        if name in columns and columns[name].notna().all():
            return columns[name].astype(str)
    if columns["target"].nunique() <= FEW:
        return columns["target"].astype(str)
    return pd.Series("all", index=columns.index)
