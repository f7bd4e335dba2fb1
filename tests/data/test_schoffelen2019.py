"""MOUS: words of sentences and of word lists are told from blanks, questions and pauses, with their times.

The folders have FIF in the place of CTF's format, which mne does not write; names and events are those of the data set.
What is done to a CTF recording itself is tested where mne's reader hands it over.
"""

import json

import mne
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from brainalign.data import DATASETS, schoffelen2019
from brainalign.data._resampling import resample
from brainalign.data.schoffelen2019 import Config, words_shown
from brainalign.errors import Misaligned, MissingData, UnknownName

SFREQ = 1200.0
CHANNELS, TYPES = ("MLC11", "MLC12", "MRC11", "BG1", "UPPT001"), ("mag", "mag", "mag", "ref_meg", "stim")
PICTURES = [
    (0.5, "WOORDEN 10"),
    (1.0, "FIX 20"),
    (1.5, "2 fiets"),
    (1.8, "2 300"),
    (2.1, "2 de"),
    (2.6, "2 300"),
    (2.9, "ISI"),
    (3.0, "FIX 20"),
    (3.2, "4 null"),
    (3.5, "blank"),
    (3.6, "QUESTION 40"),
    (3.9, "pause 30"),
    (4.0, "ZINNEN 10"),
    (4.2, "FIX 20"),
    (4.4, "5 Het"),
    (4.7, "5 300"),
    (5.0, "7 zo'n mooie,"),
    (5.3, "7"),
    (5.5, "PULSE MODE 3"),
]
WORDS = ["fiets", "de", "null", "Het", "zo'n mooie,"]


def rows_of(pictures=tuple(PICTURES)):
    """Every picture with the rows of its trigger, which have the same time."""
    rows = [(0, 10, 1, "trial", "n/a")]
    for onset, code in pictures:
        sample = round(onset * SFREQ) + 1
        rows += [
            (onset, "n/a", sample, "frontpanel trigger", code.split()[-1]),
            (onset, "n/a", sample, "UPPT001", "20"),
        ]
        rows += [(onset + 0.0001, "n/a", sample, "Picture", code)]
    rows += [(3.7, "n/a", 4441, "Response", "1")]
    return sorted(rows, key=lambda row: row[0])


def write_events(path, rows):
    header = "onset\tduration\tsample\ttype\tvalue\n"
    path.write_text(header + "".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")


def make_raw(seconds=6.0):
    data = np.random.default_rng(0).standard_normal((len(CHANNELS), int(seconds * SFREQ))) * 1e-13
    return mne.io.RawArray(data, mne.create_info(list(CHANNELS), SFREQ, list(TYPES)), verbose="ERROR")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "schoffelen2019"
    meg = root / "sub-V1001/meg"
    meg.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "MOUS", "BIDSVersion": "1.0.2"}))
    (root / "participants.tsv").write_text("participant_id\tage\nsub-V1001\t22\nsub-A2002\t30\n")
    raw = make_raw()
    for task in ("visual", "rest"):
        stem = f"sub-V1001_task-{task}"
        raw.save(meg / f"{stem}_meg.fif", fmt="double", overwrite=True, verbose="ERROR")
        (meg / f"{stem}_meg.json").write_text(json.dumps({"TaskName": task}))
        kinds = {"mag": "MEGGRADAXIAL", "ref_meg": "MEGREFGRADAXIAL", "stim": "TRIG"}
        channels = [
            f"{name}\t{kinds[kind]}\tT\t{'bad' if name == 'MLC12' else 'good'}\n"
            for name, kind in zip(CHANNELS, TYPES, strict=True)
        ]
        (meg / f"{stem}_channels.tsv").write_text("name\ttype\tunits\tstatus\n" + "".join(channels))
    write_events(meg / "sub-V1001_task-visual_events.tsv", rows_of())
    scans = "filename\nmeg/sub-V1001_task-visual_meg.fif\nmeg/sub-V1001_task-rest_meg.fif\n"
    (root / "sub-V1001/sub-V1001_scans.tsv").write_text(scans)
    return tmp_path, root, raw


def load(data_dir, **settings):
    return schoffelen2019.load(Config(**{"subject": "V1001"} | settings), data_dir)


def test_words_are_told_from_other_pictures(folder):
    events = load(folder[0]).events
    assert events["word"].tolist() == WORDS
    assert events["condition"].tolist() == ["word_list"] * 3 + ["sentence"] * 2
    assert events["sentence_id"].tolist() == [0, 0, 1, 2, 2]
    assert events["block"].tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_allclose(events["onset"], [1.5001, 2.1001, 3.2001, 4.4001, 5.0001])
    np.testing.assert_allclose(events["duration"], [0.3, 0.5, 0.3, 0.3, 0.3])
    assert set(events["run"]) == {"task-visual"}


def test_only_the_task_and_the_sensors_that_measure_are_loaded(folder):
    data_dir, _, raw = folder
    recording = load(data_dir)
    responses = recording.responses
    assert responses.columns["target"].tolist() == ["MLC11", "MRC11"]
    assert set(responses.columns["channel_type"]) == {"mag"}
    np.testing.assert_allclose(responses.values, raw.get_data(["MLC11", "MRC11"]).T, rtol=1e-6)
    assert set(responses.rows["run"]) == {"task-visual"}
    run = responses.provenance["subjects"]["V1001"]["runs"]["task-visual"]
    assert run["left_out"] == {"MLC12": "marked as bad"}
    assert (run["n_words"], run["n_sequences"], run["n_blocks"]) == (5, {"sentence": 1, "word_list": 2}, 2)
    assert run["n_pictures"] == len(PICTURES)
    assert recording.participants.to_dict("records") == [{"subject": "V1001", "age": 22}]
    assert "sub-V1001/meg/sub-V1001_task-visual_events.tsv" in responses.provenance["files"]


def test_times_are_those_of_a_band_and_rate_of_mne(folder):
    data_dir, _, raw = folder
    responses = load(data_dir, l_freq=1.0, h_freq=40.0, sfreq=150.0).responses
    direct = resample(raw.copy().pick(["MLC11", "MRC11"]).filter(1.0, 40.0, verbose="ERROR"), 150.0)
    np.testing.assert_allclose(responses.values, direct.get_data().T, atol=1e-18)


def pictures(*rows):
    table = pd.DataFrame(rows, columns=["onset", "value"])
    return table.assign(_line=np.arange(2, len(table) + 2))


BEGIN = ((0.0, "ZINNEN 10"), (1.0, "FIX 20"))


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([(0.0, "FIX 20"), (1.0, "1 de"), (2.0, "1 300")], r"line 3: word 'de' comes before any of ZINNEN or WOORDEN"),
        ([(0.0, "ZINNEN"), (1.0, "1 de"), (2.0, "1 300")], r"line 3: word 'de' comes before any FIX"),
        ([*BEGIN, (2.0, "1 de")], r"line 4: word 'de' is the last picture"),
        ([*BEGIN, (2.0, "Welkom"), (2.5, "1 de"), (3.0, "1 300")], r"1 codes .* known: \['Welkom'\].*other_codes"),
        ([*BEGIN, (2.0, "1 300")], r"none of the 3 pictures is a word"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, rows, fault):
    with pytest.raises(MissingData, match=fault):
        words_shown(pictures(*rows), tmp_path / "events.tsv")


def test_more_codes_can_be_named(tmp_path):
    rows = pictures(*BEGIN, (2.0, "Welkom bij"), (2.5, "1 de"), (3.0, "1 300"))
    words = words_shown(rows, tmp_path / "events.tsv", other_codes=("Welkom",))
    assert words["word"].tolist() == ["de"]


def test_double_pictures_and_times_beyond_the_recording_are_refused(folder):
    data_dir, root, _ = folder
    path = root / "sub-V1001/meg/sub-V1001_task-visual_events.tsv"
    write_events(path, rows_of([*PICTURES, (7.0, "7 laat"), (7.3, "7 300")]))
    with pytest.raises(Misaligned, match=r"onset beyond the recording, which is 6 s long.*laat"):
        load(data_dir)
    write_events(path, rows_of([*PICTURES, (4.4, "5 Een")]))
    with pytest.raises(Misaligned, match="a second event with the same onset"):
        load(data_dir)
    write_events(path, [row for row in rows_of() if row[3] != "Picture"])
    with pytest.raises(MissingData, match=r"no row of type 'Picture'; the types are \['Response', 'UPPT001'"):
        load(data_dir)
    assert "no row of type 'Picture'" in schoffelen2019.check(Config(subject="V1001"), data_dir)[0]


def test_the_suffix_of_ctf_is_taken_off_names_and_bad_channels_are_found_by_name(folder, monkeypatch):
    data_dir, root, raw = folder
    meg = root / "sub-V1001/meg"
    (meg / "sub-V1001_task-visual_meg.fif").unlink()
    (meg / "sub-V1001_task-visual_meg.ds").mkdir()
    (meg / "sub-V1001_task-visual_meg.ds" / "sub-V1001_task-visual_meg.meg4").write_bytes(b"recorded")
    table = meg / "sub-V1001_task-visual_channels.tsv"
    table.write_text(table.read_text().replace("MLC12", "MLC12-4408"))
    asked = []

    def read_raw_ctf(path, *, clean_names, verbose):
        asked.append((path, clean_names, verbose))
        return raw.copy()

    monkeypatch.setattr(mne.io, "read_raw_ctf", read_raw_ctf)
    responses = load(data_dir).responses
    assert asked == [(meg / "sub-V1001_task-visual_meg.ds", True, "WARNING")]
    assert responses.columns["target"].tolist() == ["MLC11", "MRC11"]
    assert "sub-V1001/meg/sub-V1001_task-visual_meg.ds/sub-V1001_task-visual_meg.meg4" in responses.provenance["files"]


def test_readers_only_and_one_at_a_time(folder):
    with pytest.raises(ValidationError, match="subject"):
        Config(subject="A2002")
    with pytest.raises(UnknownName, match=r"V1002.*V1001"):
        load(folder[0], subject="V1002")


def test_where_the_data_set_is_to_be_had(tmp_path):
    [problem] = DATASETS["schoffelen2019"].check(Config(subject="V1001"), tmp_path)
    assert "no such folder; get the data set from https://data.ru.nl" in problem
    assert "accept the data use agreement" in problem
