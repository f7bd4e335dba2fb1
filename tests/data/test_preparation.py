"""What is done to the channels of a run: each step as mne does it on the same data, in the order that is told."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from brainalign.data import bids, from_raw
from brainalign.data._preparation import Preparation, gaps_of, prepare_raw
from brainalign.data._resampling import resample
from brainalign.errors import Misaligned, MissingData, UnknownName

tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))

EEG = ("Fz", "Cz", "Pz", "Oz", "TP9", "TP10")
EVENTS = pd.DataFrame({"onset": [0.5, 1.25], "duration": 0.3, "word": ["once", "null"]})


def eeg(seed=0, *, names=EEG, types=None, n_samples=1000, first_samp=0):
    types = types or ("eeg",) * len(names)
    return tree.make_raw(seed, n_samples=n_samples, channels=names, types=types, first_samp=first_samp)


def meg_with_projectors(seed=0, n_samples=600):
    """Six magnetometers and three electrodes, a projector of each kind, of which none is applied."""
    names = [f"MEG 0{i}1" for i in range(11, 17)] + ["Fz", "Cz", "Pz"]
    raw = eeg(seed, names=names, types=("mag",) * 6 + ("eeg",) * 3, n_samples=n_samples)
    vector = np.random.default_rng(1).standard_normal((1, 6))
    data = {"nrow": 1, "ncol": 6, "row_names": None, "col_names": names[:6], "data": vector / np.linalg.norm(vector)}
    raw.add_proj(mne.Projection(active=False, kind=1, desc="planar-room", data=data), verbose="ERROR")
    return raw


def prepared(raw, **settings):
    return prepare_raw(raw, "here", Preparation(**settings))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_without_settings_nothing_is_done_to_the_values():
    raw = meg_with_projectors()
    before = raw.copy()
    done = prepared(raw)
    np.testing.assert_array_equal(done.raw.get_data(), raw.get_data())
    assert done.raw.info["projs"] == []
    assert raw.get_data().tobytes() == before.get_data().tobytes()
    assert len(raw.info["projs"]) == 1


def test_the_average_reference_is_that_of_the_good_electrodes():
    raw = eeg()
    raw.info["bads"] = ["Cz"]
    raw._data[3] = 0.0  # Oz is constant
    raw._data[1] *= 1e6
    done = prepared(raw, reference="average")
    kept = ["Fz", "Pz", "TP9", "TP10"]
    assert done.raw.ch_names == kept
    assert done.unusable == {"Cz": "marked as bad", "Oz": "constant"}
    expected = raw.copy().pick(kept).set_eeg_reference("average", projection=False, verbose="ERROR")
    close(done.raw.get_data(), expected.get_data())
    assert abs(done.raw.get_data().mean(axis=0)).max() < 1e-20


@pytest.mark.parametrize("active", [False, True])
def test_the_average_reference_of_a_file_that_has_its_projector(active):
    raw = eeg()
    raw.set_eeg_reference("average", projection=True, verbose="ERROR")
    if active:
        raw.apply_proj(verbose="ERROR")
    raw.info["bads"] = ["Cz"]
    expected = raw.get_data(["Fz", "Pz", "Oz", "TP9", "TP10"])
    close(prepared(raw, reference="average").raw.get_data(), expected - expected.mean(axis=0))
    with_projectors = prepared(raw, projectors=True).raw.get_data()
    close(with_projectors, expected if active else expected - expected.mean(axis=0))


def test_a_named_reference_leaves_only_the_electrodes():
    names, types = (*EEG, "EOG", "MEG 0111"), ("eeg",) * 6 + ("eog", "mag")
    tree.UNITS["eog"] = 1e-6
    raw = eeg(names=names, types=types)
    done = prepared(raw, picks=("eeg",), reference=("TP9", "TP10"))
    expected = mne.set_eeg_reference(raw.copy(), ["TP9", "TP10"], verbose="ERROR")[0].get_data(list(EEG))
    close(done.raw.get_data(), expected)
    one = prepared(raw, picks=("eeg",), reference=("TP9",))
    assert one.raw.ch_names == ["Fz", "Cz", "Pz", "Oz", "TP10"]
    assert one.unusable == {"TP9": "the reference"}
    close(one.raw.get_data(), raw.get_data(one.raw.ch_names) - raw.get_data(["TP9"]))
    nose = prepared(raw, picks=("eeg",), reference=("EOG",))
    assert nose.raw.ch_names == list(EEG)
    close(nose.raw.get_data(), raw.get_data(list(EEG)) - raw.get_data(["EOG"]))
    both = prepared(raw, picks=("eeg", "mag"), reference="average")
    close(both.raw.get_data(["MEG 0111"]), raw.get_data(["MEG 0111"]))


def test_the_electrode_of_the_recording_may_be_part_of_the_reference():
    raw = eeg()
    raw._data[5] = 0.0  # TP10, against which was recorded
    done = prepared(raw, reference=("TP9", "TP10"))
    assert done.raw.ch_names == list(EEG)
    close(done.raw.get_data(), raw.get_data() - raw.get_data(["TP9"]) / 2)


def test_electrodes_in_the_brain_are_averaged_by_type():
    names, types = ("A1", "A2", "A3", "G1", "G2"), ("seeg",) * 3 + ("ecog",) * 2
    tree.UNITS.update(seeg=1e-5, ecog=1e-4)
    raw = eeg(names=names, types=types)
    data = raw.get_data()
    expected = np.concatenate([data[:3] - data[:3].mean(axis=0), data[3:] - data[3:].mean(axis=0)])
    close(prepared(raw, reference="average").raw.get_data(), expected)


@pytest.mark.parametrize(
    ("settings", "error", "what"),
    [
        ({"reference": ("M1",)}, UnknownName, "reference channel of here.*'M1'"),
        ({"reference": ("Cz",)}, Misaligned, "a reference must be usable, got {'Cz': 'marked as bad'}"),
        ({"projectors": True}, MissingData, "no projectors to apply"),
        ({"notch": (50.0,)}, Misaligned, r"cannot take \[50.0\] Hz out of.*half of it is 50 Hz"),
        ({"notch": (20.0, 80.0)}, Misaligned, r"cannot take \[80.0\] Hz"),
        ({"picks": ("mag",)}, UnknownName, "'mag'"),
    ],
)
def test_what_cannot_be_done_is_refused(settings, error, what):
    raw = eeg()
    raw.info["bads"] = ["Cz"]
    with pytest.raises(error, match=what):
        prepared(raw, **settings)


def test_sensors_have_no_reference():
    with pytest.raises(MissingData, match="no electrodes among the channels chosen"):
        prepared(meg_with_projectors(), picks=("mag",), reference="average")


def test_projectors_are_applied_when_asked_for():
    raw = meg_with_projectors()
    done = prepared(raw, projectors=True)
    close(done.raw.get_data(), raw.copy().apply_proj(verbose="ERROR").get_data())
    assert np.abs(done.raw.get_data() - raw.get_data()).max() > 0.1 * raw.get_data()[:6].std()
    assert all(projector["active"] for projector in done.raw.info["projs"])


def test_projectors_that_were_applied_stay_applied():
    raw = meg_with_projectors().apply_proj(verbose="ERROR")
    for projectors in (False, True):
        done = prepared(raw, projectors=projectors)
        close(done.raw.get_data(), raw.get_data())
        assert len(done.raw.info["projs"]) == 1


def test_a_reference_does_not_apply_the_projectors():
    raw = meg_with_projectors()
    done = prepared(raw, reference="average").raw
    close(done.get_data("mag"), raw.get_data("mag"))
    close(done.get_data("eeg"), raw.get_data("eeg") - raw.get_data("eeg").mean(axis=0))


def test_all_steps_in_the_order_that_is_told():
    raw = meg_with_projectors(n_samples=2000)
    settings = {"projectors": True, "reference": "average", "notch": (12.5, 25.0), "l_freq": 1.0, "h_freq": 40.0}
    direct = raw.copy().apply_proj(verbose="ERROR")
    direct.set_eeg_reference("average", projection=False, verbose="ERROR")
    direct.notch_filter((12.5, 25.0), picks="all", verbose="ERROR").filter(1.0, 40.0, picks="all", verbose="ERROR")
    resample(direct, 80.0)
    done = prepared(raw, **settings, sfreq=80.0)
    np.testing.assert_allclose(
        done.raw.get_data("mag"), direct.get_data("mag"), atol=1e-6 * direct.get_data("mag").std(), rtol=0
    )
    np.testing.assert_allclose(
        done.raw.get_data("eeg"), direct.get_data("eeg"), atol=1e-6 * direct.get_data("eeg").std(), rtol=0
    )
    told = Preparation(**settings, sfreq=80.0).steps
    places = [next(i for i, step in enumerate(told) if word in step) for word in (
        "projectors of the file applied", "referenced to the mean of all usable", "notch-filtered at 12.5, 25 Hz",
        "filtered, 1 to 40 Hz", "resampled to 80 Hz",
    )]  # fmt: skip
    assert places == sorted(places) == list(range(5))


def test_a_notch_takes_out_its_frequency_and_no_other():
    n = 4000
    time = np.arange(n) / tree.SFREQ
    raw = eeg(n_samples=n)
    raw._data += 1e-5 * np.sin(2 * np.pi * 20 * time)
    power = [np.abs(np.fft.rfft(r.get_data(), axis=1)) ** 2 for r in (raw, prepared(raw, notch=(20.0,)).raw)]
    hertz = np.fft.rfftfreq(n, 1 / tree.SFREQ)
    line = np.argmin(abs(hertz - 20))
    assert (power[1][:, line] / power[0][:, line]).max() < 1e-3
    kept = abs(hertz - 20) > 2
    assert power[1][:, kept].sum() == pytest.approx(power[0][:, kept].sum(), rel=0.05)


def with_a_gap(raw, first, stop):
    raw._data[:, first:stop] = 0
    seconds = first / tree.SFREQ, (stop - first) / tree.SFREQ
    raw.set_annotations(mne.Annotations(*seconds, "BAD_ACQ_SKIP"))
    return raw


@pytest.mark.parametrize("first_samp", [0, 730])
@pytest.mark.parametrize("settings", [{"l_freq": 1.0, "h_freq": 20.0}, {"notch": (20.0,)}])
def test_filters_do_not_cross_gaps_in_the_acquisition(settings, first_samp):
    raw = eeg(n_samples=2000, first_samp=first_samp)
    raw._data += 1e-4
    with_a_gap(raw, 900, 1000)
    done = prepared(raw, **settings).raw.get_data()
    for part in (slice(0, 900), slice(1000, 2000)):
        alone = mne.io.RawArray(raw.get_data()[:, part], raw.info, verbose="ERROR")
        close(done[:, part], prepared(alone, **settings).raw.get_data())
    crossing = raw.copy().set_annotations(None)
    assert np.abs(prepared(crossing, **settings).raw.get_data() - done)[:, 850:900].max() > 1e-7


@pytest.mark.parametrize(("first", "stop"), [(900, 1000), (0, 200), (1800, 2000)])
@pytest.mark.parametrize("first_samp", [0, 730])
def test_resampling_does_not_ring_at_gaps_in_the_acquisition(first, stop, first_samp):
    raw = eeg(n_samples=2000, first_samp=first_samp)
    raw._data = 1e-4 + 1e-7 * raw._data / 1e-6
    with_a_gap(raw, first, stop)
    assert gaps_of(raw) == [(first, stop)]
    done = prepared(raw, sfreq=50.0).raw
    recorded = np.ones(1000, dtype=bool)
    recorded[first // 2 : stop // 2] = False
    assert np.abs(done.get_data()[:, recorded] - 1e-4).max() < 1e-6
    ringing = raw.copy().resample(50.0, verbose="ERROR").get_data()
    assert np.abs(ringing[:, recorded] - 1e-4).max() > 2e-6


def test_objects_take_the_same_settings():
    raw = eeg()
    recording = from_raw(raw, EVENTS, reference="average", notch=(20.0,), h_freq=30.0)
    done = prepared(raw, reference="average", notch=(20.0,), h_freq=30.0).raw.get_data()
    np.testing.assert_array_equal(recording.responses.values, done.T.astype(np.float32))
    assert (
        recording.responses.provenance["processing"][1] == "referenced to the mean of all usable electrodes of a type"
    )


@pytest.fixture
def root(tmp_path):
    tree.write_people(tmp_path, ["01"])
    return tmp_path


def load(root, **settings):
    return bids.load(bids.Config(root=str(root), datatype="meg", **settings), None)


def test_a_folder_takes_the_same_settings_run_by_run(root):
    raws = {run: meg_with_projectors(int(run), n_samples=800) for run in "12"}
    for run, raw in raws.items():
        tree.write_meg(root, raw, run=run)
    settings = {"picks": ("mag", "eeg"), "projectors": True, "reference": "average", "notch": (20.0,), "l_freq": 1.0}
    responses = load(root, **settings).responses
    for i, raw in enumerate(raws.values()):
        done = prepared(raw, **settings).raw.get_data()
        np.testing.assert_allclose(
            responses.values[800 * i : 800 * (i + 1)].T, done, rtol=1e-4, atol=1e-5 * np.abs(done[6:]).max()
        )
        np.testing.assert_allclose(responses.values[800 * i : 800 * (i + 1), :6].T, done[:6], rtol=1e-4, atol=1e-19)
    assert responses.provenance["processing"] == Preparation(**settings).steps
    assert responses.provenance["config"]["notch"] == [20.0]


def test_filters_do_not_cross_the_joints_of_a_file(root):
    """Mne-bids replaces the annotations of the file by events.tsv; joints must not get lost by that."""
    parts = [eeg(i, names=tree.CHANNELS[:3], types=tree.TYPES[:3], n_samples=900) for i in range(2)]
    for i, part in enumerate(parts):
        part._data += i * 1e-11
    joined = mne.concatenate_raws([part.copy() for part in parts], verbose="ERROR")
    tree.write_meg(root, joined)
    responses = load(root, h_freq=10.0).responses
    for i, part in enumerate(parts):
        done = prepared(part, h_freq=10.0).raw.get_data()
        of_part = responses.values[900 * i : 900 * (i + 1)].T
        np.testing.assert_allclose(of_part, done, rtol=1e-4, atol=1e-5 * np.abs(done[0]).max())
    np.testing.assert_array_equal(np.flatnonzero(responses.rows["bad"]), [900])


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"reference": "avg"}, "average"),
        ({"notch": (0.0,)}, "greater than 0"),
        ({"datatype": "func", "notch": (50.0,)}, r"\['notch'\] have no meaning with datatype = 'func'"),
        ({"datatype": "func", "projectors": True}, r"\['projectors'\] have no meaning"),
    ],
)
def test_settings_that_have_no_meaning_are_refused(settings, what):
    with pytest.raises(ValidationError, match=what):
        bids.Config(**({"root": "x", "datatype": "eeg"} | settings))
