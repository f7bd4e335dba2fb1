"""What the simulation prints, on inputs of 4 steps."""

import numpy as np
import pytest

from brainalign.simulations import published_beside_obtained


@pytest.fixture(scope="module")
def analysis(load_analysis):
    return load_analysis("mcculloch_pitts1943")


@pytest.fixture(scope="module")
def tables(analysis):
    return analysis.run(analysis.Config(n_steps=4, n_expressions=15))


def test_what_is_printed_is_obtained(analysis, tables):
    beside = published_beside_obtained(analysis.PUBLISHED, tables["obtained"])
    printed = beside[beside["published"] != ""]
    assert len(printed) == 13
    assert printed["published"].tolist() == printed["obtained"].tolist()
    said = beside.set_index("quantity")["obtained"]
    assert said["cold held for 5 steps: spikes of the unit for cold"] == 4
    assert said["cold held for 5 steps: steps from its end to heat"] == 3
    assert said["formulas of figure 1 that the compiler builds"] == 9
    assert said["random expressions: refused where true at rest, built elsewhere (share)"] == 1
    assert said["random expressions built: steps that are wrong"] == 0


def test_a_net_that_is_wrong_is_counted(analysis, monkeypatch):
    nets = analysis.figure_1()
    monkeypatch.setattr(analysis, "figure_1", lambda: nets | {"c": nets["b"]._replace(formulas=nets["c"].formulas)})
    row = analysis.compared(analysis.Config(n_steps=4)).set_index("net").loc["c"]
    assert row["steps_wrong"] == 2**8 * 3 / 2  # one input alone, in half of the cases, at all steps but the first
    assert row["share_right"] == pytest.approx(1 - 3 / 8)


def test_random_nets_are_run_for_longer_than_their_longest_path(analysis, monkeypatch):
    """Up to three inputs and five synapses in a row: 2 ** 18 inputs of six steps."""
    longest = []

    def noted(compiled, n_steps=None):
        longest.append(compiled.net.longest_path() * len(compiled.net.inputs))
        assert n_steps is None or n_steps > compiled.net.longest_path()
        return dict.fromkeys(compiled.formulas, 0)

    monkeypatch.setattr(analysis, "disagreements", noted)
    analysis.random_expressions(analysis.Config(n_expressions=200))
    assert max(longest) == 15


def test_the_rows_of_the_tables(tables):
    gates = tables["gates"].pivot(index="gate", columns="inputs", values="fires")
    assert gates.loc["xor"].dropna().tolist() == [0, 1, 1, 0]
    assert gates.loc["not", "N1=0 clock=1"] == 1
    built = tables["compiler"].set_index("formula")["built"]
    assert built.sum() == 5
    assert tables["compiler"].loc[built.tolist(), "wrong"].eq(0).all()
    rings = tables["rings"]
    assert (rings["period"] * rings["n_impulses"] == rings["n_units"]).all()
    latch = tables["circles"].query("stimulus == 'latch' and unit == 'held'")["active"].to_numpy()
    assert np.flatnonzero(latch).tolist() == [*range(3, 12), *range(17, 24)]


def test_it_is_drawn_from_its_tables(analysis, tables):
    drawings = analysis.draw(tables, analysis.Config())
    assert len(drawings) == 3
    for drawing in drawings:
        drawing.figure.canvas.draw()
