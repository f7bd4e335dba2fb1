"""The tables of a results folder, each read from its file once."""

from pathlib import Path

import pandas as pd

from brainalign.results import read_table


class Tables:
    """Tables by name: `tables["scores"]`, `"places" in tables`.

    What is given out may be changed: it is a copy.

    Parameters
    ----------
    folder : Path
        As `run_experiment` leaves it.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._read:
            self._read[name] = read_table(self.folder, name)
        return self._read[name].copy(deep=False)

    def get(self, name: str) -> pd.DataFrame | None:
        """Give a table that not every run has, or None."""
        there = name in self
        return self[name] if there else None

    def __contains__(self, name: str) -> bool:
        return (self.folder / f"{name}.tsv").exists()
