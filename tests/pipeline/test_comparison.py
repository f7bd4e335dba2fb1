"""RDMs of features against RDMs of brains, on images and brains made here."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr

from brainalign import report
from brainalign.arrays import Activations, Dissimilarities, Rdms
from brainalign.compare.rsa import COMPARISONS, noise_ceiling
from brainalign.config import parse_experiment
from brainalign.data import DATASETS
from brainalign.errors import BadConfig, Misaligned
from brainalign.jobs.store import Store
from brainalign.pipeline import comparison
from brainalign.pipeline.plan import describe_plan
from brainalign.pipeline.problems import find_problems
from brainalign.results import cell_states, read_table, run_experiment

N_IMAGES = 12
PAIRS = np.triu_indices(N_IMAGES, k=1)


def experiment(**changes):
    table = {
        "name": "rdms",
        "data": {"set": "kriegeskorte2008"},
        "features": {"low": {"extractor": "pixels", "layers": ["pixels", "luminance"], "size": 16}},
        "compare": {"comparison": "spearman", "distance": "euclidean", "n_permutations": 99},
    }
    for key, value in changes.items():
        table[key] = {**table[key], **value}
    return parse_experiment(table)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(N_IMAGES)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(path)
    onsets = np.arange(float(N_IMAGES))
    return pd.DataFrame({"run": "1", "onset": onsets, "duration": 1.0, "image": [str(path) for path in paths]})


@pytest.fixture(scope="module")
def images(events):
    return np.stack([np.asarray(Image.open(path), dtype=float).ravel() for path in events["image"]])


@pytest.fixture
def stimuli(events, images, monkeypatch):
    """Area "it" of three people with two sessions sees pixels through noise, area "v1" of one sees only noise."""
    rng = np.random.default_rng(1)
    truth = pdist(images)
    rows = [{"target": "it", "subject": who, "session": n} for who in "abc" for n in "12"]
    values = [truth + truth.std() * rng.standard_normal(truth.size) for _ in rows]
    rows.append({"target": "v1", "subject": "mean", "session": "mean"})
    values.append(np.abs(rng.standard_normal(truth.size)))
    columns = pd.DataFrame({"first": PAIRS[0], "second": PAIRS[1]})
    models = Rdms(rng.random((1, truth.size)), pd.DataFrame({"name": ["chance"]}), columns)
    stimuli = Dissimilarities(events, Rdms(np.stack(values), pd.DataFrame(rows), columns, {"from": "here"}), models)
    module = DATASETS["kriegeskorte2008"]
    monkeypatch.setattr(module, "load_rdms", lambda *_: stimuli)
    monkeypatch.setattr(module, "check", lambda *_: [])
    return stimuli


@pytest.fixture
def tables(stimuli, tmp_path):
    prepared = comparison.prepare(experiment(), None)
    store = Store(tmp_path)
    compute = comparison.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)
    return comparison.tabulate(prepared, store.path)


def test_similarities_are_those_of_rdms_by_hand(tables, stimuli, images):
    table = tables["similarities"]
    one = table.query("layer == 'pixels' and target == 'it' and comparison == 'pearson'").set_index("subject")
    truth = pdist(images)
    for i, subject in enumerate("abc"):
        of_sessions = stimuli.brains.values[2 * i : 2 * i + 2].mean(axis=0)
        assert one.loc[subject, "similarity"] == pytest.approx(pearsonr(truth, of_sessions)[0], abs=1e-6)
    mean = stimuli.brains.values[:6].mean(axis=0)
    assert one.loc["mean", "similarity"] == pytest.approx(pearsonr(truth, mean)[0], abs=1e-6)
    between = table.query("family == 'brain' and target == 'v1' and comparison == 'pearson'")
    assert between["feature_space"].tolist() == ["it"]
    assert between["similarity"].item() == pytest.approx(pearsonr(mean, stimuli.brains.values[6])[0])


def test_every_candidate_is_compared_with_every_subject_once(tables):
    table = tables["similarities"]
    candidates_of_it, candidates_of_v1 = 2 + 1 + 1, 2 + 1 + 1
    assert len(table) == len(COMPARISONS) * (4 * candidates_of_it + 1 * candidates_of_v1)
    assert tuple(table.columns) == comparison.COLUMNS
    assert not table.duplicated(["subject", "family", "feature_space", "layer", "target", "comparison"]).any()


def test_the_ceiling_is_that_of_the_subjects(tables, stimuli):
    rdms = stimuli.brains.values[:6].reshape(3, 2, -1).mean(axis=1)
    expected = noise_ceiling(rdms, comparison="spearman")
    row = tables["similarities"].query("target == 'it' and comparison == 'spearman'").iloc[0]
    assert row[["ceiling_lower", "ceiling_upper"]].tolist() == pytest.approx([expected.lower, expected.upper])
    assert tables["similarities"].query("target == 'v1'")["ceiling_lower"].isna().all()


def test_what_is_planted_is_significant_and_chance_is_not(tables):
    table = tables["similarities"].query("subject == 'mean' and target == 'it'")
    first = table[table["comparison"] == "spearman"].set_index("feature_space")
    planted = first[first["layer"] == "pixels"]
    assert planted["p"].item() == planted["p_corrected"].item() == 0.01  # 1 / (99 + 1)
    assert first.loc["chance", "p_corrected"] > 0.05
    assert (first["p_corrected"] >= first["p"]).all()
    assert table.loc[table["comparison"] != "spearman", "p"].isna().all()


def test_rdms_are_told_by_column(tables, images):
    rdms = tables["rdms"]
    of_features = ["features low pixels", "features low luminance"]
    assert list(rdms) == ["first", "second", "brain it", "brain v1", *of_features, "published chance"]
    assert np.corrcoef(rdms["features low pixels"], pdist(images))[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("name", ["first", "image", "published", "chance", "it"])
def test_no_name_of_a_feature_space_changes_another_column(stimuli, tmp_path, name):
    table = experiment().table()
    table["features"] = {name: {"extractor": "random_embedding"}}
    run_experiment(parse_experiment(table), tmp_path / "out")
    rdms = read_table(tmp_path / "out", "rdms")
    assert rdms["first"].tolist() == PAIRS[0].tolist()
    assert len(rdms.columns) == 2 + 2 + 1 + 1
    assert all(pd.api.types.is_numeric_dtype(dtype) for dtype in rdms.dtypes)
    report.write(tmp_path / "out")


@pytest.mark.parametrize("distance", ["euclidean", "correlation"])
def test_categories_are_ranked_as_the_model_of_categories(stimuli, tmp_path, distance):
    kinds = pd.Series([*"aaaabbbbbcdd"])
    apart = np.not_equal(*(kinds.to_numpy()[positions] for positions in PAIRS)).astype(float)
    one_hot = Activations(
        pd.get_dummies(kinds).to_numpy(np.float32),
        stimuli.events[["run", "onset", "duration"]],
        pd.DataFrame({"layer": "-", "unit": [*"abcd"]}),
    )
    prepared = comparison.prepare(experiment(compare={"distance": distance}), None)
    compute = comparison.Computer(prepared, Store(tmp_path))
    candidate = next(iter(prepared.candidates.values()))
    one_hot.save(compute.store.path(candidate.extraction) / f"layer{candidate.layer}")
    rdm = compute.rdm(candidate)
    assert len(np.unique(rdm)) == 2
    for name in ("spearman", "kendall_tau_a"):
        expected = COMPARISONS[name](apart, stimuli.brains.values)
        assert COMPARISONS[name](rdm, stimuli.brains.values) == pytest.approx(expected)


def test_a_cell_is_named_by_everything_that_decides_it(stimuli):
    def names(**changes):
        return {cell.name: cell.folder for cell in comparison.prepare(experiment(**changes), None).cells}

    base = names()

    def changed(**changes):
        other = names(**changes)
        return {name for name in base if base[name] != other[name]}

    compared = {name for name in base if name.startswith("compare")}
    of_features = {name for name in compared if "low" in name}
    assert changed(compare={"distance": "correlation"}) == of_features
    assert changed(compare={"comparison": "pearson"}) == compared
    assert changed(compare={"n_permutations": 7}) == compared


def test_a_run_ends_in_tables_and_a_report_and_a_rerun_computes_nothing(stimuli, tmp_path):
    outcome = run_experiment(experiment(), tmp_path / "out")
    assert outcome.complete
    page = report.write(tmp_path / "out").read_text()
    for expected in ("Similarity with it", "random orders of the stimuli", "Nili et al.", "euclidean distance"):
        assert expected in page
    assert run_experiment(experiment(), tmp_path / "out").computed == []
    assert set(cell_states(tmp_path / "out")["state"]) == {"finished"}
    printed = report.best_of(tmp_path / "out")
    assert "Spearman's rho with it, average over subjects; noise ceiling" in printed
    assert "Spearman's rho with v1, its only RDM:" in printed
    assert page.count("There is one RDM of this area.") == 1
    assert "Pearson's r of the mean RDMs of it and v1" in printed
    assert set(read_table(tmp_path / "out", "similarities")["weights"]) == {""}


def test_without_permutations_there_are_no_p_values(stimuli, tmp_path):
    run_experiment(experiment(compare={"n_permutations": 0}), tmp_path / "out")
    assert read_table(tmp_path / "out", "similarities")["p"].isna().all()
    assert "random orders" not in report.write(tmp_path / "out").read_text()


def test_stimuli_that_are_all_alike_fail_by_name(stimuli, tmp_path):
    for path in stimuli.events["image"]:
        Image.fromarray(np.full((16, 16), 7, np.uint8)).save(tmp_path / path.rsplit("/", 1)[1])
    flat = stimuli.events.assign(image=lambda e: [str(tmp_path / path.rsplit("/", 1)[1]) for path in e["image"]])
    alike = Dissimilarities(flat, stimuli.brains)
    prepared = comparison.Prepared(experiment(), alike, comparison.mean_rdms(alike.brains))
    outcome = []
    store = Store(tmp_path / "cells")
    compute = comparison.Computer(prepared, store)
    for cell in prepared.cells:
        try:
            with store.writing(cell) as folder:
                compute(cell, folder)
        except Exception as error:  # noqa: BLE001 - which it is, is what is asked
            outcome.append(str(error))
    assert any("low pixels" in line and "all are equal" in line for line in outcome)


def test_problems_are_found_before_any_work(stimuli):
    assert find_problems(experiment(), None) == []
    blind = experiment(features={"low": {"extractor": "words", "quantities": ["rate"]}})
    assert any(line.startswith("features.low:") for line in find_problems(blind, None))


def test_a_recording_has_no_rdms():
    problems = find_problems(experiment(data={"set": "simulated"}), None)
    assert problems == [
        "data.set: simulated has no dissimilarities to compare; with [encode] its responses are predicted"
    ]


def test_an_experiment_has_one_method():
    table = experiment().table()
    with pytest.raises(BadConfig, match=r"one of the tables \[encode\], \[compare\]") as caught:
        parse_experiment({**table, "encode": {}})
    assert len(caught.value.problems) == 1
    with pytest.raises(BadConfig, match=r"compar: unknown key \(did you mean 'compare'\?\)"):
        parse_experiment({name.replace("compare", "compar"): part for name, part in table.items()})
    with pytest.raises(BadConfig, match="align: unknown key"):
        parse_experiment({**table, "align": {}})


def test_rdms_of_other_stimuli_are_refused(stimuli):
    with pytest.raises(Misaligned, match="11 stimuli have 55 pairs, the RDMs have 66"):
        Dissimilarities(stimuli.events.iloc[:-1], stimuli.brains)


def test_comparisons_of_as_many_pairs_take_as_long(stimuli):
    plans = comparison.plan_cells(comparison.prepare(experiment(), None))
    seconds = {planned.seconds() for planned in plans if planned.cell.name.startswith("compare")}
    assert len(seconds) == 1
    assert 0 < seconds.pop() < 10


def test_the_plan_knows_every_cell(stimuli):
    plan = describe_plan(experiment(), None, is_stored=lambda cell: False)
    assert plan["cell"].tolist() == [cell.name for cell in comparison.prepare(experiment(), None).cells]
    assert set(plan["stored"]) == {"no"}
    assert plan["size"].tolist()[1:3] == ["12 stimuli x 256 units, 5 RDMs"] * 2
