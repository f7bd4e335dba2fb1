"""Pictures from files as they are meant to look: upright, 8 bits of red, green and blue; what was done is noted.

Events name pictures in one of two columns:

- `image`: the path of a file; or several, separated by "|", which count as one stimulus (their activations are
  averaged). A path cannot hold a "|".
- `video`: a folder of frames (image files, in the order of the numbers in their names), which are spread evenly over
  the event's duration; or an animated GIF, PNG or WebP, whose frames last as the file says, and together as long as the
  event, to within one frame. Every frame is a row.

Relative paths start at the working directory.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError, Misaligned, MissingData
from brainalign.extract._parts import Part

SEPARATOR = "|"
BACKGROUND = 128
MAX_PIXELS = 89_478_485  # Pillow warns from here and refuses twice as many; refused here from here
MAX_RATIO = 50  # of the sides
ORIENTATION = 0x0112  # the EXIF tag
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)  # what Pillow's decoders raise
FRAME_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".npy"}
GREY = {"1", "L", "LA", "La", "I", "F"}


class Picture(NamedTuple):
    """One picture: a file, or a frame of an animation."""

    path: Path
    frame: int | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """What events show, every stimulus once, however often it was shown.

    Parameters
    ----------
    rows : DataFrame of n_rows rows
        `run, onset, duration` (s) and `image`, or `video` and `frame`.
    groups : tuple of tuples of Picture
        The stimuli: pictures whose activations are averaged, mostly one.
    index : array of int of shape (n_rows,)
        The stimulus of each row.
    """

    rows: pd.DataFrame
    groups: tuple[tuple[Picture, ...], ...]
    index: np.ndarray

    def name_of(self, i_group: int) -> str:
        """Give what to call a stimulus in an error: the row that shows it first."""
        i_row = int(np.flatnonzero(self.index == i_group)[0])
        row = self.rows.iloc[i_row]
        what = f"video {row['video']!r}, frame {row['frame']}" if "video" in row else f"image {row['image']!r}"
        return f"{what} (run {row['run']!r}, row {i_row})"

    def parts(self, n_pictures: int) -> list[Part]:
        """Divide the stimuli into parts of at most `n_pictures`, or one stimulus; `item` is the part's number."""
        starts, n = [0], 0
        for i_group, group in enumerate(self.groups):
            if i_group > starts[-1] and n + len(group) > n_pictures:
                starts.append(i_group)
                n = 0
            n += len(group)
        stops = [*starts[1:], len(self.groups)]
        return [Part(a, b, i, f"stimuli {a} to {b - 1}") for i, (a, b) in enumerate(zip(starts, stops, strict=True))]

    def pictures(self, part: Part) -> list[Picture]:
        """List the pictures of a part, one stimulus after the other."""
        return [picture for group in self.groups[part.start : part.stop] for picture in group]

    def mean(self, values: np.ndarray, part: Part) -> np.ndarray:
        """Average over the pictures of every stimulus: (n_pictures, width) -> (n_stimuli, width)."""
        lengths = [len(group) for group in self.groups[part.start : part.stop]]
        if max(lengths) == 1:
            return values
        starts = np.cumsum([0, *lengths[:-1]])
        return np.add.reduceat(values, starts, axis=0) / np.array(lengths, dtype=values.dtype)[:, None]

    def activations(self, layer: str, values: np.ndarray, *, units: list[str], provenance: dict) -> Activations:
        """Give every row the values of its stimulus."""
        of_rows = values if len(self.index) == len(self.groups) else values[self.index]
        return Activations(of_rows, self.rows, pd.DataFrame({"layer": layer, "unit": units}), provenance)


def image_problems(events: pd.DataFrame) -> list[str]:
    """List what keeps the pictures of events from being read, as far as the heads of the files tell."""
    problems = _table_problems(events)
    if problems:
        return problems
    try:
        shown = shown_by(events)
    except BrainalignError as error:
        return [str(error)]
    return look_at(shown)[1]


def stimulus_files(events: pd.DataFrame) -> list[Path]:
    """List the files that the events name, each once, in order; of a folder, its frames.

    Raises
    ------
    MissingData
        Files that are not there; all are named.
    BrainalignError
        The events name none.
    """
    _require_table(events)
    files: dict[Path, None] = {}
    for path in _named(events):
        files |= dict.fromkeys(_frame_files(path) if path.is_dir() else [path])
    return list(files)


def own_clock(events: pd.DataFrame, config) -> bool:  # noqa: ARG001
    """Tell whether rows are not those of the events: those of videos are not, they are frames."""
    return "video" in events


def shown_by(events: pd.DataFrame) -> Shown:
    """Turn events into rows and stimuli.

    Raises
    ------
    MissingData
        Files that are not there; all are named.
    Misaligned
        Videos that overlap in time.
    BrainalignError
        Events that name no picture, or a video that does not fit its event.
    """
    _require_table(events)
    if "image" in events:
        rows = events[["run", "onset", "duration", "image"]].reset_index(drop=True)
        stimuli = [tuple(Picture(path) for path in _paths(cell)) for cell in events["image"]]
    else:
        rows, stimuli = _rows_of_videos(events)
    first = {stimulus: i for i, stimulus in enumerate(dict.fromkeys(stimuli))}
    return Shown(rows, tuple(first), np.array([first[stimulus] for stimulus in stimuli]))


def _paths(cell: str) -> list[Path]:
    return [Path(name.strip()) for name in cell.split(SEPARATOR)]


def _named(events: pd.DataFrame) -> list[Path]:
    """List the paths that the events name, each once."""
    if "video" in events:
        return list(dict.fromkeys(Path(cell.strip()) for cell in events["video"]))
    return list(dict.fromkeys(path for cell in events["image"] for path in _paths(cell)))


def _require_table(events: pd.DataFrame) -> None:
    problems = _table_problems(events)
    if problems:
        raise BrainalignError("; ".join(problems))
    absent = [path for path in _named(events) if not path.exists()]
    if absent:
        listed = "".join(f"\n  {path}{_why_absent(path)}" for path in absent)
        raise MissingData(f"{len(absent)} stimulus files are not there:{listed}")


def _why_absent(path: Path) -> str:
    if path.is_symlink():
        return f" (a link to {path.readlink()}, which is not there)"
    folder = path.parent
    alike = [p.name for p in folder.iterdir() if p.name.lower() == path.name.lower()] if folder.is_dir() else []
    return f" ({alike[0]!r} is there: names differ in case)" if alike else ""


def _table_problems(events: pd.DataFrame) -> list[str]:
    missing = [name for name in ("run", "onset", "duration") if name not in events]
    columns = [name for name in ("image", "video") if name in events]
    if missing or len(columns) != 1:
        what = f"lack the columns {missing}" if missing else "must have one column, image or video"
        return [f"events {what}; they have {list(events.columns)}"]
    if not len(events):
        return ["there are no events"]
    column = columns[0]
    cells, runs = events[column].to_numpy(object), events["run"].to_numpy(object)
    onset, duration = events["onset"].to_numpy(float), events["duration"].to_numpy(float)
    shortest = np.nextafter(0, 1) if column == "video" else 0.0
    wrong = {
        f"name no {column}": [not isinstance(c, str) or not all(map(str.strip, c.split(SEPARATOR))) for c in cells],
        "have a run that is no text": [not isinstance(run, str) for run in runs],
        "have no onset": ~np.isfinite(onset),
        "have no duration": ~(np.isfinite(duration) & (duration >= shortest)),
    }
    problems = [
        f"{np.sum(where)} events {what}, the first is event {i}: {column} {cells[i]!r}, run {runs[i]!r}, onset"
        f" {onset[i]} s, duration {duration[i]} s"
        for what, where in wrong.items()
        for i in np.flatnonzero(where)[:1]
    ]
    for run, onsets in events.groupby("run", sort=False)["onset"]:
        if (np.diff(onsets.to_numpy(float)) < 0).any():
            problems.append(f"run {run!r}: onsets go back in time; sort the events by onset within each run")
    return problems


def _rows_of_videos(events: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[Picture, ...]]]:
    tables, stimuli = [], []
    for event in events.itertuples(index=False):
        frames = frames_of(Path(event.video.strip()), event.duration)
        stimuli += [(picture,) for picture, _, _ in frames]
        times = {"onset": [event.onset + t for _, t, _ in frames], "duration": [length for _, _, length in frames]}
        tables.append(pd.DataFrame({"run": event.run, **times, "video": event.video, "frame": np.arange(len(frames))}))
    rows = pd.concat(tables, ignore_index=True)
    for run, of_run in rows.groupby("run", sort=False):
        back = np.flatnonzero(np.diff(of_run["onset"]) < 0)
        if len(back):
            video = of_run["video"].iloc[back[0] + 1]
            raise Misaligned(f"run {run!r}: video {video!r} begins before the last frame of the one before it")
    return rows, stimuli


def frames_of(path: Path, duration: float) -> list[tuple[Picture, float, float]]:
    """List the frames of a video with the time from its onset and the length of each (s).

    Parameters
    ----------
    path : Path
        A folder of images, or an animated file.
    duration : float
        Of the event (s).

    Raises
    ------
    BrainalignError
        No frames, or an animation that is longer or shorter than the event by more than one frame, as a cut file is.
    """
    if path.is_dir():
        files = _frame_files(path)
        step = duration / len(files)
        return [(Picture(file), i * step, step) for i, file in enumerate(files)]
    lengths = _lengths_of_frames(path)
    if not any(lengths):  # the file does not say: spread evenly
        lengths = [duration / len(lengths)] * len(lengths)
    if min(lengths) <= 0:
        raise BrainalignError(f"{path}: frame {int(np.argmin(lengths))} has no duration, others have")
    if abs(sum(lengths) - duration) > max(lengths):
        raise BrainalignError(
            f"{path}: its {len(lengths)} frames last {sum(lengths):.3f} s, the event {duration:.3f} s; the file may be"
            " cut, or the event is not of this video"
        )
    starts = np.cumsum([0.0, *lengths[:-1]]).tolist()
    return [(Picture(path, i), *times) for i, times in enumerate(zip(starts, lengths, strict=True))]


def _frame_files(folder: Path) -> list[Path]:
    files = [p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise MissingData(f"{folder}: a folder without images; known suffixes: {', '.join(sorted(FRAME_SUFFIXES))}")

    def by_number(path: Path) -> list:
        return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]

    files.sort(key=by_number)
    for one, other in pairwise(files):
        if by_number(one) == by_number(other):
            raise BrainalignError(f"{folder}: the frames {one.name!r} and {other.name!r} have the same number")
    return files


def _lengths_of_frames(path: Path) -> list[float]:
    """Read how long every frame of an animation is shown (s); 0 where the file does not say."""
    with _errors_of(path), _open(path) as image:
        lengths = []
        for i_frame in range(getattr(image, "n_frames", 1)):
            image.seek(i_frame)
            image.load()
            lengths.append(image.info.get("duration", 0) / 1000)
    return lengths


def look_at(shown: Shown) -> tuple[dict[str, int], list[str]]:
    """Read the heads of all files: what will be done to how many pictures, and what is wrong with others.

    Returns
    -------
    notes : dict of str to int
        What will be done, and to how many files.
    problems : list of str
    """
    notes: Counter[str] = Counter()
    problems = []
    for path in dict.fromkeys(picture.path for group in shown.groups for picture in group):
        try:
            notes.update(notes_of(path, animated="video" in shown.rows))
        except BrainalignError as error:
            problems.append(str(error))
    return dict(sorted(notes.items())), problems


def notes_of(path: Path, *, animated: bool = False) -> tuple[str, ...]:
    """Tell from a file's head what `read_image` will do to the picture.

    Raises
    ------
    BrainalignError
        As `read_image`, as far as the head tells.
    """
    if path.suffix.lower() == ".npy":
        return _read_array(path)[1]
    with _errors_of(path), _open(path) as image:
        if not animated:
            _require_one_frame(image, path)
        return _notes(image)


def read_image(path: Path, *, background: int = BACKGROUND) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a picture as it is meant to look, in 8 bits of red, green and blue.

    Parameters
    ----------
    path : Path
        Any format of Pillow, or a `.npy` of shape (height, width) or (height, width, 3): uint8, uint16, or floats, read
        as 0..1 when none is above 1, else as 0..255.
    background : int
        Grey level, 0 to 255, that is put behind transparent pixels.

    Returns
    -------
    image : uint8 array of shape (height, width, 3)
    notes : tuple of str
        What was done: EXIF rotation applied, grey, palette or CMYK made RGB, 16 bits scaled to 8 (not clipped),
        transparent pixels filled, floats scaled.

    Raises
    ------
    MissingData
        No such file.
    BrainalignError
        Not an image or not a whole one; more than 89 million pixels (a decompression bomb); a side more than 50 times
        the other, or 0; an animation; numbers without an agreed white (32-bit integers, floats outside 0..255).
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _read_array(path)
    with _errors_of(path), _open(path) as image:
        _require_one_frame(image, path)
        notes = _notes(image)  # before the decoder forgets how the pixels were stored
        return _as_rgb(image, path, background), notes


class Reader:
    """Reads pictures; the frames of an animation in one pass as long as they are asked for in order.

    Parameters
    ----------
    background : int
        See `read_image`.
    """

    def __init__(self, background: int):
        self._background = background
        self._path: Path | None = None
        self._animation = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        if self._animation is not None:
            self._animation.close()

    def read(self, picture: Picture) -> np.ndarray:
        """Give a picture as `read_image` does; several threads may do so for pictures that are no frames."""
        if picture.frame is None:
            return read_image(picture.path, background=self._background)[0]
        if picture.path != self._path:
            self.__exit__()
            self._path, self._animation = picture.path, _open(picture.path)
        with _errors_of(picture.path):
            self._animation.seek(picture.frame)
            return _as_rgb(self._animation, picture.path, self._background)


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into errors that name the file."""
    from PIL import Image, ImageFile

    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise BrainalignError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on in this process: the missing part of a cut image would be read"
            " as grey; switch it off"
        )
    try:
        yield
    except BrainalignError:
        raise
    except FileNotFoundError:
        raise MissingData(f"{path}: no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrainalignError(f"{path}: {error}; save it smaller") from error
    except BROKEN as error:
        raise BrainalignError(f"{path}: not a whole image in a format that Pillow reads ({error})") from error


def _open(path: Path):
    """Open a file and read its head."""
    from PIL import Image

    with _errors_of(path):
        image = Image.open(path)
        try:
            _require_shape(image.height, image.width, path)
        except BrainalignError:
            image.close()
            raise
    return image


def _require_shape(height: int, width: int, path: Path) -> None:
    short, long = sorted((height, width))
    if short < 1 or long > MAX_RATIO * short:
        raise BrainalignError(f"{path}: {width} x {height} pixels; a side may be at most {MAX_RATIO} times the other")
    if height * width > MAX_PIXELS:
        raise BrainalignError(f"{path}: {width} x {height} pixels; at most {MAX_PIXELS} are read, save it smaller")


def _require_one_frame(image, path: Path) -> None:
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a photograph with previews
        raise BrainalignError(f"{path}: holds {image.n_frames} frames; name it in a column video, or save one frame")


def _notes(image) -> tuple[str, ...]:
    """Tell what an image will go through, from its head."""
    notes = []
    if _orientation(image) != 1:
        notes.append("turned as its EXIF orientation says")
    if image.mode.startswith("I") or any(";16" in raw for raw in _raw_modes(image)):
        notes.append("16 bits scaled to 8")
    if image.mode == "F":
        notes.append("floats scaled or rounded to 0..255")
    if image.has_transparency_data:
        notes.append("transparent pixels filled with the background")
    if image.mode in GREY or image.mode.startswith("I;"):
        notes.append("grey made RGB")
    elif image.mode not in ("RGB", "RGBA", "RGBa"):
        notes.append(f"{ {'P': 'palette', 'PA': 'palette'}.get(image.mode, image.mode) } made RGB")
    return tuple(notes)


def _raw_modes(image) -> list[str]:
    """List how the pixels are stored, as Pillow's decoders are told."""
    arguments = [tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3] for tile in image.tile]
    return [raw for raw in arguments if isinstance(raw, str)]


def _orientation(image) -> int:
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode it all to look behind the pixels
        return 1
    orientation = image.getexif().get(ORIENTATION, 1)
    return orientation if orientation in range(2, 9) else 1


def _as_rgb(image, path: Path, background: int) -> np.ndarray:
    """Decode: (height, width, 3), uint8."""
    from PIL import Image, ImageOps

    _require_known_depth(image, path)
    turned = _orientation(image) != 1
    image.load()
    if turned:
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(_as_bytes(_numbers(image), path)[0])
    if image.has_transparency_data:
        behind = Image.new("RGBA", image.size, (background, background, background, 255))
        image = Image.alpha_composite(behind, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _require_known_depth(image, path: Path) -> None:
    if image.mode == "I" and image.format not in ("PNG", "PPM"):  # these two write 16 bits so
        raise BrainalignError(f"{path}: 32-bit integers, of which no value is agreed to be white; save 8 or 16 bits")
    if any(";12" in raw for raw in _raw_modes(image)):
        raise BrainalignError(f"{path}: 12 bits per pixel; save 8 or 16 bits")
    if image.mode.startswith("I") and "transparency" in image.info:
        raise BrainalignError(f"{path}: 16-bit grey with a transparent level; save an alpha channel")


def _numbers(image) -> np.ndarray:
    return np.asarray(image) if image.mode == "F" else np.asarray(image).astype(np.uint16)


def _read_array(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    with _errors_of(path):
        values = np.load(path, allow_pickle=False)
    if not isinstance(values, np.ndarray) or values.ndim not in (2, 3) or values.shape[2:] not in ((), (3,)):
        raise BrainalignError(
            f"{path}: an image is (height, width) or (height, width, 3), got {getattr(values, 'shape', values)}"
        )
    _require_shape(*values.shape[:2], path)
    values, notes = _as_bytes(values, path)
    if values.ndim == 2:
        return np.stack([values] * 3, axis=-1), (*notes, "grey made RGB")
    return values, notes


def _as_bytes(values: np.ndarray, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Bring numbers of another kind to 0..255."""
    if values.dtype == np.uint8:
        return values, ()
    if values.dtype == np.uint16:
        return np.rint(values / 257).astype(np.uint8), ("16 bits scaled to 8",)
    if values.dtype.kind != "f":
        raise BrainalignError(f"{path}: pixels are {values.dtype}; expected uint8, uint16 or floats")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):  # also when they are nan
        raise BrainalignError(f"{path}: floats from {low:g} to {high:g}; expected 0..1 or 0..255")
    scale = 255 if high <= 1 else 1
    return np.rint(scale * values.astype(np.float64)).astype(np.uint8), ("floats scaled or rounded to 0..255",)
