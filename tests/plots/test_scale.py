import numpy as np
import pandas as pd

from brainalign.plots import scale


def networks():
    return pd.DataFrame(
        {
            "name": ["small", "convolution", "brain"],
            "parameters": [1e3, 2e6, np.nan],
            "connections": [9e2, 6e8, np.nan],
            "words": [1e5, np.nan, 3.7e8],
            "unit": ["letters", "", "words"],
            "low": [np.nan, np.nan, 1e14],
            "high": [np.nan, np.nan, 1e15],
        }
    )


def test_both_axes_are_logarithmic_and_all_rows_are_named():
    figure = scale.sizes_and_words(networks())
    large, read = figure.axes
    assert large.get_xscale() == read.get_xscale() == "log"
    names = dict(zip(large.get_yticks(), (t.get_text() for t in large.get_yticklabels()), strict=True))
    assert names == {2: "small", 1: "convolution", 0: "brain"}


def test_numbers_stand_beside_their_marks():
    large, read = scale.sizes_and_words(networks()).axes
    assert {text.get_text() for text in large.texts} == {"1 k", "2 M; 600 M", "1e14 - 1e15"}
    assert {text.get_text() for text in read.texts} == {"100 k letters", "370 M words"}
    bars = [line.get_xdata().tolist() for line in large.get_lines()]
    assert [1e14, 1e15] in bars
    assert [2e6, 6e8] in bars


def test_misprinted_rows_are_marked():
    table = pd.DataFrame(
        {"name": ["a", "b"], "printed": [100.0, 100.0], "formula": [101.0, 98.0], "misprint": ["", "2 heads, 3"]}
    )
    (ax,) = scale.printed_beside_counted(table).axes
    assert [round(bar.get_height(), 6) for bar in ax.patches] == [1, -2]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    assert [text.get_text() for text in ax.texts] == ["2 heads\n3"]


def test_nothing_to_draw_is_said():
    assert "no networks" in scale.sizes_and_words(networks().iloc[:0]).texts[0].get_text()
