"""Context-dependent memories. Oracles: numpy.kron triple by triple, and the three forms with each other."""

import numpy as np
import pytest
import torch

from brainalign.errors import Misaligned
from brainalign.simulate.associative import batch_bound, batch_gain, hebb, learn, pseudo_inverse, random_patterns
from brainalign.simulate.context_memory import bind, recall_from_triples, recall_in_two_steps, triple_weights

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def normal(*shape, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


def six_answers(seed):
    """3 keys of 32 units in 2 contexts of 8 units, six different answers."""
    contexts, keys, answers = random_patterns((8, 32, 24), 6, seed=seed)
    return contexts[:, :, [0, 0, 0, 1, 1, 1]], keys[:, :, [0, 1, 2, 0, 1, 2]], answers


def test_the_memory_is_a_sum_over_triples_with_kronecker_products():
    contexts, keys, answers = normal(2, 3, 5), normal(2, 4, 5, seed=1), normal(2, 6, 5, seed=2)
    memory = hebb(bind(contexts, keys), answers)
    assert memory.shape == (2, 6, 12)
    for i in range(2):
        p, f, g = contexts[i].numpy(), keys[i].numpy(), answers[i].numpy()
        expected = sum(np.outer(g[:, k], np.kron(p[:, k], f[:, k])) for k in range(5))
        np.testing.assert_allclose(memory[i], expected, atol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_one_key_has_an_answer_in_each_context(seed):
    """Section 16 of the design notes: error 8e-15 where the keys alone have rank 3."""
    contexts, keys, answers = six_answers(seed)
    inputs = bind(contexts, keys)
    recalled = pseudo_inverse(inputs, answers) @ inputs
    assert float((recalled - answers).abs().max()) < 5e-14
    assert int(torch.linalg.matrix_rank(keys)) == 3
    assert int(torch.linalg.matrix_rank(inputs)) == 6
    alone = pseudo_inverse(keys, answers) @ keys  # the control: keys cannot tell the contexts apart
    assert float((alone - answers).abs().max()) > 0.5
    torch.testing.assert_close(alone[:, :, :3], (answers[:, :, :3] + answers[:, :, 3:]) / 2)


def test_with_orthonormal_keys_and_contexts_the_sum_alone_is_exact():
    contexts, keys = torch.linalg.qr(normal(5, 8, 2)).Q, torch.linalg.qr(normal(5, 32, 3, seed=1)).Q
    contexts, keys = contexts[:, :, [0, 0, 0, 1, 1, 1]], keys[:, :, [0, 1, 2, 0, 1, 2]]
    answers = normal(5, 24, 6, seed=2)
    memory = hebb(bind(contexts, keys), answers)
    torch.testing.assert_close(memory @ bind(contexts, keys), answers, rtol=0, atol=1e-14)
    swapped = memory @ bind(contexts[:, :, [3, 4, 5, 0, 1, 2]], keys)
    torch.testing.assert_close(swapped, answers[:, :, [3, 4, 5, 0, 1, 2]], rtol=0, atol=1e-14)
    between = memory @ bind((contexts[:, :, :1] + 3 * contexts[:, :, 3:4]) / 4, keys[:, :, :1])
    torch.testing.assert_close(between, (answers[:, :, :1] + 3 * answers[:, :, 3:4]) / 4, rtol=0, atol=1e-14)


@pytest.mark.parametrize("store", [hebb, pseudo_inverse])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", DEVICES)
def test_the_three_forms_recall_the_same(store, dtype, device):
    """On what was stored and on other contexts and keys."""
    shapes = {"n_networks": 3, "dtype": dtype, "device": device}
    stored = random_patterns((8, 32, 16), 20, seed=1, **shapes)
    asked_contexts, asked_keys = random_patterns((8, 32), 7, seed=2, **shapes)
    contexts, keys, answers = stored
    memory = store(bind(contexts, keys), answers)
    weights = answers if store is hebb else triple_weights(*stored)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-13}[dtype]
    for p, f in ((contexts, keys), (asked_contexts, asked_keys)):
        explicit = memory @ bind(p, f)
        scale = float(explicit.abs().max())
        for other in (recall_in_two_steps(memory, p, f), recall_from_triples((contexts, keys, weights), p, f)):
            assert other.dtype == dtype
            torch.testing.assert_close(other, explicit, rtol=0, atol=tolerance * scale * 10)


def test_large_sizes_need_no_matrix_of_weights():
    """200 x 2,000 = 400,000 inputs: the weights of one network would take 1.6 GB with 500 outputs."""
    contexts, keys, answers = random_patterns((200, 2000, 500), 40)
    stored = (contexts, keys, triple_weights(contexts, keys, answers))
    torch.testing.assert_close(recall_from_triples(stored, contexts, keys), answers, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_contexts", [1, 2, 4])
def test_capacity_is_that_of_a_key_times_contexts(n_contexts, seed):
    for extra, exact in ((0, True), (1, False)):
        n_triples = 10 * n_contexts + extra
        contexts = normal(1, n_contexts, n_triples, seed=seed)
        keys, answers = normal(1, 10, n_triples, seed=seed + 50), normal(1, 16, n_triples, seed=seed + 90)
        inputs = bind(contexts, keys)
        assert int(torch.linalg.matrix_rank(inputs)) == 10 * n_contexts
        memory = pseudo_inverse(inputs, answers)
        assert int(torch.linalg.matrix_rank(memory)) <= min(16, 10 * n_contexts)
        assert (float((memory @ inputs - answers).abs().max()) < 1e-7) == exact


def test_the_rank_of_a_memory_is_at_most_contexts_times_key_units():
    contexts, keys, answers = normal(1, 2, 30), normal(1, 3, 30, seed=1), normal(1, 40, 30, seed=2)
    assert int(torch.linalg.matrix_rank(hebb(bind(contexts, keys), answers))) == 6


def test_the_delta_rule_learns_what_depends_on_context():
    contexts, keys, answers = six_answers(0)
    inputs = bind(contexts, keys)
    learned = learn(inputs, answers, batch_gain(inputs, step=0.9 * batch_bound(inputs)), n_sweeps=500).memory
    torch.testing.assert_close(learned, pseudo_inverse(inputs, answers), rtol=0, atol=1e-10)


def test_a_network_of_a_batch_is_the_network_alone():
    contexts, keys, answers = random_patterns((4, 16, 8), 9, n_networks=3, seed=2)
    memory = hebb(bind(contexts, keys), answers)
    alone = [values[1:2] for values in (contexts, keys, answers)]
    torch.testing.assert_close(memory[1:2], hebb(bind(*alone[:2]), alone[2]), rtol=0, atol=1e-13)
    together = recall_from_triples((contexts, keys, answers), contexts, keys)[1:2]
    torch.testing.assert_close(together, recall_from_triples(tuple(alone), *alone[:2]), rtol=0, atol=1e-11)


def test_what_does_not_belong_together_is_refused():
    contexts, keys = normal(2, 3, 5), normal(2, 4, 5)
    with pytest.raises(Misaligned, match=r"\(2, 3, 5\), \(2, 4, 4\)"):
        bind(contexts, keys[:, :, :4])
    with pytest.raises(Misaligned, match="networks and pairs the same"):
        triple_weights(contexts, keys, normal(1, 6, 5))
    with pytest.raises(Misaligned, match="3 x 4 = 12 inputs is needed, got 11"):
        recall_in_two_steps(normal(2, 6, 11), contexts, keys)
