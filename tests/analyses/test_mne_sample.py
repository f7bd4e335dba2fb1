"""Real evoked fields: latencies and places are those known of tones and checkerboards, and the figures are drawn."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from brainalign.arrays import Responses, read_tsv
from brainalign.data import mne_sample


@pytest.fixture(scope="module")
def folder(data_dir):
    if not (data_dir / "mne_sample").is_dir():
        pytest.skip(f"{data_dir / 'mne_sample'} is absent")
    return data_dir


@pytest.fixture(scope="module")
def analysis(load_analysis):
    return load_analysis("mne_sample")


@pytest.fixture(scope="module")
def evoked(folder):
    return mne_sample.load_evoked(mne_sample.Config(), folder)


def test_peaks_of_a_bump_are_found_with_their_unit_and_size(analysis):
    time = np.round(np.arange(-0.2, 0.4, 0.01), 2)
    bump = np.exp(-((time - 0.12) ** 2) / 0.001)
    noise = 0.01 * np.where(np.arange(len(time)) % 2, 1, -1)
    values = np.column_stack([3e-13 * bump + 1e-13 * noise, -1e-13 * bump + 1e-13 * noise, 5e-6 * bump + 1e-6 * noise])
    columns = pd.DataFrame(
        {
            "subject": "1",
            "target": ["A", "B", "C"],
            "channel_type": ["mag", "mag", "eeg"],
            "unit": ["T", "T", "V"],
        }
    )
    rows = pd.DataFrame({"run": "Tone", "time": time, "duration": 0.01})
    table = analysis.peaks(Responses(values, rows, columns)).set_index("channel_type")
    assert table["unit"].to_dict() == {"mag": "T", "eeg": "V"}
    assert table["target"].to_dict() == {"mag": "A", "eeg": "C"}
    np.testing.assert_allclose(table["peak_ms"], 120)
    np.testing.assert_allclose(table.loc["mag", "rms"], 1e-13 * np.sqrt(10 / 2), rtol=0.02)
    np.testing.assert_allclose(table["amplitude"], [3e-13, 5e-6], rtol=0.01)
    np.testing.assert_allclose(table["ratio"], [np.sqrt(5) / 0.01, 5 / 0.01], rtol=0.02)


def test_tones_are_answered_at_90_ms_over_both_temporal_lobes_and_checkerboards_at_the_back(analysis, evoked):
    table = analysis.peaks(evoked).set_index(["condition", "channel_type"])
    assert table.loc[("Right Auditory", "mag"), "peak_ms"] == pytest.approx(93.2, abs=0.1)
    assert table.loc[("Left Auditory", "grad"), "peak_ms"] == pytest.approx(93.2, abs=0.1)
    assert (table["ratio"] > 1.7).all()
    assert table.loc[("Right visual", "mag"), "ratio"] > 4
    for condition in mne_sample.CONDITIONS:
        back_to_front = growth(evoked, condition, lambda y: y < -0.05) / growth(evoked, condition, lambda y: y > 0.03)
        assert (back_to_front > 1.5) if "visual" in condition else (back_to_front < 1.3), condition
    at = ((evoked.rows["run"] == "Right Auditory") & (evoked.rows["time"].sub(0.0932).abs() < 0.001)).to_numpy()
    of_mag = (evoked.columns["channel_type"] == "mag").to_numpy()
    [field] = evoked.values[at][:, of_mag]
    x = evoked.columns["x"][of_mag].to_numpy()
    for side in (x < -0.03, x > 0.03):  # a field that goes in and comes out over either temporal lobe
        assert field[side].max() > 3e-13
        assert field[side].min() < -2e-13


def growth(evoked, condition, chosen):
    """Root mean square of magnetometers at 70 to 130 ms over that before the stimulus."""
    time = evoked.rows["time"].where(evoked.rows["run"] == condition).to_numpy()
    of_place = ((evoked.columns["channel_type"] == "mag") & chosen(evoked.columns["y"])).to_numpy()
    after, before = (evoked.values[at][:, of_place] for at in ((time > 0.07) & (time < 0.13), time < 0))
    return np.sqrt((after**2).mean() / (before**2).mean())


def test_a_pair_of_planar_gradiometers_has_the_root_of_the_sum_of_squares(analysis, evoked):
    table = analysis.values_on_heads(evoked, "Left visual", "grad").set_index(["target", "lag"])["score"]
    rows = evoked.rows[evoked.rows["run"] == "Left visual"]
    values = pd.DataFrame(evoked.values[rows.index], columns=evoked.columns["target"], index=rows["time"])
    for time in (rows["time"].iloc[0], rows["time"].iloc[200]):
        expected = np.hypot(values.loc[time, "MEG 0242"], values.loc[time, "MEG 0243"])
        assert table["MEG 024", time] == pytest.approx(expected, rel=1e-12)
        assert table["MEG 244", time] == pytest.approx(abs(values.loc[time, "MEG 2442"]), rel=1e-12)
    signed = analysis.values_on_heads(evoked, "Left visual", "mag")
    np.testing.assert_array_equal(signed.loc[signed["target"] == "MEG 2621", "score"], values["MEG 2621"])
    assert signed["target"].nunique() == 102


def test_it_prints_the_table_and_draws_heads(analysis, folder, tmp_path, capsys, monkeypatch):
    read, shorter = mne_sample.read_evoked, ("Right Auditory",)
    monkeypatch.setattr(mne_sample, "read_evoked", lambda *given: {name: read(*given)[name] for name in shorter})
    monkeypatch.setattr(analysis, "SHOWN", (0.0, 0.09))
    analysis.main(["--data-dir", str(folder), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "Right Auditory         grad  T/m" in printed
    assert read_tsv(tmp_path / "peaks.tsv")["unit"].tolist() == ["T/m", "T", "V"]
    for name in ("right-auditory-mag", "right-auditory-grad", "right-auditory-eeg", "right-auditory-joint"):
        image = imread(tmp_path / f"{name}.png")[..., :3]
        colours = np.ptp(image, axis=2)
        assert (colours > 0.3).mean() > 0.005, name  # red and blue, not an empty frame
