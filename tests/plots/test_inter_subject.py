import numpy as np
import pandas as pd
import pytest

from brainalign.plots import inter_subject


def of_regions(n_regions=3, lags=(None,)):
    rows = [
        {"subject": f"s{i}", "region": f"r{k}", "lag": lag, "isc": 0.1 * k + 0.01 * i}
        for lag in lags
        for k in range(n_regions)
        for i in range(4)
    ]
    return pd.DataFrame(rows)


def test_bars_are_means_over_people():
    (ax,) = inter_subject.by_region(of_regions()).axes
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.015, 0.115, 0.215])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["r0", "r1", "r2"]


def test_many_regions_are_cut_off_and_counted():
    figure = inter_subject.by_region(of_regions(50), max_regions=40)
    assert figure.get_suptitle() == "the first 40 of 50 regions"
    assert len(figure.axes[0].patches) == 40


def test_lines_over_time_are_means_over_people():
    (ax,) = inter_subject.over_lags(of_regions(2, lags=(-0.1, 0.0, 0.1))).axes
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    np.testing.assert_allclose([line.get_ydata() for line in lines], [[0.015] * 3, [0.115] * 3])


@pytest.mark.parametrize("draw", [inter_subject.by_region, inter_subject.over_lags])
def test_nothing_finite_is_said_so(draw):
    figure = draw(of_regions(lags=(0.0, 0.1)).assign(isc=np.nan))
    assert not figure.axes
    assert "no finite correlations" in figure.texts[0].get_text()
