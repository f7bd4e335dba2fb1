"""The sentences with relative clauses, their likelihoods, the two ways of starting small, the test of agreement.

    S -> NP VP "."        NP -> PropN | N | N RC        VP -> V (NP)        RC -> who NP VP | who VP

with agreement in number of every verb with its own subject. chase and feed need an object, see and hear may have one,
walk and live have none; in `who NP VP` the object is the noun before `who`, so that its verb can have one and has none
after it.

The paper prints neither probabilities nor how many words its bits stand for: of 26 it says 23 items, "8 nouns, 12
verbs", who and "." are 22, with the two names 24. Here: numbers, nouns, kinds of verb, verbs, the two kinds of clause
and, for an optional object, with and without, are equally likely; a noun phrase within a clause or a complex sentence
has a clause of its own with probability `CLAUSE`. Names have none and are a third of what is singular without a clause:
so of nouns in such places one in four in the plural and one in three in the singular have a clause.
A "complex" sentence has at least one clause; a simple one has none.

References
----------
Elman (1991), Machine Learning 7:195-225 (grammar: secondary sources). Elman (1993), Cognition 48:71-99, "the importance
of starting small". Rohde & Plaut (1999), Cognition 72:67-109, did not need it; nor does this simulation.
"""

from typing import NamedTuple

import numpy as np

from brainalign.errors import BrainalignError
from brainalign.simulate.elman1990 import word_stream
from brainalign.simulate.grammar import Grammar, uniform

NOUNS = {"sg": ("boy", "girl", "cat", "dog"), "pl": ("boys", "girls", "cats", "dogs")}
NAMES = ("John", "Mary")
VERBS = {
    "needed": {"sg": ("chases", "feeds"), "pl": ("chase", "feed")},
    "optional": {"sg": ("sees", "hears"), "pl": ("see", "hear")},
    "none": {"sg": ("walks", "lives"), "pl": ("walk", "live")},
}
"""Verbs by their object, then by number."""
OBJECTS = tuple(VERBS)
WHO, END = "who", "."
WORDS = (
    *NOUNS["sg"], *NOUNS["pl"], *NAMES,
    *(verb for number in ("sg", "pl") for kind in OBJECTS for verb in VERBS[kind][number]),
    WHO, END,
)  # fmt: skip
"""The 24 words in the order of their units."""
N_UNITS = 26
SPARE = ("<spare 1>", "<spare 2>")
CLAUSE = 0.25
STAGES = (0.0, 0.25, 0.5, 0.75)
"""Shares of complex sentences of the four corpora, 10,000 sentences each."""
SINGULAR, PLURAL = (tuple(verb for kind in OBJECTS for verb in VERBS[kind][number]) for number in ("sg", "pl"))

MEMORY = ((3, 4, 12), (4, 5, 5), (5, 6, 5), (6, 7, 5), (None, None, 5))
"""Staged memory of 1993: fewest and most words between two resets of the context, and sweeps; at last no resets."""


class Probes(NamedTuple):
    """Sentences read for their agreement: after each marked word comes a verb whose number the grammar knows.

    Parameters
    ----------
    words : array of int, shape (n_steps,)
    steps : array of int, shape (n_probes,)
        Of the word before the verb.
    plural : array of bool, shape (n_probes,)
        Whether the verb is plural.
    other : array of bool, shape (n_probes,)
        Whether the nearest noun has the other number.
    construction : array of str, shape (n_probes,)
    """

    words: np.ndarray
    steps: np.ndarray
    plural: np.ndarray
    other: np.ndarray
    construction: np.ndarray


def clause_grammar(share_complex):
    """Give the grammar of a corpus with a given share of complex sentences.

    Parameters
    ----------
    share_complex : float
        From 0 to 1.

    Raises
    ------
    BrainalignError
        The share is outside 0 to 1.
    """
    if not 0 <= share_complex <= 1:
        raise BrainalignError(f"share_complex must be from 0 to 1, got {share_complex}")
    in_object = (1 - CLAUSE) / 2  # of complex sentences: half of the predicates have an object, which has the clause
    in_subject = 1 / (1 + in_object)
    rules = {
        "S": ((1 - share_complex, ("SIMPLE",)), (share_complex, ("COMPLEX",))),
        "SIMPLE": _subjects("bare", "VP.bare"),
        "COMPLEX": (
            *((p * in_subject, to) for p, to in _subjects("heavy", "VP.any")),
            *((p * (1 - in_subject), to) for p, to in _subjects("bare", "VP.heavy")),
        ),
        "NP.bare": uniform(["NP.sg.bare", "NP.pl.bare"]),
        "NP.heavy": uniform(["NP.sg.heavy", "NP.pl.heavy"]),
        "NP.any": ((1 - CLAUSE, ("NP.bare",)), (CLAUSE, ("NP.heavy",))),
    }
    for number, other in (("sg", "pl"), ("pl", "sg")):
        rules |= {
            f"NP.{number}.bare": uniform([*NOUNS[number], *(NAMES if number == "sg" else ())]),
            f"NP.{number}.heavy": ((1.0, (f"N.{number}", f"RC.{number}")),),
            f"N.{number}": uniform(NOUNS[number]),
            f"RC.{number}": (
                (0.5, (WHO, f"VP.any.{number}")),
                *((p / 2, (WHO, *to)) for p, to in _subjects("any", "V.gap", numbers=(number, other))),
            ),
            f"V.gap.{number}": uniform([f"V.needed.{number}", f"V.optional.{number}"]),
            f"VP.heavy.{number}": (
                (2 / 3, (f"V.needed.{number}", "NP.heavy")),
                (1 / 3, (f"V.optional.{number}", "NP.heavy")),
            ),
        }
        rules |= {f"V.{kind}.{number}": uniform(VERBS[kind][number]) for kind in OBJECTS}
        rules |= {
            f"VP.{weight}.{number}": (
                (1 / 3, (f"V.needed.{number}", f"NP.{weight}")),
                (1 / 6, (f"V.optional.{number}",)),
                (1 / 6, (f"V.optional.{number}", f"NP.{weight}")),
                (1 / 3, (f"V.none.{number}",)),
            )
            for weight in ("bare", "any")
        }
    rules["S"] = tuple((p, (to[0], END)) for p, to in rules["S"])
    return Grammar(rules)


def _subjects(weight, predicate, *, numbers=("sg", "pl")):
    """Give expansions to a subject and its predicate, both of one number."""
    if weight == "any":
        chances = {"bare": 1 - CLAUSE, "heavy": CLAUSE}
        return tuple(
            (p * chance, to)
            for kind, chance in chances.items()
            for p, to in _subjects(kind, predicate, numbers=numbers)
        )
    return uniform([(f"NP.{number}.{weight}", f"{predicate}.{number}") for number in numbers])


def clause_stream(share_complex, n_sentences, *, seed):
    """Draw a corpus (WordStream) with a given share of complex sentences."""
    return word_stream(clause_grammar(share_complex), n_sentences, vocabulary=WORDS, seed=seed)


def resets(n_steps, fewest, most, *, seed):
    """Draw before which steps the context is put to rest: every `fewest` to `most` words, (n_steps,) bool."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(rng.integers(fewest, most + 1, n_steps // fewest + 1))
    rests = np.zeros(n_steps, bool)
    rests[ends[ends < n_steps]] = True
    return rests


def agreement_probes():
    """Give sentences in which the verb is far from its subject, all combinations of nouns and of number.

    Constructions, the verb asked for in capitals: "boy WALKS" ("simple"), "boy who boys chase WALKS" ("object
    clause"), "boy who chases boys WALKS" ("subject clause"), "boy who WALKS" ("within a clause").

    Returns
    -------
    probes : Probes
        Whole sentences, each with a last verb of the right number.
    """
    words, rows = [], []
    for number, other in (("sg", "pl"), ("pl", "sg")):
        last = VERBS["none"][number][0]
        for noun in NOUNS[number]:
            rows.append(_probe(words, [noun], [last, END], number, "simple"))
            rows.append(_probe(words, [noun, WHO], [last, last, END], number, "within a clause"))
            for near in (number, other):
                for second in NOUNS[near]:
                    for kind in ("needed", "optional"):
                        for verb in VERBS[kind][near]:
                            rows.append(_probe(words, [noun, WHO, second, verb], [last, END], number, "object clause",
                                               other=near != number))  # fmt: skip
                        for verb in VERBS[kind][number]:
                            rows.append(_probe(words, [noun, WHO, verb, second], [last, END], number, "subject clause",
                                               other=near != number))  # fmt: skip
    place = {word: unit for unit, word in enumerate(WORDS)}
    steps, plural, differs, construction = (np.array(column) for column in zip(*rows, strict=True))
    return Probes(np.array([place[word] for word in words]), steps, plural, differs, construction)


def _probe(words, beginning, rest, number, construction, *, other=False):
    """Append a sentence and say where its verb is asked for."""
    words.extend([*beginning, *rest])
    return len(words) - len(rest) - 1, number == "pl", other, construction


def agreement(outputs, probes):
    """Compare the outputs for verbs of the right and of the wrong number.

    Parameters
    ----------
    outputs : array of shape (n_networks, n_probes, n_outputs)
        At the steps of the probes.
    probes : Probes

    Returns
    -------
    preference : array of shape (n_networks, n_probes)
        Sum over verbs of the right number / sum over all verbs: above .5 where they agree.
    """
    place = {word: unit for unit, word in enumerate(WORDS)}
    singular, plural = (outputs[..., [place[verb] for verb in verbs]].sum(axis=-1) for verbs in (SINGULAR, PLURAL))
    return np.where(probes.plural, plural, singular) / (singular + plural)
