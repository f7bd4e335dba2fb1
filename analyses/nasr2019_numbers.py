"""Do units that prefer a number need training, and is their share a property of the network or of the test?

Nasr, Viswanathan & Nieder (2019) found 9.6 % number-selective units in the last layer of a network trained to name
objects; Kim et al. (2021) found 8.5 % in an untrained AlexNet. Here AlexNet is untrained (relu5, 43,264 units), its
pictures are Kim's (16 numerosities, 3 sets), and the share is a curve over the pictures per condition.

The critique (Zhang & Wu 2020, On numerosity of deep neural networks, NeurIPS 33): a unit counts as selective when
number is significant (p < .01) and set and their interaction are not. With more pictures the tests see more, ever more
units fail the second half, and the share falls: from a fifth at 5 pictures per condition over 8 % at 50, near the
published values, to about 3 % at 200. Finding 9.6 % says that 50 pictures were used, not that there is a number sense,
nor that training made it. Eta squared, which has no threshold, stands beside it.

What is inconsistent in the sources: (1) the code of Nasr's lab has dots of 18 px for numbers up to 4; 30 of them would
not fit, and no size is printed for 1 to 30. (2) The third set is to hold the hull constant. Kim's code puts items
anywhere into a constant pentagon, so that the hull of the items grows with their number (see the figure); Nasr et al.
claim a uniform hull for more than 4 items only, set display = "nasr2019" for five items at its corners. (3) Kim's
untrained network keeps the input step of the trained one (255 times intensity less ImageNet's mean colour), so that
black is not 0; without it, units that prefer one dot all but vanish (1 to 3 % of the selective units instead of 10 to
15). (4) The trained network of Nasr et al. has another architecture and 37,632 units in its last layer, and cannot be
had here; both papers' shares stand beside the same obtained one.
"""

from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from brainalign.plots import numbers
from brainalign.simulate.alexnet import AlexNet
from brainalign.simulate.number_units import (
    EFFECTS,
    SCALES,
    Cells,
    add,
    anova,
    cells_of,
    fit_gaussian,
    match_to_sample,
    mean_tuning,
    number_selective,
    preferred,
    tuning_curves,
)
from brainalign.simulate.numerosity import (
    KIM_2021,
    NASR_2019,
    NUMEROSITIES,
    SETS,
    Pictures,
    as_inputs,
    draw_pictures,
    render,
)
from brainalign.simulate.replicas import place
from brainalign.simulations import Drawing, Published, Settings, main

DISPLAYS = {"kim2021": KIM_2021, "nasr2019": NASR_2019._replace(size=227)}  # 227: what AlexNet takes
STOPS = (5, 10, 20, 50, 100, 200)  # pictures per condition at which the share is taken
N_READ = 256  # units that are read from, as in Kim et al.
N_TRIALS = 2_000
CHANCE = 100 * 0.01 * 0.99 * 0.99  # % of units of noise
PER_ROUND = len(NUMEROSITIES) * len(SETS)
SHOWN = (1, 2, 4, 8, 16, 30)  # numerosities of the pictures that are shown
DISTANCES = (0, 0.25, 0.75, 1.5, 2.5, 5)  # octaves, upper ends of bins but for the first

TRAINED = "selective units at 50 pictures (%), beside the trained network"
UNTRAINED = "selective units at 50 pictures (%), beside untrained networks"
PUBLISHED = (
    Published(TRAINED, 9.6, "Nasr et al. 2019, of 37,632 units", "a trained network of another architecture"),
    Published(UNTRAINED, 8.5, "Kim et al. 2021, mean of 100 networks", "from memory, as no full text was at hand"),
    Published("match-to-sample, selective units (% correct)", 81, "Nasr et al. 2019", "from memory; chance is 50"),
    Published(
        "preferring the lowest or highest numerosity (% of selective units)",
        "both ends highest",
        "Nasr et al. 2019, figure 2",
        "from memory; of 16 numerosities, 2 would be 12.5 %",
    ),
    Published(
        "R2 of Gaussian fits, log less linear", "> 0", "Nasr et al. 2019; Nasr & Nieder 2021", "p = 8.7e-108 with 0"
    ),
    Published("width over preferred number, slope on the linear scale", "> 0", "Nasr et al. 2019", "Weber-Fechner"),
    Published("width over preferred number, slope on the log scale", "about 0", "Nasr et al. 2019", "Weber-Fechner"),
)


class Config(Settings):
    """Settings of the analysis."""

    seed: int = Field(0, ge=0, lt=2**32, description="of weights and pictures; network i has seed + i")
    n_networks: int = Field(1, ge=1, description="untrained networks, one after the other; Kim et al.: 100")
    n_images: int = Field(50, ge=5, description="pictures per condition; 50 as in the papers, 200 for the whole curve")
    n_read: int = Field(6, ge=4, description="further pictures per condition, from which numbers are read")
    display: Literal["kim2021", "nasr2019"] = Field("kim2021", description="how pictures are made")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where the network runs")


def run(config: Config) -> dict[str, pd.DataFrame]:
    parts = [of_network(config, config.seed + i) for i in range(config.n_networks)]
    tables = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}
    pictures = draw_pictures(20, display=DISPLAYS[config.display], seed=config.seed)
    tables |= {"items": items(pictures), "picture_measures": measures(pictures)}
    return tables | {"obtained": obtained(tables)}


def of_network(config: Config, seed: int) -> dict[str, pd.DataFrame]:
    """Everything that is measured in one untrained network."""
    network = AlexNet(seed=seed).eval().to(**place(dtype="float32", device=config.device))
    pictures = draw_pictures(config.n_images, display=DISPLAYS[config.display], seed=seed)
    shares, effects, cells = [], [], None
    for k in range(config.n_images):
        cells = add(cells, cells_of(responses(network, round_of(pictures, k), config)))
        if k + 1 in STOPS or k + 1 == config.n_images:
            tested = anova(cells)
            chosen = number_selective(tested)
            shares.append({"network": seed, "n_images": k + 1, "percent": 100 * chosen.mean(), "n_units": chosen.size})
            effects.append(effect_sizes(tested, chosen).assign(network=seed, n_images=k + 1))
    curves = tuning_curves(cells)[:, chosen]
    return {
        "share": pd.DataFrame(shares),
        "effects": pd.concat(effects, ignore_index=True),
        "preferred": preferences(curves).assign(network=seed),
        "tuning": tuning_table(curves).assign(network=seed),
        "fits": fits(mean_tuning(curves)).assign(network=seed),
        "units": example_units(cells, tested, chosen).assign(network=seed),
        "matching": matching(network, chosen, tested, config, seed).assign(network=seed),
    }


def round_of(pictures: Pictures, k: int) -> Pictures:
    """Give the k-th picture of every condition."""
    return pictures.take(slice(k * PER_ROUND, (k + 1) * PER_ROUND))


@torch.inference_mode()
def responses(network: AlexNet, pictures: Pictures, config: Config) -> np.ndarray:
    """Responses of relu5 to one picture per condition, (1, n_numerosities, n_sets, n_units)."""
    inputs = torch.from_numpy(as_inputs(render(pictures))).to(**place(dtype="float32", device=config.device))
    seen = torch.cat([network(some).flatten(1) for some in inputs.split(16)])
    return seen.cpu().numpy().reshape(1, len(NUMEROSITIES), len(SETS), -1)


def effect_sizes(tested, chosen) -> pd.DataFrame:
    """Mean eta squared of number, set and both, of all units that respond and of the selective ones."""
    rows = []
    for name, which in (("all units", ~np.isnan(tested.p[0])), ("selective units", chosen)):
        for i, effect in enumerate(EFFECTS):
            values = tested.eta_squared[i, which]
            rows.append({"units": name, "effect": effect, "eta_squared": values.mean() if len(values) else np.nan})
    return pd.DataFrame(rows)


def preferences(curves) -> pd.DataFrame:
    counts = np.bincount(preferred(curves), minlength=len(NUMEROSITIES)) if curves.size else np.zeros(len(NUMEROSITIES))
    return pd.DataFrame({"numerosity": NUMEROSITIES, "percent": 100 * counts / max(1, curves.shape[1])})


def tuning_table(curves) -> pd.DataFrame:
    rows = mean_tuning(curves)
    best, number = np.meshgrid(NUMEROSITIES, NUMEROSITIES, indexing="ij")
    return pd.DataFrame({"preferred": best.ravel(), "numerosity": number.ravel(), "response": rows.ravel()})


def fits(rows) -> pd.DataFrame:
    """Gaussians on every scale; `line` is the straight line through the widths."""
    tables = []
    for scale, of_number in SCALES.items():
        found = np.array([fit_gaussian(row, NUMEROSITIES, scale=scale) for row in rows])
        table = pd.DataFrame(found, columns=["centre", "width", "r_squared"])
        table.insert(0, "preferred", NUMEROSITIES)
        x = of_number(table["preferred"].astype(float))
        known = np.isfinite(table["width"])
        slope, start = np.polyfit(x[known], table.loc[known, "width"], 1) if known.sum() > 1 else (np.nan, np.nan)
        tables.append(table.assign(scale=scale, slope=slope, line=start + slope * x))
    return pd.concat(tables, ignore_index=True)


def example_units(cells: Cells, tested, chosen) -> pd.DataFrame:
    """Tuning, set by set, of the unit that number explains best among those of some preferred numerosities."""
    curves, rows = tuning_curves(cells), []
    best = preferred(curves)
    for i in (0, 2, 5, 8, 12, 15):
        candidates = np.flatnonzero(chosen & (best == i))
        if not len(candidates):
            continue
        unit = candidates[tested.eta_squared[0, candidates].argmax()]
        for j, name in enumerate(SETS):
            rows.append(pd.DataFrame({"unit": unit, "preferred": NUMEROSITIES[i], "set": name,
                                      "numerosity": NUMEROSITIES, "response": cells.means[:, j, unit]}))  # fmt: skip
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["unit"])


def matching(network, chosen, tested, config: Config, seed: int) -> pd.DataFrame:
    """Read same or different from units, with pictures that did not choose them."""
    generator = np.random.default_rng(seed)
    other = ~chosen & ~np.isnan(tested.p[0])
    kinds = {"selective units": chosen, "other units that respond": other}
    picked = {name: generator.permutation(np.flatnonzero(which))[:N_READ] for name, which in kinds.items()}
    fresh = draw_pictures(config.n_read, display=DISPLAYS[config.display], seed=seed + 1_000_000)
    seen = {name: [] for name in picked}
    for k in range(config.n_read):
        response = responses(network, round_of(fresh, k), config)
        for name, units in picked.items():
            seen[name].append(response[..., units])
    edges = np.array(DISTANCES)
    rows = []
    for name, parts in seen.items():
        if not len(picked[name]):
            continue
        matched = match_to_sample(np.concatenate(parts), NUMEROSITIES, n_trials=N_TRIALS, seed=seed)
        apart = np.abs(np.log2(NUMEROSITIES)[matched.sample] - np.log2(NUMEROSITIES)[matched.test])
        bins = np.searchsorted(edges, apart)  # 0: the same number
        for i in np.unique(bins):
            here = bins == i
            rows.append({"units": name, "distance": apart[here].mean(), "correct": matched.correct[here].mean(),
                         "n": int(here.sum())})  # fmt: skip
    return pd.DataFrame(rows, columns=["units", "distance", "correct", "n"])


def items(pictures: Pictures) -> pd.DataFrame:
    """Items of one picture of some conditions."""
    first, rows = round_of(pictures, 0), []
    for i, (number, kind) in enumerate(zip(first.numerosity, first.stimulus_set, strict=True)):
        if number in SHOWN:
            shapes = [numbers.SHAPES[s] for s in first.shape[i, :number]]
            rows.append(pd.DataFrame({"set": SETS[kind], "numerosity": number, "x": first.x[i, :number],
                                      "y": first.y[i, :number], "radius": first.radius[i, :number],
                                      "shape": shapes, "angle": first.angle[i, :number]}))  # fmt: skip
    table = pd.concat(rows, ignore_index=True)
    return table.sort_values(["set", "numerosity"], key=lambda c: c.map(SETS.index) if c.name == "set" else c)


def measures(pictures: Pictures) -> pd.DataFrame:
    """Mean area, hull and distance of every condition."""
    table = pd.DataFrame({"set": [SETS[k] for k in pictures.stimulus_set], "numerosity": pictures.numerosity,
                          "total_area": pictures.total_area, "hull_area": pictures.hull_area,
                          "mean_distance": pictures.mean_distance})  # fmt: skip
    return table.groupby(["set", "numerosity"], sort=False).mean().reset_index()


def obtained(tables) -> pd.DataFrame:
    """Give published quantities and more, over networks; nan for what these settings do not measure."""
    share, effects, fitted = tables["share"], tables["effects"], tables["fits"]
    last = effects["n_images"] == effects["n_images"].max()
    r_squared = fitted.groupby(["network", "scale"])["r_squared"].mean().unstack()
    slopes = fitted.groupby(["network", "scale"])["slope"].first().unstack()
    ends = tables["preferred"].query("numerosity in (@NUMEROSITIES[0], @NUMEROSITIES[-1])")
    at = {k: share.loc[share["n_images"] == k, "percent"] for k in STOPS}
    rows = {TRAINED: at[50], UNTRAINED: at[50]}
    rows |= {f"selective units at {k} pictures (%)": values for k, values in at.items() if len(values)}
    rows["preferring the lowest or highest numerosity (% of selective units)"] = ends.groupby("network")[
        "percent"
    ].sum()
    rows["R2 of Gaussian fits, log less linear"] = r_squared["log"] - r_squared["linear"]
    rows |= {f"R2 of Gaussian fits, {scale}": r_squared[scale] for scale in SCALES}
    for scale in ("linear", "log"):
        rows[f"width over preferred number, slope on the {scale} scale"] = slopes[scale]
    matched = tables["matching"].assign(right=lambda t: t["correct"] * t["n"])
    for kind in ("selective units", "other units that respond"):
        sums = matched[matched["units"] == kind].groupby("network")[["right", "n"]].sum()
        rows[f"match-to-sample, {kind} (% correct)"] = 100 * sums["right"] / sums["n"]
    for effect in EFFECTS:
        here = last & (effects["effect"] == effect) & (effects["units"] == "all units")
        rows[f"eta squared of {effect}, units that respond"] = effects.loc[here, "eta_squared"]
    return pd.DataFrame(
        [(name, v.mean(), v.std() if len(v) > 1 else np.nan, len(v)) for name, v in rows.items()],
        columns=["quantity", "value", "sd", "n"],
    )


def draw(tables, config: Config) -> list[Drawing]:
    display = DISPLAYS[config.display]
    lines = [("Nasr et al. 2019, trained", 9.6), ("Kim et al. 2021, untrained", 8.5)]
    first = {name: tables[name][tables[name]["network"] == config.seed] for name in ("tuning", "fits", "units")}
    preferred_mean = tables["preferred"].groupby("numerosity")["percent"].agg(["mean", "std"]).reset_index()
    preferred_mean = preferred_mean.rename(columns={"mean": "percent", "std": "sd"}).fillna({"sd": 0})
    matched = tables["matching"].assign(bin=lambda t: t.groupby(["network", "units"]).cumcount())
    matched = matched.groupby(["units", "bin"], sort=False)[["distance", "correct", "n"]].mean().reset_index()
    drawings = [
        Drawing("Share over pictures", numbers.share_over_pictures(tables["share"], lines=lines, chance=CHANCE),
                "A line per untrained network. The published shares are those of 50 pictures per condition; the share "
                "falls with every further picture."),
        Drawing("Pictures", numbers.pictures(tables["items"], size=display.size, square=display.square),
                "One picture of some conditions. Rows: discs of one size; one area and density; shapes in a pentagon."),
        Drawing("What goes along with number", numbers.picture_measures(tables["picture_measures"]),
                "A control holds constant what is flat. The hull of items thrown into a pentagon (display kim2021) is "
                "not."),
        Drawing("Preferred numbers", numbers.preferred_numbers(preferred_mean),
                "The ends of the range are preferred most, as printed: a curve that only rises or falls ends there."),
        Drawing("Tuning curves", numbers.tuning(first["tuning"]),
                "Mean of the selective units of each preferred numerosity. The highest point is picked from the same "
                "noise that is shown."),
        Drawing("Width and fit", numbers.widths(first["fits"]),
                "Gaussians fitted to the mean tuning curves. On the linear scale they grow wider with the number. On "
                "the logarithmic one the straight line is about level, yet the widths are not the same: they differ by "
                "a factor of two or so, narrowest about 10 and wider on either side."),
        Drawing("Match to sample", numbers.matching(matched),
                "Untrained units, and a linear read-out that learned from other pictures. Numbers further apart are "
                "told apart better; being called selective makes little difference."),
    ]  # fmt: skip
    if len(first["units"]):
        drawings.insert(5, Drawing("Single units", numbers.example_units(first["units"]),
                                   "Units that number explains best, of some preferred numerosities."))  # fmt: skip
    return drawings


if __name__ == "__main__":
    main(__file__)
