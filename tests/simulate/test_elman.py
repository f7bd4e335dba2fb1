import numpy as np
import pytest
import torch

from brainalign.simulate.elman import Elman

WORDS = ["boy", "girl", "see", "chase"]


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_states_and_outputs_are_the_equations_step_by_step():
    """Elman (1990), figure 2, in numpy."""
    network = Elman(WORDS, n_hidden=3, n_networks=2, seed=5)
    weights = {name: values.detach().numpy().astype(float) for name, values in network.named_parameters()}
    words = [2, 0, 0, 3, 1]
    states = network.states(torch.tensor(words))["hidden"].detach().numpy()
    outputs = network(torch.tensor(words)).detach().numpy()
    assert states.shape == (2, 5, 3)
    assert outputs.shape == (2, 5, 4)
    for i in range(2):
        hidden = np.full(3, 0.5)
        for t, word in enumerate(words):
            drive = np.eye(4)[word] @ weights["W"][i] + weights["b"][i]
            hidden = logistic(drive + hidden @ weights["C"][i])
            assert states[i, t] == pytest.approx(hidden, abs=1e-6)
            assert outputs[i, t] == pytest.approx(logistic(hidden @ weights["V"][i] + weights["c"][i]), abs=1e-6)


def test_a_replica_is_the_network_alone():
    together, alone = Elman(WORDS, n_networks=3, seed=7), Elman(WORDS, seed=9)
    words = torch.tensor([1, 3, 2])
    assert torch.equal(together.states(words)["hidden"][2], alone.states(words)["hidden"][0])
    assert not torch.allclose(together.W[0], together.W[1])


def test_weights_do_not_depend_on_torchs_generator():
    torch.manual_seed(1)
    one = Elman(WORDS, seed=3)
    torch.manual_seed(2)
    assert torch.equal(one.W, Elman(WORDS, seed=3).W)
