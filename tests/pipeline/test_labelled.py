"""What is decoded: bad samples are left out as they are when models are fitted, and counted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Recording, Responses
from brainalign.config import Window
from brainalign.errors import Misaligned, UnknownName
from brainalign.pipeline.labelled import classes_of_events, epochs_of_events, samples_of_events

HOW = {"column": "category", "shift": 0.0}


def recording(bad=()):
    """Two runs of 12 samples of 1 s; three events of 3 s in each, of classes a, b, a and b, a, b."""
    onset = [0.0, 4.0, 8.0]
    events = pd.DataFrame(
        {"run": ["1"] * 3 + ["2"] * 3, "onset": onset * 2, "duration": 3.0, "category": list("aba") + list("bab")}
    )
    rows = pd.DataFrame({"run": np.repeat(["1", "2"], 12), "time": np.tile(np.arange(12.0), 2), "duration": 1.0})
    rows["bad"] = np.isin(np.arange(24), bad)
    columns = pd.DataFrame({"subject": "s", "target": ["x", "y"]})
    return Recording(events, Responses(np.arange(48.0).reshape(24, 2), rows, columns))


def test_bad_samples_are_left_out_of_a_mean():
    clean, marked = samples_of_events(recording(), **HOW), samples_of_events(recording(bad=[1]), **HOW)
    assert clean.X[0].tolist() == [2.0, 3.0]  # samples 0, 1, 2
    assert marked.X[0].tolist() == [2.0, 3.0]  # 0 and 2
    assert samples_of_events(recording(bad=[2]), **HOW).X[0].tolist() == [1.0, 2.0]
    assert marked.left_out == {}


def test_an_event_without_a_usable_sample_is_left_out_and_counted():
    samples = samples_of_events(recording(bad=[4, 5, 6]), **HOW)
    assert samples.labels.tolist() == ["a", "a", "b", "a", "b"]
    assert samples.run.tolist() == ["1", "1", "2", "2", "2"]
    assert samples.left_out == {"no usable sample": 1}
    of_run_2 = [12, 13, 14, 16, 17, 18, 20, 21, 22]
    with pytest.raises(Misaligned, match=r"all events of class 'b' are left out \(3 no usable sample\)"):
        samples_of_events(recording(bad=[4, 5, 6, 12, 13, 14, 20, 21, 22]), **HOW)
    assert samples_of_events(recording(bad=of_run_2), **HOW).left_out == {"no usable sample": 3}


def test_responses_to_single_events_that_are_bad_are_left_out():
    given = recording()
    rows = given.events[["run", "onset", "duration"]].rename(columns={"onset": "time"})
    rows = rows.assign(event=np.arange(6)[::-1], bad=[False, True, False, False, False, False])
    single = replace(given, responses=Responses(np.arange(12.0).reshape(6, 2), rows, given.responses.columns))
    samples = samples_of_events(single, **HOW)
    assert samples.X[:, 0].tolist() == [0.0, 4.0, 6.0, 8.0, 10.0]
    assert samples.labels.tolist() == ["b", "b", "a", "b", "a"]
    assert samples.left_out == {"no usable sample": 1}


def test_numbers_become_two_classes():
    events = recording().events.assign(size=[1.0, 2.0, 3.0, 0.5, 2.5, 2.0])
    classes = classes_of_events(events, column="size", threshold=2)
    assert classes.tolist() == ["size <= 2", "size <= 2", "size > 2", "size <= 2", "size > 2", "size <= 2"]
    with pytest.raises(Misaligned, match=r"decode\.threshold: 6 events have no number in category"):
        classes_of_events(events, column="category", threshold=2)
    with pytest.raises(Misaligned, match="1 events have no number in size"):
        classes_of_events(events.assign(size=[np.nan, 2, 3, 1, 2, 2]), column="size", threshold=2)
    with pytest.raises(UnknownName, match="did you mean 'size'"):
        classes_of_events(events, column="sise")


def test_epochs_that_hold_bad_samples_are_left_out_and_counted():
    responses, samples = epochs_of_events(recording(bad=[5]), column="category", window=Window(tmin=0.0, tmax=2.0))
    assert samples.X.shape == (5, 2 * 3)
    assert samples.labels.tolist() == ["a", "a", "b", "a", "b"]
    assert samples.X[0].tolist() == [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]  # all times of x, then all of y
    assert responses.columns["lag"].tolist() == [0.0, 1.0, 2.0] * 2
    assert samples.left_out == {"window holds bad samples": 1}
    bad_b = recording(bad=[5, 13, 21])
    with pytest.raises(Misaligned, match=r"class 'b' are left out \(3 window holds bad samples\)"):
        epochs_of_events(bad_b, column="category", window=Window(tmin=0.0, tmax=2.0))
    given = recording().responses
    single = replace(recording(), responses=replace(given, rows=given.rows.assign(event=0)))
    with pytest.raises(Misaligned, match=r"decode\.epochs: every sample is the response to one event"):
        epochs_of_events(single, column="category", window=Window())
