"""An encoder reads a sequence, a decoder says another; without attention through one vector, with it by looking back.

Units of encoder and decoder (the gated units of Cho et al. 2014), for an input x and the state s before:

    z = logistic(W_z x + U_z s + b_z)        r = logistic(W_r x + U_r s + b_r)
    n = tanh(W x + U (r s) + b)              s' = (1 - z) s + z n

The encoder reads the sequence forwards and backwards; a source word j has the annotation h_j, both states side by side.
The decoder begins with s_0 = tanh(W_s [h at word 1, read backwards] + b_s) and says word i from

    e_ij = a' tanh(W_a s_{i-1} + U_a h_j + b_a)      a_ij = exp(e_ij) / sum_k exp(e_ik)      alignment
    c_i  = sum_j a_ij h_j                                                                    context
    s_i  = gated units with input [E y_{i-1}, c_i]
    t_i  = W_t [s_i, E y_{i-1}, c_i] + b_t, the larger of every two units (maxout)           logits = W_o t_i + b_o

Without attention c is the same for all i: the last state of either direction. All sequences end in END; the decoder is
given the right word before (teacher forcing) while it learns, and its own when it is asked. In print t_i is written
with s_{i-1}, which is taken for a slip here, since the text makes word i depend on s_i.

References
----------
Bahdanau, Cho & Bengio (2015), Neural machine translation by jointly learning to align and translate, ICLR, sections
3.1, 3.2 and appendix A. Cho et al. (2014), EMNLP, appendix. Oracle: the equations in numpy, word by word.
"""

import torch
from torch import nn
from torch.nn import functional

from brainalign.errors import BrainalignError
from brainalign.simulate.replicas import affine, as_positions, check_counts, descend, rows_of, stacked
from brainalign.simulate.sequence_tasks import for_networks, generators_of


class EncoderDecoder(nn.Module):
    """Recurrent encoder-decoder networks, several side by side.

    Parameters
    ----------
    vocabulary : sequence of str
        Symbols of source and target. END comes after them in both; START, after END, only enters the decoder.
    attention : bool
        Whether the decoder looks back at the annotations, or gets the last states only.
    n_hidden : int
        Units of each direction of the encoder, and of the decoder.
    n_code : int
        Width of the embeddings.
    n_align : int
        Units of the alignment model; also the maxout units before the output.
    n_networks, seed, dtype, device
        As of `lstm.LSTM`. Weights are drawn from N(0, 1 / n_inputs), biases are 0.

    Raises
    ------
    BrainalignError
        A setting is out of its range, or there is no GPU.
    """

    layer_names = ("forward", "backward")

    def __init__(
        self,
        vocabulary,
        *,
        attention: bool = True,
        n_hidden: int = 32,
        n_code: int = 16,
        n_align: int = 32,
        n_networks: int = 1,
        seed: int = 0,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        super().__init__()
        self.settings = {
            "vocabulary": list(vocabulary),
            "attention": attention,
            "n_hidden": n_hidden,
            "n_code": n_code,
            "n_align": n_align,
            "n_networks": n_networks,
            "seed": seed,
            "dtype": dtype,
        }
        if not self.settings["vocabulary"]:
            raise BrainalignError("vocabulary must name at least one symbol, got none")
        check_counts(self.settings, "n_hidden", "n_code", "n_align", "n_networks")
        shapes = _shapes(self.settings)
        where = {"n_networks": n_networks, "dtype": dtype, "device": device}
        for name, values in stacked(lambda generator: _normal(shapes, generator), seed=seed, **where).items():
            self.register_parameter(name, values)

    @property
    def end(self) -> int:
        """Position of END."""
        return len(self.settings["vocabulary"])

    def states(self, words) -> dict[str, torch.Tensor]:
        """Give the states of the encoder at each word of a source.

        Parameters
        ----------
        words : int (n_steps,) or (1 or n_networks, n_sequences, n_steps)

        Returns
        -------
        states : dict
            {"forward", "backward": (n_networks, [n_sequences,] n_steps, n_hidden)}; the backward state at a word has
            read the words from the last to this one.
        """
        words, alone = self._positions(words)
        forth, back = self.encode(words).chunk(2, dim=3)
        states = {"forward": forth, "backward": back}
        return {name: values[:, 0] for name, values in states.items()} if alone else states

    def encode(self, words: torch.Tensor) -> torch.Tensor:
        """Give the annotations of sources (n_networks, n_sequences, n_steps): (..., n_steps, 2 * n_hidden)."""
        code = rows_of(self.source_code, words)  # (n_networks, n_sequences, n_steps, n_code)
        both = torch.stack([code, code.flip(2)], dim=1).flatten(0, 1)  # directions are networks side by side
        weights = [getattr(self, f"encoder_{name}").flatten(0, 1) for name in ("W", "U", "N", "b")]
        driven = affine(both, weights[0], weights[3])
        state = driven.new_zeros(*driven.shape[:2], self.settings["n_hidden"])
        seen = []
        for step in driven.unbind(dim=2):
            state = _gated(step, state, weights[1], weights[2])
            seen.append(state)
        forth, back = torch.stack(seen, dim=2).unflatten(0, (-1, 2)).unbind(dim=1)
        return torch.cat([forth, back.flip(2)], dim=3)

    def decode(self, annotations, previous=None, *, n_words=None) -> tuple[torch.Tensor, torch.Tensor]:
        """Say the words of a target.

        Parameters
        ----------
        annotations : (n_networks, n_sequences, n_steps, 2 * n_hidden)
            From `encode`.
        previous : int64 (n_networks, n_sequences, n_words), optional
            The word before each, START first (teacher forcing); what the network itself has said if not given.
        n_words : int, optional
            How many words to say; needed without `previous`.

        Returns
        -------
        logits : (n_networks, n_sequences, n_words, n_symbols + 1)
            END is the last one.
        alignments : (n_networks, n_sequences, n_words, n_steps)
            Rows sum to 1; nan without attention.
        """
        n_words = previous.shape[2] if n_words is None else n_words
        state = torch.tanh(affine(annotations[:, :, 0].chunk(2, dim=2)[1], self.start_W, self.start_b))
        looked_at = affine(annotations, self.align_U, self.align_b) if self.settings["attention"] else None
        word = torch.full(state.shape[:2], self.end + 1, device=state.device)
        logits, alignments = [], []
        for t in range(n_words):
            word = word if previous is None else previous[:, :, t]
            context, alignment = self._look(state, annotations, looked_at)
            given = torch.cat([rows_of(self.target_code, word), context], dim=2)
            state = _gated(affine(given, self.decoder_W, self.decoder_b), state, self.decoder_U, self.decoder_N)
            maxout = affine(torch.cat([state, given], dim=2), self.out_T, self.out_t).unflatten(2, (-1, 2)).amax(dim=3)
            logits.append(affine(maxout, self.out_W, self.out_b))
            alignments.append(alignment)
            word = logits[-1].argmax(dim=2)
        return torch.stack(logits, dim=2), torch.stack(alignments, dim=2)

    def forward(self, sources, targets) -> tuple[torch.Tensor, torch.Tensor]:
        """Give logits and alignments under teacher forcing.

        Parameters
        ----------
        sources, targets : int (n_steps,) or (1 or n_networks, n_sequences, n_steps)
            Without START and END.

        Returns
        -------
        logits : (n_networks, n_sequences, n_words + 1, n_symbols + 1)
        alignments : (n_networks, n_sequences, n_words + 1, n_steps + 1)
        """
        sources, targets = self._positions(sources)[0], self._positions(targets)[0]
        return self.decode(self.encode(self._ended(sources)), _shifted(targets, start=self.end + 1))

    def say(self, sources) -> tuple[torch.Tensor, torch.Tensor]:
        """Give what the networks say to sources on their own, as many words as the source has and END, and alignments.

        Returns
        -------
        words : int64 (n_networks, n_sequences, n_steps + 1)
        alignments : (n_networks, n_sequences, n_steps + 1, n_steps + 1)
        """
        sources = self._ended(self._positions(sources)[0])
        with torch.no_grad():
            logits, alignments = self.decode(self.encode(sources), n_words=sources.shape[2])
        return logits.argmax(dim=3), alignments

    def _look(self, state, annotations, looked_at):
        """Give context (n_networks, n_sequences, 2 * n_hidden) and alignment (n_networks, n_sequences, n_steps)."""
        if looked_at is None:
            forth, back = annotations[:, :, -1].chunk(2, dim=2)[0], annotations[:, :, 0].chunk(2, dim=2)[1]
            return torch.cat([forth, back], dim=2), annotations.new_full(annotations.shape[:3], torch.nan)
        fit = torch.tanh(affine(state, self.align_W)[:, :, None] + looked_at)  # (..., n_steps, n_align)
        fit = (fit * self.align_a[:, None, None, :, 0]).sum(dim=3)  # bmm by one column rounds otherwise for one network
        alignment = torch.softmax(fit, dim=2)
        return (alignment[..., None] * annotations).sum(dim=2), alignment

    def _positions(self, words):
        n_networks, device = len(self.start_b), self.start_b.device
        return as_positions(words, n_networks=n_networks, n_words=self.end, device=device)

    def _ended(self, words):
        return functional.pad(words, (0, 1), value=self.end)


def learn(
    network: nn.Module, task, *, lengths, n_updates: int, n_sequences: int = 64, lr=0.01, **options
) -> torch.Tensor:
    """Teach an encoder-decoder, or a Transformer, a task of sources and targets, with teacher forcing.

    Loss: cross-entropy, mean over words and END.

    Parameters
    ----------
    network : EncoderDecoder or transformer.Transformer
    task : function of `sequence_tasks`
        `copying`, `reversal` or `shuffled`.
    lengths : sequence of int
        Of the sources; update i takes the lengths in turn.
    n_updates : int
    n_sequences : int
        Fresh ones for each network and update.
    lr : float or function
        Of Adam, see `replicas.descend`.
    **options
        Of the task.

    Returns
    -------
    losses : tensor (n_networks, n_updates)
    """
    generators = generators_of(network.settings["seed"], network.settings["n_networks"])
    n_symbols = len(network.settings["vocabulary"])

    def loss_of(i_update):
        length = {"n_steps": lengths[i_update % len(lengths)], "n_sequences": n_sequences}
        sources, targets = for_networks(generators, task, n_symbols=n_symbols, **length, **options)
        logits = network(sources, targets)[0]
        wanted = functional.pad(targets, (0, 1), value=n_symbols).to(logits.device)  # END after the last word
        return functional.cross_entropy(logits.movedim(3, 1), wanted, reduction="none").mean(dim=(1, 2))

    return descend(network, loss_of, n_updates=n_updates, lr=lr)


def share_right(network: nn.Module, task, *, n_steps: int, n_sequences: int = 200, seed: int = 10**6) -> torch.Tensor:
    """Give the share of fresh sequences said right to the last word and END, (n_networks,); the same for all."""
    n_symbols = len(network.settings["vocabulary"])
    sources, targets = task(
        torch.Generator().manual_seed(seed), n_sequences=n_sequences, n_steps=n_steps, n_symbols=n_symbols
    )
    said = network.say(sources[None])[0]
    wanted = functional.pad(targets, (0, 1), value=n_symbols).to(said.device)
    return (said == wanted).all(dim=2).double().mean(dim=1)


def share_aligned(alignments: torch.Tensor, *, reverse: bool, within: int = 0) -> torch.Tensor:
    """Give the share of words that are said while the largest weight lies where the word stands in the source.

    The annotation of a word has read its neighbours as well, so that it may serve to look one word beside.

    Parameters
    ----------
    alignments : (n_networks, n_sequences, n_words + 1, n_steps + 1), with n_words = n_steps
        END, the last row and column, is left out of the words, not of the columns.
    reverse : bool
        Whether word i is the source's word n - 1 - i (anti-diagonal), or its word i (diagonal).
    within : int
        Words beside the right one that still count.

    Returns
    -------
    shares : tensor (n_networks,), in [0, 1]
    """
    n_steps = alignments.shape[3] - 1
    where = torch.arange(n_steps, device=alignments.device)
    where = where.flip(0) if reverse else where
    beside = (alignments[:, :, :n_steps].argmax(dim=3) - where).abs()
    return (beside <= within).double().mean(dim=(1, 2))


def _gated(driven, state, gates, candidate):
    """One step of gated units; driven = W x + b of z, r and n side by side, (n_networks, n_sequences, 3 * n_hidden)."""
    of_gates, of_candidate = driven.split([2 * state.shape[2], state.shape[2]], dim=2)
    z, r = torch.sigmoid(torch.baddbmm(of_gates, state, gates)).chunk(2, dim=2)
    n = torch.tanh(torch.baddbmm(of_candidate, r * state, candidate))
    return (1 - z) * state + z * n


def _shifted(words, *, start):
    """Give the word before each and before END: START first."""
    return functional.pad(words, (1, 0), value=start)


def _shapes(settings: dict) -> dict[str, tuple[int, ...]]:
    n_symbols, n_hidden, n_code = len(settings["vocabulary"]), settings["n_hidden"], settings["n_code"]
    n_align, n_given = settings["n_align"], n_code + 2 * n_hidden
    shapes = {
        "source_code": (n_symbols + 1, n_code),
        "target_code": (n_symbols + 2, n_code),
        "encoder_W": (2, n_code, 3 * n_hidden),  # z, r, n
        "encoder_U": (2, n_hidden, 2 * n_hidden),  # z, r
        "encoder_N": (2, n_hidden, n_hidden),
        "encoder_b": (2, 3 * n_hidden),
        "start_W": (n_hidden, n_hidden),
        "start_b": (n_hidden,),
        "decoder_W": (n_given, 3 * n_hidden),
        "decoder_U": (n_hidden, 2 * n_hidden),
        "decoder_N": (n_hidden, n_hidden),
        "decoder_b": (3 * n_hidden,),
        "out_T": (n_hidden + n_given, 2 * n_align),
        "out_t": (2 * n_align,),
        "out_W": (n_align, n_symbols + 1),
        "out_b": (n_symbols + 1,),
    }
    if settings["attention"]:
        shapes |= {
            "align_W": (n_hidden, n_align),
            "align_U": (2 * n_hidden, n_align),
            "align_b": (n_align,),
            "align_a": (n_align, 1),
        }
    return shapes


def _normal(shapes, generator):
    """Draw N(0, 1 / n_inputs) for weights, N(0, 1) for embeddings, 0 for biases."""
    drawn = {}
    for name, shape in shapes.items():
        if name.endswith(("_b", "_t")):
            drawn[name] = torch.zeros(shape)
        else:
            scale = 1 if name.endswith("code") else shape[-2] ** -0.5
            drawn[name] = scale * torch.randn(shape, generator=generator)
    return drawn
