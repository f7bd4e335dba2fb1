"""What was planted against what is found, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import write_tsv

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


def test_what_comes_before_the_onset_is_measured_by_recordings_of_nothing(analysis, tmp_path):
    write(tmp_path / "meg", size=1.0)
    write(tmp_path / "nothing", size=0.0)
    assert analysis.before_onset(tmp_path / "meg", tmp_path / "nothing").max() < 3
    write(tmp_path / "early", size=1.0, noise=0.2)
    assert analysis.before_onset(tmp_path / "early", tmp_path / "nothing").min() > 10


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
