"""Several networks side by side: a weight of all of them is one tensor, its first axis the network.

Network i draws its weights and its lessons from generators of its own, seeded with `seed + i`. The losses of the
networks are summed, their gradients clipped network by network, and Adam moves every weight by its own gradient alone;
so networks that learn together learn what each would learn alone: on a CPU to the last bit where products are more than
one column wide and a layer has a multiple of 32 numbers per network (sequences x steps x units), elsewhere up to
rounding, which learning makes larger (GPT in float64: 1e-13 becomes .02 within 140 updates).
"""

import re

import torch
from torch import nn

from brainalign.errors import BrainalignError


def check_counts(settings: dict, *names: str) -> None:
    """Refuse settings of these names that are below 1.

    Raises
    ------
    BrainalignError
        One is.
    """
    for name in names:
        if settings[name] < 1:
            raise BrainalignError(f"{name} must be at least 1, got {settings[name]}")


def place(*, dtype: str, device: str) -> dict:
    """Give `dtype` and `device` as torch takes them; device "auto" is a GPU where there is one.

    Raises
    ------
    BrainalignError
        The dtype is neither float32 nor float64, the device none of these, or there is no GPU.
    """
    if dtype not in ("float32", "float64"):
        raise BrainalignError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise BrainalignError(f"device must be 'cpu', 'cuda', 'cuda:0', ... or 'auto', got {device!r}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BrainalignError(f'device {device!r}: torch {torch.__version__} sees no GPU here; set device = "cpu"')
    return {"dtype": getattr(torch, dtype), "device": device}


def stacked(draw, *, seed: int, n_networks: int, dtype: str, device: str) -> dict[str, nn.Parameter]:
    """Draw the weights of every network by itself and put them side by side.

    Parameters
    ----------
    draw : function
        Takes a torch generator, gives the weights of one network, {name: tensor}, in float32.
    seed : int
        Network i gets `seed + i`.
    n_networks : int
    dtype, device : str

    Returns
    -------
    weights : dict
        {name: Parameter (n_networks, ...)}
    """
    where = place(dtype=dtype, device=device)
    draws = [draw(torch.Generator().manual_seed(seed + i)) for i in range(n_networks)]
    return {name: nn.Parameter(torch.stack([one[name] for one in draws]).to(**where)) for name in draws[0]}


def uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> torch.Tensor:
    """Draw uniformly from +-limit."""
    return (2 * torch.rand(shape, generator=generator) - 1) * limit


def affine(values: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Give values (n_networks, ..., from) times weights (n_networks, from, to) plus bias (n_networks, to)."""
    rows = values.flatten(1, -2)  # (n_networks, all rows, from)
    out = torch.bmm(rows, weights) if bias is None else torch.baddbmm(bias[:, None], rows, weights)
    return out.view(*values.shape[:-1], -1)


def rows_of(table: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Look up positions (n_networks, ...) in tables (n_networks, n_rows, width): (n_networks, ..., width)."""
    i_network = torch.arange(len(table), device=table.device)
    return table[i_network.view(-1, *[1] * (positions.ndim - 1)), positions]


def as_positions(words, *, n_networks: int, n_words: int, device) -> tuple[torch.Tensor, bool]:
    """Check symbols and give them an axis for networks and one for sequences.

    Parameters
    ----------
    words : int (n_steps,) or (1 or n_networks, n_sequences, n_steps)
        One sequence, or many; the same for all networks, or of each its own.
    n_networks, n_words : int
    device : torch device

    Returns
    -------
    positions : int64 (n_networks, n_sequences, n_steps)
    alone : bool
        Whether one sequence was given.

    Raises
    ------
    BrainalignError
        Shape, type or a position does not fit.
    """
    words = torch.as_tensor(words, device=device)
    alone = words.ndim == 1
    fits = words.numel() and (alone or (words.ndim == 3 and len(words) in (1, n_networks)))
    if not fits or words.is_floating_point() or words.dtype == torch.bool:
        raise BrainalignError(
            f"words must be int (n_steps,) or (1 or {n_networks}, n_sequences, n_steps), got {words.dtype} "
            f"{tuple(words.shape)}"
        )
    if not 0 <= int(words.min()) <= int(words.max()) < n_words:
        raise BrainalignError(
            f"words must be positions from 0 to {n_words - 1}, got {int(words.min())} to {int(words.max())}"
        )
    words = words[None, None] if alone else words
    return words.long().expand(n_networks, -1, -1), alone


def descend(network: nn.Module, loss_of, *, n_updates: int, lr, clip: float = 1.0) -> torch.Tensor:
    """Move the weights of networks down the gradients of their losses, by Adam.

    Parameters
    ----------
    network : Module
        All its parameters have the network as first axis.
    loss_of : function
        Takes the number of the update, from 0; gives the loss of each network, (n_networks,).
    n_updates : int
    lr : float, or function of the number of the update
        Learning rate.
    clip : float
        Largest length of the gradient of one network; longer ones are shortened.

    Returns
    -------
    losses : tensor (n_networks, n_updates)
        Before each update.

    Raises
    ------
    BrainalignError
        `n_updates` is below 1, or a loss is not finite.

    References
    ----------
    Kingma & Ba (2015), Adam, algorithm 1. Pascanu, Mikolov & Bengio (2013), algorithm 1 (clipping). Oracle: each
    network trained alone.
    """
    check_counts({"n_updates": n_updates}, "n_updates")
    weights = list(network.parameters())
    adam = torch.optim.Adam(weights)
    losses = []
    for i_update in range(n_updates):
        adam.param_groups[0]["lr"] = lr(i_update) if callable(lr) else lr
        adam.zero_grad()
        loss = loss_of(i_update)  # (n_networks,)
        loss.sum().backward()
        _clip(weights, clip)
        adam.step()
        losses.append(loss.detach())
    losses = torch.stack(losses, dim=1)
    if not torch.isfinite(losses).all():
        raise BrainalignError(f"the loss is no longer finite; lr {lr} is too large")
    return losses


def _clip(weights, limit):
    gradients = torch.cat([w.grad.flatten(1) for w in weights], dim=1)  # (n_networks, all weights of one)
    # one by one: a sum over several rows at once is rounded otherwise for another number of networks
    lengths = torch.stack([of_one.square().sum() for of_one in gradients]).sqrt()  # (n_networks,)
    shrink = (limit / lengths.clamp(min=limit)).detach()
    for w in weights:
        w.grad.mul_(shrink.view(-1, *[1] * (w.ndim - 1)))


def warmed_up(lr: float, *, n_warmup: int, n_updates: int):
    """Give a learning rate that rises linearly to `lr` over `n_warmup` updates and falls linearly to a tenth of it."""

    def rate(i_update: int) -> float:
        rise = min(1.0, (i_update + 1) / n_warmup)
        return lr * rise * (1 - 0.9 * max(0, i_update - n_warmup) / max(1, n_updates - n_warmup))

    return rate
