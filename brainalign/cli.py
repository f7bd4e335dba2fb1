"""The command line: demo | init | check | plan | run | status | clean | report | export | fetch | info | simulate.

Results go to standard output, progress and problems to standard error. Exit status: 0 done; 1 something failed and the
message says what; 2 the command or its configuration is wrong; 75 `run` stopped early by SIGUSR1 or SIGUSR2, run again;
130 interrupted; 143 terminated.
"""

import logging
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from brainalign.errors import BadConfig, BrainalignError, MissingData, UnknownName, did_you_mean
from brainalign.jobs.signals import TEMPORARY_FAILURE, Terminated, handled

app = typer.Typer(
    name="brainalign",
    help="Encoding models that compare brains with neural networks.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXPERIMENT = Annotated[Path, typer.Argument(metavar="FILE", help="Experiment file (.toml); `init` writes one.")]
OVERRIDES = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="More settings, as after --set.")]
SET = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change settings of the file.")]
DATA_DIR = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="BRAINALIGN_DATA", help="The folder that holds one folder per data set."),
]
OUT = Annotated[Path | None, typer.Option("--out", help="Results folder; default results/<name>.")]
OVERWRITE = Annotated[
    bool, typer.Option("--overwrite", help="Replace the tables of another configuration; its finished cells stay.")
]
VERBOSE = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")]


# How long an OpenMP thread waits for work before it gives up its core. With the default, two programs that share two
# cores run at a fifth of this speed (1,800 instead of 9,500 tokens/s each); alone, a program loses nothing by it.
SPIN_COUNT = "10000"
TO_STDERR = "brainalign: standard error"  # name of the log handler


def _log_to_stderr(verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.INFO
    package = logging.getLogger("brainalign")
    package.setLevel(level)
    handler = next((known for known in package.handlers if known.name == TO_STDERR), None)
    if handler is None:
        handler = logging.StreamHandler()
        handler.set_name(TO_STDERR)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        package.addHandler(handler)
        package.propagate = False
    handler.stream = sys.stderr  # of a second call in one process it may be another


def _read(file: Path, settings: list[str] | None, more: list[str] | None):
    from brainalign.config import read_experiment

    return read_experiment(file, (*(settings or ()), *(more or ())))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("results/demo"),
    verbose: VERBOSE = False,
) -> None:
    """Run the main job on the embedded story and its simulated listeners."""
    from brainalign.pipeline.packaged import packaged_analysis

    _run(packaged_analysis("demo"), settings=None, more=None, data_dir=None, out=out, overwrite=True, verbose=verbose)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("experiment.toml"),
    like: Annotated[
        str, typer.Option("--like", help="Packaged analysis to start from, e.g. brennan2016_layers.")
    ] = "demo",
) -> None:
    """Write an experiment file with every default spelt out and explained."""
    from brainalign.config import describe, read_experiment, render
    from brainalign.files import write_file
    from brainalign.pipeline.packaged import packaged_analysis

    if file.exists():
        raise BrainalignError(f"{file} exists; give another name")
    experiment = read_experiment(packaged_analysis(like))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, render(experiment.table(), describe(experiment)))
    print(f"{file}: edit it, then `brainalign check {file}` and `brainalign run {file}`")


@app.command()
def check(
    file: EXPERIMENT,
    more: OVERRIDES = None,
    settings: SET = None,
    data_dir: DATA_DIR = None,
    verbose: VERBOSE = False,
) -> None:
    """Find every bad input before any work."""
    from brainalign.pipeline.problems import find_problems

    _log_to_stderr(verbose)
    experiment = _read(file, settings, more)
    problems = find_problems(experiment, data_dir)
    if problems:
        raise BadConfig(problems, str(file))
    print(f"{file}: ready to run")


@app.command()
def plan(
    file: EXPERIMENT,
    more: OVERRIDES = None,
    settings: SET = None,
    data_dir: DATA_DIR = None,
    out: OUT = None,
    timed: Annotated[bool, typer.Option("--time", help="Also measure on this machine how long it will take.")] = False,
    verbose: VERBOSE = False,
) -> None:
    """Print what a run would compute: cells, sizes, memory, disk, and what is stored already."""
    from brainalign.jobs.store import Store
    from brainalign.pipeline.plan import describe_plan

    _log_to_stderr(verbose)
    experiment = _read(file, settings, more)
    folder = out or Path("results") / experiment.name
    cells = describe_plan(experiment, data_dir, is_stored=Store(folder / "cells").has, timed=timed)
    print(cells.to_string(index=False))
    todo = cells[cells["stored"] == "no"]
    memory = todo["memory_mb"].max() if len(todo) else 0
    print(f"{len(cells)} cells, {len(cells) - len(todo)} of them stored in {folder}")
    seconds = f", {_computing(todo['seconds'])}" if timed else ""
    print(
        f"to do: {len(todo)} cells, {todo['disk_mb'].sum():.1f} MB on disk, "
        f"arrays of at most {memory:.0f} MB in memory{seconds}"
    )


def _computing(seconds) -> str:
    unknown = int(seconds.isna().sum())
    return f"about {seconds.sum():.0f} s of computing{f' and {unknown} cells that cannot be timed' if unknown else ''}"


@app.command()
def run(
    file: EXPERIMENT,
    more: OVERRIDES = None,
    settings: SET = None,
    data_dir: DATA_DIR = None,
    out: OUT = None,
    overwrite: OVERWRITE = False,
    verbose: VERBOSE = False,
) -> None:
    """Run an experiment: extract, align, fit, score, report. A rerun does only what is missing."""
    _run(file, settings=settings, more=more, data_dir=data_dir, out=out, overwrite=overwrite, verbose=verbose)


def _run(file, *, settings, more, data_dir, out, overwrite, verbose) -> None:
    _log_to_stderr(verbose)
    with handled() as stop:
        from brainalign import report
        from brainalign.pipeline.problems import check
        from brainalign.results import run_experiment

        experiment = _read(file, settings, more)
        problems, prepared = check(experiment, data_dir)
        if problems:
            raise BadConfig(problems, str(file))
        folder = out or Path("results") / experiment.name
        with _progress() as on_progress:
            outcome = run_experiment(
                experiment,
                folder,
                data_dir=data_dir,
                prepared=prepared,
                overwrite=overwrite,
                stop=stop,
                on_progress=on_progress,
            )
        if outcome.failed:
            names = ", ".join(cell.name for cell, _ in outcome.failed)
            raise BrainalignError(
                f"{len(outcome.failed)} cells failed: {names}; run again to redo only what is missing"
            )
        if stop:
            raise typer.Exit(TEMPORARY_FAILURE)
        tables = report.Tables(folder)
        page = report.write(folder, tables=tables)
        print(report.best_of(folder, tables=tables))
        print(f"\nreport: {page}")


def _progress():
    """Show a bar on a terminal, a log line per cell off it."""
    log = logging.getLogger("brainalign.progress")

    @contextmanager
    def lines():
        yield lambda n_done, n_cells, name: log.info("%d/%d %s", n_done, n_cells, name)

    @contextmanager
    def bar():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=None)
            yield lambda n_done, n_cells, name: progress.update(task, completed=n_done, total=n_cells, description=name)

    return bar() if sys.stderr.isatty() else lines()


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A results folder.")],
    data_dir: DATA_DIR = None,
) -> None:
    """Say which cells of a results folder are finished, missing, damaged or stale (exit status 1 unless finished).

    Cells left over from other settings are told, and change nothing: `clean` removes them.
    """
    from brainalign.results import LEFT_OVER, cell_states

    states = cell_states(folder, data_dir=data_dir)
    print(states.drop(columns="bytes").to_string(index=False))
    counts = states["state"].value_counts()
    print(", ".join(f"{n} {state}" for state, n in counts.items()))
    left = states[states["state"] == LEFT_OVER]
    if len(left):
        print(f"what is left over takes {_megabytes(left)}; `brainalign clean {folder}` removes it")
    if set(states["state"]) - {LEFT_OVER} != {"finished"}:
        raise typer.Exit(1)


@app.command()
def clean(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A results folder.")],
    data_dir: DATA_DIR = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
) -> None:
    """Remove the cells left over from other settings, after naming them; never those of the present ones."""
    from brainalign.results import LEFT_OVER, cell_states, remove_left_over

    states = cell_states(folder, data_dir=data_dir)
    left = states[states["state"] == LEFT_OVER]
    if not len(left):
        print(f"{folder}: nothing is left over from other settings")
        return
    for row in left.itertuples():
        print(f"{row.bytes / 1e6:10.1f} MB  {row.cell}")
    if not yes:
        typer.confirm(f"remove these {len(left)} cells, {_megabytes(left)}?", abort=True)
    remove_left_over(folder, states)
    print(f"{folder}: removed {len(left)} cells, {_megabytes(left)}")


def _megabytes(states) -> str:
    return f"{states['bytes'].sum() / 1e6:.1f} MB"


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A results folder.")]) -> None:
    """Write report.html again from the tables of a results folder."""
    from brainalign import report

    _log_to_stderr(False)
    print(f"report: {report.write(folder)}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A results folder.")],
    to: Annotated[
        str, typer.Option("--to", help="fif (mne evoked data), nifti (volumes), gifti (surfaces), or csv (a table).")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files; default FOLDER/export.")] = None,
    feature_space: Annotated[str | None, typer.Option("--feature-space", help="One; default all.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Default that of the experiment.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Default the group mean, or the first.")] = None,
) -> None:
    """Write the scores of a results folder as files of other tools: mne, nibabel, nilearn, spreadsheets."""
    from brainalign.export import write_objects

    chosen = {"feature_space": feature_space, "metric": metric, "subject": subject}
    for path in write_objects(folder, out or folder / "export", to=to, **chosen):
        print(path)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set, or a model of the HuggingFace hub.")],
    data_dir: DATA_DIR = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="PATTERN",
            help="Files of a data set, e.g. 'sub-001/*' or '*_task-pieman_*'; without it, all but a long list.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print which files of a data set would be downloaded, with sizes.")
    ] = False,
    revision: Annotated[str, typer.Option(help="Commit of a hub model.")] = "",
    verbose: VERBOSE = False,
) -> None:
    """Download a data set, or a model, and check every file. The only command that uses the network."""
    from brainalign.data._manifest import manifest_names

    _log_to_stderr(verbose)
    if name not in manifest_names():
        if include or dry_run:
            raise UnknownName("data set", name, manifest_names())
        from brainalign.extract import fetch_model

        log = logging.getLogger("brainalign.cli")
        log.info("no data set is called %s%s; taking it as a model", name, did_you_mean(name, manifest_names()))
        print(fetch_model(name, revision=revision))
        return
    if data_dir is None:
        raise BrainalignError("say where to put the data: --data-dir DIR, or the environment variable BRAINALIGN_DATA")
    _fetch_data_set(name, data_dir, include=include or (), dry_run=dry_run)


def _fetch_data_set(name, data_dir, *, include, dry_run) -> None:
    from brainalign.data import _fetch
    from brainalign.data._manifest import in_bytes, load_manifest

    def amount(files):
        return f"{len(files)} files, {in_bytes(sum(file.bytes for file in files))}"

    manifest = load_manifest(name)
    if dry_run:
        wanted = _fetch.files_to_fetch(manifest, data_dir, include=include)
        for file in wanted:
            print(f"{in_bytes(file.bytes):>12}  {file.path}")
        print(f"to fetch into {data_dir / name}: {amount(wanted)}")
        return
    _fetch.fetch(name, data_dir, include=include)
    chosen = _fetch.chosen_files(manifest, include)
    without_address = [manifest.problem(data_dir, file.path) for file in chosen if not file.url]
    if any(without_address):
        raise MissingData("\n".join(filter(None, without_address)))
    if include:
        print(f"{data_dir / name}: the {amount(chosen)}, are complete, all hashes agree")
        return
    print(f"{data_dir / name}: complete, all hashes agree")
    if manifest.listed:
        print(f"its list has {amount(manifest.listed)} more: fetch them with --include PATTERN, '*' for all")


@app.command()
def info(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A data set; without it, list everything.")
    ] = None,
) -> None:
    """Describe a data set (citation, licence, facts), or list data sets, extractors, analyses and models."""
    from brainalign.catalogue import describe_data_set, list_everything

    print(describe_data_set(name) if name else list_everything())


simulate = typer.Typer(help="Networks from 1943 on: what was published beside what is obtained.", no_args_is_help=True)
app.add_typer(simulate, name="simulate")


@simulate.command("list")
def list_simulations() -> None:
    """List the simulations by name, and what each asks."""
    from brainalign.simulations import first_line, simulation_files

    files = simulation_files()
    width = max(map(len, files), default=0)
    for name, path in files.items():
        print(f"{name:{width}}  {first_line(path)}")


@simulate.command("run")
def run_simulation(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A simulation; `simulate list` names them.")],
    more: OVERRIDES = None,
    settings: SET = None,
    out: OUT = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results of other settings.")] = False,
) -> None:
    """Run a simulation: tables, figures and report.html, published beside obtained."""
    from brainalign import simulations

    path, folder = simulations.find_simulation(name), out or Path("results") / name
    overrides = (*(settings or ()), *(more or ()))
    with handled():  # SIGUSR1, the warning before a job's end, stops nothing: there is nothing to stop after
        print(simulations.run_simulation(path, folder, overrides=overrides, overwrite=overwrite))
    print(f"\nreport: {folder / 'report.html'}")


def main() -> None:
    """Run the command line and turn errors into a message and an exit status."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if sys.stderr is None:  # closed by the caller: there is nowhere to report to, which is no reason to fail
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process runs
    try:
        app()
    except BrainalignError as error:
        print(f"brainalign: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, BadConfig | UnknownName) else 1)
    except Terminated:
        print("brainalign: terminated; what is finished is kept, run again to continue", file=sys.stderr)
        sys.exit(143)


if __name__ == "__main__":
    main()
