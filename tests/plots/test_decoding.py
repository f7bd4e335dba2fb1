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
