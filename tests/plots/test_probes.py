import numpy as np
import pandas as pd

from brainalign.plots.probes import readouts


def test_a_bar_per_trait_and_kind_and_chance_above_each_group():
    table = pd.DataFrame({
        "trait": ["nation", "nation", "branch", "branch"],
        "kind": ["trained", "untrained"] * 2,
        "mean": [1.0, 0.5, 0.9, 0.4],
        "sd": [0.0, 0.1, np.nan, 0.1],
        "chance": [0.5, 0.5, 0.6, 0.6],
    })  # fmt: skip
    (ax,) = readouts(table, ylabel="share").axes
    assert sorted(bar.get_height() for bar in ax.patches) == [0.4, 0.5, 0.9, 1.0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["nation", "branch"]
    assert [0.6, 0.6] in [list(line.get_ydata()) for line in ax.lines]
