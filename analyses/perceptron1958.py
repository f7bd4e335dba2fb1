"""Ask what one unit can learn from examples, how many mistakes it makes on the way, and where Adaline ends up.

Rosenblatt's perceptron learns from its mistakes, Widrow and Hoff's Adaline from the distance of its output to what is
wanted.

- Logic: the perceptron learns AND and OR; no line answers more than 3 of the 4 points of XOR, so it goes on for ever,
  its weights bounded. All 65,536 functions of four inputs are learned side by side: those that end without a mistake
  are the threshold functions, of which there are 4, 14, 104, 1882 for one to four inputs.
- Convergence: on separable points the updates of the online perceptron stay below Novikoff's (R / gamma) ** 2, over
  planted margins and seeds. gamma is measured in the space of (x, 1): the best margin there is, found exactly; the
  planted one is a lower bound of it.
- Batches: the same points seen one by one, in small batches, and all at once.
- Adaline, on points of two classes that overlap: with a constant learning rate the online form keeps moving round the
  least-squares weights, with a decaying one it goes there; all points at once it goes there for any rate below
  2 / (largest eigenvalue) and diverges above.

Not in the papers: Rosenblatt (1958) has no convergence theorem; it is of 1960-62 (Block, Novikoff). The bound holds for
a start at 0 and a constant learning rate, which then changes no answer.

References: Rosenblatt (1958), Psychological Review 65:386-408; Widrow & Hoff (1960), IRE WESCON 4:96-104; Novikoff
(1962), Symposium on the Mathematical Theory of Automata 12:615-622; Minsky & Papert (1969), Perceptrons.
"""

from itertools import product
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from pydantic import Field

from brainalign.errors import BrainalignError
from brainalign.plots.boundaries import decision_regions, linear_boundaries
from brainalign.plots.learning import counts_against_bound, learning_curves
from brainalign.simulate.perceptron import (
    adaline,
    adaline_limit,
    adaline_step_bound,
    best_linear,
    best_margin,
    novikoff_bound,
    perceptron,
    train,
)
from brainalign.simulations import Drawing, Published, Settings, main

LOGIC = {"AND": (-1, -1, -1, 1), "OR": (-1, 1, 1, 1), "XOR": (-1, 1, 1, -1)}
CORNERS = np.array(list(product((0, 1), repeat=2)))
FORMS = {"online": 1, "minibatch of 10": 10, "batch": None}
MAX_INPUTS = 4  # of the logical functions that are all learned
RULES = {"perceptron": perceptron, "Adaline": adaline}
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Config(Settings):
    """Settings."""

    n_networks: int = Field(
        10, ge=1, description="units of each kind, every one with an order of the points of its own"
    )
    n_problems: int = Field(8, ge=1, description="separable problems per margin")
    n_points: int = Field(60, ge=4, description="points of a separable problem")
    margins: tuple[Above0, ...] = Field(
        (0.02, 0.05, 0.1, 0.2), min_length=1, description="planted, in the space of (x, 1)"
    )
    n_sweeps: int = Field(400, ge=2, description="sweeps of the perceptron at most")
    adaline_sweeps: int = Field(100, ge=1, description="sweeps of Adaline")
    decays: tuple[From0, ...] = Field(
        (0.0, 0.1, 0.5), min_length=1, description="of the learning rate of Adaline, per sweep"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of problems and orders; network i has seed + i")


THEORY = "theory"
PUBLISHED = (
    Published("AND: learned (share of units)", 1.0, "Minsky & Papert 1969", THEORY),
    Published("OR: learned (share of units)", 1.0, "Minsky & Papert 1969", THEORY),
    Published("XOR: learned (share of units)", 0.0, "Minsky & Papert 1969", THEORY),
    Published("XOR: best linear answer (share of points)", 0.75, "Minsky & Papert 1969", THEORY),
    Published("functions of 1 input learned", 4, "Muroga 1971; OEIS A000609", THEORY),
    Published("functions of 2 inputs learned", 14, "Muroga 1971; OEIS A000609", "all but XOR and its negation"),
    Published("functions of 3 inputs learned", 104, "Muroga 1971; OEIS A000609", THEORY),
    Published("functions of 4 inputs learned", 1882, "Muroga 1971; OEIS A000609", THEORY),
    Published("updates beyond Novikoff's bound (share of units)", 0.0, "Novikoff 1962, theorem 1", THEORY),
    Published("XOR: longest weights, all sweeps over the first half", 1.0, "Minsky & Papert 1969, chapter 11",
              "cycling theorem: bounded, so that 1 is reached"),
    Published("Adaline, batch: distance to least squares at 0.9 of the step bound", 0.0, "Widrow & Hoff 1960", THEORY),
)  # fmt: skip


def run(config):
    logic, paths, best = logical_functions(config)
    functions = all_functions()
    convergence = separable_problems(config)
    forms = batch_forms(config)
    curves, steps = adaline_curves(config)
    boundary, points = one_boundary(config)
    return {
        "obtained": obtained(logic, best, functions, convergence, steps),
        "logic": logic,
        "logic_paths": paths,
        "best_lines": best,
        "functions": functions,
        "convergence": convergence,
        "forms": forms,
        "adaline": curves,
        "adaline_steps": steps,
        "boundary": boundary,
        "points": points,
    }


def logical_functions(config):
    """Train perceptrons on AND, OR and XOR: results per unit, wrong answers over sweeps, and the best line there is."""
    rows, paths, best = [], [], []
    for name, y in LOGIC.items():
        trained = train(CORNERS, y, n_networks=config.n_networks, n_sweeps=config.n_sweeps, seed=config.seed)
        half = train(CORNERS, y, n_networks=config.n_networks, n_sweeps=config.n_sweeps // 2, seed=config.seed)
        bound, (share, line) = novikoff_bound(CORNERS, y), best_linear(CORNERS, y)
        best.append({"function": name, "share": share, **dict(zip(("w1", "w2", "b"), line, strict=True))})
        for i in range(config.n_networks):
            rows.append({
                "function": name,
                "network": i,
                "n_wrong": int(trained.n_wrong[i, -1]),
                "n_updates": int(trained.n_updates[i, -1]),
                "bound": bound,
                "longest": float(trained.largest_norm[i]),
                "longest_half": float(half.largest_norm[i]),
                **dict(zip(("w1", "w2", "b"), trained.weights[i, -1].tolist(), strict=True)),
            })  # fmt: skip
        mean_wrong = trained.n_wrong.float().mean(dim=0)[:61].tolist()
        paths += [{"function": name, "sweep": k, "n_wrong": n_wrong} for k, n_wrong in enumerate(mean_wrong)]
    return pd.DataFrame(rows), pd.DataFrame(paths), pd.DataFrame(best)


def all_functions():
    """Learn every logical function of one input and more side by side, a unit for each."""
    rows = []
    for n_inputs in range(1, MAX_INPUTS + 1):
        X = np.array(list(product((0, 1), repeat=n_inputs)))
        y = np.array(list(product((-1, 1), repeat=len(X))), dtype=np.float32)
        trained = train(X, y, n_networks=len(y), n_sweeps=60, shuffle=False)
        learned = trained.n_wrong[:, -1] == 0
        rows.append({"n_inputs": n_inputs, "n_functions": len(y), "n_learned": int(learned.sum()),
                     "most_updates": int(trained.n_updates[learned, -1].max()) if learned.any() else 0})  # fmt: skip
    return pd.DataFrame(rows)


def separable(rng, *, margin, n_points, n_inputs=2):
    """Draw points of the square on both sides of a random line, none nearer than `margin` in the space of (x, 1)."""
    for _ in range(1000):
        plane = rng.standard_normal(n_inputs + 1)
        plane /= np.linalg.norm(plane)
        X = rng.uniform(-1, 1, (100 * n_points, n_inputs))
        side = np.c_[X, np.ones(len(X))] @ plane
        X, y = X[np.abs(side) >= margin][:n_points], np.sign(side[np.abs(side) >= margin][:n_points])
        if len(X) == n_points and 0.2 < (y > 0).mean() < 0.8:
            return X, y
    raise BrainalignError(f"margins: no {n_points} points of the square lie on both sides of a line, {margin} from it")


def separable_problems(config):
    """Count the updates of perceptrons on separable problems beside the bound of each."""
    rng, rows = np.random.default_rng(config.seed), []
    for margin, i_problem in product(config.margins, range(config.n_problems)):
        X, y = separable(rng, margin=margin, n_points=config.n_points)
        trained = train(X, y, n_networks=config.n_networks, n_sweeps=config.n_sweeps, seed=config.seed)
        gamma, bound = best_margin(X, y).gamma, novikoff_bound(X, y)
        rows += [{"planted": margin, "problem": i_problem, "network": i, "gamma": gamma, "bound": bound,
                  "n_updates": int(trained.n_updates[i, -1]), "n_wrong": int(trained.n_wrong[i, -1])}
                 for i in range(config.n_networks)]  # fmt: skip
    return pd.DataFrame(rows)


def overlapping(rng, n_points):
    """Draw points of two normal classes that overlap."""
    y = np.where(np.arange(n_points) % 2, 1, -1)
    return rng.standard_normal((n_points, 2)) + y[:, None] * np.array([1.0, 0.6]), y


def batch_forms(config):
    """Follow mistakes and squared error over sweeps: both rules, online, in minibatches, in batch."""
    X, y = overlapping(np.random.default_rng(config.seed), config.n_points)
    rates = {"perceptron": 1.0, "Adaline": 0.05}
    rows = []
    for (rule, learn), (form, batch_size) in product(RULES.items(), FORMS.items()):
        trained = train(X, y, learn, n_networks=config.n_networks, n_sweeps=config.adaline_sweeps,
                        batch_size=batch_size, learning_rate=rates[rule], seed=config.seed)  # fmt: skip
        share = trained.n_wrong.float() / len(y)
        rows += [{"rule": rule, "form": form, "sweep": k, "value": float(share[:, k].mean()),
                  "sd": float(share[:, k].std(correction=0)),
                  "squared_error": float(trained.squared_error[:, k].mean())}
                 for k in range(config.adaline_sweeps + 1)]  # fmt: skip
    return pd.DataFrame(rows)


def adaline_curves(config):
    """Follow the distance of Adaline's weights to least squares: online over decays, in batch round the step bound."""
    X, y = overlapping(np.random.default_rng(config.seed), config.n_points)
    limit, rows = torch.tensor(adaline_limit(X, y)), []
    options = {"n_networks": config.n_networks, "seed": config.seed, "dtype": "float64"}
    for decay in config.decays:
        trained = train(X, y, adaline, n_sweeps=config.adaline_sweeps, learning_rate=0.1, decay=decay, **options)
        far = (trained.weights - limit).norm(dim=2)
        rows += [{"decay": decay, "sweep": k, "value": float(far[:, k].mean()),
                  "sd": float(far[:, k].std(correction=0)), "squared_error": float(trained.squared_error[:, k].mean())}
                 for k in range(config.adaline_sweeps + 1)]  # fmt: skip
    bound, steps = adaline_step_bound(X), []
    for share in (0.1, 0.5, 0.9, 0.99, 1.01, 1.1):
        trained = train(X, y, adaline, n_sweeps=1000, learning_rate=share * bound, batch_size=None, dtype="float64")
        far = (trained.weights[0] - limit).norm(dim=1)
        steps.append({"share_of_bound": share, "learning_rate": share * bound, "distance_at_start": float(far[0]),
                      "distance": float(far[-1])})  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(steps)


def one_boundary(config):
    """Learn one problem by all: the line with the best margin, perceptrons, and Adaline's least squares."""
    X, y = separable(np.random.default_rng(config.seed + 1), margin=0.1, n_points=config.n_points)
    trained = train(X, y, n_networks=config.n_networks, n_sweeps=config.n_sweeps, seed=config.seed)
    lines = {"best margin": [best_margin(X, y).weights], "perceptron": trained.weights[:, -1].tolist(),
             "least squares": [adaline_limit(X, y)]}  # fmt: skip
    rows = []
    for kind, (i, line) in ((kind, of) for kind, of_kind in lines.items() for of in enumerate(of_kind)):
        line = np.asarray(line)
        nearest = float((y * (X @ line[:2] + line[2])).min() / np.hypot(*line[:2]))
        rows.append({"kind": kind, "network": i, "w1": line[0], "w2": line[1], "b": line[2], "margin": nearest})
    return pd.DataFrame(rows), pd.DataFrame({"x1": X[:, 0], "x2": X[:, 1], "label": y.astype(int)})


def obtained(logic, best, functions, convergence, steps):
    """Put what was measured into rows."""
    xor, n = logic[logic["function"] == "XOR"], logic["network"].nunique()
    bounded = xor["longest"] / xor["longest_half"]
    beyond = convergence["n_updates"] > convergence["bound"] * (1 + 1e-9)
    near = steps.loc[steps["share_of_bound"] == 0.9, "distance"].iloc[0]
    of_bound = convergence["n_updates"] / convergence["bound"]
    learned = (logic["n_wrong"] == 0).groupby(logic["function"]).agg(["mean", "std"])
    rows = [
        *((f"{name}: learned (share of units)", *learned.loc[name], n) for name in LOGIC),
        ("XOR: best linear answer (share of points)", best.loc[best["function"] == "XOR", "share"].iloc[0], np.nan, 1),
        *((f"functions of {of.n_inputs} input{'s' * (of.n_inputs > 1)} learned", of.n_learned, np.nan, of.n_functions)
          for of in functions.itertuples()),
        ("updates beyond Novikoff's bound (share of units)", beyond.mean(), np.nan, len(beyond)),
        ("XOR: longest weights, all sweeps over the first half", bounded.mean(), bounded.std(), n),
        ("Adaline, batch: distance to least squares at 0.9 of the step bound", near, np.nan, 1),
        ("separable problems: learned (share of units)", (convergence["n_wrong"] == 0).mean(), np.nan, len(beyond)),
        ("separable problems: updates as a share of the bound", of_bound.mean(), of_bound.std(), len(of_bound)),
        ("separable problems: greatest share of the bound", of_bound.max(), np.nan, len(of_bound)),
        *((f"{name}: updates", of["n_updates"].mean(), of["n_updates"].std(), n)
          for name, of in logic.groupby("function", sort=False) if name != "XOR"),
        *((f"{name}: Novikoff's bound", of["bound"].iloc[0], np.nan, 1)
          for name, of in logic.groupby("function", sort=False) if name != "XOR"),
        ("XOR: longest weights", xor["longest"].max(), np.nan, n),
        ("Adaline, batch: distance to least squares at 1.01 of the step bound",
         steps.loc[steps["share_of_bound"] == 1.01, "distance"].iloc[0], np.nan, 1),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])


def draw(tables, _config):
    forms = tables["forms"].rename(columns={"rule": "panel", "form": "line"})
    squared = forms[(forms["panel"] == "Adaline") & (forms["sweep"] <= 40)].drop(columns=["value", "sd"])
    return [
        Drawing(
            "AND, OR, XOR",
            draw_logic(tables["logic"], tables["best_lines"]),
            "Dots: the four inputs and what is wanted for them. Regions and thick line: the best answer that a line can"
            " give, with the best margin to the points that it answers rightly. Thin lines: where the units stood in"
            " the end; for XOR, when they were stopped.",
        ),
        Drawing(
            "A boundary and its margin",
            draw_boundary(tables["boundary"], tables["points"]),
            "Left: any line without a mistake can be the end of a perceptron. Middle: the line with the best margin in"
            " the space of (x, 1), that of Novikoff's bound. Right: least squares, Adaline's end, which counts all"
            " points and need not separate. Dashed: through the nearest point.",
        ),
        Drawing(
            "Updates against the bound",
            counts_against_bound(tables["convergence"].rename(columns={"planted": "group"}), group_label="margin"),
            "Each dot is a unit; none lies above the line, where updates are (R / gamma) ** 2.",
        ),
        Drawing(
            "Perceptrons on AND, OR, XOR",
            learning_curves(
                tables["logic_paths"].rename(columns={"function": "line", "n_wrong": "value"}),
                ylabel="wrong answers of 4, mean of units",
            ),
            "XOR never ends. An output of 0 is wrong, so that all 4 answers are before the first sweep.",
        ),
        Drawing(
            "Online, minibatch, batch",
            learning_curves(forms[forms["sweep"] > 0], ylabel="share wrong"),
            "Classes that overlap, from the first sweep on; mean of units and one standard deviation. The perceptron"
            " keeps jumping; Adaline, in minibatches and in batch, comes to rest.",
        ),
        Drawing(
            "Adaline: online, minibatch, batch",
            learning_curves(squared.rename(columns={"squared_error": "value"}), ylabel="squared error"),
            "With one learning rate (0.05), errors averaged over a batch: the smaller the batch, the more steps a sweep"
            " has and the faster it goes down, and the farther above least squares it stays.",
        ),
        Drawing(
            "Adaline with a learning rate that decays",
            learning_curves(
                tables["adaline"].assign(line="decay " + tables["adaline"]["decay"].astype(str)),
                ylabel="distance of weights to least squares",
                log=True,
            ),
            "Online, learning rate 0.1 / (1 + decay * sweep). With a constant rate the weights keep moving, at a"
            " distance from least squares.",
        ),
    ]


def draw_logic(logic, best):
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    axes = figure.subplots(1, len(LOGIC))
    for ax, name in zip(axes, LOGIC, strict=True):
        labels = np.where(np.array(LOGIC[name]) > 0, "true", "false")
        first, ends = (of.loc[of["function"] == name, ["w1", "w2", "b"]].to_numpy() for of in (best, logic))
        n_updates, share = logic.loc[logic["function"] == name, "n_updates"], best.set_index("function")["share"]
        decision_regions(answers(first[0]), CORNERS, labels, ax=ax)
        key = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        linear_boundaries(np.vstack([first, ends]), CORNERS, labels, ax=ax,
                          title=f"{name}: best {share[name]:.0%}, {n_updates.mean():.0f} updates")  # fmt: skip
        ax.set(xticks=(0, 1), yticks=(0, 1), xlabel="input 1", ylabel="input 2")
    figure.legend(key.values(), key.keys(), loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def answers(line):
    """Give a classifier from w and b."""
    return lambda points: np.where(points @ line[:2] + line[2] > 0, "true", "false")


def draw_boundary(boundary, points):
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    X, labels = points[["x1", "x2"]].to_numpy(), points["label"].to_numpy()
    for ax, kind in zip(figure.subplots(1, 3), ("perceptron", "best margin", "least squares"), strict=True):
        of_kind = boundary[boundary["kind"] == kind]
        margin = max(float(of_kind["margin"].iloc[0]), 0.0)
        linear_boundaries(of_kind[["w1", "w2", "b"]], X, labels, margin=margin, ax=ax,
                          title=f"{kind}, nearest point at {margin:.3f}")  # fmt: skip
        ax.set_aspect("equal")
    return figure


if __name__ == "__main__":
    main(__file__)
