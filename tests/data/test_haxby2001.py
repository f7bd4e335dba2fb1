"""The small versions of Haxby et al. (2001), and the onsets of their source."""

import shutil

import nibabel
import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import read_tsv, sha256_of
from brainalign.data import DATASETS, haxby2001
from brainalign.data._manifest import load_manifest
from brainalign.errors import Misaligned, MissingData

SIZES = {"vt": 1, "slice": 530, "brain": 129, "gray": 28, "white": 34, "hoc": 45}


@pytest.fixture(scope="module")
def folder(data_dir):
    if not (data_dir / "haxby2001").is_dir():
        pytest.skip(f"no {data_dir / 'haxby2001'}")
    return data_dir


@pytest.fixture(scope="module")
def facts():
    return load_manifest("haxby2001").facts


@pytest.fixture(scope="module")
def recording(folder):
    config = haxby2001.Config(rois=tuple(SIZES), drift_order=-1, remove_motion=False)
    return DATASETS["haxby2001"].load(config, folder)


def volumes(folder, run, version):
    path = folder / f"haxby2001/sub001/BOLD/task001_run{run:03d}/bold_{version}.nii.gz"
    return np.asanyarray(nibabel.load(path).dataobj)


def test_the_facts_of_the_manifest(recording, facts, folder):
    events, rows, columns = recording.events, recording.responses.rows, recording.responses.columns
    assert columns["subject"].nunique() == facts["n_subjects"]
    assert events["run"].nunique() == rows["run"].nunique() == facts["n_runs"]
    assert events["category"].nunique() == facts["n_categories"]
    assert (rows["duration"] == facts["tr"]).all()
    assert (events.groupby("run")["category"].nunique() == facts["n_blocks_per_run"]).all()
    assert (events["duration"] == facts["block_duration"]).all()
    image = nibabel.load(folder / "haxby2001/sub001/BOLD/task001_run001/bold_1slice.nii.gz")
    assert list(image.shape) == facts["bold_1slice_shape"]
    assert image.get_data_dtype() == facts["bold_1slice_dtype"]
    assert rows.groupby("run", sort=False).size().tolist() == [facts["bold_1slice_shape"][3]] * facts["n_runs"]


def test_every_run_has_its_own_order_of_the_same_categories_at_the_same_times(recording):
    orders = recording.events.groupby("run", sort=False)["category"].agg(tuple)
    assert orders.nunique() == 12
    assert orders["1"] == ("scissors", "face", "cat", "shoe", "house", "scrambledpix", "bottle", "chair")
    onsets = recording.events.groupby("run", sort=False)["onset"].agg(tuple)
    assert set(onsets) == {(15.0, 52.5, 87.5, 122.5, 157.5, 195.0, 230.0, 265.0)}


def test_onsets_are_later_than_those_of_the_source_by_one_to_four_and_a_half_seconds(recording, data_dir):
    """OpenNeuro ds000105 has the same blocks, of 12 pictures every 2 s, in the same order."""
    source = data_dir / "bids_examples/ds105/sub-1/func"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    for run, blocks in recording.events.groupby("run"):
        pictures = read_tsv(source / f"sub-1_task-objectviewing_run-{int(run):02d}_events.tsv")
        first = pictures[pictures["trial_type"] != pictures["trial_type"].shift()]
        assert first["trial_type"].tolist() == blocks["category"].tolist()
        assert (blocks["onset"].to_numpy() - first["onset"].to_numpy()).tolist() == [3, 4.5, 3.5, 2.5, 1.5, 3, 2, 1]


def test_regions_have_their_voxels(recording, folder):
    columns = recording.responses.columns
    assert columns.groupby("roi", sort=False).size().to_dict() == SIZES
    assert columns["target"].is_unique
    for roi, version in (("slice", "1slice"), ("vt", "25mm"), ("hoc", "25mm")):
        values = recording.responses.values[:, (columns["roi"] == roi).to_numpy()]
        where = columns.loc[columns["roi"] == roi, ["i", "j", "k"]].to_numpy()
        np.testing.assert_array_equal(values[121:242], volumes(folder, 2, version)[tuple(where.T)].T)


def test_voxels_of_the_slice_that_are_left_out_are_zero_in_all_runs(recording, folder):
    columns = recording.responses.columns
    where = columns.loc[columns["roi"] == "slice", ["i", "j", "k"]].to_numpy()
    for run in range(1, 13):
        image = volumes(folder, run, "1slice").copy()
        assert (np.ptp(image[tuple(where.T)], axis=1) > 0).all()
        image[tuple(where.T)] = 0
        assert not image.any()


def test_drift_and_motion_are_removed_inside_every_run(folder):
    config = haxby2001.Config(rois=("gray",), drift_order=1)
    cleaned = haxby2001.load(config, folder).responses.values.reshape(12, 121, 28)
    motion = np.loadtxt(folder / "haxby2001/sub001/BOLD/task001_run007/bold_moest.txt")
    nuisance = np.column_stack([np.ones(121), np.arange(121), motion])
    raw = haxby2001.load(haxby2001.Config(rois=("gray",), drift_order=-1, remove_motion=False), folder)
    run = raw.responses.values.reshape(12, 121, 28)[6]
    np.testing.assert_allclose(cleaned[6], run - nuisance @ np.linalg.lstsq(nuisance, run)[0], atol=1e-6)
    assert np.abs(cleaned.mean(axis=1)).max() < 1e-8


def test_provenance_names_what_was_read(recording, folder):
    files = recording.responses.provenance["files"]
    assert len(files) == 1 + 5 + 12 * (1 + 1 + 2) + 12 * 8
    for path in ("haxby2001/sub001/masks/25mm/vt.nii.gz", "haxby2001/models/model001/condition_key.txt"):
        assert files[path] == sha256_of(folder / path)


def test_only_what_is_asked_for_is_read(folder):
    only_mask = haxby2001.load(haxby2001.Config(rois=("vt",), remove_motion=False), folder)
    assert not [path for path in only_mask.responses.provenance["files"] if "1slice" in path]


def test_absent_files_are_listed(tmp_path, folder):
    problems = haxby2001.check(haxby2001.Config(), tmp_path)
    assert len(problems) == 1 + 1 + 12 * 4 + 96
    assert all("brainalign fetch haxby2001" in line for line in problems)
    assert haxby2001.check(haxby2001.Config(), folder) == []
    assert "--data-dir" in haxby2001.check(haxby2001.Config(), None)[0]


def test_onsets_that_differ_between_the_tables_are_refused(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "haxby2001", tmp_path / "haxby2001", copy_function=shutil.copy)
    changed = tmp_path / "haxby2001/sub001/model/model001/onsets/task001_run004/cond008.txt"
    text = changed.read_text()
    changed.chmod(0o644)
    changed.write_text(text.replace("157.5", "160.0"))
    with pytest.raises(MissingData, match="not the published file"):
        haxby2001.load(haxby2001.Config(), tmp_path)
    monkeypatch.setattr(
        haxby2001, "verified_files", lambda name, where, paths: {path: where / name / path for path in paths}
    )
    with pytest.raises(Misaligned, match=r"task001_run004.*differ"):
        haxby2001.load(haxby2001.Config(), tmp_path)


def written(path, shape=(2, 2, 2, 121), tr=2.5, affine=None):
    image = nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4) if affine is None else affine)
    if len(shape) == 4:
        image.header.set_zooms((1, 1, 1, tr))
        image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
    return path


def test_a_header_with_another_tr_or_length_is_refused(tmp_path):
    assert haxby2001.read_volumes(written(tmp_path / "a.nii.gz")).shape[3] == 121
    with pytest.raises(MissingData, match=r"the header says TR 2 sec, the study 2.5 s"):
        haxby2001.read_volumes(written(tmp_path / "b.nii.gz", tr=2.0))
    with pytest.raises(MissingData, match="expected 121 volumes"):
        haxby2001.read_volumes(written(tmp_path / "c.nii.gz", shape=(2, 2, 2, 120)))


def test_a_mask_that_lies_elsewhere_is_refused(tmp_path):
    volume = written(tmp_path / "bold.nii.gz")
    files = {haxby2001._bold(run, "25mm.nii.gz"): volume for run in haxby2001.RUNS}
    mask = "sub001/masks/25mm/vt.nii.gz"
    assert haxby2001._voxels("vt", {**files, mask: written(tmp_path / "m.nii.gz", shape=(2, 2, 2))}).shape == (0, 3)
    moved = written(tmp_path / "moved.nii.gz", shape=(2, 2, 2), affine=np.diag([2.0, 2, 2, 1]))
    with pytest.raises(Misaligned, match="another shape or affine than the volumes of run 1"):
        haxby2001._voxels("vt", {**files, mask: moved})


def test_tables_that_are_broken_are_refused(tmp_path):
    path = tmp_path / "cond001.txt"
    path.write_text("15.0\t22.5\t1\n")
    assert haxby2001.read_onsets({"face": path}).to_dict("records") == [
        {"onset": 15.0, "duration": 22.5, "category": "face"}
    ]
    path.write_text("15.0\t22.5\n")
    with pytest.raises(MissingData, match="onset, duration and weight"):
        haxby2001.read_onsets({"face": path})
    path.write_text("15.0\t22.5\t0.5\n")
    with pytest.raises(MissingData, match=r"weight 0\.5"):
        haxby2001.read_onsets({"face": path})
    path.write_text("task001 cond001 house\n")
    with pytest.raises(MissingData, match="expected 8 lines"):
        haxby2001.read_conditions(path)


def test_regions_are_named_once():
    for rois in ((), ("vt", "vt"), ("it",)):
        with pytest.raises(ValueError, match="rois"):
            haxby2001.Config(rois=rois)


def test_events_have_no_more_columns_than_are_known(recording):
    assert list(recording.events) == ["run", "onset", "duration", "category"]
    assert isinstance(recording.events, pd.DataFrame)
