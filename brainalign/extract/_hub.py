"""Where a model's files are: in the package, a folder or the HuggingFace cache; on the hub only when asked to fetch."""

import functools
import json
import logging
import os
import re
import socket
import threading
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from brainalign.errors import MissingData

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "gpt2_novels"
COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
WEIGHTS = ("config.json", "*.safetensors", "*.safetensors.index.json")
PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
REACHABLE_WITHIN = 1.5  # s


class ModelFiles(NamedTuple):
    """A folder with `config.json` and safetensors weights; `commit` is empty outside the hub's cache."""

    folder: Path
    commit: str


def stay_offline() -> None:
    """Switch the hub off for this process; must run before the first import of transformers or huggingface_hub.

    An unreachable hub costs 23 s per `from_pretrained` otherwise. Whoever has set the variable keeps their value: files
    are read from local folders alone in either case.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def resolve_model(model: str, *, revision: str = "", tokenizer: bool = True) -> ModelFiles:
    """Find a model's files on this machine; the network is never touched.

    Parameters
    ----------
    model : str
        "shipped", a folder that exists, or a hub id such as "gpt2" (a folder of that name comes first).
    revision : str
        The commit of a hub id. When empty, the only commit of that id in the cache, or the one its `main` pointed to
        when it was fetched, is taken, and a warning says which commit to pin.
    tokenizer : bool
        The model must have one; models of images and sounds have none.

    Returns
    -------
    files : ModelFiles

    Raises
    ------
    MissingData
        Nothing there, no safetensors weights, no tokenizer, or `revision` is not among the commits in the cache.
    """
    folder = SHIPPED if model == "shipped" else Path(model).expanduser()
    if folder.is_dir():
        if revision:
            raise MissingData(
                f"model {model!r} is a folder, revision {revision!r} has no meaning for it; leave it empty"
            )
        files = ModelFiles(folder, "")
    elif model == "shipped":
        raise MissingData(f"{SHIPPED}: the packaged model is missing; install brainalign again or give another model")
    elif not REPOSITORY.fullmatch(model):
        raise MissingData(f"model {model!r}: no such folder, and not the form of a hub id (NAME or OWNER/NAME)")
    else:
        files = _cached(model, revision)
    if not (files.folder / "config.json").is_file():
        raise MissingData(f"{files.folder / 'config.json'}: no such file; a HuggingFace model folder has one")
    weight_files(files.folder)
    if tokenizer:
        tokenizer_files(files.folder)
    return files


def _cached(model: str, revision: str) -> ModelFiles:
    snapshots = _cache_of(model) / "snapshots"
    commits = sorted(folder.name for folder in snapshots.glob("*") if (folder / "config.json").is_file())
    command = f"brainalign fetch {model}{f' --revision {revision}' if revision else ''}"
    how = f"fetch it on a machine with network with `{command}`, or give a local folder as the model"
    if not commits:
        raise MissingData(
            f"model {model!r} is not on this machine (no folder of that name, nothing in {snapshots}): {how}"
        )
    if revision and revision not in commits:
        raise MissingData(
            f"model {model!r} is here with commit {' and '.join(commits)}, not with revision {revision}: {how}"
        )
    commit = revision or _main_commit(model, commits)
    if not revision:
        _warn_not_pinned(model, commit)
    return ModelFiles(snapshots / commit, commit)


@functools.cache
def _warn_not_pinned(model: str, commit: str) -> None:
    log.warning('model %s: its commit %s is used; pin it with revision = "%s"', model, commit, commit)


def _main_commit(model: str, commits: list[str]) -> str:
    main = _cache_of(model) / "refs" / "main"
    commit = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    if commit in commits:
        return commit
    if len(commits) > 1:
        raise MissingData(
            f"model {model!r} is here with {len(commits)} commits; choose with revision = one of {commits}"
        )
    return commits[0]


def _cache_of(model: str) -> Path:
    stay_offline()
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a model folder that transformers reads, in the order of their names.

    Raises
    ------
    MissingData
        None (pickled weights are refused), a broken index, or a shard that it names is absent.
    """
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError) as error:
            raise MissingData(f"{index}: not an index of weights ({error!r}); fetch the model again") from None
        absent = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
        if absent:
            raise MissingData(f"{index} names {absent}, which {folder} does not hold; fetch the model again")
        return [folder / name for name in names]
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled:
        raise MissingData(
            f"{folder} has weights only as {pickled}: pickled files can run code and are refused; load them once where"
            " you trust them and save with `model.save_pretrained(folder)`, which writes model.safetensors"
        )
    raise MissingData(f"{folder / 'model.safetensors'}: no such file; the weights of the model are not here")


def tokenizer_files(folder: Path) -> list[Path]:
    """List the files of a model folder that decide how text becomes tokens.

    Raises
    ------
    MissingData
        No vocabulary among them.
    """
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise MissingData(
            f"{folder} has no tokenizer (none of {', '.join(VOCABULARIES)}); save it with `tokenizer.save_pretrained`"
        )
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def fetch_model(model: str, *, revision: str = "") -> Path:
    """Download a hub model into the HuggingFace cache: configuration, safetensors weights, tokenizer or preprocessor.

    Parameters
    ----------
    model : str
        A hub id, e.g. "gpt2".
    revision : str
        A commit; when empty, the commit that `main` points to now.

    Returns
    -------
    folder : Path
        Its name is the commit to write into `revision`.

    Raises
    ------
    MissingData
        Not a hub id, the hub cannot be reached (said within 2 s), or it does not have such a model with safetensors.
    """
    if model == "shipped" or not REPOSITORY.fullmatch(model):
        raise MissingData(f"model {model!r} is not a hub id (NAME or OWNER/NAME): there is nothing to fetch")
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        raise MissingData(
            f"cannot fetch {model!r}: this process keeps off the network (HF_HUB_OFFLINE is set, by you or because it"
            " has read a model before); call `brainalign fetch` in a fresh process without that variable"
        )
    _require_hub(model, constants.ENDPOINT)
    try:
        commit = revision or huggingface_hub.HfApi().model_info(model, timeout=10).sha
        folder = huggingface_hub.snapshot_download(
            model,
            revision=commit,
            allow_patterns=[*WEIGHTS, *TOKENIZER_FILES, *PREPROCESSOR_FILES],
            ignore_patterns=["*/*"],
        )
    except (HfHubHTTPError, OSError) as error:
        raise MissingData(f"cannot fetch model {model!r} (revision {revision or 'main'}): {error}") from error
    preprocessed = any((Path(folder) / name).is_file() for name in PREPROCESSOR_FILES)
    return resolve_model(model, revision=Path(folder).name, tokenizer=not preprocessed).folder


def _require_hub(model: str, endpoint: str) -> None:
    """Connect to the hub (or to the proxy that stands before it), in a thread: a dead name server ignores timeouts."""
    scheme = urlsplit(endpoint).scheme
    target = urlsplit(getproxies().get(scheme, endpoint))
    address = (target.hostname, target.port or (443 if target.scheme == "https" else 80))
    reached = threading.Event()

    def connect():
        try:
            with socket.create_connection(address, timeout=REACHABLE_WITHIN):
                reached.set()
        except OSError as error:
            log.debug("%s: %s", endpoint, error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(REACHABLE_WITHIN)
    if not reached.is_set():
        raise MissingData(
            f"cannot fetch model {model!r}: {endpoint} did not answer within {REACHABLE_WITHIN} s; run"
            f" `brainalign fetch {model}` on a machine with network (a cluster's login node) that shares this"
            " HuggingFace cache, or copy the model's folder here and give it as the model"
        )
