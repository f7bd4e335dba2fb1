"""Stimuli through a model part by part: rows go to their place at once, and what is done stays done."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from brainalign.errors import BrainalignError
from brainalign.files import flush, write_file

log = logging.getLogger(__name__)

DONE = "done.txt"
DIVISION = "parts.txt"
SECONDS = 10.0  # between lines of progress


class Part(NamedTuple):
    """What goes through a model at once (a batch of images, a piece of a recording), and which rows it gives."""

    start: int
    stop: int
    item: Any
    name: str  # for errors: 'image "cat.png" (run 1, event 3)'


def fill(
    parts: Sequence[Part],
    compute: Callable[[Any], dict[str, np.ndarray]],
    *,
    n_rows: int,
    scratch: Path | None = None,
) -> dict[str, np.ndarray]:
    """Compute parts in turn and put their rows in place, layer by layer.

    With `scratch`, layers are memory maps there, and parts that an interrupted call finished are not computed again:
    the result is the same to the last bit. Memory is then that of one part.

    Parameters
    ----------
    parts : sequence of Part
        Their rows do not overlap, and together they are all.
    compute : callable
        Gives `{layer: array of shape (part.stop - part.start, width)}` for a part's `item`, the same layers each time.
    n_rows : int
    scratch : Path, optional
        A folder for this very extraction: same stimuli, settings, weights and parts.

    Returns
    -------
    layers : dict of str to float32 array of shape (n_rows, width)

    Raises
    ------
    BrainalignError
        A value that is not finite (its layer and part are named), rows that do not fit the part.
    """
    done = set() if scratch is None else _done(scratch, parts)
    layers = {} if scratch is None else {p.stem: np.load(p, mmap_mode="r+") for p in sorted(scratch.glob("*.npy"))}
    began = told = time.monotonic()
    for i_part, part in enumerate(parts):
        if i_part in done:
            continue
        for name, values in compute(part.item).items():
            values = _checked(np.asarray(values), part, name)
            if name not in layers:
                layers[name] = _room(scratch, name, (n_rows, values.shape[1]))
            layers[name][part.start : part.stop] = values
        _note(scratch, i_part, layers)
        if time.monotonic() - told > SECONDS:
            told = time.monotonic()
            n_done = i_part + 1 - len(done)
            left = (told - began) / n_done * (len(parts) - i_part - 1)
            log.info("%d of %d parts, %.0f s to go", i_part + 1, len(parts), left)
    return layers


def _done(scratch: Path, parts: Sequence[Part]) -> set[int]:
    """Read which of these very parts are done; what other parts (of another batch size) left is removed."""
    scratch.mkdir(parents=True, exist_ok=True)
    division = hashlib.sha256(repr([(part.start, part.stop, part.name) for part in parts]).encode()).hexdigest()
    done, of_parts = scratch / DONE, scratch / DIVISION
    if done.exists() and of_parts.exists() and of_parts.read_text(encoding="ascii") == division:
        lines, _, cut = done.read_text(encoding="ascii").rpartition("\n")
        if cut:  # the next line must not be written to its end
            write_file(done, f"{lines}\n" if lines else "")
        return {int(line) for line in lines.split()}
    done.unlink(missing_ok=True)
    for leftover in scratch.glob("*.npy"):
        leftover.unlink()
    write_file(of_parts, division)
    return set()


def _room(scratch: Path | None, name: str, shape: tuple[int, int]) -> np.ndarray:
    if scratch is None:
        return np.empty(shape, dtype=np.float32)
    return np.lib.format.open_memmap(scratch / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape)


def _note(scratch: Path | None, i_part: int, layers: dict[str, np.ndarray]) -> None:
    """Write down that a part is done, after its rows are on the disk."""
    if scratch is None:
        return
    for values in layers.values():
        values.flush()
    with (scratch / DONE).open("a", encoding="ascii") as file:
        file.write(f"{i_part}\n")
        file.flush()
        os.fsync(file.fileno())
    flush(scratch)


def _checked(values: np.ndarray, part: Part, layer: str) -> np.ndarray:
    if values.ndim != 2 or len(values) != part.stop - part.start:
        raise BrainalignError(
            f"layer {layer}: {part.name} gave {values.shape}, expected ({part.stop - part.start}, width)"
        )
    if not np.isfinite(values).all():
        raise BrainalignError(f"layer {layer}: the activations of {part.name} are not finite")
    return values
