"""What a run will take, before anything is computed."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from brainalign.config import Experiment
from brainalign.jobs.cells import Cell
from brainalign.pipeline import METHODS


def describe_plan(
    experiment: Experiment, data_dir: Path | None, *, is_stored: Callable[[Cell], bool], timed: bool = False
) -> pd.DataFrame:
    """Say what every cell of an experiment needs.

    Parameters
    ----------
    experiment : Experiment
    data_dir : Path, optional
    is_stored : callable
        Cell -> whether it is finished.
    timed : bool
        Whether to measure how long the cells that are not stored will take on this machine: extractions on a part of
        the stimuli, fits by the rate of matrix products.

    Returns
    -------
    plan : DataFrame
        Columns `cell, size, memory_mb` (arrays in memory at a time), `disk_mb, stored`, and `seconds` if timed.
    """
    method = METHODS[experiment.method]
    plans = method.plan_cells(method.prepare(experiment, data_dir))
    stored = [is_stored(planned.cell) for planned in plans]
    table = pd.DataFrame(
        {
            "cell": [planned.cell.name for planned in plans],
            "size": [planned.size for planned in plans],
            "memory_mb": [round(planned.memory / 1e6, 1) for planned in plans],
            "disk_mb": [round(planned.disk / 1e6, 3) for planned in plans],
            "stored": ["yes" if there else "no" for there in stored],
        }
    )
    if timed:
        table["seconds"] = [
            0.0 if there else round(planned.seconds(), 1) for planned, there in zip(plans, stored, strict=True)
        ]
    return table
