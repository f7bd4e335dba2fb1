"""Heads of a continuous model, from tables made here."""

import numpy as np
import pandas as pd

from brainalign.report import sensors


class Page:
    """Collects what a report page is given."""

    def __init__(self):
        self.titles = []

    def add_image(self, path, *, title, caption, section):
        self.titles.append((section, title))


class Experiment:
    class encode:  # noqa: N801
        metric = "pearson"


def tables(n=10):
    rng = np.random.default_rng(0)
    places = pd.DataFrame(rng.uniform(0.03, 0.09, (n, 3)), columns=list("xyz"))
    places.insert(0, "target", [f"c{i}" for i in range(n)])
    places.insert(1, "channel_type", ["mag"] * (n // 2) + ["eeg"] * (n - n // 2))
    rows = [
        {"subject": subject, "feature_space": "words", "weights": "", "layer": "", "target": target, "metric": metric,
         "score": 9.0 if subject == "mean" or metric == "r2" else i + 2 * (subject == "b")}
        for subject in ("a", "b", "mean") for i, target in enumerate(places["target"]) for metric in ("pearson", "r2")
    ]  # fmt: skip
    return pd.DataFrame(rows), places


def test_a_row_of_heads_per_kind_of_sensor_of_the_average_over_single_subjects(monkeypatch):
    drawn = []
    real = sensors.model_topographies
    monkeypatch.setattr(sensors, "model_topographies", lambda table, label: drawn.append(table) or real(table))
    page, (scores, places) = Page(), tables()
    sensors.add_sections(page, Experiment, scores, places)
    assert page.titles == [("Topographies", "Scores on the head: mag"), ("Topographies", "Scores on the head: eeg")]
    together = pd.concat(drawn).set_index("target")["score"]
    assert together.to_dict() == {f"c{i}": i + 1.0 for i in range(10)}


def test_without_places_there_are_no_heads():
    page, (scores, places) = Page(), tables()
    sensors.add_sections(page, Experiment, scores, None)
    sensors.add_sections(page, Experiment, scores, places.drop(columns=["x", "y", "z"]))
    assert page.titles == []
