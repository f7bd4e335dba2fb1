"""Does a cell whose error neither fades nor explodes remember what a simple recurrent network forgets?

    python analyses/hochreiter1997_lstm.py --out results/hochreiter1997_lstm

Hochreiter & Schmidhuber (1997), section 5.4, the adding problem: of a long sequence of random numbers two are marked,
and at the end their sum is wanted. A second task asks for the first symbol of a sequence of random others. Three
kinds of network learn both, with equally many hidden units and the same Adam: the LSTM of 1997 (no forget gates,
input gates biased to be shut at first, as in the paper), the LSTM with forget gates of Gers et al. (2000; biased to
be open), as used today, and a simple recurrent network of tanh units whose error is carried back through the whole
sequence.

The third figure is the reason: how much of an error at the end reaches earlier steps in fresh networks, all paths
included. Along the cells of 1997 nothing is lost; in the simple network it is divided by about the same number at
every step.

Not as in the paper: Adam on batches instead of plain online learning, errors carried back through the gates too, all
sequences equally long. The published numbers of sequences and errors are from memory; the protocol (marks, target,
.04) was read in Hochreiter & Schmidhuber (1996), people.idsia.ch/~juergen/nipslstm/node4.html.
"""

from typing import Literal

import pandas as pd
import torch
from pydantic import Field

from brainalign.plots.alignments import lines_by_network
from brainalign.simulate import lstm, sequence_tasks
from brainalign.simulations import Drawing, Published, Settings, main, measured

LSTM_1997, LSTM_2000, SIMPLE = "LSTM of 1997", "LSTM with forget gates", "simple recurrent"
ADDING, RECALL = "adding", "recall of the first symbol"
N_TESTS = 2560  # as in the paper
N_POINTS = 40  # of a learning curve

PUBLISHED = (
    Published(f"{ADDING}, {LSTM_1997}: share of {N_TESTS} right", 1 - 1 / N_TESTS,
              "Hochreiter & Schmidhuber 1997, table 7, T = 100", "1 of 2,560 wrong; from memory; one network"),
    Published("sequences learned from", 74_000, "Hochreiter & Schmidhuber 1997, table 7, T = 100",
              "from memory; there until 2,000 in a row were right, here a set number with Adam"),
    Published("error through the cells of 1997, first step against last", 1.0, "Hochreiter & Schmidhuber 1997, "
              "section 3.2", "theory, along the cells alone; here as measured with the recurrent weights at 0"),
)  # fmt: skip


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="network i has weights and sequences of seed + i")
    n_networks: int = Field(3, ge=1, description="of each kind")
    n_hidden: int = Field(8, ge=1, description="cells, or hidden units")
    n_steps: int = Field(100, ge=8, description="of the adding problem; 100 is the shortest in the paper")
    n_updates: int = Field(500, ge=1, description="of the adding problem, each of n_sequences")
    n_recall_steps: int = Field(60, ge=2, description="of the recall of the first symbol")
    n_recall_updates: int = Field(150, ge=1, description="of the recall of the first symbol")
    n_sequences: int = Field(32, ge=1, description="fresh ones at each update")
    lr: float = Field(0.02, gt=0, le=10, description="of Adam")
    input_bias: float = Field(-3.0, ge=-100, le=100, description="of input gates at first; the paper's are -3 and -6")
    forget_bias: float = Field(5.0, ge=-100, le=100, description="of forget gates at first; 5 forgets .7 % a step")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")


def run(config):
    rows, curves, paths = [], [], []
    for name in (LSTM_1997, LSTM_2000, SIMPLE):
        fresh = build(name, ("value", "mark"), 1, config)
        if name == LSTM_1997:
            rows.append(measured(f"{ADDING}, untrained {name}: share of {N_TESTS} right", added(fresh, config)))
        paths.append(through_time(name, fresh, config))
        options = {"n_updates": config.n_updates, "n_steps": config.n_steps, "task": sequence_tasks.adding}
        curves.append(learn(fresh, ADDING, name, config, **options))
        rows.append(measured(f"{ADDING}, {name}: share of {N_TESTS} right", added(fresh, config)))

        memory = build(name, "abcdef", 2, config)
        options = {
            "n_updates": config.n_recall_updates,
            "n_steps": config.n_recall_steps,
            "task": sequence_tasks.recall,
        }
        curves.append(learn(memory, RECALL, name, config, **options))
        rows.append(measured(f"{RECALL}, {name}: share right", recalled(memory, config)))
    rows += [
        {"quantity": "sequences learned from", "value": config.n_updates * config.n_sequences, "n": config.n_networks},
        measured("error through the cells of 1997, first step against last", carousel(config)),
    ]
    tables = {"obtained": pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])}
    return tables | {"learning": pd.concat(curves), "error_through_time": pd.concat(paths)}


def build(name, vocabulary, n_outputs, config):
    options = {"n_hidden": config.n_hidden, "n_outputs": n_outputs, "n_networks": config.n_networks}
    options |= {"seed": config.seed, "device": config.device}
    if name == SIMPLE:
        return lstm.SimpleRecurrent(vocabulary, **options)
    options["input_bias"] = config.input_bias
    if name == LSTM_1997:
        return lstm.LSTM(vocabulary, forget_gate=False, **options)
    return lstm.LSTM(vocabulary, forget_bias=config.forget_bias, **options)


def learn(network, title, name, config, *, task, n_updates, n_steps):
    """Teach networks and give their learning curve, means over stretches of updates."""
    losses = lstm.learn_at_the_end(
        network, task, n_updates=n_updates, n_sequences=config.n_sequences, lr=config.lr, n_steps=n_steps
    )
    stretches = losses.cpu().tensor_split(min(N_POINTS, n_updates), dim=1)
    means = torch.stack([part.mean(dim=1) for part in stretches])  # (n_points, n_networks)
    updates = torch.tensor([part.shape[1] for part in stretches]).cumsum(0)
    return pd.DataFrame({"task": title, "network": name, "update": updates, "loss": means.mean(dim=1)})


def added(network, config):
    return lstm.share_added(network, n_steps=config.n_steps, n_sequences=N_TESTS)


def recalled(network, config):
    generator = torch.Generator().manual_seed(10**6)
    words, targets = sequence_tasks.recall(generator, n_sequences=500, n_steps=config.n_recall_steps)
    with torch.no_grad():
        said = network(words[None])[:, :, -1].argmax(dim=2)
    return (said.cpu() == targets).double().mean(dim=1)


def through_time(name, network, config):
    inputs, _ = sequence_tasks.adding(torch.Generator().manual_seed(1), n_sequences=20, n_steps=config.n_steps)
    lengths = lstm.error_through_time(network, inputs[None]).mean(dim=0).cpu()
    back = range(config.n_steps - 1, -1, -1)
    return pd.DataFrame({"task": "fresh networks", "network": name, "steps_back": back, "length": lengths})


def carousel(config):
    """Give the error along the cells of 1997 alone: recurrent weights 0."""
    network = build(LSTM_1997, ("value", "mark"), 1, config)
    with torch.no_grad():
        network.C.zero_()
    inputs, _ = sequence_tasks.adding(torch.Generator().manual_seed(1), n_sequences=20, n_steps=config.n_steps)
    return lstm.error_through_time(network, inputs[None])[:, 0]


def draw(tables, config):
    learning = tables["learning"]
    adding, recall = (learning[learning["task"] == task] for task in (ADDING, RECALL))
    return [
        Drawing(
            "The adding problem",
            lines_by_network(adding, x="update", y="loss", labels=("update", "squared error"), log_y=True,
                             level=(1 / 24, "always 1/2")),
            f"{config.n_steps} steps; mean over {config.n_networks} networks of each kind, each on fresh sequences. "
            "Always to say 1/2, the mean, gives a squared error of 1/24.",
        ),
        Drawing(
            "Recall of the first symbol",
            lines_by_network(recall, x="update", y="loss", labels=("update", "cross-entropy"), log_y=True,
                             level=(0.6931, "guessing")),
            f"{config.n_recall_steps} steps; guessing has a cross-entropy of ln 2.",
        ),
        Drawing(
            "How far back an error reaches",
            lines_by_network(tables["error_through_time"], x="steps_back", y="length", log_y=True,
                             labels=("steps back from the end", "length of the gradient")),
            "Fresh networks on the adding problem: the error that arrives at earlier cells (hidden units, in the "
            "simple network), relative to the last step.",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    main(__file__)
