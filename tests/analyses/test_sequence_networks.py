"""Simulations of LSTM, encoder-decoders, Transformer, GPT and scale, at their smallest."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from brainalign.simulations import load_simulation, published_beside_obtained

ANALYSES = Path(__file__).resolve().parents[2] / "analyses"

SMALL = {
    "hochreiter1997_lstm": {"n_networks": 2, "n_steps": 12, "n_updates": 3, "n_recall_steps": 6, "n_recall_updates": 3},
    "bahdanau2015_alignment": {"n_networks": 2, "n_updates": 3, "longest": 4, "lengths": (2, 4)},
    "vaswani2017_transformer": {"n_networks": 2, "n_updates": 3, "longest": 4, "lengths": (3, 4)},
    "sorting_gpt": {"n_networks": 2, "n_updates": 3, "n_sequences": 4},
    "scale": {},
}


@pytest.mark.parametrize("name", SMALL)
def test_it_runs_and_draws_at_its_smallest(name):
    module = load_simulation(ANALYSES / f"{name}.py")
    config = module.Config(**SMALL[name])
    tables = module.run(config)
    beside = published_beside_obtained(module.PUBLISHED, tables["obtained"])
    assert len(beside) >= len(module.PUBLISHED)
    for drawing in module.draw(tables, config):
        assert isinstance(drawing.figure, Figure | str)
        assert drawing.caption


def test_one_network_is_enough():
    module = load_simulation(ANALYSES / "sorting_gpt.py")
    config = module.Config(n_networks=1, n_updates=2, n_sequences=4, held_out=0.0)
    obtained = module.run(config)["obtained"].set_index("quantity")
    assert obtained["sd"].isna().all()
    assert "share of held-out inputs sorted right" not in obtained.index


def test_scale_says_what_a_life_is():
    module = load_simulation(ANALYSES / "scale.py")
    obtained = module.run(module.Config())["obtained"].set_index("quantity")["value"]
    assert obtained["lives in GPT-3's data"] > 1000
    assert obtained["lives in what GPT-3 has read, tokens as words"] == pytest.approx(815, abs=1)
    half = module.run(module.Config(years=10.0))["obtained"].set_index("quantity")["value"]
    assert half["lives in GPT-3's data"] == pytest.approx(2 * obtained["lives in GPT-3's data"])
    assert half["millions of words in 20 years"] == obtained["millions of words in 20 years"]


def test_scale_counts_a_shared_weight_as_many_connections():
    networks = load_simulation(ANALYSES / "scale.py").networks().set_index("name")
    ratio = networks["connections"] / networks["parameters"]
    assert ratio["AlexNet's convolutions"] > 100
    assert (ratio.drop(index=["AlexNet", "AlexNet's convolutions"]) < 1).all()  # biases are no connections
    assert networks.loc["GPT that sorts", "parameters"] == 85_584
