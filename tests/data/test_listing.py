"""Lists of files beside a manifest: their form, and the addresses made from them."""

import gzip

import pytest
from pydantic import ValidationError

from brainalign.data._listing import Listing, read_listing
from brainalign.errors import BadConfig, MissingData

NAME = "toy2000.files.tsv.gz"
HEADER = "path\tbytes\talgorithm\tdigest\n"


def listing(url="https://example.org/d/{path}", file=NAME):
    return Listing(file=file, url=url, source="s")


def test_an_address_is_the_pattern_with_the_path_in_it():
    assert listing().url_of("sub-01/func/x_bold.nii.gz") == "https://example.org/d/sub-01/func/x_bold.nii.gz"
    assert listing().url_of("a+b c#%.wav") == "https://example.org/d/a%2Bb%20c%23%25.wav"
    assert listing("https://example.org/{path}?raw=1").url_of("a") == "https://example.org/a?raw=1"


@pytest.mark.parametrize(
    "url", ["https://example.org/d/", "https://example.org/{path}/{path}", "https://{path}/d", "{file}"]
)
def test_a_pattern_has_one_place_for_the_path_behind_the_server(url):
    with pytest.raises(ValidationError, match="once, behind the name of the server"):
        listing(url)


@pytest.mark.parametrize("file", ["../toy2000.files.tsv.gz", "/etc/x.files.tsv.gz", "toy2000.tsv"])
def test_a_list_lies_beside_its_manifest(file):
    with pytest.raises(ValidationError, match="file"):
        listing(file=file)


def test_rows_are_given_as_they_are(tmp_path):
    text = HEADER + f"b\t3\tmd5\t{'1' * 32}\na/ä\t0\tsha256\t{'2' * 64}\n"
    (tmp_path / NAME).write_bytes(gzip.compress(text.encode()))
    assert read_listing(listing(), tmp_path) == [
        {"path": "b", "bytes": 3, "md5": "1" * 32, "url": "https://example.org/d/b"},
        {"path": "a/ä", "bytes": 0, "sha256": "2" * 64, "url": "https://example.org/d/a/%C3%A4"},
    ]


def test_a_list_that_is_absent_or_damaged_is_named(tmp_path):
    with pytest.raises(MissingData, match=f"{NAME}: cannot be read"):
        read_listing(listing(), tmp_path)
    whole = gzip.compress(HEADER.encode() * 100)
    other_bytes = whole[:12] + b"\xff\xff" + whole[14:]
    for content in (whole[:-9], other_bytes, b"", HEADER.encode(), gzip.compress(b"\xff\xfe"), gzip.compress(b"")):
        (tmp_path / NAME).write_bytes(content)
        with pytest.raises(MissingData, match=f"{NAME}: cannot be read"):
            read_listing(listing(), tmp_path)


def test_other_columns_are_refused(tmp_path):
    (tmp_path / NAME).write_bytes(gzip.compress(b"path\tsize\tmd5\n"))
    with pytest.raises(BadConfig, match="expected the columns"):
        read_listing(listing(), tmp_path)
