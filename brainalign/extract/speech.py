"""Speech models on the clock of a recording: wav2vec 2.0, HuBERT, WavLM, data2vec-audio and the encoder of Whisper.

**Time.** The sound of an event is cut in bins of `step` s from its beginning; every bin is a row, at the event's onset
plus the bin's. The last bin may be shorter. Where it could not hold a frame of the model (wav2vec 2.0: below 32.5 ms)
it is joined to the one before, so that no value is made up; `step` itself must not be below that.

**Windows.** The model reads each bin in a window of its own: `context` s of sound up to the bin's end and
`right_context` s after it, as far as the event has sound. Windows at the beginning are shorter (the first holds one
bin): nothing is dropped or padded. In a window every frame sees all others, so that **the window is part of what the
numbers are**: with `right_context` 0 a row knows nothing of the sound after its bin (but for the 0.6 ms of a file that
is resampled), and up to `context` s of the sound before. Sound before the event's beginning is not known, though the
file may have it. Each window is scaled by the model's feature extractor for itself, as if it were all there is.

**Frames.** A frame lies where the centre of its receptive field does, by the arithmetic of the convolutions: wav2vec
2.0 has one every 20 ms from 12.5 ms on, 49 in 1.000 s. A row is the mean of the frames of its bin in the bin's own
window, or the last of them (`pooling`). The last frames that a bin of wav2vec 2.0 could hold, those whose centre is
within 12.5 ms of the window's end, do not exist.

**Layers.** "0" is what enters the first transformer block (after projection, positions and, where the model has it
there, a norm), k the output of block k: `hidden_states[k]` as transformers returns them. After the final norm is the
last of Whisper; the last of the others is as the block leaves it. "conv1" and on are the layers of the convolutional
encoder. They need no windows: each frame sees at most 25 ms, half of it after its centre. They are those of the event's
whole sound, scaled as a whole, computed in pieces that overlap. Where the first convolution is normalised over time
(`feat_extract_norm = "group"`: wav2vec 2.0, HuBERT and WavLM in their base sizes) they depend on everything that is
read, and are taken from the bin's window, like the blocks. Whisper's two convolutions are not given.

**Whisper** reads log-mel spectra of exactly 30 s: every window is padded with silence at its end, as in training, and
costs as much as 30 s. Only frames inside the sound are used (one every 20 ms from 0 on), but their attention sees the
padding. `context` and `right_context` together must not exceed the 30 s.

**Models.** A folder, or a hub id in the HuggingFace cache, with `config.json`, `preprocessor_config.json` and
safetensors; nothing is downloaded here. Windows of one length share a forward pass and are not padded, so that no
attention mask is needed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from brainalign.arrays import Activations, sha256_of
from brainalign.errors import BrainalignError, UnknownName
from brainalign.extract._audio import (
    TOLERANCE,
    audio_problems,
    inspect_sound,
    name_of,
    opened,
    own_clock,
    read_samples,
    stimulus_files,
)
from brainalign.extract._frames import Window, bins_of, windows_of
from brainalign.extract._hub import weight_files
from brainalign.extract._parts import Part, fill
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

ROWS_PER_PART = 128  # not the batch size, which may differ when an interrupted extraction goes on
SECONDS_PER_PIECE = 10  # of sound through the convolutions alone


class Config(BaseModel):
    """Which model, which of its layers, and how much sound each row knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(description="a local folder, or a hub id that was fetched")
    revision: str = Field(
        default="",
        description="commit of a hub id, 40 hexadecimal digits; empty takes the one in the cache and warns",
    )
    layers: Literal["all"] | tuple[int | str, ...] = Field(
        default="all",
        description='0 = what enters the first block, k = output of block k, -1 = the last, "conv1"...; or all',
    )
    step: float = Field(default=0.1, gt=0, description="s of sound per row")
    context: float = Field(default=8.0, gt=0, description="s of sound up to the end of a row that the model reads")
    right_context: float = Field(default=0.0, ge=0, description="s of sound after a row that the model reads as well")
    pooling: Literal["mean", "last"] = Field(default="mean", description="over the frames of a row")
    weights: tuple[Literal["trained", "untrained"], ...] = Field(
        default=("trained",), min_length=1, description="untrained = same configuration, fresh weights"
    )
    seed: int = Field(default=0, ge=0, description="of the untrained weights")
    batch_size: int | Literal["auto"] = Field(
        default="auto", description="windows per forward pass; auto = by their length"
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the computation; float32 is stored"
    )
    device: str = Field(default="cpu", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda, cuda:1, or auto")

    _commit = field_validator("revision")(commit_or_none)
    _layers = field_validator("layers")(some_layer)
    _batch = field_validator("batch_size")(batch_of_some)

    @model_validator(mode="after")
    def _window_holds_the_bin(self) -> Self:
        if self.context < self.step:
            raise ValueError(f"context ({self.context} s) must be at least step ({self.step} s)")
        return self


def layer_names(config: Config) -> tuple[str, ...]:
    """Give the names of the layers that `extract` returns, in order, without the model's weights.

    Raises
    ------
    MissingData
        The model is not on this machine.
    UnknownName
        A layer that the model does not have.
    """
    return tuple(_Reading(config).layers)


def settings(config: Config) -> dict[str, Any]:
    """Give the settings that decide the activations: a local model by its name, not its place, and no `batch_size`.

    What stood in that place is in `fingerprint`.
    """
    recorded = config.model_dump(mode="json", exclude={"batch_size"})
    folder = Path(config.model).expanduser()
    return recorded | {"model": folder.name if folder.is_dir() else config.model}


def fingerprint(config: Config, *, weights: Literal["trained", "untrained"] = "trained") -> dict[str, str]:
    """Give what decides the activations besides `Config` and the events: sha256 of the model's files.

    The untrained twin does not depend on the trained weights, but on how transformers and torch draw fresh ones: their
    versions stand in for the weight files.

    Raises
    ------
    MissingData
        The model is not on this machine.
    """
    from brainalign.extract._speech_model import preprocessor_files, speech_model_files

    folder = speech_model_files(config.model, revision=config.revision).folder
    paths = [folder / "config.json", *preprocessor_files(folder)]
    if weights == "trained":
        paths += weight_files(folder)
    versions = {} if weights == "trained" else _versions("torch", "transformers")
    return {path.name: sha256_of(path) for path in paths} | versions


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in packages}


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`, without running the model; empty when nothing would.

    All sounds are read through once.
    """
    from brainalign.extract._model import device_of, n_parameters

    problems = []
    try:
        device_of(config.device)
        reading = _Reading(config)
        n_parameters(reading.files.folder)  # reads the headers of the weights, which a cut file does not survive
    except BrainalignError as error:
        return [str(error), *_event_problems(events)]
    try:
        for sound in reading.sounds(events):
            try:
                inspect_sound(sound.path, start=sound.start, duration=sound.duration)
            except BrainalignError as error:
                problems.append(str(error))
    except BrainalignError as error:
        problems.append(str(error))
    return problems


def _event_problems(events: pd.DataFrame) -> list[str]:
    """List what keeps events from becoming rows; two sounds at once in a run are no rows in order."""
    problems = audio_problems(events)
    if problems:
        return problems
    for run, of_run in events.groupby("run", sort=False):
        onset, duration = of_run["onset"].to_numpy(float), of_run["duration"].to_numpy(float)
        early = np.flatnonzero(onset[1:] < (onset + duration)[:-1] - TOLERANCE)
        if len(early):
            i = early[0]
            problems.append(
                f"run {run!r}: {len(early)} events begin before the one before them has ended, the first at"
                f" {onset[i + 1]} s (the one before lasts from {onset[i]} to {onset[i] + duration[i]} s)"
            )
    return problems


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will do for one kind of weights.

    Returns
    -------
    counts : dict
        `n_events, n_windows` (rows), `n_samples` (of sound), `n_samples_read` (overlaps counted, and Whisper's
        padding), `n_layers, width` (the largest), `n_parameters, bytes_weights` (float32, in memory) and
        `bytes_result`.

    Raises
    ------
    BrainalignError
        As `extract`, as far as it can be told without decoding sound and without the model's weights.
    """
    from brainalign.extract._model import n_parameters
    from brainalign.extract._speech_model import width_of

    reading = _Reading(config)
    sounds = reading.sounds(events)
    windows = reading.windows(sounds)
    n_weights = n_parameters(reading.files.folder)
    widths = [width_of(layer, reading.model_config) for layer in reading.layers]
    return {
        "n_events": len(events),
        "n_windows": len(windows),
        "n_samples": sum(sound.n_samples for sound in sounds),
        "n_samples_read": sum(reading.n_read(window) for window in windows),
        "n_layers": len(reading.layers),
        "width": max(widths),
        "n_parameters": n_weights,
        "bytes_weights": 4 * n_weights,
        "bytes_result": 4 * len(windows) * sum(widths),
    }


class _Sound(NamedTuple):
    """The part of a file that an event names, from `start` for `duration` s; the rest counts at the model's rate."""

    path: Path
    start: float
    duration: float
    first: int
    n_samples: int


class _Reading:
    """A model's configuration and feature extractor, and how they read events; everything that needs no weights.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config):
        from brainalign.extract._speech_model import (
            convolves_by_window,
            frames_of_layers,
            is_whisper,
            load_config,
            load_feature_extractor,
            speech_model_files,
        )

        self.config = config
        self.files = speech_model_files(config.model, revision=config.revision)
        self.model_config = load_config(self.files.folder)
        self.extractor = load_feature_extractor(self.files.folder, self.model_config)
        self.sfreq = int(self.extractor.sampling_rate)
        frames = frames_of_layers(self.model_config, self.extractor)
        self.layers = {layer: frames[layer] for layer in _chosen(config.layers, list(frames))}
        whole = not is_whisper(self.model_config) and not convolves_by_window(self.model_config)
        self.of_whole = {name: each for name, each in self.layers.items() if whole and name.startswith("conv")}
        self.of_window = {name: each for name, each in self.layers.items() if name not in self.of_whole}
        self.frames = frames["0"]
        self.padded_to = self.extractor.n_samples if is_whisper(self.model_config) else 0
        self._require_window()

    def _require_window(self) -> None:
        config = self.config
        shortest = self.frames.shortest_bin / self.sfreq
        if config.step < shortest:
            raise BrainalignError(
                f"step {config.step} s: the model {config.model!r} has a frame every"
                f" {self.frames.stride / self.sfreq:g} s, and a bin below {shortest:g} s may hold none"
            )
        limit = self.padded_to / self.sfreq
        if limit and config.context + config.right_context > limit:
            raise BrainalignError(
                f"context {config.context} s and right_context {config.right_context} s: the model {config.model!r}"
                f" reads {limit:g} s at once"
            )

    def n_read(self, window: Window) -> int:
        """Give the samples that the model reads for a window."""
        return self.padded_to or window.stop - window.start

    def sounds(self, events: pd.DataFrame) -> list[_Sound]:
        """Give the sound of every event, from the headers of the files."""
        problems = _event_problems(events)
        if problems:
            raise BrainalignError("; ".join(problems))
        starts = events["audio_start"] if "audio_start" in events else np.zeros(len(events))
        sounds = [
            _Sound(Path(path), float(start), float(duration), round(start * self.sfreq), round(duration * self.sfreq))
            for path, start, duration in zip(events["audio"], starts, events["duration"], strict=True)
        ]
        short = [i for i, sound in enumerate(sounds) if sound.n_samples < self.frames.shortest_sound]
        if short:
            needed = self.frames.shortest_sound
            raise BrainalignError(
                f"{len(short)} events are shorter than the {needed} samples ({needed / self.sfreq:g} s) that the model"
                f" {self.config.model!r} needs, the first is {name_of(events, short[0])}, {sounds[short[0]].duration} s"
            )
        return sounds

    def windows(self, sounds: list[_Sound]) -> list[Window]:
        """Give the window of every row."""
        before, after = (round(s * self.sfreq) for s in (self.config.context, self.config.right_context))
        return [
            window
            for i_event, sound in enumerate(sounds)
            for window in windows_of(
                bins_of(sound.n_samples, step=self.config.step * self.sfreq, shortest=self.frames.shortest_bin),
                i_event=i_event,
                before=before,
                after=after,
            )
        ]


def _chosen(layers, known: list[str]) -> list[str]:
    """Give the names of the layers that are wanted, in the order of `known`."""
    if layers == "all":
        return known
    blocks = [name for name in known if not name.startswith("conv")]
    names = [
        blocks[layer] if isinstance(layer, int) and -len(blocks) <= layer < len(blocks) else str(layer)
        for layer in layers
    ]
    for name in names:
        if name not in known:
            raise UnknownName("layer", name, known)
    return [name for name in known if name in names]


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: Literal["trained", "untrained"] = "trained",
    scratch: Path | None = None,
) -> dict[str, Activations]:
    """Give the activations of a speech model for every `step` s of every event's sound.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s), `audio` (a file) and optionally `audio_start` (s, where in the file the event
        begins). Events of a run are in the order of their onsets and do not overlap.
    config : Config
    weights : {"trained", "untrained"}
        "untrained" is the model with fresh weights from `config.seed`; all its tensors differ from the trained ones.
    scratch : Path, optional
        A folder for this very extraction: the result lies there while it is computed, and what an interrupted call has
        finished is not computed again.

    Returns
    -------
    activations : dict of str to Activations
        Layer name to (n_bins, width), float32, all finite; rows `run, onset, duration, audio` by event and time,
        columns `layer, unit`. Memory is that, or with `scratch` little of it, and some seconds of sound in the model,
        however long the events are.

    Raises
    ------
    MissingData
        The model or a sound is not on this machine, or a sound is cut.
    BrainalignError
        Events that cannot be read (all are named), a sound that is silent, not finite or too short, a layer that the
        model does not have, a `step` or `context` that does not fit it, a value that is not finite (its layer and
        place are named).

    References
    ----------
    Baevski et al. (2020), wav2vec 2.0; Hsu et al. (2021), HuBERT; Chen et al. (2022), WavLM; Baevski et al. (2022),
    data2vec; Radford et al. (2023), Whisper. Causal windows over long recordings: Vaidya et al. (2022), Self-supervised
    models of audio effectively explain human cortical responses to speech. The tests compare with one plain forward
    pass of transformers per window, and with one over the whole sound for the convolutions.
    """
    import torch

    from brainalign.extract._model import device_of
    from brainalign.extract._speech_model import load_model

    device = device_of(config.device)
    reading = _Reading(config)
    sounds = reading.sounds(events)
    notes = [_notes(sound, reading.sfreq) for sound in sounds]
    windows = reading.windows(sounds)
    model = load_model(reading.files.folder, reading.model_config, weights=weights, seed=config.seed)
    model = model.to(device=device, dtype=getattr(torch, config.dtype))
    reader = _Reader(reading, model, sounds)
    states = fill(_parts(windows, events, reading.sfreq), reader.read, n_rows=len(windows), scratch=scratch)
    rows = _rows(events, windows, reading.sfreq)
    provenance = _provenance(reading, weights=weights, n_windows=len(windows)) | {
        "sounds": [
            {"audio": sound.path.name, "start": sound.start} | n for sound, n in zip(sounds, notes, strict=True) if n
        ]
    }
    return {
        layer: Activations(states[layer], rows, _columns(layer, states[layer].shape[1]), provenance)
        for layer in reading.layers
    }


def _notes(sound: _Sound, sfreq: int) -> dict[str, Any]:
    """Hear a sound through and say what was remarkable about it."""
    notes = inspect_sound(sound.path, start=sound.start, duration=sound.duration)
    with opened(sound.path) as file:
        return notes if file.samplerate == sfreq else notes | {"resampled_from": file.samplerate}


def _parts(windows: list[Window], events: pd.DataFrame, sfreq: int) -> list[Part]:
    return [
        Part(
            i,
            min(i + ROWS_PER_PART, len(windows)),
            windows[i : i + ROWS_PER_PART],
            f"the rows from {windows[i].first / sfreq:.3f} s of {name_of(events, windows[i].i_event)}",
        )
        for i in range(0, len(windows), ROWS_PER_PART)
    ]


class _Reader:
    """A model that reads windows of sounds.

    Parameters
    ----------
    reading : _Reading
    model : transformers.PreTrainedModel
    sounds : list of _Sound
    """

    def __init__(self, reading: _Reading, model, sounds: list[_Sound]):
        self.reading = reading
        self.model = model
        self.sounds = sounds
        self.scales: dict[int, tuple[float, float]] = {}  # of whole events

    def read(self, windows: list[Window]) -> dict[str, np.ndarray]:
        """Give every layer of consecutive rows, {layer: (n_rows, width)}."""
        layers = {}
        if self.reading.of_window:
            layers |= self._of_window(windows)
        if self.reading.of_whole:
            pieces = [self._of_whole(piece) for piece in self._pieces(windows)]
            layers |= {name: np.concatenate([piece[name] for piece in pieces]) for name in self.reading.of_whole}
        return layers

    def _of_window(self, windows: list[Window]) -> dict[str, np.ndarray]:
        """Read windows of one length together, the longest first, and put their rows in order again."""
        from brainalign.extract._speech_model import read_windows

        sound_of = self._sound_of(windows)
        batches, order = [], []
        for batch in self._batches(windows):
            kept = {
                name: [
                    frames.between(w.first - w.start, w.last - w.start, n_samples=w.stop - w.start)
                    for w in (windows[i] for i in batch)
                ]
                for name, frames in self.reading.of_window.items()
            }
            sounds = [sound_of(windows[i]) for i in batch]
            batches.append(
                read_windows(self.model, self.reading.extractor, sounds, kept=kept, pooling=self.reading.config.pooling)
            )
            order += batch
        place = np.argsort(order)
        return {name: np.concatenate([batch[name] for batch in batches])[place] for name in self.reading.of_window}

    def _batches(self, windows: list[Window]) -> Iterator[list[int]]:
        from brainalign.extract._speech_model import windows_at_once

        lengths = np.array([window.stop - window.start for window in windows])
        for length in np.unique(lengths)[::-1]:
            alike = np.flatnonzero(lengths == length).tolist()
            n = windows_at_once(
                self.reading.config.batch_size,
                n_samples=self.reading.padded_to or int(length),
                sfreq=self.reading.sfreq,
                device=self.model.device.type,
            )
            for i in range(0, len(alike), n):
                yield alike[i : i + n]

    def _sound_of(self, windows: list[Window]):
        """Read the sound of windows, once per event, and give a function from a window to its samples."""
        spans: dict[int, tuple[int, int]] = {}
        for window in windows:
            begin, end = spans.get(window.i_event, (window.start, window.stop))
            spans[window.i_event] = min(begin, window.start), max(end, window.stop)
        samples = {i_event: self._samples(i_event, begin, end) for i_event, (begin, end) in spans.items()}

        def sound_of(window: Window) -> np.ndarray:
            begin = spans[window.i_event][0]
            return samples[window.i_event][window.start - begin : window.stop - begin]

        return sound_of

    def _samples(self, i_event: int, begin: int, end: int) -> np.ndarray:
        """Give samples [begin, end) of an event at the model's rate."""
        sound = self.sounds[i_event]
        return read_samples(sound.path, sfreq=self.reading.sfreq, first=sound.first + begin, n=end - begin)

    def _pieces(self, windows: list[Window]) -> Iterator[list[Window]]:
        """Cut rows where an event ends and after some seconds of sound."""
        piece: list[Window] = []
        for window in windows:
            if piece and (
                window.i_event != piece[0].i_event
                or window.last - piece[0].first > SECONDS_PER_PIECE * self.reading.sfreq
            ):
                yield piece
                piece = []
            piece.append(window)
        yield piece

    def _of_whole(self, bins: list[Window]) -> dict[str, np.ndarray]:
        from brainalign.extract._speech_model import reach_of, read_convolutions

        i_event, layers = bins[0].i_event, self.reading.of_whole
        n_samples = self.sounds[i_event].n_samples
        begin, end = reach_of(layers, bins, n_samples=n_samples)
        mean, scale = self._scale(i_event)
        sound = ((self._samples(i_event, begin, end) - mean) / scale).astype(np.float32)
        return read_convolutions(
            self.model,
            sound,
            begin=begin,
            n_samples=n_samples,
            bins=bins,
            layers=layers,
            pooling=self.reading.config.pooling,
        )

    def _scale(self, i_event: int) -> tuple[float, float]:
        """Give the mean and the standard deviation by which the feature extractor would scale a whole event."""
        if not self.reading.extractor.do_normalize:
            return 0.0, 1.0
        if i_event not in self.scales:
            n, at_once = self.sounds[i_event].n_samples, SECONDS_PER_PIECE * self.reading.sfreq
            total = squares = 0.0
            for i in range(0, n, at_once):
                samples = self._samples(i_event, i, min(i + at_once, n)).astype(np.float64)
                total, squares = total + samples.sum(), squares + (samples**2).sum()
            mean = total / n
            self.scales[i_event] = mean, float(np.sqrt(squares / n - mean**2 + 1e-7))
        return self.scales[i_event]


def _rows(events: pd.DataFrame, windows: list[Window], sfreq: int) -> pd.DataFrame:
    of_event = events.iloc[[window.i_event for window in windows]].reset_index(drop=True)
    first, last = (np.array([getattr(window, name) for window in windows]) / sfreq for name in ("first", "last"))
    return pd.DataFrame(
        {
            "run": of_event["run"],
            "onset": of_event["onset"].to_numpy(float) + first,
            "duration": last - first,
            "audio": of_event["audio"].map(str),
        }
    )


def _columns(layer: str, width: int) -> pd.DataFrame:
    return pd.DataFrame({"layer": layer, "unit": [str(i) for i in range(width)]})


def _provenance(reading: _Reading, *, weights: str, n_windows: int) -> dict[str, Any]:
    config = reading.config
    return {
        "extractor": "speech",
        "settings": settings(config),
        "weights": weights,
        "commit": reading.files.commit,
        "files": fingerprint(config, weights=weights),
        "model_type": reading.model_config.model_type,
        "convolutions_of": "the whole sound" if reading.of_whole else "the window",
        "frame_stride": reading.frames.stride / reading.sfreq,
        "first_frame_centre": reading.frames.first_centre / reading.sfreq,
        "sfreq": reading.sfreq,
        "n_windows": n_windows,
        "versions": _versions("numpy", "scipy", "soundfile", "torch", "transformers"),
    }
