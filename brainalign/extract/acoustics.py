"""Sounds as they are: envelopes, onsets, spectra, pitch and power, on a clock of their own.

The sound of an event is cut in steps of `step` s from its beginning; every step is a row, at the event's onset plus the
step's. What a row says is centred on its middle, so that rows **look ahead** from there: envelopes by two steps (and
12.5 ms for the Hilbert transform), the mel spectrum by 12.5 ms, pitch by 20 ms. The last row of an event may be
shorter; before its beginning and after its end an event is silent, though the file may go on.

Sounds are brought to `sfreq`, and their mean over the event is taken off: an offset changes nothing. No layer is scaled
to the file: a sound that is ten times louder gives an envelope that is 10^compression times larger. Layers:

- "envelope", 1 unit: magnitude of the analytic signal (Hilbert), to the power of `compression`, averaged in a Hann
  window of four steps (half its gain at .25 / step, none at half the rate of the rows).
- "gammatone", `n_bands` units, named by their centre frequencies (Hz): the same of each band of a gammatone filter
  bank, evenly spaced on the ERB scale from `f_min` to `f_max`, the filters' delays taken out.
- "mel", `n_mels` units, named by their centre frequencies (Hz): natural logarithm of the power (not below 1e-10) in
  bands evenly spaced in mel from `f_min` to `f_max`, in 25 ms.
- "onsets", 1 + `n_bands` units: max(0, e_i - e_{i-1}) / step of the envelope ("broadband") and of each band. It is the
  change around the beginning of row i.
- "pitch", 2 units: fundamental frequency `f0` (Hz) and `voicing`, the share of the power that is periodic, by YIN.
  Both are 0 where the sound is unvoiced (voicing below .45). A fundamental outside `pitch_min` to `pitch_max` is taken
  for unvoiced or for a fraction of it.
- "power", 1 unit: root mean square over the step, on a scale on which a sine wave of full scale has .707.

The defaults of `n_bands`, `f_min`, `f_max` and `compression` are those of Biesmans et al. (2017) and of the work after
it on the tracking of speech: 28 bands one ERB apart from 50 to 5000 Hz, to the power of 0.6.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError
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
from brainalign.extract._parts import Part, fill

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

SECONDS_PER_PIECE = 20  # of sound at once
MARGIN = 0.5  # s around a piece; the slowest filter, a gammatone of 20 Hz, has decayed by exp(-40) in it
BROADBAND = "broadband"

Layer = Literal["envelope", "gammatone", "mel", "onsets", "pitch", "power"]


class Config(BaseModel):
    """Which layers, on which clock, and the bands."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    layers: tuple[Layer, ...] = Field(
        default=("envelope", "gammatone", "mel", "onsets", "pitch", "power"),
        min_length=1,
        description="what to compute",
    )
    step: float = Field(default=0.01, gt=0, le=0.1, description="s of sound per row")
    sfreq: int = Field(default=16000, ge=4000, description="Hz to which sounds are brought first")
    n_bands: int = Field(default=28, ge=1, description="gammatone bands")
    n_mels: int = Field(default=40, ge=1, description="mel bands")
    f_min: float = Field(
        default=50.0, ge=20, description="Hz, centre of the lowest gammatone band, edge of the mel bands"
    )
    f_max: float = Field(default=5000.0, description="Hz, centre of the highest gammatone band, edge of the mel bands")
    compression: float = Field(
        default=0.6, gt=0, le=1, description="exponent of envelopes, also before onsets; 1 = none"
    )
    pitch_min: float = Field(default=75.0, ge=50, description="Hz, lowest fundamental that is looked for")
    pitch_max: float = Field(default=500.0, description="Hz, highest fundamental that is looked for")

    @field_validator("layers")
    @classmethod
    def _each_layer_once(cls, layers):
        if len(set(layers)) != len(layers):
            raise ValueError(f"names a layer more than once: {layers}")
        return layers

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        if abs(self.step * self.sfreq - 2 * round(self.step * self.sfreq / 2)) > 1e-6:
            raise ValueError(
                f"step * sfreq must be an even number of samples, got {self.step * self.sfreq:g}"
                f" (step {self.step} s, sfreq {self.sfreq} Hz)"
            )
        if not self.f_min < self.f_max < self.sfreq / 2:
            raise ValueError(
                f"f_max ({self.f_max:g} Hz) must lie above f_min ({self.f_min:g} Hz) and below sfreq / 2"
                f" ({self.sfreq / 2:g} Hz)"
            )
        if not self.pitch_min < self.pitch_max <= self.sfreq / 8:
            raise ValueError(
                f"pitch_max ({self.pitch_max:g} Hz) must lie above pitch_min ({self.pitch_min:g} Hz) and not above"
                f" sfreq / 8 ({self.sfreq / 8:g} Hz)"
            )
        return self


def layer_names(config: Config) -> tuple[str, ...]:
    """Give the names of the layers that `extract` returns, in order."""
    return config.layers


def settings(config: Config) -> dict[str, Any]:
    """Give the settings, which together with the sounds decide the values."""
    return config.model_dump(mode="json")


def fingerprint(config: Config, *, weights: str = "trained") -> dict[str, str]:  # noqa: ARG001
    """Give what decides the values beside `Config` and the sounds: nothing."""
    return {}


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`; empty when nothing would. All sounds are read through once."""
    problems = []
    try:
        _units(config)
    except BrainalignError as error:
        problems.append(str(error))
    try:
        sounds = _sounds(events, config)
    except BrainalignError as error:
        return [*problems, str(error)]
    for sound in sounds:
        try:
            inspect_sound(sound.path, start=sound.start, duration=sound.duration)
        except BrainalignError as error:
            problems.append(str(error))
    return problems


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will do.

    Returns
    -------
    counts : dict
        `n_events, n_samples` (of sound, at `sfreq`), `n_pieces, n_rows, n_layers, width` (the largest) and
        `bytes_result`.

    Raises
    ------
    BrainalignError
        As `extract`, as far as it can be told without decoding sound.
    """
    sounds = _sounds(events, config)
    n_rows = sum(_n_rows(sound, config) for sound in sounds)
    widths = [len(units) for units in _units(config).values()]
    return {
        "n_events": len(events),
        "n_samples": sum(sound.n_samples for sound in sounds),
        "n_pieces": len(_pieces(sounds, config)),
        "n_rows": n_rows,
        "n_layers": len(widths),
        "width": max(widths),
        "bytes_result": 4 * n_rows * sum(widths),
    }


class _Sound(NamedTuple):
    """The part of a file that an event names: from `start`, for `duration` s; `first` and `n_samples` at `sfreq`."""

    path: Path
    start: float
    duration: float
    first: int
    n_samples: int


class _Piece(NamedTuple):
    """Rows [begin, end) of a sound."""

    i_event: int
    sound: _Sound
    begin: int
    end: int


def _sounds(events: pd.DataFrame, config: Config) -> list[_Sound]:
    """Give the sound of every event, from the headers of the files."""
    problems = audio_problems(events) or _overlaps(events)
    if problems:
        raise BrainalignError("; ".join(problems))
    starts = events["audio_start"] if "audio_start" in events else np.zeros(len(events))
    sounds = [
        _Sound(Path(path), float(start), float(length), round(start * config.sfreq), round(length * config.sfreq))
        for path, start, length in zip(events["audio"], starts, events["duration"], strict=True)
    ]
    short = [i for i, sound in enumerate(sounds) if sound.n_samples < _hop(config)]
    if short:
        raise BrainalignError(
            f"{len(short)} events are shorter than one step ({config.step} s), the first is"
            f" {name_of(events, short[0])}, duration {sounds[short[0]].duration} s"
        )
    return sounds


def _overlaps(events: pd.DataFrame) -> list[str]:
    """List runs with two sounds at once, which would not give rows in order."""
    problems = []
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


def _hop(config: Config) -> int:
    return round(config.step * config.sfreq)


def _n_rows(sound: _Sound, config: Config) -> int:
    return -(-sound.n_samples // _hop(config))


def _pieces(sounds: list[_Sound], config: Config) -> list[_Piece]:
    at_once = round(SECONDS_PER_PIECE / config.step)
    return [
        _Piece(i_event, sound, begin, min(begin + at_once, _n_rows(sound, config)))
        for i_event, sound in enumerate(sounds)
        for begin in range(0, _n_rows(sound, config), at_once)
    ]


def _units(config: Config) -> dict[str, list[str]]:
    """Name the units of every layer.

    Raises
    ------
    BrainalignError
        A mel band that is too narrow.
    """
    from brainalign.extract import _acoustics

    frequencies = _acoustics.centre_frequencies(config.f_min, config.f_max, config.n_bands)
    bands = [f"{frequency:.1f}" for frequency in frequencies]
    units = {
        "envelope": [BROADBAND],
        "gammatone": bands,
        "onsets": [BROADBAND, *bands],
        "pitch": ["f0", "voicing"],
        "power": ["rms"],
    }
    if "mel" in config.layers:
        n_bins = _acoustics.n_fft(_acoustics.mel_length(config.sfreq)) // 2 + 1
        _acoustics.mel_filters(config.f_min, config.f_max, config.n_mels, n_bins=n_bins, sfreq=config.sfreq)
        centres = _acoustics.mel_edges(config.f_min, config.f_max, config.n_mels)[1:-1]
        units["mel"] = [f"{frequency:.1f}" for frequency in centres]
    return {layer: units[layer] for layer in config.layers}


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: str = "trained",  # noqa: ARG001
    scratch: Path | None = None,
) -> dict[str, Activations]:
    """Give the time courses of the sounds of all events.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s), `audio` (a file) and, for parts of longer files, `audio_start` (s in the file).
        Events of a run are in the order of their onsets and do not overlap.
    config : Config
    weights : str
        Has no meaning here; nothing is trained.
    scratch : Path, optional
        A folder for this very extraction: the result lies there while it is computed, and what an interrupted call has
        finished is not computed again.

    Returns
    -------
    activations : dict of str to Activations
        Layer name to (n_rows, n_units), float32, all finite; rows `run, onset, duration, audio` by event and time,
        columns `layer, unit`. Memory is that and some 20 s of sound, however long the events are.

    Raises
    ------
    MissingData
        A sound is not on this machine, or is cut.
    BrainalignError
        Events that cannot be read (all are named), a sound that is silent, not finite or shorter than a step, mel bands
        that are too narrow.

    References
    ----------
    Biesmans, Das, Francart & Bertrand (2017), IEEE TNSRE 25:402-412, envelopes of gammatone bands to the power of 0.6;
    De Cheveigné & Kawahara (2002), YIN. Oracles are named at each function of `_acoustics` and `_pitch`.
    """
    units = _units(config)
    sounds = _sounds(events, config)
    notes = [_notes(sound, config.sfreq) for sound in sounds]
    pieces = _pieces(sounds, config)
    n_rows = sum(_n_rows(sound, config) for sound in sounds)
    offsets = [_offset(sound, config.sfreq) for sound in sounds]
    layers_of = partial(_layers_of, config=config, offsets=offsets)
    values = fill(_parts(pieces, events, config), layers_of, n_rows=n_rows, scratch=scratch)
    rows = _rows(events, sounds, config)
    provenance = {
        "extractor": "acoustics",
        "settings": settings(config),
        "files": fingerprint(config),
        "sounds": [
            {"audio": sound.path.name, "start": sound.start} | noted
            for sound, noted in zip(sounds, notes, strict=True)
            if noted
        ],
        "versions": _versions("numpy", "scipy", "soundfile"),
    }
    return {
        layer: Activations(values[layer], rows, pd.DataFrame({"layer": layer, "unit": names}), provenance)
        for layer, names in units.items()
    }


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in packages}


def _notes(sound: _Sound, sfreq: int) -> dict[str, Any]:
    """Hear a sound through and say what was remarkable about it."""
    notes = inspect_sound(sound.path, start=sound.start, duration=sound.duration)
    with opened(sound.path) as file:
        return notes if file.samplerate == sfreq else notes | {"resampled_from": file.samplerate}


def _offset(sound: _Sound, sfreq: int) -> float:
    """Give the mean of a sound."""
    at_once = round(SECONDS_PER_PIECE * sfreq)
    total = 0.0
    for begin in range(0, sound.n_samples, at_once):
        n = min(at_once, sound.n_samples - begin)
        total += float(read_samples(sound.path, sfreq=sfreq, first=sound.first + begin, n=n).sum(dtype=np.float64))
    return total / sound.n_samples


def _parts(pieces: list[_Piece], events: pd.DataFrame, config: Config) -> list[Part]:
    parts, start = [], 0
    for piece in pieces:
        stop = start + piece.end - piece.begin
        name = f"the rows from {piece.begin * config.step:.3f} s of {name_of(events, piece.i_event)}"
        parts.append(Part(start, stop, piece, name))
        start = stop
    return parts


def _layers_of(piece: _Piece, *, config: Config, offsets: list[float]) -> dict[str, np.ndarray]:
    """Compute all layers for the rows of a piece, and for the row before them, from which the first onset is told."""
    from brainalign.extract import _acoustics
    from brainalign.extract._pitch import pitch

    hop, margin, sfreq = _hop(config), round(MARGIN * config.sfreq), config.sfreq
    rows = _acoustics.Rows(n=piece.end - piece.begin + 1, hop=hop, margin=margin)
    begin, end = (piece.begin - 1) * hop - margin, piece.end * hop + margin
    sound = _samples(piece.sound, begin, end, sfreq=sfreq, offset=offsets[piece.i_event])
    bands = {"f_min": config.f_min, "f_max": config.f_max, "sfreq": sfreq}
    layers: dict[str, np.ndarray] = {}
    if "power" in config.layers:
        layers["power"] = _acoustics.root_mean_square(sound, rows)[:, None]
    if "mel" in config.layers:
        layers["mel"] = _acoustics.log_mel_spectrum(sound, rows, n_bands=config.n_mels, **bands)
    if "pitch" in config.layers:
        layers["pitch"] = pitch(sound, rows, f_min=config.pitch_min, f_max=config.pitch_max, sfreq=sfreq)
    if {"envelope", "gammatone", "onsets"} & set(config.layers):
        layers |= _envelopes(sound, rows, config)
    return {layer: layers[layer][1:] for layer in config.layers}


def _envelopes(sound: np.ndarray, rows, config: Config) -> dict[str, np.ndarray]:
    """Give the envelope of the sound and of its bands, compressed and smoothed, and their onsets."""
    from brainalign.extract import _acoustics

    broadband = rows.smooth(_acoustics.hilbert_envelope(sound, sfreq=config.sfreq) ** config.compression)[:, None]
    if not {"gammatone", "onsets"} & set(config.layers):
        return {"envelope": broadband}
    bands = [
        rows.smooth(_acoustics.gammatone_envelope(sound, frequency, sfreq=config.sfreq) ** config.compression)
        for frequency in _acoustics.centre_frequencies(config.f_min, config.f_max, config.n_bands)
    ]
    gammatone = np.stack(bands, axis=1)  # (n_rows, n_bands)
    both = np.hstack([broadband, gammatone])
    rise = np.diff(both, axis=0, prepend=both[:1]) / config.step  # of the row before the piece it is not known, and 0
    return {"envelope": broadband, "gammatone": gammatone, "onsets": np.maximum(rise, 0)}


def _samples(sound: _Sound, begin: int, end: int, *, sfreq: int, offset: float) -> np.ndarray:
    """Give samples [begin, end) of an event's sound without its offset; beyond its beginning and end they are 0."""
    samples = np.zeros(end - begin)
    first, last = max(begin, 0), min(end, sound.n_samples)
    heard = read_samples(sound.path, sfreq=sfreq, first=sound.first + first, n=last - first)
    samples[first - begin : last - begin] = heard.astype(np.float64) - offset
    return samples


def _rows(events: pd.DataFrame, sounds: list[_Sound], config: Config) -> pd.DataFrame:
    """Give when every row is heard."""
    hop = _hop(config)
    n_rows = [_n_rows(sound, config) for sound in sounds]
    i_event = np.repeat(np.arange(len(sounds)), n_rows)
    i_row = np.concatenate([np.arange(n) for n in n_rows])
    n_samples = np.array([sound.n_samples for sound in sounds])[i_event]
    of_event = events.iloc[i_event].reset_index(drop=True)
    return pd.DataFrame(
        {
            "run": of_event["run"],
            "onset": of_event["onset"].to_numpy(float) + i_row * hop / config.sfreq,
            "duration": np.minimum(hop, n_samples - i_row * hop) / config.sfreq,
            "audio": of_event["audio"].map(str),
        }
    )
