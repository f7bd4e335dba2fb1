import numpy as np
import pandas as pd
import pytest

from brainalign import pipeline
from brainalign.arrays import Activations, Recording, Responses
from brainalign.config import Splits, parse_experiment
from brainalign.encode.metrics import METRICS
from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.jobs.store import Store


def experiment(**changes):
    table = {
        "name": "x",
        "data": {"set": "simulated", "n_subjects": 3},
        "features": {
            "words": {"extractor": "words", "quantities": ["rate", "length"]},
            "position": {"extractor": "words", "quantities": ["position_in_run"]},
        },
        "align": {"delays": [1, 2, 3]},
        "encode": {
            "alphas": {"low": 1.0, "high": 1e4, "n": 3},
            "outer": {"kind": "groups", "by": "run"},
            "inner": {"kind": "groups", "by": "run"},
        },
    }
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    return parse_experiment(table)


def responses(values, run, subjects=("a",), **rows):
    n_samples, n_columns = values.shape
    targets = [f"t{i}" for i in range(n_columns // len(subjects))]
    columns = pd.DataFrame({"subject": np.repeat(subjects, len(targets)), "target": targets * len(subjects)})
    table = pd.DataFrame({"run": run, "time": np.arange(n_samples) * 2.0, "duration": 2.0, **rows})
    return Responses(values, table, columns)


def words(run_words):
    rows = [
        {"run": run, "onset": 2.0 * i, "duration": 0.3, "word": w} for run, ws in run_words for i, w in enumerate(ws)
    ]
    return pd.DataFrame(rows)


def test_the_group_mean_weighs_subjects_equally_whatever_their_units():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((50, 1))
    values = np.hstack([shared * 1e-12, shared * 1e3 + 7, shared])
    with_mean = pipeline.with_group_mean(responses(values, "1", ("a", "b", "c")))
    assert with_mean.columns["subject"].tolist() == ["a", "b", "c", "mean"]
    assert np.allclose(with_mean.values[:, 3], (shared[:, 0] - shared.mean()) / shared.std())


def test_one_subject_has_no_group_mean():
    alone = responses(np.random.default_rng(0).standard_normal((5, 2)), "1")
    assert pipeline.with_group_mean(alone) is alone


def test_a_constant_target_cannot_hide_in_the_group_mean():
    values = np.random.default_rng(0).standard_normal((9, 4))
    values[:, 3] = 5
    with pytest.raises(Misaligned, match="subject b, target t1 is constant"):
        pipeline.with_group_mean(responses(values, "1", ("a", "b")))


def test_two_runs_of_one_story_share_their_stimuli_and_cannot_be_split():
    events = words([("1", "abcdef"), ("2", "abcdef"), ("3", "ghijkl"), ("4", "mnopqr")])
    run = np.repeat(["1", "2", "3", "4"], 6)
    recording = Recording(events, responses(np.zeros((24, 1)), run))
    stimulus = pipeline.stimuli_of_samples(recording)
    assert (stimulus[:6] == stimulus[6:12]).all()
    assert len(set(stimulus)) == 18
    rows = recording.responses.rows
    for leaking in (Splits(kind="groups", by="run"), Splits(kind="blocks", n=4)):
        with pytest.raises(BrainalignError, match="training and in the test set"):
            pipeline.make_folds(leaking, rows, stimulus)
    folds = pipeline.make_folds(Splits(kind="groups", by="stimulus"), rows, stimulus)
    assert [len(fold.test) for fold in folds] == [12, 6, 6]


def test_a_repeated_sentence_cannot_be_split():
    sentences = [f"s{i % 10}" for i in range(20)]
    events = pd.DataFrame({"run": "1", "onset": np.arange(20.0), "duration": 1.0, "sentence": sentences})
    recording = Recording(events, responses(np.zeros((20, 1)), "1", event=np.arange(20)))
    stimulus = pipeline.stimuli_of_samples(recording)
    with pytest.raises(BrainalignError, match="stimulus 's0'"):
        pipeline.make_folds(Splits(kind="blocks", n=4), recording.responses.rows, stimulus)
    folds = pipeline.make_folds(Splits(kind="groups", by="stimulus"), recording.responses.rows, stimulus)
    assert len(folds) == 10


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    prepared = pipeline.prepare(experiment(), None)
    store = Store(tmp_path_factory.mktemp("cells"))
    compute = pipeline.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)
    return prepared, store, compute


def test_x_is_what_the_method_says(computed):
    prepared, _, compute = computed
    candidate = next(c for c in prepared.candidates.values() if c.feature_space == "words")
    X = compute.features(candidate)
    rows, events = prepared.recording.responses.rows, prepared.recording.events
    expected = np.zeros((len(rows), 6))
    for i, row in rows.iterrows():
        for d, delay in enumerate((1, 2, 3)):
            j = i - delay
            if j >= 0 and rows["run"][j] == row["run"]:
                start, stop = rows["time"][j], rows["time"][j] + rows["duration"][j]
                inside = events[
                    (events["run"] == row["run"]) & (events["onset"] >= start - 1e-7) & (events["onset"] < stop - 1e-7)
                ]
                expected[i, 2 * d : 2 * d + 2] = len(inside), inside["word"].str.len().sum()
    assert np.allclose(X[:, 0::2], expected[:, 0::2])
    assert np.corrcoef(X[:, 1::2].ravel(), expected[:, 1::2].ravel())[0, 1] > 0.99  # punctuation is not counted


def test_scores_are_those_of_a_fit_by_hand(computed):
    from sklearn.linear_model import Ridge

    prepared, store, compute = computed
    cell, candidate = next((cell, c) for cell, c in prepared.candidates.items() if c.feature_space == "words")
    result = pipeline.read_fold_scores(store.path(cell))
    X, Y = compute.features(candidate), prepared.recording.responses.values.astype(float)
    train, test = prepared.folds[1]
    mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
    for i_target in (0, 5, Y.shape[1] - 1):
        model = Ridge(alpha=result.alpha[1, i_target]).fit((X[train] - mean) / deviation, Y[train, i_target])
        predicted = model.predict((X[test] - mean) / deviation)
        r = np.corrcoef(predicted, Y[test, i_target])[0, 1]
        assert result.scores["pearson"][1, i_target] == pytest.approx(r, abs=1e-6)


def test_a_cell_is_named_by_everything_that_decides_it():
    base = {cell.name: cell.folder for cell in pipeline.prepare(experiment(), None).cells}

    def changed(**changes):
        other = {cell.name: cell.folder for cell in pipeline.prepare(experiment(**changes), None).cells}
        return {name for name in base if base[name] != other[name]}

    scored = {name for name in base if name.startswith("score")}
    assert changed() == set()
    assert changed(name="another") == set()
    assert changed(report={"ceilings": ["split_half"]}) == set()
    assert changed(align={"delays": [1, 2]}) == scored
    assert changed(encode={"alphas": {"low": 1.0, "high": 1e4, "n": 4}}) == scored
    assert changed(data={"set": "simulated", "n_subjects": 3, "seed": 1}) == scored


def test_other_words_or_another_version_make_other_cells(monkeypatch):
    prepared = pipeline.prepare(experiment(), None)
    recording = prepared.recording
    events = recording.events.copy()
    events.loc[0, "word"] = "other"
    changed = pipeline.Prepared(
        prepared.experiment, Recording(events, recording.responses), prepared.stimulus, prepared.folds
    )
    assert not {c.folder for c in prepared.cells} & {c.folder for c in changed.cells}
    monkeypatch.setattr(pipeline, "__version__", "9.9")
    assert not {c.folder for c in prepared.cells} & {c.folder for c in pipeline.prepare(experiment(), None).cells}


def test_stored_activations_of_other_events_are_refused(computed):
    prepared, store, _ = computed
    activations = Activations.load(store.path(prepared.extractions["words", ""]) / "layer-")
    with pytest.raises(Misaligned, match="other onsets"):
        pipeline._same_events(activations, prepared.recording.events.assign(onset=lambda e: e["onset"] + 1))


def test_controls_are_joined_to_models_only():
    features = {"gpt2": {"extractor": "text", "model": "shipped", "layers": [0, 2]}}
    prepared = pipeline.prepare(experiment(features=features, encode={"controls": "words"}), None)
    joint = [c for c in prepared.candidates.values() if "+" in c.feature_space]
    assert [(c.feature_space, c.weights, c.layer) for c in joint] == [
        ("words+gpt2", "trained", "0"),
        ("words+gpt2", "trained", "2"),
    ]
    assert [cell.name for cell, _ in joint[0].parts] == ["extract-words", "extract-gpt2-trained"]


def test_every_problem_is_found_before_any_work():
    features = {
        "far": {"extractor": "text", "model": "shipped", "layers": [99]},
        "nowhere": {"extractor": "text", "model": "/no/such/folder"},
        "column": {"extractor": "words", "quantities": [], "columns": ["surprisal"]},
    }
    problems = pipeline.find_problems(experiment(features=features, align={"delays": [500]}), None)
    for expected in ("features.far", "features.nowhere", "features.column", "align.delays: a delay of 500 samples"):
        assert any(expected in problem for problem in problems), (expected, problems)


def test_a_clock_that_does_not_fit_is_a_problem():
    problems = pipeline.find_problems(experiment(align={"to": "events"}), None)
    assert any("'events' does not fit simulated" in problem for problem in problems)


def test_a_good_experiment_has_no_problem():
    assert pipeline.find_problems(experiment(), None) == []


def test_the_plan_says_what_is_stored(computed):
    prepared, store, _ = computed
    plan = pipeline.describe_plan(prepared, store.has)
    assert plan["cell"].tolist() == [cell.name for cell in prepared.cells]
    assert set(plan["stored"]) == {"yes"}
    assert set(pipeline.describe_plan(prepared, lambda cell: False)["stored"]) == {"no"}
    on_disk = store.path(prepared.extractions["words", ""]) / "layer-" / "values.npy"
    stated = plan.set_index("cell").loc["extract-words", "disk_mb"] * 1e6
    assert stated == pytest.approx(on_disk.stat().st_size, rel=0.05, abs=600)


def test_packaged_analyses_are_found():
    assert {"demo", "brennan2016_layers", "tuckute2024_layers"} <= {path.stem for path in pipeline.analysis_files()}
    with pytest.raises(UnknownName, match="did you mean 'demo'"):
        pipeline.packaged_analysis("dmeo")


def test_fold_scores_are_read_as_written(computed):
    prepared, store, _ = computed
    result = pipeline.read_fold_scores(store.path(next(iter(prepared.candidates))))
    assert set(result.scores) == set(METRICS)
    assert result.alpha.shape == (4, prepared.recording.responses.shape[1])


def test_inner_splits_that_share_a_stimulus_are_a_problem(monkeypatch):
    """Sentences shown twice: outer splits keep them whole, inner blocks would not."""
    rng = np.random.default_rng(0)
    sentences = [f"sentence {i % 40}" for i in range(80)]
    events = pd.DataFrame({"run": "1", "onset": np.arange(80.0), "duration": 1.0, "sentence": sentences})
    recording = Recording(events, responses(rng.standard_normal((80, 2)), "1", event=np.arange(80)))
    monkeypatch.setattr(pipeline.DATASETS["simulated"], "load", lambda *_: recording)
    features = {"words": {"extractor": "words", "quantities": ["length"]}}
    by_stimulus = {"kind": "groups", "by": "stimulus", "n": 5}

    def problems(inner):
        table = {"name": "x", "data": {"set": "simulated"}, "features": features, "align": {"to": "events"}}
        return pipeline.find_problems(
            parse_experiment({**table, "encode": {"outer": by_stimulus, "inner": inner}}), None
        )

    assert any("encode.inner: stimulus" in line for line in problems({"kind": "blocks", "n": 4}))
    assert problems({**by_stimulus, "n": 4}) == []


def test_delays_between_unrelated_stimuli_are_a_problem():
    problems = pipeline.find_problems(experiment(align={"to": "events", "delays": [1, 2]}), None)
    assert any("have no delays" in line for line in problems)


def test_runs_inside_and_blocks_outside_go_together(tmp_path):
    mixed = experiment(encode={"outer": {"kind": "blocks", "n": 6, "gap": 4}})
    assert pipeline.find_problems(mixed, None) == []
    prepared = pipeline.prepare(mixed, None)
    store = Store(tmp_path)
    compute = pipeline.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)


def test_the_number_of_folds_of_groups_is_honoured():
    rows = pd.DataFrame({"run": np.repeat(list("abcdef"), 5)})
    stimulus = np.arange(30).astype(str)
    assert len(pipeline.make_folds(Splits(kind="groups"), rows, stimulus)) == 6
    assert len(pipeline.make_folds(Splits(kind="groups", n=3), rows, stimulus)) == 3


def test_subjects_are_found_whatever_the_order_of_the_columns():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((30, 6))
    columns = pd.DataFrame({"subject": ["a", "b", "c"] * 2, "target": ["X"] * 3 + ["Y"] * 3})
    rows = pd.DataFrame({"run": "1", "time": np.arange(30) * 2.0, "duration": 2.0})
    mixed = pipeline.with_group_mean(Responses(values, rows, columns))
    assert mixed.columns.iloc[6:].to_numpy().tolist() == [["mean", "X"], ["mean", "Y"]]
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    assert np.allclose(mixed.values[:, 6], z[:, :3].mean(axis=1))
    assert np.allclose(mixed.values[:, 7], z[:, 3:].mean(axis=1))


def test_subjects_with_different_targets_are_refused():
    columns = pd.DataFrame({"subject": ["a", "a", "b"], "target": ["X", "Y", "X"]})
    rows = pd.DataFrame({"run": "1", "time": np.arange(9) * 2.0, "duration": 2.0})
    values = np.random.default_rng(0).standard_normal((9, 3))
    with pytest.raises(Misaligned, match="subject b has no target Y"):
        pipeline.with_group_mean(Responses(values, rows, columns))


def test_a_subject_called_mean_is_refused():
    values = np.random.default_rng(0).standard_normal((9, 2))
    with pytest.raises(Misaligned, match="called 'mean'"):
        pipeline.with_group_mean(responses(values, "1", ("mean", "b")))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["split_half"], "needs at least 3 subjects, simulated has 2"),
        (["published"], "publishes no noise ceiling"),
    ],
)
def test_a_ceiling_that_cannot_be_made_is_a_problem(kinds, expected):
    few = experiment(data={"set": "simulated", "n_subjects": 2}, report={"ceilings": kinds})
    assert any(expected in line for line in pipeline.find_problems(few, None))


def test_where_a_model_lies_does_not_name_its_cell(tmp_path):
    import shutil

    from brainalign.extract import resolve_model

    shipped = resolve_model("shipped").folder
    names = []
    for place in ("one", "two"):
        shutil.copytree(shipped, tmp_path / place / "model")
        features = {"m": {"extractor": "text", "model": str(tmp_path / place / "model"), "layers": [1]}}
        prepared = pipeline.prepare(experiment(features=features), None)
        names.append([cell.folder for cell in prepared.cells])
        assert str(tmp_path) not in str([cell.settings for cell in prepared.cells])
    assert names[0] == names[1]
    (tmp_path / "two" / "model" / "tokenizer_config.json").write_text('{"model_max_length": 99}')
    changed = [cell.folder for cell in pipeline.prepare(experiment(features=features), None).cells]
    assert changed != names[1]


def test_a_gap_shorter_than_the_delays_is_warned_of(caplog):
    blocks = {"kind": "blocks", "n": 4, "gap": 2}
    pipeline.prepare(experiment(encode={"outer": blocks, "inner": {**blocks, "gap": 3}}), None)
    assert "encode.outer.gap is 2 samples, the longest delay 3" in caplog.text
    assert "encode.inner.gap" not in caplog.text


def test_rows_with_a_clock_of_their_own_do_not_fit_responses_to_single_events():
    features = {"late": {"extractor": "words", "quantities": ["rate"], "timing": "offset"}}
    problems = pipeline.find_problems(experiment(features=features, align={"to": "events", "delays": [0]}), None)
    assert any(line.startswith("features.late: its rows have a clock of their own") for line in problems)
    assert pipeline.find_problems(experiment(features=features), None) == []


def test_series_that_the_data_set_does_not_bring_are_a_problem():
    problems = pipeline.find_problems(experiment(features={"sound": {"extractor": "series"}}), None)
    assert problems == [
        "features.sound: the data set brings no series along, or its settings leave them out",
    ]


def test_an_extraction_goes_on_with_what_it_had_half_done(tmp_path, monkeypatch):
    from brainalign.extract import words as module

    prepared = pipeline.prepare(experiment(), None)
    compute = pipeline.Computer(prepared, Store(tmp_path))
    found, whole = [], module.extract

    def extract(events, config, *, weights, scratch):
        found.append(sorted(path.name for path in scratch.glob("*.npy")))
        np.save(scratch / "rows.npy", np.zeros(3))
        if len(found) == 1:
            raise KeyboardInterrupt
        return whole(events, config, weights=weights)

    monkeypatch.setattr(module, "extract", extract)
    (tmp_path / "cell").mkdir()
    with pytest.raises(KeyboardInterrupt):
        compute.extract("words", "", tmp_path / "cell")
    compute.extract("words", "", tmp_path / "cell")
    assert found == [[], ["rows.npy"]]
    assert [path.name for path in tmp_path.iterdir()] == ["cell"]


def test_the_bytes_of_files_that_events_name_enter_the_key_and_their_folder_does_not(tmp_path):
    keys = []
    for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        path = tmp_path / folder / "x.wav"
        path.parent.mkdir()
        path.write_bytes(content)
        events = pd.DataFrame({"run": "1", "onset": [0.0], "duration": 1.0, "audio": str(path)})
        keys.append(pipeline._describe_events(events, [path]))
    assert keys[0] == keys[1] != keys[2]
