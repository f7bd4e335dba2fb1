import numpy as np
import pytest
from nilearn.glm import first_level

from brainalign.align.hrf import double_gamma, glover, spm


@pytest.mark.parametrize(("ours", "theirs"), [(glover, first_level.glover_hrf), (spm, first_level.spm_hrf)])
def test_the_response_is_that_of_nilearn(ours, theirs):
    fine = theirs(0.01, oversampling=1, time_length=32.0, onset=0.0)  # begins one step late
    mine = ours(0.01)
    assert np.abs(mine[:-1] - fine[1:]).max() < 0.002 * mine.max()


def test_the_response_peaks_after_five_seconds_and_undershoots_after_ten():
    times = np.arange(0, 32, 0.1)
    for response in (glover(0.1), spm(0.1)):
        assert abs(times[response.argmax()] - 5) <= 1
        assert times[response.argmin()] > 10
        assert response.min() < 0
        assert response.sum() == pytest.approx(1)


def test_nothing_happens_before_the_event():
    early = double_gamma([-1.0], delay=6, undershoot=16, dispersion=1, undershoot_dispersion=1, ratio=0.2)
    assert early.tolist() == [0.0]


@pytest.mark.parametrize("tr", [0, -1, 20])
def test_a_step_that_samples_nothing_is_refused(tr):
    with pytest.raises(ValueError, match="tr must be above 0"):
        glover(tr)
