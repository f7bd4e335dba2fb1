import mne
import numpy as np
import pytest

from brainalign.data._resampling import resample
from brainalign.errors import Misaligned

RATES = [(1000.0, 100.0), (1000.0, 120.0), (512.0, 100.0), (600.614990234375, 100.0), (128.0, 256.0), (1000.0, 64.0)]


def waves(times):
    """Give a slow and a faster oscillation, of which a shift of time shows in the phase."""
    return np.stack([np.sin(2 * np.pi * 3 * times), np.cos(2 * np.pi * 7.3 * times) + 2])


def recording(n_samples, sfreq, *, first_samp=0):
    info = mne.create_info(["MEG 001", "MEG 002"], sfreq, "mag")
    return mne.io.RawArray(waves(np.arange(n_samples) / sfreq), info, first_samp=first_samp, verbose="ERROR")


@pytest.mark.parametrize("n_samples", [6000, 5995, 6001, 60_003])
@pytest.mark.parametrize(("recorded", "sfreq"), RATES)
def test_samples_are_at_their_times(n_samples, recorded, sfreq):
    found = resample(recording(n_samples, recorded), sfreq)
    inside = slice(int(sfreq), -int(sfreq))  # edges see what is not there
    ripple = 4e-3  # of the filter; less than 0.1 ms of the faster oscillation
    np.testing.assert_allclose(found.get_data()[:, inside], waves(found.times)[:, inside], atol=ripple)
    np.testing.assert_allclose(found.times[1:], np.arange(1, found.n_times) / found.info["sfreq"])
    assert found.info["sfreq"] == pytest.approx(sfreq, rel=1e-6)
    assert abs(found.n_times - n_samples * sfreq / recorded) <= 0.5


def test_mne_shifts_the_clock():
    """What this module is for; the day that this fails, mne has mended it."""
    found = recording(6000, 1000.0).resample(100.0, verbose="ERROR")
    off = np.abs(found.get_data()[0, 100:-100] - waves(found.times)[0, 100:-100]).max()
    late = np.abs(found.get_data()[0, 100:-100] - waves(found.times + 0.005)[0, 100:-100]).max()
    assert off > 0.05 > 0.01 > late


def test_what_lies_above_the_new_band_is_taken_out():
    times = np.arange(6000) / 1000
    raw = mne.io.RawArray(np.sin(2 * np.pi * 80 * times)[None], mne.create_info(1, 1000.0, "mag"), verbose="ERROR")
    assert np.abs(resample(raw, 100.0).get_data()[:, 100:-100]).max() < 1e-2


def test_annotations_and_the_beginning_stay():
    raw = recording(6000, 1000.0, first_samp=1230)
    raw.set_annotations(mne.Annotations([2.5], [0.5], ["BAD_test"]))
    found = resample(raw.copy(), 100.0)
    assert found.first_time == pytest.approx(raw.first_time)
    assert found.annotations.onset == pytest.approx(raw.annotations.onset)
    assert found is not raw


def test_a_rate_that_is_hardly_another_is_refused():
    with pytest.raises(Misaligned, match="so near the 100"):
        resample(recording(3000, 100.0), 100.001)
