"""Back-propagation written out, and gradient descent with it.

With delta_l = dE/dx_l, from the outputs down (equations 4 to 7 of 1986):

    delta_L = (y_L - d) f'(x_L)         squared error; with softmax y (e - sum e y), e = y_L - d
    delta_L = y_L - d                   cross-entropy; with softmax y_L sum d - d
    dE/dW_l = y_{l-1}' delta_l          dE/db_l = sum delta_l            sums over samples
    delta_{l-1} = (delta_l W_l') f'(x_{l-1})

The slope is known from a unit's own activity: y (1 - y) of the logistic function, 1 - y^2 of tanh, 1 where y > 0 of
relu, 1 of the identity. The weights then move by (equation 9, with penalties and decay)

    v <- momentum v - lr (dE/dw + l2 w + l1 sign w)        w <- (1 - decay) (w + v)

The penalties l2 and l1 are those of E + l2/2 sum w^2 + l1 sum |w|; they leave the biases alone. The decay of 1986
follows every change of weights and takes its part of the biases too, which were weights of a unit that is always on.
With a changing lr, v keeps the steps that were made, not the gradients; torch.optim.SGD keeps the gradients.

References
----------
Rumelhart, Hinton & Williams (1986), Learning representations by back-propagating errors, Nature 323:533-536.
Oracles: autograd and central differences; torch.optim.SGD; scikit-learn's Ridge.
"""

import math
from typing import NamedTuple

import torch

from brainalign.errors import BrainalignError, UnknownName
from brainalign.simulate.early_stopping import EarlyStopping
from brainalign.simulate.multilayer import Multilayer, as_pairs, check_loss, errors
from brainalign.simulate.replicas import check_counts

SLOPES = {
    "logistic": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y**2,
    "relu": lambda y: (y > 0).to(y.dtype),
    "identity": torch.ones_like,
}
REDUCTIONS = ("sum", "mean")


def back_propagate(
    network: Multilayer, inputs, targets, *, loss: str = "squared", tolerance: float = 0.0
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Carry errors back by hand.

    Parameters
    ----------
    network : Multilayer
    inputs, targets, loss, tolerance
        As of `Multilayer.loss`.

    Returns
    -------
    value : tensor (n_networks,)
        E.
    gradients : dict of str to tensor (n_networks, ...)
        Derivatives of E by "W1", "b1", ...; 0 where there is no connection.

    Raises
    ------
    BrainalignError
        As of `Multilayer.loss`.
    """
    inputs, targets = as_pairs(inputs, targets, network)
    check_loss(network, loss, tolerance)
    with torch.no_grad():
        return _back_propagate(network, inputs, targets, loss=loss, tolerance=tolerance)


def _back_propagate(network, inputs, targets, *, loss, tolerance):
    activities, x = network.pass_forward(inputs)
    value = errors(network, activities[-1], x, targets, loss=loss, tolerance=tolerance).sum(dim=(1, 2))
    delta = _delta_of_outputs(network, activities[-1], targets, loss=loss, tolerance=tolerance)
    gradients = {}
    for k in range(len(activities) - 1, 0, -1):
        below = activities[k - 1]  # (n_networks, n_samples, units below)
        gradients[f"W{k}"] = network.connected(k, torch.bmm(below.transpose(1, 2), delta))
        gradients[f"b{k}"] = delta.sum(dim=1)
        if k > 1:
            above = network.connected(k, getattr(network, f"W{k}"))
            delta = torch.bmm(delta, above.transpose(1, 2)) * SLOPES[network.settings["hidden"]](below)
    return value, gradients


def _delta_of_outputs(network, y, d, *, loss, tolerance):
    """Give dE/dx of the outputs, (n_networks, n_samples, n_outputs)."""
    output = network.settings["output"]
    if output == "softmax":
        difference = y - d
        if loss == "cross_entropy":
            return y * d.sum(dim=2, keepdim=True) - d
        return y * (difference - (difference * y).sum(dim=2, keepdim=True))
    difference = y - d
    if tolerance:
        difference = difference * (difference.abs() > tolerance)
    return difference if loss == "cross_entropy" else difference * SLOPES[output](y)


def autograd(
    network: Multilayer, inputs, targets, *, loss: str = "squared", tolerance: float = 0.0
) -> dict[str, torch.Tensor]:
    """Give what `back_propagate` gives as gradients, by torch's automatic differentiation."""
    weights = dict(network.named_parameters())
    value = network.loss(inputs, targets, loss=loss, tolerance=tolerance).sum()
    return dict(zip(weights, torch.autograd.grad(value, list(weights.values())), strict=True))


def central_differences(
    network: Multilayer, inputs, targets, *, loss: str = "squared", tolerance: float = 0.0, step: float = 1e-6
) -> dict[str, torch.Tensor]:
    """Give what `back_propagate` gives as gradients, by (E(w + step) - E(w - step)) / (2 step), weight by weight.

    The networks are moved together, so it takes as many steps as for one. Float64 is needed for small steps.
    """
    gradients = {}
    with torch.no_grad():
        for name, values in network.named_parameters():
            flat = values.flatten(1)  # (n_networks, n_weights), a view
            slopes = torch.empty_like(flat)
            for i in range(flat.shape[1]):
                kept = flat[:, i].clone()
                ends = []
                for sign in (1, -1):
                    flat[:, i] = kept + sign * step
                    ends.append(network.loss(inputs, targets, loss=loss, tolerance=tolerance))
                flat[:, i] = kept
                slopes[:, i] = (ends[0] - ends[1]) / (2 * step)
            gradients[name] = slopes.view_as(values)
    return gradients


def relative_error(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Give the largest |a - b| / (|a| + |b|) over networks and arrays of weights, | | the Euclidean length.

    Two arrays of 0 agree: 0.
    """
    largest = 0.0
    for name, a in first.items():
        b = second[name]
        apart, scale = ((a - b).flatten(1).norm(dim=1), a.flatten(1).norm(dim=1) + b.flatten(1).norm(dim=1))
        largest = max(largest, float(torch.where(scale > 0, apart / scale, 0).max()))
    return largest


class Training(NamedTuple):
    """What happened while networks learned.

    Parameters
    ----------
    losses : tensor (n_networks, n_sweeps)
        E, without penalties, of each sweep, every sample counted before the weights move; the mean over samples
        instead of the sum with `reduction="mean"`. inf or nan from where a network overflows. Fewer sweeps where all
        networks stopped early.
    validation : tensor (n_networks, n_sweeps)
        The same of the validation samples, after each sweep; (n_networks, 0) without any.
    n_sweeps : tensor (n_networks,), int64
        Sweeps until the network stopped.
    best_sweep : tensor (n_networks,), int64
        The sweep, counted from 0, after which the weights were what they are now; the last one unless stopping early.
    """

    losses: torch.Tensor
    validation: torch.Tensor
    n_sweeps: torch.Tensor
    best_sweep: torch.Tensor


def train(
    network: Multilayer,
    inputs,
    targets,
    *,
    lr,
    n_sweeps: int,
    momentum=0.0,
    loss: str = "squared",
    reduction: str = "sum",
    tolerance: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    decay: float = 0.0,
    batch_size: int | None = None,
    seed: int = 0,
    validation: tuple | None = None,
    patience: int | None = None,
    watch=None,
) -> Training:
    """Teach networks in place.

    Parameters
    ----------
    network : Multilayer
        Network i of it learns as it would learn alone: to the last bit on a CPU, up to the rounding of batched
        products on a GPU.
    inputs : tensor or array, (n_samples, n_inputs) or (n_networks, n_samples, n_inputs)
    targets : tensor or array, (n_samples, n_outputs) or (n_networks, n_samples, n_outputs)
    lr : float or array
        Learning rate, one number or what broadcasts to (n_networks, n_sweeps).
    n_sweeps : int
        Passes over the samples, at most.
    momentum : float or array
        In [0, 1), one number or what broadcasts to (n_networks, n_sweeps).
    loss, tolerance
        As of `Multilayer.loss`.
    reduction : {"sum", "mean"}
        Of the gradients over the samples of a batch: their sum, as in 1986, or their mean.
    l1, l2, decay : float
        See the head of the module.
    batch_size : int, optional
        Samples between two changes of the weights, drawn anew in each sweep; all, in their order, if not given.
    seed : int
        Of the order of the samples; network i draws with `seed + i`.
    validation : tuple of (inputs, targets), optional
        Samples that are not learnt from.
    patience : int, optional
        Sweeps in a row without a lower validation loss after which a network stops; it is given back the weights of
        its lowest one. No early stopping if not given.
    watch : function, optional
        Called after each sweep with its number, from 0, for whoever wants to look at the network meanwhile.

    Returns
    -------
    training : Training

    Raises
    ------
    BrainalignError
        An argument does not fit the network or is out of its range.

    References
    ----------
    Rumelhart, Hinton & Williams (1986), equations 8 and 9.
    """
    inputs, targets = as_pairs(inputs, targets, network)
    check_loss(network, loss, tolerance)
    _check_rule(n_sweeps, reduction, {"l1": l1, "l2": l2, "decay": decay}, batch_size, validation, patience)
    rates = _per_sweep(lr, network, n_sweeps, what="lr", below=math.inf)
    momenta = _per_sweep(momentum, network, n_sweeps, what="momentum", below=1)
    judge = _Validation(network, validation, patience, loss=loss, tolerance=tolerance, reduction=reduction)
    rule = _Rule(network, loss=loss, tolerance=tolerance, reduction=reduction, l1=l1, l2=l2, decay=decay)
    orders = _Orders(inputs, targets, network, batch_size=batch_size, seed=seed)
    losses = []
    with torch.no_grad():
        for i_sweep, (rate, mu) in enumerate(zip(rates, momenta, strict=True)):
            value = sum(rule.move(x, d, lr=rate, momentum=mu) for x, d in orders.batches())
            losses.append(value / inputs.shape[1] if reduction == "mean" else value)
            if watch is not None:
                watch(i_sweep)
            if not judge.goes_on():
                break
    return judge.finish(torch.stack(losses, dim=1))


class _Rule:
    """How weights move at one batch."""

    def __init__(self, network, *, loss, tolerance, reduction, l1, l2, decay):
        self.network, self.loss, self.tolerance, self.reduction = network, loss, tolerance, reduction
        self.l1, self.l2, self.decay = l1, l2, decay
        self.velocity = {name: torch.zeros_like(weights) for name, weights in network.named_parameters()}

    def move(self, x, d, *, lr, momentum):
        """Move the weights; give E before that, (n_networks,)."""
        value, gradients = _back_propagate(self.network, x, d, loss=self.loss, tolerance=self.tolerance)
        for name, weights in self.network.named_parameters():
            gradient = gradients[name] / x.shape[1] if self.reduction == "mean" else gradients[name]
            if name.startswith("W") and (self.l1 or self.l2):
                gradient = gradient + self.l2 * weights + self.l1 * weights.sign()
            axes = (-1, *[1] * (weights.ndim - 1))
            velocity = self.velocity[name].mul_(momentum.view(axes)).sub_(gradient * lr.view(axes))
            weights.add_(velocity)
            if self.decay:
                weights.mul_(1 - self.decay)
        return value


class _Orders:
    """The samples in batches, of each network in an order of its own."""

    def __init__(self, inputs, targets, network, *, batch_size, seed):
        n_networks = network.settings["n_networks"]
        self.inputs, self.targets = (values.expand(n_networks, -1, -1) for values in (inputs, targets))
        self.batch_size = batch_size
        self.generators = [torch.Generator().manual_seed(seed + i) for i in range(n_networks)]

    def batches(self):
        """Yield inputs and targets, (n_networks, batch_size, n_units); the last batch may be smaller."""
        if self.batch_size is None:
            yield self.inputs, self.targets
            return
        n_samples = self.inputs.shape[1]
        order = torch.stack([torch.randperm(n_samples, generator=generator) for generator in self.generators])
        i_network = torch.arange(len(order), device=self.inputs.device)[:, None]
        for samples in order.to(self.inputs.device).split(self.batch_size, dim=1):
            yield self.inputs[i_network, samples], self.targets[i_network, samples]


class _Validation:
    """The loss of samples that are not learnt from, and when to stop for it."""

    def __init__(self, network, validation, patience, *, loss, tolerance, reduction):
        self.network, self.loss = network, {"loss": loss, "tolerance": tolerance}
        self.samples = None if validation is None else as_pairs(*validation, network)
        self.scale = self.samples[0].shape[1] if self.samples and reduction == "mean" else 1
        self.stopping = None if patience is None else EarlyStopping(patience=patience)
        self.losses = []

    def goes_on(self):
        """Look at the weights after a sweep; say whether to go on."""
        if self.samples is None:
            return True
        self.losses.append(self.network.loss(*self.samples, **self.loss) / self.scale)
        if self.stopping is None:
            return True
        self.stopping.update(self.losses[-1], dict(self.network.named_parameters()))
        return self.stopping.running

    def finish(self, losses):
        """Give back the best weights where there was early stopping, and what happened."""
        n_networks, n_done = losses.shape
        seen = torch.stack(self.losses, dim=1) if self.losses else losses.new_empty(n_networks, 0)
        n_sweeps = torch.full((n_networks,), n_done, device=losses.device)
        if self.stopping is None:
            return Training(losses, seen, n_sweeps, n_sweeps - 1)
        for name, weights in self.network.named_parameters():
            weights.data.copy_(self.stopping.best_weights[name])
        return Training(losses, seen, self.stopping.n_epochs, self.stopping.best_epoch)


def _per_sweep(values, network, n_sweeps, *, what, below):
    """Give one number per network for each sweep, (n_sweeps, n_networks)."""
    n_networks = network.settings["n_networks"]
    values = torch.as_tensor(values, dtype=network.b1.dtype, device=network.b1.device)
    if not bool(((values >= 0) & (values < below)).all()):
        bounds = "finite and not below 0" if below == math.inf else f"in [0, {below})"
        raise BrainalignError(f"{what} must be {bounds}, got {float(values.min()):g} to {float(values.max()):g}")
    try:
        return values.broadcast_to(n_networks, n_sweeps).T
    except RuntimeError:
        raise BrainalignError(
            f"{what} must be one number or broadcast to ({n_networks} networks, {n_sweeps} sweeps), "
            f"got {tuple(values.shape)}"
        ) from None


def _check_rule(n_sweeps, reduction, shares, batch_size, validation, patience):
    check_counts({"n_sweeps": n_sweeps}, "n_sweeps")
    if batch_size is not None:
        check_counts({"batch_size": batch_size}, "batch_size")
    if reduction not in REDUCTIONS:
        raise UnknownName("reduction", reduction, REDUCTIONS)
    for name, value in shares.items():
        if not 0 <= value < (1 if name == "decay" else math.inf):
            raise BrainalignError(f"{name} must be finite and not below 0 (decay below 1 too), got {value}")
    if patience is not None and validation is None:
        raise BrainalignError(f"patience ({patience}) needs validation samples, got none")
