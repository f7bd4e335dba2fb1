"""What a run scored is what the objects hold, from a results folder alone, and after writing and reading them."""

import json

import mne
import nibabel
import numpy as np
import pandas as pd
import pytest

from brainalign import export
from brainalign.arrays import write_tsv
from brainalign.config import parse_experiment, render
from brainalign.errors import BrainalignError, Misaligned, MissingData, UnknownName

CONFIG = {
    "name": "made",
    "data": {"set": "simulated"},
    "features": {name: {"extractor": "words", "quantities": ["rate"]} for name in ("words", "sound")},
}
AFFINE = [[-3.0, 0, 0, 90], [0, 3.0, 0, -126], [0, 0, 4.0, -72], [0, 0, 0, 1]]
LAGS = np.array([-20, -10, 0, 10, 20]) / 100  # s


def results(folder, *, targets, places, data, lags=None, spaces=("words",), subjects=("01",)):
    """Write a results folder whose scores are all different; give the table of scores."""
    experiment = parse_experiment(CONFIG)
    (folder / "config.toml").write_text(render(experiment.table()))
    (folder / "provenance.json").write_text(json.dumps({"data": data, "cells": []}))
    index = pd.MultiIndex.from_product(
        [subjects, spaces, targets, [None] if lags is None else lags, ["pearson", "r2"]],
        names=["subject", "feature_space", "target", "lag", "metric"],
    )
    table = index.to_frame(index=False).assign(weights="", layer="")
    table["score"] = np.random.default_rng(0).standard_normal(len(table))
    if lags is None:
        table = table.drop(columns="lag")
    write_tsv(table, folder / "scores.tsv")
    write_tsv(places, folder / "places.tsv")
    return table


def sensors(n=12):
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.uniform(0.03, 0.09, (n, 3)), columns=list("xyz"))
    kinds = ["mag"] * 4 + ["grad"] * 4 + ["eeg"] * (n - 8)
    names = [f"MEG 01{i}1" for i in range(4)] + [f"MEG 01{i}{j}" for i in (1, 2) for j in (2, 3)]
    names += [f"E{i}" for i in range(n - 8)]
    table.insert(0, "target", names)
    table.insert(1, "channel_type", kinds)
    return table


@pytest.fixture
def epochs(tmp_path):
    places = sensors()
    places.loc[9, ["x", "y", "z"]] = np.nan
    table = results(tmp_path, targets=places["target"][::-1], places=places, data={}, lags=LAGS)
    return tmp_path, table, places


@pytest.mark.parametrize("metric", ["pearson", "r2"])
def test_scores_of_epochs_channel_by_channel_and_lag_by_lag(epochs, metric):
    folder, table, places = epochs
    evoked = export.evoked_scores(folder, metric=metric)
    assert evoked.times == pytest.approx(LAGS)
    assert dict(zip(evoked.ch_names, evoked.get_channel_types(), strict=True)) == dict(
        zip(places["target"], places["channel_type"], strict=True)
    )
    for row in table[table["metric"] == metric].itertuples():
        i_lag = int(np.flatnonzero(row.lag == LAGS)[0])
        assert evoked.data[evoked.ch_names.index(row.target), i_lag] == row.score
    assert evoked.comment == f"01 words {metric}"
    before = evoked.copy()
    np.testing.assert_array_equal(evoked.apply_function(lambda x: -x).data, -before.data)


def test_sensors_are_where_they_were_and_those_without_a_place_are_bad(epochs):
    folder, _, places = epochs
    evoked = export.evoked_scores(folder)
    for channel in evoked.info["chs"]:
        place = places.set_index("target").loc[channel["ch_name"], list("xyz")].to_numpy(float)
        np.testing.assert_array_equal(channel["loc"][:3], place)
    assert evoked.info["bads"] == ["E1"]
    np.testing.assert_array_equal(evoked.info["dev_head_t"]["trans"], np.eye(4))
    assert evoked.ch_names.index("E1") not in mne.pick_types(evoked.info, meg=False, eeg=True)  # what mne draws


def test_evoked_data_are_read_again_as_they_were(epochs):
    folder, _, _ = epochs
    [path] = export.write_objects(folder, folder / "out", to="fif")
    assert path.name == "01_words_pearson-ave.fif"
    evoked, read = export.evoked_scores(folder), mne.read_evokeds(path, verbose="ERROR")[0]
    np.testing.assert_array_equal(read.data, evoked.data.astype(np.float32))
    np.testing.assert_allclose(read.times, evoked.times, atol=1e-8)
    assert (read.ch_names, read.info["bads"], read.comment) == (evoked.ch_names, ["E1"], evoked.comment)
    for ours, theirs in zip(evoked.info["chs"], read.info["chs"], strict=True):
        np.testing.assert_allclose(theirs["loc"][:3], ours["loc"][:3], atol=1e-8)


def test_kinds_of_sensors_are_taken_one_by_one(epochs):
    folder, _, _ = epochs
    assert export.evoked_scores(folder, channel_type="grad").ch_names == [
        "MEG 0123",
        "MEG 0122",
        "MEG 0113",
        "MEG 0112",
    ]
    with pytest.raises(UnknownName, match=r"unknown channel type 'meg'.*known: eeg, grad, mag"):
        export.evoked_scores(folder, channel_type="meg")


def test_mne_draws_them(epochs):
    folder, _, _ = epochs
    import matplotlib.pyplot as plt

    for kind in ("mag", "grad", "eeg"):
        evoked = export.evoked_scores(folder, channel_type=kind)
        evoked.plot_topomap(times=[0.0, 0.1], scalings=1, units="r", show=False)
    plt.close("all")


def test_a_continuous_model_has_one_time_and_nan_stays_nan(tmp_path):
    places = sensors()
    table = results(tmp_path, targets=places["target"], places=places, data={})
    table.loc[table["target"] == "E2", "score"] = np.nan
    write_tsv(table, tmp_path / "scores.tsv")
    evoked = export.evoked_scores(tmp_path)
    assert evoked.times.tolist() == [0.0]
    expected = table[table["metric"] == "pearson"].set_index("target")["score"]
    np.testing.assert_array_equal(evoked.data[:, 0], expected[evoked.ch_names])
    assert np.isnan(evoked.data).sum() == 1


def test_response_functions_are_weights_over_lags(epochs):
    folder, _, places = epochs
    rows = [
        {"subject": "01", "target": target, "feature_space": "words", "weights": "", "layer": "", "unit": unit,
         "lag": lag, "weight": sign * (i + lag)}
        for i, target in enumerate(places["target"]) for unit, sign in (("rate", 1), ("length", -1)) for lag in LAGS
    ]  # fmt: skip
    write_tsv(pd.DataFrame(rows), folder / "response_functions.tsv")
    evoked = export.evoked_functions(folder, unit="length")
    np.testing.assert_allclose(evoked.data, -(np.arange(12)[:, None] + LAGS))
    assert evoked.ch_names == places["target"].tolist()
    assert evoked.times == pytest.approx(LAGS)
    with pytest.raises(BrainalignError, match=r"say which unit, there are 2: rate; length"):
        export.evoked_functions(folder)
    names = [path.name for path in export.write_objects(folder, folder / "out", to="fif")]
    assert names[1:] == ["01_words_rate_function-ave.fif", "01_words_length_function-ave.fif"]
    assert mne.read_evokeds(folder / "out" / names[1], verbose="ERROR")[0].data[3, 1] == pytest.approx(2.9)
    alike = pd.DataFrame(rows).replace({"unit": {"rate": "a/b", "length": "a-b"}})
    write_tsv(alike, folder / "response_functions.tsv")
    with pytest.raises(BrainalignError, match=r"two units would be written as 01_words_a-b_function-ave.fif"):
        export.write_objects(folder, folder / "other", to="fif")


def test_lags_of_unequal_steps_are_refused(epochs):
    folder, table, _ = epochs
    write_tsv(table[table["lag"] != 0.1], folder / "scores.tsv")
    with pytest.raises(Misaligned, match="lags of unequal steps"):
        export.evoked_scores(folder)


def test_a_model_must_be_named_where_there_are_several(tmp_path):
    places = sensors()
    table = results(
        tmp_path, targets=places["target"], places=places, data={}, spaces=("words", "sound"), subjects=("02", "mean")
    )
    with pytest.raises(BrainalignError, match=r"say which feature_space, there are 2: words; sound"):
        export.evoked_scores(tmp_path)
    with pytest.raises(UnknownName, match=r"unknown feature space 'word' \(did you mean 'words'\?\)"):
        export.evoked_scores(tmp_path, feature_space="word")
    for subject in ("02", "mean", None):
        evoked = export.evoked_scores(tmp_path, feature_space="sound", subject=subject)
        chosen = table.query("metric == 'pearson' and feature_space == 'sound' and subject == @subject" if subject else
                             "metric == 'pearson' and feature_space == 'sound' and subject == 'mean'")  # fmt: skip
        np.testing.assert_array_equal(evoked.data[:, 0], chosen["score"])


def test_layers_are_the_nested_choice_unless_named(tmp_path):
    places = sensors()
    table = results(tmp_path, targets=places["target"], places=places, data={})
    layers = [table.assign(layer=name, score=table["score"] + i) for i, name in enumerate(("nested", "1", "2"))]
    write_tsv(pd.concat(layers), tmp_path / "scores.tsv")
    expected = table.loc[table["metric"] == "pearson", "score"].to_numpy()
    np.testing.assert_array_equal(export.evoked_scores(tmp_path).data[:, 0], expected)
    np.testing.assert_array_equal(export.evoked_scores(tmp_path, layer="2").data[:, 0], expected + 2)


def voxels():
    ijk = np.argwhere(np.random.default_rng(2).random((5, 6, 4)) < 0.3)
    return pd.DataFrame(ijk, columns=list("ijk")).assign(target=["-".join(map(str, v)) for v in ijk])


def grids(*affines, shape=(5, 6, 4)):
    return {"subjects": {f"{i:02d}": {"grid": {"shape": list(shape), "affine": a}} for i, a in enumerate(affines, 1)}}


def test_scores_of_voxels_are_where_the_voxels_are(tmp_path):
    places = voxels()
    table = results(tmp_path, targets=places["target"][::-1], places=places, data=grids(AFFINE))
    image = export.score_image(tmp_path)
    values = image.get_fdata()
    np.testing.assert_array_equal(image.affine, AFFINE)
    assert image.header.get_xyzt_units()[0] == "mm"
    expected = np.full((5, 6, 4), np.nan)
    for row in table[table["metric"] == "pearson"].itertuples():
        expected[tuple(int(n) for n in row.target.split("-"))] = row.score
    np.testing.assert_array_equal(values, expected)
    [path] = export.write_objects(tmp_path, tmp_path / "out", to="nifti")
    read = nibabel.load(path)
    np.testing.assert_array_equal(read.get_fdata(), expected)
    np.testing.assert_allclose(read.affine, AFFINE)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["01_words_pearson.nii.gz"]


def test_the_mean_of_people_on_other_grids_is_no_image(tmp_path):
    moved = [[-3.0, 0, 0, 91], *AFFINE[1:]]
    places = voxels()
    results(tmp_path, targets=places["target"], places=places, data=grids(AFFINE, moved), subjects=("01", "02", "mean"))
    with pytest.raises(Misaligned, match="different grids"):
        export.score_image(tmp_path)
    np.testing.assert_array_equal(export.score_image(tmp_path, subject="02").affine, moved)


def test_a_voxel_in_two_regions_has_one_score(tmp_path):
    places = pd.DataFrame({"target": ["a/1-1-1", "b/1-1-1", "b/2-1-1"], "i": [1, 1, 2], "j": 1, "k": 1})
    table = results(tmp_path, targets=places["target"], places=places, data=grids(AFFINE))
    with pytest.raises(Misaligned, match=r"[ab]/1-1-1 has another score at the same place"):
        export.score_image(tmp_path)
    table["score"] = 0.25
    write_tsv(table, tmp_path / "scores.tsv")
    assert np.isfinite(export.score_image(tmp_path).get_fdata()).sum() == 2


def test_regions_are_painted_where_the_atlas_has_them(tmp_path):
    labels = np.random.default_rng(3).integers(0, 4, (5, 6, 4)).astype(np.int16)
    atlas = nibabel.Nifti1Image(labels, np.array(AFFINE))
    table = results(
        tmp_path, targets=["2", "left A1"], places=pd.DataFrame({"target": ["2", "left A1"]}), data=grids(AFFINE)
    )
    image = export.score_image(tmp_path, atlas=atlas, names={3: "left A1"})
    assert image.header.get_xyzt_units()[0] == "mm"
    values = image.get_fdata()
    score = table[table["metric"] == "pearson"].set_index("target")["score"]
    assert set(values[labels == 2]) == {score["2"]}
    assert set(values[labels == 3]) == {score["left A1"]}
    assert np.isnan(values[labels < 2]).all()
    with pytest.raises(MissingData, match=r"1 of 2 regions are not in the atlas, the first is 'left A1'"):
        export.score_image(tmp_path, atlas=atlas)
    with pytest.raises(MissingData, match="no voxels; of regions give the `atlas`"):
        export.score_image(tmp_path)


def vertices(n_left, n_right, step=1):
    sides = [("left", n_left), ("right", n_right)]
    frames = [pd.DataFrame({"hemisphere": side, "vertex": np.arange(0, n, step)}) for side, n in sides]
    table = pd.concat(frames, ignore_index=True)
    return table.assign(target=[f"{side[0].upper()}-{v}" for side, v in zip(table["hemisphere"], table["vertex"],
                                                                           strict=True)])  # fmt: skip


def test_scores_of_vertices_are_on_their_side(tmp_path):
    places = vertices(10242, 10242, step=7)
    data = {"subjects": {"01": {"grid": {"n_left": 10242, "n_right": 10242}}}}
    table = results(tmp_path, targets=places["target"][::-1], places=places, data=data)
    image = export.score_surface(tmp_path)
    of_metric = table[table["metric"] == "pearson"]
    for side, letter in (("left", "L"), ("right", "R")):
        expected = np.full(10242, np.nan)
        rows = of_metric[of_metric["target"].str.startswith(letter)]
        expected[[int(name[2:]) for name in rows["target"]]] = rows["score"]
        np.testing.assert_array_equal(image.data.parts[side], expected)
        assert image.mesh.parts[side].n_vertices == 10242
    paths = export.write_objects(tmp_path, tmp_path / "out", to="gifti")
    for path, side in zip(paths, ("left", "right"), strict=True):
        read = nibabel.load(path)
        np.testing.assert_array_equal(read.darrays[0].data, image.data.parts[side].astype(np.float32))
        assert dict(read.meta)["AnatomicalStructurePrimary"] == f"Cortex{side.title()}"
    assert paths[0].name == "01_words_pearson_hemi-L.func.gii"


def test_a_surface_that_is_not_here_is_asked_for(tmp_path):
    from nilearn.datasets import load_fsaverage

    places, grid = vertices(12, 10), {"n_left": 12, "n_right": 10}
    results(tmp_path, targets=places["target"], places=places, data={"subjects": {"01": {"grid": grid}}})
    with pytest.raises(MissingData, match="give its `mesh`"):
        export.score_surface(tmp_path)
    with pytest.raises(Misaligned, match=r"12, 'right': 10.*10242"):
        export.score_surface(tmp_path, mesh=load_fsaverage("fsaverage5")["pial"])


def test_what_is_no_sensor_voxel_or_vertex_is_told(tmp_path):
    places = voxels()
    results(tmp_path, targets=places["target"], places=places, data=grids(AFFINE))
    with pytest.raises(MissingData, match="no sensors"):
        export.evoked_scores(tmp_path)
    with pytest.raises(MissingData, match="no vertices"):
        export.score_surface(tmp_path)
    with pytest.raises(UnknownName, match="unknown format 'nift'"):
        export.write_objects(tmp_path, tmp_path / "out", to="nift")
    assert not (tmp_path / "out").exists()


def test_the_table_has_every_score_and_its_place(epochs):
    folder, table, places = epochs
    frame = export.scores_frame(folder)
    assert len(frame) == len(table)
    np.testing.assert_array_equal(frame["score"], table["score"])
    assert frame["channel_type"].tolist() == places.set_index("target").loc[table["target"], "channel_type"].tolist()
    assert len(export.scores_frame(folder, metric="r2", feature_space="words")) == len(table) // 2
    [path] = export.write_objects(folder, folder / "out", to="csv")
    np.testing.assert_array_equal(pd.read_csv(path)["score"], table["score"])


def test_a_run_with_a_group_mean_is_exported(tmp_path):
    """From an experiment as it runs: the simulated story has no places, so there is a table and nothing else."""
    from brainalign.results import read_table, run_experiment

    encode = {"outer": {"kind": "groups"}, "inner": {"kind": "groups"}}
    table = {**CONFIG, "features": {"words": CONFIG["features"]["words"]}, "encode": encode}
    run_experiment(parse_experiment({**table, "data": {"set": "simulated", "n_subjects": 2}}), tmp_path)
    frame = export.scores_frame(tmp_path)
    np.testing.assert_array_equal(frame["score"], read_table(tmp_path, "scores")["score"])
    with pytest.raises(MissingData, match="no sensors"):
        export.evoked_scores(tmp_path)
