"""Simulations of LSTM, encoder-decoders, Transformer, GPT and scale, at their smallest."""

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from pydantic import ValidationError

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


def test_the_carousel_is_read_at_the_first_step_of_cells_alone(monkeypatch):
    module = load_simulation(ANALYSES / "hochreiter1997_lstm.py")
    seen = []

    def falling(network, inputs):
        seen.append(network)
        return torch.linspace(0.25, 1, inputs.shape[2]).expand(2, -1)

    monkeypatch.setattr(module.lstm, "error_through_time", falling)
    assert module.carousel(module.Config(**SMALL["hochreiter1997_lstm"])).tolist() == [0.25, 0.25]
    assert not seen[0].C.any()
    assert not seen[0].settings["forget_gate"]


@pytest.mark.parametrize("name", ["bahdanau2015_alignment", "vaswani2017_transformer"])
@pytest.mark.parametrize(
    ("settings", "said"), [({"longest": 2}, r"at least shortest \(3\), got 2"), ({"lengths": (3, -2)}, "lengths.1")]
)
def test_lengths_that_no_sequence_has_are_refused(name, settings, said):
    with pytest.raises(ValidationError, match=said):
        load_simulation(ANALYSES / f"{name}.py").Config(**settings)


@pytest.mark.parametrize("name", ["bahdanau2015_alignment", "vaswani2017_transformer", "sorting_gpt"])
def test_a_device_that_does_not_exist_is_refused(name):
    with pytest.raises(ValidationError, match="device"):
        load_simulation(ANALYSES / f"{name}.py").Config(device="tpu")
