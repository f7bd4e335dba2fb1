"""Continuous MEG and EEG as samples by targets: runs one below the other, channels by name, bad spans marked."""

from collections.abc import Mapping
from dataclasses import dataclass

import mne
import numpy as np
import pandas as pd
from mne.io.constants import FIFF

from brainalign.arrays import Responses
from brainalign.data._preparation import Preparation, Prepared, common_channels, prepare_raw, same_rate
from brainalign.errors import Misaligned, MissingData


@dataclass(frozen=True, eq=False)
class Samples:
    """What was recorded in one run.

    Parameters
    ----------
    values : float32 array of shape (n_samples, n_channels)
        In the unit of mne: tesla, tesla per metre, volt, molar.
    channels : DataFrame of n_channels rows
        `target` (name), `channel_type` ("mag", "grad", "eeg", ...), `x, y, z` (position in head coordinates,
        m; NaN where it is not known).
    sfreq : float
        Hz.
    bad : bool array of shape (n_samples,)
        An annotation that begins with "bad" covers the sample, or it is the first after a joint of two stretches.
    unusable : dict
        Channel that was left out to the reason.
    """

    values: np.ndarray
    channels: pd.DataFrame
    sfreq: float
    bad: np.ndarray
    unusable: dict[str, str]


def samples_of_raw(raw: mne.io.BaseRaw, source: str, preparation: Preparation) -> Samples:
    """Take the usable channels of one run, prepared as the settings say.

    Parameters
    ----------
    raw : mne.io.Raw
        Is not changed.
    source : str
        Where it comes from, for the errors.
    preparation : Preparation

    Returns
    -------
    samples : Samples

    Raises
    ------
    UnknownName, MissingData, Misaligned
        As `prepare_raw`.
    """
    return samples_of_prepared(prepare_raw(raw, source, preparation))


def samples_of_prepared(prepared: Prepared) -> Samples:
    """Take the samples of a run as they are after preparation."""
    raw = prepared.raw
    return Samples(
        raw.get_data(verbose="WARNING").T.astype(np.float32),
        describe_channels(raw.info),
        float(raw.info["sfreq"]),
        bad_samples(raw),
        prepared.unusable,
    )


def join_runs(runs: Mapping[str, Samples], *, subject: str, unusable: str = "refuse") -> Responses:
    """Put the runs of one person one below the other, channels by name.

    Parameters
    ----------
    runs : dict
        Name of the run to its samples.
    subject : str
    unusable : {"refuse", "leave_out"}
        What becomes of a channel that is usable in some runs only: an error, or it is left out of all, and counted.

    Returns
    -------
    responses : Responses of shape (n_samples, n_channels), float32
        Rows `run`, `time`, `duration` (s; a sample lasts 1 / sfreq), and `bad` where a sample is; columns `subject`,
        `target`, `channel_type`, `x, y, z`, in the order of the first run. Provenance: `sfreq` and, by run,
        `n_samples`, `n_bad_samples`, `left_out` (channel to reason).

    Raises
    ------
    Misaligned
        The runs differ in sampling rate, in their usable channels, or in a channel's type.
    """
    first = next(iter(runs))
    for run, samples in runs.items():
        if not same_rate(samples.sfreq, runs[first].sfreq):
            raise Misaligned(
                f"subject {subject}: {first} has {runs[first].sfreq:g} samples per second, {run} has "
                f"{samples.sfreq:g}; set `sfreq` to resample all runs to one rate"
            )
    names = _common_targets(runs, subject, unusable)
    channels = runs[first].channels.set_index("target").loc[names]
    values, rows, left_out = [], [], {}
    for run, samples in runs.items():
        table = samples.channels.set_index("target")
        _same_types(table.loc[names, "channel_type"], channels["channel_type"], f"subject {subject}, {run} and {first}")
        order = table.index.get_indexer(names)
        values.append(samples.values[:, order])
        rows.append(_clock(run, len(samples.values), samples.sfreq))
        left_out[run] = samples.unusable | dict.fromkeys(set(table.index) - set(names), "not usable in all runs")
    table = pd.concat(rows, ignore_index=True)
    bad = np.concatenate([samples.bad for samples in runs.values()])
    if bad.all():
        raise MissingData(f"subject {subject}: every sample lies in a span that is marked as bad")
    if bad.any():
        table["bad"] = bad
    provenance = {
        "sfreq": runs[first].sfreq,
        "runs": {
            run: {
                "n_samples": len(samples.values),
                "n_bad_samples": int(samples.bad.sum()),
                "left_out": dict(sorted(left_out[run].items())),
            }
            for run, samples in runs.items()
        },
    }
    columns = channels.reset_index()
    columns.insert(0, "subject", subject)
    return Responses(np.concatenate(values), table, columns, provenance)


def describe_channels(info: mne.Info) -> pd.DataFrame:
    """Describe channels: `target`, `channel_type`, and `x, y, z` in head coordinates (m), NaN where not known."""
    position = np.array([channel["loc"][:3] for channel in info["chs"]], dtype=float)  # (n_channels, 3)
    position[~position.any(axis=1)] = np.nan
    of_helmet = np.array([channel["coord_frame"] == FIFF.FIFFV_COORD_DEVICE for channel in info["chs"]])
    if info["dev_head_t"] is not None and of_helmet.any():
        position[of_helmet] = mne.transforms.apply_trans(info["dev_head_t"], position[of_helmet])
    table = pd.DataFrame({"target": info.ch_names, "channel_type": info.get_channel_types()})
    table[["x", "y", "z"]] = position
    return table


def bad_samples(raw: mne.io.BaseRaw) -> np.ndarray:
    """Tell which samples an annotation covers that begins with "bad", and the first after each joint; (n_samples,)."""
    marked = raw.get_data(picks=[0], reject_by_annotation="NaN", verbose="WARNING")[0]
    bad = np.isnan(marked)
    for mark in raw.annotations:
        if mark["description"].lower().startswith(("bad", "edge")) and mark["duration"] == 0:
            sample = round((mark["onset"] - raw.first_time) * raw.info["sfreq"])
            bad[min(max(sample, 0), len(bad) - 1)] = True
    return bad


def _same_types(found: pd.Series, expected: pd.Series, source: str) -> None:
    differing = found.index[found != expected]
    if len(differing):
        name = differing[0]
        raise Misaligned(f"{source}: channel {name} is of type {found[name]} and {expected[name]}")


def _common_targets(runs: Mapping[str, Samples], subject: str, unusable: str) -> list[str]:
    """Give the targets that are usable in every run, in the order of the first, and log what is left out."""
    usable = {run: list(samples.channels["target"]) for run, samples in runs.items()}
    reasons = {run: samples.unusable for run, samples in runs.items()}
    return common_channels(usable, reasons, subject=subject, unusable=unusable)


def _clock(run: str, n_samples: int, sfreq: float) -> pd.DataFrame:
    return pd.DataFrame({"run": run, "time": np.arange(n_samples) / sfreq, "duration": 1 / sfreq})
