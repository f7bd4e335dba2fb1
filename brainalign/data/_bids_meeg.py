"""MEG and EEG of a BIDS folder: each run read by mne-bids, with its bad channels and its bad spans."""

import logging
import warnings
from pathlib import Path

import mne
import mne_bids

from brainalign.data._bids_query import BidsFile, metadata_of, parse_name, sidecars
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

JOINTS = ("edge", "boundary", "new segment")
"""How names begin of marks where a recording goes on after a pause or a cut: of mne, EEGLAB, BrainVision."""

JOINT = "EDGE boundary"  # mne's name of them

WITHOUT_HEADER = (".nwb", ".mefd")
"""Formats whose header is not read by itself."""

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


def require_header(root: Path, file: BidsFile) -> None:
    """Read the header of a recording where that does not read the recording itself.

    Parameters
    ----------
    root : Path
        Top of the BIDS folder in which the recording lies.
    file : BidsFile

    Raises
    ------
    MissingData
        A file is a stub or not there, the header cannot be read, or it tells of another duration than the sidecar.
    """
    paths = inputs_of(file)
    extension = file.extension.lower()
    if extension in WITHOUT_HEADER or (extension == ".set" and len(paths) == 1):
        return
    with reading(file.path):
        raw = _open(file)
    _check_duration(raw, root, file)


def empty_room(root: Path, file: BidsFile) -> BidsFile:
    """Give the empty-room recording that belongs to a recording of MEG: by its sidecar, else by its date.

    Raises
    ------
    MissingData
        There is none.

    References
    ----------
    `mne_bids.BIDSPath.find_empty_room`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of recordings without a date: none is found then, which is told below
            found = _bids_path(root, file).find_empty_room(verbose="ERROR")
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingData(f"{file.path}: its empty-room recording is not found: {error}") from error
    if found is None:
        raise MissingData(f"{file.path}: no empty-room recording belongs to it, by AssociatedEmptyRoom or by its date")
    return parse_name(Path(found.fpath))


def read_raw(root: Path, file: BidsFile) -> mne.io.BaseRaw:
    """Read one run: channels, their types and which are bad as in channels.tsv, spans that are bad as annotations.

    The spans are those of events.tsv (`trial_type` begins with "BAD") and those marked in the file itself. Where the
    file says that stretches were put together, there is a mark "EDGE boundary", which filters do not cross.

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
    with reading(file.path):
        raw = _with_its_channels(_bids_path(root, file), file)
        if file.extension.lower() in WITH_ANNOTATIONS:
            _add_marks_of(file, raw)
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


def _bids_path(root: Path, file: BidsFile) -> mne_bids.BIDSPath:
    return mne_bids.BIDSPath(
        root=root,
        datatype=file.path.parent.name,
        suffix=file.suffix,
        extension=file.extension,
        check=False,
        **{ENTITIES[name]: label for name, label in file.entities.items()},
    )


def _open(file: BidsFile) -> mne.io.BaseRaw:
    """Open the file by itself, without its sidecars."""
    more = {"allow_maxshield": True} if file.extension == ".fif" else {}
    return mne.io.read_raw(file.path, preload=False, verbose="ERROR", **more)


def _add_marks_of(file: BidsFile, raw: mne.io.BaseRaw) -> None:
    """Add what the file itself marks as bad, or as a joint, to the annotations of what was read from it."""
    marked = _open(file)
    known = {(round(mark["onset"], 3), mark["description"]) for mark in raw.annotations}
    for mark in marked.annotations:
        description, duration = str(mark["description"]), mark["duration"]
        seconds = mark["onset"] - marked.first_time
        if description.lower().startswith(JOINTS):
            if not 0 < seconds < raw.times[-1]:
                continue  # where the recording begins or ends anyway
            description, duration = JOINT, 0.0
        elif not description.lower().startswith("bad"):
            continue
        onset = seconds + raw.first_time  # of annotations, as of samples, from first_samp
        if (round(onset, 3), description) not in known:
            raw.annotations.append(onset, duration, description)


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
