"""Where sensors and dipoles are, and what a sensor measures of a dipole in a spherical head.

MEG: the 306 channels of a Neuromag helmet as they ship with mne, the head's centre at that of the helmet. EEG: 32
electrodes of the 10-20 system and its extension, referenced to linked mastoids. Places in the brain are given in MNI
space and brought to head coordinates by the transformation of fsaverage that ships with mne; the few mm between the
MNI305 brain, which that one is of, and the MNI152 brain are neglected.
"""

from pathlib import Path

import mne
import numpy as np

CENTRE = np.array([0.0, 0.009, 0.045])  # m, head coordinates: of the sphere that fits fsaverage's inner skull
HEAD_RADIUS = 0.0915  # m, of the scalp; the inner skull is at 0.9 of it, as in fsaverage
EEG_NAMES = (
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6",
    "T7", "C3", "Cz", "C4", "T8", "TP9", "CP5", "CP1", "CP2", "CP6", "TP10",
    "P7", "P3", "Pz", "P4", "P8", "PO9", "O1", "Oz", "O2", "PO10",
)  # fmt: skip
MASTOIDS = ("M1", "M2")
BAD = {"meg": "MEG 0943", "eeg": "P8"}
LANDMARKS = {"nasion": (0.0, 0.114, 0.0), "lpa": (-0.0825, 0.0, 0.0), "rpa": (0.0825, 0.0, 0.0)}  # of standard_1020, m
LINE_FREQUENCY = 50.0  # Hz, of the place where nobody was recorded: there is none in the data


def meg_info(sfreq: float) -> mne.Info:
    """Give the description of a Neuromag recording: 306 MEG channels (T and T/m), EOG061, ECG063 (V), STI101."""
    helmet = mne.channels.read_meg_canonical_info("neuromag")
    names = [*helmet["ch_names"], "EOG061", "ECG063", "STI101"]
    info = mne.create_info(names, sfreq, ["mag"] * len(helmet["ch_names"]) + ["eog", "ecg", "stim"])
    for channel, known in zip(info["chs"], helmet["chs"], strict=False):
        channel.update({key: known[key] for key in ("kind", "coil_type", "unit", "coord_frame", "loc")})
    to_head = np.eye(4)
    to_head[:3, 3] = CENTRE
    info["dev_head_t"] = mne.Transform("meg", "head", to_head)
    info.set_montage(mne.channels.make_dig_montage(**LANDMARKS, coord_frame="head"), verbose="ERROR")
    info["bads"] = [BAD["meg"]]
    info["line_freq"] = LINE_FREQUENCY
    return info


def eeg_info(sfreq: float) -> mne.Info:
    """Give the description of an EEG recording: the electrodes `EEG_NAMES`, VEOG and ECG, all in V."""
    info = mne.create_info([*EEG_NAMES, "VEOG", "ECG"], sfreq, ["eeg"] * len(EEG_NAMES) + ["eog", "ecg"])
    info.set_montage("standard_1020", on_missing="ignore", verbose="ERROR")
    info["bads"] = [BAD["eeg"]]
    info["line_freq"] = LINE_FREQUENCY
    return info


def head_positions(mni: np.ndarray) -> np.ndarray:
    """Bring places from MNI (mm) to head coordinates (m); (n_places, 3)."""
    to_head = mne.read_trans(Path(mne.__file__).parent / "data" / "fsaverage" / "fsaverage-trans.fif", verbose="ERROR")
    if to_head["from"] != mne.io.constants.FIFF.FIFFV_COORD_MRI:
        to_head = mne.transforms.invert_transform(to_head)
    return mne.transforms.apply_trans(to_head, np.asarray(mni, float) / 1000)


def tangential(directions: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Give directions of length 1 without their radial part, to which MEG is blind; (n_places, 3)."""
    outward = _unit(np.asarray(positions) - CENTRE)
    directions = np.asarray(directions, float)
    return _unit(directions - (directions * outward).sum(axis=1, keepdims=True) * outward)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_positions(n: int, *, depth: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Give places in the upper part of the head, evenly over directions, `depth` m from its centre; (n, 3)."""
    directions = _unit(rng.standard_normal((4 * n, 3)))
    upper = directions[directions[:, 2] > -0.3][:n]
    return CENTRE + rng.uniform(*depth, (n, 1)) * upper


def lead_field(modality: str, positions: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Give what each channel measures of a dipole of 1 A m.

    Parameters
    ----------
    modality : {"meg", "eeg"}
    positions, directions : array of shape (n_dipoles, 3)
        Head coordinates, m; directions of length 1. All within the inner skull.

    Returns
    -------
    gain : array of shape (n_channels, n_dipoles), float64
        Of the MEG channels in T (magnetometers) and T/m (gradiometers); of the electrodes in V, after the mean of the
        mastoids was taken off.

    References
    ----------
    Sarvas (1987), Phys. Med. Biol. 32:11, and the three-shell sphere of Berg & Scherg (1994) as mne has them.
    """
    info = _sensors(modality)
    sphere = mne.make_sphere_model(CENTRE, HEAD_RADIUS, info=info, verbose="ERROR")
    n = len(positions)
    dipoles = mne.Dipole(np.arange(float(n)), positions, np.ones(n), directions, np.ones(n))
    forward, _ = mne.make_forward_dipole(dipoles, sphere, info, verbose="ERROR")
    gain = forward["sol"]["data"]  # (n_channels, n_dipoles), mastoids last
    reference = [forward["sol"]["row_names"].index(name) for name in MASTOIDS if name in info["ch_names"]]
    if reference:
        gain = np.delete(gain - gain[reference].mean(axis=0), reference, axis=0)
    return gain


def sensor_noise(modality: str) -> np.ndarray:
    """Give the standard deviation of the white noise of each channel, mne's ad hoc values; (n_channels,)."""
    info = _sensors(modality)
    ad_hoc = np.sqrt(mne.make_ad_hoc_cov(info, verbose="ERROR").data)
    return ad_hoc[[name not in MASTOIDS for name in info["ch_names"]]]


def _sensors(modality: str) -> mne.Info:
    """Give the description of the sensors alone, none bad, in the order of the recording; of EEG with the mastoids."""
    if modality == "meg":
        info = meg_info(1000.0)
        info["bads"] = []
        return mne.pick_info(info, mne.pick_types(info, meg=True))
    info = mne.create_info([*EEG_NAMES, *MASTOIDS], 1000.0, "eeg")
    info.set_montage("standard_1020", verbose="ERROR")
    return info
