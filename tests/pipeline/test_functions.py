"""Response functions: cells of their own, for what is shown, at whose edges nothing is printed."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from pydantic import BaseModel

from brainalign.align.epochs import sampling_rate
from brainalign.align.filters import high_pass
from brainalign.config import parse_experiment
from brainalign.encode.ridge import EdgeWarning, RidgeCV
from brainalign.encode.splits import Groups
from brainalign.encode.trf import response_functions
from brainalign.jobs.store import Store
from brainalign.pipeline import encoding, functions
from brainalign.pipeline.plan import describe_plan

WORDS = {name: {"extractor": "words", "quantities": [name]} for name in ("rate", "length", "position_in_run")}
BY_RUN = {"kind": "groups", "by": "run"}


def experiment(alphas=None, together=(), **align):
    return parse_experiment(
        {
            "name": "x",
            "data": {"set": "simulated"},
            "features": WORDS,
            "align": align or {"lags": {"tmin": 0.0, "tmax": 0.2}},
            "encode": {
                "alphas": alphas or {"low": 1e-2, "high": 1e4, "n": 3},
                "outer": BY_RUN,
                "inner": BY_RUN,
                "together": list(together),
            },
        }
    )


def functions_of(prepared):
    return [cell.name for cell in prepared.cells if cell.name.startswith("functions")]


def test_response_functions_are_fitted_for_what_is_shown_only(meg):
    alone = encoding.prepare(experiment(), None)
    assert functions_of(alone) == ["functions-rate", "functions-length", "functions-position_in_run"]
    joint = encoding.prepare(experiment(together=list(WORDS)), None)
    assert functions_of(joint) == ["functions-rate+length+position_in_run"]
    assert len(joint.candidates) == 3 + 4  # partial unions are scored
    assert functions_of(encoding.prepare(experiment(delays=[1, 2]), None)) == []
    scores = {cell.folder for cell in alone.candidates}
    other_folds = experiment()
    encode = other_folds.encode.model_copy(update={"outer": other_folds.encode.outer.model_copy(update={"n": 2})})
    other = encoding.prepare(other_folds.model_copy(update={"encode": encode}), None)
    assert not scores & {cell.folder for cell in other.candidates}
    assert {c.folder for c in alone.cells if "functions" in c.name} <= {c.folder for c in other.cells}


def test_weights_are_those_of_a_fit_by_hand_and_scores_hold_none(meg, tmp_path):
    prepared, store = encoding.prepare(experiment(together=["rate", "length"]), None), Store(tmp_path)
    compute = encoding.Computer(prepared, store)
    for cell in prepared.cells:
        with store.writing(cell) as folder:
            compute(cell, folder)
    assert not list(tmp_path.glob("score-*/functions"))
    tables = encoding.tabulate(prepared, store.path)
    candidate = next(c for c in prepared.candidates.values() if c.spaces == ("rate", "length"))
    X, columns = compute.matrix(candidate)
    run = prepared.recording.responses.rows["run"].to_numpy(str)
    model = RidgeCV(np.geomspace(1e-2, 1e4, 3), inner=Groups(), precision="float64")
    model.fit(X, prepared.Y, run=run, position=np.flatnonzero(prepared.usable))
    expected = response_functions(model, prepared.delays, sfreq=50.0, columns=columns).weights
    found = tables["response_functions"].query("target == 'A' and feature_space == 'length'")
    np.testing.assert_allclose(found["weight"], expected[0, 1], rtol=1e-6)
    assert found["lag"].to_numpy()[np.argmax(found["weight"])] == pytest.approx(0.1, abs=0.021)
    edges = tables["function_edges"]
    assert edges["feature_space"].tolist() == ["rate+length"]
    assert edges[["at_lowest_alpha", "at_highest_alpha"]].to_numpy()[0] == pytest.approx(model.alpha_at_edge_)


def test_penalties_at_the_edge_are_logged_and_tabled_not_printed(meg, tmp_path, caplog):
    prepared, store = encoding.prepare(experiment(alphas={"low": 1e9, "high": 1e10, "n": 2}), None), Store(tmp_path)
    compute = encoding.Computer(prepared, store)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for cell in prepared.cells:
            with store.writing(cell) as folder:
                compute(cell, folder)
    assert not [warning for warning in caught if warning.category is EdgeWarning]
    edges = encoding.tabulate(prepared, store.path)["function_edges"]
    assert (edges["at_lowest_alpha"] + edges["at_highest_alpha"] == 1).all()
    assert "response functions of position_in_run: 100 % of targets take the lowest alpha" in caplog.text


def test_the_plan_knows_the_functions(meg):
    plan = describe_plan(experiment(together=["rate", "length"]), None, is_stored=lambda cell: False, timed=True)
    row = plan.set_index("cell").loc["functions-rate+length"]
    assert "x 22 features, 2 targets" in row["size"]
    of_joint = plan.set_index("cell").loc["score-rate+length"]
    assert row["seconds"] <= of_joint["seconds"]


def test_the_model_is_told_where_the_usable_samples_were(meg, tmp_path, monkeypatch):
    """Blocks keep their gap where bad samples were cut out."""

    class Model:
        def fit(self, X, Y, **told):
            raise KeyboardInterrupt(told)

    prepared, store = encoding.prepare(experiment(), None), Store(tmp_path)
    compute = encoding.Computer(prepared, store)
    for cell in prepared.features.cells.values():
        with store.writing(cell) as folder:
            compute(cell, folder)
    monkeypatch.setattr(functions, "encoding_model", lambda *_: Model())
    with pytest.raises(KeyboardInterrupt) as raised:
        compute(next(cell for cell in prepared.cells if cell.name == "functions-rate"), tmp_path)
    (told,) = raised.value.args
    assert told["position"].tolist() == np.flatnonzero(~meg.responses.rows["bad"].to_numpy()).tolist()
    assert told["run"].tolist() == prepared.recording.responses.rows["run"].tolist()


class Filtered(BaseModel):
    """Settings of a data set that was high-passed."""

    l_freq: float = 0.5


def test_features_pass_the_high_pass_of_the_recording(meg, tmp_path):
    plain = encoding.prepare(experiment(), None)
    data = plain.experiment.data.model_copy(update={"config": Filtered()})
    filtered = replace(plain, experiment=plain.experiment.model_copy(update={"data": data}))
    store = Store(tmp_path)
    cell, layer = plain.features.only("length")
    with store.writing(cell) as folder:
        encoding.Computer(plain, store)(cell, folder)
    X, found = (encoding.Computer(prepared, store).binned(cell, layer) for prepared in (plain, filtered))
    run, sfreq = plain.clock["run"].to_numpy(str), sampling_rate(plain.clock)
    np.testing.assert_array_equal(found, high_pass(X, run=run, sfreq=sfreq, l_freq=0.5))
    assert np.abs(found - X).max() > 0.1
    assert not {c.folder for c in plain.candidates} & {c.folder for c in filtered.candidates}
    by_volumes = filtered.experiment.model_copy(update={"align": experiment(delays=[1, 2]).align})
    assert replace(filtered, experiment=by_volumes).high_passed is None
