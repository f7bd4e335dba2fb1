"""Whitening: noise gets the identity as its covariance on its rank, as mne does it, whatever sensors and rank."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from brainalign.data import bids, from_raw
from brainalign.data._whitening import (
    Noise,
    NoiseCovariance,
    covariance_of_baseline,
    covariance_of_recordings,
    whitening,
)
from brainalign.errors import Misaligned, MissingData

tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))

SFREQ = 100.0
TYPES = ("mag",) * 6 + ("grad",) * 10 + ("eeg",) * 5
NAMES = tuple(f"{kind.upper()} {i:03d}" for i, kind in enumerate(TYPES))
UNITS = {"mag": 1e-13, "grad": 2e-12, "eeg": 5e-6}
EVENTS = pd.DataFrame({"run": "1", "onset": np.arange(1.0, 39.0, 0.5), "duration": 0.3})


def mixing(seed=0):
    """Noise that magnetometers and gradiometers share, and noise that electrodes share, in their units."""
    rng = np.random.default_rng(seed)
    scale = np.array([UNITS[kind] for kind in TYPES])[:, None]
    mixed = scale * (np.eye(len(TYPES)) + 0.4 * rng.standard_normal((len(TYPES), len(TYPES))))
    mixed[:16, 16:] = mixed[16:, :16] = 0
    return mixed


def noise(seed=0, *, n_samples=4000, types=TYPES, names=NAMES, mixed=None):
    rng = np.random.default_rng(seed)
    values = (mixing() if mixed is None else mixed) @ rng.standard_normal((len(TYPES), n_samples))
    return mne.io.RawArray(values, mne.create_info(list(names), SFREQ, list(types)), verbose="ERROR")


def covariance_on_rank(values, n):
    """Give eigenvalues of the covariance, the largest first, of which n are to be 1 and the others 0."""
    found = np.sort(np.linalg.eigvalsh(np.cov(values.astype(float).T)))[::-1]
    return found[:n], found[n:]


def test_whitened_noise_is_white_over_all_types():
    raw = noise()
    cov = mne.compute_raw_covariance(raw, verbose="ERROR")
    recording = from_raw(raw, EVENTS, noise_cov=cov)
    values = recording.responses.values
    found = np.cov(values.astype(float).T)
    np.testing.assert_allclose(found[:16, :16], np.eye(16), atol=1e-4)
    np.testing.assert_allclose(found[16:, 16:], np.eye(5), atol=1e-4)
    assert abs(found[:16, 16:]).max() < 0.1
    assert recording.responses.columns["channel_type"].tolist() == list(TYPES)
    assert recording.responses.columns["target"].tolist() == list(NAMES)
    assert recording.responses.provenance["noise"]["rank"] == {"meg": 16, "eeg": 5}


def test_it_is_the_whitening_of_mne():
    raw, other = noise(), noise(3)
    cov = mne.compute_raw_covariance(other, verbose="ERROR")
    whitener = mne.cov.compute_whitener(cov, raw.info, picks="data", verbose="ERROR")[0]
    expected = whitener @ raw.get_data()
    np.testing.assert_allclose(from_raw(raw, EVENTS, noise_cov=cov).responses.values.T, expected, atol=1e-5)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_fault_43_units_do_not_change_what_is_whitened(unit):
    raw, rank = noise(), {"meg": 16, "eeg": 5}
    expected = from_raw(raw, EVENTS, noise_cov=mne.compute_raw_covariance(raw, verbose="ERROR")).responses.values
    raw._data *= unit
    known = NoiseCovariance(mne.compute_raw_covariance(raw, rank=rank, verbose="ERROR"), rank, {})
    np.testing.assert_allclose(whitening(known, raw.info).apply(raw), expected, atol=1e-5)


def test_fault_56_rank_deficient_data_stay_finite():
    """As after signal-space separation: 16 sensors that hold 7 dimensions, EEG against its mean."""
    rng = np.random.default_rng(5)
    few = mixing()
    few[:16, :16] = mixing()[:16, :7] @ rng.standard_normal((7, 16))
    few[16:] -= few[16:].mean(axis=0)
    raw = noise(mixed=few)
    cov = mne.compute_raw_covariance(raw, verbose="ERROR")
    recording = from_raw(raw, EVENTS, noise_cov=cov)
    values = recording.responses.values
    assert np.isfinite(values).all()
    assert recording.responses.provenance["noise"]["rank"] == {"meg": 7, "eeg": 4}
    ones, zeros = covariance_on_rank(values, 11)
    np.testing.assert_allclose(ones, 1, atol=0.1)
    assert abs(zeros).max() < 1e-6


def test_fault_56_projected_and_referenced_data_stay_finite():
    raw = noise()
    vector = np.ones((1, 6)) / np.sqrt(6)
    data = {"nrow": 1, "ncol": 6, "row_names": None, "col_names": list(NAMES[:6]), "data": vector}
    raw.add_proj(mne.Projection(active=False, kind=1, desc="room", data=data), verbose="ERROR")
    cov = mne.compute_raw_covariance(raw, verbose="ERROR")  # of what is not projected
    responses = from_raw(raw, EVENTS, projectors=True, reference="average", noise_cov=cov).responses
    assert responses.provenance["noise"]["rank"] == {"meg": 15, "eeg": 4}
    ones, zeros = covariance_on_rank(responses.values, 19)
    np.testing.assert_allclose(ones, 1, atol=0.1)
    assert abs(zeros).max() < 1e-6
    unprojected = from_raw(raw, EVENTS, noise_cov=cov).responses
    assert unprojected.provenance["noise"]["rank"] == {"meg": 16, "eeg": 5}
    np.testing.assert_allclose(covariance_on_rank(unprojected.values, 21)[0], 1, atol=0.1)


@pytest.mark.parametrize("method", ["empirical", "ledoit_wolf", "oas", "shrunk"])
def test_the_baseline_of_events_gives_the_covariance_of_mne(method):
    raw = noise()
    onsets = EVENTS["onset"].to_numpy()
    found = covariance_of_baseline({"1": raw}, {"1": onsets}, Noise(source="baseline", method=method))
    events = np.column_stack([np.rint(onsets * SFREQ), np.zeros(len(onsets)), np.ones(len(onsets))]).astype(int)
    epochs = mne.Epochs(raw, events, tmin=-0.2, tmax=0.0, baseline=(None, None), preload=True, verbose="ERROR")
    expected = mne.compute_covariance(epochs, method=method, verbose="ERROR")
    size = np.sqrt(np.diag(expected.data))
    np.testing.assert_allclose(
        found.covariance.data / np.outer(size, size), expected.data / np.outer(size, size), atol=1e-6
    )
    assert found.provenance["n_windows"] == len(onsets)


def test_windows_with_bad_samples_or_beyond_the_run_do_not_count():
    raw = noise().pick("mag")
    raw.set_annotations(mne.Annotations([9.85], [0.1], ["BAD_blink"]))
    onsets = np.array([0.1, 5.0, 10.0, 20.0, 20.001, 30.0])
    given = {"source": "baseline", "method": "empirical"}
    found = covariance_of_baseline({"1": raw}, {"1": onsets}, Noise(**given))
    assert found.provenance["n_windows"] == 3
    windows = [raw.get_data()[:, round(100 * t) - 20 : round(100 * t) + 1] for t in (5.0, 20.0, 30.0)]
    centred = np.concatenate([w - w.mean(axis=1, keepdims=True) for w in windows], axis=1)
    np.testing.assert_allclose(found.covariance.data, np.cov(centred), rtol=1e-6, atol=1e-35)
    with pytest.raises(MissingData, match=r"no event has a baseline of -0.2 to 0 s"):
        covariance_of_baseline({"1": raw}, {"1": onsets[:1]}, Noise(**given))
    with pytest.raises(MissingData, match="the baselines have 1 degrees of freedom for noise of rank"):
        covariance_of_baseline({"1": raw}, {"1": onsets[1:2]}, Noise(tmin=-0.01, **given))


def write_runs(root, *, seeds=(0, 1), **more):
    tree.BIDS_TYPES.update(mag="MEGMAG", grad="MEGGRADPLANAR", eeg="EEG")
    words = [(f"{onset}", f"w{i}") for i, onset in enumerate(EVENTS["onset"])]
    for run, seed in enumerate(seeds, start=1):
        tree.write_meg(root, noise(seed), run=str(run), words=words, **more)


def write_room(root, raw, bads=()):
    folder = root / "sub-emptyroom" / "ses-20200203" / "meg"
    folder.mkdir(parents=True)
    stem = folder / "sub-emptyroom_ses-20200203_task-noise"
    raw.save(stem.with_name(f"{stem.name}_meg.fif"), fmt="double", verbose="ERROR")
    tree.write_channels(stem, raw, bads)
    (folder / f"{stem.name}_meg.json").write_text(json.dumps({"TaskName": "noise", "PowerLineFrequency": 50}))
    row = [(f"meg/{stem.name}_meg.fif", "2020-02-03T00:00:00.000000Z")]
    tree.write_tsv(folder.parent / "sub-emptyroom_ses-20200203_scans.tsv", ("filename", "acq_time"), row)
    return {"sidecar": {"AssociatedEmptyRoom": f"sub-emptyroom/ses-20200203/meg/{stem.name}_meg.fif"}}


@pytest.fixture
def root(tmp_path):
    tree.write_people(tmp_path, ["01"])
    return tmp_path


def load(root, **settings):
    return bids.load(bids.Config(root=str(root), datatype="meg", **settings), None)


ALL = ("mag", "grad", "eeg")


def test_a_folder_is_whitened_by_the_baselines_of_all_its_runs(root):
    write_runs(root)
    responses = load(root, picks=ALL, whiten=True, noise={"source": "baseline", "tmin": -0.3, "tmax": 0.1}).responses
    assert responses.shape == (8000, 21)
    ones, _ = covariance_on_rank(responses.values, 21)
    np.testing.assert_allclose(ones, 1, atol=0.25)
    said = responses.provenance["subjects"]["01"]["noise"]
    assert said["n_windows"] == 2 * len(EVENTS)
    assert "whitened by the noise covariance of baseline, -0.3 to 0.1 s" in responses.provenance["processing"][-1]


def test_a_folder_is_whitened_by_its_empty_room(root):
    more = write_room(root, noise(9).pick("meg"))
    write_runs(root, **more)
    settings = {"whiten": True, "noise": {"source": "emptyroom", "method": "empirical"}}
    responses = load(root, **settings).responses
    cov = mne.compute_raw_covariance(noise(9).pick("meg"), verbose="ERROR")
    direct = from_raw(noise(0), EVENTS, picks=("mag", "grad"), noise_cov=cov).responses
    np.testing.assert_allclose(responses.values[:4000], direct.values, atol=1e-3)
    assert responses.provenance["subjects"]["01"]["noise"]["seconds"] == 40.0
    assert any("sub-emptyroom" in name for name in responses.provenance["files"])
    filtered = load(root, h_freq=20.0, **settings).responses
    np.testing.assert_allclose(covariance_on_rank(filtered.values, 16)[0], 1, atol=0.35)
    with pytest.raises(Misaligned, match="the recording of noise has no usable EEG 016"):
        load(root, picks=ALL, **settings)


def test_an_empty_room_that_is_not_there_or_has_other_good_channels_is_told(root):
    write_runs(root)
    settings = {"whiten": True, "noise": {"source": "emptyroom"}}
    with pytest.raises(MissingData, match=r"run-1_meg.fif: (no|its) empty-room recording"):
        load(root, **settings)
    more = write_room(root, noise(9), bads=("GRAD 007",))
    write_runs(root, **more)
    with pytest.raises(Misaligned, match="no usable GRAD 007"):
        load(root, **settings)


def test_noise_of_more_dimensions_than_the_recording_is_refused():
    """An empty room without the signal-space separation that the recording had."""
    raw = noise()
    with raw.info._unlock():
        raw.info["proc_history"] = [
            {"max_info": {"sss_info": {"in_order": 1, "nfree": 7, "components": np.ones(80)}, "max_st": {}}}
        ]
    with pytest.raises(Misaligned, match=r"the noise has 16 dimensions in meg, the recording"):
        covariance_of_recordings([noise(9)], raw.info, "empirical")


def test_a_folder_is_whitened_by_a_file(root):
    write_runs(root)
    cov = mne.compute_raw_covariance(noise(0), verbose="ERROR")
    (root / "noise").mkdir()
    mne.write_cov(root / "noise" / "sub-01-cov.fif", cov)
    settings = {"picks": ALL, "whiten": True, "noise": {"source": "noise/sub-{subject}-cov.fif"}}
    responses = load(root, **settings).responses
    np.testing.assert_allclose(np.cov(responses.values[:4000].astype(float).T), np.eye(21), atol=0.1)
    assert "noise/sub-01-cov.fif" in responses.provenance["files"]
    assert bids.check(bids.Config(root=str(root), datatype="meg", **settings), None) == []
    (root / "noise" / "sub-01-cov.fif").write_bytes(b"no covariance")
    with pytest.raises(MissingData, match=r"sub-01-cov.fif: cannot be read"):
        load(root, **settings)
    (root / "noise" / "sub-01-cov.fif").unlink()
    assert bids.check(bids.Config(root=str(root), datatype="meg", **settings), None) == [
        f"{root}/noise/sub-01-cov.fif: no such file"
    ]


def test_only_channels_that_are_good_in_all_runs_are_whitened_together(root):
    write_runs(root)
    words = [(f"{onset}", f"w{i}") for i, onset in enumerate(EVENTS["onset"])]
    tree.write_meg(root, noise(1), run="2", bads=("MAG 002",), words=words)
    settings = {"whiten": True, "noise": {"source": "baseline"}}
    with pytest.raises(Misaligned, match="1 channels are not usable in all runs: MAG 002"):
        load(root, **settings)
    responses = load(root, unusable="leave_out", **settings).responses
    assert responses.shape == (8000, 15)
    runs = responses.provenance["subjects"]["01"]["runs"]
    assert runs["task-story_run-1"]["left_out"] == {"MAG 002": "not usable in all runs"}
    np.testing.assert_allclose(covariance_on_rank(responses.values, 15)[0], 1, atol=0.3)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"whiten": True}, "need the table noise"),
        ({"noise": {"source": "baseline"}}, "no meaning without whiten"),
        ({"datatype": "eeg", "whiten": True, "noise": {"source": "emptyroom"}}, "of MEG only"),
        ({"whiten": True, "noise": {"source": "baseline", "tmin": 0.1, "tmax": 0.0}}, "is not before tmax"),
        ({"whiten": True, "noise": {"source": ""}}, "at least 1 character"),
        ({"whiten": True, "noise": {"source": "baseline", "method": "glasso"}}, "method"),
        ({"datatype": "func", "whiten": True, "noise": {"source": "baseline"}}, "no meaning with datatype = 'func'"),
    ],
)
def test_settings_that_have_no_meaning_are_refused(settings, what):
    with pytest.raises(ValidationError, match=what):
        bids.Config(**({"root": "x", "datatype": "meg"} | settings))


def test_a_real_recording_after_signal_space_separation_stays_finite(data_dir):
    path = data_dir / "mne_sample" / "sample_audvis_trunc_raw_sss.fif"
    if not path.is_file():
        pytest.skip(f"no real MEG at {path}")
    raw = mne.io.read_raw_fif(path, verbose="ERROR")
    quiet = raw.copy().pick(["mag", "grad"]).load_data(verbose="ERROR")
    cov = mne.compute_raw_covariance(quiet, tstep=None, method="ledoit_wolf", rank="info", verbose="ERROR")
    events = pd.DataFrame({"onset": [0.3], "duration": [0.1]})
    responses = from_raw(raw, events, picks=("mag", "grad"), noise_cov=cov).responses
    assert np.isfinite(responses.values).all()
    rank = responses.provenance["noise"]["rank"]["meg"]
    assert rank < 100
    size = np.linalg.svd(responses.values - responses.values.mean(axis=0), compute_uv=False)
    assert (size > 1e-4 * size[0]).sum() <= rank
