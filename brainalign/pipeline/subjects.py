"""Several people who were shown the same, and their mean."""

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.errors import Misaligned

MEAN = "mean"  # the subject name of the group mean
PLACE = ("roi", "channel_type", "x", "y", "z", "hemisphere", "vertex", "i", "j", "k")
"""What columns may say of a target: its region, kind and place (m) of a sensor, vertex of a surface, voxel."""


def main_subject(table: pd.DataFrame) -> str:
    """Name the group mean where there is one in the column `subject`, else the first subject."""
    return MEAN if MEAN in set(table["subject"]) else table["subject"].iloc[0]


def single_subjects(table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of single subjects, or those of the mean where there is nothing else."""
    singles = table["subject"] != MEAN
    return table[singles] if singles.any() else table


def with_group_mean(responses: Responses) -> Responses:
    """Append the mean of the subjects, each standardised per target, as the subject "mean".

    Where there is one subject only, the responses are given back as they are.
    """
    if responses.columns["subject"].nunique() < 2:
        return responses
    subjects, targets, z = standardised_subjects(responses)
    if MEAN in subjects:
        raise Misaligned(f"a subject is called {MEAN!r}, the name of the group mean; give it another name")
    places = [name for name in PLACE if name in responses.columns]
    of_mean = responses.columns.iloc[_positions(responses.columns, subjects[0], targets)][[*targets, *places]]
    columns = pd.concat([responses.columns, of_mean.assign(subject=MEAN)], ignore_index=True)
    values = np.hstack([responses.values, z.mean(axis=0).astype(responses.values.dtype)])
    return Responses(values, responses.rows, columns, responses.provenance)


def target_key(columns: pd.DataFrame) -> list[str]:
    """Name the columns that tell the targets of a subject apart: `target`, and `lag` of epochs."""
    return [name for name in ("target", "lag") if name in columns]


def standardised_subjects(responses: Responses) -> tuple[list[str], pd.DataFrame, np.ndarray]:
    """Give the responses of the subjects, each target of mean 0 and deviation 1.

    Returns
    -------
    subjects : list of str, of length n_subjects
    targets : DataFrame of n_targets rows
        Columns `target_key`.
    z : float64 array of shape (n_subjects, n_samples, n_targets)

    Raises
    ------
    Misaligned
        The subjects do not have the same targets in the same order, or a target is constant or not finite.
    """
    subjects, targets, positions = positions_of_subjects(responses.columns)
    stacked = np.stack([np.asarray(responses.values[:, of_subject], np.float64) for of_subject in positions])
    deviation = stacked.std(axis=1, keepdims=True)
    if not (deviation > 0).all():
        i_subject, _, i_target = np.argwhere(~(deviation > 0))[0]
        raise Misaligned(
            f"subject {subjects[i_subject]}, target {targets['target'].iloc[i_target]} is constant or not finite and "
            "cannot enter the group mean; leave the subject out"
        )
    return subjects, targets, (stacked - stacked.mean(axis=1, keepdims=True)) / deviation


def positions_of_subjects(columns: pd.DataFrame) -> tuple[list[str], pd.DataFrame, list[np.ndarray]]:
    """Give the subjects, their targets (columns `target_key`), and where each subject's lie among the columns.

    Raises
    ------
    Misaligned
        The subjects do not have the same targets.
    """
    subjects, targets = list(columns["subject"].unique()), columns[target_key(columns)].drop_duplicates()
    return subjects, targets, [_positions(columns, subject, targets) for subject in subjects]


def _positions(columns: pd.DataFrame, subject: str, targets: pd.DataFrame) -> np.ndarray:
    """Give the columns of a subject in the order of the targets."""
    own = columns.reset_index(names="position").loc[columns["subject"].eq(subject).to_numpy(), [*targets, "position"]]
    position = targets.merge(own, how="left", on=list(targets), validate="one_to_one")["position"]
    if position.isna().any():
        missing = targets["target"].iloc[int(position.isna().to_numpy().argmax())]
        raise Misaligned(
            f"subject {subject} has no target {missing}, others have; choose targets that all subjects have"
        )
    return position.to_numpy(int)
