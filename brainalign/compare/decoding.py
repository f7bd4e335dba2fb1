"""Decoding: which of several classes was presented, told from the responses on runs that the decoder has not seen.

Scaling, choice of features and classifier are fitted on the training runs of every fold, also where labels are
permuted. Which accuracies arise without information is asked by permuting labels within runs: labels of one run are
exchangeable under the null hypothesis, those of different runs need not be, and each run keeps its number of samples of
a class.

References
----------
Pereira, Mitchell & Botvinick (2009), NeuroImage 45:S199-S209. Etzel (2017), MVPA significance testing when just above
chance, PRNI, on permutation within runs.
"""

from dataclasses import dataclass

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from brainalign.errors import BrainalignError, Misaligned
from brainalign.registry import registry_of

DECODERS = registry_of(
    "decoder",
    {
        "logistic": lambda penalty: LogisticRegression(C=1 / penalty, max_iter=10_000),
        "svm": lambda penalty: SVC(kernel="linear", C=1 / penalty),
        "ridge": lambda penalty: RidgeClassifier(alpha=penalty),
    },
)
"""Linear classifiers by name: multinomial logistic regression, support vectors (one against one), ridge regression."""


@dataclass(frozen=True, eq=False)
class Decoding:
    """What `decode` found.

    Parameters
    ----------
    classes : array of shape (n_classes,)
        Sorted.
    fold_accuracies : array of shape (n_folds,)
        Share of the test samples of each fold whose class was told.
    confusion : int array of shape (n_classes, n_classes)
        Test samples by what was presented (rows) and what was told (columns).
    chance : float
        Share of the most frequent class: the accuracy of always naming it. 1 / n_classes where classes are balanced.
    """

    classes: np.ndarray
    fold_accuracies: np.ndarray
    confusion: np.ndarray
    chance: float

    @property
    def accuracy(self):
        """Share of all test samples whose class was told; exact, so that ties with permutations are ties."""
        return float(np.trace(self.confusion) / self.confusion.sum())


def decoder(name, *, penalty=1.0, n_features=None):
    """Make a decoder: scaling, choice of features and a linear classifier, to be fitted on training samples as one.

    Parameters
    ----------
    name : str
        In `DECODERS`.
    penalty : float
        On the sum of squared weights, of features scaled to deviation 1: alpha of "ridge", 1 / C of the others.
    n_features : int, optional
        Features to keep, those of the highest `class_separation`.

    Returns
    -------
    estimator : sklearn.pipeline.Pipeline

    Raises
    ------
    UnknownName
        There is no such decoder.
    BrainalignError
        `penalty` or `n_features` is not positive.
    """
    classifier = DECODERS[name]
    if not penalty > 0 or (n_features is not None and n_features < 1):
        raise BrainalignError(f"penalty and n_features must be positive, got {penalty} and {n_features}")
    selection = [] if n_features is None else [SelectKBest(class_separation, k=n_features)]
    return make_pipeline(StandardScaler(), *selection, classifier(penalty))


def class_separation(X, labels):
    """How far the means of classes lie apart, per feature: F of a one-way analysis of variance.

    `F = (sum_c n_c |mean_c - mean|^2 / (n_classes - 1)) / (sum_i |x_i - mean_c(i)|^2 / (n_samples - n_classes))`

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    labels : array of shape (n_samples,)

    Returns
    -------
    F : array of shape (n_features,)
        0 for a feature that does not vary, infinite for one that varies between classes only.

    References
    ----------
    Oracle: `scipy.stats.f_oneway`.
    """
    _, i_class, n_of_class = np.unique(labels, return_inverse=True, return_counts=True)
    centred = np.asarray(X, np.float64) - np.mean(X, axis=0, dtype=np.float64)
    is_of_class = (i_class == np.arange(len(n_of_class))[:, None]).astype(float)  # (n_classes, n_samples)
    between = np.square(is_of_class @ centred / np.sqrt(n_of_class)[:, None]).sum(axis=0)
    within = np.square(centred).sum(axis=0) - between
    ratio = np.divide(between, within, out=np.where(between > 0, np.inf, 0.0), where=within > 0)
    return ratio * (len(X) - len(n_of_class)) / (len(n_of_class) - 1)


def decode(X, labels, *, run, estimator, folds=None):
    """Tell the class of every sample from a decoder that was fitted on other runs.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Responses, or activations.
    labels : array of shape (n_samples,)
        Class of every sample.
    run : array of shape (n_samples,)
        What no fold may split.
    estimator : estimator with `fit(X, labels)` and `predict(X)`
        From `decoder`, or any classifier of scikit-learn. Cloned for every fold; whatever it fits, it fits on the
        training samples only.
    folds : list of (train, test), optional
        Integer positions, e.g. from `encode.splits`. By default each run is left out in turn, in order of appearance.

    Returns
    -------
    decoding : Decoding

    Raises
    ------
    Misaligned
        Lengths differ, or X is not 2-D.
    BrainalignError
        NaN or infinity; fewer than two classes or runs; a fold that splits a run, or tests a class it does not train.

    References
    ----------
    Oracle: `sklearn.model_selection.cross_val_predict` with `LeaveOneGroupOut`.
    """
    X, labels, folds = checked(X, labels, run, folds, n_axes=2)
    classes, shown = np.unique(labels, return_inverse=True)
    confusions = _confusions(X, shown, estimator, folds)
    fold_accuracies = confusions.trace(axis1=1, axis2=2) / confusions.sum(axis=(1, 2))
    return Decoding(classes, fold_accuracies, confusions.sum(axis=0), float(np.bincount(shown).max() / len(shown)))


def permuted_accuracies(X, labels, *, run, estimator, folds=None, n_permutations, seed):
    """Decode labels that were permuted within runs: the null distribution of the accuracy.

    Parameters
    ----------
    X, labels, run, estimator, folds
        As `decode`.
    n_permutations : int
        The smallest p there can be is 1 / (n_permutations + 1).
    seed : int
        The same permutations for every X that has these labels and runs, so that `relatedness.p_values` can correct
        for several of them.

    Returns
    -------
    null : array of shape (n_permutations,)
        `Decoding.accuracy` of each. A permutation that exchanges classes in the same way in every run changes nothing:
        with few classes and runs some of them are as accurate as the labels.

    Raises
    ------
    Misaligned, BrainalignError
        As `decode`; `n_permutations` is not positive, or every run has one class only.
    """
    X, labels, folds = checked(X, labels, run, folds, n_axes=2)
    shown = np.unique(labels, return_inverse=True)[1]
    null = np.empty(n_permutations)
    with config_context(assume_finite=True, skip_parameter_validation=True):  # checked once is enough
        for i, permuted in enumerate(permuted_labels(shown, run=run, n_permutations=n_permutations, seed=seed)):
            confusion = _confusions(X, permuted, estimator, folds).sum(axis=0)
            null[i] = np.trace(confusion) / confusion.sum()
    return null


def permuted_labels(shown, *, run, n_permutations, seed):
    """Permute labels within runs.

    Parameters
    ----------
    shown, run : arrays of shape (n_samples,)
    n_permutations, seed : int

    Returns
    -------
    permuted : array of shape (n_permutations, n_samples)

    Raises
    ------
    BrainalignError
        `n_permutations` is not positive, or every run has one class only.
    """
    shown, run = np.asarray(shown), np.asarray(run)
    if n_permutations < 1:
        raise BrainalignError(f"n_permutations must be positive, got {n_permutations}")
    samples_of_runs = [np.flatnonzero(run == name) for name in dict.fromkeys(run.tolist())]
    if all(len(set(shown[samples].tolist())) == 1 for samples in samples_of_runs):
        raise BrainalignError("every run has one class only: permuting labels within runs changes nothing")
    random, permuted = np.random.default_rng(seed), np.tile(shown, (n_permutations, 1))
    for row in permuted:
        for samples in samples_of_runs:
            row[samples] = random.permutation(shown[samples])
    return permuted


def _confusions(X, shown, estimator, folds):
    """Count, per fold, the test samples by what was shown and what was told, (n_folds, n_classes, n_classes)."""
    confusions = np.zeros((len(folds), shown.max() + 1, shown.max() + 1), dtype=int)
    for confusion, (train, test) in zip(confusions, folds, strict=True):
        told = clone(estimator).fit(X[train], shown[train]).predict(X[test])  # (n_test,)
        np.add.at(confusion, (shown[test], told), 1)
    return confusions


def leave_one_run_out(run):
    """Leave each run out in turn, in order of appearance.

    Parameters
    ----------
    run : array of shape (n_samples,)

    Returns
    -------
    folds : list of (train, test)
        Integer positions.

    Raises
    ------
    BrainalignError
        There is one run only.
    """
    run = np.asarray(run)
    names = list(dict.fromkeys(run.tolist()))
    if len(names) < 2:
        raise BrainalignError(f"leaving one run out needs at least 2 runs, got {names}")
    return [(np.flatnonzero(run != name), np.flatnonzero(run == name)) for name in names]


def check_classes(folds, labels, *, run):
    """Refuse folds that leak, and classes that cannot be told.

    Parameters
    ----------
    folds : list of (train, test)
    labels, run : arrays of shape (n_samples,)

    Raises
    ------
    BrainalignError
        Fewer than two classes; a fold that splits a run, or tests a class it does not train.
    """
    labels, run = np.asarray(labels), np.asarray(run)
    if len(np.unique(labels)) < 2:
        raise BrainalignError(f"decoding needs at least 2 classes, got {np.unique(labels).tolist()}")
    for i_fold, (train, test) in enumerate(folds):
        if len(shared := np.intersect1d(run[train], run[test])):
            raise BrainalignError(f"fold {i_fold} trains and tests on run {str(shared[0])!r}; leave out whole runs")
        if len(new := np.setdiff1d(labels[test], labels[train])):
            raise BrainalignError(f"fold {i_fold} tests class {str(new[0])!r}, which its training runs do not have")


def checked(X, labels, run, folds, *, n_axes):
    """Give X, labels and folds as arrays that belong together, or say what does not; refuses as `decode` does."""
    X, labels, run = np.asarray(X), np.asarray(labels), np.asarray(run)
    if X.ndim != n_axes or not len(X) == len(labels) == len(run) or labels.ndim != 1 or run.ndim != 1:
        raise Misaligned(
            f"X must have {n_axes} axes, with one label and one run for each sample: got X {X.shape}, labels "
            f"{labels.shape}, run {run.shape}"
        )
    if not np.isfinite(X).all():
        raise BrainalignError(f"X has {np.sum(~np.isfinite(X))} values that are NaN or infinity; leave them out before")
    folds = leave_one_run_out(run) if folds is None else list(folds)
    check_classes(folds, labels, run=run)
    return X, labels, folds
