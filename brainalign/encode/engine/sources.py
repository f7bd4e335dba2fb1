"""Features and responses wherever they lie: arrays, tensors, memory maps, lists and iterators of runs."""

import mmap
import tempfile
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from scipy.sparse import issparse

from brainalign.encode.metrics import power_of_two
from brainalign.errors import BrainalignError, Misaligned

WIDTH = 2048
"""Targets that are computed side by side: their predictions for all penalties stay in the processor's cache."""

CHUNK = 64  # samples that are transposed at once: six times faster than all


class Samples:
    """A matrix of samples by columns that is read in blocks of columns and never copied whole.

    Parameters
    ----------
    values : array, memory map or tensor of shape (n_samples, n_columns), or a list or iterator of those, one per run
        An iterator is written through to a temporary file, run by run.
    name : str
        For errors: "Y".
    column : str
        What a column is, for errors: "target".

    Attributes
    ----------
    shape : (n_samples, n_columns)
    runs : tuple of tensor
        In the type they were given in; memory maps stay on disk.
    run : int array of shape (n_samples,), or None
        The run of each sample, if runs were given.
    one_column : bool
        The values had one dimension.
    """

    def __init__(self, values, *, name, column):
        self.name, self.column = name, column
        self._maps = []
        given_as_runs = _is_runs(values)
        self.runs = tuple(_spooled(values) if _is_iterator(values) else values) if given_as_runs else (values,)
        self.runs = tuple(self._tensor(run) for run in self.runs)
        if len({run.ndim for run in self.runs}) != 1:
            raise Misaligned(f"the runs of {name} must be (n_samples, n_{column}s) each, got {_shapes(self.runs)}")
        self.one_column = self.runs[0].ndim == 1
        if self.one_column:
            self.runs = tuple(run[:, None] for run in self.runs)
        widths = {run.shape[1] for run in self.runs}
        if len(widths) > 1:
            raise Misaligned(f"the runs of {name} differ in their number of {column}s: {sorted(widths)}")
        self.shape = (sum(len(run) for run in self.runs), widths.pop())
        self.run = np.repeat(np.arange(len(self.runs)), [len(r) for r in self.runs]) if given_as_runs else None

    @property
    def dtype(self):
        """The torch type that holds the values of all runs."""
        dtype = self.runs[0].dtype
        for run in self.runs[1:]:
            dtype = torch.promote_types(dtype, run.dtype)
        return dtype

    def read(self, columns, *, dtype=None, device="cpu"):
        """Copy columns, side by side in memory.

        Parameters
        ----------
        columns : slice or int array
        dtype : torch.dtype, optional
            By default that of the values; float64 for whole numbers.

        Returns
        -------
        block : tensor of shape (n_read, n_samples), of `dtype` on `device`

        Raises
        ------
        BrainalignError
            NaN or infinity, naming the first sample and column.
        """
        n_read = len(range(*columns.indices(self.shape[1]))) if isinstance(columns, slice) else len(columns)
        block = torch.empty(n_read, self.shape[0], dtype=dtype or _real(self.dtype), device=device)
        start = 0
        for run in self.runs:
            for rows in run.split(CHUNK):
                block[:, start : start + len(rows)] = rows[:, columns].T
                start += len(rows)
                self.release()
        self._check(block.T, columns)
        return block

    def whole(self, *, dtype=None, device="cpu"):
        """Give all columns as one tensor, whole numbers in float64; no copy is made where none is needed."""
        values = torch.cat(self.runs) if len(self.runs) > 1 else self.runs[0]
        values = values.to(device=device, dtype=dtype or _real(values.dtype))
        self._check(values, slice(None))
        return values

    def blocks(self, columns=None, *, width=WIDTH):
        """Give slices of columns, or parts of an array of columns, of nearly equal width."""
        n = self.shape[1] if columns is None else len(columns)
        if n == 0:
            return []
        even = -(-n // -(-n // width))
        pieces = [slice(start, min(start + even, n)) for start in range(0, n, even)]
        return pieces if columns is None else [columns[piece] for piece in pieces]

    def release(self):
        """Let go of the pages of memory maps that were read."""
        for mapped in self._maps:
            mapped.madvise(mmap.MADV_DONTNEED)

    def _tensor(self, values):
        if not isinstance(values, torch.Tensor):
            self._maps.extend(_shared_maps(values))
            values = _numbers(values)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
                values = torch.from_numpy(values)
        if values.is_complex():
            raise BrainalignError(
                f"Complex data not supported: {self.name} is {values.dtype}, take the real part or the magnitude before"
            )
        if values.ndim not in (1, 2):
            raise Misaligned(f"{self.name} must be (n_samples, n_{self.column}s), got {tuple(values.shape)}")
        return values.detach()

    def _check(self, block, columns):
        if torch.isfinite(block.sum()):
            return
        bad = torch.nonzero(~torch.isfinite(block))
        if len(bad) == 0:
            return
        i, j = bad[0].tolist()
        named = np.arange(self.shape[1])[columns][j]
        raise BrainalignError(
            f"{self.name} is {block[i, j].item()} at sample {i}, {self.column} {named} ({len(bad)} values near it "
            f"are NaN or infinity): leave out the {self.column} or the sample, or mend it before"
        )


def read_standard(targets, columns, *, dtype, device):
    """Read targets, bring them to their standard units in the type they are given in, and only then to another.

    Parameters
    ----------
    targets : Samples
    columns : slice or int array
    dtype : torch.dtype
    device : torch.device

    Returns
    -------
    block, mean, unit, constant : as of `standard_unit`
    """
    block, mean, unit, constant = standard_unit(targets.read(columns, device=device))
    return block.to(dtype), mean, unit, constant


def standard_unit(block):
    """Centre responses and divide them by a power of two, so that no unit is too small or too large to compute in.

    Parameters
    ----------
    block : tensor of shape (n_targets, n_samples)
        Changed in place.

    Returns
    -------
    block : tensor of shape (n_targets, n_samples)
        Of mean 0 and sizes below 1; 0 for a constant target.
    mean, unit : float64 arrays of shape (n_targets,)
        `values = block * unit + mean`.
    constant : bool array of shape (n_targets,)
        Targets that vary by no more than the rounding of their type, relative to their size.
    """
    low, high = torch.aminmax(block, dim=1)
    size = torch.maximum(low.abs(), high.abs())
    constant = high / 2 - low / 2 <= 2 * torch.finfo(block.dtype).eps * size
    of_size = _scale(block, size)
    mean = block.mean(dim=1)
    block -= mean[:, None]
    low, high = torch.aminmax(block, dim=1)
    of_spread = _scale(block, torch.maximum(-low, high))
    block[constant] = 0
    return block, mean.double().cpu().numpy() * of_size, of_size * of_spread, constant.cpu().numpy()


def _scale(block, size):
    """Divide rows by the power of two above their size, in place; give it, a float64 array."""
    largest = 126 if block.dtype == torch.float32 else 1000
    unit = np.clip(power_of_two(size.double().cpu().numpy()), 2.0**-largest, 2.0**largest)
    block *= torch.as_tensor(1 / unit, dtype=block.dtype, device=block.device)[:, None]
    return unit


def _real(dtype):
    return dtype if dtype in (torch.float32, torch.float64) else torch.float64


def _shapes(runs):
    return [tuple(run.shape) for run in runs]


def _is_iterator(values):
    return isinstance(values, Iterable) and not hasattr(values, "__len__")


def _is_runs(values):
    if isinstance(values, list | tuple):
        return len(values) > 0 and all(getattr(run, "ndim", 0) > 0 for run in values)
    return _is_iterator(values) and not hasattr(values, "__array__")


def _spooled(runs):
    """Write runs to one temporary file each, which is gone when its memory map is."""
    for run in runs:
        values = run.detach().cpu().numpy() if isinstance(run, torch.Tensor) else _numbers(run)
        if values.size == 0:
            yield values
            continue
        with tempfile.TemporaryFile() as file:
            file.write(np.ascontiguousarray(values).data)
            file.flush()
            yield np.memmap(file, dtype=values.dtype, mode="r", shape=values.shape)


def _numbers(values):
    if issparse(values):
        raise BrainalignError("sparse input is not supported: give X.toarray()")
    values = values if isinstance(values, np.ndarray) else np.asarray(values)
    if values.dtype.kind == "O":
        values = values.astype(np.float64)
    if values.dtype.kind not in "fiubc":
        raise BrainalignError(f"values must be numbers, got {values.dtype}")
    kinds = (np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8, np.bool_)
    if values.dtype.kind != "c" and values.dtype not in kinds:  # other byte orders and sizes
        values = values.astype(np.float32 if values.dtype.newbyteorder("=") == np.float32 else np.float64)
    return values if all(stride >= 0 for stride in values.strides) else values.copy()


def _shared_maps(values):
    """Give the memory maps below an array whose pages may be let go: files that are not copied on write."""
    on_file = False
    while isinstance(values, np.ndarray):
        on_file = on_file or (isinstance(values, np.memmap) and values.mode in ("r", "r+"))
        values = values.base
    return [values] if on_file and isinstance(values, mmap.mmap) else []
