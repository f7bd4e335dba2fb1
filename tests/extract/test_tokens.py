"""Words to tokens."""

import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainalign.errors import BrainalignError, Misaligned
from brainalign.extract._model import load_tokenizer
from brainalign.extract._tokens import Text, event_problems, is_clitic, join_units, stimulus_column, texts_of, tokenize


@pytest.fixture(scope="module")
def tokenizer(gpt2_folder):
    return load_tokenizer(gpt2_folder)


@pytest.fixture(scope="module")
def bert_tokenizer(bert_folder):
    return load_tokenizer(bert_folder)


def text_of(*words, run="1", first=0):
    return Text(run, np.arange(first, first + len(words)), tuple(words))


def owners_by_character(tokenizer, text, words):
    """Oracle: place the words in the text one after the other, then look up each token's first character."""
    spans, position = [], 0
    for word in words:
        start = text.index(word, position)
        spans.append((start, start + len(word)))
        position = start + len(word)
    owners = []
    for start, _ in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]:
        inside = [i for i, (_, stop) in enumerate(spans) if start < stop]
        owners.append(inside[0] if inside else len(words) - 1)
    return owners


words_of_unicode = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).map(str.strip).filter(bool), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(words=words_of_unicode)
def test_fault_22_word_token_map_is_total_and_monotone(tokenizer, words):
    tokens = tokenize([text_of(*words, first=5)], tokenizer)[0]
    assert (np.diff(tokens.event) >= 0).all()
    assert set(tokens.event) == set(range(5, 5 + len(words)))
    text, _ = join_units(tuple(words), attach_clitics=True)
    assert tokens.ids.tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert (tokens.event - 5).tolist() == owners_by_character(tokenizer, text, words)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_fault_22_accents_emoji_and_curly_quotes_keep_their_word(tokenizer, bert_tokenizer, form):
    words = tuple(unicodedata.normalize(form, word) for word in ("café", "😀", "“naïve”", "👩‍👩‍👧", "don’t", "日本語"))
    for each in (tokenizer, bert_tokenizer):
        tokens = tokenize([text_of(*words)], each)[0]
        assert set(tokens.event) == set(range(len(words)))
    by_bytes = tokenize([text_of(*words)], tokenizer)[0]
    for i, word in enumerate(words):
        assert tokenizer.decode(by_bytes.ids[by_bytes.event == i]).strip() == word


def test_fault_22_a_word_without_a_token_is_named(bert_tokenizer):
    with pytest.raises(BrainalignError, match=r"no token to '\\u200b' \(run '3', event 12\)"):
        tokenize([text_of("the", "book", "\u200b", "is", run="3", first=10)], bert_tokenizer)


def test_fault_22_a_word_that_shares_its_only_token_is_named(make):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    whole = Tokenizer(models.WordLevel({"what's": 0, "[UNK]": 1}, unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="[UNK]")
    with pytest.raises(BrainalignError, match=r"no token to \"'s\".*'what'.*attach_clitics = false"):
        tokenize([text_of("what", "'s", "this")], tokenizer)
    apart = tokenize([text_of("what", "'s", "this")], tokenizer, attach_clitics=False)[0]
    assert apart.event.tolist() == [0, 1, 2]


def test_fault_23_words_that_look_like_missing_values_stay_words(tokenizer, word_events):
    words = ["null", "None", "NA", "nan", "true", "1e5", '"']
    tokens = tokenize(texts_of(word_events(words)), tokenizer)[0]
    assert [tokenizer.decode(tokens.ids[tokens.event == i]).strip() for i in range(len(words))] == words


def test_fault_24_golden_tokens_with_and_without_a_space_before_the_first_word(make, tokenizer):
    def pieces(which):
        return which.convert_ids_to_tokens(tokenize([text_of("Alice", "was", "beginning")], which)[0].ids.tolist())

    assert pieces(tokenizer) == ["ĠAlice", "Ġwas", "Ġbeg", "inning"]
    assert pieces(make.byte_level_tokenizer(prefix_space=False))[0] != "ĠAlice"


def test_clitics_are_attached_to_a_word_and_nothing_else():
    text, owner = join_units(("do", "n't", "what", "'s", "Alice", "’S", "'twas", "—", "'s"), attach_clitics=True)
    assert text == "don't what's Alice’S 'twas — 's"
    assert "".join(text[i] for i in np.flatnonzero(owner == 1)) == "n't"
    assert "".join(text[i] for i in np.flatnonzero(owner == 2)) == " what"
    assert join_units(("do", "n't"), attach_clitics=False)[0] == "do n't"
    assert join_units(("'s", "n't"), attach_clitics=True)[0] == "'sn't"
    for form in ("NFC", "NFD"):
        cafe = unicodedata.normalize(form, "café")
        assert join_units((cafe, "'s"), attach_clitics=True)[0] == f"{cafe}'s"
    assert not is_clitic("s")


def test_attached_clitics_read_as_the_printed_word(tokenizer):
    split = tokenize([text_of("she", "'d", "think", "it", "'s", "so")], tokenizer)[0]
    printed = tokenize([text_of("she'd", "think", "it's", "so")], tokenizer)[0]
    assert split.ids.tolist() == printed.ids.tolist()
    assert set(split.event) == set(range(6))


def test_a_token_of_spaces_belongs_to_the_word_after_it(make):
    without_trim = make.byte_level_tokenizer()
    from tokenizers import processors

    without_trim.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    words = ("the", "éé", "very", "日")
    trimmed = tokenize([text_of(*words)], make.byte_level_tokenizer())[0]
    tokens = tokenize([text_of(*words)], without_trim)[0]
    pieces = without_trim.convert_ids_to_tokens(tokens.ids.tolist())
    assert pieces[1] == "Ġ"
    assert tokens.event.tolist() == trimmed.event.tolist()
    assert tokens.event[1] == 1


def test_words_make_a_text_per_run_and_sentences_one_each(word_events, sentences):
    events = word_events(["a", "b"], ["c"])
    assert [(text.run, text.units, text.events.tolist()) for text in texts_of(events)] == [
        ("1", ("a", "b"), [0, 1]),
        ("2", ("c",), [2]),
    ]
    mixed = events.iloc[[0, 2, 1]]
    assert [text.events.tolist() for text in texts_of(mixed)] == [[0, 2], [1]]
    as_sentences = events.rename(columns={"word": "sentence"})
    assert [text.units for text in texts_of(as_sentences)] == [("a",), ("b",), ("c",)]
    both = events.assign(sentence="a b c")
    assert len(texts_of(both)) == 2


@pytest.mark.parametrize("empty", ["", "  ", "\t", "\u3000", None, float("nan"), 5])
def test_fault_18_an_event_without_text_is_named(word_events, empty):
    events = word_events(["the", "book"], ["is", "mine"])
    events["word"] = events["word"].astype(object)
    events.loc[2, "word"] = empty
    with pytest.raises(BrainalignError, match=r"1 events hold no text, the first is event 2: .*run '2'"):
        texts_of(events)


def test_fault_18_a_word_of_punctuation_is_a_word(tokenizer):
    tokens = tokenize([text_of("well", "—", "...", "no")], tokenizer)[0]
    assert set(tokens.event) == {0, 1, 2, 3}


def test_problems_of_events_are_listed_together(word_events):
    events = word_events(["a", "b", "c"])
    assert event_problems(events) == []
    assert "['onset', 'duration']" in event_problems(events[["run", "word"]])[0]
    assert "neither a column 'word' nor 'sentence'" in event_problems(events.drop(columns="word"))[0]
    assert event_problems(events.iloc[:0]) == ["there are no events"]
    broken = events.assign(word=["a", " ", "c"], onset=[1.0, 2.0, 0.5])
    assert [problem.split(",")[0] for problem in event_problems(broken)] == [
        "1 events hold no text",
        "run '1': onsets go back in time; sort the events by onset within each run",
    ]
    assert "have no onset" in event_problems(events.assign(onset=[0.0, np.nan, 1.0]))[0]
    assert "have a run that is no text" in event_problems(events.assign(run=[1, 1, 1]))[0]
    with pytest.raises(Misaligned, match="neither"):
        stimulus_column(events.drop(columns="word"))
