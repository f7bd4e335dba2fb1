"""Recordings from objects in memory: of mne, nibabel and nilearn, tables and arrays.

Where one object is asked for, a mapping of run to object gives several runs of one person; one object is run "1".
`side_by_side` joins people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import mne
import nibabel
import numpy as np
import pandas as pd
from nilearn.surface import SurfaceImage

from brainalign.arrays import Recording, Responses
from brainalign.data._events import check_events
from brainalign.data._fmri import Cleaning, Run, responses_of_runs
from brainalign.data._meeg import describe_channels, join_runs, samples_of_prepared
from brainalign.data._preparation import DATA_TYPES, Preparation, prepare_raw
from brainalign.data._regions import Points, points_of_mask, points_of_regions, regions_of_labels
from brainalign.data._repetition_time import agreed_tr
from brainalign.data._side_by_side import side_by_side
from brainalign.data._surfaces import open_arrays
from brainalign.data._volumes import Image, labels_of_image, open_image
from brainalign.data._whitening import known_covariance, samples_through, whitening, with_common_channels
from brainalign.errors import Misaligned, MissingData, UnknownName

__all__ = [
    "Cleaning",
    "from_array",
    "from_epochs",
    "from_frame",
    "from_image",
    "from_raw",
    "from_surface",
    "side_by_side",
]

RUN = "1"  # the name of the one run of a single object
EVENTS = "events"  # what tables of events are called in errors


def from_raw(
    raw: mne.io.BaseRaw | Mapping[str, mne.io.BaseRaw],
    events: pd.DataFrame,
    *,
    subject: str = "1",
    picks: tuple[str, ...] = (),
    projectors: bool = False,
    reference: Literal["average"] | tuple[str, ...] = (),
    notch: tuple[float, ...] = (),
    l_freq: float | None = None,
    h_freq: float | None = None,
    sfreq: float | None = None,
    noise_cov: mne.Covariance | None = None,
    unusable: str = "refuse",
) -> Recording:
    """Make a recording of continuous M/EEG.

    Parameters
    ----------
    raw : mne.io.Raw or mapping of run to mne.io.Raw
        Is not changed. Channels in `info["bads"]` are left out.
    events : DataFrame
        `onset`, `duration` (s from the first sample of the run), what was shown, and `run` where there are several.
    subject : str
    picks : tuple of str
        Channel types; none named: all types of data there are.
    projectors : bool
        Apply the projectors of the recording.
    reference : "average" or tuple of str
        Of electrodes: the mean of all usable ones, or of the named channels; none named: as recorded.
    notch : tuple of float
        Frequencies (Hz) that are taken out, run by run.
    l_freq, h_freq, sfreq : float, optional
        Band that is passed and new sampling rate (Hz), run by run. All is done in the order of these arguments.
    noise_cov : mne.Covariance, optional
        Of noise that was prepared in the same way; whitens the channels, as `mne.cov.compute_whitener` does.
    unusable : {"refuse", "leave_out"}
        What becomes of a channel that is usable in some runs only.

    Returns
    -------
    recording : Recording
        As `brainalign.data.bids.load` gives it: `responses` (n_samples, n_channels), float32, in units of mne.

    Raises
    ------
    UnknownName, MissingData, Misaligned
        As `brainalign.data.bids.load`.
    """
    raws = _by_run(raw)
    preparation = Preparation(picks, projectors, reference, notch, l_freq, h_freq, sfreq)
    prepared = {run: prepare_raw(part, f"run {run}", preparation) for run, part in raws.items()}
    more = {}
    if noise_cov is None:
        samples = {run: samples_of_prepared(part) for run, part in prepared.items()}
    else:
        prepared = with_common_channels(prepared, subject=subject, unusable=unusable)
        info = next(iter(prepared.values())).raw.info
        spatial = whitening(known_covariance(noise_cov, info, "noise_cov"), info)
        samples = {run: samples_through(spatial, part) for run, part in prepared.items()}
        more = {"noise": spatial.provenance}
    recorded = {run: part.n_times / part.info["sfreq"] for run, part in raws.items()}
    responses = join_runs(samples, subject=subject, unusable=unusable)
    provenance = responses.provenance | {"processing": preparation.steps} | more
    return Recording(_events(events, recorded), replace(responses, provenance=provenance))


def from_epochs(
    epochs: mne.BaseEpochs,
    events: pd.DataFrame | None = None,
    *,
    subject: str = "1",
    picks: tuple[str, ...] = (),
) -> Recording:
    """Make a recording of M/EEG windows that were cut around events: one sample per event, one target per channel, lag.

    Parameters
    ----------
    epochs : mne.Epochs
        Are not changed. Channels in `info["bads"]` are left out.
    events : DataFrame, optional
        `onset`, `duration` (s), what was shown, and `run` where there are several: a row per epoch, or a row per event
        that epochs were cut for, of which those that were dropped are taken out. None: the epochs' metadata, with the
        onset by sample number where metadata have none, and duration 0.
    subject : str
    picks : tuple of str
        Channel types; none named: all types of data there are.

    Returns
    -------
    recording : Recording
        `responses` (n_epochs, n_channels * n_lags), float32: rows `run`, `time` (onset), `duration` (of the event),
        `event`; columns `subject`, `target`, `channel_type`, `x, y, z`, `lag` (s), all lags of the first channel, then
        all of the second. Provenance: `n_dropped`.

    Raises
    ------
    Misaligned
        There are as many events neither as epochs nor as there were before any were dropped.
    MissingData
        There is neither a table of events nor metadata; a channel is constant or not finite.
    """
    epochs = epochs.copy().drop_bad(verbose="WARNING").load_data()
    table = _events(_events_of_epochs(epochs, events).assign(_epoch=np.arange(len(epochs))), None)
    order = table.pop("_epoch").to_numpy()
    types = dict(zip(epochs.ch_names, epochs.get_channel_types(), strict=True))
    wanted = picks or DATA_TYPES
    for kind in picks:
        if kind not in types.values():
            raise UnknownName("channel type of the epochs", kind, set(types.values()))
    names = [name for name, kind in types.items() if kind in wanted and name not in epochs.info["bads"]]
    if not names:
        raise MissingData(f"no usable channel of type {' or '.join(wanted)}, there are {sorted(set(types.values()))}")
    values = epochs.get_data(picks=names, verbose="WARNING")[order].astype(np.float32)  # (n_epochs, n_channels, n_lags)
    unusable = ~np.isfinite(values).all(axis=(0, 2)) | (np.ptp(values, axis=(0, 2)) == 0)
    if unusable.any():
        lost = [name for name, is_bad in zip(names, unusable, strict=True) if is_bad]
        raise MissingData(f"channels {lost} are constant or not finite; add them to epochs.info['bads']")
    rows = table[["run", "onset", "duration"]].rename(columns={"onset": "time"}).assign(event=np.arange(len(table)))
    channels = describe_channels(epochs.info).set_index("target").loc[names].reset_index()
    channels.insert(0, "subject", subject)
    columns = channels.loc[np.repeat(np.arange(len(names)), len(epochs.times))].reset_index(drop=True)
    columns["lag"] = np.tile(epochs.times, len(names))
    n_dropped = sum(bool(reasons) and "IGNORED" not in reasons for reasons in epochs.drop_log)
    provenance = {"sfreq": float(epochs.info["sfreq"]), "n_dropped": n_dropped, "left_out": list(epochs.info["bads"])}
    return Recording(table, Responses(values.reshape(len(values), -1), rows, columns, provenance))


def from_image(
    image: nibabel.Nifti1Image | Mapping[str, nibabel.Nifti1Image],
    events: pd.DataFrame,
    *,
    tr: float | None = None,
    mask: nibabel.Nifti1Image | None = None,
    parcels: nibabel.Nifti1Image | None = None,
    names: Mapping[int, str] | None = None,
    rois: Mapping[str, nibabel.Nifti1Image] | None = None,
    confounds: np.ndarray | Mapping[str, np.ndarray] | None = None,
    resample: bool = False,
    cleaning: Cleaning | None = None,
    subject: str = "1",
    unusable: str = "refuse",
) -> Recording:
    """Make a recording of fMRI volumes.

    Parameters
    ----------
    image : Nifti1Image of shape (n_x, n_y, n_z, n_samples), or mapping of run to such
    events : DataFrame
        `onset`, `duration` (s from the first volume of the run), what was shown, and `run` where there are several.
    tr : float, optional
        s; must agree with the header.
    mask, parcels : Nifti1Image, optional
        One of mask, parcels and rois, on the grid of the volumes.
    names : mapping of int to str, optional
        Of the labels of `parcels`.
    rois : mapping of str to Nifti1Image, optional
    confounds : array of shape (n_samples, n_confounds), or mapping of run to such, optional
        Regressed out of each run.
    resample : bool
        Bring masks and atlases with another affine onto the grid of the volumes.
    cleaning : Cleaning, optional
        None: regions are averaged, nothing else is done.
    subject : str
    unusable : {"refuse", "leave_out"}
        What becomes of a voxel that is constant or not finite in a run.

    Returns
    -------
    recording : Recording
        As `brainalign.data.bids.load` gives it.

    Raises
    ------
    MissingData, Misaligned
        As `brainalign.data.bids.load`.
    """
    images = {run: open_image(part, f"run {run}") for run, part in _by_run(image).items()}
    grid = next(iter(images.values())).grid

    def labels(labelled: nibabel.Nifti1Image, source: str) -> np.ndarray:
        return labels_of_image(labelled, grid, resample=resample, source=source)

    points = _points(
        grid,
        mask=None if mask is None else labels(mask, "mask"),
        parcels=None if parcels is None else labels(parcels, "parcels"),
        rois={name: labels(roi, f"roi {name}") for name, roi in (rois or {}).items()},
        names=names or {},
    )
    return _of_images(images, events, points, tr, confounds, cleaning, subject, unusable)


def from_surface(
    image: SurfaceImage | Mapping[str, SurfaceImage],
    events: pd.DataFrame,
    *,
    tr: float,
    mask: SurfaceImage | None = None,
    parcels: SurfaceImage | None = None,
    names: Mapping[int, str] | None = None,
    confounds: np.ndarray | Mapping[str, np.ndarray] | None = None,
    cleaning: Cleaning | None = None,
    subject: str = "1",
    unusable: str = "refuse",
) -> Recording:
    """Make a recording of time series on the vertices of both hemispheres.

    Parameters
    ----------
    image : SurfaceImage of shape (n_vertices, n_samples), or mapping of run to such
        With the parts `left` and `right`.
    events, names, confounds, cleaning, subject, unusable
        As `from_image`.
    tr : float
        s; surface images do not say it.
    mask, parcels : SurfaceImage, optional
        One of them, on the same meshes; None: every vertex.

    Returns
    -------
    recording : Recording
        As `brainalign.data.bids.load` gives it.

    Raises
    ------
    MissingData, Misaligned
        As `brainalign.data.bids.load`.
    """
    images = {}
    for run, part in _by_run(image).items():
        left, right = _sides(part, f"run {run}")
        images[run] = open_arrays(left.T, right.T, f"run {run}")
    grid = next(iter(images.values())).grid

    def labels(labelled: SurfaceImage, source: str) -> np.ndarray:
        values = np.concatenate([side.ravel() for side in _sides(labelled, source)])
        if len(values) != grid.size:
            raise Misaligned(f"{source}: {len(values)} vertices, the recording has {grid.size}")
        return values.astype(np.int64)

    everywhere = np.ones(grid.size) if parcels is None else None
    points = _points(
        grid,
        mask=everywhere if mask is None else labels(mask, "mask"),
        parcels=None if parcels is None else labels(parcels, "parcels"),
        rois={},
        names=names or {},
    )
    return _of_images(images, events, points, tr, confounds, cleaning, subject, unusable)


def from_frame(
    frame: pd.DataFrame, events: pd.DataFrame, *, tr: float, run: Sequence[str] | None = None, subject: str = "1"
) -> Recording:
    """Make a recording of a table: a row per sample, a column per target, whose name it is.

    Parameters
    ----------
    frame : DataFrame of shape (n_samples, n_targets)
    events, tr, run, subject
        As `from_array`.

    Returns
    -------
    recording : Recording

    Raises
    ------
    Misaligned
        As `from_array`; a column holds no numbers.
    """
    if texts := [str(name) for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]:
        raise Misaligned(f"columns {texts} hold no numbers; give runs by `run`, and only targets in the table")
    targets = [str(name) for name in frame.columns]
    return from_array(frame.to_numpy(), events, tr=tr, targets=targets, run=run, subject=subject)


def from_array(
    Y: np.ndarray,
    events: pd.DataFrame,
    *,
    tr: float,
    targets: Sequence[str] | None = None,
    run: Sequence[str] | None = None,
    subject: str = "1",
) -> Recording:
    """Make a recording of an array.

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)
        Kept in its dtype; sample i of a run covers [i tr, (i + 1) tr) s. A constant target is kept, and scores nan.
    events : DataFrame
        `onset`, `duration` (s), what was shown, and `run` where there are several.
    tr : float
        s between samples.
    targets : sequence of str, of length n_targets, optional
        None: "0", "1", ...
    run : sequence of str, of length n_samples, optional
        None: all of one run, "1".
    subject : str

    Returns
    -------
    recording : Recording

    Raises
    ------
    Misaligned
        A value is not finite; a target is named twice; a length is wrong; events are beyond the recording.
    """
    Y = np.asarray(Y)
    if Y.ndim != 2:
        raise Misaligned(f"expected an array of shape (n_samples, n_targets), got {Y.shape}")
    names = [str(i) for i in range(Y.shape[1])] if targets is None else list(targets)
    labels = np.full(len(Y), RUN) if run is None else np.asarray(run).astype(str)
    for what, given, n in (("targets", names, Y.shape[1]), ("labels of runs", labels, len(Y))):
        if len(given) != n:
            raise Misaligned(f"{len(given)} {what} for an array of shape {Y.shape}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Misaligned(f"targets {twice} are there twice")
    bad = np.argwhere(~np.isfinite(Y))
    if len(bad):
        raise Misaligned(f"{len(bad)} values are not finite, the first is sample {bad[0][0]} of {names[bad[0][1]]}")
    rows = pd.DataFrame({"run": labels, "duration": float(tr)})
    rows.insert(1, "time", tr * rows.groupby("run", sort=False).cumcount().to_numpy(float))
    recorded = (tr * rows.groupby("run", sort=False).size()).to_dict()
    columns = pd.DataFrame({"subject": subject, "target": names})
    return Recording(_events(events, recorded), Responses(Y, rows, columns, {"tr": tr}))


def _by_run(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {RUN: given}


def _events(events: pd.DataFrame, recorded: Mapping[str, float] | None) -> pd.DataFrame:
    """Check events; without a column `run` all are of run "1"."""
    events = events if "run" in events else events.assign(run=RUN)
    return check_events(events.assign(run=events["run"].astype(str)), EVENTS, recorded=recorded)


def _events_of_epochs(epochs: mne.BaseEpochs, events: pd.DataFrame | None) -> pd.DataFrame:
    """Give the row of each epoch that was kept."""
    if events is None:
        if epochs.metadata is None:
            raise MissingData("the epochs have no metadata; give a table of events")
        onset = epochs.events[:, 0] / epochs.info["sfreq"]
        return pd.DataFrame({"onset": onset, "duration": 0.0}).assign(**epochs.metadata.reset_index(drop=True))
    if len(events) == len(epochs):
        return events.reset_index(drop=True)
    if len(events) == len(epochs.drop_log):
        return events.iloc[epochs.selection].reset_index(drop=True)
    raise Misaligned(
        f"{len(events)} events, but {len(epochs)} epochs of {len(epochs.drop_log)}; give a row for each or for all"
    )


def _points(
    grid: Any,
    *,
    mask: np.ndarray | None,
    parcels: np.ndarray | None,
    rois: Mapping[str, np.ndarray],
    names: Mapping[int, str],
) -> Points:
    if sum((mask is not None, parcels is not None, bool(rois))) != 1:
        raise MissingData("give one of mask, parcels and rois")
    if mask is not None:
        return points_of_mask(mask != 0, grid)
    regions = {name: roi != 0 for name, roi in rois.items()} or regions_of_labels(parcels, names)
    return points_of_regions(regions, grid)


def _of_images(
    images: Mapping[str, Image],
    events: pd.DataFrame,
    points: Points,
    tr: float | None,
    confounds: np.ndarray | Mapping[str, np.ndarray] | None,
    cleaning: Cleaning | None,
    subject: str,
    unusable: str,
) -> Recording:
    nuisance = {} if confounds is None else _by_run(confounds)
    if unknown := sorted(set(nuisance) - set(images)):
        raise Misaligned(f"confounds of runs that there are not: {unknown}; runs: {list(images)}")
    runs = {
        run: Run(
            image,
            agreed_tr(f"run {run}", header=image.header_tr, sidecar=None, setting=tr),
            f"run {run}",
            nuisance.get(run),
        )
        for run, image in images.items()
    }
    recorded = {run: part.tr * part.image.n_samples for run, part in runs.items()}
    responses = responses_of_runs(runs, points, subject=subject, cleaning=cleaning or Cleaning(), unusable=unusable)
    return Recording(_events(events, recorded), responses)


def _sides(image: SurfaceImage, source: str) -> tuple[np.ndarray, np.ndarray]:
    parts = image.data.parts
    if set(parts) != {"left", "right"}:
        raise Misaligned(f"{source}: parts {sorted(parts)}, expected left and right")
    return np.asarray(parts["left"]), np.asarray(parts["right"])
