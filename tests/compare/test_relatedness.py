import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from brainalign.compare.relatedness import p_values, random_order_similarities
from brainalign.compare.rsa import COMPARISONS
from brainalign.errors import BrainalignError, Misaligned


def rdm(n=8, seed=0):
    return pdist(np.random.default_rng(seed).standard_normal((n, 5)))


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_random_orders_are_those_of_the_square(comparison):
    one, others = rdm(), np.stack([rdm(seed=1), rdm(seed=2)])
    null = random_order_similarities(one, others, comparison=comparison, n_permutations=5, seed=3)
    random, square = np.random.default_rng(3), squareform(one)
    for row in null:
        order = random.permutation(8)
        shuffled = squareform(square[np.ix_(order, order)])
        assert row == pytest.approx(COMPARISONS[comparison](shuffled, others))


def test_p_is_uniform_where_nothing_is_related():
    references = np.stack([rdm(10, seed) for seed in range(1, 201)])
    similarity = COMPARISONS["spearman"](rdm(10), references)
    null = random_order_similarities(rdm(10), references, comparison="spearman", n_permutations=199, seed=0)
    p = p_values(similarity, null.T)[0]
    assert 0.02 < (p <= 0.05).mean() < 0.1
    assert p.mean() == pytest.approx(0.5, abs=0.07)


def test_p_counts_ties_and_the_order_itself():
    p, corrected = p_values(np.array([0.5, 0.9]), np.array([[0.5, 0.1, 0.2], [0.0, 0.95, 0.1]]))
    assert p.tolist() == [0.5, 0.5]  # (1 + 1) / 4
    assert corrected.tolist() == [0.75, 0.5]  # maxima .5 .95 .2


@pytest.mark.parametrize(
    ("one", "others", "n", "error", "said"),
    [
        (np.ones(6), np.ones((2, 10)), 5, Misaligned, "n_pairs"),
        (np.ones(7), np.ones((2, 7)), 5, Misaligned, "7 is not the number of pairs"),
        (np.ones(6), np.ones((2, 6)), 0, BrainalignError, "must be positive, got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(one, others, n, error, said):
    with pytest.raises(error, match=said):
        random_order_similarities(one, others, comparison="pearson", n_permutations=n, seed=0)


def test_a_similarity_that_is_not_defined_has_no_p_and_corrects_no_other():
    similarity, null = np.array([0.5, np.nan, 0.9]), np.array([[0.5, 0.1, 0.2], [np.nan] * 3, [0.0, 0.95, 0.1]])
    with_nan, without = np.stack(p_values(similarity, null)), np.stack(p_values(similarity[[0, 2]], null[[0, 2]]))
    assert np.isnan(with_nan[:, 1]).all()
    assert with_nan[:, [0, 2]].tolist() == without.tolist()
    assert np.isnan(p_values(similarity[[1]], null[[1]])).all()
    with pytest.raises(BrainalignError, match="1 null distributions of a similarity hold NaN"):
        p_values(similarity[:1], null[1:2])


def test_values_of_other_shapes_have_no_p():
    with pytest.raises(Misaligned, match="similarity must be"):
        p_values(np.ones(3), np.ones((2, 9)))
