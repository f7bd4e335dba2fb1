"""Activity of sources in the brain, estimated from MEG and EEG by a forward model and the covariance of the noise.

References
----------
Hamalainen & Ilmoniemi (1994). Interpreting magnetic fields of the brain: minimum norm estimates. Medical & Biological
Engineering & Computing 32:35-42. doi:10.1007/BF02512476
Dale et al. (2000). Dynamic statistical parametric mapping. Neuron 26:55-67. doi:10.1016/S0896-6273(00)81138-1
Pascual-Marqui (2002). Standardized low-resolution brain electromagnetic tomography (sLORETA). Methods and Findings in
Experimental and Clinical Pharmacology 24 Suppl D:5-12.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import mne
import numpy as np
import pandas as pd
from mne.io.constants import FIFF
from mne.minimum_norm import (
    InverseOperator,
    apply_inverse_raw,
    make_inverse_operator,
    prepare_inverse_operator,
    read_inverse_operator,
)
from pydantic import BaseModel, ConfigDict, Field, model_validator

from brainalign.data._content import reading, require_content
from brainalign.data._preparation import has_average_reference, shown
from brainalign.data._whitening import NoiseCovariance, SpatialFilter
from brainalign.errors import Misaligned, MissingData

log = logging.getLogger(__name__)

CHUNK = 2000  # samples that are estimated at a time
SIDES = (("left", "L"), ("right", "R"))
LARGEST_SHIFT = 0.005  # m between the head in the recording and in the forward model, above which a warning is logged


class Sources(BaseModel):
    """Settings of source estimates."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    forward: str = Field("", description="path of a -fwd.fif below root; '{subject}' stands for the label")
    inverse: str = Field("", description="path of an -inv.fif, in place of forward and noise")
    method: Literal["MNE", "dSPM", "sLORETA", "eLORETA"] = Field("dSPM", description="how sources are scaled")
    snr: float = Field(1.0, gt=0, description="amplitude signal-to-noise; lambda2 = 1 / snr^2")
    loose: float | Literal["auto"] = Field(
        "auto", description="0: fixed to the surface's normal; 1: free; auto: 0.2 on surfaces, else 1"
    )
    depth: float = Field(0.8, ge=0, le=1, description="exponent of the depth weighting; 0: none")
    pick_ori: Literal["normal"] | None = Field(
        None, description="normal: the part along the surface's normal; else the length where orientation is not fixed"
    )
    parcellation: str = Field("", description="of FreeSurfer, e.g. 'aparc': one target per label")
    subjects_dir: str = Field("", description="FreeSurfer's folder of people, for the parcellation")
    label_files: tuple[str, ...] = Field((), description="paths of .label files, in place of a parcellation")
    mode: Literal["auto", "mean", "mean_flip", "max"] = Field(
        "auto", description="how vertices make a label: auto is mean_flip of signed sources, mean of lengths"
    )

    @model_validator(mode="after")
    def _together(self):
        if bool(self.forward) == bool(self.inverse):
            raise ValueError("give one of forward and inverse")
        if self.inverse and (self.loose, self.depth) != ("auto", 0.8):
            raise ValueError("loose and depth have no meaning with inverse, which has its own")
        if self.loose != "auto" and not 0 <= self.loose <= 1:
            raise ValueError(f"loose is from 0 to 1, got {self.loose}")
        if self.parcellation and self.label_files:
            raise ValueError("choose one of parcellation and label_files")
        if bool(self.parcellation) != bool(self.subjects_dir):
            raise ValueError("parcellation and subjects_dir need each other")
        if self.mode != "auto" and not (self.parcellation or self.label_files):
            raise ValueError("mode has no meaning without labels")
        return self


def read_inverse(path: Path, raw: mne.io.BaseRaw) -> InverseOperator:
    """Read an inverse operator.

    Parameters
    ----------
    path : Path
        `-inv.fif`.
    raw : mne.io.Raw
        The prepared recording.

    Raises
    ------
    MissingData
        It cannot be read.
    Misaligned
        It needs channels that the recording has not; EEG was not referenced to its mean.
    """
    with reading(path):
        inverse = read_inverse_operator(path, verbose="WARNING")
    if lacking := sorted(set(inverse["info"]["ch_names"]) - set(raw.ch_names)):
        raise Misaligned(f"{path}: needs the channels {shown(lacking)}, which the recording has not, or as bad ones")
    _check_reference(raw, inverse["info"]["ch_names"])
    return inverse


def inverse_of_forward(
    path: Path, raw: mne.io.BaseRaw, noise: NoiseCovariance, *, loose: float | str = "auto", depth: float = 0.8
) -> InverseOperator:
    """Make an inverse operator of a forward model and the noise.

    Parameters
    ----------
    path : Path
        `-fwd.fif`.
    raw : mne.io.Raw
        The prepared recording.
    noise : NoiseCovariance
    loose, depth
        See `Sources`.

    Raises
    ------
    MissingData
        The file cannot be read.
    Misaligned
        It lacks channels of the recording, or does not allow the settings; EEG was not referenced to its mean.

    References
    ----------
    Oracle: `mne.minimum_norm.make_inverse_operator`.
    """
    with reading(path):
        forward = mne.read_forward_solution(path, verbose="WARNING")
    if lacking := [name for name in raw.ch_names if name not in set(forward["sol"]["row_names"])]:
        raise Misaligned(f"{path}: has no {shown(lacking)}; choose other `picks`, or mark them as bad")
    _check_reference(raw, raw.ch_names)
    if forward["src"].kind != "surface" and loose not in ("auto", 1.0):
        raise Misaligned(
            f"{path}: loose = {loose:g} is of surfaces; sources of kind {forward['src'].kind} have no normal"
        )
    _warn_of_shift(path, forward["info"]["dev_head_t"], raw.info["dev_head_t"])
    settings = {"loose": loose, "depth": depth or None, "rank": noise.rank}
    try:
        return make_inverse_operator(raw.info, forward, noise.covariance, **settings, verbose="WARNING")
    except (ValueError, RuntimeError) as error:
        raise Misaligned(f"{path}: mne makes no inverse operator of it with {settings}: {error}") from error


def source_estimates(inverse: InverseOperator, settings: Sources, labels: list[mne.Label]) -> SpatialFilter:
    """Give the filter that estimates sources.

    Parameters
    ----------
    inverse : InverseOperator
    settings : Sources
    labels : list of mne.Label
        No label: every source is a target.

    Returns
    -------
    sources : SpatialFilter
        Targets: vertices ("L-17") with `hemisphere`, `vertex`; sources in a volume ("V-17"); or labels, with
        `hemisphere`, `n_points`. All have `channel_type` "source" and `x, y, z` (m, head coordinates; the mean over a
        label's sources). Values: A m for MNE, else without unit; lengths where orientation is free or loose.

    Raises
    ------
    Misaligned
        Labels are asked for in a volume; surfaces and volumes are mixed.
    MissingData
        A label holds no source.

    References
    ----------
    Oracle: `mne.minimum_norm.apply_inverse_raw`, `mne.extract_label_time_course`.
    """
    kind, lambda2 = inverse["src"].kind, 1 / settings.snr**2
    if kind == "mixed":
        raise Misaligned("a source space of surfaces and volumes together; give a forward model of one of them")
    if kind != "surface" and (labels or settings.pick_ori):
        raise Misaligned(f"labels and pick_ori = 'normal' are of surfaces; the sources are of kind {kind}")
    prepared = prepare_inverse_operator(inverse, 1, lambda2, settings.method, verbose="WARNING")
    signed = settings.pick_ori == "normal" or inverse["source_ori"] == FIFF.FIFFV_MNE_FIXED_ORI
    mode = _mode(settings.mode, signed=signed)

    def estimate(part: mne.io.BaseRaw, start: int) -> np.ndarray:
        stop = min(start + CHUNK, part.n_times)
        found = apply_inverse_raw(
            part, prepared, lambda2, settings.method, start=start, stop=stop, pick_ori=settings.pick_ori,
            prepared=True, verbose="WARNING",
        )  # fmt: skip
        if labels:
            return mne.extract_label_time_course(found, labels, inverse["src"], mode=mode, verbose="WARNING").T
        return found.data.T  # (n_samples, n_sources)

    said = {
        "kind": kind,
        "n_sources": int(inverse["nsource"]),
        "n_channels": len(inverse["info"]["ch_names"]),
        "values": "signed" if signed else "lengths",
        **({"mode": mode} if labels else {}),
    }
    targets = _describe_labels(inverse, labels) if labels else _describe_sources(inverse)
    return SpatialFilter(targets, _in_chunks(estimate, len(targets)), said)


def read_labels(settings: Sources, files: list[Path], subjects_dir: Path, subject: str) -> list[mne.Label]:
    """Read the labels that sources are averaged over.

    Parameters
    ----------
    settings : Sources
    files : list of Path
        Label files.
    subjects_dir : Path
    subject : str
        FreeSurfer's name of the person, as the forward model has it.

    Raises
    ------
    MissingData
        A file is absent or cannot be read.
    """
    labels = []
    for path in files:
        with reading(path):
            labels.append(mne.read_label(path, verbose="WARNING"))
    if settings.parcellation:
        folder = subjects_dir / subject
        require_content(folder)
        with reading(folder):
            found = mne.read_labels_from_annot(
                subject, settings.parcellation, subjects_dir=subjects_dir, verbose="WARNING"
            )
        labels = [label for label in found if not label.name.startswith(("unknown", "???"))]
    return labels


def _in_chunks(
    estimate: Callable[[mne.io.BaseRaw, int], np.ndarray], n_targets: int
) -> Callable[[mne.io.BaseRaw], np.ndarray]:
    def apply(raw: mne.io.BaseRaw) -> np.ndarray:
        values = np.empty((raw.n_times, n_targets), dtype=np.float32)
        for start in range(0, raw.n_times, CHUNK):
            values[start : start + CHUNK] = estimate(raw, start)
        return values

    return apply


def _mode(mode: str, *, signed: bool) -> str:
    if mode == "auto":
        return "mean_flip" if signed else "mean"
    if mode == "mean_flip" and not signed:
        raise Misaligned("mean_flip is of signed sources; these are lengths: set pick_ori = 'normal' or mode = 'mean'")
    return mode


def _check_reference(raw: mne.io.BaseRaw, names: list[str]) -> None:
    """Refuse EEG against another reference than its mean, which the forward model cannot know."""
    if "eeg" in raw.get_channel_types(picks=names) and not has_average_reference(raw.info):
        raise Misaligned("sources of EEG are estimated against the mean of the electrodes: set reference = 'average'")


def _warn_of_shift(path: Path, forward: mne.Transform | None, recorded: mne.Transform | None) -> None:
    if forward is None or recorded is None:
        return
    shift = float(np.linalg.norm(forward["trans"][:3, 3] - recorded["trans"][:3, 3]))
    if shift > LARGEST_SHIFT:
        log.warning("%s: the head lay %.1f mm elsewhere in the recording than in the forward model", path, 1000 * shift)


def _places(inverse: InverseOperator) -> list[np.ndarray]:
    """Give the places of the sources in head coordinates, m; one (n_sources, 3) per hemisphere or volume."""
    places = [space["rr"][space["vertno"]] for space in inverse["src"]]
    if inverse["src"][0]["coord_frame"] == FIFF.FIFFV_COORD_MRI:
        places = [mne.transforms.apply_trans(inverse["mri_head_t"], of_space) for of_space in places]
    return places


def _describe_sources(inverse: InverseOperator) -> pd.DataFrame:
    vertices, places = [space["vertno"] for space in inverse["src"]], np.concatenate(_places(inverse))
    if inverse["src"].kind == "surface":
        tables = [
            pd.DataFrame({"target": [f"{letter}-{v}" for v in of_side], "hemisphere": side, "vertex": of_side})
            for (side, letter), of_side in zip(SIDES, vertices, strict=True)
        ]
    else:
        several = len(vertices) > 1
        tables = [
            pd.DataFrame({"target": [f"V{i_space + 1 if several else ''}-{v}" for v in of_space]})
            for i_space, of_space in enumerate(vertices)
        ]
    table = pd.concat(tables, ignore_index=True)
    table.insert(1, "channel_type", "source")
    table[["x", "y", "z"]] = places
    return table


def _describe_labels(inverse: InverseOperator, labels: list[mne.Label]) -> pd.DataFrame:
    rows = []
    by_side = dict(zip(("lh", "rh"), zip(inverse["src"], _places(inverse), strict=True), strict=True))
    for label in labels:
        sides = ("lh", "rh") if label.hemi == "both" else (label.hemi,)
        places = np.concatenate([_inside(label, side, *by_side[side]) for side in sides])
        rows.append(_described(label, places))
    if empty := [row["target"] for row in rows if row["n_points"] == 0]:
        raise MissingData(f"labels without a source of the forward model in them: {shown(empty)}; leave them out")
    table = pd.DataFrame(rows)
    if twice := sorted(set(table["target"][table["target"].duplicated()])):
        raise Misaligned(f"labels {twice} are there twice")
    return table


def _inside(label: mne.Label, side: str, space: dict[str, Any], places: np.ndarray) -> np.ndarray:
    vertices = (label.lh if side == "lh" else label.rh).vertices if label.hemi == "both" else label.vertices
    return places[np.isin(space["vertno"], vertices)]


def _described(label: mne.Label, places: np.ndarray) -> dict[str, Any]:
    centre = places.mean(axis=0) if len(places) else np.full(3, np.nan)
    side = {"lh": "left", "rh": "right"}.get(label.hemi, "both")
    named = {"target": label.name, "channel_type": "source", "hemisphere": side, "n_points": len(places)}
    return named | dict(zip("xyz", map(float, centre), strict=True))
