"""Nets of McCulloch and Pitts: threshold units that fire or do not, one step after what excites them.

    N_j(t) = 1   when no inhibitor of j fires at t - 1, and
                 the end-feet on j of the units that fire at t - 1 are `threshold_j` or more
    N_j(t) = 0   otherwise

The five assumptions of the paper: activity is all or none; a fixed number of end-feet must be active together,
whatever came before and wherever they are; the only delay is that of the synapse, one step; one active inhibitor
prevents firing absolutely; the wiring does not change. Inputs ("peripheral afferents") are units that only fire as they
are told. Before the first step everything is silent.

In figure 1 every threshold is 2, so an input that is enough alone has two end-feet. Theorem 1 says that the sum must
*exceed* the threshold; the drawings need "at least", and so it is here.

Inhibition can also be relative: each end-foot raises the threshold by one (`raised_by`). Figure 1 f draws a net of
this kind beside one of absolute inhibition that does the same a step later (theorem 4).

References
----------
McCulloch & Pitts (1943), A logical calculus of the ideas immanent in nervous activity, Bulletin of Mathematical
Biophysics 5:115-133.
"""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

import torch

from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.simulate.replicas import place

MAX_BITS = 24  # of an exhaustive input: 16.8 million sequences


class Unit(NamedTuple):
    """The synapses on a unit.

    Parameters
    ----------
    excited_by : mapping of str to int
        End-feet of each unit that excites it.
    inhibited_by : tuple of str
        Units of which one alone prevents firing.
    raised_by : mapping of str to int
        Relative inhibition: by how much each unit raises the threshold while it fires.
    threshold : int
    """

    excited_by: Mapping[str, int]
    inhibited_by: tuple[str, ...] = ()
    raised_by: Mapping[str, int] = {}
    threshold: int = 2

    @property
    def sources(self) -> set[str]:
        """Units with a synapse on this one."""
        return {*self.excited_by, *self.inhibited_by, *self.raised_by}


class Net:
    """A net: inputs, and units with their synapses.

    Parameters
    ----------
    inputs : sequence of str
    units : mapping of str to Unit
    device : {"cpu", "cuda", "auto"}
        "auto" is cuda where there is one.

    Attributes
    ----------
    names : tuple of str
        Inputs, then units: the last axis of `activity`.

    Raises
    ------
    UnknownName
        A synapse comes from a unit that is not in the net.
    BrainalignError
        A name stands for two units, a threshold is below 1 (the unit would fire by itself), or a number of end-feet is
        not a whole number of at least 1.
    """

    def __init__(self, inputs: Sequence[str], units: Mapping[str, Unit], *, device: str = "cpu"):
        self.inputs, self.units = tuple(inputs), dict(units)
        self.names = (*self.inputs, *self.units)
        _check(self)
        device = place(dtype="float32", device=device)["device"]
        excite, inhibit = (torch.zeros(len(self.names), len(self.units), device=device) for _ in range(2))
        for j, unit in enumerate(self.units.values()):
            for name, feet in unit.excited_by.items():
                excite[self.names.index(name), j] += feet
            for name, feet in unit.raised_by.items():
                excite[self.names.index(name), j] -= feet
            for name in unit.inhibited_by:
                inhibit[self.names.index(name), j] = 1
        self.excite, self.inhibit = excite, inhibit  # (n_names, n_units): whole numbers, exact in float32
        self.threshold = torch.tensor([float(unit.threshold) for unit in self.units.values()], device=device)

    def activity(self, inputs: torch.Tensor) -> torch.Tensor:
        """Fire step by step from silence, many input sequences side by side.

        Parameters
        ----------
        inputs : bool tensor of shape (n_sequences, n_steps, n_inputs)
            Input i fires at step t.

        Returns
        -------
        activity : bool tensor of shape (n_sequences, n_steps, n_inputs + n_units)
            In the order of `names`; on the device of the net. Step 0 holds the first inputs, units answer from step 1.

        Raises
        ------
        Misaligned
            `inputs` has another number of dimensions or of inputs, or is not of booleans.
        """
        inputs = torch.as_tensor(inputs)
        if inputs.ndim != 3 or inputs.shape[2] != len(self.inputs):
            expected = f"(n_sequences, n_steps, {len(self.inputs)})"
            raise Misaligned(f"inputs of shape {tuple(inputs.shape)}; expected {expected}: {', '.join(self.inputs)}")
        if inputs.dtype != torch.bool:
            raise Misaligned(f"inputs are {inputs.dtype}; expected torch.bool: a unit fires or does not")
        inputs = inputs.to(self.excite)
        fires = inputs.new_zeros(len(inputs), len(self.units))
        seen = []
        for of_step in inputs.unbind(dim=1):
            now = torch.cat([of_step, fires], dim=1)  # (n_sequences, n_names)
            seen.append(now.bool())
            enough, stopped = now @ self.excite >= self.threshold, now @ self.inhibit > 0
            fires = (enough & ~stopped).to(now)  # of the next step
        return torch.stack(seen, dim=1) if seen else inputs.new_zeros(len(inputs), 0, len(self.names)).bool()

    def circle(self) -> tuple[str, ...]:
        """Units along a circle of the net, the first one again at the end; empty where there is none."""
        try:
            self._order()
        except CycleError as error:
            return tuple(error.args[1])
        return ()

    def longest_path(self) -> int:
        """Count the synapses of the longest path: a net without circles remembers so many steps and no more.

        Raises
        ------
        BrainalignError
            The net has a circle.
        """
        circle = self.circle()
        if circle:
            raise BrainalignError(f"the net has a circle, {' -> '.join(circle)}: no path of it is the longest")
        length = dict.fromkeys(self.inputs, 0)
        for name in self._order():
            if name in self.units:
                length[name] = 1 + max((length[source] for source in self.units[name].sources), default=-1)
        return max(length.values(), default=0)

    def _order(self) -> list[str]:
        """Names, each after those that have synapses on it."""
        return list(TopologicalSorter({name: unit.sources for name, unit in self.units.items()}).static_order())


def _check(net: Net) -> None:
    twice = sorted({name for name in net.names if net.names.count(name) > 1})
    if twice:
        raise BrainalignError(f"names must stand for one unit each; twice here: {', '.join(twice)}")
    for name, unit in net.units.items():
        for source in sorted(unit.sources):
            if source not in net.names:
                raise UnknownName(f"unit (with a synapse on {name!r})", source, net.names)
        feet = [*unit.excited_by.values(), *unit.raised_by.values(), unit.threshold]
        if any(type(number) is not int or number < 1 for number in feet):
            raise BrainalignError(f"unit {name!r}: end-feet and threshold must be whole numbers from 1; got {unit}")


def all_sequences(n_inputs: int, n_steps: int) -> torch.Tensor:
    """Give every input there is, bool (2 ** (n_inputs * n_steps), n_steps, n_inputs).

    Raises
    ------
    BrainalignError
        They are more than 2 ** 24.
    """
    n_bits = n_inputs * n_steps
    if not 0 <= n_bits <= MAX_BITS:
        raise BrainalignError(f"{n_inputs} inputs over {n_steps} steps are 2 ** {n_bits} sequences; at most {MAX_BITS}")
    numbers = torch.arange(2**n_bits, dtype=torch.int32)[:, None]
    return (numbers >> torch.arange(n_bits, dtype=torch.int32) & 1).bool().reshape(2**n_bits, n_steps, n_inputs)


def period(activity: torch.Tensor) -> torch.Tensor:
    """Give after how many steps the last state was there before, int64 (n_sequences,); 0 where it never was.

    While the inputs do not change, the state decides all that follows, so that this is the period for ever: 1 for
    silence and for a latch, the number of units for one impulse in a ring.

    Parameters
    ----------
    activity : bool tensor of shape (n_sequences, n_steps, n_units)
    """
    same = (activity[:, :-1] == activity[:, -1:]).all(dim=2)  # (n_sequences, n_steps - 1)
    back = torch.arange(same.shape[1], 0, -1, device=same.device)  # steps before the last
    found = torch.where(same, back, same.shape[1] + 1).amin(dim=1) if same.shape[1] else same.new_ones(len(same))
    return torch.where(same.any(dim=1), found, 0).long()


class Example(NamedTuple):
    """A net with the formula of its units, in the notation of `temporal_logic.parse`.

    Parameters
    ----------
    net : Net
    formulas : tuple of str
    about : str
    """

    net: Net
    formulas: tuple[str, ...]
    about: str


def figure_1(*, device: str = "cpu") -> dict[str, Example]:
    """Build the nets of figure 1 by letter; "f" with relative inhibition, "f absolute" as drawn beside it.

    The formulas are those printed, time arguments included. All thresholds are 2.
    """
    two = ("N1", "N2")
    nets = {
        "a": (("N1",), {"N2": Unit({"N1": 2})}),
        "b": (two, {"N3": Unit({"N1": 2, "N2": 2})}),
        "c": (two, {"N3": Unit({"N1": 1, "N2": 1})}),
        "d": (two, {"N3": Unit({"N1": 2}, ("N2",))}),
        "e": (two, {
            "Na": Unit({"N2": 2}),
            "Nb": Unit({"Na": 2}, ("N2",)),  # cold that has just stopped
            "N3": Unit({"N1": 2, "Nb": 2}),
            "N4": Unit({"Na": 1, "N2": 1}),
        }),
        "f": ((*two, "N3"), {"N4": Unit({"N2": 2, "N3": 2}, raised_by={"N1": 2})}),
        "f absolute": ((*two, "N3"), {
            "Na": Unit({"N2": 2, "N3": 2}, ("N1",)),
            "Nb": Unit({"N1": 1, "N2": 1}),
            "Nc": Unit({"N3": 2}),
            "N4": Unit({"Na": 2, "Nb": 1, "Nc": 1}),
        }),
        "g": (two, {"Na": Unit({"N1": 2}), "Nb": Unit({"N2": 2}, ("Na",)), "N3": Unit({"Nb": 2})}),
        "h": (("N1",), {"Na": Unit({"N1": 2}), "N2": Unit({"N1": 1, "Na": 1})}),
        "i": (two, {
            "Na": Unit({"N1": 1, "N2": 1, "Na": 2}),  # excites itself: has N1 ever fired together with N2?
            "N3": Unit({"N2": 2, "N1": 1, "Na": 1}),
        }),
    }  # fmt: skip
    return {
        letter: Example(Net(inputs, units, device=device), FORMULAS[letter], ABOUT[letter])
        for letter, (inputs, units) in nets.items()
    }


FORMULAS = {
    "a": ("N2(t) = N1(t-1)",),
    "b": ("N3(t) = N1(t-1) or N2(t-1)",),
    "c": ("N3(t) = N1(t-1) and N2(t-1)",),
    "d": ("N3(t) = N1(t-1) and not N2(t-1)",),
    "e": ("N3(t) = N1(t-1) or (N2(t-3) and not N2(t-2))", "N4(t) = N2(t-2) and N2(t-1)"),
    "f": ("N4(t) = not N1(t-1) and (N2(t-1) or N3(t-1)) or N1(t-1) and N2(t-1) and N3(t-1)",),
    "f absolute": ("N4(t) = not N1(t-2) and (N2(t-2) or N3(t-2)) or N1(t-2) and N2(t-2) and N3(t-2)",),
    "g": ("N3(t) = N2(t-2) and not N1(t-3)",),
    "h": ("N2(t) = N1(t-1) and N1(t-2)",),
    "i": ("N3(t) = N2(t-1) or N1(t-1) and exists(x < t-1, N1(x) and N2(x))",),
}

ABOUT = {
    "a": "succession",
    "b": "disjunction",
    "c": "conjunction",
    "d": "conjunction with a negation",
    "e": "heat (N1, felt as N3) and cold (N2, felt as N4)",
    "f": "relative inhibition",
    "f absolute": "the same by absolute inhibition, a step later",
    "g": "extinction",
    "h": "temporal summation",
    "i": "an alterable synapse, replaced by a circle: learning",
}


def gates(*, device: str = "cpu") -> dict[str, Example]:
    """Build the gates "and", "or", "not", "xor".

    "not" needs an input `clock` that fires at every step: a unit without excitation is silent, so that nothing in a net
    can answer to silence alone (theorem 3). "xor" takes two steps, as no single unit does it.
    """
    two = ("N1", "N2")
    either = {"N1 only": Unit({"N1": 2}, ("N2",)), "N2 only": Unit({"N2": 2}, ("N1",))}
    return {
        "and": Example(Net(two, {"N3": Unit({"N1": 1, "N2": 1})}, device=device), FORMULAS["c"], "both"),
        "or": Example(Net(two, {"N3": Unit({"N1": 2, "N2": 2})}, device=device), FORMULAS["b"], "one or both"),
        "not": Example(
            Net(("N1", "clock"), {"N2": Unit({"clock": 2}, ("N1",))}, device=device),
            ("N2(t) = clock(t-1) and not N1(t-1)",),
            "silent when N1 fires, while the clock ticks",
        ),
        "xor": Example(
            Net(two, {**either, "N3": Unit({"N1 only": 2, "N2 only": 2})}, device=device),
            ("N3(t) = N1(t-2) and not N2(t-2) or N2(t-2) and not N1(t-2)",),
            "one of them alone",
        ),
    }


def latch(*, device: str = "cpu") -> Net:
    """Build a unit that fires for ever once `set` has fired, until `reset` fires: a circle of one."""
    return Net(("set", "reset"), {"held": Unit({"set": 2, "held": 2}, ("reset",))}, device=device)


def ring(n_units: int, *, device: str = "cpu") -> Net:
    """Build units that excite one another in a circle; an impulse of `start` goes round in `n_units` steps.

    Raises
    ------
    BrainalignError
        There is no unit.
    """
    if n_units < 1:
        raise BrainalignError(f"a ring has at least one unit; got {n_units}")
    units = {f"R{i}": Unit({f"R{(i - 1) % n_units}": 2}) for i in range(n_units)}
    units["R0"] = Unit({f"R{n_units - 1}": 2, "start": 2})
    return Net(("start",), units, device=device)
