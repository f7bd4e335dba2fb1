"""Simulations: networks with an answer that was printed, run by name, what was published beside what was obtained.

A simulation is a file `analyses/<name>.py` with

- a docstring, the first line of which says what it asks;
- `Config`: a frozen pydantic model in which every setting has a default and a description, `seed` among them;
- `PUBLISHED`: a tuple of `Published`, the numbers that the paper prints;
- `run(config) -> dict of str to DataFrame`: everything that is computed, as tables; one of them, "obtained", has the
  columns `quantity value sd n` (`sd` over `n` networks or samples, nan for none), a row for every quantity of
  `PUBLISHED` that was measured and others beside;
- `draw(tables, config) -> list of Drawing`: figures, from the tables alone;
- at its end, `if __name__ == "__main__": main(__file__)`.
"""

import argparse
import ast
import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brainalign import __version__
from brainalign.arrays import write_tsv
from brainalign.config import parse_settings, render
from brainalign.errors import BrainalignError, UnknownName
from brainalign.files import sha256_of, whole_file, write_file
from brainalign.pipeline.packaged import analysis_files
from brainalign.report.page import add_figure, add_html, add_table, add_text, new_page

CONTRACT = {"Config", "PUBLISHED", "run", "draw"}
COLUMNS = ("quantity", "published", "obtained", "sd", "n", "source", "note")


class Published(NamedTuple):
    """A number that a paper prints.

    Parameters
    ----------
    quantity : str
        What it is, the same words as in the table "obtained".
    value : float or str
        As printed.
    source : str
        Paper and page, table or figure.
    note : str
        What is inconsistent about it, or how sure it is.
    """

    quantity: str
    value: float | str
    source: str
    note: str = ""


class Drawing(NamedTuple):
    """A figure of a report.

    Parameters
    ----------
    title : str
    figure : matplotlib Figure, or str
        A string is HTML that needs nothing from a network.
    caption : str
    """

    title: str
    figure: Any
    caption: str


def measured(quantity: str, values) -> dict:
    """Give a row of the table "obtained": the mean of a quantity over networks or samples.

    Parameters
    ----------
    quantity : str
    values : array, tensor, Series or sequence of float, or one number
        One per network or sample.

    Returns
    -------
    row : dict
        `quantity value sd n`; `sd` (of a sample, n - 1) is nan for one value.
    """
    values = np.array(values.tolist() if hasattr(values, "tolist") else values, dtype=float, ndmin=1)
    sd = values.std(ddof=1) if len(values) > 1 else np.nan
    return {"quantity": quantity, "value": values.mean(), "sd": sd, "n": len(values)}


def simulation_files() -> dict[str, Path]:
    """Files of the simulations that ship, by name."""
    return {path.stem: path for path in analysis_files("*.py") if _names_in(path) >= CONTRACT}


def _names_in(path: Path) -> set[str]:
    """Names that a file gives at its top, without running it."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
    return names


def first_line(path: Path) -> str:
    """Say what a simulation asks."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def load_simulation(path: Path) -> ModuleType:
    """Import a simulation from its file."""
    spec = importlib.util.spec_from_file_location(f"brainalign_analysis_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_simulation(name: str) -> Path:
    """Path of a simulation.

    Raises
    ------
    UnknownName
        There is no such simulation.
    """
    known = simulation_files()
    if name not in known:
        raise UnknownName("simulation", name, known)
    return known[name]


def run_simulation(path: Path, folder: Path, *, overrides: tuple[str, ...] = (), overwrite: bool = False) -> str:
    """Run a simulation and write its tables, `config.toml`, `provenance.json` and `report.html` into a folder.

    A folder that holds the finished tables of the same file, settings and versions is drawn again, not computed.

    Parameters
    ----------
    path : Path
        Of its file.
    folder : Path
        Made if absent.
    overrides : tuple of str
        `KEY=VALUE`, see `config.parse_settings`.
    overwrite : bool
        Whether the folder may hold the results of other settings.

    Returns
    -------
    summary : str
        Published beside obtained, as text.

    Raises
    ------
    BadConfig
        A setting is unknown or wrong.
    BrainalignError
        The folder holds other results.
    """
    module = load_simulation(path)
    config = parse_settings(module.Config, overrides, source=path.stem)
    provenance = _provenance(path, config)
    folder = Path(folder)
    tables = _read(folder, provenance)
    if tables is None:
        _claim(folder, overwrite=overwrite)
        _write(folder, module.run(config), provenance, config)
        tables = _read(folder, provenance)
    beside = published_beside_obtained(module.PUBLISHED, tables["obtained"])
    _write_report(folder, module, tables, config, beside, provenance)
    return beside.drop(columns=["source", "note"]).to_string(index=False, na_rep="")


def published_beside_obtained(published: tuple[Published, ...], obtained: pd.DataFrame) -> pd.DataFrame:
    """Join what is printed and what was measured: columns `COLUMNS`; nan or "" where one is missing.

    Raises
    ------
    BrainalignError
        A published number was not measured, or something twice: a table that leaves out what failed would mislead.
    """
    printed = pd.DataFrame(published, columns=Published._fields).rename(columns={"value": "published"})
    missing = set(printed["quantity"]) - set(obtained["quantity"])
    if missing or obtained["quantity"].duplicated().any():
        raise BrainalignError(f"every published quantity must be obtained once; missing: {sorted(missing)}")
    table = obtained.rename(columns={"value": "obtained"}).merge(printed, on="quantity", how="left")
    return table.astype({"published": object}).fillna({"published": "", "source": "", "note": ""})[list(COLUMNS)]


def _provenance(path: Path, config) -> dict:
    return {
        "simulation": path.stem,
        "sha256": sha256_of(path),
        "settings": config.model_dump(mode="json"),
        "brainalign": __version__,
        "versions": {name: version(name) for name in ("numpy", "scipy", "torch")},
    }


def _claim(folder: Path, *, overwrite: bool) -> None:
    """Make the folder, or empty it of the results of other settings where that is allowed."""
    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise BrainalignError(f"{folder} holds other results; give another --out, or --overwrite to replace them")
        if not (folder / "config.toml").exists():
            raise BrainalignError(f"{folder} is no results folder; nothing in it is replaced")
        for old in (*folder.glob("*.tsv"), folder / "provenance.json", folder / "report.html"):
            old.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def _write(folder: Path, tables: dict[str, pd.DataFrame], provenance: dict, config) -> None:
    write_file(folder / "config.toml", render(config.model_dump(mode="json")))
    for name, table in tables.items():
        with whole_file(folder / f"{name}.tsv") as partial:
            write_tsv(table, partial)
    said = provenance | {"tables": list(tables)}
    write_file(folder / "provenance.json", json.dumps(said, indent=1, sort_keys=True) + "\n")


def _read(folder: Path, provenance: dict) -> dict[str, pd.DataFrame] | None:
    """Read the tables of a finished run of the same file, settings and versions; None where there is none."""
    path = folder / "provenance.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    names = said.pop("tables", None)
    if names is None or said != provenance or not all((folder / f"{name}.tsv").exists() for name in names):
        return None
    return {name: pd.read_csv(folder / f"{name}.tsv", sep="\t") for name in names}


def _write_report(folder: Path, module, tables, config, beside, provenance) -> None:
    with new_page(folder / "report.html", f"brainalign: {provenance['simulation']}") as page:
        about = (module.__doc__ or "").strip()
        add_table(page, beside, "Published beside obtained", about.partition("\n")[0])
        for title, figure, caption in module.draw(tables, config):
            if isinstance(figure, str):
                add_html(page, figure, title, caption, "Figures")
            else:
                add_figure(page, figure, title, caption, "Figures")
        add_text(page, "About", about, fixed=True)
        add_text(page, "Settings", render(config.model_dump(mode="json")), fixed=True)
        add_text(page, "Provenance", json.dumps(provenance, indent=1, sort_keys=True), fixed=True)


def main(file: str) -> None:
    """Run the simulation of a file from its own command line: `[--out FOLDER] [--overwrite] [--set KEY=VALUE ...]`."""
    path = Path(file)
    parser = argparse.ArgumentParser(description=first_line(path))
    parser.add_argument("--out", type=Path, default=Path("results") / path.stem)
    parser.add_argument("--overwrite", action="store_true", help="replace the results of other settings")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    try:
        said = run_simulation(path, arguments.out, overrides=tuple(arguments.set), overwrite=arguments.overwrite)
    except BrainalignError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"{said}\n\nreport: {arguments.out / 'report.html'}\n")
