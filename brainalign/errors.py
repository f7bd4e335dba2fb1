"""The errors of brainalign: each names what was expected, what was got and where, and says the cure."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give ` (did you mean 'x'?)` when a known name is near, else an empty string."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


class BrainalignError(ValueError):
    """Anything the user can mend: a bad value, a missing file, arrays that do not belong together."""


class UnknownName(BrainalignError):
    """A name that is not in a registry.

    Parameters
    ----------
    kind : str
        What the name stands for, e.g. "data set".
    name : str
        The name that was asked for.
    known : iterable of str
        The names there are.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        known = sorted(known)
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, known)}; known: {', '.join(known) or 'none'}")


class Misaligned(BrainalignError):
    """Arrays, tables or clocks that do not describe the same samples."""


class MissingData(BrainalignError):
    """A file that is absent, is a stub, or is not the file that was published."""


class BadConfig(BrainalignError):
    """All problems of a configuration at once, each with its path.

    Parameters
    ----------
    problems : list of str
        One line each, e.g. "encode.outer.n: expected an integer, got 'five'".
    source : str
        The file, or "--set".
    """

    def __init__(self, problems: list[str], source: str):
        self.problems = problems
        listed = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source}: {len(problems)} problem{'s' if len(problems) != 1 else ''}\n{listed}")
