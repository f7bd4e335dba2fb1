"""Noise ceiling of a person by a model: a ridge regression from what the other people's brains did."""

import numpy as np

from brainalign.encode.ceiling import Ceiling
from brainalign.encode.metrics import Unit, is_constant
from brainalign.encode.score import cross_validate
from brainalign.errors import Misaligned

KIND = "inter-subject ridge (single trial, r)"


def inter_subject_ridge(Y, others, *, estimator, folds, groups=None, run=None, blocks=None):
    """Ceiling in r of one person: the held-out score of a model whose features are the mean of the others' responses.

        x_t   = mean over others of (y_t - mean) / deviation        both over the training samples of the fold
        value = mean over folds of corr(y, y_hat)                   y_hat = W x, fitted on the training samples

    What responses share among people can be predicted, what is one person's own cannot, and the mean of few people, or
    of single trials, is noisy: a low estimate, which a good model of the stimulus may exceed.

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)
        Responses of the person.
    others : sequence of arrays of shape (n_samples, n_targets)
        Responses of each of the others to the same samples, of the same targets.
    estimator : estimator with `fit(X, Y, groups=, run=, position=)` and `predict(X)`
        Such as `RidgeCV` with the penalties and inner splits of the encoding model.
    folds : list of (train, test)
        Those of the encoding model.
    groups, run : arrays of shape (n_samples,), optional
        As of `cross_validate`.
    blocks : array of shape (n_targets,), optional
        Label per target, such as its lag: targets are predicted from the others' targets of the same label. By default
        from all.

    Returns
    -------
    ceiling : Ceiling
        Unit r; `value` and `raw` are the same (n_targets,): means over the folds in which neither the response nor its
        prediction is constant, nan where there is none; negative values as they are.

    Raises
    ------
    Misaligned
        No others, other shapes, labels that are not one per target.
    BrainalignError
        NaN or infinity, folds that split a group or scatter the samples of a series.

    References
    ----------
    Caucheteux & King (2022), Commun Biol 5:134, "shared response"; Caucheteux, Gramfort & King (2023), Nat Hum Behav
    7:430. Oracles: scikit-learn's `Ridge` fitted by hand, the theory of one target at a time without penalty.
    """
    Y, others = np.asarray(Y), [np.asarray(other) for other in others]
    blocks = np.zeros(Y.shape[-1], dtype=int) if blocks is None else np.asarray(blocks)
    if not others or any(other.shape != Y.shape for other in others) or Y.ndim != 2:
        shapes = [other.shape for other in others]
        raise Misaligned(f"all must be (n_samples, n_targets): the person is {Y.shape}, the others are {shapes}")
    if blocks.shape != Y.shape[1:]:
        raise Misaligned(f"blocks must be one label for each of {Y.shape[1]} targets, got shape {blocks.shape}")
    members = [np.flatnonzero(blocks == label) for label in np.unique(blocks)]
    r = np.full((len(folds), Y.shape[1]), np.nan)
    for i_fold, fold in enumerate(folds):
        X = sum(_standardised(other, fold[0]) for other in others) / len(others)
        for block in members:
            found = cross_validate(
                estimator, X[:, block], Y[:, block], folds=[fold], groups=groups, run=run, metrics=("pearson",)
            )
            r[i_fold, block] = found.scores["pearson"][0]
    scored = np.isfinite(r)
    n = scored.sum(axis=0)
    value = np.where(n > 0, np.where(scored, r, 0).sum(axis=0) / np.maximum(n, 1), np.nan)
    return Ceiling(value, kind=KIND, unit=Unit.R, raw=value)


def _standardised(values, train):
    """Give the responses about their mean over the training samples, in deviations there; zero where constant there."""
    values = values.astype(np.float64)
    varies = ~is_constant(values[train])
    deviation = np.where(varies, values[train].std(axis=0), 1)
    return np.where(varies, (values - values[train].mean(axis=0)) / deviation, 0)
