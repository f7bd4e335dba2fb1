"""fMRI of BIDS folders: voxels, regions and vertices against direct computations, and its faults by number."""

import json
import logging
import runpy
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from nilearn.image import smooth_img
from nilearn.signal import clean

from brainalign.data import bids
from brainalign.errors import Misaligned, MissingData

tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))

SPACE = "MNI152NLin2009cAsym"
INSIDE = np.zeros(tree.SHAPE, dtype=np.uint8)
INSIDE[1:3, :, 1] = 1  # 6 voxels
LABELS = np.zeros(tree.SHAPE, dtype=np.int16)
LABELS[0], LABELS[3, :, 0] = 7, 12  # 6 and 3 voxels


def load(root, **settings):
    return bids.load(bids.Config(root=str(root), datatype="func", **settings), None)


def in_mask(values, inside=INSIDE):
    return values[inside != 0].T


@pytest.fixture
def root(tmp_path):
    tree.write_people(tmp_path, ["01"])
    tree.save_nifti(INSIDE, tmp_path / "mask.nii.gz")
    tree.save_nifti(LABELS, tmp_path / "atlas.nii.gz")
    tree.write_tsv(tmp_path / "atlas.tsv", ("index", "name"), [(7, "front"), (12, "null")])
    return tmp_path


def test_voxels_of_a_mask_are_read_number_by_number(root):
    values = tree.bold()
    tree.write_bold(root, values)
    recording = load(root, mask="mask.nii.gz")
    responses = recording.responses
    assert responses.values.dtype == np.float32
    np.testing.assert_array_equal(responses.values, in_mask(values))
    for column, row in responses.columns.iterrows():
        np.testing.assert_array_equal(responses.values[:, column], values[row["i"], row["j"], row["k"]])
    assert responses.columns["target"].tolist()[:2] == ["1-0-1", "1-1-1"]
    np.testing.assert_allclose(responses.rows["time"], tree.TR * np.arange(tree.N_VOLUMES))
    assert set(responses.rows["duration"]) == {tree.TR}
    assert recording.events["word"].tolist() == [word for _, word in tree.WORDS]
    grid = responses.provenance["subjects"]["01"]["grid"]
    np.testing.assert_allclose(grid["affine"], tree.AFFINE)
    assert tuple(grid["shape"]) == tree.SHAPE


def test_means_of_parcels_and_their_voxels(root):
    values = tree.bold()
    tree.write_bold(root, values)
    means = load(root, parcels="atlas.nii.gz", parcel_names="atlas.tsv").responses
    expected = np.column_stack([in_mask(values, label == LABELS).mean(axis=1) for label in (7, 12)])
    np.testing.assert_allclose(means.values, expected, rtol=1e-6)
    assert means.columns["target"].tolist() == ["front", "null"]
    assert means.columns["n_points"].tolist() == [6, 3]
    assert "before fitting" in " ".join(means.provenance["processing"])
    voxels = load(root, parcels="atlas.nii.gz", average=False).responses
    assert voxels.columns["roi"].tolist() == ["7"] * 6 + ["12"] * 3
    np.testing.assert_array_equal(voxels.values[:, 6:], in_mask(values, LABELS == 12))
    assert voxels.columns["target"].is_unique


def test_regions_may_share_voxels_and_differ_between_people(root):
    values = tree.bold()
    tree.write_bold(root, values)
    tree.save_nifti(np.ones(tree.SHAPE, dtype=np.uint8), root / "sub-01_all.nii.gz")
    settings = {"rois": {"some": "mask.nii.gz", "all": "sub-{subject}_all.nii.gz"}}
    responses = load(root, **settings).responses
    expected = np.column_stack([in_mask(values).mean(axis=1), values.reshape(-1, tree.N_VOLUMES).mean(axis=0)])
    np.testing.assert_allclose(responses.values, expected, rtol=1e-6)
    voxels = load(root, average=False, **settings).responses
    assert voxels.shape[1] == 6 + 24
    assert voxels.columns["target"].is_unique
    assert "sub-01_all.nii.gz" in responses.provenance["files"]


def test_drift_is_removed_inside_each_run_as_nilearn_does(root):
    runs = {"1": tree.bold(1), "2": tree.bold(2, n_volumes=30)}
    runs["2"] = runs["2"] + 500 + 3 * np.arange(30)
    for run, values in runs.items():
        tree.write_bold(root, values.astype(np.float32), run=run)
    responses = load(root, mask="mask.nii.gz", drift_order=1, high_pass=0.02, standardise=True).responses
    for run, values in runs.items():
        direct = clean(
            in_mask(values).astype(float),
            detrend=True,
            standardize="zscore_sample",
            filter="cosine",
            high_pass=0.02,
            t_r=tree.TR,
        )
        of_run = (responses.rows["run"] == f"task-story_run-{run}").to_numpy()
        got = responses.values[of_run]
        np.testing.assert_allclose(got.std(axis=0), 1, rtol=1e-5)
        np.testing.assert_allclose(got, direct / direct.std(axis=0), atol=1e-3)
        assert responses.rows["time"][of_run].iloc[0] == 0


def write_confounds(path, table, *, name="timeseries"):
    stem = path.name.split("_space-")[0]
    header = list(table)
    rows = [
        ["n/a" if np.isnan(table[column][i]) else f"{table[column][i]:.10g}" for column in header]
        for i in range(len(table[header[0]]))
    ]
    tsv = path.with_name(f"{stem}_desc-confounds_{name}.tsv")
    tree.write_tsv(tsv, header, rows)
    tsv.with_suffix(".json").write_text("{}")
    return tsv


@pytest.fixture
def prepared(root):
    """A folder as fMRIPrep leaves it, derivatives beside the raw data set."""
    folder = root / "derivatives" / "fmriprep"
    values = tree.bold()
    path = tree.write_bold(folder, values, space=SPACE, events=False)
    mask = tree.save_nifti(INSIDE, path.with_name(path.name.replace("preproc_bold", "brain_mask")))
    tree.write_description(root)
    tree.write_events(root / "sub-01" / "func" / "sub-01_task-story_run-1")
    rng = np.random.default_rng(5)
    table = {name: rng.standard_normal(tree.N_VOLUMES).cumsum() for name in motion_names()}
    return root, path, mask, values, table


def motion_names():
    return [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]


SETTINGS = {"derivatives": "derivatives/fmriprep", "space": SPACE}


def test_the_brain_mask_of_fmriprep_is_the_whole(prepared):
    root, _, mask, values, _ = prepared
    responses = load(root, **SETTINGS).responses
    np.testing.assert_array_equal(responses.values, in_mask(values))
    assert mask.relative_to(root).as_posix() in responses.provenance["files"]
    mask.unlink()
    with pytest.raises(MissingData, match=r"no brain mask of task-story_run-1, give one by `mask`"):
        load(root, **SETTINGS)


def test_confounds_are_regressed_out_of_each_run_as_nilearn_does(prepared):
    root, path, _, values, table = prepared
    write_confounds(path, table)
    responses = load(
        root, **SETTINGS, confounds=("motion",), confound_options={"motion": "basic"}, drift_order=1
    ).responses
    confounds = np.column_stack(list(table.values()))
    direct = clean(in_mask(values).astype(float), confounds=confounds, detrend=True, standardize=None)
    np.testing.assert_allclose(responses.values, direct, atol=2e-3)
    explained = responses.values.std(axis=0) / in_mask(values).std(axis=0)
    assert (explained < 0.99).all()
    assert responses.provenance["subjects"]["01"]["runs"]["task-story_run-1"]["n_regressors"] == 9
    assert any(name.endswith("desc-confounds_timeseries.tsv") for name in responses.provenance["files"])


def test_volumes_before_the_steady_state_are_bad_and_seen_by_no_fit(prepared):
    root, path, _, values, table = prepared
    outlier = np.zeros(tree.N_VOLUMES)
    outlier[0] = 1
    write_confounds(path, table | {"non_steady_state_outlier00": outlier})
    settings = SETTINGS | {"confounds": ("motion",), "confound_options": {"motion": "basic"}, "drift_order": 0}
    responses = load(root, **settings).responses
    np.testing.assert_array_equal(np.flatnonzero(responses.rows["bad"]), [0])
    spoilt = values.copy()
    spoilt[..., 0] += 1e4
    tree.write_bold(root / "derivatives" / "fmriprep", spoilt, space=SPACE, events=False)
    np.testing.assert_allclose(load(root, **settings).responses.values[1:], responses.values[1:], atol=1e-2)


def test_smoothing_is_that_of_nilearn_and_recorded(root):
    values = tree.bold()
    path = tree.write_bold(root, values)
    responses = load(root, mask="mask.nii.gz", smoothing_fwhm=6.0).responses
    direct = smooth_img(nibabel.load(path), 6.0).get_fdata()
    np.testing.assert_allclose(responses.values, in_mask(direct), rtol=1e-5)
    assert "6 mm" in responses.provenance["processing"][0]


def test_fault_44_a_voxel_that_is_not_finite_is_refused_or_left_out_and_counted(root, caplog):
    values = tree.bold()
    values[1, 0, 1, 5] = np.nan
    tree.write_bold(root, values)
    with pytest.raises(Misaligned, match=r"1 of 6 points are constant or not finite: 1-0-1; unusable = 'leave_out'"):
        load(root, mask="mask.nii.gz")
    with caplog.at_level(logging.WARNING):
        responses = load(root, mask="mask.nii.gz", unusable="leave_out", smoothing_fwhm=4.0).responses
    assert responses.shape == (tree.N_VOLUMES, 5)
    assert "1-0-1" not in set(responses.columns["target"])
    assert responses.provenance["subjects"]["01"]["left_out"] == {"n_points": 1, "first": ["1-0-1"]}
    assert "1 of 6 points left out" in caplog.text


def test_fault_45_a_constant_voxel_of_one_run_is_left_out_of_all_and_of_means(root):
    first, second = tree.bold(1), tree.bold(2)
    first[0, 0, 0] = 0
    tree.write_bold(root, first, run="1")
    tree.write_bold(root, second, run="2")
    with pytest.raises(Misaligned, match=r"run-1: 1 of 9 points are constant or not finite: 7/0-0-0"):
        load(root, parcels="atlas.nii.gz")
    responses = load(root, parcels="atlas.nii.gz", unusable="leave_out").responses
    inside = LABELS == 7
    inside[0, 0, 0] = False
    expected = np.concatenate([in_mask(values, inside).mean(axis=1) for values in (first, second)])
    np.testing.assert_allclose(responses.values[:, 0], expected, rtol=1e-6)
    assert responses.columns["n_points"].tolist() == [5, 3]


def test_fault_46_a_run_of_zeros_is_refused(root):
    tree.write_bold(root, tree.bold(), run="1")
    tree.write_bold(root, np.zeros((*tree.SHAPE, tree.N_VOLUMES), np.float32), run="2")
    with pytest.raises(MissingData, match=r"run-2: all 6 points are constant or not finite"):
        load(root, mask="mask.nii.gz", unusable="leave_out")


@pytest.mark.parametrize(
    ("header", "unit", "sidecar", "setting", "what"),
    [
        (1.0, "sec", tree.TR, None, "header 1 sec, sidecar 1.5 s, setting tr none"),
        (tree.TR, "sec", 2.0, None, "header 1.5 sec, sidecar 2 s, setting tr none"),
        (tree.TR, "sec", tree.TR, 2.0, "header 1.5 sec, sidecar 1.5 s, setting tr 2 s"),
        (1500, "sec", None, None, "header 1500 sec.*milliseconds"),
        (None, "sec", None, None, "was never set"),
    ],
)
def test_fault_47_header_sidecar_and_setting_must_agree_on_the_tr(root, header, unit, sidecar, setting, what):
    path = tree.write_bold(root, tree.bold(), tr=header, unit=unit, sidecar=sidecar)
    with pytest.raises(Misaligned, match=rf"{path.name}.*{what}"):
        load(root, mask="mask.nii.gz", tr=setting)


def test_fault_47_milliseconds_with_their_unit_are_seconds(root):
    tree.write_bold(root, tree.bold(), tr=1500.0, unit="msec")
    assert set(load(root, mask="mask.nii.gz").responses.rows["duration"]) == {tree.TR}


def test_fault_48_confounds_with_another_number_of_rows_are_refused(prepared):
    root, path, _, _, table = prepared
    write_confounds(path, {name: column[:-1] for name, column in table.items()})
    with pytest.raises(Misaligned, match=r"40 volumes, but 39 rows of confounds"):
        load(root, **SETTINGS, confounds=("motion",), confound_options={"motion": "basic"})


def test_fault_49_an_event_after_the_last_volume_is_refused(root):
    tree.write_bold(root, tree.bold(n_volumes=5))
    tree.write_events(root / "sub-01" / "func" / "sub-01_task-story_run-1", (("0.5", "a"), ("1.5", "b"), ("7.6", "c")))
    with pytest.raises(Misaligned, match=r"onset beyond the recording, which is 7.5 s long"):
        load(root, mask="mask.nii.gz")


@pytest.mark.parametrize("name", ["mask", "parcels", "rois"])
def test_fault_50_a_mask_on_another_grid_is_refused_unless_resampled(root, name, caplog):
    values = tree.bold()
    tree.write_bold(root, values)
    finer = np.kron(INSIDE, np.ones((2, 2, 2), np.uint8))
    affine = tree.AFFINE.copy()
    affine[:3, :3] /= 2
    affine[:3, 3] -= np.diag(tree.AFFINE)[:3] / 4
    tree.save_nifti(finer, root / "finer.nii.gz", affine=affine)
    setting = {name: {"roi": "finer.nii.gz"} if name == "rois" else "finer.nii.gz", "average": False}
    with pytest.raises(Misaligned, match=r"finer.nii.gz does not lie on the grid of the recording: shape \(8, 6, 4\)"):
        load(root, **setting)
    with caplog.at_level(logging.WARNING):
        responses = load(root, **setting, resample=True).responses
    np.testing.assert_array_equal(responses.values, in_mask(values))
    assert "resampled to the grid of the recording" in caplog.text
    shifted = tree.AFFINE + np.array([[0, 0, 0, 0.5], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    tree.save_nifti(INSIDE, root / "finer.nii.gz", affine=shifted)
    with pytest.raises(Misaligned, match=r"affine"):
        load(root, **setting)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_fault_51_an_image_that_is_cut_is_named(root, ending, share):
    path = tree.write_bold(root, tree.bold())
    if ending == ".nii":
        nibabel.save(nibabel.load(path), path.with_name(path.name.removesuffix(".gz")))
        path.unlink()
        path = path.with_name(path.name.removesuffix(".gz"))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(MissingData, match=rf"{path.name}: (empty, a stub|cannot be read)"):
        load(root, mask="mask.nii.gz")


def gifti(values, hemisphere=None):
    arrays = [nibabel.gifti.GiftiDataArray(volume, intent="NIFTI_INTENT_TIME_SERIES") for volume in values]
    meta = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": hemisphere} if hemisphere else {})
    return nibabel.GiftiImage(darrays=arrays, meta=meta)


def write_surfaces(root, left, right, *, space="fsaverage3", says=("CortexLeft", "CortexRight")):
    folder = root / "sub-01" / "func"
    folder.mkdir(parents=True, exist_ok=True)
    for hemisphere, values, structure in zip("LR", (left, right), says, strict=True):
        stem = f"sub-01_task-story_run-1_hemi-{hemisphere}_space-{space}_bold"
        nibabel.save(gifti(values, structure), folder / f"{stem}.func.gii")
        (folder / f"{stem}.json").write_text(json.dumps({"RepetitionTime": tree.TR}))
    tree.write_events(folder / "sub-01_task-story_run-1")


@pytest.fixture
def hemispheres():
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, tree.N_VOLUMES, 642)).astype(np.float32)


def test_vertices_of_both_hemispheres(root, hemispheres):
    write_surfaces(root, *hemispheres)
    responses = load(root, geometry="surface", space="fsaverage3").responses
    np.testing.assert_array_equal(responses.values, np.hstack(hemispheres))
    assert responses.columns.iloc[0][["target", "hemisphere", "vertex"]].tolist() == ["L-0", "left", 0]
    assert responses.columns.iloc[-1][["target", "hemisphere", "vertex"]].tolist() == ["R-641", "right", 641]
    assert responses.provenance["subjects"]["01"]["grid"] == {"n_left": 642, "n_right": 642}


def test_parcels_of_a_surface_are_one_per_side(root, hemispheres):
    write_surfaces(root, *hemispheres)
    labels = np.zeros(642, dtype=np.int32)
    labels[10:20] = 3
    for side in "LR":
        image = nibabel.GiftiImage(darrays=[nibabel.gifti.GiftiDataArray(labels, intent="NIFTI_INTENT_LABEL")])
        label = nibabel.gifti.GiftiLabel(key=3)
        label.label = "STS"
        image.labeltable.labels.append(label)
        nibabel.save(image, root / f"{side}.label.gii")
    settings = {"geometry": "surface", "space": "fsaverage3"}
    responses = load(root, **settings, parcels="{hemi}.label.gii").responses
    assert responses.columns["target"].tolist() == ["left STS", "right STS"]
    np.testing.assert_allclose(responses.values, hemispheres[:, :, 10:20].mean(axis=2).T, rtol=1e-5, atol=1e-6)
    nibabel.freesurfer.write_annot(
        root / "lh.annot", (labels == 3).astype(int), np.array([[0, 0, 0, 0], [9, 9, 9, 0]]), [b"unknown", b"STS"], True
    )
    (root / "rh.annot").write_bytes((root / "lh.annot").read_bytes())
    again = load(root, **settings, parcels="{hemi}.annot").responses
    assert again.columns["target"].tolist() == ["left STS", "right STS"]
    np.testing.assert_array_equal(again.values, responses.values)


def test_fault_52_surfaces_with_another_number_of_vertices_are_refused(root, hemispheres):
    write_surfaces(root, *hemispheres[:, :, :-1])
    with pytest.raises(Misaligned, match=r"hemi-L_space-fsaverage3_bold.func.gii: 641 vertices, fsaverage3 has 642"):
        load(root, geometry="surface", space="fsaverage3")


def test_fault_52_swapped_hemispheres_are_refused(root, hemispheres):
    write_surfaces(root, *hemispheres, says=("CortexRight", "CortexLeft"))
    with pytest.raises(Misaligned, match=r"says it is CortexRight, its name says hemi-L"):
        load(root, geometry="surface", space="fsaverage3")


def test_one_hemisphere_alone_is_refused(root, hemispheres):
    write_surfaces(root, *hemispheres)
    next(root.rglob("*hemi-R*.gii")).unlink()
    with pytest.raises(MissingData, match=r"no file matches .*hemi-R"):
        load(root, geometry="surface", space="fsaverage3")


def test_grayordinates_of_cifti(root):
    axis = nibabel.cifti2
    models = axis.BrainModelAxis.from_surface(np.arange(5), 10, name="CORTEX_LEFT") + axis.BrainModelAxis.from_mask(
        INSIDE != 0, name="THALAMUS_LEFT", affine=tree.AFFINE
    )
    values = np.random.default_rng(0).standard_normal((tree.N_VOLUMES, 11)).astype(np.float32)
    image = nibabel.Cifti2Image(values, (axis.SeriesAxis(0, tree.TR, tree.N_VOLUMES, "second"), models))
    path = root / "sub-01" / "func" / "sub-01_task-story_run-1_space-fsLR_den-91k_bold.dtseries.nii"
    path.parent.mkdir(parents=True)
    nibabel.save(image, path)
    tree.write_events(path.with_name("sub-01_task-story_run-1"))
    responses = load(root, geometry="cifti", space="fsLR").responses
    np.testing.assert_allclose(responses.values, values, rtol=1e-6)
    assert responses.columns["target"].iloc[[0, 5]].tolist() == ["CORTEX_LEFT-0", "THALAMUS_LEFT-1-0-1"]
    assert set(responses.rows["duration"]) == {tree.TR}
    table = {0: ("???", (0, 0, 0, 0)), 4: ("A1", (1, 0, 0, 1))}
    labels = np.zeros((1, 11), np.float32)
    labels[0, 1:4] = 4
    nibabel.save(nibabel.Cifti2Image(labels, (axis.LabelAxis(["atlas"], [table]), models)), root / "a.dlabel.nii")
    means = load(root, geometry="cifti", space="fsLR", parcels="a.dlabel.nii").responses
    assert means.columns["target"].tolist() == ["A1"]
    np.testing.assert_allclose(means.values[:, 0], values[:, 1:4].mean(axis=1), rtol=1e-5, atol=1e-6)


def test_fault_53_integers_with_a_scale_are_the_numbers_they_stand_for(root):
    values = tree.bold()
    path = tree.write_bold(root, values)
    image = nibabel.load(path)
    image.set_data_dtype(np.int16)
    nibabel.save(image, path)
    assert nibabel.load(path).get_data_dtype() == np.int16
    np.testing.assert_allclose(load(root, mask="mask.nii.gz").responses.values, in_mask(values), rtol=1e-5)


def test_fault_58_confounds_without_a_first_row_are_filled_as_nilearn_does(prepared):
    root, path, _, _, table = prepared
    derivative = {f"{name}_derivative1": np.r_[np.nan, np.diff(column)] for name, column in table.items()}
    settings = SETTINGS | {"confounds": ("motion",), "confound_options": {"motion": "derivatives"}}
    write_confounds(path, table | derivative)
    filled = load(root, **settings).responses.values
    write_confounds(path, table | {name: np.r_[column[1], column[1:]] for name, column in derivative.items()})
    np.testing.assert_allclose(load(root, **settings).responses.values, filled, rtol=1e-6)
    derivative["trans_x_derivative1"][7] = np.nan
    write_confounds(path, table | derivative)
    with pytest.raises((Misaligned, MissingData), match=r"trans_x_derivative1 is not finite in volume 7|NaN"):
        load(root, **settings)


def test_confounds_that_are_not_there_are_refused(prepared):
    root, path, _, _, table = prepared
    with pytest.raises(MissingData, match=r"no confounds"):
        load(root, **SETTINGS, confounds=("motion",))
    write_confounds(path, {"csf": table["rot_x"]})
    with pytest.raises(MissingData, match=r"no confounds.*motion"):
        load(root, **SETTINGS, confounds=("motion",))


def test_as_many_confounds_as_volumes_are_refused(prepared):
    root, path, _, _, table = prepared
    write_confounds(path, table)
    with pytest.raises(Misaligned, match=r"regressors leave nothing of 40 volumes; choose fewer"):
        load(
            root, **SETTINGS, confounds=("motion",), confound_options={"motion": "basic"}, drift_order=20, high_pass=0.2
        )


def test_fault_59_a_run_that_one_person_lacks_is_named(root):
    tree.write_people(root, ["01", "02"])
    for run in "12":
        tree.write_bold(root, tree.bold(), run=run)
    tree.write_bold(root, tree.bold(), subject="02", run="1")
    with pytest.raises(Misaligned, match=r"subject 01 and subject 02 have other runs \(\['task-story_run-2'\]\)"):
        load(root, mask="mask.nii.gz")
    assert load(root, mask="mask.nii.gz", runs=("1",)).responses.shape == (tree.N_VOLUMES, 12)


def test_fault_60_an_image_that_is_there_twice_is_refused(root):
    path = tree.write_bold(root, tree.bold())
    nibabel.save(nibabel.load(path), path.with_name(path.name.removesuffix(".gz")))
    with pytest.raises(MissingData, match=r"2 files match one run") as error:
        load(root, mask="mask.nii.gz")
    assert str(path) in str(error.value)


def test_fault_60_entities_choose_between_files(root):
    values = tree.bold()
    path = tree.write_bold(root, values)
    other = path.with_name("sub-01_task-story_acq-mb_run-1_bold.nii.gz")
    tree.save_nifti(values + 5, other, tr=tree.TR)
    with pytest.raises(MissingData, match=r"2 files match one run; choose by `entities`"):
        load(root, mask="mask.nii.gz")
    for acquisition, expected in (("mb", values + 5), ("", values)):
        responses = load(root, mask="mask.nii.gz", entities={"acq": acquisition}).responses
        np.testing.assert_array_equal(responses.values, in_mask(expected))


def test_people_share_the_voxels_that_are_in_all_their_brains(root):
    folder = root / "derivatives" / "fmriprep"
    tree.write_people(root, ["01", "02"])
    values = {}
    for i, subject in enumerate(("01", "02")):
        inside = INSIDE.copy()
        inside[1, i, 1] = 0
        values[subject] = tree.bold(i)
        path = tree.write_bold(folder, values[subject], subject=subject, space=SPACE, events=False)
        tree.save_nifti(inside, path.with_name(path.name.replace("preproc_bold", "brain_mask")))
        tree.write_events(root / f"sub-{subject}" / "func" / f"sub-{subject}_task-story_run-1")
    responses = load(root, **SETTINGS).responses
    shared = INSIDE.copy()
    shared[1, :2, 1] = 0
    np.testing.assert_array_equal(responses.values, np.hstack([in_mask(values[s], shared) for s in ("01", "02")]))


def test_people_on_other_grids_have_means_but_no_common_voxels(root):
    tree.write_people(root, ["01", "02"])
    moved = tree.AFFINE + np.array([[0, 0, 0, 1.0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    tree.write_bold(root, tree.bold(1))
    tree.write_bold(root, tree.bold(2), subject="02", affine=moved)
    tree.save_nifti(INSIDE, root / "sub-01_roi.nii.gz")
    tree.save_nifti(INSIDE, root / "sub-02_roi.nii.gz", affine=moved)
    settings = {"rois": {"roi": "sub-{subject}_roi.nii.gz"}}
    with pytest.raises(Misaligned, match=r"subject 02 is on another grid than 01: affine"):
        load(root, **settings, average=False)
    responses = load(root, **settings).responses
    np.testing.assert_allclose(responses.values[:, 1], in_mask(tree.bold(2)).mean(axis=1), rtol=1e-6)


def test_runs_on_other_grids_are_refused(root):
    tree.write_bold(root, tree.bold(1), run="1")
    tree.write_bold(root, tree.bold(2, shape=(4, 3, 3)), run="2")
    with pytest.raises(Misaligned, match=r"run-2_bold.nii.gz .*is not on the grid of task-story_run-1: shape"):
        load(root, mask="mask.nii.gz")
