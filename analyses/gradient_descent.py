"""Which minimum of x^4 / 9 + 9/5 x^3 + 7/2 x^2 - 17 x - 1 does gradient descent find, and with which steps?

The worked example of a teaching sheet: from x = 1 down to x = 1.202557. What is inconsistent in print is kept and
named. One version of the sheet gives 3/5 as the coefficient of x^3; only 9/5 has its minimum where the sheet finds it.
No single learning rate gives the printed iterates: the first step is .1, with which the walk would never settle (it
ends in an orbit between .361 and 1.736), the others are near .02 and shrinking. Three descriptions come close; none
gives every digit. The printed values of f are f at the rounded iterates. And the minimum is not the lowest: from more
than half of the line a walk ends at x = -10.249, 158 lower.
"""

import math
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from brainalign.plots.descent import against_print, landscape, orbits, races, walks
from brainalign.simulate.descent import (
    MISPRINTED_CUBIC,
    adam,
    autograd_slope,
    critical_points,
    gradient_descent,
    largest_rate,
    momentum,
    nesterov,
    newton,
    outcome,
    quartic,
    quartic_curvature,
    quartic_slope,
    tune_gradient_descent,
    tune_heavy_ball,
)
from brainalign.simulate.replicas import place
from brainalign.simulations import Drawing, Published, Settings, main

START = 1.0
PRINTED_X = (1.42, 1.32, 1.27, 1.242, 1.227, 1.219, 1.214, 1.2114)
DECIMALS = (2, 2, 2, 3, 3, 3, 3, 4)
PRINTED_F = (-12.48, -12.86, -12.97)
LOW, HIGH = -12.0, 3.0  # of the line that is shown
FAST, SLOW = 0.1, 0.02  # learning rates of the sheet
SHRINK = 0.94  # of the rate per step, from the second step on
MISREAD = 0.12  # by which the gradient of the second description is too low
DIFFERENCE = 0.01  # of the third description: f' as (f(x) - f(x - h)) / h
CURVATURES = (1.0, 50.0)
N_RACE = 120  # steps

SHEET = "teaching sheet"
RECIPE = "obtained: rate .1, then .02 x .94^k"
READ_BACK = "; print read back from the size of its steps"
PUBLISHED = (
    *(
        Published(f"x after step {i}", x, SHEET, f"{RECIPE}{READ_BACK if 4 <= i <= 7 else ''}")
        for i, x in enumerate(PRINTED_X, start=1)
    ),
    *(
        Published(f"f after step {i}", f, SHEET, "printed is f at the rounded x")
        for i, f in enumerate(PRINTED_F, start=1)
    ),
    Published("x of the minimum near the start", 1.202557, SHEET),
    Published("f of the minimum near the start", -13.01927, SHEET),
    Published("coefficient of x^3 that puts a minimum at x = 1.202557", 0.6, SHEET, "misprint of one version: 9/5"),
    Published("largest rate that converges near the minimum", 0.0913, "theory, 2 / f''"),
    Published("shrinking per step, gradient descent, condition number 50", round(49 / 51, 4), "theory"),
    Published(
        "shrinking per step, heavy ball, condition number 50",
        round((math.sqrt(50) - 1) / (math.sqrt(50) + 1), 4),
        "theory (Polyak 1964)",
        "a double root: the distance is like step x factor^step, so the slope is a little flatter",
    ),
    Published("first step of Adam / its rate", 1.0, "theory (Kingma & Ba 2015)", "whatever the gradient"),
)


class Config(Settings):
    """Settings of the analysis."""

    seed: int = Field(0, ge=0, lt=2**32, description="of the starts")
    n_networks: int = Field(300, ge=2, description="walks from random starts on the line")
    n_steps: int = Field(3000, ge=100, description="of walks that are looked at late")
    n_rates: int = Field(600, ge=10, description="learning rates of the figure of orbits")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="cpu, cuda or auto")


def run(config: Config) -> dict[str, pd.DataFrame]:
    tables = {
        "landscape": function_on(LOW, HIGH),
        "critical": critical(),
        "basins": basins(config),
        "iterates": iterates(),
        "walks": example_walks(config),
        "verdicts": verdicts(config),
        "orbits": late_places(config),
        "race": race(),
    }
    return tables | {"obtained": obtained(tables)}


def places(*values: float, device: str = "cpu") -> torch.Tensor:
    """Give starts as (n_networks, 1)."""
    return torch.tensor(values, **place(dtype="float64", device=device))[:, None]


def walk(rates, *, gradient=quartic_slope) -> list[float]:
    """Places of a walk from the start of the sheet."""
    return gradient_descent(gradient, places(START), rate=rates, n_steps=len(rates))[0, :, 0].tolist()


def function_on(low: float, high: float) -> pd.DataFrame:
    x = torch.linspace(low, high, 601, dtype=torch.float64)
    by_hand, by_autograd = quartic_slope(x), autograd_slope(quartic, x)
    return pd.DataFrame({"x": x, "f": quartic(x), "slope": by_hand, "autograd_slope": by_autograd})


def critical() -> pd.DataFrame:
    """Minima and maxima with either coefficient."""
    rows = []
    for coefficient, settings in ((1.8, {}), (0.6, {"cubic": MISPRINTED_CUBIC})):
        x = critical_points(**settings)
        f, curvature = quartic(x, **settings), quartic_curvature(x, **settings)
        for i in range(len(x)):
            kind = "minimum" if curvature[i] > 0 else "maximum"
            name = ("global " if f[i] == f.min() else "local ") + kind
            rows.append((coefficient, kind, name, float(x[i]), float(f[i]), float(curvature[i])))
    return pd.DataFrame(rows, columns=["cubic", "kind", "name", "x", "f", "curvature"])


def basins(config: Config) -> pd.DataFrame:
    """Where walks with a rate of .02 from random places end."""
    start = np.random.default_rng(config.seed).uniform(LOW, HIGH, config.n_networks)
    begun = places(*start, device=config.device)
    ends = gradient_descent(quartic_slope, begun, rate=SLOW, n_steps=config.n_steps)[:, -1, 0].cpu()
    points = critical().query("cubic == 1.8")
    nearest = np.abs(ends.numpy()[:, None] - points["x"].to_numpy()).argmin(axis=1)
    return pd.DataFrame({"start": start, "x": ends, "end": points["name"].to_numpy()[nearest]})


def iterates() -> pd.DataFrame:
    """Set the printed iterates beside those of four descriptions of how they came about."""
    n_later = len(PRINTED_X) - 1
    constant = [FAST, *[SLOW] * n_later]
    shrinking = [FAST, *(SLOW * SHRINK**k for k in range(n_later))]
    descriptions = {
        ".1, then .02": walk(constant),
        ".1, then .02 x .94^k": walk(shrinking),
        ".1, then .02, gradient read .12 too low": walk(constant, gradient=lambda x: quartic_slope(x) - MISREAD),
        ".02 on a backward difference, each from the printed x": [START, *_from_print()],
    }
    rows = [
        (name, step, xs[step], float(quartic(torch.tensor(xs[step], dtype=torch.float64))), PRINTED_X[step - 1],
         0.5 * 10.0 ** -DECIMALS[step - 1])
        for name, xs in descriptions.items() for step in range(1, len(PRINTED_X) + 1)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["description", "step", "x", "f", "printed", "rounding"])
    return table.assign(agrees=(table["x"] - table["printed"]).abs() <= table["rounding"])


def _from_print() -> list[float]:
    """Give one step of .02 (the first: .1) down a backward difference from each printed place."""
    before = torch.tensor([START, *PRINTED_X[:-1]], dtype=torch.float64)
    slope = (quartic(before) - quartic(before - DIFFERENCE)) / DIFFERENCE
    rates = torch.tensor([FAST, *[SLOW] * (len(before) - 1)], dtype=torch.float64)
    return (before - rates * slope).tolist()


def example_walks(config: Config) -> pd.DataFrame:
    """Let each optimiser walk 60 steps from the start of the sheet."""
    start, common = places(START, device=config.device), {"n_steps": 60}
    paths = {
        "gradient descent, .02": gradient_descent(quartic_slope, start, rate=SLOW, **common),
        "gradient descent, .1: an orbit": gradient_descent(quartic_slope, start, rate=FAST, **common),
        "Newton": newton(start[:, 0], n_steps=60)[:, :, None],
        "momentum .9, .005": momentum(quartic_slope, start, rate=0.005, **common),
        "Nesterov .9, .005": nesterov(quartic_slope, start, rate=0.005, **common),
        "Adam, .02": adam(quartic_slope, start, rate=SLOW, **common),
    }
    rows = []
    for name, path in paths.items():
        x = path[0, :, 0].cpu()
        rows.append(pd.DataFrame({"walk": name, "step": range(len(x)), "x": x, "f": quartic(x)}))
    return pd.concat(rows, ignore_index=True)


def verdicts(config: Config) -> pd.DataFrame:
    """How walks from the start of the sheet end, over the learning rate."""
    rates = (0.01, 0.02, 0.0456, 0.09, 0.092, 0.1, 0.11, 0.114, 0.125, 0.132, 0.15)
    start = places(*[START] * len(rates), device=config.device)
    paths = gradient_descent(quartic_slope, start, rate=np.array(rates)[:, None], n_steps=config.n_steps)[:, :, 0]
    ends = [outcome(path) for path in paths]
    return pd.DataFrame(
        {"rate": rates, "verdict": [end.verdict for end in ends], "period": [end.period for end in ends],
         "places": ["; ".join(f"{x:.5f}" for x in end.places) for end in ends]}
    )  # fmt: skip


def late_places(config: Config) -> pd.DataFrame:
    """Last 64 places of walks with learning rates from .06 to .145, those that went off left out."""
    rates = np.linspace(0.06, 0.145, config.n_rates)
    start = places(*[START] * config.n_rates, device=config.device)
    path = gradient_descent(quartic_slope, start, rate=rates[:, None], n_steps=config.n_steps)[:, -64:, 0].cpu()
    near = torch.isfinite(path).all(dim=1)
    return pd.DataFrame({"rate": np.repeat(rates[near.numpy()], 64), "x": path[near].flatten()})


def race() -> pd.DataFrame:
    """Distance to the foot of a bowl with curvatures 1 and 50, four optimisers with the best settings known."""
    curvature = torch.tensor(CURVATURES, dtype=torch.float64)
    start = torch.tensor([[1.0, 0.4]], dtype=torch.float64)

    def gradient(w):
        return curvature * w

    plain, heavy = tune_gradient_descent(*CURVATURES), tune_heavy_ball(*CURVATURES)
    kappa = CURVATURES[1] / CURVATURES[0]
    coming = (math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)
    paths = {
        "gradient descent": (gradient_descent(gradient, start, rate=plain.rate, n_steps=N_RACE), plain.factor),
        "heavy ball": (momentum(gradient, start, rate=heavy.rate, mu=heavy.mu, n_steps=N_RACE), heavy.factor),
        "Nesterov": (nesterov(gradient, start, rate=1 / CURVATURES[1], mu=coming, n_steps=N_RACE), math.nan),
        "Adam, .05": (adam(gradient, start, rate=0.05, n_steps=N_RACE), math.nan),
    }
    tables = []
    for name, (path, factor) in paths.items():
        distance, step = path[0].norm(dim=1), np.arange(N_RACE + 1)
        tables.append(pd.DataFrame({"optimiser": name, "step": step, "x": path[0, :, 0], "y": path[0, :, 1],
                                    "distance": distance, "expected": float(distance[0]) * factor**step}))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def obtained(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    shrinking = tables["iterates"].query("description == '.1, then .02 x .94^k'")
    minimum = tables["critical"].query("cubic == 1.8 and name == 'local minimum'").iloc[0]
    settled = tables["basins"]["end"] == "global minimum"
    x = 1.202557
    values = {
        **{f"x after step {row.step}": row.x for row in shrinking.itertuples()},
        **{f"f after step {row.step}": row.f for row in shrinking.head(len(PRINTED_F)).itertuples()},
        "x of the minimum near the start": minimum["x"],
        "f of the minimum near the start": minimum["f"],
        "coefficient of x^3 that puts a minimum at x = 1.202557": -(4 / 9 * x**3 + 7 * x - 17) / (3 * x**2),
        "largest rate that converges near the minimum": _largest_converging(minimum),
        **_shrinking(tables["race"]),
        "first step of Adam / its rate": _first_step_of_adam(),
        **_orbit(tables["verdicts"]),
        **{f"iterates as printed, {name}": int(rows["agrees"].sum())
           for name, rows in tables["iterates"].groupby("description", sort=False)},
        "largest difference of the slope by hand and by autograd": float(
            (tables["landscape"]["slope"] - tables["landscape"]["autograd_slope"]).abs().max()
        ),
    }  # fmt: skip
    rows = [(name, value, math.nan, 1) for name, value in values.items()]
    rows.append(("share of walks from the line that end at the global minimum", settled.mean(), math.nan, len(settled)))
    return pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])


def _largest_converging(minimum: pd.Series) -> float:
    """Find the largest rate, of 201 around the bound, whose walk from near the minimum comes nearer to it."""
    rates = np.linspace(0.99, 1.01, 201) * largest_rate(minimum["curvature"])
    start = places(*[minimum["x"] + 1e-4] * len(rates))
    path = gradient_descent(quartic_slope, start, rate=rates[:, None], n_steps=2000)[:, :, 0]
    far = (path - minimum["x"]).abs()
    nearer = far[:, -2:].amax(dim=1) < far[:, :2].amax(dim=1)
    return float(rates[nearer.numpy()].max())


def _orbit(ends: pd.DataFrame) -> dict[str, float]:
    """Give the orbit that the rate of .1 ends in."""
    of_fast = ends[ends["rate"] == FAST].iloc[0]
    low, high = (float(x) for x in of_fast["places"].split("; "))
    return {"period of the orbit with rate .1": of_fast["period"], "its lower place": low, "its upper place": high}


def _shrinking(table: pd.DataFrame) -> dict[str, float]:
    """Give the factor per step over the second half of the race."""
    found = {}
    for name in ("gradient descent", "heavy ball"):
        distance = table[table["optimiser"] == name]["distance"].to_numpy()
        factor = (distance[-1] / distance[N_RACE // 2]) ** (2 / N_RACE)
        found[f"shrinking per step, {name}, condition number 50"] = factor
    return found


def _first_step_of_adam() -> float:
    path = adam(quartic_slope, places(START), rate=SLOW, n_steps=1)[0, :, 0]
    return float((path[1] - path[0]).abs() / SLOW)


def draw(tables: dict[str, pd.DataFrame], config: Config) -> list[Drawing]:
    """Figures, from the tables alone."""
    points = tables["critical"].query("cubic == 1.8")
    minimum = points[points["name"] == "local minimum"].iloc[0]
    near = tables["landscape"].query("0.25 < x < 1.85")
    agree = tables["iterates"].groupby("description", sort=False)["agrees"].sum()
    counted = "; ".join(f"{name}: {n} of {len(PRINTED_X)}" for name, n in agree.items())
    return [
        Drawing("The function and its minima", landscape(tables["landscape"], points, tables["basins"]),
                f"The minimum of the sheet is a local one. {config.n_networks} walks with rate .02 start at random."),
        Drawing("Walks from x = 1", walks(tables["walks"], near, minimum=minimum["x"]),
                "60 steps each. A rate of .1 is too large: the walk goes to and fro for ever. Momentum overshoots."),
        Drawing("Printed iterates", against_print(tables["iterates"]),
                f"Distance of each description from the print. Within its rounding: {counted}. The last description "
                "takes printed, hence rounded, places for its start, and misses by no more than that rounding after "
                "the first step."),
        Drawing("Learning rates that are too large",
                orbits(tables["orbits"], bound=largest_rate(minimum["curvature"]), minimum=minimum["x"],
                       marked={"rate .1": FAST}),
                "Late places of the walk. Above 2 / f'' = .0913 the minimum lets go: an orbit of two places, then of "
                "four, of eight, and chaos with a window of three; beyond about .143 the walk goes off to infinity."),
        Drawing("What each learning rate leads to", verdict_table(tables["verdicts"]),
                f"From x = 1, {config.n_steps:,} steps. A walk whose last places repeat with a period of two or more, "
                "or that leaves for infinity, has too large a learning rate; one that is chaotic, or still under way, "
                "has not settled."),
        Drawing("Optimisers on a bowl", races(tables["race"], CURVATURES),
                "Curvatures 1 and 50. Dashed: the best factors per step that theory gives, "
                "(kappa - 1) / (kappa + 1) and (sqrt(kappa) - 1) / (sqrt(kappa) + 1)."),
    ]  # fmt: skip


def verdict_table(verdicts: pd.DataFrame) -> str:
    """Write the table of verdicts as HTML, an empty cell where there is no period."""
    shown = verdicts.assign(period=verdicts["period"].replace(0, "").astype(str)).fillna("")
    table = shown.to_html(index=False, border=0, justify="left", classes="table table-sm")
    return f'<div style="overflow-x: auto">{table}</div>'


if __name__ == "__main__":
    main(__file__)
