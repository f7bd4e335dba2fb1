"""Temporal response functions: the weight of every feature at every lag, of a linear model of delayed features.

With features x, delays d in samples and intercept b, the response of a target at sample i of a run is

    y_hat[i] = b + sum over features j and delays d of w[j, d] x[i - d, j]            x: 0 outside the run

which any model of `align.delays.delay(X, delays, run=run)` fits: `RidgeCV` with one penalty per target, `BandedRidgeCV`
with one per feature space. Delays are made before the samples are split, so that they look across the borders of folds
but never of runs.

Three things put weight at lags where nothing answers, even before the onset: features that were not high-passed as the
responses were, a high penalty, and what lies beyond the window, which the outermost lags of a smooth feature take up.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from brainalign.align.delays import delay, lags_to_delays
from brainalign.errors import BrainalignError, Misaligned


@dataclass(frozen=True, eq=False)
class ResponseFunctions:
    """Responses of targets to a unit of each feature that lasts one sample.

    Parameters
    ----------
    weights : array of shape (n_targets, n_features, n_lags)
        In units of the responses per unit of the feature.
    intercept : array of shape (n_targets,)
    delays : int array of shape (n_lags,)
        Samples; positive = the past stimulus explains the present.
    sfreq : float
        Hz.
    spaces : dict of str to slice
        Where the features of each feature space are along the second axis; empty if there were none.
    """

    weights: np.ndarray
    intercept: np.ndarray
    delays: np.ndarray
    sfreq: float
    spaces: dict[str, slice] = field(default_factory=dict)

    @property
    def lags(self):
        """The delays in seconds, (n_lags,)."""
        return self.delays / self.sfreq

    def predict(self, X, *, run):
        """Predict the responses to new features without holding all delayed copies of them.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Not delayed. Several feature spaces are side by side, in the order of `spaces`.
        run : array of shape (n_samples,)
            Uninterrupted recordings, each contiguous.

        Returns
        -------
        Y_hat : array of shape (n_samples, n_targets)
            That of the model but for rounding.

        Raises
        ------
        Misaligned
            Another number of features, or `run` is not contiguous labels of the samples.
        """
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != self.weights.shape[1]:
            raise Misaligned(f"X must be (n_samples, {self.weights.shape[1]}) features without delays, got {X.shape}")
        dtype = np.result_type(X.dtype, self.weights.dtype)
        Y_hat = np.tile(self.intercept.astype(dtype), (len(X), 1))
        for i_lag, shift in enumerate(self.delays):
            Y_hat += delay(X, [shift], run=run) @ self.weights[:, :, i_lag].T
        return Y_hat


def delays_between(tmin, tmax, *, sfreq):
    """Give every delay in samples from one lag to another, both included.

    Parameters
    ----------
    tmin, tmax : float
        Seconds; rounded to samples by `align.delays.lags_to_delays`.
    sfreq : float
        Hz.

    Returns
    -------
    delays : int array of shape (n_lags,)

    Raises
    ------
    BrainalignError
        `tmin` is after `tmax`, or a number is not finite.
    """
    first, last = lags_to_delays([tmin, tmax], sfreq)
    if first > last:
        raise BrainalignError(f"tmin must not be after tmax, got {tmin} and {tmax} s")
    return np.arange(first, last + 1)


def response_functions(model, delays, *, sfreq, columns=None):
    """Give the response functions of a model that was fitted to delayed features.

    Parameters
    ----------
    model : fitted estimator with `coef_` and `intercept_`
        `RidgeCV`, `Ridge`, `BandedRidgeCV`: their weights are in the units of features and responses.
    delays : int array of shape (n_lags,)
        Those of `align.delays.delay`, in its order: all features at the first delay, then all at the second.
    sfreq : float
        Hz.
    columns : dict of str to slice, optional
        Where each feature space, delayed for itself, was in the features of `model`; `spaces.columns_of` gives it.

    Returns
    -------
    functions : ResponseFunctions

    Raises
    ------
    Misaligned
        The number of weights, of all features or of a feature space, is no multiple of the number of delays.

    References
    ----------
    Crosse et al. (2016), Front Hum Neurosci 10:604, eq. 1. Oracle: `mne.decoding.ReceptiveField(...).coef_`, with
    which `Ridge(alpha, scale=False)` coincides for features of mean 0 that are 0 as long as the longest delay at both
    ends of a run; elsewhere mne takes the mean for what lies outside the run, and zero is taken here.
    """
    delays, coef = np.atleast_1d(delays), np.atleast_2d(model.coef_)
    parts, spaces, n_features = [], {}, 0
    for name, own in (columns or {"": slice(0, coef.shape[1])}).items():
        part = coef[:, own]  # (n_targets, n_lags * n_features)
        if part.shape[1] == 0 or part.shape[1] % len(delays):
            of = f" of feature space {name!r}" if name else ""
            raise Misaligned(f"{part.shape[1]} weights{of} cannot be those of features at {len(delays)} delays")
        parts.append(part.reshape(len(coef), len(delays), -1).transpose(0, 2, 1))
        spaces[name] = slice(n_features, n_features + parts[-1].shape[1])
        n_features = spaces[name].stop
    if sum(part.size for part in parts) != coef.size:
        raise Misaligned(f"the feature spaces {list(spaces)} have other columns than the {coef.shape[1]} of the model")
    weights, intercept = np.concatenate(parts, axis=1), np.atleast_1d(model.intercept_)
    return ResponseFunctions(weights, intercept, delays, float(sfreq), spaces if columns else {})


def moved_strengths(X, Y, *, delays, run, shifts, alpha):
    """Give the strength of response functions beside that of the same model of responses moved round their run.

    With w_i[t, j, d] the weight of target t, feature j and delay d, of responses in place (i = 0) and moved (i > 0),

    strength_i[j, d]^2 = mean over t of w_i[t, j, d]^2 / s[t, j, d]^2,    s[t, j, d]^2 = mean over i of w_i[t, j, d]^2

    which is about 1 where nothing answers, and no target counts for more because it is noisier. Responses that are
    moved far belong to another part of the stimulus but keep their spectrum, and features and penalty stay: what the
    moved ones reach is what no relation at all gives at that lag.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Not delayed; divided by their standard deviation.
    Y : array of shape (n_samples, n_targets)
    delays : int array of shape (n_lags,)
        Samples, as for `response_functions`.
    run : array of shape (n_samples,)
        Uninterrupted recordings, each contiguous.
    shifts : int array of shape (n_shifts,)
        Samples; `align.shifts.far_shifts` draws them.
    alpha : float
        Penalty on the sum of squares, positive, the same for every target. A high one carries weight from lag to lag,
        so that it takes one that is small beside n_samples to say where nothing is.

    Returns
    -------
    in_place : array of shape (n_features, n_lags)
    moved : array of shape (n_shifts, n_features, n_lags)

    Raises
    ------
    Misaligned
        Lengths differ, or a run is not contiguous.
    BrainalignError
        The penalty is not positive, or a feature or a target is constant.

    References
    ----------
    Theiler et al. (1992), Physica D 58:77, on surrogates that keep the autocorrelation. Oracle: `Ridge(alpha).coef_`.
    """
    X, Y = np.asarray(X, float), np.asarray(Y, float)
    if not len(X) == len(Y) == len(run):
        raise Misaligned(f"X, Y and run must have one row per sample, got {len(X)}, {len(Y)} and {len(run)}")
    if not alpha > 0:
        raise BrainalignError(f"alpha must be positive, got {alpha}")
    for what, values in (("feature", X), ("target", Y)):
        constant = np.flatnonzero(np.ptp(values, axis=0) == 0)
        if len(constant):
            raise BrainalignError(f"{what} {constant[0]} is constant")
    delayed = delay(X, delays, run=run)
    delayed = (delayed - delayed.mean(axis=0)) / delayed.std(axis=0)
    factor = cho_factor(delayed.T @ delayed + alpha * np.eye(delayed.shape[1]))

    def weights(responses):
        scaled = cho_solve(factor, delayed.T @ responses)  # delayed is centred, so responses need not be
        return scaled.reshape(len(delays), X.shape[1], -1)

    moved = [weights(delay(Y, [shift], run=run, wrap=True)) for shift in shifts]
    squared = np.square([weights(Y), *moved])  # (1 + n_shifts, n_lags, n_features, n_targets)
    strength = np.sqrt((squared / squared.mean(axis=0)).mean(axis=3)).swapaxes(1, 2)
    return strength[0], strength[1:]
