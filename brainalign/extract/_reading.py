"""How a language model reads a table of events: its layers, tokenizer and windows; everything that needs no weights."""

import numpy as np
import pandas as pd

from brainalign.errors import BrainalignError
from brainalign.extract._contexts import texts_in_context
from brainalign.extract._hub import resolve_model
from brainalign.extract._layers import layers_of, names_of_layers
from brainalign.extract._model import (
    context_length,
    load_config,
    load_tokenizer,
    n_hidden_states,
    reads_both_ways,
    require_vocabulary,
    special_tokens,
)
from brainalign.extract._tokens import Text, Tokens, tokenize
from brainalign.extract._windows import Window, windows_of_texts

TEXTS_AT_ONCE = 512  # given to the tokenizer, whose answer is large


class Reading:
    """A model's configuration, layers and tokenizer, and how they read a table of events.

    Parameters
    ----------
    config : brainalign.extract.text.Config

    Raises
    ------
    MissingData
        The model is not on this machine.
    UnknownName
        A module that it does not have.
    BrainalignError
        It cannot be read, a layer that it does not have, a context that does not fit.
    """

    def __init__(self, config):
        self.config = config
        self.files = resolve_model(config.model, revision=config.revision)
        n_hidden = n_hidden_states(self.files.folder)
        names = names_of_layers(config.layers, n_hidden=n_hidden, model=config.model)
        self.model_config = load_config(self.files.folder)
        self.tokenizer = load_tokenizer(self.files.folder)
        self.both_ways = reads_both_ways(self.model_config)
        self.layers = layers_of(names, self.model_config, both_ways=self.both_ways)
        self.around = special_tokens(self.tokenizer, both_ways=self.both_ways, prepend_bos=config.prepend_bos)
        self.window = window_of(config, context_length(self.model_config, self.tokenizer))
        n_around = sum(map(len, self.around))
        self.size = self.window - n_around
        needed = config.min_context * (2 if self.both_ways else 1)
        if self.size <= needed:
            raise BrainalignError(
                f"min_context {config.min_context}{' on both sides' if self.both_ways else ''} leaves no token to keep"
                f" in a window of {self.window} tokens, {n_around} of them special; it must be at most"
                f" {(self.size - 1) // (2 if self.both_ways else 1)}"
            )

    def read(self, events: pd.DataFrame) -> tuple[list[Tokens], list[Window]]:
        """Turn events into tokens and windows."""
        config = self.config
        texts = texts_in_context(
            events,
            context=config.context,
            k_words=config.k_words,
            seed=config.seed,
            attach_clitics=config.attach_clitics,
        )
        tokens = [
            of_text
            for first in range(0, len(texts), TEXTS_AT_ONCE)
            for of_text in tokenize(
                texts[first : first + TEXTS_AT_ONCE], self.tokenizer, attach_clitics=config.attach_clitics
            )
        ]
        special = np.array([*self.around[0], *self.around[1]], dtype=np.int64)
        ids = np.concatenate([special, *(text.ids for text in tokens)])
        require_vocabulary(ids, tokenizer=self.tokenizer, model_config=self.model_config, folder=self.files.folder)
        if config.context == "last_k_words":
            self._require_room(texts, tokens)
        windows = windows_of_texts(
            [len(text.ids) for text in tokens],
            size=self.size,
            before=config.min_context,
            after=config.min_context if self.both_ways else 0,
        )
        return tokens, windows

    def _require_room(self, texts: list[Text], tokens: list[Tokens]) -> None:
        lengths = [len(text.ids) for text in tokens]
        longest = texts[int(np.argmax(lengths))]
        if max(lengths) > self.size:
            raise BrainalignError(
                f"k_words {self.config.k_words}: {longest.units[-1]!r} (run {longest.run!r}, event"
                f" {longest.events[-1]}) and the words before it are {max(lengths)} tokens, the model reads"
                f" {self.size} at once; take fewer words"
            )


def window_of(config, limit: int | None) -> int:
    if config.window is None and limit is None:
        raise BrainalignError(f"the model {config.model!r} states no context length: set window")
    if config.window is not None and limit is not None and config.window > limit:
        raise BrainalignError(
            f"window {config.window}: the model {config.model!r} reads at most {limit} tokens at once"
        )
    return config.window or limit
