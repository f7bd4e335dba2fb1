"""Phones of words."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainalign.data._textgrid import read_textgrid
from brainalign.errors import BrainalignError, UnknownName
from brainalign.extract import phones

check_extractor = runpy.run_path(str(Path(__file__).with_name("check_extractor.py")))["check_extractor"]


@pytest.fixture
def events(word_events):
    return word_events(["Alice", "was", "sister"], ["Alice"]).assign(
        phones=["AE1 L AH0 S", "W AA1 Z", "S IH1 S T ER0", "ae l ah s"]
    )


def of(events, **settings):
    return phones.extract(events, phones.Config(**settings))["-"]


def named(activations, i_event):
    """Give the units of an event that are not zero."""
    values = activations.values[i_event]
    return {unit: value for unit, value in zip(activations.columns["unit"], values.tolist(), strict=True) if value}


@pytest.mark.parametrize("units", ["phones", "features"])
def test_the_contract_of_extractors(events, units):
    check_extractor(phones, phones.Config(units=units), events)


def test_phones_are_counted_without_stress_and_case(events):
    got = of(events)
    assert got.shape == (4, 39)
    assert named(got, 0) == {"AE": 1, "L": 1, "AH": 1, "S": 1}
    assert named(got, 2) == {"S": 2, "IH": 1, "T": 1, "ER": 1}
    np.testing.assert_array_equal(got.values[3], got.values[0])
    assert got.values.sum(axis=1).tolist() == [4, 3, 5, 4]


def test_features_are_summed_over_phones(events):
    got = of(events, units="features")
    assert got.shape == (4, 22)
    w, aa, z = ("bilabial", "velar", "approximant"), ("low", "back"), ("alveolar", "fricative")
    assert named(got, 1) == dict.fromkeys((*w, *aa, *z), 1) | {"voiced": 3}


def test_every_phone_is_a_vowel_or_a_consonant():
    features = dict(zip(phones.FEATURES, phones.features_of_phones().T, strict=True))
    places, manners = phones.FEATURES[:8], phones.FEATURES[8:14]
    heights, backness = phones.FEATURES[16:19], phones.FEATURES[19:]
    assert len(phones.PHONES) == 39
    assert {name for of_phone in phones.FEATURES_OF.values() for name in of_phone.split()} == set(phones.FEATURES)
    np.testing.assert_array_equal(features["voiced"] + features["unvoiced"], 1)
    consonant, vowel = sum(features[name] for name in manners), sum(features[name] for name in heights)
    np.testing.assert_array_equal(consonant + vowel, 1)
    np.testing.assert_array_equal(sum(features[name] for name in backness), vowel)
    two_places = np.array([phone == "W" for phone in phones.PHONES])
    np.testing.assert_array_equal(sum(features[name] for name in places), consonant + two_places)
    assert [p for p, v in zip(phones.PHONES, vowel, strict=True) if v] == [p for p in phones.PHONES if p[0] in "AEIOU"]


def test_an_unknown_phone_is_named_with_its_word_and_the_nearest(events):
    events.loc[1, "phones"] = "W AA1 SHH"
    message = r"unknown phone of event 1 \(word 'was', run '1'\): 'SHH' \(did you mean 'SH'\?\); known: AA, AE"
    with pytest.raises(UnknownName, match=message):
        of(events)
    assert len(phones.check(events, phones.Config())) == 1


@pytest.mark.parametrize("nothing", ["", "sp", "SIL spn", None, np.nan])
def test_words_without_phones_are_an_error_or_zero(events, nothing):
    events["phones"] = events["phones"].astype(object)
    events.loc[2, "phones"] = nothing
    with pytest.raises(BrainalignError, match=r"1 of 4 events have no phones, the first is event 2 \(word 'sister'"):
        of(events)
    assert len(phones.check(events, phones.Config())) == 1
    got = of(events, missing="zero")
    assert got.provenance["n_without_phones"] == 1
    assert got.values.sum(axis=1).tolist() == [4, 3, 0, 4]


def test_events_without_the_column_are_refused(events):
    with pytest.raises(BrainalignError, match="no column 'phones'; they have"):
        of(events.drop(columns="phones"))
    assert phones.check(events.drop(columns="onset"), phones.Config()) == [
        "events lack the columns ['onset']; they have ['run', 'duration', 'word', 'phones']"
    ]


def test_the_phones_of_the_alice_story_are_all_known(data_dir):
    paths = sorted((data_dir / "brennan2016" / "phonemes").glob("*.TextGrid"))
    assert len(paths) == 12
    tiers = [read_textgrid(path)["phones"] for path in paths]
    spoken = pd.concat(
        [tier[tier["label"] != ""].assign(run=path.stem) for tier, path in zip(tiers, paths, strict=True)]
    )
    events = pd.DataFrame(
        {
            "run": spoken["run"],
            "onset": spoken["start"],
            "duration": spoken["end"] - spoken["start"],
            "word": spoken["label"],
            "phones": spoken["label"],
        }
    ).reset_index(drop=True)
    got = of(events, missing="zero")
    assert got.provenance["n_without_phones"] == (events["phones"] == "spn").sum() == 2
    assert got.values.sum() == len(events) - 2
    assert (got.values.sum(axis=0) > 0).all()  # each of the 39 is spoken
    common = got.columns["unit"][got.values.sum(axis=0).argsort()[::-1][:4]].tolist()
    assert common == ["AH", "T", "N", "IH"]
