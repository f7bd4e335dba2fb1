"""Simulations: networks with an answer that was printed, run by name, what was published beside what was obtained.

A simulation is a file `analyses/<name>.py` with

- a docstring, the first line of which says what it asks;
- `Config`: a `Settings` in which every setting has a default and a description, `seed` among them;
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
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from brainalign.config import parse_settings, render
from brainalign.errors import BrainalignError, UnknownName
from brainalign.pipeline.packaged import analysis_files
from brainalign.report.page import add_figure, add_html, add_table, add_text, new_page
from brainalign.simulations.folder import claim, provenance_of, read_tables, write_tables

CONTRACT = {"Config", "PUBLISHED", "run", "draw"}
COLUMNS = ("quantity", "published", "obtained", "sd", "n", "source", "note")


class Settings(BaseModel):
    """What the settings of a simulation derive from: frozen, no unknown names, no other types, only finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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

    A folder that holds the finished tables of the same file, code, settings and versions is drawn again, not computed;
    what it held before is replaced once the new tables are there.

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
        The folder holds other results, or cannot be written.
    """
    module = load_simulation(path)
    config = parse_settings(module.Config, overrides, source=path.stem)
    provenance = provenance_of(path, config.model_dump(mode="json"))
    folder = Path(folder)
    claim(folder, provenance, overwrite=overwrite)
    tables = read_tables(folder, provenance)
    if tables is None:
        write_tables(folder, module.run(config), provenance)
        tables = read_tables(folder, provenance)
    beside = published_beside_obtained(module.PUBLISHED, tables["obtained"])
    beside["published"] = beside["published"].map(lambda value: str(value).removesuffix(".0"))  # as printed
    beside["sd"] = beside["sd"].map(lambda sd: "" if np.isnan(sd) else f"{sd:.2g}")
    _write_report(folder, module, tables, config, beside, provenance)
    return beside.drop(columns=["source", "note"]).to_string(index=False, na_rep="", float_format=seven_digits)


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


def seven_digits(value: float) -> str:
    """Write a number as simulations are compared: seven digits, counts in full."""
    return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.7g}"


def _write_report(folder: Path, module, tables, config, beside, provenance) -> None:
    with new_page(folder / "report.html", f"brainalign: {provenance['simulation']}") as page:
        about = (module.__doc__ or "").strip()
        add_table(page, beside, "Published beside obtained", about.partition("\n")[0], number=seven_digits)
        for title, figure, caption in module.draw(tables, config):
            if isinstance(figure, str):
                add_html(page, figure, title, caption, "Figures")
            else:
                add_figure(page, figure, title, caption, "Figures")
        add_text(page, "About", about, fixed=True)
        add_text(page, "Settings", render(provenance["settings"]), fixed=True)
        add_text(page, "Provenance", json.dumps(provenance, indent=1, sort_keys=True), fixed=True)


def main(file: str) -> None:
    """Run the simulation of a file from its own command line: `[--out FOLDER] [--overwrite] [--set KEY=VALUE ...]`."""
    path = Path(file)
    parser = argparse.ArgumentParser(description=first_line(path))
    parser.add_argument("--out", type=Path, default=Path("results") / path.stem)
    parser.add_argument("--overwrite", action="store_true", help="replace the results of other settings")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    try:
        said = run_simulation(path, arguments.out, overrides=tuple(arguments.set), overwrite=arguments.overwrite)
    except BrainalignError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    sys.stdout.write(f"{said}\n\nreport: {arguments.out / 'report.html'}\n")
