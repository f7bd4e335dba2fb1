import numpy as np
import pandas as pd
import pytest

from brainalign.arrays import Responses
from brainalign.data import brennan2016
from brainalign.encode.ceiling import split_half
from brainalign.errors import Misaligned
from brainalign.pipeline.inter_subject import inter_subject_correlations
from brainalign.pipeline.subjects import standardised_subjects, with_group_mean

README_SPLIT_HALF = {"LATL": 0.63, "RATL": 0.52, "LPTL": 0.76, "LIPL": 0.58, "LPreM": 0.54, "LIFG": 0.42}


def responses(n_subjects=5, n_samples=3000, noise=(1.0, 1.0, 2.0, 2.0), seed=0, **columns):
    rng = np.random.default_rng(seed)
    noise = np.asarray(noise)
    signal = rng.standard_normal((n_samples, len(noise)))
    values = [signal + noise * rng.standard_normal(signal.shape) for _ in range(n_subjects)]
    names, targets = [f"s{i}" for i in range(n_subjects)], [f"t{i}" for i in range(len(noise))]
    table = pd.DataFrame({"subject": np.repeat(names, len(noise)), "target": targets * n_subjects})
    table = table.assign(**{name: list(given) * n_subjects for name, given in columns.items()})
    rows = pd.DataFrame({"run": "1", "time": np.arange(n_samples) * 2.0, "duration": 2.0})
    return Responses(np.hstack(values), rows, table)


def theory(noise, n_subjects):
    return 1 / np.sqrt((1 + noise**2) * (1 + noise**2 / (n_subjects - 1)))


def test_it_is_each_persons_correlation_with_the_mean_of_the_others():
    one = responses()
    of_targets, of_regions = inter_subject_correlations(with_group_mean(one))
    z = (one.values - one.values.mean(axis=0)) / one.values.std(axis=0)
    z = z.reshape(3000, 5, 4)
    expected = np.array(
        [
            [np.corrcoef(z[:, i, j], np.delete(z, i, axis=1)[:, :, j].mean(axis=1))[0, 1] for j in range(4)]
            for i in range(5)
        ]
    )
    np.testing.assert_allclose(of_targets["isc"], expected.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(of_targets["isc_sd"], expected.std(axis=0, ddof=1), rtol=1e-9)
    assert of_targets["n_subjects"].tolist() == [5] * 4
    by_subject = of_regions.pivot(index="subject", columns="region", values="isc")
    np.testing.assert_allclose(by_subject.to_numpy(), expected, rtol=1e-9)
    assert list(by_subject.index) == [f"s{i}" for i in range(5)]


@pytest.mark.parametrize("n_subjects", [2, 3, 10])
def test_it_is_that_of_the_planted_signal(n_subjects):
    of_targets, _ = inter_subject_correlations(responses(n_subjects))
    np.testing.assert_allclose(of_targets["isc"], theory(np.array([1, 1, 2, 2]), n_subjects), atol=0.05)
    assert of_targets["isc_sd"].isna().all() == (n_subjects == 2)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"roi": ["STG", "STG", "IFG", "IFG"]}, {"STG": 2, "IFG": 2}),
        ({"channel_type": ["mag", "grad", "grad", "grad"]}, {"mag": 1, "grad": 3}),
        ({"hemisphere": ["left", "left", "right", "right"]}, {"left": 2, "right": 2}),
        ({}, {"t0": 1, "t1": 1, "t2": 1, "t3": 1}),
    ],
)
def test_regions_are_those_that_the_columns_name(columns, expected):
    _, of_regions = inter_subject_correlations(with_group_mean(responses(**columns)))
    first = of_regions[of_regions["subject"] == "s0"].set_index("region")
    assert first["n_targets"].to_dict() == expected
    of_targets, _ = inter_subject_correlations(responses(**columns))
    mean = of_targets.groupby("region", sort=False)["isc"].mean()
    np.testing.assert_allclose(of_regions.groupby("region", sort=False)["isc"].mean(), mean, rtol=1e-12)


def test_hundreds_of_targets_without_regions_are_one():
    of_targets, of_regions = inter_subject_correlations(responses(3, 50, noise=np.ones(41)))
    assert (set(of_regions["region"]), len(of_regions), len(of_targets)) == ({"all"}, 3, 41)
    assert inter_subject_correlations(responses(3, 50, noise=np.ones(40)))[1]["region"].nunique() == 40


def test_of_epochs_every_time_has_its_own():
    one = responses(4, noise=(0.5, 3.0, 0.5, 3.0))
    columns = one.columns.assign(target=["a", "a", "b", "b"] * 4, lag=[0.1, 0.2] * 8, channel_type="eeg")
    of_targets, of_regions = inter_subject_correlations(Responses(one.values, one.rows, columns))
    assert of_targets[["target", "lag"]].to_numpy().tolist() == [["a", 0.1], ["a", 0.2], ["b", 0.1], ["b", 0.2]]
    means = of_regions.groupby("lag")["isc"].mean()
    assert means.to_numpy() == pytest.approx(theory(np.array([0.5, 3.0]), 4), abs=0.04)
    assert set(of_regions["n_targets"]) == {2}


def test_people_are_matched_by_name_whatever_the_order_of_columns():
    one = responses()
    order = np.random.default_rng(3).permutation(20)
    mixed = inter_subject_correlations(one.take_columns(order))[0].set_index("target")["isc"]
    straight = inter_subject_correlations(one)[0].set_index("target")["isc"]
    np.testing.assert_allclose(mixed.loc[straight.index], straight, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-13, 1e-6, 1e6])
def test_fault_43_the_unit_of_a_person_decides_nothing(unit):
    one = responses()
    other = Responses(one.values * np.repeat([unit, 1, 1, 1, 1], 4), one.rows, one.columns)
    np.testing.assert_allclose(*(inter_subject_correlations(r)[0]["isc"] for r in (one, other)), rtol=1e-8)


def test_fault_46_a_silent_person_is_named():
    one = responses()
    values = one.values.copy()
    values[:, 4:8] = 0
    with pytest.raises(Misaligned, match="subject s1, target t0 is constant"):
        inter_subject_correlations(Responses(values, one.rows, one.columns))


def test_one_person_shares_with_nobody():
    assert inter_subject_correlations(responses(1)) is None


def test_brennan2016_has_the_split_half_figures_of_its_readme(data_dir):
    recording = brennan2016.load(brennan2016.Config(), data_dir)
    _, targets, z = standardised_subjects(recording.responses)
    halves = dict(zip(targets["target"], split_half(z, seed=0).raw, strict=True))
    assert halves == pytest.approx(README_SPLIT_HALF, abs=0.015)  # another draw of 100 halves differs by .005
    of_targets, of_regions = inter_subject_correlations(with_group_mean(recording.responses))
    isc = of_targets.set_index("region")["isc"]
    assert (of_targets["n_subjects"] == 27).all()
    assert len(of_regions) == 27 * 6
    # r of halves of 13 -> reliability of one person, rho -> corr of one with the mean of 26 others
    rho = {name: r / (r + 13 * (1 - r)) for name, r in halves.items()}
    expected = {name: np.sqrt(r * 26 * r / (1 + 25 * r)) for name, r in rho.items()}
    assert isc.to_dict() == pytest.approx(expected, abs=0.02)
