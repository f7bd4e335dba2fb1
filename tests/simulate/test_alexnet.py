"""The untrained AlexNet."""

import pytest
import torch
from torch.nn import functional

from brainalign.simulate.alexnet import IMAGE_SIZE, N_UNITS, AlexNet


@pytest.fixture(scope="module")
def network():
    return AlexNet(seed=5).eval()


def test_relu5_has_the_units_of_the_paper(network):
    shapes = {}
    hooks = [
        m.register_forward_hook(lambda _, __, y, n=n: shapes.update({n: y.shape[1:]}))
        for n, m in network.named_children()
    ]
    with torch.inference_mode():
        out = network(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    assert [len(hooks), N_UNITS] == [14, 43_264]
    assert tuple(out.shape) == (1, 256, 13, 13)
    assert list(shapes)[-1] == "relu5"
    assert {name: tuple(shape) for name, shape in shapes.items() if name.startswith("pool")} == {
        "pool1": (96, 27, 27),
        "pool2": (256, 13, 13),
    }
    assert tuple(shapes["conv1"]) == (96, 55, 55)
    assert tuple(shapes["conv4"]) == (384, 13, 13)


def test_forward_is_the_layers_written_out(network):
    x = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0))
    w = {name.removesuffix(".weight"): value for name, value in network.named_parameters() if name.endswith("weight")}

    def normalised(y):  # divided by (1 + alpha / 5 * sum of squares of five neighbouring maps) ** beta
        squares = functional.pad(y**2, (0, 0, 0, 0, 2, 2))
        total = sum(squares[:, i : i + y.shape[1]] for i in range(5))
        return y / (1 + 1e-4 / 5 * total) ** 0.75

    with torch.inference_mode():
        y = functional.conv2d(x, w["conv1"], stride=4).relu()
        y = functional.max_pool2d(normalised(y), 3, 2)
        y = functional.conv2d(y, w["conv2"], padding=2, groups=2).relu()
        y = functional.max_pool2d(normalised(y), 3, 2)
        for name, groups in (("conv3", 1), ("conv4", 2), ("conv5", 2)):
            y = functional.conv2d(y, w[name], padding=1, groups=groups).relu()
        torch.testing.assert_close(network(x), y, rtol=1e-4, atol=1e-6)
    assert 0.2 < (y > 0).float().mean() < 0.8


def test_weights_are_he_normal_and_biases_zero(network):
    fan_in = {"conv1": 3 * 121, "conv2": 48 * 25, "conv3": 256 * 9, "conv4": 192 * 9, "conv5": 192 * 9}
    for name, n in fan_in.items():
        layer = network.get_submodule(name)
        deviation = (2 / n) ** 0.5
        n_weights = layer.weight.numel()
        assert abs(layer.weight.mean()) < 4 * deviation / n_weights**0.5
        assert abs(layer.weight.std() / deviation - 1) < 4 / (2 * n_weights) ** 0.5
        assert (layer.weight.abs() < 2 * deviation).float().mean().item() == pytest.approx(0.9545, abs=0.005)
        assert not layer.bias.any()


def test_the_seed_decides_the_weights(network):
    torch.manual_seed(5)
    drawn = AlexNet().state_dict()
    again, other = AlexNet(seed=5).state_dict(), AlexNet(seed=6).state_dict()
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, again[name])
        assert torch.equal(weight, drawn[name])
        assert name.endswith("bias") or not torch.equal(weight, other[name])


def test_a_seed_leaves_the_generator_of_torch_alone():
    state = torch.get_rng_state()
    AlexNet(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
