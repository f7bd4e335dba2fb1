"""Activations of vision models."""

import json
import runpy
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from sklearn.random_projection import SparseRandomProjection
from torch import nn

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError, MissingData, UnknownName
from brainalign.extract import EXTRACTORS, vision

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]

BOTH = ("trained", "untrained")
SIDE = 32
TOWER = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 12, 16], "depths": [1, 1, 2]}


def clip():
    text = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 50,
    }
    vision_config = {**TOWER, "intermediate_size": 32}
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision_config))


MODELS = {
    "vit": lambda: transformers.ViTModel(transformers.ViTConfig(**TOWER, intermediate_size=32)),
    "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**TOWER)),
    "clip": clip,
    "convnext": lambda: transformers.ConvNextModel(transformers.ConvNextConfig(num_stages=3, patch_size=4, **STAGES)),
    "resnet": lambda: transformers.ResNetModel(
        transformers.ResNetConfig(embedding_size=8, layer_type="basic", **STAGES)
    ),
}
CROP = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
PROCESSORS = {
    "vit": ("ViTImageProcessor", {"size": {"height": SIDE, "width": SIDE}}),
    "dinov2": ("BitImageProcessor", CROP),
    "clip": ("CLIPImageProcessor", CROP),
    "convnext": ("ConvNextImageProcessor", {"size": {"shortest_edge": SIDE}, "crop_pct": 0.875}),
    "resnet": ("ConvNextImageProcessor", {"size": {"shortest_edge": SIDE}, "crop_pct": 0.875}),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory, make):
    """A tiny model of each family, as if trained, with its image processor."""
    found = {}
    for name, build in MODELS.items():
        torch.manual_seed(0)
        found[name] = tmp_path_factory.mktemp(name)
        model = make.as_if_trained(build())
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        model.save_pretrained(found[name])
        kind, options = PROCESSORS[name]
        (found[name] / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": kind, **options}))
    return found


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Eight pictures of different sizes and kinds."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(8):
        values = rng.integers(0, 256, size=(40 + 3 * i, 56 - 4 * i, 3), dtype=np.uint8)
        smooth = Image.fromarray(values).resize((9, 9)).resize(values.shape[1::-1])
        (smooth.convert("L") if i == 5 else smooth).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(8)]


def events_of(*cells, column="image", duration=0.5):
    n = len(cells)
    return pd.DataFrame({"run": ["1"] * n, "onset": 1.0 * np.arange(n), "duration": duration, column: list(cells)})


@pytest.fixture(scope="session")
def events(images):
    """The pictures in two runs, one of them again, and two in one event."""
    return events_of(*images, images[2], f"{images[3]}|{images[4]}").assign(run=["1"] * 6 + ["2"] * 4)


def config_of(folder, **changes):
    return vision.Config(model=str(folder), **changes)


def one_by_one(name, folder, images):
    """Hidden states by plain calls of transformers: list over images of n_layers tensors."""
    model_class = {"clip": transformers.CLIPVisionModel}.get(name, transformers.AutoModel)
    model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    states = []
    for image in images:
        pixels = processor(Image.open(image).convert("RGB"), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            states.append([s[0] for s in model(pixels, output_hidden_states=True).hidden_states])
    return states


def pooled(states, pooling):
    if pooling == "cls":
        return states[0]
    if pooling == "none":
        return states.flatten()
    return states.mean(dim=0 if states.ndim == 2 else (1, 2))


@pytest.mark.parametrize(
    ("name", "pooling"),
    [*((name, "none") for name in MODELS), ("vit", "mean"), ("resnet", "mean"), ("dinov2", "cls"), ("clip", "cls")],
)
def test_equals_one_image_at_a_time_through_transformers(name, pooling, folders, images):
    expected = one_by_one(name, folders[name], images)
    layers = vision.extract(events_of(*images), config_of(folders[name], pooling=pooling, batch_size=3))
    assert tuple(layers) == tuple(str(i) for i in range(4)) == vision.layer_names(config_of(folders[name]))
    for i, layer in enumerate(layers.values()):
        want = np.stack([pooled(of_image[i], pooling) for of_image in expected])
        np.testing.assert_allclose(layer.values, want, rtol=1e-4, atol=1e-5)
    assert np.ptp(layer.values, axis=0).max() > 1e-2  # layer 0 of the class token is the same for all pictures


@pytest.mark.parametrize("name", ["clip", "convnext"])
def test_contract(name, folders, events):
    check_extractor(vision, config_of(folders[name], weights=BOTH), events)
    assert EXTRACTORS["vision"] is vision


@pytest.mark.parametrize("name", ["dinov2", "resnet"])
def test_untrained_twins(name, folders, images):
    trained = vision.extract(events_of(*images), config_of(folders[name]))
    twin = vision.extract(events_of(*images), config_of(folders[name], seed=3), weights="untrained")
    torch.manual_seed(3)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(folders[name])).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folders[name])
    pixels = processor(Image.open(images[0]).convert("RGB"), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model(pixels, output_hidden_states=True).hidden_states
    for i, layer in enumerate(twin.values()):
        np.testing.assert_allclose(layer.values[0], pooled(expected[i][0], "mean"), rtol=1e-4, atol=1e-5)
        assert not np.allclose(layer.values, trained[str(i)].values, atol=1e-2)
        assert layer.provenance["weights"] == "untrained"


def test_contract_with_module_paths_and_random_projection(folders, events, tmp_path):
    config = config_of(
        folders["vit"],
        weights=BOTH,
        pooling="random_projection",
        n_components=10,
        layers=(-1, "layers.0.mlp", "layernorm"),
    )
    check_extractor(vision, config, events, scratch=tmp_path / "half")
    assert vision.layer_names(config) == ("3", "layers.0.mlp", "layernorm")
    assert "scikit-learn" in vision.fingerprint(config)


@pytest.mark.parametrize(
    ("name", "path", "of_output"),
    [
        ("vit", "layernorm", lambda out: out.last_hidden_state),
        ("vit", "pooler.activation", lambda out: out.pooler_output),
        ("dinov2", "layernorm", lambda out: out.last_hidden_state),
        ("clip", "post_layernorm", lambda out: out.pooler_output),
        ("convnext", "layernorm", lambda out: out.pooler_output),
        ("resnet", "encoder.stages.2", lambda out: out.last_hidden_state),
    ],
)
def test_module_paths_give_what_the_model_returns(name, path, of_output, folders, images):
    layers = vision.extract(events_of(*images[:2]), config_of(folders[name], layers=(path,), pooling="none"))
    model_class = {"clip": transformers.CLIPVisionModel}.get(name, transformers.AutoModel)
    model = model_class.from_pretrained(folders[name], dtype=torch.float32).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folders[name])
    for i, image in enumerate(images[:2]):
        pixels = processor(Image.open(image).convert("RGB"), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            want = of_output(model(pixels)).flatten()
        np.testing.assert_allclose(layers[path].values[i], want, rtol=1e-4, atol=1e-5)


def test_a_resnet_that_adds_in_place_does_not_overwrite_what_was_recorded(folders, images):
    """Its blocks compute `hidden_state += residual` on the output of their last convolution."""
    path = "encoder.stages.0.layers.0.layer.1"
    got = vision.extract(events_of(images[0]), config_of(folders["resnet"], layers=(path, 0), pooling="none"))
    model = transformers.AutoModel.from_pretrained(folders["resnet"]).eval()
    first = torch.from_numpy(got["0"].values).reshape(1, 8, 8, 8)
    with torch.no_grad():
        expected = model.encoder.stages[0].layers[0].layer(first)
    np.testing.assert_allclose(got[path].values, expected.flatten(1), atol=1e-5)


def test_random_projection_is_that_of_sklearn_whatever_the_batches(folders, images):
    whole = vision.extract(events_of(*images), config_of(folders["convnext"], pooling="none"))
    for batch_size in (1, 3):
        config = config_of(
            folders["convnext"], pooling="random_projection", n_components=40, projection_seed=7, batch_size=batch_size
        )
        for name, layer in vision.extract(events_of(*images), config).items():
            peer = SparseRandomProjection(40, random_state=7, dense_output=True)
            np.testing.assert_allclose(layer.values, peer.fit_transform(whole[name].values), rtol=1e-4, atol=1e-4)
    other = config.model_copy(update={"projection_seed": 8})
    assert not np.allclose(vision.extract(events_of(*images), other)["0"].values, layer.values[:, :1])


def test_fault_29_the_same_picture_twice_gives_the_same_and_is_run_once(folders, events):
    for layer in vision.extract(events, config_of(folders["vit"], batch_size=3)).values():
        np.testing.assert_array_equal(layer.values[8], layer.values[2])
        assert not np.allclose(layer.values[8], layer.values[3])
        assert layer.provenance["images"]["n_pictures"] == 10  # 8 alone, 2 of the event of two
        np.testing.assert_allclose(layer.values[9], layer.values[3:5].mean(axis=0), atol=1e-5)


def test_an_event_of_more_pictures_than_a_batch(folders, images):
    alone = vision.extract(events_of(*images), config_of(folders["vit"]))
    together = vision.extract(events_of("|".join(images), images[0]), config_of(folders["vit"], batch_size=3))
    for name, layer in together.items():
        np.testing.assert_allclose(layer.values[0], alone[name].values.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(layer.values[1], alone[name].values[0], atol=1e-5)


@pytest.mark.parametrize("suffix", ["gif", "folder"])
def test_a_video_gives_a_row_per_frame_equal_to_the_frame_as_an_image(suffix, folders, tmp_path, images):
    frames = [Image.open(image).convert("RGB").resize((40, 40)) for image in images]
    if suffix == "gif":
        path = tmp_path / "v.gif"
        frames = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100] * 7 + [300])
        times = [*np.arange(8) * 0.1]
    else:
        path = tmp_path / "video"
        path.mkdir()
        times = [*np.arange(8) * 0.125]
    for i, frame in enumerate(frames):
        frame.convert("RGB").save((path if suffix == "folder" else tmp_path) / f"{i}.png")
    stills = [str((path if suffix == "folder" else tmp_path) / f"{i}.png") for i in range(8)]
    config = config_of(folders["dinov2"], batch_size=3)
    events = events_of(str(path), str(path), column="video", duration=1.0)
    expected, got = vision.extract(events_of(*stills), config), vision.extract(events, config)
    assert vision.check(events, config) == []
    for name, layer in got.items():
        np.testing.assert_allclose(layer.values, np.tile(expected[name].values, (2, 1)), atol=1e-5)
        np.testing.assert_allclose(layer.rows["onset"], [*times, *(1 + np.array(times))], atol=1e-9)
        assert layer.rows["frame"].tolist() == [*range(8)] * 2
    assert vision.plan(events, config)["n_pictures"] == 8


def test_fault_20_dropout_is_off(tmp_path, folders, images, make):
    config = transformers.ViTConfig(**TOWER, intermediate_size=32, hidden_dropout_prob=0.5)
    make.as_if_trained(transformers.ViTModel(config)).save_pretrained(tmp_path)
    shutil.copy(folders["vit"] / "preprocessor_config.json", tmp_path)
    first, second = (vision.extract(events_of(*images), config_of(tmp_path))["3"].values for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_fault_25_bfloat16_is_returned_as_float32(folders, images):
    exact = vision.extract(events_of(*images), config_of(folders["vit"]))
    for name, layer in vision.extract(events_of(*images), config_of(folders["vit"], dtype="bfloat16")).items():
        assert layer.values.dtype == np.float32
        assert 0 < np.abs(layer.values - exact[name].values).max() < 0.2


def test_faults_26_and_27_values_that_are_not_finite_name_layer_and_stimulus(tmp_path, folders, images):
    model = transformers.AutoModel.from_pretrained(folders["vit"])
    shutil.copy(folders["vit"] / "preprocessor_config.json", tmp_path)
    bias = model.layers[1].mlp.fc2.bias.data
    bias[3] = float("nan")
    model.save_pretrained(tmp_path)
    with pytest.raises(
        BrainalignError, match=r"layer 2: the activations of 4 events .* image '.*0.png' \(run '1', row 0\)"
    ):
        vision.extract(events_of(*images), config_of(tmp_path, batch_size=4))
    bias[3], bias[4] = 3e38, -3e38
    model.save_pretrained(tmp_path)
    with pytest.raises(BrainalignError, match=r"layer [23]: the activations .* not finite"):
        vision.extract(events_of(*images), config_of(tmp_path))


def test_fault_28_an_unknown_module_lists_near_ones(folders, events):
    config = config_of(folders["vit"], layers=("layers.0.mlp.fc3",))
    with pytest.raises(UnknownName, match=r"unknown module of ViTModel 'layers.0.mlp.fc3' \(did you mean .*fc[12]'"):
        vision.extract(events, config)
    assert "did you mean" in vision.check(events, config)[0]
    with pytest.raises(
        BrainalignError, match=r"layers \[4, -5\]: the model .* has layers 0 \(embeddings\) to 3, or -4"
    ):
        vision.layer_names(config_of(folders["resnet"], layers=(0, 4, -5)))


def test_fault_30_another_model_under_the_same_name_has_another_fingerprint(tmp_path, folders, make):
    shutil.copytree(folders["vit"], tmp_path / "vit")
    config = config_of(tmp_path / "vit")
    before = vision.fingerprint(config)
    assert set(before) == {"config.json", "model.safetensors", "preprocessor_config.json"}
    torch.manual_seed(3)
    make.as_if_trained(MODELS["vit"]()).save_pretrained(tmp_path / "vit")
    after = vision.fingerprint(config)
    assert {name for name in after if after[name] != before[name]} == {"model.safetensors"}
    twin = vision.fingerprint(config, weights="untrained")
    assert set(twin) == {"config.json", "preprocessor_config.json", "torch", "transformers"}
    assert vision.settings(config)["model"] == "vit"
    assert "batch_size" not in vision.settings(config)


@pytest.mark.parametrize("kind", ["grey", "rgba", "16 bit", "exif", "float"])
def test_faults_38_39_41_kinds_of_images_equal_their_rgb_form_and_are_noted(kind, folders, tmp_path):
    values = np.kron(np.random.default_rng(1).integers(0, 256, (4, 6), dtype=np.uint8), np.ones((8, 8), dtype=np.uint8))
    path, plain = tmp_path / ("a.npy" if kind == "float" else "a.png"), np.stack([values] * 3, axis=-1)
    if kind == "grey":
        Image.fromarray(values).save(path)
    elif kind == "rgba":
        Image.fromarray(np.concatenate([plain, np.full_like(plain[..., :1], 255)], axis=-1)).save(path)
    elif kind == "16 bit":
        Image.fromarray(values.astype(np.uint16) * 257).save(path)
    elif kind == "exif":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.ascontiguousarray(np.rot90(plain))).save(path, exif=exif)
    else:
        np.save(path, plain / 255)
    Image.fromarray(plain).save(tmp_path / "plain.png")
    layers = vision.extract(events_of(str(path), str(tmp_path / "plain.png")), config_of(folders["clip"]))
    for layer in layers.values():
        np.testing.assert_allclose(layer.values[0], layer.values[1], atol=1e-5)
        assert sum(layer.provenance["images"]["notes"].values()) >= 1


def test_faults_40_and_68_broken_and_absent_pictures_are_named(folders, tmp_path, images):
    whole = Path(images[0]).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrainalignError, match=r"cut.png: not a whole image"):
        vision.extract(events_of(*images, str(tmp_path / "cut.png")), config_of(folders["vit"], batch_size=2))
    absent = events_of(str(tmp_path / "x.png"), str(tmp_path / "y.png"))
    with pytest.raises(MissingData, match=r"2 stimulus files are not there:\n.*x.png\n.*y.png"):
        vision.extract(absent, config_of(folders["vit"]))
    with pytest.raises(MissingData, match="2 stimulus files"):
        vision.stimulus_files(absent)
    assert len(vision.check(absent, config_of(folders["vit"]))) == 1


def test_check_names_what_is_missing(folders, events, tmp_path):
    def problem(**settings):
        (line,) = vision.check(events, vision.Config(**settings))
        return line

    assert "no such folder" in problem(model=str(tmp_path / "no" / "model" / "here"))
    assert "not on this machine" in problem(model="owner/absent-vision-model")
    assert "no class token" in problem(model=str(folders["resnet"]), pooling="cls")
    assert "n_components 10000 is more than its" in problem(
        model=str(folders["vit"]), pooling="random_projection", n_components=10_000
    )
    assert "checkpoint is for plain modules" in problem(model=str(folders["vit"]), checkpoint="x.safetensors")
    shutil.copytree(folders["vit"], tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").unlink()
    assert "image processor cannot be loaded" in problem(model=str(tmp_path / "vit"))
    shutil.copy(folders["vit"] / "preprocessor_config.json", tmp_path / "vit")
    whole = (tmp_path / "vit" / "model.safetensors").read_bytes()
    (tmp_path / "vit" / "model.safetensors").write_bytes(whole[:-100])
    assert "not a whole safetensors file" in problem(model=str(tmp_path / "vit"))
    if not torch.cuda.is_available():
        assert "sees no GPU" in problem(model=str(folders["vit"]), device="cuda")


def test_a_language_model_and_an_image_size_that_does_not_fit_are_refused(events, tmp_path, gpt2_folder, folders):
    shutil.copytree(gpt2_folder, tmp_path / "gpt2")
    shutil.copy(folders["vit"] / "preprocessor_config.json", tmp_path / "gpt2")
    assert "reads input_ids, not images" in vision.check(events, config_of(tmp_path / "gpt2"))[0]
    config = config_of(folders["vit"], preprocessing=vision.Preprocessing(size=24))
    assert "cannot read images of shape (3, 24, 24)" in vision.check(events, config)[0]


def test_a_processor_that_does_not_crop_is_refused_for_pictures_that_are_not_square(events, tmp_path, folders):
    shutil.copytree(folders["resnet"], tmp_path / "resnet")
    kind = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": SIDE}, "do_center_crop": False}
    (tmp_path / "resnet" / "preprocessor_config.json").write_text(json.dumps(kind))
    with pytest.raises(BrainalignError, match=r"0.png: the image processor gives \(3, .*give a table preprocessing"):
        vision.extract(events, config_of(tmp_path / "resnet"))
    config = config_of(tmp_path / "resnet", preprocessing=vision.Preprocessing(size=SIDE))
    assert len(vision.extract(events, config)["0"].values) == len(events)


def test_a_pooler_that_the_weights_lack_is_refused(tmp_path, folders, events, make):
    config = transformers.ViTConfig(**TOWER, intermediate_size=32)
    make.as_if_trained(transformers.ViTForImageClassification(config)).save_pretrained(tmp_path)
    shutil.copy(folders["vit"] / "preprocessor_config.json", tmp_path)
    assert vision.check(events, config_of(tmp_path)) == []
    assert "have no pooler" in vision.check(events, config_of(tmp_path, layers=("pooler.dense",)))[0]
    with pytest.raises(BrainalignError, match="have no pooler"):
        vision.extract(events, config_of(tmp_path, layers=(1, "pooler.dense")))


def test_plan_counts(folders, events):
    got = vision.plan(events, config_of(folders["vit"], pooling="none", batch_size=4))
    model = transformers.AutoModel.from_pretrained(folders["vit"])
    n_parameters = sum(weight.numel() for weight in model.parameters())
    assert got == {
        "n_events": 10,
        "n_rows": 10,
        "n_stimuli": 9,
        "n_pictures": 10,
        "n_layers": 4,
        "width": 17 * 16,
        "n_parameters": n_parameters,
        "bytes_weights": 4 * n_parameters,
        "bytes_batch": 4 * 2 * 4 * 3 * SIDE * SIDE,
        "bytes_result": 4 * 10 * 4 * 17 * 16,
    }


SOURCE = """
import torch
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3), nn.Flatten(),
                         nn.Linear(576, 5))


class Broken:
    pass


number = 3
"""


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """A torch class in a module of its own, with a checkpoint."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "some_networks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delitem(sys.modules, "some_networks", raising=False)
    import some_networks

    torch.manual_seed(11)
    save_file(some_networks.Net().state_dict(), tmp_path / "net.safetensors")
    preprocessing = vision.Preprocessing(size=31, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    yield vision.Config(
        model="module:some_networks:Net",
        checkpoint=str(tmp_path / "net.safetensors"),
        preprocessing=preprocessing,
        weights=BOTH,
    )
    sys.modules.pop("some_networks", None)


def by_hand(image, *, size=31, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)):
    picture = Image.open(image).convert("RGB")
    ratio = size / min(picture.size)
    picture = picture.resize([max(size, round(ratio * side)) for side in picture.size], Image.Resampling.BICUBIC)
    left, top = ((side - size) // 2 for side in picture.size)
    values = np.asarray(picture)[top : top + size, left : left + size] / 255
    return torch.tensor(((values - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)


def test_a_plain_module_keeps_the_contract_and_equals_plain_calls(plain, events, images, tmp_path):
    check_extractor(vision, plain, events, scratch=tmp_path / "half")
    import some_networks

    model = some_networks.Net()
    model.load_state_dict(load_file(plain.checkpoint))
    assert vision.layer_names(plain) == ("0", "1", "2", "3", "4")
    layers = vision.extract(events_of(*images), plain.model_copy(update={"pooling": "none"}))
    with torch.no_grad():
        for i, image in enumerate(images):
            convolved = model[0](by_hand(image))
            np.testing.assert_allclose(layers["0"].values[i], convolved.flatten(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(layers["4"].values[i], model(by_hand(image))[0], rtol=1e-4, atol=1e-5)
    assert (layers["0"].values < 0).any()  # the ReLU after it works in place
    assert vision.settings(plain)["checkpoint"] == "net.safetensors"
    assert set(vision.fingerprint(plain)) == {"some_networks.py", "net.safetensors"}
    assert set(vision.fingerprint(plain, weights="untrained")) == {"some_networks.py", "torch", "transformers"}


PARTS = {
    "halves/parts.py": "from torch import nn\n\nclass Half(nn.ReLU):\n    pass\n",
    "quarters/parts.py": "from halves.parts import Half\n\nclass Quarter(Half):\n    pass\n",
    "net_of_parts.py": """
from torch import nn
from quarters.parts import Quarter

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 2, 3), Quarter())
""",
}


def test_fault_30_the_source_of_every_part_of_a_plain_module_counts(plain, tmp_path):
    paths = [tmp_path / "code" / name for name in PARTS]
    for path, source in zip(paths, PARTS.values(), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    config = plain.model_copy(update={"model": "module:net_of_parts:Net", "checkpoint": ""})
    seen = [vision.fingerprint(config, weights="untrained")]
    assert set(seen[0]) == {"net_of_parts.py", "parts.py", "torch", "transformers"}
    for path in paths:
        path.write_text(path.read_text() + "# other\n")
        seen.append(vision.fingerprint(config, weights="untrained"))
        assert seen[-1] not in seen[:-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "module:no_such_module:Net"}, "'no_such_module' cannot be imported"),
        ({"model": "module:some_networks:Nett"}, r"unknown class of some_networks 'Nett' \(did you mean 'Net'\?\)"),
        ({"model": "module:some_networks:number"}, "unknown class of some_networks 'number'"),
        ({"model": "module:some_networks:Broken"}, "Broken is not a torch.nn.Module"),
        ({"checkpoint": ""}, "has no trained weights: give a checkpoint"),
        ({"checkpoint": "/no/such.safetensors"}, "/no/such.safetensors: no such file"),
        ({"preprocessing": None}, "has no image processor of its own: give a table preprocessing"),
        ({"preprocessing": vision.Preprocessing(size=30)}, "cannot read images of shape"),
        ({"layers": (0, 1)}, "a plain module has no numbered layers"),
        ({"layers": ("0", "7")}, "unknown module of Net '7'"),
        ({"pooling": "cls"}, "has no class token"),
    ],
)
def test_plain_modules_that_cannot_be_used(plain, events, changes, message):
    config = plain.model_copy(update=changes)
    (problem,) = vision.check(events, config)
    with pytest.raises(BrainalignError, match=message):
        raise BrainalignError(problem)
    with pytest.raises(BrainalignError, match=message):
        vision.extract(events, config)


def test_a_checkpoint_of_another_network_and_one_that_is_not_trained(plain, events, tmp_path):
    import some_networks

    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    config = plain.model_copy(update={"checkpoint": str(tmp_path / "other.safetensors")})
    with pytest.raises(BrainalignError, match=r"other.safetensors: not the weights of 'module:some_networks:Net'"):
        vision.extract(events, config)
    torch.manual_seed(0)
    save_file(some_networks.Net().state_dict(), tmp_path / "fresh.safetensors")
    config = plain.model_copy(update={"checkpoint": str(tmp_path / "fresh.safetensors")})
    with pytest.raises(BrainalignError, match="6 weight tensors equal the trained ones"):
        vision.extract(events, config, weights="untrained")


def test_untrained_alexnet_is_loaded_as_a_plain_module(images):
    from brainalign.simulate.alexnet import AlexNet

    config = vision.Config(
        model="module:brainalign.simulate.alexnet:AlexNet",
        preprocessing=vision.Preprocessing(size=227),
        layers=("relu5",),
        pooling="none",
        weights=("untrained",),
        seed=4,
    )
    assert vision.check(events_of(images[0]), config) == []
    got = vision.extract(events_of(images[0]), config, weights="untrained")["relu5"]
    assert got.shape == (1, 43_264)
    with torch.no_grad():
        expected = AlexNet(seed=4)(by_hand(images[0], size=227, mean=(0, 0, 0), std=(1, 1, 1)))
    np.testing.assert_allclose(got.values, expected.flatten(1), rtol=1e-4, atol=1e-5)
    assert "relu5" in vision.layer_names(config.model_copy(update={"layers": "all"}))
    assert set(vision.fingerprint(config, weights="untrained")) == {"alexnet.py", "torch", "transformers"}


def test_a_torchscript_file(tmp_path, plain, images, events):
    import some_networks

    model = some_networks.Net().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(model, torch.zeros(1, 3, 31, 31)).save(tmp_path / "net.pt")
    config = vision.Config(model=str(tmp_path / "net.pt"), preprocessing=plain.preprocessing)
    check_extractor(vision, config, events, scratch=tmp_path / "half")
    assert vision.layer_names(config) == ("output",)
    got = vision.extract(events_of(*images), config)["output"]
    with torch.no_grad():
        expected = torch.cat([model(by_hand(image)) for image in images])
    np.testing.assert_allclose(got.values, expected, rtol=1e-4, atol=1e-5)
    assert set(vision.fingerprint(config)) == {"net.pt"}
    assert vision.settings(config)["model"] == "net.pt"

    def problem(**changes):
        (line,) = vision.check(events, config.model_copy(update=changes))
        return line

    assert "cannot be built anew" in problem(weights=BOTH)
    assert "gives one layer, 'output'" in problem(layers=("0",))
    assert "no such file" in problem(model=str(tmp_path / "no.pt"))
    (tmp_path / "cut.pt").write_bytes((tmp_path / "net.pt").read_bytes()[:500])
    assert "not a whole TorchScript file" in problem(model=str(tmp_path / "cut.pt"))


def test_save_and_load(folders, events, tmp_path):
    layer = vision.extract(events, config_of(folders["resnet"], layers=(1,)))["1"]
    layer.save(tmp_path / "layer")
    again = Activations.load(tmp_path / "layer")
    np.testing.assert_array_equal(again.values, layer.values)
    assert again.provenance == layer.provenance
    assert layer.provenance["images"]["notes"] == {"grey made RGB": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": ()},
        {"batch_size": 0},
        {"revision": "main"},
        {"device": "gpu"},
        {"pooling": "max"},
        {"weights": ()},
        {"background": 256},
        {"preprocessing": {"size": 0}},
        {"preprocessing": {"size": 8, "std": (1.0, 0.0, 1.0)}},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        vision.Config(model="x", **wrong)


def test_importing_the_module_loads_no_heavy_library():
    import subprocess

    code = "import brainalign.extract.vision, brainalign.extract.pixels, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "PIL", "sklearn"} & set(loaded)


def test_on_a_gpu(folders, events):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    exact = vision.extract(events, config_of(folders["vit"]))
    for name, layer in vision.extract(events, config_of(folders["vit"], device="auto")).items():
        np.testing.assert_allclose(layer.values, exact[name].values, atol=1e-2)
