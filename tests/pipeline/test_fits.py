"""How encoding models are made: what draws, which precision responses keep, what asks for torch."""

import subprocess
import sys

import numpy as np

from brainalign.config import parse_experiment
from brainalign.encode import ESTIMATORS
from brainalign.encode.score import cross_validate
from brainalign.jobs.store import Store
from brainalign.pipeline import encoding
from brainalign.pipeline.fits import SEEDED, encoding_model, responses_to_fit
from brainalign.pipeline.scores import read_fold_scores
from brainalign.results import run_experiment


def experiment(**encode):
    by_run = {"kind": "groups", "by": "run"}
    encode = {"alphas": {"low": 1.0, "high": 1e4, "n": 3}, "outer": by_run, "inner": by_run, **encode}
    words = {"words": {"extractor": "words", "quantities": ["rate", "length"]}}
    position = {"position": {"extractor": "words", "quantities": ["position_in_run"]}}
    table = {"name": "x", "data": {"set": "simulated", "n_subjects": 2}, "features": words | position}
    return parse_experiment(table | {"align": {"delays": [1, 2]}, "encode": encode})


def test_the_models_that_draw_are_named():
    assert tuple(name for name, model in ESTIMATORS.items() if "seed" in model().get_params()) == SEEDED


def test_the_state_of_a_run_is_told_without_torch(tmp_path):
    run_experiment(experiment(), tmp_path / "out")
    code = (
        "import sys; from pathlib import Path; from brainalign.results import cell_states; "
        f"states = cell_states(Path({str(tmp_path / 'out')!r})); "
        "assert 'finished' in set(states['state']); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_responses_keep_their_precision_where_the_model_computes_in_less():
    values = np.ones((3, 2), np.float32)
    assert responses_to_fit(experiment(), values).dtype == np.float64
    assert responses_to_fit(experiment(precision="float32"), values) is values
    assert responses_to_fit(experiment(precision="float32"), values.astype(np.float64)).dtype == np.float64
    assert responses_to_fit(experiment(precision="float32"), values.astype(np.float16)).dtype == np.float32


def test_scores_of_float32_responses_agree_with_those_of_float64(tmp_path):
    prepared, store = encoding.prepare(experiment(precision="float32"), None), Store(tmp_path)
    compute = encoding.Computer(prepared, store)
    cell, candidate = list(prepared.candidates.items())[-1]
    assert prepared.recording.responses.values.dtype == prepared.Y.dtype == np.float32
    for needed in (*prepared.features.cells.values(), cell):
        with store.writing(needed) as folder:
            compute(needed, folder)
    found = read_fold_scores(store.path(cell))
    X, columns = compute.matrix(candidate)
    exact = cross_validate(
        encoding_model(experiment(), columns), X, prepared.Y.astype(np.float64),
        folds=prepared.folds, groups=prepared.inner_groups, run=prepared.series,
    )  # fmt: skip
    for metric in ("pearson", "r2"):
        np.testing.assert_allclose(found.scores[metric], exact.scores[metric], atol=2e-5)
