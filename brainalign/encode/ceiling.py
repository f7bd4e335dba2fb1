"""Noise ceilings: the best score the data allow, by which estimator, and in which unit."""

from dataclasses import dataclass

import numpy as np

from brainalign.encode.metrics import UNITS, Unit, as_float, check_finite, is_constant, pearson, power_of_two
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
    unit : Unit, "r" or "r2"
    raw : array
        What was measured, before any correction; of the shape of `value`. The estimator says what it is.

    Raises
    ------
    BrainalignError
        Another unit.
    """

    value: np.ndarray
    kind: str
    unit: Unit
    raw: np.ndarray

    def __post_init__(self):
        if self.unit not in tuple(Unit):
            raise BrainalignError(f"the {self.kind} ceiling must be in r or r2, got {self.unit!r}")
        object.__setattr__(self, "unit", Unit(self.unit))

    def squared(self):
        """Give the ceiling in r2 of a ceiling in r.

        Exact: no prediction has a higher r2 than the best of its multiples, whose r2 is its correlation squared.

        Returns
        -------
        ceiling : Ceiling
            Unit r2; nan where the correlation is negative, `raw` as it is.

        Raises
        ------
        BrainalignError
            The ceiling is not in r.
        """
        if self.unit != Unit.R:
            raise BrainalignError(f"the {self.kind} ceiling is in {self.unit} already: only one in r can be squared")
        squares = np.where(self.value >= 0, np.square(self.value), np.nan)
        return Ceiling(squares, kind=self.kind, unit=Unit.R2, raw=self.raw)


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
    Y = _stack(Y, of="subject")
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
    return Ceiling(np.sqrt(reliability), kind="split_half", unit=Unit.R, raw=r)


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
    Y = _stack(Y, of="subject")
    total = Y.sum(axis=0)  # (n_samples, n_targets)
    r = np.stack([pearson(own, (total - own) / (len(Y) - 1)) for own in Y])
    return Ceiling(r, kind="leave_one_subject_out", unit=Unit.R, raw=r)


def explainable_variance(Y, *, against):
    """Ceiling in r2 from repeats: the share of the variance that is the same in every repeat.

    With P the variance over samples, n repeats y_k and their mean y,

        signal power = (n P(y) - mean_k P(y_k)) / (n - 1)      unbiased: the mean covariance of two repeats
        ceiling      = signal power / P(y)                     of a score against the mean of the repeats
        ceiling      = signal power / mean_k P(y_k)            of a score against single repeats

    Parameters
    ----------
    Y : array of shape (n_repeats, n_samples, n_targets)
        Responses to the same samples. Each repeat is taken about its own mean over the samples.
    against : {"mean", "single"}
        What the score to be divided is computed against: the mean of these repeats, or single repeats.

    Returns
    -------
    ceiling : Ceiling
        Unit r2; `value` (n_targets,) is nan where the signal power is not positive or all repeats are constant; `raw`
        is `P(y) / mean_k P(y_k)`, without the correction, which tends to 1 / n in noise.

    Raises
    ------
    Misaligned
        `Y` is not 3-D, or has less than 2 repeats.
    BrainalignError
        NaN or infinity in `Y`.
    UnknownName
        `against` is something else.

    References
    ----------
    Sahani & Linden (2003), NIPS 15:125, eq. 1; Hsu, Borst & Theunissen (2004), Network 15:91; Schoppe et al. (2016),
    Front Comput Neurosci 10:10. The single repeat's is the explainable variance, with bias correction, of the Gallant
    lab's tutorials, but repeats are not divided by their standard deviations. Oracles: the covariances of pairs of
    repeats, a planted signal.
    """
    if against not in ("mean", "single"):
        raise UnknownName("response to score against", str(against), ("mean", "single"))
    Y = _stack(Y, of="repeat")
    n_repeats = len(Y)
    constant = np.all([is_constant(own) for own in Y], axis=0)
    Y = _unit_size(Y - Y.mean(axis=1, keepdims=True), axis=(0, 1))
    of_mean = Y.mean(axis=0).var(axis=0)  # (n_targets,)
    of_single = np.where(constant, np.nan, Y.var(axis=1).mean(axis=0))
    signal = (n_repeats * of_mean - of_single) / (n_repeats - 1)
    value = _share(signal, of_mean if against == "mean" else of_single)
    return Ceiling(value, kind="explainable_variance", unit=Unit.R2, raw=of_mean / of_single)


def noise_ceiling_snr(Y, *, n_averaged, stimulus=None):
    """Ceiling in r2 from the noise ceiling signal-to-noise ratio (NCSNR) of repeated stimuli.

    The variances of a one-way random-effects analysis, with n the number of responses to a stimulus,

        noise variance  = mean square within stimuli
        signal variance = (mean square between stimuli - noise variance) / n       both unbiased
        ncsnr           = signal sd / noise sd
        ceiling         = ncsnr^2 / (ncsnr^2 + 1 / n_averaged)

    Parameters
    ----------
    Y : array of shape (n_repeats, n_samples, n_targets), or (n_responses, n_targets) with `stimulus`
    n_averaged : float
        Number of repeats in the average that the score to be divided is computed against, 1 for single responses. Where
        it differs between samples, its harmonic mean.
    stimulus : array of shape (n_responses,), optional
        What each row of a 2-D `Y` is a response to, in any order and any number of times; n is then
        `(N - sum n_i^2 / N) / (n_stimuli - 1)` of N responses. Stimuli shown once tell of the signal only.

    Returns
    -------
    ceiling : Ceiling
        Unit r2; `value` (n_targets,) is nan where the signal variance is not positive or the target is constant; `raw`
        is the ncsnr, 0 where the signal variance is not positive, infinite where repeats are equal.

    Raises
    ------
    Misaligned
        `Y` is neither 3-D, nor 2-D with a stimulus for each row; less than 2 repeats.
    BrainalignError
        NaN or infinity in `Y`, less than 2 stimuli, none that was repeated, `n_averaged` below 1.

    Notes
    -----
    A shift of a whole repeat counts as noise here, but not in `explainable_variance`. NSD takes the signal variance as
    1 - noise variance, of responses scaled to variance 1 per session: the same but for 1 / n_stimuli.

    References
    ----------
    Allen et al. (2022), Nat Neurosci 25:116, Methods; Searle, Casella & McCulloch (1992), Variance Components, ch. 3,
    for unequal n. Oracles: the formulas of NSD, `scipy.stats.f_oneway`, a planted signal.
    """
    if not np.isfinite(n_averaged) or n_averaged < 1:
        raise BrainalignError(f"n_averaged must be at least 1 repeat, got {n_averaged}")
    Y, stimulus = _responses_by_stimulus(Y, stimulus)
    constant = is_constant(Y)
    Y = _unit_size(Y - Y.mean(axis=0), axis=0)
    signal, noise = (np.where(constant, np.nan, variance) for variance in _variance_components(Y, stimulus))
    with np.errstate(divide="ignore"):  # equal repeats
        ncsnr = np.sqrt(np.fmax(signal, 0) / np.where(signal > 0, noise, 1))
    value = _share(signal, signal + noise / n_averaged)
    return Ceiling(value, kind="noise_ceiling_snr", unit=Unit.R2, raw=np.where(constant, np.nan, ncsnr))


CEILINGS = registry_of(
    "noise ceiling",
    {
        "split_half": split_half,
        "leave_one_subject_out": leave_one_subject_out,
        "explainable_variance": explainable_variance,
        "noise_ceiling_snr": noise_ceiling_snr,
    },
)


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


def _stack(Y, *, of):
    Y = np.asarray(Y, dtype=np.float64)
    if Y.ndim != 3 or len(Y) < 2:
        raise Misaligned(f"Y must be (n_{of}s, n_samples, n_targets) with at least 2 {of}s, got {Y.shape}")
    for i, responses in enumerate(Y):
        check_finite(responses, name=f"Y of {of} {i}", column="target")
    return Y


def _responses_by_stimulus(Y, stimulus):
    """Give responses in float64 (n_responses, n_targets) and the number of the stimulus of each (n_responses,)."""
    if stimulus is None:
        Y = _stack(Y, of="repeat")
        return Y.reshape(-1, Y.shape[2]), np.tile(np.arange(Y.shape[1]), len(Y))
    Y, stimulus = as_float(Y).astype(np.float64), np.asarray(stimulus)
    if Y.ndim != 2 or stimulus.shape != Y.shape[:1]:
        raise Misaligned(
            f"Y must be (n_responses, n_targets) with one stimulus for each, got {Y.shape} and {stimulus.shape}"
        )
    check_finite(Y, name="Y", column="target")
    return Y, np.unique(stimulus, return_inverse=True)[1]


def _variance_components(Y, stimulus):
    """Estimate the variance between stimuli and the variance within, each (n_targets,), from centred responses."""
    n_of = np.bincount(stimulus)  # (n_stimuli,)
    n_stimuli, n_responses = len(n_of), len(Y)
    if n_stimuli < 2 or n_responses == n_stimuli:
        raise BrainalignError(
            f"noise is what differs between repeats of a stimulus, signal between stimuli: got {n_responses} responses "
            f"to {n_stimuli} stimuli, at least 2 stimuli and one repeat are needed"
        )
    starts = np.r_[0, np.cumsum(n_of)[:-1]]
    means = np.add.reduceat(Y[np.argsort(stimulus, kind="stable")], starts, axis=0) / n_of[:, None]
    within = np.square(Y - means[stimulus]).sum(axis=0) / (n_responses - n_stimuli)
    between = (n_of[:, None] * np.square(means)).sum(axis=0) / (n_stimuli - 1)
    n = (n_responses - np.square(n_of).sum() / n_responses) / (n_stimuli - 1)
    return (between - within) / n, within


def _unit_size(centred, *, axis):
    return centred / power_of_two(np.abs(centred).max(axis=axis))


def _share(signal, total):
    """Give signal / total where there is signal, else nan."""
    positive = signal > 0
    return np.where(positive, signal / np.where(positive, total, 1), np.nan)
