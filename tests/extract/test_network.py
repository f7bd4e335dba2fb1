"""States of word networks, on an Elman network as the simulation module builds it."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from brainalign.errors import BrainalignError, UnknownName
from brainalign.extract import EXTRACTORS, network
from brainalign.extract.network import Config, extract
from brainalign.simulate.elman import Elman
from brainalign.simulate.word_network import save_network

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]

VOCABULARY = ["the", "boy", "sees", "a", "dog", "it's"]


@pytest.fixture
def folder(tmp_path):
    save_network(Elman(VOCABULARY, n_hidden=5, n_networks=2, seed=1), tmp_path / "elman")
    return tmp_path / "elman"


@pytest.fixture
def story():
    words = ["The", "boy", "sees", "a", "dog.", "A", "dog", "sees", "the", "boy.", "It's", "the", "dog"]
    run = ["1"] * 11 + ["2"] * 2
    onset = [0.4 * i for i in range(11)] + [0.0, 0.4]
    return pd.DataFrame({"run": run, "onset": onset, "duration": 0.3, "word": words})


def test_it_keeps_what_every_extractor_promises(folder, story):
    config = Config(model=str(folder), weights=("trained", "untrained"), seed=4)
    check_extractor(EXTRACTORS["network"], config, story)


def test_states_are_those_of_the_network_reading_each_run(folder, story):
    found = extract(story, Config(model=str(folder), replica=1))["hidden"].values
    reader = Elman(VOCABULARY, n_hidden=5, seed=2)  # replica 1 of seed 1
    one = reader.states(torch.tensor([0, 1, 2, 3, 4, 3, 4, 2, 0, 1, 5]))["hidden"][0]
    two = reader.states(torch.tensor([0, 4]))["hidden"][0]
    np.testing.assert_allclose(found, torch.cat([one, two]).detach().numpy(), atol=1e-7)


def test_rest_before_each_sentence(folder, story):
    by_sentence = extract(story, Config(model=str(folder), rest="sentence"))["hidden"].values
    by_run = extract(story, Config(model=str(folder)))["hidden"].values
    np.testing.assert_array_equal(by_sentence[:5], by_run[:5])
    assert not np.allclose(by_sentence[5:10], by_run[5:10])
    alone = extract(story.iloc[5:10], Config(model=str(folder)))["hidden"].values
    np.testing.assert_array_equal(by_sentence[5:10], alone)


@pytest.mark.parametrize("rest", ["run", "sentence"])
def test_runs_whose_rows_stand_between_each_other_are_read_as_if_apart(folder, story, rest):
    apart = pd.concat(
        [story[:10].assign(run="1"), story[:10][::-1].assign(run="2", onset=story["onset"][:10].to_numpy())]
    )
    apart = apart.assign(sentence_id=[0] * 5 + [1] * 5 + [2] * 5 + [3] * 5).reset_index(drop=True)
    config = Config(model=str(folder), rest=rest)
    mixed = apart.sort_values("onset", kind="stable")
    assert network.check(mixed, config) == []
    found = extract(mixed.reset_index(drop=True), config)["hidden"].values
    np.testing.assert_array_equal(found, extract(apart, config)["hidden"].values[mixed.index])


def test_words_that_are_not_known_are_an_error_or_the_unit_for_them(folder, story, tmp_path):
    strange = story.assign(word=["wug", *story["word"][1:]])
    with pytest.raises(BrainalignError, match=r"1 words are not in the network's vocabulary of 6.*\['wug'\]"):
        extract(strange, Config(model=str(folder)))
    assert "train it with an entry '<unknown>'" in network.check(strange, Config(model=str(folder)))[0]
    save_network(Elman([*VOCABULARY, "<unknown>"], seed=1), tmp_path / "wide")
    found = extract(strange, Config(model=str(tmp_path / "wide")))["hidden"]
    assert found.provenance["n_unknown"] == 1
    assert np.isfinite(found.values).all()


def test_the_key_follows_the_files_and_not_their_place(folder, story, tmp_path):
    config = Config(model=str(folder))
    before = network.fingerprint(config)
    assert network.settings(config)["model"] == "elman"
    save_network(Elman(VOCABULARY, n_hidden=5, n_networks=2, seed=2), folder)
    assert network.fingerprint(config) != before
    assert set(network.fingerprint(config, weights="untrained")) == {"network.json", "torch"}


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"layers": ("hiden",)}, UnknownName, "did you mean 'hidden'"),
        ({"replica": 2}, BrainalignError, "holds 2 networks"),
        ({"model": "/no/such/folder"}, BrainalignError, "save_network"),
    ],
)
def test_what_is_not_there_is_named(folder, story, changes, error, said):
    config = Config(**{"model": str(folder), **changes})
    with pytest.raises(error, match=said):
        network.layer_names(config)
    assert said in network.check(story, config)[0]


def test_pictures_are_for_vision(folder):
    assert "lack the column 'word'" in network.check(pd.DataFrame({"image": ["a.png"]}), Config(model=str(folder)))[0]


def test_a_state_that_is_not_finite_is_named(folder, story):
    broken = Elman(VOCABULARY, n_hidden=5, seed=1)
    with torch.no_grad():
        broken.W[0, 4] = torch.nan
    save_network(broken, folder)
    with pytest.raises(BrainalignError, match=r"layer hidden: the state after 'dog\.' \(event 4\) is not finite"):
        extract(story, Config(model=str(folder)))
