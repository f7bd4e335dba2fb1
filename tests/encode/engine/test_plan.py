import json
import os
import subprocess
import sys

import numpy as np
import pytest

from brainalign.encode.engine.compute import PrecisionWarning, bfloat16_is_faster, choose_device
from brainalign.encode.engine.plan import choose_inner_solver, count_operations, fold_sizes, plan_ridge
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.splits import blocks
from brainalign.errors import UnknownName

MEASURE = """
import json, sys, warnings
import numpy as np
from brainalign.encode.ridge import RidgeCV
from brainalign.encode.splits import blocks

def memory(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))

n_samples, n_features, n_targets, n_alphas, scale, precision, mapped = json.loads(sys.argv[1])
rng, dtype = np.random.default_rng(0), "f8" if precision == "float64" else "f4"
X = rng.standard_normal((n_samples, n_features)).astype(dtype)
if mapped:
    Y = np.lib.format.open_memmap(mapped, "w+", dtype, (n_samples, n_targets))
else:
    Y = np.empty((n_samples, n_targets), dtype)
for rows in np.array_split(np.arange(n_samples), 20):
    Y[rows] = rng.standard_normal((len(rows), n_targets), dtype=np.float32)
if mapped:
    del Y
    Y = np.load(mapped, mmap_mode="r")
warnings.simplefilter("ignore")
model = RidgeCV(np.logspace(1, 6, n_alphas), scale=scale, precision=precision)
model.fit(X[:200, :50], np.array(Y[:200, :2500]))  # libraries take what they keep
before = memory("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # forget the peak
model.fit(X, Y)
print(json.dumps([memory("VmHWM") - before, model.inner_solver_, model.solver_, model.precision_]))
"""


def measured(n_samples, n_features, n_targets, n_alphas, scale, precision, *, mapped=None):
    """Give the growth of the peak of resident memory in a fit, in bytes, and the solvers it took.

    Every array of 1 MB and more is given back as it is freed: what the allocator would keep of it, in pieces that
    differ from run to run, is not the fit's.
    """
    given = json.dumps([n_samples, n_features, n_targets, n_alphas, scale, precision, mapped])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(2**20)}
    done = subprocess.run([sys.executable, "-c", MEASURE, given], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


needs_linux = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks of memory are read from /proc/self"
)


@needs_linux
@pytest.mark.parametrize(
    "shape",
    [
        (1000, 400, 60_000, 4, True, "float32"),
        (1000, 1500, 24_000, 4, False, "float32"),
        (1000, 1500, 40_000, 4, True, "mixed"),
        (20_000, 200, 500, 10, True, "float32"),
        (3000, 300, 20_000, 6, True, "float64"),
    ],
)
def test_memory_is_within_15_percent_of_the_plan(shape):
    n_samples, n_features, n_targets, n_alphas, scale, precision = shape
    if precision == "mixed" and not bfloat16_is_faster(choose_device("cpu")):
        pytest.skip("bfloat16 is not faster here")
    peak, inner_solver, solver, used = measured(*shape)
    plan = plan_ridge(n_samples, n_features, n_targets, n_alphas=n_alphas, scale=scale, precision=precision)
    assert used == precision
    assert (plan.inner_solver, plan.solver) == (inner_solver, solver)
    assert peak > 1e8
    assert 0.85 * peak <= plan.bytes <= 1.15 * peak, (plan.bytes / 1e6, peak / 1e6)


@needs_linux
def test_responses_on_disk_do_not_come_to_lie_in_memory(tmp_path):
    """200 MB, of which a block of targets at a time is held; pages that were read are let go of."""
    shape = (1000, 20, 50_000, 2, True, "float32")
    peak, *_ = measured(*shape, mapped=str(tmp_path / "Y.npy"))
    assert (tmp_path / "Y.npy").stat().st_size > 2e8
    assert peak < 8e7


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("shape", [(100, 20, 30), (100, 300, 3000), (100, 85, 30), (100, 100, 30), (100, 80, 30)])
def test_solvers_are_those_of_the_fit(shape, scale):
    rng = np.random.default_rng(0)
    model = RidgeCV(np.logspace(0, 5, 6), inner=blocks(shape[0], n=5), scale=scale).fit(
        rng.standard_normal(shape[:2]), rng.standard_normal((shape[0], shape[2]))
    )
    plan = plan_ridge(*shape, n_alphas=6, scale=scale, precision="float64")
    assert plan.inner_solver == model.inner_solver_
    assert plan.solver == model.solver_


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("n_features", [50, 700])
def test_plans_grow_with_every_size(precision, n_features):
    def plan(n_samples=300, n_features=n_features, n_targets=5000, **given):
        return plan_ridge(n_samples, n_features, n_targets, **({"precision": precision} | given))

    for more in (
        plan(n_samples=900),
        plan(n_features=2 * n_features),
        plan(n_targets=50_000),
        plan(n_alphas=60),
        plan(n_folds=15),
    ):
        assert sum(more.operations) > sum(plan().operations)
        assert more.seconds > plan().seconds
    assert plan(n_targets=500_000).bytes > 50 * 2048 * 50
    slopes = np.diff([plan(n_targets=t).bytes for t in (100_000, 200_000, 300_000)])
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-6)
    assert slopes[0] == pytest.approx(1e5 * min(300, n_features) * (4 if precision == "float32" else 8), rel=0.02)


@pytest.mark.parametrize("n_samples", [10, 11, 14, 2400])
def test_training_sets_hold_all_but_one_fold(n_samples):
    sizes = fold_sizes(n_samples, 5)
    assert sum(n_samples - size for size in sizes) == n_samples
    assert max(sizes) - min(sizes) <= 1


def test_operations_are_counted_by_hand():
    of = count_operations("primal", 100, 10, 1000, n_trains=[50, 50], n_alphas=3)
    assert of.scan == 2 * 2 * (50 + 3 * 50) * 10 * 1000
    assert of.fit == 2 * 100 * 10 * 1000
    of = count_operations("from sums", 100, 10, 1000, n_trains=[50, 50], n_alphas=3)
    assert (of.scan, of.fit) == (0, 2 * 1000 * (100 * 10 + 100 * 10 + 2 * (2 + 3) * 10 * 10))
    of = count_operations("left out of the whole", 100, 500, 1000, n_trains=[50, 50], n_alphas=3)
    assert of.scan == 2 * 3 * 100 * 100 * 1000
    assert of.fit == 2 * 100 * 100 * 1000


def test_samples_are_left_out_of_the_whole_only_if_features_are_not_scaled():
    given = {"n_trains": [800] * 5, "n_alphas": 10, "precision": "float32"}
    assert choose_inner_solver(1000, 5000, 10_000, scale=True, **given) == "dual"
    assert choose_inner_solver(1000, 5000, 10_000, scale=False, **given) == "left out of the whole"


@pytest.mark.parametrize("scale", [True, False])
def test_sums_are_taken_where_samples_are_many(scale):
    given = {"n_trains": [800] * 5, "n_alphas": 10, "precision": "float32", "scale": scale}
    assert choose_inner_solver(1000, 100, 10_000, **given) == "from sums"
    assert choose_inner_solver(1000, 800, 10_000, **given) != "from sums"
    assert choose_inner_solver(1000, 5000, 10_000, **given) != "from sums"


def test_names_are_checked_and_mixed_falls_back(monkeypatch):
    with pytest.raises(UnknownName, match="float32"):
        plan_ridge(100, 10, 10, precision="float3")
    with pytest.raises(UnknownName, match="cuda"):
        plan_ridge(100, 10, 10, device="cud")
    monkeypatch.setattr("brainalign.encode.engine.compute.bfloat16_is_faster", lambda device: False)
    with pytest.warns(PrecisionWarning):
        fallen_back = plan_ridge(100, 10, 10, precision="mixed")
    assert fallen_back.operations == plan_ridge(100, 10, 10).operations
