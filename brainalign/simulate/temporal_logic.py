"""Temporal propositional expressions, and nets without circles that are true to them.

An expression says of a time t which inputs fired how long before, joined by and, or, not:

    N3(t) = N1(t-1) or (N2(t-3) and not N2(t-2))

Inputs are silent before step 0. `compile_net` builds a net in which the unit N3 fires when this is true.

Which expressions can be built (theorem 3): those that are false when all their constituents are false, as a unit that
nothing excites is silent. Every other one is the negation of one of those. So each part of an expression is built as
itself or, where it is true of silence, as its negation, which then inhibits:

    a and b and not c and not d  ->  a unit that needs a and b together, with c and d as inhibitors
    not a and not b              =   not (a or b)
    a or not b                   =   not (b and not a)

Each connective takes a step of time. Where the formula does not leave so many, N3 fires later than the formula says
("realisable in the extended sense"): `Compiled.late` says by how many steps.

`exists(x < t-1, ...)` asks whether something was so at any time before. It can be evaluated; a net without circles
cannot do it, for it forgets what is older than its longest path.

References
----------
McCulloch & Pitts (1943), section 2, definitions of S and of temporal propositional expressions, theorems 1-3, and
theorem 7 for circles. The tests compare nets with direct evaluation on every input.
"""

import ast
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import torch

from brainalign.errors import BrainalignError
from brainalign.simulate.threshold import Net, Unit, all_sequences


class Fires(NamedTuple):
    """A unit fires now.

    Parameters
    ----------
    name : str
    """

    name: str

    def values(self, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give at which steps it is true, bool (n_sequences, n_steps); `spikes` the same shape for every name."""
        return spikes[self.name]


class Past(NamedTuple):
    """An expression was true so many steps ago: the operator S of the paper, repeated.

    Parameters
    ----------
    of : expression
    steps : int
    """

    of: "Expression"
    steps: int = 1

    def values(self, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give at which steps it is true, bool (n_sequences, n_steps); before step 0 the inputs were silent."""
        silence = {name: torch.nn.functional.pad(of_name, (self.steps, 0)) for name, of_name in spikes.items()}
        n_steps = next(iter(spikes.values())).shape[-1]
        return self.of.values(silence)[..., :n_steps]


class And(NamedTuple):
    """All of several expressions.

    Parameters
    ----------
    parts : tuple of expressions
    """

    parts: tuple

    def values(self, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give at which steps it is true, bool (n_sequences, n_steps)."""
        return torch.stack([part.values(spikes) for part in self.parts]).all(dim=0)


class Or(NamedTuple):
    """One or more of several expressions.

    Parameters
    ----------
    parts : tuple of expressions
    """

    parts: tuple

    def values(self, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give at which steps it is true, bool (n_sequences, n_steps)."""
        return torch.stack([part.values(spikes) for part in self.parts]).any(dim=0)


class Not(NamedTuple):
    """The negation of an expression.

    Parameters
    ----------
    of : expression
    """

    of: "Expression"

    def values(self, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give at which steps it is true, bool (n_sequences, n_steps)."""
        return ~self.of.values(spikes)


class Ever(NamedTuple):
    """An expression is true now or was at some step before, the silence before step 0 included.

    Parameters
    ----------
    of : expression
    """

    of: "Expression"

    def values(self, spikes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Give at which steps it is true, bool (n_sequences, n_steps)."""
        in_silence = self.of.values({name: torch.zeros_like(of_name[..., :1]) for name, of_name in spikes.items()})
        return self.of.values(spikes).cummax(dim=-1).values | in_silence


Expression = Fires | Past | And | Or | Not | Ever

MAX_CONSTITUENTS = 20  # of a truth table
MAX_LAG = 500  # steps that a net can look back: each is a unit of a chain
CHUNK = 2**16  # input sequences that are run at once


def parse(text: str) -> Expression:
    """Read an expression.

    Parameters
    ----------
    text : str
        `N1(t-2)`: N1 fired two steps ago. `and`, `or`, `not` (or `&`, `|`, `~`), brackets; `S(...)`: one step before,
        `S(..., 3)`: three; `exists(x < t-1, N1(x) and N2(x))`: at some time before t - 1.

    Raises
    ------
    BrainalignError
        It is not of this form, or asks for what is still to come.
    """
    text = " ".join(text.split())
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise BrainalignError(f"{text!r}, character {error.offset}: {error.msg}; {GRAMMAR}") from None
    return _read(tree.body, "t", text)


def parse_formula(text: str) -> tuple[str, Expression]:
    """Read `NAME(t) = EXPRESSION` as name and expression.

    Raises
    ------
    BrainalignError
        It is not of this form.
    """
    left, equals, right = text.partition("=")
    name, bracket, rest = left.strip().partition("(")
    if not equals or not name.isidentifier() or bracket + rest != "(t)":
        raise BrainalignError(f"{text!r}: expected 'NAME(t) = EXPRESSION', e.g. 'N3(t) = N1(t-1) and not N2(t-1)'")
    return name, parse(right)


GRAMMAR = "expected e.g. 'N1(t-1) or (N2(t-3) and not N2(t-2))', 'S(N1(t) and N2(t))', 'exists(x < t-1, N1(x))'"


def _read(node: ast.expr, variable: str, text: str) -> Expression:
    """Turn a piece of Python's syntax tree into an expression; `variable` is the name of its time."""
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return And(tuple(_read(part, variable, text) for part in parts))
        case ast.BoolOp(op=ast.Or(), values=parts):
            return Or(tuple(_read(part, variable, text) for part in parts))
        case ast.BinOp(op=ast.BitAnd()):
            return And((_read(node.left, variable, text), _read(node.right, variable, text)))
        case ast.BinOp(op=ast.BitOr()):
            return Or((_read(node.left, variable, text), _read(node.right, variable, text)))
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return Not(_read(operand, variable, text))
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            return _read_call(name, node, variable, text)
    raise _unreadable(node, text)


def _read_call(name: str, node: ast.Call, variable: str, text: str) -> Expression:
    match name, node.args:
        case "S", [inner]:
            return Past(_read(inner, variable, text))
        case "S", [inner, ast.Constant(value=int(steps))] if steps >= 0:
            return Past(_read(inner, variable, text), steps)
        case "exists", [ast.Compare(left=ast.Name(id=bound), ops=[ast.Lt()], comparators=[before]), inner]:
            return Past(Ever(_read(inner, bound, text)), _lag(before, variable, text) + 1)
        case (("S" | "exists"), _):
            raise _unreadable(node, text)
        case _, [time]:
            lag = _lag(time, variable, text)
            return Past(Fires(name), lag) if lag else Fires(name)
    raise _unreadable(node, text)


def _lag(node: ast.expr, variable: str, text: str) -> int:
    """Read `t` or `t-3` as steps back."""
    match node:
        case ast.Name(id=name) if name == variable:
            return 0
        case ast.BinOp(left=ast.Name(id=name), op=ast.Sub(), right=ast.Constant(value=int(steps))) if name == variable:
            return steps
        case ast.BinOp(op=ast.Add()):
            said = ast.get_source_segment(text, node)
            raise BrainalignError(f"{text!r}: {said} is still to come; a net answers to what was, e.g. {variable}-1")
    raise _unreadable(node, text, f"expected the time {variable!r} or, e.g., '{variable}-1'")


def _unreadable(node: ast.expr, text: str, expected: str = GRAMMAR) -> BrainalignError:
    said = ast.get_source_segment(text, node)
    return BrainalignError(
        f"{text!r}, character {node.col_offset + 1}: {said!r} is no part of an expression; {expected}"
    )


class Compiled(NamedTuple):
    """A net without circles and what its units stand for.

    Parameters
    ----------
    net : Net
    formulas : dict of str to expression
        Of the units that were asked for.
    late : dict of str to int
        Steps by which such a unit fires later than its formula says; 0 is realisable in the narrow sense.
    """

    net: Net
    formulas: dict
    late: dict


class _Line(NamedTuple):
    """An input, so many steps ago."""

    name: str
    lag: int


class _Gate(NamedTuple):
    """What one unit tells, one step later: `needed` of those that excite it, and none that inhibits."""

    excited: tuple
    inhibited: tuple
    needed: int


def compile_net(formulas: str | Sequence[str] | Mapping[str, Expression], *, device: str = "cpu") -> Compiled:
    """Build the net without circles in which units fire as their formulas say.

    A connective is a unit, a delay is a chain of units; both are shared by the formulas. As in figure 1 thresholds are
    2, one end-foot each for "both", two for "one is enough"; "all of k" has k end-feet and threshold k.

    Parameters
    ----------
    formulas : str, sequence of str, or mapping of str to expression
        `N3(t) = N1(t-1) and not N2(t-1)`, see `parse`.
    device : {"cpu", "cuda", "auto"}

    Raises
    ------
    BrainalignError
        A formula is true when all its constituents are false, asks for `exists`, for more than 500 steps back, or tells
        of a unit that has a formula itself; a unit has two formulas.
    """
    named = _named(formulas)
    told = sorted({of for expression in named.values() for of in constituents(expression)})
    for name, lag in told:
        if lag > MAX_LAG:
            raise BrainalignError(f"{name}(t-{lag}): a net is built for at most {MAX_LAG} steps back")
    names = sorted({name for name, _ in told})
    asked = sorted(set(names) & set(named))
    if asked:
        raise BrainalignError(f"{', '.join(asked)}: has a formula of its own; write it in terms of inputs")
    units, made, late = {}, {}, {}
    for name, expression in named.items():
        core, negated = _signed(expression, 0)
        if negated:
            raise _fires_at_rest(name, expression)
        late[name] = max(0, _ready(core) if isinstance(core, _Gate) else 1 - core.lag)
        same = made.get(_key(core, late[name]))  # part of another formula
        if same:
            units[name] = units[same]
        else:
            _build(core, late[name], units, made, name)
    return Compiled(Net(names, units, device=device), named, late)


def constituents(expression: Expression) -> list[tuple[str, int]]:
    """List what an expression is made of, each once: name and steps back.

    Raises
    ------
    BrainalignError
        It asks for `exists`, which reaches back without end, or for what is still to come.
    """
    return list(dict.fromkeys(_constituents(expression, 0)))


def truth_table(expression: Expression) -> tuple[list[tuple[str, int]], torch.Tensor, torch.Tensor]:
    """Give the value of an expression for all values of its constituents.

    Returns
    -------
    constituents : list of (str, int)
        Name and steps back.
    rows : bool tensor of shape (2 ** n_constituents, n_constituents)
        All false in the first.
    values : bool tensor of shape (2 ** n_constituents,)

    Raises
    ------
    BrainalignError
        It asks for `exists`, or has more than 20 constituents.
    """
    columns = constituents(expression)
    if len(columns) > MAX_CONSTITUENTS:
        raise BrainalignError(f"a truth table of {len(columns)} constituents; at most {MAX_CONSTITUENTS}")
    rows = all_sequences(len(columns), 1)[:, 0]
    last = max(lag for _, lag in columns)
    spikes = {name: torch.zeros(len(rows), last + 1, dtype=torch.bool) for name, _ in columns}
    for column, (name, lag) in zip(rows.T, columns, strict=True):
        spikes[name][:, last - lag] = column
    return columns, rows, expression.values(spikes)[:, last]


def disagreements(compiled: Compiled, *, n_steps: int | None = None) -> dict[str, int]:
    """Count, over every input there is, the steps at which a unit does not fire as its formula says.

    Parameters
    ----------
    compiled : Compiled
    n_steps : int, optional
        Of the inputs. One more than the longest path, without it: the net remembers nothing older, so that a count of
        0 is a proof.

    Returns
    -------
    disagreements : dict of str to int
        Out of `2 ** (n_inputs * n_steps) * n_steps` per unit.
    """
    net = compiled.net
    n_steps = net.longest_path() + 1 if n_steps is None else n_steps
    wrong = dict.fromkeys(compiled.formulas, 0)
    for inputs in all_sequences(len(net.inputs), n_steps).split(CHUNK):
        activity = net.activity(inputs)
        spikes = dict(zip(net.names, activity.unbind(dim=2), strict=True))  # (n_sequences, n_steps) each
        told = {name: spikes[name] for name in net.inputs}
        for name, expression in compiled.formulas.items():
            expected = Past(expression, compiled.late[name]).values(told)
            wrong[name] += int((spikes[name] != expected).sum())
    return wrong


def _named(formulas) -> dict[str, Expression]:
    if isinstance(formulas, Mapping):
        return dict(formulas)
    pairs = [parse_formula(text) for text in ([formulas] if isinstance(formulas, str) else formulas)]
    named = dict(pairs)
    if len(named) < len(pairs):
        raise BrainalignError(f"a unit has two formulas: {', '.join(name for name, _ in pairs)}")
    return named


def _constituents(expression: Expression, lag: int):
    match expression:
        case Fires(name):
            yield name, lag
        case Past(_, steps) if type(steps) is not int or steps < 0:
            raise BrainalignError(f"{expression}: the past is a whole number of steps away, from 0")
        case Past(of, steps):
            yield from _constituents(of, lag + steps)
        case Not(of):
            yield from _constituents(of, lag)
        case And(()) | Or(()):
            raise BrainalignError(f"{expression}: nothing is joined; expected one expression or more")
        case And(parts) | Or(parts):
            yield from chain.from_iterable(_constituents(part, lag) for part in parts)
        case Ever():
            raise BrainalignError(
                "'exists' reaches back without end, and a net without circles forgets what is older than its longest"
                " path; it needs a circle (theorem 7), as in net (i) of `threshold.figure_1`"
            )


def _fires_at_rest(name: str, expression: Expression) -> BrainalignError:
    told = ", ".join(f"{of}(t-{lag})" if lag else f"{of}(t)" for of, lag in constituents(expression))
    return BrainalignError(
        f"{name}(t) is true when all its constituents are false ({told}): {name} would have to fire while nothing"
        " excites it, which no net does (theorem 3). Conjoin the negation with something that fires, e.g. with an input"
        " that fires at every step"
    )


def _signed(expression: Expression, lag: int) -> tuple[_Line | _Gate, bool]:
    """Give what a unit can tell about an expression `lag` steps ago: itself, or its negation (and True)."""
    match expression:
        case Fires(name):
            return _Line(name, lag), False
        case Past(of, steps):
            return _signed(of, lag + steps)
        case Not(of):
            core, negated = _signed(of, lag)
            return core, not negated
        case And(parts):
            return _all_of([_signed(part, lag) for part in _flat(And, parts)])
        case Or(parts):  # not all of the negations
            core, negated = _all_of(
                [(core, not negated) for core, negated in (_signed(part, lag) for part in _flat(Or, parts))]
            )
            return core, not negated
    raise TypeError(f"{expression!r} is no expression")


def _flat(kind: type, parts: tuple) -> list[Expression]:
    """Write (a and b) and c as a and b and c."""
    return [inner for part in parts for inner in (_flat(kind, part.parts) if isinstance(part, kind) else [part])]


def _all_of(parts: list) -> tuple[_Gate, bool]:
    excited = tuple(dict.fromkeys(core for core, negated in parts if not negated))
    inhibited = tuple(dict.fromkeys(core for core, negated in parts if negated))
    if not excited:  # not a and not b = not (a or b)
        return _Gate(inhibited, (), 1), True
    if len(excited) == 1 and isinstance(excited[0], _Gate):  # (a or b) and not c is one unit
        (gate,) = excited
        return gate._replace(inhibited=gate.inhibited + inhibited), False
    return _Gate(excited, inhibited, len(excited)), False


def _ready(core: _Line | _Gate) -> int:
    """Count the steps from the time that an expression speaks of to the first at which a unit can tell it."""
    if isinstance(core, _Line):
        return -core.lag
    return 1 + max(_ready(part) for part in core.excited + core.inhibited)


def _build(core: _Line | _Gate, late: int, units: dict, made: dict, name: str = "") -> str:
    """Give the name of the unit that tells `core` so many steps late; it is made if there is none."""
    if isinstance(core, _Line) and core.lag + late == 0:
        return core.name
    key = _key(core, late)
    if key in made:
        return made[key]
    made[key] = name = name or _name(key, made)
    if isinstance(core, _Line):
        unit = Unit({_build(core, late - 1, units, made): 2})
    else:
        feet = 2 if core.needed == 1 else 1
        unit = Unit(
            {_build(part, late - 1, units, made): feet for part in core.excited},
            tuple(_build(part, late - 1, units, made) for part in core.inhibited),
            threshold=max(2, core.needed),
        )
    units[name] = unit
    return name


def _key(core: _Line | _Gate, late: int) -> tuple:
    """Give what is the same for two units that tell the same at the same time."""
    return (core, late) if isinstance(core, _Gate) else _Line(core.name, core.lag + late)


def _name(key: tuple, made: dict) -> str:
    """Name a unit that no formula names: input and delay, or a number."""
    if isinstance(key, _Line):
        return f"{key.name}[t-{key.lag}]"
    return f"[{1 + sum(name.startswith('[') for name in made.values())}]"
