"""The penalty of every target: scan all, look again where two are too near to tell, and say how exact it was."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from brainalign.encode.engine.scan import Room, SplitFold, with_rounding
from brainalign.encode.engine.sources import read_standard

SPOT = 64  # targets on which the precision is measured
TOLERANCE = {"float64": 0.0, "float32": 1e-7, "mixed": 1e-6}
"""Relative error of predictions up to which penalties are combined from others, see `scan.combinations`."""
ORTHOGONAL = 1e-4  # relative error of predictions up to which they are combined once more for bfloat16
TIE = 1 / 16  # of the rounding of the type: penalties whose r2 differ by less tie
DOUBT = 6.0  # standard deviations of the measured error within which penalties are looked at again


class SpotCheck(NamedTuple):
    """How the precision that was used compares with float64, on targets spread over the whole.

    Parameters
    ----------
    n_targets : int
        Of the spot check, constant targets not counted.
    same_alpha : float
        Share for which float64 chooses the same penalty; nan where there are none.
    score_lost : float
        Largest loss of cross-validated r2 by choosing otherwise.
    score_error : float
        Root mean square error of the cross-validated r2 of all penalties.
    looked_at_again : float
        Share of all targets whose penalties were too near for the scan and were compared once more in float32.
    """

    n_targets: int
    same_alpha: float
    score_lost: float
    score_error: float
    looked_at_again: float


@dataclass(eq=False)
class Choice:
    """What a search over penalties found.

    Parameters
    ----------
    i_alpha : int array of shape (n_targets,)
    sse, sst : float64 arrays of shape (n_targets,)
        At that penalty, and of the mean of the training sets, summed over folds.
    mean, unit : float64 arrays of shape (n_targets,)
    constant : bool array of shape (n_targets,)
        As a whole or in the test sets of the folds.
    """

    i_alpha: np.ndarray
    sse: np.ndarray
    sst: np.ndarray
    mean: np.ndarray
    unit: np.ndarray
    constant: np.ndarray

    @classmethod
    def empty(cls, n_targets):
        """Give a choice to be filled in."""
        numbers = [np.zeros(n_targets) for _ in range(4)]
        return cls(np.zeros(n_targets, dtype=int), *numbers, np.zeros(n_targets, dtype=bool))

    @property
    def r2(self):
        """Cross-validated r2, (n_targets,); nan for a constant target."""
        return np.where(self.constant, np.nan, 1 - self.sse / np.where(self.constant, 1, self.sst))

    def take_over(self, other, where):
        """Take the penalties and errors of some targets from another choice, on the same targets and folds."""
        self.i_alpha[where], self.sse[where] = other.i_alpha[where], other.sse[where]


class Search:
    """Errors of penalties on all folds, in the precision that is asked for.

    Parameters
    ----------
    folds : iterable of scan.Fold or sums.SummedFold
        In float64; each is turned to the precision of the scan as it comes.
    Y : sources.Samples
    precision : compute.Precision
    device : torch.device
    vectors : float64 tensor of shape (n_samples, n_components), optional
        Where the folds share the components of all samples, `z = vectors' Y`.
    keep : callable(columns, Y, source), optional
        Is given the targets in standard units and those components, (n_targets, n_components), block by block.
    """

    def __init__(self, folds, Y, *, precision, device, keep=None, vectors=None):
        self.Y, self.precision, self.device, self.keep = Y, precision, device, keep
        self._vectors = None if vectors is None else vectors.to(precision.fit)
        self._room = Room()
        self._store(folds, vectors)

    def choose(self):
        """Scan all targets, and once more in float32 those whose best penalties the scan cannot tell apart.

        Returns
        -------
        choice : Choice
        spot_check : SpotCheck
        """
        n_targets = self.Y.shape[1]
        choice, unsure = Choice.empty(n_targets), np.zeros(n_targets, dtype=bool)
        self._error = self._error_of_scan()
        doubt = self._doubt()  # (n_alphas, n_alphas)
        for columns in self.Y.blocks():
            unsure[columns] = self._choose(choice, columns, self.precision.scan, doubt=doubt)
        again = np.flatnonzero(unsure & ~choice.constant)
        if len(again):
            for i_fold, fold in enumerate(self._folds):
                self._folds[i_fold] = fold.to(self.precision.fit)
            for columns in self.Y.blocks(again):
                self._choose(choice, columns, self.precision.fit)
        return choice, self._spot_check(choice, looked_at_again=len(again) / n_targets)

    def _store(self, folds, vectors):
        """Keep the folds in the precision of the scan, after the spot check's errors were taken in float64."""
        n_targets = self.Y.shape[1]
        self._spot = np.unique(np.linspace(0, n_targets - 1, min(SPOT, n_targets)).round().astype(int))
        Y, *_, self._spot_constant = self._read(self._spot, torch.float64)
        source = Y if vectors is None else Y @ vectors
        self._exact, self._folds = 0, []
        for fold in folds:
            self._exact = self._exact + sum(part.errors(Y, source)[0] for part in fold.parts()).T.cpu().numpy()
            self._folds.append(in_precision(fold, self.precision))

    def _choose(self, choice, columns, dtype, *, doubt=None):
        """Fill in the choice for a block of targets; True where another penalty cannot be told from the best."""
        Y, choice.mean[columns], choice.unit[columns], constant = self._read(columns, self.precision.fit)
        source = Y if self._vectors is None else Y @ self._vectors
        if self.keep is not None and dtype == self.precision.scan:
            self.keep(columns, Y, source)
        sse, sst = self._errors(Y, source, dtype)
        choice.constant[columns] = constant | self._still(sst)
        i_alpha = largest_of_the_best(sse, rounding=TIE * torch.finfo(self.precision.fit).eps * sst)
        choice.i_alpha[columns], choice.sst[columns] = i_alpha, sst
        choice.sse[columns] = np.take_along_axis(sse, i_alpha[None], axis=0)[0]
        if doubt is None:
            return np.zeros(len(sst), dtype=bool)
        near = sse <= choice.sse[columns] + doubt[:, i_alpha] * sst
        return near.sum(axis=0) > 1

    def _read(self, columns, dtype):
        return read_standard(self.Y, columns, dtype=dtype, device=self.device)

    def _errors(self, Y, source, dtype):
        """Sum errors over folds, (n_alphas, n_targets) and (n_targets,)."""
        sse, sst = 0, 0
        shared = dtype == torch.bfloat16 and self._vectors is not None
        source = with_rounding(source, self._folds[0].high.n_large) if shared else source.to(dtype)
        for fold in self._folds:
            of_fold = fold.to(dtype).errors(Y, source, room=self._room)
            sse, sst = sse + of_fold[0], sst + of_fold[1]
        return sse.T.cpu().numpy(), sst.cpu().numpy()

    def _doubt(self):
        """Give the errors of the scan in differences of r2 between penalties, of which some targets are the measure."""
        if self.precision.scan == self.precision.fit or self._error.size == 0:
            return None
        return DOUBT * np.sqrt(np.square(self._error[:, None] - self._error).mean(axis=2))

    def _error_of_scan(self):
        """Give r2 by the scan less that in float64 on the spot, (n_alphas, n_targets)."""
        Y, *_ = self._read(self._spot, self.precision.fit)
        source = Y if self._vectors is None else Y @ self._vectors
        sse, sst = self._errors(Y, source, self.precision.scan)
        self._spot_constant |= self._still(sst)
        varies = ~self._spot_constant
        return (sse - self._exact)[:, varies] / sst[varies]

    def _still(self, sst):
        """Tell which targets vary in no test set by more than rounding, though they do elsewhere."""
        return sst <= self.Y.shape[0] * (4 * torch.finfo(self.precision.fit).eps) ** 2

    def _spot_check(self, choice, *, looked_at_again):
        varies = ~self._spot_constant
        spot, exact = self._spot[varies], self._exact[:, varies]
        if len(spot) == 0:
            return SpotCheck(0, np.nan, np.nan, np.nan, looked_at_again)
        best = largest_of_the_best(exact, rounding=TIE * np.finfo(np.float64).eps * choice.sst[spot])
        chosen = np.take_along_axis(exact, choice.i_alpha[spot][None], axis=0)[0]
        lost = (chosen - exact.min(axis=0)) / choice.sst[spot]
        return SpotCheck(
            len(spot),
            float(np.mean(best == choice.i_alpha[spot])),
            float(lost.max()),
            float(np.sqrt(np.square(self._error).mean())),
            looked_at_again,
        )


def in_precision(fold, precision):
    """Give a fold in the type that is scanned in."""
    if precision.scan == torch.bfloat16:
        return SplitFold.of(fold.orthogonal(ORTHOGONAL).to(torch.float32))
    return fold.to(precision.scan)


def largest_of_the_best(sse, *, rounding):
    """Give the index of the largest penalty whose error is the smallest but for rounding.

    Parameters
    ----------
    sse : array of shape (n_alphas, n_targets)
        Penalties ascending.
    rounding : array of shape (n_targets,)
        Difference of errors that means nothing.

    Returns
    -------
    i_alpha : int array of shape (n_targets,)
    """
    ties = sse <= sse.min(axis=0) + rounding
    return len(sse) - 1 - np.argmax(ties[::-1], axis=0)
