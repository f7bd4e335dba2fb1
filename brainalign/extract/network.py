"""States of a network of `brainalign.simulate` while it reads words: one row per word, the state after it.

The network reads every run (or sentence) from rest. Its model is "shipped", an Elman network that was taught to expect
the next word of English novels (`elman_novels/README.md`), or a folder written by `simulate.word_network.save_network`.
Words are looked up by `words.word_key` (lower case, no punctuation at the ends); a word that the network does not know
is its unit `<unknown>` where it has one, and an error where it has none.
Networks that read images are torch modules: `vision` takes them as "module:brainalign.simulate.alexnet:AlexNet".
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Activations, sha256_of
from brainalign.errors import BrainalignError, UnknownName
from brainalign.extract._model import device_of
from brainalign.extract._settings import some_layer
from brainalign.extract._tokens import event_problems
from brainalign.extract.words import sentence_numbers, word_key
from brainalign.simulate.word_network import DESCRIPTION, UNKNOWN, WEIGHTS, load_network, read_description

SHIPPED = Path(__file__).parent / "elman_novels"
SHOWN = 5  # unknown words in an error


class Config(BaseModel):
    """Which network, and what it reads as one text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(
        default="shipped", description="the packaged Elman network, or a folder written by word_network.save_network"
    )
    layers: tuple[str, ...] | Literal["all"] = Field(default="all", description="names of layers of hidden states")
    replica: int = Field(default=0, ge=0, description="which of the networks that the folder holds side by side")
    rest: Literal["run", "sentence"] = Field(default="run", description="before each of which the state is put to rest")
    weights: tuple[Literal["trained", "untrained"], ...] = Field(
        default=("trained",), min_length=1, description="untrained = same settings, fresh weights"
    )
    seed: int = Field(default=0, ge=0, description="of the untrained weights")
    device: str = Field(default="cpu", description="cpu, cuda or auto")

    _layers_named = field_validator("layers")(some_layer)


def layer_names(config: Config) -> tuple[str, ...]:
    """Give the layers that `extract` gives, in their order.

    Raises
    ------
    UnknownName
        The network has no such layer.
    BrainalignError
        The folder holds no network, or fewer replicas.
    """
    network = _network(config, "trained")
    if config.replica >= network.settings["n_networks"]:
        raise BrainalignError(
            f"replica {config.replica}: {config.model} holds {network.settings['n_networks']} networks, from 0"
        )
    if config.layers == "all":
        return tuple(network.layer_names)
    for name in config.layers:
        if name not in network.layer_names:
            raise UnknownName("layer", name, network.layer_names)
    return tuple(dict.fromkeys(config.layers))


def settings(config: Config) -> dict[str, Any]:
    """Give the settings that decide the activations: the folder by its name, not its place."""
    return config.model_dump(mode="json", exclude={"device"}) | {"model": Path(config.model).name}


def fingerprint(config: Config, *, weights: str = "trained") -> dict[str, str]:
    """Give what decides the activations besides `Config` and the events: the network's files, or what draws weights."""
    folder = _folder(config)
    read_description(folder)
    description = {DESCRIPTION: sha256_of(folder / DESCRIPTION)}
    if weights == "untrained":
        return description | {"torch": version("torch")}
    load_network(folder)
    return description | {WEIGHTS: sha256_of(folder / WEIGHTS)}


def stimulus_files(events: pd.DataFrame) -> list[Path]:  # noqa: ARG001
    """Give the files that the events name: none, words stand in the events themselves."""
    return []


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`; empty when nothing would."""
    if "word" not in events:
        return [f"events lack the column 'word'; they have {list(events.columns)}"]
    if problems := event_problems(events):
        return problems
    try:
        layer_names(config)
        device_of(config.device)
        _positions(events, read_description(_folder(config))["settings"]["vocabulary"])
    except BrainalignError as error:
        return [str(error)]
    return []


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will give: `n_events, n_layers, width`, `n_parameters, bytes_weights` and `bytes_result`."""
    network, layers = _network(config, "trained"), layer_names(config)
    states = network.states(_tensor(np.zeros(1, dtype=np.int64)))
    widths = [states[name].shape[-1] for name in layers]
    n_parameters = sum(values.numel() for values in network.parameters())
    return {
        "n_events": len(events),
        "n_layers": len(layers),
        "width": max(widths),
        "n_parameters": n_parameters,
        "bytes_weights": 4 * n_parameters,
        "bytes_result": 4 * len(events) * sum(widths),
    }


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: Literal["trained", "untrained"] = "trained",
    scratch: Path | None = None,  # noqa: ARG001
) -> dict[str, Activations]:
    """Give the states of a network after every word.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s), `word`; sorted by onset within runs.
    config : Config
    weights : {"trained", "untrained"}
    scratch
        Has no meaning here: reading is one pass of seconds.

    Returns
    -------
    activations : dict of str to Activations
        Layer to (n_events, n_units), float32, rows as the events.

    Raises
    ------
    BrainalignError
        What `check` lists; a state that is not finite.

    References
    ----------
    Elman (1990), whose hidden states are those analysed.
    """
    import torch

    if problems := check(events, config):
        raise BrainalignError("; ".join(problems))
    device, layers = device_of(config.device), layer_names(config)
    network = _network(config, weights).to(device)
    words = _positions(events, network.settings["vocabulary"])
    values = {}
    with torch.inference_mode():
        for text in _texts(events, config.rest):
            states = network.states(_tensor(words[text]).to(device))
            for name in layers:
                of_text = states[name][config.replica].float().cpu().numpy()  # (n_words, n_units)
                whole = values.setdefault(name, np.empty((len(events), of_text.shape[1]), np.float32))
                whole[text] = of_text
    rows = events[["run", "onset", "duration", "word"]].reset_index(drop=True)
    provenance = {
        "extractor": "network",
        "settings": settings(config),
        "files": fingerprint(config, weights=weights),
        "weights": weights,
        "n_unknown": int((words == _unknown(network.settings["vocabulary"])).sum()),
    }
    return {name: _activations(name, whole, rows, provenance) for name, whole in values.items()}


def _activations(name: str, values: np.ndarray, rows: pd.DataFrame, provenance: dict) -> Activations:
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise BrainalignError(f"layer {name}: the state after {rows['word'][first]!r} (event {first}) is not finite")
    columns = pd.DataFrame({"layer": name, "unit": [str(i) for i in range(values.shape[1])]})
    return Activations(values, rows, columns, provenance)


def _network(config: Config, weights: str):
    return load_network(_folder(config), weights=weights, seed=config.seed)


def _folder(config: Config) -> Path:
    return SHIPPED if config.model == "shipped" else Path(config.model).expanduser()


def _tensor(positions: np.ndarray):
    import torch

    return torch.as_tensor(positions)


def _texts(events: pd.DataFrame, rest: str) -> list[np.ndarray]:
    """Give the places of the words that are read from rest: of every run, or of every sentence.

    Rows of different runs may stand between each other; each text has its own, in their order.
    """
    texts = events["run"] if rest == "run" else sentence_numbers(events)
    number = pd.factorize(texts)[0]
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _unknown(vocabulary: list[str]) -> int:
    return vocabulary.index(UNKNOWN) if UNKNOWN in vocabulary else -1


def _positions(events: pd.DataFrame, vocabulary: list[str]) -> np.ndarray:
    """Look words up in a vocabulary, int64 (n_events,).

    Raises
    ------
    BrainalignError
        Words that are not in it, where it has no entry for those.
    """
    place = {word: i for i, word in enumerate(vocabulary)}
    unknown = _unknown(vocabulary)
    positions = np.array([place.get(word_key(word), unknown) for word in events["word"]], dtype=np.int64)
    if (positions < 0).any():
        strange = list(dict.fromkeys(events["word"].to_numpy(object)[positions < 0]))
        raise BrainalignError(
            f"{len(strange)} words are not in the network's vocabulary of {len(vocabulary)}, the first are "
            f"{strange[:SHOWN]}; train it with an entry {UNKNOWN!r}"
        )
    return positions
