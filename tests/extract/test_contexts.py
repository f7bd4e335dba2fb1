"""What is read before a word, and that every word keeps its row."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainalign.errors import BrainalignError, Misaligned
from brainalign.extract._contexts import NO_EVENT, texts_in_context
from brainalign.extract._model import load_tokenizer
from brainalign.extract._tokens import texts_of, tokenize
from brainalign.extract.words import sentence_numbers

CONTEXTS = ("run", "sentence", "last_k_words", "shuffled_in_sentence", "shuffled_in_run")
STORY = "Mr. Fox ran. “Do n't go!” she said. It 's late … so he went"


@pytest.fixture
def story(word_events):
    return word_events(STORY.split(), ["One", "run.", "Another", "run"])


def read(text):
    return " ".join(text.units)


def options_of(context):
    return {"context": context, "k_words": 2 if context == "last_k_words" else None}


def kept(events_of_texts):
    return np.concatenate([events[events != NO_EVENT] for events in events_of_texts])


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_event_is_read_once_with_its_own_word_and_nothing_crosses_a_run(story, context):
    mixed = story.sort_values(["onset", "run"], kind="stable")
    texts = texts_in_context(mixed, **options_of(context))
    assert sorted(kept(text.events for text in texts)) == list(range(len(mixed)))
    for text in texts:
        own = text.events != NO_EVENT
        assert mixed["word"].iloc[text.events[own]].tolist() == [text.units[i] for i in np.flatnonzero(own)]
        assert set(mixed["run"].iloc[text.events[own]]) == {text.run}
        assert set(text.units) <= set(mixed.loc[mixed["run"] == text.run, "word"])


def test_a_run_is_one_text_by_default(story):
    for text, expected in zip(texts_in_context(story), texts_of(story), strict=True):
        assert (text.run, text.units, text.events.tolist()) == (expected.run, expected.units, expected.events.tolist())


def test_sentences_end_with_punctuation_but_not_after_a_title(story):
    texts = texts_in_context(story, context="sentence")
    assert [read(text) for text in texts] == [
        "Mr. Fox ran.",
        "“Do n't go!”",
        "she said.",
        "It 's late …",
        "so he went",
        "One run.",
        "Another run",
    ]
    assert [text.run for text in texts] == ["1"] * 5 + ["2"] * 2


def test_sentence_id_comes_before_punctuation_and_is_counted_within_runs(story):
    numbered = story.assign(sentence_id=[0] * 5 + [7] * (len(story) - 5))
    assert [read(text) for text in texts_in_context(numbered, context="sentence")] == [
        "Mr. Fox ran. “Do n't",
        "go!” she said. It 's late … so he went",
        "One run. Another run",
    ]
    numbers = sentence_numbers(story.assign(sentence_id=1))
    assert len(set(numbers)) == 2


def test_where_sentences_begin_must_be_known(story, word_events):
    with pytest.raises(Misaligned, match="no column sentence_id and no word ends with"):
        texts_in_context(word_events(["a", "b"]), context="sentence")
    with pytest.raises(Misaligned, match="2 events have no sentence_id, the first is event 3"):
        texts_in_context(story.assign(sentence_id=np.where(story.index.isin([3, 5]), np.nan, 1)), context="sentence")
    with pytest.raises(Misaligned, match=r"run '1': the sentence_id of event 2 \('c'\) was that of earlier words"):
        texts_in_context(word_events(["a", "b", "c"]).assign(sentence_id=[1, 2, 1]), context="shuffled_in_sentence")


@pytest.mark.parametrize("k_words", [0, 1, 3, 100])
def test_last_k_words_are_exactly_the_k_words_before_in_the_run(story, k_words):
    texts = texts_in_context(story, context="last_k_words", k_words=k_words)
    assert len(texts) == len(story)
    for i, text in enumerate(texts):
        words = story.loc[story["run"] == story["run"][i], "word"].loc[:i]
        assert list(text.units) == words.iloc[-1 - k_words :].tolist()
        assert text.events.tolist() == [NO_EVENT] * (len(text.units) - 1) + [i]


def test_shuffled_in_sentence_keeps_sentences_in_place_and_clitics_with_their_words(story):
    orders = set()
    for seed in range(20):
        texts = texts_in_context(story, context="shuffled_in_sentence", seed=seed)
        assert len(texts) == 2
        sentences = [text for text in texts_in_context(story, context="sentence") if text.run == "1"]
        stops = np.cumsum([len(sentence.events) for sentence in sentences])[:-1]
        for part, sentence in zip(np.split(texts[0].events, stops), sentences, strict=True):
            assert sorted(part) == sentence.events.tolist()
        assert "Do n't" in read(texts[0]).replace("“", "")
        assert "It 's" in read(texts[0])
        orders.add(read(texts[0]))
    assert len(orders) > 10


def test_shuffled_in_run_takes_every_order_alike(word_events):
    events = word_events(list("abc"))
    orders = [read(texts_in_context(events, context="shuffled_in_run", seed=seed)[0]) for seed in range(600)]
    counts = pd.Series(orders).value_counts()
    assert len(counts) == 6
    assert counts.between(60, 145).all()  # 100 each, SD 9


def test_clitics_are_shuffled_alone_where_they_are_not_attached(word_events):
    events = word_events(["it", "'s", "he", "'d"])
    apart = [
        read(texts_in_context(events, context="shuffled_in_run", seed=seed, attach_clitics=False)[0])
        for seed in range(30)
    ]
    together = {read(texts_in_context(events, context="shuffled_in_run", seed=seed)[0]) for seed in range(30)}
    assert together == {"it 's he 'd", "he 'd it 's"}
    assert not set(apart) <= together


@pytest.mark.parametrize("context", ["shuffled_in_sentence", "shuffled_in_run"])
def test_the_order_of_a_run_depends_on_the_seed_and_on_no_other_run(story, context):
    def orders(events, seed):
        return {text.run: text.units for text in texts_in_context(events, context=context, seed=seed)}

    assert orders(story, 3) == orders(story, 3)
    assert orders(story, 3) != orders(story, 4)
    assert orders(story[story["run"] == "2"], 3)["2"] == orders(story, 3)["2"]


def test_events_that_are_sentences(word_events):
    events = word_events(["a b c d e f g", "a b c d e f g", "h i j k l"]).rename(columns={"word": "sentence"})
    for context in ("run", "sentence"):
        assert [text.units for text in texts_in_context(events, context=context)] == [(s,) for s in events["sentence"]]
    shuffled = texts_in_context(events, context="shuffled_in_sentence", seed=1)
    assert [text.events.tolist() for text in shuffled] == [[0], [1], [2]]
    assert shuffled[0].units == shuffled[1].units != (events["sentence"][0],)
    assert sorted(shuffled[2].units[0].split()) == list("hijkl")
    for context in ("last_k_words", "shuffled_in_run"):
        with pytest.raises(BrainalignError, match=f"{context}.* is for events with a column word"):
            texts_in_context(events, **options_of(context))


PIECES = (
    "é",
    "ñ",
    "ü",
    "ά",
    "ệ",
    "한",
    "😀",
    "👩‍👩‍👧",
    "🇫🇷",
    "👍🏽",
    "“",
    "”",
    "‘",
    "’",
    "’s",
    "n’t",
    "'ll",
    "—",
    "…",
    "don’t",
    "a",
    "The",
)
words_of_pieces = st.lists(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join), min_size=1, max_size=10
)


@pytest.fixture(scope="module")
def tokenizers(gpt2_folder, bert_folder, roberta_folder):
    return [load_tokenizer(folder) for folder in (gpt2_folder, bert_folder, roberta_folder)]


@settings(max_examples=60, deadline=None)
@given(
    words=words_of_pieces,
    form=st.sampled_from(["NFC", "NFD"]),
    context=st.sampled_from(CONTEXTS),
    seed=st.integers(0, 9),
)
def test_fault_22_the_words_of_every_context_have_tokens_in_the_order_they_are_read(
    tokenizers, word_events, words, form, context, seed
):
    words = [unicodedata.normalize(form, word) for word in words]
    events = word_events(words, words[:1]).assign(sentence_id=lambda e: np.arange(len(e)) // 3)
    texts = texts_in_context(events, seed=seed, **options_of(context))
    for tokenizer in tokenizers:
        tokens = tokenize(texts, tokenizer)
        assert sorted(set(kept(of_text.event for of_text in tokens))) == list(range(len(events)))
        for text, of_text in zip(texts, tokens, strict=True):
            starts = np.flatnonzero(np.diff(of_text.event, prepend=-2))
            read_order = [event for i, event in enumerate(text.events) if i == 0 or event != text.events[i - 1]]
            assert of_text.event[starts].tolist() == read_order


@settings(max_examples=60, deadline=None)
@given(words=words_of_pieces)
def test_fault_22_composed_and_decomposed_letters_keep_their_word(tokenizers, word_events, words):
    """Both spellings of a word are read back whole from the tokens that it was given."""
    for form in ("NFC", "NFD"):
        spelt = [unicodedata.normalize(form, word) for word in words]
        tokens = tokenize(texts_of(word_events(spelt)), tokenizers[0], attach_clitics=False)[0]
        for i, word in enumerate(spelt):
            assert tokenizers[0].decode(tokens.ids[tokens.event == i]).strip() == word
