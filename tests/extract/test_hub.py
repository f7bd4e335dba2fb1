"""Finding models on this machine, and fetching them."""

import logging
import shutil
import socket
import time

import huggingface_hub
import pytest

from brainalign.errors import MissingData
from brainalign.extract import _hub, fetch_model, text

COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty HuggingFace cache, and no way out to the network."""

    def refuse(*_, **__):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    _hub._warn_not_pinned.cache_clear()
    return tmp_path


def put(cache, folder, *, model="gpt2", commit=COMMITS[0], main=True):
    home = cache / f"models--{model.replace('/', '--')}"
    shutil.copytree(folder, home / "snapshots" / commit)
    if main:
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / "main").write_text(commit)
    return home / "snapshots" / commit


def test_fault_103_a_model_that_is_not_here_is_said_at_once(cache):
    start = time.monotonic()
    with pytest.raises(MissingData, match=r"'gpt2' is not on this machine.*`brainalign fetch gpt2`.*local folder"):
        text.layer_names(text.Config(model="gpt2"))
    assert time.monotonic() - start < 1
    with pytest.raises(MissingData, match=rf"brainalign fetch gpt2 --revision {COMMITS[0]}`"):
        _hub.resolve_model("gpt2", revision=COMMITS[0])


def test_a_model_in_the_cache_is_used_and_its_commit_recorded(cache, gpt2_folder, story, caplog):
    put(cache, gpt2_folder)
    config = text.Config(model="gpt2", min_context=5)
    with caplog.at_level(logging.WARNING):
        activations = text.extract(story, config)
    assert activations["0"].provenance["commit"] == COMMITS[0]
    assert [record.message for record in caplog.records] == [
        f'model gpt2: its commit {COMMITS[0]} is used; pin it with revision = "{COMMITS[0]}"'
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        text.layer_names(text.Config(model="gpt2", revision=COMMITS[0]))
    assert not caplog.records


def test_fault_30_a_model_that_changed_under_the_same_name(cache, gpt2_folder, make, tmp_path):
    put(cache, gpt2_folder)
    changed = make.save(tmp_path / "changed", make.as_if_trained(make.tiny_gpt2(), seed=1), make.byte_level_tokenizer())
    put(cache, changed, commit=COMMITS[1])
    first, second = (text.fingerprint(text.Config(model="gpt2", revision=commit)) for commit in COMMITS)
    assert first["model.safetensors"] != second["model.safetensors"]
    assert _hub.resolve_model("gpt2").commit == COMMITS[1]
    (cache / "models--gpt2" / "refs" / "main").unlink()
    with pytest.raises(MissingData, match="here with 2 commits; choose with revision"):
        _hub.resolve_model("gpt2")
    with pytest.raises(MissingData, match=rf"here with commit {COMMITS[0]} and {COMMITS[1]}, not with revision ccc"):
        _hub.resolve_model("gpt2", revision="c" * 40)


def test_the_only_commit_is_taken_without_a_main(cache, gpt2_folder):
    folder = put(cache, gpt2_folder, model="owner/model", main=False)
    assert _hub.resolve_model("owner/model") == (folder, COMMITS[0])


def test_a_cached_model_without_weights_is_incomplete(cache, gpt2_folder):
    folder = put(cache, gpt2_folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingData, match=r"model.safetensors: no such file"):
        _hub.resolve_model("gpt2")


def test_folders(cache, gpt2_folder, tmp_path, monkeypatch):
    assert _hub.resolve_model(str(gpt2_folder)) == (gpt2_folder, "")
    with pytest.raises(MissingData, match="has no meaning"):
        _hub.resolve_model(str(gpt2_folder), revision=COMMITS[0])
    monkeypatch.setenv("HOME", str(gpt2_folder.parent))
    assert _hub.resolve_model(f"~/{gpt2_folder.name}").folder == gpt2_folder
    for wrong in (str(tmp_path / "nothing"), "./gpt2", "../x/y", "", "a b"):
        if not (tmp_path / wrong).is_dir():
            with pytest.raises(MissingData, match="no such folder"):
                _hub.resolve_model(wrong)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData, match=r"config.json: no such file"):
        _hub.resolve_model(str(tmp_path / "empty"))
    half = shutil.copytree(gpt2_folder, tmp_path / "half")
    (half / "tokenizer.json").unlink()
    with pytest.raises(MissingData, match="has no tokenizer"):
        _hub.resolve_model(str(half))


def test_shipped_is_in_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(_hub, "SHIPPED", tmp_path / "gone")
    with pytest.raises(MissingData, match="packaged model is missing"):
        _hub.resolve_model("shipped")


@pytest.mark.parametrize("way", ["refused", "dead name server"])
def test_fault_103_fetch_gives_up_within_two_seconds(way, cache, monkeypatch):
    def connect(*_, **__):
        if way == "refused":
            raise ConnectionRefusedError
        time.sleep(3)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    start = time.monotonic()
    with pytest.raises(MissingData, match=r"did not answer within 1.5 s; run `brainalign fetch gpt2` on a machine"):
        fetch_model("gpt2")
    assert time.monotonic() - start < 2


def test_fetch_refuses_what_is_not_on_a_hub_and_respects_offline(cache, monkeypatch):
    for wrong in ("shipped", "./gpt2", "/tmp/x"):
        with pytest.raises(MissingData, match="is not a hub id"):
            fetch_model(wrong)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingData, match="HF_HUB_OFFLINE is set"):
        fetch_model("gpt2")


def test_fetch_asks_for_a_commit_and_never_for_pickles(cache, gpt2_folder, monkeypatch):
    from types import SimpleNamespace

    asked = {}

    def download(model, **options):
        asked.update(options)
        return str(put(cache, gpt2_folder, model=model, commit=options["revision"], main=False))

    monkeypatch.setattr(_hub, "_require_hub", lambda *_: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(
        huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=lambda *_, **__: SimpleNamespace(sha=COMMITS[1]))
    )
    folder = fetch_model("gpt2")
    assert folder.name == asked["revision"] == COMMITS[1]
    names = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "pytorch_model.bin",
        "modeling.py",
        "onnx/config.json",
    ]
    kept = list(
        huggingface_hub.utils.filter_repo_objects(
            names, allow_patterns=asked["allow_patterns"], ignore_patterns=asked["ignore_patterns"]
        )
    )
    assert kept == names[:3]
    assert _hub.resolve_model("gpt2").folder == folder


def test_fetch_says_what_the_hub_answered(cache, monkeypatch):
    def refuse(*_, **__):
        raise OSError("404: there is no such model")

    monkeypatch.setattr(_hub, "_require_hub", lambda *_: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(MissingData, match=r"cannot fetch model 'gpt3'.*404"):
        fetch_model("gpt3", revision=COMMITS[0])
