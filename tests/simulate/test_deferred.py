import itertools

import pytest
import torch

from brainalign.simulate import online
from brainalign.simulate.deferred import N_DEFERRED
from brainalign.simulate.elman import Elman
from brainalign.simulate.online import PlainLearner, train

N_STEPS = 2 * N_DEFERRED + 5
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def plain(weights, *, inputs, lr, loss):
    return PlainLearner(weights, lr=lr, loss=loss, momentum=0.0, n_back=1)


def learn(monkeypatch, learner, inputs, *, settings=(), **arguments):
    network = Elman("abcdef", n_hidden=7, n_networks=3, limit=0.5, **{"dtype": "float64"} | dict(settings))
    if learner is not None:
        monkeypatch.setattr(online, "DeferredLearner", learner)
    training = train(network, inputs, lr=0.3, n_sweeps=2, **arguments)
    monkeypatch.undo()
    return [*training, *(values.detach() for values in network.parameters())]


@pytest.fixture(scope="module")
def corpora():
    torch.manual_seed(0)
    words, own = torch.randint(6, (N_STEPS,)), torch.randint(6, (3, N_STEPS))
    return {
        "words": words,
        "own words": own,
        "vectors": torch.rand(N_STEPS, 6),
        "own vectors": torch.rand(3, N_STEPS, 6),
        "rests": torch.rand(N_STEPS) < 0.2,
        "own rests": torch.rand(3, N_STEPS) < 0.2,
        None: None,
    }


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("n_code", [None, 4])
@pytest.mark.parametrize("inputs", ["words", "own words", "vectors", "own vectors"])
def test_deferred_is_a_step_at_a_time(inputs, n_code, loss, device, corpora, monkeypatch):
    for rests, targets in itertools.product((None, "rests", "own rests"), (None, "words", "own vectors")):
        arguments = {"loss": loss, "rests": corpora[rests], "targets": corpora[targets]}
        expected = learn(monkeypatch, plain, corpora[inputs], settings={"n_code": n_code}, **arguments)
        settings = {"n_code": n_code, "device": device}
        for one, other in zip(
            learn(monkeypatch, None, corpora[inputs], settings=settings, **arguments), expected, strict=True
        ):
            torch.testing.assert_close(one.cpu(), other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_steps", [1, 2, N_DEFERRED - 1, N_DEFERRED, N_DEFERRED + 1])
def test_any_number_of_steps(n_steps, corpora, monkeypatch):
    words = corpora["own words"][:, :n_steps]
    for one, other in zip(learn(monkeypatch, None, words), learn(monkeypatch, plain, words), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_networks_in_blocks_are_networks_at_once(corpora, monkeypatch):
    arguments = {"rests": corpora["own rests"], "context": torch.rand(3, 7), "carry": False}
    for name in ("words", "own words", "own vectors"):
        expected = learn(monkeypatch, None, corpora[name], **arguments)
        for n_bytes in (0, 3000):  # one by one; two and one
            monkeypatch.setattr(online, "BYTES_AT_ONCE", n_bytes)
            for one, other in zip(learn(monkeypatch, None, corpora[name], **arguments), expected, strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_float32_stays_near_float64(device):
    """31-40-31, 1,200 steps of lr .1."""
    words = torch.randint(31, (400,), generator=torch.Generator().manual_seed(1))
    results = []
    for dtype, place in (("float64", "cpu"), ("float32", device)):
        network = Elman(range(31), n_hidden=40, n_networks=20, limit=0.5, dtype=dtype, device=place)
        train(network, words, lr=0.1, n_sweeps=3)
        results.append([values.detach().cpu().double() for values in network.parameters()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
