"""Small BIDS folders of known content, in their true formats."""

import json

import mne
import nibabel
import numpy as np

SFREQ = 100.0
CHANNELS = ("MEG 0111", "MEG 0112", "MEG 0113", "EEG 001", "STI 014")
TYPES = ("mag", "grad", "grad", "eeg", "stim")
BIDS_TYPES = {"mag": "MEGMAG", "grad": "MEGGRADPLANAR", "eeg": "EEG", "stim": "TRIG"}
UNITS = {"mag": 1e-13, "grad": 1e-12, "eeg": 1e-6, "stim": 1.0}
WORDS = (("0.5", "once"), ("1.25", "null"), ("2.0", "time"))

AFFINE = np.diag([3.0, 3.0, 4.0, 1.0]) + np.array([[0, 0, 0, -6.0], [0, 0, 0, -9.0], [0, 0, 0, -4.0], [0, 0, 0, 0]])
SHAPE = (4, 3, 2)
TR = 1.5
N_VOLUMES = 40


def make_raw(seed=0, *, n_samples=400, channels=CHANNELS, types=TYPES, sfreq=SFREQ, first_samp=0):
    """Noise in the units of its channels."""
    rng = np.random.default_rng(seed)
    scale = np.array([UNITS[kind] for kind in types])[:, None]
    info = mne.create_info(list(channels), sfreq, list(types))
    return mne.io.RawArray(scale * rng.standard_normal((len(channels), n_samples)), info, first_samp, verbose="ERROR")


def write_tsv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in (header, *rows)), encoding="utf-8")


def write_events(stem, words=WORDS):
    rows = [(onset, "0.3", "word", word) for onset, word in words]
    write_tsv(stem.with_name(f"{stem.name}_events.tsv"), ("onset", "duration", "trial_type", "word"), rows)


def write_channels(stem, raw, bads=()):
    rows = [
        (name, BIDS_TYPES[kind], "n/a", "bad" if name in bads else "good")
        for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
    ]
    write_tsv(stem.with_name(f"{stem.name}_channels.tsv"), ("name", "type", "units", "status"), rows)


def write_description(root):
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.9.0"}))


def write_meg(root, raw, *, subject="01", task="story", run="1", bads=(), words=WORDS, sidecar=None):
    """Write one run as FIF with its sidecars."""
    write_description(root)
    stem = root / f"sub-{subject}" / "meg" / f"sub-{subject}_task-{task}_run-{run}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    path = stem.with_name(f"{stem.name}_meg.fif")
    raw.save(path, fmt="double", overwrite=True, verbose="ERROR")
    write_channels(stem, raw, bads)
    write_events(stem, words)
    stated = {"TaskName": task, "SamplingFrequency": raw.info["sfreq"], "PowerLineFrequency": 50}
    stem.with_name(f"{stem.name}_meg.json").write_text(json.dumps(stated | (sidecar or {})))
    rows = sorted(p.name for p in (root / f"sub-{subject}" / "meg").glob("*_meg.fif"))
    write_tsv(root / f"sub-{subject}" / f"sub-{subject}_scans.tsv", ("filename",), [(f"meg/{row}",) for row in rows])
    return path


def write_people(root, subjects):
    rows = [(f"sub-{subject}", 20 + i) for i, subject in enumerate(subjects)]
    write_tsv(root / "participants.tsv", ("participant_id", "age"), rows)


def bold(seed=0, *, shape=SHAPE, n_volumes=N_VOLUMES):
    """Noise around 1000, as a scanner gives it."""
    return (1000 + 10 * np.random.default_rng(seed).standard_normal((*shape, n_volumes))).astype(np.float32)


def save_nifti(values, path, *, tr=None, unit="sec", affine=AFFINE):
    image = nibabel.Nifti1Image(values, affine)
    if tr is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
        image.header.set_xyzt_units("mm", unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def write_bold(
    root, values, *, subject="01", run="1", task="story", space="", tr=TR, unit="sec", sidecar=TR, events=True, **more
):
    """Write one run as NIfTI: raw, or as fMRIPrep does when there is a space."""
    write_description(root)
    stem = root / f"sub-{subject}" / "func" / f"sub-{subject}_task-{task}_run-{run}"
    ending = f"_space-{space}_desc-preproc_bold" if space else "_bold"
    path = save_nifti(values, stem.with_name(f"{stem.name}{ending}.nii.gz"), tr=tr, unit=unit, **more)
    if sidecar is not None:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps({"RepetitionTime": sidecar}))
    if events:
        write_events(stem)
    return path
