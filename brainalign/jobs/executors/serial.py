"""One cell after the other in this process; numerical libraries use all cores."""

from collections.abc import Callable, Iterable, Iterator

from brainalign.errors import BrainalignError
from brainalign.jobs.cells import Cell


def map_cells(function: Callable[[Cell], None], cells: Iterable[Cell]) -> Iterator[tuple[Cell, Exception | None]]:
    """Yield every cell with the error that stopped it, or None; the cells that need a failed one are not tried.

    What stops one cell only is an error of its data, of files or of memory; a defect of the program stops the run.

    Parameters
    ----------
    function : callable
        Computes a cell and writes it to a store.
    cells : iterable of Cell
        In an order in which every cell comes after those it reads.
    """
    failed: set[str] = set()
    for cell in cells:
        if failed.intersection(cell.needs):
            failed.add(cell.folder)
            continue
        try:
            function(cell)
        except (BrainalignError, OSError, MemoryError) as error:
            failed.add(cell.folder)
            yield cell, error
        else:
            yield cell, None
