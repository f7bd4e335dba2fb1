"""Manifests: valid, complete, and refusing every file that is not the published one."""

import gzip
import hashlib
import time

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy.io import loadmat

from brainalign.arrays import read_tsv
from brainalign.data import DATASETS, _manifest
from brainalign.data._events import read_events
from brainalign.data._manifest import Manifest
from brainalign.errors import BadConfig, MissingData, UnknownName

LISTED = ("bhattasali2020", "broderick2018", "lebel2023", "li2022", "nastase2021")
DEPOSITED = ("gwilliams2023", "schoffelen2019")
NAMES = (*LISTED, "brennan2016", "eeglab_sample", "haxby2001", "kriegeskorte2008", "tuckute2024")


@pytest.fixture
def folder_of(data_dir):
    """Give a function that finds the folder of a data set, or skips naming the path that was looked at."""

    def find(name):
        if not (data_dir / name).is_dir():
            pytest.skip(f"{data_dir / name} is absent")
        return data_dir / name

    return find


def entry(path, content=b"abc", url=""):
    return {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "url": url}


def manifest_of(*files, **more):
    return Manifest(name="toy2000", title="t", citation="c", doi="d", licence="l", files=files, **more)


def test_every_manifest_is_found_and_valid():
    assert {*NAMES, *DEPOSITED} <= set(_manifest.manifest_names())
    for name in _manifest.manifest_names():
        manifest = _manifest.load_manifest(name)
        assert manifest.name == name
        assert bool(manifest.files) == bool(manifest.facts) == (name not in DEPOSITED)
        assert bool(manifest.listed) == (name in LISTED)
        for file in manifest.all_files:
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


def test_an_md5_is_compared_where_there_is_no_sha256(tmp_path):
    (tmp_path / "toy2000").mkdir()
    (tmp_path / "toy2000/a").write_bytes(b"abc")
    right, wrong = (hashlib.md5(content).hexdigest() for content in (b"abc", b"abd"))
    file = {"path": "a", "bytes": 3, "url": ""}
    assert manifest_of({**file, "md5": right}).problem(tmp_path, "a") is None
    problem = manifest_of({**file, "md5": wrong}).problem(tmp_path, "a")
    assert f"3 bytes, md5 {right}; expected 3 bytes, md5 {wrong}" in problem
    (tmp_path / "toy2000/a").unlink()
    assert f"md5 {right} expected" in manifest_of({**file, "md5": right}).problem(tmp_path, "a")


@pytest.mark.parametrize("digests", [{}, {"md5": "0" * 32, "sha256": "0" * 64}], ids=["none", "both"])
def test_a_file_has_one_digest(digests):
    with pytest.raises(ValueError, match="a: needs a sha256 or an md5"):
        manifest_of({"path": "a", "bytes": 3, "url": "", **digests})


@pytest.mark.parametrize("digest", [{"md5": "0" * 64}, {"sha256": "0" * 32}, {"sha1": "0" * 40}, {"md5": "A" * 32}])
def test_a_digest_has_the_form_of_its_kind(digest):
    with pytest.raises(ValueError, match=next(iter(digest))):
        manifest_of({"path": "a", "bytes": 3, "url": "", **digest})


def write_listing_manifest(folder, rows, header="path\tbytes\talgorithm\tdigest", more=""):
    """Write toy2000.toml with one file, and the list that it names."""
    text = "\n".join([header, *("\t".join(map(str, row)) for row in rows), ""])
    (folder / "toy2000.files.tsv.gz").write_bytes(gzip.compress(text.encode()))
    path = folder / "toy2000.toml"
    path.write_text(
        'title = "t"\ncitation = "c"\nlicence = "l"\ndoi = "d"\n'
        f'files = [{{ path = "own", bytes = 3, sha256 = "{"0" * 64}", url = "" }}]\n'
        '[listing]\nfile = "toy2000.files.tsv.gz"\nurl = "https://example.org/d/{path}"\nsource = "s"\n' + more
    )
    return path


def test_the_files_of_a_list_keep_the_kind_of_their_digest(tmp_path):
    rows = [("a b/x#1", 3, "md5", "1" * 32), ("c", 10**12, "sha256", "2" * 64)]
    manifest = _manifest.read_manifest(write_listing_manifest(tmp_path, rows))
    assert [(f.path, f.bytes, f.algorithm, f.digest) for f in manifest.listed] == rows
    assert [file.url for file in manifest.listed] == ["https://example.org/d/a%20b/x%231", "https://example.org/d/c"]
    assert [file.path for file in manifest.files] == ["own"]
    assert list(manifest.by_path) == ["own", "a b/x#1", "c"]


def test_a_listed_file_that_is_absent_is_cured_by_naming_it(tmp_path):
    manifest = _manifest.read_manifest(write_listing_manifest(tmp_path, [("a/b", 3, "md5", "1" * 32)]))
    assert f"brainalign fetch toy2000 --include 'a/b' --data-dir {tmp_path}" in manifest.problem(tmp_path, "a/b")


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (("../a", 3, "md5", "1" * 32), "plain relative path"),
        (("own", 3, "md5", "1" * 32), "listed twice: ['own']"),
        (("a", 3, "md5", "1" * 31), "listed.0.md5"),
        (("a", 3, "crc32", "1" * 8), "listed.0.crc32"),
        (("a", -3, "md5", "1" * 32), "line 2: expected 4 cells, the second a number"),
        (("a", "3.0", "md5", "1" * 32), "line 2: expected 4 cells"),
        (("a", 3, "md5"), "line 2: expected 4 cells"),
    ],
)
def test_a_bad_line_of_a_list_is_told_with_the_file(tmp_path, row, what):
    path = write_listing_manifest(tmp_path, [row])
    with pytest.raises(BadConfig) as caught:
        _manifest.read_manifest(path)
    assert what in str(caught.value)
    assert str(tmp_path / "toy2000.files.tsv.gz") in str(caught.value)


def test_a_data_set_without_files_must_say_where_they_are():
    with pytest.raises(ValueError, match="no files: say in `deposit`"):
        manifest_of()
    deposit = {"url": "https://example.org/x", "terms": "none"}
    assert manifest_of(deposit=deposit).all_files == ()
    with pytest.raises(ValueError, match=r"deposit\.url"):
        manifest_of(deposit=deposit | {"url": "ftp://example.org"})


def test_a_thousand_files_are_read_and_looked_for_quickly(tmp_path):
    rows = [(f"sub-{i}/f", 3, "md5", "1" * 32) for i in range(1200)]
    path = write_listing_manifest(tmp_path, rows)
    started = time.process_time()
    manifest = _manifest.read_manifest(path)
    problems = [manifest.problem(tmp_path, file.path) for file in manifest.all_files]
    assert time.process_time() - started < 0.5  # s; 0.06 on the machine of the benchmarks
    assert len(problems) == 1201
    assert all(problems)


def test_sizes_are_written_for_people():
    sizes = [0, 999, 1000, 85639, 138918797763, 10**15]
    assert [_manifest.in_bytes(n) for n in sizes] == [
        "0 bytes", "999 bytes", "1.0 kB", "85.6 kB", "138.9 GB", "1000.0 TB"
    ]  # fmt: skip


def test_provenance_has_the_digests_with_their_kind(tmp_path, monkeypatch):
    write_listing_manifest(tmp_path, [("a", 3, "md5", "1" * 32)])
    monkeypatch.setattr(_manifest, "manifest_folder", lambda: tmp_path)
    assert _manifest.provenance_of("toy2000", ["own", "a"]) == {
        "toy2000/a": f"md5:{'1' * 32}",
        "toy2000/own": "0" * 64,
    }


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
def test_the_manifest_lists_exactly_the_files_there_are(data_dir, folder_of, name):
    manifest = _manifest.load_manifest(name)
    folder = folder_of(name)
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    present = {path for path in present if not path.startswith(".partial-")}
    paths = {file.path for file in manifest.files}
    of_the_list = {file.path for file in manifest.listed} | ({"files.tsv"} if name in LISTED else set())
    assert paths - {"files.tsv"} == present - of_the_list
    assert _manifest.check_files(name, data_dir, paths) == []
    assert all((folder / file.path).stat().st_size == file.bytes for file in manifest.files)


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


def paths_of(name):
    return pd.Series([file.path for file in _manifest.load_manifest(name).listed])


def facts_of(name):
    manifest = _manifest.load_manifest(name)
    facts = manifest.facts
    if "n_listed" in facts:
        assert len(manifest.listed) == facts["n_listed"]
    assert sum(file.bytes for file in manifest.listed) == facts["n_listed_bytes"]
    return facts


@pytest.mark.parametrize("name", LISTED)
def test_the_shipped_list_is_the_one_that_was_made_from_the_archive(folder_of, name):
    shipped = _manifest.manifest_folder() / f"{name}.files.tsv.gz"
    assert gzip.decompress(shipped.read_bytes()) == (folder_of(name) / "files.tsv").read_bytes()


def test_nastase2021_facts_of_the_list():
    facts = facts_of("nastase2021")
    paths = paths_of("nastase2021")
    recordings = paths[paths.str.endswith("_bold.nii.gz")]
    assert len(recordings) == facts["n_recordings"]
    assert recordings.str.split("/").str[0].nunique() == facts["n_subjects"]
    assert paths.str.startswith("stimuli/").sum() == facts["n_sounds"]
    assert len(recordings) + facts["n_sounds"] == len(paths)


def test_nastase2021_exclusions_are_recordings_of_the_list_as_many_as_were_published():
    manifest = _manifest.load_manifest("nastase2021")
    names = pd.Series(list(manifest.exclusions))
    recordings = {path.split("/")[-1] for path in manifest.by_path}
    assert set(names + "_bold.nii.gz") <= recordings
    assert len(names) == manifest.published["n_excluded_scans"].value
    parts = names.str.extract(r"^(?P<subject>sub-\d+)_task-(?P<task>[a-z]+)")
    assert parts.groupby("task")["subject"].nunique().to_dict() == {
        "pieman": 9, "milkyway": 3, "lucy": 2, "notthefallintact": 2, "notthefalllongscram": 2,
        "notthefallshortscram": 1, "prettymouth": 2, "tunnel": 2, "slumlordreach": 1, "merlin": 1, "shapessocial": 1,
    }  # fmt: skip


def test_nastase2021_onsets_and_lengths_are_of_its_tasks():
    published = _manifest.load_manifest("nastase2021").published
    tasks = set(_manifest.load_manifest("nastase2021").facts["n_listeners"])
    assert set(published["onset_trs"].value) == tasks - set(published["unused_tasks"].value)
    of_parts = (tasks - {"slumlordreach", "schema"}) | {"slumlord", "reach"}
    assert set(published["n_trs"].value) == set(published["story_onset_trs"].value) == of_parts


def test_li2022_facts(folder_of):
    facts = facts_of("li2022")
    paths = paths_of("li2022")
    recordings = paths[paths.str.endswith("_bold.nii.gz")].str.extract(r"/(sub-(CN|EN|FR)\d+)/func/")
    assert len(recordings) == facts["n_recordings"]
    assert recordings.groupby(1)[0].nunique().to_dict() == facts["n_subjects_by_language"]
    assert set(recordings.groupby(0).size()) == {facts["n_runs_per_subject"]}
    assert paths.str.endswith(".TextGrid").sum() == facts["n_textgrids"]
    assert paths.str.endswith(".wav").sum() == facts["n_sounds"]
    participants = read_tsv(folder_of("li2022") / "participants.tsv")
    assert set(participants["participant_id"]) == set(recordings[0])
    assert len(participants) == facts["n_subjects"]
    scored = participants.groupby(participants["participant_id"].str[4:6])["correct_quiz_questions"].count()
    assert scored.to_dict() == facts["n_quiz_scores"]


def test_lebel2023_facts(folder_of):
    facts = facts_of("lebel2023")
    paths = paths_of("lebel2023")
    responses = paths[paths.str.endswith(".hf5")].str.split("/")
    assert len(responses) == facts["n_responses"]
    assert responses.str[-2].value_counts().to_dict() == facts["n_stories_by_subject"]
    words = set(paths[paths.str.endswith(".TextGrid")].str.extract(r"/(\w+)\.TextGrid$")[0])
    sounds = set(paths[paths.str.endswith(".wav")].str.extract(r"/(\w+)\.wav$")[0])
    assert (len(words), len(sounds)) == (facts["n_textgrids"], facts["n_sounds"])
    assert sounds - words == {"auditory_localizer"}
    assert set(responses.str[-1].str.removesuffix(".hf5")) == words
    assert len(read_tsv(folder_of("lebel2023") / "participants.tsv")) == facts["n_subjects"]


def test_broderick2018_facts(folder_of):
    facts = facts_of("broderick2018")
    paths = paths_of("broderick2018")
    for extension in (".eeg", ".vhdr", ".vmrk"):
        recordings = paths[paths.str.endswith(extension)].str.extract(r"^(sub-\d+)/.*_run-(\d+)_")
        assert len(recordings) == facts["n_recordings"]
        assert recordings[0].nunique() == facts["n_subjects"]
        assert set(recordings.groupby(0)[1].nunique()) == {facts["n_runs_per_subject"]}
    assert paths.str.endswith(".TextGrid").sum() == facts["n_textgrids"]
    assert paths.str.endswith(".wav").sum() == facts["n_sounds"]
    assert {file.algorithm for file in _manifest.load_manifest("broderick2018").listed} == {"sha256"}
    participants = read_tsv(folder_of("broderick2018") / "participants.tsv")
    assert len(participants) == facts["n_subjects"]
    assert participants.drop(columns="participant_id").isna().all(axis=None)
