"""Whitening of MEG and EEG by the covariance of their noise: of a file, of an empty room, or of what precedes events.

With C the covariance of the noise on the subspace of its rank, C = E D E', the whitened recording is

    E D^(-1/2) E' y(t)

so that the noise has the identity as its covariance on that subspace, and nothing outside. As mne does it,
magnetometers and gradiometers are whitened together, and every other type by itself: what noise MEG and EEG share
stays. Channels keep their names and places: this is the whitening that changes them least. Values are in standard
deviations of the noise.

References
----------
Engemann & Gramfort (2015). Automated model selection in covariance estimation and spatial whitening of MEG and EEG
signals. NeuroImage 108:328-342. doi:10.1016/j.neuroimage.2014.12.040
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mne
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from brainalign.data._content import reading
from brainalign.data._meeg import Samples, bad_samples, describe_channels
from brainalign.data._preparation import Prepared, common_channels, has_average_reference, shown
from brainalign.errors import Misaligned, MissingData

log = logging.getLogger(__name__)

BASELINE = "baseline"
EMPTY_ROOM = "emptyroom"
RANK_ERROR = 0.1  # share by which an estimated rank may be above the one that the recording's history allows


class Noise(BaseModel):
    """Settings of the covariance of the noise."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str = Field(
        min_length=1,
        description="baseline: windows around events; emptyroom: the empty-room recording of the folder, prepared as "
        "the runs are; else the path of a -cov.fif of data that were prepared in the same way",
    )
    tmin: float = Field(-0.2, description="baseline: start of the window, s from the onset")
    tmax: float = Field(0.0, description="baseline: end of the window, s from the onset")
    method: Literal["ledoit_wolf", "shrunk", "oas", "empirical"] = Field(
        "ledoit_wolf", description="baseline, emptyroom: the estimator of mne.compute_covariance"
    )

    @model_validator(mode="after")
    def _a_window(self):
        if self.tmin >= self.tmax:
            raise ValueError(f"tmin {self.tmin:g} s is not before tmax {self.tmax:g} s")
        return self

    @property
    def path(self) -> str:
        """Path of the file, "" where the covariance is estimated."""
        return "" if self.source in (BASELINE, EMPTY_ROOM) else self.source


@dataclass(frozen=True, eq=False)
class NoiseCovariance:
    """What is known of the noise.

    Parameters
    ----------
    covariance : mne.Covariance
    rank : dict
        Sensor type, as mne groups them ("meg", "eeg", ...), to the dimensions that the noise has.
    provenance : dict
    """

    covariance: mne.Covariance
    rank: dict[str, int]
    provenance: dict[str, Any]


@dataclass(frozen=True, eq=False)
class SpatialFilter:
    """What makes targets of channels, sample by sample.

    Parameters
    ----------
    targets : DataFrame of n_targets rows
        `target`, `channel_type`, `x, y, z`, and more.
    apply : callable
        Takes an mne.io.Raw of the channels; gives values of shape (n_samples, n_targets).
    provenance : dict
    """

    targets: pd.DataFrame
    apply: Callable[[mne.io.BaseRaw], np.ndarray]
    provenance: dict[str, Any]


def with_common_channels(runs: Mapping[str, Prepared], *, subject: str, unusable: str) -> dict[str, Prepared]:
    """Keep the channels that are usable in all runs of a person, in the order of the first.

    Raises
    ------
    Misaligned, MissingData
        As `common_channels`.
    """
    usable = {run: part.raw.ch_names for run, part in runs.items()}
    names = common_channels(
        usable, {run: part.unusable for run, part in runs.items()}, subject=subject, unusable=unusable
    )
    kept = set(names)
    return {
        run: Prepared(
            part.raw.pick(names, verbose="WARNING").reorder_channels(names),
            part.unusable | {name: "not usable in all runs" for name in usable[run] if name not in kept},
        )
        for run, part in runs.items()
    }


def samples_through(spatial: SpatialFilter, prepared: Prepared) -> Samples:
    """Take the samples of the targets that a spatial filter makes of a run."""
    raw = prepared.raw
    values = spatial.apply(raw).astype(np.float32)
    return Samples(values, spatial.targets, float(raw.info["sfreq"]), bad_samples(raw), prepared.unusable)


def covariance_of_file(path: Path, info: mne.Info) -> NoiseCovariance:
    """Read a covariance.

    Parameters
    ----------
    path : Path
        `-cov.fif`.
    info : mne.Info
        Of the prepared recording: its channels, in their order.

    Raises
    ------
    MissingData
        It cannot be read.
    Misaligned
        It lacks channels, or has more dimensions than the recording.
    """
    with reading(path):
        covariance = mne.read_cov(path, verbose="WARNING")
    return known_covariance(covariance, info, str(path))


def known_covariance(covariance: mne.Covariance, info: mne.Info, source: str) -> NoiseCovariance:
    """Take a covariance that was estimated before; see `covariance_of_file`."""
    return _checked(covariance, None, info, {"source": source})


def covariance_of_recordings(raws: list[mne.io.BaseRaw], info: mne.Info, method: str) -> NoiseCovariance:
    """Estimate the covariance of recordings of noise, such as an empty room; several are weighted by their length.

    Parameters
    ----------
    raws : list of mne.io.Raw
        Prepared as the recording was; spans marked as bad do not count. The recording's projectors are applied to them.
    info : mne.Info
        Of the prepared recording.
    method : str
        See `Noise`.

    Raises
    ------
    Misaligned
        A recording lacks channels, or has more dimensions than the recording of the brain: signal-space separation,
        for one, was applied to the latter only.

    References
    ----------
    Oracle: `mne.compute_raw_covariance`.
    """
    covariances, ranks = [], []
    for raw in raws:
        _require_channels(raw.ch_names, info, "the recording of noise")
        noise = raw.copy().pick(info.ch_names, verbose="WARNING").reorder_channels(info.ch_names)
        _apply_projectors_of(info, noise)
        rank = mne.compute_rank(noise, verbose="WARNING")
        covariances.append(mne.compute_raw_covariance(noise, method=method, rank=rank, verbose="WARNING"))
        ranks.append(rank)
    together = covariances[0]
    for other in covariances[1:]:
        together = together + other
    rank = {kind: max(of_one[kind] for of_one in ranks) for kind in ranks[0]}
    seconds = sum(raw.n_times / raw.info["sfreq"] for raw in raws)
    return _checked(together, rank, info, {"source": EMPTY_ROOM, "method": method, "seconds": float(seconds)})


def covariance_of_baseline(
    raws: Mapping[str, mne.io.BaseRaw], onsets: Mapping[str, np.ndarray], noise: Noise
) -> NoiseCovariance:
    """Estimate the covariance of what was recorded around events of all runs, the mean of every window taken off.

    Parameters
    ----------
    raws : dict
        Run to its prepared recording, all of the same channels.
    onsets : dict
        Run to the onsets of its events, s from its first sample. Windows that leave the run or hold bad samples do not
        count; of events of one sample the first does.
    noise : Noise
        The window and the estimator.

    Raises
    ------
    MissingData
        No window is left, or they hold less than the empirical covariance needs.

    References
    ----------
    Oracle: `mne.compute_covariance`.
    """
    epochs = [_windows(raw, onsets[run], noise) for run, raw in raws.items()]
    epochs = [of_run for of_run in epochs if len(of_run)]
    if not epochs:
        raise MissingData(f"no event has a baseline of {noise.tmin:g} to {noise.tmax:g} s without bad samples")
    first = epochs[0]
    together = np.concatenate([of_run.get_data(verbose="WARNING") for of_run in epochs])
    windows = mne.EpochsArray(together, first.info, tmin=first.tmin, baseline=(None, None), verbose="WARNING")
    ranks = [mne.compute_rank(raw, on_few_samples="ignore", verbose="WARNING") for raw in raws.values()]
    rank = {kind: min(of_run[kind] for of_run in ranks) for kind in ranks[0]}
    freedom = len(together) * (together.shape[2] - 1)  # each window lost its mean
    if noise.method == "empirical" and freedom < max(rank.values()):
        raise MissingData(
            f"the baselines have {freedom} degrees of freedom for noise of rank {rank}; take longer windows, or "
            "another method than 'empirical'"
        )
    covariance = mne.compute_covariance(windows, method=noise.method, rank=rank, verbose="WARNING")
    said = {"source": BASELINE, "tmin": noise.tmin, "tmax": noise.tmax, "method": noise.method}
    return _checked(covariance, rank, first.info, said | {"n_windows": len(together)})


def whitening(noise: NoiseCovariance, info: mne.Info) -> SpatialFilter:
    """Give the filter that whitens.

    Parameters
    ----------
    noise : NoiseCovariance
    info : mne.Info
        Of the prepared recording.

    Returns
    -------
    whitening : SpatialFilter
        As many targets as channels, of the names, types and places of these.

    References
    ----------
    Oracle: `mne.cov.compute_whitener`.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No average EEG reference")  # is logged by `_checked`
        whitener, _ = mne.cov.compute_whitener(
            noise.covariance, info, picks=np.arange(len(info.ch_names)), rank=noise.rank, verbose="WARNING"
        )
    return SpatialFilter(describe_channels(info), lambda raw: (whitener @ raw.get_data()).T, noise.provenance)


def _windows(raw: mne.io.BaseRaw, onsets: np.ndarray, noise: Noise) -> mne.Epochs:
    samples = raw.first_samp + np.rint(np.asarray(onsets) * raw.info["sfreq"]).astype(int)
    events = np.column_stack([samples, np.zeros_like(samples), np.ones_like(samples)])
    window = {"tmin": noise.tmin, "tmax": noise.tmax, "baseline": None}
    return mne.Epochs(
        raw, events, **window, picks="all", preload=True, proj=False, event_repeated="drop", on_missing="ignore",
        verbose="ERROR",
    )  # fmt: skip


def _apply_projectors_of(info: mne.Info, raw: mne.io.BaseRaw) -> None:
    """Do to a recording what was done to another by projectors."""
    known = {projector["desc"] for projector in raw.info["projs"]}
    missing = [projector.copy() for projector in info["projs"] if projector["desc"] not in known]
    for projector in missing:
        projector["active"] = False
    raw.add_proj(missing, verbose="WARNING").apply_proj(verbose="WARNING")


def _require_channels(there: list[str], info: mne.Info, source: str) -> None:
    if lacking := [name for name in info.ch_names if name not in set(there)]:
        raise Misaligned(
            f"{source} has no usable {shown(lacking)}, the brain's has; choose other `picks`, or mark them as bad there"
        )


def _checked(
    covariance: mne.Covariance, rank: dict[str, int] | None, info: mne.Info, provenance: dict[str, Any]
) -> NoiseCovariance:
    """Give the covariance of the recording's channels and projectors, with a rank that the recording may have."""
    _require_channels([name for name in covariance.ch_names if name not in covariance["bads"]], info, "the covariance")
    covariance = mne.pick_channels_cov(covariance, info.ch_names, exclude=(), ordered=True, verbose="WARNING")
    covariance["projs"] = list(info["projs"])
    rank = rank or mne.compute_rank(covariance, info=info, verbose="WARNING")
    if "eeg" in info.get_channel_types() and not has_average_reference(info):
        log.warning("EEG is whitened against the reference of the recording; mne advises reference = 'average'")
    alike = mne.io.RawArray(np.zeros((len(info.ch_names), 1)), info, verbose="ERROR")
    possible = mne.compute_rank(alike, rank="info", verbose="WARNING")
    for kind, dimensions in rank.items():
        if dimensions > (1 + RANK_ERROR) * possible[kind]:
            raise Misaligned(
                f"the noise has {dimensions} dimensions in {kind}, the recording {possible[kind]}: prepare both in the "
                "same way (signal-space separation, projectors)"
            )
    rank = {kind: min(dimensions, possible[kind]) for kind, dimensions in rank.items()}
    return NoiseCovariance(covariance, rank, provenance | {"rank": rank, "n_channels": len(info.ch_names)})
