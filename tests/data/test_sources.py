"""Source estimates: those of mne on the same data, planted dipoles where they are, targets that can be mapped."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pytest
from mne.minimum_norm import apply_inverse_raw, make_inverse_operator, write_inverse_operator
from pydantic import ValidationError
from scipy.spatial import ConvexHull

from brainalign.data import bids
from brainalign.data._simulated_bids import sensors
from brainalign.data._sources import CHUNK, Sources, inverse_of_forward, read_inverse, read_labels, source_estimates
from brainalign.data._surfaces import SurfaceGrid
from brainalign.data._whitening import known_covariance
from brainalign.errors import Misaligned, MissingData

tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))

N = 60  # vertices per hemisphere
SFREQ = 100.0
PLANTED = {"left": 17, "right": 41}
METHODS = ("MNE", "dSPM", "sLORETA", "eLORETA")


def write_ball(path, centre):
    """A sphere of 28 mm as the surface of a hemisphere, mm."""
    i = np.arange(N) + 0.5
    tilt, turn = np.arccos(1 - 2 * i / N), np.pi * (1 + 5**0.5) * i
    points = np.stack([np.cos(turn) * np.sin(tilt), np.sin(turn) * np.sin(tilt), np.cos(tilt)], axis=1)
    faces = ConvexHull(points).simplices
    normals = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    inwards = (normals * points[faces].mean(axis=1)).sum(axis=1) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    mne.write_surface(path, np.array(centre) + 28 * points, faces, verbose="ERROR")


def meg_info():
    info = sensors.meg_info(SFREQ)
    info["bads"] = []
    return mne.pick_info(info, mne.pick_types(info, meg=True)[::4])


def electrode_info():
    info = sensors.eeg_info(SFREQ)
    info["bads"] = []
    return mne.pick_info(info, mne.pick_types(info, eeg=True))


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A FreeSurfer folder of a person with two spheres for hemispheres, and forward models of it."""
    folder = tmp_path_factory.mktemp("head")
    (folder / "person" / "surf").mkdir(parents=True)
    (folder / "person" / "label").mkdir()
    for side, x in (("lh", -32), ("rh", 32)):
        for name in ("white", "inflated"):
            write_ball(folder / "person" / "surf" / f"{side}.{name}", (x, 9, 45))
    surface = mne.setup_source_space("person", spacing="all", subjects_dir=folder, add_dist=False, verbose="ERROR")
    volume = mne.setup_volume_source_space(
        None, pos=25.0, sphere=(*sensors.CENTRE, 0.07), sphere_units="m", verbose="ERROR"
    )
    turned = mne.Transform("mri", "head", mne.transforms.translation(0, 0.004, -0.003))
    paths = {}
    for kind, info in (("meg", meg_info()), ("eeg", electrode_info())):
        sphere = mne.make_sphere_model(sensors.CENTRE, sensors.HEAD_RADIUS, info=info, verbose="ERROR")
        for name, space in (("surface", surface), ("volume", volume)):
            forward = mne.make_forward_solution(info, turned, space, sphere, mindist=0, verbose="ERROR")
            paths[kind, name] = folder / f"{kind}-{name}-fwd.fif"
            mne.write_forward_solution(paths[kind, name], forward, verbose="ERROR")
    return SimpleNamespace(folder=folder, paths=paths)


def recording(info, forward=None, *, n_samples=300, seed=0):
    """Noise of 10 fT, and where there is a forward model two dipoles along the normals: 7 Hz left, 11 Hz right."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(mne.make_ad_hoc_cov(info, verbose="ERROR")["data"])[:, None]
    values = scale * rng.standard_normal((len(info["ch_names"]), n_samples))
    if forward is not None:
        fixed = mne.convert_forward_solution(forward, force_fixed=True, surf_ori=True, verbose="ERROR")
        time = np.arange(n_samples) / SFREQ
        courses = np.stack([np.sin(2 * np.pi * 7 * time), np.sin(2 * np.pi * 11 * time)])
        gain = fixed["sol"]["data"][:, [PLANTED["left"], N + PLANTED["right"]]]
        values += 2e-7 * gain @ courses
    return mne.io.RawArray(values, info, verbose="ERROR")


def noise_of(raw):
    return known_covariance(mne.make_ad_hoc_cov(raw.info, verbose="ERROR"), raw.info, "ad hoc")


def oracle(raw, path, settings):
    forward = mne.read_forward_solution(path, verbose="ERROR")
    cov = mne.make_ad_hoc_cov(raw.info, verbose="ERROR")
    more = {"loose": settings.loose, "depth": settings.depth}
    inverse = make_inverse_operator(raw.info, forward, cov, **more, verbose="ERROR")
    lambda2 = 1 / settings.snr**2
    return inverse, apply_inverse_raw(
        raw, inverse, lambda2, settings.method, pick_ori=settings.pick_ori, verbose="ERROR"
    )


def estimated(raw, path, settings, labels=()):
    more = {"loose": settings.loose, "depth": settings.depth}
    inverse = inverse_of_forward(path, raw, noise_of(raw), **more)
    spatial = source_estimates(inverse, settings, list(labels))
    return spatial.targets, spatial.apply(raw), spatial.provenance


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


CASES = [("surface", {}), ("surface", {"loose": 0.0}), ("surface", {"pick_ori": "normal"}), ("volume", {})]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("space", "more"), CASES)
def test_they_are_those_of_mne(head, method, space, more):
    raw = recording(meg_info())
    settings = Sources(forward="x", method=method, snr=3.0, **more)
    inverse, expected = oracle(raw, head.paths["meg", space], settings)
    targets, values, said = estimated(raw, head.paths["meg", space], settings)
    close(values, expected.data.T)
    assert values.dtype == np.float32
    assert said["values"] == ("signed" if more else "lengths")
    assert said["n_sources"] == len(targets) == values.shape[1]
    places = np.concatenate([s["rr"][s["vertno"]] for s in inverse["src"]])
    np.testing.assert_allclose(targets[["x", "y", "z"]], places)


def test_eeg_against_its_mean(head):
    raw = recording(electrode_info())
    settings = Sources(forward="x", method="sLORETA")
    with pytest.raises(Misaligned, match="set reference = 'average'"):
        estimated(raw, head.paths["eeg", "surface"], settings)
    raw.set_eeg_reference("average", projection=True, verbose="ERROR").apply_proj(verbose="ERROR")
    _, expected = oracle(raw, head.paths["eeg", "surface"], settings)
    close(estimated(raw, head.paths["eeg", "surface"], settings)[1], expected.data.T)


@pytest.mark.parametrize("method", ["sLORETA", "eLORETA"])
def test_planted_dipoles_are_found_where_they_are(head, method):
    path = head.paths["meg", "surface"]
    raw = recording(meg_info(), mne.read_forward_solution(path, verbose="ERROR"), n_samples=400)
    settings = Sources(forward="x", method=method, loose=0.0, snr=3.0)
    targets, values, _ = estimated(raw, path, settings)
    power = np.abs(np.fft.rfft(values, axis=0)) ** 2
    hertz = np.fft.rfftfreq(400, 1 / SFREQ)
    for side, frequency in (("left", 7), ("right", 11)):
        best = targets.loc[power[np.argmin(abs(hertz - frequency))].argmax()]
        assert (best["hemisphere"], best["vertex"]) == (side, PLANTED[side])


def test_vertices_are_named_as_those_of_surface_recordings(head):
    targets, _, _ = estimated(recording(meg_info()), head.paths["meg", "surface"], Sources(forward="x"))
    expected = SurfaceGrid(N, N).describe(np.arange(2 * N))
    for name in ("target", "hemisphere", "vertex"):
        assert targets[name].tolist() == expected[name].tolist()
    assert set(targets["channel_type"]) == {"source"}
    assert (targets.loc[targets["hemisphere"] == "left", "x"] < 0).all()
    assert (targets.loc[targets["hemisphere"] == "right", "x"] > 0).all()


def test_sources_of_a_volume_have_no_vertex_that_a_surface_could_take_for_its_own(head):
    targets, _, _ = estimated(recording(meg_info()), head.paths["meg", "volume"], Sources(forward="x"))
    assert not {"vertex", "hemisphere"} & set(targets)
    assert targets["target"].is_unique
    assert targets["target"].str.match(r"V-\d+").all()


def test_a_long_recording_is_estimated_piece_by_piece(head):
    raw = recording(meg_info(), n_samples=CHUNK + 300)
    settings = Sources(forward="x")
    _, expected = oracle(raw, head.paths["meg", "surface"], settings)
    close(estimated(raw, head.paths["meg", "surface"], settings)[1], expected.data.T)


def regions():
    """Two regions of the left, one of the right."""
    return [
        mne.Label(np.arange(0, 20), hemi="lh", name="front-lh", subject="person"),
        mne.Label(np.arange(20, 60), hemi="lh", name="back-lh", subject="person"),
        mne.Label(np.arange(10, 50), hemi="rh", name="front-rh", subject="person"),
    ]


@pytest.mark.parametrize(
    ("more", "mode", "oracle_mode"),
    [({"loose": 0.0}, "auto", "mean_flip"), ({}, "auto", "mean"), ({}, "max", "max"), ({"loose": 0.0}, "mean", "mean")],
)
def test_labels_are_averaged_as_mne_does_it(head, more, mode, oracle_mode):
    raw = recording(meg_info())
    settings = Sources(forward="x", label_files=("a",), mode=mode, **more)
    inverse, sources = oracle(raw, head.paths["meg", "surface"], settings)
    expected = mne.extract_label_time_course(sources, regions(), inverse["src"], mode=oracle_mode, verbose="ERROR")
    targets, values, said = estimated(raw, head.paths["meg", "surface"], settings, regions())
    close(values, expected.T)
    assert targets["target"].tolist() == ["front-lh", "back-lh", "front-rh"]
    assert targets["hemisphere"].tolist() == ["left", "left", "right"]
    assert targets["n_points"].tolist() == [20, 40, 40]
    assert said["mode"] == oracle_mode
    place = inverse["src"][0]["rr"][:20].mean(axis=0)
    np.testing.assert_allclose(targets.loc[0, ["x", "y", "z"]].astype(float), place, atol=1e-9)


def test_labels_are_read_from_files_and_from_a_parcellation(head):
    mne.write_labels_to_annot(regions(), "person", "toy", subjects_dir=head.folder, overwrite=True, verbose="ERROR")
    settings = Sources(forward="x", parcellation="toy", subjects_dir="x")
    found = {label.name: label for label in read_labels(settings, [], head.folder, "person")}
    assert set(found) == {"front-lh", "back-lh", "front-rh"}
    np.testing.assert_array_equal(found["back-lh"].vertices, np.arange(20, 60))
    path = head.folder / "front-lh.label"
    mne.write_label(path, regions()[0], verbose="ERROR")
    [label] = read_labels(Sources(forward="x", label_files=("a",)), [path], head.folder, "person")
    np.testing.assert_array_equal(label.vertices, np.arange(20))
    with pytest.raises(MissingData, match=r"nobody.*no such file"):
        read_labels(settings, [], head.folder, "nobody")
    with pytest.raises(MissingData, match=r"person: cannot be read"):
        read_labels(Sources(forward="x", parcellation="other", subjects_dir="x"), [], head.folder, "person")


def test_what_cannot_be_estimated_is_refused(head, tmp_path):
    raw, path = recording(meg_info()), head.paths["meg", "surface"]
    with pytest.raises(Misaligned, match="mean_flip is of signed sources"):
        estimated(raw, path, Sources(forward="x", label_files=("a",), mode="mean_flip"), regions())
    with pytest.raises(Misaligned, match="labels and pick_ori = 'normal' are of surfaces"):
        estimated(raw, head.paths["meg", "volume"], Sources(forward="x", pick_ori="normal"))
    far = mne.Label([900, 901], hemi="lh", name="far-lh", subject="person")
    with pytest.raises(MissingData, match="without a source of the forward model in them: far-lh"):
        estimated(raw, path, Sources(forward="x", label_files=("a",)), [*regions(), far])
    with pytest.raises(Misaligned, match=r"labels .* are there twice"):
        estimated(raw, path, Sources(forward="x", label_files=("a",)), [*regions(), regions()[0]])
    with pytest.raises(Misaligned, match=r"eeg-surface-fwd.fif: has no MEG"):
        estimated(raw, head.paths["eeg", "surface"], Sources(forward="x"))
    with pytest.raises(Misaligned, match=r"loose = 0 is of surfaces; sources of kind discrete have no normal"):
        estimated(raw, head.paths["meg", "volume"], Sources(forward="x", loose=0.0))
    (tmp_path / "x-fwd.fif").write_bytes(path.read_bytes()[:3000])
    with pytest.raises(MissingData, match=r"x-fwd.fif: (cannot be read|cut or damaged)"):
        estimated(raw, tmp_path / "x-fwd.fif", Sources(forward="x"))


def test_an_inverse_operator_of_a_file(head):
    raw, settings = recording(meg_info()), Sources(inverse="x", method="MNE")
    forward = mne.read_forward_solution(head.paths["meg", "surface"], verbose="ERROR")
    made = make_inverse_operator(raw.info, forward, mne.make_ad_hoc_cov(raw.info, verbose="ERROR"), verbose="ERROR")
    path = head.folder / "person-inv.fif"
    write_inverse_operator(path, made, overwrite=True, verbose="ERROR")
    inverse = read_inverse(path, raw)
    expected = apply_inverse_raw(raw, made, 1.0, "MNE", verbose="ERROR").data
    close(source_estimates(inverse, settings, []).apply(raw), expected.T)
    lacking = raw.copy().drop_channels([raw.ch_names[3]])
    with pytest.raises(Misaligned, match=f"person-inv.fif: needs the channels {raw.ch_names[3]}"):
        read_inverse(path, lacking)


def write_run(root, head, run):
    raw = recording(
        meg_info(),
        mne.read_forward_solution(head.paths["meg", "surface"], verbose="ERROR"),
        n_samples=3000,
        seed=int(run),
    )
    words = [(f"{onset:g}", f"w{i}") for i, onset in enumerate(np.arange(1, 29, 0.5))]
    tree.write_meg(root, raw, run=run, words=words)
    return raw


@pytest.fixture
def root(tmp_path, head):
    tree.write_people(tmp_path, ["01"])
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sub-01-fwd.fif").write_bytes(head.paths["meg", "surface"].read_bytes())
    for run in "12":
        write_run(tmp_path, head, run)
    return tmp_path


def config(root, **sources):
    table = {"forward": "models/sub-{subject}-fwd.fif", "loose": 0.0, "method": "sLORETA"} | sources
    noise = None if "inverse" in sources else {"source": "baseline"}
    return bids.Config(root=str(root), datatype="meg", sources=table, noise=noise)


def test_a_folder_gives_sources(root):
    assert bids.check(config(root), None) == []
    responses = bids.load(config(root), None).responses
    assert responses.shape == (6000, 2 * N)
    assert {"subject", "target", "channel_type", "hemisphere", "vertex", "x", "y", "z"} == set(responses.columns)
    said = responses.provenance["subjects"]["01"]
    assert said["sources"]["noise"]["source"] == "baseline"
    assert said["sources"]["values"] == "signed"
    assert set(said["runs"]) == {"task-story_run-1", "task-story_run-2"}
    assert "models/sub-01-fwd.fif" in responses.provenance["files"]
    told = responses.provenance["processing"][-1]
    assert told.startswith("sources estimated by sLORETA, SNR 1, forward model models/sub-{subject}-fwd.fif")
    power = np.abs(np.fft.rfft(responses.values[:3000], axis=0)) ** 2
    best = responses.columns.loc[power[7 * 30].argmax()]
    distance = responses.columns.query("hemisphere == 'left' and vertex == @PLANTED['left']")[["x", "y", "z"]]
    shift = np.linalg.norm(best[["x", "y", "z"]].astype(float) - distance.to_numpy(float)[0])
    assert shift < 0.02


def test_a_folder_gives_labels(root, head):
    mne.write_labels_to_annot(regions(), "person", "toy", subjects_dir=head.folder, overwrite=True, verbose="ERROR")
    more = {"parcellation": "toy", "subjects_dir": str(head.folder)}
    responses = bids.load(config(root, **more), None).responses
    assert responses.columns["target"].tolist() == ["back-lh", "front-lh", "front-rh"]
    assert any(name.endswith("person/label/rh.toy.annot") for name in responses.provenance["files"])


def test_check_finds_models_that_are_not_there(root):
    (root / "models" / "sub-01-fwd.fif").unlink()
    assert bids.check(config(root), None) == [f"{root}/models/sub-01-fwd.fif: no such file"]
    with pytest.raises(MissingData, match=r"sub-01-fwd.fif: no such file"):
        bids.load(config(root), None)


def test_a_head_that_lay_elsewhere_is_told(root, caplog, tmp_path):
    path = next((root / "sub-01" / "meg").glob("*run-1_meg.fif"))
    raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
    raw.info["dev_head_t"]["trans"][2, 3] += 0.012
    raw.save(path, fmt="double", overwrite=True, verbose="ERROR")
    bids.load(config(root), None)
    assert "the head lay 12.0 mm elsewhere" in caplog.text


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({}, "give one of forward and inverse"),
        ({"forward": "a", "inverse": "b"}, "give one of forward and inverse"),
        ({"inverse": "a", "loose": 0.0}, "no meaning with inverse"),
        ({"forward": "a", "loose": 2.0}, "loose is from 0 to 1"),
        ({"forward": "a", "parcellation": "aparc"}, "need each other"),
        ({"forward": "a", "parcellation": "a", "subjects_dir": "b", "label_files": ("c",)}, "choose one of"),
        ({"forward": "a", "mode": "mean"}, "no meaning without labels"),
        ({"forward": "a", "snr": 0.0}, "greater than 0"),
        ({"forward": "a", "method": "LCMV"}, "method"),
    ],
)
def test_settings_that_have_no_meaning_are_refused(settings, what):
    with pytest.raises(ValidationError, match=what):
        Sources(**settings)


def test_noise_and_models_go_together():
    given = {"root": "x", "datatype": "meg"}
    with pytest.raises(ValidationError, match="need the table noise"):
        bids.Config(**given, sources={"forward": "a"})
    with pytest.raises(ValidationError, match="noise has no meaning"):
        bids.Config(**given, sources={"inverse": "a"}, noise={"source": "baseline"})
    with pytest.raises(ValidationError, match="whiten has no meaning with sources"):
        bids.Config(**given, sources={"forward": "a"}, noise={"source": "baseline"}, whiten=True)
    kept = bids.Config(**given, sources={"forward": "a"}, noise={"source": "baseline"})
    assert bids.Config(**kept.model_dump()) == kept
    json.dumps(kept.model_dump(mode="json"))
