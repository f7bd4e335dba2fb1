"""A results folder -> one self-contained HTML page.

How the results of a method are told is a module with these names: `add_sections(page, experiment, folder, provenance)`
adds figures and tables, `methods(experiment, folder, provenance)` writes the methods text, `summary(experiment,
folder)` gives the result as a short text.
"""

import importlib
import re
import tempfile
from pathlib import Path

from brainalign.errors import MissingData
from brainalign.files import write_file
from brainalign.registry import Registry
from brainalign.report.page import add_text, configuration_text
from brainalign.results import read_config, read_provenance

PAGES = Registry(
    "method",
    {
        "encode": lambda: importlib.import_module("brainalign.report.encoding"),
        "compare": lambda: importlib.import_module("brainalign.report.comparison"),
        "decode": lambda: importlib.import_module("brainalign.report.decoding"),
    },
)


def write(folder: Path) -> Path:
    """Write `report.html` from the tables of a results folder.

    Parameters
    ----------
    folder : Path
        As `run_experiment` leaves it.

    Returns
    -------
    page : Path

    Raises
    ------
    MissingData
        The run is not finished.
    """
    import mne

    experiment, provenance = read_config(folder), read_provenance(folder)
    if provenance["experiment"]["sha256"] != experiment.key:
        raise MissingData(f"{folder}: the tables are of another configuration than config.toml; run it again")
    told = PAGES[experiment.method]
    with mne.utils.use_log_level("ERROR"):
        page = mne.Report(title=f"brainalign: {experiment.name}", image_format="png", verbose=False)
        told.add_sections(page, experiment, folder, provenance)
        add_text(page, "Methods", told.methods(experiment, folder, provenance))
        add_text(page, "Configuration", configuration_text(experiment), fixed=True)
        add_text(page, "Provenance", (folder / "provenance.json").read_text(encoding="utf-8"), fixed=True)
        with tempfile.TemporaryDirectory() as scratch:
            saved = Path(scratch) / "report.html"
            page.save(saved, overwrite=True, open_browser=False)
            dated = saved.read_text(encoding="utf-8")
    write_file(folder / "report.html", re.sub(r"Created on [\d :-]+ via", "Created via", dated))
    return folder / "report.html"


def best_of(folder: Path) -> str:
    """Give the result as a short text table."""
    experiment = read_config(folder)
    return PAGES[experiment.method].summary(experiment, folder)
