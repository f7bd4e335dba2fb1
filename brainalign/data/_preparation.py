"""What is done to the channels of one run of MEG or EEG, in which order, and which channels cannot be used.

The order, all within the run:

1. channels of the chosen types; those that are marked as bad, constant or not finite are left out;
2. projectors of the file;
3. reference: the mean of the channels of a type that are left, or of named channels;
4. notch filter, then band-pass filter: mne's zero-phase FIR, on each side of a joint or of a gap in the acquisition by
   itself;
5. resampling by a polyphase filter, gaps in the acquisition bridged by straight lines (they stay marked as bad).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import mne
import numpy as np

from brainalign.data._resampling import resample
from brainalign.errors import Misaligned, MissingData, UnknownName

log = logging.getLogger(__name__)

DATA_TYPES = ("mag", "grad", "eeg", "seeg", "ecog", "dbs", "hbo", "hbr")
ELECTRODES = ("eeg", "seeg", "ecog", "dbs")
"""Channel types that are measured against a reference."""

GAP = "bad_acq_skip"  # mne's name of a span in which nothing was acquired; values there are 0
SAME_RATE = 1e-6  # relative difference within which two sampling rates are one


@dataclass(frozen=True)
class Preparation:
    """What is done to the channels of one run.

    Parameters
    ----------
    picks : tuple of str
        Channel types; none named: all types of data there are.
    projectors : bool
        Apply the projectors of the file. Those that had been applied when it was written stay so in any case.
    reference : "average" or tuple of str
        Of electrodes: the mean of all usable ones of a type, or of the named channels; none named: as recorded.
    notch : tuple of float
        Frequencies (Hz) that a notch filter takes out, harmonics included only if named.
    l_freq, h_freq : float, optional
        Edges of the band that is passed (Hz). None: no edge.
    sfreq : float, optional
        Resample to this rate (Hz). None: as recorded.
    """

    picks: tuple[str, ...] = ()
    projectors: bool = False
    reference: Literal["average"] | tuple[str, ...] = ()
    notch: tuple[float, ...] = ()
    l_freq: float | None = None
    h_freq: float | None = None
    sfreq: float | None = None

    @property
    def steps(self) -> list[str]:
        """What is done, in its order, for the method section."""
        band = f"{self.l_freq or 0:g} to {f'{self.h_freq:g}' if self.h_freq else 'all'} Hz"
        filtered = self.l_freq is not None or self.h_freq is not None
        left_out = "channels marked as bad, constant or not finite left out"
        done = [
            f"{left_out}; projectors {'of the file applied' if self.projectors else 'not applied'}",
            f"each run filtered, {band} (mne's zero-phase FIR, firwin)" if filtered else "not filtered",
            f"each run resampled to {self.sfreq:g} Hz (Fourier)" if self.sfreq else "not resampled",
        ]
        if self.notch:
            listed = ", ".join(f"{frequency:g}" for frequency in self.notch)
            done.insert(1, f"each run notch-filtered at {listed} Hz (mne's zero-phase FIR, firwin)")
        if self.reference:
            of = "all usable electrodes of a type" if self.reference == "average" else ", ".join(self.reference)
            done.insert(1, f"referenced to the mean of {of}")
        return done


@dataclass(frozen=True, eq=False)
class Prepared:
    """One run after its preparation.

    Parameters
    ----------
    raw : mne.io.Raw
        Loaded; the usable channels. Its projectors are those that are applied.
    unusable : dict
        Channel that was left out to the reason.
    """

    raw: mne.io.BaseRaw
    unusable: dict[str, str]


def prepare_raw(raw: mne.io.BaseRaw, source: str, preparation: Preparation) -> Prepared:
    """Prepare the usable channels of one run, as the settings say and in the order that the module tells.

    Parameters
    ----------
    raw : mne.io.Raw
        Is not changed.
    source : str
        Where it comes from, for the errors.
    preparation : Preparation

    Returns
    -------
    prepared : Prepared

    Raises
    ------
    UnknownName
        There is no channel of a type, or of the name of a reference.
    MissingData
        No channel is usable: everything that was recorded is constant, not finite or marked as bad. There are no
        projectors to apply, or no electrodes to reference.
    Misaligned
        The band does not fit the sampling rate; a reference is not usable.

    References
    ----------
    Oracle: `raw.apply_proj()`, `mne.set_eeg_reference`, `raw.notch_filter`, `raw.filter`; `_resampling.resample`.
    """
    _check_frequencies(raw.info["sfreq"], preparation, source)
    names = _channels_of_types(raw, preparation.picks, source)
    chosen, unusable = _usable(raw, names, preparation.reference, source)
    _project(chosen, source, apply=preparation.projectors)
    if preparation.reference:
        unusable |= _rereference(chosen, preparation.reference, names, source)
    if preparation.notch:
        chosen.notch_filter(preparation.notch, picks="all", verbose="WARNING")
    if preparation.l_freq is not None or preparation.h_freq is not None:
        chosen.filter(preparation.l_freq, preparation.h_freq, picks="all", verbose="WARNING")
    if preparation.sfreq is not None and not same_rate(preparation.sfreq, raw.info["sfreq"]):
        _bridge_gaps(chosen)
        resample(chosen, preparation.sfreq)
    return Prepared(chosen, unusable)


def same_rate(first: float, second: float) -> bool:
    """Tell whether two sampling rates (Hz) are one."""
    return abs(first - second) <= SAME_RATE * max(first, second)


def has_average_reference(info: mne.Info) -> bool:
    """Tell whether a projector took the mean of the electrodes off."""
    of_mean = mne.io.constants.FIFF.FIFFV_PROJ_ITEM_EEG_AVREF
    return any(projector["kind"] == of_mean and projector["active"] for projector in info["projs"])


def _check_frequencies(recorded: float, preparation: Preparation, source: str) -> None:
    l_freq, h_freq, half = preparation.l_freq, preparation.h_freq, recorded / 2
    low, high = l_freq or 0.0, h_freq if h_freq is not None else half
    holds = f"a recording with {recorded:g} samples per second (half of it is {half:g} Hz)"
    if not 0 <= low < high <= half:
        raise Misaligned(f"{source}: cannot pass {l_freq} to {h_freq} Hz of {holds}")
    if beyond := [frequency for frequency in preparation.notch if not 0 < frequency < half]:
        raise Misaligned(f"{source}: cannot take {beyond} Hz out of {holds}")


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


def _usable(
    raw: mne.io.BaseRaw, names: list[str], reference: str | tuple[str, ...], source: str
) -> tuple[mne.io.BaseRaw, dict[str, str]]:
    """Load the channels of these names that can be used, and those of the reference; say why the others cannot be."""
    referred = () if reference == "average" else tuple(reference)
    for name in referred:
        if name not in raw.ch_names:
            raise UnknownName(f"reference channel of {source}", name, raw.ch_names)
    taken = [name for name in raw.ch_names if name in {*names, *referred}]
    chosen = raw.copy().pick(taken, verbose="WARNING").load_data(verbose="WARNING")
    unusable = dict.fromkeys((name for name in taken if name in raw.info["bads"]), "marked as bad")
    unusable |= {name: why for name, why in _flat_channels(chosen).items() if name not in unusable}
    if all(name in unusable for name in names):
        reasons = sorted({unusable[name] for name in names})
        raise MissingData(f"{source}: none of the {len(names)} channels is usable ({', '.join(reasons)})")
    if lost := {name: unusable[name] for name in referred if unusable.get(name, "constant") != "constant"}:
        raise Misaligned(f"{source}: a reference must be usable, got {lost}; name other channels as the reference")
    dropped = [name for name in unusable if name not in referred]
    if dropped:
        chosen.drop_channels(dropped)
    return chosen, {name: why for name, why in unusable.items() if name in dropped}


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


def _project(raw: mne.io.BaseRaw, source: str, *, apply: bool) -> None:
    """Apply the projectors of a recording, or forget those that are not applied, so that nothing applies them later."""
    waiting = [i for i, projector in enumerate(raw.info["projs"]) if not projector["active"]]
    if not apply:
        raw.del_proj(waiting)
    elif not raw.info["projs"]:
        raise MissingData(f"{source}: it has no projectors to apply; leave out `projectors`")
    else:
        raw.apply_proj(verbose="WARNING")


def _rereference(
    raw: mne.io.BaseRaw, reference: str | tuple[str, ...], names: list[str], source: str
) -> dict[str, str]:
    """Take the reference off the electrodes; give what was dropped, as there is nothing left in it.

    The mean of EEG is taken off by a projector, which mne asks for where sources are to be estimated.
    """
    kinds = [
        kind for kind in ELECTRODES if kind in raw.get_channel_types(picks=[n for n in raw.ch_names if n in names])
    ]
    if not kinds:
        raise MissingData(f"{source}: no electrodes among the channels chosen, so nothing has a reference")
    if reference != "average":
        mne.set_eeg_reference(raw, list(reference), copy=False, ch_type=kinds, verbose="WARNING")
        dropped = {name: "only the reference" for name in reference if name not in names}
        if len(reference) == 1:
            dropped = {reference[0]: "the reference"}
        raw.drop_channels(list(dropped))
        return {name: why for name, why in dropped.items() if name in names}
    for kind in kinds:
        if kind == "eeg":
            _take_off_mean_of_eeg(raw)
        else:
            mne.set_eeg_reference(raw, "average", copy=False, ch_type=kind, verbose="WARNING")
    return {}


def _take_off_mean_of_eeg(raw: mne.io.BaseRaw) -> None:
    if has_average_reference(raw.info):
        raw.apply_function(lambda values: values - values.mean(axis=0), picks="eeg", channel_wise=False)
    else:
        raw.set_eeg_reference("average", projection=True, ch_type="eeg", verbose="WARNING")
        raw.apply_proj(verbose="WARNING")


def _bridge_gaps(raw: mne.io.BaseRaw) -> None:
    """Put straight lines in place of the zeros of gaps, so that their edges do not ring into what was acquired."""
    for first, stop in gaps_of(raw):
        before, after = raw[:, max(first - 1, 0)][0], raw[:, min(stop, raw.n_times - 1)][0]  # (n_channels, 1)
        if first == 0 or stop == raw.n_times:
            before = after = after if first == 0 else before
        raw[:, first:stop] = before + (after - before) * np.linspace(0, 1, stop - first + 2)[1:-1]


def gaps_of(raw: mne.io.BaseRaw) -> list[tuple[int, int]]:
    """Give the spans in which nothing was acquired: first sample, and one past the last, from the start of the run."""
    spans = []
    for span in raw.annotations:
        if str(span["description"]).lower().startswith(GAP):
            first = round((span["onset"] - raw.first_time) * raw.info["sfreq"])
            stop = first + round(span["duration"] * raw.info["sfreq"])
            spans.append((max(first, 0), min(stop, raw.n_times)))
    return [(first, stop) for first, stop in spans if first < stop]


def common_channels(
    usable: Mapping[str, list[str]], reasons: Mapping[str, Mapping[str, str]], *, subject: str, unusable: str
) -> list[str]:
    """Give the channels that are usable in every run, in the order of the first.

    Parameters
    ----------
    usable : dict
        Run to the names of its channels.
    reasons : dict
        Run to the channels that were left out of it and why.
    subject : str
    unusable : {"refuse", "leave_out"}

    Raises
    ------
    Misaligned
        Some channels are not usable in all runs, and are not to be left out.
    MissingData
        None is usable in all.
    """
    first = next(iter(usable.values()))
    in_all = set(first).intersection(*usable.values())
    common = [name for name in first if name in in_all]
    lost = sorted(set().union(*usable.values()) - in_all)
    if lost and unusable == "refuse":
        why = "; ".join(
            _reason(run, names, reasons[run], lost) for run, names in usable.items() if set(lost) - set(names)
        )
        raise Misaligned(
            f"subject {subject}: {len(lost)} channels are not usable in all runs: {shown(lost)} ({why}); "
            "unusable = 'leave_out' leaves them out of all runs"
        )
    if not common:
        raise MissingData(f"subject {subject}: no channel is usable in all of the runs {list(usable)}")
    if lost:
        log.warning("subject %s: %d channels left out, not usable in all runs: %s", subject, len(lost), shown(lost))
    return common


def shown(names: list[str]) -> str:
    """Write names, the first twelve of them."""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _reason(run: str, names: list[str], reasons: Mapping[str, str], lost: list[str]) -> str:
    why = {name: reasons.get(name, "not recorded") for name in lost if name not in set(names)}
    return f"{run}: " + ", ".join(f"{name} {reason}" for name, reason in list(why.items())[:6])
