"""The family trees of 1986; their anchors over six networks (papers, section 18.1)."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import LeaveOneOut, cross_val_score

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate import family_trees as trees
from brainalign.simulate.back_propagation import train

N_NETWORKS = 6


def learn(targets, *, n_sweeps=1500, limit=1.0, lr=0.05, decay=0.001):
    network = trees.build(n_networks=N_NETWORKS, limit=limit)
    learnt, _ = trees.held_out(N_NETWORKS)
    rates, momenta = torch.full((n_sweeps,), lr), torch.full((n_sweeps,), 0.9)
    rates[:20], momenta[:20] = 0.005, 0.5
    settings = {"lr": rates, "momentum": momenta, "decay": decay, "tolerance": 0.2}
    train(network, trees.facts().inputs[learnt], targets[learnt], n_sweeps=n_sweeps, **settings)
    return network


def n_right(network, targets):
    """How many of the learnt and of the tested facts each network answers right."""
    with torch.no_grad():
        return [
            trees.right(network(trees.facts().inputs[asked]), targets[asked]).sum(dim=1).float()
            for asked in trees.held_out(N_NETWORKS)
        ]


def accuracies(network):
    codes = trees.person_codes(network)
    return {trait: trees.probe(codes, labels).mean().item() for trait, labels in trees.traits().items()}


@pytest.fixture(scope="module")
def learnt():
    return learn(trees.facts().targets)


@pytest.fixture(scope="module")
def shuffled_targets():
    return trees.facts().targets[torch.randperm(104, generator=torch.Generator().manual_seed(0))]


@pytest.fixture(scope="module")
def shuffled(shuffled_targets):
    return learn(shuffled_targets)


def answer(person, relation):
    known = trees.facts()
    row = known.targets[known.names.index((person, relation))]
    return {name for name, value in zip(trees.PEOPLE, row.tolist(), strict=True) if value}


def test_there_are_104_questions_and_112_triples():
    known = trees.facts()
    assert len(known.names) == len(set(known.names)) == 104
    assert known.inputs.sum(dim=1).tolist() == [2] * 104
    assert known.targets.sum() == 112
    assert (known.targets.sum(dim=1) == 2).sum() == 8


@pytest.mark.parametrize(
    ("person", "relation", "others"),
    [
        ("Colin", "aunt", {"Jennifer", "Margaret"}),
        ("Charlotte", "uncle", {"Arthur", "Charles"}),
        ("Sophia", "aunt", {"Gina", "Angela"}),
        ("Arthur", "wife", {"Margaret"}),
        ("Victoria", "brother", {"Arthur"}),
        ("Christopher", "daughter", {"Victoria"}),
        ("James", "mother", {"Christine"}),
        ("Charles", "niece", {"Charlotte"}),
        ("Lucia", "husband", {"Marco"}),
        ("Marco", "son", {"Alfonso"}),
    ],
)
def test_answers_read_off_the_trees(person, relation, others):
    assert answer(person, relation) == others


def test_relations_are_each_others_inverse():
    male = set(trees.ENGLISH[: trees.N_MALE] + trees.ITALIAN[: trees.N_MALE])
    inverse = {"father": ("son", "daughter"), "husband": ("wife", "wife"), "uncle": ("nephew", "niece"),
               "brother": ("brother", "sister")}  # fmt: skip
    for person, relation in trees.facts().names:
        for other in answer(person, relation):
            if relation in inverse:
                assert other in male
                assert person in answer(other, inverse[relation][person not in male])


def test_the_families_are_the_same():
    known = trees.facts()
    to_italian = dict(zip(trees.ENGLISH, trees.ITALIAN, strict=True))
    for person, relation in known.names:
        if person in to_italian:
            assert {to_italian[name] for name in answer(person, relation)} == answer(to_italian[person], relation)


def test_the_network_has_the_shape_of_the_paper():
    network = trees.build()
    assert {name: values.shape[-1] for name, values in network.states(trees.facts().inputs).items()} == {
        "hidden_1": 12, "hidden_2": 12, "hidden_3": 6, "output": 24
    }  # fmt: skip
    assert (network.W1[0, :24, 6:] == 0).all()
    assert (network.W1[0, 24:, :6] == 0).all()
    assert (network.W1[0] != 0).sum() == 24 * 6 + 12 * 6


def test_learnt_facts_are_right_and_new_ones_more_often_than_by_chance(learnt):
    of_learnt, of_tested = n_right(learnt, trees.facts().targets)
    assert of_learnt.mean() > 85
    assert of_tested.mean() > 1.0


def test_codes_of_persons_tell_generation_branch_and_nation(learnt):
    assert min(accuracies(learnt).values()) > 0.75
    assert np.mean(list(accuracies(learnt).values())) > 0.88
    assert trees.twin_likeness(trees.person_codes(learnt)).mean() < 0.9


def test_untrained_networks_know_nothing():
    network = trees.build(n_networks=N_NETWORKS, limit=1.0)
    assert [values.sum() for values in n_right(network, trees.facts().targets)] == [0, 0]
    assert max(accuracies(network).values()) < 0.65


def test_shuffled_answers_generalise_to_nothing(shuffled, shuffled_targets):
    of_learnt, of_tested = n_right(shuffled, shuffled_targets)
    assert of_learnt.mean() > 30  # by heart
    assert of_tested.mean() < 0.5
    assert max(accuracies(shuffled).values()) < 0.7


def test_the_printed_settings_do_not_learn():
    network = learn(trees.facts().targets, n_sweeps=400, limit=0.3, lr=0.01, decay=0.002)
    assert n_right(network, trees.facts().targets)[0].max() == 0


def test_held_out_facts_are_no_learnt_facts():
    learnt, tested = trees.held_out(3, n_test=10, seed=4)
    assert learnt.shape == (3, 94)
    for i in range(3):
        assert sorted([*learnt[i].tolist(), *tested[i].tolist()]) == list(range(104))
    assert torch.equal(trees.held_out(1, n_test=10, seed=6)[1][0], tested[2])
    with pytest.raises(BrainalignError, match="from 1 to 103, got 104"):
        trees.held_out(1, n_test=104)


def test_right_and_first_choice():
    targets = torch.tensor([[[1.0, 1.0, 0.0]]])
    for outputs, right, first in (
        ([0.6, 0.7, 0.1], True, True),
        ([0.2, 0.3, 0.1], False, True),
        ([0.9, 0.3, 0.4], False, False),
        ([0.9, 0.9, 0.6], False, True),
    ):
        outputs = torch.tensor([[outputs]])
        assert trees.right(outputs, targets).item() is right
        assert trees.first_choice(outputs, targets).item() is first


@pytest.mark.parametrize("trait", ["generation", "branch", "nation"])
def test_the_probe_is_scikit_learns_discriminant(trait):
    labels = trees.traits()[trait]
    codes = torch.randn(4, 24, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    codes[:, :, 0] += 1.5 * labels
    kept = labels >= 0
    expected = [
        cross_val_score(LinearDiscriminantAnalysis(solver="lsqr"), of_one[kept], labels[kept], cv=LeaveOneOut()).mean()
        for of_one in codes.numpy()
    ]
    np.testing.assert_allclose(trees.probe(codes, labels), expected)
    assert len(set(expected)) > 1


def test_a_code_that_says_nothing_is_told_nothing():
    labels = trees.traits()["nation"]
    assert trees.probe(torch.full((2, 24, 6), 0.5), labels).max() < 0.6
    with pytest.raises(Misaligned, match="23 persons but labels of 24"):
        trees.probe(torch.zeros(2, 23, 6), labels)
    with pytest.raises(BrainalignError, match="two classes"):
        trees.probe(torch.zeros(2, 24, 6), torch.zeros(24, dtype=torch.int64))


def test_the_likeness_of_twins_is_of_each_network_by_itself():
    codes = torch.rand(1, 24, 6, generator=torch.Generator().manual_seed(0))
    alone = trees.twin_likeness(codes)
    assert alone.item() == pytest.approx(1, abs=0.3)
    torch.testing.assert_close(trees.twin_likeness(torch.cat([codes, 10 * codes])), alone.expand(2))


def test_twins_with_one_code_are_alike():
    codes = torch.rand(2, 12, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(trees.twin_likeness(torch.cat([codes, codes], dim=1)), torch.zeros(2), atol=1e-3, rtol=0)
