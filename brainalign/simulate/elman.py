"""The simple recurrent network: hidden units that see the input and their own state one step before.

    h_t = logistic(W x_t + C h_{t-1} + b)        h_0 = 1/2
    o_t = logistic(V h_t + c)

Where words are read, x_t is 1 at the unit of word t and 0 elsewhere, so W x_t is a row of W. The context units of the
paper, which hold a copy of the hidden units, are h_{t-1}. The network of 1991 has a layer more on either side, of few
units (10), through which words enter and leave:

    e_t = logistic(E x_t + e)     h_t = logistic(W e_t + C h_{t-1} + b)     r_t = logistic(R h_t + r)
    o_t = logistic(V r_t + c)

Matrices are held transposed, (from, to). How such networks learn is in `online`.

References
----------
Elman (1990), Finding structure in time, Cognitive Science 14:179-211, figure 2.
Elman (1991), Distributed representations, simple recurrent networks, and grammatical structure, Machine Learning
7:195-225, figure 3.
"""

import math

import torch
from torch import nn

from brainalign.errors import BrainalignError
from brainalign.simulate.replicas import check_counts, stacked, uniform

REST = 0.5  # of the context units before the first word


class Elman(nn.Module):
    """Elman networks, several side by side, with weights of their own.

    Parameters
    ----------
    vocabulary : sequence of str
        Names of the input units: words in the order of their units, or the features of an input vector.
    n_hidden : int
    n_networks : int
        Replicas; network i has the weights of a single network with seed `seed + i`.
    seed : int
        Of the weights; they are drawn in float32 whatever the dtype.
    n_outputs : int, optional
        Output units; as many as input units if not given.
    n_code : int, optional
        Units of the layers before and after the hidden one, as in 1991; no such layers if not given.
    limit : float, optional
        Fresh weights and biases are uniform in +-limit; 1 / sqrt(n_hidden) if not given.
    dtype : {"float32", "float64"}
    device : {"cpu", "cuda", "auto"}

    Raises
    ------
    BrainalignError
        A setting is out of its range, or there is no GPU.
    """

    layer_names = ("hidden",)

    def __init__(
        self,
        vocabulary,
        *,
        n_hidden: int = 20,
        n_networks: int = 1,
        seed: int = 0,
        n_outputs: int | None = None,
        n_code: int | None = None,
        limit: float | None = None,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        super().__init__()
        self.settings = {
            "vocabulary": list(vocabulary),
            "n_hidden": n_hidden,
            "n_networks": n_networks,
            "seed": seed,
            "n_outputs": n_outputs,
            "n_code": n_code,
            "limit": limit,
            "dtype": dtype,
        }
        _check(self.settings)
        shapes = _shapes(self.settings)
        limit = 1 / math.sqrt(n_hidden) if limit is None else limit

        def draw(generator):
            return {name: uniform(shape, limit, generator) for name, shape in shapes.items()}

        for name, weights in stacked(draw, seed=seed, n_networks=n_networks, dtype=dtype, device=device).items():
            setattr(self, name, weights)

    @property
    def n_inputs(self) -> int:
        """Number of input units."""
        return len(self.settings["vocabulary"])

    @property
    def n_outputs(self) -> int:
        """Number of output units."""
        return self.c.shape[1]

    def states(self, inputs: torch.Tensor, *, rests=None, context=None) -> dict[str, torch.Tensor]:
        """Give the hidden units after each step.

        Parameters
        ----------
        inputs : tensor, int64 (n_steps,) or (n_networks, n_steps), or floating (n_steps, n_inputs) or
            (n_networks, n_steps, n_inputs)
            Words as positions in the vocabulary, or input vectors; the same for all networks or of each its own.
        rests : tensor, bool (n_steps,) or (n_networks, n_steps), optional
            Before which steps the context units are put to rest.
        context : tensor (n_networks, n_hidden), optional
            The context units of the first step; at rest (1/2) if not given.

        Returns
        -------
        states : dict
            {"hidden": (n_networks, n_steps, n_hidden)}
        """
        driven = self._drive(as_inputs(inputs, self, what="inputs"))  # (n_networks, n_steps, n_hidden)
        hidden = torch.full_like(driven[:, :1], REST) if context is None else context[:, None]
        awake = None if rests is None else ~torch.as_tensor(rests, device=driven.device)
        seen = []
        for t, step in enumerate(driven.split(1, dim=1)):  # (n_networks, 1, n_hidden)
            if awake is not None:
                hidden = torch.where(awake[..., t, None, None], hidden, REST)
            hidden = torch.sigmoid(torch.baddbmm(step, hidden, self.C))
            seen.append(hidden)
        return {"hidden": torch.cat(seen, dim=1)}

    def forward(self, inputs: torch.Tensor, *, rests=None, context=None) -> torch.Tensor:
        """Give the output units after each step, (n_networks, n_steps, n_outputs); arguments as of `states`."""
        return self.outputs(self.states(inputs, rests=rests, context=context)["hidden"])

    def outputs(self, hidden: torch.Tensor) -> torch.Tensor:
        """Give the output units (n_networks, n_steps, n_outputs) of hidden units (n_networks, n_steps, n_hidden)."""
        if self.settings["n_code"]:
            hidden = torch.sigmoid(torch.einsum("nth,nhk->ntk", hidden, self.R) + self.r[:, None])
        return torch.sigmoid(torch.einsum("nth,nhw->ntw", hidden, self.V) + self.c[:, None])

    def _drive(self, inputs):
        if self.settings["n_code"]:
            inputs = torch.sigmoid(_lookup(self.E, inputs) + self.e[:, None])
        return _lookup(self.W, inputs) + self.b[:, None]


def as_inputs(values, network: Elman, *, what: str) -> torch.Tensor:
    """Check inputs or targets and put them where the network is, words as int64.

    Raises
    ------
    BrainalignError
        Shape, type or a position do not fit the network, or a value is not finite.
    """
    n_units = network.n_inputs if what == "inputs" else network.n_outputs
    values, n_networks = torch.as_tensor(values, device=network.C.device), network.settings["n_networks"]
    local = not values.is_floating_point()
    shape = tuple(values.shape) if local else tuple(values.shape[:-1])
    expected = (
        f"{what} must be int (n_steps,) or ({n_networks}, n_steps), or floating (n_steps, {n_units}) or "
        f"({n_networks}, n_steps, {n_units})"
    )
    fits = (len(shape) == 1 or (len(shape) == 2 and shape[0] == n_networks)) and 0 not in shape
    if not fits or values.dtype == torch.bool or not (local or values.shape[-1] == n_units):
        raise BrainalignError(f"{expected}, got {values.dtype} {tuple(values.shape)}")
    if local and not 0 <= int(values.min()) <= int(values.max()) < n_units:
        raise BrainalignError(
            f"{what} must be positions from 0 to {n_units - 1}, got {int(values.min())} to {int(values.max())}"
        )
    if not local and not values.isfinite().all():
        raise BrainalignError(f"{what} must be finite, got {int((~values.isfinite()).sum())} that are not")
    return values.long() if local else values.to(network.C.dtype)


def _lookup(weights, inputs):
    """Give inputs times weights (n_networks, from, to): rows where the inputs are positions."""
    if inputs.is_floating_point():
        return torch.einsum("...ti,nik->ntk" if inputs.ndim == 2 else "nti,nik->ntk", inputs, weights)
    if inputs.ndim == 1:
        return weights[:, inputs]
    return weights[torch.arange(len(weights), device=weights.device)[:, None], inputs]


def _shapes(settings: dict) -> dict[str, tuple[int, ...]]:
    n_inputs, n_hidden, n_code = len(settings["vocabulary"]), settings["n_hidden"], settings["n_code"]
    n_outputs = settings["n_outputs"] or n_inputs
    shapes = {
        "W": (n_code or n_inputs, n_hidden),
        "C": (n_hidden, n_hidden),
        "b": (n_hidden,),
        "V": (n_code or n_hidden, n_outputs),
        "c": (n_outputs,),
    }
    if n_code:
        shapes |= {"E": (n_inputs, n_code), "e": (n_code,), "R": (n_hidden, n_code), "r": (n_code,)}
    return shapes


def _check(settings: dict) -> None:
    check_counts(settings, "n_hidden", "n_networks")
    check_counts(settings, *(name for name in ("n_outputs", "n_code") if settings[name] is not None))
    if settings["limit"] is not None and not 0 < settings["limit"] < math.inf:
        raise BrainalignError(f"limit must be finite and above 0, got {settings['limit']}")
    if not settings["vocabulary"]:
        raise BrainalignError("vocabulary must name at least one input unit, got none")
