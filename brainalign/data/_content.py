"""Files of recordings: is there anything in them, can they be read to the end, which bytes were they."""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scipy.io.matlab import MatReadError

from brainalign.errors import BrainalignError, MissingData
from brainalign.files import sha256_of

log = logging.getLogger(__name__)

DAMAGES = (
    EOFError, OSError, ValueError, RuntimeError, IndexError, AttributeError, AssertionError, struct.error, zlib.error,
    MatReadError,
)  # fmt: skip
"""What the readers of mne and nibabel raise for files that are cut or that are something else."""

CUT = ("Invalid tag with only", "does not match the file size", "smaller than expected")
"""What the readers of mne only warn of when a file is cut: they go on with what is there."""


def require_content(path: Path) -> None:
    """Refuse a recording that is not there or is a stub.

    Raises
    ------
    MissingData
        No such file, a link whose content was not fetched, a file of 0 bytes, or a folder without files.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise MissingData(
            f"{path}: broken link to {path.readlink()}; fetch its content (datalad get, or git annex get)"
        )
    if not path.exists():
        raise MissingData(f"{path}: no such file")
    empty = not any(path.iterdir()) if path.is_dir() else path.stat().st_size == 0
    if empty:
        raise MissingData(f"{path}: empty, a stub without a recording; get the data set with its recordings")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file when a reader fails on it or says that it is cut, and log what else the reader warns of.

    Raises
    ------
    MissingData
        The file is a stub, is cut, or is not of its format.
    """
    require_content(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except BrainalignError:
            raise
        except DAMAGES as error:
            said = " ".join(str(error).split())[:500]
            raise MissingData(
                f"{path}: cannot be read ({type(error).__name__}: {said}); the file may be cut or damaged, "
                "compare its size with that of the published one"
            ) from error
    for warning in caught:
        said = " ".join(str(warning.message).split())
        if any(sign in said for sign in CUT):
            raise MissingData(f"{path}: cut or damaged: {said}")
        log.warning("%s: %s", path, said)


def sha256_of_inputs(paths: Iterable[Path], *, root: Path) -> dict[str, str]:
    """Give the sha256 of files, and of all files in folders, under their path below `root` where they are below it."""
    files = {file for path in paths for file in _files_of(Path(path))}
    return {_below(file, root): sha256_of(file) for file in sorted(files)}


def _files_of(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
