from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainalign.errors import BrainalignError, Misaligned, UnknownName
from brainalign.simulate.temporal_logic import Compiled, disagreements, parse_formula
from brainalign.simulate.threshold import Net, Unit, all_sequences, figure_1, gates, latch, period, ring

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
EXAMPLES = {**figure_1(), **{f"gate {name}": gate for name, gate in gates().items()}}


def firing(net, name, inputs):
    return net.activity(inputs)[:, :, net.names.index(name)]


def before(spikes, steps):
    """Spikes so many steps ago, silence before the first."""
    return torch.nn.functional.pad(spikes, (steps, 0))[:, : spikes.shape[1]]


@pytest.mark.parametrize("name", EXAMPLES)
def test_nets_do_what_their_formulas_say_on_every_input(name):
    net, formulas, _ = EXAMPLES[name]
    named = dict(map(parse_formula, formulas))
    n_steps = 8 if len(net.inputs) < 3 else 5
    assert disagreements(Compiled(net, named, dict.fromkeys(named, 0)), n_steps=n_steps) == dict.fromkeys(named, 0)


def test_anchor_a6_without_the_reader_of_formulas():
    """Section 15, written out with shifts, on all 65,536 inputs of two neurons over 8 steps."""
    inputs, nets = all_sequences(2, 8), figure_1()
    assert inputs.shape == (65_536, 8, 2)
    one, two = inputs.unbind(dim=2)
    ever = before((one & two).cummax(dim=1).values, 2)
    expected = {
        ("b", "N3"): before(one, 1) | before(two, 1),
        ("c", "N3"): before(one, 1) & before(two, 1),
        ("d", "N3"): before(one, 1) & ~before(two, 1),
        ("e", "N3"): before(one, 1) | before(two, 3) & ~before(two, 2),
        ("e", "N4"): before(two, 2) & before(two, 1),
        ("g", "N3"): before(two, 2) & ~before(one, 3),
        ("i", "N3"): before(two, 1) | before(one, 1) & ever,
    }
    for (letter, unit), spikes in expected.items():
        assert torch.equal(firing(nets[letter].net, unit, inputs), spikes), letter
    alone = all_sequences(1, 8)
    assert torch.equal(firing(nets["a"].net, "N2", alone), before(alone[..., 0], 1))
    assert torch.equal(firing(nets["h"].net, "N2", alone), before(alone[..., 0], 1) & before(alone[..., 0], 2))


def test_relative_and_absolute_inhibition_are_the_same_a_step_later():
    nets, inputs = figure_1(), all_sequences(3, 5)
    relative = firing(nets["f"].net, "N4", inputs)
    one, two, three = (before(spikes, 1) for spikes in inputs.unbind(dim=2))
    assert torch.equal(relative, ~one & (two | three) | one & two & three)
    assert torch.equal(firing(nets["f absolute"].net, "N4", inputs), before(relative, 1))


@pytest.mark.parametrize("n_cold", range(1, 7))
def test_anchor_a7_heat_illusion(n_cold):
    inputs = torch.zeros(1, 12, 2, dtype=torch.bool)
    inputs[0, :n_cold, 1] = True
    net = figure_1()["e"].net
    heat, cold = (firing(net, name, inputs)[0].nonzero().flatten().tolist() for name in ("N3", "N4"))
    assert heat == [n_cold + 2]  # 3 steps after the last cold: alone after one step of cold, trailing otherwise
    assert cold == list(range(2, n_cold + 1))


def test_the_threshold_is_reached_not_exceeded():
    """Theorem 1 says exceeded; with that, no net of figure 1 would fire."""
    one = torch.ones(1, 2, 1, dtype=torch.bool)
    fires = [firing(Net(["N1"], {"N2": Unit({"N1": feet})}), "N2", one)[0, 1].item() for feet in (1, 2, 3)]
    assert fires == [False, True, True]


def test_every_end_foot_of_relative_inhibition_raises_the_threshold():
    both = torch.ones(1, 2, 2, dtype=torch.bool)
    fires = [
        firing(Net(["N1", "N2"], {"N3": Unit({"N2": feet}, raised_by={"N1": 2})}), "N3", both)[0, 1].item()
        for feet in (3, 4)
    ]
    assert fires == [False, True]


def test_gates_by_their_truth_tables():
    tables = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "xor": [0, 1, 1, 0]}
    rows = torch.tensor(list(product((False, True), repeat=2)))[:, None].expand(-1, 4, -1)  # held for 4 steps
    for name, expected in tables.items():
        assert firing(gates()[name].net, "N3", rows)[:, -1].int().tolist() == expected
    ticking = torch.tensor([[False, True], [True, True]])[:, None].expand(-1, 4, -1)
    assert firing(gates()["not"].net, "N2", ticking)[:, -1].tolist() == [True, False]


def test_a_latch_latches_for_ever_and_resets():
    inputs = torch.zeros(3, 500, 2, dtype=torch.bool)
    inputs[1:, 3, 0] = True  # set
    inputs[2, 100, 1] = True  # reset
    held = firing(latch(), "held", inputs)
    assert held.sum(dim=1).tolist() == [0, 496, 97]
    assert held[1, 4:].all()
    assert not held[2, 101:].any()


def test_net_i_learns_for_ever():
    inputs = torch.zeros(2, 300, 2, dtype=torch.bool)
    inputs[:, 200:, 0] = True
    inputs[1, 0] = True  # N1 and N2 together, once
    learned = firing(figure_1()["i"].net, "N3", inputs)
    assert not learned[0].any()
    assert learned[1, 201:].all()


@pytest.mark.parametrize("n_units", range(1, 9))
def test_an_impulse_goes_round_a_ring(n_units):
    inputs = torch.zeros(1, 4 * n_units + 3, 1, dtype=torch.bool)
    inputs[0, 0] = True
    net = ring(n_units)
    activity = net.activity(inputs)
    assert activity[0, 1:, 1:].sum(dim=1).unique().tolist() == [1]  # one impulse, at every step
    assert period(activity).tolist() == [n_units]
    circle = net.circle()
    assert circle[0] == circle[-1]
    assert len(set(circle)) == n_units


def test_impulses_at_equal_distances_shorten_the_period():
    inputs = torch.zeros(2, 40, 1, dtype=torch.bool)
    inputs[0, [0, 3, 6, 9]] = True
    inputs[1, [0, 5]] = True
    assert period(ring(12).activity(inputs)).tolist() == [3, 12]


def test_period_against_the_definition():
    rng = np.random.default_rng(0)
    activity = rng.random((200, 7, 2)) < 0.5
    expected = [next((p for p in range(1, 7) if (a[6 - p] == a[6]).all()), 0) for a in activity]
    assert period(torch.tensor(activity)).tolist() == expected
    assert period(torch.ones(2, 1, 3, dtype=torch.bool)).tolist() == [0, 0]


@st.composite
def nets(draw, *, circles=False):
    """Nets of two inputs and up to five units, synapses from earlier units only unless circles are allowed."""
    n_units = draw(st.integers(1, 5))
    names = ["N1", "N2", *(f"U{i}" for i in range(n_units))]
    units = {}
    for i in range(n_units):
        sources = st.sampled_from(names if circles else names[: 2 + i])
        units[f"U{i}"] = Unit(
            draw(st.dictionaries(sources, st.integers(1, 3), max_size=3)),
            tuple(draw(st.sets(sources, max_size=2))),
            draw(st.dictionaries(sources, st.integers(1, 2), max_size=1)),
            threshold=draw(st.integers(1, 4)),
        )
    return Net(["N1", "N2"], units)


@given(nets(circles=True), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_activity_is_the_rule_written_out(net, seed):
    inputs = torch.rand(3, 6, 2, generator=torch.Generator().manual_seed(seed)) < 0.5
    activity = net.activity(inputs)
    assert torch.equal(activity[:, :, :2], inputs)
    assert not activity[:, 0, 2:].any()
    for i, t in product(range(3), range(1, 6)):
        was = dict(zip(net.names, activity[i, t - 1].tolist(), strict=True))
        for name, unit in net.units.items():
            feet = sum(n * was[source] for source, n in unit.excited_by.items())
            needed = unit.threshold + sum(n * was[source] for source, n in unit.raised_by.items())
            expected = feet >= needed and not any(was[source] for source in unit.inhibited_by)
            assert activity[i, t, net.names.index(name)] == expected


@given(nets(circles=True), st.sampled_from(["N1", "N2"]))
@settings(max_examples=60, deadline=None)
def test_an_inhibitor_more_never_adds_spikes_to_its_unit(net, source):
    """Of the last unit, which has synapses on no other: elsewhere less of an inhibitor can mean more spikes."""
    last = list(net.units)[-1]
    units = {
        name: unit._replace(
            excited_by={s: n for s, n in unit.excited_by.items() if s != last},
            inhibited_by=tuple(s for s in unit.inhibited_by if s != last),
            raised_by={s: n for s, n in unit.raised_by.items() if s != last},
        )
        for name, unit in net.units.items()
    }
    more = {**units, last: units[last]._replace(inhibited_by=(*units[last].inhibited_by, source))}
    inputs = all_sequences(2, 5)
    without, with_it = (Net(net.inputs, of).activity(inputs) for of in (units, more))
    assert not (with_it[..., -1] & ~without[..., -1]).any()
    assert torch.equal(with_it[..., :-1], without[..., :-1])
    assert not with_it[:, 1:, -1][inputs[:, :-1, net.inputs.index(source)]].any()


@given(nets(circles=True), st.sampled_from(["N1", "N2"]), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_a_first_inhibitor_never_adds_spikes_anywhere(net, source, i):
    excited = {name: Unit(unit.excited_by, threshold=unit.threshold) for name, unit in net.units.items()}
    name = list(excited)[i % len(excited)]
    inhibited = {**excited, name: excited[name]._replace(inhibited_by=(source,))}
    inputs = all_sequences(2, 5)
    without, with_it = (Net(net.inputs, of).activity(inputs) for of in (excited, inhibited))
    assert not (with_it & ~without).any()


@given(nets())
@settings(max_examples=60, deadline=None)
def test_a_net_without_circles_is_silent_after_its_longest_path(net):
    length = net.longest_path()
    inputs = torch.nn.functional.pad(all_sequences(2, 4), (0, 0, 0, length + 3))
    activity = net.activity(inputs)
    assert not activity[:, 4 + length :].any()
    assert net.circle() == ()


def test_the_longest_path_is_reached():
    units = {f"U{i}": Unit({f"U{i - 1}" if i else "N1": 2}) for i in range(5)}
    net = Net(["N1"], units)
    assert net.longest_path() == 5
    inputs = torch.zeros(1, 8, 1, dtype=torch.bool)
    inputs[0, 0] = True
    assert net.activity(inputs)[0].any(dim=1).tolist() == [True] * 6 + [False] * 2
    assert Net(["N1"], {}).longest_path() == 0


def test_a_sequence_alone_is_the_sequence_in_a_batch():
    net, inputs = figure_1()["e"].net, all_sequences(2, 4)
    together = net.activity(inputs)
    assert all(torch.equal(net.activity(inputs[i : i + 1])[0], together[i]) for i in range(0, 256, 17))


@pytest.mark.parametrize("device", DEVICES)
def test_devices_agree(device):
    inputs = all_sequences(2, 5)
    here, there = (figure_1(device=of)["i"].net.activity(inputs) for of in ("cpu", device))
    assert there.device.type == device
    assert torch.equal(here, there.cpu())


def test_all_sequences_are_all_and_different():
    sequences = all_sequences(2, 3)
    assert sequences.dtype == torch.bool
    assert len({tuple(row) for row in sequences.flatten(1).tolist()}) == 64
    assert all_sequences(0, 4).shape == (1, 4, 0)
    with pytest.raises(BrainalignError, match=r"2 \*\* 27"):
        all_sequences(3, 9)


def test_what_is_no_net_is_refused():
    with pytest.raises(UnknownName, match=r"'N3'.*'N7'.*known: N1, N3"):
        Net(["N1"], {"N3": Unit({"N7": 2})})
    with pytest.raises(BrainalignError, match=r"twice here: N1"):
        Net(["N1"], {"N1": Unit({"N1": 2})})
    with pytest.raises(BrainalignError, match=r"'N2': end-feet and threshold"):
        Net(["N1"], {"N2": Unit({"N1": 2}, threshold=0)})
    with pytest.raises(BrainalignError, match=r"whole numbers from 1"):
        Net(["N1"], {"N2": Unit({"N1": 1.5})})
    with pytest.raises(BrainalignError, match=r"at least one unit; got 0"):
        ring(0)
    with pytest.raises(BrainalignError, match=r"circle, held -> held"):
        latch().longest_path()


def test_inputs_that_do_not_fit_are_refused():
    net = figure_1()["c"].net
    with pytest.raises(Misaligned, match=r"\(n_sequences, n_steps, 2\): N1, N2"):
        net.activity(torch.zeros(4, 3, dtype=torch.bool))
    with pytest.raises(Misaligned, match=r"torch\.float32"):
        net.activity(torch.ones(1, 3, 2))
    assert net.activity(torch.zeros(2, 0, 2, dtype=torch.bool)).shape == (2, 0, 3)
