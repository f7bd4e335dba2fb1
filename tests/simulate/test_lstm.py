import numpy as np
import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulate import lstm
from brainalign.simulate.lstm import LSTM, SimpleRecurrent
from brainalign.simulate.sequence_tasks import adding, recall
from brainalign.simulate.word_network import load_network, save_network

PAIR = ["value", "mark"]


def as_torch(network, kind, i=0):
    """torch's own layer with the weights of one replica."""
    n_inputs, n_hidden = network.W.shape[1], network.settings["n_hidden"]
    layer = kind(n_inputs, n_hidden, batch_first=True, dtype=network.W.dtype)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(network.W[i].T)
        layer.weight_hh_l0.copy_(network.C[i].T)
        layer.bias_ih_l0.copy_(network.b[i])
        layer.bias_hh_l0.zero_()
    return layer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_with_forget_gates_it_is_torchs_lstm(dtype):
    network = LSTM(PAIR, n_hidden=5, n_networks=2, seed=3, dtype=dtype)
    inputs = torch.randn(2, 4, 7, 2, dtype=getattr(torch, dtype))
    states = network.states(inputs)
    for i in range(2):
        hidden, (_, cells) = as_torch(network, torch.nn.LSTM, i)(inputs[i])
        tolerance = 1e-6 if dtype == "float32" else 1e-12
        assert torch.allclose(states["hidden"][i], hidden, atol=tolerance)
        assert torch.allclose(states["cells"][i, :, -1], cells[0], atol=tolerance)


def test_gradients_are_those_of_torchs_lstm():
    network = LSTM(PAIR, n_hidden=4, dtype="float64")
    inputs, oracle = torch.randn(1, 3, 6, 2, dtype=torch.float64), as_torch(network, torch.nn.LSTM)
    network.states(inputs)["hidden"].square().sum().backward()
    oracle(inputs[0])[0].square().sum().backward()
    assert torch.allclose(network.C.grad[0].T, oracle.weight_hh_l0.grad, atol=1e-12)
    assert torch.allclose(network.W.grad[0].T, oracle.weight_ih_l0.grad, atol=1e-12)


def test_the_variant_of_1997_is_torchs_lstm_that_never_forgets():
    network = LSTM(PAIR, n_hidden=4, forget_gate=False, dtype="float64")
    i, g, o = network.C[0].T.chunk(3)
    oracle = torch.nn.LSTM(2, 4, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        oracle.weight_hh_l0.copy_(torch.cat([i, torch.zeros_like(i), g, o]))
        i, g, o = network.W[0].T.chunk(3)
        oracle.weight_ih_l0.copy_(torch.cat([i, torch.zeros_like(i), g, o]))
        i, g, o = network.b[0].chunk(3)
        oracle.bias_ih_l0.copy_(torch.cat([i, torch.full_like(i, 1e4), g, o]))  # logistic(10,000) is 1
        oracle.bias_hh_l0.zero_()
    inputs = torch.randn(1, 3, 9, 2, dtype=torch.float64)
    assert torch.allclose(network.states(inputs)["hidden"][0], oracle(inputs[0])[0], atol=1e-12)


def test_the_simple_network_is_torchs_rnn():
    network = SimpleRecurrent(PAIR, n_hidden=5, dtype="float64")
    inputs = torch.randn(1, 4, 7, 2, dtype=torch.float64)
    expected = as_torch(network, torch.nn.RNN)(inputs[0])[0]
    assert torch.allclose(network.states(inputs)["hidden"][0], expected, atol=1e-12)


def test_the_error_carousel_loses_nothing():
    """Along the cells alone, recurrent weights 0: 1 without forget gates, the product of the gates with them."""
    inputs = torch.randn(1, 2, 30, 2, dtype=torch.float64)
    carousel = LSTM(PAIR, n_hidden=3, forget_gate=False, dtype="float64")
    forgets = LSTM(PAIR, n_hidden=1, dtype="float64")
    for network in (carousel, forgets):
        with torch.no_grad():
            network.C.zero_()
    assert torch.equal(lstm.error_through_time(carousel, inputs), torch.ones(1, 30, dtype=torch.float64))
    gates = torch.sigmoid(inputs[0] @ forgets.W[0, :, 1] + forgets.b[0, 1])  # (n_sequences, n_steps)
    products = torch.stack([gates[:, t + 1 :].prod(dim=1).mean() for t in range(30)])
    assert torch.allclose(lstm.error_through_time(forgets, inputs)[0], products)


def test_in_the_simple_network_the_error_vanishes_in_the_lstm_it_does_not():
    inputs, _ = adding(torch.Generator().manual_seed(0), n_sequences=10, n_steps=60)
    simple = SimpleRecurrent(PAIR, n_hidden=8, n_networks=5)
    cells = LSTM(PAIR, n_hidden=8, n_networks=5, forget_gate=False, input_bias=-3.0)
    assert (lstm.error_through_time(simple, inputs[None])[:, 0] < 1e-6).all()
    lengths = lstm.error_through_time(cells, inputs[None])
    assert (lengths[:, 0] > 0.3).all()
    assert (lengths[:, -1] == 1).all()


def test_gates_are_biased_as_asked():
    plain, biased = LSTM(PAIR, n_hidden=3), LSTM(PAIR, n_hidden=3, input_bias=-3.0, forget_bias=5.0)
    moved = (biased.b - plain.b)[0]
    assert torch.allclose(moved, torch.tensor([-3.0] * 3 + [5.0] * 3 + [0.0] * 6))
    first = LSTM(PAIR, n_hidden=3, input_bias=-3.0, forget_bias=5.0, forget_gate=False)
    moved = (first.b - LSTM(PAIR, n_hidden=3, forget_gate=False).b)[0]
    assert torch.allclose(moved, torch.tensor([-3.0] * 3 + [0.0] * 6))


def test_words_are_inputs_of_one():
    network = LSTM(list("abc"), n_hidden=4, n_networks=2)
    words = torch.tensor([2, 0, 1, 1])
    states = network.states(words)
    assert states["hidden"].shape == states["cells"].shape == (2, 4, 4)
    assert torch.allclose(states["cells"], network.states(torch.eye(3)[words])["cells"])
    many = network.states(words[None, None].expand(1, 3, -1))["hidden"]
    assert torch.allclose(many[:, 2], states["hidden"], atol=1e-7)


def test_a_state_can_be_carried_on():
    network = LSTM(PAIR, n_hidden=4)
    inputs = torch.randn(1, 2, 6, 2)
    whole, first = network.states(inputs), network.states(inputs[:, :, :3])
    rest = network.states(inputs[:, :, 3:], **{name: first[name][:, :, -1] for name in network.layer_names})
    assert torch.allclose(rest["hidden"], whole["hidden"][:, :, 3:], atol=1e-7)


@pytest.mark.parametrize("task", [adding, recall])
def test_a_replica_learns_what_it_learns_alone(task):
    options = {"n_hidden": 4, "n_outputs": 2, "dtype": "float64"}
    vocabulary = PAIR if task is adding else list("abcdef")
    together = LSTM(vocabulary, n_networks=3, seed=7, **options)
    alone = LSTM(vocabulary, seed=9, **options)
    losses = [
        lstm.learn_at_the_end(network, task, n_updates=8, n_sequences=5, n_steps=10, lr=0.02)
        for network in (together, alone)
    ]
    assert torch.allclose(losses[0][2], losses[1][0], atol=1e-12)
    assert torch.allclose(together.C[2], alone.C[0], atol=1e-10)
    assert not torch.allclose(together.C[0], together.C[2], atol=1e-3)


def test_lstms_learn_to_recall_what_simple_networks_forget():
    """Five seeds of each; the same number of units, updates and lessons. One simple network may be lucky."""
    options = {"n_hidden": 8, "n_outputs": 2, "n_networks": 5}
    networks = {
        "1997": LSTM(list("abcdef"), forget_gate=False, input_bias=-3.0, **options),
        "2000": LSTM(list("abcdef"), input_bias=-3.0, forget_bias=5.0, **options),
        "simple": SimpleRecurrent(list("abcdef"), **options),
    }
    last = {
        name: lstm.learn_at_the_end(network, recall, n_updates=100, n_sequences=16, n_steps=60, lr=0.02)[:, -10:].mean(
            1
        )
        for name, network in networks.items()
    }
    assert (last["1997"] < 0.1).all()
    assert (last["2000"] < 0.1).all()
    assert (last["simple"] > 0.6).sum() >= 4  # guessing: .69


def test_the_adding_problem_is_learned_and_shuffled_sums_are_not():
    def others(generator, **options):
        inputs, targets = adding(generator, **options)
        return inputs, targets.roll(1)

    options = {"n_hidden": 8, "n_outputs": 1, "n_networks": 2, "forget_gate": False, "input_bias": -3.0}
    share = {}
    for task, n_updates in ((adding, 350), (others, 60)):
        network = LSTM(PAIR, **options)
        share["untrained"] = lstm.share_added(network, n_steps=20)
        lstm.learn_at_the_end(network, task, n_updates=n_updates, n_steps=20, lr=0.02)
        share[task.__name__] = lstm.share_added(network, n_steps=20)
    assert (share["adding"] > 0.9).all()
    assert (share["others"] < 0.3).all()  # always 1/2: about .15
    assert (share["untrained"] < 0.3).all()


def test_a_folder_holds_an_lstm(tmp_path):
    network = LSTM(list("abc"), n_hidden=4, n_networks=2, forget_gate=False)
    save_network(network, tmp_path)
    again = load_network(tmp_path)
    assert torch.equal(again.states([0, 2, 1])["cells"], network.states([0, 2, 1])["cells"])


@pytest.mark.parametrize(
    "inputs",
    [
        torch.zeros(3, 4, dtype=torch.long),
        torch.tensor([0, 2]),
        torch.tensor([-1]),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(3, 4, 2, 2),
        torch.zeros(5, 3),
        torch.tensor([True]),
        torch.tensor([[0.0, torch.nan]]),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs):
    with pytest.raises(BrainalignError, match=r"must be|needed"):
        LSTM(PAIR, n_networks=2).states(inputs)


@pytest.mark.parametrize("settings", [{"n_hidden": 0}, {"n_networks": 0}, {"n_outputs": 0}, {"dtype": "int8"}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(BrainalignError, match="must be"):
        LSTM(PAIR, **settings)
    with pytest.raises(BrainalignError, match="must be"):
        SimpleRecurrent(PAIR, **settings)


def test_no_vocabulary_is_refused():
    with pytest.raises(BrainalignError, match="vocabulary"):
        LSTM([])


def test_a_missing_gpu_is_said():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BrainalignError, match="sees no GPU"):
        LSTM(PAIR, device="cuda")
    assert LSTM(PAIR, device="auto").W.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_gives_the_same():
    cpu, gpu = (LSTM(PAIR, n_networks=3, dtype="float64", device=device) for device in ("cpu", "cuda"))
    inputs = torch.randn(1, 4, 9, 2, dtype=torch.float64)
    assert np.allclose(cpu.states(inputs)["hidden"].detach(), gpu.states(inputs)["hidden"].detach().cpu(), atol=1e-12)
    for network in (cpu, gpu):
        lstm.learn_at_the_end(network, adding, n_updates=5, n_steps=12)
    assert np.allclose(cpu.C.detach(), gpu.C.detach().cpu(), atol=1e-9)
