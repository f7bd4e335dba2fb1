import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainalign.errors import BrainalignError
from brainalign.simulate.temporal_logic import (
    And,
    Compiled,
    Ever,
    Fires,
    Not,
    Or,
    Past,
    compile_net,
    disagreements,
    parse,
    parse_formula,
    truth_table,
)
from brainalign.simulate.threshold import FORMULAS, Unit, figure_1, gates

A, B, C = Fires("A"), Fires("B"), Fires("C")

expressions = st.recursive(
    st.builds(Past, st.sampled_from([A, B, C]), st.integers(0, 2)),
    lambda of: st.one_of(
        st.builds(lambda parts: And(tuple(parts)), st.lists(of, min_size=1, max_size=3)),
        st.builds(lambda parts: Or(tuple(parts)), st.lists(of, min_size=1, max_size=3)),
        st.builds(Not, of),
        st.builds(Past, of, st.integers(0, 1)),
    ),
    max_leaves=6,
)


def value(expression, t, spikes):
    """An expression at one step, by its definition; silence before step 0."""
    match expression:
        case Fires(name):
            return t >= 0 and bool(spikes[name][t])
        case Past(of, steps):
            return value(of, t - steps, spikes)
        case Not(of):
            return not value(of, t, spikes)
        case And(parts):
            return all(value(part, t, spikes) for part in parts)
        case Or(parts):
            return any(value(part, t, spikes) for part in parts)
        case Ever(of):
            return any(value(of, x, spikes) for x in range(-9, t + 1))


@given(st.one_of(expressions, st.builds(Ever, expressions)), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_values_are_the_definition_step_by_step(expression, seed):
    rng = np.random.default_rng(seed)
    spikes = {name: rng.random(7) < 0.5 for name in "ABC"}
    given_ = {name: torch.tensor(of_name)[None] for name, of_name in spikes.items()}
    assert expression.values(given_)[0].tolist() == [value(expression, t, spikes) for t in range(7)]


def test_what_is_true_of_silence_has_been_true_before_the_first_step():
    always = {"A": torch.ones(1, 3, dtype=torch.bool)}
    assert Ever(Not(A)).values(always).tolist() == [[True] * 3]
    assert Past(Ever(Not(A)), 2).values(always).tolist() == [[True] * 3]
    assert Ever(A).values({"A": ~always["A"]}).tolist() == [[False] * 3]


def test_delays_of_some_hundred_steps_are_built_and_longer_ones_refused():
    assert len(compile_net("X(t) = A(t-500)").net.units) == 500
    for formula in ("X(t) = A(t-501)", "X(t) = A(t-1) and S(A(t-1), 100000)"):
        with pytest.raises(BrainalignError, match=r"A\(t-(501|100001)\): a net is built for at most 500 steps back"):
            compile_net(formula)


@given(expressions)
@settings(max_examples=120, deadline=None)
def test_random_expressions_compiled_do_what_they_say_or_are_true_at_rest(expression):
    _, rows, values = truth_table(expression)
    assert not rows[0].any()
    if values[0]:  # theorem 3
        with pytest.raises(BrainalignError, match="false"):
            compile_net({"out": expression})
        expression = Not(expression)
    compiled = compile_net({"out": expression})
    n_steps = min(compiled.net.longest_path() + 1, 12 // len(compiled.net.inputs))
    assert disagreements(compiled, n_steps=n_steps) == {"out": 0}


@pytest.mark.parametrize("letter", sorted(set(FORMULAS) - {"i"}))
def test_the_formulas_of_figure_1_compile(letter):
    compiled = compile_net(FORMULAS[letter])
    assert set(disagreements(compiled).values()) == {0}
    assert set(compiled.late.values()) == ({1} if letter == "f" else {0})  # relative inhibition costs a step


def test_the_heat_illusion_compiles_to_the_net_that_is_drawn():
    compiled, drawn = compile_net(FORMULAS["e"]).net, figure_1()["e"].net
    names = {"N2[t-1]": "Na", "[1]": "Nb"}

    def renamed(unit):
        excited_by = {names.get(name, name): feet for name, feet in unit.excited_by.items()}
        return unit._replace(excited_by=excited_by)

    assert {names.get(name, name): renamed(unit) for name, unit in compiled.units.items()} == drawn.units


def test_inhibition_of_f_compiles_to_the_absolute_net_that_is_drawn():
    """Two units that feed a third, as in figure 1 f; the delay of N3 is spared where a threshold of 3 is allowed."""
    net = compile_net(FORMULAS["f absolute"]).net
    assert net.units["[1]"] == Unit({"N2": 2, "N3": 2}, ("N1",))
    assert net.longest_path() == 2


def test_formulas_share_delays_and_parts():
    both = compile_net(["X(t) = A(t-3) and B(t-1)", "Y(t) = A(t-3) and not B(t-1)", "Z(t) = A(t-3) and B(t-1)"])
    assert sorted(both.net.units) == ["A[t-1]", "A[t-2]", "X", "Y", "Z"]
    assert both.net.units["X"] == both.net.units["Z"]
    assert disagreements(both) == {"X": 0, "Y": 0, "Z": 0}
    nested = compile_net(["X(t) = A(t-3) and B(t-3) or C(t-2)", "Y(t) = A(t-2) and B(t-2)"])
    assert disagreements(nested) == {"X": 0, "Y": 0}


@pytest.mark.parametrize(
    ("formula", "late"),
    [("X(t) = A(t)", 1), ("X(t) = A(t-5)", 0), ("X(t) = A(t) and B(t)", 1), ("X(t) = A(t-1) and B(t) or C(t)", 2),
     ("X(t) = S(A(t) and not B(t))", 0), ("X(t) = S(A(t) and not B(t) or B(t) and not A(t), 2)", 0)],
)  # fmt: skip
def test_a_unit_is_as_late_as_its_formula_leaves_no_time(formula, late):
    compiled = compile_net(formula)
    assert compiled.late == {"X": late}
    assert disagreements(compiled) == {"X": 0}


def test_inhibitors_of_a_part_are_kept_where_it_takes_no_unit_of_its_own():
    compiled = compile_net("X(t) = not (not A(t-1) or B(t-1)) and not C(t-1)")
    assert compiled.net.units == {"X": Unit({"A": 2}, ("B", "C"))}
    assert disagreements(compiled) == {"X": 0}


def test_a_broken_net_is_found_out():
    compiled = compile_net("X(t) = A(t-1) and not B(t-1)")
    for net in (gates()["and"].net, gates()["or"].net):
        wrong = Compiled(net, {"N3": parse("N1(t-1) and not N2(t-1)")}, {"N3": 0})
        assert disagreements(wrong)["N3"] > 0
    assert disagreements(compiled._replace(late={"X": 1}))["X"] > 0


@pytest.mark.parametrize(
    "formula",
    ["X(t) = not A(t-1)", "X(t) = A(t-1) or not B(t-1)", "X(t) = not A(t-1) and not B(t-2)", "X(t) = ~(A(t) & B(t))",
     "X(t) = not (A(t-1) and not A(t-1))"],
)  # fmt: skip
def test_what_is_true_at_rest_is_refused_and_why(formula):
    with pytest.raises(BrainalignError, match=r"X\(t\) is true when all its constituents are false .*theorem 3"):
        compile_net(formula)


def test_what_needs_a_circle_is_refused_and_why():
    with pytest.raises(BrainalignError, match=r"needs a circle \(theorem 7\)"):
        compile_net(FORMULAS["i"])


@pytest.mark.parametrize(
    ("text", "said"),
    [("A(t+1)", r"t\+1 is still to come"), ("A(t-1) and", "invalid syntax"), ("A", "no part of an expression"),
     ("A(x-1)", "expected the time 't'"), ("A(t-1) + B(t)", "no part"), ("True", "no part"), ("S(A(t), -1)", "no part"),
     ("exists(t-1, A(x))", "no part"), ("exists(x < t, A(t))", "expected the time 'x'"), ("A(t, 2)", "no part"),
     ("__import__('os').system('true')", "no part"), ("A(t-1.5)", "expected the time")],
)  # fmt: skip
def test_text_that_is_no_expression_is_refused(text, said):
    with pytest.raises(BrainalignError, match=said):
        parse(text)


@pytest.mark.parametrize("text", ["N3 = A(t)", "A(t-1)", "N3(t-1) = A(t-2)", "3(t) = A(t)"])
def test_text_that_is_no_formula_is_refused(text):
    with pytest.raises(BrainalignError, match=r"expected 'NAME\(t\) = EXPRESSION'"):
        parse_formula(text)


def test_a_formula_of_a_unit_that_has_one_is_refused():
    with pytest.raises(BrainalignError, match="X: has a formula of its own"):
        compile_net(["X(t) = A(t-1)", "Y(t) = X(t-1)"])
    with pytest.raises(BrainalignError, match="two formulas: X, X"):
        compile_net(["X(t) = A(t-1)", "X(t) = B(t-1)"])


def test_expressions_that_say_nothing_are_refused():
    with pytest.raises(BrainalignError, match="from 0"):
        compile_net({"X": Past(A, -1)})
    with pytest.raises(BrainalignError, match="nothing is joined"):
        compile_net({"X": Or((A, And(())))})
    with pytest.raises(BrainalignError, match="invalid syntax"):
        parse("")


def test_two_ways_to_write_the_same():
    assert parse("A(t-1) & ~B(t-2)") == parse("A(t-1) and not B(t-2)") == And((Past(A), Not(Past(B, 2))))
    assert parse("A(t-1)\n  and not B(t-2)") == parse("A(t-1) and not B(t-2)")
    assert parse("S(A(t) | B(t), 2)") == Past(Or((A, B)), 2)
    assert parse("exists(x < t-1, A(x) and B(x-1))") == Past(Ever(And((A, Past(B)))), 2)
    assert compile_net("X(t) = A(t-1) & B(t-1) & C(t-1)").net.units == {"X": Unit(dict.fromkeys("ABC", 1), threshold=3)}


def test_a_truth_table():
    columns, rows, values = truth_table(parse("A(t-1) and not B(t-2)"))
    assert columns == [("A", 1), ("B", 2)]
    assert rows.tolist() == [[False, False], [True, False], [False, True], [True, True]]
    assert values.tolist() == [False, True, False, False]
    with pytest.raises(BrainalignError, match="21 constituents"):
        truth_table(Or(tuple(Past(A, k) for k in range(21))))
