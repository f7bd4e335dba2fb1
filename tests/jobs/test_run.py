import os
import signal

import pytest

from brainalign.errors import BrainalignError
from brainalign.jobs.cells import Cell
from brainalign.jobs.run import run_cells
from brainalign.jobs.signals import Terminated, handled
from brainalign.jobs.store import Store

CELLS = [Cell(f"cell-{i}", {"i": i}) for i in range(4)]


def compute(cell, folder):
    (folder / "i.txt").write_text(str(cell.settings["i"]))


def test_a_rerun_does_only_what_is_missing(tmp_path):
    store = Store(tmp_path)
    assert run_cells(compute, CELLS[:2], store).computed == CELLS[:2]
    done = []
    outcome = run_cells(compute, CELLS, store, on_progress=lambda *what: done.append(what))
    assert outcome.stored == CELLS[:2]
    assert outcome.computed == CELLS[2:]
    assert outcome.complete
    assert done == [(3, 4, "cell-2"), (4, 4, "cell-3")]


def test_a_damaged_cell_is_done_again(tmp_path, caplog):
    store = Store(tmp_path)
    run_cells(compute, CELLS, store)
    (store.path(CELLS[1]) / "i.txt").write_text("edited")
    outcome = run_cells(compute, CELLS, store)
    assert outcome.computed == [CELLS[1]]
    assert "changed since it was written" in caplog.text
    assert (store.path(CELLS[1]) / "i.txt").read_text() == "1"


def test_a_failed_cell_does_not_stop_the_others(tmp_path):
    def fail_once(cell, folder):
        if cell == CELLS[1]:
            raise BrainalignError("layer 1 is not finite")
        compute(cell, folder)

    outcome = run_cells(fail_once, CELLS, Store(tmp_path))
    assert [cell for cell, _ in outcome.failed] == [CELLS[1]]
    assert outcome.computed == [CELLS[0], *CELLS[2:]]
    assert not outcome.complete


def test_cells_that_need_a_failed_one_are_not_tried(tmp_path):
    needing = Cell("needing", {}, needs=(CELLS[1].folder,))
    needing_that = Cell("needing that", {"x": 1}, needs=(needing.folder,))

    def fail_once(cell, folder):
        if cell == CELLS[1]:
            raise BrainalignError("the cause")
        compute(cell, folder)

    outcome = run_cells(fail_once, [*CELLS[:2], needing, needing_that], Store(tmp_path))
    assert [(cell, str(error)) for cell, error in outcome.failed] == [(CELLS[1], "the cause")]
    assert outcome.computed == [CELLS[0]]


def test_a_defect_of_ours_is_not_swallowed(tmp_path):
    def broken(cell, folder):
        raise TypeError("a defect")

    with pytest.raises(TypeError, match="a defect"):
        run_cells(broken, CELLS, Store(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_warning_before_walltime_stops_after_the_cell_in_flight(tmp_path, number):
    def signalled(cell, folder):
        if cell == CELLS[1]:
            os.kill(os.getpid(), number)
        compute(cell, folder)

    store = Store(tmp_path)
    with handled() as stop:
        outcome = run_cells(signalled, CELLS, store, stop=stop)
    assert outcome.computed == CELLS[:2]
    assert outcome.stopped_by == number.name
    assert not outcome.complete
    assert run_cells(compute, CELLS, store).computed == CELLS[2:]


def test_termination_drops_the_cell_in_flight_and_cleans_up(tmp_path):
    def terminated(cell, folder):
        compute(cell, folder)
        if cell == CELLS[1]:
            os.kill(os.getpid(), signal.SIGTERM)

    store = Store(tmp_path)
    with pytest.raises(Terminated), handled():
        run_cells(terminated, CELLS, store)
    assert store.finished() == [CELLS[0].folder]
    assert [p.name for p in tmp_path.iterdir()] == [CELLS[0].folder]


def test_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with handled():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
