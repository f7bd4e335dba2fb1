"""Response functions: the weights over lags of models of all samples, for what the report shows.

Scores are of held-out samples; the weights that a figure shows are of a model that was fitted once, to all of them.
Where feature spaces are also fitted together, theirs are those of the joint model, else each is fitted alone.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.align.epochs import sampling_rate
from brainalign.encode.trf import response_functions
from brainalign.jobs.cells import Cell
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.features import CellPlan, load_activations
from brainalign.pipeline.fits import (
    edges_are_counted,
    encoding_model,
    fit_settings,
    n_ridges,
    plan_of_fit,
    warn_of_edges,
)


class Functions:
    """The step of an encoding experiment that fits response functions, see `encoding.STEPS`.

    Parameters
    ----------
    prepared : encoding.Prepared
    """

    TABLES = ("response_functions", "function_edges")

    def __init__(self, prepared):
        self.prepared = prepared

    @cached_property
    def cells(self) -> dict[Cell, object]:
        """Cells of the models that are shown, with their candidates; none without lags in seconds."""
        encode = self.prepared.experiment.encode
        if self.prepared.experiment.align.lags is None:
            return {}
        shown = [
            candidate
            for candidate in self.prepared.candidates.values()
            if (candidate.spaces == encode.together if encode.together else len(candidate.parts) == 1)
        ]
        return {self._cell(candidate): candidate for candidate in shown}

    def _cell(self, candidate) -> Cell:
        features = [[cell.folder, layer] for _, cell, layer in candidate.parts]
        without = ("controls", "together", "metric", "outer")
        settings = fit_settings(self.prepared, "fit response functions", features, without=without)
        parts = ("functions", candidate.feature_space, candidate.weights, candidate.layer.strip("-"))
        return Cell("-".join(filter(None, parts)), settings, needs=tuple(cell.folder for _, cell, _ in candidate.parts))

    def problems(self) -> list[str]:
        """There are none of their own: lags go with a recording in time only."""
        return []

    def plan(self, cell: Cell) -> CellPlan:
        """Say what a fit of all samples needs."""
        prepared, candidate = self.prepared, self.cells[cell]
        n_samples, n_targets = prepared.recording.responses.shape
        n_columns = prepared.n_columns(candidate)
        fit, n_fits = plan_of_fit(prepared, n_columns), n_ridges(prepared, candidate)
        size = f"{n_samples} samples x {n_columns} features, {n_targets} targets"
        memory, disk = 8 * n_samples * (n_columns + n_targets) + fit.bytes, 4 * n_columns * n_targets
        return CellPlan(cell, size, memory, disk, lambda: n_fits * fit.seconds)

    def compute(self, cell: Cell, folder: Path, computer) -> None:
        """Write `weights` (n_targets, n_features, n_lags) and `alpha_at_edge` (2,) of a model of all samples."""
        prepared = self.prepared
        X, columns = computer.matrix(self.cells[cell])
        with edges_are_counted():
            model = encoding_model(prepared.experiment, columns).fit(
                X,
                prepared.Y,
                groups=prepared.inner_groups,
                run=prepared.recording.responses.rows["run"].to_numpy(str),
                position=np.flatnonzero(prepared.usable),
            )
        found = response_functions(model, prepared.delays, sfreq=sampling_rate(prepared.clock), columns=columns)
        arrays = {"weights": found.weights.astype(np.float32), "alpha_at_edge": np.array(model.alpha_at_edge_)}
        write_arrays(folder, arrays)

    def tabulate(self, path_of: Callable[[Cell], Path]) -> dict[str, pd.DataFrame]:
        """Gather the finished cells.

        Returns
        -------
        tables : dict of str to DataFrame
            "response_functions": one row per subject x target x unit x lag: `subject target feature_space weights layer
            unit lag` (s) `weight` (of the response per unit of the feature). "function_edges": shares of targets at the
            edges of the penalty grid, `feature_space weights layer at_lowest_alpha at_highest_alpha`. None of them
            without lags in seconds.
        """
        if not self.cells:
            return {}
        weights, edges = [], []
        for cell, candidate in self.cells.items():
            found = read_arrays(path_of(cell))
            weights += self._rows(candidate, found["weights"], path_of)
            low, high = found["alpha_at_edge"]
            what = {"feature_space": candidate.feature_space, "weights": candidate.weights}
            what["layer"] = candidate.layer.strip("-")
            edges.append({**what, "at_lowest_alpha": low, "at_highest_alpha": high})
        edges = pd.DataFrame(edges)
        warn_of_edges(edges, of="response functions of ")
        return dict(zip(self.TABLES, (pd.concat(weights, ignore_index=True), edges), strict=True))

    def _rows(self, candidate, weights: np.ndarray, path_of) -> list[pd.DataFrame]:
        """Give the rows of every unit of a model."""
        columns = self.prepared.recording.responses.columns[["subject", "target"]]
        lags = np.array(self.prepared.delays) / sampling_rate(self.prepared.clock)
        rows = columns.iloc[np.repeat(np.arange(len(columns)), len(lags))]
        units = [
            {"feature_space": name, "weights": candidate.weights, "layer": layer.strip("-"), "unit": unit}
            for name, extraction, layer in candidate.parts
            for unit in load_activations(path_of, extraction, layer).columns["unit"]
        ]
        return [
            rows.assign(**unit, lag=np.tile(lags, len(columns)), weight=of_unit.ravel())
            for unit, of_unit in zip(units, np.moveaxis(weights, 1, 0), strict=True)  # (n_targets, n_lags)
        ]
