"""Convolutional networks side by side against torch's own layers, and what they learn."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from brainalign.errors import BrainalignError
from brainalign.simulate.convnet import ConvNet, accuracy, one_digit, train, two_digits
from brainalign.simulate.convolution import convolve, max_pool

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
SMALL = (4, 6)


@pytest.fixture(scope="module")
def digits():
    return one_digit(600, seed=3)


@pytest.fixture(scope="module")
def trained():
    images, labels = one_digit(3000, size=10, seed=0)
    network = ConvNet((8, 16, 24), n_networks=5)
    train(network, images, labels, n_updates=300, lr=0.01)
    return network


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_side_by_side_is_one_by_one(digits, dtype, device):
    network = ConvNet(SMALL, n_networks=3, seed=7, dtype=dtype, device=device)
    images = torch.from_numpy(digits[0][:5]).to(network.W)
    together = network(images)
    assert together.shape == (3, 5, 10)
    for i in range(3):
        alone = ConvNet(SMALL, seed=7 + i, dtype=dtype, device=device)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        torch.testing.assert_close(together[i], alone(images)[0], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(together[i], network.single(i)(images), rtol=tolerance, atol=tolerance)
    own = torch.stack([images, images + 1, 2 * images])  # of each network its own
    torch.testing.assert_close(network(own)[1], network(own[1])[1])


def test_states_are_the_equations(digits):
    network = ConvNet(SMALL, n_networks=2, dtype="float64")
    images = torch.from_numpy(digits[0][:3]).double()
    states = network.states(images)
    assert {name: tuple(x.shape) for name, x in states.items()} == {
        "conv1": (2, 3, 4, 16, 16),
        "conv2": (2, 3, 6, 8, 8),
    }
    for i in range(2):
        x = convolve(images, network.K1[i], network.b1[i], padding=1).relu()
        torch.testing.assert_close(states["conv1"][i], x)
        x = convolve(max_pool(x, 2), network.K2[i], network.b2[i], padding=1).relu()
        torch.testing.assert_close(states["conv2"][i], x)
        torch.testing.assert_close(network(images)[i], x.mean(dim=(2, 3)) @ network.W[i] + network.b[i])


def test_networks_learn_side_by_side_what_they_learn_alone(digits):
    together = ConvNet(SMALL, n_networks=3, seed=4, dtype="float64")
    losses = train(together, *digits, n_updates=12, batch_size=16)
    assert losses.shape == (3, 12)
    for i in range(3):
        alone = ConvNet(SMALL, seed=4 + i, dtype="float64")
        torch.testing.assert_close(train(alone, *digits, n_updates=12, batch_size=16)[0], losses[i])
        torch.testing.assert_close(alone.K2[0], together.K2[i])


def test_a_network_learns_as_torchs_layers_do(digits):
    images, labels = torch.from_numpy(digits[0]).double(), torch.from_numpy(digits[1])
    network, generator = ConvNet(SMALL, seed=6, dtype="float64"), torch.Generator().manual_seed(6)
    layers = network.single()
    adam = torch.optim.Adam(layers.parameters())
    for i in range(5):
        which = torch.randint(600, (16,), generator=generator)
        adam.param_groups[0]["lr"] = 0.01 * (1 - i / 5)
        adam.zero_grad()
        torch.nn.functional.cross_entropy(layers(images[which]), labels[which]).backward()
        torch.nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
        adam.step()
    train(network, *digits, n_updates=5, batch_size=16, lr=0.01)
    torch.testing.assert_close(network.K2[0], layers.conv2.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.W[0], layers.output.weight.T, rtol=1e-5, atol=1e-6)


def test_every_network_learns_and_untrained_or_misled_ones_do_not(trained):
    images, labels = one_digit(500, size=10, held_out=True, seed=1)
    assert (accuracy(trained, images, labels) > 0.65).all()
    assert (accuracy(ConvNet((8, 16, 24), n_networks=5), images, labels) < 0.3).all()
    shuffled = ConvNet((8, 16, 24), n_networks=2)
    few, names = one_digit(1500, size=10, seed=0)
    train(shuffled, few, np.random.default_rng(0).permutation(names), n_updates=60)
    assert (accuracy(shuffled, images, labels) < 0.3).all()


def test_accuracy_counts(trained):
    images, labels = one_digit(50, size=10, seed=2)
    wanted = [(trained.single(i)(torch.from_numpy(images)).argmax(1).numpy() == labels).mean() for i in range(5)]
    assert accuracy(trained, images, labels).tolist() == wanted


def test_digits_lie_whole_in_the_picture_and_those_held_out_are_others():
    images, labels = one_digit(300, seed=0)
    held_out, _ = one_digit(300, held_out=True, seed=0)
    assert images.shape == (300, 1, 16, 16)
    assert 0 == images.min() < images.max() == 1
    known = load_digits()
    sums = known.images.sum(axis=(1, 2)) / 16
    for image, label in zip(images[:20, 0], labels, strict=False):
        assert any(np.isclose(image.sum(), sums[known.target == label]))
    _, all_held_out = one_digit(4000, held_out=True, seed=0)
    assert set(all_held_out) == set(range(10))
    parts = [{tuple(np.sort(i[i > 0]).tolist()) for i in some[:, 0]} for some in (images, held_out)]
    assert not parts[0] & parts[1]


def test_two_digits_stand_in_opposite_corners():
    images, labels, corners = two_digits(40, size=18, seed=0)
    assert (labels[:, 0] != labels[:, 1]).all()
    assert (corners[:, 0] + corners[:, 1] == 10).all()
    assert set(corners.ravel()) == {0, 10}
    covered = np.zeros_like(images[:, 0])
    for k, pair in enumerate(corners):
        for i, j in pair:
            covered[k, i : i + 8, j : j + 8] = 1
    assert not (images[:, 0] * (1 - covered)).any()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ConvNet(()), "n_maps"),
        (lambda: ConvNet((4, 0)), "n_maps"),
        (lambda: ConvNet(n_classes=0), "n_classes"),
        (lambda: ConvNet(dtype="float16"), "float16"),
        (lambda: ConvNet()(torch.zeros(2, 3, 16, 16)), r"\(2, 3, 16, 16\)"),
        (lambda: ConvNet()(torch.zeros(2, 1, 3, 3)), "at least 4 high"),
        (lambda: ConvNet(n_networks=2)(torch.zeros(3, 2, 1, 16, 16)), r"\(2, n_images"),
        (lambda: train(ConvNet(SMALL), np.zeros((3, 1, 8, 8)), [0, 1]), "3 and 2"),
        (lambda: train(ConvNet(SMALL), np.zeros((2, 1, 8, 8)), [0, 1], n_updates=0), "n_updates"),
        (lambda: train(ConvNet(SMALL), np.zeros((2, 1, 8, 8)), [0, 11]), "0 to 9, got 0 to 11"),
        (lambda: ConvNet(n_networks=2).single(2), "0 to 1, got 2"),
        (lambda: one_digit(3, size=7), "at least 8"),
        (lambda: two_digits(3, size=15), "at least 16"),
        (lambda: one_digit(0), "n_images"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(BrainalignError, match=said):
        call()
