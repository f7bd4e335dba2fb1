"""Which files of a BIDS folder are meant."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.data._bids_query import (
    Query,
    chosen_from,
    find_runs,
    metadata_of,
    parse_name,
    participants_of,
    sidecars,
    subjects_of,
)
from brainalign.errors import MissingData, UnknownName


def touch(root, *names, text="x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


labels = st.text("abcXYZ0189", min_size=1, max_size=5)


@given(st.dictionaries(st.sampled_from(["ses", "task", "acq", "run", "space"]), labels), labels)
def test_names_are_taken_apart_and_put_together_again(entities, subject):
    stem = "_".join(f"{name}-{label}" for name, label in {"sub": subject, **entities}.items())
    file = parse_name(Path(f"/x/{stem}_bold.nii.gz"))
    assert file.entities == {"sub": subject, **entities}
    assert (file.suffix, file.extension) == ("bold", ".nii.gz")


@pytest.mark.parametrize("name", ["README", "sub-01.nii", "sub_01_bold.nii", "sub-01_-1_bold.nii", "sub-01_bold"])
def test_other_names_are_no_recordings(name):
    file = parse_name(Path(name))
    assert file is None or not Query("func", "bold", (".nii",)).accepts(file)


def test_runs_are_in_the_order_of_their_numbers(tmp_path):
    touch(tmp_path, *(f"sub-1/func/sub-1_task-a_run-{run}_bold.nii" for run in ("10", "2", "01")))
    assert list(find_runs(tmp_path, "1", Query("func", "bold", (".nii",)))) == [
        "task-a_run-01",
        "task-a_run-2",
        "task-a_run-10",
    ]


def test_sessions_are_part_of_the_name_of_a_run(tmp_path):
    touch(tmp_path, *(f"sub-1/ses-{s}/func/sub-1_ses-{s}_task-a_bold.nii" for s in ("pre", "2")))
    assert list(find_runs(tmp_path, "1", Query("func", "bold", (".nii",)))) == ["ses-2_task-a", "ses-pre_task-a"]
    only = Query("func", "bold", (".nii",), {"ses": ("pre",)})
    assert list(find_runs(tmp_path, "1", only)) == ["ses-pre_task-a"]


def test_runs_are_numbers_and_tasks_are_text(tmp_path):
    touch(tmp_path, "sub-1/func/sub-1_task-1_run-01_bold.nii", "sub-1/func/sub-1_task-01_run-1_bold.nii")
    assert len(find_runs(tmp_path, "1", Query("func", "bold", (".nii",)))) == 2
    assert list(find_runs(tmp_path, "1", Query("func", "bold", (".nii",), {"task": ("1",), "run": ("1",)}))) == [
        "task-1_run-01"
    ]


def test_an_empty_label_stands_for_a_file_without_the_entity(tmp_path):
    touch(tmp_path, "sub-1/func/sub-1_task-a_space-MNI_bold.nii", "sub-1/func/sub-1_task-a_bold.nii")
    for space, name in (("", "sub-1_task-a_bold.nii"), ("MNI", "sub-1_task-a_space-MNI_bold.nii")):
        [file] = find_runs(tmp_path, "1", Query("func", "bold", (".nii",), fixed={"space": space})).values()
        assert file.path.name == name


def test_recordings_have_a_task(tmp_path):
    touch(tmp_path, "sub-1/meg/sub-1_acq-crosstalk_meg.fif", "sub-1/meg/sub-1_task-a_meg.fif")
    assert list(find_runs(tmp_path, "1", Query("meg", "meg", (".fif",)))) == ["task-a"]


def test_the_first_part_of_a_split_recording_stands_for_it(tmp_path):
    touch(tmp_path, *(f"sub-1/meg/sub-1_task-a_split-0{i}_meg.fif" for i in (2, 1, 3)))
    [file] = find_runs(tmp_path, "1", Query("meg", "meg", (".fif",))).values()
    assert file.path.name == "sub-1_task-a_split-01_meg.fif"
    touch(tmp_path, "sub-1/meg/sub-1_task-a_meg.fif")
    with pytest.raises(MissingData, match="2 files match one run"):
        find_runs(tmp_path, "1", Query("meg", "meg", (".fif",)))


def test_the_nearest_sidecar_comes_last_and_wins(tmp_path):
    names = (
        "task-a_bold.json",
        "task-b_bold.json",
        "sub-1/sub-1_task-a_bold.json",
        "sub-1/func/sub-1_task-a_run-1_bold.json",
        "sub-1/func/sub-1_task-a_run-02_bold.json",
        "sub-1/func/sub-1_task-a_run-1_space-MNI_bold.json",
    )
    for i, name in enumerate(names):
        touch(tmp_path, name, text=json.dumps({"where": name, f"n{i}": i}))
    touch(tmp_path, "sub-1/func/sub-1_task-a_run-2_bold.nii")
    [file] = find_runs(tmp_path, "1", Query("func", "bold", (".nii",))).values()
    assert [path.name for path in sidecars(tmp_path, file, "bold", ".json")] == [
        "task-a_bold.json",
        "sub-1_task-a_bold.json",
        "sub-1_task-a_run-02_bold.json",
    ]
    metadata, paths = metadata_of(tmp_path, file)
    assert metadata == {"where": names[4], "n0": 0, "n2": 2, "n4": 4}
    assert len(paths) == 3


def test_two_sidecars_of_which_neither_is_nearer_are_refused(tmp_path):
    touch(tmp_path, "sub-1/func/sub-1_task-a_run-1_events.tsv", "sub-1/func/sub-1_task-a_run-01_events.tsv")
    touch(tmp_path, "sub-1/func/sub-1_task-a_run-1_bold.nii")
    [file] = find_runs(tmp_path, "1", Query("func", "bold", (".nii",))).values()
    with pytest.raises(MissingData, match="two files apply to"):
        sidecars(tmp_path, file, "events", ".tsv")


@pytest.mark.parametrize(("text", "what"), [("{", "not JSON"), ("[1]", "got list")])
def test_sidecars_that_are_damaged_are_named(tmp_path, text, what):
    touch(tmp_path, "sub-1/func/sub-1_task-a_bold.nii")
    touch(tmp_path, "task-a_bold.json", text=text)
    [file] = find_runs(tmp_path, "1", Query("func", "bold", (".nii",))).values()
    with pytest.raises(MissingData, match=f"task-a_bold.json: .*{what}"):
        metadata_of(tmp_path, file)


def test_people_are_those_of_folders_and_of_the_table(tmp_path):
    touch(tmp_path, "sub-02/x", "sub-emptyroom/x")
    touch(tmp_path, "participants.tsv", text="participant_id\tage\nsub-02\t30\nsub-01\tn/a\n")
    assert subjects_of(tmp_path) == ["01", "02"]
    assert participants_of(tmp_path)["02"] == {"age": 30}
    assert chosen_from(tmp_path, "all") == ["01", "02"]
    assert chosen_from(tmp_path, ("02", "01")) == ["01", "02"]
    with pytest.raises(UnknownName, match="did you mean '02'"):
        chosen_from(tmp_path, ("002",))


def test_a_folder_without_people_is_refused(tmp_path):
    with pytest.raises(MissingData, match="no folder sub-"):
        chosen_from(tmp_path, "all")
