"""Run the cells that are not finished yet."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainalign.jobs import EXECUTORS
from brainalign.jobs.cells import Cell
from brainalign.jobs.signals import StopRequest
from brainalign.jobs.store import Store

log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What became of a run: cells computed, found finished, failed with what error, and not reached."""

    computed: list[Cell] = field(default_factory=list)
    stored: list[Cell] = field(default_factory=list)
    failed: list[tuple[Cell, Exception]] = field(default_factory=list)
    stopped_by: str = ""

    @property
    def complete(self) -> bool:
        """Whether every cell is finished."""
        return not self.failed and not self.stopped_by


def run_cells(
    compute: Callable[[Cell, Path], None],
    cells: Sequence[Cell],
    store: Store,
    *,
    executor: str = "serial",
    stop: StopRequest | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Outcome:
    """Compute the cells that the store lacks or holds damaged; finished ones are not touched.

    Parameters
    ----------
    compute : callable
        `compute(cell, folder)` writes the cell's files into an empty folder.
    cells : sequence of Cell
        In an order in which every cell comes after those it reads.
    store : Store
    executor : str
        A name of `EXECUTORS`.
    stop : StopRequest, optional
        When it becomes true, the run ends after the cell in flight.
    on_progress : callable, optional
        Called with (cells done, cells in all, name of the cell) after every cell.
    """
    outcome = Outcome()
    store.remove_leftovers()
    missing = []
    for cell in cells:
        problem = store.problem(cell) if store.has(cell) else "not finished"
        if problem is None:
            outcome.stored.append(cell)
            continue
        if store.path(cell).exists():
            log.warning("%s: %s; it is computed again", cell.folder, problem)
            store.discard(cell)
        missing.append(cell)

    def compute_and_store(cell: Cell) -> None:
        with store.writing(cell) as folder:
            compute(cell, folder)

    for cell, error in EXECUTORS[executor].map_cells(compute_and_store, missing):
        if error is None:
            outcome.computed.append(cell)
        else:
            log.error("%s failed: %s", cell.name, error)
            outcome.failed.append((cell, error))
        if on_progress:
            on_progress(len(outcome.stored) + len(outcome.computed), len(cells), cell.name)
        if stop:
            outcome.stopped_by = stop.name
            log.warning("%s: stopping after %s; run again to continue", stop.name, cell.name)
            break
    return outcome
