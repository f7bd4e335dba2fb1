"""Teach an Elman network to expect the next word of English novels: the network that ships with brainalign.

    python analyses/train_elman.py --data-dir ../shared/data --out brainalign/extract/elman_novels

Data: ELTeC-eng (99 novels, 1840-1920, public domain; Burnard 2021, 10.5281/zenodo.4662490). Carroll's book is left out,
because what is tested on it may not be learned from it, and one novel is held out. Words are those of a transcript: no
punctuation, no case. Every network of `brainalign.simulate.elman` learns online, a word at a time, by the rule of 1990
(the error is carried back one step), here of the cross-entropy of logistic outputs.

Printed at the end, on the held-out novel: bits per word of the outputs scaled to sum to 1, beside those of word
frequencies and of a bigram model of the same words (mixed with frequencies, in the best of several proportions). The
learning rate is the best of .05 to .8 for this novel after 400,000 words.
"""

import argparse
import json
import lzma
import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from brainalign.extract.words import word_key
from brainalign.simulate.elman import Elman
from brainalign.simulate.online import train
from brainalign.simulate.word_network import UNKNOWN, save_network

EXCLUDED = "ENG18652_Carroll"
HELD_OUT = "ENG19200_Lawrence"
N_TESTED = 20_000  # words
MIXTURES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # weights of the bigram beside the frequencies


def read_books(path):
    """Title -> words as they are looked up."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        parts = file.read().split("### level1/")[1:]
    books = dict(part.split(".xml\n", 1) for part in parts)
    return {title: transcript(text) for title, text in books.items()}


def transcript(text):
    """Give the words of a text as a forced alignment lists them, in the form in which they are looked up."""
    words = re.sub(r"[^\w' ]", " ", text.replace("’", "'").replace("\n", " ")).split()
    return [key for key in (word_key(word.strip("_")) for word in words) if key]


def excerpts(books, n_words):
    """Give as many words of every book, from its middle, one book after the other."""
    per_book = n_words // len(books)
    starts = {title: max(0, (len(words) - per_book) // 2) for title, words in books.items()}
    return [word for title, words in books.items() for word in words[starts[title] : starts[title] + per_book]]


def positions(words, vocabulary):
    place = {word: i for i, word in enumerate(vocabulary)}
    return torch.tensor([place.get(word, place[UNKNOWN]) for word in words])


def bits_of_network(network, words):
    """Give the mean bits per word of what the network expects after each word."""
    with torch.no_grad():
        outputs = network(words)[0].double()[:-1]
    shares = outputs / outputs.sum(dim=1, keepdim=True)
    return -shares[torch.arange(len(words) - 1), words[1:]].log2().mean().item()


def bits_of_counts(learned, tested, n_words):
    """Give the mean bits per word of word frequencies, and of bigrams in the mixture that is best for these words."""
    frequency = (np.bincount(learned, minlength=n_words) + 1.0) / (len(learned) + n_words)
    pairs, firsts = Counter(pairwise(learned.tolist())), Counter(learned[:-1].tolist())
    of_pair = np.array([pairs[pair] / max(firsts[pair[0]], 1) for pair in pairwise(tested.tolist())])
    expected = frequency[tested[1:]]
    seen = np.isin(tested[:-1], list(firsts))
    mixtures = [np.where(seen, weight * of_pair + (1 - weight) * expected, expected) for weight in MIXTURES]
    return -np.log2(expected).mean(), min(-np.log2(mixed).mean() for mixed in mixtures)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds eltec_eng/")
    parser.add_argument("--out", type=Path, required=True, help="where the network is written")
    parser.add_argument("--n-words", type=int, default=6_000_000)
    parser.add_argument("--vocabulary", type=int, default=1_000)
    parser.add_argument("--n-hidden", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    books = read_books(arguments.data_dir / "eltec_eng" / "eltec_eng_level1_plain.txt.xz")
    del books[EXCLUDED]
    held_out = books.pop(HELD_OUT)
    words = excerpts(books, arguments.n_words)
    common = [word for word, _ in Counter(words).most_common(arguments.vocabulary - 1)]
    vocabulary = [*sorted(common), UNKNOWN]
    learned, tested = positions(words, vocabulary), positions(held_out[:N_TESTED], vocabulary)
    network = Elman(vocabulary, n_hidden=arguments.n_hidden, seed=arguments.seed)
    untrained, start = bits_of_network(network, tested), time.perf_counter()
    tenth = len(learned) // 10
    context = None
    for i, part in enumerate(learned[: 10 * tenth].split(tenth)):
        rate = arguments.lr * (1 - i / 10)
        context = train(network, part, lr=rate, loss="cross_entropy", context=context).context
        print(f"{(i + 1) * tenth} words, {bits_of_network(network, tested):.3f} bits per word", flush=True)
    minutes = (time.perf_counter() - start) / 60
    frequency, bigram = bits_of_counts(learned.numpy(), tested.numpy(), len(vocabulary))
    save_network(network, arguments.out)
    figures = {
        "words": len(learned),
        "books": len(books),
        "vocabulary": len(vocabulary),
        "n_hidden": arguments.n_hidden,
        "unknown_share": round((tested == len(vocabulary) - 1).double().mean().item(), 4),
        "minutes": round(minutes, 1),
        "bits_per_word": {
            "network": round(bits_of_network(network, tested), 3),
            "untrained": round(untrained, 3),
            "frequencies": round(float(frequency), 3),
            "bigrams": round(float(bigram), 3),
        },
    }
    text = json.dumps(figures, indent=1) + "\n"
    (arguments.out / "figures.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
