"""Series that a data set brings along, on their own clock: the power of the sound, a rater's curve.

One layer, "-", with one unit per column of the recording's table of series, taken as it is. What is in the columns, and
whether it is convolved with a haemodynamic response already, the data set says.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError, Misaligned, UnknownName

LAYER = "-"
CLOCK = ("run", "onset", "duration")


class Config(BaseModel):
    """Which series."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    columns: Literal["all"] | tuple[str, ...] = Field(
        default="all", min_length=1, description="of the series that the data set brings along"
    )

    @field_validator("columns")
    @classmethod
    def _each_once(cls, columns):
        if columns != "all" and len(set(columns)) < len(columns):
            raise ValueError("must name each series once")
        return columns


def layer_names(config: Config) -> tuple[str, ...]:  # noqa: ARG001
    """Give the only layer there is, "-"."""
    return (LAYER,)


def settings(config: Config) -> dict[str, Any]:
    """Give the settings, which together with the series decide the values."""
    return config.model_dump(mode="json")


def fingerprint(config: Config, *, weights: str = "trained") -> dict[str, str]:  # noqa: ARG001
    """Give what decides the values beside `Config` and the series: nothing."""
    return {}


def stimulus_files(series: pd.DataFrame) -> list[Path]:  # noqa: ARG001
    """List the files that the series name: none."""
    return []


def own_clock(series: pd.DataFrame, config: Config) -> bool:  # noqa: ARG001
    """Tell whether rows are not those of the events: they never are."""
    return True


def check(series: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`; empty when nothing would."""
    try:
        _values(series, config)
    except BrainalignError as error:
        return [str(error)]
    return []


def plan(series: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will give: `n_events, n_layers, width, bytes_result`."""
    width = len(_columns(series, config))
    return {"n_events": len(series), "n_layers": 1, "width": width, "bytes_result": 4 * len(series) * width}


def extract(
    series: pd.DataFrame,
    config: Config,
    *,
    weights: str = "trained",  # noqa: ARG001
    scratch: Path | None = None,  # noqa: ARG001
) -> dict[str, Activations]:
    """Give the series as activations.

    Parameters
    ----------
    series : DataFrame of n_rows rows
        `run`, `onset`, `duration` (s) and columns of numbers.
    config : Config
    weights, scratch
        Have no meaning here: nothing is trained, and there is nothing that could be resumed.

    Returns
    -------
    activations : dict of str to Activations
        {"-": (n_rows, n_columns)}, float32, all finite; `columns.unit` names the series.

    Raises
    ------
    UnknownName
        A column that the series do not have.
    Misaligned
        No series, or a value that is no finite number.
    """
    names, values = _values(series, config)
    rows = series[list(CLOCK)].reset_index(drop=True)
    provenance = {"extractor": "series", "settings": settings(config), "files": fingerprint(config)}
    return {LAYER: Activations(values, rows, pd.DataFrame({"layer": LAYER, "unit": names}), provenance)}


def _columns(series: pd.DataFrame, config: Config) -> list[str]:
    known = [name for name in series if name not in CLOCK]
    for name in () if config.columns == "all" else config.columns:
        if name not in known:
            raise UnknownName("series", name, known)
    return known if config.columns == "all" else list(config.columns)


def _values(series: pd.DataFrame, config: Config) -> tuple[list[str], np.ndarray]:
    names = _columns(series, config)
    if not names:
        raise Misaligned(f"there are no series beside {', '.join(CLOCK)}")
    values = np.column_stack([pd.to_numeric(series[name], errors="coerce").to_numpy(np.float32) for name in names])
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        i_row, i_column = bad[0]
        raise Misaligned(
            f"series {names[i_column]!r} is {series[names[i_column]].iloc[i_row]} in row {i_row} "
            f"(run {series['run'].iloc[i_row]!r}, {series['onset'].iloc[i_row]} s)"
        )
    return names, values
