"""Probabilities of tokens in their texts by a language model's own head, and which tokens can begin a word."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from brainalign.errors import BrainalignError
from brainalign.extract._model import inference

NO_TOKEN = -1  # stands in the slot after a text

# what can stand in a slot
INSIDE = 0  # no word begins here
ANY = 1  # any token
SPACED = 2  # a token that begins with white space, or ends the text
UNSPACED = 3  # a token that does not begin with white space: first word of a text, no space before it

TOKEN, BORDER, ENTROPY, RANK = range(4)  # columns of `probabilities`

BYTE_LEVEL, SENTENCE_PIECE = "Ġ", "▁"  # how tokens write a space
SPACES = {
    BYTE_LEVEL: ("Ġ", "ĉ", "Ċ", "ċ", "Č", "č"),  # space, tab, line feed, vertical tab, form feed, carriage return
    SENTENCE_PIECE: ("▁", "<0x20>", "<0x09>", "<0x0A>", "<0x0B>", "<0x0C>", "<0x0D>"),
}
N_LOGITS = 2**21  # numbers in a block of logits, 8 MiB: it is gone through several times


class Passage(NamedTuple):
    """A sequence that a model reads, and slots in it whose probabilities are wanted.

    Parameters
    ----------
    ids : array of int of shape (n_read,)
        With special tokens.
    at : array of int of shape (n_slots,)
        The position whose output tells what stands in the slot.
    token : array of int of shape (n_slots,)
        What stands there, `NO_TOKEN` after the end of a text.
    border : array of int of shape (n_slots,)
        `INSIDE, ANY, SPACED` or `UNSPACED`.
    """

    ids: np.ndarray
    at: np.ndarray
    token: np.ndarray
    border: np.ndarray


def begins_word(tokenizer, n_vocabulary: int) -> np.ndarray:
    """Tell which tokens begin with white space, the mark of a new word in byte-level BPE and SentencePiece.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerFast
    n_vocabulary : int
        Of the model; it may have room for more tokens than the tokenizer knows, or for fewer, or leave numbers out.

    Returns
    -------
    begins : array of bool of shape (n_vocabulary,)
        Only the white space of ASCII counts.

    Raises
    ------
    BrainalignError
        No token has such a mark.
    """
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(range(n_vocabulary))]
    counts = {mark: sum(token.startswith(mark) for token in tokens) for mark in SPACES}
    mark = max(counts, key=counts.get)
    if not counts[mark]:
        raise BrainalignError(
            f"no token of {tokenizer.name_or_path} ({type(tokenizer).__name__}) begins with {' or '.join(SPACES)}: it"
            " does not mark where words begin, so the probability of a word cannot be told for a causal model with it"
        )
    return np.array([token.startswith(SPACES[mark]) or token[:1].isspace() for token in tokens])


def sets_of_tokens(begins: np.ndarray, ends: list[int]) -> dict[int, np.ndarray]:
    """Give for every kind of border the tokens that can stand there, each of shape (n_vocabulary,).

    Parameters
    ----------
    begins : array of bool of shape (n_vocabulary,)
        From `begins_word`; empty for masked models, which only have `ANY`.
    ends : list of int
        The tokens between texts.
    """
    end = np.zeros_like(begins)
    end[ends] = True
    return {SPACED: begins | end, UNSPACED: ~begins}


def compute_in(model, *, device: str, dtype: str):
    """Move a model to where and how it computes; its projection to the vocabulary stays in float32.

    In bfloat16 logits near 32 would be rounded to steps of 1/4.
    """
    projection = _projection(model)
    if dtype == "float32":
        return model.to(device)
    projection = copy.deepcopy(projection).to(device)  # a copy, because most models share it with their embeddings
    model = model.to(device=device, dtype=getattr(torch, dtype))
    model.set_output_embeddings(projection)
    return model


def _projection(model) -> torch.nn.Module:
    projection = model.get_output_embeddings()
    if projection is None:
        raise BrainalignError(f"{type(model).__name__} has no projection to a vocabulary: it gives no probabilities")
    return projection


def probabilities(model, passages: list[Passage], sets: dict[int, np.ndarray]) -> np.ndarray:
    """Give what a model says of slots: one forward pass, logits only for the slots, a block of them at a time.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With its head, in evaluation mode.
    passages : list of Passage
        Of one length.
    sets : dict of int to array of bool of shape (n_vocabulary,)
        The tokens that can stand at a border, by its kind; `ANY` needs no entry.

    Returns
    -------
    table : array of shape (n_slots, 4)
        Slots of all passages in order. Columns: `TOKEN`, ln p of the token that stands there, 0 where none does;
        `BORDER`, ln of the probability that one of the set stands there, 0 for `INSIDE` and `ANY`; `ENTROPY` in bits
        and `RANK` (1 = the most probable, those of equal probability share the best) of the distribution over the set,
        0 for `INSIDE`.

    Raises
    ------
    BrainalignError
        The model does not pass its hidden states through a projection to the vocabulary.
    """
    members = {kind: torch.from_numpy(np.flatnonzero(allowed)).to(model.device) for kind, allowed in sets.items()}
    with inference():
        hidden = _before_projection(model, [passage.ids for passage in passages])  # (n_passages, n_read, width)
        n_read = hidden.shape[1]
        flat = np.concatenate([i * n_read + passage.at for i, passage in enumerate(passages)])
        rows = hidden.flatten(0, 1).index_select(0, torch.from_numpy(flat).to(model.device))  # (n_slots, width)
        del hidden
        token = torch.from_numpy(np.concatenate([passage.token for passage in passages])).to(model.device)
        border = torch.from_numpy(np.concatenate([passage.border for passage in passages])).to(model.device)
        n_rows = max(1, N_LOGITS // model.config.vocab_size)
        blocks = zip(rows.split(n_rows), token.split(n_rows), border.split(n_rows), strict=True)
        return torch.cat([_table(_logits(model, r), t, b, members) for r, t, b in blocks]).cpu().numpy()


def _before_projection(model, sequences: list[np.ndarray]) -> torch.Tensor:
    """Read sequences of one length up to the projection to the vocabulary: (n_sequences, n_read, width)."""
    ids = torch.from_numpy(np.stack(sequences)).to(model.device)
    seen = []

    def keep(projection, inputs):
        seen.append(inputs[0])
        return (inputs[0][:1, :1].to(projection.weight.dtype),)

    with _hook(model, keep):
        model(input_ids=ids)
    if not seen or seen[0].shape[:2] != ids.shape:
        raise BrainalignError(
            f"{type(model).__name__} does not pass the states of all its tokens through"
            f" {type(_projection(model)).__name__}: its probabilities cannot be read"
        )
    return seen[0]


def _logits(model, rows: torch.Tensor) -> torch.Tensor:
    """Continue from what `_before_projection` gave: (n_rows, width) to (n_rows, n_vocabulary), float32.

    The model's own code does it (some scale or cap their logits): it reads one token, and the states of that token are
    replaced by `rows` on their way into the projection.
    """

    def give(projection, _):
        return (rows[None].to(projection.weight.dtype),)

    with _hook(model, give):
        one = torch.zeros(1, 1, dtype=torch.long, device=model.device)
        return model(input_ids=one, attention_mask=torch.ones_like(one)).logits[0].float()


@contextmanager
def _hook(model, function) -> Iterator[None]:
    handle = _projection(model).register_forward_pre_hook(function)
    try:
        yield
    finally:
        handle.remove()


def _table(logits: torch.Tensor, token: torch.Tensor, border: torch.Tensor, members: dict) -> torch.Tensor:
    """Fill the columns of `probabilities` from logits (n_rows, n_vocabulary); `members` are ids, by kind of border."""
    total = logits.logsumexp(dim=-1)  # (n_rows,)
    own = logits.gather(1, token.clamp(min=0)[:, None])[:, 0]
    here = token != NO_TOKEN
    table = logits.new_zeros(len(logits), 4)
    table[here, TOKEN] = (own - total)[here]
    for kind in (ANY, SPACED, UNSPACED):
        at = torch.nonzero(border == kind)[:, 0]
        if not len(at):
            continue
        within = logits.index_select(0, at)  # (n_at, n_vocabulary)
        if kind in members:
            within = within.index_select(1, members[kind])
            table[at, BORDER] = within.logsumexp(dim=-1) - total[at]
        p = (within - (total + table[:, BORDER])[at, None]).exp()
        table[at, ENTROPY] = torch.special.entr(p).sum(dim=-1) / np.log(2)
        table[at, RANK] = 1.0 + (within > own[at, None]).sum(dim=-1)
    table[~here, RANK] = 0.0
    return table
