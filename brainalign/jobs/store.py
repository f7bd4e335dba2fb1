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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brainalign.errors import MissingData
from brainalign.files import flush, sha256_of
from brainalign.jobs.cells import Cell

RECEIPT = "cell.json"
HALF = ".half."
LOCK = "lock"


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

    def problem(self, cell: Cell) -> str | None:
        """Say what is wrong with a finished cell (a file missing, changed), or None."""
        return problem_of(self.path(cell))

    def discard(self, cell: Cell) -> None:
        """Remove a finished cell, its receipt first so that it never looks complete."""
        (self.path(cell) / RECEIPT).unlink(missing_ok=True)
        shutil.rmtree(self.path(cell), ignore_errors=True)

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
