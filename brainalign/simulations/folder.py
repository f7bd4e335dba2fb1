"""The results folder of a simulation: its tables, what they were computed from, and when they are complete.

`provenance.json` is written before the tables (`"finished": false`) and again after them, so that a run that was killed
in between is computed again and never read.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from brainalign import __version__
from brainalign.arrays import write_tsv
from brainalign.config import render
from brainalign.errors import BrainalignError
from brainalign.files import sha256_of, whole_file, write_file

PROVENANCE = "provenance.json"
NETWORKS = Path(__file__).parent.parent / "simulate"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


def provenance_of(path: Path, settings: dict) -> dict:
    """Say what decides the numbers of a simulation: its file, the networks' code, settings, versions.

    Parameters
    ----------
    path : Path
        Of its file.
    settings : dict
        JSON-able.
    """
    digests = [sha256_of(module) for module in sorted(NETWORKS.glob("*.py"))]
    return {
        "simulation": path.stem,
        "sha256": sha256_of(path),
        "simulate_sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
        "settings": settings,
        "brainalign": __version__,
        "versions": {name: version(name) for name in LIBRARIES},
    }


def claim(folder: Path, provenance: dict, *, overwrite: bool) -> None:
    """Make the folder if it is absent, and see to it that results may be written into it; nothing is removed.

    Raises
    ------
    BrainalignError
        It holds the results of other settings or code and `overwrite` is not given, or something that is no
        simulation's results, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = any(folder.iterdir())
    except OSError as error:
        raise BrainalignError(f"cannot write into {folder}: {error}") from None
    said = _said(folder)
    if not held or _without_tables(said) == provenance:
        return
    if "simulation" not in said:
        raise BrainalignError(
            f"{folder} is no results folder of a simulation; nothing in it is replaced: give another --out"
        )
    if not overwrite:
        raise BrainalignError(
            f"{folder} holds the results of other settings or code; give another --out, or --overwrite to replace them"
        )


def write_tables(folder: Path, tables: dict[str, pd.DataFrame], provenance: dict) -> None:
    """Put tables, and their settings as `config.toml`, in place of what the folder holds."""
    said = provenance | {"tables": list(tables)}
    for old in (*_said(folder).get("tables", ()), *tables):
        (folder / f"{old}.tsv").unlink(missing_ok=True)
    (folder / "report.html").unlink(missing_ok=True)
    _write(folder, said | {"finished": False})
    write_file(folder / "config.toml", render(provenance["settings"]))
    for name, table in tables.items():
        with whole_file(folder / f"{name}.tsv") as partial:
            write_tsv(table, partial)
    _write(folder, said | {"finished": True})


def read_tables(folder: Path, provenance: dict) -> dict[str, pd.DataFrame] | None:
    """Read the tables of a finished run of the same file, code, settings and versions; None where there is none."""
    said = _said(folder)
    if not said.get("finished") or _without_tables(said) != provenance:
        return None
    try:
        return {name: pd.read_csv(folder / f"{name}.tsv", sep="\t") for name in said["tables"]}
    except (FileNotFoundError, pd.errors.EmptyDataError, pd.errors.ParserError):
        return None


def _said(folder: Path) -> dict:
    """Read what a folder says of its results; nothing where that is absent or damaged."""
    try:
        said = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _without_tables(said: dict) -> dict:
    return {key: value for key, value in said.items() if key not in ("tables", "finished")}


def _write(folder: Path, said: dict) -> None:
    write_file(folder / PROVENANCE, json.dumps(said, indent=1, sort_keys=True) + "\n")
