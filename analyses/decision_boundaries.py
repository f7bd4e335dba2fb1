"""How does the boundary between three classes change with the units and layers of a network?

Points on the three arms of a spiral are learnt by softmax networks without hidden units, with 100 logistic units, with
10, 100 and 1,000 rectified ones, with two layers of 50 and with four layers of 100, 50, 20 and 5: gradient descent with
momentum on the mean cross-entropy of small batches, stopped early on points of their own. No paper prints numbers for
these points; scikit-learn's MLPClassifier, with the same rule but no such points, stands beside, and our networks
without early stopping, which are its peers. The two agree within .01, but where networks of one kind differ much among
themselves (10 units, four layers): there within two standard errors. For logistic units scikit-learn draws first
weights that are smaller by sqrt(3).

Rectified units part the plane along straight lines, so few of them leave corners; logistic ones bend smoothly and are
still on their way when training ends. Four layers that narrow to five units lose what they have learnt in long
training, here and in scikit-learn: at this rate rectified units are pushed to where they never answer again. Early
stopping keeps the weights from before.
"""

import warnings
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from brainalign.plots._style import panels
from brainalign.plots.boundaries import decision_regions
from brainalign.plots.learning import learning_curves
from brainalign.simulate.back_propagation import train
from brainalign.simulate.multilayer import Multilayer
from brainalign.simulate.spirals import spirals
from brainalign.simulations import Drawing, Published, Settings, main, measured

N_CLASSES = 3
KINDS = {
    "no hidden units": ("identity", ()),
    "logistic 100": ("logistic", (100,)),
    "relu 10": ("relu", (10,)),
    "relu 100": ("relu", (100,)),
    "relu 1000": ("relu", (1000,)),
    "relu 50, 50": ("relu", (50, 50)),
    "relu 100, 50, 20, 5": ("relu", (100, 50, 20, 5)),
}
COSTLY = "relu 1000"  # a quarter of the networks
TRAIN, VALIDATION, TEST = range(3)  # seeds of the points, beside that of the simulation

PUBLISHED = (Published("accuracy, untrained", 0.333, "chance of three classes", "mean over all kinds of networks"),)


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="of the points; network i has weights of seed + i")
    n_networks: int = Field(12, ge=1, description="networks of each kind; a quarter as many with 1,000 units")
    n_per_class: int = Field(100, ge=10, description="points of each class to learn from")
    turns: float = Field(0.75, gt=0, description="that an arm makes around the centre")
    noise: float = Field(0.2, ge=0, description="sd of the angle of a point, in radians")
    n_sweeps: int = Field(300, ge=1, description="at most")
    patience: int = Field(60, ge=1, description="sweeps without a lower validation loss after which training ends")
    lr: float = Field(0.1, gt=0, description="learning rate, for the mean over a batch")
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last move that is made again")
    l2: float = Field(0.0, ge=0, description="penalty on the squares of the weights")
    batch_size: int = Field(30, ge=1, description="points per step")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="cpu, cuda or auto")


def run(config: Config) -> dict[str, pd.DataFrame]:
    points = {which: _points(config, which) for which in (TRAIN, VALIDATION, TEST)}
    accuracies, sweeps, weights, untrained, unstopped = [], [], [], [], []
    for kind in KINDS:
        network = _build(config, kind)
        untrained += _accuracy(network, *points[TEST])
        training = _learn(network, points, config)
        on_and_on = _build(config, kind)
        _learn(on_and_on, points, config, stop=False)
        unstopped += [(kind, i, share) for i, share in enumerate(_accuracy(on_and_on, *points[TEST]))]
        accuracies += [
            (kind, i, *shares, int(training.n_sweeps[i]), int(training.best_sweep[i]))
            for i, shares in enumerate(zip(*(_accuracy(network, *points[which]) for which in points), strict=True))
        ]
        sweeps += _curves(kind, training)
        weights += _weights(kind, network)
    columns = ["kind", "network", "train", "validation", "test", "n_sweeps", "best_sweep"]
    networks = pd.DataFrame(accuracies, columns=columns)
    others = {
        "not stopped early": pd.DataFrame(unstopped, columns=["kind", "network", "test"]),
        "scikit-learn": _peers(points, config),
    }
    return {
        "points": _listed(points),
        "networks": networks,
        "others": pd.concat([part.assign(how=how) for how, part in others.items()], ignore_index=True),
        "sweeps": pd.DataFrame(sweeps, columns=["panel", "line", "sweep", "value"]),
        "weights": pd.DataFrame(weights, columns=["kind", "array", "below", "above", "value"]),
        "obtained": _obtained(networks, others, untrained),
    }


def _points(config, which):
    n_per_class = {TRAIN: 1, VALIDATION: 0.5, TEST: 2}[which] * config.n_per_class
    settings = {"turns": config.turns, "noise": config.noise, "seed": 3 * config.seed + which}
    return spirals(int(n_per_class), n_classes=N_CLASSES, **settings)


def _n_networks(config, kind):
    return max(1, config.n_networks // 4) if kind == COSTLY else config.n_networks


def _build(config, kind):
    hidden, sizes = KINDS[kind]
    return Multilayer(
        (2, *sizes, N_CLASSES), hidden=hidden, output="softmax", n_networks=_n_networks(config, kind),
        seed=config.seed, device=config.device,
    )  # fmt: skip


def _learn(network, points, config, *, stop=True):
    inputs, validation = ((points[which][0], _one_hot(points[which][1])) for which in (TRAIN, VALIDATION))
    return train(
        network, *inputs, lr=config.lr, momentum=config.momentum, l2=config.l2, n_sweeps=config.n_sweeps,
        batch_size=config.batch_size, loss="cross_entropy", reduction="mean", seed=config.seed, validation=validation,
        patience=config.patience if stop else None,
    )  # fmt: skip


def _one_hot(labels):
    return torch.nn.functional.one_hot(labels, N_CLASSES).float()


def _accuracy(network, inputs, labels):
    """Give the share of points each network gets right; nan where its weights have overflowed."""
    with torch.no_grad():
        outputs = network(inputs).cpu()
    shares = (outputs.argmax(dim=2) == labels).float().mean(dim=1)
    return torch.where(outputs.isfinite().all(dim=(1, 2)), shares, torch.nan).tolist()


def _curves(kind, training):
    """Give the losses of the first network until it stopped."""
    n_sweeps = int(training.n_sweeps[0])
    lines = {"learnt points": training.losses, "validation points": training.validation}
    return [(kind, line, i + 1, float(values[0, i])) for line, values in lines.items() for i in range(n_sweeps)]


def _weights(kind, network):
    """Give weights and biases of the first network; a bias has `below` -1."""
    rows = []
    for name, values in network.named_parameters():
        for place, value in np.ndenumerate(values[0].detach().cpu().numpy()):
            rows.append((kind, name, *(place if len(place) == 2 else (-1, *place)), value))
    return rows


def _peers(points, config):
    """Give the accuracy of scikit-learn's networks with the same settings; nan where weights overflow."""
    rows = []
    learnt, tested = (tuple(values.numpy() for values in points[which]) for which in (TRAIN, TEST))
    for kind, (hidden, sizes) in KINDS.items():
        for i in range(_n_networks(config, kind) if sizes else 0):
            peer = MLPClassifier(
                sizes, activation=hidden, solver="sgd", learning_rate_init=config.lr, momentum=config.momentum,
                nesterovs_momentum=False, alpha=config.l2 * config.batch_size, batch_size=config.batch_size,
                max_iter=config.n_sweeps, n_iter_no_change=config.patience, random_state=config.seed + i,
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # as many sweeps as ours is the point
                rows.append((kind, i, _fitted_score(peer, learnt, tested)))
    return pd.DataFrame(rows, columns=["kind", "network", "test"])


def _fitted_score(peer, learnt, tested):
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            return peer.fit(*learnt).score(*tested)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            return np.nan


def _listed(points):
    names = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
    tables = [pd.DataFrame({"of": names[which], "x": inputs[:, 0], "y": inputs[:, 1], "label": labels})
              for which, (inputs, labels) in points.items()]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def _obtained(networks, others, untrained):
    rows = [measured("accuracy, untrained", pd.Series(untrained))]
    for kind in KINDS:
        rows.append(measured(f"accuracy, {kind}", networks.loc[networks["kind"] == kind, "test"]))
        of_kind = {how: part.loc[part["kind"] == kind, "test"] for how, part in others.items()}
        rows += [measured(f"accuracy, {kind}, {how}", values) for how, values in of_kind.items() if len(values)]
    of_kinds = networks.groupby("kind", sort=False)
    rows += [measured(f"sweeps until stopped, {kind}", part["n_sweeps"]) for kind, part in of_kinds]
    return pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])  # fmt: skip


def draw(tables: dict[str, pd.DataFrame], config: Config) -> list[Drawing]:
    """Figures, from the tables alone."""
    learnt = tables["points"].query("of == 'train'")
    figure, axes = panels(len(KINDS), width=2.7, height=2.6, n_columns=4)
    for ax, (kind, part) in zip(axes, tables["weights"].groupby("kind", sort=False), strict=True):
        of_first = tables["networks"].query("kind == @kind and network == 0")["test"].iloc[0]
        predict = _predictor(part, KINDS[kind])
        decision_regions(predict, learnt[["x", "y"]], learnt["label"], ax=ax, title=f"{kind}: {of_first:.0%}")
    return [
        Drawing("Boundaries", figure,
                "The answer of the first network of each kind over the plane, the points it learnt from, and the share "
                "of new points it gets right."),
        Drawing("Learning", learning_curves(tables["sweeps"], ylabel="cross-entropy, mean over points", log=True),
                f"First network of each kind, until {config.patience} sweeps brought no lower loss of the validation "
                "points; the weights of the lowest one are kept."),
    ]  # fmt: skip


def _predictor(weights, kind):
    """Build a network from the table of its weights; give the function from points to classes."""
    hidden, sizes = kind
    network = Multilayer((2, *sizes, N_CLASSES), hidden=hidden, output="softmax")
    with torch.no_grad():
        for name, part in weights.groupby("array"):
            values = torch.tensor(part.sort_values(["below", "above"])["value"].to_numpy())
            target = getattr(network, name)
            target.copy_(values.reshape(target.shape))

    def predict(points):
        with torch.no_grad():
            return network(torch.as_tensor(points))[0].argmax(dim=1).numpy()

    return predict


if __name__ == "__main__":
    main(__file__)
