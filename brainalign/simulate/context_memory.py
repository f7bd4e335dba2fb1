"""Context-dependent associative memories: the same key has other answers in other contexts.

    M = sum_k g_k (p_k kron f_k)^T            g = M (p kron f)

f is a key of n units, p a context of c units, and p kron f holds all c n products of one unit of each, those of the
first unit of p first. So M is a memory of `associative` whose inputs are pairs: the Hebb rule, the delta rule and the
pseudo-inverse apply as they stand to `bind(contexts, keys)`, up to c n independent triples are recalled without error
where keys alone end at n, and rank(M) <= min(c n, number of triples).

The same answer can be had without p kron f, and without M:

    g = (M (p kron I)) f                      the context picks a memory of keys, then the key is recalled from it
    g = sum_k g_k (p_k . p) (f_k . f)         the triples are weighed by how near they are in context and in key

For c n above some 10,000 the last is the one to use.

References
----------
Mizraji (1989), Context-dependent associations in linear distributed memories, Bulletin of Mathematical Biology
51:195-205; Mizraji, Pomi & Valle-Lisboa (2009), Dynamic searching in the brain, Cognitive Neurodynamics 3:401-414;
Valle-Lisboa, Reali, Anastasia & Mizraji (2005), Elman topology with sigma-pi units, Neural Networks 18:863-877. The
tests compare with numpy.kron, triple by triple, and the three forms with each other.
"""

import torch

from brainalign.errors import Misaligned


def bind(contexts: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Give p kron f for each column, the inputs of a context-dependent memory.

    Parameters
    ----------
    contexts : Tensor (n_networks, n_contexts, n_pairs)
        Columns p; n_contexts units.
    keys : Tensor (n_networks, n_inputs, n_pairs)
        Columns f.

    Returns
    -------
    inputs : Tensor (n_networks, n_contexts * n_inputs, n_pairs)

    Raises
    ------
    Misaligned
        Contexts and keys are not those of the same pairs and networks.
    """
    _check(contexts, keys)
    return (contexts[:, :, None, :] * keys[:, None, :, :]).flatten(1, 2)


def recall_in_two_steps(memory: torch.Tensor, contexts: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Recall with the context first, (M (p kron I)) f: equal to M (p kron f), without p kron f.

    Parameters
    ----------
    memory : Tensor (n_networks, n_outputs, n_contexts * n_inputs)
    contexts : Tensor (n_networks, n_contexts, n_pairs)
    keys : Tensor (n_networks, n_inputs, n_pairs)

    Returns
    -------
    recalled : Tensor (n_networks, n_outputs, n_pairs)

    Raises
    ------
    Misaligned
        Contexts and keys are not those of the same pairs and networks, or the memory is for others.
    """
    _check(contexts, keys)
    n_contexts, n_inputs = contexts.shape[1], keys.shape[1]
    if memory.shape[2] != n_contexts * n_inputs:
        raise Misaligned(
            f"a memory of {n_contexts} x {n_inputs} = {n_contexts * n_inputs} inputs is needed, got {memory.shape[2]}"
        )
    by_context = memory.unflatten(2, (n_contexts, n_inputs))  # (n_networks, n_outputs, n_contexts, n_inputs)
    opened = torch.einsum("nocf,nck->nokf", by_context, contexts)  # M (p kron I), one memory of keys per pair
    return torch.einsum("nokf,nfk->nok", opened, keys)


def triple_weights(contexts: torch.Tensor, keys: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Give the answers to store in place of G so that the sum over triples recalls as the pseudo-inverse does.

    G ((P^T P) * (F^T F))^+, * element by element: the inner products of p kron f are products of inner products.

    Parameters
    ----------
    contexts : Tensor (n_networks, n_contexts, n_pairs)
    keys : Tensor (n_networks, n_inputs, n_pairs)
    answers : Tensor (n_networks, n_outputs, n_pairs)

    Returns
    -------
    weights : Tensor (n_networks, n_outputs, n_pairs)

    Raises
    ------
    Misaligned
        The three are not those of the same pairs and networks.
    """
    _check(contexts, keys, answers)
    return answers @ torch.linalg.pinv((contexts.mT @ contexts) * (keys.mT @ keys), hermitian=True)


def recall_from_triples(stored, contexts: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Recall without a matrix of weights, sum_k g_k (p_k . p) (f_k . f): equal to M (p kron f).

    Parameters
    ----------
    stored : (contexts, keys, answers)
        Of the triples, as for `triple_weights`.
    contexts : Tensor (n_networks, n_contexts, n_asked)
    keys : Tensor (n_networks, n_inputs, n_asked)

    Returns
    -------
    recalled : Tensor (n_networks, n_outputs, n_asked)

    Raises
    ------
    Misaligned
        The triples, or contexts and keys, are not those of the same pairs and networks.
    """
    stored_contexts, stored_keys, answers = stored
    _check(stored_contexts, stored_keys, answers)
    _check(contexts, keys)
    return answers @ ((stored_contexts.mT @ contexts) * (stored_keys.mT @ keys))


def _check(*sets: torch.Tensor) -> None:
    shapes = [tuple(values.shape) for values in sets]
    if any(len(shape) != 3 for shape in shapes) or len({(shape[0], shape[-1]) for shape in shapes}) != 1:
        raise Misaligned(
            f"contexts, keys and answers are (n_networks, n_units, n_pairs), networks and pairs the same; got {shapes}"
        )
