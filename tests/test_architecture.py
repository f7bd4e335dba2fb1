"""Who may import whom: the table of the architecture, lazy imports included."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "brainalign"

BASE = {"errors", "registry", "files"}
CORE = {"encode", "align.delays", "align.hrf", "align.shifts", "align.filters", "compare", "stats", "simulate"}
BORDERS = {"data", "extract", "align.samples", "align.epochs"}

# unit -> units it may import besides itself
ALLOWED = {
    "": set(),
    "errors": set(),
    "files": set(),
    "registry": {"errors"},
    "encode": BASE,
    "encode.trf": BASE | {"align.delays"},
    "align.delays": BASE,
    "align.hrf": BASE,
    "align.shifts": BASE | {"align.delays"},
    "compare": BASE,
    "align.filters": BASE,
    "stats": BASE | {"encode.metrics"},
    "simulate": BASE | {"align.hrf"},
    "arrays": {"errors", "files"},
    "data": BASE | {"arrays", "align.delays", "simulate"},
    "extract": BASE | {"arrays", "align.delays", "simulate"},
    "align.samples": BASE | {"arrays", "align.delays", "simulate"},
    "align.epochs": BASE | {"arrays", "align.delays", "simulate"},
    "config": BASE | CORE | BORDERS | {"arrays"},
    "pipeline": BASE | CORE | BORDERS | {"", "arrays", "config", "jobs.cells"},
    "jobs": BASE | {"config"},
    "plots": {"arrays", "encode", "stats", "errors"},
    "results": BASE | BORDERS | {"", "arrays", "config", "jobs", "pipeline"},
    "catalogue": BASE | {"data", "extract", "pipeline.packaged"},
    "export": BASE | {"arrays", "config", "pipeline", "results"},
    "report": BASE | {"arrays", "config", "encode", "pipeline", "plots", "results"},
    "simulations": BASE | {"", "arrays", "config", "pipeline.packaged", "report.page"},
    "cli": BASE
    | BORDERS
    | {"simulations", "", "config", "jobs", "pipeline", "report", "results", "catalogue", "export"},
}

NUMERIC = {"numpy", "scipy", "sklearn"}
HEAVY = {
    "errors": set(),
    "files": set(),
    "registry": set(),
    "": set(),
    "arrays": {"numpy", "pandas", "xarray"},
    "encode": NUMERIC,
    "encode.ridge": NUMERIC | {"torch"},
    "encode.engine": NUMERIC | {"torch"},
    "encode.banded": NUMERIC | {"torch"},
    "align.delays": NUMERIC,
    "align.hrf": NUMERIC,
    "align.shifts": NUMERIC,
    "align.filters": NUMERIC | {"mne"},
    "compare": NUMERIC,
    "stats": NUMERIC,
    "simulate": NUMERIC | {"torch"},
    "simulate.word_network": {"torch", "safetensors"},
    "data": NUMERIC | {"pandas", "mne", "mne_bids", "nibabel", "nilearn", "pooch", "pybv"},
    "extract": NUMERIC
    | {
        "pandas",
        "torch",
        "transformers",
        "tokenizers",
        "huggingface_hub",
        "safetensors",
        "soundfile",
        "PIL",
        "wordfreq",
    },
    "align.samples": NUMERIC | {"pandas"},
    "align.epochs": NUMERIC | {"pandas", "mne"},
    "config": {"numpy"},
    "pipeline": {"numpy", "pandas"},
    "results": {"pandas"},
    "jobs": set(),
    "catalogue": set(),
    "export": {"numpy", "pandas", "mne", "nibabel", "nilearn"},
    "plots": {"numpy", "pandas", "matplotlib", "nilearn", "nibabel", "mne"},
    "report": {"numpy", "pandas", "matplotlib", "mne"},
    "simulations": {"numpy", "pandas"},
    "cli": {"pandas", "rich", "typer"},
}
HEAVY_LIBRARIES = set().union(*HEAVY.values()) | {"dask", "himalaya", "tqdm", "requests"}


def modules():
    return sorted(p for p in PACKAGE.rglob("*.py"))


def dotted(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unit_of(name, table):
    """Longest prefix of a dotted module name that the table knows."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in table:
            return ".".join(parts[:n])
    return "" if name == "" else None


def imports_of(path):
    """Full names of everything a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            known = {p.stem for p in (PACKAGE.parent / node.module.replace(".", "/")).glob("*")}
            for alias in node.names:
                yield f"{node.module}.{alias.name}" if alias.name in known else node.module


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_module_imports_only_what_its_layer_may(path):
    name = dotted(path)
    unit = unit_of(name, ALLOWED)
    if name == "align":
        unit = "align.delays"
    assert unit is not None, f"{name} has no place in the architecture"
    for imported in imports_of(path):
        if imported.split(".")[0] != "brainalign":
            continue
        target = imported.removeprefix("brainalign").removeprefix(".")
        target_unit = unit_of(target, ALLOWED)
        allowed = ALLOWED[unit] | {unit}
        assert target_unit in allowed or target in allowed or any(target.startswith(f"{a}.") for a in allowed if a), (
            f"brainalign.{name} imports brainalign.{target}; it may import {sorted(allowed)}"
        )


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_module_uses_only_the_heavy_libraries_of_its_layer(path):
    name = dotted(path)
    unit = "align.delays" if name == "align" else unit_of(name, HEAVY)
    used = {imported.split(".")[0] for imported in imports_of(path)} & HEAVY_LIBRARIES
    assert used <= HEAVY[unit], f"brainalign.{name} uses {sorted(used - HEAVY[unit])}"


def test_nothing_imports_analyses_or_benchmarks():
    for path in modules():
        roots = {imported.split(".")[0] for imported in imports_of(path)}
        assert not roots & {"analyses", "benchmarks", "tests"}, path


def test_there_is_no_utils_module():
    assert not [p for p in modules() if p.stem in {"utils", "helpers", "misc", "common"}]


def test_importing_brainalign_imports_no_heavy_library(run_python):
    loaded = run_python("import brainalign, sys; print(*sys.modules)").split()
    assert "brainalign" in loaded
    assert not {"torch", "numpy", "pandas", "sklearn", "mne", "matplotlib"} & set(loaded)


def test_the_command_line_starts_without_heavy_libraries(run_python):
    loaded = run_python("import brainalign.cli, sys; print(*sys.modules)").split()
    assert "brainalign.cli" in loaded
    assert not {"torch", "sklearn", "mne", "matplotlib", "pandas", "transformers"} & set(loaded)


@pytest.fixture
def run_python():
    import subprocess

    def run(code):
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    return run
