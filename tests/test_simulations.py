import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from brainalign import simulations
from brainalign.arrays import write_tsv
from brainalign.errors import BadConfig, BrainalignError, UnknownName
from brainalign.simulations import Published, Settings, folder, measured, published_beside_obtained, run_simulation

COINS = '''"""Does a coin come up heads half of the time?

    Indented, as written.
"""
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field

from brainalign.simulations import Drawing, Published, Settings, main


class Config(Settings):
    n: int = Field(100, ge=1, description="coins")
    seed: int = Field(0, ge=0, description="of the coins")


PUBLISHED = (Published("heads", 0.5, "Bernoulli (1713)"),)


def run(config):
    heads = np.random.default_rng(config.seed).random(config.n) < 0.5
    with open("calls", "a") as file:
        file.write("run ")
    if config.n == 13:
        raise KeyboardInterrupt
    obtained = pd.DataFrame([{"quantity": "heads", "value": heads.mean(), "sd": heads.std(), "n": config.n}])
    return {"obtained": obtained, "coins": pd.DataFrame({"heads": heads})}


def draw(tables, config):
    figure = Figure()
    figure.subplots().hist(tables["coins"]["heads"].astype(float))
    return [Drawing("Coins", figure, "Heads and tails."), Drawing("Turning", "<b id='coin'>coin</b>", "To be turned.")]


if __name__ == "__main__":
    main(__file__)
'''


@pytest.fixture
def coins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "coins.py"
    path.write_text(COINS)
    return path


def n_runs(coins):
    return (coins.parent / "calls").read_text().count("run")


def test_tables_settings_and_report_are_written(coins, tmp_path):
    said = run_simulation(coins, tmp_path / "out", overrides=("n=50",))
    assert said.splitlines()[0].split() == ["quantity", "published", "obtained", "sd", "n"]
    assert "0.5" in said
    assert (tmp_path / "out" / "config.toml").read_text().splitlines() == ["n = 50", "seed = 0"]
    assert len(pd.read_csv(tmp_path / "out" / "coins.tsv", sep="\t")) == 50
    page = (tmp_path / "out" / "report.html").read_text()
    for piece in ("Bernoulli (1713)", "Heads and tails.", "<b id='coin'>coin</b>", "    Indented, as written."):
        assert piece in page


def test_finished_results_are_drawn_again_and_not_computed(coins, tmp_path):
    first = run_simulation(coins, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_bytes()
    assert run_simulation(coins, tmp_path / "out") == first
    assert n_runs(coins) == 1
    assert (tmp_path / "out" / "report.html").read_bytes() == page


@pytest.mark.parametrize("lost", ["coins.tsv", "provenance.json"])
@pytest.mark.parametrize("how", ["removed", "cut"])
def test_damaged_results_are_computed_again_or_refused(coins, tmp_path, lost, how):
    first = run_simulation(coins, tmp_path / "out")
    path = tmp_path / "out" / lost
    path.unlink() if how == "removed" else path.write_text("{" if lost == "provenance.json" else "")
    if lost == "provenance.json":
        with pytest.raises(BrainalignError, match="no results folder"):
            run_simulation(coins, tmp_path / "out")
    else:
        assert run_simulation(coins, tmp_path / "out") == first
        assert n_runs(coins) == 2


def test_a_run_that_was_killed_while_it_wrote_is_computed_again(coins, tmp_path, monkeypatch):
    def killed(table, path):
        if "coins" in path.name:
            raise SystemExit
        return write_tsv(table, path)

    monkeypatch.setattr(folder, "write_tsv", killed)
    with pytest.raises(SystemExit):
        run_simulation(coins, tmp_path / "out")
    said = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert (said["finished"], said["settings"]["n"]) == (False, 100)
    assert (tmp_path / "out" / "config.toml").read_text().splitlines() == ["n = 100", "seed = 0"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert (tmp_path / "out" / "obtained.tsv").exists()
    run_simulation(coins, tmp_path / "out")
    assert n_runs(coins) == 2
    assert len(pd.read_csv(tmp_path / "out" / "coins.tsv", sep="\t")) == 100


def test_code_of_the_networks_counts(coins, tmp_path, monkeypatch):
    run_simulation(coins, tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(folder, "NETWORKS", tmp_path / "elsewhere")
    with pytest.raises(BrainalignError, match="other settings or code"):
        run_simulation(coins, tmp_path / "out")


def test_what_is_there_stays_until_the_new_is_computed(coins, tmp_path):
    run_simulation(coins, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(KeyboardInterrupt):
        run_simulation(coins, tmp_path / "out", overrides=("n=13",), overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_file_is_no_folder(coins, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BrainalignError, match="cannot write into"):
            run_simulation(coins, out)
    assert not (tmp_path / "calls").exists()


def test_results_of_other_settings_or_code_are_replaced_only_if_asked(coins, tmp_path):
    run_simulation(coins, tmp_path / "out")
    with pytest.raises(BrainalignError, match="--overwrite"):
        run_simulation(coins, tmp_path / "out", overrides=("seed=1",))
    run_simulation(coins, tmp_path / "out", overrides=("seed=1",), overwrite=True)
    coins.write_text(COINS.replace("< 0.5", "< 0.6"))
    with pytest.raises(BrainalignError, match="--overwrite"):
        run_simulation(coins, tmp_path / "out", overrides=("seed=1",))
    assert n_runs(coins) == 2


def test_a_folder_of_something_else_is_never_replaced(coins, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tsv").write_text("all of it")
    with pytest.raises(BrainalignError, match="no results folder"):
        run_simulation(coins, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.tsv").read_text() == "all of it"
    (tmp_path / "mine" / "provenance.json").write_text('{"experiment": {}, "tables": ["thesis"]}')
    with pytest.raises(BrainalignError, match="no results folder"):
        run_simulation(coins, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.tsv").read_text() == "all of it"


@pytest.mark.parametrize(("override", "message"), [("m=3", "m: unknown key"), ("n=0", "greater than or equal to 1")])
def test_wrong_settings_are_named(coins, tmp_path, override, message):
    with pytest.raises(BadConfig, match=message):
        run_simulation(coins, tmp_path / "out", overrides=(override,))
    assert not (tmp_path / "out").exists()


def test_a_published_number_that_was_not_obtained_is_an_error():
    obtained = pd.DataFrame([{"quantity": "a", "value": 1.0, "sd": 0.0, "n": 1}])
    beside = published_beside_obtained((Published("a", 2.0, "there"),), obtained)
    assert beside[["published", "obtained"]].to_numpy().tolist() == [[2.0, 1.0]]
    with pytest.raises(BrainalignError, match=r"missing: \['b'\]"):
        published_beside_obtained((Published("b", 2.0, "there"),), obtained)
    with pytest.raises(BrainalignError, match="obtained once"):
        published_beside_obtained((), pd.concat([obtained, obtained]))


def test_all_simulations_keep_the_contract():
    files = simulations.simulation_files()
    assert "elman1990_lexical_classes" in files
    for name, path in files.items():
        module = simulations.load_simulation(path)
        config = module.Config()
        assert config.seed == 0, name
        assert isinstance(config, Settings), name
        assert all(field.description for field in module.Config.model_fields.values()), name
        assert all(isinstance(item, Published) and item.source for item in module.PUBLISHED), name
        assert simulations.first_line(path), name
    with pytest.raises(UnknownName, match="elman1990_xor"):
        simulations.find_simulation("elman1990_xo")


def test_the_file_runs_by_itself(coins, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(coins), "--out", str(tmp_path / "out"), "--set", "n=7", "--set", "seed=3"])
    simulations.main(str(coins))
    assert (tmp_path / "out" / "config.toml").read_text().splitlines() == ["n = 7", "seed = 3"]
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr("sys.argv", [str(coins), "--set", "m=7"])
    with pytest.raises(SystemExit, match="unknown key"):
        simulations.main(str(coins))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (85584.0, "85,584"),
        (0.9996432, "0.9996432"),
        (1.0, "1"),
        (1.20255734, "1.202557"),
        (math.inf, "inf"),
        (-3e-9, "-3e-09"),
    ],
)
def test_numbers_have_the_digits_that_simulations_are_compared_by(value, text):
    assert simulations.seven_digits(value) == text


@pytest.mark.parametrize("made", [list, np.array, torch.tensor, pd.Series])
def test_a_row_has_the_mean_and_the_standard_deviation_of_a_sample(made):
    assert measured("errors", made([1.0, 2.0, 4.0])) == {
        "quantity": "errors", "value": pytest.approx(7 / 3), "sd": pytest.approx(math.sqrt(7 / 3)), "n": 3
    }  # fmt: skip
    share = measured("right", made([True, False]))
    assert (share["value"], share["n"]) == (0.5, 2)


def test_one_value_has_no_standard_deviation():
    for value in (3.0, [3.0], torch.tensor(3.0)):
        row = measured("units", value)
        assert (row["value"], row["n"]) == (3.0, 1)
        assert math.isnan(row["sd"])
