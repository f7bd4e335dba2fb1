"""Ask whether nets of threshold units do what their formulas say (1943), and which formulas can be built at all.

The nine nets of McCulloch & Pitts's figure 1 are run on every input there is over 8 steps and compared with the
formulas printed beside them. Net (e) is the illusion of heat: N1 is a receptor for heat, N2 for cold; a cold object
held for a moment is felt as hot (N3), held longer as cold (N4).

Inconsistencies and what is not in the paper:

- Theorem 1 says that the sum of end-feet must exceed the threshold. In the drawings all thresholds are 2 and two
  end-feet are enough: here the threshold is reached, not exceeded.
- (f) is drawn twice: with relative inhibition, where an inhibitor only raises the threshold, at t - 1, and with
  absolute inhibition at t - 2. Both are here.
- The formula of (e) has a consequence that the text does not speak of: cold that was held is felt as cold, and 3 steps
  after its end, once, as heat.
- "not" alone cannot be built (theorem 3): the gate has a clock as second input.

The compiler builds nets for formulas, those of the paper and random ones, and refuses what is true when nothing
fires. Each net is checked on every input over one step more than its longest path, which is a proof. Nets with
circles: a latch, and rings whose period is that of the impulses in them.

Reference: McCulloch & Pitts (1943), A logical calculus of the ideas immanent in nervous activity, Bulletin of
Mathematical Biophysics 5:115-133.
"""

from itertools import product

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from brainalign.errors import BrainalignError
from brainalign.plots.rasters import net_drawings, rasters
from brainalign.simulate.temporal_logic import (
    And,
    Compiled,
    Fires,
    Not,
    Or,
    Past,
    compile_net,
    disagreements,
    parse_formula,
    truth_table,
)
from brainalign.simulate.threshold import FORMULAS, all_sequences, figure_1, gates, latch, period, ring
from brainalign.simulations import Drawing, Published, Settings, main

FIGURE, TEXT = "McCulloch & Pitts 1943, figure 1", "McCulloch & Pitts 1943, section 2"


class Config(Settings):
    """Settings."""

    n_steps: int = Field(8, ge=4, le=8, description="length of the inputs that nets are compared with formulas on")
    n_expressions: int = Field(200, ge=1, description="random expressions that are compiled")
    max_ring: int = Field(8, ge=1, description="units of the largest ring")
    seed: int = Field(0, ge=0, lt=2**32, description="of the random expressions")


def as_formula(letter):
    return f"({letter}) " + "; ".join(FORMULAS[letter])


PUBLISHED = (
    *(Published(as_formula(letter), 1.0, f"{FIGURE} {letter[0]}", note) for letter, note in {
        "a": "",
        "b": "",
        "c": "drawn with a threshold of 2 that is reached; theorem 1 says exceeded",
        "d": "",
        "e": "",
        "f": "relative inhibition",
        "f absolute": "the same by absolute inhibition, a step later (theorem 4)",
        "g": "",
        "h": "",
        "i": "a circle: it remembers for ever",
    }.items()),
    Published("brief cold: steps to the sensation of heat", 3, TEXT, "from the formula of (e)"),
    Published("brief cold: spikes of the unit for cold", 0, TEXT, "the illusion"),
    Published("steps of cold that are felt as cold", 2, TEXT, "from the formula of (e)"),
)  # fmt: skip

COLD = {"cold, 1 step": (1, "N2"), "cold, 2 steps": (2, "N2"), "cold, 5 steps": (5, "N2"), "heat, 1 step": (1, "N1")}
DEMANDS = (
    "N3(t) = N1(t-1) and N2(t-1)",
    "N3(t) = N1(t-2) and not N2(t-2) or N2(t-2) and not N1(t-2)",
    "N3(t) = N1(t-3) and (N2(t-2) or not N1(t-1))",
    "N3(t) = N1(t) and N2(t)",
    "N4(t) = S(N1(t) and N2(t), 2) or N3(t-1)",
    "N2(t) = not N1(t-1)",
    "N3(t) = N1(t-1) or not N2(t-1)",
    "N3(t) = exists(x < t-1, N1(x))",
    "N3(t) = N1(t+1)",
)


def run(config):
    heat = heat_illusion()
    random = random_expressions(config)
    rings = ring_periods(config)
    nets = compared(config)
    return {
        "obtained": obtained(nets, heat, random, rings),
        "nets": nets,
        "gates": gate_tables(),
        "heat_illusion": heat,
        "compiler": demands(),
        "random_expressions": random,
        "circles": circles(),
        "rings": rings,
        "synapses": synapses(),
    }


def compared(config):
    """Compare every net with its formulas on every input, and with the net that the compiler builds."""
    rows = []
    for letter, (net, formulas, about) in figure_1().items():
        named = dict(map(parse_formula, formulas))
        n_steps = config.n_steps
        wrong = disagreements(Compiled(net, named, dict.fromkeys(named, 0)), n_steps=n_steps)
        n_sequences = 2 ** (n_steps * len(net.inputs))
        rows.append({
            "net": letter,
            "about": about,
            "formula": "; ".join(formulas),
            "n_units": len(net.units),
            "n_inputs": n_sequences,
            "steps_wrong": sum(wrong.values()),
            "share_right": 1 - sum(wrong.values()) / (n_sequences * n_steps * len(named)),
        } | compiled_beside(formulas))  # fmt: skip
    return pd.DataFrame(rows)


def compiled_beside(formulas):
    """Give size, delay and errors of the net that is compiled; nothing where that needs a circle."""
    try:
        compiled = compile_net(formulas)
    except BrainalignError:
        return {"compiled_units": np.nan, "compiled_late": np.nan, "compiled_wrong": np.nan}
    return {
        "compiled_units": len(compiled.net.units),
        "compiled_late": max(compiled.late.values()),
        "compiled_wrong": sum(disagreements(compiled).values()),
    }


def gate_tables():
    """Give what each gate answers to inputs that are held, once it has had the time."""
    rows = []
    for name, (net, formulas, _) in gates().items():
        held = torch.tensor(list(product((False, True), repeat=2)))[:, None].expand(-1, net.longest_path() + 1, -1)
        answers = net.activity(held)[:, -1, -1]
        for inputs, answer in zip(held[:, 0].int().tolist(), answers.int().tolist(), strict=True):
            said = " ".join(f"{unit}={value}" for unit, value in zip(net.inputs, inputs, strict=True))
            rows.append({"gate": name, "formula": formulas[0], "inputs": said, "fires": answer,
                         "steps": net.longest_path()})  # fmt: skip
    return pd.DataFrame(rows)


def activity_table(net, inputs, stimuli):
    """Give activity as rows `stimulus unit step active`; `inputs` (n_stimuli, n_steps, n_inputs)."""
    activity = net.activity(inputs).int().numpy()
    index = pd.MultiIndex.from_product([stimuli, range(inputs.shape[1]), net.names], names=["stimulus", "step", "unit"])
    return pd.DataFrame({"active": activity.ravel()}, index=index).reset_index()


def heat_illusion(n_steps=12):
    net = figure_1()["e"].net
    inputs = torch.zeros(len(COLD), n_steps, len(net.inputs), dtype=torch.bool)
    for of_stimulus, (n_on, name) in zip(inputs, COLD.values(), strict=True):
        of_stimulus[:n_on, net.inputs.index(name)] = True
    table = activity_table(net, inputs, list(COLD))
    words = {"N1": "N1 heat on skin", "N2": "N2 cold on skin", "N3": "N3 felt as heat", "N4": "N4 felt as cold"}
    order = ["N1", "N2", "Na", "Nb", "N3", "N4"]
    table = table.sort_values("unit", key=lambda of: of.map(order.index), kind="stable")
    return table.assign(unit=table["unit"].replace(words))


def demands():
    """Compile formulas one by one: size, delay and a proof, or why not."""
    rows = []
    for formula in DEMANDS:
        try:
            compiled = compile_net(formula)
        except BrainalignError as error:
            rows.append({"formula": formula, "built": False, "says": str(error)})
            continue
        (name, expression), = compiled.formulas.items()  # fmt: skip
        net, (_, _, values) = compiled.net, truth_table(expression)
        rows.append({
            "formula": formula,
            "built": True,
            "n_units": len(net.units),
            "late": compiled.late[name],
            "true_rows": f"{int(values.sum())} of {len(values)}",
            "n_inputs": 2 ** (len(net.inputs) * (net.longest_path() + 1)),
            "wrong": disagreements(compiled)[name],
            "says": "; ".join(wiring(of, unit) for of, unit in net.units.items()),
        })  # fmt: skip
    counts = dict.fromkeys(("n_units", "late", "n_inputs", "wrong"), "Int64")
    return pd.DataFrame(rows).astype(counts).fillna({"true_rows": ""})


def wiring(name, unit):
    """Say how a unit is wired."""
    feet = " + ".join(f"{count} {source}" for source, count in unit.excited_by.items())
    stops = "".join(f", not {source}" for source in unit.inhibited_by)
    return f"{name}: {feet} >= {unit.threshold}{stops}"


def random_expressions(config):
    """Compile random expressions of three inputs: those true at rest are refused, the others built and proved."""
    rng, rows = np.random.default_rng(config.seed), []
    for _ in range(config.n_expressions):
        expression = random_expression(rng, depth=3)
        columns, _, values = truth_table(expression)
        row = {"n_constituents": len(columns), "true_at_rest": bool(values[0])}
        try:
            compiled = compile_net({"out": expression})
        except BrainalignError:
            rows.append(row | {"built": False, "wrong": np.nan})
            continue
        row |= {"n_units": len(compiled.net.units), "late": compiled.late["out"]}
        rows.append(row | {"built": True, "wrong": disagreements(compiled)["out"]})
    return pd.DataFrame(rows)


def random_expression(rng, *, depth):
    kind = rng.integers(5) if depth else 4
    if kind == 4:
        return Past(Fires(f"N{rng.integers(1, 4)}"), int(rng.integers(3)))
    if kind == 3:
        return Not(random_expression(rng, depth=depth - 1))
    parts = tuple(random_expression(rng, depth=depth - 1) for _ in range(2))
    return (And, Or, And)[kind](parts)


def circles(n_steps=24):
    """Run nets with circles: the latch set, reset and set again, a ring with one impulse and with two."""
    told = torch.zeros(1, n_steps, 2, dtype=torch.bool)
    told[0, [2, 16], 0] = told[0, 11, 1] = True
    tables = [activity_table(latch(), told, ["latch"])]
    for starts in ([0], [0, 3]):
        told = torch.zeros(1, n_steps, 1, dtype=torch.bool)
        told[0, starts] = True
        name = f"ring of 6, impulses at {' and '.join(map(str, starts))}"
        tables.append(activity_table(ring(6), told, [name]))
    learning = all_sequences(2, 1)[:1].repeat(1, n_steps, 1)
    learning[0, [1, 5, 14, 20], 0] = learning[0, [9, 14], 1] = True
    tables.append(activity_table(figure_1()["i"].net, learning, ["net (i): N1 counts once it has met N2"]))
    return pd.concat(tables, ignore_index=True)


def ring_periods(config):
    """Give the period of one impulse in rings, and of impulses at equal distances in the largest."""
    rows = []
    for n_units in range(1, config.max_ring + 1):
        for n_impulses in (of for of in range(1, n_units + 1) if n_units % of == 0):
            inputs = torch.zeros(1, 3 * n_units + 2, 1, dtype=torch.bool)
            inputs[0, : n_units : n_units // n_impulses] = True
            rows.append(
                {"n_units": n_units, "n_impulses": n_impulses, "period": int(period(ring(n_units).activity(inputs)))}
            )
    return pd.DataFrame(rows)


def synapses():
    """List the synapses of figure 1: `net source target kind feet threshold`."""
    rows = [
        {"net": letter, "source": source, "target": target, "kind": kind, "feet": feet, "threshold": unit.threshold}
        for letter, example in figure_1().items()
        for target, unit in example.net.units.items()
        for kind, of_kind in (("excites", unit.excited_by), ("inhibits", dict.fromkeys(unit.inhibited_by, 1)),
                              ("raises", unit.raised_by))
        for source, feet in of_kind.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def obtained(nets, heat, random, rings):
    """Put what was measured into rows; there is no spread, as nothing is drawn at random but expressions."""
    brief = heat[(heat["stimulus"] == "cold, 1 step") & (heat["active"] == 1)]
    held = heat[heat["unit"].eq("N4 felt as cold") & heat["active"].eq(1)]
    durations = [n_on for name, (n_on, unit) in COLD.items() if unit == "N2" and name in set(held["stimulus"])]
    trailing = heat[heat["stimulus"].eq("cold, 5 steps") & heat["active"].eq(1) & heat["unit"].eq("N3 felt as heat")]
    one, built = rings[rings["n_impulses"] == 1], random[random["built"]]
    rows = [
        *((as_formula(row.net), row.share_right, row.n_inputs) for row in nets.itertuples()),
        ("brief cold: steps to the sensation of heat", brief.loc[brief["unit"] == "N3 felt as heat", "step"].min(), 1),
        ("brief cold: spikes of the unit for cold", (brief["unit"] == "N4 felt as cold").sum(), 1),
        ("steps of cold that are felt as cold", min(durations), 1),
        ("cold held for 5 steps: spikes of the unit for cold", (held["stimulus"] == "cold, 5 steps").sum(), 1),
        ("cold held for 5 steps: steps from its end to heat", trailing["step"].min() - 4, len(trailing)),
        ("formulas of figure 1 that the compiler builds", nets["compiled_wrong"].eq(0).sum(), len(nets)),
        ("random expressions: refused where true at rest, built elsewhere (share)",
         (random["built"] != random["true_at_rest"]).mean(), len(random)),
        ("random expressions built: steps that are wrong", built["wrong"].sum(), len(built)),
        ("rings: period is the number of units (share)", (one["period"] == one["n_units"]).mean(), len(one)),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["quantity", "value", "n"]).assign(sd=np.nan)


def draw(tables, _config):
    formulas = {row.net: row.formula.replace("; ", "\n") for row in tables["nets"].itertuples()}
    return [
        Drawing(
            "The nets of figure 1",
            net_drawings(tables["synapses"], formulas),
            "Dots are end-feet that excite, two of them are enough everywhere; rings are inhibition, absolute, or"
            " (dashed) raising the threshold. Na, Nb, Nc are cells without a name in the paper.",
        ),
        Drawing(
            "The illusion of heat, net (e)",
            rasters(tables["heat_illusion"], inputs=("N1 heat on skin", "N2 cold on skin")),
            "One step of cold is felt as heat, 3 steps later, and not as cold. Cold that is held is felt as cold, and"
            " once as heat 3 steps after its last step: the formula says so, the paper does not speak of it. Grey:"
            " inputs.",
        ),
        Drawing(
            "Nets with circles",
            rasters(tables["circles"], inputs=("set", "reset", "start", "N1", "N2")),
            "A latch holds until it is reset; an impulse goes round a ring for ever; net (i) learns: before N1 and N2"
            " have fired together, N1 does nothing. Grey: inputs.",
        ),
    ]


if __name__ == "__main__":
    main(__file__)
