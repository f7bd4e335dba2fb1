"""Manifests: valid, complete, and refusing every file that is not the published one."""

import hashlib

import nibabel
import numpy as np
import pytest
from scipy.io import loadmat

from brainalign.data import DATASETS, _manifest
from brainalign.data._events import read_events
from brainalign.data._manifest import Manifest
from brainalign.errors import BadConfig, MissingData, UnknownName

NAMES = ("bhattasali2020", "brennan2016", "haxby2001", "kriegeskorte2008", "tuckute2024")


def entry(path, content=b"abc", url=""):
    return {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "url": url}


def manifest_of(*files, **more):
    return Manifest(name="toy2000", title="t", citation="c", doi="d", licence="l", files=files, **more)


def test_every_manifest_is_found_and_valid():
    assert set(NAMES) <= set(_manifest.manifest_names())
    for name in _manifest.manifest_names():
        manifest = _manifest.load_manifest(name)
        assert manifest.name == name
        assert manifest.files
        assert manifest.facts
        for file in manifest.files:
            assert file.url == "" or file.url.startswith("https://")
            assert file.url == "" or file.url.endswith((file.path.split("/")[-1], "LICENSE", "COPYING"))


def test_every_data_set_has_config_and_load():
    for name in DATASETS:
        verbs = [verb for verb in ("load", "load_rdms") if hasattr(DATASETS[name], verb)]
        assert verbs
        assert all(callable(getattr(DATASETS[name], verb)) for verb in verbs)
        assert DATASETS[name].Config.model_config["frozen"]
    assert not [name for name in DATASETS if name.startswith("_")]


def test_unknown_data_set_names_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'brennan2016'"):
        _manifest.load_manifest("brenan2016")


@pytest.mark.parametrize(
    "path", ["../a", "a/../b", "/etc/passwd", "a//b", "", ".", "./a", "a/", "C:/a", "a\\..\\b", "..", "a/.."]
)
def test_paths_that_could_leave_the_folder_are_refused(path):
    with pytest.raises(ValueError, match="plain relative path"):
        manifest_of(entry(path))


def test_a_manifest_lists_all_its_problems(tmp_path):
    path = tmp_path / "toy2000.toml"
    path.write_text(
        'title = "t"\ncitation = "c"\nlicense = "l"\ndoi = "d"\n'
        'files = [{ path = "../a", bytes = -1, sha256 = "0", url = "" }]\n'
    )
    with pytest.raises(BadConfig) as caught:
        _manifest.read_manifest(path)
    listed = str(caught.value)
    for problem in ("licence", "license", "files.0.path", "files.0.bytes", "files.0.sha256"):
        assert problem in listed
    assert str(path) in listed


def test_a_manifest_that_is_no_toml_names_the_line(tmp_path):
    path = tmp_path / "toy2000.toml"
    path.write_text('title = "t"\nfiles = [\n')
    with pytest.raises(BadConfig, match="end of document"):
        _manifest.read_manifest(path)


def test_a_file_listed_twice_is_refused():
    with pytest.raises(ValueError, match="listed twice"):
        manifest_of(entry("a"), entry("a"))


def test_the_published_file_is_accepted(tmp_path):
    (tmp_path / "toy2000").mkdir()
    (tmp_path / "toy2000/a").write_bytes(b"abc")
    assert manifest_of(entry("a")).problem(tmp_path, "a") is None


@pytest.mark.parametrize("got", [b"abd", b"ab", b"", b"abcd"], ids=["bit", "cut", "empty", "longer"])
def test_another_file_is_refused_with_both_hashes(tmp_path, got):
    (tmp_path / "toy2000").mkdir()
    (tmp_path / "toy2000/a").write_bytes(got)
    problem = manifest_of(entry("a", url="https://example.org/a")).problem(tmp_path, "a")
    assert hashlib.sha256(got).hexdigest() in problem
    assert hashlib.sha256(b"abc").hexdigest() in problem
    assert f"{len(got)} bytes" in problem
    assert f"brainalign fetch toy2000 --data-dir {tmp_path}" in problem


def test_an_absent_file_says_how_it_is_absent(tmp_path):
    folder = tmp_path / "toy2000"
    folder.mkdir()
    (folder / "B").write_bytes(b"abc")
    (folder / "link").symlink_to(tmp_path / "nowhere")
    (folder / "folder").mkdir()
    manifest = manifest_of(*(entry(path) for path in ("a", "b", "link", "folder", "deep/c")))
    assert "no such file (" in manifest.problem(tmp_path, "a")
    assert "no such file, but there is 'B'" in manifest.problem(tmp_path, "b")
    assert "broken link to" in manifest.problem(tmp_path, "link")
    assert "not a file" in manifest.problem(tmp_path, "folder")
    assert "no such file" in manifest.problem(tmp_path, "deep/c")


def test_a_file_without_an_address_is_not_promised_by_fetch(tmp_path):
    problem = manifest_of(entry("a")).problem(tmp_path, "a")
    assert "no public address" in problem
    assert "brainalign fetch" not in problem


def test_all_missing_files_are_listed_at_once(tmp_path):
    paths = ["bold_response_LH.csv", "noise_ceiling_LH.csv"]
    problems = _manifest.check_files("tuckute2024", tmp_path, paths)
    assert len(problems) == 2
    with pytest.raises(MissingData) as caught:
        _manifest.verified_files("tuckute2024", tmp_path, paths)
    assert all(path in str(caught.value) for path in paths)


def test_a_path_that_is_not_in_the_manifest_is_refused(data_dir):
    with pytest.raises(UnknownName, match=r"did you mean '6mm/s18-timecourses\.txt'"):
        _manifest.verified("brennan2016", data_dir, "6mm/s18-timecourse.txt")


def test_subjects_are_sorted_and_exclusions_hold_unless_named():
    manifest = manifest_of(entry("a"), exclusions={"s2": "it is a copy"})
    assert _manifest.chosen_subjects(manifest, "all", present=["s3", "s1", "s2"]) == (["s1", "s3"], [])
    assert _manifest.chosen_subjects(manifest, ("s3", "s1"), present=["s1", "s2", "s3"]) == (["s1", "s3"], [])
    subjects, warnings = _manifest.chosen_subjects(manifest, ("s3", "s2"), present=["s1", "s2", "s3"])
    assert subjects == ["s2", "s3"]
    assert warnings == ["s2 is left out by default: it is a copy"]
    with pytest.raises(UnknownName, match="s9"):
        _manifest.chosen_subjects(manifest, ("s9",), present=["s1"])


def test_no_data_folder_says_how_to_name_one(tmp_path):
    for folder in (None, "", tmp_path / "absent"):
        with pytest.raises(MissingData, match="BRAINALIGN_DATA"):
            _manifest.require_folder(folder)


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_lists_exactly_the_files_there_are(data_dir, name):
    manifest = _manifest.load_manifest(name)
    present = {p.relative_to(data_dir / name).as_posix() for p in (data_dir / name).rglob("*") if p.is_file()}
    present = {path for path in present if not path.startswith(".partial-")}
    assert set(manifest.by_path) == present
    assert _manifest.check_files(name, data_dir, manifest.by_path) == []
    assert all((data_dir / name / file.path).stat().st_size == file.bytes for file in manifest.files)


def test_kriegeskorte2008_facts(data_dir):
    facts = _manifest.load_manifest("kriegeskorte2008").facts
    paths = ["Kriegeskorte_Neuron2008_supplementalData.mat", "92_brainRDMs.mat", "92_behavRDMs.mat", "92_modelRDMs.mat"]
    files = _manifest.verified_files("kriegeskorte2008", data_dir, paths)
    main, brain, behaviour, models = (loadmat(files[path], squeeze_me=True) for path in paths)
    images = main["stimuli_92objs"]["image"]
    assert len(images) == facts["n_images"]
    assert {(image.shape, image.dtype.name) for image in images} == {
        (tuple(facts["image_shape"]), facts["image_dtype"])
    }
    assert brain["RDMs"].shape == (facts["n_human_subjects"], facts["n_human_sessions"])
    assert len(behaviour["rdms_behav_92"]) == facts["n_behaviour_subjects"]
    assert len(models["Models"]) == facts["n_models"]
    monkey, human = main["RDMs_mIT_hIT_fig1"]["RDM"]  # upper triangles
    assert len(monkey) == facts["n_images"] * (facts["n_images"] - 1) / 2
    assert np.corrcoef(monkey, human)[0, 1] == pytest.approx(facts["monkey_human_r"], abs=5e-5)


def test_haxby2001_facts(data_dir):
    facts = _manifest.load_manifest("haxby2001").facts
    for i_run in range(1, facts["n_runs"] + 1):
        folder = f"sub001/BOLD/task001_run{i_run:03d}"
        image = nibabel.load(_manifest.verified("haxby2001", data_dir, f"{folder}/bold_1slice.nii.gz"))
        assert list(image.shape) == facts["bold_1slice_shape"]
        assert image.get_data_dtype() == facts["bold_1slice_dtype"]
        assert image.header.get_zooms()[3] == facts["tr"]
        path = _manifest.verified("haxby2001", data_dir, f"{folder}/bold_events.tsv")
        recorded = facts["tr"] * image.shape[3]
        events = read_events(path, required=("trial_type",), run=str(i_run), recorded=recorded, n_expected=8)
        assert events["trial_type"].nunique() == facts["n_categories"]
        assert set(events["duration"]) == {facts["block_duration"]}
