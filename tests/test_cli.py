import os
import re
import signal
import subprocess
import sys
import time

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
    for command in ("demo", "init", "check", "plan", "run", "status", "report", "fetch", "info"):
        assert re.search(rf"\b{command}\b", result.output)


def test_a_mistyped_command_is_helped(brainalign):
    status, _, err = brainalign("rnu")
    assert status == 2
    assert "run" in err


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
    assert "9 finished" in out
    status, out, _ = brainalign("report", "out")
    assert (status, out) == (0, "report: out/report.html\n")


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
    assert not list(cells.glob(".*"))
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
