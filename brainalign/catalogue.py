"""What there is to work with, and what is known of it: data sets, extractors, packaged analyses.

Nothing here imports what computes, so that `brainalign info` answers at once.
"""

import ast
import importlib.util
from pathlib import Path

from brainalign.data import DATASETS
from brainalign.data._manifest import Manifest, in_bytes, load_manifest, manifest_names
from brainalign.extract import EXTRACTORS
from brainalign.pipeline.packaged import analysis_files


def describe_data_set(name: str) -> str:
    """Title, citation, licence, facts and files of a data set, as text.

    Raises
    ------
    UnknownName
        No data set and no manifest has this name.
    """
    if name in DATASETS and name not in manifest_names():
        return f"{name}: {_docstring_of(name)}"
    manifest = load_manifest(name)
    lines = [
        f"{manifest.name}: {manifest.title}",
        f"citation: {manifest.citation}",
        f"doi: {manifest.doi}",
        f"licence: {manifest.licence}",
        *(f"note: {note}" for note in manifest.notes),
        *(f"left out by default: {who}: {why}" for who, why in manifest.exclusions.items()),
        *(f"{fact} = {value}" for fact, value in manifest.facts.items()),
        *(f"{what} = {published.value} [{published.source}]" for what, published in manifest.published.items()),
        f"{len(manifest.files)} files, {in_bytes(sum(file.bytes for file in manifest.files))}",
        *_more_files(manifest),
        "loader: " + ("yes" if name in DATASETS else "not yet"),
    ]
    return "\n".join(lines)


def _docstring_of(name: str) -> str:
    """Read the docstring of a data set without importing what it loads with."""
    source = Path(importlib.util.find_spec(f"brainalign.data.{name}").origin)
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))


def _more_files(manifest: Manifest) -> list[str]:
    """Say what `fetch` gets only when it is asked for, and where the files are that it cannot get."""
    lines = []
    if manifest.listed:
        size = in_bytes(sum(file.bytes for file in manifest.listed))
        lines.append(f"{len(manifest.listed)} more files with --include PATTERN, {size} ({manifest.listing.source})")
    if manifest.deposit:
        lines.append(f"deposited at {manifest.deposit.url}: {manifest.deposit.terms}")
    return lines


def list_everything() -> str:
    """Names of data sets, extractors and packaged analyses."""
    return "\n".join(
        [
            f"data sets:  {', '.join(sorted({*DATASETS, *manifest_names()}))}",
            f"extractors: {', '.join(EXTRACTORS)}",
            f"analyses:   {', '.join(path.stem for path in analysis_files())}",
            "`brainalign info NAME` describes a data set, `brainalign init FILE --like ANALYSIS` writes an experiment",
        ]
    )
