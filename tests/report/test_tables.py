"""Tables of a results folder are read once, and what is given out may be changed."""

import pandas as pd
import pytest

from brainalign import report
from brainalign.arrays import write_tsv
from brainalign.config import parse_experiment
from brainalign.errors import MissingData
from brainalign.report import tables as module
from brainalign.report.tables import Tables
from brainalign.results import run_experiment


def test_a_table_is_read_once_and_changes_stay_outside(tmp_path, monkeypatch):
    write_tsv(pd.DataFrame({"subject": ["a", "b"], "score": [1.0, 2.0]}), tmp_path / "scores.tsv")
    read, original = [], module.read_table
    monkeypatch.setattr(module, "read_table", lambda folder, name: read.append(name) or original(folder, name))
    tables = Tables(tmp_path)
    changed = tables["scores"]
    changed.loc[changed["subject"] == "a", "score"] = 9.0
    assert tables["scores"]["score"].tolist() == [1.0, 2.0]
    assert read == ["scores"]
    assert tables.get("places") is None
    with pytest.raises(MissingData, match=r"places\.tsv: not there"):
        tables["places"]


def test_page_and_summary_read_no_table_twice(tmp_path, monkeypatch):
    words = {"extractor": "words", "quantities": ["rate", "length"]}
    table = {"name": "x", "data": {"set": "simulated", "n_subjects": 2}, "features": {"words": words}}
    run_experiment(parse_experiment(table | {"encode": {"alphas": {"n": 2}}}), tmp_path)
    read, original = [], module.read_table
    monkeypatch.setattr(module, "read_table", lambda folder, name: read.append(name) or original(folder, name))
    tables = Tables(tmp_path)
    report.write(tmp_path, tables=tables)
    assert "words" in report.best_of(tmp_path, tables=tables)
    assert "scores" in read
    assert sorted(read) == sorted(set(read))
