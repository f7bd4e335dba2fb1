"""How does a GPT of 85,584 parameters sort six letters?

    python analyses/sorting_gpt.py --out results/sorting_gpt

The network of minGPT's demo of sorting and of the LLM visualization: vocabulary A, B, C, context 11, three blocks of
three heads of 16 units. It reads six letters and goes on with the same letters in order. A quarter of the 729
possible inputs is held out from learning, so that "all 729 right" cannot come from memory alone. The last input is a
matter of settings: at a rate of .001 all are right in 6 of 6 networks, at .002 to .004 one is wrong in 1 of 6; with 800
updates in 11 of 12.

Its parameters are 85,584 if the table of words serves as the head as well (or is not counted, as minGPT's own counter
does it), 85,728 with a head of its own and 85,008 without biases in the attention. How the visualized network was
trained is not published; settings here are ours, without dropout.

Controls: untrained networks; networks that were taught the answers of other inputs.
"""

from typing import Literal

import pandas as pd
import torch
from pydantic import Field

from brainalign.plots.alignments import alignment_maps
from brainalign.simulate import gpt, sequence_tasks, sizes
from brainalign.simulate.replicas import warmed_up
from brainalign.simulations import Drawing, Published, Settings, main, measured

LETTERS = "ABC"
N_SORTED = 6
SHOWN = (2, 1, 0, 1, 1, 2)  # CBABBC

PUBLISHED = (
    Published("parameters", 85_584, "LLM visualization", "derived from the structure, which is from memory"),
    Published("parameters with a separate head", 85_728, "minGPT", "derived"),
    Published("parameters without attention biases", 85_008, "minGPT", "derived"),
    Published("inputs sorted right, of 729", 729, "minGPT, demo of sorting", "from memory; there half of all inputs"),
)


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="network i has weights and lessons of seed + i")
    n_networks: int = Field(3, ge=1, description="networks side by side")
    n_updates: int = Field(400, ge=1, description="each of n_sequences")
    n_sequences: int = Field(64, ge=1, description="inputs at each update")
    held_out: float = Field(0.25, ge=0, lt=1, description="share of the 729 inputs never learned from")
    lr: float = Field(0.001, gt=0, description="of Adam, at its highest")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")


def run(config):
    network = gpt.GPT(LETTERS, n_networks=config.n_networks, seed=config.seed, device=config.device)
    untrained = gpt.sorted_right(network)
    rate = warmed_up(config.lr, n_warmup=20, n_updates=config.n_updates)
    options = {"n_updates": config.n_updates, "n_sequences": config.n_sequences, "lr": rate}
    gpt.learn_to_sort(network, held_out=config.held_out, **options)
    right, unseen = gpt.sorted_right(network), gpt.held_out_sequences(network, config.held_out)
    control = gpt.GPT(LETTERS, n_networks=config.n_networks, seed=config.seed, device=config.device)
    everything = sequence_tasks.all_sequences(len(LETTERS), N_SORTED)
    others = everything[torch.randperm(len(everything), generator=torch.Generator().manual_seed(config.seed))]
    options["n_updates"] = max(1, config.n_updates // 3)
    gpt.learn_to_sort(control, answers=others.sort(dim=1).values, held_out=config.held_out, **options)
    parts = sizes.gpt(3, 48, n_words=3, n_context=11)
    rows = [
        {"quantity": "parameters", "value": network.n_parameters(), "n": 1},
        {"quantity": "parameters with a separate head", "value": gpt.GPT(separate_head=True).n_parameters(), "n": 1},
        {"quantity": "parameters without attention biases", "value": gpt.GPT(attention_biases=False).n_parameters(),
         "n": 1},
        measured("inputs sorted right, of 729", right.sum(dim=1)),
        measured("inputs sorted right, untrained, of 729", untrained.sum(dim=1)),
        measured("inputs sorted right, taught the answers of others, of 729", gpt.sorted_right(control).sum(dim=1)),
    ]  # fmt: skip
    if unseen.any():
        rows.append(measured("share of held-out inputs sorted right", (right & unseen).sum(dim=1) / unseen.sum(dim=1)))
    tables = {"obtained": pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])}
    counts = {"part": parts.keys(), "parameters": parts.values()}
    return tables | {"parts": pd.DataFrame(counts), "maps": maps_of_heads(network)}


def maps_of_heads(network):
    """Give the attention of every head of the first network while it sorts one input."""
    letters = torch.tensor([SHOWN])
    answers = gpt.sort(network, letters)[0].cpu()
    read = torch.cat([letters, answers[:, :-1]], dim=1)[0]
    with torch.no_grad():
        maps = network.attention(read)[0]  # (n_blocks, n_heads, n_steps, n_steps)
    names = [LETTERS[i] for i in read.tolist()]
    said = ["" if i < N_SORTED - 1 else f"→{LETTERS[answers[0, i - N_SORTED + 1]]}" for i in range(len(names))]
    cells = [
        {"panel": f"block {i_block + 1}, head {i_head + 1}", "i_row": i, "row": names[i] + said[i], "i_column": j,
         "column": names[j], "weight": weight}
        for i_block, of_block in enumerate(maps.tolist())
        for i_head, of_head in enumerate(of_block)
        for i, weights in enumerate(of_head)
        for j, weight in enumerate(weights)
    ]  # fmt: skip
    return pd.DataFrame(cells)


def draw(tables, config):  # noqa: ARG001
    shown = "".join(LETTERS[i] for i in SHOWN)
    parts = tables["parts"].replace({"part": {"feed_forward": "feed-forward"}})
    return [
        Drawing(
            "Attention of the nine heads",
            alignment_maps(tables["maps"], n_columns=3, size=3.0, rows="step", columns="looked at"),
            f"First network, input {shown}: a row for every step, the letter it says after the arrow; a column for "
            "every letter it may look at.",
        ),
        Drawing(
            "Parameters by part",
            parts.to_html(index=False, border=0, formatters={"parameters": "{:,}".format}, classes="table table-sm"),
            f"Together {parts['parameters'].sum():,}; the table of words serves as the head as well.",
        ),
    ]


if __name__ == "__main__":
    main(__file__)
