"""Ask whether the error of a network that reads letters without breaks shows where words begin.

    python analyses/elman1990_word_boundaries.py --out results/elman1990_word_boundaries

Elman (1990), pp. 192-194, figure 6. 200 sentences of 4 to 9 words from a lexicon of 15 words run into one another:
"manyyearsagoaboyandgirl...". Letters are five bits; a network of 5-20-5 units predicts the next letter, 10 passes. The
error is high at the first letter of a word and falls along it, so that words could be found where it rises.

What the paper leaves open: of the 15 words the 14 of the printed fragment are known, "dog" is put in here; the
generator of the sentences is not printed (here "sentences" of subject, verb and place, and beside them "words at
random"); the letter codes are called random, but all thirteen printed ones are the rank of the letter in the alphabet
in binary, which is used here. Learning rate and first weights are not printed: .3 and +-.5; with .1 ten passes are too
few for some first weights. In sentences, "years" after "many" is expected, so that words which go together can fuse; a
letter after which a word may end or not (the y of "they") stays ambiguous. With words in random order neither can
happen, and the error marks onsets more sharply.

Controls: the same networks untrained; networks taught the letters in random order.
"""

from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from sklearn.metrics import roc_auc_score

from brainalign.plots import errors_over_time
from brainalign.simulate import elman1990
from brainalign.simulate.elman import Elman
from brainalign.simulate.online import train
from brainalign.simulations import Drawing, Published, Settings, main, measured

ORDERS = {"slots": "sentences", "independent": "words at random"}
SENTENCES = ORDERS["slots"]
TOLD = "first letters told by the error (area under the ROC curve > .8), share of networks"
PUBLISHED = (
    Published("words in the corpus", 1270, "Elman 1990 p. 193"),
    Published("letters in the corpus", 4963, "Elman 1990 p. 193"),
    Published(
        f"{TOLD}, {SENTENCES}",
        1.0,
        "Elman 1990 p. 194, figure 6",
        "one network, read off a curve; the threshold is ours",
    ),
)
N_SHOWN = 55  # letters in the figure


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="of the streams; network i has weights of seed + i")
    n_networks: int = Field(8, ge=1, description="networks, each with first weights of its own")
    n_sentences: int = Field(200, ge=20, description="sentences of the stream")
    n_sweeps: int = Field(10, ge=1, description="passes through the stream")
    lr: float = Field(0.3, gt=0, le=10, description="learning rate")
    limit: float = Field(0.5, ge=1e-4, le=10, description="first weights and biases are uniform within +-limit")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")


def run(config):
    rows, letters = [], []
    for order, name in ORDERS.items():
        stream = elman1990.letter_stream(config.n_sentences, word_order=order, seed=config.seed)
        errors = _of_conditions(stream, config)
        if name == SENTENCES:
            rows += [
                measured("words in the corpus", [len(stream.words)]),
                measured("letters in the corpus", [stream.letters.size]),
            ]
        for condition, of in errors.items():
            rows += _boundaries(
                of, stream.position, f", {name}" if condition == "trained" else f", {name}, {condition}"
            )
        rows += [
            measured(f"root mean squared error at letter {at + 1} of a word, {name}",
                 np.sqrt(errors["trained"][:, stream.position == at].mean(axis=1)))
            for at in range(5)
        ]  # fmt: skip
        letters.append(_over_letters(errors["trained"], stream).assign(panel=name))
    return {"obtained": pd.DataFrame(rows), "letters": pd.concat(letters)}


def _of_conditions(stream, config):
    """Give the errors of networks that learned the stream, of none, and of some that learned its letters mixed."""
    vectors = elman1990.coded(stream.letters, elman1990.rank_codes())
    mixed = np.random.default_rng(config.seed).permutation(vectors)
    errors = {}
    for condition, taught in (("trained", vectors), ("untrained", None), ("shuffled letters", mixed)):
        network = Elman([f"bit {k}" for k in range(1, 6)], n_hidden=20, n_networks=config.n_networks,
                        seed=config.seed, limit=config.limit, device=config.device)  # fmt: skip
        if taught is not None:
            train(network, taught, lr=config.lr, n_sweeps=config.n_sweeps)
        errors[condition] = _errors(network, vectors)
    return errors


def _errors(network, vectors):
    """Give the mean squared error over bits, put at the letter that was predicted: (n_networks, n_letters)."""
    with torch.no_grad():
        outputs = network(torch.as_tensor(vectors)).cpu().numpy()
    return np.roll(((outputs - np.roll(vectors, -1, axis=0)) ** 2).mean(axis=2), 1, axis=1)


def _boundaries(errors, position, of):
    onset = position == 0
    at, within = (np.sqrt(errors[:, where].mean(axis=1)) for where in (onset, ~onset))
    auc = [roc_auc_score(onset, of_network) for of_network in errors]
    return [
        measured(f"root mean squared error at first letters{of}", at),
        measured(f"root mean squared error within words{of}", within),
        measured(f"ratio of the two{of}", at / within),
        measured(f"area under the ROC curve, first letters against others{of}", auc),
        measured(f"{TOLD}{of}", np.array(auc) > 0.8),
    ]


def _over_letters(errors, stream):
    first = np.flatnonzero(stream.position == 0)[1]
    shown = slice(first, first + N_SHOWN)
    rms = np.sqrt(errors[:, shown])
    sd = rms.std(axis=0, ddof=1) if len(rms) > 1 else np.nan
    return pd.DataFrame({"step": np.arange(1, N_SHOWN + 1), "error": rms.mean(axis=0), "sd": sd,
                         "label": stream.letters[shown], "marked": stream.position[shown] == 0})  # fmt: skip


def draw(tables, config):
    return [
        Drawing("Figure 6: error over letters",
                errors_over_time.labelled_steps(tables["letters"], ylabel="root mean squared error",
                                                marked="first letters of words"),
                f"Error at predicting each letter; mean over {config.n_networks} networks, band 1 SD."),
    ]  # fmt: skip


if __name__ == "__main__":
    main(__file__)
