"""The haemodynamic response to a brief event, sampled at a recording's clock.

    h(t) = g(t; delay, dispersion) - ratio * g(t; undershoot, undershoot_dispersion)

where g(t; m, b) is the density of a gamma distribution with shape m / b and scale b, so with mean m, both in seconds.
"""

import numpy as np
from scipy.stats import gamma


def double_gamma(times, *, delay, undershoot, dispersion, undershoot_dispersion, ratio):
    """Difference of two gamma densities, as in the module's equation.

    Parameters
    ----------
    times : array of shape (n_times,)
        Seconds since the event; the response is 0 before it.
    delay, undershoot : float
        Means of the positive and the negative lobe, s.
    dispersion, undershoot_dispersion : float
        Scales of the two lobes, s.
    ratio : float
        Area of the undershoot, in areas of the positive lobe.

    Returns
    -------
    h : array of shape (n_times,), float64
        Per second; its integral over time is `1 - ratio`.

    Raises
    ------
    ValueError
        A delay or dispersion is not positive.
    """
    settings = {"delay": delay, "undershoot": undershoot, "dispersion": dispersion}
    settings["undershoot_dispersion"] = undershoot_dispersion
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive (s), got {value}")
    times = np.asarray(times, float)
    rise = gamma.pdf(times, delay / dispersion, scale=dispersion)
    fall = gamma.pdf(times, undershoot / undershoot_dispersion, scale=undershoot_dispersion)
    return rise - ratio * fall  # (n_times,)


def glover(tr, *, duration=32.0):
    """Glover's response at 0, tr, 2 tr, ... s: it peaks about 5 s and is lowest about 12 s after the event.

    Parameters
    ----------
    tr : float
        Step between samples, s.
    duration : float
        Length of the response, s.

    Returns
    -------
    h : array of shape (ceil(duration / tr),), float64
        Scaled to sum 1, so that a constant input keeps its value.

    Raises
    ------
    ValueError
        `tr` is not positive, or so long that fewer than two samples are left.

    References
    ----------
    Glover (1999), NeuroImage 9:416, the auditory response, with the numbers that nilearn uses; the oracle of the test
    is `nilearn.glm.first_level.glover_hrf`.
    """
    shape = {"delay": 6.0, "undershoot": 12.0, "dispersion": 0.9, "undershoot_dispersion": 0.9, "ratio": 0.48}
    return _sampled(shape, tr, duration)


def spm(tr, *, duration=32.0):
    """SPM's canonical response at 0, tr, 2 tr, ... s: it peaks about 5 s and is lowest about 16 s after the event.

    Parameters, returns and errors are those of `glover`.

    References
    ----------
    Friston et al. (1998), NeuroImage 7:30; the defaults of `spm_hrf`. The oracle of the test is
    `nilearn.glm.first_level.spm_hrf`.
    """
    shape = {"delay": 6.0, "undershoot": 16.0, "dispersion": 1.0, "undershoot_dispersion": 1.0, "ratio": 1 / 6}
    return _sampled(shape, tr, duration)


def _sampled(shape, tr, duration):
    if not 0 < tr <= duration / 2:
        raise ValueError(f"tr must be above 0 and at most half of duration ({duration} s), got {tr} s")
    h = double_gamma(np.arange(0.0, duration, tr), **shape)
    return h / h.sum()
