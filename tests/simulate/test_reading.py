import numpy as np
import pytest
import torch

from brainalign.simulate import clusters, prediction, reading
from brainalign.simulate.elman import Elman

NETWORK = Elman(["a", "b", "c"], n_hidden=5, n_networks=2, seed=1)
WORDS = np.random.default_rng(0).integers(0, 3, 2 * reading.SLICE + 7)


@pytest.fixture(scope="module")
def whole():
    with torch.no_grad():
        hidden = NETWORK.states(torch.as_tensor(WORDS))["hidden"]
        return hidden.numpy(), NETWORK.outputs(hidden).numpy()


def test_slices_are_the_whole(whole):
    parts = list(reading.read(NETWORK, WORDS))
    assert [part.steps.stop - part.steps.start for part in parts] == [reading.SLICE, reading.SLICE, 7]
    assert np.concatenate([part.hidden for part in parts], axis=1) == pytest.approx(whole[0], abs=1e-6)
    assert np.concatenate([part.outputs for part in parts], axis=1) == pytest.approx(whole[1], abs=1e-6)


def test_errors_means_and_chosen_steps_are_those_of_the_whole(whole):
    hidden, outputs = whole
    likelihoods = prediction.bigram_likelihoods(WORDS, n_units=3)
    found = reading.assess(NETWORK, WORDS, likelihoods)
    targets = prediction.one_hot(np.roll(WORDS, -1), 3)
    assert found.likelihood_error == pytest.approx(prediction.squared_error(outputs, likelihoods), abs=1e-5)
    assert found.cosine == pytest.approx(prediction.cosine(outputs, likelihoods), abs=1e-5)
    assert found.target_error == pytest.approx(prediction.squared_error(outputs, targets), abs=1e-5)
    means = reading.mean_states_of(NETWORK, WORDS, n_words=4)
    assert means[:, :3] == pytest.approx(clusters.mean_states(hidden, WORDS, n_words=3), abs=1e-5)
    assert np.isnan(means[:, 3]).all()
    steps = np.array([0, 5, reading.SLICE - 1, reading.SLICE, 2 * reading.SLICE + 6])
    assert reading.states_at(NETWORK, WORDS, steps) == pytest.approx(hidden[:, steps], abs=1e-6)
