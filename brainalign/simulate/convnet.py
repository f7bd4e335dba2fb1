"""A small convolutional network that names the digit in a picture, wherever the digit stands.

    x_1 = relu(K_1 * image + b_1)                   K of 3 x 3, * as in `convolution.convolve`, padding 1
    x_l = relu(K_l * highest_2x2(x_{l-1}) + b_l)    highest_2x2: the highest of each 2 x 2 values
    g   = mean of x_L over places                   one number per map: global average pooling
    o   = g W + b                                   one number per class; softmax(o) are probabilities

As only the mean over places reaches the classes, a class is a weighted sum of maps, and the maps say where it is seen
(class activation mapping). The digits are the 8 x 8 pixels of scikit-learn's copy of the UCI set; nothing is fetched.
Networks are side by side: their maps lie one after the other and are convolved in groups.

References
----------
LeCun, Bottou, Bengio & Haffner (1998), Proceedings of the IEEE 86:2278-2324 (such networks). Lin, Chen & Yan (2014),
Network in network, section 3.2 (global average pooling). He et al. (2015), equation 10 (the first weights). Oracles:
the layers of torch, one network at a time.
"""

import math

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate.replicas import affine, check_counts, descend, stacked

KERNEL = 3
N_TEST = 382  # the last of scikit-learn's 1,797 digits; with the first of them the digits of another writer begin


class ConvNet(nn.Module):
    """Convolutional networks, several side by side, with weights of their own.

    Parameters
    ----------
    n_maps : sequence of int
        Maps of each convolution.
    n_in : int
        Maps of an image.
    n_classes : int
    n_networks : int
        Replicas; network i has the weights of a single network with seed `seed + i`.
    seed : int
        Of the weights, drawn in float32 whatever the dtype: biases 0, kernels N(0, 2 / fan_in), W N(0, 16 / fan_in),
        as a digit fills only a fourth of the places over which its maps are averaged.
    dtype : {"float32", "float64"}
    device : {"cpu", "cuda", "auto"}

    Raises
    ------
    BrainalignError
        A setting is out of its range, or there is no GPU.
    """

    def __init__(
        self,
        n_maps=(16, 32, 32),
        *,
        n_in: int = 1,
        n_classes: int = 10,
        n_networks: int = 1,
        seed: int = 0,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        super().__init__()
        n_maps = [int(n) for n in n_maps]
        self.settings = {
            "n_maps": n_maps,
            "n_in": n_in,
            "n_classes": n_classes,
            "n_networks": n_networks,
            "seed": seed,
            "dtype": dtype,
        }
        check_counts(self.settings, "n_in", "n_classes", "n_networks")
        if not n_maps or min(n_maps) < 1:
            raise BrainalignError(f"n_maps must be at least one number of at least 1, got {n_maps}")
        self.layer_names = tuple(f"conv{k}" for k in range(1, len(n_maps) + 1))
        sizes = list(zip([n_in, *n_maps], n_maps, strict=False))

        def draw(generator):
            weights = {}
            for k, (n_from, n_to) in enumerate(sizes, 1):
                fan_in = n_from * KERNEL**2
                shape = (n_to, n_from, KERNEL, KERNEL)
                weights[f"K{k}"] = torch.randn(shape, generator=generator) * math.sqrt(2 / fan_in)
                weights[f"b{k}"] = torch.zeros(n_to)
            weights["W"] = torch.randn(n_maps[-1], n_classes, generator=generator) * 4 / math.sqrt(n_maps[-1])
            return weights | {"b": torch.zeros(n_classes)}

        for name, weight in stacked(draw, seed=seed, n_networks=n_networks, dtype=dtype, device=device).items():
            setattr(self, name, weight)

    def states(self, images) -> dict[str, torch.Tensor]:
        """Give the maps of every convolution after its relu.

        Parameters
        ----------
        images : tensor (n_images, n_in, height, width) or (n_networks, n_images, n_in, height, width)
            The same for all networks, or of each its own.

        Returns
        -------
        states : dict
            {"conv1": (n_networks, n_images, n_maps, height, width), ...}, each half as high and wide as the one before.

        Raises
        ------
        BrainalignError
            The images have another shape.
        """
        x, states = self._as_groups(images), {}
        n_networks = self.settings["n_networks"]
        for k, name in enumerate(self.layer_names, 1):
            kernels, bias = getattr(self, f"K{k}"), getattr(self, f"b{k}")
            x = x if k == 1 else functional.max_pool2d(x, 2)
            x = functional.conv2d(x, kernels.flatten(0, 1), bias.flatten(), padding=1, groups=n_networks).relu()
            states[name] = x.unflatten(1, (n_networks, -1)).transpose(0, 1)
        return states

    def forward(self, images) -> torch.Tensor:
        """Give the outputs before the softmax, (n_networks, n_images, n_classes); images as of `states`."""
        maps = self.states(images)[self.layer_names[-1]]
        return affine(maps.mean(dim=(-2, -1)), self.W, self.b)

    def single(self, i_network: int = 0) -> nn.Sequential:
        """Give one of the networks as torch's own layers, with a copy of its weights.

        It takes images (n_images, n_in, height, width) and gives outputs (n_images, n_classes); its parts are conv1,
        relu1, pool1, conv2 and so on to the last relu, then mean, flat and output.

        Raises
        ------
        BrainalignError
            There is no such network.
        """
        if not 0 <= i_network < self.settings["n_networks"]:
            raise BrainalignError(f"i_network must be from 0 to {self.settings['n_networks'] - 1}, got {i_network}")
        network = nn.Sequential()
        for k, (name, n_to) in enumerate(zip(self.layer_names, self.settings["n_maps"], strict=True), 1):
            kernels, bias = getattr(self, f"K{k}")[i_network], getattr(self, f"b{k}")[i_network]
            layer = nn.utils.skip_init(nn.Conv2d, kernels.shape[1], n_to, KERNEL, padding=1)
            layer.weight, layer.bias = _copy(kernels), _copy(bias)
            if k > 1:
                network.add_module(f"pool{k - 1}", nn.MaxPool2d(2))
            network.add_module(name, layer)
            network.add_module(f"relu{k}", nn.ReLU())
        output = nn.utils.skip_init(nn.Linear, *self.W.shape[1:])
        output.weight, output.bias = _copy(self.W[i_network].T), _copy(self.b[i_network])
        for name, layer in (("mean", nn.AdaptiveAvgPool2d(1)), ("flat", nn.Flatten()), ("output", output)):
            network.add_module(name, layer)
        return network

    def _as_groups(self, images):
        images = torch.as_tensor(images, device=self.W.device).to(self.W.dtype)
        n_networks, n_in = self.settings["n_networks"], self.settings["n_in"]
        smallest = 2 ** (len(self.layer_names) - 1)
        fits = images.ndim == 4 or (images.ndim == 5 and len(images) == n_networks)
        if not fits or images.shape[-3] != n_in or min(images.shape[-2:]) < smallest:
            raise BrainalignError(
                f"images must be (n_images, {n_in}, height, width) or ({n_networks}, n_images, {n_in}, height, width), "
                f"at least {smallest} high and wide, got {tuple(images.shape)}"
            )
        if images.ndim == 4:
            return images.repeat(1, n_networks, 1, 1)
        return images.transpose(0, 1).flatten(1, 2)


def _copy(weight):
    return nn.Parameter(weight.detach().clone())


def train(
    network: ConvNet, images, labels, *, n_updates: int = 600, batch_size: int = 32, lr: float = 0.005, seed=None
):
    """Teach networks in place to name what is in images: cross-entropy, Adam.

    Parameters
    ----------
    network : ConvNet
        Network i of it learns as it would learn alone.
    images : array (n_images, n_in, height, width)
    labels : int array (n_images,)
        Classes, from 0.
    n_updates : int
        Each from `batch_size` images, drawn for each network on its own.
    batch_size : int
    lr : float
        Learning rate at the beginning; it falls to 0 in a straight line.
    seed : int, optional
        Network i draws its images with `seed + i`; that of the network if not given.

    Returns
    -------
    losses : tensor (n_networks, n_updates)

    Raises
    ------
    Misaligned
        There are not as many labels as images.
    BrainalignError
        A setting or a label is out of its range, or the loss does not stay finite.

    References
    ----------
    Kingma & Ba (2015), algorithm 1. Oracle: the network trained alone, as torch's own layers.
    """
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    if len(images) != len(labels) or not len(images):
        raise Misaligned(f"images and labels must be as many, at least one, got {len(images)} and {len(labels)}")
    check_counts({"n_updates": n_updates, "batch_size": batch_size}, "n_updates", "batch_size")
    n_classes = network.settings["n_classes"]
    if not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise BrainalignError(f"labels must be from 0 to {n_classes - 1}, got {labels.min()} to {labels.max()}")
    seed = network.settings["seed"] if seed is None else seed
    generators = [torch.Generator().manual_seed(seed + i) for i in range(network.settings["n_networks"])]

    def loss_of(_):
        which = torch.stack([torch.randint(len(images), (batch_size,), generator=g) for g in generators])
        outputs = network(images[which])  # (n_networks, batch_size, n_classes)
        wanted = labels[which].to(outputs.device)
        return functional.cross_entropy(outputs.transpose(1, 2), wanted, reduction="none").mean(dim=1)

    return descend(network, loss_of, n_updates=n_updates, lr=lambda i: lr * (1 - i / n_updates))


@torch.no_grad()
def accuracy(network: ConvNet, images, labels) -> torch.Tensor:
    """Give the share of images that each network names rightly, (n_networks,)."""
    labels = torch.as_tensor(labels, device=network.W.device)
    return (network(images).argmax(dim=2) == labels).double().mean(dim=1)


def one_digit(n_images: int, *, size: int = 16, held_out: bool = False, seed: int = 0):
    """Put a digit at a random place of an empty picture.

    Parameters
    ----------
    n_images : int
    size : int
        Height and width of a picture (px), 8 at least.
    held_out : bool
        Whether the digits are the last 382 of the set, of other writers, rather than those before.
    seed : int

    Returns
    -------
    images : float32 array (n_images, 1, size, size)
        From 0 to 1.
    labels : int array (n_images,)

    Raises
    ------
    BrainalignError
        The size is below 8, or there are no images.
    """
    _check(n_images, size, smallest=8)
    generator = np.random.default_rng(seed)
    digits, labels = _digits(held_out)
    which = generator.integers(0, len(digits), n_images)
    down, right = generator.integers(0, size - 7, (2, n_images))
    images = np.zeros((n_images, 1, size, size), dtype=np.float32)
    for image, digit, i, j in zip(images, digits[which], down, right, strict=True):
        image[0, i : i + 8, j : j + 8] = digit
    return images, labels[which]


def two_digits(n_images: int, *, size: int = 16, seed: int = 0):
    """Put two different digits, held out of training, into opposite corners of an empty picture.

    Parameters
    ----------
    n_images : int
    size : int
        Height and width of a picture (px), 16 at least.
    seed : int

    Returns
    -------
    images : float32 array (n_images, 1, size, size)
    labels : int array (n_images, 2)
    corners : int array (n_images, 2, 2)
        Row and column of the upper left pixel of each digit, which is 8 px high and wide.

    Raises
    ------
    BrainalignError
        The size is below 16, or there are no images.
    """
    _check(n_images, size, smallest=16)
    generator = np.random.default_rng(seed)
    digits, labels = _digits(held_out=True)
    images = np.zeros((n_images, 1, size, size), dtype=np.float32)
    named = np.empty((n_images, 2), dtype=int)
    corners = np.empty((n_images, 2, 2), dtype=int)
    for k in range(n_images):
        first = generator.integers(len(digits))
        second = generator.choice(np.flatnonzero(labels != labels[first]))
        across = generator.integers(0, 2, 2)  # of the first digit: above or below, left or right
        for m, (which, corner) in enumerate(((first, across), (second, 1 - across))):
            i, j = corners[k, m] = corner * (size - 8)
            images[k, 0, i : i + 8, j : j + 8] = digits[which]
            named[k, m] = labels[which]
    return images, named, corners


def _check(n_images, size, *, smallest):
    if n_images < 1 or size < smallest:
        raise BrainalignError(f"n_images must be at least 1 and size at least {smallest}, got {n_images} and {size}")


def _digits(held_out):
    of_sklearn = load_digits()
    part = slice(-N_TEST, None) if held_out else slice(0, -N_TEST)
    return of_sklearn.images[part] / 16, of_sklearn.target[part]
