"""A results folder -> one self-contained HTML page.

How the results of a method are told is a module with these names: `add_sections(page, experiment, tables, provenance)`
adds figures and tables, `methods(experiment, tables, provenance)` writes the methods text, `summary(experiment,
tables)` gives the result as a short text.
"""

import importlib
from pathlib import Path

from brainalign.errors import MissingData
from brainalign.registry import Registry
from brainalign.report.page import add_text, configuration_text, new_page
from brainalign.report.tables import Tables
from brainalign.results import read_config, read_provenance

PAGES = Registry(
    "method",
    {
        "encode": lambda: importlib.import_module("brainalign.report.encoding"),
        "compare": lambda: importlib.import_module("brainalign.report.comparison"),
        "decode": lambda: importlib.import_module("brainalign.report.decoding"),
    },
)


def write(folder: Path, *, tables: Tables | None = None) -> Path:
    """Write `report.html` from the tables of a results folder.

    Parameters
    ----------
    folder : Path
        As `run_experiment` leaves it.
    tables : Tables, optional
        Of the folder, to go on with what was read already.

    Returns
    -------
    page : Path

    Raises
    ------
    MissingData
        The run is not finished.
    """
    experiment, provenance = read_config(folder), read_provenance(folder)
    if provenance["experiment"]["sha256"] != experiment.key:
        raise MissingData(f"{folder}: the tables are of another configuration than config.toml; run it again")
    told, tables = PAGES[experiment.method], tables or Tables(folder)
    with new_page(folder / "report.html", f"brainalign: {experiment.name}") as page:
        told.add_sections(page, experiment, tables, provenance)
        add_text(page, "Methods", told.methods(experiment, tables, provenance))
        add_text(page, "Configuration", configuration_text(experiment), fixed=True)
        add_text(page, "Provenance", (folder / "provenance.json").read_text(encoding="utf-8"), fixed=True)
    return folder / "report.html"


def best_of(folder: Path, *, tables: Tables | None = None) -> str:
    """Give the result as a short text table; parameters as those of `write`."""
    experiment = read_config(folder)
    return PAGES[experiment.method].summary(experiment, tables or Tables(folder))
