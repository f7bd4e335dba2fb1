"""Whether an RDM is related to another: its similarity against those of random orders of the stimuli."""

import numpy as np
from scipy.spatial.distance import squareform

from brainalign.compare.rsa import COMPARISONS
from brainalign.errors import BrainalignError, Misaligned


def random_order_similarities(rdm, references, *, comparison, n_permutations, seed):
    """Compare an RDM with others whose stimuli are in random order: the null distribution of their similarity.

    Parameters
    ----------
    rdm : array of shape (n_pairs,)
    references : array of shape (n_references, n_pairs)
    comparison : str
        A name in `rsa.COMPARISONS`.
    n_permutations : int
        Random orders, the same for every `rdm` with this seed and number of stimuli.
    seed : int

    Returns
    -------
    null : array of shape (n_permutations, n_references)

    Raises
    ------
    Misaligned
        The RDMs are not of the same pairs, or not of the pairs of any number of stimuli.
    BrainalignError
        `n_permutations` is not positive.

    References
    ----------
    Kriegeskorte, Mur & Bandettini (2008), Front Syst Neurosci 2:4, section on randomisation of stimulus labels;
    Nili et al. (2014), PLoS Comput Biol 10:e1003553. Exchangeability of the stimuli is assumed, not that of the pairs.
    """
    rdm, references = np.asarray(rdm), np.atleast_2d(references)
    if rdm.ndim != 1 or references.ndim != 2 or references.shape[1] != rdm.size:
        raise Misaligned(f"rdm must be (n_pairs,), references (n_references, n_pairs): {rdm.shape}, {references.shape}")
    if n_permutations < 1:
        raise BrainalignError(f"n_permutations must be positive, got {n_permutations}")
    try:
        square = squareform(rdm, checks=False)
    except ValueError:
        raise Misaligned(f"{rdm.size} is not the number of pairs of any number of stimuli") from None
    first, second = np.triu_indices(len(square), k=1)
    compare, random = COMPARISONS[comparison], np.random.default_rng(seed)
    orders = (random.permutation(len(square)) for _ in range(n_permutations))
    return np.concatenate([compare(square[order[first], order[second]][None], references) for order in orders])


def p_values(similarity, null):
    """Give the share of the null distribution that is at least as high, one-sided: alone, and corrected for many RDMs.

    Parameters
    ----------
    similarity : array of shape (n_rdms,)
    null : array of shape (n_rdms, n_permutations)
        Of the same random orders for all RDMs.

    Returns
    -------
    p, p_corrected : arrays of shape (n_rdms,)
        `(b + 1) / (n_permutations + 1)`, b the number of random orders that are at least as similar; corrected: as the
        highest of all RDMs in the same order (max statistic, family-wise error). nan where the similarity is, and such
        an RDM is none of those that are corrected for.

    Raises
    ------
    Misaligned
        The shapes differ.
    BrainalignError
        The null distribution of a similarity holds NaN.
    """
    similarity, null = np.asarray(similarity), np.asarray(null)
    if similarity.ndim != 1 or null.ndim != 2 or len(null) != len(similarity) or null.shape[1] == 0:
        raise Misaligned(
            f"similarity must be (n_rdms,), null (n_rdms, n_permutations): {similarity.shape}, {null.shape}"
        )

    known = ~np.isnan(similarity)
    observed, null = similarity[known], null[known]
    if np.isnan(null).any():
        raise BrainalignError(f"{np.isnan(null).any(axis=1).sum()} null distributions of a similarity hold NaN")

    def p_of(values):
        p = np.full(len(similarity), np.nan)
        p[known] = (np.sum(values >= observed[:, None], axis=1) + 1) / (null.shape[1] + 1)
        return p

    return p_of(null), p_of(null.max(axis=0, initial=-np.inf)[None])
