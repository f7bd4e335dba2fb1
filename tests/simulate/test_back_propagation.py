import copy
import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from brainalign.errors import BrainalignError, UnknownName
from brainalign.simulate.back_propagation import autograd, back_propagate, central_differences, relative_error, train
from brainalign.simulate.multilayer import LOSSES, Multilayer

HIDDEN = ["logistic", "tanh", "relu", "identity"]
PAIRS = [
    (output, loss)
    for output, loss in itertools.product([*HIDDEN, "softmax"], LOSSES)
    if loss == "squared" or output in ("logistic", "softmax")
]


def data(n_inputs=4, n_outputs=3, n=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, n_inputs, generator=generator, dtype=torch.float64)
    return inputs, torch.rand(n, n_outputs, generator=generator, dtype=torch.float64)


def build(sizes=(4, 5, 3), **settings):
    return Multilayer(sizes, **({"dtype": "float64"} | settings))


def weights_of(network):
    return torch.cat([values.detach().flatten(1) for values in network.parameters()], dim=1)


@pytest.mark.parametrize(("output", "loss"), PAIRS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_gradients_by_hand_by_autograd_and_by_differences_agree(hidden, output, loss):
    mask = torch.ones(4, 5)
    mask[:2, 3:] = 0
    network = build((4, 5, 4, 3), hidden=hidden, output=output, n_networks=3, connections={1: mask})
    value, by_hand = back_propagate(network, *data(), loss=loss)
    torch.testing.assert_close(value, network.loss(*data(), loss=loss).detach())
    assert relative_error(by_hand, autograd(network, *data(), loss=loss)) < 1e-12
    before = weights_of(network).clone()
    assert relative_error(by_hand, central_differences(network, *data(), loss=loss)) < 1e-6
    assert torch.equal(before, weights_of(network))
    assert (by_hand["W1"][:, :2, 3:] == 0).all()
    assert all(values.abs().max() > 0 for values in by_hand.values())


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_with_a_tolerance_agree(loss):
    network = build(n_networks=3)
    _, by_hand = back_propagate(network, *data(), loss=loss, tolerance=0.2)
    _, without = back_propagate(network, *data(), loss=loss)
    assert relative_error(by_hand, autograd(network, *data(), loss=loss, tolerance=0.2)) < 1e-12
    assert relative_error(by_hand, central_differences(network, *data(), loss=loss, tolerance=0.2)) < 1e-6
    assert relative_error(by_hand, without) > 1e-3


def test_a_wrong_gradient_is_seen():
    network = build()
    _, by_hand = back_propagate(network, *data())
    by_hand["b1"][0, 2] *= 1.001
    assert relative_error(by_hand, autograd(network, *data())) > 1e-5


def step_torch(network, optimiser, n_steps, *, l1=0.0):
    inputs, targets = data()
    for _ in range(n_steps):
        optimiser.zero_grad()
        penalty = l1 * sum(weights.abs().sum() for weights in network.weights)
        (network.loss(inputs, targets).sum() + penalty).backward()
        optimiser.step()


@pytest.mark.parametrize(
    ("momentum", "l1", "l2"), [(0.0, 0.0, 0.0), (0.9, 0.0, 0.0), (0.9, 0.01, 0.0), (0.5, 0.02, 0.1)]
)
def test_training_is_torchs_gradient_descent(momentum, l1, l2):
    ours, theirs = build(hidden="tanh", n_networks=2), build(hidden="tanh", n_networks=2)
    train(ours, *data(), lr=0.05, n_sweeps=30, momentum=momentum, l1=l1, l2=l2)
    groups = [{"params": theirs.weights, "weight_decay": l2}, {"params": theirs.biases, "weight_decay": 0.0}]
    step_torch(theirs, torch.optim.SGD(groups, lr=0.05, momentum=momentum), 30, l1=l1)
    torch.testing.assert_close(weights_of(ours), weights_of(theirs), rtol=1e-10, atol=1e-12)


def test_momentum_keeps_the_steps_that_were_made():
    """Equation 9 with a rate that changes: torch's momentum, which keeps gradients, goes elsewhere."""
    network, by_hand = build(), build()
    rates, momenta = [0.1, 0.1, 0.01], [0.5, 0.5, 0.9]
    train(network, *data(), lr=rates, momentum=momenta, n_sweeps=3, decay=0.002)
    last = {name: torch.zeros_like(values) for name, values in by_hand.named_parameters()}
    for rate, momentum in zip(rates, momenta, strict=True):
        gradients = autograd(by_hand, *data())
        with torch.no_grad():
            for name, values in by_hand.named_parameters():
                last[name] = -rate * gradients[name] + momentum * last[name]
                values.add_(last[name]).mul_(0.998)
    torch.testing.assert_close(weights_of(network), weights_of(by_hand), rtol=1e-12, atol=1e-14)


def test_l2_of_a_linear_network_is_ridge():
    inputs, targets = data(n=30)
    network = build((4, 3), output="identity")
    train(network, inputs, targets, lr=0.01, momentum=0.9, n_sweeps=3000, l2=2.5)
    ridge = Ridge(alpha=2.5).fit(inputs, targets)
    np.testing.assert_allclose(network.W1[0].detach(), ridge.coef_.T, atol=1e-10)
    np.testing.assert_allclose(network.b1[0].detach(), ridge.intercept_, atol=1e-10)


def test_l1_of_orthonormal_inputs_is_the_soft_threshold():
    """Lasso in closed form: least-squares weights, nearer to 0 by l1; small ones are 0, to within a step."""
    inputs = torch.linalg.qr(torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    inputs = torch.linalg.qr(inputs - inputs.mean(dim=0)).Q  # the bias takes no part
    wanted = torch.tensor([[1.5], [-0.8], [0.1]], dtype=torch.float64)
    network = build((3, 1), output="identity")
    train(network, inputs, inputs @ wanted, lr=0.001, n_sweeps=12_000, l1=0.3)
    expected = wanted.sign() * (wanted.abs() - 0.3).clamp(min=0)
    np.testing.assert_allclose(network.W1[0].detach(), expected, atol=5e-4)


def test_a_mean_is_a_sum_over_its_samples():
    one, other = build(), build()
    of_sum = train(one, *data(), lr=0.1 / 12, n_sweeps=5)
    of_mean = train(other, *data(), lr=0.1, n_sweeps=5, reduction="mean")
    torch.testing.assert_close(weights_of(one), weights_of(other))
    torch.testing.assert_close(of_sum.losses / 12, of_mean.losses)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_a_network_in_company_learns_what_it_learns_alone(dtype, tolerance):
    settings = {"lr": 0.05, "momentum": 0.9, "n_sweeps": 20, "batch_size": 5, "loss": "cross_entropy", "l2": 0.01}
    validation = data(seed=1)
    together, alone = build(n_networks=4, seed=3, dtype=dtype), build(seed=5, dtype=dtype)
    training = train(together, *data(), **settings, seed=10, validation=validation, patience=3)
    single = train(alone, *data(), **settings, seed=12, validation=validation, patience=3)
    torch.testing.assert_close(weights_of(together)[2], weights_of(alone)[0], rtol=tolerance, atol=tolerance)
    n_sweeps = int(single.n_sweeps[0])
    assert training.n_sweeps[2] == n_sweeps
    assert training.best_sweep[2] == single.best_sweep[0]
    torch.testing.assert_close(training.losses[2, :n_sweeps], single.losses[0], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("sizes", "hidden", "output", "settings"),
    [
        ((9, 12, 6, 5), "logistic", "logistic", {"tolerance": 0.2}),
        ((9, 100, 20, 5), "relu", "softmax", {"loss": "cross_entropy", "batch_size": 30, "reduction": "mean"}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_a_cpu_company_changes_no_bit(sizes, hidden, output, settings, dtype):
    """Where learning is unstable a last bit grows into another network, so near is not enough."""
    form = {"hidden": hidden, "output": output, "limit": 1.0, "dtype": dtype}
    together, alone = build(sizes, n_networks=5, seed=3, **form), build(sizes, seed=5, **form)
    known, wanted = data(9, 5, n=101)
    for network, seed in ((together, 10), (alone, 12)):
        train(network, known, wanted, lr=0.05, momentum=0.9, n_sweeps=30, seed=seed, **settings)
    assert torch.equal(weights_of(together)[2], weights_of(alone)[0])


def test_rates_may_differ_between_networks():
    networks = build(n_networks=2), build(), build(seed=1)
    train(networks[0], *data(), lr=[[0.1], [0.01]], n_sweeps=4)
    for i, rate in enumerate((0.1, 0.01)):
        train(networks[1 + i], *data(), lr=rate, n_sweeps=4)
        torch.testing.assert_close(weights_of(networks[0])[i], weights_of(networks[1 + i])[0])


def test_every_sample_is_learnt_from_once_in_a_sweep():
    """Linear outputs, no step to speak of: the loss of a sweep in batches is that of all samples."""
    network = build(output="identity", n_networks=2)
    expected = network.loss(*data()).detach()
    training = train(network, *data(), lr=0.0, n_sweeps=2, batch_size=5)
    torch.testing.assert_close(training.losses, expected[:, None].expand(-1, 2))


def test_batches_come_in_another_order_in_each_network():
    network, other = build(n_networks=2), build(n_networks=2)
    with torch.no_grad():
        for values in (*network.parameters(), *other.parameters()):
            values[1] = values[0]
    train(network, *data(), lr=0.1, n_sweeps=1, batch_size=5)
    train(other, *data(), lr=0.1, n_sweeps=1)
    assert not torch.allclose(weights_of(network)[0], weights_of(network)[1])
    torch.testing.assert_close(weights_of(other)[0], weights_of(other)[1])


def test_early_stopping_gives_back_the_best_weights_exactly():
    inputs, targets = data(n=8)
    validation = data(n=20, seed=1)
    network = build((4, 20, 3), hidden="tanh", n_networks=4)
    seen = []

    def watch(_):
        seen.append(weights_of(network).clone())

    settings = {"lr": 0.1, "momentum": 0.9, "n_sweeps": 400, "validation": validation}
    training = train(network, inputs, targets, **settings, patience=15, watch=watch)
    n_done = training.validation.shape[1]
    assert n_done < 400
    assert n_done == int(training.n_sweeps.max()) == len(seen)
    for i in range(4):
        n_sweeps, best = int(training.n_sweeps[i]), int(training.best_sweep[i])
        assert best == int(training.validation[i, :n_sweeps].argmin())
        assert n_sweeps == best + 16
        assert torch.equal(weights_of(network)[i], seen[best][i])
    again = network.loss(*validation).detach()
    best_losses = training.validation[torch.arange(4), training.best_sweep]
    assert torch.equal(again, best_losses)


def test_without_patience_the_validation_is_only_looked_at():
    one, other = build(), build()
    training = train(one, *data(), lr=0.1, n_sweeps=5, validation=data(seed=1))
    train(other, *data(), lr=0.1, n_sweeps=5)
    assert torch.equal(weights_of(one), weights_of(other))
    assert training.validation.shape == (1, 5)
    assert training.best_sweep.tolist() == [4]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": -0.1}, "lr must be finite and not below 0, got -0.1"),
        ({"lr": torch.nan}, "lr must be finite"),
        ({"lr": [0.1, 0.1]}, r"broadcast to \(2 networks, 3 sweeps\), got \(2,\)"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1"),
        ({"n_sweeps": 0}, "n_sweeps must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"l1": -1.0}, "l1 must be finite and not below 0"),
        ({"decay": 1.0}, "decay"),
        ({"patience": 3}, "needs validation samples, got none"),
        ({"patience": 0, "validation": data()}, "patience"),
    ],
)
def test_arguments_out_of_range(settings, said):
    with pytest.raises(BrainalignError, match=said):
        train(build(n_networks=2), *data(), **({"lr": 0.1, "n_sweeps": 3} | settings))


def test_an_unknown_reduction():
    with pytest.raises(UnknownName, match="unknown reduction 'average'"):
        train(build(), *data(), lr=0.1, n_sweeps=1, reduction="average")


def test_training_leaves_a_copy_alone():
    network = build()
    kept = copy.deepcopy(network)
    train(network, *data(), lr=0.1, n_sweeps=2)
    assert torch.equal(weights_of(kept), weights_of(build()))
