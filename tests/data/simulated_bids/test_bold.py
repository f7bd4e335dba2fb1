import numpy as np
import pytest

from brainalign.align.hrf import glover
from brainalign.data._simulated_bids import bold
from brainalign.data._simulated_bids.confounds import confounds_of
from brainalign.data._simulated_bids.settings import PLANTED, Settings
from brainalign.data._simulated_bids.stimuli import FINE, loudness, tell_story
from brainalign.simulate.brain import polynomials

SETTINGS = Settings(n_runs=2, run_duration=150.0)
NAMES = [source.name for source in PLANTED]


@pytest.fixture(scope="module")
def told():
    return tell_story(SETTINGS)


@pytest.fixture(scope="module")
def signals(told):
    return bold.planted_signals(told, SETTINGS)


def recorded(signals, regions, *, seed=0, run="01", settings=SETTINGS, gain=1.0):
    disturbance = bold.disturb("01", run, settings)
    percent = bold.record(
        signals, regions, disturbance, gain=gain, stream=[settings.seed, 5, 1, seed], run=run, settings=settings
    )
    return percent, disturbance


def correlations(a, b):
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def test_signals_are_standardised_over_all_runs(signals):
    assert [signal.shape for signal in signals] == [(100, 5), (100, 5)]
    whole = np.concatenate(signals)
    assert whole.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert whole.std(axis=0) == pytest.approx(1)


@pytest.mark.parametrize("i", range(len(PLANTED)), ids=NAMES)
def test_a_signal_is_its_feature_through_the_haemodynamic_response(told, signals, i):
    run, n = told[0], 3000
    if PLANTED[i].feature == "envelope":
        fine = loudness(run, step=FINE, n_samples=n)
    else:
        fine = np.zeros(n)
        places = np.rint(run.words["onset"].to_numpy() / FINE).astype(int)
        np.add.at(fine, places, run.values[PLANTED[i].feature])
    response = np.convolve(fine, glover(FINE))[:n]
    middles = np.rint((np.arange(100) + 0.5) * 1.5 / FINE).astype(int)
    assert np.corrcoef(response[middles], signals[0][:, i])[0, 1] > 0.995


def test_the_stated_ceilings_are_the_correlations_of_signal_and_recording(signals):
    regions = np.repeat(np.arange(1, 6), 200)
    ceilings = bold.ceilings_of("01", 1.3, SETTINGS).set_index("target")
    whole, both = np.concatenate(signals), []
    for seed in range(5):
        settings = SETTINGS.model_copy(update={"seed": seed})
        runs = [
            recorded(signal, regions, run=run, settings=settings, gain=1.3)[0]
            for signal, run in zip(signals, ("01", "02"), strict=True)
        ]
        both.append(correlations(np.concatenate(runs), whole[:, regions - 1]))
    measured = np.mean(both, axis=0).reshape(5, 200).mean(axis=1)
    assert measured == pytest.approx(ceilings["noise_ceiling"][NAMES].to_numpy(), abs=0.03)
    assert measured.mean() == pytest.approx(ceilings["noise_ceiling"].mean(), abs=0.015)


def test_without_confounds_and_drift_the_recording_reaches_the_clean_ceiling(signals, monkeypatch):
    monkeypatch.setattr(bold, "CONFOUND_SIZE", 0.0)
    monkeypatch.setattr(bold, "DRIFT_SIZE", 0.0)
    regions = np.full(2000, 1)
    runs = [recorded(signal, regions, run=run)[0] for signal, run in zip(signals, ("01", "02"), strict=True)]
    measured = correlations(np.concatenate(runs), np.concatenate(signals)[:, [0] * 2000]).mean()
    clean = bold.ceilings_of("01", 1.0, SETTINGS)["noise_ceiling_clean"]
    assert clean.to_numpy() == pytest.approx(0.4)
    assert measured == pytest.approx(0.4, abs=0.015)


def test_the_written_confounds_explain_what_they_disturb(signals, monkeypatch):
    """Regressed out together with the drift's polynomials, they leave what a recording without them leaves."""
    regions = np.arange(6).repeat(10)
    percent, disturbance = recorded(signals[0], regions)
    table, _ = confounds_of(disturbance, percent, tr=1.5)
    regressors = np.hstack([table[[*bold.MOVEMENTS, *bold.PHYSIOLOGY]], polynomials(100, bold.DRIFT_ORDER)])
    basis = np.linalg.qr(regressors)[0]
    monkeypatch.setattr(bold, "CONFOUND_SIZE", 0.0)
    monkeypatch.setattr(bold, "DRIFT_SIZE", 0.0)
    undisturbed, _ = recorded(signals[0], regions)
    assert np.abs(percent - undisturbed).max() > 1
    left, expected = (y - basis @ (basis.T @ y) for y in (percent, undisturbed))
    assert left == pytest.approx(expected, abs=1e-9)


def test_a_target_outside_the_regions_has_no_signal(signals):
    regions = np.zeros(3000, int)
    percent, _ = recorded(signals[0], regions)
    assert abs(correlations(percent, signals[0][:, [0] * 3000]).mean()) < 0.02


def test_regions_are_the_places_within_10_mm():
    centre = np.array(PLANTED[3].place, float)
    places = centre + np.array([[0, 0, 0], [0, 9.9, 0], [0, 0, 10.1], [50, 0, 0]])
    assert bold.regions_of(places).tolist() == [4, 4, 0, 0]
    distances = [np.linalg.norm(np.subtract(a.place, b.place)) for i, a in enumerate(PLANTED) for b in PLANTED[i + 1 :]]
    assert min(distances) > 20


def test_movement_begins_at_zero_and_stays_small():
    movements = bold.disturb("01", "01", SETTINGS).movements
    assert not movements.iloc[0].any()
    assert (movements.abs().max() < [2.0] * 3 + [0.03] * 3).all()
    assert (movements.std() > 0).all()


def test_people_and_runs_move_differently():
    one, again, other, later = (
        bold.disturb(subject, run, SETTINGS).series
        for subject, run in (("01", "01"), ("01", "01"), ("02", "01"), ("01", "02"))
    )
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
    assert not np.allclose(one, later)


def test_nothing_is_planted_at_ceiling_0(signals):
    settings = SETTINGS.model_copy(update={"noise_ceiling": 0.0})
    regions = np.array([1, 2, 3, 4, 5])
    percent, _ = recorded(signals[0], regions, settings=settings)
    silent, _ = recorded(signals[0] * 0, regions, settings=settings)
    assert np.array_equal(percent, silent)
    assert not bold.ceilings_of("01", 1.0, settings)["noise_ceiling"].any()
