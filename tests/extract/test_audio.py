"""Sounds from files."""

import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import resample_poly

from brainalign.errors import BrainalignError, MissingData
from brainalign.extract import _audio
from brainalign.extract._audio import audio_problems, inspect_sound, read_samples, read_sound, stimulus_files

SFREQ = 16_000


def noise(n_samples, *, seed=0, channels=1):
    sound = 0.1 * np.random.default_rng(seed).standard_normal((n_samples, channels))
    return sound[:, 0] if channels == 1 else sound


@pytest.fixture
def write(tmp_path):
    def write(sound, name="sound.wav", *, sfreq=SFREQ, **options):
        soundfile.write(
            tmp_path / name, sound, sfreq, **({"subtype": "FLOAT"} if name.endswith("wav") else {}) | options
        )
        return tmp_path / name

    return write


def events_of(*paths, duration=1.0, **columns):
    n = len(paths)
    return pd.DataFrame(
        {"run": ["1"] * n, "onset": 2.0 * np.arange(n), "duration": [duration] * n, "audio": [str(p) for p in paths]}
        | columns
    )


def cut(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    return path


def test_a_whole_file_and_a_part(write):
    sound = noise(3 * SFREQ)
    path = write(sound)
    whole, notes = read_sound(path, sfreq=SFREQ)
    assert notes == {}
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, sound.astype(np.float32))
    part, _ = read_sound(path, sfreq=SFREQ, start=0.75, duration=1.5)
    np.testing.assert_array_equal(part, whole[12_000:36_000])


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_fault_31_a_cut_wav(write, share):
    path = cut(write(noise(SFREQ), subtype="PCM_16"), share)
    problems = audio_problems(events_of(path))
    assert len(problems) == 1
    assert "1.000 s" in problems[0]
    lasts = float(re.search(r"lasts ([\d.]+) s", problems[0]).group(1))
    assert lasts == pytest.approx(share, abs=0.01)
    assert "event 0" in problems[0]
    with pytest.raises(MissingData, match="cut"):
        read_sound(path, sfreq=SFREQ, duration=1.0)


def test_fault_31_a_cut_ogg(write):
    path = cut(write(noise(5 * SFREQ), "sound.ogg"), 0.5)
    assert audio_problems(events_of(path, duration=5.0))
    with pytest.raises(MissingData, match="cut"):
        read_sound(path, sfreq=SFREQ, duration=5.0)


def test_fault_31_a_cut_flac_whose_header_promises_all(write):
    path = cut(write(noise(5 * SFREQ), "sound.flac"), 0.5)
    with pytest.raises(MissingData, match="cut"):
        read_sound(path, sfreq=SFREQ)
    with pytest.raises(MissingData, match="cut"):
        read_sound(path, sfreq=SFREQ, duration=5.0)
    beginning, _ = read_sound(path, sfreq=SFREQ, duration=1.0)
    assert len(beginning) == SFREQ


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_fault_32_another_rate_is_resampled_in_pieces_as_the_whole(write, monkeypatch, rate):
    sound = noise(int(3.3 * rate))
    path = write(sound, sfreq=rate)
    expected = resample_poly(sound.astype(np.float32).astype(float), SFREQ, rate)
    monkeypatch.setattr(_audio, "SECONDS_AT_ONCE", 1)
    whole, notes = read_sound(path, sfreq=SFREQ)
    assert notes == {"resampled_from": rate}
    assert len(whole) == len(expected)
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-6)
    part, _ = read_sound(path, sfreq=SFREQ, start=0.8, duration=1.7)
    np.testing.assert_allclose(part, expected[12_800 : 12_800 + 27_200], rtol=0, atol=1e-6)


def test_fault_32_a_tone_keeps_its_frequency_and_phase(write):
    path = write(0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100), sfreq=44_100)
    samples, _ = read_sound(path, sfreq=SFREQ, start=0.25, duration=0.5)
    expected = 0.5 * np.sin(2 * np.pi * 440 * (0.25 + np.arange(8_000) / SFREQ))
    np.testing.assert_allclose(samples, expected, atol=2e-3)


def test_fault_33_stereo_is_averaged_and_noted(write):
    sound = noise(SFREQ, channels=2)
    samples, notes = read_sound(write(sound), sfreq=SFREQ)
    assert notes == {"downmixed": 2}
    np.testing.assert_allclose(samples, sound.mean(axis=1), atol=1e-7)


def test_fault_34_integers_and_floats_are_alike_and_clipping_is_counted(write):
    sound = np.clip(noise(SFREQ), -0.9, 0.9)
    sound[100:107] = 1.0
    sound[200:203] = -1.0
    as_float, notes = read_sound(write(sound), sfreq=SFREQ)
    as_integer, notes_of_integer = read_sound(write(sound, "integer.wav", subtype="PCM_16"), sfreq=SFREQ)
    assert notes == notes_of_integer == {"full_scale_samples": 10}
    np.testing.assert_allclose(as_integer, as_float, atol=1.01 / 32768)


def test_fault_35_silence_names_the_file_and_the_time(write):
    sound = noise(4 * SFREQ)
    sound[SFREQ : 2 * SFREQ] = 0
    path = write(sound)
    with pytest.raises(BrainalignError, match=r"sound\.wav, 1\.000 to 2\.000 s: the sound is silent"):
        read_sound(path, sfreq=SFREQ, start=1.0, duration=1.0)
    assert read_sound(path, sfreq=SFREQ, start=0.9, duration=1.0)[0].any()  # a pause is no fault
    with pytest.raises(BrainalignError, match="silent"):
        read_sound(write(np.full(SFREQ, 0.25), "constant.wav"), sfreq=SFREQ)
    with pytest.raises(BrainalignError, match="silent"):  # channels that cancel
        read_sound(write(noise(SFREQ)[:, None] * [1, -1], "opposed.wav"), sfreq=SFREQ)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_fault_35_a_sample_that_is_not_finite(write, bad):
    sound = noise(2 * SFREQ)
    sound[24_000] = bad
    path = write(sound)
    with pytest.raises(BrainalignError, match=r"sound\.wav.* not finite, the first at 1\.500 s"):
        read_sound(path, sfreq=SFREQ, start=0.5)
    assert len(read_sound(path, sfreq=SFREQ, duration=1.5)[0]) == 24_000


def test_fault_35_files_without_sound(write, tmp_path):
    empty = write(np.zeros(0), "none.wav")
    blank = tmp_path / "blank.wav"
    blank.touch()
    text = tmp_path / "text.wav"
    text.write_text("this is no sound, whatever its name says")
    for path, said in ((empty, "holds no sound"), (blank, "is empty"), (text, "cannot read"), ("gone.wav", "no such")):
        with pytest.raises(MissingData, match=said):
            read_sound(path, sfreq=SFREQ)
        assert said in audio_problems(events_of(path))[0]
    with pytest.raises(BrainalignError, match="no sample"):
        read_sound(write(noise(SFREQ)), sfreq=SFREQ, start=0.5, duration=1e-5)
    with pytest.raises(BrainalignError, match="shorter than one sample"):
        read_sound(write(noise(SFREQ)), sfreq=100, start=0.5, duration=1e-3)


def test_all_bad_files_are_listed_at_once(write):
    good = write(noise(SFREQ))
    problems = audio_problems(events_of("gone.wav", good, "lost.wav", "gone.wav"))
    assert [problem.split(":")[0] for problem in problems] == ["gone.wav", "lost.wav"]


def test_fault_37_blocks_keep_memory_flat(write, monkeypatch):
    path = write(noise(120 * SFREQ))  # 7.7 MB
    monkeypatch.setattr(_audio, "SECONDS_AT_ONCE", 1)
    inspect_sound(path)
    tracemalloc.start()
    try:
        inspect_sound(path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
        tracemalloc.reset_peak()
        read_samples(path, sfreq=8_000, first=400_000, n=80_000)
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


def test_an_event_may_outlast_its_file_by_the_rounding_of_tables(write):
    path = write(noise(SFREQ))
    samples, notes = read_sound(path, sfreq=SFREQ, start=0.5, duration=0.51)
    assert notes == {"silence_added": pytest.approx(0.01, abs=1e-4)}
    assert len(samples) == 8_160
    assert not samples[8_000:].any()
    assert samples[:8_000].all()
    assert audio_problems(events_of(path, duration=1.01)) == []
    with pytest.raises(MissingData, match=r"lasts 1\.000 s, .* to 1\.030 s"):
        read_sound(path, sfreq=SFREQ, duration=1.03)
    assert "lasts 1.000 s" in audio_problems(events_of(path, duration=1.03))[0]


@pytest.mark.parametrize("name", ["sound.ogg", "sound.opus.ogg", "sound.mp3", "sound.flac", "sound.wav"])
def test_a_part_of_any_format_is_that_of_the_whole(write, name):
    time = np.arange(30 * SFREQ + 400) / SFREQ
    sound = 0.3 * np.sin(2 * np.pi * 200 * time) * (time % 1 < 0.5)  # encoders save bits in pauses for what follows
    path = write(sound, name, **({"subtype": "OPUS"} if "opus" in name else {}))
    whole = soundfile.read(path, dtype="float32")[0]
    for start in (0.01, 3.1, 17.2, 23.2, 29.05, 29.2):
        part, _ = read_sound(path, sfreq=SFREQ, start=start, duration=0.2)
        first = round(start * SFREQ)
        np.testing.assert_allclose(part, whole[first : first + 3_200], atol=1e-6, err_msg=f"{start} s")


def test_events_that_cannot_be_heard(write):
    path = write(noise(3 * SFREQ))
    good = events_of(path, path, audio_start=[0.0, 2.0])
    assert audio_problems(good) == []
    assert "from 2.500 s to 3.500 s" in audio_problems(good.assign(audio_start=[0.0, 2.5]))[0]
    assert audio_problems(good.drop(columns=["run", "audio"]))[0].startswith("events lack the columns ['run', 'audio']")
    assert audio_problems(good[:0]) == ["there are no events"]
    for column, values, said in (
        ("run", [1, 2], "a run that is no text"),
        ("onset", [0.0, np.nan], "no onset"),
        ("duration", [1.0, 0.0], "no duration above 0"),
        ("duration", [1.0, -1.0], "no duration above 0"),
        ("duration", [1.0, np.nan], "no duration above 0"),
        ("audio_start", [0.0, -1.0], "audio_start that is not 0 or more"),
        ("audio", [str(path), None], "name no audio file"),
        ("onset", [2.0, 0.0], "onsets go back in time"),
    ):
        assert said in audio_problems(good.assign(**{column: values}))[0]


def test_stimulus_files_each_once_in_order():
    assert [str(path) for path in stimulus_files(events_of("b.wav", "a.wav", "b.wav"))] == ["b.wav", "a.wav"]


def test_real_speech(data_dir):
    folder = data_dir / "librivox" / "test" / "data" / "librivox"
    if not folder.is_dir():
        pytest.skip(f"real recordings are not at {folder}")
    seconds = 0.0
    for path in sorted(folder.glob("*.wav")):
        expected, rate = soundfile.read(path, dtype="float32")
        samples, notes = read_sound(path, sfreq=rate)
        np.testing.assert_array_equal(samples, expected)
        assert set(notes) <= {"full_scale_samples"}
        seconds += len(samples) / rate
    assert seconds == pytest.approx(24.7, abs=0.1)
