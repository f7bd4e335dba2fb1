"""Activations of vision models for images and the frames of videos.

**Stimuli.** `_images` says what events name and how files are read. Pictures shown several times go through the model
once. Several images in one event are averaged after pooling. A video gives one row per frame, at its time.

**Models.** A folder of transformers or a hub id in the cache (ViT, DINOv2, CLIP's vision tower, ConvNeXT, ResNet, ...)
with its own image processor, computed with Pillow, not torchvision; a TorchScript file (.pt, .ts, .torchscript, .jit);
or "module:package.module:Class", a torch class that is called without arguments, **which runs that module's code**. The
last two need a table `preprocessing`.

**Layers.** A number k of a transformers model is `hidden_states[k]` as HuggingFace returns it: 0 the embeddings, k the
output of block k, or of stage k of a ConvNeXT or ResNet. No final norm is applied to any of them; name its module
("layernorm") for that. A text is the path of a module, whose output is taken. "all" are all hidden states; of a plain
module, its modules of the first level. A TorchScript file has the one layer "output".

**Pooling.** Activations are (n, width), (n, tokens, width) or (n, channels, height, width); where a module of a
ConvNeXT block puts the channels last, choose "none". One vector per image is taken as it is, except by the last:

- `cls`: the class token; refused where a model has none.
- `mean`: over all tokens, class token included, or over all positions.
- `none`: all values, flattened.
- `random_projection`: all values, times a sparse random matrix (sklearn's `SparseRandomProjection`, density
  1 / sqrt(n_values), seed `projection_seed`), which keeps distances between images to about sqrt(8 / n_components).
"""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Activations, sha256_of
from brainalign.errors import BrainalignError
from brainalign.extract._images import (
    BACKGROUND,
    Reader,
    Shown,
    image_problems,
    look_at,
    own_clock,
    shown_by,
    stimulus_files,
)
from brainalign.extract._model import inference
from brainalign.extract._settings import batch_of_some, commit_or_none, some_layer

__all__ = [
    "Config",
    "check",
    "extract",
    "fingerprint",
    "layer_names",
    "own_clock",
    "plan",
    "settings",
    "stimulus_files",
]

IMAGES_PER_BATCH = {"cpu": 16, "cuda": 128}


class Preprocessing(BaseModel):
    """How 8-bit RGB becomes the numbers a network reads: (scale * value - mean) / std.

    The shorter side is resized to `size` (bicubic), then the central square is cut out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: int = Field(ge=1, description="pixels per side")
    mean: tuple[float, float, float] = Field(default=(0.0, 0.0, 0.0), description="of red, green, blue after scale")
    std: tuple[float, float, float] = Field(default=(1.0, 1.0, 1.0), description="of red, green, blue after scale")
    scale: float = Field(default=1 / 255, gt=0, description="times the 8-bit values; 1/255 brings them to 0..1")

    @field_validator("std")
    @classmethod
    def _positive(cls, std):
        if min(std) <= 0:
            raise ValueError("must be above 0")
        return std


class Config(BaseModel):
    """Which model, which of its layers, how images are put before it and how activations are pooled."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(
        description="a local folder, a hub id that was fetched, a TorchScript file, or module:package.module:Class"
    )
    revision: str = Field(
        default="",
        description="commit of a hub id, 40 hexadecimal digits; empty takes the one in the cache and warns",
    )
    checkpoint: str = Field(default="", description="safetensors file with the trained weights of a plain module")
    preprocessing: Preprocessing | None = Field(
        default=None, description="in place of the model's own image processor; the others need it"
    )
    layers: Literal["all"] | tuple[int | str, ...] = Field(
        default="all", description="numbers of hidden states (0 = embeddings, -1 = the last), paths of modules, or all"
    )
    pooling: Literal["cls", "mean", "none", "random_projection"] = Field(
        default="mean", description="over tokens or positions"
    )
    n_components: int = Field(default=1000, ge=1, description="of the random projection")
    projection_seed: int = Field(default=0, ge=0, description="of the random projection")
    background: int = Field(default=BACKGROUND, ge=0, le=255, description="grey level behind transparent pixels")
    weights: tuple[Literal["trained", "untrained"], ...] = Field(
        default=("trained",), min_length=1, description="untrained = same configuration, fresh weights"
    )
    seed: int = Field(default=0, ge=0, description="of the untrained weights")
    batch_size: int | Literal["auto"] = Field(
        default="auto", description="images per forward pass; auto = 16 on a CPU, 128 on a GPU"
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the computation; float32 is stored"
    )
    device: str = Field(default="cpu", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda, cuda:1, or auto")

    _commit = field_validator("revision")(commit_or_none)
    _layers = field_validator("layers")(some_layer)
    _batch = field_validator("batch_size")(batch_of_some)


def _source(config: Config):
    from brainalign.extract._vision_model import source_of

    return source_of(config.model, revision=config.revision, checkpoint=config.checkpoint)


def layer_names(config: Config) -> tuple[str, ...]:
    """Give the names of the layers that `extract` returns, in order.

    Raises
    ------
    MissingData
        The model is not on this machine.
    BrainalignError
        A numbered layer that the model does not have. Whether there is a module at a path is for `check` to tell.
    """
    return tuple(str(layer) for layer in _source(config).layers(config.layers))


def settings(config: Config) -> dict[str, Any]:
    """Give the settings that decide the activations: local files by their names, not their places; no `batch_size`.

    What stood in those places is in `fingerprint`.
    """
    recorded = config.model_dump(mode="json", exclude={"batch_size"})
    for name in ("model", "checkpoint"):
        path = Path(recorded[name]).expanduser()
        recorded[name] = path.name if recorded[name] and path.exists() else recorded[name]
    return recorded


def fingerprint(config: Config, *, weights: Literal["trained", "untrained"] = "trained") -> dict[str, str]:
    """Give what decides the activations besides `Config` and the events: sha256 of the model's files.

    Of a plain module, of the files that hold its class and those of its parts; what else these import is not looked at.
    What random numbers are drawn with (torch and transformers for untrained weights, scikit-learn for the random
    projection) is given by version.

    Raises
    ------
    MissingData
        The model is not on this machine.
    BrainalignError
        The model does not have these weights.
    """
    paths = _source(config).files(weights, own_processor=config.preprocessing is None)
    drawn_with = ("torch", "transformers") if weights == "untrained" else ()
    if config.pooling == "random_projection":
        drawn_with = (*drawn_with, "scikit-learn")
    hashes: dict[str, str] = {}
    for path in paths:  # of the parts of a plain module, two can have one name
        hashes[path.name] = hashes.get(path.name, "") + sha256_of(path)
    return hashes | _versions(drawn_with)


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`, without the model's weights; pictures are opened, not decoded."""
    from brainalign.extract._model import device_of

    problems = image_problems(events)
    try:
        device_of(config.device)
        reading = _Reading(config)
        for weights in config.weights:
            reading.source.require(weights, reading.layers)
        reading.require_pooling()
    except BrainalignError as error:
        problems.append(str(error))
    return problems


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will do for one kind of weights.

    Returns
    -------
    counts : dict
        `n_events, n_rows` (more than the events for videos), `n_stimuli` (different ones), `n_pictures` (that go
        through the model), `n_layers, width` (the largest), `n_parameters, bytes_weights` (float32, in memory),
        `bytes_batch` (the pictures of two batches) and `bytes_result`.

    Raises
    ------
    BrainalignError
        As `extract`, as far as it can be told without the model's weights.
    """
    from brainalign.extract._model import device_of

    shown, reading = shown_by(events), _Reading(config)
    n_parameters = sum(weight.numel() for weight in reading.source.skeleton.parameters())
    batch = _batch_size(config, device_of(config.device))
    return {
        "n_events": len(events),
        "n_rows": len(shown.rows),
        "n_stimuli": len(shown.groups),
        "n_pictures": sum(map(len, shown.groups)),
        "n_layers": len(reading.layers),
        "width": max(reading.widths.values()),
        "n_parameters": n_parameters,
        "bytes_weights": 4 * n_parameters,
        "bytes_batch": 4 * 2 * batch * int(np.prod(reading.shape)),
        "bytes_result": 4 * len(shown.rows) * sum(reading.widths.values()),
    }


def _batch_size(config: Config, device: str) -> int:
    return IMAGES_PER_BATCH[device.split(":")[0]] if config.batch_size == "auto" else config.batch_size


class _Reading:
    """A model's configuration, how it is given images, and its layers; everything that needs no weights.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config):
        from brainalign.extract._vision_model import prepare_with

        self.config = config
        self.source = _source(config)
        self.layers = self.source.layers(config.layers)
        self.names = tuple(str(layer) for layer in self.layers)
        if config.preprocessing is not None:
            self.prepare = prepare_with(config.preprocessing)
        elif hasattr(self.source, "prepare"):
            self.prepare = self.source.prepare()
        else:
            raise BrainalignError(
                f"model {config.model!r} has no image processor of its own: give a table preprocessing (size, mean,"
                " std, scale)"
            )

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """What the model is given: channels, height, width."""
        shape = self.prepare(np.zeros((64, 64, 3), dtype=np.uint8)).shape
        if len(shape) != 3:
            raise BrainalignError(f"the image processor of {self.config.model!r} gives {shape}; expected an image")
        return shape

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every layer for one image."""
        import torch

        model = self.source.skeleton
        device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        try:
            with torch.inference_mode():
                pixels = torch.zeros((1, *self.shape), device=device)
                states = self.source.states(model, pixels, layers=self.layers, pool=torch.clone)
        except BrainalignError:
            raise
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise BrainalignError(
                f"model {self.config.model!r} cannot read images of shape {self.shape}: {error}"
            ) from error
        alone = [name for name in self.names if states[name].ndim < 2 or len(states[name]) != 1]
        if alone:
            raise BrainalignError(f"layers {alone}: their first axis is not that of the images, or is the only one")
        return {name: tuple(states[name].shape[1:]) for name in self.names}

    @cached_property
    def pool(self):
        """How layers are pooled."""
        from brainalign.extract._vision_model import Pool

        config = self.config
        return Pool(config.pooling, n_components=config.n_components, seed=config.projection_seed)

    @property
    def widths(self) -> dict[str, int]:
        """Number of units of every layer after pooling."""
        return {name: self.pool.width(shape) for name, shape in self.shapes.items()}

    def require_pooling(self) -> None:
        """Refuse a pooling that the model or a layer does not allow."""
        from brainalign.extract._vision_model import has_class_token

        if self.config.pooling == "cls" and not has_class_token(self.source.skeleton):
            raise BrainalignError(f"pooling cls: the model {self.config.model!r} has no class token; choose mean")
        for name, shape in self.shapes.items():
            self.pool.require(name, shape)


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: Literal["trained", "untrained"] = "trained",
    scratch: Path | None = None,
) -> dict[str, Activations]:
    """Give the activations of a vision model for every event, or every frame of a video.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s) and `image` or `video`. Events of a run in the order of their onsets.
    config : Config
    weights : {"trained", "untrained"}
        "untrained" is the model with fresh weights from `config.seed`; all its tensors differ from the trained ones.
    scratch : Path, optional
        A folder where what is done stays, for this very extraction; a call that was interrupted goes on there.

    Returns
    -------
    activations : dict of str to Activations
        Layer name to (n_rows, width), float32, all finite; rows as the events, or one per frame with its own onset and
        duration; columns `layer, unit`. `provenance["images"]` counts what was done to the pictures.

    Raises
    ------
    MissingData
        The model, or stimulus files, are not on this machine.
    BrainalignError
        A picture that cannot be read, a layer or module that the model does not have, a pooling that does not fit, a
        value that is not finite (its layer and stimulus are named).

    References
    ----------
    Li, Hastie & Church (2006), Very sparse random projections. The tests compare with plain forward passes of
    HuggingFace, one image at a time, and with sklearn's `SparseRandomProjection`.
    """
    import torch

    from brainalign.extract._model import device_of
    from brainalign.extract._parts import fill
    from brainalign.extract._vision_model import Ahead

    shown = shown_by(events)
    notes, problems = look_at(shown)
    if problems:
        raise BrainalignError("; ".join(problems))
    reading, device = _Reading(config), device_of(config.device)
    reading.source.require(weights, reading.layers)
    reading.require_pooling()
    model = reading.source.build(weights=weights, seed=config.seed)
    model = model.to(device=device, dtype=getattr(torch, config.dtype))
    batch_size = _batch_size(config, device)
    parts = shown.parts(batch_size)
    stimuli = [shown.pictures(part) for part in parts]
    with (
        inference(),
        Reader(config.background) as reader,
        Ahead(stimuli, reader, prepare=reading.prepare, shape=reading.shape) as ahead,
    ):

        def compute(i_part: int) -> dict[str, np.ndarray]:
            values = _pooled_states(reading, model, ahead(i_part), batch_size=batch_size)
            means = {name: shown.mean(of_layer, parts[i_part]) for name, of_layer in values.items()}
            _require_finite(means, shown, first=parts[i_part].start)
            return means

        layers = fill(parts, compute, n_rows=len(shown.groups), scratch=scratch)
    provenance = _provenance(reading, weights=weights, images={"n_pictures": sum(map(len, stimuli)), "notes": notes})
    units = {name: [str(i) for i in range(layers[name].shape[1])] for name in reading.names}
    return {
        name: shown.activations(name, layers[name], units=units[name], provenance=provenance) for name in reading.names
    }


def _pooled_states(reading: _Reading, model, pictures: np.ndarray, *, batch_size: int) -> dict[str, np.ndarray]:
    """Run pictures through the model: every layer, (n_pictures, width)."""
    import torch

    from brainalign.extract._model import device_of

    device, dtype = device_of(reading.config.device), getattr(torch, reading.config.dtype)
    batches = []
    for i in range(0, len(pictures), batch_size):  # one stimulus can hold more pictures than a batch
        pixels = torch.from_numpy(pictures[i : i + batch_size]).to(device, dtype)
        states = reading.source.states(model, pixels, layers=reading.layers, pool=reading.pool.over_positions)
        batches.append({name: reading.pool.to_numpy(states[name]) for name in reading.names})
    return {name: np.concatenate([batch[name] for batch in batches]) for name in reading.names}


def _require_finite(layers: dict[str, np.ndarray], shown: Shown, *, first: int) -> None:
    from brainalign.extract._forward import require_finite

    for name, values in layers.items():
        require_finite(values[None], layers=(name,), name_of=lambda i: shown.name_of(first + i))


def _provenance(reading: _Reading, *, weights: str, images: dict[str, Any]) -> dict[str, Any]:
    config = reading.config
    return {
        "extractor": "vision",
        "settings": settings(config),
        "weights": weights,
        "commit": reading.source.commit,
        "files": fingerprint(config, weights=weights),
        "model_class": type(reading.source.skeleton).__name__,
        "input_shape": list(reading.shape),
        "images": images,
        "versions": _versions(("torch", "transformers", "pillow", "scikit-learn")),
    }
