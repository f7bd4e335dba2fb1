"""Up to which step does the delta rule converge, what does it end at, and how does a memory fade?

Associative memories g = M f hold random patterns of +-1: Hebb's sum of outer products, the delta rule of Widrow and
Hoff on all pairs at once (batch) or one after the other (cyclic), and the pseudo-inverse. Published numbers are those
of the theory; every one is obtained by learning or recalling, over networks with patterns of their own.

What the literature leaves open or says loosely: a signal-to-noise ratio of sqrt(n / K) counts a pattern among its own
crosstalk, exact is sqrt(n / (K - 1)); "the delta rule converges to the pseudo-inverse" holds from zero weights only,
from M0 it ends at G F+ + M0 (I - F F+); with more pairs than inputs the cyclic rule does not converge to least
squares, it stays at a distance that grows with the step.
"""

import math
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from brainalign.plots.memories import curves, recall_matrices
from brainalign.simulate.associative import (
    add_noise,
    batch_bound,
    batch_gain,
    cyclic_bound,
    cyclic_gain,
    hebb,
    hebb_similarity,
    identified,
    learn,
    lesion,
    limit,
    pseudo_inverse,
    random_patterns,
    rate,
    signal_to_noise,
    similarity,
)
from brainalign.simulate.context_memory import bind
from brainalign.simulations import Drawing, Published, Settings, main

GAINS = {"batch": (batch_gain, batch_bound), "cyclic": (cyclic_gain, cyclic_bound)}
RULES = {"Hebb": hebb, "pseudo-inverse": pseudo_inverse}
JUST = 1e-3  # below and above the bound
N_KEYS, N_CONTEXTS = 3, 2  # of the memory whose answers are shown one by one

PUBLISHED = (
    Published("share of networks that diverge, batch, .999 x 2 / lambda_max", 0.0, "theory"),
    Published("share of networks that diverge, batch, 1.001 x 2 / lambda_max", 1.0, "theory"),
    Published("share of networks that diverge, cyclic, .999 x 2 / |f|^2", 0.0, "theory"),
    Published(
        "share of networks that diverge, cyclic, 1.001 x 2 / |f|^2", 1.0, "theory",
        "exact only where all keys have one length, as here; else a safe bound",
    ),
    Published(
        "largest distance of weights from G F+ + M0 (I - F F+)", 0.0, "theory (Kohonen & Ruohonen 1973)", "to 1e-10"
    ),
    Published("error after one cyclic pass, step 1, orthonormal keys", 0.0, "theory", "to 1e-10"),
    Published(
        "signal to noise of Hebb's rule", round(math.sqrt(64 / 20), 3), "theory, sqrt(n / K) at n = 64, K = 20",
        "with K - 1 in place of K, 1.835",
    ),
    Published("most pairs that are recalled without error, per input", 1.0, "theory (Kohonen & Ruohonen 1973)"),
    Published("cosine of pseudo-inverse recall at two pairs per input", 0.707, "theory, sqrt(n / K)"),
    Published("largest error of context-dependent recall", 0.0, "theory (Mizraji 1989)", "to 1e-10"),
    Published("rank of the keys alone", 3.0, "theory (Mizraji 1989)", "six answers ask for six"),
    Published("rank of keys in their contexts", 6.0, "theory (Mizraji 1989)"),
    Published("most triples that are recalled without error, per key unit, 4 contexts", 4.0, "theory, n c"),
)  # fmt: skip


class Config(Settings):
    """Settings of the analysis."""

    seed: int = Field(0, ge=0, lt=2**32, description="of patterns, noise and lesions")
    n_networks: int = Field(20, ge=1, description="each with patterns of its own")
    n_inputs: int = Field(64, ge=16, description="units of a key")
    n_outputs: int = Field(64, ge=8, description="units of an answer")
    n_pairs: int = Field(20, ge=2, description="stored where it is not varied; at most half of n_inputs")
    n_sweeps: int = Field(2000, ge=100, description="of the delta rule, at most")
    noise_sd: float = Field(0.5, ge=0, description="in the keys, where their correlation is varied")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="cpu, cuda or auto")

    @model_validator(mode="after")
    def _learnt_in_time(self):
        if 2 * self.n_pairs > self.n_inputs:
            raise ValueError(f"n_pairs ({self.n_pairs}) is more than half of n_inputs ({self.n_inputs})")
        return self


def run(config: Config) -> dict[str, pd.DataFrame]:
    tables = {
        "learning": learning(config),
        "stability": stability(config),
        "capacity": capacity(config),
        "fading": fading(config),
        "correlated": correlated(config),
        "overload": overload(config),
        "context": context_recall(config),
        "context_change": context_change(config),
        "context_capacity": context_capacity(config),
    }
    return tables | {"obtained": obtained(tables, config)}


def patterns(config: Config, sizes, n_pairs: int, correlation: float = 0.0):
    settings = {"n_networks": config.n_networks, "seed": config.seed, "device": config.device}
    return random_patterns(sizes, n_pairs, correlation=correlation, **settings)


def pairs(config: Config, n_pairs: int | None = None, correlation: float = 0.0):
    n_pairs = config.n_pairs if n_pairs is None else n_pairs
    return patterns(config, (config.n_inputs, config.n_outputs), n_pairs, correlation)


def starting_weights(keys: torch.Tensor, n_outputs: int, config: Config) -> torch.Tensor:
    """Draw normal weights, (n_networks, n_outputs, n_inputs)."""
    return add_noise(keys.new_zeros(len(keys), n_outputs, keys.shape[1]), sd=1.0, seed=config.seed)


def numbers(values: torch.Tensor) -> np.ndarray:
    return values.cpu().numpy()


def spread(values: torch.Tensor) -> dict[str, float]:
    """Mean and standard deviation over networks."""
    values = numbers(values)
    return {"y": values.mean(), "sd": values.std(ddof=1) if len(values) > 1 else math.nan}


def learning(config: Config) -> pd.DataFrame:
    """Root mean square error after each sweep, geometric mean over networks."""
    keys, answers = pairs(config)
    rows = []
    for order, (gain, bound) in GAINS.items():
        for share in (0.1, 0.5, 0.9, 1.01):
            S = gain(keys, step=share * bound(keys))
            errors = learn(keys, answers, S, n_sweeps=min(200, config.n_sweeps)).errors
            mean = numbers(errors.clamp(min=1e-300).log().mean(dim=0).exp())
            rows += [(order, f"{share:g} x bound", sweep, mean[sweep]) for sweep in range(0, len(mean), 2)]
    return pd.DataFrame(rows, columns=["order", "step", "sweep", "error"])


def stability(config: Config) -> pd.DataFrame:
    """Factor of the error per sweep, measured and expected, and the share of networks whose error grows.

    The right answers are 0 and the weights to start from lie in the span of the keys: they are then their own distance
    to the end of learning, which shrinks or grows far beyond the rounding of other answers.
    """
    keys, _ = pairs(config)
    answers = keys.new_zeros(len(keys), 1, config.n_pairs)
    start = starting_weights(keys, 1, config) @ keys @ keys.mT
    rows = []
    for order, (gain, bound) in GAINS.items():
        for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 1 - JUST, 1 + JUST, 1.05, 1.1):
            S = gain(keys, step=share * bound(keys))
            expected = rate(keys, S)
            half = _half(expected, config.n_sweeps)
            errors = learn(keys, answers, S, n_sweeps=2 * half, start=start).errors
            factor = (errors[:, -1] / errors[:, half]) ** (1 / half)
            grows = float((factor > 1).to(keys.dtype).mean())
            rows.append({"order": order, "share_of_bound": share, **spread(factor), "expected": float(expected.mean()),
                         "diverging": grows})  # fmt: skip
    return pd.DataFrame(rows).rename(columns={"y": "factor"})


def _half(factor: torch.Tensor, n_sweeps: int) -> int:
    """Half of the sweeps over which the error changes at most 1e25-fold: beyond, rounding is all that is left."""
    fastest = float(factor.log().abs().max())
    return max(5, min(n_sweeps // 2, round(math.log(1e25) / fastest / 2)))


def capacity(config: Config) -> pd.DataFrame:
    """Cosine of recalled and right answers over the number of pairs."""
    n_inputs, rows = config.n_inputs, []
    for per_input in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1, 5 / 4, 3 / 2, 2):
        n_pairs = round(per_input * n_inputs)
        keys, answers = pairs(config, n_pairs)
        expected = {"Hebb": hebb_similarity(n_inputs, n_pairs), "pseudo-inverse": math.sqrt(min(1, 1 / per_input))}
        for rule, store in RULES.items():
            recalled = store(keys, answers) @ keys
            rows.append({"rule": rule, "pairs_per_input": per_input,
                         **spread(similarity(recalled, answers).mean(dim=1)), "expected": expected[rule],
                         "identified": float(identified(recalled, answers).mean()),
                         "error": float((recalled - answers).abs().max())})  # fmt: skip
    return pd.DataFrame(rows).rename(columns={"y": "cosine"})


def fading(config: Config) -> pd.DataFrame:
    """Cosine of recalled and right answers as weights are lost or keys are noisy."""
    keys, answers = pairs(config)
    shape = {"n_inputs": config.n_inputs, "n_pairs": config.n_pairs}
    rows = []
    for rule, store in RULES.items():
        memory = store(keys, answers)
        hebbian = rule == "Hebb"
        for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
            recalled = lesion(memory, share=share, seed=config.seed) @ keys
            expected = hebb_similarity(**shape, kept=1 - share) if hebbian else math.nan
            rows.append(("share of weights lost", rule, share, recalled, expected))
        for sd in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0):
            recalled = memory @ add_noise(keys, sd=sd, seed=config.seed)
            expected = hebb_similarity(**shape, noise_sd=sd) if hebbian else math.nan
            rows.append(("sd of noise in the key", rule, sd, recalled, expected))
    return pd.DataFrame(
        {"damage": damage, "rule": rule, "amount": amount, **spread(similarity(recalled, answers).mean(dim=1)),
         "expected": expected, "identified": float(identified(recalled, answers).mean())}
        for damage, rule, amount, recalled, expected in rows
    ).rename(columns={"y": "cosine"})  # fmt: skip


def correlated(config: Config) -> pd.DataFrame:
    """Recall of keys that resemble each other, and the time it takes to learn them."""
    rows = []
    for correlation in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        keys, answers = pairs(config, correlation=correlation)
        noisy = add_noise(keys, sd=config.noise_sd, seed=config.seed)
        for rule, store in RULES.items():
            memory = store(keys, answers)
            for asked, asked_keys in (("the keys", keys), ("noisy keys", noisy)):
                rows.append({"measure": "cosine", "curve": f"{rule}, {asked}", "correlation": correlation,
                             **spread(similarity(memory @ asked_keys, answers).mean(dim=1))})  # fmt: skip
        for order, (gain, bound) in GAINS.items():
            factor = rate(keys, gain(keys, step=0.5 * bound(keys)))
            sweeps = math.log(1e-6) / factor.log()
            rows.append({"measure": "sweeps to 1e-6", "curve": f"{order}, half the bound", "correlation": correlation,
                         **spread(sweeps)})  # fmt: skip
    return pd.DataFrame(rows).rename(columns={"y": "value"})


def overload(config: Config) -> pd.DataFrame:
    """How far from least squares the delta rule ends with more pairs than inputs: expected, and after learning."""
    n_pairs = round(1.5625 * config.n_inputs)  # 100 pairs of 64 inputs
    keys, answers = pairs(config, n_pairs)
    keys, answers = keys[:5], answers[:5]  # thousands of sweeps: five networks show it
    least_squares = pseudo_inverse(keys, answers)
    steps = {"cyclic": (0.64, 0.32, 0.128, 0.064), "batch": (0.32, 0.128, 0.064)}  # times n_inputs
    rows = []
    for order, (gain, _) in GAINS.items():
        for scaled in steps[order]:
            step = scaled / config.n_inputs
            S = gain(keys, step=step)
            n_sweeps = min(config.n_sweeps, math.ceil(math.log(1e-6) / math.log(float(rate(keys, S).max()))))
            ends = {"obtained": learn(keys, answers, S, n_sweeps=n_sweeps).memory, "expected": limit(keys, answers, S)}
            distance = {name: (end - least_squares).norm(dim=(1, 2)) / least_squares.norm(dim=(1, 2))
                        for name, end in ends.items()}  # fmt: skip
            rows.append({"order": order, "step": step, **spread(distance["obtained"]),
                         "expected": float(distance["expected"].mean())})  # fmt: skip
    return pd.DataFrame(rows).rename(columns={"y": "distance"})


def triples(config: Config):
    """Every key in every context, another answer for each: contexts, keys and answers of 6 columns."""
    contexts, keys, answers = patterns(config, (8, 32, 32), N_KEYS * N_CONTEXTS)
    contexts, keys = contexts[:, :, :N_CONTEXTS], keys[:, :, :N_KEYS]
    return contexts.repeat_interleave(N_KEYS, dim=2), keys.repeat(1, 1, N_CONTEXTS), answers


def context_recall(config: Config) -> pd.DataFrame:
    """Cosine of what each key brings back in each context and all answers, first network; errors and ranks of all."""
    contexts, keys, answers = triples(config)
    labels = [f"{'ABC'[i % N_KEYS]} in {1 + i // N_KEYS}" for i in range(N_KEYS * N_CONTEXTS)]
    rows = []
    for name, inputs in (("keys alone", keys), ("keys in contexts", bind(contexts, keys))):
        recalled = pseudo_inverse(inputs, answers) @ inputs
        unit = [torch.nn.functional.normalize(values[0], dim=0) for values in (recalled, answers)]
        cosines = numbers(unit[0].T @ unit[1])
        shared = {"error": float((recalled - answers).abs().max()),
                  "rank": float(torch.linalg.matrix_rank(inputs).to(keys.dtype).mean())}  # fmt: skip
        rows += [{"memory": name, "asked": labels[i], "answer": labels[j], "cosine": value, **shared}
                 for (i, j), value in np.ndenumerate(cosines)]  # fmt: skip
    return pd.DataFrame(rows)


def context_change(config: Config) -> pd.DataFrame:
    """One key asked while the context goes over from the first to the second."""
    contexts, keys, answers = triples(config)
    memory = pseudo_inverse(bind(contexts, keys), answers)
    first, second = contexts[:, :, :1], contexts[:, :, N_KEYS : N_KEYS + 1]
    rows = []
    for share in np.linspace(0, 1, 21):
        recalled = memory @ bind((1 - share) * first + share * second, keys[:, :, :1])
        rows += [{"answer": name, "share_of_second": share,
                  **spread(similarity(recalled, answers[:, :, i : i + 1]).mean(dim=1))}
                 for name, i in (("of context 1", 0), ("of context 2", N_KEYS))]  # fmt: skip
    return pd.DataFrame(rows).rename(columns={"y": "cosine"})


def context_capacity(config: Config) -> pd.DataFrame:
    """Largest error of recall over the number of triples, keys of 16 units in contexts of 1, 2 or 4 units."""
    n_inputs, rows = 16, []
    for n_contexts in (1, 2, 4):
        for per_input in (0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5):
            empty = torch.zeros(
                config.n_networks, n_contexts + n_inputs + 32, round(per_input * n_inputs), dtype=torch.float64
            )
            drawn = add_noise(empty, sd=1.0, seed=config.seed)  # normal: few units of +-1 would often repeat
            contexts, keys, answers = drawn.split((n_contexts, n_inputs, 32), dim=1)
            inputs = bind(torch.nn.functional.normalize(contexts, dim=1), keys)
            recalled = pseudo_inverse(inputs, answers) @ inputs
            rows.append({"n_contexts": n_contexts, "triples_per_key_unit": per_input,
                         **spread(similarity(recalled, answers).mean(dim=1)),
                         "expected": math.sqrt(min(1, n_contexts / per_input)),
                         "error": float((recalled - answers).abs().max())})  # fmt: skip
    return pd.DataFrame(rows).rename(columns={"y": "cosine"})


def obtained(tables: dict[str, pd.DataFrame], config: Config) -> pd.DataFrame:
    keys, answers = pairs(config)
    orthonormal = torch.linalg.qr(keys).Q
    start = starting_weights(keys, config.n_outputs, config)
    S = batch_gain(keys, step=0.9 * batch_bound(keys))
    n_sweeps = math.ceil(math.log(1e-15) / math.log(float(rate(keys, S).max())))
    learnt = learn(keys, answers, S, n_sweeps=n_sweeps, start=start).memory
    inverse = torch.linalg.pinv(keys)
    eye = torch.eye(config.n_inputs, dtype=keys.dtype, device=keys.device)
    end = answers @ inverse + start @ (eye - keys @ inverse)
    one_pass = learn(orthonormal, answers, cyclic_gain(orthonormal, step=1.0), n_sweeps=1)
    rows = [(*diverging, math.nan, config.n_networks) for diverging in _diverging(tables["stability"])]
    rows += [
        ("largest distance of weights from G F+ + M0 (I - F F+)", float((learnt - end).abs().max()), math.nan,
         config.n_networks),
        ("error after one cyclic pass, step 1, orthonormal keys", float(one_pass.errors[:, 1].max()), math.nan,
         config.n_networks),
        ("signal to noise of Hebb's rule", *over_networks(signal_to_noise(keys, answers)), config.n_networks),
        *_recalled(tables, config.n_networks),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])


def over_networks(ratio: torch.Tensor) -> tuple[float, float]:
    """Give signal to noise with the mean power of the noise, and its sd over networks that have any noise."""
    noisy = ratio[ratio.isfinite()]
    return float(ratio.pow(-2).mean() ** -0.5), float(noisy.std()) if len(noisy) > 1 else math.nan


def _diverging(stable: pd.DataFrame):
    """Yield the share of networks that diverge just below and just above each bound."""
    for order, bound in (("batch", "2 / lambda_max"), ("cyclic", "2 / |f|^2")):
        for share, name in ((1 - JUST, ".999"), (1 + JUST, "1.001")):
            row = stable[(stable["order"] == order) & (stable["share_of_bound"] == share)].iloc[0]
            yield f"share of networks that diverge, {order}, {name} x {bound}", row["diverging"]


def _recalled(tables: dict[str, pd.DataFrame], n_networks: int):
    """Yield what the tables of recall say."""
    inverse = tables["capacity"].query("rule == 'pseudo-inverse'")
    context, of_four = tables["context"], tables["context_capacity"].query("n_contexts == 4")
    double = inverse[inverse["pairs_per_input"] == 2].iloc[0]
    exact = inverse[inverse["error"] < 1e-6]["pairs_per_input"].max()
    yield "most pairs that are recalled without error, per input", exact, math.nan, n_networks
    yield "cosine of pseudo-inverse recall at two pairs per input", double["cosine"], double["sd"], n_networks
    for memory, name in (("keys alone", "the keys alone"), ("keys in contexts", "keys in their contexts")):
        yield f"rank of {name}", context[context["memory"] == memory]["rank"].iloc[0], math.nan, n_networks
    error = context[context["memory"] == "keys in contexts"]["error"].iloc[0]
    yield "largest error of context-dependent recall", error, math.nan, n_networks
    triples_held = of_four[of_four["error"] < 1e-6]["triples_per_key_unit"].max()
    name = "most triples that are recalled without error, per key unit, 4 contexts"
    yield name, triples_held, math.nan, n_networks
    for row in tables["overload"].query("order == 'cyclic'").itertuples():
        name = f"overloaded, cyclic, step {row.step:g}: distance from least squares, relative"
        yield name, row.distance, row.sd, min(5, n_networks)


def draw(tables: dict[str, pd.DataFrame], config: Config) -> list[Drawing]:
    """Figures, from the tables alone."""
    shape = f"{config.n_pairs} pairs, {config.n_inputs} inputs, {config.n_networks} networks"
    learnt = _as_curves(tables["learning"], panel="order", curve="step", x="sweep", y="error")
    stable = _as_curves(tables["stability"], panel="order", curve=None, x="share_of_bound", y="factor")
    held = _as_curves(tables["capacity"], panel=None, curve="rule", x="pairs_per_input", y="cosine")
    faded = _as_curves(tables["fading"], panel="damage", curve="rule", x="amount", y="cosine")
    alike = _as_curves(tables["correlated"], panel="measure", curve="curve", x="correlation", y="value")
    over = _as_curves(tables["overload"], panel=None, curve="order", x="step", y="distance")
    over = over[over["curve"] == "cyclic"].assign(panel="cyclic learning")
    change = _as_curves(tables["context_change"], panel=None, curve="answer", x="share_of_second", y="cosine")
    room = tables["context_capacity"].assign(curve=[f"contexts of {n}" for n in tables["context_capacity"].n_contexts])
    room = _as_curves(room, panel=None, curve="curve", x="triples_per_key_unit", y="cosine")
    asked_by = alike["panel"] == "cosine"
    return [
        Drawing("Learning", curves(learnt, xlabel="sweep", ylabel="root mean square error", logy=True),
                f"{shape}; geometric mean over networks. Bound: 2 / lambda_max(F F^T) for batch, 2 / |f|^2 for cyclic "
                "learning. One percent above it the error grows without end, in batch learning after a first fall."),
        Drawing("Where learning turns into divergence",
                curves(stable, xlabel="step / bound", ylabel="factor of the error per sweep", mark=1.0, marked="bound"),
                f"{shape}. Points: measured; line: the largest |eigenvalue| of I - S F. Above 1 learning diverges."),
        Drawing("Capacity", curves(held.assign(panel=""), xlabel="pairs / inputs",
                                   ylabel="cosine with the right answer", mark=1.0, marked="pairs = inputs"),
                "Least squares recalls without error up to as many pairs as inputs; Hebb's rule, which needs no "
                "learning in sweeps, has crosstalk from the second pair on. Lines: theory for random patterns."),
        Drawing("Graceful degradation", curves(faded, xlabel="damage", ylabel="cosine with the right answer"),
                f"{shape}. No weight holds a pair of its own: recall fades, it does not break. Bars: sd."),
        Drawing("Keys that resemble each other: recall",
                curves(alike[asked_by], xlabel="correlation between keys", ylabel="cosine with the right answer"),
                f"{shape}; noise of sd {config.noise_sd:g}. Hebb's rule confuses such keys. Least squares tells them "
                "apart, but by small differences that noise hides."),
        Drawing("Keys that resemble each other: learning",
                curves(alike[~asked_by], xlabel="correlation between keys", ylabel="sweeps", logy=True),
                "Sweeps in which the slowest part of the error falls to a millionth, at half the bound of each order."),
        Drawing("More pairs than inputs", curves(over, xlabel="step", ylabel="distance from least squares, relative"),
                "Cyclic learning goes in circles near least squares, the nearer the smaller the step. Batch learning "
                "ends at least squares."),
        Drawing("Context: what each question brings back", recall_matrices(tables["context"]),
                "Three keys (A, B, C) have an answer each in either of two contexts. Keys alone give the mean of both "
                "answers, keys in contexts the right one. First network."),
        Drawing("Context: from the one to the other",
                curves(change.assign(panel="key A"), xlabel="share of context 2 in the context", ylabel="cosine"),
                "The context goes over from the first to the second; the recalled answer follows."),
        Drawing("Context: capacity", curves(room.assign(panel=""), xlabel="triples / units of a key",
                                            ylabel="cosine with the right answer"),
                "Keys of 16 units in contexts of 1, 2 or 4 units: c times as many triples are recalled without error."),
    ]  # fmt: skip


def _as_curves(table: pd.DataFrame, *, panel: str | None, curve: str | None, x: str, y: str) -> pd.DataFrame:
    """Give the columns that `curves` draws."""
    given = {"panel": table[panel] if panel else "", "curve": table[curve] if curve else "error"}
    kept = {name: table[name] for name in ("sd", "expected") if name in table}
    return pd.DataFrame({**given, "x": table[x], "y": table[y], **kept})


if __name__ == "__main__":
    main(__file__)
