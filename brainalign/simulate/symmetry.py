"""The symmetry problem: to tell rows of 0s and 1s that read the same from either end.

No single input tells anything about it, so units in between are needed. Two suffice: each is driven by a weighted
difference of the two halves, 0 for a symmetric row, and stays off then; the other has the same weights with the signs
turned, so that one of them comes on otherwise and turns the output off. With magnitudes of 1 : 2 : 4 no asymmetric row
of six sums to 0. That needs only that no sum of some magnitudes equals the sum of others: 2 : 3 : 4 serves as well.

References
----------
Rumelhart, Hinton & Williams (1986), Nature 323:533-536, figure 1.
"""

import itertools

import torch

from brainalign.errors import BrainalignError


def rows(n_inputs: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Give all rows of 0s and 1s, and 1 for those that are symmetric.

    Parameters
    ----------
    n_inputs : int

    Returns
    -------
    inputs : tensor (2 ** n_inputs, n_inputs)
    targets : tensor (2 ** n_inputs, 1)

    Raises
    ------
    BrainalignError
        `n_inputs` is below 2.
    """
    if n_inputs < 2:
        raise BrainalignError(f"n_inputs must be at least 2, got {n_inputs}")
    inputs = torch.tensor(list(itertools.product((0.0, 1.0), repeat=n_inputs)))
    return inputs, (inputs == inputs.flip(1)).all(dim=1, keepdim=True).to(inputs.dtype)


def share_right(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give the share of rows answered right, outputs above 1/2 being yes: (n_networks, n_rows, 1) -> (n_networks,)."""
    return ((outputs > 0.5) == (targets > 0.5)).to(outputs.dtype).mean(dim=(1, 2))


def mirror_error(weights: torch.Tensor) -> torch.Tensor:
    """Give the largest |w_i + w_(n+1-i)| / |w_i| of each network: 0 where the weights are antisymmetric.

    Parameters
    ----------
    weights : tensor (n_networks, n_inputs, n_units)

    Returns
    -------
    error : tensor (n_networks,)
    """
    return ((weights + weights.flip(1)).abs() / weights.abs()).amax(dim=(1, 2))


def magnitudes(weights: torch.Tensor) -> torch.Tensor:
    """Give the magnitudes of the weights of a half over the smallest of them, rising, mean over the units.

    Parameters
    ----------
    weights : tensor (n_networks, n_inputs, n_units)

    Returns
    -------
    ratios : tensor (n_networks, n_inputs // 2)
        1, 2, 4 of the paper's solution; a magnitude is the mean of a weight's and its mirror image's.
    """
    half = weights.shape[1] // 2
    sizes = (weights.abs()[:, :half] + weights.flip(1).abs()[:, :half]) / 2
    sizes = sizes.sort(dim=1).values  # (n_networks, n_inputs // 2, n_units)
    return (sizes / sizes[:, :1]).mean(dim=2)
