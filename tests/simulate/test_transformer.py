import math

import pytest
import torch
from torch.nn import functional

from brainalign.errors import BrainalignError
from brainalign.simulate import attention_seq2seq, sizes
from brainalign.simulate.attention import attend, normalise
from brainalign.simulate.replicas import warmed_up
from brainalign.simulate.sequence_tasks import copying, shuffled
from brainalign.simulate.transformer import Transformer, sinusoids
from brainalign.simulate.word_network import load_network, save_network


def shaken(network):
    """Biases, gains and shifts as well as matrices away from where they start."""
    with torch.no_grad():
        for values in network.parameters():
            values += 0.2 * torch.randn(values.shape, generator=torch.Generator().manual_seed(values.numel()))
    return network


def fill(layer, network, side, looks, i):
    """Give torch's layer the weights of one replica."""
    w = {name.removeprefix(side): values[i] for name, values in network.named_parameters() if name.startswith(side)}
    with torch.no_grad():
        for number, look in enumerate(looks, start=1):
            ours = layer.self_attn if look == "self" else layer.multihead_attn
            ours.in_proj_weight.copy_(torch.cat([w[f"_{look}_{part}_W"].T for part in "QKV"]))
            ours.in_proj_bias.copy_(torch.cat([w[f"_{look}_{part}_b"] for part in "QKV"]))
            ours.out_proj.weight.copy_(w[f"_{look}_O_W"].T)
            ours.out_proj.bias.copy_(w[f"_{look}_O_b"])
            getattr(layer, f"norm{number}").weight.copy_(w[f"_{look}_gain"])
            getattr(layer, f"norm{number}").bias.copy_(w[f"_{look}_shift"])
        last = getattr(layer, f"norm{len(looks) + 1}")
        last.weight.copy_(w["_feed_gain"])
        last.bias.copy_(w["_feed_shift"])
        layer.linear1.weight.copy_(w["_feed_W"].T)
        layer.linear1.bias.copy_(w["_feed_b"])
        layer.linear2.weight.copy_(w["_back_W"].T)
        layer.linear2.bias.copy_(w["_back_b"])
    return layer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_torchs_encoder_and_decoder(dtype):
    network = shaken(Transformer("abcd", width=8, n_feed=12, n_networks=2, dtype=dtype))
    sources, targets = torch.tensor([3, 0, 1]), torch.tensor([2, 2])
    logits, _ = network(sources, targets)
    options = {"dim_feedforward": 12, "dropout": 0.0, "batch_first": True, "dtype": getattr(torch, dtype)}
    for i in range(2):
        embed = lambda words: math.sqrt(8) * network.words[i, words] + sinusoids(len(words), 8).to(network.words)  # noqa: B023, E731
        x, y = embed(torch.tensor([3, 0, 1, 4]))[None], embed(torch.tensor([5, 2, 2]))[None]
        for block in (1, 2):
            x = fill(torch.nn.TransformerEncoderLayer(8, 2, **options), network, f"encoder{block}", ["self"], i)(x)
        mask = torch.nn.Transformer.generate_square_subsequent_mask(3, dtype=y.dtype)
        for block in (1, 2):
            layer = torch.nn.TransformerDecoderLayer(8, 2, **options)
            y = fill(layer, network, f"decoder{block}", ["self", "cross"], i)(y, x, tgt_mask=mask)
        tolerance = 1e-4 if dtype == "float32" else 1e-11
        assert torch.allclose(logits[i], y @ network.words[i, :5].T, atol=tolerance)


def test_attention_and_norm_are_torchs():
    q, k, v = torch.randn(3, 2, 4, 6, 12, dtype=torch.float64)
    for causal in (False, True):
        mixed, weights = attend(q, k, v, n_heads=3, causal=causal)
        split = [part.unflatten(3, (3, 4)).transpose(2, 3) for part in (q, k, v)]
        expected = functional.scaled_dot_product_attention(*split, is_causal=causal).transpose(2, 3).flatten(3)
        assert torch.allclose(mixed, expected, atol=1e-12)
        assert torch.allclose(weights.sum(dim=4), torch.ones(2, 4, 3, 6, dtype=torch.float64))
        assert not causal or (weights.triu(diagonal=1) == 0).all()
    gain, shift = torch.randn(2, 2, 12, dtype=torch.float64)
    for i in range(2):
        expected = functional.layer_norm(q[i], (12,), gain[i], shift[i])
        assert torch.allclose(normalise(q, gain, shift)[i], expected, atol=1e-12)


def test_positions_are_sines_and_cosines():
    positions = sinusoids(20, 6)
    for t in (0, 3, 19):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            assert positions[t, 2 * i] == pytest.approx(math.sin(angle))
            assert positions[t, 2 * i + 1] == pytest.approx(math.cos(angle))


@pytest.mark.parametrize("t", range(5))
def test_a_word_changes_nothing_before_it_not_by_a_bit(t):
    network = Transformer("abcd", n_networks=3)
    sources, targets = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2, 3, 0])
    changed = targets.clone()
    changed[t] = (changed[t] + 1) % 4
    before, after = network(sources, targets)[0], network(sources, changed)[0]
    assert torch.equal(before[:, :, : t + 1], after[:, :, : t + 1])  # output t is said before word t is read
    assert (before[:, :, t + 1 :] != after[:, :, t + 1 :]).any(dim=3).all()


def test_without_positions_the_encoder_permutes_with_the_words():
    words, order = torch.tensor([0, 3, 1, 2, 1]), torch.tensor([4, 2, 0, 3, 1])
    for positions, same in ((False, True), (True, False)):
        network = Transformer("abcd", positions=positions, n_networks=2, dtype="float64")
        straight, mixed = network.states(words)["encoder2"], network.states(words[order])["encoder2"]
        assert torch.allclose(straight[:, order], mixed, atol=1e-12) == same


def test_maps_are_softmax_rows():
    maps = Transformer("abcd", n_networks=2)(torch.tensor([0, 1, 2]), torch.tensor([1, 2]))[1]
    assert maps.shape == (2, 1, 2, 2, 3, 4)
    assert torch.allclose(maps.sum(dim=5), torch.ones(2, 1, 2, 2, 3))
    assert (maps >= 0).all()


def test_asked_it_reads_what_it_said():
    network = shaken(Transformer("abcd", n_networks=2))
    said, maps = network.say(torch.tensor([1, 3, 0]))
    assert said.shape == (2, 1, 4)
    assert maps.shape == (2, 1, 2, 2, 4, 4)
    memory = network.encode(torch.tensor([1, 3, 0, network.end]).expand(2, 1, 4))["encoder2"]
    before = torch.cat([torch.full((2, 1, 1), 5), said[:, :, :-1]], dim=2)
    assert torch.equal(network.decode(memory, before)[0].argmax(dim=3), said)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_replica_learns_what_it_learns_alone_to_the_last_bit(dtype):
    options = {"width": 8, "n_feed": 8, "dtype": dtype}
    together, alone = Transformer("abc", n_networks=5, seed=2, **options), Transformer("abc", seed=4, **options)
    losses = [
        attention_seq2seq.learn(network, copying, lengths=(2, 4), n_updates=20, n_sequences=5)
        for network in (together, alone)
    ]
    assert torch.equal(losses[0][2], losses[1][0])
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours[2], theirs[0])


def test_copy_is_learned_with_positions_and_in_no_control():
    share = {}
    for name, task, positions, n_updates in (
        ("copy", copying, True, 250),
        ("bag", copying, False, 60),
        ("unrelated", shuffled, True, 60),
    ):
        network = Transformer("abcd", positions=positions, width=16, n_networks=2)
        share["untrained"] = attention_seq2seq.share_right(network, copying, n_steps=5)
        rate = warmed_up(0.01, n_warmup=20, n_updates=n_updates)
        attention_seq2seq.learn(network, task, lengths=(3, 4, 5), n_updates=n_updates, n_sequences=24, lr=rate)
        share[name] = attention_seq2seq.share_right(network, copying, n_steps=5)
    assert (share["copy"] > 0.8).all()
    for control in ("untrained", "bag", "unrelated"):
        assert (share[control] < 0.15).all()


def test_parameters_are_as_counted():
    network = Transformer("abcd", n_blocks=3, width=8, n_feed=20)
    counted = sum(sizes.transformer(3, 8, n_feed=20, n_words=6).values())
    assert counted == sum(values.numel() for values in network.parameters())


def test_a_folder_holds_a_transformer(tmp_path):
    network = Transformer("abc", n_networks=2)
    save_network(network, tmp_path)
    assert torch.equal(load_network(tmp_path).states([0, 1])["encoder1"], network.states([0, 1])["encoder1"])


@pytest.mark.parametrize("settings", [{"width": 9}, {"width": 8, "n_heads": 3}, {"n_blocks": 0}, {"n_networks": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(BrainalignError, match=r"must be|needed"):
        Transformer("abc", **settings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_gives_the_same():
    words = torch.tensor([0, 2, 1])
    cpu, gpu = (Transformer("abc", n_networks=3, dtype="float64", device=device) for device in ("cpu", "cuda"))
    assert torch.allclose(cpu(words, words)[0], gpu(words, words)[0].cpu(), atol=1e-12)
