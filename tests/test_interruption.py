"""A run that dies at any moment shows nothing half-written, and a rerun gives the bytes of an uninterrupted run."""

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from brainalign import report
from brainalign.config import parse_experiment
from brainalign.jobs.store import IN_USE, problem_of
from brainalign.results import run_experiment

WORDS = ("rate", "length", "log_frequency", "position_in_run")
TABLE = {
    "name": "interrupted",
    "data": {"set": "simulated", "n_subjects": 3},
    "features": {name: {"extractor": "words", "quantities": [name]} for name in WORDS},
    "align": {"delays": [1, 2, 3, 4, 5]},
    "encode": {"outer": {"kind": "groups"}, "inner": {"kind": "groups"}},
    "report": {"ceilings": ["split_half", "leave_one_subject_out"]},
}
pytestmark = pytest.mark.usefixtures("interrupts_are_heard")


def run(folder):
    run_experiment(parse_experiment(TABLE), Path(folder))
    report.write(Path(folder))


def files(folder):
    """Give the bytes of all files but the lock of a run."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != IN_USE)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def no_half_written_file_is_visible(folder, whole):
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
            continue
        assert path.read_bytes() == whole[str(path.relative_to(folder))], path
    for receipt in folder.glob("cells/[!.]*/cell.json"):
        assert problem_of(receipt.parent) is None


def test_sigkill_at_random_moments(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "mne.report", "brainalign.extract.words", "brainalign.data.simulated"])
    run(tmp_path / "whole")
    whole = files(tmp_path / "whole")
    start = time.monotonic()
    run(tmp_path / "timed")
    seconds = time.monotonic() - start
    moments = random.Random(0)
    n_killed = 0
    for i in range(10):
        folder = tmp_path / f"killed{i}"
        process = context.Process(target=run, args=(str(folder),))
        process.start()
        time.sleep(moments.uniform(0.05, seconds))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
        no_half_written_file_is_visible(folder, whole)
        run(folder)
        left = {name: data for name, data in files(folder).items() if not Path(name).name.startswith(".")}
        assert left == whole
    assert n_killed >= 5  # the others had finished before they were killed


def test_a_rerun_after_the_tables_were_lost_makes_them_again(tmp_path):
    run(tmp_path)
    whole = files(tmp_path)
    for name in ("scores.tsv", "provenance.json", "report.html"):
        (tmp_path / name).unlink()
    run(tmp_path)
    assert files(tmp_path) == whole
    assert json.loads((tmp_path / "provenance.json").read_text())["experiment"]["name"] == "interrupted"


def test_a_full_disk_fails_the_cell_and_leaves_nothing_partial(tmp_path, monkeypatch):
    import errno

    import numpy as np

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    outcome = run_experiment(parse_experiment(TABLE), tmp_path)
    assert [cell.name for cell, _ in outcome.failed] == [f"extract-{name}" for name in WORDS]
    assert not outcome.complete
    assert "No space left" in str(outcome.failed[0][1])
    assert [p.name for p in tmp_path.iterdir() if p.name != "cells"] == ["config.toml"]
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [IN_USE]
    monkeypatch.undo()
    assert run_experiment(parse_experiment(TABLE), tmp_path).complete


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_two_handlers_are_ours_only_inside_a_run(number):
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
