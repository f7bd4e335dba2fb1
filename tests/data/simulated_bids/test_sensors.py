import mne
import numpy as np
import pytest

from brainalign.data._simulated_bids import sensors
from brainalign.data._simulated_bids.settings import PLANTED

NAMES = [source.name for source in PLANTED]


@pytest.fixture(scope="module")
def dipoles():
    positions = sensors.head_positions([source.place for source in PLANTED])
    return positions, sensors.tangential([source.direction for source in PLANTED], positions)


def meg_places():
    info = sensors.meg_info(100.0)
    places = np.array([channel["loc"][:3] for channel in info["chs"][:306]]) + sensors.CENTRE
    return places, np.array(info.get_channel_types()[:306])


def test_the_helmet_has_102_magnetometers_and_204_gradiometers():
    info = sensors.meg_info(250.0)
    types = info.get_channel_types()
    assert [types.count(kind) for kind in ("mag", "grad", "eog", "ecg", "stim")] == [102, 204, 1, 1, 1]
    assert info["sfreq"] == 250
    assert info["bads"] == ["MEG 0943"]
    assert {channel["unit"] for channel, kind in zip(info["chs"], types, strict=True) if kind == "grad"} == {
        mne.io.constants.FIFF.FIFF_UNIT_T_M
    }


def test_electrodes_have_places():
    info = sensors.eeg_info(250.0)
    assert info.get_channel_types() == ["eeg"] * 32 + ["eog", "ecg"]
    places = info.get_montage().get_positions()["ch_pos"]
    assert places["Fp1"][1] > 0.07
    assert places["O1"][1] < -0.05
    assert places["T7"][0] < -0.06 < 0.06 < places["T8"][0]


def test_places_of_mni_are_in_the_head(dipoles):
    positions, _ = dipoles
    depth = np.linalg.norm(positions - sensors.CENTRE, axis=1)
    assert (depth < 0.9 * sensors.HEAD_RADIUS).all()
    assert (np.sign(positions[:, 0]) == np.sign([source.place[0] for source in PLANTED])).all()
    origin = sensors.head_positions([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
    assert origin[1] - origin[0] == pytest.approx([0.01, 0, 0], abs=1e-4)
    assert origin[0] == pytest.approx([0, 0.03, 0.04], abs=0.005)


def test_directions_are_tangential_and_of_length_1(dipoles):
    positions, directions = dipoles
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1)
    assert ((positions - sensors.CENTRE) * directions).sum(axis=1) == pytest.approx(0, abs=1e-12)
    for direction, source in zip(directions, PLANTED, strict=True):
        assert direction @ np.array(source.direction) > 0


@pytest.mark.parametrize("i", range(len(PLANTED)), ids=NAMES)
def test_planar_gradiometers_are_strongest_over_the_dipole(dipoles, i):
    positions, directions = dipoles
    field = sensors.lead_field("meg", positions, directions)[:, i]
    places, kinds = meg_places()
    grad = kinds == "grad"
    chips, chip = np.unique(places[grad].round(4), axis=0, return_inverse=True)
    assert len(chips) == 102
    strength = np.sqrt(np.bincount(chip.ravel(), field[grad] ** 2))
    towards = (positions[i] - sensors.CENTRE) / np.linalg.norm(positions[i] - sensors.CENTRE)
    outward = (chips - sensors.CENTRE) / np.linalg.norm(chips - sensors.CENTRE, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(outward[strength.argmax()] @ towards))
    assert angle < 25
    assert strength.max() > 3 * np.median(strength)


@pytest.mark.parametrize("i", range(len(PLANTED)), ids=NAMES)
def test_magnetometers_see_a_dipole_as_two_poles_on_its_sides(dipoles, i):
    positions, directions = dipoles
    field = sensors.lead_field("meg", positions, directions)[:, i]
    places, kinds = meg_places()
    mag = kinds == "mag"
    out, into = places[mag][field[mag].argmax()], places[mag][field[mag].argmin()]
    across = np.cross(positions[i] - sensors.CENTRE, directions[i])  # B of a current Q is along Q x (r - r0)
    assert (out - into) @ across > 0.7 * np.linalg.norm(out - into) * np.linalg.norm(across)


def test_a_dipole_of_10_nam_gives_the_fields_of_the_textbook(dipoles):
    field = 1e-8 * sensors.lead_field("meg", *dipoles)
    _, kinds = meg_places()
    assert (np.abs(field[kinds == "mag"]).max(axis=0) > 5e-14).all()
    assert np.abs(field[kinds == "mag"]).max() < 1e-12
    potential = 1e-8 * sensors.lead_field("eeg", *dipoles)
    assert (np.abs(potential).max(axis=0) > 2e-7).all()
    assert np.abs(potential).max() < 1e-5


def test_meg_is_blind_to_radial_dipoles_and_eeg_is_not():
    position = sensors.CENTRE + np.array([[0.03, 0.02, 0.04]])
    outward = (position - sensors.CENTRE) / np.linalg.norm(position - sensors.CENTRE)
    across = sensors.tangential([[0.0, 1.0, 0.0]], position)
    radial, tangential = (np.abs(sensors.lead_field("meg", position, d)).max() for d in (outward, across))
    assert radial < 1e-6 * tangential
    potential = sensors.lead_field("eeg", position, outward)[:, 0]
    assert sensors.EEG_NAMES[potential.argmax()] in {"C4", "FC2", "CP2", "FC6", "F4", "Cz"}
    assert potential.max() * 1e-8 > 2e-7


def test_the_mean_of_the_mastoids_is_zero_of_the_eeg(dipoles):
    names = [*sensors.EEG_NAMES, *sensors.MASTOIDS]
    info = mne.create_info(names, 100.0, "eeg")
    info.set_montage("standard_1020", verbose="ERROR")
    sphere = mne.make_sphere_model(sensors.CENTRE, sensors.HEAD_RADIUS, info=info, verbose="ERROR")
    positions, directions = dipoles
    dipole = mne.Dipole([0.0], positions[:1], [1.0], directions[:1], [1.0])
    gain = mne.make_forward_dipole(dipole, sphere, info, verbose="ERROR")[0]["sol"]["data"][:, 0]
    assert sensors.lead_field("eeg", *dipoles)[:, 0] == pytest.approx(gain[:32] - gain[32:].mean(), abs=1e-6)


def test_sensor_noise_has_the_units_of_the_sensors():
    _, kinds = meg_places()
    noise = sensors.sensor_noise("meg")
    assert noise[kinds == "mag"] == pytest.approx(20e-15)
    assert noise[kinds == "grad"] == pytest.approx(5e-13)
    assert sensors.sensor_noise("eeg") == pytest.approx(np.full(32, 2e-7))


def test_random_places_are_spread_over_the_upper_head():
    positions = sensors.random_positions(400, depth=(0.03, 0.075), rng=np.random.default_rng(0)) - sensors.CENTRE
    depth = np.linalg.norm(positions, axis=1)
    assert 0.03 <= depth.min() < 0.035
    assert 0.07 < depth.max() <= 0.075
    assert (positions[:, 2] > -0.3 * 0.075).all()
    assert np.abs(positions[:, :2].mean(axis=0)).max() < 0.006
