"""Paths of hidden states along sentences, per category of sentence, over several networks.

Networks that learned the same from different first weights have different hidden units; nothing but rotations of their
spaces is comparable. Hence, per network i with states h_it (n_steps, n_units),

    principal components    z_it = A_i' (h_it - mean_i),  A_i the first k eigenvectors of the covariance
    common axes             y_it = R_i' z_it,  R_i the orthogonal matrix that brings z_i nearest to z_0 in least squares
                            (orthogonal Procrustes, no scaling; z_0 of the first network stays as it is)

all networks having read the same stream. Distances and separability do not depend on any of this: they are taken within
each network, in all of its units.

    path            m_a(t) = mean state of the sentences of group a at position t
    distance        d_ab(t) = |m_a(t) - m_b(t)| / s(t)
    spread          s(t)^2 = mean of |h - m_group(t)|^2 over the steps at position t

References
----------
Elman (1991), Distributed representations, simple recurrent networks, and grammatical structure, Machine Learning
7:195-225, figures of principal components along sentences. Schoenemann (1966), Psychometrika 31:1-10. Oracles:
sklearn.decomposition.PCA, scipy.linalg.orthogonal_procrustes.
"""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import NearestCentroid

from brainalign.errors import BrainalignError, Misaligned

RIDGE = 1.0  # penalty of the linear classifier; states lie between 0 and 1


class Axes(NamedTuple):
    """Principal components of each network.

    Parameters
    ----------
    mean : array of shape (n_networks, n_units)
    axes : array of shape (n_networks, n_units, n_components)
        Orthonormal columns; the entry of largest size in each is positive.
    share : array of shape (n_networks, n_components)
        Of the variance.
    """

    mean: np.ndarray
    axes: np.ndarray
    share: np.ndarray


class Separability(NamedTuple):
    """How well states tell labels apart, one value per network.

    Parameters
    ----------
    centroid : array of shape (n_networks,)
        Share of held-out states that lie nearest to the mean of their own label, labels weighted equally.
    linear : array of shape (n_networks,)
        The same of a linear classifier (least squares with a penalty).
    silhouette : array of shape (n_networks,)
        Mean of (b - a) / max(a, b), a the mean distance to states of the same label, b to those of the nearest other.
    """

    centroid: np.ndarray
    linear: np.ndarray
    silhouette: np.ndarray


def principal_axes(states, n_components):
    """Find the principal components of each network's states.

    Parameters
    ----------
    states : array of shape (n_networks, n_steps, n_units)
    n_components : int

    Returns
    -------
    axes : Axes

    Raises
    ------
    BrainalignError
        More components than units.
    """
    n_networks, n_steps, n_units = states.shape
    if not 1 <= n_components <= n_units:
        raise BrainalignError(f"n_components must be from 1 to {n_units}, the number of units; got {n_components}")
    mean = states.mean(axis=1, dtype=float)
    found, share = np.empty((n_networks, n_units, n_components)), np.empty((n_networks, n_components))
    for i, of_network in enumerate(states):
        centred = of_network - mean[i]
        variances, vectors = np.linalg.eigh(centred.T @ centred / n_steps)  # ascending
        first = vectors[:, ::-1][:, :n_components]
        largest = first[np.abs(first).argmax(axis=0), np.arange(n_components)]
        found[i], share[i] = first * np.sign(largest), variances[::-1][:n_components] / variances.sum()
    return Axes(mean, found, share)


def project(states, axes):
    """Give the components of states, (n_networks, n_steps, n_components)."""
    return np.einsum("ntu,nuk->ntk", states - axes.mean[:, None], axes.axes, optimize=True)


def turn_to_first(components):
    """Turn the components of every network to those of the first, which read the same stream.

    Parameters
    ----------
    components : array of shape (n_networks, n_steps, n_components)

    Returns
    -------
    turned : array of shape (n_networks, n_steps, n_components)
        Network 0 unchanged.
    rotations : array of shape (n_networks, n_components, n_components)
        turned_i = components_i @ rotations_i; orthogonal, reflections allowed.
    """
    U, _, Vt = np.linalg.svd(np.einsum("ntk,tl->nkl", components, components[0], optimize=True))
    rotations = U @ Vt
    return components @ rotations, rotations


def mean_paths(values, group, position, *, n_groups, n_positions):
    """Give the mean of values per group of sentences and position.

    Parameters
    ----------
    values : array of shape (n_networks, n_steps, n_dims)
    group : array of int, shape (n_steps,)
        Of the sentence that the step belongs to; below 0: of no group.
    position : array of int, shape (n_steps,)
        Steps at `n_positions` and later are left out.
    n_groups, n_positions : int

    Returns
    -------
    paths : array of shape (n_networks, n_groups, n_positions, n_dims)
        nan where a group has no such position.

    Raises
    ------
    Misaligned
        A group and a position per step are needed.
    """
    group, position = np.asarray(group), np.asarray(position)
    if not values.shape[1] == len(group) == len(position):
        raise Misaligned(f"{values.shape[1]} steps but {len(group)} groups and {len(position)} positions")
    kept = (group >= 0) & (position < n_positions)
    cell = group[kept] * n_positions + position[kept]
    counts = np.bincount(cell, minlength=n_groups * n_positions)[:, None]
    paths = np.empty((len(values), n_groups * n_positions, values.shape[2]))
    for of_network, path in zip(values, paths, strict=True):
        sums = np.zeros_like(path)
        np.add.at(sums, cell, of_network[kept])
        np.divide(sums, counts, out=path, where=counts > 0)
        path[counts[:, 0] == 0] = np.nan
    return paths.reshape(len(values), n_groups, n_positions, values.shape[2])


def path_distances(states, group, position, *, n_groups, n_positions):
    """Give the distances between the paths of groups in units of the spread within groups.

    Parameters
    ----------
    states, group, position, n_groups, n_positions
        As of `mean_paths`.

    Returns
    -------
    distances : array of shape (n_networks, n_positions, n_groups, n_groups)
        nan where a group has no such position, or no spread is left to compare with.
    """
    paths = mean_paths(states, group, position, n_groups=n_groups, n_positions=n_positions)
    distances = np.full((len(states), n_positions, n_groups, n_groups), np.nan)
    for t in range(n_positions):
        at = (np.asarray(group) >= 0) & (np.asarray(position) == t)
        if not at.any():
            continue
        of_step = paths[:, np.asarray(group)[at], t]  # (n_networks, n_at, n_units)
        spread = np.sqrt(((states[:, at] - of_step) ** 2).sum(axis=-1).mean(axis=1))  # (n_networks,)
        apart = np.linalg.norm(paths[:, :, None, t] - paths[:, None, :, t], axis=-1)
        np.divide(apart, spread[:, None, None], out=distances[:, t], where=spread[:, None, None] > 1e-9)
    return distances


def separability(states, labels, *, held_out, n_splits=5):
    """Ask how well states tell labels apart, in states of words that were not used to find out.

    Parameters
    ----------
    states : array of shape (n_networks, n_steps, n_units)
    labels : array of int, shape (n_steps,)
    held_out : array of int, shape (n_steps,)
        What is held out as a whole, such as the word: a category must hold for words that did not define it.
    n_splits : int
        Folds; no more than there are groups to hold out in the smallest label.

    Returns
    -------
    separability : Separability

    Raises
    ------
    BrainalignError
        There are fewer than two labels, a label has fewer groups than folds, or all states that a classifier is fitted
        to are the same.
    """
    labels, held_out = np.asarray(labels), np.asarray(held_out)
    n_groups = [len(np.unique(held_out[labels == label])) for label in np.unique(labels)]
    if len(n_groups) < 2 or min(n_groups) < n_splits:
        raise BrainalignError(
            f"needed: two labels or more, each with at least {n_splits} groups to hold out (one per fold);"
            f" groups per label: {n_groups}"
        )
    folds = list(StratifiedGroupKFold(n_splits).split(labels, labels, held_out))
    found = [[], [], []]
    for of_network in states:
        for scores, classifier in zip(found, (NearestCentroid(), RidgeClassifier(RIDGE)), strict=False):
            scores.append(_balanced_accuracy(classifier, of_network, labels, folds=folds))
        found[2].append(silhouette_score(of_network, labels))
    return Separability(*map(np.array, found))


def _balanced_accuracy(classifier, X, labels, *, folds):
    """Give the share of held-out states that are told right, mean over labels."""
    told = np.empty_like(labels)
    for fitted, tested in folds:
        if not np.ptp(X[fitted], axis=0).any():
            raise BrainalignError(
                f"{len(fitted)} states of a network are all the same, so that nothing can be told from them: its"
                " weights are too small, or so large that no unit moves"
            )
        told[tested] = classifier.fit(X[fitted], labels[fitted]).predict(X[tested])
    return np.mean([np.mean(told[labels == label] == label) for label in np.unique(labels)])
