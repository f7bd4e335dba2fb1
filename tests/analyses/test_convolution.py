"""The analysis of convolution: its sums, and that its checks fail for networks that learned nothing."""

import pytest

from brainalign.simulations import published_beside_obtained


@pytest.fixture(scope="module")
def analysis(load_analysis):
    return load_analysis("convolution")


def test_the_sums_are_written_out(analysis):
    table = analysis.worked_windows()
    assert table["output"].tolist() == [6, 11, 15, 7, 7, 23, 27, 18, 11, 17, 25, 23, 7, 22, 20, 14]
    assert table["sum"][0] == "1 x 1 + 1 x 3 + 1 x 2"
    for row in table.itertuples():
        assert sum(int(a) * int(b) for a, b in (p.split(" x ") for p in row.sum.split(" + "))) == row.output


def test_a_short_run_fills_every_table_and_figure(analysis):
    config = analysis.Config(n_networks=2, n_updates=3, n_samples=1)
    tables = analysis.run(config)
    beside = published_beside_obtained(analysis.PUBLISHED, tables["obtained"]).set_index("quantity")["obtained"]
    assert [beside[f"output in row 1, column {k}"] for k in (1, 2, 3)] == [6, 11, 15]
    assert beside["held-out digits named rightly (%)"] < 30
    assert beside["Grad-CAM, highest on the digit asked for (%)"] < 60
    assert beside["edges of the image, rank correlation after destroying all weights"] == pytest.approx(1)
    assert set(tables["cascade"]["part"]) == {"(intact)", "output", "conv3", "conv2", "conv1"}
    drawings = analysis.draw(tables, config)
    assert drawings[0].title == "The worked example"
    assert "1 x 1 + 1 x 3 + 1 x 2 = 6; " in drawings[0].caption
