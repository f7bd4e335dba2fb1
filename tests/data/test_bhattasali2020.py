"""Annotations and quiz of the Alice data set; words matched to another spelling of the same text."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from brainalign.data import DATASETS, bhattasali2020, brennan2016
from brainalign.data._manifest import load_manifest
from brainalign.errors import Misaligned, MissingData, UnknownName

SAME = [f"same{i}" for i in range(20)]


def annotations_of(words, **columns):
    table = pd.DataFrame({"word": words} | dict.fromkeys(bhattasali2020.QUANTITIES, 0.0))
    return table.assign(**columns)


def test_equal_words_are_matched_one_by_one():
    blocks, mismatches = bhattasali2020.match_words(SAME, SAME)
    assert blocks == [range(i, i + 1) for i in range(20)]
    assert mismatches.empty


def test_every_kind_of_difference_is_matched_and_listed():
    words = [*SAME, "to", "night", "upon", "she'd", "'ll", "labled", *SAME, "true"]
    annotated = [*SAME, "tonight", "up", "on", "she", "’d", "ll", "labelled", *SAME[:10], "had", *SAME[10:], "TRUE"]
    blocks, mismatches = bhattasali2020.match_words(words, annotated)
    assert all(len(block) for block in blocks)
    assert [annotated[i] for i in blocks[24]] == ["ll"]
    assert mismatches["kind"].tolist() == ["replaced", "spelling", "replaced", "annotation only", "spelling"]
    assert mismatches.loc[0, "words"] == "to night upon she'd"
    assert mismatches.loc[0, "annotated"] == "tonight up on she ’d"
    assert mismatches.loc[3, ["position", "annotated"]].tolist() == [36, "had"]
    listed = " ".join(mismatches["annotated"]).split()
    equal = [annotated[i] for block, word in zip(blocks, words, strict=True) for i in block if word == annotated[i]]
    assert sorted(listed + equal) == sorted(annotated)


def test_a_word_without_an_annotation_is_refused_by_name():
    with pytest.raises(Misaligned, match=r"'white' \(word 11\), 'rabbit' \(word 12\)"):
        bhattasali2020.match_words([*SAME[:10], "white", "rabbit", *SAME[10:]], SAME)


def test_annotations_of_another_text_are_refused():
    with pytest.raises(Misaligned, match="another text: only 1 of 20"):
        bhattasali2020.match_words(SAME, ["other"] * 10 + [SAME[0]] + ["words"] * 10)


def test_blocks_give_the_mean_of_their_annotations():
    words = [*SAME, "upon", "book", "shelves"]
    values = np.arange(23.0)
    annotations = annotations_of([*SAME, "up", "on", "bookshelves"], log_frequency=values)
    matched, _ = bhattasali2020.annotate(words, annotations)
    assert list(matched.columns) == list(bhattasali2020.QUANTITIES)
    np.testing.assert_allclose(matched["log_frequency"], [*range(20), 21, 21, 21])


def test_a_missing_value_is_the_mean_of_all_words_and_is_listed():
    values = np.arange(20.0)
    values[3] = np.nan
    matched, mismatches = bhattasali2020.annotate(SAME, annotations_of(SAME, surprisal_cfg=values))
    assert matched["surprisal_cfg"].iloc[3] == pytest.approx(np.nanmean(values))
    assert mismatches.to_dict("records") == [
        {"kind": "no value", "position": 3, "words": "same3", "annotated": "surprisal_cfg"}
    ]


def test_the_mean_of_a_block_is_over_the_values_there_are():
    annotations = annotations_of([*SAME, "she", "’d"], surprisal_cfg=[0.0] * 20 + [3.0, np.nan])
    matched, mismatches = bhattasali2020.annotate([*SAME, "she'd"], annotations)
    assert matched["surprisal_cfg"].iloc[-1] == 3.0
    assert mismatches["kind"].tolist() == ["replaced"]


def test_facts(data_dir):
    facts = load_manifest("bhattasali2020").facts
    participants = bhattasali2020.read_participants(data_dir)
    assert len(participants) == participants["subject"].nunique() == facts["n_participants"]
    assert participants["quiz_score"].agg(["min", "max"]).tolist() == [
        facts["quiz_score_least"],
        facts["quiz_score_most"],
    ]
    listed = [file.path for file in load_manifest("bhattasali2020").listed]
    assert len(listed) == facts["n_recordings"]
    assert sum(path.endswith("_bold_preprocessed.nii.gz") for path in listed) == facts["n_preprocessed"]
    annotations = bhattasali2020.read_annotations(data_dir)
    assert len(annotations) == facts["n_annotations"]
    assert annotations["word"].iloc[[0, -1]].tolist() == ["Alice", "cake"]
    assert annotations["log_frequency"].notna().all()
    assert (annotations[["surprisal_2gram", "surprisal_cfg"]].isna().sum() == 1).all()
    assert annotations["onset"].isna().sum() == 31
    [at] = np.flatnonzero(annotations["word"] == "Alice's")
    assert annotations["surprisal_2gram"].iloc[at] == pytest.approx(
        (5.58306489130818 + 5.30887294635255) / 2, rel=1e-12
    )


def test_every_word_of_the_textgrid_gets_an_annotation_spoken_at_the_same_time(data_dir):
    facts = load_manifest("bhattasali2020").facts
    events = brennan2016.load(brennan2016.Config(subjects=("s18",)), data_dir).events
    annotations = bhattasali2020.read_annotations(data_dir)
    blocks, mismatches = bhattasali2020.match_words(events["word"], annotations["word"])
    assert len(blocks) == facts["n_textgrid_words"]
    assert mismatches["kind"].value_counts().to_dict() == {"spelling": 51, "replaced": 16, "annotation only": 2}
    only = mismatches[mismatches["kind"] == "annotation only"]
    assert only["annotated"].tolist() == ["had", "I"]
    assert len(only) == facts["n_annotation_only"]
    spoken = annotations["onset"].to_numpy()
    apart = [spoken[block[0]] - onset - 20.0 for block, onset in zip(blocks, events["onset"], strict=True)]
    assert np.nanmax(np.abs(apart)) < 1.0
    assert np.nanmedian(np.abs(apart)) < 0.05


def test_whole_brain_recordings_are_said_to_be_absent(data_dir):
    module = DATASETS["bhattasali2020"]
    with pytest.raises(
        MissingData, match=r"sub-18_task-alice_bold_preprocessed.nii.gz: no such file.*fetch bhattasali2020 --include"
    ):
        module.load(module.Config(subjects=("s18", "s22")), data_dir)
    with pytest.raises(UnknownName, match="s40"):
        module.load(module.Config(subjects=("s40",)), data_dir)
    assert len(module.check(module.Config(), data_dir)) == 23


def test_every_recording_that_is_asked_for_is_in_the_list():
    manifest = load_manifest("bhattasali2020")
    for recording, n_subjects in (("preprocessed", manifest.facts["n_preprocessed"]), ("raw", 26)):
        paths = bhattasali2020.bold_paths(bhattasali2020.Config(recording=recording), manifest)
        assert len(paths) == len(set(paths.values())) == n_subjects
        assert set(paths.values()) <= {file.path for file in manifest.listed}
        assert all(f"sub-{subject[1:]}_task-alice" in path for subject, path in paths.items())


def test_the_words_of_the_published_annotations(data_dir):
    words, counts = bhattasali2020.read_words(data_dir)
    facts = load_manifest("bhattasali2020").facts
    assert len(words) == facts["n_words"] == facts["n_annotations"] - counts["n_joined"]
    assert (counts["n_joined"], counts["n_ends_mended"], counts["n_interpolated"]) == (31, 1, 1)
    assert words["word"].iloc[[0, 44, -1]].tolist() == ["Alice", "what’s", "cake"]
    events = brennan2016.load(brennan2016.Config(subjects=("s18",)), data_dir).events
    blocks, _ = bhattasali2020.match_words(events["word"], words["word"])
    apart = [words["start"][block[0]] - onset - 20.0 for block, onset in zip(blocks, events["onset"], strict=True)]
    assert np.abs(np.median(apart)) < 0.05
    assert np.max(np.abs(apart)) < 1.0


tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))
manifest = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("planted_manifest.py"))))
SHAPE = (2, 2, 1)
WORDS = (
    ("Alice", "20.5", "20.9"), ("she", "22.0", "22.5"), ("’d", "", ""), ("slow", "30.0", "29.0"),
    ("null", "40.0", "40.5"), ("cake", "743.0", "743.4"),
)  # fmt: skip


def volumes(subject, n_volumes):
    """Voxel v of volume t of the scanner: the first that is there is the eleventh where ten are missing."""
    time = np.arange(372)[372 - n_volumes :] if n_volumes <= 372 else np.arange(n_volumes)
    values = 1e4 * int(subject) + 10.0 * time + np.arange(4.0)[:, None]
    values[3] = 7
    return values.reshape(*SHAPE, n_volumes).astype(np.float32)


def preprocessed(root, subject):
    return root / f"bhattasali2020/derivatives/sub-{subject}/sub-{subject}_task-alice_bold_preprocessed.nii.gz"


def raw(root, subject, echo=""):
    return root / f"bhattasali2020/sub-{subject}/func/sub-{subject}_task-alice{echo}_bold.nii.gz"


@pytest.fixture
def planted(tmp_path, monkeypatch):
    root = tmp_path / "bhattasali2020"
    numbers = [name for name in bhattasali2020.COLUMNS if not name.startswith("Word")]
    rows = [(*cells, *["1.5"] * len(numbers)) for cells in WORDS]
    tree.write_tsv(root / "code/annotations.tsv", ("Words", "Word Onset", "Word Offset", *numbers), rows)
    people = [(number, 20, "F", 9 + i, 5) for i, number in enumerate((18, 39, 46))]
    tree.write_tsv(root / "participants.tsv", ("participant_id", "age", "sex", "quiz_score", "final_dB"), people)
    for number, onset in (("18", 0.657), ("39", 0.0166)):
        tree.save_nifti(volumes(number, 362), preprocessed(tmp_path, number), tr=2.0)
        tree.write_tsv(root / f"sub-{number}/sub-{number}_task-alice_events.tsv", ("onset", "duration"), [(onset, 748)])
        (root / f"sub-{number}/sub-{number}_task-alice_bold.json").write_text('{"RepetitionTime": 2}')
    tree.save_nifti(volumes("18", 372), raw(tmp_path, "18"), tr=2.0)
    for number in ("39", "46"):
        tree.save_nifti(volumes(number, 372), raw(tmp_path, number, "_echo-2"), tr=2.0)
    manifest.plant(monkeypatch, "bhattasali2020", tmp_path)
    return tmp_path


def load(planted, **settings):
    config = bhattasali2020.Config(**settings)
    assert bhattasali2020.check(config, planted) == []
    return bhattasali2020.load(config, planted)


def test_preprocessed_volumes_begin_twenty_seconds_into_the_sound(planted):
    recording = load(planted)
    assert recording.responses.columns["subject"].tolist() == ["s18"] * 3 + ["s39"] * 3
    expected = np.hstack([volumes(number, 362).reshape(4, -1)[:3].T for number in ("18", "39")])
    np.testing.assert_array_equal(recording.responses.values, expected)
    assert recording.events["word"].tolist() == ["Alice", "she’d", "slow", "null", "cake"]
    np.testing.assert_allclose(recording.events["onset"], [0.5, 2.0, 10.0, 20.0, 723.0])
    np.testing.assert_allclose(recording.events["duration"].iloc[2], 10.0)  # "slow" ended before it began
    assert recording.participants["quiz_score"].tolist() == [9.0, 10.0]
    assert recording.responses.provenance["clocks"]["s18"]["n_missing_volumes"] == 10
    assert recording.responses.provenance["words"]["n_joined"] == 1
    recording.responses.save(planted / "saved")


def test_raw_volumes_begin_with_the_sound(planted):
    recording = load(planted, recording="raw", subjects=("s46",))
    np.testing.assert_allclose(recording.events["onset"], [20.5, 22.0, 30.0, 40.0, 743.0])
    assert len(recording.responses.values) == 372
    assert recording.responses.provenance["clocks"]["s46"]["n_missing_volumes"] == 0
    assert load(planted, recording="raw").participants["subject"].tolist() == ["s18", "s39", "s46"]


def test_a_preprocessed_file_with_all_volumes_begins_with_the_sound(planted, monkeypatch):
    tree.save_nifti(volumes("18", 372), preprocessed(planted, "18"), tr=2.0)
    manifest.plant(monkeypatch, "bhattasali2020", planted)
    np.testing.assert_allclose(load(planted, subjects=("s18",)).events["onset"].iloc[0], 20.5)
    with pytest.raises(Misaligned, match="samples in 1"):
        load(planted)


def test_another_number_of_volumes_is_refused(planted, monkeypatch):
    tree.save_nifti(volumes("18", 370), preprocessed(planted, "18"), tr=2.0)
    manifest.plant(monkeypatch, "bhattasali2020", planted)
    with pytest.raises(Misaligned, match="370 volumes, expected 372 as recorded, or 362 without the first ten"):
        load(planted)


def test_the_onset_of_the_sound_is_of_each_listener(planted):
    recording = load(planted, sound_onset="events", subjects=("s18",))
    np.testing.assert_allclose(recording.events["onset"].iloc[0], 0.5 + 0.657)
    assert any("events.tsv" in name for name in recording.responses.provenance["files"])
    with pytest.raises(Misaligned, match=r"events at other times, by up to 0.6404 s"):
        load(planted, sound_onset="events")
    both = load(planted, sound_onset="events", onset_tolerance=0.7)
    np.testing.assert_allclose(both.events["onset"].iloc[0], 0.5 + 0.657)
    later = load(planted, sound_onset=-1.0)
    assert later.responses.provenance["clocks"]["s39"]["n_before_recording"] == 1
    config = bhattasali2020.Config(recording="raw", sound_onset="events", subjects=("s46",))
    [problem] = bhattasali2020.check(config, planted)
    assert "no events.tsv of sub-46_task-alice_echo-2_bold.nii.gz" in problem
    with pytest.raises(MissingData, match="or give sound_onset in seconds"):
        bhattasali2020.load(config, planted)


def test_header_and_sidecar_must_agree_on_the_tr(planted, monkeypatch):
    tree.save_nifti(volumes("39", 362), preprocessed(planted, "39"), tr=1.5)
    manifest.plant(monkeypatch, "bhattasali2020", planted)
    with pytest.raises(Misaligned, match=r"header 1.5 sec, sidecar 2 s, setting tr 2 s"):
        load(planted)
    assert load(planted, header_tr="ignored").responses.rows["duration"].iloc[0] == 2.0
    (planted / "bhattasali2020/sub-39/sub-39_task-alice_bold.json").write_text('{"RepetitionTime": 1.5}')
    with pytest.raises(Misaligned, match=r"sidecar 1.5 s, setting tr 2 s"):
        load(planted, header_tr="ignored")


def test_somebody_without_a_preprocessed_recording_is_named(planted):
    with pytest.raises(MissingData, match=r"no preprocessed recording of \['s46'\] was published; recording = 'raw'"):
        bhattasali2020.load(bhattasali2020.Config(subjects=("s18", "s46")), planted)


def test_annotations_are_given_to_the_words(planted):
    events = load(planted, annotations=True).events
    assert events[list(bhattasali2020.QUANTITIES)].eq(1.5).all().all()
