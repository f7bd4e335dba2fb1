"""Loading models and tokenizers from folders."""

import importlib
import json
import shutil

import numpy as np
import pytest
import torch
import transformers

from brainalign.errors import BrainalignError, MissingData
from brainalign.extract import _model, text
from brainalign.extract._hub import resolve_model, weight_files


def copy_of(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize(
    ("which", "both_ways"),
    [("gpt2_folder", False), ("llama_folder", False), ("bert_folder", True), ("roberta_folder", True)],
)
def test_a_model_reads_the_way_its_type_says(which, both_ways, request):
    folder = request.getfixturevalue(which)
    config = _model.load_config(folder)
    model = _model.load_trained(folder, config)
    first, second = (model(torch.tensor([[7, 8, 9, last]])).last_hidden_state[0, :3] for last in (10, 11))
    assert _model.reads_both_ways(config) == both_ways
    assert torch.allclose(first, second, atol=1e-6) != both_ways
    if not both_ways:
        _model.require_left_to_right(model, np.array([7, 8, 9, 10, 11]))
        _model.require_left_to_right(model, np.array([7]))


def test_a_causal_model_that_looks_ahead_is_refused(make, story, tmp_path):
    torch.manual_seed(0)
    config = transformers.XLNetConfig(vocab_size=400, d_model=16, n_layer=2, n_head=2, d_inner=32)
    folder = make.save(tmp_path, transformers.XLNetLMHeadModel(config), make.byte_level_tokenizer())
    assert not _model.reads_both_ways(_model.load_config(folder))
    with pytest.raises(BrainalignError, match="states no context length: set window"):
        text.extract(story, text.Config(model=str(folder)))
    with pytest.raises(BrainalignError, match="'xlnet' is listed as causal, but a token changes those before it"):
        text.extract(story, text.Config(model=str(folder), window=100))


def test_encoder_decoders_and_other_models_are_refused(tmp_path):
    transformers.T5Config(vocab_size=40, d_model=8, num_layers=1).save_pretrained(tmp_path)
    with pytest.raises(BrainalignError, match=r"'t5' is not a causal or masked language model.*encoder-decoder"):
        _model.load_config(tmp_path)
    transformers.ViTConfig(hidden_size=8).save_pretrained(tmp_path)
    with pytest.raises(BrainalignError, match="'vit' is not a causal or masked"):
        _model.load_config(tmp_path)
    transformers.Gemma3Config().save_pretrained(tmp_path)
    with pytest.raises(BrainalignError, match="'gemma3' reads more than text; save its language model alone"):
        _model.n_hidden_states(tmp_path)


def test_fault_110_code_that_comes_with_a_model_is_not_run(gpt2_folder, tmp_path):
    folder = copy_of(gpt2_folder, tmp_path)
    written = json.loads((folder / "config.json").read_text())
    hostile = written | {"model_type": "hostile", "auto_map": {"AutoConfig": "hostile.C", "AutoModel": "hostile.M"}}
    (folder / "config.json").write_text(json.dumps(hostile))
    (folder / "hostile.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\nclass M: pass\n")
    with pytest.raises(BrainalignError, match="code that a model brings along is not run"):
        _model.load_config(folder)
    assert not (tmp_path / "ran").exists()


def test_fault_108_pickled_weights_are_refused(gpt2_folder, tmp_path):
    folder = copy_of(gpt2_folder, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingData, match=r"only as \['pytorch_model.bin'\]: pickled files can run code"):
        resolve_model(str(folder))


def test_fault_109_broken_safetensors(gpt2_folder, tmp_path):
    folder = copy_of(gpt2_folder, tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    for broken in (weights[:-100], weights[:4], b"\xff" * 64):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(BrainalignError, match="cannot be loaded"):
            _model.load_trained(folder, _model.load_config(folder))
        with pytest.raises(MissingData, match="not a whole safetensors file"):
            _model.n_parameters(folder)


def test_weights_that_are_not_in_the_files_are_not_made_up(gpt2_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copy_of(gpt2_folder, tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights.pop("transformer.h.1.mlp.c_fc.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrainalignError, match=r"lack 1 tensors of the model, e.g. \['h.1.mlp.c_fc.weight'\]"):
        _model.load_trained(folder, _model.load_config(folder))


def test_sharded_weights(gpt2_folder, tmp_path):
    config = _model.load_config(gpt2_folder)
    whole = _model.load_trained(gpt2_folder, config)
    folder = copy_of(gpt2_folder, tmp_path)
    (folder / "model.safetensors").unlink()
    whole.save_pretrained(folder, max_shard_size="20KB")
    shards = weight_files(folder)
    assert len(shards) > 1
    assert _model.n_parameters(folder) == sum(weight.numel() for weight in whole.parameters())
    again = _model.load_trained(folder, config)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    shards[0].unlink()
    with pytest.raises(MissingData, match=rf"names \['{shards[0].name}'\]"):
        weight_files(folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(MissingData, match=r"index.json: not an index of weights \(KeyError\('weight_map'\)\)"):
        weight_files(folder)


def test_the_weights_that_are_hashed_are_those_that_are_read(gpt2_folder, tmp_path):
    config = _model.load_config(gpt2_folder)
    model = _model.load_trained(gpt2_folder, config)
    folder = copy_of(gpt2_folder, tmp_path)
    whole = {path.name: path.read_bytes() for path in folder.glob("model.safetensors")}
    _model.build_untrained(model, seed=0).save_pretrained(folder, max_shard_size="20KB")
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    again = _model.load_trained(folder, config)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert weight_files(folder) == [folder / "model.safetensors"]
    written = json.loads((folder / "config.json").read_text()) | {"transformers_weights": "other.safetensors"}
    (folder / "config.json").write_text(json.dumps(written))
    with pytest.raises(BrainalignError, match=r"transformers_weights = 'other.safetensors' is another file than those"):
        _model.load_trained(folder, _model.load_config(folder))


def test_the_twin_differs_in_every_tensor(gpt2_folder):
    trained = _model.load_trained(gpt2_folder, _model.load_config(gpt2_folder))
    twin = _model.build_untrained(trained, seed=0)
    pairs = list(zip(trained.named_parameters(), twin.named_parameters(), strict=True))
    assert len(pairs) == 28
    assert not any(torch.equal(a, b) for (_, a), (_, b) in pairs)
    assert not twin.training
    again = _model.build_untrained(trained, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), again.parameters(), strict=True))


def test_trap_10_a_tensor_that_is_equal_in_both_is_named(gpt2_folder):
    trained = _model.load_trained(gpt2_folder, _model.load_config(gpt2_folder))
    with torch.no_grad():
        trained.h[1].ln_2.weight.fill_(1.0)
    with pytest.raises(BrainalignError, match=r"1 weight tensors equal the trained ones, e.g. \['h.1.ln_2.weight'\]"):
        _model.build_untrained(trained, seed=0)


def test_context_lengths(gpt2_folder, bert_folder, roberta_folder):
    def length(folder):
        return _model.context_length(_model.load_config(folder), _model.load_tokenizer(folder))

    assert [length(folder) for folder in (gpt2_folder, bert_folder, roberta_folder)] == [32, 24, 24]
    tokenizer = _model.load_tokenizer(gpt2_folder)
    tokenizer.model_max_length = 20
    assert _model.context_length(_model.load_config(gpt2_folder), tokenizer) == 20
    tokenizer.model_max_length = int(1e30)
    assert _model.context_length(transformers.BloomConfig(hidden_size=8, n_head=1, n_layer=1), tokenizer) is None


def test_special_tokens(gpt2_folder, bert_folder, make):
    gpt2, bert = _model.load_tokenizer(gpt2_folder), _model.load_tokenizer(bert_folder)
    assert _model.special_tokens(gpt2, both_ways=False, prepend_bos=False) == ([], [])
    assert _model.special_tokens(gpt2, both_ways=False, prepend_bos=True) == ([0], [])
    assert _model.special_tokens(bert, both_ways=True, prepend_bos=False) == ([2], [3])
    assert _model.special_tokens(gpt2, both_ways=True, prepend_bos=False) == ([], [])
    with pytest.raises(BrainalignError, match="no beginning-of-text token"):
        _model.special_tokens(bert, both_ways=False, prepend_bos=True)


def test_slow_and_broken_tokenizers_are_refused(gpt2_folder, tmp_path, monkeypatch):
    folder = copy_of(gpt2_folder, tmp_path)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BrainalignError, match="the tokenizer cannot be loaded"):
        _model.load_tokenizer(folder)
    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "is_fast", property(lambda _: False))
    with pytest.raises(BrainalignError, match="is a slow tokenizer"):
        _model.load_tokenizer(gpt2_folder)


def test_layers_are_counted_from_the_configuration_alone(gpt2_folder, bert_folder, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert _model.n_hidden_states(tmp_path) == 13  # what transformers takes when nothing is said
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(MissingData, match="not JSON"):
        _model.n_hidden_states(tmp_path)
    monkeypatch.setattr(_model, "load_config", None)
    assert _model.n_hidden_states(gpt2_folder) == 3
    assert _model.n_hidden_states(bert_folder) == 3


def test_transformers_is_left_as_it_was():
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with _model.quiet_transformers():
        assert not logging.is_progress_bar_enabled()
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_convolutions_keep_the_precision_of_their_numbers_while_a_model_runs():
    """On a GPU float32 convolutions would else be in TF32, without a word."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.enabled
    with _model.inference():
        assert torch.is_inference_mode_enabled()
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.enabled
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.enabled) == before


@pytest.mark.parametrize("module", ["_forward", "_speech_model", "_word_probability", "vision"])
def test_every_family_runs_its_model_that_way(module):

    assert importlib.import_module(f"brainalign.extract.{module}").inference is _model.inference
