import math

import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulate.back_propagation import train
from brainalign.simulate.multilayer import Multilayer
from brainalign.simulate.spirals import spirals


def test_points_lie_on_their_arms():
    points, labels = spirals(50, noise=0.0, turns=0.75)
    radius = points.norm(dim=1)
    angle = torch.atan2(points[:, 1], points[:, 0])
    apart = angle - 2 * math.pi * (labels / 3 + 0.75 * radius)
    torch.testing.assert_close(apart.cos(), torch.ones(150))
    assert labels.bincount().tolist() == [50, 50, 50]
    assert radius.max() <= 1


def test_noise_is_of_the_angle_as_much_near_the_centre_as_far_from_it():
    points, labels = spirals(2000, noise=0.2, turns=0.75)
    radius = points.norm(dim=1)
    apart = torch.atan2(points[:, 1], points[:, 0]) - 2 * math.pi * (labels / 3 + 0.75 * radius)
    apart = torch.remainder(apart + math.pi, 2 * math.pi) - math.pi
    for part in (apart[radius < 0.2], apart[radius > 0.8]):
        assert part.std().item() == pytest.approx(0.2, rel=0.1)


def test_points_depend_on_the_seed_alone():
    torch.manual_seed(0)
    first = spirals(5, seed=3)[0]
    torch.manual_seed(1)
    assert torch.equal(first, spirals(5, seed=3)[0])
    assert not torch.equal(first, spirals(5, seed=4)[0])


@pytest.mark.parametrize("settings", [{"n_per_class": 0}, {"n_classes": 1}, {"noise": -0.1}])
def test_numbers_out_of_range(settings):
    with pytest.raises(BrainalignError, match="at least 1 point per class"):
        spirals(**settings)


@pytest.mark.parametrize(("sizes", "low", "high"), [((), 0.3, 0.6), ((50, 50), 0.9, 1.0)])
def test_hidden_layers_part_what_lines_do_not(sizes, low, high):
    (points, labels), (new, of_new) = spirals(100, seed=0), spirals(100, seed=2)
    network = Multilayer((2, *sizes, 3), hidden="relu", output="softmax", n_networks=5)
    wanted = torch.nn.functional.one_hot(labels, 3)
    train(
        network, points, wanted, lr=0.1, momentum=0.9, n_sweeps=50, batch_size=30, loss="cross_entropy",
        reduction="mean",
    )  # fmt: skip
    right = (network(new).argmax(dim=2) == of_new).float().mean(dim=1)
    assert low < right.mean() <= high
