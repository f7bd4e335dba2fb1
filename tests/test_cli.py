import io
import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from typer.testing import CliRunner

from brainalign import cli

SMALL = """
name = "small"
[data]
set = "simulated"
n_subjects = 3
[features.words]
extractor = "words"
quantities = ["rate", "length"]
[encode]
outer = { kind = "groups" }
inner = { kind = "groups" }
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def brainalign(monkeypatch, capfd):
    """Run the command line in this process; give (exit status, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["brainalign", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code or 0
        out, err = capfd.readouterr()
        return status, out, err

    return call


def test_help_names_every_command():
    result = CliRunner().invoke(cli.app, ["--help"])
    assert result.exit_code == 0
    for command in ("demo", "init", "check", "plan", "run", "status", "clean", "report", "export", "fetch", "info"):
        assert re.search(rf"\b{command}\b", result.output)


def test_a_mistyped_command_is_helped(brainalign):
    status, _, err = brainalign("rnu")
    assert status == 2
    assert "run" in err


def test_cells_that_cannot_be_timed_are_counted():
    assert cli._computing(pd.Series([1.0, 2.0])) == "about 3 s of computing"
    assert cli._computing(pd.Series([1.0, float("nan")])) == "about 1 s of computing and 1 cells that cannot be timed"


def test_run_prints_the_best_and_ends_with_the_report(brainalign, small, tmp_path):
    status, out, err = brainalign("run", small, "--out", "out")
    assert status == 0, err
    assert out.splitlines()[-1] == "report: out/report.html"
    assert "auditory" in out
    assert "2/2 score-words" in err
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    status, out, err = brainalign("run", small, "--out", "out")
    assert status == 0
    assert "0 cells computed, 2 stored before" in err
    status, out, _ = brainalign("status", "out")
    assert status == 0
    assert "12 finished" in out
    status, out, _ = brainalign("report", "out")
    assert (status, out) == (0, "report: out/report.html\n")


def test_clean_names_what_is_left_over_and_asks(brainalign, small, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))  # nobody answers
    brainalign("run", small, "--out", "out")
    assert brainalign("clean", "out")[:2] == (0, "out: nothing is left over from other settings\n")
    brainalign("run", small, "align.delays=[1]", "--out", "out", "--overwrite")
    status, out, _ = brainalign("status", "out")
    assert status == 0
    assert "1 left over" in out
    assert "`brainalign clean out` removes it" in out
    cell = next(line.split()[0] for line in out.splitlines() if "left over" in line)
    status, out, _ = brainalign("clean", "out")
    assert status == 1
    assert cell in out
    status, out, _ = brainalign("clean", "out", "--yes")
    assert status == 0
    assert f"MB  {cell}" in out
    status, out, _ = brainalign("status", "out")
    assert (status, "left over" in out) == (0, False)


def test_settings_after_set_and_beside_it(brainalign, small):
    status, out, _ = brainalign("plan", small, "--set", "align.delays=[1,2]", "data.n_subjects=2", "--out", "o")
    assert status == 0
    assert "x 4 features, 15 targets" in out
    assert "2 cells, 0 of them stored in o" in out


def test_every_mistake_is_listed_at_once_with_status_2(brainalign, small):
    status, out, err = brainalign("check", small, "--set", "encode.otuer=1", "data.n_subject=2")
    assert status == 2
    assert out == ""
    assert "did you mean 'outer'?" in err
    assert "did you mean 'n_subjects'?" in err
    assert "Traceback" not in err


def test_run_checks_before_it_works(brainalign, small, tmp_path):
    status, _, err = brainalign("run", small, "--set", "align.delays=[999]")
    assert status == 2
    assert "a delay of 999 samples is longer than a run" in err
    assert not (tmp_path / "results").exists()


def test_check_of_a_good_file(brainalign, small):
    assert brainalign("check", small)[:2] == (0, f"{small}: ready to run\n")


def test_a_missing_file_is_status_1_with_the_nearest_name(brainalign, small):
    status, _, err = brainalign("run", "smal.toml")
    assert status == 1
    assert "did you mean 'small.toml'" in err


def test_init_writes_a_file_that_check_accepts(brainalign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert brainalign("init", "mine.toml")[0] == 0
    assert brainalign("check", "mine.toml")[0] == 0
    status, _, err = brainalign("init", "mine.toml")
    assert status == 1
    assert "mine.toml exists" in err


def test_a_data_set_without_its_folder_says_where_to_get_it(brainalign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brainalign("init", "b.toml", "--like", "brennan2016_layers")
    status, _, err = brainalign("check", "b.toml", "--data-dir", str(tmp_path))
    assert status == 2
    assert "brainalign fetch brennan2016" in err


def test_a_hub_model_that_is_not_here_says_at_once_how_to_fetch_it(brainalign, small, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    start = time.monotonic()
    status, _, err = brainalign("check", small, "--set", "features.g.extractor=text", "features.g.model=gpt2-nowhere")
    assert time.monotonic() - start < 10
    assert status == 2
    assert "brainalign fetch gpt2-nowhere" in err


def test_info_lists_and_describes(brainalign):
    assert "brennan2016_layers" in brainalign("info")[1]
    assert "Brennan" in brainalign("info", "brennan2016")[1]
    status, _, err = brainalign("info", "brenan2016")
    assert status == 2
    assert "did you mean 'brennan2016'" in err


def test_fetch_needs_a_place(brainalign, monkeypatch):
    monkeypatch.delenv("BRAINALIGN_DATA", raising=False)
    status, _, err = brainalign("fetch", "brennan2016")
    assert status == 1
    assert "--data-dir" in err


@pytest.fixture
def toy2000(monkeypatch, tmp_path):
    """Give a data folder of a data set with one file that is there and a list of two that are not."""
    import gzip
    import hashlib

    from brainalign.data import _manifest

    rows = ["path\tbytes\talgorithm\tdigest", *(f"sub-{i}/bold.nii.gz\t{i}000000\tmd5\t{'0' * 32}" for i in (1, 2))]
    (tmp_path / "toy2000.files.tsv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (tmp_path / "toy2000.toml").write_text(
        'title = "t"\ncitation = "c"\nlicence = "l"\ndoi = "d"\npublished.tr = { value = 1.5, source = "the paper" }\n'
        f'files = [{{ path = "a", bytes = 3, sha256 = "{hashlib.sha256(b"abc").hexdigest()}", url = "" }}]\n'
        '[listing]\nfile = "toy2000.files.tsv.gz"\nurl = "http://127.0.0.1:9/{path}"\nsource = "an archive"\n'
    )
    monkeypatch.setattr(_manifest, "manifest_folder", lambda: tmp_path)
    (tmp_path / "data/toy2000").mkdir(parents=True)
    (tmp_path / "data/toy2000/a").write_bytes(b"abc")
    return tmp_path / "data"


def test_fetch_leaves_the_list_and_says_how_to_get_it(brainalign, toy2000):
    status, out, _ = brainalign("fetch", "toy2000", "--data-dir", toy2000)
    assert (status, out.splitlines()) == (
        0,
        [
            f"{toy2000 / 'toy2000'}: complete, all hashes agree",
            "its list has 2 files, 3.0 MB more: fetch them with --include PATTERN, '*' for all",
        ],
    )


def test_a_dry_run_prints_sizes_and_fetches_nothing(brainalign, toy2000):
    status, out, _ = brainalign("fetch", "toy2000", "--data-dir", toy2000, "--include", "sub-*", "--dry-run")
    assert status == 0
    assert [line.split() for line in out.splitlines()[:2]] == [
        ["1.0", "MB", "sub-1/bold.nii.gz"],
        ["2.0", "MB", "sub-2/bold.nii.gz"],
    ]
    assert out.splitlines()[2] == f"to fetch into {toy2000 / 'toy2000'}: 2 files, 3.0 MB"
    status, out, _ = brainalign("fetch", "toy2000", "--data-dir", toy2000, "--dry-run")
    assert (status, out) == (0, f"to fetch into {toy2000 / 'toy2000'}: 0 files, 0 bytes\n")


def test_a_choice_that_is_there_is_complete(brainalign, toy2000):
    status, out, _ = brainalign("fetch", "toy2000", "--data-dir", toy2000, "--include", "a")
    assert (status, out) == (0, f"{toy2000 / 'toy2000'}: the 1 files, 3 bytes, are complete, all hashes agree\n")


def test_a_choice_without_a_file_is_a_wrong_command(brainalign, toy2000):
    status, _, err = brainalign("fetch", "toy2000", "--data-dir", toy2000, "--include", "sub-3/*")
    assert status == 2
    assert "did you mean 'sub-" in err


def test_a_file_without_an_address_that_is_wrong_is_told(brainalign, toy2000):
    (toy2000 / "toy2000/a").write_bytes(b"abd")
    status, _, err = brainalign("fetch", "toy2000", "--data-dir", toy2000)
    assert status == 1
    assert "toy2000/a: not the published file" in err


def test_files_of_a_model_cannot_be_chosen(brainalign, tmp_path):
    for more in (["--include", "*"], ["--dry-run"]):
        status, _, err = brainalign("fetch", "brennan2061", "--data-dir", tmp_path, *more)
        assert status == 2
        assert "did you mean 'brennan2016'" in err


def test_info_tells_of_the_list_the_deposit_and_who_published_what(brainalign, toy2000, monkeypatch):
    from brainalign import results

    monkeypatch.setattr(results, "DATASETS", {})
    out = brainalign("info", "toy2000")[1].splitlines()
    assert "1 files, 3 bytes" in out
    assert "2 more files with --include PATTERN, 3.0 MB (an archive)" in out
    assert "tr = 1.5 [the paper]" in out
    monkeypatch.undo()
    assert "deposited at https://data.ru.nl/" in brainalign("info", "schoffelen2019")[1]
    assert "902 more files with --include PATTERN, 138.9 GB" in brainalign("info", "nastase2021")[1]


def started(small, *more):
    command = [sys.executable, "-m", "brainalign.cli", "run", str(small), "--out", "out", *more]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=small.parent, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.usefixtures("interrupts_are_heard")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 75)])
def test_signals_end_a_run_with_their_status_and_a_rerun_continues(brainalign, small, number, status):
    many = "\n".join(f'[features.w{i}]\nextractor = "words"\nquantities = ["rate"]\ncolumns = []\n' for i in range(60))
    small.write_text(SMALL.replace("[encode]", many + "\n[encode]"))
    with started(small) as process:
        for line in process.stderr:
            if "/122 " in line:
                break
        process.send_signal(number)
        process.stderr.read()
        assert process.wait(timeout=60) == status
    cells = small.parent / "out" / "cells"
    assert list(cells.glob("[!.]*/cell.json"))
    assert brainalign("run", small, "--out", "out")[0] == 0
    assert [path.name for path in cells.glob(".*")] == [".in_use"]  # nothing half-written
    assert brainalign("status", "out")[0] == 0


def test_help_is_quick():
    command = [sys.executable, "-m", "brainalign.cli", "--help"]
    seconds = []
    for _ in range(3):
        start = time.process_time(), os.times().children_user
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(os.times().children_user - start[1])
    assert min(seconds) < 1.0  # processor time; 0.3 s on the machine of the benchmarks


def test_output_into_a_closed_pipe_makes_no_traceback(small):
    command = f"{sys.executable} -m brainalign.cli info | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, cwd=small.parent)
    assert done.stdout.startswith("data sets:")
    assert "Traceback" not in done.stderr


def test_fetching_what_is_neither_a_data_set_nor_reachable_ends_quickly(small, tmp_path):
    command = [sys.executable, "-m", "brainalign.cli", "fetch", "brennan2061"]
    fresh = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**fresh, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert done.returncode == 1
    assert "did you mean 'brennan2016'" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_runs_on_one_folder_do_each_other_no_harm(brainalign, small):
    processes = [started(small) for _ in range(3)]
    for process in processes:
        with process:
            errors = process.stderr.read()
            assert process.wait(timeout=120) == 0, errors
    assert brainalign("status", "out")[0] == 0


def test_a_closed_standard_error_is_no_reason_to_fail(small):
    command = f"{sys.executable} -m brainalign.cli check {small} 2>&-"
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True, check=False, cwd=small.parent)
    assert done.returncode == 0
    assert "ready to run" in done.stdout
