"""How large are these networks, and how much have they read, beside a brain and a child?

    python analyses/scale.py --out results/scale

Parameters and connections are counted from the settings of each network (`brainalign.simulate.sizes`); the table
"Sources" says where each row comes from. A synapse is no parameter: it stands for many numbers, or for less than one.

What the sentence "GPT-3 has read more than 1,000 lives" hides: it holds for the 499 billion tokens of the data; those
it has read, 300 billion, are 815 lives, and counted in words about 600.

The table of GPT-3's models is kept as printed. Two rows cannot be right: 24 heads of 128 are 3,072 units, not 2,048
(XL), and 40 heads of 128 are 5,120, not 5,140 (13B). The printed numbers are from memory.
"""

import numpy as np
import pandas as pd
from pydantic import Field

from brainalign.plots.scale import printed_beside_counted, sizes_and_words
from brainalign.simulate import sizes
from brainalign.simulate.attention_seq2seq import EncoderDecoder
from brainalign.simulate.gpt import GPT
from brainalign.simulate.lstm import LSTM
from brainalign.simulate.transformer import Transformer
from brainalign.simulations import Drawing, Published, Settings, main

GPT3_DATA, GPT3_READ = 4.99e11, 3.0e11  # tokens
SYNAPSES = (1e14, 1e15)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NO_CONNECTIONS = {"b", "t", "v", "gain", "shift"}  # last parts of the names of biases and norms

MILLIONS = "millions of parameters, "
WORDS = "millions of words in 20 years, 1 word/s, 14 h a day"

PUBLISHED = (
    *(
        Published(f"{MILLIONS}GPT-3 {model.name}", model.parameters / 1e6, "Brown 2020 table 2.1",
                  "from memory" + (f"; misprint: {sizes.misprint(model)}" if sizes.misprint(model) else ""))
        for model in sizes.GPT3_TABLE
    ),
    Published(f"{MILLIONS}GPT-2 small", 117, "Radford 2019 table 2", "misprint: the model has 124 M; from memory"),
    Published(f"{MILLIONS}shipped GPT-2", 4.291584, "its model card"),
    Published(f"{MILLIONS}AlexNet", 60, "Krizhevsky 2012 abstract", "from memory"),
    Published(WORDS, 370, "teaching sheet"),
    Published("lives in GPT-3's data", 1000, "teaching sheet", "'more than 1,000'; tokens of the data, not words read"),
)  # fmt: skip


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="nothing is drawn at random; part of every simulation")
    years: float = Field(20.0, gt=0, description="of a child")
    hours_a_day: float = Field(14.0, gt=0, le=24, description="in which a child hears words")
    words_a_second: float = Field(1.0, gt=0, description="that a child hears")
    words_a_token: float = Field(0.75, gt=0, description="about, in English")


def run(config):
    child = sizes.words_heard(config.years, hours_a_day=config.hours_a_day, words_a_second=config.words_a_second)
    brain = {"name": "human brain and child", "words": child, "unit": "words", "low": SYNAPSES[0], "high": SYNAPSES[1]}
    brain["source"] = (
        "1.5e14 synapses in the neocortex (Pakkenberg et al. 2003, BioNumbers 112056), up to 1e15 in the brain (Sporns "
        f"et al. 2005, BioNumbers 106138); {config.words_a_second:g} word/s, {config.hours_a_day:g} h a day, "
        f"{config.years:g} years of 365 days"
    )
    table = pd.concat([networks(), pd.DataFrame([brain])], ignore_index=True)
    gpt3 = gpt3_table()
    counted = table.set_index("name")["parameters"]
    counted = pd.concat([counted.drop(index="GPT-3"), gpt3.set_index("GPT-3 " + gpt3["name"])["formula"]]) / 1e6
    names = [printed.quantity.removeprefix(MILLIONS) for printed in PUBLISHED if printed.quantity.startswith(MILLIONS)]
    rows = [(MILLIONS + name, counted[name]) for name in names]
    rows += [
        (WORDS, sizes.words_heard(20) / 1e6),
        ("lives in GPT-3's data", GPT3_DATA / child),
        ("lives in what GPT-3 has read, tokens as words", GPT3_READ / child),
        ("lives in what GPT-3 has read, words", config.words_a_token * GPT3_READ / child),
        ("synapses (1e14) for each parameter of GPT-3", SYNAPSES[0] / gpt3["formula"].iloc[-1]),
        ("synapses (1e15) for each parameter of GPT-3", SYNAPSES[1] / gpt3["formula"].iloc[-1]),
    ]
    obtained = pd.DataFrame(rows, columns=["quantity", "value"]).assign(sd=np.nan, n=1)
    return {"obtained": obtained, "networks": table, "gpt3": gpt3}


def networks():
    """Give parameters, connections and what was read while learning of networks, small to large."""
    convolutions, connections = sizes.convolutions(sizes.ALEXNET)
    behind = (9216, 4096, 4096, 1000)
    alexnet = convolutions + sizes.layers(*behind), connections + without_biases(*behind)
    rows = [
        ("LSTM, adding problem", *of(LSTM(["value", "mark"], n_hidden=8, n_outputs=1, forget_gate=False)),
         500 * 32 * 100, "numbers", "analyses/hochreiter1997_lstm.py, one network"),
        ("Elman 1991", elman1991(), elman1991(biases=False), 5 * 10_000 * (3.5 + 4.5 + 5.5 + 6.5), "words",
         "26-10-70-10-26; five passes over four corpora of 10,000 sentences (from memory), their lengths as measured"),
        ("encoder-decoder", *of(EncoderDecoder(LETTERS, n_hidden=24)), 600 * 32 * 6.5, "letters",
         "analyses/bahdanau2015_alignment.py, one network"),
        ("Elman 1990", sizes.recurrent(31, 150, n_outputs=31), 31 * 150 + 150 * 150 + 150 * 31, 6 * 27_500, "words",
         "31-150-31; six passes over 27,500 words"),
        ("Transformer", *of(Transformer(LETTERS[:8])), 1000 * 32 * 5.5, "letters",
         "analyses/vaswani2017_transformer.py, one network"),
        ("GPT that sorts", *of(GPT()), 400 * 64 * 6, "letters", "analyses/sorting_gpt.py, one network"),
        ("AlexNet's convolutions", convolutions, connections, np.nan, "",
         "Krizhevsky et al. 2012; where Nasr et al. 2019 (after 1.2 million images) and Kim et al. 2021 (untrained) "
         "looked for number units"),
        ("shipped GPT-2", *gpt(6, 192, n_words=8192, n_context=256), 19_660_800, "tokens", "its model card"),
        ("AlexNet", *alexnet, np.nan, "", "Krizhevsky et al. 2012"),
        ("GPT-2 small", *gpt(12, 768, n_words=50_257, n_context=1024), np.nan, "",
         "Radford et al. 2019; 40 GB of text, words not given"),
        ("GPT-3", *gpt(96, 12_288, n_words=sizes.GPT3_VOCABULARY, n_context=sizes.GPT3_CONTEXT), GPT3_READ, "tokens",
         "Brown et al. 2020, table 2.1; the data hold 499 billion tokens (table 2.2)"),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["name", "parameters", "connections", "words", "unit", "source"])
    return table.sort_values("parameters", ignore_index=True).assign(low=np.nan, high=np.nan)


def of(network):
    """Count parameters and connections of a network that has been built; tables and matrices hold connections."""
    counts = {name: values[0].numel() for name, values in network.named_parameters()}  # of the first of its replicas
    connections = sum(n for name, n in counts.items() if name.rpartition("_")[2] not in NO_CONNECTIONS)
    return sum(counts.values()), connections


def gpt(n_blocks, width, *, n_words, n_context):
    parameters = sum(sizes.gpt(n_blocks, width, n_words=n_words, n_context=n_context).values())
    return parameters, sizes.matrices_of_gpt(n_blocks, width, n_words=n_words, n_context=n_context)


def elman1991(*, biases=True):
    """Count the network 26-10-70-10-26 with 70 context units."""
    count = sizes.layers if biases else without_biases
    return count(26, 10, 70, 10, 26) + 70 * 70


def without_biases(*units):
    return sizes.layers(*units) - sum(units[1:])


def gpt3_table():
    """Give the table of GPT-3's models as printed, with the formula's numbers and what is misprinted."""
    size = {"n_words": sizes.GPT3_VOCABULARY, "n_context": sizes.GPT3_CONTEXT}
    table = pd.DataFrame(sizes.GPT3_TABLE).rename(columns={"parameters": "printed"})
    table["formula"] = [sizes.matrices_of_gpt(row.n_blocks, row.width, **size) for row in sizes.GPT3_TABLE]
    return table.assign(misprint=[sizes.misprint(row) for row in sizes.GPT3_TABLE])


def draw(tables, config):  # noqa: ARG001
    return [
        Drawing(
            "Networks beside a brain",
            sizes_and_words(tables["networks"]),
            "Left: parameters (full) and connections (open), joined by a line where they differ; the bar is the number "
            "of synapses of a human brain. Right: words, tokens, letters or numbers read while learning; a gap where "
            "there are none or their number is not published.",
        ),
        Drawing("Sources", sources(tables["networks"]), "What was read is that of learning, repeated passes included."),
        Drawing(
            "GPT-3's table: printed and counted",
            printed_beside_counted(tables["gpt3"]),
            "12 L d^2 + (50,257 + 2,048) d against the printed number of parameters; dotted: 2 %.",
        ),
    ]


def sources(table):
    """Give the table of networks as HTML."""
    shown = table[["name", "parameters", "connections", "words", "unit", "source"]].rename(columns={"words": "read"})
    counts = dict.fromkeys(("parameters", "connections", "read"), "{:,.0f}".format)
    return shown.to_html(index=False, border=0, formatters=counts, na_rep="", classes="table table-sm")


if __name__ == "__main__":
    main(__file__)
