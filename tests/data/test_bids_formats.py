"""Formats of M/EEG in BIDS folders: BDF, EDF, iEEG by value; CTF, KIT and others by the error of a broken file."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import mne
import mne_bids
import numpy as np
import pytest

from brainalign.align.epochs import to_epochs
from brainalign.data import bids
from brainalign.errors import MissingData

tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))

POINTER = b"/annex/objects/MD5E-s22840320--0123456789abcdef0123456789abcdef.fif\n"


def config(root, datatype, **settings):
    return bids.Config(root=str(root), datatype=datatype, **settings)


@pytest.fixture
def root(tmp_path):
    tree.write_people(tmp_path, ["01"])
    tree.write_description(tmp_path)
    return tmp_path


def write_sidecars(path, names, kind):
    stem = path.with_name("sub-01_task-story")
    rows = [(name, kind, "uV", "good") for name in names]
    tree.write_tsv(stem.with_name(f"{stem.name}_channels.tsv"), ("name", "type", "units", "status"), rows)
    tree.write_events(stem)


def write_bdf(path, values, names, sfreq):
    """Write integers as BDF: 24 bit, low byte first, one record per second, a quarter of a microvolt per bit."""
    n_channels, n_samples = values.shape
    n_records = n_samples // sfreq
    low, high = -(2**23), 2**23 - 1
    head = b"\xffBIOSEMI"
    fixed = "X", "X", "01.01.24", "00.00.00", str(256 * (n_channels + 1)), "24BIT", str(n_records), "1", str(n_channels)
    head += "".join(t.ljust(w) for t, w in zip(fixed, (80, 80, 8, 8, 8, 44, 8, 8, 4), strict=True)).encode()
    for width, texts in (
        (16, names), (80, ["active electrode"] * n_channels), (8, ["uV"] * n_channels),
        (8, [str(low // 4)] * n_channels), (8, [str(high // 4)] * n_channels), (8, [str(low)] * n_channels),
        (8, [str(high)] * n_channels), (80, [""] * n_channels), (8, [str(sfreq)] * n_channels), (32, [""] * n_channels),
    ):  # fmt: skip
        head += "".join(text.ljust(width) for text in texts).encode()
    records = values.reshape(n_channels, n_records, sfreq).transpose(1, 0, 2)
    bytes_of = records.astype("<i4")[..., None].view(np.uint8)[..., :3]  # (n_records, n_channels, sfreq, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + bytes_of.tobytes())


def test_bdf_is_read_in_volt(root):
    values = np.random.default_rng(0).integers(-400_000, 400_000, (2, 400))  # beyond 16 bit
    path = root / "sub-01" / "eeg" / "sub-01_task-story_eeg.bdf"
    write_bdf(path, values, ("Fz", "Cz"), 100)
    write_sidecars(path, ("Fz", "Cz"), "EEG")
    assert bids.check(config(root, "eeg"), None) == []
    responses = bids.load(config(root, "eeg"), None).responses
    np.testing.assert_allclose(responses.values, 0.25e-6 * values.T, rtol=1e-5, atol=1e-6)
    assert np.abs(responses.values - 0.25e-6 * values.T).max() < 1e-6
    assert responses.provenance["files"].keys() >= {"sub-01/eeg/sub-01_task-story_eeg.bdf"}


@pytest.mark.parametrize("kind", ["seeg", "ecog"])
def test_ieeg_is_read_in_volt_and_referenced(root, kind):
    tree.UNITS.update(seeg=1e-5, ecog=1e-4)
    names = ("A1", "A2", "A3")
    raw = tree.make_raw(channels=names, types=(kind,) * 3)
    raw.info["line_freq"] = 50
    path = mne_bids.BIDSPath(subject="01", task="story", datatype="ieeg", root=root)
    mne_bids.write_raw_bids(raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="ERROR")
    tree.write_events(root / "sub-01" / "ieeg" / "sub-01_task-story")
    assert bids.check(config(root, "ieeg", picks=(kind,)), None) == []
    responses = bids.load(config(root, "ieeg", picks=(kind,)), None).responses
    np.testing.assert_allclose(responses.values, raw.get_data().T, rtol=1e-4, atol=1e-8)
    assert set(responses.columns["channel_type"]) == {kind}
    assert responses.columns["target"].tolist() == list(names)
    averaged = bids.load(config(root, "ieeg", reference="average"), None).responses
    expected = raw.get_data() - raw.get_data().mean(axis=0)
    np.testing.assert_allclose(averaged.values, expected.T, atol=1e-3 * expected.std())


def write_brainvision(path, values, segments):
    """Write float32 microvolt as BrainVision, with a marker where each segment begins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = path.stem
    path.with_suffix(".eeg").write_bytes(values.T.astype("<f4").tobytes())
    marks = [f"Mk{i}=New Segment,,{first + 1},1,0,20240101000000000000" for i, first in enumerate(segments, start=1)]
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem}.eeg\n[Marker Infos]\n" + "\n".join(marks) + "\n"
    )
    channels = "\n".join(f"Ch{i + 1}=E{i + 1},,1,uV" for i in range(len(values)))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem}.eeg\nMarkerFile={stem}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels={len(values)}\nSamplingInterval=10000\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        f"[Channel Infos]\n{channels}\n"
    )


def test_filters_do_not_cross_the_segments_of_brainvision(root):
    values = np.random.default_rng(0).standard_normal((2, 2000))
    values[:, 1200:] += 500
    path = root / "sub-01" / "eeg" / "sub-01_task-story_eeg.vhdr"
    write_brainvision(path, values, (0, 1200))
    write_sidecars(path, ("E1", "E2"), "EEG")
    responses = bids.load(config(root, "eeg", h_freq=10.0), None).responses
    info = mne.create_info(["E1", "E2"], 100.0, "eeg")
    parts = [
        mne.io.RawArray(1e-6 * part.astype(np.float32), info, verbose="ERROR").filter(None, 10.0, verbose="ERROR")
        for part in (values[:, :1200], values[:, 1200:])
    ]
    expected = np.concatenate([part.get_data() for part in parts], axis=1).T
    np.testing.assert_allclose(responses.values, expected, atol=1e-9)
    np.testing.assert_array_equal(np.flatnonzero(responses.rows["bad"]), [1200])


BROKEN = {
    "meg.ds": ("meg", "folder"),
    "meg.sqd": ("meg", "file"),
    "meg.con": ("meg", "file"),
    "meg.fif": ("meg", "file"),
    "eeg.edf": ("eeg", "file"),
    "eeg.bdf": ("eeg", "file"),
    "eeg.set": ("eeg", "file"),
    "ieeg.edf": ("ieeg", "file"),
}


@pytest.mark.parametrize("content", [POINTER, b"stub", b"\0" * 5000], ids=["annex", "short", "zeros"])
@pytest.mark.parametrize("ending", BROKEN)
def test_fault_51_a_file_that_is_no_recording_is_named_before_and_while_loading(root, ending, content):
    datatype, kind = BROKEN[ending]
    path = root / "sub-01" / datatype / f"sub-01_task-story_{ending}"
    path.parent.mkdir(parents=True)
    if kind == "folder":
        path.mkdir()
        for extension in ("res4", "meg4"):
            (path / f"{path.stem}.{extension}").write_bytes(content)
    else:
        path.write_bytes(content)
    write_sidecars(path, ("A1",), "EEG")
    named = rf"sub-01_task-story_{ending}: (cannot be read|cut or damaged)"
    with pytest.raises(MissingData, match=named):
        bids.load(config(root, datatype), None)
    problems = bids.check(config(root, datatype), None)
    if ending == "eeg.set":  # its header is read with the recording
        assert problems == []
    else:
        assert len(problems) == 1
        assert path.name in problems[0]


@pytest.mark.parametrize("ending", ["meg.ds", "meg.sqd", "meg.fif", "eeg.edf", "eeg.bdf"])
def test_stubs_are_named_before_and_while_loading(root, ending):
    datatype = BROKEN[ending][0]
    path = root / "sub-01" / datatype / f"sub-01_task-story_{ending}"
    path.parent.mkdir(parents=True)
    if ending == "meg.ds":
        path.mkdir()
    else:
        path.write_bytes(b"")
    write_sidecars(path, ("A1",), "EEG")
    assert bids.check(config(root, datatype), None) == [
        f"{path}: empty, a stub without a recording; get the data set with its recordings"
    ]
    with pytest.raises(MissingData, match=rf"{ending}: empty, a stub"):
        bids.load(config(root, datatype), None)


def write_samples(root, drift, *, sfreq=100.0, n_samples=30_000):
    """A run of five minutes whose clock is faster than that of the stimuli."""
    onsets = np.arange(5.0, 290.0, 5.0)
    path = tree.write_meg(root, tree.make_raw(n_samples=n_samples), words=[(f"{t}", "w") for t in onsets])
    samples = np.rint(((1 + drift) * onsets + 0.2) * sfreq).astype(int)
    rows = [(t, 0.1, s) for t, s in zip(onsets, samples, strict=True)]
    tree.write_tsv(path.with_name("sub-01_task-story_run-1_events.tsv"), ("onset", "duration", "sample"), rows)


@pytest.mark.parametrize("drift", [0.0, 0.001, -0.001])
def test_fault_69_a_drift_between_the_clocks_is_told_in_ms_per_minute(root, drift, caplog):
    write_samples(root, drift)
    recording = bids.load(config(root, "meg"), None)
    clocks = recording.responses.provenance["subjects"]["01"]["clocks"]["task-story_run-1"]
    assert clocks["drift"] == pytest.approx(60_000 * drift, abs=1.0)
    assert clocks["offset"] == pytest.approx(0.2, abs=0.005)
    assert ("drift apart" in caplog.text) == (drift != 0)
    assert recording.events["onset"].tolist() == np.arange(5.0, 290.0, 5.0).tolist()


def test_fault_69_nothing_is_told_of_events_without_samples(root):
    tree.write_meg(root, tree.make_raw())
    assert "clocks" not in bids.load(config(root, "meg"), None).responses.provenance["subjects"]["01"]


def test_fault_70_events_between_samples_go_to_the_nearest_and_the_largest_error_is_told(root):
    tree.write_meg(root, tree.make_raw(), words=(("0.513", "a"), ("1.27", "b"), ("2.0", "c")))
    recording = bids.load(config(root, "meg", picks=("mag",), sfreq=25.0), None)  # a sample every 0.04 s
    epochs = to_epochs(recording.responses, recording.events, tmin=0.0, tmax=0.0)
    samples = [13, 32, 50]
    np.testing.assert_array_equal(epochs.responses.values[:, 0], recording.responses.values[samples, 0])
    told = epochs.responses.provenance["epochs"]["max_rounding_error"]
    assert told == pytest.approx(max(abs(0.513 - 0.52), abs(1.27 - 1.28)))
    assert told <= 0.02


def test_check_finds_a_recording_that_is_shorter_than_its_sidecar_says(root):
    tree.write_meg(root, tree.make_raw(n_samples=300), sidecar={"RecordingDuration": 30.0})
    [problem] = bids.check(config(root, "meg"), None)
    assert "3 s are in the file, RecordingDuration of its sidecar is 30 s" in problem
