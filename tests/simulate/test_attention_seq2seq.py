import numpy as np
import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulate import attention_seq2seq
from brainalign.simulate.attention_seq2seq import EncoderDecoder
from brainalign.simulate.replicas import warmed_up
from brainalign.simulate.sequence_tasks import copying, reversal, shuffled
from brainalign.simulate.word_network import load_network, save_network

LETTERS = "abcdefghijklmnop"


def logistic(x):
    return 1 / (1 + np.exp(-x))


def gated(x, s, *weights):
    """Cho et al. (2014), one step."""
    W, U, N, b = weights  # noqa: N806
    n = len(s)
    z, r = (logistic(x @ W[:, part] + s @ U[:, part] + b[part]) for part in (slice(0, n), slice(n, 2 * n)))
    return (1 - z) * s + z * np.tanh(x @ W[:, 2 * n :] + (r * s) @ N + b[2 * n :])


@pytest.mark.parametrize("attention", [True, False])
def test_it_is_the_equations_word_by_word(attention):
    network = EncoderDecoder("abc", attention=attention, n_hidden=4, n_code=3, n_align=5, n_networks=2, seed=1,
                             dtype="float64")  # fmt: skip
    with torch.no_grad():
        for values in network.parameters():
            values += 0.1 * torch.randn_like(values)  # biases too
    sources, targets = torch.tensor([2, 0, 1, 1]), torch.tensor([1, 1, 0])
    logits, alignments = network(sources, targets)
    for i in range(2):
        w = {name: values[i].detach().numpy() for name, values in network.named_parameters()}
        code = w["source_code"][[2, 0, 1, 1, 3]]
        states = []
        for direction, order in enumerate((range(5), range(4, -1, -1))):
            state, seen = np.zeros(4), {}
            for j in order:
                weights = [w[f"encoder_{name}"][direction] for name in ("W", "U", "N", "b")]
                state = seen[j] = gated(code[j], state, *weights)
            states.append(np.stack([seen[j] for j in range(5)]))
        h = np.concatenate(states, axis=1)
        s = np.tanh(states[1][0] @ w["start_W"] + w["start_b"])
        for t, before in enumerate([4, 1, 1, 0]):
            if attention:
                fit = np.tanh(s @ w["align_W"] + h @ w["align_U"] + w["align_b"]) @ w["align_a"][:, 0]
                a = np.exp(fit) / np.exp(fit).sum()
                context = a @ h
                assert alignments[i, 0, t].detach().numpy() == pytest.approx(a)
            else:
                context = np.concatenate([states[0][4], states[1][0]])
            given = np.concatenate([w["target_code"][before], context])
            s = gated(given, s, w["decoder_W"], w["decoder_U"], w["decoder_N"], w["decoder_b"])
            maxout = (np.concatenate([s, given]) @ w["out_T"] + w["out_t"]).reshape(-1, 2).max(axis=1)
            assert logits[i, 0, t].detach().numpy() == pytest.approx(maxout @ w["out_W"] + w["out_b"])
    assert torch.isnan(alignments).all() != attention


def test_rows_of_the_alignment_sum_to_1_and_words_ahead_do_not_matter():
    network = EncoderDecoder("abc", n_networks=2)
    sources = torch.tensor([0, 1, 2])
    logits, alignments = network(sources, torch.tensor([0, 1, 2]))
    changed, _ = network(sources, torch.tensor([0, 1, 0]))
    assert torch.allclose(alignments.sum(dim=3), torch.ones(2, 1, 4))
    assert torch.equal(logits[:, :, :3], changed[:, :, :3])  # START, 0, 1 were read
    assert not torch.allclose(logits[:, :, 3], changed[:, :, 3])


def test_asked_it_reads_what_it_said():
    network = EncoderDecoder("abcd", n_networks=2, seed=4)
    said, _ = network.say(torch.tensor([1, 3, 0]))
    before = torch.cat([torch.full((2, 1, 1), 5), said[:, :, :-1]], dim=2)
    ended = torch.tensor([1, 3, 0, network.end]).expand(2, 1, 4)
    logits, _ = network.decode(network.encode(ended), before)
    assert torch.equal(logits.argmax(dim=3), said)


def test_states_have_read_from_either_end():
    network = EncoderDecoder("abc", n_hidden=4, n_networks=2)
    states, other = network.states([0, 1, 2]), network.states([0, 1, 1])
    assert states["forward"].shape == states["backward"].shape == (2, 3, 4)
    assert torch.equal(states["forward"][:, :2], other["forward"][:, :2])
    assert not torch.allclose(states["backward"][:, 0], other["backward"][:, 0])


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_replica_learns_what_it_learns_alone_to_the_last_bit(dtype, attention):
    options = {"n_hidden": 8, "n_code": 4, "n_align": 16, "dtype": dtype, "attention": attention}
    together, alone = EncoderDecoder("abc", n_networks=5, seed=2, **options), EncoderDecoder("abc", seed=4, **options)
    losses = [
        attention_seq2seq.learn(network, copying, lengths=(2, 4), n_updates=20, n_sequences=8)
        for network in (together, alone)
    ]
    assert torch.equal(losses[0][2], losses[1][0])
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours[2], theirs[0])


def test_alignments_are_judged_by_their_largest_weight():
    diagonal = torch.eye(5)[None, None]  # four words and END
    assert attention_seq2seq.share_aligned(diagonal, reverse=False) == 1
    assert attention_seq2seq.share_aligned(diagonal, reverse=True) == 0
    beside = diagonal.roll(1, dims=3)
    assert attention_seq2seq.share_aligned(beside, reverse=False) == 0
    assert attention_seq2seq.share_aligned(beside, reverse=False, within=1) == 1
    anti = torch.zeros(1, 1, 5, 5)
    anti[0, 0, range(4), range(3, -1, -1)] = 1
    assert attention_seq2seq.share_aligned(anti, reverse=True) == 1


def test_who_does_not_end_is_not_right():
    class Copier:
        """Says what it reads; the second network says another letter in the place of END."""

        settings = EncoderDecoder("abc").settings

        def say(self, sources):
            words = sources.expand(2, -1, -1)
            last = torch.tensor([3, 0])[:, None, None].expand(2, words.shape[1], 1)
            return torch.cat([words, last], dim=2), None

    assert attention_seq2seq.share_right(Copier(), copying, n_steps=3).tolist() == [1, 0]


def taught(task, *, attention, n_updates=220):
    network = EncoderDecoder(LETTERS, attention=attention, n_hidden=24, n_networks=2)
    rate = warmed_up(0.015, n_warmup=15, n_updates=n_updates)
    attention_seq2seq.learn(network, task, lengths=range(2, 8), n_updates=n_updates, n_sequences=24, lr=rate)
    return network


def test_with_attention_reversal_is_learned_along_the_anti_diagonal_and_without_it_falls_with_length():
    looks, squeezed = taught(reversal, attention=True), taught(reversal, attention=False)
    share = {
        (name, n): attention_seq2seq.share_right(network, reversal, n_steps=n)
        for name, network in (("looks", looks), ("squeezed", squeezed))
        for n in (2, 7)
    }
    assert (share["looks", 7] > 0.75).all()
    assert (share["squeezed", 7] < 0.4).all()
    assert (share["squeezed", 2] > share["squeezed", 7] + 0.3).all()
    sources, _ = reversal(torch.Generator().manual_seed(9), n_sequences=100, n_steps=7, n_symbols=16)
    alignments = looks.say(sources[None])[1]
    assert (attention_seq2seq.share_aligned(alignments, reverse=True) > 0.6).all()
    assert (attention_seq2seq.share_aligned(alignments, reverse=True, within=1) > 0.9).all()
    assert (attention_seq2seq.share_aligned(alignments, reverse=False) < 0.35).all()
    fresh = EncoderDecoder(LETTERS, n_hidden=24, n_networks=2)
    assert (attention_seq2seq.share_aligned(fresh.say(sources[None])[1], reverse=True) < 0.4).all()
    assert (attention_seq2seq.share_right(fresh, reversal, n_steps=2) < 0.1).all()


def test_unrelated_targets_are_not_learned():
    network = taught(shuffled, attention=True, n_updates=40)
    assert (attention_seq2seq.share_right(network, copying, n_steps=3) < 0.05).all()


def test_a_folder_holds_an_encoder_decoder(tmp_path):
    network = EncoderDecoder("abc", n_networks=2)
    save_network(network, tmp_path)
    assert torch.equal(load_network(tmp_path).states([0, 1])["forward"], network.states([0, 1])["forward"])


@pytest.mark.parametrize("words", [[0, 3], [-1], [0.5, 1.0], [[0, 1], [1, 0]], []])
def test_words_that_do_not_fit_are_refused(words):
    with pytest.raises(BrainalignError, match="words must be"):
        EncoderDecoder("abc").states(words)


def test_settings_out_of_range_are_refused():
    with pytest.raises(BrainalignError, match="n_align must be"):
        EncoderDecoder("abc", n_align=0)
    with pytest.raises(BrainalignError, match="one symbol"):
        EncoderDecoder("")
