"""What is in a picture before any network: pixels, luminance and contrast, energy of edges; no weights.

What pictures are and how they are read is told in `_images`; several images in one event are averaged, a video gives
one row per frame. Values are those of the file (sRGB, as they are, not linear in light), 0 = black, 1 = white. Grey is
.299 red + .587 green + .114 blue (Rec. 601). Layers:

- `pixels`: the picture stretched to `size` x `size` (bicubic), as it is or grey; units "y0_x0" from the top left
  corner, or "y0_x0_red".
- `luminance`: of the whole picture, not resized: mean grey, its standard deviation (RMS contrast, Peli 1990), and the
  means of red, green and blue.
- `gabor`: local energy, as of complex cells. The grey picture is stretched to `gabor_size` x `gabor_size`. For
  frequency f (cycles per picture), f x f positions and orientations theta = 0, 180 / n, ... degrees (0: bars that
  stand upright):

      energy = 2 |sum_p g(p) (I(p) - m) exp(2 pi i f (x cos theta + y sin theta))| / sum_p g(p)

  with g a Gaussian of standard deviation 0.562 / f of the picture (a bandwidth of one octave) and m such that an even
  picture gives 0. A grating of that frequency and orientation and of amplitude a gives a. Units "f4_o45_y0_x3".
"""

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError
from brainalign.extract._images import BACKGROUND, Reader, image_problems, look_at, own_clock, shown_by, stimulus_files
from brainalign.extract._parts import fill

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

LUMA = np.array([0.299, 0.587, 0.114])
CHANNELS = ("red", "green", "blue")
OCTAVE = 0.5622  # standard deviation times frequency of a Gabor wavelet that is one octave wide at half height
PICTURES_PER_PART = 16

Layer = Literal["pixels", "luminance", "gabor"]


class Config(BaseModel):
    """Which layers, and at what size."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    layers: tuple[Layer, ...] = Field(
        default=("pixels", "luminance", "gabor"), min_length=1, description="which of the three"
    )
    size: int = Field(default=32, ge=1, description="pixels per side of the layer pixels")
    colour: Literal["grey", "rgb"] = Field(default="grey", description="of the layer pixels")
    gabor_size: int = Field(default=128, ge=8, description="pixels per side under the Gabor wavelets")
    frequencies: tuple[int, ...] = Field(
        default=(2, 4, 8, 16), min_length=1, description="of the Gabor wavelets, cycles per picture"
    )
    n_orientations: int = Field(default=8, ge=1, description="of the Gabor wavelets, evenly over 180 degrees")
    background: int = Field(default=BACKGROUND, ge=0, le=255, description="grey level behind transparent pixels")

    @model_validator(mode="after")
    def _wavelets_fit(self) -> Self:
        if not 1 <= min(self.frequencies) <= max(self.frequencies) <= self.gabor_size / 4:
            raise ValueError(f"frequencies must be 1 to {self.gabor_size // 4}, a quarter of gabor_size")
        for name in ("layers", "frequencies"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} names something twice")
        return self


def layer_names(config: Config) -> tuple[str, ...]:
    """Give the names of the layers, in the order of the configuration."""
    return config.layers


def settings(config: Config) -> dict[str, Any]:
    """Give the settings that decide the values: all of them."""
    return config.model_dump(mode="json")


def fingerprint(config: Config, *, weights: str = "trained") -> dict[str, str]:  # noqa: ARG001
    """Give nothing: there are no files besides the pictures."""
    return {}


def check(events: pd.DataFrame, config: Config) -> list[str]:  # noqa: ARG001
    """List what would stop `extract`; pictures are opened, not decoded."""
    return image_problems(events)


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will give: `n_events, n_rows, n_stimuli, n_layers, width` (the largest), `bytes_result`."""
    shown = shown_by(events)
    widths = [len(unit_names(layer, config)) for layer in config.layers]
    return {
        "n_events": len(events),
        "n_rows": len(shown.rows),
        "n_stimuli": len(shown.groups),
        "n_layers": len(widths),
        "width": max(widths),
        "bytes_result": 4 * len(shown.rows) * sum(widths),
    }


def unit_names(layer: Layer, config: Config) -> list[str]:
    """Name the units of a layer, in the order of its columns."""
    if layer == "luminance":
        return ["luminance", "rms_contrast", *CHANNELS]
    if layer == "pixels":
        suffixes = [""] if config.colour == "grey" else [f"_{name}" for name in CHANNELS]
        return [f"y{y}_x{x}{suffix}" for y in range(config.size) for x in range(config.size) for suffix in suffixes]
    return [
        f"f{f}_o{180 * k / config.n_orientations:g}_y{y}_x{x}"
        for f in config.frequencies
        for k in range(config.n_orientations)
        for y in range(f)
        for x in range(f)
    ]


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: str = "trained",  # noqa: ARG001
    scratch: Path | None = None,
) -> dict[str, Activations]:
    """Give pixels, luminance and Gabor energies for every event, or every frame of a video.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s) and `image` or `video`. Events of a run in the order of their onsets.
    config : Config
    weights : str
        Has no meaning here; pictures have no weights.
    scratch : Path, optional
        A folder where what is done stays, for this very extraction; a call that was interrupted goes on there.

    Returns
    -------
    activations : dict of str to Activations
        Layer name to (n_rows, n_units), float32, all finite; `provenance["images"]` counts what was done to the
        pictures.

    Raises
    ------
    MissingData
        Stimulus files are not there.
    BrainalignError
        A picture that cannot be read.

    References
    ----------
    Kay et al. (2008), Nature 452:352 (Gabor wavelet pyramid); Peli (1990), J Opt Soc Am A 7:2032 (RMS contrast). The
    tests compare with gratings, whose energy is known in closed form, and with sums written out.
    """
    shown = shown_by(events)
    notes, problems = look_at(shown)
    if problems:
        raise BrainalignError("; ".join(problems))
    parts = shown.parts(PICTURES_PER_PART)
    computed = {"pixels": pixels, "luminance": luminance, "gabor": GaborPyramid(config)}
    with Reader(config.background) as reader:

        def compute(i_part: int) -> dict[str, np.ndarray]:
            pictures = [reader.read(picture) for picture in shown.pictures(parts[i_part])]
            values = {name: np.stack([computed[name](image, config) for image in pictures]) for name in config.layers}
            return {name: shown.mean(of_layer, parts[i_part]) for name, of_layer in values.items()}

        layers = fill(parts, compute, n_rows=len(shown.groups), scratch=scratch)
    provenance = {
        "extractor": "pixels",
        "settings": settings(config),
        "files": fingerprint(config),
        "images": {"n_pictures": sum(map(len, shown.groups)), "notes": notes},
    }
    return {
        name: shown.activations(name, layers[name], units=unit_names(name, config), provenance=provenance)
        for name in config.layers
    }


def pixels(image: np.ndarray, config: Config) -> np.ndarray:
    """Give the pixels of an image (height, width, 3), resized: (size^2,) grey or (3 size^2,), 0..1."""
    resized = _stretched(image, config.size) / 255
    return (resized @ LUMA if config.colour == "grey" else resized).ravel()


def luminance(image: np.ndarray, _: Config) -> np.ndarray:
    """Give mean grey, its standard deviation, and mean red, green and blue of an image (height, width, 3): (5,)."""
    values = image / 255
    grey = values @ LUMA
    return np.array([grey.mean(), grey.std(), *values.mean(axis=(0, 1))])


class GaborPyramid:
    """Wavelets as two factors each, one along x and one along y: their Gaussian is round.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config):
        size, angles = config.gabor_size, np.pi * np.arange(config.n_orientations) / config.n_orientations
        self._levels = []
        for f in config.frequencies:
            centres = (np.arange(f) + 0.5) * size / f - 0.5
            distance = (np.arange(size) - centres[:, None]) / size  # (f, size), in pictures
            window = np.exp(-0.5 * (distance * f / OCTAVE) ** 2)
            waves = np.exp(2j * np.pi * f * np.stack([np.cos(angles), np.sin(angles)])[..., None, None] * distance)
            self._levels.append((window, *(window * waves)))  # along x, along y: (n_orientations, f, size)

    def __call__(self, image: np.ndarray, config: Config) -> np.ndarray:
        """Give the energies of an image (height, width, 3): (n_units,)."""
        grey = _stretched(image, config.gabor_size) / 255 @ LUMA  # (gabor_size, gabor_size)
        return np.concatenate([_energy(grey, *level).ravel() for level in self._levels])


def _energy(grey: np.ndarray, window: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """Give the energy of one frequency: (n_orientations, f, f), orientation, y, x."""
    area = np.outer(window.sum(axis=1), window.sum(axis=1))  # (f, f): less at the edges, where the window is cut
    mean = window @ grey @ window.T / area
    of_even = along_y.sum(axis=2)[:, :, None] * along_x.sum(axis=2)[:, None, :]  # what a picture of ones gives
    response = along_y @ grey @ along_x.transpose(0, 2, 1)
    return 2 * np.abs(response - mean * of_even) / area


def _stretched(image: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
