"""What is looked at before a run is what the run goes on with."""

import pytest

from brainalign.cli import main
from brainalign.config import parse_experiment
from brainalign.data import DATASETS
from brainalign.pipeline.problems import check, find_problems

TABLE = {
    "name": "x",
    "data": {"set": "simulated", "n_subjects": 2},
    "features": {"words": {"extractor": "words", "quantities": ["rate"]}},
    "encode": {"alphas": {"n": 2}},
}
FILE = """
name = "x"
[data]
set = "simulated"
n_subjects = 2
[features.words]
extractor = "words"
quantities = ["rate"]
[encode]
alphas = { n = 2 }
"""


def test_what_is_checked_is_prepared():
    problems, prepared = check(parse_experiment(TABLE), None)
    assert problems == []
    assert [cell.name for cell in prepared.cells] == ["extract-words", "score-words"]


def test_what_cannot_be_prepared_is_told():
    blocks = {"alphas": {"n": 2}, "outer": {"kind": "blocks", "n": 10_000}}
    problems, prepared = check(parse_experiment({**TABLE, "encode": blocks}), None)
    assert prepared is None
    assert problems == find_problems(parse_experiment({**TABLE, "encode": blocks}), None)
    assert problems[0].startswith("data.simulated: ")


def test_a_run_loads_its_data_once(tmp_path, monkeypatch):
    loaded, load = [], DATASETS["simulated"].load
    monkeypatch.setattr(DATASETS["simulated"], "load", lambda *given: loaded.append(given) or load(*given))
    (tmp_path / "x.toml").write_text(FILE)
    monkeypatch.setattr("sys.argv", ["brainalign", "run", str(tmp_path / "x.toml"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    assert (tmp_path / "out" / "scores.tsv").exists()
    assert len(loaded) == 1
