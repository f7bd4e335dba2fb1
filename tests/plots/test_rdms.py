import numpy as np
import pandas as pd
import pytest

from brainalign.plots import rdms

FIRST, SECOND = np.triu_indices(4, k=1)
PAIRS = pd.DataFrame({"first": FIRST, "second": SECOND})


def test_squares_show_ranks_of_pairs_at_their_places():
    figure = rdms.matrices(PAIRS.assign(brain=[5.0, 1, 2, 3, 4, 6], **{"model of categories": [1.0, 1, 1, 2, 2, 2]}))
    square = np.asarray(figure.axes[0].get_images()[0].get_array())
    assert square[0, 1] == square[1, 0] == pytest.approx(5 / 6)
    assert square[2, 3] == pytest.approx(1)
    assert (np.diag(square) == 0).all()
    assert [ax.get_title() for ax in figure.axes[:2]] == ["brain", "model\nof categories"]


def test_many_rdms_are_cut_with_a_note():
    many = PAIRS.assign(**{f"m{i}": np.arange(6.0) for i in range(5)})
    assert rdms.matrices(many, max_rdms=3).get_suptitle() == "the first 3 of 5"
    assert "no RDMs" in rdms.matrices(PAIRS).texts[0].get_text()


def similarities(lower):
    rows = [
        {"subject": who, "family": family, "feature_space": name, "weights": "", "layer": "", "similarity": value}
        for family, name, values in (("features", "gabor", (0.1, 0.3)), ("published", "HMAX", (0.0, 0.4)))
        for who, value in zip("ab", values, strict=True)
    ]
    return pd.DataFrame(rows).assign(ceiling_lower=lower, ceiling_upper=lower + 0.2)


def test_bars_are_means_and_dots_are_subjects():
    (ax,) = rdms.similarities(similarities(0.5), ylabel="rho").axes
    assert [bar.get_height() for bar in ax.containers[0]] == pytest.approx([0.2, 0.2])
    dots = [line for line in ax.get_lines() if line.get_marker() == "."]
    assert dots[1].get_ydata().tolist() == pytest.approx([0.0, 0.4])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["gabor", "HMAX"]
    shaded = [patch for patch in ax.patches if patch.get_label() == "noise ceiling"]
    assert shaded[0].get_y() == pytest.approx(0.5)
    assert shaded[0].get_height() == pytest.approx(0.2)


def test_a_published_model_with_the_name_of_a_feature_space_has_its_own_bar():
    table = similarities(0.5).replace({"feature_space": {"gabor": "HMAX"}})
    (ax,) = rdms.similarities(table, ylabel="rho").axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["HMAX", "HMAX"]
    assert len({bar.get_facecolor() for bar in ax.containers[0]}) == 2


def test_without_a_ceiling_none_is_drawn():
    (ax,) = rdms.similarities(similarities(np.nan), ylabel="rho").axes
    assert not [patch for patch in ax.patches if patch.get_label() == "noise ceiling"]


def test_one_rdm_has_no_dots_of_subjects():
    table = similarities(np.nan)
    (ax,) = rdms.similarities(table[table["subject"] == "a"], ylabel="rho").axes
    assert not [line for line in ax.get_lines() if line.get_marker() == "."]
