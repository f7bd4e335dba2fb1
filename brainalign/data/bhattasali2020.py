"""The Alice data set: whole-brain fMRI of 26 listeners, word annotations, and how well each listener understood.

References
----------
Bhattasali, Brennan, Luh, Franzluebbers & Hale (2020). The Alice Datasets: fMRI & EEG observations of natural language
comprehension. LREC 2020. OpenNeuro ds002322.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from brainalign.arrays import Recording, read_tsv
from brainalign.data._manifest import distinct_subjects, require_folder, verified
from brainalign.errors import BrainalignError, Misaligned, MissingData, UnknownName

NAME = "bhattasali2020"
ANNOTATIONS = "code/annotations.tsv"
PARTICIPANTS = "participants.tsv"
RECORDINGS = "files.tsv"

COLUMNS = {
    "Words": "word",
    "Word Onset": "onset",
    "Word Offset": "offset",
    "IsLex": "is_lexical",
    "LogFreq": "log_frequency",
    "ProsBreak": "prosodic_break",
    "2-gram lexSurprisal": "surprisal_2gram",
    "3-gram lexSurprisal": "surprisal_3gram",
    "2-gram posSurprisal": "surprisal_pos_2gram",
    "3-gram posSurprisal": "surprisal_pos_3gram",
    "CFG Surprisal": "surprisal_cfg",
    "CFG BU nodeCount": "nodes_cfg_bottom_up",
    "CFG TD nodeCount": "nodes_cfg_top_down",
    "MG BU nodeCount": "nodes_mg_bottom_up",
    "MG TD nodeCount": "nodes_mg_top_down",
}
QUANTITIES = tuple(name for name in COLUMNS.values() if name not in ("word", "onset", "offset"))
LEAST_EQUAL = 0.8  # share of words that must be found unchanged for two texts to be the same text


class Config(BaseModel):
    """Settings of the data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    subjects: tuple[str, ...] | Literal["all"] = Field("all", description="listeners, e.g. 's18'; all: the 26 of them")

    _distinct = field_validator("subjects")(distinct_subjects)


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work."""
    try:
        load(config, data_dir)
    except BrainalignError as error:
        return [str(error)]
    return []


def load(config: Config, data_dir: Path) -> Recording:
    """Refuse to load: the whole-brain recordings are not supported yet.

    Raises
    ------
    MissingData
        Always. It names the recordings that are not in the folder.
    UnknownName
        A listener is not in the data set.
    """
    data_dir = require_folder(data_dir)
    known = read_participants(data_dir)["subject"].tolist()
    subjects = known if config.subjects == "all" else list(config.subjects)
    for subject in subjects:
        if subject not in known:
            raise UnknownName(f"subject of {NAME}", subject, known)
    listed = read_tsv(verified(NAME, data_dir, RECORDINGS), dtype={"path": str})["path"]
    recordings = [path for path in listed if path.endswith("_bold_preprocessed.nii.gz")]
    wanted = [path for path in recordings if path.split("/")[1].replace("sub-", "s") in subjects]
    absent = [path for path in wanted if not (data_dir / NAME / path).is_file()]
    raise MissingData(
        f"{data_dir / NAME}: {len(absent)} of {len(wanted)} preprocessed NIfTI recordings named in {RECORDINGS} are "
        f"absent{f', the first is {absent[0]}' if absent else ''}; only the annotations and the quiz are here, and "
        "whole-brain loading is not supported yet: use data set brennan2016, regions of interest of the same listeners"
    )


def read_participants(data_dir: Path) -> pd.DataFrame:
    """Read who listened and how well they understood.

    Returns
    -------
    participants : DataFrame of 26 rows
        `subject` ("s18", as in brennan2016), `age` (years), `sex`, `quiz_score` (0-12 right answers), `final_dB`
        (volume of the story), the numbers as float.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    table = read_tsv(verified(NAME, data_dir, PARTICIPANTS), dtype={"participant_id": str, "sex": str})
    table.insert(0, "subject", "s" + table.pop("participant_id"))
    return table.astype({"age": float, "quiz_score": float, "final_dB": float})


def read_annotations(data_dir: Path) -> pd.DataFrame:
    """Read the annotations of the words of the story.

    A word made of two ("Alice's") has both their values in one cell, with a comma between: their mean is given. The
    later parts of compounds ("waistcoat-pocket") have surprisal 0 in the file, and here.

    Returns
    -------
    annotations : DataFrame of 2,132 rows
        `word`; `onset`, `offset` (s in the sound file); the columns `QUANTITIES`, float. NaN where the file has an
        empty cell: clitics have no times and no prosodic break, "she" at 169.07 s has no surprisal of any kind.

    Raises
    ------
    MissingData
        The file is absent or is not the published one.
    """
    raw = read_tsv(verified(NAME, data_dir, ANNOTATIONS), dtype=dict.fromkeys(COLUMNS, str))
    annotations = raw[list(COLUMNS)].rename(columns=COLUMNS)
    for name in annotations.columns.drop("word"):
        annotations[name] = [_mean_of_cell(cell) for cell in annotations[name]]
    n_grams = annotations[["surprisal_2gram", "surprisal_3gram", "surprisal_pos_2gram", "surprisal_pos_3gram"]]
    annotations.loc[n_grams.isna().all(axis=1), "surprisal_cfg"] = np.nan  # the file says 0 there, beside empty cells
    return annotations


def _mean_of_cell(cell: str) -> float:
    return float(np.mean([float(part) for part in cell.split(",")])) if cell.strip() else float("nan")


def spelling(word: str) -> str:
    """Give the form in which words are compared: lower case, without apostrophes."""
    return re.sub("['’]", "", word).lower()


def match_words(words: Sequence[str], annotated: Sequence[str]) -> tuple[list[range], pd.DataFrame]:
    """Find for each word of a text the annotated words it corresponds to.

    Words are aligned by `difflib.SequenceMatcher` on their `spelling`. A stretch that differs ("upon" and "up on",
    "labled" and "labelled") is taken as one block: each of its words corresponds to all annotated words of the block.

    Parameters
    ----------
    words : sequence of str, length n_words
    annotated : sequence of str, length n_annotated

    Returns
    -------
    blocks : list of n_words ranges
        Positions in `annotated`; never empty.
    mismatches : DataFrame
        Everything that is not the same letter by letter, in order: `kind` ("spelling": only case or apostrophe;
        "replaced"; "annotation only"), `position` in `words`, `words`, `annotated` (text).

    Raises
    ------
    Misaligned
        Words have no counterpart, all of them listed; or fewer than 80 % of the words are the same: it is another text.
    """
    words, annotated = list(words), list(annotated)
    matcher = SequenceMatcher(None, [spelling(w) for w in words], [spelling(w) for w in annotated], autojunk=False)
    blocks: list[range] = []
    mismatches, alone, n_equal = [], [], 0
    for kind, start, stop, first, last in matcher.get_opcodes():
        if kind == "equal":
            n_equal += stop - start
            blocks += [range(first + i, first + i + 1) for i in range(stop - start)]
            pairs = zip(range(start, stop), words[start:stop], annotated[first:last], strict=True)
            mismatches += [("spelling", i, word, other) for i, word, other in pairs if word != other]
            continue
        blocks += [range(first, last)] * (stop - start)
        alone += (
            [f"{word!r} (word {i + 1})" for i, word in enumerate(words[start:stop], start)] if first == last else []
        )
        name = "annotation only" if start == stop else "replaced"
        mismatches.append((name, start, " ".join(words[start:stop]), " ".join(annotated[first:last])))
    if n_equal < LEAST_EQUAL * len(words):
        raise Misaligned(f"annotations of another text: only {n_equal} of {len(words)} words are the same")
    if alone:
        raise Misaligned(f"words without an annotation: {', '.join(alone)}")
    return blocks, pd.DataFrame(mismatches, columns=["kind", "position", "words", "annotated"])


def annotate(words: Sequence[str], annotations: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every word of a text the annotations of its counterpart, the mean of them where there are several.

    Parameters
    ----------
    words : sequence of str, length n_words
    annotations : DataFrame
        `word` and the columns `QUANTITIES`, from `read_annotations`.

    Returns
    -------
    values : DataFrame of n_words rows
        The columns `QUANTITIES`, without NaN: where the annotations have no value, the mean of all words is given.
    mismatches : DataFrame
        From `match_words`, and a row of kind "no value" for each word that got a mean of all words, with the quantities
        in `annotated`.

    Raises
    ------
    Misaligned
        See `match_words`.
    """
    words = list(words)
    blocks, mismatches = match_words(words, annotations["word"])
    table = annotations[list(QUANTITIES)].to_numpy()  # (n_annotated, n_quantities)
    present = np.isfinite(table)
    n_present = np.array([present[block].sum(axis=0) for block in blocks])  # (n_words, n_quantities)
    sums = np.array([np.where(present, table, 0)[block].sum(axis=0) for block in blocks])
    means = np.divide(sums, n_present, out=np.full_like(sums, np.nan), where=n_present > 0)
    values = pd.DataFrame(means, columns=list(QUANTITIES))
    without = [
        ("no value", i, words[i], ", ".join(values.columns[values.loc[i].isna()]))
        for i in np.flatnonzero((n_present == 0).any(1))
    ]
    listed = pd.DataFrame(without, columns=mismatches.columns)
    return values.fillna(values.mean()), pd.concat([mismatches, listed], ignore_index=True)
