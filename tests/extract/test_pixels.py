"""Pixels, luminance and Gabor energies."""

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from brainalign.errors import BrainalignError, MissingData
from brainalign.extract import EXTRACTORS, pixels

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]
RNG = np.random.default_rng(0)
SIZE = 128


def events_of(*images, column="image", duration=0.5):
    n = len(images)
    return pd.DataFrame({"run": ["1"] * n, "onset": 1.0 * np.arange(n), "duration": duration, column: list(images)})


def save(folder, name, values):
    Image.fromarray(values).save(folder / name)
    return str(folder / name)


def grating(frequency, degrees, *, amplitude=0.25, phase=0.0, mean=0.5):
    """Grey picture (SIZE, SIZE, 3) of floats 0..1: bars that stand upright at 0 degrees."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    angle = np.deg2rad(degrees)
    wave = np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return np.repeat((mean + amplitude * wave)[..., None], 3, axis=-1)


def energies(image, config):
    """(n_frequencies, n_orientations) lists of (f, f) energies, of floats that no file has rounded."""
    got = pixels.GaborPyramid(config)(255 * image, config)
    table = pd.DataFrame({"unit": pixels.unit_names("gabor", config), "energy": got})
    parts = table["unit"].str.extract(r"f(?P<f>\d+)_o(?P<o>[\d.]+)_y(?P<y>\d+)_x(?P<x>\d+)").astype(float)
    return table.join(parts)


GABOR = pixels.Config(gabor_size=SIZE, frequencies=(4, 8, 16), n_orientations=4)


def inside(table):
    """Positions two standard deviations and more from the edges."""
    margin = 2 * 0.5622
    return table[
        (table[["y", "x"]] + 0.5).ge(margin).all(axis=1) & (table["f"] - table[["y", "x"]].max(axis=1) - 0.5).ge(margin)
    ]


@pytest.mark.parametrize("frequency", [4, 8, 16])
@pytest.mark.parametrize("degrees", [0, 45, 90, 135])
@pytest.mark.parametrize("phase", [0.0, 1.1])
def test_a_grating_gives_its_amplitude_at_its_frequency_and_orientation(frequency, degrees, phase):
    table = inside(energies(grating(frequency, degrees, phase=phase), GABOR))
    # |k - k0| in cycles per picture, sigma = .5622 / f: energy = amplitude exp(-2 pi^2 sigma^2 |k - k0|^2)
    k = frequency * np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    centre = table["f"].to_numpy()[:, None] * np.stack(
        [np.cos(np.deg2rad(table["o"])), np.sin(np.deg2rad(table["o"]))], axis=1
    )
    sigma = 0.5622 / table["f"].to_numpy()
    expected = sum(
        0.25 * np.exp(-2 * (np.pi * sigma) ** 2 * ((sign * k - centre) ** 2).sum(axis=1)) for sign in (1, -1)
    )
    np.testing.assert_allclose(table["energy"], expected, atol=0.012)
    assert len(table) > 100
    best = table.loc[table["energy"].idxmax()]
    assert (best["f"], best["o"]) == (frequency, degrees)
    matched = table[(table["f"] == frequency) & (table["o"] == degrees)]
    np.testing.assert_allclose(matched["energy"], 0.25, atol=0.012)


def test_energy_of_an_even_picture_is_0_at_the_edges_too():
    for level in (0.0, 0.3, 1.0):
        assert energies(np.full((SIZE, SIZE, 3), level), GABOR)["energy"].max() < 1e-12


def test_energy_does_not_change_with_phase_or_mean_and_is_linear_in_contrast():
    one = inside(energies(grating(8, 45), GABOR))["energy"]
    np.testing.assert_allclose(inside(energies(grating(8, 45, mean=0.3), GABOR))["energy"], one, atol=1e-12)
    np.testing.assert_allclose(inside(energies(grating(8, 45, amplitude=0.125), GABOR))["energy"], one / 2, atol=1e-12)
    np.testing.assert_allclose(inside(energies(grating(8, 45, phase=2.0), GABOR))["energy"], one, atol=0.02)


def test_energy_is_where_the_grating_is():
    image = grating(16, 0)
    image[:, SIZE // 2 :] = 0.5
    table = energies(image, GABOR)
    table = table[(table["f"] == 16) & (table["o"] == 0)]
    assert table[table["x"] < 6]["energy"].min() > 0.2
    assert table[table["x"] > 10]["energy"].max() < 0.01


def test_energy_equals_the_sum_written_out():
    config = pixels.Config(gabor_size=24, frequencies=(3,), n_orientations=3)
    image = RNG.integers(0, 256, size=(24, 24, 3), dtype=np.uint8)
    got = pixels.GaborPyramid(config)(image, config).reshape(3, 3, 3)
    grey = (image / 255) @ [0.299, 0.587, 0.114]
    rows, columns = np.mgrid[:24, :24]
    for k in range(3):
        for y in range(3):
            for x in range(3):
                dx, dy = columns - (8 * x + 3.5), rows - (8 * y + 3.5)
                window = np.exp(-(dx**2 + dy**2) / (2 * (0.5622 * 8) ** 2))
                wave = np.exp(2j * np.pi / 8 * (dx * np.cos(np.pi * k / 3) + dy * np.sin(np.pi * k / 3)))
                mean = (window * grey).sum() / window.sum()
                expected = 2 * abs((window * wave * (grey - mean)).sum()) / window.sum()
                assert got[k, y, x] == pytest.approx(expected, rel=1e-9)


def test_luminance_of_a_known_picture(tmp_path):
    image = np.zeros((10, 20, 3), dtype=np.uint8)
    image[:, :10] = (255, 0, 51)
    got = pixels.extract(events_of(save(tmp_path, "a.png", image)), pixels.Config(layers=("luminance",)))["luminance"]
    grey = 0.299 + 0.114 * 0.2
    assert got.columns["unit"].tolist() == ["luminance", "rms_contrast", "red", "green", "blue"]
    np.testing.assert_allclose(got.values, [[grey / 2, grey / 2, 0.5, 0, 0.1]], rtol=1e-6)


def test_pixels_are_those_of_the_picture_and_of_its_blocks(tmp_path):
    blocks = RNG.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    path = save(tmp_path, "a.png", blocks)
    config = pixels.Config(layers=("pixels",), size=4, colour="rgb")
    got = pixels.extract(events_of(path), config)["pixels"]
    np.testing.assert_allclose(got.values[0], blocks.ravel() / 255, rtol=1e-6)
    assert got.columns["unit"].tolist()[:4] == ["y0_x0_red", "y0_x0_green", "y0_x0_blue", "y0_x1_red"]
    config = pixels.Config(layers=("pixels",), size=4)
    got = pixels.extract(events_of(path), config)["pixels"]
    np.testing.assert_allclose(got.values[0], ((blocks / 255) @ [0.299, 0.587, 0.114]).ravel(), rtol=1e-6)
    assert got.columns["unit"].tolist()[3:6] == ["y0_x3", "y1_x0", "y1_x1"]
    large = save(tmp_path, "b.png", np.kron(blocks, np.ones((64, 16, 1), dtype=np.uint8)))
    resized = pixels.extract(events_of(large), config)["pixels"]
    np.testing.assert_allclose(resized.values, got.values, atol=0.12)  # a bicubic filter reaches into the next block
    assert np.corrcoef(resized.values[0], got.values[0])[0, 1] > 0.97


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    names = [
        save(folder, f"{i}.png", RNG.integers(0, 256, size=(16, 18 + i % 3, 3), dtype=np.uint8)) for i in range(35)
    ]
    return events_of(*names, names[3], f"{names[4]}|{names[5]}").assign(run=["1"] * 20 + ["2"] * 17)


SMALL = pixels.Config(size=8, gabor_size=16, frequencies=(2, 4), n_orientations=3)


def test_contract(many, tmp_path):
    check_extractor(pixels, SMALL, many, scratch=tmp_path / "scratch")


def test_repeated_pictures_and_several_in_one_event(many):
    assert EXTRACTORS["pixels"] is pixels
    for layer in pixels.extract(many, SMALL).values():
        np.testing.assert_array_equal(layer.values[35], layer.values[3])
        np.testing.assert_allclose(layer.values[36], layer.values[4:6].mean(axis=0), rtol=1e-5)
        assert list(layer.rows) == ["run", "onset", "duration", "image"]
        assert layer.provenance["images"] == {"n_pictures": 37, "notes": {}}
        json.dumps(layer.provenance)


def test_plan_and_settings(many):
    assert pixels.plan(many, SMALL) == {
        "n_events": 37,
        "n_rows": 37,
        "n_stimuli": 36,
        "n_layers": 3,
        "width": 64,
        "bytes_result": 4 * 37 * (64 + 5 + 60),
    }
    assert pixels.settings(SMALL) == SMALL.model_dump(mode="json")
    assert pixels.fingerprint(SMALL) == {}
    assert len(pixels.stimulus_files(many)) == 35


def test_a_video_gives_a_row_per_frame(tmp_path):
    frames = [Image.fromarray(np.full((8, 8, 3), level, dtype=np.uint8)) for level in (0, 102, 204)]
    frames[0].save(tmp_path / "v.gif", save_all=True, append_images=frames[1:], duration=[100, 200, 100])
    events = events_of(str(tmp_path / "v.gif"), column="video", duration=0.4)
    config = pixels.Config(layers=("luminance",))
    got = pixels.extract(events, config)["luminance"]
    np.testing.assert_allclose(got.values[:, 0], [0, 0.4, 0.8], atol=1e-6)
    np.testing.assert_allclose(got.rows["onset"], [0, 0.1, 0.3])
    assert pixels.check(events, config) == []
    assert pixels.plan(events, config)["n_rows"] == 3


def test_notes_and_faults_reach_the_caller(tmp_path):
    grey = save(tmp_path, "grey.png", np.full((8, 8), 51, dtype=np.uint8))
    got = pixels.extract(events_of(grey), pixels.Config(layers=("luminance",)))["luminance"]
    assert got.provenance["images"]["notes"] == {"grey made RGB": 1}
    np.testing.assert_allclose(got.values[0], [0.2, 0, 0.2, 0.2, 0.2], atol=1e-7)
    with pytest.raises(MissingData, match="1 stimulus files are not there"):
        pixels.extract(events_of(str(tmp_path / "no.png")), SMALL)
    noise = save(tmp_path, "cut.png", RNG.integers(0, 256, size=(64, 64, 3), dtype=np.uint8))
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrainalignError, match=r"cut.png: not a whole image"):
        pixels.extract(events_of(noise), SMALL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frequencies": (2, 64)},
        {"frequencies": (0, 2)},
        {"frequencies": (2, 2)},
        {"layers": ("pixels", "pixels")},
        {"layers": ()},
        {"size": 0},
        {"colour": "blue"},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        pixels.Config(**wrong)
