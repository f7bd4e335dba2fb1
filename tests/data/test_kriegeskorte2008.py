"""Images and dissimilarities without a recording."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import squareform

from brainalign.arrays import Rdms, sha256_of
from brainalign.compare.rsa import COMPARISONS, noise_ceiling, pearson
from brainalign.data import DATASETS, kriegeskorte2008
from brainalign.data._manifest import load_manifest
from brainalign.errors import BrainalignError, MissingData


@pytest.fixture(scope="module")
def facts():
    return load_manifest("kriegeskorte2008").facts


@pytest.fixture(scope="module")
def rdms(data_dir):
    return kriegeskorte2008.published_rdms(data_dir)


@pytest.fixture(scope="module")
def images(data_dir):
    return kriegeskorte2008.load_images(data_dir)


def of(rdms, **chosen):
    keep = np.all([rdms.rows[name] == value for name, value in chosen.items()], axis=0)
    return rdms.take_rows(keep).values


def test_it_has_dissimilarities_and_no_recording():
    assert callable(DATASETS["kriegeskorte2008"].load_rdms)
    assert not hasattr(kriegeskorte2008, "load")


@pytest.mark.parametrize(
    ("targets", "models", "n_rdms"), [(("human_it", "monkey_it"), True, 9), (("human_it",), False, 8)]
)
def test_an_experiment_is_given_what_it_asks_for(data_dir, tmp_path, monkeypatch, targets, models, n_rdms):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stimuli = kriegeskorte2008.load_rdms(kriegeskorte2008.Config(targets=targets, models=models), data_dir)
    assert stimuli.brains.shape == (n_rdms, 4186)
    assert tuple(stimuli.brains.rows["target"].unique()) == targets
    assert (stimuli.models is not None) == models
    if models:
        names = stimuli.models.rows["name"].tolist()
        assert "EVA" in names
        assert "monkeyIT" not in names
    written = list(tmp_path.rglob("*.ppm"))
    assert sorted(stimuli.events["image"]) == sorted(map(str, written))
    before = {path: path.stat().st_mtime_ns for path in written}
    kriegeskorte2008.load_rdms(kriegeskorte2008.Config(), data_dir)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ppm")} == before


def test_a_cache_that_cannot_be_written_is_named(data_dir, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BrainalignError, match=r"cannot write the images into .*XDG_CACHE_HOME"):
        kriegeskorte2008.load_rdms(kriegeskorte2008.Config(), data_dir)


def test_there_are_as_many_rdms_as_published(rdms, facts):
    people = rdms.rows[rdms.rows["source"] == "human_it"]
    assert people.groupby("subject").size().to_dict() == dict.fromkeys(["BE", "KO", "SN", "TI"], 2)
    assert people["subject"].nunique() == facts["n_human_subjects"]
    assert set(people["session"]) == {"1", "2"}
    assert len(set(people["session"])) == facts["n_human_sessions"]
    behaviour = rdms.rows[rdms.rows["source"] == "behaviour"]
    assert list(behaviour["subject"]) == [f"subject{i}" for i in range(1, facts["n_behaviour_subjects"] + 1)]
    models = list(rdms.rows.loc[rdms.rows["source"] == "model", "name"])
    published = ["animacy", "FaceBodyManmadeNatobj", "monkeyIT", "EVA", "HMAX", "V1", "Silhouette", "RADON"]
    assert len(published) == facts["n_models"]
    assert models == [*published, "HMAXnatImPatch"]
    assert rdms.shape == (8 + 2 + 16 + 9, facts["n_images"] * (facts["n_images"] - 1) // 2)
    assert rdms.values.dtype == np.float64
    assert np.isfinite(rdms.values).all()
    assert (rdms.values >= 0).all()
    assert not rdms.rows.duplicated(["source", "subject", "session", "name"]).any()


def test_monkey_and_man_correlate_as_published(rdms, facts):
    r = pearson(of(rdms, source="monkey_it"), of(rdms, source="human_it_mean"))[0, 0]
    assert r == pytest.approx(facts["monkey_human_r"], abs=5e-5)
    assert r == pytest.approx(facts["published_monkey_human_r"], abs=5e-3)


def test_the_human_mean_is_that_of_the_eight_sessions(rdms):
    np.testing.assert_allclose(of(rdms, source="human_it").mean(axis=0), of(rdms, source="human_it_mean")[0], atol=1e-7)


def test_pairs_are_in_one_order_everywhere(rdms, images):
    """The square RDM of monkey IT among the models is the condensed one of figure 1; animacy is that of the images."""
    monkey = of(rdms, source="monkey_it")[0]
    np.testing.assert_array_equal(of(rdms, name="monkeyIT")[0], monkey)
    first, second = rdms.columns["first"].to_numpy(), rdms.columns["second"].to_numpy()
    np.testing.assert_allclose(squareform(monkey)[first, second], monkey)
    animate = images[1]["animate"].to_numpy()
    np.testing.assert_array_equal(of(rdms, name="animacy")[0], animate[first] != animate[second])


def test_sessions_of_a_subject_are_in_their_rows(rdms, data_dir):
    from scipy.io import loadmat

    published = loadmat(data_dir / "kriegeskorte2008/92_brainRDMs.mat")["RDMs"][0]  # (4, 2)
    assert published[2, 1]["name"][0] == "hIT | SN | Session: 2"
    np.testing.assert_array_equal(
        squareform(of(rdms, source="human_it", subject="SN", session="2")[0]), published[2, 1]["RDM"]
    )


def test_images(images, facts):
    pictures, categories = images
    assert pictures.shape == (facts["n_images"], *facts["image_shape"])
    assert pictures.dtype == facts["image_dtype"]
    assert len({picture.tobytes() for picture in pictures}) == facts["n_images"]
    np.testing.assert_array_equal(pictures[:, 0, 0], 128)
    assert categories["category"].value_counts().to_dict() == {
        "human bodypart": 12,
        "human face": 12,
        "nonhuman bodypart": 12,
        "nonhuman face": 12,
        "natural inanimate": 23,
        "artificial inanimate": 21,
    }


def test_categories_agree_with_their_labels(images):
    categories = images[1]
    text = categories["category"]
    assert (categories["animate"] == ~text.str.endswith("inanimate")).all()
    assert (categories["inanim"] == ~categories["animate"]).all()
    assert (categories["human"] == text.str.startswith("human")).all()
    assert (categories["nonhumani"] == text.str.startswith("nonhuman")).all()
    assert (categories["face"] == text.str.endswith("face")).all()
    assert (categories["body"] == text.str.endswith("bodypart")).all()
    assert (categories["natObj"] == text.str.startswith("natural")).all()
    assert (categories["artiObj"] == text.str.startswith("artificial")).all()
    assert categories["monkeyape"].sum() == 7
    assert (categories["face"] | ~categories["monkeyape"] | categories["nonhumani"]).all()


@pytest.mark.parametrize("comparison", list(COMPARISONS))
def test_the_subjects_agree_and_the_models_stay_under_the_ceiling(rdms, comparison):
    people = of(rdms, source="human_it").reshape(4, 2, -1).mean(axis=1)
    ceiling = noise_ceiling(people, comparison=comparison)
    assert 0.2 < ceiling.lower < ceiling.upper < 1
    similarity = COMPARISONS[comparison](people, of(rdms, source="model")).mean(axis=0)
    assert (similarity < ceiling.upper).all()
    if comparison != "cosine":
        names = list(rdms.rows.loc[rdms.rows["source"] == "model", "name"])
        assert names[int(np.argmax(similarity))] == "animacy"


def test_provenance_names_every_file(rdms, data_dir):
    assert len(rdms.provenance["files"]) == 5
    for path, sha256 in rdms.provenance["files"].items():
        assert sha256 == sha256_of(data_dir / path)


def test_rdms_are_saved_and_read_back(rdms, tmp_path):
    rdms.save(tmp_path)
    again = Rdms.load(tmp_path)
    np.testing.assert_array_equal(again.values, rdms.values)
    pd.testing.assert_frame_equal(again.rows, rdms.rows)


def test_written_images_are_the_same_pixels(images, data_dir, tmp_path):
    events = kriegeskorte2008.write_images(data_dir, tmp_path / "images")
    assert events.columns[:4].tolist() == ["run", "onset", "duration", "image"]
    assert len(events) == 92
    assert events["onset"].tolist() == list(range(92))
    for path, picture in zip(events["image"], images[0], strict=True):
        with Image.open(path) as file:
            assert file.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(file), picture)
    assert events["category"].tolist() == images[1]["category"].tolist()


def test_absent_and_changed_files_are_refused(tmp_path, data_dir):
    with pytest.raises(MissingData, match=r"(?s)92_brainRDMs\.mat.*brainalign fetch kriegeskorte2008"):
        kriegeskorte2008.load_rdms(kriegeskorte2008.Config(), tmp_path)
    folder = tmp_path / "kriegeskorte2008"
    folder.mkdir()
    cut = (data_dir / "kriegeskorte2008" / kriegeskorte2008.MAIN).read_bytes()[:-100]
    (folder / kriegeskorte2008.MAIN).write_bytes(cut)
    with pytest.raises(MissingData, match="not the published file"):
        kriegeskorte2008.load_images(tmp_path)


def test_what_is_no_rdm_is_refused():
    square = np.ones((92, 92)) - np.eye(92)
    assert kriegeskorte2008._condensed(square, "x").shape == (4186,)
    crooked = square.copy()
    crooked[3, 5] = 2
    for wrong in (square[:91, :91], square + np.eye(92), crooked, np.ones(4185), np.full(4186, np.nan)):
        with pytest.raises(MissingData, match="x is no"):
            kriegeskorte2008._condensed(wrong, "x")
