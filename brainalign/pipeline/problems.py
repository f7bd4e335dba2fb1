"""Bad inputs of an experiment, found before any work, with the data loaded once."""

from pathlib import Path
from typing import Any, NamedTuple

from brainalign.config import Experiment
from brainalign.errors import BrainalignError
from brainalign.pipeline import METHODS
from brainalign.pipeline.features import problems_of_data


class Checked(NamedTuple):
    """What was looked at before a run: one line per problem, and what is prepared; None where it cannot be."""

    problems: list[str]
    prepared: Any


def check(experiment: Experiment, data_dir: Path | None) -> Checked:
    """Prepare an experiment and find every bad input.

    Returns
    -------
    checked : Checked
        `problems` is empty when all is well; `prepared` is then what a run goes on with.
    """
    method, data = METHODS[experiment.method], experiment.data
    problems = method.problems_of_settings(experiment)
    if of_data := problems_of_data(data, data_dir, verb=method.LOADED_BY):
        return Checked([*problems, *of_data], None)
    try:
        prepared = method.prepare(experiment, data_dir)
    except BrainalignError as error:
        return Checked([*problems, f"data.{data.set}: {error}"], None)
    return Checked([*problems, *method.problems_of_prepared(prepared, problems)], prepared)


def find_problems(experiment: Experiment, data_dir: Path | None) -> list[str]:
    """Find every bad input before any work: one line per problem, an empty list when all is well."""
    return check(experiment, data_dir).problems
