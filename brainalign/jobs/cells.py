"""One unit of work as data."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True, eq=False)
class Cell:
    """Settings in, one folder out.

    Parameters
    ----------
    name : str
        For people: `extract-gpt2-trained`, `score-gpt2-trained-3`.
    settings : dict
        JSON-able; everything that decides the result, including the folders of the cells it reads. Two cells with equal
        settings are the same cell.
    needs : tuple of str
        Folder names of the cells whose results it reads.
    """

    name: str
    settings: dict[str, Any]
    needs: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Sha256 of the settings, whatever the order they were written in."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    @property
    def folder(self) -> str:
        """Name of the folder that the finished cell has in a store."""
        return f"{self.name}-{self.key[:16]}"
