import numpy as np
import pytest
import torch
from torch import nn

from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.simulate.multilayer import Multilayer, logistic

TORCH = {"logistic": nn.Sigmoid(), "tanh": nn.Tanh(), "relu": nn.ReLU(), "identity": nn.Identity(),
         "softmax": nn.Softmax(dim=1)}  # fmt: skip
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def as_torch(network, i):
    """Network i, of torch's own layers."""
    layers = []
    n_layers = len(network.weights)
    for k, (weights, bias) in enumerate(zip(network.weights, network.biases, strict=True), start=1):
        linear = nn.Linear(*weights.shape[1:], dtype=weights.dtype)
        with torch.no_grad():
            linear.weight.copy_(weights[i].T)
            linear.bias.copy_(bias[i])
        layers += [linear, TORCH[network.settings["output" if k == n_layers else "hidden"]]]
    return nn.Sequential(*layers)


def samples(sizes, n=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, sizes[0], generator=generator, dtype=torch.float64)
    return inputs, torch.rand(n, sizes[-1], generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("output", ["logistic", "tanh", "relu", "identity", "softmax"])
@pytest.mark.parametrize("hidden", ["logistic", "tanh", "relu", "identity"])
def test_outputs_are_those_of_torchs_layers(hidden, output, device):
    sizes = [4, 5, 3, 3]
    network = Multilayer(sizes, hidden=hidden, output=output, n_networks=3, dtype="float64", device=device)
    inputs, _ = samples(sizes)
    states = network.states(inputs)
    assert {name: tuple(values.shape) for name, values in states.items()} == {
        "hidden_1": (3, 9, 5), "hidden_2": (3, 9, 3), "output": (3, 9, 3)
    }  # fmt: skip
    for i in range(3):
        torch.testing.assert_close(states["output"][i].cpu(), as_torch(network.cpu(), i)(inputs))
        network.to(device)


def test_losses_are_those_of_torch():
    sizes = [4, 5, 3]
    inputs, targets = samples(sizes)
    of = {name: Multilayer(sizes, output=name, dtype="float64") for name in ("logistic", "softmax")}
    y = of["logistic"](inputs)[0]
    assert of["logistic"].loss(inputs, targets).item() == pytest.approx(((y - targets) ** 2).sum().item() / 2)
    entropy = nn.functional.binary_cross_entropy(y, targets, reduction="sum").item()
    assert of["logistic"].loss(inputs, targets, loss="cross_entropy").item() == pytest.approx(entropy)
    x = of["softmax"](inputs)[0].log()
    entropy = nn.functional.cross_entropy(x, targets / targets.sum(1, keepdim=True), reduction="none")
    expected = (entropy * targets.sum(1)).sum().item()
    assert of["softmax"].loss(inputs, targets, loss="cross_entropy").item() == pytest.approx(expected)


def test_cross_entropy_of_a_sure_output_is_finite():
    network = Multilayer([1, 1], dtype="float32")
    with torch.no_grad():
        network.W1.fill_(500)
    assert torch.isfinite(network.loss([[1.0], [-1.0]], [[0.0], [1.0]], loss="cross_entropy")).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_logistic_unit_is_the_same_in_company(dtype):
    x = 5 * torch.randn(3, 101, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    torch.testing.assert_close(logistic(x), torch.sigmoid(x))
    assert all(torch.equal(logistic(x)[i], logistic(x[i].clone())) for i in range(3))
    far = torch.tensor([-1e4, 1e4, torch.nan], dtype=dtype, requires_grad=True)
    assert logistic(far)[:2].tolist() == pytest.approx([0, 1], abs=1e-30)
    assert logistic(far)[2].isnan()
    assert torch.autograd.grad(logistic(far)[:2].sum(), far)[0][:2].tolist() == [0, 0]


def test_a_tolerated_error_is_none():
    network = Multilayer([2, 1], limit=0.0)  # outputs of 1/2
    assert network.loss([[1.0, 0.0]], [[0.6]], tolerance=0.2).item() == 0
    assert network.loss([[1.0, 0.0]], [[0.9]], tolerance=0.2).item() == pytest.approx(0.08)


def test_a_replica_is_the_network_alone():
    together, alone = Multilayer([4, 5, 3], n_networks=3, seed=7), Multilayer([4, 5, 3], seed=9)
    for name, values in alone.named_parameters():
        assert torch.equal(dict(together.named_parameters())[name][2], values[0])
    assert not torch.allclose(together.W1[0], together.W1[1])


def test_each_network_may_have_inputs_of_its_own():
    network = Multilayer([4, 5, 3], n_networks=2)
    inputs = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    own = network(inputs)
    for i in range(2):
        torch.testing.assert_close(own[i], network(inputs[i])[i])


def test_a_connection_that_is_not_there_carries_nothing():
    mask = torch.tensor([[1, 0], [0, 1]])
    network = Multilayer([2, 2, 1], connections={1: mask})
    with torch.no_grad():
        network.W1.fill_(3.0)  # whatever is written there
    hidden = network.states([[1.0, 0.0]])["hidden_1"][0, 0]
    torch.testing.assert_close(hidden, torch.sigmoid(network.b1[0] + torch.tensor([3.0, 0.0])))
    assert Multilayer([2, 2, 1], connections={1: mask}).W1[0, 0, 1] == 0


def test_weights_keep_their_bounds():
    network = Multilayer([100, 50, 2], seed=3)
    assert network.W1.abs().max().item() == pytest.approx(np.sqrt(6 / 150), rel=1e-2)
    assert Multilayer([100, 50], limit=0.3).W1.abs().max().item() == pytest.approx(0.3, rel=1e-2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sizes": [3]}, "two layers at least"),
        ({"sizes": [3, 0, 1]}, "two layers at least"),
        ({"hidden": "softmax"}, "unknown hidden 'softmax'"),
        ({"output": "sigmoid"}, "unknown output 'sigmoid'"),
        ({"n_networks": 0}, "n_networks must be at least 1, got 0"),
        ({"dtype": "float16"}, "'float32' or 'float64', got 'float16'"),
        ({"limit": -1.0}, "not below 0, got -1.0"),
        ({"connections": {1: [[1, 1]]}}, r"got \(1, 2\) at 1"),
        ({"connections": {3: [[1]]}}, r"got \(1, 1\) at 3"),
        ({"connections": {2: [[1], [2]]}}, "must be 0 or 1"),
    ],
)
def test_settings_out_of_range(settings, said):
    with pytest.raises(BrainalignError, match=said):
        Multilayer(**({"sizes": [3, 2, 1]} | settings))


def test_data_that_do_not_fit():
    network = Multilayer([3, 2, 1], n_networks=2, output="softmax")
    with pytest.raises(Misaligned, match=r"inputs must be \(n_samples, 3\) or \(2, n_samples, 3\), got \(4, 2\)"):
        network(torch.zeros(4, 2))
    with pytest.raises(Misaligned, match="inputs have 4 samples but targets have 5"):
        network.loss(torch.zeros(4, 3), torch.zeros(5, 1))
    with pytest.raises(BrainalignError, match="must be finite, got 1 values"):
        network(torch.tensor([[0.0, torch.nan, 1.0]]))
    with pytest.raises(UnknownName, match="unknown loss 'hinge'"):
        network.loss(torch.zeros(4, 3), torch.zeros(4, 1), loss="hinge")
    with pytest.raises(BrainalignError, match="not for softmax"):
        network.loss(torch.zeros(4, 3), torch.zeros(4, 1), tolerance=0.1)
    with pytest.raises(BrainalignError, match="has 'tanh' ones"):
        Multilayer([3, 1], output="tanh").loss(torch.zeros(4, 3), torch.zeros(4, 1), loss="cross_entropy")


def test_numbers_keep_their_digits_in_float64():
    network = Multilayer([1, 1], output="identity", dtype="float64")
    with torch.no_grad():
        network.W1.fill_(1.0)
        network.b1.fill_(0.0)
    assert network([[0.1]]).item() == 0.1
