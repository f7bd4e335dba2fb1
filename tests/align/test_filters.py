import mne
import numpy as np

from brainalign.align.delays import delay
from brainalign.align.filters import high_pass
from brainalign.encode.ridge import Ridge

SFREQ = 50.0


def test_equals_the_filter_of_mne_on_every_run_by_itself():
    rng = np.random.default_rng(0)
    X, run = rng.standard_normal((1500, 2)), np.repeat(["b", "a"], [800, 700])
    found = high_pass(X, run=run, sfreq=SFREQ, l_freq=0.5)
    for name in ("a", "b"):
        raw = mne.io.RawArray(X[run == name].T, mne.create_info(2, SFREQ, "mag"), verbose="ERROR")
        raw.filter(0.5, None, picks="all", verbose="ERROR")
        np.testing.assert_allclose(found[run == name], raw.get_data().T, atol=1e-10)
    assert np.ptp(X[:, 0]) != np.ptp(found[:, 0])


def test_features_that_pass_the_filter_of_the_recording_have_no_weight_before_the_onset():
    """A sparse feature drives a response 100 ms later; what the high-pass smears stays out of the response function."""
    rng = np.random.default_rng(1)
    x = (rng.random((6000, 1)) < 0.05).astype(float)
    y = np.roll(x, 5, axis=0)
    run, delays = np.zeros(len(x), int), np.arange(-10, 16)
    y = high_pass(y, run=run, sfreq=SFREQ, l_freq=0.5)
    weights = {}
    for name, features in (("as it is", x), ("filtered", high_pass(x, run=run, sfreq=SFREQ, l_freq=0.5))):
        model = Ridge(1e-3, scale=False).fit(delay(features, delays, run=run), y)
        weights[name] = np.abs(np.ravel(model.coef_))[delays < 0].max() / np.abs(model.coef_).max()
    assert weights["filtered"] < 1e-4
    assert weights["as it is"] > 0.005
