"""Networks that read images, from three places, behind one interface: what they read, their layers, their weights.

- `Folder`: a folder of transformers, or a hub id in the cache.
- `Script`: a TorchScript file.
- `Plain`: a torch class of an importable module.
"""

import importlib
import inspect
import math
import os
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from brainalign.errors import BrainalignError, MissingData, UnknownName
from brainalign.extract._hub import resolve_model, weight_files
from brainalign.extract._images import Picture, Reader
from brainalign.extract._model import build_untrained, load_trained, quiet_transformers, require_all_different
from brainalign.extract._modules import first_tensor, recording

if TYPE_CHECKING:
    from brainalign.extract.vision import Preprocessing

PLAIN = "module:"
SCRIPT_SUFFIXES = (".pt", ".ts", ".torchscript", ".jit")
SCRIPT_LAYER = "output"
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")

Prepare = Callable[[np.ndarray], np.ndarray]  # (height, width, 3) uint8 -> (3, height, width) float32


def source_of(model: str, *, revision: str = "", checkpoint: str = ""):
    """Give where a model comes from: a `Folder`, a `Script` or a `Plain`.

    Raises
    ------
    MissingData
        It is not on this machine.
    BrainalignError
        It is not a vision model that can be read here.
    """
    if model.startswith(PLAIN):
        return Plain(model, checkpoint)
    if checkpoint:
        raise BrainalignError(f"checkpoint is for plain modules ({PLAIN}package.module:Class), not for {model!r}")
    if model.endswith(SCRIPT_SUFFIXES):
        return Script(Path(model).expanduser())
    return Folder(model, revision)


def has_class_token(model: torch.nn.Module) -> bool:
    """Tell whether a model puts a class token before its patches."""
    return any(name.rpartition(".")[2] in CLASS_TOKENS for name, _ in model.named_parameters())


class Folder:
    """A vision model of transformers; of a model with towers (CLIP), the one that sees.

    Parameters
    ----------
    model : str
        A folder, or a hub id in the cache.
    revision : str
        The commit of a hub id.
    """

    def __init__(self, model: str, revision: str):
        self.name = model
        self.folder, self.commit = resolve_model(model, revision=revision, tokenizer=False)
        self.config = _vision_config(self.folder)

    def layers(self, wanted) -> tuple[int | str, ...]:
        """Resolve "all", negative indices and repetitions; paths are kept as they are."""
        stages = getattr(self.config, "num_hidden_layers", None) or len(getattr(self.config, "depths", ()))
        n = stages + 1
        if wanted == "all":
            return tuple(range(n))
        indices = [layer for layer in wanted if isinstance(layer, int)]
        wrong = [i for i in indices if not -n <= i < n]
        if wrong:
            raise BrainalignError(
                f"layers {wrong}: the model {self.name!r} has layers 0 (embeddings) to {n - 1}, or -{n} to -1"
            )
        paths = [layer for layer in wanted if isinstance(layer, str)]
        return (*sorted({i % n for i in indices}), *dict.fromkeys(paths))

    def prepare(self) -> Prepare:
        """Give the model's own image processor, the one that computes with Pillow."""
        with quiet_transformers() as transformers:
            try:
                processor = transformers.AutoImageProcessor.from_pretrained(
                    self.folder, local_files_only=True, trust_remote_code=False, backend="pil"
                )
            except (OSError, ValueError, KeyError, ImportError) as error:
                raise BrainalignError(
                    f"{self.folder}: its image processor cannot be loaded ({error}); give a table preprocessing"
                ) from error

        def prepare(image: np.ndarray) -> np.ndarray:
            pixels = processor(images=[image], return_tensors="np", input_data_format="channels_last")
            return pixels["pixel_values"][0]

        return prepare

    @cached_property
    def skeleton(self) -> torch.nn.Module:
        """The model without weights: shapes go through it, no numbers."""
        with quiet_transformers() as transformers, torch.device("meta"):
            try:
                model = transformers.AutoModel.from_config(self.config, dtype=torch.float32)
            except ValueError as error:
                raise BrainalignError(f"{self.folder}: transformers cannot build it ({error})") from error
        if model.main_input_name != "pixel_values":
            raise BrainalignError(
                f"{self.folder}: a model of type {self.config.model_type!r} reads {model.main_input_name}, not images"
            )
        return model.eval()

    def require(self, weights: str, layers: tuple) -> None:  # noqa: ARG002
        """Refuse weight files that are cut, and a pooler that they lack (transformers would make it up at random)."""
        asked = [layer for layer in layers if str(layer).split(".")[0] == "pooler"]
        has_pooler = any(name.startswith("pooler.") for name, _ in self.skeleton.named_parameters())
        stored = any("pooler" in name.split(".") for name in _stored_names(self.folder))
        if asked and has_pooler and not stored:
            raise BrainalignError(f"layers {asked}: the weights in {self.folder} have no pooler")

    def build(self, *, weights: str, seed: int) -> torch.nn.Module:
        """Load the weights, or draw fresh ones, in float32."""
        model = load_trained(self.folder, self.config)
        return build_untrained(model, seed=seed) if weights == "untrained" else model

    def states(self, model, pixels: torch.Tensor, *, layers: tuple, pool: Callable) -> dict[str, torch.Tensor]:
        """Run one batch; give every layer as `pool` gives it."""
        indices = [layer for layer in layers if isinstance(layer, int)]
        with recording(model, [layer for layer in layers if isinstance(layer, str)], keep=pool) as seen:
            output = model(pixels, **({"output_hidden_states": True} if indices else {}))
        if indices:
            hidden = output.hidden_states
            if hidden is None or len(hidden) != len(self.layers("all")):
                n = 0 if hidden is None else len(hidden)
                raise BrainalignError(
                    f"{self.name!r} returns {n} hidden states, its configuration says {len(self.layers('all')) - 1}"
                    " blocks; name modules by their paths in layers"
                )
            seen = {str(i): pool(hidden[i]) for i in indices} | seen
        return seen

    def files(self, weights: str, *, own_processor: bool) -> list[Path]:
        """List the files that decide the activations."""
        names = ["config.json", *(PROCESSOR_FILES if own_processor else ())]
        paths = [self.folder / name for name in names if (self.folder / name).is_file()]
        return [*paths, *weight_files(self.folder)] if weights == "trained" else paths


class Script:
    """A TorchScript file: its one layer, "output", is the first tensor it returns.

    Parameters
    ----------
    path : Path
    """

    commit = ""

    def __init__(self, path: Path):
        if not path.is_file():
            raise MissingData(f"{path}: no such file; it is the TorchScript model")
        self.path = path

    def layers(self, wanted) -> tuple[str, ...]:
        """There is only "output"."""
        if wanted not in ("all", (SCRIPT_LAYER,)):
            raise BrainalignError(
                f"layers {list(wanted)}: a TorchScript file gives one layer, {SCRIPT_LAYER!r}; its parts cannot be seen"
            )
        return (SCRIPT_LAYER,)

    @cached_property
    def skeleton(self) -> torch.nn.Module:
        """The model itself."""
        return self.build(weights="trained", seed=0)

    def require(self, weights: str, layers: tuple) -> None:  # noqa: ARG002
        """Refuse an untrained twin."""
        if weights == "untrained":
            raise BrainalignError(f'{self.path}: a TorchScript file cannot be built anew; set weights = ["trained"]')

    def build(self, *, weights: str, seed: int) -> torch.nn.Module:  # noqa: ARG002
        """Load the file."""
        self.require(weights, ())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch means those who make such files
            try:
                model = torch.jit.load(self.path, map_location="cpu")
            except (RuntimeError, ValueError) as error:
                raise BrainalignError(f"{self.path}: not a whole TorchScript file ({error})") from error
        return model.eval()

    def states(self, model, pixels: torch.Tensor, *, layers: tuple, pool: Callable) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Run one batch."""
        output = first_tensor(model(pixels))
        if output is None:
            raise BrainalignError(f"{self.path}: the model returns no tensor")
        return {SCRIPT_LAYER: pool(output)}

    def files(self, weights: str, *, own_processor: bool) -> list[Path]:  # noqa: ARG002
        """List the file."""
        self.require(weights, ())
        return [self.path]


class Plain:
    """A torch class, called without arguments; layers are its modules by path, "all" those of the first level.

    Parameters
    ----------
    model : str
        "module:package.module:Class".
    checkpoint : str
        A safetensors file with the trained weights; empty if there are none.
    """

    commit = ""

    def __init__(self, model: str, checkpoint: str):
        self.name = model
        where, _, name = model.removeprefix(PLAIN).partition(":")
        try:
            self.module = importlib.import_module(where)
        except ImportError as error:
            raise BrainalignError(f"model {model!r}: {where!r} cannot be imported ({error})") from error
        if not inspect.isclass(getattr(self.module, name, None)):
            classes = [key for key, value in vars(self.module).items() if inspect.isclass(value)]
            raise UnknownName(f"class of {where}", name, classes)
        self.make = getattr(self.module, name)
        self.checkpoint = Path(checkpoint).expanduser() if checkpoint else None

    def layers(self, wanted) -> tuple[str, ...]:
        """Resolve "all": the modules of the first level, in their order."""
        if wanted == "all":
            return tuple(name for name, _ in self.skeleton.named_children())
        indices = [layer for layer in wanted if isinstance(layer, int)]
        if indices:
            raise BrainalignError(f"layers {indices}: a plain module has no numbered layers; give paths, in quotes")
        return tuple(dict.fromkeys(wanted))

    @cached_property
    def skeleton(self) -> torch.nn.Module:
        """The model with fresh weights."""
        return self._fresh(0)

    def require(self, weights: str, layers: tuple) -> None:  # noqa: ARG002
        """Refuse trained weights where there are none."""
        if weights == "trained" and self.checkpoint is None:
            raise BrainalignError(
                f'model {self.name!r} has no trained weights: give a checkpoint, or set weights = ["untrained"]'
            )
        if weights == "trained" and not self.checkpoint.is_file():
            raise MissingData(f"{self.checkpoint}: no such file; it holds the trained weights of {self.name!r}")

    def build(self, *, weights: str, seed: int) -> torch.nn.Module:
        """Call the class, and load the checkpoint for trained weights; an untrained twin differs in every tensor."""
        fresh = self._fresh(seed)
        if self.checkpoint is None and weights == "untrained":
            return fresh
        trained = self._trained()
        if weights == "trained":
            return trained
        require_all_different(trained, fresh)
        return fresh

    def _fresh(self, seed: int) -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.make()
        if not isinstance(model, torch.nn.Module):
            raise BrainalignError(f"model {self.name!r}: {type(model).__name__} is not a torch.nn.Module")
        return model.float().eval()

    def _trained(self) -> torch.nn.Module:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        self.require("trained", ())
        model = self._fresh(0)
        try:
            model.load_state_dict(load_file(self.checkpoint))
        except (SafetensorError, RuntimeError) as error:
            raise BrainalignError(f"{self.checkpoint}: not the weights of {self.name!r} ({error})") from error
        return model

    def states(self, model, pixels: torch.Tensor, *, layers: tuple, pool: Callable) -> dict[str, torch.Tensor]:
        """Run one batch."""
        with recording(model, layers, keep=pool) as seen:
            model(pixels)
        return seen

    def files(self, weights: str, *, own_processor: bool) -> list[Path]:  # noqa: ARG002
        """List the sources of the classes that the network is made of, and the checkpoint for trained weights."""
        self.require(weights, ())
        classes = {self.make}.union(*(type(module).__mro__ for module in self.skeleton.modules()))
        own = {inspect.getfile(c) for c in classes if c.__module__.partition(".")[0] not in ("builtins", "torch")}
        return [*map(Path, sorted(own)), *([self.checkpoint] if weights == "trained" else [])]


def prepare_with(preprocessing: "Preprocessing") -> Prepare:
    """Give a function that resizes the shorter side, crops the centre, and computes (scale * value - mean) / std."""
    from PIL import Image

    size = preprocessing.size
    mean, std = (np.array(getattr(preprocessing, name), dtype=np.float32) for name in ("mean", "std"))

    def prepare(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        if (height, width) != (size, size):
            ratio = size / min(height, width)
            height, width = (max(size, round(side * ratio)) for side in (height, width))
            resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
            left, top = (width - size) // 2, (height - size) // 2
            image = np.asarray(resized.crop((left, top, left + size, top + size)))
        values = (np.float32(preprocessing.scale) * image.astype(np.float32) - mean) / std
        return values.transpose(2, 0, 1)

    return prepare


def _vision_config(folder: Path):
    with quiet_transformers() as transformers:
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BrainalignError(
                f"{folder / 'config.json'}: transformers {transformers.__version__} cannot read it; code that a model"
                f" brings along is not run, convert the model to a type that transformers has ({error})"
            ) from error
    return getattr(config, "vision_config", config)


def _stored_names(folder: Path) -> set[str]:
    from safetensors import SafetensorError, safe_open

    names: set[str] = set()
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="numpy") as file:
                names |= set(file.keys())
        except SafetensorError as error:
            raise MissingData(f"{path}: not a whole safetensors file ({error})") from error
    return names


class Ahead:
    """Reads and prepares the pictures of the next part in threads, while the model works on those of this one.

    Parameters
    ----------
    parts : list of lists of Picture
    reader : Reader
    prepare : callable
        (height, width, 3) uint8 -> `shape`, float32.
    shape : tuple of int
        What the model is given: channels, height, width.
    """

    def __init__(self, parts: list[list[Picture]], reader: Reader, *, prepare: Prepare, shape: tuple[int, ...]):
        self._parts, self._reader, self._prepare, self._shape = parts, reader, prepare, shape
        self._next = ThreadPoolExecutor(1)
        self._each = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        self._futures: dict[int, Future] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        for threads in (self._next, self._each):
            threads.shutdown(cancel_futures=True)

    def __call__(self, i_part: int) -> np.ndarray:
        """Give the pictures of a part, (n_pictures, channels, height, width), and begin with those of the next."""
        for i in (i_part, i_part + 1):
            if i < len(self._parts) and i not in self._futures:
                self._futures[i] = self._next.submit(self._read, self._parts[i])
        return self._futures.pop(i_part).result()

    def _read(self, pictures: list[Picture]) -> np.ndarray:
        frames = any(picture.frame is not None for picture in pictures)  # of one file, in order: by one thread
        return np.stack(list((map if frames else self._each.map)(self._read_one, pictures)))

    def _read_one(self, picture: Picture) -> np.ndarray:
        image = self._reader.read(picture)
        try:
            pixels = np.asarray(self._prepare(image), dtype=np.float32)
        except (ValueError, RuntimeError) as error:
            raise BrainalignError(f"{picture.path}: the image processor refuses it ({error})") from error
        if pixels.shape != self._shape:
            raise BrainalignError(
                f"{picture.path}: the image processor gives {pixels.shape}, of a square image {self._shape}: it does"
                " not cut images to one size; give a table preprocessing, which does"
            )
        return pixels


class Pool:
    """Pooling over tokens or positions, see `vision`.

    Parameters
    ----------
    kind : {"cls", "mean", "none", "random_projection"}
    n_components, seed : int
        Of the random projection. Its matrix depends on them and on the width of the layer, not on the images.
    """

    def __init__(self, kind: str, *, n_components: int, seed: int):
        self._kind, self._n_components, self._seed = kind, n_components, seed
        self._matrices: dict[int, Any] = {}

    def require(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a layer that cannot be pooled so; `shape` is that of one image."""
        n_values = math.prod(shape)
        if self._kind == "random_projection" and self._n_components > n_values:
            raise BrainalignError(
                f"layer {name}: n_components {self._n_components} is more than its {n_values} values per image"
            )
        if self._kind in ("none", "random_projection"):
            return
        if self._kind == "cls" and len(shape) == 3:
            raise BrainalignError(
                f"layer {name}: {shape} per image are positions, not tokens; pooling cls has no meaning"
            )
        if len(shape) not in (1, 2, 3):
            raise BrainalignError(f"layer {name}: {shape} per image cannot be pooled by {self._kind}; choose none")

    def width(self, shape: tuple[int, ...]) -> int:
        """Give the number of units that are left of a layer."""
        if self._kind == "random_projection":
            return self._n_components
        if self._kind == "none":
            return math.prod(shape)
        return shape[1] if len(shape) == 2 else shape[0]

    def over_positions(self, states: torch.Tensor) -> torch.Tensor:
        """Pool a batch into new memory, float32: (n, ...) -> (n, width), or (n, n_values) for the projection."""
        if self._kind in ("none", "random_projection") or states.ndim == 2:
            return states.flatten(1).to(torch.float32, copy=True)
        if self._kind == "cls":
            return states[:, 0].to(torch.float32, copy=True)
        return states.float().mean(dim=1 if states.ndim == 3 else (2, 3))

    def to_numpy(self, pooled: torch.Tensor) -> np.ndarray:
        """Bring what `over_positions` gave to the CPU, and project it."""
        values = pooled.cpu().numpy()
        if self._kind != "random_projection":
            return values
        return np.ascontiguousarray((self._matrix(values.shape[1]) @ values.T).T)

    def _matrix(self, n_values: int):
        """Draw (n_components, n_values), sparse."""
        from sklearn.random_projection import SparseRandomProjection

        if n_values not in self._matrices:
            drawn = SparseRandomProjection(self._n_components, random_state=self._seed)
            self._matrices[n_values] = drawn.fit(np.zeros((1, n_values), dtype=np.float32)).components_.astype(
                np.float32
            )
        return self._matrices[n_values]
