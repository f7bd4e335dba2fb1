import json

import mne
import mne_bids
import numpy as np
import pytest

from brainalign.arrays import read_tsv
from brainalign.data._simulated_bids import meeg, read_ceilings, recordings, sensors
from brainalign.data._simulated_bids.stimuli import EVENT_COLUMNS, events_of

MODALITIES = ["meg", "eeg"]


def path_of(written, modality, subject="01", run="02"):
    return mne_bids.BIDSPath(root=written, subject=subject, task="story", run=run, datatype=modality)


@pytest.fixture(scope="module", params=MODALITIES)
def modality(request):
    return request.param


@pytest.fixture(scope="module")
def raw(written, modality):
    return mne_bids.read_raw_bids(path_of(written, modality), verbose="ERROR")


@pytest.fixture(scope="module")
def simulated(modality, story, settings):
    courses = meeg.planted_courses(story, settings)
    who = meeg.person(modality, "01", settings)
    return meeg.record(who, courses[1], run="02", settings=settings)


def test_mne_bids_reads_the_simulated_recording(raw, simulated):
    expected = simulated.signal + simulated.noise + simulated.artefacts
    data = raw.get_data(raw.ch_names[: expected.shape[1]]).T
    sd = expected.std(axis=0)
    assert np.abs((data - expected) / sd).max() < 1e-4
    assert raw.info["sfreq"] == 100
    assert raw.n_times == 6000


def test_units_are_tesla_and_volts(raw, modality):
    if modality == "meg":
        assert 5e-14 < raw.get_data("mag").std() < 2e-12
        assert 1e-12 < raw.get_data("grad", units=None).std() < 2e-11
    else:
        assert 3e-6 < raw.get_data("eeg").std() < 5e-5


def test_sensors_are_those_of_the_true_systems(raw, modality):
    types = raw.get_channel_types()
    if modality == "meg":
        assert [types.count(kind) for kind in ("mag", "grad", "eog", "ecg", "stim")] == [102, 204, 1, 1, 1]
        assert mne.channels.find_layout(raw.info, "mag").kind == "Vectorview-mag"
        assert raw.info["dev_head_t"]["trans"][:3, 3] == pytest.approx(sensors.CENTRE)
        expected = sensors.meg_info(100.0)
    else:
        assert types == ["eeg"] * 32 + ["eog", "ecg"]
        expected = sensors.eeg_info(100.0)
    for channel, known in zip(raw.info["chs"][:32], expected["chs"], strict=False):
        assert channel["ch_name"] == known["ch_name"]
    distances = [
        np.linalg.norm(channel["loc"][:3] - known["loc"][:3])
        for channel, known in zip(raw.info["chs"][:32], expected["chs"], strict=False)
    ]
    assert np.max(distances) < 1e-5


def test_the_bad_channel_is_marked(raw, modality, written):
    assert raw.info["bads"] == [sensors.BAD[modality]]
    table = read_tsv(path_of(written, modality).update(suffix="channels", extension=".tsv").fpath)
    assert table.set_index("name")["status"].to_dict()[sensors.BAD[modality]] == "bad"
    assert (table["status"] == "bad").sum() == 1


def test_annotations_are_the_sound_and_the_words(raw, story):
    events = events_of(story[1])
    assert raw.annotations.description.tolist() == events["trial_type"].tolist()
    assert raw.annotations.onset == pytest.approx(events["onset"].to_numpy(), abs=1e-4)
    assert raw.annotations.duration == pytest.approx(events["duration"].to_numpy(), abs=1e-4)


def test_the_events_file_is_the_same_in_every_folder(written, story):
    name = "sub-01_task-story_run-02_events.tsv"
    texts = {(written / "sub-01" / folder / name).read_text() for folder in ("meg", "eeg", "func")}
    assert len(texts) == 1
    events = read_tsv(written / "sub-01" / "meg" / name)
    assert list(events) == list(EVENT_COLUMNS)
    spoken = events[events["trial_type"] == "word"]
    assert spoken["word"].tolist() == story[1].words["word"].tolist()
    assert spoken["onset"].to_numpy() == pytest.approx(story[1].words["onset"].to_numpy())
    assert spoken["log_frequency"].to_numpy() == pytest.approx(story[1].words["log_frequency"].to_numpy())
    assert (written / "stimuli" / events["stim_file"][0]).is_file()
    described = json.loads((written / "sub-01" / "meg" / name.replace(".tsv", ".json")).read_text())
    assert list(described) == list(events)


def test_triggers_rise_at_the_words(written, story):
    raw = mne_bids.read_raw_bids(path_of(written, "meg"), verbose="ERROR")
    found = mne.find_events(raw, "STI101", min_duration=0, verbose="ERROR")
    assert found[:, 0] / 100 == pytest.approx(story[1].words["onset"].to_numpy(), abs=0.0051)
    assert set(found[:, 2]) == {1}


def test_the_channels_at_eyes_and_heart_follow_the_artefacts(raw, simulated):
    eyes, heart = raw.get_data("eog")[0], raw.get_data("ecg")[0]
    assert np.corrcoef(eyes, simulated.blink)[0, 1] > 0.95
    assert np.corrcoef(heart, simulated.beat)[0, 1] > 0.95
    assert np.corrcoef(eyes, simulated.beat)[0, 1] < 0.2


def test_blinks_are_found_as_mne_finds_them(written, story, settings):
    raw = mne_bids.read_raw_bids(path_of(written, "eeg"), verbose="ERROR").load_data(verbose="ERROR")
    found = mne.preprocessing.find_eog_events(raw, thresh=1e-4, verbose="ERROR")
    courses = meeg.planted_courses(story, settings)
    blink = meeg.record(meeg.person("eeg", "01", settings), courses[1], run="02", settings=settings).blink
    assert len(found) == (np.diff((blink > 0.5).astype(int)) == 1).sum()
    assert len(found) > 5


def test_the_reference_is_stated(written):
    sidecar = json.loads(path_of(written, "eeg").update(suffix="eeg", extension=".json").fpath.read_text())
    assert sidecar["EEGReference"] == "mean of M1 and M2"
    assert sidecar["SamplingFrequency"] == 100
    assert sidecar["PowerLineFrequency"] == 50


def test_every_listed_electrode_has_a_place(written):
    table = read_tsv(written / "sub-01" / "eeg" / "sub-01_space-CapTrak_electrodes.tsv")
    assert table["name"].tolist() == list(sensors.EEG_NAMES)
    assert np.isfinite(table[["x", "y", "z"]].to_numpy()).all()


def test_reading_gives_no_warning(written, modality):
    """The tests turn warnings into errors; mne-bids warns of places, columns and channels that do not fit."""
    mne_bids.read_raw_bids(path_of(written, modality), verbose="WARNING")


def test_noiseless_recordings_give_the_stated_ceiling_and_that_of_filtered_ones(written, modality, settings):
    clean = recordings.noiseless(modality, "02", settings)
    assert list(clean) == ["01", "02"]
    pairs = [
        (clean[run], mne_bids.read_raw_bids(path_of(written, modality, "02", run), verbose="ERROR").load_data())
        for run in clean
    ]
    stated = read_ceilings(written).query("modality == @modality and subject == '02'")["noise_ceiling"].to_numpy()
    names = clean["01"].ch_names
    good = np.array(names) != sensors.BAD[modality]
    ceilings = []
    for band in ((None, None), (None, 7.0)):  # the second leaves alpha out, and little of the signal
        signal, recorded = (
            np.hstack(
                [pair[i].copy().filter(*band, picks=names, verbose="ERROR").get_data(names)[good] for pair in pairs]
            )
            for i in (0, 1)
        )
        ceilings.append([np.corrcoef(a, b)[0, 1] for a, b in zip(signal, recorded, strict=True)])
    assert np.mean(ceilings[0] - stated[good]) == pytest.approx(0, abs=0.02)
    assert np.mean(ceilings[1]) > np.mean(ceilings[0]) + 0.01


def test_nobody_was_measured_at_any_time(raw):
    assert raw.info["meas_date"] is None
    assert not (raw.info["subject_info"] or {}).get("birthday")


def test_every_person_and_run_is_there(written):
    for modality in MODALITIES:
        found = mne_bids.find_matching_paths(
            written, datatypes=modality, suffixes=modality, extensions=[".fif", ".vhdr"], ignore_nosub=True
        )
        assert [(path.subject, path.run) for path in found] == [
            ("01", "01"),
            ("01", "02"),
            ("02", "01"),
            ("02", "02"),
        ]
