"""Paths of sentences: what is drawn where."""

import numpy as np
import pandas as pd

from brainalign.plots import trajectories

COMPONENTS = ("component 1", "component 2", "component 3")


def path_table():
    rows = []
    for panel in ("who eats", "what humans do"):
        for i, group in enumerate(("human", "animal")):
            for at, label in enumerate(("start", group, "eat")):
                row = {name: at * 0.5 + i * (k + 1) for k, name in enumerate(COMPONENTS)}
                row |= {f"{name} sd": 0.1 for name in COMPONENTS}
                rows.append({"panel": panel, "group": group, "position": at, "label": label} | row)
    return pd.DataFrame(rows)


def test_a_path_per_group_with_its_spread_and_labels():
    figure = trajectories.paths(path_table(), components=COMPONENTS[:2])
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes] == ["who eats", "what humans do"]
    ax = figure.axes[0]
    lines = {line.get_label(): line for line in ax.lines if line.get_label() in ("human", "animal")}
    assert np.allclose(lines["animal"].get_xydata(), [[1, 2], [1.5, 2.5], [2, 3]])
    assert len(ax.patches) == 6
    assert all(np.isclose(ellipse.width, 0.2) for ellipse in ax.patches)
    assert [text.get_text() for text in ax.texts].count("start") == 2  # far from each other


def test_a_label_is_written_once_where_paths_meet():
    table = path_table()
    table.loc[table["position"] == 0, list(COMPONENTS)] = 0.0
    ax = trajectories.paths(table, components=COMPONENTS[:2]).axes[0]
    assert [text.get_text() for text in ax.texts].count("start") == 1


def test_distances_and_nothing():
    table = pd.DataFrame({"panel": ["a"] * 4, "pair": ["x - y"] * 2 + ["x - z"] * 2, "position": [1, 2] * 2,
                          "value": [1.0, 2.0, 3.0, 4.0], "sd": [0.1] * 4})  # fmt: skip
    (ax,) = trajectories.distances(table).axes
    assert np.array_equal(ax.lines[1].get_ydata(), [3, 4])
    nothing = trajectories.distances(table.assign(value=np.nan))
    assert "no finite distances" in nothing.texts[0].get_text()


def test_a_dot_per_network_and_chance():
    rows = [{"what": "category", "statistic": statistic, "condition": condition, "network": i, "value": 0.5 + 0.1 * i,
             "chance": chance} for statistic, chance in (("linear", 1 / 3), ("silhouette", np.nan))
            for condition in ("trained", "untrained") for i in range(3)]  # fmt: skip
    figure = trajectories.separability(pd.DataFrame(rows))
    figure.canvas.draw()
    (ax,) = figure.axes
    dots = [line for line in ax.lines if line.get_marker() == "."]
    assert [len(line.get_ydata()) for line in dots] == [3] * 4
    assert any(np.allclose(line.get_ydata(), 1 / 3) for line in ax.lines if line.get_linestyle() == ":")


def test_a_panel_shows_only_the_statistics_that_it_has():
    rows = [{"what": what, "statistic": statistic, "condition": "trained", "network": 0, "value": 0.5, "chance": 0.5}
            for what, of in (("apart", ("a", "b")), ("near", ("c",))) for statistic in of]  # fmt: skip
    figure = trajectories.separability(pd.DataFrame(rows))
    labels = [[label.get_text() for label in ax.get_xticklabels()] for ax in figure.axes]
    assert labels == [["a", "b"], ["c"]]


def test_the_figure_to_be_turned_has_the_colours_of_the_flat_one():
    table = path_table()
    table.loc[table["panel"] == "what humans do", "group"] += " too"
    flat = trajectories.paths(table, components=COMPONENTS[:2]).axes[1]
    html = trajectories.turnable(table, panel="what humans do", components=COMPONENTS, title="paths")
    colours = {line.get_label(): tuple(int(255 * c) for c in line.get_color()) for line in flat.lines[::2]}
    assert set(colours) == {"human too", "animal too"}
    assert all(f"rgb{colour}" in html for colour in colours.values())
    assert '"name":"human"' not in html


def test_the_figure_to_be_turned_needs_no_network_and_has_a_frame_per_word():
    html = trajectories.turnable(path_table(), panel="who eats", components=COMPONENTS, title="paths")
    assert '<script src="http' not in html
    assert "Plotly.newPlot" in html
    assert "Plotly.addFrames" in html
    assert all(f'"name":"{step}"' in html for step in range(3))
