import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from brainalign.errors import Misaligned
from brainalign.simulate import clusters


def three_groups(seed=0, apart=5.0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], [4, 5, 6])
    return rng.standard_normal((15, 8)) * 0.3 + apart * np.eye(3, 8)[labels], labels


def test_means_are_means_and_absent_words_are_nan():
    rng = np.random.default_rng(0)
    states, words = rng.random((2, 30, 4)).astype(np.float32), rng.integers(0, 3, 30)
    means = clusters.mean_states(states, words, n_words=4)
    for i in range(2):
        for word in range(3):
            assert means[i, word] == pytest.approx(states[i, words == word].mean(axis=0), abs=1e-6)
    assert np.isnan(means[:, 3]).all()
    with pytest.raises(Misaligned, match=r"words \(29,\)"):
        clusters.mean_states(states, words[1:], n_words=4)


@pytest.mark.parametrize("linkage", ["ward", "average", "complete"])
def test_planted_groups_are_found_and_noise_has_none(linkage):
    points, labels = three_groups()
    assert clusters.purity(clusters.cut(clusters.tree(points, linkage=linkage), 3), labels) == 1
    assert clusters.neighbour_agreement(points, labels) == 1
    noise = [three_groups(seed, apart=0.0)[0] for seed in range(40)]
    agreement = np.mean([clusters.neighbour_agreement(of, labels) for of in noise])
    assert agreement == pytest.approx(clusters.chance_of_agreement(labels), abs=0.06)


def test_purity_and_chance_by_hand():
    assert clusters.purity(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])) == 0.8
    # 2 of label 0 and 3 of label 1: 2 x 1 + 3 x 2 of 5 x 4 ordered pairs
    assert clusters.chance_of_agreement(np.array([0, 0, 1, 1, 1])) == 0.4


def test_neighbours_are_those_of_scikit_learn():
    points, _ = three_groups()
    _, wanted = NearestNeighbors(n_neighbors=14).fit(points).kneighbors()
    assert np.array_equal(clusters.neighbours(points), wanted)
    assert np.array_equal(clusters.neighbours(points, [3, 7]), wanted[[3, 7]])


def test_some_of_each_label_are_drawn_once():
    labels = np.repeat([4, 1, 7], [3, 50, 20])
    rows = clusters.some_of_each(labels, 5, seed=0)
    assert len(np.unique(rows)) == len(rows)
    assert np.bincount(labels[rows]).tolist() == [0, 5, 0, 0, 3, 0, 0, 5]
    assert np.array_equal(rows, np.sort(rows))
