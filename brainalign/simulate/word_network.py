"""What a network that reads words one after the other must offer, and its form on disk.

A word network is a torch module of this package with

- `settings`: the arguments it was built with, JSON-able; among them `vocabulary`, the words it knows, and `n_networks`,
  how many replicas with weights of their own it holds.
- `layer_names`: names of its layers of hidden states.
- `states(words)`: positions in the vocabulary, int64 (n_words,), read from rest -> {layer: (n_networks, n_words,
  n_units)}, the state after each word.

On disk it is a folder of `network.json` (class and settings) and `weights.safetensors`. Only classes of
`brainalign.simulate` are built: no code comes with a folder.
"""

import importlib
import json
from pathlib import Path

import torch

from brainalign.errors import BrainalignError, MissingData

DESCRIPTION, WEIGHTS = "network.json", "weights.safetensors"
PACKAGE = "brainalign.simulate"
UNKNOWN = "<unknown>"
"""The entry of a vocabulary that stands for all words that are not in it, where there is one."""


def save_network(network: torch.nn.Module, folder: Path) -> None:
    """Write a word network into a folder, which is made if absent."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kind = type(network)
    description = {"class": f"{kind.__module__}:{kind.__qualname__}", "settings": network.settings}
    text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
    save_file({name: values.contiguous() for name, values in network.state_dict().items()}, folder / WEIGHTS)


def read_description(folder: Path) -> dict:
    """Read what a folder holds: `class` and `settings`.

    Raises
    ------
    MissingData
        The folder holds no network.
    BrainalignError
        It is a network of another package.
    """
    path = Path(folder) / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        module, _, name = description["class"].partition(":")
        description["settings"]["vocabulary"]
    except OSError:
        raise MissingData(
            f"{path}: no such file; a folder written by `simulate.word_network.save_network` is needed"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingData(f"{path}: not the description of a word network ({error})") from None
    if not module.startswith(f"{PACKAGE}.") or not name.isidentifier():
        raise BrainalignError(f"{path}: {description['class']!r} is no class of {PACKAGE}; other code is not run")
    return description


def load_network(folder: Path, *, weights: str = "trained", seed: int = 0) -> torch.nn.Module:
    """Build the network of a folder, with its weights or, untrained, with fresh ones.

    Parameters
    ----------
    folder : Path
    weights : {"trained", "untrained"}
    seed : int
        Of fresh weights.

    Raises
    ------
    MissingData
        A file is absent or is not what it should be.
    BrainalignError
        It is a network of another package, or its settings are not those of its class.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = read_description(folder)
    module, _, name = description["class"].partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
        network = kind(**description["settings"] | ({"seed": seed} if weights == "untrained" else {}))
    except (ImportError, AttributeError, TypeError) as error:
        raise BrainalignError(f"{Path(folder) / DESCRIPTION}: cannot be built ({error})") from None
    if weights == "trained":
        path = Path(folder) / WEIGHTS
        try:
            network.load_state_dict(load_file(path))
        except FileNotFoundError:
            raise MissingData(f"{path}: no such file") from None
        except (SafetensorError, RuntimeError) as error:
            raise MissingData(f"{path}: not the weights of this network ({error})") from None
    return network.eval()
