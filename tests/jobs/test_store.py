import os
import signal
import subprocess
import sys
import threading

import pytest

from brainalign.errors import MissingData
from brainalign.jobs.cells import Cell
from brainalign.jobs.store import Store, problem_of, read_receipt

CELL = Cell("score-gpt2", {"layer": "3", "alphas": [1.0, 10.0]})


def write(store, text="result"):
    with store.writing(CELL) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(text)


def test_settings_decide_the_folder_whatever_their_order():
    same = Cell("score-gpt2", {"alphas": [1.0, 10.0], "layer": "3"})
    assert same == CELL
    assert hash(same) == hash(CELL)
    assert Cell("score-gpt2", {"layer": "4", "alphas": [1.0, 10.0]}) != CELL


def test_a_cell_exists_only_when_it_is_complete(tmp_path):
    store = Store(tmp_path)
    with store.writing(CELL) as folder:
        (folder / "a.txt").write_text("half")
        assert not store.has(CELL)
        assert store.finished() == []
    assert store.has(CELL)
    assert store.problem(CELL) is None
    assert store.finished() == [CELL.folder]
    assert read_receipt(store.path(CELL))["settings"] == CELL.settings


def test_a_failure_leaves_nothing(tmp_path):
    store = Store(tmp_path)

    def write_half():
        with store.writing(CELL) as folder:
            (folder / "a.txt").write_text("half")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        write_half()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "receipt"])
def test_damage_is_noticed(tmp_path, damage):
    store = Store(tmp_path)
    write(store)
    path = store.path(CELL) / "deep" / "a.txt"
    if damage == "truncate":
        os.truncate(path, 2)
    elif damage == "flip":
        path.write_text("Result")
    elif damage == "remove":
        path.unlink()
    else:
        (store.path(CELL) / "cell.json").write_text("{")
    assert problem_of(store.path(CELL))


def test_a_folder_without_a_receipt_is_no_cell(tmp_path):
    with pytest.raises(MissingData, match=r"cell\.json"):
        read_receipt(tmp_path)


def test_the_first_of_two_writers_wins(tmp_path):
    store = Store(tmp_path)
    with store.writing(CELL) as folder:
        (folder / "a.txt").write_text("slow")
        write(store, "fast")
    assert (store.path(CELL) / "deep" / "a.txt").read_text() == "fast"
    assert store.problem(CELL) is None
    assert store.finished() == [CELL.folder]


def test_many_writers_at_once_leave_one_whole_cell(tmp_path):
    store = Store(tmp_path)
    threads = [threading.Thread(target=write, args=(store,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.problem(CELL) is None
    assert [p.name for p in tmp_path.iterdir()] == [CELL.folder]


def test_leftovers_of_dead_processes_are_removed_and_those_of_the_living_kept(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from brainalign.jobs.cells import Cell
from brainalign.jobs.store import Store
with Store(Path({str(tmp_path)!r})).writing(Cell("x", {{}})) as folder:
    (folder / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    store = Store(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert store.finished() == []
    with store.writing(CELL) as mine:
        store.remove_leftovers()
        assert mine.exists()
        assert len(list(tmp_path.iterdir())) == 1


def test_a_read_only_folder_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), Store(tmp_path / "file").writing(CELL):  # noqa: PT011
        pass


def half_do(store, *, then=None):
    with store.half_done(CELL) as folder:
        (folder / "done.txt").write_text("0\n")
        if then is not None:
            raise then


def test_what_is_half_done_stays_until_the_cell_is_done(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        half_do(store, then=KeyboardInterrupt())
    store.remove_leftovers()
    with store.half_done(CELL) as folder:
        assert (folder / "done.txt").read_text() == "0\n"
    assert list(tmp_path.iterdir()) == []


def test_a_half_done_folder_that_holds_nothing_goes(tmp_path):
    def stop():
        with Store(tmp_path).half_done(CELL):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_share_what_is_half_done(tmp_path):
    store = Store(tmp_path)
    with store.half_done(CELL) as mine, store.half_done(CELL) as other:
        assert mine is not None
        assert other is None


def test_what_is_half_done_goes_when_the_cell_was_finished_elsewhere(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        half_do(store, then=KeyboardInterrupt())
    write(store)
    store.remove_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == [CELL.folder]
