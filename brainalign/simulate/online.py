"""Elman networks learn online: after every step the error of its output is carried back and the weights move.

    E_t = 1/2 sum (o_t - y_t)^2                                (or the cross-entropy)
    do_t = (o_t - y_t) o_t (1 - o_t)                           (o_t - y_t with the cross-entropy)
    dh_t = (V do_t) h_t (1 - h_t)
    V -= lr h_t do_t'      C -= lr h_{t-1} dh_t'      W -= lr x_t dh_t'      biases likewise, their input is 1

h_{t-1} is a value here, as the context units of 1990 are: the error goes no further back (`n_back` = 1). With
`n_back` = k it goes on through the states as they were in the last k steps and the weights as they are now,

    dh_{s-1} = (C dh_s) h_{s-1} (1 - h_{s-1})        s = t, t-1 .. t-k+2

and C and W take the sum over s. With momentum m the weights move by m times their last move besides.
The paper prints neither learning rate nor momentum nor range of the first weights.

`PlainLearner` is this, as written; the rule of 1990 itself, without momentum, is left to `deferred.DeferredLearner`,
which does the same in another order of sums: weights agree within 1e-10 in float64, in float32 within 1e-4 after some
thousand steps, and so do a network among others and the network alone.

References
----------
Elman (1990), Finding structure in time, Cognitive Science 14:179-211, pp. 182-188. Oracle: autograd.
"""

import math
from collections import deque
from typing import NamedTuple

import torch

from brainalign.errors import BrainalignError, UnknownName
from brainalign.simulate.deferred import DeferredLearner
from brainalign.simulate.elman import REST, Elman, as_inputs

BIAS_OF = {"V": "c", "R": "r", "W": "b", "E": "e"}
BYTES_AT_ONCE = 1_100_000  # of weights for each thread, about half of what a core's second-level cache holds


class Training(NamedTuple):
    """What happened while networks learned.

    Parameters
    ----------
    errors : tensor (n_networks, n_sweeps, n_steps)
        Sum over the output units of (o - y)^2 at each step, before its weights move.
    context : tensor (n_networks, n_hidden)
        The hidden units after the last step.
    """

    errors: torch.Tensor
    context: torch.Tensor


def train(
    network: Elman,
    inputs,
    targets=None,
    *,
    lr: float,
    n_sweeps: int = 1,
    momentum: float = 0.0,
    n_back: int = 1,
    loss: str = "squared",
    rests=None,
    context=None,
    carry: bool = True,
) -> Training:
    """Teach networks in place, a step at a time, in the order of the steps.

    Parameters
    ----------
    network : Elman
        Network i of it learns as it would learn alone.
    inputs : tensor or array, int (n_steps,) or (n_networks, n_steps), or floating (n_steps, n_inputs) or
        (n_networks, n_steps, n_inputs)
        Words as positions in the vocabulary, or input vectors; the same for all networks or of each its own.
    targets : as `inputs`, optional
        Wanted outputs, int for 1 at that unit and 0 elsewhere; if not given, the next input, and of the last step the
        first one: the stream wraps around.
    lr : float
        Learning rate.
    n_sweeps : int
        Passes over the steps.
    momentum : float
    n_back : int
        Steps that an error is carried back, not before the first step of the call; 1 as in 1990.
    loss : {"squared", "cross_entropy"}
    rests : bool (n_steps,) or (n_networks, n_steps), optional
        Before which steps the context units are put to rest; `n_back` stops there.
    context : (n_networks, n_hidden), optional
        The context units of the first step; at rest (1/2) if not given.
    carry : bool
        Whether a sweep begins with the last hidden units of the sweep before, or as the first sweep did.

    Returns
    -------
    training : Training

    Raises
    ------
    BrainalignError
        An argument does not fit the network; nothing is learned then. Or what was learned is not finite.
    """
    inputs = as_inputs(inputs, network, what="inputs")
    targets = _targets(network, inputs, targets)
    n_networks, n_steps = len(network.C), inputs.shape[_time_axis(inputs)]
    _check(lr=lr, n_sweeps=n_sweeps, momentum=momentum, n_back=n_back, loss=loss)
    rests = _rests(rests, network, n_steps)
    context = _context(context, network)
    errors = network.C.new_empty(n_networks, n_sweeps, n_steps)
    last = torch.empty_like(context)
    one_back = n_back == 1 and momentum == 0
    with torch.inference_mode():
        for block in _blocks(network):
            weights = {name: values.detach()[block] for name, values in network.named_parameters()}
            if one_back:
                learner = DeferredLearner(weights, inputs=inputs, lr=lr, loss=loss)
            else:
                learner = PlainLearner(weights, lr=lr, loss=loss, momentum=momentum, n_back=n_back)
            learner.begin(context[block])
            for i_sweep in range(n_sweeps):
                if not carry:
                    learner.begin(context[block])
                learner.sweep(
                    _of_block(inputs, block),
                    _of_block(targets, block),
                    rests=None if rests is None else rests[block],
                    errors=errors[block, i_sweep],
                )
            learner.finish()
            last[block] = learner.hidden
    _require_finite(network, errors, lr=lr)
    return Training(errors, last)


class PlainLearner:
    """The rule of the module's head, written out: any number of steps back, momentum.

    Parameters
    ----------
    weights : dict of str to tensor
        Of `Elman`, by name, without gradients, (n_networks, ...); changed in place.
    lr, loss, momentum, n_back
        As of `train`.
    """

    def __init__(self, weights: dict, *, lr: float, loss: str, momentum: float, n_back: int):
        self.weights, self.lr, self.loss, self.momentum = weights, lr, loss, momentum
        self.past = deque(maxlen=n_back)
        self.velocity = {name: torch.zeros_like(values) for name, values in weights.items() if momentum}

    def begin(self, context: torch.Tensor) -> None:
        """Set the context units, (n_networks, n_hidden)."""
        self.hidden = context
        self.past.clear()

    def sweep(self, inputs, targets, *, rests, errors) -> None:
        """Learn from one pass over the steps; write the squared errors (n_networks, n_steps)."""
        inputs, targets = (values.unbind(_time_axis(values)) for values in (inputs, targets))
        for t, (x, y) in enumerate(zip(inputs, targets, strict=True)):
            awake = None if rests is None else ~rests[:, t, None]
            errors[:, t] = self.step(x, y, awake).square().sum(1)

    def finish(self) -> None:
        """Nothing is left to write."""

    def step(self, x, y, awake):
        """Take one step and give o - y, (n_networks, n_outputs)."""
        weights, coded = self.weights, "E" in self.weights
        context = self.hidden if awake is None else torch.where(awake, self.hidden, REST)
        code = torch.sigmoid(_times(x, weights["E"]) + weights["e"]) if coded else x
        self.hidden = torch.sigmoid(_times(code, weights["W"]) + _times(context, weights["C"]) + weights["b"])
        below = _dense(code, weights["W"][:, :, 0])
        self.past.appendleft((_dense(x, weights["E"][:, :, 0]) if coded else below, below, context, self.hidden, awake))
        read = torch.sigmoid(_times(self.hidden, weights["R"]) + weights["r"]) if coded else self.hidden
        output = torch.sigmoid(_times(read, weights["V"]) + weights["c"])
        difference = output - _dense(y, output)

        pairs = {}  # matrix -> of each step that the error reaches, what its units got and their error
        d_output = difference * output * (1 - output) if self.loss == "squared" else difference
        pairs["V"] = [(read, d_output)]
        error = _back(d_output, weights["V"])
        if coded:
            d_read = error * read * (1 - read)
            pairs["R"] = [(self.hidden, d_read)]
            error = _back(d_read, weights["R"])
        pairs |= self._through_past(error)
        for name, of_steps in pairs.items():
            sources, deltas = (torch.stack(values, 1) for values in zip(*of_steps, strict=True))
            self._move(name, sources, deltas)
            if name in BIAS_OF:
                self._move(BIAS_OF[name], torch.ones_like(sources[:, :, :1]), deltas)
        return difference

    def _through_past(self, error):
        """Carry the error of the hidden units (n_networks, n_hidden) back through the steps."""
        weights, coded = self.weights, "E" in self.weights
        pairs = {"W": [], "C": [], "E": []}
        for x, code, context, hidden, awake in self.past:
            d_hidden = error * hidden * (1 - hidden)
            pairs["W"].append((code, d_hidden))
            pairs["C"].append((context, d_hidden))
            if coded:
                d_code = _back(d_hidden, weights["W"]) * code * (1 - code)
                pairs["E"].append((x, d_code))
            error = _back(d_hidden, weights["C"])
            if awake is not None:
                error = error * awake
        return {name: of_steps for name, of_steps in pairs.items() if of_steps}

    def _move(self, name, sources, deltas):
        """Move weights (n_networks, from, to) by sources (n_networks, k, from) and deltas (n_networks, k, to)."""
        weights = self.weights[name].view(len(sources), -1, deltas.shape[2])
        moved = self.velocity[name].view_as(weights).mul_(self.momentum) if self.momentum else weights
        moved.baddbmm_(sources.transpose(1, 2), deltas, alpha=-self.lr)
        if self.momentum:
            weights.add_(moved)


def _times(values, weights):
    """Give values (n_networks, from), or positions of 1, times weights (n_networks, from, to)."""
    if not values.is_floating_point():
        return weights[torch.arange(len(weights), device=weights.device), values]
    return torch.bmm(values.expand(len(weights), -1)[:, None], weights)[:, 0]


def _back(delta, weights):
    """Give the error (n_networks, from) behind weights (n_networks, from, to)."""
    return torch.bmm(delta[:, None], weights.transpose(1, 2))[:, 0]


def _dense(values, like):
    """Give values as vectors: positions of 1 spelled out, as many as `like` (n_networks, n_units) has units."""
    if values.is_floating_point():
        return values.expand_as(like)
    return torch.zeros_like(like).scatter_(1, values.expand(len(like))[:, None], 1.0)


def _blocks(network):
    """Give the networks that are taught at once: all on a GPU, on a processor as many as it keeps near."""
    n_networks = len(network.C)
    n_bytes = sum(values[0].nbytes for values in network.parameters())
    near = torch.get_num_threads() * BYTES_AT_ONCE
    size = n_networks if network.C.is_cuda else max(1, near // n_bytes)
    n_blocks = math.ceil(n_networks / size)
    return [slice(i * n_networks // n_blocks, (i + 1) * n_networks // n_blocks) for i in range(n_blocks)]


def _of_block(values, block):
    """Give the part of a block, (n_networks, n_steps, ..), of what each network has its own of, else the whole."""
    return values if _time_axis(values) == 0 else values[block]


def _time_axis(values):
    """Axis of the steps, of positions (.., n_steps) or of vectors (.., n_steps, n_units)."""
    return values.ndim - 1 - values.is_floating_point()


def _targets(network, inputs, targets):
    if targets is None:
        if network.n_outputs != network.n_inputs:
            raise BrainalignError(
                f"targets are needed: a network of {network.n_inputs} inputs and {network.n_outputs} outputs cannot "
                "predict its next input"
            )
        return inputs.roll(-1, _time_axis(inputs))
    targets = as_inputs(targets, network, what="targets")
    n_steps, n_wanted = inputs.shape[_time_axis(inputs)], targets.shape[_time_axis(targets)]
    if n_steps != n_wanted:
        raise BrainalignError(f"inputs have {n_steps} steps but targets have {n_wanted}")
    return targets


def _rests(rests, network, n_steps):
    if rests is None:
        return None
    rests, n_networks = torch.as_tensor(rests, device=network.C.device), len(network.C)
    if rests.dtype != torch.bool or tuple(rests.shape) not in ((n_steps,), (n_networks, n_steps)):
        raise BrainalignError(
            f"rests must be bool ({n_steps},) or ({n_networks}, {n_steps}), got {rests.dtype} {tuple(rests.shape)}"
        )
    return rests.expand(n_networks, n_steps)


def _context(context, network):
    if context is None:
        return torch.full_like(network.b.detach(), REST)
    context = torch.as_tensor(context, dtype=network.C.dtype, device=network.C.device)
    if context.shape != network.b.shape:
        raise BrainalignError(f"context must be {tuple(network.b.shape)}, got {tuple(context.shape)}")
    return context


def _require_finite(network, errors, *, lr):
    """Refuse what was learned where a weight or an error is not finite."""
    wrong = [name for name, values in network.named_parameters() if not values.isfinite().all()]
    if wrong or not errors.isfinite().all():
        limit = network.settings["limit"]
        within = "" if limit is None else f" or first weights within +-{limit} are too large"
        raise BrainalignError(f"learning gave {', '.join(wrong) or 'errors'} that are not finite; lr {lr}{within}")


def _check(*, lr, n_sweeps, momentum, n_back, loss):
    if not 0 <= lr < math.inf:
        raise BrainalignError(f"lr must be finite and not below 0, got {lr}")
    if not 0 <= momentum < 1:
        raise BrainalignError(f"momentum must be in [0, 1), got {momentum}")
    if n_sweeps < 1 or n_back < 1:
        raise BrainalignError(f"n_sweeps and n_back must be at least 1, got {n_sweeps} and {n_back}")
    if loss not in ("squared", "cross_entropy"):
        raise UnknownName("loss", loss, ("squared", "cross_entropy"))
