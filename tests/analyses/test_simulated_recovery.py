"""What was planted against what is found, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import write_tsv
from brainalign.config import read_experiment
from brainalign.results import run_experiment

LAGS = np.round(np.arange(-0.1, 0.61, 0.01), 2)


@pytest.fixture(scope="module")
def analysis(load_analysis):
    return load_analysis("simulated_recovery")


def write(folder, *, size, noise=0.01):
    rng, rows = np.random.default_rng(0), []
    for unit, peak in (("envelope", 0.1), ("rate", 0.18), ("length_z", 0.25), ("log_frequency_z", 0.43)):
        for target, sign in (("A", 1), ("B", -1)):
            weight = sign * size * np.exp(-((LAGS - peak) ** 2) / 0.002) + noise * rng.standard_normal(len(LAGS))
            rows.append(pd.DataFrame({"subject": "01", "target": target, "feature_space": "words", "weights": "",
                                      "layer": "", "unit": unit, "lag": LAGS, "weight": weight}))  # fmt: skip
    folder.mkdir()
    write_tsv(pd.concat(rows), folder / "response_functions.tsv")
    places = pd.DataFrame({"target": ["A", "B"], "channel_type": "mag", "x": 0.0, "y": 0.0, "z": 0.1})
    write_tsv(places, folder / "places.tsv")


def test_latencies_stand_beside_those_that_were_planted(analysis, tmp_path):
    write(tmp_path / "meg", size=1.0)
    table = analysis.latencies(tmp_path / "meg").set_index("feature")
    assert table["planted_ms"].to_dict() == {"envelope": 100, "rate": 170, "length_z": 250, "log_frequency_z": 400}
    assert table["found_ms"].round().to_dict() == {
        "envelope": 100,
        "rate": 180,
        "length_z": 250,
        "log_frequency_z": 430,
    }


def test_a_latency_at_the_edge_of_the_lags_is_not_taken(analysis, tmp_path):
    write(tmp_path / "meg", size=1.0)
    path = tmp_path / "meg" / "response_functions.tsv"
    table = pd.read_csv(path, sep="\t", dtype={"subject": str}, keep_default_na=False)
    table.loc[table["lag"] == LAGS[0], "weight"] = 5.0
    write_tsv(table, path)
    assert analysis.latencies(tmp_path / "meg").set_index("feature").loc["envelope", "found_ms"] == pytest.approx(100)


def beside(analysis, *, seed, early=0.0, late=0.0):
    """Strengths of a recording of noise, with so much before and after the onset, in units of chance."""
    rng, n = np.random.default_rng(seed), analysis.N_MOVES
    strength = np.sqrt(rng.chisquare(20, (n + 1, len(analysis.PLANTED), len(LAGS))) / 20)
    strength[0, :, LAGS < 0] += early
    strength[0, :, LAGS > 0] += late
    return analysis.Strengths(list(analysis.PLANTED), LAGS, strength[0], strength[1:])


def test_noise_before_the_onset_is_within_three_deviations(analysis):
    recordings = [beside(analysis, seed=seed, late=2.0) for seed in range(10)]
    mean = analysis.beside_chance(analysis.mean_of(recordings))
    assert mean[["before", "before_highest"]].abs().max().max() < 3
    assert mean["planted"].min() > 6
    single = pd.concat([analysis.beside_chance(of) for of in recordings])
    assert np.mean(single["before"] > 3) < 0.05
    assert single["before"].std() == pytest.approx(1.0, abs=0.3)


def test_what_is_planted_before_the_onset_is_far_beyond(analysis):
    table = analysis.beside_chance(beside(analysis, seed=0, early=1.0))
    assert table["before"].min() > 6
    assert table["before_highest"].min() > 3


def test_a_weak_leak_in_every_recording_shows_in_their_mean(analysis):
    recordings = [beside(analysis, seed=seed, early=0.1) for seed in range(10)]
    single = pd.concat([analysis.beside_chance(of) for of in recordings])
    mean = analysis.beside_chance(analysis.mean_of(recordings))
    assert mean["before"].min() > single["before"].mean() + 1
    assert mean["before"].max() > 3


def test_regions_are_told_by_the_score_of_what_drives_them(analysis, tmp_path, monkeypatch):
    regions = list(analysis.DRIVES)
    voxels = pd.DataFrame({"i": range(len(regions)), "j": 0, "k": 0, "region": regions})
    monkeypatch.setattr(analysis.simulated_fmri, "planted_regions", lambda _: voxels)
    n = 40
    places = pd.DataFrame({"target": [f"v{i}" for i in range(n)], "i": range(n), "j": 0, "k": 0})
    score = {"sound": np.linspace(0.1, 0, n), "words": np.linspace(0, 0.1, n)}
    rows = [
        pd.DataFrame({"subject": "mean", "feature_space": space, "metric": "pearson", "target": places["target"],
                      "score": values})
        for space, values in score.items()
    ]  # fmt: skip
    write_tsv(pd.concat(rows), tmp_path / "scores.tsv")
    write_tsv(places, tmp_path / "places.tsv")
    auc = analysis.region_aucs(tmp_path, None).set_index("region")["auc"]
    assert auc["auditory-left"] == auc["auditory-right"] == 1.0
    assert auc["frontal-left"] == auc["temporal-left"] == 0.0


def test_what_is_told_names_what_was_missed(analysis):
    seeds = range(2)
    late = {"envelope": 0, "rate": 0, "length_z": 10, "log_frequency_z": 200}
    found = [{"feature": name, "planted_ms": at, "found_ms": at + late[name], "seed": seed}
             for name, at in analysis.PLANTED.items() for seed in seeds]  # fmt: skip
    recordings = [beside(analysis, seed=seed) for seed in seeds]
    chance = [analysis.beside_chance(of).assign(seed=str(seed)) for seed, of in zip(seeds, recordings, strict=True)]
    chance.append(analysis.beside_chance(analysis.mean_of(recordings)).assign(seed="mean"))
    regions = [{"region": name, "seed": seed, "auc": 0.99 - 0.1 * (seed == 1 and name == "frontal-left")}
               for name in analysis.DRIVES for seed in seeds]  # fmt: skip
    scan = [{"seconds": 1.5 * i, "seed": seed, "score": -((1.5 * i - 5 - seed) ** 2)} for i in range(7)
            for seed in seeds]  # fmt: skip
    text = analysis.told(pd.DataFrame(found), pd.concat(chance), pd.DataFrame(regions), pd.DataFrame(scan))
    assert "within 10 ms: 75.0% of 8; largest error 200 ms" in text
    assert "AUC of at least 0.95: 90.0% of 10; smallest 0.890" in text
    assert "highest at 5.5 s, mean over seeds; of single seeds at 5.0 6.0" in text


def test_a_scan_that_is_highest_at_its_edge_has_no_peak(analysis):
    assert np.isnan(analysis.peak_of(pd.Series([0.1, 0.2, 0.3], index=[0.0, 1.5, 3.0])))
    assert analysis.peak_of(pd.Series([0.1, 0.3, 0.2], index=[0.0, 1.5, 3.0])) == pytest.approx(1.75)


def test_small_recordings_give_latencies_and_nothing_before_the_onset(analysis, repository, tmp_path):
    settings = ("data.n_runs=3", "data.run_duration=60.0", "data.noise_ceiling=0.9")
    experiment = read_experiment(repository / "analyses" / "simulated_meg.toml", settings)
    run_experiment(experiment, tmp_path / "meg")
    table = analysis.latencies(tmp_path / "meg")
    assert (table["found_ms"] - table["planted_ms"]).abs().max() <= analysis.TOLERANCE + 1e-6
    chance = analysis.beside_chance(analysis.strengths_beside_moved(experiment, tmp_path / "meg"))
    assert chance["planted"].min() > 5
    assert chance["before"].max() < 3


def test_small_recordings_give_regions_and_the_delay(analysis, repository, tmp_path):
    settings = ("data.n_subjects=1", "data.n_runs=3", "data.run_duration=100.0", "data.noise_ceiling=0.9",
                "report.ceilings=[]", "report.clock.n_controls=2", "report.clock.reach=6", "encode.alphas.n=5",
                "encode.together=[]")  # fmt: skip
    experiment = read_experiment(repository / "analyses" / "simulated_fmri.toml", settings)
    run_experiment(experiment, tmp_path / "fmri")
    scores = tmp_path / "fmri" / "scores.tsv"
    table = pd.read_csv(scores, sep="\t", dtype={"subject": str}, keep_default_na=False)
    write_tsv(table.assign(subject="mean"), scores)  # of one person, who is the whole group
    assert analysis.region_aucs(tmp_path / "fmri", experiment.data.config)["auc"].min() >= analysis.AUC
    delay = analysis.peak_of(analysis.lag_scan(tmp_path / "fmri", experiment.data.config))
    assert delay == pytest.approx(analysis.DELAY, abs=experiment.data.config.tr / 2)
