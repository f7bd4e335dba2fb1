"""MEG-MASC: MEG of 27 people who listened to four stories, most of them twice, in two identical sessions.

A row of events.tsv is a sound, a word or a phoneme; its cell `trial_type` is a Python dictionary written as text, which
is read as a literal and never executed. The stories are spoken by synthetic voices and have random word lists and a few
nonwords in them.

References
----------
Gwilliams, Flick, Marantz, Pylkkanen, Poeppel & King (2023). Introducing MEG-MASC a high-quality
magneto-encephalography dataset for evaluating natural speech processing. Scientific Data 10:862.
doi:10.1038/s41597-023-02752-5. Layout of the events: github.com/kingjr/meg-masc (check_decoding.py) and
github.com/facebookresearch/brainmagick (bm/studies/gwilliams2022.py).
"""

import ast
import logging
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from brainalign.arrays import Recording, Responses, read_tsv
from brainalign.data._bids_meeg import EXTENSIONS, inputs_of
from brainalign.data._bids_people import Recorded, Shown, load_person
from brainalign.data._bids_query import BidsFile, Query, chosen_from, find_runs, participants_of, sidecars
from brainalign.data._content import sha256_of_inputs
from brainalign.data._events import check_events, lines_of, require_columns
from brainalign.data._manifest import deposited_folder, distinct_subjects
from brainalign.data._side_by_side import STIMULI, side_by_side
from brainalign.errors import BrainalignError, Misaligned, MissingData, did_you_mean

log = logging.getLogger(__name__)

NAME = "gwilliams2023"
DATATYPE = "meg"
TASKS = ("0", "1", "2", "3")
"""Lw1, cable_spool_fort, easy_money, The_Black_Willow, in this order."""

TEXT, WORD, PHONEME = "trial_type", "word", "phoneme"
CONDITIONS = ("sentence", "word_list")
IDENTITY = ("word", "sentence_id", "condition")
"""What makes an event of a repeated session the same stimulus."""


class Config(Recorded):
    """Settings of the data set."""

    folder: str = Field(NAME, min_length=1, description="the merged BIDS folder; relative paths: below the data folder")
    subjects: tuple[str, ...] | Literal["all"] = Field(
        "all", description="labels, e.g. '01'; several need the same sessions and stories"
    )
    sessions: tuple[Literal["0", "1"], ...] | Literal["all"] = Field(
        "all", description="the second repeats the first; those named must be there, all: those somebody has"
    )
    tasks: tuple[Literal["0", "1", "2", "3"], ...] | Literal["all"] = Field(
        "all",
        description="stories: 0 lw1, 1 cable_spool_fort, 2 easy_money, 3 The_Black_Willow; those named must be there",
    )
    conditions: tuple[str, ...] = Field(
        CONDITIONS, min_length=1, description="words of these conditions are kept; 'pseudo_words' are the nonwords"
    )
    phones: bool = Field(False, description="give each word its phones in a column `phones`")
    lead: float = Field(1.0, ge=0, description="s before the first word that are kept")
    tail: float = Field(1.0, ge=0, description="s after the end of the last word that are kept")
    onset_tolerance: float = Field(
        0.002, ge=0, description="s by which the words of several people may differ; those of the first count"
    )

    _distinct = field_validator("subjects")(distinct_subjects)


def check(config: Config, data_dir: Path) -> list[str]:
    """List what stands in the way of loading, before any work: people, files and events; headers are not read."""
    try:
        root = deposited_folder(NAME, config.folder, data_dir)
        subjects = chosen_from(root, config.subjects)
    except BrainalignError as error:
        return [str(error)]
    problems = []
    for subject in subjects:
        try:
            files = _files(config, root, subject)
            for file in files.values():
                inputs_of(file)
            tables = {run: _shown(config, root, run, file).events for run, file in files.items()}
            require_same_stories(tables, f"subject {subject}")
        except BrainalignError as error:
            problems.append(str(error))
    return problems


def load(config: Config, data_dir: Path) -> Recording:
    """Load the words of the stories and the MEG of some or all people, side by side.

    Returns
    -------
    recording : Recording
        `events`: a row per word: `run` ("ses-0_task-1"), `onset`, `duration` (s), `word`, `sentence_id` (number of the
        sentence or word list in its run), `condition`, `story`, `sound` (the file as the events name it), `sound_start`
        (s in it), and `phones` if asked for. The two sessions of a story have the same words and sentence_id, so folds
        by stimulus never divide them. `responses`, float32, in tesla: rows `run`, `time`, `duration` (s) from `lead`
        before the first word to `tail` after the last; columns `subject`, `target`, `channel_type` ("mag": mne's word
        for axial gradiometers, too), `x, y, z` (m; the file's, in the frame of the helmet where no marker coils were
        read). `participants`. Provenance: counts by person and run.

    Raises
    ------
    MissingData
        A file is absent, a stub or cannot be read; a session or story that is named is not there; a description of an
        event is no dictionary.
    Misaligned
        The sessions of a story have other words; people do not fit together; words lie outside the recording.
    """
    root = deposited_folder(NAME, config.folder, data_dir)
    recordings, inputs = [], set()
    subjects = chosen_from(root, config.subjects)
    for subject, files in {subject: _files(config, root, subject) for subject in subjects}.items():
        recording, of_person = load_person(
            root,
            subject,
            files,
            datatype=DATATYPE,
            preparation=config.preparation(),
            unusable=config.unusable,
            shown_in=partial(_shown, config, root),
        )
        require_same_stories(dict(iter(recording.events.groupby("run", sort=False))), f"subject {subject}")
        recordings.append(recording)
        inputs |= of_person
    joined = side_by_side(
        recordings, onset_tolerance=config.onset_tolerance, unusable=config.unusable, stimuli=(*STIMULI, *IDENTITY)
    )
    provenance = {
        "data_set": NAME,
        "config": config.model_dump(mode="json"),
        "files": sha256_of_inputs(inputs, root=root),
        "processing": [
            *config.preparation().steps,
            f"kept from {config.lead:g} s before the first word to {config.tail:g} s after the last",
        ],
        "subjects": {
            subject: recording.responses.provenance for subject, recording in zip(subjects, recordings, strict=True)
        },
        "largest_onset_difference": joined.responses.provenance.get("largest_onset_difference", 0.0),
    }
    responses = Responses(joined.responses.values, joined.responses.rows, joined.responses.columns, provenance)
    known = participants_of(root)
    participants = pd.DataFrame([{"subject": subject} | known.get(subject, {}) for subject in subjects])
    return Recording(joined.events, responses, participants)


def read_descriptions(path: Path) -> pd.DataFrame:
    """Read events.tsv and take the dictionaries in `trial_type` apart.

    Returns
    -------
    table : DataFrame
        `onset`, `duration`, the keys of the dictionaries (`kind`, `word`, `phoneme`, `sound`, `story`, `sequence_id`,
        `condition`, ...; NaN where a row has not the key), `_line` of the file.

    Raises
    ------
    MissingData
        A column or the key `kind` is missing, or a cell is not the literal of a dictionary.
    """
    table = read_tsv(path, dtype={TEXT: str})
    require_columns(table, ("onset", "duration", TEXT), path)
    lines = lines_of(path)
    told = pd.DataFrame([_dictionary(cell, path, line) for cell, line in zip(table[TEXT], lines, strict=True)])
    if "kind" not in told or told["kind"].isna().any():
        raise MissingData(f"{path}: the dictionaries in {TEXT} must say their `kind`; keys are {list(told)}")
    told = told.drop(columns=["onset", "duration"], errors="ignore")
    return pd.concat([table[["onset", "duration"]], told, pd.Series(lines, name="_line")], axis=1)


def _dictionary(cell: str, path: Path, line: int) -> dict:
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise MissingData(f"{path}, line {line}: {TEXT} must be a dictionary such as {{'kind': 'word'}}, got {cell!r}")
    return value


def words_of(table: pd.DataFrame, path: Path, *, conditions: tuple[str, ...]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Choose the words that were heard, and number their sentences and word lists.

    Parameters
    ----------
    table : DataFrame
        From `read_descriptions`.
    path : Path
        For the errors.
    conditions : tuple of str
        Which are kept.

    Returns
    -------
    words : DataFrame
        `onset`, `duration`, `word`, `sentence_id` (from 0; a new one where `sequence_id`, `condition`, `story` or
        `sound` changes), `condition`, `story`, `sound`, `sound_start`; in order of time.
    counts : dict
        Words that were left out, by condition, and those without any letter.

    Raises
    ------
    MissingData
        A key is missing, a condition is not there, or no word is left.
    """
    words = table[table["kind"] == WORD]
    needed = ("word", "sequence_id", "condition", "story", "sound")
    if missing := [name for name in needed if name not in words or words[name].isna().any()]:
        raise MissingData(f"{path}: words without {missing} in {TEXT}; the keys are {list(words.columns)}")
    there = sorted(words["condition"].astype(str).unique())
    of_condition = words["condition"].isin(conditions)
    blank = words["word"].astype(str).str.strip() == ""
    kept = words[of_condition & ~blank]
    if not len(kept):
        hint = did_you_mean(conditions[0], there)
        raise MissingData(f"{path}: no word is of the conditions {list(conditions)}{hint}; there are {there}")
    left_out = {f"left_out_{name}": int(n) for name, n in words[~of_condition]["condition"].value_counts().items()}
    left_out |= {"left_out_without_text": int((of_condition & blank).sum())}
    kept = kept.sort_values("onset", kind="stable")
    parts = kept[["story", "sound", "condition", "sequence_id"]].astype(str)
    begins = (parts != parts.shift()).any(axis=1)
    words = pd.DataFrame(
        {
            "onset": kept["onset"],
            "duration": kept["duration"],
            "word": kept["word"].astype(str).str.strip(),
            "sentence_id": begins.cumsum() - 1,
            "condition": kept["condition"].astype(str),
            "story": kept["story"].astype(str),
            "sound": kept["sound"].astype(str),
            "sound_start": kept.get("start", np.nan),
            "_line": kept["_line"],
        }
    )
    return words.reset_index(drop=True), left_out


def phones_within(words: pd.DataFrame, phones: pd.DataFrame) -> list[str]:
    """Give each word its phones, those that begin within it, with spaces between; the part after "_" is left out."""
    phones = phones.sort_values("onset", kind="stable")
    onset, labels = phones["onset"].to_numpy(float), phones[PHONEME].astype(str).str.split("_").str[0].to_numpy()
    half = 5e-4  # s: times are in whole milliseconds
    first = np.searchsorted(onset, words["onset"].to_numpy(float) - half)
    last = np.searchsorted(onset, (words["onset"] + words["duration"]).to_numpy(float) - half)
    return [" ".join(labels[i:j]) for i, j in zip(first, last, strict=True)]


def require_same_stories(tables: Mapping[str, pd.DataFrame], who: str) -> None:
    """Refuse sessions of one story that have other words: a fold would not know that it repeats what it trained on.

    Parameters
    ----------
    tables : dict
        Run ("ses-0_task-1") to its events.
    who : str
        For the error.

    Raises
    ------
    Misaligned
        Words, sentences or conditions of a story differ between its sessions.
    """
    of_task: dict[str, tuple[str, pd.DataFrame]] = {}
    for run, table in tables.items():
        heard = table[list(IDENTITY)].astype(str).reset_index(drop=True)
        first, expected = of_task.setdefault(run.split("task-")[1], (run, heard))
        if heard.equals(expected):
            continue
        n = min(len(heard), len(expected))
        differs = np.flatnonzero((heard[:n] != expected[:n]).any(axis=1))
        where = f"the first is word {differs[0] + 1}" if len(differs) else f"the first {n} are the same"
        raise Misaligned(
            f"{who}: {run} has {len(heard)} words and {first} {len(expected)}, {where}; the sessions must repeat each "
            "other, or folds cannot keep a repeated story together: choose one of the `sessions`"
        )


def _files(config: Config, root: Path, subject: str) -> dict[str, BidsFile]:
    """Give the recordings of a person; what is named must be there, what is not is logged."""
    among = {"ses": config.sessions, "task": config.tasks}
    among = {name: labels for name, labels in among.items() if labels != "all"}
    files = find_runs(root, subject, Query(DATATYPE, DATATYPE, EXTENSIONS[DATATYPE], among))
    if odd := [run for run, file in files.items() if set(file.entities) & {"run", "acq"} or "ses" not in file.entities]:
        raise MissingData(f"subject {subject}: expected one recording per session and task, got {odd}")
    there = {file.entities["ses"] for file in files.values()}
    sessions = there if config.sessions == "all" else config.sessions
    tasks = TASKS if config.tasks == "all" else config.tasks
    missing = [f"ses-{ses}_task-{task}" for ses, task in product(sorted(sessions), tasks)]
    missing = [run for run in missing if run not in files]
    if missing and (config.tasks != "all" or not set(sessions) <= there):
        raise MissingData(f"subject {subject}: {missing} are named and are not below {root}; there are {list(files)}")
    if missing:
        log.warning("subject %s: without %s", subject, ", ".join(missing))
    return files


def _shown(config: Config, root: Path, run: str, file: BidsFile) -> Shown:
    """Read what was heard in a run."""
    tables = sidecars(root, file, "events", ".tsv")
    if not tables:
        raise MissingData(f"{file.path}: no events.tsv applies to it below {root}")
    path = tables[-1]
    table = read_descriptions(path)
    words, left_out = words_of(table, path, conditions=config.conditions)
    lines = list(words.pop("_line"))
    words = check_events(words.assign(run=run), str(path), lines=lines)
    if config.phones:
        words["phones"] = phones_within(words, table[table["kind"] == PHONEME])
    ends = (words["onset"] + words["duration"]).max()
    counts = {"n_words": len(words), "n_sentences": int(words["sentence_id"].nunique())} | left_out
    return Shown(words, (path,), words["onset"].iloc[0] - config.lead, ends + config.tail, counts)
