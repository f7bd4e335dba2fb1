"""The grammar of Elman (1991) by brute force, and what networks make of it (anchors A15, A16)."""

import re

import numpy as np
import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulate import elman1991, prediction, reading
from brainalign.simulate.elman import Elman
from brainalign.simulate.grammar import exact_likelihoods
from brainalign.simulate.online import train

VOCABULARY = [*elman1991.WORDS, *elman1991.SPARE]


def sentences_of(stream):
    first = np.flatnonzero(stream.position == 0)
    return [[elman1991.WORDS[w] for w in stream.words[a:b]]
            for a, b in zip(first, np.append(first[1:], len(stream.words)), strict=True)]  # fmt: skip


def parse(words):
    """Recursive descent, written from the paper's rules: raise where a sentence breaks one."""
    number_of = {word: number for number, nouns in elman1991.NOUNS.items() for word in nouns}
    number_of |= dict.fromkeys(elman1991.NAMES, "sg")
    verbs = {verb: (kind, number) for kind, numbers in elman1991.VERBS.items()
             for number, of in numbers.items() for verb in of}  # fmt: skip
    words = list(words)

    def noun_phrase():
        noun = words.pop(0)
        number = number_of[noun]
        if words and words[0] == "who":
            assert noun not in elman1991.NAMES
            words.pop(0)
            if words[0] in verbs:
                predicate(number)
            else:
                kind = verb(noun_phrase())
                assert kind != "none", "the object of the clause must have a verb to belong to"
        return number

    def verb(number):
        kind, of_verb = verbs[words.pop(0)]
        assert of_verb == number, "a verb has the number of its subject"
        return kind

    def predicate(number):
        kind = verb(number)
        if kind == "needed" or (kind == "optional" and words[0] in number_of):
            noun_phrase()

    predicate(noun_phrase())
    assert words == ["."]


@pytest.mark.parametrize("share", elman1991.STAGES)
def test_sentences_keep_the_rules_and_have_as_many_clauses_as_asked_for(share):
    stream = elman1991.clause_stream(share, 3000, seed=0)
    sentences = sentences_of(stream)
    for sentence in sentences:
        parse(sentence)
    complex_ones = np.mean(["who" in sentence for sentence in sentences])
    assert complex_ones == pytest.approx(share, abs=0.03)
    lengths = [len(sentence) for sentence in sentences]
    assert np.mean(lengths) == pytest.approx({0: 3.5, 0.25: 4.5, 0.5: 5.5, 0.75: 6.5}[share], abs=0.35)


def test_objects_and_clauses_are_as_frequent_as_the_module_says():
    """Kinds of verb are equally frequent, half of the optional objects are there, 1/4 of noun phrases have clauses."""
    kind_of = {verb: kind for kind, numbers in elman1991.VERBS.items() for of in numbers.values() for verb in of}
    simple = sentences_of(elman1991.clause_stream(0.0, 4000, seed=0))
    for kind, share in (("needed", 1.0), ("optional", 0.5), ("none", 0.0)):
        lengths = [len(sentence) for sentence in simple if kind_of[sentence[1]] == kind]
        assert len(lengths) / len(simple) == pytest.approx(1 / 3, abs=0.03)
        assert np.mean(np.array(lengths) == 4) == pytest.approx(share, abs=0.04)

    complex_ones = sentences_of(elman1991.clause_stream(1.0, 8000, seed=0))
    # noun phrases have clauses independently, given that one has: 1/4 the subject, 3/4 * 1/2 * 1/4 the object alone
    of_subject = [sentence for sentence in complex_ones if sentence[1] == "who"]
    assert len(of_subject) / len(complex_ones) == pytest.approx(8 / 11, abs=0.02)
    of_object = [sentence for sentence in complex_ones if sentence[1] != "who"]
    assert np.mean([kind_of[sentence[1]] == "needed" for sentence in of_object]) == pytest.approx(2 / 3, abs=0.04)
    within = [sentence for sentence in of_subject if sentence[2] not in kind_of]
    assert len(within) / len(of_subject) == pytest.approx(1 / 2, abs=0.03)
    nouns = {number: [sentence[3] == "who" for sentence in within if sentence[2] in elman1991.NOUNS[number]]
             for number in ("sg", "pl")}  # fmt: skip
    assert np.mean(nouns["sg"]) == pytest.approx(1 / 3, abs=0.04)
    assert np.mean(nouns["pl"]) == pytest.approx(1 / 4, abs=0.04)


def test_the_parser_of_this_test_refuses_what_is_wrong():
    for wrong in (
        "boy chase cats .",
        "boy chases .",
        "boy walks cats .",
        "boy who boys walk sees .",
        "John who sees walks .",
    ):
        with pytest.raises((AssertionError, KeyError)):
            parse(wrong.split())


def test_words_are_24_of_26_units():
    assert len(set(elman1991.WORDS)) == 24
    assert len(VOCABULARY) == elman1991.N_UNITS == 26
    assert set(elman1991.SINGULAR) | set(elman1991.PLURAL) == {w for w in elman1991.WORDS if re.match("(chase|feed|see|"
                                                               "hear|walk|live)", w)}  # fmt: skip
    with pytest.raises(BrainalignError, match="from 0 to 1, got"):
        elman1991.clause_grammar(1.5)


def test_likelihoods_are_the_frequencies_of_many_sentences():
    """Counted over 40,000 sentences, after all beginnings that are frequent enough to be counted."""
    grammar = elman1991.clause_grammar(0.75)
    counts = {}
    for sentence in sentences_of(elman1991.clause_stream(0.75, 40_000, seed=3)):
        for n in range(1, 5):
            if n < len(sentence):
                of = counts.setdefault(tuple(sentence[:n]), {})
                of[sentence[n]] = of.get(sentence[n], 0) + 1
    checked = 0
    for prefix, of in counts.items():
        n = sum(of.values())
        if n >= 400:
            wanted = grammar.following(prefix)
            assert set(of) <= set(wanted)
            for word, p in wanted.items():
                assert of.get(word, 0) / n == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / n) + 1e-9)
            checked += 1
    assert checked > 20


def test_likelihoods_sum_to_one_and_give_what_came_a_chance():
    stream = elman1991.clause_stream(0.75, 300, seed=1)
    found = exact_likelihoods(elman1991.clause_grammar(0.75), stream.words, stream.position,
                              vocabulary=elman1991.WORDS, n_units=26)  # fmt: skip
    assert found.sum(axis=1) == pytest.approx(1)
    assert (found[np.arange(len(found) - 1), stream.words[1:]] > 0).all()
    assert found[:, 24:] == pytest.approx(0)


def test_probes_are_sentences_and_ask_where_the_number_is_certain():
    probes = elman1991.agreement_probes()
    text = " ".join(elman1991.WORDS[w] for w in probes.words)
    for sentence in text.split(" . "):
        parse([*sentence.removesuffix(" .").split(), "."])
    grammar = elman1991.clause_grammar(0.75)
    starts = np.append(0, np.flatnonzero(probes.words == elman1991.WORDS.index(".")) + 1)
    for step, plural in zip(probes.steps, probes.plural, strict=True):
        prefix = [elman1991.WORDS[w] for w in probes.words[starts[starts <= step][-1] : step + 1]]
        verbs = {w for w in grammar.following(prefix) if w in elman1991.SINGULAR + elman1991.PLURAL}
        assert verbs
        assert verbs <= set(elman1991.PLURAL if plural else elman1991.SINGULAR)
    assert np.bincount(probes.plural).tolist() == [264, 264]
    perfect = np.zeros((1, len(probes.steps), 26))
    perfect[0, probes.plural, elman1991.WORDS.index("walk")] = 1
    perfect[0, ~probes.plural, elman1991.WORDS.index("walks")] = 1
    assert (elman1991.agreement(perfect, probes) == 1).all()


def test_resets_come_as_often_as_asked_for():
    rests = elman1991.resets(5000, 3, 4, seed=0)
    gaps = np.diff(np.flatnonzero(rests))
    assert set(gaps) == {3, 4}
    assert np.flatnonzero(rests)[0] in (3, 4)
    assert rests.shape == (5000,)
    assert np.flatnonzero(elman1991.resets(11, 3, 3, seed=0)).tolist() == [3, 6, 9]


@pytest.fixture(scope="module")
def tested():
    test = elman1991.clause_stream(0.75, 300, seed=9)
    return test.words, exact_likelihoods(elman1991.clause_grammar(0.75), test.words, test.position,
                                         vocabulary=elman1991.WORDS, n_units=26)  # fmt: skip


@pytest.fixture(scope="module")
def corpus():
    return elman1991.clause_stream(0.75, 10_000, seed=0).words


def test_a15_small_first_weights_and_the_layers_of_ten_come_near_the_printed_cosine(corpus, tested):
    network = Elman(VOCABULARY, n_hidden=70, n_code=10, n_networks=5, seed=0, limit=0.1)
    assert (reading.assess(network, *tested).cosine.mean(axis=1) < 0.55).all()
    train(network, corpus, lr=0.1, n_sweeps=25)
    assert reading.assess(network, *tested).cosine.mean(axis=1) == pytest.approx(0.85, abs=0.05)


def test_verbs_agree_over_a_clause_with_a_noun_of_the_other_number(corpus, tested):
    """ "boy who boys chase WALKS", in every network; over "boy who chases boys" it takes them longer."""
    network = Elman(VOCABULARY, n_hidden=70, n_networks=5, seed=0, limit=0.5)
    probes = elman1991.agreement_probes()
    over_clause = (probes.construction == "object clause") & probes.other

    def share_right():
        with torch.no_grad():
            outputs = network(torch.as_tensor(probes.words)).numpy()[:, probes.steps]
        return (elman1991.agreement(outputs, probes) > 0.5)[:, over_clause].mean(axis=1)

    assert share_right().mean() == pytest.approx(0.5, abs=0.2)
    train(network, corpus, lr=0.1, n_sweeps=5)
    assert (share_right() < 0.1).all()  # the nearer noun
    train(network, corpus, lr=0.1, n_sweeps=18)
    pairs = prediction.cosine(prediction.bigram_likelihoods(tested[0], n_units=26), tested[1]).mean()
    assert (reading.assess(network, *tested).cosine.mean(axis=1) > max(0.9, pairs)).all()
    assert (share_right() >= 0.95).all()


def test_a16_tiny_first_weights_stay_on_the_plateau_of_word_frequencies(tested):
    stream = elman1991.clause_stream(0.75, 3000, seed=0)
    network = Elman(VOCABULARY, n_hidden=70, n_code=10, n_networks=5, seed=0, limit=0.001)
    train(network, stream.words, lr=0.1, n_sweeps=1)
    cosines = reading.assess(network, *tested).cosine.mean(axis=1)
    single = prediction.cosine(prediction.unigram_likelihoods(tested[0], n_units=26), tested[1]).mean()
    assert cosines == pytest.approx(0.53, abs=0.02)
    assert cosines == pytest.approx(single, abs=0.02)
