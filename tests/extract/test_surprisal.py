"""Surprisal: equal to enumerating all words, and to one plain forward pass per token."""

import itertools
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from scipy.stats import spearmanr
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from brainalign.errors import BrainalignError
from brainalign.extract import EXTRACTORS, resolve_model, surprisal, words
from brainalign.extract._model import load_config, load_tokenizer, load_trained
from brainalign.extract._tokens import join_units
from brainalign.extract._word_probability import (
    ANY,
    SPACED,
    Passage,
    begins_word,
    compute_in,
    probabilities,
)

MIN_CONTEXT = 5
ALL = ("surprisal", "surprisal_per_word", "entropy_first_token", "rank_first_token", "n_tokens")


check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]


def config_of(folder, **settings):
    return surprisal.Config(model=str(folder), **({"min_context": MIN_CONTEXT, "quantities": ALL} | settings))


def frame_of(events, config, **options):
    """Quantities as columns, rows as the events."""
    layer = surprisal.extract(events, config, **options)["-"]
    return pd.DataFrame(layer.values.astype(float), columns=layer.columns["unit"])


def language_model(folder, kind=transformers.AutoModelForCausalLM):
    return kind.from_pretrained(folder, dtype=torch.float32).eval()


def every_next_token(model, ids):
    """ln p of every token after each of `ids`, (n_ids, n_vocabulary), by a plain forward pass."""
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()


def next_token(model, ids):
    return every_next_token(model, ids)[-1]


def bits(log_p):
    return -log_p / np.log(2)


def logsumexp(values):
    return np.logaddexp.reduce(values)


# ---------------------------------------------------------------------------------- all words over a tiny vocabulary

LETTERS = ["a", "b"]
LONGEST = 4


@pytest.fixture(scope="module")
def two_letters(make, tmp_path_factory):
    """GPT-2 over five tokens in which every word of a's and b's is split in one way only: into its letters.

    The tokenizer must also have the space alone, as its last token, which never stands and the model does not know.
    """
    vocabulary = {"<|endoftext|>": 0, "a": 1, "b": 2, "Ġa": 3, "Ġb": 4, "Ġ": 5}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "a"), ("Ġ", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    model = make.tiny_gpt2(vocab_size=5)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(2.0)  # so that the tokens differ in probability
    return make.save(tmp_path_factory.mktemp("two_letters"), model, tokenizer)


def words_up_to(n_letters):
    return ["".join(w) for n in range(1, n_letters + 1) for w in itertools.product(LETTERS, repeat=n)]


def ids_of(text):
    ids = [0]
    for word in text.split():
        ids += [{"a": 3, "b": 4}[word[0]], *({"a": 1, "b": 2}[letter] for letter in word[1:])]
    return ids


def log_p_of_text_and_a_new_word(model, text):
    """ln p(the tokens of a text, then one that begins a word or ends the text)."""
    ids = ids_of(text)
    after = every_next_token(model, ids)
    return sum(after[t - 1][ids[t]] for t in range(1, len(ids))) + logsumexp(after[-1][[0, 3, 4]])


@pytest.mark.parametrize("context", ["", "ba", "ab b a bab"])
def test_word_probabilities_equal_brute_force_enumeration_and_sum_to_one(two_letters, context, word_events):
    model = language_model(two_letters)
    every_word = words_up_to(LONGEST)
    events = word_events(*[[*context.split(), word] for word in every_word])
    got = frame_of(events, config_of(two_letters))[events["onset"].to_numpy() == 0.5 * len(context.split())]

    begin = log_p_of_text_and_a_new_word(model, context)
    log_p = np.array([log_p_of_text_and_a_new_word(model, f"{context} {word}") for word in every_word]) - begin
    np.testing.assert_allclose(got["surprisal"], bits(log_p), atol=1e-5)

    after = next_token(model, ids_of(context))
    end = np.exp(after[0] - logsumexp(after[[0, 3, 4]]))  # the text ends here, no word comes
    longer = 0.0
    for word in every_word[-(2**LONGEST) :]:  # what longer words hold: a word of this length, and no new word after it
        ids = ids_of(f"{context} {word}")
        log_p = every_next_token(model, ids)
        tokens = sum(log_p[t - 1][ids[t]] for t in range(len(ids) - LONGEST, len(ids)))
        longer += np.exp(tokens - logsumexp(after[[0, 3, 4]]) + logsumexp(log_p[-1][[1, 2]]))
    of_words = (2.0 ** -got["surprisal"]).sum()
    assert 3e-4 < longer < 0.1
    assert of_words + end + longer == pytest.approx(1, abs=1e-5)


def test_entropy_of_the_first_token_is_at_most_that_of_the_word(two_letters, word_events):
    every_word = words_up_to(9)
    got = frame_of(word_events(*[["ab", word] for word in every_word]), config_of(two_letters)).iloc[1::2]
    p = 2.0 ** -got["surprisal"].to_numpy()
    after = next_token(language_model(two_letters), ids_of("ab"))[[0, 3, 4]]
    first = np.exp(after - logsumexp(after))  # the end, words in a, words in b
    expected = -(first * np.log2(first)).sum()
    np.testing.assert_allclose(got["entropy_first_token"], expected, atol=1e-5)
    of_words = -(p * np.log2(p)).sum() - first[0] * np.log2(first[0])  # less than the entropy of the word
    assert expected < of_words
    in_a = np.array([word[0] == "a" for word in every_word])
    assert p[in_a].sum() == pytest.approx(first[1], abs=0.05)
    assert p[in_a].sum() < first[1]


def test_without_the_correction_probabilities_are_of_words_and_all_that_begin_like_them(two_letters, word_events):
    model = language_model(two_letters)
    events = word_events(*[["ab", word] for word in words_up_to(2)])
    got = frame_of(events, config_of(two_letters)).iloc[1::2]["surprisal"].to_numpy()
    after = next_token(model, ids_of("ab"))
    begin = logsumexp(after[[0, 3, 4]])
    starts_with_a = np.exp(after[3] - begin)
    p = dict(zip(words_up_to(2), 2.0**-got, strict=True))
    stop = np.exp(logsumexp(next_token(model, ids_of("ab a"))[[0, 3, 4]]))
    assert p["a"] == pytest.approx(starts_with_a * stop, abs=1e-6)
    assert p["a"] + p["aa"] + p["ab"] < starts_with_a


# ------------------------------------------------------------------------- one plain forward pass per slot, any model


def begins_by_decoding(tokenizer, n_vocabulary):
    """Tokens that are written with white space first, told by what follows a word; and the end of the text."""
    ends = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    anchor = tokenizer("book", add_special_tokens=False)["input_ids"]
    plain = tokenizer.decode(anchor)
    written = [tokenizer.decode([*anchor, i])[len(plain) :] for i in range(n_vocabulary)]
    return np.array([i in ends or each.startswith(tuple(" \t\n\v\f\r")) for i, each in enumerate(written)])


def brute_force(folder, events, *, size, before=MIN_CONTEXT, separate=None):
    """Quantities of words with one forward pass per slot over exactly what its window holds before it."""
    model, tokenizer = language_model(folder), transformers.AutoTokenizer.from_pretrained(folder)
    starts_word = begins_by_decoding(tokenizer, model.config.vocab_size)
    rows = []
    for _, of_run in events.groupby("run", sort=False):
        pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in of_run["word"]]
        ids = [i for piece in pieces for i in piece]
        after = []
        for t in range(len(ids) + 1):
            t_kept = min(t, len(ids) - 1)
            start = 0 if t_kept < size else (t_kept - before) // (size - before) * (size - before)
            after.append(next_token(model, [tokenizer.bos_token_id, *ids[start:t]]))
        t = 0
        for piece in pieces:
            begin, end = after[t], after[t + len(piece)]
            log_p = sum(after[t + k][i] for k, i in enumerate(piece))
            log_p += logsumexp(end[starts_word]) - logsumexp(begin[starts_word])
            first = np.exp(begin[starts_word] - logsumexp(begin[starts_word]))
            rank = 1 + (begin[starts_word] > begin[piece[0]]).sum()
            rows.append([bits(log_p), bits(log_p), -(first * np.log2(first)).sum(), rank, len(piece)])
            t += len(piece)
    return np.array(rows)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_equals_one_forward_pass_per_slot(gpt2_folder, story, batch_size):
    got = frame_of(story, config_of(gpt2_folder, batch_size=batch_size))
    np.testing.assert_allclose(got, brute_force(gpt2_folder, story, size=31), atol=1e-5)
    assert tuple(got.columns) == ALL
    assert (got["n_tokens"] > 1).any()
    assert (got["surprisal"] > 0).all()


def test_a_shorter_window_and_no_least_context(gpt2_folder, story):
    got = frame_of(story, config_of(gpt2_folder, window=11, min_context=0))
    np.testing.assert_allclose(got, brute_force(gpt2_folder, story, size=10, before=0), atol=1e-5)


def sentence_piece_tokenizer(sentences):
    from tokenizers import trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=250,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in (9, 10, 32, 65))],
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def sentence_piece_folder(make, sentences, tmp_path_factory):
    """Llama with SentencePiece's ▁, and logits for ten tokens more than the tokenizer has."""
    tokenizer = sentence_piece_tokenizer(sentences)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer) + 10,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=48,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    model = make.as_if_trained(transformers.LlamaForCausalLM(config))
    return make.save(tmp_path_factory.mktemp("sentence_piece"), model, tokenizer)


def test_sentence_piece(sentence_piece_folder, story):
    tokenizer = load_tokenizer(sentence_piece_folder)
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    begins = begins_word(tokenizer, len(tokenizer) + 10)
    spaces = {"<0x09>", "<0x0A>", "<0x20>"}
    assert begins[: len(tokens)].tolist() == [token[0] == "▁" or token in spaces for token in tokens]
    assert not begins[len(tokens) :].any()
    ids, oracle = [], []
    model = language_model(sentence_piece_folder)
    of_run = story[story["run"] == "2"]
    starts_word = begins | np.isin(np.arange(len(begins)), [1, 2])
    for word in of_run["word"]:
        piece = tokenizer(word, add_special_tokens=False)["input_ids"]
        after = [next_token(model, [1, *ids, *piece[:k]]) for k in range(len(piece) + 1)]
        log_p = sum(after[k][i] for k, i in enumerate(piece))
        oracle.append(bits(log_p + logsumexp(after[-1][starts_word]) - logsumexp(after[0][starts_word])))
        ids += piece
    got = frame_of(of_run, config_of(sentence_piece_folder))
    np.testing.assert_allclose(got["surprisal"], oracle, atol=1e-5)


def test_surprisals_of_a_text_sum_to_its_own(gpt2_folder, word_events, sentences):
    text = sentences[1]
    model, tokenizer = language_model(gpt2_folder), transformers.AutoTokenizer.from_pretrained(gpt2_folder)
    starts_word = begins_by_decoding(tokenizer, 400)
    ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    after = [next_token(model, ids[:t]) for t in range(1, len(ids) + 1)]
    assert len(ids) < 32
    whole = bits(
        sum(after[t][i] for t, i in enumerate(ids[1:]))
        + logsumexp(after[-1][starts_word])
        - logsumexp(after[0][starts_word])
    )
    by_word = frame_of(word_events(text.split()), config_of(gpt2_folder))
    assert by_word["surprisal"].sum() == pytest.approx(whole, abs=1e-4)
    events = word_events([text, "the  book"]).rename(columns={"word": "sentence"})
    by_sentence = frame_of(events, config_of(gpt2_folder))
    assert by_sentence["surprisal"][0] == pytest.approx(whole, abs=1e-4)
    n_words = len(text.split())
    assert by_sentence["surprisal_per_word"][0] == pytest.approx(whole / n_words, abs=1e-5)
    assert by_sentence["n_tokens"][0] == len(ids) - 1
    for mean in ("entropy_first_token", "rank_first_token"):
        assert by_sentence[mean][0] == pytest.approx(by_word[mean].mean(), abs=1e-5)
    words_alone = frame_of(word_events(["the", "book"]), config_of(gpt2_folder))
    assert by_sentence["surprisal"][1] == pytest.approx(words_alone["surprisal"].sum(), abs=1e-5)


def test_punctuation_written_to_a_word_is_part_of_it(gpt2_folder, word_events):
    plain, with_comma = (frame_of(word_events(["the", w, "was"]), config_of(gpt2_folder)) for w in ("bank", "bank,"))
    model, tokenizer = language_model(gpt2_folder), transformers.AutoTokenizer.from_pretrained(gpt2_folder)
    ids = [0, *tokenizer("the bank", add_special_tokens=False)["input_ids"]]
    comma = tokenizer.convert_tokens_to_ids(",")
    starts_word = begins_by_decoding(tokenizer, 400)
    stop = logsumexp(next_token(model, ids)[starts_word])
    then_comma = next_token(model, ids)[comma] + logsumexp(next_token(model, [*ids, comma])[starts_word])
    assert with_comma["surprisal"][1] - plain["surprisal"][1] == pytest.approx(bits(then_comma - stop), abs=1e-5)
    assert with_comma["n_tokens"][1] == plain["n_tokens"][1] + 1


def test_a_clitic_begins_inside_a_word(gpt2_folder, word_events):
    events = word_events(["she", "ca", "n't", "read"])
    model, tokenizer = language_model(gpt2_folder), transformers.AutoTokenizer.from_pretrained(gpt2_folder)
    starts_word = begins_by_decoding(tokenizer, 400)
    she, can_t = (tokenizer(w, add_special_tokens=False)["input_ids"] for w in ("she", "can't"))
    after = [next_token(model, [0, *she, *can_t[:k]]) for k in range(len(can_t) + 1)]
    log_p = np.array([after[k][i] for k, i in enumerate(can_t)])
    offsets = tokenizer("can't", add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    first = next(k for k, (start, _) in enumerate(offsets) if start >= len("ca"))
    got = frame_of(events, config_of(gpt2_folder))
    begin, end = (logsumexp(after[k][starts_word]) for k in (0, -1))
    assert got["surprisal"][1] == pytest.approx(bits(log_p[:first].sum() - begin), abs=1e-5)
    assert got["surprisal"][2] == pytest.approx(bits(log_p[first:].sum() + end), abs=1e-5)
    p = np.exp(after[first])
    assert got["entropy_first_token"][2] == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-5)
    assert got["rank_first_token"][2] == 1 + (p > p[can_t[first]]).sum()
    apart = frame_of(events, config_of(gpt2_folder, attach_clitics=False))
    assert apart["surprisal"][1] != pytest.approx(got["surprisal"][1], abs=1e-3)


def test_the_first_word_of_a_text_without_a_space_before_it(make, word_events, tmp_path):
    folder = make.save(tmp_path, make.tiny_gpt2(), make.byte_level_tokenizer(prefix_space=False))
    tokenizer, model = transformers.AutoTokenizer.from_pretrained(folder), language_model(folder)
    starts_word = begins_by_decoding(tokenizer, 400)
    ids = tokenizer("book", add_special_tokens=False)["input_ids"]
    after = [next_token(model, [0, *ids[:k]]) for k in range(len(ids) + 1)]
    possible = ~starts_word
    possible[0] = True  # the text may end at once
    log_p = sum(after[k][i] for k, i in enumerate(ids))
    log_p += logsumexp(after[-1][starts_word]) - logsumexp(after[0][possible])
    got = frame_of(word_events(["book", "the"]), config_of(folder))
    assert got["surprisal"][0] == pytest.approx(bits(log_p), abs=1e-5)
    p = np.exp(after[0][possible] - logsumexp(after[0][possible]))
    assert got["entropy_first_token"][0] == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-5)


# -------------------------------------------------------------------------------------------------- masked models


def pseudo_log_likelihood(folder, events, *, size, masking):
    """One plain forward pass per token of a run that fits one window, or of its window."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = language_model(folder, transformers.AutoModelForMaskedLM)
    stride, rows = size - 2 * MIN_CONTEXT, []
    for _, of_run in events.groupby("run", sort=False):
        pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in of_run["word"]]
        ids = [i for piece in pieces for i in piece]
        owner = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        n_windows = 1 + max(0, -(-(len(ids) - size) // stride))
        of_word = [[] for _ in pieces]
        for t, i_word in enumerate(owner):
            start = stride * min(max(t - MIN_CONTEXT, 0) // stride, n_windows - 1)
            seen = [
                tokenizer.mask_token_id
                if s == t or (masking == "word_left_to_right" and s > t and owner[s] == i_word)
                else ids[s]
                for s in range(start, min(start + size, len(ids)))
            ]
            with torch.inference_mode():
                logits = model(torch.tensor([[tokenizer.cls_token_id, *seen, tokenizer.sep_token_id]])).logits
            of_word[i_word].append((logits[0, 1 + t - start].double().log_softmax(-1).numpy(), ids[t]))
        for at in of_word:
            log_p, first = sum(p[i] for p, i in at), np.exp(at[0][0])
            rank = 1 + (first > first[at[0][1]]).sum()
            rows.append([bits(log_p), bits(log_p), -(first * np.log2(first)).sum(), rank, len(at)])
    return np.array(rows)


@pytest.fixture(scope="module")
def rare_words(story):
    """The story with some words that no tokenizer here has whole."""
    rare = story["word"].where(np.arange(len(story)) % 3 > 0, story["word"] + "ing")
    return story.assign(word=rare)


@pytest.fixture(scope="module")
def roberta_with_mask(roberta_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "roberta_with_mask"
    shutil.copytree(roberta_folder, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.mask_token = "<|endoftext|>"
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("masking", ["word_left_to_right", "token"])
@pytest.mark.parametrize("which", ["bert_folder", "roberta_with_mask"])
def test_masked_models_give_pseudo_log_likelihoods(which, masking, rare_words, request):
    folder = request.getfixturevalue(which)
    got = frame_of(rare_words, config_of(folder, masking=masking, batch_size=16))
    np.testing.assert_allclose(got, pseudo_log_likelihood(folder, rare_words, size=22, masking=masking), atol=1e-5)
    assert (got["n_tokens"] > 1).any()


def test_a_masked_model_without_a_mask_token(roberta_folder, story):
    with pytest.raises(BrainalignError, match="has no mask token"):
        surprisal.extract(story, config_of(roberta_folder))


def test_masking_changes_only_words_of_several_tokens(bert_folder, rare_words):
    both = [frame_of(rare_words, config_of(bert_folder, masking=m)) for m in ("word_left_to_right", "token")]
    one_token = both[0]["n_tokens"] == 1
    assert 0 < one_token.sum() < len(one_token)
    np.testing.assert_allclose(both[0][one_token], both[1][one_token], atol=1e-5)
    assert (np.abs(both[0]["surprisal"] - both[1]["surprisal"])[~one_token] > 1e-5).mean() > 0.9


# ------------------------------------------------------------------------------------------------- the way to logits


def models_of_many_kinds(make):
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 90}
    opt = transformers.OPTConfig(**small, ffn_dim=32, word_embed_proj_dim=8, max_position_embeddings=32)
    gemma = transformers.Gemma2Config(
        **small, intermediate_size=32, num_key_value_heads=1, head_dim=8, final_logit_softcapping=0.5
    )
    cohere = transformers.CohereConfig(**small, intermediate_size=32, logit_scale=3.0, bos_token_id=1, eos_token_id=2)
    neox = transformers.GPTNeoXConfig(**small, intermediate_size=32, tie_word_embeddings=False)
    distil = transformers.DistilBertConfig(vocab_size=90, dim=16, hidden_dim=32, n_layers=2, n_heads=2)
    electra = transformers.ElectraConfig(**small, embedding_size=8, intermediate_size=32)
    for config in (opt, gemma, cohere, neox):
        yield transformers.AutoModelForCausalLM.from_config(config)
    for config in (distil, electra):
        yield transformers.AutoModelForMaskedLM.from_config(config)


def test_logits_are_those_of_the_models_own_forward_pass(make):
    rng = np.random.default_rng(0)
    sequences = [rng.integers(3, 90, n) for n in (9, 9)]
    torch.manual_seed(0)
    for model in models_of_many_kinds(make):
        model = make.as_if_trained(model).eval()
        passages = [Passage(ids, np.array([1, 4]), ids[[2, 5]], np.array([SPACED, ANY])) for ids in sequences]
        begins = rng.random(90) < 0.5
        table = probabilities(model, passages, {SPACED: begins})
        for i, ids in enumerate(sequences):
            with torch.inference_mode():
                logits = model(torch.tensor(ids)[None]).logits[0].double().log_softmax(-1).numpy()
            expected = [logits[1, ids[2]], logits[4, ids[5]]]
            np.testing.assert_allclose(table[2 * i : 2 * i + 2, 0], expected, atol=2e-6, err_msg=type(model).__name__)
            np.testing.assert_allclose(table[2 * i : 2 * i + 2, 1], [logsumexp(logits[1][begins]), 0], atol=2e-6)


def test_blocks_of_logits_change_nothing(gpt2_folder, story, monkeypatch):
    from brainalign.extract import _word_probability

    whole = frame_of(story, config_of(gpt2_folder))
    monkeypatch.setattr(_word_probability, "N_LOGITS", 400 * 3)
    seen = []
    logits = _word_probability._logits
    monkeypatch.setattr(_word_probability, "_logits", lambda m, rows: seen.append(len(rows)) or logits(m, rows))
    np.testing.assert_allclose(frame_of(story, config_of(gpt2_folder)), whole, atol=1e-5)
    assert max(seen) == 3


def test_logits_are_computed_only_where_they_are_needed(bert_folder, story, monkeypatch):
    from brainalign.extract import _word_probability

    seen = []
    logits = _word_probability._logits
    monkeypatch.setattr(_word_probability, "_logits", lambda m, rows: seen.append(len(rows)) or logits(m, rows))
    frame = frame_of(story, config_of(bert_folder))
    assert sum(seen) == frame["n_tokens"].sum()


def test_fault_25_bfloat16_up_to_the_vocabulary(gpt2_folder, story):
    exact = frame_of(story, config_of(gpt2_folder))
    coarse = frame_of(story, config_of(gpt2_folder, dtype="bfloat16"))
    assert 0 < np.abs(coarse["surprisal"] - exact["surprisal"]).max() < 0.2
    model = compute_in(
        load_trained(gpt2_folder, load_config(gpt2_folder), kind="AutoModelForCausalLM"), device="cpu", dtype="bfloat16"
    )
    assert model.get_output_embeddings().weight.dtype == torch.float32
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16


# ------------------------------------------------------------------------------------- the contract, and the faults


def test_contract_of_a_causal_model(gpt2_folder, story, tmp_path):
    config = config_of(gpt2_folder, weights=("trained", "untrained"))
    check_extractor(surprisal, config, story, scratch=tmp_path)


def test_contract_of_a_masked_model(bert_folder, rare_words, tmp_path):
    events = rare_words.iloc[-12:]
    check_extractor(surprisal, config_of(bert_folder, weights=("trained", "untrained")), events, scratch=tmp_path)


def test_contract_for_sentences(gpt2_folder, word_events, sentences, tmp_path):
    events = word_events([*sentences, "so"]).rename(columns={"word": "sentence"})
    check_extractor(surprisal, config_of(gpt2_folder, min_context=10), events, scratch=tmp_path, atol=1e-4)


def test_fault_16_text_longer_than_the_context(gpt2_folder, story):
    layer = surprisal.extract(story, config_of(gpt2_folder))["-"]
    assert layer.provenance["n_windows"] > 2
    counts = surprisal.plan(story, config_of(gpt2_folder))
    assert counts["n_windows"] == layer.provenance["n_windows"]
    assert counts["n_tokens"] == layer.provenance["n_tokens"]
    n_extra = 2 + (1 + MIN_CONTEXT) * (counts["n_windows"] - 2)  # a token before every window, overlaps within run 1
    assert counts["n_tokens_read"] == counts["n_tokens"] + n_extra


def test_plan_of_a_masked_model_counts_a_pass_per_token(bert_folder, rare_words):
    counts = surprisal.plan(rare_words, config_of(bert_folder))
    assert counts["n_windows"] == counts["n_tokens"] > counts["n_words"] == len(rare_words)


def test_fault_17_tokenizer_of_another_model(make, story, tmp_path):
    folder = make.save(tmp_path, make.tiny_gpt2(vocab_size=300), make.byte_level_tokenizer())
    assert "outside the vocabulary of 300" in surprisal.check(story, config_of(folder))[0]
    with pytest.raises(BrainalignError, match="belongs to another model"):
        surprisal.extract(story, config_of(folder))


@pytest.mark.parametrize("name", ["bos_token", "eos_token"])
def test_fault_17_special_tokens_of_another_causal_model(name, make, story, tmp_path):
    tokenizer = make.byte_level_tokenizer()
    tokenizer.add_special_tokens({name: "<|other|>"})
    (problem,) = surprisal.check(story, config_of(make.save(tmp_path, make.tiny_gpt2(), tokenizer)))
    assert problem.startswith("token '<|other|>' has id 400, outside the vocabulary of 400 ")


def test_fault_17_mask_token_of_another_model(bert_folder, make, story, tmp_path):
    tokenizer = make.word_piece_tokenizer()
    tokenizer.add_tokens([f"<{i}>" for i in range(200)])
    tokenizer.add_special_tokens({"mask_token": "[HIDDEN]"})
    folder = make.save(tmp_path, language_model(bert_folder, transformers.AutoModelForMaskedLM), tokenizer)
    (problem,) = surprisal.check(story, config_of(folder))
    assert problem.startswith(f"token '[HIDDEN]' has id {tokenizer.mask_token_id}, outside the vocabulary of 200 ")


def test_fault_18_events_without_text(gpt2_folder, word_events):
    events = word_events(["a", " ", "b"])
    assert "hold no text" in surprisal.check(events, config_of(gpt2_folder))[0]
    with pytest.raises(BrainalignError, match="1 events hold no text, the first is event 1"):
        surprisal.extract(events, config_of(gpt2_folder))
    with pytest.raises(BrainalignError, match="neither a column 'word' nor 'sentence'"):
        surprisal.extract(events.drop(columns="word"), config_of(gpt2_folder))


def test_fault_22_unicode_and_fault_23_words_that_look_like_something_else(gpt2_folder, word_events):
    words_of_run = ["null", "NA", "1e5", '"', "naïve", "nai\u0308ve", "“so”", "🙂", "don’t", "…"]
    got = frame_of(word_events(words_of_run), config_of(gpt2_folder))
    assert len(got) == len(words_of_run)
    assert (got["surprisal"] > 0).all()
    assert (got["n_tokens"] >= 1).all()
    assert got["surprisal"][4] != pytest.approx(got["surprisal"][5])


def test_fault_24_the_token_before_a_window_is_recorded(gpt2_folder, bert_folder, story):
    causal, masked = (surprisal.extract(story.iloc[-3:], config_of(f))["-"] for f in (gpt2_folder, bert_folder))
    assert causal.provenance["special_tokens"] == {"begin": [0], "end": []}
    assert masked.provenance["special_tokens"] == {"begin": [2], "end": [3]}


def test_fault_27_a_value_that_is_not_finite_is_named(make, story, tmp_path):
    tokenizer, model = make.byte_level_tokenizer(), make.tiny_gpt2()
    row = tokenizer(" remarkable", add_special_tokens=False)["input_ids"][-1]
    untied = transformers.GPT2Config(**(model.config.to_dict() | {"tie_word_embeddings": False}))
    untied = transformers.GPT2LMHeadModel(untied)
    with torch.no_grad():
        for weight in untied.parameters():
            weight.add_(0.1)
        untied.transformer.wte.weight[row] = float("nan")
    folder = make.save(tmp_path, untied, tokenizer)
    with pytest.raises(
        BrainalignError, match=r"layer -: \d+ probabilities are not finite, the first is of word .* event"
    ):
        surprisal.extract(story, config_of(folder))


def test_fault_29_the_same_stimulus_twice_in_two_runs(gpt2_folder, word_events, sentences):
    of_run = sentences[0].split()
    got = frame_of(word_events(of_run, ["very", "tired"], of_run), config_of(gpt2_folder))
    np.testing.assert_allclose(got[: len(of_run)], got[-len(of_run) :], atol=1e-5)


def test_nothing_crosses_a_run_and_order_of_runs_does_not_matter(gpt2_folder, story):
    config = config_of(gpt2_folder)
    alone = frame_of(story[story["run"] == "2"], config)
    whole = frame_of(story, config)
    np.testing.assert_allclose(whole[-3:], alone, atol=1e-5)
    mixed = story.sort_values("onset", kind="stable")
    np.testing.assert_allclose(frame_of(mixed, config), whole.to_numpy()[mixed.index], atol=1e-5)


def test_later_words_change_nothing(gpt2_folder, word_events):
    first, second, alone = (
        frame_of(word_events(["so", "she", *rest]), config_of(gpt2_folder)) for rest in (["book"], ["very", "was"], [])
    )
    np.testing.assert_allclose(first[:2], alone, atol=1e-6)
    np.testing.assert_allclose(second[:2], alone, atol=1e-6)


def test_tokenizers_that_do_not_mark_where_words_begin(make, story, tmp_path):
    folder = make.save(tmp_path, make.tiny_gpt2(vocab_size=200), make.word_piece_tokenizer())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"bos_token": "[CLS]"}))
    with pytest.raises(BrainalignError, match=r"no token .* begins with Ġ or ▁: it does not mark"):
        surprisal.extract(story, config_of(folder))
    assert len(surprisal.check(story, config_of(folder))) == 1


def test_tokens_begin_words_whatever_their_numbers(gpt2_folder):
    tokenizer = load_tokenizer(gpt2_folder)
    begins = begins_word(tokenizer, 400)
    written = json.loads(tokenizer.backend_tokenizer.to_str())
    numbers = written["model"]["vocab"]
    moved = [token for token in numbers if token.startswith("Ġ")][:5]
    numbers |= {token: 450 + i for i, token in enumerate(moved)}
    gaps = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(written)))
    found = begins_word(gaps, 460)
    assert np.flatnonzero(found[400:]).tolist() == [50, 51, 52, 53, 54]
    assert found.sum() == begins.sum()


def test_tokenizers_that_lose_the_space(make, story, sentences, tmp_path):
    """A few tokens have the mark, those of the words do not."""
    tokenizer = make.byte_level_tokenizer(prefix_space=False)
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    folder = make.save(tmp_path, make.tiny_gpt2(), tokenizer)
    with pytest.raises(BrainalignError, match=r"'was' \(run '1'\) begins with the token .* does not hold the space"):
        surprisal.extract(story, config_of(folder))


def test_the_end_of_text_token_begins_a_text_where_there_is_no_other(make, story, gpt2_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(gpt2_folder, folder)
    path = folder / "tokenizer_config.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps({**written, "bos_token": None}))
    np.testing.assert_array_equal(frame_of(story, config_of(folder)), frame_of(story, config_of(gpt2_folder)))
    path.write_text(json.dumps({**written, "bos_token": None, "eos_token": None}))
    with pytest.raises(BrainalignError, match="neither a beginning-of-text nor an end-of-text token"):
        surprisal.extract(story, config_of(folder))


def test_a_model_saved_without_its_head(bert_folder, story, tmp_path):
    folder = tmp_path / "headless"
    shutil.copytree(bert_folder, folder)
    transformers.AutoModel.from_pretrained(bert_folder, dtype=torch.float32, add_pooling_layer=False).save_pretrained(
        folder
    )
    with pytest.raises(
        BrainalignError, match=r"lack .* of the model.* BertForMaskedLM that was saved without its head"
    ):
        surprisal.extract(story, config_of(folder))


def test_contexts_that_do_not_fit(gpt2_folder, bert_folder, story):
    for folder, options, message in (
        (
            gpt2_folder,
            {"min_context": 31},
            "min_context 31 leaves no token .* 1 of them special; .* at most 30",
        ),
        (gpt2_folder, {"window": 33}, "window 33: .* reads at most 32 tokens"),
        (bert_folder, {"min_context": 11}, "on both sides leaves no token .* 2 of them special; .* at most 10"),
    ):
        with pytest.raises(BrainalignError, match=message):
            surprisal.extract(story, config_of(folder, **options))
        assert len(surprisal.check(story, config_of(folder, **options))) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"quantities": ()}, "quantities"),
        ({"quantities": ("surprisal", "surprisal")}, "once"),
        ({"quantities": ("entropy",)}, "quantities"),
        ({"masking": "word"}, "masking"),
        ({"revision": "main"}, "revision"),
        ({"batch_size": 0}, "batch_size"),
        ({"prepend_bos": False}, "prepend_bos"),
    ],
)
def test_settings_that_make_no_sense(options, named):
    with pytest.raises(ValueError, match=named):
        surprisal.Config(**options)


def test_quantities_are_the_columns_in_order(gpt2_folder, story):
    config = config_of(gpt2_folder, quantities=("n_tokens", "surprisal"))
    got = frame_of(story, config)
    assert tuple(got.columns) == ("n_tokens", "surprisal")
    np.testing.assert_array_equal(got, frame_of(story, config_of(gpt2_folder))[["n_tokens", "surprisal"]])


def test_provenance_is_json_without_paths_of_this_machine(gpt2_folder, story):
    layer = surprisal.extract(story, config_of(gpt2_folder))["-"]
    written = json.loads(json.dumps(layer.provenance))
    assert written["settings"]["model"] == gpt2_folder.name
    assert str(gpt2_folder.parent) not in json.dumps(written)
    assert written["information"] == "bits"
    assert written["n_words_unknown"] == 0


def test_nothing_is_printed_and_random_numbers_are_left_alone(gpt2_folder, bert_folder, story, capfd):
    state = torch.get_rng_state()
    for folder in (gpt2_folder, bert_folder):
        surprisal.extract(story, config_of(folder), weights="untrained")
    assert capfd.readouterr() == ("", "")
    assert torch.equal(state, torch.get_rng_state())


def test_is_in_the_registry():
    assert EXTRACTORS["surprisal"] is surprisal


def test_importing_the_settings_is_light():
    code = "import brainalign.extract.surprisal, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "brainalign.extract.surprisal" in loaded
    assert not {"torch", "transformers", "tokenizers"} & set(loaded)


# -------------------------------------------------------------------------------------------------- the quality table


def test_words_table(gpt2_folder, word_events):
    events = word_events(["the", "remarkable", " ", "book"], ["so"], ["  "])
    table = surprisal.words_table(events, config_of(gpt2_folder)).set_index("run")
    tokenizer = transformers.AutoTokenizer.from_pretrained(gpt2_folder)
    n_tokens = [len(tokenizer(w, add_special_tokens=False)["input_ids"]) for w in ("the", "remarkable", "book")]
    assert table.loc["1"].to_dict() == pytest.approx(
        {
            "n_words": 3,
            "n_without_text": 1,
            "n_unknown": 0,
            "words_per_second": 3 / 1.9,  # from 0 to 1.5 + 0.4 s
            "tokens_per_word": np.mean(n_tokens),
            "share_split": np.mean(np.array(n_tokens) > 1),
        }
    )
    assert table.loc["2", "words_per_second"] == pytest.approx(1 / 0.4)
    assert table.loc["3", ["n_words", "n_without_text"]].tolist() == [0, 1]
    assert table.loc["3", ["words_per_second", "tokens_per_word"]].isna().all()
    assert surprisal.words_table(word_events([" "]), config_of(gpt2_folder))["n_words"].tolist() == [0]


def test_words_table_counts_unknown_words_and_words_of_sentences(bert_folder, gpt2_folder, word_events, sentences):
    table = surprisal.words_table(word_events(["the", "🙂", "book"]), config_of(bert_folder))
    assert table["n_unknown"].tolist() == [1]
    events = word_events(list(sentences)).rename(columns={"word": "sentence"})
    table = surprisal.words_table(events, config_of(gpt2_folder))
    assert table["n_words"].tolist() == [len(" ".join(sentences).split())]
    layer = surprisal.extract(word_events(["the", "🙂"]), config_of(bert_folder))["-"]
    assert layer.provenance["n_words_unknown"] == 1


# ------------------------------------------------------------------------------------------------------- real words


@pytest.fixture(scope="module")
def alice(data_dir):
    from brainalign.data import brennan2016

    events = brennan2016.load(brennan2016.Config(subjects=("s18",)), data_dir).events
    return events, frame_of(events, surprisal.Config(quantities=ALL))


def test_the_shipped_model_on_alice_is_near_its_card(alice, load_analysis):
    """The card's bits per byte are of the printed novel; the bytes of a word are its own and those of a space.

    Bits per word = bits per byte * bytes per word. The words of the recording have no punctuation, so only near.
    """
    events, got = alice
    assert len(got) == len(events) == 2127
    text, _ = join_units(tuple(events["word"]), attach_clitics=True)
    n_bytes = len(f" {text}".encode())
    figures = json.loads((resolve_model("shipped").folder / "figures.json").read_text())
    of_card = figures["bits_per_byte_excluded"]["ENG18652_Carroll"]
    assert got["surprisal"].mean() == pytest.approx(of_card * n_bytes / len(events), rel=0.06)
    folder = resolve_model("shipped").folder
    of_training = load_analysis("train_gpt2").bits_per_byte(language_model(folder), load_tokenizer(folder), text)
    assert got["surprisal"].sum() / n_bytes == pytest.approx(of_training, rel=0.01)


def test_the_shipped_model_finds_long_and_rare_words_surprising(alice):
    events, got = alice
    length = [sum(map(str.isalnum, word)) for word in events["word"]]
    frequency = words.log_frequency(list(events["word"]), words.read_counts(words.SHIPPED_COUNTS))
    assert spearmanr(got["surprisal"], length).statistic > 0.4
    assert spearmanr(got["surprisal"], frequency).statistic < -0.6
    assert got["rank_first_token"].median() <= 20
    untrained = frame_of(events.iloc[:300], surprisal.Config(), weights="untrained")
    assert untrained["surprisal"].mean() > got["surprisal"][:300].mean() + 3
