"""Which frames of a speech model stand for which time, and which sound a causal window holds: arithmetic of samples.

Sample i of a sound covers the time [i, i + 1) / sfreq, and a frame lies where the centre of its receptive field does.
"""

import math
from typing import NamedTuple

import numpy as np


class Frames(NamedTuple):
    """Frames on a regular grid: frame j is computed from samples [start + j * stride, start + j * stride + size).

    Parameters
    ----------
    stride, size : int
        Samples between frames, and in the receptive field of one.
    start : int
        0 for convolutions without padding, whose frames need a whole receptive field of sound. Negative for padded
        ones, whose frames are taken where their centre lies in the sound.
    """

    stride: int
    size: int
    start: int = 0

    @property
    def first_centre(self) -> float:
        """Where frame 0 lies, in samples."""
        return self.start + self.size / 2

    @property
    def shortest_bin(self) -> int:
        """Samples that surely hold a frame's centre when the sound goes on to their end and no further."""
        return self.stride if self.start < 0 else max(self.size, math.ceil(self.stride + self.size / 2))

    @property
    def shortest_sound(self) -> int:
        """Samples that the model needs at least."""
        return self.stride if self.start < 0 else self.size

    def count(self, n_samples: int) -> int:
        """Give the number of frames of a sound."""
        if self.start < 0:
            return math.ceil((n_samples - self.first_centre) / self.stride)
        return max(0, (n_samples - self.size) // self.stride + 1)

    def between(self, first: int, stop: int, *, n_samples: int) -> tuple[int, int]:
        """Give [first, stop) of the frames of a sound of `n_samples` that lie in its samples [first, stop)."""
        begin, end = (math.ceil((sample - self.first_centre) / self.stride) for sample in (first, stop))
        return max(begin, 0), min(end, self.count(n_samples))


def frames_of_convolutions(kernels: tuple[int, ...], strides: tuple[int, ...]) -> tuple[Frames, ...]:
    """Give the frames of every layer of a stack of convolutions without padding.

    stride_i = stride_(i-1) * strides_i and size_i = size_(i-1) + (kernels_i - 1) * stride_(i-1), from stride 1, size 1.

    References
    ----------
    Araujo et al. (2019), Computing receptive fields of convolutional neural networks, Distill. The tests put an impulse
    through the models' convolutions.
    """
    frames, stride, size = [], 1, 1
    for kernel, step in zip(kernels, strides, strict=True):
        size += (kernel - 1) * stride
        stride *= step
        frames.append(Frames(stride, size))
    return tuple(frames)


class Window(NamedTuple):
    """What a model reads at once, samples [start, stop) of an event, of which [first, last) is the bin it is read for.

    All count from the event's beginning.
    """

    i_event: int
    start: int
    stop: int
    first: int
    last: int


def bins_of(n_samples: int, *, step: float, shortest: int) -> np.ndarray:
    """Cut a sound in bins of `step` samples.

    Parameters
    ----------
    n_samples : int
    step : float
        Samples per bin; borders are rounded, and do not drift.
    shortest : int
        A last bin that is shorter than this is joined to the one before.

    Returns
    -------
    borders : int array of shape (n_bins + 1,)
        From 0 to `n_samples`.
    """
    n_bins = max(1, math.ceil(n_samples / step - 1e-9))
    borders = np.rint(np.arange(n_bins + 1) * step).astype(int)
    borders[-1] = n_samples
    if n_bins > 1 and n_samples - borders[-2] < shortest:
        borders = np.delete(borders, -2)
    return borders


def windows_of(borders: np.ndarray, *, i_event: int, before: int, after: int) -> list[Window]:
    """Give the window of every bin: `before` samples up to its end and `after` more, as far as there is sound.

    Parameters
    ----------
    borders : int array of shape (n_bins + 1,)
    i_event : int
    before, after : int
        A last bin that is longer than `before` is in its window all the same.
    """
    n_samples = int(borders[-1])
    return [
        Window(i_event, max(0, min(first, last - before)), min(n_samples, last + after), first, last)
        for first, last in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
    ]
