"""Decoding of epochs from data to report: against the arrays' functions, planted times, what is left out."""

import numpy as np
import pandas as pd
import pytest

from brainalign import report
from brainalign.arrays import Recording, Responses
from brainalign.compare.decoding import decoder
from brainalign.compare.over_times import decode_over_times, generalise_over_times, permuted_over_times
from brainalign.config import parse_experiment
from brainalign.data import DATASETS
from brainalign.errors import BadConfig
from brainalign.pipeline import decoding
from brainalign.pipeline.plan import describe_plan
from brainalign.pipeline.problems import find_problems
from brainalign.results import cell_states, read_table, run_experiment

STEP, RUNS = 0.05, ("1", "2", "3")
WINDOW = {"tmin": -0.1, "tmax": 0.3}


def experiment(**changes):
    decode = {"decoder": "ridge", "epochs": WINDOW, "score": "roc_auc", "generalise": True, "n_permutations": 39}
    return parse_experiment({"name": "x", "data": {"set": "haxby2001"}, "decode": decode | changes})


@pytest.fixture
def recording(monkeypatch):
    """Two people; a tool, not an animal, has a pattern from 0.1 to 0.2 s; the last event of each run is bad."""
    rng = np.random.default_rng(0)
    patterns, rows, events, values = {s: 2e-13 * rng.standard_normal(4) for s in "ab"}, [], [], []
    for run in RUNS:
        onset = 0.5 + 0.5 * np.arange(24)
        category = rng.permutation(np.repeat(["animal", "tool"], 12))
        events.append(pd.DataFrame({"run": run, "onset": onset, "duration": 0.2, "category": category}))
        times = STEP * np.arange(round((onset[-1] + 1) / STEP))
        rows.append(pd.DataFrame({"run": run, "time": times, "duration": STEP, "bad": times > onset[-1] + 0.22}))
        of_run = 1e-13 * rng.standard_normal((len(times), 8))
        for at in onset[category == "tool"]:
            start = round((at + 0.1) / STEP)
            of_run[start : start + 3] += np.r_[patterns["a"], patterns["b"]]
        values.append(of_run)
    columns = pd.DataFrame({"subject": np.repeat(["a", "b"], 4), "target": list("wxyz") * 2})
    rows = pd.concat(rows, ignore_index=True)
    made = Recording(pd.concat(events, ignore_index=True), Responses(np.vstack(values), rows, columns))
    monkeypatch.setattr(DATASETS["haxby2001"], "load", lambda *_: made)
    monkeypatch.setattr(DATASETS["haxby2001"], "check", lambda *_: [])
    return made


def test_a_run_ends_in_tables_that_are_those_of_the_arrays(recording, tmp_path):
    assert find_problems(experiment(), None) == []
    assert run_experiment(experiment(), tmp_path).complete
    prepared = decoding.prepare(experiment(), None)
    assert prepared.provenance["left_out"] == {"window holds bad samples": 3}
    samples, times = prepared.samples, np.arange(-2, 7) * STEP
    np.testing.assert_allclose(prepared.times, times)
    how = {"run": samples.run, "estimator": decoder("ridge"), "score": "roc_auc"}
    table, pairs = (read_table(tmp_path, name) for name in ("scores_over_time", "generalisation"))
    assert table["subject"].unique().tolist() == ["a", "b", "mean"]
    means, nulls = [], []
    for subject, where in (("a", slice(0, 4)), ("b", slice(4, 8))):
        X = samples.X.reshape(len(samples.X), 8, len(times))[:, where]
        expected = decode_over_times(X, samples.labels, **how).mean(axis=0)
        null = permuted_over_times(X, samples.labels, **how, n_permutations=39, seed=0)
        rows = table[table["subject"] == subject]
        np.testing.assert_allclose(rows["score"], expected)
        np.testing.assert_allclose(rows["p"], ((null >= expected - 1e-12).sum(axis=0) + 1) / 40)
        highest = null.max(axis=1)
        np.testing.assert_allclose(rows["p_corrected"], [((highest >= r - 1e-12).sum() + 1) / 40 for r in expected])
        np.testing.assert_allclose(rows["null_95"], np.quantile(null, 0.95, axis=0))
        square = pairs[pairs["subject"] == subject].pivot(index="trained", columns="tested", values="score")
        np.testing.assert_allclose(square, generalise_over_times(X, samples.labels, **how).mean(axis=0))
        means.append(expected)
        nulls.append(null)
    of_mean = table[table["subject"] == "mean"]
    np.testing.assert_allclose(of_mean["score"], np.mean(means, axis=0))
    np.testing.assert_allclose(of_mean["score_sem"], np.std(means, axis=0, ddof=1) / np.sqrt(2))
    np.testing.assert_allclose(of_mean["null_mean"], np.mean(nulls, axis=(0, 1)))
    assert (of_mean["chance"] == 0.5).all()
    assert of_mean.loc[of_mean["p_corrected"] <= 0.05, "time"].to_numpy() == pytest.approx([0.1, 0.15, 0.2])
    assert of_mean.loc[of_mean["time"] <= 0.06, "p_corrected"].min() > 0.05


def test_its_report_says_what_was_done(recording, tmp_path):
    run_experiment(experiment(), tmp_path)
    page = report.write(tmp_path).read_text()
    for expected in (
        "Scores over time", "Temporal generalisation", "69 epochs, from -0.1 to 0.3 s", "area under the ROC curve",
        "Events left out: 3 window holds bad samples", "highest score over all times", "King &amp; Dehaene (2014)",
        "all (4 channels)", "2 subjects",
    ):  # fmt: skip
        assert expected in page, expected
    printed = report.best_of(tmp_path)
    assert printed.startswith("roc_auc of ridge telling 2 classes (category) on runs left out, when it is highest")
    assert printed.splitlines()[2].split()[:2] == ["all", "4"]
    assert run_experiment(experiment(), tmp_path).computed == []
    assert set(cell_states(tmp_path)["state"]) == {"finished"}


def test_without_permutations_and_generalisation(recording, tmp_path):
    plain = experiment(n_permutations=0, generalise=False, score="accuracy")
    run_experiment(plain, tmp_path)
    table = read_table(tmp_path, "scores_over_time")
    assert table[["p", "p_corrected", "null_95"]].isna().all(axis=None)
    assert not (tmp_path / "generalisation.tsv").exists()
    counts = np.unique(decoding.prepare(plain, None).samples.labels, return_counts=True)[1]
    assert table["chance"].iloc[0] == pytest.approx(counts.max() / counts.sum())
    page = report.write(tmp_path).read_text()
    assert "p-values" not in page
    assert "Temporal generalisation" not in page
    assert "permut" not in report.best_of(tmp_path)


def test_a_cell_is_named_by_everything_that_decides_it(recording):
    def names(**changes):
        return {cell.folder for cell in decoding.prepare(experiment(**changes), None).cells}

    for changes in (
        {"epochs": {"tmin": -0.1, "tmax": 0.2}}, {"epochs": WINDOW | {"baseline": [-0.1, 0.0]}}, {"score": "accuracy"},
        {"generalise": False}, {"n_permutations": 5}, {"penalty": 2.0},
    ):  # fmt: skip
        assert not names() & names(**changes), changes


def test_what_cannot_be_decoded_over_time_is_a_problem(recording):
    (problem,) = find_problems(experiment(column="colour"), None)
    assert "unknown column of the events 'colour'" in problem
    recording.events["third"] = np.resize(["a", "b", "c"], len(recording.events))
    (problem,) = find_problems(experiment(column="third"), None)
    assert "roc_auc needs two classes, both in every test fold: got 3 classes" in problem
    assert find_problems(experiment(column="third", score="accuracy"), None) == []
    assert find_problems(experiment(n_features=5, score="accuracy"), None) == [
        f"decode.n_features: 5 features cannot be chosen from 4 targets of region 'all' of subject {subject}"
        for subject in "ab"
    ]
    for wrong in ({"shift": 1.0}, {"epochs": None}, {"score": "auc"}):
        with pytest.raises(BadConfig, match="decode"):
            experiment(**wrong)


def test_the_plan_knows_times_and_permutations(recording):
    plan = describe_plan(experiment(), None, is_stored=lambda cell: False, timed=True)
    assert plan["cell"].tolist() == ["decode-a-all", "decode-b-all"]
    assert plan["size"].iloc[0] == "69 samples x 4 channels, 2 classes, 3 folds, 9 x 9 times"
    assert (plan["seconds"] > 0).all()
    of_logistic = describe_plan(experiment(decoder="logistic"), None, is_stored=lambda cell: False, timed=True)
    assert of_logistic["seconds"].min() > 2 * plan["seconds"].max()  # one permutation after the other
