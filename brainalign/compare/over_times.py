"""Decoding over the time from an event: at every time by itself, and of every time from every other.

Which scores arise without information is asked by permuting labels within runs, as in `compare.decoding`, the same
permutations at every time: the highest score over times under a permutation is what a peak has to beat.

References
----------
King & Dehaene (2014), Trends Cogn Sci 18:203-210, generalisation over times. Nichols & Holmes (2002), Hum Brain Mapp
15:1-25, the highest value of all under a permutation.
"""

import numpy as np
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from brainalign.compare.decoding import checked, permuted_labels
from brainalign.errors import BrainalignError
from brainalign.registry import registry_of

BLOCK = 2**23  # values of labels that are fitted side by side: 64 MB


def accuracy(shown, told):
    """Give the share of samples whose class was told.

    Parameters
    ----------
    shown, told : int arrays of shape (n_samples, n_columns)

    Returns
    -------
    accuracy : array of shape (n_columns,)
    """
    return (shown == told).mean(axis=0)


def roc_auc(shown, decisions):
    """Give the area under the ROC curve: how often a sample of class 1 is decided higher than one of class 0.

    `(sum of the ranks of class 1 - n_1 (n_1 + 1) / 2) / (n_1 n_0)`, ties counting half.

    Parameters
    ----------
    shown : int array of shape (n_samples, n_columns)
        0 or 1.
    decisions : array of shape (n_samples, n_columns)

    Returns
    -------
    auc : array of shape (n_columns,)
        0.5 at chance, whatever the balance of the classes; nan where there is one class only.

    References
    ----------
    Hanley & McNeil (1982), Radiology 143:29-36. Oracle: `sklearn.metrics.roc_auc_score`.
    """
    n_1 = shown.sum(axis=0)
    n_pairs = n_1 * (len(shown) - n_1)
    above = (rankdata(decisions, axis=0) * shown).sum(axis=0) - n_1 * (n_1 + 1) / 2
    return np.divide(above, n_pairs, out=np.full(n_pairs.shape, np.nan), where=n_pairs > 0)


SCORES = registry_of("score", {"accuracy": accuracy, "roc_auc": roc_auc})
"""How well classes are told: `score(shown, answers)`; answers are classes for "accuracy", decisions for "roc_auc"."""


def decode_over_times(X, labels, *, run, estimator, folds=None, score="accuracy"):
    """Decode at every time by itself.

    Parameters
    ----------
    X : array of shape (n_events, n_channels, n_times)
        Epochs, as MNE orders them.
    labels, run, estimator, folds
        As `decoding.decode`, per event.
    score : {"accuracy", "roc_auc"}
        "roc_auc" asks for two classes and an estimator with `decision_function`.

    Returns
    -------
    scores : array of shape (n_folds, n_times)

    Raises
    ------
    Misaligned, BrainalignError, UnknownName
        As `decoding.decode`, with X of three axes; other than two classes in a test fold for "roc_auc".

    References
    ----------
    Oracle: `mne.decoding.SlidingEstimator`.
    """
    X, shown, folds = _coded(X, labels, run, folds, score)
    scores = np.empty((len(folds), X.shape[2]))
    for i_fold, (train, test) in enumerate(folds):
        for i_time in range(X.shape[2]):
            model = clone(estimator).fit(X[train, :, i_time], shown[train])
            answers = _answers(model, X[test, :, i_time], score)
            scores[i_fold, i_time] = SCORES[score](shown[test, None], answers[:, None])[0]
    return scores


def generalise_over_times(X, labels, *, run, estimator, folds=None, score="accuracy"):
    """Train at every time and test at every other: whether the code of a class at one time is that of another.

    Parameters
    ----------
    X, labels, run, estimator, folds, score
        As `decode_over_times`.

    Returns
    -------
    scores : array of shape (n_folds, n_times, n_times)
        Times of training (axis 1), times of testing (axis 2). The diagonal is `decode_over_times`.

    Raises
    ------
    Misaligned, BrainalignError, UnknownName
        As `decode_over_times`.

    References
    ----------
    King & Dehaene (2014), figure 2. Oracle: `mne.decoding.GeneralizingEstimator`.
    """
    X, shown, folds = _coded(X, labels, run, folds, score)
    n_times = X.shape[2]
    scores = np.empty((len(folds), n_times, n_times))
    for i_fold, (train, test) in enumerate(folds):
        at_all_times = X[test].transpose(2, 0, 1).reshape(-1, X.shape[1])  # (n_times * n_test, n_channels)
        for i_time in range(n_times):
            model = clone(estimator).fit(X[train, :, i_time], shown[train])
            answers = _answers(model, at_all_times, score).reshape(n_times, len(test)).T
            scores[i_fold, i_time] = SCORES[score](np.repeat(shown[test, None], n_times, axis=1), answers)
    return scores


def permuted_over_times(X, labels, *, run, estimator, folds=None, score="accuracy", n_permutations, seed):
    """Decode labels that were permuted within runs at every time: the null distribution of the mean over folds.

    Parameters
    ----------
    X, labels, run, estimator, folds, score
        As `decode_over_times`. All permutations of a ridge classifier of scaled features are fitted at once.
    n_permutations, seed : int
        As `decoding.permuted_accuracies`.

    Returns
    -------
    null : array of shape (n_permutations, n_times)
        The same permutation at all times of a row.

    Raises
    ------
    Misaligned, BrainalignError, UnknownName
        As `decode_over_times` and `decoding.permuted_accuracies`.
    """
    X, shown, folds = _coded(X, labels, run, folds, score)
    permuted = permuted_labels(shown, run=run, n_permutations=n_permutations, seed=seed).T
    score_at = _scores_at_once if is_ridge(estimator) else _scores_in_turn
    null = np.zeros((n_permutations, X.shape[2]))
    with config_context(assume_finite=True, skip_parameter_validation=True):  # checked once is enough
        for train, test in folds:
            for i_time in range(X.shape[2]):
                parts = X[train, :, i_time], X[test, :, i_time]
                null[:, i_time] += score_at(estimator, parts, (permuted[train], permuted[test]), score)
    return null / len(folds)


def check_two_classes(folds, labels):
    """Refuse labels that have no area under the ROC curve.

    Parameters
    ----------
    folds : list of (train, test)
    labels : array of shape (n_samples,)

    Raises
    ------
    BrainalignError
        There are other than two classes, or one only in a test fold.
    """
    n_classes, n_fewest = len(np.unique(labels)), min(len(np.unique(labels[test])) for _, test in folds)
    if n_classes != 2 or n_fewest < 2:
        raise BrainalignError(
            f"roc_auc needs two classes, both in every test fold: got {n_classes} classes, {n_fewest} in a fold; take "
            "score 'accuracy'"
        )


def is_ridge(estimator):
    """Tell whether an estimator is ridge regression on the classes of scaled features, which many labels can share."""
    return (
        isinstance(estimator, Pipeline)
        and [type(step) for _, step in estimator.steps] == [StandardScaler, RidgeClassifier]
        and estimator[-1].class_weight is None
    )


def _coded(X, labels, run, folds, score):
    """Give X, the classes of its samples as integers, and folds, or say what does not belong together."""
    X, labels, folds = checked(X, labels, run, folds, n_axes=3)
    SCORES[score]
    if score == "roc_auc":
        check_two_classes(folds, labels)
    return X, np.unique(labels, return_inverse=True)[1], folds


def _answers(model, X, score):
    return model.decision_function(X) if score == "roc_auc" else model.predict(X)


def _scores_in_turn(estimator, parts, labels, score):
    """Fit and score one permutation after the other, (n_permutations,)."""
    (X_train, X_test), (shown, of_test) = parts, labels
    answers = [_answers(clone(estimator).fit(X_train, column), X_test, score) for column in shown.T]
    return SCORES[score](of_test, np.stack(answers, axis=1))


def _scores_at_once(estimator, parts, labels, score):
    """Fit all permutations as targets of one ridge regression: +1 for a class, -1 for the others, (n_permutations,)."""
    scaler = clone(estimator[0]).fit(parts[0])
    X_train, X_test = (scaler.transform(X) for X in parts)
    settings = {name: value for name, value in estimator[-1].get_params().items() if name != "class_weight"}
    shown, of_test = labels
    n_classes = shown.max() + 1
    width = max(1, BLOCK // (len(shown) * n_classes))
    scores = []
    for start in range(0, shown.shape[1], width):
        block = slice(start, start + width)
        classes = np.array([1]) if n_classes == 2 else np.arange(n_classes)
        targets = np.where(shown[:, block, None] == classes, 1.0, -1.0)  # (n_train, n_block, n_classes or 1)
        model = Ridge(**settings).fit(X_train, targets.reshape(len(shown), -1))
        decisions = model.predict(X_test).reshape(len(X_test), -1, len(classes))
        scores.append(SCORES[score](of_test[:, block], _of_decisions(decisions, score)))
    return np.concatenate(scores)


def _of_decisions(decisions, score):
    """Give the answers of a classifier from its decisions, (n_test, n_permutations)."""
    if decisions.shape[2] > 1:
        return decisions.argmax(axis=2)
    return decisions[..., 0] if score == "roc_auc" else (decisions[..., 0] > 0).astype(int)
