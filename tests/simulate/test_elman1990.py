"""Corpora of Elman (1990) and, over at least five networks each, what he found in them (anchors A8 to A14)."""

import re
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from brainalign.errors import BrainalignError, UnknownName
from brainalign.simulate import clusters, elman1990, prediction, reading
from brainalign.simulate.elman import Elman
from brainalign.simulate.grammar import exact_likelihoods
from brainalign.simulate.online import train

N_UNITS = elman1990.N_UNITS


def outputs_of(network, inputs):
    with torch.no_grad():
        return network(torch.as_tensor(inputs)).numpy()


def test_every_third_bit_is_the_exclusive_or_and_the_others_are_random():
    bits = elman1990.xor_stream(3000, seed=0)
    first, second, third = bits.reshape(-1, 3).T
    assert np.array_equal(third, first != second)
    pairs = np.bincount((2 * first + second).astype(int)) / 1000
    assert pairs == pytest.approx(0.25, abs=0.05)
    assert np.array_equal(bits, elman1990.xor_stream(3000, seed=0))
    assert not np.array_equal(bits, elman1990.xor_stream(3000, seed=1))
    with pytest.raises(BrainalignError, match="multiple of three, got 100"):
        elman1990.xor_stream(100, seed=0)


def test_syllables_and_letter_codes_are_those_printed():
    text = "".join(elman1990.syllable_stream(1000, seed=0))
    assert re.fullmatch("(ba|dii|guuu)*", text)
    assert sum(text.count(consonant) for consonant in "bdg") == 1000
    codes = elman1990.rank_codes()
    printed = {"m": "01101", "a": "00001", "n": "01110", "y": "11001", "e": "00101", "r": "10010", "s": "10011",
               "g": "00111", "o": "01111", "b": "00010", "d": "00100", "i": "01001", "l": "01100"}  # fmt: skip
    for letter, bits in printed.items():
        assert "".join(str(int(bit)) for bit in codes[letter]) == bits
    assert len({tuple(code) for code in codes.values()}) == 26


@pytest.mark.parametrize("order", elman1990.WORD_ORDERS)
def test_letters_are_those_of_sentences(order):
    stream = elman1990.letter_stream(200, word_order=order, seed=0)
    assert "".join(stream.letters) == "".join(stream.words)
    assert set(stream.words) == set(elman1990.LETTER_WORDS)
    assert (stream.position == 0).sum() == len(stream.words)
    assert 1200 < len(stream.words) < 1450  # printed: 1,270
    assert 4600 < len(stream.letters) < 5500  # printed: 4,963
    with pytest.raises(UnknownName, match="slots"):
        elman1990.letter_stream(5, word_order="slot", seed=0)


@pytest.mark.parametrize("lexicon", elman1990.LEXICONS)
def test_a11_sentences_are_those_of_the_templates(lexicon):
    classes = elman1990.LEXICONS[lexicon]
    possible = {words for template in elman1990.TEMPLATES for words in product(*(classes[name] for name in template))}
    assert len(elman1990.TEMPLATES) == 16
    for seed in range(5):
        stream = corpus(lexicon, seed=seed)
        assert len(stream.words) == pytest.approx(27_500, abs=130)
        assert set(stream.words) == set(range(29))
    ends = np.append(np.flatnonzero(stream.position == 0), len(stream.words))
    made = {tuple(elman1990.WORDS[w] for w in stream.words[a:b]) for a, b in pairwise(ends)}
    assert made <= possible
    assert len(made) > 0.95 * len(possible)
    with pytest.raises(UnknownName, match="disjoint, nested"):
        elman1990.sentence_grammar("all")


def corpus(lexicon="nested", *, n_sentences=10_000, seed=0):
    grammar = elman1990.sentence_grammar(lexicon)
    return elman1990.word_stream(grammar, n_sentences, vocabulary=elman1990.WORDS, seed=seed)


@pytest.mark.parametrize(("lexicon", "least"), [("nested", 0.798), ("disjoint", 0.788)])
def test_a12_irreducible_error(lexicon, least):
    for seed in range(5):
        stream = corpus(lexicon, seed=seed)
        counted = prediction.empirical_likelihoods(stream.words, stream.position, n_units=N_UNITS)
        assert prediction.irreducible_error(counted) == pytest.approx(least, abs=0.005)
        assert counted.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("lexicon", elman1990.LEXICONS)
def test_exact_likelihoods_are_those_of_enumerated_sentences_and_counts_come_near(lexicon):
    stream = corpus(lexicon)
    found = exact_likelihoods(elman1990.sentence_grammar(lexicon), stream.words, stream.position,
                              vocabulary=elman1990.WORDS, n_units=N_UNITS)  # fmt: skip
    chances, place = {}, {word: unit for unit, word in enumerate(elman1990.WORDS)}
    for template in elman1990.TEMPLATES:
        options = [elman1990.LEXICONS[lexicon][name] for name in template]
        for words in product(*options):
            chances[words] = chances.get(words, 0) + 1 / 16 / np.prod([len(of) for of in options])
    first = np.zeros(N_UNITS)
    for words, p in chances.items():
        first[place[words[0]]] += p
    starts = stream.position == 0
    assert np.array_equal(np.flatnonzero(first), np.unique(stream.words[starts]))
    for step in range(200):
        prefix = tuple(elman1990.WORDS[w] for w in stream.words[step - stream.position[step] : step + 1])
        wanted, n = np.zeros(N_UNITS), len(prefix)
        for words, p in chances.items():
            if words[:n] == prefix:
                wanted += p * (np.eye(N_UNITS)[place[words[n]]] if len(words) > n else first)
        assert found[step] == pytest.approx(wanted / wanted.sum())
    counted = prediction.empirical_likelihoods(stream.words, stream.position, n_units=N_UNITS)
    assert prediction.cosine(counted, found).mean() > 0.94


def test_groups_of_figure_7_hold_every_word_once_and_streams_can_be_mixed_and_changed():
    for groups in (elman1990.CATEGORIES, elman1990.SUBCATEGORIES):
        assert sorted(word for members in groups.values() for word in members) == sorted(elman1990.WORDS)
    stream = corpus(n_sentences=100)
    mixed = elman1990.shuffled(stream, seed=0)
    assert np.array_equal(np.bincount(mixed.words), np.bincount(stream.words))
    assert not np.array_equal(mixed.words, stream.words)
    man = elman1990.WORDS.index("man")
    changed = elman1990.replaced(stream, man, 29)
    assert np.array_equal(changed.words == 29, stream.words == man)
    assert not (changed.words == man).any()
    assert np.array_equal(changed.words[changed.words != 29], stream.words[stream.words != man])


def test_a8_error_falls_at_every_third_bit():
    """Five of six networks; the paper's 600 passes are cut to 180 at a higher rate."""
    bits, fresh = (elman1990.xor_stream(1500, seed=seed)[:, None] for seed in (0, 1))
    network = Elman(["bit"], n_hidden=2, n_networks=6, seed=0, limit=0.5)
    before = _dips(outputs_of(network, fresh), fresh)
    train(network, bits, lr=0.3, n_sweeps=180)
    assert _dips(outputs_of(network, fresh), fresh).sum() >= 5
    assert not before.any()


def _dips(outputs, bits):
    errors = np.roll((outputs[..., 0] - np.roll(bits[:, 0], -1)) ** 2, 1, axis=1)
    third, others = errors[:, 2::3], np.delete(errors, np.s_[2::3], axis=1)
    return np.sqrt(third.mean(axis=1)) < np.sqrt(others.mean(axis=1)) - 0.03


def test_a9_error_is_low_where_letters_can_be_known_and_in_features_that_all_share():
    letters = elman1990.syllable_stream(500, seed=0)
    codes = elman1990.coded(letters, elman1990.LETTER_FEATURES)
    network = Elman(list(elman1990.FEATURES), n_hidden=20, n_networks=5, seed=0, limit=0.5)
    train(network, codes, lr=0.3, n_sweeps=60)
    squares = np.roll((outputs_of(network, codes) - np.roll(codes, -1, axis=0)) ** 2, 1, axis=1)
    consonant = np.isin(letters, ["b", "d", "g"])
    at_vowels, at_consonants = (np.sqrt(squares[:, at].mean(axis=(1, 2))) for at in (~consonant, consonant))
    assert (at_vowels < 0.05).all()
    assert ((at_consonants > 0.2) & (at_consonants < 0.35)).all()
    bits = np.sqrt(squares[:, consonant].mean(axis=1))
    assert (bits[:, [0, 1, 2, 5]] < 0.1).all()
    assert bits[:, [3, 4]] == pytest.approx(0.47, abs=0.04)


def test_a10_error_tells_where_words_begin():
    from sklearn.metrics import roc_auc_score

    stream = elman1990.letter_stream(200, word_order="independent", seed=0)
    codes = elman1990.coded(stream.letters, elman1990.rank_codes())
    mixed = np.random.default_rng(0).permutation(codes)
    aucs = {}
    for name, taught in (("trained", codes), ("mixed", mixed)):
        network = Elman([f"bit {k}" for k in range(5)], n_hidden=20, n_networks=5, seed=0, limit=0.5)
        train(network, taught, lr=0.3, n_sweeps=10 if name == "trained" else 4)
        errors = np.roll(((outputs_of(network, codes) - np.roll(codes, -1, axis=0)) ** 2).sum(axis=2), 1, axis=1)
        aucs[name] = np.array([roc_auc_score(stream.position == 0, of) for of in errors])
        if name == "trained":
            rms = [np.sqrt(errors[:, stream.position == at].mean(axis=1)) for at in range(2)]
            within = np.sqrt(errors[:, stream.position > 0].mean(axis=1))
            assert (rms[0] > 1.5 * within).all()
            assert (rms[1] <= rms[0]).all()
    assert (aucs["trained"] > 0.8).all()
    assert (np.abs(aucs["mixed"] - 0.5) < 0.1).all()


@pytest.fixture(scope="module")
def lexical():
    """Five networks that read the corpus six times, as the paper has it, and controls."""
    stream = corpus()
    networks = {name: Elman([*elman1990.WORDS, *elman1990.SPARE], n_hidden=40, n_networks=5, seed=0, limit=0.5)
                for name in ("trained", "untrained", "shuffled")}  # fmt: skip
    mixed = elman1990.shuffled(stream, seed=0)
    train(networks["trained"], stream.words, lr=0.2, n_sweeps=6)
    train(networks["shuffled"], mixed.words[:9000], lr=0.2, n_sweeps=4)
    means = {name: reading.mean_states_of(of, stream.words, n_words=29) for name, of in networks.items()}
    return stream, networks, means


def test_a13_predictions_come_nearer_to_the_likelihoods_than_counts_of_pairs(lexical):
    stream, networks, _ = lexical
    likelihoods = prediction.empirical_likelihoods(stream.words, stream.position, n_units=N_UNITS)
    found = {name: reading.assess(of, stream.words, likelihoods) for name, of in networks.items()}
    error, cosine = (of.mean(axis=1) for of in found["trained"][:2])
    assert ((error > 0.02) & (error < 0.07)).all()
    assert ((cosine > 0.84) & (cosine < 0.95)).all()
    target = found["trained"].target_error.mean(axis=1)
    assert ((target > 0.80) & (target < 0.87)).all()
    pairs = prediction.bigram_likelihoods(stream.words, n_units=N_UNITS)
    assert (error < prediction.squared_error(pairs, likelihoods).mean()).all()
    assert (cosine > prediction.cosine(pairs, likelihoods).mean()).all()
    assert (found["untrained"].cosine.mean(axis=1) < 0.5).all()
    single = prediction.cosine(prediction.unigram_likelihoods(stream.words, n_units=N_UNITS), likelihoods).mean()
    assert found["shuffled"].cosine.mean(axis=1) == pytest.approx(single, abs=0.05)


def test_a14_a_tree_over_words_has_verbs_animates_inanimates_and_controls_have_not(lexical):
    _, _, means = lexical
    labels = elman1990.labels_of(elman1990.WORDS, elman1990.CATEGORIES)
    pure = {name: np.array([clusters.purity(clusters.cut(clusters.tree(points, linkage="ward"), 3), labels)
                            for points in of]) for name, of in means.items()}  # fmt: skip
    assert (pure["trained"] >= 0.95).sum() >= 4
    assert (pure["untrained"] < 0.8).all()
    assert (pure["shuffled"] < 0.8).all()
    near = {
        name: np.array([clusters.neighbour_agreement(points, labels) for points in of]) for name, of in means.items()
    }
    assert (near["trained"] > 0.95).all()
    assert (near["untrained"] < 0.6).all()
    assert (near["shuffled"] < 0.6).all()
    assert near["shuffled"].mean() == pytest.approx(clusters.chance_of_agreement(labels), abs=0.1)


def test_zog_falls_among_animates_and_tokens_fall_with_their_type(lexical):
    stream, networks, _ = lexical
    man = elman1990.WORDS.index("man")
    fresh = elman1990.replaced(corpus(n_sentences=3000, seed=1), man, 29)
    means = reading.mean_states_of(networks["trained"], fresh.words, n_words=30)
    present = np.delete(np.arange(30), man)
    labels = elman1990.labels_of(elman1990.WORDS, elman1990.CATEGORIES)
    nearest = [present[clusters.neighbours(of[present], [28])[0, 0]] for of in means]
    assert sum(labels[word] == 1 for word in nearest) >= 4
    rows = clusters.some_of_each(stream.words[:5000], 10, seed=0)
    states = reading.states_at(networks["trained"], stream.words, rows)
    assert min(clusters.neighbour_agreement(of, stream.words[rows]) for of in states) > 0.9
