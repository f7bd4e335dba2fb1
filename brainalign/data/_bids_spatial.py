"""Whitening or source estimates of one person of a BIDS folder: which files they need, and the filter they make."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mne
import pandas as pd

from brainalign.data import _bids_meeg
from brainalign.data._bids_query import BidsFile
from brainalign.data._meeg import Samples
from brainalign.data._preparation import Preparation, Prepared, prepare_raw
from brainalign.data._sources import Sources, inverse_of_forward, read_inverse, read_labels, source_estimates
from brainalign.data._whitening import (
    BASELINE,
    Noise,
    NoiseCovariance,
    SpatialFilter,
    covariance_of_baseline,
    covariance_of_file,
    covariance_of_recordings,
    samples_through,
    whitening,
    with_common_channels,
)


@dataclass(frozen=True)
class Person:
    """Where the files of one person are.

    Parameters
    ----------
    root : Path
        Top of the BIDS folder, which paths in settings are below.
    source : Path
        The folder in which the recordings lie.
    subject : str
        Label.
    files : dict
        Run to its recording.
    """

    root: Path
    source: Path
    subject: str
    files: Mapping[str, BidsFile]


def filtered_runs(
    person: Person,
    runs: Mapping[str, Prepared],
    events: Mapping[str, pd.DataFrame],
    *,
    noise: Noise | None,
    sources: Sources | None,
    preparation: Preparation,
    unusable: str,
) -> tuple[dict[str, Samples], SpatialFilter, set[Path]]:
    """Whiten the prepared runs of a person, or estimate their sources.

    Parameters
    ----------
    person : Person
    runs : dict
        Run to what was prepared of it; is changed.
    events : dict
        Run to its events, with `onset` (s).
    noise : Noise, optional
        None with an inverse operator of a file only.
    sources : Sources, optional
        None: whiten.
    preparation : Preparation
        What was done to the runs, and is done to an empty-room recording.
    unusable : {"refuse", "leave_out"}

    Returns
    -------
    samples : dict
        Run to its samples, all of the same targets.
    spatial : SpatialFilter
    inputs : set of Path
        Files that were read.

    Raises
    ------
    MissingData, Misaligned
        As the functions that read and estimate.
    """
    runs = with_common_channels(runs, subject=person.subject, unusable=unusable)
    raws = {run: part.raw for run, part in runs.items()}
    inputs = set(named_paths(person.root, person.subject, noise, sources))
    covariance = None
    if noise is not None:
        covariance, more = _covariance(person, raws, events, noise, preparation)
        inputs |= more
    first = next(iter(raws.values()))
    if sources is None:
        spatial = whitening(covariance, first.info)
    else:
        spatial, more = _estimates(person, first, covariance, sources)
        inputs |= more
    return {run: samples_through(spatial, part) for run, part in runs.items()}, spatial, inputs


def named_paths(root: Path, subject: str, noise: Noise | None, sources: Sources | None) -> Iterator[Path]:
    """Give the files that the settings name."""
    texts = [noise.path] if noise else []
    texts += [sources.forward, sources.inverse, *sources.label_files] if sources else []
    yield from (_path(root, subject, text) for text in texts if text)


def _path(root: Path, subject: str, text: str) -> Path:
    return root / Path(text.replace("{subject}", subject)).expanduser()


def _covariance(
    person: Person,
    raws: Mapping[str, mne.io.BaseRaw],
    events: Mapping[str, pd.DataFrame],
    noise: Noise,
    preparation: Preparation,
) -> tuple[NoiseCovariance, set[Path]]:
    info = next(iter(raws.values())).info
    if noise.path:
        return covariance_of_file(_path(person.root, person.subject, noise.path), info), set()
    if noise.source == BASELINE:
        onsets = {run: table["onset"].to_numpy(float) for run, table in events.items()}
        return covariance_of_baseline(raws, onsets, noise), set()
    found = {room.path: room for file in person.files.values() for room in [_bids_meeg.empty_room(person.source, file)]}
    rooms, inputs = [], set()
    for path, file in found.items():
        recorded = _bids_meeg.read_raw(person.source, file)
        there = set(recorded.get_channel_types())
        kinds = tuple(kind for kind in dict.fromkeys(info.get_channel_types()) if kind in there)
        kept = Preparation(kinds, notch=preparation.notch, l_freq=preparation.l_freq, h_freq=preparation.h_freq)
        rooms.append(prepare_raw(recorded, str(path), kept).raw)
        inputs |= {*_bids_meeg.inputs_of(file), *_bids_meeg.sidecars_of(person.source, file)}
    return covariance_of_recordings(rooms, info, noise.method), inputs


def _estimates(
    person: Person, raw: mne.io.BaseRaw, covariance: NoiseCovariance | None, sources: Sources
) -> tuple[SpatialFilter, set[Path]]:
    if sources.inverse:
        inverse = read_inverse(_path(person.root, person.subject, sources.inverse), raw)
    else:
        path = _path(person.root, person.subject, sources.forward)
        inverse = inverse_of_forward(path, raw, covariance, loose=sources.loose, depth=sources.depth)
    files = [_path(person.root, person.subject, text) for text in sources.label_files]
    subjects_dir = _path(person.root, person.subject, sources.subjects_dir)
    name = inverse["src"][0].get("subject_his_id") or person.subject
    labels = read_labels(sources, files, subjects_dir, name)
    annotated = {subjects_dir / name / "label" / f"{side}.{sources.parcellation}.annot" for side in ("lh", "rh")}
    spatial = source_estimates(inverse, sources, labels)
    of_noise = {"noise": covariance.provenance} if covariance else {}
    spatial = SpatialFilter(spatial.targets, spatial.apply, spatial.provenance | of_noise)
    return spatial, annotated if sources.parcellation else set()


def steps(noise: Noise | None, sources: Sources | None) -> list[str]:
    """Say what was done, for the method section; nothing where there is neither."""
    if noise is None and sources is None:
        return []
    of = "" if noise is None else (
        f"noise covariance of {noise.path or noise.source}"
        + (f", {noise.tmin:g} to {noise.tmax:g} s from events of all runs" if noise.source == BASELINE else "")
        + ("" if noise.path else f" ({noise.method})")
    )  # fmt: skip
    if sources is None:
        return [f"whitened by the {of}, magnetometers and gradiometers together, other types by themselves"]
    model = f"forward model {sources.forward}" if sources.forward else f"inverse operator {sources.inverse}"
    labels = sources.parcellation or ", ".join(sources.label_files)
    averaged = f"; averaged over the labels {labels} ({sources.mode})" if labels else ""
    return [f"sources estimated by {sources.method}, SNR {sources.snr:g}, {model}{', ' + of if of else ''}{averaged}"]
