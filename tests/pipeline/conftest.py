"""A continuous recording that tests of several steps share."""

import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Recording, Responses
from brainalign.data import DATASETS


@pytest.fixture
def meg(monkeypatch):
    """A continuous recording of 2 runs at 50 Hz: channel A follows word length 100 ms after the onset, B is noise."""
    rng = np.random.default_rng(0)
    rows, events, values = [], [], []
    for run in ("1", "2", "3", "4"):
        n_words = 60
        onsets = 1.0 + np.cumsum(rng.uniform(0.3, 0.6, n_words))
        text = ["a" * n for n in rng.integers(1, 9, n_words)]
        events.append(pd.DataFrame({"run": run, "onset": onsets, "duration": 0.2, "word": text}))
        times = np.arange(0, onsets[-1] + 2, 0.02)
        rows.append(pd.DataFrame({"run": run, "time": times, "duration": 0.02, "bad": times > onsets[-3] + 0.1}))
        driven = np.zeros(len(times))
        driven[np.rint(onsets / 0.02).astype(int) + 5] = [len(word) for word in text]
        noise = rng.standard_normal((len(times), 2))
        values.append(np.column_stack([driven, np.zeros(len(times))]) + 0.5 * noise)
    columns = pd.DataFrame({"subject": "s", "target": ["A", "B"], "channel_type": "mag", "x": 0.0, "y": 0.0, "z": 0.1})
    recorded = Responses(1e-13 * np.vstack(values), pd.concat(rows, ignore_index=True), columns)
    recording = Recording(pd.concat(events, ignore_index=True), recorded)
    monkeypatch.setattr(DATASETS["simulated"], "load", lambda *_: recording)
    return recording
