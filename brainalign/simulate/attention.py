"""Attention of several heads, and the norm of a layer, as GPT and Transformer share them.

    A = softmax(Q K' / sqrt(d_head) + mask)      rows sum to 1
    head = A V                                   heads side by side are the result

mask_ij = -inf where i must not look at j; with the causal mask j > i.

    norm(x) = gain (x - mean x) / sqrt(var x + eps) + shift       over the units of one step

References
----------
Vaswani et al. (2017), Attention is all you need, equation 1 and section 3.2. Ba, Kiros & Hinton (2016), Layer
normalization, equation 4. Oracle: torch.nn.functional.
"""

import math

import torch


def attend(queries, keys, values, *, n_heads: int, causal: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix values by how well their keys fit the queries.

    Parameters
    ----------
    queries : tensor (n_networks, n_sequences, n_steps, width)
    keys, values : tensor (n_networks, n_sequences, n_seen, width)
    n_heads : int
        Divides the width.
    causal : bool
        Whether step i sees steps up to i only.

    Returns
    -------
    mixed : tensor (n_networks, n_sequences, n_steps, width)
    weights : tensor (n_networks, n_sequences, n_heads, n_steps, n_seen)
    """
    q, k, v = (part.unflatten(3, (n_heads, -1)).transpose(2, 3) for part in (queries, keys, values))
    fit = q @ k.transpose(3, 4) / math.sqrt(q.shape[4])  # (n_networks, n_sequences, n_heads, n_steps, n_seen)
    if causal:
        later = torch.ones(fit.shape[3:], dtype=torch.bool, device=fit.device).triu(diagonal=1)
        fit = fit.masked_fill(later, -torch.inf)
    weights = torch.softmax(fit, dim=4)
    return (weights @ v).transpose(2, 3).flatten(3), weights


def normalise(values, gain, shift, *, eps: float = 1e-5) -> torch.Tensor:
    """Give mean 0 and variance 1 over the units of each step, then gain and shift (n_networks, width)."""
    variance, mean = torch.var_mean(values, dim=3, correction=0, keepdim=True)
    return (values - mean) * torch.rsqrt(variance + eps) * gain[:, None, None] + shift[:, None, None]
