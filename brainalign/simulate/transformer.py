"""The Transformer: encoder and decoder without recurrence, every step looks at the others.

    encoder block   x' = norm(x + A(x, x))        x'' = norm(x' + W_2 relu(W_1 x' + b_1) + b_2)
    decoder block   y' = norm(y + A_causal(y, y)) y'' = norm(y' + A(y', x))      y''' as x''
    A(q, m) = W_O [heads of softmax(Q K' / sqrt(d_head)) V],   Q = W_Q q, K = W_K m, V = W_V m

Words enter as sqrt(width) E[word] + P[position], and leave as E y: one table for source, target and output.

    P[t, 2i] = sin(t / 10000^(2i / width))        P[t, 2i + 1] = cos(t / 10000^(2i / width))

START stands before the target, END after it. While the network learns, the decoder reads the right words (teacher
forcing) and the causal mask keeps it from looking ahead; asked, it reads what it has said itself. No dropout and no
label smoothing. As with GPT, a network learns on a CPU the same to the last bit, alone or among others.

References
----------
Vaswani et al. (2017), Attention is all you need, NeurIPS, sections 3.1-3.5. Oracle: torch's TransformerEncoderLayer
and TransformerDecoderLayer with the same weights.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from brainalign.errors import BrainalignError
from brainalign.simulate.attention import attend, normalise
from brainalign.simulate.replicas import affine, as_positions, check_counts, rows_of, stacked, uniform

ATTENTION = ("Q_W", "Q_b", "K_W", "K_b", "V_W", "V_b", "O_W", "O_b")


class Transformer(nn.Module):
    """Transformer networks, several side by side.

    Parameters
    ----------
    vocabulary : sequence of str
        Symbols of source and target; END and START come after them.
    n_blocks : int
        Of the encoder, and of the decoder.
    n_heads : int
    width : int
        Units of a step; even, and a multiple of `n_heads`.
    n_feed : int
        Units between the two matrices of a block.
    positions : bool
        Whether positions are added; without them the encoder cannot tell the order of the words.
    n_networks, seed, dtype, device
        As of `lstm.LSTM`. Matrices are uniform in +-sqrt(6 / (n_from + n_to)), words N(0, 1 / width), biases 0.

    Raises
    ------
    BrainalignError
        A setting is out of its range, or there is no GPU.
    """

    def __init__(
        self,
        vocabulary,
        *,
        n_blocks: int = 2,
        n_heads: int = 2,
        width: int = 32,
        n_feed: int = 64,
        positions: bool = True,
        n_networks: int = 1,
        seed: int = 0,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        super().__init__()
        self.settings = {
            "vocabulary": list(vocabulary),
            "n_blocks": n_blocks,
            "n_heads": n_heads,
            "width": width,
            "n_feed": n_feed,
            "positions": positions,
            "n_networks": n_networks,
            "seed": seed,
            "dtype": dtype,
        }
        check_counts(self.settings, "n_blocks", "n_heads", "width", "n_feed", "n_networks")
        if not self.settings["vocabulary"] or width % n_heads or width % 2:
            raise BrainalignError(
                f"a symbol and an even width that is a multiple of n_heads are needed, got "
                f"{len(self.settings['vocabulary'])} symbols, width {width}, n_heads {n_heads}"
            )
        where = {"n_networks": n_networks, "dtype": dtype, "device": device}
        for name, values in stacked(lambda g: _draw(self.settings, g), seed=seed, **where).items():
            self.register_parameter(name, values)

    @property
    def end(self) -> int:
        """Position of END."""
        return len(self.settings["vocabulary"])

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers of `states`: those of the encoder."""
        return ("embeddings", *(f"encoder{i + 1}" for i in range(self.settings["n_blocks"])))

    def states(self, words) -> dict[str, torch.Tensor]:
        """Give the states of the encoder.

        Parameters
        ----------
        words : int (n_steps,) or (1 or n_networks, n_sequences, n_steps)
            A source, without END.

        Returns
        -------
        states : dict
            {layer: (n_networks, [n_sequences,] n_steps, width)}
        """
        words, alone = self._positions(words)
        layers = self.encode(words)
        return {name: values[:, 0] for name, values in layers.items()} if alone else layers

    def encode(self, words: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give the layers of the encoder for words (n_networks, n_sequences, n_steps)."""
        x = self._embed(words)
        layers = {"embeddings": x}
        for i in range(self.settings["n_blocks"]):
            x = self._add(f"encoder{i + 1}_self", x, self._attend(f"encoder{i + 1}_self", x, x)[0])
            x = self._feed(f"encoder{i + 1}", x)
            layers[f"encoder{i + 1}"] = x
        return layers

    def decode(self, memory: torch.Tensor, previous: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the logits of the next word at each step of a target.

        Parameters
        ----------
        memory : (n_networks, n_sequences, n_steps, width)
            The last layer of the encoder.
        previous : int64 (n_networks, n_sequences, n_words)
            The word before each, START first.

        Returns
        -------
        logits : (n_networks, n_sequences, n_words, n_symbols + 1)
            END is the last one.
        maps : (n_networks, n_sequences, n_blocks, n_heads, n_words, n_steps)
            What each word looked at in the source; rows sum to 1.
        """
        y, maps = self._embed(previous), []
        for i in range(self.settings["n_blocks"]):
            y = self._add(f"decoder{i + 1}_self", y, self._attend(f"decoder{i + 1}_self", y, y, causal=True)[0])
            looked, weights = self._attend(f"decoder{i + 1}_cross", y, memory)
            y = self._add(f"decoder{i + 1}_cross", y, looked)
            y = self._feed(f"decoder{i + 1}", y)
            maps.append(weights)
        return affine(y, self.words[:, : self.end + 1].transpose(1, 2)), torch.stack(maps, dim=2)

    def forward(self, sources, targets) -> tuple[torch.Tensor, torch.Tensor]:
        """Give logits and maps of `decode` under teacher forcing.

        Parameters
        ----------
        sources, targets : int (n_steps,) or (1 or n_networks, n_sequences, n_steps)
            Without START and END.

        Returns
        -------
        logits : (n_networks, n_sequences, n_words + 1, n_symbols + 1)
        maps : (n_networks, n_sequences, n_blocks, n_heads, n_words + 1, n_steps + 1)
        """
        sources, targets = self._positions(sources)[0], self._positions(targets)[0]
        memory = self.encode(self._ended(sources))[self.layer_names[-1]]
        return self.decode(memory, functional.pad(targets, (1, 0), value=self.end + 1))

    def say(self, sources) -> tuple[torch.Tensor, torch.Tensor]:
        """Give what the networks say to sources on their own, as many words as the source has and END, and the maps.

        Returns
        -------
        words : int64 (n_networks, n_sequences, n_steps + 1)
        maps : (n_networks, n_sequences, n_blocks, n_heads, n_steps + 1, n_steps + 1)
        """
        sources = self._ended(self._positions(sources)[0])
        said = torch.full_like(sources[:, :, :1], self.end + 1)  # START
        with torch.no_grad():
            memory = self.encode(sources)[self.layer_names[-1]]
            for _ in range(sources.shape[2]):
                logits, maps = self.decode(memory, said)
                said = torch.cat([said, logits[:, :, -1:].argmax(dim=3)], dim=2)
        return said[:, :, 1:], maps

    def _embed(self, words):
        width = self.settings["width"]
        x = math.sqrt(width) * rows_of(self.words, words)
        return x + sinusoids(words.shape[2], width).to(x) if self.settings["positions"] else x

    def _attend(self, name, asking, seen, *, causal=False):
        w = {part: getattr(self, f"{name}_{part}") for part in ATTENTION}
        q, k, v = (affine(x, w[f"{part}_W"], w[f"{part}_b"]) for part, x in (("Q", asking), ("K", seen), ("V", seen)))
        mixed, weights = attend(q, k, v, n_heads=self.settings["n_heads"], causal=causal)
        return affine(mixed, w["O_W"], w["O_b"]), weights

    def _add(self, name, x, change):
        return normalise(x + change, getattr(self, f"{name}_gain"), getattr(self, f"{name}_shift"))

    def _feed(self, name, x):
        w = {part: getattr(self, f"{name}_{part}") for part in ("feed_W", "feed_b", "back_W", "back_b")}
        units = torch.relu(affine(x, w["feed_W"], w["feed_b"]))
        return self._add(f"{name}_feed", x, affine(units, w["back_W"], w["back_b"]))

    def _positions(self, words):
        return as_positions(words, n_networks=len(self.words), n_words=self.end, device=self.words.device)

    def _ended(self, words):
        return functional.pad(words, (0, 1), value=self.end)


def sinusoids(n_steps: int, width: int) -> torch.Tensor:
    """Give the positions P (n_steps, width), float64, of an even width."""
    angle = torch.arange(n_steps).double()[:, None] / 10000 ** (torch.arange(0, width, 2).double() / width)
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


def _draw(settings: dict, generator) -> dict[str, torch.Tensor]:
    width, n_feed = settings["width"], settings["n_feed"]
    shapes = {"words": (len(settings["vocabulary"]) + 2, width)}
    for side, looks in (("encoder", ("self",)), ("decoder", ("self", "cross"))):
        for i in range(settings["n_blocks"]):
            for look in looks:
                of_look = {part: (width, width) if part.endswith("W") else (width,) for part in ATTENTION}
                of_look |= {"gain": (width,), "shift": (width,)}
                shapes |= {f"{side}{i + 1}_{look}_{part}": shape for part, shape in of_look.items()}
            shapes |= {
                f"{side}{i + 1}_feed_W": (width, n_feed),
                f"{side}{i + 1}_feed_b": (n_feed,),
                f"{side}{i + 1}_back_W": (n_feed, width),
                f"{side}{i + 1}_back_b": (width,),
                f"{side}{i + 1}_feed_gain": (width,),
                f"{side}{i + 1}_feed_shift": (width,),
            }
    return {name: _fresh(name, shape, generator) for name, shape in shapes.items()}


def _fresh(name, shape, generator):
    if name == "words":
        return shape[1] ** -0.5 * torch.randn(shape, generator=generator)
    if name.endswith("_W"):
        return uniform(shape, math.sqrt(6 / sum(shape)), generator)
    return torch.ones(shape) if name.endswith("gain") else torch.zeros(shape)
