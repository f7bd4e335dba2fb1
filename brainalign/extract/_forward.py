"""Windows of tokens through a model: all layers in one pass, pooled per event on the way."""

from collections.abc import Callable

import numpy as np
import torch

from brainalign.errors import BrainalignError
from brainalign.extract._tokens import Tokens
from brainalign.extract._windows import Window, batches_of


def pooled_hidden_states(
    model,
    tokens: list[Tokens],
    windows: list[Window],
    *,
    n_events: int,
    layers: tuple[int, ...],
    pooling: str,
    around: tuple[list[int], list[int]] = ((), ()),
    batch_size: int | str = 8,
) -> np.ndarray:
    """Give the hidden states of every event: of its last token, or the mean or sum over its tokens.

    Memory is the result and the hidden states of one batch.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode.
    tokens : list of Tokens
        The texts.
    windows : list of Window
        Every token of every text is kept by exactly one.
    n_events : int
        Length of the table of events.
    layers : tuple of int
        Indices into the model's `hidden_states`; none is negative.
    pooling : {"last", "mean", "sum"}
    around : pair of lists of int
        Special tokens that every window begins and ends with.
    batch_size : int or "auto"
        Windows per forward pass.

    Returns
    -------
    states : array of shape (n_layers, n_events, width)
        float32, whatever the model computes in. Events without tokens are 0.

    Raises
    ------
    BrainalignError
        The model returns another number of hidden states than its configuration says.
    """
    last_of_event = [np.diff(text.event, append=-1) != 0 for text in tokens]
    result = None
    with torch.inference_mode():
        for batch in batches_of(windows, batch_size, device=model.device.type):
            hidden = _hidden_states(model, [tokens[w.i_text].ids[w.start : w.stop] for w in batch], around)
            if result is None:
                result = torch.zeros(len(layers), n_events, hidden[0].shape[-1])
            kept = [_kept(w, last_of_event[w.i_text] if pooling == "last" else None) for w in batch]
            n_read = hidden[0].shape[1]
            flat = [i * n_read + len(around[0]) + k - w.start for i, (w, k) in enumerate(zip(batch, kept, strict=True))]
            flat = torch.from_numpy(np.concatenate(flat)).to(model.device)  # (n_kept,) of n_windows * n_read
            event = [tokens[w.i_text].event[k] for w, k in zip(batch, kept, strict=True)]
            event = torch.from_numpy(np.concatenate(event))
            for i_layer, layer in enumerate(layers):
                states = hidden[layer].flatten(0, 1).index_select(0, flat)  # (n_kept, width)
                result[i_layer].index_add_(0, event, states.float().cpu())
            del hidden  # else two batches are in memory at once
    if pooling == "mean":
        n_tokens = np.bincount(np.concatenate([text.event for text in tokens]), minlength=n_events)
        return result.numpy() / np.maximum(n_tokens, 1).astype(np.float32)[:, None]
    return result.numpy()


def _kept(window: Window, wanted: np.ndarray | None) -> np.ndarray:
    kept = np.arange(window.first, window.last)
    return kept if wanted is None else kept[wanted[kept]]


def _hidden_states(model, pieces: list[np.ndarray], around) -> tuple[torch.Tensor, ...]:
    """Run one batch, padded on the right so that tokens keep their positions: n_layers x (n_windows, n_read, width)."""
    begin, end = (np.asarray(ids, dtype=np.int64) for ids in around)
    sequences = [np.concatenate([begin, piece, end]) for piece in pieces]
    lengths = np.array([len(sequence) for sequence in sequences])
    padding = model.config.pad_token_id
    in_vocabulary = isinstance(padding, int) and 0 <= padding < model.config.vocab_size
    ids = np.full((len(sequences), lengths.max()), padding if in_vocabulary else 0, dtype=np.int64)
    for i_row, sequence in enumerate(sequences):
        ids[i_row, : len(sequence)] = sequence
    mask = None
    if lengths.min() < lengths.max():
        mask = torch.from_numpy((np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)).to(model.device)
    ids = torch.from_numpy(ids).to(model.device)
    hidden = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    if len(hidden) != model.config.num_hidden_layers + 1:
        raise BrainalignError(
            f"the model returns {len(hidden)} hidden states, its configuration says"
            f" {model.config.num_hidden_layers} blocks"
        )
    return hidden


def require_finite(states: np.ndarray, *, layers: tuple[int, ...], name_of: Callable[[int], str]) -> None:
    """Refuse infinite and missing values.

    Parameters
    ----------
    states : array of shape (n_layers, n_events, width)
    layers : tuple of int
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
