"""The text files of a BIDS folder: tables and descriptions, equal for equal contents."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

BIDS_VERSION = "1.9.0"


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a TSV: missing values as n/a, numbers with nine digits at most, words unquoted.

    Raises
    ------
    ValueError
        A text holds a tab or a line end.
    """
    for name in table.select_dtypes(["object", "string"]):
        if table[name].astype(str).str.contains(r"[\t\n\r]").any():
            raise ValueError(f"{path}: column {name!r} holds a tab or a line end, which a TSV cannot")
    lines = ["\t".join(table.columns), *map("\t".join, zip(*map(_texts, table.items()), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _texts(item: tuple[str, pd.Series]) -> list[str]:
    column = item[1]
    if pd.api.types.is_float_dtype(column.dtype):
        return ["n/a" if pd.isna(value) else f"{value:.9g}" for value in column]
    return ["n/a" if pd.isna(value) else str(value) for value in column]


def write_description(path: Path, contents: dict[str, Any]) -> None:
    """Write a JSON file, its keys in the order given."""
    path.write_text(json.dumps(contents, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def write_dataset_description(folder: Path, name: str, *, derivative: bool = False) -> None:
    """Write `dataset_description.json`, which makes a folder a BIDS data set."""
    contents = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative" if derivative else "raw"}
    contents["License"] = "CC0"
    contents["Authors"] = ["Nobody: these data were simulated by brainalign"]
    if derivative:
        contents["GeneratedBy"] = [{"Name": "brainalign"}]
    write_description(folder / "dataset_description.json", contents)
