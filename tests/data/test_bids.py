"""The settings of BIDS folders, what `check` finds, and folders whose recordings are stubs."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from brainalign.config import parse_experiment
from brainalign.data import DATASETS, bids
from brainalign.errors import BadConfig, MissingData

tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))


def test_it_is_a_data_set():
    assert DATASETS["bids"] is bids


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"subjects": ("../x",)}, "letters and digits"),
        ({"tasks": ("task-story",)}, "letters and digits"),
        ({"subjects": ("01", "01")}, "nobody twice"),
        ({"runs": ()}, "at least one label"),
        ({"subjects": (1,)}, "valid string"),
        ({"l_freq": 1.0}, r"\['l_freq'\] have no meaning with datatype = 'func'"),
        ({"datatype": "meg", "space": "MNI", "tr": 2.0}, r"\['space', 'tr'\] have no meaning with datatype = 'meg'"),
        ({"mask": "a.nii", "parcels": "b.nii"}, "one of mask, parcels and rois"),
        ({"geometry": "surface", "smoothing_fwhm": 4.0}, "volumes only"),
        ({"parcel_names": "a.tsv"}, "no meaning without parcels"),
        ({"columns": {"run": "session"}}, "those of the file names"),
        ({"confounds": ("tedana",)}, "confounds"),
        ({"confound_options": {"demean": 1}}, "confound_options"),
        ({"tr": 0.0}, "greater than 0"),
    ],
)
def test_settings_that_have_no_meaning_are_refused(settings, what):
    with pytest.raises(ValidationError, match=what):
        bids.Config(**({"root": "x", "datatype": "func"} | settings))


def test_all_defaults_spelt_out_are_the_same_settings():
    for datatype in ("meg", "func"):
        config = bids.Config(root="x", datatype=datatype)
        assert bids.Config(**config.model_dump()) == config


def test_an_experiment_file_takes_its_lists_and_tables():
    table = {
        "name": "x",
        "data": {"set": "bids", "root": "x", "datatype": "eeg", "keep": {"trial_type": ["word"]}, "subjects": ["01"]},
        "features": {"words": {"extractor": "words"}},
    }
    config = parse_experiment(table).data.config
    assert config.keep == {"trial_type": ("word",)}
    assert config.subjects == ("01",)
    table["data"]["subject"] = ["01"]
    with pytest.raises(BadConfig, match=r"data.subject: unknown key \(did you mean 'subjects'\?\)"):
        parse_experiment(table)


def test_a_relative_root_is_below_the_data_folder(tmp_path):
    tree.write_people(tmp_path / "study", ["01"])
    tree.write_meg(tmp_path / "study", tree.make_raw())
    config = bids.Config(root="study", datatype="meg")
    assert bids.check(config, tmp_path) == []
    assert bids.load(config, tmp_path).responses.shape == (400, 3)
    with pytest.raises(MissingData, match="relative to the data folder, and none was named"):
        bids.load(config, None)
    assert bids.check(bids.Config(root="other", datatype="meg"), tmp_path)[0].endswith("is the top of a BIDS data set")


def test_check_finds_everything_at_once(tmp_path):
    tree.write_people(tmp_path, ["01", "02"])
    tree.write_meg(tmp_path, tree.make_raw(), run="1").write_bytes(b"")
    tree.write_meg(tmp_path, tree.make_raw(), run="2", words=(("1", "a"), ("1", "b")))
    problems = bids.check(bids.Config(root=str(tmp_path), datatype="meg"), None)
    assert len(problems) == 3
    assert problems[0].startswith("subject 02: no file matches")
    assert "run-1_meg.fif: empty, a stub" in problems[1]
    assert "run-2_events.tsv, line 3: a second event" in problems[2]
    assert len(bids.check(bids.Config(root=str(tmp_path), datatype="meg", absent="skip"), None)) == 2


def test_check_finds_masks_that_are_not_there(tmp_path):
    tree.write_people(tmp_path, ["01"])
    tree.write_bold(tmp_path, tree.bold())
    problems = bids.check(bids.Config(root=str(tmp_path), datatype="func", rois={"a": "a.nii", "b": "b.nii"}), None)
    assert [problem.split(": ")[0] for problem in problems] == [str(tmp_path / "a.nii"), str(tmp_path / "b.nii")]


def test_a_space_that_is_not_there_lists_what_is(tmp_path):
    tree.write_people(tmp_path, ["01"])
    tree.write_bold(tmp_path, tree.bold())
    with pytest.raises(MissingData, match=r"no file matches .*space-MNI.*there are sub-01_task-story_run-1_bold"):
        bids.load(bids.Config(root=str(tmp_path), datatype="func", space="MNI"), None)


STUBS = {
    "ds000248": {"datatype": "meg", "subjects": ("01",)},
    "eeg_matchingpennies": {"datatype": "eeg"},
    "ds105": {"datatype": "func", "mask": "mask.nii"},
    "ds000001-fmriprep": {"datatype": "func", "space": "MNI152NLin2009cAsym"},
}


@pytest.mark.parametrize("name", STUBS)
def test_folders_of_stubs_are_refused_by_the_name_of_the_recording(data_dir, name):
    root = data_dir / "bids_examples" / name
    if not root.is_dir():
        pytest.skip(f"the BIDS examples are not at {root}")
    config = bids.Config(root=str(root), **STUBS[name])
    suffix = {"meg": "_meg.fif", "eeg": "_eeg.eeg", "func": "_bold.nii.gz"}[config.datatype]
    stubs = [problem for problem in bids.check(config, None) if f"{suffix}: empty, a stub" in problem]
    recordings = [path for path in root.glob(f"sub-*/{config.datatype}/*task-*{suffix}") if "NLin6" not in path.name]
    assert len(stubs) == len([path for path in recordings if not config.space or config.space in path.name]) > 0
    with pytest.raises(MissingData, match=f"sub-[0-9]+_task-.*{suffix}: empty, a stub without a recording"):
        bids.load(config, None)
