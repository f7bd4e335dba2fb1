import numpy as np
import pandas as pd
import pytest

from brainalign.align.delays import delay
from brainalign.align.samples import to_samples
from brainalign.data import simulated
from brainalign.encode.ceiling import split_half
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.score import cross_validate, nested_choice
from brainalign.encode.splits import Groups
from brainalign.errors import MissingData, UnknownName
from brainalign.extract import text, words
from brainalign.pipeline.subjects import MEAN, standardised_subjects, with_group_mean

N_SEEDS = 20
TARGETS = list(simulated.REGIONS)


def test_the_story_is_about_two_thousand_words_in_four_runs():
    events = simulated.load(simulated.Config(n_subjects=1)).events
    assert 1900 <= len(events) <= 2300
    assert events["run"].unique().tolist() == ["1", "2", "3", "4"]
    per_run = events.groupby("run").size()
    assert per_run.max() < 1.3 * per_run.min()


def test_the_words_have_plausible_times():
    events = simulated.load(simulated.Config(n_subjects=1)).events
    for _, run in events.groupby("run"):
        assert run["onset"].iloc[0] > 3
        gaps = run["onset"].diff().iloc[1:]
        assert (gaps > 0).all()
        assert (run["duration"].iloc[:-1].to_numpy() <= gaps.to_numpy() + 0.0015).all()
        rate = len(run) / (run["onset"].iloc[-1] - run["onset"].iloc[0])
        assert 2.0 < rate < 3.2
    longer = events["word"].str.len() > 8
    assert events.loc[longer, "duration"].mean() > 1.5 * events.loc[~longer, "duration"].mean()


def test_responses_come_as_from_any_data_set():
    recording = simulated.load(simulated.Config())
    responses = recording.responses
    assert responses.values.dtype == np.float32
    assert responses.columns["subject"].nunique() == 8
    assert responses.columns["target"].unique().tolist() == TARGETS
    ends = responses.rows.groupby("run").agg(end=("time", "max"))["end"] + 1.5
    last = recording.events.groupby("run")["onset"].max()
    assert (ends - last > simulated.SILENCE_AFTER).all()
    assert set(recording.participants) == {"subject", "gain"}
    assert set(responses.provenance["files"]) == {"story/story.txt", "story/words.tsv", "story/drivers.npy"}


def test_a_seed_gives_the_same_brains_and_another_gives_others():
    one, same, other = (simulated.load(simulated.Config(seed=s)).responses.values for s in (3, 3, 4))
    assert np.array_equal(one, same)
    assert abs(np.corrcoef(one[:, -1], other[:, -1])[0, 1]) < 0.2


def test_choosing_listeners_does_not_change_them():
    everyone = simulated.load(simulated.Config()).responses
    two = simulated.load(simulated.Config(subjects=("s05", "s02"))).responses
    of_s02 = everyone.values[:, (everyone.columns["subject"] == "s02").to_numpy()]
    assert np.array_equal(two.values[:, 5:], of_s02)
    with pytest.raises(UnknownName, match="s09"):
        simulated.load(simulated.Config(subjects=("s09",)))


def test_the_truth_states_the_ceiling_that_split_halves_find():
    config = simulated.Config(n_subjects=30, seed=1)
    answer = simulated.truth(config).set_index(["subject", "target"])
    _, targets, z = standardised_subjects(simulated.load(config).responses)
    measured = pd.Series(split_half(z, seed=0).value, index=targets["target"])
    for target in TARGETS[:-1]:
        assert measured[target] == pytest.approx(answer.loc[(MEAN, target), "noise_ceiling"], abs=0.04)
    assert answer.loc[(MEAN, "silent"), "noise_ceiling"] == 0
    assert answer.loc[(MEAN, "silent"), "driver"] == "none"
    assert set(simulated.truth(simulated.Config(shuffled=True))["driver"]) == {"none"}


@pytest.fixture(scope="module")
def features():
    """X of the word controls and of every layer of the shipped model, on the clock of the simulated recording."""
    recording = simulated.load(simulated.Config(n_subjects=1))
    rows = recording.responses.rows
    run = rows["run"].to_numpy(str)
    controls = words.extract(recording.events, words.Config(quantities=("rate", "length")))["-"]
    layers = text.extract(recording.events, text.Config())
    X = {
        name: delay(to_samples(activations, rows).astype(float), (1, 2, 3, 4, 5), run=run)
        for name, activations in {"words": controls, **layers}.items()
    }
    return X, run


def scores_of_means(features, config_of):
    """Scores of the group mean of every seed, all regions side by side: dict of FoldScores, (n_folds, n_seeds * 5)."""
    X, run = features
    means = []
    for seed in range(N_SEEDS):
        responses = with_group_mean(simulated.load(config_of(seed)).responses)
        means.append(responses.values[:, (responses.columns["subject"] == MEAN).to_numpy()])
    Y = np.hstack(means).astype(float)
    folds = Groups().split(len(Y), run=run)
    model = RidgeCV(alphas=np.logspace(-1, 8, 10), inner=Groups())
    return {name: cross_validate(model, x, Y, folds=folds, run=run) for name, x in X.items()}


def test_layer_and_region_are_recovered_for_every_seed(features):
    results = scores_of_means(features, lambda seed: simulated.Config(seed=seed))
    layers = [name for name in results if name != "words"]
    inner = np.stack([results[name].inner_score for name in layers])
    chosen, nested = nested_choice(inner, np.stack([results[name].scores["pearson"] for name in layers]))
    nested = nested.mean(axis=0).reshape(N_SEEDS, 5)
    profile = np.stack([results[name].mean("pearson").reshape(N_SEEDS, 5) for name in layers])
    controls = results["words"].mean("pearson").reshape(N_SEEDS, 5)
    for i_target, (target, driver) in enumerate(simulated.REGIONS.items()):
        if driver.startswith("layer"):
            planted = layers.index(driver.split()[1])
            assert (profile[:, :, i_target].argmax(axis=0) == planted).all(), target
            votes = (chosen.reshape(-1, N_SEEDS, 5)[:, :, i_target] == planted).mean()
            assert votes > 0.8, target
            assert (nested[:, i_target] > controls[:, i_target] + 0.1).all(), target
        elif driver == "words":
            assert (controls[:, i_target] > 0.4).all()
            assert controls[:, i_target].mean() > nested[:, i_target].mean()
        else:
            for scores in (nested[:, i_target], controls[:, i_target]):
                assert abs(scores.mean()) < 2 * scores.std(ddof=1) / np.sqrt(N_SEEDS)


def test_shuffled_responses_score_nothing(features):
    results = scores_of_means(features, lambda seed: simulated.Config(seed=seed, shuffled=True))
    per_seed = np.mean([result.mean("pearson").reshape(N_SEEDS, 5).mean(axis=1) for result in results.values()], axis=0)
    assert abs(per_seed.mean()) < 2 * per_seed.std(ddof=1) / np.sqrt(N_SEEDS)


@pytest.fixture(scope="module")
def make_story(load_analysis):
    return load_analysis("make_story")


def test_the_packaged_words_and_drivers_are_those_of_the_story_and_the_shipped_model(make_story):
    config = make_story.Config()
    made = make_story.time_words(make_story.read_story(simulated.STORY / "story.txt"), config)
    packaged = simulated.read_words()
    assert made["word"].tolist() == packaged["word"].tolist()
    assert np.allclose(made["onset"], packaged["onset"])
    drivers, _ = make_story.find_drivers(make_story.extract_layers(packaged, config.model), packaged, config)
    stored = np.load(simulated.STORY / "drivers.npy")
    for mine, theirs in zip(drivers.reshape(-1, *drivers.shape[1:]), stored, strict=True):
        for i in range(mine.shape[1]):
            assert abs(np.corrcoef(mine[:, i], theirs[:, i])[0, 1]) > 0.999


def test_drivers_of_another_story_are_refused(tmp_path, monkeypatch):
    import shutil

    shutil.copytree(simulated.STORY, tmp_path / "story")
    monkeypatch.setattr(simulated, "STORY", tmp_path / "story")
    drivers = np.load(tmp_path / "story" / "drivers.npy")
    np.save(tmp_path / "story" / "drivers.npy", drivers * 2)
    with pytest.raises(MissingData, match=r"drivers_sha256.*make_story"):
        simulated.load(simulated.Config())
