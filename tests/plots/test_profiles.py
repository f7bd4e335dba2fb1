import numpy as np
import pandas as pd
import pytest

from brainalign.plots import association, profiles, samples


def table(targets=("A", "B"), **more):
    rows = [("words", "", "", 0.2), ("gpt2", "trained", "nested", 0.5), ("words+gpt2", "untrained", "nested", 0.1)]
    rows += [("gpt2", "trained", str(layer), 0.1 * layer) for layer in range(4)]
    rows += [("words+gpt2", "untrained", str(layer), 0.05 * layer) for layer in range(4)]
    frames = [
        pd.DataFrame(rows, columns=["feature_space", "weights", "layer", "score"]).assign(target=t) for t in targets
    ]
    return pd.concat(frames, ignore_index=True).assign(**more)


def lines_of(ax):
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in ax.get_lines()}


def test_a_profile_draws_what_the_table_says():
    figure = profiles.layer_profile(table(noise_ceiling=0.8))
    assert [ax.get_title() for ax in figure.axes] == ["A", "B"]
    drawn = lines_of(figure.axes[0])
    assert drawn["gpt2, trained"] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert drawn["words"] == pytest.approx([0.2, 0.2])
    assert [0.8, 0.8] in [line.tolist() for line in drawn.values()]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["words", "gpt2, trained", "words+gpt2, untrained"]


def test_layers_are_in_order_of_number_not_of_letters():
    rows = [("gpt2", "trained", str(layer), float(layer)) for layer in range(12)]
    figure = profiles.layer_profile(
        pd.DataFrame(rows, columns=["feature_space", "weights", "layer", "score"]).assign(target="A")
    )
    line = next(line for line in figure.axes[0].get_lines() if line.get_label() == "gpt2, trained")
    assert list(line.get_xdata()) == list(range(12))


def test_layers_with_names_stand_in_the_order_of_the_table(tmp_path):
    names = ["conv1", "conv2", "0", "1", "10"]
    rows = [("speech", "trained", name, float(i)) for i, name in enumerate(names)]
    frame = pd.DataFrame(rows, columns=["feature_space", "weights", "layer", "score"]).assign(target="A")
    figure = profiles.layer_profile(frame)
    figure.savefig(tmp_path / "x.png")
    line = next(line for line in figure.axes[0].get_lines() if line.get_label() == "speech, trained")
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == names
    chosen = pd.DataFrame({"target": "A", "layer": ["conv2", "10"], "n_folds": [3, 2]})
    assert [t.get_text() for t in profiles.layer_choices(chosen).axes[0].get_xticklabels()] == ["conv2", "10"]


def test_spaces_without_layers_are_bars():
    rows = [("words", "", "", 0.2), ("phones", "", "", 0.1), ("surprisal", "trained", "", 0.3)]
    frame = pd.DataFrame(rows, columns=["feature_space", "weights", "layer", "score"]).assign(target="A")
    (ax,) = profiles.layer_profile(frame.assign(noise_ceiling=0.8)).axes
    assert [bar.get_height() for bar in ax.patches[:3]] == [0.2, 0.1, 0.3]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["words", "phones", "surprisal, trained"]


@pytest.mark.parametrize("n_targets", [1, 2, 7, 40])
def test_any_number_of_targets_renders(n_targets, tmp_path):
    figure = profiles.layer_profile(table([f"t{i}" for i in range(n_targets)], noise_ceiling=np.nan))
    figure.savefig(tmp_path / "x.png")
    assert len(figure.axes) == min(n_targets, 12)


def test_five_hundred_layers_render(tmp_path):
    rows = [("gpt2", "trained", str(layer), 0.1) for layer in range(500)]
    frame = pd.DataFrame(rows, columns=["feature_space", "weights", "layer", "score"]).assign(target="A")
    profiles.layer_profile(frame).savefig(tmp_path / "x.png")


def test_nothing_finite_is_a_plain_note():
    figure = profiles.layer_profile(table(score=np.nan))
    assert "no finite scores" in figure.texts[0].get_text()
    assert (
        "one layer only"
        in profiles.layer_choices(pd.DataFrame(columns=["target", "layer", "n_folds"])).texts[0].get_text()
    )
    assert (
        "no samples" in samples.events_per_sample(pd.DataFrame(columns=["run", "time", "n_events"])).texts[0].get_text()
    )


def test_choices_are_shares_of_each_target():
    choices = pd.DataFrame({"target": ["A", "A", "B"], "layer": ["10", "2", "2"], "n_folds": [1, 3, 5]})
    figure = profiles.layer_choices(choices)
    image = figure.axes[0].get_images()[0]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["2", "10"]
    assert np.allclose(image.get_array(), [[0.75, 0.25], [1, 0]])


def test_events_per_sample_has_a_panel_per_run():
    table = pd.DataFrame({"run": ["1", "1", "2"], "time": [0.0, 2.0, 0.0], "n_events": [3, 4, 5]})
    figure = samples.events_per_sample(table)
    assert [ax.get_ylabel() for ax in figure.axes] == ["run 1", "run 2"]
    assert figure.axes[0].get_lines()[0].get_ydata().tolist() == [3, 4]


def test_scatter_draws_every_subject_and_the_given_line():
    table = pd.DataFrame({"target": "A", "x": [0, 1, 2], "y": [1, 2, 4], "title": "R", "slope": 2.0, "intercept": 0.5})
    line, dots = association.scatter(table, xlabel="x", ylabel="y").axes[0].get_lines()
    assert list(line.get_ydata()) == [0.5, 4.5]
    assert list(dots.get_ydata()) == [1, 2, 4]


def test_the_lag_scan_marks_the_peak_of_the_mean():
    seconds = np.arange(-2, 3) * 2.0
    rows = [
        pd.DataFrame({"target": name, "seconds": seconds, "score": score})
        for name, score in (("A", [0, 0, 0.1, 0.5, 0.2]), ("B", [0, 0, 0.1, 0.3, 0.4]), ("C", [np.nan] * 5))
    ]
    (ax,) = samples.lag_scan(pd.concat(rows)).axes
    marked = next(line for line in ax.get_lines() if line.get_marker() == "o")
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == pytest.approx((2.0, 0.4))
    assert len([line for line in ax.get_lines() if line.get_linewidth() == 0.6 and len(line.get_xdata()) == 5]) == 2
    assert "no target" in samples.lag_scan(rows[2]).texts[0].get_text()
