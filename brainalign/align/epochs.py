"""Continuous recordings cut into windows around events: one row per event, one column per channel and lag.

With `p(e)` the sample nearest to the onset of event e and k a lag in samples,

    value(e, (channel, k)) = recording(p(e) + k, channel) - mean over the baseline window of recording(., channel)
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainalign.align.delays import lags_to_delays, run_slices
from brainalign.arrays import Responses
from brainalign.errors import BrainalignError, Misaligned

EDGE = 0.01
"""Share of a sample by which the time of a sample, or the edge of a recording, may be off: files round times."""

OVERSAMPLING = 3
"""Samples that decimation must leave per period of the low-pass frequency: filters fall off above it, not at it."""

LEAVES = "window leaves the run"
BAD = "window holds bad samples"


@dataclass(frozen=True, eq=False)
class Epochs:
    """Windows that were kept, and the events that were not.

    Parameters
    ----------
    responses : Responses of shape (n_kept, n_channels * n_lags)
        Rows `run, time` (onset, s), `duration` (of the event, s) and `event` (position among the events), in order of
        time within each run. Columns: those of the recording and `lag` (s), all lags of the first channel, then all of
        the second, so that `values.reshape(n_kept, n_channels, n_lags)` is a view.
    dropped : DataFrame of n_dropped rows
        `event, run, onset` (s) and `reason`, in order of `event`.
    """

    responses: Responses
    dropped: pd.DataFrame

    @property
    def dropped_share(self) -> float:
        """Share of the events that were dropped."""
        return len(self.dropped) / (len(self.dropped) + len(self.responses.rows))


def to_epochs(
    responses: Responses,
    events: pd.DataFrame,
    *,
    tmin: float,
    tmax: float,
    baseline: tuple[float, float] | None = None,
    decimate: int = 1,
    lowpass: float | None = None,
) -> Epochs:
    """Cut a window around the onset of every event.

    Parameters
    ----------
    responses : Responses of shape (n_samples, n_channels)
        A continuous recording: rows `run, time, duration` (s), one per sample, at one rate and without holes within a
        run. True in an optional column `bad` marks samples that no window may hold.
    events : DataFrame of n_events rows
        `run, onset, duration` (s), in any order.
    tmin, tmax : float
        Ends of the window, both included, in s from the onset; rounded to samples as lags are.
    baseline : (float, float), optional
        Ends of the window, both included and rounded to samples, within `tmin` and `tmax`, whose mean is subtracted
        from each channel of each epoch. It is taken over all samples, before decimation.
    decimate : int
        Keep lags at multiples of so many samples, of which lag 0 is always one.
    lowpass : float, optional
        Hz; the frequency above which the recording was filtered out. Needed to decimate: nothing is filtered here.

    Returns
    -------
    epochs : Epochs
        In the precision of the recording. Its provenance has the settings, the number of events dropped by reason and
        the largest distance of an onset from its sample (`max_rounding_error`, s).

    Raises
    ------
    Misaligned
        An onset lies outside its run, is there twice, is missing, as are negative durations (names the event). A run
        was not recorded. Samples are missing within a run, or the sampling rate differs between runs. No event is left.
    BrainalignError
        A value of a kept window is not finite (names run, channel and time). Ends of windows that are no window.
        Decimation without a known low-pass, or below three samples per period of it.

    Notes
    -----
    An onset goes to the nearest sample, halfway to the even one of the two, so it is at most half a sample off.
    Windows of neighbouring events overlap: a fold needs a gap of `tmax - tmin`, or groups longer than it.
    The windows are copied one by one: beside the recording and the result, no memory grows with either.

    References
    ----------
    Oracle: `mne.Epochs(raw, events, tmin=, tmax=, baseline=, decim=).get_data()`.
    """
    sfreq = sampling_rate(responses.rows)
    first, last, lags = _window(tmin, tmax, decimate=decimate, sfreq=sfreq)
    _check_lowpass(lowpass, decimate=decimate, sfreq=sfreq)
    averaged = _baseline_window(baseline, tmin=tmin, tmax=tmax, sfreq=sfreq)
    events = _checked(events)
    samples, bounds, off = nearest_samples(events, responses.rows, sfreq=sfreq)
    reasons = _reasons(responses.rows, samples + first, samples + last, bounds=bounds)
    kept = _kept(reasons, samples)
    values = _cut(responses, samples[kept], lags=lags, averaged=averaged)
    settings = {"tmin": tmin, "tmax": tmax, "baseline": None if baseline is None else list(baseline)}
    settings |= {"decimate": decimate, "lowpass": lowpass, "sfreq": sfreq, "n_events": len(events)}
    settings |= {"dropped": _counts(reasons), "max_rounding_error": float(off[kept].max())}
    provenance = {**responses.provenance, "epochs": settings}
    columns = _columns_with_lags(responses.columns, lags / sfreq)
    return Epochs(Responses(values, _rows(events, kept), columns, provenance), _dropped(events, reasons))


def by_channel_and_lag(values: np.ndarray, columns: pd.DataFrame) -> pd.DataFrame:
    """Give one value per target, such as its score, as a table of channels by lags.

    Parameters
    ----------
    values : array of shape (n_channels * n_lags,)
    columns : DataFrame
        The columns of epoched responses: `subject, target, lag` (s), all lags of a channel side by side.

    Returns
    -------
    table : DataFrame of shape (n_channels, n_lags)
        Index `subject, target`, columns `lag`. nan stays nan.

    Raises
    ------
    Misaligned
        Another number of values than columns, or columns that are not every channel at the same lags in turn.
    """
    if np.shape(values) != (len(columns),) or "lag" not in columns:
        raise Misaligned(
            f"values must be one for each of {len(columns)} columns with a lag, got shape {np.shape(values)} for "
            f"columns {list(columns.columns)}"
        )
    lags = columns["lag"].drop_duplicates().to_numpy()
    channels = columns[["subject", "target"]].iloc[:: len(lags)]
    n_channels = len(channels)
    in_turn = len(columns) == n_channels * len(lags) and np.array_equal(columns["lag"], np.tile(lags, n_channels))
    repeated = np.repeat(channels.to_numpy(), len(lags), axis=0)[: len(columns)]
    if not in_turn or (columns[["subject", "target"]].to_numpy() != repeated).any() or channels.duplicated().any():
        raise Misaligned(
            f"the {len(columns)} columns are not every channel at the same {len(lags)} lags, one channel after the "
            "other: keep or leave out whole channels or whole lags"
        )
    index, lag = pd.MultiIndex.from_frame(channels), pd.Index(lags, name="lag")
    return pd.DataFrame(np.reshape(values, (n_channels, len(lags))), index=index, columns=lag)


def sampling_rate(rows: pd.DataFrame) -> float:
    """Give the sampling rate (Hz) of a continuous recording.

    Parameters
    ----------
    rows : DataFrame of n_samples rows
        `run, time, duration` (s).

    Returns
    -------
    sfreq : float

    Raises
    ------
    Misaligned
        Rates differ, a sample of a run is missing or out of order, a run comes back after another.
    """
    run, time, duration = (rows[name].to_numpy() for name in ("run", "time", "duration"))
    other = np.flatnonzero(~(np.abs(duration - duration[0]) <= 1e-6 * duration[0]))
    if not duration[0] > 0 or len(other):
        i = other[0] if len(other) else 0
        raise Misaligned(
            f"a continuous recording has one sampling rate: samples of run {str(run[0])!r} last {duration[0]} s, "
            f"sample {i} of run {str(run[i])!r} lasts {duration[i]} s; resample the runs to one rate before"
        )
    for samples in run_slices(run):
        expected = time[samples.start] + np.arange(samples.stop - samples.start) * duration[0]
        off = np.flatnonzero(~(np.abs(time[samples] - expected) <= EDGE * duration[0]))
        if len(off):
            raise Misaligned(
                f"run {str(run[samples.start])!r}: sample {off[0]} is at {time[samples][off[0]]} s, expected at "
                f"{expected[off[0]]} s at {1 / duration[0]:g} Hz: samples are missing, or time and duration disagree"
            )
    return float(1 / duration[0])


def nearest_samples(
    events: pd.DataFrame, rows: pd.DataFrame, *, sfreq: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the sample nearest to the onset of each event.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run, onset` (s).
    rows : DataFrame of n_samples rows
        `run, time` (s), of a continuous recording.
    sfreq : float
        Hz.

    Returns
    -------
    samples : int array of shape (n_events,)
        Positions in `rows`; one past the last of its run for an onset in the second half of that sample.
    bounds : int array of shape (n_events, 2)
        First sample of the event's run, and one past the last.
    off : array of shape (n_events,)
        Distances from onset to sample, s.

    Raises
    ------
    Misaligned
        An onset before the first sample of its run, or after the end of the last: names the event. A run that was not
        recorded.
    """
    run, time = rows["run"].to_numpy(), rows["time"].to_numpy(dtype=float)
    recorded = {run[samples.start]: (samples.start, samples.stop) for samples in run_slices(run)}
    unknown = sorted(set(events["run"]) - set(recorded))
    if unknown:
        raise Misaligned(f"events of run {unknown} have no samples; runs recorded: {sorted(recorded)}")
    bounds = np.array([recorded[label] for label in events["run"]], dtype=int).reshape(-1, 2)
    onset = events["onset"].to_numpy(dtype=float)
    place = (onset - time[bounds[:, 0]]) * sfreq  # (n_events,) in samples from the first of the run
    outside = np.flatnonzero((place < -EDGE) | (place >= bounds[:, 1] - bounds[:, 0] - EDGE))
    if len(outside):
        i, (start, stop) = outside[0], bounds[outside[0]]
        more = f" (and {len(outside) - 1} more events)" if len(outside) > 1 else ""
        raise Misaligned(
            f"{_named(events, i)} is outside the recording, which covers {time[start]:g} to "
            f"{time[stop - 1] + 1 / sfreq:g} s{more}: onsets are in seconds on the clock of the recording"
        )
    nearest = np.rint(place).astype(int)
    return bounds[:, 0] + nearest, bounds, np.abs(place - nearest) / sfreq


def _window(tmin, tmax, *, decimate, sfreq):
    """Give the first and the last sample of a window, and those kept of it, counted from the onset."""
    if isinstance(decimate, bool) or not isinstance(decimate, int | np.integer) or decimate < 1:
        raise BrainalignError(f"decimate must be a whole number of samples, 1 or more, got {decimate!r}")
    first, last = lags_to_delays([tmin, tmax], sfreq).tolist()
    lags = decimate * np.arange(-(-first // decimate), last // decimate + 1)
    if first > last or len(lags) == 0:
        raise BrainalignError(f"no sample from tmin {tmin} s to tmax {tmax} s at every {decimate} of {sfreq:g} Hz")
    return first, last, lags


def _baseline_window(baseline, *, tmin, tmax, sfreq):
    """Give the samples whose mean is subtracted, counted from the onset."""
    if baseline is None:
        return None
    start, stop = baseline
    if not tmin <= start <= stop <= tmax:
        raise BrainalignError(f"baseline must lie within tmin {tmin} and tmax {tmax} s, got {baseline}")
    first, last = lags_to_delays([start, stop], sfreq)
    return np.arange(first, last + 1)


def _check_lowpass(lowpass, *, decimate, sfreq):
    if decimate == 1:
        return
    if lowpass is None:
        raise BrainalignError(
            f"decimating {sfreq:g} Hz by {decimate} folds faster signals onto slow ones: filter the recording below "
            f"{sfreq / decimate / OVERSAMPLING:g} Hz and give that frequency as lowpass"
        )
    if not lowpass > 0 or sfreq / decimate < OVERSAMPLING * lowpass:
        raise BrainalignError(
            f"decimating {sfreq:g} Hz by {decimate} leaves {sfreq / decimate:g} Hz, less than {OVERSAMPLING} times the "
            f"low-pass of {lowpass:g} Hz: filter the recording below {sfreq / decimate / OVERSAMPLING:g} Hz before, or "
            "decimate by less"
        )


def _checked(events):
    """Give events in their own order, refusing times that cannot be."""
    missing = [name for name in ("run", "onset", "duration") if name not in events]
    if missing:
        raise Misaligned(f"events lack {missing}; they have {list(events.columns)}")
    events = events.reset_index(drop=True)
    onset, duration = (events[name].to_numpy(dtype=float) for name in ("onset", "duration"))
    wrong = np.flatnonzero(~(np.isfinite(onset) & np.isfinite(duration) & (duration >= 0)))
    if len(wrong):
        raise Misaligned(f"{_named(events, wrong[0])} lasts {duration[wrong[0]]} s: times are finite, none is negative")
    again = np.flatnonzero(events.duplicated(["run", "onset"]))
    if len(again):
        raise Misaligned(f"{_named(events, again[0])} has the onset of another: its window would be there twice")
    return events


def _reasons(rows, first, last, *, bounds):
    """Say why each window, from its first to its last sample, cannot be used; "" where it can."""
    leaves = (first < bounds[:, 0]) | (last >= bounds[:, 1])
    bad = np.zeros(len(first), dtype=bool)
    if "bad" in rows:
        n_bad = np.r_[0, np.cumsum(rows["bad"].to_numpy(dtype=bool))]
        inside = ~leaves
        bad[inside] = n_bad[last[inside] + 1] > n_bad[first[inside]]
    return np.select([leaves, bad], [LEAVES, BAD], default="").astype(object)


def _kept(reasons, samples):
    """Give the positions of the events whose windows can be used, in order of time."""
    kept = np.flatnonzero(reasons == "")
    if len(kept) == 0:
        raise Misaligned(f"no event is left of {len(reasons)}: {_counts(reasons) or 'there are none'}")
    return kept[np.argsort(samples[kept], kind="stable")]


def _rows(events, kept):
    rows = events.iloc[kept][["run", "onset", "duration"]]
    return rows.rename(columns={"onset": "time"}).assign(event=kept)


def _columns_with_lags(columns, lags):
    """Repeat each channel for all lags (s), one channel after the other."""
    repeated = columns.iloc[np.repeat(np.arange(len(columns)), len(lags))].reset_index(drop=True)
    return repeated.assign(lag=np.tile(lags, len(columns)))


def _dropped(events, reasons):
    table = events[["run", "onset"]].assign(event=np.arange(len(events)), reason=reasons)[reasons != ""]
    return table[["event", "run", "onset", "reason"]].reset_index(drop=True)


def _counts(reasons):
    return {reason: int(np.sum(reasons == reason)) for reason in (LEAVES, BAD) if (reasons == reason).any()}


def _cut(responses, samples, *, lags, averaged):
    """Copy the windows, (n_kept, n_channels * n_lags)."""
    recording, n_channels = responses.values, responses.shape[1]
    dtype = np.result_type(recording.dtype, np.float32)
    values = np.empty((len(samples), n_channels, len(lags)), dtype=dtype)
    for epoch, sample in zip(values, samples, strict=True):
        np.copyto(epoch, recording[sample + lags[0] : sample + lags[-1] + 1 : _step(lags)].T)
        if averaged is not None:
            base = recording[sample + averaged[0] : sample + averaged[-1] + 1].mean(axis=0, dtype=np.float64)
            np.subtract(epoch, base[:, None], out=epoch, casting="same_kind")
        if not np.isfinite(epoch).all():
            i_channel, i_lag = np.argwhere(~np.isfinite(epoch))[0]
            _refuse_value(responses, sample + lags[i_lag], i_channel)
    return values.reshape(len(samples), -1)


def _step(lags):
    return lags[1] - lags[0] if len(lags) > 1 else 1


def _refuse_value(responses, i_sample, i_channel):
    row, column = responses.rows.iloc[i_sample], responses.columns.iloc[i_channel]
    raise BrainalignError(
        f"channel {column['target']!r} of subject {column['subject']!r} is not finite in run {str(row['run'])!r} near "
        f"{row['time']:g} s: leave out the channel, or mark these samples as bad"
    )


def _named(events, i):
    event = events.iloc[i]
    name = next((f" {event[column]!r}" for column in ("word", "sentence") if column in events), "")
    return f"event {i}{name} at {event['onset']} s of run {str(event['run'])!r}"
