"""Decoding against scikit-learn and MNE, planted classes, chance, and what leaks."""

import numpy as np
import pytest
from scipy.stats import f_oneway
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import NearestCentroid

from brainalign.compare.decoding import (
    DECODERS,
    check_classes,
    class_separation,
    decode,
    decoder,
    permuted_accuracies,
)
from brainalign.compare.relatedness import p_values
from brainalign.config import Decode
from brainalign.errors import BrainalignError, Misaligned, UnknownName

CLASSES = np.array(["cat", "face", "house", "shoe"])


def design(n_runs=6, n_repetitions=2):
    """Labels and runs: every class `n_repetitions` times in every run, in random order."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.permutation(np.repeat(CLASSES, n_repetitions)) for _ in range(n_runs)])
    return labels, np.repeat([f"r{i}" for i in range(n_runs)], len(CLASSES) * n_repetitions)


def patterns(labels, *, n_features, signal, seed):
    """Noise, and in the first features of a class what is its own."""
    rng = np.random.default_rng(seed)
    X, n_informative = rng.standard_normal((len(labels), n_features)), min(n_features, 5)
    prototypes = rng.standard_normal((len(CLASSES), n_informative))
    X[:, :n_informative] += signal * prototypes[np.searchsorted(CLASSES, labels)]
    return X


@pytest.mark.parametrize("name", list(DECODERS))
@pytest.mark.parametrize(("n_features", "kept"), [(3, None), (100, None), (100, 10)])
def test_predictions_are_those_of_scikit_learn(name, n_features, kept):
    labels, run = design()
    X = patterns(labels, n_features=n_features, signal=1.0, seed=1)
    found = decode(X, labels, run=run, estimator=decoder(name, n_features=kept))
    told = cross_val_predict(decoder(name, n_features=kept), X, labels, groups=run, cv=LeaveOneGroupOut())
    assert found.accuracy == pytest.approx((told == labels).mean())
    assert found.classes.tolist() == CLASSES.tolist()
    for i, shown in enumerate(CLASSES):
        assert found.confusion[i].tolist() == [np.sum((labels == shown) & (told == other)) for other in CLASSES]
    by_run = [(told == labels)[run == name].mean() for name in dict.fromkeys(run)]
    np.testing.assert_allclose(found.fold_accuracies, by_run)


@pytest.mark.parametrize("name", list(DECODERS))
def test_planted_classes_are_told_whatever_the_unit(name):
    labels, run = design()
    X = patterns(labels, n_features=20, signal=3.0, seed=2)
    found = decode(X, labels, run=run, estimator=decoder(name))
    assert found.accuracy > 0.9
    for scaled in (X * 1e-13 + 1e-12, X.astype(np.float32) * 1e6):
        assert decode(scaled, labels, run=run, estimator=decoder(name)).accuracy == pytest.approx(found.accuracy)


@pytest.mark.parametrize("name", list(DECODERS))
def test_noise_is_told_at_chance(name):
    labels, run = design(n_runs=4)
    accuracies = [
        decode(patterns(labels, n_features=30, signal=0, seed=s), labels, run=run, estimator=decoder(name)).accuracy
        for s in range(40)
    ]
    assert np.mean(accuracies) == pytest.approx(0.25, abs=0.04)  # 4 standard errors


def test_features_are_chosen_in_the_training_runs_only():
    """Choosing on all samples tells classes from noise; fitted in the fold, the choice tells nothing."""
    labels, run = design()
    inside, leaking = [], []
    for seed in range(10):
        X = patterns(labels, n_features=2000, signal=0, seed=seed)
        inside.append(decode(X, labels, run=run, estimator=decoder("ridge", n_features=20)).accuracy)
        chosen = SelectKBest(class_separation, k=20).fit_transform(X, labels)
        leaking.append(decode(chosen, labels, run=run, estimator=decoder("ridge")).accuracy)
    assert np.mean(leaking) > 0.6
    assert np.mean(inside) == pytest.approx(0.25, abs=0.06)


def test_an_estimator_is_fitted_to_the_training_runs_as_they_are():
    seen = []

    class Spy:
        def fit(self, X, labels):
            seen.append(X)
            return self

        def predict(self, X):
            return np.zeros(len(X), int)

        def get_params(self, deep=True):
            return {}

    labels, run = design(n_runs=3)
    X = patterns(labels, n_features=4, signal=1.0, seed=3)
    decode(X, labels, run=run, estimator=Spy())
    for name, training in zip(dict.fromkeys(run), seen, strict=True):
        np.testing.assert_array_equal(training, X[run != name])


def test_class_separation_is_the_f_of_scipy():
    labels, _ = design()
    X = patterns(labels, n_features=8, signal=1.0, seed=4)
    expected = f_oneway(*(X[labels == name] for name in CLASSES)).statistic
    np.testing.assert_allclose(class_separation(X, labels), expected)
    flat = np.column_stack([np.full(len(X), 3.0), labels == "cat", X[:, 0]])
    assert class_separation(flat, labels)[:2].tolist() == [0, np.inf]


def test_a_constant_feature_changes_nothing():
    labels, run = design()
    X = patterns(labels, n_features=20, signal=1.0, seed=5)
    plain = decode(X, labels, run=run, estimator=decoder("svm", n_features=5))
    padded = decode(np.column_stack([X, np.full(len(X), 7.1)]), labels, run=run, estimator=decoder("svm", n_features=5))
    np.testing.assert_array_equal(plain.confusion, padded.confusion)


def test_chance_is_the_share_of_the_most_frequent_class():
    labels, run = design()
    X = patterns(labels, n_features=5, signal=1.0, seed=6)
    assert decode(X, labels, run=run, estimator=decoder("ridge")).chance == 0.25
    cat_or_not = np.where(labels == "cat", "cat", "other")
    assert decode(X, cat_or_not, run=run, estimator=decoder("ridge")).chance == 0.75


def test_labels_are_permuted_within_runs(monkeypatch):
    from brainalign.compare import decoding

    seen, original = [], decoding._confusions

    def spy(X, shown, *others):
        seen.append(np.unique(labels)[shown])
        return original(X, shown, *others)

    monkeypatch.setattr(decoding, "_confusions", spy)
    labels, run = design()
    labels[run == "r0"] = np.repeat(CLASSES[:2], 4)  # runs of different balance
    X = patterns(labels, n_features=5, signal=0, seed=7)
    permuted_accuracies(X, labels, run=run, estimator=decoder("ridge"), n_permutations=20, seed=0)
    assert len(seen) == 20
    assert len({tuple(permuted) for permuted in seen}) == 20
    for permuted in seen:
        for name in dict.fromkeys(run):
            assert sorted(permuted[run == name]) == sorted(labels[run == name])


def test_permutations_depend_on_the_seed_and_not_on_the_responses():
    labels, run = design()
    X = patterns(labels, n_features=5, signal=2.0, seed=8)
    how = {"run": run, "estimator": decoder("ridge"), "n_permutations": 15}
    null = permuted_accuracies(X, labels, **how, seed=1)
    np.testing.assert_array_equal(null, permuted_accuracies(X * 2, labels, **how, seed=1))
    assert not np.array_equal(null, permuted_accuracies(X, labels, **how, seed=2))


def test_planted_classes_are_significant_and_p_values_of_noise_are_uniform():
    labels, run = design(n_runs=4, n_repetitions=1)
    how = {"run": run, "estimator": NearestCentroid()}

    def p_of(seed, signal):
        X = patterns(labels, n_features=6, signal=signal, seed=seed)
        null = permuted_accuracies(X, labels, **how, n_permutations=9, seed=seed)
        return p_values([decode(X, labels, **how).accuracy], null[None])[0][0]

    assert p_of(0, 4.0) == 0.1  # 1 / (9 + 1)
    of_noise = np.array([p_of(seed, 0.0) for seed in range(40)])
    assert (of_noise <= 0.1).mean() <= 0.24  # 10 % and 3 standard errors
    assert 0.2 <= (of_noise <= 0.5).mean() <= 0.74  # ties make it smaller


def test_folds_may_be_given():
    labels, run = design()
    X = patterns(labels, n_features=10, signal=2.0, seed=9)
    halves = [(np.flatnonzero(run < "r3"), np.flatnonzero(run >= "r3"))]
    found = decode(X, labels, run=run, estimator=decoder("logistic"), folds=halves)
    assert found.confusion.sum() == len(labels) / 2
    assert found.fold_accuracies.shape == (1,)


def test_what_cannot_be_decoded_is_refused():
    labels, run = design(n_runs=2)
    X, estimator = patterns(labels, n_features=3, signal=0, seed=0), decoder("ridge")
    with pytest.raises(Misaligned, match="one label and one run for each sample"):
        decode(X[:-1], labels, run=run, estimator=estimator)
    with pytest.raises(BrainalignError, match="1 values that are NaN"):
        decode(np.where(np.arange(X.size).reshape(X.shape) == 4, np.nan, X), labels, run=run, estimator=estimator)
    with pytest.raises(BrainalignError, match=r"at least 2 classes, got \['cat'\]"):
        decode(X, np.full(len(X), "cat"), run=run, estimator=estimator)
    with pytest.raises(BrainalignError, match=r"at least 2 runs, got \['r0'\]"):
        decode(X, labels, run=np.full(len(X), "r0"), estimator=estimator)
    with pytest.raises(BrainalignError, match="fold 0 trains and tests on run 'r0'; leave out whole runs"):
        check_classes([(np.arange(10), np.arange(4, 16))], labels, run=run)
    with pytest.raises(BrainalignError, match="fold 1 tests class 'dog', which its training runs do not have"):
        decode(X, np.where(np.arange(len(X)) == 15, "dog", labels), run=run, estimator=estimator)
    with pytest.raises(BrainalignError, match="every run has one class only"):
        permuted_accuracies(
            X[:12], np.repeat(["a", "b", "a", "b"], 3), run=np.repeat(["1", "2", "3", "4"], 3), estimator=estimator,
            n_permutations=2, seed=0,
        )  # fmt: skip
    with pytest.raises(BrainalignError, match="n_permutations must be positive"):
        permuted_accuracies(X, labels, run=run, estimator=estimator, n_permutations=0, seed=0)


def test_decoders_are_named():
    with pytest.raises(UnknownName, match="did you mean 'ridge'"):
        decoder("rigde")
    for settings in ({"penalty": 0}, {"n_features": 0}):
        with pytest.raises(BrainalignError, match="must be positive"):
            decoder("svm", **settings)
    offered = Decode.model_fields["decoder"].annotation.__args__
    assert offered == tuple(DECODERS)


def test_a_penalty_has_one_meaning_for_all():
    """More of it, smaller weights: of ridge alpha, of the others 1 / C."""
    labels, _ = design()
    X = patterns(labels, n_features=10, signal=1.0, seed=11)
    for name in DECODERS:
        light, heavy = (decoder(name, penalty=penalty).fit(X, labels)[-1].coef_ for penalty in (0.1, 1e3))
        assert np.abs(heavy).sum() < np.abs(light).sum() / 2
