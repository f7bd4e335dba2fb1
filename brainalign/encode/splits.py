"""Training and test samples: whole groups or contiguous blocks with a gap, never shuffled single samples.

Neighbours in a slow series resemble each other whether or not the features say anything about the brain, and a stimulus
that was shown twice resembles itself. A split that puts one of the two in the training set and the other in the test
set scores r2 = .9 and .7 on features that have nothing to do with the responses, so no such split can be made here.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from brainalign.errors import BrainalignError, Misaligned


class Fold(NamedTuple):
    """Positions of the training samples and of the test samples, both ascending."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Blocks:
    """Splitter into `n` contiguous test blocks, see `blocks`."""

    n: int = 5
    gap: int = 0

    def split(self, n_samples, *, groups=None, run=None, position=None):
        """Give the folds, a list of `Fold`; the arguments are those of `blocks`."""
        return blocks(n_samples, n=self.n, gap=self.gap, groups=groups, run=run, position=position)


@dataclass(frozen=True)
class Groups:
    """Splitter that tests on whole groups: each in turn (`n=None`), or `n` folds of several, see `group_blocks`."""

    n: int | None = None
    seed: int | None = None

    def split(self, n_samples, *, groups=None, run=None, position=None):  # noqa: ARG002
        """Give the folds, a list of `Fold`. Without `groups`, the runs are the groups."""
        labels = run if groups is None else groups
        if labels is None:
            raise BrainalignError("a split by groups needs groups or run: one label per sample")
        labels = _labels(labels, n_samples, name="groups")
        return by_group(labels) if self.n is None else group_blocks(labels, n=self.n, seed=self.seed)


def blocks(n_samples, *, n, gap=0, groups=None, run=None, position=None):
    """Test on each of `n` contiguous blocks of samples and train on the others, less a gap on both sides of the block.

    Parameters
    ----------
    n_samples : int
    n : int
        Number of folds. The blocks are of equal length to one sample.
    gap : int
        Training samples at a distance of at most `gap` samples from a test sample of the same run are left out.
    groups : array of shape (n_samples,), optional
        What must not be split (a sentence, a stimulus): borders move to the nearest border between groups.
    run : array of shape (n_samples,), optional
        Uninterrupted recordings, each contiguous; samples of two runs are no neighbours. By default all are of one run.
    position : int array of shape (n_samples,), optional
        Where each sample stood in the series it was taken from; `arange(n_samples)` by default. Splitting a training
        set once more, from whose middle a test block is gone, needs it: samples on both sides of the hole follow each
        other in the array but are no neighbours, and the gap is counted on `position`.

    Returns
    -------
    folds : list of Fold, of length n
        Every sample is in exactly one test set.

    Raises
    ------
    BrainalignError
        Fewer samples or groups than folds, a test set of less than two samples, an empty training set, a group that
        comes back after another, so that no contiguous blocks keep it whole.
    Misaligned
        Labels of another length than `n_samples`, or a run that is not contiguous.
    """
    _check_counts(n, gap)
    run = (
        np.zeros(n_samples, dtype=int) if run is None else _contiguous(_labels(run, n_samples, name="run"), name="run")
    )
    position = np.arange(n_samples) if position is None else _labels(position, n_samples, name="position")
    starts = np.arange(1, n_samples) if groups is None else _group_starts(_labels(groups, n_samples, name="groups"))
    borders = np.r_[0, _borders(starts, n_samples, n=n), n_samples]
    folds = []
    for start, stop in pairwise(borders):
        in_test = np.zeros(n_samples, dtype=bool)
        in_test[start:stop] = True
        in_train = ~in_test & ~_near_test(in_test, run=run, position=position, gap=gap)
        folds.append(Fold(np.flatnonzero(in_train), np.flatnonzero(in_test)))
    return check_folds(folds, n_samples)


def by_group(groups):
    """Leave one group out: test on each group in turn, in order of appearance.

    Parameters
    ----------
    groups : array of shape (n_samples,)
        What must not be split: runs, stories, stimuli.

    Returns
    -------
    folds : list of Fold, one per group

    Raises
    ------
    BrainalignError
        There is one group only, or one has less than two samples.
    """
    names = _in_order(groups)[0]
    if len(names) < 2:
        raise BrainalignError(
            f"leaving one group out needs at least 2 groups, got {[str(name) for name in names]}: "
            "split into contiguous blocks instead"
        )
    return group_blocks(groups, n=len(names))


def group_blocks(groups, *, n, seed=None):
    """Test on each of `n` sets of whole groups.

    Parameters
    ----------
    groups : array of shape (n_samples,)
        What must not be split. The samples of a group may lie anywhere.
    n : int
        Number of folds, of about equal numbers of samples.
    seed : int, optional
        Draw the groups into the folds at random. By default a fold holds groups that appear one after the other: for
        stimuli that are sorted by where they come from, that asks for generalisation to another source.

    Returns
    -------
    folds : list of Fold, of length n

    Raises
    ------
    BrainalignError
        Fewer groups than folds, a test set of less than two samples.
    """
    _check_counts(n, gap=0)
    names, i_group = _in_order(groups)
    if len(names) < n:
        raise BrainalignError(
            f"{n} folds of whole groups need at least {n} groups, got {len(names)}: "
            f"{[str(name) for name in names[:10]]}; ask for fewer folds, or split into blocks"
        )
    if seed is not None:
        i_group = np.random.default_rng(seed).permutation(len(names))[i_group]
    ends = np.cumsum(np.bincount(i_group))  # (n_groups,) samples up to and with each group
    chosen = _borders(ends[:-1], len(i_group), n=n)
    i_fold = np.searchsorted(chosen, ends - 1, side="right")[i_group]  # (n_samples,)
    folds = [Fold(np.flatnonzero(i_fold != k), np.flatnonzero(i_fold == k)) for k in range(n)]
    return check_folds(folds, len(i_group))


def check_folds(folds, n_samples):
    """Give the folds as a list of `Fold`, checked.

    Parameters
    ----------
    folds : iterable of (train, test)
        Integer positions.
    n_samples : int

    Returns
    -------
    folds : list of Fold
        Positions ascending.

    Raises
    ------
    BrainalignError
        No fold at all, a training or test set of less than two samples, a sample in both or twice in one, a position
        that does not exist.
    """
    checked = [Fold(np.sort(np.asarray(train)), np.sort(np.asarray(test))) for train, test in folds]
    if not checked:
        raise BrainalignError("no folds: at least one pair of training and test samples is needed")
    for i_fold, fold in enumerate(checked):
        for name, samples in fold._asdict().items():
            if len(samples) < 2:
                raise BrainalignError(
                    f"fold {i_fold} has {len(samples)} {name} samples of {n_samples}, at least 2 are needed: "
                    "ask for fewer folds or a smaller gap"
                )
            if not np.issubdtype(samples.dtype, np.integer) or samples.min() < 0 or samples.max() >= n_samples:
                raise BrainalignError(f"fold {i_fold}: {name} must be positions from 0 to {n_samples - 1}")
            if (samples[1:] == samples[:-1]).any():
                raise BrainalignError(f"fold {i_fold}: a sample is twice in {name}")
        shared = np.intersect1d(fold.train, fold.test)
        if len(shared):
            raise BrainalignError(f"fold {i_fold}: sample {shared[0]} is in the training and in the test set")
    return checked


def check_stimuli(folds, stimulus):
    """Refuse folds that train and test on the same stimulus.

    Parameters
    ----------
    folds : list of Fold
    stimulus : array of shape (n_samples,)
        What was shown; repetitions have the same label.

    Raises
    ------
    BrainalignError
        A stimulus is in the training and in the test set of a fold: names it.
    """
    stimulus = np.asarray(stimulus)
    for i_fold, fold in enumerate(folds):
        shared = np.intersect1d(stimulus[fold.train], stimulus[fold.test])
        if len(shared):
            raise BrainalignError(
                f"stimulus {str(shared[0])!r} is in the training and in the test set of fold {i_fold}"
                f" ({len(shared)} such stimuli): a model can score by remembering it; split by groups = stimulus"
            )


def check_series(folds, *, run):
    """Refuse folds that scatter single test samples among training samples of a series in time.

    Parameters
    ----------
    folds : list of Fold
    run : array of shape (n_samples,)
        Uninterrupted recordings, in order of time.

    Raises
    ------
    BrainalignError
        More than half of the test samples of a fold have a training sample right before or after them in their run,
        which blocks of more than four samples never do.
    """
    run = np.asarray(run)
    for i_fold, fold in enumerate(folds):
        in_train = np.zeros(len(run), dtype=bool)
        in_train[fold.train] = True
        joined = run[1:] == run[:-1]
        before = np.r_[False, in_train[:-1] & joined]
        after = np.r_[in_train[1:] & joined, False]
        share = (before | after)[fold.test].mean()
        if share > 0.5 and len(fold.test) > 4:
            raise BrainalignError(
                f"fold {i_fold}: {share:.0%} of the test samples have a neighbour in time in the training set; on slow "
                "series that scores r2 = .9 with unrelated features; use contiguous blocks with a gap, or whole runs"
            )


def _check_counts(n, gap):
    if int(n) != n or n < 2 or int(gap) != gap or gap < 0:
        raise BrainalignError(
            f"n must be a whole number of at least 2 folds and gap of at least 0 samples, got n={n}, gap={gap}"
        )


def _labels(labels, n_samples, *, name):
    labels = np.asarray(labels)
    if labels.shape != (n_samples,):
        raise Misaligned(f"{name} must be one label for each of {n_samples} samples, got shape {labels.shape}")
    return labels


def _in_order(groups):
    """Give the names of the groups in order of appearance (n_groups,) and the group of each sample (n_samples,)."""
    groups = np.asarray(groups)
    names, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(names), dtype=int)
    rank[order] = np.arange(len(names))
    return names[order], rank[inverse]


def _starts(labels):
    return np.flatnonzero(labels[1:] != labels[:-1]) + 1


def _contiguous(labels, *, name):
    starts = np.r_[0, _starts(labels)]
    names, first = np.unique(labels[starts], return_index=True)
    if len(names) < len(starts):
        i = np.setdiff1d(np.arange(len(starts)), first)[0]
        raise Misaligned(
            f"{name} {str(labels[starts[i]])!r} comes back at sample {starts[i]}: "
            f"the samples of a {name} must follow each other"
        )
    return labels


def _group_starts(groups):
    try:
        return _starts(_contiguous(groups, name="group"))
    except Misaligned as error:
        raise BrainalignError(f"{error}; no contiguous blocks keep it whole: split by groups instead") from None


def _borders(allowed, n_samples, *, n):
    """Choose n - 1 of the allowed borders, each the nearest to an even split that leaves enough for those to come."""
    if len(allowed) < n - 1:
        raise BrainalignError(
            f"{n} folds need at least {n} samples or groups, got {len(allowed) + 1}: ask for fewer folds"
            " (groups are never split; a series that may be split within its runs takes run, not groups)"
        )
    chosen, first = [], 0
    for k in range(1, n):
        last = len(allowed) - (n - 1 - k)
        i = first + int(np.argmin(np.abs(allowed[first:last] - k * n_samples / n)))
        chosen.append(allowed[i])
        first = i + 1
    return np.array(chosen, dtype=int)


def _near_test(in_test, *, run, position, gap):
    """Mark samples that lie within `gap` positions of a test sample of their own run."""
    near = np.zeros_like(in_test)
    if gap == 0:
        return near
    for label in np.unique(run[in_test]):
        of_run = np.flatnonzero(run == label)
        tested = np.sort(position[of_run[in_test[of_run]]])
        i = np.searchsorted(tested, position[of_run])
        after = tested[np.minimum(i, len(tested) - 1)] - position[of_run]
        before = position[of_run] - tested[np.maximum(i - 1, 0)]
        near[of_run] = np.minimum(np.abs(after), np.abs(before)) <= gap
    return near
