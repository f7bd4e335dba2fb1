import json

import numpy as np
import pytest

from brainalign import report
from brainalign.config import FRAMES, parse_experiment
from brainalign.errors import BadConfig, BrainalignError, MissingData
from brainalign.pipeline.scores import COLUMNS
from brainalign.report import encoding
from brainalign.results import cell_states, read_table, remove_left_over, run_experiment

TABLE = {
    "name": "small",
    "data": {"set": "simulated", "n_subjects": 4},
    "features": {
        "words": {"extractor": "words", "quantities": ["rate", "length"]},
        "gpt2": {"extractor": "text", "model": "shipped", "layers": [0, 3]},
    },
    "align": {"delays": [1, 2, 3, 4]},
    "encode": {
        "controls": "words",
        "alphas": {"low": 1.0, "high": 1e6, "n": 7},
        "outer": {"kind": "groups"},
        "inner": {"kind": "groups"},
    },
    "report": {"ceilings": ["split_half", "leave_one_subject_out"]},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "small"
    outcome = run_experiment(parse_experiment(TABLE), folder)
    assert outcome.complete
    report.write(folder)
    return folder


def test_every_method_has_its_page():
    from brainalign.pipeline import METHODS

    assert list(METHODS) == list(report.PAGES) == list(FRAMES)
    contract = {"prepare", "Computer", "tabulate", "plan_cells", "TABLES", "LOADED_BY"}
    contract |= {"problems_of_settings", "problems_of_prepared"}
    for name in METHODS:
        assert contract <= set(vars(METHODS[name]))
        assert {"add_sections", "methods", "summary"} <= set(vars(report.PAGES[name]))


def test_unique_contributions_are_told_with_what_they_are(tmp_path):
    features = {name: {"extractor": "words", "quantities": [name]} for name in ("rate", "length", "position_in_run")}
    encode = {**TABLE["encode"], "controls": "", "together": list(features), "estimator": "banded"}
    experiment = parse_experiment({**TABLE, "features": features, "encode": encode})
    run_experiment(experiment, tmp_path)
    page = report.write(tmp_path).read_text()
    for expected in ("Unique contributions (pearson)", "Unique contributions (r2)", "all together", "can be negative"):
        assert expected in page
    for expected in ("A banded ridge regression", "Nunez-Elizalde", "Lescroart"):
        assert expected in page
    assert "Layer profile" not in page
    unique = read_table(tmp_path, "unique_contributions").query("metric == 'r2' and subject == 'mean'")
    scores = read_table(tmp_path, "scores").query("metric == 'r2' and subject == 'mean'")
    whole = scores[scores["feature_space"] == "rate+length+position_in_run"].set_index("target")["score"]
    without = scores[scores["feature_space"] == "length+position_in_run"].set_index("target")["score"]
    of_rate = unique[unique["feature_space"] == "rate"].set_index("target")["unique"]
    assert of_rate.to_numpy() == pytest.approx((whole - without)[of_rate.index].to_numpy())
    printed = report.best_of(tmp_path)
    assert "all together" in printed
    assert "length+position" not in printed


def test_controls_may_be_a_model(tmp_path):
    gpt2 = {"extractor": "text", "model": "shipped", "layers": [0]}
    features = {"gpt2": gpt2, "fresh": {**gpt2, "weights": ["untrained"]}}
    encode = {**TABLE["encode"], "controls": "fresh"}
    run_experiment(parse_experiment({**TABLE, "features": features, "encode": encode}), tmp_path)
    printed = report.best_of(tmp_path)
    assert "gain of gpt2 trained" in printed


@pytest.mark.parametrize("name", ["target", "ceiling"])
def test_a_feature_space_cannot_be_called_as_a_column(name):
    with pytest.raises(BadConfig, match=f"features.{name}: tables of scores have another column of this name"):
        parse_experiment({**TABLE, "features": {**TABLE["features"], name: TABLE["features"]["words"]}})


def test_a_folder_of_the_users_own_is_not_called_embedded():
    from brainalign import results

    assert "embedded" in results._citation("simulated")
    assert "Brennan" in results._citation("brennan2016")
    assert results._citation("bids").startswith("a BIDS folder")


def test_scores_have_the_stable_columns_and_every_row_once(finished):
    scores = read_table(finished, "scores")
    assert tuple(scores.columns) == tuple(name for name in COLUMNS if name != "lag")
    # 5 subjects with the mean, 5 regions, 2 metrics; words; gpt2 and words+gpt2 of 2 layers and the nested choice
    assert len(scores) == 5 * 5 * 2 * (1 + 3 + 3)
    assert not scores.duplicated(["subject", "feature_space", "weights", "layer", "target", "metric"]).any()
    assert set(scores["layer"]) == {"", "0", "3", "nested"}
    assert (scores["n_folds"] == 4).all()
    assert np.isfinite(scores["score"]).all()


def test_each_row_has_the_ceiling_of_its_kind_and_unit(finished):
    scores = read_table(finished, "scores")
    mean = scores["subject"] == "mean"
    in_r = scores["metric"] == "pearson"
    assert set(scores.loc[mean & in_r, "ceiling_kind"]) == {"split_half"}
    assert set(scores.loc[~mean & in_r, "ceiling_kind"]) == {"leave_one_subject_out"}
    assert scores.loc[~in_r, "noise_ceiling"].isna().all()


def test_a_rerun_computes_nothing_and_changes_no_byte(finished):
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    outcome = run_experiment(parse_experiment(TABLE), finished)
    report.write(finished)
    assert outcome.computed == []
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()} == before


def test_another_configuration_is_refused_unless_told(finished, tmp_path):
    other = parse_experiment({**TABLE, "seed": 1})
    with pytest.raises(BrainalignError, match=r"another configuration.*--overwrite"):
        run_experiment(other, finished)
    folder = tmp_path / "x"
    first = parse_experiment({**TABLE, "features": {"words": TABLE["features"]["words"]}})
    run_experiment(first, folder)
    wider = parse_experiment({**TABLE, "features": {"words": TABLE["features"]["words"]}, "align": {"delays": [1, 2]}})
    outcome = run_experiment(wider, folder, overwrite=True)
    assert [cell.name for cell in outcome.stored] == ["extract-words"]
    assert [cell.name for cell in outcome.computed] == ["score-words"]


def test_results_never_go_into_the_data_folder(tmp_path):
    with pytest.raises(BrainalignError, match="lies in the data folder"):
        run_experiment(parse_experiment(TABLE), tmp_path / "data" / "out", data_dir=tmp_path / "data")


def test_status_names_missing_damaged_and_stale(finished, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    assert set(cell_states(folder)["state"]) == {"finished"}
    cells = sorted(p for p in (folder / "cells").iterdir() if p.name.startswith("score"))
    shutil.rmtree(cells[0])
    (cells[1] / "alpha.npy").write_bytes(b"")
    text = (folder / "config.toml").read_text()
    states = cell_states(folder).set_index("cell")["state"]
    assert states[cells[0].name] == "missing"
    assert states[cells[1].name] == "damaged"
    (folder / "config.toml").write_text(text.replace("delays = [1, 2, 3, 4]", "delays = [1, 2]"))
    states = cell_states(folder)
    assert "left over" in set(states["state"])
    assert (states["state"] == "missing").sum() == len(cells)
    assert states.set_index("cell").loc["scores.tsv", "state"] == "stale"
    with pytest.raises(BrainalignError, match=r"is not finished, the first is score.*missing.*then clean"):
        remove_left_over(folder, states)
    assert len(cell_states(folder)) == len(states)


def small(**align):
    return parse_experiment({**TABLE, "features": {"words": TABLE["features"]["words"]}, "align": align})


@pytest.fixture
def twice(tmp_path):
    """A folder with a run of other delays before the present one."""
    run_experiment(small(delays=[1, 2]), tmp_path)
    run_experiment(small(delays=[1]), tmp_path, overwrite=True)
    report.write(tmp_path)
    return tmp_path


def test_what_another_configuration_left_is_told_and_removed_and_nothing_else(twice):
    half = twice / "cells" / ".half.score-words-0000"
    half.mkdir()
    (half / "part.npy").write_bytes(b"1234")
    states = cell_states(twice)
    left = states[states["state"] == "left over"].set_index("cell")["bytes"]
    before = {p for p in twice.rglob("*") if p.is_file()}
    assert len(left) == 2
    assert left[half.name] == 4
    assert all(size == sum(p.stat().st_size for p in before if name in p.parts) for name, size in left.items())
    remove_left_over(twice, states)
    gone = before - {p for p in twice.rglob("*") if p.is_file()}
    assert {p.relative_to(twice / "cells").parts[0] for p in gone} == set(left.index)
    assert set(cell_states(twice)["state"]) == {"finished"}
    assert run_experiment(small(delays=[1]), twice).computed == []


def test_nothing_is_removed_while_a_run_is_going_on(twice):
    from brainalign.jobs.store import Store

    states = cell_states(twice)
    with Store(twice / "cells").in_use(), pytest.raises(BrainalignError, match="a run is going on"):
        remove_left_over(twice, states)
    assert cell_states(twice).equals(states)


def test_a_run_says_that_it_is_going_on(tmp_path, monkeypatch):
    from brainalign import results
    from brainalign.jobs.store import Store

    def look(*_, **__):
        with pytest.raises(BrainalignError, match="a run is going on"), Store(tmp_path / "cells").alone():
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "run_cells", look)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(small(delays=[1]), tmp_path)


def test_what_became_the_present_configuration_meanwhile_is_not_removed(twice):
    states = cell_states(twice)
    run_experiment(small(delays=[1, 2]), twice, overwrite=True)
    with pytest.raises(BrainalignError, match="another run went by"):
        remove_left_over(twice, states)
    report.write(twice)
    assert (cell_states(twice)["state"] == "finished").sum() == len(states) - 1


def test_provenance_says_what_the_numbers_came_from_and_hides_who(finished):
    provenance = json.loads((finished / "provenance.json").read_text())
    assert provenance["versions"]["numpy"] == np.__version__
    assert provenance["experiment"]["seed"] == 0
    fingerprint = provenance["extractions"]["extract-gpt2-trained"]["fingerprint"]
    assert any("model.safetensors" in json.dumps(item) for item in fingerprint.items())
    import getpass
    from pathlib import Path

    for name in ("provenance.json", "scores.tsv", "report.html", "config.toml"):
        text = (finished / name).read_text()
        assert str(Path.home()) + "/" not in text
        assert str(finished.parent) not in text
        if getpass.getuser() != "root":
            assert getpass.getuser() not in text


def test_the_report_is_self_contained_and_says_it_all(finished):
    page = (finished / "report.html").read_text()
    for expected in ("Layer profile", "noise ceiling", "Methods", "temporal", "Spearman", "provenance", "alphas"):
        assert expected.lower() in page.lower(), expected
    assert 'src="http' not in page
    assert page.count("data:image/png;base64") >= 4


def test_the_best_of_it_is_a_short_table(finished):
    lines = report.best_of(finished).splitlines()
    assert len(lines) == 2 + 5
    assert "gain of gpt2 trained" in lines[1]


def test_hostile_names_are_escaped(finished, tmp_path):
    import shutil

    folder = tmp_path / "hostile"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("cells"))
    for name in ("scores", "layer_choices"):
        text = (folder / f"{name}.tsv").read_text()
        (folder / f"{name}.tsv").write_text(text.replace("temporal", "<script>alert(1)</script>"))
    page = report.write(folder).read_text()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_an_unfinished_folder_says_so(tmp_path):
    with pytest.raises(MissingData, match=r"no config.toml"):
        report.write(tmp_path)


def test_a_grid_that_is_too_narrow_is_warned_of(tmp_path, caplog):
    narrow = {**TABLE["encode"], "alphas": {"low": 1e-3, "high": 1e-2, "n": 2}}
    run_experiment(
        parse_experiment({**TABLE, "features": {"words": TABLE["features"]["words"]}, "encode": narrow}), tmp_path
    )
    assert "of targets take the highest alpha of the grid" in caplog.text
    diagnostics = read_table(tmp_path, "diagnostics")
    assert diagnostics["at_highest_alpha"].item() > 0.5


def test_numbers_of_another_configuration_are_never_shown(finished, tmp_path, monkeypatch):
    """A run with --overwrite that dies leaves no old score beside the new settings."""
    import shutil

    from brainalign import results

    folder = tmp_path / "x"
    shutil.copytree(finished, folder)

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "run_cells", die)
    other = parse_experiment({**TABLE, "align": {"delays": [1]}})
    with pytest.raises(KeyboardInterrupt):
        run_experiment(other, folder, overwrite=True)
    with pytest.raises(MissingData):
        report.write(folder)
    assert not (folder / "scores.tsv").exists()
    assert not (folder / "report.html").exists()


def test_tables_that_are_not_of_the_configuration_are_refused(finished, tmp_path):
    import shutil

    folder = tmp_path / "x"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("cells"))
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace("delays = [1, 2, 3, 4]", "delays = [1, 2]"))
    with pytest.raises(MissingData, match="another configuration"):
        report.write(folder)


def test_status_knows_when_the_tables_are_missing(finished, tmp_path):
    import shutil

    folder = tmp_path / "x"
    shutil.copytree(finished, folder)
    (folder / "scores.tsv").unlink()
    states = cell_states(folder).set_index("cell")["state"]
    assert states["scores.tsv"] == "missing"
    assert states["report.html"] == "finished"


def test_the_only_layer_is_in_the_summary(tmp_path):
    features = {**TABLE["features"], "gpt2": {"extractor": "text", "model": "shipped", "layers": [3]}}
    run_experiment(parse_experiment({**TABLE, "features": features}), tmp_path)
    printed = report.best_of(tmp_path)
    assert "gpt2 trained" in printed
    assert "gain of gpt2 trained" in printed


def test_scores_are_not_divided_by_a_ceiling_that_is_noise(finished):
    scores = read_table(finished, "scores")
    low = scores.assign(noise_ceiling=scores["noise_ceiling"].where(scores["target"] != "silent", 0.003))
    table = encoding.summary_table(low, subject="mean", metric="pearson", controls="words").set_index("target")
    normalised = table["gpt2 trained / ceiling"]
    assert np.isnan(normalised["silent"])
    expected = table.loc["temporal", "gpt2 trained"] / table.loc["temporal", "ceiling"]
    assert normalised["temporal"] == pytest.approx(expected)


def test_a_report_names_no_place_on_this_machine(tmp_path):
    import shutil

    from brainalign.extract import resolve_model

    model = tmp_path / "home of someone" / "mine"
    shutil.copytree(resolve_model("shipped").folder, model)
    features = {**TABLE["features"], "gpt2": {"extractor": "text", "model": str(model), "layers": [1]}}
    folder = tmp_path / "out"
    run_experiment(parse_experiment({**TABLE, "features": features}), folder)
    report.write(folder)
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "config.toml" and path.suffix != ".npy":
            assert "home of someone" not in path.read_text(), path
