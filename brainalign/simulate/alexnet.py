"""The convolutions of AlexNet with random weights: the network in which number units appear without training.

Five convolutions as Krizhevsky et al. built them, two groups in the second, fourth and fifth. After the first two, a
unit a is divided by a power of the squares of itself and four neighbours, as in Caffe, not quite as printed:

    here      (1 + 1e-4 / 5 sum a^2)^.75
    paper     (2 + 1e-4 sum a^2)^.75

Images are (n, 3, 227, 227); `relu5` gives 256 maps of 13 x 13, 43,264 units.
"""

import math

import torch
from torch import nn

IMAGE_SIZE = 227
N_UNITS = 256 * 13 * 13


class AlexNet(nn.Sequential):
    """AlexNet up to its fifth convolution, untrained: weights N(0, 2 / fan_in) (He et al.), biases 0.

    Modules in order: conv1, relu1, norm1, pool1, conv2, relu2, norm2, pool2, conv3, relu3, conv4, relu4, conv5, relu5.

    Parameters
    ----------
    seed : int, optional
        Of the weights; without it they come from torch's generator as it stands. Both are the same numbers when that
        generator has just been seeded with `seed`.

    References
    ----------
    Krizhevsky, Sutskever & Hinton (2012), section 3; He et al. (2015), equation 10; Kim, Jang, Baek, Song & Paik
    (2021), whose units are those of relu5. The tests compare with the layers written out with torch's functions.
    """

    def __init__(self, *, seed: int | None = None):
        super().__init__()
        generator = None if seed is None else torch.Generator().manual_seed(seed)

        def convolve(name: str, n_in: int, n_out: int, size: int, **options) -> None:
            layer = nn.utils.skip_init(nn.Conv2d, n_in, n_out, size, **options)
            fan_in = layer.weight[0].numel()  # of one unit: channels of its group times the area
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in), generator=generator)
            nn.init.zeros_(layer.bias)
            self.add_module(f"conv{name}", layer)
            self.add_module(f"relu{name}", nn.ReLU())

        def normalise_and_pool(name: str) -> None:
            self.add_module(f"norm{name}", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0))
            self.add_module(f"pool{name}", nn.MaxPool2d(3, stride=2))

        convolve("1", 3, 96, 11, stride=4)  # (n, 96, 55, 55)
        normalise_and_pool("1")  # (n, 96, 27, 27)
        convolve("2", 96, 256, 5, padding=2, groups=2)
        normalise_and_pool("2")  # (n, 256, 13, 13)
        convolve("3", 256, 384, 3, padding=1)
        convolve("4", 384, 384, 3, padding=1, groups=2)
        convolve("5", 384, 256, 3, padding=1, groups=2)  # (n, 256, 13, 13)
