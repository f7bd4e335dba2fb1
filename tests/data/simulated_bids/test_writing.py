"""The folder as a whole."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from brainalign.data import DATASETS
from brainalign.data._simulated_bids import (
    PLANTED,
    Settings,
    read_ceilings,
    read_settings,
    read_truth,
    recordings,
    write_simulated_bids,
)
from brainalign.errors import BrainalignError, MissingData
from brainalign.files import sha256_of

SMALL = Settings(n_runs=1, run_duration=40.0, sfreq=100.0)


def digests(folder):
    return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_settings_give_the_same_bytes(tmp_path):
    one, two = (digests(write_simulated_bids(tmp_path / name, SMALL)) for name in ("one", "two"))
    assert one == two
    assert len(one) > 40


def test_another_seed_gives_other_recordings_of_the_same_words(tmp_path):
    settings = SMALL.model_copy(update={"modalities": ("eeg",)})
    one = digests(write_simulated_bids(tmp_path / "one", settings))
    other = digests(write_simulated_bids(tmp_path / "other", settings.model_copy(update={"seed": 1})))
    assert set(one) == set(other)
    differing = {name for name in one if one[name] != other[name]}
    assert "sub-01/eeg/sub-01_task-story_run-01_eeg.eeg" in differing
    assert "stimuli/story_run-01.wav" in differing
    assert "sub-01/eeg/sub-01_task-story_run-01_channels.tsv" not in differing


def test_the_truth_has_a_row_for_every_planted_source(written, settings):
    truth = read_truth(written)
    assert len(truth) == 3 * 2 * len(PLANTED)
    assert set(truth["subject"]) == {"01", "02"}
    for source in PLANTED:
        rows = truth[truth["source"] == source.name]
        assert set(rows["feature"]) == {source.feature}
        electric = rows[rows["modality"] != "fmri"]
        assert electric["latency"].to_numpy() == pytest.approx(source.latency)
        assert electric["width"].to_numpy() == pytest.approx(source.width)
        assert rows[rows["modality"] == "fmri"][["latency", "width", "direction_x"]].isna().all(axis=None)
    assert truth["noise_ceiling"].between(0.25, 0.6).all()


def test_the_ceilings_name_every_channel_and_region(written):
    ceilings = read_ceilings(written)
    counts = ceilings.groupby(["modality", "subject"]).size().to_dict()
    assert counts == {(m, s): n for m, n in (("meg", 306), ("eeg", 32), ("fmri", 5)) for s in ("01", "02")}
    assert (ceilings["noise_ceiling"] <= ceilings["noise_ceiling_clean"] + 1e-12).all()
    assert not ceilings[["noise_ceiling", "noise_ceiling_clean"]].isna().any(axis=None)
    assert (ceilings["noise_ceiling"] == 0).sum() == 2 * 2  # a bad channel per person and modality


def test_a_person_has_one_gain_and_a_larger_one_gives_a_higher_ceiling(written):
    truth = read_truth(written)
    gains = truth.groupby("subject")["gain"].agg(["min", "max"]).to_numpy()
    assert gains[:, 0] == pytest.approx(gains[:, 1])
    assert gains[0, 0] != gains[1, 0]
    ceilings = truth.set_index(["modality", "source", "subject"])["noise_ceiling"].unstack()
    assert (ceilings.to_numpy().argmax(axis=1) == np.argmax(gains[:, 0])).all()


def test_the_settings_come_back(written, settings):
    assert read_settings(written) == settings


def test_the_folder_is_described_as_bids(written):
    described = json.loads((written / "dataset_description.json").read_text())
    assert described["DatasetType"] == "raw"
    assert {"README", "participants.tsv", "participants.json", "stimuli"} <= {path.name for path in written.iterdir()}
    for name in ("fmriprep", "truth"):
        described = json.loads((written / "derivatives" / name / "dataset_description.json").read_text())
        assert described["DatasetType"] == "derivative"
        assert described["GeneratedBy"]


def test_only_the_modalities_asked_for_are_written(tmp_path):
    folder = write_simulated_bids(tmp_path / "bids", SMALL.model_copy(update={"modalities": ("eeg",)}))
    assert sorted(path.name for path in (folder / "sub-01").iterdir()) == ["eeg", "sub-01_scans.tsv"]
    assert sorted(path.name for path in (folder / "derivatives").iterdir()) == ["truth"]
    assert set(read_truth(folder)["modality"]) == {"eeg"}


def test_a_folder_that_exists_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(BrainalignError, match="mine exists; choose another folder"):
        write_simulated_bids(tmp_path / "mine", SMALL)


def test_nothing_is_left_of_a_folder_that_was_not_finished(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(recordings, "write_events", fail)
    with pytest.raises(OSError, match="no space left"):
        write_simulated_bids(tmp_path / "bids", SMALL)
    assert not list(tmp_path.iterdir())


def test_another_folder_has_no_settings(tmp_path):
    with pytest.raises(MissingData, match="was not written by write_simulated_bids"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"modalities": ("meg", "meg")},
        {"modalities": ()},
        {"noise_ceiling": 1.0},
        {"n_runs": 5},
        {"run_duration": 30.0},
        {"speed": 2},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings(**wrong)


def test_the_writer_is_no_data_set():
    assert not [name for name in DATASETS if "simulated_bids" in name]
