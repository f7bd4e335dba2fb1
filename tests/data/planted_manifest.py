"""A manifest whose files are those that a test wrote: the real one's facts, the planted files' digests."""

from brainalign.data import _manifest
from brainalign.data._manifest import Manifest, ManifestFile, Published, digest_of


def plant(monkeypatch, name, data_dir, *, listed=(), published=None, **changes):
    """Let the data set `name` have the files that are below `data_dir/name` now, and `listed`, which are not there."""
    read, real = _manifest.read_manifest, _manifest.load_manifest(name)
    root = data_dir / name
    files = [
        ManifestFile(
            path=path.relative_to(root).as_posix(),
            bytes=path.stat().st_size,
            sha256=digest_of(path, "sha256"),
            md5=None,
            url="https://example.org/x",
        )
        for path in sorted(root.rglob("*"))
        if path.is_file()
    ]
    there = {file.path for file in files}
    absent = [
        ManifestFile(path=path, bytes=1, sha256=None, md5="0" * 32, url="https://example.org/x")
        for path in listed
        if path not in there
    ]
    known = real.published | {key: Published(value=value, source="test") for key, value in (published or {}).items()}
    fields = {key: getattr(real, key) for key in Manifest.model_fields}
    manifest = Manifest(**(fields | {"files": (), "listed": files + absent, "published": known} | changes))
    monkeypatch.setattr(_manifest, "read_manifest", lambda path: manifest if path.stem == name else read(path))
    return manifest
