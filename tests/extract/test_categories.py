import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainalign.align.samples import to_samples
from brainalign.errors import Misaligned, MissingData
from brainalign.extract import categories

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]


@pytest.fixture
def events():
    return pd.DataFrame(
        {
            "run": ["1", "1", "2", "2"],
            "onset": [15.0, 52.5, 15.0, 50.0],
            "duration": [22.5, 22.5, 5.0, 6.0],
            "category": ["face", "cat", "cat", "house"],
        }
    )


@pytest.mark.parametrize(
    ("config", "n_rows"),
    [
        (categories.Config(), None),
        (categories.Config(column=""), None),
        (categories.Config(step=2.5), 9 + 9 + 2 + 3),
    ],
)
def test_contract(events, config, n_rows):
    check_extractor(categories, config, events, n_rows=n_rows)


def test_a_unit_is_one_for_its_events_only(events):
    layer = categories.extract(events, categories.Config())["-"]
    assert layer.columns["unit"].tolist() == ["cat", "face", "house"]
    assert layer.values.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert not categories.own_clock(events, categories.Config())


def test_without_a_column_all_events_are_one_unit(events):
    layer = categories.extract(events, categories.Config(column=""))["-"]
    assert layer.columns["unit"].tolist() == ["event"]
    assert layer.values.tolist() == [[1]] * 4


def test_steps_make_a_boxcar_on_the_clock_of_the_volumes(events):
    config = categories.Config(step=2.5)
    assert categories.own_clock(events, config)
    layer = categories.extract(events, config)["-"]
    volumes = pd.DataFrame({"run": np.repeat(["1", "2"], 40), "time": np.tile(2.5 * np.arange(40), 2), "duration": 2.5})
    X = to_samples(layer, volumes)
    assert np.flatnonzero(X[:40, 1]).tolist() == list(range(6, 15))  # face, from 15 s to 37.5 s
    assert np.flatnonzero(X[40:, 0]).tolist() == [6, 7]
    assert np.flatnonzero(X[40:, 2]).tolist() == [20, 21, 22]
    assert X.max() == 1
    assert layer.rows["duration"].tolist()[-1] == pytest.approx(1.0)  # what is left of 6 s


def test_steps_that_do_not_divide_exactly_in_binary_make_no_row_too_many():
    events = pd.DataFrame({"run": ["1"], "onset": [0.0], "duration": [0.3], "category": ["a"]})
    assert len(categories.extract(events, categories.Config(step=0.1))["-"].rows) == 3


def test_what_is_missing_is_named(events):
    with pytest.raises(MissingData, match=r"no column 'trial_type', only \['run', 'onset', 'duration', 'category'\]"):
        categories.extract(events, categories.Config(column="trial_type"))
    (problem,) = categories.check(events.assign(category=["face", " ", "cat", ""]), categories.Config())
    assert problem == "2 events have no category, the first is event 1 (run '1', 52.5 s)"
    with pytest.raises(Misaligned, match="steps need durations: 1 events have none, the first is event 2"):
        categories.extract(events.assign(duration=[1.0, 1, 0, 1]), categories.Config(step=1.0))


def test_a_step_is_positive():
    with pytest.raises(ValueError, match="greater than 0"):
        categories.Config(step=0.0)
