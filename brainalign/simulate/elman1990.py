"""The four corpora of "Finding structure in time".

XOR in time     two random bits and their exclusive or, then two more, ...
ba, dii, guuu   random consonants b, d, g, each with its vowels, as six phonetic features a letter
letters         sentences of 15 words without breaks, five bits a letter
lexical classes sentences of two or three words from 16 templates, one unit a word

Every corpus is a stream without marks; the task of the network is always to predict the next element. A learning rate,
a momentum or a range of initial weights is not printed. What is printed twice and not the same, or not at all, is said
where it is used.

References
----------
Elman (1990), Finding structure in time, Cognitive Science 14:179-211.
"""

from typing import NamedTuple

import numpy as np

from brainalign.errors import BrainalignError, UnknownName
from brainalign.simulate.grammar import Grammar, uniform

SYLLABLES = {"b": "ba", "d": "dii", "g": "guuu"}
FEATURES = ("consonant", "vowel", "interrupted", "high", "back", "voiced")
LETTER_FEATURES = {  # p. 190
    "b": (1, 0, 1, 0, 0, 1),
    "d": (1, 0, 1, 1, 0, 1),
    "g": (1, 0, 1, 0, 1, 1),
    "a": (0, 1, 0, 0, 1, 1),
    "i": (0, 1, 0, 1, 0, 1),
    "u": (0, 1, 0, 1, 1, 1),
}

FRAGMENT = "many years ago a boy and girl lived by the sea they played happily"  # p. 193, printed without breaks
LETTER_WORDS = (*FRAGMENT.split(), "dog")
"""Fifteen words: those of the printed fragment and one more; the paper's lexicon is not printed."""
LENGTHS = (4, 9)
"""Fewest and most words of a sentence of letters (p. 192)."""
WORD_ORDERS = ("independent", "slots")
_NOUN = tuple((1 / 6, (article, noun)) for article in ("a", "the") for noun in ("boy", "girl", "dog"))
_SLOTS = Grammar(
    {
        "S": (
            (0.15, ("many", "years", "ago", "SUBJECT", "VP")),
            (0.85, ("SUBJECT", "VP")),
        ),
        "SUBJECT": ((0.45, ("NP",)), (0.45, ("NP", "and", "NP")), (0.1, ("they",))),
        "NP": _NOUN,
        "VP": ((0.5, ("VERB", "PLACE")), (0.25, ("VERB", "happily")), (0.25, ("VERB", "happily", "PLACE"))),
        "VERB": uniform(["lived", "played"]),
        "PLACE": ((1.0, ("by", "the", "sea")),),
    }
)

WORDS = (
    *("smell", "move", "see", "think", "exist", "sleep", "break", "smash", "like", "chase", "eat"),
    *("mouse", "cat", "dog", "monster", "lion", "dragon", "woman", "girl", "man", "boy"),
    *("car", "book", "rock", "sandwich", "cookie", "bread", "plate", "glass"),
)
"""The 29 words, from the leaves of figure 7."""
N_UNITS = 31
SPARE = ("<spare 1>", "<spare 2>")
"""Two of the 31 units are the code of no word; one of them later stands for ZOG."""

TEMPLATES = tuple(
    tuple(row.split())
    for row in (
        "NOUN-HUM VERB-EAT NOUN-FOOD",
        "NOUN-HUM VERB-PERCEPT NOUN-INANIM",
        "NOUN-HUM VERB-DESTROY NOUN-FRAG",
        "NOUN-HUM VERB-INTRAN",
        "NOUN-HUM VERB-TRAN NOUN-HUM",
        "NOUN-HUM VERB-AGPAT NOUN-INANIM",
        "NOUN-HUM VERB-AGPAT",
        "NOUN-ANIM VERB-EAT NOUN-FOOD",
        "NOUN-ANIM VERB-TRAN NOUN-ANIM",
        "NOUN-ANIM VERB-AGPAT NOUN-INANIM",
        "NOUN-ANIM VERB-AGPAT",
        "NOUN-INANIM VERB-AGPAT",
        "NOUN-AGRESS VERB-DESTROY NOUN-FRAG",
        "NOUN-AGRESS VERB-EAT NOUN-HUM",
        "NOUN-AGRESS VERB-EAT NOUN-ANIM",
        "NOUN-AGRESS VERB-EAT NOUN-FOOD",
    )
)
"""Table 4 as printed: 16 rows, where the text says 15 templates."""

_AS_PRINTED = {  # table 3 gives examples; the words of figure 7 that it does not list are put where they fit
    "NOUN-HUM": ("man", "woman", "boy", "girl"),
    "NOUN-AGRESS": ("dragon", "monster", "lion"),
    "NOUN-FRAG": ("glass", "plate"),
    "NOUN-FOOD": ("cookie", "bread", "sandwich"),
    "VERB-INTRAN": ("think", "sleep", "exist"),
    "VERB-TRAN": ("see", "chase", "like"),
    "VERB-AGPAT": ("move", "break"),
    "VERB-PERCEPT": ("smell", "see"),
    "VERB-DESTROY": ("break", "smash"),
    "VERB-EAT": ("eat",),
}
LEXICONS = {
    "nested": _AS_PRINTED | {"NOUN-ANIM": WORDS[11:21], "NOUN-INANIM": WORDS[21:]},
    "disjoint": _AS_PRINTED | {"NOUN-ANIM": ("cat", "mouse", "dog"), "NOUN-INANIM": ("book", "rock", "car")},
}
"""Words of each class. "disjoint": one class per noun. "nested": every animate noun is also NOUN-ANIM, every other
NOUN-INANIM. Verbs as in table 3, which has `see` and `break` in two classes each. The paper leaves the choice open."""

CATEGORIES = {
    "verb": WORDS[:11],
    "animate": WORDS[11:21],
    "inanimate": WORDS[21:],
}
"""The three large branches of figure 7."""
SUBCATEGORIES = {
    "verb, no object": ("think", "exist", "sleep"),
    "verb, object optional": ("move", "break", "smell", "see"),
    "verb, object obligatory": ("smash", "like", "chase", "eat"),
    "animal": ("mouse", "cat", "dog"),
    "aggressor": ("monster", "lion", "dragon"),
    "human": ("woman", "girl", "man", "boy"),
    "inanimate": ("car", "book", "rock"),
    "food": ("sandwich", "cookie", "bread"),
    "breakable": ("plate", "glass"),
}
"""Its smaller branches, as far as the figure names them. With the templates of table 4 `smell` and `see` always have
an object, `move` and `break` may have one."""


class LetterStream(NamedTuple):
    """A text without breaks.

    Parameters
    ----------
    letters : array of str, shape (n_letters,)
    position : array of int, shape (n_letters,)
        Of the letter in its word, 0 for the first.
    words : list of str
    """

    letters: np.ndarray
    position: np.ndarray
    words: list


class WordStream(NamedTuple):
    """Sentences one after the other.

    Parameters
    ----------
    words : array of int, shape (n_words,)
        Positions in the vocabulary.
    position : array of int, shape (n_words,)
        Of the word in its sentence, 0 for the first.
    sentence : array of int, shape (n_words,)
    """

    words: np.ndarray
    position: np.ndarray
    sentence: np.ndarray


def xor_stream(n_bits, *, seed):
    """Draw triplets of two random bits and their exclusive or (p. 185; there 3,000 bits).

    Parameters
    ----------
    n_bits : int
        A multiple of three.
    seed : int

    Returns
    -------
    bits : array of shape (n_bits,), float32
        Bits 2, 5, 8, ... (counted from 0) follow from the two before; no other can be predicted.

    Raises
    ------
    BrainalignError
        `n_bits` is not a positive multiple of three.
    """
    if n_bits < 3 or n_bits % 3:
        raise BrainalignError(f"n_bits must be a positive multiple of three, got {n_bits}")
    pairs = np.random.default_rng(seed).integers(0, 2, (n_bits // 3, 2))
    return np.column_stack([pairs, pairs[:, 0] ^ pairs[:, 1]]).ravel().astype(np.float32)


def syllable_stream(n_consonants, *, seed):
    """Draw consonants b, d, g at random and give each its vowels: ba, dii, guuu (p. 189; there 1,000 consonants).

    Returns
    -------
    letters : array of str, shape (n_letters,)
    """
    drawn = np.random.default_rng(seed).choice(list(SYLLABLES), n_consonants)
    return np.array(list("".join(SYLLABLES[consonant] for consonant in drawn)))


def rank_codes():
    """Give the five bits of each letter, {letter: (5,) float32}: its rank in the alphabet, a = 1, in binary.

    The paper calls its codes random; all thirteen that it prints (p. 193) are these.
    """
    return {chr(96 + rank): np.array([rank >> k & 1 for k in (4, 3, 2, 1, 0)], np.float32) for rank in range(1, 27)}


def letter_stream(n_sentences, *, word_order, seed):
    """Draw sentences of four to nine of the `LETTER_WORDS` and run their letters together.

    Parameters
    ----------
    n_sentences : int
        In the paper 200, of 1,270 words and 4,963 letters.
    word_order : {"independent", "slots"}
        "independent": every word at random. "slots": subject, verb, place, in sentences such as that of the printed
        fragment; the paper's generator is not printed.
    seed : int

    Returns
    -------
    stream : LetterStream

    Raises
    ------
    UnknownName
        No such word order.
    """
    if word_order not in WORD_ORDERS:
        raise UnknownName("word order", word_order, WORD_ORDERS)
    rng = np.random.default_rng(seed)
    words = []
    for _ in range(n_sentences):
        if word_order == "slots":
            words += _sentence_of_slots(rng)
        else:
            words += rng.choice(LETTER_WORDS, rng.integers(LENGTHS[0], LENGTHS[1] + 1)).tolist()
    position = np.concatenate([np.arange(len(word)) for word in words])
    return LetterStream(np.array(list("".join(words))), position, words)


def _sentence_of_slots(rng):
    while True:
        sentence = _SLOTS.sample(rng)
        if LENGTHS[0] <= len(sentence) <= LENGTHS[1]:
            return sentence


def coded(letters, codes):
    """Give the vectors of letters, (n_letters, n_bits) float32."""
    return np.array([codes[letter] for letter in letters], np.float32)


def sentence_grammar(lexicon):
    """Give the grammar of the sentences: a template of table 4 at random, each word at random from its class.

    Parameters
    ----------
    lexicon : {"nested", "disjoint"}

    Raises
    ------
    UnknownName
        No such lexicon.
    """
    if lexicon not in LEXICONS:
        raise UnknownName("lexicon", lexicon, LEXICONS)
    classes = {name: uniform(words) for name, words in LEXICONS[lexicon].items()}
    return Grammar({"S": uniform(TEMPLATES), **classes})


def word_stream(grammar, n_sentences, *, vocabulary, seed):
    """Draw sentences from a grammar and put them one after the other, without marks.

    Parameters
    ----------
    grammar : Grammar
    n_sentences : int
        In the paper 10,000; its text gives the length as 27,534, 27,354 and 27,454 words.
    vocabulary : sequence of str
    seed : int

    Returns
    -------
    stream : WordStream
    """
    rng, place = np.random.default_rng(seed), {word: unit for unit, word in enumerate(vocabulary)}
    sentences = [grammar.sample(rng) for _ in range(n_sentences)]
    lengths = [len(sentence) for sentence in sentences]
    return WordStream(
        np.array([place[word] for sentence in sentences for word in sentence]),
        np.concatenate([np.arange(length) for length in lengths]),
        np.repeat(np.arange(n_sentences), lengths),
    )


def shuffled(stream, *, seed):
    """Give the same words in random order: what is left is how often each occurs (positions stay as they were)."""
    return stream._replace(words=np.random.default_rng(seed).permutation(stream.words))


def replaced(stream, word, by):
    """Give the stream with the unit `by` in all places of the unit `word` (p. 201: ZOG for man)."""
    return stream._replace(words=np.where(stream.words == word, by, stream.words))


def labels_of(words, groups):
    """Give the number of the group that each word belongs to, (n_words,)."""
    number = {word: i for i, members in enumerate(groups.values()) for word in members}
    return np.array([number[word] for word in words])
