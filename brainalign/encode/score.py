"""Held-out scores: fit on the training part of every fold, score on its test part."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from brainalign.encode.metrics import METRICS
from brainalign.encode.splits import check_folds, check_series, check_stimuli
from brainalign.errors import Misaligned


@dataclass(frozen=True, eq=False)
class FoldScores:
    """What `cross_validate` found, per fold and target.

    Parameters
    ----------
    scores : dict of str to array of shape (n_folds, n_targets)
        Metric to held-out scores; nan where the metric is undefined (a response that is constant in the test set, a
        constant prediction for Pearson).
    alpha : array of shape (n_folds, n_targets)
        Penalties chosen within the training sets; nan for targets that are constant there, or estimators without
        `alpha_`.
    inner_score : array of shape (n_folds, n_targets)
        The estimator's `inner_score_`, from the training sets alone.
    alpha_at_edge : array of shape (n_folds, 2)
        Shares of targets at the lowest and at the highest penalty of the grid.
    """

    scores: dict[str, np.ndarray]
    alpha: np.ndarray
    inner_score: np.ndarray
    alpha_at_edge: np.ndarray

    def n_scored(self, metric):
        """Count the folds in which each target has a score, (n_targets,)."""
        return np.isfinite(self.scores[metric]).sum(axis=0)

    def mean(self, metric):
        """Average over the folds that have a score, (n_targets,); nan where none has. See `n_scored`."""
        return _mean_and_sd(self.scores[metric])[0]

    def sd(self, metric):
        """Give the sample standard deviation over the same folds, (n_targets,); nan where fewer than two have one."""
        return _mean_and_sd(self.scores[metric])[1]


def cross_validate(estimator, X, Y, *, folds, groups=None, run=None, metrics=("pearson", "r2")):
    """Score an encoding model on samples it was not fitted on.

    Parameters
    ----------
    estimator : estimator with `fit(X, Y, groups=, run=, position=)` and `predict(X)`
        Cloned for every fold; whatever it fits, it fits on the training samples only.
    X : array of shape (n_samples, n_features)
    Y : array of shape (n_samples, n_targets)
    folds : list of (train, test)
        From `splits.blocks`, `by_group` or `group_blocks`.
    groups : array of shape (n_samples,), optional
        What must not be split: no fold may train and test on the same group. Handed to the estimator for its inner
        splits.
    run : array of shape (n_samples,), optional
        For a series in time, its uninterrupted recordings: folds that scatter test samples among training samples are
        refused. Handed to the estimator.
    metrics : sequence of str
        Names in `METRICS`.

    Returns
    -------
    fold_scores : FoldScores

    Raises
    ------
    BrainalignError
        The folds split a group or scatter the samples of a series, or are no folds of these samples.
    Misaligned
        Lengths differ.
    UnknownName
        Another metric.
    """
    X, Y, groups, run = _aligned(X, Y, groups=groups, run=run)
    measures = {name: METRICS[name] for name in metrics}
    folds = check_folds(folds, len(X))
    if groups is not None:
        check_stimuli(folds, groups)
    if run is not None:
        check_series(folds, run=run)
    scores = {name: np.full((len(folds), Y.shape[1]), np.nan) for name in measures}
    fitted = []
    for i_fold, (train, test) in enumerate(folds):
        model = clone(estimator)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*penalty of the grid")  # counted in `alpha_at_edge`
            model.fit(X[train], Y[train], groups=_of(groups, train), run=_of(run, train), position=train)
        Y_hat = model.predict(X[test])
        for name, measure in measures.items():
            scores[name][i_fold] = measure(Y[test], Y_hat)
        fitted.append(_diagnostics(model, Y.shape[1]))
    alpha, inner_score, at_edge = (np.stack(values) for values in zip(*fitted, strict=True))
    return FoldScores(scores, alpha, inner_score, at_edge)


def nested_choice(inner_scores, scores):
    """Choose a candidate (a layer) per fold and target by inner score, and report its held-out score.

    Parameters
    ----------
    inner_scores : array of shape (n_candidates, n_folds, n_targets)
        From the training sets alone: `FoldScores.inner_score` of each candidate.
    scores : array of shape (n_candidates, n_folds, n_targets)
        Held-out scores of each candidate, which have no part in the choice.

    Returns
    -------
    chosen : int array of shape (n_folds, n_targets)
        The first of those with the highest inner score; a nan inner score is never chosen; -1 where all are nan.
    chosen_scores : array of shape (n_folds, n_targets)
        nan where nothing was chosen or the chosen candidate has no score.

    Raises
    ------
    Misaligned
        The shapes differ.
    """
    inner_scores, scores = np.asarray(inner_scores), np.asarray(scores)
    if inner_scores.ndim != 3 or inner_scores.shape != scores.shape or len(scores) == 0:
        raise Misaligned(
            "inner_scores and scores must both be (n_candidates, n_folds, n_targets), "
            f"got {inner_scores.shape} and {scores.shape}"
        )
    undefined = np.isnan(inner_scores)
    chosen = np.argmax(np.where(undefined, -np.inf, inner_scores), axis=0)
    nothing = undefined.all(axis=0)
    chosen_scores = np.take_along_axis(scores, chosen[None], axis=0)[0]
    return np.where(nothing, -1, chosen), np.where(nothing, np.nan, chosen_scores)


def _aligned(X, Y, *, groups, run):
    X, Y = np.asarray(X), np.asarray(Y)
    if X.ndim != 2 or Y.ndim != 2:
        raise Misaligned(f"X must be (n_samples, n_features) and Y (n_samples, n_targets), got {X.shape} and {Y.shape}")
    labels = {name: None if given is None else np.asarray(given) for name, given in (("groups", groups), ("run", run))}
    for name, values in (("Y", Y), *labels.items()):
        if values is not None and len(values) != len(X):
            raise Misaligned(f"X has {len(X)} samples but {name} has {len(values)}")
    return X, Y, labels["groups"], labels["run"]


def _of(labels, samples):
    return None if labels is None else labels[samples]


def _diagnostics(model, n_targets):
    unknown = np.full(n_targets, np.nan)
    return (
        np.broadcast_to(getattr(model, "alpha_", unknown), n_targets),
        np.broadcast_to(getattr(model, "inner_score_", unknown), n_targets),
        np.array(getattr(model, "alpha_at_edge_", (np.nan, np.nan))),
    )


def _mean_and_sd(scores):
    scored = np.isfinite(scores)
    n = scored.sum(axis=0)
    mean = np.where(n > 0, np.where(scored, scores, 0).sum(axis=0) / np.maximum(n, 1), np.nan)
    squares = np.where(scored, scores - mean, 0) ** 2
    return mean, np.where(n > 1, np.sqrt(squares.sum(axis=0) / np.maximum(n - 1, 1)), np.nan)
