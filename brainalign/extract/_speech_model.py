"""Speech models of transformers from a local folder, and sound through them: all layers of a batch in one pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from brainalign.errors import BrainalignError, MissingData
from brainalign.extract._frames import Frames, Window, frames_of_convolutions
from brainalign.extract._hub import PREPROCESSOR_FILES, ModelFiles, resolve_model
from brainalign.extract._model import build_untrained, inference, load_trained, quiet_transformers

FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper")
NOT_NEEDED = ("masked_spec_embed",)  # stands for masked frames in training alone; fine-tuned models lack it
SECONDS_PER_BATCH = {"cpu": 8, "cuda": 1024}  # more is no faster on a CPU, and takes memory


def speech_model_files(model: str, *, revision: str = "") -> ModelFiles:
    """Find a speech model's files on this machine; the network is never touched.

    Parameters
    ----------
    model : str
        A folder that exists, or a hub id that was fetched.
    revision : str
        The commit of a hub id; when empty, the one in the cache.

    Returns
    -------
    files : ModelFiles

    Raises
    ------
    MissingData
        Nothing there, no safetensors weights, or no `preprocessor_config.json`.
    """
    files = resolve_model(model, revision=revision, tokenizer=False)
    preprocessor_files(files.folder)
    return files


def preprocessor_files(folder: Path) -> list[Path]:
    """List the files of a model folder that decide how sound is put before the model.

    Raises
    ------
    MissingData
        None of them.
    """
    found = [folder / name for name in PREPROCESSOR_FILES if (folder / name).is_file()]
    if not found:
        raise MissingData(
            f"{folder / PREPROCESSOR_FILES[0]}: no such file, which says how sound is scaled and at which rate; save it"
            " with `feature_extractor.save_pretrained`"
        )
    return found


def load_config(folder: Path):
    """Read a speech model's configuration.

    Raises
    ------
    BrainalignError
        Transformers does not know the model, or it is not one of `FAMILIES`.
    """
    with quiet_transformers() as transformers:
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BrainalignError(
                f"{folder / 'config.json'}: transformers {transformers.__version__} cannot read it; code that a model"
                f" brings along is not run ({error})"
            ) from error
    if config.model_type not in FAMILIES:
        raise BrainalignError(
            f"{folder}: a model of type {config.model_type!r} is none of the speech models that are read here:"
            f" {', '.join(FAMILIES)}"
        )
    return config


def load_feature_extractor(folder: Path, model_config):
    """Load what scales sound for the model, or turns it into a spectrogram.

    Raises
    ------
    BrainalignError
        It cannot be loaded, or belongs to another kind of model.
    """
    with quiet_transformers() as transformers:
        try:
            extractor = transformers.AutoFeatureExtractor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise BrainalignError(f"{folder}: the feature extractor cannot be loaded ({error})") from error
    wanted = "WhisperFeatureExtractor" if is_whisper(model_config) else "Wav2Vec2FeatureExtractor"
    if type(extractor).__name__ != wanted:
        raise BrainalignError(
            f"{folder}: {type(extractor).__name__} does not belong to a model of type {model_config.model_type!r},"
            f" which has a {wanted}"
        )
    if is_whisper(model_config) and (
        extractor.nb_max_frames != 2 * model_config.max_source_positions
        or extractor.feature_size != model_config.num_mel_bins
    ):
        raise BrainalignError(
            f"{folder}: the feature extractor gives {extractor.nb_max_frames} frames of {extractor.feature_size} bands,"
            f" the model reads {2 * model_config.max_source_positions} of {model_config.num_mel_bins}"
        )
    return extractor


def is_whisper(model_config) -> bool:
    """Tell whether the model reads spectrograms that are padded to one length."""
    return model_config.model_type == "whisper"


def convolves_by_window(model_config) -> bool:
    """Tell whether the convolutions see the whole window: the first one is normalised over time in some models."""
    return getattr(model_config, "feat_extract_norm", "layer") == "group"


def frames_of_layers(model_config, extractor) -> dict[str, Frames]:
    """Give the layers there are, in order, and where their frames lie."""
    names = [str(k) for k in range(model_config.num_hidden_layers + 1)]
    if is_whisper(model_config):  # convolutions of 3 spectra, 1 and then 2 apart, padded
        hop, width = extractor.hop_length, extractor.n_fft
        return dict.fromkeys(names, Frames(2 * hop, width + 4 * hop, -2 * hop - width // 2))
    convolutions = frames_of_convolutions(tuple(model_config.conv_kernel), tuple(model_config.conv_stride))
    by_name = {f"conv{i}": frames for i, frames in enumerate(convolutions, start=1)}
    return by_name | dict.fromkeys(names, convolutions[-1])


def width_of(layer: str, model_config) -> int:
    """Give the number of units of a layer."""
    if layer.startswith("conv"):
        return model_config.conv_dim[int(layer.removeprefix("conv")) - 1]
    return model_config.hidden_size


def load_model(folder: Path, model_config, *, weights: str, seed: int):
    """Load a model in float32, or build its untrained twin, ready for inference; of Whisper the encoder alone.

    Raises
    ------
    BrainalignError
        The files lack weights of the model (transformers would make them up at random), or cannot be read; a tensor of
        the twin is as the trained one.
    """
    model = load_trained(folder, model_config, not_needed=NOT_NEEDED)
    if weights == "untrained":
        model = build_untrained(model, seed=seed)
    return model.encoder if is_whisper(model_config) else model


def windows_at_once(batch_size: int | str, *, n_samples: int, sfreq: int, device: str) -> int:
    """Give the number of windows of `n_samples` per forward pass; "auto" fills 8 s on a CPU and 1,024 s on a GPU."""
    if batch_size != "auto":
        return batch_size
    return max(1, SECONDS_PER_BATCH[device.partition(":")[0]] * sfreq // n_samples)


def read_windows(
    model, extractor, sounds: list[np.ndarray], *, kept: dict[str, list[tuple[int, int]]], pooling: str
) -> dict[str, np.ndarray]:
    """Put windows of one length through a model, once for all layers, and pool the frames that are kept.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    extractor : transformers feature extractor
        Scales each window for itself.
    sounds : list of float32 arrays of one length
        One per window.
    kept : dict of str to list of (int, int)
        For every layer that is wanted, the frames [first, stop) of each window.
    pooling : {"mean", "last"}

    Returns
    -------
    pooled : dict of str to float32 array of shape (n_windows, width)

    Raises
    ------
    BrainalignError
        The model returns another number of hidden states than its configuration says.
    """
    found = {}

    def pool(layer: str, states) -> None:
        found[layer] = _pooled(states, kept[layer], pooling)

    place = {"device": str(model.device)} if is_whisper(model.config) else {}  # the spectrogram is computed there
    inputs = extractor(sounds, sampling_rate=extractor.sampling_rate, return_tensors="pt", **place)
    inputs = inputs[model.main_input_name].to(device=model.device, dtype=model.dtype)
    with inference(), _convolutions_heard(model, kept, pool):
        hidden = model(inputs, output_hidden_states=True).hidden_states
        n_blocks = model.config.num_hidden_layers
        if len(hidden) != n_blocks + 1:
            raise BrainalignError(
                f"the model returns {len(hidden)} hidden states, its configuration says {n_blocks} blocks"
            )
        for k, states in enumerate(hidden):
            if str(k) in kept:
                pool(str(k), states)
    return {layer: found[layer] for layer in kept}


@contextmanager
def _convolutions_heard(model, layers, pool: Callable) -> Iterator[None]:
    """Have the convolutional layers among `layers` pooled as they are computed: kept whole they would be the largest.

    Their states come as (n_windows, width, n_frames).
    """
    wanted = [layer for layer in layers if layer.startswith("conv")]
    hooks = [
        _convolution(model, layer).register_forward_hook(
            lambda _module, _inputs, states, layer=layer: pool(layer, states.transpose(1, 2))
        )
        for layer in wanted
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _convolution(model, layer: str):
    return model.feature_extractor.conv_layers[int(layer.removeprefix("conv")) - 1]


def _pooled(states, kept: list[tuple[int, int]], pooling: str) -> np.ndarray:
    """Pool (n_windows, n_frames, width) over the frames [first, stop) of each window, in float32."""
    import torch

    rows = [of_window[first:stop].float() for of_window, (first, stop) in zip(states, kept, strict=True)]
    rows = [row[-1] if pooling == "last" else row.mean(dim=0) for row in rows]
    return torch.stack(rows).cpu().numpy()


def read_convolutions(
    model, sound: np.ndarray, *, begin: int, n_samples: int, bins: list[Window], layers: dict[str, Frames], pooling: str
) -> dict[str, np.ndarray]:
    """Give convolutional layers as they are for a whole sound, from a piece of it.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Its convolutions are not normalised over time.
    sound : float32 array
        Samples of the whole as `reach_of` says, scaled as the whole is.
    begin, n_samples : int
        Where they begin, and the length of the whole.
    bins : list of Window
        Of which [first, last) count.
    layers : dict of str to Frames
        Those that are wanted.
    pooling : {"mean", "last"}

    Returns
    -------
    pooled : dict of str to float32 array of shape (n_bins, width)
    """
    import torch

    pooled = {}
    states = torch.from_numpy(sound)[None, None].to(device=model.device, dtype=model.dtype)  # (1, 1, n_samples)
    with inference():
        for depth, convolution in enumerate(model.feature_extractor.conv_layers, start=1):
            states = convolution(states)  # (1, width, n_frames)
            frames = layers.get(f"conv{depth}")
            if frames:
                skipped = begin // frames.stride
                kept = [frames.between(each.first, each.last, n_samples=n_samples) for each in bins]
                kept = [(first - skipped, stop - skipped) for first, stop in kept]
                pooled[f"conv{depth}"] = _pooled(states.transpose(1, 2).expand(len(kept), -1, -1), kept, pooling)
            if len(pooled) == len(layers):
                break
    return pooled


def reach_of(layers: dict[str, Frames], bins: list[Window], *, n_samples: int) -> tuple[int, int]:
    """Give the samples [begin, end) of a sound that the frames of consecutive bins are computed from.

    `begin` is a multiple of the deepest layer's stride, so that the frames of all layers keep their places.
    """
    deepest = max(layers.values())  # strides and receptive fields grow with depth
    begin = max(0, int(bins[0].first - deepest.size / 2)) // deepest.stride * deepest.stride
    return begin, min(n_samples, bins[-1].last + deepest.size // 2 + 1)
