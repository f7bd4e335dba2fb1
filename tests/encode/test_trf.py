import mne
import numpy as np
import pytest
from mne.decoding import ReceptiveField
from sklearn import linear_model

from brainalign.align.delays import delay
from brainalign.encode.banded import BandedRidgeCV
from brainalign.encode.ridge import Ridge, RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.spaces import columns_of
from brainalign.encode.splits import Blocks, blocks
from brainalign.encode.trf import delays_between, moved_strengths, response_functions
from brainalign.errors import BrainalignError, Misaligned

SFREQ = 50.0


def silent_at_both_ends(rng, shape, *, silence):
    """Features of mean 0 over a run, and 0 for the first and last samples of it."""
    X = rng.standard_normal(shape)
    X = np.cumsum(X, axis=0) * 0.1 + X
    X[:silence] = X[len(X) - silence :] = 0
    X[silence : len(X) - silence] -= X[silence : len(X) - silence].mean(axis=0)
    return X


def convolved(X, kernels, delays):
    """Sum features at delays, sample by sample; kernels are (n_targets, n_features, n_lags)."""
    Y = np.zeros((len(X), len(kernels)))
    for i in range(len(X)):
        for i_lag, shift in enumerate(delays):
            if 0 <= i - shift < len(X):
                Y[i] += kernels[:, :, i_lag] @ X[i - shift]
    return Y


@pytest.mark.parametrize("edge_correction", [True, False])
@pytest.mark.parametrize("alpha", [0.3, 100.0])
@pytest.mark.parametrize(("tmin", "tmax"), [(0.0, 0.3), (-0.2, 0.4), (0.1, 0.2), (-0.3, -0.1), (0.0, 0.0)])
def test_equals_the_receptive_field_of_mne(tmin, tmax, alpha, edge_correction):
    rng = np.random.default_rng(0)
    X = silent_at_both_ends(rng, (400, 3), silence=20)
    Y = rng.standard_normal((400, 4)) + 2 + 3 * np.roll(X[:, :1], 7, axis=0)
    delays, run = delays_between(tmin, tmax, sfreq=SFREQ), np.zeros(400)
    expected = ReceptiveField(tmin, tmax, SFREQ, estimator=alpha, edge_correction=edge_correction)
    with mne.use_log_level("error"):
        expected.fit(X, Y)
    model = Ridge(alpha, scale=False).fit(delay(X, delays, run=run), Y)
    found = response_functions(model, delays, sfreq=SFREQ)
    np.testing.assert_array_equal(found.delays, expected.delays_)
    size = np.abs(expected.coef_).max()
    np.testing.assert_allclose(found.weights, expected.coef_, rtol=0, atol=1e-6 * size)
    np.testing.assert_allclose(found.predict(X, run=run), expected.predict(X), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.lags, delays / SFREQ)


def test_equals_the_receptive_field_of_mne_over_several_runs():
    rng = np.random.default_rng(1)
    runs = [silent_at_both_ends(rng, (150, 2), silence=15) for _ in range(3)]
    X, run = np.concatenate(runs), np.repeat([0, 1, 2], 150)
    Y = rng.standard_normal((450, 2)) + convolved(X, rng.standard_normal((2, 2, 3)), [0, 4, -2])
    delays = delays_between(-0.1, 0.3, sfreq=SFREQ)
    expected = ReceptiveField(-0.1, 0.3, SFREQ, estimator=linear_model.Ridge(5.0))
    stacked = [values.reshape(3, 150, 2).transpose(1, 0, 2) for values in (X, Y)]  # (n_times, n_runs, .)
    expected.fit(*stacked)
    found = response_functions(Ridge(5.0, scale=False).fit(delay(X, delays, run=run), Y), delays, sfreq=SFREQ)
    np.testing.assert_allclose(found.weights, expected.coef_, rtol=0, atol=1e-6)
    predicted = expected.predict(stacked[0]).transpose(1, 0, 2).reshape(450, 2)
    np.testing.assert_allclose(found.predict(X, run=run), predicted, rtol=0, atol=1e-6)


def test_sound_at_the_edges_is_where_the_models_part():
    """Zero stands for what lies outside a run here, and the mean in mne: a matter of the edges alone."""
    rng = np.random.default_rng(2)
    X, Y = rng.uniform(0, 1, (2000, 1)), rng.standard_normal((2000, 1))
    Y += convolved(X, np.array([[[1.0, 2.0, 1.0]]]), [2, 3, 4])
    delays = delays_between(0, 0.3, sfreq=SFREQ)
    with mne.use_log_level("error"):
        other = ReceptiveField(0, 0.3, SFREQ, estimator=1.0).fit(X, Y)
    found = response_functions(
        Ridge(1.0, scale=False).fit(delay(X, delays, run=np.zeros(2000)), Y), delays, sfreq=SFREQ
    )
    apart = np.abs(found.weights - other.coef_).max() / np.abs(other.coef_).max()
    assert 1e-6 < apart < 0.05


@pytest.mark.parametrize("model", [Ridge(2.0), Ridge(2.0, scale=False), RidgeCV([0.1, 10.0], inner=Blocks(3, gap=5))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_are_those_of_the_model(model, dtype):
    rng = np.random.default_rng(3)
    X, Y, run = rng.standard_normal((90, 3)), rng.standard_normal((90, 2)), np.repeat(["a", "b"], [50, 40])
    X, Y, delays = X.astype(dtype), Y.astype(dtype) + 3, np.array([5, -1, 0])
    lagged = delay(X, delays, run=run)
    model.fit(lagged, Y)
    found = response_functions(model, delays, sfreq=SFREQ)
    assert found.weights.shape == (2, 3, 3)
    np.testing.assert_array_equal(found.weights[1, 2], model.coef_[1, [2, 5, 8]])  # target 1, feature 2
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(found.predict(X, run=run), model.predict(lagged), atol=tolerance)
    one = response_functions(model.fit(lagged, Y[:, 0]), delays, sfreq=SFREQ)
    np.testing.assert_allclose(one.predict(X, run=run)[:, 0], model.predict(lagged), atol=tolerance)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e-13, 1e6])
def test_planted_response_functions_are_recovered_in_any_unit(unit):
    rng = np.random.default_rng(4)
    X, run = rng.standard_normal((3000, 2)), np.repeat([0, 1], 1500)
    kernels = np.zeros((2, 2, 31))
    kernels[0, 0, 12], kernels[0, 1, 25], kernels[1, 0, 4] = 1.0, -2.0, 3.0  # delays 7, 20 and -1
    delays = delays_between(-0.1, 0.5, sfreq=SFREQ)
    Y = np.concatenate([convolved(X[run == label], kernels, delays) for label in (0, 1)])
    Y = (Y + 0.5 * rng.standard_normal(Y.shape)) * unit
    found = response_functions(RidgeCV().fit(delay(X, delays, run=run), Y, run=run), delays, sfreq=SFREQ)
    np.testing.assert_allclose(found.weights / unit, kernels, atol=0.06)
    peak = np.unravel_index(np.abs(found.weights[0]).argmax(), (2, 31))
    assert peak == (1, 25)
    assert found.lags[peak[1]] == pytest.approx(0.4)


def test_each_feature_space_has_its_own_penalty():
    rng = np.random.default_rng(5)
    spaces = {"sound": rng.standard_normal((600, 1)), "words": rng.standard_normal((600, 3))}
    run, delays = np.zeros(600), delays_between(0, 0.2, sfreq=SFREQ)
    kernel = np.zeros((2, 1, 11))
    kernel[:, 0, 3] = [2.0, 0.0]
    Y = convolved(spaces["sound"], kernel, delays)
    Y[:, 1] += 2 * np.roll(spaces["words"][:, 1], 6)
    Y += rng.standard_normal(Y.shape)
    lagged = {name: delay(X, delays, run=run) for name, X in spaces.items()}
    model = BandedRidgeCV(np.logspace(-1, 5, 13), n_iter=30, scale=False, inner=Blocks(4, gap=11)).fit(lagged, Y)
    sound, words = model.band_penalties_
    assert words[0] > 20 * sound[0]  # the first target answers to sound alone, the second to words
    assert sound[1] > 20 * words[1]
    found = response_functions(model, delays, sfreq=SFREQ, columns=columns_of(lagged))
    assert found.spaces == {"sound": slice(0, 1), "words": slice(1, 4)}
    assert found.weights[0, found.spaces["sound"]].argmax() == 3
    np.testing.assert_array_equal(np.unravel_index(found.weights[1, found.spaces["words"]].argmax(), (3, 11)), [1, 6])
    X = np.concatenate(list(spaces.values()), axis=1)
    np.testing.assert_allclose(found.predict(X, run=run), model.predict(lagged), atol=1e-9)
    all_lagged = np.concatenate(list(lagged.values()), axis=1)
    centred = all_lagged - all_lagged.mean(axis=0)
    for target in range(2):
        penalty = np.diag(np.repeat(np.minimum(model.band_penalties_[:, target], 1e12), [11, 33]))
        closed = np.linalg.solve(centred.T @ centred + penalty, centred.T @ Y[:, target])
        np.testing.assert_allclose(model.coef_[target], closed, atol=1e-7)


def test_ends_of_lags_are_rounded_to_samples():
    np.testing.assert_array_equal(delays_between(-0.021, 0.05, sfreq=100), np.arange(-2, 6))
    np.testing.assert_array_equal(delays_between(0.3, 0.3, sfreq=10), [3])
    with pytest.raises(BrainalignError, match="tmin must not be after tmax"):
        delays_between(0.2, 0.1, sfreq=100)


def test_weights_that_do_not_fit_the_delays_are_refused():
    rng = np.random.default_rng(6)
    X, Y = rng.standard_normal((40, 6)), rng.standard_normal((40, 2))
    model = Ridge().fit(X, Y)
    with pytest.raises(Misaligned, match="6 weights cannot be those of features at 4 delays"):
        response_functions(model, [0, 1, 2, 3], sfreq=SFREQ)
    with pytest.raises(Misaligned, match="3 weights of feature space 'a'"):
        response_functions(model, [0, 1], sfreq=SFREQ, columns={"a": slice(0, 3), "b": slice(3, 6)})
    with pytest.raises(Misaligned, match="other columns than the 6"):
        response_functions(model, [0, 1], sfreq=SFREQ, columns={"a": slice(0, 4)})
    with pytest.raises(Misaligned, match=r"\(n_samples, 3\) features without delays, got \(40, 6\)"):
        response_functions(model, [0, 1], sfreq=SFREQ).predict(X, run=np.zeros(40))


@pytest.fixture(scope="module")
def eeg(data_dir):
    """EEGLAB's tutorial recording, 0.5-15 Hz, with one regressor for each of its two kinds of event."""
    path = data_dir / "eeglab_sample" / "test_raw.set"
    if not path.exists():
        pytest.skip(f"the recording is not at {path}")
    raw = mne.io.read_raw_eeglab(path, preload=True, verbose="error").filter(0.5, 15, verbose="error")
    X = np.zeros((raw.n_times, 2))
    for onset, kind in zip(raw.annotations.onset, raw.annotations.description, strict=True):
        X[int(np.rint(onset * raw.info["sfreq"])), ["square", "rt"].index(kind)] = 1
    return X, raw.get_data().T, raw.info["sfreq"]


def test_real_eeg_is_predicted_as_well_as_its_readme_says(eeg):
    X, Y, sfreq = eeg
    assert Y.shape == (30_504, 32)
    run = np.zeros(len(X))
    lagged = delay(X, delays_between(0, 0.8, sfreq=sfreq), run=run)
    ridge = RidgeCV([10.0], scale=False, inner=Blocks(2, gap=128))
    folds = blocks(len(X), n=5, gap=128)
    scores = cross_validate(ridge, lagged, Y, folds=folds, run=run, metrics=("pearson",)).mean("pearson")
    assert scores.max() == pytest.approx(0.298, abs=0.01)
    assert scores.mean() == pytest.approx(0.214, abs=0.01)


def test_real_eeg_has_the_response_functions_of_mne(eeg):
    X, Y, sfreq = eeg
    silent = np.arange(len(X)) < 110
    silent |= silent[::-1]
    assert not X[silent].any()
    X = np.where(silent[:, None], 0, X - X[~silent].mean(axis=0))
    run, delays = np.zeros(len(X)), delays_between(0, 0.8, sfreq=sfreq)
    with mne.use_log_level("error"):
        expected = ReceptiveField(0, 0.8, sfreq, estimator=10.0).fit(X, Y)
    found = response_functions(Ridge(10.0, scale=False).fit(delay(X, delays, run=run), Y), delays, sfreq=sfreq)
    np.testing.assert_allclose(found.weights, expected.coef_, rtol=0, atol=1e-6 * np.abs(expected.coef_).max())
    np.testing.assert_allclose(found.predict(X, run=run), expected.predict(X), rtol=0, atol=1e-6 * Y.std())


@pytest.fixture(scope="module")
def meg(data_dir):
    """One second after signal-space separation: mixed sensors, of fewer dimensions than channels."""
    path = data_dir / "mne_sample" / "sample_audvis_trunc_raw_sss.fif"
    if not path.exists():
        pytest.skip(f"the recording is not at {path}")
    raw = mne.io.read_raw_fif(path, verbose="error")
    return raw.get_data(picks=["meg"]).T, raw.get_data(picks=["eeg"]).T


@pytest.mark.parametrize("unit", [1e-13, 1e-6, 1e6])
def test_faults_43_and_56_real_mixed_sensors_of_low_rank(meg, unit):
    meg, eeg = meg
    singular = np.linalg.svd(meg / meg.std(axis=0), compute_uv=False)
    assert (singular > 1e-5 * singular[0]).sum() < 150  # of 301 samples by 306 channels
    Y, run = np.concatenate([meg, eeg], axis=1), np.zeros(len(meg))
    X = delay(eeg[:, :2], [0, 3, 6], run=run)
    folds = blocks(len(X), n=3, gap=6)
    mixed = np.resize([unit, 1.0], Y.shape[1])
    plain, scaled = (cross_validate(RidgeCV(), X, y, folds=folds, run=run).mean("pearson") for y in (Y, Y * mixed))
    assert np.isfinite(plain).all()
    assert plain.max() > 0.5
    np.testing.assert_allclose(scaled, plain, atol=1e-6)


def test_fault_56_features_of_low_rank_stay_finite(meg):
    meg, eeg = meg
    lagged, run = delay(meg, [0, 1], run=np.zeros(len(meg))), np.zeros(len(meg))
    model = RidgeCV(inner=Blocks(3, gap=5)).fit(lagged, eeg, run=run)
    assert np.isfinite(response_functions(model, [0, 1], sfreq=300.3).weights).all()
    assert np.isfinite(model.predict(lagged)).all()


def planted_recording(rng, *, delays_planted, n_samples=3000, n_targets=8, size=0.3):
    """Two features, the first of which every target answers after `delays_planted` samples; two runs."""
    X, run = rng.standard_normal((n_samples, 2)), np.repeat(["1", "2"], n_samples // 2)
    noise = np.cumsum(rng.standard_normal((n_samples, n_targets)), axis=0) * 0.1
    noise += rng.standard_normal((n_samples, n_targets))
    return X, size * delay(X[:, :1], delays_planted, run=run).sum(axis=1, keepdims=True) + noise, run


def moved(X, Y, run, *, alpha=10.0, n_shifts=19):
    delays, shifts = np.arange(-5, 11), np.linspace(100, 1300, n_shifts).astype(int)
    return moved_strengths(X, Y, delays=delays, run=run, shifts=shifts, alpha=alpha)


def test_moved_strengths_are_those_of_ridge_on_moved_responses():
    X, Y, run = planted_recording(np.random.default_rng(0), delays_planted=[3])
    delays, shifts = np.arange(-5, 11), np.array([100, 400])
    in_place, of_moved = moved_strengths(X, Y, delays=delays, run=run, shifts=shifts, alpha=50.0)
    squared = []
    for shift in (0, 100, 400):
        responses = np.concatenate([np.roll(Y[run == name], shift, axis=0) for name in ("1", "2")])
        model = Ridge(50.0).fit(delay(X, delays, run=run), responses)
        squared.append(response_functions(model, delays, sfreq=SFREQ).weights ** 2)
    expected = np.sqrt((np.array(squared) / np.mean(squared, axis=0)).mean(axis=1))
    np.testing.assert_allclose(in_place, expected[0], rtol=1e-8)
    np.testing.assert_allclose(of_moved, expected[1:], rtol=1e-8)


def test_moved_strengths_tell_where_there_is_an_answer_even_before_the_onset():
    for planted in (3, -4):
        X, Y, run = planted_recording(np.random.default_rng(1), delays_planted=[planted])
        in_place, of_moved = moved(X, Y, run)
        z = (in_place - of_moved.mean(axis=0)) / of_moved.std(axis=0, ddof=1)
        assert np.unravel_index(z.argmax(), z.shape) == (0, planted + 5)
        assert z[0, planted + 5] > 6
        assert np.sort(z.ravel())[-2] < 5


def test_moved_strengths_of_noise_are_those_in_place():
    means = []
    for seed in range(20):
        X, Y, run = planted_recording(np.random.default_rng(seed), delays_planted=[3], size=0.0)
        in_place, of_moved = moved(X, Y, run)
        means.append(((in_place - of_moved.mean(axis=0)) / of_moved.std(axis=0, ddof=1)).mean())
    assert abs(np.mean(means)) < 3 * np.std(means, ddof=1) / np.sqrt(len(means))
    assert np.mean(in_place**2) == pytest.approx(1.0, abs=0.25)


def test_moved_strengths_do_not_change_with_units():
    X, Y, run = planted_recording(np.random.default_rng(2), delays_planted=[3])
    whole, scaled = moved(X, Y, run), moved(1e3 * X, 1e-13 * Y + 1e-12, run)
    np.testing.assert_allclose(scaled[0], whole[0], rtol=1e-6)
    np.testing.assert_allclose(scaled[1], whole[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "alpha must be positive"),
        ({"X": np.ones((40, 1))}, "feature 0 is constant"),
        ({"Y": np.ones((40, 2))}, "target 0 is constant"),
    ],
)
def test_moved_strengths_refuse(change, message):
    rng = np.random.default_rng(0)
    given = {"X": rng.standard_normal((40, 1)), "Y": rng.standard_normal((40, 2)), "alpha": 1.0} | change
    with pytest.raises(BrainalignError, match=message):
        moved_strengths(given.pop("X"), given.pop("Y"), delays=[0, 1], run=np.zeros(40), shifts=[10], **given)
