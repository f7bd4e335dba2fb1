"""Word rate, length, frequency and position."""

import gzip
import importlib.metadata
import math
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from brainalign.errors import BrainalignError, Misaligned, MissingData, UnknownName
from brainalign.extract import words
from brainalign.extract._tokens import CLITICS

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]

WORDS = ("Alice", "was", '"well,"', "don", "’t", "said.", "Null", "—", "Mr.", "Rabbit!”", "so")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "counts.tsv"
    path.write_text("word\tcount\nalice\t3\nnull\t5\nwas\t90\nWas\t10\n\"\t2\ndon't\t7\nwell\t4\n", encoding="utf-8")
    return str(path)


def of(events, *quantities, **settings):
    config = words.Config(quantities=quantities, **settings)
    activations = words.extract(events, config)
    assert list(activations) == list(words.layer_names(config)) == ["-"]
    return activations["-"]


def test_golden_values(word_events, table):
    events = word_events(WORDS, ["was", "so"])
    got = of(events, *words.QUANTITIES, frequency_table=table)
    assert got.values.dtype == np.float32
    assert got.columns["unit"].tolist() == list(words.QUANTITIES)
    assert set(got.columns["layer"]) == {"-"}
    by_name = dict(zip(got.columns["unit"], got.values.T, strict=True))
    assert by_name["rate"].tolist() == [1] * 13
    assert by_name["length"].tolist() == [5, 3, 4, 3, 1, 4, 4, 0, 2, 6, 2, 3, 2]
    assert by_name["position_in_run"].tolist() == [*range(11), 0, 1]
    assert by_name["position_in_sentence"].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 0, 0, 1]
    # alice 3, null 5, was 100, a quote 2 (it is no dash), don't 7, well 4 and the clitics 't and n't of don't, 7 each
    counts = [3, 100, 4, 0, 7, 0, 5, 0, 0, 0, 0, 100, 0]
    per_million = 1e6 / (3 + 5 + 100 + 2 + 7 + 4 + 14 + 8)
    expected = [math.log(per_million * (count + 1)) for count in counts]
    np.testing.assert_allclose(by_name["log_frequency"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("Alice", "alice"),
        ("‘Well,’", "well"),
        ("DON’T", "don't"),
        ("n't", "n't"),
        ("’S", "'s"),
        ("'twas", "twas"),
        ("well-known", "well-known"),
        ("—", "—"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("1e5", "1e5"),
        ("café.", "café"),
        ("«Cafe\u0301.»", "café"),
        ("nai\u0308ve", "naïve"),
        ("की।", "की"),
        ("book❤\ufe0f", "book"),
    ],
)
def test_words_are_looked_up_without_case_and_punctuation(word, key):
    assert words.word_key(word) == key


def test_fault_23_the_table_keeps_words_that_look_like_missing_values(tmp_path):
    path = tmp_path / "counts.tsv.gz"
    listed = ["null", "none", "na", "nan", "true", "1e5"]
    lines = ["word\tcount", *(f"{word}\t{i + 1}" for i, word in enumerate(listed)), '"\t9', "after\t8"]
    path.write_bytes(gzip.compress("\r\n".join(lines).encode()))
    assert words.read_counts(path) == {word: i + 1 for i, word in enumerate(listed)} | {'"': 9, "after": 8}


def test_the_count_of_a_clitic_includes_the_words_that_end_with_it(tmp_path):
    path = tmp_path / "counts.tsv"
    path.write_text("word\tcount\ndon't\t7\ncan't\t2\nalice's\t4\n'll\t30\nshe'll\t5\n")
    counts = words.read_counts(path)
    assert {clitic: counts[clitic] for clitic in CLITICS if clitic in counts} == {"n't": 9, "'t": 9, "'s": 4, "'ll": 35}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"word\tn\nthe\t3\n", r"must name word and count, got \['word', 'n'\]"),
        (b"", "must name word and count, got nothing"),
        (b"word\tcount\nthe\t3\nof\n", "line 3: expected a word and a whole count"),
        (b"word\tcount\nthe\t3.5\n", "line 2"),
        (b"word\tcount\nthe\t0\n", "line 2"),
        (b"word\tcount\nth\xe9\t1\n", "UTF-8"),
    ],
)
def test_broken_tables_are_refused(content, message, tmp_path, word_events):
    path = tmp_path / "counts.tsv"
    path.write_bytes(content)
    with pytest.raises(MissingData, match=message):
        words.read_counts(path)
    config = words.Config(quantities=("log_frequency",), frequency_table=str(path))
    assert len(words.check(word_events(["the"]), config)) == 1


def test_absent_and_cut_tables_are_refused(tmp_path):
    config = words.Config(frequency_table=str(tmp_path / "none.tsv"))
    for call in (lambda: words.read_counts(tmp_path / "none.tsv"), lambda: words.fingerprint(config)):
        with pytest.raises(MissingData, match=r"none.tsv: no such file"):
            call()
    whole = gzip.compress(b"word\tcount\n" + b"".join(b"w%d\t%d\n" % (i, i + 1) for i in range(500)))
    (tmp_path / "cut.tsv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingData, match="not a whole"):
        words.read_counts(tmp_path / "cut.tsv.gz")
    (tmp_path / "plain.tsv.gz").write_bytes(b"word\tcount\n")
    with pytest.raises(MissingData, match="not a whole"):
        words.read_counts(tmp_path / "plain.tsv.gz")


def test_sentences(word_events, table):
    events = word_events(["Alice was — well.", "so"], ["was"]).rename(columns={"word": "sentence"})
    got = of(events, "rate", "length", "log_frequency", "position_in_run", frequency_table=table)
    by_name = dict(zip(got.columns["unit"], got.values.T, strict=True))
    assert by_name["rate"].tolist() == [3, 1, 1]
    assert by_name["length"].tolist() == [4, 2, 3]
    assert by_name["position_in_run"].tolist() == [0, 1, 0]
    counts = words.read_counts(table)
    expected = words.log_frequency(["Alice", "was", "well"], counts).mean()
    np.testing.assert_allclose(by_name["log_frequency"][0], expected, rtol=1e-6)
    assert got.rows["sentence"].tolist() == events["sentence"].tolist()
    with pytest.raises(Misaligned, match="these are whole sentences"):
        of(events, "position_in_sentence")


def test_sentences_of_words_are_found_by_column_or_by_punctuation(word_events):
    events = word_events(["so", "she", "was", "tired"], ["very", "tired"])
    with pytest.raises(Misaligned, match="no column sentence_id and no word ends with"):
        of(events, "position_in_sentence")
    numbered = events.assign(sentence_id=[1, 1, 2, 2, 2, 2])
    assert of(numbered, "position_in_sentence").values[:, 0].tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("sentence_id", "message"),
    [
        ([1, 1, None, 1], "1 events have no sentence_id, the first is event 2"),
        ([1, 2, 1, 1], r"run '1': the sentence_id of event 2 \('was'\) was that of earlier words"),
    ],
)
def test_sentences_with_gaps_and_in_pieces_are_refused(word_events, sentence_id, message):
    events = word_events(["so", "she", "was", "tired"]).assign(sentence_id=sentence_id)
    with pytest.raises(Misaligned, match=message):
        of(events, "position_in_sentence")
    interleaved = word_events(["a", "b"], ["c", "d"]).iloc[[0, 2, 1, 3]].assign(sentence_id=1)
    assert of(interleaved, "position_in_sentence").values[:, 0].tolist() == [0, 0, 1, 1]


def test_columns_of_the_events(word_events):
    events = word_events(["so", "she", "was"]).assign(surprisal=[1.5, 2.5, 3.5], kind="noun", gap=[1.0, np.nan, 2.0])
    got = of(events, "rate", columns=("surprisal",))
    assert got.columns["unit"].tolist() == ["rate", "surprisal"]
    assert got.values[:, 1].tolist() == [1.5, 2.5, 3.5]
    for column, message in (
        ("entropy", r"no column 'entropy'; they have \['run', .*'surprisal'"),
        ("kind", "'kind' of the events is not numeric"),
        ("gap", r"1 values that are not finite, the first for event 1 \(word 'she', run '1'\)"),
    ):
        config = words.Config(quantities=(), columns=(column,))
        with pytest.raises(Misaligned, match=message):
            words.extract(events, config)
        assert len(words.check(events, config)) == 1


def test_nothing_or_the_same_twice_is_refused(word_events):
    events = word_events(["so"]).assign(rate=1.0)
    for settings, message in (
        ({"quantities": ()}, "nothing to extract"),
        ({"quantities": ("rate",), "columns": ("rate",)}, r"\['rate'\] named more than once"),
    ):
        with pytest.raises(BrainalignError, match=message):
            words.extract(events, words.Config(**settings))
        assert len(words.check(events, words.Config(**settings))) == 1
    with pytest.raises(ValueError, match="quantities"):
        words.Config(quantities=("loudness",))


def test_events_without_text_are_named(word_events):
    with pytest.raises(BrainalignError, match="1 events hold no text, the first is event 1"):
        of(word_events(["so", " "]), "rate")
    assert words.check(word_events(["so", " "]), words.Config()) != []


def test_fingerprint_and_plan(word_events, table, tmp_path):
    assert words.fingerprint(words.Config(quantities=("rate",))) == {}
    first = words.fingerprint(words.Config(frequency_table=table))
    Path(table).write_text("word\tcount\nso\t5\n", encoding="utf-8")
    assert list(first) == ["counts.tsv"]
    assert words.fingerprint(words.Config(frequency_table=table)) != first
    events = word_events(["so", "she"])
    config = words.Config(quantities=("rate", "length"))
    assert words.plan(events, config)["bytes_result"] == of(events, "rate", "length").values.nbytes


def test_the_packaged_counts_know_common_words(word_events):
    events = word_events(["the", "rabbit", "n't", "zyzzyva"])
    the, rabbit, clitic, unknown = of(events, "log_frequency").values[:, 0]
    assert the > clitic > rabbit > unknown
    assert math.log(2e4) < the < math.log(1e5)  # per million


def test_the_contract_of_extractors(word_events, table):
    check_extractor(words, words.Config(frequency_table=table), word_events(WORDS, ["was", "so"]))


def test_timing_at_the_ends_of_the_words(word_events):
    events = word_events(WORDS, ["was", "so"])
    at_onset, at_offset = (of(events, "rate", "length", timing=timing) for timing in ("onset", "offset"))
    assert at_onset.rows["onset"].tolist() == events["onset"].tolist()
    assert at_offset.rows["onset"].tolist() == (events["onset"] + events["duration"]).tolist()
    np.testing.assert_array_equal(at_offset.values, at_onset.values)
    pd.testing.assert_frame_equal(at_offset.rows.drop(columns="onset"), at_onset.rows.drop(columns="onset"))
    assert at_offset.provenance["settings"]["timing"] == "offset"


@pytest.mark.parametrize("duration", [np.nan, -0.1])
def test_timing_at_the_ends_needs_durations(word_events, duration):
    events = word_events(["so", "she"]).assign(duration=[0.4, duration])
    config = words.Config(quantities=("rate",), timing="offset")
    with pytest.raises(BrainalignError, match=r"1 events have none, the first is event 1 \(word 'she', run '1'\)"):
        words.extract(events, config)
    assert len(words.check(events, config)) == 1
    assert words.check(events, words.Config(quantities=("rate",))) == []


@pytest.fixture
def wordfreq(monkeypatch):
    """Put a package in the place of wordfreq, with four words of English."""
    listed = {"the": 0.05, "rabbit": 2e-5, "café": 1e-6, "hapax": 1e-9}
    package = SimpleNamespace(
        available_languages=lambda: {"en": "", "fr": ""},
        word_frequency=lambda word, language: listed.get(word, 0.0) if language == "en" else 0.0,
    )
    monkeypatch.setitem(sys.modules, "wordfreq", package)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"wordfreq": "3.1.1"}[name])


@pytest.mark.usefixtures("wordfreq")
def test_frequencies_of_the_package_wordfreq(word_events):
    events = word_events(["The", "“rabbit!”", "café", "hapax", "zyzzyva", "—"])
    got = of(events, "log_frequency", frequency_table="wordfreq:en")
    expected = np.log([0.05e6, 20, 1, 0.01, 0.01, 0.01])
    np.testing.assert_allclose(got.values[:, 0], expected, rtol=1e-6)
    assert got.provenance["files"] == {"wordfreq": "3.1.1"}
    assert got.provenance["settings"]["frequency_table"] == "wordfreq:en"
    sentence = word_events(["the rabbit"]).rename(columns={"word": "sentence"})
    mean = of(sentence, "log_frequency", frequency_table="wordfreq:en").values[0, 0]
    assert mean == pytest.approx(expected[:2].mean(), rel=1e-6)
    config = words.Config(frequency_table="wordfreq:eng")
    with pytest.raises(UnknownName, match=r"language of wordfreq 'eng' \(did you mean 'en'"):
        words.extract(events, config)
    assert len(words.check(events, config)) == 1


def test_without_the_package_wordfreq_the_error_says_what_to_do(word_events, monkeypatch):
    monkeypatch.setitem(sys.modules, "wordfreq", None)

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    config = words.Config(frequency_table="wordfreq:en")
    message = "wordfreq:en needs the package wordfreq, which is not installed: pip install wordfreq, or give a table"
    with pytest.raises(MissingData, match=message):
        words.extract(word_events(["so"]), config)
    with pytest.raises(MissingData, match=message):
        words.fingerprint(config)
    assert len(words.check(word_events(["so"]), config)) == 1
    assert words.fingerprint(config.model_copy(update={"quantities": ("rate",)})) == {}
