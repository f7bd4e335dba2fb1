"""Experiment files that ship with the package."""

import importlib.resources
from pathlib import Path

from brainalign.errors import UnknownName


def packaged_analysis(name: str) -> Path:
    """Path of an experiment file that ships with the package.

    Raises
    ------
    UnknownName
        There is no such analysis.
    """
    known = {path.stem: path for path in analysis_files()}
    if name not in known:
        raise UnknownName("packaged analysis", name, known)
    return known[name]


def analysis_files(pattern: str = "*.toml") -> list[Path]:
    """Files that ship, experiment files by default: `analyses/` of a checkout, or its copy in an installed package."""
    package = Path(str(importlib.resources.files("brainalign")))
    installed, checkout = package / "analyses", package.parent / "analyses"
    return sorted((installed if installed.is_dir() else checkout).glob(pattern))
