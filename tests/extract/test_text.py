"""Hidden states of language models."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError, UnknownName
from brainalign.extract import EXTRACTORS, text
from brainalign.extract._contexts import texts_in_context
from brainalign.extract._model import load_config, load_trained

MIN_CONTEXT = 5

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]


def config_of(folder, **settings):
    return text.Config(model=str(folder), **({"min_context": MIN_CONTEXT} | settings))


def values_of(events, config, **options):
    return np.stack([layer.values for layer in text.extract(events, config, **options).values()])


def plain_forward(model, ids):
    with torch.inference_mode():
        return torch.stack(model(torch.tensor([ids]), output_hidden_states=True).hidden_states)[:, 0].numpy()


def tokens_by_plain_calls(folder, words):
    """Ids and words of tokens: each word alone, as these tokenizers put a space before a text themselves."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    return [i for piece in pieces for i in piece], np.repeat(np.arange(len(words)), [len(piece) for piece in pieces])


def pooled(states, owner, pooling):
    """states (n_layers, n_tokens, width) -> (n_layers, n_words, width)."""
    of_word = [states[:, owner == i] for i in range(owner.max() + 1)]
    pool = {"last": lambda s: s[:, -1], "mean": lambda s: s.mean(1), "sum": lambda s: s.sum(1)}[pooling]
    return np.stack([pool(each) for each in of_word], axis=1)


def brute_force(folder, events, *, size, before=MIN_CONTEXT, pooling="last", begin=()):
    """One forward pass per token over exactly the tokens that its window holds up to it."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    results = []
    for _, of_run in events.groupby("run", sort=False):
        ids, owner = tokens_by_plain_calls(folder, of_run["word"])
        states = []
        for t in range(len(ids)):
            start = 0 if t < size else (t - before) // (size - before) * (size - before)
            states.append(plain_forward(model, [*begin, *ids[start : t + 1]])[:, -1])
        results.append(pooled(np.stack(states, axis=1), owner, pooling))
    return np.concatenate(results, axis=1)


@pytest.mark.parametrize("pooling", ["last", "mean", "sum"])
def test_equals_one_forward_pass_per_token(gpt2_folder, story, pooling):
    got = values_of(story, config_of(gpt2_folder, pooling=pooling))
    expected = brute_force(gpt2_folder, story, size=32, pooling=pooling)
    assert got.shape == (3, len(story), 16)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_equals_one_forward_pass_per_token_for_rotary_positions(llama_folder, story):
    got = values_of(story, config_of(llama_folder, batch_size=3))
    np.testing.assert_allclose(got, brute_force(llama_folder, story, size=48), atol=1e-5)


def test_a_shorter_window_and_the_beginning_of_text_token(gpt2_folder, story):
    got = values_of(story, config_of(gpt2_folder, window=12, prepend_bos=True))
    np.testing.assert_allclose(got, brute_force(gpt2_folder, story, size=11, begin=(0,)), atol=1e-5)
    assert not np.allclose(got, values_of(story, config_of(gpt2_folder, window=12)), atol=1e-2)


@pytest.mark.parametrize("which", ["bert_folder", "roberta_folder"])
def test_masked_models_read_whole_windows_with_context_on_both_sides(which, story, request):
    folder = request.getfixturevalue(which)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    size, stride = 22, 22 - 2 * MIN_CONTEXT  # 24 positions, two of them for special tokens
    expected = []
    for _, of_run in story.groupby("run", sort=False):
        ids, owner = tokens_by_plain_calls(folder, of_run["word"])
        n_windows = 1 + max(0, -(-(len(ids) - size) // stride))
        states = []
        for t in range(len(ids)):
            i_window = min(max(t - MIN_CONTEXT, 0) // stride, n_windows - 1)
            piece = ids[i_window * stride : i_window * stride + size]
            around = [tokenizer.cls_token_id, *piece, tokenizer.sep_token_id]
            states.append(plain_forward(model, around)[:, 1 + t - i_window * stride])
        expected.append(pooled(np.stack(states, axis=1), owner, "mean"))
    got = text.extract(story, config_of(folder, pooling="mean", batch_size=4))
    np.testing.assert_allclose(
        np.stack([layer.values for layer in got.values()]), np.concatenate(expected, axis=1), atol=1e-5
    )
    assert got["0"].provenance["reads"] == "both ways"


def test_fault_16_text_longer_than_the_context(long_gpt2_folder, word_events, sentences):
    events = word_events((" ".join(sentences) + " ").split() * 15, ["the", "book"])
    ids, owner = tokens_by_plain_calls(long_gpt2_folder, events.loc[events["run"] == "1", "word"])
    model = transformers.AutoModel.from_pretrained(long_gpt2_folder, dtype=torch.float32).eval()
    assert len(ids) > 1200
    with pytest.raises(IndexError):
        plain_forward(model, ids)
    activations = text.extract(events, config_of(long_gpt2_folder, min_context=64))
    assert activations["2"].provenance["n_windows"] == 3
    for word in (3, owner[1023] - 1, owner[1024] + 1, owner[-1]):
        t = np.flatnonzero(owner == word)[-1]
        start = 0 if t < 1024 else 960
        expected = plain_forward(model, ids[start : t + 1])[:, -1]
        np.testing.assert_allclose([layer.values[word] for layer in activations.values()], expected, atol=1e-5)


def test_fault_17_tokenizer_of_another_model(make, story, tmp_path):
    folder = make.save(tmp_path, make.tiny_gpt2(vocab_size=300), make.byte_level_tokenizer())
    with pytest.raises(BrainalignError, match=r"outside the vocabulary of 300 .*400 tokens\) belongs to another model"):
        text.extract(story, config_of(folder))
    assert "outside the vocabulary" in text.check(story, config_of(folder))[0]


def test_fault_17_special_tokens_of_another_model(make, story, tmp_path):
    tokenizer = make.byte_level_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    folder = make.save(tmp_path, make.tiny_gpt2(), tokenizer)
    assert text.check(story, config_of(folder)) == []
    (problem,) = text.check(story, config_of(folder, prepend_bos=True))
    assert problem.startswith("token '<|begin|>' has id 400, outside the vocabulary of 400 ")


def test_faults_19_and_21_batches_change_nothing(gpt2_folder, story, word_events, sentences):
    both = pd.concat(
        [story, word_events(sentences[0].split(), ["so"], ["her", "own"]).assign(run=lambda e: "x" + e["run"])]
    )
    single = values_of(both, config_of(gpt2_folder, batch_size=1))
    for batch_size in (2, 7, 32, "auto"):
        np.testing.assert_allclose(values_of(both, config_of(gpt2_folder, batch_size=batch_size)), single, atol=1e-5)


@pytest.mark.parametrize("kind", ["Bert", "FNet", "ConvBert"])
def test_fault_19_nothing_is_padded(kind, make, word_events, sentences, tmp_path):
    """Fourier transforms and convolutions would see the padding."""
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 32, "max_position_embeddings": 24}
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForMaskedLM")(getattr(transformers, f"{kind}Config")(vocab_size=200, **sizes))
    folder = make.save(tmp_path, make.as_if_trained(model), make.word_piece_tokenizer())
    events = word_events(*[sentence.split()[: 3 + i] for i, sentence in enumerate(sentences)])
    together, alone = (values_of(events, config_of(folder, batch_size=n)) for n in (5, 1))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_model_that_pads_within_is_refused(make, story, tmp_path):
    torch.manual_seed(0)
    config = transformers.BigBirdConfig(
        vocab_size=200,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        block_size=2,
        num_random_blocks=1,
    )
    model = make.as_if_trained(transformers.BigBirdForMaskedLM(config))
    folder = make.save(tmp_path, model, make.word_piece_tokenizer())
    with pytest.raises(BrainalignError, match=r"layers \['0', '1'.*\]: these do not give one vector per token \(but"):
        text.extract(story, config_of(folder, window=61))
    assert text.extract(story, config_of(folder, window=14))["2"].shape == (len(story), 16)


def test_a_model_that_always_runs_its_pooler(make, story, tmp_path):
    sizes = {"hidden_size": 16, "embedding_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = transformers.SqueezeBertForMaskedLM(
        transformers.SqueezeBertConfig(vocab_size=200, intermediate_size=32, max_position_embeddings=24, **sizes)
    )
    folder = make.save(tmp_path, make.as_if_trained(model), make.word_piece_tokenizer())
    assert text.extract(story, config_of(folder))["2"].shape == (len(story), 16)


def test_fault_20_dropout_is_off(gpt2_folder, story):
    assert load_config(gpt2_folder).attn_pdrop > 0
    first, second = (values_of(story, config_of(gpt2_folder)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_fault_25_bfloat16_is_returned_as_float32(gpt2_folder, story):
    exact = values_of(story, config_of(gpt2_folder))
    coarse = values_of(story, config_of(gpt2_folder, dtype="bfloat16"))
    assert coarse.dtype == np.float32
    assert 0 < np.abs(coarse - exact).max() < 0.1 * np.abs(exact).max()


def test_fault_26_float16_files_do_not_overflow(make, story, tmp_path):
    model = make.tiny_gpt2()
    with torch.no_grad():
        model.transformer.wte.weight.fill_(60000.0)
        model.transformer.wpe.weight.fill_(60000.0)
    folder = make.save(tmp_path, model.half(), make.byte_level_tokenizer())
    values = values_of(story, config_of(folder, layers=(0,)))
    np.testing.assert_array_equal(values, 120000.0 - 2 * (60000 - float(np.float16(60000))))


def test_fault_27_a_value_that_is_not_finite_is_named(make, story, tmp_path):
    tokenizer = make.byte_level_tokenizer()
    model = make.tiny_gpt2()
    row = tokenizer(" remarkable", add_special_tokens=False)["input_ids"][-1]
    with torch.no_grad():
        model.transformer.wte.weight[row] = float("nan")
    folder = make.save(tmp_path, model, tokenizer)
    i_event = story.index[story["word"] == "remarkable"][0]
    with pytest.raises(
        BrainalignError, match=rf"layer 0: .* 2 events .* first is word 'remarkable' \(run '1', event {i_event}\)"
    ):
        text.extract(story, config_of(folder))


def test_fault_29_the_same_stimulus_twice(gpt2_folder, word_events, sentences):
    words = " ".join(sentences).split()
    values = values_of(word_events(words, ["very", "tired"], words), config_of(gpt2_folder, batch_size=4))
    np.testing.assert_allclose(values[:, : len(words)], values[:, -len(words) :], atol=1e-6)
    as_sentences = word_events([sentences[0], sentences[1], sentences[0]]).rename(columns={"word": "sentence"})
    values = values_of(as_sentences, config_of(gpt2_folder))
    np.testing.assert_allclose(values[:, 0], values[:, 2], atol=1e-6)
    assert not np.allclose(values[:, 0], values[:, 1], atol=1e-2)


@pytest.mark.parametrize("pooling", ["last", "mean", "sum"])
def test_sentences_are_texts_of_their_own(gpt2_folder, word_events, sentences, pooling):
    events = word_events(list(sentences)).rename(columns={"word": "sentence"})
    model = transformers.AutoModel.from_pretrained(gpt2_folder, dtype=torch.float32).eval()
    expected = []
    for sentence in sentences:
        ids, owner = tokens_by_plain_calls(gpt2_folder, [sentence])
        expected.append(pooled(plain_forward(model, ids), owner, pooling)[:, 0])
    got = text.extract(events, config_of(gpt2_folder, pooling=pooling))
    np.testing.assert_allclose(
        np.stack([layer.values for layer in got.values()]), np.stack(expected, axis=1), atol=1e-5
    )
    assert got["0"].rows["sentence"].tolist() == list(sentences)


def test_nothing_crosses_a_run(gpt2_folder, story, word_events, sentences):
    config = config_of(gpt2_folder)
    second_run = story[story["run"] == "2"]
    np.testing.assert_allclose(values_of(story, config)[:, -3:], values_of(second_run, config), atol=1e-6)
    changed = word_events(sentences[1].split(), second_run["word"])
    np.testing.assert_allclose(values_of(changed, config)[:, -3:], values_of(second_run, config), atol=1e-6)


def test_rows_follow_the_events_whatever_their_index_and_the_order_of_runs(gpt2_folder, story):
    config = config_of(gpt2_folder)
    straight = text.extract(story, config)["1"]
    mixed = story.sort_values("onset", kind="stable").assign(surprisal=1.0)
    got = text.extract(mixed, config)["1"]
    pd.testing.assert_frame_equal(got.rows, mixed[["run", "onset", "duration", "word"]].reset_index(drop=True))
    np.testing.assert_allclose(got.values, straight.values[mixed.index], atol=1e-6)


def test_fault_9_layers(gpt2_folder, story):
    assert text.layer_names(config_of(gpt2_folder)) == ("0", "1", "2")
    assert text.layer_names(config_of(gpt2_folder, layers=(-1, 0, 2, 0))) == ("0", "2")
    whole, part = (text.extract(story, config_of(gpt2_folder, layers=layers)) for layers in ("all", (-1, 0, 2, 0)))
    assert list(whole) == ["0", "1", "2"]
    assert list(part) == ["0", "2"]
    assert part["2"].columns["layer"].unique().tolist() == ["2"]
    assert part["2"].columns["unit"].tolist() == [str(i) for i in range(16)]
    np.testing.assert_array_equal(part["2"].values, whole["2"].values)
    for layers, named in (((3,), "3"), ((-4, 1), "-4")):
        with pytest.raises(BrainalignError, match=rf"layers \[{named}\]: .* has layers 0 \(embeddings\) to 2"):
            text.layer_names(config_of(gpt2_folder, layers=layers))


def test_the_last_layer_has_passed_the_final_norm(gpt2_folder, story):
    model = transformers.GPT2LMHeadModel.from_pretrained(gpt2_folder, dtype=torch.float32).eval()
    ids, owner = tokens_by_plain_calls(gpt2_folder, story.loc[story["run"] == "2", "word"])
    with torch.inference_mode():
        embedded = model.transformer.wte(torch.tensor(ids)) + model.transformer.wpe(torch.arange(len(ids)))
        normed = model.transformer(torch.tensor([ids])).last_hidden_state[0]
    last = np.flatnonzero(np.diff(owner, append=-1))
    activations = text.extract(story[story["run"] == "2"], config_of(gpt2_folder))
    np.testing.assert_allclose(activations["0"].values, embedded.numpy()[last], atol=1e-6)
    np.testing.assert_allclose(activations["2"].values, normed.numpy()[last], atol=1e-5)


def test_untrained_is_another_model_of_the_same_configuration(gpt2_folder, story):
    config = config_of(gpt2_folder, weights=("trained", "untrained"))
    state = torch.get_rng_state()
    trained, untrained = (values_of(story, config, weights=weights) for weights in config.weights)
    assert torch.equal(state, torch.get_rng_state())
    assert untrained.shape == trained.shape
    assert np.abs(np.corrcoef(trained[1].ravel(), untrained[1].ravel())[0, 1]) < 0.3
    np.testing.assert_array_equal(values_of(story, config, weights="untrained"), untrained)
    other = values_of(story, config_of(gpt2_folder, seed=1), weights="untrained")
    assert not np.allclose(other, untrained, atol=1e-2)


def test_untrained_is_built_in_float32_from_a_float16_folder(make, story, gpt2_folder, tmp_path):
    half = make.save(tmp_path, make.tiny_gpt2().half(), make.byte_level_tokenizer())
    np.testing.assert_array_equal(
        values_of(story, config_of(half), weights="untrained"),
        values_of(story, config_of(gpt2_folder), weights="untrained"),
    )


def test_fingerprint_follows_the_files(gpt2_folder, tmp_path):
    config = config_of(gpt2_folder)
    trained, untrained = (text.fingerprint(config, weights=weights) for weights in ("trained", "untrained"))
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(trained)
    assert {"config.json", "tokenizer.json", "torch", "transformers"} <= set(untrained)
    assert "model.safetensors" not in untrained
    copy = tmp_path / "copy"
    shutil.copytree(gpt2_folder, copy)
    assert text.fingerprint(config_of(copy)) == trained
    model = load_trained(copy, load_config(copy))
    with torch.no_grad():
        model.ln_f.bias[0] += 1
    model.save_pretrained(copy)
    assert text.fingerprint(config_of(copy))["model.safetensors"] != trained["model.safetensors"]


def test_check_lists_what_would_stop_and_plan_counts(gpt2_folder, story, word_events):
    config = config_of(gpt2_folder)
    assert text.check(story, config) == []
    counts = text.plan(story, config)
    activations = text.extract(story, config)
    assert counts["bytes_result"] == sum(layer.values.nbytes for layer in activations.values())
    assert counts["n_tokens"] == activations["0"].provenance["n_tokens"]
    assert counts["n_windows"] == activations["0"].provenance["n_windows"]
    assert counts["n_texts"] == 2
    assert (counts["n_layers"], counts["width"]) == (3, 16)
    n_weights = sum(p.numel() for p in load_trained(gpt2_folder, load_config(gpt2_folder)).parameters())
    assert counts["n_parameters"] == n_weights
    overlap = 5 * (counts["n_windows"] - 2)
    assert counts["n_tokens_read"] == counts["n_tokens"] + overlap
    broken = word_events(["a", " ", "b"]).assign(onset=[1.0, 2.0, 0.0])
    problems = text.check(broken, config_of(gpt2_folder, layers=(7,)))
    assert [
        word for word, problem in zip(("no text", "back in time", "layers"), problems, strict=True) if word in problem
    ] == [
        "no text",
        "back in time",
        "layers",
    ]


def test_contexts_that_do_not_fit(gpt2_folder, bert_folder, story):
    for folder, settings, message in (
        (
            gpt2_folder,
            {"min_context": 32},
            "min_context 32 leaves no token to keep in a window of 32 tokens, 0 .* most 31",
        ),
        (gpt2_folder, {"window": 33}, "window 33: .* reads at most 32 tokens"),
        (gpt2_folder, {"window": 8, "min_context": 8}, "at most 7"),
        (
            bert_folder,
            {"min_context": 11},
            "on both sides leaves .* window of 24 tokens, 2 of them special; .* at most 10",
        ),
        (bert_folder, {"prepend_bos": True}, "prepend_bos is for causal models"),
    ):
        with pytest.raises(BrainalignError, match=message):
            text.extract(story, config_of(folder, **settings))
    values_of(story, config_of(gpt2_folder, min_context=31))
    values_of(story, config_of(bert_folder, min_context=10))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"revision": "main"}, "revision"),
        ({"layers": ()}, "layers"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "gpu"}, "device"),
        ({"weights": ()}, "weights"),
        ({"pooling": "first"}, "pooling"),
        ({"layer": 3}, "layer"),
        ({"min_context": -1}, "min_context"),
    ],
)
def test_settings_that_make_no_sense(settings, named):
    with pytest.raises(ValueError, match=named):
        text.Config(**settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there(gpt2_folder, story):
    with pytest.raises(BrainalignError, match="sees no GPU"):
        text.extract(story, config_of(gpt2_folder, device="cuda"))
    values_of(story, config_of(gpt2_folder, device="auto"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu(gpt2_folder, story):
    on_cpu, on_gpu = (values_of(story, config_of(gpt2_folder, device=device)) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4)


def test_provenance_is_json_without_paths_of_this_machine(gpt2_folder, story, tmp_path):
    layer = text.extract(story, config_of(gpt2_folder))["1"]
    written = json.loads(json.dumps(layer.provenance))
    assert written["settings"]["model"] == gpt2_folder.name
    assert str(gpt2_folder.parent) not in json.dumps(written)
    assert written["special_tokens"] == {"begin": [], "end": []}
    assert set(written["versions"]) == {"torch", "transformers"}
    layer.save(tmp_path / "stored")
    np.testing.assert_array_equal(Activations.load(tmp_path / "stored").values, layer.values)


def test_nothing_is_printed(gpt2_folder, story, capfd):
    text.extract(story, config_of(gpt2_folder), weights="untrained")
    assert capfd.readouterr() == ("", "")


def test_is_in_the_registry():
    assert EXTRACTORS["text"] is text
    assert {"text", "words"} <= set(EXTRACTORS)


def test_the_shipped_model_reads_a_story(story):
    config = text.Config()
    assert text.check(story, config) == []
    activations = text.extract(story, config)
    assert tuple(activations) == text.layer_names(config)
    assert all(len(layer.values) == len(story) and np.isfinite(layer.values).all() for layer in activations.values())
    untrained = text.extract(story, config, weights="untrained")
    assert not np.allclose(untrained["1"].values, activations["1"].values, atol=1e-2)


def test_check_finds_cut_weights_and_a_missing_gpu(gpt2_folder, story, tmp_path, monkeypatch):
    import shutil

    cut = tmp_path / "cut"
    shutil.copytree(gpt2_folder, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20_000])
    assert any("not a whole safetensors file" in line for line in text.check(story, config_of(cut)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert any("sees no GPU" in line for line in text.check(story, config_of(gpt2_folder, device="cuda")))


def model_of(folder):
    return transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


def other_model(kind, make, folder):
    """Save a tiny model of a family that has no fixture."""
    torch.manual_seed(0)
    common = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    gpt = {"n_positions": 48, "n_embd": 16, "n_layer": 3, "n_head": 4}
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 48}
    config = {
        "gpt_neox": lambda: transformers.GPTNeoXConfig(**common, **sizes, intermediate_size=32),
        "gptj": lambda: transformers.GPTJConfig(**common, **gpt, rotary_dim=4),
        "opt": lambda: transformers.OPTConfig(**common, **sizes, ffn_dim=32, word_embed_proj_dim=16),
        "mixtral": lambda: transformers.MixtralConfig(
            **common, **sizes, num_key_value_heads=2, intermediate_size=32, num_local_experts=3
        ),
        "codegen": lambda: transformers.CodeGenConfig(
            vocab_size=400, bos_token_id=0, eos_token_id=0, **gpt, rotary_dim=4
        ),
        "bloom": lambda: transformers.BloomConfig(**common, hidden_size=16, n_layer=3, n_head=4),
    }[kind]()
    model = transformers.AutoModelForCausalLM.from_config(config)
    return make.save(folder, make.as_if_trained(model), make.byte_level_tokenizer())


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neox", "gptj", "opt", "mixtral"])
def test_attention_and_mlp_are_what_a_block_adds(kind, make, story, tmp_path, request):
    known = {"gpt2": "gpt2_folder", "llama": "llama_folder"}
    folder = request.getfixturevalue(known[kind]) if kind in known else other_model(kind, make, tmp_path)
    config = config_of(folder, layers=(0, 1, "attention.1", "heads.1", "mlp.1"), batch_size=3)
    assert text.check(story, config) == []
    values = {name: layer.values for name, layer in text.extract(story, config).items()}
    np.testing.assert_allclose(values["1"] - values["0"], values["attention.1"] + values["mlp.1"], atol=1e-5)
    block = model_of(folder).get_submodule({"gpt2": "h", "gptj": "h", "opt": "decoder.layers"}.get(kind, "layers"))[0]
    project = next(
        module
        for name, module in block.named_modules()
        if name in ("attn.c_proj", "attn.out_proj", "self_attn.o_proj", "attention.dense", "self_attn.out_proj")
    )
    with torch.inference_mode():
        np.testing.assert_allclose(
            project(torch.tensor(values["heads.1"])).numpy(), values["attention.1"], rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("which", ["bert_folder", "roberta_folder"])
def test_attention_and_mlp_of_masked_models_are_added_before_each_norm(which, story, request):
    folder = request.getfixturevalue(which)
    layers = text.extract(story, config_of(folder, layers=(1, 2, "attention.2", "heads.2", "mlp.2")))
    values = {name: torch.tensor(layer.values) for name, layer in layers.items()}
    block = model_of(folder).encoder.layer[1]
    with torch.inference_mode():
        torch.testing.assert_close(block.attention.output.dense(values["heads.2"]), values["attention.2"])
        between = block.attention.output.LayerNorm(values["1"] + values["attention.2"])
        torch.testing.assert_close(block.output.LayerNorm(between + values["mlp.2"]), values["2"])


def test_heads_equal_attention_written_out(gpt2_folder, story):
    events = story[story["run"] == "2"]
    ids, owner = tokens_by_plain_calls(gpt2_folder, events["word"])
    model = model_of(gpt2_folder)
    hidden = torch.tensor(plain_forward(model, ids)[0])
    block, n = model.h[0], len(ids)
    with torch.inference_mode():
        q, k, v = block.attn.c_attn(block.ln_1(hidden)).split(16, dim=1)
        later = torch.triu(torch.ones(n, n, dtype=torch.bool), diagonal=1)
        heads = [
            torch.softmax((q[:, s] @ k[:, s].T / 8**0.5).masked_fill(later, -torch.inf), dim=1) @ v[:, s]
            for s in (slice(0, 8), slice(8, 16))
        ]
    got = text.extract(events, config_of(gpt2_folder, layers=("heads.1",)))["heads.1"].to_frame()
    last = np.flatnonzero(np.diff(owner, append=-1))
    for i_head, head in enumerate(heads):
        for i_unit in (0, 3, 7):
            unit = got["heads.1", f"h{i_head}.u{i_unit}"].to_numpy()
            np.testing.assert_allclose(unit, head.numpy()[last, i_unit], atol=1e-5)
    assert got.columns.get_level_values("unit")[-1] == "h1.u7"


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_module_by_its_path_is_aligned_with_the_words(gpt2_folder, story, pooling):
    config = config_of(gpt2_folder, layers=("h.1.mlp.act", 1), pooling=pooling)
    assert text.layer_names(config) == ("1", "h.1.mlp.act")
    assert text.plan(story, config)["bytes_result"] == 4 * len(story) * (16 + 64)
    assert text.plan(story, config)["width"] == 64
    got = text.extract(story, config)["h.1.mlp.act"]
    assert got.shape == (len(story), 64)
    assert got.columns["unit"].tolist() == [str(i) for i in range(64)]
    model, expected = model_of(gpt2_folder), []
    seen = []
    model.h[1].mlp.act.register_forward_hook(lambda module, taken, given: seen.append(given[0, -1].numpy()))
    for _, of_run in story.groupby("run", sort=False):
        ids, owner = tokens_by_plain_calls(gpt2_folder, of_run["word"])
        for t in range(len(ids)):
            start = 0 if t < 32 else (t - MIN_CONTEXT) // (32 - MIN_CONTEXT) * (32 - MIN_CONTEXT)
            plain_forward(model, ids[start : t + 1])
        expected.append(pooled(np.stack(seen)[None], owner, pooling)[0])
        seen.clear()
    np.testing.assert_allclose(got.values, np.concatenate(expected), atol=1e-5)


def test_fault_28_a_module_that_is_not_there_lists_near_names(gpt2_folder, bert_folder, story):
    with pytest.raises(UnknownName, match=r"'h\.1\.mpl\.act' \(did you mean 'h\.1\.mlp\.act'\?\)"):
        text.extract(story, config_of(gpt2_folder, layers=("h.1.mpl.act",)))
    assert "did you mean 'h.0.attn'" in text.check(story, config_of(gpt2_folder, layers=("h.0.atn",)))[0]
    for name in ("attention.0", "heads.3", "mlp.12"):
        with pytest.raises(BrainalignError, match=rf"layers \['{name}'\]: .* has blocks 1 to 2"):
            text.layer_names(config_of(gpt2_folder, layers=(1, name)))
    (problem,) = text.check(story, config_of(bert_folder, layers=("pooler.dense",)))
    assert "['pooler.dense']: these do not give one vector per token (but 2 for 2 texts of 2 tokens)" in problem


def test_a_family_that_is_not_in_the_table_is_read_by_paths(make, story, tmp_path):
    folder = other_model("bloom", make, tmp_path)
    (problem,) = text.check(story, config_of(folder, window=32, layers=("heads.1",)))
    assert "'heads.1': it is not known where models of type 'bloom'" in problem
    assert "h.0.self_attention.dense" in problem
    layers = text.extract(story, config_of(folder, window=32, layers=(2, "h.1.mlp.dense_4h_to_h")))
    assert layers["h.1.mlp.dense_4h_to_h"].shape == layers["2"].shape


def test_a_family_whose_configuration_has_no_padding_token(make, story, tmp_path):
    folder = other_model("codegen", make, tmp_path)
    assert not hasattr(load_config(folder), "pad_token_id")
    assert text.check(story, config_of(folder)) == []
    one, many = (values_of(story, config_of(folder, batch_size=n)) for n in (1, 32))
    np.testing.assert_allclose(one, many, rtol=0, atol=1e-5)


@pytest.mark.parametrize("which", ["gpt2_folder", "bert_folder"])
@pytest.mark.parametrize("settings", [{}, {"pooling": "mean", "context": "last_k_words", "k_words": 3}])
def test_keeps_the_contract_of_extractors(which, settings, story, tmp_path, request):
    layers = (0, -1, "attention.1", "heads.2", "mlp.1")
    weights = ("trained", "untrained")
    events = story.iloc[-60:]
    config = config_of(request.getfixturevalue(which), layers=layers, weights=weights, **settings)
    check_extractor(text, config, events, scratch=tmp_path)


def brute_sums(folder, events, *, size, before=MIN_CONTEXT):
    """Add up tokens one after the other, window by window, in float32."""
    model = model_of(folder)
    sums = np.zeros((3, len(events), 16), dtype=np.float32)
    position = 0
    for _, of_run in events.groupby("run", sort=False):
        ids, owner = tokens_by_plain_calls(folder, of_run["word"])
        for start in range(0, max(len(ids) - before, 1), size - before):
            states = plain_forward(model, ids[start : start + size])
            for t in range(start + before if start else 0, min(start + size, len(ids))):
                sums[:, position + owner[t]] += states[:, t - start]
        position += len(of_run)
    return sums


def test_words_in_two_windows_are_summed_token_by_token(gpt2_folder, word_events):
    words = ["remarkableconversation" * 2, "a", "pictures" * 3, "xyzzy" * 4, "sister"] * 3
    events = word_events(words, ["zzzzzzzzzzzzzzzz"])
    config = config_of(gpt2_folder, window=7, min_context=2, pooling="sum", batch_size=1)
    got = values_of(events, config)
    np.testing.assert_array_equal(got, brute_sums(gpt2_folder, events, size=7, before=2))


def test_an_interrupted_extraction_goes_on_after_the_batch_size_has_changed(gpt2_folder, story, tmp_path, monkeypatch):
    from brainalign.extract import _parts

    config = config_of(gpt2_folder, pooling="mean")
    whole = values_of(story, config.model_copy(update={"batch_size": 2}))
    note = _parts._note

    def stop(*arguments):
        note(*arguments)
        if arguments[1] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(_parts, "_note", stop)
    with pytest.raises(KeyboardInterrupt):
        text.extract(story, config.model_copy(update={"batch_size": 1}), scratch=tmp_path)
    assert (tmp_path / _parts.DONE).read_text() == "0\n1\n2\n"
    monkeypatch.setattr(_parts, "_note", note)
    got = values_of(story, config.model_copy(update={"batch_size": 2}), scratch=tmp_path)
    np.testing.assert_array_equal(got, whole)


@pytest.mark.parametrize("context", ["sentence", "shuffled_in_sentence", "shuffled_in_run"])
def test_contexts_equal_the_texts_that_they_stand_for(gpt2_folder, story, context):
    events = story.assign(sentence_id=np.arange(len(story)) // 6)
    config = config_of(gpt2_folder, context=context, seed=3)
    got = text.extract(events, config)
    expected = np.zeros((3, len(events), 16), dtype=np.float32)
    for i, each in enumerate(texts_in_context(events, context=context, seed=3)):
        as_run = pd.DataFrame({"run": str(i), "onset": range(len(each.units)), "duration": 0.1, "word": each.units})
        expected[:, each.events] = values_of(as_run, config_of(gpt2_folder))
    np.testing.assert_allclose(np.stack([layer.values for layer in got.values()]), expected, atol=1e-5)
    assert not np.allclose(expected, values_of(events, config_of(gpt2_folder)), atol=1e-2)
    pd.testing.assert_frame_equal(got["1"].rows, events[["run", "onset", "duration", "word"]])
    assert got["1"].provenance["settings"]["context"] == context
    if context != "sentence":
        other = values_of(events, config_of(gpt2_folder, context=context, seed=4))
        assert not np.allclose(other, expected, atol=1e-2)


@pytest.mark.parametrize("which", ["gpt2_folder", "bert_folder"])
def test_last_k_words_equal_one_forward_pass_per_word(which, story, request):
    folder = request.getfixturevalue(which)
    around = ([], []) if which == "gpt2_folder" else ([2], [3])
    model = model_of(folder)
    config = config_of(folder, context="last_k_words", k_words=2, pooling="mean")
    counts = text.plan(story, config)
    expected, n_read = [], 0
    for _, of_run in story.groupby("run", sort=False):
        words = of_run["word"].tolist()
        for i in range(len(words)):
            ids, owner = tokens_by_plain_calls(folder, words[max(i - 2, 0) : i + 1])
            states = plain_forward(model, [*around[0], *ids, *around[1]])[:, len(around[0]) :][:, : len(ids)]
            expected.append(states[:, owner == owner[-1]].mean(1))
            n_read += len(ids) + len(around[0]) + len(around[1])
    np.testing.assert_allclose(values_of(story, config), np.stack(expected, axis=1), atol=1e-5)
    assert counts["n_texts"] == counts["n_windows"] == len(story)
    assert counts["n_tokens_read"] == n_read
    assert counts["n_tokens"] == text.plan(story, config_of(folder))["n_tokens"]


def test_k_words_must_fit_and_be_given_where_they_mean_something(gpt2_folder, story):
    config = config_of(gpt2_folder, context="last_k_words", k_words=40)
    (problem,) = text.check(story, config)
    assert problem.startswith("k_words 40: ")
    assert "tokens, the model reads 32 at once" in problem
    for settings in ({"k_words": 3}, {"context": "last_k_words"}, {"context": "sentence", "k_words": 0}):
        with pytest.raises(ValueError, match='must be given with context = "last_k_words", and only there'):
            text.Config(**settings)
    with pytest.raises(ValueError, match="written without quotes"):
        text.Config(layers=(0, "1"))


def test_events_name_no_files(story):
    assert text.stimulus_files(story) == []
