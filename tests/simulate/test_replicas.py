import pytest
import torch
from torch import nn

from brainalign.errors import BrainalignError
from brainalign.simulate import replicas


class Slope(nn.Module):
    """A parameter per network, and its gradient as given."""

    def __init__(self, values):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_a_long_gradient_of_one_network_shortens_no_other():
    steep, gentle = torch.tensor([300.0, 400.0]), torch.tensor([0.3, 0.4])
    network = Slope([[0.0, 0.0], [0.0, 0.0]])
    slopes = torch.stack([steep, gentle]).double()
    replicas.descend(network, lambda _: (network.w * slopes).sum(dim=1), n_updates=1, lr=0.1, clip=1.0)
    assert torch.allclose(network.w.grad[0], torch.tensor([0.6, 0.8], dtype=torch.float64))
    assert torch.allclose(network.w.grad[1], torch.tensor([0.3, 0.4], dtype=torch.float64))
    assert network.w.detach().flatten().tolist() == pytest.approx([-0.1] * 4)  # Adam's first step has the size lr


def test_losses_are_those_before_the_updates():
    network = Slope([[1.0], [2.0]])
    losses = replicas.descend(network, lambda _: network.w.square().sum(dim=1), n_updates=30, lr=0.05)
    assert losses.shape == (2, 30)
    assert losses[:, 0].tolist() == [1, 4]
    assert (losses[:, -1] < losses[:, 0]).all()


def test_the_rate_is_asked_at_every_update():
    network, asked = Slope([[1.0]]), []

    def rate(i):
        asked.append(i)
        return 0.0

    replicas.descend(network, lambda _: network.w.sum(dim=1), n_updates=3, lr=rate)
    assert asked == [0, 1, 2]
    assert network.w.item() == 1.0


def test_the_rate_rises_and_falls():
    rate = replicas.warmed_up(0.1, n_warmup=10, n_updates=110)
    assert rate(0) == pytest.approx(0.01)
    assert rate(9) == rate(10) == pytest.approx(0.1)
    assert rate(60) == pytest.approx(0.055)
    assert rate(110) == pytest.approx(0.01)


def test_losses_that_run_away_and_settings_are_said():
    network = Slope([[1.0]])
    with pytest.raises(BrainalignError, match="no longer finite"):
        replicas.descend(network, lambda _: (network.w * torch.inf).sum(dim=1), n_updates=1, lr=0.1)
    with pytest.raises(BrainalignError, match="n_updates must be at least 1"):
        replicas.descend(network, lambda _: network.w.sum(dim=1), n_updates=0, lr=0.1)


def test_affine_and_lookup_are_network_by_network():
    values, weights, bias = torch.randn(2, 3, 5, 4), torch.randn(2, 4, 6), torch.randn(2, 6)
    table, positions = torch.randn(2, 7, 4), torch.randint(7, (2, 3, 5))
    for i in range(2):
        assert torch.allclose(replicas.affine(values, weights, bias)[i], values[i] @ weights[i] + bias[i], atol=1e-5)
        assert torch.allclose(replicas.affine(values, weights)[i], values[i] @ weights[i], atol=1e-5)
        assert torch.equal(replicas.rows_of(table, positions)[i], table[i][positions[i]])


@pytest.mark.parametrize("device", ["tpu", "gpu", "cuda:one", ""])
def test_devices_that_do_not_exist_are_refused(device):
    with pytest.raises(BrainalignError, match="device must be 'cpu'"):
        replicas.place(dtype="float32", device=device)
