import json

import pytest
import torch

from brainalign.errors import BrainalignError, MissingData
from brainalign.simulate.elman import Elman
from brainalign.simulate.word_network import load_network, save_network


@pytest.fixture
def folder(tmp_path):
    save_network(Elman(["café", "<unknown>"], n_hidden=4, n_networks=2, seed=1), tmp_path / "network")
    return tmp_path / "network"


def test_a_network_is_read_back(folder):
    again = load_network(folder)
    saved = Elman(["café", "<unknown>"], n_hidden=4, n_networks=2, seed=1)
    assert again.settings == saved.settings
    words = torch.tensor([0, 1, 1])
    assert torch.equal(again.states(words)["hidden"], saved.states(words)["hidden"])
    assert not again.training


def test_an_untrained_network_has_fresh_weights(folder):
    trained, fresh = load_network(folder), load_network(folder, weights="untrained", seed=8)
    for (name, one), other in zip(trained.named_parameters(), fresh.parameters(), strict=True):
        assert not torch.allclose(one, other), name


def test_what_is_no_network_is_refused(folder, tmp_path):
    with pytest.raises(MissingData, match="no such file"):
        load_network(tmp_path)
    described = json.loads((folder / "network.json").read_text())
    for change, said in (
        ({"class": "os:system"}, "other code is not run"),
        ({"class": "brainalign.simulate.elman:Elmann"}, "cannot be built"),
        ({"settings": {**described["settings"], "n_hiden": 3}}, "n_hiden"),
        ({"settings": {}}, "not the description"),
    ):
        (folder / "network.json").write_text(json.dumps({**described, **change}))
        with pytest.raises(BrainalignError, match=said):
            load_network(folder)


def test_weights_of_another_network_are_refused(folder):
    described = json.loads((folder / "network.json").read_text())
    described["settings"]["n_hidden"] = 5
    (folder / "network.json").write_text(json.dumps(described))
    with pytest.raises(MissingData, match="not the weights of this network"):
        load_network(folder)
    (folder / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(MissingData, match=r"weights\.safetensors"):
        load_network(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(MissingData, match="no such file"):
        load_network(folder)
