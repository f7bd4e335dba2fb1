"""The simple recurrent network: hidden units that see the input and their own state one step before.

    h_t = logistic(W x_t + C h_{t-1} + b)        h_0 = 1/2
    o_t = logistic(V h_t + c)

x_t is 1 at the unit of word t and 0 elsewhere, so W x_t is a row of W. The context units of the paper, which hold a
copy of the hidden units, are h_{t-1}.

References
----------
Elman (1990), Finding structure in time, Cognitive Science 14:179-211, figure 2.
"""

import math

import torch
from torch import nn

REST = 0.5  # of the context units before the first word


class Elman(nn.Module):
    """Elman networks over a vocabulary, several side by side, with weights of their own.

    Parameters
    ----------
    vocabulary : sequence of str
        Words in the order of their units.
    n_hidden : int
    n_networks : int
        Replicas; network i has the weights of a single network with seed `seed + i`.
    seed : int
        Fresh weights are uniform in +-1 / sqrt(n_hidden).
    """

    layer_names = ("hidden",)

    def __init__(self, vocabulary, *, n_hidden: int = 20, n_networks: int = 1, seed: int = 0):
        super().__init__()
        self.settings = {
            "vocabulary": list(vocabulary),
            "n_hidden": n_hidden,
            "n_networks": n_networks,
            "seed": seed,
        }
        n_words = len(self.settings["vocabulary"])
        shapes = {
            "W": (n_words, n_hidden),
            "C": (n_hidden, n_hidden),
            "b": (n_hidden,),
            "V": (n_hidden, n_words),
            "c": (n_words,),
        }
        draws = [_uniform(shapes, limit=1 / math.sqrt(n_hidden), seed=seed + i) for i in range(n_networks)]
        for name in shapes:
            setattr(self, name, nn.Parameter(torch.stack([of_network[name] for of_network in draws])))

    def states(self, words: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give the hidden units after each word, {"hidden": (n_networks, n_words, n_hidden)}; `words` (n_words,)."""
        driven = self.W[:, words] + self.b[:, None]  # (n_networks, n_words, n_hidden)
        hidden = torch.full_like(driven[:, 0], REST)
        seen = []
        for step in driven.unbind(dim=1):
            hidden = torch.sigmoid(step + torch.einsum("nh,nhk->nk", hidden, self.C))
            seen.append(hidden)
        return {"hidden": torch.stack(seen, dim=1)}

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Give the output units after each word, (n_networks, n_words, n_words_of_vocabulary)."""
        hidden = self.states(words)["hidden"]
        return torch.sigmoid(torch.einsum("nth,nhw->ntw", hidden, self.V) + self.c[:, None])


def _uniform(shapes: dict, *, limit: float, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: (2 * torch.rand(shape, generator=generator) - 1) * limit for name, shape in shapes.items()}
