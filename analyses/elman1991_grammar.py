"""Ask whether a network that predicts words learns clauses in clauses, and whether it helps to start small.

    python analyses/elman1991_grammar.py --out results/elman1991_grammar
    python analyses/elman1991_grammar.py --out results/elman1991_full --set n_words=63000 lr=0.1      (the paper's size)

Elman (1991): sentences such as "boys who Mary chases feed cats ." in which verbs agree with their subjects over
clauses and have the objects they need; a network of 26-10-70-10-26 units, 70 context units, predicts the next word.
Its outputs are compared with the likelihoods of the grammar; hidden states are followed along sentences.

Elman (1993): networks were said to learn only if they started small, with simple sentences first ("staged input": 0,
25, 50 and 75 % with clauses) or with a memory that is erased every few words, later more rarely ("staged memory").
This does not come out here: with ordinary first weights the full corpus from the start is learned at least as well,
and what stops networks are small first weights together with the layers of 10 units, on a plateau where they only know
how frequent words are (cosine .53) whatever the corpus. Rohde & Plaut (1999) found the same and blamed the first
weights. Which sign the difference has in a condition is printed; none is assumed.

What is not sure: the paper's 23 words are 22 or 24 by its own list (24 here), the probabilities of its grammar are not
printed (chosen here), nor are learning rate and first weights. SDs and schedules come from memory of secondary
accounts. Its corpora have 10,000 sentences (63,000 words where 75 % are complex); the default here is smaller, so that
it ends within a minute or so, and learns with .3: all corpora are cut to `n_words` words. At the paper's
size and with .1, networks with first weights within +-.1 that learn the full corpus come near the printed cosine (.83
to .85 after 1,400,000 words).

Agreement is learned late: at the default size verbs agree after "boy", and over a clause most networks are at chance.
At the paper's size (63,000 words, 25 passes, .1, first weights within +-.5, five networks, cosines of .96 to .97) they
agree after an object clause ("boy who boys chase") in all probes, also where the nearer noun has the other number.
After a subject clause ("boy who chases boys") they do in 99 to 100 % where it has the same number, but only in 53 %
(26-70-26) and 65 % (with the layers of 10) where it has the other. Over all probes 78 to 97 % and 87 to 100 % are
right.

Without the layers of 10 units (26-70-26) there is no plateau: .80 after 100,000 words even from tiny first weights.

Controls: untrained networks; networks taught the same words in random order; counts of words and pairs.
"""

from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from brainalign.errors import BrainalignError
from brainalign.plots import errors_over_time, trajectories
from brainalign.simulate import elman1991, prediction, reading
from brainalign.simulate import trajectories as along
from brainalign.simulate.elman import Elman
from brainalign.simulate.grammar import exact_likelihoods
from brainalign.simulate.online import train
from brainalign.simulations import Drawing, Published, Settings, main, measured

COSINE, ERROR = "cosine with likelihoods", "squared error against likelihoods"
FULL, STAGED, MEMORY = "full corpus", "staged input", "staged memory"
ORDINARY, SMALL, TINY = "ordinary first weights", "small first weights", "tiny first weights"
PUBLISHED = (
    *(
        number
        for first in (ORDINARY, SMALL)
        for number in (
            Published(f"{COSINE}, {STAGED}, {first}", 0.852, "Elman 1991", "first weights are not printed"),
            Published(f"{COSINE}, SD over words, {STAGED}, {first}", 0.259, "Elman 1991", "from memory"),
            Published(f"{ERROR}, {STAGED}, {first}", 0.177, "Elman 1991", "from memory; called an error only"),
        )
    ),
    Published("words", 23, "Elman 1991", "by its own list 22, or 24 with the names"),
)

VOCABULARY = [*elman1991.WORDS, *elman1991.SPARE]
SWEEPS_OF_STAGE = 5
N_SWEEPS = sum(n for _, _, n in elman1991.MEMORY)  # 32; of the full corpus and staged input 25
N_SHORT = 25
N_COMPONENTS = 12
STORIES = {
    "what a verb needs": ("boy chases boy .", "boy sees boy .", "boy walks ."),
    "clauses": (
        "boy chases boy .", "boy chases boy who chases boy .", "boy who chases boy chases boy .",
        "boy chases boy who chases boy who chases boy .",
    ),
    "number over a clause": ("boy who boys chase chases boy .", "boys who boys chase chase boy ."),
}  # fmt: skip
LEAD = "John walks ."
OVER_CLAUSES = ("object clause", "subject clause")
BETWEEN = {"none": "no noun between", "same": "noun between: same number", "other": "noun between: other number"}


class Config(Settings):
    """Settings of the simulation."""

    seed: int = Field(
        0, ge=0, lt=2**32, description="of the corpora; networks of every condition have weights of seed, seed + 1, ..."
    )
    n_networks: int = Field(3, ge=1, description="networks of every condition")
    n_words: int = Field(10_000, ge=2000, description="words of each corpus; every pass reads as many")
    n_test: int = Field(250, ge=50, description="sentences of the test, 75 % with clauses")
    n_hidden: int = Field(70, ge=N_COMPONENTS, description="hidden units, and context units")
    n_code: int = Field(10, ge=1, description="units of the layers before and after them")
    lr: float = Field(0.3, gt=0, le=10, description="learning rate")
    ordinary: float = Field(0.5, ge=1e-4, le=10, description="first weights and biases are uniform within +- this")
    small: float = Field(0.1, ge=1e-4, le=10, description="the same, small first weights")
    tiny: float = Field(0.001, ge=1e-4, le=10, description="the same, tiny first weights")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="where networks learn")


def run(config):
    limits = {ORDINARY: config.ordinary, SMALL: config.small, TINY: config.tiny}
    conditions = [(way, first) for first in (ORDINARY, SMALL) for way in (FULL, STAGED, MEMORY)]
    conditions += [(FULL, TINY), ("shuffled corpus", ORDINARY)]
    test, likelihoods = _test(config)
    together = _side_by_side([_networks(config, limits[first]) for _, first in conditions], config)
    plan = _plan(config)
    kept, curves, context = {}, [], None
    untrained = _read(together, test, likelihoods, conditions)[conditions[0]]
    for i_sweep in range(N_SWEEPS):
        words, rests = _lessons(plan, conditions, i_sweep, n_networks=config.n_networks)
        context = train(together, words, lr=config.lr, rests=torch.as_tensor(rests), context=context).context
        found = reading.assess(together, test.words, likelihoods).cosine.mean(axis=1).reshape(len(conditions), -1)
        curves.append(_curve(conditions, found, i_sweep))
        ended = [i for i, (way, _) in enumerate(conditions) if len(plan[way]) == i_sweep + 1]
        of_now = _read(together, test, likelihoods, conditions) if ended else {}
        kept |= {conditions[i]: of_now[conditions[i]] for i in ended}
    best = kept[FULL, ORDINARY]
    separable = pd.concat([
        _separability(name, of, test)
        for name, of in (("trained", best), ("untrained", untrained),
                         ("shuffled corpus", kept["shuffled corpus", ORDINARY]))
    ])  # fmt: skip
    agreement = _agreement(kept | {("untrained", ORDINARY): untrained})
    rows = [
        measured("words", [len(elman1991.WORDS)]),
        *_of_conditions(kept, untrained),
        *_counted(test, likelihoods),
        *_signs(kept),
        *_of_agreement(agreement),
    ]
    for (what, statistic, condition), part in separable.groupby(["what", "statistic", "condition"], sort=False):
        rows.append(measured(f"{what}, {statistic}, {condition}", part["value"]))
    return {
        "obtained": pd.DataFrame(rows),
        "sweeps": pd.concat(curves),
        "agreement": agreement,
        "separability": separable,
        "stories": _stories(best),
    }


def _networks(config, limit):
    return Elman(VOCABULARY, n_hidden=config.n_hidden, n_code=config.n_code, n_networks=config.n_networks,
                 seed=config.seed, limit=limit, device=config.device)  # fmt: skip


def _side_by_side(networks, config):
    """Put the networks of all conditions into one, so that they learn in one go."""
    n_networks = config.n_networks * len(networks)
    together = Elman(VOCABULARY, n_hidden=config.n_hidden, n_code=config.n_code, n_networks=n_networks,
                     device=config.device)  # fmt: skip
    together.load_state_dict({
        name: torch.cat([network.state_dict()[name] for network in networks]) for name in together.state_dict()
    })  # fmt: skip
    return together


def _plan(config):
    """Give, per way of teaching, words and resets of every pass."""
    n_sentences = config.n_words // 3  # no sentence is shorter
    of_share = {
        share: elman1991.clause_stream(share, n_sentences, seed=config.seed).words[: config.n_words]
        for share in elman1991.STAGES
    }
    stages, full = [of_share[share] for share in elman1991.STAGES], of_share[elman1991.STAGES[-1]]
    never = np.zeros(config.n_words, bool)
    memory = []
    for fewest, most, n_sweeps in elman1991.MEMORY:
        for _ in range(n_sweeps):
            seed = [config.seed, len(memory)]
            rests = never if fewest is None else elman1991.resets(config.n_words, fewest, most, seed=seed)
            memory.append((full, rests))
    mixed = np.random.default_rng(config.seed).permutation(full)
    return {
        FULL: [(full, never)] * N_SHORT,
        STAGED: [(words, never) for words in (*stages, full) for _ in range(SWEEPS_OF_STAGE)],
        MEMORY: memory,
        "shuffled corpus": [(mixed, never)] * N_SHORT,
    }


def _lessons(plan, conditions, i_sweep, *, n_networks):
    """Give what every network reads in a pass, words and resets, (n_conditions * n_networks, n_words) each."""
    words, rests = zip(*(plan[way][min(i_sweep, len(plan[way]) - 1)] for way, _ in conditions), strict=True)
    return tuple(np.repeat(np.stack(of), n_networks, axis=0) for of in (words, rests))


def _test(config):
    test = elman1991.clause_stream(elman1991.STAGES[-1], config.n_test, seed=config.seed + 1)
    verbs = (*elman1991.SINGULAR, *elman1991.PLURAL)
    if missing := [verb for verb, unit in zip(verbs, _coded(verbs), strict=True) if unit not in test.words]:
        raise BrainalignError(
            f"the test of {config.n_test} sentences lacks {', '.join(missing)}; n_test must be larger"
        )
    grammar = elman1991.clause_grammar(elman1991.STAGES[-1])
    shape = {"vocabulary": elman1991.WORDS, "n_units": len(VOCABULARY)}
    return test, exact_likelihoods(grammar, test.words, test.position, **shape)


def _read(together, test, likelihoods, conditions):
    """Read test, agreement probes and stories; give what is needed of every condition."""
    found = reading.assess(together, test.words, likelihoods)
    probes, stories = elman1991.agreement_probes(), _coded(_story_words())
    parts = list(reading.read(together, probes.words))
    hidden, outputs = (
        np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("hidden", "outputs")
    )
    values = {
        "cosine": found.cosine,
        "error": found.likelihood_error,
        "probes": hidden,
        "preference": elman1991.agreement(outputs[:, probes.steps], probes),
        "test": reading.states_at(together, test.words, np.arange(len(test.words))),
        "stories": reading.states_at(together, stories, np.arange(len(stories))),
    }
    n = len(found.cosine) // len(conditions)
    return {
        condition: {name: of[i * n : (i + 1) * n] for name, of in values.items()}
        for i, condition in enumerate(conditions)
    }


def _coded(words):
    place = {word: unit for unit, word in enumerate(elman1991.WORDS)}
    return np.array([place[word] for word in words])


def _story_words():
    return [word for stories in STORIES.values() for story in stories for word in f"{LEAD} {story}".split()]


def _of_conditions(kept, untrained):
    rows = []
    for (way, first), of in (kept | {("untrained", ORDINARY): untrained}).items():
        rows += [
            measured(f"{COSINE}, {way}, {first}", of["cosine"].mean(axis=1)),
            measured(f"{COSINE}, SD over words, {way}, {first}", of["cosine"].std(axis=1)),
            measured(f"{ERROR}, {way}, {first}", of["error"].mean(axis=1)),
        ]
    return rows


def _counted(test, likelihoods):
    n_units = likelihoods.shape[1]
    guesses = {
        "single words": prediction.unigram_likelihoods(test.words, n_units=n_units),
        "word pairs": prediction.bigram_likelihoods(test.words, n_units=n_units),
    }
    rows = [measured(f"{COSINE}, {name}", [prediction.cosine(of, likelihoods).mean()]) for name, of in guesses.items()]
    return [*rows, measured("error against the word that came, likelihoods themselves",
                        [prediction.irreducible_error(likelihoods)])]  # fmt: skip


def _signs(kept):
    """Give what starting small changes in the cosine, network by network (they have the same first weights)."""
    return [
        measured(f"cosine, {way} minus {FULL}, {first}",
             kept[way, first]["cosine"].mean(axis=1) - kept[FULL, first]["cosine"].mean(axis=1))
        for first in (ORDINARY, SMALL) for way in (STAGED, MEMORY)
    ]  # fmt: skip


def _curve(conditions, found, i_sweep):
    """Give the cosine after a pass; what a condition does after its last pass is left out of the figure."""
    rows = []
    for (way, first), values in zip(conditions, found, strict=True):
        if way == MEMORY or i_sweep < N_SHORT:
            sd = values.std(ddof=1) if len(values) > 1 else np.nan
            rows.append({"condition": f"{way}, {first}", "sweep": i_sweep + 1, "value": values.mean(), "sd": sd})
    return pd.DataFrame(rows)


def _agreement(kept):
    """Give the share of probes in which verbs of the right number are preferred."""
    probes, rows = elman1991.agreement_probes(), []
    over_clause = np.isin(probes.construction, OVER_CLAUSES)
    between = np.where(over_clause, np.where(probes.other, "other", "same"), "none")
    kinds = pd.DataFrame({"construction": probes.construction, "noun between": between})
    for (way, first), of in kept.items():
        for network, preference in enumerate(of["preference"]):
            right = pd.Series(preference > 0.5).groupby([kinds["construction"], kinds["noun between"]]).mean()
            for (construction, between), share in right.items():
                rows.append({"condition": f"{way}, {first}", "construction": construction,
                             "number of the noun between": between, "network": network, "right": share})  # fmt: skip
    return pd.DataFrame(rows)


def _of_agreement(agreement):
    rows = []
    for condition in (f"{FULL}, {ORDINARY}", f"untrained, {ORDINARY}", f"shuffled corpus, {ORDINARY}"):
        for (construction, between), part in agreement[agreement["condition"] == condition].groupby(
            ["construction", "number of the noun between"], sort=False
        ):
            between = f", noun between of {between} number" if construction in OVER_CLAUSES else ""
            rows.append(
                measured(f"verbs of the right number preferred, {construction}{between}, {condition}", part["right"])
            )
    return rows


def _separability(condition, of, test):
    """Give what states tell apart, in nouns or verbs that were held out."""
    probes = elman1991.agreement_probes()
    after = probes.steps[probes.construction == "object clause"]
    subject = probes.words[after - 3]
    kind_of = {verb: kind for kind, numbers in enumerate(elman1991.VERBS.values())
               for verbs in numbers.values() for verb in _coded(verbs)}  # fmt: skip
    at_verbs = np.flatnonzero(np.isin(test.words, list(kind_of)))
    verbs = test.words[at_verbs]
    asked = {
        "number of the subject, after a clause": (
            of["probes"][:, after], np.isin(subject, _coded(elman1991.NOUNS["pl"])).astype(int), subject, 1 / 2),
        "object that a verb needs, at the verb": (
            of["test"][:, at_verbs], np.array([kind_of[verb] for verb in verbs]), verbs, 1 / 3),
    }  # fmt: skip
    rows = []
    for what, (states, labels, held_out, chance) in asked.items():
        found = along.separability(states, labels, held_out=held_out, n_splits=4)
        for statistic, values in zip(("nearest mean", "linear", "silhouette"), found, strict=True):
            expected = np.nan if statistic == "silhouette" else chance
            rows += [{"what": what, "statistic": statistic, "condition": condition, "network": i, "value": value,
                      "chance": expected} for i, value in enumerate(values)]  # fmt: skip
    return pd.DataFrame(rows)


def _stories(of):
    """Give the paths of the sentences of figures in two components of the network that predicts best."""
    network = int(of["cosine"].mean(axis=1).argmax())
    axes = along.principal_axes(of["test"][network : network + 1], N_COMPONENTS)
    components = along.project(of["stories"][network : network + 1], axes)[0]  # (n_steps, N_COMPONENTS)
    n_lead, first, tables = len(LEAD.split()), 0, []
    for panel, sentences in STORIES.items():
        parts = []
        for sentence in sentences:
            words = sentence.split()
            start = first + n_lead
            values = pd.DataFrame(components[start : start + len(words)]).assign(
                panel=panel, group=sentence, position=np.arange(len(words)), label=words, network=network
            )
            parts.append(values)
            first = start + len(words)
        tables.append(_two_components(pd.concat(parts), axes.share[0]))
    return pd.concat(tables)


def _two_components(paths, share):
    """Keep the two components that differ most between sentences at the same position, for the variance they have."""
    components = list(range(N_COMPONENTS))
    between = paths.groupby("position")[components].var().mean() / share
    x, y = sorted(between.nlargest(2).index)
    named = paths[["panel", "group", "position", "label", "network"]].copy()
    named["component across"], named["component upwards"] = x + 1, y + 1
    return named.assign(across=paths[x], upwards=paths[y], **{"across sd": 0.0, "upwards sd": 0.0})


def draw(tables, config):
    sweeps, agreement = tables["sweeps"], tables["agreement"]
    counted = tables["obtained"].set_index("quantity")["value"]
    references = [(counted[f"{COSINE}, {name}"], name) for name in ("word pairs", "single words")]
    references.append((0.852, "printed: .852"))
    n = f"{config.n_networks} networks of each condition, bands 1 SD"
    drawings = [
        Drawing("Learning, whole or in stages",
                errors_over_time.over_sweeps(sweeps, ylabel=COSINE, references=references),
                f"Mean cosine between outputs and likelihoods of a new corpus after each pass; {n}."),
        Drawing("Agreement", trajectories.separability(_as_dots(agreement)),
                "Share of probes in which the verbs of the right number get more output than those of the wrong one."
                " Left: after 'boy' (simple) and 'boy who' (within a clause). Middle: after 'boy who boy chases'"
                " (object clause) and 'boy who chases boy' (subject clause), where the nearer noun has the number of"
                " the subject. Right: after 'boy who boys chase' and 'boy who chases boys', where it has the other."
                " A dot per network; dotted: chance."),
        Drawing("What states tell apart", trajectories.separability(tables["separability"]),
                "A dot per network; nouns or verbs that were tested had no part in the fit. Dotted: chance."),
    ]  # fmt: skip
    return [*drawings, *_path_drawings(tables["stories"])]


def _path_drawings(stories):
    drawings = []
    for panel, paths in stories.groupby("panel", sort=False):
        x, y = (f"component {paths[f'component {way}'].iloc[0]}" for way in ("across", "upwards"))
        named = paths.rename(columns={"across": x, "upwards": y, "across sd": f"{x} sd", "upwards sd": f"{y} sd"})
        drawings.append(Drawing(f"Paths: {panel}", trajectories.paths(named, components=(x, y), n_columns=1),
                                "Hidden states along sentences in two principal components of all states of network"
                                f" {paths['network'].iloc[0]}, which predicts best: those in which the sentences differ"
                                " most at the same position, in units of the component's own variance. Which number a"
                                " component has depends on the first weights."))  # fmt: skip
    return drawings


def _as_dots(agreement):
    named = agreement.rename(columns={"right": "value", "construction": "statistic"})
    conditions = [f"{FULL}, {ORDINARY}", f"{STAGED}, {ORDINARY}", f"{MEMORY}, {ORDINARY}", f"untrained, {ORDINARY}"]
    named = named[named["condition"].isin(conditions)]
    named = named.assign(what=named["number of the noun between"].map(BETWEEN), chance=0.5)
    return named.sort_values("what", key=lambda what: what.map(list(BETWEEN.values()).index), kind="stable")


if __name__ == "__main__":
    main(__file__)
