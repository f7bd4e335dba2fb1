"""The simulations of Elman (1990, 1991) at their smallest: every published number is obtained, every figure drawn."""

from pathlib import Path

import pandas as pd
import pytest

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
