"""Response functions told in a report, from tables made here."""

import numpy as np
import pandas as pd
import pytest

from brainalign.report import functions

LAGS = np.linspace(-0.1, 0.4, 6)


def table(subjects=("s",)):
    rows = [
        pd.DataFrame({"subject": subject, "target": target, "feature_space": "words", "weights": "", "layer": "",
                      "unit": unit, "lag": LAGS, "weight": sign * size * np.exp(-((LAGS - peak) ** 2) / 0.01)})
        for subject, size in zip(subjects, (1.0, 3.0), strict=False)
        for target, sign in (("A", 1), ("B", -1))
        for unit, peak in (("rate", 0.1), ("length", 0.3))
    ]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def test_strength_is_the_root_mean_square_over_targets_whatever_the_sign():
    strength = functions.strengths(table(), None).set_index(["unit", "lag"])["strength"]
    assert strength["rate"].to_numpy() == pytest.approx(np.exp(-((LAGS[1:-1] - 0.1) ** 2) / 0.01))  # without edges


def test_single_subjects_are_averaged_and_their_mean_is_not_one_of_them():
    both = pd.concat([table(("s", "t")), table(("mean",)).assign(weight=99.0)])
    strength = functions.strengths(both, None).set_index(["unit", "lag"])["strength"]
    assert strength["rate"].max() == pytest.approx(2.0)


def test_peaks_are_told_in_milliseconds_per_unit_and_kind():
    places = pd.DataFrame({"target": ["A", "B"], "channel_type": ["mag", "grad"]})
    found = functions.peaks(functions.strengths(table(), places))
    assert found.groupby("unit")["peak_ms"].unique().map(lambda ms: ms.round().tolist()).to_dict() == {
        "length": [300.0], "rate": [100.0],
    }  # fmt: skip
    assert set(found["channel_type"]) == {"mag", "grad"}


def test_the_outermost_lags_are_left_out_fifty_milliseconds_or_a_tenth():
    wide = pd.DataFrame({"lag": np.round(np.arange(-0.15, 0.66, 0.01), 2)})
    assert functions.edge_of(wide["lag"]) == pytest.approx(0.05)
    kept = functions.without_edges(wide)["lag"]
    assert (kept.min(), kept.max()) == (-0.1, 0.6)
    narrow = pd.DataFrame({"lag": np.round(np.arange(0, 0.11, 0.01), 2)})
    kept = functions.without_edges(narrow)["lag"]
    assert (kept.min(), kept.max()) == (0.01, 0.09)
    single = pd.DataFrame({"lag": [0.1, 0.1]})
    assert len(functions.without_edges(single)) == 2
