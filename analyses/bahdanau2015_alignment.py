"""Does a translator that may look back at the source need to squeeze it into one vector?

    python analyses/bahdanau2015_alignment.py --out results/bahdanau2015_alignment

Bahdanau, Cho & Bengio (2015), figures 2 and 3, on toys: sequences of letters are to be copied, or said backwards, by
encoder-decoders of gated units with and without attention. With it, the letters looked at lie on the diagonal (copy)
or the anti-diagonal (reversal), and sequences as long as the longest learned are still right; without it everything
must pass through one vector, and the share of right sequences falls with their length. In figure 2 of the paper the
quality of RNNencdec falls with the length of the sentence while that of RNNsearch-50 does not; here both fall beyond
the lengths they have learned.

The largest weight is sometimes one letter beside the right one: the annotation of a letter is made of both
directions and has read its neighbours, and the decoder's question is asked before it is told which word it has just
said.

The BLEU values are from memory and stand for orientation; translation of WMT'14 is not attempted.

Controls: targets that have nothing to do with the source; untrained networks.
"""

from typing import Annotated, Literal

import pandas as pd
import torch
from pydantic import Field, model_validator

from brainalign.plots.alignments import alignment_maps, lines_by_network
from brainalign.simulate import attention_seq2seq, sequence_tasks
from brainalign.simulate.replicas import warmed_up
from brainalign.simulations import Drawing, Published, Settings, main, measured

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TASKS = {"copy": sequence_tasks.copying, "reversal": sequence_tasks.reversal}
WITH, WITHOUT = "with attention", "without attention"
BLEU = "from memory; English-French, WMT'14, all sentences; not attempted here"

PUBLISHED = (
    Published("weights of a word sum to", 1.0, "Bahdanau 2015 eq. 6"),
    Published("BLEU of RNNencdec-50", 17.82, "Bahdanau 2015 table 1", BLEU),
    Published("BLEU of RNNsearch-50", 26.75, "Bahdanau 2015 table 1", BLEU + "; 28.45 after longer training"),
)

Length = Annotated[int, Field(ge=1)]


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="network i has weights and sequences of seed + i")
    n_networks: int = Field(3, ge=1, description="of each kind and task")
    n_letters: int = Field(26, ge=2, le=26, description="letters of the alphabet")
    n_hidden: int = Field(24, ge=1, description="units of each direction of the encoder, and of the decoder")
    shortest: int = Field(3, ge=1, description="letters of the shortest sequences learned")
    longest: int = Field(10, ge=1, description="letters of the longest sequences learned")
    n_updates: int = Field(600, ge=1, description="each of n_sequences, one length after the other")
    n_sequences: int = Field(32, ge=1, description="fresh ones at each update")
    lr: float = Field(0.01, gt=0, description="of Adam, at its highest")
    lengths: tuple[Length, ...] = Field((2, 4, 6, 8, 10, 12, 14), min_length=1, description="of the sequences tested")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")

    @model_validator(mode="after")
    def _some_length_is_learned(self):
        if self.longest < self.shortest:
            raise ValueError(f"longest must be at least shortest ({self.shortest}), got {self.longest}")
        return self


def run(config):
    rows, shares, maps, sums = [], [], [], []
    for title, task in TASKS.items():
        for name in (WITH, WITHOUT):
            network = build(config, attention=name == WITH)
            untrained = attention_seq2seq.share_right(network, task, n_steps=config.longest)
            learn(network, task, config)
            shares += by_length(network, task, config, title=title, name=name)
            right = attention_seq2seq.share_right(network, task, n_steps=config.longest)
            rows.append(measured(f"{title} of {config.longest} letters {name}: share right", right))
            if name == WITH:
                rows.append(measured(f"{title} of {config.longest} letters, untrained: share right", untrained))
                alignments = aligned(network, task, config)
                reverse = title == "reversal"
                for within, where in ((0, "on the letter"), (1, "at most one beside")):
                    share = attention_seq2seq.share_aligned(alignments, reverse=reverse, within=within)
                    rows.append(measured(f"{title}: largest weight {where}", share))
                sums.append(alignments.sum(dim=3).mean(dim=(1, 2)).cpu())
                maps.append(one_map(network, task, config, title=title))
    control = build(config, attention=True)
    learn(control, sequence_tasks.shuffled, config, n_updates=max(1, config.n_updates // 4))
    right = attention_seq2seq.share_right(control, sequence_tasks.copying, n_steps=config.shortest)
    rows.append(measured(f"copy of {config.shortest} letters after learning unrelated targets: share right", right))
    rows.append(measured("weights of a word sum to", torch.cat(sums)))
    rows += [{"quantity": f"BLEU of {name}", "n": 0} for name in ("RNNencdec-50", "RNNsearch-50")]
    tables = {"obtained": pd.DataFrame(rows, columns=["quantity", "value", "sd", "n"])}
    return tables | {"by_length": pd.DataFrame(shares), "alignments": pd.concat(maps)}


def build(config, *, attention):
    options = {"n_networks": config.n_networks, "seed": config.seed, "device": config.device}
    vocabulary = LETTERS[: config.n_letters]
    return attention_seq2seq.EncoderDecoder(vocabulary, attention=attention, n_hidden=config.n_hidden, **options)


def learn(network, task, config, *, n_updates=None):
    n_updates = n_updates or config.n_updates
    attention_seq2seq.learn(
        network,
        task,
        lengths=range(config.shortest, config.longest + 1),
        n_updates=n_updates,
        n_sequences=config.n_sequences,
        lr=warmed_up(config.lr, n_warmup=20, n_updates=n_updates),
    )


def by_length(network, task, config, *, title, name):
    """Give the share of right sequences, mean and standard deviation over networks, a row per length."""
    rows = []
    for n_steps in config.lengths:
        share = measured("", attention_seq2seq.share_right(network, task, n_steps=n_steps))
        rows.append({"task": title, "network": name, "n_steps": n_steps, "share": share["value"], "sd": share["sd"]})
    return rows


def aligned(network, task, config):
    generator = torch.Generator().manual_seed(10**6 + 1)
    sources, _ = task(generator, n_sequences=200, n_steps=config.longest, n_symbols=config.n_letters)
    return network.say(sources[None])[1]


def one_map(network, task, config, *, title):
    """Give the weights of the first network while it says one sequence, with the letters it reads and says."""
    generator = torch.Generator().manual_seed(10**6 + 2)
    source, _ = task(generator, n_sequences=1, n_steps=config.longest, n_symbols=config.n_letters)
    said, alignments = network.say(source[None])
    names = [*LETTERS[: config.n_letters], "END"]
    columns = [names[i] for i in [*source[0].tolist(), network.end]]
    rows = [names[i] for i in said[0, 0].tolist()]
    cells = [
        {"panel": title, "i_row": i, "row": rows[i], "i_column": j, "column": columns[j], "weight": weight}
        for i, weights in enumerate(alignments[0, 0].tolist())
        for j, weight in enumerate(weights)
    ]
    return pd.DataFrame(cells)


def draw(tables, config):
    return [
        Drawing(
            "What is looked at while a letter is said",
            alignment_maps(tables["alignments"], size=4.2),
            "As figure 3 of the paper, one sequence and the first network: a row for every letter said, a column for "
            "every letter read. Copy runs down the diagonal, reversal down the anti-diagonal.",
        ),
        Drawing(
            "Sequences said right, by length",
            lines_by_network(
                tables["by_length"], x="n_steps", y="share", labels=("letters of the sequence", "share right")
            ),
            f"As figure 2 of the paper. Learned: {config.shortest} to {config.longest} letters. A sequence is right if "
            "every letter and END are. Bands: standard deviation over networks.",
        ),
    ]


if __name__ == "__main__":
    main(__file__)
