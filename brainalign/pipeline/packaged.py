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


def analysis_files() -> list[Path]:
    """Experiment files that ship: `analyses/` of a checkout, or its copy inside an installed package."""
    package = Path(str(importlib.resources.files("brainalign")))
    installed, checkout = package / "analyses", package.parent / "analyses"
    return sorted((installed if installed.is_dir() else checkout).glob("*.toml"))
