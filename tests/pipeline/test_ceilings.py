from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Recording, Responses
from brainalign.config import parse_experiment
from brainalign.encode.metrics import pearson
from brainalign.encode.repetitions import split_half_of_repetitions
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate
from brainalign.encode.splits import Groups
from brainalign.errors import BrainalignError, Misaligned
from brainalign.jobs.store import Store
from brainalign.pipeline import encoding
from brainalign.pipeline.ceilings import Ceilings

DATA = "recorded_here"


class Recorded:
    """A data set of a recording that a test has made."""

    def __init__(self, recording):
        self.recording = recording

    def load(self, config, data_dir):
        return self.recording


def prepared_of(recording, monkeypatch, *kinds, to="events", by="stimulus", **encode):
    table = {
        "name": "x",
        "data": {"set": "simulated"},
        "features": {"f": {"extractor": "words", "quantities": ["rate"]}},
        "align": {"to": to} if to != "epochs" else {"to": to, "epochs": {"tmin": 0.0, "tmax": 0.2}},
        "encode": {
            "alphas": {"low": 1.0, "high": 1e4, "n": 3},
            "outer": {"kind": "groups", "by": by} | ({"n": 3} if by == "stimulus" else {}),
            "inner": {"kind": "groups", "by": by} | ({"n": 2} if by == "stimulus" else {}),
        }
        | encode,
        "report": {"ceilings": list(kinds)},
    }
    experiment = parse_experiment(table)
    experiment = experiment.model_copy(update={"data": experiment.data.model_copy(update={"set": DATA})})
    monkeypatch.setattr(encoding, "DATASETS", {DATA: Recorded(recording)})
    return encoding.prepare(experiment, None)


def columns_of(n_subjects, n_targets):
    names, targets = [f"s{i}" for i in range(n_subjects)], [f"t{i}" for i in range(n_targets)]
    return pd.DataFrame({"subject": np.repeat(names, n_targets), "target": targets * n_subjects})


def images(n_of, *, noise=1.0, n_subjects=1, n_targets=30, seed=0):
    """A person who saw image i n_of[i] times, in random order; signal of variance 1, shared by people."""
    rng = np.random.default_rng(seed)
    shown = rng.permutation(np.repeat(np.arange(len(n_of)), n_of))
    n = len(shown)
    signal = np.tile(rng.standard_normal((len(n_of), n_targets))[shown], n_subjects)
    events = pd.DataFrame({"run": "1", "onset": np.arange(n) * 1.0, "duration": 1.0})
    events["image"] = [f"image{i}.png" for i in shown]
    rows = pd.DataFrame({"run": "1", "time": np.arange(n) * 1.0, "duration": 1.0, "event": np.arange(n)})
    values = signal + noise * rng.standard_normal(signal.shape)
    return Recording(events, Responses(values, rows, columns_of(n_subjects, n_targets)))


def story(stories="aabbcc", n_samples=None, *, noise=1.0, n_targets=20, offset=0.0, seed=0):
    """Runs in each of which one of the stories was heard; a signal of variance 1, noise, and an offset per run."""
    rng = np.random.default_rng(seed)
    n_samples = n_samples or [400] * len(stories)
    signals = {name: rng.standard_normal((max(n_samples), n_targets)) for name in dict.fromkeys(stories)}
    events, rows, values = [], [], []
    for i, (name, n) in enumerate(zip(stories, n_samples, strict=True)):
        onset = np.arange(0, 100, 10.0)
        words = [f"{name}{k}" for k in range(len(onset))]
        events.append(pd.DataFrame({"run": f"{i}", "onset": onset, "duration": 1.0, "word": words}))
        rows.append(pd.DataFrame({"run": f"{i}", "time": np.arange(n) * 1.0, "duration": 1.0}))
        signal = signals[name][:n]
        values.append(signal + noise * rng.standard_normal(signal.shape) + offset * rng.standard_normal(n_targets))
    rows, events = pd.concat(rows, ignore_index=True), pd.concat(events, ignore_index=True)
    return Recording(events, Responses(np.vstack(values), rows, columns_of(1, n_targets)))


def ceilings_of(prepared, path_of=None):
    return Ceilings(prepared).tabulate(path_of)["noise_ceilings"]


def group(n_subjects=6, n_samples=4000, noise=1.0):
    rng = np.random.default_rng(1)
    signal = rng.standard_normal((n_samples, 2))
    values = np.hstack([signal + noise * rng.standard_normal((n_samples, 2)) for _ in range(n_subjects)])
    rows = pd.DataFrame({"run": np.repeat(["1", "2"], n_samples // 2), "duration": 2.0})
    rows["time"] = rows.groupby("run").cumcount() * 2.0
    events = pd.DataFrame({"run": ["1", "2"], "onset": 0.0, "duration": 1.0, "word": ["a", "b"]})
    return Recording(events, Responses(values, rows, columns_of(n_subjects, 2)))


def test_ceilings_are_those_of_the_planted_signal(monkeypatch):
    prepared = prepared_of(group(), monkeypatch, "split_half", "leave_one_subject_out", to="samples", by="run")
    table = ceilings_of(prepared).set_index(["subject", "target"])
    assert set(table["metric"]) == {"pearson"}
    mean = table.loc["mean"]
    assert set(mean["ceiling_kind"]) == {"split_half"}
    assert mean["noise_ceiling"].to_numpy() == pytest.approx(np.sqrt(6 / 7), abs=0.02)  # signal 1, noise 1 / 6
    assert mean["raw"].to_numpy() == pytest.approx(3 / 4, abs=0.02)
    one = table.loc["s0"]
    assert set(one["ceiling_kind"]) == {"leave_one_subject_out"}
    assert one["noise_ceiling"].to_numpy() == pytest.approx(1 / np.sqrt(2 * 1.2), abs=0.04)


def test_fault_43_ceilings_do_not_depend_on_units(monkeypatch):
    kinds = ("split_half", "leave_one_subject_out")
    one = group()
    other = replace(one, responses=replace(one.responses, values=one.responses.values * np.repeat([1, 1e3, 1e-13], 4)))
    tables = [ceilings_of(prepared_of(r, monkeypatch, *kinds, to="samples", by="run")) for r in (one, other)]
    np.testing.assert_allclose(*(table["noise_ceiling"] for table in tables), rtol=1e-9)


def test_no_ceiling_without_asking(monkeypatch):
    table = ceilings_of(prepared_of(group(), monkeypatch, to="samples", by="run"))
    assert len(table) == 0
    assert {"subject", "target", "metric", "noise_ceiling", "ceiling_kind"} <= set(table)


def test_a_published_ceiling_comes_with_the_data(monkeypatch):
    one = images(np.full(30, 2), n_targets=2)
    columns = one.responses.columns.assign(noise_ceiling=[0.5, np.nan], ceiling_kind="published ncsnr")
    recording = replace(one, responses=replace(one.responses, columns=columns))
    table = ceilings_of(prepared_of(recording, monkeypatch, "published"))
    assert table[["target", "noise_ceiling", "ceiling_kind"]].to_numpy().tolist() == [["t0", 0.5, "published ncsnr"]]


@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_images_shown_again_give_the_ceiling_of_single_trials(noise, monkeypatch):
    recording = images(np.r_[np.full(120, 2), np.full(60, 5), np.ones(20, int)], noise=noise)
    table = ceilings_of(prepared_of(recording, monkeypatch, "repetitions"))
    assert set(table["ceiling_kind"]) == {"split-half of repetitions (single trial, r)"}
    assert table["target"].tolist() == [f"t{i}" for i in range(30)]
    assert table["noise_ceiling"].mean() == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.025)


def test_the_perfect_model_scores_the_ceiling_of_repetitions_on_held_out_folds(monkeypatch):
    """The score that the ceiling is of: a prediction that knows the signal, against single trials, fold by fold."""
    recording = images(np.full(150, 3), noise=1.5)
    prepared = prepared_of(recording, monkeypatch, "repetitions")
    signal, Y = images(np.full(150, 3), noise=0.0).responses.values, recording.responses.values
    assert len({name for _, test in prepared.folds for name in prepared.stimulus[test]}) == 150
    scores = np.mean([pearson(Y[test], signal[test]) for _, test in prepared.folds], axis=0)
    assert scores.mean() == pytest.approx(ceilings_of(prepared)["noise_ceiling"].mean(), abs=0.02)


def test_people_and_their_mean_have_ceilings_of_repetitions_of_their_own(monkeypatch):
    recording = images(np.full(200, 3), noise=1.0, n_subjects=4)
    table = ceilings_of(prepared_of(recording, monkeypatch, "repetitions"))
    means = table.groupby("subject")["noise_ceiling"].mean()
    assert means["s2"] == pytest.approx(1 / np.sqrt(2), abs=0.03)
    assert means["mean"] == pytest.approx(np.sqrt(4 / 5), abs=0.03)


@pytest.mark.parametrize("offset", [0.0, 5.0])
@pytest.mark.parametrize("stories", ["aabbcc", "abcabcabc", "aaabbc"])
def test_runs_of_one_story_are_compared_sample_by_sample(offset, stories, monkeypatch):
    """The offset of a run has no part in scores of left-out runs, nor in their ceiling."""
    recording = story(stories, offset=offset)
    table = ceilings_of(prepared_of(recording, monkeypatch, "repetitions", to="samples"))
    assert table["noise_ceiling"].mean() == pytest.approx(1 / np.sqrt(2), abs=0.03)


def test_words_of_a_story_that_was_heard_again_are_repetitions(monkeypatch):
    """Epochs of the same words, of which one was dropped in one run."""
    continuous = story("aabbcc", [100] * 6)
    n_words = len(continuous.events)
    kept = np.delete(np.arange(n_words), 3)
    rows = (
        continuous.events[["run", "onset", "duration"]]
        .rename(columns={"onset": "time"})
        .assign(event=np.arange(n_words))
    )
    rng = np.random.default_rng(0)
    of_word = dict(zip(continuous.events["word"].unique(), rng.standard_normal((30, 200)), strict=True))
    Y = np.stack([of_word[word] for word in continuous.events["word"]])
    Y = Y + 0.5 * rng.standard_normal(Y.shape)
    responses = Responses(Y, rows, columns_of(1, 200)).take_rows(kept)
    prepared = prepared_of(replace(continuous, responses=responses), monkeypatch, "repetitions", to="events")
    assert Ceilings(prepared).problems() == []
    assert ceilings_of(prepared)["noise_ceiling"].mean() == pytest.approx(1 / np.sqrt(1.25), abs=0.03)


def test_bad_samples_do_not_shift_the_runs_against_each_other(monkeypatch):
    recording = story(noise=0.5)
    bad = np.random.default_rng(0).random(len(recording.responses.rows)) < 0.2
    rows = recording.responses.rows.assign(bad=bad)
    recording = replace(recording, responses=replace(recording.responses, rows=rows))
    prepared = prepared_of(recording, monkeypatch, "repetitions", to="samples")
    assert Ceilings(prepared).problems() == []
    assert ceilings_of(prepared)["noise_ceiling"].mean() == pytest.approx(1 / np.sqrt(1.25), abs=0.03)


def problems(recording, monkeypatch, *kinds, **how):
    return Ceilings(prepared_of(recording, monkeypatch, *kinds, **how)).problems()


def test_nothing_shown_twice_is_a_problem_that_names_the_data_set(monkeypatch):
    (told,) = problems(images(np.ones(30, int)), monkeypatch, "repetitions")
    assert told == (
        "report.ceilings: 'repetitions' needs at least 3 stimuli that were presented twice or more to the same person, "
        "recorded_here has 0 of 30"
    )
    (told,) = problems(story("abc"), monkeypatch, "repetitions", to="samples", by="run")
    assert (
        "samples of a story that were presented twice or more to the same person, recorded_here has 0 of 1200" in told
    )
    assert problems(images(np.full(30, 2)), monkeypatch, "repetitions") == []
    with pytest.raises(BrainalignError, match="at least 3 stimuli"):
        ceilings_of(prepared_of(images(np.ones(30, int)), monkeypatch, "repetitions"))


def test_fault_58_runs_of_one_story_that_differ_in_length_are_a_problem(monkeypatch):
    recording = story("abcabc", [200, 150, 200, 198, 150, 200])
    (told,) = problems(recording, monkeypatch, "repetitions", to="samples")
    assert "compares runs 0 and 3, which present the same, sample by sample; they have 200 and 198 samples" in told
    with pytest.raises(Misaligned, match="they have 200 and 198 samples"):
        ceilings_of(prepared_of(recording, monkeypatch, "repetitions", to="samples"))
    assert problems(story("abcabc", [200, 150, 210] * 2), monkeypatch, "repetitions", to="samples") == []


def test_runs_of_one_story_at_another_time_are_a_problem(monkeypatch):
    recording = story("abcabc")
    late = recording.events.assign(onset=recording.events["onset"] + 1.5 * (recording.events["run"] == "4"))
    (told,) = problems(replace(recording, events=late), monkeypatch, "repetitions", to="samples")
    assert "compares runs 1 and 4" in told
    assert "their events are up to 1.5 s apart" in told
    shifted = recording.responses.rows["time"] + 1.5 * (recording.responses.rows["run"] == "4")
    responses = replace(recording.responses, rows=recording.responses.rows.assign(time=shifted))
    assert problems(Recording(late, responses), monkeypatch, "repetitions", to="samples") == []


def test_a_score_has_one_ceiling(monkeypatch):
    recording = images(np.full(30, 2), n_subjects=3)
    (told,) = problems(recording, monkeypatch, "inter_subject_ridge", "leave_one_subject_out")
    assert told == (
        "report.ceilings: 'leave_one_subject_out' and 'inter_subject_ridge' would both be the ceiling of single "
        "subjects; choose one"
    )
    (told,) = problems(recording, monkeypatch, "split_half", "repetitions")
    assert "ceiling of the group mean" in told
    assert problems(recording, monkeypatch, "split_half", "inter_subject_ridge") == []


def test_one_person_has_no_others(monkeypatch):
    (told,) = problems(images(np.full(30, 2)), monkeypatch, "inter_subject_ridge")
    assert told == "report.ceilings: 'inter_subject_ridge' needs at least 2 subjects, recorded_here has 1"


def test_inter_subject_ridges_are_cells_of_their_own(monkeypatch, tmp_path):
    """People side by side whose columns stand in another order: every number must come to its own target."""
    recording = images(np.full(400, 2), n_subjects=3, n_targets=4, noise=0.5)
    noise = np.array([0.0, 1.0, 2.0, 4.0])
    values = recording.responses.values + np.tile(noise, 3) * np.random.default_rng(5).standard_normal((800, 12))
    order = np.r_[3, 2, 1, 0, 4:12]
    responses = Responses(values, recording.responses.rows, recording.responses.columns).take_columns(order)
    prepared = prepared_of(replace(recording, responses=responses), monkeypatch, "inter_subject_ridge")
    step = next(step for step in prepared.steps if isinstance(step, Ceilings))
    assert [cell.name for cell in step.cells] == ["ceiling-s0", "ceiling-s1", "ceiling-s2"]
    assert set(step.cells) <= set(prepared.cells)
    store = Store(tmp_path)
    compute = encoding.Computer(prepared, store)
    for cell in step.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)
        assert step.plan(cell).seconds() >= 0
    table = step.tabulate(store.path)["noise_ceilings"]
    assert set(table["ceiling_kind"]) == {"inter-subject ridge (single trial, r)"}
    assert "mean" not in set(table["subject"])
    found = table.pivot(index="subject", columns="target", values="noise_ceiling")
    assert (np.diff(found[["t0", "t1", "t2", "t3"]].to_numpy(), axis=1) < 0).all()  # the noisier, the lower
    own, others = values[:, :4], [values[:, 4:8], values[:, 8:]]
    z = sum((y - y.mean(axis=0)) / y.std(axis=0) for y in others) / 2
    groups = prepared.inner_groups
    model = RidgeCV(prepared.experiment.encode.alphas.values(), inner=Groups(2))
    by_hand = cross_validate(model, z, own, folds=prepared.folds, groups=groups, metrics=("pearson",)).mean("pearson")
    np.testing.assert_allclose(found.loc["s0", ["t0", "t1", "t2", "t3"]].to_numpy(float), by_hand, atol=0.02)


def test_of_epochs_others_predict_at_the_same_time_only(monkeypatch, tmp_path):
    """What one person has at 0.1 s, and the others at 0.2 s, is not shared."""
    recording = images(np.full(150, 2), n_subjects=3, n_targets=2, noise=0.3)
    columns = recording.responses.columns.assign(target="a", lag=[0.1, 0.2] * 3)
    values = recording.responses.values.copy()
    values[:, 0], values[:, 1] = values[:, 1], np.random.default_rng(0).standard_normal(300)
    responses = Responses(values, recording.responses.rows, columns)
    prepared = prepared_of(replace(recording, responses=responses), monkeypatch, "inter_subject_ridge")
    step, store = Ceilings(prepared), Store(tmp_path)
    for cell in step.cells:
        with store.writing(cell) as folder:
            step.compute(cell, folder, None)
    found = step.tabulate(store.path)["noise_ceilings"].set_index(["subject", "lag"])["noise_ceiling"]
    assert abs(found["s0", 0.1]) < 0.2
    assert found["s1", 0.2] > 0.5


def test_whole_runs_make_up_the_halves_of_a_story(monkeypatch):
    recording = story("aaabbbccc", offset=2.0)
    prepared = prepared_of(recording, monkeypatch, "repetitions", to="samples")
    run = recording.responses.rows["run"].to_numpy(str)
    Y = recording.responses.values.copy()
    for name in set(run):
        Y[run == name] -= Y[run == name].mean(axis=0)
    by_hand = split_half_of_repetitions(Y, prepared.stimulus, groups=run, seed=0)
    np.testing.assert_allclose(ceilings_of(prepared)["raw"], by_hand.raw, rtol=1e-12)


def test_a_run_tells_ceilings_beside_scores_and_compares_them(monkeypatch, tmp_path):
    prepared, compared = prepared_of(story(), monkeypatch, "repetitions", to="samples"), []
    monkeypatch.setattr(encoding, "warn_of_ceilings", compared.append)
    store = Store(tmp_path)
    compute = encoding.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)
    tables = encoding.tabulate(prepared, store.path)
    assert set(tables) <= set(encoding.TABLES)
    scores, ceilings = tables["scores"], tables["noise_ceilings"]
    beside = scores[scores["metric"] == "pearson"]
    np.testing.assert_array_equal(beside["noise_ceiling"], ceilings["noise_ceiling"])
    assert scores.loc[scores["metric"] == "r2", "noise_ceiling"].isna().all()
    assert len(compared) == 1
    pd.testing.assert_frame_equal(compared[0], scores)


def test_the_cells_depend_on_what_decides_them_and_nothing_else(monkeypatch):
    recording = images(np.full(30, 2), n_subjects=2)

    def names(**changes):
        prepared = prepared_of(recording, monkeypatch, "inter_subject_ridge", **changes)
        return {cell.folder for cell in Ceilings(prepared).cells}

    assert names() == names(metric="r2")
    assert not names() & names(alphas={"low": 1.0, "high": 1e4, "n": 4})
    assert Ceilings(prepared_of(recording, monkeypatch)).cells == {}
    before = names()
    recording = images(np.full(30, 2), n_subjects=2, noise=1.1)
    assert not names() & before
