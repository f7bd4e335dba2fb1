"""Acoustic features of sounds whose envelope, onsets and pitch are known."""

import json
import runpy
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy import signal

from brainalign.errors import BrainalignError
from brainalign.extract import _acoustics, _pitch, acoustics

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]

SFREQ = 16000
STEP = 0.01


def seconds(duration, sfreq=SFREQ):
    return np.arange(round(duration * sfreq)) / sfreq


def tone(frequency, duration=1.0, amplitude=0.5, sfreq=SFREQ):
    return amplitude * np.sin(2 * np.pi * frequency * seconds(duration, sfreq))


def noise(duration=1.0, amplitude=0.1, seed=0, sfreq=SFREQ):
    return amplitude * np.random.default_rng(seed).standard_normal(round(duration * sfreq))


def events_of(*paths):
    """Make events that play whole files one after the other, in one run."""
    durations = [soundfile.info(path).duration for path in paths]
    onsets = np.cumsum([1.0, *durations])[:-1]
    return pd.DataFrame({"run": "1", "onset": onsets, "duration": durations, "audio": [str(path) for path in paths]})


@pytest.fixture
def write(tmp_path):
    """Write samples to a file."""

    def write(samples, name="sound.wav", *, sfreq=SFREQ, subtype="FLOAT"):
        soundfile.write(tmp_path / name, samples, sfreq, subtype=subtype)
        return tmp_path / name

    return write


@pytest.fixture
def hear(write):
    """Give the values of one layer of a sound."""

    def hear(samples, layer, **settings):
        sfreq = settings.get("sfreq", SFREQ)
        config = acoustics.Config(layers=(layer,), **settings)
        return acoustics.extract(events_of(write(samples, sfreq=sfreq)), config)[layer].values

    return hear


def hann_mean(function, times):
    """Average a function of time as `Rows.smooth` does, around the middle of the steps that begin at some times."""
    offset = (np.arange(4000) + 0.5) / 4000 * 4 * STEP - 2 * STEP
    weights = np.cos(np.pi * offset / (4 * STEP)) ** 2
    return function(times[:, None] + STEP / 2 + offset) @ weights / weights.sum()


def test_the_contract_of_extractors(write, tmp_path):
    paths = [write(noise(0.5, seed=i, sfreq=8000), f"{i}.wav", sfreq=8000) for i in range(4)]
    events = events_of(*paths).assign(run=["1", "1", "2", "2"])
    config = acoustics.Config(sfreq=8000, n_bands=3, n_mels=6, f_max=3000.0)
    check_extractor(acoustics, config, events, n_rows=200, scratch=tmp_path / "scratch")
    got = acoustics.extract(events, config)
    assert {name: layer.shape[1] for name, layer in got.items()} == dict(
        zip(config.layers, (1, 3, 6, 4, 2, 1), strict=True)
    )
    assert acoustics.plan(events, config)["n_rows"] == 200
    assert acoustics.stimulus_files(events) == paths
    assert got["gammatone"].columns["unit"].tolist()[::2] == ["50.0", "3000.0"]
    assert got["onsets"].columns["unit"].tolist() == ["broadband", *got["gammatone"].columns["unit"]]


def test_rows_tile_the_sound(write):
    path = write(noise(0.256))
    events = pd.DataFrame(
        {
            "run": ["1", "1"],
            "onset": [2.0, 5.0],
            "duration": [0.1, 0.045],
            "audio": str(path),
            "audio_start": [0.0, 0.2],
        }
    )
    rows = acoustics.extract(events, acoustics.Config(layers=("power",)))["power"].rows
    np.testing.assert_allclose(rows["onset"][:10], 2 + STEP * np.arange(10), rtol=0, atol=1e-9)
    np.testing.assert_allclose(rows["onset"][10:], 5 + STEP * np.arange(5), rtol=0, atol=1e-9)
    np.testing.assert_allclose(rows["duration"], [*[STEP] * 14, STEP / 2], rtol=0, atol=1e-9)


# ---- envelope


@pytest.mark.parametrize("compression", [0.6, 1.0])
def test_envelope_of_an_amplitude_modulated_tone(hear, compression):
    def envelope(time):
        return (0.3 * (1 + 0.8 * np.cos(2 * np.pi * 4 * time))) ** compression

    sound = 0.3 * (1 + 0.8 * np.cos(2 * np.pi * 4 * seconds(2.0))) * np.sin(2 * np.pi * 1000 * seconds(2.0))
    got = hear(sound, "envelope", compression=compression)[:, 0]
    times = STEP * np.arange(len(got))
    inside = slice(15, -15)
    np.testing.assert_allclose(got[inside], hann_mean(envelope, times[inside]), rtol=2e-3)


def test_envelope_is_the_magnitude_of_scipys_hilbert(hear):
    sound = signal.sosfiltfilt(signal.butter(4, [200, 4000], "bandpass", fs=SFREQ, output="sos"), noise(1.5))
    magnitude = np.abs(signal.hilbert(sound)) ** 0.6
    expected = hann_mean(lambda time: np.interp(time, seconds(1.5), magnitude), STEP * np.arange(150))
    np.testing.assert_allclose(hear(sound, "envelope")[15:-15, 0], expected[15:-15], rtol=1e-2)


def test_an_offset_changes_nothing(write):
    sound = noise()
    plain, shifted = (acoustics.extract(events_of(write(s)), acoustics.Config()) for s in (sound, sound + 0.2))
    for layer in plain:
        np.testing.assert_allclose(shifted[layer].values, plain[layer].values, rtol=1e-4, atol=1e-3)


def test_power_is_the_root_mean_square_of_each_step(hear):
    sound = tone(500, amplitude=0.8) * np.repeat([1.0, 0.25], SFREQ // 2)
    got = hear(sound, "power")[:, 0]
    np.testing.assert_allclose(got, np.repeat([0.8, 0.2], 50) / np.sqrt(2), rtol=1e-5)
    sound = noise(2.0)
    expected = np.sqrt(((sound - sound.mean()).reshape(-1, 160) ** 2).mean(axis=1))
    np.testing.assert_allclose(hear(sound, "power")[:, 0], expected, rtol=1e-5)


# ---- gammatone bands


def test_the_default_bands_are_one_erb_apart():
    frequencies = _acoustics.centre_frequencies(50.0, 5000.0, 28)
    assert frequencies[[0, -1]] == pytest.approx([50, 5000])
    erb_numbers = 21.4 * np.log10(4.37e-3 * frequencies + 1)
    np.testing.assert_allclose(np.diff(erb_numbers), 1.0, atol=0.01)


@pytest.mark.parametrize("i_band", [3, 12, 24])
def test_a_tone_is_heard_by_its_band_and_less_by_its_neighbours(hear, i_band):
    frequencies = _acoustics.centre_frequencies(50.0, 5000.0, 28)
    got = hear(tone(frequencies[i_band]), "gammatone")[50]
    b = 1.019 * np.array([_acoustics.equivalent_bandwidth(f) for f in frequencies])
    gain = (1 + ((frequencies[i_band] - frequencies) / b) ** 2) ** -2
    near = slice(i_band - 3, i_band + 4)
    assert got.argmax() == i_band
    assert got[i_band] == pytest.approx(0.5**0.6, rel=5e-3)
    np.testing.assert_allclose(got[near], (0.5 * gain[near]) ** 0.6, rtol=0.04)


@pytest.mark.parametrize("frequency", [100.0, 1000.0, 4000.0])
def test_the_filters_are_those_of_scipy(frequency):
    impulse = np.zeros(SFREQ // 2)
    impulse[0] = 1
    numerator, _ = signal.gammatone(frequency, "fir", numtaps=SFREQ // 4, fs=SFREQ)
    expected = np.abs(signal.hilbert(np.concatenate([numerator, np.zeros(SFREQ // 4)])))
    delay = round(3 / (2 * np.pi * 1.019 * _acoustics.equivalent_bandwidth(frequency)) * SFREQ)
    got = _acoustics.gammatone_envelope(impulse, frequency, sfreq=SFREQ)[: -2 * delay]
    later = expected[delay:][: len(got)]
    np.testing.assert_allclose(got, later, rtol=0, atol=0.05 * later.max())
    assert later.argmax() < delay / 3


def test_a_click_is_heard_by_all_bands_at_its_time(hear):
    click = np.zeros(SFREQ)
    click[round(0.505 * SFREQ)] = 0.9
    assert hear(click, "envelope")[:, 0].argmax() == 50
    assert np.abs(hear(click, "gammatone").argmax(axis=0) - 50).max() <= 1
    assert hear(click, "power")[:, 0].argmax() == 50


# ---- onsets


def test_onsets_are_where_sounds_begin(hear):
    tones = sum(tone(f, amplitude=0.1) for f in _acoustics.centre_frequencies(200.0, 4000.0, 4))
    sound = np.concatenate([np.zeros(SFREQ // 2), tones, np.zeros(SFREQ // 2)])
    got = hear(sound, "onsets", n_bands=4, f_min=200.0, f_max=4000.0)
    assert (got >= 0).all()
    assert np.abs(got.argmax(axis=0) - 50).max() <= 1
    assert got[:, 0].argmax() == 50
    quiet = np.r_[0:45, 60:140, 155:200]  # neither while it goes on nor where it ends
    assert (got[quiet].max(axis=0) < 0.02 * got.max(axis=0)).all()


def test_onsets_are_the_positive_part_of_the_change(write):
    got = acoustics.extract(events_of(write(noise(0.6))), acoustics.Config(n_bands=5))
    both = np.hstack([got["envelope"].values, got["gammatone"].values]).astype(float)
    expected = np.maximum(np.diff(both, axis=0), 0) / STEP
    np.testing.assert_allclose(got["onsets"].values[1:], expected, atol=1e-4)


# ---- mel spectrum


def test_mel_spectrum_is_that_of_transformers(hear):
    from transformers.audio_utils import mel_filter_bank, spectrogram

    filters = mel_filter_bank(
        num_frequency_bins=513,
        num_mel_filters=40,
        min_frequency=50.0,
        max_frequency=5000.0,
        sampling_rate=SFREQ,
        norm="slaney",
        mel_scale="slaney",
    )
    got = _acoustics.mel_filters(50.0, 5000.0, 40, n_bins=513, sfreq=SFREQ)
    np.testing.assert_allclose(got, filters, rtol=0, atol=1e-12)
    sound = noise() + tone(440)
    expected = spectrogram(
        np.pad(sound, 120),
        window=_acoustics.hann(400),
        frame_length=400,
        hop_length=160,
        fft_length=1024,
        power=2.0,
        center=False,
        mel_filters=filters,
        mel_floor=1e-10,
        log_mel="log",
    ).T
    rows = _acoustics.Rows(n=100, hop=160, margin=160)
    got = _acoustics.log_mel_spectrum(np.pad(sound, 160), rows, f_min=50.0, f_max=5000.0, n_bands=40, sfreq=SFREQ)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(hear(sound - sound.mean(), "mel"), expected, rtol=0, atol=0.05)
    np.testing.assert_allclose(_acoustics.hann(400), signal.windows.hann(400, sym=False), atol=0.01)


def test_mel_bands_narrower_than_the_resolution_are_refused(write):
    events = events_of(write(noise(0.2)))
    config = acoustics.Config(n_mels=400)
    message = r"400 mel bands from 50 to 5000 Hz: \d+ are narrower than the resolution of 15.6 Hz, the first at"
    with pytest.raises(BrainalignError, match=message):
        acoustics.extract(events, config)
    assert len(acoustics.check(events, config)) == 1
    assert acoustics.check(events, acoustics.Config(n_mels=400, layers=("envelope",))) == []


# ---- pitch


@pytest.mark.parametrize("fundamental", [82.0, 137.0, 220.5, 441.0])
@pytest.mark.parametrize("harmonics", [(1, 2, 3, 4, 5, 6), (3, 4, 5)])
def test_pitch_of_a_harmonic_complex(hear, fundamental, harmonics):
    sound = sum(tone(fundamental * k, amplitude=0.2) for k in harmonics)
    f0, voicing = hear(sound, "pitch")[5:-5].T
    np.testing.assert_allclose(f0, fundamental, rtol=5e-3)
    assert (voicing > 0.95).all()
    assert (voicing <= 1).all()


def test_pitch_follows_a_glide(hear):
    times = seconds(2.0)
    phase = 2 * np.pi * (100 * times + 25 * times**2)  # 100 to 200 Hz
    sound = sum(0.2 * np.sin(k * phase) for k in range(1, 6))
    f0 = hear(sound, "pitch")[:, 0]
    middle = STEP * (np.arange(200) + 0.5)
    np.testing.assert_allclose(f0[5:-5], (100 + 50 * middle)[5:-5], rtol=1e-2)


@pytest.mark.parametrize(("first", "last"), [(80, 120), (240, 480), (480, 240)])
def test_pitch_is_told_of_the_middle_of_its_row(hear, first, last):
    octaves = np.log2(last / first) / 2  # per s, for 2 s
    cycles = first * (2 ** (octaves * seconds(2.0)) - 1) / (octaves * np.log(2))
    f0 = hear(sum(0.2 / k * np.sin(2 * np.pi * k * cycles) for k in range(1, 6)), "pitch")[10:-10, 0]
    delay = np.log2(f0 / first) / octaves - STEP * (np.arange(10, 190) + 0.5)
    assert abs(delay.mean()) < 5e-4


def test_noise_and_silence_are_unvoiced(hear):
    sound = np.concatenate([noise(1.0), np.zeros(SFREQ // 2), tone(150, 0.5), np.zeros(SFREQ // 2)])
    f0, voicing = hear(sound, "pitch").T
    assert (voicing[:98] == 0).mean() > 0.98
    assert (voicing[np.r_[105:145, 205:250]] == 0).all()
    assert (voicing[155:195] > 0.95).all()
    np.testing.assert_array_equal(f0 == 0, voicing == 0)
    assert f0[f0 > 0].min() >= 70


def test_what_is_quieter_than_16_bits_is_unvoiced(hear):
    assert (hear(tone(150, amplitude=1e-5), "pitch") == 0).all()
    assert (hear(tone(150, amplitude=1e-4), "pitch")[5:-5, 1] > 0.95).all()


def test_the_difference_function_is_its_definition():
    frames = np.random.default_rng(0).standard_normal((3, 90))
    expected = [
        [sum((frame[j] - frame[j + lag]) ** 2 for j in np.arange(50) + (40 - lag) // 2) for lag in range(41)]
        for frame in frames
    ]
    got = _pitch.difference(frames, 50, 41)
    np.testing.assert_allclose(got, expected, atol=1e-9)
    normalised = _pitch.cumulative_mean_normalised(got)
    assert normalised[1, 0] == 1
    assert normalised[1, 7] == pytest.approx(got[1, 7] / got[1, 1:8].mean())
    assert (_pitch.cumulative_mean_normalised(np.zeros((2, 5))) == 1).all()


# ---- scale, pieces, parts, memory


def test_a_louder_sound(write):
    sound = 0.02 * (noise(amplitude=0.3) + tone(180) + tone(360) + tone(540))
    quiet, loud = (acoustics.extract(events_of(write(s)), acoustics.Config()) for s in (sound, 10 * sound))
    inside = slice(10, -10)
    for layer, factor in (("envelope", 10**0.6), ("gammatone", 10**0.6), ("onsets", 10**0.6), ("power", 10)):
        a, b = quiet[layer].values[inside], loud[layer].values[inside]
        np.testing.assert_allclose(b, factor * a, rtol=1e-3, atol=1e-4 * b.max())
    np.testing.assert_allclose(loud["mel"].values[inside] - quiet["mel"].values[inside], np.log(100), rtol=0, atol=1e-3)
    np.testing.assert_allclose(loud["pitch"].values, quiet["pitch"].values, rtol=1e-4)


@pytest.mark.parametrize("sfreq", [16000, 22050, 44100])
def test_pieces_equal_the_whole(write, monkeypatch, sfreq):
    sound = noise(2.3, sfreq=sfreq) + tone(200, 2.3, sfreq=sfreq) * (seconds(2.3, sfreq) > 1.1)
    events = events_of(write(sound, sfreq=sfreq))
    config = acoustics.Config(n_bands=5)
    whole = acoustics.extract(events, config)
    monkeypatch.setattr(acoustics, "SECONDS_PER_PIECE", 0.5)
    assert acoustics.plan(events, config)["n_pieces"] == 5
    for layer, activations in acoustics.extract(events, config).items():
        np.testing.assert_allclose(activations.values, whole[layer].values, rtol=1e-5, atol=1e-5)


def test_a_part_of_a_file_is_heard_as_if_it_were_alone(write):
    sound = noise(2.0)
    part = events_of(write(sound)).assign(audio_start=0.7, duration=0.8)
    alone = events_of(write(sound[round(0.7 * SFREQ) : round(1.5 * SFREQ)], "alone.wav"))
    config = acoustics.Config(n_bands=3)
    for layer, activations in acoustics.extract(alone, config).items():
        np.testing.assert_array_equal(acoustics.extract(part, config)[layer].values, activations.values)


def test_fault_37_memory_does_not_grow_with_the_sound(write, monkeypatch):
    monkeypatch.setattr(acoustics, "SECONDS_PER_PIECE", 2)
    config = acoustics.Config(layers=("envelope", "mel", "pitch"), sfreq=8000, f_max=3000.0)
    peaks = []
    for n_seconds in (4, 4, 32):
        events = events_of(write(noise(n_seconds, sfreq=8000), sfreq=8000))
        tracemalloc.start()
        got = acoustics.extract(events, config)
        peaks.append(tracemalloc.get_traced_memory()[1] - sum(layer.values.nbytes for layer in got.values()))
        tracemalloc.stop()
    assert peaks[2] < 1.3 * peaks[1]


# ---- faults 31 to 35


def problem(events, message):
    """Check that `check` lists a problem and `extract` raises it."""
    config = acoustics.Config(layers=("power",))
    [listed] = acoustics.check(events, config)
    with pytest.raises(BrainalignError, match=message) as raised:
        acoustics.extract(events, config)
    assert str(raised.value) in listed or listed in str(raised.value)


def test_fault_31_a_truncated_file_is_refused(write, tmp_path):
    path = write(noise(), subtype="PCM_16")
    events = events_of(path)
    path.write_bytes(path.read_bytes()[: SFREQ // 2])
    problem(events, r"sound.wav: the file lasts 0.2\d\d s, the event needs it from 0.000 s to 1.000 s; it may be cut")
    path.unlink()
    problem(events, "sound.wav: no such file")


def test_fault_32_another_rate_is_resampled_and_noted(write):
    config = acoustics.Config(n_bands=5, f_max=3000.0)
    got = {}
    for sfreq in (16000, 44100):
        sound = sum(tone(f, sfreq=sfreq, amplitude=0.1) for f in (200, 400, 600, 3000))
        got[sfreq] = acoustics.extract(events_of(write(sound, sfreq=sfreq)), config)
    assert got[16000]["mel"].provenance["sounds"] == []
    assert got[44100]["mel"].provenance["sounds"] == [{"audio": "sound.wav", "start": 0.0, "resampled_from": 44100}]
    for layer in ("envelope", "gammatone", "pitch", "power"):
        np.testing.assert_allclose(
            got[44100][layer].values[10:-10], got[16000][layer].values[10:-10], rtol=5e-3, atol=1e-3
        )


def test_fault_33_channels_are_averaged_and_noted(write):
    left, right = noise(seed=1), noise(seed=2)
    config = acoustics.Config(n_bands=3)
    mono = acoustics.extract(events_of(write((left + right) / 2)), config)
    stereo = acoustics.extract(events_of(write(np.stack([left, right], axis=1), "stereo.wav")), config)
    for layer in config.layers:
        np.testing.assert_allclose(stereo[layer].values, mono[layer].values, rtol=0, atol=1e-3)
    assert stereo["mel"].provenance["sounds"] == [{"audio": "stereo.wav", "start": 0.0, "downmixed": 2}]


def test_fault_34_integers_are_floats_and_clipping_is_counted(write):
    sound = noise(amplitude=0.2).clip(-0.9, 0.9)
    config = acoustics.Config(n_bands=3)
    as_float, as_integer = (
        acoustics.extract(events_of(write(sound, subtype=subtype)), config) for subtype in ("FLOAT", "PCM_16")
    )
    for layer in ("envelope", "gammatone", "power"):
        np.testing.assert_allclose(as_integer[layer].values, as_float[layer].values, rtol=1e-3, atol=1e-4)
    clipped = np.where(np.abs(sound) > 0.4, np.sign(sound), sound)
    got = acoustics.extract(events_of(write(clipped, subtype="PCM_16")), config)
    [note] = got["power"].provenance["sounds"]
    assert note["full_scale_samples"] == (np.abs(sound) > 0.4).sum() > 100


def test_fault_35_silence_nan_and_short_sounds_are_refused(write):
    problem(events_of(write(np.zeros(SFREQ))), "the sound is silent, all its samples are 0")
    sound = noise()
    sound[700] = np.nan
    problem(events_of(write(sound)), r"a sample is not finite, the first at 0.044 s of the file")
    problem(events_of(write(noise(0.005))), r"1 events are shorter than one step \(0.01 s\), the first is event 0")
    events = events_of(write(noise()))
    write(np.zeros(0))
    problem(events, "the file holds no sound")
    problem(events.iloc[:0], "there are no events")


def test_sounds_at_the_same_time_are_refused(write):
    path = write(noise())
    events = events_of(path, path)
    problem(events.assign(onset=[0.0, 0.5]), "1 events begin before the one before them has ended, the first at 0.5 s")
    assert acoustics.check(events.assign(onset=[0.0, 0.5], run=["1", "2"]), acoustics.Config()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 0.0101}, "even number of samples, got 161.6"),
        ({"sfreq": 11025}, "even number of samples, got 110.25"),
        ({"f_max": 8000.0}, r"f_max \(8000 Hz\) must lie above f_min \(50 Hz\) and below sfreq / 2 \(8000 Hz\)"),
        ({"f_min": 600.0, "f_max": 500.0}, "must lie above f_min"),
        ({"pitch_max": 3000.0}, "pitch_max"),
        ({"layers": ("mel", "mel")}, "more than once"),
        ({"layers": ("loudness",)}, "layers"),
        ({"compression": 0.0}, "compression"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        acoustics.Config(**settings)


# ---- real speech


@pytest.fixture(scope="module")
def librivox(data_dir):
    folder = data_dir / "librivox" / "test" / "data" / "librivox"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder


def test_real_speech_against_the_alignment_of_another_program(librivox):
    """Vowels are voiced, fricatives less so, and pauses quiet, by the phones that pocketsphinx found."""
    paths = sorted(librivox.glob("*.wav"))
    events = events_of(*paths)
    assert acoustics.check(events, acoustics.Config()) == []
    got = acoustics.extract(events, acoustics.Config(layers=("envelope", "pitch", "power")))
    phones = pd.concat([phones_of(path).assign(audio=str(path)) for path in paths])
    f0, voicing = got["pitch"].values.T
    power = got["power"].values[:, 0]
    onset_in_file = got["power"].rows["onset"] - got["power"].rows["audio"].map(events.set_index("audio")["onset"])
    label = np.full(len(power), "", dtype=object)
    for phone in phones.itertuples():
        inside = (got["power"].rows["audio"] == phone.audio) & (onset_in_file >= phone.start)
        label[inside & (onset_in_file + STEP <= phone.end)] = phone.label
    vowel = np.isin(label, ["AA", "AE", "AH", "AO", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "UW"])
    hiss = np.isin(label, ["S", "SH", "F", "TH", "P", "T", "K"])
    pause = label == "SIL"
    assert (voicing[vowel] > 0).mean() > 0.75
    assert (voicing[hiss] > 0).mean() < 0.2
    assert (voicing[pause] > 0).mean() < 0.1
    assert power[pause].mean() < 0.2 * power[vowel].mean()
    assert 85 < np.median(f0[f0 > 0]) < 110  # a man with a low voice
    assert np.corrcoef(got["envelope"].values[:, 0], power**0.6)[0, 1] > 0.95


def phones_of(path):
    words = json.loads(path.with_suffix(".phone.json").read_text())["w"]
    rows = [(phone["t"], phone["b"], phone["b"] + phone["d"]) for word in words for phone in word["w"]]
    return pd.DataFrame(rows, columns=["label", "start", "end"])


def test_real_digits_have_the_pitch_that_their_autocorrelation_says(data_dir):
    """60 spoken digits of six speakers: f0 at the loudest moment against the highest peak of the autocorrelation."""
    paths = sorted((data_dir / "fsdd" / "recordings").glob("*_0.wav"))
    if not paths:
        pytest.skip(f"no recordings at {data_dir / 'fsdd'}")
    events = pd.concat([events_of(path).assign(run=path.stem) for path in paths], ignore_index=True)
    got = acoustics.extract(events, acoustics.Config(layers=("pitch", "power")))
    rows = got["pitch"].rows.assign(f0=got["pitch"].values[:, 0], power=got["power"].values[:, 0])
    agreed, speakers = [], {}
    for path in paths:
        of_run = rows[rows["run"] == path.stem].reset_index(drop=True)
        loudest = of_run.loc[of_run["power"].idxmax()]
        sound, rate = soundfile.read(path)
        centre = round((loudest["onset"] - of_run["onset"][0] + loudest["duration"] / 2) * rate)
        frame = sound[max(0, centre - rate // 25) : centre + rate // 25]  # 80 ms
        frame = (frame - frame.mean()) * np.hanning(len(frame))
        lags = np.arange(rate // 300, rate // 75)
        peaks = [frame[lag:] @ frame[:-lag] / (len(frame) - lag) for lag in lags]
        expected = rate / lags[int(np.argmax(peaks))]
        agreed.append(abs(loudest["f0"] / expected - 1) < 0.08)
        speakers.setdefault(path.stem.split("_")[1], []).append(of_run.loc[of_run["f0"] > 0, "f0"].median())
    assert len(paths) == 60
    assert np.mean(agreed) >= 0.85
    assert len(speakers) == 6
    assert all(75 < np.nanmedian(of_speaker) < 260 for of_speaker in speakers.values())
