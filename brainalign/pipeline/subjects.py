"""Several people who were shown the same, and their mean."""

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.errors import Misaligned

MEAN = "mean"  # the subject name of the group mean


def with_group_mean(responses: Responses) -> Responses:
    """Append the mean of the subjects, each standardised per target, as the subject "mean".

    Where there is one subject only, the responses are given back as they are.
    """
    if responses.columns["subject"].nunique() < 2:
        return responses
    subjects, targets, z = standardised_subjects(responses)
    if MEAN in subjects:
        raise Misaligned(f"a subject is called {MEAN!r}, the name of the group mean; give it another name")
    columns = pd.concat([responses.columns, pd.DataFrame({"subject": MEAN, "target": targets})], ignore_index=True)
    values = np.hstack([responses.values, z.mean(axis=0).astype(responses.values.dtype)])
    return Responses(values, responses.rows, columns, responses.provenance)


def standardised_subjects(responses: Responses) -> tuple[list[str], list[str], np.ndarray]:
    """Give the responses of the subjects, each target of mean 0 and deviation 1.

    Returns
    -------
    subjects : list of str, of length n_subjects
    targets : list of str, of length n_targets
    z : float64 array of shape (n_subjects, n_samples, n_targets)

    Raises
    ------
    Misaligned
        The subjects do not have the same targets in the same order, or a target is constant or not finite.
    """
    columns = responses.columns
    subjects, targets = list(columns["subject"].unique()), list(columns["target"].unique())
    position = columns.reset_index().pivot(index="subject", columns="target", values="index").loc[subjects, targets]
    if position.isna().any(axis=None):
        subject, target = position.isna().stack().idxmax()
        raise Misaligned(
            f"subject {subject} has no target {target}, others have; choose targets that all subjects have"
        )
    stacked = np.asarray(responses.values, np.float64)[:, position.to_numpy(int)]  # (n_samples, n_subjects, n_targets)
    stacked = stacked.transpose(1, 0, 2)
    deviation = stacked.std(axis=1, keepdims=True)
    if not (deviation > 0).all():
        i_subject, _, i_target = np.argwhere(~(deviation > 0))[0]
        raise Misaligned(
            f"subject {subjects[i_subject]}, target {targets[i_target]} is constant or not finite and cannot enter the "
            "group mean; leave the subject out"
        )
    return subjects, targets, (stacked - stacked.mean(axis=1, keepdims=True)) / deviation
