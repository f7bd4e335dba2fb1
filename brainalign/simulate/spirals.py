"""Points of several classes on the arms of a spiral: classes that no straight lines part.

    a point of class k at share t of its arm:   radius t,   angle 2 pi (k / n_classes + turns t) + noise

t is uniform in [0, 1], the noise normal.
"""

import math

import torch

from brainalign.errors import BrainalignError


def spirals(
    n_per_class: int = 100, *, n_classes: int = 3, turns: float = 0.75, noise: float = 0.2, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw points on the arms of a spiral, an arm per class.

    Parameters
    ----------
    n_per_class : int
    n_classes : int
    turns : float
        That an arm makes around the centre.
    noise : float
        Standard deviation of the angle, in radians.
    seed : int

    Returns
    -------
    points : tensor (n_classes * n_per_class, 2)
        The classes one after the other.
    labels : tensor int64 (n_classes * n_per_class,)

    Raises
    ------
    BrainalignError
        A number is out of its range.
    """
    if n_per_class < 1 or n_classes < 2 or not noise >= 0:
        raise BrainalignError(
            "at least 1 point per class, 2 classes and no negative noise are needed, got "
            f"{n_per_class}, {n_classes} and {noise}"
        )
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n_classes).repeat_interleave(n_per_class)
    share = torch.rand(len(labels), generator=generator)
    blur = noise * torch.randn(len(labels), generator=generator)
    angle = 2 * math.pi * (labels / n_classes + turns * share) + blur
    return share[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1), labels
