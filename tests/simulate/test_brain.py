import numpy as np
import pytest

from brainalign.align.hrf import glover
from brainalign.simulate.brain import (
    ar1_noise,
    detrend,
    drift,
    known_ceiling,
    noise_sd,
    polynomials,
    respond,
    runs_of,
    sample_events,
)

RUN = np.repeat(["1", "2", "3"], 400)


def signal(seed=0):
    s = np.random.default_rng(seed).standard_normal((1200, 2))
    return (s - s.mean(axis=0)) / s.std(axis=0)


def test_one_event_gives_the_response_at_the_middle_of_each_sample():
    s = sample_events([3.0], [[2.0]], step=1.0, n_samples=30, oversampling=16)
    fine = glover(1 / 16)
    expected = [2 * fine[round((i + 0.5 - 3) * 16)] if i + 0.5 >= 3 else 0 for i in range(30)]
    assert s[:, 0] == pytest.approx(expected, abs=1e-12)


def test_events_add_up():
    onsets, values = np.array([1.0, 2.5, 7.25]), np.array([[1.0, 0], [0, 1], [2, -1]])
    whole = sample_events(onsets, values, step=1.5, n_samples=40)
    parts = sum(sample_events(onsets[[i]], values[[i]], step=1.5, n_samples=40) for i in range(3))
    assert np.allclose(whole, parts)


def test_an_event_outside_the_run_is_refused():
    with pytest.raises(ValueError, match="event 1 at 60"):
        sample_events([1.0, 60.0], np.ones((2, 1)), step=1.5, n_samples=40)


@pytest.mark.parametrize("coefficient", [-0.5, 0.0, 0.4, 0.9])
def test_noise_has_unit_variance_and_the_stated_autocorrelation(coefficient):
    noise = ar1_noise(4000, 50, coefficient=coefficient, rng=np.random.default_rng(0))
    assert noise.var(axis=0).mean() == pytest.approx(1, abs=0.05)
    assert noise[0].var() == pytest.approx(1, abs=0.5)
    lagged = np.mean([np.corrcoef(x[1:], x[:-1])[0, 1] for x in noise.T])
    assert lagged == pytest.approx(coefficient, abs=0.02)


def test_noise_that_is_not_stationary_is_refused():
    with pytest.raises(ValueError, match="coefficient must lie between"):
        ar1_noise(10, 1, coefficient=1.0, rng=np.random.default_rng(0))


def test_drift_is_a_polynomial_of_unit_expected_variance():
    drifts = drift(300, 400, order=3, rng=np.random.default_rng(0))
    assert drifts.var(axis=0).mean() == pytest.approx(1, abs=0.1)
    assert np.allclose(detrend(drifts, order=3, run=np.zeros(300)), 0, atol=1e-10)


def test_detrending_stays_within_runs():
    Y = np.concatenate([np.linspace(0, 5, 400) + level for level in (0, 100, -7)])[:, None]
    assert np.allclose(detrend(Y, order=1, run=RUN), 0)
    assert np.array_equal(detrend(Y, order=-1, run=RUN), Y)


def test_polynomials_are_orthonormal():
    basis = polynomials(50, 4)
    assert np.allclose(basis.T @ basis, np.eye(5))
    with pytest.raises(ValueError, match="needs at least 5 samples"):
        polynomials(4, 4)


def test_runs_come_in_order_of_appearance():
    assert [rows.tolist() for rows in runs_of(["b", "b", "a"])] == [[0, 1], [2]]


@pytest.mark.parametrize("noise_ceiling", [0.2, 0.5, 0.9, 1.0])
def test_without_drift_the_ceiling_is_the_correlation_with_the_signal(noise_ceiling):
    s = signal()
    measured = [
        np.corrcoef(s[:, 0], respond(s, noise_ceiling=noise_ceiling, run=RUN, rng=np.random.default_rng([1, i]))[:, 0])[
            0, 1
        ]
        for i in range(60)
    ]
    assert np.mean(measured) == pytest.approx(noise_ceiling, abs=0.012)


def test_the_known_ceiling_is_what_listeners_show():
    """Drift, autocorrelation, gains, detrending, and the mean of standardised listeners."""
    s = signal()
    gains = np.array([0.5, 1.0, 1.5, 2.0])
    settings = {"noise_ceiling": 0.3, "run": RUN, "autocorrelation": 0.4, "drift_sd": 1.5, "drift_order": 2}
    clean = detrend(s, order=2, run=RUN)[:, 0]
    alone, together = [], []
    for i in range(40):
        recorded = [
            detrend(respond(s, rng=np.random.default_rng([i, j]), gain=gain, **settings), order=2, run=RUN)[:, 0]
            for j, gain in enumerate(gains)
        ]
        z = [(y - y.mean()) / y.std() for y in recorded]
        alone.append([np.corrcoef(clean, y)[0, 1] for y in recorded])
        together.append(np.corrcoef(clean, np.mean(z, axis=0))[0, 1])
    for gain, measured in zip(gains, np.mean(alone, axis=0), strict=True):
        expected = known_ceiling(s, gains=[gain], detrend_order=2, **settings)[0]
        assert measured == pytest.approx(expected, abs=0.015)
    assert np.mean(together) == pytest.approx(known_ceiling(s, gains=gains, detrend_order=2, **settings)[0], abs=0.015)


def test_a_silent_target_has_no_ceiling():
    s = signal()
    s[:, 1] = 0
    ceilings = known_ceiling(
        s, noise_ceiling=0.3, run=RUN, gains=[1.0], autocorrelation=0.0, drift_sd=0.0, drift_order=1, detrend_order=-1
    )
    assert ceilings[1] == 0
    assert ceilings[0] == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("bad", [0, -0.1, 1.1])
def test_a_ceiling_that_is_no_correlation_is_refused(bad):
    with pytest.raises(ValueError, match="noise_ceiling must be above 0"):
        noise_sd(bad)
