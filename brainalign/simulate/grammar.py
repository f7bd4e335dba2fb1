"""Probabilistic grammars that say exactly which word may come next.

A rule A -> s_1 ... s_k has a probability; a symbol without rules is a word. A sentence is a leftmost derivation: a
stack of symbols, from whose top rules are applied until a word lies there, which is read off. What is known after the
words w_1 ... w_t of a sentence is a distribution over stacks, each with a word on top or empty:

    b_0        = the openings of the start symbol
    b_t(stack) = sum of b_{t-1}(w_t + rest) P(rest -> stack) / P(w_t | w_1 ... w_{t-1})
    P(w | w_1 ... w_t) = sum of b_t over the stacks with w on top + b_t(empty) P(w | sentence begins)

The last term is what a reader of a stream without marks between sentences has to expect.
"""

from bisect import bisect
from itertools import accumulate

import numpy as np

from brainalign.errors import BrainalignError


class Grammar:
    """A probabilistic context-free grammar without left recursion.

    Parameters
    ----------
    rules : dict of str to sequence of (float, sequence of str)
        For every symbol that is not a word its expansions, each with its probability; those of a symbol sum to 1.
    start : str

    Raises
    ------
    BrainalignError
        The start symbol has no rules, or the probabilities of a symbol are negative or do not sum to 1.
    """

    def __init__(self, rules, *, start="S"):
        if start not in rules:
            raise BrainalignError(f"the start symbol {start!r} has no rules; there are rules for {sorted(rules)}")
        for symbol, expansions in rules.items():
            chances = [chance for chance, _ in expansions]
            if min(chances) < 0 or abs(sum(chances) - 1) > 1e-9:
                raise BrainalignError(f"the probabilities of {symbol!r} must be >= 0 and sum to 1, got {chances}")
        self.rules = {symbol: tuple((p, tuple(to)) for p, to in expansions) for symbol, expansions in rules.items()}
        self.start = start
        self._cumulative = {symbol: list(accumulate(p for p, _ in to))[:-1] for symbol, to in self.rules.items()}
        self._openings: dict = {}
        self._beliefs: dict = {(): self._opened((start,))}

    def sample(self, rng):
        """Draw a sentence, a list of str, with a `numpy.random.Generator`."""
        words, stack = [], [self.start]
        while stack:
            symbol = stack.pop()
            if symbol in self.rules:
                i = bisect(self._cumulative[symbol], rng.random())
                stack.extend(reversed(self.rules[symbol][i][1]))
            else:
                words.append(symbol)
        return words

    def following(self, prefix):
        """Give the probability of every word that may come next.

        Parameters
        ----------
        prefix : sequence of str
            The words of the sentence so far.

        Returns
        -------
        chances : dict of str to float
            Sums to 1; after a sentence that may be complete, the first words of the next are among them.

        Raises
        ------
        BrainalignError
            The grammar has no sentence that begins like this.
        """
        chances: dict = {}
        for stack, p in self._belief(tuple(prefix)).items():
            if stack:
                chances[stack[0]] = chances.get(stack[0], 0.0) + p
            else:
                for word, q in self.following(()).items():
                    chances[word] = chances.get(word, 0.0) + p * q
        return chances

    def _belief(self, prefix):
        """Give {stack: probability} after a prefix; the stack's top is its first item."""
        if prefix not in self._beliefs:
            before, word = self._belief(prefix[:-1]), prefix[-1]
            after: dict = {}
            for stack, p in before.items():
                if stack and stack[0] == word:
                    for opened, q in self._opened(stack[1:]).items():
                        after[opened] = after.get(opened, 0.0) + p * q
            total = sum(after.values())
            if total == 0:
                raise BrainalignError(f"no sentence of the grammar begins with {' '.join(prefix)!r}")
            self._beliefs[prefix] = {stack: p / total for stack, p in after.items()}
        return self._beliefs[prefix]

    def _opened(self, stack):
        """Expand the top of a stack until it is a word."""
        if not stack:
            return {(): 1.0}
        return {top + stack[1:]: p for top, p in self._openings_of(stack[0]).items()}

    def _openings_of(self, symbol):
        if symbol not in self.rules:
            return {(symbol,): 1.0}
        if symbol not in self._openings:
            openings: dict = {}
            for p, expansion in self.rules[symbol]:
                if p > 0:
                    for stack, q in self._opened(expansion).items():
                        openings[stack] = openings.get(stack, 0.0) + p * q
            self._openings[symbol] = openings
        return self._openings[symbol]


def uniform(options):
    """Give expansions of equal probability: every option is a word or a sequence of symbols."""
    options = [(option,) if isinstance(option, str) else tuple(option) for option in options]
    return tuple((1 / len(options), option) for option in options)


def exact_likelihoods(grammar, words, position, *, vocabulary, n_units):
    """Give, after every word of a stream of sentences, the probability of the next under the grammar that made it.

    Parameters
    ----------
    grammar : Grammar
    words : array of int, shape (n_steps,)
        Positions in `vocabulary`.
    position : array of int, shape (n_steps,)
        Of the word in its sentence, 0 for the first.
    vocabulary : sequence of str
    n_units : int
        Units of the network, at least as many as words; those beyond have likelihood 0.

    Returns
    -------
    likelihoods : array of shape (n_steps, n_units), float64
        Rows sum to 1.

    References
    ----------
    Elman (1991), Machine Learning 7:195-225, whose likelihood vectors were counted. The test enumerates sentences.
    """
    place = {word: unit for unit, word in enumerate(vocabulary)}
    rows, of_prefix, index, prefix = [], {}, np.empty(len(words), np.int64), ()
    for step, (word, at) in enumerate(zip(words.tolist(), position.tolist(), strict=True)):
        prefix = (*(prefix if at else ()), vocabulary[word])
        if prefix not in of_prefix:
            of_prefix[prefix] = len(rows)
            rows.append(np.zeros(n_units))
            for following, chance in grammar.following(prefix).items():
                rows[-1][place[following]] = chance
        index[step] = of_prefix[prefix]
    return np.array(rows)[index]
