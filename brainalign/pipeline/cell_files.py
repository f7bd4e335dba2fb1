"""What a cell's folder holds: arrays by name, one `.npy` each."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays into a folder that is there, each under its name."""
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote into a folder, by name."""
    return {path.stem: np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
