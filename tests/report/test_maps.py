"""Pages of many targets, from tables made here."""

import numpy as np
import pandas as pd
import pytest

from brainalign.report import maps


class Page:
    """Collects what a report page is given."""

    def __init__(self):
        self.titles, self.html = [], []

    def add_image(self, path, *, title, caption, section):
        self.titles.append((section, title))

    def add_html(self, text, *, title, section):
        self.titles.append((section, title))
        self.html.append(text)


class Experiment:
    class encode:  # noqa: N801
        metric = "pearson"


def scores(n):
    rows = pd.DataFrame({"target": [f"L-{i}" for i in range(n)], "score": np.linspace(-0.1, 0.3, n)})
    return rows.assign(subject="mean", feature_space="gpt2", weights="trained", layer="", metric="pearson")


def test_the_distribution_is_over_targets():
    table = maps.distribution_table(scores(101).assign(score=lambda t: t["score"].where(t.index > 0)), metric="pearson")
    row = table.iloc[0]
    assert row["n_targets"] == 100
    assert row["highest"] == pytest.approx(0.3)
    assert row["median"] == pytest.approx(0.102)
    assert row["share_above_0"] == pytest.approx(0.75)
    assert maps.distribution_table(scores(9).assign(score=np.nan), metric="pearson")["percentile_95"].isna().all()


def test_a_surface_has_a_map_and_a_page_to_turn():
    page, n = Page(), 10242
    places = pd.DataFrame({"target": [f"L-{i}" for i in range(n)], "hemisphere": "left", "vertex": np.arange(n)})
    unique = pd.DataFrame(columns=["subject", "feature_space", "target", "metric", "unique"])
    maps.add_sections(page, Experiment, scores(n), unique, places, None)
    assert page.titles == [
        ("Tables", "Scores over targets"), ("Maps", "gpt2 trained"), ("Maps", "gpt2 trained, to be turned"),
    ]  # fmt: skip
    assert "<iframe srcdoc=" in page.html[-1]
    assert 'src="http' not in page.html[-1]


def test_a_volume_has_a_glass_brain_and_unique_contributions_one_each():
    page, n = Page(), 60
    places = pd.DataFrame(
        {"target": [f"L-{i}" for i in range(n)], "i": np.arange(n) % 5, "j": np.arange(n) // 5, "k": 2}
    )
    unique = scores(n).rename(columns={"score": "unique"})[["subject", "feature_space", "target", "metric", "unique"]]
    grid = {"shape": [5, 12, 4], "affine": np.diag([8.0, 8, 8, 1]).tolist()}
    maps.add_sections(page, Experiment, scores(n), unique, places, grid)
    assert [title for section, title in page.titles if section == "Maps"] == [
        "gpt2 trained", "unique contribution of gpt2",
    ]  # fmt: skip


def test_targets_without_a_place_have_no_map():
    page = Page()
    unique = pd.DataFrame(columns=["subject", "feature_space", "target", "metric", "unique"])
    maps.add_sections(page, Experiment, scores(50), unique, None, None)
    assert page.titles == [("Tables", "Scores over targets")]
