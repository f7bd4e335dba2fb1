"""Early stopping. Oracle: the argmin of the validation curve up to where patience ends."""

import numpy as np
import pytest
import torch

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate.early_stopping import EarlyStopping


def weights_at(epoch, n_networks):
    """Weights that say which epoch and network they are of, changed in place between epochs."""
    of_network = torch.arange(n_networks, dtype=torch.float64)
    return {"W": (1 / 3 + epoch + 100 * of_network)[:, None, None].repeat(1, 2, 3), "b": epoch + of_network}


def follow(curves, patience):
    """Train along validation curves (n_networks, n_epochs) as long as anything runs."""
    curves = torch.as_tensor(curves, dtype=torch.float64)
    stopping, weights = EarlyStopping(patience=patience), weights_at(0, len(curves))
    epoch = 0
    while stopping.running and epoch < curves.shape[1]:
        for name, values in weights_at(epoch, len(curves)).items():
            weights[name].copy_(values)  # as an optimiser does
        stopping.update(curves[:, epoch], weights)
        epoch += 1
    return stopping


def best_of(curve, patience):
    """Epoch of the lowest loss before the first gap of `patience` epochs without a lower one, and epochs trained."""
    best, n_epochs = 0, 0
    for epoch, loss in enumerate(curve):
        n_epochs = epoch + 1
        if loss < curve[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return best, n_epochs


@pytest.mark.parametrize("patience", [1, 3, 10])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_weights_are_those_of_the_argmin_and_come_back_exactly(seed, patience):
    noise = np.random.default_rng(seed).normal(0, 0.3, (6, 80))
    curves = (np.arange(80) / 30 - 1) ** 2 + noise
    stopping = follow(curves, patience)
    expected = [best_of(curve, patience) for curve in curves]
    assert stopping.best_epoch.tolist() == [best for best, _ in expected]
    assert stopping.n_epochs.tolist() == [n for _, n in expected]
    for i, (best, _) in enumerate(expected):
        assert float(stopping.best_loss[i]) == curves[i, best]
        for name, values in weights_at(best, 6).items():
            assert torch.equal(stopping.best_weights[name][i], values[i])


def test_with_much_patience_it_is_the_argmin_of_the_whole_curve():
    curves = np.random.default_rng(1).normal(size=(5, 40))
    stopping = follow(curves, 100)
    assert stopping.best_epoch.tolist() == curves.argmin(axis=1).tolist()
    assert stopping.running
    assert not stopping.stopped.any()


def test_a_network_of_a_batch_is_the_network_alone():
    curves = (np.arange(60) / 20 - 1) ** 2 + np.random.default_rng(3).normal(0, 0.3, (4, 60))
    together = follow(curves, 5)
    for i in range(4):
        alone = follow(curves[i : i + 1], 5)
        assert together.best_epoch[i] == alone.best_epoch[0]
        assert together.n_epochs[i] == alone.n_epochs[0]
        assert together.best_loss[i] == alone.best_loss[0]


def test_what_comes_after_a_network_has_stopped_changes_nothing():
    curves = [[1.0, 2.0, 3.0, 0.0, 0.0], [1.0, 0.9, 0.8, 0.7, 0.6]]
    stopping = follow(curves, 2)
    assert stopping.best_epoch.tolist() == [0, 4]
    assert stopping.best_loss.tolist() == [1.0, 0.6]
    assert stopping.n_epochs.tolist() == [3, 5]
    assert stopping.stopped.tolist() == [True, False]
    assert stopping.running


def test_training_ends_when_all_have_stopped():
    stopping = follow([[1.0, 2.0, 3.0, 0.0], [1.0, 0.5, 0.6, 0.7]], 2)
    assert not stopping.running
    assert stopping.n_epochs.tolist() == [3, 4]


def test_of_equal_losses_the_first_is_kept():
    assert follow([[1.0, 0.5, 0.5, 0.5, 0.5]], 10).best_epoch.tolist() == [1]


def test_a_loss_that_is_not_finite_is_no_improvement():
    stopping = follow([[np.nan, 0.5, np.nan, np.inf, 0.4], [np.nan, np.nan, np.nan, np.nan, np.nan]], 10)
    assert stopping.best_epoch.tolist() == [4, 0]
    assert stopping.best_loss.tolist() == [0.4, np.inf]
    assert torch.equal(stopping.best_weights["b"], torch.tensor([4.0, 1.0], dtype=torch.float64))


def test_stopping_finds_weights_that_generalise_better_than_the_last():
    """Least squares by gradient descent on few noisy samples: training longer fits the noise."""
    rng = np.random.default_rng(0)
    planted = rng.normal(size=(30, 1)) / np.sqrt(30)
    (X, Y), (X_new, Y_new), (X_test, Y_test) = (
        (torch.as_tensor(x), torch.as_tensor(x @ planted + rng.normal(size=(len(x), 1))))
        for x in (rng.normal(size=(n, 30)) for n in (32, 200, 2000))
    )
    weights, stopping = torch.zeros(1, 30, 1, dtype=torch.float64), EarlyStopping(patience=50)

    def loss(X, Y, weights):
        return (X @ weights - Y).square().mean(dim=(1, 2))

    while stopping.running:
        stopping.update(loss(X_new, Y_new, weights), {"weights": weights})
        weights = weights - 0.2 * X.T @ (X @ weights - Y) / len(X)
    for _ in range(5000):
        weights = weights - 0.2 * X.T @ (X @ weights - Y) / len(X)
    stopped = float(loss(X_test, Y_test, stopping.best_weights["weights"])[0])
    assert float(loss(X, Y, weights)[0]) < float(loss(X, Y, stopping.best_weights["weights"])[0])
    assert stopped < 0.5 * float(loss(X_test, Y_test, weights)[0])


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(BrainalignError, match="at least 1 epoch is needed, got 0"):
        EarlyStopping(patience=0)
    with pytest.raises(Misaligned, match="one loss per network"):
        EarlyStopping(patience=2).update(torch.ones(2), {"W": torch.ones(3, 4)})
    with pytest.raises(Misaligned, match="one loss per network"):
        EarlyStopping(patience=2).update(torch.tensor(1.0), {"W": torch.ones(3, 4)})
    stopping = EarlyStopping(patience=2)
    stopping.update(torch.ones(3), {"W": torch.ones(3, 4)})
    with pytest.raises(Misaligned, match=r"were \['W'\], now they are \['V'\]"):
        stopping.update(torch.ones(3), {"V": torch.ones(3, 4)})
    with pytest.raises(Misaligned, match=r"before it was \(3, 4\)"):
        stopping.update(torch.ones(3), {"W": torch.ones(3, 5)})
