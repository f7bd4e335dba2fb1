from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Activations, Recording, Responses
from brainalign.config import parse_experiment
from brainalign.encode.metrics import METRICS
from brainalign.errors import BadConfig, Misaligned
from brainalign.jobs.store import Store
from brainalign.pipeline import encoding, features, fits
from brainalign.pipeline.features import describe_stimuli
from brainalign.pipeline.plan import describe_plan
from brainalign.pipeline.problems import find_problems
from brainalign.pipeline.scores import read_fold_scores


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


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    prepared = encoding.prepare(experiment(), None)
    store = Store(tmp_path_factory.mktemp("cells"))
    compute = encoding.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)
    return prepared, store, compute


def test_x_is_what_the_method_says(computed):
    prepared, _, compute = computed
    candidate = next(c for c in prepared.candidates.values() if c.feature_space == "words")
    X = compute.spaces(candidate)["words"]
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
    result = read_fold_scores(store.path(cell))
    X, Y = compute.spaces(candidate)["words"], prepared.recording.responses.values.astype(float)
    train, test = prepared.folds[1]
    mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
    for i_target in (0, 5, Y.shape[1] - 1):
        model = Ridge(alpha=result.alpha[1, i_target]).fit((X[train] - mean) / deviation, Y[train, i_target])
        predicted = model.predict((X[test] - mean) / deviation)
        r = np.corrcoef(predicted, Y[test, i_target])[0, 1]
        assert result.scores["pearson"][1, i_target] == pytest.approx(r, abs=1e-6)


def test_a_cell_is_named_by_everything_that_decides_it():
    base = {cell.name: cell.folder for cell in encoding.prepare(experiment(), None).cells}

    def changed(**changes):
        other = {cell.name: cell.folder for cell in encoding.prepare(experiment(**changes), None).cells}
        return {name for name in base if base[name] != other[name]}

    scored = {name for name in base if name.startswith("score")}
    assert changed() == set()
    assert changed(name="another") == set()
    assert changed(report={"ceilings": ["split_half"]}) == set()
    assert changed(align={"delays": [1, 2]}) == scored
    assert changed(encode={"alphas": {"low": 1.0, "high": 1e4, "n": 4}}) == scored
    assert changed(data={"set": "simulated", "n_subjects": 3, "seed": 1}) == scored
    assert changed(seed=1) == set()


def test_a_seed_that_an_estimator_draws_with_enters_the_key():
    def names(seed):
        drawn = experiment(seed=seed, encode={"estimator": "banded", "together": ["words", "position"]})
        return {cell.folder for cell in encoding.prepare(drawn, None).candidates}

    assert names(0) == names(0)
    assert not names(0) & names(1)


def test_other_words_or_another_version_make_other_cells(monkeypatch):
    prepared = encoding.prepare(experiment(), None)
    recording = prepared.recording
    events = recording.events.copy()
    events.loc[0, "word"] = "other"
    changed = replace(prepared, recording=Recording(events, recording.responses))
    assert not {c.folder for c in prepared.cells} & {c.folder for c in changed.cells}
    for module in (fits, features):
        monkeypatch.setattr(module, "__version__", "9.9")
    assert not {c.folder for c in prepared.cells} & {c.folder for c in encoding.prepare(experiment(), None).cells}


def test_stored_activations_of_other_events_are_refused(computed):
    prepared, store, _ = computed
    activations = Activations.load(store.path(prepared.features.cells["words", ""]) / "layer-")
    with pytest.raises(Misaligned, match="other onsets"):
        encoding._same_events(activations, prepared.recording.events.assign(onset=lambda e: e["onset"] + 1))


def test_controls_are_joined_to_models_only():
    features = {"gpt2": {"extractor": "text", "model": "shipped", "layers": [0, 2]}}
    prepared = encoding.prepare(experiment(features=features, encode={"controls": "words"}), None)
    joint = [c for c in prepared.candidates.values() if "+" in c.feature_space]
    assert [(c.feature_space, c.weights, c.layer) for c in joint] == [
        ("words+gpt2", "trained", "0"),
        ("words+gpt2", "trained", "2"),
    ]
    assert [cell.name for _, cell, _ in joint[0].parts] == ["extract-words", "extract-gpt2-trained"]


def test_every_problem_is_found_before_any_work():
    features = {
        "far": {"extractor": "text", "model": "shipped", "layers": [99]},
        "nowhere": {"extractor": "text", "model": "/no/such/folder"},
        "column": {"extractor": "words", "quantities": [], "columns": ["surprisal"]},
    }
    problems = find_problems(experiment(features=features, align={"delays": [500]}), None)
    for expected in ("features.far", "features.nowhere", "features.column", "align.delays: a delay of 500 samples"):
        assert any(expected in problem for problem in problems), (expected, problems)


def test_a_clock_that_does_not_fit_is_a_problem():
    problems = find_problems(experiment(align={"to": "events"}), None)
    assert any("'events' does not fit simulated" in problem for problem in problems)


def test_a_good_experiment_has_no_problem():
    assert find_problems(experiment(), None) == []


def test_the_plan_says_what_is_stored(computed):
    prepared, store, _ = computed
    plan = describe_plan(experiment(), None, is_stored=store.has)
    assert plan["cell"].tolist() == [cell.name for cell in prepared.cells]
    assert set(plan["stored"]) == {"yes"}
    assert set(describe_plan(experiment(), None, is_stored=lambda cell: False)["stored"]) == {"no"}
    on_disk = store.path(prepared.features.cells["words", ""]) / "layer-" / "values.npy"
    stated = plan.set_index("cell").loc["extract-words", "disk_mb"] * 1e6
    assert stated == pytest.approx(on_disk.stat().st_size, rel=0.05, abs=600)


def test_fold_scores_are_read_as_written(computed):
    prepared, store, _ = computed
    result = read_fold_scores(store.path(next(iter(prepared.candidates))))
    assert set(result.scores) == set(METRICS)
    assert result.alpha.shape == (4, prepared.recording.responses.shape[1])


def test_inner_splits_that_share_a_stimulus_are_a_problem(monkeypatch):
    """Sentences shown twice: outer splits keep them whole, inner blocks would not."""
    rng = np.random.default_rng(0)
    sentences = [f"sentence {i % 40}" for i in range(80)]
    events = pd.DataFrame({"run": "1", "onset": np.arange(80.0), "duration": 1.0, "sentence": sentences})
    recording = Recording(events, responses(rng.standard_normal((80, 2)), "1", event=np.arange(80)))
    monkeypatch.setattr(encoding.DATASETS["simulated"], "load", lambda *_: recording)
    features = {"words": {"extractor": "words", "quantities": ["length"]}}
    by_stimulus = {"kind": "groups", "by": "stimulus", "n": 5}

    def problems(inner):
        table = {"name": "x", "data": {"set": "simulated"}, "features": features, "align": {"to": "events"}}
        return find_problems(parse_experiment({**table, "encode": {"outer": by_stimulus, "inner": inner}}), None)

    assert any("encode.inner: stimulus" in line for line in problems({"kind": "blocks", "n": 4}))
    assert problems({**by_stimulus, "n": 4}) == []


def test_delays_between_unrelated_stimuli_are_a_problem():
    problems = find_problems(experiment(align={"to": "events", "delays": [1, 2]}), None)
    assert any("have no delays" in line for line in problems)


def test_runs_inside_and_blocks_outside_go_together(tmp_path):
    mixed = experiment(encode={"outer": {"kind": "blocks", "n": 6, "gap": 4}})
    assert find_problems(mixed, None) == []
    prepared = encoding.prepare(mixed, None)
    store = Store(tmp_path)
    compute = encoding.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["split_half"], "needs at least 3 subjects, simulated has 2"),
        (["published"], "publishes no noise ceiling"),
    ],
)
def test_a_ceiling_that_cannot_be_made_is_a_problem(kinds, expected):
    few = experiment(data={"set": "simulated", "n_subjects": 2}, report={"ceilings": kinds})
    assert any(expected in line for line in find_problems(few, None))


def test_where_a_model_lies_does_not_name_its_cell(tmp_path):
    import shutil

    from brainalign.extract import resolve_model

    shipped = resolve_model("shipped").folder
    names = []
    for place in ("one", "two"):
        shutil.copytree(shipped, tmp_path / place / "model")
        features = {"m": {"extractor": "text", "model": str(tmp_path / place / "model"), "layers": [1]}}
        prepared = encoding.prepare(experiment(features=features), None)
        names.append([cell.folder for cell in prepared.cells])
        assert str(tmp_path) not in str([cell.settings for cell in prepared.cells])
    assert names[0] == names[1]
    (tmp_path / "two" / "model" / "tokenizer_config.json").write_text('{"model_max_length": 99}')
    changed = [cell.folder for cell in encoding.prepare(experiment(features=features), None).cells]
    assert changed != names[1]


def test_a_gap_shorter_than_the_delays_is_warned_of(caplog):
    blocks = {"kind": "blocks", "n": 4, "gap": 2}
    encoding.prepare(experiment(encode={"outer": blocks, "inner": {**blocks, "gap": 3}}), None)
    assert "encode.outer.gap is 2 samples, the longest delay 3" in caplog.text
    assert "encode.inner.gap" not in caplog.text


def test_rows_with_a_clock_of_their_own_do_not_fit_responses_to_single_events():
    features = {"late": {"extractor": "words", "quantities": ["rate"], "timing": "offset"}}
    problems = find_problems(experiment(features=features, align={"to": "events", "delays": [0]}), None)
    assert any(line.startswith("features.late: its rows have a clock of their own") for line in problems)
    assert find_problems(experiment(features=features), None) == []


def test_series_that_the_data_set_does_not_bring_are_a_problem():
    problems = find_problems(experiment(features={"sound": {"extractor": "series"}}), None)
    assert problems == [
        "features.sound: the data set brings no series along, or its settings leave them out",
    ]


def test_an_extraction_goes_on_with_what_it_had_half_done(tmp_path, monkeypatch):
    from brainalign.extract import words as module

    prepared = encoding.prepare(experiment(), None)
    compute = encoding.Computer(prepared, Store(tmp_path))
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
        compute(prepared.features.cells["words", ""], tmp_path / "cell")
    compute(prepared.features.cells["words", ""], tmp_path / "cell")
    assert found == [[], ["rows.npy"]]
    assert [path.name for path in tmp_path.iterdir()] == ["cell"]


def test_the_bytes_of_files_that_events_name_enter_the_key_and_their_place_does_not(tmp_path):
    def key(*contents):
        paths = []
        for content in contents:
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}" / "x.wav"
            path.parent.mkdir()
            path.write_bytes(content)
            paths.append(path)
        events = pd.DataFrame({"run": "1", "onset": np.arange(float(len(paths))), "audio": list(map(str, paths))})
        return describe_stimuli(events, paths)

    assert key(b"1", b"2") == key(b"1", b"2")
    assert len({key(b"1", b"2"), key(b"2", b"1"), key(b"1", b"3")}) == 3


def test_which_event_names_which_file_enters_the_key(tmp_path):
    paths = [tmp_path / folder / "1.png" for folder in "xy"]
    for i, path in enumerate(paths):
        path.parent.mkdir()
        path.write_bytes(bytes([i]))
    x, y = map(str, paths)
    tables = [pd.DataFrame({"run": "1", "onset": [0.0, 1.0, 2.0], "image": [x, y, third]}) for third in (x, y)]
    assert describe_stimuli(tables[0], paths) != describe_stimuli(tables[1], paths)


THREE = {
    "rate": {"extractor": "words", "quantities": ["rate"]},
    "length": {"extractor": "words", "quantities": ["length"]},
    "position": {"extractor": "words", "quantities": ["position_in_run"]},
}


def together(**changes):
    return experiment(features=THREE, encode={"together": ["rate", "length", "position"], **changes})


def test_spaces_together_are_fitted_all_and_all_but_each():
    prepared = encoding.prepare(together(), None)
    joint = [c.feature_space for c in prepared.candidates.values() if "+" in c.feature_space]
    assert joint == ["rate+length+position", "length+position", "rate+position", "rate+length"]
    names = [[name for name, _, _ in c.parts] for c in prepared.candidates.values() if "+" in c.feature_space]
    assert names[0] == ["rate", "length", "position"]
    alone = encoding.prepare(experiment(features=THREE), None)
    assert {c.folder for c in alone.cells} < {c.folder for c in prepared.cells}  # nothing alone is computed again


def test_a_joint_model_is_that_of_the_spaces_side_by_side(tmp_path):
    """Banded: the estimator is told where each space lies; the same numbers by hand from a dict of spaces."""
    from brainalign.encode.banded import BandedRidgeCV
    from brainalign.encode.metrics import pearson
    from brainalign.encode.splits import Groups

    prepared = encoding.prepare(together(estimator="banded"), None)
    store = Store(tmp_path)
    compute = encoding.Computer(prepared, store)
    cell, candidate = next((cell, c) for cell, c in prepared.candidates.items() if c.feature_space == "rate+position")
    for needed in (*prepared.features.cells.values(), cell):
        with store.writing(needed) as folder:
            compute(needed, folder)
    spaces, recording = compute.spaces(candidate), prepared.recording
    assert list(spaces) == ["rate", "position"]
    Y, run = recording.responses.values.astype(float), recording.responses.rows["run"].to_numpy(str)
    train, test = prepared.folds[1]
    model = BandedRidgeCV(np.geomspace(1, 1e4, 3), inner=Groups(), precision="float64")
    model.fit({name: X[train] for name, X in spaces.items()}, Y[train], run=run[train], position=train)
    expected = pearson(Y[test], model.predict({name: X[test] for name, X in spaces.items()}))
    assert read_fold_scores(store.path(cell)).scores["pearson"][1] == pytest.approx(expected, abs=1e-9)


def test_spaces_of_several_layers_cannot_be_joined():
    several = {**THREE, "gpt2": {"extractor": "text", "model": "shipped", "layers": [0, 2]}}
    table = experiment(features=several, encode={"together": ["rate", "gpt2"]})
    assert find_problems(table, None) == [
        "encode.together: feature space 'gpt2' has several layers or weights; what is joined is one matrix: "
        "choose one layer"
    ]


def test_dissimilarities_are_not_encoded(tmp_path):
    whole = experiment().table()
    rdms = parse_experiment({**whole, "data": {"set": "kriegeskorte2008"}})
    assert find_problems(rdms, tmp_path) == [
        "data.set: kriegeskorte2008 has no responses to encode; with [compare] its dissimilarities are compared"
    ]


def test_bad_samples_are_neither_fitted_nor_scored_and_delays_reach_across_them(meg, tmp_path):
    """Responses in bad samples may be anything; features before them still explain what comes after."""
    table = parse_experiment(experiment(align={"delays": [4, 5, 6]}).table() | {"features": LENGTH})
    tables, prepared = computed_in(tmp_path / "a", table)
    bad = meg.responses.rows["bad"].to_numpy()
    assert len(prepared.recording.responses.rows) == (~bad).sum() < len(bad)
    meg.responses.values[bad] = 1e9
    again, _ = computed_in(tmp_path / "b", table)
    assert again["scores"]["score"].to_numpy() == pytest.approx(tables["scores"]["score"].to_numpy(), abs=1e-12)
    compute = encoding.Computer(prepared, Store(tmp_path / "a"))
    candidate = next(iter(prepared.candidates.values()))
    full = encoding.delay(compute.binned(*candidate.parts[0][1:]), [4, 5, 6], run=prepared.clock["run"].to_numpy(str))
    np.testing.assert_array_equal(compute.spaces(candidate)["length"], full[~bad])


def computed_in(folder, table):
    prepared, store = encoding.prepare(table, None), Store(folder)
    compute = encoding.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as into:
            compute(cell, into)
    return encoding.tabulate(prepared, store.path), prepared


LENGTH = {"length": {"extractor": "words", "quantities": ["length"]}}


def test_epochs_are_scored_at_every_lag_and_peak_where_the_brain_follows(meg, tmp_path):
    table = experiment(align={"to": "epochs", "delays": [0], "epochs": {"tmin": -0.1, "tmax": 0.3}})
    table = parse_experiment(table.table() | {"features": LENGTH})
    assert find_problems(table, None) == []
    tables, prepared = computed_in(tmp_path, table)
    assert prepared.provenance["epochs"]["dropped"]
    assert len(prepared.recording.responses.rows) < len(meg.events)
    scores = tables["scores"].query("metric == 'pearson'").set_index(["target", "lag"])["score"]
    assert scores.index.get_level_values("lag").unique().to_numpy() == pytest.approx(np.arange(-5, 16) * 0.02)
    assert scores["A"].idxmax() == pytest.approx(0.1)
    assert scores["A"].max() > 0.9
    assert scores["A"][:0.05].abs().max() < 0.25
    assert tables["places"].columns.tolist() == ["target", "channel_type", "x", "y", "z"]


def test_lags_in_seconds_are_delays_in_samples(meg, tmp_path):
    table = experiment(align={"delays": [0], "lags": {"tmin": 0.0, "tmax": 0.2}})
    tables, prepared = computed_in(tmp_path, parse_experiment(table.table() | {"features": LENGTH}))
    assert prepared.delays == tuple(range(11))
    scores = tables["scores"].query("metric == 'pearson'").set_index("target")["score"]
    assert scores["A"] > 0.5
    assert abs(scores["B"]) < 0.2


def test_the_mean_of_subjects_has_every_lag(meg):
    two = pd.concat([meg.responses.columns, meg.responses.columns.assign(subject="t")], ignore_index=True)
    doubled = Responses(np.hstack([meg.responses.values] * 2), meg.responses.rows, two)
    epochs = encoding.to_epochs(doubled, meg.events, tmin=0.0, tmax=0.1).responses
    mean = encoding.with_group_mean(epochs).columns.query("subject == 'mean'")
    assert len(mean) == 2 * 6
    assert mean["lag"].tolist() == epochs.columns.query("subject == 's'")["lag"].tolist()
    assert set(mean["channel_type"]) == {"mag"}


def test_a_gap_within_overlapping_epochs_is_warned_of(meg, caplog):
    blocks = {"kind": "blocks", "n": 4, "gap": 1}
    table = experiment(align={"to": "epochs", "delays": [0]}, encode={"outer": blocks, "inner": {**blocks, "gap": 9}})
    encoding.prepare(table, None)
    assert "encode.outer.gap is 1 samples, epochs overlap with as many as 3: widen the gap" in caplog.text
    assert "encode.inner.gap" not in caplog.text


def test_a_run_on_epochs_ends_in_a_report_over_time(meg, tmp_path):
    from brainalign import report
    from brainalign.results import cell_states, read_table, run_experiment

    spaces = {**LENGTH, "noise": {"extractor": "random_embedding", "dimension": 2}}
    window = {"tmin": -0.1, "tmax": 0.3, "baseline": [-0.1, 0.0]}
    table = experiment(align={"to": "epochs", "delays": [0], "epochs": window}).table() | {"features": spaces}
    table["encode"]["together"] = ["length", "noise"]
    table = parse_experiment(table)
    assert run_experiment(table, tmp_path).complete
    page = report.write(tmp_path).read_text()
    for expected in (
        "Scores over time",
        "Peaks over time",
        "Unique contributions over time",
        "epochs from -0.1 to 0.3 s",
    ):
        assert expected in page
    assert "Layer profile" not in page
    printed = report.best_of(tmp_path).splitlines()
    assert printed[2].split()[:3] == ["length", "mag", "100.000"]
    assert set(cell_states(tmp_path)["state"]) == {"finished"}
    unique = read_table(tmp_path, "unique_contributions").query("metric == 'r2' and target == 'A'")
    of_length = unique[unique["feature_space"] == "length"].set_index("lag")["unique"]
    assert of_length.idxmax() == pytest.approx(0.1)


def test_the_lag_scan_peaks_at_the_planted_delay_and_the_control_is_flat(meg, tmp_path):
    table = experiment(align={"delays": [4, 5, 6]}).table() | {"features": LENGTH}
    table["report"] = {"clock": {"features": "length", "reach": 8, "n_controls": 19}}
    table = parse_experiment(table)
    assert find_problems(table, None) == []
    tables, _ = computed_in(tmp_path, table)
    of_a = tables["clock"].query("target == 'A'").set_index("seconds")["score"]
    assert len(of_a) == 17
    assert of_a.idxmax() == pytest.approx(0.1, abs=0.021)  # a sample: onsets lie anywhere within theirs
    control = tables["clock_control"].set_index("target")
    assert control.loc["A", "p"] == 0.05  # 1 / (19 + 1)
    assert control.loc["A", "score"] > 0.5 > 5 * abs(control.loc["A", "control_mean"])
    assert control.loc["B", "p"] > 0.05
    assert describe_plan(table, None, is_stored=lambda cell: False)["cell"].tolist()[-1] == "clock-length"


def test_a_clock_is_checked_only_where_there_is_one(meg):
    table = experiment(align={"to": "epochs", "delays": [0]}).table() | {"features": LENGTH}
    table["report"] = {"clock": {"features": "length"}}
    problems = find_problems(parse_experiment(table), None)
    assert problems == ["report.clock: there is no clock to check with align.to = 'epochs'"]
    table["report"] = {"clock": {"features": "lenght"}}
    with pytest.raises(BadConfig, match=r"report\.clock\.features: no feature space 'lenght' \(did you mean 'length'"):
        parse_experiment(table)
