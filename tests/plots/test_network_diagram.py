import numpy as np

from brainalign.plots.network_diagram import network_diagram


def test_every_weight_and_bias_is_written():
    weights = [np.array([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([[7.0], [-8.0]])]
    figure = network_diagram(weights, [np.array([0.1, 0.2]), np.array([0.3])], title="a network")
    (ax,) = figure.axes
    said = [text.get_text() for text in ax.texts]
    written = sorted(said)
    assert written == sorted(
        ["1.0", "-2.0", "3.0", "4.0", "5.0", "6.0", "7.0", "-8.0", "0.1", "0.2", "0.3", "1", "2", "3"]
    )
    assert len(ax.lines) == 8
    assert ax.get_title() == "a network"
    colours = {text.get_color() for text in ax.texts if text.get_text().startswith("-")}
    assert len(colours) == 1


def test_weights_of_zero_are_drawn():
    assert len(network_diagram([np.zeros((2, 2))], [np.zeros(2)]).axes[0].lines) == 4
