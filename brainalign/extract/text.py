"""Hidden states of language models for words or sentences, any causal or masked model of HuggingFace.

**Text.** The words of a run are joined by spaces (clitics that a forced alignment split off are attached again) and
read as one text; nothing crosses a run. Events with a column `sentence` and no `word` are each a text of their own. A
token belongs to the event that holds its first character that is not a space.

**Layers.** Layer k is `hidden_states[k]` as HuggingFace returns it: 0 the embeddings, k the output of block k. The last
one has passed the model's final norm where it has one (GPT-2 does), the others have not.

**Context.** A run longer than the model's context is read in windows that overlap, so that every token has at least
`min_context` tokens to its left where the run has them; the number varies between that and the window's length.
Causal models get no special token unless `prepend_bos`, and then at the start of every window. Masked models (BERT)
read a window in both directions, so **their activations know words that come later**; every window gets its special
tokens ([CLS], [SEP]), and every token at least `min_context` tokens on both sides where the run has them.

**Models.** "shipped" is the GPT-2 in this package; a folder is read as it is; a hub id is looked up in the HuggingFace
cache and never downloaded here (`brainalign fetch MODEL` does that). Only safetensors are read, only transformers' own
code is run.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Activations, sha256_of
from brainalign.errors import BrainalignError
from brainalign.extract._hub import COMMIT, resolve_model, tokenizer_files, weight_files
from brainalign.extract._tokens import Tokens, event_problems, stimulus_column, texts_of, tokenize
from brainalign.extract._windows import Window, windows_of_texts


class Config(BaseModel):
    """Which model, which of its layers, and how text is put before it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(
        default="shipped", description="the packaged model, a local folder, or a hub id that was fetched"
    )
    revision: str = Field(
        default="",
        description="commit of a hub id, 40 hexadecimal digits; empty takes the one in the cache and warns",
    )
    layers: Literal["all"] | tuple[int, ...] = Field(
        default="all", description="0 = embeddings, k = output of block k, -1 = the last; or all"
    )
    pooling: Literal["last", "mean", "sum"] = Field(default="last", description="over the tokens of a word or sentence")
    min_context: int = Field(
        default=64, ge=0, description="tokens to the left that every token is given where the run has them"
    )
    window: int | None = Field(default=None, ge=2, description="tokens read at once; none = the model's context length")
    prepend_bos: bool = Field(
        default=False, description="begin every window with the beginning-of-text token (causal models)"
    )
    attach_clitics: bool = Field(default=True, description="write 'do' + 'n't' as don't, as forced alignments split it")
    weights: tuple[Literal["trained", "untrained"], ...] = Field(
        default=("trained",), min_length=1, description="untrained = same configuration, fresh weights"
    )
    seed: int = Field(default=0, ge=0, description="of the untrained weights")
    batch_size: int | Literal["auto"] = Field(default=8, description="windows per forward pass; auto = by their length")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the computation; float32 is stored"
    )
    device: str = Field(default="cpu", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda, cuda:1, or auto")

    @field_validator("revision")
    @classmethod
    def _revision_is_a_commit(cls, revision: str) -> str:
        if revision and not COMMIT.fullmatch(revision):
            raise ValueError("must be a full commit (40 hexadecimal digits): branches and tags move")
        return revision

    @field_validator("layers")
    @classmethod
    def _some_layer(cls, layers):
        if not layers:
            raise ValueError("must name at least one layer, or 'all'")
        return layers

    @field_validator("batch_size")
    @classmethod
    def _batch_of_some(cls, batch_size):
        if batch_size != "auto" and batch_size < 1:
            raise ValueError("must be at least 1, or 'auto'")
        return batch_size


def layer_names(config: Config) -> tuple[str, ...]:
    """Give the names of the layers that `extract` returns, in order, from the model's `config.json` alone.

    Raises
    ------
    MissingData
        The model is not on this machine.
    BrainalignError
        A layer that the model does not have.
    """
    return tuple(str(layer) for layer in _layers(config, resolve_model(config.model, revision=config.revision).folder))


def _layers(config: Config, folder) -> tuple[int, ...]:
    from brainalign.extract._model import n_hidden_states

    n = n_hidden_states(folder)
    if config.layers == "all":
        return tuple(range(n))
    wrong = [layer for layer in config.layers if not -n <= layer < n]
    if wrong:
        raise BrainalignError(
            f"layers {wrong}: the model {config.model!r} has layers 0 (embeddings) to {n - 1}, or -{n} to -1"
        )
    return tuple(sorted({layer % n for layer in config.layers}))


def settings(config: Config) -> dict[str, Any]:
    """Give the settings that decide the activations: a local model by its name, not its place, and no `batch_size`.

    What stood in that place is in `fingerprint`.
    """
    recorded = config.model_dump(mode="json", exclude={"batch_size"})
    return recorded | {"model": Path(config.model).name if Path(config.model).is_dir() else config.model}


def fingerprint(config: Config, *, weights: Literal["trained", "untrained"] = "trained") -> dict[str, str]:
    """Give what decides the activations besides `Config` and the events: sha256 of the model's files.

    The untrained twin does not depend on the trained weights, but on how transformers and torch draw fresh ones: their
    versions stand in for the weight files.

    Raises
    ------
    MissingData
        The model is not on this machine.
    """
    folder = resolve_model(config.model, revision=config.revision).folder
    paths = [folder / "config.json", *tokenizer_files(folder)]
    if weights == "trained":
        return {path.name: sha256_of(path) for path in [*paths, *weight_files(folder)]}
    return {path.name: sha256_of(path) for path in paths} | _versions()


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers")}


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`, without running the model; empty when nothing would."""
    from brainalign.extract._model import n_parameters

    problems = event_problems(events)
    try:
        _device(config)
        reading = _Reading(config)
        n_parameters(reading.files.folder)  # reads the headers of the weights, which a cut file does not survive
        if not problems:
            reading.read(events)
    except BrainalignError as error:
        problems.append(str(error))
    return problems


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will do for one kind of weights.

    Returns
    -------
    counts : dict
        `n_events, n_texts, n_tokens, n_windows, n_tokens_read` (overlaps and special tokens counted), `n_layers, width,
        n_parameters, bytes_weights` (float32, in memory) and `bytes_result`.

    Raises
    ------
    BrainalignError
        As `extract`, as far as it can be told without the model's weights.
    """
    from brainalign.extract._model import n_parameters

    reading = _Reading(config)
    tokens, windows = reading.read(events)
    n_weights = n_parameters(reading.files.folder)
    width = reading.model_config.hidden_size
    n_around = sum(map(len, reading.around))
    return {
        "n_events": len(events),
        "n_texts": len(tokens),
        "n_tokens": sum(len(text.ids) for text in tokens),
        "n_windows": len(windows),
        "n_tokens_read": sum(window.stop - window.start + n_around for window in windows),
        "n_layers": len(reading.layers),
        "width": width,
        "n_parameters": n_weights,
        "bytes_weights": 4 * n_weights,
        "bytes_result": 4 * len(reading.layers) * len(events) * width,
    }


class _Reading:
    """A model's configuration and tokenizer, and how they read a table of events; everything that needs no weights.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config):
        from brainalign.extract._model import (
            context_length,
            load_config,
            load_tokenizer,
            reads_both_ways,
            special_tokens,
        )

        self.config = config
        self.files = resolve_model(config.model, revision=config.revision)
        self.layers = _layers(config, self.files.folder)
        self.model_config = load_config(self.files.folder)
        self.tokenizer = load_tokenizer(self.files.folder)
        self.both_ways = reads_both_ways(self.model_config)
        self.around = special_tokens(self.tokenizer, both_ways=self.both_ways, prepend_bos=config.prepend_bos)
        self.window = _window(config, context_length(self.model_config, self.tokenizer))
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
        from brainalign.extract._model import require_vocabulary

        tokens = tokenize(texts_of(events), self.tokenizer, attach_clitics=self.config.attach_clitics)
        ids = np.concatenate([text.ids for text in tokens])
        require_vocabulary(ids, tokenizer=self.tokenizer, model_config=self.model_config, folder=self.files.folder)
        windows = windows_of_texts(
            [len(text.ids) for text in tokens],
            size=self.size,
            before=self.config.min_context,
            after=self.config.min_context if self.both_ways else 0,
        )
        return tokens, windows


def _window(config: Config, limit: int | None) -> int:
    if config.window is None and limit is None:
        raise BrainalignError(f"the model {config.model!r} states no context length: set window")
    if config.window is not None and limit is not None and config.window > limit:
        raise BrainalignError(
            f"window {config.window}: the model {config.model!r} reads at most {limit} tokens at once"
        )
    return config.window or limit


def extract(
    events: pd.DataFrame, config: Config, *, weights: Literal["trained", "untrained"] = "trained"
) -> dict[str, Activations]:
    """Give the hidden states of a language model for every event.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s) and `word` or, without it, `sentence`. Words of a run in the order of onsets.
    config : Config
    weights : {"trained", "untrained"}
        "untrained" is the model with fresh weights from `config.seed`; all its tensors differ from the trained ones.

    Returns
    -------
    activations : dict of str to Activations
        Layer name to (n_events, width), float32, all finite; rows as the events, columns `layer, unit`.

    Raises
    ------
    MissingData
        The model is not on this machine.
    BrainalignError
        An event without text or without a token (it is named), a layer that the model does not have, a context that
        does not fit, a tokenizer of another model, a value that is not finite (its layer and event are named).

    References
    ----------
    Radford et al. (2019), Language models are unsupervised multitask learners (GPT-2). The tests compare with one plain
    forward pass of HuggingFace per token with exactly the same context.
    """
    from brainalign.extract._forward import pooled_hidden_states, require_finite

    reading = _Reading(config)
    tokens, windows = reading.read(events)
    model = _model(reading, weights=weights, ids=tokens[0].ids)
    states = pooled_hidden_states(
        model,
        tokens,
        windows,
        n_events=len(events),
        layers=reading.layers,
        pooling=config.pooling,
        around=reading.around,
        batch_size=config.batch_size,
    )
    column = stimulus_column(events)

    def name_of(i_event: int) -> str:
        event = events.iloc[i_event]
        return f"{column} {event[column]!r} (run {event['run']!r}, event {i_event})"

    require_finite(states, layers=reading.layers, name_of=name_of)
    provenance = _provenance(
        reading, weights=weights, n_tokens=sum(len(text.ids) for text in tokens), n_windows=len(windows)
    )
    rows = events[["run", "onset", "duration", column]].reset_index(drop=True)
    units = [str(i) for i in range(states.shape[-1])]
    return {
        str(layer): Activations(of_layer, rows, pd.DataFrame({"layer": str(layer), "unit": units}), provenance)
        for layer, of_layer in zip(reading.layers, states, strict=True)
    }


def _device(config: Config) -> str:
    """Give the torch device, "auto" resolved; one that is not here is an error."""
    if config.device == "cpu":
        return "cpu"
    import torch

    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BrainalignError(f'device {device!r}: torch {torch.__version__} sees no GPU here; set device = "cpu"')
    return device


def _model(reading: _Reading, *, weights: str, ids: np.ndarray):
    """Load the model or build its twin (always in float32), then move it to where and how it computes."""
    import torch

    from brainalign.extract._model import build_untrained, load_trained, require_left_to_right

    device = _device(reading.config)
    model = load_trained(reading.files.folder, reading.model_config)
    if weights == "untrained":
        model = build_untrained(model, seed=reading.config.seed)
    model = model.to(device=device, dtype=getattr(torch, reading.config.dtype))
    if not reading.both_ways:
        require_left_to_right(model, ids)
    return model


def _provenance(reading: _Reading, *, weights: str, n_tokens: int, n_windows: int) -> dict[str, Any]:
    config = reading.config
    return {
        "extractor": "text",
        "settings": settings(config),
        "weights": weights,
        "commit": reading.files.commit,
        "files": fingerprint(config, weights=weights),
        "model_type": reading.model_config.model_type,
        "reads": "both ways" if reading.both_ways else "left to right",
        "special_tokens": {"begin": list(reading.around[0]), "end": list(reading.around[1])},
        "window": reading.window,
        "n_tokens": n_tokens,
        "n_windows": n_windows,
        "versions": _versions(),
    }
