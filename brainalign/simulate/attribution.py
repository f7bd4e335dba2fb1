"""Which pixels made a network answer so: Grad-CAM, SmoothGrad, and whether such maps depend on the network at all.

For an output y_c of a network and the maps A_k of one of its layers, with n places each:

    Grad-CAM      alpha_k = 1/n sum over places of dy_c/dA_k        map = relu(sum_k alpha_k A_k)
    CAM           map = sum_k w_kc A_k       where y_c = b_c + sum_k w_kc (mean over places of A_k)
    gradient      dy_c/dx at the image x
    SmoothGrad    mean of the gradient at x + noise, noise N(0, s^2), s a share of max(x) - min(x)

Where CAM is defined, alpha_k = w_kc / n: Grad-CAM is relu(CAM) / n. Without noise SmoothGrad is the gradient, and of a
linear network it is the network's weights, whatever the noise.

A map that stays as it is when the network's weights are destroyed says something about the image, not about the network
(edges look convincing). So every map should be compared with that of networks whose weights were shuffled, from the
last layer to the first (`cascade`), by the rank correlation over pixels.

All functions take any torch module that maps images (n_images, n_channels, height, width) to outputs (n_images, ...).
An output is named by its place when they are flattened: a class, or a unit of a layer of maps. Set `module.eval()`
first where it has dropout or batch normalisation. Nothing is left behind in the module: no hooks, no gradients.

References
----------
Selvaraju et al. (2017), Grad-CAM, ICCV, equations 1 and 2. Zhou et al. (2016), Learning deep features for
discriminative localization, CVPR, section 2 (CAM). Smilkov et al. (2017), SmoothGrad, arXiv 1706.03825, section 3.
Adebayo et al. (2018), Sanity checks for saliency maps, NeurIPS 31, section 3. Oracles: CAM, the gradient, a linear
network, scipy.
"""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from brainalign.errors import BrainalignError, Misaligned, UnknownName


def gradient(module: nn.Module, images, target) -> torch.Tensor:
    """Give the gradient of an output with respect to images.

    Parameters
    ----------
    module : Module
    images : tensor (n_images, n_channels, height, width)
    target : int, or int array (n_images,)
        Place of the output, of all images or of each.

    Returns
    -------
    gradient : tensor (n_images, n_channels, height, width)

    Raises
    ------
    BrainalignError
        The images have another shape, there is no such output, or torch is in inference mode.
    """
    images = _as_images(images).requires_grad_(True)
    with torch.enable_grad():
        return torch.autograd.grad(_picked(module(images), target).sum(), images)[0]


def smooth_grad(
    module: nn.Module, images, target, *, n_samples: int = 50, noise: float = 0.15, seed: int = 0
) -> torch.Tensor:
    """Give the mean gradient round images.

    Parameters
    ----------
    module, images, target
        As of `gradient`.
    n_samples : int
    noise : float
        Standard deviation of the noise, as a share of the range of each image; the paper finds .1 to .2 best.
    seed : int
        Of the noise.

    Returns
    -------
    mean_gradient : tensor (n_images, n_channels, height, width)

    Raises
    ------
    BrainalignError
        A setting is out of its range, or as of `gradient`.

    References
    ----------
    Smilkov et al. (2017). Oracles: the gradient (no noise), the weights (a linear network).
    """
    if n_samples < 1 or noise < 0:
        raise BrainalignError(f"n_samples must be at least 1 and noise at least 0, got {n_samples} and {noise}")
    images = _as_images(images)
    generator = torch.Generator().manual_seed(seed)
    deviation = noise * (images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for _ in range(n_samples):
        drawn = torch.randn(images.shape, generator=generator).to(images)
        total += gradient(module, images + deviation * drawn, target)
    return total / n_samples


def grad_cam(module: nn.Module, images, target, *, layer: str, upsample: bool = True) -> torch.Tensor:
    """Give the places of a layer's maps that speak for an output.

    Parameters
    ----------
    module, images, target
        As of `gradient`.
    layer : str
        Name of a part of the module that gives maps (n_images, n_maps, height, width).
    upsample : bool
        Whether the map is brought to the size of the images, bilinearly.

    Returns
    -------
    maps : tensor (n_images, height, width)
        At least 0; 0 everywhere where nothing speaks for the output.

    Raises
    ------
    UnknownName
        The module has no such part.
    BrainalignError
        The part gives no maps, takes no part in the output or has its maps changed in place, or as of `gradient`.

    References
    ----------
    Selvaraju et al. (2017), equations 1 and 2. Oracle: relu(CAM) / n (Zhou et al. 2016).
    """
    parts = dict(module.named_modules())
    if layer not in parts:
        raise UnknownName("layer", layer, [name for name in parts if name])
    images, seen = _as_images(images), []
    hook = parts[layer].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        with torch.enable_grad():
            wanted = _picked(module(images.requires_grad_(True)), target).sum()
    finally:
        hook.remove()
    if len(seen) != 1 or seen[0].ndim != 4:
        shapes = [tuple(maps.shape) for maps in seen]
        raise BrainalignError(f"layer {layer!r} must give maps (n_images, n_maps, height, width) once, got {shapes}")
    (maps,) = seen
    slopes = torch.autograd.grad(wanted, maps, allow_unused=True)[0]
    if slopes is None:
        raise BrainalignError(f"layer {layer!r} takes no part in the output, or its maps are changed in place")
    summed = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu().detach()
    if not upsample:
        return summed
    return functional.interpolate(summed[:, None], images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def class_activation_map(maps, weights) -> torch.Tensor:
    """Give sum_k w_k A_k, (n_images, height, width), of maps A (n_images, n_maps, height, width) and w (n_maps,)."""
    return torch.einsum("nkhw,k->nhw", torch.as_tensor(maps), torch.as_tensor(weights))


def cascade(module: nn.Module, *, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Destroy the weights of a network part by part, from the last to the first.

    The numbers of every weight are put in random order, so that their distribution stays; Adebayo et al. draw new ones
    as a network that begins to learn has them, which only the network's maker knows.

    Parameters
    ----------
    module : Module
        Left as it is.
    seed : int

    Yields
    ------
    name : str
        Of the part that was destroyed last, one with weights of its own.
    destroyed : Module
        A copy in which this part and all after it are destroyed, and those before are not.

    References
    ----------
    Adebayo et al. (2018), section 3.1 (cascading randomization).
    """
    generator = torch.Generator().manual_seed(seed)
    destroyed = copy.deepcopy(module)
    for name, part in reversed(list(destroyed.named_modules())):
        weights = list(part.parameters(recurse=False))
        if not weights:
            continue
        with torch.no_grad():
            for weight in weights:
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.flatten()[order].view_as(weight))
        yield name, copy.deepcopy(destroyed)


def rank_correlation(maps, others) -> np.ndarray:
    """Give Spearman's correlation over the pixels of two sets of maps.

    Parameters
    ----------
    maps, others : array (n_images, ...)

    Returns
    -------
    correlations : array (n_images,)
        nan where a map is constant.

    Raises
    ------
    Misaligned
        Their shapes differ.

    References
    ----------
    Adebayo et al. (2018), section 3. Oracle: scipy.stats.spearmanr.
    """
    maps, others = np.asarray(maps), np.asarray(others)
    if maps.shape != others.shape or maps.ndim < 2:
        raise Misaligned(f"maps must both be (n_images, ...) of one shape, got {maps.shape} and {others.shape}")
    a, b = (rankdata(values.reshape(len(values), -1), axis=1) for values in (maps, others))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    lengths = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(lengths > 0, lengths, np.nan)


def _as_images(images):
    if torch.is_inference_mode_enabled():
        raise BrainalignError("there are no gradients within torch.inference_mode; use torch.no_grad, or neither")
    images = torch.as_tensor(images).detach()
    if images.ndim != 4 or not images.is_floating_point():
        raise BrainalignError(
            f"images must be floating (n_images, n_channels, height, width), got {images.dtype} {tuple(images.shape)}"
        )
    return images.clone()


def _picked(outputs, target):
    """Give the outputs at a place of each image, (n_images,)."""
    flat = outputs.flatten(1)
    places = torch.as_tensor(target, device=flat.device)
    if places.ndim > 1 or (places.ndim == 1 and len(places) != len(flat)):
        raise BrainalignError(f"target must be an int or one for each of {len(flat)} images, got {tuple(places.shape)}")
    places = places.expand(len(flat)).long()
    if not 0 <= int(places.min()) <= int(places.max()) < flat.shape[1]:
        raise BrainalignError(
            f"target must be from 0 to {flat.shape[1] - 1}, got {int(places.min())} to {int(places.max())}"
        )
    return flat.gather(1, places[:, None])[:, 0]
