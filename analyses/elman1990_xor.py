"""Ask whether two hidden units find the exclusive or when its bits come one after the other.

    python analyses/elman1990_xor.py --out results/elman1990_xor

Elman (1990), pp. 184-188, figure 3. A stream of triplets, two random bits and their exclusive or, is read bit by bit;
the next bit is to be predicted. Only every third one can be. A network of 1 input, 2 hidden units with 2 context units
and 1 output reads 3,000 bits 600 times; the error on another stream falls at every third bit.

The figure's error is printed as a curve only, so that there is no number to compare with. Learning rate and first
weights are not printed: .2 and +-.5 were chosen from .1 to .3, where the dip appears with every seed. Two units are
few: how deep the dip is depends on the first weights (see the spread over networks).

Control: the same networks untrained.
"""

from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from brainalign.plots import errors_over_time
from brainalign.simulate import elman1990
from brainalign.simulate.elman import Elman
from brainalign.simulate.online import train
from brainalign.simulations import Drawing, Published, Settings, main, measured

THIRD, OTHERS = "root mean squared error, third bits", "root mean squared error, other bits"
PUBLISHED = (
    Published("error falls at third bits, share of networks", 1.0, "Elman 1990 p. 187, figure 3", "one network"),
    Published("bits of the corpus", 3000, "Elman 1990 p. 186"),
)
N_SHOWN = 12  # inputs in the figure


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="of the streams; network i has weights of seed + i")
    n_networks: int = Field(6, ge=1, description="networks, each with first weights of its own")
    n_bits: int = Field(3000, ge=36, multiple_of=12, description="bits of each stream")
    n_sweeps: int = Field(600, ge=1, description="passes through the stream")
    lr: float = Field(0.2, gt=0, le=10, description="learning rate")
    limit: float = Field(0.5, ge=1e-4, le=10, description="first weights and biases are uniform within +-limit")
    least: float = Field(0.03, ge=0, le=1, description="by how much the error must fall to count as a dip")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")


def run(config):
    bits = elman1990.xor_stream(config.n_bits, seed=config.seed)[:, None]
    fresh = elman1990.xor_stream(config.n_bits, seed=config.seed + 1)[:, None]
    network = Elman(["bit"], n_hidden=2, n_networks=config.n_networks, seed=config.seed, limit=config.limit,
                    device=config.device)  # fmt: skip
    untrained = _errors(network, fresh)
    training = train(network, bits, lr=config.lr, n_sweeps=config.n_sweeps)
    errors = _errors(network, fresh)
    third = _rms(errors[:, 2::3])
    others = _rms(np.stack([errors[:, 0::3], errors[:, 1::3]], axis=-1).reshape(len(errors), -1))
    dips = third < others - config.least
    bare = _rms(untrained[:, 2::3]) < _rms(np.delete(untrained, np.s_[2::3], axis=1)) - config.least
    values = {
        "bits of the corpus": [config.n_bits],
        THIRD: third,
        OTHERS: others,
        "fall": others - third,
        "error falls at third bits, share of networks": dips,
        "error falls at third bits, share of networks, untrained": bare,
    }
    return {
        "obtained": pd.DataFrame([measured(quantity, value) for quantity, value in values.items()]),
        "inputs": _by_input(errors),
        "networks": pd.DataFrame({"network": np.arange(len(third)), "third": third, "others": others}),
        "sweeps": _sweeps(training.errors.cpu().numpy()),
    }


def _errors(network, bits):
    """Give the squared error at predicting each bit but the first, put at the bit that was predicted."""
    with torch.no_grad():
        outputs = network(torch.as_tensor(bits)).cpu().numpy()[..., 0]  # (n_networks, n_bits)
    return np.roll((outputs - np.roll(bits[:, 0], -1)) ** 2, 1, axis=1)


def _rms(squares):
    return np.sqrt(squares.mean(axis=1))


def _by_input(errors):
    """Average over all stretches of twelve inputs that begin with a triplet."""
    stretches = errors.reshape(len(errors), -1, N_SHOWN)
    rms = np.sqrt(stretches.mean(axis=1))  # (n_networks, N_SHOWN)
    sd = rms.std(axis=0, ddof=1) if len(rms) > 1 else np.nan
    steps = np.arange(1, N_SHOWN + 1)
    return pd.DataFrame({"step": steps, "error": rms.mean(axis=0), "sd": sd,
                         "label": np.resize(["random", "random", "xor"], N_SHOWN),
                         "marked": steps % 3 == 0})  # fmt: skip


def _sweeps(errors):
    """Give the error during learning at third bits and at others; step t predicts bit t + 1."""
    third = np.sqrt(errors[:, :, 1::3].mean(axis=2))  # (n_networks, n_sweeps)
    others = np.sqrt(np.delete(errors, np.s_[1::3], axis=2).mean(axis=2))
    tables = []
    for condition, values in (("third bits", third), ("other bits", others)):
        sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
        sweep = np.arange(1, values.shape[1] + 1)
        tables.append(pd.DataFrame({"condition": condition, "sweep": sweep, "value": values.mean(axis=0), "sd": sd}))
    return pd.concat(tables)


def draw(tables, config):
    return [
        Drawing("Figure 3: error over inputs",
                errors_over_time.labelled_steps(tables["inputs"], ylabel="root mean squared error",
                                                marked="can be predicted", reference=(0.5, "always .5")),
                f"Error at predicting each of twelve consecutive bits of a new stream, mean over {config.n_networks}"
                " networks (band: 1 SD) and over all stretches that begin with a triplet."),
        Drawing("Learning", errors_over_time.over_sweeps(tables["sweeps"], ylabel="root mean squared error"),
                "Error during learning, mean over networks, band 1 SD."),
    ]  # fmt: skip


if __name__ == "__main__":
    main(__file__)
