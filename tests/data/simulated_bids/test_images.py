import json

import nibabel as nib
import numpy as np
import pytest
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.maskers import NiftiMasker
from nilearn.surface import SurfaceImage

from brainalign.arrays import read_tsv
from brainalign.data._simulated_bids import bold, images
from brainalign.data._simulated_bids.settings import PLANTED, gains

NAME = "sub-01_task-story_run-02"


@pytest.fixture(scope="module")
def derivatives(written):
    return written / "derivatives" / "fmriprep" / "sub-01" / "func"


@pytest.fixture(scope="module")
def volumes(derivatives):
    return nib.load(derivatives / f"{NAME}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")


@pytest.fixture(scope="module")
def mask(derivatives):
    return nib.load(derivatives / f"{NAME}_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz")


@pytest.fixture(scope="module")
def signals(story, settings):
    return bold.planted_signals(story, settings)


def test_header_and_sidecar_say_the_same_of_time_and_space(volumes, mask, derivatives):
    assert volumes.shape == (*mask.shape, 40)
    assert volumes.header.get_zooms() == pytest.approx((6, 6, 6, 1.5))
    assert volumes.header.get_xyzt_units() == ("mm", "sec")
    assert int(volumes.header["sform_code"]) == int(volumes.header["qform_code"]) == 4
    assert np.array_equal(volumes.affine, mask.affine)
    sidecar = json.loads(
        (derivatives / f"{NAME}_space-MNI152NLin2009cAsym_desc-preproc_bold.json").read_text(encoding="utf-8")
    )
    assert (sidecar["RepetitionTime"], sidecar["StartTime"], sidecar["TaskName"]) == (1.5, 0.75, "story")


def test_values_are_16_bits_about_the_baseline(volumes, mask):
    assert volumes.get_data_dtype() == np.int16
    values = volumes.get_fdata()
    inside = mask.get_fdata() > 0
    assert inside.sum() > 8000
    assert np.abs(values[~inside]).max() < 0.5
    assert values[inside].mean() == pytest.approx(images.BASELINE, rel=0.001)
    assert values[inside].std(axis=1).min() > 50


def test_nilearn_reads_what_was_simulated(volumes, mask, signals, settings):
    data = NiftiMasker(mask, standardize=None).fit_transform(volumes)
    places = images.find_places()
    percent = bold.record(
        signals[1],
        places.voxels,
        bold.disturb("01", "02", settings),
        gain=gains(settings)[0],
        stream=[settings.seed, images.FMRI_VOLUME, 1],
        run="02",
        settings=settings,
    )
    assert data.shape == percent.shape
    assert np.abs(100 * (data / images.BASELINE - 1) - percent).max() < 0.005


def test_voxels_of_a_region_lie_where_it_is_planted(written):
    labels = nib.load(written / "derivatives" / "truth" / "space-MNI152NLin2009cAsym_desc-planted_dseg.nii.gz")
    names = read_tsv(written / "derivatives" / "truth" / "desc-planted_dseg.tsv").set_index("index")["name"]
    values = np.asarray(labels.dataobj)
    for i, source in enumerate(PLANTED, start=1):
        assert names[i] == source.name
        places = nib.affines.apply_affine(labels.affine, np.argwhere(values == i))
        assert len(places) > 10
        assert places.mean(axis=0) == pytest.approx(source.place, abs=3)


def test_vertices_of_a_region_lie_in_its_hemisphere(written):
    found = {
        hemisphere: np.unique(
            nib.load(
                written / "derivatives" / "truth" / f"hemi-{hemisphere}_space-fsaverage5_desc-planted_dseg.label.gii"
            ).agg_data(),
            return_counts=True,
        )
        for hemisphere in "LR"
    }
    assert found["L"][0].tolist() == [0, 1, 3, 4, 5]
    assert found["R"][0].tolist() == [0, 2]
    assert found["L"][1].min() > 20
    assert found["R"][1].min() > 20


@pytest.mark.parametrize(("hemisphere", "i_region"), [("L", 0), ("R", 1), ("L", 4)])
def test_planted_vertices_answer_and_others_do_not(derivatives, story, settings, hemisphere, i_region):
    """In the mean over runs, vertices of the region correlate with its signal, those of no region do not."""
    regions = images.find_places().vertices[hemisphere]
    signals = bold.planted_signals(story, settings)
    names = [f"sub-01_task-story_run-{run.label}_hemi-{hemisphere}_space-fsaverage5_bold.func.gii" for run in story]
    data = [nib.load(derivatives / name).agg_data().T for name in names]
    assert data[0].shape == (40, 10242)
    y, s = np.concatenate(data), np.concatenate(signals)[:, i_region]
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    r = y.T @ (s - s.mean()) / s.std() / len(s)
    assert r[regions == i_region + 1].mean() > 0.2
    assert abs(r[regions == 0].mean()) < 0.03


def test_surfaces_are_those_of_nilearn(derivatives):
    from nilearn.datasets import load_fsaverage

    data = {
        side: derivatives / f"{NAME}_hemi-{hemisphere}_space-fsaverage5_bold.func.gii"
        for side, hemisphere in (("left", "L"), ("right", "R"))
    }
    image = SurfaceImage(mesh=load_fsaverage("fsaverage5")["pial"], data=data)
    assert image.shape == (20484, 40)
    for side, structure in (("left", "CortexLeft"), ("right", "CortexRight")):
        gifti = nib.load(data[side])
        assert gifti.meta["AnatomicalStructurePrimary"] == structure
        assert gifti.darrays[0].meta["TimeStep"] == "1500"


def test_raw_volumes_have_the_names_of_bids(written, volumes):
    raw = written / "sub-01" / "func" / f"{NAME}_bold.nii.gz"
    assert np.array_equal(np.asarray(nib.load(raw).dataobj), np.asarray(volumes.dataobj))
    assert json.loads((raw.parent / f"{NAME}_bold.json").read_text()) == {"TaskName": "story", "RepetitionTime": 1.5}


@pytest.mark.parametrize("kind", ["volume", "surface"])
def test_nilearn_finds_and_reads_the_confounds(derivatives, kind):
    if kind == "volume":
        files = str(derivatives / f"{NAME}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
    else:
        files = [str(derivatives / f"{NAME}_hemi-{h}_space-fsaverage5_bold.func.gii") for h in "LR"]
    strategy = ("motion", "wm_csf", "high_pass", "global_signal", "compcor", "scrub")
    confounds, kept = load_confounds(files, strategy=strategy, motion="full", wm_csf="full", compcor="anat_combined")
    assert np.isfinite(confounds.to_numpy()).all()
    assert {"trans_x", "rot_z_derivative1_power2", "csf", "a_comp_cor_04", "global_signal"} <= set(confounds)
    assert len(confounds) == 40
    assert kept is None or len(kept) > 20


def test_the_first_row_of_the_written_confounds_is_missing_as_in_fmriprep(derivatives):
    lines = (derivatives / f"{NAME}_desc-confounds_timeseries.tsv").read_text().splitlines()
    first = dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))
    assert first["framewise_displacement"] == first["std_dvars"] == first["trans_x_derivative1"] == "n/a"
    assert first["trans_x"] == "0"
    assert "n/a" not in "".join(lines[2:])
