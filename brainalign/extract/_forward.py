"""Windows of tokens through a model: all layers in one pass, pooled per event on the way, batch by batch."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from brainalign.errors import BrainalignError
from brainalign.extract import _parts
from brainalign.extract._layers import Layer, run_layers
from brainalign.extract._model import inference
from brainalign.extract._tokens import Tokens
from brainalign.extract._windows import Window, batches_of


class _Batch(NamedTuple):
    """Windows that are read at once, and the rows they give: sums over tokens of an event.

    Parameters
    ----------
    ids : array of int of shape (n_windows, n_read)
        With special tokens.
    tokens : array of int of shape (n_kept,)
        Places of tokens among all that are read, n_windows * n_read.
    row : array of int of shape (n_kept,)
        The row that each is added to.
    event : array of int of shape (n_rows,)
    """

    ids: np.ndarray
    tokens: np.ndarray
    row: np.ndarray
    event: np.ndarray


def pooled_states(
    model,
    tokens: list[Tokens],
    windows: list[Window],
    *,
    n_events: int,
    layers: tuple[Layer, ...],
    pooling: str,
    name_of: Callable[[int], str],
    around: tuple[list[int], list[int]] = ((), ()),
    batch_size: int | str = 8,
    scratch: Path | None = None,
) -> dict[str, np.ndarray]:
    """Give the values of every event: of its last token, or the mean or sum over its tokens.

    Memory is the result, one more layer of it, and the hidden states of one batch.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode.
    tokens : list of Tokens
        The texts; tokens whose event is below 0 are read, but not kept.
    windows : list of Window
        Every token of every text is kept by exactly one.
    n_events : int
        Length of the table of events.
    layers : tuple of Layer
    pooling : {"last", "mean", "sum"}
    name_of : callable
        Gives what to call the event at a position.
    around : pair of lists of int
        Special tokens that every window begins and ends with.
    batch_size : int or "auto"
        Windows per forward pass.
    scratch : Path, optional
        A folder for this very extraction: batches that an interrupted call finished are not computed again.

    Returns
    -------
    states : dict of str to array of shape (n_events, width)
        By the layer's name; float32, whatever the model computes in. Events without tokens are 0.

    Raises
    ------
    BrainalignError
        The model returns another number of hidden states than its configuration says, a value is not finite (its layer
        and the first such event are named).
    """
    batches = _batches(tokens, windows, pooling=pooling, around=around, batch_size=batch_size, device=model.device.type)
    stops = np.cumsum([len(batch.event) for batch in batches]).tolist()
    parts = [
        _parts.Part(stop - len(batch.event), stop, batch, f"batch {i}")
        for i, (stop, batch) in enumerate(zip(stops, batches, strict=True))
    ]

    def compute(batch: _Batch) -> dict[str, np.ndarray]:
        sums = _sums(model, batch, layers)
        order = np.argsort(batch.event, kind="stable")
        for name, values in sums.items():
            require_finite(values[None, order], layers=(name,), name_of=lambda i: name_of(int(batch.event[order[i]])))
        return sums

    rows = _parts.fill(parts, compute, n_rows=stops[-1], scratch=scratch)
    event = np.concatenate([batch.event for batch in batches])
    pooled = {layer.name: _per_event(rows.pop(layer.name), event, n_events) for layer in layers}
    if pooling == "mean":
        kept = np.concatenate([text.event[text.event >= 0] for text in tokens])
        n_tokens = np.maximum(np.bincount(kept, minlength=n_events), 1).astype(np.float32)[:, None]
        return {name: values / n_tokens for name, values in pooled.items()}
    return pooled


def _per_event(rows: np.ndarray, event: np.ndarray, n_events: int) -> np.ndarray:
    """Add up the rows of each event, in their order: (n_rows, width) to (n_events, width)."""
    rows = torch.from_numpy(np.asarray(rows))
    return torch.zeros(n_events, rows.shape[1]).index_add_(0, torch.from_numpy(event), rows).numpy()


def _batches(tokens, windows, *, pooling: str, around, batch_size: int | str, device: str) -> list[_Batch]:
    counted = [_counted(text.event, pooling) for text in tokens]
    return [_batch_of(batch, tokens, counted, around) for batch in batches_of(windows, batch_size, device=device)]


def _counted(event: np.ndarray, pooling: str) -> tuple[np.ndarray, np.ndarray]:
    """Tell which tokens of a text are pooled, and which begin a row, both of shape (n_tokens,)."""
    begins = np.diff(event, prepend=-2) != 0
    if pooling == "last":
        return np.append(begins[1:], True) & (event >= 0), np.ones(len(event), dtype=bool)
    return event >= 0, begins


def _batch_of(windows: list[Window], tokens: list[Tokens], counted, around) -> _Batch:
    begin, end = (np.asarray(special, dtype=np.int64) for special in around)
    ids = np.stack([np.concatenate([begin, tokens[w.i_text].ids[w.start : w.stop], end]) for w in windows])
    places, begins, events = [], [], []
    for i, w in enumerate(windows):
        event, (pooled, first_of_row) = tokens[w.i_text].event, counted[w.i_text]
        kept = w.first + np.flatnonzero(pooled[w.first : w.last])
        begins_row = first_of_row[kept]
        if not first_of_row[w.first]:  # an event goes on from another window: token by token, for sums in their order
            begins_row |= event[kept] == event[w.first]
        places.append(i * ids.shape[1] + len(begin) + kept - w.start)
        begins.append(begins_row)
        events.append(event[kept[begins_row]])
    row = np.cumsum(np.concatenate(begins)) - 1
    return _Batch(ids, np.concatenate(places), row, np.concatenate(events))


def _sums(model, batch: _Batch, layers: tuple[Layer, ...]) -> dict[str, np.ndarray]:
    """Read a batch and add up its tokens: layer name to (n_rows, width)."""
    tokens = torch.from_numpy(batch.tokens).to(model.device)
    row = torch.from_numpy(batch.row)

    def add_up(states: torch.Tensor) -> np.ndarray:
        kept = states.index_select(0, tokens).float().cpu()  # (n_kept, width)
        return torch.zeros(len(batch.event), kept.shape[1]).index_add_(0, row, kept).numpy()

    with inference():
        return run_layers(model, layers, keep=add_up, input_ids=torch.from_numpy(batch.ids).to(model.device))


def require_finite(states: np.ndarray, *, layers: tuple[int | str, ...], name_of: Callable[[int], str]) -> None:
    """Refuse infinite and missing values.

    Parameters
    ----------
    states : array of shape (n_layers, n_events, width)
    layers : tuple of int or str
    name_of : callable
        Gives what to call the event at a position.

    Raises
    ------
    BrainalignError
        Names the first layer and event that has one.
    """
    for layer, of_layer in zip(layers, states, strict=True):
        bad = np.flatnonzero(~np.isfinite(of_layer).all(axis=1))
        if len(bad):
            raise BrainalignError(
                f"layer {layer}: the activations of {len(bad)} events are not finite, the first is"
                f" {name_of(int(bad[0]))}"
            )
