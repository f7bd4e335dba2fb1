"""Two families of the same shape, and a network that is asked who is whose father, aunt or nephew.

    Christopher = Penelope        Andrew = Christine          Roberto = Maria           Pierro = Francesca
          |              |         |         |                      |           |        |         |
    Margaret = Arthur   Victoria = James   Jennifer = Charles       Gina = Emilio  Lucia = Marco   Angela = Tomaso
                              |                                                  |
                       Colin, Charlotte                                  Alfonso, Sophia

A network is given a person and a relation, a unit each, and has to name who stands in that relation, a unit each of
24. Of the 36 inputs the persons reach six units of their own and the relations another six; a layer of 12 sees both
and leads over one of six to the output.

The paper speaks of 104 triples of a person, a relation and a person. There are 112: what there are 104 of is pairs of a
person and a relation that has an answer, and 8 of them have two (Colin has two aunts). The pairs are called facts here.

References
----------
Rumelhart, Hinton & Williams (1986), Nature 323:533-536, figures 2 to 4.
Hinton (1986), Learning distributed representations of concepts, Proceedings of the Cognitive Science Society 8:1-12.
"""

from typing import NamedTuple

import torch

from brainalign.errors import BrainalignError, Misaligned
from brainalign.simulate.multilayer import Multilayer

ENGLISH = (
    "Christopher", "Andrew", "Arthur", "James", "Charles", "Colin",
    "Penelope", "Christine", "Victoria", "Jennifer", "Margaret", "Charlotte",
)  # fmt: skip
ITALIAN = (
    "Roberto", "Pierro", "Emilio", "Marco", "Tomaso", "Alfonso",
    "Maria", "Francesca", "Lucia", "Angela", "Gina", "Sophia",
)  # fmt: skip
PEOPLE = ENGLISH + ITALIAN
N_MALE = 6  # the first ones of a family
COUPLES = {"Christopher": "Penelope", "Andrew": "Christine", "Arthur": "Margaret", "James": "Victoria",
           "Charles": "Jennifer"}  # fmt: skip
CHILDREN = {"Christopher": ("Arthur", "Victoria"), "Andrew": ("James", "Jennifer"), "James": ("Colin", "Charlotte")}
RELATIONS = ("father", "mother", "husband", "wife", "son", "daughter", "uncle", "aunt", "brother", "sister", "nephew",
             "niece")  # fmt: skip
GENERATION = {
    name: k
    for k, names in enumerate(
        (
            ("Christopher", "Penelope", "Andrew", "Christine"),
            ("Margaret", "Arthur", "Victoria", "James", "Jennifer", "Charles"),
            ("Colin", "Charlotte"),
        )
    )
    for name in names
}
BRANCH = dict.fromkeys(("Christopher", "Penelope", "Arthur", "Margaret", "Victoria"), 0) | dict.fromkeys(
    ("Andrew", "Christine", "James", "Jennifer", "Charles"), 1
)
"""By blood, or by marriage for those who come from outside; the grandchildren belong to both and have none."""
SIZES = (len(PEOPLE) + len(RELATIONS), 12, 12, 6, len(PEOPLE))
NO_SPREAD = 1e-9  # added to variances of codes: a unit may be the same for everybody
N_CODE = 6  # units of the second layer for persons, and as many for relations


class Facts(NamedTuple):
    """What is known of the families.

    Parameters
    ----------
    names : list of tuple of (str, str)
        Person and relation.
    inputs : tensor (104, 36)
        1 at the person and at the relation.
    targets : tensor (104, 24)
        1 at everybody who stands in that relation to the person.
    """

    names: list[tuple[str, str]]
    inputs: torch.Tensor
    targets: torch.Tensor


def facts() -> Facts:
    """Work out who stands in which relation to whom, in both families."""
    english = _relatives()
    to_italian = dict(zip(ENGLISH, ITALIAN, strict=True))
    known = english | {
        (to_italian[person], relation): [to_italian[other] for other in others]
        for (person, relation), others in english.items()
    }
    inputs, targets = torch.zeros(len(known), SIZES[0]), torch.zeros(len(known), SIZES[-1])
    for i, ((person, relation), others) in enumerate(known.items()):
        inputs[i, PEOPLE.index(person)] = inputs[i, len(PEOPLE) + RELATIONS.index(relation)] = 1
        targets[i, [PEOPLE.index(other) for other in others]] = 1
    return Facts(list(known), inputs, targets)


def _relatives() -> dict[tuple[str, str], list[str]]:
    """Give the people in each relation to each person of the English family."""
    parents = {child: (father, COUPLES[father]) for father, children in CHILDREN.items() for child in children}
    spouse = COUPLES | {wife: husband for husband, wife in COUPLES.items()}
    siblings = {child: [s for s in CHILDREN[father] if s != child] for child, (father, _) in parents.items()}
    pairs = {
        ("husband", "wife"): [(person, [spouse[person]]) for person in spouse],
        ("father", "mother"): list(parents.items()),
        ("son", "daughter"): [(p, CHILDREN[pair[0]]) for pair in dict.fromkeys(parents.values()) for p in pair],
        ("brother", "sister"): list(siblings.items()),
    }
    aunts = {
        child: [other for parent in pair for s in siblings.get(parent, []) for other in (s, spouse[s])]
        for child, pair in parents.items()
    }
    pairs["uncle", "aunt"] = list(aunts.items())
    nephews = {}
    for child, others in aunts.items():
        for other in others:
            nephews.setdefault(other, []).append(child)
    pairs["nephew", "niece"] = list(nephews.items())
    known = {}
    for names, of_people in pairs.items():
        for person, others in of_people:
            for other in others:
                relation = names[ENGLISH.index(other) >= N_MALE]
                known.setdefault((person, relation), []).append(other)
    return known


def connections() -> torch.Tensor:
    """Give which inputs reach which units of the second layer, (36, 12): persons the first six, relations the rest."""
    mask = torch.zeros(SIZES[:2])
    mask[: len(PEOPLE), :N_CODE] = 1
    mask[len(PEOPLE) :, N_CODE:] = 1
    return mask


def build(**settings) -> Multilayer:
    """Build networks of the paper's shape; settings as of `Multilayer`."""
    return Multilayer(SIZES, connections={1: connections()}, **settings)


def held_out(n_networks: int, *, n_test: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw which facts each network learns and which it is tested with.

    Parameters
    ----------
    n_networks : int
    n_test : int
    seed : int
        Network i draws with `seed + i`.

    Returns
    -------
    learnt : tensor int64 (n_networks, 104 - n_test)
    tested : tensor int64 (n_networks, n_test)

    Raises
    ------
    BrainalignError
        `n_test` leaves nothing to learn or to test.
    """
    n_facts = len(facts().names)
    if not 1 <= n_test < n_facts:
        raise BrainalignError(f"n_test must be from 1 to {n_facts - 1}, got {n_test}")
    orders = [torch.randperm(n_facts, generator=torch.Generator().manual_seed(seed + i)) for i in range(n_networks)]
    order = torch.stack(orders)
    return order[:, n_test:], order[:, :n_test]


def right(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Say which answers are right: every unit that should be on is above 1/2, every other one below.

    Parameters
    ----------
    outputs, targets : tensor (n_networks, n_facts, 24)

    Returns
    -------
    right : tensor bool (n_networks, n_facts)
    """
    return ((outputs > 0.5) == (targets > 0.5)).all(dim=2)


def first_choice(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Say where the units that should be on are the most active ones, however active: (n_networks, n_facts) bool."""
    wanted = targets > 0.5
    return outputs.masked_fill(~wanted, torch.inf).amin(dim=2) > outputs.masked_fill(wanted, -torch.inf).amax(dim=2)


def person_codes(network: Multilayer) -> torch.Tensor:
    """Give the activity of the six units that code persons, for each person, (n_networks, 24, 6)."""
    inputs = torch.zeros(len(PEOPLE), SIZES[0])
    inputs[:, : len(PEOPLE)] = torch.eye(len(PEOPLE))
    with torch.no_grad():
        return network.states(inputs)["hidden_1"][:, :, :N_CODE]


def traits() -> dict[str, torch.Tensor]:
    """Give generation (0, 1, 2), branch (0, 1; -1 for none) and nation (0, 1) of each person, int64 (24,) each."""
    return {
        "generation": torch.tensor([GENERATION[name] for name in ENGLISH] * 2),
        "branch": torch.tensor([BRANCH.get(name, -1) for name in ENGLISH] * 2),
        "nation": torch.tensor([0] * len(ENGLISH) + [1] * len(ITALIAN)),
    }


def probe(codes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Give the share of persons whose class a linear probe tells that was fitted to all the others.

    The probe is Fisher's linear discriminant: the classes are normal with means m_k and one covariance S, the pooled
    one; of code c that class k is told for which m_k' S^-1 c - m_k' S^-1 m_k / 2 + log(share of persons in k) is
    highest.

    Parameters
    ----------
    codes : tensor (n_networks, n_persons, n_units)
    labels : tensor int64 (n_persons,)
        Persons of label -1 are left out.

    Returns
    -------
    accuracy : tensor (n_networks,)

    Raises
    ------
    Misaligned
        Codes and labels are not of as many persons.
    BrainalignError
        There are fewer than two classes, or one of fewer than two persons.

    References
    ----------
    Oracle: scikit-learn's LinearDiscriminantAnalysis, fitted anew without each person.
    """
    if codes.shape[1] != len(labels):
        raise Misaligned(f"codes are of {codes.shape[1]} persons but labels of {len(labels)}")
    codes, labels = codes[:, labels >= 0].double(), labels[labels >= 0]
    belongs = (labels[:, None] == labels.unique()).to(codes)  # (n_persons, n_classes)
    if belongs.shape[1] < 2 or int(belongs.sum(dim=0).min()) < 2:
        raise BrainalignError(f"two classes of two persons at least are needed, got {belongs.sum(dim=0).tolist()}")
    n_persons, n_units = len(labels), codes.shape[2]
    kept = belongs * (1 - torch.eye(n_persons).to(codes))[..., None]  # (n_left_out, n_persons, n_classes)
    n_kept = kept.sum(dim=1)  # (n_left_out, n_classes)
    means = torch.einsum("opk,npu->noku", kept, codes) / n_kept[..., None]
    spread = codes[:, None] - torch.einsum("pk,noku->nopu", belongs, means)  # of each person from the own class
    spread = spread * kept.sum(dim=2)[..., None]  # (n_networks, n_left_out, n_persons, n_units)
    S = spread.transpose(2, 3) @ spread / (n_persons - 1)
    S = S + NO_SPREAD * torch.eye(n_units).to(S)
    directions = torch.linalg.solve(S, means.transpose(2, 3))  # (n_networks, n_left_out, n_units, n_classes)
    told = torch.einsum("npu,npuk->npk", codes, directions)  # of each person, by the probe that was fitted without it
    told = told - torch.einsum("noku,nouk->nok", means, directions) / 2 + (n_kept / (n_persons - 1)).log()
    return (told.argmax(dim=2) == belongs.argmax(dim=1)).to(codes).mean(dim=1)


def twin_likeness(codes: torch.Tensor) -> torch.Tensor:
    """Compare the codes of the same person in either family with those of two different ones.

    Parameters
    ----------
    codes : tensor (n_networks, 24, 6)

    Returns
    -------
    ratio : tensor (n_networks,)
        Mean distance between twins over the mean distance between all pairs across families; 1 for no likeness.
    """
    apart = torch.cdist(codes[:, : len(ENGLISH)], codes[:, len(ENGLISH) :])  # (n_networks, 12, 12)
    return apart.diagonal(dim1=1, dim2=2).mean(dim=1) / apart.mean(dim=(1, 2))
