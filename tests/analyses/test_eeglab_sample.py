"""What squares and button presses evoke in real EEG, by the experiment file as it ships."""

import mne
import numpy as np
import pytest

from brainalign.config import read_experiment
from brainalign.export import evoked_functions, evoked_scores
from brainalign.pipeline.packaged import packaged_analysis
from brainalign.results import read_table, run_experiment

QUICK = ("report.clock.reach=1", "report.clock.n_controls=3")


@pytest.fixture(scope="module")
def folder(data_dir, tmp_path_factory):
    if not (data_dir / "eeglab_sample").is_dir():
        pytest.skip(f"no {data_dir / 'eeglab_sample'}")
    folder = tmp_path_factory.mktemp("eeglab") / "out"
    experiment = read_experiment(packaged_analysis("eeglab_sample"), QUICK)
    assert run_experiment(experiment, folder, data_dir=data_dir).complete
    return folder


@pytest.fixture(scope="module")
def square(folder):
    return evoked_functions(folder, unit="square").apply_function(lambda x: 1e6 * x)  # microvolt


def test_held_out_eeg_is_predicted_from_events(folder):
    scores = read_table(folder, "scores").query("metric == 'pearson'")
    assert len(scores) == 32
    assert (scores["n_folds"] == 5).all()
    assert scores["score"].max() >= 0.29
    assert scores["score"].mean() >= 0.20
    assert scores["score"].max() < 0.32
    assert scores.loc[scores["score"].idxmax(), "target"] == "F4"


def test_the_control_can_reach_one_in_a_hundred_and_scores_less(folder):
    """With all its 100 shifts p is 1/101 for the best channel, the mean over channels and 30 of the 32 channels."""
    assert read_experiment(packaged_analysis("eeglab_sample")).report.clock.n_controls >= 100
    control = read_table(folder, "clock_control")
    assert control["score"].mean() > control["control_highest"].mean()
    assert control["control_mean"].mean() < 0.1


def test_folds_are_fifths_a_second_apart_and_lags_are_800_ms():
    experiment = read_experiment(packaged_analysis("eeglab_sample"))
    outer, lags = experiment.encode.outer, experiment.align.lags
    assert (outer.kind, outer.n) == ("blocks", 5)
    assert outer.gap / experiment.data.config.sfreq == 1.0
    assert (lags.tmin, lags.tmax) == (0.0, 0.8)


def test_visual_p1_and_n1_are_over_the_back_of_the_head(square):
    """P1 over both sides about 150 ms, N1 about 190 ms over the right, which sees the attended left."""
    p1 = square.copy().pick(["PO7", "P7", "PO8"]).get_data(tmin=0.12, tmax=0.18)
    assert p1.max(axis=1).min() > 1.5
    name, latency, value = square.copy().pick(["O1", "O2", "Oz", "PO7", "PO8", "P7", "P8"]).get_peak(
        tmin=0.15, tmax=0.23, mode="neg", return_amplitude=True
    )  # fmt: skip
    assert name == "PO8"
    assert 0.17 <= latency <= 0.21
    assert value < -5
    at_n1 = square.get_data(picks=["PO8", "Fz", "F3", "F4"])[:, square.time_as_index(latency)[0]]
    assert at_n1[0] < at_n1[1:].min() - 4


def test_the_late_positivity_is_parietal_after_it_is_frontal(square):
    def peak(names):
        mean = square.copy().pick(names).get_data().mean(axis=0)
        return square.times[mean.argmax()], mean.max()

    parietal, frontal = peak(["P3", "Pz", "P4", "CP1", "CP2"]), peak(["F3", "Fz", "F4"])
    assert 0.3 <= frontal[0] <= parietal[0] <= 0.5
    assert parietal[1] > 15
    assert frontal[1] > 20


def test_the_response_to_squares_is_that_of_averaging_where_presses_do_not_overlap(data_dir, square):
    """Oracle: mne's average of epochs, before most people would have pressed (75 of 80 squares have a press)."""
    from brainalign.data import eeglab_sample

    raw = eeglab_sample.read_recording(data_dir / "eeglab_sample" / eeglab_sample.HEADER)
    raw.filter(0.5, 15.0, picks="all", verbose="ERROR").resample(64.0, verbose="ERROR")
    events, ids = mne.events_from_annotations(raw, verbose="ERROR")
    epochs = mne.Epochs(raw, events, ids["square"], tmin=0, tmax=0.3, baseline=None, preload=True, verbose="ERROR")
    average = 1e6 * epochs.average(picks="all").get_data(picks=square.ch_names)
    weights = square.get_data(tmin=0, tmax=0.3)
    n_lags = min(average.shape[1], weights.shape[1])
    r = np.corrcoef(average[:, :n_lags].ravel(), weights[:, :n_lags].ravel())[0, 1]
    assert r > 0.9


def test_scores_and_functions_are_on_the_head(folder, square):
    evoked = evoked_scores(folder)
    assert evoked.info["bads"] == square.info["bads"] == ["EOG1", "EOG2"]
    table = read_table(folder, "scores").query("metric == 'pearson'").set_index("target")["score"]
    np.testing.assert_array_equal(evoked.data[:, 0], table[evoked.ch_names])
    assert evoked.copy().pick(["Fz", "F4", "Cz"]).data.mean() > evoked.copy().pick(["O1", "Oz", "O2"]).data.mean() + 0.1
