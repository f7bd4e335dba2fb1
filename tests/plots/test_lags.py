import numpy as np
import pandas as pd
import pytest

from brainalign.plots import lags, sensors


def over_lags():
    times = np.linspace(-0.1, 0.3, 5)
    frames = [
        pd.DataFrame({"feature_space": space, "weights": weights, "channel_type": kind, "lag": times[::-1],
                      "score": level * times[::-1], "score_sem": 0.01})
        for space, weights, level in (("words", "", 1.0), ("gpt2", "trained", 2.0))
        for kind in ("mag", "grad")
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def test_lines_follow_the_lags_in_order():
    figure = lags.scores_over_lags(over_lags(), ylabel="r")
    assert [ax.get_title() for ax in figure.axes] == ["mag", "grad"]
    line = next(line for line in figure.axes[0].get_lines() if line.get_label() == "gpt2 trained")
    assert line.get_xdata().tolist() == pytest.approx([-0.1, 0.0, 0.1, 0.2, 0.3])
    assert line.get_ydata().tolist() == pytest.approx([-0.2, 0.0, 0.2, 0.4, 0.6])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["words", "gpt2 trained"]


def test_the_ceiling_is_drawn_where_there_is_one():
    table = over_lags().assign(noise_ceiling=0.5)
    labels = [line.get_label() for line in lags.scores_over_lags(table).axes[0].get_lines()]
    assert "noise ceiling" in labels
    assert "no finite scores" in lags.scores_over_lags(over_lags().assign(score=np.nan)).texts[0].get_text()


def helmet(n=24):
    rng = np.random.default_rng(0)
    positions = rng.standard_normal((n, 3))
    positions[:, 2] = np.abs(positions[:, 2])
    positions *= 0.1 / np.linalg.norm(positions, axis=1, keepdims=True)
    table = pd.DataFrame(positions, columns=list("xyz")).assign(target=[f"c{i}" for i in range(n)])
    return pd.concat([table.assign(lag=lag, score=table["x"] * 5 * lag) for lag in (0.0, 0.1, 0.2)])


def test_the_top_of_the_head_is_the_centre_and_left_is_left():
    flat = sensors.flat_positions(np.array([[0, 0, 0.1], [-0.1, 0, 0], [0, 0.1, 0.0], [0.0, 0.07, 0.07]]))
    assert flat == pytest.approx(np.array([[0, 0], [-0.095, 0], [0, 0.095], [0, 0.095 / 2]]), abs=1e-9)


def test_a_head_per_lag_in_one_scale():
    figure = sensors.topographies(helmet(), lags=(0.09, 0.2, 0.21), label="r")
    heads = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in heads] == ["100 ms", "200 ms"]
    scales = {ax.get_images()[0].get_clim() for ax in heads}
    assert len(scales) == 1
    low, high = scales.pop()
    assert low == -high == pytest.approx(-helmet()["score"].abs().max())


def test_planar_gradiometers_at_one_place_are_averaged():
    pairs = pd.concat([helmet(), helmet().assign(target=lambda t: t["target"] + "b", score=0.0)])
    image = sensors.topographies(pairs, lags=(0.2,)).axes[0].get_images()[0]
    alone = sensors.topographies(helmet().assign(score=lambda t: t["score"] / 2), lags=(0.2,)).axes[0].get_images()[0]
    np.testing.assert_allclose(np.ma.filled(image.get_array(), 0), np.ma.filled(alone.get_array(), 0), atol=1e-6)


def test_without_places_there_is_no_topography():
    assert "no topography" in sensors.topographies(helmet().assign(x=np.nan), lags=(0.1,)).texts[0].get_text()
