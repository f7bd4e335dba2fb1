"""Narratives from surfaces and alignments: three clocks, exclusions, conditions, hemispheres, interpolated words."""

import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from pydantic import ValidationError

from brainalign.data import nastase2021
from brainalign.data._manifest import load_manifest
from brainalign.data._surfaces import N_VERTICES
from brainalign.errors import Misaligned, MissingData, UnknownName

manifest = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("planted_manifest.py"))))

N = 6
ONSETS = {"pieman": 2, "milkyway": 3, "slumlord": 2, "reach": 12, "lucy": 1}
DURATIONS = {"pieman": 20, "milkyway": 18, "slumlord": 8, "reach": 10, "lucy": 20}
SOUNDS = {"pieman": 0.0, "milkyway": 0.0, "slumlordreach": 4.5, "lucy": 2.0}
N_VOLUMES = {"pieman": 25, "milkyway": 24, "slumlordreach": 25, "lucy": 23}
PEOPLE = (
    ("sub-001", "20,21", "F,F", "pieman,lucy", "n/a,n/a", "0.5,n/a"),
    ("sub-002", "22", "M", "pieman", "n/a", "0.75"),
    ("sub-003", "23,23", "M,M", "pieman,milkyway", "n/a,vodka", "n/a,0.9"),
    ("sub-004", "24", "F", "milkyway", "original", "1.0"),
    ("sub-005", "n/a", "F", "slumlordreach", "n/a", "0.25"),
)
SCANS = (
    "sub-001_task-pieman_run-1",
    "sub-001_task-pieman_run-2",
    "sub-001_task-lucy",
    "sub-002_task-pieman",
    "sub-003_task-pieman",
    "sub-003_task-milkyway",
    "sub-004_task-milkyway",
    "sub-005_task-slumlordreach",
)
EXCLUDED = {"sub-003_task-pieman": "no speech was heard"}


def values_of(scan, side):
    """Vertex v of volume t: a number that says which scan, side, volume and vertex it is of; vertex 0 is the wall."""
    n_volumes = N_VOLUMES[scan.split("task-")[1].split("_")[0]]
    values = 1e4 * SCANS.index(scan) + 1e3 * (side == "R") + 10 * np.arange(n_volumes)[:, None] + np.arange(N)
    values[:, 0] = 0
    return values.astype(np.float32)


def write_side(root, scan, side, values=None, *, says=None):
    folder = root / "derivatives/afni-nosmooth" / scan.split("_")[0] / "func"
    folder.mkdir(parents=True, exist_ok=True)
    values = values_of(scan, side) if values is None else values
    structure = {"L": "CortexLeft", "R": "CortexRight"}[says or side]
    meta = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure})
    arrays = [nibabel.gifti.GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES") for row in values]
    path = folder / f"{scan}_space-fsaverage6_hemi-{side}_desc-clean.func.gii"
    nibabel.save(nibabel.GiftiImage(darrays=arrays, meta=meta), path)
    return path


def write_words(root, story, rows):
    path = root / "stimuli/gentle" / story / "align.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    words = [row.split(",") for row in rows]
    text, entries = "", []
    for i_word, (word, aligned, start, end) in enumerate(words):
        entry = {"word": word, "startOffset": len(text), "endOffset": len(text) + len(word)}
        found = {"case": "success", "alignedWord": aligned, "start": float(start or 0), "end": float(end or 0)}
        entries.append(entry | (found if start else {"case": "not-found-in-audio"}))
        text += word + ("." if i_word == len(words) - 1 else " ")
    path.with_suffix(".json").write_text(json.dumps({"transcript": text, "words": entries}), encoding="utf-8")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("nastase2021")
    root = data_dir / "nastase2021"
    root.mkdir()
    header = ("participant_id", "age", "sex", "task", "condition", "comprehension")
    (root / "participants.tsv").write_text("".join("\t".join(row) + "\n" for row in (header, *PEOPLE)))
    for scan in SCANS:
        for side in "LR":
            write_side(root, scan, side)
    words = [
        "I,i,3.5,3.7",
        "began,began,4.0,4.4",
        "null,<unk>,,",
        "my,my,6.0,6.2",
        "walk,walk,20.0,20.5",
        "end,end,38,39",
    ]
    for story in ("pieman", "milkywayvodka", "slumlordreach", "lucy"):
        write_words(root, story, words)
    write_words(root, "milkywayoriginal", ["Other,other,5.0,6.0", "words,words,7.0,8.0"])
    return data_dir


@pytest.fixture
def planted(written, tmp_path, monkeypatch):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.setitem(N_VERTICES, "fsaverage6", N)
    manifest.plant(
        monkeypatch,
        "nastase2021",
        tmp_path,
        listed=[f"{scan.split('_')[0]}/func/{scan}_bold.nii.gz" for scan in SCANS],
        published={
            "story_onset_trs": ONSETS,
            "n_trs": DURATIONS,
            "sound_onset_seconds": SOUNDS,
            "first_word_seconds": {"lucy": [7.0, 7.5]},
        },
        exclusions=EXCLUDED,
    )
    return tmp_path


def load(planted, stories=("pieman",), **settings):
    config = nastase2021.Config(stories=stories, alignment="csv", **settings)
    assert nastase2021.check(config, planted) == []
    return nastase2021.load(config, planted)


def expected(scan, first, stop):
    sides = [values_of(scan, side)[first:stop, 1:] for side in "LR"]
    return np.hstack(sides)


def test_people_who_heard_one_story_are_side_by_side(planted):
    recording = load(planted)
    responses = recording.responses
    assert responses.columns["subject"].unique().tolist() == ["sub-001", "sub-002"]
    values = np.hstack([expected(scan, 2, 22) for scan in ("sub-001_task-pieman_run-1", "sub-002_task-pieman")])
    np.testing.assert_array_equal(responses.values, values)
    assert responses.columns["target"].head(6).tolist() == ["L-1", "L-2", "L-3", "L-4", "L-5", "R-1"]
    np.testing.assert_allclose(responses.rows["time"], 1.5 * np.arange(20))
    assert responses.provenance["left_out"] == EXCLUDED
    responses.save(planted / "saved")
    assert recording.participants["comprehension_pieman"].tolist() == [0.5, 0.75]
    assert recording.participants["age"].tolist() == [20, 22]


def test_words_are_on_the_clock_of_the_volumes_that_are_kept(planted):
    recording = load(planted)
    events = recording.events
    assert events["word"].tolist() == ["I", "began", "null", "my", "walk"]
    np.testing.assert_allclose(events["onset"], np.array([3.5, 4.0, 5.0, 6.0, 20.0]) - 2 * 1.5)
    assert events["interpolated"].tolist() == [False, False, True, False, False]
    counts = recording.responses.provenance["words"]["pieman"]
    assert (counts["n_words"], counts["n_interpolated"], counts["n_before_recording"]) == (6, 1, 0)
    assert (counts["n_after_recording"], counts["n_events"]) == (1, 5)
    assert load(planted, untimed="leave_out").events["word"].tolist() == ["I", "began", "my", "walk"]


def test_the_whole_scan_has_its_own_clock(planted):
    recording = load(planted, cut=False)
    assert len(recording.responses.values) == 25
    np.testing.assert_allclose(recording.events["onset"].head(2), [3.5, 4.0])
    later = load(planted, cut=False, sound_onset={"pieman": 1.25})
    np.testing.assert_allclose(later.events["onset"].head(2), [4.75, 5.25])
    assert later.responses.provenance["sound_onset_seconds"] == {"pieman": 1.25}


def test_two_stories_of_one_scan_are_one_run(planted):
    recording = load(planted, ("slumlordreach",))
    np.testing.assert_array_equal(recording.responses.values, expected("sub-005_task-slumlordreach", 2, 22))
    np.testing.assert_allclose(recording.events["onset"].iloc[0], 3.5 + 4.5 - 3.0)


def test_the_json_gives_punctuation(planted):
    config = nastase2021.Config(stories=("milkywayoriginal",))
    assert nastase2021.load(config, planted).events["word"].tolist() == ["Other", "words."]


def test_stories_are_runs_in_the_order_of_the_settings(planted):
    recording = load(planted, ("pieman", "lucy"), subjects=("sub-001",))
    assert recording.responses.rows["run"].unique().tolist() == ["pieman", "lucy"]
    assert recording.events["run"].unique().tolist() == ["pieman", "lucy"]
    values = [expected("sub-001_task-pieman_run-1", 2, 22), expected("sub-001_task-lucy", 1, 21)]
    np.testing.assert_array_equal(recording.responses.values, np.vstack(values))
    reverse = load(planted, ("lucy", "pieman"), subjects=("sub-001",))
    assert reverse.responses.rows["run"].unique().tolist() == ["lucy", "pieman"]


def test_first_words_are_corrected_by_hand(planted):
    config = {"subjects": ("sub-001",), "cut": False}
    events = load(planted, ("lucy",), corrected=False, **config).events
    np.testing.assert_allclose(events["onset"].head(2), [5.5, 6.0])
    rows = ["I,i,0.5,0.7", "began,began,1.0,1.4", "my,my,8.0,8.2"]
    write_words(planted / "nastase2021", "lucy", rows)
    events = load(planted, ("lucy",), **config).events
    np.testing.assert_allclose(events["onset"], [9.0, 9.5, 10.0])
    np.testing.assert_allclose(events["duration"].head(2), 0.05)


def test_an_excluded_scan_is_refused_by_name_and_can_be_taken(planted):
    config = nastase2021.Config(stories=("pieman",), subjects=("sub-002", "sub-003"))
    with pytest.raises(MissingData, match=r"sub-003_task-pieman is excluded: no speech was heard; exclude = false"):
        nastase2021.load(config, planted)
    recording = load(planted, subjects=("sub-002", "sub-003"), exclude=False)
    assert recording.participants["subject"].tolist() == ["sub-002", "sub-003"]
    assert recording.responses.provenance["left_out"] == {}
    assert len(load(planted, exclude=False).participants) == 3


def test_of_two_scans_one_is_taken(planted):
    first = load(planted, subjects=("sub-001",))
    second = load(planted, subjects=("sub-001",), scan="second")
    np.testing.assert_array_equal(first.responses.values, expected("sub-001_task-pieman_run-1", 2, 22))
    np.testing.assert_array_equal(second.responses.values, expected("sub-001_task-pieman_run-2", 2, 22))


def test_the_condition_says_which_version_was_heard(planted):
    assert load(planted, ("milkywayvodka",)).participants["subject"].tolist() == ["sub-003"]
    original = load(planted, ("milkywayoriginal",))
    assert original.participants["condition_milkywayoriginal"].tolist() == ["original"]
    assert original.participants["comprehension_milkywayoriginal"].tolist() == [1.0]
    with pytest.raises(MissingData, match="sub-004: no scan of milkywayvodka"):
        load_refused(planted, ("milkywayvodka",), subjects=("sub-004",))
    with pytest.raises(MissingData, match="nobody has a scan of all of"):
        load_refused(planted, ("milkywayvodka", "lucy"))
    with pytest.raises(UnknownName, match="sub-009"):
        load_refused(planted, subjects=("sub-009",))


def load_refused(planted, stories=("pieman",), **settings):
    config = nastase2021.Config(stories=stories, alignment="csv", **settings)
    assert nastase2021.check(config, planted)
    return nastase2021.load(config, planted)


def test_a_missing_hemisphere_and_a_stub_are_named(planted):
    root = planted / "nastase2021/derivatives/afni-nosmooth"
    (root / "sub-001/func/sub-001_task-pieman_run-1_space-fsaverage6_hemi-R_desc-clean.func.gii").unlink()
    (root / "sub-002/func/sub-002_task-pieman_space-fsaverage6_hemi-L_desc-clean.func.gii").write_bytes(b"")
    with pytest.raises(
        MissingData, match=r"(?s)sub-001.*hemi-R.*no such file.*sub-002.*hemi-L.*stub.*fetch nastase2021"
    ):
        load_refused(planted)


def test_swapped_and_unequal_hemispheres_are_refused(planted):
    root = planted / "nastase2021"
    write_side(root, "sub-002_task-pieman", "L", says="R")
    with pytest.raises(Misaligned, match="are they swapped"):
        load(planted)
    write_side(root, "sub-002_task-pieman", "L", values_of("sub-002_task-pieman", "L")[:-1])
    with pytest.raises(Misaligned, match="24 samples on the left, 25 on the right"):
        load(planted)
    for side in "LR":
        write_side(root, "sub-002_task-pieman", side, values_of("sub-002_task-pieman", side)[:, :-1])
    with pytest.raises(Misaligned, match="5 and 5 vertices, fsaverage6 has 6"):
        load(planted)


def test_a_recording_that_is_too_short_for_its_story_is_refused(planted):
    for side in "LR":
        write_side(planted / "nastase2021", "sub-002_task-pieman", side, values_of("sub-002_task-pieman", side)[:21])
    with pytest.raises(Misaligned, match="21 volumes, but pieman is heard in volumes 2 to 21"):
        load(planted)


def test_a_vertex_that_is_constant_during_the_story_is_left_out(planted):
    values = values_of("sub-002_task-pieman", "L")
    values[2:22, 3] = 8.0
    write_side(planted / "nastase2021", "sub-002_task-pieman", "L", values)
    columns = load(planted).responses.columns
    assert columns["target"].tolist() == ["L-1", "L-2", "L-4", "L-5", "R-1", "R-2", "R-3", "R-4", "R-5"] * 2
    assert "L-3" in load(planted, cut=False).responses.columns["target"].tolist()
    with pytest.raises(Misaligned, match="points are constant or not finite: L-0"):
        load(planted, unusable="refuse")


def test_words_of_another_story_are_refused(planted):
    with pytest.raises(Misaligned, match="the words of another sound"):
        load(planted, late_tolerance=4.9)


def test_a_sidecar_with_another_tr_is_refused(planted):
    path = planted / "nastase2021/task-pieman_bold.json"
    path.write_text('{"RepetitionTime": 1.5}')
    assert "nastase2021/task-pieman_bold.json" in load(planted).responses.provenance["files"]
    path.write_text('{"RepetitionTime": 2.0}')
    with pytest.raises(Misaligned, match=r"the TR differs: .*sidecar 2 s, setting tr 1.5 s"):
        load(planted)
    path.write_text('{"RepetitionTime": "1.5"}')
    with pytest.raises(Misaligned, match=r"RepetitionTime of its sidecar is '1\.5'"):
        load(planted)


def test_parcels_are_means_of_vertices(planted):
    for side in "LR":
        labels = nibabel.gifti.GiftiDataArray(np.array([0, 1, 1, 2, 2, 0], np.int32), intent="NIFTI_INTENT_LABEL")
        nibabel.save(nibabel.GiftiImage(darrays=[labels]), planted / f"atlas_{side}.label.gii")
    recording = load(planted, subjects=("sub-002",), parcels="atlas_{hemi}.label.gii")
    assert recording.responses.columns["target"].tolist() == ["left 1", "left 2", "right 1", "right 2"]
    left = values_of("sub-002_task-pieman", "L")[2:22]
    np.testing.assert_allclose(recording.responses.values[:, :2], np.c_[left[:, 1:3].mean(1), left[:, 3:5].mean(1)])
    assert any(name.startswith("atlas_L") for name in recording.responses.provenance["files"])
    with pytest.raises(MissingData, match="no such file"):
        load_refused_quietly(planted, parcels="nowhere_{hemi}.label.gii")


def load_refused_quietly(planted, **settings):
    config = nastase2021.Config(stories=("pieman",), alignment="csv", **settings)
    assert len(nastase2021.check(config, planted)) == 2
    return nastase2021.load(config, planted)


def test_settings_are_checked():
    for settings in (
        {"stories": ()},
        {"stories": ("pieman", "pieman")},
        {"stories": ("schema",)},
        {"stories": ("pieman",), "sound_onset": {"reach": 1.0}},
        {"stories": ("pieman",), "sound_onset": {"pieman": float("nan")}},
        {"stories": ("pieman",), "mask": "a", "parcels": "b"},
    ):
        with pytest.raises(ValidationError):
            nastase2021.Config(**settings)


REAL = load_manifest("nastase2021")


def test_every_exclusion_is_a_recorded_scan():
    scans = {name for names in nastase2021.recorded_scans().values() for name in names}
    assert len(scans) == REAL.facts["n_recordings"]
    assert set(REAL.exclusions) <= scans
    assert len(REAL.exclusions) == 27


def test_what_is_asked_for_is_in_the_list(data_dir):
    """The raw scan of every derivative is listed; the number of listeners is that of the list less the exclusions."""
    heard = nastase2021.read_heard(data_dir)
    listed = {file.path for file in REAL.listed}
    for story in nastase2021.Story.__args__:
        config = nastase2021.Config(stories=(story,))
        scans, left_out = nastase2021.chosen_scans(config, heard)
        task = "milkyway" if story in nastase2021.MILKYWAY else story
        for subject, of_stories in scans.items():
            assert f"{subject}/func/{of_stories[story]}_bold.nii.gz" in listed
            paths = nastase2021.surface_paths(config, of_stories[story], data_dir)
            assert [path.name.split("_space")[0] for path in paths] == [of_stories[story]] * 2
        assert f"stimuli/{story}_audio.wav" in listed
        if story not in nastase2021.MILKYWAY:
            missing = {"forgot": 1, "black": 1, "piemanpni": 1}.get(story, 0)
            assert len(scans) + len(left_out) + missing == REAL.facts["n_listeners"][task]


def test_two_sources_agree_on_when_sounds_begin():
    """The authors' events.tsv, in seconds, and the TRs that Caucheteux et al. drop: lucy alone differs, by .5 s."""
    seconds, trs = (REAL.published[name].value for name in ("sound_onset_seconds", "onset_trs"))
    assert set(seconds) == set(trs)
    assert {story for story in seconds if seconds[story] != 1.5 * trs[story]} == {"lucy"}
    for story in nastase2021.Story.__args__:
        first, stop = nastase2021.story_volumes(story, REAL)
        assert seconds["milkyway" if "milkyway" in story else story] <= 1.5 * first + 0.5 < 1.5 * stop
    assert nastase2021.story_volumes("slumlordreach", REAL) == (20, 646 + 550)


def test_stories_with_one_questionnaire_are_named(data_dir):
    comprehension = nastase2021.read_comprehension(data_dir)
    both = nastase2021.Config(stories=("bronx", "black", "forgot"))
    assert nastase2021.shared_among(both, comprehension) == ["bronx+forgot"]
    assert nastase2021.shared_among(nastase2021.Config(stories=("bronx", "black")), comprehension) == []
