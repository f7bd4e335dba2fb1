import numpy as np
import pandas as pd
import pytest

from brainalign.encode.inter_subject import KIND
from brainalign.report import ceilings, over_time


class Page:
    """What a report page was given: tables and figures by title."""

    def __init__(self):
        self.html, self.images = {}, {}

    def add_html(self, body, *, title, section):
        self.html[title] = body

    def add_image(self, path, *, title, caption, section):
        self.images[title] = caption


def scores(mean_score=0.041, mean_ceiling=0.02, *, kind=KIND, n=60, lags=()):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "subject": np.repeat(["s1", "s2"], n), "feature_space": "gpt2", "weights": "trained", "layer": "nested",
        "target": [f"t{i}" for i in range(n)] * 2, "metric": "pearson", "ceiling_kind": kind,
        "score": mean_score + 0.001 * rng.standard_normal(2 * n), "noise_ceiling": mean_ceiling,
    })  # fmt: skip
    return table if not lags else pd.concat([table.assign(lag=lag) for lag in lags], ignore_index=True)


def regions(n_subjects=5, lags=None):
    rng = np.random.default_rng(0)
    rows = [
        {"subject": f"s{i}", "region": region, "n_targets": 3, "isc": r + 0.1 * rng.standard_normal(), "lag": lag}
        for lag in (lags or [0.0])
        for region, r in (("mag", 0.2 + lag), ("grad", 0.6 - lag))
        for i in range(n_subjects)
    ]
    table = pd.DataFrame(rows)
    return table if lags else table.drop(columns="lag")


def tables_of(of_regions, kind=KIND):
    of_targets = of_regions.drop(columns=["subject", "isc"]).drop_duplicates().assign(n_subjects=5, isc=0.3, isc_sd=0.1)
    of_targets["target"] = of_targets["region"]
    noise_ceilings = of_targets[["target"]].assign(ceiling_kind=kind, raw=[0.63, 0.76] * (len(of_targets) // 2))
    return {
        "inter_subject_regions": of_regions, "inter_subject_correlations": of_targets, "noise_ceilings": noise_ceilings
    }  # fmt: skip


def test_the_report_warns_of_a_ceiling_below_the_scores():
    page = Page()
    places = pd.DataFrame({"target": [f"t{i}" for i in range(60)], "channel_type": ["mag"] * 20 + ["grad"] * 40})
    ceilings.add_sections(page, {}, scores(), places, None)
    body = page.html["Scores against noise ceilings"]
    assert "Warning: single subjects grad: gpt2 trained: 80 of 80 scores" in body
    assert "Warning: single subjects mag: gpt2 trained: 40 of 40 scores" in body
    assert "this ceiling is too low, do not normalise by it" in body


def test_a_ceiling_above_the_scores_is_told_without_a_warning():
    page = Page()
    ceilings.add_sections(page, {}, scores(mean_ceiling=0.4), None, None)
    body = page.html["Scores against noise ceilings"]
    assert "n_above" in body
    assert "Warning" not in body


def test_without_ceilings_nothing_is_told_of_them():
    page = Page()
    ceilings.add_sections(page, {}, scores(kind="", mean_ceiling=np.nan), None, None)
    assert not page.html


def test_a_region_has_the_mean_and_deviation_over_people():
    of_regions = regions()
    table = ceilings.inter_subject_table(of_regions).set_index("region")
    of_mag = of_regions.loc[of_regions["region"] == "mag", "isc"]
    assert table.loc["mag", ["isc", "isc_sd"]].tolist() == pytest.approx([of_mag.mean(), of_mag.std(ddof=1)])
    assert table.loc["mag", ["n_targets", "n_subjects"]].tolist() == [3, 5]
    two = ceilings.inter_subject_table(regions(2))
    assert two["isc_sd"].isna().all()


def test_of_epochs_the_time_of_the_highest_correlation_is_told():
    table = ceilings.inter_subject_table(regions(lags=[0.0, 0.3])).set_index("region")
    assert table["peak_ms"].to_dict() == {"mag": 300, "grad": 0}
    of_regions = regions(lags=[0.0, 0.3])
    at = of_regions[(of_regions["region"] == "mag") & (of_regions["lag"] == 0.3)]
    assert table.loc["mag", "isc"] == pytest.approx(at["isc"].mean())


@pytest.mark.parametrize(("kind", "lags"), [("split_half", None), (KIND, None), ("split_half", [0.0, 0.3])])
def test_what_people_share_is_told_by_region(kind, lags):
    page, tables = Page(), tables_of(regions(lags=lags), kind)
    ceilings.add_sections(page, tables, scores(kind=""), None, None)
    body = page.html["Inter-subject correlation"]
    assert ("split_half" in body) == (kind == "split_half" and lags is None)
    assert ("0.630" in body) == (kind == "split_half" and lags is None)
    assert "SD over people" in page.images["Inter-subject correlation"] or lags


def test_every_kind_of_ceiling_is_explained_with_its_unit():
    kinds = pd.Series([*ceilings.MEANINGS, "", "published ncsnr", KIND])
    text = ceilings.ceilings_text(kinds)
    assert text.count(", in r") == len(ceilings.MEANINGS) + 1
    assert "ceilings of at least 0.1 only, and never clipped" in text
    assert ceilings.ceilings_text(pd.Series(["", ""])) == ""


def test_ceilings_over_time_count_sensors_without_reliability_as_0():
    table = scores(kind="split-half of repetitions (single trial, r)", mean_ceiling=0.4, lags=(0.0, 0.1))
    table.loc[(table["lag"] == 0.0) & table["target"].isin([f"t{i}" for i in range(45)]), "noise_ceiling"] = np.nan
    means = over_time.means_over_sensors(over_time.with_sensors(table, None)).set_index("lag")
    assert means["noise_ceiling"].to_dict() == pytest.approx({0.0: 0.1, 0.1: 0.4})
