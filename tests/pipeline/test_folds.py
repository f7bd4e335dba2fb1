import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Recording, Responses
from brainalign.config import Splits
from brainalign.errors import BrainalignError
from brainalign.pipeline.folds import make_folds, overlapping_epochs, stimuli_of_samples


def responses(values, run, subjects=("a",), **rows):
    n_samples, n_columns = values.shape
    targets = [f"t{i}" for i in range(n_columns // len(subjects))]
    columns = pd.DataFrame({"subject": np.repeat(subjects, len(targets)), "target": targets * len(subjects)})
    table = pd.DataFrame({"run": run, "time": np.arange(n_samples) * 2.0, "duration": 2.0, **rows})
    return Responses(values, table, columns)


def words(run_words):
    rows = [
        {"run": run, "onset": 2.0 * i, "duration": 0.3, "word": w} for run, ws in run_words for i, w in enumerate(ws)
    ]
    return pd.DataFrame(rows)


def test_two_runs_of_one_story_share_their_stimuli_and_cannot_be_split():
    events = words([("1", "abcdef"), ("2", "abcdef"), ("3", "ghijkl"), ("4", "mnopqr")])
    run = np.repeat(["1", "2", "3", "4"], 6)
    recording = Recording(events, responses(np.zeros((24, 1)), run))
    stimulus = stimuli_of_samples(recording)
    assert (stimulus[:6] == stimulus[6:12]).all()
    assert len(set(stimulus)) == 18
    for leaking in (Splits(kind="groups", by="run"), Splits(kind="blocks", n=4)):
        with pytest.raises(BrainalignError, match="training and in the test set"):
            make_folds(leaking, recording, stimulus)
    folds = make_folds(Splits(kind="groups", by="stimulus"), recording, stimulus)
    assert [len(fold.test) for fold in folds] == [12, 6, 6]


def test_a_repeated_sentence_cannot_be_split():
    sentences = [f"s{i % 10}" for i in range(20)]
    events = pd.DataFrame({"run": "1", "onset": np.arange(20.0), "duration": 1.0, "sentence": sentences})
    recording = Recording(events, responses(np.zeros((20, 1)), "1", event=np.arange(20)))
    stimulus = stimuli_of_samples(recording)
    with pytest.raises(BrainalignError, match="stimulus 's0'"):
        make_folds(Splits(kind="blocks", n=4), recording, stimulus)
    folds = make_folds(Splits(kind="groups", by="stimulus"), recording, stimulus)
    assert len(folds) == 10


def test_the_number_of_folds_of_groups_is_honoured():
    recording = Recording(words([("a", "x")]), responses(np.zeros((30, 1)), np.repeat(list("abcdef"), 5)))
    stimulus = np.arange(30).astype(str)
    assert len(make_folds(Splits(kind="groups"), recording, stimulus)) == 6
    assert len(make_folds(Splits(kind="groups", n=3), recording, stimulus)) == 3


def test_words_in_a_text_may_come_again_and_texts_may_not():
    """Epochs of words: "the" is in training and test, the same story told twice must not be."""
    events = words([("1", "abcabc"), ("2", "defdef"), ("3", "abcabc")])
    kept = np.array([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17])
    run = events["run"].to_numpy()[kept]
    recording = Recording(events, responses(np.zeros((len(kept), 1)), run, event=kept))
    stimulus = stimuli_of_samples(recording)
    assert len(set(stimulus)) == 12
    assert stimulus[14] == stimulus[4]  # the fifth word of both tellings, though word 15 was dropped
    assert [len(fold.test) for fold in make_folds(Splits(kind="groups", by="stimulus"), recording, stimulus)] == [10, 6]
    with pytest.raises(BrainalignError, match="training and in the test set"):
        make_folds(Splits(kind="groups", by="run"), recording, stimulus)


def test_epochs_that_overlap_are_counted():
    rows = pd.DataFrame({"run": ["a"] * 4 + ["b"] * 2, "time": [0.0, 0.5, 0.9, 3.0, 0.0, 0.1]})
    assert overlapping_epochs(rows, seconds=1.0) == 2
    assert overlapping_epochs(rows, seconds=0.05) == 0


def test_a_copy_of_a_picture_is_the_same_stimulus(tmp_path):
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(bytes([i % 4]))
    images = [str(tmp_path / f"{i}.png") for i in range(8)]
    events = pd.DataFrame({"run": "1", "onset": np.arange(8.0), "duration": 1.0, "image": images})
    recording = Recording(events, responses(np.zeros((8, 1)), "1", event=np.arange(8)))
    stimulus = stimuli_of_samples(recording)
    assert (stimulus[:4] == stimulus[4:]).all()
    assert len(set(stimulus)) == 4
    with pytest.raises(BrainalignError, match="training and in the test set"):
        make_folds(Splits(kind="blocks", n=2), recording, stimulus)
