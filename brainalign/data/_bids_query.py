"""Which files of a BIDS folder are meant: names taken apart, one file per run, and the sidecars that apply to it.

References
----------
Gorgolewski et al. (2016). The brain imaging data structure, a format for organizing and describing outputs of
neuroimaging experiments. Scientific Data 3:160044. doi:10.1038/sdata.2016.44
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainalign.arrays import read_tsv
from brainalign.errors import MissingData, UnknownName

ENTITY = re.compile(r"^([A-Za-z0-9]+)-([A-Za-z0-9+]+)$")
RUN_ENTITIES = ("ses", "task", "run")
"""What tells the recordings of one person apart, in the order in which they are told."""

NUMBERS = {"run", "split", "echo"}
"""Entities whose labels are numbers: run-1 and run-01 are one; task-1 and task-01 are two."""


@dataclass(frozen=True)
class BidsFile:
    """A file whose name is made of entities: `sub-01_task-story_run-2_bold.nii.gz`.

    Parameters
    ----------
    path : Path
    entities : dict
        Short name to label as written, e.g. {"sub": "01", "task": "story", "run": "2"}.
    suffix : str
        "bold".
    extension : str
        ".nii.gz", from the first point on.
    """

    path: Path
    entities: dict[str, str]
    suffix: str
    extension: str

    @property
    def run(self) -> str:
        """The run's name, the same for everybody: "ses-1_task-story_run-2", without what the file name lacks."""
        return "_".join(f"{name}-{self.entities[name]}" for name in RUN_ENTITIES if name in self.entities)


@dataclass(frozen=True)
class Query:
    """What is looked for among the files of a person.

    Parameters
    ----------
    datatype : str
        The folder: "meg", "eeg", "func".
    suffix : str
    extensions : tuple of str
        Compared without regard to case.
    among : dict
        Entity to the labels that are taken: {"task": ("story",)}. Entities that are not named may have any label.
    fixed : dict
        Entity to its one label; "" for files without the entity.
    """

    datatype: str
    suffix: str
    extensions: tuple[str, ...]
    among: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)

    def accepts(self, file: BidsFile) -> bool:
        """Tell whether a file is one of those that are looked for."""
        named = {name: _comparable(name, label) for name, label in file.entities.items()}
        return (
            self.is_of_kind(file)
            and all(
                named.get(name) in {_comparable(name, label) for label in labels} for name, labels in self.among.items()
            )
            and all(named.get(name, "") == _comparable(name, label) for name, label in self.fixed.items())
        )

    def is_of_kind(self, file: BidsFile) -> bool:
        """Tell whether a file is a recording of a task, whatever its labels; crosstalk matrices, for one, are not."""
        return file.suffix == self.suffix and file.extension.lower() in self.extensions and "task" in file.entities

    def __str__(self):
        wanted = [f"{name}-{'|'.join(labels)}" for name, labels in self.among.items()]
        wanted += [f"{name}-{label}" if label else f"no {name}" for name, label in self.fixed.items()]
        return f"{self.datatype}/*_{self.suffix}{'|'.join(self.extensions)} ({', '.join(wanted) or 'any entities'})"


def parse_name(path: Path) -> BidsFile | None:
    """Take a file name apart; None where it is no BIDS name."""
    stem, point, extension = path.name.partition(".")
    *parts, suffix = stem.split("_")
    matches = [ENTITY.match(part) for part in parts]
    if not matches or not all(matches) or not suffix.isalnum():
        return None
    return BidsFile(path, dict(match.groups() for match in matches), suffix, point + extension)


def subjects_of(root: Path) -> list[str]:
    """List the labels of the people who have a folder, and of those whom participants.tsv names; sorted."""
    folders = {path.name.removeprefix("sub-") for path in root.glob("sub-*") if path.is_dir()}
    return sorted((folders | set(participants_of(root))) - {"emptyroom"})


def participants_of(root: Path) -> dict[str, dict[str, Any]]:
    """Read participants.tsv: label to the other cells of the row; empty where there is no such file.

    Raises
    ------
    MissingData
        The table is damaged or has no column `participant_id`.
    """
    path = root / "participants.tsv"
    if not path.is_file():
        return {}
    table = read_tsv(path, dtype={"participant_id": str})
    if "participant_id" not in table:
        raise MissingData(f"{path}: column ['participant_id'] missing, the columns are {list(table)}")
    labels = table.pop("participant_id").str.removeprefix("sub-")
    return dict(zip(labels, table.to_dict("records"), strict=True))


def chosen_from(root: Path, requested: tuple[str, ...] | str) -> list[str]:
    """Turn the setting `subjects` into labels, sorted.

    Raises
    ------
    UnknownName
        Somebody has no folder and is not in participants.tsv.
    MissingData
        There is nobody.
    """
    present = subjects_of(root)
    if requested != "all":
        for subject in requested:
            if subject not in present:
                raise UnknownName(f"subject of {root}", subject, present)
        return sorted(requested)
    if not present:
        raise MissingData(f"{root}: no folder sub-*; is this the top of a BIDS data set?")
    return present


def find_runs(root: Path, subject: str, query: Query) -> dict[str, BidsFile]:
    """Find the recordings of a person, one per run.

    Parameters
    ----------
    root : Path
        Top of the BIDS folder, or of a folder of derivatives.
    subject : str
        Without "sub-".
    query : Query

    Returns
    -------
    files : dict
        Name of the run to its file, in the order of session, task and run.

    Raises
    ------
    MissingData
        Nothing is found; two files match one run, all are listed.
    """
    known = _files_below(root / f"sub-{subject}", query.datatype)
    found = [file for file in known if query.accepts(file)]
    if not found:
        of_kind = sorted(file.path.name for file in known if query.is_of_kind(file))
        there = f"there are {', '.join(of_kind[:8])}{' ...' * (len(of_kind) > 8)}" if of_kind else "there is none"
        raise MissingData(f"subject {subject}: no file matches {query} below {root / f'sub-{subject}'}; {there}")
    groups: dict[tuple, list[BidsFile]] = {}
    for file in _first_parts(found):
        groups.setdefault(_order(file), []).append(file)
    for files in groups.values():
        if len(files) > 1:
            listed = "\n".join(f"  {file.path}" for file in sorted(files, key=lambda file: file.path))
            raise MissingData(
                f"subject {subject}: {len(files)} files match one run; choose by `entities`, or remove all but one:\n"
                f"{listed}"
            )
    return {groups[key][0].run: groups[key][0] for key in sorted(groups)}


def sidecars(root: Path, file: BidsFile, suffix: str, extension: str) -> list[Path]:
    """Give the files that apply to a recording by BIDS's inheritance principle, the nearest last.

    A file applies when it lies in the recording's folder or above it and has no entity that the recording does not
    have with the same label.

    Parameters
    ----------
    root : Path
        Top of the BIDS folder; need not be the one in which the recording lies.
    file : BidsFile
        The recording.
    suffix, extension : str
        Of what is looked for, e.g. "events", ".tsv".

    Raises
    ------
    MissingData
        Two files of one folder apply and neither is more specific.
    """
    own = {name: _comparable(name, label) for name, label in file.entities.items()}
    folder, folders = root, [root]
    session = file.entities.get("ses")
    for part in (f"sub-{file.entities['sub']}", *([f"ses-{session}"] if session else ()), file.path.parent.name):
        folder = folder / part
        folders.append(folder)
    found = []
    for folder in folders:
        of_folder = {}
        for path in sorted(folder.glob(f"*{suffix}{extension}")) if folder.is_dir() else ():
            entities = {} if path.name == suffix + extension else _applying(path, suffix, own)
            if entities is None:
                continue
            if len(entities) in of_folder:
                raise MissingData(f"two files apply to {file.path}, keep one:\n  {of_folder[len(entities)]}\n  {path}")
            of_folder[len(entities)] = path
        found += [of_folder[n_entities] for n_entities in sorted(of_folder)]
    return found


def metadata_of(root: Path, file: BidsFile) -> tuple[dict[str, Any], list[Path]]:
    """Read the JSON sidecars of a recording, nearer ones overriding, and say which they were.

    Raises
    ------
    MissingData
        A sidecar is not JSON, or not a table of names and values.
    """
    merged: dict[str, Any] = {}
    paths = sidecars(root, file, file.suffix, ".json")
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise MissingData(f"{path}: not JSON: {error}") from None
        if not isinstance(content, dict):
            raise MissingData(f"{path}: expected names and values, got {type(content).__name__}")
        merged |= content
    return merged, paths


def _files_below(folder: Path, datatype: str) -> list[BidsFile]:
    paths = [*folder.glob(f"{datatype}/*"), *folder.glob(f"ses-*/{datatype}/*")]
    return [file for path in sorted(paths) if (file := parse_name(path)) is not None]


def _applying(path: Path, suffix: str, own: Mapping[str, str]) -> dict[str, str] | None:
    """Give the entities of a sidecar that applies to a recording of the entities `own`, else None."""
    file = parse_name(path)
    if file is None or file.suffix != suffix:
        return None
    applies = all(own.get(name) == _comparable(name, label) for name, label in file.entities.items())
    return file.entities if applies else None


def _first_parts(files: Iterable[BidsFile]) -> list[BidsFile]:
    """Leave out the later parts of recordings that were split over files: the reader follows the first."""
    files = list(files)
    first: dict[tuple, int] = {}
    for file in files:
        if "split" in file.entities:
            first[_order(file)] = min(first.get(_order(file), 10**9), int(file.entities["split"]))
    return [
        file for file in files if "split" not in file.entities or int(file.entities["split"]) == first[_order(file)]
    ]


def _order(file: BidsFile) -> tuple[tuple[bool, int, str], ...]:
    """Give session, task and run to sort by: 2 is before 10, and run-1 and run-01 are one."""
    labels = (_comparable(name, file.entities.get(name, "")) for name in RUN_ENTITIES)
    return tuple((not label.isdigit(), int(label) if label.isdigit() else 0, label) for label in labels)


def _comparable(name: str, label: str) -> str:
    """Write a label so that equal ones are equal: runs are numbers, other labels are text."""
    return str(int(label)) if name in NUMBERS and label.isdigit() else label
