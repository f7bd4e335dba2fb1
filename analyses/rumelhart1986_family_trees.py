"""Do units that are told only who is who discover generation, branch and nation?

A network of 36 inputs, 6 + 6, 12, 6 and 24 outputs learns 100 facts of two families of the same shape and is asked for
the 4 others (Rumelhart, Hinton & Williams 1986, figures 2 to 4). Every network here learns another 100.

What does not hold: with the printed settings (first weights within +-.3, learning rate .005, momentum .5 for 20 sweeps,
then .01 and .9, every weight reduced by .2 % after each change, 1,500 sweeps) no network learns a single fact; it
answers every question with the same outputs. Through four layers of logistic units with such small weights hardly any
error comes back, and the decay outweighs it. No single change of what follows helps; weights within +-1, a rate
of .05 and a decay of .1 % together teach nearly all facts. Generalisation to four facts of four, which the paper
reports of its network, is then what the best networks do; the mean is over two of four.

The paper speaks of 104 triples. The trees hold 112 triples; 104 is the number of different questions, 8 of which have
two answers. The printed figures are from memory of the paper and its captions, not checked against a scan.
"""

from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from brainalign.plots.hinton import activity_layers, receptive_fields
from brainalign.plots.learning import learning_curves
from brainalign.plots.probes import readouts
from brainalign.simulate import family_trees as trees
from brainalign.simulate.back_propagation import train
from brainalign.simulations import Drawing, Published, Settings, main, measured

FIGURE4 = "Rumelhart et al. 1986, figure 4"
BEGIN = {"n_sweeps": 20, "lr": 0.005, "momentum": 0.5}
MOMENTUM = 0.9
PRINTED = {"limit": 0.3, "lr": 0.01, "decay": 0.002, "tolerance": 0.2}
PRINTED_SWEEPS = 1500
EVERY = 25  # sweeps between looks at the answers
ASKED = ("Colin", "aunt")
LEARNT, TESTED = "learnt facts", "learnt and tested facts"  # panels of the curves
OWN, SHUFFLED, UNTRAINED, AS_PRINTED = "trained", "answers shuffled", "untrained", "as printed"

PUBLISHED = (
    Published("different questions", 104.0, "Rumelhart et al. 1986, p. 534", "called triples there"),
    Published("triples", 104.0, "Rumelhart et al. 1986, p. 534", "8 questions have two answers: 112"),
    Published("share of tested facts right, as printed", 1.0, FIGURE4, "4 of 4, one network; here they do not learn"),
    Published("share of tested facts right, trained", 1.0, FIGURE4, "4 of 4, one network; settings of this simulation"),
    Published("generation told by a linear probe, trained", "a unit for it", FIGURE4),
    Published("branch told by a linear probe, trained", "a unit for it", FIGURE4,
              "grandchildren belong to both: left out"),
    Published("nation told by a linear probe, trained", "a unit for it", FIGURE4),
    Published("distance between twins of the families, over all", "small", FIGURE4, "1: no likeness"),
)  # fmt: skip


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="network i has weights and tested facts of seed + i")
    n_networks: int = Field(20, ge=1, description="networks of each kind")
    n_sweeps: int = Field(3000, ge=100, description="through the facts, with the weights moved after each")
    limit: float = Field(1.0, gt=0, description="first weights and biases are uniform within +-limit")
    lr: float = Field(0.05, gt=0, description="learning rate after the first 20 sweeps")
    decay: float = Field(0.001, ge=0, lt=1, description="part of every weight that is lost after each change")
    tolerance: float = Field(0.2, ge=0, description="an output this near to its target is right")
    n_test: int = Field(4, ge=1, le=103, description="facts that a network does not see")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="cpu, cuda or auto")


def run(config: Config) -> dict[str, pd.DataFrame]:
    known = trees.facts()
    own = {"limit": config.limit, "lr": config.lr, "decay": config.decay, "tolerance": config.tolerance}
    recipes = {
        AS_PRINTED: PRINTED,
        f"weights within +-{config.limit:g}": PRINTED | {"limit": config.limit},
        f"rate {config.lr:g}": PRINTED | {"lr": config.lr},
        f"decay {config.decay:g}": PRINTED | {"decay": config.decay},
    }
    by_recipe = {name: _learn(known, config, n_sweeps=PRINTED_SWEEPS, **recipe) for name, recipe in recipes.items()}
    by_recipe["all three"] = _learn(known, config, n_sweeps=config.n_sweeps, **own)
    order = torch.randperm(len(known.names), generator=torch.Generator().manual_seed(config.seed))
    shuffled = known._replace(targets=known.targets[order])
    learnt = {
        OWN: by_recipe["all three"],
        SHUFFLED: _learn(shuffled, config, n_sweeps=config.n_sweeps, **own),
        AS_PRINTED: by_recipe[AS_PRINTED],
    }
    networks = {kind: network for kind, (network, _, _) in learnt.items()} | {UNTRAINED: _build(config, config.limit)}
    answers = pd.concat(
        [
            _answers(networks[kind], shuffled if kind == SHUFFLED else known, config).assign(kind=kind)
            for kind in networks
        ]
    )
    probes = _probes(networks)
    shown = int(
        answers.query("kind == @OWN and asked == 'tested'").sort_values("right", kind="stable")["network"].iloc[-1]
    )
    units = _units(networks[OWN], shown)
    return {
        "sweeps": _sweeps(by_recipe, learnt),
        "answers": answers,
        "probes": probes,
        "units": units,
        "fields": _fields(networks[OWN], shown, units),
        "activities": _activities(networks[OWN], known, shown, units),
        "obtained": _obtained(known, answers, probes, networks[OWN], units),
    }  # fmt: skip


def _build(config, limit):
    return trees.build(limit=limit, n_networks=config.n_networks, seed=config.seed, device=config.device)


def _learn(known, config, *, n_sweeps, limit, lr, decay, tolerance):
    """Teach networks their facts; give them and the share of learnt and tested facts that are right, over sweeps."""
    network = _build(config, limit)
    learnt, tested = trees.held_out(config.n_networks, n_test=config.n_test, seed=config.seed)
    rates, momenta = torch.full((n_sweeps,), lr), torch.full((n_sweeps,), MOMENTUM)
    rates[: BEGIN["n_sweeps"]], momenta[: BEGIN["n_sweeps"]] = BEGIN["lr"], BEGIN["momentum"]
    rows, at = [], []

    def watch(i_sweep):
        if (i_sweep + 1) % EVERY == 0:
            at.append(i_sweep + 1)
            rows.append([_right(network, known, asked).mean(dim=1) for asked in (learnt, tested)])

    settings = {"lr": rates, "momentum": momenta, "decay": decay, "tolerance": tolerance}
    train(network, known.inputs[learnt], known.targets[learnt], n_sweeps=n_sweeps, **settings, watch=watch)
    return network, at, torch.stack([torch.stack(pair) for pair in rows])  # (n_looks, 2, n_networks)


def _right(network, known, asked):
    """Say which of the facts asked of each network it answers right, (n_networks, n_asked)."""
    outputs = network(known.inputs[asked]).detach().cpu()
    return trees.right(outputs, known.targets[asked]).float()


def _answers(network, known, config):
    """Give a row per network and kind of fact: the number asked, right, and right by first choice."""
    rows = []
    split = trees.held_out(config.n_networks, n_test=config.n_test, seed=config.seed)
    for asked, which in zip(("learnt", "tested"), split, strict=True):
        outputs = network(known.inputs[which]).detach().cpu()
        right = trees.right(outputs, known.targets[which]).sum(dim=1)
        first = trees.first_choice(outputs, known.targets[which]).sum(dim=1)
        rows += [
            (i, asked, which.shape[1], *counts)
            for i, counts in enumerate(zip(right.tolist(), first.tolist(), strict=True))
        ]
    return pd.DataFrame(rows, columns=["network", "asked", "n", "right", "first_choice"])  # fmt: skip


def _probes(networks):
    """Give how well a linear probe tells each trait of a person from the code of six units."""
    rows = [
        (kind, trait, i, accuracy)
        for kind, network in networks.items()
        for trait, labels in trees.traits().items()
        for i, accuracy in enumerate(trees.probe(trees.person_codes(network).cpu(), labels).tolist())
    ]
    return pd.DataFrame(rows, columns=["kind", "trait", "network", "accuracy"])


def _units(network, shown):
    """Give the correlation of every unit of the person code with every trait, signed."""
    rows = []
    for trait, labels in trees.traits().items():
        codes = trees.person_codes(network).cpu()[:, labels >= 0].double()  # (n_networks, n_persons, n_units)
        values = labels[labels >= 0].double()
        deviations, wanted = codes - codes.mean(dim=1, keepdim=True), values - values.mean()
        scale = deviations.norm(dim=1).clamp(min=1e-12) * wanted.norm()
        of_units = torch.einsum("npu,p->nu", deviations, wanted) / scale
        rows += [(trait, i, unit, value, i == shown) for (i, unit), value in np.ndenumerate(of_units.numpy())]
    return pd.DataFrame(rows, columns=["trait", "network", "unit", "correlation", "shown"])


def _order(units):
    """Order the units of the network that is shown by what they tell: nation first, then generation, then branch."""
    table = units[units["shown"]].pivot(index="unit", columns="trait", values="correlation").abs()
    told = table.idxmax(axis=1)
    rank = told.map({"nation": 0, "generation": 1, "branch": 2})
    strength = table.max(axis=1)
    order = pd.DataFrame({"rank": rank, "strength": -strength}).sort_values(["rank", "strength"]).index
    return [(int(unit), f"{told[unit]} (|r| = {strength[unit]:.2f})") for unit in order]


def _fields(network, shown, units):
    """Give the weights from persons to the units that code them, English above Italian."""
    weights = network.W1.detach().cpu()[shown]
    rows = [
        (f"unit {k}: {label}", row, column, family[column], float(weights[trees.PEOPLE.index(family[column]), unit]))
        for k, (unit, label) in enumerate(_order(units), start=1)
        for row, family in enumerate((trees.ENGLISH, trees.ITALIAN))
        for column in range(len(family))
    ]
    return pd.DataFrame(rows, columns=["panel", "row", "column", "name", "value"])


def _activities(network, known, shown, units):
    """Give the activity of every unit when the network is asked for Colin's aunts."""
    asked = known.names.index(ASKED)
    states = {name: values[shown, 0].detach().cpu() for name, values in network.states(known.inputs[[asked]]).items()}
    order = [unit for unit, _ in _order(units)]
    codes = states["hidden_1"]
    wanted = known.targets[asked] > 0
    layers = [
        (0, "person 1", known.inputs[asked, : len(trees.PEOPLE)], trees.PEOPLE, None, len(trees.ENGLISH)),
        (0, "relation", known.inputs[asked, len(trees.PEOPLE) :], trees.RELATIONS, None, 6),
        (1, "code of the person", codes[order], None, None, trees.N_CODE),
        (1, "code of the relation", codes[trees.N_CODE :], None, None, trees.N_CODE),
        (2, "centre", states["hidden_2"], None, None, 12),
        (3, "code of the answer", states["hidden_3"], None, None, 6),
        (4, "person 2", states["output"], trees.PEOPLE, wanted, len(trees.ENGLISH)),
    ]
    rows = [
        (level, layer, i // width, i % width, float(value), names[i] if names else "",
         dots is not None and bool(dots[i]))
        for level, layer, values, names, dots, width in layers
        for i, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["level", "layer", "row", "column", "value", "name", "wanted"])


def _sweeps(by_recipe, learnt):
    """Give shares of facts that are right over sweeps: of each recipe, and of learnt and tested facts."""
    curves = [(LEARNT, name, *_curve(of_recipe, 0)) for name, of_recipe in by_recipe.items()]
    for kind in (OWN, SHUFFLED):
        for i, asked in enumerate(("learnt", "tested")):
            curves.append((TESTED, f"{kind}, {asked}", *_curve(learnt[kind], i)))
    parts = [pd.DataFrame({"panel": panel, "line": line, "sweep": at, "value": value, "sd": sd})
             for panel, line, at, value, sd in curves]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _curve(learnt, i_asked):
    _, at, shares = learnt
    of_asked = shares[:, i_asked].numpy()  # (n_looks, n_networks)
    return at, of_asked.mean(axis=1), of_asked.std(axis=1, ddof=1) if of_asked.shape[1] > 1 else 0.0


def _obtained(known, answers, probes, network, units):
    rows = [
        measured("different questions", len(known.names)),
        measured("triples", float(known.targets.sum())),
    ]
    for (kind, asked), part in answers.groupby(["kind", "asked"], sort=False):
        if asked == "tested":
            first_choice, all_right = part["first_choice"] / part["n"], part["right"] == part["n"]
            rows.append(measured(f"share of tested facts right, {kind}", part["right"] / part["n"]))
            rows.append(measured(f"share of tested facts right by first choice, {kind}", first_choice))
            rows.append(measured(f"share of networks with all tested facts right, {kind}", all_right))
        else:
            rows.append(measured(f"share of learnt facts right, {kind}", part["right"] / part["n"]))
    rows += [measured(f"{trait} told by a linear probe, {kind}", part["accuracy"])
             for (kind, trait), part in probes.groupby(["kind", "trait"], sort=False)]  # fmt: skip
    strongest = units.assign(size=units["correlation"].abs()).groupby(["trait", "network"])["size"].max()
    rows += [
        measured(f"largest |r| of a unit with {trait}", part) for trait, part in strongest.groupby("trait", sort=False)
    ]
    likeness = trees.twin_likeness(trees.person_codes(network).cpu())
    rows.append(measured("distance between twins of the families, over all", likeness.numpy()))
    return pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])


def draw(tables: dict[str, pd.DataFrame], config: Config) -> list[Drawing]:
    """Figures, from the tables alone."""
    shown = tables["units"].query("shown")["network"].iloc[0]
    tested = tables["answers"].query("kind == @OWN and asked == 'tested'").set_index("network")["right"]
    right, mean = tested[shown], tested.mean()
    person, relation = ASKED
    return [
        Drawing("What the six units for persons see", receptive_fields(tables["fields"]),
                "Weights from the 24 persons, the English above, their Italian twins below (compare figure 4 of the "
                f"paper). Network {shown}, the best of {config.n_networks} on facts it has not seen: it answers "
                f"{right} of {config.n_test}, all networks {mean:.1f} on average. Units named after the trait that "
                "correlates most with their activity, and ordered by it."),
        Drawing(f"Who is the {relation} of {person}?", activity_layers(tables["activities"]),
                "Activity of every unit of the same network, the input below (compare figure 3 of the paper); dots: "
                "the right answers."),
        Drawing("Traits in the code of a person", readouts(_summary(tables["probes"]), ylabel="share told right"),
                "Share of persons whose trait a linear discriminant tells that was fitted to all the others whose "
                f"trait is known, mean and sd over {config.n_networks} networks; dotted: the share of the commonest "
                "class."),
        Drawing("Learning, by what is changed of the printed settings", _learning(tables, LEARNT),
                f"Share of learnt facts that are right, mean and sd over {config.n_networks} networks: the printed "
                "settings, one of them changed at a time, all three changed."),
        Drawing("Learnt and tested facts", _learning(tables, TESTED),
                f"Each network has {config.n_test} tested facts of its own. The same questions with the answers dealt "
                "out anew can be learnt by heart in part, but tell nothing of one not seen."),
    ]  # fmt: skip


def _learning(tables, panel):
    part = tables["sweeps"].loc[tables["sweeps"]["panel"] == panel].drop(columns="panel")
    return learning_curves(part, ylabel="share of facts right")


def _summary(probes):
    """Give mean and sd over networks of each probe, and the share of the commonest class."""
    table = probes.groupby(["trait", "kind"], sort=False)["accuracy"].agg(["mean", "std"]).reset_index()
    commonest = {}
    for trait, labels in trees.traits().items():
        counts = labels[labels >= 0].bincount()
        commonest[trait] = float(counts.max() / counts.sum())
    return table.rename(columns={"std": "sd"}).assign(chance=table["trait"].map(commonest))


if __name__ == "__main__":
    main(__file__)
