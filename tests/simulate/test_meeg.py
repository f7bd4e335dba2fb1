import numpy as np
import pytest
from scipy.signal import find_peaks, welch

from brainalign.simulate.meeg import (
    alpha_power,
    amplitude_of,
    blinks,
    bump,
    ceiling,
    event_course,
    falling_power,
    heartbeats,
    series_course,
    spectral_noise,
)

SFREQ = 200.0


def test_a_bump_peaks_at_its_latency_and_falls_to_exp_of_minus_a_half_at_its_width():
    h = bump([0.0, 0.35, 0.4, 0.45, 0.651], latency=0.4, width=0.05)
    assert h == pytest.approx([0, np.exp(-0.5), 1, np.exp(-0.5), 0])


@pytest.mark.parametrize(("latency", "width"), [(0.1, 0.0), (0.1, 0.03), (-0.1, 0.02)])
def test_a_bump_before_its_cause_is_refused(latency, width):
    with pytest.raises(ValueError, match="nothing precedes its cause"):
        bump([0.0], latency=latency, width=width)


def test_the_course_of_events_is_the_sum_of_their_bumps_at_exact_times():
    onsets, values = np.array([1.0013, 1.4, 7.9]), np.array([2.0, -1.0, 0.5])
    course = event_course(onsets, values, latency=0.25, width=0.04, sfreq=SFREQ, n_samples=1600)
    times = np.arange(1600) / SFREQ
    expected = sum(
        v * np.exp(-((times - onset - 0.25) ** 2) / (2 * 0.04**2)) for onset, v in zip(onsets, values, strict=True)
    )
    assert np.abs(course - expected).max() < 1e-5  # the bumps are cut at five widths
    assert not course[times < 1.0013 + 0.049].any()


def test_the_course_of_a_series_is_that_of_its_impulses():
    series = np.zeros(1000)
    series[[100, 130, 990]] = [1.0, 2.0, -1.0]
    settings = {"latency": 0.1, "width": 0.02, "sfreq": SFREQ}
    expected = event_course(np.array([100, 130, 990]) / SFREQ, [1.0, 2.0, -1.0], n_samples=1000, **settings)
    assert series_course(series, **settings) == pytest.approx(expected / SFREQ, abs=1e-12)


@pytest.mark.parametrize("sfreq", [100.0, 250.0])
def test_the_planted_latency_is_found_by_regression_on_delayed_features(sfreq):
    rng = np.random.default_rng(0)
    onsets = np.cumsum(rng.uniform(0.2, 0.5, 300))
    n_samples = int((onsets[-1] + 2) * sfreq)
    values = rng.standard_normal((300, 2))
    course = event_course(onsets, values[:, 0], latency=0.4, width=0.05, sfreq=sfreq, n_samples=n_samples)
    course += 3 * event_course(onsets, values[:, 1], latency=0.17, width=0.03, sfreq=sfreq, n_samples=n_samples)
    impulses = np.zeros((n_samples, 2))
    np.add.at(impulses, np.rint(onsets * sfreq).astype(int), values)
    delays = np.arange(int(0.7 * sfreq))
    X = np.hstack([np.vstack([np.zeros((d, 2)), impulses[: n_samples - d]]) for d in delays])
    weights = np.linalg.lstsq(X, course)[0].reshape(len(delays), 2)
    assert delays[weights.argmax(axis=0)] / sfreq == pytest.approx([0.4, 0.17], abs=0.01)


def test_an_event_outside_the_run_is_refused():
    with pytest.raises(ValueError, match=r"event 1 at 8.0 s is outside the run \(0 to 8.0 s\)"):
        event_course([1.0, 8.0], [1.0, 1.0], latency=0.25, width=0.04, sfreq=SFREQ, n_samples=1600)


def test_events_without_values_are_refused():
    with pytest.raises(ValueError, match="one value per onset"):
        event_course([1.0, 2.0], [1.0], latency=0.25, width=0.04, sfreq=SFREQ, n_samples=1600)


@pytest.mark.parametrize("n_samples", [6000, 6001, 5987])
def test_noise_has_variance_one_and_the_given_spectrum(n_samples):
    noise = spectral_noise(n_samples, 300, power=falling_power, sfreq=SFREQ, rng=np.random.default_rng(0))
    assert noise.shape == (n_samples, 300)
    assert noise.var() == pytest.approx(1, abs=0.05)
    frequencies, power = welch(noise, SFREQ, nperseg=2048, axis=0)
    power = power.mean(axis=1)
    for low, high in ((2, 8), (8, 32)):
        ratio = power[np.abs(frequencies - low) < 0.3].mean() / power[np.abs(frequencies - high) < 0.3].mean()
        assert ratio == pytest.approx(4, rel=0.15)


def test_series_of_noise_do_not_correlate():
    noise = spectral_noise(40000, 8, power=falling_power, sfreq=SFREQ, rng=np.random.default_rng(1))
    correlations = np.corrcoef(noise, rowvar=False)[np.triu_indices(8, 1)]
    assert np.abs(correlations).max() < 0.3
    assert abs(correlations.mean()) < 0.04


def test_power_below_the_knee_is_flat():
    assert falling_power(np.array([0.01, 0.5, 1.0, 10.0])) == pytest.approx([2, 2, 1, 0.1])


def test_alpha_has_its_peak_at_10_hz():
    noise = spectral_noise(20000, 50, power=alpha_power, sfreq=SFREQ, rng=np.random.default_rng(0))
    frequencies, power = welch(noise, SFREQ, nperseg=400, axis=0)
    power = power.mean(axis=1)
    assert frequencies[power.argmax()] == pytest.approx(10, abs=0.5)
    assert power[np.abs(frequencies - 10) < 3].sum() > 0.95 * power.sum()


def test_blinks_come_every_four_seconds_and_last_a_third_of_one():
    course = blinks(120000, sfreq=SFREQ, rng=np.random.default_rng(0))
    peaks, _ = find_peaks(course, height=0.5)
    assert 600 / len(peaks) == pytest.approx(4, rel=0.2)
    assert np.diff(peaks).min() >= SFREQ
    assert (course[peaks] > 0.65).all()
    assert course.max() <= 1 + 1e-9
    assert (course > 1e-3).mean() == pytest.approx(0.3 / 4, rel=0.25)


def test_the_heart_beats_70_times_a_minute():
    course = heartbeats(60000, sfreq=SFREQ, rng=np.random.default_rng(0))
    peaks, _ = find_peaks(course, height=0.5)
    assert len(peaks) / 5 == pytest.approx(70.6, abs=2)
    assert 0.02 < np.diff(peaks).std() / SFREQ < 0.08
    assert course[peaks] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("unit", [1.0, 1e-13])
def test_the_ceiling_is_the_correlation_of_signal_and_recording(unit):
    r = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        signal, noise = unit * 0.5 * rng.standard_normal(2000), unit * rng.standard_normal(2000)
        r.append(np.corrcoef(signal, signal + noise)[0, 1])
    expected = ceiling(0.25 * unit**2, unit**2)
    assert expected == pytest.approx(np.sqrt(0.2))
    assert np.mean(r) == pytest.approx(expected, abs=0.01)


def test_targets_without_signal_have_ceiling_0_and_silent_ones_none():
    r = ceiling([0.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    assert r[:2].tolist() == [0, 1]
    assert np.isnan(r[2])


def test_the_amplitude_makes_the_best_target_reach_the_ceiling():
    signal, noise = np.array([4.0, 1.0, 0.0]) * 1e-20, np.array([9.0, 1.0, 1.0]) * 1e-26
    size = amplitude_of(0.3, signal, noise)
    assert ceiling(size**2 * signal, noise).max() == pytest.approx(0.3)
    assert ceiling(size**2 * signal, noise).argmax() == 1
    assert amplitude_of(0.0, signal, noise) == 0


@pytest.mark.parametrize("r", [-0.1, 1.0])
def test_a_ceiling_that_no_noise_allows_is_refused(r):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        amplitude_of(r, [1.0], [1.0])


def test_a_signal_that_nobody_sees_is_refused():
    with pytest.raises(ValueError, match="no target has a signal"):
        amplitude_of(0.3, [0.0, 0.0], [1.0, 1.0])
