"""Grad-CAM and SmoothGrad against closed forms, and the sanity checks of Adebayo et al."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from brainalign.errors import BrainalignError, UnknownName
from brainalign.simulate.alexnet import IMAGE_SIZE, AlexNet
from brainalign.simulate.attribution import (
    cascade,
    class_activation_map,
    grad_cam,
    gradient,
    rank_correlation,
    smooth_grad,
)
from brainalign.simulate.convnet import ConvNet, one_digit, train, two_digits


@pytest.fixture(scope="module")
def networks():
    """Five networks that name digits."""
    images, labels = one_digit(4000, seed=0)
    network = ConvNet((8, 16, 24), n_networks=5)
    train(network, images, labels, n_updates=300, lr=0.01)
    return [network.single(i) for i in range(5)]


@pytest.fixture(scope="module")
def seen():
    images, labels = one_digit(40, held_out=True, seed=5)
    return torch.from_numpy(images), labels


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_grad_cam_is_cam_up_to_the_number_of_places(networks, seen):
    network, (images, _) = networks[0].double(), seen
    images = images.double()
    maps = network[: list(dict(network.named_children())).index("mean")](images).detach()
    for target in (0, 3, 9):
        cam = class_activation_map(maps, network.output.weight[target].detach())
        ours = grad_cam(network, images, target, layer="relu3", upsample=False)
        torch.testing.assert_close(ours, cam.relu() / 16, rtol=1e-10, atol=1e-14)
        assert (cam < 0).any()
    networks[0].float()


def test_the_map_is_upsampled_to_the_image(networks, seen):
    small = grad_cam(networks[0], seen[0][:3], 2, layer="relu3", upsample=False)
    large = grad_cam(networks[0], seen[0][:3], 2, layer="relu3")
    assert [*small.shape, *large.shape] == [3, 4, 4, 3, 16, 16]
    torch.testing.assert_close(large.mean(dim=(1, 2)), small.mean(dim=(1, 2)), rtol=1e-4, atol=1e-7)


def test_maps_come_out_where_gradients_are_off_and_weights_are_frozen(seen):
    network = ConvNet((4, 4), seed=1).single().requires_grad_(False)
    maps = grad_cam(network, seen[0], 1, layer="relu2"), gradient(network, seen[0], 1)
    with torch.no_grad():
        again = grad_cam(network, seen[0], 1, layer="relu2"), gradient(network, seen[0], 1)
    assert all(torch.equal(a, b) and a.any() for a, b in zip(maps, again, strict=True))


def test_one_sample_without_noise_is_the_gradient(networks, seen):
    images, labels = seen
    plain = gradient(networks[0], images, labels)
    torch.testing.assert_close(smooth_grad(networks[0], images, labels, n_samples=1, noise=0), plain, rtol=0, atol=0)
    assert not torch.allclose(smooth_grad(networks[0], images, labels, n_samples=1, noise=0.1), plain)


def test_the_gradient_is_that_of_central_differences():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(27, 4)).double()
    image, step = random(1, 2, 5, 5), 1e-5
    analytic = gradient(network, image, 2)
    for place in range(0, 50, 7):
        up, down = image.clone(), image.clone()
        up.view(-1)[place] += step
        down.view(-1)[place] -= step
        slope = (network(up) - network(down)).detach()[0, 2] / (2 * step)
        assert float(slope) == pytest.approx(float(analytic.view(-1)[place]), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("n_samples", [1, 7])
def test_of_a_linear_network_smooth_grad_is_the_weights(n_samples):
    network = nn.Sequential(nn.Flatten(), nn.Linear(18, 5)).double()
    found = smooth_grad(network, random(4, 2, 3, 3), [0, 4, 2, 2], n_samples=n_samples, noise=0.2)
    torch.testing.assert_close(found, network[1].weight[[0, 4, 2, 2]].view(4, 2, 3, 3))


def test_noise_is_a_share_of_the_range_of_the_image():
    class Square(nn.Module):
        def forward(self, x):
            return (x**3).flatten(1).sum(dim=1, keepdim=True)

    image = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
    image[..., 0] = 4.0  # the gradient 3 x^2 has the mean 3 s^2 where x is 0
    found = smooth_grad(Square(), image, 0, n_samples=200, noise=0.1)[..., 1:].mean()
    assert float(found) == pytest.approx(3 * 0.4**2, rel=0.02)
    both = smooth_grad(Square(), torch.cat([image, image / 4]), 0, n_samples=200, noise=0.1)[..., 1:]
    assert both.mean(dim=(1, 2, 3)).tolist() == pytest.approx([3 * 0.4**2, 3 * 0.1**2], rel=0.02)


def test_grad_cam_points_to_the_digit_that_is_asked_for(networks):
    images, labels, corners = two_digits(120, seed=2)
    images = torch.from_numpy(images)
    for network in networks:
        inside = []
        for k in (0, 1):
            maps = grad_cam(network, images, labels[:, k], layer="relu3").numpy()
            highest = np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(axis=1), (16, 16)), axis=1)
            inside.append(((highest >= corners[:, k]) & (highest < corners[:, k] + 8)).all(axis=1))
        assert np.mean(inside) > 0.65  # a map that finds digits, whichever, would point to it in half of the images


def test_destroying_the_weights_changes_the_maps(networks, seen):
    images, labels = seen
    for network in networks:
        cam = grad_cam(network, images, labels, layer="relu3", upsample=False)
        smooth = smooth_grad(network, images, labels, n_samples=10)
        for i, (_, destroyed) in enumerate(cascade(network)):
            cam_then = grad_cam(destroyed, images, labels, layer="relu3", upsample=False)
            assert np.nanmean(rank_correlation(cam, cam_then)) < 0.3
            if i in (0, 3):
                then = smooth_grad(destroyed, images, labels, n_samples=10)
                assert np.nanmean(rank_correlation(smooth, then)) < 0.3
        same = grad_cam(network, images, labels, layer="relu3", upsample=False)
        assert np.nanmin(rank_correlation(cam, same)) == pytest.approx(1)


def test_a_map_of_edges_does_not_change_and_is_told_by_the_check(seen):
    edges = nn.Conv2d(1, 1, 3, padding=1)  # of the image alone: no weights of a network in it
    images = seen[0]
    maps = edges(images)[:, 0].detach()
    assert np.nanmean(rank_correlation(maps, maps)) > 0.3


def test_the_cascade_goes_from_the_output_to_the_image_and_keeps_every_number(networks):
    network = networks[0]
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    names = []
    for name, destroyed in cascade(network, seed=1):
        names.append(name)
        for key, weight in destroyed.state_dict().items():
            assert torch.equal(weight.flatten().sort().values, before[key].flatten().sort().values)
            part = key.rpartition(".")[0]
            assert torch.equal(weight, before[key]) == (part not in names)
    assert names == ["output", "conv3", "conv2", "conv1"]
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_rank_correlation_is_spearmans():
    a, b = random(6, 3, 8).round(decimals=1), random(6, 3, 8, seed=1).round(decimals=1)
    wanted = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), wanted)
    assert np.isnan(rank_correlation(a, torch.zeros_like(a))).all()


def test_it_works_on_alexnet_and_leaves_nothing_behind():
    network = nn.Sequential(AlexNet(seed=0), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)).eval()
    image = torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    image[:, :, 60:100, 120:180] = 1
    assert grad_cam(network, image, 4, layer="0.relu5").shape == (1, IMAGE_SIZE, IMAGE_SIZE)
    with torch.inference_mode():
        middles = network[0](image)[0, :, 6, 6]
    unit = int(middles.argmax()) * 169 + 6 * 13 + 6
    field = gradient(network[0], image, unit)[0].abs().sum(dim=0)
    rows = torch.nonzero(field.sum(dim=1))
    assert 27 < rows.max() - rows.min() + 1 <= 163  # the field of a unit of conv5 is 163 px wide
    assert all(weight.grad is None for weight in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    assert not image.requires_grad


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda m, x: torch.inference_mode()(gradient)(m, x, 0), BrainalignError, "inference_mode"),
        (lambda m, x: gradient(m, x[0], 0), BrainalignError, "n_images"),
        (lambda m, x: gradient(m, x.int(), 0), BrainalignError, "int32"),
        (lambda m, x: gradient(m, x, 10), BrainalignError, "0 to 9"),
        (lambda m, x: gradient(m, x, [0, 1]), BrainalignError, "each of 40"),
        (lambda m, x: smooth_grad(m, x, 0, n_samples=0), BrainalignError, "n_samples"),
        (lambda m, x: smooth_grad(m, x, 0, noise=-1), BrainalignError, "noise"),
        (lambda m, x: grad_cam(m, x, 0, layer="relu9"), UnknownName, "relu9"),
        (lambda m, x: grad_cam(m, x, 0, layer="flat"), BrainalignError, "must give maps"),
        (lambda m, x: rank_correlation(x, x[:3]), BrainalignError, "one shape"),
    ],
)
def test_what_does_not_fit_is_refused(networks, seen, call, error, said):
    with pytest.raises(error, match=said):
        call(networks[1], seen[0])
    assert not any(module._forward_hooks for module in networks[1].modules())
