import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainalign.errors import Misaligned, UnknownName
from brainalign.extract import series

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]


@pytest.fixture
def table():
    onset = 2.0 * np.arange(6)
    return pd.DataFrame(
        {"run": "1", "onset": onset, "duration": 2.0, "sound_power": np.sin(onset), "arousal": [0, 1, 2, 3, 2, 1]}
    )


@pytest.mark.parametrize("columns", ["all", ("arousal",)])
def test_contract(table, columns):
    check_extractor(series, series.Config(columns=columns), table)


def test_columns_are_taken_as_they_are(table):
    layer = series.extract(table, series.Config(columns=("arousal", "sound_power")))["-"]
    assert layer.columns["unit"].tolist() == ["arousal", "sound_power"]
    np.testing.assert_array_equal(layer.values, table[["arousal", "sound_power"]].to_numpy(np.float32))


def test_an_unknown_series_lists_near_names(table):
    with pytest.raises(UnknownName, match="sound_power"):
        series.extract(table, series.Config(columns=("sound_powr",)))
    assert "sound_power" in series.check(table, series.Config(columns=("sound_powr",)))[0]


def test_a_value_that_is_not_finite_is_named(table):
    table.loc[3, "sound_power"] = np.nan
    with pytest.raises(Misaligned, match=r"'sound_power' is nan in row 3 \(run '1', 6.0 s\)"):
        series.extract(table, series.Config())


def test_a_value_that_is_no_number_is_named(table):
    table["mood"] = ["1", "2", "good", "1", "2", "3"]
    (problem,) = series.check(table, series.Config(columns=("mood",)))
    assert problem == "series 'mood' is good in row 2 (run '1', 4.0 s)"


def test_no_series_and_the_same_twice_are_refused(table):
    (problem,) = series.check(table[["run", "onset", "duration"]], series.Config())
    assert "no series beside run, onset, duration" in problem
    with pytest.raises(ValueError, match="each series once"):
        series.Config(columns=("arousal", "arousal"))
