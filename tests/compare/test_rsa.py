from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cosine as scipy_cosine
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from brainalign.compare.rsa import (
    COMPARISONS,
    DISTANCES,
    correlation_distances,
    crossnobis_distances,
    euclidean_distances,
    kendall_tau_a,
    mean_squared_distances,
    noise_ceiling,
)
from brainalign.errors import BrainalignError, Misaligned, UnknownName

COMPARISON_NAMES = ("pearson", "spearman", "kendall_tau_a", "cosine")


@pytest.fixture(params=[(12, 5), (6, 300)], ids=["more conditions", "more units"])
def patterns(request):
    return np.random.default_rng(0).standard_normal(request.param) + 2


@pytest.fixture
def rdms():
    """Five subjects: a common RDM of 10 conditions and noise of their own, each on another scale."""
    rng = np.random.default_rng(1)
    noisy = rng.random(45) + 0.3 * rng.standard_normal((5, 45))
    return (3 + noisy) * rng.uniform(0.1, 10, (5, 1))


# --- distances


PDIST = {"correlation": "correlation", "cosine": "cosine", "euclidean": "euclidean", "mean_squared": "sqeuclidean"}


@pytest.mark.parametrize("name", list(PDIST))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_distances_equal_pdist(patterns, name, dtype):
    values = (1000 * patterns).astype(dtype)
    per = values.shape[1] if name == "mean_squared" else 1
    rdm = DISTANCES[name](values)
    assert rdm.dtype == np.float64
    np.testing.assert_allclose(rdm, pdist(values.astype(np.float64), PDIST[name]) / per, rtol=1e-10, atol=1e-14)


def test_mean_squared_is_what_rsatoolbox_calls_euclidean(patterns):
    # its formula: sums of squares and products, upper triangle, divided by the number of channels
    squares = np.sum(patterns**2, axis=1, keepdims=True)
    square = squares + squares.T - 2 * patterns @ patterns.T
    expected = square[np.triu_indices(len(patterns), 1)] / patterns.shape[1]
    np.testing.assert_allclose(mean_squared_distances(patterns), expected, rtol=1e-10)
    np.testing.assert_allclose(euclidean_distances(patterns), np.sqrt(expected * patterns.shape[1]), rtol=1e-10)


def test_pairs_are_in_the_order_of_squareform(patterns):
    square = squareform(euclidean_distances(patterns))
    assert square[1, 4] == pytest.approx(np.linalg.norm(patterns[1] - patterns[4]), rel=1e-12)


@pytest.mark.parametrize("name", list(PDIST))
def test_permuted_conditions_permute_pairs_and_permuted_units_nothing(patterns, name):
    rng = np.random.default_rng(2)
    order = rng.permutation(len(patterns))
    expected = squareform(DISTANCES[name](patterns))[np.ix_(order, order)]
    np.testing.assert_allclose(squareform(DISTANCES[name](patterns[order])), expected, rtol=1e-10)
    shuffled = patterns[:, rng.permutation(patterns.shape[1])]
    np.testing.assert_allclose(DISTANCES[name](shuffled), DISTANCES[name](patterns), rtol=1e-10)


@pytest.mark.parametrize(("name", "power"), [("correlation", 0), ("cosine", 0), ("euclidean", 1), ("mean_squared", 2)])
@pytest.mark.parametrize("unit", [1e-13, 1e-6, 1e6])
def test_tesla_and_volt(patterns, name, power, unit):
    expected = DISTANCES[name](patterns) * unit**power
    np.testing.assert_allclose(DISTANCES[name](patterns * unit), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["correlation", "cosine"])
@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_angles_neither_underflow_nor_overflow(patterns, name, unit):
    np.testing.assert_allclose(DISTANCES[name](patterns * unit), DISTANCES[name](patterns), rtol=1e-10)


@pytest.mark.parametrize("name", list(PDIST))
def test_near_patterns_far_from_zero_keep_their_distance(name):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((3, 50)) + 100
    near = base + 1e-6 * rng.standard_normal(base.shape)
    rdm = squareform(DISTANCES[name](np.vstack([base, near, base])))
    direct = np.array([a - b for a, b in zip(base, near, strict=True)])
    if name in ("euclidean", "mean_squared"):
        power, per = (1, 1) if name == "euclidean" else (2, 50)
        expected = np.linalg.norm(direct, axis=1) ** power / per
        np.testing.assert_allclose(rdm[[0, 1, 2], [3, 4, 5]], expected, rtol=1e-8)
    np.testing.assert_array_equal(rdm[[0, 1, 2], [6, 7, 8]], 0)
    assert (rdm[[0, 1, 2], [3, 4, 5]] > 0).all()


@pytest.mark.parametrize(("value", "undefined"), [(0.1, {"correlation"}), (0.0, {"correlation", "cosine"})])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pattern_without_direction_is_nan_and_leaves_the_others_alone(patterns, value, undefined, dtype):
    values = patterns.astype(dtype)
    values[2] = value
    touched = (np.array(list(combinations(range(len(values)), 2))) == 2).any(axis=1)
    for name in DISTANCES:
        rdm = DISTANCES[name](values)
        np.testing.assert_array_equal(np.isnan(rdm), touched if name in undefined else np.zeros_like(touched))
        without = DISTANCES[name](np.delete(values, 2, axis=0))
        np.testing.assert_allclose(rdm[~touched], without, rtol=1e-9)


def test_a_pattern_that_varies_by_rounding_only_is_constant():
    values = np.random.default_rng(0).standard_normal((4, 20))
    values[1] = 0.1 + np.spacing(0.1) * np.arange(20).clip(0, 2)
    assert np.isnan(correlation_distances(values)).sum() == 3


@pytest.mark.parametrize("name", list(PDIST))
def test_bad_patterns_are_named(patterns, name):
    broken = patterns.copy()
    broken[3, 1] = np.nan
    broken[4, 0] = np.inf
    with pytest.raises(BrainalignError, match=r"nan at condition 3, unit 1 \(2 values"):
        DISTANCES[name](broken)
    for wrong in (patterns[0], patterns[:1], patterns[None], patterns[:, :0]):
        with pytest.raises(Misaligned, match="at least 2 conditions"):
            DISTANCES[name](wrong)
    with pytest.raises(BrainalignError, match="must be real"):
        DISTANCES[name](patterns * 1j)


def test_inputs_are_left_as_they_are(patterns, rdms):
    before, folds, vectors = patterns.copy(), np.stack([patterns, patterns + 1]), rdms.copy()
    folds_before = folds.copy()
    for distance in DISTANCES.values():
        distance(patterns)
    crossnobis_distances(folds)
    for name in COMPARISON_NAMES:
        COMPARISONS[name](rdms, rdms)
        noise_ceiling(rdms, comparison=name)
    np.testing.assert_array_equal(patterns, before)
    np.testing.assert_array_equal(folds, folds_before)
    np.testing.assert_array_equal(rdms, vectors)


# --- crossnobis


def leave_one_fold_out(folds, precision):
    """Rsatoolbox's crossnobis: each fold against the mean of the others, per channel, averaged over folds."""
    result = []
    for i in range(len(folds)):
        train, test = np.delete(folds, i, axis=0).mean(axis=0), folds[i]
        kernel = train @ precision @ test.T
        square = np.diag(kernel)[None] + np.diag(kernel)[:, None] - kernel - kernel.T
        result.append(square[np.triu_indices(folds.shape[1], 1)] / folds.shape[2])
    return np.mean(result, axis=0)


@pytest.mark.parametrize("shape", [(2, 6, 4), (5, 4, 30)])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_crossnobis_equals_fold_by_fold(shape, offset):
    rng = np.random.default_rng(0)
    folds = rng.standard_normal(shape)
    root = rng.standard_normal((shape[2], shape[2]))
    precision = root @ root.T + np.eye(shape[2])
    expected = leave_one_fold_out(folds, np.eye(shape[2]))
    np.testing.assert_allclose(crossnobis_distances(folds + offset), expected, rtol=1e-7, atol=1e-9)
    expected = leave_one_fold_out(folds, precision)
    tolerance = 1e-9 * np.abs(expected).max()
    np.testing.assert_allclose(crossnobis_distances(folds, precision=precision), expected, rtol=1e-9, atol=tolerance)


def test_crossnobis_of_equal_folds_is_the_mahalanobis_distance(patterns):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((patterns.shape[1], patterns.shape[1]))
    precision = root @ root.T
    folds = np.stack([patterns] * 3)
    np.testing.assert_allclose(crossnobis_distances(folds), mean_squared_distances(patterns), rtol=1e-9)
    expected = pdist(patterns, "mahalanobis", VI=precision) ** 2 / patterns.shape[1]
    np.testing.assert_allclose(crossnobis_distances(folds, precision=precision), expected, rtol=1e-8)


def test_crossnobis_is_unbiased_and_the_plain_distance_is_not():
    rng = np.random.default_rng(0)
    n_units, covariance = 20, 0.6 ** np.abs(np.subtract.outer(range(20), range(20)))
    precision, root = np.linalg.inv(covariance), np.linalg.cholesky(covariance)
    true = np.zeros((3, n_units))
    true[2, 0] = 2  # conditions 0 and 1 do not differ
    planted = np.square(2) * precision[0, 0] / n_units
    crossed, plain = [], []
    for _ in range(2000):
        folds = true + rng.standard_normal((3, 3, n_units)) @ root.T
        crossed.append(crossnobis_distances(folds, precision=precision))
        plain.append(mean_squared_distances(folds.mean(axis=0)))
    mean, error = np.mean(crossed, axis=0), np.std(crossed, axis=0) / np.sqrt(2000)
    assert (np.abs(mean - [0, planted, planted]) < 4 * error).all()
    assert (error < planted / 20).all()
    assert np.mean(plain, axis=0)[0] > 0.5  # 2 noise variances over 3 folds
    assert 0.4 < np.mean(np.array(crossed)[:, 0] < 0) < 0.6


def test_bad_folds_are_named():
    folds = np.random.default_rng(0).standard_normal((3, 4, 5))
    with pytest.raises(Misaligned, match="at least 2 folds"):
        crossnobis_distances(folds[:1])
    with pytest.raises(Misaligned, match=r"n_folds, n_conditions, n_units.*\(4, 5\)"):
        crossnobis_distances(folds[0])
    with pytest.raises(Misaligned, match=r"precision must be \(5, 5\).*\(4, 4\)"):
        crossnobis_distances(folds, precision=np.eye(4))
    with pytest.raises(BrainalignError, match="symmetric"):
        crossnobis_distances(folds, precision=np.triu(np.ones((5, 5))))
    folds[2, 1, 3] = np.nan
    with pytest.raises(BrainalignError, match="nan at fold 2, condition 1, unit 3"):
        crossnobis_distances(folds)


# --- comparisons


def count_tau_a(x, y):
    signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in combinations(range(len(x)), 2)]
    return np.mean(signs)


ORACLES = {
    "pearson": lambda x, y: pearsonr(x, y).statistic,
    "spearman": lambda x, y: spearmanr(x, y).statistic,
    "kendall_tau_a": count_tau_a,
    "cosine": lambda x, y: 1 - scipy_cosine(x, y),
}


@pytest.mark.parametrize("name", COMPARISON_NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [None, 4], ids=["no ties", "ties"])
def test_comparisons_equal_their_oracle(rdms, name, dtype, levels):
    rdms = rdms if levels is None else np.round(levels * rdms / rdms.max(axis=1, keepdims=True))
    rdms = rdms.astype(dtype)
    expected = [[ORACLES[name](x.astype(float), y.astype(float)) for y in rdms[2:]] for x in rdms]
    got = COMPARISONS[name](rdms, rdms[2:])
    np.testing.assert_allclose(got, expected, rtol=1e-10)
    np.testing.assert_allclose(COMPARISONS[name](rdms[0], rdms[2:]), got[0], rtol=1e-12)
    np.testing.assert_allclose(COMPARISONS[name](rdms, rdms[2]), got[:, 0], rtol=1e-12)
    assert np.ndim(COMPARISONS[name](rdms[0], rdms[2])) == 0


def test_tau_a_is_tau_b_without_ties_and_smaller_with_them():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 300))
    assert kendall_tau_a(x, x + y) == pytest.approx(kendalltau(x, x + y).statistic, rel=1e-14)
    categories = (x > 0).astype(float)
    expected = count_tau_a(x, categories)
    assert kendall_tau_a(x, categories) == expected
    assert 0 < expected < kendalltau(x, categories).statistic


@pytest.mark.parametrize("x", [[0, 1, 2], [0, 0, 1], [2, 1, 0], [1, 0, 0]])
def test_tau_a_of_three_pairs(x):
    assert kendall_tau_a(x, [0.1, 0.2, 0.3]) == count_tau_a(x, [0.1, 0.2, 0.3])


def test_tau_a_of_many_pairs_needs_no_table_of_them():
    x = np.random.default_rng(0).permutation(200_000).astype(float)
    y = x.copy()
    y[:2] = y[1::-1]  # one exchange
    n = len(x)
    discordant = 1 + 2 * np.sum((x[2:] > x[:2].min()) & (x[2:] < x[:2].max()))
    assert kendall_tau_a(x, y) == pytest.approx(1 - 2 * discordant / (n * (n - 1) / 2), rel=1e-15)


@pytest.mark.parametrize("name", COMPARISON_NAMES)
def test_an_rdm_is_like_itself_and_never_more(rdms, name):
    similarity = COMPARISONS[name](rdms, rdms)
    np.testing.assert_allclose(np.diag(similarity), 1, rtol=1e-12)
    assert (np.abs(similarity) <= 1).all()
    np.testing.assert_allclose(similarity, similarity.T, rtol=1e-12)


@pytest.mark.parametrize("name", COMPARISON_NAMES)
@pytest.mark.parametrize("unit", [1e-200, 1e-26, 1e200])
def test_the_unit_of_an_rdm_does_not_matter(rdms, name, unit):
    np.testing.assert_allclose(COMPARISONS[name](rdms * unit, rdms), COMPARISONS[name](rdms, rdms), rtol=1e-10)


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall_tau_a"])
def test_a_constant_on_top_matters_to_the_cosine_only(rdms, name):
    np.testing.assert_allclose(COMPARISONS[name](rdms + 7, rdms), COMPARISONS[name](rdms, rdms), rtol=1e-9)
    assert (COMPARISONS["cosine"](rdms + 7, rdms) != COMPARISONS["cosine"](rdms, rdms)).any()


@pytest.mark.parametrize("name", COMPARISON_NAMES)
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_constant_rdm_is_nan_and_leaves_the_others_alone(rdms, name, value):
    before = COMPARISONS[name](rdms, rdms)
    rdms = rdms.copy()
    rdms[3] = value
    defined = name == "cosine" and value != 0
    after = COMPARISONS[name](rdms, rdms)
    assert np.isnan(after[3]).all() == (not defined)
    assert np.isnan(after[:, 3]).all() == (not defined)
    others = [0, 1, 2, 4]
    np.testing.assert_allclose(after[np.ix_(others, others)], before[np.ix_(others, others)], rtol=1e-12)


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall_tau_a"])
def test_an_rdm_that_varies_by_rounding_only_is_constant(rdms, name):
    rdms[0] = 0.1 + np.spacing(0.1) * (np.arange(45) % 3)
    assert np.isnan(COMPARISONS[name](rdms[0], rdms[1]))


@pytest.mark.parametrize("name", COMPARISON_NAMES)
def test_bad_rdms_are_named(rdms, name):
    with pytest.raises(Misaligned, match="RDMs of 45 pairs and of 36"):
        COMPARISONS[name](rdms, rdms[:, :36])
    with pytest.raises(Misaligned, match="at least 3 pairs"):
        COMPARISONS[name](rdms[:, :1], rdms[:, :1])
    with pytest.raises(Misaligned, match=r"shape \(1, 5, 45\)"):
        COMPARISONS[name](rdms[None], rdms)
    broken = rdms.copy()
    broken[2, 7] = np.nan
    with pytest.raises(BrainalignError, match="others is nan at RDM 2, pair 7"):
        COMPARISONS[name](rdms, broken)


def test_registries_suggest():
    with pytest.raises(UnknownName, match="did you mean 'spearman'"):
        COMPARISONS["spearmen"]
    with pytest.raises(UnknownName, match="did you mean 'euclidean'"):
        DISTANCES["euclidian"]
    with pytest.raises(UnknownName, match="did you mean 'pearson'"):
        noise_ceiling(np.eye(3), comparison="pearsn")


# --- noise ceiling


POOLED = {
    "pearson": lambda r: ((r - r.mean(axis=1, keepdims=True)) / r.std(axis=1, keepdims=True)).mean(axis=0),
    "spearman": lambda r: np.array([rankdata(v) for v in r]).mean(axis=0),
    "kendall_tau_a": lambda r: np.array([rankdata(v) for v in r]).mean(axis=0),
    "cosine": lambda r: (r / np.sqrt(np.mean(r**2, axis=1, keepdims=True))).mean(axis=0),
}


@pytest.mark.parametrize("name", COMPARISON_NAMES)
def test_the_ceiling_is_that_of_rsatoolbox(rdms, name):
    # boot_noise_ceiling: subjects against the pooled RDM of all, and of the others
    upper = [ORACLES[name](own, POOLED[name](rdms)) for own in rdms]
    lower = [ORACLES[name](own, POOLED[name](np.delete(rdms, i, axis=0))) for i, own in enumerate(rdms)]
    ceiling = noise_ceiling(rdms, comparison=name)
    np.testing.assert_allclose(ceiling.upper_by_subject, upper, rtol=1e-10)
    np.testing.assert_allclose(ceiling.lower_by_subject, lower, rtol=1e-10)
    assert ceiling.upper == pytest.approx(np.mean(upper))
    assert ceiling.lower == pytest.approx(np.mean(lower))
    assert 0 < ceiling.lower < ceiling.upper < 1
    assert ceiling.comparison == name


@pytest.mark.parametrize("name", ["pearson", "spearman", "cosine"])
def test_no_rdm_exceeds_the_upper_bound(rdms, name):
    rng = np.random.default_rng(0)
    best = POOLED[name](rdms)
    near = best + best.std() * rng.standard_normal((500, 45)) * np.geomspace(1e-3, 1, 500)[:, None]
    similarity = COMPARISONS[name](near, rdms).mean(axis=1)
    upper = noise_ceiling(rdms, comparison=name).upper
    assert (similarity <= upper + 1e-12).all()
    assert similarity.max() > 0.99 * upper  # the candidates come near enough to test it


@pytest.mark.parametrize("name", COMPARISON_NAMES)
def test_the_true_rdm_lies_between_the_bounds(name):
    rng = np.random.default_rng(0)
    bounds, truth = [], []
    for _ in range(20):
        true = rng.random(190)
        subjects = true + 0.3 * rng.standard_normal((6, 190))
        ceiling = noise_ceiling(subjects, comparison=name)
        bounds.append([ceiling.lower, ceiling.upper])
        truth.append(COMPARISONS[name](subjects, true).mean())
    lower, upper = np.mean(bounds, axis=0)
    assert lower < np.mean(truth) < upper


@pytest.mark.parametrize("name", COMPARISON_NAMES)
def test_one_subject_with_a_large_unit_does_not_rule_the_ceiling(rdms, name):
    scaled = rdms * np.array([1, 1e6, 1, 1e-6, 1])[:, None]
    one, other = noise_ceiling(rdms, comparison=name), noise_ceiling(scaled, comparison=name)
    np.testing.assert_allclose(one.lower_by_subject, other.lower_by_subject, rtol=1e-8)
    np.testing.assert_allclose(one.upper_by_subject, other.upper_by_subject, rtol=1e-8)


@pytest.mark.parametrize("name", COMPARISON_NAMES)
def test_equal_subjects_reach_one(rdms, name):
    ceiling = noise_ceiling(np.stack([rdms[0], rdms[0]]), comparison=name)
    assert ceiling.lower == pytest.approx(1)
    assert ceiling.upper == pytest.approx(1)


@pytest.mark.parametrize("name", COMPARISON_NAMES)
def test_noise_has_a_lower_bound_near_zero(name):
    noise = np.random.default_rng(0).standard_normal((8, 4005))
    ceiling = noise_ceiling(noise, comparison=name)
    assert abs(ceiling.lower) < 0.02
    assert ceiling.upper > 0.2


@pytest.mark.parametrize("name", COMPARISON_NAMES)
def test_bad_subjects_are_named(rdms, name):
    for wrong in (rdms[0], rdms[:1]):
        with pytest.raises(Misaligned, match="at least 2 subjects"):
            noise_ceiling(wrong, comparison=name)
    rdms[3] = 0
    with pytest.raises(BrainalignError, match="subject 3 does not vary"):
        noise_ceiling(rdms, comparison=name)


# --- against rsatoolbox, where it is installed


def test_equal_to_rsatoolbox(rdms):
    rsatoolbox = pytest.importorskip("rsatoolbox")
    rng = np.random.default_rng(0)
    folds = rng.standard_normal((4, 6, 15))
    data = rsatoolbox.data.Dataset(
        folds.reshape(24, 15), obs_descriptors={"c": np.tile(np.arange(6), 4), "run": np.repeat(np.arange(4), 6)}
    )
    means = rsatoolbox.data.Dataset(folds[0])
    toolbox = rsatoolbox.rdm.calc_rdm
    crossed = toolbox(data, method="crossnobis", descriptor="c", cv_descriptor="run").get_vectors()[0]
    np.testing.assert_allclose(crossnobis_distances(folds), crossed, rtol=1e-9, atol=1e-12)
    expected = toolbox(means, method="euclidean").get_vectors()[0]
    np.testing.assert_allclose(mean_squared_distances(folds[0]), expected, rtol=1e-9)
    expected = toolbox(means, method="correlation").get_vectors()[0]
    np.testing.assert_allclose(correlation_distances(folds[0]), expected, rtol=1e-9)
    subjects = rsatoolbox.rdm.RDMs(rdms)
    theirs = {"pearson": "corr", "spearman": "spearman", "kendall_tau_a": "tau-a", "cosine": "cosine"}
    for name, method in theirs.items():
        expected = rsatoolbox.rdm.compare(subjects, subjects, method=method)
        np.testing.assert_allclose(COMPARISONS[name](rdms, rdms), expected, rtol=1e-9)
        lower, upper = rsatoolbox.inference.boot_noise_ceiling(subjects, method=method)
        ceiling = noise_ceiling(rdms, comparison=name)
        np.testing.assert_allclose([ceiling.lower, ceiling.upper], [lower, upper], rtol=1e-9)
