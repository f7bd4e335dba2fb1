"""The multilayer perceptron: layers of units, each driven by the units of the layer below.

    x_l = y_{l-1} W_l + b_l        y_l = f_l(x_l)        l = 1 .. L; y_0 is the input
    E = 1/2 sum (y_L - d)^2                              squared error
    E = - sum d log y_L + (1 - d) log(1 - y_L)           cross-entropy of logistic outputs
    E = - sum d log y_L                                  cross-entropy of softmax outputs

E is summed over samples and output units, as in 1986. Weights are held (from, to), and every array has a leading axis
of networks. How the weights learn is in `back_propagation`.

References
----------
Rumelhart, Hinton & Williams (1986), Learning representations by back-propagating errors, Nature 323:533-536,
equations 1 to 3. Oracle: torch.nn.Linear with torch's activations and losses.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import nn

from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.simulate.replicas import affine, check_counts, stacked, uniform

LARGEST = 80.0  # of -x in exp(-x): float32 can hold it, and its slope


def logistic(x: torch.Tensor) -> torch.Tensor:
    """Give 1 / (1 + exp(-x)), to the last bit the same for a network alone and beside others.

    torch.sigmoid works out the last few numbers of a tensor by another routine, which rounds differently.
    """
    return 1 / (1 + torch.exp((-x).clamp(max=LARGEST)))


FUNCTIONS = {"logistic": logistic, "tanh": torch.tanh, "relu": torch.relu, "identity": lambda x: x}
OUTPUTS = (*FUNCTIONS, "softmax")
LOSSES = ("squared", "cross_entropy")


class Multilayer(nn.Module):
    """Multilayer perceptrons, several side by side, with weights of their own: W1, b1, W2, b2, ...

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer from the input to the output, two layers at least.
    hidden : {"logistic", "tanh", "relu", "identity"}
        What the layers in between make of their net input.
    output : {"logistic", "tanh", "relu", "identity", "softmax"}
        What the last layer makes of it.
    n_networks : int
        Replicas; network i has the weights of a single network with seed `seed + i`.
    seed : int
        Of the weights; they are drawn in float32 whatever the dtype.
    limit : float, optional
        Fresh weights and biases are uniform in +-limit; sqrt(6 / (units below + units above)) if not given.
    connections : dict of int to array (units below, units above), optional
        Connections that there are (1) and that there are not (0), by number of the weights, 1 for W1; all there are if
        not given.
    dtype : {"float32", "float64"}
    device : {"cpu", "cuda", "auto"}

    Raises
    ------
    BrainalignError
        A setting is out of its range, or there is no GPU.

    References
    ----------
    Glorot & Bengio (2010), equation 16, for the limit where none is given; scikit-learn's MLPClassifier draws alike,
    except for logistic units, for which it takes sqrt(2 / (units below + units above)).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        hidden: str = "logistic",
        output: str = "logistic",
        n_networks: int = 1,
        seed: int = 0,
        limit: float | None = None,
        connections: dict | None = None,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        super().__init__()
        masks = {int(k): torch.as_tensor(mask).float() for k, mask in (connections or {}).items()}
        self.settings = {
            "sizes": [int(n) for n in sizes],
            "hidden": hidden,
            "output": output,
            "n_networks": n_networks,
            "seed": seed,
            "limit": limit,
            "connections": {k: mask.tolist() for k, mask in masks.items()},
            "dtype": dtype,
        }
        _check(self.settings)
        self.layer_names = (*(f"hidden_{k}" for k in range(1, len(sizes) - 1)), "output")
        sizes = self.settings["sizes"]
        fresh = stacked(
            lambda generator: _fresh_weights(sizes, limit, generator),
            seed=seed,
            n_networks=n_networks,
            dtype=dtype,
            device=device,
        )
        for name, values in fresh.items():
            setattr(self, name, values)
        for k, mask in masks.items():
            self._cut(k, mask)

    def _cut(self, k, mask):
        """Leave only the connections of a mask; the others are no part of the forward pass either."""
        known = {i: tuple(W.shape[1:]) for i, W in enumerate(self.weights, start=1)}
        if k not in known or tuple(mask.shape) != known[k] or not bool(((mask == 0) | (mask == 1)).all()):
            raise BrainalignError(f"connections must be 0 or 1, of shapes {known}, got {tuple(mask.shape)} at {k}")
        weights = getattr(self, f"W{k}")
        self.register_buffer(f"mask{k}", mask.to(weights), persistent=False)
        with torch.no_grad():
            weights.mul_(getattr(self, f"mask{k}"))

    @property
    def weights(self) -> list[torch.Tensor]:
        """W1, W2, ..., each (n_networks, units below, units above)."""
        return [getattr(self, f"W{k}") for k in range(1, len(self.settings["sizes"]))]

    @property
    def biases(self) -> list[torch.Tensor]:
        """b1, b2, ..., each (n_networks, units)."""
        return [getattr(self, f"b{k}") for k in range(1, len(self.settings["sizes"]))]

    def connected(self, k: int, values: torch.Tensor) -> torch.Tensor:
        """Give values (n_networks, units below, units above) with 0 where Wk has no connection."""
        return values * getattr(self, f"mask{k}") if k in self.settings["connections"] else values

    def states(self, inputs) -> dict[str, torch.Tensor]:
        """Give the units of every layer above the input.

        Parameters
        ----------
        inputs : tensor or array, (n_samples, n_inputs) or (n_networks, n_samples, n_inputs)
            The same for all networks or of each its own.

        Returns
        -------
        states : dict
            {"hidden_1": (n_networks, n_samples, n_units), ..., "output": (n_networks, n_samples, n_outputs)}

        Raises
        ------
        BrainalignError
            The shape does not fit the network, or a value is not finite.
        """
        activities, _ = self.pass_forward(as_samples(inputs, self, what="inputs"))
        return dict(zip(self.layer_names, activities[1:], strict=True))

    def forward(self, inputs) -> torch.Tensor:
        """Give the output units, (n_networks, n_samples, n_outputs); arguments as of `states`."""
        return self.states(inputs)["output"]

    def pass_forward(self, inputs: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Give y_0 to y_L, each (n_networks, n_samples, n_units), and x_L, of inputs from `as_samples`."""
        x = inputs.expand(len(self.b1), -1, -1)
        activities = [x]
        for k, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            x = affine(activities[-1], self.connected(k, weights), bias)
            last = k == len(self.settings["sizes"]) - 1
            activities.append(_answer(self.settings["output" if last else "hidden"], x))
        return activities, x

    def loss(self, inputs, targets, *, loss: str = "squared", tolerance: float = 0.0) -> torch.Tensor:
        """Give E of each network; autograd can differentiate it.

        Parameters
        ----------
        inputs : tensor or array, (n_samples, n_inputs) or (n_networks, n_samples, n_inputs)
        targets : tensor or array, (n_samples, n_outputs) or (n_networks, n_samples, n_outputs)
        loss : {"squared", "cross_entropy"}
        tolerance : float
            An output that is this near to its target, or nearer, is right: it adds nothing. Not for softmax, whose
            outputs do not stand each by itself.

        Returns
        -------
        loss : tensor (n_networks,)

        Raises
        ------
        BrainalignError
            Shapes do not fit, a value is not finite, or the loss is not one for these outputs.
        """
        inputs, targets = as_pairs(inputs, targets, self)
        check_loss(self, loss, tolerance)
        activities, x = self.pass_forward(inputs)
        return errors(self, activities[-1], x, targets, loss=loss, tolerance=tolerance).sum(dim=(1, 2))


def errors(network: Multilayer, y, x, d, *, loss: str, tolerance: float) -> torch.Tensor:
    """Give what each output adds to E, (n_networks, n_samples, n_outputs), from output y, net input x and target d."""
    if loss == "squared":
        added = (y - d) ** 2 / 2
    elif network.settings["output"] == "logistic":
        added = nn.functional.softplus(x) - d * x  # log y = x - softplus(x), log (1 - y) = - softplus(x)
    else:
        added = -d * torch.log_softmax(x, dim=2)
    return added * ((y - d).abs() > tolerance) if tolerance else added


def as_samples(values, network: Multilayer, *, what: str) -> torch.Tensor:
    """Check inputs or targets and put them where the network is, (1 or n_networks, n_samples, n_units).

    Raises
    ------
    Misaligned
        The shape does not fit the network.
    BrainalignError
        A value is not finite.
    """
    n_units = network.settings["sizes"][0 if what == "inputs" else -1]
    n_networks = network.settings["n_networks"]
    values = torch.as_tensor(values, dtype=network.b1.dtype, device=network.b1.device)
    shape = tuple(values.shape)
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] != n_units or len(values) not in (1, n_networks) or not values.numel():
        raise Misaligned(f"{what} must be (n_samples, {n_units}) or ({n_networks}, n_samples, {n_units}), got {shape}")
    if not bool(torch.isfinite(values).all()):
        raise BrainalignError(f"{what} must be finite, got {int((~torch.isfinite(values)).sum())} values that are not")
    return values


def as_pairs(inputs, targets, network: Multilayer) -> tuple[torch.Tensor, torch.Tensor]:
    """Check inputs and targets as `as_samples` does, and that there are as many of the ones as of the others."""
    inputs = as_samples(inputs, network, what="inputs")
    targets = as_samples(targets, network, what="targets")
    if inputs.shape[1] != targets.shape[1]:
        raise Misaligned(f"inputs have {inputs.shape[1]} samples but targets have {targets.shape[1]}")
    return inputs, targets


def check_loss(network: Multilayer, loss: str, tolerance: float) -> None:
    """Refuse a loss or a tolerance that has no meaning for the outputs of a network.

    Raises
    ------
    BrainalignError
        It has none.
    """
    output = network.settings["output"]
    if loss not in LOSSES:
        raise UnknownName("loss", loss, LOSSES)
    if loss == "cross_entropy" and output not in ("logistic", "softmax"):
        raise BrainalignError(f"cross-entropy is for 'logistic' and 'softmax' outputs, the network has {output!r} ones")
    if not 0 <= tolerance < math.inf:
        raise BrainalignError(f"tolerance must be finite and not below 0, got {tolerance}")
    if tolerance and output == "softmax":
        raise BrainalignError(f"a tolerance ({tolerance}) is for outputs that stand each by itself, not for softmax")


def _answer(name, x):
    return torch.softmax(x, dim=2) if name == "softmax" else FUNCTIONS[name](x)


def _check(settings):
    sizes, limit = settings["sizes"], settings["limit"]
    if len(sizes) < 2 or min(sizes) < 1:
        raise BrainalignError(f"sizes must name two layers at least, of one unit at least, got {sizes}")
    if settings["hidden"] not in FUNCTIONS:
        raise UnknownName("hidden", settings["hidden"], FUNCTIONS)
    if settings["output"] not in OUTPUTS:
        raise UnknownName("output", settings["output"], OUTPUTS)
    check_counts(settings, "n_networks")
    if limit is not None and not 0 <= limit < math.inf:
        raise BrainalignError(f"limit must be finite and not below 0, got {limit}")


def _fresh_weights(sizes, limit, generator):
    """Draw the weights and biases of one network."""
    fresh = {}
    for k, (n_below, n_above) in enumerate(itertools.pairwise(sizes), start=1):
        bound = math.sqrt(6 / (n_below + n_above)) if limit is None else limit
        fresh[f"W{k}"] = uniform((n_below, n_above), bound, generator)
        fresh[f"b{k}"] = uniform((n_above,), bound, generator)
    return fresh
