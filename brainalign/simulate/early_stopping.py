"""Early stopping: training ends when the validation loss has not fallen for a while, and its best weights come back.

    stopping = EarlyStopping(patience=10)
    while stopping.running:
        ...                                                   # one epoch over the training data
        stopping.update(validation_loss, weights)             # (n_networks,), {name: (n_networks, ...)}
    weights = stopping.best_weights

Networks that are trained side by side stop each on its own: what happens to a network after it has stopped changes
nothing of what is kept of it, so it is the network trained alone.

References
----------
Prechelt (1998), Early stopping - but when? (this is the rule of patience, not one of the classes tried there). The
tests compare with the argmin of the validation curve.
"""

import math

import torch

from brainalign.errors import BrainalignError, Misaligned


class EarlyStopping:
    """Keep the weights of the best validation loss so far, and say when to stop.

    Parameters
    ----------
    patience : int
        Epochs in a row without a lower loss after which a network stops.

    Attributes
    ----------
    running : bool
        Whether any network has not stopped.
    best_weights : dict of str to Tensor (n_networks, ...)
        Copies, equal to the last bit, of the weights of each network at its best epoch.
    best_loss : Tensor (n_networks,)
        inf for a network that never had a finite loss; its weights are those of epoch 0.
    best_epoch : Tensor (n_networks,), int64
        0 for the first update; of equal losses, the first.
    stopped : Tensor (n_networks,), bool
    n_epochs : Tensor (n_networks,), int64
        That each network was trained for until it stopped.
    """

    def __init__(self, *, patience: int):
        if patience < 1:
            raise BrainalignError(f"a patience of at least 1 epoch is needed, got {patience}")
        self.patience = patience
        self.running = True
        self.best_weights: dict[str, torch.Tensor] = {}

    def update(self, loss: torch.Tensor, weights: dict[str, torch.Tensor]) -> None:
        """Tell the validation loss after an epoch and the weights that gave it.

        Parameters
        ----------
        loss : Tensor (n_networks,)
            A loss that is nan or inf is no improvement.
        weights : dict of str to Tensor (n_networks, ...)

        Raises
        ------
        Misaligned
            The loss is not one number per network of the weights, or the names change between updates.
        """
        loss = loss.detach()
        if not self.best_weights:
            self._begin(loss, weights)
        self._check(loss, weights)
        better = ~self.stopped & (loss < self.best_loss)  # nan and inf are not
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best_epoch = torch.where(better, self.n_epochs, self.best_epoch)
        for name, values in weights.items():
            self.best_weights[name][better] = values.detach()[better]
        self.n_epochs = torch.where(self.stopped, self.n_epochs, self.n_epochs + 1)
        self.stopped = self.n_epochs - 1 - self.best_epoch >= self.patience
        self.running = not bool(self.stopped.all())

    def _begin(self, loss: torch.Tensor, weights: dict[str, torch.Tensor]) -> None:
        self.best_weights = {name: values.detach().clone() for name, values in weights.items()}
        self.best_loss = torch.full_like(loss, math.inf)
        self.best_epoch = torch.zeros_like(loss, dtype=torch.int64)
        self.n_epochs = torch.zeros_like(self.best_epoch)
        self.stopped = torch.zeros_like(loss, dtype=torch.bool)

    def _check(self, loss: torch.Tensor, weights: dict[str, torch.Tensor]) -> None:
        if weights.keys() != self.best_weights.keys():
            raise Misaligned(f"the weights were {sorted(self.best_weights)}, now they are {sorted(weights)}")
        for name, values in weights.items():
            if loss.ndim != 1 or values.shape[:1] != loss.shape or values.shape != self.best_weights[name].shape:
                raise Misaligned(
                    f"one loss per network is needed; the loss is {tuple(loss.shape)}, {name} {tuple(values.shape)}, "
                    f"before it was {tuple(self.best_weights[name].shape)}"
                )
