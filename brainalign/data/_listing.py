"""Lists of published files, shipped compressed beside a manifest: path, bytes and digest of each."""

import gzip
import zlib
from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.errors import BadConfig, MissingData

HEADER = ("path", "bytes", "algorithm", "digest")
PATH = "{path}"  # in the pattern of addresses


class Listing(BaseModel):
    """Where a list of files is, and how the address of a file is made from its path."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    file: str = Field(pattern=r"^[A-Za-z0-9_]+\.files\.tsv\.gz$", description="name of the list, beside the manifest")
    url: str = Field(description="address of a file, with {path} in the place of its path")
    source: str = Field(description="what was listed: archive, data set, commit")

    @field_validator("url")
    @classmethod
    def _has_a_place_for_the_path(cls, url: str) -> str:
        if url.count(PATH) != 1 or PATH in urlsplit(url).netloc:
            raise ValueError(f"{url!r} must have {PATH} once, behind the name of the server")
        return url

    def url_of(self, path: str) -> str:
        """Give the address of a file."""
        return self.url.replace(PATH, quote(path))


def read_listing(listing: Listing, folder: Path) -> list[dict]:
    """Read a list of files.

    Parameters
    ----------
    listing : Listing
    folder : Path
        That of the manifests.

    Returns
    -------
    files : list of dict
        `path`, `bytes`, `url` and the digest under the name of its algorithm, e.g. `md5`, as they are in the list: they
        are checked where they become files of a manifest.

    Raises
    ------
    MissingData
        The list is not there or is damaged.
    BadConfig
        A line has not the four cells path, bytes, algorithm, digest.
    """
    path = folder / listing.file
    try:
        header, *lines = gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise MissingData(f"{path}: cannot be read ({type(error).__name__}: {error}); reinstall brainalign") from None
    rows = [line.split("\t") for line in lines]
    if tuple(header.split("\t")) != HEADER:
        raise BadConfig([f"line 1: expected the columns {list(HEADER)}, got {header.split(chr(9))}"], str(path))
    problems = [
        f"line {i_line}: expected {len(HEADER)} cells, the second a number, got {row}"
        for i_line, row in enumerate(rows, start=2)
        if len(row) != len(HEADER) or not row[1].isascii() or not row[1].isdigit()
    ]
    if problems:
        raise BadConfig(problems, str(path))
    return [
        {"path": name, "bytes": int(n_bytes), algorithm: digest, "url": listing.url_of(name)}
        for name, n_bytes, algorithm, digest in rows
    ]
