import numpy as np
import pytest

from brainalign.encode.ceiling import CEILINGS, Ceiling, leave_one_subject_out, normalise, split_half
from brainalign.errors import BrainalignError, Misaligned, UnknownName


def group(n_subjects, *, noise, n_samples=10_000, n_targets=3, seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n_samples, n_targets))
    return signal, signal + noise * rng.standard_normal((n_subjects, n_samples, n_targets))


@pytest.mark.parametrize("n_subjects", [2, 3, 5, 8, 27])
@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_split_half_is_the_correlation_of_the_group_mean_with_the_planted_signal(n_subjects, noise):
    signal, Y = group(n_subjects, noise=noise)
    ceiling = split_half(Y, seed=0)
    mean = Y.mean(axis=0)
    truth = [np.corrcoef(signal[:, j], mean[:, j])[0, 1] for j in range(3)]
    np.testing.assert_allclose(ceiling.value, truth, atol=0.03)
    assert (ceiling.kind, ceiling.unit) == ("split_half", "r")
    half = n_subjects // 2
    np.testing.assert_allclose(ceiling.raw, 1 / (1 + noise**2 / half), atol=0.04)


def test_split_half_of_two_subjects_is_spearman_brown():
    _, Y = group(2, noise=1.0)
    r = np.array([np.corrcoef(Y[0, :, j], Y[1, :, j])[0, 1] for j in range(3)])
    ceiling = split_half(Y, n_splits=3, seed=0)
    np.testing.assert_allclose(ceiling.raw, r, rtol=1e-12)
    np.testing.assert_allclose(ceiling.value, np.sqrt(2 * r / (1 + r)), rtol=1e-12)


def test_split_half_of_noise_is_nan_or_small_and_raw_is_kept():
    Y = np.random.default_rng(0).standard_normal((9, 300, 40))
    ceiling = split_half(Y, seed=0)
    negative = ceiling.raw <= 0
    assert negative.any()
    assert not negative.all()
    np.testing.assert_array_equal(np.isnan(ceiling.value), negative)
    assert abs(ceiling.raw.mean()) < 0.03


def test_constant_responses_have_no_ceiling():
    _, Y = group(6, noise=1.0, n_samples=50)
    Y[:, :, 1] = 2.0
    assert np.isnan(split_half(Y, seed=0).value).tolist() == [False, True, False]
    assert np.isnan(leave_one_subject_out(Y).value).tolist() == [[False, True, False]] * 6


def test_split_half_is_seeded():
    _, Y = group(7, noise=1.0, n_samples=50)
    np.testing.assert_array_equal(split_half(Y, seed=1).value, split_half(Y, seed=1).value)
    assert (split_half(Y, seed=1).value != split_half(Y, seed=2).value).any()


def test_leave_one_subject_out_equals_a_loop_and_the_theory():
    _, Y = group(6, noise=2.0)
    ceiling = leave_one_subject_out(Y)
    for i in range(6):
        others = np.delete(Y, i, axis=0).mean(axis=0)
        expected = [np.corrcoef(Y[i, :, j], others[:, j])[0, 1] for j in range(3)]
        np.testing.assert_allclose(ceiling.value[i], expected, rtol=1e-10)
    np.testing.assert_allclose(ceiling.value.mean(), 1 / np.sqrt((1 + 4) * (1 + 4 / 5)), atol=0.01)
    assert (ceiling.kind, ceiling.unit) == ("leave_one_subject_out", "r")


def test_unit_of_the_responses_decides_nothing():
    _, Y = group(6, noise=2.0, n_samples=100)
    for ceiling, other in (
        (split_half(Y, seed=0), split_half(Y * 1e-13, seed=0)),
        (leave_one_subject_out(Y), leave_one_subject_out(Y * 1e-13)),
    ):
        np.testing.assert_allclose(other.value, ceiling.value, rtol=1e-9)


def test_normalised_score_is_never_clipped_and_nan_below_the_floor():
    ceiling = Ceiling(np.array([0.5, 0.05, np.nan, 0.1]), kind="split_half", unit="r", raw=np.zeros(4))
    out = normalise(np.array([0.6, 0.04, 0.3, -0.1]), ceiling, metric="pearson", floor=0.1)
    np.testing.assert_allclose(out, [1.2, np.nan, np.nan, -1.0])
    assert normalise(np.ones((3, 4)), ceiling, metric="pearson").shape == (3, 4)


def test_units_must_agree():
    ceiling = Ceiling(np.array([0.5]), kind="split_half", unit="r", raw=np.zeros(1))
    with pytest.raises(BrainalignError, match="r2 is in r2, the split_half ceiling in r"):
        normalise(np.array([0.2]), ceiling, metric="r2")
    with pytest.raises(UnknownName, match="pearson"):
        normalise(np.array([0.2]), ceiling, metric="pearsn")
    with pytest.raises(BrainalignError, match="floor"):
        normalise(np.array([0.2]), ceiling, metric="pearson", floor=0)


@pytest.mark.parametrize("name", list(CEILINGS))
def test_bad_input_is_refused(name):
    options = {"seed": 0} if name == "split_half" else {}
    with pytest.raises(Misaligned, match="at least 2 subjects"):
        CEILINGS[name](np.zeros((1, 10, 2)), **options)
    Y = np.random.default_rng(0).standard_normal((3, 10, 2))
    Y[1, 4, 0] = np.nan
    with pytest.raises(BrainalignError, match="subject 1 is nan at sample 4, target 0"):
        CEILINGS[name](Y, **options)
