"""How long an extraction will take, on an extractor whose time is known."""

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from brainalign.errors import BrainalignError
from brainalign.pipeline import duration
from brainalign.pipeline.duration import extraction_seconds, leading_part


def words(n):
    return pd.DataFrame({"run": "1", "onset": np.arange(float(n)), "duration": 0.3, "word": "a"})


def extractor(monkeypatch, *, load=2.0, per_event=0.05):
    """Give an extractor that takes `load + per_event * n_events` s by a clock of its own."""
    clock = [0.0]
    seen = []

    def extract(table, config, *, weights):
        seen.append(len(table))
        clock[0] += load + per_event * len(table)

    monkeypatch.setattr(duration.time, "perf_counter", lambda: clock[0])
    return SimpleNamespace(extract=extract, plan=lambda table, config: {"bytes_result": 8 * len(table)}), seen


def test_loading_is_counted_once_and_events_all(monkeypatch):
    module, seen = extractor(monkeypatch)
    assert extraction_seconds(module, words(10_000), None, weights="") == pytest.approx(2 + 0.05 * 10_000)
    assert max(seen) < 500  # it measured a part only


def test_what_is_quick_is_measured_whole(monkeypatch):
    module, seen = extractor(monkeypatch, per_event=1e-5)
    assert extraction_seconds(module, words(1000), None, weights="") == pytest.approx(2 + 0.01)
    assert seen[-1] == 1000


def test_work_is_counted_in_tokens_where_the_plan_has_them(monkeypatch):
    module, _ = extractor(monkeypatch)
    module.plan = lambda table, config: {"bytes_result": 1, "n_tokens_read": len(table) ** 2}
    parts = [words(158), words(79)]
    assert extraction_seconds(module, words(10_000), None, weights="") == pytest.approx(
        (2 + 0.05 * 158) + 0.05 * 79 / (len(parts[0]) ** 2 - len(parts[1]) ** 2) * (10_000**2 - 158**2), rel=0.1
    )


def test_a_part_that_is_too_short_is_passed_over(monkeypatch):
    module, _ = extractor(monkeypatch)
    extract = module.extract

    def extract_enough(table, config, *, weights):
        if len(table) < 100:
            raise BrainalignError("too few")
        extract(table, config, weights=weights)

    module.extract = extract_enough
    assert extraction_seconds(module, words(10_000), None, weights="") == pytest.approx(2 + 0.05 * 10_000)


def test_what_cannot_be_extracted_has_no_time(monkeypatch):
    module, _ = extractor(monkeypatch)

    def extract(*_, **__):
        raise BrainalignError("too few")

    module.extract = extract
    assert np.isnan(extraction_seconds(module, words(50), None, weights=""))


def test_the_first_part_of_words_is_the_first_words():
    assert leading_part(words(10), 0.25)["onset"].tolist() == [0, 1, 2]
    assert len(leading_part(words(10), 1.0)) == 10


def test_the_first_part_of_sounds_is_cut_short():
    sounds = pd.DataFrame({"run": "1", "onset": [0.0, 100.0], "duration": [60.0, 40.0], "audio": ["a.wav", "b.wav"]})
    assert leading_part(sounds, 0.1)["duration"].tolist() == [10]
    assert leading_part(sounds, 0.8)["duration"].tolist() == [60, 20]
    assert leading_part(sounds, 1.0)["duration"].tolist() == [60, 40]


def test_a_real_extractor_is_timed():
    from brainalign.data import simulated
    from brainalign.extract import EXTRACTORS

    module = EXTRACTORS["words"]
    events = simulated.load(simulated.Config(n_subjects=1), None).events
    start = time.perf_counter()
    seconds = extraction_seconds(module, events, module.Config(quantities=("rate",)), weights="")
    assert 0 < seconds <= time.perf_counter() - start
