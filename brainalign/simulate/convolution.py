"""Convolution, stride, padding and pooling, written out.

A kernel K of (k, l) numbers is laid on every window of an image X, its numbers are multiplied with those under them and
the products summed:

    y[i, j] = b + sum over u, v of K[u, v] X[i s + u - p, j s + v - p]          s: stride, p: padding

Outside its border the image is 0. There are floor((n + 2 p - k) / s) + 1 windows along a side of n. With several maps
in and out, K is (n_out, n_in, k, l), and the sum goes over the maps that come in as well.

What networks call convolution is in mathematics the cross-correlation; a convolution lays the kernel on turned by half
a circle (`turned`). The worked example tells them apart: it begins with 6, 11, 15, and turned with 20, 24, 15.

Backwards (E: the error, d = dE/dy), every product hands its share on:

    dE/dK[u, v] = sum over i, j of d[i, j] X[i s + u - p, j s + v - p]          dE/db = sum of d
    dE/dX[a, b] = sum of d[i, j] K[u, v] over all i, j, u, v with i s + u - p = a, j s + v - p = b

With stride 1 the second is d under the turned kernel.

References
----------
LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to document recognition, Proceedings of the IEEE
86:2278-2324, section II. Dumoulin & Visin (2016), A guide to convolution arithmetic for deep learning, relationship 6
(the number of windows). Oracles: torch.nn.functional, scipy.signal, autograd, and the example worked by hand.
"""

import torch
from torch.nn import functional

from brainalign.errors import BrainalignError

EXAMPLE_IMAGE = ((1, 3, 2, 0), (2, 3, 4, 1), (0, 2, 3, 1), (5, 2, 1, 3))
EXAMPLE_KERNEL = ((2, 2, 0), (3, 1, 1), (0, 1, 0))
"""The worked example, with a padding of 1 and a stride of 1."""


def n_windows(n: int, size: int, *, stride: int = 1, padding: int = 0) -> int:
    """Give how many windows of `size` fit along a side of `n` pixels.

    Raises
    ------
    BrainalignError
        None fits, or a setting is out of its range.
    """
    if size < 1 or stride < 1 or padding < 0:
        raise BrainalignError(
            f"size and stride must be at least 1 and padding at least 0, got size {size}, stride {stride}, "
            f"padding {padding}"
        )
    if n + 2 * padding < size:
        raise BrainalignError(f"a window of {size} does not fit on {n} pixels with {padding} of padding on either side")
    return (n + 2 * padding - size) // stride + 1


def windows(
    images: torch.Tensor, size: int | tuple[int, int], *, stride: int = 1, padding: int = 0, outside: float = 0.0
) -> torch.Tensor:
    """Give every window of images.

    Parameters
    ----------
    images : tensor (n_images, n_maps, height, width)
    size : int or (int, int)
        Height and width of a window.
    stride : int
        Pixels from one window to the next.
    padding : int
        Pixels added on every side.
    outside : float
        Their value.

    Returns
    -------
    windows : tensor (n_images, n_maps, n_down, n_right, k, l)

    Raises
    ------
    BrainalignError
        `images` has not four axes, no window fits, or a setting is out of its range.
    """
    if images.ndim != 4:
        raise BrainalignError(f"images must be (n_images, n_maps, height, width), got {tuple(images.shape)}")
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    for n, k in zip(images.shape[2:], sizes, strict=True):
        n_windows(n, k, stride=stride, padding=padding)
    framed = functional.pad(images, (padding,) * 4, value=outside)
    return framed.unfold(2, sizes[0], stride).unfold(3, sizes[1], stride)


def convolve(images, kernels, bias=None, *, stride: int = 1, padding: int = 0) -> torch.Tensor:
    """Lay kernels on every window of images, multiply and sum.

    Parameters
    ----------
    images : tensor (n_images, n_in, height, width)
    kernels : tensor (n_out, n_in, k, l)
    bias : tensor (n_out,), optional
    stride, padding : int

    Returns
    -------
    maps : tensor (n_images, n_out, n_down, n_right)

    Raises
    ------
    BrainalignError
        Maps of images and kernels differ in number, or as of `windows`.

    References
    ----------
    LeCun et al. (1998), section II-A; oracle: torch.nn.functional.conv2d.
    """
    if kernels.ndim != 4 or images.ndim != 4 or kernels.shape[1] != images.shape[1]:
        raise BrainalignError(
            f"kernels must be (n_out, n_in, k, l) for images (n_images, n_in, height, width), got "
            f"{tuple(kernels.shape)} and {tuple(images.shape)}"
        )
    seen = windows(images, tuple(kernels.shape[2:]), stride=stride, padding=padding)
    maps = torch.einsum("ncijuv,ocuv->noij", seen, kernels)
    return maps if bias is None else maps + bias[:, None, None]


def turned(kernels: torch.Tensor) -> torch.Tensor:
    """Turn kernels by half a circle: `convolve` with them is the convolution of mathematics."""
    return kernels.flip(-2, -1)


def convolve_back(error, images, kernels, *, stride: int = 1, padding: int = 0):
    """Carry an error back through `convolve`.

    Parameters
    ----------
    error : tensor (n_images, n_out, n_down, n_right)
        dE/dy.
    images : tensor (n_images, n_in, height, width)
    kernels : tensor (n_out, n_in, k, l)
    stride, padding : int

    Returns
    -------
    of_images : tensor (n_images, n_in, height, width)
        dE/dX.
    of_kernels : tensor (n_out, n_in, k, l)
        dE/dK.
    of_bias : tensor (n_out,)
        dE/db.

    References
    ----------
    The docstring of this module; oracles: autograd, and central differences.
    """
    seen = windows(images, tuple(kernels.shape[2:]), stride=stride, padding=padding)
    of_kernels = torch.einsum("noij,ncijuv->ocuv", error, seen)
    (n_images, n_in, height, width), (n_down, n_right) = images.shape, error.shape[2:]
    framed = images.new_zeros(n_images, n_in, height + 2 * padding, width + 2 * padding)
    for u in range(kernels.shape[2]):
        for v in range(kernels.shape[3]):  # each number of the kernel met these pixels
            share = torch.einsum("noij,oc->ncij", error, kernels[:, :, u, v])
            framed[:, :, u : u + stride * n_down : stride, v : v + stride * n_right : stride] += share
    of_images = framed[:, :, padding : padding + height, padding : padding + width]
    return of_images, of_kernels, error.sum(dim=(0, 2, 3))


def max_pool(images, size: int, *, stride: int | None = None, padding: int = 0) -> torch.Tensor:
    """Give the highest value of every window.

    Parameters
    ----------
    images : tensor (n_images, n_maps, height, width)
    size : int
    stride : int, optional
        As `size` if not given: the windows do not overlap.
    padding : int
        At most half of `size`; what is outside is never the highest.

    Returns
    -------
    maps : tensor (n_images, n_maps, n_down, n_right)

    Raises
    ------
    BrainalignError
        As of `windows`, or a window could lie outside as a whole.

    References
    ----------
    Oracle: torch.nn.functional.max_pool2d.
    """
    _check_padding(size, padding)
    seen = windows(images, size, stride=size if stride is None else stride, padding=padding, outside=-torch.inf)
    return seen.amax(dim=(-2, -1))


def mean_pool(images, size: int, *, stride: int | None = None, padding: int = 0) -> torch.Tensor:
    """Give the mean of every window, zeros outside counted in; arguments as of `max_pool`.

    References
    ----------
    LeCun et al. (1998), section II-A (sub-sampling, there with a trained gain); oracle: torch.nn.functional.avg_pool2d.
    """
    _check_padding(size, padding)
    return windows(images, size, stride=size if stride is None else stride, padding=padding).mean(dim=(-2, -1))


def _check_padding(size, padding):
    if 2 * padding > size:
        raise BrainalignError(f"padding must be at most half of the window of {size}, got {padding}")
