"""One cell after the other in this process; numerical libraries use all cores."""

from collections.abc import Callable, Iterable, Iterator

from brainalign.errors import BrainalignError
from brainalign.jobs.cells import Cell


def map_cells(function: Callable[[Cell], None], cells: Iterable[Cell]) -> Iterator[tuple[Cell, Exception | None]]:
    """Yield every cell with the error that stopped it, or None; a failed cell does not stop the others.

    Parameters
    ----------
    function : callable
        Computes a cell and writes it to a store.
    cells : iterable of Cell
        In an order in which every cell comes after those it reads.
    """
    for cell in cells:
        try:
            function(cell)
        except (BrainalignError, OSError, MemoryError) as error:
            yield cell, error
        else:
            yield cell, None
