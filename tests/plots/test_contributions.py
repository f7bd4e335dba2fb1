import numpy as np
import pandas as pd
import pytest

from brainalign.plots import contributions


def table(n_targets=2):
    rows = [
        {"subject": who, "feature_space": space, "target": f"t{i}", "unique": value + i + shift}
        for space, value in (("sound", 0.1), ("phones", -0.2))
        for i in range(n_targets)
        for who, shift in (("a", -0.05), ("b", 0.05))
    ]
    return pd.DataFrame(rows)


def test_bars_are_means_over_subjects_side_by_side_per_target():
    (ax,) = contributions.unique(table(), ylabel="unique r2").axes
    heights = {container.get_label(): [bar.get_height() for bar in container] for container in ax.containers[1::2]}
    assert heights["sound"] == pytest.approx([0.1, 1.1])
    assert heights["phones"] == pytest.approx([-0.2, 0.8])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["t0", "t1"]
    assert ax.get_ylabel() == "unique r2"
    left, right = (container[0].get_x() for container in ax.containers[1::2])
    assert left < right


def test_many_targets_are_cut_with_a_note():
    figure = contributions.unique(table(30), max_targets=5)
    assert figure.get_suptitle() == "the first 5 of 30 targets"
    assert len(figure.axes[0].containers[1]) == 5


def test_nothing_finite_is_said():
    figure = contributions.unique(table().assign(unique=np.nan))
    assert "no finite contributions" in figure.texts[0].get_text()
