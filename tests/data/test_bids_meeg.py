"""MEG and EEG of BIDS folders: the numbers of the file, its channels by name, its bad spans, its faults by number."""

import logging
import runpy
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pytest

from brainalign.data import bids
from brainalign.data._resampling import resample
from brainalign.errors import Misaligned, MissingData, UnknownName

tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))


def config(root, datatype="meg", **settings):
    return bids.Config(root=str(root), datatype=datatype, **settings)


def load(root, datatype="meg", **settings):
    return bids.load(config(root, datatype, **settings), None)


@pytest.fixture
def root(tmp_path):
    tree.write_people(tmp_path, ["01"])
    return tmp_path


def test_fif_is_read_number_by_number(root):
    raw = tree.make_raw()
    tree.write_meg(root, raw)
    recording = load(root)
    responses = recording.responses
    assert responses.values.dtype == np.float32
    np.testing.assert_allclose(responses.values, raw.get_data()[:3].T, rtol=1e-6)
    assert responses.columns["target"].tolist() == list(tree.CHANNELS[:3])
    assert responses.columns["channel_type"].tolist() == list(tree.TYPES[:3])
    assert set(responses.columns["subject"]) == {"01"}
    assert set(responses.rows["run"]) == {"task-story_run-1"}
    np.testing.assert_allclose(responses.rows["time"], np.arange(400) / tree.SFREQ)
    assert set(responses.rows["duration"]) == {1 / tree.SFREQ}
    assert "bad" not in responses.rows
    assert recording.events["word"].tolist() == [word for _, word in tree.WORDS]
    assert recording.events["onset"].tolist() == [0.5, 1.25, 2.0]
    assert recording.participants.to_dict("records") == [{"subject": "01", "age": 20}]


def test_the_provenance_says_what_was_read_and_done(root):
    path = tree.write_meg(root, tree.make_raw())
    provenance = load(root, l_freq=1.0, h_freq=20.0, sfreq=50.0).responses.provenance
    assert set(provenance["files"]) >= {
        "sub-01/meg/sub-01_task-story_run-1_meg.fif",
        "sub-01/meg/sub-01_task-story_run-1_events.tsv",
        "sub-01/meg/sub-01_task-story_run-1_channels.tsv",
        "sub-01/meg/sub-01_task-story_run-1_meg.json",
    }
    assert "1 to 20 Hz" in provenance["processing"][1]
    assert "50 Hz" in provenance["processing"][2]
    before = provenance["files"]["sub-01/meg/sub-01_task-story_run-1_meg.fif"]
    tree.make_raw(1).save(path, fmt="double", overwrite=True, verbose="ERROR")
    assert load(root).responses.provenance["files"]["sub-01/meg/sub-01_task-story_run-1_meg.fif"] != before


def test_the_first_sample_of_a_cropped_recording_is_at_zero(root):
    raw = tree.make_raw(first_samp=1234)
    tree.write_meg(root, raw)
    responses = load(root).responses
    assert responses.rows["time"].iloc[0] == 0
    np.testing.assert_allclose(responses.values, raw.get_data()[:3].T, rtol=1e-6)


def test_each_run_is_filtered_and_resampled_by_itself(root):
    raws = {"1": tree.make_raw(1, n_samples=1000), "2": tree.make_raw(2, n_samples=800)}
    for run, raw in raws.items():
        tree.write_meg(root, raw, run=run)
    responses = load(root, picks=("mag",), l_freq=2.0, h_freq=20.0, sfreq=50.0).responses
    for run, raw in raws.items():
        direct = resample(raw.copy().pick(["MEG 0111"]).filter(2.0, 20.0, verbose="ERROR"), 50.0)
        of_run = (responses.rows["run"] == f"task-story_run-{run}").to_numpy()
        np.testing.assert_allclose(responses.values[of_run], direct.get_data().T, rtol=1e-5, atol=1e-20)
        assert responses.rows["time"][of_run].iloc[-1] == pytest.approx((of_run.sum() - 1) / 50)
    before = responses.values[(responses.rows["run"] == "task-story_run-1").to_numpy()]
    tree.write_meg(root, tree.make_raw(3, n_samples=800), run="2")
    after = load(root, picks=("mag",), l_freq=2.0, h_freq=20.0, sfreq=50.0).responses.values[: len(before)]
    np.testing.assert_array_equal(before, after)


def test_runs_sessions_and_tasks_are_chosen(root):
    for i, (task, run) in enumerate((("story", "1"), ("story", "02"), ("story", "10"), ("rest", "1"))):
        tree.write_meg(root, tree.make_raw(i), task=task, run=run)
    runs = lambda **settings: list(dict.fromkeys(load(root, **settings).responses.rows["run"]))  # noqa: E731
    assert runs() == ["task-rest_run-1", "task-story_run-1", "task-story_run-02", "task-story_run-10"]
    assert runs(tasks=("story",), runs=("2", "10")) == ["task-story_run-02", "task-story_run-10"]
    with pytest.raises(MissingData, match=r"subject 01: no file matches .*task-tale.*there are sub-01_task-rest"):
        runs(tasks=("tale",))


def test_brainvision_is_read_in_volt(root):
    import mne_bids

    raw = tree.make_raw(channels=("Fz", "Cz", "Pz"), types=("eeg",) * 3)
    raw.info["line_freq"] = 50
    path = mne_bids.BIDSPath(subject="01", task="story", datatype="eeg", root=root)
    mne_bids.write_raw_bids(raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="ERROR")
    tree.write_events(root / "sub-01" / "eeg" / "sub-01_task-story")
    responses = load(root, "eeg").responses
    np.testing.assert_allclose(responses.values, raw.get_data().T, rtol=1e-4, atol=1e-10)
    assert set(responses.columns["channel_type"]) == {"eeg"}
    assert {"sub-01/eeg/sub-01_task-story_eeg.eeg", "sub-01/eeg/sub-01_task-story_eeg.vmrk"} <= set(
        responses.provenance["files"]
    )


def write_edf(path, values, names, sfreq):
    """Write int16 samples as EDF, one record per second, in microvolt per bit."""
    n_channels, n_samples = values.shape
    n_records = n_samples // sfreq
    fixed = "0", "X X X X", "Startdate X X X X", "01.01.24", "00.00.00", str(256 * (n_channels + 1)), "", str(n_records)
    widths = 8, 80, 80, 8, 8, 8, 44, 8
    header = "".join(text.ljust(width) for text, width in zip(fixed, widths, strict=True))
    header += "1".ljust(8) + str(n_channels).ljust(4)
    for width, texts in (
        (16, names),
        (80, [""] * n_channels),
        (8, ["uV"] * n_channels),
        (8, ["-32768"] * n_channels),
        (8, ["32767"] * n_channels),
        (8, ["-32768"] * n_channels),
        (8, ["32767"] * n_channels),
        (80, [""] * n_channels),
        (8, [str(sfreq)] * n_channels),
        (32, [""] * n_channels),
    ):
        header += "".join(text.ljust(width) for text in texts)
    records = values.reshape(n_channels, n_records, sfreq).transpose(1, 0, 2).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode("ascii") + records.tobytes())


@pytest.fixture
def edf(root):
    values = np.random.default_rng(0).integers(-500, 500, (2, 400))
    path = root / "sub-01" / "eeg" / "sub-01_task-story_eeg.edf"
    write_edf(path, values, ("Fz", "Cz"), 100)
    stem = path.with_name("sub-01_task-story")
    tree.write_tsv(
        stem.with_name(f"{stem.name}_channels.tsv"),
        ("name", "type", "units", "status"),
        [("Fz", "EEG", "uV", "good"), ("Cz", "EEG", "uV", "good")],
    )
    tree.write_events(stem)
    return path, values


def test_edf_is_read_in_volt(root, edf):
    np.testing.assert_allclose(load(root, "eeg").responses.values, 1e-6 * edf[1].T, rtol=1e-5)


def test_fault_44_a_channel_that_is_not_finite_is_left_out_by_name(root):
    raw = tree.make_raw()
    raw._data[1, 50] = np.nan
    tree.write_meg(root, raw)
    responses = load(root).responses
    assert responses.columns["target"].tolist() == ["MEG 0111", "MEG 0113"]
    assert responses.provenance["subjects"]["01"]["runs"]["task-story_run-1"]["left_out"] == {"MEG 0112": "not finite"}


def test_fault_45_a_constant_channel_is_left_out_by_name(root):
    raw = tree.make_raw()
    raw._data[0] = 3e-12
    tree.write_meg(root, raw)
    responses = load(root, l_freq=1.0).responses
    assert responses.columns["target"].tolist() == ["MEG 0112", "MEG 0113"]
    assert responses.provenance["subjects"]["01"]["runs"]["task-story_run-1"]["left_out"] == {"MEG 0111": "constant"}


def test_fault_46_a_run_without_a_signal_is_refused(root):
    raw = tree.make_raw()
    tree.write_meg(root, raw)
    raw._data[:3] = 0
    tree.write_meg(root, raw, run="2")
    with pytest.raises(MissingData, match=r"run-2_meg.fif: none of the 3 channels is usable \(constant\)"):
        load(root, unusable="leave_out")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_fault_51_a_fif_that_is_cut_is_named(root, share):
    path = tree.write_meg(root, tree.make_raw())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(
        MissingData, match=r"sub-01_task-story_run-1_meg.fif: (empty, a stub|cannot be read|cut or damaged)"
    ):
        load(root)


def test_fault_51_a_recording_that_reads_as_a_shorter_one_is_found_by_its_sidecar(root, edf):
    path, _ = edf
    sidecar = path.with_name("sub-01_task-story_eeg.json")
    sidecar.write_text('{"RecordingDuration": 4.0}')
    assert len(load(root, "eeg").responses.values) == 400
    content = path.read_bytes()
    path.write_bytes(content[:236] + b"2".ljust(8) + content[244 : -2 * 2 * 100 * 2])
    with pytest.raises(MissingData, match=r"2 s are in the file, RecordingDuration of its sidecar is 4 s"):
        load(root, "eeg")


@pytest.mark.parametrize("table", ["in the order of the recording", "in the order of the other run"])
@pytest.mark.parametrize("bads", [(), ("MEG 0112",)])
def test_fault_54_channels_go_by_name_in_any_order(root, table, bads):
    raw = tree.make_raw(1)
    tree.write_meg(root, raw, run="1", bads=bads)
    other = tree.make_raw(2)
    path = tree.write_meg(root, other.copy().reorder_channels(list(reversed(tree.CHANNELS))), run="2", bads=bads)
    if table == "in the order of the other run":
        shutil.copy(
            path.with_name("sub-01_task-story_run-1_channels.tsv"),
            path.with_name("sub-01_task-story_run-2_channels.tsv"),
        )
    responses = load(root).responses
    kept = [name for name in tree.CHANNELS[:3] if name not in bads]
    assert responses.columns["target"].tolist() == kept
    np.testing.assert_allclose(responses.values[400:], other.get_data(picks=kept).T, rtol=1e-6)


def test_fault_54_channels_that_are_bad_or_missing_in_one_run_are_refused_or_left_out_and_counted(root, caplog):
    tree.write_meg(root, tree.make_raw(1), run="1", bads=("MEG 0111",))
    raw = tree.make_raw(2)
    tree.write_meg(root, raw.copy().drop_channels(["MEG 0112"]), run="2")
    with pytest.raises(Misaligned, match=r"2 channels are not usable in all runs: MEG 0111, MEG 0112") as error:
        load(root)
    assert "run-1: MEG 0111 marked as bad" in str(error.value)
    assert "run-2: MEG 0112 not recorded" in str(error.value)
    with caplog.at_level(logging.WARNING):
        responses = load(root, unusable="leave_out").responses
    assert responses.columns["target"].tolist() == ["MEG 0113"]
    np.testing.assert_allclose(responses.values[400:, 0], raw.get_data()[2], rtol=1e-6)
    assert "2 channels left out" in caplog.text
    runs = responses.provenance["subjects"]["01"]["runs"]
    assert runs["task-story_run-1"]["left_out"] == {
        "MEG 0111": "marked as bad",
        "MEG 0112": "not usable in all runs",
    }


def test_fault_54_a_channel_that_is_bad_in_all_runs_is_left_out(root):
    for run in "12":
        tree.write_meg(root, tree.make_raw(), run=run, bads=("MEG 0111",))
    assert load(root).responses.columns["target"].tolist() == ["MEG 0112", "MEG 0113"]


def test_fault_54_a_channel_table_of_another_recording_is_refused(root):
    path = tree.write_meg(root, tree.make_raw())
    table = path.with_name("sub-01_task-story_run-1_channels.tsv")
    table.write_text(table.read_text().replace("MEG 0111", "MEG 9999"))
    with pytest.raises(Misaligned, match=r"channels.tsv names other channels than the recording.*MEG (9999|0111)"):
        load(root)


def test_fault_55_runs_at_different_rates_are_refused_or_resampled(root):
    tree.write_meg(root, tree.make_raw(1), run="1")
    tree.write_meg(root, tree.make_raw(2, sfreq=200.0, n_samples=800), run="2")
    with pytest.raises(Misaligned, match=r"run-1 has 100 samples per second.*run-2 has 200; set `sfreq`"):
        load(root)
    rows = load(root, sfreq=100.0).responses.rows
    assert rows.groupby("run").size().tolist() == [400, 400]


@pytest.mark.parametrize("place", ["events.tsv", "file"])
@pytest.mark.parametrize("dated", ["nowhere", "in the file", "in scans.tsv"])
def test_fault_57_bad_spans_mark_samples_and_are_no_events(root, place, dated):
    raw = tree.make_raw(first_samp=500)
    if dated == "in the file":
        raw.set_meas_date(datetime(2020, 2, 3, tzinfo=UTC))
    if place == "file":
        raw.set_annotations(mne.Annotations([1.0], [0.5], ["BAD_blink"]))
    path = tree.write_meg(root, raw)
    if dated == "in scans.tsv":
        row = ("meg/sub-01_task-story_run-1_meg.fif", "2021-05-06T07:08:09.000000Z")
        tree.write_tsv(root / "sub-01" / "sub-01_scans.tsv", ("filename", "acq_time"), [row])
    if place == "events.tsv":
        table = path.with_name("sub-01_task-story_run-1_events.tsv")
        table.write_text(table.read_text() + "1.0\t0.5\tBAD_blink\tn/a\n")
    recording = load(root, sfreq=50.0)
    bad = recording.responses.rows["bad"].to_numpy()
    np.testing.assert_array_equal(np.flatnonzero(bad), np.arange(50, 75))
    assert recording.events["word"].tolist() == [word for _, word in tree.WORDS]
    assert recording.responses.provenance["subjects"]["01"]["runs"]["task-story_run-1"]["n_bad_samples"] == 25


def test_fault_57_a_recording_that_is_all_bad_is_refused(root):
    raw = tree.make_raw()
    raw.set_annotations(mne.Annotations([0.0], [4.0], ["bad"]))
    tree.write_meg(root, raw)
    with pytest.raises(MissingData, match=r"every sample lies in a span that is marked as bad"):
        load(root)


def test_fault_59_people_without_the_recording_are_named(root, caplog):
    tree.write_people(root, ["01", "02", "03"])
    tree.write_meg(root, tree.make_raw())
    tree.write_meg(root, tree.make_raw(), subject="02", task="rest")
    with pytest.raises(MissingData) as error:
        load(root, tasks=("story",))
    assert "subject 02: no file matches" in str(error.value)
    assert "subject 03: no file matches" in str(error.value)
    assert "absent = 'skip' leaves them out" in str(error.value)
    with caplog.at_level(logging.WARNING):
        recording = load(root, tasks=("story",), absent="skip")
    assert set(recording.responses.columns["subject"]) == {"01"}
    assert recording.responses.provenance["skipped"] == ["02", "03"]
    assert "left out: subject 03" in caplog.text
    assert recording.participants["subject"].tolist() == ["01"]
    with pytest.raises(UnknownName, match=r"'04'.*known: 01, 02, 03"):
        load(root, subjects=("04",))


def test_fault_60_two_files_for_one_run_are_both_listed(root):
    tree.write_meg(root, tree.make_raw(), run="1")
    tree.write_meg(root, tree.make_raw(), run="01")
    with pytest.raises(MissingData, match=r"2 files match one run") as error:
        load(root)
    assert "sub-01_task-story_run-1_meg.fif" in str(error.value)
    assert "sub-01_task-story_run-01_meg.fif" in str(error.value)
    assert any("2 files match one run" in problem for problem in bids.check(config(root), None))


@pytest.mark.parametrize(
    ("fault", "words", "error", "what"),
    [
        (62, (("0.5", "a"), ("0.5", "b")), Misaligned, "line 3: a second event with the same onset"),
        (
            63,
            (("0.5", "a"), ("1.5", "b"), ("4.0", "late")),
            Misaligned,
            "onset beyond the recording, which is 4 s long",
        ),
        (64, (("n/a", "a"),), Misaligned, "line 2: onset is missing"),
        (64, (("-1", "a"),), Misaligned, "line 2: onset is negative"),
        (65, (("500", "a"), ("1250", "b"), ("2000", "c")), Misaligned, "look like milliseconds"),
        (66, (("0,5", "a"),), Misaligned, "onset is not a number"),
    ],
)
def test_faults_62_to_66_of_events(root, fault, words, error, what):
    tree.write_meg(root, tree.make_raw(), words=words)
    with pytest.raises(error, match=rf"sub-01_task-story_run-1_events.tsv.*{what}"):
        load(root)


def test_fault_61_unsorted_events_are_sorted_aloud(root, caplog):
    tree.write_meg(root, tree.make_raw(), words=reversed(tree.WORDS))
    with caplog.at_level(logging.WARNING):
        events = load(root).events
    assert events["word"].tolist() == [word for _, word in tree.WORDS]
    assert caplog.text.count("not in order of time") == 1


def test_two_people_side_by_side_need_the_same_events_and_samples(root):
    tree.write_people(root, ["01", "02"])
    tree.write_meg(root, tree.make_raw(1))
    tree.write_meg(root, tree.make_raw(2), subject="02")
    recording = load(root)
    assert recording.responses.shape == (400, 6)
    assert recording.responses.columns["subject"].tolist() == ["01"] * 3 + ["02"] * 3
    assert set(recording.responses.provenance["subjects"]) == {"01", "02"}
    tree.write_meg(root, tree.make_raw(2, n_samples=401), subject="02")
    with pytest.raises(Misaligned, match=r"subject 02 has 401 samples in task-story_run-1, subject 01 has 400"):
        load(root)
    assert load(root, subjects=("02",)).responses.shape == (401, 3)


def test_channel_types_that_are_not_there_are_refused(root):
    tree.write_meg(root, tree.make_raw())
    assert load(root, picks=("eeg",)).responses.columns["target"].tolist() == ["EEG 001"]
    with pytest.raises(UnknownName, match=r"'magn'.*did you mean 'mag'"):
        load(root, picks=("magn",))


def test_a_band_that_the_sampling_rate_does_not_hold_is_refused(root):
    tree.write_meg(root, tree.make_raw())
    with pytest.raises(Misaligned, match=r"cannot pass None to 80.0 Hz.*half of it is 50 Hz"):
        load(root, h_freq=80.0)


def test_positions_are_in_head_coordinates(root):
    raw = tree.make_raw()
    shift = mne.transforms.Transform("meg", "head", mne.transforms.translation(0, 0, 0.04))
    with raw.info._unlock():
        raw.info["dev_head_t"] = shift
    raw.info["chs"][0]["loc"][:3] = (0.01, 0.02, 0.03)
    tree.write_meg(root, raw)
    columns = load(root).responses.columns
    np.testing.assert_allclose(columns.loc[0, ["x", "y", "z"]].astype(float), (0.01, 0.02, 0.07), atol=1e-6)
    assert columns.loc[1, ["x", "y", "z"]].isna().all()


def test_a_recording_in_several_files_is_one_run(root):
    raw = tree.make_raw(n_samples=60_000, channels=tree.CHANNELS[:3], types=tree.TYPES[:3])
    tree.write_meg(root, raw)
    folder = root / "sub-01" / "meg"
    (folder / "sub-01_task-story_run-1_meg.fif").unlink()
    raw.save(
        folder / "sub-01_task-story_run-1_meg.fif", split_size="2MB", split_naming="bids", fmt="double", verbose="ERROR"
    )
    assert len(list(folder.glob("*_split-*_meg.fif"))) == 2
    np.testing.assert_allclose(load(root).responses.values, raw.get_data().T, rtol=1e-6)


def test_a_real_recording_in_eeglab_format(root, data_dir):
    source = data_dir / "eeglab_sample" / "test_raw.set"
    if not source.is_file():
        pytest.skip(f"no real EEG at {source}")
    folder = root / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    shutil.copy(source, folder / "sub-01_task-attention_eeg.set")
    shutil.copy(source.with_suffix(".fdt"), folder)
    raw = mne.io.read_raw_eeglab(source, verbose="ERROR")
    rows = [(span["onset"], 0.1, span["description"]) for span in raw.annotations]
    stem = folder / "sub-01_task-attention"
    tree.write_tsv(
        stem.with_name(f"{stem.name}_events.tsv"), ("onset", "duration", "trial_type"), [*rows, ("n/a",) * 3]
    )
    recording = load(root, "eeg", keep={"trial_type": ("square",)})
    assert recording.responses.shape == (30504, 32)
    np.testing.assert_allclose(recording.responses.values, raw.get_data(verbose="ERROR").T, rtol=1e-6)
    assert len(recording.events) == 80
    assert any(name.endswith("test_raw.fdt") for name in recording.responses.provenance["files"])
