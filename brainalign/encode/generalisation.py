"""Temporal generalisation of encoding models: what predicts one lag may predict others.

A model that was fitted to the response of a channel at lag t predicts y_hat(t), and is scored against the responses of
the same channel at every lag t',

    R[channel, t, t'] = pearson(y(channel, t'), y_hat(channel, t))                    over held-out samples

so a response whose sensitivity to the features lasts, or comes back, is told from a chain of different ones. Nothing is
fitted again for a pair of lags: all correlations of a channel are one product of matrices.
"""

import numpy as np
from sklearn.base import clone

from brainalign.encode.metrics import check_finite, is_constant, power_of_two
from brainalign.encode.splits import check_folds, check_series, check_stimuli
from brainalign.errors import Misaligned


def correlate_lags(Y, Y_hat, *, n_lags):
    """Correlate the predictions at every lag with the responses at every lag, channel by channel.

    Parameters
    ----------
    Y, Y_hat : arrays of shape (n_samples, n_channels * n_lags)
        All lags of the first channel, then all of the second, as `align.epochs.to_epochs` gives them.
    n_lags : int

    Returns
    -------
    r : array of shape (n_channels, n_lags, n_lags)
        Fitted at the lag of the second axis, scored at that of the third; the diagonal is `metrics.pearson`. nan where
        the prediction or the response is constant.

    Raises
    ------
    Misaligned
        The shapes differ, are not 2-D, or the number of targets is no multiple of `n_lags`.
    BrainalignError
        A value is not finite.

    References
    ----------
    King & Dehaene (2014), Trends Cogn Sci 18:203, for decoders. Oracle: a loop over pairs with `numpy.corrcoef`.
    """
    Y, Y_hat = np.asarray(Y), np.asarray(Y_hat)
    if Y.ndim != 2 or Y.shape != Y_hat.shape or len(Y) < 2 or n_lags < 1 or Y.shape[1] % n_lags:
        raise Misaligned(
            f"responses and predictions must both be (n_samples, n_channels * {n_lags} lags) with at least 2 samples, "
            f"got {Y.shape} and {Y_hat.shape}"
        )
    check_finite(Y, name="Y", column="target")
    check_finite(Y_hat, name="Y_hat", column="target")
    n_channels = Y.shape[1] // n_lags
    r = np.empty((n_channels, n_lags, n_lags))
    for i_channel in range(n_channels):
        own = slice(i_channel * n_lags, (i_channel + 1) * n_lags)
        r[i_channel] = _unit_norm(Y_hat[:, own]).T @ _unit_norm(Y[:, own])
    return np.clip(r, -1, 1, out=r)


def temporal_generalisation(estimator, X, Y, *, n_lags, folds, groups=None, run=None):
    """Score an encoding model of every lag at every lag, on samples it was not fitted on.

    Parameters
    ----------
    estimator : estimator with `fit(X, Y, groups=, run=, position=)` and `predict(X)`
        Cloned and fitted once for every fold, to all channels and lags.
    X : array of shape (n_samples, n_features)
    Y : array of shape (n_samples, n_channels * n_lags)
        As for `correlate_lags`.
    n_lags : int
    folds : list of (train, test)
    groups, run : arrays of shape (n_samples,), optional
        As in `score.cross_validate`, which refuses the same folds.

    Returns
    -------
    r : array of shape (n_channels, n_lags, n_lags)
        Fitted at the lag of the second axis, scored at that of the third: the mean over the folds that have a
        correlation, nan where none has.

    Raises
    ------
    Misaligned
        Lengths differ, or the number of targets is no multiple of `n_lags`.
    BrainalignError
        The folds split a group or scatter the samples of a series, or are no folds of these samples.
    """
    X, Y = np.asarray(X), np.asarray(Y)
    labels = {name: None if given is None else np.asarray(given) for name, given in (("groups", groups), ("run", run))}
    for name, values in (("Y", Y), *labels.items()):
        if values is not None and len(values) != len(X):
            raise Misaligned(f"X has {len(X)} samples but {name} has {len(values)}")
    folds = check_folds(folds, len(X))
    if groups is not None:
        check_stimuli(folds, groups)
    if run is not None:
        check_series(folds, run=run)
    total, n_scored = 0.0, 0
    for train, test in folds:
        of_train = {name: None if values is None else values[train] for name, values in labels.items()}
        model = clone(estimator).fit(X[train], Y[train], **of_train, position=train)
        r = correlate_lags(Y[test], model.predict(X[test]), n_lags=n_lags)
        n_scored = n_scored + np.isfinite(r)
        total = total + np.where(np.isfinite(r), r, 0)
    return np.where(n_scored > 0, total / np.maximum(n_scored, 1), np.nan)


def _unit_norm(values):
    """Centre columns and give them length 1, in float64; nan where they are constant."""
    centred = values.astype(np.float64)
    centred -= centred.mean(axis=0)
    centred /= power_of_two(np.abs(centred).max(axis=0))
    length = np.sqrt(np.square(centred).sum(axis=0))
    return centred / np.where(is_constant(values) | (length == 0), np.nan, length)
