"""What a data set must consist of: its citation, licence, expected facts, and every file's bytes and digest."""

import hashlib
import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from brainalign.data._listing import Listing, read_listing
from brainalign.errors import BadConfig, MissingData, UnknownName

SHA256 = r"^[0-9a-f]{64}$"
MD5 = r"^[0-9a-f]{32}$"


class ManifestFile(BaseModel):
    """One published file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(description="below <data_dir>/<name>, with forward slashes")
    bytes: int = Field(ge=0, description="size")
    sha256: str | None = Field(None, pattern=SHA256, description="of the bytes")
    md5: str | None = Field(
        None, pattern=MD5, description="of the bytes, where the archive gives no sha256: it finds damage, not forgery"
    )
    url: str = Field(description="public address; empty where none is known")

    @field_validator("path")
    @classmethod
    def _inside_its_folder(cls, path: str) -> str:
        parts = path.split("/")
        if "\\" in path or ":" in path or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{path!r} must be a plain relative path: no '..', no leading '/', no backslash, no colon")
        return path

    @model_validator(mode="after")
    def _one_digest(self) -> Self:
        if (self.sha256 is None) == (self.md5 is None):
            raise ValueError(f"{self.path}: needs a sha256 or an md5, one of them")
        return self

    @property
    def algorithm(self) -> str:
        """Kind of the digest: "sha256" or "md5"."""
        return "md5" if self.sha256 is None else "sha256"

    @property
    def digest(self) -> str:
        """What the algorithm makes of the published bytes."""
        return self.md5 if self.sha256 is None else self.sha256


class Published(BaseModel):
    """Something that was published of a data set and that its files here cannot show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Any
    source: str = Field(min_length=1, description="where it was read")


class Deposit(BaseModel):
    """The archive that has a data set, where no list of its files is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    url: str = Field(pattern="^https://", description="its page")
    terms: str = Field(min_length=1, description="under which terms it gives the files")


class Manifest(BaseModel):
    """A data set as it was published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_]+$", description="the manifest's file name, the folder's and the module's")
    title: str
    citation: str
    doi: str
    licence: str
    notes: tuple[str, ...] = Field((), description="what a user should know before using it")
    exclusions: dict[str, str] = Field(
        {}, description="subject, or recording (its file's name up to the suffix), left out by default -> reason"
    )
    facts: dict[str, Any] = Field({}, description="what the files hold; tested against them")
    published: dict[str, Published] = Field({}, description="what others found or say of it, with the source of each")
    files: tuple[ManifestFile, ...] = Field((), description="what fetch gets without being asked for more")
    listing: Listing | None = Field(None, description="a list of further files, too large to be fetched unasked")
    listed: tuple[ManifestFile, ...] = Field((), description="the files of the listing, filled in by read_manifest")
    deposit: Deposit | None = None

    @model_validator(mode="after")
    def _each_file_once(self) -> Self:
        counts = Counter(file.path for file in self.all_files)
        if repeated := sorted(path for path, n in counts.items() if n > 1):
            raise ValueError(f"listed twice: {repeated}")
        if not self.files and not self.listing and not self.deposit:
            raise ValueError("no files: say in `deposit` where they are")
        return self

    @property
    def all_files(self) -> tuple[ManifestFile, ...]:
        """The files that are always fetched, then those of the listing."""
        return self.files + self.listed

    @cached_property
    def by_path(self) -> dict[str, ManifestFile]:
        """All files by their path."""
        return {file.path: file for file in self.all_files}

    def file(self, path: str) -> ManifestFile:
        """Look a file up.

        Raises
        ------
        UnknownName
            The data set has no such file.
        """
        if path not in self.by_path:
            raise UnknownName(f"file of {self.name}", path, self.by_path)
        return self.by_path[path]

    def problem(self, data_dir: Path, path: str) -> str | None:
        """Say what is wrong with a file on disk, with both digests and the cure; None when it is the published one."""
        expected = self.file(path)
        local = Path(data_dir) / self.name / path
        if not local.is_file():
            wanted = f"{expected.algorithm} {expected.digest} expected"
            return f"{local}: {_absence(local)} ({wanted}); {self._cure(expected, data_dir)}"
        got = digest_of(local, expected.algorithm)
        if got == expected.digest:
            return None
        return f"{local}: not the published file: {difference(expected, local, got)}; {self._cure(expected, data_dir)}"

    def _cure(self, file: ManifestFile, data_dir: Path) -> str:
        if not file.url:
            return f"no public address of it is known, see the notes in {self.name}.toml"
        chosen = f" --include '{file.path}'" if self.listed and file not in self.files else ""
        return f"get it with: brainalign fetch {self.name}{chosen} --data-dir {data_dir}"


def digest_of(path: Path, algorithm: str) -> str:
    """Digest of a file's bytes, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


def difference(expected: ManifestFile, local: Path, got: str) -> str:
    """Say in which way a file on disk, whose digest is `got`, is another one than expected."""
    return (
        f"{local.stat().st_size} bytes, {expected.algorithm} {got}; "
        f"expected {expected.bytes} bytes, {expected.algorithm} {expected.digest}"
    )


def in_bytes(n_bytes: int) -> str:
    """Write a size for people: 3.0 kB, 138.9 GB."""
    size, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{n_bytes} bytes" if unit == "bytes" else f"{size:.1f} {unit}"


def _absence(path: Path) -> str:
    """Say in which way a file is not there."""
    if path.is_symlink():
        return f"broken link to {path.readlink()}"
    if path.exists():
        return "not a file"
    siblings = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
    same = [name for name in siblings if name.lower() == path.name.lower()]
    return f"no such file, but there is {same[0]!r}" if same else "no such file"


def manifest_folder() -> Path:
    """Give the folder of the manifests: inside the installed package, or at the top of the repository.

    Raises
    ------
    MissingData
        It is at neither place.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "data_manifests", package.parent / "data_manifests"):
        if folder.is_dir():
            return folder
    raise MissingData(f"{package / 'data_manifests'}: the manifests are missing; reinstall brainalign")


def manifest_names() -> list[str]:
    """List the data sets that have a manifest."""
    return sorted(path.stem for path in manifest_folder().glob("*.toml"))


def load_manifest(name: str) -> Manifest:
    """Read the manifest of a data set.

    Raises
    ------
    UnknownName
        There is none of that name.
    BadConfig
        It is not valid.
    """
    if name not in manifest_names():
        raise UnknownName("data set", name, manifest_names())
    return read_manifest(manifest_folder() / f"{name}.toml")


def read_manifest(path: Path) -> Manifest:
    """Read one manifest file, and the list of files that it names.

    Raises
    ------
    BadConfig
        It is not TOML, a key is unknown or missing, or a value is not allowed; all problems at once.
    MissingData
        The list that it names is not beside it.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadConfig([str(error)], str(path)) from None
    manifest = _validated({"name": path.stem, **table}, path)
    if manifest.listing is None:
        return manifest
    listed = read_listing(manifest.listing, path.parent)
    return _validated(dict(manifest) | {"listed": listed}, path.parent / manifest.listing.file)


def _validated(table: dict[str, Any], source: Path) -> Manifest:
    try:
        return Manifest(**table)
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise BadConfig(problems, str(source)) from None


def check_files(name: str, data_dir: Path, paths: Iterable[str]) -> list[str]:
    """List every file of a data set that is absent or is not the published one, each with its cure."""
    manifest = load_manifest(name)
    return [problem for path in paths if (problem := manifest.problem(data_dir, path))]


def verified_files(name: str, data_dir: Path, paths: Iterable[str]) -> dict[str, Path]:
    """Give where files of a data set are on disk, having compared each with its published digest.

    Parameters
    ----------
    name : str
        The data set.
    data_dir : Path
        The folder that holds `<name>/`.
    paths : iterable of str
        As in the manifest.

    Returns
    -------
    local : dict
        Path in the manifest to path on disk.

    Raises
    ------
    MissingData
        A file is absent or different: all of them are listed, with the digests expected and got.
    """
    paths = list(paths)
    problems = check_files(name, data_dir, paths)
    if problems:
        raise MissingData("\n".join(problems))
    return {path: Path(data_dir) / name / PurePosixPath(path) for path in paths}


def verified(name: str, data_dir: Path, relative_path: str) -> Path:
    """Give where one file is on disk; see `verified_files`."""
    return verified_files(name, data_dir, [relative_path])[relative_path]


def provenance_of(name: str, paths: Iterable[str]) -> dict[str, str]:
    """Give the digest of files that were verified, under `<name>/<path>`: the sha256, or "md5:" and the md5."""
    manifest = load_manifest(name)
    files = [manifest.file(path) for path in sorted(paths)]
    return {f"{name}/{file.path}": file.sha256 or f"md5:{file.md5}" for file in files}


def chosen_subjects(
    manifest: Manifest, requested: Sequence[str] | Literal["all"], *, present: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Turn the setting `subjects` into a list, leaving out by default whom the manifest excludes.

    Parameters
    ----------
    manifest : Manifest
    requested : sequence of str or "all"
        Somebody who is excluded takes part only when named.
    present : iterable of str
        Everybody the data set has.

    Returns
    -------
    subjects : list of str
        Sorted, so that the order of asking changes no result.
    warnings : list of str
        Why somebody who was named is left out by default.

    Raises
    ------
    UnknownName
        Somebody is not in the data set.
    """
    present = sorted(present)
    if requested == "all":
        return [subject for subject in present if subject not in manifest.exclusions], []
    for subject in requested:
        if subject not in present:
            raise UnknownName(f"subject of {manifest.name}", subject, present)
    named = [subject for subject in sorted(requested) if subject in manifest.exclusions]
    return sorted(requested), [f"{s} is left out by default: {manifest.exclusions[s]}" for s in named]


def distinct_subjects(subjects: Sequence[str] | Literal["all"]) -> Sequence[str] | Literal["all"]:
    """Check a setting `subjects`, for the `Config` of data sets with individuals.

    Raises
    ------
    ValueError
        Nobody is named, or somebody is named twice.
    """
    if subjects != "all" and (not subjects or len(set(subjects)) != len(subjects)):
        raise ValueError(f"needs at least one subject, and nobody twice; got {list(subjects)}")
    return subjects


def require_folder(data_dir: Path | str | None) -> Path:
    """Give the data folder the user named.

    Raises
    ------
    MissingData
        It was not named, or is not a folder.
    """
    if not data_dir or not Path(data_dir).is_dir():
        shown = f"{os.fspath(data_dir)} is not a folder" if data_dir else "no data folder was named"
        raise MissingData(f"{shown}: give a folder with --data-dir, or in the environment variable BRAINALIGN_DATA")
    return Path(data_dir)


def deposited_folder(name: str, folder: str, data_dir: Path | str | None) -> Path:
    """Give the folder of a data set that lies below the data folder, or anywhere where its path is absolute.

    Raises
    ------
    MissingData
        It is not there; where the deposit is.
    """
    path = require_folder(data_dir) / Path(folder).expanduser()
    if not path.is_dir():
        deposit = load_manifest(name).deposit
        raise MissingData(f"{path}: no such folder; get the data set from {deposit.url} ({deposit.terms})")
    return path.resolve()
