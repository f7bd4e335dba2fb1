"""Hidden states, heads and MLPs of language models for words or sentences, any causal or masked model of HuggingFace.

**Text.** The words of a run are joined by spaces (clitics that a forced alignment split off are attached again) and
read as one text; nothing crosses a run. Events with a column `sentence` and no `word` are each a text of their own. A
token belongs to the event that holds its first character that is not a space. Other texts are chosen with `context`:
sentences alone, the last k words, shuffled words (see `brainalign.extract._contexts`).

**Layers.** Layer k is `hidden_states[k]` as HuggingFace returns it: 0 the embeddings, k the output of block k. The last
one has passed the model's final norm where it has one (GPT-2 does), the others have not. "attention.k", "heads.k" and
"mlp.k" are what block k adds, any other name is the path of a module (see `brainalign.extract._layers`).

**Context.** A text longer than the model's context is read in windows that overlap, so that every token has at least
`min_context` tokens to its left where the text has them; the number varies between that and the window's length.
Causal models get no special token unless `prepend_bos`, and then at the start of every window. Masked models (BERT)
read a window in both directions, so **their activations know words that come later**; every window gets its special
tokens ([CLS], [SEP]), and every token at least `min_context` tokens on both sides where the text has them. With
`context = "last_k_words"` a word and the k before it must fit into one window, and nothing comes later.

**Models.** "shipped" is the GPT-2 in this package; a folder is read as it is; a hub id is looked up in the HuggingFace
cache and never downloaded here (`brainalign fetch MODEL` does that). Only safetensors are read, only transformers' own
code is run.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from brainalign.arrays import Activations, sha256_of
from brainalign.errors import BrainalignError
from brainalign.extract._contexts import NO_EVENT
from brainalign.extract._hub import resolve_model, tokenizer_files, weight_files
from brainalign.extract._layers import names_of_layers
from brainalign.extract._model import (
    build_untrained,
    device_of,
    load_trained,
    n_hidden_states,
    n_parameters,
    require_left_to_right,
)
from brainalign.extract._reading import Reading
from brainalign.extract._settings import batch_of_some, commit_or_none
from brainalign.extract._tokens import Tokens, event_problems, stimulus_column


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
    layers: Literal["all"] | tuple[int | str, ...] = Field(
        default="all",
        description="0 = embeddings, k = output of block k, -1 = the last, all = these; attention.k, heads.k, mlp.k of"
        " block k; or a module's path",
    )
    pooling: Literal["last", "mean", "sum"] = Field(default="last", description="over the tokens of a word or sentence")
    context: Literal["run", "sentence", "last_k_words", "shuffled_in_sentence", "shuffled_in_run"] = Field(
        default="run", description="what is read as one text; shuffled words keep their rows"
    )
    k_words: int | None = Field(
        default=None, ge=0, validate_default=True, description="words before each word, for last_k_words"
    )
    min_context: int = Field(
        default=64, ge=0, description="tokens to the left that every token is given where the text has them"
    )
    window: int | None = Field(default=None, ge=2, description="tokens read at once; none = the model's context length")
    prepend_bos: bool = Field(
        default=False, description="begin every window with the beginning-of-text token (causal models)"
    )
    attach_clitics: bool = Field(default=True, description="write 'do' + 'n't' as don't, as forced alignments split it")
    weights: tuple[Literal["trained", "untrained"], ...] = Field(
        default=("trained",), min_length=1, description="untrained = same configuration, fresh weights"
    )
    seed: int = Field(default=0, ge=0, description="of the untrained weights, and of the order of shuffled words")
    batch_size: int | Literal["auto"] = Field(default=8, description="windows per forward pass; auto = by their length")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the computation; float32 is stored"
    )
    device: str = Field(default="cpu", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda, cuda:1, or auto")

    _commit = field_validator("revision")(commit_or_none)
    _batch = field_validator("batch_size")(batch_of_some)

    @field_validator("layers")
    @classmethod
    def _some_layer(cls, layers):
        if not layers:
            raise ValueError("must name at least one layer, or 'all'")
        if layers != "all" and any(isinstance(layer, str) and layer.isdecimal() for layer in layers):
            raise ValueError("the numbers of hidden states are written without quotes")
        return layers

    @field_validator("k_words")
    @classmethod
    def _of_last_k_words(cls, k_words: int | None, info: ValidationInfo) -> int | None:
        if (k_words is not None) != (info.data.get("context") == "last_k_words"):
            raise ValueError('must be given with context = "last_k_words", and only there')
        return k_words


def layer_names(config: Config) -> tuple[str, ...]:
    """Give the names of the layers that `extract` returns, in order, from the model's `config.json` alone.

    Hidden states come first, by number, then the others as they are named in `config.layers`. Whether the model has a
    module of some path is only known to `check`.

    Raises
    ------
    MissingData
        The model is not on this machine.
    BrainalignError
        A hidden state or block that the model does not have.
    """
    folder = resolve_model(config.model, revision=config.revision).folder
    return names_of_layers(config.layers, n_hidden=n_hidden_states(folder), model=config.model)


def settings(config: Config) -> dict[str, Any]:
    """Give the settings that decide the activations: a local model by its name, not its place, and no `batch_size`.

    What stood in that place is in `fingerprint`.
    """
    recorded = config.model_dump(mode="json", exclude={"batch_size"})
    return recorded | {"model": Path(config.model).name if Path(config.model).is_dir() else config.model}


def stimulus_files(events: pd.DataFrame) -> list[Path]:  # noqa: ARG001
    """Give the files that the events name: none, words stand in the events themselves."""
    return []


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
    problems = event_problems(events)
    try:
        device_of(config.device)
        reading = Reading(config)
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
        `n_events, n_texts, n_tokens` (of events), `n_windows, n_tokens_read` (overlaps, special tokens and words that
        are only context counted: with `last_k_words` every word is read k + 1 times), `n_layers, width` (of the widest
        layer), `n_parameters, bytes_weights` (float32, in memory) and `bytes_result`.

    Raises
    ------
    BrainalignError
        As `extract`, as far as it can be told without the model's weights.
    """
    reading = Reading(config)
    tokens, windows = reading.read(events)
    n_weights = n_parameters(reading.files.folder)
    n_around = sum(map(len, reading.around))
    return {
        "n_events": len(events),
        "n_texts": len(tokens),
        "n_tokens": _n_tokens_of_events(tokens),
        "n_windows": len(windows),
        "n_tokens_read": sum(window.stop - window.start + n_around for window in windows),
        "n_layers": len(reading.layers),
        "width": max(layer.width for layer in reading.layers),
        "n_parameters": n_weights,
        "bytes_weights": 4 * n_weights,
        "bytes_result": 4 * len(events) * sum(layer.width for layer in reading.layers),
    }


def _n_tokens_of_events(tokens: list[Tokens]) -> int:
    return sum(int((text.event != NO_EVENT).sum()) for text in tokens)


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: Literal["trained", "untrained"] = "trained",
    scratch: Path | None = None,
) -> dict[str, Activations]:
    """Give the hidden states of a language model, and what its heads and MLPs give, for every event.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s) and `word` or, without it, `sentence`. Words of a run in the order of onsets.
    config : Config
    weights : {"trained", "untrained"}
        "untrained" is the model with fresh weights from `config.seed`; all its tensors differ from the trained ones.
    scratch : Path, optional
        A folder for this very extraction: what an interrupted call did is kept there, and done once.

    Returns
    -------
    activations : dict of str to Activations
        Layer name to (n_events, width), float32, all finite; rows as the events, columns `layer, unit`.

    Raises
    ------
    MissingData
        The model is not on this machine.
    UnknownName
        A module that the model does not have.
    BrainalignError
        An event without text or without a token (it is named), a layer that the model does not have, a context that
        does not fit, a tokenizer of another model, a value that is not finite (its layer and event are named).

    References
    ----------
    Radford et al. (2019), Language models are unsupervised multitask learners (GPT-2). The tests compare with one plain
    forward pass of HuggingFace per token with exactly the same context.
    """
    from brainalign.extract._forward import pooled_states

    reading = Reading(config)
    tokens, windows = reading.read(events)
    model = _model(reading, weights=weights, ids=tokens[0].ids)
    column = stimulus_column(events)

    def name_of(i_event: int) -> str:
        event = events.iloc[i_event]
        return f"{column} {event[column]!r} (run {event['run']!r}, event {i_event})"

    states = pooled_states(
        model,
        tokens,
        windows,
        n_events=len(events),
        layers=reading.layers,
        pooling=config.pooling,
        around=reading.around,
        batch_size=config.batch_size,
        name_of=name_of,
        scratch=scratch,
    )
    provenance = _provenance(reading, weights=weights, n_tokens=_n_tokens_of_events(tokens), n_windows=len(windows))
    rows = events[["run", "onset", "duration", column]].reset_index(drop=True)
    return {
        layer.name: Activations(
            states[layer.name],
            rows,
            pd.DataFrame({"layer": layer.name, "unit": layer.units(states[layer.name].shape[1])}),
            provenance,
        )
        for layer in reading.layers
    }


def _model(reading: Reading, *, weights: str, ids: np.ndarray):
    """Load the model or build its twin (always in float32), then move it to where and how it computes."""
    import torch

    device = device_of(reading.config.device)
    model = load_trained(reading.files.folder, reading.model_config)
    if hasattr(model, "pooler"):
        model.pooler = torch.nn.Identity()  # gives nothing per token, and the files of masked models lack its weights
    if weights == "untrained":
        model = build_untrained(model, seed=reading.config.seed)
    model = model.to(device=device, dtype=getattr(torch, reading.config.dtype))
    if not reading.both_ways:
        require_left_to_right(model, ids)
    return model


def _provenance(reading: Reading, *, weights: str, n_tokens: int, n_windows: int) -> dict[str, Any]:
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
