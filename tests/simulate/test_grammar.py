from itertools import product

import numpy as np
import pytest

from brainalign.errors import BrainalignError
from brainalign.simulate.grammar import Grammar, exact_likelihoods, uniform

AMBIGUOUS = Grammar(
    {
        "S": ((0.5, ("N", "V")), (0.3, ("N", "V", "N")), (0.2, ("N", "W", "N"))),
        "N": ((0.7, ("a",)), (0.3, ("b",))),
        "V": uniform(["see", "eat"]),
        "W": ((1.0, ("eat",)),),
    }
)
"""After "a eat" three derivations are possible, and the sentence may be over."""


def sentences_of(grammar):
    """All sentences of a finite grammar with their probabilities, by expanding every symbol in all ways."""

    def expand(symbol):
        if symbol not in grammar.rules:
            return {(symbol,): 1.0}
        found = {}
        for p, to in grammar.rules[symbol]:
            for parts in product(*(expand(part).items() for part in to)):
                words = sum((words for words, _ in parts), ())
                found[words] = found.get(words, 0) + p * np.prod([q for _, q in parts])
        return found

    return expand(grammar.start)


def following_by_enumeration(sentences, prefix):
    n, total, chances = len(prefix), 0.0, {}
    for words, p in sentences.items():
        if words[:n] != prefix:
            continue
        total += p
        nexts = {words[n]: 1.0} if len(words) > n else following_by_enumeration(sentences, ())
        for word, q in nexts.items():
            chances[word] = chances.get(word, 0) + p * q
    return {word: p / total for word, p in chances.items()}


@pytest.mark.parametrize("prefix", [(), ("a",), ("b", "eat"), ("b", "see"), ("a", "eat", "b")])
def test_what_may_follow_is_what_enumeration_says(prefix):
    found = AMBIGUOUS.following(prefix)
    wanted = following_by_enumeration(sentences_of(AMBIGUOUS), prefix)
    assert found == pytest.approx(wanted)
    assert sum(found.values()) == pytest.approx(1)


def test_the_chance_of_a_beginning_is_the_product_of_its_words():
    """Of beginnings after which the sentence cannot be over, which would mix in the next one."""
    sentences = sentences_of(AMBIGUOUS)
    for beginning in product("ab", ["see", "eat"], "ab"):
        chance = np.prod([AMBIGUOUS.following(beginning[:i])[beginning[i]] for i in range(2)])
        assert chance == pytest.approx(sum(p for words, p in sentences.items() if words[:2] == beginning[:2]))
    assert AMBIGUOUS.following(("a", "see", "b")) == pytest.approx({"a": 0.7, "b": 0.3})


def test_sampled_sentences_come_as_often_as_they_should():
    rng = np.random.default_rng(0)
    n = 20_000
    counts = {}
    for _ in range(n):
        words = tuple(AMBIGUOUS.sample(rng))
        counts[words] = counts.get(words, 0) + 1
    for words, p in sentences_of(AMBIGUOUS).items():
        assert counts[words] / n == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n))


def test_likelihoods_of_a_stream_are_those_of_its_prefixes():
    vocabulary = ["a", "b", "see", "eat"]
    words, position = np.array([0, 3, 1, 1, 2]), np.array([0, 1, 2, 0, 1])
    found = exact_likelihoods(AMBIGUOUS, words, position, vocabulary=vocabulary, n_units=5)
    prefixes = [("a",), ("a", "eat"), ("a", "eat", "b"), ("b",), ("b", "see")]
    for row, prefix in zip(found, prefixes, strict=True):
        assert dict(zip(vocabulary, row, strict=False)) == pytest.approx(
            {word: AMBIGUOUS.following(prefix).get(word, 0) for word in vocabulary}
        )
    assert found[:, 4] == pytest.approx(0)
    assert found.sum(axis=1) == pytest.approx(1)


def test_what_cannot_be_said_is_refused():
    with pytest.raises(BrainalignError, match="begins with 'a a'"):
        AMBIGUOUS.following(("a", "a"))
    with pytest.raises(BrainalignError, match=r"'S' must be >= 0 and sum to 1, got \[0\.5, 0\.4\]"):
        Grammar({"S": ((0.5, ("a",)), (0.4, ("b",)))})
    with pytest.raises(BrainalignError, match="start symbol 'S' has no rules"):
        Grammar({"A": uniform(["a"])})
