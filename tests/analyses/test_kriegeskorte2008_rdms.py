"""The published relation of man and monkey, and the order of models, from the experiment file as it ships."""

import pytest

from brainalign.config import read_experiment
from brainalign.pipeline.packaged import packaged_analysis
from brainalign.results import read_table, run_experiment


@pytest.fixture(scope="module")
def similarities(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rdms") / "out"
    experiment = read_experiment(packaged_analysis("kriegeskorte2008_rdms"), ("compare.n_permutations=0",))
    assert run_experiment(experiment, folder, data_dir=data_dir).complete
    return read_table(folder, "similarities")


def test_man_and_monkey_are_as_alike_as_published(similarities):
    """Kriegeskorte et al. (2008), figure 2: r = .49."""
    between = similarities.query(
        "family == 'brain' and feature_space == 'monkey_it' and subject == 'mean' and comparison == 'pearson'"
    )
    assert between["similarity"].item() == pytest.approx(0.4912, abs=5e-5)


def test_low_level_controls_and_an_untrained_network_stay_far_below_the_ceiling(similarities):
    people = similarities.query("target == 'human_it' and subject != 'mean' and comparison == 'kendall_tau_a'")
    mean = people.groupby(["feature_space", "layer"])["similarity"].mean()
    lower = people["ceiling_lower"].iloc[0]
    assert mean["controls", "pixels"] < mean["controls", "gabor"] < lower / 2
    assert (mean["alexnet"] < lower / 2).all()
    assert len(mean["alexnet"]) == 5
    assert mean["monkey_it"].item() > 3 * mean["alexnet"].max()
    assert mean.drop("monkey_it").idxmax()[0] == "animacy"
