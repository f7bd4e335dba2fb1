"""A fixed random vector for every distinct stimulus: what knowing only which stimulus it was can explain.

The null control of a model's activations: as many units, the same vector whenever a stimulus comes again, and no
relation between the vectors of two stimuli. One layer, "-". Unit j of the stimulus with the key k is

    x_j = Phi^-1((b_j + 1/2) / 2^53), with b_j 53 bits of number j of Philox, whose key is from sha256(seed, k),

a draw from the standard normal distribution that depends on the seed and the stimulus alone: not on the order of the
events, the run, the data set or the version of numpy, and not on `dimension`, which only cuts the vector.

The key of a word is its `words.word_key` (lower case, no punctuation at its ends), of a sentence the text without
spaces at its ends, of an image, a video or a sound the sha256 of the file, so that its place does not matter; where
events have `audio_start`, also where the part begins and how long it lasts.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from brainalign.arrays import Activations, sha256_of
from brainalign.errors import BrainalignError
from brainalign.extract._tokens import event_problems
from brainalign.extract.words import word_key

LAYER = "-"
STIMULI = ("word", "sentence", "image", "video", "audio")
FILES = STIMULI[2:]


class Config(BaseModel):
    """How many units, and which draw."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dimension: int = Field(default=300, ge=1, description="units, e.g. as many as the model has that is compared")
    seed: int = Field(default=0, ge=0, description="another seed gives other vectors")


def layer_names(config: Config) -> tuple[str, ...]:  # noqa: ARG001
    """Give the only layer there is, "-"."""
    return (LAYER,)


def settings(config: Config) -> dict[str, Any]:
    """Give the settings, which together with the events decide the values."""
    return config.model_dump(mode="json")


def fingerprint(config: Config, *, weights: str = "trained") -> dict[str, str]:  # noqa: ARG001
    """Give what decides the values beside `Config` and the stimuli: nothing."""
    return {}


def stimulus_files(events: pd.DataFrame) -> list[Path]:
    """List the images, videos or sounds that events name, each once, in the order of the events."""
    column = _column(events)
    return [Path(path) for path in dict.fromkeys(map(str, events[column]))] if column in FILES else []


def _column(events: pd.DataFrame) -> str | None:
    return next((name for name in STIMULI if name in events), None)


def random_vector(key: str, *, seed: int, dimension: int) -> np.ndarray:
    """Give the vector of a key.

    Parameters
    ----------
    key : str
    seed, dimension : int

    Returns
    -------
    vector : float32 array of shape (dimension,)
        Standard normal.

    References
    ----------
    Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3 (Philox); its stream is the same in
    every version of numpy, which numpy does not promise for `Generator.standard_normal`.
    """
    from scipy.special import ndtri

    digest = hashlib.sha256(f"{seed}\n{key}".encode()).digest()
    bits = np.random.Philox(key=int.from_bytes(digest[:16], "big")).random_raw(dimension) >> np.uint64(11)
    return ndtri((bits.astype(float) + 0.5) / 2**53).astype(np.float32)


def check(events: pd.DataFrame, config: Config) -> list[str]:  # noqa: ARG001
    """List what would stop `extract`; empty when nothing would."""
    column = _column(events)
    if column is None:
        return [f"events have none of the columns {list(STIMULI)}; they have {list(events.columns)}"]
    if column not in FILES:
        return event_problems(events)
    if not len(events):
        return ["there are no events"]
    missing = [name for name in ("run", "onset", "duration") if name not in events]
    if missing:
        return [f"events lack the columns {missing}; they have {list(events.columns)}"]
    return [f"{path}: no such file" for path in stimulus_files(events) if not path.is_file()]


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will give: `n_events, n_layers, width, bytes_result`."""
    return {
        "n_events": len(events),
        "n_layers": 1,
        "width": config.dimension,
        "bytes_result": 4 * len(events) * config.dimension,
    }


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: str = "trained",  # noqa: ARG001
    scratch: Path | None = None,  # noqa: ARG001
) -> dict[str, Activations]:
    """Give every event the random vector of its stimulus.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s) and the first of `word`, `sentence`, `image`, `video`, `audio` that is
        there; `audio_start` (s) where sounds are parts of longer files.
    config : Config
    weights, scratch
        Have no meaning here: nothing is trained, and there is nothing that could be resumed.

    Returns
    -------
    activations : dict of str to Activations
        {"-": (n_events, dimension)}, float32, rows as the events.

    Raises
    ------
    BrainalignError
        An event without a stimulus, words or sentences in another order than that of time, a file that is absent.
    """
    problems = check(events, config)
    if problems:
        raise BrainalignError("; ".join(problems))
    keys = _keys(events)
    vectors = {key: random_vector(key, seed=config.seed, dimension=config.dimension) for key in dict.fromkeys(keys)}
    values = np.stack([vectors[key] for key in keys])  # (n_events, dimension)
    column = _column(events)
    rows = events[["run", "onset", "duration", column]].astype({column: str}).reset_index(drop=True)
    columns = pd.DataFrame({"layer": LAYER, "unit": [str(i) for i in range(config.dimension)]})
    provenance = {
        "extractor": "random_embedding",
        "settings": settings(config),
        "files": fingerprint(config),
        "n_stimuli": len(vectors),
    }
    return {LAYER: Activations(values, rows, columns, provenance)}


def _keys(events: pd.DataFrame) -> list[str]:
    """Give what tells one stimulus from another."""
    column = _column(events)
    if column == "word":
        return [word_key(word) for word in events["word"]]
    if column == "sentence":
        return [sentence.strip() for sentence in events["sentence"]]
    content = {str(path): sha256_of(path) for path in stimulus_files(events)}
    keys = [content[str(path)] for path in events[column]]
    if column == "audio" and "audio_start" in events:
        parts = zip(keys, events["audio_start"], events["duration"], strict=True)
        keys = [f"{key} from {start:.6f} s, {duration:.6f} s long" for key, start, duration in parts]
    return keys
