import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate import trajectories

RNG = np.random.default_rng(0)
STATES = RNG.random((3, 60, 7)) * np.linspace(2, 0.2, 7)
GROUP = np.tile([0, 1, -1], 20)
POSITION = np.repeat(np.arange(4), 15)


def test_components_are_those_of_scikit_learn():
    axes = trajectories.principal_axes(STATES.astype(np.float32), 4)
    found = trajectories.project(STATES, axes)
    for i in range(3):
        wanted = PCA(4).fit(STATES[i])
        signs = np.sign((axes.axes[i] * wanted.components_.T).sum(axis=0))
        assert found[i] == pytest.approx(wanted.transform(STATES[i]) * signs, abs=1e-4)
        assert axes.share[i] == pytest.approx(wanted.explained_variance_ratio_, abs=1e-5)
        largest = np.abs(axes.axes[i]).argmax(axis=0)
        assert (axes.axes[i][largest, range(4)] > 0).all()
    with pytest.raises(BrainalignError, match="from 1 to 7"):
        trajectories.principal_axes(STATES, 8)


def test_networks_are_turned_as_procrustes_says_and_a_rotated_copy_falls_on_the_first():
    components = trajectories.project(STATES, trajectories.principal_axes(STATES, 4))
    turned, rotations = trajectories.turn_to_first(components)
    for i in range(3):
        wanted, _ = orthogonal_procrustes(components[i], components[0])
        assert rotations[i] == pytest.approx(wanted)
        assert turned[i] == pytest.approx(components[i] @ wanted)
    assert turned[0] == pytest.approx(components[0])
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    both, _ = trajectories.turn_to_first(np.stack([components[0], components[0] @ turn]))
    assert both[1] == pytest.approx(both[0])


def test_paths_are_means_and_gaps_are_nan():
    position = np.where((GROUP == 1) & (POSITION == 3), 9, POSITION)
    paths = trajectories.mean_paths(STATES, GROUP, position, n_groups=2, n_positions=4)
    assert paths.shape == (3, 2, 4, 7)
    for i in range(3):
        for group in range(2):
            for at in range(4):
                there = (group == GROUP) & (position == at)
                if there.any():
                    assert paths[i, group, at] == pytest.approx(STATES[i, there].mean(axis=0))
    assert np.isnan(paths[:, 1, 3]).all()
    with pytest.raises(Misaligned, match="60 steps but 59 groups"):
        trajectories.mean_paths(STATES, GROUP[1:], POSITION, n_groups=2, n_positions=4)


def test_distances_are_in_units_of_the_spread_and_do_not_change_under_rotation():
    found = trajectories.path_distances(STATES, GROUP, POSITION, n_groups=2, n_positions=4)
    assert found.shape == (3, 4, 2, 2)
    there = [(group == GROUP) & (POSITION == 2) for group in range(2)]
    means = [STATES[1, at].mean(axis=0) for at in there]
    residuals = np.concatenate([STATES[1, at] - mean for at, mean in zip(there, means, strict=True)])
    spread = np.sqrt((residuals**2).sum(axis=1).mean())
    assert found[1, 2, 0, 1] == pytest.approx(np.linalg.norm(means[0] - means[1]) / spread)
    assert found[:, :, 0, 0] == pytest.approx(0)
    turn = np.linalg.qr(RNG.standard_normal((7, 7)))[0]
    turned = trajectories.path_distances(STATES @ turn * 3, GROUP, POSITION, n_groups=2, n_positions=4)
    assert turned == pytest.approx(found)
    one = trajectories.path_distances(STATES[:, :1], np.array([0]), np.array([0]), n_groups=1, n_positions=1)
    assert np.isnan(one).all()  # no spread


def test_planted_categories_are_told_in_words_held_out_and_words_of_none_are_not():
    rng = np.random.default_rng(2)
    words = np.repeat(np.arange(12), 15)
    labels = words // 4
    of_word = rng.standard_normal((2, 12, 20))
    of_label = 3 * np.eye(3, 20)
    noise = 0.3 * rng.standard_normal((2, len(words), 20))
    planted = trajectories.separability(of_word[:, words] * 0.2 + of_label[labels] + noise, labels, held_out=words,
                                        n_splits=4)  # fmt: skip
    assert np.all(planted.centroid == 1)
    assert np.all(planted.linear > 0.98)
    assert np.all(planted.silhouette > 0.5)
    many = rng.standard_normal((60, 12, 20))[:, words[::5]]
    none = trajectories.separability(many, labels[::5], held_out=words[::5], n_splits=4)
    # every word is known perfectly, yet says nothing about words held out
    assert np.mean(none.centroid) == pytest.approx(1 / 3, abs=0.06)
    assert np.mean(none.linear) == pytest.approx(1 / 3, abs=0.06)


def test_separability_says_what_it_needs():
    with pytest.raises(BrainalignError, match="states of a network are all the same"):
        trajectories.separability(np.full((1, 60, 7), 0.5), np.arange(60) % 2, held_out=np.arange(60))
    with pytest.raises(BrainalignError, match=r"at least 5 groups.*\[19, 1\]"):
        trajectories.separability(STATES, (np.arange(60) > 56).astype(int), held_out=np.minimum(np.arange(60) // 3, 19))
    with pytest.raises(BrainalignError, match="two labels"):
        trajectories.separability(STATES, np.zeros(60, int), held_out=np.arange(60))
