"""What one person was looking at, told from the real recording by the experiment file as it ships."""

import pytest

from brainalign.config import read_experiment
from brainalign.pipeline.packaged import packaged_analysis
from brainalign.results import read_table, run_experiment


@pytest.fixture(scope="module")
def folder(data_dir, tmp_path_factory):
    if not (data_dir / "haxby2001").is_dir():
        pytest.skip(f"no {data_dir / 'haxby2001'}")
    folder = tmp_path_factory.mktemp("haxby") / "out"
    experiment = read_experiment(packaged_analysis("haxby2001_decoding"), ("decode.n_permutations=39",))
    assert run_experiment(experiment, folder, data_dir=data_dir).complete
    return folder


def test_eight_categories_are_told_on_runs_left_out(folder):
    accuracies = read_table(folder, "accuracies").set_index("roi")
    assert accuracies["n_targets"].to_dict() == {"vt": 1, "slice": 530}
    assert (accuracies["chance"] == 0.125).all()
    assert (accuracies["n_samples"] == 96).all()
    assert accuracies.loc["slice", "accuracy"] == pytest.approx(0.719, abs=0.03)
    assert accuracies.loc["slice", "p_corrected"] == 0.025  # 1 / (39 + 1)
    assert 0.18 < accuracies.loc["vt", "accuracy"] < 0.32  # one voxel
    assert accuracies["null_mean"].between(0.1, 0.15).all()


def test_every_run_left_out_tests_one_block_of_each_category(folder):
    folds, confusions = read_table(folder, "fold_accuracies"), read_table(folder, "confusions")
    assert folds.groupby("roi").size().tolist() == [12, 12]
    assert (folds["accuracy"] * 8 % 1 == 0).all()
    assert (confusions.groupby(["roi", "shown"])["n"].sum() == 12).all()
