import pytest
import torch

from brainalign.errors import BrainalignError
from brainalign.simulate import sequence_tasks


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n_steps", [8, 30, 100])
def test_the_sum_is_that_of_two_marked_numbers(n_steps):
    inputs, targets = sequence_tasks.adding(generator(), n_sequences=500, n_steps=n_steps)
    assert inputs.shape == (500, n_steps, 2)
    values, marks = inputs.unbind(2)
    assert (marks[:, 0] == -1).all()
    assert (marks[:, -1] == -1).all()
    marked = (marks == 1).sum(dim=1)
    assert set(marked.tolist()) == {1, 2}  # 1 where the first step was drawn
    for i in range(50):
        total = sum(values[i, t] for t in range(n_steps) if marks[i, t] == 1)
        assert targets[i] == pytest.approx(float(0.5 + total / 4), abs=1e-6)
    earliest = (marks == 1).double().argmax(dim=1)[marked == 2]  # the others were marked at the first step, unseen
    assert earliest.max() <= 9
    latest = (marks == 1).nonzero()[:, 1].max()
    assert latest <= max(10, n_steps // 2 - 2)
    assert ((targets >= 0) & (targets <= 1)).all()


def test_too_short_to_add_is_refused():
    with pytest.raises(BrainalignError, match="8 steps"):
        sequence_tasks.adding(generator(), n_sequences=1, n_steps=7)


def test_recall_asks_for_the_first_symbol_which_comes_nowhere_else():
    words, targets = sequence_tasks.recall(generator(), n_sequences=400, n_steps=20)
    assert torch.equal(words[:, 0], targets)
    assert (words[:, 1:] >= 2).all()
    assert words.max() == 5
    assert 0.4 < targets.double().mean() < 0.6


def test_copy_reversal_and_unrelated_targets():
    options = {"n_sequences": 50, "n_steps": 6, "n_symbols": 5}
    words, copied = sequence_tasks.copying(generator(), **options)
    assert torch.equal(words, copied)
    words, backwards = sequence_tasks.reversal(generator(), **options)
    assert torch.equal(words[:, 0], backwards[:, 5])
    words, others = sequence_tasks.shuffled(generator(), **options)
    assert (words == others).double().mean() < 0.4


def test_all_sequences_are_all():
    every = sequence_tasks.all_sequences(3, 6)
    assert every.shape == (729, 6)
    assert len({tuple(row) for row in every.tolist()}) == 729


def test_lessons_of_a_network_do_not_depend_on_its_neighbours():
    options = {"n_sequences": 4, "n_steps": 9}
    together = sequence_tasks.for_networks(sequence_tasks.generators_of(3, 3), sequence_tasks.adding, **options)
    alone = sequence_tasks.for_networks(sequence_tasks.generators_of(5, 1), sequence_tasks.adding, **options)
    assert torch.equal(together[0][2], alone[0][0])
    assert torch.equal(together[1][2], alone[1][0])
