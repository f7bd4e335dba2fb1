"""The simulations of Elman (1990, 1991) at their smallest: every published number is obtained, every figure drawn."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from brainalign.config import parse_settings
from brainalign.errors import BadConfig, BrainalignError
from brainalign.simulations import load_simulation, published_beside_obtained

ANALYSES = Path(__file__).resolve().parents[2] / "analyses"
SMALLEST = {
    "elman1990_xor": {"n_networks": 2, "n_bits": 36, "n_sweeps": 2},
    "elman1990_letters": {"n_networks": 1, "n_consonants": 20, "n_sweeps": 1},
    "elman1990_word_boundaries": {"n_networks": 2, "n_sentences": 20, "n_sweeps": 1},
    "elman1990_lexical_classes": {"n_networks": 2, "n_shuffled": 1, "n_sentences": 600, "n_sweeps": 1, "n_hidden": 10},
    "elman1991_grammar": {"n_networks": 1, "n_words": 2000, "n_test": 50, "n_hidden": 12, "n_code": 3},
}


@pytest.mark.parametrize("name", SMALLEST)
def test_what_was_published_is_obtained_and_figures_come_from_the_tables_alone(name, tmp_path):
    module = load_simulation(ANALYSES / f"{name}.py")
    config = module.Config(**SMALLEST[name])
    tables = module.run(config)
    beside = published_beside_obtained(module.PUBLISHED, tables["obtained"])
    assert beside["obtained"].notna().all()
    for key, table in tables.items():
        table.to_csv(tmp_path / f"{key}.tsv", sep="\t", index=False)
    written = {key: pd.read_csv(tmp_path / f"{key}.tsv", sep="\t") for key in tables}
    drawings = module.draw(written, config)
    assert drawings
    for title, figure, caption in drawings:
        assert title
        assert caption
        if not isinstance(figure, str):
            figure.canvas.draw()


def test_the_corpora_of_staged_input_get_more_complex_and_every_way_reads_as_many_words():
    module = load_simulation(ANALYSES / "elman1991_grammar.py")
    plan = module._plan(module.Config(n_words=3000))
    assert {way: len(passes) for way, passes in plan.items()} == {
        "full corpus": 25, "staged input": 25, "staged memory": 32, "shuffled corpus": 25,
    }  # fmt: skip
    who = module.elman1991.WORDS.index("who")
    shares = [(words == who).mean() for words, _ in plan["staged input"][::5]]
    assert shares[0] == 0
    assert sorted(shares) == shares
    assert all(len(words) == len(rests) == 3000 for passes in plan.values() for words, rests in passes)
    resets = [rests.mean() for _, rests in plan["staged memory"]]
    assert sorted(resets, reverse=True) == pytest.approx(resets, abs=0.01)
    assert resets[0] > 0.25
    assert resets[-1] == 0


def analysis(name):
    return load_simulation(ANALYSES / f"{name}.py")


@pytest.mark.parametrize("name", [*SMALLEST, "hochreiter1997_lstm"])
def test_settings_that_overflow_or_draw_nothing_are_refused_at_once(name):
    kind = analysis(name).Config
    limit = {"elman1991_grammar": "tiny", "hochreiter1997_lstm": "input_bias"}.get(name, "limit")
    for wrong in ("seed=-1", "seed=99999999999999999999999", "lr=1e30", f"{limit}=1e39", f"{limit}=nan", "device=gpu"):
        with pytest.raises(BadConfig, match=wrong.partition("=")[0]):
            parse_settings(kind, (wrong,))


class Says:
    """A network whose outputs are given."""

    def __init__(self, outputs):
        self.outputs = torch.as_tensor(outputs)[None]

    def __call__(self, inputs):
        return self.outputs


def test_errors_of_bits_stand_at_the_bit_that_was_predicted(monkeypatch):
    module = analysis("elman1990_xor")
    bits = module.elman1990.xor_stream(36, seed=0)[:, None]
    guess = np.full_like(bits, 0.5)
    guess[1::3] = bits[2::3]  # a network that knows what can be known
    errors = module._errors(Says(guess), bits)
    assert errors[0] == pytest.approx(np.resize([0.25, 0.25, 0.0], 36))

    monkeypatch.setattr(module, "_errors", lambda network, bits: np.repeat(errors, 2, axis=0))
    obtained = module.run(module.Config(**SMALLEST["elman1990_xor"]))["obtained"].set_index("quantity")["value"]
    assert obtained[[module.THIRD, module.OTHERS, "fall"]].tolist() == pytest.approx([0, 0.5, 0.5])
    assert obtained["error falls at third bits, share of networks"] == 1

    sweeps = module._sweeps(np.roll(errors, -1, axis=1)[:, None])  # step t predicts bit t + 1
    assert sweeps.set_index("condition")["value"].to_dict() == {"third bits": 0.0, "other bits": 0.5}


def test_errors_of_letters_stand_at_the_letter_that_was_predicted(monkeypatch):
    module = analysis("elman1990_letters")
    letters = module.elman1990.syllable_stream(20, seed=1)
    codes = module.elman1990.coded(letters, module.elman1990.LETTER_FEATURES)
    consonant = np.isin(letters, ["b", "d", "g"])
    guess = codes.copy()
    guess[consonant, 3:5] = 0.5  # a network that knows what can be known: not which consonant, "high" and "back"
    squares = module._squares(Says(np.roll(guess, -1, axis=0)), letters)
    wanted = np.zeros((1, len(letters), 6))
    wanted[:, consonant, 3:5] = 0.25
    assert squares == pytest.approx(wanted)

    monkeypatch.setattr(module, "_squares", lambda network, letters: squares)
    config = module.Config(**SMALLEST["elman1990_letters"])
    obtained = module.run(config)["obtained"].set_index("quantity")["value"]
    assert obtained[[module.LOW, module.BITS]].tolist() == [1, 1]


def test_all_networks_read_the_text_in_its_order_and_every_tree_has_the_linkage_asked_for(monkeypatch):
    module = analysis("elman1990_lexical_classes")
    linkages, texts = set(), []
    cluster, average = module.clusters.tree, module.reading.mean_states_of

    def tree(points, *, linkage, **options):
        linkages.add(linkage)
        return cluster(points, linkage=linkage, **options)

    def mean_states_of(network, words, *, n_words):
        texts.append(words)
        return average(network, words, n_words=n_words)

    monkeypatch.setattr(module.clusters, "tree", tree)
    monkeypatch.setattr(module.reading, "mean_states_of", mean_states_of)
    config = module.Config(**SMALLEST["elman1990_lexical_classes"] | {"n_networks": 1, "linkage": "complete"})
    tables = module.run(config)
    assert linkages == {"complete"}
    trained, untrained, shuffled, _ = texts
    assert np.array_equal(trained, untrained)
    assert np.array_equal(trained, shuffled)
    (zog,) = [caption for title, _, caption in module.draw(tables, config) if title == "Figure 9: ZOG"]
    assert "600 new sentences" in zog
    assert f"nearest to ZOG: {tables['zog_neighbours']['word'].iloc[0]} 100%" in zog


def test_a_corpus_in_which_somebody_never_eats_is_refused_before_training(monkeypatch):
    module = analysis("elman1990_lexical_classes")
    monkeypatch.delattr(module, "train")
    with pytest.raises(BrainalignError, match=r"never seen to eat in the 499 .*: dog; n_sentences must be larger"):
        module.run(module.Config(n_sentences=500, seed=6))


@pytest.fixture(scope="module")
def clauses():
    return analysis("elman1991_grammar")


def test_the_networks_of_a_condition_read_what_the_condition_reads(clauses):
    plan = {"a": [(np.full(3, 1), np.zeros(3, bool))], "b": [(np.full(3, 2), np.ones(3, bool))]}
    words, rests = clauses._lessons(plan, [("a", ""), ("b", "")], 5, n_networks=2)
    assert words[:, 0].tolist() == [1, 1, 2, 2]
    assert rests[:, 0].tolist() == [False, False, True, True]


def test_starting_small_helps_where_the_difference_is_above_zero(clauses):
    firsts = (clauses.ORDINARY, clauses.SMALL)
    cosine = {clauses.FULL: 0.5, clauses.STAGED: 0.7, clauses.MEMORY: 0.4}
    kept = {(way, first): {"cosine": np.full((2, 9), value)} for way, value in cosine.items() for first in firsts}
    found = {row["quantity"]: row["value"] for row in clauses._signs(kept)}
    assert list(found.values()) == pytest.approx([0.2, -0.1, 0.2, -0.1])


def test_agreement_is_told_by_what_stands_between(clauses):
    probes = clauses.elman1991.agreement_probes()
    nearer = np.where(probes.other, 0.2, 0.9)[None]  # a network that follows the nearer noun
    conditions = [(way, clauses.ORDINARY) for way in (clauses.FULL, clauses.STAGED, clauses.MEMORY, "untrained")]
    table = clauses._agreement({condition: {"preference": nearer} for condition in conditions})
    right = table.groupby(["construction", "number of the noun between"])["right"].mean()
    assert right.to_dict() == {
        ("simple", "none"): 1, ("within a clause", "none"): 1,
        ("object clause", "same"): 1, ("object clause", "other"): 0,
        ("subject clause", "same"): 1, ("subject clause", "other"): 0,
    }  # fmt: skip
    dots = clauses._as_dots(table)
    assert list(dict.fromkeys(dots["what"])) == list(clauses.BETWEEN.values())
    assert set(dots.loc[dots["what"] == clauses.BETWEEN["none"], "statistic"]) == {"simple", "within a clause"}


def test_number_is_asked_of_the_subject_and_not_of_the_nearer_noun(clauses):
    elman1991, rng = clauses.elman1991, np.random.default_rng(0)
    probes, (test, _) = elman1991.agreement_probes(), clauses._test(clauses.Config())
    of = {
        "probes": 0.01 * rng.standard_normal((1, len(probes.words), 2)),
        "test": rng.standard_normal((1, len(test.words), 2)),
    }
    of["probes"][0, probes.steps] += probes.plural[:, None]
    table = clauses._separability("planted", of, test)
    number = table[table["what"] == "number of the subject, after a clause"].set_index("statistic")["value"]
    assert number["nearest mean"] == number["linear"] == 1


def test_a_test_that_lacks_a_verb_is_refused(clauses):
    config = clauses.Config().model_copy(update={"n_test": 2})
    with pytest.raises(BrainalignError, match=r"test of 2 sentences lacks .*n_test must be larger"):
        clauses._test(config)


def test_paths_are_drawn_over_the_components_that_they_show(clauses):
    rng = np.random.default_rng(0)
    n_steps = len(clauses._story_words())
    best = {"cosine": np.ones((1, 5)), "test": rng.random((1, 60, 20)), "stories": rng.random((1, n_steps, 20))}
    paths = clauses._stories(best)
    tables = {"stories": paths[paths["panel"] == "clauses"]}
    ax = clauses._path_drawings(tables["stories"])[0].figure.axes[0]
    shown = tables["stories"][["component across", "component upwards"]].iloc[0]
    assert [ax.get_xlabel(), ax.get_ylabel()] == [f"component {k}" for k in shown]
