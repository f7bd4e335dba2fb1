"""What do two hidden units do to tell a symmetric row from any other?

Six inputs, two hidden units and one output see all 64 rows of 0s and 1s in every sweep (Rumelhart, Hinton & Williams
1986, figure 1). Every number of the paper comes from one network; here it is many.

What the paper leaves open: which criterion ended its 1,425 sweeps (here: every output on the right side of 1/2), and
whether the first biases are drawn like the first weights. It matters: with biases drawn and the printed learning rate,
15 of 40 networks still answer "nothing is symmetric" (an error of 4, half of the 8 symmetric rows) after 5,000 sweeps.
They are slow, not lost: with n_sweeps = 25000 all but 4 have solved it. With biases of 0, or half the rate, all have
within 5,000. What the paper does not show: a good quarter of the solutions have magnitudes of 2 : 3 : 4, not 1 : 2 : 4;
no sum of some of these equals the sum of others either.
"""

import math
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from brainalign.plots.hinton import receptive_fields
from brainalign.plots.learning import learning_curves
from brainalign.plots.network_diagram import network_diagram
from brainalign.simulate.back_propagation import train
from brainalign.simulate.multilayer import Multilayer
from brainalign.simulate.symmetry import magnitudes, mirror_error, rows, share_right
from brainalign.simulations import Drawing, Published, Settings, main

SOURCE = "Rumelhart et al. 1986, figure 1"
DRAWN, NO_BIASES, SLOWER, NO_HIDDEN = "first biases drawn", "first biases 0", "half the rate", "no hidden units"
SOLUTIONS = {"1 : 2 : 4": (2, 4), "2 : 3 : 4": (1.5, 2)}  # second and third magnitude over the smallest
NEAR = 0.15  # of a magnitude, to count as such a solution
EVERY = 5  # sweeps between looks at the outputs
PRINTED_SWEEPS = 1425

PUBLISHED = (
    Published("sweeps until all rows are right, median", PRINTED_SWEEPS, SOURCE,
              "one network; obtained: of all networks with drawn biases, inf where most are not right by the end"),
    Published("second magnitude over the smallest", 2.0, SOURCE, "obtained: of solutions of the kind 1 : 2 : 4"),
    Published("third magnitude over the smallest", 4.0, SOURCE, "obtained: of solutions of the kind 1 : 2 : 4"),
    Published("largest |w_i + w_7-i| / |w_i|", 0.0, SOURCE, "equal and opposite; anchor: below .15"),
    Published("correlation between the weights of the hidden units", -1.0, SOURCE, "identical, opposite signs"),
    Published("share of solutions with magnitudes 1 : 2 : 4", 1.0, SOURCE, "one network; the others are 2 : 3 : 4"),
    Published("share of solutions with negative biases of hidden units", 1.0, SOURCE),
    Published("share of solutions with a positive bias of the output", 1.0, SOURCE),
    Published("share of networks without hidden units that solve it", 0.0, "Minsky & Papert 1969"),
)  # fmt: skip


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="network i has weights of seed + i")
    n_networks: int = Field(40, ge=1, description="networks of each kind")
    n_sweeps: int = Field(5000, ge=100, description="through the 64 rows, with the weights moved after each")
    lr: float = Field(0.1, gt=0, description="learning rate, for the gradient summed over the rows")
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last move that is made again")
    limit: float = Field(0.3, gt=0, description="first weights and biases are uniform within +-limit")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="cpu, cuda or auto")


def run(config: Config) -> dict[str, pd.DataFrame]:
    kinds = {
        DRAWN: _learn(config),
        NO_BIASES: _learn(config, biases=False),
        SLOWER: _learn(config, lr=config.lr / 2),
        NO_HIDDEN: _learn(config, sizes=(6, 1)),
    }
    networks = pd.concat([_solutions(*learnt, kind) for kind, learnt in kinds.items()], ignore_index=True)
    untrained = share_right(_build(config)(rows()[0]), rows()[1])
    return {
        "networks": networks,
        "weights": _examples(networks, kinds),
        "sweeps": _shares_over_sweeps(networks, config),
        "obtained": _obtained(networks, untrained, config.n_sweeps),
    }


def _build(config, sizes=(6, 2, 1)):
    settings = {"n_networks": config.n_networks, "seed": config.seed, "limit": config.limit, "device": config.device}
    return Multilayer(sizes, **settings)


def _learn(config, *, lr=None, sizes=(6, 2, 1), biases=True):
    """Teach networks; give them and the last sweep, of those looked at, with a wrong answer."""
    network, (inputs, targets) = _build(config, sizes), rows()
    last_wrong = torch.full((config.n_networks,), -1)

    def watch(i_sweep):
        if (i_sweep + 1) % EVERY == 0:
            last_wrong[share_right(network(inputs), targets.to(network.b1)).cpu() < 1] = i_sweep + 1

    with torch.no_grad():
        for bias in network.biases if not biases else ():
            bias.zero_()
    settings = {"lr": lr or config.lr, "momentum": config.momentum, "n_sweeps": config.n_sweeps}
    training = train(network, inputs, targets, **settings, watch=watch)
    return network, training.losses[:, -1].cpu(), last_wrong


def _solutions(network, errors, last_wrong, kind):
    """Give a row per network: when it was right for good, and what its hidden weights look like then."""
    outputs = network(rows()[0]).detach().cpu()
    right = share_right(outputs, rows()[1])
    sizes = network.settings["sizes"]
    weights = network.W1.detach().cpu().double()
    table = pd.DataFrame({
        "kind": kind,
        "network": range(len(weights)),
        "right": right.numpy(),
        "said_yes": (outputs > 0.5).sum(dim=(1, 2)).tolist(),
        "solved_at": np.where(right.numpy() == 1, last_wrong.numpy() + EVERY, np.nan),
        "error": errors.numpy(),
    })  # fmt: skip
    if len(sizes) == 2:
        return table.assign(solution=_named(right, torch.full((len(weights), 3), math.nan)))
    ratios = magnitudes(weights)
    unit = torch.nn.functional.normalize(weights - weights.mean(dim=1, keepdim=True), dim=1)
    return table.assign(
        mirror_error=mirror_error(weights).numpy(),
        second=ratios[:, 1].numpy(),
        third=ratios[:, 2].numpy(),
        correlation=(unit[:, :, 0] * unit[:, :, 1]).sum(dim=1).numpy(),
        hidden_bias=network.b1.detach().cpu().amax(dim=1).numpy(),
        output_bias=network.b2.detach().cpu()[:, 0].numpy(),
        solution=_named(right, ratios),
    )


def _named(right, ratios):
    """Say which solution each network found."""
    names = []
    for share, (_, *found) in zip(right.tolist(), ratios.tolist(), strict=True):
        near = (
            name
            for name, expected in SOLUTIONS.items()
            if all(abs(a / b - 1) < NEAR for a, b in zip(found, expected, strict=True))
        )
        names.append("none" if share < 1 else next(near, "other"))
    return names


def _examples(networks, kinds):
    """Give the weights of the first network with each solution, of those with drawn biases."""
    found = []
    of_drawn, network = networks[networks["kind"] == DRAWN], kinds[DRAWN][0]
    for solution, of_solution in of_drawn[of_drawn["solution"].isin(SOLUTIONS)].groupby("solution"):
        i = int(of_solution["network"].iloc[0])
        for name, values in network.named_parameters():
            of_one = values[i].detach().cpu().numpy()
            for place, value in np.ndenumerate(of_one if of_one.ndim == 2 else of_one[None]):
                found.append((solution, i, name, *place, value))
    return pd.DataFrame(found, columns=["solution", "network", "array", "below", "above", "value"])


def _shares_over_sweeps(networks, config):
    """Give the share of networks that have solved it, over sweeps."""
    sweeps = np.arange(0, config.n_sweeps + 1, 25)
    found = [
        pd.DataFrame({"line": kind, "sweep": sweeps, "value": [(of_kind["solved_at"] <= t).mean() for t in sweeps]})
        for kind, of_kind in networks.groupby("kind", sort=False)
    ]  # fmt: skip
    return pd.concat(found, ignore_index=True)


def _obtained(networks, untrained, n_sweeps):
    of_kind = dict(iter(networks.groupby("kind")))
    drawn = of_kind[DRAWN]
    solved = drawn[drawn["right"] == 1]
    classic = solved[solved["solution"] == "1 : 2 : 4"]
    found = [
        ("sweeps until all rows are right, median", drawn["solved_at"].fillna(np.inf).median(), np.nan, len(drawn)),
        _row("second magnitude over the smallest", classic["second"]),
        _row("third magnitude over the smallest", classic["third"]),
        _row("largest |w_i + w_7-i| / |w_i|", solved["mirror_error"], np.max),
        _row("correlation between the weights of the hidden units", solved["correlation"]),
        *(_share(f"share of solutions with magnitudes {name}", solved["solution"] == name) for name in SOLUTIONS),
        _share("share of solutions with negative biases of hidden units", solved["hidden_bias"] < 0),
        _share("share of solutions with a positive bias of the output", solved["output_bias"] > 0),
        _share("share of networks without hidden units that solve it", of_kind[NO_HIDDEN]["right"] == 1),
        _share("share of untrained networks that solve it", untrained.numpy() == 1),
        _row("rows right without hidden units, most of 64", 64 * of_kind[NO_HIDDEN]["right"], np.max),
    ]
    for kind in (DRAWN, NO_BIASES, SLOWER):
        at = of_kind[kind]["solved_at"]
        found.append(_share(f"share of networks that have solved it by the end, {kind}", at.notna()))
        if n_sweeps >= PRINTED_SWEEPS:
            found.append(_share(f"share of networks that solve it in {PRINTED_SWEEPS} sweeps, {kind}",
                                at <= PRINTED_SWEEPS))  # fmt: skip
    return pd.DataFrame(found, columns=["quantity", "value", "sd", "n"])


def _row(quantity, values, summary=np.mean):
    if not len(values):
        return quantity, math.nan, math.nan, 0
    return quantity, summary(values), values.std() if len(values) > 1 else math.nan, len(values)


def _share(quantity, holds):
    return quantity, np.mean(holds) if len(holds) else math.nan, math.nan, len(holds)


def draw(tables: dict[str, pd.DataFrame], config: Config) -> list[Drawing]:
    """Figures, from the tables alone."""
    drawings = []
    for solution, of_solution in tables["weights"].groupby("solution"):
        arrays = {name: part.pivot(index="below", columns="above", values="value").to_numpy()
                  for name, part in of_solution.groupby("array")}  # fmt: skip
        figure = network_diagram([arrays["W1"], arrays["W2"]], [arrays["b1"][0], arrays["b2"][0]])
        drawings.append(Drawing(
            f"A solution, magnitudes {solution}", figure,
            f"Network {of_solution['network'].iloc[0]}. Numbers on lines are weights, in units biases (compare figure "
            "1 of the paper). Weights at mirror places are equal and opposite, so a symmetric row leaves both hidden "
            "units off and the output on.",
        ))  # fmt: skip
    return [
        *drawings,
        Drawing("Hidden units as Hinton diagrams", receptive_fields(_fields(tables["weights"])),
                "Weights from the six inputs to either hidden unit: white excites, black inhibits, area is magnitude."),
        Drawing("How many networks solve it", learning_curves(tables["sweeps"], ylabel="share of networks"),
                f"{config.n_networks} networks of each kind, learning rate {config.lr:g} (half of it where that is "
                f"said); the network of the paper took {PRINTED_SWEEPS:,} sweeps. A network counts from the sweep on "
                f"after which all 64 outputs stay on the right side of 1/2, up to sweep {config.n_sweeps:,}. "
                f"{_unsolved(tables['networks'])}"),
    ]  # fmt: skip


def _unsolved(networks):
    """Say how many rows those that have not solved it call symmetric."""
    others = networks[networks["right"] < 1]
    said = others.groupby(others["kind"] == NO_HIDDEN)["said_yes"].agg(["mean", "size"])
    names = {False: "with hidden units", True: "without any"}
    parts = [f"the {int(row['size'])} {names[flat]} say yes to {row['mean']:.1f}" for flat, row in said.iterrows()]
    return f"Of those that have not solved it by then, {' and '.join(parts)} of the 64 rows on average."


def _fields(weights):
    """Give the places of the weights in diagrams of one row."""
    part = weights[weights["array"] == "W1"]
    panel = [f"{s}, unit {j + 1}" for s, j in zip(part["solution"], part["above"], strict=True)]
    table = part.assign(panel=panel, row=0, column=part["below"], name=part["below"] + 1)
    return table.sort_values(["solution", "above", "column"])


if __name__ == "__main__":
    main(__file__)
