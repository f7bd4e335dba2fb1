"""Decoding over time against MNE and scikit-learn, permutations at once against one by one."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainalign.compare.decoding import decoder, leave_one_run_out, permuted_accuracies
from brainalign.compare.over_times import (
    decode_over_times,
    generalise_over_times,
    is_ridge,
    permuted_over_times,
    roc_auc,
)
from brainalign.compare.relatedness import p_values
from brainalign.errors import BrainalignError, Misaligned, UnknownName

CLASSES = np.array(["cat", "face", "house", "shoe"])


def epochs(n_classes, *, n_runs=5, n_repetitions=3, signal=2.0, seed=0):
    """Classes have patterns at times 1 and 2 of 5; (n_events, 6 channels, 5 times)."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([rng.permutation(np.repeat(CLASSES[:n_classes], n_repetitions)) for _ in range(n_runs)])
    run = np.repeat([f"r{i}" for i in range(n_runs)], n_classes * n_repetitions)
    X = rng.standard_normal((len(labels), 6, 5))
    patterns = signal * rng.standard_normal((n_classes, 6))
    X[:, :, 1:3] += patterns[np.searchsorted(CLASSES, labels)][:, :, None]
    return X, labels, run


@pytest.mark.parametrize(
    ("name", "n_classes", "score"),
    [("logistic", 4, "accuracy"), ("ridge", 4, "accuracy"), ("ridge", 2, "roc_auc"), ("svm", 2, "roc_auc")],
)
def test_over_times_as_mne(name, n_classes, score):
    from mne.decoding import GeneralizingEstimator, SlidingEstimator

    X, labels, run = epochs(n_classes)
    how = {"run": run, "estimator": decoder(name), "score": score}
    found, general = decode_over_times(X, labels, **how), generalise_over_times(X, labels, **how)
    for i_fold, (train, test) in enumerate(leave_one_run_out(run)):
        for estimator, scores in ((SlidingEstimator, found), (GeneralizingEstimator, general)):
            theirs = estimator(decoder(name), scoring=score, verbose=False).fit(X[train], labels[train])
            np.testing.assert_allclose(scores[i_fold], theirs.score(X[test], labels[test]))
    np.testing.assert_allclose(general.diagonal(axis1=1, axis2=2), found)
    mean = general.mean(axis=0)
    assert mean[1:3, 1:3].min() > 0.8
    assert mean[[0, 3, 4]][:, [0, 3, 4]].max() < 1 / n_classes + 0.3  # 3 standard deviations


def test_roc_auc_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    shown, decisions = rng.integers(0, 2, (40, 6)), rng.integers(0, 9, (40, 6)).astype(float)
    theirs = [roc_auc_score(shown[:, i], decisions[:, i]) for i in range(6)]
    np.testing.assert_allclose(roc_auc(shown, decisions), theirs)
    shown[:, 2] = 1
    assert np.isnan(roc_auc(shown, decisions)).tolist() == [False, False, True, False, False, False]


BARE = make_pipeline(StandardScaler(with_mean=False), RidgeClassifier(alpha=3.0, fit_intercept=False))


@pytest.mark.parametrize(
    ("n_classes", "score", "estimator"),
    [
        (2, "accuracy", decoder("ridge", penalty=3.0)),
        (2, "roc_auc", decoder("ridge", penalty=3.0)),
        (4, "accuracy", decoder("ridge", penalty=3.0)),
        (4, "accuracy", BARE),
    ],
)
def test_permutations_at_once_are_those_one_by_one(n_classes, score, estimator, monkeypatch):
    from brainalign.compare import over_times

    X, labels, run = epochs(n_classes)
    X[:, 3] = 7.0  # a constant channel
    how = {"run": run, "estimator": estimator, "score": score, "n_permutations": 12, "seed": 1}
    assert is_ridge(estimator)
    monkeypatch.setattr(over_times, "BLOCK", 5 * 60 * n_classes)  # several blocks, the last not full
    at_once = permuted_over_times(X, labels, **how)
    monkeypatch.setattr(over_times, "is_ridge", lambda estimator: False)
    np.testing.assert_allclose(at_once, permuted_over_times(X, labels, **how), atol=1e-12)
    assert at_once.shape == (12, 5)
    assert len(np.unique(at_once[:, 0])) > 3


def test_only_ridge_regression_on_classes_is_fitted_at_once():
    balanced = make_pipeline(StandardScaler(), RidgeClassifier(class_weight="balanced"))
    for other in (balanced, decoder("ridge", n_features=2), decoder("logistic"), RidgeClassifier()):
        assert not is_ridge(other)


def test_permutations_are_those_of_decoding_without_times():
    X, labels, run = epochs(4)
    how = {"run": run, "estimator": decoder("logistic"), "n_permutations": 5, "seed": 3}
    expected = permuted_accuracies(X[:, :, 1], labels, **how)  # runs are equally long: means of folds are those of all
    np.testing.assert_allclose(permuted_over_times(X[:, :, [1]], labels, **how)[:, 0], expected)


def test_a_planted_time_is_significant_and_p_values_of_noise_are_uniform():
    def p_of(seed, signal):
        X, labels, run = epochs(2, n_runs=3, n_repetitions=5, signal=signal, seed=seed)
        how = {"run": run, "estimator": decoder("ridge"), "score": "roc_auc"}
        null = permuted_over_times(X, labels, **how, n_permutations=19, seed=seed)
        return p_values(decode_over_times(X, labels, **how).mean(axis=0).round(12), null.T.round(12))[1]

    assert (p_of(0, 4.0) <= 0.05).tolist() == [False, True, True, False, False]
    smallest = np.array([p_of(seed, 0.0).min() for seed in range(40)])
    assert (smallest <= 0.05).mean() <= 0.16  # 5 % and 3 standard errors: the peak over times is corrected for
    assert 0.26 <= (smallest <= 0.5).mean() <= 0.74


def test_what_cannot_be_decoded_over_times_is_refused():
    X, labels, run = epochs(4)
    how = {"run": run, "estimator": decoder("ridge")}
    with pytest.raises(Misaligned, match="X must have 3 axes"):
        decode_over_times(X[:, :, 0], labels, **how)
    with pytest.raises(BrainalignError, match="roc_auc needs two classes, both in every test fold: got 4 classes"):
        decode_over_times(X, labels, **how, score="roc_auc")
    halves = np.where(np.isin(run, ["r0"]), "cat", np.where(labels == "cat", "cat", "dog"))
    with pytest.raises(BrainalignError, match="got 2 classes, 1 in a fold"):
        generalise_over_times(X, halves, **how, score="roc_auc")
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        decode_over_times(X, labels, **how, score="acuracy")
    with pytest.raises(BrainalignError, match="n_permutations must be positive"):
        permuted_over_times(X, labels, **how, n_permutations=0, seed=0)
