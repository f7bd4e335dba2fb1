"""Downloads: a file appears under its name only when it is the published one."""

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from brainalign.data._manifest import Manifest, ManifestFile, difference, digest_of, in_bytes, load_manifest
from brainalign.errors import BadConfig, MissingData, did_you_mean
from brainalign.files import flush

log = logging.getLogger(__name__)

TIMEOUT = (5.0, 30.0)  # s, to connect and between two packets
N_ATTEMPTS = 4
CHUNK = 2**16  # bytes
ABANDONED = 24 * 3600.0  # s after which a partial download of a killed process is removed
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Progress = Callable[[str, int, int], None]


class _TryAgain(Exception):
    """The server is busy, or the connection broke off."""


def fetch(name: str, data_dir: Path, *, include: Sequence[str] = (), progress: Progress | None = None) -> list[Path]:
    """Download what is missing of a data set, and check every byte.

    Files that are already right are not downloaded again, so a second call goes on where a first one stopped. Nothing
    is ever unpacked.

    Parameters
    ----------
    name : str
        The data set.
    data_dir : Path
        Gets a folder `<name>`.
    include : sequence of str
        Patterns of the files that are wanted, see `chosen_files`.
    progress : callable, optional
        Called with (path of the file, bytes so far, bytes in all).

    Returns
    -------
    local : list of Path
        Files that were downloaded. Files without a public address are named in a logged warning, and left out.

    Raises
    ------
    BadConfig
        A pattern matches no file.
    MissingData
        No list of the files is known, or there is not enough space for them; no connection; or the files that could not
        be had (status, or both digests), after all others were fetched.
    """
    return fetch_files(load_manifest(name), data_dir, include=include, progress=progress)


def chosen_files(manifest: Manifest, include: Sequence[str] = ()) -> tuple[ManifestFile, ...]:
    """Choose files of a data set by patterns of their paths.

    Parameters
    ----------
    manifest : Manifest
    include : sequence of str
        Patterns of the shell for whole paths, e.g. 'sub-001/*' or '*_task-pieman_*'; `*` goes across folders. Without
        any, everything but the listing.

    Returns
    -------
    files : tuple of ManifestFile
        In the order of the manifest.

    Raises
    ------
    BadConfig
        A pattern matches no file; what is nearest is named.
    MissingData
        No list of the files is known. It names the archive that has them.
    """
    if not manifest.all_files:
        raise MissingData(
            f"{manifest.name}: no list of its files is known, so they cannot be fetched. They are at "
            f"{manifest.deposit.url}: {manifest.deposit.terms}"
        )
    if not include:
        return manifest.files
    matching = {pattern: {path for path in manifest.by_path if fnmatchcase(path, pattern)} for pattern in include}
    if problems := [_no_match(manifest, pattern) for pattern, paths in matching.items() if not paths]:
        raise BadConfig(problems, "--include")
    chosen = set().union(*matching.values())
    return tuple(file for file in manifest.all_files if file.path in chosen)


def files_to_fetch(manifest: Manifest, data_dir: Path, *, include: Sequence[str] = ()) -> list[ManifestFile]:
    """Find which files of a choice are not on disk as they were published; see `chosen_files`."""
    return [file for file in chosen_files(manifest, include) if manifest.problem(data_dir, file.path)]


def _no_match(manifest: Manifest, pattern: str) -> str:
    """Say that a pattern matches nothing, and which of its words, or else which path, comes next to it."""
    paths = list(manifest.by_path)
    words = {word for path in paths for word in re.split("[/_]", path)}
    wanted = [word for word in re.split(r"[/_*?\[\]]", pattern) if word]
    unknown = [word for word in wanted if not any(word in path for path in paths)]
    hints = [f"nothing in it is called {word!r}{did_you_mean(word, words)}" for word in unknown]
    near = get_close_matches(pattern, paths, n=1, cutoff=0.0)[0]
    return f"no file of {manifest.name} matches {pattern!r}: " + (
        "; ".join(hints) or f"a pattern is one of whole paths, such as {near!r}"
    )


def fetch_files(
    manifest: Manifest,
    data_dir: Path,
    *,
    include: Sequence[str] = (),
    progress: Progress | None = None,
    allow_loopback_http: bool = False,
    wait: float = 1.0,
) -> list[Path]:
    """Download the files of a manifest, having logged how many they are and how large; see `fetch`.

    Parameters
    ----------
    manifest : Manifest
    data_dir : Path
    include : sequence of str
    progress : callable, optional
    allow_loopback_http : bool
        Accept `http` addresses of this machine. Everything else must be `https`.
    wait : float
        Seconds before the second attempt, doubled before each further one.
    """
    folder = Path(data_dir) / manifest.name
    wrong = files_to_fetch(manifest, data_dir, include=include)
    for file in wrong:
        if not file.url:
            log.warning("%s: no public address is known; see the notes of the manifest", folder / file.path)
    wanted = [file for file in wrong if file.url]
    n_total = sum(file.bytes for file in wanted)
    log.info("%s: %d files to fetch, %s", folder, len(wanted), in_bytes(n_total))
    session = _Session(progress, n_total, allow_loopback_http, wait)
    local, refused = [], []
    with _partial_folder(folder) as partial:
        _require_space(folder, n_total)
        for i_file, file in enumerate(wanted, start=1):
            log.info("%d of %d: %s, %s", i_file, len(wanted), file.path, in_bytes(file.bytes))
            target = _target(folder, file)
            try:
                session.download(file, partial / "download")
            except MissingData as error:
                if session.unreachable:
                    raise
                refused.append(f"{target}: {error}")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            (partial / "download").replace(target)
            local.append(target)
    if refused:
        raise MissingData("\n".join([f"{len(refused)} of {len(wanted)} files could not be fetched", *refused]))
    return local


@dataclass
class _Session:
    """What is shared by the downloads of one call: how far it is, and whether there is a network at all."""

    progress: Progress | None
    n_total: int
    allow_loopback_http: bool
    wait: float
    n_done: int = 0
    connected: bool = False
    unreachable: bool = False

    def download(self, file: ManifestFile, partial: Path) -> None:
        """Write the published bytes of one file to `partial`, or raise MissingData and leave nothing there."""
        self._refuse_insecure(file.url)
        try:
            for i_attempt in range(N_ATTEMPTS):
                if i_attempt:
                    time.sleep(self.wait * 2 ** (i_attempt - 1))
                try:
                    self._attempt(file, partial)
                    break
                except _TryAgain as error:
                    log.info("%s: %s (attempt %d of %d)", file.url, error, i_attempt + 1, N_ATTEMPTS)
                    reason = str(error)
            else:
                raise MissingData(f"{file.url}: {reason}, {N_ATTEMPTS} times; try again later")
            _refuse_other_bytes(file, partial)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        flush(partial)
        self.n_done += file.bytes

    def _attempt(self, file: ManifestFile, partial: Path) -> None:
        from pooch import HTTPDownloader

        meter = _Meter(file, partial, self)
        downloader = HTTPDownloader(
            progressbar=meter, chunk_size=CHUNK, timeout=TIMEOUT, hooks={"response": self._inspect}
        )
        try:
            downloader(file.url, str(partial), None)
        except OSError as error:  # what requests raises is an OSError without a number; a full disk has one
            if error.errno is not None:
                raise
            if not self.connected:
                self.unreachable = True
                raise MissingData(
                    f"{file.url}: no connection ({type(error).__name__}); fetch on a machine with a network, "
                    "e.g. the login node, or copy the files here"
                ) from None
            raise _TryAgain(f"the connection broke off ({type(error).__name__})") from None

    def _inspect(self, response, **_) -> None:
        """Look at a response before its body is read: its status, and where it redirects to."""
        self.connected = True
        status = response.status_code
        if response.is_redirect:
            self._refuse_insecure(urljoin(response.url, response.headers["location"]))
        elif status == 429 or status >= 500:
            raise _TryAgain(f"status {status} {response.reason}")
        elif status != 200:
            cure = {403: "access is forbidden", 404: "the file is not there any more"}.get(status, "unexpected answer")
            raise MissingData(f"{response.url}: status {status} {response.reason}: {cure}; see the manifest's citation")

    def _refuse_insecure(self, url: str) -> None:
        parts = urlsplit(url)
        local = self.allow_loopback_http and parts.scheme == "http" and parts.hostname in LOOPBACK
        if parts.scheme != "https" and not local:
            raise MissingData(f"{url}: only https addresses are fetched")


@dataclass
class _Meter:
    """Pooch's progress bar: passes progress on, and stops a server that sends more than was published."""

    file: ManifestFile
    partial: Path
    session: _Session
    total: int = 0  # set by pooch from the header; not to be believed

    def update(self, n_bytes: int) -> None:  # noqa: ARG002 - pooch says its chunk size, whatever was written
        """Look at how much was written."""
        n_written = self.partial.stat().st_size
        if n_written > self.file.bytes:
            raise MissingData(
                f"{self.file.url}: sends more than the {self.file.bytes} bytes that were published; stopped"
            )
        if self.session.progress:
            self.session.progress(self.file.path, self.session.n_done + n_written, self.session.n_total)

    def reset(self) -> None:
        """Do nothing: what is written stays written."""

    def close(self) -> None:
        """Do nothing: there is no bar to take down."""


def _refuse_other_bytes(file: ManifestFile, partial: Path) -> None:
    got = digest_of(partial, file.algorithm)
    if got == file.digest:
        return
    with partial.open("rb") as opened:
        page = opened.read(256).lstrip().lower().startswith((b"<!doctype html", b"<html"))
    hint = "; it is a web page, perhaps a login" if page else ""
    raise MissingData(f"{file.url}: not the published file, refused: {difference(file, partial, got)}{hint}")


def _require_space(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise MissingData(
            f"{folder}: {in_bytes(n_bytes)} to fetch, {in_bytes(free)} free; name fewer files, or another data folder"
        )


def _target(folder: Path, file: ManifestFile) -> Path:
    """Give where a file goes, which must be inside the folder when links are followed, too."""
    target = folder / file.path
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise MissingData(f"{target}: a link leads out of {folder}; nothing is written there")
    return target


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside the files for what is not complete yet, and clean up after killed processes."""
    folder.mkdir(parents=True, exist_ok=True)
    for abandoned in folder.glob(".partial-*"):
        if time.time() - abandoned.stat().st_mtime > ABANDONED:
            shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        yield Path(partial)
