"""Which words a network treats alike: trees over the mean states of words, and over single occurrences.

    mean state of word k   m_k = mean of h_t over all t with w_t = k                  (types)
    occurrence             h_t itself                                                 (tokens)

A tree over types shows categories. It cannot show on its own that single states fall together by type, as means could
tell types apart where tokens overlap (an objection of Plate's, footnote 6 of the paper); hence trees over tokens.
The paper names neither linkage nor distance; both are arguments here.

References
----------
Elman (1990), Finding structure in time, Cognitive Science 14:179-211, figures 7-9 and pp. 199-206.
"""

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import cdist

from brainalign.errors import Misaligned


def mean_states(states, words, *, n_words):
    """Give the mean state at each word.

    Parameters
    ----------
    states : array of shape (n_networks, n_steps, n_units)
    words : array of int, shape (n_steps,)
    n_words : int

    Returns
    -------
    means : array of shape (n_networks, n_words, n_units), float64
        nan for words that do not occur.

    Raises
    ------
    Misaligned
        As many words as states are needed.
    """
    words = np.asarray(words)
    if states.ndim != 3 or words.shape != states.shape[1:2]:
        raise Misaligned(f"states {states.shape} must be (n_networks, n_steps, n_units) with a word for each of the"
                         f" n_steps steps; got words {words.shape}")  # fmt: skip
    sums = np.zeros((len(states), n_words, states.shape[2]))
    counts = np.bincount(words, minlength=n_words)
    for of_network, total in zip(states, sums, strict=True):
        np.add.at(total, words, of_network)
    return np.divide(sums, counts[:, None], out=np.full_like(sums, np.nan), where=counts[:, None] > 0)


def tree(points, *, linkage, metric="euclidean", for_figure=False):
    """Cluster points (n_points, n_units) hierarchically.

    Parameters
    ----------
    points : array of shape (n_points, n_units)
    linkage : {"ward", "average", "complete", "single"}
    metric : str
        Of `scipy.spatial.distance.pdist`.
    for_figure : bool
        Whether leaves beside each other shall be near each other, where the tree leaves that open (Bar-Joseph et al.
        2001); it takes longer than the tree.

    Returns
    -------
    merges : array of shape (n_points - 1, 4)
        Per merge, from the nearest to the last: the two clusters, their distance, the number of points. Clusters below
        n_points are points, cluster n_points + i is what merge i made.
    """
    return hierarchy.linkage(points, method=linkage, metric=metric, optimal_ordering=for_figure)


def cut(merges, n_clusters):
    """Give the cluster of each point when a tree is cut into `n_clusters`, (n_points,) from 0."""
    return hierarchy.fcluster(merges, n_clusters, criterion="maxclust") - 1


def purity(clusters, labels):
    """Give the share of points that bear the most frequent label of their cluster."""
    table = np.zeros((clusters.max() + 1, labels.max() + 1), int)
    np.add.at(table, (clusters, labels), 1)
    return table.max(axis=1).sum() / len(labels)


def neighbours(points, of=None):
    """Order all points by their distance from some: nearest first, each point itself left out.

    Parameters
    ----------
    points : array of shape (n_points, n_units)
    of : sequence of int, optional
        From which; from all if not given.

    Returns
    -------
    order : array of int, shape (len(of), n_points - 1)
    """
    of = np.arange(len(points)) if of is None else np.asarray(of)
    distances = cdist(points[of], points)
    distances[np.arange(len(of)), of] = np.inf
    return np.argsort(distances, axis=1, kind="stable")[:, :-1]


def neighbour_agreement(points, labels):
    """Give the share of points whose nearest neighbour bears the same label."""
    return float(np.mean(labels[neighbours(points)[:, 0]] == labels))


def chance_of_agreement(labels):
    """Give the agreement that is expected when every other point is as likely to be the nearest."""
    sizes = np.bincount(labels)
    return float((sizes * (sizes - 1)).sum() / (len(labels) * (len(labels) - 1)))


def some_of_each(labels, n_each, *, seed):
    """Draw up to `n_each` rows of every label without replacement, in ascending order."""
    rng, rows = np.random.default_rng(seed), []
    for label in np.unique(labels):
        found = np.flatnonzero(labels == label)
        rows.append(rng.choice(found, min(n_each, len(found)), replace=False))
    return np.sort(np.concatenate(rows))
