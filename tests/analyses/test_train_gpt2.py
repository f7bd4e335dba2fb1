import json
import lzma

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def training(load_analysis):
    return load_analysis("train_gpt2")


@pytest.fixture(scope="module")
def shipped(training, repository):
    from transformers import GPT2LMHeadModel

    folder = repository / "brainalign" / "extract" / "gpt2_novels"
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    return model, training.PreTrainedTokenizerFast.from_pretrained(folder), folder


def test_books_are_split_at_their_titles(training, tmp_path):
    path = tmp_path / "x.xz"
    path.write_bytes(lzma.compress("### level1/A.xml\nOne “two”\nthree.\n### level1/B.xml\nFour.\n".encode()))
    assert training.read_books(path) == {"A": 'One "two" three.', "B": "Four."}


def test_a_transcript_has_the_words_only(training):
    assert training.transcript("\"Don't,\" said he—'twas well-known!") == "Don't said he twas well known"


def test_the_order_of_training_does_not_depend_on_interruption(training, shipped):
    config = training.Config(batch_size=2, n_positions=8)
    reading = training.Reading({"a": "one two three " * 400, "b": "four five six " * 300}, shipped[1], config)
    whole = [batch for _, batch in zip(range(12), reading.batches(0), strict=False)]
    resumed = [batch for _, batch in zip(range(5), reading.batches(7), strict=False)]
    assert all(torch.equal(one, two) for one, two in zip(whole[7:], resumed, strict=True))


def test_the_learning_rate_warms_up_stays_and_falls_to_zero(training):
    config = training.Config(n_steps=1000, warmup_steps=100, decay_share=0.4)
    rates = [training.learning_rate(step, config) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert set(rates[99:600]) == {1.0}
    assert all(np.diff(rates[600:]) < 0)
    assert rates[-1] < 0.003


def test_shared_ngrams_are_counted_as_spoken(training):
    assert training.shared_ngrams(["He said: one TWO three four"], "one two, three four five", 3) == pytest.approx(
        2 / 3
    )


def test_bits_per_byte_is_the_plain_sum_of_the_log_probabilities(training, shipped):
    model, tokenizer, _ = shipped
    text = "The engineer came on the ninth, as the letter had promised."
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        logs = torch.log_softmax(model(ids).logits[0, :-1].double(), -1)
    bits = -logs[torch.arange(ids.shape[1] - 1), ids[0, 1:]].sum().item() / np.log(2)
    expected = bits / len(tokenizer.decode(ids[0]).encode())
    assert training.bits_per_byte(model, tokenizer, text) == pytest.approx(expected, rel=1e-5)


def test_the_shipped_model_is_small_and_its_card_says_what_it_is(shipped, training):
    model, _, folder = shipped
    assert (folder / "model.safetensors").stat().st_size <= 9_000_000
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 10_000_000
    card = (folder / "README.md").read_text()
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["n_parameters"] == model.num_parameters()
    assert figures["config"] == json.loads(training.Config().model_dump_json())
    assert "ENG18652_Carroll" in figures["config"]["excluded"]
    for bits in figures["bits_per_byte"].values():
        assert str(bits) in card


def test_the_shipped_model_predicts_a_held_out_novel_as_its_card_says(training, shipped, data_dir):
    model, tokenizer, folder = shipped
    books = training.read_books(data_dir / "eltec_eng" / "eltec_eng_level1_plain.txt.xz")
    figures = json.loads((folder / "figures.json").read_text())
    title = "ENG19200_Lawrence"
    bits = training.bits_per_byte(model, tokenizer, books[title], n_tokens=20_000)
    assert bits == pytest.approx(figures["bits_per_byte"][title], abs=0.06)  # the first tenth of the novel
