"""The packaged example of decoding over time, on a short recording."""

from brainalign.config import read_experiment
from brainalign.results import read_table, run_experiment


def test_word_length_is_told_when_it_was_planted_and_not_before(repository, tmp_path):
    short = ("data.n_runs=2", "data.run_duration=40.0", "data.noise_ceiling=0.9", "data.sfreq=25.0")
    settings = (*short, "decode.n_permutations=39", "decode.generalise=false")
    experiment = read_experiment(repository / "analyses" / "simulated_meg_decoding.toml", settings)
    assert run_experiment(experiment, tmp_path).complete
    table = read_table(tmp_path, "scores_over_time").set_index("time")
    assert table.loc[0.2:0.3, "p_corrected"].min() == 1 / 40
    assert table.loc[:0.05, "p_corrected"].min() > 0.05
    assert 0.2 <= table["score"].idxmax() <= 0.45
