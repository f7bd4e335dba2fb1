"""Temporal generalisation of an encoding model on epochs: what predicts one lag, scored at all others."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.encode.generalisation import temporal_generalisation
from brainalign.jobs.cells import Cell
from brainalign.pipeline.cell_files import read_arrays, write_arrays
from brainalign.pipeline.features import CellPlan
from brainalign.pipeline.fits import edges_are_counted, encoding_model, fit_settings, n_ridges, plan_of_fit
from brainalign.pipeline.subjects import main_subject

UNNAMED = "sensor"  # the kind of channels that have none


class Generalisation:
    """The step of an encoding experiment that scores the model of every lag at every lag, see `encoding.STEPS`.

    It is done for the group mean, or the only subject, with the folds of the scores: on the diagonal it is they.

    Parameters
    ----------
    prepared : encoding.Prepared
    """

    TABLES = ("generalisation",)

    def __init__(self, prepared):
        self.prepared, self.settings = prepared, prepared.experiment.report.generalisation

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The one cell, where the step is asked for."""
        if self.settings is None:
            return ()
        cell, layer = self.prepared.features.only(self.settings.features)
        without = ("controls", "together", "metric")
        table = fit_settings(self.prepared, "generalise over time", [cell.folder, layer], without=without)
        return (Cell(f"generalisation-{self.settings.features}", table, needs=(cell.folder,)),)

    def problems(self) -> list[str]:
        """Say why there are no lags to generalise over."""
        align = self.prepared.experiment.align
        if self.settings is None or align.to == "epochs":
            return []
        return [f"report.generalisation: it is over the times of epochs, but align.to = {align.to!r}"]

    @property
    def _columns(self) -> pd.DataFrame:
        """Channels and lags of the main subject, with their positions among the targets as index."""
        columns = self.prepared.recording.responses.columns
        return columns[columns["subject"] == main_subject(columns)]

    def plan(self, cell: Cell) -> CellPlan:
        """Say what the fits and the correlations of all pairs of lags need."""
        prepared, columns = self.prepared, self._columns
        candidate, n_samples = prepared.alone(self.settings.features), len(prepared.recording.responses.rows)
        n_lags, n_columns = columns["lag"].nunique(), prepared.n_columns(candidate)
        fit, n_fits = plan_of_fit(prepared, n_columns), len(prepared.folds) * n_ridges(prepared, candidate)
        n_channels = len(columns) // n_lags
        size = f"{n_samples} samples x {n_columns} features, {n_channels} channels x {n_lags} x {n_lags} lags"
        of_pairs = 8 * len(columns) * n_lags
        memory = 8 * n_samples * (n_columns + 2 * len(columns)) + 3 * of_pairs + fit.bytes
        return CellPlan(cell, size, memory, of_pairs, lambda: n_fits * fit.seconds)

    def compute(self, cell: Cell, folder: Path, computer) -> None:  # noqa: ARG002 - there is one
        """Write `r` (n_channels, n_lags, n_lags): fitted at the second axis, scored at the third."""
        prepared, columns = self.prepared, self._columns
        X, spaces = computer.matrix(prepared.alone(self.settings.features))
        with edges_are_counted():
            r = temporal_generalisation(
                encoding_model(prepared.experiment, spaces),
                X,
                prepared.Y[:, columns.index],
                n_lags=columns["lag"].nunique(),
                folds=prepared.folds,
                groups=prepared.inner_groups,
                run=prepared.series,
            )
        write_arrays(folder, {"r": r})

    def tabulate(self, path_of: Callable[[Cell], Path]) -> dict[str, pd.DataFrame]:
        """Average over the channels of a kind.

        Returns
        -------
        tables : dict of str to DataFrame
            "generalisation": one row per kind of channel and pair of lags, `subject feature_space channel_type
            n_channels trained tested` (s) `score` (Pearson's r, mean over the channels that have one; nan where none
            has). No table where the step is not asked for.
        """
        tables = [self._table(read_arrays(path_of(cell))["r"]) for cell in self.cells]
        return dict(zip(self.TABLES, tables, strict=False))

    def _table(self, r: np.ndarray) -> pd.DataFrame:
        columns = self._columns
        lags = columns["lag"].unique()
        channels = columns.iloc[:: len(lags)]
        kinds = channels["channel_type"] if "channel_type" in channels else pd.Series(UNNAMED, index=channels.index)
        trained, tested = np.meshgrid(lags, lags, indexing="ij")
        what = {"subject": columns["subject"].iloc[0], "feature_space": self.settings.features}
        tables = []
        for kind in kinds.unique():
            of_kind = r[(kinds == kind).to_numpy()]
            scored = np.isfinite(of_kind).sum(axis=0)
            mean = np.where(scored > 0, np.nansum(of_kind, axis=0) / np.maximum(scored, 1), np.nan)
            places = {"channel_type": kind, "n_channels": len(of_kind), "trained": trained.ravel()}
            tables.append(pd.DataFrame({**what, **places, "tested": tested.ravel(), "score": mean.ravel()}))
        return pd.concat(tables, ignore_index=True)
