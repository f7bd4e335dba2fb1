"""Fixed random vectors for stimuli."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from brainalign.errors import BrainalignError
from brainalign.extract import random_embedding

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]


def of(events, **settings):
    return random_embedding.extract(events, random_embedding.Config(**settings))["-"]


def test_the_contract_of_extractors(word_events):
    check_extractor(
        random_embedding, random_embedding.Config(dimension=7), word_events(["so", "she", "was"], ["so", "—"])
    )


def test_a_word_has_one_vector_in_every_run_order_and_data_set(word_events):
    got = of(word_events(["Alice", "was", "“alice!”"], ["was"]), dimension=50).values
    np.testing.assert_array_equal(got[0], got[2])
    np.testing.assert_array_equal(got[1], got[3])
    assert not np.isclose(got[0], got[1]).any()
    other = of(word_events(["the", "rabbit", "was", "ALICE"]), dimension=50).values
    np.testing.assert_array_equal(other[2:], got[[1, 0]])


def test_a_vector_never_changes():
    """Other numbers here mean that every control computed before is another one."""
    got = random_embedding.random_vector("alice", seed=0, dimension=3)
    np.testing.assert_allclose(got, [-1.0923601, 1.2451258, -0.38986704], rtol=1e-6)


def test_dimension_only_cuts_the_vector_and_the_seed_changes_all_of_it(word_events):
    events = word_events(["so", "she", "was"])
    long, short = (of(events, dimension=dimension).values for dimension in (64, 5))
    np.testing.assert_array_equal(long[:, :5], short)
    assert not np.isclose(of(events, dimension=64, seed=1).values, long).any()


def test_vectors_are_standard_normal_and_unrelated(word_events):
    values = of(word_events([f"w{i}" for i in range(300)]), dimension=200).values
    assert stats.kstest(values.ravel(), "norm").pvalue > 0.01
    related = np.corrcoef(values)[np.triu_indices(300, 1)] * np.sqrt(200)
    assert stats.kstest(related, "norm").pvalue > 0.001
    assert np.abs(related).max() < 6


def test_sentences_are_told_apart_by_their_text(word_events):
    events = word_events(["She was late.", "she was late", " She was late."]).rename(columns={"word": "sentence"})
    got = of(events, dimension=4)
    np.testing.assert_array_equal(got.values[0], got.values[2])
    assert not np.isclose(got.values[0], got.values[1]).any()
    assert got.provenance["n_stimuli"] == 2
    assert got.rows["sentence"].tolist() == events["sentence"].tolist()


def test_files_are_told_apart_by_their_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(name.encode())
    shutil.copy(tmp_path / "a" / "1.png", tmp_path / "copy.png")
    paths = [str(tmp_path / name) for name in ("a/1.png", "b/1.png", "copy.png", "a/1.png")]
    events = pd.DataFrame({"run": "1", "onset": [0.0, 1, 2, 3], "duration": 1.0, "image": paths})
    got = of(events, dimension=6)
    np.testing.assert_array_equal(got.values[[2, 3]], got.values[[0, 0]])
    assert not np.isclose(got.values[0], got.values[1]).any()
    assert random_embedding.stimulus_files(events) == [Path(path) for path in paths[:3]]
    assert got.rows["image"].tolist() == paths
    sounds = events.rename(columns={"image": "audio"}).assign(audio_start=[0.0, 0.0, 0.0, 2.5])
    parts = of(sounds, dimension=6).values
    np.testing.assert_array_equal(parts[2], parts[0])
    assert not np.isclose(parts[3], parts[0]).any()


def test_what_is_missing_is_named(tmp_path, word_events):
    events = pd.DataFrame({"run": "1", "onset": [0.0], "duration": 1.0, "image": [str(tmp_path / "none.png")]})
    for wrong, message in (
        (events, "none.png: no such file"),
        (events.drop(columns="image"), r"none of the columns \['word', 'sentence', 'image', 'video', 'audio'\]"),
        (events.drop(columns="onset"), r"lack the columns \['onset'\]"),
        (word_events(["so", " "]), "1 events hold no text, the first is event 1"),
    ):
        with pytest.raises(BrainalignError, match=message):
            of(wrong)
        assert len(random_embedding.check(wrong, random_embedding.Config())) == 1
