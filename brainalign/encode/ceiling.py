"""Noise ceilings: the best score the data allow, by which estimator, and in which unit."""

from dataclasses import dataclass

import numpy as np

from brainalign.encode.metrics import UNITS, check_finite, pearson
from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.registry import registry_of


@dataclass(frozen=True, eq=False)
class Ceiling:
    """A noise ceiling that knows what it is.

    Parameters
    ----------
    value : array of shape (n_targets,) or (n_subjects, n_targets)
        nan where the data do not give one.
    kind : str
        The estimator: "split_half".
    unit : {"r", "r2"}
    raw : array
        The correlation that was measured, before any correction; of the shape of `value`.
    """

    value: np.ndarray
    kind: str
    unit: str
    raw: np.ndarray


def split_half(Y, *, n_splits=100, seed):
    """Ceiling in r of the group mean: the best correlation with the mean of all subjects that any model can reach.

    Subjects are split at random into halves of equal size h = n_subjects // 2 (of an odd number one sits out in turn).
    With r the mean over splits of the correlation between the means of the halves, and k = n_subjects / h,

        reliability = k r / (1 + (k - 1) r)        Spearman-Brown: 2 r / (1 + r) for even numbers
        ceiling     = sqrt(reliability)            the correlation of the mean with its own signal

    Parameters
    ----------
    Y : array of shape (n_subjects, n_samples, n_targets)
        The same samples for all subjects.
    n_splits : int
    seed : int

    Returns
    -------
    ceiling : Ceiling
        Unit r; `value` (n_targets,) is nan where the reliability is not positive or a half is constant; `raw` is r.

    Raises
    ------
    Misaligned
        `Y` is not 3-D, or has less than 2 subjects.
    BrainalignError
        NaN or infinity in `Y`.

    References
    ----------
    Spearman (1910), Br J Psychol 3:271; Brown (1910), 3:296. Oracle: the correlation of a planted signal with the group
    mean.
    """
    Y = _subjects(Y)
    n_subjects, _, n_targets = Y.shape
    generator = np.random.default_rng(seed)
    half = n_subjects // 2
    r = np.empty((n_splits, n_targets))
    for i_split in range(n_splits):
        order = generator.permutation(n_subjects)
        r[i_split] = pearson(Y[order[:half]].mean(axis=0), Y[order[half : 2 * half]].mean(axis=0))
    r = r.mean(axis=0)
    k = n_subjects / half
    reliable = np.nan_to_num(r, nan=-1.0) > 0
    reliability = np.where(reliable, k * r / (1 + (k - 1) * np.where(reliable, r, 0)), np.nan)
    return Ceiling(np.sqrt(reliability), kind="split_half", unit="r", raw=r)


def leave_one_subject_out(Y):
    """Inter-subject correlation in r: each subject's correlation with the mean of the others.

    A low estimate of the ceiling of a subject, since the mean of the others is noisy too and holds only what people
    share.

    Parameters
    ----------
    Y : array of shape (n_subjects, n_samples, n_targets)
        The same samples for all subjects.

    Returns
    -------
    ceiling : Ceiling
        Unit r; `value` and `raw` are the same (n_subjects, n_targets), negative values as they are, nan where a subject
        or the mean of the others is constant.

    Raises
    ------
    Misaligned
        `Y` is not 3-D, or has less than 2 subjects.
    BrainalignError
        NaN or infinity in `Y`.

    References
    ----------
    Hasson et al. (2004), Science 303:1634; Nili et al. (2014), PLoS Comput Biol 10:e1003553, lower bound.
    Oracle: `numpy.corrcoef`, subject by subject.
    """
    Y = _subjects(Y)
    total = Y.sum(axis=0)  # (n_samples, n_targets)
    r = np.stack([pearson(own, (total - own) / (len(Y) - 1)) for own in Y])
    return Ceiling(r, kind="leave_one_subject_out", unit="r", raw=r)


CEILINGS = registry_of("noise ceiling", {"split_half": split_half, "leave_one_subject_out": leave_one_subject_out})


def normalise(score, ceiling, *, metric, floor=0.1):
    """Divide scores by a ceiling of the same unit.

    Parameters
    ----------
    score : array
        Of a shape that broadcasts with `ceiling.value`.
    ceiling : Ceiling
    metric : str
        What the score is, a name in `metrics.UNITS`: decides its unit.
    floor : float
        In the unit of the ceiling; below it the quotient is noise.

    Returns
    -------
    normalised_score : array
        Never clipped: above 1 says that the ceiling is too low. nan where the ceiling is below `floor` or nan.

    Raises
    ------
    BrainalignError
        The units differ, or `floor` is not positive.
    UnknownName
        Another metric.
    """
    if metric not in UNITS:
        raise UnknownName("metric", metric, UNITS)
    if UNITS[metric] != ceiling.unit:
        raise BrainalignError(
            f"{metric} is in {UNITS[metric]}, the {ceiling.kind} ceiling in {ceiling.unit}: "
            "they cannot be divided; take a ceiling of the same unit"
        )
    if floor <= 0:
        raise BrainalignError(f"floor must be positive, got {floor}")
    usable = np.nan_to_num(ceiling.value, nan=-1.0) >= floor
    return np.where(usable, score / np.where(usable, ceiling.value, 1), np.nan)


def _subjects(Y):
    Y = np.asarray(Y, dtype=np.float64)
    if Y.ndim != 3 or len(Y) < 2:
        raise Misaligned(f"Y must be (n_subjects, n_samples, n_targets) with at least 2 subjects, got {Y.shape}")
    for i_subject, responses in enumerate(Y):
        check_finite(responses, name=f"Y of subject {i_subject}", column="target")
    return Y
