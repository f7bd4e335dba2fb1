"""Ask whether the error of a network that reads ba, dii and guuu says, feature by feature, what can be known.

    python analyses/elman1990_letters.py --out results/elman1990_letters

Elman (1990), pp. 188-191, figures 4 and 5. A thousand random consonants b, d, g are followed by one a, two i or three
u; a letter is six phonetic features. A network of 6-20-6 units predicts the next letter, 200 passes. Vowels and their
number follow from the consonant; which consonant comes is random, but that one comes can be known. So the error is low
at vowels and high at consonants, and within consonants it is low in the feature "consonant" and high in "high": what
is shared is predicted, what differs is not.

The paper prints curves without numbers for the features; as b, d, g differ in "high" and "back" only, these two are
what cannot be known. Learning rate and first weights are not printed: .1 and +-.5.

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

LOW = "error at vowels less than half of that at consonants, share of networks"
BITS = "error in bit 1 (consonant) less than half of that in bit 4 (high) at consonants, share of networks"
PUBLISHED = (
    Published("consonants of the corpus", 1000, "Elman 1990 p. 189"),
    Published(LOW, 1.0, "Elman 1990 p. 190, figure 4", "one network, read off a curve; the threshold is ours"),
    Published(BITS, 1.0, "Elman 1990 p. 191, figure 5", "one network, read off a curve; the threshold is ours"),
)
N_SHOWN = 30  # letters in the figures


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="of the streams; network i has weights of seed + i")
    n_networks: int = Field(5, ge=1, description="networks, each with first weights of its own")
    n_consonants: int = Field(1000, ge=20, description="syllables of the stream")
    n_sweeps: int = Field(200, ge=1, description="passes through the stream")
    lr: float = Field(0.1, gt=0, le=10, description="learning rate")
    limit: float = Field(0.5, ge=1e-4, le=10, description="first weights and biases are uniform within +-limit")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")


def run(config):
    stream, fresh = (elman1990.syllable_stream(config.n_consonants, seed=config.seed + k) for k in (0, 1))
    network = Elman(list(elman1990.FEATURES), n_hidden=20, n_networks=config.n_networks, seed=config.seed,
                    limit=config.limit, device=config.device)  # fmt: skip
    untrained = _squares(network, fresh)
    train(network, elman1990.coded(stream, elman1990.LETTER_FEATURES), lr=config.lr, n_sweeps=config.n_sweeps)
    squares = _squares(network, fresh)  # (n_networks, n_letters, 6)
    consonant = np.isin(fresh, list(elman1990.SYLLABLES))
    values = {"consonants of the corpus": [config.n_consonants]}
    for name, of in (("", squares), (", untrained", untrained)):
        at_vowels, at_consonants = (np.sqrt(of[:, at].mean(axis=(1, 2))) for at in (~consonant, consonant))
        bits = np.sqrt(of[:, consonant].mean(axis=1))  # (n_networks, 6)
        values |= {
            f"root mean squared error at vowels{name}": at_vowels,
            f"root mean squared error at consonants{name}": at_consonants,
            f"{LOW}{name}": 2 * at_vowels < at_consonants,
            f"{BITS}{name}": 2 * bits[:, 0] < bits[:, 3],
        }
    bits = np.sqrt(squares[:, consonant].mean(axis=1))
    for k, feature in enumerate(elman1990.FEATURES):
        values[f"root mean squared error at consonants, bit {k + 1} ({feature})"] = bits[:, k]
    return {
        "obtained": pd.DataFrame([measured(quantity, value) for quantity, value in values.items()]),
        "letters": _over_letters(squares, fresh, consonant),
    }


def _squares(network, letters):
    """Give the squared error of each feature, put at the letter that was predicted: (n_networks, n_letters, 6)."""
    codes = elman1990.coded(letters, elman1990.LETTER_FEATURES)
    with torch.no_grad():
        outputs = network(torch.as_tensor(codes)).cpu().numpy()
    return np.roll((outputs - np.roll(codes, -1, axis=0)) ** 2, 1, axis=1)


def _over_letters(squares, letters, consonant):
    shown = slice(1, N_SHOWN + 1)
    panels = {"all features": slice(None), "bit 1 (consonant)": slice(0, 1), "bit 4 (high)": slice(3, 4)}
    tables = []
    for panel, bits in panels.items():
        rms = np.sqrt(squares[:, shown, bits].mean(axis=2))
        sd = rms.std(axis=0, ddof=1) if len(rms) > 1 else np.nan
        tables.append(pd.DataFrame({"panel": panel, "step": np.arange(1, N_SHOWN + 1), "error": rms.mean(axis=0),
                                    "sd": sd, "label": letters[shown], "marked": consonant[shown]}))  # fmt: skip
    return pd.concat(tables)


def draw(tables, config):
    letters = tables["letters"]
    whole, bits = letters[letters["panel"] == "all features"], letters[letters["panel"] != "all features"]
    n = f"mean over {config.n_networks} networks, band 1 SD"
    return [
        Drawing("Figure 4: error over letters",
                errors_over_time.labelled_steps(whole, ylabel="root mean squared error", marked="consonants"),
                f"Error at predicting each letter of a new stream; {n}."),
        Drawing("Figure 5: error of single features",
                errors_over_time.labelled_steps(bits, ylabel="error", marked="consonants"),
                f"Above: that a consonant comes is known. Below: which one is not; {n}."),
    ]  # fmt: skip


if __name__ == "__main__":
    main(__file__)
