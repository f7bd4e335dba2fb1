"""Convolution and pooling against torch, scipy and the example worked by hand."""

import numpy as np
import pytest
import torch
from scipy import signal
from torch.nn import functional

from brainalign.errors import BrainalignError
from brainalign.simulate.convolution import (
    EXAMPLE_IMAGE,
    EXAMPLE_KERNEL,
    convolve,
    convolve_back,
    max_pool,
    mean_pool,
    n_windows,
    turned,
    windows,
)

IMAGE = torch.tensor(EXAMPLE_IMAGE, dtype=torch.float64)[None, None]
KERNEL = torch.tensor(EXAMPLE_KERNEL, dtype=torch.float64)[None, None]
GEOMETRIES = [(3, 1, 0), (3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 3, 2), (1, 1, 0), (4, 1, 2)]


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_the_worked_example():
    out = convolve(IMAGE, KERNEL, padding=1)[0, 0]
    # first row by hand: 1*1 + 1*3 + 1*2, 3*1 + 1*3 + 1*2 + 1*3, 3*3 + 1*2 + 1*0 + 1*4, 3*2 + 1*0 + 1*1
    by_hand = [[6, 11, 15, 7], [7, 23, 27, 18], [11, 17, 25, 23], [7, 22, 20, 14]]
    assert out.tolist() == by_hand
    assert convolve(IMAGE, turned(KERNEL), padding=1)[0, 0, 0].tolist() == [20, 24, 15, 4]


def test_the_worked_example_is_scipys_correlation_and_turned_its_convolution():
    image, kernel = np.array(EXAMPLE_IMAGE), np.array(EXAMPLE_KERNEL)
    assert np.array_equal(convolve(IMAGE, KERNEL, padding=1)[0, 0], signal.correlate2d(image, kernel, mode="same"))
    assert np.array_equal(
        convolve(IMAGE, turned(KERNEL), padding=1)[0, 0], signal.convolve2d(image, kernel, mode="same")
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("size", "stride", "padding"), GEOMETRIES)
def test_convolve_is_conv2d(size, stride, padding, dtype):
    images, kernels, bias = random(2, 3, 11, 8, dtype=dtype), random(4, 3, size, size, seed=1, dtype=dtype), random(4)
    bias = bias.to(dtype)
    out = convolve(images, kernels, bias, stride=stride, padding=padding)
    expected = functional.conv2d(images, kernels, bias, stride=stride, padding=padding)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    assert out.shape[2:] == (
        n_windows(11, size, stride=stride, padding=padding),
        n_windows(8, size, stride=stride, padding=padding),
    )


def test_kernels_need_not_be_square():
    images, kernels = random(1, 2, 9, 7), random(3, 2, 4, 2, seed=1)
    torch.testing.assert_close(convolve(images, kernels), functional.conv2d(images, kernels))


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, None, 0), (3, 2, 0), (3, 2, 1), (2, 1, 1), (5, 3, 2)])
def test_pools_are_those_of_torch(size, stride, padding):
    images = random(2, 3, 11, 8) - 3  # mostly below 0: what is outside must not win
    torch.testing.assert_close(
        max_pool(images, size, stride=stride, padding=padding), functional.max_pool2d(images, size, stride, padding)
    )
    torch.testing.assert_close(
        mean_pool(images, size, stride=stride, padding=padding), functional.avg_pool2d(images, size, stride, padding)
    )


@pytest.mark.parametrize("pool", [max_pool, mean_pool])
def test_a_pool_that_does_not_move_is_refused(pool):
    with pytest.raises(BrainalignError, match="stride 0"):
        pool(IMAGE, 2, stride=0)


@pytest.mark.parametrize(("size", "stride", "padding"), GEOMETRIES)
def test_the_error_goes_back_as_autograd_has_it(size, stride, padding):
    images, kernels, bias = random(2, 3, 9, 8), random(4, 3, size, size, seed=1), random(4, seed=2)
    for values in (images, kernels, bias):
        values.requires_grad_(True)
    out = convolve(images, kernels, bias, stride=stride, padding=padding)
    error = random(*out.shape, seed=3)
    expected = torch.autograd.grad(out, (images, kernels, bias), error)
    with torch.no_grad():
        got = convolve_back(error, images, kernels, stride=stride, padding=padding)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("which", [0, 1])
def test_the_error_goes_back_as_central_differences_have_it(which):
    values, error = [random(1, 2, 5, 5), random(2, 2, 3, 3, seed=1)], random(1, 2, 3, 3, seed=2)
    analytic = convolve_back(error, *values, stride=2, padding=1)[which]
    step = 1e-5
    for place in range(0, values[which].numel(), 3):
        sums = []
        for sign in (1, -1):
            moved = [v.clone() for v in values]
            moved[which].view(-1)[place] += sign * step
            sums.append((convolve(*moved, stride=2, padding=1) * error).sum())
        assert (sums[0] - sums[1]) / (2 * step) == pytest.approx(float(analytic.reshape(-1)[place]), rel=1e-6, abs=1e-9)


def test_back_with_stride_1_is_the_turned_kernel():
    error, images, kernels = random(1, 1, 6, 6), random(1, 1, 6, 6, seed=1), random(1, 1, 3, 3, seed=2)
    back = convolve_back(error, images, kernels, padding=1)[0]
    torch.testing.assert_close(back, convolve(error, turned(kernels), padding=1))


def test_a_shifted_image_gives_shifted_maps():
    image = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    image[..., 3:6, 3:6] = random(3, 3)
    moved = image.roll((2, 4), dims=(2, 3))
    kernel = random(1, 1, 3, 3, seed=1)
    torch.testing.assert_close(
        convolve(moved, kernel, padding=1), convolve(image, kernel, padding=1).roll((2, 4), dims=(2, 3))
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: convolve(IMAGE, random(1, 2, 3, 3)), r"n_in"),
        (lambda: convolve(IMAGE[0], KERNEL), r"n_images"),
        (lambda: windows(IMAGE[0], 3), r"n_images"),
        (lambda: windows(IMAGE, 5), r"window of 5 does not fit on 4"),
        (lambda: windows(IMAGE, 3, stride=0), r"stride 0"),
        (lambda: windows(IMAGE, 3, padding=-1), r"padding -1"),
        (lambda: max_pool(IMAGE, 2, padding=2), r"half of the window"),
        (lambda: mean_pool(IMAGE, 2, padding=2), r"half of the window"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(BrainalignError, match=said):
        call()
