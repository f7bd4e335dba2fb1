"""Decoding from data to report, on recordings made here and on the real one."""

import numpy as np
import pandas as pd
import pytest

from brainalign import report
from brainalign.arrays import Recording, Responses
from brainalign.compare.decoding import decode, decoder, permuted_accuracies
from brainalign.config import describe, parse_experiment, read_experiment, render
from brainalign.data import DATASETS
from brainalign.errors import BadConfig, BrainalignError, Misaligned, UnknownName
from brainalign.jobs.store import Store
from brainalign.pipeline import decoding
from brainalign.pipeline.labelled import samples_of_events
from brainalign.pipeline.plan import describe_plan
from brainalign.pipeline.problems import find_problems
from brainalign.results import cell_states, read_table, run_experiment

TR, N_VOLUMES, RUNS, CLASSES = 2.0, 40, ("1", "2", "3", "4", "5", "6"), ("cat", "face", "house")
LAG = 4.0  # s, two volumes
BLOCK = 6.0  # s, three volumes


def experiment(**changes):
    table = {
        "name": "decoding",
        "data": {"set": "haxby2001"},
        "decode": {"decoder": "ridge", "shift": LAG, "n_permutations": 19},
    }
    return parse_experiment({**table, "decode": table["decode"] | changes})


def make_recording(subjects=("a", "b"), seed=0):
    """In region "vt" of every subject a class has its pattern, LAG after its block began; "v1" is noise."""
    rng = np.random.default_rng(seed)
    events = pd.DataFrame(
        [
            {"run": run, "onset": 2.0 + 24.0 * i, "duration": BLOCK, "category": category}
            for run in RUNS
            for i, category in enumerate(rng.permutation(CLASSES))
        ]
    )
    rows = pd.DataFrame(
        {"run": np.repeat(RUNS, N_VOLUMES), "time": np.tile(TR * np.arange(N_VOLUMES), len(RUNS)), "duration": TR}
    )
    columns = pd.DataFrame(
        [
            {"subject": subject, "target": f"{roi}-{i}", "roi": roi}
            for subject in subjects
            for roi, n in (("vt", 6), ("v1", 4))
            for i in range(n)
        ]
    )
    values = rng.standard_normal((len(rows), len(columns)))
    for subject in subjects:
        mine = ((columns["subject"] == subject) & (columns["roi"] == "vt")).to_numpy()
        patterns = dict(zip(CLASSES, 4 * rng.standard_normal((len(CLASSES), 6)), strict=True))
        for event in events.itertuples():
            during = (rows["run"] == event.run) & rows["time"].between(event.onset + LAG, event.onset + LAG + BLOCK - 1)
            values[np.ix_(during.to_numpy(), mine)] += patterns[event.category]
    return Recording(events, Responses(values, rows, columns, {"from": "here"}))


@pytest.fixture(scope="module")
def made():
    return make_recording()


@pytest.fixture
def recording(made, monkeypatch):
    monkeypatch.setattr(DATASETS["haxby2001"], "load", lambda *_: made)
    monkeypatch.setattr(DATASETS["haxby2001"], "check", lambda *_: [])
    return made


@pytest.fixture(scope="module")
def tables(made, tmp_path_factory):
    samples = samples_of_events(made, column="category", shift=LAG)
    prepared = decoding.Prepared(experiment(), made, samples)
    store = Store(tmp_path_factory.mktemp("cells"))
    compute = decoding.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)
    return decoding.tabulate(prepared, store.path)


def test_a_sample_is_the_mean_of_the_volumes_of_its_response(recording):
    samples = samples_of_events(recording, column="category", shift=LAG)
    values = recording.responses.values.reshape(len(RUNS), N_VOLUMES, -1)
    np.testing.assert_allclose(samples.X[0], values[0, 3:6].mean(axis=0))  # 2 + 4 s to 12 s
    np.testing.assert_allclose(samples.X[4], values[1, 15:18].mean(axis=0))  # 26 + 4 s to 36 s
    assert samples.labels.tolist() == recording.events["category"].tolist()
    assert samples.run.tolist() == recording.events["run"].tolist()


def test_volumes_at_the_edges_belong_to_one_response_whatever_the_rounding(recording):
    tenths = recording.events.assign(onset=lambda e: e["onset"] + 0.1 + 0.2 - 0.3)
    shifted = Recording(tenths, recording.responses)
    np.testing.assert_array_equal(
        samples_of_events(shifted, column="category", shift=LAG).X,
        samples_of_events(recording, column="category", shift=LAG).X,
    )


def test_responses_to_single_events_are_taken_as_they_are(recording):
    event = np.arange(18)[::-1]
    rows = pd.DataFrame(
        {"run": recording.events["run"].to_numpy()[event], "time": np.arange(18.0), "duration": 1.0, "event": event}
    )
    values = np.random.default_rng(1).standard_normal((18, 2))
    columns = pd.DataFrame({"subject": "a", "target": ["x", "y"]})
    single = Recording(recording.events, Responses(values, rows, columns))
    samples = samples_of_events(single, column="category", shift=0.0)
    np.testing.assert_array_equal(samples.X, values)
    assert samples.labels.tolist() == recording.events["category"].tolist()[::-1]
    assert samples.run.tolist() == recording.events["run"].tolist()[::-1]
    with pytest.raises(Misaligned, match="responses to single events; nothing is 4 s later"):
        samples_of_events(single, column="category", shift=4.0)
    prepared = decoding.Prepared(experiment(), single, samples)
    assert [region.roi for region in prepared.regions.values()] == ["all"]


def test_a_response_that_ends_after_its_run_is_refused(recording):
    with pytest.raises(Misaligned, match=r"event at 50 s of run '1' is looked for from 75 to 81 s.*lasts to 80 s"):
        samples_of_events(recording, column="category", shift=25.0)
    with pytest.raises(UnknownName, match="unknown column of the events 'categories'"):
        samples_of_events(recording, column="categories", shift=0.0)


def test_events_without_a_class_are_refused(recording):
    events = recording.events.assign(category=["", *recording.events["category"][1:]])
    with pytest.raises(Misaligned, match="1 events have no category"):
        samples_of_events(Recording(events, recording.responses), column="category", shift=0.0)


def test_accuracies_are_those_of_the_decoder_by_hand(tables, recording):
    samples = samples_of_events(recording, column="category", shift=LAG)
    accuracies = tables["accuracies"].set_index(["subject", "roi"])
    for (subject, roi), of_region in recording.responses.columns.groupby(["subject", "roi"]):
        X, how = samples.X[:, of_region.index], {"run": samples.run, "estimator": decoder("ridge")}
        expected = decode(X, samples.labels, **how)
        null = permuted_accuracies(X, samples.labels, **how, n_permutations=19, seed=0)
        row = accuracies.loc[subject, roi]
        assert row["accuracy"] == pytest.approx(expected.accuracy)
        assert row["p"] == pytest.approx((np.sum(null >= expected.accuracy) + 1) / 20)
        assert row[["n_targets", "n_samples", "n_classes"]].tolist() == [len(of_region), 18, 3]
        assert row["chance"] == pytest.approx(1 / 3)
        assert row[["null_mean", "null_95"]].tolist() == pytest.approx([null.mean(), np.quantile(null, 0.95)])
        counts = tables["confusions"].query("subject == @subject and roi == @roi")
        np.testing.assert_array_equal(counts["n"].to_numpy().reshape(3, 3), expected.confusion)
        folds = tables["fold_accuracies"].query("subject == @subject and roi == @roi")
        assert folds["run"].tolist() == list(RUNS)
        assert folds["accuracy"].tolist() == pytest.approx(expected.fold_accuracies.tolist())


def test_what_is_planted_is_told_and_noise_is_not(tables):
    accuracies = tables["accuracies"].set_index(["subject", "roi"])
    for subject in ("a", "b", "mean"):
        assert accuracies.loc[(subject, "vt"), "accuracy"] > 0.9
        assert accuracies.loc[(subject, "vt"), "p_corrected"] == 0.05  # 1 / (19 + 1)
        assert accuracies.loc[(subject, "v1"), "p_corrected"] > 0.05
    assert (accuracies["p_corrected"] >= accuracies["p"]).all()


def test_the_mean_of_subjects_is_tested_against_means_of_the_same_permutations(tables):
    accuracies, nulls = (tables[name].set_index(["subject", "roi"]) for name in ("accuracies", "null_accuracies"))
    for roi in ("vt", "v1"):
        singles = accuracies.loc[[("a", roi), ("b", roi)], "accuracy"]
        assert accuracies.loc[("mean", roi), "accuracy"] == pytest.approx(singles.mean())
        both = (nulls.loc[("a", roi), "accuracy"].to_numpy() + nulls.loc[("b", roi), "accuracy"].to_numpy()) / 2
        np.testing.assert_allclose(nulls.loc[("mean", roi), "accuracy"], both)


def test_a_cell_is_named_by_everything_that_decides_it(recording):
    def names(**changes):
        return {cell.name: cell.folder for cell in decoding.prepare(experiment(**changes), None).cells}

    base = names()
    assert list(base) == ["decode-a-vt", "decode-a-v1", "decode-b-vt", "decode-b-v1"]
    for changes in (
        {"decoder": "svm"}, {"penalty": 2.0}, {"n_features": 2}, {"n_permutations": 5}, {"shift": 2.0},
    ):  # fmt: skip
        assert not set(base.values()) & set(names(**changes).values()), changes
    assert names(column="category") == base


def test_a_run_ends_in_tables_and_a_report_and_a_rerun_computes_nothing(recording, tmp_path):
    assert run_experiment(experiment(n_features=3), tmp_path / "out").complete
    page = report.write(tmp_path / "out").read_text()
    for expected in (
        "permutations of the labels within runs", "a ridge classifier (alpha = 1)", "Etzel (2017)", "Haxby, J. V.",
        "3 classes (category)", "the 3 features of the highest F", "vt (6 targets), v1 (4 targets)", "4 s later",
    ):  # fmt: skip
        assert expected in page, expected
    assert run_experiment(experiment(n_features=3), tmp_path / "out").computed == []
    assert set(cell_states(tmp_path / "out")["state"]) == {"finished"}
    printed = report.best_of(tmp_path / "out")
    assert "accuracy of ridge telling 3 classes (category) on runs left out; chance 0.333:" in printed
    assert len(printed.splitlines()) == 2 + 6


def test_without_permutations_there_are_no_p_values(recording, tmp_path):
    run_experiment(experiment(n_permutations=0), tmp_path / "out")
    assert read_table(tmp_path / "out", "accuracies")[["p", "p_corrected", "null_mean"]].isna().all(axis=None)
    assert len(read_table(tmp_path / "out", "null_accuracies")) == 0
    assert "permut" not in report.best_of(tmp_path / "out")
    assert "p-values" not in report.write(tmp_path / "out").read_text()


def test_problems_are_found_before_any_work(recording, monkeypatch):
    assert find_problems(experiment(), None) == []
    assert find_problems(experiment(n_features=5), None) == [
        f"decode.n_features: 5 features cannot be chosen from 4 targets of region 'v1' of subject {subject}"
        for subject in "ab"
    ]
    (problem,) = find_problems(experiment(column="animal"), None)
    assert problem.startswith("data.haxby2001: unknown column of the events 'animal'")
    (problem,) = find_problems(experiment(shift=30.0), None)
    assert "change decode.shift" in problem
    of_one_run = recording.events[recording.events["run"] == "1"]
    monkeypatch.setattr(DATASETS["haxby2001"], "load", lambda *_: Recording(of_one_run, recording.responses))
    assert find_problems(experiment(), None) == ["data.haxby2001: leaving one run out needs at least 2 runs, got ['1']"]


def test_dissimilarities_cannot_be_decoded():
    table = {"name": "x", "data": {"set": "kriegeskorte2008"}, "decode": {}}
    (problem,) = find_problems(parse_experiment(table), None)
    assert "kriegeskorte2008 has no responses" in problem


def test_a_subject_called_mean_beside_others_is_refused(monkeypatch, tmp_path):
    made = make_recording(subjects=("a", "mean"))
    monkeypatch.setattr(DATASETS["haxby2001"], "load", lambda *_: made)
    with pytest.raises(BrainalignError, match="a subject is called 'mean'"):
        run_experiment(experiment(n_permutations=0), tmp_path / "out")


def test_the_plan_knows_every_cell(recording):
    plan = describe_plan(experiment(), None, is_stored=lambda cell: False, timed=True)
    assert plan["cell"].tolist() == [cell.name for cell in decoding.prepare(experiment(), None).cells]
    assert plan["size"].tolist()[0] == "18 samples x 6 targets, 3 classes, 6 folds"
    assert (plan["seconds"] > 0).all()


def test_an_experiment_that_decodes_has_no_features(tmp_path):
    table = experiment().table()
    assert table["features"] == {}
    path = tmp_path / "x.toml"
    path.write_text(render(table, describe(experiment())))
    assert read_experiment(path).key == experiment().key
    with pytest.raises(BadConfig, match=r"features: \[decode\] has none"):
        parse_experiment({**table, "features": {"words": {"extractor": "words"}}})
    with pytest.raises(BadConfig, match="expected at least one table"):
        parse_experiment({"name": "x", "data": {"set": "simulated"}})
    for bad in ({"decoder": "lda"}, {"penalty": 0.0}, {"n_features": 0}, {"shift": -1.0}, {"n_permutations": -1}):
        with pytest.raises(BadConfig, match=next(iter(bad))):
            experiment(**bad)
