"""Ask whether classes of words arise in a network that only predicts the next word (Elman 1990, figures 7-9).

    python analyses/elman1990_lexical_classes.py --out results/elman1990_lexical_classes [--set n_networks=20]

Elman (1990), pp. 194-206, figures 7-9. 10,000 sentences of two or three words from 16 templates and 29 words run into
one another; a simple recurrent network of 31 inputs, 150 hidden and context units and 31 outputs reads them six times
and predicts the next word. Then, with frozen weights: how near its outputs come to the likelihoods of the next word; a
tree over the mean hidden states of words (figure 7); a tree over single occurrences of BOY and GIRL (figure 8); ZOG, a
unit that was never on, in all places of MAN (figure 9); paths of hidden states along sentences.

What the paper leaves open or prints in two ways:

- The corpus is 27,534 (pp. 195, 197), 27,354 (pp. 196, 199) or 27,454 words long (pp. 204-205). 16 templates give
  27,500 +- 43; 15 templates, as the text says where table 4 has 16 rows, would give 27,333. "Thirteen classes" have 12
  rows in table 3, whose NOUN-FOOD lists "break" for bread.
- Which word is in which class: table 3 gives two examples each. lexicon = "disjoint" puts every noun into one class,
  "nested" every animate noun also into NOUN-ANIM, every other into NOUN-INANIM.
- "Root mean squared" errors of .88 and .053: the sum of squares over the 31 outputs is what comes out near them. The
  initial 15.5 is 31 x .5, outputs that say nothing at random; weights within +-.5 begin lower.
- Learning rate and initial weights are not printed. lr = .1 with weights and biases within +-.5 is the setting at which
  both hold: the nouns are split from the verbs at the top of the tree (with .2 and more the first split is often a
  single verb), and the network is well above a table of word pairs (with .05 hardly). .2 to .5 come nearest to the
  printed cosine. Linkage and distance of the trees are not printed; here Ward's on Euclidean distances.

The likelihoods are counted, as in the paper. Full sentences occur some tens of times each, so that what follows them is
counted with noise that no network can know: the likelihoods of the templates themselves have a cosine of .94 with them.

Controls: the same networks untrained; networks taught the same words in random order; counts of words and of word
pairs, which any claim of syntax has to beat. All networks read the same text, words in their order. Footnote 6 asks
whether averaging alone would give the tree, as a mean state holds an echo of the words before it. It does not: with
networks that learned no order, categories are in the mean states only weakly: untrained .44 of the words have a nearest
neighbour of their category, taught words in random order .52, where .32 is chance and networks that learned the order
have all; and the tree cut in three does not find them (purity .53 and .54).

ZOG's unit was never on, so that its weights to the hidden units are still those drawn at first, about as large as a
learned word's, and move the state in a direction of their own. Of 20 networks with the default settings 16 have an
animate nearest to ZOG; with these weights halved 19, and with 0 all of them: the context alone puts ZOG among animates.
"""

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from brainalign.errors import BrainalignError
from brainalign.plots import dendrograms, errors_over_time, trajectories
from brainalign.simulate import clusters, elman1990, prediction, reading
from brainalign.simulate import trajectories as along
from brainalign.simulate.elman import Elman
from brainalign.simulate.grammar import exact_likelihoods
from brainalign.simulate.online import train
from brainalign.simulations import Drawing, Published, Settings, main, measured

SOURCE = "Elman 1990"
CAME, LIKELY, COSINE = "error against the word that came", "error against likelihoods", "cosine with likelihoods"
PUBLISHED = (
    Published("words in the corpus", 27534, f"{SOURCE} pp. 195, 197", "also printed as 27,354 and 27,454"),
    Published("different words", 29, f"{SOURCE} p. 194"),
    Published(f"{CAME}, untrained", 15.5, f"{SOURCE} p. 196", "31 x .5: outputs at random between 0 and 1"),
    Published(f"{CAME}, all outputs off", 1.0, f"{SOURCE} p. 196"),
    Published(CAME, 0.88, f"{SOURCE} p. 197", "called root mean square; the sum of squares or its root"),
    Published(f"{CAME}, root", 0.88, f"{SOURCE} p. 197", "the other reading of the same number"),
    Published(LIKELY, 0.053, f"{SOURCE} p. 199", "called root mean square; the sum of squares"),
    Published(f"{LIKELY}, SD over words", 0.100, f"{SOURCE} p. 199"),
    Published(COSINE, 0.916, f"{SOURCE} p. 199"),
    Published(f"{COSINE}, SD over words", 0.123, f"{SOURCE} p. 199"),
)

VOCABULARY = [*elman1990.WORDS, *elman1990.SPARE]
N_WORDS, ZOG = len(elman1990.WORDS), len(elman1990.WORDS)
CATEGORY = elman1990.labels_of(elman1990.WORDS, elman1990.CATEGORIES)
SUBCATEGORY = elman1990.labels_of(elman1990.WORDS, elman1990.SUBCATEGORIES)
VERB, ANIMATE = 0, 1
N_TOKENS = 20  # occurrences of each word in trees over occurrences,
N_FIRST = 4000  # which are drawn from the first words of the corpus
N_PATH_SENTENCES = 1400
N_COMPONENTS = 10
SUBJECTS = {"human": ("man", "woman", "boy", "girl"), "animal": ("mouse", "cat", "dog"),
            "aggressor": ("monster", "lion", "dragon")}  # fmt: skip
ACTIONS = {"think, sleep, exist": ("think", "sleep", "exist"), "like, chase": ("like", "chase"), "eat": ("eat",),
           "smash": ("smash",), "smell": ("smell",)}  # fmt: skip


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(0, ge=0, lt=2**32, description="of the corpora; network i has weights of seed + i")
    n_networks: int = Field(10, ge=1, description="networks, each with first weights of its own")
    n_shuffled: int = Field(5, ge=1, description="networks taught the words in random order")
    lexicon: Literal["nested", "disjoint"] = Field("nested", description="which nouns belong to which classes")
    n_sentences: int = Field(10_000, ge=500, description="sentences of the corpus")
    n_sweeps: int = Field(6, ge=1, description="passes through the corpus")
    n_hidden: int = Field(150, ge=N_COMPONENTS, description="hidden units, and context units")
    lr: float = Field(0.1, gt=0, le=10, description="learning rate")
    limit: float = Field(0.5, ge=1e-4, le=10, description="first weights and biases are uniform within +-limit")
    linkage: Literal["ward", "average", "complete"] = Field("ward", description="of the trees")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")


def run(config):
    grammar = elman1990.sentence_grammar(config.lexicon)
    stream = _stream(grammar, config, seed=config.seed)
    _require_eaters(stream)
    likelihoods = prediction.empirical_likelihoods(stream.words, stream.position, n_units=len(VOCABULARY))
    untrained, trained = _networks(config), _networks(config)
    training = train(trained, stream.words, lr=config.lr, n_sweeps=config.n_sweeps)
    on_mixed = _networks(config, n_networks=config.n_shuffled)
    train(on_mixed, elman1990.shuffled(stream, seed=config.seed).words, lr=config.lr, n_sweeps=config.n_sweeps)
    networks = {"trained": trained, "untrained": untrained, "shuffled corpus": on_mixed}

    means = {name: reading.mean_states_of(of, stream.words, n_words=N_WORDS) for name, of in networks.items()}
    zog, zog_rows = _zog(trained, grammar, config)
    boys, token_rows = _tokens(trained, stream, config)
    paths, path_rows, of_paths = _paths(networks, stream)
    obtained = [
        measured("words in the corpus", len(stream.words)),
        measured("different words", len(np.unique(stream.words))),
        *_predictions(networks, stream, likelihoods),
        *_baselines(stream, likelihoods, grammar),
        *_categories(means, config),
        *token_rows,
        *zog_rows,
        *path_rows,
    ]
    merges = clusters.tree(means["trained"][0], linkage=config.linkage, for_figure=True)
    return {
        "obtained": pd.DataFrame(obtained),
        "sweeps": _sweeps(training),
        "types_merges": _merges(merges),
        "types_leaves": _leaves(elman1990.WORDS),
        **boys,
        **zog,
        "paths": paths,
        **of_paths,
    }


def _stream(grammar, config, *, seed):
    return elman1990.word_stream(grammar, config.n_sentences, vocabulary=elman1990.WORDS, seed=seed)


def _networks(config, n_networks=None):
    return Elman(VOCABULARY, n_hidden=config.n_hidden, n_networks=n_networks or config.n_networks, seed=config.seed,
                 limit=config.limit, device=config.device)  # fmt: skip


def _predictions(networks, stream, likelihoods):
    rows = []
    for name, network in networks.items():
        found = reading.assess(network, stream.words, likelihoods)
        of = "" if name == "trained" else f", {name}"
        rows += [
            measured(f"{CAME}{of}", found.target_error.mean(axis=1)),
            measured(f"{LIKELY}{of}", found.likelihood_error.mean(axis=1)),
            measured(f"{COSINE}{of}", found.cosine.mean(axis=1)),
        ]
        if name == "trained":
            rows += [
                measured(f"{CAME}, root", np.sqrt(found.target_error.mean(axis=1))),
                measured(f"{LIKELY}, SD over words", found.likelihood_error.std(axis=1)),
                measured(f"{COSINE}, SD over words", found.cosine.std(axis=1)),
            ]
    return rows


def _baselines(stream, likelihoods, grammar):
    rows = [
        measured(f"{CAME}, all outputs off", 1.0),
        measured(f"{CAME}, likelihoods themselves", prediction.irreducible_error(likelihoods)),
    ]
    counts = {"word pairs": prediction.bigram_likelihoods, "single words": prediction.unigram_likelihoods}
    guesses = {name: count(stream.words, n_units=len(VOCABULARY)) for name, count in counts.items()}
    guesses["likelihoods of the templates"] = exact_likelihoods(
        grammar, stream.words, stream.position, vocabulary=elman1990.WORDS, n_units=len(VOCABULARY)
    )
    for name, guess in guesses.items():
        rows += [
            measured(f"{LIKELY}, {name}", prediction.squared_error(guess, likelihoods).mean()),
            measured(f"{COSINE}, {name}", prediction.cosine(guess, likelihoods).mean()),
        ]
    return rows


def _categories(means, config):
    """Give, per condition, how the tree over types and nearest neighbours agree with verbs, animates, inanimates."""
    rows = []
    for name, of in means.items():
        trees = [clusters.tree(points, linkage=config.linkage) for points in of]
        three = [clusters.purity(clusters.cut(tree, 3), CATEGORY) for tree in trees]
        two = [clusters.purity(clusters.cut(tree, 2), (CATEGORY > VERB).astype(int)) for tree in trees]
        near = [clusters.neighbour_agreement(points, CATEGORY) for points in of]
        rows += [
            measured(f"tree cut in 2, purity of verbs / nouns, {name}", two),
            measured(f"tree cut in 3, purity of verbs / animates / inanimates, {name}", three),
            measured(f"words with a nearest neighbour of their category, {name}", near),
        ]
    chance = clusters.chance_of_agreement(CATEGORY)
    return [*rows, measured("words with a nearest neighbour of their category, chance", chance)]


def _sweeps(training):
    errors = training.errors.mean(dim=2).cpu().numpy()  # (n_networks, n_sweeps)
    sd = errors.std(axis=0, ddof=1) if len(errors) > 1 else np.full(errors.shape[1], np.nan)
    columns = {"sweep": np.arange(1, errors.shape[1] + 1), "value": errors.mean(axis=0), "sd": sd}
    return pd.DataFrame({"condition": "networks that learn", **columns})


def _merges(merges):
    return pd.DataFrame(merges, columns=["first", "second", "distance", "size"]).astype({"first": int, "second": int})


def _leaves(words):
    group = {word: name for name, members in elman1990.SUBCATEGORIES.items() for word in members}
    return pd.DataFrame({"name": words, "group": [group.get(word, "never seen") for word in words]})


def _tokens(network, stream, config):
    """Cluster single occurrences: all words, and BOY and GIRL with the sentence they stand in."""
    rows = clusters.some_of_each(stream.words[:N_FIRST], N_TOKENS, seed=config.seed)
    states, words = reading.states_at(network, stream.words, rows), stream.words[rows]
    same = [clusters.neighbour_agreement(of_network, words) for of_network in states]
    trees = [clusters.tree(of_network, linkage=config.linkage) for of_network in states]
    pure = [clusters.purity(clusters.cut(tree, N_WORDS), words) for tree in trees]

    boys = np.flatnonzero(np.isin(stream.words[:N_FIRST], [elman1990.WORDS.index(word) for word in ("boy", "girl")]))
    kind = 2 * stream.words[boys] + (stream.position[boys] > 0)
    boys = boys[clusters.some_of_each(kind, N_TOKENS // 2, seed=config.seed)]
    of_boys, word, first = (
        reading.states_at(network, stream.words, boys),
        stream.words[boys],
        stream.position[boys] == 0,
    )
    place = [
        np.mean([clusters.neighbour_agreement(of[word == one], first[word == one]) for one in np.unique(word)])
        for of in of_boys
    ]
    chance = np.mean([clusters.chance_of_agreement(first[word == one].astype(int)) for one in np.unique(word)])
    places = np.where(first, "first in the sentence", "last in the sentence")
    group = [f"{elman1990.WORDS[one]}, {at}" for one, at in zip(word, places, strict=True)]
    leaves = pd.DataFrame({"name": [_in_sentence(stream, step) for step in boys], "group": group})
    order = leaves.sort_values(["group", "name"]).index.to_numpy()
    tree = clusters.tree(of_boys[0][order], linkage=config.linkage, for_figure=True)
    tables = {"tokens_merges": _merges(tree), "tokens_leaves": leaves.loc[order].reset_index(drop=True)}
    return tables, [
        measured("occurrences with a nearest neighbour of the same word", same),
        measured("tree over occurrences cut in 29, purity of words", pure),
        measured("BOY, GIRL: nearest occurrence of the same word at the same place in its sentence", place),
        measured("BOY, GIRL: the same, chance", chance),
    ]


def _in_sentence(stream, step):
    """Give the words of a sentence with the one at `step` in capitals."""
    steps = np.flatnonzero(stream.sentence == stream.sentence[step])
    words = [elman1990.WORDS[stream.words[i]] for i in steps]
    return " ".join(word.upper() if i == step else word for i, word in zip(steps, words, strict=True))


def _zog(network, grammar, config):
    """Read new sentences with ZOG for MAN, without learning."""
    fresh = _stream(grammar, config, seed=config.seed + 1)
    man = elman1990.WORDS.index("man")
    read = elman1990.replaced(fresh, man, ZOG)
    present = np.array([k for k in range(N_WORDS + 1) if k != man])
    names = [(*elman1990.WORDS, "ZOG")[k] for k in present]
    means = reading.mean_states_of(network, read.words, n_words=N_WORDS + 1)[:, present]
    zog = len(present) - 1
    near = np.array([clusters.neighbours(of, [zog])[0, :5] for of in means])
    leaves = _leaves(names)
    human = leaves.index[leaves["group"] == "human"]
    order = np.insert(np.arange(zog), human[0], zog)  # drawn where MAN was, among the human nouns
    tree = clusters.tree(means[0][order], linkage=config.linkage, for_figure=True)
    counts = pd.Series([names[k] for k in near.ravel()]).value_counts() / len(means)
    neighbours = counts.rename_axis("word").rename("networks").reset_index()
    three = [clusters.cut(clusters.tree(of, linkage=config.linkage), 3) for of in means]
    category = CATEGORY[present[:-1]]
    among = [np.mean(category[cut[:-1] == cut[-1]] == ANIMATE) for cut in three]
    return {
        "zog_merges": _merges(tree),
        "zog_leaves": leaves.loc[order].reset_index(drop=True),
        "zog_neighbours": neighbours,
    }, [
        measured(
            "ZOG: animates among the five nearest words", np.isin(near, np.flatnonzero(category == ANIMATE)).mean(1)
        ),
        measured("ZOG: nearest word is animate", category[near[:, 0]] == ANIMATE),
        measured("ZOG: nearest word is human", np.isin(near[:, 0], human)),
        measured("ZOG: animates among the words of its branch (tree cut in 3)", among),
    ]


def _sentences_along(stream):
    """Give, per sentence, its steps from the one before it: rows (sentence, position, step), position 0 the start."""
    first = np.flatnonzero(stream.position == 0)[1 : N_PATH_SENTENCES + 1]
    length = np.diff(np.append(np.flatnonzero(stream.position == 0), len(stream.words)))[1 : N_PATH_SENTENCES + 1]
    rows = [
        (i, at, start - 1 + at) for i, (start, n) in enumerate(zip(first, length, strict=True)) for at in range(n + 1)
    ]
    table = pd.DataFrame(rows, columns=["sentence", "position", "step"])
    words = np.array(elman1990.WORDS)[stream.words]
    table["subject"] = words[first][table["sentence"]]
    table["verb"] = words[first + 1][table["sentence"]]
    return table


def _require_eaters(stream):
    """Refuse a corpus in which not all subjects eat in the sentences that are followed."""
    followed = _sentences_along(stream)
    eating = set(followed.loc[followed["verb"] == "eat", "subject"])
    if missing := [word for members in SUBJECTS.values() for word in members if word not in eating]:
        raise BrainalignError(
            f"never seen to eat in the {followed['sentence'].nunique()} sentences that are followed:"
            f" {', '.join(missing)}; n_sentences must be larger (of {N_PATH_SENTENCES} or more, that many are followed)"
            " or seed another"
        )


def _group_numbers(words, groups):
    """Give the number of the group of each word, -1 for none."""
    number = {word: i for i, members in enumerate(groups.values()) for word in members}
    return np.array([number.get(word, -1) for word in words])


def _paths(networks, stream):
    """Give the paths of kinds of sentences on common axes, their distances, and what states tell apart."""
    along_sentence = _sentences_along(stream)
    steps, index = np.unique(along_sentence["step"], return_inverse=True)
    states = {name: reading.states_at(network, stream.words, steps) for name, network in networks.items()}
    position = along_sentence["position"].to_numpy()
    eats = _group_numbers(along_sentence["subject"], SUBJECTS)
    eats[along_sentence["verb"] != "eat"] = -1
    acts = _group_numbers(along_sentence["verb"], ACTIONS)
    acts[~along_sentence["subject"].isin(SUBJECTS["human"])] = -1
    kinds = {"who eats": (SUBJECTS, eats), "what humans do": (ACTIONS, acts)}

    trained = states["trained"]
    axes = along.principal_axes(trained, N_COMPONENTS)
    components, _ = along.turn_to_first(along.project(trained, axes))
    paths = pd.concat(
        [
            _path_table(panel, components[:, index], groups, number, position)
            for panel, (groups, number) in kinds.items()
        ]
    )
    distances = pd.concat([_distance_table(name, of[:, index], eats, position) for name, of in states.items()])
    words = stream.words[steps]
    separable = pd.concat([_separability(name, of, words, index, along_sentence) for name, of in states.items()])
    share = axes.share[:, :3].sum(axis=1)
    rows = [measured("variance of hidden states in three components", share)]
    for (what, statistic, condition), part in separable.groupby(["what", "statistic", "condition"], sort=False):
        rows.append(measured(f"{what}, {statistic}, {condition}", part["value"]))
    return paths, rows, {"distances": distances, "separability": separable}


def _path_table(panel, components, groups, number, position):
    shape = {"n_groups": len(groups), "n_positions": 4}
    paths = along.mean_paths(components, number, position, **shape)[..., :3]  # (n_networks, n_groups, 4, 3)
    mean, sd = paths.mean(axis=0), paths.std(axis=0, ddof=min(1, len(paths) - 1))
    rows = []
    for i, name in enumerate(groups):
        labels = ["start", name, "eat", "object"] if panel == "who eats" else ["start", "human", name, "object"]
        for at in range(4):
            if np.isfinite(mean[i, at]).all():
                row = {f"component {k + 1}": mean[i, at, k] for k in range(3)}
                row |= {f"component {k + 1} sd": sd[i, at, k] for k in range(3)}
                rows.append({"panel": panel, "group": name, "position": at, "label": labels[at]} | row)
    return pd.DataFrame(rows)


def _distance_table(name, states, number, position):
    found = along.path_distances(states, number, position, n_groups=len(SUBJECTS), n_positions=4)
    names, rows = list(SUBJECTS), []
    for a in range(len(names)):
        for b in range(a):
            for at in range(1, 4):
                values = found[:, at, a, b]
                sd = values.std(ddof=1) if len(values) > 1 else np.nan
                rows.append({"panel": name, "pair": f"{names[b]} - {names[a]}", "position": at,
                             "value": values.mean(), "sd": sd})  # fmt: skip
    return pd.DataFrame(rows)


def _separability(condition, states, words, index, along_sentence):
    """Give what states tell apart in words that were held out: the category of the word; who it was that eats."""
    some = clusters.some_of_each(words, N_TOKENS, seed=0)
    at_eat = ((along_sentence["verb"] == "eat") & (along_sentence["position"] == 2)).to_numpy()
    who = _group_numbers(along_sentence["subject"], SUBJECTS)
    kept = np.flatnonzero(at_eat & (who >= 0))
    asked = {
        "category of the word": (states[:, some], CATEGORY[words[some]], words[some], 5),
        "who it was, at EAT": (states[:, index[kept]], who[kept], along_sentence["subject"].to_numpy()[kept], 3),
    }
    rows = []
    for what, (of, labels, held_out, n_splits) in asked.items():
        held_out = np.unique(held_out, return_inverse=True)[1]
        found = along.separability(of, labels, held_out=held_out, n_splits=n_splits)
        chance = {"nearest mean": 1 / 3, "linear": 1 / 3, "silhouette": np.nan}
        for statistic, values in zip(chance, found, strict=True):
            rows += [{"what": what, "statistic": statistic, "condition": condition, "network": i, "value": value,
                      "chance": chance[statistic]} for i, value in enumerate(values)]  # fmt: skip
    return pd.DataFrame(rows)


def draw(tables, config):
    components = ("component 1", "component 2")
    neighbours = ", ".join(f"{row.word} {row.networks:.0%}" for row in tables["zog_neighbours"].head(8).itertuples())
    obtained = tables["obtained"].set_index("quantity")["value"]
    references = [(obtained[f"{CAME}, likelihoods themselves"], "likelihoods themselves"), (0.88, "printed: .88")]
    along_paths = tables["paths"]
    n = f"{config.n_networks} networks"
    return [
        Drawing("Figure 7: words", dendrograms.dendrogram(tables["types_merges"], tables["types_leaves"]),
                f"Tree over the mean hidden states of the 29 words, first network, {config.linkage}"
                " linkage of Euclidean"
                " distances. Colours: the branches that the paper's figure 7 names."),
        Drawing("Figure 8: occurrences of BOY and GIRL",
                dendrograms.dendrogram(tables["tokens_merges"], tables["tokens_leaves"]),
                f"Tree over single hidden states, up to {N_TOKENS // 2} occurrences of each word at each place"
                f" among the first {N_FIRST} words, in capitals in their sentence; first network."),
        Drawing("Figure 9: ZOG", dendrograms.dendrogram(tables["zog_merges"], tables["zog_leaves"]),
                f"As figure 7, over {config.n_sentences} new sentences in which a unit that had never been on stands"
                " for MAN; nothing is learned. In how many networks a word is among the five nearest to ZOG:"
                f" {neighbours}."),
        Drawing("Paths of sentences", trajectories.paths(along_paths, components=components),
                f"Mean hidden states along sentences, mean over {n}, ellipses 1 SD over networks. Principal components"
                f" of each network, the first {N_COMPONENTS} turned to those of the first network (Procrustes). Left:"
                " sentences with EAT by their subject. Right: sentences about humans by their verb."
                " 'start' is the state"
                " after the sentence before."),
        Drawing("Paths of sentences, to be turned",
                trajectories.turnable(along_paths, panel="what humans do",
                                      components=("component 1", "component 2", "component 3"),
                                      title="what humans do: drag to turn, play to walk along the sentences"),
                "The right panel of the figure before in three components."),
        Drawing("Distances between paths", trajectories.distances(tables["distances"]),
                "Sentences with EAT: distance between the mean states of two kinds of subject in units of the spread"
                f" within kinds, all {config.n_hidden} units, at the subject (1), at EAT (2), at the"
                " object (3). The word"
                " at 2 is the same for all: what is left there is memory. Any two sets of words with"
                " codes at random are apart"
                " too, as untrained networks show; whether a kind is more than its words is asked in the next figure."
                " Bands: 1 SD over networks."),
        Drawing("What states tell apart", trajectories.separability(tables["separability"]),
                "A dot per network; words that were tested had no part in the fit. Accuracies weight categories"
                " equally; dotted: chance. Left, controls lie above chance because a state holds an echo of the word"
                " before, and verbs follow nouns. Right, the word is EAT for all: untrained networks are at chance,"
                " those taught words in random order somewhat above it, far below those that learned the order."),
        Drawing("Learning", errors_over_time.over_sweeps(tables["sweeps"], ylabel="sum of squared errors",
                                                         references=references),
                f"Error against the word that came during learning, mean of each pass; {n}, band 1 SD."),
    ]  # fmt: skip


if __name__ == "__main__":
    main(__file__)
