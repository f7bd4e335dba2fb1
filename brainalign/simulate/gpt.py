"""GPT: a Transformer that only decodes; small enough here to see how it sorts six letters.

    x_0 = E[word] + P[position]
    x'  = x + A(norm(x))          A: attention of several heads over the steps up to this one, then a matrix
    x'' = x' + W_2 gelu(W_1 norm(x') + b_1) + b_2          4 x width units between      (one block)
    logits = E norm(x_last)       the table of words read backwards, or a matrix of its own (the separate head)

    gelu(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))

The sorting network reads six letters out of A, B, C and goes on with the same letters in order, one at a time: with a
context of 11 it sees the six and the first five of the answer. Its 85,584 parameters are

    3 x 48 + 11 x 48 + 3 blocks x 28,272 + 96 (last norm)

with the table of words as its head; with a separate head 85,728, and 85,008 without the biases of the attention.
No dropout (the demo it comes from drops 10 %), so that a seed gives one network: on a CPU with the default sizes the
same to the last bit, alone or among others. Nothing less would do, since learning makes rounding grow: of two networks
that were 1e-13 apart, in float64, weights were .02 apart 140 updates later. Another device or version of torch gives
another network, which sorts as well.

References
----------
Radford et al. (2018, 2019), GPT and GPT-2, section 2.3 (norms moved, weights at the end of residual branches scaled by
1 / sqrt(number of branches)). Hendrycks & Gimpel (2016), GELU, section 2. Karpathy, minGPT and its demo of sorting;
Bycroft, LLM visualization ("nano-gpt"). Oracle: GPT2LMHeadModel of transformers with the same weights.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from brainalign.errors import BrainalignError
from brainalign.simulate.attention import attend, normalise
from brainalign.simulate.replicas import affine, as_positions, check_counts, descend, rows_of, stacked
from brainalign.simulate.sequence_tasks import all_sequences

BLOCK = (
    "norm1_gain",
    "norm1_shift",
    "attention_W",
    "attention_b",
    "mix_W",
    "mix_b",
    "norm2_gain",
    "norm2_shift",
    "feed_W",
    "feed_b",
    "back_W",
    "back_b",
)


class GPT(nn.Module):
    """GPT networks, several side by side; its default settings are those of the network that sorts letters.

    Parameters
    ----------
    vocabulary : sequence of str
    n_context : int
        Steps that it can read.
    n_blocks, n_heads : int
    width : int
        Units of a step; a multiple of `n_heads`.
    separate_head : bool
        Whether the matrix at the end is another than the table of words.
    attention_biases : bool
    n_networks, seed, dtype, device
        As of `lstm.LSTM`. Weights are drawn from N(0, .02^2), those at the end of a residual branch divided by
        sqrt(2 n_blocks); biases are 0.

    Raises
    ------
    BrainalignError
        A setting is out of its range, or there is no GPU.
    """

    def __init__(
        self,
        vocabulary=("A", "B", "C"),
        *,
        n_context: int = 11,
        n_blocks: int = 3,
        n_heads: int = 3,
        width: int = 48,
        separate_head: bool = False,
        attention_biases: bool = True,
        n_networks: int = 1,
        seed: int = 0,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        super().__init__()
        self.settings = {
            "vocabulary": list(vocabulary),
            "n_context": n_context,
            "n_blocks": n_blocks,
            "n_heads": n_heads,
            "width": width,
            "separate_head": separate_head,
            "attention_biases": attention_biases,
            "n_networks": n_networks,
            "seed": seed,
            "dtype": dtype,
        }
        check_counts(self.settings, "n_context", "n_blocks", "n_heads", "width", "n_networks")
        if not self.settings["vocabulary"] or width % n_heads:
            raise BrainalignError(
                f"a word and a width that is a multiple of n_heads are needed, got {len(self.settings['vocabulary'])} "
                f"words, width {width}, n_heads {n_heads}"
            )
        where = {"n_networks": n_networks, "dtype": dtype, "device": device}
        for name, values in stacked(lambda g: _draw(self.settings, g), seed=seed, **where).items():
            self.register_parameter(name, values)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers of `states`."""
        return ("embeddings", *(f"block{i + 1}" for i in range(self.settings["n_blocks"])), "final")

    def n_parameters(self) -> int:
        """Count the parameters of one network."""
        return sum(values[0].numel() for values in self.parameters())

    def states(self, words) -> dict[str, torch.Tensor]:
        """Give the residual stream after each layer.

        Parameters
        ----------
        words : int (n_steps,) or (1 or n_networks, n_sequences, n_steps)

        Returns
        -------
        states : dict
            {layer: (n_networks, [n_sequences,] n_steps, width)}: "embeddings", "block1" ..., and "final", the last
            block's after the norm.
        """
        layers, _, alone = self._read(words)
        return {name: values[:, 0] for name, values in layers.items()} if alone else layers

    def attention(self, words) -> torch.Tensor:
        """Give the attention maps, (n_networks, [n_sequences,] n_blocks, n_heads, n_steps, n_steps); rows sum to 1."""
        _, maps, alone = self._read(words)
        return maps[:, 0] if alone else maps

    def forward(self, words) -> torch.Tensor:
        """Give the logits of the next word at each step, (n_networks, [n_sequences,] n_steps, n_words)."""
        final = self.states(words)["final"]
        head = self.head if self.settings["separate_head"] else self.words
        return affine(final, head.transpose(1, 2))

    def _read(self, words):
        n_networks, n_words, _ = self.words.shape
        words, alone = as_positions(words, n_networks=n_networks, n_words=n_words, device=self.words.device)
        n_steps = words.shape[2]
        if n_steps > self.settings["n_context"]:
            raise BrainalignError(f"{n_steps} words are more than its context of {self.settings['n_context']}")
        x = rows_of(self.words, words) + self.positions[:, None, :n_steps]  # (n_networks, n_sequences, n_steps, width)
        layers, maps = {"embeddings": x}, []
        for i in range(self.settings["n_blocks"]):
            w = {name: getattr(self, f"block{i + 1}_{name}", None) for name in BLOCK}
            seen = normalise(x, w["norm1_gain"], w["norm1_shift"])
            q, k, v = affine(seen, w["attention_W"], w["attention_b"]).chunk(3, dim=3)
            mixed, weights = attend(q, k, v, n_heads=self.settings["n_heads"], causal=True)
            x = x + affine(mixed, w["mix_W"], w["mix_b"])
            seen = normalise(x, w["norm2_gain"], w["norm2_shift"])
            units = functional.gelu(affine(seen, w["feed_W"], w["feed_b"]), approximate="tanh")
            x = x + affine(units, w["back_W"], w["back_b"])
            layers[f"block{i + 1}"] = x
            maps.append(weights)
        layers["final"] = normalise(x, self.last_gain, self.last_shift)
        return layers, torch.stack(maps, dim=2), alone


def learn_to_sort(
    network: GPT,
    *,
    n_updates: int,
    n_sequences: int = 64,
    lr=2e-3,
    held_out: float = 0.0,
    n_letters: int = 6,
    answers: torch.Tensor | None = None,
) -> torch.Tensor:
    """Teach networks to go on, after some letters, with the same letters in order.

    Loss: cross-entropy of the sorted letters; what stands before is not predicted.

    Parameters
    ----------
    network : GPT
        Its context is 2 * n_letters - 1 steps at least.
    n_updates : int
    n_sequences : int
        Drawn anew, with replacement, for each network and update.
    lr : float or function
        See `replicas.descend`.
    held_out : float
        Share of all sequences that a network never learns from, see `held_out_sequences`.
    n_letters : int
    answers : int64 (n, n_letters), optional
        Wanted after each of `sequence_tasks.all_sequences`, for controls; its letters in order if not given.

    Returns
    -------
    losses : tensor (n_networks, n_updates)
    """
    everything = all_sequences(len(network.settings["vocabulary"]), n_letters)
    answers = everything.sort(dim=1).values if answers is None else answers
    sequences = torch.cat([everything, answers[:, :-1]], dim=1)  # all but the last letter of the answer is read
    generators = [torch.Generator().manual_seed(2**31 + seed) for seed in _seeds(network)]
    pools = [(~one).nonzero()[:, 0] for one in held_out_sequences(network, held_out, n_letters=n_letters)]

    def loss_of(i_update):  # noqa: ARG001
        drawn = torch.stack(
            [
                pool[torch.randint(len(pool), (n_sequences,), generator=g)]
                for pool, g in zip(pools, generators, strict=True)
            ]
        )  # (n_networks, n_sequences)
        logits = network(sequences[drawn])[:, :, n_letters - 1 :]
        wanted = answers[drawn].to(logits.device)
        return functional.cross_entropy(logits.movedim(3, 1), wanted, reduction="none").mean(dim=(1, 2))

    return descend(network, loss_of, n_updates=n_updates, lr=lr)


def held_out_sequences(network: GPT, share: float, *, n_letters: int = 6) -> torch.Tensor:
    """Say which of all sequences each network never learns from, bool (n_networks, n_sequences).

    Raises
    ------
    BrainalignError
        `share` is no share, or leaves no sequence to learn from.
    """
    n = len(network.settings["vocabulary"]) ** n_letters
    if not 0 <= share < 1 or round(share * n) == n:
        raise BrainalignError(f"held_out must be a share in [0, 1) that leaves one of {n} sequences, got {share}")
    ranks = [torch.randperm(n, generator=torch.Generator().manual_seed(2**32 + seed)) for seed in _seeds(network)]
    return torch.stack(ranks) < round(share * n)


def sort(network: GPT, letters: torch.Tensor) -> torch.Tensor:
    """Let networks write the letters in order, each letter given those they wrote before.

    Parameters
    ----------
    network : GPT
    letters : int64 (n_sequences, n_letters)

    Returns
    -------
    answers : int64 (n_networks, n_sequences, n_letters)
    """
    n_letters = letters.shape[1]
    seen = letters.to(network.words.device).expand(network.settings["n_networks"], -1, -1)
    with torch.no_grad():
        for _ in range(n_letters):
            seen = torch.cat([seen, network(seen)[:, :, -1:].argmax(dim=3)], dim=2)
    return seen[:, :, n_letters:]


def sorted_right(network: GPT, *, n_letters: int = 6) -> torch.Tensor:
    """Say of all sequences, 729 of six letters, which a network sorts, bool (n_networks, n_sequences)."""
    letters = all_sequences(len(network.settings["vocabulary"]), n_letters)
    return (sort(network, letters).cpu() == letters.sort(dim=1).values).all(dim=2)


def _seeds(network):
    return range(network.settings["seed"], network.settings["seed"] + network.settings["n_networks"])


def _draw(settings: dict, generator) -> dict[str, torch.Tensor]:
    width, n_words, n_blocks = settings["width"], len(settings["vocabulary"]), settings["n_blocks"]
    shapes = {
        "norm1_gain": (width,),
        "norm1_shift": (width,),
        "attention_W": (width, 3 * width),  # queries, keys, values
        "attention_b": (3 * width,),
        "mix_W": (width, width),
        "mix_b": (width,),
        "norm2_gain": (width,),
        "norm2_shift": (width,),
        "feed_W": (width, 4 * width),
        "feed_b": (4 * width,),
        "back_W": (4 * width, width),
        "back_b": (width,),
    }
    if not settings["attention_biases"]:
        del shapes["attention_b"], shapes["mix_b"]
    all_shapes = {"words": (n_words, width), "positions": (settings["n_context"], width)}
    all_shapes |= {f"block{i + 1}_{name}": shape for i in range(n_blocks) for name, shape in shapes.items()}
    all_shapes |= {"last_gain": (width,), "last_shift": (width,)}
    if settings["separate_head"]:
        all_shapes["head"] = (n_words, width)
    return {name: _fresh(name, shape, n_blocks, generator) for name, shape in all_shapes.items()}


def _fresh(name, shape, n_blocks, generator):
    if name.endswith("gain"):
        return torch.ones(shape)
    if name.endswith(("shift", "_b")):
        return torch.zeros(shape)
    scale = 0.02 / math.sqrt(2 * n_blocks) if name.endswith(("mix_W", "back_W")) else 0.02
    return scale * torch.randn(shape, generator=generator)
