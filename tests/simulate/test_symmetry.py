"""The symmetry problem of 1986; its anchors over ten networks (papers, section 18.1)."""

import itertools

import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulate.back_propagation import train
from brainalign.simulate.multilayer import Multilayer
from brainalign.simulate.symmetry import magnitudes, mirror_error, rows, share_right

N_NETWORKS = 10


@pytest.fixture(scope="module")
def learnt():
    """Networks with the printed rate, momentum and range of first weights; their first biases are 0."""
    network = Multilayer([6, 2, 1], n_networks=N_NETWORKS, limit=0.3)
    with torch.no_grad():
        for bias in network.biases:
            bias.zero_()
    train(network, *rows(), lr=0.1, momentum=0.9, n_sweeps=4000)
    return network


def test_rows_are_all_rows_and_eight_are_symmetric():
    inputs, targets = rows()
    assert sorted(map(tuple, inputs.tolist())) == list(itertools.product((0.0, 1.0), repeat=6))
    symmetric = [row for row, yes in zip(inputs.int().tolist(), targets[:, 0].tolist(), strict=True) if yes]
    assert len(symmetric) == 8
    assert all(row == row[::-1] for row in symmetric)
    assert rows(3)[1].sum() == 4


def test_most_networks_solve_it(learnt):
    assert (share_right(learnt(rows()[0]), rows()[1]) == 1).sum() > N_NETWORKS / 2


def test_their_weights_are_antisymmetric_in_few_ratios(learnt):
    solved = share_right(learnt(rows()[0]), rows()[1]) == 1
    weights = learnt.W1.detach()[solved]
    assert (mirror_error(weights) < 0.15).all()
    ratios = magnitudes(weights)
    classic = ((ratios / torch.tensor([1.0, 2.0, 4.0]) - 1).abs() < 0.1).all(dim=1)
    other = ((ratios / torch.tensor([1.0, 1.5, 2.0]) - 1).abs() < 0.1).all(dim=1)
    assert (classic | other).all()
    assert classic.sum() > len(weights) / 2
    torch.testing.assert_close(weights[:, :, 0], -weights[:, :, 1], rtol=0.15, atol=0.0)
    assert (learnt.b1[solved] < 0).all()
    assert (learnt.b2[solved] > 0).all()


def test_untrained_networks_and_such_without_hidden_units_fail():
    inputs, targets = rows()
    assert (share_right(Multilayer([6, 2, 1], n_networks=N_NETWORKS, limit=0.3)(inputs), targets) < 1).all()
    flat = Multilayer([6, 1], n_networks=N_NETWORKS, limit=0.3)
    train(flat, inputs, targets, lr=0.1, momentum=0.9, n_sweeps=1000)
    assert (share_right(flat(inputs), targets) < 0.95).all()


def test_shuffled_answers_are_not_learnt():
    inputs, targets = rows()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    network = Multilayer([6, 2, 1], n_networks=5, limit=0.3)
    train(network, inputs, targets[order], lr=0.05, momentum=0.9, n_sweeps=1500)
    assert (share_right(network(inputs), targets[order]) < 1).all()


def test_measures_on_planted_weights():
    half = torch.tensor([4.0, -1.0, 2.0])
    planted = torch.cat([half, -half.flip(0)])[None, :, None]
    assert mirror_error(planted).item() == 0
    assert magnitudes(planted).tolist() == [[1.0, 2.0, 4.0]]
    spoiled = planted.clone()
    spoiled[0, 1] = -1.5
    assert mirror_error(spoiled).item() == pytest.approx(0.5)


def test_magnitudes_are_means_over_mirror_images_and_units():
    weights = torch.tensor([[4.0, -1.0, 2.0, -2.0, 1.0, -6.0], [3.0, 2.0, 4.0, 4.0, 2.0, 3.0]]).T[None]
    assert magnitudes(weights[:, :, :1]).tolist() == [[1, 2, 5]]
    assert magnitudes(weights).tolist() == [[1, 1.75, 3.5]]


def test_too_short_rows():
    with pytest.raises(BrainalignError, match="at least 2, got 1"):
        rows(1)
