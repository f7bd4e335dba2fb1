"""Speech models in causal windows."""

import json
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.signal import resample_poly

from brainalign.errors import BrainalignError, MissingData, UnknownName
from brainalign.extract import EXTRACTORS, speech
from brainalign.extract._frames import bins_of, frames_of_convolutions, windows_of

SFREQ = 16_000
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
STRIDE_AND_SIZE = ((5, 10), (10, 20), (20, 40), (40, 80), (80, 160), (160, 240), (320, 400))  # of wav2vec 2.0, by hand
FAMILIES = ("wav2vec2_group", "wav2vec2_layer", "hubert", "wavlm", "data2vec", "whisper")
BY_WINDOW = ("wav2vec2_group", "hubert")  # the first convolution is normalised over time


check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]


def tiny_model(family):
    torch.manual_seed(0)
    if family == "whisper":
        config = transformers.WhisperConfig(
            vocab_size=50,
            num_mel_bins=8,
            d_model=16,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=32,
            max_source_positions=100,
            max_target_positions=8,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=0,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
        return transformers.WhisperModel(config)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": (8,) * 7,
        "conv_kernel": KERNELS,
        "conv_stride": STRIDES,
        "num_conv_pos_embedding_groups": 1,  # torch 2.13 on a CPU convolves 2 groups of 8 wrongly in bfloat16
    }
    if family == "data2vec":
        config = transformers.Data2VecAudioConfig(**small, conv_pos_kernel_size=5, num_conv_pos_embeddings=2)
        return transformers.Data2VecAudioModel(config)
    small["num_conv_pos_embeddings"] = 16
    stable = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    if family == "wav2vec2_layer":
        return transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**small, **stable))
    if family == "wavlm":
        return transformers.WavLMModel(transformers.WavLMConfig(**small, **stable))
    if family == "hubert":
        return transformers.HubertModel(transformers.HubertConfig(**small))
    return transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**small))


def feature_extractor_of(family):
    if family == "whisper":
        return transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=2)
    return transformers.Wav2Vec2FeatureExtractor(
        do_normalize=family != "wavlm", return_attention_mask=family not in BY_WINDOW
    )


@pytest.fixture(scope="session")
def speech_folders(tmp_path_factory, make):
    """One tiny model of each family, 2 blocks of 16 units, with the real kernels and strides."""
    folders = {}
    for family in FAMILIES:
        folders[family] = tmp_path_factory.mktemp(family)
        make.as_if_trained(tiny_model(family)).save_pretrained(folders[family])
        feature_extractor_of(family).save_pretrained(folders[family])
    return folders


def voice(seconds, *, seed=0, sfreq=SFREQ):
    """Noise that swells and fades, as far from silence and full scale as speech is."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sfreq)) / sfreq
    return (0.05 + 0.1 * np.sin(2 * np.pi * 3 * time + seed) ** 2) * rng.standard_normal(len(time)).clip(-3, 3)


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for name, seconds in (("a", 1.51), ("b", 2.4)):
        soundfile.write(folder / f"{name}.wav", voice(seconds, seed=ord(name)), SFREQ, subtype="PCM_16")
    return folder


@pytest.fixture
def events(sounds):
    """Two runs; the second event is cut out of a longer file, the last lasts no whole number of bins."""
    return pd.DataFrame(
        {
            "run": ["1", "1", "2"],
            "onset": [3.0, 10.5, 0.25],
            "duration": [1.5, 1.0, 1.47],
            "audio": [str(sounds / "a.wav"), str(sounds / "b.wav"), str(sounds / "b.wav")],
            "audio_start": [0.0, 0.7, 0.9],
        }
    )


def config_of(folder, **changes):
    return speech.Config(model=str(folder), **({"context": 0.6, "step": 0.1} | changes))


def bins_by_hand(n_samples, step):
    """Borders in samples; a remainder below 32.5 ms belongs to the last whole bin."""
    borders = [round(k * step * SFREQ) for k in range(10_000) if k * step * SFREQ < n_samples - 1e-6]
    if len(borders) > 1 and n_samples - borders[-1] < 520:
        borders.pop()
    return list(zip(borders, [*borders[1:], n_samples], strict=True))


def pooled(states, centres, first, stop, pooling):
    rows = states[(centres >= first) & (centres < stop)]
    assert len(rows)
    return rows[-1] if pooling == "last" else rows.mean(axis=0)


def convolutions(model, inputs):
    """Every layer's (n_frames, width) and its centres in samples."""
    states, layers = inputs[:, None], []
    for convolution, (stride, size) in zip(model.feature_extractor.conv_layers, STRIDE_AND_SIZE, strict=True):
        states = convolution(states)
        layers.append((states[0].T.numpy(), size / 2 + stride * np.arange(states.shape[-1])))
    return layers


def brute_force(family, folder, events, *, step=0.1, context=0.6, right_context=0.0, pooling="mean"):
    """One forward pass of transformers for each bin: {layer: (n_bins, width)}."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    model = model.encoder if family == "whisper" else model
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    before, after = round(context * SFREQ), round(right_context * SFREQ)
    rows = []
    for event in events.itertuples():
        start = round(event.audio_start * SFREQ)
        sound = soundfile.read(event.audio, dtype="float32")[0][start : start + round(event.duration * SFREQ)]
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # WavLM's own code, when it is given the mask of its extractor
            whole = extractor(sound, sampling_rate=SFREQ, return_tensors="pt")
            for first, last in bins_by_hand(len(sound), step):
                begin, end = max(0, last - before), min(len(sound), last + after)
                inputs = extractor(sound[begin:end], sampling_rate=SFREQ, return_tensors="pt")
                hidden = model(**inputs, output_hidden_states=True).hidden_states
                layers = {}
                if family != "whisper":
                    by_window = family in BY_WINDOW
                    shift = begin if by_window else 0
                    for i, (states, centres) in enumerate(
                        convolutions(model, (inputs if by_window else whole).input_values), start=1
                    ):
                        layers[f"conv{i}"] = pooled(states, centres, first - shift, last - shift, pooling)
                for k, states in enumerate(hidden):
                    centres = 320 * np.arange(states.shape[1]) + (0 if family == "whisper" else 200)
                    layers[str(k)] = pooled(states[0].numpy(), centres, first - begin, last - begin, pooling)
                rows.append(layers)
    return {layer: np.stack([row[layer] for row in rows]) for layer in rows[0]}


def compare(found, expected, *, atol=1e-5):
    assert list(found) == list(expected)
    for layer, values in expected.items():
        np.testing.assert_allclose(found[layer].values, values, rtol=0, atol=atol, err_msg=layer)


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_one_forward_pass_per_bin(speech_folders, events, family):
    found = speech.extract(events, config_of(speech_folders[family]))
    compare(found, brute_force(family, speech_folders[family], events))


@pytest.mark.parametrize("family", ["wav2vec2_layer", "wav2vec2_group", "whisper"])
def test_right_context_and_the_last_frame(speech_folders, events, family):
    options = {"step": 0.15, "context": 0.4, "right_context": 0.23, "pooling": "last"}
    found = speech.extract(events, config_of(speech_folders[family], **options))
    compare(found, brute_force(family, speech_folders[family], events, **options))


@pytest.mark.parametrize("family", FAMILIES)
def test_contract(speech_folders, events, tmp_path, monkeypatch, family):
    monkeypatch.setattr(speech, "ROWS_PER_PART", 9)
    config = config_of(speech_folders[family], weights=("trained", "untrained"))
    scratch = tmp_path / "half" if family in ("wav2vec2_layer", "whisper") else None
    check_extractor(speech, config, events, n_rows=15 + 10 + 15, scratch=scratch)


def test_rows_are_the_bins_on_the_clock_of_the_run(speech_folders, events):
    rows = speech.extract(events, config_of(speech_folders["wav2vec2_layer"], layers=(1,)))["1"].rows
    for event in events.itertuples():
        of_event = rows[(rows["run"] == event.run) & rows["onset"].between(event.onset - 1e-9, event.onset + 2)]
        n = len(of_event)
        np.testing.assert_allclose(of_event["onset"], event.onset + 0.1 * np.arange(n), atol=1e-9)
        assert of_event["duration"].sum() == pytest.approx(event.duration)
        assert set(of_event["audio"]) == {event.audio}
    assert rows["duration"].iloc[-1] == pytest.approx(0.07)  # 1.47 s


def test_a_remainder_that_holds_no_frame_is_joined_to_the_bin_before(speech_folders, events):
    config = config_of(speech_folders["wav2vec2_layer"], layers=(1,))
    rows = speech.extract(events[:1].assign(duration=1.03), config)["1"].rows
    assert len(rows) == 10
    assert rows["duration"].iloc[-1] == pytest.approx(0.13)
    rows = speech.extract(events[:1].assign(duration=1.033), config)["1"].rows
    assert len(rows) == 11


@settings(deadline=None, max_examples=200)
@given(
    st.integers(400, 60_000),
    st.floats(520, 8_000),
    st.floats(1, 4),
    st.integers(0, 3_000),
)
def test_every_bin_has_a_frame_in_its_window_and_in_the_whole(n_samples, step, n_steps, after):
    layers = frames_of_convolutions(KERNELS, STRIDES)
    borders = bins_of(n_samples, step=step, shortest=layers[-1].shortest_bin)
    assert borders[0] == 0
    assert borders[-1] == n_samples
    assert (np.diff(borders) > 0).all()
    for window in windows_of(borders, i_event=0, before=round(n_steps * step), after=after):
        assert window.start <= window.first < window.last <= window.stop
        for frames in layers:
            length = window.stop - window.start
            first, stop = frames.between(window.first - window.start, window.last - window.start, n_samples=length)
            assert 0 <= first < stop <= frames.count(length)
            first, stop = frames.between(window.first, window.last, n_samples=n_samples)
            assert first < stop


def test_fault_36_one_second_has_49_frames(speech_folders):
    frames = frames_of_convolutions(KERNELS, STRIDES)
    assert [each[:2] for each in frames] == list(STRIDE_AND_SIZE)
    model = transformers.AutoModel.from_pretrained(speech_folders["wav2vec2_layer"])
    for n_samples in (400, 719, 720, 15_999, 16_000, 16_080):
        n_frames = model(torch.zeros(1, n_samples)).last_hidden_state.shape[1]
        assert frames[-1].count(n_samples) == n_frames
    assert frames[-1].count(16_000) == 49
    assert frames[-1].count(399) == 0


@pytest.mark.parametrize("sample", [0, 399, 400, 1_999, 2_000, 3_217])
def test_fault_36_an_impulse_reaches_the_frames_that_the_arithmetic_says(speech_folders, sample):
    model = transformers.AutoModel.from_pretrained(speech_folders["wav2vec2_layer"], dtype=torch.float64).eval()
    sound = torch.from_numpy(voice(0.3))[None]
    hit = sound.clone()
    hit[0, sample] += 1.0
    with torch.inference_mode():
        layers = [convolutions(model, each) for each in (sound, hit)]
    for frames, (before, _), (after, _) in zip(frames_of_convolutions(KERNELS, STRIDES), *layers, strict=True):
        j = np.arange(frames.count(4_800))
        reached = (j * frames.stride <= sample) & (sample < j * frames.stride + frames.size)
        np.testing.assert_array_equal((before != after).any(axis=1), reached)


def test_fault_36_an_impulse_in_whisper_peaks_where_its_frame_lies(speech_folders):
    reading = speech._Reading(config_of(speech_folders["whisper"]))
    model = transformers.AutoModel.from_pretrained(speech_folders["whisper"]).encoder.eval()
    frames = reading.frames
    assert (frames.stride, frames.first_centre) == (320, 0)
    assert [frames.count(n) for n in (1, 320, 321, 32_000)] == [1, 1, 2, 100]
    for sample in (3_200, 9_000, 20_123):
        sound = voice(2.0).astype(np.float32)
        hit = sound.copy()
        hit[sample] += 0.3
        with torch.inference_mode():
            calm, struck = (
                model(
                    reading.extractor(each, sampling_rate=SFREQ, return_tensors="pt").input_features,
                    output_hidden_states=True,
                ).hidden_states[0][0]
                for each in (sound, hit)
            )
        change = (calm - struck).abs().max(dim=1).values.numpy()
        j = np.arange(len(change))
        reached = (j * frames.stride + frames.start <= sample) & (
            sample < j * frames.stride + frames.start + frames.size
        )
        assert change[~reached].max() < 1e-4 * change.max()
        assert abs((change * j).sum() / change.sum() * frames.stride - sample) <= frames.stride


def test_rows_know_nothing_of_the_sound_after_them(speech_folders, tmp_path):
    sound = voice(2.0)
    soundfile.write(tmp_path / "as_it_was.wav", sound, SFREQ)
    sound[16_000:] = voice(1.0, seed=5)
    soundfile.write(tmp_path / "other_end.wav", sound, SFREQ)
    for family in FAMILIES:
        for right_context, n_same in ((0.0, 10), (0.2, 8)):
            config = config_of(speech_folders[family], layers=(1, 2), right_context=right_context)
            first, other = (
                speech.extract(one_event(tmp_path / name, 2.0), config) for name in ("as_it_was.wav", "other_end.wav")
            )
            for layer in first:
                same = np.isclose(first[layer].values, other[layer].values, rtol=0, atol=1e-6).all(axis=1)
                assert same[:n_same].all()
                assert not same[n_same:].any()


def one_event(path, duration, **columns):
    return pd.DataFrame({"run": ["1"], "onset": [0.0], "duration": [duration], "audio": [str(path)]} | columns)


def test_fault_31_cut_files(speech_folders, tmp_path):
    config = config_of(speech_folders["wav2vec2_layer"], layers=(0,))
    soundfile.write(tmp_path / "cut.wav", voice(2.0), SFREQ)
    soundfile.write(tmp_path / "cut.flac", voice(2.0), SFREQ)
    for name in ("cut.wav", "cut.flac"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        events = one_event(path, 2.0)
        assert "cut" in speech.check(events, config)[0]
        with pytest.raises(BrainalignError, match="cut"):
            speech.extract(events, config)


def test_fault_32_and_33_rate_and_channels_are_changed_and_noted(speech_folders, tmp_path):
    rate = 44_100
    stereo = np.column_stack([voice(1.2, seed=i, sfreq=rate) for i in (1, 2)])
    soundfile.write(tmp_path / "stereo.wav", stereo, rate, subtype="FLOAT")
    mono = resample_poly(stereo.astype(np.float32).mean(axis=1, dtype=float), SFREQ, rate)
    soundfile.write(tmp_path / "mono.wav", mono, SFREQ, subtype="FLOAT")
    config = config_of(speech_folders["wav2vec2_layer"])
    found = speech.extract(one_event(tmp_path / "stereo.wav", 1.2), config)
    expected = speech.extract(one_event(tmp_path / "mono.wav", 1.2), config)
    compare(found, {layer: each.values for layer, each in expected.items()})
    assert found["0"].provenance["sounds"] == [
        {"audio": "stereo.wav", "start": 0.0, "downmixed": 2, "resampled_from": rate}
    ]
    assert expected["0"].provenance["sounds"] == []


def test_fault_34_integers_loudness_and_offset_do_not_matter_where_the_model_scales(speech_folders, tmp_path):
    sound = voice(1.0)
    variants = {"integer": (sound, "PCM_16"), "loud": (2 * sound, "FLOAT"), "offset": (sound + 0.1, "FLOAT")}
    soundfile.write(tmp_path / "plain.wav", sound, SFREQ, subtype="FLOAT")
    config = config_of(speech_folders["wav2vec2_layer"])
    plain = speech.extract(one_event(tmp_path / "plain.wav", 1.0), config)
    for name, (values, subtype) in variants.items():
        soundfile.write(tmp_path / f"{name}.wav", values, SFREQ, subtype=subtype)
        found = speech.extract(one_event(tmp_path / f"{name}.wav", 1.0), config)
        compare(found, {layer: each.values for layer, each in plain.items()}, atol=5e-3)
    clipped = np.clip(sound, -0.2, 0.2) / 0.2
    soundfile.write(tmp_path / "clipped.wav", clipped, SFREQ, subtype="FLOAT")
    found = speech.extract(one_event(tmp_path / "clipped.wav", 1.0), config)
    noted = found["0"].provenance["sounds"][0]["full_scale_samples"]
    assert noted == np.count_nonzero(np.abs(clipped.astype(np.float32)) == 1) > 10


def test_fault_35_silent_broken_and_short_sounds(speech_folders, tmp_path):
    config = config_of(speech_folders["wav2vec2_layer"], layers=(0,))
    broken = voice(1.0)
    broken[8_000] = np.nan
    for name, sound, said in (
        ("silent", np.zeros(SFREQ), "silent"),
        ("broken", broken, r"not finite, the first at 0\.500 s"),
        ("short", voice(0.02), r"shorter than the 400 samples \(0\.025 s\)"),
    ):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, sound, SFREQ, subtype="FLOAT")
        events = one_event(path, len(sound) / SFREQ)
        assert name in speech.check(events, config)[0]
        with pytest.raises(BrainalignError, match=said):
            speech.extract(events, config)
    soundfile.write(tmp_path / "shortest.wav", voice(0.025), SFREQ)
    assert len(speech.extract(one_event(tmp_path / "shortest.wav", 0.025), config)["0"].rows) == 1
    assert "no such file" in speech.check(one_event(tmp_path / "gone.wav", 1.0), config)[0]


@pytest.mark.parametrize("family", ["wav2vec2_layer", "wav2vec2_group"])
def test_fault_37_a_long_sound_in_pieces_is_the_whole_and_little_is_in_memory(
    speech_folders, tmp_path, monkeypatch, family
):
    soundfile.write(tmp_path / "long.wav", voice(60.0), SFREQ)
    events = one_event(tmp_path / "long.wav", 60.0)
    config = config_of(speech_folders[family], step=0.5, context=1.0, layers=("conv1", "conv4", "conv7", 2))
    at_once = speech.extract(events, config)
    read, sizes = speech.read_samples, []

    def spy(*arguments, n, **options):
        sizes.append(n)
        return read(*arguments, n=n, **options)

    monkeypatch.setattr(speech, "read_samples", spy)
    monkeypatch.setattr(speech, "ROWS_PER_PART", 7)
    monkeypatch.setattr(speech, "SECONDS_PER_PIECE", 1)
    in_pieces = speech.extract(events, config, scratch=tmp_path / "half")
    compare(in_pieces, {layer: each.values for layer, each in at_once.items()})
    assert max(sizes) <= (7 * 0.5 + 1.0) * SFREQ
    assert isinstance(in_pieces["2"].values, np.memmap)
    if family == "wav2vec2_layer":
        model = transformers.AutoModel.from_pretrained(speech_folders[family]).eval()
        extractor = transformers.AutoFeatureExtractor.from_pretrained(speech_folders[family])
        sound = soundfile.read(tmp_path / "long.wav", dtype="float32")[0]
        with torch.inference_mode():
            whole = convolutions(model, extractor(sound, sampling_rate=SFREQ, return_tensors="pt").input_values)
        for depth in (1, 4, 7):
            states, centres = whole[depth - 1]
            expected = [pooled(states, centres, 8_000 * k, 8_000 * (k + 1), "mean") for k in range(120)]
            np.testing.assert_allclose(in_pieces[f"conv{depth}"].values, expected, atol=1e-5)


def test_fault_25_bfloat16_is_stored_as_float32(speech_folders, events):
    for family in ("wav2vec2_layer", "wavlm", "whisper"):
        precise = speech.extract(events, config_of(speech_folders[family]))
        coarse = speech.extract(events, config_of(speech_folders[family], dtype="bfloat16"))
        for layer, activations in coarse.items():
            assert activations.values.dtype == np.float32
            correlation = np.corrcoef(activations.values.ravel(), precise[layer].values.ravel())[0, 1]
            assert correlation > 0.999
            assert not np.array_equal(activations.values, precise[layer].values)


def with_changed_weights(folder, target, change):
    """Copy a model folder; `change` gets its tensors by name."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_fault_26_what_float16_cannot_hold_is_kept(speech_folders, events, tmp_path):
    def enlarge(tensors):
        tensors["feature_projection.projection.weight"] *= 1e6

    folder = with_changed_weights(speech_folders["wav2vec2_layer"], tmp_path / "large", enlarge)
    values = speech.extract(events, config_of(folder, layers=(0,)))["0"].values
    assert np.abs(values).max() > 65_504
    assert np.isfinite(values).all()


def test_fault_27_a_value_that_is_not_finite_names_its_layer_and_sound(speech_folders, events, tmp_path):
    def break_one(tensors):
        tensors["encoder.layers.1.feed_forward.output_dense.bias"][3] = float("nan")

    folder = with_changed_weights(speech_folders["wav2vec2_layer"], tmp_path / "broken", break_one)
    with pytest.raises(BrainalignError, match=r"layer 2: .* 0\.000 s of event 0: audio .*a\.wav.* not finite"):
        speech.extract(events, config_of(folder))
    assert len(speech.extract(events, config_of(folder, layers=("conv1", 0, 1)))) == 3


def test_weights_that_lack_a_tensor(speech_folders, events, tmp_path):
    def drop(tensors):
        del tensors["encoder.layers.0.attention.k_proj.weight"]

    folder = with_changed_weights(speech_folders["hubert"], tmp_path / "lacking", drop)
    with pytest.raises(BrainalignError, match=r"lack 1 tensors .*k_proj"):
        speech.extract(events, config_of(folder))

    def drop_what_training_needs(tensors):
        del tensors["masked_spec_embed"]

    folder = with_changed_weights(speech_folders["hubert"], tmp_path / "fine", drop_what_training_needs)
    found = speech.extract(events, config_of(folder))
    expected = speech.extract(events, config_of(speech_folders["hubert"]))
    compare(found, {layer: each.values for layer, each in expected.items()}, atol=0)


def test_files_that_are_missing_or_of_another_kind(speech_folders, events, tmp_path):
    def without(name, target):
        folder = with_changed_weights(speech_folders["wav2vec2_layer"], tmp_path / target, lambda _: None)
        (folder / name).unlink()
        return config_of(folder)

    for name in ("preprocessor_config.json", "config.json", "model.safetensors"):
        config = without(name, f"without_{name}")
        with pytest.raises(MissingData, match=name):
            speech.extract(events, config)
        assert name in speech.check(events, config)[0]
    with pytest.raises(MissingData, match="not on this machine"):
        speech.layer_names(config_of("nobody/no-such-model"))
    config = without("model.safetensors", "pickled")
    (Path(config.model) / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(MissingData, match="pickled"):
        speech.extract(events, config)

    other = with_changed_weights(speech_folders["wav2vec2_layer"], tmp_path / "other", lambda _: None)
    transformers.BertConfig(hidden_size=16).save_pretrained(other)
    with pytest.raises(BrainalignError, match="'bert' is none of the speech models"):
        speech.layer_names(config_of(other))
    mixed = with_changed_weights(speech_folders["whisper"], tmp_path / "mixed", lambda _: None)
    feature_extractor_of("wavlm").save_pretrained(mixed)
    with pytest.raises(BrainalignError, match=r"Wav2Vec2FeatureExtractor does not belong to .*'whisper'"):
        speech.layer_names(config_of(mixed))
    transformers.WhisperFeatureExtractor(feature_size=8).save_pretrained(mixed)
    with pytest.raises(BrainalignError, match="gives 3000 frames of 8 bands, the model reads 200 of 8"):
        speech.layer_names(config_of(mixed))


def test_layers_by_name_and_number(speech_folders):
    folder = speech_folders["wav2vec2_layer"]
    every = (*(f"conv{i}" for i in range(1, 8)), "0", "1", "2")
    assert speech.layer_names(config_of(folder)) == every
    assert speech.layer_names(config_of(folder, layers=(-1, "conv3", "0"))) == ("conv3", "0", "2")
    assert speech.layer_names(config_of(speech_folders["whisper"])) == ("0", "1", "2")
    with pytest.raises(UnknownName, match=r"unknown layer 'conv8' \(did you mean 'conv"):
        speech.layer_names(config_of(folder, layers=("conv8",)))
    with pytest.raises(UnknownName, match="unknown layer '3'"):
        speech.layer_names(config_of(folder, layers=(3,)))


def test_windows_that_do_not_fit_the_model(speech_folders, events):
    config = config_of(speech_folders["wav2vec2_layer"], step=0.03)
    assert "a bin below 0.0325 s may hold none" in speech.check(events, config)[0]
    config = config_of(speech_folders["whisper"], context=1.9, right_context=0.2)
    assert "reads 2 s at once" in speech.check(events, config)[0]
    with pytest.raises(ValueError, match="context"):
        config_of(speech_folders["whisper"], context=0.05)


def test_events_that_overlap(speech_folders, events):
    config = config_of(speech_folders["whisper"])
    overlapping = events.assign(onset=[3.0, 4.0, 0.0])
    assert "begin before the one before them has ended, the first at 4.0 s" in speech.check(overlapping, config)[0]
    with pytest.raises(BrainalignError, match="has ended"):
        speech.extract(overlapping, config)


def test_plan(speech_folders, events):
    counts = speech.plan(events, config_of(speech_folders["wav2vec2_layer"], layers=("conv1", 0, 1)))
    assert (counts["n_events"], counts["n_windows"], counts["n_layers"]) == (3, 40, 3)
    assert counts["n_samples"] == round((1.5 + 1.0 + 1.47) * SFREQ)
    assert counts["bytes_result"] == 4 * 40 * (8 + 16 + 16)
    lengths = [min(last, 9_600) for n in (24_000, 16_000, 23_520) for _, last in bins_by_hand(n, 0.1)]
    assert counts["n_samples_read"] == sum(lengths)
    whisper = speech.plan(events, config_of(speech_folders["whisper"]))
    assert whisper["n_samples_read"] == 40 * 2 * SFREQ


def test_settings_name_a_folder_and_not_its_place(speech_folders):
    folder = speech_folders["wavlm"]
    config = config_of(folder, batch_size=3)
    assert speech.settings(config)["model"] == folder.name
    assert "batch_size" not in speech.settings(config)
    json.dumps(speech.settings(config))
    assert set(speech.fingerprint(config)) == {"config.json", "preprocessor_config.json", "model.safetensors"}
    untrained = speech.fingerprint(config, weights="untrained")
    assert untrained.keys() == {"config.json", "preprocessor_config.json", "torch", "transformers"}


def test_real_speech(speech_folders, data_dir):
    folder = data_dir / "librivox" / "test" / "data" / "librivox"
    if not folder.is_dir():
        pytest.skip(f"real recordings are not at {folder}")
    paths = sorted(folder.glob("*.wav"))[1:4]
    duration = np.array([soundfile.info(path).duration for path in paths])
    events = pd.DataFrame(
        {"run": "1", "onset": np.cumsum(duration) - duration, "duration": duration, "audio": [str(p) for p in paths]}
    )
    options = {"step": 0.5, "context": 2.0}
    for family in ("wav2vec2_group", "wavlm"):
        found = speech.extract(events, config_of(speech_folders[family], **options))
        expected = brute_force(family, speech_folders[family], events.assign(audio_start=0.0), **options)
        compare(found, expected, atol=2e-5)
        assert len(found["1"].rows) == sum(len(bins_by_hand(round(d * SFREQ), 0.5)) for d in duration)
        assert found["1"].rows["duration"].sum() == pytest.approx(duration.sum())


def test_importing_the_module_is_light():
    code = "import brainalign.extract.speech, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "soundfile", "scipy"} & set(loaded)
    assert EXTRACTORS["speech"].Config is speech.Config
