"""Can a network that only looks, without recurrence, learn to copy and to reverse?

    python analyses/vaswani2017_transformer.py --out results/vaswani2017_transformer

Vaswani et al. (2017): an encoder and a decoder of attention, feed-forward units and norms, two blocks each here,
learn to copy sequences of letters and to say them backwards, with teacher forcing (the decoder reads the right
letters before, START first, and a causal mask keeps it from looking ahead). Asked, it reads what it has said itself
until END. One of the maps of its cross-attention shows the diagonal or anti-diagonal; nobody told it which head
should.

Without positions the encoder sees a bag of letters: it can neither copy nor reverse. This is the control, beside
untrained networks.

Parameters are counted from the settings of the paper with one table of 37,000 words. The base model has 63.1 M then;
the paper prints 65 M, 3 % more, and the big one 213 M, where 214.2 M are counted. BLEU values are from memory (two
versions of the paper print 41.0 and 41.8 for English-French) and stand for orientation; translation is not attempted.
"""

from typing import Annotated, Literal

import pandas as pd
import torch
from pydantic import Field, model_validator

from brainalign.plots.alignments import alignment_maps, lines_by_network
from brainalign.simulate import attention_seq2seq, sequence_tasks, sizes
from brainalign.simulate.replicas import warmed_up
from brainalign.simulate.transformer import Transformer
from brainalign.simulations import Drawing, Published, Settings, main, measured

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TASKS = {"copy": sequence_tasks.copying, "reversal": sequence_tasks.reversal}
POSITIONS, BAG = "with positions", "without positions"
N_WORDS = 37_000  # about, English-German
BLEU = "from memory; not attempted here"

PUBLISHED = (
    Published("parameters of the base model", 65e6, "Vaswani 2017 table 3", "from memory; counted with 37,000 words"),
    Published("parameters of the big model", 213e6, "Vaswani 2017 table 3", "from memory; counted with 37,000 words"),
    Published("BLEU of the base model, English-German", 27.3, "Vaswani 2017 table 2", BLEU),
    Published("BLEU of the big model, English-German", 28.4, "Vaswani 2017 table 2", BLEU),
    Published("BLEU of the big model, English-French", 41.8, "Vaswani 2017 table 2", BLEU + "; 41.0 in version 1"),
)

Length = Annotated[int, Field(ge=1)]


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="network i has weights and sequences of seed + i")
    n_networks: int = Field(2, ge=1, description="of each task")
    n_letters: int = Field(8, ge=2, le=26, description="letters of the alphabet")
    n_blocks: int = Field(2, ge=1, description="of the encoder, and of the decoder")
    n_heads: int = Field(2, ge=1, description="of every attention")
    width: int = Field(32, ge=2, description="units of a step")
    shortest: int = Field(3, ge=1, description="letters of the shortest sequences learned")
    longest: int = Field(8, ge=1, description="letters of the longest sequences learned")
    n_updates: int = Field(1000, ge=1, description="each of n_sequences, one length after the other")
    n_sequences: int = Field(32, ge=1, description="fresh ones at each update")
    lr: float = Field(0.004, gt=0, description="of Adam, at its highest")
    lengths: tuple[Length, ...] = Field((3, 4, 5, 6, 7, 8, 9, 10), min_length=1, description="of the sequences tested")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")

    @model_validator(mode="after")
    def _some_length_is_learned(self):
        if self.longest < self.shortest:
            raise ValueError(f"longest must be at least shortest ({self.shortest}), got {self.longest}")
        return self


def run(config):
    rows, shares, maps = [], [], []
    for title, task in TASKS.items():
        for name in (POSITIONS, BAG):
            network = build(config, positions=name == POSITIONS)
            untrained = attention_seq2seq.share_right(network, task, n_steps=config.longest)
            learn(network, task, config, n_updates=config.n_updates if name == POSITIONS else config.n_updates // 4)
            for n_steps in config.lengths:
                share = measured("", attention_seq2seq.share_right(network, task, n_steps=n_steps))
                cell = {"n_steps": n_steps, "share": share["value"], "sd": share["sd"]}
                shares.append({"task": title, "network": name} | cell)
            right = attention_seq2seq.share_right(network, task, n_steps=config.longest)
            rows.append(measured(f"{title} of {config.longest} letters {name}: share right", right))
            if name == POSITIONS:
                rows.append(measured(f"{title} of {config.longest} letters, untrained: share right", untrained))
                rows.append(
                    measured(f"{title}: largest weight on the letter, best head", best_head(network, task, config))
                )
                maps.append(maps_of_heads(network, task, config, title=title))
    for name, n_blocks, width, n_feed in (("base", 6, 512, 2048), ("big", 6, 1024, 4096)):
        count = sum(sizes.transformer(n_blocks, width, n_feed=n_feed, n_words=N_WORDS).values())
        rows.append({"quantity": f"parameters of the {name} model", "value": count, "n": 1})
    rows += [{"quantity": printed.quantity, "n": 0} for printed in PUBLISHED if printed.quantity.startswith("BLEU")]
    tables = {"obtained": pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])}
    return tables | {"by_length": pd.DataFrame(shares), "maps": pd.concat(maps)}


def build(config, *, positions):
    options = {"n_blocks": config.n_blocks, "n_heads": config.n_heads, "width": config.width}
    options |= {"n_networks": config.n_networks, "seed": config.seed, "device": config.device}
    return Transformer(LETTERS[: config.n_letters], n_feed=2 * config.width, positions=positions, **options)


def learn(network, task, config, *, n_updates):
    n_updates = max(1, n_updates)
    attention_seq2seq.learn(
        network,
        task,
        lengths=range(config.shortest, config.longest + 1),
        n_updates=n_updates,
        n_sequences=config.n_sequences,
        lr=warmed_up(config.lr, n_warmup=40, n_updates=n_updates),
    )


def best_head(network, task, config):
    """Give the share of letters said while the largest weight lies on them, of the best head of each network."""
    generator = torch.Generator().manual_seed(10**6 + 1)
    sources, _ = task(generator, n_sequences=200, n_steps=config.longest, n_symbols=config.n_letters)
    maps = network.say(sources[None])[1].flatten(2, 3)  # (n_networks, n_sequences, heads of all blocks, ...)
    reverse = task is sequence_tasks.reversal
    shares = [attention_seq2seq.share_aligned(one, reverse=reverse) for one in maps.unbind(dim=2)]
    return torch.stack(shares).amax(dim=0)


def maps_of_heads(network, task, config, *, title):
    """Give the cross-attention of every head of the first network while it says one sequence."""
    generator = torch.Generator().manual_seed(10**6 + 2)
    source, _ = task(generator, n_sequences=1, n_steps=config.longest, n_symbols=config.n_letters)
    said, maps = network.say(source[None])
    names = [*LETTERS[: config.n_letters], "END"]
    columns = [names[i] for i in [*source[0].tolist(), network.end]]
    rows = [names[i] for i in said[0, 0].tolist()]
    cells = [
        {"panel": f"{title}, block {i_block + 1}, head {i_head + 1}", "i_row": i, "row": rows[i], "i_column": j,
         "column": columns[j], "weight": weight}
        for i_block, of_block in enumerate(maps[0, 0].tolist())
        for i_head, of_head in enumerate(of_block)
        for i, weights in enumerate(of_head)
        for j, weight in enumerate(weights)
    ]  # fmt: skip
    return pd.DataFrame(cells)


def draw(tables, config):
    return [
        Drawing(
            "Cross-attention of every head",
            alignment_maps(tables["maps"], n_columns=config.n_blocks * config.n_heads, size=2.3),
            "First network of each task, one sequence: a row for every letter said, a column for every letter read.",
        ),
        Drawing(
            "Sequences said right, by length",
            lines_by_network(
                tables["by_length"], x="n_steps", y="share", labels=("letters of the sequence", "share right")
            ),
            f"Learned: {config.shortest} to {config.longest} letters; positions beyond those were never seen. Without "
            "positions the networks learned a quarter as long, and cannot do better. Bands: standard deviation.",
        ),
    ]


if __name__ == "__main__":
    main(__file__)
