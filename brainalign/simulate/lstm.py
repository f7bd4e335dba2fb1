"""Long short-term memory: cells that keep what they hold, behind gates that learn when to let something in or out.

    i_t = logistic(W_i x_t + C_i h_{t-1} + b_i)      input gate
    f_t = logistic(W_f x_t + C_f h_{t-1} + b_f)      forget gate (Gers et al. 2000); 1 in the net of 1997
    g_t = tanh    (W_g x_t + C_g h_{t-1} + b_g)      what might be written
    o_t = logistic(W_o x_t + C_o h_{t-1} + b_o)      output gate
    c_t = f_t c_{t-1} + i_t g_t                      cells            c_0 = 0
    h_t = o_t tanh(c_t)                              hidden units     h_0 = 0
    y_t = V h_t + v                                  outputs, linear

Along the cells an error goes back through d c_t / d c_{t-1} = f_t. In the net of 1997 this is 1 whatever the weights:
the constant error carousel. In the simple recurrent network

    h_t = tanh(W x_t + C h_{t-1} + b)

it is diag(1 - h_t^2) C', a product of which shrinks or grows exponentially with the number of steps; that network is
the control.

Both variants differ from the paper in three points: squashing by tanh (the paper's g lies in [-2, 2]), one cell behind
each gate (the paper groups cells into blocks), and errors carried back through the gates too (the paper cuts them
there). Matrices are held transposed, (from, to), the gates side by side in the order i, f, g, o.

References
----------
Hochreiter & Schmidhuber (1997), Long short-term memory, Neural Computation 9:1735-1780, sections 3.2, 4 and 5.4.
Gers, Schmidhuber & Cummins (2000), Learning to forget, Neural Computation 12:2451-2471, equations 3.4-3.7.
Oracle: torch.nn.LSTM and torch.nn.RNN with the same weights.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from brainalign.errors import BrainalignError
from brainalign.simulate.replicas import affine, as_positions, check_counts, descend, rows_of, stacked, uniform
from brainalign.simulate.sequence_tasks import TOLERANCE, adding, for_networks, generators_of


class LSTM(nn.Module):
    """LSTM networks, several side by side, with weights of their own.

    Parameters
    ----------
    vocabulary : sequence of str
        Names of the input units: words in the order of their units, or the features of an input vector.
    n_hidden : int
        Cells.
    n_outputs : int, optional
        As many as input units if not given.
    forget_gate : bool
        True: the LSTM of 2000, as used today. False: that of 1997, without forget gates.
    input_bias, forget_bias : float
        Added to the fresh biases of these gates: below 0 keeps the input gates shut at first (1997, against a drift
        of the cells), above 0 the forget gates open.
    n_networks : int
        Replicas; network i has the weights of a single network with seed `seed + i`.
    seed : int
        Of the weights, uniform in +-1 / sqrt(n_hidden); they are drawn in float32 whatever the dtype.
    dtype : {"float32", "float64"}
    device : {"cpu", "cuda", "auto"}

    Raises
    ------
    BrainalignError
        A setting is out of its range, or there is no GPU.
    """

    layer_names = ("hidden", "cells")

    def __init__(
        self,
        vocabulary,
        *,
        n_hidden: int = 20,
        n_outputs: int | None = None,
        forget_gate: bool = True,
        input_bias: float = 0.0,
        forget_bias: float = 0.0,
        n_networks: int = 1,
        seed: int = 0,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        super().__init__()
        self.settings = {
            "vocabulary": list(vocabulary),
            "n_hidden": n_hidden,
            "n_outputs": len(vocabulary) if n_outputs is None else n_outputs,
            "forget_gate": forget_gate,
            "input_bias": input_bias,
            "forget_bias": forget_bias,
            "n_networks": n_networks,
            "seed": seed,
            "dtype": dtype,
        }
        _register(self, n_gates=4 if forget_gate else 3, device=device)
        with torch.no_grad():
            self.b[:, :n_hidden] += input_bias
            if forget_gate:
                self.b[:, n_hidden : 2 * n_hidden] += forget_bias

    def states(self, inputs, *, hidden=None, cells=None) -> dict[str, torch.Tensor]:
        """Give hidden units and cells after each step.

        Parameters
        ----------
        inputs : int (n_steps,) or (1 or n_networks, n_sequences, n_steps), or floating with an axis (n_inputs,) more
            Words as positions in the vocabulary, or input vectors; the same for all networks or of each its own.
        hidden, cells : tensor (n_networks, n_sequences, n_hidden), optional
            h_0 and c_0; 0 if not given.

        Returns
        -------
        states : dict
            {"hidden", "cells": (n_networks, n_steps, n_hidden), or (n_networks, n_sequences, n_steps, n_hidden)}
        """
        driven, alone = _drive(self, inputs)  # (n_networks, n_sequences, n_steps, n_gates * n_hidden)
        nothing = driven.new_zeros(*driven.shape[:2], self.settings["n_hidden"])
        hidden, cells = nothing if hidden is None else hidden, nothing if cells is None else cells
        seen, held = [], []
        for step in driven.unbind(dim=2):
            i, *f, g, o = torch.baddbmm(step, hidden, self.C).chunk(4 if self.settings["forget_gate"] else 3, dim=2)
            kept = torch.sigmoid(f[0]) * cells if f else cells
            cells = kept + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cells)
            seen.append(hidden)
            held.append(cells)
        return _stack({"hidden": seen, "cells": held}, alone=alone)

    def forward(self, inputs) -> torch.Tensor:
        """Give the outputs after each step, (n_networks, [n_sequences,] n_steps, n_outputs)."""
        return affine(self.states(inputs)["hidden"], self.V, self.v)


class SimpleRecurrent(nn.Module):
    """Simple recurrent networks of tanh units, the control; parameters and methods as of `LSTM`."""

    layer_names = ("hidden",)

    def __init__(
        self,
        vocabulary,
        *,
        n_hidden: int = 20,
        n_outputs: int | None = None,
        n_networks: int = 1,
        seed: int = 0,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        super().__init__()
        self.settings = {
            "vocabulary": list(vocabulary),
            "n_hidden": n_hidden,
            "n_outputs": len(vocabulary) if n_outputs is None else n_outputs,
            "n_networks": n_networks,
            "seed": seed,
            "dtype": dtype,
        }
        _register(self, n_gates=1, device=device)

    def states(self, inputs, *, hidden=None) -> dict[str, torch.Tensor]:
        """Give the hidden units after each step; arguments as of `LSTM.states`."""
        driven, alone = _drive(self, inputs)
        hidden = torch.zeros_like(driven[:, :, 0]) if hidden is None else hidden
        seen = []
        for step in driven.unbind(dim=2):
            hidden = torch.tanh(torch.baddbmm(step, hidden, self.C))
            seen.append(hidden)
        return _stack({"hidden": seen}, alone=alone)

    def forward(self, inputs) -> torch.Tensor:
        """Give the outputs after each step, (n_networks, [n_sequences,] n_steps, n_outputs)."""
        return affine(self.states(inputs)["hidden"], self.V, self.v)


def learn_at_the_end(network, task, *, n_updates: int, n_sequences: int = 32, lr: float = 0.01, **options):
    """Teach networks to give, at the end of sequences, what a task wants there.

    Loss: squared error of the one output unit where the targets are numbers, cross-entropy where they are symbols.

    Parameters
    ----------
    network : LSTM or SimpleRecurrent
    task : function of `sequence_tasks`
        `adding` or `recall`.
    n_updates : int
    n_sequences : int
        Fresh ones for each network and update.
    lr : float
        Of Adam.
    **options
        Of the task, `n_steps` among them.

    Returns
    -------
    losses : tensor (n_networks, n_updates)
    """
    generators = generators_of(network.settings["seed"], network.settings["n_networks"])

    def loss_of(i_update):  # noqa: ARG001
        inputs, targets = for_networks(generators, task, n_sequences=n_sequences, **options)
        return losses_at_the_end(network, inputs, targets).mean(dim=1)

    return descend(network, loss_of, n_updates=n_updates, lr=lr)


def losses_at_the_end(network, inputs, targets) -> torch.Tensor:
    """Give the loss of each sequence, (n_networks, n_sequences), see `learn_at_the_end`."""
    outputs = network(inputs)[:, :, -1]  # (n_networks, n_sequences, n_outputs)
    targets = targets.to(outputs.device)
    if targets.is_floating_point():
        return (outputs[..., 0] - targets.to(outputs.dtype)) ** 2
    return functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")


def share_added(network, *, n_steps: int, n_sequences: int = 1000, seed: int = 10**6) -> torch.Tensor:
    """Give the share of fresh sequences of the adding problem whose sum is right within .04, (n_networks,)."""
    inputs, targets = adding(torch.Generator().manual_seed(seed), n_sequences=n_sequences, n_steps=n_steps)
    with torch.no_grad():
        outputs = network(inputs[None])[:, :, -1, 0]
    return ((outputs - targets.to(outputs)).abs() < TOLERANCE).double().mean(dim=1)


def error_through_time(network, inputs) -> torch.Tensor:
    """Give how much of an error at the last step reaches each step before, relative to the last step.

    The length of the gradient of the summed cells (of the hidden units, in a network without cells) of the last step
    with respect to the cells (hidden units) of step t, all paths of the network included.

    Parameters
    ----------
    network : LSTM or SimpleRecurrent
    inputs : as of `states`, many sequences

    Returns
    -------
    lengths : tensor (n_networks, n_steps)
        Mean over sequences; 1 at the last step.
    """
    driven, _ = _drive(network, inputs)
    n_steps, layer = driven.shape[2], network.layer_names[-1]
    nothing = driven.new_zeros(*driven.shape[:2], network.settings["n_hidden"])
    values = torch.as_tensor(inputs)
    state, path = dict.fromkeys(network.layer_names, nothing), []
    for t in range(n_steps):
        after = network.states(values[:, :, t : t + 1], **state)
        state = {name: after[name][:, :, 0] for name in network.layer_names}
        path.append(state[layer])
    slopes = torch.autograd.grad(path[-1].sum(), path)
    lengths = torch.stack([slope.norm(dim=2).mean(dim=1) for slope in slopes], dim=1)
    return (lengths / lengths[:, -1:]).detach()


def _register(network: nn.Module, *, n_gates: int, device: str) -> None:
    """Check the settings of a network and draw its weights."""
    settings = network.settings
    if not settings["vocabulary"]:
        raise BrainalignError("vocabulary must name at least one input unit, got none")
    check_counts(settings, "n_hidden", "n_outputs", "n_networks")
    n_hidden, limit = settings["n_hidden"], 1 / math.sqrt(settings["n_hidden"])
    shapes = {
        "W": (len(settings["vocabulary"]), n_gates * n_hidden),
        "C": (n_hidden, n_gates * n_hidden),
        "b": (n_gates * n_hidden,),
        "V": (n_hidden, settings["n_outputs"]),
        "v": (settings["n_outputs"],),
    }
    weights = stacked(
        lambda generator: {name: uniform(shape, limit, generator) for name, shape in shapes.items()},
        seed=settings["seed"],
        n_networks=settings["n_networks"],
        dtype=settings["dtype"],
        device=device,
    )
    for name, values in weights.items():
        network.register_parameter(name, values)


def _drive(network, inputs) -> tuple[torch.Tensor, bool]:
    """Give W x_t + b of all steps, (n_networks, n_sequences, n_steps, n_gates * n_hidden)."""
    n_networks, n_inputs, device = len(network.W), network.W.shape[1], network.W.device
    values = torch.as_tensor(inputs, device=device)
    if not values.is_floating_point():
        words, alone = as_positions(values, n_networks=n_networks, n_words=n_inputs, device=device)
        return rows_of(network.W, words) + network.b[:, None, None], alone
    alone = values.ndim == 2
    fits = values.numel() and (alone or (values.ndim == 4 and len(values) in (1, n_networks)))
    if not fits or values.shape[-1] != n_inputs:
        raise BrainalignError(
            f"inputs must be floating (n_steps, {n_inputs}) or (1 or {n_networks}, n_sequences, n_steps, {n_inputs}), "
            f"got {tuple(values.shape)}"
        )
    if not torch.isfinite(values).all():
        raise BrainalignError(f"inputs must be finite, {int((~torch.isfinite(values)).sum())} values are not")
    values = values[None, None] if alone else values
    return affine(values.to(network.W.dtype).expand(n_networks, -1, -1, -1), network.W, network.b), alone


def _stack(steps: dict[str, list], *, alone: bool) -> dict[str, torch.Tensor]:
    whole = {name: torch.stack(states, dim=2) for name, states in steps.items()}
    return {name: states[:, 0] for name, states in whole.items()} if alone else whole
