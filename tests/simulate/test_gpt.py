import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from brainalign.errors import BrainalignError
from brainalign.simulate import gpt, sizes
from brainalign.simulate.gpt import GPT
from brainalign.simulate.replicas import warmed_up
from brainalign.simulate.sequence_tasks import all_sequences
from brainalign.simulate.word_network import load_network, save_network

THEIRS = {
    "norm1_gain": "ln_1.weight",
    "norm1_shift": "ln_1.bias",
    "attention_W": "attn.c_attn.weight",
    "attention_b": "attn.c_attn.bias",
    "mix_W": "attn.c_proj.weight",
    "mix_b": "attn.c_proj.bias",
    "norm2_gain": "ln_2.weight",
    "norm2_shift": "ln_2.bias",
    "feed_W": "mlp.c_fc.weight",
    "feed_b": "mlp.c_fc.bias",
    "back_W": "mlp.c_proj.weight",
    "back_b": "mlp.c_proj.bias",
}


def as_gpt2(network, i):
    """GPT2LMHeadModel of transformers with the weights of one replica."""
    settings = network.settings
    config = GPT2Config(
        vocab_size=len(settings["vocabulary"]), n_positions=settings["n_context"], n_embd=settings["width"],
        n_layer=settings["n_blocks"], n_head=settings["n_heads"], tie_word_embeddings=not settings["separate_head"],
        attn_implementation="eager", bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).to(network.words.dtype).eval()
    ours = {name: values[i].detach() for name, values in network.named_parameters()}
    state = {"transformer.wte.weight": ours["words"], "transformer.wpe.weight": ours["positions"]}
    state |= {"transformer.ln_f.weight": ours["last_gain"], "transformer.ln_f.bias": ours["last_shift"]}
    state["lm_head.weight"] = ours["head" if settings["separate_head"] else "words"]
    for block in range(settings["n_blocks"]):
        for name, theirs in THEIRS.items():
            absent = torch.zeros_like(model.state_dict()[f"transformer.h.{block}.{theirs}"])
            state[f"transformer.h.{block}.{theirs}"] = ours.get(f"block{block + 1}_{name}", absent)
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("settings", [{}, {"separate_head": True}, {"attention_biases": False}, {"dtype": "float32"}])
def test_it_is_the_gpt2_of_transformers(settings):
    network = GPT(n_networks=2, **({"dtype": "float64"} | settings))
    with torch.no_grad():
        for values in network.parameters():
            values += 0.2 * torch.randn_like(values)  # biases too
    words = torch.randint(3, (2, 4, 11))
    logits, maps, states = network(words), network.attention(words), network.states(words)
    tolerance = 1e-4 if settings.get("dtype") == "float32" else 1e-10
    for i in range(2):
        with torch.no_grad():
            theirs = as_gpt2(network, i)(words[i], output_attentions=True, output_hidden_states=True)
        assert torch.allclose(logits[i], theirs.logits, atol=tolerance)
        assert torch.allclose(maps[i], torch.stack(theirs.attentions, dim=1), atol=tolerance)
        for name, expected in zip(("embeddings", "block1", "block2", "final"), theirs.hidden_states, strict=True):
            assert torch.allclose(states[name][i], expected, atol=tolerance)


def test_anchor_a29_parameters_of_the_network_that_sorts():
    assert GPT().n_parameters() == 85_584
    assert GPT(separate_head=True).n_parameters() == 85_728
    assert GPT(attention_biases=False).n_parameters() == 85_008


@pytest.mark.parametrize("options", [{}, {"separate_head": True}, {"attention_biases": False}])
def test_parameters_are_as_counted(options):
    network = GPT("abcde", n_context=7, n_blocks=2, n_heads=2, width=6, n_networks=2, **options)
    assert network.n_parameters() == sum(sizes.gpt(2, 6, n_words=5, n_context=7, **options).values())


@pytest.mark.parametrize("t", range(6))
def test_a_letter_changes_nothing_before_it_not_by_a_bit(t):
    network, words = GPT(n_networks=3), torch.tensor([0, 1, 2, 2, 1, 0])
    changed = words.clone()
    changed[t] = (changed[t] + 1) % 3
    before, after = network(words), network(changed)
    assert torch.equal(before[:, :t], after[:, :t])
    assert (before[:, t:] != after[:, t:]).any(dim=2).all()


def test_maps_are_causal_softmax_rows():
    maps = GPT(n_networks=2).attention(torch.tensor([0, 1, 2, 0]))
    assert maps.shape == (2, 3, 3, 4, 4)
    assert torch.allclose(maps.sum(dim=4), torch.ones(2, 3, 3, 4))
    assert (maps.triu(diagonal=1) == 0).all()


def test_sorting_goes_letter_by_letter():
    network = GPT(n_networks=2)
    letters = torch.tensor([[2, 0, 1, 1, 0, 2]])
    answers = gpt.sort(network, letters)
    assert answers.shape == (2, 1, 6)
    read = torch.cat([letters.expand(2, 1, 6), answers[:, :, :5]], dim=2)
    assert torch.equal(network(read)[:, :, 5:].argmax(dim=3), answers)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_replica_learns_what_it_learns_alone_to_the_last_bit(dtype):
    together, alone = GPT(n_networks=5, seed=2, dtype=dtype), GPT(seed=4, dtype=dtype)
    losses = [gpt.learn_to_sort(network, n_updates=20, n_sequences=6, held_out=0.3) for network in (together, alone)]
    assert torch.equal(losses[0][2], losses[1][0])
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours[2], theirs[0])
    assert torch.equal(gpt.held_out_sequences(together, 0.3)[2], gpt.held_out_sequences(alone, 0.3)[0])


def test_weights_at_the_end_of_a_branch_begin_smaller():
    network = GPT(n_blocks=2, n_networks=2)
    for name, values in network.named_parameters():
        if name.endswith("_W") or name in ("words", "positions"):
            wanted = 0.02 / 2 if name.endswith(("mix_W", "back_W")) else 0.02  # 2 blocks have 4 branches
            assert float(values.detach().std()) == pytest.approx(wanted, rel=0.15)


def test_all_729_inputs_are_sorted_a_quarter_of_them_never_seen():
    n_updates, network = 400, GPT(n_networks=2)
    assert (gpt.sorted_right(network).sum(dim=1) < 30).all()
    rate = warmed_up(0.001, n_warmup=20, n_updates=n_updates)
    gpt.learn_to_sort(network, n_updates=n_updates, n_sequences=64, lr=rate, held_out=0.25)
    right = gpt.sorted_right(network)
    unseen = gpt.held_out_sequences(network, 0.25)
    assert unseen.sum(dim=1).tolist() == [182] * 2
    assert right.sum(dim=1).tolist() == [729, 729]


def test_what_is_held_out_decides_nothing():
    sorted_ = all_sequences(3, 6).sort(dim=1).values
    weights = {}
    for name, changed in (("as is", None), ("held out", True), ("learned", False)):
        network = GPT(seed=3)
        where = gpt.held_out_sequences(network, 0.25)[0]
        answers = sorted_.clone()
        if changed is not None:
            answers[where == changed] = answers[where == changed].flip(1)
        gpt.learn_to_sort(network, n_updates=2, n_sequences=8, held_out=0.25, answers=answers)
        weights[name] = network.words.detach()
    assert torch.equal(weights["as is"], weights["held out"])
    assert not torch.equal(weights["as is"], weights["learned"])
    of_seeds = gpt.held_out_sequences(GPT(n_networks=2), 0.25)
    assert not torch.equal(of_seeds[0], of_seeds[1])


def test_answers_of_others_are_not_learned():
    network = GPT()
    others = all_sequences(3, 6)[torch.randperm(729, generator=torch.Generator().manual_seed(0))].sort(dim=1).values
    gpt.learn_to_sort(network, n_updates=60, n_sequences=48, lr=0.004, answers=others)
    assert gpt.sorted_right(network).sum() < 200


def test_a_folder_holds_a_gpt_and_reads_words(tmp_path):
    network = GPT(n_networks=2)
    save_network(network, tmp_path)
    states = load_network(tmp_path).states([2, 1, 0])
    assert list(states) == list(network.layer_names) == ["embeddings", "block1", "block2", "block3", "final"]
    assert states["final"].shape == (2, 3, 48)
    assert torch.equal(states["final"], network.states([2, 1, 0])["final"])


def test_what_does_not_fit_is_refused():
    with pytest.raises(BrainalignError, match="12 words are more than its context of 11"):
        GPT()(torch.zeros(12, dtype=torch.long))
    with pytest.raises(BrainalignError, match="multiple of n_heads"):
        GPT(width=47)
    with pytest.raises(BrainalignError, match=r"held_out must be a share in \[0, 1\)"):
        gpt.learn_to_sort(GPT(), n_updates=1, held_out=1.0)
    with pytest.raises(BrainalignError, match=r"leaves one of 729 sequences, got 0\.9999"):
        gpt.learn_to_sort(GPT(), n_updates=1, held_out=0.9999)
    with pytest.raises(BrainalignError, match="positions from 0 to 2"):
        GPT()(torch.tensor([3]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_gives_the_same():
    words = torch.randint(3, (1, 5, 11))
    cpu, gpu = (GPT(n_networks=3, dtype="float64", device=device) for device in ("cpu", "cuda"))
    assert torch.allclose(cpu(words), gpu(words).cpu(), atol=1e-12)
