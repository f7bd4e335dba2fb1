import json

import numpy as np
import pytest
import torch

from brainalign.errors import BrainalignError
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


def test_the_network_of_1991_has_a_layer_more_on_either_side():
    network = Elman(WORDS, n_hidden=3, n_code=2, n_outputs=5, dtype="float64", limit=1.0)
    w = {name: values.detach()[0].numpy() for name, values in network.named_parameters()}
    words, hidden = [2, 0, 3], np.full(3, 0.5)
    with torch.no_grad():
        states, outputs = network.states(words)["hidden"][0].numpy(), network(words)[0].numpy()
    assert outputs.shape == (3, 5)
    for t, word in enumerate(words):
        code = logistic(np.eye(4)[word] @ w["E"] + w["e"])
        hidden = logistic(code @ w["W"] + hidden @ w["C"] + w["b"])
        read = logistic(hidden @ w["R"] + w["r"])
        assert states[t] == pytest.approx(hidden, abs=1e-12)
        assert outputs[t] == pytest.approx(logistic(read @ w["V"] + w["c"]), abs=1e-12)


@pytest.mark.parametrize("n_code", [None, 2])
def test_words_are_vectors_of_one_unit_common_or_own(n_code):
    network = Elman(WORDS, n_hidden=3, n_networks=2, n_code=n_code, dtype="float64")
    own = torch.tensor([[2, 0, 0, 3], [1, 1, 3, 0]])
    eye = torch.eye(4)
    with torch.no_grad():
        expected = torch.stack([network(words)[i] for i, words in enumerate(own)])
        for inputs in (own, own.numpy(), eye[own], eye[own].numpy()):
            torch.testing.assert_close(network(inputs), expected)
        torch.testing.assert_close(network(eye[own[0]]), network(own[0]))


def test_rests_and_contexts():
    network = Elman(WORDS, n_hidden=3, n_networks=2, dtype="float64")
    words = torch.tensor([2, 0, 1, 3, 1])
    rests = torch.tensor([[False, False, True, False, False], [False, False, False, False, False]])
    with torch.no_grad():
        whole = network.states(words)["hidden"]
        torch.testing.assert_close(network.states(words[2:], context=whole[:, 1])["hidden"], whole[:, 2:])
        rested = network.states(words, rests=rests)["hidden"]
        torch.testing.assert_close(rested[0, 2:], network.states(words[2:])["hidden"][0])
        torch.testing.assert_close(rested[1], whole[1])
        torch.testing.assert_close(network.states(words, rests=rests[0])["hidden"][0], rested[0])
        torch.testing.assert_close(network(words, rests=rests), network.outputs(rested))


def test_weights_are_within_their_limit_and_the_same_in_both_precisions():
    single, double = (Elman(WORDS, n_networks=50, limit=0.3, dtype=dtype) for dtype in ("float32", "float64"))
    for (name, one), other in zip(single.named_parameters(), double.parameters(), strict=True):
        assert (one.dtype, other.dtype) == (torch.float32, torch.float64)
        assert torch.equal(one.double(), other), name
        assert 0.29 < one.abs().max() <= 0.3
    assert Elman(**json.loads(json.dumps(double.settings))).W.equal(double.W)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_hidden": 0}, "n_hidden must be at least 1, got 0"),
        ({"n_networks": 0}, "n_networks"),
        ({"n_code": 0}, "n_code must be at least 1"),
        ({"vocabulary": []}, "vocabulary must name"),
        ({"limit": 0.0}, "limit must be finite and above 0"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64', got 'float16'"),
        pytest.param(
            {"device": "cuda"}, "sees no GPU here", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU")
        ),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(BrainalignError, match=said):
        Elman(**({"vocabulary": WORDS} | settings))


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(BrainalignError, match="inputs must be positions from 0 to 3, got 1 to 4"):
        Elman(WORDS).states([1, 4])
