"""Continuous MEG and EEG as samples by channels: channels by type and by name, one filter per run, bad spans marked."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import mne
import numpy as np
import pandas as pd
from mne.io.constants import FIFF

from brainalign.arrays import Responses
from brainalign.errors import Misaligned, MissingData, UnknownName

log = logging.getLogger(__name__)

DATA_TYPES = ("mag", "grad", "eeg", "seeg", "ecog", "dbs", "hbo", "hbr")
SAME_RATE = 1e-6  # relative difference within which two sampling rates are one


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
        An annotation that begins with "bad" covers the sample.
    unusable : dict
        Channel that was left out to the reason.
    """

    values: np.ndarray
    channels: pd.DataFrame
    sfreq: float
    bad: np.ndarray
    unusable: dict[str, str]


def samples_of_raw(
    raw: mne.io.BaseRaw,
    source: str,
    *,
    picks: tuple[str, ...] = (),
    l_freq: float | None = None,
    h_freq: float | None = None,
    sfreq: float | None = None,
) -> Samples:
    """Take the usable channels of one run, filter them, and resample them.

    Filter and resampling see this run only. Channels that are marked as bad are left out, and so are those that are
    constant or not finite; projectors are not applied.

    Parameters
    ----------
    raw : mne.io.Raw
        Is not changed.
    source : str
        Where it comes from, for the errors.
    picks : tuple of str
        Channel types; none named: all types of data there are.
    l_freq, h_freq : float, optional
        Edges of the band that is passed (Hz): mne's zero-phase FIR filter. None: no edge.
    sfreq : float, optional
        Resample to this rate (Hz), in the frequency domain. None: as recorded.

    Returns
    -------
    samples : Samples

    Raises
    ------
    UnknownName
        There is no channel of a type.
    MissingData
        No channel is usable: everything that was recorded is constant, not finite or marked as bad.
    Misaligned
        The band does not fit the sampling rate.
    """
    _check_band(raw.info["sfreq"], l_freq, h_freq, source)
    names = _channels_of_types(raw, picks, source)
    chosen = raw.copy().pick(names, verbose="WARNING").load_data(verbose="WARNING")
    unusable = dict.fromkeys((name for name in names if name in raw.info["bads"]), "marked as bad")
    unusable |= {name: why for name, why in _flat_channels(chosen).items() if name not in unusable}
    if len(unusable) == len(names):
        reasons = sorted(set(unusable.values()))
        raise MissingData(f"{source}: none of the {len(names)} channels is usable ({', '.join(reasons)})")
    if unusable:
        chosen.drop_channels(list(unusable))
    if l_freq is not None or h_freq is not None:
        chosen.filter(l_freq, h_freq, picks="all", verbose="WARNING")
    if sfreq is not None and not _same_rate(sfreq, raw.info["sfreq"]):
        chosen.resample(sfreq, verbose="WARNING")
    return Samples(
        chosen.get_data(verbose="WARNING").T.astype(np.float32),
        describe_channels(chosen.info),
        float(chosen.info["sfreq"]),
        _bad_samples(chosen),
        unusable,
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
        if not _same_rate(samples.sfreq, runs[first].sfreq):
            raise Misaligned(
                f"subject {subject}: {first} has {runs[first].sfreq:g} samples per second, {run} has "
                f"{samples.sfreq:g}; set `sfreq` to resample all runs to one rate"
            )
    names = _common_channels(runs, subject, unusable)
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


def _check_band(recorded: float, l_freq: float | None, h_freq: float | None, source: str) -> None:
    low, high = l_freq or 0.0, h_freq if h_freq is not None else recorded / 2
    if not 0 <= low < high <= recorded / 2:
        raise Misaligned(
            f"{source}: cannot pass {l_freq} to {h_freq} Hz of a recording with {recorded:g} samples per second "
            f"(half of it is {recorded / 2:g} Hz)"
        )


def _channels_of_types(raw: mne.io.BaseRaw, picks: tuple[str, ...], source: str) -> list[str]:
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    there = sorted(set(types.values()))
    wanted = picks or tuple(kind for kind in DATA_TYPES if kind in there)
    if not wanted:
        raise MissingData(f"{source}: no channel of data, only {there}")
    for kind in wanted:
        if kind not in there:
            raise UnknownName(f"channel type of {source}", kind, there)
    return [name for name, kind in types.items() if kind in wanted]


def _flat_channels(raw: mne.io.BaseRaw) -> dict[str, str]:
    """Name the channels that hold no signal, with the reason; looks at one channel at a time."""
    reasons = {}
    for i_channel, name in enumerate(raw.ch_names):
        [values] = raw.get_data(picks=[i_channel], verbose="WARNING")  # (n_samples,)
        if not np.isfinite(values).all():
            reasons[name] = "not finite"
        elif np.ptp(values) == 0:
            reasons[name] = "constant"
    return reasons


def _bad_samples(raw: mne.io.BaseRaw) -> np.ndarray:
    """Tell which samples an annotation covers that begins with "bad"; (n_samples,)."""
    marked = raw.get_data(picks=[0], reject_by_annotation="NaN", verbose="WARNING")[0]
    return np.isnan(marked)


def _same_rate(first: float, second: float) -> bool:
    return abs(first - second) <= SAME_RATE * max(first, second)


def _same_types(found: pd.Series, expected: pd.Series, source: str) -> None:
    differing = found.index[found != expected]
    if len(differing):
        name = differing[0]
        raise Misaligned(f"{source}: channel {name} is of type {found[name]} and {expected[name]}")


def _common_channels(runs: Mapping[str, Samples], subject: str, unusable: str) -> list[str]:
    """Give the channels that are usable in every run, in the order of the first."""
    usable = {run: list(samples.channels["target"]) for run, samples in runs.items()}
    first = next(iter(usable.values()))
    common = [name for name in first if all(name in names for names in usable.values())]
    lost = sorted(set().union(*usable.values()) - set(common))
    if not lost:
        return common
    shown = ", ".join(lost[:12]) + (f" and {len(lost) - 12} more" if len(lost) > 12 else "")
    if unusable == "refuse":
        reasons = "; ".join(_reason(run, runs[run], lost) for run in runs if set(lost) - set(usable[run]))
        raise Misaligned(
            f"subject {subject}: {len(lost)} channels are not usable in all runs: {shown} ({reasons}); "
            "unusable = 'leave_out' leaves them out of all runs"
        )
    if not common:
        raise MissingData(f"subject {subject}: no channel is usable in all of the runs {list(runs)}")
    log.warning("subject %s: %d channels left out, not usable in all runs: %s", subject, len(lost), shown)
    return common


def _reason(run: str, samples: Samples, lost: Iterable[str]) -> str:
    present = set(samples.channels["target"])
    why = {name: samples.unusable.get(name, "not recorded") for name in lost if name not in present}
    return f"{run}: " + ", ".join(f"{name} {reason}" for name, reason in list(why.items())[:6])


def _clock(run: str, n_samples: int, sfreq: float) -> pd.DataFrame:
    return pd.DataFrame({"run": run, "time": np.arange(n_samples) / sfreq, "duration": 1 / sfreq})
