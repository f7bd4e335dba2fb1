"""Finished cells on disk: a cell's folder exists only when it is complete.

A cell is written into a hidden folder beside its place, every file is flushed to the disk, and the folder is renamed.
A process that dies at any moment leaves at most a hidden folder, which the next run removes; of two processes that
compute the same cell the first to finish wins. A cell that takes hours may keep what it has half done in a folder of
its own, which the next run goes on with.
"""

import fcntl
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from brainalign.errors import BrainalignError, MissingData
from brainalign.files import flush, sha256_of
from brainalign.jobs.cells import Cell

RECEIPT = "cell.json"
HALF = ".half."
LOCK = "lock"
IN_USE = ".in_use"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Store:
    """A folder of finished cells.

    Parameters
    ----------
    root : Path
        Made when the first cell is written.
    """

    def __init__(self, root: Path):
        self.root = Path(root)

    def path(self, cell: Cell) -> Path:
        """Where the cell's result is, or will be."""
        return self.root / cell.folder

    def has(self, cell: Cell) -> bool:
        """Whether the cell is finished."""
        return (self.path(cell) / RECEIPT).exists()

    @contextmanager
    def writing(self, cell: Cell) -> Iterator[Path]:
        """Give an empty hidden folder; it becomes the cell's folder when the block ends well."""
        hidden = self.root / f".{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}"
        hidden.mkdir(parents=True)
        try:
            yield hidden
            files = sorted(p for p in hidden.rglob("*") if p.is_file())
            receipt = {
                "name": cell.name,
                "settings": cell.settings,
                "sha256": {p.relative_to(hidden).as_posix(): sha256_of(p) for p in files},
            }
            (hidden / RECEIPT).write_text(json.dumps(receipt, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            for path in (*files, hidden / RECEIPT, *(p for p in hidden.rglob("*") if p.is_dir()), hidden):
                flush(path)
            self._publish(hidden, self.path(cell))
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def _publish(self, hidden: Path, final: Path) -> None:
        try:
            hidden.rename(final)
        except OSError:
            if not (final / RECEIPT).exists():  # not another process that finished the same cell first
                raise
        flush(self.root)

    @contextmanager
    def half_done(self, cell: Cell) -> Iterator[Path | None]:
        """Give a hidden folder that stays when the block does not end well, and is given again the next time.

        None while another process, on this machine or another that locks the same file system, has it.
        """
        folder = self.root / f"{HALF}{cell.folder}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield None
                return
            done = False
            try:
                yield folder
                done = True
            finally:
                if done or [path.name for path in folder.iterdir()] == [LOCK]:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `alone` from other processes inside the block; where the file system has no locks, nothing is kept."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / IN_USE).open("a") as lock:
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that uses the store inside the block.

        Raises
        ------
        BrainalignError
            Another process, on this machine or another that locks the same file system, is using it.
        """
        with (self.root / IN_USE).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BrainalignError(f"{self.root}: a run is going on here; wait for its end") from None
            except OSError as error:
                raise BrainalignError(f"{self.root}: cannot tell whether a run is going on here: {error}") from None
            yield

    def others(self, cells: Sequence[Cell]) -> list[str]:
        """Folder names of cells, finished or half done, that are none of these."""
        wanted = {cell.folder for cell in cells}
        half = sorted(p.name for p in self.root.glob(f"{HALF}*") if p.name.removeprefix(HALF) not in wanted)
        return [*(name for name in self.finished() if name not in wanted), *half]

    def bytes_of(self, name: str) -> int:
        """Size of the files of a cell's folder, 0 where there is none."""
        return sum(path.stat().st_size for path in (self.root / name).rglob("*") if path.is_file())

    def remove(self, name: str) -> None:
        """Remove a cell by the name of its folder, its receipt first so that it never looks complete."""
        (self.root / name / RECEIPT).unlink(missing_ok=True)
        shutil.rmtree(self.root / name, ignore_errors=True)

    def problem(self, cell: Cell) -> str | None:
        """Say what is wrong with a finished cell (a file missing, changed), or None."""
        return problem_of(self.path(cell))

    def discard(self, cell: Cell) -> None:
        """Remove a finished cell."""
        self.remove(cell.folder)

    def remove_leftovers(self) -> None:
        """Remove the hidden folders of processes of this machine that are gone."""
        for hidden in self.root.glob(f".{socket.gethostname()}.*"):
            pid = hidden.name.removeprefix(f".{socket.gethostname()}.").split(".")[0]
            if not pid.isdigit() or not _is_running(int(pid)):
                shutil.rmtree(hidden, ignore_errors=True)
        for folder in self.root.glob(f"{HALF}*"):
            if (self.root / folder.name.removeprefix(HALF) / RECEIPT).exists():
                shutil.rmtree(folder, ignore_errors=True)

    def finished(self) -> list[str]:
        """Folder names of all finished cells."""
        return sorted(p.parent.name for p in self.root.glob(f"[!.]*/{RECEIPT}"))


def read_receipt(folder: Path) -> dict:
    """Give the settings and hashes that a finished cell was written with.

    Raises
    ------
    MissingData
        The folder is no finished cell.
    """
    try:
        return json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        raise MissingData(f"{folder}: no readable {RECEIPT}; run again to redo the cell") from None


def problem_of(folder: Path) -> str | None:
    """Say which file of a finished cell is missing or changed, or None."""
    try:
        receipt = read_receipt(folder)
    except MissingData as error:
        return str(error)
    for name, expected in receipt["sha256"].items():
        if not (folder / name).exists():
            return f"{name} is missing"
        if sha256_of(folder / name) != expected:
            return f"{name} changed since it was written"
    return None
