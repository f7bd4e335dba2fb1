"""Pictures from files."""

import struct
import warnings
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFile

from brainalign.errors import BrainalignError, Misaligned, MissingData
from brainalign.extract._images import (
    Picture,
    Reader,
    frames_of,
    image_problems,
    look_at,
    notes_of,
    read_image,
    shown_by,
    stimulus_files,
)

GRADIENT = np.arange(256, dtype=np.uint8).reshape(16, 16)
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, size=(12, 20, 3), dtype=np.uint8)


def events_of(*images, column="image", duration=0.5):
    n = len(images)
    return pd.DataFrame({"run": ["1"] * n, "onset": 1.0 * np.arange(n), "duration": duration, column: list(images)})


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    return path


def test_a_plain_picture_is_itself(png):
    image, notes = read_image(png)
    np.testing.assert_array_equal(image, COLOURS)
    assert image.dtype == np.uint8
    assert notes == ()


def cmyk(path):
    Image.fromarray(COLOURS).convert("CMYK").save(path)
    return np.asarray(Image.open(path).convert("RGB"))


def grey(path):
    Image.fromarray(GRADIENT).save(path)
    return np.stack([GRADIENT] * 3, axis=-1)


def bits(path):
    Image.fromarray(GRADIENT).convert("1", dither=Image.Dither.NONE).save(path)
    return np.stack([255 * (GRADIENT >= 128).astype(np.uint8)] * 3, axis=-1)


def grey_16(path):
    values = (257 * GRADIENT.astype(np.uint16))[:, ::-1]
    Image.fromarray(np.ascontiguousarray(values)).save(path)
    return np.stack([GRADIENT[:, ::-1]] * 3, axis=-1)


def palette(path):
    image = Image.fromarray(COLOURS).quantize(16)
    image.save(path)
    return np.asarray(image.convert("RGB"))


def rgba(path):
    alpha = np.zeros((12, 20, 1), dtype=np.uint8)
    alpha[:4], alpha[4:8] = 255, 51
    Image.fromarray(np.concatenate([COLOURS, alpha], axis=-1)).save(path)
    weight = alpha / 255
    return weight * COLOURS + (1 - weight) * 128


def grey_alpha(path):
    alpha = np.tile(np.array([0, 255], dtype=np.uint8), (16, 8))
    Image.merge("LA", [Image.fromarray(GRADIENT), Image.fromarray(alpha)]).save(path)
    return np.stack([np.where(alpha == 255, GRADIENT, 128)] * 3, axis=-1)


def transparent_colour(path):
    colours = COLOURS.copy()
    colours[:6] = (9, 8, 7)
    Image.fromarray(colours).save(path, transparency=(9, 8, 7))
    return np.where((colours == (9, 8, 7)).all(axis=-1, keepdims=True), 128, colours)


@pytest.mark.parametrize(
    ("make", "suffix", "noted"),
    [
        (grey, "png", {"grey made RGB"}),
        (bits, "png", {"grey made RGB"}),
        (grey_16, "png", {"grey made RGB", "16 bits scaled to 8"}),
        (grey_16, "tif", {"grey made RGB", "16 bits scaled to 8"}),
        (palette, "png", {"palette made RGB"}),
        (palette, "gif", {"palette made RGB"}),
        (cmyk, "tif", {"CMYK made RGB"}),
        (rgba, "png", {"transparent pixels filled with the background"}),
        (grey_alpha, "png", {"grey made RGB", "transparent pixels filled with the background"}),
        (transparent_colour, "png", {"transparent pixels filled with the background"}),
    ],
)
def test_fault_38_kinds_of_pixels_are_made_rgb_and_noted(make, suffix, noted, tmp_path):
    path = tmp_path / f"image.{suffix}"
    expected = make(path)
    image, notes = read_image(path)
    assert image.shape == (*expected.shape[:2], 3)
    np.testing.assert_allclose(image.astype(float), expected, atol=1)
    assert set(notes) == noted
    assert notes_of(path) == notes


def test_fault_38_the_background_is_ones_choice(tmp_path):
    rgba(tmp_path / "a.png")
    for background in (0, 255):
        image, _ = read_image(tmp_path / "a.png", background=background)
        assert (image[8:] == background).all()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width, height, *, rows=b"", depth=8, colour=2):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


def test_fault_38_16_bit_colours_are_scaled_not_clipped(tmp_path):
    values = (COLOURS.astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (tmp_path / "deep.png").write_bytes(png_bytes(20, 12, rows=rows, depth=16))
    image, notes = read_image(tmp_path / "deep.png")
    np.testing.assert_array_equal(image, COLOURS)
    assert notes == ("16 bits scaled to 8",) == notes_of(tmp_path / "deep.png")


def test_fault_38_integers_without_an_agreed_white_are_refused(tmp_path):
    Image.fromarray(GRADIENT.astype(np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(BrainalignError, match=r"a.tif: 32-bit integers"):
        read_image(tmp_path / "a.tif")
    np.save(tmp_path / "a.npy", GRADIENT.astype(np.int64))
    with pytest.raises(BrainalignError, match="pixels are int64; expected uint8, uint16 or floats"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("values", "noted"),
    [
        (COLOURS, ()),
        (COLOURS.astype(np.uint16) * 257, ("16 bits scaled to 8",)),
        (COLOURS / 255, ("floats scaled or rounded to 0..255",)),
        (COLOURS.astype(np.float32), ("floats scaled or rounded to 0..255",)),
    ],
)
def test_fault_39_arrays_are_scaled_once(values, noted, tmp_path):
    np.save(tmp_path / "a.npy", values)
    image, notes = read_image(tmp_path / "a.npy")
    np.testing.assert_array_equal(image, COLOURS)
    assert notes == noted


@pytest.mark.parametrize(
    "values", [COLOURS - 300.0, COLOURS * 2.0, np.where(COLOURS > 9, COLOURS, np.nan), np.full((4, 4), np.inf)]
)
def test_fault_39_floats_outside_0_to_255_are_refused(values, tmp_path):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(BrainalignError, match=r"a.npy: floats from .* expected 0..1 or 0..255"):
        read_image(tmp_path / "a.npy")


def test_fault_39_a_float_tiff_is_scaled_too(tmp_path):
    Image.fromarray((GRADIENT / 255).astype(np.float32)).save(tmp_path / "a.tif")
    image, notes = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[..., 1], GRADIENT)
    assert notes == ("floats scaled or rounded to 0..255", "grey made RGB")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp", "npy"])
def test_fault_40_truncated_files_are_refused(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    noise = RNG.integers(0, 256, size=(80, 80, 3), dtype=np.uint8)
    if suffix == "npy":
        np.save(path, noise)
    else:
        Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    read_image(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrainalignError, match=rf"a.{suffix}: not a whole image"):
        read_image(path)
    path.write_bytes(b"")
    with pytest.raises(BrainalignError, match=rf"a.{suffix}: not a whole image"):
        read_image(path)


def test_fault_40_reading_cut_images_stays_off(png, monkeypatch):
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(BrainalignError, match="LOAD_TRUNCATED_IMAGES is on"):
        read_image(png)


def test_fault_40_a_text_file_is_no_image(tmp_path):
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(BrainalignError, match=r"a.png: not a whole image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (6, np.rot90),
        (8, lambda a: np.rot90(a, 3)),
        (3, lambda a: np.rot90(a, 2)),
        (2, lambda a: a[:, ::-1]),
        (1, np.array),
    ],
)
def test_fault_41_exif_rotation_is_applied_and_noted(orientation, stored, suffix, tmp_path):
    meant = np.kron(np.array([[0, 80, 160], [255, 40, 200]], dtype=np.uint8), np.ones((16, 16), dtype=np.uint8))
    meant = np.stack([meant] * 3, axis=-1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored(meant))).save(path, exif=exif)
    image, notes = read_image(path)
    assert image.shape == (32, 48, 3)
    np.testing.assert_allclose(image.astype(float), meant, atol=3)
    assert notes == (() if orientation == 1 else ("turned as its EXIF orientation says",)) == notes_of(path)


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("size", [(9_500, 9_500), (20_000, 20_000)])
def test_fault_42_decompression_bombs_are_refused(size, action, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_bytes(*size))
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        for read in (read_image, notes_of):
            with pytest.raises(BrainalignError, match=r"bomb.png: .*(pixels; at most 89478485|exceeds limit)"):
                read(tmp_path / "bomb.png")
    assert Image.MAX_IMAGE_PIXELS == 89_478_485


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (1, 100_000), (100_000, 1), (51, 1)])
def test_fault_42_empty_and_extreme_shapes_are_refused(size, tmp_path):
    (tmp_path / "a.png").write_bytes(png_bytes(*size))
    with pytest.raises(BrainalignError, match=r"a.png: .*(pixels; a side may be|not a whole image)"):
        read_image(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.zeros(size, dtype=np.uint8))
    with pytest.raises(BrainalignError, match=r"a.npy: .*pixels; a side may be at most 50 times"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(5,), (3, 8, 8), (8, 8, 4), (1, 8, 8, 3)])
def test_arrays_of_another_shape_are_refused(shape, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(shape, dtype=np.uint8))
    with pytest.raises(BrainalignError, match=r"an image is \(height, width\) or \(height, width, 3\)"):
        read_image(tmp_path / "a.npy")


def test_fault_68_absent_files_are_all_named(png, tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    names = [png, tmp_path / "A.PNG", tmp_path / "b.png", tmp_path / "link.png", tmp_path / "no" / "c.png"]
    events = events_of(*map(str, names))
    with pytest.raises(MissingData, match=r"4 stimulus files are not there") as caught:
        stimulus_files(events)
    message = str(caught.value)
    assert all(str(name) in message for name in names[1:])
    assert "A.PNG ('a.png' is there: names differ in case)" in message
    assert "gone.png, which is not there)" in message
    assert image_problems(events) == [message]
    with pytest.raises(MissingData, match="no such file"):
        read_image(tmp_path / "b.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": ""}, "name no image, the first is event 1"),
        ({"image": "a.png| |b.png"}, "name no image"),
        ({"image": None}, "name no image"),
        ({"run": 1}, "run that is no text"),
        ({"onset": np.nan}, "have no onset"),
        ({"duration": -0.1}, "have no duration"),
        ({"duration": np.inf}, "have no duration"),
        ({"onset": -1.0}, "onsets go back in time"),
    ],
)
def test_events_that_cannot_be_read_are_named(change, message, png):
    events = events_of(str(png), str(png))
    events = events.astype(object)
    for name, value in change.items():
        events.loc[1, name] = value
    (problem,) = image_problems(events)
    assert message in problem
    with pytest.raises(BrainalignError, match=message):
        shown_by(events)


def test_events_without_the_columns(png):
    events = events_of(str(png))
    assert "must have one column, image or video" in image_problems(events.drop(columns="image"))[0]
    assert "must have one column, image or video" in image_problems(events.assign(video="a.gif"))[0]
    assert "lack the columns ['onset']" in image_problems(events.drop(columns="onset"))[0]
    assert image_problems(events.iloc[:0]) == ["there are no events"]


def test_stimuli_shown_again_are_one(png, tmp_path):
    other = tmp_path / "b.png"
    grey(other)
    events = events_of(str(png), str(other), f"{png}|{other}", str(png))
    shown = shown_by(events)
    assert shown.groups == ((Picture(png),), (Picture(other),), (Picture(png), Picture(other)))
    assert shown.index.tolist() == [0, 1, 2, 0]
    assert stimulus_files(events) == [png, other]
    assert look_at(shown) == ({"grey made RGB": 1}, [])
    values = np.arange(12.0).reshape(4, 3)
    (whole,) = shown.parts(10)
    np.testing.assert_array_equal(shown.mean(values, whole), [values[0], values[1], values[2:].mean(axis=0)])
    assert [(part.start, part.stop) for part in shown.parts(2)] == [(0, 2), (2, 3)]
    assert [(part.start, part.stop) for part in shown.parts(1)] == [(0, 1), (1, 2), (2, 3)]
    assert shown.name_of(2) == f"image {f'{png}|{other}'!r} (run '1', row 2)"


def test_every_broken_head_is_named(tmp_path, png):
    (tmp_path / "x.png").write_text("x")
    (tmp_path / "y.png").write_bytes(png_bytes(1, 100))
    problems = image_problems(events_of(str(tmp_path / "x.png"), str(png), str(tmp_path / "y.png")))
    assert [problem.split(":")[0][-5:] for problem in problems] == ["x.png", "y.png"]


FRAMES = [np.full((10, 14, 3), 40 * i, dtype=np.uint8) for i in range(5)]
LENGTHS = [100, 100, 200, 100, 300]  # ms


def save_video(path, *, lengths=LENGTHS, frames=FRAMES):
    images = [Image.fromarray(frame) for frame in frames]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=lengths, **options)
    return path


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_gives_one_row_per_frame_with_its_time(suffix, tmp_path):
    path = save_video(tmp_path / f"v.{suffix}")
    events = events_of(str(path), str(path), column="video", duration=0.8)
    shown = shown_by(events)
    starts = np.array([0, 0.1, 0.2, 0.4, 0.5])
    np.testing.assert_allclose(shown.rows["onset"], np.concatenate([starts, 1 + starts]))
    np.testing.assert_allclose(shown.rows["duration"], np.tile(LENGTHS, 2) / 1000)
    assert shown.rows["frame"].tolist() == [0, 1, 2, 3, 4] * 2
    assert list(shown.rows) == ["run", "onset", "duration", "video", "frame"]
    assert len(shown.groups) == 5
    with Reader(128) as reader:
        for i in (0, 1, 2, 3, 4, 2, 4):  # in order, and back
            np.testing.assert_allclose(reader.read(Picture(path, i)).astype(int), FRAMES[i], atol=1)
    assert image_problems(events) == []
    assert stimulus_files(events) == [path]
    assert shown.name_of(3) == f"video {str(path)!r}, frame 3 (run '1', row 3)"


def test_a_folder_of_frames_is_spread_evenly_in_the_order_of_its_numbers(tmp_path):
    folder = tmp_path / "video"
    folder.mkdir()
    for i in (0, 2, 10, 9):
        Image.fromarray(FRAMES[i % 5]).save(folder / f"frame{i}.png")
    (folder / "notes.txt").write_text("no frame")
    (folder / ".hidden.png").write_text("no frame")
    events = events_of(str(folder), column="video", duration=2.0)
    shown = shown_by(events)
    names = ["frame0.png", "frame2.png", "frame9.png", "frame10.png"]
    assert [group[0].path.name for group in shown.groups] == names
    assert shown.rows["onset"].tolist() == [0, 0.5, 1.0, 1.5]
    assert shown.rows["duration"].tolist() == [0.5] * 4
    assert stimulus_files(events) == [folder / name for name in names]
    (tmp_path / "empty").mkdir()
    assert "a folder without images" in image_problems(events_of(str(tmp_path / "empty"), column="video"))[0]


def test_fault_60_two_frames_of_one_number_are_refused(tmp_path):
    for name in ("frame2.png", "frame02.png", "frame10.png"):
        Image.fromarray(FRAMES[0]).save(tmp_path / name)
    (problem,) = image_problems(events_of(str(tmp_path), column="video", duration=2.0))
    assert all(part in problem for part in ("'frame02.png'", "'frame2.png'", "have the same number"))


def test_fault_31_a_video_that_does_not_last_as_long_as_its_event_is_refused(tmp_path):
    path = save_video(tmp_path / "v.gif")
    assert len(frames_of(path, 0.9)) == 5
    for duration in (0.4, 1.2):
        with pytest.raises(BrainalignError, match=r"v.gif: its 5 frames last 0.800 s, the event"):
            frames_of(path, duration)


def test_videos_without_times_are_spread_evenly_and_single_pictures_are_one_frame(tmp_path, png):
    times = [t for _, t, _ in frames_of(save_video(tmp_path / "v.gif", lengths=0), 1.0)]
    np.testing.assert_allclose(times, [0, 0.2, 0.4, 0.6, 0.8])
    assert frames_of(png, 2.0) == [(Picture(png, 0), 0.0, 2.0)]


def test_videos_that_overlap_are_refused(tmp_path):
    path = save_video(tmp_path / "v.gif")
    events = events_of(str(path), str(path), column="video", duration=0.8).assign(onset=[0.0, 0.3])
    with pytest.raises(Misaligned, match=r"run '1': video '.*v.gif' begins before the last frame"):
        shown_by(events)
    assert "begins before" in image_problems(events)[0]


def test_an_animation_in_the_column_image_is_refused(tmp_path):
    path = save_video(tmp_path / "v.gif")
    with pytest.raises(BrainalignError, match=r"v.gif: holds 5 frames; name it in a column video"):
        read_image(path)
    assert "column video" in image_problems(events_of(str(path)))[0]
