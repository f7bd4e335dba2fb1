"""EEG of an audiobook: what is asked for is in the published list, and a folder of the same layout is read right."""

import hashlib
import json

import mne
import numpy as np
import pybv
import pytest
from pydantic import ValidationError

from brainalign.data import DATASETS, _manifest, broderick2018
from brainalign.data._manifest import Manifest, load_manifest
from brainalign.data._resampling import resample
from brainalign.data.broderick2018 import Config
from brainalign.errors import Misaligned, MissingData, UnknownName

SFREQ = 512.0
NAMES = [f"{letter}{i}" for letter in "ABCD" for i in range(1, 33)]
WORDS = {
    1: [(0.5, 0.9, "he"), (0.9, 1.2, "was"), (1.2, 1.25, "sp"), (1.25, 1.8, "an")],
    2: [(0.25, 0.75, "old"), (1.0, 1.5, "man")],
}
PHONES = {
    1: [(0.5, 0.6, "HH"), (0.6, 0.9, "IY1"), (0.9, 1.2, "W"), (1.25, 1.8, "AE1")],
    2: [(0.25, 0.75, "OW1"), (1.0, 1.5, "M")],
}


def tier(i, name, intervals):
    text = f'    item [{i}]:\n        class = "IntervalTier"\n        name = "{name}"\n'
    text += "        xmin = 0\n        xmax = 4\n"
    text += f"        intervals: size = {len(intervals)}\n"
    for n, (start, end, label) in enumerate(intervals, start=1):
        text += f"        intervals [{n}]:\n            xmin = {start}\n            xmax = {end}\n"
        text += f'            text = "{label}"\n'
    return text


def write_story(root):
    (root / "stimuli").mkdir(parents=True)
    for run, words in WORDS.items():
        head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 4\ntiers? <exists>\nsize = 2\n'
        tiers = tier(1, "phones", PHONES[run]) + tier(2, "words", words)
        (root / f"stimuli/audio{run:02d}.TextGrid").write_text(f"{head}item []:\n{tiers}")
        (root / f"stimuli/audio{run:02d}.wav").write_bytes(f"sound {run}".encode())


def write_recording(root, subject, run, *, seconds, bads=(), seed=0):
    """As the data set has it: no events.tsv; channels.tsv with a column without a name."""
    folder = root / f"sub-{subject}/eeg"
    stem = f"sub-{subject}_task-listening_run-{run:02d}"
    data = 2e-5 * np.random.default_rng([seed, run]).standard_normal((len(NAMES), int(seconds * SFREQ)))
    folder.mkdir(parents=True, exist_ok=True)
    pybv.write_brainvision(
        data=data, sfreq=SFREQ, ch_names=NAMES, fname_base=f"{stem}_eeg", folder_out=folder, resolution=1e-3
    )
    header = "\tname\ttype\tunits\tdescription\tsampling_frequency\tstatus\tstatus_description\n"
    rows = [
        f"{i}\t{name}\tEEG\tV\tElectroEncephaloGram\t512.0\t{'bad' if name in bads else 'good'}\tn/a\n"
        for i, name in enumerate(NAMES)
    ]
    (folder / f"{stem}_channels.tsv").write_text(header + "".join(rows))
    stated = {"TaskName": "listening", "PowerLineFrequency": "n/a", "SamplingFrequency": SFREQ, "EEGReference": "n/a"}
    stated |= {"RecordingDuration": seconds, "SoftwareFilters": "n/a", "EEGChannelCount": 128}
    (folder / f"{stem}_eeg.json").write_text(json.dumps(stated))
    return data


def publish(root, monkeypatch):
    """Take the files of the folder for the published ones."""
    files = [
        {
            "path": path.relative_to(root).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "url": "https://example.org/file",
        }
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix in (".eeg", ".vhdr", ".vmrk", ".wav", ".TextGrid")
    ]
    deposit = {"url": "https://example.org", "terms": "none"}
    manifest = Manifest(name="broderick2018", title="", citation="", doi="", licence="", listed=files, deposit=deposit)
    for module in (_manifest, broderick2018):
        monkeypatch.setattr(module, "load_manifest", lambda _: manifest)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    root = tmp_path / "broderick2018"
    write_story(root)
    data = {
        ("001", 1): write_recording(root, "001", 1, seconds=3.0, bads=("B2",)),
        ("001", 2): write_recording(root, "001", 2, seconds=3.5),
        ("002", 1): write_recording(root, "002", 1, seconds=4.0, bads=("C20",), seed=1),
        ("002", 2): write_recording(root, "002", 2, seconds=3.0, seed=1),
    }
    publish(root, monkeypatch)
    return tmp_path, root, data


def config(**settings):
    return Config(**{"subjects": ("001",), "runs": ("1", "2"), "reference": "none", "tail": 0.5} | settings)


def test_every_path_that_is_asked_for_is_in_the_published_list():
    listed = {file.path for file in load_manifest("broderick2018").listed}
    facts = load_manifest("broderick2018").facts
    subjects = [f"{i:03d}" for i in range(1, facts["n_subjects"] + 1)]
    asked = [path for subject in subjects for path in broderick2018.paths_of_person(Config(), subject)]
    assert len(asked) == 3 * facts["n_recordings"]
    story = broderick2018.paths_of_story(Config())
    assert len(story) == facts["n_textgrids"] + facts["n_sounds"]
    assert listed - {*asked, *story} == {"stimuli/results.txt"}
    assert {*asked, *story} <= listed
    assert broderick2018._listeners(Config(), load_manifest("broderick2018")) == subjects


def test_words_are_those_of_the_text_grids_from_the_first_sample_on(folder):
    data_dir, root, _ = folder
    events = broderick2018.load(config(phones=True), data_dir).events
    of_first = events[events["run"] == "task-listening_run-01"]
    assert of_first["word"].tolist() == ["he", "was", "an"]
    np.testing.assert_allclose(of_first["onset"], [0.5, 0.9, 1.25])
    np.testing.assert_allclose(of_first["duration"], [0.4, 0.3, 0.55])
    np.testing.assert_allclose(of_first["audio_start"], of_first["onset"])
    assert set(of_first["audio"]) == {str(root / "stimuli/audio01.wav")}
    assert of_first["phones"].tolist() == ["HH IY1", "W", "AE1"]
    assert events["word"].tolist()[3:] == ["old", "man"]


def test_the_eeg_is_that_of_the_file_without_the_channels_that_are_bad_in_a_run(folder):
    data_dir, _, data = folder
    responses = broderick2018.load(config(), data_dir).responses
    kept = [i for i, name in enumerate(NAMES) if name != "B2"]
    assert responses.columns["target"].tolist() == [NAMES[i] for i in kept]
    for run, end in ((1, 1.8), (2, 1.5)):
        of_run = (responses.rows["run"] == f"task-listening_run-{run:02d}").to_numpy()
        n_samples = int((end + 0.5) * SFREQ)
        assert of_run.sum() == n_samples
        np.testing.assert_allclose(responses.values[of_run], data["001", run][kept, :n_samples].T, atol=1e-9)
        assert responses.rows["time"][of_run].iloc[0] == 0
    runs = responses.provenance["subjects"]["001"]["runs"]
    assert runs["task-listening_run-01"]["left_out"] == {"B2": "marked as bad"}
    assert runs["task-listening_run-02"]["left_out"] == {"B2": "not usable in all runs"}
    assert (runs["task-listening_run-01"]["n_words"], runs["task-listening_run-01"]["n_pauses"]) == (3, 1)


def test_the_mean_reference_is_that_of_the_usable_channels(folder):
    data_dir, _, data = folder
    responses = broderick2018.load(config(runs=("1",), reference="average"), data_dir).responses
    kept = [i for i, name in enumerate(NAMES) if name != "B2"]
    expected = data["001", 1][kept] - data["001", 1][kept].mean(axis=0)
    np.testing.assert_allclose(responses.values, expected[:, : len(responses.values)].T, atol=2e-9)
    assert np.abs(responses.values.mean(axis=1)).max() < 1e-11
    assert any("referenced to the mean" in step for step in responses.provenance["processing"])


def test_places_are_those_of_the_cap_of_biosemi_and_not_of_ear_lobes(folder):
    columns = broderick2018.load(config(runs=("1",)), folder[0]).responses.columns.set_index("target")
    info = mne.create_info(NAMES, SFREQ, "eeg").set_montage("biosemi128")
    expected = {channel["ch_name"]: channel["loc"][:3] for channel in info["chs"]}
    for name in ("A1", "A2", "C21", "D32"):
        np.testing.assert_allclose(columns.loc[name, ["x", "y", "z"]].astype(float), expected[name])
    assert columns.loc["A1", "z"] > 0.1  # the top of the head
    assert columns[["x", "y", "z"]].notna().all(axis=None)


def test_bad_channels_are_interpolated_or_taken_as_good_if_asked(folder):
    data_dir, root, data = folder
    channels = "sub-001/eeg/sub-001_task-listening_run-01_channels.tsv"
    filled = broderick2018.load(config(runs=("1",), bad_channels="interpolate"), data_dir).responses
    assert filled.columns["target"].tolist() == NAMES
    i_bad, n_samples = NAMES.index("B2"), len(filled.values)
    info = mne.create_info(NAMES, SFREQ, "eeg").set_montage("biosemi128")
    raw = mne.io.RawArray(data["001", 1].copy(), info, verbose="ERROR")
    raw.info["bads"] = ["B2"]
    expected = raw.interpolate_bads(verbose="ERROR").get_data()[i_bad, :n_samples]
    np.testing.assert_allclose(filled.values[:, i_bad], expected, atol=1e-9)
    assert np.abs(filled.values[:, i_bad] - data["001", 1][i_bad, :n_samples]).max() > 1e-6
    as_recorded = broderick2018.load(config(runs=("1",), bad_channels="ignore"), data_dir).responses
    np.testing.assert_allclose(as_recorded.values[:, i_bad], data["001", 1][i_bad, :n_samples], atol=1e-9)
    (root / channels).unlink()
    with pytest.raises(MissingData, match=r"1 recordings have no channels.tsv.*OpenNeuroDatasets/ds004408.*'ignore'"):
        broderick2018.load(config(), data_dir)
    assert "no channels.tsv" in broderick2018.check(config(), data_dir)[0]
    without_table = broderick2018.load(config(runs=("1",), bad_channels="ignore"), data_dir).responses
    np.testing.assert_array_equal(without_table.values, as_recorded.values)


def test_listeners_stand_side_by_side_though_their_recordings_have_other_lengths(folder):
    data_dir, _, data = folder
    recording = broderick2018.load(config(subjects=("001", "002")), data_dir)
    columns = recording.responses.columns
    assert columns.groupby("subject").size().to_dict() == {"001": 126, "002": 126}
    assert not {"B2", "C20"} & set(columns["target"])
    second = recording.responses.values[:, ((columns["subject"] == "002") & (columns["target"] == "D5")).to_numpy()]
    expected = data["002", 1][NAMES.index("D5"), : int(2.3 * SFREQ)]
    np.testing.assert_allclose(second[: len(expected), 0], expected, atol=1e-9)
    assert recording.participants["subject"].tolist() == ["001", "002"]


def test_a_band_and_a_rate_are_those_of_mne_on_the_whole_run(folder):
    data_dir, _, data = folder
    responses = broderick2018.load(config(runs=("2",), l_freq=2.0, h_freq=30.0, sfreq=128.0), data_dir).responses
    raw = mne.io.RawArray(data["001", 2].copy(), mne.create_info(NAMES, SFREQ, "eeg"), verbose="ERROR")
    direct = resample(raw.filter(2.0, 30.0, verbose="ERROR"), 128.0).get_data()
    assert len(responses.values) == int(2.0 * 128)
    np.testing.assert_allclose(responses.values, direct[:, : len(responses.values)].T, atol=2e-9)


def test_a_recording_that_is_shorter_than_its_story_is_refused(folder):
    with pytest.raises(Misaligned, match=r"run-01_eeg.vhdr: lasts from 0 to 3 s, 0 to 4.8 s of it .*tail"):
        broderick2018.load(config(tail=3.0), folder[0])


def test_absent_and_altered_files_are_named_with_the_command_that_gets_them(folder):
    data_dir, root, _ = folder
    assert broderick2018.check(config(), data_dir) == []
    (root / "stimuli/audio01.TextGrid").unlink()
    eeg = root / "sub-001/eeg/sub-001_task-listening_run-02_eeg.eeg"
    eeg.write_bytes(eeg.read_bytes()[:-4])
    problems = broderick2018.check(config(), data_dir)
    assert len(problems) == 2
    assert "not the published file" in problems[0]
    assert f"brainalign fetch broderick2018 --include 'stimuli/audio01.TextGrid' --data-dir {data_dir}" in problems[1]
    with pytest.raises(MissingData, match="not the published file"):
        broderick2018.load(config(), data_dir)


def test_on_this_machine_the_recordings_are_said_to_be_absent(data_dir):
    if (data_dir / "broderick2018" / "sub-001").exists():
        pytest.skip("the recordings are here")
    problems = DATASETS["broderick2018"].check(Config(subjects=("001",), runs=("7",)), data_dir)
    assert len(problems) >= 5
    assert "fetch broderick2018 --include 'sub-001/eeg/sub-001_task-listening_run-07_eeg.vhdr'" in problems[0]


def test_names_that_are_not_there(folder):
    data_dir, _, _ = folder
    with pytest.raises(UnknownName, match=r"tier of .*'word'.*words"):
        broderick2018.load(config(word_tier="word"), data_dir)
    with pytest.raises(UnknownName, match="020"):
        broderick2018.load(config(subjects=("020",)), data_dir)
    for runs in (("21",), ("01",), (), ("1", "1")):
        with pytest.raises(ValidationError, match="runs are '1' to '20'"):
            Config(runs=runs)
