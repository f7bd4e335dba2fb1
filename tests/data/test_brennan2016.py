"""Alice: words on the recording's clock, and clean time courses of 27 listeners."""

import json
import logging
import shutil

import numpy as np
import pytest
from pydantic import ValidationError

from brainalign.data import bhattasali2020, brennan2016
from brainalign.data._manifest import load_manifest
from brainalign.data._textgrid import read_textgrid
from brainalign.errors import Misaligned, MissingData, UnknownName


@pytest.fixture(scope="module")
def recording(data_dir):
    return brennan2016.load(brennan2016.Config(), data_dir)


@pytest.fixture(scope="module")
def facts():
    return load_manifest("brennan2016").facts


def cube(recording):
    """Responses as (n_listeners, n_volumes, n_rois)."""
    values = recording.responses.values
    return values.reshape(len(values), -1, len(brennan2016.TARGETS)).transpose(1, 0, 2)


def test_words(recording, facts):
    events = recording.events
    assert len(events) == facts["n_words"]
    assert set(events["run"]) == {"1"}
    assert events["word"].iloc[[0, -1]].tolist() == [facts["first_word"], facts["last_word"]]
    start = facts["volume_0_in_textgrid"]
    assert events["onset"].iloc[0] + start == pytest.approx(facts["first_word_start"], abs=0.005)
    assert events[["onset", "duration"]].iloc[-1].sum() + start == pytest.approx(facts["last_word_end"], abs=0.006)
    assert events["onset"].iloc[0] >= 0
    assert events["onset"].iloc[-1] < facts["tr"] * facts["n_volumes"]
    assert not events["word"].isin(["", "sp"]).any()
    assert (events["word"] == events["word"].str.strip()).all()


def test_textgrid(data_dir, facts):
    tiers = read_textgrid(data_dir / "brennan2016" / brennan2016.TEXTGRID)
    assert len(tiers["word"]) == facts["n_intervals"]


def test_shape_clock_and_names(recording, facts):
    responses = recording.responses
    assert responses.shape == (facts["n_volumes"], facts["n_listeners"] * len(facts["rois"]))
    assert list(brennan2016.TARGETS) == facts["rois"]
    np.testing.assert_array_equal(responses.rows["time"], facts["tr"] * np.arange(facts["n_volumes"]))
    assert set(responses.rows["duration"]) == {facts["tr"]}
    assert responses.columns["subject"].nunique() == facts["n_listeners"]
    assert "s33" not in set(responses.columns["subject"])
    assert responses.columns.iloc[8].to_dict() == {"subject": "s22", "target": "LPTL"}


def test_files_have_the_rows_the_manifest_says(data_dir, facts):
    folder = data_dir / "brennan2016"
    timecourses = list((folder / "6mm").glob("*.txt"))
    assert len(timecourses) == facts["n_subjects"]
    for path in folder.glob("*-rp_*.txt"):
        assert np.loadtxt(path).shape == (facts["n_motion_rows"], 6)
    assert len(np.loadtxt(next(folder.glob("sept18*")))) == facts["n_predictor_rows"]
    assert (folder / "s33-rate.txt").read_bytes() == (folder / "s33-sndpwr.txt").read_bytes()
    for radius in ("6mm", "10mm"):
        assert not np.loadtxt(folder / radius / "s33-timecourses.txt").any()


def test_split_half_of_listeners(recording, facts):
    Y = cube(recording)
    Y = Y / Y.std(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    halves = []
    for _ in range(200):
        order = rng.permutation(len(Y))
        one, other = Y[order[:13]].mean(axis=0), Y[order[13:]].mean(axis=0)
        halves.append([np.corrcoef(one[:, i], other[:, i])[0, 1] for i in range(Y.shape[2])])
    np.testing.assert_allclose(np.mean(halves, axis=0), facts["split_half_r"], atol=0.03)


def test_drift_and_motion_are_gone_and_nothing_else(data_dir):
    folder = data_dir / "brennan2016"
    raw = np.loadtxt(folder / "6mm/s18-timecourses.txt")
    motion = np.loadtxt(next(folder.glob("s18-rp_*")))[10:]
    cubic = np.vander(np.arange(362) / 362, 4)
    centred = motion - motion.mean(axis=0)

    def loaded(**settings):
        return brennan2016.load(brennan2016.Config(subjects=("s18",), **settings), data_dir).responses.values

    for values, nuisance in (
        (loaded(), np.hstack([cubic, centred])),
        (loaded(remove_motion=False), cubic),
        (loaded(drift_order=-1), centred),
        (loaded(drift_order=0, remove_motion=False), np.ones((362, 1))),
    ):
        projection = nuisance @ np.linalg.pinv(nuisance)
        np.testing.assert_allclose(values, raw - projection @ raw, atol=1e-8)
    np.testing.assert_array_equal(loaded(drift_order=-1, remove_motion=False), raw)


def test_the_radius_chooses_the_files(data_dir):
    config = {"subjects": ("s18",), "drift_order": -1, "remove_motion": False}
    wide = brennan2016.load(brennan2016.Config(roi_radius_mm=10, **config), data_dir)
    np.testing.assert_array_equal(wide.responses.values, np.loadtxt(data_dir / "brennan2016/10mm/s18-timecourses.txt"))
    assert "brennan2016/10mm/s18-timecourses.txt" in wide.responses.provenance["files"]


def test_the_order_of_asking_changes_nothing(data_dir):
    one = brennan2016.load(brennan2016.Config(subjects=("s22", "s18")), data_dir).responses
    assert one.columns["subject"].unique().tolist() == ["s18", "s22"]


def test_participants(recording):
    participants = recording.participants
    assert participants["subject"].tolist() == recording.responses.columns["subject"].unique().tolist()
    assert participants["motion_fd"].between(0.05, 0.3).all()
    assert participants["quiz_score"].notna().sum() == 26
    assert participants.set_index("subject")["quiz_score"]["s52"] == 5
    assert np.isnan(participants.set_index("subject")["quiz_score"]["s40"])
    assert {"age", "sex", "final_dB"} <= set(participants)


def test_without_the_quiz_its_columns_are_absent(data_dir, tmp_path):
    (tmp_path / "brennan2016").symlink_to(data_dir / "brennan2016")
    alone = brennan2016.load(brennan2016.Config(subjects=("s18",)), tmp_path)
    assert list(alone.participants) == ["subject", "motion_fd"]


def test_a_changed_quiz_is_refused(data_dir, tmp_path):
    (tmp_path / "brennan2016").symlink_to(data_dir / "brennan2016")
    shutil.copytree(data_dir / "bhattasali2020", tmp_path / "bhattasali2020")
    path = tmp_path / "bhattasali2020/participants.tsv"
    path.chmod(0o644)
    path.parent.chmod(0o755)
    path.write_text(path.read_text().replace("18\t22\tM\t11", "18\t22\tM\t12"))
    config = brennan2016.Config(subjects=("s18",))
    assert "participants.tsv: not the published file" in brennan2016.check(config, tmp_path)[0]
    with pytest.raises(MissingData, match=r"participants\.tsv: not the published file"):
        brennan2016.load(config, tmp_path)


def test_provenance_can_be_written_as_json(recording, data_dir):
    provenance = json.loads(json.dumps(recording.responses.provenance))
    assert provenance["data_set"] == "brennan2016"
    assert provenance["config"]["drift_order"] == 3
    assert len(provenance["files"]) == 1 + 27 + 27 + 1
    assert all(len(digest) == 64 for digest in provenance["files"].values())


def test_annotations_are_attached_and_every_mismatch_is_listed(data_dir, caplog):
    config = brennan2016.Config(subjects=("s18",), annotations=True)
    with caplog.at_level(logging.INFO):
        recording = brennan2016.load(config, data_dir)
    events = recording.events
    assert len(events) == 2127
    assert events[list(bhattasali2020.QUANTITIES)].notna().all().all()
    assert events["log_frequency"].iloc[0] == 8.65
    cake = events[events["word"] == "cake"].iloc[-1]
    assert cake["surprisal_cfg"] == pytest.approx(10.653059, abs=1e-6)
    mismatches = json.loads(json.dumps(recording.responses.provenance["annotation_mismatches"]))
    assert {"kind": "annotation only", "position": 25, "words": "", "annotated": "had"} in mismatches
    assert {"kind": "replaced", "position": 795, "words": "to night", "annotated": "tonight"} in mismatches
    assert "bhattasali2020/code/annotations.tsv" in recording.responses.provenance["files"]
    for text in ("happpens", "Zealand", "annotation only"):
        assert text in caplog.text


def test_who_is_excluded_is_named_when_asked_for_and_an_empty_recording_is_refused(data_dir, caplog):
    with pytest.raises(MissingData, match=r"s33-timecourses.txt: LATL.*constant.*there is no recording"):
        brennan2016.load(brennan2016.Config(subjects=("s18", "s33")), data_dir)
    assert "s33 is left out by default: its sound power file equals its rate file" in caplog.text


def test_an_unknown_listener_names_the_nearest(data_dir):
    config = brennan2016.Config(subjects=("s81",))
    with pytest.raises(UnknownName, match="unknown subject of brennan2016 's81'"):
        brennan2016.load(config, data_dir)
    assert "s81" in brennan2016.check(config, data_dir)[0]


def test_check_lists_all_absent_files(data_dir, tmp_path):
    assert brennan2016.check(brennan2016.Config(annotations=True), data_dir) == []
    (tmp_path / "brennan2016").mkdir()
    config = brennan2016.Config(subjects=("s18", "s22"), annotations=True)
    problems = brennan2016.check(config, tmp_path)
    assert len(problems) == 1 + 2 + 2 + 1
    with pytest.raises(MissingData) as caught:
        brennan2016.load(config, tmp_path)
    assert len(str(caught.value).splitlines()) == 5


@pytest.mark.parametrize(
    "settings",
    [
        {"roi_radius_mm": 8},
        {"drift_order": -2},
        {"drift_order": 3.0},
        {"subjects": ()},
        {"subjects": ("s18", "s18")},
        {"subjects": "s18"},
        {"radius": 6},
        {"remove_motion": "yes"},
    ],
)
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValidationError):
        brennan2016.Config(**settings)


def test_motion_files_must_have_the_discarded_volumes(tmp_path):
    motion = np.random.default_rng(0).standard_normal((372, 6))
    path = tmp_path / "s18-rp_.txt"
    np.savetxt(path, motion)
    np.testing.assert_allclose(brennan2016.read_motion(path), motion[10:])
    np.savetxt(path, motion[10:])
    with pytest.raises(MissingData, match=r"362 rows of \[6\] numbers, expected 372 rows"):
        brennan2016.read_motion(path)
    motion[:, 2] = 0
    np.savetxt(path, motion)
    with pytest.raises(MissingData, match="never changes"):
        brennan2016.read_motion(path)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda lines: lines[:-1], "361 rows"),
        (lambda lines: [*lines[:-1], "1 2 3"], r"\[3, 6\]"),
        (lambda lines: [*lines[:-1], "1 2 3 4 5 x"], "could not convert"),
        (lambda lines: [*lines[:-1], "1 2 3 4 5 nan"], "row 362 is not finite"),
        (lambda lines: ["7 " + line.split(" ", 1)[1] for line in lines], "LATL constant"),
    ],
)
def test_damaged_time_courses_are_refused(tmp_path, damage, what):
    path = tmp_path / "s18-timecourses.txt"
    np.savetxt(path, np.random.default_rng(0).standard_normal((362, 6)))
    assert brennan2016.read_timecourses(path).shape == (362, 6)
    path.write_text("\n".join(damage(path.read_text().splitlines())))
    with pytest.raises(MissingData, match=what):
        brennan2016.read_timecourses(path)


def test_framewise_displacement_is_that_of_power():
    motion = np.zeros((3, 6))
    motion[1] = [1, -2, 0, 0.01, 0, -0.02]
    motion[2] = [1, -2, 0.5, 0.01, 0, -0.02]
    np.testing.assert_allclose(brennan2016.framewise_displacement(motion), [3 + 50 * 0.03, 0.5])


def test_phones_of_the_words(data_dir):
    recording = brennan2016.load(brennan2016.Config(subjects=("s18",), phones=True), data_dir)
    counts = recording.responses.provenance["phones"]
    assert sum(counts.values()) == len(recording.events) == 2127
    assert counts["aligned"] > 1880
    assert counts["unknown"] < 50
    phones = recording.events.set_index("word")["phones"]
    assert phones["Alice"].iloc[0] == "AE1 L AH0 S"
    assert set(phones["the"]) <= {"DH AH0", "DH AH1", "DH IY0", "DH IY1"}
    assert (recording.events["phones"] == "").sum() == counts["unknown"]


def test_sound_power_is_on_the_clock_of_the_volumes_and_the_same_for_all(data_dir):
    recording = brennan2016.load(brennan2016.Config(subjects=("s22", "s18"), sound_power=True), data_dir)
    np.testing.assert_array_equal(recording.series["onset"], recording.responses.rows["time"])
    written = np.loadtxt(data_dir / "brennan2016" / "s18-sndpwr.txt")
    assert np.corrcoef(recording.series["sound_power"], written)[0, 1] > 0.9999
    assert brennan2016.load(brennan2016.Config(subjects=("s18",)), data_dir).series is None


def test_another_sound_is_refused(data_dir):
    with pytest.raises(Misaligned, match="s33-sndpwr"):
        brennan2016._sound_power([data_dir / "brennan2016" / f"{s}-sndpwr.txt" for s in ("s18", "s22", "s33")])
