"""The feature spaces of an experiment over its stimuli: one extraction cell per feature space and kind of weights."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from brainalign import __version__
from brainalign.arrays import Activations
from brainalign.config import DataChoice, FeatureSpace
from brainalign.data import DATASETS
from brainalign.errors import BrainalignError, Misaligned
from brainalign.extract import EXTRACTORS
from brainalign.files import sha256_of
from brainalign.jobs.cells import Cell
from brainalign.pipeline.duration import extraction_seconds

WITHOUT = {
    "load": "has no responses to encode; with [compare] its dissimilarities are compared",
    "load_rdms": "has no dissimilarities to compare; with [encode] its responses are predicted",
}
"""What an experiment is told whose method needs what the data set does not have."""


class CellPlan(NamedTuple):
    """What a cell needs: a description of its size, bytes of arrays in memory at a time, bytes on disk, and seconds.

    `seconds` is called when it is asked for, as it may take some to tell.
    """

    cell: Cell
    size: str
    memory: int
    disk: int
    seconds: Callable[[], float]


@dataclass(frozen=True, eq=False)
class Features:
    """The feature spaces of an experiment and the stimuli that they are made from.

    Parameters
    ----------
    spaces : dict of str to FeatureSpace
    events : DataFrame
    series : DataFrame, optional
        As in `arrays.Recording`.
    """

    spaces: dict[str, FeatureSpace]
    events: pd.DataFrame
    series: pd.DataFrame | None = None

    @cached_property
    def cells(self) -> dict[tuple[str, str], Cell]:
        """Extraction cell of every (feature space, weights)."""
        return {
            (name, weights): self._cell(name, weights)
            for name, space in self.spaces.items()
            for weights in space.variants
        }

    def layers(self, name: str) -> tuple[str, ...]:
        """Names of the layers of a feature space."""
        space = self.spaces[name]
        return EXTRACTORS[space.extractor].layer_names(space.config)

    def only(self, name: str) -> tuple[Cell, str]:
        """Cell and layer of a feature space that has one matrix.

        Raises
        ------
        BrainalignError
            It has several layers or weights.
        """
        layers, variants = self.layers(name), self.spaces[name].variants
        if len(layers) * len(variants) > 1:
            raise BrainalignError(
                f"feature space {name!r} has several layers or weights; what is joined is one matrix: choose one layer"
            )
        return self.cells[name, variants[0]], layers[0]

    def table_of(self, name: str) -> pd.DataFrame:
        """Give what a feature space is made from: the events, or the series that the data set brings along.

        Raises
        ------
        Misaligned
            It brings none.
        """
        if self.spaces[name].extractor != "series":
            return self.events
        if self.series is None:
            raise Misaligned("the data set brings no series along, or its settings leave them out")
        return self.series

    def have_own_clock(self, name: str) -> bool:
        """Tell whether the rows of a feature space are not those of the events."""
        space = self.spaces[name]
        own_clock = getattr(EXTRACTORS[space.extractor], "own_clock", None)
        return own_clock is not None and own_clock(self.events, space.config)

    def extract(self, cell: Cell, folder: Path, store) -> None:
        """Write the activations of an extraction cell, one folder per layer, going on with what is half done."""
        name, weights = next(key for key, other in self.cells.items() if other == cell)
        space = self.spaces[name]
        with store.half_done(cell) as scratch:
            layers = EXTRACTORS[space.extractor].extract(
                self.table_of(name), space.config, weights=weights, scratch=scratch
            )
            for layer, activations in layers.items():
                activations.save(folder / f"layer{layer}")

    def problems(self, *, known: list[str]) -> list[str]:
        """Name what the extractors would stumble over, leaving out feature spaces with a problem that is known."""
        found = []
        for name, space in self.spaces.items():
            if any(line.startswith(f"features.{name}:") for line in known):
                continue
            try:
                lines = EXTRACTORS[space.extractor].check(self.table_of(name), space.config)
            except BrainalignError as error:
                lines = [str(error)]
            found += [f"features.{name}: {line}" for line in lines]
        return found

    @cached_property
    def _counts(self) -> dict[str, dict[str, int]]:
        return {
            name: EXTRACTORS[space.extractor].plan(self.table_of(name), space.config)
            for name, space in self.spaces.items()
        }

    def width(self, cell: Cell) -> int:
        """Give the number of units of the widest layer of an extraction cell."""
        return next(self._counts[name]["width"] for (name, _), other in self.cells.items() if other == cell)

    def plan_cells(self) -> list[CellPlan]:
        """Say what every extraction needs."""
        plans = []
        for (name, weights), cell in self.cells.items():
            space, counts = self.spaces[name], self._counts[name]
            size = f"{counts['n_events']} events x {counts['n_layers']} layers x {counts['width']} units"
            result = counts["bytes_result"]
            seconds = partial(
                extraction_seconds,
                EXTRACTORS[space.extractor],
                self.table_of(name),
                space.config,
                weights=weights,
            )
            plans.append(CellPlan(cell, size, result + counts.get("bytes_weights", 0), result, seconds))
        return plans

    def _cell(self, name: str, weights: str) -> Cell:
        space = self.spaces[name]
        module, table = EXTRACTORS[space.extractor], self.table_of(name)
        settings = {
            "does": "extract",
            "version": __version__,
            "extractor": space.extractor,
            "settings": module.settings(space.config),
            "weights": weights,
            "fingerprint": module.fingerprint(space.config, weights=weights),
            "stimulus": describe_stimuli(table, module.stimulus_files(table)),
        }
        return Cell("-".join(filter(None, ("extract", name, weights))), settings)


def problems_of(step: Callable[[], Any]) -> list[str]:
    """Give what a step refuses, as a list of at most one line."""
    try:
        step()
    except BrainalignError as error:
        return [str(error)]
    return []


def problems_of_layers(spaces: dict[str, FeatureSpace]) -> list[str]:
    """Name feature spaces whose model or layers are not there; needs no data."""
    return [
        f"features.{name}: {line}"
        for name, space in spaces.items()
        for line in problems_of(lambda space=space: EXTRACTORS[space.extractor].layer_names(space.config))
    ]


def problems_of_data(data: DataChoice, data_dir: Path | None, *, verb: str) -> list[str]:
    """List what the data set does not offer, and files that are missing or are not those that were published."""
    module = DATASETS[data.set]
    if not hasattr(module, verb):
        return [f"data.set: {data.set} {WITHOUT[verb]}"]
    found: list[str] = []
    raised = problems_of(lambda: found.extend(module.check(data.config, data_dir))) if hasattr(module, "check") else []
    return [f"data.{data.set}: {line}" for line in (*raised, *found)]


def sha256_of_parts(*parts: Any) -> str:
    """Hash of bytes and of the text of anything else."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def describe_stimuli(table: pd.DataFrame, files: list[Path]) -> str:
    """Describe events, with the hash of its bytes in place of every file that they name, wherever it lies."""
    contents = {str(path): sha256_of(path) for path in files}
    return sha256_of_parts(table.replace(contents).to_csv(index=False))


def load_activations(path_of: Callable[[Cell], Path], cell: Cell, layer: str) -> Activations:
    """Read a layer of a finished extraction cell; `path_of` gives its folder."""
    return Activations.load(path_of(cell) / f"layer{layer}")
