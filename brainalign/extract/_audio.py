"""Sounds from files: the part an event names, in one channel, at the rate that is asked for, never read whole to check.

An event of a table is the part [`audio_start`, `audio_start` + `duration`) s of the file `audio`; `audio_start` is 0
where the column is absent. Channels are averaged. Another rate is changed by `scipy.signal.resample_poly`, in pieces
that overlap by its filter's length: they are those of the whole file, so that an event cut from the middle of a file
equals that part of the resampled file, and begins at the nearest sample (at most half a sample off).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainalign.errors import BrainalignError, MissingData

COLUMNS = ("run", "onset", "duration", "audio")
TOLERANCE = 0.02  # s by which an event may outlast its file: onsets and durations in tables are rounded
FULL_SCALE = 32767 / 32768  # the largest value that 16 bits hold
SECONDS_AT_ONCE = 30  # of a file in memory
BEFORE = {"OGG": 2**18, "MP3": 2**18}  # samples; an Ogg page has at most 255 packets, mostly of 1,024 at most


def audio_problems(events: pd.DataFrame) -> list[str]:
    """List what keeps events from being heard, from the headers of their files alone; empty when nothing does.

    A header may promise more than a cut file holds (FLAC): `inspect_sound` and `read_sound` find that.
    """
    missing = [name for name in COLUMNS if name not in events]
    if missing:
        return [f"events lack the columns {missing}; they have {list(events.columns)}"]
    if not len(events):
        return ["there are no events"]
    onset, duration, start = (_seconds(events, name) for name in ("onset", "duration", "audio_start"))
    problems = [
        f"{sum(wrong)} events {what}, the first is {name_of(events, i)}"
        for what, wrong in (
            ("name no audio file", [not isinstance(path, str | Path) or not str(path) for path in events["audio"]]),
            ("have a run that is no text", [not isinstance(run, str) for run in events["run"]]),
            ("have no onset", ~np.isfinite(onset)),
            ("have no duration above 0", ~(np.isfinite(duration) & (duration > 0))),
            ("have an audio_start that is not 0 or more", ~(np.isfinite(start) & (start >= 0))),
        )
        for i in np.flatnonzero(wrong)[:1]
    ]
    for run, onsets in events.groupby("run", sort=False)["onset"]:
        if (np.diff(onsets.to_numpy(float)) < 0).any():
            problems.append(f"run {run!r}: onsets go back in time; sort the events by onset within each run")
    return problems or _file_problems(events, start, start + duration)


def _seconds(events: pd.DataFrame, name: str) -> np.ndarray:
    return np.zeros(len(events)) if name not in events else pd.to_numeric(events[name], errors="coerce").to_numpy(float)


def _file_problems(events: pd.DataFrame, start: np.ndarray, stop: np.ndarray) -> list[str]:
    """List files that are missing, unreadable, empty or too short; each once, for the event that needs most of it."""
    problems = []
    for path, of_file in events.assign(audio=events["audio"].map(str)).groupby("audio", sort=False).indices.items():
        last = of_file[np.argmax(stop[of_file])]
        try:
            with opened(Path(path)) as file:
                _require_length(file, Path(path), start=start[last], stop=stop[last])
        except BrainalignError as error:
            problems.append(f"{error} ({name_of(events, last)})")
    return problems


def name_of(events: pd.DataFrame, i_event: int) -> str:
    """Give what to call an event in errors."""
    event = events.iloc[i_event]
    return f"event {i_event}: audio {str(event['audio'])!r}, run {event['run']!r}, onset {event['onset']} s"


def stimulus_files(events: pd.DataFrame) -> list[Path]:
    """List the audio files that events name, each once, in the order of the events."""
    return [Path(path) for path in dict.fromkeys(map(str, events["audio"]))]


def own_clock(events: pd.DataFrame, config) -> bool:  # noqa: ARG001
    """Tell whether rows are not those of the events: they never are, a sound has many."""
    return True


@contextmanager
def opened(path: Path) -> Iterator:
    """Give a `soundfile.SoundFile`.

    Raises
    ------
    MissingData
        The file is absent, empty, or no sound that libsndfile reads (also when it turns out so later in the block).
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise MissingData(f"{path}: no such file")
    if not path.stat().st_size:
        raise MissingData(f"{path}: the file is empty")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except soundfile.SoundFileError as error:
        raise MissingData(f"{path}: libsndfile cannot read it, it may be cut or no sound ({error})") from error


def _require_length(file, path: Path, *, start: float, stop: float | None) -> None:
    seconds = file.frames / file.samplerate
    if not file.frames:
        raise MissingData(f"{path}: the file holds no sound, its header counts 0 samples")
    if start >= seconds or (stop is not None and stop > seconds + TOLERANCE):
        wanted = f"from {start:.3f} s" + ("" if stop is None else f" to {stop:.3f} s")
        raise MissingData(f"{path}: the file lasts {seconds:.3f} s, the event needs it {wanted}; it may be cut")


def inspect_sound(path: Path, *, start: float = 0.0, duration: float | None = None) -> dict[str, Any]:
    """Hear a part of a file through once, block by block, and say what is remarkable about it.

    Parameters
    ----------
    path : Path
    start, duration : float
        Seconds; without `duration` to the end of the file.

    Returns
    -------
    notes : dict
        What applies of `downmixed` (number of channels that are averaged), `full_scale_samples` (values of at least
        32767 / 32768: clipped ones, and peaks that were scaled to 1) and `silence_added` (s that the event outlasts
        the file, at most 0.02; they are filled with zeros).

    Raises
    ------
    MissingData
        The file is absent, unreadable, or ends before the part does (also where its header promises more).
    BrainalignError
        A sample that is not finite, a part that is empty or silent (all its samples have one value, channels
        averaged); the file and the time are named.
    """
    path = Path(path)
    with opened(path) as file:
        stop = None if duration is None else start + duration
        _require_length(file, path, start=start, stop=stop)
        rate = file.samplerate
        first = round(start * rate)
        last = file.frames if stop is None else min(file.frames, round(stop * rate))
        where = f"{path}, {first / rate:.3f} to {last / rate:.3f} s"
        if last <= first:
            raise BrainalignError(f"{where}: the part holds no sample at {rate} Hz")
        n_full, lowest, highest = 0, np.inf, -np.inf
        for i in range(first, last, SECONDS_AT_ONCE * rate):
            block = _read(file, path, i, min(i + SECONDS_AT_ONCE * rate, last))
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if len(bad):
                raise BrainalignError(
                    f"{where}: a sample is not finite, the first at {(i + bad[0]) / rate:.3f} s of the file"
                )
            n_full += int(np.count_nonzero(np.abs(block) >= FULL_SCALE))
            sound = block.mean(axis=1)
            lowest, highest = min(lowest, sound.min()), max(highest, sound.max())
    if lowest == highest:
        raise BrainalignError(f"{where}: the sound is silent, all its samples are {lowest:g}")
    notes = {"downmixed": file.channels if file.channels > 1 else 0, "full_scale_samples": n_full}
    notes["silence_added"] = 0.0 if stop is None else round(max(0.0, stop - last / rate - 0.5 / rate), 6)
    return {name: value for name, value in notes.items() if value}


def read_sound(
    path: Path, *, sfreq: int, start: float = 0.0, duration: float | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Read a part of a file in one channel at one rate.

    Parameters
    ----------
    path : Path
        WAV, FLAC, OGG or whatever libsndfile reads; integers are scaled to -1..1 as it does.
    sfreq : int
        Hz of the result.
    start, duration : float
        Seconds; without `duration` to the end of the file.

    Returns
    -------
    samples : float32 array of shape (n_samples,)
        round(duration * sfreq) of them; the first is the one nearest to `start`.
    notes : dict
        As `inspect_sound`, and `resampled_from` (Hz) where the file has another rate.

    Raises
    ------
    BrainalignError
        As `inspect_sound`; or a part shorter than one sample of the result.

    References
    ----------
    The tests compare with `scipy.signal.resample_poly` on the whole file.
    """
    path = Path(path)
    notes = inspect_sound(path, start=start, duration=duration)
    with opened(path) as file:
        if file.samplerate != sfreq:
            notes["resampled_from"] = file.samplerate
        first = round(start * sfreq)
        n_whole = -(-file.frames * sfreq // file.samplerate)
    n = n_whole - first if duration is None else round(duration * sfreq)
    if n < 1:
        raise BrainalignError(f"{path}: the part from {start:.6f} s on is shorter than one sample at {sfreq} Hz")
    return read_samples(path, sfreq=sfreq, first=first, n=n), notes


def read_samples(path: Path, *, sfreq: int, first: int, n: int) -> np.ndarray:
    """Read samples [first, first + n) of a file's sound in one channel at `sfreq` Hz; beyond its end they are 0.

    Nothing is checked but that the file holds what its header says: `inspect_sound` comes first. Memory is the result
    and that of some 30 s of the file.

    Returns
    -------
    samples : float32 array of shape (n,)
    """
    path = Path(path)
    samples = np.zeros(n, dtype=np.float32)
    with opened(path) as file:
        common = math.gcd(sfreq, file.samplerate)
        up, down = sfreq // common, file.samplerate // common
        n_whole = -(-file.frames * up // down)  # samples of the whole file at `sfreq`
        for j in range(first, min(first + n, n_whole), SECONDS_AT_ONCE * sfreq):
            j_stop = min(j + SECONDS_AT_ONCE * sfreq, first + n, n_whole)
            samples[j - first : j_stop - first] = _resampled(file, path, j, j_stop, up=up, down=down)
    return samples


def _resampled(file, path: Path, first: int, stop: int, *, up: int, down: int) -> np.ndarray:
    """Give samples [first, stop) of the resampled file, from those of the file that the filter reaches."""
    if up == down:
        return _read(file, path, first, stop).mean(axis=1)
    from scipy.signal import resample_poly

    reach = -(-10 * max(up, down) // up) + 1  # half the length of resample_poly's filter, in samples of the file
    begin = max(0, first * down // up - reach) // down * down  # so that sample 0 of the piece is one of the result
    end = min(file.frames, -(-stop * down // up) + reach)
    sound = _read(file, path, begin, end).mean(axis=1, dtype=np.float64)
    offset = begin // down * up
    return resample_poly(sound, up, down)[first - offset : stop - offset]


def _read(file, path: Path, first: int, stop: int) -> np.ndarray:
    """Give frames [first, stop) of an open file: float32, (n_frames, n_channels).

    Decoding begins earlier where libsndfile does not land where it is told to: up to a block later in the last page of
    an Ogg file (its issue 885), and in an MP3 before the bits that a frame borrows from others are known.
    """
    begin = max(0, first - BEFORE.get(file.format, 0))
    file.seek(begin)
    block = file.read(stop - begin, dtype="float32", always_2d=True)
    if len(block) != stop - begin:
        raise MissingData(
            f"{path}: the sound ends at {(begin + len(block)) / file.samplerate:.3f} s, its header says"
            f" {file.frames / file.samplerate:.3f} s; the file is cut"
        )
    return block[first - begin :]
