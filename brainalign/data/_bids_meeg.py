"""MEG and EEG of a BIDS folder: each run read by mne-bids, with its bad channels and its bad spans."""

import logging
from pathlib import Path

import mne
import mne_bids

from brainalign.data._bids_query import BidsFile, metadata_of, sidecars
from brainalign.data._content import reading, require_content
from brainalign.errors import Misaligned, MissingData

log = logging.getLogger(__name__)

EXTENSIONS = {
    "meg": (".fif", ".ds", ".sqd", ".con"),
    "eeg": (".vhdr", ".edf", ".bdf", ".set"),
    "ieeg": (".vhdr", ".edf", ".set", ".nwb", ".mefd"),
}
TYPES = {"meg": ("mag", "grad"), "eeg": ("eeg",), "ieeg": ("seeg", "ecog", "dbs")}
"""Channel types of a datatype; a recording need not have all of them."""

WITH_ANNOTATIONS = (".fif", ".vhdr", ".edf", ".bdf", ".set")
"""Formats that hold spans marked as bad in the file itself, which mne-bids replaces by those of events.tsv."""

COMPANIONS = {".vhdr": (".eeg", ".vmrk"), ".set": (".fdt",)}
"""Files that belong to the one that is named; an .fdt may be missing."""

LONGEST_ROUNDING = 1.0
"""Seconds by which the duration in a sidecar may differ from the file's: sidecars are often in whole seconds."""

ENTITIES = {
    "sub": "subject",
    "ses": "session",
    "task": "task",
    "acq": "acquisition",
    "run": "run",
    "proc": "processing",
    "rec": "recording",
    "space": "space",
    "split": "split",
    "desc": "description",
}


def inputs_of(file: BidsFile) -> list[Path]:
    """Give the files that a recording consists of, and its table of channels.

    Raises
    ------
    MissingData
        One of them is a stub or is not there.
    """
    paths = [file.path]
    for extension in COMPANIONS.get(file.extension.lower(), ()):
        companion = file.path.with_suffix(extension)
        if extension != ".fdt" or companion.exists():
            paths.append(companion)
    for path in paths:
        require_content(path)
    return paths


def read_raw(root: Path, file: BidsFile) -> mne.io.BaseRaw:
    """Read one run: channels, their types and which are bad as in channels.tsv, spans that are bad as annotations.

    The spans are those of events.tsv (`trial_type` begins with "BAD") and those marked in the file itself.

    Parameters
    ----------
    root : Path
        Top of the BIDS folder in which the recording lies.
    file : BidsFile

    Returns
    -------
    raw : mne.io.Raw
        Not loaded; its first sample is at 0 s.

    Raises
    ------
    MissingData
        A file is a stub, cut, or cannot be read; it is shorter or longer than its sidecar says.
    Misaligned
        channels.tsv names other channels than the recording has.
    """
    inputs_of(file)
    unknown = sorted(set(file.entities) - set(ENTITIES))
    if unknown:
        raise MissingData(f"{file.path}: mne-bids knows no entity {unknown}; it knows {sorted(ENTITIES)}")
    path = mne_bids.BIDSPath(
        root=root,
        datatype=file.path.parent.name,
        suffix=file.suffix,
        extension=file.extension,
        check=False,
        **{ENTITIES[name]: label for name, label in file.entities.items()},
    )
    with reading(file.path):
        raw = _with_its_channels(path, file)
        if file.extension.lower() in WITH_ANNOTATIONS:
            _add_spans_marked_in(file, raw)
    _check_duration(raw, root, file)
    return raw


def _with_its_channels(path: mne_bids.BIDSPath, file: BidsFile) -> mne.io.BaseRaw:
    """Read a run; channels.tsv goes by name, in any order."""
    try:
        return mne_bids.read_raw_bids(path, on_ch_mismatch="reorder", verbose="WARNING")
    except (RuntimeError, ValueError) as error:
        if "hannel name" in str(error) or "is not in list" in str(error):
            said = " ".join(str(error).split())
            raise Misaligned(f"{file.path}: its channels.tsv names other channels than the recording: {said}") from None
        raise


def _add_spans_marked_in(file: BidsFile, raw: mne.io.BaseRaw) -> None:
    """Add the spans that the file itself marks as bad to the annotations of what was read from it."""
    more = {"allow_maxshield": True} if file.extension == ".fif" else {}
    marked = mne.io.read_raw(file.path, preload=False, verbose="ERROR", **more)
    for span in marked.annotations:
        if span["description"].lower().startswith("bad"):
            onset = span["onset"] - marked.first_time + raw.first_time  # of annotations, as of samples, from first_samp
            raw.annotations.append(onset, span["duration"], span["description"])


def _check_duration(raw: mne.io.BaseRaw, root: Path, file: BidsFile) -> None:
    """Refuse a recording of another length than its sidecar says: a file that was cut may read as a shorter one."""
    stated = metadata_of(root, file)[0].get("RecordingDuration")
    if not isinstance(stated, int | float):
        return
    seconds = raw.n_times / raw.info["sfreq"]
    if abs(seconds - stated) > LONGEST_ROUNDING:
        raise MissingData(
            f"{file.path}: {seconds:g} s are in the file, RecordingDuration of its sidecar is {stated:g} s; "
            "the file may be cut"
        )


def types_of(raw: mne.io.BaseRaw, datatype: str) -> tuple[str, ...]:
    """Give the channel types of a datatype that a recording has.

    Raises
    ------
    MissingData
        It has none of them.
    """
    there = set(raw.get_channel_types())
    types = tuple(kind for kind in TYPES[datatype] if kind in there)
    if not types:
        wanted = " or ".join(TYPES[datatype])
        raise MissingData(f"{raw.filenames[0]}: no channel of type {wanted}, only {sorted(there)}")
    return types


def sidecars_of(root: Path, file: BidsFile) -> list[Path]:
    """Give the sidecars that a recording was read with."""
    return [*sidecars(root, file, file.suffix, ".json"), *sidecars(root, file, "channels", ".tsv")]
