import numpy as np
import pytest
from scipy.stats import f_oneway

from brainalign.encode.ceiling import (
    CEILINGS,
    Ceiling,
    explainable_variance,
    leave_one_subject_out,
    noise_ceiling_snr,
    normalise,
    split_half,
)
from brainalign.encode.metrics import Unit, r2
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
        (explainable_variance(Y, against="mean"), explainable_variance(Y * 1e-200, against="mean")),
        (explainable_variance(Y, against="single"), explainable_variance(Y * 1e150 + 1e151, against="single")),
        (noise_ceiling_snr(Y, n_averaged=6), noise_ceiling_snr(Y * 1e-200, n_averaged=6)),
        (noise_ceiling_snr(Y, n_averaged=1), noise_ceiling_snr(Y * 1e150 + 1e151, n_averaged=1)),
    ):
        np.testing.assert_allclose(other.value, ceiling.value, rtol=1e-9)
        np.testing.assert_allclose(other.raw, ceiling.raw, rtol=1e-9)


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


def test_a_ceiling_is_in_one_of_two_units_and_no_number():
    ceiling = Ceiling(np.array([0.5]), kind="split_half", unit="r", raw=np.zeros(1))
    assert isinstance(ceiling.unit, Unit)
    with pytest.raises(TypeError):
        np.array([0.2]) / ceiling
    with pytest.raises(BrainalignError, match="split_half ceiling must be in r or r2, got 'R'"):
        Ceiling(np.array([0.5]), kind="split_half", unit="R", raw=np.zeros(1))


def test_a_ceiling_in_r_becomes_one_in_r2_only_when_squared():
    in_r = Ceiling(np.array([0.5, -0.1, np.nan]), kind="leave_one_subject_out", unit="r", raw=np.arange(3))
    in_r2 = in_r.squared()
    np.testing.assert_array_equal(in_r2.value, [0.25, np.nan, np.nan])
    assert (in_r2.unit, in_r2.kind) == ("r2", in_r.kind)
    np.testing.assert_array_equal(in_r2.raw, in_r.raw)
    np.testing.assert_array_equal(normalise(np.full(3, 0.2), in_r2, metric="r2"), [0.8, np.nan, np.nan])
    with pytest.raises(BrainalignError, match="pearson is in r, the leave_one_subject_out ceiling in r2"):
        normalise(np.full(3, 0.2), in_r2, metric="pearson")
    with pytest.raises(BrainalignError, match="is in r2 already"):
        in_r2.squared()


def test_the_squared_split_half_is_the_r2_of_the_planted_signal():
    signal, Y = group(4, noise=2.0)
    mean = Y.mean(axis=0)
    weight = (signal * mean).sum(axis=0) / np.square(signal).sum(axis=0)
    np.testing.assert_allclose(split_half(Y, seed=0).squared().value, r2(mean, weight * signal), atol=0.03)


@pytest.mark.parametrize("n_repeats", [2, 3, 10])
@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
def test_explainable_variance_is_the_r2_of_the_planted_signal(n_repeats, noise):
    signal, Y = group(n_repeats, noise=noise)
    truth = 1 / (1 + noise**2)
    growth = 1 + (n_repeats - 1) * truth
    sd = (1 - truth) * growth / np.sqrt(n_repeats * (n_repeats - 1) / 2 * 10_000)  # Fisher (1925), intraclass
    single = explainable_variance(Y, against="single")
    np.testing.assert_allclose(single.value, truth, atol=4 * sd)
    np.testing.assert_allclose(single.value, np.mean([r2(own, signal) for own in Y], axis=0), atol=0.02 + 4 * sd)
    of_mean = explainable_variance(Y, against="mean")
    sd *= n_repeats / growth**2
    np.testing.assert_allclose(of_mean.value, 1 / (1 + noise**2 / n_repeats), atol=4 * sd)
    np.testing.assert_allclose(of_mean.value, r2(Y.mean(axis=0), signal), atol=0.02 + 4 * sd)
    assert (single.kind, single.unit) == ("explainable_variance", "r2")


def test_explainable_variance_equals_the_covariances_of_pairs_of_repeats():
    _, Y = group(5, noise=1.5, n_samples=40)
    Y += np.arange(5)[:, None, None]  # repeats may differ in their means
    covariance = np.stack([np.cov(Y[:, :, j]) for j in range(3)])  # (n_targets, n_repeats, n_repeats)
    signal = covariance[:, *np.triu_indices(5, 1)].mean(axis=1)
    variance = np.trace(covariance, axis1=1, axis2=2) / 5
    single, of_mean = (explainable_variance(Y, against=against) for against in ("single", "mean"))
    np.testing.assert_allclose(single.value, signal / variance, rtol=1e-10)
    np.testing.assert_allclose(of_mean.value, signal / Y.mean(axis=0).var(axis=0, ddof=1), rtol=1e-10)
    for ceiling in (single, of_mean):
        np.testing.assert_allclose((5 * ceiling.raw - 1) / 4, single.value, rtol=1e-10)  # Gallant lab


def test_explainable_variance_of_two_repeats_is_the_reliability_of_split_half():
    _, Y = group(2, noise=1.0, n_samples=50)
    Y = (Y - Y.mean(axis=1, keepdims=True)) / Y.std(axis=1, keepdims=True)
    expected = split_half(Y, n_splits=1, seed=0).squared().value
    np.testing.assert_allclose(explainable_variance(Y, against="mean").value, expected, rtol=1e-10)


def test_repeats_without_signal_have_no_ceiling_in_r2():
    Y = np.random.default_rng(0).standard_normal((3, 200, 400))
    ev, snr = explainable_variance(Y, against="mean"), noise_ceiling_snr(Y, n_averaged=3)
    np.testing.assert_array_equal(np.isnan(ev.value), ev.raw <= 1 / 3)
    np.testing.assert_array_equal(np.isnan(snr.value), snr.raw == 0)
    for ceiling in (ev, snr):
        assert 0.4 < np.isnan(ceiling.value).mean() < 0.6
        assert np.isfinite(ceiling.raw).all()
    assert abs(ev.raw.mean() - 1 / 3) < 0.01


@pytest.mark.parametrize("n_averaged", [1, 3, 10])
def test_snr_ceiling_is_the_r2_of_the_planted_signal(n_averaged):
    signal, Y = group(3, noise=2.0)
    ceiling = noise_ceiling_snr(Y, n_averaged=n_averaged)
    np.testing.assert_allclose(ceiling.raw, 0.5, atol=0.04)  # 4 sd, as above
    np.testing.assert_allclose(ceiling.value, 1 / (1 + 4 / n_averaged), atol=0.05)  # 4 sd
    new = signal + 2 * np.random.default_rng(1).standard_normal((n_averaged, *signal.shape)).mean(axis=0)
    np.testing.assert_allclose(ceiling.value, r2(new, signal), atol=0.05)
    assert (ceiling.kind, ceiling.unit) == ("noise_ceiling_snr", "r2")


def test_snr_equals_the_formulas_of_nsd_but_for_the_number_of_stimuli():
    _, Y = group(3, noise=1.0, n_samples=500)
    Y = (Y - Y.mean(axis=(0, 1))) / Y.std(axis=(0, 1))
    noise = np.sqrt(Y.var(axis=0, ddof=1).mean(axis=0))
    ncsnr = np.sqrt(np.maximum(1 - noise**2, 0)) / noise
    ceiling = noise_ceiling_snr(Y, n_averaged=3)
    np.testing.assert_allclose(ceiling.raw, ncsnr, rtol=2 / 500)
    np.testing.assert_allclose(ceiling.value, ncsnr**2 / (ncsnr**2 + 1 / 3), rtol=2 / 500)
    assert (ceiling.raw != ncsnr).all()


def test_snr_of_repeats_equals_that_of_labelled_responses_in_any_order():
    _, Y = group(4, noise=1.0, n_samples=30)
    stimulus = np.tile([f"image {i}" for i in range(30)], 4)
    order = np.random.default_rng(0).permutation(120)
    by_label = noise_ceiling_snr(Y.reshape(120, 3)[order], stimulus=stimulus[order], n_averaged=2)
    np.testing.assert_allclose(by_label.value, noise_ceiling_snr(Y, n_averaged=2).value, rtol=1e-10)


def test_snr_of_unequal_repeats_follows_the_analysis_of_variance_and_the_truth():
    rng = np.random.default_rng(0)
    stimulus = np.repeat(np.arange(4000), rng.integers(1, 5, 4000))
    Y = rng.standard_normal((4000, 2))[stimulus] + 2 * rng.standard_normal((len(stimulus), 2))
    ceiling = noise_ceiling_snr(Y, stimulus=stimulus, n_averaged=1)
    np.testing.assert_allclose(ceiling.raw, 0.5, atol=0.07)  # 4 sd over seeds
    few = stimulus < 60
    n_few = np.bincount(stimulus[few])
    f = np.array([f_oneway(*np.split(y, np.cumsum(n_few)[:-1])).statistic for y in Y[few].T])
    n = (few.sum() - np.square(n_few).sum() / few.sum()) / 59
    expected = np.sqrt(np.maximum(f - 1, 0) / n)
    np.testing.assert_allclose(noise_ceiling_snr(Y[few], stimulus=stimulus[few], n_averaged=1).raw, expected, rtol=1e-9)


def test_snr_and_explainable_variance_agree_on_centred_repeats():
    _, Y = group(3, noise=1.0, n_samples=800)
    Y -= Y.mean(axis=1, keepdims=True)
    for n_averaged, against in ((1, "single"), (3, "mean")):
        np.testing.assert_allclose(
            noise_ceiling_snr(Y, n_averaged=n_averaged).value,
            explainable_variance(Y, against=against).value,
            rtol=2 / 800,
        )


def test_ceilings_of_repeats_at_the_limits():
    _, Y = group(3, noise=1.0, n_samples=50)
    Y[:, :, 1] = 0.1
    Y[:, :, 2] = np.arange(50.0)  # equal repeats, without a rounding error
    for ceiling in (
        explainable_variance(Y, against="mean"),
        explainable_variance(Y, against="single"),
        noise_ceiling_snr(Y, n_averaged=3),
    ):
        assert np.isnan(ceiling.value).tolist() == [False, True, False]
        assert np.isnan(ceiling.raw).tolist() == [False, True, False]
        np.testing.assert_allclose(ceiling.value[2], 1, rtol=1e-12)
    assert noise_ceiling_snr(Y, n_averaged=3).raw[2] == np.inf


def test_what_repeats_cannot_tell_is_refused():
    _, Y = group(3, noise=1.0, n_samples=50)
    with pytest.raises(UnknownName, match="did you mean 'mean'"):
        explainable_variance(Y, against="means")
    with pytest.raises(BrainalignError, match="n_averaged must be at least 1 repeat, got 0"):
        noise_ceiling_snr(Y, n_averaged=0)
    with pytest.raises(BrainalignError, match="50 responses to 50 stimuli"):
        noise_ceiling_snr(Y[0], stimulus=np.arange(50), n_averaged=1)
    with pytest.raises(BrainalignError, match="3 responses to 1 stimuli"):
        noise_ceiling_snr(Y[:, :1], n_averaged=1)
    with pytest.raises(Misaligned, match=r"got \(50, 3\) and \(49,\)"):
        noise_ceiling_snr(Y[0], stimulus=np.arange(49), n_averaged=1)
    with pytest.raises(Misaligned, match=r"got \(3, 50, 3\) and \(50,\)"):
        noise_ceiling_snr(Y, stimulus=np.arange(50), n_averaged=1)
    flat = Y.reshape(150, 3).copy()
    flat[7, 2] = np.inf
    with pytest.raises(BrainalignError, match="Y is inf at sample 7, target 2"):
        noise_ceiling_snr(flat, stimulus=np.tile(np.arange(50), 3), n_averaged=1)


STACKED = {
    "split_half": ("subject", {"seed": 0}),
    "leave_one_subject_out": ("subject", {}),
    "explainable_variance": ("repeat", {"against": "mean"}),
    "noise_ceiling_snr": ("repeat", {"n_averaged": 3}),
}


@pytest.mark.parametrize("name", list(CEILINGS))
def test_bad_input_is_refused(name):
    what, options = STACKED[name]
    with pytest.raises(Misaligned, match=f"at least 2 {what}s"):
        CEILINGS[name](np.zeros((1, 10, 2)), **options)
    with pytest.raises(Misaligned, match=f"n_{what}s, n_samples"):
        CEILINGS[name](np.zeros((10, 2)), **options)
    Y = np.random.default_rng(0).standard_normal((3, 10, 2))
    assert CEILINGS[name](Y, **options).kind == name
    Y[1, 4, 0] = np.nan
    with pytest.raises(BrainalignError, match=f"{what} 1 is nan at sample 4, target 0"):
        CEILINGS[name](Y, **options)
