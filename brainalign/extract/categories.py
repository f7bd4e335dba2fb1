"""What was presented as regressors: one unit per category, 1 for its events and 0 for all others.

One layer, "-", with a unit for every value of a column of the events, in the order of the alphabet. Without a column
there is the one unit "event", 1 for every event: what a category must add to. With `step` an event has a row at its
onset and every `step` seconds while it lasts, so that a block of 22.5 s is a boxcar of nine volumes of 2.5 s.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError, Misaligned, MissingData

LAYER = "-"
EVENT = "event"
ROUNDING = 1e-9  # share of a step within which the end of an event counts as the end of a step


class Config(BaseModel):
    """Which categories, and where their rows lie."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    column: str = Field(
        default="category", description="of the events: a unit per value; '' for one unit of all events"
    )
    step: float | None = Field(
        default=None, gt=0, description="s between the rows of an event while it lasts; none: one row at its onset"
    )


def layer_names(config: Config) -> tuple[str, ...]:  # noqa: ARG001
    """Give the only layer there is, "-"."""
    return (LAYER,)


def settings(config: Config) -> dict[str, Any]:
    """Give the settings, which together with the events decide the values."""
    return config.model_dump(mode="json")


def fingerprint(config: Config, *, weights: str = "trained") -> dict[str, str]:  # noqa: ARG001
    """Give what decides the values beside `Config` and the events: nothing."""
    return {}


def stimulus_files(events: pd.DataFrame) -> list[Path]:  # noqa: ARG001
    """List the files that are read: none, categories are in the table itself."""
    return []


def own_clock(events: pd.DataFrame, config: Config) -> bool:  # noqa: ARG001
    """Tell whether rows are not those of the events: with `step` they are not."""
    return config.step is not None


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`; empty when nothing would."""
    try:
        _categories(events, config)
        _rows(events, config)
    except BrainalignError as error:
        return [str(error)]
    return []


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will give: `n_events, n_layers, width, bytes_result`."""
    n_rows, width = len(_rows(events, config)[0]), len(set(_categories(events, config)))
    return {"n_events": n_rows, "n_layers": 1, "width": width, "bytes_result": 4 * n_rows * width}


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: str = "trained",  # noqa: ARG001
    scratch: Path | None = None,  # noqa: ARG001
) -> dict[str, Activations]:
    """Give the category of every event, or of every step of it, as ones and zeros.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s) and the column of categories.
    config : Config
    weights, scratch
        Have no meaning here: nothing is trained, and there is nothing that could be resumed.

    Returns
    -------
    activations : dict of str to Activations
        {"-": (n_rows, n_categories)}, float32; `columns.unit` names the categories. Rows are the events; with `step`
        their steps, event by event, `duration` being `step` or what is left of the event.

    Raises
    ------
    MissingData
        The events have no such column.
    Misaligned
        An event has no category, or with `step` no duration.
    """
    categories = _categories(events, config)
    rows, i_event = _rows(events, config)
    names = sorted(set(categories))
    values = (categories[i_event][:, None] == np.array(names)).astype(np.float32)  # (n_rows, n_categories)
    provenance = {"extractor": "categories", "settings": settings(config), "files": fingerprint(config)}
    return {LAYER: Activations(values, rows, pd.DataFrame({"layer": LAYER, "unit": names}), provenance)}


def _categories(events: pd.DataFrame, config: Config) -> np.ndarray:
    """Name the category of every event, (n_events,)."""
    if not config.column:
        return np.full(len(events), EVENT)
    if config.column not in events:
        raise MissingData(f"the events have no column {config.column!r}, only {list(events)}")
    categories = events[config.column].astype(str).to_numpy(str)
    empty = np.flatnonzero(events[config.column].isna().to_numpy() | (np.char.strip(categories) == ""))
    if len(empty):
        event = events.iloc[empty[0]]
        raise Misaligned(
            f"{len(empty)} events have no {config.column}, the first is event {empty[0]} (run {event['run']!r}, "
            f"{event['onset']} s)"
        )
    return categories


def _rows(events: pd.DataFrame, config: Config) -> tuple[pd.DataFrame, np.ndarray]:
    """Give `run, onset, duration` of every row, and the position of its event, (n_rows,)."""
    clock = events[["run", "onset", "duration"]].reset_index(drop=True)
    if config.step is None:
        return clock, np.arange(len(clock))
    duration = clock["duration"].to_numpy(float)
    wrong = np.flatnonzero(~(np.isfinite(duration) & (duration > 0)))
    if len(wrong):
        raise Misaligned(f"steps need durations: {len(wrong)} events have none, the first is event {wrong[0]}")
    n_steps = np.ceil(duration / config.step - ROUNDING).astype(int)  # (n_events,)
    i_event = np.repeat(np.arange(len(clock)), n_steps)
    passed = config.step * (np.arange(len(i_event)) - np.repeat(np.cumsum(n_steps) - n_steps, n_steps))  # s
    rows = clock.iloc[i_event].reset_index(drop=True)
    rows["onset"] += passed
    rows["duration"] = np.minimum(config.step, duration[i_event] - passed)
    return rows, i_event
