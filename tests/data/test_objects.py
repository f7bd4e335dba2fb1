"""Recordings of objects in memory: the numbers of the object, with names and a clock."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import mne
import nibabel
import numpy as np
import pandas as pd
import pytest
from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage

import brainalign.data
from brainalign.data import (
    Cleaning,
    from_array,
    from_epochs,
    from_frame,
    from_image,
    from_raw,
    from_surface,
    side_by_side,
)
from brainalign.data._resampling import resample
from brainalign.errors import Misaligned, MissingData, UnknownName

tree = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bids_folder.py"))))

EVENTS = pd.DataFrame({"onset": [0.5, 1.25, 2.0], "duration": 0.3, "word": ["once", "null", "time"]})
INSIDE = np.zeros(tree.SHAPE, dtype=np.uint8)
INSIDE[1:3, :, 1] = 1


def image(values, tr=tree.TR):
    made = nibabel.Nifti1Image(values, tree.AFFINE)
    if tr is not None:
        made.header.set_zooms((3, 3, 4, tr))
        made.header.set_xyzt_units("mm", "sec")
    return made


def labels(values):
    return nibabel.Nifti1Image(values, tree.AFFINE)


def test_they_are_listed_and_nothing_else_is():
    for name in brainalign.data.OBJECTS:
        assert callable(getattr(brainalign.data, name))
    with pytest.raises(AttributeError, match="from_nothing"):
        brainalign.data.from_nothing  # noqa: B018
    assert "_objects" not in brainalign.data.DATASETS


def test_raw():
    raw = tree.make_raw()
    raw.info["bads"] = ["MEG 0112"]
    recording = from_raw(raw, EVENTS, subject="p", picks=("grad", "eeg"))
    assert recording.responses.columns["target"].tolist() == ["MEG 0113", "EEG 001"]
    np.testing.assert_allclose(recording.responses.values, raw.get_data(["MEG 0113", "EEG 001"]).T, rtol=1e-6)
    assert recording.events["word"].tolist() == ["once", "null", "time"]
    assert set(recording.responses.columns["subject"]) == {"p"}
    assert raw.info["bads"] == ["MEG 0112"]
    with pytest.raises(Misaligned, match="onset beyond the recording, which is 4 s long"):
        from_raw(raw, pd.DataFrame({"onset": [1.0, 2.0, 4.0], "duration": 0.1}))


def test_raws_of_several_runs():
    raws = {"a": tree.make_raw(1), "b": tree.make_raw(2, n_samples=300)}
    events = pd.concat([EVENTS.assign(run="a"), EVENTS.assign(run="b")])
    recording = from_raw(raws, events, picks=("mag",), h_freq=20.0, sfreq=50.0)
    assert recording.responses.rows.groupby("run").size().to_dict() == {"a": 200, "b": 150}
    direct = resample(raws["b"].copy().pick("mag").filter(None, 20.0, verbose="ERROR"), 50.0)
    np.testing.assert_allclose(recording.responses.values[200:], direct.get_data().T, rtol=1e-5, atol=1e-20)
    with pytest.raises(Misaligned, match="no recording of this run"):
        from_raw(raws, EVENTS.assign(run="c"))


@pytest.mark.parametrize("unit", [1.0, 1e6, 1e13])
def test_fault_43_units_are_kept(unit):
    raw = tree.make_raw()
    scaled = raw.copy()
    scaled._data = scaled._data * unit
    values = from_raw(scaled, EVENTS, picks=("mag",)).responses.values
    np.testing.assert_allclose(values / unit, raw.get_data("mag").T, rtol=1e-6)
    assert values.std() > 0


@pytest.fixture
def epochs():
    raw = tree.make_raw(n_samples=1000)
    raw.set_annotations(mne.Annotations([4.9], [0.3], ["BAD"]))
    samples = np.array([[100, 0, 1], [500, 0, 1], [700, 0, 2]])
    made = mne.Epochs(raw, samples, tmin=-0.1, tmax=0.2, baseline=None, preload=True, verbose="ERROR")
    return made, pd.DataFrame({"onset": [1.0, 5.0, 7.0], "duration": 0.2, "word": ["x", "y", "z"]})


@pytest.mark.parametrize("given", ["all", "kept", "metadata"])
def test_fault_57_epochs_that_were_dropped_take_their_events_with_them(epochs, given):
    epochs, events = epochs
    kept = events.iloc[[0, 2]]
    if given == "metadata":
        epochs.metadata = kept[["word"]].reset_index(drop=True)
    recording = from_epochs(epochs, {"all": events, "kept": kept, "metadata": None}[given], picks=("mag", "grad"))
    responses = recording.responses
    data = epochs.get_data(picks=["mag", "grad"], verbose="ERROR")  # (2, 3, 31)
    assert responses.shape == (2, 3 * 31)
    np.testing.assert_allclose(responses.values.reshape(2, 3, 31), data, rtol=1e-6)
    assert recording.events["word"].tolist() == ["x", "z"]
    assert responses.rows["event"].tolist() == [0, 1]
    np.testing.assert_allclose(responses.rows["time"], [1.0, 7.0])
    assert responses.columns["target"].tolist() == [name for name in tree.CHANNELS[:3] for _ in range(31)]
    np.testing.assert_allclose(responses.columns["lag"], np.tile(epochs.times, 3))
    assert responses.provenance["n_dropped"] == 1


def test_epochs_out_of_order_stay_with_their_events(epochs):
    epochs, events = epochs
    data = epochs.get_data(picks="mag", verbose="ERROR")[:, 0]
    swapped = events.iloc[[0, 2]].assign(onset=[9.0, 1.0])
    recording = from_epochs(epochs, swapped, picks=("mag",))
    assert recording.events["word"].tolist() == ["z", "x"]
    np.testing.assert_allclose(recording.responses.values, data[::-1], rtol=1e-6)


def test_epochs_without_their_events_are_refused(epochs):
    epochs, events = epochs
    with pytest.raises(Misaligned, match="1 events, but 2 epochs of 3"):
        from_epochs(epochs, events[:1])
    with pytest.raises(MissingData, match="no metadata; give a table of events"):
        from_epochs(epochs)
    with pytest.raises(UnknownName, match="'seeg'"):
        from_epochs(epochs, events, picks=("seeg",))
    epochs._data[:, 0] = 1.0
    with pytest.raises(MissingData, match=r"channels \['MEG 0111'\] are constant"):
        from_epochs(epochs, events)


def test_images_of_several_runs():
    values = {"a": tree.bold(1), "b": tree.bold(2, n_volumes=30)}
    events = EVENTS.assign(run="b")
    recording = from_image({run: image(part) for run, part in values.items()}, events, mask=labels(INSIDE))
    np.testing.assert_array_equal(
        recording.responses.values, np.concatenate([part[INSIDE != 0].T for part in values.values()])
    )
    assert set(recording.responses.rows["duration"]) == {tree.TR}


def test_an_image_with_an_atlas_and_confounds():
    values = tree.bold()
    confounds = np.random.default_rng(0).standard_normal((tree.N_VOLUMES, 2))
    recording = from_image(
        image(values),
        EVENTS,
        parcels=labels(INSIDE),
        names={1: "A1"},
        confounds=confounds,
        cleaning=Cleaning(drift_order=1),
    )
    means = values[INSIDE != 0].mean(axis=0)
    N = np.column_stack([np.ones(tree.N_VOLUMES), np.arange(tree.N_VOLUMES), confounds])
    direct = means - N @ np.linalg.lstsq(N, means)[0]
    np.testing.assert_allclose(recording.responses.values[:, 0], direct, atol=2e-3)
    assert recording.responses.columns["target"].tolist() == ["A1"]
    rois = from_image(image(values), EVENTS, rois={"A1": labels(INSIDE)}).responses
    np.testing.assert_allclose(rois.values[:, 0], means, rtol=1e-6)


def test_faults_of_images():
    values = tree.bold()
    with pytest.raises(Misaligned, match="never set"):
        from_image(image(values, tr=None), EVENTS, mask=labels(INSIDE))
    with pytest.raises(Misaligned, match=r"header 1.5 sec, sidecar none, setting tr 2 s"):
        from_image(image(values), EVENTS, tr=2.0, mask=labels(INSIDE))
    with pytest.raises(MissingData, match="give one of mask, parcels and rois"):
        from_image(image(values), EVENTS)
    with pytest.raises(Misaligned, match="mask does not lie on the grid"):
        from_image(image(values), EVENTS, mask=labels(INSIDE[:3]))
    with pytest.raises(Misaligned, match="four dimensions"):
        from_image(labels(INSIDE), EVENTS, mask=labels(INSIDE))
    with pytest.raises(Misaligned, match=r"confounds of runs that there are not: \['b'\]"):
        from_image(image(values), EVENTS, mask=labels(INSIDE), confounds={"b": np.ones((tree.N_VOLUMES, 1))})
    with pytest.raises(MissingData, match="the mask is empty"):
        from_image(image(values), EVENTS, mask=labels(0 * INSIDE))


def mesh():
    one = InMemoryMesh(np.random.default_rng(0).standard_normal((5, 3)), np.array([[0, 1, 2], [2, 3, 4]]))
    return PolyMesh(left=one, right=one)


def test_surface_images():
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((2, 5, tree.N_VOLUMES)).astype(np.float32)
    surface = SurfaceImage(mesh(), {"left": left, "right": right})
    responses = from_surface(surface, EVENTS, tr=tree.TR).responses
    np.testing.assert_array_equal(responses.values, np.vstack([left, right]).T)
    atlas = {"left": np.array([0, 1, 1, 0, 2]), "right": np.array([2, 0, 0, 0, 0])}
    means = from_surface(surface, EVENTS, tr=tree.TR, parcels=SurfaceImage(mesh(), atlas), names={1: "A1"}).responses
    assert means.columns["target"].tolist() == ["A1", "2"]
    np.testing.assert_allclose(
        means.values, np.column_stack([left[1:3].mean(axis=0), (left[4] + right[0]) / 2]), rtol=1e-5, atol=1e-6
    )


def test_arrays_and_frames():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((8, 2)), columns=["A1", "V1"])
    run = ["a"] * 4 + ["b"] * 4
    recording = from_frame(frame, EVENTS.assign(run="b"), tr=1.5, run=run, subject="p")
    np.testing.assert_array_equal(recording.responses.values, frame.to_numpy())
    assert recording.responses.rows["time"].tolist() == [0, 1.5, 3, 4.5] * 2
    assert recording.responses.columns.to_dict("list") == {"subject": ["p", "p"], "target": ["A1", "V1"]}
    assert from_array(frame.to_numpy(), EVENTS, tr=1.5).responses.columns["target"].tolist() == ["0", "1"]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"Y": np.ones(4)}, r"got \(4,\)"),
        ({"targets": ["a"]}, r"1 targets for an array of shape \(4, 2\)"),
        ({"targets": ["a", "a"]}, r"targets \['a'\] are there twice"),
        ({"run": ["1"] * 5}, "5 labels of runs"),
        ({"Y": np.array([[1, 2], [np.nan, 2]])}, "1 values are not finite, the first is sample 1 of 0"),
        ({"tr": 0.5}, "onset beyond the recording, which is 2 s long"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given, what):
    with pytest.raises(Misaligned, match=what):
        from_array(**({"Y": np.ones((4, 2)), "events": EVENTS, "tr": 1.0} | given))


def test_a_frame_with_text_is_refused():
    with pytest.raises(Misaligned, match=r"columns \['run'\] hold no numbers"):
        from_frame(pd.DataFrame({"run": ["a"], "V1": [1.0]}), EVENTS, tr=4.0)


def person(subject, seed, events=EVENTS, **more):
    Y = np.random.default_rng(seed).standard_normal((4, 2))
    return from_array(Y, events, tr=1.0, subject=subject, **({"targets": ["a", "b"]} | more))


def test_people_side_by_side():
    first, second = person("1", 1), person("2", 2, EVENTS.assign(rt=[1, 2, 3]))
    both = side_by_side([first, second])
    np.testing.assert_array_equal(both.responses.values, np.hstack([first.responses.values, second.responses.values]))
    assert both.responses.columns["subject"].tolist() == ["1", "1", "2", "2"]
    assert both.responses.provenance["subjects"].keys() == {"1", "2"}
    assert side_by_side([first]) is first


def test_columns_that_differ_between_people_are_left_out():
    events = [EVENTS.assign(rt=values, shown="yes") for values in ([1, 2, 3], [3, 2, 1])]
    both = side_by_side([person("1", 1, events[0]), person("2", 2, events[1])])
    assert list(both.events) == ["run", "onset", "duration", "word", "shown"]


def test_targets_that_one_person_lacks_are_refused_or_left_out():
    first, second = person("1", 1), person("2", 2, targets=["c", "a"])
    with pytest.raises(Misaligned, match=r"2 targets are not there for everybody: b, c"):
        side_by_side([first, second])
    both = side_by_side([first, second], unusable="leave_out")
    np.testing.assert_array_equal(
        both.responses.values, np.column_stack([first.responses.values[:, 0], second.responses.values[:, 1]])
    )


def test_targets_in_another_order_go_by_name():
    first, second = person("1", 1), person("2", 2, targets=["b", "a"])
    both = side_by_side([first, second])
    assert both.responses.columns["target"].tolist() == ["a", "b", "a", "b"]
    np.testing.assert_array_equal(both.responses.values[:, 2:], second.responses.values[:, ::-1])


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (EVENTS[:2], "were not shown the same events: 2 and 3"),
        (EVENTS.assign(word=["once", "upon", "time"]), "word differs in 1 events, the first is event 2"),
        (EVENTS.assign(onset=[0.5, 1.3, 2.0]), r"by up to 0.05 s \(event 2\); allow it by `onset_tolerance`"),
    ],
)
def test_people_who_were_shown_something_else_are_refused(second, what):
    with pytest.raises(Misaligned, match=what):
        side_by_side([person("1", 1), person("2", 2, second)])


def test_onsets_that_differ_a_little_may_be_allowed_and_are_recorded():
    both = side_by_side([person("1", 1), person("2", 2, EVENTS.assign(onset=[0.5, 1.26, 2.0]))], onset_tolerance=0.02)
    assert both.events["onset"].tolist() == [0.5, 1.25, 2.0]
    assert both.responses.provenance["largest_onset_difference"] == pytest.approx(0.01)


def test_people_with_other_clocks_or_the_same_name_are_refused():
    slow = from_array(np.ones((4, 2)), EVENTS, tr=1.5, targets=["a", "b"], subject="2")
    with pytest.raises(Misaligned, match=r"clocks that differ by up to 1.5 s"):
        side_by_side([person("1", 1), slow])
    with pytest.raises(Misaligned, match="subject 1 is there twice"):
        side_by_side([person("1", 1), person("1", 2)])
    other = person("2", 2, EVENTS.assign(run="b"), run=["b"] * 4)
    with pytest.raises(Misaligned, match=r"have other runs \(\['1', 'b'\]\)"):
        side_by_side([person("1", 1), other])


def test_a_sample_is_bad_where_it_is_bad_for_one():
    raws = [tree.make_raw(i) for i in range(2)]
    raws[1].set_annotations(mne.Annotations([1.0], [0.5], ["bad"]))
    people = [from_raw(raw, EVENTS, subject=str(i)) for i, raw in enumerate(raws)]
    np.testing.assert_array_equal(np.flatnonzero(side_by_side(people).responses.rows["bad"]), np.arange(100, 150))
