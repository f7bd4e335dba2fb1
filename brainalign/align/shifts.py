"""Scores of features that were moved in time: whether features and responses are on one clock.

`lag_scan` moves the features by some samples either way: the score must peak where stimulus and response belong
together, and a peak elsewhere tells of a clock that is off by as much. `shift_control` moves them so far, round the end
of each run, that they belong to another part of the stimulus: what is left of the score is not about the stimulus.
"""

from dataclasses import dataclass

import numpy as np

from brainalign.align.delays import delay, run_slices
from brainalign.errors import BrainalignError, Misaligned


@dataclass(frozen=True, eq=False)
class LagScan:
    """Scores of features that were moved against the responses.

    Parameters
    ----------
    shifts : int array of shape (n_shifts,)
        Samples; positive = features moved later, so that the past stimulus explains the present.
    scores : array of shape (n_shifts, n_targets)
    n_samples : int
        Scored at every shift, the same ones.
    """

    shifts: np.ndarray
    scores: np.ndarray
    n_samples: int

    @property
    def peak(self):
        """Shift with the highest score, (n_targets,); the nearest to 0 of those that tie, nan without a score."""
        return _peak(self.shifts, self.scores)

    @property
    def peak_of_mean(self):
        """Shift with the highest mean over the targets that have a score at every shift, a number; nan for none."""
        scored = np.isfinite(self.scores).all(axis=0)
        mean = self.scores[:, scored].mean(axis=1) if scored.any() else np.full(len(self.shifts), np.nan)
        return float(_peak(self.shifts, mean[:, None])[0])

    @property
    def at_edge(self):
        """Tell for which targets the peak is the first or the last shift, so that it may lie beyond, (n_targets,)."""
        return np.isin(self.peak, [self.shifts.min(), self.shifts.max()])


@dataclass(frozen=True, eq=False)
class ShiftControl:
    """Scores of features in their place, and of features that belong to another part of the stimulus.

    Parameters
    ----------
    score : array of shape (n_targets,)
        Of features in their place.
    shifts : int array of shape (n_shifts,)
    shifted : array of shape (n_shifts, n_targets)
        Of features that were moved by so many samples round their run.
    p : array of shape (n_targets,)
        `(b + 1) / (n_shifts + 1)` where b counts the shifts that score at least as high; nan without a score.
    """

    score: np.ndarray
    shifts: np.ndarray
    shifted: np.ndarray
    p: np.ndarray


def lag_scan(score, X, Y, *, shifts, run):
    """Score features that were moved against the responses by whole samples, never from one run to another.

    Parameters
    ----------
    score : callable of (X, Y, run) that gives an array of shape (n_targets,)
        The whole analysis, such as the held-out score of a model that it fits anew.
    X : array of shape (n_samples, n_features)
    Y : array of shape (n_samples, n_targets)
    shifts : int array of shape (n_shifts,)
        `shifts = d` scores `X[i - d]` against `Y[i]`, as a delay does.
    run : array of shape (n_samples,)
        Uninterrupted recordings, each contiguous.

    Returns
    -------
    scan : LagScan

    Raises
    ------
    Misaligned
        Lengths differ, or a run is no longer than the shifts reach.
    BrainalignError
        Shifts that are not whole numbers, or there twice.

    Notes
    -----
    Every shift is scored on the same samples, those for which all shifts stay within the run: neither zeros at the
    edges nor another stretch of the recording can move the peak.
    """
    X, Y, run = _aligned(X, Y, run=run)
    shifts = _whole(shifts)
    samples = _reached_by_all(shifts, run)
    scores = [np.asarray(score(X[samples - shift], Y[samples], run[samples])) for shift in shifts]
    return LagScan(shifts, np.stack(scores), len(samples))


def shift_control(score, X, Y, *, shifts, run):
    """Score features that were moved round their run, so far that they belong to another part of the stimulus.

    Rows keep their neighbours, so features keep their autocorrelation; moving the onsets of all events is the same.

    Parameters
    ----------
    score : callable of (X, Y, run) that gives an array of shape (n_targets,)
        As for `lag_scan`.
    X : array of shape (n_samples, n_features)
    Y : array of shape (n_samples, n_targets)
    shifts : int array of shape (n_shifts,)
        Samples, see `far_shifts`.
    run : array of shape (n_samples,)
        Uninterrupted recordings, each contiguous.

    Returns
    -------
    control : ShiftControl

    Raises
    ------
    Misaligned
        Lengths differ.
    BrainalignError
        Shifts that are not whole numbers, are there twice, or bring a run back to where it was.

    References
    ----------
    Theiler et al. (1992), Physica D 58:77, on surrogates that keep the autocorrelation. Phipson & Smyth (2010), Stat
    Appl Genet Mol Biol 9:39, for p.
    """
    X, Y, run = _aligned(X, Y, run=run)
    shifts = _whole(shifts)
    for samples in run_slices(run):
        n_samples = samples.stop - samples.start
        idle = shifts[shifts % n_samples == 0]
        if len(idle):
            raise BrainalignError(
                f"a shift by {idle[0]} moves nothing in run {str(run[samples.start])!r} of {n_samples}"
            )
    in_place = np.asarray(score(X, Y, run), dtype=float)
    shifted = np.stack([np.asarray(score(delay(X, [shift], run=run, wrap=True), Y, run)) for shift in shifts])
    defined = np.isfinite(in_place) & np.isfinite(shifted).all(axis=0)
    p = ((shifted >= in_place).sum(axis=0) + 1) / (len(shifts) + 1)
    return ShiftControl(in_place, shifts, shifted, np.where(defined, p, np.nan))


def far_shifts(n_shifts, *, smallest, run, seed):
    """Draw shifts that move the samples of every run by at least so many samples, either way round.

    Parameters
    ----------
    n_shifts : int
    smallest : int
        Samples, 1 or more: longer than features and responses resemble themselves.
    run : array of shape (n_samples,)
    seed : int

    Returns
    -------
    shifts : int array of shape (n_shifts,)
        Positive, each once, ascending, equally likely between `smallest` and the length of the shortest run less
        `smallest`.

    Raises
    ------
    BrainalignError
        There are fewer such shifts.
    """
    if smallest < 1:
        raise BrainalignError(f"smallest must be 1 sample or more, got {smallest}")
    shortest = min(samples.stop - samples.start for samples in run_slices(run))
    possible = np.arange(smallest, shortest - smallest + 1)
    if n_shifts < 1 or len(possible) < n_shifts:
        raise BrainalignError(
            f"the shortest run has {shortest} samples, so {len(possible)} shifts move it by {smallest} or more either "
            f"way round; {n_shifts} were asked for"
        )
    return np.sort(np.random.default_rng(seed).choice(possible, size=n_shifts, replace=False))


def _peak(shifts, scores):
    scored = np.isfinite(scores).any(axis=0)
    order = np.argsort(np.abs(shifts), kind="stable")
    ranked = np.where(np.isfinite(scores), scores, -np.inf)[order]
    return np.where(scored, shifts[order][np.argmax(ranked, axis=0)], np.nan)


def _reached_by_all(shifts, run):
    """Give the samples whose run holds every sample they are shifted to."""
    before, after = max(shifts.max(), 0), max(-shifts.min(), 0)
    kept = []
    for samples in run_slices(run):
        if samples.stop - samples.start <= before + after:
            raise Misaligned(
                f"run {str(run[samples.start])!r} has {samples.stop - samples.start} samples: shifts from "
                f"{shifts.min()} to {shifts.max()} leave none that all of them reach"
            )
        kept.append(np.arange(samples.start + before, samples.stop - after))
    return np.concatenate(kept)


def _aligned(X, Y, *, run):
    X, Y, run = np.asarray(X), np.asarray(Y), np.asarray(run)
    if X.ndim != 2 or Y.ndim != 2 or not len(X) == len(Y) == len(run):
        raise Misaligned(
            f"X, Y and run must be (n_samples, n_features), (n_samples, n_targets) and (n_samples,), got {X.shape}, "
            f"{Y.shape} and {run.shape}"
        )
    return X, Y, run


def _whole(shifts):
    shifts = np.atleast_1d(np.asarray(shifts))
    if shifts.ndim != 1 or len(shifts) == 0 or not np.issubdtype(shifts.dtype, np.integer):
        raise BrainalignError(f"shifts must be whole numbers of samples, got {shifts.tolist()}")
    if len(np.unique(shifts)) < len(shifts):
        raise BrainalignError(f"a shift is there twice in {shifts.tolist()}")
    return shifts.astype(int)
