import numpy as np
import pandas as pd
import pytest

from brainalign.plots import joint
from brainalign.plots.joint import place_colours, strongest_times
from brainalign.plots.sensors import model_topographies

LAGS = np.linspace(0, 0.5, 51)


def table(n=12, placed=None):
    """Sensors whose values are their place times bumps at 100 and 300 ms, in volt."""
    rng = np.random.default_rng(0)
    positions = rng.standard_normal((n, 3))
    positions *= 0.09 / np.linalg.norm(positions, axis=1, keepdims=True)
    course = np.exp(-((LAGS - 0.1) ** 2) / 0.001) + 2 * np.exp(-((LAGS - 0.3) ** 2) / 0.001)
    values = 1e-6 * np.outer(course, positions[:, 0] / 0.09)  # (n_lags, n_sensors)
    frame = pd.DataFrame(positions, columns=list("xyz")).assign(target=[f"c{i}" for i in range(n)])
    frame.loc[n if placed is None else placed :, ["x", "y", "z"]] = np.nan
    return pd.concat([frame.assign(lag=lag, score=row) for lag, row in zip(LAGS, values, strict=True)])


def heads_of(figure):
    return [ax for ax in figure.axes if ax.get_title()]


def test_a_line_per_sensor_in_the_unit_asked_for():
    rows = table()
    figure = joint.joint(rows, label="weight (µV)", scale=1e6)
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == len(LAGS)]
    assert len(lines) == 12
    of_c3 = 1e6 * rows.loc[rows["target"] == "c3", "score"].to_numpy()
    assert any(np.allclose(line.get_ydata(), of_c3) for line in lines)
    assert figure.axes[0].get_ylabel() == "weight (µV)"


def test_heads_are_drawn_when_sensors_differ_most_in_the_scale_of_the_lines():
    figure = joint.joint(table(), label="r", scale=1e6)
    heads = heads_of(figure)
    assert [ax.get_title() for ax in heads] == ["100 ms", "300 ms"]
    limit = 1e6 * table()["score"].abs().max()
    for ax in heads:
        assert ax.get_images()[0].get_clim() == pytest.approx((-limit, limit))
    image = heads[1].get_images()[0].get_array()
    assert np.ma.mean(image[:, image.shape[1] // 2 :]) > 0 > np.ma.mean(image[:, : image.shape[1] // 2])  # right is +


def test_strongest_times_are_maxima_of_the_field_power_in_order_and_apart():
    values = np.outer(np.sin(2 * np.pi * LAGS / 0.25), [1.0, -1.0])  # power: peaks every 125 ms
    assert strongest_times(LAGS, values) == pytest.approx([0.06, 0.19, 0.31, 0.44], abs=0.011)
    offset = values + 5 * np.exp(-((LAGS - 0.25) ** 2) / 1e-3)[:, None]  # alike at all sensors: no power
    assert strongest_times(LAGS, offset) == pytest.approx(strongest_times(LAGS, values))
    assert strongest_times(LAGS[:1], values[:1]) == [0.0]
    assert strongest_times(LAGS, np.outer(LAGS, [1.0, -1.0])) == [LAGS[-1]]
    loud_ends = np.where(np.isin(LAGS, LAGS[[0, -1]])[:, None], [50.0, -50.0], values)
    assert strongest_times(LAGS, loud_ends) == pytest.approx(strongest_times(LAGS, values))
    values[:30] = np.nan
    assert min(strongest_times(LAGS, values)) >= 0.3


def test_sensors_without_a_place_are_grey_lines_and_on_no_head():
    rows = table(placed=8)
    loud = rows["x"].isna()
    rows.loc[loud, "score"] *= 100
    figure = joint.joint(rows)
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == len(LAGS)]
    assert sum(tuple(line.get_color()) == (0.7, 0.7, 0.7) for line in lines) == 4
    high = heads_of(figure)[0].get_images()[0].get_clim()[1]
    assert high == pytest.approx(rows.loc[~loud, "score"].abs().max())
    assert "no topography" in joint.joint(table(placed=3)).texts[0].get_text()


def test_colours_tell_right_front_and_up():
    colours = place_colours(np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [np.nan] * 3]))
    assert colours[0, 0] > colours[1, 0]
    assert colours[2, 1] > colours[3, 1]
    assert colours[4, 2] > colours[0, 2]
    assert colours[5].tolist() == [0.7, 0.7, 0.7]


def test_models_have_a_head_each_in_one_scale():
    rows = table()
    at = rows[rows["lag"] == LAGS[30]].assign(score=lambda t: t["score"] * 1e6)
    models = pd.concat([at.assign(model="words"), at.assign(model="gpt2 trained", score=at["score"] * 3)])
    figure = model_topographies(models, label="r")
    heads = heads_of(figure)
    assert [ax.get_title() for ax in heads] == ["words", "gpt2 trained"]
    assert {ax.get_images()[0].get_clim()[1] for ax in heads} == {models["score"].abs().max()}
    images = [np.ma.filled(ax.get_images()[0].get_array(), 0) for ax in heads]
    np.testing.assert_allclose(images[1], 3 * images[0], atol=1e-4)
    assert "no topography" in model_topographies(models.assign(z=np.nan)).texts[0].get_text()
