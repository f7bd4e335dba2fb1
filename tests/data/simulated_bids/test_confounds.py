import numpy as np
import pandas as pd
import pytest

from brainalign.data._simulated_bids import bold
from brainalign.data._simulated_bids.confounds import confounds_of


@pytest.fixture(scope="module")
def disturbance():
    rng = np.random.default_rng(0)
    return bold.Disturbance(
        pd.DataFrame(0.02 * rng.standard_normal((100, 6)).cumsum(axis=0), columns=bold.MOVEMENTS),
        pd.DataFrame(rng.standard_normal((100, 2)), columns=bold.PHYSIOLOGY),
    )


@pytest.fixture(scope="module")
def percent():
    return np.random.default_rng(1).standard_normal((100, 30))


@pytest.fixture(scope="module")
def table(disturbance, percent):
    return confounds_of(disturbance, percent, tr=1.5)[0]


def test_only_changes_are_missing_and_only_in_the_first_row(table):
    missing = table.isna()
    changes = [name for name in table if "derivative1" in name or "dvars" in name or name == "framewise_displacement"]
    assert sorted(table.columns[missing.iloc[0]]) == sorted(changes)
    assert not missing.iloc[1:].any(axis=None)
    assert len(changes) == 2 * 9 + 3


def test_framewise_displacement_is_that_of_power(table, disturbance):
    moved = disturbance.movements.diff().abs()
    expected = moved.filter(like="trans").sum(axis=1) + 50 * moved.filter(like="rot").sum(axis=1)
    assert table["framewise_displacement"][1:].to_numpy() == pytest.approx(expected[1:].to_numpy())


def test_dvars_is_the_root_mean_square_of_the_change(table, percent):
    assert table["dvars"][7] == pytest.approx(np.sqrt(np.mean((percent[7] - percent[6]) ** 2)))
    assert table["std_dvars"][1:].mean() == pytest.approx(1)
    assert table["global_signal"].to_numpy() == pytest.approx(percent.mean(axis=1))


def test_expansions_are_squares_and_changes(table):
    assert table["trans_x_derivative1"][1:].to_numpy() == pytest.approx(np.diff(table["trans_x"]))
    assert table["csf_power2"].to_numpy() == pytest.approx(table["csf"].to_numpy() ** 2)
    assert table["rot_z_derivative1_power2"][1:].to_numpy() == pytest.approx(np.diff(table["rot_z"]) ** 2)


def test_components_are_orthonormal_and_span_most_of_the_disturbance(table, disturbance, percent):
    components = table.filter(like="a_comp_cor").to_numpy()
    assert components.T @ components == pytest.approx(np.eye(5), abs=1e-9)
    series = disturbance.series
    explained = np.linalg.norm(components.T @ series) ** 2 / np.linalg.norm(series) ** 2
    _, described = confounds_of(disturbance, percent, tr=1.5)
    assert described["a_comp_cor_04"]["CumulativeVarianceExplained"] == pytest.approx(explained, abs=1e-5)
    assert described["a_comp_cor_00"]["VarianceExplained"] > described["a_comp_cor_04"]["VarianceExplained"]


def test_cosines_are_those_of_nilearn(table):
    from nilearn.glm.first_level import make_first_level_design_matrix

    times = 1.5 * np.arange(100)
    design = make_first_level_design_matrix(times, drift_model="cosine", high_pass=1 / 128)
    expected = design.filter(like="drift").to_numpy()
    cosines = table.filter(like="cosine").to_numpy()
    assert cosines.shape == expected.shape == (100, 2)
    assert np.abs((cosines * expected).sum(axis=0)) == pytest.approx(np.linalg.norm(expected, axis=0))
