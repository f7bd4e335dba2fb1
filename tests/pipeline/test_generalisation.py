"""Temporal generalisation as a step: on the diagonal it is the scores over time."""

import numpy as np
import pytest

from brainalign import report
from brainalign.config import parse_experiment
from brainalign.errors import BadConfig
from brainalign.pipeline.plan import describe_plan
from brainalign.pipeline.problems import find_problems
from brainalign.results import cell_states, read_table, run_experiment

LENGTH = {"extractor": "words", "quantities": ["length"]}


def experiment(features=LENGTH, name="length", **align):
    by_run = {"kind": "groups", "by": "run"}
    return parse_experiment(
        {
            "name": "x",
            "data": {"set": "simulated"},
            "features": {"length": features},
            "align": align or {"to": "epochs", "epochs": {"tmin": -0.04, "tmax": 0.2}},
            "encode": {"alphas": {"low": 1e-2, "high": 1e4, "n": 3}, "outer": by_run, "inner": by_run},
            "report": {"generalisation": {"features": name}},
        }
    )


def test_the_diagonal_is_the_scores_and_the_peak_is_planted(meg, tmp_path):
    assert find_problems(experiment(), None) == []
    assert run_experiment(experiment(), tmp_path).complete
    table = read_table(tmp_path, "generalisation")
    assert table.columns.tolist() == [
        "subject", "feature_space", "channel_type", "n_channels", "trained", "tested", "score",
    ]  # fmt: skip
    assert len(table) == 13**2
    assert (table["n_channels"] == 2).all()
    scores = read_table(tmp_path, "scores").query("metric == 'pearson'")
    diagonal = table[table["trained"] == table["tested"]].set_index("tested")["score"]
    np.testing.assert_allclose(diagonal, scores.groupby("lag")["score"].mean(), atol=1e-12)
    assert table.loc[table["score"].idxmax(), "tested"] == pytest.approx(0.1)  # of one feature any lag tells the sign
    page = report.write(tmp_path).read_text()
    for expected in ("Temporal generalisation: length", "King &amp; Dehaene (2014)"):
        assert expected in page, expected
    assert set(cell_states(tmp_path)["state"]) == {"finished"}


def test_the_plan_knows_the_step_and_its_key_what_decides_it(meg):
    plan = describe_plan(experiment(), None, is_stored=lambda cell: False).set_index("cell")
    assert "2 channels x 13 x 13 lags" in plan.loc["generalisation-length", "size"]


def test_what_cannot_be_generalised_is_a_problem(meg):
    assert find_problems(experiment(delays=[1, 2]), None) == [
        "report.generalisation: it is over the times of epochs, but align.to = 'samples'"
    ]
    several = {"extractor": "text", "model": "shipped", "layers": [0, 1]}
    (problem,) = find_problems(experiment(several), None)
    assert problem.startswith("report.generalisation.features: feature space 'length' has several layers or weights")
    with pytest.raises(BadConfig, match=r"report\.generalisation\.features: no feature space 'lenght' \(did you mean"):
        experiment(name="lenght")
