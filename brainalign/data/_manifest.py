"""What a data set must consist of: its citation, licence, expected facts, and every file's bytes and sha256."""

import os
import tomllib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from brainalign.errors import BadConfig, MissingData, UnknownName
from brainalign.files import sha256_of

SHA256 = r"^[0-9a-f]{64}$"


class ManifestFile(BaseModel):
    """One published file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(description="below <data_dir>/<name>, with forward slashes")
    bytes: int = Field(ge=0, description="size")
    sha256: str = Field(pattern=SHA256, description="of the bytes")
    url: str = Field(description="public address; empty where none is known")

    @field_validator("path")
    @classmethod
    def _inside_its_folder(cls, path: str) -> str:
        parts = path.split("/")
        if "\\" in path or ":" in path or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"{path!r} must be a plain relative path: no '..', no leading '/', no backslash, no colon")
        return path


class Manifest(BaseModel):
    """A data set as it was published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9]+$", description="the manifest's file name, the folder's and the module's")
    title: str
    citation: str
    doi: str
    licence: str
    notes: tuple[str, ...] = Field((), description="what a user should know before using it")
    exclusions: dict[str, str] = Field({}, description="subject left out by default -> reason")
    facts: dict[str, Any] = Field({}, description="what the files hold; tested against them")
    files: tuple[ManifestFile, ...]

    @field_validator("files")
    @classmethod
    def _each_once(cls, files: tuple[ManifestFile, ...]) -> tuple[ManifestFile, ...]:
        paths = [file.path for file in files]
        if repeated := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"listed twice: {repeated}")
        return files

    @cached_property
    def by_path(self) -> dict[str, ManifestFile]:
        """Files by their path."""
        return {file.path: file for file in self.files}

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
        """Say what is wrong with a file on disk, with both hashes and the cure; None when it is the published one."""
        expected = self.file(path)
        local = Path(data_dir) / self.name / path
        if not local.is_file():
            return f"{local}: {_absence(local)} (sha256 {expected.sha256} expected); {self._cure(expected, data_dir)}"
        n_bytes = local.stat().st_size
        got = sha256_of(local)
        if got == expected.sha256:
            return None
        return (
            f"{local}: not the published file: {n_bytes} bytes, sha256 {got}; expected {expected.bytes} bytes, "
            f"sha256 {expected.sha256}; {self._cure(expected, data_dir)}"
        )

    def _cure(self, file: ManifestFile, data_dir: Path) -> str:
        if not file.url:
            return f"no public address of it is known, see the notes in {self.name}.toml"
        return f"get it with: brainalign fetch {self.name} --data-dir {data_dir}"


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
    """Read one manifest file.

    Raises
    ------
    BadConfig
        It is not TOML, a key is unknown or missing, or a value is not allowed; all problems at once.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return Manifest(name=path.stem, **table)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig([str(error)], str(path)) from None
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise BadConfig(problems, str(path)) from None


def check_files(name: str, data_dir: Path, paths: Iterable[str]) -> list[str]:
    """List every file of a data set that is absent or is not the published one, each with its cure."""
    manifest = load_manifest(name)
    return [problem for path in paths if (problem := manifest.problem(data_dir, path))]


def verified_files(name: str, data_dir: Path, paths: Iterable[str]) -> dict[str, Path]:
    """Give where files of a data set are on disk, having compared each with its published sha256.

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
        A file is absent or different: all of them are listed, with expected and got sha256.
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
    """Give the sha256 of files that were verified, under `<name>/<path>`."""
    manifest = load_manifest(name)
    return {f"{name}/{path}": manifest.file(path).sha256 for path in sorted(paths)}


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
