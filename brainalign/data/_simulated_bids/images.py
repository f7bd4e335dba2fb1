"""fMRI in a BIDS folder: raw NIfTI, and derivatives with fMRIPrep's names in MNI space and on fsaverage5.

The simulated people have the template's brain and lie where it lies, so that raw and preprocessed volumes are the same;
surfaces have noise of their own. Space and mask are those of the MNI152 template that ships with nilearn (2009a), under
the name of fMRIPrep's default.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.datasets import load_fsaverage, load_mni152_brain_mask

from brainalign.data._simulated_bids import bold
from brainalign.data._simulated_bids.confounds import confounds_of
from brainalign.data._simulated_bids.recordings import write_events
from brainalign.data._simulated_bids.settings import (
    FMRI_SURFACE,
    FMRI_VOLUME,
    PLANTED,
    TASK,
    Settings,
    gains,
    subjects_of,
)
from brainalign.data._simulated_bids.stimuli import Run
from brainalign.data._simulated_bids.tables import write_dataset_description, write_description, write_table

SPACE, SURFACE = "MNI152NLin2009cAsym", "fsaverage5"
RESOLUTION = 6  # mm
BASELINE = 10000.0  # of all targets, in the scanner's unit
STEP = 1.0  # to which values on the surface are rounded, so that files compress
HEMISPHERES = {"L": ("left", "CortexLeft"), "R": ("right", "CortexRight")}


class Places(NamedTuple):
    """Where there are targets.

    Parameters
    ----------
    mask : Nifti1Image
        1 in the brain.
    voxels : int array of shape (n_voxels,)
        Planted region of each voxel in the mask, 0 for none.
    vertices : dict of str to int array of shape (10242,)
        The same for each hemisphere, "L" and "R".
    """

    mask: nib.Nifti1Image
    voxels: np.ndarray
    vertices: dict[str, np.ndarray]


def find_places() -> Places:
    """Find the voxels and vertices within the planted regions."""
    mask = load_mni152_brain_mask(resolution=RESOLUTION)
    inside = mask.get_fdata() > 0
    pial = load_fsaverage("fsaverage5")["pial"].parts
    return Places(
        nib.Nifti1Image(inside.astype(np.uint8), mask.affine),
        bold.regions_of(nib.affines.apply_affine(mask.affine, np.argwhere(inside))),
        {hemisphere: bold.regions_of(pial[side].coordinates) for hemisphere, (side, _) in HEMISPHERES.items()},
    )


def write_images(folder: Path, story: list[Run], settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write all runs of all people, and give what is planted in them and the best scores they allow.

    Returns
    -------
    planted, ceilings : DataFrame
        As `brainalign.data._simulated_bids.bold.planted_in` and `ceilings_of`.
    """
    places, signals = find_places(), bold.planted_signals(story, settings)
    derivatives = folder / "derivatives" / "fmriprep"
    derivatives.mkdir(parents=True)
    write_dataset_description(derivatives, "Simulated people, volumes and surfaces", derivative=True)
    write_labels(folder / "derivatives" / "truth", places)
    planted, ceilings = [], []
    for subject, gain in zip(subjects_of(settings), gains(settings), strict=True):
        for run, of_run in zip(story, signals, strict=True):
            _write_run(folder, places, of_run, subject=subject, gain=gain, run=run, settings=settings)
        planted.append(bold.planted_in(subject, gain, settings))
        ceilings.append(bold.ceilings_of(subject, gain, settings))
    return pd.concat(planted, ignore_index=True), pd.concat(ceilings, ignore_index=True)


def _write_run(
    folder: Path, places: Places, signals: np.ndarray, *, subject: str, gain: float, run: Run, settings: Settings
) -> None:
    """Write volumes, surfaces, mask and confounds of one run."""
    raw = folder / f"sub-{subject}" / "func"
    preprocessed = folder / "derivatives" / "fmriprep" / f"sub-{subject}" / "func"
    for made in (raw, preprocessed):
        made.mkdir(parents=True, exist_ok=True)
    name = f"sub-{subject}_task-{TASK}_run-{run.label}"
    disturbance = bold.disturb(subject, run.label, settings)
    recorded = {"gain": gain, "run": run.label, "settings": settings}

    stream = [settings.seed, FMRI_VOLUME, int(subject)]
    percent = bold.record(signals, places.voxels, disturbance, stream=stream, **recorded)
    volumes = preprocessed / f"{name}_space-{SPACE}_desc-preproc_bold.nii.gz"
    write_volumes(volumes, percent, places.mask, tr=settings.tr)
    nib.save(places.mask, preprocessed / f"{name}_space-{SPACE}_desc-brain_mask.nii.gz")
    _write_sidecar(preprocessed / f"{name}_space-{SPACE}_desc-preproc_bold.json", settings, reference=settings.tr / 2)
    shutil.copyfile(volumes, raw / f"{name}_bold.nii.gz")
    _write_sidecar(raw / f"{name}_bold.json", settings)
    write_events(raw, subject, run)

    table, descriptions = confounds_of(disturbance, percent, tr=settings.tr)
    write_table(preprocessed / f"{name}_desc-confounds_timeseries.tsv", table)
    write_description(preprocessed / f"{name}_desc-confounds_timeseries.json", descriptions)

    for i, (hemisphere, regions) in enumerate(places.vertices.items()):
        stream = [settings.seed, FMRI_SURFACE, int(subject), i]
        percent = bold.record(signals, regions, disturbance, stream=stream, **recorded)
        surface = f"{name}_hemi-{hemisphere}_space-{SURFACE}_bold"
        write_surface(preprocessed / f"{surface}.func.gii", percent, hemisphere, tr=settings.tr)
        _write_sidecar(preprocessed / f"{surface}.json", settings, reference=settings.tr / 2)


def _write_sidecar(path: Path, settings: Settings, **when: float) -> None:
    sidecar = {"TaskName": TASK, "RepetitionTime": settings.tr}
    if when:
        sidecar |= {"SkullStripped": True, "SliceTimingCorrected": True, "StartTime": when["reference"]}
    write_description(path, sidecar)


def write_volumes(path: Path, percent: np.ndarray, mask: nib.Nifti1Image, *, tr: float) -> None:
    """Write a run as NIfTI: 16 bits with a scale, 0 outside the mask.

    Parameters
    ----------
    path : Path
    percent : array of shape (n_volumes, n_voxels)
        Of the baseline, about 0; voxels in the order of the mask.
    mask : Nifti1Image
    tr : float
        Seconds.
    """
    inside = np.asarray(mask.dataobj) > 0
    values = np.zeros((*inside.shape, len(percent)), np.float32)
    values[inside] = BASELINE * (1 + percent.T / 100)
    image = nib.Nifti1Image(values, mask.affine)
    image.header.set_data_dtype(np.int16)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*mask.header.get_zooms()[:3], tr))
    image.set_sform(mask.affine, "mni")
    image.set_qform(mask.affine, "mni")
    nib.save(image, path)


def write_surface(path: Path, percent: np.ndarray, hemisphere: str, *, tr: float) -> None:
    """Write a run of one hemisphere as GIFTI, one array of 32-bit floats per volume.

    Parameters
    ----------
    path : Path
    percent : array of shape (n_volumes, 10242)
        Of the baseline, about 0.
    hemisphere : {"L", "R"}
    tr : float
        Seconds.
    """
    values = STEP * np.rint(BASELINE * (1 + percent / 100) / STEP)
    structure = HEMISPHERES[hemisphere][1]
    arrays = [
        nib.gifti.GiftiDataArray(
            volume,
            intent="NIFTI_INTENT_TIME_SERIES",
            datatype="NIFTI_TYPE_FLOAT32",
            meta=nib.gifti.GiftiMetaData({"TimeStep": f"{1000 * tr:g}"}),
        )
        for volume in values.astype(np.float32)
    ]
    meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure})
    nib.save(nib.gifti.GiftiImage(darrays=arrays, meta=meta), path)


def write_labels(folder: Path, places: Places) -> None:
    """Write the planted region of each voxel and vertex, and the table of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    inside = np.asarray(places.mask.dataobj) > 0
    labels = np.zeros(inside.shape, np.uint8)
    labels[inside] = places.voxels
    nib.save(nib.Nifti1Image(labels, places.mask.affine), folder / f"space-{SPACE}_desc-planted_dseg.nii.gz")
    for hemisphere, regions in places.vertices.items():
        array = nib.gifti.GiftiDataArray(
            regions.astype(np.int32), intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32"
        )
        meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": HEMISPHERES[hemisphere][1]})
        image = nib.gifti.GiftiImage(darrays=[array], meta=meta)
        nib.save(image, folder / f"hemi-{hemisphere}_space-{SURFACE}_desc-planted_dseg.label.gii")
    names = ["none", *(source.name for source in PLANTED)]
    table = pd.DataFrame({"index": range(len(names)), "name": names})
    write_table(folder / "desc-planted_dseg.tsv", table)
