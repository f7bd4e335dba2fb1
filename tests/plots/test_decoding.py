import numpy as np
import pandas as pd
import pytest

from brainalign.plots import decoding

TABLE = pd.DataFrame({"roi": ["vt", "v1"], "accuracy": [0.6, 0.3], "chance": 0.25})
FOLDS = pd.DataFrame({"roi": ["vt", "vt", "v1", "v1"], "accuracy": [0.5, 0.7, 0.3, 0.3]})
NULLS = pd.DataFrame({"roi": np.repeat(["vt", "v1"], 101), "accuracy": np.tile(np.linspace(0, 0.5, 101), 2)})


def test_bars_are_accuracies_dots_are_folds_and_the_band_is_of_the_null():
    (ax,) = decoding.accuracies(TABLE, FOLDS, NULLS).axes
    assert [bar.get_height() for container in ax.containers for bar in container] == [0.6, 0.3]
    dots = [line.get_ydata().tolist() for line in ax.get_lines() if line.get_marker() == "o"]
    assert dots == [[0.5, 0.7], [0.3, 0.3]]
    (chance,) = [line for line in ax.get_lines() if line.get_label() == "chance"]
    assert chance.get_ydata()[0] == 0.25
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert [band.min(), band.max()] == pytest.approx([0.0125, 0.4875])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["vt", "v1"]


def test_without_permutations_there_is_no_band():
    (ax,) = decoding.accuracies(TABLE, FOLDS, NULLS.iloc[:0]).axes
    assert len(ax.collections) == 0


def confusions(n_regions):
    shown, told = (column.ravel() for column in np.meshgrid(["a", "b"], ["a", "b"], indexing="ij"))
    counts = [3, 1, 0, 4]
    return pd.concat(
        [pd.DataFrame({"roi": f"r{i}", "shown": shown, "told": told, "n": counts}) for i in range(n_regions)]
    )


def test_rows_are_shown_and_columns_are_told():
    ax = decoding.confusions(confusions(1)).axes[0]
    np.testing.assert_allclose(ax.get_images()[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): "3", (1, 0): "1", (1, 1): "4"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_many_regions_are_cut_with_a_note():
    assert decoding.confusions(confusions(3), max_regions=2).get_suptitle() == "the first 2 of 3 regions"
    assert decoding.accuracies(TABLE, FOLDS, NULLS, max_regions=1).get_suptitle() == "the first 1 of 2 regions"


def test_nothing_to_draw_is_said():
    assert "no accuracies" in decoding.accuracies(TABLE.iloc[:0], FOLDS, NULLS).texts[0].get_text()
    assert "no confusions" in decoding.confusions(confusions(1).iloc[:0]).texts[0].get_text()


def test_scores_over_time_have_their_band_chance_and_significant_times():
    times = np.arange(-1, 3) * 0.1
    rows = {"time": times, "score": [0.5, 0.52, 0.8, 0.7], "score_sem": 0.02, "chance": 0.5}
    rows |= {"null_mean": 0.5, "null_95": 0.55, "p_corrected": [1.0, 0.4, 0.02, 0.05]}
    table = pd.concat([pd.DataFrame({"roi": roi, **rows}) for roi in ("a", "b")], ignore_index=True)
    first, second = decoding.scores_over_time(table, ylabel="roc_auc").axes
    assert (first.get_title(), second.get_title()) == ("a", "b")
    lines = {line.get_label(): line for line in first.get_lines()}
    assert lines["p <= .05, corrected"].get_xdata().tolist() == pytest.approx([0.1, 0.2])
    assert lines["chance"].get_ydata()[0] == 0.5
    assert any(line.get_ydata() is not None and np.allclose(line.get_ydata(), rows["score"]) for line in
               first.get_lines() if len(line.get_ydata()) == 4)  # fmt: skip
    assert len(first.collections) == 2  # permuted labels, and the standard error
    plain = table.assign(null_mean=np.nan, null_95=np.nan, p_corrected=np.nan, score_sem=np.nan)
    (ax, _) = decoding.scores_over_time(plain, ylabel="accuracy").axes
    assert len(ax.collections) == 0
    many = pd.concat([table[table["roi"] == "a"].assign(roi=f"r{i}") for i in range(8)])
    assert decoding.scores_over_time(many, ylabel="accuracy").get_suptitle() == "the first 6 of 8 regions"
    assert "no scores" in decoding.scores_over_time(table.iloc[:0], ylabel="accuracy").texts[0].get_text()
