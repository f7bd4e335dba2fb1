"""The phones of words: how often each occurs, or what the mouth does for them.

Events have a column `phones`, which a data set takes from a forced alignment: the ARPAbet labels of the word with
spaces between them ("AE1 L AH0 S"). Stress marks are left out, as are the aligner's labels for what is no phone (sil,
sp, spn). One layer, "-":

- `units = "phones"`: how many of the word's phones are each of the 39 of `PHONES`; a row's sum is their number.
- `units = "features"`: how many of its phones have each of the 22 articulatory features of `FEATURES`: place and manner
  of consonants, voicing, height and backness of vowels. W is bilabial and velar; diphthongs are what they begin with.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from brainalign.arrays import Activations
from brainalign.errors import BrainalignError, UnknownName
from brainalign.extract._tokens import event_problems, stimulus_column

LAYER = "-"
NOT_PHONES = ("SIL", "SP", "SPN")
FEATURES_OF = {
    "AA": "voiced low back",
    "AE": "voiced low front",
    "AH": "voiced mid central",
    "AO": "voiced mid back",
    "AW": "voiced low central",
    "AY": "voiced low central",
    "B": "voiced bilabial plosive",
    "CH": "unvoiced postalveolar affricate",
    "D": "voiced alveolar plosive",
    "DH": "voiced dental fricative",
    "EH": "voiced mid front",
    "ER": "voiced mid central",
    "EY": "voiced mid front",
    "F": "unvoiced labiodental fricative",
    "G": "voiced velar plosive",
    "HH": "unvoiced glottal fricative",
    "IH": "voiced high front",
    "IY": "voiced high front",
    "JH": "voiced postalveolar affricate",
    "K": "unvoiced velar plosive",
    "L": "voiced alveolar lateral",
    "M": "voiced bilabial nasal",
    "N": "voiced alveolar nasal",
    "NG": "voiced velar nasal",
    "OW": "voiced mid back",
    "OY": "voiced mid back",
    "P": "unvoiced bilabial plosive",
    "R": "voiced alveolar approximant",
    "S": "unvoiced alveolar fricative",
    "SH": "unvoiced postalveolar fricative",
    "T": "unvoiced alveolar plosive",
    "TH": "unvoiced dental fricative",
    "UH": "voiced high back",
    "UW": "voiced high back",
    "V": "voiced labiodental fricative",
    "W": "voiced bilabial velar approximant",
    "Y": "voiced palatal approximant",
    "Z": "voiced alveolar fricative",
    "ZH": "voiced postalveolar fricative",
}
PHONES = tuple(FEATURES_OF)
FEATURES = (
    *("bilabial", "labiodental", "dental", "alveolar", "postalveolar", "palatal", "velar", "glottal"),
    *("plosive", "affricate", "fricative", "nasal", "lateral", "approximant"),
    *("voiced", "unvoiced"),
    *("high", "mid", "low", "front", "central", "back"),
)


class Config(BaseModel):
    """What is counted, and what of words whose phones are not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    units: Literal["phones", "features"] = Field(default="phones", description="39 phones or 22 articulatory features")
    missing: Literal["error", "zero"] = Field(
        default="error", description="words without phones: an error, or a row of zeros (they are counted and noted)"
    )


def layer_names(config: Config) -> tuple[str, ...]:  # noqa: ARG001
    """Give the only layer there is, "-"."""
    return (LAYER,)


def settings(config: Config) -> dict[str, Any]:
    """Give the settings, which together with the events decide the values."""
    return config.model_dump(mode="json")


def fingerprint(config: Config, *, weights: str = "trained") -> dict[str, str]:  # noqa: ARG001
    """Give what decides the values beside `Config` and the events: nothing."""
    return {}


def stimulus_files(events: pd.DataFrame) -> list[Path]:  # noqa: ARG001
    """List the files that events name: none, phones are in the table itself."""
    return []


def phones_of(label: Any) -> list[str]:
    """Give the phones of one cell, without stress marks: "AE1 L AH0 S" gives AE, L, AH, S; none for an empty cell."""
    parts = label.upper().split() if isinstance(label, str) else []
    return [part.rstrip("012") for part in parts if part not in NOT_PHONES]


def check(events: pd.DataFrame, config: Config) -> list[str]:
    """List what would stop `extract`; empty when nothing would."""
    problems = event_problems(events)
    if problems:
        return problems
    try:
        count_phones(events, missing=config.missing)
    except BrainalignError as error:
        problems.append(str(error))
    return problems


def plan(events: pd.DataFrame, config: Config) -> dict[str, int]:
    """Count what `extract` will give: `n_events, n_layers, width, bytes_result`."""
    width = len(_units(config))
    return {"n_events": len(events), "n_layers": 1, "width": width, "bytes_result": 4 * len(events) * width}


def _units(config: Config) -> tuple[str, ...]:
    return PHONES if config.units == "phones" else FEATURES


def count_phones(events: pd.DataFrame, *, missing: Literal["error", "zero"]) -> np.ndarray:
    """Count how many phones of every event are each of `PHONES`.

    Parameters
    ----------
    events : DataFrame of n_events rows
        With `phones`.
    missing : {"error", "zero"}
        Events without phones are an error or all zero.

    Returns
    -------
    counts : float32 array of shape (n_events, 39)

    Raises
    ------
    UnknownName
        A label that is no phone of ARPAbet: it is named with its event.
    BrainalignError
        There is no column `phones`, or events without phones with `missing="error"`.
    """
    if "phones" not in events:
        raise BrainalignError(
            f"events have no column 'phones'; they have {list(events.columns)}; a data set gives it from its alignment"
        )
    counts = np.zeros((len(events), len(PHONES)), dtype=np.float32)
    position = {phone: i for i, phone in enumerate(PHONES)}
    for i_event, label in enumerate(events["phones"]):
        for phone in phones_of(label):
            if phone not in position:
                raise UnknownName(f"phone of {_name_of(events, i_event)}:", phone, PHONES)
            counts[i_event, position[phone]] += 1
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    if missing == "error" and len(empty):
        raise BrainalignError(
            f"{len(empty)} of {len(events)} events have no phones, the first is {_name_of(events, empty[0])};"
            ' missing = "zero" gives them rows of zeros'
        )
    return counts


def _name_of(events: pd.DataFrame, i_event: int) -> str:
    column = stimulus_column(events)
    return f"event {i_event} ({column} {events[column].iloc[i_event]!r}, run {events['run'].iloc[i_event]!r})"


def features_of_phones() -> np.ndarray:
    """Give which phone has which feature: float32 array of shape (39, 22), 1 or 0."""
    return np.array(
        [[feature in FEATURES_OF[phone].split() for feature in FEATURES] for phone in PHONES], dtype=np.float32
    )


def extract(
    events: pd.DataFrame,
    config: Config,
    *,
    weights: str = "trained",  # noqa: ARG001
    scratch: Path | None = None,  # noqa: ARG001
) -> dict[str, Activations]:
    """Count the phones of every event, or their articulatory features.

    Parameters
    ----------
    events : DataFrame of n_events rows
        `run`, `onset`, `duration` (s), `word` (or `sentence`) and `phones`. Events of a run are in order of onsets.
    config : Config
    weights, scratch
        Have no meaning here: nothing is trained, and there is nothing that could be resumed.

    Returns
    -------
    activations : dict of str to Activations
        {"-": (n_events, 39 or 22)}, float32; `columns.unit` names the phones or features; rows as the events.

    Raises
    ------
    UnknownName
        A label that is no phone.
    BrainalignError
        There is no column `phones`; an event without phones where `missing` is "error", or without text or onset.

    References
    ----------
    De Heer, Huth, Griffiths, Gallant & Theunissen (2017), J. Neurosci. 37:6539-6557, for phones as features of an
    encoding model; the assignment follows the chart of the International Phonetic Association.
    """
    problems = event_problems(events)
    if problems:
        raise BrainalignError("; ".join(problems))
    counts = count_phones(events, missing=config.missing)  # (n_events, 39)
    values = counts if config.units == "phones" else counts @ features_of_phones()
    rows = events[["run", "onset", "duration", stimulus_column(events)]].reset_index(drop=True)
    provenance = {
        "extractor": "phones",
        "settings": settings(config),
        "files": fingerprint(config),
        "n_without_phones": int((counts.sum(axis=1) == 0).sum()),
    }
    return {LAYER: Activations(values, rows, pd.DataFrame({"layer": LAYER, "unit": _units(config)}), provenance)}
