"""MEG-MASC: dictionaries in the events are read and never run, and a repeated story is known to be repeated.

The folders have FIF in the place of KIT's format, which mne does not write; names, sessions and events are those of the
data set.
"""

import json

import mne
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from brainalign.config import Splits
from brainalign.data import DATASETS, gwilliams2023
from brainalign.data._manifest import load_manifest
from brainalign.data.gwilliams2023 import Config, phones_within, read_descriptions, require_same_stories, words_of
from brainalign.errors import BrainalignError, Misaligned, MissingData, UnknownName
from brainalign.pipeline.folds import make_folds, stimuli_of_samples

SFREQ = 1000.0
CHANNELS, TYPES = ("MEG 001", "MEG 002", "MEG 003", "MISC 001"), ("mag", "mag", "mag", "misc")
STORY = [  # s in the sound, duration, word, sequence_id, condition
    (0.00, 0.30, "Tara", 0.0, "sentence"),
    (0.31, 0.20, "it's", 0.0, "sentence"),
    (0.52, 0.20, "zorp", 0.0, "pseudo_words"),
    (0.75, 0.25, "null", 0.0, "sentence"),
    (1.20, 0.30, "tiny", 1.0, "word_list"),
    (1.60, 0.20, "of", 1.0, "word_list"),
    (2.00, 0.40, "Then", 0.0, "sentence"),
]
PHONES = [(0.00, "T_B"), (0.15, "AA_I"), (0.31, "IH_B"), (0.40, "T_E"), (0.75, "N_B"), (1.20, "T_B"), (2.0, "DH_B")]


def event(onset, duration, kind, **told):
    meta = {"story": "lw1", "kind": kind, "sound": "stimuli/audio/lw1_0.0.wav", **told}
    return onset, duration, repr(meta), 1, int(onset * SFREQ)


def rows_of(begin, story=tuple(STORY)):
    rows = [event(begin, 2.5, "sound", start=0.0)]
    rows += [
        event(begin + at, seconds, "word", word=word, start=at, sequence_id=sequence, condition=condition)
        for at, seconds, word, sequence, condition in story
    ]
    rows += [event(begin + at, 0.08, "phoneme", phoneme=phone, start=at) for at, phone in PHONES]
    return sorted(rows, key=lambda row: row[0])


def write_events(path, rows):
    header = "onset\tduration\ttrial_type\tvalue\tsample\n"
    path.write_text(header + "".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")


def write_run(root, subject, session, task, *, begin, seconds=6.0, seed=0, story=tuple(STORY)):
    """A recording in which the sound begins at `begin` s."""
    folder = root / f"sub-{subject}/ses-{session}/meg"
    stem = f"sub-{subject}_ses-{session}_task-{task}"
    folder.mkdir(parents=True, exist_ok=True)
    scale = np.array([1e-13, 1e-13, 1e-13, 1.0])[:, None]
    rng = np.random.default_rng([seed, int(session), int(task)])
    data = scale * rng.standard_normal((len(CHANNELS), int(seconds * SFREQ)))
    raw = mne.io.RawArray(data, mne.create_info(list(CHANNELS), SFREQ, list(TYPES)), verbose="ERROR")
    raw.save(folder / f"{stem}_meg.fif", fmt="double", overwrite=True, verbose="ERROR")
    types = {"mag": "MEGMAG", "misc": "MISC"}
    channels = [f"{name}\t{types[kind]}\tT\tgood\n" for name, kind in zip(CHANNELS, TYPES, strict=True)]
    (folder / f"{stem}_channels.tsv").write_text("name\ttype\tunits\tstatus\n" + "".join(channels))
    (folder / f"{stem}_meg.json").write_text(json.dumps({"TaskName": task, "RecordingDuration": seconds}))
    write_events(folder / f"{stem}_events.tsv", rows_of(begin, story))
    scans = sorted(path.name for path in folder.glob("*_meg.fif"))
    listed = "".join(f"meg/{name}\n" for name in scans)
    (folder.parent / f"sub-{subject}_ses-{session}_scans.tsv").write_text(f"filename\n{listed}")
    return data


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "gwilliams2023"
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "MEG-MASC", "BIDSVersion": "1.6.0"}))
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t25\nsub-02\t31\n")
    data = {
        ("0", "0"): write_run(root, "01", "0", "0", begin=1.5),
        ("1", "0"): write_run(root, "01", "1", "0", begin=2.137),
    }
    return tmp_path, root, data


def load(data_dir, **settings):
    return gwilliams2023.load(Config(**{"subjects": ("01",), "lead": 0.5, "tail": 0.25} | settings), data_dir)


def test_words_come_with_their_sentences_and_without_nonwords(folder):
    events = load(folder[0], sessions=("0",)).events
    assert events["word"].tolist() == ["Tara", "it's", "null", "tiny", "of", "Then"]
    assert events["sentence_id"].tolist() == [0, 0, 0, 1, 1, 2]
    assert events["condition"].tolist() == ["sentence"] * 3 + ["word_list"] * 2 + ["sentence"]
    np.testing.assert_allclose(events["onset"], [0.5, 0.81, 1.25, 1.7, 2.1, 2.5])
    np.testing.assert_allclose(events["duration"], [0.3, 0.2, 0.25, 0.3, 0.2, 0.4])
    np.testing.assert_allclose(events["sound_start"], [0, 0.31, 0.75, 1.2, 1.6, 2.0])
    assert set(events["run"]) == {"ses-0_task-0"}
    assert set(events["story"]) == {"lw1"}


def test_conditions_are_chosen_and_those_left_out_are_counted(folder):
    recording = load(folder[0], sessions=("0",), conditions=("sentence", "pseudo_words"))
    assert recording.events["word"].tolist() == ["Tara", "it's", "zorp", "null", "Then"]
    run = recording.responses.provenance["subjects"]["01"]["runs"]["ses-0_task-0"]
    assert run["left_out_word_list"] == 2
    assert run["n_words"] == 5
    with pytest.raises(MissingData, match=r"no word is of the conditions \['sentences'\].*did you mean.*sentence"):
        load(folder[0], conditions=("sentences",))


def test_phones_are_those_that_begin_within_a_word(folder):
    events = load(folder[0], sessions=("0",), phones=True).events
    assert events["phones"].tolist() == ["T AA", "IH T", "N", "T", "", "DH"]


def test_the_samples_are_those_of_the_file_around_the_story(folder):
    data_dir, _, data = folder
    responses = load(data_dir).responses
    assert responses.columns["channel_type"].tolist() == ["mag"] * 3
    n_samples = int((0.5 + 2.4 + 0.25) * SFREQ)
    for session, begin in (("0", 1.5), ("1", 2.137)):
        of_run = (responses.rows["run"] == f"ses-{session}_task-0").to_numpy()
        first = round((begin - 0.5) * SFREQ)
        expected = data[session, "0"][:3, first : first + n_samples].T
        np.testing.assert_allclose(responses.values[of_run], expected, rtol=1e-6)
        assert responses.rows["time"][of_run].iloc[0] == 0


@pytest.mark.parametrize(
    ("sfreq", "error"), [(1000.0, 1e-3), (500.0, 1e-3), (125.0, 5e-3), (100.0, 6e-3), (120.0, 5e-3)]
)
def test_sessions_are_sampled_at_the_same_times_of_the_sound(tmp_path, sfreq, error):
    """A wave that begins with the sound is the same in both sessions, though the recordings began at other times.

    To a recorded sample, and half a new one that mne's resampling in the frequency domain may shift by.
    """
    root = tmp_path / "gwilliams2023"
    for session, begin in (("0", 1.5), ("1", 2.137)):
        write_run(root, "01", session, "0", begin=begin)
        path = root / f"sub-01/ses-{session}/meg/sub-01_ses-{session}_task-0_meg.fif"
        raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
        raw._data[:3] = 1e-13 * np.sin(2 * np.pi * 7 * (raw.times - begin)) + np.arange(3)[:, None] * 1e-14
        raw.save(path, fmt="double", overwrite=True, verbose="ERROR")
    recording = load(tmp_path, sfreq=sfreq)
    values, run = recording.responses.values, recording.responses.rows["run"].to_numpy()
    first, second = (values[run == f"ses-{session}_task-0"] for session in "01")
    assert first.shape == second.shape
    steepest = 1e-13 * 2 * np.pi * 7 * error
    np.testing.assert_allclose(first[20:-20], second[20:-20], atol=steepest)
    expected = 1e-13 * np.sin(2 * np.pi * 7 * (np.arange(len(first)) / sfreq - 0.5))
    np.testing.assert_allclose(first[20:-20, 0], expected[20:-20], atol=steepest)
    onsets = recording.events.groupby("run")["onset"].first()
    assert onsets.between(0.5, 0.501).all()


def test_the_filter_sees_the_whole_recording(folder):
    data_dir, _, data = folder
    responses = load(data_dir, sessions=("0",), l_freq=1.0, h_freq=40.0).responses
    raw = mne.io.RawArray(data["0", "0"], mne.create_info(list(CHANNELS), SFREQ, list(TYPES)), verbose="ERROR")
    direct = raw.filter(1.0, 40.0, picks="mag", verbose="ERROR").get_data("mag")[:, 1000 : 1000 + len(responses.values)]
    np.testing.assert_allclose(responses.values, direct.T, atol=1e-18)


def test_a_story_and_its_repetition_are_one_stimulus_that_no_fold_divides(folder):
    data_dir, root, _ = folder
    other = [(at, seconds, word[::-1], sequence, condition) for at, seconds, word, sequence, condition in STORY]
    for session in "01":
        write_run(root, "01", session, "1", begin=1.1, story=tuple(other))
    recording = load(data_dir, sfreq=100.0)
    stimulus, run = stimuli_of_samples(recording), recording.responses.rows["run"].to_numpy()
    for task in "01":
        first, again = (stimulus[run == f"ses-{session}_task-{task}"] for session in "01")
        assert first.tolist() == again.tolist()
    assert not set(stimulus[run == "ses-0_task-0"]) & set(stimulus[run == "ses-0_task-1"])
    by_stimulus = Splits(kind="groups", by="stimulus", n=2)
    for fold in make_folds(by_stimulus, recording, stimulus):
        assert {name.split("task-")[1] for name in run[fold.test]}.isdisjoint(
            name.split("task-")[1] for name in run[fold.train]
        )
        assert len(set(run[fold.test])) == 2
    with pytest.raises(BrainalignError, match="stimul"):
        make_folds(Splits(kind="groups", by="run", n=4), recording, stimulus)


def test_sessions_with_other_words_are_refused(folder):
    data_dir, root, _ = folder
    write_run(root, "01", "1", "0", begin=2.0, story=tuple(STORY[:-1]))
    with pytest.raises(
        Misaligned, match=r"ses-1_task-0 has 5 words and ses-0_task-0 6, the first 5 are the same.*sessions"
    ):
        load(data_dir)
    assert "ses-1_task-0 has 5 words" in gwilliams2023.check(Config(subjects=("01",)), data_dir)[0]
    assert len(load(data_dir, sessions=("1",)).events) == 5
    one = pd.DataFrame({"word": ["a", "b"], "sentence_id": [0, 0], "condition": "sentence"})
    with pytest.raises(Misaligned, match="the first is word 2"):
        require_same_stories({"ses-0_task-1": one, "ses-1_task-1": one.assign(word=["a", "c"])}, "subject 01")
    require_same_stories({"ses-0_task-1": one, "ses-0_task-2": one.assign(word=["a", "c"])}, "subject 01")


def test_people_stand_side_by_side_though_their_recordings_began_at_other_times(folder):
    data_dir, root, _ = folder
    second = write_run(root, "02", "0", "0", begin=1.7301, seconds=5.0, seed=2)
    recording = load(data_dir, subjects=("01", "02"), sessions=("0",))
    columns = recording.responses.columns
    assert columns["subject"].tolist() == ["01"] * 3 + ["02"] * 3
    n_samples = len(recording.responses.values)
    first = int((1.7301 - 0.5) * SFREQ)
    np.testing.assert_allclose(recording.responses.values[:, 3:], second[:3, first : first + n_samples].T, rtol=1e-6)
    assert 0 < recording.responses.provenance["largest_onset_difference"] < 0.001
    assert recording.participants.to_dict("records") == [{"subject": "01", "age": 25}, {"subject": "02", "age": 31}]
    with pytest.raises(MissingData, match=r"subject 02: \['ses-1_task-0'\] are named"):
        load(data_dir, subjects=("01", "02"), sessions=("0", "1"), tasks=("0",))


def test_stories_that_are_named_must_be_there(folder, caplog):
    with pytest.raises(MissingData, match=r"\['ses-0_task-3', 'ses-1_task-3'\] are named"):
        load(folder[0], tasks=("0", "3"))
    assert len(load(folder[0]).events) == 12
    assert "without ses-0_task-1, ses-0_task-2" in caplog.text
    with pytest.raises(ValidationError, match="tasks"):
        Config(tasks=("lw1",))
    with pytest.raises(UnknownName, match="99"):
        load(folder[0], subjects=("99",))


def test_a_description_is_never_run(tmp_path):
    path, ran = tmp_path / "events.tsv", tmp_path / "ran"
    write_events(path, [(0.0, 0.1, f"__import__('pathlib').Path({str(ran)!r}).touch()", 1, 0)])
    with pytest.raises(MissingData, match=r"events.tsv, line 2: trial_type must be a dictionary"):
        read_descriptions(path)
    assert not ran.exists()


@pytest.mark.parametrize("cell", ["word", "['kind']", "{'kind': 'word'", "n/a", "{1: 2}"])
def test_what_is_no_dictionary_is_refused_with_its_line(tmp_path, cell):
    path = tmp_path / "events.tsv"
    write_events(path, [event(0.0, 0.1, "sound"), (1.0, 0.1, cell, 1, 0)])
    with pytest.raises(MissingData, match=r"line 3: trial_type must be a dictionary"):
        read_descriptions(path)


def test_keys_that_are_missing_are_named(tmp_path):
    path = tmp_path / "events.tsv"
    write_events(path, [event(0.0, 0.1, "word", word="a", condition="sentence")])
    with pytest.raises(MissingData, match=r"words without \['sequence_id'\]"):
        words_of(read_descriptions(path), path, conditions=("sentence",))
    write_events(path, [(0.0, 0.1, "{'word': 'a'}", 1, 0)])
    with pytest.raises(MissingData, match="must say their `kind`"):
        read_descriptions(path)


def test_words_without_text_are_left_out_and_counted(tmp_path):
    path = tmp_path / "events.tsv"
    told = {"sequence_id": 0.0, "condition": "sentence"}
    write_events(path, [event(0.0, 0.1, "word", word=" ", **told), event(0.5, 0.1, "word", word="a", **told)])
    words, counts = words_of(read_descriptions(path), path, conditions=("sentence",))
    assert words["word"].tolist() == ["a"]
    assert counts == {"left_out_without_text": 1}


def test_phones_are_put_in_order_and_end_with_the_word():
    words = pd.DataFrame({"onset": [1.0, 1.5], "duration": [0.5, 0.25]})
    phones = pd.DataFrame({"onset": [1.5, 1.0, 1.4999, 1.2, 1.75], "phoneme": ["c_B", "a_B", "x_S", "b_E", "d_S"]})
    assert phones_within(words, phones) == ["a b", "x c"]


def test_words_that_do_not_fit_into_the_recording_are_refused(folder):
    with pytest.raises(Misaligned, match=r"lasts from 0 to 6 s, -0.5 to .*lead"):
        load(folder[0], lead=2.0, sessions=("0",))
    with pytest.raises(Misaligned, match=r"lasts from 0 to 6 s.*tail"):
        load(folder[0], tail=5.0)


def test_where_the_data_set_is_to_be_had(tmp_path):
    [problem] = DATASETS["gwilliams2023"].check(Config(), tmp_path)
    assert "gwilliams2023: no such folder; get the data set from https://osf.io/ag3kj" in problem
    with pytest.raises(MissingData, match="osf"):
        gwilliams2023.load(Config(), tmp_path)
    assert load_manifest("gwilliams2023").published["n_words"].value["LW1"] == 861


def test_the_provenance_names_every_file_and_says_what_was_done(folder):
    provenance = load(folder[0], sessions=("0",), h_freq=40.0).responses.provenance
    stem = "sub-01/ses-0/meg/sub-01_ses-0_task-0"
    assert {f"{stem}_{end}" for end in ("meg.fif", "events.tsv", "channels.tsv", "meg.json")} <= set(
        provenance["files"]
    )
    assert any("0 to 40 Hz" in step for step in provenance["processing"])
    assert provenance["subjects"]["01"]["runs"]["ses-0_task-0"]["starts_at"] == 1.0
